//! What people do to alarms, and the answers they get.

use std::sync::Arc;

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

    /// Applies it, and says what came of it.
    pub(super) fn apply(self, machine: &mut Machine, alarm: &str, of: &str) -> Outcome {
        let result = match self {
            Self::Acknowledge => machine.acknowledge(),
            Self::Reset => machine.reset(),
        };
        let (words, letter) = (machine.state.words(), machine.state.letter());
        let (outcome, text) = match &result {
            Ok(event) => {
                (event.name(), format!("`{alarm}` of `{of}` is {}; it is now {words} ({letter})", event.name()))
            }
            Err(why) => (why.name(), format!("`{alarm}` of `{of}` is {words} ({letter}): {}", why.words())),
        };
        Outcome { event: result.ok(), text, details: vec![("outcome", outcome.into()), ("state", letter.into())] }
    }
}

/// What came of a verb.
pub(super) struct Outcome {
    pub(super) event: Option<Event>,
    /// In English.
    pub(super) text: String,
    /// For those who have words of their own: `outcome`, the event or why there was none, and `state`, its letter.
    pub(super) details: Vec<(&'static str, Arc<str>)>,
}
