//! Register maps for people: on a terminal, and as pages of the reference.

use std::fmt::Write as _;

use super::model::{Model, Point, Scale};
use crate::variables::{Kind, Variable};

const HEAD: [&str; 6] = ["Address", "Variable", "Type", "Unit", "Value", "What it is"];

/// The map of a model, aligned for a terminal.
pub fn map_text(model: &Model) -> String {
    let rows: Vec<[String; 6]> = std::iter::once(HEAD.map(str::to_owned)).chain(rows(model)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 6] = std::array::from_fn(width);
    let mut text =
        format!("{}: {}\nvalues of several registers in the order {}\n\n", model.name, model.about, model.order);
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            // Writing to a text cannot fail.
            let _ = write!(line, "{cell}{}  ", " ".repeat(width - cell.chars().count()));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// The map of a model as a table of Markdown.
pub fn map_markdown(model: &Model) -> String {
    let mut text = format!("| {} |\n|{}\n", HEAD.join(" | "), " --- |".repeat(HEAD.len()));
    for row in rows(model) {
        let _ = writeln!(text, "| {} |", row.join(" | "));
    }
    text
}

fn rows(model: &Model) -> impl Iterator<Item = [String; 6]> {
    let variables = model.on.variables();
    model.points.iter().filter_map(|point| {
        let variable = variables.iter().find(|variable| variable.name == point.variable)?;
        Some([
            point.address(),
            point.variable.to_owned(),
            point.kind.to_string(),
            variable.unit.unwrap_or_default().to_owned(),
            value(point, variable),
            variable.about[0].to_owned(),
        ])
    })
}

fn value(point: &Point, variable: &Variable) -> String {
    let scaled = match point.scale {
        Scale::One => match variable.kind {
            Kind::Switch([off, on]) => format!("0 {off}, 1 {on}"),
            Kind::Total { rolls_over_at } => format!("rolls over at {rolls_over_at}"),
            Kind::Analogue | Kind::Count => String::new(),
        },
        Scale::Times(step) => format!("raw × {step}"),
        Scale::Range(raw, engineering) => format!("raw × {engineering} / {raw}"),
    };
    match point.sentinel() {
        Some(sentinel) if variable.kind == Kind::Analogue => {
            let and = if scaled.is_empty() { "" } else { "; " };
            format!("{scaled}{and}{sentinel}: no reading")
        }
        _ => scaled,
    }
}
