//! The outbox against a model of its receiver, which knows a batch by its id alone.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ducto_record::Epoch;
use rustix::io::Errno;

use super::*;
use crate::audit::Care;
use crate::disk::{Cut, Fault, SimulatedStorage};

const STREAM: &str = "p.n";
/// Epochs of the log; each third brings nothing, the others one or two rows.
const EPOCHS: Epoch = 14;

fn rows_of(epoch: Epoch) -> u64 {
    epoch % 3
}

fn lines_of(epoch: Epoch) -> Vec<u8> {
    (0..rows_of(epoch)).flat_map(|row| format!("{epoch}.{row}\n").into_bytes()).collect()
}

fn all_lines() -> Vec<u8> {
    (1..=EPOCHS).flat_map(lines_of).collect()
}

fn class(number: u8) -> Class {
    Class::new(number).unwrap()
}

/// Sealed every two epochs, about.
const SEALING: Sealing = Sealing { every: 2, size: 1 << 20 };
const AT_ONCE: Sealing = Sealing { every: 0, size: 1 << 20 };

/// Who is sent batches, and may be sent one again.
#[derive(Default)]
struct Receiver {
    seen: BTreeMap<(Arc<str>, u64), Vec<u8>>,
    lines: Vec<u8>,
    requests: usize,
}

impl Receiver {
    fn take(&mut self, batch: &SealedBatch) {
        self.requests += 1;
        let id = (batch.head.id.incarnation.clone(), batch.head.id.sequence);
        match self.seen.get(&id) {
            Some(before) => assert_eq!(*before, batch.body, "{} means two things", batch.head.id),
            None => {
                self.lines.extend_from_slice(&batch.body);
                self.seen.insert(id, batch.body.clone());
            }
        }
    }
}

struct Site {
    _folder: tempfile::TempDir,
    root: PathBuf,
    storage: SimulatedStorage,
}

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("data");
        std::fs::create_dir(&root).unwrap();
        let storage = SimulatedStorage::new(&root, &folder.path().join("attic")).unwrap();
        Self { _folder: folder, root, storage }
    }

    fn disk(&self) -> Disk {
        Disk::new(Arc::new(self.storage.clone()))
    }

    fn folder(&self) -> PathBuf {
        self.root.join("outbox")
    }

    fn open(&self, caps: Caps) -> Result<OpenedOutbox, StorageError> {
        Outbox::open(&self.disk(), &self.folder(), "S", caps)
    }

    /// An outbox and its one stream.
    fn stream(&self, sealing: Sealing) -> Result<(Outbox, Stream), StorageError> {
        let opened = self.open(Caps::default())?;
        assert_eq!(opened.problems, []);
        let stream = opened.outbox.stream(STREAM, class(2), sealing)?;
        Ok((opened.outbox, stream))
    }
}

/// A run of the site from behind `checkpoint` on, until something fails. `checkpoint` is raised as the stream holds more.
fn run(site: &Site, checkpoint: &mut Epoch, receiver: &mut Receiver) -> Result<(), StorageError> {
    let (_, stream) = site.stream(SEALING)?;
    assert!(stream.held() >= *checkpoint, "{} is less than the checkpoint {checkpoint} was told", stream.held());
    let mut deliver = |everything: bool| {
        // The receiver is slower than the rows come.
        while let Some(batch) = stream.next()? {
            receiver.take(&batch);
            stream.accepted(&batch.head)?;
            if !everything {
                break;
            }
        }
        Ok::<_, StorageError>(())
    };
    for epoch in *checkpoint + 1..=EPOCHS {
        stream.add(epoch, epoch as i64, rows_of(epoch), &lines_of(epoch))?;
        *checkpoint = stream.held();
        if epoch % 4 == 0 {
            deliver(false)?;
        }
    }
    stream.seal(EPOCHS as i64)?;
    deliver(true)?;
    *checkpoint = stream.held();
    Ok(())
}

