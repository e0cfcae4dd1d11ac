//! What scenarios do to a field, and what its devices show of it.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::sync::Arc;

use ducto_graph::diagnostic::Diagnostics;
use ducto_graph::source::Sources;
use ducto_record::{Micros, Quality};

use super::*;
use crate::device::gateway::Image;
use crate::scenario::Overrides;

const SECOND: Micros = 1_000_000;

/// A scenario out of a text.
pub(crate) fn scenario(text: &str) -> Arc<Scenario> {
    let (mut sources, mut found) = (Sources::new(), Diagnostics::new());
    let units = ducto_operators::units::units();
    let read = Scenario::from_text("test.yaml", text, &Overrides::default(), &units, &mut sources, &mut found);
    match read {
        Some(scenario) => Arc::new(scenario),
        None => panic!("{}", found.render(&sources, false)),
    }
}

fn built_in(seed: u64, wells: u32) -> Arc<Scenario> {
    let over = Overrides { seed: Some(seed), wells: Some(wells), speed: None };
    let units = ducto_operators::units::units();
    Arc::new(Scenario::built_in(&over, &units, &mut Sources::new(), &mut Diagnostics::new()).unwrap())
}

fn run(simulation: &mut Simulation, seconds: i64) {
    for _ in 0..seconds {
        simulation.step(SECOND);
    }
}

fn images(simulation: &Simulation) -> Vec<u8> {
    let image = |asset: &Asset| {
        let mut image = Image::default();
        image.show(asset);
        image.bytes()
    };
    simulation.assets().iter().flat_map(image).collect()
}

fn tag<'a>(simulation: &'a Simulation, name: &str) -> (&'a Asset, &'a Tag) {
    let mut tags = simulation.assets().iter().flat_map(|asset| asset.tags.iter().map(move |tag| (asset, tag)));
    tags.find(|(_, tag)| &*tag.name == name).unwrap_or_else(|| panic!("no tag {name}"))
}

fn truth(simulation: &Simulation, name: &str) -> f64 {
    tag(simulation, name).1.truth
}

fn shown(simulation: &Simulation, name: &str) -> f64 {
    tag(simulation, name).1.shown
}

#[test]
fn the_same_seed_gives_the_same_registers_byte_for_byte() {
    let shown = |seed| {
        let mut simulation = Simulation::new(built_in(seed, 8));
        let mut bytes = images(&simulation);
        for _ in 0..300 {
            simulation.step(SECOND);
            bytes.extend(images(&simulation));
        }
        bytes
    };
    assert_eq!(shown(5), shown(5));
    assert_ne!(shown(5), shown(6));
}

#[test]
fn a_well_is_the_same_however_many_others_there_are() {
    let values = |wells| {
        let mut simulation = Simulation::new(built_in(3, wells));
        run(&mut simulation, 100);
        let asset = &simulation.assets()[1];
        // What hangs on the separator, which all share, is left out.
        let alone = |tag: &&Tag| ["PIP", "ESP_FREQUENCY", "CHOKE", "RUN_HOURS"].contains(&tag.variable.name);
        asset.tags.iter().filter(alone).map(|tag| tag.shown.round() as i64).collect::<Vec<_>>()
    };
    assert_eq!(values(2), values(40));
}

