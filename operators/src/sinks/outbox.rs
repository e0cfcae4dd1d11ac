//! The site section `outbox`: how much may wait to be sent.

use std::any::Any;
use std::sync::Arc;

use ducto_graph::codes::Code;
use ducto_graph::decode::{OrderedMap, decode};
use ducto_graph::diagnostic::{Diagnostic, Diagnostics};
use ducto_graph::registry::{Scope, Section};
use ducto_graph::scalar::ByteSize;
use ducto_graph::site::Site;
use ducto_graph::tree::Spanned;
use ducto_runtime::Outboxes;
use ducto_storage::{Caps, Class, DataFolder, OUTBOX, Outbox, StorageError};
use schemars::JsonSchema;
use serde::Deserialize;

/// The section of a site.
const NAME: &str = "outbox";

/// What waits to be sent to other machines lies on disk until they have it. When more waits than may, the oldest of the
/// lowest class goes, and is counted as `outbox_full`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OutboxSection {
    /// Most bytes on disk of all that waits; 1 GB by default.
    #[serde(default)]
    size: Option<Spanned<ByteSize>>,
    /// Most bytes of single classes, `1` to `4`: `{4: 200MB}`.
    #[serde(default)]
    classes: OrderedMap<Spanned<ByteSize>>,
}

/// The section `outbox` of sites.
pub fn section() -> Section {
    Section {
        name: NAME,
        scope: Scope::Site,
        summary: "How much may wait on disk to be sent",
        schema: |generator| generator.subschema_for::<OutboxSection>(),
        shorthand: None,
        decode: |node, diagnostics| {
            decode::<OutboxSection>(node, diagnostics).map(|section| Arc::new(section) as Arc<dyn Any + Send + Sync>)
        },
        check: |check, diagnostics| {
            if let Some(section) = check.section.downcast_ref::<OutboxSection>() {
                section.check(diagnostics);
            }
        },
    }
}

impl OutboxSection {
    fn check(&self, diagnostics: &mut Diagnostics) {
        for size in self.size.iter().chain(self.classes.iter().map(|(_, size)| size)).filter(|size| size.bytes() == 0) {
            let message = "the size is 0, so that nothing could wait";
            let help = "write a size such as `200MB`, or leave it away";
            diagnostics.push(Diagnostic::new(Code::NumberOutOfRange, message).at(size.place).help(help));
        }
        for (name, _) in self.classes.iter().filter(|(name, _)| class_of(name).is_none()) {
            let message = format!("`{}` is no class", **name);
            let help = "classes are `1` at once, `2` within a minute, `3` within 15 minutes, `4` within the hour";
            diagnostics.push(Diagnostic::new(Code::ChoiceUnknown, message).at(name.place).help(help));
        }
    }
}

fn class_of(name: &str) -> Option<Class> {
    Class::new(name.parse().ok()?)
}

fn caps(site: &Site) -> Caps {
    let mut caps = Caps { all: 1_000_000_000, classes: [None; 4] };
    if let Some(section) = site.section::<OutboxSection>(NAME) {
        if let Some(size) = &section.size {
            caps.all = size.bytes();
        }
        for (name, size) in section.classes.iter() {
            if let Some(class) = class_of(name) {
                caps.classes[usize::from(class.number()) - 1] = Some(size.bytes());
            }
        }
    }
    caps
}

/// Opens the outbox of a site in its data folder; what is damaged there is set aside and told.
///
/// # Errors
/// When it cannot be read or written.
pub fn open_outboxes(site: &Site, folder: &DataFolder) -> Result<Arc<Outboxes>, StorageError> {
    let opened = Outbox::open(folder.disk(), &folder.path().join(OUTBOX), &site.name, caps(site))?;
    for problem in &opened.problems {
        tracing::error!("{problem}");
    }
    Ok(Arc::new(Outboxes::new(opened.outbox)))
}
