//! What waits to be sent, in the overview.

use ratatui::style::Style;
use ratatui::text::Line;

use super::super::figures::Stream;
use super::super::texts::{bytes, count, rate};
use super::{BAD, DOUBTFUL, Drawing, indented};
use crate::screen::{Cell, Column, Grid, grid};

impl Drawing<'_> {
    /// What waits to be sent to other machines.
    pub(super) fn outbox_lines(&self) -> Vec<Line<'static>> {
        let words = self.words();
        let [name, rows_head, batches, waiting, disk, oldest, lost] = words.outbox;
        let columns = [
            Column::left(name, 30, 0),
            Column::right(rows_head, 9, 1),
            Column::right(batches, 8, 0),
            Column::right(waiting, 9, 3),
            Column::right(disk, 9, 4),
            Column::right(oldest, 14, 0),
            Column::right(lost, 8, 2),
        ];
        let row = |stream: &Stream| -> Vec<Cell> {
            let oldest = stream.oldest_micros.map(|time| self.zone.since(time, self.figures.micros));
            let lost = if stream.lost_rows > 0 { BAD } else { Style::new() };
            let state = if stream.why.is_some() { DOUBTFUL } else { Style::new() };
            vec![
                Cell::styled(stream.stream.clone(), state),
                rate(stream.rows_per_second).into(),
                count(stream.waiting_batches).into(),
                count(stream.waiting_rows).into(),
                bytes(stream.waiting_bytes).into(),
                oldest.unwrap_or_default().into(),
                Cell::styled(count(stream.lost_rows), lost),
            ]
        };
        let rows: Vec<Vec<Cell>> = self.figures.outbox.iter().map(row).collect();
        let Grid { head, rows } = grid(&columns, &rows, self.width);
        let mut lines = vec![head];
        for (stream, row) in self.figures.outbox.iter().zip(rows) {
            lines.push(row);
            let mut details = Vec::new();
            match &stream.endpoint {
                None => details.push(words.unserved.to_owned()),
                Some(endpoint) => details.extend(stream.why.iter().map(|why| format!("{endpoint}: {why}"))),
            }
            details.extend(stream.lost.iter().map(|(cause, rows)| format!("{cause}: {}", count(*rows))));
            if !details.is_empty() {
                lines.extend(indented(details, self.width));
            }
        }
        lines
    }
}
