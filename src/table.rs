//! Rows of text with aligned columns, for a terminal.

/// A column of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// Lays rows out under a header, columns two spaces apart; what is longer than `width` characters is cut with `…`.
/// A table without rows is its header alone.
pub(crate) fn layout(columns: &[(&str, Align, usize)], rows: &[Vec<String>]) -> String {
    let cut: Vec<Vec<String>> = std::iter::once(columns.iter().map(|(name, _, _)| (*name).to_owned()).collect())
        .chain(rows.iter().map(|row: &Vec<String>| {
            row.iter().zip(columns).map(|(cell, &(_, _, width))| shorten(cell, width)).collect()
        }))
        .collect();
    let widths: Vec<usize> = (0..columns.len())
        .map(|column| cut.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for row in &cut {
        let mut line = String::new();
        for (index, cell) in row.iter().enumerate() {
            if index > 0 {
                line.push_str("  ");
            }
            let pad = " ".repeat(widths[index] - cell.chars().count());
            match columns[index].1 {
                Align::Left => line.extend([cell.as_str(), &pad]),
                Align::Right => line.extend([pad.as_str(), cell]),
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Cut with `…` where it is longer; what would break a line is a space.
pub(crate) fn shorten(text: &str, width: usize) -> String {
    // A line break or an escape would break the table.
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if clean.chars().count() <= width {
        return clean;
    }
    clean.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// Lines of at most `width` characters, broken at spaces; a word that is longer has a line of its own.
pub(crate) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.extend(Some(line).filter(|line| !line.is_empty()));
    lines
}

/// As [`shorten`], cut in the middle: of a name both ends tell it from others.
pub(crate) fn shorten_middle(text: &str, width: usize) -> String {
    let letters: Vec<char> = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if letters.len() <= width {
        return letters.into_iter().collect();
    }
    let kept = width.saturating_sub(1);
    let (start, end) = (kept - kept / 2, kept / 2);
    let ellipsis = if width == 0 { None } else { Some('…') };
    letters[..start].iter().copied().chain(ellipsis).chain(letters[letters.len() - end..].iter().copied()).collect()
}

/// A measured value with as many digits as a reader needs.
pub(crate) fn number(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() {
        return value.to_string();
    }
    let decimals = match size {
        _ if size >= 1_000.0 => 0,
        _ if size >= 100.0 => 1,
        _ if size >= 10.0 => 2,
        _ => 3,
    };
    if size != 0.0 && !(1e-3..1e9).contains(&size) { format!("{value:.3e}") } else { format!("{value:.decimals$}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_long_cells_cut() {
        let columns = [("tag", Align::Left, 8), ("value", Align::Right, 10)];
        let rows =
            [vec!["W.THP".to_owned(), "1.5".to_owned()], vec!["WELL-001.THP".to_owned(), "12\u{1b}[31m".to_owned()]];
        assert_eq!(layout(&columns, &rows), "tag         value\nW.THP         1.5\nWELL-00…  12 [31m\n");
    }

    #[test]
    fn names_keep_both_ends() {
        let texts: Vec<String> = [0, 1, 2, 7, 12].map(|width| shorten_middle("WELL-001.THP", width)).into();
        assert_eq!(texts, ["", "…", "W…", "WEL…THP", "WELL-001.THP"]);
    }

    #[test]
    fn numbers_keep_their_meaning() {
        let texts: Vec<String> = [0.0, 1.23456, 45.678, 1234.5, 0.000_01, -3e12].map(number).into();
        assert_eq!(texts, ["0.000", "1.235", "45.68", "1234", "1.000e-5", "-3.000e12"]);
    }
}
