//! Plans: the optimum against trying every partition, and what limits and holes do.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use ducto_modbus::address::Addressing;
use ducto_modbus::plan::{Holes, Refusal};
use ducto_modbus::{Item, Limits, Plan, Table};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

fn holding(offset: u16, count: u16) -> Item {
    Item { table: Table::HoldingRegisters, offset, count }
}

fn ranges(plan: &Plan) -> Vec<(u16, u16)> {
    plan.reads.iter().map(|read| (read.range.offset, read.range.count)).collect()
}

#[test]
fn merges_over_gaps_where_that_is_cheaper() {
    let items = [holding(0, 2), holding(12, 2), holding(60, 1), holding(12, 2)];
    let plan = |request_cost| Plan::new(&items, Limits { request_cost, ..Limits::default() }, &Holes::new());
    assert_eq!(ranges(&plan(0)), [(0, 2), (12, 2), (60, 1)]);
    assert_eq!(ranges(&plan(10)), [(0, 14), (60, 1)], "at equal cost, fewer requests");
    assert_eq!(ranges(&plan(9)), [(0, 2), (12, 2), (60, 1)]);
    assert_eq!(ranges(&plan(46)), [(0, 61)]);
    assert_eq!(plan(46).reads[0].items, [0, 1, 3, 2]);
    assert_eq!(plan(46).reads[0].slice(items[1]), 12..14);
}

#[test]
fn a_large_group_becomes_the_fewest_full_requests() {
    let items: Vec<Item> = (0..5000).rev().map(|i| holding(i * 2, 2)).collect();
    let plan = Plan::new(&items, Limits::default(), &Holes::new());
    assert_eq!(plan.reads.len(), 81, "62 floats of two registers each fit 125");
    let bits: Vec<Item> = (0..4000).map(|offset| Item { table: Table::Coils, offset, count: 1 }).collect();
    assert_eq!(Plan::new(&bits, Limits::default(), &Holes::new()).reads.len(), 2);
    let small = Limits { registers: 16, bits: 8, ..Limits::default() };
    assert_eq!(Plan::new(&bits, small, &Holes::new()).reads.len(), 500);
    let absurd = Limits { registers: u16::MAX, bits: u16::MAX, ..Limits::default() };
    assert_eq!(Plan::new(&items, absurd, &Holes::new()), plan, "the protocol's limits stand");
}

#[test]
fn holes_are_never_read_over() {
    let items = [holding(0, 2), holding(4, 2), holding(7, 2), holding(65535, 1), holding(3, 1)];
    let mut holes = Holes::new();
    holes.insert(holding(3, 1));
    let plan = Plan::new(&items, Limits::default(), &holes);
    assert_eq!(ranges(&plan), [(0, 2), (4, 5), (65535, 1)]);
    assert_eq!(plan.refused, [(4, Refusal::Hole)]);
    holes.insert(holding(4, 3));
    holes.insert(holding(9, 1));
    holes.insert(holding(2, 1));
    assert_eq!(holes.iter().collect::<Vec<_>>(), [holding(2, 5), holding(9, 1)]);
    assert!(!holes.overlap(holding(7, 2)));
    assert!(!holes.overlap(Item { table: Table::InputRegisters, offset: 2, count: 5 }));
    assert_eq!(Plan::new(&items, Limits::default(), &holes).refused, [(1, Refusal::Hole), (4, Refusal::Hole)]);
}

#[test]
fn what_no_request_can_read_is_said() {
    let items = [holding(0, 126), holding(65535, 2), holding(5, 0), holding(65535, 1)];
    let plan = Plan::new(&items, Limits::default(), &Holes::new());
    assert_eq!(plan.refused, [(0, Refusal::TooLong), (1, Refusal::OutOfRange), (2, Refusal::OutOfRange)]);
    assert_eq!(ranges(&plan), [(65535, 1)]);
}

