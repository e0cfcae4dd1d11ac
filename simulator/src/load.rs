//! A field without physics, for measurements of load: many endpoints with many tags, their registers computed
//! beforehand.

use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use modbus::{Device, Exception, Order, Reply, Request, Response, Server, Value, ValueType};
use tokio::runtime::Runtime;

use crate::field::Random;
use crate::ports::{StartError, addresses, allow_sockets, listen};

/// Order of the bytes of values.
pub const ORDER: Order = Order::Cdab;
/// Seconds after which the values come again.
const SECONDS: usize = 60;
/// Registers that a table has, two for each value.
const MOST_TAGS: usize = 32_768;
const MOST_ENDPOINTS: usize = 60_000;

/// How much load: `1000x300` is 1,000 endpoints with 300 tags each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    pub endpoints: usize,
    pub tags: usize,
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no load; write endpoints and tags of each, `1000x300`");
        let (endpoints, tags) = text.split_once(['x', 'X', '×']).ok_or_else(wrong)?;
        let number = |text: &str| text.trim().replace('_', "").parse::<usize>().map_err(|_| wrong());
        let size = Self { endpoints: number(endpoints)?, tags: number(tags)? };
        match size {
            Self { endpoints: 1..=MOST_ENDPOINTS, tags: 1..=MOST_TAGS } => Ok(size),
            _ => Err(format!(
                "`{text}` is too much or nothing; give 1 to {MOST_ENDPOINTS} endpoints, 1 to {MOST_TAGS} tags"
            )),
        }
    }
}

/// Name of a tag by its number.
pub fn tag_name(number: usize) -> String {
    format!("T{number:04}")
}

/// Name of the asset behind an endpoint.
pub fn asset_name(number: usize) -> String {
    format!("RTU-{:04}", number + 1)
}

/// Registers for every second, which all endpoints share: each begins at another second.
#[derive(Debug)]
struct Frames {
    seconds: Vec<Vec<u16>>,
    now: AtomicUsize,
    requests: AtomicU64,
}

impl Frames {
    /// Values that swing between 0 and 100, each with a phase and a period of its own.
    fn new(tags: usize, seed: u64) -> Self {
        let mut random = Random::new(seed, "load");
        let waves: Vec<(f64, f64)> =
            (0..tags).map(|_| (random.unit(), f64::from(1 + (random.bits() % 3) as u32))).collect();
        let seconds = (0..SECONDS).map(|second| {
            let mut registers = Vec::with_capacity(2 * tags);
            for (phase, periods) in &waves {
                let angle = std::f64::consts::TAU * (phase + periods * second as f64 / SECONDS as f64);
                let mut words = [0; 2];
                // Every number goes into an f32.
                let _ = ValueType::F32.encode(ORDER, &Value::Float(50.0 + 50.0 * angle.sin()), &mut words);
                registers.extend(words);
            }
            registers
        });
        Self { seconds: seconds.collect(), now: AtomicUsize::new(0), requests: AtomicU64::new(0) }
    }
}

/// One endpoint.
#[derive(Debug)]
struct Endpoint {
    frames: Arc<Frames>,
    /// Seconds by which it is ahead of the first.
    ahead: usize,
}

impl Device for Endpoint {
    fn handle(&self, _unit: u8, request: &Request) -> Reply {
        let Request::ReadHoldingRegisters { address, count } = *request else {
            return Err(Exception::IllegalFunction);
        };
        self.frames.requests.fetch_add(1, Ordering::Relaxed);
        let second = (self.frames.now.load(Ordering::Relaxed) + self.ahead) % SECONDS;
        let from = usize::from(address);
        let registers = self.frames.seconds[second].get(from..from + usize::from(count));
        registers.map(|words| Response::ReadHoldingRegisters(words.to_vec())).ok_or(Exception::IllegalDataAddress)
    }
}

/// Endpoints that answer until they are dropped.
#[derive(Debug)]
pub struct Load {
    frames: Arc<Frames>,
    addresses: Vec<SocketAddr>,
    stop: Arc<AtomicBool>,
    clock: Option<JoinHandle<()>>,
    servers: Vec<Server>,
    runtime: Option<Runtime>,
}

impl Load {
    /// Listens on one port for each endpoint, from `address` on.
    ///
    /// # Errors
    /// When a port cannot be had, or so many files cannot be open.
    pub fn start(size: Size, seed: u64, address: &str) -> Result<Self, StartError> {
        // One socket listens, and one connection comes; a second is on its way while the first is being given up.
        allow_sockets(3 * size.endpoints as u64)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("load")
            .enable_io()
            .enable_time()
            .build()
            .map_err(StartError::Threads)?;
        let frames = Arc::new(Frames::new(size.tags, seed));
        let (mut servers, mut bound) = (Vec::new(), Vec::new());
        for (index, address) in addresses(address, size.endpoints)?.iter().enumerate() {
            let endpoint = Endpoint { frames: frames.clone(), ahead: 7 * index % SECONDS };
            let (server, address) = runtime.block_on(listen(address, Arc::new(endpoint)))?;
            servers.push(server);
            bound.push(address);
        }
        let stop = Arc::new(AtomicBool::new(false));
        let clock = {
            let (frames, stop) = (frames.clone(), stop.clone());
            let run = move || {
                let started = Instant::now();
                while !stop.load(Ordering::Relaxed) {
                    let second = started.elapsed().as_secs();
                    frames.now.store(second as usize % SECONDS, Ordering::Relaxed);
                    let next = Duration::from_secs(second + 1);
                    std::thread::park_timeout(next.saturating_sub(started.elapsed()));
                }
            };
            std::thread::Builder::new().name("seconds".into()).spawn(run).map_err(StartError::Threads)?
        };
        Ok(Self { frames, addresses: bound, stop, clock: Some(clock), servers, runtime: Some(runtime) })
    }

    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Requests that were answered so far.
    pub fn requests(&self) -> u64 {
        self.frames.requests.load(Ordering::Relaxed)
    }

    /// Connections that came so far.
    pub fn connections(&self) -> u64 {
        self.servers.iter().map(Server::accepted).sum()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(clock) = self.clock.take() {
            clock.thread().unpark();
            let _ = clock.join();
        }
        if let Some(runtime) = self.runtime.take() {
            {
                let _guard = runtime.enter();
                self.servers.clear();
            }
            runtime.shutdown_background();
        }
    }
}
