//! A scenario on a virtual clock, written to a file as fast as it goes.
//!
//! One row is one sample, as a connection would have received it, with the truth beside it:
//!
//! | Column | |
//! | --- | --- |
//! | `time` | timestamp in µs, UTC |
//! | `tag` | `WELL-001.THP` |
//! | `value` | what was received, in the tag's unit; null where nothing came |
//! | `quality` | OPC quality code of the reading: 192 good, 12 device failure, 24 no answer |
//! | `true_value` | what was there to be measured |
//! | `fault` | what is wrong with transmitter or device: `spike`, `freeze`, `dead`, …; null for nothing |
//! | `event` | what happens to the well or separator itself: `gas_lock`, `choke`, …; null for nothing |

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, DictionaryArray, Float64Array, Int32Array, RecordBatch, StringArray, TimestampMicrosecondArray,
    UInt16Array,
};
use arrow::datatypes::{DataType, Field as Column, Int32Type, Schema, SchemaRef, TimeUnit};
use ducto_record::Micros;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;
use thiserror::Error;

use crate::scenario::{EventName, Scenario};
use crate::simulation::{Asset, Simulation};

/// Rows that go to the file at a time.
const CHUNK: usize = 1 << 16;
const FAULTS: [&str; 7] = ["spike", "freeze", "drift", "fail", "dead", "slow", "lie"];

/// Why a recording was not written.
#[derive(Debug, Error)]
pub enum RecordError {
    #[error("`{}` is neither Parquet nor CSV by its name; give it the ending .parquet or .csv", .0.display())]
    Kind(PathBuf),
    #[error("`{}` cannot be written: {source}; name another file, or make room on the disk", path.display())]
    Write { path: PathBuf, source: std::io::Error },
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    pub rows: u64,
    pub tags: usize,
    /// µs that were recorded, fewer than were asked for where it was stopped.
    pub time: Micros,
}

/// How it is recorded, in µs.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// From one row of a tag to the next. The field goes on in steps of this length.
    pub every: Micros,
    /// How much is recorded.
    pub time: Micros,
}

/// Writes a scenario's tags to a file, Parquet or CSV by its ending. `go_on` is told how much time is recorded, now and
/// then; where it says no, the file is closed with what it has.
///
/// # Errors
/// When the file is of no kind that is known, or cannot be written.
pub fn record(
    scenario: Arc<Scenario>,
    path: &Path,
    pace: Pace,
    mut go_on: impl FnMut(Micros) -> bool,
) -> Result<Recorded, RecordError> {
    let start = scenario.start;
    let mut simulation = Simulation::new(scenario);
    let mut rows = Rows::new(&simulation);
    let mut sink = Sink::open(path, &rows)?;
    let mut recorded = Recorded { tags: rows.tags.len(), ..Recorded::default() };
    loop {
        rows.add(start + simulation.elapsed(), simulation.assets());
        recorded.time = simulation.elapsed() + pace.every;
        let ends = recorded.time >= pace.time;
        if ends || rows.len() >= CHUNK {
            recorded.rows += rows.len() as u64;
            sink.write(&mut rows)?;
            if ends || !go_on(recorded.time) {
                break;
            }
        }
        simulation.step(pace.every);
        // What has happened stands in the rows.
        simulation.happenings();
    }
    sink.close()?;
    Ok(recorded)
}

/// Rows on their way to the file, column by column. Names are numbers.
struct Rows {
    names: Arc<StringArray>,
    /// For each tag its asset and its place there.
    tags: Vec<(usize, usize)>,
    time: Vec<Micros>,
    value: Vec<Option<f64>>,
    quality: Vec<u16>,
    truth: Vec<f64>,
    fault: Vec<Option<i32>>,
    event: Vec<Option<i32>>,
}

