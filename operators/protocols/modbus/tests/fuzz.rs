//! Seeded mutation of valid frames through every decoder: none panics, and what decodes encodes to
//! the bytes it came from. `PROPTEST_CASES` makes it longer.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use ducto_modbus::address::{Address, Addressing, TABLES};
use ducto_modbus::pdu::{Reply, encode_exception};
use ducto_modbus::value::ORDERS;
use ducto_modbus::{Endpoint, Exception, Request, Response, Value, ValueType, rtu, tcp};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::RngSeed;

fn seeded() -> ProptestConfig {
    let default = ProptestConfig::default();
    ProptestConfig { cases: default.cases.max(3000), rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..default }
}

fn request() -> impl Strategy<Value = Request> {
    let at = 0u16..63_000;
    prop_oneof![
        (0usize..4, at.clone(), 1u16..=2000).prop_map(|(table, address, count)| {
            let table = TABLES[table].1;
            Request::read(table, address, if table.is_bits() { count } else { count % 125 + 1 })
        }),
        (at.clone(), 1u16..=62).prop_map(|(address, count)| Request::ReadLongRegisters { address, count }),
        (at.clone(), any::<bool>()).prop_map(|(address, value)| Request::WriteSingleCoil { address, value }),
        (at.clone(), any::<u16>()).prop_map(|(address, value)| Request::WriteSingleRegister { address, value }),
        (at.clone(), prop::collection::vec(any::<bool>(), 1..=1968))
            .prop_map(|(address, values)| Request::WriteMultipleCoils { address, values }),
        (at, prop::collection::vec(any::<u16>(), 1..=123))
            .prop_map(|(address, values)| Request::WriteMultipleRegisters { address, values }),
    ]
}

/// A right answer to `request`, its values out of `seed`.
fn response(request: &Request, seed: u16) -> Response {
    let value = |i: usize| (i as u16).wrapping_mul(seed);
    let bits = |count: u16| (0..count.into()).map(|i| value(i) & 1 == 1).collect();
    let registers = |count: u16| (0..count.into()).map(value).collect();
    match request {
        Request::ReadCoils { count, .. } => Response::ReadCoils(bits(*count)),
        Request::ReadDiscreteInputs { count, .. } => Response::ReadDiscreteInputs(bits(*count)),
        Request::ReadHoldingRegisters { count, .. } => Response::ReadHoldingRegisters(registers(*count)),
        Request::ReadInputRegisters { count, .. } => Response::ReadInputRegisters(registers(*count)),
        Request::ReadLongRegisters { count, .. } => Response::ReadHoldingRegisters(registers(2 * count)),
        Request::WriteSingleCoil { address, value } => Response::WriteSingleCoil { address: *address, value: *value },
        Request::WriteSingleRegister { address, value } => {
            Response::WriteSingleRegister { address: *address, value: *value }
        }
        Request::WriteMultipleCoils { address, values } => {
            Response::WriteMultipleCoils { address: *address, count: values.len() as u16 }
        }
        Request::WriteMultipleRegisters { address, values } => {
            Response::WriteMultipleRegisters { address: *address, count: values.len() as u16 }
        }
    }
}

#[derive(Debug, Clone)]
enum Mutation {
    Flip(Index, u8),
    Set(Index, u8),
    Truncate(Index),
    Extend(Vec<u8>),
    /// Puts a part of the bytes somewhere else.
    Splice(Index, Index, Index),
    Remove(Index),
}

fn mutations() -> impl Strategy<Value = Vec<Mutation>> {
    let index = any::<Index>;
    let one = prop_oneof![
        (index(), 0u8..8).prop_map(|(at, bit)| Mutation::Flip(at, bit)),
        (index(), prop_oneof![Just(0), Just(0xff), any::<u8>()]).prop_map(|(at, b)| Mutation::Set(at, b)),
        index().prop_map(Mutation::Truncate),
        prop::collection::vec(any::<u8>(), 1..20).prop_map(Mutation::Extend),
        (index(), index(), index()).prop_map(|(a, b, c)| Mutation::Splice(a, b, c)),
        index().prop_map(Mutation::Remove),
    ];
    prop::collection::vec(one, 0..4)
}

fn mutate(mut bytes: Vec<u8>, mutations: &[Mutation]) -> Vec<u8> {
    for mutation in mutations {
        let within = |index: &Index, bytes: &[u8]| index.index(bytes.len() + 1);
        match mutation {
            Mutation::Extend(more) => bytes.extend(more),
            Mutation::Splice(from, to, at) => {
                let (a, b) = (within(from, &bytes), within(to, &bytes));
                let part = bytes[a.min(b)..a.max(b)].to_vec();
                let at = within(at, &bytes);
                bytes.splice(at..at, part);
            }
            _ if bytes.is_empty() => {}
            Mutation::Flip(at, bit) => *at.get_mut(&mut bytes) ^= 1 << bit,
            Mutation::Set(at, byte) => *at.get_mut(&mut bytes) = *byte,
            Mutation::Truncate(at) => bytes.truncate(at.index(bytes.len())),
            Mutation::Remove(at) => {
                bytes.remove(at.index(bytes.len()));
            }
        }
    }
    bytes
}

