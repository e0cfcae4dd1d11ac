//! The site's end of the socket.

use std::fs::{DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncWrite, AsyncWriteExt, BufReader, Interest};
use tokio::net::unix::OwnedReadHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::protocol::{Answer, End, LONGEST_REQUEST, LeftOut, Refusal, RefusalKind, parse, too_long};
use super::{Address, NAME};
use crate::live::Shared;
use crate::socket::answer;

/// Connections served at once; more wait.
const CONNECTIONS: usize = 32;
/// A connection that asks nothing for so long is closed.
const IDLE: Duration = Duration::from_secs(120);
/// So long an answer waits for a reader.
const STUCK: Duration = Duration::from_secs(60);
/// How often a client that writes no more is looked at.
const LOOK: Duration = Duration::from_millis(250);
/// At a stop, so long answers under way may take.
const GRACE: Duration = Duration::from_secs(2);

/// Listens from [`Server::start`] to [`Server::stop`].
pub(crate) struct Server {
    runtime: tokio::runtime::Runtime,
    path: PathBuf,
    stopping: Arc<AtomicBool>,
    shared: Arc<Shared>,
}

impl Server {
    /// # Errors
    /// The socket's path, and why it cannot be opened.
    pub(crate) fn start(shared: Arc<Shared>) -> Result<Self, (PathBuf, io::Error)> {
        let path = shared.folder.path().join(NAME);
        let started = || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .thread_name("ducto-socket")
                .enable_io()
                .enable_time()
                .build()?;
            let listener = {
                let _guard = runtime.enter();
                listen(shared.folder.path())?
            };
            let stopping = Arc::new(AtomicBool::new(false));
            runtime.spawn(accept(listener, shared.clone(), stopping.clone()));
            Ok(Self { runtime, path: path.clone(), stopping, shared })
        };
        started().map_err(|error| (path.clone(), error))
    }

    pub(crate) fn stop(self) {
        self.stopping.store(true, Ordering::Release);
        let _ = std::fs::remove_file(&self.path);
        // Views are told that this is their end.
        let end = Instant::now() + GRACE;
        while !self.shared.lookers.is_quiet() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(5));
        }
        self.runtime.shutdown_timeout(GRACE);
    }
}

/// Opens the socket: only its owner may ever reach it, and what a dead process left in its place is replaced. The data
/// folder is locked, so that no other process listens there.
fn listen(folder: &Path) -> io::Result<UnixListener> {
    let closed = folder.join("staging").join(".socket");
    let _ = std::fs::remove_dir_all(&closed);
    DirBuilder::new().mode(0o700).recursive(true).create(&closed)?;
    let address = Address::of(&closed, NAME)?;
    let listener = UnixListener::bind(&address.path)?;
    std::fs::set_permissions(&address.path, Permissions::from_mode(0o600))?;
    std::fs::rename(closed.join(NAME), folder.join(NAME))?;
    std::fs::remove_dir(&closed)?;
    Ok(listener)
}