#[test]
fn events_happen_when_they_should_and_are_undone() {
    let scenario = scenario(
        "
simulation: test
wells: {count: 3}
events:
  - {at: 10s, well: WELL-001, event: choke, to: 10 %, over: 5s, for: 30s}
  - {at: 20s, well: WELL-002, event: stop, for: 20s}
  - {at: 5s, well: WELL-003, event: well_test, for: 50s}
  - {at: 70s, well: WELL-001, event: frequency, to: 40 Hz}
  - {at: 70s, well: WELL-002, event: water_cut, to: 95 %, over: 10s}
  - {at: 70s, separator: SEP-01, event: pressure, to: 1.5 MPag, for: 100s}
",
    );
    let mut simulation = Simulation::new(scenario);
    let opening = truth(&simulation, "WELL-001.CHOKE");
    let rate = truth(&simulation, "WELL-001.OIL_RATE");
    run(&mut simulation, 9);
    assert_eq!(truth(&simulation, "WELL-001.CHOKE"), opening);
    assert_eq!(truth(&simulation, "WELL-003.ON_TEST"), 1.0);
    assert_eq!(shown(&simulation, "SEP-TEST.WELL_ON_TEST"), 3.0);
    run(&mut simulation, 16);
    assert!((truth(&simulation, "WELL-001.CHOKE") - 10.0).abs() < 1e-9);
    assert!(truth(&simulation, "WELL-001.OIL_RATE") < 0.8 * rate);
    assert_eq!(truth(&simulation, "WELL-002.RUN"), 0.0);
    // What is off shows nothing, and not now a little more and now a little less.
    for _ in 0..5 {
        run(&mut simulation, 1);
        assert_eq!(shown(&simulation, "WELL-002.ESP_CURRENT"), 0.0);
    }
    run(&mut simulation, 35);
    assert!((truth(&simulation, "WELL-001.CHOKE") - opening).abs() < 1e-9);
    assert_eq!(truth(&simulation, "WELL-002.RUN"), 1.0);
    assert_eq!(truth(&simulation, "WELL-003.ON_TEST"), 0.0);
    assert_eq!(shown(&simulation, "SEP-TEST.WELL_ON_TEST"), 0.0);
    run(&mut simulation, 90);
    assert!((truth(&simulation, "WELL-001.ESP_FREQUENCY") - 40.0).abs() < 1e-9);
    // 1.5 MPag is 217.6 psig.
    assert!((truth(&simulation, "SEP-01.PRESSURE") - 217.6).abs() < 15.0);
    let (oil, water) = (truth(&simulation, "WELL-002.OIL_RATE"), truth(&simulation, "WELL-002.WATER_RATE"));
    assert!((water / (oil + water) - 0.95).abs() < 0.03, "{water} of {}", oil + water);
    let begun: Vec<(Micros, String)> = simulation
        .happenings()
        .into_iter()
        .filter(|happening| &*happening.asset == "WELL-001")
        .map(|Happening { at, text: [english, _], .. }| (at / SECOND, english))
        .collect();
    let back = format!("choke back to {opening:.0} %");
    let expected = [(10, "choke to 10 %, over 5 s"), (40, &back), (70, "drive to 40.0 Hz")];
    assert_eq!(begun, expected.map(|(at, text)| (at, text.to_owned())));
}

#[test]
fn a_test_separator_has_one_well_at_a_time() {
    let mut simulation = Simulation::new(built_in(5, 40));
    let mut tested = 0;
    for _ in 0..6 * 24 * 60 {
        simulation.step(600 * SECOND);
        let routes = &simulation.field().routes;
        let on_test = routes.iter().filter(|route| **route == 1).count();
        assert!(on_test <= 1, "{on_test} wells on test after {} s", simulation.elapsed() / SECOND);
        tested += on_test;
    }
    let happenings = simulation.happenings();
    let left_out = happenings.iter().filter(|happening| happening.text[0].starts_with("no well test: WELL-")).count();
    assert!(tested > 1_000 && left_out > 10, "{tested}, {left_out}");
}

