//! Findings as people and programs read them.

use std::collections::HashMap;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use serde_json::{Value, json};

use crate::codes::Severity;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::source::{At, Place, Sources};

/// Longest part of a source line that is shown, in bytes.
const SHOWN_LINE: usize = 240;

/// Stands for a location while a snippet is laid out. The renderer would count the column from what
/// it is shown, which may be part of a line, and knows no cells.
const LOCATION: &str = "\u{E000}";

impl Diagnostics {
    /// The findings for a terminal, sorted, with source lines and carets; empty if there are none. One mistake that
    /// stands in many rows of a table is told once, with the other places.
    pub fn render(&self, sources: &Sources, coloured: bool) -> String {
        let renderer = if coloured { Renderer::styled().decor_style(DecorStyle::Unicode) } else { Renderer::plain() };
        let mut text = String::new();
        for (diagnostic, others) in folded(self.sorted()) {
            if !text.is_empty() {
                text.push('\n');
            }
            let noted;
            let diagnostic = if others.is_empty() {
                diagnostic
            } else {
                noted = diagnostic.clone().note(elsewhere(&others, sources));
                &noted
            };
            let (groups, locations) = groups(diagnostic, sources);
            let rendered = fill_in(&renderer.render(&groups), &locations);
            for line in rendered.lines() {
                text.push_str(line.trim_end());
                text.push('\n');
            }
        }
        text
    }

    /// The findings for a program: an array of objects with `code`, `severity`, `message`, `file`,
    /// `line`, `column`, `end_line`, `end_column`, `sheet`, `cell`, `help`, `notes`; what does not
    /// apply is null.
    pub fn to_json(&self, sources: &Sources) -> Value {
        self.sorted().into_iter().map(|diagnostic| to_json(diagnostic, sources)).collect()
    }
}

/// So many equal findings in one file are told one by one.
const EQUAL: usize = 3;

/// Findings of which more than [`EQUAL`] say the same of one file become one, with the places of the others.
fn folded(sorted: Vec<&Diagnostic>) -> Vec<(&Diagnostic, Vec<Place>)> {
    let key = |found: &Diagnostic| {
        // What points elsewhere besides may point somewhere else each time.
        let plain = found.notes.iter().all(|note| note.place.is_none());
        found.place.filter(|_| plain).map(|place| (found.code, found.message.clone(), place.file))
    };
    let mut count: HashMap<_, usize> = HashMap::new();
    for key in sorted.iter().filter_map(|found| key(found)) {
        *count.entry(key).or_default() += 1;
    }
    let mut told: HashMap<_, usize> = HashMap::new();
    let mut folded: Vec<(&Diagnostic, Vec<Place>)> = Vec::new();
    for found in sorted {
        let key = key(found).filter(|key| count.get(key).is_some_and(|count| *count > EQUAL));
        match (key, found.place) {
            (Some(key), Some(place)) => match told.get(&key).and_then(|at| folded.get_mut(*at)) {
                Some((_, places)) => places.push(place),
                None => {
                    told.insert(key, folded.len());
                    folded.push((found, Vec::new()));
                }
            },
            _ => folded.push((found, Vec::new())),
        }
    }
    folded
}

/// "the same stands in 117 other places: lines 3, 4, 5 and so on".
fn elsewhere(places: &[Place], sources: &Sources) -> String {
    const NAMED: usize = 8;
    let names: Vec<String> = places
        .iter()
        .take(NAMED)
        .map(|place| match (sources.position(*place), sources.cell_name(*place)) {
            (Some(at), _) => format!("{}:{}", at.line, at.column),
            (None, Some((_, cell))) => cell,
            (None, None) => "?".to_owned(),
        })
        .collect();
    let more = if places.len() > NAMED { ", …" } else { "" };
    format!("the same stands in {} other places: {}{more}", places.len(), names.join(", "))
}

