//! What an operator is: a config that is checked before anything runs, and what it builds.
//!
//! An operator is one file: its config struct (whose doc comments become the reference, the schema and the editor's
//! hover), its behaviour, its tests, and an [`Operator`] that a [`Registry`](crate::registry::Registry) holds. The
//! engine knows operators only through the traits of this module.

mod context;
mod drive;
mod link;
mod run;

use std::fmt::Debug;
use std::sync::Arc;

use ducto_record::{StreamType, TagId, ValueKind};

pub use context::{BuildContext, BuildError, CheckContext, Input, Own, Partition, Resources, SiteServices};
pub use drive::{Emitted, Packet, Turn, turn};
pub use link::{Link, LinkReport, LinkState};
pub use run::{
    Connection, Feeder, Intake, IntakeError, NodeError, Output, Polling, Reply, Sink, Snapshot, Source, Store,
    Transform,
};

use crate::diagnostic::Diagnostics;
use crate::site::Site;
use crate::tree::{Node, Spanned};

/// The port that `inputs: [node]` means; `inputs: [node.late]` names another.
pub const MAIN: &str = "main";

/// A port a node offers, and what leaves by it.
#[derive(Clone, Debug, PartialEq)]
pub struct Port {
    pub name: &'static str,
    pub stream: StreamType,
}

impl Port {
    pub fn main(stream: StreamType) -> Self {
        Self { name: MAIN, stream }
    }
}

/// An operator as the registry holds it.
#[derive(Clone)]
pub struct Operator {
    /// The `type` of its nodes.
    pub name: &'static str,
    /// One line for the reference: what it does.
    pub summary: &'static str,
    /// JSON Schema of its fields, without `type`, `inputs` and `publish`.
    pub schema: fn(&mut schemars::SchemaGenerator) -> schemars::Schema,
    /// Pieces of YAML (one node each) for the reference; each is checked by a test.
    pub examples: &'static [&'static str],
    /// Decodes the fields of a node.
    pub decode: Decode,
}

/// How the fields of a node become its config, by what the node is.
#[derive(Clone, Copy)]
pub enum Decode {
    Source(fn(&Node, &mut Diagnostics) -> Option<Arc<dyn SourceConfig>>),
    Transform(fn(&Node, &mut Diagnostics) -> Option<Arc<dyn TransformConfig>>),
    Sink(fn(&Node, &mut Diagnostics) -> Option<Arc<dyn SinkConfig>>),
    Connection(fn(&Node, &mut Diagnostics) -> Option<Arc<dyn ConnectionConfig>>),
}

