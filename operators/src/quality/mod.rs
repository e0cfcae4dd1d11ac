//! `quality`: judges every sample, and makes samples for tags that have become silent.

mod conditions;
mod flat;
mod judge;
mod loose;
mod plan;
mod settings;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod transform;

use std::any::Any;
use std::sync::Arc;

use ducto_graph::codes::Code;
use ducto_graph::decode::decode;
use ducto_graph::diagnostic::{Diagnostic, Diagnostics};
use ducto_graph::expr::Expression;
use ducto_graph::operator::{
    BuildContext, BuildError, CheckContext, Decode, Input, Operator, Port, Transform, TransformConfig,
};
use ducto_graph::registry::{Registry, Scope, Section, SectionCheck};
use ducto_graph::site::{Site, TagSettings};
use ducto_graph::source::Place;
use ducto_graph::tree::{Node, Spanned};
use ducto_record::{Micros, StreamType, TagId, Units, ValueKind};
use schemars::JsonSchema;
use serde::Deserialize;

pub(crate) use plan::{CLOCK_TOLERANCE, DifferenceError, difference};
pub use settings::{Checks, CrossCheck, Frozen, Future, Gap, Jump, Range, Rate, Rearm, Spike, Stale, Verdict};

use conditions::{Conditions, asset_columns};
use plan::{MisfitKind, Planner, Plans, Shared, Subject, watch};
use transform::QualityTransform;

/// Judges every sample by the checks of its tag, and gives it the quality and the check bits that follow. Values are
/// never changed. A tag that is polled and becomes silent gives samples without a value, one a scan; not behind the end of
/// an input that ends (a replay, a test), where nobody would send.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct QualityConfig {
    /// Checks for all tags; what a tag's own `checks` name goes before.
    pub checks: Checks,
}

/// Adds the operator `quality` and the tag section `checks`.
pub fn register(registry: &mut Registry) {
    registry.add(operator());
    registry.add_section(section());
}

/// The operator `quality`.
pub fn operator() -> Operator {
    Operator {
        name: "quality",
        summary: "Judges samples: range, jump, spike, rate, cross-check, frozen, stale, gap, clock",
        schema: |generator| generator.subschema_for::<QualityConfig>(),
        examples: &[
            "checked: {type: quality, inputs: [field]}",
            "checked: {type: quality, inputs: [field], checks: {gap: 10s, future: 5s}}",
            "checked:\n  type: quality\n  inputs: [field]\n  checks:\n    range: {as: 0}\n    jump: {limit: 100, rearm: never}\n    frozen: {repeats: 60, as: 64}\n",
        ],
        decode: Decode::Transform(|node, diagnostics| {
            let mut node = node.clone();
            if let ducto_graph::tree::Value::Map(entries) = &mut node.value {
                for entry in entries.iter_mut().filter(|entry| entry.key.value == "checks") {
                    entry.value = Checks::written_out(&entry.value);
                }
            }
            decode::<QualityConfig>(&node, diagnostics).map(|config| Arc::new(config) as Arc<dyn TransformConfig>)
        }),
    }
}

/// The tag section `checks`.
pub fn section() -> Section {
    Section {
        name: "checks",
        scope: Scope::Tag,
        summary: "Quality checks of the tag, with their limits",
        schema: |generator| generator.subschema_for::<Checks>(),
        shorthand: None,
        decode: decode_section,
        check: |check, diagnostics| {
            if let (Some(checks), Some(tag)) = (check.section.downcast_ref::<Checks>(), check.tag) {
                check_tag(checks, tag, check, diagnostics);
            }
        },
    }
}

fn decode_section(node: &Node, diagnostics: &mut Diagnostics) -> Option<Arc<dyn Any + Send + Sync>> {
    decode::<Checks>(&Checks::written_out(node), diagnostics)
        .map(|checks| Arc::new(checks) as Arc<dyn Any + Send + Sync>)
}

