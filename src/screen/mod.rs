//! Full-screen views: the terminal while one is open, its keys, and pages that scroll.

mod grid;
mod page;

use std::io::{IsTerminal, Stdout, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

pub(crate) use grid::{Cell, Column, Grid, ends, grid, wrap};
pub(crate) use page::{Page, Scroll};
use ratatui::backend::TermionBackend;
pub(crate) use ratatui::termion::event::Key;
use ratatui::termion::input::TermRead;
use ratatui::termion::raw::{IntoRawMode, RawTerminal};
use ratatui::termion::screen::{AlternateScreen, IntoAlternateScreen};
use ratatui::{Frame, Terminal};

use crate::interrupt::{Interrupts, Woken};
use crate::output::{Exit, Failure};

/// Columns and lines where no terminal says how many it has.
const SIZE: (u16, u16) = (80, 24);
/// How long a key is waited for before signals and the window's size are looked at.
const LOOK: Duration = Duration::from_millis(100);

/// Whether somebody can see a full screen and press keys.
pub(crate) fn is_possible() -> bool {
    std::io::stdout().is_terminal() && std::io::stdin().is_terminal()
}

/// Columns and lines of the terminal.
pub(crate) fn size() -> (u16, u16) {
    ratatui::termion::terminal_size().ok().filter(|&(columns, lines)| columns > 0 && lines > 0).unwrap_or(SIZE)
}

/// The terminal while a full-screen view is open; dropping it gives back what was on it before.
pub(crate) struct Screen {
    terminal: Terminal<TermionBackend<AlternateScreen<RawTerminal<Stdout>>>>,
    keys: Receiver<Key>,
    interrupts: Interrupts,
}

/// What happened while a view waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Happened {
    Key(Key),
    /// A signal asks to end.
    Signal,
    Nothing,
}

impl Screen {
    pub(crate) fn open() -> Result<Self, Failure> {
        let failed = |error: std::io::Error| {
            Failure::new(Exit::Findings, format!("the terminal cannot be used: {error}; use `--json` or a pipe"))
        };
        // Before the terminal changes, so that no signal leaves it changed.
        let interrupts = Interrupts::listen()?;
        let (sender, keys) = channel();
        let read = move || {
            for key in std::io::stdin().keys() {
                // Bytes that are no key are passed over.
                if let Ok(key) = key
                    && sender.send(key).is_err()
                {
                    break;
                }
            }
        };
        std::thread::Builder::new().name("keys".into()).spawn(read).map_err(failed)?;
        let out =
            std::io::stdout().into_raw_mode().and_then(IntoAlternateScreen::into_alternate_screen).map_err(failed)?;
        let terminal = Terminal::new(TermionBackend::new(out)).map_err(failed)?;
        Ok(Self { terminal, keys, interrupts })
    }

    /// Draws what has changed.
    pub(crate) fn draw(&mut self, view: impl FnOnce(&mut Frame<'_>)) -> Result<(), Failure> {
        match self.terminal.draw(view) {
            Ok(_) => Ok(()),
            // The window was closed.
            Err(_) => Err(Failure::said(Exit::Interrupted)),
        }
    }

    /// Waits for a key or a signal, for a moment.
    pub(crate) fn wait(&self) -> Happened {
        let happened = match self.keys.recv_timeout(LOOK) {
            Ok(key) => Happened::Key(key),
            Err(RecvTimeoutError::Timeout) => Happened::Nothing,
            // Nothing can be typed any more.
            Err(RecvTimeoutError::Disconnected) => Happened::Signal,
        };
        match self.interrupts.wait(Some(std::time::Instant::now())) {
            Woken::Signal(_) => Happened::Signal,
            Woken::Time => happened,
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.terminal.show_cursor();
        // The guards inside write what gives the screen back, and nothing else would bring it to the terminal.
        let out = self.terminal.backend_mut();
        let _ = write!(out, "{}", ratatui::termion::screen::ToMainScreen).and_then(|()| out.flush());
    }
}
