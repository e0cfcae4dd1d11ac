//! The log of the process, on standard error.

use std::io::Write;
use std::sync::OnceLock;

use indicatif::ProgressBar;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::cli::LogFormat;

/// A bar that stands on the last line of the terminal; lines of the log go above it.
static BAR: OnceLock<ProgressBar> = OnceLock::new();

/// Lines of the log do not disturb this bar from now on.
pub(crate) fn keep_clear_of(bar: &ProgressBar) {
    let _ = BAR.set(bar.clone());
}

/// What `wanted` asks for, a level alone being that of our own crates: in what the libraries below them say nobody finds
/// what the site does. `info,datafusion=debug` asks for them too.
fn directives(wanted: &str) -> String {
    match wanted.trim().parse::<LevelFilter>() {
        Ok(level) if level > LevelFilter::WARN => format!("warn,ducto={level},modbus={level}"),
        _ => wanted.to_owned(),
    }
}

/// Starts the log. `RUST_LOG` says what is logged; without it, or where it cannot be read, `default` does.
pub(crate) fn start(format: LogFormat, default: &str, colored: bool) {
    let wanted = std::env::var(EnvFilter::DEFAULT_ENV).ok().filter(|wanted| !wanted.trim().is_empty());
    let wanted = wanted.and_then(|wanted| EnvFilter::try_new(directives(&wanted)).ok());
    let filter = wanted.unwrap_or_else(|| EnvFilter::new(directives(default)));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_alone_is_of_our_own_crates() {
        assert_eq!(directives("debug"), "warn,ducto=debug,modbus=debug");
        assert_eq!(directives(" INFO "), "warn,ducto=info,modbus=info");
        for same in ["warn", "error", "off", "ducto_operators=debug,warn", "info,datafusion=debug"] {
            assert_eq!(directives(same), same);
        }
        // All our crates begin with these words.
        assert!(module_path!().starts_with("ducto"));
        assert!(EnvFilter::try_new(directives("trace")).is_ok());
    }
}
