//! The requests that read an asset, in the language of its site.

use std::fmt::Write as _;

use ducto_operators::sources::modbus::{PlannedRead, Priority, ReadPlan};
use modbus::Table;

use crate::words::Language;

/// How many requests there are, and a line for each. The endpoint and the unit are said elsewhere.
pub(super) fn text(plan: &ReadPlan, language: Language) -> (String, String) {
    match language {
        Language::English => {
            let text = plan.to_string();
            let (head, reads) = text.split_once('\n').unwrap_or((&text, ""));
            let head = head.rsplit_once(": ").map_or(head, |(_, head)| head);
            (head.to_owned(), reads.to_owned())
        }
        Language::Spanish => (head(plan), reads(plan)),
    }
}

fn head(plan: &ReadPlan) -> String {
    let plural = if plan.reads.len() == 1 { "" } else { "s" };
    format!("{} consulta{plural}, {:.1} por minuto", plan.reads.len(), plan.requests_per_minute)
}

/// As the English plan has them: `  función 3: 40001 a 40014, 14 registros holding (10 no hacen falta) cada 1s, costo 46: THP`.
fn reads(plan: &ReadPlan) -> String {
    let mut text = String::new();
    for read in &plan.reads {
        let PlannedRead { table, function, count, first, last, period, priority, tags, unused, cost, .. } = read;
        // Writing to a String cannot fail.
        let _ = write!(text, "  función {function}: {first}");
        if *count > 1 {
            let _ = write!(text, " a {last}");
        }
        let _ = write!(text, ", {count} {}", table_name(*table, *count == 1));
        if *unused > 0 {
            let _ = write!(text, " ({unused} no hacen falta)");
        }
        let _ = write!(text, " cada {period}");
        match priority {
            Priority::Normal => {}
            Priority::Low => text.push_str(", prioridad baja"),
            Priority::High => text.push_str(", prioridad alta"),
        }
        let names: Vec<&str> = tags.iter().map(|tag| tag.name.as_str()).collect();
        let _ = writeln!(text, ", costo {cost}: {}", names.join(", "));
    }
    for (tag, why) in &plan.refused {
        let _ = writeln!(text, "  no se lee: {}, {why}", *tag.name);
    }
    text
}

fn table_name(table: Table, one: bool) -> &'static str {
    match (table, one) {
        (Table::Coils, true) => "coil",
        (Table::Coils, false) => "coils",
        (Table::DiscreteInputs, true) => "entrada discreta",
        (Table::DiscreteInputs, false) => "entradas discretas",
        (Table::InputRegisters, true) => "registro de entrada",
        (Table::InputRegisters, false) => "registros de entrada",
        (Table::LongRegisters, true) => "registro de 32 bits",
        (Table::LongRegisters, false) => "registros de 32 bits",
        (Table::HoldingRegisters, true) => "registro holding",
        (Table::HoldingRegisters, false) => "registros holding",
    }
}
