//! The pages of `ducto top`, as lines.

mod outbox;

use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};

use super::figures::{Connection, Dataset, Figures, Node, Pipeline};
use super::texts::{bytes, count, gauge, percent, rate, share, short_time};
use super::values::Values;
use super::words::Words;
use crate::causes;
use crate::screen::{Cell, Column, Grid, ends, grid, hanging, wrap};
use crate::table::wrapped;
use crate::times::{Zone, span};
use crate::words::Language;

/// Connections that the overview shows.
const CONNECTIONS: usize = 6;
/// A lag from which on something is wrong.
const LATE: f64 = 5.0;

const BAD: Style = Style::new().fg(Color::Red);
const DOUBTFUL: Style = Style::new().fg(Color::Yellow);
const STRONG: Style = Style::new().add_modifier(Modifier::BOLD);
const QUIET: Style = Style::new().add_modifier(Modifier::DIM);

/// What rows are sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Order {
    /// As in the graph, or as the site names them.
    #[default]
    Given,
    Rate,
    Cpu,
    /// What has errors, drops, or a bad state or quality.
    Trouble,
}

impl Order {
    /// The next of those that a page has.
    pub(super) fn next(self, of: &[Self]) -> Self {
        let at = of.iter().position(|order| *order == self).unwrap_or(0);
        of.get((at + 1) % of.len().max(1)).copied().unwrap_or_default()
    }

    pub(super) fn name(self, words: &Words) -> &'static str {
        match self {
            Self::Given => words.orders[0],
            Self::Rate => words.orders[1],
            Self::Cpu => words.orders[2],
            Self::Trouble => words.orders[3],
        }
    }
}

/// What scrolls on a page, and the heads of its columns, which do not.
pub(super) struct Body {
    pub(super) columns: Option<Line<'static>>,
    pub(super) lines: Vec<Line<'static>>,
}

impl Body {
    /// All of it as lines that scroll together with others.
    fn into_lines(self) -> Vec<Line<'static>> {
        self.columns.into_iter().chain(self.lines).collect()
    }
}

/// What a page is drawn from.
pub(super) struct Drawing<'a> {
    pub(super) figures: &'a Figures,
    pub(super) language: Language,
    pub(super) zone: &'a Zone,
    pub(super) width: usize,
    pub(super) order: Order,
}

