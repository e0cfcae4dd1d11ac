//! Arguments of the views of a site that runs.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use super::{DataArgs, duration};

#[derive(Debug, Args)]
#[command(after_help = "\
  ducto tap                                             what can be tapped
  ducto tap checked --where \"asset = 'WELL-003' AND quality < 192\"
  ducto tap WELL-001.THP                                a tag as it enters, before any check
  ducto tap alarms --format json --for 30s
Expressions see time, tag, value, quality, checks, asset, variable, kind, area, unit and the site's own columns of
assets; of rows that are no samples, their own columns. A terminal shows at most 200 rows a second.")]
pub struct TapArgs {
    #[command(flatten)]
    pub place: DataArgs,
    /// A node, PIPELINE.NODE, NODE.PORT, a tag or an asset; without it, a list of the nodes.
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    /// SQL expression that is true for the rows to show.
    #[arg(long = "where", value_name = "EXPR", allow_hyphen_values = true)]
    pub condition: Option<String>,
    /// Stop after so many rows.
    #[arg(long, value_name = "ROWS")]
    pub limit: Option<u64>,
    /// Stop after this time: `30s`, `10m`.
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    pub time: Option<Duration>,
    /// How rows are written.
    #[arg(long)]
    pub format: Option<TapFormat>,
}

/// How rows are written as they pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TapFormat {
    /// Aligned columns for people.
    Table,
    /// One JSON object a line.
    Json,
    /// Comma-separated values with a header.
    Csv,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Keys: o overview, p pipelines, c connections, t values of tags; s sorts, arrows and PgUp/PgDn scroll, ? help, q quits.
Without a terminal the overview is printed again and again.")]
pub struct TopArgs {
    #[command(flatten)]
    pub place: DataArgs,
    /// How often figures are taken.
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = interval)]
    pub every: Duration,
    /// Print the figures once and end.
    #[arg(long)]
    pub once: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Keys of --watch: arrows choose, a acknowledges, r resets, Enter shows all of an alarm, n normal ones too, q quits.
Without a terminal --watch prints a line for each change.")]
pub struct AlarmsArgs {
    #[command(flatten)]
    pub place: DataArgs,
    /// List alarms that are normal too.
    #[arg(long)]
    pub all: bool,
    /// Keep watching: what needs somebody stands at the top.
    #[arg(long, conflicts_with = "history")]
    pub watch: bool,
    /// List what happened, out of the history: the newest first.
    #[arg(long)]
    pub history: bool,
    /// Number of events of the history.
    #[arg(long, value_name = "EVENTS", default_value_t = 50, requires = "history")]
    pub limit: usize,
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

/// How often something is done: from a tenth of a second on, so that looking costs little.
fn interval(text: &str) -> Result<Duration, String> {
    let every = duration(text)?;
    if every < Duration::from_millis(100) {
        return Err("the shortest interval is 100ms".to_owned());
    }
    Ok(every)
}
