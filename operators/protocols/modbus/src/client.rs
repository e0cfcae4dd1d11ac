//! A Modbus client with one request in flight at a time, over whatever carries bytes.
//!
//! It never reconnects by itself: when [`Client::is_open`] turns false, whoever owns it decides
//! when to connect again and to which endpoint.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use crate::endpoint::{Endpoint, Framing};
use crate::listen::Listener;
use crate::pdu::{Exception, PduError, Request, Response};
use crate::serial::Serial;
use crate::tcp::FrameError;

mod header;
mod line;

use header::Header;
use line::Line;

/// How long to wait for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    pub connect_timeout: Duration,
    /// From the request's first byte to its whole answer.
    pub response_timeout: Duration,
    /// Quiet time between connecting and the first request, for devices that need it.
    pub pause_after_connect: Duration,
    /// Quiet time between an answer (or its timeout) and the next request.
    pub pause_between_requests: Duration,
    /// The same where the next request is for another unit: radios and converters have to turn
    /// around.
    pub turnaround: Duration,
    /// Silence between frames; `None` for what a serial line's speed asks for, and none elsewhere.
    pub inter_frame_gap: Option<Duration>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            response_timeout: Duration::from_secs(1),
            pause_after_connect: Duration::ZERO,
            pause_between_requests: Duration::ZERO,
            turnaround: Duration::ZERO,
            inter_frame_gap: None,
        }
    }
}

/// What went over one connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    pub requests: u64,
    /// Answers that matched their request, exceptions not among them.
    pub responses: u64,
    pub exceptions: u64,
    pub timeouts: u64,
    /// Answers to requests that had timed out, discarded.
    pub late: u64,
    /// Frames with a transaction id that was never sent, discarded.
    pub wrong_transaction: u64,
    pub wrong_unit: u64,
    /// Answers whose PDU was malformed or did not match the request.
    pub wrong_pdu: u64,
    /// Places where a frame's CRC did not fit.
    pub crc_errors: u64,
    /// Bytes that belonged to no frame: how often, not how many.
    pub garbage: u64,
}

impl Counters {
    /// Frames of others, or of before: whatever was whole and was not what was asked.
    #[must_use]
    pub fn foreign(&self) -> u64 {
        self.late + self.wrong_transaction + self.wrong_unit + self.wrong_pdu
    }
}

/// Why a request has no response.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot connect to {address}: {source}: check the address, the network and that the device listens")]
    Connect { address: String, source: io::Error },
    #[error("{address} did not accept a connection within {after:?}: check the address and the network")]
    ConnectTimeout { address: String, after: Duration },
    #[error("cannot open {address}: {source}: check the path, who may use it, and that no other program holds it")]
    Open { address: String, source: io::Error },
    #[error("cannot listen on {address}: {source}: check the address, and that no other program has the port")]
    Listen { address: String, source: io::Error },
    #[error("nothing dialled in to {address} within {after:?}: check the modem's target address and its line")]
    NobodyCame { address: String, after: Duration },
    #[error(
        "{address}, unit {unit}: no answer within {after:?}{}: check the unit id, or raise the timeout", others(*foreign)
    )]
    Timeout { address: String, unit: u8, after: Duration, foreign: u64 },
    #[error(
        "{address}, unit {unit}: an answer came that its CRC does not fit: check the wiring, its termination, and the line's speed and parity"
    )]
    Corrupt { address: String, unit: u8 },
    #[error("{address}, unit {unit}: {exception}: {advice}", advice = exception.advice())]
    Exception { address: String, unit: u8, exception: Exception },
    #[error("{address}: unit {got} answered what unit {unit} was asked: check the gateway's unit ids")]
    WrongUnit { address: String, unit: u8, got: u8 },
    #[error("{address}, unit {unit}: {source}")]
    Answer { address: String, unit: u8, source: PduError },
    #[error("the request cannot be sent: {0}")]
    Request(PduError),
    #[error("{address} sent what is no Modbus TCP, and the connection was closed: {source}")]
    Garbage { address: String, source: FrameError },
    #[error("the connection to {address} broke: {source}: connect again")]
    Io { address: String, source: io::Error },
    /// Nothing of the request was sent.
    #[error("the connection to {address} is closed: connect again")]
    Closed { address: String },
}

/// What else came while an answer was waited for.
fn others(frames: u64) -> String {
    match frames {
        0 => String::new(),
        1 => ", but one other frame".to_owned(),
        frames => format!(", but {frames} other frames"),
    }
}

/// What carries bytes both ways.
pub trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for T {}

/// A connection to a device, a gateway, or a line of devices.
pub struct Client {
    address: String,
    options: Options,
    /// `None` once the connection is of no more use.
    stream: Option<Box<dyn Transport>>,
    framing: Frames,
    /// Whether a request is partly written, after which the stream has no frame boundary.
    writing: bool,
    quiet_until: Instant,
    last_unit: Option<u8>,
    round_trip: Option<Duration>,
    counters: Counters,
}