/// A source as configured.
pub trait SourceConfig: Debug + Send + Sync {
    /// Reports what is wrong, and says what leaves by which port. `None` where that cannot be said; a diagnostic
    /// then says why.
    fn check(&self, cx: &mut CheckContext<'_>) -> Option<Vec<Port>>;

    /// What reads the site log for this node.
    ///
    /// # Errors
    /// Only what the check could not see, such as a file that has gone.
    fn build(&self, cx: &BuildContext) -> Result<Box<dyn Source>, BuildError>;

    /// What brings this node's own input into the site log; one per site, however many workers. `None` for a source
    /// that only selects from the log.
    ///
    /// # Errors
    /// As [`SourceConfig::build`].
    fn feeder(&self, _cx: &BuildContext) -> Result<Option<Box<dyn Feeder>>, BuildError> {
        Ok(None)
    }

    /// Whether what this node brings has a clock of its own, as a recording has. A site with such a node runs by that
    /// clock, and can have no input that runs by the one on the wall.
    fn has_clock(&self) -> bool {
        false
    }

    /// The tags whose values can leave this node, sorted, after [`SourceConfig::check`]; `None` where that is not
    /// known. From it follow which assets a published name is made for, and that no tag is stored twice in one
    /// dataset.
    fn selects(&self, _cx: &mut CheckContext<'_>) -> Option<Vec<TagId>> {
        None
    }

    /// The datasets whose commits this node wants to see in the log. The graph has made sure that each is stored by
    /// some node when [`SourceConfig::check`] is called.
    fn datasets(&self) -> Vec<Spanned<String>> {
        Vec::new()
    }
}

/// A transform as configured.
pub trait TransformConfig: Debug + Send + Sync {
    /// As [`SourceConfig::check`]; `inputs` are in the order of the node's `inputs`.
    fn check(&self, inputs: &[Input], cx: &mut CheckContext<'_>) -> Option<Vec<Port>>;

    /// One instance per worker, with state for the assets of that worker only.
    ///
    /// # Errors
    /// Only what the check could not see.
    fn build(&self, cx: &BuildContext) -> Result<Box<dyn Transform>, BuildError>;

    /// The tags whose samples this node holds back until the next one comes.
    fn holds(&self, _site: &Site) -> Vec<TagId> {
        Vec::new()
    }

    /// What people can ask of this node, and about what.
    fn actions(&self, _inputs: &[Input], _site: &Site) -> Actions {
        Actions::default()
    }

    /// Whether this node must see every sample of a tag at once, so that no node before it may hold them back.
    fn needs_at_once(&self, _tag: TagId, _site: &Site) -> bool {
        false
    }
}

/// What people can ask of a node.
#[derive(Clone, Debug, Default)]
pub struct Actions {
    /// `acknowledge`, `reset`.
    pub verbs: &'static [&'static str],
    pub subjects: Vec<Subject>,
}

/// Something that an action can be about: an alarm of a tag.
#[derive(Clone, Debug)]
pub struct Subject {
    /// What an action must name, and by which argument: `("tag", "W.THP")`.
    pub of: (&'static str, String),
    /// What it may name besides: `("alarm", "H")`.
    pub part: (&'static str, String),
}

/// A sink as configured.
pub trait SinkConfig: Debug + Send + Sync {
    fn check(&self, inputs: &[Input], cx: &mut CheckContext<'_>);

    /// One instance per site, however many workers.
    ///
    /// # Errors
    /// Only what the check could not see, such as a folder that cannot be written.
    fn build(&self, cx: &BuildContext) -> Result<Box<dyn Sink>, BuildError>;

    /// The dataset this node stores, if it stores one: no two nodes, and no two inputs of one, may store one tag in one
    /// dataset.
    fn dataset(&self) -> Option<Spanned<String>> {
        None
    }

    /// The file this node writes, if it writes one beside the datasets: no two nodes may write one file. A relative path
    /// lies in the data folder.
    fn file(&self) -> Option<Spanned<String>> {
        None
    }

    /// Fields on which all nodes that store one dataset have to agree, each with its value as it is shown, always in
    /// the same order.
    fn dataset_settings(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }
}

/// A connection as configured: an endpoint, its protocol settings, and the tags read through it.
pub trait ConnectionConfig: Debug + Send + Sync {
    /// Checks the connection itself and the protocol's own fields of its tags.
    fn check(&self, tags: &[ConnectionTag<'_>], cx: &mut CheckContext<'_>);

    /// What makes two connections one: assets whose connections share an endpoint share the socket or the line.
    fn endpoint(&self) -> String;

    /// What reads the endpoints of this type and offers samples to the intake: one connection for each. Called once
    /// for a site, on the config of one of the members, so that what is alike in many endpoints can be shared.
    ///
    /// # Errors
    /// Only what the check could not see.
    fn open(&self, endpoints: Vec<Endpoint>, cx: &BuildContext) -> Result<Vec<Box<dyn Connection>>, BuildError>;

    /// How often a tag is polled where the tag itself does not say; `None` where nothing is polled.
    fn scan(&self) -> Option<crate::scalar::Duration>;

    /// The fields of a tag that are this connection's own (`address`, `as`, …). Others are reported as unknown before
    /// [`ConnectionConfig::check`]. `None` leaves that to the check.
    fn tag_fields(&self) -> Option<&'static [&'static str]> {
        None
    }

    /// The kind of value of a tag with these fields, the connection's own ones. Mistakes in them are not reported
    /// here, but by [`ConnectionConfig::check`].
    fn value_kind(&self, _fields: &Node) -> ValueKind {
        ValueKind::Float64
    }

    /// For [`ConnectionConfig::open`], which is given other assets' configs of the same type.
    fn as_any(&self) -> &dyn std::any::Any;
}

/// A tag as its connection sees it while checking.
pub struct ConnectionTag<'a> {
    pub tag: &'a crate::site::TagSettings,
    /// The protocol's own fields of the tag (`address`, `as`, …), not yet decoded.
    pub fields: &'a Node,
}

/// An endpoint, and the connections of all assets that share it.
pub struct Endpoint {
    /// As [`ConnectionConfig::endpoint`] says it.
    pub name: String,
    pub members: Vec<ConnectionMember>,
}

/// One asset's share of an endpoint.
pub struct ConnectionMember {
    pub asset: Arc<str>,
    pub config: Arc<dyn ConnectionConfig>,
    /// Tags in the order of numbers.
    pub tags: Vec<Arc<crate::site::TagSettings>>,
}

impl Debug for Operator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Operator").field("name", &self.name).finish_non_exhaustive()
    }
}
