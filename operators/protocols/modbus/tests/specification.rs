//! Requests and answers, byte by byte.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use ducto_modbus::pdu::encode_exception;
use ducto_modbus::{Exception, Function, PduError, Request, Response};

/// The examples of the Modbus Application Protocol Specification V1.1b3, §6.
#[test]
fn specification_examples() {
    let bits = |text: &str| text.chars().filter(|c| *c != ' ').map(|c| c == '1').collect::<Vec<_>>();
    let cases: [(Request, &[u8], Response, &[u8]); 8] = [
        (
            Request::ReadCoils { address: 0x13, count: 19 },
            &[1, 0, 0x13, 0, 0x13],
            Response::ReadCoils(bits("10110011 11010110 101")),
            &[1, 3, 0xcd, 0x6b, 0x05],
        ),
        (
            Request::ReadDiscreteInputs { address: 0xc4, count: 22 },
            &[2, 0, 0xc4, 0, 0x16],
            Response::ReadDiscreteInputs(bits("00110101 11011011 101011")),
            &[2, 3, 0xac, 0xdb, 0x35],
        ),
        (
            Request::ReadHoldingRegisters { address: 0x6b, count: 3 },
            &[3, 0, 0x6b, 0, 3],
            Response::ReadHoldingRegisters(vec![0x022b, 0, 0x64]),
            &[3, 6, 2, 0x2b, 0, 0, 0, 0x64],
        ),
        (
            Request::ReadInputRegisters { address: 8, count: 1 },
            &[4, 0, 8, 0, 1],
            Response::ReadInputRegisters(vec![10]),
            &[4, 2, 0, 0x0a],
        ),
        (
            Request::WriteSingleCoil { address: 0xac, value: true },
            &[5, 0, 0xac, 0xff, 0],
            Response::WriteSingleCoil { address: 0xac, value: true },
            &[5, 0, 0xac, 0xff, 0],
        ),
        (
            Request::WriteSingleRegister { address: 1, value: 3 },
            &[6, 0, 1, 0, 3],
            Response::WriteSingleRegister { address: 1, value: 3 },
            &[6, 0, 1, 0, 3],
        ),
        (
            Request::WriteMultipleCoils { address: 0x13, values: bits("10110011 10") },
            &[15, 0, 0x13, 0, 10, 2, 0xcd, 1],
            Response::WriteMultipleCoils { address: 0x13, count: 10 },
            &[15, 0, 0x13, 0, 10],
        ),
        (
            Request::WriteMultipleRegisters { address: 1, values: vec![0x0a, 0x0102] },
            &[16, 0, 1, 0, 2, 4, 0, 0x0a, 1, 2],
            Response::WriteMultipleRegisters { address: 1, count: 2 },
            &[16, 0, 1, 0, 2],
        ),
    ];
    for (request, asked, response, answered) in cases {
        assert_eq!(request.encode().unwrap(), asked);
        assert_eq!(Request::decode(asked).unwrap(), request);
        assert_eq!(response.encode().unwrap(), answered);
        assert_eq!(Response::decode(&request, answered).unwrap(), Ok(response));
        let refused = encode_exception(asked[0], Exception::DeviceFailure);
        assert_eq!(Response::decode(&request, &refused).unwrap(), Err(Exception::DeviceFailure));
        for cut in 0..answered.len() {
            assert!(Response::decode(&request, &answered[..cut]).is_err(), "{request:?} cut to {cut}");
        }
        for cut in 0..asked.len() {
            assert!(Request::decode(&asked[..cut]).is_err(), "{request:?} cut to {cut}");
        }
    }
}

#[test]
fn errors_say_what_was_wrong() {
    use Function::{ReadHoldingRegisters as Read, WriteMultipleRegisters, WriteSingleRegister as Write};
    let read = Request::ReadHoldingRegisters { address: 0, count: 2 };
    let write = Request::WriteSingleRegister { address: 7, value: 9 };
    let cases: [(&Request, &[u8], PduError); 8] = [
        (&read, &[], PduError::Empty),
        (&read, &[4, 4, 0, 0, 0, 0], PduError::WrongFunction { expected: Read, got: 4 }),
        (&read, &[3, 2, 0, 0], PduError::ByteCount { function: Read, expected: 4, got: 2 }),
        (&read, &[3, 4, 0, 0], PduError::Length { function: Read, expected: 6, got: 4 }),
        (&read, &[0x83], PduError::ExceptionLength { function: Read, got: 1 }),
        (&write, &[6, 0, 8, 0, 9], PduError::Echo { function: Write, field: "offset", sent: 7, got: 8 }),
        (&write, &[6, 0, 7, 0, 1], PduError::Echo { function: Write, field: "value", sent: 9, got: 1 }),
        (&write, &[6, 0, 7, 0, 9, 0], PduError::Length { function: Write, expected: 5, got: 6 }),
    ];
    for (request, pdu, error) in cases {
        assert_eq!(Response::decode(request, pdu), Err(error));
    }
    let requests: [(&[u8], PduError, u8); 6] = [
        (&[43, 14, 1, 0], PduError::UnknownFunction(43), 1),
        (&[3, 0, 0, 0, 0], PduError::Count { function: Read, count: 0, max: 125 }, 3),
        (&[3, 0, 0, 0, 126], PduError::Count { function: Read, count: 126, max: 125 }, 3),
        (&[3, 255, 255, 0, 2], PduError::AddressRange { function: Read, address: 65535, count: 2 }, 2),
        (&[5, 0, 0, 0xff, 1], PduError::CoilValue(0xff01), 3),
        (
            &[16, 0, 0, 0, 1, 4, 0, 0, 0, 0],
            PduError::ByteCount { function: WriteMultipleRegisters, expected: 2, got: 4 },
            3,
        ),
    ];
    for (pdu, error, exception) in requests {
        assert_eq!(error.exception().code(), exception);
        assert_eq!(Request::decode(pdu), Err(error));
    }
    assert!(Request::decode(&[3, 255, 255, 0, 1]).is_ok(), "offset 65535 can be read");
}
