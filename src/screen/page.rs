//! A page: lines that stay at the top, lines that scroll, and a line at the bottom.

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::Line;

use super::Key;

/// What a view shows. Whatever the size of the window, no line is drawn over another.
#[derive(Clone, Debug, Default)]
pub(crate) struct Page {
    pub(crate) head: Vec<Line<'static>>,
    /// The heads of the body's columns: they stay above it.
    pub(crate) columns: Option<Line<'static>>,
    pub(crate) body: Vec<Line<'static>>,
    pub(crate) foot: Line<'static>,
    /// The line of the body that the keys are about.
    pub(crate) chosen: Option<usize>,
}

/// Where a page is scrolled to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scroll {
    first: usize,
    /// Lines of the body that the window has room for, as last drawn.
    room: usize,
}

impl Scroll {
    /// Moves by what a key says; whether it was such a key.
    pub(crate) fn key(&mut self, key: Key) -> bool {
        let page = self.room.saturating_sub(1).max(1);
        match key {
            Key::Up | Key::Char('k') => self.first = self.first.saturating_sub(1),
            Key::Down | Key::Char('j') => self.first += 1,
            Key::PageUp => self.first = self.first.saturating_sub(page),
            Key::PageDown | Key::Char(' ') => self.first += page,
            Key::Home | Key::Char('g') => self.first = 0,
            Key::End | Key::Char('G') => self.first = usize::MAX / 2,
            _ => return false,
        }
        true
    }

    /// Lines that a page key moves by.
    pub(crate) fn page(&self) -> usize {
        self.room.saturating_sub(1).max(1)
    }

    /// Fits the position to a body of so many lines in so much room, with the chosen line in sight.
    fn fit(&mut self, lines: usize, room: usize, chosen: Option<usize>) {
        self.room = room;
        if let Some(chosen) = chosen {
            self.first = self.first.clamp((chosen + 1).saturating_sub(room), chosen);
        }
        self.first = self.first.min(lines.saturating_sub(room));
    }
}

impl Page {
    pub(crate) fn draw(&self, frame: &mut Frame<'_>, scroll: &mut Scroll) {
        let area = frame.area();
        self.draw_on(area, frame.buffer_mut(), scroll);
    }

