//! A field of 120 wells with three models of devices, its spreadsheet, and seeded mistakes in either: what a tag is said
//! to be, what its device really does, and which of the two were made to differ. Among them are sensors that have
//! failed, wells that are shut in and wells that rightly differ: nothing must be proposed for those.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use modbus::{Order, Table, Value, ValueType};

/// A generator of numbers: same seed, same numbers.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// From 0 to 1.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }
}

/// A model of devices, and the template for it.
pub(crate) struct Model {
    pub(crate) name: &'static str,
    addressing: &'static str,
    table: Table,
    order: Order,
    variables: &'static [Variable],
}

pub(crate) struct Variable {
    pub(crate) name: &'static str,
    offset: u16,
    kind: ValueType,
    scale: f64,
    unit: &'static str,
    span: [f64; 2],
    envelope: [f64; 2],
    /// What wells give, from and to.
    usual: [f64; 2],
    /// How much it moves from one reading to the next, as a share of the value.
    noise: f64,
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

pub(crate) const WELLS: usize = 120;

/// How a tag is, in its device or in the spreadsheet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Setting {
    pub(crate) offset: u16,
    pub(crate) kind: ValueType,
    pub(crate) order: Order,
    /// What the device gives is the value in the template's unit times this.
    pub(crate) factor: f64,
}

/// What happens to a sensor.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// The same number, which means that there is no reading.
    Stuck,
    NotANumber,
    Zero,
    /// Below the span, as an open loop of 4 to 20 mA.
    Open,
    /// A little above the span.
    High,
}

/// What is seeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mistake {
    Order,
    Address,
    Type,
    /// A unit of another quantity in the spreadsheet.
    WrongQuantity,
    /// Another unit of the same quantity in the spreadsheet, while the device gives the template's.
    UnitOfCell,
    /// Another unit of the same quantity in the device, of which the spreadsheet says nothing.
    UnitOfDevice,
}

pub(crate) struct Seeded {
    pub(crate) tag: String,
    pub(crate) mistake: Mistake,
    /// Whether the spreadsheet is wrong; else the device is another than its template's.
    pub(crate) in_cell: bool,
}

pub(crate) struct Well {
    pub(crate) name: String,
    pub(crate) model: usize,
    pub(crate) unit: u8,
    /// Which of the field's servers it is behind.
    pub(crate) server: usize,
    /// By variable of the model.
    pub(crate) truth: Vec<Setting>,
    base: Vec<f64>,
    faults: Vec<Option<Fault>>,
    shut_in: bool,
    pub(crate) dead: bool,
    /// Cells of the spreadsheet, `THP.address`, that differ from the template.
    cells: BTreeMap<String, String>,
}

pub(crate) struct Field {
    seed: u64,
    pub(crate) wells: Vec<Well>,
    pub(crate) seeded: Vec<Seeded>,
}

/// Servers of the field; wells are spread over them.
pub(crate) const SERVERS: usize = 6;

impl Field {
    /// A field whose spreadsheet has sixty mistakes. With `devices`, of every ten that can be so three are made in the
    /// device instead, of which the spreadsheet says nothing: those are harder to find.
    pub(crate) fn new(seed: u64, devices: bool) -> Self {
        let mut dice = Dice::new(seed);
        let wells = (0..WELLS).map(|number| well(number, &mut dice)).collect();
        let mut field = Self { seed, wells, seeded: Vec::new() };
        field.disturb(&mut dice, devices);
        field
    }

    /// A field in which whole devices are other than their template says, and one variable of two templates: six wells
    /// whose RTU was replaced, and a template each with a wrong address and a wrong order.
    pub(crate) fn with_devices_replaced(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let wells = (0..WELLS).map(|number| well(number, &mut dice)).collect();
        let mut field = Self { seed, wells, seeded: Vec::new() };
        // Wells of all models, each once.
        for (number, well) in [0, 31, 62, 3, 34, 65, 96].into_iter().enumerate() {
            field.replace(well, number);
        }
        for (model, variable) in [(0, 6), (2, 3)] {
            for well in (0..WELLS).filter(|well| well % MODELS.len() == model) {
                if field.is_replaced(well) {
                    continue;
                }
                let truth = &mut field.wells[well].truth[variable];
                match model {
                    0 => truth.order = Order::Badc,
                    _ => truth.offset += 1,
                }
                let mistake = if model == 0 { Mistake::Order } else { Mistake::Address };
                field.note(well, variable, mistake);
            }
        }
        field
    }

