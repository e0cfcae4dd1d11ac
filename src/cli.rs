//! The arguments of `ducto`. Their doc comments are its help and its reference.

mod bench;
mod care;
mod devices;
mod views;

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use ducto_graph::scalar::TimeZone;
use ducto_operators::sources::replay::{Decimal, Pace, TimeFormat};

pub use bench::{
    Bench, BenchArgs, BenchValues, DevicesArgs, IdleArgs, LatencyArgs, ModbusArgs, RecoverArgs, ScenarioArgs,
    ViewsArgs, W1Args,
};
pub use care::{CareArgs, DataCommand, DataFolderArgs, RepairArgs};
pub use devices::{ConnectArgs, ImportArgs, ImportTagsArgs, Imported, ListedBy, ReadArgs, Units};
pub use views::{ActArgs, AlarmCommand, AlarmsArgs, TapArgs, TapFormat, TopArgs};

const EXIT_CODES: &str = "\
Exit codes:
    0  done
    1  findings, or failed tests
    2  wrong usage
    3  refused configuration
    4  data folder in use or not writable
    5  peer not reachable
  130  interrupted

Start with `ducto demo`: a simulated field, its alarms and its history, in one command.";

/// Dataflow engine for oil fields: reads devices, checks and alarms every value, keeps the history in Parquet.
#[derive(Debug, Parser)]
#[command(name = "ducto", version, after_help = EXIT_CODES, max_term_width = 100, disable_help_subcommand = true)]
pub struct Cli {
    /// Print one JSON object, or one a line, for programs.
    #[arg(long, global = true, display_order = 100)]
    pub json: bool,
    /// Colours of the output: auto, always or never.
    #[arg(
        long,
        global = true,
        display_order = 101,
        value_name = "WHEN",
        default_value = "auto",
        hide_possible_values = true
    )]
    pub color: Color,
    #[command(subcommand)]
    pub command: Command,
}

/// When the output is coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a site until it is interrupted.
    Run(RunArgs),
    /// Check sites, pipelines, tests and simulations, and report every mistake at once.
    Check(CheckArgs),
    /// Draw the pipelines of a site, or one pipeline.
    Graph(GraphArgs),
    /// Run the tests beside pipelines, on a virtual clock.
    Test(TestArgs),
    /// Run a pipeline over recorded files.
    Replay(ReplayArgs),
    /// Ask the history in SQL: files, and the live tail of a site that runs.
    Query(QueryArgs),
    /// Inspect, verify and repair a data folder on which no site runs.
    Data(DataFolderArgs),
    /// Show each setting of a tag and where it comes from.
    Explain(ExplainArgs),
    /// Show rows as they pass a node of a site that runs, or enter it as a tag.
    Tap(TapArgs),
    /// Watch a site that runs: load, connections, pipelines, history and the newest values.
    Top(TopArgs),
    /// List, watch, acknowledge and reset the alarms of a site that runs.
    Alarms(AlarmsArgs),
    /// Look at devices: which units answer, what their tags read now, and which settings would be right.
    Connect(ConnectArgs),
    /// Read tags from their devices, with the registers and the request.
    Read(ReadArgs),
    /// Make the files of a site from what other programs have.
    Import(ImportArgs),
    /// Measure the engine on this machine.
    Bench(BenchArgs),
    /// Print the JSON Schema of a file, or of the fields of an operator.
    Schema(SchemaArgs),
    /// Print completions for a shell.
    Completions(CompletionsArgs),
    /// Simulate an oil field on Modbus TCP, or record one.
    Simulate(SimulateArgs),
    /// Run a simulated field and a site that reads it.
    Demo(DemoArgs),
}

impl Command {
    /// How the log is written.
    pub(crate) fn log_format(&self) -> LogFormat {
        match self {
            Self::Run(args) => args.log_format,
            Self::Demo(args) => args.log_format,
            _ => LogFormat::Text,
        }
    }

    /// What is logged where `RUST_LOG` does not say it: what goes on in what runs until it is stopped, else only what
    /// goes wrong. The demo tells by itself what its devices do.
    pub(crate) fn logged(&self) -> &'static str {
        match self {
            Self::Run(_) => "info",
            Self::Demo(_) => "warn,ducto_operators::sources=error",
            _ => "warn",
        }
    }
}

