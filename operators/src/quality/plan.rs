//! The checks of each tag in the form that the hot path reads: limits in the tag's unit, times in microseconds.

use std::collections::BTreeMap;
use std::sync::Arc;

use ducto_graph::scalar::{Duration, Quantity};
use ducto_graph::site::TagSettings;
use ducto_graph::source::Place;
use ducto_graph::tree::Spanned;
use ducto_record::time::MINUTE;
use ducto_record::{Micros, Quality, TagId, Unit, Units, ValueKind};
use hashbrown::HashMap;

use super::settings::{Checks, Frozen, Rearm, Spike, Verdict};

/// A time ahead of the engine's clock by more than this is no measure of what is old, unless the tag's own `future`
/// check says otherwise.
pub(crate) const CLOCK_TOLERANCE: Micros = 5_000_000;

/// Longest window of a Hampel test.
pub(super) const LONGEST_WINDOW: usize = 255;

/// What one comparison each tells of a sample that has nothing wrong. A sample that does not pass them all is judged
/// check by check.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) jump: f64,
}

impl Limits {
    /// Every sample is judged check by check.
    pub(super) const NEVER: Self = Self { low: f64::INFINITY, high: f64::NEG_INFINITY, jump: -1.0 };
}

/// Bounds of a sample's time that no tag's checks object to; one for all tags, so that they stay in registers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// Longest time since the sample before; an older sample wraps round to a very long one.
    pub(super) gap: u64,
    /// Furthest ahead of engine time.
    pub(super) lead: Micros,
}

