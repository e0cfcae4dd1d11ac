//! Rows of a tap as text: a table that grows, CSV, or JSON lines.

use arrow::array::RecordBatch;
use arrow::json::LineDelimitedWriter;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use ducto_record::{Quality, QualityClass};
use jiff::civil::Date;

use super::cells::{Column, Kind, join};
use crate::cli::TapFormat;
use crate::table::{shorten, shorten_middle};
use crate::times::Zone;
use crate::words::Language;

/// How rows are shown.
#[derive(Clone, Debug)]
pub(super) struct Look {
    pub(super) format: TapFormat,
    pub(super) language: Language,
    pub(super) zone: Zone,
    pub(super) coloured: bool,
    /// Columns and lines of the terminal, where there is one.
    pub(super) window: Option<(u16, u16)>,
}

/// Columns of a table that nobody watches.
const WIDTH: usize = 80;
/// Columns that samples have in CSV, whatever the kind of their values.
const SAMPLES: [&str; 7] = ["time", "tag", "value", "unit", "quality", "checks", "state"];
/// Narrowest and widest that names of tags are shown.
const NAME: (usize, usize) = (12, 40);
/// Width of a value and of a unit.
const VALUE: usize = 11;
const UNIT: usize = 7;
/// Width that is left to quality and checks.
const QUALITY: usize = 20;

/// Writes rows as they come.
pub(super) struct Printer {
    pub(super) look: Look,
    /// The columns that the last header named.
    header: Vec<String>,
    /// Lines since then.
    lines: usize,
    date: Option<Date>,
    /// Width of the names of tags, which only grows, so that columns stay where they are.
    name_width: usize,
}

impl Printer {
    pub(super) fn new(look: Look) -> Self {
        Self { look, header: Vec::new(), lines: 0, date: None, name_width: NAME.0 }
    }

    /// Adds the rows of a batch to a text.
    pub(super) fn rows(&mut self, batch: &RecordBatch, text: &mut String) {
        match self.look.format {
            TapFormat::Json => json(batch, text),
            TapFormat::Csv => self.csv(batch, text),
            TapFormat::Table => {
                let columns = Column::all(batch);
                match Samples::of(&columns) {
                    Some(samples) => self.samples(&samples, batch.num_rows(), text),
                    None => self.pairs(&columns, batch.num_rows(), text),
                }
            }
        }
    }

    fn width(&self) -> usize {
        self.look.window.map_or(WIDTH, |(columns, _)| usize::from(columns).max(20))
    }

    /// Begins a line: says the date where it is another than before.
    fn begin(&mut self, time: Option<i64>, text: &mut String) {
        self.lines += 1;
        let Some(time) = time else { return };
        let date = self.look.zone.date(time);
        if self.date != Some(date) {
            self.date = Some(date);
            self.lines += 1;
            let day = format!("{date} {}", self.look.zone.name());
            text.push_str(&self.dim(&day));
            text.push('\n');
        }
    }

    fn samples(&mut self, columns: &Samples<'_>, rows: usize, text: &mut String) {
        let look = self.look.clone();
        let tags: Vec<String> = (0..rows).map(|row| columns.tag.text(row, &look.zone, look.language)).collect();
        let longest = tags.iter().map(|tag| tag.chars().count()).max().unwrap_or(0);
        // Time, value and unit have their widths; quality keeps its own as long as there is room.
        let fixed = 12 + VALUE + UNIT + 4 * 2;
        let room = self.width().saturating_sub(fixed + QUALITY).clamp(NAME.0, NAME.1);
        if longest.min(room) > self.name_width {
            self.name_width = longest.min(room);
            // The heads stand elsewhere now.
            self.header.clear();
        }
        let rest = self.width().saturating_sub(fixed + self.name_width).max(4);
        for (row, tag) in tags.iter().enumerate() {
            self.head(look.language.sample_columns(), text);
            let time = columns.time.time(row);
            self.begin(time, text);
            let state = columns.state.filter(|state| !state.is_null(row));
            let value = state.unwrap_or(columns.value).text(row, &look.zone, look.language);
            let unit = columns.unit.filter(|unit| !unit.is_null(row)).map(|unit| unit.plain(row)).unwrap_or_default();
            let quality = columns.quality.quality(row).unwrap_or(Quality::BAD);
            let line = format!(
                "{:<12}  {:<name$}  {:>VALUE$}  {:<UNIT$}  ",
                time.map(|time| look.zone.clock(time)).unwrap_or_default(),
                shorten_middle(tag, self.name_width),
                shorten(&value, VALUE),
                shorten(&unit, UNIT),
                name = self.name_width,
            );
            let failed = columns.checks.and_then(|checks| checks.checks(row)).map(join).unwrap_or_default();
            let mut words = look.language.quality(quality).to_owned();
            if !failed.is_empty() {
                words.push_str(&format!(": {failed}"));
            }
            text.push_str(&line);
            text.push_str(&self.of_quality(&shorten(&words, rest), quality));
            text.push('\n');
        }
    }

