//! Tags and assets while they are put together.

use std::sync::Arc;

use ducto_record::{Asset, AssetId, Directory, DirectoryBuilder, Tag, TagId, ValueKind};

use crate::operator::ConnectionConfig;
use crate::site::{AssetSettings, Site, TagSettings};
use crate::source::Place;
use crate::tree::{Node, Spanned, Value};

use super::definition::Definition;

/// Numbers tags and assets in the order in which they come.
pub(crate) struct Assembly {
    pub(super) directory: DirectoryBuilder,
    pub(super) assets: Vec<AssetSettings>,
    pub(super) tags: Vec<Arc<TagSettings>>,
    empty: Arc<Node>,
}

impl Assembly {
    pub(crate) fn new() -> Self {
        Self {
            directory: Directory::builder(),
            assets: Vec::new(),
            tags: Vec::new(),
            empty: Arc::new(Node::new(Place::NOWHERE, Value::Map(Vec::new()))),
        }
    }

    /// Goes on from a site.
    pub(crate) fn from(site: &Site) -> Self {
        Self {
            directory: DirectoryBuilder::from(&site.directory),
            assets: site.assets.clone(),
            tags: site.tags.clone(),
            ..Self::new()
        }
    }

    /// The asset of a name such as `W.THP`, made if it is not there; none for a name without a dot.
    pub(crate) fn asset_of(&mut self, tag: &str, place: Place) -> Option<AssetId> {
        let (name, _) = tag.rsplit_once('.')?;
        if let Some(id) = self.directory.directory().asset_id(name) {
            return Some(id);
        }
        let id = self.directory.asset(Asset { name: name.into(), kind: "".into(), columns: Default::default() });
        self.assets.push(AssetSettings {
            name: Spanned::new(name.to_owned(), place),
            id,
            template: None,
            parameters: Default::default(),
            enabled: true,
            from: None,
            until: None,
            tags: Vec::new(),
        });
        Some(id)
    }

    /// Adds a tag, or replaces the one of this name.
    pub(super) fn tag(
        &mut self,
        name: Spanned<String>,
        asset: Option<AssetId>,
        variable: &Arc<str>,
        definition: &Definition,
        connection: Option<&dyn ConnectionConfig>,
    ) -> TagId {
        let settings = self.undecided(name, asset, variable, definition, connection);
        self.settings(settings)
    }

    /// A tag without its number.
    fn undecided(
        &self,
        name: Spanned<String>,
        asset: Option<AssetId>,
        variable: &Arc<str>,
        definition: &Definition,
        connection: Option<&dyn ConnectionConfig>,
    ) -> TagSettings {
        let fields = definition.connection_fields.as_ref().unwrap_or(&self.empty);
        let kind = definition
            .kind
            .or_else(|| connection.map(|connection| connection.value_kind(fields)))
            .unwrap_or(ValueKind::Float64);
        TagSettings {
            id: 0,
            name,
            asset,
            variable: variable.clone(),
            kind,
            unit: definition.unit.clone(),
            span: definition.span,
            envelope: definition.envelope,
            scan: definition.scan.or_else(|| connection.and_then(ConnectionConfig::scan)),
            description: definition.description.clone(),
            states: definition.states.clone(),
            sections: definition.sections.clone(),
            connection_fields: fields.clone(),
            definition: definition.whole.as_ref().unwrap_or(&self.empty).clone(),
            published_by: None,
        }
    }

    /// Adds a tag that a node publishes.
    pub(super) fn published(
        &mut self,
        name: Spanned<String>,
        asset: AssetId,
        variable: &Arc<str>,
        definition: &Definition,
        by: (Arc<str>, Arc<str>),
    ) {
        let mut settings = self.undecided(name, Some(asset), variable, definition, None);
        settings.published_by = Some(by);
        self.settings(settings);
    }

    /// Leaves tags that nodes publish away. They stand behind all others.
    pub(super) fn drop_published(&mut self) {
        let defined = self.tags.iter().position(|tag| tag.published_by.is_some());
        if let Some(defined) = defined {
            self.tags.truncate(defined);
            let mut directory = Directory::builder();
            let old = std::mem::take(&mut self.directory).build();
            for asset in old.assets() {
                directory.asset(asset.clone());
            }
            for tag in &old.tags()[..defined] {
                directory.tag(tag.clone());
            }
            self.directory = directory;
        }
    }

    /// Adds a tag as it is, but for its number.
    pub(super) fn settings(&mut self, mut settings: TagSettings) -> TagId {
        let id = self.directory.tag(Tag {
            name: settings.name.as_str().into(),
            asset: settings.asset,
            variable: settings.variable.clone(),
            kind: settings.kind,
            unit: settings.unit.clone(),
            description: settings.description.clone(),
            states: settings.states.clone(),
        });
        settings.id = id;
        let settings = Arc::new(settings);
        match self.tags.get_mut(id as usize) {
            Some(old) => *old = settings,
            None => self.tags.push(settings),
        }
        id
    }

    /// A tag of which nothing is known but its name.
    pub(crate) fn bare_tag(&mut self, name: &str, kind: ValueKind) -> TagId {
        let definition = Definition { kind: Some(kind), ..Definition::default() };
        let variable = name.rsplit_once('.').map_or(name, |(_, variable)| variable).into();
        let asset = self.asset_of(name, Place::NOWHERE);
        let id = self.tag(Spanned::from(name.to_owned()), asset, &variable, &definition, None);
        self.belongs(asset, id);
        id
    }

    /// Notes that a tag is one of an asset.
    pub(super) fn belongs(&mut self, asset: Option<AssetId>, tag: TagId) {
        let Some(asset) = asset.and_then(|asset| self.assets.get_mut(asset as usize)) else { return };
        // Numbers grow, so that only a tag that is replaced is looked for.
        if asset.tags.last().is_none_or(|last| *last < tag) || !asset.tags.contains(&tag) {
            asset.tags.push(tag);
        }
    }

    pub(crate) fn finish(self, site: &mut Site) {
        site.directory = Arc::new(self.directory.build());
        site.assets = self.assets;
        site.tags = self.tags;
        site.tags.shrink_to_fit();
    }
}
