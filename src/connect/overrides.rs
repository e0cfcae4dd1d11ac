//! Proposals written into a table of overrides.

use std::io::ErrorKind;
use std::path::Path;

use ducto_graph::site::Site;
use ducto_operators::sources::modbus::suggest::{Finding, Outcome};

use crate::output::{Exit, Failure};

const HEAD: &str = "tag;field;value;reason";

/// Adds the proposals to a table, which is made where there is none; a setting that is there already gets its new
/// value. Gives the number of settings.
pub(crate) fn write(path: &Path, site: &Site, findings: &[Finding]) -> Result<usize, Failure> {
    let failed = |what: &str, error: std::io::Error| {
        let message = format!("cannot {what} `{}`: {error}; name another file with `--write`", path.display());
        Failure::new(Exit::Data, message)
    };
    let old = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => format!("{HEAD}\n"),
        Err(error) => return Err(failed("read", error)),
    };
    let settings = settings(site, findings);
    let new = merged(&old, &settings).ok_or_else(|| {
        let message =
            format!("`{}` is no table with the columns `{HEAD}`; name a new file and copy its lines", path.display());
        Failure::new(Exit::Usage, message)
    })?;
    // Beside the file and then in its place: half a table would be worse than none.
    let beside = path.with_extension("csv.new");
    std::fs::write(&beside, new)
        .and_then(|()| std::fs::rename(&beside, path))
        .map_err(|error| failed("write", error))?;
    Ok(settings.len())
}

/// Tag, field, value, reason.
fn settings(site: &Site, findings: &[Finding]) -> Vec<[String; 4]> {
    let mut settings = Vec::new();
    for finding in findings {
        let (Outcome::Proposal { changes, reason, .. }, Some(tag)) = (&finding.outcome, site.tag(finding.tag)) else {
            continue;
        };
        for change in changes {
            settings.push([tag.name.value.clone(), change.field.clone(), change.value.clone(), reason.clone()]);
        }
    }
    settings
}

/// The table with the settings in it; `None` where its columns are others.
fn merged(old: &str, settings: &[[String; 4]]) -> Option<String> {
    let mut lines: Vec<String> = old.lines().map(str::to_owned).collect();
    let head = lines.iter().find(|line| !line.trim().is_empty())?;
    let head: Vec<&str> = head.trim_start_matches('\u{feff}').trim().split(';').map(str::trim).collect();
    if head != HEAD.split(';').collect::<Vec<_>>() {
        return None;
    }
    for [tag, field, value, reason] in settings {
        let line = format!("{};{field};{};{}", cell(tag), cell(value), cell(reason));
        let same = |line: &String| {
            let mut cells = line.split(';').map(|cell| cell.trim().trim_matches('"'));
            cells.next() == Some(tag) && cells.next() == Some(field)
        };
        match lines.iter_mut().find(|line| same(line)) {
            Some(known) => *known = line,
            None => lines.push(line),
        }
    }
    Some(lines.join("\n") + "\n")
}

fn cell(text: &str) -> String {
    if text.contains([';', '"', ',', '\n', '\t']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::merged;

    fn setting(tag: &str, field: &str, value: &str) -> [String; 4] {
        [tag, field, value, "reads 5; was 1e9"].map(str::to_owned)
    }

    #[test]
    fn settings_are_added_and_replaced() {
        let old = "tag;field;value;reason\nW.THP;alarms.H.limit;5;weak\nW.THP;order;ABCD;old\n";
        let new =
            merged(old, &[setting("W.THP", "order", "CDAB"), setting("W.CHP", "span", "[0, 5]")]).unwrap_or_default();
        assert_eq!(
            new,
            "tag;field;value;reason\nW.THP;alarms.H.limit;5;weak\nW.THP;order;CDAB;\"reads 5; was 1e9\"\nW.CHP;span;\"[0, 5]\";\"reads 5; was 1e9\"\n"
        );
        assert_eq!(merged("tag,field,value\n", &[]), None);
        assert_eq!(merged("", &[]), None);
    }
}
