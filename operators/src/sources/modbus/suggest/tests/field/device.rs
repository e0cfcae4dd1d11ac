//! What the devices of the field send, and the site that is written for them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use modbus::{Table, Value, ValueType};

use super::{Dice, Fault, Field, MODELS, order};

impl Field {
    /// The files of the site; `endpoint` is that of a server.
    pub(crate) fn files(&self, endpoint: impl Fn(usize) -> String) -> Vec<(String, String)> {
        let mut files = vec![(
            "site.yaml".to_owned(),
            "site: FIELD-120\nunits: {atmospheric_pressure: 14.0 psia}\ninclude: [templates/*.yaml]\nassets: [{file: wells.csv, decimal: point}]\n".to_owned(),
        )];
        for model in &MODELS {
            let mut text = format!(
                "templates:\n  {}:\n    kind: well\n    parameters: {{endpoint: {{type: string}}, unit_id: {{type: integer}}}}\n    connection: {{type: modbus, endpoint: \"${{endpoint}}\", unit_id: \"${{unit_id}}\", addressing: {}, order: {}, response_timeout: 300ms}}\n    tags:\n",
                model.name,
                model.addressing,
                order(model.order)
            );
            for of in model.variables {
                let address = match model.addressing {
                    "1" => format!("{}, table: input", of.offset + 1),
                    "40001" => (40_001 + u32::from(of.offset)).to_string(),
                    _ => (400_001 + u32::from(of.offset)).to_string(),
                };
                let scale = if of.scale == 1.0 { String::new() } else { format!(", scale: {}", of.scale) };
                let [low, high] = of.span;
                let [from, to] = of.envelope;
                let _ = writeln!(
                    text,
                    "      {}: {{address: {address}, as: {}{scale}, unit: {}, span: [{low}, {high}], envelope: [{from}, {to}]}}",
                    of.name, of.kind, of.unit
                );
            }
            files.push((format!("templates/{}.yaml", model.name), text));
        }
        let columns: BTreeSet<&String> = self.wells.iter().flat_map(|well| well.cells.keys()).collect();
        let mut text = "asset;template;endpoint;unit_id".to_owned();
        columns.iter().for_each(|column| text.extend([";", column.as_str()]));
        text.push('\n');
        for well in &self.wells {
            let _ = write!(text, "{};{};{};{}", well.name, MODELS[well.model].name, endpoint(well.server), well.unit);
            for column in &columns {
                let _ = write!(text, ";{}", well.cells.get(*column).map_or("", String::as_str));
            }
            text.push('\n');
        }
        files.push(("wells.csv".to_owned(), text));
        files
    }

    /// The registers of a well's device at a reading.
    pub(crate) fn registers(&self, well: usize, reading: u64) -> BTreeMap<(Table, u16), u16> {
        let (model, of) = (self.model(well), &self.wells[well]);
        let mut memory = BTreeMap::new();
        let first = model.variables.first().map_or(0, |variable| variable.offset);
        let last = model.variables.iter().map(|variable| variable.offset + 8).max().unwrap_or(0);
        // What else is in a device: settings, counters, nothing. Each stays what it is.
        let mut junk = Dice::new(self.seed ^ (well as u64) << 20);
        for offset in first.saturating_sub(4)..last {
            let (kind, value) = (junk.below(4), junk.below(60_000) as u16);
            let register = match kind {
                0 => 0,
                1 => value % 100,
                2 => value,
                _ => value.wrapping_add(reading as u16),
            };
            memory.insert((model.table, offset), register);
        }
        for (index, variable) in model.variables.iter().enumerate() {
            let setting = of.truth[index];
            let value = self.value(well, index, reading);
            let mut registers = vec![0; setting.kind.registers().into()];
            let raw = value * setting.factor / variable.scale;
            let raw = match (setting.kind, of.faults[index]) {
                (ValueType::F32 | ValueType::F64, Some(Fault::NotANumber)) => Value::Float(f64::NAN),
                (ValueType::F32 | ValueType::F64, Some(Fault::Stuck)) => Value::Float(-9999.0),
                (ValueType::U16, Some(Fault::Stuck | Fault::NotANumber)) => Value::Int(65_535),
                (ValueType::I16, Some(Fault::Stuck | Fault::NotANumber)) => Value::Int(-32_768),
                (_, Some(Fault::Stuck | Fault::NotANumber)) => Value::Int(0x7fff_ffff),
                (ValueType::F32 | ValueType::F64, _) => Value::Float(raw),
                (kind, _) => {
                    let range = kind.integers().unwrap();
                    Value::Int((raw.round() as i128).clamp(*range.start(), *range.end()) as i64)
                }
            };
            setting.kind.encode(setting.order, &raw, &mut registers).unwrap();
            for (offset, register) in (setting.offset..).zip(registers) {
                memory.insert((model.table, offset), register);
            }
        }
        memory
    }

    /// A tag's value in the template's unit.
    fn value(&self, well: usize, index: usize, reading: u64) -> f64 {
        let (variable, of) = (&self.model(well).variables[index], &self.wells[well]);
        let mut dice = Dice::new(self.seed ^ (well as u64) << 32 ^ (index as u64) << 24 ^ reading);
        let noise = dice.between(-1.0, 1.0);
        let base = of.base[index];
        let [low, high] = variable.span;
        match of.faults[index] {
            Some(Fault::Zero) => return 0.0,
            Some(Fault::Open) => return low - (high - low) * (0.12 + 0.001 * noise),
            Some(Fault::High) => return high + (high - low) * (0.08 + 0.001 * noise),
            _ => {}
        }
        if of.shut_in {
            return match variable.name {
                "ESP_CURRENT" | "ESP_FREQUENCY" | "LIQUID_RATE" | "GAS_RATE" | "TORQUE" | "DIFFERENTIAL" => 0.0,
                "THP" | "FLP" => 25.0 * (1.0 + 0.01 * noise),
                "PIP" | "CHP" => base * 1.3 * (1.0 + variable.noise * noise),
                _ => base * (1.0 + variable.noise * noise),
            };
        }
        let growing = variable.name.ends_with("TOTAL");
        let moved = if growing { base + 0.4 * reading as f64 } else { base * (1.0 + variable.noise * noise) };
        moved.clamp(low, high)
    }
}
