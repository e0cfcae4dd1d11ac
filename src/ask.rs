//! Talks to a site that runs.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use ducto_site::protocol::{Answer, Ask, End, Status};
use ducto_site::{Client, ClientError, HangUp};
use serde_json::{Map, Value as Json};

use crate::cli::DataArgs;
use crate::data;
use crate::output::{Exit, Failure};
use crate::words::Language;

/// Answers that wait to be shown. What is more waits in the socket, and then at the site.
const WAITING: usize = 64;

/// A row as JSON.
pub(crate) type Row = Map<String, Json>;

/// The site that runs on the data folder that is meant.
pub(crate) fn connect(place: &DataArgs) -> Result<Client, Failure> {
    connect_to(&data::folder(place)?)
}

/// The site that runs on a data folder.
pub(crate) fn connect_to(folder: &Path) -> Result<Client, Failure> {
    match Client::connect(folder).map_err(failure)? {
        Some(client) => Ok(client),
        None => {
            let folder = folder.display();
            let message = format!("no site runs on `{folder}`; start it with `ducto run SITE --data {folder}`");
            Err(Failure::new(Exit::Peer, message))
        }
    }
}

pub(crate) fn failure(error: ClientError) -> Failure {
    let exit = match &error {
        ClientError::Refused(_) => Exit::Findings,
        _ => Exit::Peer,
    };
    Failure::new(exit, error.to_string())
}

pub(crate) fn status(client: &mut Client) -> Result<Status, ClientError> {
    let mut found = None;
    for answer in client.ask(Ask::Status)? {
        if let Answer::Status(status) = answer? {
            found = Some(*status);
        }
    }
    found.ok_or_else(|| ClientError::Foreign("an answer without a status".to_owned()))
}

/// The rows of the views with this name.
pub(crate) fn view(client: &mut Client, name: &str) -> Result<Vec<Row>, ClientError> {
    let mut rows = Vec::new();
    for answer in client.ask(Ask::View { name: name.to_owned() })? {
        if let Answer::Row(row) = answer? {
            rows.push(row);
        }
    }
    Ok(rows)
}

/// What a node answered to an action.
pub(crate) struct Said {
    /// Whether it did something.
    pub(crate) done: bool,
    text: String,
    details: BTreeMap<String, String>,
}

impl Said {
    /// Of an alarm, in the language of its site.
    pub(crate) fn in_words(self, of: &str, language: Language) -> String {
        let detail = |name: &str| self.details.get(name).map(String::as_str).unwrap_or_default();
        language.outcome(of, detail("outcome"), detail("state")).unwrap_or(self.text)
    }
}

/// What nodes said to an action.
pub(crate) fn act(client: &mut Client, ask: Ask) -> Result<Vec<Said>, ClientError> {
    let mut replies = Vec::new();
    for answer in client.ask(ask)? {
        if let Answer::Reply { done, text, details } = answer? {
            replies.push(Said { done, text, details });
        }
    }
    Ok(replies)
}

/// What comes of a question whose answers go on.
#[derive(Debug)]
pub(crate) enum Heard {
    Answer(Answer),
    Ended(End),
    Failed(ClientError),
}

/// Answers that are read on a thread of their own; dropping it closes the connection, and the site is told by that.
#[derive(Debug)]
pub(crate) struct Following {
    heard: Receiver<Heard>,
    _hang_up: HangUp,
}

impl Following {
    pub(crate) fn start(mut client: Client, ask: Ask) -> Result<Self, Failure> {
        let hang_up = client.hang_up().map_err(failure)?;
        let (sender, heard) = sync_channel(WAITING);
        let failed = |error| Failure::new(Exit::Findings, format!("a thread cannot be started: {error}; try again"));
        let listen = move || follow(&mut client, ask, &sender);
        std::thread::Builder::new().name("listening".into()).spawn(listen).map_err(failed)?;
        Ok(Self { heard, _hang_up: hang_up })
    }

    /// The next that is heard within this time.
    pub(crate) fn next(&self, within: Duration) -> Option<Heard> {
        match self.heard.recv_timeout(within) {
            Ok(heard) => Some(heard),
            Err(RecvTimeoutError::Timeout) => None,
            // The last that was heard said why.
            Err(RecvTimeoutError::Disconnected) => Some(Heard::Failed(ClientError::Stopped)),
        }
    }
}

fn follow(client: &mut Client, ask: Ask, to: &SyncSender<Heard>) {
    let mut answers = match client.ask(ask) {
        Ok(answers) => answers,
        Err(error) => {
            let _ = to.send(Heard::Failed(error));
            return;
        }
    };
    for answer in answers.by_ref() {
        let heard = answer.map_or_else(Heard::Failed, Heard::Answer);
        if to.send(heard).is_err() {
            return;
        }
    }
    if let Some(end) = answers.end() {
        let _ = to.send(Heard::Ended(end));
    }
}
