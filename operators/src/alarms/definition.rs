//! An alarm in the form that rows are judged by: limits in the tag's unit, names looked up.

use std::collections::BTreeMap;
use std::sync::Arc;

use ducto_graph::codes::Code;
use ducto_graph::diagnostic::{Diagnostic, Diagnostics};
use ducto_graph::scalar::Quantity;
use ducto_graph::site::{Site, TagSettings};
use ducto_graph::tree::Spanned;
use ducto_record::{Micros, Quality, TagId, Unit, UnitError, Units, ValueKind};

use super::classes::{AlarmClass, DEFAULT_CLASS, classes};
use super::machine::{Behaviour, Truth};
use super::settings::{Accept, AlarmSettings, AlarmType, OnBadQuality, StateValue, TagAlarms};
use crate::quality::{DifferenceError, difference};

/// When an alarm is raised and cleared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Condition {
    /// Raised above `limit`, cleared below `clear`.
    High { limit: f64, clear: f64 },
    /// Raised below `limit`, cleared above `clear`.
    Low { limit: f64, clear: f64 },
    /// As `High`, of the distance to a set-point.
    Deviation { setpoint: Setpoint, limit: f64, clear: f64 },
    /// As `High`, of the change per second.
    Rate { limit: f64, clear: f64 },
    /// Raised while the value is this.
    Discrete { state: f64 },
    /// Raised while the quality is Bad.
    Bad,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Setpoint {
    Number(f64),
    Tag(TagId),
}

/// One alarm.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Alarm {
    pub(super) name: Arc<str>,
    pub(super) condition: Condition,
    pub(super) behaviour: Behaviour,
    pub(super) class: Arc<str>,
    pub(super) rows: Rows,
    pub(super) group: Option<String>,
}

/// Which rows count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rows {
    pub(super) accept: Accept,
    pub(super) on_bad: OnBadQuality,
}

/// What a row's quality makes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counts {
    /// The row says what its values say.
    Yes,
    /// The row says this, whatever its values.
    As(Truth),
    /// The row changes nothing, and ends no delay.
    No,
}

impl Rows {
    /// `valued`: the row has what the condition looks at.
    pub(super) fn count(self, quality: Quality, valued: bool) -> Counts {
        // What is out of service raises nothing and clears nothing, whatever a Bad row does otherwise.
        if quality == Quality::OUT_OF_SERVICE {
            return Counts::No;
        }
        let bad = quality.is_bad() || !valued;
        match (self.accept, self.on_bad) {
            (Accept::Usable, _) if !bad => Counts::Yes,
            (Accept::Good, _) if !bad && quality.is_good() => Counts::Yes,
            (_, OnBadQuality::Force) if bad => Counts::As(Truth::True),
            (_, OnBadQuality::Ignore) if bad => Counts::As(Truth::False),
            _ => Counts::No,
        }
    }
}

impl Condition {
    /// What a value says; of a deviation or a rate, the distance or the rate.
    pub(super) fn judge(&self, value: f64) -> Truth {
        match *self {
            Self::High { limit, clear } | Self::Deviation { limit, clear, .. } | Self::Rate { limit, clear } => {
                if value > limit {
                    Truth::True
                } else if value <= clear {
                    Truth::False
                } else {
                    Truth::Between
                }
            }
            Self::Low { limit, clear } => {
                if value < limit {
                    Truth::True
                } else if value >= clear {
                    Truth::False
                } else {
                    Truth::Between
                }
            }
            Self::Discrete { state } => {
                if value == state {
                    Truth::True
                } else {
                    Truth::False
                }
            }
            Self::Bad => Truth::False,
        }
    }

    /// The values that raise nothing, where these are one stretch.
    pub(super) fn calm(&self, kind: ValueKind) -> Option<(f64, f64)> {
        match *self {
            Self::High { limit, .. } => Some((f64::MIN, limit)),
            Self::Low { limit, .. } => Some((limit, f64::MAX)),
            Self::Bad => Some((f64::MIN, f64::MAX)),
            Self::Discrete { state } if kind == ValueKind::Bool && state == 1.0 => Some((f64::MIN, 0.5)),
            Self::Discrete { state } if kind == ValueKind::Bool && state == 0.0 => Some((0.5, f64::MAX)),
            Self::Deviation { .. } | Self::Rate { .. } | Self::Discrete { .. } => None,
        }
    }

