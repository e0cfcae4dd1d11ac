//! Samples of a field day: a sine per tag with noise, now and then a bad one, either in full noise, rounded to a cent, or
//! in steps of a 12-bit converter.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

pub(crate) fn cpu(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn mix(x: u64) -> u64 {
    let mut z = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Values and quality of all tags at second `s`.
pub(crate) fn second(tags: u64, s: u64, form: &str) -> (Vec<f64>, Vec<u16>) {
    let mut quality = vec![192; tags as usize];
    let values = (0..tags).map(|i| {
        let hash = mix(i << 32 | s);
        let noise = (hash >> 11) as f64 * 2_f64.powi(-53) * 2.0 - 1.0;
        let phase = ((s + i) % 600) as f64 / 600.0;
        let mut value = 100.0 + (i % 50) as f64 + 10.0 * (std::f64::consts::TAU * phase).sin() + noise;
        if hash.is_multiple_of(10_007) {
            value += 500.0;
        }
        if hash % 5003 == 2 {
            quality[i as usize] = 0;
        }
        match form {
            "cent" => (value * 100.0).round() / 100.0,
            "adc" => (value * 4096.0 / 500.0).round() * 500.0 / 4096.0,
            _ => value,
        }
    });
    (values.collect(), quality)
}
