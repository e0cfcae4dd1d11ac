//! Rows of a tap on their way to the asker: gathered, thinned where the asker wants few, named, encoded.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::error::ArrowError;
use arrow::ipc::writer::StreamWriter;

use crate::protocol::{Answer, Piece, RowFormat};
use crate::rows::{self, Names};

/// What an asker may still be given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowance {
    /// Rows until the answer ends.
    pub(crate) limit: u64,
    /// Rows at this moment.
    pub(crate) now: u64,
}

/// Gathers rows by stream and gives them as answers.
pub(crate) struct Giver {
    format: RowFormat,
    waiting: BTreeMap<u8, Vec<RecordBatch>>,
    writers: BTreeMap<u8, StreamWriter<Vec<u8>>>,
    /// Moves on with every gathering that is thinned, so that it is not always the same rows that are given.
    turn: usize,
}

/// Answers, the rows in them, and those that were thinned out.
#[derive(Debug, Default)]
pub(crate) struct Given {
    pub(crate) answers: Vec<Answer>,
    pub(crate) rows: u64,
    pub(crate) thinned: u64,
}

impl Giver {
    pub(crate) fn new(format: RowFormat) -> Self {
        Self { format, waiting: BTreeMap::new(), writers: BTreeMap::new(), turn: 0 }
    }

    pub(crate) fn gather(&mut self, stream: u8, rows: RecordBatch) {
        self.waiting.entry(stream).or_default().push(rows);
    }

    /// What was gathered, as far as it is allowed.
    ///
    /// # Errors
    /// When rows of one stream have different columns, which is a fault of the engine.
    pub(crate) fn give(&mut self, names: &Names, mut allowed: Allowance) -> Result<Given, ArrowError> {
        let mut given = Given::default();
        for (stream, batches) in std::mem::take(&mut self.waiting) {
            let Some(first) = batches.first() else { continue };
            let whole = concat_batches(&first.schema(), &batches)?;
            let rows = (whole.num_rows() as u64).min(allowed.limit);
            let wanted = rows.min(allowed.now);
            let whole = self.thin(&whole.slice(0, rows as usize), wanted as usize);
            given.thinned += rows - wanted;
            given.rows += wanted;
            allowed.now -= wanted;
            allowed.limit -= wanted;
            if wanted > 0 {
                self.encode(stream, &names.rows(&whole)?, &mut given.answers)?;
            }
        }
        Ok(given)
    }

    /// So many rows that follow each other.
    fn thin(&mut self, rows: &RecordBatch, wanted: usize) -> RecordBatch {
        let spare = rows.num_rows() - wanted;
        if spare == 0 {
            return rows.clone();
        }
        self.turn = self.turn.wrapping_add(wanted.max(1));
        rows.slice(self.turn % (spare + 1), wanted)
    }

    fn encode(&mut self, stream: u8, rows: &RecordBatch, answers: &mut Vec<Answer>) -> Result<(), ArrowError> {
        if self.format == RowFormat::Rows {
            answers.extend(rows::objects(rows)?.into_iter().map(Answer::Row));
            return Ok(());
        }
        let writer = match self.writers.entry(stream) {
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(StreamWriter::try_new(Vec::new(), &rows.schema())?)
            }
        };
        writer.write(rows)?;
        answers.push(Answer::Arrow(Piece::new(stream, std::mem::take(writer.get_mut()))));
        Ok(())
    }

    /// The ends of the streams.
    ///
    /// # Errors
    /// None that a stream in memory has.
    pub(crate) fn finish(self) -> Result<Vec<Answer>, ArrowError> {
        let end = |(stream, mut writer): (u8, StreamWriter<Vec<u8>>)| {
            writer.finish()?;
            Ok(Answer::Arrow(Piece::new(stream, std::mem::take(writer.get_mut()))))
        };
        self.writers.into_iter().map(end).collect()
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;
    use arrow::datatypes::Float64Type;
    use ducto_graph::site::Site;
    use ducto_record::{Layout, Samples, Values};

    use super::*;

    const ALL: Allowance = Allowance { limit: u64::MAX, now: u64::MAX };

    fn batch(values: std::ops::Range<u32>) -> RecordBatch {
        let values: Vec<f64> = values.map(f64::from).collect();
        let layout = Layout::new(vec![0; values.len()]);
        Samples::scan(&layout, 0, Values::Float64(values.into()), None).unwrap().record_batch()
    }

    fn values(given: &Given) -> Vec<f64> {
        let row = |answer: &Answer| match answer {
            Answer::Row(row) => row["value"].as_f64().unwrap(),
            other => panic!("{other:?}"),
        };
        given.answers.iter().map(row).collect()
    }

    fn names() -> Names {
        Names::new(&Site::bare(["W.THP"]).directory)
    }

    #[test]
    fn rows_beyond_what_is_allowed_are_thinned_out_and_counted() {
        let (names, mut giver) = (names(), Giver::new(RowFormat::Rows));
        giver.gather(0, batch(0..6));
        giver.gather(0, batch(6..10));
        let given = giver.give(&names, Allowance { limit: u64::MAX, now: 3 }).unwrap();
        assert_eq!((given.rows, given.thinned, given.answers.len()), (3, 7, 3));
        let first = values(&given);
        giver.gather(0, batch(0..10));
        let second = values(&giver.give(&names, Allowance { limit: u64::MAX, now: 3 }).unwrap());
        assert_ne!(first, second);
        giver.gather(0, batch(0..10));
        let none = giver.give(&names, Allowance { limit: u64::MAX, now: 0 }).unwrap();
        assert_eq!((none.rows, none.thinned), (0, 10));
        // What lies behind the end is not wanted, and not thinned out either.
        giver.gather(0, batch(0..10));
        let last = giver.give(&names, Allowance { limit: 4, now: 100 }).unwrap();
        assert_eq!((last.rows, last.thinned, values(&last)), (4, 0, vec![0.0, 1.0, 2.0, 3.0]));
    }

    #[test]
    fn a_stream_carries_each_name_once() {
        let (names, mut giver) = (names(), Giver::new(RowFormat::Arrow));
        let mut bytes = Vec::new();
        let mut sizes = Vec::new();
        for start in [0, 5] {
            giver.gather(0, batch(start..start + 5));
            for answer in giver.give(&names, ALL).unwrap().answers {
                let Answer::Arrow(piece) = answer else { panic!("{answer:?}") };
                assert_eq!(piece.bytes, piece.data.len());
                sizes.push(piece.bytes);
                bytes.extend(piece.data);
            }
        }
        for answer in giver.finish().unwrap() {
            let Answer::Arrow(piece) = answer else { panic!("{answer:?}") };
            bytes.extend(piece.data);
        }
        assert!(sizes[1] < sizes[0], "{sizes:?}");
        let read = arrow::ipc::reader::StreamReader::try_new(bytes.as_slice(), None).unwrap();
        let batches: Vec<_> = read.map(Result::unwrap).collect();
        assert_eq!(batches.len(), 2);
        assert_eq!(batches[1].column(2).as_primitive::<Float64Type>().values()[4], 9.0);
        let tags = arrow::compute::cast(batches[1].column(1), &arrow::datatypes::DataType::Utf8).unwrap();
        assert_eq!(tags.as_string::<i32>().value(0), "W.THP");
    }
}
