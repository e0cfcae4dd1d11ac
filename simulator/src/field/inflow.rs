//! What the reservoir gives at a pressure at the bottom of the well: a straight line above the bubble point, Vogel below.

/// Inflow of a well. Pressures in psia.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Inflow {
    pub reservoir: f64,
    /// Productivity index above the bubble point, stb/d/psi.
    pub productivity: f64,
    pub bubble_point: f64,
}

impl Inflow {
    /// The pressure at which Vogel's curve begins, and the rate there.
    fn knee(&self) -> (f64, f64) {
        let knee = self.bubble_point.min(self.reservoir);
        (knee, self.productivity * (self.reservoir - knee))
    }

    /// What Vogel's curve adds to the rate at the knee where the well is pumped empty.
    fn below_knee(&self) -> f64 {
        self.productivity * self.knee().0 / 1.8
    }

    /// The most that can come, at no pressure at all.
    pub fn open_flow(&self) -> f64 {
        self.knee().1 + self.below_knee()
    }

    /// Rate at a bottom-hole pressure, stb/d; never negative, as there is a check valve.
    pub fn rate(&self, pressure: f64) -> f64 {
        let (knee, at_knee) = self.knee();
        if pressure >= knee {
            return (self.productivity * (self.reservoir - pressure)).max(0.0);
        }
        let share = (pressure / knee).max(0.0);
        at_knee + self.below_knee() * (1.0 - 0.2 * share - 0.8 * share * share)
    }

    /// Bottom-hole pressure at a rate; below zero, and of no meaning but its sign, beyond the open flow.
    pub fn pressure(&self, rate: f64) -> f64 {
        let (knee, at_knee) = self.knee();
        if rate <= at_knee {
            return self.reservoir - rate / self.productivity;
        }
        let rest = 1.0 - (rate - at_knee) / self.below_knee();
        // 0.8 x² + 0.2 x − rest = 0
        if rest >= 0.0 { knee * (-0.2 + (0.04 + 3.2 * rest).sqrt()) / 1.6 } else { knee * rest }
    }

    /// Barrels a day that come more for each psi less.
    pub fn slope(&self, pressure: f64) -> f64 {
        let (knee, _) = self.knee();
        if pressure >= knee {
            return self.productivity;
        }
        self.below_knee() / knee * (0.2 + 1.6 * (pressure / knee).max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WELL: Inflow = Inflow { reservoir: 2_800.0, productivity: 2.0, bubble_point: 1_200.0 };

    #[test]
    fn textbook_points() {
        // Above the bubble point a straight line; at the bubble point 2 · 1,600; open flow 2 · 1,200 / 1.8 more.
        assert_eq!(WELL.rate(2_800.0), 0.0);
        assert_eq!(WELL.rate(1_800.0), 2_000.0);
        assert_eq!(WELL.rate(1_200.0), 3_200.0);
        assert!((WELL.open_flow() - (3_200.0 + 2_400.0 / 1.8)).abs() < 1e-9);
        assert!((WELL.rate(0.0) - WELL.open_flow()).abs() < 1e-9);
        // Vogel's own: of a saturated reservoir 70 % of the open flow at half the pressure.
        let saturated = Inflow { bubble_point: 4_000.0, ..WELL };
        assert!((saturated.rate(1_400.0) / saturated.open_flow() - 0.7).abs() < 1e-9);
        assert_eq!(WELL.rate(3_500.0), 0.0);
    }

    #[test]
    fn rate_and_pressure_are_each_other_s_inverse() {
        for inflow in [WELL, Inflow { bubble_point: 5_000.0, ..WELL }, Inflow { bubble_point: 15.0, ..WELL }] {
            for step in 0..=100 {
                let pressure = inflow.reservoir * f64::from(step) / 100.0;
                let back = inflow.pressure(inflow.rate(pressure));
                assert!((back - pressure).abs() < 1e-6, "{pressure} became {back}");
                let slope = (inflow.rate(pressure - 0.01) - inflow.rate(pressure + 0.01)) / 0.02;
                let is_inside = step > 0 && step < 100;
                assert!(!is_inside || (slope - inflow.slope(pressure)).abs() < 0.02, "{pressure}: {slope}");
            }
            assert!(inflow.pressure(inflow.open_flow() * 1.1) < 0.0);
        }
    }
}
