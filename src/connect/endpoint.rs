//! An endpoint that no site describes: which units answer, and what stands at the beginning of their tables.

use std::time::Duration;

use ducto_operators::sources::modbus::probe::{self, Found};
use indicatif::ProgressBar;
use modbus::client::Error;
use modbus::{Endpoint, Options, Table};
use serde_json::json;

use crate::cli::ConnectArgs;
use crate::load::counted;
use crate::output::{Exit, Failure, Output};
use crate::reading::registers_text;

/// Units that a device can have.
const ALL: std::ops::RangeInclusive<u8> = 1..=247;
/// Registers of each table that are shown.
const SHOWN: u16 = 8;

pub(crate) fn run(args: &ConnectArgs, output: &Output) -> Result<Exit, Failure> {
    let endpoint: Endpoint = args.target.parse().map_err(|error| Failure::new(Exit::Usage, format!("{error}")))?;
    if let Some(of) = &args.of {
        let message = format!("an endpoint has no asset `{of}`; name a site instead of the endpoint");
        return Err(Failure::new(Exit::Usage, message));
    }
    if args.suggest {
        let message = "proposals need tags with spans; name a site instead of the endpoint";
        return Err(Failure::new(Exit::Usage, message));
    }
    let units: Vec<u8> = args.unit.as_ref().map_or_else(|| ALL.collect(), |units| units.0.clone());
    let runtime = super::site::runtime()?;
    let found = runtime.block_on(probe_all(&endpoint, &units, args.timeout, output));
    runtime.shutdown_background();
    let found = found.map_err(|error| Failure::new(Exit::Peer, error.to_string()))?;
    if output.is_json() {
        let units_found: Vec<_> = found.iter().map(unit_json).collect();
        output.object(&json!({"endpoint": endpoint.to_string(), "asked": units.len(), "units": units_found}));
    } else {
        let asked = counted(units.len(), "unit");
        match found.len() {
            0 => output.line(&format!(
                "{endpoint}: none of {asked} answers within {:?}; check the wiring, or raise `--timeout`",
                args.timeout
            )),
            count => {
                let verb = if units.len() == 1 { "answers" } else { "answer" };
                output.line(&format!("{endpoint}: {count} of {asked} {verb}"));
            }
        }
        if found.len() > 3 && found.len() == units.len() && alike(&found) {
            output.line("all answer alike: the device does not look at the unit, so any will do");
        }
    }
    Ok(if found.is_empty() { Exit::Peer } else { Exit::Done })
}

async fn probe_all(endpoint: &Endpoint, units: &[u8], timeout: Duration, output: &Output) -> Result<Vec<Found>, Error> {
    let options = Options { response_timeout: timeout, ..Options::default() };
    let mut client = probe::connect(endpoint, options).await?;
    let bar = output.is_watched().then(|| ProgressBar::new(units.len() as u64));
    let mut found = Vec::new();
    for unit in units {
        if !client.is_open() {
            client = probe::connect(endpoint, options).await?;
        }
        match probe::probe(&mut client, *unit, SHOWN).await {
            Ok(answer) => {
                if !output.is_json() {
                    let text = unit_text(&answer);
                    match &bar {
                        Some(bar) => bar.suspend(|| output.print(&text)),
                        None => output.print(&text),
                    }
                }
                found.push(answer);
            }
            Err(error) => tracing::debug!(unit, %error, "no answer"),
        }
        if let Some(bar) = &bar {
            bar.inc(1);
        }
    }
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    Ok(found)
}

fn unit_text(found: &Found) -> String {
    let mut text = format!("unit {}  {:.1} ms\n", found.unit, found.round_trip.as_secs_f64() * 1e3);
    for (table, registers) in &found.tables {
        let (first, _) = names(*table);
        let shown = match registers {
            Ok(registers) if table.is_bits() => {
                registers.iter().map(|bit| if *bit == 0 { '0' } else { '1' }).collect::<String>()
            }
            Ok(registers) => registers_text(registers),
            Err(why) => why.clone(),
        };
        text.push_str(&format!("  {first:<7} {shown}\n"));
    }
    text
}

/// The first address of a table as people write it, and the table's name in JSON.
fn names(table: Table) -> (&'static str, &'static str) {
    match table {
        Table::Coils => ("00001..", "coil"),
        Table::DiscreteInputs => ("10001..", "discrete"),
        Table::InputRegisters => ("30001..", "input"),
        Table::HoldingRegisters | Table::LongRegisters => ("40001..", "holding"),
    }
}

fn unit_json(found: &Found) -> serde_json::Value {
    let tables: serde_json::Map<String, serde_json::Value> = found
        .tables
        .iter()
        .map(|(table, registers)| {
            let value = match registers {
                Ok(registers) => json!(registers),
                Err(why) => json!({"error": why}),
            };
            (names(*table).1.to_owned(), value)
        })
        .collect();
    json!({"unit": found.unit, "round_trip_ms": found.round_trip.as_secs_f64() * 1e3, "tables": tables})
}

fn alike(found: &[Found]) -> bool {
    found.windows(2).all(|pair| pair[0].tables == pair[1].tables)
}
