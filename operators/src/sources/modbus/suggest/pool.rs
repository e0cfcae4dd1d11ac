//! Tags that agree: all those of a device, or one variable of a template on all its assets.

use super::evidence::{Series, Verdict};
use super::proposal::Cause;
use super::way::{self, Way};
use super::{Examination, Subject};

/// Tags from which on they decide together.
const ENOUGH: usize = 3;
/// A share of them that must read well in the new way.
const MOST: f64 = 0.8;
/// A share that may read well now.
const FEW: f64 = 0.2;
/// Of the tags on which two ways differ, a share of those that fit in the better one from which on the other is as
/// good.
const RIVAL: f64 = 0.5;

/// A way and the tags of a pool that read well in it.
struct Tried<'a> {
    way: &'a Way,
    affected: usize,
    fitting: Vec<usize>,
    /// How many it makes read as what no sensor gives, which no failed sensor excuses.
    refuted: usize,
}

impl Tried<'_> {
    fn is_admissible(&self) -> bool {
        self.fitting.len() >= ENOUGH && self.fitting.len() as f64 >= self.affected as f64 * MOST
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
        let tried: Vec<Tried<'_>> = ways.iter().filter_map(|way| self.tried(way, &telling)).collect();
        // Of equally good ones the first, which changes least.
        let best = tried.iter().enumerate().max_by_key(|(at, tried)| (tried.fitting.len(), std::cmp::Reverse(*at)))?.1;
        let rivals = tried.iter().any(|other| !std::ptr::eq(other, best) && self.is_rival(other, best, &telling));
        let moves =
            best.fitting.iter().any(|index| self.verdict(*index, best.way).series().is_some_and(Series::is_live));
        (best.is_admissible() && moves && !rivals).then(|| (best.way.clone(), best.fitting.clone()))
    }

    /// A way on the tags that it changes, unless many of them read well as they are.
    fn tried<'w>(&self, way: &'w Way, telling: &[usize]) -> Option<Tried<'w>> {
        let affected: Vec<usize> =
            telling.iter().copied().filter(|index| way.changes(self.subject(*index).layout)).collect();
        let now = affected.iter().filter(|index| self.verdicts[**index].fits()).count();
        if affected.len() < ENOUGH || now as f64 > affected.len() as f64 * FEW {
            return None;
        }
        let fitting = affected.iter().copied().filter(|index| self.fits_all(*index, way, telling)).collect();
        let impossible =
            |index: &&usize| matches!(self.verdict(**index, way), Verdict::Nonsense(_) | Verdict::Unread);
        let refuted = affected.iter().filter(impossible).count();
        Some(Tried { way, affected: affected.len(), fitting, refuted })
    }

    /// Whether another way is as good as the best on the tags on which the two differ. One that a tag refutes is none
    /// beside one that no tag does: registers that are read in a wrong order, and those of the next tag, look much alike
    /// where floats stand side by side, but for the last of them.
    fn is_rival(&self, other: &Tried<'_>, best: &Tried<'_>, telling: &[usize]) -> bool {
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
        !differing.is_empty() && theirs > 0 && theirs as f64 >= ours as f64 * RIVAL
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
