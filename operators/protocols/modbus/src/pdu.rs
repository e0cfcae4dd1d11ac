//! Protocol data units: what a request and its answer say, without the framing around them.
//!
//! Functions 1, 2, 3, 4, 5, 6, 15 and 16 are known. An answer is only decoded together with the
//! request it answers: alone, a read's answer tells neither its table's offset nor how many of
//! its last bits are padding.

use std::fmt;

use crate::address::Table;

/// The longest PDU in bytes; framing adds the rest (256 on a serial line, 260 over TCP).
pub const MAX_PDU: usize = 253;

/// The function codes this crate speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Function {
    ReadCoils = 1,
    ReadDiscreteInputs = 2,
    ReadHoldingRegisters = 3,
    ReadInputRegisters = 4,
    WriteSingleCoil = 5,
    WriteSingleRegister = 6,
    WriteMultipleCoils = 15,
    WriteMultipleRegisters = 16,
}

impl Function {
    /// The function with this code, or `None` for one this crate does not speak.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            1 => Self::ReadCoils,
            2 => Self::ReadDiscreteInputs,
            3 => Self::ReadHoldingRegisters,
            4 => Self::ReadInputRegisters,
            5 => Self::WriteSingleCoil,
            6 => Self::WriteSingleRegister,
            15 => Self::WriteMultipleCoils,
            16 => Self::WriteMultipleRegisters,
            _ => return None,
        })
    }

    /// The code on the wire.
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The most bits or registers one request of this function may carry.
    #[must_use]
    pub fn max_count(self) -> u16 {
        match self {
            Self::ReadCoils | Self::ReadDiscreteInputs => 2000,
            Self::ReadHoldingRegisters | Self::ReadInputRegisters => 125,
            Self::WriteSingleCoil | Self::WriteSingleRegister => 1,
            Self::WriteMultipleCoils => 1968,
            Self::WriteMultipleRegisters => 123,
        }
    }
}

impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::ReadCoils => "read coils",
            Self::ReadDiscreteInputs => "read discrete inputs",
            Self::ReadHoldingRegisters => "read holding registers",
            Self::ReadInputRegisters => "read input registers",
            Self::WriteSingleCoil => "write single coil",
            Self::WriteSingleRegister => "write single register",
            Self::WriteMultipleCoils => "write multiple coils",
            Self::WriteMultipleRegisters => "write multiple registers",
        };
        write!(f, "function {} ({name})", self.code())
    }
}

/// The reason a device gives for not doing what it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Exception {
    IllegalFunction,
    IllegalDataAddress,
    IllegalDataValue,
    DeviceFailure,
    Acknowledge,
    DeviceBusy,
    MemoryParityError,
    GatewayPathUnavailable,
    GatewayTargetFailedToRespond,
    /// A code the specification does not name; the device's manual may.
    Other(u8),
}

impl Exception {
    /// The exception with this code.
    #[must_use]
    pub fn from_code(code: u8) -> Self {
        match code {
            1 => Self::IllegalFunction,
            2 => Self::IllegalDataAddress,
            3 => Self::IllegalDataValue,
            4 => Self::DeviceFailure,
            5 => Self::Acknowledge,
            6 => Self::DeviceBusy,
            8 => Self::MemoryParityError,
            10 => Self::GatewayPathUnavailable,
            11 => Self::GatewayTargetFailedToRespond,
            other => Self::Other(other),
        }
    }

    /// The code on the wire.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::IllegalFunction => 1,
            Self::IllegalDataAddress => 2,
            Self::IllegalDataValue => 3,
            Self::DeviceFailure => 4,
            Self::Acknowledge => 5,
            Self::DeviceBusy => 6,
            Self::MemoryParityError => 8,
            Self::GatewayPathUnavailable => 10,
            Self::GatewayTargetFailedToRespond => 11,
            Self::Other(code) => code,
        }
    }
}

impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::IllegalFunction => "illegal function",
            Self::IllegalDataAddress => "illegal data address",
            Self::IllegalDataValue => "illegal data value",
            Self::DeviceFailure => "device failure",
            Self::Acknowledge => "acknowledge, the device is still at work",
            Self::DeviceBusy => "device busy",
            Self::MemoryParityError => "memory parity error",
            Self::GatewayPathUnavailable => "gateway path unavailable",
            Self::GatewayTargetFailedToRespond => "the device behind the gateway failed to respond",
            Self::Other(_) => "not named in the specification, see the device's manual",
        };
        write!(f, "exception {} ({name})", self.code())
    }
}

impl std::error::Error for Exception {}

/// A PDU that is not what the specification, or the request it answers, says it must be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PduError {
    #[error("an empty PDU came: check that the peer speaks Modbus on this port")]
    Empty,
    #[error("function code {0} is not one of 1, 2, 3, 4, 5, 6, 15, 16: use one of these")]
    UnknownFunction(u8),
    #[error(
        "{function}: {got} bytes came where {expected} were due: check the device's firmware and any gateway between"
    )]
    Length {
        function: Function,
        expected: usize,
        got: usize,
    },
    #[error(
        "{function}: the byte count says {got} where {expected} is due: check the register width the device is set to"
    )]
    ByteCount {
        function: Function,
        expected: usize,
        got: usize,
    },
    #[error("{function}: a count of {count} is outside 1..={max}: split the request")]
    Count {
        function: Function,
        count: usize,
        max: u16,
    },
    #[error("{function}: {count} from offset {address} go past offset 65535: shorten the request")]
    AddressRange {
        function: Function,
        address: u16,
        count: usize,
    },
    #[error(
        "a coil's value is {0:#06x} where only 0x0000 (off) and 0xff00 (on) exist: check the sender"
    )]
    CoilValue(u16),
    #[error(
        "{expected} was asked and the answer is for function code {got}: check whether two masters share the line"
    )]
    WrongFunction { expected: Function, got: u8 },
    #[error(
        "{function}: the answer repeats {field} {got} where {sent} was sent: check whether the device accepted the write"
    )]
    Echo {
        function: Function,
        field: &'static str,
        sent: u16,
        got: u16,
    },
    #[error(
        "an exception answer to {function} has {got} bytes where 2 are due: check any gateway between"
    )]
    ExceptionLength { function: Function, got: usize },
}

impl PduError {
    /// What a server answers to a request that fails with this error.
    #[must_use]
    pub fn exception(&self) -> Exception {
        match self {
            Self::Empty | Self::UnknownFunction(_) => Exception::IllegalFunction,
            Self::AddressRange { .. } => Exception::IllegalDataAddress,
            _ => Exception::IllegalDataValue,
        }
    }
}

/// What a client asks. Offsets are 0-based.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    ReadCoils { address: u16, count: u16 },
    ReadDiscreteInputs { address: u16, count: u16 },
    ReadHoldingRegisters { address: u16, count: u16 },
    ReadInputRegisters { address: u16, count: u16 },
    WriteSingleCoil { address: u16, value: bool },
    WriteSingleRegister { address: u16, value: u16 },
    WriteMultipleCoils { address: u16, values: Vec<bool> },
    WriteMultipleRegisters { address: u16, values: Vec<u16> },
}

impl Request {
    /// The read of `count` entries of `table` from `address`.
    #[must_use]
    pub fn read(table: Table, address: u16, count: u16) -> Self {
        match table {
            Table::Coils => Self::ReadCoils { address, count },
            Table::DiscreteInputs => Self::ReadDiscreteInputs { address, count },
            Table::HoldingRegisters => Self::ReadHoldingRegisters { address, count },
            Table::InputRegisters => Self::ReadInputRegisters { address, count },
        }
    }

    /// The function this request carries.
    #[must_use]
    pub fn function(&self) -> Function {
        match self {
            Self::ReadCoils { .. } => Function::ReadCoils,
            Self::ReadDiscreteInputs { .. } => Function::ReadDiscreteInputs,
            Self::ReadHoldingRegisters { .. } => Function::ReadHoldingRegisters,
            Self::ReadInputRegisters { .. } => Function::ReadInputRegisters,
            Self::WriteSingleCoil { .. } => Function::WriteSingleCoil,
            Self::WriteSingleRegister { .. } => Function::WriteSingleRegister,
            Self::WriteMultipleCoils { .. } => Function::WriteMultipleCoils,
            Self::WriteMultipleRegisters { .. } => Function::WriteMultipleRegisters,
        }
    }

