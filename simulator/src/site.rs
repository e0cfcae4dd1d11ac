//! The folder of a site that reads what is simulated.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::device::{Equipment, Model, Point, Scale};
use crate::load::{Load, Size, asset_name, tag_name};
use crate::server::{Place, Simulator};
use crate::variables::{Kind, Variable};

/// Why the folder was not written.
#[derive(Debug, Error)]
pub enum SiteError {
    #[error("`{}` is there already, and is not written over; name a new folder, or remove it", .0.display())]
    Exists(PathBuf),
    #[error("`{}` cannot be written: {source}; name another folder", path.display())]
    Write { path: PathBuf, source: std::io::Error },
}

/// Writes the site that reads a simulated field.
///
/// # Errors
/// When there is a site already, or the folder cannot be written.
pub fn write_field(folder: &Path, name: &str, simulator: &Simulator) -> Result<(), SiteError> {
    let places = simulator.places();
    let mut files = vec![("site.yaml".to_owned(), site(name, places))];
    for model in used(places) {
        files.push((format!("templates/{}.yaml", model.name), template(model)));
    }
    for (equipment, file) in [(Equipment::Well, "wells.csv"), (Equipment::Separator, "separators.csv")] {
        files.push((file.to_owned(), table(places, equipment)));
    }
    files.push(("pipelines/separators.yaml".to_owned(), SEPARATORS.to_owned()));
    write(folder, &files)
}