    /// The heads of the columns: at first, and again for every screen.
    fn head(&mut self, names: [&str; 5], text: &mut String) {
        let screen = self.look.window.map_or(usize::MAX, |(_, lines)| usize::from(lines).saturating_sub(2).max(5));
        if !self.header.is_empty() && self.lines < screen {
            return;
        }
        self.header = names.iter().map(|name| (*name).to_owned()).collect();
        self.lines = 1;
        let [time, tag, value, unit, quality] = names;
        let line =
            format!("{time:<12}  {tag:<width$}  {value:>VALUE$}  {unit:<UNIT$}  {quality}", width = self.name_width);
        text.push_str(&self.dim(line.trim_end()));
        text.push('\n');
    }

    /// Rows with columns of their own: the time and the key, then what there is as pairs, over as many lines as needed.
    fn pairs(&mut self, columns: &[Column], rows: usize, text: &mut String) {
        let look = self.look.clone();
        let width = self.width();
        let is_alarms = ["alarm", "state", "event"].iter().all(|name| columns.iter().any(|own| own.name == *name));
        for row in 0..rows {
            let time = columns.iter().find(|column| column.name == "time").and_then(|column| column.time(row));
            self.begin(time, text);
            let taken_back = columns.iter().any(|column| column.name == "diff" && column.plain(row).starts_with('-'));
            let mut lines = Lines::new(width);
            lines.add(&time.map(|time| look.zone.clock(time)).unwrap_or_default(), None);
            let mut worst = None;
            for column in columns {
                if column.is_null(row) || matches!(column.name.as_str(), "time" | "diff" | "unit") {
                    continue;
                }
                let mut cell = column.text(row, &look.zone, look.language);
                if is_alarms {
                    cell = match column.name.as_str() {
                        "state" => look.language.short_state(&cell).to_owned(),
                        "event" => look.language.event(&cell).to_owned(),
                        _ => cell,
                    };
                }
                if cell.is_empty() {
                    continue;
                }
                if column.kind == Kind::Quality {
                    worst = column.quality(row);
                }
                let unit = match (&column.unit, column.name.as_str()) {
                    (Some(unit), _) => Some(unit.clone()),
                    // Of the row's tag.
                    (None, "value") => {
                        let unit = columns.iter().find(|column| column.name == "unit");
                        unit.filter(|unit| !unit.is_null(row)).map(|unit| unit.plain(row))
                    }
                    _ => None,
                };
                if let Some(unit) = unit.filter(|unit| !unit.is_empty()) {
                    cell.push_str(&format!(" {unit}"));
                }
                // The key says by itself what it is.
                let label = (!matches!(column.name.as_str(), "tag" | "asset")).then_some(column.name.as_str());
                lines.add(&cell, label);
            }
            if taken_back {
                lines.add(look.language.taken_back(), None);
            }
            self.lines += lines.count() - 1;
            text.push_str(&self.lines_of_quality(lines.text(), worst.unwrap_or(Quality::GOOD)));
        }
    }

