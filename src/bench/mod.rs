//! `ducto bench`: measures the engine on this machine, one JSON object a run.

mod figures;
mod idle;
mod input;
mod latency;
mod measure;
mod modbus;
mod recover;
mod reference;
mod scenario;
mod site;
mod views;
mod w1;

use crate::cli::{Bench, BenchArgs};
use crate::output::{Exit, Failure, Output};

pub(crate) fn run(args: &BenchArgs, output: &Output) -> Result<Exit, Failure> {
    match &args.bench {
        Bench::W1(args) => w1::run(args, output),
        Bench::Latency(args) => latency::run(args, output),
        Bench::Idle(args) => idle::run(args, output),
        Bench::Scenario(args) => scenario::run(args, output),
        Bench::Modbus(args) => modbus::run(args, output),
        Bench::Devices(args) => modbus::devices(args),
        Bench::Recover(args) => recover::run(args, output),
        Bench::Views(args) => views::run(args, output),
    }
}