impl Rows {
    /// For what the devices show; what a model has no register for nobody can record.
    fn new(simulation: &Simulation) -> Self {
        let mut tags = Vec::new();
        let mut names = Vec::new();
        for (index, asset) in simulation.assets().iter().enumerate() {
            for tag in &asset.points {
                tags.push((index, *tag));
                names.push(asset.tags[*tag].name.to_string());
            }
        }
        Self {
            names: Arc::new(StringArray::from(names)),
            tags,
            time: Vec::new(),
            value: Vec::new(),
            quality: Vec::new(),
            truth: Vec::new(),
            fault: Vec::new(),
            event: Vec::new(),
        }
    }

    fn len(&self) -> usize {
        self.time.len()
    }

    fn add(&mut self, time: Micros, assets: &[Asset]) {
        let place = |list: &[&str], name: &str| list.iter().position(|known| *known == name).map(|at| at as i32);
        for (asset, tag) in &self.tags {
            let asset = &assets[*asset];
            let tag = &asset.tags[*tag];
            let (value, quality) = asset.received(tag);
            self.time.push(time);
            self.value.push(value);
            self.quality.push(quality.0);
            self.truth.push(tag.truth);
            self.fault.push(asset.wrong(tag).and_then(|name| place(&FAULTS, name)));
            let event = asset.going_on().last();
            self.event.push(
                event.and_then(|event| EventName::ALL.iter().position(|name| *name == event)).map(|at| at as i32),
            );
        }
    }

    fn clear(&mut self) {
        self.time.clear();
        self.value.clear();
        self.quality.clear();
        self.truth.clear();
        self.fault.clear();
        self.event.clear();
    }

    fn batch(&self, schema: &SchemaRef, faults: &ArrayRef, events: &ArrayRef) -> Result<RecordBatch, String> {
        let tags = self.tags.len() as i32;
        let keys = Int32Array::from_iter_values((0..tags).cycle().take(self.len()));
        let names: ArrayRef = self.names.clone();
        let dictionary = |keys: Int32Array, values: &ArrayRef| {
            DictionaryArray::<Int32Type>::try_new(keys, values.clone()).map(|array| Arc::new(array) as ArrayRef)
        };
        let columns = || -> Result<Vec<ArrayRef>, arrow::error::ArrowError> {
            Ok(vec![
                Arc::new(TimestampMicrosecondArray::from(self.time.clone()).with_timezone("UTC")),
                dictionary(keys, &names)?,
                Arc::new(Float64Array::from(self.value.clone())),
                Arc::new(UInt16Array::from(self.quality.clone())),
                Arc::new(Float64Array::from(self.truth.clone())),
                dictionary(Int32Array::from(self.fault.clone()), faults)?,
                dictionary(Int32Array::from(self.event.clone()), events)?,
            ])
        };
        columns().and_then(|columns| RecordBatch::try_new(schema.clone(), columns)).map_err(|error| error.to_string())
    }
}

fn schema() -> SchemaRef {
    let text = || DataType::Dictionary(DataType::Int32.into(), DataType::Utf8.into());
    Arc::new(Schema::new(vec![
        Column::new("time", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), false),
        Column::new("tag", text(), false),
        Column::new("value", DataType::Float64, true),
        Column::new("quality", DataType::UInt16, false),
        Column::new("true_value", DataType::Float64, false),
        Column::new("fault", text(), true),
        Column::new("event", text(), true),
    ]))
}

/// The file. It gets its name when it is whole.
struct Sink {
    path: PathBuf,
    part: PathBuf,
    form: Form,
}

enum Form {
    Parquet { writer: Box<ArrowWriter<File>>, schema: SchemaRef, faults: ArrayRef, events: ArrayRef },
    Csv(BufWriter<File>),
}

