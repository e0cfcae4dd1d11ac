//! Alarms of the site itself: what keeps it from keeping its promises. They come and go by themselves.
//!
//! A thread looks every second. Each alarm is told in the log when it comes and when it goes, and stands in the status
//! while it lasts.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ducto_record::{Micros, time};
use ducto_runtime::{PipelineStatus, RunningSite, TroubleKind};
use ducto_storage::Finding;

use crate::live::Shared;
use crate::protocol::SystemAlarm;

const LOOK: Duration = Duration::from_secs(1);

/// How long what happens at one moment, such as a loss of rows, is shown.
const SHOWN: Duration = Duration::from_secs(60);

/// A commit of the journal that takes longer says that the disk is in trouble; usual are some milliseconds.
const SLOW: Duration = Duration::from_secs(1);

/// Engine time and the wall clock may differ by this much before somebody is told.
const OFFSET: Micros = time::SECOND;

/// Why alarms are there, as they are looked at.
type Present = BTreeMap<&'static str, String>;

/// The alarms that are there now.
#[derive(Debug, Default)]
pub(crate) struct SystemAlarms {
    present: Mutex<BTreeMap<&'static str, SystemAlarm>>,
}

impl SystemAlarms {
    pub(crate) fn list(&self) -> Vec<SystemAlarm> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Takes what is there now in place of what was, and tells what has changed.
    fn set(&self, now: Micros, found: Present) {
        let mut present = self.present.lock().unwrap_or_else(PoisonError::into_inner);
        present.retain(|name, alarm| {
            let stays = found.contains_key(name);
            if !stays {
                tracing::info!(alarm = name, since = time::format(alarm.since), "a system alarm has gone");
            }
            stays
        });
        for (name, why) in found {
            match present.get_mut(name) {
                Some(alarm) => alarm.why = why,
                None => {
                    tracing::error!(alarm = name, "system alarm: {why}");
                    present.insert(name, SystemAlarm { name: name.to_owned(), since: now, why });
                }
            }
        }
    }
}

/// What was seen at earlier looks.
#[derive(Debug, Default)]
struct Seen {
    dropped: Counted,
    behind: Counted,
    lost: Counted,
    slow: Option<(Duration, Instant)>,
}

/// A counter of losses: an alarm for a while after each rise.
#[derive(Debug, Default)]
struct Counted {
    last: u64,
    risen: Option<Instant>,
}

impl Counted {
    fn is_rising(&mut self, value: u64, now: Instant) -> bool {
        if value > self.last {
            self.risen = Some(now);
        }
        self.last = value;
        self.risen.is_some_and(|risen| now.duration_since(risen) < SHOWN)
    }
}

fn look(running: &RunningSite, findings: &[Finding], seen: &mut Seen, now: Instant) -> Present {
    let mut present = Present::new();
    if let Some(why) = damage(findings) {
        present.insert("DATA_DAMAGED", why);
    }
    let offset = running.intake().clock_offset();
    if offset.abs() >= OFFSET {
        let seconds = (offset.abs() + time::SECOND / 2) / time::SECOND;
        // Engine time never goes back: behind a start it is not before what stands in the journal.
        let why = match offset > 0 {
            true => format!(
                "the wall clock is {seconds} s ahead of the site's, which goes on from where it was; put the wall clock \
                 right, or restart the site if it is right now"
            ),
            false => format!(
                "the wall clock is {seconds} s behind the site's, which goes on from where it was; put the wall clock \
                 right, or if it is right now, stop the site for as long: its time never goes back"
            ),
        };
        present.insert("CLOCK_STEPPED", why);
    }
    if let Some(journal) = running.journal() {
        if let Some(error) = journal.error {
            present.insert("JOURNAL_WAITS", format!("{error}; what comes in waits in memory until the disk takes it"));
        }
        let slower = seen.slow.map_or(journal.longest > SLOW, |(longest, _)| journal.longest > longest);
        if slower {
            seen.slow = Some((journal.longest, now));
        }
        if let Some((longest, at)) = seen.slow
            && now.duration_since(at) < SHOWN
        {
            let why = format!("writing the journal took {:.1} s; check the disk", longest.as_secs_f64());
            present.insert("DISK_SLOW", why);
        }
    }
    if let Some(error) = running.checkpoints().and_then(|checkpoints| checkpoints.error) {
        present.insert("CHECKPOINT_FAILS", format!("{error}; a start would read more of the journal"));
    }
    let dropped = running.intake().dropped_rows();
    if seen.dropped.is_rising(dropped, now) {
        let why = format!("{dropped} rows since the start found the memory for entries full; raise `memory:`");
        present.insert("ROWS_DROPPED", why);
    }
    let pipelines = running.status();
    let missed = pipelines.iter().map(|pipeline| pipeline.lost_entries).sum();
    if seen.lost.is_rising(missed, now) {
        present.insert("ENTRIES_LOST", format!("pipelines were so far behind that they have missed {missed} entries"));
    }
    let nodes = || pipelines.iter().flat_map(|pipeline| &pipeline.nodes);
    let lost = nodes().filter_map(|node| node.counts.drops.get("sink_behind")).sum();
    if seen.behind.is_rising(lost, now) {
        let why = format!("{lost} rows since the start found the memory of sinks full, and no journal has them");
        present.insert("SINK_BEHIND", why);
    } else if let Some(why) = behind(&pipelines, running.now()) {
        present.insert("SINK_BEHIND", why);
    }
    present
}

