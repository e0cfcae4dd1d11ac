//! Runs the pipelines of a site: the site log, engine time, timely dataflows that come and go, snapshots, taps.
//!
//! The crate knows no operator by name. Only `dataflow.rs` and `host.rs` name timely.

mod checkpoints;
mod clock;
mod counted;
mod couriers;
mod dataflow;
mod error;
mod feeders;
mod host;
mod instance;
mod intake;
mod journal;
mod log;
mod node;
mod partition;
mod pipelines;
mod publish;
mod replies;
mod resume;
pub mod scenario;
mod service;
mod sinks;
mod site;
mod snapshots;
mod standby;
mod stats;
mod taps;
mod trouble;
mod turns;
mod views;

pub use checkpoints::CheckpointStatus;
pub use clock::{ClockMode, EngineClock, WallClock};
pub use couriers::{Carried, Carrier, CourierStatus, Delivery, EngineNow, OutboxStatus, Outboxes};
pub use error::RuntimeError;
pub use feeders::FeederStatus;
pub use host::{Host, Sinks};
pub use instance::Pause;
pub use intake::SiteIntake;
pub use journal::JournalStatus;
pub use log::{LogState, SiteLog};
pub use pipelines::{NodeStatus, PipelineStatus};
pub use resume::Durable;
pub use site::{Options, RunningSite, SinkChoice, clock_of};
pub use stats::{NodeCounts, NodeStats};
pub use taps::{TapReader, Tapped};
pub use trouble::{Trouble, TroubleKind};
pub use views::{VIEW, View, ViewChanges};
