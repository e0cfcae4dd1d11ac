//! How bits, registers and counted fields lie in a PDU.

use super::{Function, PduError};

pub(super) fn push_u16(out: &mut Vec<u8>, word: u16) {
    out.extend_from_slice(&word.to_be_bytes());
}

/// Callers have checked the function's limits, so the length fits the count's one byte.
pub(super) fn push_counted(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(bytes.len() as u8);
    out.extend_from_slice(bytes);
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

pub(super) fn coil_word(on: bool) -> u16 {
    if on { 0xff00 } else { 0 }
}

pub(super) fn coil(word: u16) -> Result<bool, PduError> {
    match word {
        0xff00 => Ok(true),
        0 => Ok(false),
        other => Err(PduError::CoilValue(other)),
    }
}

pub(super) fn register_bytes(values: &[u16]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_be_bytes()).collect()
}

pub(super) fn registers(bytes: &[u8]) -> Vec<u16> {
    bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect()
}

/// Bits as Modbus packs them: the first in the lowest bit of the first byte.
pub(super) fn pack(bits: &[bool]) -> Vec<u8> {
    bits.chunks(8).map(|chunk| chunk.iter().enumerate().fold(0, |byte, (i, on)| byte | (u8::from(*on) << i))).collect()
}

pub(super) fn unpack(bytes: &[u8], count: usize) -> Vec<bool> {
    (0..count).map(|i| bytes.get(i / 8).is_some_and(|byte| byte >> (i % 8) & 1 == 1)).collect()
}

/// The `expected` bytes behind a byte count; `head` is what stands before them in the PDU.
pub(super) fn counted_bytes(function: Function, field: &[u8], expected: usize, head: usize) -> Result<&[u8], PduError> {
    let Some((count, bytes)) = field.split_first() else {
        return Err(PduError::Length { function, expected: head + expected, got: head - 1 });
    };
    if usize::from(*count) != expected {
        return Err(PduError::ByteCount { function, expected, got: (*count).into() });
    }
    if bytes.len() != expected {
        return Err(PduError::Length { function, expected: head + expected, got: head + bytes.len() });
    }
    Ok(bytes)
}
