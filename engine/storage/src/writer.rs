//! The thread that commits, merges and removes.

use std::sync::Arc;
use std::thread::JoinHandle;

use ducto_record::Micros;

use crate::dataset::DatasetConfig;
use crate::error::{FileError, StorageError};
use crate::historian::Shared;
use crate::manifest::Manifest;

/// When the writer has to look at its files next.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Due {
    pub(crate) at: Option<Micros>,
}

impl Due {
    pub(crate) fn of(_manifest: &Manifest, _config: &DatasetConfig) -> Self {
        Self { at: None }
    }
}

pub(crate) fn spawn(shared: Arc<Shared>) -> Result<JoinHandle<()>, StorageError> {
    let name = format!("historian-{}", shared.name);
    let path = shared.data.clone();
    std::thread::Builder::new()
        .name(name)
        .spawn(move || run(&shared))
        .map_err(|error| FileError::new("start the writer of", &path, error).into())
}

fn run(shared: &Shared) {
    let mut state = shared.lock();
    loop {
        if state.stop {
            return;
        }
        if let Some(sealed) = state.sealed.front().cloned() {
            let mut manifest = Manifest::clone(&state.manifest);
            drop(state);
            manifest.held = sealed.epoch;
            shared.committed(manifest, 1);
            state = shared.lock();
            continue;
        }
        state = shared.work.wait(state).unwrap_or_else(std::sync::PoisonError::into_inner);
    }
}
