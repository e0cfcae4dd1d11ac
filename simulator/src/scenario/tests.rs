//! Scenarios as they are written, the right and the wrong ones.

#![allow(clippy::unwrap_used, clippy::panic)]

use ducto_graph::diagnostic::Diagnostics;
use ducto_graph::source::Sources;

use super::*;

fn read_over(text: &str, over: &Overrides) -> Result<Scenario, String> {
    let (mut sources, mut found) = (Sources::new(), Diagnostics::new());
    let units = ducto_operators::units::units();
    let scenario = Scenario::from_text("s.yaml", text, over, &units, &mut sources, &mut found);
    scenario.filter(|_| found.is_empty()).ok_or_else(|| found.render(&sources, false))
}

fn read(text: &str) -> Result<Scenario, String> {
    read_over(text, &Overrides::default())
}

fn events(lines: &str) -> Vec<Event> {
    read(&format!("simulation: s\nwells: {{count: 12}}\nevents:\n{lines}\n"))
        .unwrap_or_else(|text| panic!("{text}"))
        .events
}

#[test]
fn what_is_not_said_has_a_default() {
    let scenario = read("simulation: s").unwrap();
    assert_eq!((scenario.wells.len(), scenario.seed, scenario.speed), (20, 1, 1.0));
    assert_eq!(&*scenario.wells[19].name, "WELL-020");
    assert_eq!(scenario.wells[0].model.name, "esp-controller");
    let separators: Vec<(&str, bool)> = scenario.separators.iter().map(|plan| (&*plan.name, plan.test)).collect();
    assert_eq!(separators, [("SEP-01", false), ("SEP-TEST", true)]);
    assert!(scenario.wells.iter().all(|well| well.flows_to == 0));
    assert!(scenario.events.is_empty());
}

#[test]
fn wells_and_separators_are_what_is_said() {
    let scenario = read(
        "
simulation: norte
seed: 7
speed: 60
start: 2026-03-01T06:00:00-05:00
wells:
  count: 3
  prefix: POZO-
  all: {water_cut: 70 %, device: well-rtu, flows_to: B}
  each:
    POZO-002: {water_cut: 0.5 fraction, reservoir_pressure: 20 MPaa, frequency: 48, flows_to: A, device: esp-controller}
separators:
  T: {test: true}
  A: {pressure: 12 barg}
  B: {totals: 999000}
",
    )
    .unwrap_or_else(|text| panic!("{text}"));
    assert_eq!((scenario.seed, scenario.speed, scenario.start), (7, 60.0, 1_772_362_800_000_000));
    let [one, two, three] = &scenario.wells[..] else { panic!() };
    assert_eq!((&*one.name, one.model.name, one.flows_to), ("POZO-001", "well-rtu", 2));
    assert_eq!((two.model.name, two.flows_to, three.flows_to), ("esp-controller", 1, 2));
    assert_eq!((one.known.water_cut, two.known.water_cut), (Some(0.7), Some(0.5)));
    assert!((two.known.reservoir_pressure.unwrap() - 2_900.75).abs() < 0.1);
    assert_eq!(two.known.frequency, Some(48.0));
    assert!((scenario.separators[1].pressure - (12.0 * 14.503_77 + 14.7)).abs() < 0.01);
    assert_eq!(scenario.separators[2].totals, 999_000.0);
}

