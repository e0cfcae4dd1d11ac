//! A config struct from a [`Node`], with every mistake found and each at its place.
//!
//! Serde stops at the first error. Here the value that failed is set aside and decoding is tried
//! again, until nothing new is found:
//!
//! - a value that failed is left out the next time, and what fails only because of that is not
//!   reported;
//! - a field that is missing is given a stand-in, so that the next missing one is found;
//! - fields that a struct does not know are all reported at once, whether or not the struct denies
//!   them;
//! - an [`OrderedMap`] collects the errors of all its entries in one go.
//!
//! Serde itself loses places behind `#[serde(flatten)]` and in tagged and untagged enums: an error in
//! there is shown at the enum or struct as a whole, and `flatten` also hides which fields are known.
//! A struct of the configuration does better with a [`Node`] field that is decoded later.
//!
//! The message of a custom error (`serde::de::Error::custom`) may have a second line, which becomes
//! the help of the diagnostic.

mod access;
mod deserializer;
mod error;
mod handover;
mod ordered;
mod stand_in;

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};

use serde::de::DeserializeOwned;

pub use ordered::OrderedMap;

use crate::codes::Code;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::tree::{Node, Value};
use deserializer::NodeDeserializer;
use error::{DecodeError, Kind};

/// Decodes a value. `None` means that at least one error was pushed, now or when the node was read.
pub fn decode<T: DeserializeOwned>(node: &Node, diagnostics: &mut Diagnostics) -> Option<T> {
    decode_rest(node, &[], diagnostics)
}

/// Decodes a mapping of which the fields named in `elsewhere` are read by someone else, such as
/// `type` and `inputs` of a pipeline's node. They are passed over, and suggested for near misses.
pub fn decode_rest<T: DeserializeOwned>(node: &Node, elsewhere: &[&str], diagnostics: &mut Diagnostics) -> Option<T> {
    let state = State::new(node, elsewhere);
    let mut value = None;
    for attempt in 0.. {
        if attempt == ATTEMPTS {
            state.report(
                Diagnostic::new(Code::TooManyErrors, "this has more errors than are reported at once")
                    .at(node.place)
                    .help("mend those reported and check again"),
            );
            break;
        }
        let root = NodeDeserializer::new(node, None, &state);
        match root.located(|| T::deserialize(root)) {
            Ok(decoded) => {
                value = (state.skips.get() == 0).then_some(decoded);
                break;
            }
            Err(error) => {
                if !state.learn(error) {
                    break;
                }
            }
        }
    }
    let reported = state.reported.into_inner();
    let clean = reported.is_empty();
    diagnostics.extend(reported);
    value.filter(|_| clean)
}

/// A field of a mapping that has mistakes, if this field has none. The mistakes were reported with the whole.
pub(crate) fn decode_field<T: DeserializeOwned>(node: &Node, name: &str) -> Option<T> {
    decode(node.get(name)?, &mut Diagnostics::new())
}

/// The items without mistakes of a list that stands in a mapping with mistakes.
pub(crate) fn decode_items<T: DeserializeOwned>(node: &Node, name: &str) -> Vec<T> {
    let Some(node) = node.get(name) else { return Vec::new() };
    // `assets: wells.csv` is one that lacks its brackets.
    let items = if matches!(node.value, Value::Text(_)) { std::slice::from_ref(node) } else { node.items() };
    items.iter().filter_map(|item| decode(item, &mut Diagnostics::new())).collect()
}

/// Attempts at one value. Each finds at least one more error.
const ATTEMPTS: usize = 100;

/// A node of the tree being decoded, by its address, which stays while the tree is borrowed.
type Id = *const Node;

/// What is known from earlier attempts.
struct State<'a> {
    root: Id,
    elsewhere: &'a [&'a str],
    reported: RefCell<Diagnostics>,
    /// Values that failed.
    poisoned: RefCell<HashSet<Id>>,
    /// Missing fields by struct, each with the number of its stand-in.
    stand_ins: RefCell<HashMap<Id, Vec<(&'static str, usize)>>>,
    /// Errors of the present attempt that were collected on the way.
    pending: RefCell<Vec<DecodeError>>,
    /// Values left out since the beginning.
    skips: Cell<usize>,
}

impl<'a> State<'a> {
    fn new(root: &Node, elsewhere: &'a [&'a str]) -> Self {
        State {
            root,
            elsewhere,
            reported: RefCell::default(),
            poisoned: RefCell::default(),
            stand_ins: RefCell::default(),
            pending: RefCell::default(),
            skips: Cell::new(0),
        }
    }

    fn report(&self, diagnostic: Diagnostic) {
        self.reported.borrow_mut().push(diagnostic);
    }

    /// Whether a value must be left out, and counts it if so.
    fn skips(&self, node: &Node) -> bool {
        let skip = node.value == Value::Invalid || self.poisoned.borrow().contains(&std::ptr::from_ref(node));
        if skip {
            self.skips.set(self.skips.get() + 1);
        }
        skip
    }

    fn stand_ins_of(&self, node: &Node) -> Vec<(&'static str, usize)> {
        self.stand_ins.borrow().get(&std::ptr::from_ref(node)).cloned().unwrap_or_default()
    }

    /// Takes note of a failed attempt. Whether there is something new, so that another makes sense.
    fn learn(&self, error: DecodeError) -> bool {
        let mut errors = std::mem::take(&mut *self.pending.borrow_mut());
        errors.push(error);
        let mut progress = false;
        for error in errors {
            progress |= self.learn_one(error);
        }
        progress
    }

    fn learn_one(&self, error: DecodeError) -> bool {
        let origin = error.origin.unwrap_or(self.root);
        let place = error.place;
        match error.kind {
            Kind::Deferred => return false,
            Kind::Poisoned => {}
            Kind::Report(diagnostic) => {
                self.report(match place {
                    Some(place) => diagnostic.at(place),
                    None => *diagnostic,
                });
            }
            Kind::Missing { field, report } => {
                if report {
                    let diagnostic = Diagnostic::new(Code::FieldMissing, format!("the field `{field}` is missing"))
                        .help(format!("add `{field}: …` here"));
                    self.report(match place {
                        Some(place) => diagnostic.at(place),
                        None => diagnostic,
                    });
                }
                if self.next_stand_in(origin, field) {
                    return true;
                }
            }
            Kind::StandIn { field } => {
                if self.next_stand_in(origin, field) {
                    return true;
                }
            }
        }
        origin != self.root && self.poisoned.borrow_mut().insert(origin)
    }

    /// Gives a missing field its next stand-in; false if there is none left to try.
    fn next_stand_in(&self, owner: Id, field: &'static str) -> bool {
        let mut stand_ins = self.stand_ins.borrow_mut();
        let fields = stand_ins.entry(owner).or_default();
        match fields.iter_mut().find(|(name, _)| *name == field) {
            Some((_, number)) => {
                *number += 1;
                *number < stand_in::KINDS
            }
            None => {
                fields.push((field, 0));
                true
            }
        }
    }
}

#[cfg(test)]
mod tests;