    /// The table, first offset and number of entries this request touches.
    #[must_use]
    pub fn span(&self) -> (Table, u16, usize) {
        match self {
            Self::ReadCoils { address, count } => (Table::Coils, *address, (*count).into()),
            Self::ReadDiscreteInputs { address, count } => {
                (Table::DiscreteInputs, *address, (*count).into())
            }
            Self::ReadHoldingRegisters { address, count } => {
                (Table::HoldingRegisters, *address, (*count).into())
            }
            Self::ReadInputRegisters { address, count } => {
                (Table::InputRegisters, *address, (*count).into())
            }
            Self::WriteSingleCoil { address, .. } => (Table::Coils, *address, 1),
            Self::WriteSingleRegister { address, .. } => (Table::HoldingRegisters, *address, 1),
            Self::WriteMultipleCoils { address, values } => (Table::Coils, *address, values.len()),
            Self::WriteMultipleRegisters { address, values } => {
                (Table::HoldingRegisters, *address, values.len())
            }
        }
    }

    fn check(&self) -> Result<(), PduError> {
        let function = self.function();
        let (_, address, count) = self.span();
        let max = function.max_count();
        if count == 0 || count > usize::from(max) {
            return Err(PduError::Count {
                function,
                count,
                max,
            });
        }
        if usize::from(address) + count > 65536 {
            return Err(PduError::AddressRange {
                function,
                address,
                count,
            });
        }
        Ok(())
    }

    /// The PDU's bytes. Fails where the count is outside the function's limits or the range goes
    /// past offset 65535.
    pub fn encode(&self) -> Result<Vec<u8>, PduError> {
        self.check()?;
        let (_, address, count) = self.span();
        let mut out = vec![self.function().code()];
        push_u16(&mut out, address);
        match self {
            Self::ReadCoils { count, .. }
            | Self::ReadDiscreteInputs { count, .. }
            | Self::ReadHoldingRegisters { count, .. }
            | Self::ReadInputRegisters { count, .. } => push_u16(&mut out, *count),
            Self::WriteSingleCoil { value, .. } => push_u16(&mut out, coil_word(*value)),
            Self::WriteSingleRegister { value, .. } => push_u16(&mut out, *value),
            Self::WriteMultipleCoils { values, .. } => {
                push_u16(&mut out, count as u16);
                push_counted(&mut out, &pack(values));
            }
            Self::WriteMultipleRegisters { values, .. } => {
                push_u16(&mut out, count as u16);
                push_counted(&mut out, &register_bytes(values));
            }
        }
        Ok(out)
    }

    /// The request in `pdu`, as a server receives it. [`PduError::exception`] says what to answer
    /// to one that does not decode. Padding bits of function 15 are ignored.
    pub fn decode(pdu: &[u8]) -> Result<Self, PduError> {
        let code = *pdu.first().ok_or(PduError::Empty)?;
        let function = Function::from_code(code).ok_or(PduError::UnknownFunction(code))?;
        let counted = matches!(
            function,
            Function::WriteMultipleCoils | Function::WriteMultipleRegisters
        );
        let head = if counted { 6 } else { 5 };
        if pdu.len() < head || (!counted && pdu.len() > head) {
            return Err(PduError::Length {
                function,
                expected: head,
                got: pdu.len(),
            });
        }
        let (address, word) = (u16_at(pdu, 1), u16_at(pdu, 3));
        let request = match function {
            Function::ReadCoils => Self::ReadCoils {
                address,
                count: word,
            },
            Function::ReadDiscreteInputs => Self::ReadDiscreteInputs {
                address,
                count: word,
            },
            Function::ReadHoldingRegisters => Self::ReadHoldingRegisters {
                address,
                count: word,
            },
            Function::ReadInputRegisters => Self::ReadInputRegisters {
                address,
                count: word,
            },
            Function::WriteSingleCoil => Self::WriteSingleCoil {
                address,
                value: coil(word)?,
            },
            Function::WriteSingleRegister => Self::WriteSingleRegister {
                address,
                value: word,
            },
            Function::WriteMultipleCoils | Function::WriteMultipleRegisters => {
                let count = usize::from(word);
                if count == 0 || word > function.max_count() {
                    return Err(PduError::Count {
                        function,
                        count,
                        max: function.max_count(),
                    });
                }
                if function == Function::WriteMultipleCoils {
                    let bytes = counted_bytes(function, &pdu[5..], count.div_ceil(8), 6)?;
                    Self::WriteMultipleCoils {
                        address,
                        values: unpack(bytes, count),
                    }
                } else {
                    let bytes = counted_bytes(function, &pdu[5..], count * 2, 6)?;
                    Self::WriteMultipleRegisters {
                        address,
                        values: registers(bytes),
                    }
                }
            }
        };
        request.check()?;
        Ok(request)
    }
}

