//! A well with an electric submersible pump as it runs: what happens to it, and what could be measured on it.

use super::design::Design;
use super::operating::{Conditions, OperatingPoint};
use super::random::{Random, Swing};
use super::{DAY, YEAR, gauge, relax};

/// Lowest pressure that a pump can draw an intake down to, psia.
const PUMPED_OFF: f64 = 35.0;
/// Fastest start of a drive, Hz/s.
const RAMP_UP: f64 = 2.0;
/// A drive that is switched off lets the pump run out, Hz/s.
const RAMP_DOWN: f64 = 12.0;
/// Rates below this are not measured: the meters cut off, stb/d.
const CUT_OFF: f64 = 4.0;

/// Time constants, s.
mod lag {
    /// Rate and pressures at the wellhead follow the pump.
    pub(super) const FLOW: f64 = 4.0;
    pub(super) const CASING: f64 = 240.0;
    pub(super) const FLOW_LINE_HEAT: f64 = 420.0;
    pub(super) const MOTOR_HEAT: f64 = 300.0;
    pub(super) const GAS_LOCK: f64 = 8.0;
}

/// Volumes at standard conditions: stb of oil and water, Mscf of gas; or rates of these a day.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Volumes {
    pub oil: f64,
    pub water: f64,
    pub gas: f64,
}

impl Volumes {
    pub fn liquid(&self) -> f64 {
        self.oil + self.water
    }

    pub(super) fn times(self, factor: f64) -> Self {
        Self { oil: self.oil * factor, water: self.water * factor, gas: self.gas * factor }
    }
}

impl std::ops::AddAssign for Volumes {
    fn add_assign(&mut self, other: Self) {
        self.oil += other.oil;
        self.water += other.water;
        self.gas += other.gas;
    }
}

/// A value that moves to where it was sent.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Moving {
    value: f64,
    to: f64,
    /// A second.
    speed: f64,
}

impl Moving {
    fn at(value: f64) -> Self {
        Self { value, to: value, speed: f64::INFINITY }
    }

    fn send(&mut self, to: f64, over: f64) {
        self.to = to;
        self.speed = if over > 0.0 { (to - self.value).abs() / over } else { f64::INFINITY };
    }

    fn step(&mut self, dt: f64) {
        let far = self.to - self.value;
        self.value = if far.abs() <= self.speed * dt { self.to } else { self.value + far.signum() * self.speed * dt };
    }
}

/// A well as it runs.
#[derive(Clone, Debug)]
pub struct Well {
    design: Design,
    /// As drawn, before the reservoir and the surges of the moment changed it.
    original: Design,
    random: Random,
    running: bool,
    frequency: f64,
    set_frequency: f64,
    opening: Moving,
    wear: Moving,
    water_cut: Moving,
    /// Whether gas comes to the intake, and how far it has locked the pump.
    gas_comes: f64,
    gas_lock: f64,
    churn: Swing,
    swings: [Swing; 3],
    intake: f64,
    rate: f64,
    head: f64,
    discharge: f64,
    casing: f64,
    heat: f64,
    motor_heat: f64,
    power: f64,
    run_hours: f64,
    starts: u32,
    line: f64,
    produced: Volumes,
}

impl Well {
    /// A well that has run into a separator at `line` psia for long.
    pub fn new(design: Design, mut random: Random, line: f64) -> Self {
        let mut well = Self {
            running: true,
            frequency: design.frequency,
            set_frequency: design.frequency,
            opening: Moving::at(design.opening),
            wear: Moving::at(design.wear),
            water_cut: Moving::at(design.fluid.water_cut),
            gas_comes: 0.0,
            gas_lock: 0.0,
            churn: Swing::default(),
            swings: std::array::from_fn(|_| Swing::new(&mut random)),
            intake: 0.0,
            rate: 0.0,
            head: 0.0,
            discharge: 0.0,
            casing: 0.0,
            heat: 0.0,
            motor_heat: 0.0,
            power: 0.0,
            run_hours: random.between(400.0, 9_000.0),
            starts: random.between(3.0, 40.0) as u32,
            line,
            produced: Volumes::default(),
            original: design.clone(),
            design,
            random,
        };
        well.surge(0.0);
        let rest = well.design.at_rest(&well.conditions());
        (well.intake, well.rate) = (rest.intake.max(PUMPED_OFF), rest.rate);
        (well.head, well.discharge) = (rest.head, rest.discharge);
        well.power = well.shaft_power();
        well.casing = well.casing_target();
        well.heat = well.heat_target(0.0);
        well.motor_heat = well.motor_heat_target();
        well
    }

    /// What it is asked to do now.
    pub fn conditions(&self) -> Conditions {
        Conditions {
            line: self.line,
            frequency: self.frequency,
            opening: self.opening.value,
            wear: self.wear.value,
            gas_lock: self.gas_lock_now(),
        }
    }

    pub fn design(&self) -> &Design {
        &self.design
    }

    /// Moves the choke to an opening from 0 to 1, in this many seconds.
    pub fn set_choke(&mut self, opening: f64, over: f64) {
        self.opening.send(opening, over);
    }

