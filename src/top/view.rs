//! What is on the screen of `ducto top`, and what keys do to it.

use ratatui::text::Line;

use super::figures::Figures;
use super::pages::{Drawing, Order};
use super::values::Values;
use super::words::Words;
use crate::screen::{Key, Page, Scroll};
use crate::times::Zone;
use crate::words::Language;

/// A page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Name {
    #[default]
    Overview,
    Pipelines,
    Connections,
    Values,
    Help,
}

impl Name {
    /// What its rows can be sorted by.
    const fn orders(self) -> &'static [Order] {
        match self {
            Self::Overview | Self::Help => &[],
            Self::Pipelines => &[Order::Given, Order::Rate, Order::Cpu, Order::Trouble],
            Self::Connections => &[Order::Given, Order::Rate, Order::Trouble],
            Self::Values => &[Order::Given, Order::Trouble],
        }
    }
}

/// What a key wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Quit,
    Draw,
    Nothing,
}

/// The page that is open, and how each is scrolled and sorted.
#[derive(Clone, Debug, Default)]
pub(super) struct View {
    pub(super) name: Name,
    /// Where the help page was opened from.
    before: Name,
    scrolls: [Scroll; 5],
    orders: [Order; 5],
}

impl View {
    pub(super) fn key(&mut self, key: Key) -> Wish {
        if self.scrolls[self.name as usize].key(key) {
            return Wish::Draw;
        }
        match key {
            Key::Char('q') | Key::Ctrl('c') => return Wish::Quit,
            Key::Esc if self.name == Name::Help => self.open(self.before),
            Key::Esc if self.name == Name::Overview => return Wish::Quit,
            Key::Char('o') | Key::Esc => self.open(Name::Overview),
            Key::Char('p') => self.open(Name::Pipelines),
            Key::Char('c') => self.open(Name::Connections),
            Key::Char('t') => self.open(Name::Values),
            Key::Char('?' | 'h') if self.name == Name::Help => self.open(self.before),
            Key::Char('?' | 'h') => {
                self.before = self.name;
                self.open(Name::Help);
            }
            Key::Char('s') if !self.name.orders().is_empty() => {
                let order = &mut self.orders[self.name as usize];
                *order = order.next(self.name.orders());
            }
            _ => return Wish::Nothing,
        }
        Wish::Draw
    }

    fn open(&mut self, name: Name) {
        self.name = name;
    }

    pub(super) fn scroll(&mut self) -> &mut Scroll {
        &mut self.scrolls[self.name as usize]
    }

    /// The open page for a window of so many columns.
    pub(super) fn page(&self, figures: &Figures, values: &Values, problem: Option<&str>, width: u16) -> Page {
        let language = Language::of(&figures.language);
        let zone = Zone::named(&figures.time_zone);
        let order = self.orders[self.name as usize];
        let drawing = Drawing { figures, language, zone: &zone, width: usize::from(width), order };
        let words = Words::of(language);
        let mut head = drawing.head(problem);
        if self.name == Name::Values {
            head.extend(drawing.source(values));
        }
        let body = match self.name {
            Name::Overview => drawing.overview(),
            Name::Pipelines => drawing.pipelines(),
            Name::Connections => drawing.connections(),
            Name::Values => drawing.values(values),
            Name::Help => drawing.help(),
        };
        let mut foot = words.keys.to_owned();
        if !self.name.orders().is_empty() {
            // Before the pages, where it is seen in a narrow window too.
            foot = format!("{} {}  {foot}", words.sort, order.name(words));
        }
        Page { head, columns: body.columns, body: body.lines, foot: Line::from(foot), chosen: None }
    }
}

#[cfg(test)]
mod tests {
    use ducto_record::{Checks, Quality};
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::super::sample::{NOW, status};
    use super::super::values::Value;
    use super::*;

    fn figures() -> Figures {
        Figures::between(Some(&status(3_600)), &status(3_602))
    }