/// The sections of a finding, and what its locations are in their order.
fn groups<'a>(diagnostic: &'a Diagnostic, sources: &'a Sources) -> (Vec<Group<'a>>, Vec<String>) {
    let level = match diagnostic.severity() {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut locations = Vec::new();
    let title = level.primary_title(diagnostic.message.as_str()).id(diagnostic.code.id());
    let label = diagnostic.label.as_deref();
    let mut main = Group::with_title(title);
    if let Some(place) = diagnostic.place {
        main = with_place(main, place, label, sources);
        locations.push(location(place, sources));
    }
    for note in diagnostic.notes.iter().filter(|note| note.place.is_none()) {
        main = main.element(Level::NOTE.message(note.message.as_str()));
    }
    if let Some(help) = &diagnostic.help {
        main = main.element(Level::HELP.message(help.as_str()));
    }
    let mut groups = vec![main];
    for note in &diagnostic.notes {
        if let Some(place) = note.place {
            let group = Group::with_title(Level::NOTE.secondary_title(note.message.as_str()));
            groups.push(with_place(group, place, None, sources));
            locations.push(location(place, sources));
        }
    }
    (groups, locations)
}

/// `path:line:column`, `path [Sheet1!C7]` or `path`.
fn location(place: Place, sources: &Sources) -> String {
    let path = sources.path(place.file).display().to_string();
    let location = match (sources.position(place), sources.cell_name(place)) {
        (Some(at), _) => format!("{path}:{}:{}", at.line, at.column),
        (None, Some((sheet, cell))) => format!("{path} [{sheet}!{cell}]"),
        (None, None) => path,
    };
    annotate_snippets::normalize_untrusted_str(&location)
}

/// Puts the locations where the renderer has put [`LOCATION`] and a line and column of its own.
fn fill_in(rendered: &str, locations: &[String]) -> String {
    let mut parts = rendered.split(LOCATION);
    let mut text = parts.next().unwrap_or("").to_owned();
    for (part, location) in parts.zip(locations) {
        text.push_str(location);
        text.push_str(part.trim_start_matches(|c: char| c == ':' || c.is_ascii_digit()));
    }
    text
}

fn with_place<'a>(group: Group<'a>, place: Place, label: Option<&'a str>, sources: &'a Sources) -> Group<'a> {
    let snippet = match (place.at, sources.line(place)) {
        (At::Text { .. }, Some(line)) => {
            let (text, start, end) = window(line.text, line.start, line.end);
            Snippet::source(text).line_start(line.number).annotation(caret(start..end, label))
        }
        (At::Cell { .. }, _) if !sources.slice(place).is_empty() => {
            let (text, start, end) = window(sources.slice(place), 0, usize::MAX);
            Snippet::source(text).line_numbering(false).annotation(caret(start..end, label))
        }
        _ => return group.element(Origin::path(LOCATION)),
    };
    group.element(snippet.path(LOCATION))
}

fn caret<'a>(range: std::ops::Range<usize>, label: Option<&'a str>) -> Annotation<'a> {
    AnnotationKind::Primary.span(range).label(label)
}

