//! Names of the users of the operating system.

/// The name of a user, or `uid 1000` where the system's file does not say it.
pub(crate) fn name_of(uid: u32) -> String {
    let file = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    find(&file, uid).map_or_else(|| format!("uid {uid}"), str::to_owned)
}

fn find(file: &str, uid: u32) -> Option<&str> {
    file.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid) && !name.is_empty()).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_its_name() {
        let file = "root:x:0:0:root:/root:/bin/sh\n# a remark\nbroken\noperator:x:1000:1000::/home/operator:/bin/sh\n";
        assert_eq!(find(file, 0), Some("root"));
        assert_eq!(find(file, 1000), Some("operator"));
        assert_eq!(find(file, 7), None);
    }
}
