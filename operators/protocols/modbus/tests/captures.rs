//! Exchanges captured from real devices, against what tshark makes of them.
//!
//! The captures lie beside the project, in the folder that `DUCTO_SHARED_DATA` names, or in
//! `../shared/data` seen from the workspace. Without them the test has nothing to do.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use ducto_modbus::pdu::Reply;
use ducto_modbus::tcp::{Decoder, Frame};
use ducto_modbus::{Function, Request, Response};

/// A capture, the CSV of its fields, and how many of its requests and answers are compared: those of
/// functions this crate speaks, in frames where every PDU decodes (answers against their request).
const CAPTURES: [(&str, &str, usize, usize); 6] = [
    ("ModbusTCP", "ModbusTCP_ModbusTCP", 2036, 2025),
    ("mb2", "ModbusTCP_mb2", 1789, 1783),
    ("modbus_test", "ModbusTCP_Modbus_modbus_test", 1142, 1113),
    ("modbus_test_2", "ModbusTCP_Modbus_modbus_test_2", 1800, 1198),
    ("modbus_test_data_part1", "ModbusTCP_modbus_test_data_part1", 6, 6),
    ("modbus_test_data_part2", "ModbusTCP_modbus_test_data_part2", 14, 13),
];

fn folder() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../../shared/data");
    let data = std::env::var_os("DUCTO_SHARED_DATA").map_or_else(beside, PathBuf::from);
    Some(data.join("captures")).filter(|captures| captures.is_dir())
}

/// One TCP segment of a capture that carries something.
struct Segment<'a> {
    /// Counted from 1, as tshark does.
    number: usize,
    from: ([u8; 4], u16),
    to: ([u8; 4], u16),
    payload: &'a [u8],
}

/// The TCP segments of a classic pcap of Ethernet frames.
fn segments(pcap: &[u8]) -> Vec<Segment<'_>> {
    let little = match pcap[..4] {
        [0xd4, 0xc3, 0xb2, 0xa1] => true,
        [0xa1, 0xb2, 0xc3, 0xd4] => false,
        _ => panic!("no classic pcap"),
    };
    let u32_at = |at: usize| {
        let bytes = [pcap[at], pcap[at + 1], pcap[at + 2], pcap[at + 3]];
        (if little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) }) as usize
    };
    assert_eq!(u32_at(20), 1, "link type Ethernet");
    let mut out = Vec::new();
    let (mut at, mut number) = (24, 0);
    while at + 16 <= pcap.len() {
        number += 1;
        let frame = &pcap[at + 16..at + 16 + u32_at(at + 8)];
        at += 16 + frame.len();
        let u16_at = |at: usize| u16::from_be_bytes([frame[at], frame[at + 1]]);
        if frame.len() < 54 || u16_at(12) != 0x0800 || frame[23] != 6 {
            continue;
        }
        let tcp = 14 + usize::from(frame[14] & 15) * 4;
        let payload = tcp + usize::from(frame[tcp + 12] >> 4) * 4;
        let end = 14 + usize::from(u16_at(16));
        if let Some(payload) = frame.get(payload..end).filter(|payload| !payload.is_empty()) {
            let ip = |at: usize| [frame[at], frame[at + 1], frame[at + 2], frame[at + 3]];
            let (from, to) = ((ip(26), u16_at(tcp)), (ip(30), u16_at(tcp + 2)));
            out.push(Segment { number, from, to, payload });
        }
    }
    out
}

/// The CSV's rows by frame number, each a map from column to its values (several PDUs can share a
/// frame; each column then holds the values of those PDUs that have it).
fn rows(csv: &str) -> HashMap<usize, HashMap<&str, Vec<&str>>> {
    let mut lines = csv.lines();
    let header: Vec<&str> = lines.next().unwrap().split(',').collect();
    lines
        .map(|line| {
            // A field is quoted or empty, and no value holds a quote.
            let mut fields = Vec::new();
            let mut rest = line;
            loop {
                let (field, after) = match rest.strip_prefix('"') {
                    Some(quoted) => quoted.split_once('"').unwrap(),
                    None => rest.split_at(rest.find(',').unwrap_or(rest.len())),
                };
                fields.push(field.split(',').filter(|value| !value.is_empty()).collect::<Vec<_>>());
                match after.strip_prefix(',') {
                    Some(next) => rest = next,
                    None => break,
                }
            }
            let row: HashMap<_, _> = header.iter().copied().zip(fields).collect();
            (row["frame.number"][0].parse().unwrap(), row)
        })
        .collect()
}

/// What tshark shows of one frame's PDUs, made from ours.
#[derive(Debug, Default, PartialEq)]
struct Fields {
    exceptions: Vec<u8>,
    offsets: Vec<u16>,
    words: Vec<u16>,
    bits: Vec<u16>,
    registers: Vec<u16>,
    data: Vec<String>,
}

