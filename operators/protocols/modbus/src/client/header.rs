//! Exchanges behind the header of Modbus TCP: transaction ids tell answers apart.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncReadExt, ReadBuf};

use super::{Counters, Failure, Transport};
use crate::tcp::{Decoder, Frame, FrameError};

/// How many timed-out transactions are remembered, to tell their late answers from foreign ones.
const REMEMBERED: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Header {
    decoder: Decoder,
    transaction: u16,
    /// The request under way. Still there at the next one if the caller dropped the future.
    outstanding: Option<u16>,
    timed_out: VecDeque<u16>,
}

impl Header {
    /// The frame of the next request.
    pub(super) fn frame(&mut self, unit: u8, pdu: Vec<u8>) -> Result<Vec<u8>, FrameError> {
        self.transaction = self.transaction.wrapping_add(1);
        let transaction = self.transaction;
        self.timed_out.retain(|id| *id != transaction);
        let bytes = Frame { transaction, unit, pdu }.encode()?;
        self.outstanding = Some(transaction);
        Ok(bytes)
    }

    /// Takes in what came since the last answer.
    pub(super) fn clear(&mut self, stream: &mut dyn Transport, counters: &mut Counters) -> Result<(), Failure> {
        let mut chunk = [0; 256];
        while let Some(count) = pending(stream, &mut chunk)? {
            self.decoder.push(&chunk[..count]);
        }
        self.take(&[], counters)
    }

    /// Takes in what came unasked.
    pub(super) fn take(&mut self, bytes: &[u8], counters: &mut Counters) -> Result<(), Failure> {
        self.decoder.push(bytes);
        while let Some(frame) = self.next_frame(counters)? {
            self.count(&frame, counters);
        }
        Ok(())
    }

    /// Waits for the answer to the request under way. Every error is final.
    pub(super) async fn answer(
        &mut self,
        stream: &mut dyn Transport,
        counters: &mut Counters,
    ) -> Result<(u8, Vec<u8>), Failure> {
        let mut chunk = [0; 320];
        loop {
            match self.next_frame(counters)? {
                Some(frame) if Some(frame.transaction) == self.outstanding => {
                    self.outstanding = None;
                    return Ok((frame.unit, frame.pdu));
                }
                Some(frame) => self.count(&frame, counters),
                None => match stream.read(&mut chunk).await? {
                    0 => return Err(Failure::Io(io::ErrorKind::UnexpectedEof.into())),
                    count => self.decoder.push(&chunk[..count]),
                },
            }
        }
    }

    /// The request under way will have no answer, or a late one.
    pub(super) fn give_up(&mut self) {
        let Some(transaction) = self.outstanding.take() else { return };
        if self.timed_out.len() == REMEMBERED {
            self.timed_out.pop_front();
        }
        self.timed_out.push_back(transaction);
    }

    fn next_frame(&mut self, counters: &mut Counters) -> Result<Option<Frame>, Failure> {
        self.decoder.next_frame().map_err(|source| {
            counters.garbage += 1;
            Failure::Garbage(source)
        })
    }

    /// A frame that answers nothing that is under way.
    fn count(&mut self, frame: &Frame, counters: &mut Counters) {
        match self.timed_out.iter().position(|id| *id == frame.transaction) {
            Some(at) => {
                self.timed_out.remove(at);
                counters.late += 1;
            }
            None => counters.wrong_transaction += 1,
        }
    }
}

/// What has come already, without waiting: `None` for nothing.
pub(super) fn pending(stream: &mut dyn Transport, into: &mut [u8]) -> io::Result<Option<usize>> {
    let mut buffer = ReadBuf::new(into);
    match Pin::new(stream).poll_read(&mut Context::from_waker(Waker::noop()), &mut buffer) {
        Poll::Pending => Ok(None),
        Poll::Ready(Err(error)) => Err(error),
        Poll::Ready(Ok(())) if buffer.filled().is_empty() => Err(io::ErrorKind::UnexpectedEof.into()),
        Poll::Ready(Ok(())) => Ok(Some(buffer.filled().len())),
    }
}