    fn draw_on(&self, area: Rect, buffer: &mut Buffer, scroll: &mut Scroll) {
        if area.is_empty() {
            return;
        }
        let height = usize::from(area.height);
        // In a low window the body counts most, then the foot, then the head.
        let foot = usize::from(height >= 2);
        let columns = self.columns.as_ref().filter(|_| height >= foot + 2);
        let rest = height - foot - usize::from(columns.is_some());
        let head = self.head.len().min(rest.saturating_sub(3.min(self.body.len()))).min((height / 3).max(3));
        let room = rest - head;
        scroll.fit(self.body.len(), room, self.chosen);
        let mut y = area.top();
        let mut line = |line: &Line<'_>, style: Style| {
            buffer.set_line(area.left(), y, line, area.width);
            if style != Style::default() {
                buffer.set_style(Rect::new(area.left(), y, area.width, 1), style);
            }
            y += 1;
        };
        for text in self.head[..head].iter().chain(columns) {
            line(text, Style::default());
        }
        let shown = self.body.iter().enumerate().skip(scroll.first).take(room);
        for (index, text) in shown {
            let chosen = self.chosen == Some(index);
            line(text, if chosen { Style::default().add_modifier(Modifier::REVERSED) } else { Style::default() });
        }
        if foot > 0 {
            self.draw_foot(area, room, buffer, scroll);
        }
    }

    fn draw_foot(&self, area: Rect, room: usize, buffer: &mut Buffer, scroll: &Scroll) {
        let y = area.bottom() - 1;
        let style = Style::default().add_modifier(Modifier::REVERSED);
        buffer.set_style(Rect::new(area.left(), y, area.width, 1), style);
        let lines = self.body.len();
        let place = match lines > room {
            true => format!(" {}-{} / {lines} ", scroll.first + 1, (scroll.first + room).min(lines)),
            false => String::new(),
        };
        // Where the window is too narrow for both, the keys give way.
        let width = area.width as usize;
        let place = if place.len() + 8 > width { String::new() } else { place };
        let keys = u16::try_from(width - place.len()).unwrap_or(area.width);
        buffer.set_line(area.left(), y, &self.foot, keys);
        buffer.set_string(area.left() + keys, y, &place, style);
    }

    /// The page as text, as wide as a terminal of so many columns, without its foot.
    pub(crate) fn text(&self, width: u16) -> String {
        let lines = || self.head.iter().chain(&self.columns).chain(&self.body);
        let height = u16::try_from(lines().count()).unwrap_or(u16::MAX);
        let area = Rect::new(0, 0, width, 1);
        let mut text = String::new();
        for line in lines().take(usize::from(height)) {
            let mut buffer = Buffer::empty(area);
            buffer.set_line(0, 0, line, width);
            let row: String = buffer.content().iter().map(|cell| cell.symbol()).collect();
            text.push_str(row.trim_end());
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;

    fn page(head: usize, body: usize) -> Page {
        Page {
            head: (0..head).map(|number| Line::from(format!("head {number}"))).collect(),
            columns: None,
            body: (0..body).map(|number| Line::from(format!("body {number}"))).collect(),
            foot: Line::from("q quit"),
            chosen: None,
        }
    }

    fn drawn(page: &Page, width: u16, height: u16, scroll: &mut Scroll) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| page.draw(frame, scroll)).unwrap();
        let buffer = terminal.backend().buffer().clone();
        buffer
            .content()
            .chunks(usize::from(width).max(1))
            .map(|row| row.iter().map(|cell| cell.symbol()).collect::<String>().trim_end().to_owned())
            .collect()
    }

    #[test]
    fn the_head_stays_and_the_body_scrolls() {
        let mut scroll = Scroll::default();
        let lines = drawn(&page(1, 9), 30, 5, &mut scroll);
        assert_eq!(lines[..4], ["head 0", "body 0", "body 1", "body 2"]);
        assert!(lines[4].starts_with("q quit") && lines[4].ends_with("1-3 / 9"), "{lines:?}");
        assert!(scroll.key(Key::PageDown) && scroll.key(Key::Down));
        assert_eq!(drawn(&page(1, 9), 30, 5, &mut scroll)[1], "body 3");
        assert!(scroll.key(Key::End));
        assert_eq!(drawn(&page(1, 9), 30, 5, &mut scroll)[1..4], ["body 6", "body 7", "body 8"]);
        // A body that has become shorter is shown to its end.
        assert_eq!(drawn(&page(1, 2), 30, 5, &mut scroll)[1..4], ["body 0", "body 1", ""]);
        assert!(!scroll.key(Key::Char('x')));
    }

    #[test]
    fn the_heads_of_columns_stay_in_sight() {
        let mut scroll = Scroll::default();
        let page = Page { columns: Some(Line::from("NAME")), ..page(5, 9) };
        scroll.key(Key::End);
        let expected = ["head 0", "head 1", "head 2", "NAME", "body 6", "body 7", "body 8"];
        assert_eq!(drawn(&page, 30, 8, &mut scroll)[..7], expected);
        assert_eq!(drawn(&page, 30, 3, &mut scroll)[..2], ["NAME", "body 6"]);
        assert!(page.text(30).contains("head 4\nNAME\nbody 0\n"));
    }

    #[test]
    fn the_chosen_line_is_in_sight() {
        let mut scroll = Scroll::default();
        let mut page = page(1, 9);
        for (chosen, first) in [(0, "body 0"), (5, "body 3"), (4, "body 3"), (2, "body 2"), (8, "body 6")] {
            page.chosen = Some(chosen);
            assert_eq!(drawn(&page, 30, 5, &mut scroll)[1], first, "{chosen}");
        }
    }

    #[test]
    fn windows_of_any_size_are_drawn_on() {
        for width in 0..30 {
            for height in 0..12 {
                let mut scroll = Scroll::default();
                let lines = drawn(&page(4, 40), width, height, &mut scroll);
                assert_eq!(lines.len(), if width == 0 { 0 } else { usize::from(height) });
                if width > 20 && height > 1 {
                    assert!(lines.iter().any(|line| line == "body 0"), "{lines:?}");
                }
            }
        }
        assert_eq!(page(1, 1).text(6), "head 0\nbody 0\n");
        assert_eq!(page(1, 0).text(3), "hea\n");
    }
}