impl Fields {
    fn of_row(row: &HashMap<&str, Vec<&str>>) -> Self {
        fn numbers<T: std::str::FromStr>(values: &[&str]) -> Vec<T> {
            values.iter().filter_map(|value| value.parse().ok()).collect()
        }
        Self {
            exceptions: numbers(&row["modbus.exception_code"]),
            offsets: numbers(&row["modbus.reference_num"]),
            words: numbers(&row["modbus.word_cnt"]),
            bits: numbers(&row["modbus.bit_cnt"]),
            registers: numbers(&row["modbus.regval_uint16"]),
            data: row["modbus.data"].iter().map(|hex| (*hex).to_owned()).collect(),
        }
    }

    fn add_request(&mut self, request: &Request, pdu: &[u8]) {
        let (table, offset, count) = request.span();
        self.offsets.push(offset);
        match request {
            Request::WriteSingleCoil { .. } | Request::WriteSingleRegister { .. } => self.data.push(hex(&pdu[3..])),
            Request::WriteMultipleCoils { .. } => {
                self.bits.push(count as u16);
                self.data.push(hex(&pdu[6..]));
            }
            Request::WriteMultipleRegisters { values, .. } => {
                self.words.push(count as u16);
                self.registers.extend(values);
            }
            _ if table.is_bits() => self.bits.push(count as u16),
            _ => self.words.push(count as u16),
        }
    }

    fn add_reply(&mut self, reply: &Reply, pdu: &[u8]) {
        match reply {
            Err(exception) => self.exceptions.push(exception.code()),
            Ok(Response::WriteSingleCoil { address, .. } | Response::WriteSingleRegister { address, .. }) => {
                self.offsets.push(*address);
                self.data.push(hex(&pdu[3..]));
            }
            Ok(Response::WriteMultipleCoils { address, count }) => {
                self.offsets.push(*address);
                self.bits.push(*count);
            }
            Ok(Response::WriteMultipleRegisters { address, count }) => {
                self.offsets.push(*address);
                self.words.push(*count);
            }
            // tshark's fields do not show a read's bits.
            Ok(read) => self.registers.extend(read.registers()),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The frames of one segment, or `None` where it does not start and end with a frame.
fn frames(payload: &[u8]) -> Option<Vec<Frame>> {
    let mut decoder = Decoder::new();
    decoder.push(payload);
    let mut frames = Vec::new();
    while let Some(frame) = decoder.next_frame().ok()? {
        frames.push(frame);
    }
    (decoder.pending() == 0).then_some(frames)
}

#[test]
fn captured_exchanges() {
    let Some(folder) = folder() else {
        eprintln!("no captures: set DUCTO_SHARED_DATA to a folder with `captures/modbus`");
        return;
    };
    for (capture, csv, requests, replies) in CAPTURES {
        let pcap = std::fs::read(folder.join(format!("modbus/{capture}.pcap"))).unwrap();
        let csv = std::fs::read_to_string(folder.join(format!("decoded/iti_{csv}.pcap.csv"))).unwrap();
        let rows = rows(&csv);
        let mut asked = HashMap::new();
        let (mut compared_requests, mut compared_replies) = (0, 0);
        for segment in segments(&pcap) {
            let Some(row) = rows.get(&segment.number) else {
                continue;
            };
            let Some(frames) = frames(segment.payload) else {
                continue;
            };
            let at = format!("{capture}, frame {}", segment.number);
            let codes = |frame: &Frame| (frame.pdu[0] & 0x7f).to_string();
            assert_eq!(
                row["mbtcp.trans_id"],
                frames.iter().map(|f| f.transaction.to_string()).collect::<Vec<_>>(),
                "{at}"
            );
            assert_eq!(row["mbtcp.unit_id"], frames.iter().map(|f| f.unit.to_string()).collect::<Vec<_>>(), "{at}");
            assert_eq!(row["modbus.func_code"], frames.iter().map(codes).collect::<Vec<_>>(), "{at}");

            let mut ours = Fields::default();
            let mut known = 0;
            for frame in &frames {
                let function = Function::from_code(frame.pdu[0] & 0x7f);
                if segment.to.1 == 502 {
                    // Some captures hold requests that are wrong on purpose.
                    if let Ok(request) = Request::decode(&frame.pdu) {
                        ours.add_request(&request, &frame.pdu);
                        asked.insert((segment.from, segment.to, frame.transaction, frame.unit, function), request);
                        known += 1;
                    }
                } else {
                    let key = (segment.to, segment.from, frame.transaction, frame.unit, function);
                    let reply = asked.get(&key).map(|request| Response::decode(request, &frame.pdu));
                    if let Some(Ok(reply)) = reply {
                        ours.add_reply(&reply, &frame.pdu);
                        known += 1;
                    }
                }
            }
            if known == frames.len() {
                assert_eq!(ours, Fields::of_row(row), "{at}");
                if segment.to.1 == 502 { compared_requests += known } else { compared_replies += known }
            }
        }
        assert_eq!((compared_requests, compared_replies), (requests, replies), "{capture}");
    }
}
