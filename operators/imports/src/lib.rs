//! Tag lists as integrators have them, Kepware CSV, Ignition JSON, Neuron XLSX, Telegraf TOML, made into the files of a
//! site: templates, a table of assets, overrides.
//!
//! Each format has a module that reads its files into [`Device`]s ([`model`]); [`group`] finds what devices have in
//! common, [`write`] writes it down. Whatever a list says that the files of a site cannot, or what it leaves open, is
//! a [`Remark`] with its place. A file that cannot be read at all is a diagnostic, as in any other command.

mod address;
mod alarms;
mod group;
mod ignition;
mod kepware;
mod model;
mod names;
mod neuron;
mod orders;
mod read;
mod remarks;
mod telegraf;
mod units;
mod write;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use ducto_graph::codes::Code;
use ducto_graph::diagnostic::{Diagnostic, Diagnostics};
use ducto_graph::source::{Place, Sources, TABLE_LIMIT};
use ducto_graph::table::Table;
use ducto_graph::tree::Node;
use ducto_record::Units;
use modbus::Order;

pub use model::{Device, Line, Tag, Value};
pub use remarks::{Group as RemarkGroup, Outcome, Remark, Remarks, place_text};
pub use write::{File, Files};

/// A program whose tag lists are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Format {
    /// Kepware (KEPServerEX): the tags of one device as CSV.
    Kepware,
    /// Ignition: a tag export as JSON.
    Ignition,
    /// EMQX Neuron: the tags of a node as XLSX.
    Neuron,
    /// Telegraf: a configuration with `inputs.modbus`, TOML.
    Telegraf,
}

impl Format {
    pub const ALL: [Self; 4] = [Self::Kepware, Self::Ignition, Self::Neuron, Self::Telegraf];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Kepware => "kepware",
            Self::Ignition => "ignition",
            Self::Neuron => "neuron",
            Self::Telegraf => "telegraf",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|format| format.name() == text)
            .ok_or_else(|| format!("`{text}` is none of `kepware`, `ignition`, `neuron`, `telegraf`"))
    }
}

/// What a list does not say, as the user says it.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The program; guessed from the file where it is not given.
    pub format: Option<Format>,
    /// Endpoint of devices whose list names none; `{device}` stands for the device's name in the list, `{asset}` for
    /// the asset's.
    pub endpoint: Option<String>,
    /// Unit of devices whose list names none.
    pub unit_id: Option<u8>,
    /// Order of values whose list names none.
    pub order: Option<Order>,
    /// What the assets are: `well`.
    pub kind: Option<String>,
    /// How many folders, from the outside, name the asset; what lies deeper goes into the variable's name.
    pub asset_depth: Option<usize>,
}

/// What was read.
#[derive(Debug, Default)]
pub struct Import {
    pub devices: Vec<Device>,
    pub remarks: Remarks,
}

/// Reads tag lists.
///
/// `None` where a file could not be read; a diagnostic says why. Tags that cannot be said are left out, with a remark.
pub fn read(
    paths: &[PathBuf],
    options: &Options,
    units: &Units,
    sources: &mut Sources,
    diagnostics: &mut Diagnostics,
) -> Option<Import> {
    let mut import = Import::default();
    let mut whole = true;
    for path in paths {
        let before = import.devices.len();
        let mut reader = Reader { path, options, units, remarks: &mut import.remarks };
        match reader.file(sources, diagnostics) {
            Some(devices) => import.devices.extend(devices),
            None => whole = false,
        }
        if whole && import.devices.len() == before {
            diagnostics.push(
                Diagnostic::new(Code::ValueInvalid, format!("`{}` has no tags of Modbus devices", path.display()))
                    .help("check that it is the export of the tags, not of something else"),
            );
        }
    }
    if !whole {
        return None;
    }
    names::distinct_assets(&mut import.devices, &mut import.remarks);
    Some(import)
}

/// What the readers of all formats need.
struct Reader<'a> {
    path: &'a Path,
    options: &'a Options,
    units: &'a Units,
    remarks: &'a mut Remarks,
}

/// A file as its format wants it.
enum Content {
    Table(Table),
    Tree(Node),
}