    fn is_replaced(&self, well: usize) -> bool {
        let name = format!("{}.", self.wells[well].name);
        self.seeded.iter().any(|seeded| seeded.tag.starts_with(&name))
    }

    /// Another order, every register one further or before, both, or pressures in kPa.
    fn replace(&mut self, well: usize, how: usize) {
        for variable in 0..self.model(well).variables.len() {
            let of = &self.model(well).variables[variable];
            let truth = &mut self.wells[well].truth[variable];
            let swapped = if truth.order == Order::Cdab { Order::Abcd } else { Order::Cdab };
            let mistake = match how {
                0 | 2 if of.kind.registers() > 1 => {
                    truth.order = swapped;
                    Mistake::Order
                }
                1 | 5 => {
                    truth.offset += 1;
                    Mistake::Address
                }
                // Shifted by one in the other order, floats would look as they are.
                3 => {
                    truth.offset += 1;
                    truth.order = Order::Badc;
                    Mistake::Address
                }
                4 if of.kind.registers() > 1 => {
                    truth.order = Order::Dcba;
                    Mistake::Order
                }
                6 if of.unit == "psig" => {
                    truth.factor = 6.894_757_293_168;
                    Mistake::UnitOfDevice
                }
                _ => continue,
            };
            self.note(well, variable, mistake);
        }
    }

    fn note(&mut self, well: usize, variable: usize, mistake: Mistake) {
        let tag = format!("{}.{}", self.wells[well].name, self.model(well).variables[variable].name);
        self.seeded.push(Seeded { tag, mistake, in_cell: false });
    }