/// Which sinks take less than comes for them.
fn behind(pipelines: &[PipelineStatus], now: Micros) -> Option<String> {
    let sinks = pipelines.iter().flat_map(|pipeline| {
        pipeline.nodes.iter().filter_map(move |node| {
            let trouble = node.trouble.as_ref().filter(|trouble| trouble.kind == TroubleKind::Behind)?;
            Some(format!("{}.{} for {} s", pipeline.id, node.id, (now - trouble.since) / time::SECOND))
        })
    });
    let sinks: Vec<String> = sinks.collect();
    (!sinks.is_empty()).then(|| {
        format!(
            "{} can take less than comes; the journal keeps the rest and they read it again from there; check the disk, or \
             give the site less to do",
            sinks.join(", ")
        )
    })
}

/// What a start found damaged stays an alarm until the next.
fn damage(findings: &[Finding]) -> Option<String> {
    let lost = |finding: &&Finding| !finding.fault.is_harmless();
    let count = findings.iter().filter(lost).count();
    // That of which rows are lost first.
    let first = findings.iter().filter(lost).max_by_key(|finding| (finding.rows, finding.epochs.is_some()))?;
    Some(match count - 1 {
        0 => first.to_string(),
        more => format!("{first}; and {more} more, which the log of the start lists"),
    })
}

/// The thread that looks.
pub(crate) struct Watch {
    stop: Arc<(Mutex<bool>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// # Errors
    /// When the thread cannot be started.
    pub(crate) fn start(shared: Arc<Shared>, findings: Vec<Finding>) -> std::io::Result<Self> {
        let stop = Arc::new((Mutex::new(false), Condvar::new()));
        let mut seen = Seen::default();
        let mut once = move || {
            let found = shared.with(|running| (running.now(), look(running, &findings, &mut seen, Instant::now())));
            if let Some((now, found)) = found {
                shared.alarms.set(now, found);
            }
        };
        // What a start has found is there when it is done.
        once();
        let stopping = stop.clone();
        let watching = move || {
            let (stop, woken) = &*stopping;
            loop {
                let stopped = stop.lock().unwrap_or_else(PoisonError::into_inner);
                let waited = woken.wait_timeout_while(stopped, LOOK, |stopped| !*stopped);
                if *waited.unwrap_or_else(PoisonError::into_inner).0 {
                    return;
                }
                once();
            }
        };
        let thread = std::thread::Builder::new().name("ducto-alarms".into()).spawn(watching)?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        *self.stop.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.stop.1.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;
    use ducto_runtime::{NodeCounts, NodeStatus, Pause, Trouble};

    #[test]
    fn an_alarm_has_the_time_at_which_it_came() {
        let alarms = SystemAlarms::default();
        let found = |why: &str| Present::from([("JOURNAL_WAITS", why.to_owned())]);
        alarms.set(5, found("full"));
        alarms.set(9, found("still full"));
        let expected = SystemAlarm { name: "JOURNAL_WAITS".to_owned(), since: 5, why: "still full".to_owned() };
        assert_eq!(alarms.list(), [expected]);
        alarms.set(12, Present::new());
        assert_eq!(alarms.list(), []);
        alarms.set(20, found("again"));
        assert_eq!(alarms.list()[0].since, 20);
    }

    #[test]
    fn a_loss_is_shown_for_a_while() {
        let (mut counted, start) = (Counted::default(), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        assert!(!counted.is_rising(0, after(0)));
        assert!(counted.is_rising(3, after(1)));
        assert!(counted.is_rising(3, after(60)));
        assert!(!counted.is_rising(3, after(62)));
        assert!(counted.is_rising(4, after(63)));
    }

    #[test]
    fn sinks_that_are_behind_are_named_with_how_long() {
        let node = |id: &str, kind| NodeStatus {
            id: id.into(),
            operator: "historian",
            trouble: Some(Trouble { kind, since: 3 * time::SECOND, why: String::new() }),
            counts: NodeCounts::default(),
        };
        let pipeline = PipelineStatus {
            id: "wells".into(),
            done: 1,
            waiting_since: None,
            restarts: 0,
            longest_pause: Pause::default(),
            lost_entries: 0,
            nodes: vec![node("history", TroubleKind::Behind), node("log", TroubleKind::SetAside)],
        };
        let why = behind(&[pipeline], 45 * time::SECOND).unwrap();
        assert!(why.starts_with("wells.history for 42 s can take less"), "{why}");
        assert_eq!(behind(&[], 0), None);
    }
}
