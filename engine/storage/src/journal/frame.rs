//! Frames: what a segment is made of after its head. Each says how long it is, which epochs it holds, and carries a
//! checksum over all of that and its content.
//!
//! ```text
//! magic u32 · kind u8 · packed u8 · 0 u16 · dense stored u32 · dense plain u32 · noise u32 · first epoch u64 ·
//! last epoch u64 · checksum u64 · dense · noise            (all little-endian)
//! ```

use ducto_record::Epoch;
use xxhash_rust::xxh3::Xxh3;

use super::columns::Halves;

const MAGIC: u32 = u32::from_le_bytes(*b"DUCf");
pub(super) const HEAD: usize = 44;

/// A frame is closed once it holds this much, so that a reader needs little memory.
pub(super) const FULL: usize = 1 << 20;
/// No frame is larger: one entry, whatever the site's memory, is.
const MOST: usize = 1 << 30;

/// Bytes below which compressing is not worth a call.
const LEAST: usize = 128;
const LEVEL: i32 = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// Names behind the numbers of tags and assets.
    Names = 1,
    Layouts = 2,
    Entries = 3,
}

/// What stands before a frame's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) kind: Kind,
    packed: bool,
    dense_stored: usize,
    dense_plain: usize,
    noise: usize,
    pub(super) first: Epoch,
    pub(super) last: Epoch,
    checksum: u64,
}

fn checksum(seed: u64, head: &[u8], dense: &[u8], noise: &[u8]) -> u64 {
    let mut hash = Xxh3::with_seed(seed);
    hash.update(head);
    hash.update(dense);
    hash.update(noise);
    hash.digest()
}

/// Writes frames of one segment; reuses its buffers.
pub(super) struct FrameWriter {
    /// Mixed into every checksum, so that a frame of another segment is never taken for one of this.
    seed: u64,
    compressor: Option<zstd::bulk::Compressor<'static>>,
    packed: Vec<u8>,
}

impl std::fmt::Debug for FrameWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FrameWriter").field("seed", &self.seed).finish_non_exhaustive()
    }
}

impl FrameWriter {
    pub(super) fn new(seed: u64) -> Self {
        // Without a compressor frames are larger, and right.
        Self { seed, compressor: zstd::bulk::Compressor::new(LEVEL).ok(), packed: Vec::new() }
    }

    pub(super) fn put(&mut self, to: &mut Vec<u8>, kind: Kind, epochs: (Epoch, Epoch), halves: &Halves) {
        let packed = self.pack(&halves.dense);
        let dense = if packed { &self.packed } else { &halves.dense };
        let mut head = [0_u8; HEAD];
        head[..4].copy_from_slice(&MAGIC.to_le_bytes());
        head[4] = kind as u8;
        head[5] = u8::from(packed);
        head[8..12].copy_from_slice(&(dense.len() as u32).to_le_bytes());
        head[12..16].copy_from_slice(&(halves.dense.len() as u32).to_le_bytes());
        head[16..20].copy_from_slice(&(halves.noise.len() as u32).to_le_bytes());
        head[20..28].copy_from_slice(&epochs.0.to_le_bytes());
        head[28..36].copy_from_slice(&epochs.1.to_le_bytes());
        let checksum = checksum(self.seed, &head[..36], dense, &halves.noise);
        head[36..].copy_from_slice(&checksum.to_le_bytes());
        to.extend_from_slice(&head);
        to.extend_from_slice(dense);
        to.extend_from_slice(&halves.noise);
    }

    /// Compresses into the own buffer; says whether it paid.
    fn pack(&mut self, dense: &[u8]) -> bool {
        let Some(compressor) = self.compressor.as_mut().filter(|_| dense.len() >= LEAST) else { return false };
        self.packed.resize(zstd::zstd_safe::compress_bound(dense.len()), 0);
        match compressor.compress_to_buffer(dense, &mut self.packed) {
            Ok(length) if length < dense.len() - dense.len() / 10 => {
                self.packed.truncate(length);
                true
            }
            _ => false,
        }
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<usize> {
    let bytes = bytes.get(at..at + 4)?.try_into().ok()?;
    usize::try_from(u32::from_le_bytes(bytes)).ok()
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

impl Head {
    /// What the first bytes say; `None` where they are no head of a frame.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        if u32_at(bytes, 0)? != MAGIC as usize || bytes.len() < HEAD {
            return None;
        }
        let kind = match bytes[4] {
            1 => Kind::Names,
            2 => Kind::Layouts,
            3 => Kind::Entries,
            _ => return None,
        };
        let head = Self {
            kind,
            packed: bytes[5] == 1,
            dense_stored: u32_at(bytes, 8)?,
            dense_plain: u32_at(bytes, 12)?,
            noise: u32_at(bytes, 16)?,
            first: u64_at(bytes, 20)?,
            last: u64_at(bytes, 28)?,
            checksum: u64_at(bytes, 36)?,
        };
        let fits = head.dense_plain <= MOST && head.dense_stored <= MOST && head.noise <= MOST;
        let plain = head.packed || head.dense_plain == head.dense_stored;
        (fits && plain && bytes[5] <= 1 && head.first <= head.last).then_some(head)
    }

    /// Bytes of content behind the head.
    pub(super) fn content(&self) -> usize {
        self.dense_stored + self.noise
    }

    /// Whether `frame`, which begins with this head, is what was written.
    pub(super) fn holds(&self, seed: u64, frame: &[u8]) -> bool {
        frame.len() == HEAD + self.content() && {
            let (dense, noise) = frame[HEAD..].split_at(self.dense_stored);
            checksum(seed, &frame[..36], dense, noise) == self.checksum
        }
    }

    /// The content of a frame that [`Head::holds`]; `None` where it cannot be unpacked.
    pub(super) fn halves(&self, frame: &[u8]) -> Option<Halves> {
        let (dense, noise) = frame.get(HEAD..)?.split_at_checked(self.dense_stored)?;
        let dense = if self.packed { zstd::bulk::decompress(dense, self.dense_plain).ok()? } else { dense.to_vec() };
        (dense.len() == self.dense_plain).then(|| Halves { dense, noise: noise.to_vec() })
    }
}

/// Where the next frame of this segment begins in `bytes`, behind a damaged place.
pub(super) fn find(seed: u64, bytes: &[u8]) -> Option<usize> {
    let magic = MAGIC.to_le_bytes();
    (0..bytes.len().saturating_sub(HEAD)).filter(|at| bytes[*at..].starts_with(&magic)).find(|at| {
        let rest = &bytes[*at..];
        Head::read(rest)
            .is_some_and(|head| rest.get(..HEAD + head.content()).is_some_and(|frame| head.holds(seed, frame)))
    })
}
