//! The order of bytes: one for the connection, and beside it only where a tag's differs in effect.

use modbus::{Order, ValueType};

use crate::group::most_frequent;
use crate::model::{Tag, Value};

/// Tags of which each says its order become tags of which only those say it that need to; gives the connection's
/// order: `common`, or what most values of several registers have.
pub(crate) fn settle(tags: &mut [Tag], common: Option<Order>) -> Value {
    let common = common.unwrap_or_else(|| {
        let own =
            |wide: bool| tags.iter().filter(move |tag| !wide || is_wide(tag)).filter_map(order).collect::<Vec<_>>();
        let wide = own(true);
        let orders = if wide.is_empty() { own(false) } else { wide };
        most_frequent(orders.iter()).copied().unwrap_or_default()
    });
    for tag in tags {
        let Some(own) = order(tag) else { continue };
        // A single register, a byte or a text only cares whether bytes are swapped.
        if own == common || (!is_wide(tag) && swaps(own) == swaps(common)) {
            tag.remove("order");
        }
    }
    name(common).into()
}

/// An order as configurations write it.
pub(crate) fn name(order: Order) -> &'static str {
    modbus::value::ORDERS.iter().find(|(_, known)| *known == order).map_or("ABCD", |(name, _)| name)
}

pub(crate) fn set(tag: &mut Tag, order: Order) {
    tag.set("order", name(order));
}

fn order(tag: &Tag) -> Option<Order> {
    match tag.get("order") {
        Some(Value::Text(text)) => text.parse().ok(),
        _ => None,
    }
}

fn swaps(order: Order) -> bool {
    matches!(order, Order::Badc | Order::Dcba)
}

/// Whether it is a number of several registers.
fn is_wide(tag: &Tag) -> bool {
    let Some(Value::Text(kind)) = tag.get("as") else { return false };
    kind.parse().is_ok_and(|kind: ValueType| kind.registers() > 1 && kind.is_number())
}

#[cfg(test)]
mod tests {
    use ducto_graph::source::Place;

    use super::*;

    #[test]
    fn only_what_differs_in_effect_keeps_its_order() {
        let tag = |kind: &str, order: Order| {
            let mut tag = Tag::new("X", Place::NOWHERE);
            tag.set("as", kind);
            set(&mut tag, order);
            tag
        };
        let mut tags = [
            tag("f32", Order::Dcba),
            tag("f32", Order::Dcba),
            tag("i32", Order::Cdab),
            tag("u16", Order::Abcd),
            tag("u16", Order::Badc),
            tag("string(4)", Order::Abcd),
        ];
        assert_eq!(settle(&mut tags, None), Value::from("DCBA"));
        let kept: Vec<bool> = tags.iter().map(|tag| tag.get("order").is_some()).collect();
        assert_eq!(kept, [false, false, true, true, false, true]);
        assert_eq!(name(Order::Cdab), "CDAB");
    }
}
