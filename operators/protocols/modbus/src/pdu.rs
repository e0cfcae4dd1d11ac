//! Protocol data units: what a request and its answer say, without the framing around them.
//!
//! Functions 1, 2, 3, 4, 5, 6, 15 and 16 are known. An answer is only decoded together with the
//! request it answers: alone, a read's answer tells neither its table's offset nor how many of
//! its last bits are padding.

use std::fmt;

mod packing;
mod request;
mod response;

pub use request::{MAX_LONG_REGISTERS, Request};
pub use response::{Reply, Response};

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

    /// Whether it changes nothing in the device.
    #[must_use]
    pub fn is_read(self) -> bool {
        self.code() <= 4
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

    /// What the reader of the exception can do about it.
    #[must_use]
    pub fn advice(self) -> &'static str {
        match self {
            Self::IllegalFunction => "check which tables the device has",
            Self::IllegalDataAddress => "check the address and the table against the device's list",
            Self::IllegalDataValue => "check the value, or read fewer registers at once",
            Self::DeviceFailure | Self::MemoryParityError => "check the device itself",
            Self::Acknowledge | Self::DeviceBusy => "ask again later, or less often",
            Self::GatewayPathUnavailable => "check the unit id and the gateway's routes",
            Self::GatewayTargetFailedToRespond => "check the unit id and the line behind the gateway",
            Self::Other(_) => "look the code up in the device's manual",
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
            Self::Other(_) => "not named in the specification",
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
    Length { function: Function, expected: usize, got: usize },
    #[error(
        "{function}: the byte count says {got} where {expected} is due: check the register width the device is set to"
    )]
    ByteCount { function: Function, expected: usize, got: usize },
    #[error("{function}: a count of {count} is outside 1..={max}: split the request")]
    Count { function: Function, count: usize, max: u16 },
    #[error("{function}: {count} from offset {address} go past offset 65535: shorten the request")]
    AddressRange { function: Function, address: u16, count: usize },
    #[error("a coil's value is {0:#06x} where only 0x0000 (off) and 0xff00 (on) exist: check the sender")]
    CoilValue(u16),
    #[error("{expected} was asked and the answer is for function code {got}: check whether two masters share the line")]
    WrongFunction { expected: Function, got: u8 },
    #[error(
        "{function}: the answer repeats {field} {got} where {sent} was sent: check whether the device accepted the write"
    )]
    Echo { function: Function, field: &'static str, sent: u16, got: u16 },
    #[error("an exception answer to {function} has {got} bytes where 2 are due: check any gateway between")]
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

/// The PDU of an exception answer to function code `code`.
#[must_use]
pub fn encode_exception(code: u8, exception: Exception) -> Vec<u8> {
    vec![code | 0x80, exception.code()]
}
