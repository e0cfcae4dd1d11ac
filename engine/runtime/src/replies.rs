//! Answers of nodes to actions, on their way to whoever asked.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use ducto_graph::operator::Reply;

/// Answers that nobody fetched are forgotten beyond this many actions.
const KEPT: usize = 1_024;

#[derive(Debug, Default)]
pub(crate) struct Replies {
    by_action: Mutex<BTreeMap<u64, Vec<Reply>>>,
}

impl Replies {
    pub(crate) fn add(&self, reply: Reply) {
        let mut by_action = self.by_action.lock().unwrap_or_else(PoisonError::into_inner);
        let replies = by_action.entry(reply.action).or_default();
        // A restarted pipeline sees the action again and answers again.
        if !replies.contains(&reply) {
            replies.push(reply);
        }
        while by_action.len() > KEPT {
            by_action.pop_first();
        }
    }

    pub(crate) fn take(&self, action: u64) -> Vec<Reply> {
        self.by_action.lock().unwrap_or_else(PoisonError::into_inner).remove(&action).unwrap_or_default()
    }
}
