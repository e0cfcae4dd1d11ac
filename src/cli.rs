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
    /// Comma-separated values with a header.
    Csv,
    /// An array of JSON objects.
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
#[command(after_help = "\
  ducto connect site                                 every connection of a site
  ducto connect site 'WELL-0*' --suggest             what fits where tags read nonsense
  ducto connect site --suggest --write overrides.csv
  ducto connect tcp://10.0.0.5:502 --unit 1..32      a gateway that no site describes")]
pub struct ConnectArgs {
    /// Folder of a site, or an endpoint: `tcp://10.0.0.5:502`, `serial:///dev/ttyUSB0?baud=9600`.
    #[arg(value_name = "SITE|ENDPOINT")]
    pub target: String,
    /// An asset of the site, or the endpoint of a connection; `*` stands for any text. All without it.
    #[arg(value_name = "ASSET|CONNECTION")]
    pub of: Option<String>,
    /// Units of an endpoint that are asked: `7`, `1..247`, `1,5,9`; 1 to 247 without it.
    #[arg(long, value_name = "UNITS", value_parser = units)]
    pub unit: Option<Units>,
    /// Propose settings for tags whose values cannot be right, where exactly one way of reading them fits.
    #[arg(long)]
    pub suggest: bool,
    /// Add the proposals to this table of overrides; it is made if it is not there.
    #[arg(long, value_name = "CSV", requires = "suggest")]
    pub write: Option<PathBuf>,
    /// How often registers are read for proposals: what moves between readings shows what belongs together.
    #[arg(long, value_name = "NUMBER", default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..=100))]
    pub samples: u8,
    /// Time between these readings.
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = duration)]
    pub every: Duration,
    /// How long to wait for an answer of an endpoint's unit; connections of a site say it themselves.
    #[arg(long, value_name = "DURATION", default_value = "500ms", value_parser = duration)]
    pub timeout: Duration,
    #[command(flatten)]
    pub place: DataArgs,
}

/// Units of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Units(pub Vec<u8>);

#[derive(Debug, Args)]
pub struct ReadArgs {
    /// Folder of the site, or its `site.yaml`.
    pub site: PathBuf,
    /// The tags: `WELL-001.THP`; `*` stands for any text.
    #[arg(required = true, value_name = "TAG")]
    pub tags: Vec<String>,
    #[command(flatten)]
    pub place: DataArgs,
}

#[derive(Debug, Args)]
pub struct ImportArgs {
    #[command(subcommand)]
    pub what: Imported,
}

#[derive(Debug, Subcommand)]
pub enum Imported {
    /// Tag lists: templates, assets and overrides from Kepware, Ignition, Neuron or Telegraf.
    Tags(ImportTagsArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Devices with the same tags share a template; what differs between them becomes overrides. What a list cannot say, and
what has no counterpart, is reported with its place, all of it in `import-report.csv`.
  ducto import tags WELL-*.csv --out site --endpoint 'tcp://{device}:502' --order CDAB
  ducto import tags --from ignition tags.json --out site")]
pub struct ImportTagsArgs {
    /// Kepware's CSV, Ignition's JSON, Neuron's XLSX, Telegraf's TOML.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Where the lists come from; guessed from each file without it.
    #[arg(long, value_name = "PROGRAM")]
    pub from: Option<ListedBy>,
    /// Folder of the site; `site.yaml` is written too where there is none.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Endpoint of devices whose list names none; `{device}` and `{asset}` stand for their names.
    #[arg(long, value_name = "ENDPOINT")]
    pub endpoint: Option<String>,
    /// Unit of devices whose list names none.
    #[arg(long, value_name = "NUMBER")]
    pub unit_id: Option<u8>,
    /// Order of bytes of devices whose list names none: `ABCD`, `CDAB`, `BADC`, `DCBA`.
    #[arg(long, value_parser = order)]
    pub order: Option<modbus::Order>,
    /// What the assets are: `well`, `separator`.
    #[arg(long, value_parser = name)]
    pub kind: Option<String>,
    /// How many folders, from the outside, name an asset; deeper ones go into the names of its variables.
    #[arg(long, value_name = "NUMBER")]
    pub asset_depth: Option<usize>,
    /// Replace files that are there already.
    #[arg(long)]
    pub force: bool,
}

/// A program that tag lists come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ListedBy {
    /// The tags of a device or a group, CSV.
    Kepware,
    /// An export of tags, JSON.
    Ignition,
    /// The tags of a node, XLSX.
    Neuron,
    /// A configuration with `inputs.modbus`, TOML.
    Telegraf,
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
    /// Many devices polled over Modbus TCP, without history: CPU, memory and missed scans.
    Modbus(ModbusArgs),
    /// The devices of `modbus`, until standard input ends; prints their ports.
    #[command(hide = true)]
    Devices(DevicesArgs),
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
pub struct DevicesArgs {
    /// Number of devices.
    pub count: usize,
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

/// `7`, `1..247`, `1,5,9..12`.
fn units(text: &str) -> Result<Units, String> {
    let number = |text: &str| text.trim().parse::<u8>().map_err(|_| format!("`{text}` is no unit from 0 to 255"));
    let mut units = Vec::new();
    for part in text.split(',') {
        match part.split_once("..") {
            None => units.push(number(part)?),
            Some((first, last)) => {
                let (first, last) = (number(first)?, number(last.strip_prefix('=').unwrap_or(last))?);
                if first > last {
                    return Err(format!("`{part}` goes backwards"));
                }
                units.extend(first..=last);
            }
        }
    }
    Ok(Units(units))
}

fn order(text: &str) -> Result<modbus::Order, String> {
    text.parse().map_err(|error| format!("{error}"))
}

fn name(text: &str) -> Result<String, String> {
    text.parse::<ducto_graph::scalar::Name>().map(|name| name.as_str().to_owned()).map_err(|error| format!("{error}"))
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
    fn units_are_numbers_and_ranges() {
        assert_eq!(super::units("1,5..7").map(|units| units.0), Ok(vec![1, 5, 6, 7]));
        assert_eq!(super::units("1..247").map(|units| units.0.len()), Ok(247));
        for text in ["", "x", "256", "7..1", "1..", "1,,2"] {
            assert!(super::units(text).is_err(), "{text}");
        }
    }

    #[test]
    fn arguments_are_consistent() {
        super::Cli::command().debug_assert();
    }
}