/// What a device answers when it did what it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Response {
    ReadCoils(Vec<bool>),
    ReadDiscreteInputs(Vec<bool>),
    ReadHoldingRegisters(Vec<u16>),
    ReadInputRegisters(Vec<u16>),
    WriteSingleCoil { address: u16, value: bool },
    WriteSingleRegister { address: u16, value: u16 },
    WriteMultipleCoils { address: u16, count: u16 },
    WriteMultipleRegisters { address: u16, count: u16 },
}

/// A device's answer: done, or an exception.
pub type Reply = Result<Response, Exception>;

impl Response {
    /// The function this answers.
    #[must_use]
    pub fn function(&self) -> Function {
        match self {
            Self::ReadCoils(_) => Function::ReadCoils,
            Self::ReadDiscreteInputs(_) => Function::ReadDiscreteInputs,
            Self::ReadHoldingRegisters(_) => Function::ReadHoldingRegisters,
            Self::ReadInputRegisters(_) => Function::ReadInputRegisters,
            Self::WriteSingleCoil { .. } => Function::WriteSingleCoil,
            Self::WriteSingleRegister { .. } => Function::WriteSingleRegister,
            Self::WriteMultipleCoils { .. } => Function::WriteMultipleCoils,
            Self::WriteMultipleRegisters { .. } => Function::WriteMultipleRegisters,
        }
    }

    /// The registers of a read of holding or input registers; empty for any other answer.
    #[must_use]
    pub fn registers(&self) -> &[u16] {
        match self {
            Self::ReadHoldingRegisters(registers) | Self::ReadInputRegisters(registers) => {
                registers
            }
            _ => &[],
        }
    }

    /// The bits of a read of coils or discrete inputs; empty for any other answer.
    #[must_use]
    pub fn bits(&self) -> &[bool] {
        match self {
            Self::ReadCoils(bits) | Self::ReadDiscreteInputs(bits) => bits,
            _ => &[],
        }
    }

    /// The PDU's bytes. Fails where a read carries more than its function allows.
    pub fn encode(&self) -> Result<Vec<u8>, PduError> {
        let function = self.function();
        let mut out = vec![function.code()];
        let counted = |count: usize| match count {
            0 => Err(PduError::Count {
                function,
                count,
                max: function.max_count(),
            }),
            n if n > usize::from(function.max_count()) => Err(PduError::Count {
                function,
                count,
                max: function.max_count(),
            }),
            _ => Ok(()),
        };
        match self {
            Self::ReadCoils(bits) | Self::ReadDiscreteInputs(bits) => {
                counted(bits.len())?;
                push_counted(&mut out, &pack(bits));
            }
            Self::ReadHoldingRegisters(values) | Self::ReadInputRegisters(values) => {
                counted(values.len())?;
                push_counted(&mut out, &register_bytes(values));
            }
            Self::WriteSingleCoil { address, value } => {
                push_u16(&mut out, *address);
                push_u16(&mut out, coil_word(*value));
            }
            Self::WriteSingleRegister {
                address,
                value: word,
            }
            | Self::WriteMultipleCoils {
                address,
                count: word,
            }
            | Self::WriteMultipleRegisters {
                address,
                count: word,
            } => {
                push_u16(&mut out, *address);
                push_u16(&mut out, *word);
            }
        }
        Ok(out)
    }