    fn csv(&mut self, batch: &RecordBatch, text: &mut String) {
        let schema = batch.schema();
        let is_samples = ["time", "tag", "value", "quality", "checks"].iter().all(|name| schema.index_of(name).is_ok());
        if self.header.is_empty() {
            self.header = match is_samples {
                true => SAMPLES.iter().map(|name| (*name).to_owned()).collect(),
                false => schema.fields().iter().map(|field| field.name().clone()).collect(),
            };
            let names: Vec<String> = self.header.iter().map(|name| quoted(name)).collect();
            text.push_str(&names.join(","));
            text.push('\n');
        }
        let options = FormatOptions::default().with_null("");
        let formatters: Vec<Option<ArrayFormatter<'_>>> = self
            .header
            .iter()
            .map(|name| batch.column_by_name(name).and_then(|column| ArrayFormatter::try_new(column, &options).ok()))
            .collect();
        for row in 0..batch.num_rows() {
            for (index, formatter) in formatters.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                if let Some(formatter) = formatter {
                    text.push_str(&quoted(&formatter.value(row).to_string()));
                }
            }
            text.push('\n');
        }
    }

    fn dim(&self, text: &str) -> String {
        if self.look.coloured { format!("\u{1b}[2m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    fn of_quality(&self, text: &str, quality: Quality) -> String {
        let colour = match quality.class() {
            QualityClass::Good => return text.to_owned(),
            QualityClass::Uncertain => 33,
            QualityClass::Bad => 31,
        };
        if self.look.coloured { format!("\u{1b}[{colour}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    fn lines_of_quality(&self, text: &str, quality: Quality) -> String {
        let lines: Vec<String> = text.lines().map(|line| self.of_quality(line, quality)).collect();
        lines.join("\n") + "\n"
    }
}

/// The columns of samples.
struct Samples<'a> {
    time: &'a Column,
    tag: &'a Column,
    value: &'a Column,
    unit: Option<&'a Column>,
    quality: &'a Column,
    checks: Option<&'a Column>,
    state: Option<&'a Column>,
}

impl<'a> Samples<'a> {
    /// `None` where these are other rows.
    fn of(columns: &'a [Column]) -> Option<Self> {
        let column = |name: &str| columns.iter().find(|column| column.name == name);
        let samples = Self {
            time: column("time")?,
            tag: column("tag")?,
            value: column("value")?,
            unit: column("unit"),
            quality: column("quality")?,
            checks: Some(column("checks")?),
            state: column("state"),
        };
        Some(samples)
    }
}

/// Parts one behind the other, broken where a line is full; lines behind the first are set in.
struct Lines {
    width: usize,
    text: String,
    used: usize,
    count: usize,
}

const INDENT: usize = 14;

impl Lines {
    fn new(width: usize) -> Self {
        Self { width, text: String::new(), used: 0, count: 1 }
    }

    fn add(&mut self, value: &str, label: Option<&str>) {
        let part = match label {
            Some(label) => format!("{label}={value}"),
            None => value.to_owned(),
        };
        // What a device or a person wrote may hold anything.
        let part = shorten(&part, self.width.saturating_sub(INDENT).max(8));
        let length = part.chars().count();
        if self.used > 0 && self.used + 2 + length > self.width {
            self.text.push('\n');
            self.text.push_str(&" ".repeat(INDENT));
            self.used = INDENT;
            self.count += 1;
        } else if self.used > 0 {
            self.text.push_str("  ");
            self.used += 2;
        }
        self.text.push_str(&part);
        self.used += length;
    }

    fn count(&self) -> usize {
        self.count
    }

    fn text(&self) -> &str {
        &self.text
    }
}

/// A value between commas.
fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

fn json(batch: &RecordBatch, text: &mut String) {
    let mut writer = LineDelimitedWriter::new(Vec::new());
    // Columns that a tap has are columns that JSON has.
    if writer.write(batch).and_then(|()| writer.finish()).is_ok()
        && let Ok(lines) = String::from_utf8(writer.into_inner())
    {
        text.push_str(&lines);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        ArrayRef, DictionaryArray, Float64Array, Int8Array, StringArray, TimestampMicrosecondArray, UInt16Array,
        UInt32Array,
    };
    use ducto_record::with_unit;

    use super::*;

    fn look(format: TapFormat) -> Look {
        Look { format, language: Language::English, zone: Zone::named("America/Bogota"), coloured: false, window: None }
    }

    fn names(of: &[&str], numbers: Vec<u32>) -> ArrayRef {
        let values: ArrayRef = Arc::new(StringArray::from(of.to_vec()));
        Arc::new(DictionaryArray::try_new(UInt32Array::from(numbers), values).unwrap())
    }

    fn times(rows: usize) -> ArrayRef {
        let times = (0..rows as i64).map(|row| 1_767_243_599_000_000 + row * 1_250_000).collect::<Vec<_>>();
        Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC"))
    }

    fn samples() -> RecordBatch {
        RecordBatch::try_from_iter([
            ("time", times(3)),
            ("tag", names(&["WELL-001.THP", "WELL-002.ESP_MOTOR_TEMPERATURE_OF_THE_WINDING"], vec![0, 1, 0])),
            ("value", Arc::new(Float64Array::from(vec![Some(250.125), Some(-1234.5), None])) as ArrayRef),
            ("unit", names(&["psig", "°C"], vec![0, 1, 0])),
            ("quality", Arc::new(UInt16Array::from(vec![192, 88, 24])) as ArrayRef),
            ("checks", Arc::new(UInt16Array::from(vec![0, 0b100_1000, 0])) as ArrayRef),
        ])
        .unwrap()
    }

    fn printed(printer: &mut Printer, batch: &RecordBatch) -> String {
        let mut text = String::new();
        printer.rows(batch, &mut text);
        text
    }

    #[test]
    fn samples_are_a_table_of_80_columns() {
        let text = printed(&mut Printer::new(look(TapFormat::Table)), &samples());
        let expected = "\
TIME          TAG                           VALUE  UNIT     QUALITY
2025-12-31 America/Bogota
23:59:59.000  WELL-001.THP                  250.1  psig     good
2026-01-01 America/Bogota
00:00:00.250  WELL-002.ES…HE_WINDING        -1234  °C       sub-normal: spike, …
00:00:01.500  WELL-001.THP                      -  psig     no communication
";
        assert_eq!(text, expected, "\n{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }

    #[test]
    fn colour_says_how_good_a_value_is() {
        let mut printer = Printer::new(Look { coloured: true, ..look(TapFormat::Table) });
        let text = printed(&mut printer, &samples());
        assert!(
            text.contains("\u{1b}[33msub-normal") && text.contains("\u{1b}[31mno communication\u{1b}[0m"),
            "{text}"
        );
        assert!(text.contains("  good\n"), "{text}");
    }

    #[test]
    fn heads_come_again_on_every_screen() {
        let mut printer = Printer::new(Look { window: Some((100, 10)), ..look(TapFormat::Table) });
        let texts: String = (0..4).map(|_| printed(&mut printer, &samples())).collect();
        assert_eq!(texts.matches("TAG").count(), 3, "{texts}");
    }

    #[test]
    fn rows_are_pairs_over_as_many_lines_as_they_need() {
        let field = with_unit(arrow::datatypes::Field::new("thp", arrow::datatypes::DataType::Float64, true), "psig");
        let (schema, columns) = RecordBatch::try_from_iter([
            ("time", times(2)),
            ("asset", names(&["WELL-001"], vec![0, 0])),
            ("thp", Arc::new(Float64Array::from(vec![250.0, 251.0])) as ArrayRef),
            ("note", Arc::new(StringArray::from(vec![Some("a\u{1b}[31m long remark ".repeat(9)), None])) as ArrayRef),
            ("quality", Arc::new(UInt16Array::from(vec![192, 64])) as ArrayRef),
            ("diff", Arc::new(Int8Array::from(vec![1, -1])) as ArrayRef),
        ])
        .map(|batch| (batch.schema(), batch.columns().to_vec()))
        .unwrap();
        let mut fields: Vec<_> = schema.fields().iter().cloned().collect();
        fields[2] = Arc::new(field);
        let batch = RecordBatch::try_new(Arc::new(arrow::datatypes::Schema::new(fields)), columns).unwrap();
        let text = printed(&mut Printer::new(look(TapFormat::Table)), &batch);
        assert!(text.contains("23:59:59.000  WELL-001  thp=250.0 psig"), "{text}");
        assert!(text.contains("thp=251.0 psig  quality=uncertain  taken back"), "{text}");
        assert!(!text.contains('\u{1b}') && text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }

    #[test]
    fn programs_get_every_column_in_full() {
        let text = printed(&mut Printer::new(look(TapFormat::Csv)), &samples());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "time,tag,value,unit,quality,checks,state");
        assert_eq!(lines[1], "2026-01-01T04:59:59Z,WELL-001.THP,250.125,psig,192,0,");
        assert_eq!(lines.len(), 4);
        let text = printed(&mut Printer::new(look(TapFormat::Json)), &samples());
        let row: serde_json::Value = serde_json::from_str(text.lines().nth(1).unwrap()).unwrap();
        assert_eq!(
            (&row["tag"], &row["quality"]),
            (&"WELL-002.ESP_MOTOR_TEMPERATURE_OF_THE_WINDING".into(), &88.into())
        );
        assert_eq!(quoted("a,\"b\""), "\"a,\"\"b\"\"\"");
    }
}