/// Clears the bits after the last of `count`, which a receiver ignores.
fn without_padding(mut pdu: Vec<u8>, count: usize) -> Vec<u8> {
    if let Some(last) = pdu.last_mut().filter(|_| !count.is_multiple_of(8)) {
        *last &= (1u8 << (count % 8)) - 1;
    }
    pdu
}

fn check_request(pdu: &[u8]) -> Result<(), TestCaseError> {
    if let Ok(request) = Request::decode(pdu) {
        let sent = match &request {
            Request::WriteMultipleCoils { values, .. } => without_padding(pdu.to_vec(), values.len()),
            _ => pdu.to_vec(),
        };
        prop_assert_eq!(request.encode(), Ok(sent));
    }
    Ok(())
}

fn check_response(request: &Request, pdu: &[u8]) -> Result<(), TestCaseError> {
    let encoded = |reply: &Reply| match reply {
        Ok(response) => response.encode(),
        Err(exception) => Ok(encode_exception(request.function().code(), *exception)),
    };
    if let Ok(reply) = Response::decode(request, pdu) {
        let sent = match &reply {
            Ok(response) => without_padding(pdu.to_vec(), response.bits().len()),
            Err(_) => pdu.to_vec(),
        };
        prop_assert_eq!(encoded(&reply), Ok(sent));
    }
    Ok(())
}

