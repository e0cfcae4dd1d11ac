//! Responses, encoded by a server and decoded by a client against the request they answer.

use super::packing::*;
use super::{Exception, Function, PduError, Request};

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

    /// The registers of a read of holding or input registers, two for each long one; empty for any other answer.
    #[must_use]
    pub fn registers(&self) -> &[u16] {
        match self {
            Self::ReadHoldingRegisters(registers) | Self::ReadInputRegisters(registers) => registers,
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
            0 => Err(PduError::Count { function, count, max: function.max_count() }),
            n if n > usize::from(function.max_count()) => {
                Err(PduError::Count { function, count, max: function.max_count() })
            }
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
            Self::WriteSingleRegister { address, value: word }
            | Self::WriteMultipleCoils { address, count: word }
            | Self::WriteMultipleRegisters { address, count: word } => {
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
                _ => Err(PduError::ExceptionLength { function, got: pdu.len() }),
            };
        }
        if code != function.code() {
            return Err(PduError::WrongFunction { expected: function, got: code });
        }
        let (_, address, count) = request.span();
        let echo = |field, sent, got| {
            if sent == got { Ok(()) } else { Err(PduError::Echo { function, field, sent, got }) }
        };
        if let Function::ReadCoils | Function::ReadDiscreteInputs = function {
            let bits = unpack(counted_bytes(function, &pdu[1..], count.div_ceil(8), 2)?, count);
            return Ok(Ok(match function {
                Function::ReadCoils => Self::ReadCoils(bits),
                _ => Self::ReadDiscreteInputs(bits),
            }));
        }
        if let Function::ReadHoldingRegisters | Function::ReadInputRegisters = function {
            let expected = request.answer_bytes().unwrap_or_default();
            let values = registers(counted_bytes(function, &pdu[1..], expected, 2)?);
            return Ok(Ok(match function {
                Function::ReadHoldingRegisters => Self::ReadHoldingRegisters(values),
                _ => Self::ReadInputRegisters(values),
            }));
        }
        if pdu.len() != 5 {
            return Err(PduError::Length { function, expected: 5, got: pdu.len() });
        }
        let word = u16_at(pdu, 3);
        echo("offset", address, u16_at(pdu, 1))?;
        Ok(Ok(match request {
            Request::WriteSingleCoil { value, .. } => {
                echo("value", coil_word(*value), word)?;
                Self::WriteSingleCoil { address, value: *value }
            }
            Request::WriteSingleRegister { value, .. } => {
                echo("value", *value, word)?;
                Self::WriteSingleRegister { address, value: word }
            }
            Request::WriteMultipleCoils { .. } => {
                echo("count", count as u16, word)?;
                Self::WriteMultipleCoils { address, count: word }
            }
            _ => {
                echo("count", count as u16, word)?;
                Self::WriteMultipleRegisters { address, count: word }
            }
        }))
    }
}
