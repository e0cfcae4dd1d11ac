//! Findings as people and programs read them.

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use serde_json::{Value, json};

use crate::codes::Severity;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::source::{At, Place, Sources};

/// Longest part of a source line that is shown, in bytes.
const SHOWN_LINE: usize = 240;

impl Diagnostics {
    /// The findings for a terminal, sorted, with source lines and carets; empty if there are none.
    pub fn render(&self, sources: &Sources, coloured: bool) -> String {
        let renderer = if coloured { Renderer::styled().decor_style(DecorStyle::Unicode) } else { Renderer::plain() };
        let mut text = String::new();
        for diagnostic in self.sorted() {
            if !text.is_empty() {
                text.push('\n');
            }
            for line in renderer.render(&groups(diagnostic, sources)).lines() {
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

fn groups<'a>(diagnostic: &'a Diagnostic, sources: &'a Sources) -> Vec<Group<'a>> {
    let level = match diagnostic.severity() {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level.primary_title(diagnostic.message.as_str()).id(diagnostic.code.id());
    let label = diagnostic.label.as_deref();
    let mut main = match diagnostic.place {
        Some(place) => with_place(Group::with_title(title), place, label, sources),
        None => Group::with_title(title),
    };
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
        }
    }
    groups
}

fn with_place<'a>(group: Group<'a>, place: Place, label: Option<&'a str>, sources: &'a Sources) -> Group<'a> {
    let path = sources.path(place.file).display().to_string();
    match place.at {
        At::File => group.element(Origin::path(path)),
        At::Cell { .. } => {
            let (sheet, cell) = sources.cell_name(place).unwrap_or_default();
            let group = group.element(Origin::path(format!("{path} [{sheet}!{cell}]")));
            let text = window(sources.slice(place), 0, usize::MAX);
            if text.0.is_empty() {
                return group;
            }
            group.element(Snippet::source(text.0).line_numbering(false).annotation(caret(0..text.0.len(), label)))
        }
        At::Text { .. } => {
            let (Some(line), Some(position)) = (sources.line(place), sources.position(place)) else {
                return group.element(Origin::path(path));
            };
            let (text, start, end) = window(line.text, line.start, line.end);
            group
                .element(Origin::path(path).line(position.line).char_column(position.column))
                .element(Snippet::source(text).line_start(line.number).annotation(caret(start..end, label)))
        }
    }
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
