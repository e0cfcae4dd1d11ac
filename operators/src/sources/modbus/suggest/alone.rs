//! One tag by itself, with what its peers and its device say of it.

use super::evidence::{Series, Verdict};
use super::peers::Peers;
use super::proposal::{Cause, Doubt};
use super::way::{self, Way};
use super::{Examination, Subject};

/// Times the range's larger end above which a sensor that has failed does not read.
pub(super) const BEYOND: f64 = 2.0;
/// The same, for a value that would be right in another unit: a sensor's overrange ends a quarter above its span.
const OVERRANGE: f64 = 1.25;

impl Examination<'_> {
    pub(super) fn alone(&mut self, index: usize) {
        let subject = self.subject(index);
        let verdict = self.verdicts[index].clone();
        let peers = self.peers(index);
        let contradicted = peers.contradict(subject.layout).is_some();
        if let Some((layout, count)) = peers.contradict(subject.layout) {
            let way = Way::like_peers(layout);
            if self.fits_like_peers(index, &way) {
                // Its own way may be right too: an asset may differ from its peers.
                let rough = verdict.series().is_some_and(|series| peers.is_too_rough(series));
                if verdict.fits() && !rough && !self.is_contested(index) {
                    self.open.insert(index, (vec![Way::default(), way], Doubt::Several));
                } else if self.asset_is_like_peers(index) {
                    self.proposed.insert(index, (way, Cause::Peers { count }));
                } else {
                    self.open.insert(index, (vec![way], Doubt::Device));
                }
                return;
            }
        }
        let fitting = match &verdict {
            Verdict::Fits(_) | Verdict::Zero | Verdict::NoReading => return,
            _ => self.fitting(index, &peers),
        };
        if contradicted && !fitting.is_empty() {
            // It fits neither as it is set nor as its peers are: what fits by chance is no answer.
            self.open.insert(index, (fitting, Doubt::Device));
            return;
        }
        let Some(way) = fitting.first() else {
            self.open.insert(index, (fitting, Doubt::Nothing));
            return;
        };
        if fitting.len() > 1 {
            self.open.insert(index, (fitting, Doubt::Several));
            return;
        }
        match self.doubt(index, &verdict, way) {
            Some(doubt) => self.open.insert(index, (fitting, doubt)).map_or((), drop),
            None => self.proposed.insert(index, (way.clone(), Cause::Values)).map_or((), drop),
        }
    }

    /// As [`Examination::fits`], for the place where the peers have it: a tag that stands there and reads badly, or
    /// should stand elsewhere itself, is not in its way.
    fn fits_like_peers(&self, index: usize, way: &Way) -> bool {
        let subject = self.subject(index);
        let Some(layout) = way.layout(subject.layout) else { return false };
        let rightly = |other: &usize| {
            self.verdicts[*other].fits() && self.peers(*other).contradict(self.subject(*other).layout).is_none()
        };
        self.verdict(index, way).fits()
            && (layout.item == subject.layout.item
                || !self.claims.others(subject.device, layout.item, index).any(|other| rightly(&other)))
    }

    /// Every way that changes one thing and then fits, where the peers' values do not speak against it.
    fn fitting(&self, index: usize, peers: &Peers) -> Vec<Way> {
        let subject = self.subject(index);
        let accepted = |way: &Way| {
            self.fits(index, way)
                && self
                    .verdict(index, way)
                    .series()
                    .is_some_and(|series| peers.accept(series.mean()) && !peers.is_too_rough(series))
        };
        let layouts = way::single(subject).into_iter();
        let units = match self.verdicts[index] {
            Verdict::Outside(_) | Verdict::Unusual(_) => way::units(subject, self.units),
            _ => Vec::new(),
        };
        layouts.chain(units).filter(accepted).collect()
    }

    /// Why the one way that fits is still not sure.
    fn doubt(&self, index: usize, verdict: &Verdict, way: &Way) -> Option<Doubt> {
        let subject = self.subject(index);
        let live = self.verdict(index, way).series().is_some_and(Series::is_live);
        if !live {
            return Some(Doubt::Still);
        }
        if !self.device_reads_well(index) {
            return Some(Doubt::Device);
        }
        match verdict {
            Verdict::Nonsense(_) => None,
            Verdict::Outside(series) => {
                // A number that never changes may be how the device says that it has no reading.
                let least = if way.unit.is_some() { OVERRANGE } else { BEYOND };
                (!series.is_live() || !is_far(subject, series, least)).then_some(Doubt::Sensor)
            }
            _ => Some(Doubt::Sensor),
        }
    }

    /// Whether another tag has registers of this one, and its peers have them there too.
    fn is_contested(&self, index: usize) -> bool {
        let subject = self.subject(index);
        self.claims
            .others(subject.device, subject.layout.item, index)
            .any(|other| self.peers(other).contradict(self.subject(other).layout).is_none())
    }

    /// Whether the asset's other tags stand where those of its peers do, at least half of them. Where they do not, its
    /// device is of another make, and what is there at the peers' place may be anything.
    fn asset_is_like_peers(&self, index: usize) -> bool {
        let asset = self.subject(index).asset;
        let (mut known, mut alike) = (0, 0);
        for (other, subject) in self.survey.subjects.iter().enumerate() {
            if subject.asset == asset && other != index && subject.is_judged() {
                let peers = self.peers(other);
                known += usize::from(peers.layout.is_some());
                alike += usize::from(peers.layout.is_some_and(|(layout, _)| way::same_effect(layout, subject.layout)));
            }
        }
        alike * 2 >= known
    }

    /// Whether the other tags of the asset are read well, at least half of those that say anything. Where they are not,
    /// the device is another one than it is thought to be.
    fn device_reads_well(&self, index: usize) -> bool {
        let asset = self.subject(index).asset;
        let (mut telling, mut well) = (0, 0);
        for (other, subject) in self.survey.subjects.iter().enumerate() {
            if subject.asset == asset && other != index && subject.is_judged() && self.verdicts[other].is_telling() {
                telling += 1;
                well += usize::from(self.verdicts[other].fits());
            }
        }
        telling > 0 && well * 2 >= telling
    }
}

/// Whether all values lie further out than so many times the larger end of the range.
pub(super) fn is_far(subject: &Subject, series: &Series, least: f64) -> bool {
    let Some([low, high]) = subject.range() else { return false };
    let size = low.abs().max(high.abs());
    series.0.iter().all(|value| value.abs() > size * least)
}
