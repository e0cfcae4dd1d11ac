//! Modbus RTU framing: unit, PDU and CRC on a serial line, free of any transport.
//!
//! A frame carries no length. Where it ends follows from its function code, and only the CRC says
//! that the guess was right; so the decoder is told which side it listens to. What fails the CRC
//! is dropped a byte at a time, which finds the next frame after noise.

use std::ops::Range;

use crate::pdu::{MAX_PDU, Request};

/// The CRC-16 of Modbus (polynomial 0xA001 reflected, start 0xFFFF); sent low byte first.
#[must_use]
pub fn crc(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0xffff, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xa001 } else { crc >> 1 })
    })
}

/// One frame on a serial line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub unit: u8,
    pub pdu: Vec<u8>,
}

/// A PDU that no RTU frame can carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a PDU of {0} bytes does not fit an RTU frame, which takes 1 to 253: split the request")]
pub struct LengthError(pub usize);

impl Frame {
    /// The frame's bytes with their CRC. Fails where the PDU is empty or longer than 253 bytes.
    pub fn encode(&self) -> Result<Vec<u8>, LengthError> {
        if self.pdu.is_empty() || self.pdu.len() > MAX_PDU {
            return Err(LengthError(self.pdu.len()));
        }
        let mut out = Vec::with_capacity(self.pdu.len() + 3);
        out.push(self.unit);
        out.extend_from_slice(&self.pdu);
        let crc = crc(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        Ok(out)
    }
}

/// Which frames a decoder expects: a master listens to responses, a slave to requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Requests,
    Responses,
}

/// What a decoder threw away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Discarded {
    /// Bytes that belonged to no frame.
    pub bytes: u64,
    /// Places where a frame seemed to start and its CRC did not fit.
    pub crc_errors: u64,
}

/// Finds frames in the bytes of a line.
#[derive(Debug)]
pub struct Decoder {
    side: Side,
    buffer: Vec<u8>,
    silent: bool,
    discarded: Discarded,
}

enum Length {
    Of(usize),
    Unclear,
    Unknown,
}

impl Decoder {
    #[must_use]
    pub fn new(side: Side) -> Self {
        Self { side, buffer: Vec::new(), silent: false, discarded: Discarded::default() }
    }

    /// Adds bytes that came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.silent = false;
        self.buffer.extend_from_slice(bytes);
    }

    /// Says that the line has been quiet for longer than a frame allows (3.5 characters, or what
    /// the link needs): what is incomplete now will stay so. [`Self::next_frame`] then looks for
    /// complete frames behind the incomplete start, and drops the rest.
    pub fn silence(&mut self) {
        self.silent = true;
    }

    /// Forgets what has come, such as before a new request.
    pub fn clear(&mut self) {
        self.discarded.bytes += self.buffer.len() as u64;
        self.buffer.clear();
    }

    /// The next frame with a good CRC, or `None` until more bytes come.
    pub fn next_frame(&mut self) -> Option<Frame> {
        let mut at = 0;
        let mut found = None;
        while at < self.buffer.len() {
            let bytes = &self.buffer[at..];
            match length(self.side, bytes) {
                Length::Of(length) if length <= bytes.len() => {
                    let (body, tail) = bytes[..length].split_at(length - 2);
                    if crc(body).to_le_bytes() == tail {
                        found = Some((Frame { unit: body[0], pdu: body[1..].to_vec() }, length));
                        break;
                    }
                    self.discarded.crc_errors += 1;
                }
                Length::Of(_) | Length::Unclear if !self.silent => break,
                _ => {}
            }
            at += 1;
        }
        self.discarded.bytes += at as u64;
        let used = at + found.as_ref().map_or(0, |(_, length)| *length);
        self.buffer.drain(..used);
        found.map(|(frame, _)| frame)
    }

    /// The bytes of what may become a frame.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.buffer.len()
    }

    /// What was thrown away so far.
    #[must_use]
    pub fn discarded(&self) -> Discarded {
        self.discarded
    }
}

/// What a client finds in the bytes that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The frame that answers, unit and CRC included.
    At(Range<usize>),
    /// A whole frame that would answer but for its CRC.
    Broken,
    /// None so far.
    None,
}

/// Looks for the answer of `unit` to `request`, an exception among them, wherever it begins: noise and frames of
/// others may stand before it. Knowing what is due, it needs no silence to find it.
#[must_use]
pub fn find_answer(bytes: &[u8], unit: u8, request: &Request) -> Answer {
    let function = request.function().code();
    let expected = request.answer_bytes();
    let (mut broken, mut unfinished) = (false, false);
    for at in 0..bytes.len() {
        let rest = &bytes[at..];
        let length = match (rest, expected) {
            ([from, code, ..], _) if *from == unit && *code == function | 0x80 => 5,
            ([from, code, count, ..], Some(expected))
                if *from == unit && *code == function && usize::from(*count) == expected =>
            {
                5 + expected
            }
            ([from, code, ..], None) if *from == unit && *code == function => 8,
            _ => continue,
        };
        match rest.get(..length) {
            Some(frame) => {
                let (body, tail) = frame.split_at(length - 2);
                if crc(body).to_le_bytes() == tail {
                    return Answer::At(at..at + length);
                }
                broken = true;
            }
            None => unfinished = true,
        }
    }
    if broken && !unfinished { Answer::Broken } else { Answer::None }
}

