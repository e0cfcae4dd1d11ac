//! The log of the process, on standard error.

use std::io::Write;
use std::sync::OnceLock;

use indicatif::ProgressBar;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::cli::LogFormat;

/// A bar that stands on the last line of the terminal; lines of the log go above it.
static BAR: OnceLock<ProgressBar> = OnceLock::new();

/// Lines of the log do not disturb this bar from now on.
pub(crate) fn keep_clear_of(bar: &ProgressBar) {
    let _ = BAR.set(bar.clone());
}

/// Starts the log. `RUST_LOG` says what is logged; without it `default` does.
pub(crate) fn start(format: LogFormat, default: &str, colored: bool) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(Lines);
    let started = match format {
        LogFormat::Text => builder.with_target(false).with_ansi(colored).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    // A log that is there already stays.
    drop(started);
}

struct Lines;

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line
    }
}

struct Line;

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match BAR.get() {
            Some(bar) => bar.suspend(|| std::io::stderr().write_all(bytes))?,
            None => std::io::stderr().write_all(bytes)?,
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().flush()
    }
}