/// How the log, on standard error, is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Ctrl-C or SIGTERM stops the site cleanly; a second one ends the process at once.
RUST_LOG sets what is logged: `RUST_LOG=debug` for Ducto itself, `RUST_LOG=ducto_operators=debug,warn` for a part of it,
`RUST_LOG=info,datafusion=debug` for a library too.")]
pub struct RunArgs {
    /// Folder of the site, or its `site.yaml`.
    pub site: PathBuf,
    /// Data folder; `./data/<site>` by default.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Stop by itself after this time: `5s`, `10m`.
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    pub time: Option<Duration>,
    /// How the log is written.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,
}

#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Folders of sites, `site.yaml`, pipelines, tests, simulations, or folders of them.
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Site that pipelines are checked against; by default the one whose `pipelines` folder they lie in, if they do.
    #[arg(long, value_name = "SITE")]
    pub site: Option<PathBuf>,
    /// Write the rows of a table with mistakes, and a column that says what is wrong, to this XLSX file.
    #[arg(long, value_name = "XLSX")]
    pub report: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct GraphArgs {
    /// Folder of a site, a pipeline's file, or the name of a pipeline that is built in.
    pub path: PathBuf,
    /// Site that a pipeline is drawn for.
    #[arg(long, value_name = "SITE")]
    pub site: Option<PathBuf>,
    /// How it is drawn.
    #[arg(long, default_value = "text")]
    pub format: GraphFormat,
}

/// How a graph is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum GraphFormat {
    /// A line for each node.
    Text,
    /// Mermaid, for Markdown.
    Mermaid,
    /// DOT, for Graphviz.
    Dot,
}

#[derive(Debug, Args)]
pub struct TestArgs {
    /// Test files (`*.test.yaml`), pipelines, or folders of them.
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Rewrite the expected rows to what came out, for review.
    #[arg(long)]
    pub update: bool,
}

#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// A pipeline's file, or the name of one that is built in.
    pub pipeline: PathBuf,
    /// Recorded files: Parquet, CSV or JSONL; `*` and `**` stand for many.
    #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
    pub input: Vec<String>,
    /// Data folder that the results go to.
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// `max`, `real`, or a multiple of real time such as `60x`.
    #[arg(long, default_value = "max")]
    pub pace: Pace,
    /// Replays what the pipeline has replayed into this folder before: its rows are stored once more.
    #[arg(long)]
    pub again: bool,
    #[command(flatten)]
    pub form: FormArgs,
    /// Site that gives tags their units and limits; without it each name in the files is a float64 tag.
    #[arg(long, value_name = "SITE")]
    pub site: Option<PathBuf>,
    /// A value for a parameter of the pipeline.
    #[arg(long = "with", value_name = "NAME=VALUE", action = ArgAction::Append, value_parser = name_and_value)]
    pub with: Vec<(String, String)>,
}

/// How recorded files are written, where that is not as Ducto writes them.
#[derive(Clone, Debug, Args)]
pub struct FormArgs {
    /// Name of the column of times.
    #[arg(long, default_value = "time", value_name = "NAME")]
    pub time_column: String,
    /// Name of the column of tag names, in files with one sample a row.
    #[arg(long, default_value = "tag", value_name = "NAME")]
    pub tag_column: String,
    /// Name of the column of values, in files with one sample a row.
    #[arg(long, default_value = "value", value_name = "NAME")]
    pub value_column: String,
    /// Name of the column of quality codes; a file without one is Good throughout.
    #[arg(long, default_value = "quality", value_name = "NAME")]
    pub quality_column: String,
    /// How times are written: `rfc3339` (`2026-01-01 00:00:00` too, with `--time-zone`), or as seconds (`s`),
    /// milliseconds (`ms`) or microseconds (`us`) since 1970.
    #[arg(long, default_value = "rfc3339", value_name = "FORMAT")]
    pub time_format: TimeFormat,
    /// Zone of times that name no offset: `America/Bogota`.
    #[arg(long, value_name = "ZONE")]
    pub time_zone: Option<TimeZone>,
    /// Sign before the decimals of numbers in texts: `.` or `,`.
    #[arg(long, default_value = ".", value_name = "SIGN")]
    pub decimal: Decimal,
    /// Sign between the columns of a CSV file; by default the one that its first line shows.
    #[arg(long, value_name = "SIGN")]
    pub delimiter: Option<char>,
}

/// Which data folder, or which site that runs.
#[derive(Clone, Debug, Default, Args)]
pub struct DataArgs {
    /// Data folder, or the folder of a site whose data lies in `./data/<site>`; by default the only one in `./data`.
    #[arg(long, value_name = "DIR", global = true)]
    pub data: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Tables: one for each dataset (see `SHOW TABLES`), and `tags`.
  ducto query \"SELECT tag, max(value) FROM history GROUP BY tag\"
  ducto query \"SELECT * FROM history WHERE tag = 'WELL-001.THP'\" --output thp.parquet")]