    fn values() -> Values {
        let value = |age: i64, text: &str, unit: &str, quality: u16, checks: u16| Value {
            time: NOW + 3_602_000_000 - age,
            text: text.to_owned(),
            unit: unit.to_owned(),
            quality: Quality(quality),
            checks: Checks(checks),
        };
        Values::of(&[
            ("WELL-001.THP", value(400_000, "1800", "psig", 192, 0)),
            ("WELL-001.RUN", value(400_000, "En marcha", "", 192, 0)),
            ("WELL-002.ESP_MOTOR_TEMPERATURE", value(900_000, "122.5", "°C", 88, 0b100_1000)),
            ("WELL-005.THP", value(65_000_000, "-", "psig", 24, 0)),
        ])
    }

    fn drawn(view: &mut View, figures: &Figures, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        let page = view.page(figures, &values(), None, width);
        terminal.draw(|frame| page.draw(frame, view.scroll())).unwrap();
        if width == 0 { String::new() } else { terminal.backend().to_string() }
    }

    #[test]
    fn pages_on_a_terminal_of_80_columns() {
        for (key, name) in [('o', "overview"), ('p', "pipelines"), ('c', "connections"), ('t', "values"), ('?', "help")]
        {
            let mut view = View::default();
            view.key(Key::Char(key));
            insta::assert_snapshot!(format!("{name}_80x24"), drawn(&mut view, &figures(), 80, 24));
        }
    }

    #[test]
    fn pages_on_a_small_terminal() {
        for (key, name) in [('o', "overview"), ('p', "pipelines"), ('c', "connections"), ('t', "values")] {
            let mut view = View::default();
            view.key(Key::Char(key));
            insta::assert_snapshot!(format!("{name}_40x12"), drawn(&mut view, &figures(), 40, 12));
        }
    }

    #[test]
    fn pages_in_spanish() {
        let figures = Figures { language: "es".to_owned(), ..figures() };
        insta::assert_snapshot!("overview_es", drawn(&mut View::default(), &figures, 80, 24));
        let mut view = View::default();
        view.key(Key::Char('t'));
        insta::assert_snapshot!("values_es", drawn(&mut view, &figures, 80, 24));
    }

    #[test]
    fn no_size_of_a_window_is_too_small() {
        let first = Figures::between(None, &status(0));
        for figures in [figures(), first, Figures::default()] {
            for key in ['o', 'p', 'c', 't', '?'] {
                for (width, height) in [(0, 0), (1, 1), (2, 5), (7, 3), (13, 2), (20, 4), (200, 60)] {
                    let mut view = View::default();
                    view.key(Key::Char(key));
                    view.key(Key::End);
                    drawn(&mut view, &figures, width, height);
                }
            }
        }
    }

    fn first_word(line: &str) -> String {
        line.trim_start_matches('"').split_whitespace().next().unwrap_or_default().to_owned()
    }

    #[test]
    fn keys_open_pages_and_sort_them() {
        let mut view = View::default();
        assert_eq!(view.key(Key::Char('s')), Wish::Nothing);
        assert_eq!((view.key(Key::Char('p')), view.name), (Wish::Draw, Name::Pipelines));
        let first_node = |view: &mut View| {
            let text = drawn(view, &figures(), 80, 24);
            text.lines().find(|line| line.contains("well-monitoring.")).map(first_word)
        };
        assert_eq!(first_node(&mut view), None);
        view.key(Key::Char('s'));
        assert_eq!(first_node(&mut view).unwrap(), "well-monitoring.field");
        view.key(Key::Char('s'));
        view.key(Key::Char('s'));
        assert_eq!(first_node(&mut view).unwrap(), "well-monitoring.events");
        view.key(Key::Char('s'));
        assert_eq!(first_node(&mut view), None);
        view.key(Key::Char('?'));
        assert_eq!(view.name, Name::Help);
        assert_eq!((view.key(Key::Esc), view.name), (Wish::Draw, Name::Pipelines));
        assert_eq!((view.key(Key::Esc), view.name), (Wish::Draw, Name::Overview));
        assert_eq!(view.key(Key::Esc), Wish::Quit);
        assert_eq!(view.key(Key::Ctrl('c')), Wish::Quit);
    }
}
