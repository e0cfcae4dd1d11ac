//! Arguments of measurements.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

#[derive(Debug, Args)]
pub struct BenchArgs {
    #[command(subcommand)]
    pub bench: Bench,
}

#[derive(Debug, Subcommand)]
pub enum Bench {
    /// Quality, alarms, aggregates and history over many tags: CPU per sample, memory, bytes per sample, check figures.
    W1(W1Args),
    /// From a sample to its alarm through the graph.
    Latency(LatencyArgs),
    /// CPU and memory of a site that has little to do.
    Idle(IdleArgs),
    /// A day of one tag through a scenario, on a virtual clock.
    Scenario(ScenarioArgs),
    /// Many devices polled over Modbus TCP, without history: CPU, memory and missed scans.
    Modbus(ModbusArgs),
    /// The devices of `modbus`, until standard input ends; prints their ports.
    #[command(hide = true)]
    Devices(DevicesArgs),
    /// A start behind a journal that no checkpoint covers.
    Recover(RecoverArgs),
    /// What `tap` and `top` cost the site that they look at.
    Views(ViewsArgs),
}

#[derive(Debug, Args)]
pub struct W1Args {
    /// Number of tags.
    #[arg(long, default_value_t = 10_000)]
    pub tags: usize,
    /// Seconds of data, one sample a second of each tag.
    #[arg(long, default_value_t = 600)]
    pub seconds: u64,
    /// Resolution of the values.
    #[arg(long, default_value = "full")]
    pub values: BenchValues,
    /// Workers of the pipeline.
    #[arg(long, default_value_t = 1)]
    pub workers: usize,
    /// Number the tags in another order.
    #[arg(long)]
    pub shuffle: bool,
    /// Share of the samples that are missing, in percent.
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0)]
    pub missing: f64,
    /// Put a `calc` into the graph.
    #[arg(long)]
    pub insert_calc: bool,
    /// Leave the historian away.
    #[arg(long)]
    pub no_historian: bool,
    /// Keep a journal and checkpoints, as a site that runs does.
    #[arg(long)]
    pub durable: bool,
    /// Data folder; a temporary one by default.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct RecoverArgs {
    /// Number of tags.
    #[arg(long, default_value_t = 10_000)]
    pub tags: usize,
    /// Seconds of data in the journal, one sample a second of each tag.
    #[arg(long, default_value_t = 600)]
    pub seconds: u64,
    /// The process that is killed: it brings the samples into the journal of the site in this folder.
    #[arg(long, hide = true)]
    pub dies_in: Option<std::path::PathBuf>,
}

/// Resolution of a bench's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BenchValues {
    /// Every bit of a float64.
    Full,
    /// Two decimals.
    Cent,
    /// 12 bits, as of an analogue input.
    Adc,
}

#[derive(Debug, Args)]
pub struct LatencyArgs {
    /// Number of tags, each with one sample a second.
    #[arg(long, default_value_t = 10_000)]
    pub tags: usize,
    /// How long.
    #[arg(long, default_value_t = 30)]
    pub seconds: u64,
    /// Workers of the pipeline.
    #[arg(long, default_value_t = 1)]
    pub workers: usize,
    /// Data folder; a temporary one by default.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct IdleArgs {
    /// Number of wells, each with a few tags at 1 Hz.
    #[arg(long, default_value_t = 20)]
    pub wells: usize,
    /// How long.
    #[arg(long, default_value_t = 60)]
    pub seconds: u64,
    /// Data folder; a temporary one by default.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct ScenarioArgs {
    /// Seconds of data.
    #[arg(long, default_value_t = 86_400)]
    pub seconds: u64,
}

#[derive(Debug, Args)]
pub struct ModbusArgs {
    /// Number of devices, each with a connection of its own.
    #[arg(long, default_value_t = 1_000)]
    pub connections: usize,
    /// Number of tags of each device, read once a second.
    #[arg(long, default_value_t = 300)]
    pub tags: usize,
    /// How long, once all devices answer.
    #[arg(long, default_value_t = 30)]
    pub seconds: u64,
    /// Workers of the pipeline.
    #[arg(long, default_value_t = 1)]
    pub workers: usize,
    /// Folder of the site; a temporary one by default.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct ViewsArgs {
    /// Number of tags, each with one sample a second.
    #[arg(long, default_value_t = 10_000)]
    pub tags: usize,
    /// How long each look at the site takes.
    #[arg(long, default_value_t = 5)]
    pub seconds: u64,
    /// How often each view is measured.
    #[arg(long, default_value_t = 3)]
    pub rounds: usize,
    /// Data folder; a temporary one by default.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct DevicesArgs {
    /// Number of devices and of tags of each: `1000x300`.
    #[arg(value_name = "ENDPOINTSxTAGS")]
    pub size: ducto_simulator::load::Size,
}
