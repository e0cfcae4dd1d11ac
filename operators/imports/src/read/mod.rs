//! Files as trees and tables in which every value knows its place.

pub(crate) mod json;
pub(crate) mod toml;

use std::path::Path;

use ducto_graph::codes::Code;
use ducto_graph::diagnostic::{Diagnostic, Diagnostics};
use ducto_graph::source::{FileId, Place, Sources};
use ducto_graph::tree::Node;

use crate::Format;

/// What a file is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Table,
    Json,
    Toml,
}

/// By the program where it is known, else by the file's ending and its first letters.
pub(crate) fn form(path: &Path, bytes: &[u8], format: Option<Format>) -> Form {
    match format {
        Some(Format::Kepware | Format::Neuron) => return Form::Table,
        Some(Format::Ignition) => return Form::Json,
        Some(Format::Telegraf) => return Form::Toml,
        None => {}
    }
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_ascii_lowercase();
    match ending.as_str() {
        "json" => Form::Json,
        "toml" | "conf" => Form::Toml,
        "csv" | "tsv" | "txt" | "xlsx" => Form::Table,
        _ => {
            let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
            match bytes.iter().find(|byte| !byte.is_ascii_whitespace()) {
                Some(b'{') => Form::Json,
                Some(b'[') if !bytes.windows(8).any(|part| part == b"[[inputs") => Form::Json,
                Some(b'[' | b'#') => Form::Toml,
                _ => Form::Table,
            }
        }
    }
}

/// A text file, parsed.
pub(crate) fn text(
    path: &Path,
    bytes: &[u8],
    sources: &mut Sources,
    diagnostics: &mut Diagnostics,
    parse: fn(FileId, &str) -> Result<Node, Box<Diagnostic>>,
) -> Option<Node> {
    let text = match utf8(bytes) {
        Ok(text) => text,
        Err(why) => {
            let file = sources.add_file(path);
            let help = "save the file as UTF-8";
            diagnostics.push(Diagnostic::new(Code::FileNotText, why).at(Place::file(file)).help(help));
            return None;
        }
    };
    let file = sources.add_text(path, text);
    diagnostics.take(parse(file, text).map_err(|diagnostic| *diagnostic))
}

fn utf8(bytes: &[u8]) -> Result<&str, String> {
    if bytes.starts_with(&[0xFF, 0xFE]) || bytes.starts_with(&[0xFE, 0xFF]) {
        return Err("the file is UTF-16, not UTF-8".to_owned());
    }
    let bytes = bytes.strip_prefix(&[0xEF, 0xBB, 0xBF]).unwrap_or(bytes);
    std::str::from_utf8(bytes).map_err(|error| {
        let line = bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
        format!("the file is not UTF-8: a byte of line {line} is none of a text")
    })
}
