//! Every type in every order, against what the letters of the order's name say.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use ducto_modbus::value::{ORDERS, ValueError};
use ducto_modbus::{
    Address, Addressing, Client, Conversion, Framing, Options, Order, Reading, Registers, Request, Scaling, Server,
    Table, Value, ValueType,
};
use half::f16;

/// A type, its big-endian bytes, and the value they are.
fn table() -> Vec<(ValueType, Vec<u8>, Value)> {
    use Value::{Bool, Float, Int, Uint};
    use ValueType as T;
    let half = |x: f64| f16::from_f64(x).to_be_bytes().to_vec();
    vec![
        (T::Bool, vec![0, 0], Bool(false)),
        (T::Bool, vec![0, 1], Bool(true)),
        (T::Bit(0), vec![0x12, 0x35], Bool(true)),
        (T::Bit(3), vec![0x12, 0x35], Bool(false)),
        (T::Bit(12), vec![0x12, 0x35], Bool(true)),
        (T::Bit(15), vec![0x80, 0x00], Bool(true)),
        (T::I8, vec![0x00, 0x80], Int(-128)),
        (T::I8, vec![0x00, 0x7f], Int(127)),
        (T::U8, vec![0x00, 0xff], Int(255)),
        (T::I16, vec![0x80, 0x01], Int(-32767)),
        (T::I16, vec![0x7f, 0xff], Int(32767)),
        (T::U16, vec![0xff, 0xfe], Int(65534)),
        (T::I32, 0x1234_5678_i32.to_be_bytes().to_vec(), Int(0x1234_5678)),
        (T::I32, i32::MIN.to_be_bytes().to_vec(), Int(i32::MIN.into())),
        (T::U32, 0xfedc_ba98_u32.to_be_bytes().to_vec(), Int(0xfedc_ba98)),
        (T::I64, 0x0123_4567_89ab_cdef_i64.to_be_bytes().to_vec(), Int(0x0123_4567_89ab_cdef)),
        (T::I64, (-2i64).to_be_bytes().to_vec(), Int(-2)),
        (T::U64, 0xfedc_ba98_7654_3210_u64.to_be_bytes().to_vec(), Uint(0xfedc_ba98_7654_3210)),
        (T::F16, half(-1.5), Float(-1.5)),
        (T::F16, half(f64::INFINITY), Float(f64::INFINITY)),
        (T::F32, 1234.5f32.to_be_bytes().to_vec(), Float(1234.5)),
        (T::F32, (-0.1f32).to_be_bytes().to_vec(), Float((-0.1f32).into())),
        (T::F32, f32::MIN_POSITIVE.to_be_bytes().to_vec(), Float(f32::MIN_POSITIVE.into())),
        (T::F64, std::f64::consts::PI.to_be_bytes().to_vec(), Float(std::f64::consts::PI)),
        (T::F64, f64::NEG_INFINITY.to_be_bytes().to_vec(), Float(f64::NEG_INFINITY)),
        (T::Bcd16, vec![0x12, 0x34], Int(1234)),
        (T::Bcd16, vec![0x99, 0x99], Int(9999)),
        (T::Bcd32, vec![0x12, 0x34, 0x56, 0x78], Int(12_345_678)),
    ]
}

/// The order's name cut to a value of `bytes` bytes: 16 bits see only which byte comes first, 32
/// bits the letters A to D as they follow each other, 64 bits under four letters their long name.
fn letters(name: &str, bytes: usize) -> String {
    match (bytes, name) {
        (2, _) => if name.find('A') > name.find('B') { "BA" } else { "AB" }.to_owned(),
        (8, "ABCD") => "ABCDEFGH".to_owned(),
        (8, "DCBA") => "HGFEDCBA".to_owned(),
        (8, "BADC") => "BADCFEHG".to_owned(),
        (8, "CDAB") => "GHEFCDAB".to_owned(),
        _ => name.chars().filter(|letter| *letter < char::from(b'A' + bytes as u8)).collect(),
    }
}

