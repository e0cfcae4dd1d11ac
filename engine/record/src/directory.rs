//! The tags and assets of a site, numbered densely for use in flight.

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashMap;

use crate::{Unit, ValueKind};

/// A tag's number, dense in one [`Directory`]. Never stored: names are.
pub type TagId = u32;

/// An asset's number, dense in one [`Directory`]. Never stored: names are.
pub type AssetId = u32;

/// A well, a separator, a rig.
#[derive(Clone, Debug, PartialEq)]
pub struct Asset {
    pub name: Arc<str>,
    /// What it is: `well`, `separator`; from its template.
    pub kind: Arc<str>,
    /// The columns of the assets table that are no parameters: `area`, `flows_to`, ….
    pub columns: BTreeMap<String, String>,
}

/// What a site measures, by name.
#[derive(Clone, Debug, PartialEq)]
pub struct Tag {
    /// `asset.variable`, or the variable alone for a tag without an asset.
    pub name: Arc<str>,
    pub asset: Option<AssetId>,
    /// `THP`.
    pub variable: Arc<str>,
    pub kind: ValueKind,
    pub unit: Option<Unit>,
    /// By language: `es`, `en`. Shared, as the states are: many tags of one template have the same.
    pub description: Arc<BTreeMap<String, String>>,
    /// Texts of a digital tag's values: `0: Stopped`.
    pub states: Arc<BTreeMap<i64, String>>,
}

/// Names to numbers and back. Immutable once built; a later generation appends, so that numbers stay valid while a
/// process lives.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    tags: Vec<Tag>,
    assets: Vec<Asset>,
    tag_ids: HashMap<Arc<str>, TagId>,
    asset_ids: HashMap<Arc<str>, AssetId>,
}

impl Directory {
    pub fn builder() -> DirectoryBuilder {
        DirectoryBuilder { directory: Self::default() }
    }

    /// Every tag, in the order of numbers.
    pub fn tags(&self) -> &[Tag] {
        &self.tags
    }

    /// Every asset, in the order of numbers.
    pub fn assets(&self) -> &[Asset] {
        &self.assets
    }

    pub fn tag(&self, id: TagId) -> Option<&Tag> {
        self.tags.get(id as usize)
    }

    pub fn asset(&self, id: AssetId) -> Option<&Asset> {
        self.assets.get(id as usize)
    }

    pub fn tag_id(&self, name: &str) -> Option<TagId> {
        self.tag_ids.get(name).copied()
    }

    pub fn asset_id(&self, name: &str) -> Option<AssetId> {
        self.asset_ids.get(name).copied()
    }

    /// The name of a tag; a number that is not of this directory gives `?`.
    pub fn tag_name(&self, id: TagId) -> &str {
        self.tag(id).map_or("?", |tag| &tag.name)
    }

    pub fn asset_name(&self, id: AssetId) -> &str {
        self.asset(id).map_or("?", |asset| &asset.name)
    }

    pub fn asset_of(&self, tag: TagId) -> Option<&Asset> {
        self.asset(self.tag(tag)?.asset?)
    }
}

/// Fills a [`Directory`]; names that are there already keep their number.
#[derive(Clone, Debug, Default)]
pub struct DirectoryBuilder {
    directory: Directory,
}

impl DirectoryBuilder {
    /// Continues from an earlier generation, whose numbers stay.
    pub fn from(directory: &Directory) -> Self {
        Self { directory: directory.clone() }
    }

    /// Adds an asset, or replaces what is known of one.
    pub fn asset(&mut self, asset: Asset) -> AssetId {
        let directory = &mut self.directory;
        if let Some(&id) = directory.asset_ids.get(&asset.name) {
            directory.assets[id as usize] = asset;
            return id;
        }
        let id = directory.assets.len() as AssetId;
        directory.asset_ids.insert(asset.name.clone(), id);
        directory.assets.push(asset);
        id
    }

    /// Adds a tag, or replaces what is known of one.
    pub fn tag(&mut self, tag: Tag) -> TagId {
        let directory = &mut self.directory;
        if let Some(&id) = directory.tag_ids.get(&tag.name) {
            directory.tags[id as usize] = tag;
            return id;
        }
        let id = directory.tags.len() as TagId;
        directory.tag_ids.insert(tag.name.clone(), id);
        directory.tags.push(tag);
        id
    }

    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    pub fn build(self) -> Directory {
        let mut directory = self.directory;
        // Room to grow is of no more use, and with many tags it is much.
        directory.tags.shrink_to_fit();
        directory
    }
}

impl Tag {
    /// A tag with nothing but a name and a kind; what stands before the last dot is its asset's name.
    pub fn named(name: &str, kind: ValueKind) -> Self {
        let variable = name.rsplit_once('.').map_or(name, |(_, variable)| variable);
        Self {
            name: name.into(),
            asset: None,
            variable: variable.into(),
            kind,
            unit: None,
            description: Arc::default(),
            states: Arc::default(),
        }
    }
}