impl Times {
    pub(super) fn of(plans: &Plans) -> Self {
        let plans = || plans.iter().flatten();
        Self {
            // Half the range of u64 is any time not before the newest.
            gap: plans().filter_map(|plan| Some(plan.gap?.0.unsigned_abs())).min().unwrap_or(i64::MAX as u64),
            lead: plans().filter_map(|plan| Some(plan.future?.0)).min().unwrap_or(Micros::MAX),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct JumpPlan {
    pub(super) limit: f64,
    /// `u32::MAX`: never.
    pub(super) rearm: u32,
    pub(super) verdict: Quality,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum SpikeForm {
    Hampel { min: f64, k: f64, window: usize },
    Differential { threshold: f64 },
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct FrozenPlan {
    pub(super) suspect: Option<Micros>,
    pub(super) fail: Option<Micros>,
    pub(super) tolerance: f64,
    pub(super) repeats: Option<u32>,
    pub(super) verdict: Quality,
    pub(super) fail_verdict: Quality,
    /// Index of the condition that is true while the equipment runs.
    pub(super) running: Option<usize>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct StalePlan {
    pub(super) after: Micros,
    pub(super) scan: Micros,
    pub(super) verdict: Quality,
}

/// The checks of one tag.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Plan {
    pub(super) kind: ValueKind,
    pub(super) span: Option<[f64; 2]>,
    pub(super) span_verdict: Quality,
    pub(super) envelope: Option<[f64; 2]>,
    pub(super) envelope_verdict: Quality,
    pub(super) jump: Option<JumpPlan>,
    pub(super) spike: Option<(SpikeForm, Quality)>,
    /// Limit per second.
    pub(super) rate: Option<(f64, Quality)>,
    /// Index of the condition.
    pub(super) cross: Option<(usize, Quality)>,
    pub(super) frozen: Option<FrozenPlan>,
    pub(super) stale: Option<StalePlan>,
    pub(super) gap: Option<(Micros, Quality)>,
    pub(super) future: Option<(Micros, Quality)>,
    /// Whether conditions read this tag.
    pub(super) watched: bool,
}

/// A setting that does not fit the tag; with the place of the setting.
#[derive(Clone, Debug)]
pub(super) struct Misfit {
    /// [`Place::NOWHERE`] for what is missing: the check itself is pointed at then.
    pub(super) place: Place,
    pub(super) check: &'static str,
    pub(super) kind: MisfitKind,
    pub(super) message: String,
    pub(super) help: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MisfitKind {
    /// An unknown unit.
    Unit,
    /// A unit of another quantity.
    Quantity,
    /// A number that makes no sense.
    Number,
    /// Something that must be given.
    Missing,
}

/// What a tag brings to its plan.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subject<'a> {
    pub(super) kind: ValueKind,
    pub(super) unit: Option<&'a Unit>,
    pub(super) span: Option<[f64; 2]>,
    pub(super) envelope: Option<[f64; 2]>,
    pub(super) scan: Option<Micros>,
}

impl<'a> Subject<'a> {
    pub(super) fn of(tag: &'a TagSettings) -> Self {
        Self {
            kind: tag.kind,
            unit: tag.unit.as_ref(),
            span: tag.span,
            envelope: tag.envelope,
            scan: tag.scan.map(|scan| scan.micros()),
        }
    }
}

/// A distance between two values (a limit, a deadband, a tolerance) in the unit of the values.
pub(crate) fn difference(
    quantity: &Spanned<Quantity>,
    unit: Option<&Unit>,
    units: &Units,
) -> Result<f64, (DifferenceError, String)> {
    let Some(name) = &quantity.unit else { return Ok(quantity.value.value) };
    let Some(from) = units.get(name) else {
        return Err((DifferenceError::Unknown, format!("there is no unit `{name}`")));
    };
    let Some(to) = unit else {
        return Err((
            DifferenceError::Quantity,
            format!("the tag has no unit, so that `{name}` cannot be converted to it"),
        ));
    };
    if from.dimension != to.dimension {
        return Err((
            DifferenceError::Quantity,
            format!("`{name}` and the tag's `{}` measure different things", to.symbol),
        ));
    }
    // A difference has no zero: psi, psig and psia are steps of one size.
    Ok(quantity.value.value * from.scale / to.scale)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DifferenceError {
    Unknown,
    Quantity,
}

/// Makes plans, and collects what does not fit.
pub(super) struct Planner<'a> {
    pub(super) units: &'a Units,
    pub(super) misfits: Vec<Misfit>,
}

impl Planner<'_> {
    fn misfit(&mut self, place: Place, kind: MisfitKind, message: String, help: &str) {
        self.misfits.push(Misfit { place, check: "", kind, message, help: help.to_owned() });
    }

    /// A time that must be longer than none.
    fn longer_than_none(&mut self, name: &str, time: Option<&Spanned<Duration>>, help: &str) -> bool {
        let Some(time) = time.filter(|time| time.value == Duration::ZERO) else { return true };
        self.misfit(time.place, MisfitKind::Number, format!("`{name}` must be longer than zero"), help);
        false
    }

    fn distance(&mut self, quantity: &Spanned<Quantity>, subject: Subject<'_>) -> Option<f64> {
        match difference(quantity, subject.unit, self.units) {
            Ok(value) if value >= 0.0 => Some(value),
            Ok(_) => {
                let message = format!("`{}` is negative, and a distance cannot be", quantity.value);
                self.misfit(quantity.place, MisfitKind::Number, message, "write a number from 0");
                None
            }
            Err((error, message)) => {
                let kind = match error {
                    DifferenceError::Unknown => MisfitKind::Unit,
                    DifferenceError::Quantity => MisfitKind::Quantity,
                };
                self.misfit(quantity.place, kind, message, "write the number in the tag's unit");
                None
            }
        }
    }

    /// The plan of a tag; `condition` gives each expression its number.
    pub(super) fn plan(
        &mut self,
        subject: Subject<'_>,
        checks: &Checks,
        condition: &mut dyn FnMut(&Spanned<String>) -> Option<usize>,
    ) -> Plan {
        let numbers = matches!(subject.kind, ValueKind::Float64 | ValueKind::Int64);
        let range = checks.range.clone().unwrap_or_default();
        let ranged = !checks.is_off("range") || checks.range.is_some();
        let mut plan = Plan {
            kind: subject.kind,
            span: subject.span.filter(|_| numbers && ranged),
            span_verdict: range.verdict.0,
            envelope: subject.envelope.filter(|_| numbers && ranged),
            envelope_verdict: range.envelope_verdict.0,
            jump: None,
            spike: None,
            rate: None,
            cross: None,
            frozen: None,
            stale: None,
            gap: checks.gap.as_ref().map(|gap| (gap.span.micros(), gap.verdict.0)),
            future: checks.future.as_ref().map(|future| (future.tolerance.micros(), future.verdict.0)),
            watched: false,
        };
        if numbers {
            if let Some(jump) = &checks.jump {
                let rearm = match jump.rearm {
                    Rearm::Never => u32::MAX,
                    Rearm::After(count) => count,
                };
                plan.jump =
                    self.distance(&jump.limit, subject).map(|limit| JumpPlan { limit, rearm, verdict: jump.verdict.0 });
            }
            plan.spike = checks.spike.as_ref().and_then(|spike| Some((self.spike(spike, subject)?, spike.verdict.0)));
            plan.rate =
                checks.rate.as_ref().and_then(|rate| Some((self.distance(&rate.limit, subject)?, rate.verdict.0)));
        }
        plan.cross =
            checks.cross_check.as_ref().and_then(|cross| Some((condition(&cross.expression)?, cross.verdict.0)));
        plan.frozen = checks.frozen.as_ref().and_then(|frozen| self.frozen(frozen, subject, condition));
        plan.stale = self.stale(checks, subject);
        if let Some(gap) = &checks.gap {
            self.longer_than_none("span", Some(&gap.span), "write how long a hole, such as `10s`");
        }
        plan
    }

    fn spike(&mut self, spike: &Spike, subject: Subject<'_>) -> Option<SpikeForm> {
        if let Some(threshold) = &spike.differential {
            if let Some(min) = &spike.min {
                let message = "`min` belongs to Hampel's test, and `differential` is the other form".to_owned();
                self.misfit(min.place, MisfitKind::Number, message, "remove one of the two");
                return None;
            }
            return self.distance(threshold, subject).map(|threshold| SpikeForm::Differential { threshold });
        }
        let Some(min) = &spike.min else {
            self.misfits.push(Misfit {
                place: Place::NOWHERE,
                check: "spike",
                kind: MisfitKind::Missing,
                message: "a spike check needs `min`, or `differential`".to_owned(),
                help: "write `spike: {min: …}`: the smallest distance from the median that can be a spike".to_owned(),
            });
            self.hampel(spike);
            return None;
        };
        let min = self.distance(min, subject);
        let right = self.hampel(spike);
        min.filter(|_| right).map(|min| SpikeForm::Hampel { min, k: *spike.k, window: *spike.window })
    }

    /// Whether the numbers of a Hampel test make sense.
    fn hampel(&mut self, spike: &Spike) -> bool {
        let before = self.misfits.len();
        let (window, k) = (&spike.window, &spike.k);
        if !(3..=LONGEST_WINDOW).contains(&window.value) {
            let message = format!("a window of {} samples", window.value);
            self.misfit(window.place, MisfitKind::Number, message, "write a `window` from 3 to 255 samples");
        }
        if !(k.value >= 0.0 && k.value.is_finite()) {
            self.misfit(k.place, MisfitKind::Number, format!("`k: {}`", k.value), "write a `k` from 0, 3 as a rule");
        }
        self.misfits.len() == before
    }

    fn frozen(
        &mut self,
        frozen: &Frozen,
        subject: Subject<'_>,
        condition: &mut dyn FnMut(&Spanned<String>) -> Option<usize>,
    ) -> Option<FrozenPlan> {
        let tolerance = match &frozen.tolerance {
            Some(tolerance) => self.distance(tolerance, subject)?,
            None => 0.0,
        };
        let mut right = self.longer_than_none("for", frozen.span.as_ref(), "write how long, such as `10m`");
        right &= self.longer_than_none("fail_for", frozen.fail_for.as_ref(), "write how long, such as `30m`");
        if let Some(repeats) = frozen.repeats.as_ref().filter(|repeats| repeats.value == 0) {
            let message = "`repeats: 0` would take every sample for frozen".to_owned();
            self.misfit(repeats.place, MisfitKind::Number, message, "write 1 or more");
            right = false;
        }
        if let (Some(suspect), Some(fail)) = (&frozen.span, &frozen.fail_for)
            && fail.value < suspect.value
            && right
        {
            let message = format!("failed after {} and suspect only after {}", fail.value, suspect.value);
            self.misfit(fail.place, MisfitKind::Number, message, "write a `fail_for` that is longer than `for`");
            right = false;
        }
        if !right {
            return None;
        }
        let scans = |count: i64| subject.scan.map(|scan| scan.saturating_mul(count).max(5 * MINUTE));
        let timed = frozen.span.is_some() || frozen.fail_for.is_some() || frozen.repeats.is_none();
        let suspect = frozen.span.as_ref().map(|span| span.micros()).or_else(|| {
            // Only where nothing else says when: `repeats` alone, or `fail_for` alone, is enough.
            (timed && frozen.fail_for.is_none()).then(|| scans(3).unwrap_or(5 * MINUTE))
        });
        let fail = frozen.fail_for.as_ref().map(|span| span.micros()).or_else(|| {
            (timed && frozen.span.is_none() && frozen.verdict.is_none()).then(|| scans(5).unwrap_or(5 * MINUTE))
        });
        let running = match &frozen.running {
            Some(text) => Some(condition(text)?),
            None => None,
        };
        Some(FrozenPlan {
            suspect,
            fail,
            tolerance,
            repeats: frozen.repeats.as_ref().map(|repeats| repeats.value),
            verdict: frozen.verdict.unwrap_or(Verdict(Quality::SUB_NORMAL)).0,
            fail_verdict: frozen.fail_as.0,
            running,
        })
    }

    pub(super) fn stale(&mut self, checks: &Checks, subject: Subject<'_>) -> Option<StalePlan> {
        if checks.is_off("stale") && checks.stale.is_none() {
            return None;
        }
        let stale = checks.stale.clone().unwrap_or_default();
        let scans = *stale.scans;
        if !(scans.is_finite() && scans > 0.0) {
            let message = format!("`scans: {scans}` is no number of scans");
            self.misfit(stale.scans.place, MisfitKind::Number, message, "write a number above 0, 3 as a rule");
            return None;
        }
        if !self.longer_than_none("after", stale.after.as_ref(), "write how long, such as `30s`") {
            return None;
        }
        let (after, scan) = match (stale.after.as_ref().map(|after| after.micros()), subject.scan) {
            (Some(after), scan) => (after, scan.unwrap_or(after)),
            (None, Some(scan)) => ((scan as f64 * scans) as Micros, scan),
            // Nothing polls it, and nothing says how long it may be silent.
            (None, None) => return None,
        };
        (after > 0 && scan > 0).then_some(StalePlan { after, scan, verdict: stale.verdict.0 })
    }
}

impl Plan {
    /// Whether this tag's samples wait for the end of their entry, because they are judged with those of other tags.
    pub(super) fn waits(&self) -> bool {
        self.cross.is_some() || self.frozen.as_ref().is_some_and(|frozen| frozen.running.is_some())
    }

    /// Whether each sample is held until the next.
    pub(super) fn holds(&self) -> bool {
        matches!(self.spike, Some((SpikeForm::Differential { .. }, _)))
    }

    /// Lowest and highest value that range lets pass.
    fn band(&self) -> (f64, f64) {
        let (mut low, mut high) = (f64::MIN, f64::MAX);
        for [from, to] in [self.span, self.envelope].into_iter().flatten() {
            low = low.max(from);
            high = high.min(to);
        }
        (low, high)
    }

    /// A sample within these limits passes all checks, and leaves its trace in the tag's hot record alone.
    pub(super) fn limits(&self) -> Limits {
        let windowed = self.frozen.as_ref().is_some_and(|frozen| frozen.tolerance > 0.0);
        if self.watched || self.waits() || self.spike.is_some() || self.rate.is_some() || windowed {
            return Limits::NEVER;
        }
        let (low, high) = self.band();
        Limits { low, high, jump: self.jump.as_ref().map_or(f64::INFINITY, |jump| jump.limit) }
    }
}

/// Plans by tag number; `None` for tags that pass unjudged. Tags whose plans are equal share one.
pub(super) type Plans = Vec<Option<Arc<Plan>>>;

/// Plans that tags can share: the newest of each variable, since the tags of one template differ in little else.
#[derive(Default)]
pub(super) struct Shared {
    by_variable: HashMap<Arc<str>, Vec<Arc<Plan>>>,
}

/// Plans that are kept of a variable to be compared with.
const KEPT: usize = 8;

impl Shared {
    /// The plan, or one made before that equals it.
    pub(super) fn of(&mut self, variable: &Arc<str>, plan: Plan) -> Arc<Plan> {
        let known = self.by_variable.entry(variable.clone()).or_default();
        if let Some(equal) = known.iter().find(|known| ***known == plan) {
            return equal.clone();
        }
        let plan = Arc::new(plan);
        if known.len() == KEPT {
            known.remove(0);
        }
        known.push(plan.clone());
        plan
    }
}

/// Marks the tags that conditions read.
pub(super) fn watch(plans: &mut Plans, tags: &BTreeMap<TagId, usize>) {
    for &tag in tags.keys() {
        if let Some(Some(plan)) = plans.get_mut(tag as usize) {
            Arc::make_mut(plan).watched = true;
        }
    }
}
