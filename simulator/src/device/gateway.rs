//! What answers behind a listening address: units with their registers, and what goes wrong with their answers.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use modbus::{Device, Exception, Fault, Reply, Request, Response, Table};

use super::model::{Model, Point};
use crate::simulation::{Asset, Lie, Trouble};

/// A gateway with units behind it. Only registers of the units' models exist; the rest answers exception 2, and a unit
/// that is not there exception 11.
#[derive(Debug, Default)]
pub(crate) struct Gateway {
    units: RwLock<BTreeMap<u8, Unit>>,
    requests: AtomicU64,
}

/// A device behind a gateway.
#[derive(Debug)]
struct Unit {
    image: Image,
    fault: Option<Fault>,
    /// It has lost its memory and answers zero.
    zeros: bool,
}

/// The registers of a device; only those of its points are there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Image {
    holding: Vec<Option<u16>>,
    input: Vec<Option<u16>>,
    discrete: Vec<Option<u16>>,
}

impl Image {
    fn of(&self, table: Table) -> &[Option<u16>] {
        match table {
            Table::HoldingRegisters => &self.holding,
            Table::InputRegisters => &self.input,
            Table::DiscreteInputs => &self.discrete,
            _ => &[],
        }
    }

    fn write(&mut self, point: &Point, registers: &[u16]) {
        let words = match point.table {
            Table::InputRegisters => &mut self.input,
            Table::DiscreteInputs => &mut self.discrete,
            _ => &mut self.holding,
        };
        let (from, to) = (usize::from(point.offset), usize::from(point.offset) + registers.len());
        if words.len() < to {
            words.resize(to, None);
        }
        for (word, register) in words[from..to].iter_mut().zip(registers) {
            *word = Some(*register);
        }
    }

    fn read(&self, (table, first, count): (Table, u16, usize)) -> Result<Vec<u16>, Exception> {
        let first = usize::from(first);
        let words = self.of(table).get(first..first + count).ok_or(Exception::IllegalDataAddress)?;
        words.iter().copied().collect::<Option<Vec<u16>>>().ok_or(Exception::IllegalDataAddress)
    }

    /// Brings every point up to what the asset shows.
    pub(crate) fn show(&mut self, asset: &Asset) {
        let Model { points, .. } = asset.model;
        let order = asset.model.byte_order();
        for (point, tag) in points.iter().zip(&asset.points) {
            self.write(point, &point.registers(asset.tags[*tag].shown, order));
        }
    }

    /// All registers in a fixed order, to compare.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let all = self.holding.iter().chain(&self.input).chain(&self.discrete);
        all.flat_map(|word| word.unwrap_or(0xdead).to_be_bytes()).collect()
    }
}

impl Gateway {
    /// Brings a unit up to date.
    pub(crate) fn show(&self, unit: u8, asset: &Asset) {
        let mut units = self.units.write().unwrap_or_else(PoisonError::into_inner);
        let unit = units.entry(unit).or_insert_with(|| Unit { image: Image::default(), fault: None, zeros: false });
        unit.image.show(asset);
        unit.zeros = asset.trouble() == Some(Trouble::Lies(Lie::Zeros));
        unit.fault = asset.trouble().and_then(fault);
    }

    /// How many requests it has answered; those that nothing answers are not among them.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }
}

fn fault(trouble: Trouble) -> Option<Fault> {
    Some(match trouble {
        Trouble::Dead => Fault::NoAnswer,
        Trouble::Slow { seconds } => Fault::Late(Duration::try_from_secs_f64(seconds).unwrap_or_default()),
        Trouble::Lies(Lie::Zeros) => return None,
        // An answer as from a serial line that has lost its framing.
        Trouble::Lies(Lie::Garbage) => Fault::Garbage(b"\x00\x07\xff\xff\x00\x05\x01\x83\x02ATDT".to_vec()),
        Trouble::Lies(Lie::Exception) => Fault::Exception(Exception::DeviceFailure),
        Trouble::Lies(Lie::WrongUnit) => Fault::WrongUnit,
        Trouble::Lies(Lie::WrongTransaction) => Fault::WrongTransaction,
        Trouble::Lies(Lie::Close) => Fault::Close,
    })
}

impl Device for Gateway {
    fn handle(&self, unit: u8, request: &Request) -> Reply {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let units = self.units.read().unwrap_or_else(PoisonError::into_inner);
        let unit = units.get(&unit).ok_or(Exception::GatewayTargetFailedToRespond)?;
        let read = || {
            let mut words = unit.image.read(request.span())?;
            if unit.zeros {
                words.fill(0);
            }
            Ok(words)
        };
        let bits = |words: Vec<u16>| words.into_iter().map(|word| word != 0).collect();
        Ok(match request {
            Request::ReadDiscreteInputs { .. } => Response::ReadDiscreteInputs(bits(read()?)),
            Request::ReadHoldingRegisters { .. } => Response::ReadHoldingRegisters(read()?),
            Request::ReadInputRegisters { .. } => Response::ReadInputRegisters(read()?),
            // They can be read and nothing else.
            _ => return Err(Exception::IllegalFunction),
        })
    }

    fn fault(&self, unit: u8) -> Option<Fault> {
        let units = self.units.read().unwrap_or_else(PoisonError::into_inner);
        units.get(&unit)?.fault.clone()
    }
}