#[test]
fn a_power_cut_at_any_operation_loses_and_doubles_nothing() {
    for cut in [Cut::Kind, Cut::Strict, Cut::Chance(1), Cut::Chance(2), Cut::Chance(3)] {
        // From the newest checkpoint there can be, and from none.
        for from_the_beginning in [false, true] {
            for step in 0.. {
                let site = Site::new();
                site.storage.plan(step, Fault::PowerOff);
                let (mut checkpoint, mut receiver) = (0, Receiver::default());
                let result = run(&site, &mut checkpoint, &mut receiver);
                let stopped = result.is_err();
                site.storage.restart(cut).unwrap();
                if from_the_beginning {
                    checkpoint = 0;
                }
                run(&site, &mut checkpoint, &mut receiver).unwrap();
                let text = |lines: &[u8]| String::from_utf8_lossy(lines).into_owned();
                assert_eq!(text(&receiver.lines), text(&all_lines()), "{cut:?}, step {step}");
                assert_eq!(checkpoint, EPOCHS);
                if !stopped {
                    assert!(step > 30, "the test has stopped something");
                    break;
                }
            }
        }
    }
}

/// Calls until it works; the disk fails by chance.
fn until_done<T>(mut call: impl FnMut() -> Result<T, StorageError>) -> T {
    for _ in 0..1_000 {
        if let Ok(done) = call() {
            return done;
        }
    }
    panic!("it never worked");
}

#[test]
fn a_disk_that_fails_now_and_then_loses_and_doubles_nothing() {
    for seed in 1..200_u64 {
        let site = Site::new();
        let (_, stream) = site.stream(SEALING).unwrap();
        site.storage.set_trigger(move |number, verb, _| {
            const FAULTS: [Errno; 4] = [Errno::IO, Errno::NOSPC, Errno::DQUOT, Errno::ROFS];
            let chance = (seed * 1_000 + number).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
            match chance % 8 {
                0 => Some(Fault::Error(FAULTS[(chance / 8) as usize % FAULTS.len()])),
                1 if verb == "write" => Some(Fault::Short),
                // These the engine does again by itself.
                1 if verb == "sync" => Some(Fault::Error(Errno::INTR)),
                _ => None,
            }
        });
        let mut receiver = Receiver::default();
        let mut sent: Option<SealedBatch> = None;
        let deliver = |receiver: &mut Receiver, sent: &mut Option<SealedBatch>| {
            // What the receiver has is not sent again only because the disk did not take that it has it.
            let batch = match sent.take() {
                Some(batch) => batch,
                None => match until_done(|| stream.next()) {
                    Some(batch) => {
                        receiver.take(&batch);
                        batch
                    }
                    None => return false,
                },
            };
            if stream.accepted(&batch.head).is_err() {
                *sent = Some(batch);
            }
            true
        };
        for epoch in 1..=EPOCHS {
            until_done(|| stream.add(epoch, epoch as i64, rows_of(epoch), &lines_of(epoch)));
            deliver(&mut receiver, &mut sent);
        }
        until_done(|| stream.seal(EPOCHS as i64));
        while deliver(&mut receiver, &mut sent) {}
        assert_eq!(String::from_utf8(receiver.lines).unwrap(), String::from_utf8(all_lines()).unwrap(), "seed {seed}");
        assert_eq!(receiver.requests, receiver.seen.len(), "seed {seed}");
    }
}

