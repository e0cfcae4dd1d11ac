//! `ducto alarms --watch`: alarms as they come and go, and what people do to them.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use ducto_site::protocol::{Answer, Ask};
use ducto_site::{Client, ClientError};

use super::board::{Board, Manners, Wish};
use super::{Row, VIEW, acted_on, for_programs, limit, name, outcome, text, time, value};
use crate::ask::{self, Following, Heard};
use crate::cli::AlarmsArgs;
use crate::data;
use crate::interrupt::{Interrupts, Woken};
use crate::output::{Exit, Failure, Output};
use crate::screen::{self, Happened, Screen};
use crate::times;
use crate::times::Zone;
use crate::words::Language;

/// After which a site that has gone is looked for again.
const AGAIN: Duration = Duration::from_secs(2);
/// How often the screen is drawn where nothing changes: its clock goes on.
const DRAW: Duration = Duration::from_millis(500);
/// How long something is waited for before signals are looked at.
const LOOK: Duration = Duration::from_millis(100);

pub(super) fn run(args: &AlarmsArgs, output: &Output) -> Result<Exit, Failure> {
    let folder = data::folder(&args.place)?;
    let mut client = ask::connect_to(&folder)?;
    let status = ask::status(&mut client).map_err(ask::failure)?;
    let manners =
        Manners { site: status.site, language: Language::of(&status.language), zone: Zone::named(&status.time_zone) };
    let following = follow(client)?;
    if output.is_json() || !screen::is_possible() {
        lines(&following, args.all, &manners, output)
    } else {
        watch(&folder, following, args.all, manners)
    }
}

fn follow(client: Client) -> Result<Following, Failure> {
    Following::start(client, Ask::Watch { name: VIEW.to_owned() })
}

/// For pipes and programs: how things are, then a line for each change.
fn lines(following: &Following, all: bool, manners: &Manners, output: &Output) -> Result<Exit, Failure> {
    let interrupts = Interrupts::listen()?;
    // At first only what is not normal; later also that something has become so.
    let mut caught_up = false;
    loop {
        if let Woken::Signal(_) = interrupts.wait(Some(Instant::now())) {
            return Ok(Exit::Done);
        }
        match following.next(LOOK) {
            None | Some(Heard::Answer(Answer::Anew)) => {}
            Some(Heard::Answer(Answer::Now(_))) => caught_up = true,
            Some(Heard::Answer(Answer::Row(row))) if caught_up || all || text(&row, "state") != "A" => {
                let line = if output.is_json() {
                    for_programs(row, manners.language).to_string()
                } else {
                    sentence(&row, manners)
                };
                if !output.is_taken(&format!("{line}\n")) {
                    return Ok(Exit::Done);
                }
            }
            Some(Heard::Answer(_)) => {}
            Some(Heard::Ended(_)) => {
                output.remark("the site has stopped");
                return Ok(Exit::Done);
            }
            Some(Heard::Failed(error)) => return Err(ask::failure(error)),
        }
    }
}