#[test]
fn transmitters_go_wrong_and_the_truth_does_not() {
    let scenario = scenario(
        "
simulation: test
wells: {count: 2}
events:
  - {at: 0s, well: WELL-001, tag: CHP, event: freeze, for: 60s}
  - {at: 10s, well: WELL-001, tag: THP, event: spike, to: 6553.5}
  - {at: 20s, well: WELL-001, tag: THP, event: spike, by: 7 bar}
  - {at: 10s, well: WELL-001, tag: FLT, event: drift, by: 10 delta_degC, over: 100s}
  - {at: 10s, well: WELL-001, tag: PIP, event: fail, for: 50s}
  - {at: 10s, well: WELL-001, tag: ESP_CURRENT, event: fail, to: 0}
  - {at: 10s, well: WELL-001, tag: RUN, event: fail, to: 0, for: 10s}
",
    );
    let mut simulation = Simulation::new(scenario);
    let stuck = shown(&simulation, "WELL-001.CHP");
    assert!(stuck > 50.0);
    run(&mut simulation, 10);
    assert_eq!(shown(&simulation, "WELL-001.CHP"), stuck);
    assert_eq!(shown(&simulation, "WELL-001.THP"), 6_553.5);
    assert!(truth(&simulation, "WELL-001.THP") < 1_000.0);
    assert!(shown(&simulation, "WELL-001.PIP").is_nan());
    assert_eq!(shown(&simulation, "WELL-001.ESP_CURRENT"), 0.0);
    assert_eq!((shown(&simulation, "WELL-001.RUN"), truth(&simulation, "WELL-001.RUN")), (0.0, 1.0));
    run(&mut simulation, 1);
    let off = |simulation: &Simulation, name| shown(simulation, name) - truth(simulation, name);
    assert!(off(&simulation, "WELL-001.THP").abs() < 20.0);
    run(&mut simulation, 9);
    assert!((off(&simulation, "WELL-001.THP") - 101.5).abs() < 20.0);
    run(&mut simulation, 40);
    assert!((off(&simulation, "WELL-001.FLT") - 9.0).abs() < 1.5);
    let (asset, flt) = tag(&simulation, "WELL-001.FLT");
    assert_eq!(asset.wrong(flt), Some("drift"));
    run(&mut simulation, 100);
    assert!((off(&simulation, "WELL-001.FLT") - 18.0).abs() < 1.0);
    assert_ne!(shown(&simulation, "WELL-001.CHP"), stuck);
    assert!(off(&simulation, "WELL-001.PIP").abs() < 20.0);
    // The other well knows nothing of it.
    for tag in &simulation.assets()[1].tags {
        assert_eq!(simulation.assets()[1].wrong(tag), None);
    }
}

#[test]
fn devices_go_wrong_in_every_way() {
    let scenario = scenario(
        "
simulation: test
wells: {count: 5}
events:
  - {at: 1s, well: WELL-001, event: dead, for: 10s}
  - {at: 1s, well: WELL-002, event: slow, by: 1500 ms}
  - {at: 1s, well: WELL-003, event: lie, answer: zeros}
  - {at: 1s, well: WELL-004, event: lie, answer: exception}
  - {at: 1s, separator: SEP-01, event: lie, answer: wrong_unit}
",
    );
    let mut simulation = Simulation::new(scenario);
    run(&mut simulation, 5);
    let received = |simulation: &Simulation, name| {
        let (asset, tag) = tag(simulation, name);
        asset.received(tag)
    };
    assert_eq!(received(&simulation, "WELL-001.THP"), (None, Quality::COMM_FAILURE));
    assert_eq!(received(&simulation, "WELL-002.THP"), (Some(shown(&simulation, "WELL-002.THP")), Quality::GOOD));
    assert_eq!(simulation.assets()[1].trouble(), Some(Trouble::Slow { seconds: 1.5 }));
    assert_eq!(received(&simulation, "WELL-003.THP"), (Some(0.0), Quality::GOOD));
    assert_eq!(received(&simulation, "WELL-004.THP"), (None, Quality::DEVICE_FAILURE));
    assert_eq!(received(&simulation, "SEP-01.LEVEL"), (None, Quality::COMM_FAILURE));
    run(&mut simulation, 10);
    assert_eq!(received(&simulation, "WELL-001.THP").1, Quality::GOOD);
}

#[test]
fn totals_roll_over_and_the_truth_goes_on() {
    let scenario = scenario("{simulation: test, wells: {count: 10}, separators: {S: {totals: 999999}}}");
    let mut simulation = Simulation::new(scenario);
    let mut before = shown(&simulation, "S.OIL_TOTAL");
    let mut rolled = 0;
    for _ in 0..3_600 {
        simulation.step(SECOND);
        let now = shown(&simulation, "S.OIL_TOTAL");
        rolled += u32::from(now < before);
        assert!((0.0..1_000_000.0).contains(&now) && now.fract() == 0.0);
        before = now;
    }
    assert_eq!(rolled, 1);
    assert!(truth(&simulation, "S.OIL_TOTAL") > 1_000_000.0);
}