proptest! {
    #![proptest_config(seeded())]

    #[test]
    fn pdus(request in request(), seed in any::<u16>(), mutations in mutations()) {
        let right = response(&request, seed);
        // On the wire a read of long registers is one of plain ones.
        let seen = match request.clone() {
            Request::ReadLongRegisters { address, count } => Request::ReadHoldingRegisters { address, count },
            other => other,
        };
        prop_assert_eq!(Request::decode(&request.encode().unwrap()), Ok(seen));
        prop_assert_eq!(Response::decode(&request, &right.encode().unwrap()), Ok(Ok(right.clone())));
        let asked = mutate(request.encode().unwrap(), &mutations);
        let answered = mutate(right.encode().unwrap(), &mutations);
        let refused = mutate(encode_exception(asked.first().copied().unwrap_or(3), Exception::from_code(seed as u8)), &mutations);
        for pdu in [asked, answered, refused] {
            check_request(&pdu)?;
            check_response(&request, &pdu)?;
        }
    }

    #[test]
    fn tcp_streams(
        requests in prop::collection::vec(request(), 1..4),
        mutations in mutations(),
        chunk in 1usize..300,
    ) {
        let frames = requests.iter().enumerate().map(|(i, request)| {
            tcp::Frame { transaction: i as u16 * 999, unit: i as u8, pdu: request.encode().unwrap() }
        });
        let bytes = mutate(frames.flat_map(|frame| frame.encode().unwrap()).collect(), &mutations);
        let mut decoder = tcp::Decoder::new();
        let mut again = Vec::new();
        for part in bytes.chunks(chunk) {
            decoder.push(part);
            while let Ok(Some(frame)) = decoder.next_frame() {
                check_request(&frame.pdu)?;
                again.extend(frame.encode().unwrap());
            }
        }
        prop_assert_eq!(again.len() + decoder.pending(), bytes.len());
        prop_assert!(bytes.starts_with(&again));
    }

    #[test]
    fn rtu_lines(
        requests in prop::collection::vec(request(), 1..4),
        mutations in mutations(),
        chunk in 1usize..300,
        silences in any::<u64>(),
    ) {
        for side in [rtu::Side::Requests, rtu::Side::Responses] {
            let frames = requests.iter().map(|request| {
                let pdu = match side {
                    rtu::Side::Requests => request.encode(),
                    rtu::Side::Responses => response(request, 7).encode(),
                };
                rtu::Frame { unit: 5, pdu: pdu.unwrap() }.encode().unwrap()
            });
            let whole: Vec<Vec<u8>> = frames.collect();
            let bytes = mutate(whole.concat(), &mutations);
            let mut decoder = rtu::Decoder::new(side);
            let (mut used, mut count) = (0, 0);
            let mut rest = &bytes[..];
            let parts = bytes.chunks(chunk).map(Some).chain([None]);
            for (i, part) in parts.enumerate() {
                match part {
                    Some(part) => decoder.push(part),
                    None => decoder.silence(),
                }
                if !mutations.is_empty() && silences >> (i % 64) & 1 == 1 {
                    decoder.silence();
                }
                while let Some(frame) = decoder.next_frame() {
                    let again = frame.encode().unwrap();
                    let at = rest.windows(again.len()).position(|window| window == again);
                    prop_assert!(at.is_some(), "a frame that is not in the bytes");
                    rest = &rest[at.unwrap() + again.len()..];
                    used += again.len();
                    count += 1;
                }
            }
            prop_assert_eq!(used as u64 + decoder.discarded().bytes, bytes.len() as u64);
            if mutations.is_empty() {
                prop_assert_eq!(count, whole.len());
            }
        }
    }

    #[test]
    fn values(registers in prop::collection::vec(any::<u16>(), 0..9), length in 0u16..9) {
        use ValueType::*;
        let kinds = [
            Bool, Bit(0), Bit(9), Bit(200), I8, U8, I16, U16, I32, U32, I64, U64, F16, F32, F64, Bcd16, Bcd32,
            String(length), String(u16::MAX), Latin1(length), Utf16(length),
        ];
        for kind in kinds {
            for (_, order) in ORDERS {
                let Ok(value) = kind.decode(order, &registers) else { continue };
                if matches!(value, Value::Float(x) if x.is_nan()) {
                    continue;
                }
                let mut again = if let Bit(_) | I8 | U8 = kind { registers.clone() } else { vec![0; registers.len()] };
                let encoded = kind.encode(order, &value, &mut again);
                if kind.is_text() {
                    // Latin-1 grows when written as UTF-8, and what follows a NUL is not kept.
                    prop_assert!(encoded.is_err() || kind.decode(order, &again) == Ok(value));
                } else if kind == Bool {
                    prop_assert_eq!(kind.decode(order, &again), Ok(value));
                } else {
                    prop_assert_eq!(&again, &registers);
                }
            }
        }
    }

    #[test]
    fn texts(
        text in prop_oneof![
            "[0-9]{1,6}", "\\PC{0,8}", "(bit|string|f32|bcd16)[(]?[0-9]{0,3}[)]?", "[A-H]{4}([A-H]{4})?",
        ],
        table in prop::option::of(0usize..4),
    ) {
        let table = table.map(|i| TABLES[i].1);
        for addressing in [Addressing::Zero, Addressing::One, Addressing::FiveDigits, Addressing::SixDigits] {
            if let Ok(address) = Address::parse(&text, addressing, table) {
                let again = address.in_notation(addressing);
                prop_assert_eq!(Address::parse(&again, addressing, Some(address.table)), Ok(address));
            }
        }
        if let Ok(kind) = text.parse::<ValueType>() {
            prop_assert_eq!(kind.to_string().parse(), Ok(kind));
        }
        let _ = text.parse::<ducto_modbus::Order>();
    }

    #[test]
    fn endpoints(
        base in prop::sample::select(&[
            "tcp://10.0.0.5:502", "rtu+tcp://moxa.field:4001", "tcp-listen://[::]:5021", "rtu+tcp-listen://0.0.0.0:1",
            "serial:///dev/ttyUSB0?baud=9600&parity=none&stop=2",
        ]),
        mutations in mutations(),
    ) {
        let text = String::from_utf8_lossy(&mutate(base.as_bytes().to_vec(), &mutations)).into_owned();
        match text.parse::<Endpoint>() {
            Ok(endpoint) => {
                let written = endpoint.to_string();
                prop_assert_eq!(written.parse::<Endpoint>(), Ok(endpoint.clone()), "{}", written);
                if let Endpoint::Serial { line, .. } = endpoint {
                    prop_assert!(line.silence() > std::time::Duration::ZERO);
                }
            }
            Err(error) => prop_assert!(error.to_string().contains(": "), "{} says nothing to do", error),
        }
    }

    /// Whatever stands around it, the answer to a request is found, and nothing else is taken for it.
    #[test]
    fn answers_on_a_line(
        request in request(),
        seed in any::<u16>(),
        unit in any::<u8>(),
        before in prop::collection::vec(any::<u8>(), 0..300),
        mutations in mutations(),
    ) {
        let right = rtu::Frame { unit, pdu: response(&request, seed).encode().unwrap() };
        let frame = right.encode().unwrap();
        let bytes = [&before[..], &frame, &before].concat();
        let rtu::Answer::At(range) = rtu::find_answer(&bytes, unit, &request) else {
            return Err(TestCaseError::fail("not found"));
        };
        prop_assert!(range.end <= before.len() + frame.len());
        let bytes = mutate(bytes, &mutations);
        if let rtu::Answer::At(range) = rtu::find_answer(&bytes, unit, &request) {
            let (body, tail) = bytes[range.clone()].split_at(range.len() - 2);
            prop_assert_eq!(rtu::crc(body).to_le_bytes(), tail);
            prop_assert_eq!(body[0], unit);
            prop_assert!(body[1] & 0x7f == request.function().code());
        }
    }
}
