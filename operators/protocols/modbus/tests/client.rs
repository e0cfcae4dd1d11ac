//! The client against the server, well behaved and not.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::time::Duration;

use ducto_modbus::client::{Counters, Error};
use ducto_modbus::{
    Address, Client, Exception, Fault, Options, Order, PduError, Registers, Request, Response, Server, Table, Value,
    ValueType,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const READ: Request = Request::ReadHoldingRegisters { address: 0, count: 2 };

fn at(table: Table, offset: u16) -> Address {
    Address { table, offset }
}

/// Long enough for a loaded machine where an answer is due.
fn patient() -> Options {
    Options { response_timeout: Duration::from_secs(20), ..Options::default() }
}

/// Short where none will come.
fn impatient() -> Options {
    Options { response_timeout: Duration::from_millis(30), ..Options::default() }
}

async fn device() -> (Arc<Registers>, Server) {
    let registers = Arc::new(Registers::new());
    registers.set(1, at(Table::HoldingRegisters, 0), &[7, 8]);
    let server = Server::bind("127.0.0.1:0", registers.clone()).await.unwrap();
    (registers, server)
}

async fn connect(server: &Server, options: Options) -> Client {
    Client::connect(&server.local_addr().to_string(), options).await.unwrap()
}

#[tokio::test]
async fn every_function() {
    let (registers, server) = device().await;
    registers.set_bits(1, at(Table::Coils, 65_526), &[false; 10]);
    registers.set_bits(1, at(Table::DiscreteInputs, 3), &[true, false, true]);
    registers.set(1, at(Table::InputRegisters, 65_535), &[0xbeef, 1]);
    let flow = at(Table::HoldingRegisters, 100);
    registers.set_value(1, flow, ValueType::F32, Order::Cdab, &Value::Float(12.5)).unwrap();

    let mut client = connect(&server, patient()).await;
    let pattern: Vec<bool> = (0..10).map(|i| i % 3 == 0).collect();
    let exchanges = [
        (READ, Response::ReadHoldingRegisters(vec![7, 8])),
        (
            Request::WriteMultipleCoils { address: 65_526, values: pattern.clone() },
            Response::WriteMultipleCoils { address: 65_526, count: 10 },
        ),
        (Request::ReadCoils { address: 65_526, count: 10 }, Response::ReadCoils(pattern)),
        (
            Request::WriteSingleCoil { address: 65_535, value: false },
            Response::WriteSingleCoil { address: 65_535, value: false },
        ),
        (Request::ReadDiscreteInputs { address: 3, count: 3 }, Response::ReadDiscreteInputs(vec![true, false, true])),
        (Request::ReadInputRegisters { address: 65_535, count: 1 }, Response::ReadInputRegisters(vec![0xbeef])),
        (
            Request::WriteMultipleRegisters { address: 0, values: vec![1, 2] },
            Response::WriteMultipleRegisters { address: 0, count: 2 },
        ),
        (Request::WriteSingleRegister { address: 1, value: 9 }, Response::WriteSingleRegister { address: 1, value: 9 }),
        (READ, Response::ReadHoldingRegisters(vec![1, 9])),
    ];
    for (request, response) in exchanges {
        assert_eq!(client.request(1, &request).await.unwrap(), response);
    }
    assert_eq!(registers.get(1, at(Table::Coils, 65_535)), Some(0));
    let answer = client.request(1, &Request::read(flow.table, flow.offset, 2)).await.unwrap();
    assert_eq!(ValueType::F32.decode(Order::Cdab, answer.registers()), Ok(Value::Float(12.5)));
    assert_eq!(client.counters(), Counters { requests: 10, responses: 10, ..Counters::default() });
    assert_eq!(registers.requests(), 10);
}

#[tokio::test]
async fn exceptions_are_said_and_the_connection_stays() {
    let (registers, server) = device().await;
    let mut client = connect(&server, patient()).await;
    registers.set_fault(9, Some(Fault::Exception(Exception::DeviceBusy)));
    registers.set(1, at(Table::HoldingRegisters, 10), &[1, 2, 3]);
    registers.remove(1, at(Table::HoldingRegisters, 11), 1);
    let beyond = Request::ReadHoldingRegisters { address: 10, count: 3 };
    for (unit, request, expected) in [
        (1, &beyond, Exception::IllegalDataAddress),
        (2, &READ, Exception::GatewayTargetFailedToRespond),
        (9, &READ, Exception::DeviceBusy),
    ] {
        match client.request(unit, request).await {
            Err(Error::Exception { exception, .. }) => assert_eq!(exception, expected),
            other => panic!("{other:?}"),
        }
    }
    let too_many = Request::ReadHoldingRegisters { address: 0, count: 126 };
    let refused = client.request(1, &too_many).await;
    assert!(matches!(refused, Err(Error::Request(PduError::Count { count: 126, .. }))));
    assert!(client.request(1, &READ).await.is_ok());
    assert_eq!((client.counters().exceptions, client.counters().requests), (3, 4));
}

#[tokio::test]
async fn a_dead_unit_times_out_and_the_others_answer() {
    let (registers, server) = device().await;
    registers.set_fault(5, Some(Fault::NoAnswer));
    let mut client = connect(&server, impatient()).await;
    let error = client.request(5, &READ).await.unwrap_err();
    assert!(matches!(error, Error::Timeout { unit: 5, foreign: 0, .. }), "{error}");
    assert!(client.is_open());
    assert_eq!(client.counters().timeouts, 1);
    while client.request(1, &READ).await.is_err() {
        assert!(client.is_open());
    }
}

#[tokio::test]
async fn wrong_units_and_transactions_are_refused() {
    let (registers, server) = device().await;
    let mut client = connect(&server, patient()).await;
    registers.set_fault(1, Some(Fault::WrongUnit));
    let error = client.request(1, &READ).await.unwrap_err();
    assert!(matches!(error, Error::WrongUnit { unit: 1, got: 2, .. }), "{error}");
    registers.set_fault(1, None);
    assert!(client.request(1, &READ).await.is_ok());
    assert_eq!(client.counters().wrong_unit, 1);

    registers.set_fault(1, Some(Fault::WrongTransaction));
    let mut client = connect(&server, impatient()).await;
    while client.counters().wrong_transaction == 0 {
        let error = client.request(1, &READ).await.unwrap_err();
        assert!(matches!(error, Error::Timeout { .. }), "{error}");
    }
    assert!(client.is_open());
}

#[tokio::test]
async fn garbage_and_broken_connections_close() {
    let (registers, server) = device().await;
    registers.set_fault(1, Some(Fault::Garbage(b"HTTP/1.1 400 Bad Request".to_vec())));
    let mut client = connect(&server, patient()).await;
    let error = client.request(1, &READ).await.unwrap_err();
    assert!(matches!(error, Error::Garbage { .. }), "{error}");
    assert!(error.to_string().contains("protocol id"), "{error}");
    assert!(!client.is_open());
    assert_eq!(client.counters().garbage, 1);
    assert!(matches!(client.request(1, &READ).await, Err(Error::Closed { .. })));

    registers.set_fault(1, Some(Fault::Close));
    let mut client = connect(&server, patient()).await;
    assert!(matches!(client.request(1, &READ).await, Err(Error::Io { .. })));
    assert!(!client.is_open());

    registers.set_fault(1, None);
    let mut client = connect(&server, patient()).await;
    assert!(client.request(1, &READ).await.is_ok());
    server.disconnect_all();
    // Seen before the request is sent, or only behind it.
    assert!(matches!(client.request(1, &READ).await, Err(Error::Io { .. } | Error::Closed { .. })));
    assert_eq!(server.accepted(), 3);

    let address = server.local_addr().to_string();
    drop(server);
    // The port closes when the server's task is next scheduled.
    while Client::connect(&address, patient()).await.is_ok() {
        tokio::task::yield_now().await;
    }
    let error = Client::connect(&address, patient()).await.unwrap_err();
    assert!(matches!(error, Error::Connect { .. }) && error.to_string().contains(&address), "{error}");
}

/// A device that answers only once it has two requests, the first one's answer first.
#[tokio::test]
async fn late_answers_are_discarded() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let device = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut requests = [0; 24];
        stream.read_exact(&mut requests).await.unwrap();
        for (request, value) in requests.chunks(12).zip([1, 2]) {
            let answer = [request[0], request[1], 0, 0, 0, 7, request[6], 3, 4, 0, value, 0, value];
            // In pieces, as a modem might deliver them.
            for piece in answer.chunks(3) {
                stream.write_all(piece).await.unwrap();
                stream.flush().await.unwrap();
            }
        }
        stream
    });
    let options = Options { response_timeout: Duration::from_secs(20), ..Options::default() };
    let mut client = Client::connect(&address, options).await.unwrap();
    // The caller gives up on the first request before the client does.
    let given_up = tokio::time::timeout(Duration::from_millis(30), client.request(1, &READ)).await;
    assert!(given_up.is_err());
    assert!(client.is_open());
    let second = client.request(1, &READ).await.unwrap();
    assert_eq!(second.registers(), [2, 2], "the first request's answer is not taken for the second's");
    assert_eq!(client.counters().late, 1);
    assert_eq!(client.counters().wrong_transaction, 0);
    device.await.unwrap();
}

