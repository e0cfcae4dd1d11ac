//! What the command prints, and the exit code it leaves.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use serde::Serialize;

use crate::cli::Color;

/// How a command ended; `ducto --help` documents the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Done,
    Findings,
    Usage,
    Refused,
    Data,
    Peer,
    Interrupted,
}

impl Exit {
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Findings => 1,
            Self::Usage => 2,
            Self::Refused => 3,
            Self::Data => 4,
            Self::Peer => 5,
            Self::Interrupted => 130,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Why a command did not do what it should.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    /// What was tried, what came of it, and what the reader can do. Empty where findings were printed already.
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into() }
    }

    /// Its findings are on the screen.
    pub(crate) fn said(exit: Exit) -> Self {
        Self { exit, message: String::new() }
    }
}

/// Where and how a command prints. A closed pipe behind it is no mistake: what is left is not wanted.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    json: bool,
    colored: bool,
    colored_out: bool,
}

impl Output {
    pub(crate) fn new(json: bool, color: Color) -> Self {
        let wanted = |terminal: bool| match color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) && terminal,
        };
        let colored = wanted(std::io::stderr().is_terminal());
        Self { json, colored, colored_out: wanted(std::io::stdout().is_terminal()) }
    }

    /// Whether programs read.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    pub(crate) fn colored(&self) -> bool {
        self.colored
    }

    /// Whether results, on standard output, are coloured.
    pub(crate) fn colored_out(&self) -> bool {
        self.colored_out
    }

    /// Whether somebody watches: progress is shown then.
    pub(crate) fn is_watched(&self) -> bool {
        !self.json && std::io::stderr().is_terminal()
    }

    /// Results, on standard output, as they are.
    pub(crate) fn print(&self, text: &str) {
        let mut out = std::io::stdout().lock();
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }

    /// As [`Output::print`]; whether whoever reads is still there, for what would otherwise go on for ever.
    pub(crate) fn is_taken(&self, text: &str) -> bool {
        let mut out = std::io::stdout().lock();
        out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_ok()
    }

    /// A line of results.
    pub(crate) fn line(&self, text: &str) {
        self.print(&format!("{text}\n"));
    }

    /// One JSON object on a line of its own.
    pub(crate) fn object(&self, value: &impl Serialize) {
        if let Ok(text) = serde_json::to_string(value) {
            self.line(&text);
        }
    }

    /// Remarks for people, on standard error.
    pub(crate) fn remark(&self, text: &str) {
        let mut out = std::io::stderr().lock();
        let _ = writeln!(out, "{text}");
    }

    pub(crate) fn failure(&self, failure: &Failure) {
        if failure.message.is_empty() {
            return;
        }
        if self.json {
            self.object(&serde_json::json!({"error": failure.message, "exit": failure.exit.code()}));
        }
        let label = if self.colored { "\u{1b}[1m\u{1b}[91merror\u{1b}[0m" } else { "error" };
        self.remark(&format!("{label}: {}", failure.message));
    }
}