    pub(super) fn limit(&self) -> Option<f64> {
        match *self {
            Self::High { limit, .. }
            | Self::Low { limit, .. }
            | Self::Deviation { limit, .. }
            | Self::Rate { limit, .. } => Some(limit),
            Self::Discrete { state } => Some(state),
            Self::Bad => None,
        }
    }
}

/// Makes the alarms of tags, and reports what is wrong with their settings.
pub(super) struct Definer<'a> {
    pub(super) site: &'a Site,
    pub(super) units: &'a Units,
    pub(super) classes: BTreeMap<String, AlarmClass>,
    /// What the node says of rows.
    pub(super) rows: Rows,
    pub(super) wait: Micros,
}

impl<'a> Definer<'a> {
    pub(super) fn new(site: &'a Site, units: &'a Units, rows: Rows, wait: Micros) -> Self {
        Self { site, units, classes: classes(site), rows, wait }
    }

    /// The alarms of a tag; one that is wrong is reported and left out.
    pub(super) fn alarms(&self, tag: &TagSettings, alarms: &TagAlarms, diagnostics: &mut Diagnostics) -> Vec<Alarm> {
        let made: Vec<Alarm> =
            alarms.0.iter().filter_map(|(name, settings)| self.alarm(tag, name, settings, diagnostics)).collect();
        self.check_order(tag, alarms, &made, diagnostics);
        made
    }

    fn alarm(
        &self,
        tag: &TagSettings,
        name: &Spanned<String>,
        settings: &AlarmSettings,
        diagnostics: &mut Diagnostics,
    ) -> Option<Alarm> {
        let Some(kind) = settings.kind.or_else(|| AlarmType::of_name(name)) else {
            diagnostics.push(
                Diagnostic::new(Code::AlarmTypeUnknown, format!("the name `{}` says no type of alarm", **name))
                    .at(name.place)
                    .suggest(name, AlarmType::NAMES)
                    .note("any name will do with `type: high`, `low`, `deviation`, `rate`, `discrete` or `bad`"),
            );
            return None;
        };
        let behaviour = self.behaviour(settings, name, diagnostics);
        self.check_fields(kind, name, settings, diagnostics);
        let condition = self.condition(kind, tag, name, settings, diagnostics);
        let (class, behaviour) = behaviour?;
        let condition = condition?;
        Some(Alarm {
            name: name.as_str().into(),
            condition,
            behaviour,
            class,
            rows: Rows {
                accept: settings.accept.unwrap_or(self.rows.accept),
                on_bad: settings.on_bad_quality.unwrap_or(self.rows.on_bad),
            },
            group: settings.group.clone(),
        })
    }

    fn behaviour(
        &self,
        settings: &AlarmSettings,
        name: &Spanned<String>,
        diagnostics: &mut Diagnostics,
    ) -> Option<(Arc<str>, Behaviour)> {
        let (class_name, class) = self.class(settings.class.as_ref(), name, diagnostics)?;
        let behaviour = Behaviour {
            on_delay: settings.on_delay.micros(),
            off_delay: settings.off_delay.micros(),
            latching: class.latching,
            auto_acknowledge: class.auto_acknowledge,
            wait: self.wait,
        };
        Some((class_name, behaviour))
    }

    /// The class of an alarm; one that the site does not have is reported.
    pub(super) fn class(
        &self,
        class: Option<&Spanned<String>>,
        alarm: &str,
        diagnostics: &mut Diagnostics,
    ) -> Option<(Arc<str>, &AlarmClass)> {
        let name = class.map_or(DEFAULT_CLASS, |class| class.as_str());
        if let Some(class) = self.classes.get(name) {
            return Some((name.into(), class));
        }
        diagnostics.push(
            Diagnostic::new(Code::AlarmClassUnknown, format!("the site has no alarm class `{name}` for `{alarm}`"))
                .at(class.map_or(ducto_graph::source::Place::NOWHERE, |class| class.place))
                .suggest(name, self.classes.keys().map(String::as_str))
                .note("classes are defined by `alarm_classes` of site.yaml"),
        );
        None
    }

