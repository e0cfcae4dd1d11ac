//! Modbus TCP framing: the MBAP header (transaction, protocol, length, unit) before each PDU.

use crate::pdu::MAX_PDU;

const HEADER: usize = 7;

/// One frame of Modbus TCP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub transaction: u16,
    pub unit: u8,
    pub pdu: Vec<u8>,
}

/// Bytes that are no Modbus TCP. Nothing marks where a next frame would start, so the only cure is
/// to close the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error("the protocol id is {0} where Modbus has 0: check that the port speaks Modbus TCP, not RTU over TCP")]
    Protocol(u16),
    #[error("the header's length is {0}, outside 2..=254: check that the port speaks Modbus TCP, not RTU over TCP")]
    Length(usize),
}

impl Frame {
    /// The frame's bytes. Fails where the PDU is empty or longer than 253 bytes.
    pub fn encode(&self) -> Result<Vec<u8>, FrameError> {
        let length = self.pdu.len() + 1;
        if !(2..=MAX_PDU + 1).contains(&length) {
            return Err(FrameError::Length(length));
        }
        let mut out = Vec::with_capacity(HEADER + self.pdu.len());
        out.extend_from_slice(&self.transaction.to_be_bytes());
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&(length as u16).to_be_bytes());
        out.push(self.unit);
        out.extend_from_slice(&self.pdu);
        Ok(out)
    }
}

/// Cuts a byte stream into frames. Push what came, then take frames until there are none.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
}

impl Decoder {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bytes that came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The bytes of a frame not yet complete.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.buffer.len()
    }

    /// The next complete frame, or `None` until more bytes come. After an error every call gives
    /// the same error: close the connection.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        let [t0, t1, p0, p1, rest @ ..] = self.buffer.as_slice() else {
            return Ok(None);
        };
        let protocol = u16::from_be_bytes([*p0, *p1]);
        if protocol != 0 {
            return Err(FrameError::Protocol(protocol));
        }
        let [l0, l1, rest @ ..] = rest else {
            return Ok(None);
        };
        let length = usize::from(u16::from_be_bytes([*l0, *l1]));
        if !(2..=MAX_PDU + 1).contains(&length) {
            return Err(FrameError::Length(length));
        }
        let Some((unit, pdu)) = rest.get(..length).and_then(|body| body.split_first()) else {
            return Ok(None);
        };
        let frame = Frame { transaction: u16::from_be_bytes([*t0, *t1]), unit: *unit, pdu: pdu.to_vec() };
        self.buffer.drain(..HEADER - 1 + length);
        Ok(Some(frame))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_survive_any_cut_of_the_stream() {
        let frames: Vec<Frame> = (0..3)
            .map(|i| Frame { transaction: 0xff00 + i, unit: 17, pdu: vec![3; 1 + 126 * usize::from(i)] })
            .collect();
        let bytes: Vec<u8> = frames.iter().flat_map(|f| f.encode().unwrap()).collect();
        for chunk in 1..40 {
            let mut decoder = Decoder::new();
            let mut seen = Vec::new();
            for part in bytes.chunks(chunk) {
                decoder.push(part);
                while let Some(frame) = decoder.next_frame().unwrap() {
                    seen.push(frame);
                }
            }
            assert_eq!(seen, frames);
            assert_eq!(decoder.pending(), 0);
        }
    }

    #[test]
    fn refuses_what_is_not_modbus() {
        let cases: [(&[u8], FrameError); 4] = [
            (b"HTTP/1.1 400", FrameError::Protocol(u16::from_be_bytes(*b"TP"))),
            (&[0, 1, 0, 0, 0, 1], FrameError::Length(1)),
            (&[0, 1, 0, 0, 0, 0], FrameError::Length(0)),
            (&[0, 1, 0, 0, 0, 255], FrameError::Length(255)),
        ];
        for (bytes, error) in cases {
            let mut decoder = Decoder::new();
            decoder.push(bytes);
            assert_eq!(decoder.next_frame(), Err(error));
            assert_eq!(decoder.next_frame(), Err(error));
        }
        assert!(Frame { transaction: 0, unit: 0, pdu: vec![0; 254] }.encode().is_err());
        assert!(Frame { transaction: 0, unit: 0, pdu: vec![] }.encode().is_err());
    }
}
