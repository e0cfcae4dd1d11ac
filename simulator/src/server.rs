//! A scenario over Modbus TCP, by the clock on the wall.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ducto_record::Micros;
use modbus::Server;
use tokio::runtime::Runtime;

use crate::device::Model;
use crate::device::gateway::Gateway;
use crate::ports::{addresses, allow_sockets, listen};
use crate::scenario::Scenario;
use crate::simulation::{Happening, Simulation};

pub use crate::ports::StartError;

/// The field goes on by this much at a time, and so often its values change.
pub(crate) const STEP: Micros = 1_000_000;
/// How often is looked whether it is time.
const TICK: Duration = Duration::from_millis(100);
/// How long is computed at a time; a speed that asks for more is not kept up with.
const AT_MOST: Duration = Duration::from_millis(90);
/// Wells behind one gateway, which are its units from 1 on.
const WELLS: usize = 200;
/// The first separator's unit, behind the first gateway.
const FIRST_SEPARATOR: usize = 201;
/// Connections that are counted on for each gateway.
const CONNECTIONS: u64 = 16;

/// Where an asset answers.
#[derive(Clone, Debug)]
pub struct Place {
    pub asset: Arc<str>,
    pub model: &'static Model,
    pub address: SocketAddr,
    pub unit: u8,
    /// The separator that a well flows to.
    pub flows_to: Option<Arc<str>>,
}

/// A field that runs until it is dropped.
#[derive(Debug)]
pub struct Simulator {
    gateways: Vec<Arc<Gateway>>,
    places: Vec<Place>,
    happenings: Receiver<Happening>,
    shared: Arc<Shared>,
    clock: Option<JoinHandle<()>>,
    servers: Vec<Server>,
    runtime: Option<Runtime>,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    /// It is slower than it should be.
    behind: AtomicBool,
    elapsed: AtomicI64,
}

/// The gateway and unit of the asset with this index.
fn home(index: usize, wells: usize) -> (usize, u8) {
    let (gateway, unit) = match index.checked_sub(wells) {
        Some(separator) => (0, FIRST_SEPARATOR + separator),
        None => (index / WELLS, 1 + index % WELLS),
    };
    // A scenario has few enough separators for the units that are left.
    (gateway, u8::try_from(unit).unwrap_or(u8::MAX))
}

impl Simulator {
    /// Listens from `address` on, one port for each 200 wells, with the first readings in place.
    ///
    /// # Errors
    /// When a port cannot be had.
    pub fn start(scenario: Arc<Scenario>, address: &str) -> Result<Self, StartError> {
        let wells = scenario.wells.len();
        let count = wells.div_ceil(WELLS);
        allow_sockets(count as u64 * (1 + CONNECTIONS))?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("simulator")
            .enable_io()
            .enable_time()
            .build()
            .map_err(StartError::Threads)?;
        let gateways: Vec<Arc<Gateway>> = (0..count).map(|_| Arc::default()).collect();
        let simulation = Simulation::new(scenario.clone());
        show(&simulation, &gateways);
        let (mut servers, mut bound) = (Vec::new(), Vec::new());
        for (address, gateway) in addresses(address, count)?.iter().zip(&gateways) {
            let (server, address) = runtime.block_on(listen(address, gateway.clone()))?;
            servers.push(server);
            bound.push(address);
        }
        let places = simulation.assets().iter().enumerate().map(|(index, asset)| {
            let (gateway, unit) = home(index, wells);
            let flows_to = scenario.wells.get(index).map(|plan| scenario.separators[plan.flows_to].name.clone());
            Place { asset: asset.name.clone(), model: asset.model, address: bound[gateway], unit, flows_to }
        });
        let places = places.collect();
        let shared = Arc::new(Shared::default());
        let (sender, happenings) = channel();
        let clock = {
            let (gateways, shared) = (gateways.clone(), shared.clone());
            let run = move || keep_time(simulation, &gateways, &shared, &sender);
            std::thread::Builder::new().name("field".into()).spawn(run).map_err(StartError::Threads)?
        };
        Ok(Self { gateways, places, happenings, shared, clock: Some(clock), servers, runtime: Some(runtime) })
    }

    /// Where each asset answers: wells first, then separators.
    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// The address of each gateway.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.servers.iter().map(Server::local_addr).collect()
    }

    /// What has happened since this was last asked.
    pub fn happenings(&self) -> Vec<Happening> {
        self.happenings.try_iter().collect()
    }

    /// Requests that were answered so far.
    pub fn requests(&self) -> u64 {
        self.gateways.iter().map(|gateway| gateway.requests()).sum()
    }

    /// Time that has passed in the field, µs.
    pub fn elapsed(&self) -> Micros {
        self.shared.elapsed.load(Ordering::Relaxed)
    }

    /// Whether the machine is too slow for the speed that was asked for.
    pub fn is_behind(&self) -> bool {
        self.shared.behind.load(Ordering::Relaxed)
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(clock) = self.clock.take() {
            clock.thread().unpark();
            // It ends at its next look at the flag; a panic in it was shown when it happened.
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

fn show(simulation: &Simulation, gateways: &[Arc<Gateway>]) {
    let wells = simulation.scenario().wells.len();
    for (index, asset) in simulation.assets().iter().enumerate() {
        let (gateway, unit) = home(index, wells);
        gateways[gateway].show(unit, asset);
    }
}

/// Steps the field whenever it is time, until it is told to stop.
fn keep_time(mut simulation: Simulation, gateways: &[Arc<Gateway>], shared: &Shared, sender: &Sender<Happening>) {
    let speed = simulation.scenario().speed;
    // A time at which the field was where it should be.
    let mut base = (Instant::now(), simulation.elapsed());
    while !shared.stop.load(Ordering::Relaxed) {
        for happening in simulation.happenings() {
            // Whoever does not listen any more misses nothing.
            let _ = sender.send(happening);
        }
        std::thread::park_timeout(TICK);
        let now = Instant::now();
        let target = base.1 + ((now - base.0).as_secs_f64() * speed * 1e6) as Micros;
        let before = simulation.elapsed();
        while simulation.elapsed() + STEP <= target {
            if now.elapsed() > AT_MOST {
                // What cannot be made up for is let go: the field is only slower.
                shared.behind.store(true, Ordering::Relaxed);
                base = (Instant::now(), simulation.elapsed());
                break;
            }
            simulation.step(STEP);
        }
        if simulation.elapsed() > before {
            shared.elapsed.store(simulation.elapsed(), Ordering::Relaxed);
            show(&simulation, gateways);
        }
    }
}
