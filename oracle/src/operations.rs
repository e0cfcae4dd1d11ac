//! The operations of the disk in a life in which nothing goes wrong, by names that are the same in the next one: what
//! is done to what, and the how manieth time. A power cut comes before each of them in turn.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::str::FromStr;

/// An operation before which the power goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Of the first life, on an empty folder, or of the second, behind a kill.
    pub life: Life,
    /// How often it was done until then in that life, itself counted.
    pub time: usize,
    /// `sync journal/#.journal`: runs of letters and digits that hold a digit are `#`.
    pub what: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    First,
    Second,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let life = match self.life {
            Life::First => "first",
            Life::Second => "second",
        };
        write!(f, "{life} {} {}", self.time, self.what)
    }
}

/// As it is printed.
impl FromStr for Operation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no operation; one is `second 3 sync journal/#.journal`");
        let mut parts = text.splitn(3, ' ');
        let life = match parts.next() {
            Some("first") => Life::First,
            Some("second") => Life::Second,
            _ => return Err(wrong()),
        };
        let time = parts.next().and_then(|time| time.parse().ok()).ok_or_else(wrong)?;
        let what = parts.next().filter(|what| !what.is_empty()).ok_or_else(wrong)?.to_owned();
        Ok(Self { life, time, what })
    }
}

/// Counts what a life does.
#[derive(Clone, Debug, Default)]
pub(crate) struct Count(BTreeMap<String, usize>);

impl Count {
    /// The next operation, by its name and the how manieth it is.
    pub(crate) fn next(&mut self, verb: &str, path: &Path) -> (String, usize) {
        let what = name(verb, path);
        let time = self.0.entry(what.clone()).or_default();
        *time += 1;
        (what, *time)
    }
}

/// What changes from one life to the next, numbers, dates, and names made of them, is left out.
fn name(verb: &str, path: &Path) -> String {
    let mut name = format!("{verb} ");
    let text = path.to_string_lossy();
    let mut rest = text.as_ref();
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|letter: char| !letter.is_ascii_alphanumeric()).unwrap_or(rest.len());
        let (word, behind) = rest.split_at(if end == 0 { first.len_utf8() } else { end });
        name.push_str(if word.bytes().any(|byte| byte.is_ascii_digit()) { "#" } else { word });
        rest = behind;
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_has_the_same_name_in_every_life() {
        let mut count = Count::default();
        let part = "staging/history_int64/2026-01-01T00-2f3.parquet";
        assert_eq!(count.next("write", Path::new(part)), ("write staging/history_#/#-#-#-#.parquet".to_owned(), 1));
        assert_eq!(count.next("sync", Path::new("journal/0001.journal")), ("sync journal/#.journal".to_owned(), 1));
        assert_eq!(count.next("sync", Path::new("journal/0002.journal")), ("sync journal/#.journal".to_owned(), 2));
    }

    #[test]
    fn an_operation_is_read_as_it_is_printed() {
        let operation = Operation { life: Life::Second, time: 3, what: "sync folder journal".to_owned() };
        assert_eq!(operation.to_string().parse(), Ok(operation));
        assert!("third 3 sync journal".parse::<Operation>().is_err());
    }
}
