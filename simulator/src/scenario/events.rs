//! From the fields of an event to what is done, when and to whom.

use ducto_graph::codes::Code;
use ducto_graph::diagnostic::{Diagnostic, Diagnostics};
use ducto_graph::scalar::Duration;
use ducto_graph::source::Place;
use ducto_graph::tree::Spanned;
use ducto_record::Units;

use super::fields::EventFields;
use super::kinds::{EventName, On};
use super::plans::{FREQUENCY, PERCENT, PRESSURE, share};
use super::quantity::Wanted;
use super::{Action, Dirt, Event, Scenario, Target, When};
use crate::device::Equipment;
use crate::field::ATMOSPHERE;
use crate::simulation::Trouble;
use crate::variables::Variable;

/// How long a spike lasts where nothing is said.
const SPIKE: i64 = 1_000_000;
/// More often than this nothing happens again.
const SHORTEST: i64 = 100_000;
const LATENESS: Wanted = Wanted::new("s", 0.0, 60.0);
const WEAR: Wanted = Wanted::new("%", 0.0, 90.0);

pub(super) struct Reader<'a> {
    pub(super) scenario: &'a Scenario,
    /// Whether its wells and separators are known: otherwise nothing is said about names.
    pub(super) known: bool,
    pub(super) units: &'a Units,
    pub(super) found: &'a mut Diagnostics,
}