#[test]
fn prints() {
    let items = [
        holding(0, 2),
        holding(12, 2),
        holding(9, 200),
        Item { table: Table::Coils, offset: 7, count: 1 },
        holding(65535, 1),
    ];
    let plan = Plan::new(&items, Limits::default(), &Holes::new());
    assert_eq!(
        plan.display(Addressing::FiveDigits).to_string(),
        "4 items in 3 requests\n\
         coils 00008..00008: 1 for 1 items\n\
         holding registers 40001..40014: 14 for 2 items, 10 not needed\n\
         holding registers 465536..465536: 1 for 1 items\n\
         holding register 40010, length 200: not read, longer than the device takes in one request"
    );
    assert!(plan.to_string().contains("holding registers 0..13: "));
}

#[test]
fn bisecting_finds_the_hole_between_items() {
    let items = [holding(10, 2), holding(0, 2), holding(20, 2), holding(30, 2)];
    let plan = Plan::new(&items, Limits::default(), &Holes::new());
    let (left, right) = plan.reads[0].bisect(&items).unwrap();
    assert_eq!((left.range, right.range), (holding(0, 12), holding(20, 12)));
    assert_eq!((&left.items[..], &right.items[..]), (&[1, 0][..], &[2, 3][..]));
    let (single, _) = left.bisect(&items).unwrap();
    assert_eq!(single.range, holding(0, 2));
    assert_eq!(single.bisect(&items), None);
}

/// The cost of the cheapest plan for one table, found another way than the planner's: over the distinct offsets at which
/// a request can begin, the cheapest way to read everything that begins there or later. Requests may overlap.
fn cheapest_of_map(items: &[Item], limits: Limits, width: u32, longest: u32, holes: &[bool]) -> u64 {
    let mut starts: Vec<u32> = items.iter().map(|item| item.offset.into()).collect();
    starts.sort_unstable();
    starts.dedup();
    let mut rest: Vec<u64> = vec![0; starts.len() + 1];
    for from in (0..starts.len()).rev() {
        let mut best = u64::MAX;
        // A request from this start that serves all items up to the one before `next`.
        for next in from + 1..=starts.len() {
            let served = items.iter().filter(|item| (starts[from]..=starts[next - 1]).contains(&item.offset.into()));
            let end = served.map(|item| u32::from(item.offset) + u32::from(item.count)).max().unwrap();
            let count = end - starts[from];
            if count > longest || holes[starts[from] as usize..end as usize].iter().any(|hole| *hole) {
                break;
            }
            let cost = u64::from(limits.request_cost) * 16 + u64::from(count * width);
            best = best.min(cost + rest[next]);
        }
        rest[from] = best;
    }
    rest[0]
}

fn cost_in_bits(read: &ducto_modbus::Read, limits: Limits) -> u64 {
    let width = if read.range.table.is_bits() { 1 } else { 16 * u64::from(read.range.table.words()) };
    u64::from(limits.request_cost) * 16 + u64::from(read.range.count) * width
}

