//! `ducto bench views`: what views cost the site that they look at, as the CPU of the site's process with a view open
//! and without one, in turn, at one sample a second of each tag on the wall clock. The views are processes of their own,
//! as they are in the field; what brings the samples is not counted.
//!
//! A commit that falls into one measurement and not into the other moves that ratio; the CPU of the threads that answer
//! views, told beside it, is steady, and is all of the cost but what the nodes do to leave a batch for a tap.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ducto_graph::operator::Intake;
use ducto_record::{Layout, Origin, Part, Samples, Values};
use serde_json::json;

use super::{latency, measure, site};
use crate::cli::ViewsArgs;
use crate::host::{self, Hosted};
use crate::output::{Exit, Failure, Output};

/// Batches a second: tags come as the scans of so many devices.
const BATCHES: u32 = 100;
/// How long a view may take to begin.
const PATIENCE: Duration = Duration::from_secs(60);
/// After a view has begun or ended, what it set going may settle.
const SETTLE: Duration = Duration::from_millis(500);

/// The views that are measured, with the commands that open them.
const VIEWS: [(&str, &[&str]); 4] = [
    ("top", &["top", "--json"]),
    ("tap, every row", &["tap", "checked", "--format", "csv"]),
    ("tap, one row in a thousand", &["tap", "checked", "--format", "csv", "--where", "value > 300"]),
    ("alarms", &["alarms", "--watch", "--json"]),
];

pub(super) fn run(args: &ViewsArgs, output: &Output) -> Result<Exit, Failure> {
    let registry = ducto_operators::registry();
    let folder = site::Folder::new(args.data.as_deref())?;
    let path = site::write(folder.path(), 1, (0..args.tags).map(|_| 360.0), latency::PIPELINE)?;
    let loaded = site::load(&path, &registry)?;
    let mut hosted = Hosted::start(&loaded, &registry, host::open(&folder.data())?)?;
    let feed = Feed::start(&hosted, args.tags)?;
    let seconds = Duration::from_secs(args.seconds.max(1));
    let mut views = Vec::new();
    let mut without = Vec::new();
    for (name, command) in VIEWS {
        let (mut ratios, mut cores, mut answering) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..args.rounds.max(1) {
            let (before, _) = feed.cores_of_site(seconds);
            let mut view = open(command, &hosted)?;
            std::thread::sleep(SETTLE);
            let (with, socket) = feed.cores_of_site(seconds);
            close(&mut view, &hosted)?;
            std::thread::sleep(SETTLE);
            let (after, _) = feed.cores_of_site(seconds);
            // Before and after, so that what grows with time does not count as the view's.
            let alone = f64::midpoint(before, after);
            ratios.push(with / alone);
            cores.push(with);
            answering.push(socket);
            without.push(alone);
        }
        let (ratio, cores, answering) = (median(&mut ratios), median(&mut cores), median(&mut answering));
        views.push((name, ratio, cores, answering, ratios));
    }
    let (fed, wall) = feed.stop();
    let status = hosted.live.status();
    hosted.end()?;
    let without = median(&mut without);
    let views: Vec<_> = views
        .into_iter()
        .map(|(name, ratio, cores, answering, ratios)| {
            json!({
                "view": name,
                "cores": cores,
                "ratio": ratio,
                "ratios": ratios,
                "cores_answering": answering,
                "ratio_answering": 1.0 + answering / without,
            })
        })
        .collect();
    output.object(&json!({
        "bench": "views",
        "tags": args.tags,
        "samples_per_second": fed as f64 / wall.as_secs_f64(),
        "cores_without": without,
        "views": views,
        "rows_missed_by_views": status.map_or(0, |status| status.clients.missed_rows),
        "peak_rss_bytes": measure::memory("VmHWM"),
    }));
    Ok(Exit::Done)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    measure::percentile(values, 0.5)
}

/// Opens a view in a process of its own, and waits until the site sees it.
fn open(command: &[&str], hosted: &Hosted) -> Result<Child, Failure> {
    let failed = |error: std::io::Error| Failure::new(Exit::Data, format!("a view cannot be opened: {error}"));
    let program = std::env::current_exe().map_err(failed)?;
    let mut view = Command::new(program)
        .args(command)
        .arg("--data")
        .arg(&hosted.data)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .spawn()
        .map_err(failed)?;
    let begun = wait(hosted, |connections| connections > 0);
    if !begun || view.try_wait().map_err(failed)?.is_some() {
        let _ = view.kill();
        return Err(Failure::new(Exit::Findings, format!("the view `{}` did not begin", command.join(" "))));
    }
    Ok(view)
}

