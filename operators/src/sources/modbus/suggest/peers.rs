//! The same variable on other assets of the template.

use std::collections::HashMap;

use super::evidence::Series;
use super::way::same_effect;
use super::{Examination, Layout};

/// Peers from which on they say something.
const ENOUGH: usize = 2;
/// How many times as many as those that are set like a tag the others must be to speak against it.
const ODD: usize = 5;
/// How far below the least and above the greatest of their values one of the same kind may lie.
const FACTOR: f64 = 2.0;
/// How much more than the roughest peer a value does not move.
const ROUGHER: f64 = 5.0;

/// What the peers of a tag show.
#[derive(Clone, Debug, Default)]
pub(super) struct Peers {
    /// How most of those that read well are read, and how many that are.
    pub(super) layout: Option<(Layout, usize)>,
    /// How many read well in the way in which the tag itself is set.
    pub(super) alike: usize,
    /// Where their values lie.
    pub(super) range: Option<[f64; 2]>,
    /// How far the roughest of them moves between readings.
    pub(super) roughness: f64,
}

impl Peers {
    /// Whether peers read well, and few of them as this tag is set.
    pub(super) fn contradict(&self, now: Layout) -> Option<(Layout, usize)> {
        let (layout, count) = self.layout?;
        let alone = self.alike * ODD <= count;
        (count >= ENOUGH && alone && !same_effect(layout, now)).then_some((layout, count))
    }

    /// Whether a value lies where those of the peers do; nothing speaks against it where there are too few.
    pub(super) fn accept(&self, value: f64) -> bool {
        self.range.is_none_or(|[low, high]| {
            if low > 0.0 {
                (low / FACTOR..=high * FACTOR).contains(&value)
            } else {
                (low - (high - low)..=high + (high - low)).contains(&value)
            }
        })
    }

    /// Whether a value moves much more than those of any peer.
    pub(super) fn is_too_rough(&self, series: &Series) -> bool {
        self.roughness > 0.0 && series.roughness() > self.roughness * ROUGHER
    }
}

impl Examination<'_> {
    pub(super) fn peers(&self, index: usize) -> Peers {
        let subject = self.subject(index);
        let Some(template) = &subject.template else { return Peers::default() };
        let key = (template.clone(), subject.tag.variable.clone());
        let all = self.variables.get(&key).map(Vec::as_slice).unwrap_or_default();
        let mut peers = Peers::default();
        let mut counts: HashMap<Layout, usize> = HashMap::new();
        let mut range: Option<[f64; 2]> = None;
        for other in all.iter().copied().filter(|other| *other != index) {
            let verdict = &self.verdicts[other];
            let Some(series) = verdict.series().filter(|_| verdict.fits()) else { continue };
            let layout = self.subject(other).layout;
            *counts.entry(layout).or_default() += 1;
            if same_effect(layout, subject.layout) {
                peers.alike += 1;
            }
            peers.roughness = peers.roughness.max(series.roughness());
            let mean = series.mean();
            range = Some(range.map_or([mean, mean], |[low, high]| [low.min(mean), high.max(mean)]));
        }
        peers.layout = counts.into_iter().max_by_key(|(layout, count)| {
            // Of two as frequent ones always the same.
            (*count, std::cmp::Reverse((layout.item.offset, layout.item.count)))
        });
        if peers.layout.is_none_or(|(_, count)| count < ENOUGH) {
            peers.roughness = 0.0;
        }
        peers.range = range.filter(|_| peers.layout.is_some_and(|(_, count)| count >= ENOUGH));
        peers
    }
}