    /// The answer to `request` in `pdu`: the outer error is a malformed or foreign answer, the
    /// inner one the device's exception. Padding bits after the last one asked for are ignored.
    pub fn decode(request: &Request, pdu: &[u8]) -> Result<Reply, PduError> {
        let function = request.function();
        let code = *pdu.first().ok_or(PduError::Empty)?;
        if code == function.code() | 0x80 {
            return match pdu {
                [_, exception] => Ok(Err(Exception::from_code(*exception))),
                _ => Err(PduError::ExceptionLength {
                    function,
                    got: pdu.len(),
                }),
            };
        }
        if code != function.code() {
            return Err(PduError::WrongFunction {
                expected: function,
                got: code,
            });
        }
        let (_, address, count) = request.span();
        let echo = |field, sent, got| {
            if sent == got {
                Ok(())
            } else {
                Err(PduError::Echo {
                    function,
                    field,
                    sent,
                    got,
                })
            }
        };
        if let Function::ReadCoils | Function::ReadDiscreteInputs = function {
            let bits = unpack(
                counted_bytes(function, &pdu[1..], count.div_ceil(8), 2)?,
                count,
            );
            return Ok(Ok(match function {
                Function::ReadCoils => Self::ReadCoils(bits),
                _ => Self::ReadDiscreteInputs(bits),
            }));
        }
        if let Function::ReadHoldingRegisters | Function::ReadInputRegisters = function {
            let values = registers(counted_bytes(function, &pdu[1..], count * 2, 2)?);
            return Ok(Ok(match function {
                Function::ReadHoldingRegisters => Self::ReadHoldingRegisters(values),
                _ => Self::ReadInputRegisters(values),
            }));
        }
        if pdu.len() != 5 {
            return Err(PduError::Length {
                function,
                expected: 5,
                got: pdu.len(),
            });
        }
        let word = u16_at(pdu, 3);
        echo("offset", address, u16_at(pdu, 1))?;
        Ok(Ok(match request {
            Request::WriteSingleCoil { value, .. } => {
                echo("value", coil_word(*value), word)?;
                Self::WriteSingleCoil {
                    address,
                    value: *value,
                }
            }
            Request::WriteSingleRegister { value, .. } => {
                echo("value", *value, word)?;
                Self::WriteSingleRegister {
                    address,
                    value: word,
                }
            }
            Request::WriteMultipleCoils { .. } => {
                echo("count", count as u16, word)?;
                Self::WriteMultipleCoils {
                    address,
                    count: word,
                }
            }
            _ => {
                echo("count", count as u16, word)?;
                Self::WriteMultipleRegisters {
                    address,
                    count: word,
                }
            }
        }))
    }
}

/// The PDU of an exception answer to function code `code`.
#[must_use]
pub fn encode_exception(code: u8, exception: Exception) -> Vec<u8> {
    vec![code | 0x80, exception.code()]
}

fn push_u16(out: &mut Vec<u8>, word: u16) {
    out.extend_from_slice(&word.to_be_bytes());
}

/// Callers have checked the function's limits, so the length fits the count's one byte.
fn push_counted(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(bytes.len() as u8);
    out.extend_from_slice(bytes);
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn coil_word(on: bool) -> u16 {
    if on { 0xff00 } else { 0 }
}

fn coil(word: u16) -> Result<bool, PduError> {
    match word {
        0xff00 => Ok(true),
        0 => Ok(false),
        other => Err(PduError::CoilValue(other)),
    }
}

fn register_bytes(values: &[u16]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_be_bytes()).collect()
}

fn registers(bytes: &[u8]) -> Vec<u16> {
    bytes
        .chunks_exact(2)
        .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
        .collect()
}