    pub(crate) fn model(&self, well: usize) -> &'static Model {
        &MODELS[self.wells[well].model]
    }

    /// Failed sensors, shut-in wells, dead units, wells that rightly differ; then sixty mistakes elsewhere.
    fn disturb(&mut self, dice: &mut Dice, devices: bool) {
        let mut touched: BTreeSet<(usize, usize)> = BTreeSet::new();
        for _ in 0..3 {
            let well = dice.below(WELLS);
            self.wells[well].dead = true;
        }
        for _ in 0..8 {
            let well = dice.below(WELLS);
            self.wells[well].shut_in = true;
        }
        for number in 0..30 {
            let (well, variable) = self.any(dice, &mut touched);
            let faults = [Fault::Stuck, Fault::NotANumber, Fault::Zero, Fault::Open, Fault::High];
            self.wells[well].faults[variable] = Some(faults[number % faults.len()]);
        }
        for number in 0..20 {
            let (well, variable) = self.any(dice, &mut touched);
            let of = &self.model(well).variables[variable];
            let (mut setting, mut cell) = (self.wells[well].truth[variable], None);
            match number % 3 {
                0 if of.kind.registers() > 1 => {
                    setting.order = if setting.order == Order::Abcd { Order::Cdab } else { Order::Abcd };
                    cell = Some((format!("{}.order", of.name), order(setting.order)));
                }
                1 => {
                    setting.offset += 300;
                    cell = Some((format!("{}.address", of.name), self.address(well, setting.offset)));
                }
                _ => {}
            }
            if let Some((column, text)) = cell {
                self.wells[well].truth[variable] = setting;
                self.wells[well].cells.insert(column, text);
            }
        }
        let kinds = [Mistake::Order, Mistake::Address, Mistake::Type, Mistake::WrongQuantity];
        for number in 0..60 {
            let mistake = match kinds[number % 4] {
                Mistake::WrongQuantity => {
                    [Mistake::WrongQuantity, Mistake::UnitOfCell, Mistake::UnitOfDevice][number / 4 % 3]
                }
                other => other,
            };
            self.seed(mistake, devices, dice, &mut touched);
        }
    }

    /// A tag that nothing has happened to, on a well that runs.
    fn any(&self, dice: &mut Dice, touched: &mut BTreeSet<(usize, usize)>) -> (usize, usize) {
        loop {
            let well = dice.below(WELLS);
            let variable = dice.below(self.model(well).variables.len());
            let busy = touched.range((well, 0)..(well + 1, 0)).count() >= 2;
            if !busy && !self.wells[well].dead && !self.wells[well].shut_in && touched.insert((well, variable)) {
                return (well, variable);
            }
        }
    }

    fn seed(&mut self, mistake: Mistake, devices: bool, dice: &mut Dice, touched: &mut BTreeSet<(usize, usize)>) {
        loop {
            let (well, variable) = self.any(dice, touched);
            let in_cell = match mistake {
                Mistake::WrongQuantity | Mistake::UnitOfCell => true,
                Mistake::UnitOfDevice => false,
                _ => !devices || dice.below(10) < 7,
            };
            if self.mistaken(mistake, in_cell, well, variable, dice) {
                let tag = format!("{}.{}", self.wells[well].name, self.model(well).variables[variable].name);
                self.seeded.push(Seeded { tag, mistake, in_cell });
                return;
            }
            touched.remove(&(well, variable));
        }
    }

    /// Makes the spreadsheet or the device wrong; `false` where this tag cannot have such a mistake.
    fn mistaken(&mut self, mistake: Mistake, in_cell: bool, well: usize, variable: usize, dice: &mut Dice) -> bool {
        let model = self.model(well);
        let of = &model.variables[variable];
        let truth = self.wells[well].truth[variable];
        let mut other = truth;
        let column = |field: &str| format!("{}.{field}", of.name);
        let cell = match mistake {
            Mistake::Order => {
                let others: &[Order] = match of.kind.registers() {
                    1 => &[Order::Badc],
                    _ => &[Order::Abcd, Order::Cdab, Order::Badc, Order::Dcba],
                };
                other.order = others[dice.below(others.len())];
                if other.order == truth.order {
                    return false;
                }
                (column("order"), order(other.order))
            }
            Mistake::Address => {
                let left = dice.below(2) == 0 && truth.offset > 0;
                other.offset = if left { truth.offset - 1 } else { truth.offset + 1 };
                (column("address"), self.address(well, other.offset))
            }
            Mistake::Type => {
                other.kind = match of.kind {
                    ValueType::F32 => [ValueType::U32, ValueType::I32][dice.below(2)],
                    ValueType::U32 => ValueType::F32,
                    ValueType::I32 => [ValueType::F32, ValueType::U32][dice.below(2)],
                    ValueType::I16 => ValueType::U16,
                    ValueType::F64 => ValueType::I64,
                    // Below 32768 a u16 and an i16 are the same.
                    _ => return false,
                };
                if !in_cell && of.kind == ValueType::I16 {
                    return false;
                }
                (column("as"), other.kind.to_string())
            }
            Mistake::WrongQuantity => {
                let unit = if of.unit == "Hz" { "psig" } else { "Hz" };
                (column("unit"), unit.to_owned())
            }
            Mistake::UnitOfCell => {
                let unit = match of.unit {
                    "psig" => ["kPag", "barg"][dice.below(2)],
                    "kPag" => ["psig", "barg"][dice.below(2)],
                    "degF" => "degC",
                    "degC" => "degF",
                    "stb/d" => "Sm3/d",
                    _ => return false,
                };
                (column("unit"), unit.to_owned())
            }
            Mistake::UnitOfDevice => {
                // A pressure in kPa reads beyond what its sensor can give in psi. The integers end before.
                if of.unit != "psig" || of.kind != ValueType::F32 {
                    return false;
                }
                self.wells[well].truth[variable].factor = 6.894_757_293_168;
                return true;
            }
        };
        if in_cell {
            self.wells[well].cells.insert(cell.0, cell.1);
        } else {
            // What the device does is what the spreadsheet does not say. Nothing else may stand there.
            let taken = |offset: u16, count: u16| {
                model.variables.iter().zip(&self.wells[well].truth).enumerate().any(|(index, (_, setting))| {
                    index != variable
                        && offset < setting.offset + setting.kind.registers()
                        && setting.offset < offset + count
                })
            };
            if taken(other.offset, other.kind.registers()) {
                return false;
            }
            self.wells[well].truth[variable] = other;
        }
        true
    }

    fn address(&self, well: usize, offset: u16) -> String {
        match self.model(well).addressing {
            "1" => (offset + 1).to_string(),
            "40001" => (40_001 + u32::from(offset)).to_string(),
            _ => (400_001 + u32::from(offset)).to_string(),
        }
    }

    /// The files of the site; `endpoint` is that of a server.
    pub(crate) fn files(&self, endpoint: impl Fn(usize) -> String) -> Vec<(String, String)> {
        let mut files = vec![(
            "site.yaml".to_owned(),
            "site: FIELD-120\nunits: {atmospheric_pressure: 14.0 psia}\ninclude: [templates/*.yaml]\nassets: [{file: wells.csv, decimal: point}]\n".to_owned(),
        )];
        for model in &MODELS {
            let mut text = format!(
                "templates:\n  {}:\n    kind: well\n    parameters: {{endpoint: {{type: string}}, unit_id: {{type: integer}}}}\n    connection: {{type: modbus, endpoint: \"${{endpoint}}\", unit_id: \"${{unit_id}}\", addressing: {}, order: {}, response_timeout: 300ms}}\n    tags:\n",
                model.name,
                model.addressing,
                order(model.order)
            );
            for of in model.variables {
                let address = match model.addressing {
                    "1" => format!("{}, table: input", of.offset + 1),
                    "40001" => (40_001 + u32::from(of.offset)).to_string(),
                    _ => (400_001 + u32::from(of.offset)).to_string(),
                };
                let scale = if of.scale == 1.0 { String::new() } else { format!(", scale: {}", of.scale) };
                let [low, high] = of.span;
                let [from, to] = of.envelope;
                let _ = writeln!(
                    text,
                    "      {}: {{address: {address}, as: {}{scale}, unit: {}, span: [{low}, {high}], envelope: [{from}, {to}]}}",
                    of.name, of.kind, of.unit
                );
            }
            files.push((format!("templates/{}.yaml", model.name), text));
        }
        let columns: BTreeSet<&String> = self.wells.iter().flat_map(|well| well.cells.keys()).collect();
        let mut text = "asset;template;endpoint;unit_id".to_owned();
        columns.iter().for_each(|column| text.extend([";", column.as_str()]));
        text.push('\n');
        for well in &self.wells {
            let _ = write!(text, "{};{};{};{}", well.name, MODELS[well.model].name, endpoint(well.server), well.unit);
            for column in &columns {
                let _ = write!(text, ";{}", well.cells.get(*column).map_or("", String::as_str));
            }
            text.push('\n');
        }
        files.push(("wells.csv".to_owned(), text));
        files
    }

    /// The registers of a well's device at a reading.
    pub(crate) fn registers(&self, well: usize, reading: u64) -> BTreeMap<(Table, u16), u16> {
        let (model, of) = (self.model(well), &self.wells[well]);
        let mut memory = BTreeMap::new();
        let first = model.variables.first().map_or(0, |variable| variable.offset);
        let last = model.variables.iter().map(|variable| variable.offset + 8).max().unwrap_or(0);
        // What else is in a device: settings, counters, nothing. Each stays what it is.
        let mut junk = Dice::new(self.seed ^ (well as u64) << 20);
        for offset in first.saturating_sub(4)..last {
            let (kind, value) = (junk.below(4), junk.below(60_000) as u16);
            let register = match kind {
                0 => 0,
                1 => value % 100,
                2 => value,
                _ => value.wrapping_add(reading as u16),
            };
            memory.insert((model.table, offset), register);
        }
        for (index, variable) in model.variables.iter().enumerate() {
            let setting = of.truth[index];
            let value = self.value(well, index, reading);
            let mut registers = vec![0; setting.kind.registers().into()];
            let raw = value * setting.factor / variable.scale;
            let raw = match (setting.kind, of.faults[index]) {
                (ValueType::F32 | ValueType::F64, Some(Fault::NotANumber)) => Value::Float(f64::NAN),
                (ValueType::F32 | ValueType::F64, Some(Fault::Stuck)) => Value::Float(-9999.0),
                (ValueType::U16, Some(Fault::Stuck | Fault::NotANumber)) => Value::Int(65_535),
                (ValueType::I16, Some(Fault::Stuck | Fault::NotANumber)) => Value::Int(-32_768),
                (_, Some(Fault::Stuck | Fault::NotANumber)) => Value::Int(0x7fff_ffff),
                (ValueType::F32 | ValueType::F64, _) => Value::Float(raw),
                (kind, _) => {
                    let range = kind.integers().unwrap();
                    Value::Int((raw.round() as i128).clamp(*range.start(), *range.end()) as i64)
                }
            };
            setting.kind.encode(setting.order, &raw, &mut registers).unwrap();
            for (offset, register) in (setting.offset..).zip(registers) {
                memory.insert((model.table, offset), register);
            }
        }
        memory
    }

    /// A tag's value in the template's unit.
    fn value(&self, well: usize, index: usize, reading: u64) -> f64 {
        let (variable, of) = (&self.model(well).variables[index], &self.wells[well]);
        let mut dice = Dice::new(self.seed ^ (well as u64) << 32 ^ (index as u64) << 24 ^ reading);
        let noise = dice.between(-1.0, 1.0);
        let base = of.base[index];
        let [low, high] = variable.span;
        match of.faults[index] {
            Some(Fault::Zero) => return 0.0,
            Some(Fault::Open) => return low - (high - low) * (0.12 + 0.001 * noise),
            Some(Fault::High) => return high + (high - low) * (0.08 + 0.001 * noise),
            _ => {}
        }
        if of.shut_in {
            return match variable.name {
                "ESP_CURRENT" | "ESP_FREQUENCY" | "LIQUID_RATE" | "GAS_RATE" | "TORQUE" | "DIFFERENTIAL" => 0.0,
                "THP" | "FLP" => 25.0 * (1.0 + 0.01 * noise),
                "PIP" | "CHP" => base * 1.3 * (1.0 + variable.noise * noise),
                _ => base * (1.0 + variable.noise * noise),
            };
        }
        let growing = variable.name.ends_with("TOTAL");
        let moved = if growing { base + 0.4 * reading as f64 } else { base * (1.0 + variable.noise * noise) };
        moved.clamp(low, high)
    }
}