/// The length of the frame that starts `bytes`, unit and CRC included.
fn length(side: Side, bytes: &[u8]) -> Length {
    let Some(function) = bytes.get(1) else {
        return Length::Unclear;
    };
    let counted = |head: usize| match bytes.get(head - 1) {
        Some(count) if head - 1 + usize::from(*count) > MAX_PDU => Length::Unknown,
        Some(count) => Length::Of(head + usize::from(*count) + 2),
        None => Length::Unclear,
    };
    match (side, function) {
        (Side::Requests, 1..=6) | (Side::Responses, 5 | 6 | 15 | 16) => Length::Of(8),
        (Side::Requests, 15 | 16) => counted(7),
        (Side::Responses, 1..=4) => counted(3),
        (Side::Responses, 0x81..=0x86 | 0x8f | 0x90) => Length::Of(5),
        _ => Length::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc_of_known_frames() {
        // CRC-16/MODBUS check value, and a frame printed in many device manuals.
        assert_eq!(crc(b"123456789"), 0x4b37);
        assert_eq!(
            Frame { unit: 0x11, pdu: vec![3, 0, 0x6b, 0, 3] }.encode().unwrap(),
            [0x11, 3, 0, 0x6b, 0, 3, 0x76, 0x87]
        );
    }

    #[test]
    fn an_answer_is_found_among_noise_and_frames_of_others() {
        let request = Request::ReadHoldingRegisters { address: 7, count: 2 };
        let answer = Frame { unit: 9, pdu: vec![3, 4, 1, 2, 3, 4] }.encode().unwrap();
        let exception = Frame { unit: 9, pdu: vec![0x83, 2] }.encode().unwrap();
        let others = [
            Frame { unit: 8, pdu: vec![3, 4, 1, 2, 3, 4] },
            Frame { unit: 9, pdu: vec![4, 4, 1, 2, 3, 4] },
            Frame { unit: 9, pdu: vec![3, 2, 1, 2] },
            Frame { unit: 9, pdu: vec![0x84, 2] },
        ];
        let others: Vec<u8> = others.iter().flat_map(|frame| frame.encode().unwrap()).collect();
        for right in [&answer, &exception] {
            for before in [&[][..], &[9], &[9, 3], &[9, 3, 4], &[0xff; 40], &others] {
                let bytes = [before, &right[..], &[9, 3]].concat();
                let found = Answer::At(before.len()..before.len() + right.len());
                assert_eq!(find_answer(&bytes, 9, &request), found, "behind {before:02x?}");
                for cut in 0..before.len() + right.len() {
                    assert_eq!(find_answer(&bytes[..cut], 9, &request), Answer::None, "cut at {cut}");
                }
            }
        }
        assert_eq!(find_answer(&others, 9, &request), Answer::None);
        let mut broken = answer;
        broken[5] ^= 1;
        assert_eq!(find_answer(&broken, 9, &request), Answer::Broken);
        let write = Request::WriteSingleRegister { address: 7, value: 1 };
        let echo = Frame { unit: 9, pdu: write.encode().unwrap() }.encode().unwrap();
        assert_eq!(find_answer(&echo, 9, &write), Answer::At(0..8));
    }

    fn response(unit: u8) -> Frame {
        Frame { unit, pdu: vec![3, 4, 1, 2, 3, 4] }
    }

    #[test]
    fn finds_frames_after_garbage_and_bad_crc() {
        let good = response(1).encode().unwrap();
        let mut bad = response(2).encode().unwrap();
        bad[4] ^= 0x40;
        let exception = Frame { unit: 3, pdu: vec![0x83, 2] };
        let mut decoder = Decoder::new(Side::Responses);
        decoder.push(&[0x00, 0xff, 0xff]);
        decoder.push(&good);
        decoder.push(&bad);
        decoder.push(&exception.encode().unwrap());
        assert_eq!(decoder.next_frame(), Some(response(1)));
        assert_eq!(decoder.next_frame(), None, "the bad frame's bytes may start a longer one");
        decoder.silence();
        assert_eq!(decoder.next_frame(), Some(exception));
        assert_eq!(decoder.next_frame(), None);
        assert_eq!(decoder.discarded().bytes, 3 + bad.len() as u64);
        assert!(decoder.discarded().crc_errors >= 1);
    }

    #[test]
    fn a_cut_frame_is_dropped_at_silence_and_the_next_one_is_whole() {
        let frame = response(9).encode().unwrap();
        for cut in 1..frame.len() {
            let mut decoder = Decoder::new(Side::Responses);
            decoder.push(&frame[..cut]);
            assert_eq!(decoder.next_frame(), None);
            decoder.silence();
            assert_eq!(decoder.next_frame(), None);
            for byte in &frame[..frame.len() - 1] {
                decoder.push(&[*byte]);
                assert_eq!(decoder.next_frame(), None);
            }
            decoder.push(&frame[frame.len() - 1..]);
            assert_eq!(decoder.next_frame(), Some(response(9)));
            assert_eq!(decoder.discarded().bytes, cut as u64);
        }
    }

    #[test]
    fn a_slave_reads_requests() {
        let requests = [
            Frame { unit: 1, pdu: vec![4, 0, 0, 0, 9] },
            Frame { unit: 1, pdu: vec![16, 0, 1, 0, 1, 2, 0, 7] },
            Frame { unit: 1, pdu: vec![6, 0, 1, 0, 1] },
        ];
        let mut decoder = Decoder::new(Side::Requests);
        for request in &requests {
            decoder.push(&request.encode().unwrap());
        }
        for request in requests {
            assert_eq!(decoder.next_frame(), Some(request));
        }
        assert_eq!(decoder.discarded(), Discarded::default());
    }
}
