//! The alarms that somebody watches: what is shown, what is chosen, what keys do.

use std::collections::BTreeMap;

use ducto_record::Quality;
use ducto_site::protocol::Ask;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use serde_json::Value as Json;

use super::texts::{BACK, DETAILS, HELP, LIST};
use super::{
    FIRST, Row, Verb, action, columns, is_active, is_first, limit, marked_name, name, needs_somebody, sort, text, time,
    value,
};
use crate::screen::{Cell, Grid, Key, Page, Scroll, ends, grid};
use crate::times::Zone;
use crate::words::Language;

/// Columns below which states are said in one word.
const NARROW: usize = 70;

/// Longest reason that can be typed.
const REASON: usize = 200;

/// Which alarm: pipeline and node, tag or asset, name.
type Id = (String, String, String);

fn id(row: &Row) -> Id {
    (text(row, "pipeline").to_owned(), text(row, "node").to_owned(), name(row))
}

/// What the keys are about.
#[derive(Clone, Debug, Default, PartialEq)]
enum Mode {
    #[default]
    List,
    Details,
    Help,
    /// A reason is typed for what is to be done.
    Reason {
        verb: Verb,
        alarms: Vec<Id>,
        reason: String,
    },
}

/// What a key wants.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Wish {
    Quit,
    Draw,
    Nothing,
    /// Something to be asked of the site.
    Do(Vec<Ask>),
}

/// What is known of the site beside its alarms.
#[derive(Clone, Debug)]
pub(super) struct Manners {
    pub(super) site: String,
    pub(super) language: Language,
    pub(super) zone: Zone,
}

pub(super) struct Board {
    manners: Manners,
    rows: BTreeMap<Id, Row>,
    /// Normal ones too.
    all: bool,
    mode: Mode,
    /// Stays on its alarm, wherever that moves to.
    chosen: Option<Id>,
    message: Option<(bool, String)>,
    pub(super) scroll: Scroll,
}

impl Board {
    pub(super) fn new(manners: Manners, all: bool) -> Self {
        Self {
            manners,
            rows: BTreeMap::new(),
            all,
            mode: Mode::List,
            chosen: None,
            message: None,
            scroll: Scroll::default(),
        }
    }

    pub(super) fn take(&mut self, row: Row) {
        self.rows.insert(id(&row), row);
    }

    pub(super) fn forget(&mut self) {
        self.rows.clear();
    }

    /// What came of what was done, or why nothing is known.
    pub(super) fn say(&mut self, good: bool, message: String) {
        self.message = Some((good, message));
    }

    /// The alarms that are shown, what needs somebody first.
    fn shown(&self) -> Vec<Row> {
        let mut rows: Vec<Row> =
            self.rows.values().filter(|row| self.all || text(row, "state") != "A").cloned().collect();
        sort(&mut rows);
        rows
    }

    /// Where the chosen alarm stands; the first where none is chosen, or where it is shown no more.
    fn position(&self, shown: &[Row]) -> Option<usize> {
        let chosen = self.chosen.as_ref().and_then(|chosen| shown.iter().position(|row| id(row) == *chosen));
        chosen.or(if shown.is_empty() { None } else { Some(0) })
    }

    pub(super) fn key(&mut self, key: Key) -> Wish {
        if key == Key::Ctrl('c') {
            return Wish::Quit;
        }
        match &mut self.mode {
            Mode::Reason { .. } => self.reason_key(key),
            Mode::Help | Mode::Details => match key {
                Key::Char('q' | '?' | 'd' | '\n') | Key::Esc => {
                    self.mode = Mode::List;
                    self.scroll = Scroll::default();
                    Wish::Draw
                }
                Key::Char('a') if self.mode == Mode::Details => self.ask_reason(Verb::Acknowledge, false),
                Key::Char('r') if self.mode == Mode::Details => self.ask_reason(Verb::Reset, false),
                key if self.scroll.key(key) => Wish::Draw,
                _ => Wish::Nothing,
            },
            Mode::List => self.list_key(key),
        }
    }

