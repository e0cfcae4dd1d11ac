//! A field of 120 wells with three models of devices, its spreadsheet, and seeded mistakes in either: what a tag is said
//! to be, what its device really does, and which of the two were made to differ. Among them are sensors that have
//! failed, wells that are shut in and wells that rightly differ: nothing must be proposed for those.

mod device;
mod models;
mod score;

use std::collections::{BTreeMap, BTreeSet};

use modbus::{Order, ValueType};

use models::{MODELS, Model};
pub(crate) use score::Score;

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