impl Reader<'_> {
    pub(super) fn event(&mut self, fields: EventFields, place: Place) -> Option<Event> {
        let before = self.found.len();
        let name = fields.event.value;
        self.check_fields(&fields, place);
        let when = self.when(&fields, place);
        let targets = self.targets(&fields);
        let is_clear = self.known && self.found.len() == before;
        let action = if is_clear { self.action(&fields, &targets) } else { None };
        let lasts = fields.lasts.as_ref().map(|lasts| lasts.value.micros());
        let lasts = lasts.or((name == EventName::Spike).then_some(SPIKE));
        if let (Some(When::Every { period, .. }), Some(lasts)) = (when, lasts)
            && lasts >= period
            && let Some(given) = fields.lasts.as_ref().or(fields.every.as_ref())
        {
            self.found.push(
                Diagnostic::new(Code::ValueInvalid, "it lasts until it happens again, so it is never over")
                    .at(given.place)
                    .help("give a `for` that is shorter than `every`, or `at` without either"),
            );
        }
        if self.found.len() > before {
            return None;
        }
        Some(Event { name, when: when?, lasts, targets, action: action? })
    }

    /// Fields that an event does not take, or lacks.
    fn check_fields(&mut self, fields: &EventFields, place: Place) {
        let name = fields.event.value;
        let takes = name.takes();
        let on: &[&str] = match takes.on {
            On::Well => &["well"],
            On::Separator => &["separator"],
            On::Device | On::Tag => &["well", "separator"],
        };
        let tag: &[&str] = if takes.on == On::Tag { &["tag"] } else { &[] };
        let lasts: &[&str] = if takes.lasts { &["for"] } else { &[] };
        let known: Vec<&str> = [on, tag, takes.needs, takes.may, lasts].into_iter().flatten().copied().collect();
        let given = fields.given();
        for (field, at) in given.iter().filter(|(field, _)| !known.contains(field)) {
            let list = known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            self.found.push(
                Diagnostic::new(Code::FieldUnknown, format!("`{}` takes no `{field}`", name.name()))
                    .at(*at)
                    .help(format!("beside `at`, `every` and `random_every` it takes {list}")),
            );
        }
        let is_given = |field: &str| given.iter().any(|(name, _)| *name == field);
        let mut missing: Vec<String> =
            tag.iter().chain(takes.needs).filter(|field| !is_given(field)).map(|field| format!("`{field}`")).collect();
        if !on.iter().any(|field| is_given(field)) {
            missing.push(on.iter().map(|field| format!("`{field}`")).collect::<Vec<_>>().join(" or "));
        }
        for field in missing {
            self.found.push(
                Diagnostic::new(Code::FieldMissing, format!("`{}` needs {field}", name.name()))
                    .at(place)
                    .help("add it; `docs/simulate.md` has an example of each event"),
            );
        }
        let both = match takes.on {
            On::Device | On::Tag => [&fields.well, &fields.separator],
            On::Well | On::Separator => [&None, &None],
        };
        self.at_most_one(both.map(|field| field.as_ref().map(|field| field.place)), "a well and a separator");
        let amounts = [&fields.to, &fields.by].map(|field| field.as_ref().map(|field| field.place));
        self.at_most_one(amounts, "`to` and `by`");
        if name == EventName::Spike && amounts == [None, None] {
            self.found.push(
                Diagnostic::new(Code::FieldMissing, "a spike needs `to` or `by`")
                    .at(place)
                    .help("say what it shows, `to: 6553.5`, or by how much it is off, `by: 400`"),
            );
        }
    }

    fn at_most_one(&mut self, [first, second]: [Option<Place>; 2], what: &str) {
        if let (Some(first), Some(second)) = (first, second) {
            self.found.push(
                Diagnostic::new(Code::GivenTwice, format!("{what} are given at once"))
                    .at(second)
                    .note_at(first, "the other is here")
                    .help("keep one, and write another event for the other"),
            );
        }
    }

    fn when(&mut self, fields: &EventFields, place: Place) -> Option<When> {
        let micros = |field: &Option<Spanned<Duration>>| field.as_ref().map(|field| field.value.micros());
        let (at, every, mean) = (micros(&fields.at), micros(&fields.every), micros(&fields.random_every));
        for (period, field) in [(every, &fields.every), (mean, &fields.random_every)] {
            if let (Some(period), Some(field)) = (period, field)
                && period < SHORTEST
            {
                self.found.push(
                    Diagnostic::new(Code::NumberOutOfRange, format!("`{}` is too often", field.value))
                        .at(field.place)
                        .help("nothing happens more often than every `100ms`"),
                );
                return None;
            }
        }
        match (at, every, mean) {
            (Some(at), None, None) => Some(When::Once(at)),
            (at, Some(period), None) => Some(When::Every { first: at.unwrap_or(period), period }),
            (at, None, Some(mean)) => Some(When::Randomly { from: at.unwrap_or(0), mean }),
            (_, Some(_), Some(_)) => {
                let places = [&fields.every, &fields.random_every].map(|field| field.as_ref().map(|field| field.place));
                self.at_most_one(places, "`every` and `random_every`");
                None
            }
            (None, None, None) => {
                self.found.push(
                    Diagnostic::new(Code::FieldMissing, "it is not said when this happens")
                        .at(place)
                        .help("add `at: 2m`, `every: 10m` or `random_every: 6h`"),
                );
                None
            }
        }
    }

    /// The wells or separators that an event names.
    fn targets(&mut self, fields: &EventFields) -> Vec<Target> {
        let scenario = self.scenario;
        match (&fields.well, &fields.separator) {
            // The separator of a well test is where the well goes.
            (Some(pattern), _) => {
                let names = scenario.wells.iter().map(|well| &*well.name);
                self.matching(pattern, "well", names, Target::Well)
            }
            (None, Some(pattern)) => {
                let names = scenario.separators.iter().map(|separator| &*separator.name);
                self.matching(pattern, "separator", names, Target::Separator)
            }
            (None, None) => Vec::new(),
        }
    }

    fn matching<'s>(
        &mut self,
        pattern: &Spanned<String>,
        what: &str,
        names: impl Iterator<Item = &'s str> + Clone,
        target: fn(usize) -> Target,
    ) -> Vec<Target> {
        let named: Vec<Target> = names
            .clone()
            .enumerate()
            .filter(|(_, name)| matches(pattern, name))
            .map(|(index, _)| target(index))
            .collect();
        if named.is_empty() && self.known {
            self.found.push(
                Diagnostic::new(Code::SimulatedUnknown, format!("there is no {what} `{}`", pattern.value))
                    .at(pattern.place)
                    .suggest(pattern, names),
            );
        }
        named
    }

    fn action(&mut self, fields: &EventFields, targets: &[Target]) -> Option<Action> {
        let over = fields.over.as_ref().map_or(0.0, |over| seconds(over.value));
        let Self { units, found, .. } = self;
        let to = |wanted: Wanted, found: &mut Diagnostics| {
            fields.to.as_ref().and_then(|given| wanted.read(given, units, found))
        };
        Some(match fields.event.value {
            EventName::Choke => Action::Choke { to: share(to(PERCENT, found)?), over },
            EventName::Frequency => Action::Frequency { to: to(FREQUENCY, found)? },
            EventName::Stop => Action::Stop,
            EventName::Start => Action::Start,
            EventName::GasLock if fields.to.is_none() => Action::GasLock { severity: 1.0 },
            EventName::GasLock => Action::GasLock { severity: share(to(PERCENT, found)?) },
            EventName::WaterCut => Action::WaterCut { to: share(to(PERCENT, found)?), over },
            EventName::Wear => {
                let by = fields.by.as_ref().and_then(|given| WEAR.read(given, units, found))?;
                Action::Wear { by: share(by), over }
            }
            EventName::WellTest => Action::WellTest { separator: self.test_separator(fields)? },
            EventName::Pressure => Action::Pressure { to: to(PRESSURE, found)? + ATMOSPHERE },
            EventName::BlockedOutlet => Action::BlockedOutlet,
            EventName::Spike | EventName::Freeze | EventName::Drift | EventName::Fail => {
                return self.measurement(fields, targets, over);
            }
            EventName::Dead => Action::Device(Trouble::Dead),
            EventName::Slow => {
                let seconds = fields.by.as_ref().and_then(|given| LATENESS.change(given, units, found))?;
                Action::Device(Trouble::Slow { seconds })
            }
            EventName::Lie => Action::Device(Trouble::Lies(fields.answer.as_ref()?.value)),
        })
    }

    fn test_separator(&mut self, fields: &EventFields) -> Option<usize> {
        let separators = &self.scenario.separators;
        if let Some(name) = &fields.separator {
            let index = separators.iter().position(|separator| *separator.name == *name.value);
            if index.is_none() {
                self.found.push(
                    Diagnostic::new(Code::SimulatedUnknown, format!("there is no separator `{}`", name.value))
                        .at(name.place)
                        .suggest(name, separators.iter().map(|separator| &*separator.name)),
                );
            }
            return index;
        }
        let index = separators.iter().position(|separator| separator.test);
        if index.is_none() {
            self.found.push(
                Diagnostic::new(Code::FieldMissing, "there is no test separator")
                    .at(fields.event.place)
                    .help("give one of the separators `test: true`, or name one with `separator`"),
            );
        }
        index
    }

    /// What goes wrong with a measurement. `to` may be anything that a device can show.
    fn measurement(&mut self, fields: &EventFields, targets: &[Target], over: f64) -> Option<Action> {
        let on = match targets.first()? {
            Target::Well(_) => Equipment::Well,
            Target::Separator(_) => Equipment::Separator,
        };
        let (variable, about) = self.variable(fields.tag.as_ref()?, on)?;
        let wanted = Wanted::new(about.unit.unwrap_or("fraction"), -1e9, 1e9);
        let Self { units, found, .. } = self;
        let to = fields.to.as_ref().map(|given| wanted.read(given, units, found));
        let by = fields.by.as_ref().map(|given| wanted.change(given, units, found));
        let dirt = match fields.event.value {
            EventName::Spike => match (to, by) {
                (Some(to), _) => Dirt::SpikeTo(to?),
                (None, by) => Dirt::SpikeBy(by??),
            },
            EventName::Drift => Dirt::Drift { by: by??, over },
            EventName::Fail => Dirt::Fail(to.map_or(Some(f64::NAN), |to| to)?),
            _ => Dirt::Freeze,
        };
        Some(Action::Measurement { variable, dirt })
    }

    fn variable(&mut self, tag: &Spanned<String>, on: Equipment) -> Option<(usize, &'static Variable)> {
        let variables = on.variables();
        let found = variables.iter().enumerate().find(|(_, variable)| variable.name == tag.value);
        if found.is_none() {
            let what = if on == Equipment::Well { "wells" } else { "separators" };
            self.found.push(
                Diagnostic::new(
                    Code::SimulatedUnknown,
                    format!("nothing called `{}` is measured on {what}", tag.value),
                )
                .at(tag.place)
                .help("`ducto simulate --map` lists what is measured")
                .suggest(tag, variables.iter().map(|variable| variable.name)),
            );
        }
        found
    }
}

fn seconds(duration: Duration) -> f64 {
    duration.micros() as f64 / 1e6
}

/// Whether a name is meant, `*` standing for any text.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, rest)) => match name.strip_prefix(start) {
            None => false,
            Some(name) => {
                let ends = name.char_indices().map(|(at, _)| at).chain([name.len()]);
                ends.into_iter().any(|at| matches(rest, &name[at..]))
            }
        },
    }
}