    /// Where the choke has been sent.
    pub fn choke_set(&self) -> f64 {
        self.opening.to
    }

    /// Sets the drive, Hz.
    pub fn set_frequency(&mut self, frequency: f64) {
        self.set_frequency = frequency;
    }

    pub fn frequency_set(&self) -> f64 {
        self.set_frequency
    }

    pub fn start(&mut self) {
        if !self.running {
            self.running = true;
            self.starts += 1;
        }
    }

    pub fn stop(&mut self) {
        self.running = false;
    }

    pub fn is_running(&self) -> bool {
        self.running
    }

    /// Gas comes to the intake, with a severity from 0 (no more) to 1.
    pub fn set_gas(&mut self, severity: f64) {
        self.gas_comes = severity;
    }

    /// The pump loses this share of its head, in this many seconds.
    pub fn wear_by(&mut self, share: f64, over: f64) {
        let to = (self.wear.to + share).clamp(0.0, 0.9);
        self.wear.send(to, over);
    }

    /// Share of its head that the pump has lost.
    pub fn wear(&self) -> f64 {
        self.wear.value
    }

    /// The water cut becomes this, in this many seconds.
    pub fn set_water_cut(&mut self, water_cut: f64, over: f64) {
        self.water_cut.send(water_cut, over);
    }

    pub fn water_cut_set(&self) -> f64 {
        self.water_cut.to
    }

    /// Goes on by `dt` seconds, into a separator at `line` psia. `clock` is seconds since midnight. What came to the
    /// surface meanwhile is returned.
    pub fn step(&mut self, dt: f64, line: f64, clock: f64) -> Volumes {
        self.line = line;
        self.drive(dt);
        self.opening.step(dt);
        self.wear.step(dt);
        self.water_cut.step(dt);
        self.age(dt);
        self.surge(dt);
        let at = self.conditions();
        let now = self.design.now(&at, self.intake, self.rate);
        self.draw_down(&now, dt);
        self.rate = relax(self.rate, now.rate, dt, lag::FLOW);
        self.head = relax(self.head, now.head, dt, lag::FLOW);
        self.discharge = relax(self.discharge, now.discharge, dt, lag::FLOW);
        self.power = self.shaft_power();
        self.casing = relax(self.casing, self.casing_target(), dt, lag::CASING);
        self.heat = relax(self.heat, self.heat_target(clock), dt, lag::FLOW_LINE_HEAT);
        self.motor_heat = relax(self.motor_heat, self.motor_heat_target(), dt, lag::MOTOR_HEAT);
        let volumes = self.rates().times(dt / DAY);
        self.produced += volumes;
        volumes
    }

    fn drive(&mut self, dt: f64) {
        let to = if self.running { self.set_frequency } else { 0.0 };
        let far = to - self.frequency;
        let speed = if self.running { RAMP_UP } else { RAMP_DOWN };
        self.frequency += far.clamp(-speed * dt, speed * dt);
        if self.frequency > 1.0 {
            self.run_hours += dt / 3_600.0;
        }
    }

    /// What months do to it.
    fn age(&mut self, dt: f64) {
        let years = dt / YEAR;
        let original = &mut self.original;
        original.inflow.reservoir *= (-original.decline * years).exp();
        let oil = 1.0 - self.water_cut.value;
        let more = oil * (1.0 - (-original.watering * years).exp());
        self.water_cut.value += more;
        self.water_cut.to = (self.water_cut.to + more).min(1.0);
        if self.frequency > 1.0 {
            let more = (1.0 - self.wear.value) * (1.0 - (-original.wearing * years).exp());
            self.wear.value = (self.wear.value + more).min(0.9);
            self.wear.to = (self.wear.to + more).min(0.9);
        }
    }

    /// Inflow and gas never stand quite still.
    fn surge(&mut self, dt: f64) {
        let [inflow, gas, water] = &mut self.swings;
        let random = &mut self.random;
        let inflow = inflow.step(dt, 900.0, random);
        let gas = gas.step(dt, 150.0, random);
        let water = water.step(dt, 1_800.0, random);
        let original = &self.original;
        self.design.inflow.reservoir = original.inflow.reservoir;
        self.design.inflow.productivity = original.inflow.productivity * (1.0 + 0.012 * inflow);
        self.design.fluid.gas_oil_ratio = original.fluid.gas_oil_ratio * (1.0 + 0.03 * gas);
        self.design.fluid.water_cut = (self.water_cut.value + 0.006 * water).clamp(0.0, 1.0);
        self.gas_lock = relax(self.gas_lock, self.gas_comes, dt, lag::GAS_LOCK);
        self.churn.step(dt, 3.0, random);
    }

    /// A locked pump catches liquid and loses it again.
    fn gas_lock_now(&self) -> f64 {
        (self.gas_lock * (1.0 + 0.12 * self.churn_now())).clamp(0.0, 1.0)
    }

    fn churn_now(&self) -> f64 {
        self.churn.value()
    }