pub struct QueryArgs {
    #[command(flatten)]
    pub place: DataArgs,
    /// The question, in SQL.
    pub sql: String,
    /// How rows are written; by the ending of `--output` where there is one, else `table`.
    #[arg(long)]
    pub format: Option<QueryFormat>,
    /// File that the rows go to.
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum QueryFormat {
    /// A table for people.
    Table,
    /// Comma-separated values with a header; null and an empty text are both nothing.
    Csv,
    /// An array of JSON objects; null is `null`.
    Json,
    /// Parquet.
    Parquet,
}

#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// Folder of the site, or its `site.yaml`.
    pub site: PathBuf,
    /// The tag: `WELL-001.THP`.
    pub tag: String,
}

#[derive(Debug, Args)]
pub struct SchemaArgs {
    /// `site`, `pipeline`, `test`, `simulation`, or the `type` of an operator; without it, a list of these.
    pub of: Option<String>,
}

#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell.
    pub shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ducto simulate                                   twenty wells on 127.0.0.1:5020, until Ctrl-C
  ducto simulate site-configs/demo                 the demo's field
  ducto simulate --speed 60 --write-site /tmp/s    an hour a minute, and the site that reads it
  ducto simulate --record field.parquet --for 30d  a month on a virtual clock, into a file
  ducto simulate --load 1000x300 --write-site /tmp/l

What a scenario can say: docs/simulate.md.")]
pub struct SimulateArgs {
    /// Scenario: its file, or a folder with a `simulation.yaml`; without it twenty wells with the dirt of a real field.
    pub scenario: Option<PathBuf>,
    /// Number of wells, whatever the scenario says.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub wells: Option<u32>,
    /// Same seed, same values, whatever the scenario says.
    #[arg(long, value_name = "NUMBER")]
    pub seed: Option<u64>,
    /// How many times faster than the clock on the wall, whatever the scenario says: `60`.
    #[arg(long, value_name = "FACTOR", value_parser = speed)]
    pub speed: Option<f64>,
    /// Address to listen on, counting up where several are needed; port 0 takes free ones.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:5020")]
    pub listen: String,
    /// Stop by itself after this time; of a recording, how much is recorded.
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    pub time: Option<Duration>,
    /// Write the site that reads what is simulated into this folder.
    #[arg(long, value_name = "DIR")]
    pub write_site: Option<PathBuf>,
    /// Print the register maps of the devices.
    #[arg(long, conflicts_with_all = ["scenario", "record", "load", "write_site"])]
    pub map: bool,
    /// Write a recording, Parquet or CSV, on a virtual clock and without Modbus: of a folder that has a site too, the
    /// tags of the site.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["load", "write_site"])]
    pub record: Option<PathBuf>,
    /// Of a recording: time from one row of a tag to the next; 10s where it is not given.
    #[arg(long, value_name = "DURATION", value_parser = duration, requires = "record")]
    pub every: Option<Duration>,
    /// No field, but so many endpoints with so many tags each, which cost next to nothing: `1000x300`.
    #[arg(long, value_name = "ENDPOINTSxTAGS", conflicts_with_all = ["scenario", "wells", "speed"])]
    pub load: Option<ducto_simulator::load::Size>,
}

#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Data folder.
    #[arg(long, value_name = "DIR", default_value = "data/demo")]
    pub data: PathBuf,
    /// Stop by itself after this time: `2m`.
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    pub time: Option<Duration>,
    /// How the log is written.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,
}

fn duration(text: &str) -> Result<Duration, String> {
    let duration: ducto_graph::scalar::Duration = text.parse().map_err(|error| format!("{error}"))?;
    u64::try_from(duration.micros()).map(Duration::from_micros).map_err(|_| "a time cannot be negative".to_owned())
}

fn speed(text: &str) -> Result<f64, String> {
    let factor =
        text.trim().trim_end_matches(['x', '×']).parse().map_err(|_| "write a number such as 60".to_owned())?;
    if ducto_simulator::scenario::is_speed(factor) { Ok(factor) } else { Err("give 0.001 to 100000".to_owned()) }
}

fn name_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => Ok((name.trim().to_owned(), value.to_owned())),
        _ => Err("write NAME=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn arguments_are_consistent() {
        super::Cli::command().debug_assert();
    }
}