async fn accept(listener: UnixListener, shared: Arc<Shared>, stopping: Arc<AtomicBool>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let own = rustix::process::getuid().as_raw();
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let user = stream.peer_cred().map(|credentials| credentials.uid());
                let Ok(user) = user.inspect_err(|error| tracing::warn!(%error, "a client is not known")) else {
                    continue;
                };
                if user != own && user != 0 {
                    tracing::warn!(user, "a client of another user was refused");
                    continue;
                }
                let (shared, stopping) = (shared.clone(), stopping.clone());
                tokio::spawn(async move {
                    let _permit = permit;
                    if let Err(error) = serve(stream, user, shared, stopping).await {
                        tracing::debug!(%error, "a client has gone");
                    }
                });
            }
            Err(error) => {
                // Out of file descriptors, most likely: let some close.
                tracing::warn!(%error, "a client cannot be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve(stream: UnixStream, user: u32, shared: Arc<Shared>, stopping: Arc<AtomicBool>) -> io::Result<()> {
    let _connected = shared.lookers.connect();
    let (reader, writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    let mut to = Writer { writer, rows: 0 };
    loop {
        let line = match timeout(IDLE, read_line(&mut reader)).await {
            Err(_) | Ok(Ok(Line::End)) => return Ok(()),
            Ok(Ok(Line::TooLong)) => {
                // Where the next request begins cannot be told.
                return to.write(&Answer::Error(too_long())).await;
            }
            Ok(Ok(Line::Read(line))) => line,
            Ok(Err(error)) => return Err(error),
        };
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        to.rows = 0;
        let _asking = shared.lookers.ask();
        let refusal = match parse(&line) {
            Ok(_) if stopping.load(Ordering::Acquire) => answer::stopping(),
            Ok(ask) => {
                let answered = tokio::select! {
                    answered = answer::answer(ask, user, &shared, &stopping, &mut to) => answered?,
                    // Nobody waits any more for what a long query would find.
                    () = gone(&mut reader) => return Ok(()),
                };
                match answered {
                    Ok(left_out) => {
                        let rows = to.rows;
                        to.write(&Answer::End(End { rows, left_out })).await?;
                        continue;
                    }
                    Err(refusal) => refusal,
                }
            }
            Err(refusal) => refusal,
        };
        let last = refusal.kind == RefusalKind::Unavailable;
        to.write(&Answer::Error(refusal)).await?;
        if last {
            return Ok(());
        }
    }
}

/// Ends when the other end has gone; never while its next request waits. One that only writes no more still reads.
async fn gone(reader: &mut BufReader<OwnedReadHalf>) {
    if reader.fill_buf().await.is_ok_and(|next| !next.is_empty()) {
        std::future::pending::<()>().await;
    }
    let stream: &UnixStream = reader.get_ref().as_ref();
    while stream.ready(Interest::WRITABLE).await.is_ok_and(|ready| !ready.is_write_closed()) {
        tokio::time::sleep(LOOK).await;
    }
}

enum Line {
    Read(Vec<u8>),
    TooLong,
    End,
}

/// Reads up to the next line break, and never more than a request may have.
async fn read_line(reader: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Line> {
    let mut line = Vec::new();
    loop {
        let chunk = reader.fill_buf().await?;
        if chunk.is_empty() {
            // A last line without its break is no request: its writer has gone.
            return Ok(Line::End);
        }
        let end = chunk.iter().position(|byte| *byte == b'\n');
        let part = &chunk[..end.unwrap_or(chunk.len())];
        if line.len() + part.len() > LONGEST_REQUEST {
            return Ok(Line::TooLong);
        }
        line.extend_from_slice(part);
        let used = end.map_or(chunk.len(), |end| end + 1);
        reader.consume(used);
        if end.is_some() {
            return Ok(Line::Read(line));
        }
    }
}

/// Writes answers, each a line and what bytes belong to it.
pub(crate) struct Writer<W> {
    writer: W,
    /// Rows given in answer to the present request.
    pub(crate) rows: u64,
}

impl<W: AsyncWrite + Unpin> Writer<W> {
    pub(crate) async fn write(&mut self, answer: &Answer) -> io::Result<()> {
        let mut line = serde_json::to_vec(answer)?;
        line.push(b'\n');
        if let Answer::Arrow(piece) = answer {
            line.extend_from_slice(&piece.data);
        }
        match timeout(STUCK, self.writer.write_all(&line)).await {
            Ok(written) => written,
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "it does not read its answers")),
        }
    }

    pub(crate) async fn row(&mut self, row: serde_json::Map<String, serde_json::Value>) -> io::Result<()> {
        self.rows += 1;
        self.write(&Answer::Row(row)).await
    }
}

/// What came of a request: what a tap left out, or why it was refused.
pub(crate) type Answered = Result<LeftOut, Refusal>;