enum Frames {
    Header(Header),
    Line(Line),
}

/// Why an exchange came to nothing.
enum Failure {
    Io(io::Error),
    Garbage(FrameError),
    /// A whole answer came, broken on the way.
    Corrupt,
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("address", &self.address)
            .field("open", &self.is_open())
            .field("counters", &self.counters)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// Opens an endpoint. One that devices dial in to is listened on until the first one comes, at
    /// most for `connect_timeout`; keep a [`Listener`] and use [`Client::over`] to listen for longer.
    pub async fn open(endpoint: &Endpoint, options: Options) -> Result<Self, Error> {
        match endpoint {
            Endpoint::Tcp { address, framing } => Self::dial(address, *framing, options).await,
            Endpoint::Serial { path, line } => {
                let serial = Serial::open(path, *line)
                    .map_err(|source| Error::Open { address: endpoint.to_string(), source })?;
                let gap = options.inter_frame_gap.unwrap_or(line.silence());
                let options = Options { inter_frame_gap: Some(gap), ..options };
                Ok(Self::over(serial, path, Framing::Rtu, options))
            }
            Endpoint::Listen { address, framing } => {
                let listener = Listener::bind(address)
                    .await
                    .map_err(|source| Error::Listen { address: address.clone(), source })?;
                Self::accept(&listener, *framing, options).await
            }
        }
    }

    /// Connects to a Modbus TCP device at `address`, such as `10.0.0.5:502` or `rtu-7.field:502`.
    pub async fn connect(address: &str, options: Options) -> Result<Self, Error> {
        Self::dial(address, Framing::Tcp, options).await
    }

    async fn dial(address: &str, framing: Framing, options: Options) -> Result<Self, Error> {
        let connecting = timeout(options.connect_timeout, TcpStream::connect(address));
        let stream = match connecting.await {
            Ok(Ok(stream)) => stream,
            Ok(Err(source)) => {
                return Err(Error::Connect { address: address.to_owned(), source });
            }
            Err(_) => {
                return Err(Error::ConnectTimeout { address: address.to_owned(), after: options.connect_timeout });
            }
        };
        Ok(Self::over_tcp(stream, address, framing, options))
    }

    /// Takes the connection that waits at a listener, or the next one that comes within
    /// `connect_timeout`.
    pub async fn accept(listener: &Listener, framing: Framing, options: Options) -> Result<Self, Error> {
        match timeout(options.connect_timeout, listener.next()).await {
            Ok((stream, from)) => Ok(Self::over_tcp(stream, &from.to_string(), framing, options)),
            Err(_) => {
                let address = listener.local_addr().to_string();
                Err(Error::NobodyCame { address, after: options.connect_timeout })
            }
        }
    }