    fn list_key(&mut self, key: Key) -> Wish {
        let page = isize::try_from(self.scroll.page()).unwrap_or(1);
        match key {
            Key::Char('q') | Key::Esc => return Wish::Quit,
            Key::Up | Key::Char('k') => self.step(-1),
            Key::Down | Key::Char('j') => self.step(1),
            Key::PageUp => self.step(-page),
            Key::PageDown | Key::Char(' ') => self.step(page),
            Key::Home | Key::Char('g') => self.step(isize::MIN / 2),
            Key::End | Key::Char('G') => self.step(isize::MAX / 2),
            Key::Char('n') => self.all = !self.all,
            Key::Char('?' | 'h') => self.open(Mode::Help),
            Key::Char('d' | '\n') if !self.shown().is_empty() => self.open(Mode::Details),
            Key::Char('a') => return self.ask_reason(Verb::Acknowledge, false),
            Key::Char('A') => return self.ask_reason(Verb::Acknowledge, true),
            Key::Char('r') => return self.ask_reason(Verb::Reset, false),
            _ => return Wish::Nothing,
        }
        Wish::Draw
    }

    fn open(&mut self, mode: Mode) {
        self.mode = mode;
        self.scroll = Scroll::default();
    }

    fn step(&mut self, by: isize) {
        let shown = self.shown();
        let Some(position) = self.position(&shown) else { return };
        let position = position.saturating_add_signed(by).min(shown.len() - 1);
        self.chosen = shown.get(position).map(id);
    }

    /// Asks why something is to be done to the chosen alarm, or to all that need somebody.
    fn ask_reason(&mut self, verb: Verb, every: bool) -> Wish {
        let shown = self.shown();
        let alarms: Vec<Id> = match every {
            true => shown.iter().filter(|row| needs_somebody(row)).map(id).collect(),
            false => self.position(&shown).and_then(|at| shown.get(at)).map(id).into_iter().collect(),
        };
        if alarms.is_empty() {
            return Wish::Nothing;
        }
        // The alarm that was looked at is the one that is meant, also when others come meanwhile.
        if !every {
            self.chosen = alarms.first().cloned();
        }
        self.message = None;
        self.mode = Mode::Reason { verb, alarms, reason: String::new() };
        Wish::Draw
    }

    fn reason_key(&mut self, key: Key) -> Wish {
        let Mode::Reason { verb, alarms, reason } = &mut self.mode else { return Wish::Nothing };
        match key {
            Key::Esc => self.mode = Mode::List,
            Key::Char('\n') => {
                let reason = reason.trim();
                let reason = (!reason.is_empty()).then(|| reason.to_owned());
                let rows = alarms.iter().filter_map(|id| self.rows.get(id));
                let asks = rows.map(|row| action(*verb, row, None, reason.clone())).collect();
                self.mode = Mode::List;
                return Wish::Do(asks);
            }
            Key::Backspace => {
                reason.pop();
            }
            Key::Ctrl('u') => reason.clear(),
            Key::Char(letter) if !letter.is_control() && reason.chars().count() < REASON => reason.push(letter),
            _ => return Wish::Nothing,
        }
        Wish::Draw
    }

    /// What is on the screen at this time, in a window of so many columns.
    pub(super) fn page(&self, now: i64, width: u16) -> Page {
        let width = usize::from(width);
        let language = self.manners.language;
        match &self.mode {
            Mode::Help => Page {
                head: self.head(now, width),
                columns: None,
                body: HELP.pick(language).lines().map(Line::from).collect(),
                foot: Line::from(BACK.pick(language)),
                chosen: None,
            },
            Mode::Details => {
                let shown = self.shown();
                let row = self.position(&shown).and_then(|at| shown.get(at));
                Page {
                    head: self.head(now, width),
                    columns: None,
                    body: row.map(|row| self.details(row, width)).unwrap_or_default(),
                    foot: Line::from(DETAILS.pick(language)),
                    chosen: None,
                }
            }
            Mode::List | Mode::Reason { .. } => self.list(now, width),
        }
    }