/// Bits as Modbus packs them: the first in the lowest bit of the first byte.
fn pack(bits: &[bool]) -> Vec<u8> {
    bits.chunks(8)
        .map(|chunk| {
            chunk
                .iter()
                .enumerate()
                .fold(0, |byte, (i, on)| byte | (u8::from(*on) << i))
        })
        .collect()
}

fn unpack(bytes: &[u8], count: usize) -> Vec<bool> {
    (0..count)
        .map(|i| {
            bytes
                .get(i / 8)
                .is_some_and(|byte| byte >> (i % 8) & 1 == 1)
        })
        .collect()
}

/// The `expected` bytes behind a byte count; `head` is what stands before them in the PDU.
fn counted_bytes(
    function: Function,
    field: &[u8],
    expected: usize,
    head: usize,
) -> Result<&[u8], PduError> {
    let Some((count, bytes)) = field.split_first() else {
        return Err(PduError::Length {
            function,
            expected: head + expected,
            got: head - 1,
        });
    };
    if usize::from(*count) != expected {
        return Err(PduError::ByteCount {
            function,
            expected,
            got: (*count).into(),
        });
    }
    if bytes.len() != expected {
        return Err(PduError::Length {
            function,
            expected: head + expected,
            got: head + bytes.len(),
        });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of the Modbus Application Protocol Specification V1.1b3, §6.
    #[test]
    fn specification_examples() {
        let bits = |text: &str| {
            text.chars()
                .filter(|c| *c != ' ')
                .map(|c| c == '1')
                .collect::<Vec<_>>()
        };
        let cases: [(Request, &[u8], Response, &[u8]); 8] = [
            (
                Request::ReadCoils {
                    address: 0x13,
                    count: 19,
                },
                &[1, 0, 0x13, 0, 0x13],
                Response::ReadCoils(bits("10110011 11010110 101")),
                &[1, 3, 0xcd, 0x6b, 0x05],
            ),
            (
                Request::ReadDiscreteInputs {
                    address: 0xc4,
                    count: 22,
                },
                &[2, 0, 0xc4, 0, 0x16],
                Response::ReadDiscreteInputs(bits("00110101 11011011 101011")),
                &[2, 3, 0xac, 0xdb, 0x35],
            ),
            (
                Request::ReadHoldingRegisters {
                    address: 0x6b,
                    count: 3,
                },
                &[3, 0, 0x6b, 0, 3],
                Response::ReadHoldingRegisters(vec![0x022b, 0, 0x64]),
                &[3, 6, 2, 0x2b, 0, 0, 0, 0x64],
            ),
            (
                Request::ReadInputRegisters {
                    address: 8,
                    count: 1,
                },
                &[4, 0, 8, 0, 1],
                Response::ReadInputRegisters(vec![10]),
                &[4, 2, 0, 0x0a],
            ),
            (
                Request::WriteSingleCoil {
                    address: 0xac,
                    value: true,
                },
                &[5, 0, 0xac, 0xff, 0],
                Response::WriteSingleCoil {
                    address: 0xac,
                    value: true,
                },
                &[5, 0, 0xac, 0xff, 0],
            ),
            (
                Request::WriteSingleRegister {
                    address: 1,
                    value: 3,
                },
                &[6, 0, 1, 0, 3],
                Response::WriteSingleRegister {
                    address: 1,
                    value: 3,
                },
                &[6, 0, 1, 0, 3],
            ),
            (
                Request::WriteMultipleCoils {
                    address: 0x13,
                    values: bits("10110011 10"),
                },
                &[15, 0, 0x13, 0, 10, 2, 0xcd, 1],
                Response::WriteMultipleCoils {
                    address: 0x13,
                    count: 10,
                },
                &[15, 0, 0x13, 0, 10],
            ),
            (
                Request::WriteMultipleRegisters {
                    address: 1,
                    values: vec![0x0a, 0x0102],
                },
                &[16, 0, 1, 0, 2, 4, 0, 0x0a, 1, 2],
                Response::WriteMultipleRegisters {
                    address: 1,
                    count: 2,
                },
                &[16, 0, 1, 0, 2],
            ),
        ];
        for (request, asked, response, answered) in cases {
            assert_eq!(request.encode().unwrap(), asked);
            assert_eq!(Request::decode(asked).unwrap(), request);
            assert_eq!(response.encode().unwrap(), answered);
            assert_eq!(Response::decode(&request, answered).unwrap(), Ok(response));
            let refused = encode_exception(asked[0], Exception::DeviceFailure);
            assert_eq!(
                Response::decode(&request, &refused).unwrap(),
                Err(Exception::DeviceFailure)
            );
            for cut in 0..answered.len() {
                assert!(
                    Response::decode(&request, &answered[..cut]).is_err(),
                    "{request:?} cut to {cut}"
                );
            }
            for cut in 0..asked.len() {
                assert!(
                    Request::decode(&asked[..cut]).is_err(),
                    "{request:?} cut to {cut}"
                );
            }
        }
    }

    #[test]
    fn errors_say_what_was_wrong() {
        use Function::{
            ReadHoldingRegisters as Read, WriteMultipleRegisters, WriteSingleRegister as Write,
        };
        let read = Request::ReadHoldingRegisters {
            address: 0,
            count: 2,
        };
        let write = Request::WriteSingleRegister {
            address: 7,
            value: 9,
        };
        let cases: [(&Request, &[u8], PduError); 8] = [
            (&read, &[], PduError::Empty),
            (
                &read,
                &[4, 4, 0, 0, 0, 0],
                PduError::WrongFunction {
                    expected: Read,
                    got: 4,
                },
            ),
            (
                &read,
                &[3, 2, 0, 0],
                PduError::ByteCount {
                    function: Read,
                    expected: 4,
                    got: 2,
                },
            ),
            (
                &read,
                &[3, 4, 0, 0],
                PduError::Length {
                    function: Read,
                    expected: 6,
                    got: 4,
                },
            ),
            (
                &read,
                &[0x83],
                PduError::ExceptionLength {
                    function: Read,
                    got: 1,
                },
            ),
            (
                &write,
                &[6, 0, 8, 0, 9],
                PduError::Echo {
                    function: Write,
                    field: "offset",
                    sent: 7,
                    got: 8,
                },
            ),
            (
                &write,
                &[6, 0, 7, 0, 1],
                PduError::Echo {
                    function: Write,
                    field: "value",
                    sent: 9,
                    got: 1,
                },
            ),
            (
                &write,
                &[6, 0, 7, 0, 9, 0],
                PduError::Length {
                    function: Write,
                    expected: 5,
                    got: 6,
                },
            ),
        ];
        for (request, pdu, error) in cases {
            assert_eq!(Response::decode(request, pdu), Err(error));
        }
        let requests: [(&[u8], PduError, u8); 6] = [
            (&[43, 14, 1, 0], PduError::UnknownFunction(43), 1),
            (
                &[3, 0, 0, 0, 0],
                PduError::Count {
                    function: Read,
                    count: 0,
                    max: 125,
                },
                3,
            ),
            (
                &[3, 0, 0, 0, 126],
                PduError::Count {
                    function: Read,
                    count: 126,
                    max: 125,
                },
                3,
            ),
            (
                &[3, 255, 255, 0, 2],
                PduError::AddressRange {
                    function: Read,
                    address: 65535,
                    count: 2,
                },
                2,
            ),
            (&[5, 0, 0, 0xff, 1], PduError::CoilValue(0xff01), 3),
            (
                &[16, 0, 0, 0, 1, 4, 0, 0, 0, 0],
                PduError::ByteCount {
                    function: WriteMultipleRegisters,
                    expected: 2,
                    got: 4,
                },
                3,
            ),
        ];
        for (pdu, error, exception) in requests {
            assert_eq!(error.exception().code(), exception);
            assert_eq!(Request::decode(pdu), Err(error));
        }
        assert!(
            Request::decode(&[3, 255, 255, 0, 1]).is_ok(),
            "offset 65535 can be read"
        );
    }
}
