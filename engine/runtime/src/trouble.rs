//! What keeps a node from its work: shown in the status and among the alarms.

use ducto_record::Micros;

/// Failures of one node on one epoch after which the node is set aside.
pub(crate) const PATIENCE: u32 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TroubleKind {
    /// A sink waits for what takes its rows, a disk; it goes on by itself.
    Waits,
    /// More came for a sink than it could take; what it has not taken is read again from the journal.
    Behind,
    /// It failed too often on one epoch, and the rest goes on without it until the next start.
    SetAside,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    pub kind: TroubleKind,
    /// Engine time.
    pub since: Micros,
    pub why: String,
}
