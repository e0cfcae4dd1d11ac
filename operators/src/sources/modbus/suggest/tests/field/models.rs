//! The models of devices in the field.

use modbus::{Order, Table, ValueType};

/// A model of devices, and the template for it.
pub(crate) struct Model {
    pub(crate) name: &'static str,
    pub(super) addressing: &'static str,
    pub(super) table: Table,
    pub(super) order: Order,
    pub(super) variables: &'static [Variable],
}

pub(crate) struct Variable {
    pub(crate) name: &'static str,
    pub(super) offset: u16,
    pub(super) kind: ValueType,
    pub(super) scale: f64,
    pub(super) unit: &'static str,
    pub(super) span: [f64; 2],
    pub(super) envelope: [f64; 2],
    /// What wells give, from and to.
    pub(super) usual: [f64; 2],
    /// How much it moves from one reading to the next, as a share of the value.
    pub(super) noise: f64,
}

const fn float(
    name: &'static str,
    offset: u16,
    unit: &'static str,
    span: [f64; 2],
    envelope: [f64; 2],
    usual: [f64; 2],
) -> Variable {
    Variable { name, offset, kind: ValueType::F32, scale: 1.0, unit, span, envelope, usual, noise: 0.003 }
}

#[allow(clippy::too_many_arguments)]
const fn scaled(
    name: &'static str,
    offset: u16,
    kind: ValueType,
    scale: f64,
    unit: &'static str,
    span: [f64; 2],
    envelope: [f64; 2],
    usual: [f64; 2],
) -> Variable {
    Variable { name, offset, kind, scale, unit, span, envelope, usual, noise: 0.004 }
}

pub(crate) const MODELS: [Model; 3] = [
    // An RTU with everything side by side.
    Model {
        name: "rtu-a",
        addressing: "40001",
        table: Table::HoldingRegisters,
        order: Order::Cdab,
        variables: &[
            float("THP", 0, "psig", [0.0, 1500.0], [80.0, 1300.0], [250.0, 900.0]),
            float("CHP", 2, "psig", [0.0, 1500.0], [50.0, 1300.0], [250.0, 800.0]),
            float("FLP", 4, "psig", [0.0, 1500.0], [40.0, 900.0], [220.0, 500.0]),
            float("FLT", 6, "degF", [0.0, 300.0], [60.0, 250.0], [90.0, 200.0]),
            float("PIP", 8, "psig", [0.0, 4000.0], [150.0, 3500.0], [650.0, 1800.0]),
            float("PDP", 10, "psig", [0.0, 6000.0], [500.0, 5500.0], [2200.0, 4200.0]),
            float("ESP_CURRENT", 20, "A", [0.0, 200.0], [15.0, 150.0], [35.0, 90.0]),
            float("ESP_FREQUENCY", 22, "Hz", [0.0, 70.0], [30.0, 65.0], [42.0, 60.0]),
            float("MOTOR_TEMPERATURE", 24, "degF", [0.0, 500.0], [150.0, 400.0], [200.0, 320.0]),
            float("LIQUID_RATE", 30, "stb/d", [0.0, 6000.0], [100.0, 5000.0], [400.0, 3000.0]),
        ],
    },
    // A controller with scaled integers, gaps between them.
    Model {
        name: "plc-b",
        addressing: "400001",
        table: Table::HoldingRegisters,
        order: Order::Abcd,
        variables: &[
            scaled("THP", 100, ValueType::U16, 0.1, "psig", [0.0, 1500.0], [80.0, 1300.0], [250.0, 900.0]),
            scaled("CHP", 101, ValueType::U16, 0.1, "psig", [0.0, 1500.0], [50.0, 1300.0], [250.0, 800.0]),
            scaled("FLT", 104, ValueType::I16, 0.1, "degC", [-50.0, 150.0], [-40.0, 120.0], [-30.0, -8.0]),
            scaled("ESP_CURRENT", 110, ValueType::U16, 0.01, "A", [0.0, 200.0], [15.0, 150.0], [35.0, 90.0]),
            scaled("ESP_FREQUENCY", 112, ValueType::U16, 0.01, "Hz", [0.0, 70.0], [30.0, 65.0], [42.0, 60.0]),
            scaled("OIL_TOTAL", 120, ValueType::U32, 0.1, "stb", [0.0, 2e6], [1e3, 1.9e6], [2e5, 9e5]),
            scaled("WATER_TOTAL", 122, ValueType::U32, 0.1, "stb", [0.0, 2e6], [1e3, 1.9e6], [2e5, 9e5]),
            scaled("TORQUE", 130, ValueType::I32, 0.01, "N.m", [-2e4, 2e4], [-1.5e4, 1.5e4], [-9e3, -2e3]),
        ],
    },
    // A flow computer.
    Model {
        name: "flow-c",
        addressing: "1",
        table: Table::InputRegisters,
        order: Order::Abcd,
        variables: &[
            float("STATIC_PRESSURE", 1000, "kPag", [0.0, 10_000.0], [500.0, 9000.0], [2500.0, 6000.0]),
            float("DIFFERENTIAL", 1002, "inH2O", [0.0, 400.0], [5.0, 350.0], [60.0, 220.0]),
            float("TEMPERATURE", 1004, "degC", [-20.0, 120.0], [0.0, 100.0], [25.0, 60.0]),
            float("GAS_RATE", 1006, "Mscf/d", [0.0, 5000.0], [50.0, 4500.0], [400.0, 2500.0]),
            float("DENSITY", 1010, "kg/m3", [0.0, 200.0], [5.0, 150.0], [30.0, 90.0]),
            Variable {
                name: "GAS_TOTAL",
                offset: 1020,
                kind: ValueType::F64,
                scale: 1.0,
                unit: "Mscf",
                span: [0.0, 1e7],
                envelope: [1e3, 9e6],
                usual: [1e5, 4e6],
                noise: 1e-6,
            },
        ],
    },
];
