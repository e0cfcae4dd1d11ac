//! The input of the reference workload: T tags, one sample a second each, with frozen, high, spiking and bad samples
//! at known places.

use std::f64::consts::PI;
use std::sync::Arc;

use ducto_record::{Layout, Micros, SampleColumns, Samples, TagId, Times, Values, time::SECOND};

use crate::cli::BenchValues;

/// 2023-11-14 22:13:20 UTC, 20 s past a whole minute.
pub(super) const START: Micros = 1_700_000_000 * SECOND;

/// The first wave repeats after this many seconds.
const PERIOD: u64 = 600;

pub(super) fn splitmix64(x: u64) -> u64 {
    let z = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// What the workload's definition leaves open.
#[derive(Clone, Debug)]
pub(super) struct Input {
    pub(super) values: BenchValues,
    /// Percent of the samples that do not come.
    pub(super) missing: f64,
    wave: Vec<f64>,
}

impl Input {
    pub(super) fn new(values: BenchValues, missing: f64) -> Self {
        let wave = (0..PERIOD).map(|k| (2.0 * PI * k as f64 / PERIOD as f64).sin()).collect();
        Self { values, missing, wave }
    }

    /// The middle of tag `i`'s wave; its high limit lies 50 above.
    pub(super) fn base(tag: u64) -> f64 {
        (100 + tag % 50) as f64
    }

    fn formula(&self, tag: u64, second: u64) -> f64 {
        let noise = (splitmix64((tag << 32) | second) >> 11) as f64 * 2.0_f64.powi(-53) * 2.0 - 1.0;
        let phase = ((second + tag) % PERIOD) as usize;
        Self::base(tag) + 10.0 * self.wave.get(phase).copied().unwrap_or_default() + noise
    }

    /// The value and quality of a tag at a second.
    pub(super) fn sample(&self, tag: u64, second: u64) -> (f64, u16) {
        let hash = splitmix64((tag << 32) | second);
        let frozen = tag.is_multiple_of(97) && (120..240).contains(&second);
        let mut value = self.formula(tag, if frozen { 120 } else { second });
        if tag.is_multiple_of(31) && (300..420).contains(&second) {
            value += 60.0;
        }
        if hash.is_multiple_of(10_007) {
            value += 500.0;
        }
        if hash % 10_009 == 1 {
            value += 150.0;
        }
        let value = match self.values {
            BenchValues::Full => value,
            BenchValues::Cent => (value * 100.0).round() / 100.0,
            BenchValues::Adc => {
                const STEP: f64 = 500.0 / 4096.0;
                (value / STEP).round().clamp(0.0, 4095.0) * STEP
            }
        };
        (value, if hash % 5_003 == 2 { 0 } else { 192 })
    }

    /// Whether a sample comes at all.
    pub(super) fn comes(&self, tag: u64, second: u64) -> bool {
        self.missing <= 0.0 || (splitmix64(!((tag << 32) | second)) % 10_000) as f64 >= self.missing * 100.0
    }

    /// All samples of a second as a connection gives them: one scan, or a batch of what came where some are missing.
    /// `rows[k]` is the number in the workload of the tag in row k of the layout.
    pub(super) fn scan(&self, layout: &Arc<Layout>, rows: &[u64], second: u64) -> Result<Samples, String> {
        let time = START + second as Micros * SECOND;
        if self.missing <= 0.0 {
            let mut values = Vec::with_capacity(rows.len());
            let mut quality = Vec::with_capacity(rows.len());
            for &tag in rows {
                let (value, code) = self.sample(tag, second);
                values.push(value);
                quality.push(code);
            }
            return Samples::scan(layout, time, Values::Float64(values.into()), Some(quality.into()));
        }
        let mut tags: Vec<TagId> = Vec::with_capacity(rows.len());
        let mut values = Vec::with_capacity(rows.len());
        let mut quality = Vec::with_capacity(rows.len());
        for (row, &tag) in rows.iter().enumerate().filter(|(_, tag)| self.comes(**tag, second)) {
            let (value, code) = self.sample(tag, second);
            tags.push(layout.tags[row]);
            values.push(value);
            quality.push(code);
        }
        let checks = vec![0; tags.len()];
        Samples::new(SampleColumns {
            times: Times::One(time),
            tags: tags.into(),
            values: Values::Float64(values.into()),
            quality: quality.into(),
            checks: checks.into(),
        })
    }
}
