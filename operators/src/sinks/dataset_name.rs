//! Names of datasets, and of what lies beside them.

use ducto_record::ValueKind;

/// Kinds of samples that are datasets of their own beside the one that is named.
pub(super) const KINDS_BESIDE: [ValueKind; 3] = [ValueKind::Int64, ValueKind::Bool, ValueKind::Text];

/// The dataset that samples of a kind are stored in: `value` has one type in all files of a dataset.
pub fn dataset_of_kind(dataset: &str, kind: ValueKind) -> String {
    match kind {
        ValueKind::Float64 => dataset.to_owned(),
        kind => format!("{dataset}_{kind}"),
    }
}

/// Names that queries and `views.sql` make of a dataset's own: every version of its rows, and its rows with what
/// their tags mean.
const OF_VIEWS: [&str; 2] = ["_revisions", "_with_tags"];

/// Words that SQL, here or in DuckDB, takes for something else than a table.
const SQL_WORDS: &str = "\
    all analyse analyze and any array as asc asymmetric both case cast check collate column constraint create \
    cross default deferrable desc describe distinct do else end except exists false fetch for foreign from full \
    group having in initially inner intersect into is join lambda lateral leading left limit natural not null \
    offset on only or order outer pivot placing primary qualify references returning right select set show some \
    summarize symmetric table then to trailing true union unique unnest unpivot using values variadic when where \
    window with";

/// Why a dataset cannot have this name, and what to do.
pub(super) fn name_fault(name: &str) -> Option<(String, String)> {
    let is_table = |name: &str| {
        name.starts_with(|first: char| first.is_ascii_lowercase())
            && name.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_')
    };
    if !is_table(name) {
        let rule = "use lower-case letters, digits and `_`, with a letter first";
        let lower = name.to_lowercase().replace(['-', '.', ' '], "_");
        let help = if is_table(&lower) { format!("{rule}: `{lower}`") } else { rule.to_owned() };
        return Some(("it makes no folder, or needs quotes in SQL".to_owned(), help));
    }
    if name == ducto_storage::TAGS {
        return Some((
            "the table of tags has this name".to_owned(),
            "name it after what it holds: `history`".to_owned(),
        ));
    }
    if name == "information_schema" || name == "pg_catalog" {
        let why = "SQL keeps what it knows of its own tables there".to_owned();
        return Some((why, "name it after what it holds: `history`".to_owned()));
    }
    if let Some((of, view)) = OF_VIEWS.iter().find_map(|view| Some((name.strip_suffix(view)?, view))) {
        let why = format!("a view of a dataset `{of}` has this name");
        return Some((why, format!("leave `{view}` out, or write `{of}{view}_rows`")));
    }
    SQL_WORDS
        .split(' ')
        .any(|word| word == name)
        .then(|| ("it is a word of SQL".to_owned(), format!("say more: `{name}_rows`")))
}

/// The dataset beside which one of this name would lie, and the kind of its samples.
pub(super) fn of_kind(name: &str) -> Option<(&str, ValueKind)> {
    KINDS_BESIDE.into_iter().find_map(|kind| {
        let of = name.strip_suffix(kind.name())?.strip_suffix('_')?;
        Some((of, kind))
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_that_make_no_table_are_known() {
        for name in ["history", "a1_b", "revisions", "tags_of_wells", "orders", "minutes_with_tags_rows"] {
            assert_eq!(name_fault(name), None, "{name}");
        }
        let bad = ["", "History", "1a", "a-b", "año", "a.b", "../x"];
        let taken = ["tags", "information_schema", "minutes_revisions", "minutes_with_tags", "order", "select"];
        for name in bad.into_iter().chain(taken) {
            assert!(name_fault(name).is_some(), "{name}");
        }
        assert!(name_fault("Well-History").unwrap().1.contains("`well_history`"));
    }

    #[test]
    fn what_lies_beside_a_dataset_is_known() {
        for kind in KINDS_BESIDE {
            assert_eq!(of_kind(&dataset_of_kind("history", kind)), Some(("history", kind)));
        }
        assert_eq!(of_kind("history"), None);
    }
}