/// The checks of a tag that only work on numbers.
fn of_numbers(checks: &Checks) -> [(&'static str, bool); 4] {
    [
        ("range", checks.range.is_some()),
        ("jump", checks.jump.is_some()),
        ("spike", checks.spike.is_some()),
        ("rate", checks.rate.is_some()),
    ]
}

fn check_tag(checks: &Checks, tag: &TagSettings, check: &SectionCheck<'_>, diagnostics: &mut Diagnostics) {
    let place_of = |name: &str| check.node.entry(name).map_or(check.node.place, |entry| entry.key.place);
    let named = of_numbers(checks);
    match tag.kind {
        ValueKind::Text => diagnostics.push(
            Diagnostic::new(Code::KindUnfit, format!("`{}` is a text, and texts are not checked", *tag.name))
                .at(check.node.place)
                .help("remove `checks`"),
        ),
        ValueKind::Bool => {
            for (name, _) in named.iter().filter(|(_, there)| *there) {
                diagnostics.push(
                    Diagnostic::new(Code::KindUnfit, format!("`{name}` needs numbers, and `{}` is a bool", *tag.name))
                        .at(place_of(name))
                        .help("remove it; `frozen`, `stale`, `gap`, `future` and `cross_check` work on a bool"),
                );
            }
        }
        ValueKind::Float64 | ValueKind::Int64 => {}
    }
    for name in checks.unknown() {
        diagnostics.push(
            Diagnostic::new(Code::ChoiceUnknown, format!("there is no check `{}`", **name))
                .at(name.place)
                .suggest(name, Checks::names()),
        );
    }
    if checks.stale.as_ref().is_some_and(|stale| stale.after.is_none()) && tag.scan.is_none() {
        diagnostics.push(
            Diagnostic::new(Code::FieldMissing, format!("nothing polls `{}`, so `scans` says no time", *tag.name))
                .at(place_of("stale"))
                .help("write `stale: {after: 30s}`"),
        );
    }
    let mut planner = Planner { units: check.registry.units(), misfits: Vec::new() };
    planner.plan(Subject::of(tag), checks, &mut |text| {
        check_condition(text, tag, check, diagnostics);
        None
    });
    report(planner, |name| place_of(name), diagnostics);
}

/// Compiles an expression against the variables of the tag's asset.
fn check_condition(text: &Spanned<String>, tag: &TagSettings, check: &SectionCheck<'_>, diagnostics: &mut Diagnostics) {
    let (schema, _) = asset_columns(check.site, tag);
    let (functions, units) = (check.registry.functions(), check.registry.units().at(check.site.atmospheric_pressure));
    if let Err(error) = Expression::compile_condition(text, &schema, functions, &units) {
        diagnostics.push(error.diagnostic(text));
    }
}

/// `place_of` says where a check is written, for what it lacks.
fn report(planner: Planner<'_>, place_of: impl Fn(&str) -> Place, diagnostics: &mut Diagnostics) {
    for misfit in planner.misfits {
        let code = match misfit.kind {
            MisfitKind::Unit => Code::UnitUnknown,
            MisfitKind::Quantity => Code::LimitUnit,
            MisfitKind::Number => Code::NumberOutOfRange,
            MisfitKind::Missing => Code::FieldMissing,
        };
        let at = if misfit.place == Place::NOWHERE { place_of(misfit.check) } else { misfit.place };
        diagnostics.push(Diagnostic::new(code, misfit.message).at(at).help(misfit.help));
    }
}

/// How long a tag may be silent before it is stale; `None` for ever. What a node `quality` says for all tags is not
/// looked at.
pub(crate) fn patience(tag: &TagSettings, units: &Units) -> Option<Micros> {
    let mut planner = Planner { units, misfits: Vec::new() };
    let checks = tag.section::<Checks>("checks").cloned().unwrap_or_default();
    planner.stale(&checks, Subject::of(tag)).map(|stale| stale.after)
}

impl QualityConfig {
    /// The checks that apply to a tag.
    fn checks_of(&self, tag: &TagSettings) -> Checks {
        match tag.section::<Checks>("checks") {
            Some(own) => own.or(&self.checks),
            None => self.checks.clone(),
        }
    }

    fn plans(
        &self,
        site: &Site,
        units: &Units,
        condition: &mut dyn FnMut(&Spanned<String>, &TagSettings) -> Option<usize>,
    ) -> Plans {
        let mut planner = Planner { units, misfits: Vec::new() };
        let mut shared = Shared::default();
        site.tags
            .iter()
            .map(|tag| {
                (tag.kind != ValueKind::Text).then(|| {
                    let checks = self.checks_of(tag);
                    let plan = planner.plan(Subject::of(tag), &checks, &mut |text| condition(text, tag));
                    shared.of(&tag.variable, plan)
                })
            })
            .collect()
    }
}

impl TransformConfig for QualityConfig {
    fn check(&self, inputs: &[Input], cx: &mut CheckContext<'_>) -> Option<Vec<Port>> {
        let mut kinds = Vec::new();
        for input in inputs {
            match &input.stream {
                StreamType::Samples(more) => kinds.extend(more.iter().copied()),
                StreamType::Rows(_) => cx.report(
                    Diagnostic::new(
                        Code::StreamUnfit,
                        format!("`{}` gives rows, and `quality` judges samples", *input.from),
                    )
                    .at(input.from.place)
                    .help("read a source of tags, or a node that gives samples"),
                ),
            }
        }
        kinds.sort_unstable();
        kinds.dedup();
        self.check_defaults(cx);
        Some(vec![Port::main(StreamType::Samples(kinds))])
    }

    fn build(&self, cx: &BuildContext) -> Result<Box<dyn Transform>, BuildError> {
        let mut conditions = Conditions::default();
        let mut failed = None;
        let mut plans = self.plans(&cx.site, &cx.units, &mut |text, tag| {
            match conditions.add(text, tag, &cx.site, &cx.functions, &cx.units) {
                Ok(index) => Some(index),
                Err(error) => {
                    // An expression of the node that stands for all tags: it does not apply where it has no columns.
                    if tag.section::<Checks>("checks").is_some() {
                        failed.get_or_insert(format!("`{}`: {error}", *tag.name));
                    }
                    None
                }
            }
        });
        if let Some(failed) = failed {
            return Err(cx.error(format!("{failed}; `ducto check` shows the place")));
        }
        watch(&mut plans, &conditions.watched);
        Ok(Box::new(QualityTransform::new(cx.directory.clone(), cx.own(), plans, conditions)))
    }

    fn holds(&self, site: &Site) -> Vec<TagId> {
        let holds = |tag: &&Arc<TagSettings>| {
            let checks = self.checks_of(tag);
            tag.kind != ValueKind::Text
                && tag.kind != ValueKind::Bool
                && checks.spike.is_some_and(|spike| spike.differential.is_some())
        };
        site.tags.iter().filter(holds).map(|tag| tag.id).collect()
    }
}

impl QualityConfig {
    /// The node's own checks stand for tags of any unit; what is wrong with them for one tag is said once.
    fn check_defaults(&self, cx: &mut CheckContext<'_>) {
        let mut planner = Planner { units: cx.registry.units(), misfits: Vec::new() };
        for tag in cx.site.tags.iter().filter(|tag| tag.kind != ValueKind::Text) {
            let checks = match tag.section::<Checks>("checks") {
                // The tag's own are checked with the tag.
                Some(own) => Checks::default().or(&own.overridden(&self.checks)),
                None => self.checks.clone(),
            };
            planner.plan(Subject::of(tag), &checks, &mut |_| None);
            if !planner.misfits.is_empty() {
                break;
            }
        }
        if cx.site.tags.is_empty() {
            let subject = Subject { kind: ValueKind::Float64, unit: None, span: None, envelope: None, scan: None };
            planner.plan(subject, &self.checks, &mut |_| None);
            // Without a tag there is no unit to convert to.
            planner.misfits.retain(|misfit| misfit.kind != MisfitKind::Quantity);
        }
        let place = cx.place;
        report(planner, |_| place, cx.diagnostics);
    }
}