#[test]
fn events_are_what_is_said() {
    const SECOND: i64 = 1_000_000;
    let of = |line: &str| events(&format!("  - {line}")).remove(0);
    let choke = of("{at: 2m, well: WELL-003, event: choke, to: 30 %, over: 10s, for: 1h}");
    assert_eq!(choke.when, When::Once(120 * SECOND));
    assert_eq!(choke.lasts, Some(3_600 * SECOND));
    assert_eq!(choke.targets, [Target::Well(2)]);
    assert_eq!(choke.action, Action::Choke { to: 0.3, over: 10.0 });
    let every = of("{every: 5m, well: WELL-01*, event: gas_lock, to: 60, for: 1m}");
    assert_eq!(every.when, When::Every { first: 300 * SECOND, period: 300 * SECOND });
    assert_eq!(every.targets, [Target::Well(9), Target::Well(10), Target::Well(11)]);
    assert_eq!(every.action, Action::GasLock { severity: 0.6 });
    let random = of("{at: 1h, random_every: 6h, well: \"*\", tag: THP, event: spike, by: 1 bar}");
    assert_eq!(random.when, When::Randomly { from: 3_600 * SECOND, mean: 21_600 * SECOND });
    assert_eq!((random.targets.len(), random.lasts), (12, Some(SECOND)));
    let Action::Measurement { variable: 0, dirt: Dirt::SpikeBy(by) } = random.action else { panic!("{random:?}") };
    assert!((by - 14.503_77).abs() < 1e-4);
    let test = of("{at: 0, well: WELL-001, event: well_test, separator: SEP-TEST}");
    assert_eq!((test.action, &test.targets[..]), (Action::WellTest { separator: 1 }, &[Target::Well(0)][..]));
    let pressure = of("{at: 0, separator: SEP-01, event: pressure, to: 200 psia}");
    assert!(matches!(pressure.action, Action::Pressure { to } if (to - 200.0).abs() < 1e-6), "{pressure:?}");
    let level = of("{at: 0, separator: \"*\", tag: LEVEL, event: drift, by: 10, over: 1m}");
    assert_eq!(level.targets, [Target::Separator(0), Target::Separator(1)]);
    let fail = of("{at: 0, well: WELL-001, tag: PIP, event: fail}");
    assert!(matches!(fail.action, Action::Measurement { dirt: Dirt::Fail(value), .. } if value.is_nan()));
    let slow = of("{at: 0, well: WELL-001, event: slow, by: 700 ms}");
    assert!(matches!(slow.action, Action::Device(Trouble::Slow { seconds }) if (seconds - 0.7).abs() < 1e-9));
    let lie = of("{at: 0, separator: SEP-01, event: lie, answer: wrong_transaction}");
    assert_eq!(lie.action, Action::Device(Trouble::Lies(Lie::WrongTransaction)));
}

#[test]
fn the_command_line_says_more() {
    let text = "{simulation: s, seed: 3, speed: 2, wells: {count: 9, each: {WELL-008: {choke: 50}}}}";
    let over = Overrides { wells: Some(4), seed: Some(9), speed: Some(60.0) };
    let scenario = read_over(text, &over).unwrap_or_else(|text| panic!("{text}"));
    assert_eq!((scenario.wells.len(), scenario.seed, scenario.speed), (4, 9, 60.0));
    // An event of a well that the command line has taken away is a mistake all the same: it could not happen.
    let text = "{simulation: s, wells: {count: 9}, events: [{at: 1s, well: WELL-008, event: stop}]}";
    assert!(read_over(text, &over).unwrap_err().contains("there is no well `WELL-008`"));
}