#[tokio::test]
async fn answers_to_timed_out_requests_come_late() {
    let (registers, server) = device().await;
    registers.set_fault(1, Some(Fault::Late(Duration::from_millis(300))));
    registers.set(2, at(Table::HoldingRegisters, 0), &[20, 21]);
    let mut client = connect(&server, impatient()).await;
    assert!(matches!(client.request(1, &READ).await, Err(Error::Timeout { .. })));
    // The device is busy with the late answer; unit 2 answers once that is out.
    loop {
        match client.request(2, &READ).await {
            Ok(response) => {
                assert_eq!(response.registers(), [20, 21]);
                break;
            }
            Err(Error::Timeout { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    assert!(client.counters().late >= 1, "{:?}", client.counters());
    assert_eq!(client.counters().wrong_transaction, 0);
}

/// A device whose every answer is for function 4.
#[tokio::test]
async fn answers_for_another_function_are_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let device = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 12];
        stream.read_exact(&mut request).await.unwrap();
        stream.write_all(&[request[0], request[1], 0, 0, 0, 7, 1, 4, 4, 0, 1, 0, 1]).await.unwrap();
        stream
    });
    let mut client = Client::connect(&address, patient()).await.unwrap();
    let error = client.request(1, &READ).await.unwrap_err();
    assert!(matches!(error, Error::Answer { source: PduError::WrongFunction { got: 4, .. }, .. }), "{error}");
    assert_eq!(client.counters().wrong_pdu, 1);
    device.await.unwrap();
}

#[tokio::test]
async fn pauses_are_kept() {
    let (_registers, server) = device().await;
    let pause = Duration::from_millis(40);
    let options = Options { pause_after_connect: pause, pause_between_requests: pause, ..patient() };
    let start = std::time::Instant::now();
    let mut client = connect(&server, options).await;
    for n in 1..=3 {
        client.request(1, &READ).await.unwrap();
        assert!(start.elapsed() >= pause * n);
    }
}