    /// A client on a TCP connection that is there already; `name` is for messages.
    #[must_use]
    pub fn over_tcp(stream: TcpStream, name: &str, framing: Framing, options: Options) -> Self {
        // Requests are small and each waits for its answer: delaying them gains nothing.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(address = name, %error, "no TCP_NODELAY");
        }
        Self::over(stream, name, framing, options)
    }

    /// A client on anything that carries bytes; `name` is for messages.
    #[must_use]
    pub fn over(stream: impl Transport + 'static, name: &str, framing: Framing, options: Options) -> Self {
        Self {
            address: name.to_owned(),
            options,
            stream: Some(Box::new(stream)),
            framing: match framing {
                Framing::Tcp => Frames::Header(Header::default()),
                Framing::Rtu => Frames::Line(Line::default()),
            },
            writing: false,
            quiet_until: Instant::now() + options.pause_after_connect,
            last_unit: None,
            round_trip: None,
            counters: Counters::default(),
        }
    }

    /// Whether the connection can still be used, as far as is known.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.stream.is_some() && !self.writing
    }

    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// From the newest request that was answered to its answer, exceptions among them.
    #[must_use]
    pub fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    /// What was connected to.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Asks `unit` and waits for its answer. After a timeout, an exception or a wrong answer the
    /// connection stays open; after garbage (where frames cannot be found again) or a broken
    /// connection it is closed. Dropping the future is allowed: its answer is discarded when it
    /// comes.
    pub async fn request(&mut self, unit: u8, request: &Request) -> Result<Response, Error> {
        self.request_within(unit, request, self.options.response_timeout).await
    }

    /// As [`Client::request`], with a response timeout of its own.
    pub async fn request_within(&mut self, unit: u8, request: &Request, patience: Duration) -> Result<Response, Error> {
        let pdu = request.encode().map_err(Error::Request)?;
        if self.writing {
            self.stream = None;
        }
        // One that the caller gave up: its answer may still come.
        self.give_up();
        self.pause(unit).await;
        let Self { address, stream, framing, counters, writing, .. } = self;
        let Some(open) = stream.as_deref_mut() else {
            return Err(Error::Closed { address: address.clone() });
        };
        // What came unasked is late, foreign or noise, and an end of the stream is seen before anything is sent.
        let pending = match framing {
            Frames::Header(header) => header.clear(open, counters),
            Frames::Line(line) => line.clear(open, counters),
        };
        if let Err(failure) = pending {
            return Err(self.broken(failure, true));
        }
        let frame = match framing {
            Frames::Header(header) => {
                header.frame(unit, pdu).map_err(|source| Error::Garbage { address: address.clone(), source })?
            }
            Frames::Line(line) => line.frame(unit, pdu, patience).map_err(Error::Request)?,
        };

        let before = *counters;
        counters.requests += 1;
        let sent = Instant::now();
        let exchange = async {
            *writing = true;
            open.write_all(&frame).await?;
            *writing = false;
            match framing {
                Frames::Header(header) => header.answer(open, counters).await,
                Frames::Line(line) => line.answer(open, counters, unit, request).await,
            }
        };
        let answer = timeout_at(sent + patience, exchange).await;
        self.last_unit = Some(unit);
        self.quiet_until = Instant::now() + self.options.pause_between_requests.max(self.gap());
        let (from, pdu) = match answer {
            Ok(Ok(frame)) => frame,
            Ok(Err(Failure::Corrupt)) => return Err(Error::Corrupt { address: self.address.clone(), unit }),
            Ok(Err(failure)) => return Err(self.broken(failure, false)),
            Err(_) => {
                self.give_up();
                self.counters.timeouts += 1;
                if self.counters.crc_errors > before.crc_errors {
                    return Err(Error::Corrupt { address: self.address.clone(), unit });
                }
                let foreign = self.counters.foreign() - before.foreign();
                return Err(Error::Timeout { address: self.address.clone(), unit, after: patience, foreign });
            }
        };
        if from != unit {
            self.counters.wrong_unit += 1;
            return Err(Error::WrongUnit { address: self.address.clone(), unit, got: from });
        }
        let decoded = Response::decode(request, &pdu);
        if decoded.is_ok() {
            self.round_trip = Some(sent.elapsed());
        }
        match decoded {
            Ok(Ok(response)) => {
                self.counters.responses += 1;
                Ok(response)
            }
            Ok(Err(exception)) => {
                self.counters.exceptions += 1;
                Err(Error::Exception { address: self.address.clone(), unit, exception })
            }
            Err(source) => {
                self.counters.wrong_pdu += 1;
                Err(Error::Answer { address: self.address.clone(), unit, source })
            }
        }
    }

    /// The request under way, if there is one, will have no answer or a late one.
    fn give_up(&mut self) {
        match &mut self.framing {
            Frames::Header(header) => header.give_up(),
            Frames::Line(line) => line.give_up(&mut self.counters),
        }
    }

    fn gap(&self) -> Duration {
        self.options.inter_frame_gap.unwrap_or(Duration::ZERO)
    }

    /// Waits out every quiet time that is due before `unit` is asked.
    async fn pause(&mut self, unit: u8) {
        let mut until = self.quiet_until;
        if self.last_unit.is_some_and(|last| last != unit) {
            let turned = self.options.turnaround.saturating_sub(self.options.pause_between_requests.max(self.gap()));
            until += turned;
        }
        if let Frames::Line(line) = &self.framing
            && let Some(owed) = line.owed_until(unit)
        {
            until = until.max(owed);
        }
        // Even a sleep that is over already waits for the timer's next tick.
        if until > Instant::now() {
            sleep_until(until).await;
        }
    }

    /// Waits until the far end closes the connection, and takes in meanwhile what comes unasked. Dropping the future is
    /// allowed.
    pub async fn closed(&mut self) -> Error {
        let mut chunk = [0; 256];
        loop {
            let Self { address, stream, framing, counters, .. } = self;
            let Some(open) = stream.as_deref_mut() else { return Error::Closed { address: address.clone() } };
            let taken = match open.read(&mut chunk).await {
                Ok(0) => Err(Failure::Io(io::ErrorKind::UnexpectedEof.into())),
                Ok(count) => match framing {
                    Frames::Header(header) => header.take(&chunk[..count], counters),
                    Frames::Line(line) => {
                        line.take(&chunk[..count], counters);
                        Ok(())
                    }
                },
                Err(source) => Err(Failure::Io(source)),
            };
            if let Err(failure) = taken {
                return self.broken(failure, true);
            }
        }
    }

    /// The connection is of no more use.
    fn broken(&mut self, failure: Failure, unsent: bool) -> Error {
        self.stream = None;
        let address = self.address.clone();
        let error = match failure {
            Failure::Garbage(source) => Error::Garbage { address, source },
            Failure::Io(_) if unsent => Error::Closed { address },
            Failure::Io(source) => Error::Io { address, source },
            Failure::Corrupt => Error::Closed { address },
        };
        tracing::debug!(address = self.address, %error, "connection closed");
        error
    }
}