impl Sink {
    fn open(path: &Path, rows: &Rows) -> Result<Self, RecordError> {
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_ascii_lowercase();
        if !matches!(ending.as_str(), "parquet" | "pq" | "csv") {
            return Err(RecordError::Kind(path.to_owned()));
        }
        let mut part = path.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        let failed = |source| RecordError::Write { path: path.to_owned(), source };
        let file = File::create(&part).map_err(failed)?;
        let form = if ending == "csv" {
            let mut file = BufWriter::with_capacity(1 << 18, file);
            let head: Vec<String> = schema().fields().iter().map(|column| column.name().clone()).collect();
            writeln!(file, "{}", head.join(",")).map_err(failed)?;
            Form::Csv(file)
        } else {
            let schema = schema();
            // Enough to be small; a higher level costs more than it saves.
            let compression = Compression::ZSTD(ZstdLevel::try_new(3).unwrap_or_default());
            let mut properties = WriterProperties::builder()
                .set_compression(compression)
                .set_max_row_group_row_count(Some(1 << 20))
                .set_column_dictionary_enabled(ColumnPath::from("time"), false)
                .set_column_encoding(ColumnPath::from("time"), Encoding::DELTA_BINARY_PACKED);
            for column in ["value", "true_value"] {
                properties = properties
                    .set_column_dictionary_enabled(ColumnPath::from(column), false)
                    .set_column_encoding(ColumnPath::from(column), Encoding::BYTE_STREAM_SPLIT);
            }
            let writer = ArrowWriter::try_new(file, schema.clone(), Some(properties.build()));
            let writer = writer.map_err(|error| failed(std::io::Error::other(error)))?;
            let names = EventName::ALL.map(EventName::name).to_vec();
            Form::Parquet {
                writer: Box::new(writer),
                schema,
                faults: Arc::new(StringArray::from(FAULTS.to_vec())),
                events: Arc::new(StringArray::from(names)),
            }
        };
        debug_assert!(!rows.tags.is_empty(), "a scenario has a well at least");
        Ok(Self { path: path.to_owned(), part, form })
    }

    fn failed(&self, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> RecordError {
        RecordError::Write { path: self.path.clone(), source: std::io::Error::other(error) }
    }

    fn write(&mut self, rows: &mut Rows) -> Result<(), RecordError> {
        let written: Result<(), Box<dyn std::error::Error + Send + Sync>> = match &mut self.form {
            Form::Parquet { writer, schema, faults, events } => rows
                .batch(schema, faults, events)
                .map_err(Into::into)
                .and_then(|batch| writer.write(&batch).map_err(Into::into)),
            Form::Csv(file) => csv(file, rows).map_err(Into::into),
        };
        written.map_err(|error| self.failed(error))?;
        rows.clear();
        Ok(())
    }

    fn close(self) -> Result<(), RecordError> {
        let Self { path, part, form } = self;
        let failed = |source| RecordError::Write { path: path.clone(), source };
        let file = match form {
            Form::Parquet { writer, .. } => {
                writer.into_inner().map_err(|error| failed(std::io::Error::other(error)))?
            }
            Form::Csv(file) => file.into_inner().map_err(|error| failed(error.into_error()))?,
        };
        file.sync_all().and_then(|()| std::fs::rename(&part, &path)).map_err(failed)
    }
}

fn csv(file: &mut BufWriter<File>, rows: &Rows) -> std::io::Result<()> {
    let mut clock = (i64::MIN, String::new());
    let tags = rows.tags.len();
    for row in 0..rows.len() {
        if rows.time[row] != clock.0 {
            clock = (rows.time[row], ducto_record::time::format(rows.time[row]));
        }
        let name = |list: &[&'static str], at: Option<i32>| {
            at.and_then(|at| list.get(usize::try_from(at).ok()?).copied()).unwrap_or_default()
        };
        write!(file, "{},{},", clock.1, rows.names.value(row % tags))?;
        if let Some(value) = rows.value[row] {
            write!(file, "{value}")?;
        }
        let fault = name(&FAULTS, rows.fault[row]);
        let event = name(&EventName::ALL.map(EventName::name), rows.event[row]);
        writeln!(file, ",{},{},{fault},{event}", rows.quality[row], rows.truth[row])?;
    }
    Ok(())
}