#[test]
fn types_by_orders() {
    for (kind, bytes, value) in table() {
        for (name, order) in ORDERS {
            assert_eq!(name.parse::<Order>(), Ok(order));
            let letters = letters(name, bytes.len());
            assert_eq!(letters.len(), bytes.len());
            let wire: Vec<u8> = letters.bytes().map(|letter| bytes[usize::from(letter - b'A')]).collect();
            let registers: Vec<u16> = wire.chunks(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
            assert_eq!(registers.len(), usize::from(kind.registers()));
            assert_eq!(kind.decode(order, &registers), Ok(value.clone()), "{kind} {name}");

            // Bits and bytes keep what else is in the register.
            let mut encoded = match kind {
                ValueType::Bit(_) => registers.clone(),
                _ => vec![0; registers.len()],
            };
            kind.encode(order, &value, &mut encoded).unwrap();
            assert_eq!(encoded, registers, "{kind} {name}");
        }
    }
}

/// A scaling, and what it makes of a raw number.
type Scaled = (Option<Scaling>, fn(f64) -> f64);

fn scalings() -> Vec<Scaled> {
    let range = |raw, engineering, clamp| Some(Scaling::Range { raw, engineering, clamp });
    vec![
        (None, |raw| raw),
        (Some(Scaling::Linear { scale: 0.1, offset: -5.0 }), |raw| raw * 0.1 - 5.0),
        (Some(Scaling::Linear { scale: -2.0, offset: 0.0 }), |raw| raw * -2.0),
        (range((0.0, 4095.0), (0.0, 5000.0), false), |raw| raw / 4095.0 * 5000.0),
        (range((-100.0, 100.0), (200.0, 0.0), true), |raw| (100.0 - raw).clamp(0.0, 200.0)),
    ]
}

fn number(value: &Value) -> f64 {
    match value {
        Value::Int(number) => *number as f64,
        Value::Uint(number) => *number as f64,
        Value::Float(number) => *number,
        other => panic!("{other:?} is no number"),
    }
}

/// Over the wire, from the first registers, from some in the middle and from the last: every type, in every order, with
/// every scaling.
#[tokio::test]
async fn types_by_orders_by_scalings_up_to_register_65535() {
    let device = Arc::new(Registers::new());
    let options = Options { response_timeout: std::time::Duration::from_secs(20), ..Options::default() };
    let mut checked = 0;
    for framing in [Framing::Tcp, Framing::Rtu] {
        let server = Server::bind_framed("127.0.0.1:0", framing, device.clone()).await.unwrap();
        let scheme = if framing == Framing::Tcp { "tcp" } else { "rtu+tcp" };
        let endpoint = format!("{scheme}://{}", server.local_addr()).parse().unwrap();
        let mut client = Client::open(&endpoint, options).await.unwrap();
        for (kind, bytes, value) in table() {
            for (name, order) in ORDERS {
                let wire: Vec<u8> =
                    letters(name, bytes.len()).bytes().map(|letter| bytes[usize::from(letter - b'A')]).collect();
                let registers: Vec<u16> = wire.chunks(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
                let count = kind.registers();
                for (table, text) in [
                    (Table::HoldingRegisters, "40001".to_owned()),
                    (Table::InputRegisters, "31235".to_owned()),
                    (Table::HoldingRegisters, (465_537 - u32::from(count)).to_string()),
                    (Table::InputRegisters, (365_537 - u32::from(count)).to_string()),
                ] {
                    let at = Address::parse(&text, Addressing::FiveDigits, Some(table)).unwrap();
                    device.set(1, at, &registers);
                    let answer = client.request(1, &Request::read(at.table, at.offset, count)).await.unwrap();
                    let raw = kind.decode(order, answer.registers()).unwrap();
                    assert_eq!(raw, value, "{kind} {name} at {text}");
                    for (scaling, expected) in scalings().into_iter().filter(|_| kind.is_number()) {
                        let conversion = Conversion::new(kind, scaling, &[]).unwrap();
                        let Reading::Value(engineering) = conversion.apply(raw.clone()) else { panic!("no sentinel") };
                        let (engineering, expected) = (number(&engineering), expected(number(&raw)));
                        let near = (engineering - expected).abs() <= 1e-9 * expected.abs().max(1.0);
                        assert!(near || engineering == expected, "{kind} {scaling:?}: {engineering}, not {expected}");
                        checked += 1;
                    }
                }
            }
        }
        // Bits have no order: the last one of each table.
        for table in [Table::Coils, Table::DiscreteInputs] {
            let at = Address { table, offset: 65_535 };
            device.set_bits(1, at, &[true]);
            let answer = client.request(1, &Request::read(table, 65_535, 1)).await.unwrap();
            assert_eq!(answer.bits(), [true]);
        }
    }
    assert!(checked > 5_000, "{checked}");
}

#[test]
fn texts_of_other_encodings() {
    let latin = ValueType::Latin1(2);
    assert_eq!(latin.decode(Order::Abcd, &[0x50f3, 0xc3b3]), Ok(Value::Text("PóÃ³".into())));
    let mut written = [0; 2];
    latin.encode(Order::Badc, &Value::Text("Pó".into()), &mut written).unwrap();
    assert_eq!(written, [0xf350, 0]);
    assert!(latin.encode(Order::Abcd, &Value::Text("€".into()), &mut written).is_err());

    // One character a register, in the low byte or the high one.
    let wide = ValueType::Utf16(4);
    assert_eq!(wide.decode(Order::Abcd, &[0x50, 0xf3, 0x20ac, 0]), Ok(Value::Text("Pó€".into())));
    assert_eq!(wide.decode(Order::Badc, &[0x5000, 0x4300, 0x2000, 0x2000]), Ok(Value::Text("PC".into())));
    let mut written = [9; 4];
    wide.encode(Order::Abcd, &Value::Text("a🛢".into()), &mut written).unwrap();
    assert_eq!(wide.decode(Order::Abcd, &written), Ok(Value::Text("a🛢".into())));
    // Half of a pair is no character.
    assert_eq!(wide.decode(Order::Abcd, &[0x61, 0xd83d, 0, 0]), Ok(Value::Text("a\u{fffd}".into())));
    for kind in [ValueType::Latin1(8), ValueType::Utf16(125)] {
        assert_eq!(kind.to_string().parse(), Ok(kind));
    }
}

#[test]
fn texts_keep_their_registers_in_place() {
    let kind = ValueType::String(4);
    let big = [0x5745, 0x4c4c, 0x2d37, 0x2000];
    let small = big.map(u16::swap_bytes);
    for (name, order) in ORDERS {
        let swapped = matches!(name, "BADC" | "DCBA" | "BADCFEHG" | "HGFEDCBA");
        let registers = if swapped { small } else { big };
        assert_eq!(kind.decode(order, &registers), Ok(Value::Text("WELL-7".into())), "{name}");
        let mut encoded = [0xffff; 4];
        kind.encode(order, &Value::Text("WELL-7 ".into()), &mut encoded).unwrap();
        assert_eq!(encoded, registers, "{name}");
    }
    let latin = ValueType::String(1).decode(Order::Abcd, &[0x50f3]);
    assert_eq!(latin, Ok(Value::Text("Pó".into())), "bytes that are no UTF-8 are Latin-1");
}

#[test]
fn bits_and_bytes_keep_the_rest_of_their_register() {
    let mut register = [0xabcd];
    ValueType::Bit(0).encode(Order::Abcd, &Value::Bool(false), &mut register).unwrap();
    assert_eq!(register, [0xabcc]);
    ValueType::Bit(0).encode(Order::Badc, &Value::Bool(true), &mut register).unwrap();
    assert_eq!(register, [0xabcc], "bit 0 of the swapped register was set already");
    ValueType::I8.encode(Order::Abcd, &Value::Int(-1), &mut register).unwrap();
    assert_eq!(register, [0xabff]);
    ValueType::U8.encode(Order::Dcba, &Value::Int(1), &mut register).unwrap();
    assert_eq!(register, [0x01ff]);
}

#[test]
fn what_does_not_fit_is_refused() {
    for (kind, value) in [
        (ValueType::I16, Value::Int(32768)),
        (ValueType::U8, Value::Int(-1)),
        (ValueType::U64, Value::Int(-1)),
        (ValueType::I64, Value::Uint(u64::MAX)),
        (ValueType::Bcd16, Value::Int(10_000)),
        (ValueType::U16, Value::Float(1.0)),
        (ValueType::F32, Value::Text("1".into())),
        (ValueType::String(1), Value::Text("abc".into())),
    ] {
        let mut registers = vec![7; kind.registers().into()];
        let error = kind.encode(Order::Abcd, &value, &mut registers);
        assert_eq!(error, Err(ValueError::Unfit { kind, value }));
        assert!(registers.iter().all(|register| *register == 7), "a refused value writes nothing");
    }
    assert!(matches!(ValueType::Bcd16.decode(Order::Abcd, &[0x12a4]), Err(ValueError::Bcd { register: 0x12a4 })));
    for kind in [ValueType::F32, ValueType::Bool, ValueType::String(3)] {
        for got in (0..9).filter(|n| *n != usize::from(kind.registers())) {
            assert!(kind.decode(Order::Abcd, &vec![0; got]).is_err());
            assert!(kind.encode(Order::Abcd, &Value::Bool(true), &mut vec![0; got]).is_err());
        }
    }
}

#[test]
fn names() {
    for (kind, ..) in table() {
        assert_eq!(kind.to_string().parse(), Ok(kind));
    }
    assert_eq!("string(8)".parse(), Ok(ValueType::String(8)));
    assert_eq!(ValueType::Bit(3).to_string(), "bit(3)");
    for bad in ["", "F32", "bit", "bit(16)", "string(0)", "string(126)", "string(8", "i128"] {
        assert!(bad.parse::<ValueType>().is_err(), "{bad}");
    }
    assert!("ABDC".parse::<Order>().is_err());
}
