//! Ctrl-C and SIGTERM: the first asks for a clean stop, the second ends the process at once.

use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use crate::output::{Exit, Failure};

/// Signals within this time are one.
const SAME: Duration = Duration::from_millis(500);

/// Waits for signals on a thread of its own.
pub(crate) struct Interrupts {
    signals: Receiver<&'static str>,
}

/// Why a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Woken {
    /// The named signal came.
    Signal(&'static str),
    Time,
}

impl Interrupts {
    /// From now on signals no longer end the process by themselves.
    pub(crate) fn listen() -> Result<Self, Failure> {
        let failed = |error: std::io::Error| {
            Failure::new(Exit::Findings, format!("signals cannot be received: {error}; start the process again"))
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().map_err(failed)?;
        let (mut interrupt, mut terminate) = {
            use tokio::signal::unix::{SignalKind, signal};
            let _guard = runtime.enter();
            (signal(SignalKind::interrupt()).map_err(failed)?, signal(SignalKind::terminate()).map_err(failed)?)
        };
        let (sender, signals) = channel();
        let listen = move || {
            runtime.block_on(async move {
                let mut asked: Option<Instant> = None;
                loop {
                    let name = tokio::select! {
                        _ = interrupt.recv() => "Ctrl-C",
                        _ = terminate.recv() => "SIGTERM",
                    };
                    match asked {
                        // One press may come twice: `timeout`, for one, signals the process and then its group.
                        Some(first) if first.elapsed() < SAME => {}
                        // What is half written lies in a staging folder and is never read.
                        Some(_) => std::process::exit(i32::from(Exit::Interrupted.code())),
                        None => {
                            asked = Some(Instant::now());
                            let _ = sender.send(name);
                        }
                    }
                }
            });
        };
        std::thread::Builder::new().name("signals".into()).spawn(listen).map_err(failed)?;
        Ok(Self { signals })
    }

    /// Waits for a signal, at most until `end` (for ever without).
    pub(crate) fn wait(&self, end: Option<Instant>) -> Woken {
        let received = match end {
            None => self.signals.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(end) => self.signals.recv_timeout(end.saturating_duration_since(Instant::now())),
        };
        match received {
            Ok(name) => Woken::Signal(name),
            Err(RecvTimeoutError::Timeout) => Woken::Time,
            // The listening thread ends with the process only.
            Err(RecvTimeoutError::Disconnected) => {
                std::thread::sleep(Duration::from_secs(1));
                Woken::Time
            }
        }
    }
}
