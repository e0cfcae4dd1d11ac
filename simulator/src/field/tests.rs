//! What must hold of any field.

#![allow(clippy::unwrap_used)]

use super::*;

const LINE: f64 = 165.0;

fn well(seed: u64) -> Well {
    let design = Design::draw(&mut Random::new(seed, "design"), &Known::default(), LINE);
    Well::new(design, Random::new(seed, "well"), LINE)
}

fn run(well: &mut Well, steps: u32, dt: f64) {
    for _ in 0..steps {
        well.step(dt, LINE, 0.0);
    }
}

fn at(design: &Design) -> Conditions {
    Conditions { line: LINE, frequency: design.frequency, opening: design.opening, wear: design.wear, gas_lock: 0.0 }
}

fn field(seed: u64, wells: u64) -> Field {
    let wells: Vec<Well> = (0..wells).map(|index| well(seed * 1_000 + index)).collect();
    let mut flow = Volumes::default();
    wells.iter().for_each(|well| flow += well.rates());
    let routes = (0..wells.len()).map(|index| usize::from(index % 4 == 3)).collect();
    let separators = vec![Separator::new(flow, LINE), Separator::new(flow.times(0.25), LINE)];
    Field::new(wells, separators, routes, 0.0)
}

#[test]
fn a_well_runs_where_it_was_designed_to() {
    for seed in 0..300 {
        let well = well(seed);
        let design = well.design();
        let rest = design.at_rest(&at(design));
        assert!((rest.rate / design.rate - 1.0).abs() < 0.15, "seed {seed}: {rest:?} of {}", design.rate);
        assert!(rest.head > LINE + 20.0 && rest.discharge > rest.intake + 500.0, "seed {seed}: {rest:?}");
        assert!((40.0..110.0).contains(&(100.0 * well.current() / design.motor.current)), "seed {seed}");
        assert!((150.0..500.0).contains(&well.head_pressure()), "seed {seed}: {}", well.head_pressure());
    }
}

#[test]
fn less_choke_is_less_rate_and_more_head_pressure() {
    for seed in 0..100 {
        let design = well(seed).design().clone();
        let mut before: Option<OperatingPoint> = None;
        for opening in [1.0, 0.6, 0.4, 0.3, 0.2, 0.1, 0.05, 0.0] {
            let now = design.at_rest(&Conditions { opening, ..at(&design) });
            if let Some(before) = before {
                assert!(now.rate < before.rate && now.head > before.head, "seed {seed}: {before:?}, then {now:?}");
                assert!(now.intake > before.intake);
            }
            before = Some(now);
        }
        // Shut in, the pump pushes against the choke, and next to nothing flows.
        let shut = before.unwrap();
        assert!(shut.rate < 15.0 && shut.head > LINE + 300.0, "seed {seed}: {shut:?}");
    }
}

#[test]
fn frequency_wear_water_gas_and_line_pressure_do_what_they_should() {
    for seed in 0..100 {
        let design = well(seed).design().clone();
        let base = design.at_rest(&at(&design));
        let with = |change: &dyn Fn(&mut Conditions)| {
            let mut at = at(&design);
            change(&mut at);
            design.at_rest(&at)
        };
        assert!(with(&|at| at.frequency += 2.0).rate > base.rate);
        let worn = with(&|at| at.wear = 0.2);
        assert!(worn.rate < base.rate && worn.intake > base.intake, "seed {seed}: {base:?}, then {worn:?}");
        assert!(with(&|at| at.line += 60.0).rate < base.rate);
        assert!(with(&|at| at.gas_lock = 1.0).rate < 0.5 * base.rate, "seed {seed}");
        assert_eq!(with(&|at| at.frequency = 0.0).rate, 0.0, "seed {seed} flows by itself");
        let mut tired = design.clone();
        tired.inflow.reservoir *= 0.8;
        assert!(tired.at_rest(&at(&design)).rate < base.rate);
    }
}

#[test]
fn power_follows_the_affinity_laws_through_the_whole_well() {
    // Against friction and a choke alone, a pump follows its laws exactly: rate ∝ f, head ∝ f², power ∝ f³.
    let pump = well(1).design().pump;
    let resistance = pump.head(0.6 * pump.free_rate, 60.0) / (0.6 * pump.free_rate).powi(2);
    let rate = |frequency: f64| {
        let root = solve::falling(|q| pump.head(q, frequency) - resistance * q * q, 1_000.0, pump.free_rate);
        root.at
    };
    let (full, slow) = (rate(60.0), rate(45.0));
    assert!((slow / full - 0.75).abs() < 1e-4, "{slow} of {full}");
    assert!((pump.head(slow, 45.0) / pump.head(full, 60.0) - 0.75f64.powi(2)).abs() < 1e-4);
    assert!((pump.power(slow, 45.0) / pump.power(full, 60.0) - 0.75f64.powi(3)).abs() < 1e-4);
}

