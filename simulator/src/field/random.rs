//! Numbers that depend on the seed alone.

/// A stream of random numbers. Streams of different names have nothing to do with each other, so a well shows the same
/// however many others there are.
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
}

impl Random {
    /// The stream of a name under a seed.
    pub fn new(seed: u64, of: &str) -> Self {
        // FNV-1a of the name; the generator's own mixing does the rest.
        let name = of.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        let mut random = Self { state: seed ^ name };
        // Seeds that differ in one bit must not begin alike.
        random.state = random.bits() ^ seed.rotate_left(32);
        random
    }

    /// SplitMix64.
    pub fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to below 1.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Bell-shaped, with mean 0 and standard deviation 1: the sum of four uniform numbers, never beyond ±3.47, so that
    /// noise alone is no spike.
    pub fn normal(&mut self) -> f64 {
        let bits = self.bits();
        let sum: u64 = (0..4).map(|part| bits >> (16 * part) & 0xffff).sum();
        (sum as f64 - 2.0 * 65_535.0) / 37_837.2
    }

    /// How long until something that happens once in `mean` on the average.
    pub fn waiting(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.unit()).ln()
    }
}

/// A slow random swing around 0 with standard deviation 1, whatever the steps are.
#[derive(Clone, Debug, Default)]
pub struct Swing {
    value: f64,
}

impl Swing {
    /// One that has swung for ever.
    pub fn new(random: &mut Random) -> Self {
        Self { value: random.normal() }
    }

    pub fn value(&self) -> f64 {
        self.value
    }

    /// Moves on; `memory` is the time, in the unit of `dt`, in which it forgets where it was.
    pub fn step(&mut self, dt: f64, memory: f64, random: &mut Random) -> f64 {
        let kept = (-dt / memory).exp();
        self.value = self.value * kept + (1.0 - kept * kept).max(0.0).sqrt() * random.normal();
        self.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_alike_only_for_the_same_seed_and_name() {
        let first = |seed, of: &str| (0..8).scan(Random::new(seed, of), |r, _| Some(r.bits())).collect::<Vec<_>>();
        assert_eq!(first(1, "WELL-001"), first(1, "WELL-001"));
        assert_ne!(first(1, "WELL-001"), first(2, "WELL-001"));
        assert_ne!(first(1, "WELL-001"), first(1, "WELL-002"));
    }

    #[test]
    fn moments_are_those_that_are_promised() {
        let mut random = Random::new(7, "moments");
        let count = 200_000;
        let normals: Vec<f64> = (0..count).map(|_| random.normal()).collect();
        let mean = normals.iter().sum::<f64>() / f64::from(count);
        let deviation = (normals.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / f64::from(count)).sqrt();
        assert!(mean.abs() < 0.01 && (deviation - 1.0).abs() < 0.01, "{mean} {deviation}");
        assert!(normals.iter().all(|x| x.abs() < 3.5));
        let waited = (0..count).map(|_| random.waiting(5.0)).sum::<f64>() / f64::from(count);
        assert!((waited - 5.0).abs() < 0.1, "{waited}");
        // A swing keeps its size in small steps and in large ones.
        for dt in [0.01, 1.0, 100.0] {
            let mut swing = Swing::new(&mut random);
            let squares = (0..count).map(|_| swing.step(dt, 1.0, &mut random).powi(2)).sum::<f64>();
            // Of many small steps few are independent.
            let tolerance = if dt < 0.1 { 0.2 } else { 0.05 };
            assert!((squares / f64::from(count) - 1.0).abs() < tolerance, "{dt}: {squares}");
        }
    }
}
