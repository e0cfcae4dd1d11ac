//! What the site reads: a device whose registers count, a source that resends until it is acknowledged, and people who
//! acknowledge alarms.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use ducto_record::{Action, Origin, Part, Quality, Samples, TagId, Value, ValueKind};
use ducto_runtime::SiteIntake;
use modbus::{Address, Order, Registers, Server, Table, ValueType};

use crate::{Fault, site::ALARMS};

/// How often the registers change.
const CHANGE: Duration = Duration::from_millis(8);

/// A device on a port of its own, in this process.
pub(crate) struct Device {
    server: Option<Server>,
    runtime: tokio::runtime::Runtime,
    stop: Arc<AtomicBool>,
    counting: Option<JoinHandle<()>>,
}

impl Device {
    pub(crate) fn start() -> Result<Self, Fault> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let registers = Arc::new(Registers::new());
        set(&registers, 0);
        let server = runtime.block_on(Server::bind("127.0.0.1:0", registers.clone()))?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let counting = std::thread::Builder::new().name("registers".into()).spawn(move || {
            let mut number = 0;
            while !stopped.load(Ordering::Acquire) {
                std::thread::sleep(CHANGE);
                number += 1;
                set(&registers, number);
            }
        })?;
        Ok(Self { server: Some(server), runtime, stop, counting: Some(counting) })
    }

    pub(crate) fn port(&self) -> u16 {
        self.server.as_ref().map_or(0, |server| server.local_addr().port())
    }
}

/// The pressure rises and falls through its limits, and stands still for a while; the sequence rises.
fn set(registers: &Registers, number: u32) {
    let pressure = match number % 100 {
        rising @ 0..=49 => rising * 2,
        50..=79 => 100,
        falling => (100 - falling) * 4,
    };
    for (offset, value) in [(0, pressure), (2, number)] {
        let at = Address { table: Table::HoldingRegisters, offset };
        // Two registers hold any f32.
        let _ = registers.set_value(1, at, ValueType::F32, Order::Abcd, &modbus::Value::Float(f64::from(value)));
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(counting) = self.counting.take() {
            let _ = counting.join();
        }
        let _guard = self.runtime.enter();
        drop(self.server.take());
    }
}

/// Numbers from 1 on, each sent until it was acknowledged.
#[derive(Clone, Default)]
pub(crate) struct Numbers(Arc<Mutex<u64>>);

impl Numbers {
    /// The last that was acknowledged.
    pub(crate) fn acknowledged(&self) -> u64 {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends until the site stops.
    pub(crate) fn send(&self, intake: &SiteIntake, tag: TagId) {
        loop {
            let number = self.acknowledged() + 1;
            let time = ducto_graph::operator::Intake::now(intake);
            let value = Value::Float64(number as f64);
            let samples = Samples::single(time, tag, &value, ValueKind::Float64, Quality::GOOD);
            match intake.accept(vec![Part::Samples { origin: Origin::Field, samples }]) {
                Ok(_) => *self.0.lock().unwrap_or_else(PoisonError::into_inner) = number,
                Err(_) => return,
            }
        }
    }
}

/// How often people acknowledge an alarm.
pub(crate) const ACKNOWLEDGE: Duration = Duration::from_millis(60);

/// What people did, each with a reason of its own, and was answered: it is accepted, whether there was an alarm or not.
#[derive(Clone, Default)]
pub(crate) struct People(Arc<Mutex<(usize, Vec<String>)>>);

impl People {
    /// The next thing they do: the tag and the alarm, and their reason.
    pub(crate) fn next(&self) -> (&'static str, &'static str, String) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 += 1;
        let (tag, alarm) = ALARMS[state.0 % ALARMS.len()];
        (tag, alarm, format!("seen {}", state.0))
    }

    pub(crate) fn answered(&self, reason: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1.push(reason);
    }

    /// The reasons of what was answered.
    pub(crate) fn accepted(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1.clone()
    }

    /// Acknowledges until the site stops.
    pub(crate) fn act(&self, intake: &SiteIntake, stop: &AtomicBool) {
        // Nobody asks for the answers of nodes by these numbers.
        let mut id = u64::MAX / 2;
        while !stop.load(Ordering::Acquire) {
            let (tag, alarm, reason) = self.next();
            let text = |text: &str| Value::Text(text.into());
            let arguments = BTreeMap::from([("tag".to_owned(), text(tag)), ("alarm".to_owned(), text(alarm))]);
            id += 1;
            let action = Action {
                id,
                verb: "acknowledge".into(),
                arguments,
                user: PERSON.into(),
                reason: Some(reason.as_str().into()),
            };
            if intake.act(Arc::new(action)).is_err() {
                return;
            }
            self.answered(reason);
            std::thread::sleep(ACKNOWLEDGE);
        }
    }
}

/// Who acknowledges.
pub(crate) const PERSON: &str = "ana";