fn close(view: &mut Child, hosted: &Hosted) -> Result<(), Failure> {
    let _ = view.kill();
    let _ = view.wait();
    if wait(hosted, |connections| connections == 0) {
        return Ok(());
    }
    Err(Failure::new(Exit::Findings, "the site did not notice that a view was closed"))
}

fn wait(hosted: &Hosted, until: impl Fn(usize) -> bool) -> bool {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        if hosted.live.status().is_some_and(|status| until(status.clients.connections)) {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

/// Brings samples on a thread of its own.
struct Feed {
    stop: Arc<AtomicBool>,
    samples: Arc<AtomicU64>,
    /// CPU of the thread, in nanoseconds.
    cpu: Arc<AtomicU64>,
    started: Instant,
    thread: JoinHandle<()>,
}

impl Feed {
    fn start(hosted: &Hosted, tags: usize) -> Result<Self, Failure> {
        let stopping = || Failure::new(Exit::Findings, "the site stopped before it was fed");
        let intake: Arc<dyn Intake> = hosted.live.intake().ok_or_else(stopping)?;
        let per_batch = (tags / BATCHES as usize).max(1);
        let numbers: Vec<u32> = (0..u32::try_from(tags).unwrap_or(u32::MAX)).collect();
        let layouts: Vec<_> = numbers.chunks(per_batch).map(|tags| Layout::new(tags.to_vec())).collect();
        let (stop, samples, cpu): (Arc<AtomicBool>, Arc<AtomicU64>, Arc<AtomicU64>) = Default::default();
        let feed = (stop.clone(), samples.clone(), cpu.clone());
        let thread = std::thread::Builder::new().name("feed".into()).spawn(move || {
            let (stop, samples, cpu) = feed;
            let start = Instant::now();
            let pause = Duration::from_secs(1) / u32::try_from(layouts.len()).unwrap_or(1).max(1);
            for number in 0_u32.. {
                if stop.load(Ordering::Acquire) {
                    return;
                }
                if let Some(wait) = (pause * number).checked_sub(start.elapsed()) {
                    std::thread::sleep(wait);
                }
                let layout = &layouts[number as usize % layouts.len()];
                let second = f64::from(number / layouts.len() as u32 % 7);
                // One tag in a thousand lies higher, below its limit.
                let value = |tag: &u32| if tag.is_multiple_of(1_000) { 340.0 } else { 200.0 } + second;
                let values: Vec<f64> = layout.tags.iter().map(value).collect();
                let rows = values.len() as u64;
                if let Ok(scan) = Samples::scan(layout, intake.now(), Values::Float64(values.into()), None)
                    && intake.offer(Part::Samples { origin: Origin::Field, samples: scan }).is_ok()
                {
                    samples.fetch_add(rows, Ordering::Relaxed);
                }
                cpu.store((measure::thread_cpu() * 1e9) as u64, Ordering::Relaxed);
            }
        });
        let thread =
            thread.map_err(|error| Failure::new(Exit::Data, format!("a thread cannot be started: {error}")))?;
        Ok(Self { stop, samples, cpu, started: Instant::now(), thread })
    }

    /// Cores that the site uses over a time, the feed's own not counted; and those of the threads that answer views.
    fn cores_of_site(&self, time: Duration) -> (f64, f64) {
        let used = || measure::process_cpu() - self.cpu.load(Ordering::Relaxed) as f64 / 1e9;
        let answering = || measure::threads_cpu("ducto-socket");
        let (start, before, answering_before) = (Instant::now(), used(), answering());
        std::thread::sleep(time);
        let (site, socket) = (used() - before, answering() - answering_before);
        let seconds = start.elapsed().as_secs_f64();
        // A thread that has ended meanwhile takes its time with it.
        (site / seconds, socket.max(0.0) / seconds)
    }

    /// Samples that were brought, and in what time.
    fn stop(self) -> (u64, Duration) {
        self.stop.store(true, Ordering::Release);
        let _ = self.thread.join();
        (self.samples.load(Ordering::Relaxed), self.started.elapsed())
    }
}
