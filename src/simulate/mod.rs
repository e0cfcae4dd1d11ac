//! `ducto simulate`: devices made of software.

mod wells;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use modbus::{Registers, Server};
use serde_json::json;

use crate::cli::{SimulateArgs, SimulateModbusArgs, Simulated};
use crate::interrupt::Interrupts;
use crate::load::counted;
use crate::output::{Exit, Failure, Output};
use wells::Wells;

/// How often the registers are brought up to date.
const TICK: Duration = Duration::from_millis(100);

pub(crate) fn run(args: &SimulateArgs, output: &Output) -> Result<Exit, Failure> {
    let Simulated::Modbus(args) = &args.device;
    modbus(args, output)
}

fn modbus(args: &SimulateModbusArgs, output: &Output) -> Result<Exit, Failure> {
    let interrupts = Interrupts::listen()?;
    let simulator = Simulator::start(&args.listen, args.wells, args.seed).map_err(|error| {
        let message = format!("`{}` cannot be listened on: {error}; name another address with `--listen`", args.listen);
        Failure::new(Exit::Peer, message)
    })?;
    let address = simulator.address();
    if output.is_json() {
        output.object(&json!({"event": "listening", "address": address.to_string(), "wells": args.wells}));
    } else {
        let wells = counted(usize::from(args.wells), "well");
        output.line(&format!("{wells} on Modbus TCP at {address}, unit 1 to {}; Ctrl-C stops", args.wells));
    }
    interrupts.wait(args.time.and_then(|time| Instant::now().checked_add(time)));
    Ok(Exit::Done)
}

/// A device that runs until it is dropped.
pub(crate) struct Simulator {
    address: SocketAddr,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Simulator {
    /// Listens, with the readings of the first second in place.
    pub(crate) fn start(listen: &str, count: u8, seed: u64) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("simulator")
            .enable_io()
            .enable_time()
            .build()?;
        let wells = Wells { count, seed };
        let registers = Arc::new(Registers::new());
        wells.write(&registers, 0);
        let server = runtime.block_on(Server::bind(listen, registers.clone()))?;
        let address = server.local_addr();
        runtime.spawn(async move {
            // The server lives as long as the readings change.
            let _server = server;
            let started = Instant::now();
            let mut written = 0;
            let mut ticks = tokio::time::interval(TICK);
            loop {
                ticks.tick().await;
                let second = started.elapsed().as_secs();
                if second != written {
                    wells.write(&registers, second);
                    written = second;
                }
            }
        });
        Ok(Self { address, runtime: Some(runtime) })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
