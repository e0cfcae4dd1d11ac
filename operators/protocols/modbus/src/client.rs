//! A Modbus TCP client with one request in flight at a time.
//!
//! It never reconnects by itself: when [`Client::is_open`] turns false, whoever owns it decides
//! when to connect again and to which endpoint.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use crate::pdu::{Exception, PduError, Request, Response};
use crate::tcp::{Decoder, Frame, FrameError};

/// How many timed-out transactions are remembered, to tell their late answers from foreign ones.
const REMEMBERED: usize = 64;

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
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            response_timeout: Duration::from_secs(1),
            pause_after_connect: Duration::ZERO,
            pause_between_requests: Duration::ZERO,
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
    /// Bytes that were no Modbus TCP.
    pub garbage: u64,
}

/// Why a request has no response.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot connect to {address}: {source}: check the address, the network and that the device listens")]
    Connect { address: String, source: io::Error },
    #[error("{address} did not accept a connection within {after:?}: check the address and the network")]
    ConnectTimeout { address: String, after: Duration },
    #[error(
        "{address}, unit {unit}: no answer within {after:?} ({foreign} other frames came): check the unit id, or raise the timeout"
    )]
    Timeout { address: String, unit: u8, after: Duration, foreign: u64 },
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
    #[error("the connection to {address} is closed: connect again")]
    Closed { address: String },
}

/// A connection to a Modbus TCP device or gateway.
#[derive(Debug)]
pub struct Client {
    address: String,
    options: Options,
    /// `None` once the connection is of no more use.
    stream: Option<TcpStream>,
    decoder: Decoder,
    transaction: u16,
    /// The request under way. Still there at the next one if the caller dropped the future.
    outstanding: Option<u16>,
    /// Whether a request is partly written, after which the stream has no frame boundary.
    writing: bool,
    timed_out: VecDeque<u16>,
    quiet_until: Instant,
    counters: Counters,
}

impl Client {
    /// Connects to `address`, such as `10.0.0.5:502` or `rtu-7.field:502`.
    pub async fn connect(address: &str, options: Options) -> Result<Self, Error> {
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
        // Requests are small and each waits for its answer: delaying them gains nothing.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(address, %error, "no TCP_NODELAY");
        }
        Ok(Self {
            address: address.to_owned(),
            options,
            stream: Some(stream),
            decoder: Decoder::new(),
            transaction: 0,
            outstanding: None,
            writing: false,
            timed_out: VecDeque::new(),
            quiet_until: Instant::now() + options.pause_after_connect,
            counters: Counters::default(),
        })
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

    /// The address that was connected to.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Asks `unit` and waits for its answer. After a timeout, an exception or a wrong answer the
    /// connection stays open; after garbage or a broken connection it is closed. Dropping the
    /// future is allowed: its answer is discarded when it comes.
    pub async fn request(&mut self, unit: u8, request: &Request) -> Result<Response, Error> {
        let pdu = request.encode().map_err(Error::Request)?;
        if self.writing {
            self.stream = None;
        }
        if let Some(abandoned) = self.outstanding.take() {
            self.remember(abandoned);
        }
        if self.stream.is_none() {
            return Err(Error::Closed { address: self.address.clone() });
        }
        // Even a sleep that is over already waits for the timer's next tick.
        if self.quiet_until > Instant::now() {
            sleep_until(self.quiet_until).await;
        }

        self.transaction = self.transaction.wrapping_add(1);
        let transaction = self.transaction;
        self.timed_out.retain(|id| *id != transaction);
        self.outstanding = Some(transaction);
        self.counters.requests += 1;
        let refused_before = self.counters.late + self.counters.wrong_transaction;

        let deadline = Instant::now() + self.options.response_timeout;
        let answer = timeout_at(deadline, self.exchange(Frame { transaction, unit, pdu })).await;
        self.quiet_until = Instant::now() + self.options.pause_between_requests;
        self.outstanding = None;
        let address = || self.address.clone();
        let frame = match answer {
            Ok(Ok(frame)) => frame,
            Ok(Err(error)) => {
                tracing::debug!(address = self.address, %error, "connection closed");
                self.stream = None;
                return Err(error);
            }
            Err(_) => {
                let foreign = self.counters.late + self.counters.wrong_transaction - refused_before;
                let after = self.options.response_timeout;
                let error = Error::Timeout { address: address(), unit, after, foreign };
                self.counters.timeouts += 1;
                self.remember(transaction);
                return Err(error);
            }
        };
        if frame.unit != unit {
            let error = Error::WrongUnit { address: address(), unit, got: frame.unit };
            self.counters.wrong_unit += 1;
            return Err(error);
        }
        match Response::decode(request, &frame.pdu) {
            Ok(Ok(response)) => {
                self.counters.responses += 1;
                Ok(response)
            }
            Ok(Err(exception)) => {
                let error = Error::Exception { address: address(), unit, exception };
                self.counters.exceptions += 1;
                Err(error)
            }
            Err(source) => {
                let error = Error::Answer { address: address(), unit, source };
                self.counters.wrong_pdu += 1;
                Err(error)
            }
        }
    }

    /// Sends `frame` and waits for the frame with its transaction id. Every error is final.
    async fn exchange(&mut self, frame: Frame) -> Result<Frame, Error> {
        let broken = |source| Error::Io { address: self.address.clone(), source };
        let garbage = |source| Error::Garbage { address: self.address.clone(), source };
        let bytes = frame.encode().map_err(garbage)?;
        let Some(stream) = &mut self.stream else {
            return Err(Error::Closed { address: self.address.clone() });
        };
        self.writing = true;
        stream.write_all(&bytes).await.map_err(broken)?;
        self.writing = false;
        let mut chunk = [0; 512];
        loop {
            let next = self.decoder.next_frame().map_err(|source| {
                self.counters.garbage += 1;
                garbage(source)
            })?;
            match next {
                Some(answer) if answer.transaction == frame.transaction => return Ok(answer),
                Some(answer) => match self.timed_out.iter().position(|id| *id == answer.transaction) {
                    Some(at) => {
                        self.timed_out.remove(at);
                        self.counters.late += 1;
                    }
                    None => self.counters.wrong_transaction += 1,
                },
                None => match stream.read(&mut chunk).await.map_err(broken)? {
                    0 => return Err(broken(io::ErrorKind::UnexpectedEof.into())),
                    n => self.decoder.push(&chunk[..n]),
                },
            }
        }
    }

    fn remember(&mut self, transaction: u16) {
        if self.timed_out.len() == REMEMBERED {
            self.timed_out.pop_front();
        }
        self.timed_out.push_back(transaction);
    }
}