fn well(number: usize, dice: &mut Dice) -> Well {
    let model = number % MODELS.len();
    let of = &MODELS[model];
    Well {
        name: format!("WELL-{:03}", number + 1),
        model,
        unit: (number / SERVERS + 1) as u8,
        server: number % SERVERS,
        truth: of
            .variables
            .iter()
            .map(|variable| Setting { offset: variable.offset, kind: variable.kind, order: of.order, factor: 1.0 })
            .collect(),
        base: of.variables.iter().map(|variable| dice.between(variable.usual[0], variable.usual[1])).collect(),
        faults: vec![None; of.variables.len()],
        shut_in: false,
        dead: false,
        cells: BTreeMap::new(),
    }
}

fn order(order: Order) -> String {
    modbus::value::ORDERS.iter().find(|(_, known)| *known == order).unwrap().0.to_owned()
}

/// What was found of a field, judged.
#[derive(Debug, Default)]
pub(crate) struct Score {
    /// Mistakes that `check` names the cell or the tag of.
    pub(crate) checked: BTreeSet<String>,
    /// Mistakes for which the right settings are proposed.
    pub(crate) proposed: BTreeSet<String>,
    /// Proposals that are wrong, or for tags that are right.
    pub(crate) wrong: Vec<String>,
    /// Mistakes that are named without a proposal.
    pub(crate) named: BTreeSet<String>,
}