impl Drawing<'_> {
    fn words(&self) -> &'static Words {
        Words::of(self.language)
    }

    /// What stands above every page.
    pub(super) fn head(&self, problem: Option<&str>) -> Vec<Line<'static>> {
        let (words, figures) = (self.words(), self.figures);
        let name = format!("{}  {} {}", figures.site, words.up, span(figures.uptime_seconds));
        let clock = format!("{} {}", self.zone.seconds(figures.micros), self.zone.name());
        let mut lines = ends(vec![Span::styled(name, STRONG)], clock, self.width);
        let lag = format!("{} {}", words.lag, short_time(figures.lag_seconds));
        let mut load = vec![
            Span::raw(format!("{} {}", rate(figures.samples_per_second), words.samples)),
            Span::raw(format!("{} {}", rate(figures.entries_per_second), words.entries)),
            Span::styled(lag, if figures.lag_seconds >= LATE { BAD } else { Style::new() }),
            Span::raw(format!("CPU {}", percent(figures.cpu_percent))),
        ];
        if figures.dropped_rows > 0 {
            load.push(Span::styled(format!("{} {}", count(figures.dropped_rows), words.dropped), BAD));
        }
        if figures.clock_steps > 0 {
            load.push(Span::styled(format!("{} {}", figures.clock_steps, words.clock_steps), DOUBTFUL));
        }
        lines.extend(wrap(load, self.width));
        let (log, memory) = (&figures.log, &figures.memory);
        let mut room = vec![
            Span::raw(format!("{} {}", words.memory, bytes(memory.resident))),
            Span::raw(format!("{} {} {} {}", words.buffers, bytes(memory.buffers), words.of, bytes(memory.budget))),
            Span::raw(format!("{} {} {}", words.ring, gauge(log.bytes, log.capacity), share(log.bytes, log.capacity))),
        ];
        if log.waiting * 10 > log.waiting_capacity {
            let text = format!("{} {}", words.waiting, share(log.waiting, log.waiting_capacity));
            room.push(Span::styled(text, DOUBTFUL));
        }
        if figures.clients.taps > 0 {
            room.push(Span::raw(format!("{} {}", words.views, figures.clients.taps)));
        }
        if figures.clients.missed_rows > 0 {
            room.push(Span::raw(format!("{} {}", count(figures.clients.missed_rows), words.missed)));
        }
        if let Some(writes) = figures.disk_writes_per_byte {
            room.push(Span::raw(format!("{writes:.1} {}", words.writes)));
        }
        lines.extend(wrap(room, self.width));
        for alarm in &figures.alarms {
            let text = format!("{}: {}", alarm.name, alarm.why);
            lines.push(Line::styled(crate::table::shorten(&text, self.width), BAD));
        }
        if let Some(problem) = problem {
            lines.push(Line::styled(problem.to_owned(), BAD));
        }
        lines.push(Line::default());
        lines
    }

    pub(super) fn overview(&self) -> Body {
        let mut lines = self.connection_lines(Order::Trouble, Some(CONNECTIONS), false).into_lines();
        lines.push(Line::default());
        lines.extend(self.node_lines(Order::Given, false).into_lines());
        if !self.figures.datasets.is_empty() {
            lines.push(Line::default());
            lines.extend(self.dataset_lines());
        }
        if !self.figures.outbox.is_empty() {
            lines.push(Line::default());
            lines.extend(self.outbox_lines());
        }
        Body { columns: None, lines }
    }

    pub(super) fn pipelines(&self) -> Body {
        self.node_lines(self.order, true)
    }

    pub(super) fn connections(&self) -> Body {
        self.connection_lines(self.order, None, true)
    }

    fn connection_lines(&self, order: Order, most: Option<usize>, details: bool) -> Body {
        let words = self.words();
        let all = &self.figures.connections;
        if all.is_empty() {
            return Body { columns: None, lines: vec![Line::styled(words.no_connections, QUIET)] };
        }
        let mut sorted: Vec<&Connection> = all.iter().collect();
        match order {
            Order::Given | Order::Cpu => {}
            Order::Rate => sorted.sort_by(|a, b| descending(a.samples_per_second, b.samples_per_second)),
            Order::Trouble => sorted.sort_by_key(|connection| std::cmp::Reverse(trouble_of(connection))),
        }
        let shown = most.unwrap_or(sorted.len()).min(sorted.len());
        let rows: Vec<Vec<Cell>> = sorted[..shown].iter().map(|connection| self.connection_row(connection)).collect();
        let [name, state, tags, samples, errors, trip, busy] = words.connections;
        let columns = [
            Column::left(name, 48, 0),
            Column::left(state, 10, 0),
            Column::right(tags, 7, 3),
            Column::right(samples, 10, 0),
            Column::right(errors, 9, 1),
            Column::right(trip, 8, 2),
            Column::right(busy, 6, 4),
        ];
        let Grid { head, rows } = grid(&columns, &rows, self.width);
        let mut lines = Vec::new();
        for (connection, row) in sorted.iter().zip(rows) {
            lines.push(row);
            if details {
                lines.extend(self.connection_details(connection));
            }
        }
        if shown < sorted.len() {
            lines.push(Line::styled(format!("+{} {}", sorted.len() - shown, words.more), QUIET));
        }
        Body { columns: Some(head), lines }
    }

    fn connection_row(&self, connection: &Connection) -> Vec<Cell> {
        let style = match connection.state.as_str() {
            "down" | "failing" => BAD,
            "waiting" | "partial" => DOUBTFUL,
            "up" => Style::new().fg(Color::Green),
            _ => Style::new(),
        };
        let errors = if connection.errors_per_second.is_some_and(|rate| rate > 0.0) { DOUBTFUL } else { Style::new() };
        vec![
            connection.name.as_str().into(),
            Cell::styled(Words::state(self.language, &connection.state), style),
            count(connection.tags as u64).into(),
            rate(connection.samples_per_second).into(),
            Cell::styled(count(connection.errors + connection.failures), errors),
            connection.round_trip_seconds.map(short_time).unwrap_or_default().into(),
            connection.utilisation_percent.map(|share| format!("{share:.0} %")).unwrap_or_default().into(),
        ]
    }

    fn connection_details(&self, connection: &Connection) -> Vec<Line<'static>> {
        let words = self.words();
        let mut parts = Vec::new();
        if connection.silent > 0 {
            parts.push(format!("{} {} {} {}", connection.silent, words.of, connection.devices, words.silent));
        }
        let causes = connection.errors_by_cause.iter().filter(|(_, errors)| **errors > 0);
        let cause = |cause: &str| causes::cause(self.language, cause);
        parts.extend(causes.map(|(name, errors)| format!("{}: {}", cause(name), count(*errors))));
        for (number, text) in [
            (connection.overruns, words.overruns),
            (connection.refused_rows, words.refused),
            (connection.failures, words.restarts),
        ] {
            if number > 0 {
                parts.push(format!("{text}: {}", count(number)));
            }
        }
        let mut lines = indented(parts, self.width);
        if let Some(error) = &connection.last_error {
            let error = causes::error(self.language, error);
            lines.extend(indented(vec![format!("{} {error}", words.last)], self.width));
        }
        lines
    }

    fn node_lines(&self, order: Order, details: bool) -> Body {
        let words = self.words();
        let mut entries: Vec<(Vec<Cell>, Vec<String>)> = Vec::new();
        if order == Order::Given {
            for pipeline in &self.figures.pipelines {
                entries
                    .push((pipeline_row(pipeline), if details { self.pipeline_details(pipeline) } else { Vec::new() }));
                for node in &pipeline.nodes {
                    entries.push((node_row(&format!("  {}", node.id), node), self.node_details(node, details)));
                }
            }
        } else {
            let mut nodes: Vec<(&Pipeline, &Node)> = self
                .figures
                .pipelines
                .iter()
                .flat_map(|pipeline| pipeline.nodes.iter().map(move |node| (pipeline, node)))
                .collect();
            nodes.sort_by(|(_, a), (_, b)| match order {
                Order::Rate => descending(a.rows_per_second, b.rows_per_second),
                Order::Cpu => descending(a.cpu_percent, b.cpu_percent),
                Order::Trouble | Order::Given => trouble_of_node(b).cmp(&trouble_of_node(a)),
            });
            for (pipeline, node) in nodes {
                let name = format!("{}.{}", pipeline.id, node.id);
                entries.push((node_row(&name, node), self.node_details(node, details)));
            }
        }
        let [name, kind, rows, batches, cpu, queue, errors, dropped] = words.nodes;
        let columns = [
            Column::left(name, 44, 0),
            Column::left(kind, 16, 4),
            Column::right(rows, 9, 0),
            Column::right(batches, 8, 3),
            Column::right(cpu, 7, 0),
            Column::right(queue, 7, 2),
            Column::right(errors, 7, 2),
            Column::right(dropped, 9, 1),
        ];
        let (cells, details): (Vec<Vec<Cell>>, Vec<Vec<String>>) = entries.into_iter().unzip();
        let Grid { head, rows } = grid(&columns, &cells, self.width);
        let mut lines = Vec::new();
        for (row, details) in rows.into_iter().zip(details) {
            lines.push(row);
            lines.extend(indented(details, self.width));
        }
        Body { columns: Some(head), lines }
    }

    fn pipeline_details(&self, pipeline: &Pipeline) -> Vec<String> {
        let words = self.words();
        [(pipeline.restarts, words.restarts), (pipeline.lost_entries, words.lost)]
            .into_iter()
            .filter(|(number, _)| *number > 0)
            .map(|(number, text)| format!("{text}: {}", count(number)))
            .collect()
    }

    fn node_details(&self, node: &Node, wanted: bool) -> Vec<String> {
        let mut parts = Vec::new();
        if node.set_aside {
            parts.push(self.words().set_aside.to_owned());
        }
        if node.waits {
            parts.push(self.words().waits.to_owned());
        }
        parts.extend(node.why.clone());
        if wanted {
            let cause = |cause: &str| causes::cause(self.language, cause);
            parts.extend(node.drops.iter().map(|(name, rows)| format!("{}: {}", cause(name), count(*rows))));
        }
        parts
    }

    fn dataset_lines(&self) -> Vec<Line<'static>> {
        let words = self.words();
        let [name, rows_head, buffered, disk, files, committed, errors] = words.datasets;
        let columns = [
            Column::left(name, 30, 0),
            Column::right(rows_head, 9, 0),
            Column::right(buffered, 9, 2),
            Column::right(disk, 9, 1),
            Column::right(files, 6, 4),
            Column::right(committed, 14, 0),
            Column::right(errors, 7, 3),
        ];
        let row = |dataset: &Dataset| -> Vec<Cell> {
            let committed = dataset.committed_micros.map(|time| self.zone.since(time, self.figures.micros));
            let errors = if dataset.last_error.is_some() { BAD } else { Style::new() };
            vec![
                dataset.name.as_str().into(),
                rate(dataset.rows_per_second).into(),
                bytes(dataset.buffered_bytes as u64).into(),
                bytes(dataset.bytes).into(),
                count(dataset.files as u64).into(),
                committed
                    .unwrap_or_else(|| if dataset.files == 0 { words.never } else { words.before }.to_owned())
                    .into(),
                Cell::styled(count(dataset.errors), errors),
            ]
        };
        let rows: Vec<Vec<Cell>> = self.figures.datasets.iter().map(row).collect();
        let Grid { head, rows } = grid(&columns, &rows, self.width);
        let mut lines = vec![head];
        for (dataset, row) in self.figures.datasets.iter().zip(rows) {
            lines.push(row);
            if let Some(error) = &dataset.last_error {
                lines.extend(indented(vec![error.clone()], self.width));
            }
        }
        lines
    }

    /// Where the values come from, for the head of their page.
    pub(super) fn source(&self, values: &Values) -> Option<Vec<Line<'static>>> {
        let text = format!("{} {}", self.words().values_of, values.from()?);
        Some(wrapped(&text, self.width).into_iter().map(|line| Line::styled(line, QUIET)).collect())
    }

    pub(super) fn values(&self, values: &Values) -> Body {
        let words = self.words();
        let shown = values.sorted(self.order == Order::Trouble);
        if shown.is_empty() {
            return Body { columns: None, lines: vec![Line::styled(words.no_values, QUIET)] };
        }
        let mut lines = Vec::new();
        let mut asset = None;
        let mut rows: Vec<Vec<Cell>> = Vec::with_capacity(shown.len());
        // The line of an asset stands before the row with this number.
        let mut assets: Vec<(usize, String)> = Vec::new();
        for (tag, value) in shown {
            let name = match (self.order, tag.rsplit_once('.')) {
                (Order::Given, Some((of, variable))) => {
                    if asset != Some(of) {
                        asset = Some(of);
                        assets.push((rows.len(), of.to_owned()));
                    }
                    format!("  {variable}")
                }
                _ => tag.to_owned(),
            };
            let style = match value.quality.class() {
                ducto_record::QualityClass::Good => Style::new(),
                ducto_record::QualityClass::Uncertain => DOUBTFUL,
                ducto_record::QualityClass::Bad => BAD,
            };
            let age = (self.figures.micros - value.time).max(0) as f64 / 1e6;
            rows.push(vec![
                name.into(),
                Cell::styled(value.text.clone(), style),
                value.unit.as_str().into(),
                Cell::styled(value.words(self.language), style),
                short_time(age).into(),
            ]);
        }
        let [tag, value, unit, quality, age] = words.values;
        let quality_width = match self.width {
            0..70 => 16,
            70..100 => 24,
            _ => 40,
        };
        let columns = [
            Column::left(tag, 40, 0),
            Column::right(value, 16, 0),
            Column::left(unit, 10, 2),
            // The age is worth more than the third check that failed.
            Column::left(quality, quality_width, 0),
            Column::right(age, 11, 3),
        ];
        let Grid { head, rows } = grid(&columns, &rows, self.width);
        let mut assets = assets.into_iter().peekable();
        for (index, row) in rows.into_iter().enumerate() {
            if let Some((_, asset)) = assets.next_if(|(before, _)| *before == index) {
                lines.push(Line::styled(asset, STRONG));
            }
            lines.push(row);
        }
        Body { columns: Some(head), lines }
    }

    pub(super) fn help(&self) -> Body {
        Body { columns: None, lines: hanging(self.words().help, self.width) }
    }
}