    fn head(&self, now: i64, width: usize) -> Vec<Line<'static>> {
        let Manners { site, language, zone } = &self.manners;
        let active = self.rows.values().filter(|row| is_active(row)).count();
        let waiting = self.rows.values().filter(|row| needs_somebody(row)).count();
        let counts = match language {
            Language::English => format!("{active} active, {waiting} to acknowledge"),
            Language::Spanish => format!("{active} activas, {waiting} por reconocer"),
        };
        let clock = format!("{} {}", zone.seconds(now), zone.name());
        let style = if waiting > 0 { Style::new().fg(Color::Red).add_modifier(Modifier::BOLD) } else { Style::new() };
        let left = vec![Span::raw(site.clone()), Span::raw("  "), Span::styled(counts, style)];
        let mut lines = ends(left, clock, width);
        lines.push(match &self.message {
            Some((true, message)) => Line::styled(message.clone(), Style::new().fg(Color::Green)),
            Some((false, message)) => Line::styled(message.clone(), Style::new().fg(Color::Yellow)),
            None if self.rows.values().any(is_first) => {
                Line::styled(format!("{FIRST} {}", language.first_of_group()), Style::new().add_modifier(Modifier::DIM))
            }
            None => Line::default(),
        });
        lines
    }

    fn list(&self, now: i64, width: usize) -> Page {
        let language = self.manners.language;
        let shown = self.shown();
        let narrow = width < NARROW;
        let cells: Vec<Vec<Cell>> = shown.iter().map(|row| self.cells(row, now, narrow)).collect();
        let Grid { head: columns, rows } = grid(&columns(language), &cells, width);
        let (columns, body) = match rows.is_empty() {
            true => (None, vec![Line::from(language.no_alarms())]),
            false => (Some(columns), rows),
        };
        let mut foot = LIST.pick(language).to_owned();
        if let Mode::Reason { verb, alarms, reason } = &self.mode {
            foot = self.question(*verb, alarms, reason, width);
        }
        let head = self.head(now, width);
        Page { head, columns, chosen: self.position(&shown), body, foot: Line::from(foot) }
    }

    /// The line in which a reason is typed; its end is always in sight.
    fn question(&self, verb: Verb, alarms: &[Id], reason: &str, width: usize) -> String {
        let language = self.manners.language;
        let does = match verb {
            Verb::Acknowledge => language.pick("acknowledge", "reconocer"),
            Verb::Reset => language.pick("reset", "restablecer"),
        };
        let what = match alarms {
            [(_, _, name)] => name.clone(),
            several => format!("{} {}", several.len(), language.pick("alarms", "alarmas")),
        };
        let why = language.pick("reason", "motivo");
        let question = format!("{does} {what}, {why}: ");
        let room = width.saturating_sub(question.chars().count() + 1).max(8);
        let skipped = reason.chars().count().saturating_sub(room);
        let typed: String = reason.chars().skip(skipped).collect();
        format!("{question}{typed}_")
    }

    fn cells(&self, row: &Row, now: i64, narrow: bool) -> Vec<Cell> {
        let style = match text(row, "state") {
            "B" => Style::new().fg(Color::Red).add_modifier(Modifier::BOLD),
            "E" => Style::new().fg(Color::Red),
            "D" => Style::new().fg(Color::Yellow),
            "A" => Style::new().add_modifier(Modifier::DIM),
            _ => Style::new(),
        };
        let language = self.manners.language;
        vec![
            Cell::styled(marked_name(row), style),
            Cell::styled(
                if narrow { language.short_state(text(row, "state")) } else { language.state(text(row, "state")) },
                style,
            ),
            value(row).into(),
            limit(row).into(),
            text(row, "class").into(),
            self.manners.zone.since(time(row), now).into(),
        ]
    }

    /// Everything that is known of an alarm.
    fn details(&self, row: &Row, width: usize) -> Vec<Line<'static>> {
        let Manners { language, zone, .. } = &self.manners;
        let number =
            |field: &str| row.get(field).and_then(Json::as_i64).map(|number| number.to_string()).unwrap_or_default();
        let described = row.get("description").and_then(Json::as_object);
        let code = language.pick("en", "es");
        let description = described.and_then(|texts| texts.get(code).or_else(|| texts.values().next()));
        let quality = row.get("quality").and_then(Json::as_u64).and_then(|code| u16::try_from(code).ok());
        let first = match row.get("first").and_then(Json::as_bool) {
            Some(true) => language.first_of_group(),
            Some(false) => language.pick("no", "no"),
            None => "",
        };
        let fields: [(&str, String); 13] = [
            (language.pick("alarm", "alarma"), name(row)),
            (language.pick("of", "de"), description.and_then(Json::as_str).unwrap_or_default().to_owned()),
            (language.pick("state", "estado"), language.state(text(row, "state")).to_owned()),
            (language.pick("last event", "último evento"), language.event(text(row, "event")).to_owned()),
            (language.pick("at", "a las"), format!("{} {}", zone.date(time(row)), zone.clock(time(row)))),
            (language.pick("value", "valor"), value(row)),
            (language.pick("limit", "límite"), limit(row)),
            (
                language.pick("quality", "calidad"),
                quality.map(|code| language.quality(Quality(code)).to_owned()).unwrap_or_default(),
            ),
            (language.pick("class", "clase"), text(row, "class").to_owned()),
            (language.pick("occurrence", "ocurrencia"), number("occurrence")),
            (language.pick("first out", "primera"), first.to_owned()),
            (language.pick("by", "por"), text(row, "user").to_owned()),
            (language.pick("reason", "motivo"), text(row, "reason").to_owned()),
        ];
        let widest = fields.iter().map(|(label, _)| label.chars().count()).max().unwrap_or(0);
        let from = format!("{}.{}", text(row, "pipeline"), text(row, "node"));
        let all = fields.into_iter().chain([(language.pick("node", "nodo"), from)]);
        let mut lines = Vec::new();
        for (label, text) in all.filter(|(_, text)| !text.is_empty()) {
            let room = width.saturating_sub(widest + 2).max(8);
            let letters: Vec<char> = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            for (index, part) in letters.chunks(room).enumerate() {
                let label = if index == 0 { label } else { "" };
                lines.push(Line::from(format!("{label:<widest$}  {}", part.iter().collect::<String>())));
            }
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use serde_json::json;

    use super::*;

    /// 2026-01-01 15:00:00 UTC.
    const NOW: i64 = 1_767_279_600_000_000;

    fn row(of: &str, alarm: &str, state: &str, second: u32, first: Option<bool>) -> Row {
        let value = json!({"tag": of, "alarm": alarm, "state": state, "time": format!("2026-01-01T14:59:{second:02}Z"),
            "event": "raised", "value": 2612.4, "limit": 2500.0, "class": "process", "unit": "psig", "first": first,
            "pipeline": "well-monitoring", "node": "alarms", "quality": 192, "occurrence": 3, "user": null,
            "description": {"es": "Presión de cabeza", "en": "Tubing head pressure"}});
        value.as_object().cloned().unwrap_or_default()
    }

    fn board(language: Language) -> Board {
        let manners = Manners { site: "FIELD-NORTE-001".to_owned(), language, zone: Zone::named("America/Bogota") };
        let mut board = Board::new(manners, false);
        board.take(row("WELL-001.THP", "H", "C", 10, None));
        board.take(row("WELL-002.ESP_MOTOR_TEMPERATURE", "deviation", "B", 20, Some(true)));
        board.take(row("WELL-002.ESP_CURRENT", "HH", "B", 21, Some(false)));
        board.take(row("WELL-003.CHP", "L", "E", 5, None));
        board.take(row("WELL-004.CHP", "L", "A", 30, None));
        board
    }

    fn drawn(board: &mut Board, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        let page = board.page(NOW, width);
        terminal.draw(|frame| page.draw(frame, &mut board.scroll)).unwrap();
        if width == 0 { String::new() } else { terminal.backend().to_string() }
    }

    fn chosen(board: &Board) -> String {
        let shown = board.shown();
        board.position(&shown).map(|at| name(&shown[at])).unwrap_or_default()
    }

    #[test]
    fn a_list_on_terminals_of_both_sizes() {
        insta::assert_snapshot!("list_80x24", drawn(&mut board(Language::English), 80, 24));
        insta::assert_snapshot!("list_es_80x24", drawn(&mut board(Language::Spanish), 80, 24));
        insta::assert_snapshot!("list_40x12", drawn(&mut board(Language::English), 40, 12));
    }

    #[test]
    fn details_and_a_reason_on_terminals_of_both_sizes() {
        let mut board = board(Language::Spanish);
        board.key(Key::Char('\n'));
        insta::assert_snapshot!("details_es_80x24", drawn(&mut board, 80, 24));
        insta::assert_snapshot!("details_es_40x12", drawn(&mut board, 40, 12));
        board.key(Key::Char('a'));
        for letter in "visto en el pozo con el capataz, se espera la cuadrilla".chars() {
            board.key(Key::Char(letter));
        }
        insta::assert_snapshot!("reason_es_80x24", drawn(&mut board, 80, 24));
        board.key(Key::Esc);
        board.key(Key::Char('?'));
        insta::assert_snapshot!("help_es_80x24", drawn(&mut board, 80, 24));
    }

    #[test]
    fn no_size_of_a_window_is_too_small() {
        for keys in ["", "\n", "?", "ax", "An"] {
            for (width, height) in [(0, 0), (1, 1), (3, 2), (9, 3), (20, 4), (200, 60)] {
                let mut board = board(Language::English);
                for key in keys.chars() {
                    board.key(Key::Char(key));
                }
                drawn(&mut board, width, height);
                board.forget();
                drawn(&mut board, width, height);
            }
        }
    }

    #[test]
    fn the_chosen_line_stays_on_its_alarm() {
        let mut board = board(Language::English);
        assert_eq!(chosen(&board), "WELL-002.ESP_CURRENT.HH");
        board.key(Key::Down);
        assert_eq!(chosen(&board), "WELL-002.ESP_MOTOR_TEMPERATURE.deviation");
        board.take(row("WELL-009.THP", "HH", "B", 59, None));
        assert_eq!(chosen(&board), "WELL-002.ESP_MOTOR_TEMPERATURE.deviation");
        board.key(Key::Home);
        assert_eq!(chosen(&board), "WELL-009.THP.HH");
        board.key(Key::End);
        assert_eq!(chosen(&board), "WELL-001.THP.H");
        board.key(Key::Char('n'));
        board.key(Key::End);
        assert_eq!(chosen(&board), "WELL-004.CHP.L");
        // What is shown no more leaves the choice to the first.
        board.key(Key::Char('n'));
        assert_eq!(chosen(&board), "WELL-009.THP.HH");
    }

    #[test]
    fn an_alarm_is_acknowledged_with_a_reason() {
        let mut board = board(Language::English);
        board.key(Key::Char('a'));
        // Another comes while the reason is typed, and is not what is meant. The keys of the list are letters now.
        board.take(row("WELL-009.THP", "HH", "B", 59, None));
        for letter in "aqseén".chars() {
            board.key(Key::Char(letter));
        }
        board.key(Key::Backspace);
        let Wish::Do(asks) = board.key(Key::Char('\n')) else { panic!("nothing is done") };
        let [Ask::Act { verb, arguments, user, reason }] = asks.as_slice() else { panic!("{asks:?}") };
        assert_eq!((verb.as_str(), user.as_deref(), reason.as_deref()), ("acknowledge", None, Some("aqseé")));
        assert_eq!(arguments["tag"], "WELL-002.ESP_CURRENT");
        let Wish::Do(asks) = (board.key(Key::Char('A')), board.key(Key::Char('\n'))).1 else {
            panic!("nothing is done")
        };
        assert_eq!(asks.len(), 4);
        board.key(Key::Char('r'));
        assert_eq!((board.key(Key::Esc), &board.mode), (Wish::Draw, &Mode::List));
        assert_eq!(board.key(Key::Ctrl('c')), Wish::Quit);
    }
}
