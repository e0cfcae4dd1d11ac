//! Tables on a page: columns as wide as what is in them, the less important ones left out where the window is narrow.

use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};

use crate::table::{Align, shorten, shorten_middle};

/// A column of a table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    head: &'static str,
    align: Align,
    widest: usize,
    /// Columns with the highest number are left out first; those with 0 never are.
    rank: u8,
}

impl Column {
    pub(crate) const fn left(head: &'static str, widest: usize, rank: u8) -> Self {
        Self { head, align: Align::Left, widest, rank }
    }

    pub(crate) const fn right(head: &'static str, widest: usize, rank: u8) -> Self {
        Self { head, align: Align::Right, widest, rank }
    }
}

/// What stands in a column.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Cell {
    pub(crate) text: String,
    pub(crate) style: Style,
}

impl Cell {
    pub(crate) fn styled(text: impl Into<String>, style: Style) -> Self {
        Self { text: text.into(), style }
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self { text, style: Style::default() }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::from(text.to_owned())
    }
}

/// A table laid out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Grid {
    pub(crate) head: Line<'static>,
    pub(crate) rows: Vec<Line<'static>>,
}

/// Columns are two spaces apart.
const GAP: usize = 2;

/// Lays rows out for a window of so many columns. The first column is shortened before others are left out entirely.
pub(crate) fn grid(columns: &[Column], rows: &[Vec<Cell>], width: usize) -> Grid {
    let mut widths: Vec<usize> = columns
        .iter()
        .enumerate()
        .map(|(index, column)| {
            let cells = rows.iter().filter_map(|row| row.get(index)).map(|cell| cell.text.chars().count());
            cells.max().unwrap_or(0).min(column.widest).max(column.head.chars().count())
        })
        .collect();
    let mut shown: Vec<usize> = (0..columns.len()).collect();
    let total = |shown: &[usize], widths: &[usize]| -> usize {
        shown.iter().map(|&index| widths[index] + GAP).sum::<usize>().saturating_sub(GAP)
    };
    loop {
        let excess = total(&shown, &widths).saturating_sub(width);
        if excess == 0 {
            break;
        }
        // A third of the window is enough for a name, if that saves a column.
        let least = (width / 3).max(8).min(widths.first().copied().unwrap_or(0));
        if let Some(first) = widths.first_mut().filter(|first| **first >= least + excess) {
            *first -= excess;
            break;
        }
        let Some(worst) = shown.iter().copied().filter(|&index| columns[index].rank > 0).max_by_key(|&index| {
            // The rightmost of those that matter least.
            (columns[index].rank, index)
        }) else {
            // Lines that are too long all the same are cut where they are drawn.
            if let Some(first) = widths.first_mut() {
                *first = least.max(first.saturating_sub(excess));
            }
            break;
        };
        shown.retain(|&index| index != worst);
    }
    let bold = Style::default().add_modifier(Modifier::BOLD);
    let head: Vec<Cell> = columns.iter().map(|column| Cell::styled(column.head, bold)).collect();
    let line = |cells: &[Cell]| -> Line<'static> {
        let mut spans = Vec::with_capacity(2 * shown.len());
        for (position, &index) in shown.iter().enumerate() {
            let Some(cell) = cells.get(index) else { continue };
            // The first column names the row.
            let shorten = if index == 0 { shorten_middle } else { shorten };
            let text = shorten(&cell.text, widths[index]);
            let pad = " ".repeat(widths[index] - text.chars().count());
            if position > 0 {
                spans.push(Span::raw(" ".repeat(GAP)));
            }
            match columns[index].align {
                Align::Left => spans.extend([Span::styled(text, cell.style), Span::raw(pad)]),
                Align::Right => spans.extend([Span::raw(pad), Span::styled(text, cell.style)]),
            }
        }
        Line::from(spans)
    };
    Grid { head: line(&head), rows: rows.iter().map(|row| line(row)).collect() }
}

/// Parts one behind the other, on as many lines as they need; no part is broken.
pub(crate) fn wrap(parts: Vec<Span<'static>>, width: usize) -> Vec<Line<'static>> {
    const GAP: usize = 3;
    let mut lines: Vec<Vec<Span<'static>>> = vec![Vec::new()];
    let mut used = 0;
    for part in parts {
        let length = part.content.chars().count();
        if used > 0 && used + GAP + length > width {
            lines.push(Vec::new());
            used = 0;
        }
        if let Some(line) = lines.last_mut() {
            if used > 0 {
                line.push(Span::raw(" ".repeat(GAP)));
                used += GAP;
            }
            used += length;
            line.push(part);
        }
    }
    lines.into_iter().map(Line::from).collect()
}

/// What stands at both ends of a line; below each other where there is no room for both.
pub(crate) fn ends(left: Vec<Span<'static>>, right: String, width: usize) -> Vec<Line<'static>> {
    let used: usize = left.iter().map(|span| span.content.chars().count()).sum();
    match width.checked_sub(used + right.chars().count()).filter(|gap| *gap >= 2) {
        Some(gap) => {
            let line: Vec<_> = left.into_iter().chain([Span::raw(" ".repeat(gap)), Span::raw(right)]).collect();
            vec![Line::from(line)]
        }
        None => wrap(left.into_iter().filter(|span| !span.content.trim().is_empty()).collect(), width),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 4] = [
        Column::left("NAME", 30, 0),
        Column::right("RATE", 8, 0),
        Column::right("CPU", 6, 1),
        Column::left("NOTE", 20, 2),
    ];

    fn texts(width: usize) -> Vec<String> {
        let row = |cells: [&str; 4]| cells.map(Cell::from).to_vec();
        let rows = [row(["well-monitoring.checked", "160.0", "1.2 %", "nothing"]), row(["x", "2", "", "\u{1b}"])];
        let Grid { head, rows } = grid(&COLUMNS, &rows, width);
        std::iter::once(head).chain(rows).map(|line| line.to_string().trim_end().to_owned()).collect()
    }

    #[test]
    fn a_wide_window_shows_everything() {
        let expected = [
            "NAME                      RATE    CPU  NOTE",
            "well-monitoring.checked  160.0  1.2 %  nothing",
            "x                            2",
        ];
        assert_eq!(texts(80), expected);
    }

    #[test]
    fn a_narrow_window_shortens_the_name_and_then_leaves_columns_out() {
        assert_eq!(texts(43)[1], "well-monit…g.checked  160.0  1.2 %  nothing");
        assert_eq!(texts(30)[1], "well-mon…checked  160.0  1.2 %");
        assert_eq!(texts(18)[1], "well-…ecked  160.0");
        for width in 0..60 {
            let fits = texts(width).iter().all(|line| line.chars().count() <= width.max(15));
            assert!(fits, "{width}: {:?}", texts(width));
        }
    }
}