/// The part of a long line around `start..end`, with both counted from its beginning.
fn window(line: &str, start: usize, end: usize) -> (&str, usize, usize) {
    let end = end.min(line.len());
    if line.len() <= SHOWN_LINE {
        return (line, start, end);
    }
    let boundary = |mut at: usize| {
        at = at.min(line.len());
        while !line.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let from = boundary(start.saturating_sub(SHOWN_LINE / 4));
    let to = boundary(from + SHOWN_LINE);
    let end = end.min(to).max(start);
    (&line[from..to], start - from, end - from)
}

fn to_json(diagnostic: &Diagnostic, sources: &Sources) -> Value {
    let mut object = json!({
        "code": diagnostic.code.id(),
        "severity": diagnostic.severity().as_str(),
        "message": diagnostic.message,
        "label": diagnostic.label,
        "help": diagnostic.help,
        "notes": diagnostic
            .notes
            .iter()
            .map(|note| {
                let mut object = json!({ "message": note.message });
                add_place(&mut object, note.place, sources);
                object
            })
            .collect::<Vec<_>>(),
    });
    add_place(&mut object, diagnostic.place, sources);
    object
}

fn add_place(object: &mut Value, place: Option<Place>, sources: &Sources) {
    let file = place.map(|place| sources.path(place.file).display().to_string());
    let start = place.and_then(|place| sources.position(place));
    let end = place.and_then(|place| match place.at {
        At::Text { end, .. } => sources.position(Place::text(place.file, end as usize, end as usize)),
        _ => None,
    });
    let cell = place.and_then(|place| sources.cell_name(place));
    object["file"] = json!(file);
    object["line"] = json!(start.map(|at| at.line));
    object["column"] = json!(start.map(|at| at.column));
    object["end_line"] = json!(end.map(|at| at.line));
    object["end_column"] = json!(end.map(|at| at.column));
    object["sheet"] = json!(cell.as_ref().map(|(sheet, _)| sheet));
    object["cell"] = json!(cell.as_ref().map(|(_, cell)| cell));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codes::Code;

    #[test]
    fn a_text_place_shows_its_line_and_caret() {
        let mut sources = Sources::new();
        let file = sources.add_text("pipelines/a.yaml", "a: 1\nseñal: {tpye: x}\n");
        let mut found = Diagnostics::new();
        let start = sources.text(file).find("tpye").unwrap();
        found.push(
            Diagnostic::new(Code::FieldUnknown, "unknown field `tpye`")
                .at(Place::text(file, start, start + 4))
                .label("not known here")
                .note_at(Place::text(file, 0, 1), "first given here")
                .help("did you mean `type`?"),
        );
        let text = found.render(&sources, false);
        assert!(text.starts_with("error[E0201]: unknown field `tpye`\n"), "{text}");
        assert!(text.contains("--> pipelines/a.yaml:2:9"), "{text}");
        assert!(text.contains("^^^^ not known here"), "{text}");
        assert!(text.contains("help: did you mean `type`?"), "{text}");
        assert!(text.contains("pipelines/a.yaml:1:1"), "{text}");
        assert!(found.render(&sources, true).contains("\u{1b}["));
        let json = found.to_json(&sources);
        assert_eq!(json[0]["line"], 2);
        assert_eq!(json[0]["column"], 9);
        assert_eq!(json[0]["end_column"], 13);
        assert_eq!(json[0]["code"], "E0201");
        assert_eq!(json[0]["notes"][0]["line"], 1);
        assert!(json[0]["cell"].is_null());
    }

    #[test]
    fn a_cell_shows_its_name_and_text() {
        let mut sources = Sources::new();
        let file = sources.add_file("wells.xlsx");
        let sheet = sources.add_sheet(file, "Sheet1");
        let place = Place::cell(file, sheet, 6, 2);
        sources.set_cell(place, "1,234".into());
        let mut found = Diagnostics::new();
        found.push(Diagnostic::new(Code::NumberAmbiguous, "`1,234` reads two ways").at(place));
        let text = found.render(&sources, false);
        assert!(text.contains("wells.xlsx [Sheet1!C7]"), "{text}");
        assert!(text.contains("1,234\n"), "{text}");
        assert!(text.contains("^^^^^"), "{text}");
        let json = found.to_json(&sources);
        assert_eq!(json[0]["sheet"], "Sheet1");
        assert_eq!(json[0]["cell"], "C7");
    }

    #[test]
    fn what_stands_in_many_rows_is_told_once() {
        let mut sources = Sources::new();
        let file = sources.add_text("wells.csv", "a\nx\nx\nx\nx\ny\n");
        let mut found = Diagnostics::new();
        for at in [2, 4, 6, 8] {
            found.push(Diagnostic::new(Code::TemplateUnknown, "no template `x`").at(Place::text(file, at, at + 1)));
        }
        found.push(Diagnostic::new(Code::TemplateUnknown, "no template `y`").at(Place::text(file, 10, 11)));
        let text = found.render(&sources, false);
        assert_eq!(text.matches("error[").count(), 2, "{text}");
        assert!(text.contains("the same stands in 3 other places: 3:1, 4:1, 5:1"), "{text}");
        assert_eq!(found.to_json(&sources).as_array().unwrap().len(), 5);
    }

    #[test]
    fn a_long_line_is_shown_around_the_place() {
        let mut sources = Sources::new();
        let line = format!("{}é!{}", "x".repeat(5_000), "y".repeat(5_000));
        let file = sources.add_text("a", line);
        let mut found = Diagnostics::new();
        found.push(Diagnostic::new(Code::ValueInvalid, "here").at(Place::text(file, 5_002, 9_999)));
        let text = found.render(&sources, false);
        assert!(text.contains(":1:5002"), "{text}");
        assert!(text.len() < 2_000, "{}", text.len());
    }
}