    /// Settings that belong to another type.
    fn check_fields(
        &self,
        kind: AlarmType,
        name: &Spanned<String>,
        settings: &AlarmSettings,
        diagnostics: &mut Diagnostics,
    ) {
        let limited = !matches!(kind, AlarmType::Discrete | AlarmType::Bad);
        let fields = [
            ("limit", settings.limit.as_ref().map(|limit| limit.place), limited),
            ("deadband", settings.deadband.as_ref().map(|deadband| deadband.place), limited),
            ("setpoint", settings.setpoint.as_ref().map(|setpoint| setpoint.place), kind == AlarmType::Deviation),
            ("state", settings.state.as_ref().map(|state| state.place), kind == AlarmType::Discrete),
        ];
        for (field, place, fits) in fields {
            if let (Some(place), false) = (place, fits) {
                diagnostics.push(
                    Diagnostic::new(
                        Code::AlarmSettings,
                        format!("`{}` is a {} alarm, which has no `{field}`", **name, type_name(kind)),
                    )
                    .at(place)
                    .help(format!("remove `{field}`, or give the alarm another `type`")),
                );
            }
        }
    }

    fn condition(
        &self,
        kind: AlarmType,
        tag: &TagSettings,
        name: &Spanned<String>,
        settings: &AlarmSettings,
        diagnostics: &mut Diagnostics,
    ) -> Option<Condition> {
        let unfit = match (kind, tag.kind) {
            (AlarmType::Bad, _) => false,
            (_, ValueKind::Text) => true,
            (AlarmType::Discrete, _) => false,
            (_, ValueKind::Bool) => true,
            _ => false,
        };
        if unfit {
            diagnostics.push(
                Diagnostic::new(
                    Code::KindUnfit,
                    format!("`{}` is a {} alarm, and `{}` is a {}", **name, type_name(kind), *tag.name, tag.kind),
                )
                .at(name.place)
                .help(match tag.kind {
                    ValueKind::Bool => "use `type: discrete` with a `state`",
                    _ => "texts can only have an alarm of `type: bad`; publish a number with `calc` for others",
                }),
            );
            return None;
        }
        match kind {
            AlarmType::Bad => return Some(Condition::Bad),
            AlarmType::Discrete => {
                let state = self.required(settings.state.as_ref(), "state", name, diagnostics)?;
                return Some(Condition::Discrete { state: state_number(tag, state, diagnostics)? });
            }
            AlarmType::High | AlarmType::Low | AlarmType::Deviation | AlarmType::Rate => {}
        }
        let limit = self.required(settings.limit.as_ref(), "limit", name, diagnostics);
        let deadband = match &settings.deadband {
            Some(deadband) => self.distance(deadband, tag, diagnostics),
            None => Some(0.0),
        };
        match kind {
            AlarmType::High => {
                let limit = self.limit(limit?, tag, diagnostics)?;
                let reach = tag.span.map(|[low, _]| limit - low).filter(|reach| *reach > 0.0);
                self.clears(settings, deadband?, reach, name, diagnostics)?;
                Some(Condition::High { limit, clear: limit - deadband? })
            }
            AlarmType::Low => {
                let limit = self.limit(limit?, tag, diagnostics)?;
                let reach = tag.span.map(|[_, high]| high - limit).filter(|reach| *reach > 0.0);
                self.clears(settings, deadband?, reach, name, diagnostics)?;
                Some(Condition::Low { limit, clear: limit + deadband? })
            }
            AlarmType::Rate => {
                let limit = self.distance(limit?, tag, diagnostics)?;
                self.clears(settings, deadband?, Some(limit), name, diagnostics)?;
                Some(Condition::Rate { limit, clear: limit - deadband? })
            }
            _ => {
                let setpoint = self.required(settings.setpoint.as_ref(), "setpoint", name, diagnostics);
                let setpoint = self.setpoint(setpoint?, tag, diagnostics);
                let limit = self.distance(limit?, tag, diagnostics)?;
                self.clears(settings, deadband?, Some(limit), name, diagnostics)?;
                Some(Condition::Deviation { setpoint: setpoint?, limit, clear: limit - deadband? })
            }
        }
    }

