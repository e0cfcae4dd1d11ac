//! Tags that agree: all those of a device, or one variable of a template on all its assets.

use super::alone::{BEYOND, is_far};
use super::evidence::{Series, Verdict};
use super::proposal::Cause;
use super::way::{self, Way};
use super::{Examination, Subject};

/// Tags from which on they decide together.
const ENOUGH: usize = 3;
/// Tags that cannot be as they are, from which on the setting of all of them is in doubt.
const SOME: usize = 2;
/// A share of them that must read well in the new way.
const MOST: f64 = 0.8;
/// A share that may read well now.
const FEW: f64 = 0.2;
/// Of the tags on which two ways differ, a share of those that fit in the better one from which on the other is as
/// good.
const RIVAL: f64 = 0.5;
/// How many times as far values move, in the mean of several tags, in a way that is not theirs.
const ROUGHER: f64 = 1.5;
/// The same, where nothing else speaks against that way.
const CLEARLY_ROUGHER: f64 = 4.0;

/// A way and the tags of a pool that read well in it, those that it does not change among them.
struct Tried<'a> {
    way: &'a Way,
    /// Tags that it changes.
    affected: Vec<usize>,
    fitting: Vec<usize>,
    /// How many cannot be so.
    refuted: usize,
    /// Whether those that it changes read badly as they are: few of them fit, or some are impossible and all would fit.
    is_called_for: bool,
}

impl Tried<'_> {
    /// Those that it changes and that then read well.
    fn decided(&self) -> Vec<usize> {
        self.affected.iter().copied().filter(|index| self.fitting.contains(index)).collect()
    }

    /// Whether nearly all read well in it, those that it changes and all together.
    fn is_admissible(&self, telling: usize) -> bool {
        let (decided, most) = (self.decided().len(), |of: usize| of as f64 * MOST);
        decided >= ENOUGH && decided as f64 >= most(self.affected.len()) && self.fitting.len() as f64 >= most(telling)
    }
}