#[test]
fn gas_lock_makes_the_current_fall_and_swing() {
    for seed in 0..20 {
        let mut well = well(seed);
        let currents = |well: &mut Well, seconds: u32| -> Vec<f64> {
            (0..seconds)
                .map(|_| {
                    well.step(1.0, LINE, 0.0);
                    well.current()
                })
                .collect()
        };
        let figures = |values: &[f64]| {
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            (mean, (values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / values.len() as f64).sqrt())
        };
        let (steady, quiet) = figures(&currents(&mut well, 60));
        let rate = well.rates().liquid();
        well.set_gas(1.0);
        currents(&mut well, 40);
        let (locked, swinging) = figures(&currents(&mut well, 60));
        assert!(locked < 0.75 * steady, "seed {seed}: {locked} A of {steady}");
        assert!(swinging > 5.0 * quiet, "seed {seed}: ±{swinging} where it was ±{quiet}");
        assert!(well.rates().liquid() < 0.5 * rate, "seed {seed}");
        well.set_gas(0.0);
        currents(&mut well, 600);
        assert!(well.rates().liquid() > 0.8 * rate, "seed {seed}: it does not come back");
    }
}

#[test]
fn a_stop_and_a_start_take_their_time() {
    for seed in 0..20 {
        let mut well = well(seed);
        let (rate, intake, starts) = (well.rates().liquid(), well.intake_pressure(), well.starts());
        well.stop();
        run(&mut well, 120, 1.0);
        assert_eq!((well.current(), well.rates().liquid(), well.turns()), (0.0, 0.0, false));
        assert!(well.intake_pressure() > intake, "seed {seed}: the annulus does not fill");
        let hours = well.run_hours();
        well.start();
        let mut frequencies = Vec::new();
        for _ in 0..120 {
            well.step(1.0, LINE, 0.0);
            frequencies.push(well.frequency());
        }
        assert!(frequencies.windows(2).all(|pair| pair[1] - pair[0] <= 2.0 + 1e-9), "the drive jumps");
        assert_eq!(well.frequency(), well.frequency_set());
        assert!(well.rates().liquid() > 0.7 * rate, "seed {seed}");
        assert_eq!(well.starts(), starts + 1);
        assert!(well.run_hours() > hours);
    }
}

#[test]
fn what_the_wells_give_the_separators_have() {
    for (seed, dt) in [(1, 1.0), (2, 10.0), (3, 600.0)] {
        let mut field = field(seed, 12);
        let first: Vec<Volumes> = field.separators.iter().map(Separator::content).collect();
        for step in 0..2_000u32 {
            match step {
                300 => field.wells[2].stop(),
                500 => field.routes[0] = 1,
                700 => field.separators[0].set_outlets(false),
                1_050 => field.separators[0].set_outlets(true),
                1_100 => field.wells[5].set_gas(1.0),
                1_300 => field.separators[1].set_pressure(LINE + 80.0),
                _ => {}
            }
            field.step(dt);
        }
        let mut out = Volumes::default();
        for (separator, first) in field.separators.iter().zip(first) {
            out += separator.metered();
            out += separator.carried_over();
            out += separator.content();
            out += first.times(-1.0);
        }
        let mut produced = Volumes::default();
        field.wells.iter().for_each(|well| produced += well.produced());
        for (got, expected) in [(out.oil, produced.oil), (out.water, produced.water), (out.gas, produced.gas)] {
            assert!((got / expected - 1.0).abs() < 1e-9, "{out:?} of {produced:?}");
        }
        assert!(field.separators[0].carried_over().liquid() > 0.0, "a blocked outlet never filled it");
    }
}

#[test]
fn in_calm_the_meters_show_the_sum_of_the_wells() {
    let mut field = field(4, 12);
    (0..3_000).for_each(|_| field.step(1.0));
    for (index, separator) in field.separators.iter().enumerate() {
        let mut sum = Volumes::default();
        field.wells.iter().zip(&field.routes).filter(|(_, to)| **to == index).for_each(|(w, _)| sum += w.rates());
        let flows = separator.flows();
        for (got, expected) in [(flows.oil, sum.oil), (flows.water, sum.water), (flows.gas, sum.gas)] {
            assert!((got / expected - 1.0).abs() < 0.05, "{flows:?} where the wells give {sum:?}");
        }
        assert!((0.3..0.8).contains(&separator.oil_level()), "{}", separator.oil_level());
    }
}

