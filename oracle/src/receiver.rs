//! Who gets what the site sends: takes it, refuses it, or takes it and loses its answer.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ducto_storage::disk::Disk;
use ducto_storage::{BatchId, Caps, Class, Outbox, Sealing};

use crate::{Fault, site::STREAMS};

/// No request takes longer to come.
const PATIENCE: Duration = Duration::from_secs(10);

/// A batch by its id, as `Idempotency-Key` has it.
#[derive(Debug)]
struct Batch {
    incarnation: String,
    stream: String,
    sequence: u64,
    body: Vec<u8>,
}

#[derive(Default)]
struct State {
    batches: Mutex<BTreeMap<String, Batch>>,
    /// What must never come: one id for two batches.
    wrong: Mutex<Option<String>>,
    /// Every so many requests one is refused, and one loses its answer; 0 for none.
    unwell: AtomicU64,
    requests: AtomicU64,
    ended: AtomicBool,
}

/// A receiver on a port of its own.
pub(crate) struct Receiver {
    address: SocketAddr,
    state: Arc<State>,
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Receiver {
    pub(crate) fn start() -> Result<Self, Fault> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let state = Arc::new(State::default());
        let shared = state.clone();
        std::thread::Builder::new().name("receiver".into()).spawn(move || {
            for stream in listener.incoming().flatten() {
                if shared.ended.load(Ordering::Acquire) {
                    return;
                }
                let shared = shared.clone();
                std::thread::spawn(move || while serve(&stream, &shared) == Some(true) {});
            }
        })?;
        Ok(Self { address, state })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/in", self.address)
    }

    /// From now on one of so many requests is refused and another loses its answer; 0 for none.
    pub(crate) fn set_unwell(&self, every: u64) {
        self.state.unwell.store(every, Ordering::Release);
    }

    /// Whatever waits in an outbox that nobody delivers any more is taken over.
    pub(crate) fn fetch(&self, outbox: &Outbox) -> Result<(), Fault> {
        for name in STREAMS {
            let class = Class::new(1).ok_or("there is no first class")?;
            let stream = outbox.stream(name, class, Sealing { every: 0, size: 1 })?;
            while let Some(batch) = stream.next()? {
                let BatchId { incarnation, stream: name, sequence, .. } = &batch.head.id;
                let taken = Batch {
                    incarnation: incarnation.to_string(),
                    stream: name.to_string(),
                    sequence: *sequence,
                    body: batch.body.clone(),
                };
                keep(&self.state, batch.head.id.to_string(), taken);
                stream.accepted(&batch.head)?;
            }
        }
        Ok(())
    }

    /// As [`Receiver::fetch`], of a data folder.
    pub(crate) fn fetch_from(&self, data: &std::path::Path, site: &str) -> Result<(), Fault> {
        let opened = Outbox::open(&Disk::default(), &data.join("outbox"), site, Caps::default())?;
        if let Some(problem) = opened.problems.first() {
            return Err(format!("the outbox is damaged: {problem}").into());
        }
        self.fetch(&opened.outbox)
    }

    /// The lines of a stream, in the order of their batches: those that one incarnation has sent, or those of all others.
    pub(crate) fn lines(&self, stream: &str, incarnation: &str, of_others: bool) -> Result<Vec<String>, Fault> {
        if let Some(wrong) = lock(&self.state.wrong).clone() {
            return Err(wrong.into());
        }
        let batches = lock(&self.state.batches);
        let mut chosen: Vec<&Batch> = batches
            .values()
            .filter(|batch| batch.stream == stream && (batch.incarnation != incarnation) == of_others)
            .collect();
        chosen.sort_by_key(|batch| batch.sequence);
        let sequences: BTreeSet<u64> = chosen.iter().map(|batch| batch.sequence).collect();
        if sequences.len() != chosen.len() {
            return Err(format!("`{stream}` has given a sequence to two batches").into());
        }
        Ok(chosen
            .iter()
            .flat_map(|batch| String::from_utf8_lossy(&batch.body).lines().map(str::to_owned).collect::<Vec<_>>())
            .collect())
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::Release);
        let _ = TcpStream::connect(self.address);
    }
}

fn keep(state: &State, id: String, batch: Batch) {
    let mut batches = lock(&state.batches);
    match batches.get(&id) {
        Some(before) if before.body != batch.body => {
            *lock(&state.wrong) = Some(format!("`{id}` came with two contents"));
        }
        Some(_) => {}
        None => {
            batches.insert(id, batch);
        }
    }
}

/// Reads one request and answers it. Says whether another may come.
fn serve(stream: &TcpStream, state: &State) -> Option<bool> {
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|length| *length > 0)?;
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let header = |name: &str| headers.get(name).cloned();
    let mut body = vec![0; header("content-length")?.parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    let number = state.requests.fetch_add(1, Ordering::AcqRel);
    let unwell = state.unwell.load(Ordering::Acquire);
    let turn = number.checked_rem(unwell);
    let mut writer = stream;
    if turn == Some(1) {
        writer.write_all(b"HTTP/1.1 503 Said\r\nContent-Length: 0\r\n\r\n").ok()?;
        return Some(true);
    }
    let batch = Batch {
        incarnation: header("ducto-incarnation")?,
        stream: header("ducto-stream")?,
        sequence: header("ducto-sequence")?.parse().ok()?,
        body,
    };
    keep(state, header("idempotency-key")?, batch);
    if turn == Some(2) {
        return None;
    }
    writer.write_all(b"HTTP/1.1 200 Said\r\nContent-Length: 0\r\n\r\n").ok()?;
    Some(true)
}