    fn required<'s, T>(
        &self,
        field: Option<&'s Spanned<T>>,
        what: &str,
        name: &Spanned<String>,
        diagnostics: &mut Diagnostics,
    ) -> Option<&'s Spanned<T>> {
        if field.is_none() {
            diagnostics.push(
                Diagnostic::new(Code::FieldMissing, format!("the alarm `{}` needs `{what}`", **name))
                    .at(name.place)
                    .help(format!("write `{}: {{{what}: …}}`", **name)),
            );
        }
        field
    }

    /// A limit in the tag's unit.
    fn limit(&self, limit: &Spanned<Quantity>, tag: &TagSettings, diagnostics: &mut Diagnostics) -> Option<f64> {
        let value = match &limit.unit {
            None => limit.value.value,
            Some(name) => {
                let Some(from) = self.units.get(name) else {
                    diagnostics.push(
                        Diagnostic::new(Code::UnitUnknown, format!("there is no unit `{name}`"))
                            .at(limit.place)
                            .suggest(name, self.units.names()),
                    );
                    return None;
                };
                let converted = match &tag.unit {
                    Some(to) => from
                        .to(to, self.site.atmospheric_pressure)
                        .map_err(|error| (error.to_string(), self.remedy(&error, limit, from, to))),
                    None => Err((
                        format!("`{}` has no unit, so that `{name}` cannot be converted", *tag.name),
                        "give the tag its `unit`, or write the number alone".to_owned(),
                    )),
                };
                match converted {
                    Ok(conversion) => conversion.apply(limit.value.value),
                    Err((message, help)) => {
                        diagnostics.push(Diagnostic::new(Code::LimitUnit, message).at(limit.place).help(help));
                        return None;
                    }
                }
            }
        };
        if let Some([low, high]) = tag.span.filter(|[low, high]| !(value >= *low && value <= *high)) {
            diagnostics.push(
                Diagnostic::new(
                    Code::LimitOutsideSpan,
                    format!("the limit `{}` lies outside the span of `{}`, {low} to {high}", limit.value, *tag.name),
                )
                .at(limit.place)
                .help("the sensor cannot show such a value: change the limit or the `span`"),
            );
        }
        Some(value)
    }

    /// What to write in place of a limit whose unit does not convert to the tag's.
    fn remedy(&self, error: &UnitError, limit: &Quantity, from: &Unit, to: &Unit) -> String {
        match error {
            UnitError::Dimension { .. } => {
                "write the limit in a unit of the same quantity, or the number alone".to_owned()
            }
            UnitError::Atmosphere { .. } => format!("set it, or write the limit in `{}`", to.symbol),
            UnitError::Reference { .. } => match self.units.counterpart(from, to.reference) {
                Some(unit) => format!("write `{} {}` if that is meant", limit.value, unit.symbol),
                None => format!("write the limit in `{}`", to.symbol),
            },
        }
    }

    /// Refuses a deadband so wide that the alarm would never clear: `reach` says how far a value can be from the limit
    /// on the side where it clears.
    fn clears(
        &self,
        settings: &AlarmSettings,
        deadband: f64,
        reach: Option<f64>,
        name: &Spanned<String>,
        diagnostics: &mut Diagnostics,
    ) -> Option<()> {
        let (Some(written), Some(reach)) = (&settings.deadband, reach) else { return Some(()) };
        if deadband <= reach {
            return Some(());
        }
        diagnostics.push(
            Diagnostic::new(
                Code::SettingsContradict,
                format!("`{}` would never clear: its deadband reaches further than any value can", **name),
            )
            .at(written.place)
            .help(format!("write a deadband of {reach} at the most")),
        );
        None
    }

    /// A deadband, or a limit of a distance, in the tag's unit.
    fn distance(&self, quantity: &Spanned<Quantity>, tag: &TagSettings, diagnostics: &mut Diagnostics) -> Option<f64> {
        let (code, message) = match difference(quantity, tag.unit.as_ref(), self.units) {
            Ok(value) if value >= 0.0 => return Some(value),
            Ok(_) => (Code::NumberOutOfRange, format!("`{}` is negative, and a distance cannot be", quantity.value)),
            Err((DifferenceError::Unknown, message)) => (Code::UnitUnknown, message),
            Err((DifferenceError::Quantity, message)) => (Code::LimitUnit, message),
        };
        diagnostics
            .push(Diagnostic::new(code, message).at(quantity.place).help("write a number from 0 in the tag's unit"));
        None
    }

    fn setpoint(
        &self,
        setpoint: &Spanned<StateValue>,
        tag: &TagSettings,
        diagnostics: &mut Diagnostics,
    ) -> Option<Setpoint> {
        let text = &setpoint.value.0;
        if let Ok(number) = text.parse::<f64>()
            && number.is_finite()
        {
            return Some(Setpoint::Number(number));
        }
        let of_asset = || self.site.tags.iter().filter(|other| other.asset == tag.asset && other.id != tag.id);
        let Some(found) = of_asset().find(|other| *other.variable == **text || *other.name.value == **text) else {
            diagnostics.push(
                Diagnostic::new(
                    Code::TagOfAssetUnknown,
                    format!("the asset of `{}` has no other variable `{text}`", *tag.name),
                )
                .at(setpoint.place)
                .suggest(text, of_asset().map(|other| &*other.variable)),
            );
            return None;
        };
        let same = match (&tag.unit, &found.unit) {
            (Some(a), Some(b)) => a.symbol == b.symbol,
            _ => true,
        };
        if !same || found.kind == ValueKind::Text {
            diagnostics.push(
                Diagnostic::new(
                    Code::LimitUnit,
                    format!("`{}` and its set-point `{}` have different units", *tag.name, *found.name),
                )
                .at(setpoint.place)
                .help("give both tags one unit, or publish the set-point in the tag's unit with `calc`"),
            );
            return None;
        }
        Some(Setpoint::Tag(found.id))
    }

    /// LL < L < H < HH.
    fn check_order(&self, tag: &TagSettings, alarms: &TagAlarms, made: &[Alarm], diagnostics: &mut Diagnostics) {
        let ordered: Vec<(&str, f64)> = ["LL", "L", "H", "HH"]
            .into_iter()
            .filter_map(|name| made.iter().find(|alarm| *alarm.name == *name))
            .filter_map(|alarm| match alarm.condition {
                Condition::High { limit, .. } | Condition::Low { limit, .. } => Some((&*alarm.name, limit)),
                _ => None,
            })
            .collect();
        for pair in ordered.windows(2) {
            let [(below, low), (above, high)] = pair else { continue };
            if low >= high {
                let place_of = |alarm: &str| {
                    let (name, settings) = alarms.0.iter().find(|(name, _)| *name.value == *alarm)?;
                    Some(settings.limit.as_ref().map_or(name.place, |limit| limit.place))
                };
                let (place, other) = (place_of(above), place_of(below));
                diagnostics.push(
                    Diagnostic::new(
                        Code::LimitOrder,
                        format!(
                            "the limit of `{above}`, {high}, is not above that of `{below}`, {low}, on `{}`",
                            *tag.name
                        ),
                    )
                    .at(place.unwrap_or(tag.name.place))
                    .note_at(other.unwrap_or(tag.name.place), format!("`{below}` is set here"))
                    .help("the limits must ascend: LL, L, H, HH"),
                );
            }
        }
    }
}

fn type_name(kind: AlarmType) -> &'static str {
    match kind {
        AlarmType::High => "high",
        AlarmType::Low => "low",
        AlarmType::Deviation => "deviation",
        AlarmType::Rate => "rate",
        AlarmType::Discrete => "discrete",
        AlarmType::Bad => "bad",
    }
}

/// The number of a state, by number, truth value or text.
fn state_number(tag: &TagSettings, state: &Spanned<StateValue>, diagnostics: &mut Diagnostics) -> Option<f64> {
    let text = &state.value.0;
    if let Ok(number) = text.parse::<f64>() {
        return Some(number);
    }
    let named = tag.states.iter().find(|(_, name)| *name == text).map(|(number, _)| *number as f64);
    let truth = match text.as_str() {
        "true" => Some(1.0),
        "false" => Some(0.0),
        _ => None,
    };
    named.or(truth).or_else(|| {
        diagnostics.push(
            Diagnostic::new(Code::ChoiceUnknown, format!("`{}` has no state `{text}`", *tag.name))
                .at(state.place)
                .suggest(text, tag.states.values().map(String::as_str)),
        );
        None
    })
}
