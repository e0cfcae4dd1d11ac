use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use super::{ScalarError, text_scalar};

/// The name of a node, pipeline or variable: letters, digits, `_` and `-`, beginning with a letter
/// or digit, at most 64 characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

/// Longest name, in characters.
const LONGEST: usize = 64;

impl Name {
    /// A name where the one that was written cannot be used.
    pub(crate) fn placeholder() -> Self {
        Name("unnamed".to_owned())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = ScalarError;

    fn from_str(text: &str) -> Result<Self, ScalarError> {
        let write = format!("use letters, digits, `_` and `-`, at most {LONGEST}");
        if text.is_empty() {
            return Err(ScalarError::new("a name cannot be empty", write));
        }
        let wrong = |why: String| {
            let text = crate::tree::shorten(text);
            ScalarError::new(format!("`{text}` cannot be a name: {why}"), &write)
        };
        if text.chars().nth(LONGEST).is_some() {
            return Err(wrong("it is too long".to_owned()));
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if let Some(c) = text.chars().find(|c| !allowed(*c)) {
            return Err(wrong(format!("it contains `{}`", c.escape_debug())));
        }
        if text.starts_with(['-', '_']) {
            return Err(wrong("it does not begin with a letter or digit".to_owned()));
        }
        Ok(Name(text.to_owned()))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

text_scalar!(Name, from text, "a name of letters, digits, `_` and `-`",
    pattern: "^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$",
    examples: ["well-monitoring", "THP"]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_rule() {
        for text in ["THP", "well-monitoring", "esp_current", "3", &"x".repeat(64)] {
            assert!(text.parse::<Name>().is_ok(), "{text}");
        }
        for text in ["", "a b", "a.b", "señal", "-a", "_a", &"x".repeat(65), "a\n"] {
            assert!(text.parse::<Name>().is_err(), "{text}");
        }
    }
}