/// Writes the site that reads endpoints of load.
///
/// # Errors
/// When there is a site already, or the folder cannot be written.
pub fn write_load(folder: &Path, size: Size, load: &Load) -> Result<(), SiteError> {
    let mut tags = String::new();
    for number in 0..size.tags {
        // Writing to a text cannot fail.
        let _ = writeln!(
            tags,
            "      {}: {{address: {}, as: f32, unit: \"%\", span: [0, 100]}}",
            tag_name(number),
            400_001 + 2 * number
        );
    }
    let template = format!(
        "\
templates:
  load:
    kind: load
    parameters: {{endpoint: {{type: string}}}}
    connection: {{type: modbus, endpoint: \"tcp://${{endpoint}}\", unit_id: 1, order: CDAB, addressing: 400001, scan: 1s}}
    tags:
{tags}"
    );
    let mut assets = "asset;template;endpoint\n".to_owned();
    for (number, address) in load.addresses().iter().enumerate() {
        let _ = writeln!(assets, "{};load;{address}", asset_name(number));
    }
    let Size { endpoints, tags } = size;
    let site = format!(
        "\
# Written by `ducto simulate --load {endpoints}x{tags}`, and reads it.
site: LOAD-{endpoints}x{tags}
memory: 1GB
include: [templates.yaml]
assets: [assets.csv]
pipelines:
  - {{use: load}}
"
    );
    let files = [
        ("site.yaml".to_owned(), site),
        ("templates.yaml".to_owned(), template),
        ("assets.csv".to_owned(), assets),
        ("pipelines/load.yaml".to_owned(), LOAD.to_owned()),
    ];
    write(folder, &files)
}

/// Everything is checked, and nothing is kept.
const LOAD: &str = "\
pipeline: load
sources:
  field: {type: tags, where: \"kind = 'load'\"}
transforms:
  checked: {type: quality, inputs: [field]}
  bad:     {type: filter, inputs: [checked], where: \"quality < 64\"}
sinks:
  log: {type: log, inputs: [bad]}
";

const SEPARATORS: &str = "\
# As `well-monitoring`, for the separators.
pipeline: separators
sources:
  station: {type: tags, where: \"kind = 'separator'\"}
transforms:
  judged:   {type: quality, inputs: [station]}
  warnings: {type: alarm, inputs: [judged]}
sinks:
  kept:     {type: historian, inputs: [judged], dataset: history, keep: {age: 90d, size: 100GB}}
  happened: {type: historian, inputs: [warnings], dataset: alarm_events, keep: {age: 3y}}
";

fn write(folder: &Path, files: &[(String, String)]) -> Result<(), SiteError> {
    if let Some((name, _)) = files.iter().find(|(name, _)| folder.join(name).exists()) {
        return Err(SiteError::Exists(folder.join(name)));
    }
    for (name, text) in files {
        let path = folder.join(name);
        let written = path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::write(&path, text));
        written.map_err(|source| SiteError::Write { path, source })?;
    }
    Ok(())
}

/// The models of these places, each once.
fn used(places: &[Place]) -> Vec<&'static Model> {
    let mut models: Vec<&'static Model> = Vec::new();
    for place in places {
        if !models.iter().any(|model| model.name == place.model.name) {
            models.push(place.model);
        }
    }
    models
}

fn site(name: &str, places: &[Place]) -> String {
    let wells = places.iter().filter(|place| place.model.on == Equipment::Well).count();
    format!(
        "\
# Written by `ducto simulate --write-site`, and reads it: {wells} wells, {} separators.
site: {name}
time_zone: UTC
units: {{atmospheric_pressure: 14.7 psia}}
include: [templates/*.yaml]
assets: [wells.csv, separators.csv]
pipelines:
  - {{use: well-monitoring}}
  - {{use: separators}}
",
        places.len() - wells
    )
}

fn template(model: &Model) -> String {
    let kind = if model.on == Equipment::Well { "well" } else { "separator" };
    let mut text = format!(
        "\
# {about}.
templates:
  {name}:
    kind: {kind}
    parameters: {{endpoint: {{type: string}}, unit_id: {{type: integer}}}}
    connection: {{type: modbus, endpoint: \"tcp://${{endpoint}}\", unit_id: \"${{unit_id}}\", order: {order}, addressing: 40001, scan: 1s}}
    tags:
",
        about = model.about,
        name = model.name,
        order = model.order,
    );
    for point in model.points {
        if let Some(variable) = model.on.variables().iter().find(|variable| variable.name == point.variable) {
            let _ = writeln!(text, "      {}: {{{}}}", point.variable, fields(point, variable));
        }
    }
    text
}

/// The fields of a tag that reads a point.
pub(crate) fn fields(point: &Point, variable: &Variable) -> String {
    let mut text = format!("address: {}, as: {}", point.address(), point.kind);
    match point.scale {
        Scale::One => {}
        Scale::Times(step) => {
            let _ = write!(text, ", scale: {step}");
        }
        Scale::Range(raw, engineering) => {
            let _ = write!(text, ", raw: [0, {raw}], engineering: [0, {engineering}]");
        }
    }
    if let Some(sentinel) = point.sentinel().filter(|_| variable.kind == Kind::Analogue) {
        let _ = write!(text, ", sentinel: {sentinel}");
    }
    if let Some(unit) = variable.unit {
        let _ = write!(text, ", unit: \"{unit}\"");
    }
    if let Some([low, high]) = variable.span {
        let _ = write!(text, ", span: [{low}, {high}]");
    }
    if let Kind::Switch([off, on]) = variable.kind {
        let _ = write!(text, ", states: {{0: {off}, 1: {on}}}");
    }
    let [english, spanish] = variable.about;
    let _ = write!(text, ", description: {{en: \"{english}\", es: \"{spanish}\"}}");
    text
}

fn table(places: &[Place], equipment: Equipment) -> String {
    let mut text = "asset;template;endpoint;unit_id".to_owned();
    text.push_str(if equipment == Equipment::Well { ";flows_to\n" } else { "\n" });
    for place in places.iter().filter(|place| place.model.on == equipment) {
        let Place { asset, model, address, unit, flows_to } = place;
        let _ = write!(text, "{asset};{};{address};{unit}", model.name);
        match flows_to {
            Some(separator) if equipment == Equipment::Well => {
                let _ = writeln!(text, ";{separator}");
            }
            _ => text.push('\n'),
        }
    }
    text
}
