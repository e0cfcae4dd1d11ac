//! Modbus: PDUs, TCP and RTU framing, address notations, register values, a read planner, a client,
//! and a server for simulators and tests.
//!
//! The parts that touch no socket ([`pdu`], [`tcp`], [`rtu`], [`address`], [`endpoint`], [`value`],
//! [`plan`]) are plain functions over bytes and registers; [`client`] and [`server`] put them on
//! tokio, over TCP, serial lines ([`serial`]) and modems that dial in ([`listen`]).
//! Offsets are 0-based as on the wire (0..=65535); only [`address`] knows how people write them.

pub mod address;
pub mod client;
pub mod endpoint;
pub mod listen;
pub mod pdu;
pub mod plan;
pub mod rtu;
pub mod scaling;
pub mod serial;
pub mod server;
pub mod tcp;
pub mod value;

pub use address::{Address, Addressing, Table};
pub use client::{Client, Options, Transport};
pub use endpoint::{Endpoint, Framing, Line, Parity};
pub use listen::Listener;
pub use pdu::{Exception, Function, PduError, Reply, Request, Response};
pub use plan::{Holes, Item, Limits, Plan, Read};
pub use scaling::{Conversion, Reading, Scaling};
pub use serial::Serial;
pub use server::{Device, Fault, Registers, Server};
pub use value::{Order, Value, ValueType};
