//! A spreadsheet of 120 wells with three models of devices and sixty mistakes: `check` and `connect --suggest` find
//! them, and propose nothing that is wrong.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use field::{Field, SERVERS, Score};
use modbus::{Device, Exception, Fault, Reply, Request, Response, Server, Table};
use serde_json::Value;

use crate::command::run;
use crate::site::TestSite;

#[allow(dead_code)]
#[path = "../../operators/src/sources/modbus/suggest/tests/field/mod.rs"]
mod field;

/// The wells behind one server. Their values move twice a second.
struct Wells {
    field: Arc<Field>,
    server: usize,
    since: Instant,
}

impl Wells {
    fn well(&self, unit: u8) -> Option<usize> {
        self.field.wells.iter().position(|well| well.server == self.server && well.unit == unit)
    }
}

impl Device for Wells {
    fn handle(&self, unit: u8, request: &Request) -> Reply {
        let well = self.well(unit).ok_or(Exception::GatewayTargetFailedToRespond)?;
        let reading = (self.since.elapsed().as_millis() / 500) as u64;
        let memory = self.field.registers(well, reading);
        let read = |table: Table, address: u16, count: u16| -> Result<Vec<u16>, Exception> {
            (0..count)
                .map(|at| {
                    let offset = address.checked_add(at).ok_or(Exception::IllegalDataAddress)?;
                    memory.get(&(table, offset)).copied().ok_or(Exception::IllegalDataAddress)
                })
                .collect()
        };
        match request {
            Request::ReadHoldingRegisters { address, count } => {
                read(Table::HoldingRegisters, *address, *count).map(Response::ReadHoldingRegisters)
            }
            Request::ReadInputRegisters { address, count } => {
                read(Table::InputRegisters, *address, *count).map(Response::ReadInputRegisters)
            }
            _ => Err(Exception::IllegalFunction),
        }
    }

    fn fault(&self, unit: u8) -> Option<Fault> {
        let well = self.well(unit)?;
        self.field.wells[well].dead.then_some(Fault::NoAnswer)
    }
}

/// Whether a finding of `check` names the tag, or stands in a cell of its settings.
fn points_at(finding: &Value, wells: &str, tag: &str) -> bool {
    if finding["message"].as_str().is_some_and(|message| message.contains(&format!("`{tag}`"))) {
        return true;
    }
    let (asset, variable) = tag.rsplit_once('.').unwrap();
    let (Some(line), Some(column)) = (finding["line"].as_u64(), finding["column"].as_u64()) else { return false };
    if !finding["file"].as_str().is_some_and(|file| file.ends_with("wells.csv")) {
        return false;
    }
    let head: Vec<&str> = wells.lines().next().unwrap().split(';').collect();
    let row = wells.lines().nth(line as usize - 1).unwrap();
    let at = row.chars().take(column as usize - 1).filter(|c| *c == ';').count();
    row.split(';').next() == Some(asset) && head[at].split('.').next() == Some(variable)
}

#[test]
fn sixty_mistakes_in_a_spreadsheet_of_120_wells() {
    let field = Arc::new(Field::new(1, false));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let servers: Vec<Server> = (0..SERVERS)
        .map(|server| {
            let wells = Wells { field: field.clone(), server, since: Instant::now() };
            runtime.block_on(Server::bind("127.0.0.1:0", Arc::new(wells))).unwrap()
        })
        .collect();
    let site = TestSite::new(502);
    for (name, text) in field.files(|server| format!("tcp://{}", servers[server].local_addr())) {
        site.write(&format!("field/{name}"), &text);
    }
    let wells = std::fs::read_to_string(site.path().join("field/wells.csv")).unwrap();

    let mut score = Score::default();
    let checked = run(site.path(), &["check", "field", "--json"]).expect(1).json();
    for seeded in &field.seeded {
        if checked["findings"].as_array().unwrap().iter().any(|finding| points_at(finding, &wells, &seeded.tag)) {
            score.checked.insert(seeded.tag.clone());
        }
    }
    let arguments = ["connect", "field", "--suggest", "--every", "500ms", "--json", "--write", "overrides.csv"];
    let connected = run(site.path(), &arguments).expect(1).json();
    let dead = field.wells.iter().filter(|well| well.dead).count();
    assert_eq!(connected["answering"], 120 - dead, "{connected:#}");
    for suggestion in connected["suggestions"].as_array().unwrap() {
        let tag = suggestion["tag"].as_str().unwrap().to_owned();
        let Some(proposed) = suggestion["proposed"].as_array() else {
            score.named.insert(tag);
            continue;
        };
        let text = |change: &Value, field: &str| change[field].as_str().unwrap().to_owned();
        let changes: Vec<(String, String)> =
            proposed.iter().map(|change| (text(change, "field"), text(change, "value"))).collect();
        if field.seeded(&tag).is_some() && field.is_right(&tag, &changes) {
            score.proposed.insert(tag);
        } else {
            score.wrong.push(format!("{tag}: {changes:?}: {}", suggestion["reason"]));
        }
    }
    assert!(score.wrong.is_empty(), "{:#?}", score.wrong);
    let found: BTreeSet<&String> = score.checked.union(&score.proposed).collect();
    let missed: Vec<&str> = field
        .seeded
        .iter()
        .map(|seeded| seeded.tag.as_str())
        .filter(|tag| !found.iter().any(|known| known == tag))
        .collect();
    println!(
        "{} by check, {} proposed, {} together; missed {missed:?}",
        score.checked.len(),
        score.proposed.len(),
        found.len()
    );
    assert!(found.len() >= 55, "missed {missed:?}");
    let written = std::fs::read_to_string(site.path().join("overrides.csv")).unwrap();
    assert!(written.lines().count() > score.proposed.len(), "{written}");
    drop(servers);
    runtime.shutdown_background();
}