impl Examination<'_> {
    pub(super) fn pools(&mut self) {
        let assets = self.survey.subjects.iter().map(|subject| subject.asset + 1).max().unwrap_or(0);
        let mut by_asset: Vec<Vec<usize>> = vec![Vec::new(); assets];
        for (index, subject) in self.survey.subjects.iter().enumerate() {
            if subject.is_judged() && self.answers(subject) {
                by_asset[subject.asset].push(index);
            }
        }
        for members in &by_asset {
            self.layout_of_device(members);
            self.unit_of_device(members);
        }
        let mut variables: Vec<Vec<usize>> = self.variables.values().cloned().collect();
        // A map has no order, and what is proposed must not depend on one.
        variables.sort();
        for members in &variables {
            self.variable(members);
        }
    }

    /// All tags of a device a register to one side, or in another order, or both.
    fn layout_of_device(&mut self, members: &[usize]) {
        let mut ways: Vec<Way> = Vec::new();
        for shift in [0, -1, 1] {
            ways.push(Way::shifted(shift));
            for order in members.iter().flat_map(|index| way::orders(self.subject(*index).layout)) {
                let way = Way { order: Some(order), ..Way::shifted(shift) };
                if !ways.contains(&way) {
                    ways.push(way);
                }
            }
        }
        ways.retain(|way| !way.is_now());
        if let Some((way, decided)) = self.winner(members, &ways) {
            let cause = Cause::Device { count: decided.len() };
            decided.into_iter().for_each(|index| drop(self.proposed.insert(index, (way.clone(), cause.clone()))));
        }
    }

    /// All values of one quantity of a device in another unit.
    fn unit_of_device(&mut self, members: &[usize]) {
        let open: Vec<usize> = members.iter().copied().filter(|index| !self.proposed.contains_key(index)).collect();
        let mut done: Vec<usize> = Vec::new();
        for first in &open {
            if done.contains(first) {
                continue;
            }
            let unit = self.subject(*first).unit();
            let alike: Vec<usize> =
                open.iter().copied().filter(|index| unit.is_some() && self.subject(*index).unit() == unit).collect();
            done.extend(&alike);
            let ways = way::units(self.subject(*first), self.units);
            if let Some((way, decided)) = self.winner(&alike, &ways) {
                let cause = Cause::Device { count: decided.len() };
                decided.into_iter().for_each(|index| drop(self.proposed.insert(index, (way.clone(), cause.clone()))));
            }
        }
    }

    /// One variable of a template, which is set the same on most assets and wrongly on all of them.
    fn variable(&mut self, members: &[usize]) {
        let open: Vec<usize> = members
            .iter()
            .copied()
            .filter(|index| self.subject(*index).is_judged() && self.answers(self.subject(*index)))
            .filter(|index| !self.proposed.contains_key(index))
            .collect();
        let Some(first) = open.first() else { return };
        let now = self.subject(*first).layout;
        let alike: Vec<usize> = open.iter().copied().filter(|index| self.subject(*index).layout == now).collect();
        let mut ways = way::single(self.subject(*first));
        for shift in [-1, 1] {
            ways.extend(way::orders(now).map(|order| Way { order: Some(order), ..Way::shifted(shift) }));
        }
        ways.extend(way::units(self.subject(*first), self.units));
        if let Some((way, decided)) = self.winner(&alike, &ways) {
            let cause = Cause::Template { count: decided.len() };
            decided.into_iter().for_each(|index| drop(self.proposed.insert(index, (way.clone(), cause.clone()))));
        }
    }

    /// The one way in which nearly all tags read well that do not now, and those tags.
    fn winner(&self, members: &[usize], ways: &[Way]) -> Option<(Way, Vec<usize>)> {
        let telling: Vec<usize> = members.iter().copied().filter(|index| self.verdicts[*index].is_telling()).collect();
        let tried: Vec<Tried<'_>> = ways.iter().map(|way| self.tried(way, &telling)).collect();
        // Of equally good ones the first, which changes least.
        let best = tried.iter().enumerate().max_by_key(|(at, tried)| (tried.fitting.len(), std::cmp::Reverse(*at)))?.1;
        // Of those that fit nearly as often, the one in which values move clearly least.
        let smoother = |other: &&Tried<'_>| {
            other.is_admissible(telling.len())
                && other.refuted <= best.refuted
                && self.roughness(best, other, members) >= ROUGHER
        };
        let best = tried.iter().find(smoother).unwrap_or(best);
        let decided = best.decided();
        let rivals = tried.iter().any(|other| !std::ptr::eq(other, best) && self.is_rival(other, best, &telling));
        let moves = decided.iter().any(|index| self.verdict(*index, best.way).series().is_some_and(Series::is_live));
        (best.is_called_for && best.is_admissible(telling.len()) && moves && !rivals)
            .then(|| (best.way.clone(), decided))
    }

    fn tried<'w>(&self, way: &'w Way, telling: &[usize]) -> Tried<'w> {
        let changed = |index: &usize| way.changes(self.subject(*index).layout);
        let affected: Vec<usize> = telling.iter().copied().filter(changed).collect();
        let fits = |index: &usize| match changed(index) {
            true => self.fits_all(*index, way, telling),
            false => self.verdicts[*index].fits(),
        };
        let fitting: Vec<usize> = telling.iter().copied().filter(fits).collect();
        // A tag that stands at the beginning of its table cannot stand one before.
        let beyond = telling.iter().filter(|index| way.layout(self.subject(**index).layout).is_none()).count();
        let is_refuted = |index: &&usize| match changed(index) {
            true => self.is_impossible(**index, &self.verdict(**index, way)),
            false => self.is_impossible(**index, &self.verdicts[**index]),
        };
        let refuted = telling.iter().filter(is_refuted).count();
        let now = affected.iter().filter(|index| self.verdicts[**index].fits()).count();
        let impossible = affected.iter().filter(|index| self.is_impossible(**index, &self.verdicts[**index])).count();
        let few = now as f64 <= affected.len() as f64 * FEW;
        // A unit only makes values larger or smaller, and what reads well in one often does in the next.
        let all = way.unit.is_none() && refuted + beyond == 0 && fitting.len() == telling.len() && impossible >= SOME;
        Tried { way, affected, fitting, refuted: refuted + beyond, is_called_for: few || all }
    }

    /// Whether another way is as good as the best on the tags on which the two differ.
    fn is_rival(&self, other: &Tried<'_>, best: &Tried<'_>, telling: &[usize]) -> bool {
        // Registers that are read in a wrong order, and those of the next tag, look much alike where floats stand side
        // by side: but for the tag at the end, and but for the lower digits, which then do not belong to the upper.
        if best.refuted == 0 && other.refuted > 0 {
            return false;
        }
        let differs = |index: &usize| {
            let now = self.subject(*index).layout;
            let layouts = (other.way.layout(now), best.way.layout(now));
            other.way.unit != best.way.unit || !matches!(layouts, (Some(a), Some(b)) if way::same_effect(a, b))
        };
        let differing: Vec<usize> = telling.iter().copied().filter(differs).collect();
        let count = |tried: &Tried<'_>| differing.iter().filter(|index| tried.fitting.contains(index)).count();
        let (theirs, ours) = (count(other), count(best));
        let as_good = theirs > 0 && theirs as f64 >= ours as f64 * RIVAL;
        // Where neither says anything impossible of any tag, values that move a little less are no proof.
        let least = if other.refuted == 0 && best.refuted == 0 { CLEARLY_ROUGHER } else { ROUGHER };
        as_good && self.roughness(other, best, &differing) < least
    }

    /// How many times as far values move in one way as in another, in the geometric mean of the tags that fit in both;
    /// 1 where there are too few.
    fn roughness(&self, of: &Tried<'_>, than: &Tried<'_>, tags: &[usize]) -> f64 {
        const MOST: f64 = 16.0;
        let logs: Vec<f64> = tags
            .iter()
            .filter(|index| of.fitting.contains(index) && than.fitting.contains(index))
            .filter_map(|index| {
                let rough = |way| Some(self.verdict(*index, way).series()?.roughness());
                let (a, b) = (rough(of.way)?, rough(than.way)?);
                (a > 0.0 || b > 0.0).then(|| (a / b).clamp(1.0 / MOST, MOST).ln())
            })
            .collect();
        if logs.len() < ENOUGH { 1.0 } else { (logs.iter().sum::<f64>() / logs.len() as f64).exp() }
    }

    /// What no sensor gives, one that has failed neither.
    fn is_impossible(&self, index: usize, verdict: &Verdict) -> bool {
        match verdict {
            Verdict::Nonsense(_) | Verdict::Unread => true,
            Verdict::Outside(series) => series.is_live() && is_far(self.subject(index), series, BEYOND),
            _ => false,
        }
    }

    /// As [`Examination::fits`], when all these tags are read in this way: registers that one of them has now are free.
    fn fits_all(&self, index: usize, way: &Way, members: &[usize]) -> bool {
        let subject: &Subject = self.subject(index);
        let Some(layout) = way.layout(subject.layout) else { return false };
        let taken = self.claims.others(subject.device, layout.item, index).any(|other| !members.contains(&other));
        let moved = layout.item != subject.layout.item;
        self.verdict(index, way).fits() && !(moved && taken)
    }
}
