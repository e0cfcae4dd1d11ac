//! Requests, encoded by a client and decoded by a server.

use super::packing::*;
use super::{Function, PduError};
use crate::address::Table;

/// What a client asks. Offsets are 0-based.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    ReadCoils {
        address: u16,
        count: u16,
    },
    ReadDiscreteInputs {
        address: u16,
        count: u16,
    },
    ReadHoldingRegisters {
        address: u16,
        count: u16,
    },
    ReadInputRegisters {
        address: u16,
        count: u16,
    },
    /// Enron's extension: function 3 of registers that hold 32 bits each, of which `count` are read.
    /// On the wire it cannot be told from function 3 of so many plain registers; only the answer is
    /// twice as long.
    ReadLongRegisters {
        address: u16,
        count: u16,
    },
    WriteSingleCoil {
        address: u16,
        value: bool,
    },
    WriteSingleRegister {
        address: u16,
        value: u16,
    },
    WriteMultipleCoils {
        address: u16,
        values: Vec<bool>,
    },
    WriteMultipleRegisters {
        address: u16,
        values: Vec<u16>,
    },
}

/// The most long registers in one answer, of at most 250 bytes.
pub const MAX_LONG_REGISTERS: u16 = 62;

impl Request {
    /// The read of `count` entries of `table` from `address`.
    #[must_use]
    pub fn read(table: Table, address: u16, count: u16) -> Self {
        match table {
            Table::Coils => Self::ReadCoils { address, count },
            Table::DiscreteInputs => Self::ReadDiscreteInputs { address, count },
            Table::HoldingRegisters => Self::ReadHoldingRegisters { address, count },
            Table::InputRegisters => Self::ReadInputRegisters { address, count },
            Table::LongRegisters => Self::ReadLongRegisters { address, count },
        }
    }

    /// The function this request carries.
    #[must_use]
    pub fn function(&self) -> Function {
        match self {
            Self::ReadCoils { .. } => Function::ReadCoils,
            Self::ReadDiscreteInputs { .. } => Function::ReadDiscreteInputs,
            Self::ReadHoldingRegisters { .. } | Self::ReadLongRegisters { .. } => Function::ReadHoldingRegisters,
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
            Self::ReadDiscreteInputs { address, count } => (Table::DiscreteInputs, *address, (*count).into()),
            Self::ReadHoldingRegisters { address, count } => (Table::HoldingRegisters, *address, (*count).into()),
            Self::ReadInputRegisters { address, count } => (Table::InputRegisters, *address, (*count).into()),
            Self::ReadLongRegisters { address, count } => (Table::LongRegisters, *address, (*count).into()),
            Self::WriteSingleCoil { address, .. } => (Table::Coils, *address, 1),
            Self::WriteSingleRegister { address, .. } => (Table::HoldingRegisters, *address, 1),
            Self::WriteMultipleCoils { address, values } => (Table::Coils, *address, values.len()),
            Self::WriteMultipleRegisters { address, values } => (Table::HoldingRegisters, *address, values.len()),
        }
    }

    /// Bytes of values in the answer to a read; `None` for a write, whose answer repeats the request's head.
    #[must_use]
    pub fn answer_bytes(&self) -> Option<usize> {
        let (table, _, count) = self.span();
        self.function().is_read().then(|| match table {
            Table::Coils | Table::DiscreteInputs => count.div_ceil(8),
            Table::InputRegisters | Table::HoldingRegisters => count * 2,
            Table::LongRegisters => count * 4,
        })
    }

    fn check(&self) -> Result<(), PduError> {
        let function = self.function();
        let (_, address, count) = self.span();
        let max = match self {
            Self::ReadLongRegisters { .. } => MAX_LONG_REGISTERS,
            _ => function.max_count(),
        };
        if count == 0 || count > usize::from(max) {
            return Err(PduError::Count { function, count, max });
        }
        if usize::from(address) + count > 65536 {
            return Err(PduError::AddressRange { function, address, count });
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
            | Self::ReadLongRegisters { count, .. }
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
        let counted = matches!(function, Function::WriteMultipleCoils | Function::WriteMultipleRegisters);
        let head = if counted { 6 } else { 5 };
        if pdu.len() < head || (!counted && pdu.len() > head) {
            return Err(PduError::Length { function, expected: head, got: pdu.len() });
        }
        let (address, word) = (u16_at(pdu, 1), u16_at(pdu, 3));
        let request = match function {
            Function::ReadCoils => Self::ReadCoils { address, count: word },
            Function::ReadDiscreteInputs => Self::ReadDiscreteInputs { address, count: word },
            Function::ReadHoldingRegisters => Self::ReadHoldingRegisters { address, count: word },
            Function::ReadInputRegisters => Self::ReadInputRegisters { address, count: word },
            Function::WriteSingleCoil => Self::WriteSingleCoil { address, value: coil(word)? },
            Function::WriteSingleRegister => Self::WriteSingleRegister { address, value: word },
            Function::WriteMultipleCoils | Function::WriteMultipleRegisters => {
                let count = usize::from(word);
                if count == 0 || word > function.max_count() {
                    return Err(PduError::Count { function, count, max: function.max_count() });
                }
                if function == Function::WriteMultipleCoils {
                    let bytes = counted_bytes(function, &pdu[5..], count.div_ceil(8), 6)?;
                    Self::WriteMultipleCoils { address, values: unpack(bytes, count) }
                } else {
                    let bytes = counted_bytes(function, &pdu[5..], count * 2, 6)?;
                    Self::WriteMultipleRegisters { address, values: registers(bytes) }
                }
            }
        };
        request.check()?;
        Ok(request)
    }
}
