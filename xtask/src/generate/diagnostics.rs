//! The reference of diagnostic codes.

use ducto_graph::codes::{Code, Severity};

use super::{NOTE, table};

/// What the first two digits of a code are about.
const AREAS: [(&str, &str); 5] = [
    ("01", "Syntax and files"),
    ("02", "Names and references"),
    ("03", "Types, units and columns"),
    ("04", "Tables"),
    ("05", "Limits of size"),
];

pub(super) fn page() -> String {
    let mut page = format!(
        "# Diagnostics\n\n{NOTE}Every finding of `ducto check` has a code. `E` is an error: the configuration is \
         refused. `W` is a warning: it can be used, and probably does not do what was meant. A code keeps its meaning \
         for ever, so scripts can rely on it.\n\n"
    );
    for (digits, title) in AREAS {
        let rows: Vec<Vec<String>> = Code::ALL
            .iter()
            .filter(|code| &code.id()[1..3] == digits)
            .map(|code| {
                let severity = if code.severity() == Severity::Error { "error" } else { "warning" };
                vec![format!("`{}`", code.id()), severity.to_owned(), code.meaning().to_owned()]
            })
            .collect();
        if !rows.is_empty() {
            page.push_str(&format!("## {title}\n\n"));
            table(&mut page, &["Code", "", "Meaning"], &rows);
        }
    }
    page.truncate(page.trim_end().len());
    page.push('\n');
    page
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_code_is_on_the_page() {
        let page = super::page();
        for code in ducto_graph::codes::Code::ALL {
            assert!(page.contains(&format!("| `{}` |", code.id())), "{code} is in no area");
        }
    }
}
