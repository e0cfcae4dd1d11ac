//! An electric submersible pump and its motor: one curve at 60 Hz, and the affinity laws for every other frequency.

/// Frequency for which curves and name plates are given, Hz.
pub(super) const RATED: f64 = 60.0;
/// Share of the curve that falls in a straight line; the rest falls with the square of the rate.
const STRAIGHT: f64 = 0.2;
/// Rate of best efficiency, as a share of the rate at which the head is gone.
pub(super) const BEST: f64 = 0.62;
/// Efficiency there.
const EFFICIENCY: f64 = 0.62;
/// Horsepower of a barrel a day that is lifted a foot, for water.
const HYDRAULIC: f64 = 1.0 / 135_773.0;
/// Shaft power over the rate, as shares of that at no flow: 1 + 0.55 x − 0.35 x².
const POWER: [f64; 2] = [0.55, -0.35];

/// Stages of a pump. Rates in barrels a day as they pass through it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pump {
    pub stages: f64,
    /// Head of a stage at no flow and 60 Hz, ft.
    pub shut_off_head: f64,
    /// Rate at which the head is gone at 60 Hz.
    pub free_rate: f64,
}

impl Pump {
    /// Head at a rate and a frequency, ft. Negative beyond the rate at which the head is gone: the pump is in the way.
    pub fn head(&self, rate: f64, frequency: f64) -> f64 {
        let (r, y) = (frequency / RATED, rate / self.free_rate);
        // The curve at 60 Hz, h(x), becomes r² h(x / r); written out, it holds for a pump that stands still as well.
        self.stages * self.shut_off_head * (r * r - STRAIGHT * r * y - (1.0 - STRAIGHT) * y * y)
    }

    /// Power at the shaft for water, hp.
    pub fn power(&self, rate: f64, frequency: f64) -> f64 {
        let (r, y) = (frequency / RATED, rate / self.free_rate);
        let cubic = r * r * r + POWER[0] * r * r * y + POWER[1] * r * y * y;
        self.stages * self.idle_power() * cubic.max(0.2 * r * r * r)
    }

    /// Shaft power of a stage at no flow and 60 Hz, so that the efficiency is what it should be at its best.
    fn idle_power(&self) -> f64 {
        let head = self.shut_off_head * (1.0 - STRAIGHT * BEST - (1.0 - STRAIGHT) * BEST * BEST);
        let hydraulic = BEST * self.free_rate * head * HYDRAULIC;
        hydraulic / EFFICIENCY / (1.0 + POWER[0] * BEST + POWER[1] * BEST * BEST)
    }
}

/// The motor, fed with a voltage in proportion to the frequency.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Motor {
    /// Name plate, hp at 60 Hz.
    pub power: f64,
    /// Name plate, A.
    pub current: f64,
    /// Name plate, V at 60 Hz.
    pub voltage: f64,
}

/// Share of the name plate current that only magnetises.
const MAGNETISING: f64 = 0.35;

impl Motor {
    /// Share of the name plate's torque that a shaft power asks for.
    pub fn load(&self, power: f64, frequency: f64) -> f64 {
        if frequency < 1.0 { 0.0 } else { power / self.power * RATED / frequency }
    }

    /// Current, A: what magnetises and what turns stand at right angles.
    pub fn current(&self, power: f64, frequency: f64) -> f64 {
        if frequency < 1.0 {
            return 0.0;
        }
        let load = self.load(power, frequency);
        self.current * (MAGNETISING.powi(2) + (1.0 - MAGNETISING.powi(2)) * load * load).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUMP: Pump = Pump { stages: 150.0, shut_off_head: 40.0, free_rate: 3_200.0 };

    #[test]
    fn affinity_laws_hold() {
        for share in [0.0, 0.3, BEST, 0.9, 1.0] {
            let rate = share * PUMP.free_rate;
            let (head, power) = (PUMP.head(rate, 60.0), PUMP.power(rate, 60.0));
            for frequency in [30.0, 45.0, 52.5, 65.0] {
                let r = frequency / 60.0;
                assert!((PUMP.head(rate * r, frequency) - head * r * r).abs() < 1e-6 * head.max(1.0));
                assert!((PUMP.power(rate * r, frequency) - power * r.powi(3)).abs() < 1e-9 * power);
            }
        }
    }

    #[test]
    fn the_curve_falls_and_efficiency_has_its_best() {
        let efficiency = |rate: f64| rate * PUMP.head(rate, 60.0) * HYDRAULIC / PUMP.power(rate, 60.0);
        let rates: Vec<f64> = (0..=40).map(|step| PUMP.free_rate * f64::from(step) / 40.0).collect();
        assert!(rates.windows(2).all(|pair| PUMP.head(pair[1], 55.0) < PUMP.head(pair[0], 55.0)));
        let best = rates.iter().copied().max_by(|a, b| efficiency(*a).total_cmp(&efficiency(*b))).unwrap();
        assert!((0.5..0.7).contains(&(best / PUMP.free_rate)), "{best}");
        assert!((efficiency(BEST * PUMP.free_rate) - EFFICIENCY).abs() < 1e-9);
        assert!(PUMP.head(0.0, 60.0) == 6_000.0 && PUMP.head(PUMP.free_rate, 60.0).abs() < 1e-6);
        assert!(PUMP.head(500.0, 0.0) < 0.0 && PUMP.power(500.0, 0.0) == 0.0);
    }

    #[test]
    fn a_motor_takes_its_name_plate_at_full_load_and_a_third_idle() {
        let motor = Motor { power: 150.0, current: 60.0, voltage: 1_800.0 };
        assert!((motor.current(150.0, 60.0) - 60.0).abs() < 1e-9);
        assert!((motor.current(0.0, 60.0) - 21.0).abs() < 1e-9);
        // The same torque at half the speed is half the power.
        assert!((motor.current(75.0, 30.0) - 60.0).abs() < 1e-9);
        assert_eq!(motor.current(0.0, 0.0), 0.0);
    }
}
