//! `ducto top`: a site that runs, at a glance and again every second.

mod figures;
mod pages;
#[cfg(test)]
mod sample;
mod texts;
mod values;
mod view;
mod words;

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use ducto_site::protocol::Status;
use ducto_site::{Client, ClientError};

use crate::ask;
use crate::cli::TopArgs;
use crate::data;
use crate::interrupt::{Interrupts, Woken};
use crate::output::{Exit, Failure, Output};
use crate::screen::{self, Happened, Screen};
use crate::words::Language;
use figures::Figures;
pub(crate) use texts::bytes;
use values::Values;
use view::{Name, View, Wish};
use words::Words;

/// Between the first two looks, so that rates are there soon.
const FIRST: Duration = Duration::from_millis(500);
/// How long the figures may stay as they are before somebody is told.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often the screen is drawn where nothing is pressed.
const DRAW: Duration = Duration::from_millis(250);

pub(crate) fn run(args: &TopArgs, output: &Output) -> Result<Exit, Failure> {
    let folder = data::folder(&args.place)?;
    let client = ask::connect_to(&folder)?;
    if args.once || output.is_json() || !screen::is_possible() {
        print(client, args, output)
    } else {
        drop(client);
        watch(&folder, args.every)
    }
}

/// For pipes and programs: the overview, or an object, for every interval.
fn print(mut client: Client, args: &TopArgs, output: &Output) -> Result<Exit, Failure> {
    let interrupts = Interrupts::listen()?;
    let mut before = ask::status(&mut client).map_err(ask::failure)?;
    let mut next = Instant::now();
    loop {
        next += args.every;
        if let Woken::Signal(_) = interrupts.wait(Some(next)) {
            return Ok(Exit::Done);
        }
        let now = match ask::status(&mut client) {
            Ok(now) => now,
            // A connection that asks nothing for long is closed; one that was closed by a stop is not opened again.
            Err(ClientError::Stopped) => {
                client = ask::connect(&args.place)?;
                ask::status(&mut client).map_err(ask::failure)?
            }
            Err(error) => return Err(ask::failure(error)),
        };
        let figures = Figures::between(Some(&before), &now);
        let text = if output.is_json() {
            serde_json::to_string(&figures).map(|text| text + "\n").unwrap_or_default()
        } else {
            let (width, _) = screen::size();
            let text = View::default().page(&figures, &Values::default(), None, width).text(width);
            if args.once { text } else { format!("{text}\n") }
        };
        if !output.is_taken(&text) || args.once {
            return Ok(Exit::Done);
        }
        before = now;
    }
}

/// What became of a look.
enum Looked {
    Status(Box<Status>),
    Failed(ClientError),
    /// Nothing runs on the folder.
    NotThere,
}

/// Looks at the site on a thread of its own, so that a site that does not answer leaves the keys alone.
fn look(folder: PathBuf, every: Duration) -> Result<Receiver<Looked>, Failure> {
    let (sender, looked) = sync_channel(4);
    let failed = |error| Failure::new(Exit::Findings, format!("a thread cannot be started: {error}; try again"));
    std::thread::Builder::new()
        .name("looking".into())
        .spawn(move || keep_looking(&folder, every, &sender))
        .map_err(failed)?;
    Ok(looked)
}

fn keep_looking(folder: &Path, every: Duration, to: &SyncSender<Looked>) {
    let mut client = None;
    let mut looks = 0;
    loop {
        if client.is_none() {
            client = Client::connect(folder).ok().flatten();
        }
        let looked = match &mut client {
            None => Looked::NotThere,
            Some(open) => match ask::status(open) {
                Ok(status) => Looked::Status(Box::new(status)),
                Err(error) => {
                    client = None;
                    Looked::Failed(error)
                }
            },
        };
        // One that is not fetched is not worth waiting for; one that nobody will fetch ends the thread.
        if let Err(TrySendError::Disconnected(_)) = to.try_send(looked) {
            return;
        }
        std::thread::sleep(if looks == 0 { FIRST.min(every) } else { every });
        looks += 1;
    }
}

/// For people: a full screen, until they have seen enough.
fn watch(folder: &Path, every: Duration) -> Result<Exit, Failure> {
    let looked = look(folder.to_owned(), every)?;
    let mut screen = Screen::open()?;
    let mut view = View::default();
    let mut values = Values::default();
    let (mut figures, mut before) = (Figures::default(), None::<Status>);
    let mut problem = None;
    let mut seen = Instant::now();
    let mut drawn = None::<Instant>;
    loop {
        let mut wish = Wish::Nothing;
        while let Ok(looked) = looked.try_recv() {
            wish = Wish::Draw;
            match looked {
                Looked::Status(status) => {
                    figures = Figures::between(before.as_ref(), &status);
                    before = Some(*status);
                    problem = None;
                    seen = Instant::now();
                }
                Looked::Failed(error) => problem = Some(error.to_string()),
                Looked::NotThere => {
                    let words = Words::of(Language::of(&figures.language));
                    problem = Some(words.no_answer.to_owned());
                }
            }
        }
        if problem.is_none() && seen.elapsed() > PATIENCE.max(every * 3) {
            problem = Some(Words::of(Language::of(&figures.language)).no_answer.to_owned());
        }
        match (view.name, &before) {
            (Name::Values, Some(status)) if problem.is_none() => values.open(folder, status),
            (Name::Values, _) => {}
            _ => values.close(),
        }
        values.listen();
        if wish == Wish::Draw || drawn.is_none_or(|drawn| drawn.elapsed() >= DRAW) {
            draw(&mut screen, &mut view, &figures, &values, problem.as_deref())?;
            drawn = Some(Instant::now());
        }
        match screen.wait() {
            Happened::Signal => return Ok(Exit::Done),
            Happened::Nothing => {}
            Happened::Key(key) => match view.key(key) {
                Wish::Quit => return Ok(Exit::Done),
                Wish::Draw => drawn = None,
                Wish::Nothing => {}
            },
        }
    }
}

fn draw(
    screen: &mut Screen,
    view: &mut View,
    figures: &Figures,
    values: &Values,
    problem: Option<&str>,
) -> Result<(), Failure> {
    screen.draw(|frame| {
        let page = view.page(figures, values, problem, frame.area().width);
        page.draw(frame, view.scroll());
    })
}
