//! Names as people choose them: `WELL-*.THP`.

/// Whether a text is what a pattern says; `*` stands for any text.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut open = false;
    let parts: Vec<&str> = parts.collect();
    for (index, part) in parts.iter().enumerate() {
        open = true;
        if index + 1 == parts.len() {
            return rest.ends_with(part);
        }
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    open || rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns() {
        for (pattern, text, fits) in [
            ("*", "", true),
            ("WELL-001", "WELL-001", true),
            ("WELL-001", "WELL-0010", false),
            ("WELL-*", "WELL-0010", true),
            ("*.THP", "WELL-001.THP", true),
            ("*.THP", "WELL-001.THP2", false),
            ("W*1.*P", "WELL-001.THP", true),
            ("*a*a*", "a", false),
            ("a*a", "a", false),
            ("*é*", "añéx", true),
            ("", "W", false),
            ("X*", "W", false),
            ("W.*.HH", "W.THP.H", false),
        ] {
            assert_eq!(matches(pattern, text), fits, "{pattern} {text}");
        }
    }
}