impl Reader<'_> {
    fn file(&mut self, sources: &mut Sources, diagnostics: &mut Diagnostics) -> Option<Vec<Device>> {
        let bytes = sources.read_bytes(self.path, TABLE_LIMIT, None, diagnostics)?;
        let errors = diagnostics.is_ok();
        let form = read::form(self.path, &bytes, self.options.format);
        let content = match form {
            read::Form::Table => Content::Table(Table::from_bytes(self.path, &bytes, None, sources, diagnostics)?),
            read::Form::Json => Content::Tree(read::text(self.path, &bytes, sources, diagnostics, read::json::parse)?),
            read::Form::Toml => Content::Tree(read::text(self.path, &bytes, sources, diagnostics, read::toml::parse)?),
        };
        // A table with rows that could not be made out is an error of the file, and reported as one.
        if errors && !diagnostics.is_ok() {
            return None;
        }
        let format = self.options.format.or_else(|| guess(&content));
        match (format, content) {
            (Some(Format::Kepware), Content::Table(table)) => kepware::read(self, &table, diagnostics),
            (Some(Format::Neuron), Content::Table(table)) => neuron::read(self, &table, diagnostics),
            (Some(Format::Ignition), Content::Tree(tree)) => ignition::read(self, &tree, diagnostics),
            (Some(Format::Telegraf), Content::Tree(tree)) => telegraf::read(self, &tree, diagnostics),
            (format, content) => {
                let place = match content {
                    Content::Table(table) => Place::file(table.file),
                    Content::Tree(tree) => Place::file(tree.place.file),
                };
                diagnostics.push(not_recognised(format, place));
                None
            }
        }
    }

    fn remark(&mut self, place: Place, of: &str, setting: &str, value: &str, outcome: Outcome, reason: &str) {
        self.remarks.push(Remark {
            place,
            of: of.to_owned(),
            setting: setting.to_owned(),
            value: value.to_owned(),
            outcome,
            reason: reason.to_owned(),
        });
    }

    /// Says that a variable could not keep its name.
    fn renamed(&mut self, written: &str, own: &str, asset: &str, place: Place) {
        if written != own {
            let reason = "names are of letters, digits, `_` and `-`";
            self.remark(place, &format!("{asset}.{own}"), "name", written, Outcome::Approximated, reason);
        }
    }

    /// How a device is reached: as its list says, else as the options say, else it is to be filled in.
    fn line(
        &mut self,
        asset: &str,
        device: &str,
        endpoint: Option<String>,
        unit_id: Option<u8>,
        place: Place,
    ) -> (Option<String>, Option<u8>) {
        let given = self.options.endpoint.as_ref();
        let endpoint =
            endpoint.or_else(|| given.map(|text| text.replace("{device}", device).replace("{asset}", asset)));
        if endpoint.is_none() {
            let reason = "fill in the column `endpoint` of assets.csv (`tcp://10.0.0.5:502`), or give `--endpoint`";
            self.remark(place, asset, "endpoint", "", Outcome::Missing, reason);
        }
        let unit_id = unit_id.or(self.options.unit_id);
        if unit_id.is_none() {
            let reason = "the list does not say the unit; it is 1 unless assets.csv or `--unit-id` says another";
            self.remark(place, asset, "unit_id", "", Outcome::Assumed, reason);
        }
        (endpoint, unit_id)
    }

    /// The name of the file without its ending.
    fn stem(&self) -> String {
        let stem = self.path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        names::asset(&stem)
    }
}

fn guess(content: &Content) -> Option<Format> {
    match content {
        Content::Table(table) if kepware::is_one(table) => Some(Format::Kepware),
        Content::Table(table) if neuron::is_one(table) => Some(Format::Neuron),
        Content::Tree(tree) if telegraf::is_one(tree) => Some(Format::Telegraf),
        Content::Tree(tree) if ignition::is_one(tree) => Some(Format::Ignition),
        _ => None,
    }
}

fn not_recognised(format: Option<Format>, place: Place) -> Diagnostic {
    let message = match format {
        Some(format) => format!("the file is no tag list of `{format}`"),
        None => "the file is no tag list that is known".to_owned(),
    };
    Diagnostic::new(Code::ValueInvalid, message).at(place).help(
        "known are Kepware's CSV, Ignition's JSON, Neuron's XLSX and Telegraf's TOML; say which it is with `--from`",
    )
}
