//! Wells with electric submersible pumps, second by second, with the dirt of a real field. The same seed gives the same
//! values.

use modbus::{Address, Fault, Order, Registers, Table, Value, ValueType};

/// What one well shows in a second, in the units of the demo site.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Readings {
    /// Tubing head pressure, psig.
    pub(crate) thp: f64,
    /// Casing head pressure, psig.
    pub(crate) chp: f64,
    /// Flow line temperature, °F.
    pub(crate) flt: f64,
    /// A.
    pub(crate) current: f64,
    /// Hz.
    pub(crate) frequency: f64,
    /// stb/d.
    pub(crate) oil: f64,
    /// stb/d.
    pub(crate) water: f64,
    /// Mscf/d.
    pub(crate) gas: f64,
    pub(crate) running: bool,
    /// Whether the unit answers.
    pub(crate) answers: bool,
}

/// The wells behind one gateway; well n is unit n.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wells {
    pub(crate) count: u8,
    pub(crate) seed: u64,
}

/// When what goes wrong, in seconds of a period: the first time within the first minute.
const EXCURSION: (u64, std::ops::Range<u64>) = (60, 15..27);
const SPIKE: (u64, std::ops::Range<u64>) = (40, 8..9);
const SILENCE: (u64, std::ops::Range<u64>) = (90, 35..50);
const STOP: (u64, std::ops::Range<u64>) = (180, 100..130);

fn is_in((period, span): &(u64, std::ops::Range<u64>), second: u64) -> bool {
    span.contains(&(second % period))
}

impl Wells {
    /// The well of this rank among those that something is wrong with; with few wells one has several faults.
    fn nth(self, rank: u8) -> u8 {
        rank.min(self.count)
    }

    /// A number of 0 to 1 that depends on nothing but its arguments.
    fn random(self, well: u8, of: u64, second: u64) -> f64 {
        // SplitMix64 of the arguments.
        let mut z = self.seed ^ (u64::from(well) << 56) ^ (of << 48) ^ second.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for multiplier in [0xbf58_476d_1ce4_e5b9, 0x94d0_49bb_1331_11eb] {
            z = (z ^ (z >> 30)).wrapping_mul(multiplier);
        }
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A value around `level`: a slow swing, and noise, each as a share of it.
    fn around(self, well: u8, of: u64, second: u64, level: f64, swing: f64, noise: f64) -> f64 {
        let phase = self.random(well, of, u64::MAX) * std::f64::consts::TAU;
        let period = 120.0 + 60.0 * self.random(well, of, u64::MAX - 1);
        let slow = (second as f64 / period * std::f64::consts::TAU + phase).sin();
        level * (1.0 + swing * slow + noise * (2.0 * self.random(well, of, second) - 1.0))
    }

    /// What a well shows `second` seconds after the start.
    pub(crate) fn readings(self, well: u8, second: u64) -> Readings {
        let own = |of: u64| self.random(well, of, u64::MAX - 2);
        let running = !(well == self.nth(4) && is_in(&STOP, second));
        let on = f64::from(u8::from(running));
        let frequency = if running { self.around(well, 5, second, 50.0 + 8.0 * own(5), 0.01, 0.002) } else { 0.0 };
        let liquid = on * self.around(well, 6, second, 900.0 + 1_400.0 * own(6), 0.03, 0.01) * frequency / 54.0;
        let cut = 0.35 + 0.4 * own(7);
        let mut thp = self.around(well, 1, second, 1_500.0 + 500.0 * own(1), 0.03, 0.004);
        if well == self.nth(3) && is_in(&EXCURSION, second) {
            let into = (second % EXCURSION.0 - EXCURSION.1.start) as f64;
            let length = (EXCURSION.1.end - EXCURSION.1.start) as f64;
            // Up in three seconds, and down again: 200 psi above the alarm's limit, whatever the well.
            thp += (2_700.0 - thp) * (into / 3.0).min((length - into) / 3.0).min(1.0);
        }
        if well == self.nth(2) && is_in(&SPIKE, second) {
            thp = 6_553.5;
        }
        let stuck = well == self.nth(4);
        Readings {
            thp,
            chp: if stuck { 612.5 } else { self.around(well, 2, second, 400.0 + 500.0 * own(2), 0.04, 0.005) },
            flt: self.around(well, 3, second, 150.0 + 40.0 * own(3), 0.01, 0.002),
            current: on * self.around(well, 4, second, 45.0 + 25.0 * own(4), 0.02, 0.01),
            frequency,
            oil: liquid * (1.0 - cut),
            water: liquid * cut,
            gas: liquid * (1.0 - cut) * (0.4 + 0.4 * own(8)),
            running,
            answers: !(well == self.nth(5) && is_in(&SILENCE, second)),
        }
    }

    /// Puts a second into the registers of a device: numbers as f32 in the order CDAB from 40001 on, the run status in
    /// 10001.
    pub(crate) fn write(self, registers: &Registers, second: u64) {
        for well in 1..=self.count {
            let readings = self.readings(well, second);
            let Readings { thp, chp, flt, current, frequency, oil, water, gas, running, answers } = readings;
            let numbers = [thp, chp, flt, current, frequency, oil, water, gas];
            for (offset, number) in (0u16..).step_by(2).zip(numbers) {
                let at = Address { table: Table::HoldingRegisters, offset };
                // Every reading is a number that an f32 holds.
                let _ = registers.set_value(well, at, ValueType::F32, Order::Cdab, &Value::Float(number));
            }
            registers.set_bits(well, Address { table: Table::DiscreteInputs, offset: 0 }, &[running]);
            registers.set_fault(well, (!answers).then_some(Fault::NoAnswer));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_seed_same_values_and_another_seed_others() {
        let wells = Wells { count: 5, seed: 1 };
        let all = |wells: Wells| -> Vec<Readings> {
            (1..=5).flat_map(|well| (0..200).map(move |second| wells.readings(well, second))).collect()
        };
        assert_eq!(all(wells), all(wells));
        assert_ne!(all(wells), all(Wells { seed: 2, ..wells }));
    }

    #[test]
    fn a_minute_shows_everything_that_can_go_wrong() {
        for count in 1..=6 {
            for seed in 0..20 {
                let wells = Wells { count, seed };
                let minute = |well: u8| (0..60).map(move |second| wells.readings(well, second));
                let above = minute(3.min(count)).filter(|readings| (2_500.0..3_000.0).contains(&readings.thp)).count();
                assert!((7..=12).contains(&above), "{above} seconds above the limit, {wells:?}");
                assert_eq!(minute(2.min(count)).filter(|readings| readings.thp > 5_000.0).count(), 2);
                assert_eq!(minute(5.min(count)).filter(|readings| !readings.answers).count(), 15);
                let stuck: Vec<f64> = minute(4.min(count)).map(|readings| readings.chp).collect();
                assert!(stuck.iter().all(|value| *value == stuck[0]));
            }
        }
    }

    #[test]
    fn a_healthy_well_stays_where_it_should() {
        for seed in 0..50 {
            let wells = Wells { count: 5, seed };
            for second in 0..600 {
                let Readings { thp, chp, current, oil, water, gas, .. } = wells.readings(1, second);
                assert!((1_300.0..2_300.0).contains(&thp), "{thp}");
                assert!((350.0..1_000.0).contains(&chp), "{chp}");
                assert!((40.0..80.0).contains(&current), "{current}");
                assert!(oil > 100.0 && water > 100.0 && gas > 50.0, "{oil} {water} {gas}");
            }
        }
    }
}
