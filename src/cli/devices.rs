//! Arguments of commands that look at devices, and at lists of what they have.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use super::{DataArgs, duration};

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

#[cfg(test)]
mod tests {
    #[test]
    fn units_are_numbers_and_ranges() {
        assert_eq!(super::units("1,5..7").map(|units| units.0), Ok(vec![1, 5, 6, 7]));
        assert_eq!(super::units("1..247").map(|units| units.0.len()), Ok(247));
        for text in ["", "x", "256", "7..1", "1..", "1,,2"] {
            assert!(super::units(text).is_err(), "{text}");
        }
    }
}
