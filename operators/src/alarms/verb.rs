//! What people do to alarms, and the answers they get.

use ducto_record::Action;

use super::machine::{Event, Machine};

/// An acknowledgement or a reset, and what came of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Acknowledge,
    Reset,
}

impl Verb {
    pub(super) const NAMES: &'static [&'static str] = &["acknowledge", "reset"];

    pub(super) fn of(action: &Action) -> Option<Self> {
        match &*action.verb {
            "acknowledge" => Some(Self::Acknowledge),
            "reset" => Some(Self::Reset),
            _ => None,
        }
    }

    /// Applies it, and says in words what came of it.
    pub(super) fn apply(self, machine: &mut Machine, alarm: &str, of: &str) -> (Option<Event>, String) {
        let result = match self {
            Self::Acknowledge => machine.acknowledge(),
            Self::Reset => machine.reset(),
        };
        let (words, letter) = (machine.state.words(), machine.state.letter());
        match result {
            Ok(event) => {
                (Some(event), format!("`{alarm}` of `{of}` is {}; it is now {words} ({letter})", event.name()))
            }
            Err(why) => (None, format!("`{alarm}` of `{of}` is {words} ({letter}): {why}")),
        }
    }
}
