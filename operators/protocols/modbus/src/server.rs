//! A Modbus server for simulators and tests, with a device made of memory that can also misbehave.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use crate::address::{Address, Table};
use crate::client::Transport;
use crate::endpoint::Framing;
use crate::pdu::{Exception, Reply, Request, Response, encode_exception};
use crate::value::{Order, Value, ValueError, ValueType};
use crate::{rtu, tcp};

/// What answers behind a [`Server`], for all its connections at once.
pub trait Device: Send + Sync + 'static {
    /// Does what `request` asks of `unit`.
    fn handle(&self, unit: u8, request: &Request) -> Reply;

    /// How the answer of `unit` goes wrong, if it does. Asked before [`Self::handle`].
    fn fault(&self, _unit: u8) -> Option<Fault> {
        None
    }

    /// How the answer to this request, function code and data, goes wrong. By default the unit decides.
    fn fault_of(&self, unit: u8, _pdu: &[u8]) -> Option<Fault> {
        self.fault(unit)
    }
}

/// Ways for an answer to go wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The unit is dead.
    NoAnswer,
    /// The answer waits this long, and later requests of the connection with it.
    Late(Duration),
    /// These bytes come instead of the answer.
    Garbage(Vec<u8>),
    /// This exception comes instead of the answer.
    Exception(Exception),
    /// The answer carries a transaction id that nobody sent. On a line, where there are none, it does not come.
    WrongTransaction,
    /// The answer is of another function.
    WrongFunction,
    /// The answer's CRC does not fit; over TCP its header is none.
    Corrupt,
    /// The answer carries the next unit's id.
    WrongUnit,
    /// The connection is closed instead of answering.
    Close,
}

