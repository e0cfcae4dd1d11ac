//! The arguments of `ducto`. Their doc comments are its help and its reference.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use ducto_graph::scalar::TimeZone;
use ducto_operators::sources::replay::{Decimal, Pace, TimeFormat};

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
    /// Check sites, pipelines and tests, and report every mistake at once.
    Check(CheckArgs),
    /// Draw the pipelines of a site, or one pipeline.
    Graph(GraphArgs),
    /// Run the tests beside pipelines, on a virtual clock.
    Test(TestArgs),
    /// Run a pipeline over recorded files.
    Replay(ReplayArgs),
    /// Ask the history in SQL: files, and the live tail of a site that runs.
    Query(QueryArgs),
    /// Show each setting of a tag and where it comes from.
    Explain(ExplainArgs),
    /// List, acknowledge and reset the alarms of a site that runs.
    Alarms(AlarmsArgs),
    /// Measure the engine on this machine.
    Bench(BenchArgs),
    /// Print the JSON Schema of a file, or of the fields of an operator.
    Schema(SchemaArgs),
    /// Print completions for a shell.
    Completions(CompletionsArgs),
    /// Simulate devices.
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

    /// Whether it runs until it is stopped, so that its log says what goes on and not only what goes wrong.
    pub(crate) fn is_long(&self) -> bool {
        matches!(self, Self::Run(_))
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
RUST_LOG sets what is logged: `RUST_LOG=debug`, `RUST_LOG=ducto_operators=debug,warn`.")]
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
    /// Folders of sites, `site.yaml`, pipelines, tests, or folders of them.
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
pub struct AlarmsArgs {
    #[command(flatten)]
    pub place: DataArgs,
    /// List alarms that are normal too.
    #[arg(long)]
    pub all: bool,
    #[command(subcommand)]
    pub command: Option<AlarmCommand>,
}

#[derive(Debug, Subcommand)]
pub enum AlarmCommand {
    /// Acknowledge alarms.
    Ack(ActArgs),
    /// Reset latched alarms whose condition is gone.
    Reset(ActArgs),
}

#[derive(Debug, Args)]
pub struct ActArgs {
    /// Alarms as `ducto alarms` lists them: `WELL-001.THP.HH`; `*` stands for any text.
    #[arg(required = true, value_name = "ALARM")]
    pub alarms: Vec<String>,
    /// Who does it; by default the user of the operating system.
    #[arg(long)]
    pub user: Option<String>,
    /// Why; kept with the event.
    #[arg(long)]
    pub reason: Option<String>,
}

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
    /// Data folder; a temporary one by default.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
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
pub struct SchemaArgs {
    /// `site`, `pipeline`, `test`, or the `type` of an operator; without it, a list of these.
    pub of: Option<String>,
}

#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell.
    pub shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
pub struct SimulateArgs {
    #[command(subcommand)]
    pub device: Simulated,
}

#[derive(Debug, Subcommand)]
pub enum Simulated {
    /// Wells behind one Modbus TCP server, each a unit of its own, with the dirt of a real field.
    Modbus(SimulateModbusArgs),
}

#[derive(Debug, Args)]
pub struct SimulateModbusArgs {
    /// Address to listen on; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:5020")]
    pub listen: String,
    /// Number of wells; well n is unit n.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..=247))]
    pub wells: u8,
    /// Same seed, same values.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Stop by itself after this time.
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    pub time: Option<Duration>,
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