#[test]
fn a_retry_keeps_the_id_also_in_another_process() {
    let site = Site::new();
    let (first, stream) = site.stream(AT_ONCE).unwrap();
    stream.add(1, 1, 1, b"1\n").unwrap();
    let batch = stream.next().unwrap().unwrap();
    assert_eq!(stream.next().unwrap(), Some(batch.clone()));
    drop(stream);
    let (second, stream) = site.stream(AT_ONCE).unwrap();
    assert_ne!(first.incarnation(), second.incarnation());
    assert_eq!(stream.next().unwrap(), Some(batch.clone()));
    // What it holds is passed over, and the sequence goes on.
    stream.add(1, 1, 1, b"1\n").unwrap();
    stream.add(2, 2, 1, b"2\n").unwrap();
    stream.accepted(&batch.head).unwrap();
    let next = stream.next().unwrap().unwrap();
    assert_eq!((next.body.as_slice(), next.head.id.sequence), (&b"2\n"[..], 2));
    assert_eq!(next.head.id.incarnation, *second.incarnation());
    assert_eq!(second.last_epoch(), 2);
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        if path.is_dir() { copy(&path, &to) } else { std::fs::copy(&path, &to).map(|_| ()).unwrap() }
    }
}

#[test]
fn a_restored_copy_names_nothing_as_the_folder_did_that_it_was_copied_from() {
    let site = Site::new();
    let (_, stream) = site.stream(AT_ONCE).unwrap();
    let mut receiver = Receiver::default();
    let mut deliver = |stream: &Stream| {
        while let Some(batch) = stream.next().unwrap() {
            receiver.take(&batch);
            stream.accepted(&batch.head).unwrap();
        }
    };
    stream.add(1, 1, 1, b"before\n").unwrap();
    stream.add(2, 2, 1, b"not sent before\n").unwrap();
    let backup = site.root.join("backup");
    copy(&site.folder(), &backup);
    deliver(&stream);
    stream.add(3, 3, 1, b"after the backup\n").unwrap();
    deliver(&stream);
    drop(stream);
    let opened = Outbox::open(&Disk::default(), &backup, "S", Caps::default()).unwrap();
    let stream = opened.outbox.stream(STREAM, class(2), AT_ONCE).unwrap();
    stream.add(3, 3, 1, b"after it was restored\n").unwrap();
    deliver(&stream);
    let lines = String::from_utf8(receiver.lines).unwrap();
    assert_eq!(lines, "before\nnot sent before\nafter the backup\nafter it was restored\n");
}

/// What each stream has waiting: its lines.
fn waiting(site: &Site, names: &[&str]) -> Vec<String> {
    let lines = |name: &&str| {
        let folder = site.folder().join(name);
        let mut paths = entries(&folder).unwrap();
        paths.sort();
        let batches = paths.iter().filter(|path| path.extension().is_some_and(|ending| ending == "batch"));
        batches.flat_map(|path| SealedBatch::decode(&std::fs::read(path).unwrap()).unwrap().body).collect::<Vec<u8>>()
    };
    names.iter().map(|name| String::from_utf8(lines(name)).unwrap().replace('\n', " ").trim().to_owned()).collect()
}