/// A listening server. It stops, and drops its connections, when it is dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    /// Raised to drop the connections that are open.
    generation: watch::Sender<u64>,
    accepted: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Server {
    /// Listens on `address`, such as `127.0.0.1:0` for a free port, for Modbus TCP.
    pub async fn bind(address: &str, device: Arc<dyn Device>) -> io::Result<Self> {
        Self::bind_framed(address, Framing::Tcp, device).await
    }

    /// As [`Server::bind`], with another framing.
    pub async fn bind_framed(address: &str, framing: Framing, device: Arc<dyn Device>) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let (generation, watched) = watch::channel(0);
        let accepted = Arc::new(AtomicU64::new(0));
        let task = tokio::spawn(accept(listener, framing, device, watched, accepted.clone()));
        Ok(Self { address, generation, accepted, task })
    }

    /// The address it listens on.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// How many connections it has accepted so far.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Drops the connections that are open; new ones are still accepted.
    pub fn disconnect_all(&self) {
        self.generation.send_modify(|generation| *generation += 1);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(
    listener: TcpListener,
    framing: Framing,
    device: Arc<dyn Device>,
    generation: watch::Receiver<u64>,
    accepted: Arc<AtomicU64>,
) {
    // Owned here, so that connections end with the server.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            incoming = listener.accept() => match incoming {
                Ok((stream, peer)) => {
                    accepted.fetch_add(1, Ordering::Relaxed);
                    if let Err(error) = stream.set_nodelay(true) {
                        tracing::debug!(%peer, %error, "no TCP_NODELAY");
                    }
                    let device = device.clone();
                    let mut generation = generation.clone();
                    generation.mark_unchanged();
                    connections.spawn(async move {
                        tokio::select! {
                            served = serve(stream, framing, &*device) => if let Err(error) = served {
                                tracing::debug!(%peer, %error, "connection ended");
                            },
                            _ = generation.changed() => {}
                        }
                    });
                }
                Err(error) => {
                    // Out of file descriptors, most likely: let some close.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// How long a line is quiet before what is incomplete on it counts as noise.
const SILENCE: Duration = Duration::from_millis(50);

/// Answers what comes over a stream, until it ends: for devices that dial in, and for serial lines, on which it is
/// every unit of the line.
///
/// # Errors
/// When the stream breaks, or what comes is no Modbus TCP where that is due.
pub async fn serve(mut stream: impl Transport, framing: Framing, device: &dyn Device) -> io::Result<()> {
    let mut frames = Frames::new(framing);
    let mut chunk = [0; 512];
    loop {
        while let Some((transaction, unit, pdu)) = frames.next()? {
            let fault = device.fault_of(unit, &pdu);
            match fault {
                Some(Fault::NoAnswer) => continue,
                Some(Fault::WrongTransaction) if framing == Framing::Rtu => continue,
                Some(Fault::Close) => return Ok(()),
                Some(Fault::Late(by)) => tokio::time::sleep(by).await,
                _ => {}
            }
            let code = pdu.first().copied().unwrap_or(0);
            let mut pdu = match &fault {
                Some(Fault::Exception(exception)) => encode_exception(code, *exception),
                _ => answer(device, unit, code, &pdu),
            };
            if fault == Some(Fault::WrongFunction)
                && let Some(code) = pdu.first_mut()
            {
                *code = match *code {
                    1 => 2,
                    2 => 1,
                    3 => 4,
                    4 => 3,
                    other => other ^ 1,
                };
            }
            let (transaction, unit) = match &fault {
                Some(Fault::WrongTransaction) => (!transaction, unit),
                Some(Fault::WrongUnit) => (transaction, unit.wrapping_add(1)),
                _ => (transaction, unit),
            };
            let mut bytes = match framing {
                Framing::Tcp => tcp::Frame { transaction, unit, pdu }.encode().map_err(io::Error::other)?,
                Framing::Rtu => rtu::Frame { unit, pdu }.encode().map_err(io::Error::other)?,
            };
            match fault {
                Some(Fault::Garbage(garbage)) => bytes = garbage,
                // The protocol id of a header, or the CRC.
                Some(Fault::Corrupt) => {
                    let at = if framing == Framing::Tcp { 2 } else { bytes.len() - 1 };
                    bytes[at] ^= 0x55;
                }
                _ => {}
            }
            stream.write_all(&bytes).await?;
        }
        let read = stream.read(&mut chunk);
        let count = if frames.is_incomplete() && framing == Framing::Rtu {
            match timeout(SILENCE, read).await {
                Ok(count) => count?,
                Err(_) => {
                    frames.silence();
                    continue;
                }
            }
        } else {
            read.await?
        };
        if count == 0 {
            return Ok(());
        }
        frames.push(&chunk[..count]);
    }
}

/// Requests in the bytes of a stream.
enum Frames {
    Tcp(tcp::Decoder),
    Rtu(rtu::Decoder),
}

impl Frames {
    fn new(framing: Framing) -> Self {
        match framing {
            Framing::Tcp => Self::Tcp(tcp::Decoder::new()),
            Framing::Rtu => Self::Rtu(rtu::Decoder::new(rtu::Side::Requests)),
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        match self {
            Self::Tcp(decoder) => decoder.push(bytes),
            Self::Rtu(decoder) => decoder.push(bytes),
        }
    }

    fn is_incomplete(&self) -> bool {
        match self {
            Self::Tcp(decoder) => decoder.pending() > 0,
            Self::Rtu(decoder) => decoder.pending() > 0,
        }
    }

    fn silence(&mut self) {
        if let Self::Rtu(decoder) = self {
            decoder.silence();
        }
    }

    /// Transaction (0 on a line), unit and PDU of the next request.
    fn next(&mut self) -> io::Result<Option<(u16, u8, Vec<u8>)>> {
        Ok(match self {
            Self::Tcp(decoder) => {
                decoder.next_frame().map_err(io::Error::other)?.map(|frame| (frame.transaction, frame.unit, frame.pdu))
            }
            Self::Rtu(decoder) => decoder.next_frame().map(|frame| (0, frame.unit, frame.pdu)),
        })
    }
}

fn answer(device: &dyn Device, unit: u8, code: u8, pdu: &[u8]) -> Vec<u8> {
    let reply = match Request::decode(pdu) {
        Ok(request) => device.handle(unit, &request),
        Err(error) => Err(error.exception()),
    };
    let encoded = reply.and_then(|response| response.encode().map_err(|_| Exception::DeviceFailure));
    encoded.unwrap_or_else(|exception| encode_exception(code, exception))
}

/// A device made of memory. Only what has been set exists: the rest answers exception 2, and a
/// unit of which nothing has been set exception 11, as a gateway does. Setters take `&self`.
#[derive(Debug, Default)]
pub struct Registers {
    units: RwLock<HashMap<u8, Unit>>,
    requests: AtomicU64,
}

#[derive(Debug, Default)]
struct Unit {
    /// Bits are kept as 0 and 1.
    memory: BTreeMap<(Table, u16), u16>,
    long: BTreeMap<u16, u32>,
    fault: Option<Fault>,
}

impl Registers {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets registers (or bits, where not 0) from `at` on. What would go past offset 65535 is
    /// left out.
    pub fn set(&self, unit: u8, at: Address, values: &[u16]) {
        self.edit(unit, |unit| {
            for (offset, value) in (at.offset..=u16::MAX).zip(values) {
                let value = if at.table.is_bits() { u16::from(*value != 0) } else { *value };
                unit.memory.insert((at.table, offset), value);
            }
        });
    }

    /// Sets long registers from `offset` on: function 3 answers four bytes for each of them.
    pub fn set_long(&self, unit: u8, offset: u16, values: &[u32]) {
        self.edit(unit, |unit| unit.long.extend((offset..=u16::MAX).zip(values.iter().copied())));
    }

    /// Sets coils or discrete inputs (or registers, to 0 and 1) from `at` on.
    pub fn set_bits(&self, unit: u8, at: Address, bits: &[bool]) {
        let values: Vec<u16> = bits.iter().map(|on| u16::from(*on)).collect();
        self.set(unit, at, &values);
    }

    /// Sets a value as [`ValueType::encode`] writes it; bits and bytes keep the rest of their
    /// register.
    pub fn set_value(
        &self,
        unit: u8,
        at: Address,
        kind: ValueType,
        order: Order,
        value: &Value,
    ) -> Result<(), ValueError> {
        let old = |i| self.get(unit, Address { table: at.table, offset: at.offset.saturating_add(i) }).unwrap_or(0);
        let mut registers: Vec<u16> = (0..kind.registers()).map(old).collect();
        kind.encode(order, value, &mut registers)?;
        self.set(unit, at, &registers);
        Ok(())
    }

    /// The register or bit (0 or 1) at `at`, or `None` where nothing has been set.
    #[must_use]
    pub fn get(&self, unit: u8, at: Address) -> Option<u16> {
        let units = self.units.read().unwrap_or_else(PoisonError::into_inner);
        units.get(&unit)?.memory.get(&(at.table, at.offset)).copied()
    }

    /// Makes `count` entries from `at` on answer exception 2 again.
    pub fn remove(&self, unit: u8, at: Address, count: u16) {
        self.edit(unit, |unit| {
            for offset in (at.offset..=u16::MAX).take(count.into()) {
                unit.memory.remove(&(at.table, offset));
            }
        });
    }

    /// Makes the answers of `unit` go wrong, or right again.
    pub fn set_fault(&self, unit: u8, fault: Option<Fault>) {
        self.edit(unit, |unit| unit.fault = fault);
    }

    /// How many requests have been answered, exceptions among them, those with faults not.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    fn edit(&self, unit: u8, change: impl FnOnce(&mut Unit)) {
        let mut units = self.units.write().unwrap_or_else(PoisonError::into_inner);
        change(units.entry(unit).or_default());
    }
}

impl Unit {
    fn read(&self, (table, first, count): (Table, u16, usize)) -> Result<Vec<u16>, Exception> {
        let last = usize::from(first) + count.max(1) - 1;
        let last = u16::try_from(last).map_err(|_| Exception::IllegalDataAddress)?;
        if table == Table::HoldingRegisters && self.long.contains_key(&first) {
            let words = self.long.range(first..=last).flat_map(|(_, long)| [(long >> 16) as u16, *long as u16]);
            let words: Vec<u16> = words.collect();
            return if words.len() == 2 * count { Ok(words) } else { Err(Exception::IllegalDataAddress) };
        }
        let values: Vec<u16> = self.memory.range((table, first)..=(table, last)).map(|(_, v)| *v).collect();
        if values.len() == count { Ok(values) } else { Err(Exception::IllegalDataAddress) }
    }

    fn write(&mut self, span: (Table, u16, usize), values: impl Iterator<Item = u16>) -> Result<(), Exception> {
        self.read(span)?;
        let (table, first, _) = span;
        for (offset, value) in (first..=u16::MAX).zip(values) {
            self.memory.insert((table, offset), value);
        }
        Ok(())
    }
}

impl Device for Registers {
    fn handle(&self, unit: u8, request: &Request) -> Reply {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let mut units = self.units.write().unwrap_or_else(PoisonError::into_inner);
        let unit = units.get_mut(&unit).ok_or(Exception::GatewayTargetFailedToRespond)?;
        let span = request.span();
        let bits = |values: Vec<u16>| values.into_iter().map(|v| v != 0).collect();
        Ok(match request {
            Request::ReadCoils { .. } => Response::ReadCoils(bits(unit.read(span)?)),
            Request::ReadDiscreteInputs { .. } => Response::ReadDiscreteInputs(bits(unit.read(span)?)),
            Request::ReadHoldingRegisters { .. } | Request::ReadLongRegisters { .. } => {
                Response::ReadHoldingRegisters(unit.read(span)?)
            }
            Request::ReadInputRegisters { .. } => Response::ReadInputRegisters(unit.read(span)?),
            Request::WriteSingleCoil { address, value } => {
                unit.write(span, [u16::from(*value)].into_iter())?;
                Response::WriteSingleCoil { address: *address, value: *value }
            }
            Request::WriteSingleRegister { address, value } => {
                unit.write(span, [*value].into_iter())?;
                Response::WriteSingleRegister { address: *address, value: *value }
            }
            Request::WriteMultipleCoils { address, values } => {
                unit.write(span, values.iter().map(|on| u16::from(*on)))?;
                Response::WriteMultipleCoils { address: *address, count: values.len() as u16 }
            }
            Request::WriteMultipleRegisters { address, values } => {
                unit.write(span, values.iter().copied())?;
                Response::WriteMultipleRegisters { address: *address, count: values.len() as u16 }
            }
        })
    }

    fn fault(&self, unit: u8) -> Option<Fault> {
        let units = self.units.read().unwrap_or_else(PoisonError::into_inner);
        units.get(&unit)?.fault.clone()
    }
}
