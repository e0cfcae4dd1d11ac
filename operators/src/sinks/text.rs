//! Rows as lines of JSON or CSV.

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use arrow::json::writer::LineDelimited;
use schemars::JsonSchema;
use serde::Deserialize;

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TextFormat {
    /// An object a line.
    Jsonl,
    /// Comma-separated, with a header line.
    Csv,
}

impl TextFormat {
    /// By a file's ending.
    pub(super) fn of(path: &str) -> Option<Self> {
        match path.rsplit_once('.')?.1.to_ascii_lowercase().as_str() {
            "jsonl" | "ndjson" => Some(Self::Jsonl),
            "csv" => Some(Self::Csv),
            _ => None,
        }
    }

    /// The line before the first row.
    pub(super) fn header(self, columns: &[String]) -> Vec<u8> {
        match self {
            Self::Jsonl => Vec::new(),
            Self::Csv => format!("{}\n", columns.join(",")).into_bytes(),
        }
    }

    /// Adds the rows to `text`, each with its line end.
    pub(super) fn write(self, batch: &RecordBatch, text: &mut Vec<u8>) -> Result<(), ArrowError> {
        match self {
            Self::Jsonl => {
                let builder = arrow::json::WriterBuilder::new().with_explicit_nulls(true);
                let mut writer = builder.build::<_, LineDelimited>(text);
                writer.write(batch)?;
                writer.finish()
            }
            Self::Csv => {
                let mut writer = arrow::csv::WriterBuilder::new().with_header(false).build(text);
                writer.write(batch)
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::sources::testing::sample;

    fn lines(format: TextFormat, value: f64) -> String {
        let mut text = Vec::new();
        format.write(&sample(1_767_225_600_500_000, 3, value).record_batch(), &mut text).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn a_row_is_a_line() {
        assert_eq!(
            lines(TextFormat::Jsonl, 1.5),
            "{\"time\":\"2026-01-01T00:00:00.500Z\",\"tag\":3,\"value\":1.5,\"quality\":192,\"checks\":0}\n"
        );
        assert_eq!(lines(TextFormat::Csv, 1.5), "2026-01-01T00:00:00.500Z,3,1.5,192,0\n");
        // JSON has no such number.
        assert!(lines(TextFormat::Jsonl, f64::NAN).contains("\"value\":null"));
        assert_eq!(TextFormat::of("a.b.CSV"), Some(TextFormat::Csv));
        assert_eq!(TextFormat::of("csv"), None);
    }
}
