//! Sites and pipelines out of files, with everything that is wrong printed.

use std::path::Path;
use std::sync::Arc;

use ducto_graph::codes::Severity;
use ducto_graph::diagnostic::Diagnostics;
use ducto_graph::load;
use ducto_graph::registry::Registry;
use ducto_graph::site::Site;
use ducto_graph::source::Sources;
use serde_json::{Value, json};

use crate::output::{Exit, Failure, Output};

/// What is needed to read files, and what came of it.
pub(crate) struct Loading {
    pub(crate) registry: Registry,
    pub(crate) sources: Sources,
    pub(crate) diagnostics: Diagnostics,
}

impl Loading {
    pub(crate) fn new() -> Self {
        Self { registry: ducto_operators::registry(), sources: Sources::new(), diagnostics: Diagnostics::new() }
    }

    /// A site, for a command that needs one: findings are printed, and mistakes refuse it.
    pub(crate) fn site(&mut self, path: &Path, output: &Output) -> Result<Arc<Site>, Failure> {
        let site = load::load_site(path, &self.registry, &mut self.sources, &mut self.diagnostics);
        self.accept(site, output)
    }

    /// A lone pipeline on a site, or on none.
    pub(crate) fn pipeline(&mut self, path: &Path, site: Option<&Path>, output: &Output) -> Result<Arc<Site>, Failure> {
        let site = match site {
            Some(site) => self.site(site, output)?,
            None => Arc::new(Site::empty("")),
        };
        let alone = load::load_pipeline(path, &site, &self.registry, &mut self.sources, &mut self.diagnostics);
        self.accept(alone, output)
    }

    /// Prints what was found; `None` refuses.
    pub(crate) fn accept<T>(&mut self, read: Option<T>, output: &Output) -> Result<T, Failure> {
        self.print_findings(output);
        match read {
            Some(read) => Ok(read),
            None if output.is_json() => {
                output.object(&self.findings());
                Err(Failure::said(Exit::Refused))
            }
            None => {
                output.remark(&self.summary());
                Err(Failure::said(Exit::Refused))
            }
        }
    }

    /// Findings on standard error, as people read them.
    pub(crate) fn print_findings(&self, output: &Output) {
        if !output.is_json() && !self.diagnostics.is_empty() {
            output.remark(&self.diagnostics.render(&self.sources, output.colored()));
        }
    }

    /// `{"ok": …, "errors": …, "warnings": …, "findings": […]}`.
    pub(crate) fn findings(&self) -> Value {
        json!({
            "ok": self.diagnostics.is_ok(),
            "errors": self.diagnostics.count(Severity::Error),
            "warnings": self.diagnostics.count(Severity::Warning),
            "findings": self.diagnostics.to_json(&self.sources),
        })
    }

    /// "3 errors, 1 warning".
    pub(crate) fn summary(&self) -> String {
        let errors = self.diagnostics.count(Severity::Error);
        let warnings = self.diagnostics.count(Severity::Warning);
        let mut parts = Vec::new();
        if errors > 0 {
            parts.push(counted(errors, "error"));
        }
        if warnings > 0 {
            parts.push(counted(warnings, "warning"));
        }
        if parts.is_empty() { "no mistakes".to_owned() } else { parts.join(", ") }
    }
}

/// "1 tag", "3 tags".
pub(crate) fn counted(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", grouped(number as u64))
}

/// `1234567` as `1,234,567`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        assert_eq!(grouped(7), "7");
        assert_eq!(grouped(123), "123");
        assert_eq!(grouped(12_345), "12,345");
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(counted(1, "tag"), "1 tag");
        assert_eq!(counted(2_000, "tag"), "2,000 tags");
    }
}
