//! The check figures of the reference workload by a plain loop over single samples, to compare with what the graph gave.

use ducto_record::time::SECOND;
use serde::Serialize;

use super::input::{Input, START};

/// What is compared.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Figures {
    pub(super) n_range: u64,
    pub(super) n_jump: u64,
    pub(super) n_frozen: u64,
    pub(super) n_raise: u64,
    pub(super) n_clear: u64,
    pub(super) n_windows: u64,
    pub(super) sum_means: f64,
}

impl Figures {
    /// Equal counts, and sums equal but for the order in which they were added.
    pub(super) fn agrees(&self, other: &Self) -> bool {
        let close = (self.sum_means - other.sum_means).abs() <= 1e-9 * self.sum_means.abs().max(1.0);
        close && Self { sum_means: 0.0, ..self.clone() } == Self { sum_means: 0.0, ..other.clone() }
    }
}

#[derive(Default)]
struct Tag {
    last: Option<f64>,
    repeats: u32,
    last_good: Option<f64>,
    pending: Option<i64>,
    active: bool,
    window: Option<(i64, u64, f64)>,
}

pub(super) fn figures(input: &Input, tags: u64, seconds: u64) -> Figures {
    let mut figures = Figures::default();
    for tag in 0..tags {
        let mut state = Tag::default();
        let limit = Input::base(tag) + 50.0;
        for second in (0..seconds).filter(|&second| input.comes(tag, second)) {
            let (value, mut quality) = input.sample(tag, second);
            let time = START + second as i64 * SECOND;
            if quality == 192 && !(0.0..=400.0).contains(&value) {
                quality = 0;
                figures.n_range += 1;
            }
            if quality == 192 && state.last_good.is_some_and(|last| (value - last).abs() > 100.0) {
                quality = 0;
                figures.n_jump += 1;
            }
            if quality == 192 {
                state.last_good = Some(value);
            }
            state.repeats = match state.last {
                Some(last) if last.to_bits() == value.to_bits() => state.repeats + 1,
                _ => 0,
            };
            state.last = Some(value);
            if state.repeats >= 60 && quality == 192 {
                quality = 64;
                figures.n_frozen += 1;
            }
            if quality == 192 {
                alarm(&mut state, &mut figures, value, limit, time);
                let window = time.div_euclid(60 * SECOND);
                match &mut state.window {
                    Some((open, count, sum)) if *open == window => {
                        *count += 1;
                        *sum += value;
                    }
                    open => {
                        close(open.replace((window, 1, value)), &mut figures);
                    }
                }
            }
        }
        close(state.window, &mut figures);
    }
    figures
}

fn close(window: Option<(i64, u64, f64)>, figures: &mut Figures) {
    if let Some((_, count, sum)) = window {
        figures.n_windows += 1;
        figures.sum_means += sum / count as f64;
    }
}

fn alarm(state: &mut Tag, figures: &mut Figures, value: f64, limit: f64, time: i64) {
    if state.active {
        if value < limit - 2.0 {
            state.active = false;
            figures.n_clear += 1;
        }
    } else if value > limit {
        let since = *state.pending.get_or_insert(time);
        if time - since >= 5 * SECOND {
            state.active = true;
            state.pending = None;
            figures.n_raise += 1;
        }
    } else {
        state.pending = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::BenchValues;

    /// The figures of the workload's definition for 100 tags and 600 s.
    #[test]
    fn the_plain_loop_gives_the_published_figures() {
        let figures = figures(&Input::new(BenchValues::Full, 0.0), 100, 600);
        let published = Figures {
            n_range: 6,
            n_jump: 9,
            n_frozen: 120,
            n_raise: 4,
            n_clear: 4,
            n_windows: 1_100,
            sum_means: 137_891.807_853,
        };
        assert!((figures.sum_means - published.sum_means).abs() < 1e-6, "{figures:?}");
        assert_eq!(Figures { sum_means: 0.0, ..figures }, Figures { sum_means: 0.0, ..published });
    }
}