#[test]
fn a_blocked_outlet_fills_the_separator() {
    let mut field = field(5, 8);
    (0..600).for_each(|_| field.step(1.0));
    let level = field.separators[0].oil_level();
    field.separators[0].set_outlets(false);
    (0..60).for_each(|_| field.step(1.0));
    assert!(field.separators[0].oil_level() > level + 0.15);
    assert_eq!(field.separators[0].flows().liquid(), 0.0);
    (0..600).for_each(|_| field.step(1.0));
    assert_eq!(field.separators[0].oil_level(), 1.0);
}

#[test]
fn years_make_wells_weaker_and_wetter() {
    let mut well = well(6);
    let (rate, cut, wear) = (well.rates().liquid(), well.design().fluid.water_cut, well.wear());
    run(&mut well, 2 * 365 * 24, 3_600.0);
    assert!(well.rates().liquid() < 0.97 * rate, "{} of {rate}", well.rates().liquid());
    assert!(well.wear() > wear + 0.03 && well.design().fluid.water_cut > cut - 0.02);
}

/// Numbers that are wrong in any way.
fn fault(well: &Well) -> Option<&'static str> {
    let pressures = [
        well.head_pressure(),
        well.casing_pressure(),
        well.line_pressure(),
        well.intake_pressure(),
        well.discharge_pressure(),
    ];
    let rates = well.rates();
    let others =
        [rates.oil, rates.water, rates.gas, well.current(), well.frequency(), well.voltage(), well.vibration()];
    if pressures.iter().any(|value| !value.is_finite() || *value <= 0.0 || *value > 20_000.0) {
        return Some("a pressure");
    }
    if others.iter().any(|value| !value.is_finite() || *value < 0.0) {
        return Some("a rate, or what the motor does");
    }
    let heats = [well.line_temperature(), well.motor_temperature()];
    heats.iter().any(|value| !(30.0..700.0).contains(value)).then_some("a temperature")
}

/// Wells of every kind that a scenario can ask for, each with all that can happen to it, in steps of every length.
#[test]
fn nothing_breaks_over_ten_thousand_wells() {
    for seed in 0..10_000 {
        let mut random = Random::new(seed, "extremes");
        let mut maybe = |low: f64, high: f64| (random.unit() < 0.5).then(|| random.between(low, high));
        let known = Known {
            reservoir_pressure: maybe(400.0, 9_000.0),
            productivity: maybe(0.05, 30.0),
            bubble_point: maybe(50.0, 5_000.0),
            water_cut: maybe(0.0, 1.0),
            gas_oil_ratio: maybe(0.0, 2_500.0),
            pump_depth: maybe(1_000.0, 12_000.0),
            frequency: maybe(30.0, 70.0),
            choke: maybe(0.0, 1.0),
            wear: maybe(0.0, 0.9),
        };
        let line = random.between(20.0, 900.0);
        let design = Design::draw(&mut Random::new(seed, "design"), &known, line);
        assert!(known.choke == Some(0.0) || design.is_sound(), "seed {seed}: {design:?}");
        let mut well = Well::new(design, Random::new(seed, "well"), line);
        assert_eq!(fault(&well), None, "seed {seed} at the start: {well:#?}");
        for step in 0..24 {
            match random.bits() % 8 {
                0 => well.set_choke(random.unit(), random.between(0.0, 100.0)),
                1 => well.set_frequency(random.between(20.0, 70.0)),
                2 => well.stop(),
                3 => well.start(),
                4 => well.set_gas(random.unit()),
                5 => well.wear_by(random.unit(), random.between(0.0, 1e6)),
                6 => well.set_water_cut(random.unit(), random.between(0.0, 1e5)),
                _ => {}
            }
            let dt = [0.1, 1.0, 10.0, 60.0, 3_600.0, 86_400.0][(random.bits() % 6) as usize];
            let volumes = well.step(dt, line + random.between(-4.0, 100.0), random.between(0.0, 86_400.0));
            assert!(volumes.oil >= 0.0 && volumes.water >= 0.0 && volumes.gas >= 0.0 && volumes.gas.is_finite());
            assert_eq!(fault(&well), None, "seed {seed}, step {step} of {dt} s: {well:#?}");
        }
    }
}

#[test]
fn the_same_seed_is_the_same_field() {
    let shown = |seed| {
        let mut field = field(seed, 5);
        (0..500).for_each(|_| field.step(1.0));
        field.wells.iter().map(|well| (well.head_pressure().to_bits(), well.current().to_bits())).collect::<Vec<_>>()
    };
    assert_eq!(shown(8), shown(8));
    assert_ne!(shown(8), shown(9));
}