impl Field {
    /// Whether settings, by their fields, are those that a tag should have.
    pub(crate) fn is_right(&self, tag: &str, changes: &[(String, String)]) -> bool {
        let (name, variable) = tag.rsplit_once('.').unwrap();
        let well = self.wells.iter().position(|well| well.name == name).unwrap();
        let model = self.model(well);
        let index = model.variables.iter().position(|known| known.name == variable).unwrap();
        let (of, truth) = (&model.variables[index], self.wells[well].truth[index]);
        // The settings as the spreadsheet has them, with the changes over them.
        let mut cells = self.wells[well].cells.clone();
        for (field, value) in changes {
            cells.insert(format!("{variable}.{field}"), value.clone());
        }
        let cell = |field: &str| cells.get(&format!("{variable}.{field}")).cloned();
        let address = cell("address").unwrap_or_else(|| self.address(well, of.offset));
        let kind: ValueType = cell("as").map_or(of.kind, |text| text.parse().unwrap());
        let read: Order = cell("order").map_or(model.order, |text| text.parse().unwrap());
        let swaps = |order| matches!(order, Order::Badc | Order::Dcba);
        let same_order = match kind.registers() {
            1 => swaps(read) == swaps(truth.order),
            _ => read == truth.order,
        };
        let scale: f64 = cell("scale").map_or(of.scale, |text| text.parse().unwrap());
        let expected = of.scale / truth.factor;
        address == self.address(well, truth.offset)
            && kind == truth.kind
            && same_order
            && (scale / expected - 1.0).abs() < 1e-5
    }

    pub(crate) fn seeded(&self, tag: &str) -> Option<&Seeded> {
        self.seeded.iter().find(|seeded| seeded.tag == tag)
    }
}
