//! What a config is told while it is checked and while it builds.

use std::any::{Any, TypeId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::datatypes::Schema;
use ducto_record::{AssetId, Directory, Epoch, StreamType, TagId, Unit, Units, ValueKind};
use hashbrown::HashMap;
use thiserror::Error;

use super::Intake;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::expr::{Expression, Functions};
use crate::registry::Registry;
use crate::site::Site;
use crate::source::Place;
use crate::tree::Spanned;

/// An edge into a node.
#[derive(Clone, Debug)]
pub struct Input {
    /// The name under which the node takes it, where `inputs` is a map: `left`.
    pub name: Option<String>,
    /// `checked`, `minutes.late`, as it is written.
    pub from: Spanned<String>,
    pub stream: StreamType,
}

/// What a check may look at, and where it reports.
pub struct CheckContext<'a> {
    pub registry: &'a Registry,
    /// The site as far as it is known: tags with their settings, zones, units.
    pub site: &'a Site,
    /// The pipeline, or the connection's asset.
    pub owner: &'a str,
    pub node: &'a str,
    /// Where the node is written.
    pub place: Place,
    pub diagnostics: &'a mut Diagnostics,
}

impl CheckContext<'_> {
    pub fn report(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    /// The units, as they convert at the site.
    pub fn units(&self) -> Arc<Units> {
        self.registry.units().at(self.site.atmospheric_pressure)
    }

    /// Compiles an expression against columns; what is wrong is reported at its place in the file.
    pub fn expression(&mut self, text: &Spanned<String>, schema: &Schema) -> Option<Expression> {
        match Expression::compile(text, schema, self.registry.functions(), &self.units()) {
            Ok(expression) => Some(expression),
            Err(error) => {
                self.report(error.diagnostic(text));
                None
            }
        }
    }

    /// As [`CheckContext::expression`] for what must be true or false.
    pub fn condition(&mut self, text: &Spanned<String>, schema: &Schema) -> Option<Expression> {
        match Expression::compile_condition(text, schema, self.registry.functions(), &self.units()) {
            Ok(expression) => Some(expression),
            Err(error) => {
                self.report(error.diagnostic(text));
                None
            }
        }
    }

    /// The stream that a dataset holds, where some node of the site stores it; an unknown one is reported with the
    /// nearest name.
    pub fn dataset(&mut self, name: &Spanned<String>) -> Option<StreamType> {
        let found = self.site.datasets.get(&**name).cloned();
        if found.is_none() {
            self.report(crate::load::dataset_unknown(name, self.site.datasets.keys().map(String::as_str)));
        }
        found
    }

    /// Looks a unit up; an unknown one is reported with the nearest name.
    pub fn unit(&mut self, name: &Spanned<String>) -> Option<Unit> {
        match self.registry.unit(name) {
            Ok(unit) => Some(unit.clone()),
            Err(diagnostic) => {
                self.report(diagnostic);
                None
            }
        }
    }
}

/// Which share of the assets an instance has: those whose hash falls on `worker` of `workers`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition {
    pub worker: usize,
    pub workers: usize,
}

impl Partition {
    /// All of them.
    pub const WHOLE: Self = Self { worker: 0, workers: 1 };

    /// Whether this share has an asset. What belongs to no asset is the first worker's.
    pub fn has(self, asset: Option<&str>) -> bool {
        self.worker == Self::worker_of(asset, self.workers)
    }

    /// Which of so many workers has an asset.
    pub fn worker_of(asset: Option<&str>, workers: usize) -> usize {
        asset.map_or(0, |name| (hash(name) % workers.max(1) as u64) as usize)
    }

    /// As [`Partition::has`], of a tag.
    pub fn has_tag(self, tag: TagId, directory: &Directory) -> bool {
        self.workers <= 1 || self.has(directory.asset_of(tag).map(|asset| &*asset.name))
    }

    /// As [`Partition::has`], of an asset by its number.
    pub fn has_asset(self, asset: AssetId, directory: &Directory) -> bool {
        self.workers <= 1 || self.has(Some(directory.asset_name(asset)))
    }
}

/// The names in which an instance has a share: states come under names, and after the number of workers has changed with
/// those of others among them.
#[derive(Clone, Debug)]
pub struct Own {
    directory: Arc<Directory>,
    partition: Partition,
}

impl Own {
    /// The number of a tag that is there and in this share.
    pub fn tag(&self, name: &str) -> Option<TagId> {
        self.directory.tag_id(name).filter(|tag| self.partition.has_tag(*tag, &self.directory))
    }

    /// The number of an asset that is there and in this share.
    pub fn asset(&self, name: &str) -> Option<AssetId> {
        self.directory.asset_id(name).filter(|asset| self.partition.has_asset(*asset, &self.directory))
    }
}

/// FNV-1a: the same on every machine and in every version, since shares decide which worker holds which state.
fn hash(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// What a config may use to build.
#[derive(Clone)]
pub struct BuildContext {
    pub site: Arc<Site>,
    pub directory: Arc<Directory>,
    pub functions: Arc<Functions>,
    pub units: Arc<ducto_record::Units>,
    pub pipeline: Arc<str>,
    pub node: Arc<str>,
    pub inputs: Arc<[Input]>,
    pub partition: Partition,
    /// The site's services, by type: the data folder, the way into the log, ….
    pub resources: Resources,
}

/// Services that the site offers to nodes, looked up by type, so that the engine need not know who needs what.
#[derive(Clone, Default)]
pub struct Resources {
    by_type: HashMap<TypeId, Arc<dyn Any + Send + Sync>>,
}

impl Resources {
    pub fn insert<T: Any + Send + Sync>(&mut self, service: Arc<T>) {
        self.by_type.insert(TypeId::of::<T>(), service);
    }

    pub fn get<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        self.by_type.get(&TypeId::of::<T>())?.clone().downcast().ok()
    }
}

/// The service that every running site offers, by [`Resources::get`]: the way into its log.
#[derive(Clone)]
pub struct SiteServices {
    pub intake: Arc<dyn Intake>,
    /// Datasets that some source reads: the sinks that store them offer each commit to the intake
    /// ([`Origin::Dataset`](ducto_record::Origin)).
    pub datasets_read: BTreeSet<String>,
    /// Up to which epoch the journal has what each of them announced, samples of each kind by themselves: what a sink
    /// stored behind that before a crash it offers once more.
    pub announced: BTreeMap<(Arc<str>, Option<ValueKind>), Epoch>,
}

/// A node that cannot be built although its configuration is right.
#[derive(Debug, Error)]
#[error("{pipeline}.{node}: {message}")]
pub struct BuildError {
    pub pipeline: Arc<str>,
    pub node: Arc<str>,
    /// What was tried, what came of it, and what the reader can do.
    pub message: String,
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl BuildContext {
    /// What is this instance's own of all that is in the directory.
    pub fn own(&self) -> Own {
        Own { directory: self.directory.clone(), partition: self.partition }
    }

    pub fn error(&self, message: impl Into<String>) -> BuildError {
        BuildError { pipeline: self.pipeline.clone(), node: self.node.clone(), message: message.into(), source: None }
    }
}
