//! The client on a line, where frames have no ids: noise, echoes, frames of others, late and broken answers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use ducto_modbus::client::Error;
use ducto_modbus::rtu::Frame;
use ducto_modbus::server::serve;
use ducto_modbus::{
    Address, Client, Exception, Fault, Framing, Listener, Options, Registers, Request, Response, Server, Table,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

const READ: Request = Request::ReadHoldingRegisters { address: 0, count: 2 };
const PATIENT: Duration = Duration::from_secs(20);
const IMPATIENT: Duration = Duration::from_millis(40);

/// A client, and the other end of its line.
fn line() -> (Client, DuplexStream) {
    let (ours, theirs) = duplex(4096);
    let options = Options { response_timeout: PATIENT, ..Options::default() };
    (Client::over(ours, "the line", Framing::Rtu, options), theirs)
}

fn frame(unit: u8, pdu: &[u8]) -> Vec<u8> {
    Frame { unit, pdu: pdu.to_vec() }.encode().unwrap()
}

/// The answer to [`READ`].
fn answer(unit: u8, value: u8) -> Vec<u8> {
    frame(unit, &[3, 4, 0, value, 0, value])
}

async fn asked(line: &mut DuplexStream) -> Vec<u8> {
    let mut request = vec![0; 8];
    line.read_exact(&mut request).await.unwrap();
    request
}

#[tokio::test]
async fn every_function_over_a_line() {
    let registers = Arc::new(Registers::new());
    let at = |table, offset| Address { table, offset };
    registers.set(1, at(Table::HoldingRegisters, 0), &[7, 8]);
    registers.set(1, at(Table::InputRegisters, 65_535), &[0xbeef]);
    registers.set_bits(1, at(Table::Coils, 0), &[false; 10]);
    registers.set_bits(1, at(Table::DiscreteInputs, 3), &[true, false, true]);
    registers.set_long(1, 7_001, &[0x4148_0000, 0xffff_fffe]);
    let (mut client, theirs) = line();
    let device = registers.clone();
    tokio::spawn(async move { serve(theirs, Framing::Rtu, &*device).await });
    let exchanges = [
        (READ, Response::ReadHoldingRegisters(vec![7, 8])),
        (Request::ReadInputRegisters { address: 65_535, count: 1 }, Response::ReadInputRegisters(vec![0xbeef])),
        (Request::ReadDiscreteInputs { address: 3, count: 3 }, Response::ReadDiscreteInputs(vec![true, false, true])),
        (
            Request::WriteMultipleCoils { address: 0, values: vec![true; 9] },
            Response::WriteMultipleCoils { address: 0, count: 9 },
        ),
        (Request::ReadCoils { address: 7, count: 3 }, Response::ReadCoils(vec![true, true, false])),
        (
            Request::WriteMultipleRegisters { address: 0, values: vec![1, 2] },
            Response::WriteMultipleRegisters { address: 0, count: 2 },
        ),
        (Request::WriteSingleRegister { address: 1, value: 9 }, Response::WriteSingleRegister { address: 1, value: 9 }),
        (Request::WriteSingleCoil { address: 0, value: false }, Response::WriteSingleCoil { address: 0, value: false }),
        (READ, Response::ReadHoldingRegisters(vec![1, 9])),
        (
            Request::ReadLongRegisters { address: 7_001, count: 2 },
            Response::ReadHoldingRegisters(vec![0x4148, 0, 0xffff, 0xfffe]),
        ),
    ];
    for (request, response) in exchanges {
        assert_eq!(client.request(1, &request).await.unwrap(), response);
    }
    let beyond = client.request(1, &Request::ReadHoldingRegisters { address: 1, count: 2 }).await;
    assert!(matches!(beyond, Err(Error::Exception { exception: Exception::IllegalDataAddress, .. })));
    let counters = client.counters();
    assert_eq!((counters.responses, counters.exceptions), (10, 1));
    assert_eq!((counters.foreign(), counters.crc_errors, counters.garbage), (0, 0, 0));
}

#[tokio::test]
async fn an_answer_is_found_among_what_else_is_on_the_line() {
    let (mut client, mut theirs) = line();
    let line = tokio::spawn(async move {
        let noise: [&[u8]; 4] = [&[], &[0xff, 0x00, 0x11], &[7], &[7, 3, 4, 9]];
        for (value, noise) in noise.into_iter().enumerate() {
            asked(&mut theirs).await;
            let others = [answer(8, 99), frame(7, &[4, 4, 0, 99, 0, 99]), frame(7, &[3, 2, 0, 99])].concat();
            let bytes = [&others, noise, &answer(7, value as u8)].concat();
            // In pieces, as a converter might deliver them.
            for piece in bytes.chunks(5) {
                theirs.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
        }
        theirs
    });
    for value in 0..4 {
        let response = client.request(7, &READ).await.unwrap();
        assert_eq!(response.registers(), [value, value]);
    }
    let counters = client.counters();
    assert_eq!((counters.wrong_unit, counters.wrong_pdu), (4, 8), "{counters:?}");
    assert_eq!(counters.responses, 4);
    assert!(client.is_open());
    drop(line.await);
}

#[tokio::test]
async fn an_echo_is_no_answer() {
    let (mut client, mut theirs) = line();
    tokio::spawn(async move {
        for value in 1..=2 {
            let echo = asked(&mut theirs).await;
            theirs.write_all(&echo).await.unwrap();
            theirs.write_all(&answer(7, value)).await.unwrap();
        }
        // Of a write, the answer is the request again; the line has shown that the first copy is its echo.
        let echo = asked(&mut theirs).await;
        theirs.write_all(&echo).await.unwrap();
        theirs.write_all(&frame(7, &[0x86, 2])).await.unwrap();
        asked(&mut theirs).await
    });
    for value in 1..=2 {
        assert_eq!(client.request(7, &READ).await.unwrap().registers(), [value, value]);
    }
    let written = client.request(7, &Request::WriteSingleRegister { address: 0, value: 1 }).await;
    assert!(matches!(written, Err(Error::Exception { .. })), "{written:?}");
    let counters = client.counters();
    assert_eq!((counters.garbage, counters.crc_errors, counters.foreign()), (0, 0, 0));
}

#[tokio::test]
async fn a_broken_answer_is_told_before_the_timeout_and_the_next_one_is_whole() {
    let (mut client, mut theirs) = line();
    tokio::spawn(async move {
        asked(&mut theirs).await;
        let mut broken = answer(7, 1);
        broken[4] ^= 0x10;
        theirs.write_all(&broken).await.unwrap();
        asked(&mut theirs).await;
        theirs.write_all(&answer(7, 2)).await.unwrap();
        asked(&mut theirs).await
    });
    let start = Instant::now();
    let error = client.request(7, &READ).await.unwrap_err();
    assert!(matches!(error, Error::Corrupt { unit: 7, .. }), "{error}");
    assert!(start.elapsed() < PATIENT / 2);
    assert_eq!(client.request(7, &READ).await.unwrap().registers(), [2, 2]);
    assert_eq!(client.counters().crc_errors, 1);
    assert!(client.is_open());
}

/// A late answer has the shape of the one that is due: only waiting tells them apart.
#[tokio::test]
async fn a_late_answer_is_not_taken_for_the_next_one() {
    let (mut client, mut theirs) = line();
    let (late, come) = tokio::sync::oneshot::channel::<()>();
    tokio::spawn(async move {
        asked(&mut theirs).await;
        come.await.unwrap();
        theirs.write_all(&answer(7, 1)).await.unwrap();
        asked(&mut theirs).await;
        theirs.write_all(&answer(7, 2)).await.unwrap();
        asked(&mut theirs).await
    });
    let error = client.request_within(7, &READ, IMPATIENT).await.unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error}");
    late.send(()).unwrap();
    let start = Instant::now();
    assert_eq!(client.request(7, &READ).await.unwrap().registers(), [2, 2]);
    assert!(start.elapsed() >= IMPATIENT / 2, "the unit is left alone for as long as it may still answer");
    assert_eq!(client.counters().late, 1);
}

#[tokio::test]
async fn a_request_that_was_given_up_is_owed_its_answer_too() {
    let (mut client, mut theirs) = line();
    let (late, come) = tokio::sync::oneshot::channel::<()>();
    tokio::spawn(async move {
        asked(&mut theirs).await;
        come.await.unwrap();
        theirs.write_all(&answer(7, 1)).await.unwrap();
        asked(&mut theirs).await;
        theirs.write_all(&answer(8, 2)).await.unwrap();
        asked(&mut theirs).await
    });
    let given_up = tokio::time::timeout(IMPATIENT, client.request(7, &READ)).await;
    assert!(given_up.is_err());
    late.send(()).unwrap();
    // Another unit need not wait.
    assert_eq!(client.request(8, &READ).await.unwrap().registers(), [2, 2]);
}

#[tokio::test]
async fn a_babbling_line_costs_no_memory_and_times_out() {
    let (mut client, mut theirs) = line();
    let babble = tokio::spawn(async move {
        let mut sent = 0_u64;
        while theirs.write_all(&[0x55; 512]).await.is_ok() {
            sent += 512;
            tokio::task::yield_now().await;
        }
        sent
    });
    let error = client.request_within(7, &READ, IMPATIENT).await.unwrap_err();
    assert!(matches!(error, Error::Timeout { .. } | Error::Corrupt { .. }), "{error}");
    assert!(client.counters().garbage + client.counters().crc_errors > 0);
    drop(client);
    assert!(babble.await.unwrap() > 0);
}

#[tokio::test]
async fn faults_of_a_device_on_a_line_leave_the_line_open() {
    let registers = Arc::new(Registers::new());
    registers.set(1, Address { table: Table::HoldingRegisters, offset: 0 }, &[7, 8]);
    let server = Server::bind_framed("127.0.0.1:0", Framing::Rtu, registers.clone()).await.unwrap();
    let endpoint = format!("rtu+tcp://{}", server.local_addr()).parse().unwrap();
    let options = Options { response_timeout: IMPATIENT, ..Options::default() };
    let mut client = Client::open(&endpoint, options).await.unwrap();
    for fault in [
        Fault::NoAnswer,
        Fault::WrongUnit,
        Fault::WrongFunction,
        Fault::Corrupt,
        Fault::Garbage(vec![0xfe; 7]),
        Fault::Exception(Exception::DeviceBusy),
    ] {
        registers.set_fault(1, Some(fault.clone()));
        let error = client.request(1, &READ).await.unwrap_err();
        let expected = match fault {
            Fault::Corrupt => matches!(error, Error::Corrupt { .. } | Error::Timeout { .. }),
            Fault::Exception(_) => matches!(error, Error::Exception { .. } | Error::Timeout { .. }),
            _ => matches!(error, Error::Timeout { .. }),
        };
        assert!(expected, "{fault:?}: {error}");
        registers.set_fault(1, None);
        // A loaded machine may miss some.
        while client.request(1, &READ).await.is_err() {
            assert!(client.is_open());
        }
    }
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn a_device_dials_in_and_the_newest_connection_counts() {
    let listener = Listener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr();
    let options = Options { connect_timeout: IMPATIENT, response_timeout: PATIENT, ..Options::default() };
    let error = Client::accept(&listener, Framing::Tcp, options).await.unwrap_err();
    assert!(matches!(error, Error::NobodyCame { .. }), "{error}");

    let registers = Arc::new(Registers::new());
    registers.set(1, Address { table: Table::HoldingRegisters, offset: 0 }, &[7, 8]);
    let _dead = tokio::net::TcpStream::connect(address).await.unwrap();
    listener.arrived().await;
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let device = tokio::spawn(async move { serve(stream, Framing::Tcp, &*registers).await });
    let options = Options { connect_timeout: PATIENT, ..options };
    // Both are there, or the second one comes a moment later.
    let mut client = Client::accept(&listener, Framing::Tcp, options).await.unwrap();
    while client.request_within(1, &READ, IMPATIENT).await.is_err() {
        if let Some((stream, from)) = listener.take() {
            client = Client::over_tcp(stream, &from.to_string(), Framing::Tcp, options);
        }
    }
    assert!(client.request(1, &READ).await.is_ok());
    device.abort();
    let _ = device.await;
    while client.request_within(1, &READ, IMPATIENT).await.is_ok() {}
    assert!(!client.is_open());
}

#[tokio::test]
async fn quiet_times_of_a_line_are_kept() {
    let pause = Duration::from_millis(30);
    let (ours, theirs) = duplex(4096);
    let registers = Arc::new(Registers::new());
    for unit in [1, 2] {
        registers.set(unit, Address { table: Table::HoldingRegisters, offset: 0 }, &[7, 8]);
    }
    tokio::spawn(async move { serve(theirs, Framing::Rtu, &*registers).await });
    let options = Options {
        response_timeout: PATIENT,
        turnaround: 3 * pause,
        inter_frame_gap: Some(pause),
        ..Options::default()
    };
    let mut client = Client::over(ours, "the line", Framing::Rtu, options);
    client.request(1, &READ).await.unwrap();
    let start = Instant::now();
    client.request(1, &READ).await.unwrap();
    assert!(start.elapsed() >= pause, "between frames");
    let start = Instant::now();
    client.request(2, &READ).await.unwrap();
    assert!(start.elapsed() >= 3 * pause, "before another unit");
}
