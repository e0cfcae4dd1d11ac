//! A site as it is known once its files are read: zones, units, assets, tags with their settings, pipelines.

use std::any::Any;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use ducto_record::{AssetId, Directory, StreamType, TagId, Unit, ValueKind};

use crate::operator::ConnectionConfig;
use crate::pipeline::Pipeline;
use crate::scalar::{ByteSize, Duration, TimeOfDay, TimeZone, Timestamp};
use crate::source::Place;
use crate::tree::{Node, Spanned};

/// What a decoded section of a site or a tag holds; only its operator knows the type.
pub type SectionValue = Arc<dyn Any + Send + Sync>;

/// One installation, as checked.
#[derive(Clone, Debug)]
pub struct Site {
    pub name: String,
    pub tenant: Option<String>,
    /// Where `site.yaml` lies.
    pub folder: PathBuf,
    pub time_zone: TimeZone,
    /// `es`, `en`: of texts that operators read in the field.
    pub language: String,
    pub contract_day: ContractDay,
    /// Of the site, in Pa.
    pub atmospheric_pressure: Option<f64>,
    /// The unit in which a quantity is shown, by the name the site gives the quantity.
    pub display_units: BTreeMap<String, Unit>,
    /// The one memory budget: ring, batches, state, row groups, queries.
    pub memory: ByteSize,
    /// Workers of each pipeline.
    pub workers: usize,
    /// Time between checkpoints.
    pub checkpoint_every: Duration,
    pub sections: BTreeMap<&'static str, SectionValue>,
    pub assets: Vec<AssetSettings>,
    /// In the order of numbers: `tags[id]` is the tag `id` of the directory. Tags that only nodes publish stand
    /// behind those of the files.
    pub tags: Vec<Arc<TagSettings>>,
    pub directory: Arc<Directory>,
    /// What each dataset holds that a node of the site stores.
    pub datasets: BTreeMap<String, StreamType>,
    /// One per enabled asset that has one.
    pub connections: Vec<ConnectionSettings>,
    pub pipelines: Vec<Arc<Pipeline>>,
}

/// When the site's production day begins, and which calendar day names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContractDay {
    pub start: TimeOfDay,
    pub named_by: NamedBy,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum NamedBy {
    /// The day on which it starts.
    #[default]
    Start,
    /// The day on which it ends.
    End,
}

/// An asset with the values its row and its template give it.
#[derive(Clone, Debug)]
pub struct AssetSettings {
    pub name: Spanned<String>,
    pub id: AssetId,
    pub template: Option<Spanned<String>>,
    /// Its parameters, as the template's text sees them, with the place that each came from.
    pub parameters: BTreeMap<String, Node>,
    /// Whether its connection is opened.
    pub enabled: bool,
    /// From when on it is in service, as a start of the site sees it.
    pub from: Option<Timestamp>,
    /// When it leaves service: polls stop and the history is kept.
    pub until: Option<Timestamp>,
    /// Tags in the order of the template.
    pub tags: Vec<TagId>,
}

/// An asset's own connection, from its template.
#[derive(Clone, Debug)]
pub struct ConnectionSettings {
    pub asset: Arc<str>,
    /// Its `type`.
    pub operator: &'static str,
    pub config: Arc<dyn ConnectionConfig>,
    /// Its fields with the asset's parameters in them, `type` left out.
    pub definition: Arc<Node>,
    pub place: Place,
    pub tags: Vec<TagId>,
}

/// Everything that is set on a tag.
#[derive(Debug)]
pub struct TagSettings {
    pub id: TagId,
    /// `WELL-001.THP`, at the place that defines it.
    pub name: Spanned<String>,
    pub asset: Option<AssetId>,
    pub variable: Arc<str>,
    pub kind: ValueKind,
    pub unit: Option<Unit>,
    /// Sensor span in the tag's unit.
    pub span: Option<[f64; 2]>,
    /// Operating envelope in the tag's unit.
    pub envelope: Option<[f64; 2]>,
    /// How often it is polled; `None` where nothing polls it.
    pub scan: Option<Duration>,
    pub description: Arc<BTreeMap<String, String>>,
    pub states: Arc<BTreeMap<i64, String>>,
    pub sections: Arc<BTreeMap<&'static str, SectionValue>>,
    /// The whole merged definition: template, then assets, then overrides, each piece with the place it came from.
    /// `explain` prints its leaves; a connection decodes the fields that are its own.
    pub definition: Arc<Node>,
    /// The fields of the definition that are the connection's own (`address`, `as`, …), as a map node.
    pub connection_fields: Arc<Node>,
    /// The pipeline and node that publish it, for a tag that no connection reads.
    pub published_by: Option<(Arc<str>, Arc<str>)>,
}

impl TagSettings {
    /// A section as its operator decoded it.
    pub fn section<T: Any + Send + Sync>(&self, name: &str) -> Option<&T> {
        self.sections.get(name)?.downcast_ref()
    }
}

impl Site {
    /// The memory budget where a site gives none.
    pub const DEFAULT_MEMORY: ByteSize = ByteSize::from_bytes(256_000_000);

    /// The time between checkpoints where a site gives none.
    pub const CHECKPOINT_EVERY: Duration = Duration::from_secs(300);

    /// A site without tags and pipelines, everything else as where its file does not say it.
    pub fn empty(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            tenant: None,
            folder: PathBuf::new(),
            time_zone: TimeZone::utc(),
            language: "en".to_owned(),
            contract_day: ContractDay { start: TimeOfDay::MIDNIGHT, named_by: NamedBy::Start },
            atmospheric_pressure: None,
            display_units: BTreeMap::new(),
            memory: Self::DEFAULT_MEMORY,
            workers: 1,
            checkpoint_every: Self::CHECKPOINT_EVERY,
            sections: BTreeMap::new(),
            assets: Vec::new(),
            tags: Vec::new(),
            directory: Arc::new(Directory::default()),
            datasets: BTreeMap::new(),
            connections: Vec::new(),
            pipelines: Vec::new(),
        }
    }

    /// A site of which only names of tags are known, each a float64: what `replay` and `bench` run on without a site.
    /// What stands before a name's last dot is its asset.
    pub fn bare<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        Self::bare_kinds(names.into_iter().map(|name| (name, ValueKind::Float64)))
    }

    /// As [`Site::bare`], with the kind of value of each tag.
    pub fn bare_kinds<'a>(tags: impl IntoIterator<Item = (&'a str, ValueKind)>) -> Self {
        let mut assembly = crate::load::Assembly::new();
        for (name, kind) in tags {
            assembly.bare_tag(name, kind);
        }
        let mut site = Self::empty("bare");
        assembly.finish(&mut site);
        site
    }

    /// A section of the site as its operator decoded it.
    pub fn section<T: Any + Send + Sync>(&self, name: &str) -> Option<&T> {
        self.sections.get(name)?.downcast_ref()
    }

    pub fn tag(&self, id: TagId) -> Option<&Arc<TagSettings>> {
        self.tags.get(id as usize)
    }
}
