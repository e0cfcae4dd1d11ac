//! What a tag's settings should be, from what its device sends.
//!
//! Each tag was read several times, with the registers beside its own. A tag whose values cannot be what it is said to
//! be is read again in other ways ([`Way`]): one register to either side, in the other orders, as the neighbouring
//! types, from the other units of its quantity. What fits is proposed only where nothing else fits and where something
//! beside the values speaks for it: the other assets of its template, the other tags of its device, or the values
//! themselves, which move as a sensor's do and lie where those of its peers lie. A sensor that has failed is no
//! mistake of the configuration, so a reading that merely lies outside its span proves nothing.

mod alone;
mod evidence;
mod image;
mod peers;
mod pool;
mod proposal;
#[cfg(test)]
mod tests;
mod way;

use std::collections::HashMap;
use std::sync::Arc;

use ducto_graph::site::TagSettings;
use ducto_record::{Unit, Units};
use modbus::{Addressing, Conversion, Item, Limits, Order, Table, ValueType};

use evidence::Verdict;
pub use image::Image;
pub use proposal::{Cause, Change, Doubt, Finding, Outcome, Possible};
use way::Way;

/// A tag, how it is read now, and what was read.
#[derive(Clone, Debug)]
pub struct Subject {
    pub tag: Arc<TagSettings>,
    /// Index of the unit it is read from, in [`Survey::images`].
    pub device: usize,
    /// Index of its asset; assets may share a unit.
    pub asset: usize,
    /// What it has in common with tags of other assets.
    pub template: Option<Arc<str>>,
    pub layout: Layout,
    pub conversion: Conversion,
    pub addressing: Addressing,
}

/// Where a value stands and how it is written there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Layout {
    pub item: Item,
    pub kind: ValueType,
    pub order: Order,
}

/// All that was read.
#[derive(Debug, Default)]
pub struct Survey {
    pub subjects: Vec<Subject>,
    /// The registers of each unit.
    pub images: Vec<Image>,
}

impl Subject {
    fn unit(&self) -> Option<&Unit> {
        self.tag.unit.as_ref()
    }

    /// Whether its values can be judged: a number with a range.
    fn is_judged(&self) -> bool {
        self.layout.kind.is_number() && self.layout.item.table != Table::LongRegisters && self.range().is_some()
    }

    /// What the sensor can give; the envelope where no span is said.
    fn range(&self) -> Option<[f64; 2]> {
        self.tag.span.or(self.tag.envelope)
    }
}

impl Survey {
    /// The ranges to read for tags of one unit so that they can be examined: each with a register before and behind.
    pub fn windows(layouts: &[Layout], limits: Limits) -> Vec<Item> {
        layouts.iter().map(|layout| image::window(*layout, limits)).collect()
    }

    /// Examines every tag. What is right is not in the answer.
    pub fn examine(&self, units: &Units) -> Vec<Finding> {
        Examination::new(self, units).findings()
    }
}

/// An examination under way.
struct Examination<'a> {
    survey: &'a Survey,
    units: &'a Units,
    /// As each tag is read now.
    verdicts: Vec<Verdict>,
    /// Registers of tags that are read well, by device.
    claims: image::Claims,
    /// Tags of one variable of one template.
    variables: HashMap<(Arc<str>, Arc<str>), Vec<usize>>,
    proposed: HashMap<usize, (Way, Cause)>,
    /// Ways that fit and are not proposed, with why not.
    open: HashMap<usize, (Vec<Way>, Doubt)>,
}

impl<'a> Examination<'a> {
    fn new(survey: &'a Survey, units: &'a Units) -> Self {
        let verdicts: Vec<Verdict> =
            survey.subjects.iter().map(|subject| evidence::judge(subject, survey, &Way::default())).collect();
        let mut variables: HashMap<(Arc<str>, Arc<str>), Vec<usize>> = HashMap::new();
        for (index, subject) in survey.subjects.iter().enumerate() {
            if let Some(template) = &subject.template {
                variables.entry((template.clone(), subject.tag.variable.clone())).or_default().push(index);
            }
        }
        let claims = image::Claims::new(survey, &verdicts);
        Self { survey, units, verdicts, claims, variables, proposed: HashMap::new(), open: HashMap::new() }
    }

    fn subject(&self, index: usize) -> &'a Subject {
        &self.survey.subjects[index]
    }

    /// Whether the device gave anything at all.
    fn answers(&self, subject: &Subject) -> bool {
        self.survey.images.get(subject.device).is_some_and(|image| !image.is_empty())
    }

    /// How a tag's values look in this way.
    fn verdict(&self, index: usize, way: &Way) -> Verdict {
        if way.is_now() {
            return self.verdicts[index].clone();
        }
        evidence::judge(self.subject(index), self.survey, way)
    }

    /// Whether a tag reads well in this way, and no register that another tag is known to have.
    fn fits(&self, index: usize, way: &Way) -> bool {
        let subject = self.subject(index);
        self.verdict(index, way).fits()
            && way.layout(subject.layout).is_some_and(|layout| {
                layout.item == subject.layout.item
                    || self.claims.others(subject.device, layout.item, index).next().is_none()
            })
    }

    fn findings(mut self) -> Vec<Finding> {
        // Where many tags agree, they decide: a device of which all orders are wrong, a template with a wrong address.
        self.pools();
        for index in 0..self.survey.subjects.len() {
            let subject = self.subject(index);
            if subject.is_judged() && self.answers(subject) && !self.proposed.contains_key(&index) {
                self.alone(index);
            }
        }
        proposal::findings(&self)
    }
}