    /// The annulus takes up what the reservoir gives and the pump does not take.
    fn draw_down(&mut self, now: &OperatingPoint, dt: f64) {
        let design = &self.design;
        let weight = design.weight_below(self.intake);
        let flowing = self.intake + weight;
        let surplus = design.inflow.rate(flowing) - now.rate;
        // Both the reservoir and the pump answer to the intake, so that it comes to rest; solved for the straight lines
        // through the present point, which holds however long the step is.
        let stiffness = (design.inflow.slope(flowing) + now.slope.clamp(0.0, 50.0)).max(0.01);
        let share = 1.0 - (-stiffness / design.annulus * dt / DAY).exp();
        let highest = (design.inflow.reservoir - weight).max(PUMPED_OFF);
        self.intake = (self.intake + surplus / stiffness * share).clamp(PUMPED_OFF, highest);
    }

    fn shaft_power(&self) -> f64 {
        let design = &self.design;
        let temperature = design.tubing.temperatures[1];
        let gas = design.fluid.pumped_gas(self.intake, temperature, design.separated);
        let pumped = design.fluid.at(self.intake, temperature, gas, 1.0);
        let gravity = pumped.gradient / 0.433;
        let locked = 1.0 - 0.75 * self.gas_lock_now();
        design.pump.power(self.rate * pumped.liquid, self.frequency) * gravity * locked
    }

    fn casing_target(&self) -> f64 {
        let design = &self.design;
        let dissolved = design.fluid.dissolved(self.intake, design.tubing.temperatures[1]);
        let oil = self.rate * (1.0 - design.fluid.water_cut);
        let vented = oil * (design.fluid.gas_oil_ratio - dissolved) * design.separated / 1_000.0;
        // It leaves through a check valve into the flow line.
        self.behind_choke() + 15.0 + 0.25 * vented + 120.0 * self.gas_lock
    }

    fn heat_target(&self, clock: f64) -> f64 {
        let air = 82.0 - 9.0 * (std::f64::consts::TAU * (clock / DAY + 0.08)).cos();
        air + (self.design.tubing.temperatures[1] - air) * self.rate / (self.rate + 1_300.0)
    }

    fn motor_heat_target(&self) -> f64 {
        let load = self.load();
        let around = self.design.tubing.temperatures[1];
        // What cools it is the liquid that passes by.
        let cooling = 0.25 + 0.75 * (self.rate / self.design.rate).min(1.5);
        around + if self.frequency > 1.0 { 12.0 + (34.0 * load * load / cooling).min(240.0) } else { 0.0 }
    }

    /// Share of the motor's torque that is used.
    fn load(&self) -> f64 {
        self.design.motor.load(self.power, self.frequency)
    }

    fn behind_choke(&self) -> f64 {
        self.line + self.design.flow_line * self.rate * self.rate
    }

    // What could be measured, without the faults of measuring. Pressures are gauge.

    /// Rates at the surface now, a day.
    pub fn rates(&self) -> Volumes {
        let liquid = if self.rate < CUT_OFF { 0.0 } else { self.rate };
        let fluid = &self.design.fluid;
        let oil = liquid * (1.0 - fluid.water_cut);
        Volumes { oil, water: liquid - oil, gas: oil * fluid.gas_oil_ratio / 1_000.0 }
    }

    /// Everything it has produced so far.
    pub fn produced(&self) -> Volumes {
        self.produced
    }

    /// psig.
    pub fn head_pressure(&self) -> f64 {
        gauge(self.head)
    }

    /// psig.
    pub fn casing_pressure(&self) -> f64 {
        gauge(self.casing)
    }

    /// Behind the choke, psig.
    pub fn line_pressure(&self) -> f64 {
        gauge(self.behind_choke())
    }

    /// psig.
    pub fn intake_pressure(&self) -> f64 {
        gauge(self.intake)
    }

    /// psig.
    pub fn discharge_pressure(&self) -> f64 {
        gauge(self.discharge)
    }

    /// °F.
    pub fn line_temperature(&self) -> f64 {
        self.heat
    }

    /// °F.
    pub fn motor_temperature(&self) -> f64 {
        self.motor_heat
    }

    /// A.
    pub fn current(&self) -> f64 {
        let churned = 1.0 + 0.10 * self.gas_lock * self.churn_now();
        (self.design.motor.current(self.power, self.frequency) * churned).max(0.0)
    }

    /// Hz.
    pub fn frequency(&self) -> f64 {
        self.frequency
    }

    /// V.
    pub fn voltage(&self) -> f64 {
        self.design.motor.voltage * self.frequency / super::pump::RATED
    }

    /// g.
    pub fn vibration(&self) -> f64 {
        if self.frequency < 1.0 {
            return 0.0;
        }
        0.06 + 0.5 * self.wear.value + 0.12 * self.gas_lock * (1.0 + 0.5 * self.churn_now()).max(0.0)
    }

    /// 0 to 1.
    pub fn opening(&self) -> f64 {
        self.opening.value
    }

    /// Hours that the pump has turned.
    pub fn run_hours(&self) -> f64 {
        self.run_hours
    }

    pub fn starts(&self) -> u32 {
        self.starts
    }

    /// Whether the pump turns.
    pub fn turns(&self) -> bool {
        self.frequency > 1.0
    }
}