/// As a device's list of registers looks: blocks of values with gaps, single ones far away, all tables.
#[test]
fn a_thousand_register_maps_are_read_at_the_least_cost() {
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = move |below: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % below
    };
    let tables = [
        (Table::Coils, 1),
        (Table::DiscreteInputs, 1),
        (Table::InputRegisters, 16),
        (Table::HoldingRegisters, 16),
        (Table::LongRegisters, 32),
    ];
    let (mut worst, mut requests, mut values) = (0.0_f64, 0, 0);
    for map in 0..1_000 {
        let limits = Limits {
            registers: 8 + next(118) as u16,
            bits: 16 + next(1985) as u16,
            request_cost: [0, 1, 8, 32, 100, 400][next(6) as usize],
        };
        let mut items = Vec::new();
        let mut holes = Holes::new();
        let mut refused = vec![vec![false; 65_536 + 200]; tables.len()];
        for (number, (table, _)) in tables.iter().enumerate() {
            let mut at = next(3_000);
            for _ in 0..next(40) {
                let count = if table.is_bits() { 1 } else { [1, 1, 2, 2, 2, 4][next(6) as usize] };
                if at + count > 65_536 {
                    break;
                }
                items.push(Item { table: *table, offset: at as u16, count: count as u16 });
                at += count + [0, 0, 0, 0, 1, 2, 5, 20, 200, 2_000][next(10) as usize];
                if next(50) == 0 {
                    holes.insert(Item { table: *table, offset: at.min(65_535) as u16, count: 1 });
                    refused[number][at.min(65_535) as usize] = true;
                    at += 1;
                }
            }
            // The last register of all.
            if next(4) == 0 && !refused[number][65_535] {
                items.push(Item { table: *table, offset: 65_535, count: 1 });
            }
        }
        // In any order: lists are not sorted.
        for index in (1..items.len()).rev() {
            items.swap(index, next(index as u64 + 1) as usize);
        }
        let plan = Plan::new(&items, limits, &holes);
        let read: u64 = plan.reads.iter().map(|read| cost_in_bits(read, limits)).sum();
        let mut served: Vec<usize> = plan.reads.iter().flat_map(|read| read.items.iter().copied()).collect();
        served.extend(plan.refused.iter().map(|(index, _)| *index));
        served.sort_unstable();
        assert_eq!(served, (0..items.len()).collect::<Vec<_>>(), "map {map}: each item is read once");
        let best: u64 = tables
            .iter()
            .zip(&refused)
            .map(|((table, width), refused)| {
                let longest = match table {
                    Table::LongRegisters => limits.registers / 2,
                    table if table.is_bits() => limits.bits,
                    _ => limits.registers,
                };
                let of_table: Vec<Item> =
                    items.iter().copied().filter(|item| item.table == *table && !holes.overlap(*item)).collect();
                if of_table.is_empty() {
                    return 0;
                }
                cheapest_of_map(&of_table, limits, *width, longest.into(), refused)
            })
            .sum();
        assert!(read >= best, "map {map}: the reference is no optimum");
        worst = worst.max(if best == 0 { 1.0 } else { read as f64 / best as f64 });
        requests += plan.reads.len();
        values += items.len();
    }
    assert!(worst <= 1.1, "a plan costs {worst} times the optimum");
    assert!(values > 50_000 && requests > 5_000, "{values} values in {requests} requests: no maps to speak of");
}

/// The cheapest way to put the items into groups, each read by one request, by trying them all.
fn cheapest(items: &[Item], groups: &mut Vec<Vec<Item>>, limits: Limits, holes: &Holes) -> Option<u32> {
    let Some((item, rest)) = items.split_first() else {
        return groups
            .iter()
            .map(|group| {
                let start = group.iter().map(|i| i.offset).min().unwrap();
                let end = group.iter().map(|i| i.offset + i.count).max().unwrap();
                let range = holding(start, end - start);
                (range.count <= limits.registers && !holes.overlap(range))
                    .then(|| u32::from(limits.request_cost) + u32::from(range.count))
            })
            .sum();
    };
    let mut best: Option<u32> = None;
    for at in 0..=groups.len() {
        if at == groups.len() {
            groups.push(vec![*item])
        } else {
            groups[at].push(*item)
        }
        let cost = cheapest(rest, groups, limits, holes);
        best = [best, cost].into_iter().flatten().min();
        groups[at].pop();
        groups.retain(|group| !group.is_empty());
    }
    best
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300,
        rng_seed: RngSeed::Fixed(3),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_plan_is_cheaper(
        items in prop::collection::vec((0u16..40, 1u16..5).prop_map(|(o, n)| holding(o, n)), 0..7),
        registers in 4u16..24,
        request_cost in 0u16..20,
        hole in 0u16..60,
    ) {
        let limits = Limits { registers, request_cost, ..Limits::default() };
        let mut holes = Holes::new();
        holes.insert(holding(hole, 1));
        let plan = Plan::new(&items, limits, &holes);
        let mut served: Vec<usize> = plan.refused.iter().map(|(i, _)| *i).collect();
        let mut cost = 0;
        for read in &plan.reads {
            prop_assert!(read.range.count <= registers && !holes.overlap(read.range));
            cost += u32::from(request_cost) + u32::from(read.range.count);
            for i in &read.items {
                prop_assert!(read.slice(items[*i]).end <= usize::from(read.range.count));
                prop_assert!(items[*i].offset >= read.range.offset);
                served.push(*i);
            }
        }
        served.sort_unstable();
        prop_assert_eq!(served, (0..items.len()).collect::<Vec<_>>());
        let readable: Vec<Item> = items.iter().copied().filter(|i| !holes.overlap(*i)).collect();
        prop_assert_eq!(Some(cost), cheapest(&readable, &mut Vec::new(), limits, &holes));
    }
}
