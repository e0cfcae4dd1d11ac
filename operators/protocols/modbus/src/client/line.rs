//! Exchanges on a line, where frames have no ids: an answer is known by its unit, its function, its length and its CRC.
//!
//! Such an answer may still be one that comes late. So a unit that has not answered in time is asked nothing for as
//! long again; what it says meanwhile is discarded.

use std::io;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::time::{Instant, timeout};

use super::header::pending;
use super::{Counters, Failure, Transport};
use crate::pdu::{PduError, Request};
use crate::rtu::{Answer, Decoder, Frame, Side, find_answer};

/// Bytes of which the oldest are thrown away: twice the longest frame.
const LONGEST: usize = 512;

/// How long a line must be quiet behind a broken answer before it is clear that no other comes.
const QUIET: Duration = Duration::from_millis(100);

#[derive(Debug, Default)]
pub(super) struct Line {
    /// What came and answers nothing yet.
    buffer: Vec<u8>,
    /// What was sent last: half-duplex converters give it back before the answer.
    sent: Vec<u8>,
    /// The unit that is asked, and how long its answer may take.
    under_way: Option<(u8, Duration)>,
    /// The unit whose answer may still come, and until when.
    owed: Option<(u8, Instant)>,
    /// What was sent comes back.
    echoes: bool,
}

impl Line {
    pub(super) fn frame(&mut self, unit: u8, pdu: Vec<u8>, patience: Duration) -> Result<Vec<u8>, PduError> {
        let frame = Frame { unit, pdu }.encode().map_err(|_| PduError::Empty)?;
        self.sent.clone_from(&frame);
        self.under_way = Some((unit, patience));
        Ok(frame)
    }

    /// When `unit` can be asked again.
    pub(super) fn owed_until(&self, unit: u8) -> Option<Instant> {
        self.owed.filter(|(owing, _)| *owing == unit).map(|(_, until)| until)
    }

    /// Discards what came since the last answer.
    pub(super) fn clear(&mut self, stream: &mut dyn Transport, counters: &mut Counters) -> Result<(), Failure> {
        let mut chunk = [0; 256];
        while let Some(count) = pending(stream, &mut chunk)? {
            self.take(&chunk[..count], counters);
        }
        self.discard(self.buffer.len(), counters);
        if self.owed.is_some_and(|(_, until)| until <= Instant::now()) {
            self.owed = None;
        }
        Ok(())
    }

    /// Takes in what came unasked.
    pub(super) fn take(&mut self, bytes: &[u8], counters: &mut Counters) {
        self.buffer.extend_from_slice(bytes);
        self.shorten(counters);
    }

    /// Waits for the answer to `request`.
    pub(super) async fn answer(
        &mut self,
        stream: &mut dyn Transport,
        counters: &mut Counters,
        unit: u8,
        request: &Request,
    ) -> Result<(u8, Vec<u8>), Failure> {
        let mut chunk = [0; 320];
        let mut echo = self.echoes || request.function().is_read();
        loop {
            if echo && self.buffer.len() >= self.sent.len() {
                echo = false;
                if self.buffer.starts_with(&self.sent) {
                    self.buffer.drain(..self.sent.len());
                    self.echoes = true;
                }
            }
            let broken = match find_answer(&self.buffer, unit, request) {
                Answer::At(range) => {
                    let pdu = self.buffer[range.start + 1..range.end - 2].to_vec();
                    self.discard(range.start, counters);
                    self.buffer.drain(..range.len());
                    self.under_way = None;
                    return Ok((unit, pdu));
                }
                Answer::Broken => true,
                Answer::None => false,
            };
            let read = stream.read(&mut chunk);
            let count = if broken {
                match timeout(QUIET, read).await {
                    Ok(count) => count?,
                    Err(_) => {
                        self.discard(self.buffer.len(), counters);
                        self.under_way = None;
                        return Err(Failure::Corrupt);
                    }
                }
            } else {
                read.await?
            };
            if count == 0 {
                return Err(Failure::Io(io::ErrorKind::UnexpectedEof.into()));
            }
            self.buffer.extend_from_slice(&chunk[..count]);
            self.shorten(counters);
        }
    }

    /// The request will have no answer, or a late one.
    pub(super) fn give_up(&mut self, counters: &mut Counters) {
        let Some((unit, patience)) = self.under_way.take() else { return };
        self.discard(self.buffer.len(), counters);
        self.owed = Some((unit, Instant::now() + patience));
    }

    fn shorten(&mut self, counters: &mut Counters) {
        if self.buffer.len() > 2 * LONGEST {
            self.discard(self.buffer.len() - LONGEST, counters);
        }
    }

    /// Throws the first bytes away and counts what they were.
    fn discard(&mut self, count: usize, counters: &mut Counters) {
        if count == 0 {
            return;
        }
        let mut decoder = Decoder::new(Side::Responses);
        decoder.push(&self.buffer[..count]);
        decoder.silence();
        while let Some(frame) = decoder.next_frame() {
            match self.owed {
                Some((unit, _)) if unit == frame.unit => counters.late += 1,
                _ if self.sent.first() == Some(&frame.unit) => counters.wrong_pdu += 1,
                _ => counters.wrong_unit += 1,
            }
        }
        let discarded = decoder.discarded();
        counters.crc_errors += u64::from(discarded.crc_errors > 0);
        counters.garbage += u64::from(discarded.crc_errors == 0 && discarded.bytes > 0);
        self.buffer.drain(..count);
    }
}