#[test]
fn random_events_come_as_often_as_they_should() {
    let scenario = scenario(
        "
simulation: test
wells: {count: 10}
events:
  - {well: \"*\", event: gas_lock, random_every: 1d, for: 1h}
  - {well: WELL-00*, tag: THP, event: spike, by: 5, random_every: 6h}
",
    );
    let mut simulation = Simulation::new(scenario);
    // Half a year in steps of ten minutes.
    for _ in 0..6 * 24 * 180 {
        simulation.step(600 * SECOND);
    }
    let mut count: BTreeMap<(String, &str), u32> = BTreeMap::new();
    for happening in simulation.happenings().into_iter().filter(|happening| happening.begins) {
        *count.entry((happening.asset.to_string(), happening.event.name())).or_default() += 1;
    }
    let of = |event: &str| count.iter().filter(|((_, name), _)| *name == event).map(|(_, n)| *n).collect::<Vec<_>>();
    let (locks, spikes) = (of("gas_lock"), of("spike"));
    // Ten wells, once in 25 h each; nine wells that the pattern names, four times a day.
    assert_eq!((locks.len(), spikes.len()), (10, 9));
    let (locks, spikes) = (locks.iter().sum::<u32>(), spikes.iter().sum::<u32>());
    assert!((1_550..1_900).contains(&locks), "{locks}");
    assert!((6_100..6_800).contains(&spikes), "{spikes}");
}

#[test]
fn events_fall_at_the_same_times_whatever_the_steps_are() {
    let begun = |step: Micros| {
        let mut simulation = Simulation::new(built_in(11, 5));
        while simulation.elapsed() < 5 * 86_400 * SECOND {
            simulation.step(step);
        }
        let times =
            simulation.happenings().into_iter().map(|happening| (happening.at, happening.asset, happening.event));
        times.collect::<Vec<_>>()
    };
    let fine = begun(60 * SECOND);
    assert!(fine.len() > 20);
    assert_eq!(fine, begun(3_600 * SECOND));
}

/// Fields with everything that the scenario that is built in has, over months and in steps of every length.
#[test]
fn no_value_is_out_of_its_mind_over_many_seeds() {
    for seed in 0..60 {
        let mut simulation = Simulation::new(built_in(seed, 6));
        let step = [10, 60, 600, 3_600][seed as usize % 4] * SECOND;
        for _ in 0..700 {
            simulation.step(step);
            for asset in simulation.assets() {
                for tag in &asset.tags {
                    let name = &tag.name;
                    assert!(tag.truth.is_finite() && tag.truth >= -20.0 && tag.truth < 1e7, "{name}: {}", tag.truth);
                    assert!(tag.shown.is_finite() || asset.wrong(tag).is_some(), "seed {seed}, {name}");
                    let is_pressure = tag.variable.unit == Some("psig");
                    assert!(!is_pressure || tag.truth > 0.0, "seed {seed}, {name}: {}", tag.truth);
                }
            }
        }
    }
}

#[test]
fn the_meters_add_up_to_what_the_wells_give() {
    let mut simulation = Simulation::new(built_in(2, 12));
    run(&mut simulation, 4_000);
    let field = simulation.field();
    let (mut wells, mut meters) = (Volumes::default(), Volumes::default());
    field.wells.iter().for_each(|well| wells += well.produced());
    for separator in &field.separators {
        meters += separator.metered();
        meters += separator.content();
    }
    let first = Simulation::new(built_in(2, 12));
    let inside: f64 = first.field().separators.iter().map(|separator| separator.content().liquid()).sum();
    assert!((meters.liquid() - inside - wells.liquid()).abs() < 1e-6 * wells.liquid());
}