#[test]
fn every_mistake_is_reported_at_once_with_its_place() {
    let text = "\
simulation: s
speeed: 60
wells:
  count: 12
  each:
    WELL-013: {choke: 50 %}
    WELL-001: {device: esp-controler, flows_to: SEP-02, water_cut: 120 %, frequency: 48 psi, bubble_point: 5 psix}
events:
  - {well: WELL-001, event: stop}
  - {at: 1s, every: 2s, random_every: 3s, well: WELL-001, event: stop}
  - {at: 1s, well: WELL-001, event: chok, to: 3 %}
  - {at: 1s, well: WELL-001, event: choke}
  - {at: 1s, well: WELL-001, event: dead, to: 3, answer: zeros}
  - {at: 1s, well: WELL-0001, event: dead}
  - {at: 1s, separator: SEP-01, event: choke, to: 30 %}
  - {at: 1s, well: WELL-001, separator: SEP-01, event: dead}
  - {at: 1s, well: WELL-001, tag: TPH, event: freeze}
  - {at: 1s, well: WELL-001, tag: THP, event: spike}
  - {at: 1s, well: WELL-001, tag: THP, event: spike, to: 40 Hz}
  - {at: 1s, well: WELL-001, tag: THP, event: spike, to: 40, by: 3}
  - {every: 10s, well: WELL-001, event: stop, for: 10s}
  - {every: 1ms, well: WELL-001, event: stop}
  - {at: 1s, well: WELL-001, event: lie, answer: sometimes}
  - {at: 1s, well: WELL-001, event: slow, by: 2 h}
  - {at: soon, well: WELL-001, event: start}
  - {at: 1s, well: WELL-001, event: wear, by: 3 %, for: 2s}
";
    insta::assert_snapshot!(read(text).unwrap_err());
}

#[test]
fn one_part_that_is_broken_hides_nothing_of_the_others() {
    let text = "\
simulation: s
wells: {cuont: 3}
separators: {A: {pressure: high}}
events:
  - {at: 1s, well: WELL-001, event: stop, to: 3}
  - {at: 1s, well: WELL-777, event: stop}
";
    insta::assert_snapshot!(read(text).unwrap_err());
    assert!(read("{simulation: s, events: {at: 1s}}").unwrap_err().contains("expected a list"));
}

#[test]
fn numbers_that_make_no_field_are_refused() {
    let text = "\
simulation: s
speed: 0
wells: {count: 0}
separators:
  'A B': {test: true, pressure: 9000 psig, totals: 1000000}
events:
  - {at: 1s, well: WELL-001, event: well_test}
";
    insta::assert_snapshot!(read(text).unwrap_err());
    assert!(read("[]").is_err() && read("").is_err() && read("simulation: [").is_err());
    let few = "{simulation: s, separators: {A: {}}, events: [{at: 1s, well: WELL-001, event: well_test}]}";
    assert!(read(few).unwrap_err().contains("there is no test separator"));
}

#[test]
fn what_is_shipped_is_right() {
    let units = ducto_operators::units::units();
    let (mut sources, mut found) = (Sources::new(), Diagnostics::new());
    let built_in = Scenario::built_in(&Overrides::default(), &units, &mut sources, &mut found);
    assert!(built_in.is_some(), "{}", found.render(&sources, false));
    // Every kind of event has a name by which it is read, and is in the scenario or in the tests above.
    for name in EventName::ALL {
        let read: EventName = serde_json::from_value(name.name().into()).unwrap();
        assert_eq!(read, name);
    }
}

/// The scenarios in the guide are read as they stand there; one shows each kind of event.
#[test]
fn the_guide_is_right() {
    let guide = include_str!("../../../docs/simulate.md");
    let blocks: Vec<&str> = guide.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(blocks.len(), 2);
    assert_eq!(read(blocks[0]).unwrap_or_else(|text| panic!("{text}")).events.len(), 5);
    let examples = read(&format!("simulation: examples\n{}", blocks[1])).unwrap_or_else(|text| panic!("{text}"));
    for name in EventName::ALL {
        assert!(examples.events.iter().any(|event| event.name == name), "no example of {}", name.name());
    }
}

#[test]
fn the_schema_says_what_the_check_says() {
    let schema = schema();
    let event = &schema["$defs"]["EventFields"];
    let cases = event["allOf"].as_array().unwrap();
    assert_eq!(cases.len(), EventName::ALL.len());
    let choke = cases.iter().find(|case| case["if"]["properties"]["event"]["const"] == "choke").unwrap();
    assert_eq!(choke["then"]["required"], serde_json::json!(["to", "well"]));
    assert_eq!(choke["then"]["properties"]["tag"], serde_json::json!(false));
    assert!(schema["properties"]["events"]["items"]["$ref"].is_string());
}