/// "10:15:32  WELL-003.THP.H raised: 2700 psig (limit 2500)  maria: seen".
fn sentence(row: &Row, manners: &Manners) -> String {
    let Manners { language, zone, .. } = manners;
    let mut sentence =
        format!("{}  {} {}", zone.since(time(row), times::now()), name(row), language.event(text(row, "event")));
    let (value, limit) = (value(row), limit(row));
    if !value.is_empty() {
        sentence.push_str(&format!(": {value}"));
    }
    if !limit.is_empty() {
        sentence.push_str(&format!(" ({} {limit})", language.pick("limit", "límite")));
    }
    let who = text(row, "user");
    if !who.is_empty() {
        sentence.push_str(&format!("  {who}"));
        let why = text(row, "reason");
        if !why.is_empty() {
            sentence.push_str(&format!(": {why}"));
        }
    }
    // A reason is what somebody typed: it stays on its line.
    sentence.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Does what keys want on a thread of its own, so that a site that is slow leaves the screen alone.
struct Hands {
    wishes: Sender<Vec<Ask>>,
    done: Receiver<(bool, String)>,
}

impl Hands {
    fn new(folder: PathBuf, language: Language) -> Result<Self, Failure> {
        let (wishes, asked) = channel::<Vec<Ask>>();
        let (say, done) = channel();
        let failed = |error| Failure::new(Exit::Findings, format!("a thread cannot be started: {error}; try again"));
        let work = move || {
            while let Ok(asks) = asked.recv() {
                let said = act(&folder, asks, language).unwrap_or_else(|failure| (false, failure.message));
                if say.send(said).is_err() {
                    return;
                }
            }
        };
        std::thread::Builder::new().name("acting".into()).spawn(work).map_err(failed)?;
        Ok(Self { wishes, done })
    }
}

/// What came of several actions, in one line.
fn act(folder: &Path, asks: Vec<Ask>, language: Language) -> Result<(bool, String), Failure> {
    let mut client = ask::connect_to(folder)?;
    let mut said = Vec::new();
    let mut good = true;
    for ask in asks {
        let of = acted_on(&ask);
        let (done, text) = outcome(&of, ask::act(&mut client, ask).map_err(ask::failure)?, language);
        good &= done;
        said.push(text);
    }
    said.dedup();
    Ok((good, said.join("; ")))
}

/// For people: a full screen, until they have seen enough.
fn watch(folder: &Path, following: Following, all: bool, manners: Manners) -> Result<Exit, Failure> {
    let hands = Hands::new(folder.to_owned(), manners.language)?;
    let mut screen = Screen::open()?;
    let mut board = Board::new(manners, all);
    let mut following = Some(following);
    let mut tried = Instant::now();
    let mut drawn = None::<Instant>;
    loop {
        let mut changed = false;
        while let Some(heard) = following.as_ref().and_then(|following| following.next(Duration::ZERO)) {
            changed = true;
            match heard {
                Heard::Answer(Answer::Anew) => board.forget(),
                Heard::Answer(Answer::Row(row)) => board.take(row),
                Heard::Answer(_) => {}
                Heard::Ended(_) => {
                    board.say(false, ClientError::Stopped.to_string());
                    following = None;
                }
                Heard::Failed(error) => {
                    board.say(false, error.to_string());
                    following = None;
                }
            }
        }
        if following.is_none() && tried.elapsed() >= AGAIN {
            tried = Instant::now();
            if let Ok(again) = ask::connect_to(folder).and_then(follow) {
                board.forget();
                following = Some(again);
            }
        }
        while let Ok((good, message)) = hands.done.try_recv() {
            board.say(good, message);
            changed = true;
        }
        if changed || drawn.is_none_or(|drawn| drawn.elapsed() >= DRAW) {
            screen.draw(|frame| {
                let page = board.page(times::now(), frame.area().width);
                page.draw(frame, &mut board.scroll);
            })?;
            drawn = Some(Instant::now());
        }
        match screen.wait() {
            Happened::Signal => return Ok(Exit::Done),
            Happened::Nothing => {}
            Happened::Key(key) => match board.key(key) {
                Wish::Quit => return Ok(Exit::Done),
                Wish::Draw => drawn = None,
                Wish::Nothing => {}
                Wish::Do(asks) => {
                    drawn = None;
                    if hands.wishes.send(asks).is_err() {
                        return Err(Failure::new(Exit::Findings, "nothing can be done any more; start this again"));
                    }
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_change_is_one_line() {
        let manners =
            Manners { site: "S".to_owned(), language: Language::Spanish, zone: Zone::named("America/Bogota") };
        let row = json!({"tag": "W.THP", "alarm": "H", "event": "acknowledged", "time": "2026-01-01T05:00:00Z",
            "value": 2700.0, "unit": "psig", "limit": 2500.0, "user": "maría", "reason": "vista\nya"});
        let line = sentence(row.as_object().unwrap(), &manners);
        assert_eq!(line, "01-01 00:00:00  W.THP.H reconocida: 2700 psig (límite 2500)  maría: vista ya");
    }
}