fn pipeline_row(pipeline: &Pipeline) -> Vec<Cell> {
    let bad = |number: u64| Cell::styled(count(number), if number > 0 { BAD } else { STRONG });
    vec![
        Cell::styled(pipeline.id.as_str(), STRONG),
        Cell::default(),
        Cell::default(),
        Cell::default(),
        Cell::styled(percent(pipeline.cpu_percent), STRONG),
        Cell::styled(count(pipeline.behind), STRONG),
        bad(pipeline.restarts),
        bad(pipeline.lost_entries),
    ]
}

fn node_row(name: &str, node: &Node) -> Vec<Cell> {
    let dropping = node.drops_per_second.is_some_and(|rate| rate > 0.0);
    vec![
        Cell::styled(name, if node.why.is_some() { BAD } else { Style::new() }),
        Cell::styled(node.operator.as_str(), QUIET),
        rate(node.rows_per_second).into(),
        rate(node.batches_per_second).into(),
        percent(node.cpu_percent).into(),
        count(node.queued).into(),
        Cell::styled(count(node.errors), if node.errors > 0 { BAD } else { Style::new() }),
        Cell::styled(count(node.dropped()), if dropping { DOUBTFUL } else { Style::new() }),
    ]
}

/// Remarks below a row.
fn indented(parts: Vec<String>, width: usize) -> Vec<Line<'static>> {
    const INDENT: usize = 4;
    let room = width.saturating_sub(INDENT).max(8);
    wrapped(&parts.join("; "), room)
        .into_iter()
        .map(|line| Line::styled(format!("{}{line}", " ".repeat(INDENT)), QUIET))
        .collect()
}

/// What is larger first; what is not known last.
fn descending(a: Option<f64>, b: Option<f64>) -> std::cmp::Ordering {
    b.unwrap_or(-1.0).total_cmp(&a.unwrap_or(-1.0))
}

/// How much a connection needs somebody.
fn trouble_of(connection: &Connection) -> (u8, u64) {
    let state = match connection.state.as_str() {
        "failing" => 4,
        "down" => 3,
        "partial" => 2,
        "waiting" => 1,
        _ => 0,
    };
    (state, connection.errors)
}

fn trouble_of_node(node: &Node) -> (bool, u64, u64) {
    (node.why.is_some(), node.errors, node.dropped())
}