#[test]
fn the_oldest_of_the_lowest_class_goes_first_and_is_counted() {
    let site = Site::new();
    let outbox = site.open(Caps { all: 1 << 20, classes: [None; 4] }).unwrap().outbox;
    let stream = outbox.stream("p.probe", class(1), AT_ONCE).unwrap();
    stream.add(1, 1, 1, b"1\n").unwrap();
    let one = outbox.stats()[0].waiting_bytes;
    stream.accepted(&stream.next().unwrap().unwrap().head).unwrap();
    drop((stream, outbox));

    // Room for four, and for two of class 3. Names are as long as the one that was measured.
    let caps = Caps { all: 4 * one + one / 2, classes: [None, None, Some(2 * one + one / 2), None] };
    let outbox = site.open(caps).unwrap().outbox;
    let names = ["p.aaaaa", "p.ccccc", "p.ddddd"];
    let [a, c, d] = [(names[0], 1), (names[1], 3), (names[2], 4)]
        .map(|(name, number)| outbox.stream(name, class(number), AT_ONCE).unwrap());
    let lost = |name: &str| {
        let stats = outbox.stats().into_iter().find(|stats| *stats.name == *name).unwrap();
        stats.lost.get("outbox_full").copied().unwrap_or_default()
    };
    for epoch in 1..=3 {
        c.add(epoch, epoch as i64, 1, format!("{epoch}\n").as_bytes()).unwrap();
    }
    assert_eq!(waiting(&site, &names), ["", "2 3", ""]);
    assert_eq!(lost("p.ccccc"), 1);
    for epoch in 4..=6 {
        d.add(epoch, epoch as i64, 1, format!("{epoch}\n").as_bytes()).unwrap();
    }
    assert_eq!(waiting(&site, &names), ["", "2 3", "5 6"]);
    // The higher class takes the room of the lowest, then of the next.
    for epoch in 7..=9 {
        a.add(epoch, epoch as i64, 1, format!("{epoch}\n").as_bytes()).unwrap();
    }
    assert_eq!(waiting(&site, &names), ["7 8 9", "3", ""]);
    assert_eq!((lost("p.aaaaa"), lost("p.ccccc"), lost("p.ddddd")), (0, 2, 3));
    // A lower class takes nothing from a higher one: what is new goes itself, and holds nothing up.
    c.accepted(&c.next().unwrap().unwrap().head).unwrap();
    a.add(10, 10, 1, b"x\n").unwrap();
    d.add(11, 11, 2, b"y\n").unwrap();
    assert_eq!(waiting(&site, &names), ["7 8 9 x", "", ""]);
    assert_eq!((lost("p.ddddd"), d.held()), (5, 11));
    // What is being sent is not taken from under the courier.
    assert_eq!(a.next().unwrap().unwrap().body, b"7\n");
    a.add(12, 12, 1, b"z\n").unwrap();
    assert_eq!(waiting(&site, &names), ["7 9 x z", "", ""]);
}

#[test]
fn a_full_disk_takes_room_from_lower_classes_and_else_waits() {
    let site = Site::new();
    let outbox = site.open(Caps::default()).unwrap().outbox;
    let high = outbox.stream("p.high", class(1), AT_ONCE).unwrap();
    let low = outbox.stream("p.low", class(4), AT_ONCE).unwrap();
    low.add(1, 1, 1, &b"low\n".repeat(20)).unwrap();
    site.storage.set_room(Some(10));
    high.add(2, 2, 1, b"high\n").unwrap();
    assert_eq!(waiting(&site, &["p.high", "p.low"]), ["high", ""]);
    site.storage.set_room(Some(10));
    for _ in 0..3 {
        assert!(high.add(3, 3, 1, b"later\n").unwrap_err().is_full());
        assert_eq!(high.held(), 2);
    }
    site.storage.set_room(None);
    high.add(3, 3, 1, b"later\n").unwrap();
    assert_eq!(waiting(&site, &["p.high"]), ["high later"]);
}

