//! Somebody on shift who acknowledges one alarm of the demo, as a person would.

use std::path::Path;
use std::time::{Duration, Instant};

use ducto_site::Client;
use ducto_site::protocol::{Answer, Ask};
use serde_json::Value as Json;

use crate::words::Language;

/// The alarm that the shift takes care of; the others wait for whoever watches.
pub(super) const ALARM: (&str, &str) = ("WELL-003.THP", "H");
/// How long it takes to walk to the screen.
const WALK: Duration = Duration::from_secs(5);

#[derive(Default)]
pub(super) struct Shift {
    due: Option<Instant>,
}

impl Shift {
    /// The alarm has been raised.
    pub(super) fn called(&mut self) {
        self.due = Some(Instant::now() + WALK);
    }

    /// Acknowledges, where it is time to. What cannot be done is told by the alarm, which stays as it is.
    pub(super) fn look(&mut self, data: &Path, language: Language) {
        if self.due.is_some_and(|due| Instant::now() >= due) {
            self.due = None;
            if let Err(error) = acknowledge(data, language) {
                tracing::warn!("the demo's shift could not acknowledge: {error}; do it with `ducto alarms ack`");
            }
        }
    }
}

/// Over the socket of the site, as every client does it.
fn acknowledge(data: &Path, language: Language) -> Result<(), String> {
    let client = Client::connect(data).map_err(|error| error.to_string())?;
    let mut client = client.ok_or("the site does not answer on its socket")?;
    let (tag, alarm) = ALARM;
    let ask = Ask::Act {
        verb: "acknowledge".to_owned(),
        arguments: [("tag", tag), ("alarm", alarm)].map(|(name, value)| (name.to_owned(), Json::from(value))).into(),
        user: Some("shift".to_owned()),
        reason: Some(language.pick("seen; the choke is being opened", "vista; se está abriendo el choke").to_owned()),
    };
    let mut said = Vec::new();
    for answer in client.ask(ask).map_err(|error| error.to_string())? {
        if let Answer::Reply { done, text, .. } = answer.map_err(|error| error.to_string())? {
            if done {
                return Ok(());
            }
            said.push(text);
        }
    }
    Err(if said.is_empty() { "no node has answered".to_owned() } else { said.join("; ") })
}
