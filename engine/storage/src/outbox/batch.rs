//! A sealed batch as a file: written once, read until it is delivered.
//!
//! ```text
//! magic · format u32 · length of the head u32 · checksum of the head u64 · head · body        (little-endian)
//! ```
//!
//! The head has a checksum of its own, so that a file whose body is damaged still says which rows are concerned.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use ducto_record::{Epoch, Micros};
use xxhash_rust::xxh3::xxh3_64;

use crate::bytes::{Cursor, Malformed, put_i64, put_text, put_u64};
use crate::error::{FileError, StorageError};

const MAGIC: [u8; 8] = *b"DUCTOOUT";
/// The format of batches; a build reads this and what is older.
pub(super) const FORMAT: u32 = 1;
const FIXED: usize = 24;
/// No head is longer: names are short.
const LONGEST_HEAD: usize = 64 << 10;
/// No body is longer once unpacked: a damaged length is not taken for room to make.
const LONGEST_BODY: u64 = 1 << 30;
/// Bodies below this are not compressed.
const LEAST: usize = 128;
const LEVEL: i32 = 3;

/// How urgent what is sent is: 1 at once, 2 within a minute, 3 within 15 minutes, 4 within the hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Class(u8);

impl Class {
    pub const ALL: [Class; 4] = [Class(1), Class(2), Class(3), Class(4)];

    /// `None` for anything but 1 to 4.
    pub fn new(number: u8) -> Option<Self> {
        (1..=4).contains(&number).then_some(Self(number))
    }

    pub fn number(self) -> u8 {
        self.0
    }

    pub(super) fn index(self) -> usize {
        usize::from(self.0) - 1
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What names a batch, for ever: a receiver that has seen it has all that is in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BatchId {
    pub site: Arc<str>,
    /// Of the process that sealed it: see [`Outbox`](super::Outbox).
    pub incarnation: Arc<str>,
    /// `pipeline.node`.
    pub stream: Arc<str>,
    /// Rises by one with each batch of the stream.
    pub sequence: u64,
}

impl fmt::Display for BatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { site, incarnation, stream, sequence } = self;
        write!(f, "{site}/{incarnation}/{stream}/{sequence}")
    }
}

/// What a batch says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchHead {
    pub id: BatchId,
    pub class: Class,
    /// The first epoch a row of it came with, and the last whose rows are all in it or before it.
    pub epochs: (Epoch, Epoch),
    /// Engine time when it was sealed.
    pub sealed: Micros,
    pub rows: u64,
}

/// A batch as it is given to who delivers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedBatch {
    pub head: BatchHead,
    /// Rows as lines of JSON.
    pub body: Vec<u8>,
}

/// Behind the head.
struct Body {
    packed: bool,
    plain: u64,
    stored: u64,
    checksum: u64,
}

impl SealedBatch {
    pub(super) fn encode(&self) -> Vec<u8> {
        let packed = (self.body.len() >= LEAST).then(|| zstd::bulk::compress(&self.body, LEVEL).ok()).flatten();
        let packed = packed.filter(|packed| packed.len() < self.body.len());
        let stored = packed.as_deref().unwrap_or(&self.body);
        let BatchHead { id, class, epochs, sealed, rows } = &self.head;
        let mut head = Vec::new();
        put_text(&mut head, &id.site);
        put_text(&mut head, &id.incarnation);
        put_text(&mut head, &id.stream);
        put_u64(&mut head, id.sequence);
        put_u64(&mut head, u64::from(class.number()));
        put_u64(&mut head, epochs.0);
        put_u64(&mut head, epochs.1);
        put_i64(&mut head, *sealed);
        put_u64(&mut head, *rows);
        put_u64(&mut head, u64::from(packed.is_some()));
        put_u64(&mut head, self.body.len() as u64);
        put_u64(&mut head, stored.len() as u64);
        put_u64(&mut head, xxh3_64(stored));
        let mut bytes = Vec::with_capacity(FIXED + head.len() + stored.len());
        bytes.extend(MAGIC);
        bytes.extend(FORMAT.to_le_bytes());
        bytes.extend((head.len() as u32).to_le_bytes());
        bytes.extend(xxh3_64(&head).to_le_bytes());
        bytes.extend(head);
        bytes.extend_from_slice(stored);
        bytes
    }

    /// The batch, or what is wrong with it.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Unreadable> {
        let (head, body, at) = decode_head(bytes)?;
        let stored = bytes.get(at..).unwrap_or_default();
        if stored.len() as u64 != body.stored || xxh3_64(stored) != body.checksum {
            return Err(Unreadable::Damaged("its body is not what was written"));
        }
        let body = if body.packed {
            let plain = usize::try_from(body.plain).unwrap_or(usize::MAX);
            zstd::bulk::decompress(stored, plain).map_err(|_| Unreadable::Damaged("its body cannot be unpacked"))?
        } else {
            stored.to_vec()
        };
        Ok(Self { head, body })
    }
}