#[test]
fn a_damaged_batch_is_set_aside_and_the_others_are_delivered() {
    type Damage = fn(&mut Vec<u8>);
    let damages: [(&str, Damage); 6] = [
        ("flipped", |bytes| *bytes.last_mut().unwrap() ^= 1),
        ("flipped in its head", |bytes| bytes[30] ^= 1),
        ("truncated", |bytes| bytes.truncate(bytes.len() / 2)),
        ("empty", Vec::clear),
        ("zeroed", |bytes| bytes.fill(0)),
        ("foreign", |bytes| *bytes = b"PAR1 and something else altogether, which is long enough".to_vec()),
    ];
    for (what, damage) in damages {
        for damaged in 1..=3_u64 {
            let site = Site::new();
            let (_, stream) = site.stream(AT_ONCE).unwrap();
            for epoch in 1..=3 {
                stream.add(epoch, epoch as i64, 1, format!("{epoch}\n").as_bytes()).unwrap();
            }
            drop(stream);
            let path = path(&site.folder().join(STREAM), damaged);
            let mut bytes = std::fs::read(&path).unwrap();
            damage(&mut bytes);
            std::fs::write(&path, bytes).unwrap();
            let OpenedOutbox { outbox, mut problems } = site.open(Caps::default()).unwrap();
            let stream = outbox.stream(STREAM, class(2), AT_ONCE).unwrap();
            // A newest batch that is gone comes again out of the journal.
            let again = if damaged == 3 { 2 } else { 3 };
            // A body that changed inside is seen when it is read.
            if problems.is_empty() {
                assert_eq!((what, stream.held()), ("flipped", 3));
            } else {
                assert_eq!(stream.held(), again, "{what} {damaged}");
            }
            let mut left = Vec::new();
            while let Some(batch) = stream.next().unwrap() {
                left.extend_from_slice(&batch.body);
                stream.accepted(&batch.head).unwrap();
            }
            let expected: String =
                (1..=3).filter(|epoch| *epoch != damaged).map(|epoch| format!("{epoch}\n")).collect();
            assert_eq!(String::from_utf8(left).unwrap(), expected, "{what} {damaged}");
            let kept = entries(&site.folder().join(STREAM).join(DAMAGED)).unwrap();
            assert_eq!(kept.len(), 1, "{what} {damaged}");
            if let Some(problem) = problems.pop() {
                assert!(problem.set_aside.as_ref().is_some_and(|path| path.exists()), "{problem}");
                assert!(problem.lost.is_none_or(|lost| lost == (damaged, damaged)), "{problem}");
            } else {
                assert_eq!(outbox.stats()[0].lost, BTreeMap::from([("damaged", 1)]), "{what} {damaged}");
            }
        }
    }
}

#[test]
fn a_damaged_position_only_makes_what_is_there_come_again() {
    let site = Site::new();
    let (_, stream) = site.stream(AT_ONCE).unwrap();
    for epoch in 1..=3 {
        stream.add(epoch, epoch as i64, 1, format!("{epoch}\n").as_bytes()).unwrap();
    }
    stream.accepted(&stream.next().unwrap().unwrap().head).unwrap();
    drop(stream);
    let file = site.folder().join(STREAM).join("position");
    let mut bytes = std::fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let OpenedOutbox { outbox, problems } = site.open(Caps::default()).unwrap();
    assert_eq!(problems.len(), 1);
    let stream = outbox.stream(STREAM, class(2), AT_ONCE).unwrap();
    assert_eq!(stream.held(), 3);
    assert_eq!(stream.next().unwrap().unwrap().body, b"2\n");
}

#[test]
fn a_newer_format_is_refused() {
    let site = Site::new();
    let (_, stream) = site.stream(AT_ONCE).unwrap();
    stream.add(1, 1, 1, b"1\n").unwrap();
    let path = path(&site.folder().join(STREAM), 1);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[8] = 9;
    std::fs::write(&path, bytes).unwrap();
    let error = site.open(Caps::default()).unwrap_err();
    assert!(matches!(&error, StorageError::Version { found, .. } if found == "9"), "{error}");
}

#[test]
fn what_is_refused_is_kept_with_the_reason_and_not_for_ever() {
    let site = Site::new();
    let (outbox, stream) = site.stream(AT_ONCE).unwrap();
    for epoch in 1..=40 {
        stream.add(epoch, epoch as i64, 2, b"a\nb\n").unwrap();
        let batch = stream.next().unwrap().unwrap();
        stream.refused(&batch.head, "it answered 400 Bad Request").unwrap();
        assert_eq!(stream.next().unwrap(), None);
    }
    assert_eq!(outbox.stats()[0].lost, BTreeMap::from([("refused", 80)]));
    let mut kept = entries(&site.folder().join(STREAM).join(REFUSED)).unwrap();
    kept.sort();
    assert_eq!(kept.len(), 32);
    let why = std::fs::read_to_string(kept.last().unwrap()).unwrap();
    assert!(why.contains("400 Bad Request") && why.contains("/p.n/40: 2 rows, epochs 40 to 40"), "{why}");
    drop(stream);
    let (_, stream) = site.stream(AT_ONCE).unwrap();
    assert_eq!((stream.held(), stream.next().unwrap()), (40, None));
}

