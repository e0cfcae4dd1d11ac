//! Ways to read a tag other than as it is set now.

use ducto_record::{Conversion as UnitConversion, Reference, Unit, Units};
use modbus::{Item, Order, ValueType};

use super::{Layout, Subject};

/// What is read differently. Nothing at all is the way it is set now.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Way {
    /// Registers to the right.
    pub(super) shift: i8,
    pub(super) order: Option<Order>,
    pub(super) kind: Option<ValueType>,
    /// Everything about the place and the type, as peers have it.
    pub(super) peers: Option<Layout>,
    /// The unit in which the device gives the value.
    pub(super) unit: Option<FromUnit>,
}

/// A unit and how its values become those of the tag's unit.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct FromUnit {
    pub(super) symbol: std::sync::Arc<str>,
    pub(super) conversion: UnitConversion,
}

/// Orders that differ in effect, for numbers of two registers and more.
const ORDERS: [Order; 4] = [Order::Abcd, Order::Dcba, Order::Badc, Order::Cdab];
/// Those that only numbers of four registers know.
const WIDE_ORDERS: [Order; 2] = [Order::Cdabghef, Order::Efghabcd];

impl Way {
    pub(super) fn is_now(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn shifted(shift: i8) -> Self {
        Self { shift, ..Self::default() }
    }

    pub(super) fn ordered(order: Order) -> Self {
        Self { order: Some(order), ..Self::default() }
    }

    pub(super) fn like_peers(layout: Layout) -> Self {
        Self { peers: Some(layout), ..Self::default() }
    }

    pub(super) fn from_unit(unit: FromUnit) -> Self {
        Self { unit: Some(unit), ..Self::default() }
    }

    /// The layout that results; `None` where there is no such register.
    pub(super) fn layout(&self, now: Layout) -> Option<Layout> {
        if let Some(layout) = self.peers {
            return Some(layout);
        }
        let kind = self.kind.unwrap_or(now.kind);
        let offset = i32::from(now.item.offset) + i32::from(self.shift);
        let count = kind.registers();
        if offset < 0 || offset + i32::from(count) > 65_536 {
            return None;
        }
        let item = Item { table: now.item.table, offset: offset as u16, count };
        Some(Layout { item, kind, order: self.order.unwrap_or(now.order) })
    }

    /// Whether a tag would be read differently.
    pub(super) fn changes(&self, now: Layout) -> bool {
        self.unit.is_some() || self.layout(now).is_some_and(|layout| !same_effect(layout, now))
    }
}

/// Whether two layouts give the same value, whatever the registers hold.
pub(super) fn same_effect(a: Layout, b: Layout) -> bool {
    a.item == b.item && a.kind == b.kind && same_order(a.order, b.order, a.kind.registers())
}

fn same_order(a: Order, b: Order, registers: u16) -> bool {
    let swaps = |order| matches!(order, Order::Dcba | Order::Badc);
    match registers {
        1 => swaps(a) == swaps(b),
        2 => narrow(a) == narrow(b),
        _ => a == b,
    }
}

/// The order of 32 bits that one of 64 stands for.
fn narrow(order: Order) -> Order {
    match order {
        Order::Cdabghef => Order::Cdab,
        Order::Efghabcd => Order::Abcd,
        order => order,
    }
}

/// Every way that changes one thing about a tag's layout.
pub(super) fn single(subject: &Subject) -> Vec<Way> {
    let now = subject.layout;
    let shifts = [-1, 1].map(Way::shifted);
    let orders = orders(now).map(Way::ordered);
    let kinds = kinds(now.kind).iter().map(|kind| Way { kind: Some(*kind), ..Way::default() });
    let mut ways: Vec<Way> = shifts.into_iter().chain(orders).chain(kinds).collect();
    ways.retain(|way| way.changes(now));
    ways
}

/// Orders with another effect than the one that is set.
pub(super) fn orders(now: Layout) -> impl Iterator<Item = Order> {
    let registers = now.kind.registers();
    let wide = WIDE_ORDERS.into_iter().filter(move |_| registers == 4);
    let mut known = vec![now.order];
    ORDERS.into_iter().chain(wide).filter(move |order| {
        let new = registers <= 4 && !known.iter().any(|known| same_order(*known, *order, registers));
        if new {
            known.push(*order);
        }
        new
    })
}

/// Types of as many registers that are taken for one another.
fn kinds(kind: ValueType) -> &'static [ValueType] {
    match kind {
        ValueType::I16 => &[ValueType::U16],
        ValueType::U16 => &[ValueType::I16],
        ValueType::F32 => &[ValueType::U32, ValueType::I32],
        ValueType::U32 => &[ValueType::F32, ValueType::I32],
        ValueType::I32 => &[ValueType::F32, ValueType::U32],
        ValueType::F64 => &[ValueType::U64, ValueType::I64],
        ValueType::U64 => &[ValueType::F64, ValueType::I64],
        ValueType::I64 => &[ValueType::F64, ValueType::U64],
        _ => &[],
    }
}

/// Units of the same quantity, measured against the same, in which a device may give the value.
pub(super) fn units(subject: &Subject, units: &Units) -> Vec<Way> {
    let Some(own) = subject.unit() else { return Vec::new() };
    let mut known: Vec<&Unit> = vec![own];
    let mut ways = Vec::new();
    for name in units.names() {
        let Some(unit) = units.get(name) else { continue };
        let alike = unit.dimension == own.dimension && unit.reference == own.reference;
        // A plain number may be anything: `%` and `ppm` are no two scales of one thing to a person.
        let number = own.dimension.0 == [0; 7] && own.reference == Reference::None;
        let seen = known.iter().any(|known| known.scale == unit.scale && known.offset == unit.offset);
        if !alike || number || seen {
            continue;
        }
        known.push(unit);
        if let Ok(conversion) = unit.to(own, None) {
            ways.push(Way::from_unit(FromUnit { symbol: unit.symbol.clone(), conversion }));
        }
    }
    ways
}