/// Why bytes are no batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    Damaged(&'static str),
    Newer(u32),
}

impl From<Malformed> for Unreadable {
    fn from(Malformed(what): Malformed) -> Self {
        Self::Damaged(what)
    }
}

impl Unreadable {
    pub(super) fn what(self) -> String {
        match self {
            Self::Damaged(what) => what.to_owned(),
            Self::Newer(format) => format!("it has format {format}, and this build reads up to {FORMAT}"),
        }
    }
}

/// The head, what it says of the body, and where that begins.
fn decode_head(bytes: &[u8]) -> Result<(BatchHead, Body, usize), Unreadable> {
    if bytes.len() < FIXED || bytes[..8] != MAGIC {
        return Err(Unreadable::Damaged("it does not begin as a batch"));
    }
    let format = u32::from_le_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]);
    let length = u32::from_le_bytes([bytes[12], bytes[13], bytes[14], bytes[15]]) as usize;
    let head = bytes.get(FIXED..FIXED.saturating_add(length)).ok_or(Unreadable::Damaged("it ends in its head"))?;
    if xxh3_64(head).to_le_bytes() != bytes[16..FIXED] {
        return Err(Unreadable::Damaged("the checksum of its head does not fit"));
    }
    if format > FORMAT {
        return Err(Unreadable::Newer(format));
    }
    let mut from = Cursor(head);
    let id = BatchId { site: from.name()?, incarnation: from.name()?, stream: from.name()?, sequence: from.u64()? };
    let class = u8::try_from(from.u64()?).ok().and_then(Class::new).ok_or(Malformed("it has no class"))?;
    let epochs = (from.u64()?, from.u64()?);
    let (sealed, rows) = (from.i64()?, from.u64()?);
    let packed = from.u64()? == 1;
    let body = Body { packed, plain: from.u64()?, stored: from.u64()?, checksum: from.u64()? };
    from.end()?;
    if body.plain > LONGEST_BODY {
        return Err(Unreadable::Damaged("it says that its body is larger than any is"));
    }
    Ok((BatchHead { id, class, epochs, sealed, rows }, body, FIXED + length))
}

/// Reads the head alone. The whole file is told to be there: of a shorter one the head counts as damaged.
pub(super) fn read_head(path: &Path) -> Result<Result<BatchHead, Unreadable>, StorageError> {
    let failed = |error| FileError::new("read", path, error);
    let file = File::open(path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    let mut bytes = Vec::new();
    file.take((FIXED + LONGEST_HEAD) as u64).read_to_end(&mut bytes).map_err(failed)?;
    Ok(decode_head(&bytes).and_then(|(head, body, at)| match at as u64 + body.stored == length {
        true => Ok(head),
        false => Err(Unreadable::Damaged("it has another length than it was written with")),
    }))
}

/// What a damaged file's head says, where that can still be read.
pub(super) fn read_head_alone(path: &Path) -> Option<BatchHead> {
    decode_head(&std::fs::read(path).ok()?).ok().map(|(head, _, _)| head)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(crate) fn sealed(sequence: u64, lines: usize) -> SealedBatch {
        let id = BatchId { site: "S".into(), incarnation: "a1".into(), stream: "p.n".into(), sequence };
        let class = Class::new(2).unwrap();
        let head = BatchHead { id, class, epochs: (sequence, sequence + 2), sealed: -5, rows: lines as u64 };
        SealedBatch { head, body: b"{\"value\":1.5}\n".repeat(lines) }
    }

    #[test]
    fn a_batch_is_read_as_it_was_written() {
        for lines in [0, 1, 1_000] {
            let batch = sealed(7, lines);
            let bytes = batch.encode();
            assert_eq!(SealedBatch::decode(&bytes), Ok(batch));
        }
        assert!(sealed(7, 1_000).encode().len() < 300);
    }

    #[test]
    fn every_changed_byte_is_seen() {
        let bytes = sealed(7, 20).encode();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 0x10;
            // Of an older format there is none: the number alone carries no checksum.
            if (8..12).contains(&at) {
                continue;
            }
            assert!(SealedBatch::decode(&changed).is_err(), "byte {at}");
        }
        for length in 0..bytes.len() {
            assert!(SealedBatch::decode(&bytes[..length]).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn a_newer_format_is_told() {
        let mut bytes = sealed(7, 20).encode();
        bytes[8] = 9;
        assert_eq!(SealedBatch::decode(&bytes), Err(Unreadable::Newer(9)));
    }

    proptest! {
        #[test]
        fn no_bytes_are_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = SealedBatch::decode(&bytes);
            let mut headed = MAGIC.to_vec();
            headed.extend(bytes);
            let _ = SealedBatch::decode(&headed);
        }
    }
}