#[test]
fn a_batch_is_sealed_by_time_by_size_and_when_asked() {
    let site = Site::new();
    let opened = site.open(Caps::default()).unwrap();
    let stream = opened.outbox.stream(STREAM, class(3), Sealing { every: 100, size: 8 }).unwrap();
    stream.add(1, 10, 0, b"").unwrap();
    assert_eq!((stream.held(), stream.seal_if_due(10_000).unwrap()), (1, None));
    stream.add(2, 20, 1, b"2\n").unwrap();
    stream.add(3, 30, 0, b"").unwrap();
    // Rows of 2 are in memory, and what is behind them does not count either.
    assert_eq!(stream.held(), 1);
    assert_eq!(stream.seal_if_due(70).unwrap(), Some(std::time::Duration::from_micros(50)));
    assert_eq!(stream.seal_if_due(120).unwrap(), None);
    assert_eq!(stream.held(), 3);
    assert_eq!(stream.next().unwrap().unwrap().head.epochs, (2, 3));
    stream.add(4, 200, 1, b"12345678").unwrap();
    assert_eq!(stream.held(), 4);
    stream.add(5, 210, 1, b"5\n").unwrap();
    stream.add(6, 310, 0, b"").unwrap();
    assert_eq!(stream.held(), 6);
    assert_eq!(opened.outbox.stats()[0].waiting_batches, 3);
    assert_eq!(opened.outbox.stats()[0].oldest, Some(120));
}

#[test]
fn a_damaged_batch_and_position_are_found_and_set_aside_while_no_site_runs() {
    let folder = tempfile::tempdir().unwrap();
    let (disk, outbox) = (Disk::default(), folder.path().join("outbox"));
    {
        let opened = Outbox::open(&disk, &outbox, "S", Caps::default()).unwrap();
        let stream = opened.outbox.stream(STREAM, class(2), AT_ONCE).unwrap();
        for epoch in 1..=EPOCHS {
            stream.add(epoch, epoch as i64, rows_of(epoch), &lines_of(epoch)).unwrap();
        }
    }
    let look = |care| super::look(folder.path(), &outbox, care, &mut |_| ()).unwrap();
    let (streams, findings) = look(Care::Whole);
    assert_eq!(findings, []);
    let rows: u64 = (1..=EPOCHS).map(rows_of).sum();
    let [stream] = streams.as_slice() else { panic!("{streams:?}") };
    assert_eq!((&*stream.name, stream.class, stream.rows), (STREAM, Some(2), rows));
    let (first, last) = stream.sequences.unwrap();
    assert_eq!((first, last - first + 1, stream.delivered), (1, stream.batches, 0));

    // In the body, which only reading it whole shows; its head still says what is lost.
    let batch = path(&outbox.join(STREAM), first + 1);
    let mut bytes = std::fs::read(&batch).unwrap();
    let at = bytes.len() - 1;
    bytes[at] ^= 1;
    std::fs::write(&batch, bytes).unwrap();
    assert_eq!(look(Care::Sizes).1, []);
    let [finding] = look(Care::Whole).1.try_into().unwrap();
    let epoch = finding.epochs.unwrap().0;
    assert_eq!((finding.rows, finding.epochs), (Some(rows_of(epoch)), Some((epoch, epoch))));
    let position = outbox.join(STREAM).join("position");
    std::fs::write(&position, "nonsense").unwrap();
    assert_eq!(look(Care::Sizes).1.len(), 1);

    let problems = super::repair(&disk, &outbox).unwrap();
    assert_eq!(problems.iter().map(|problem| problem.path.clone()).collect::<Vec<_>>(), [position, batch]);
    assert!(problems.iter().all(|problem| problem.set_aside.as_ref().unwrap().exists()));
    let (streams, findings) = look(Care::Whole);
    assert_eq!((streams[0].batches, findings), (stream.batches - 1, vec![]));
}
