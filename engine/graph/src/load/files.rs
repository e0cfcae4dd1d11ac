//! `site.yaml` and the files it includes, as one tree.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use crate::codes::Code;
use crate::diagnostic::Diagnostic;
use crate::interpolate::{Parameters, interpolate};
use crate::source::{FileId, Place};
use crate::tree::{Entry, Node, Spanned, Value};

use super::Loader;

/// Most files that one site includes.
const INCLUDE_LIMIT: usize = 10_000;
/// Mappings whose entries may come from several files. Sections of operators are merged too.
const MERGED: [&str; 2] = ["templates", "units"];
/// Lists that several files add to.
const JOINED: [&str; 4] = ["library", "assets", "overrides", "pipelines"];

impl Loader<'_> {
    /// Reads a YAML file, whose top must be a mapping.
    pub(super) fn read(&mut self, path: &Path, named_at: Option<Place>) -> Option<(FileId, Node)> {
        let file = self.sources.read_yaml(path, named_at, self.diagnostics)?;
        let node = Node::parse(file, self.sources, self.diagnostics)?;
        match node.value {
            Value::Map(_) => Some((file, node)),
            Value::Null => {
                self.report(Diagnostic::new(Code::FieldMissing, "the file is empty").at(Place::file(file)));
                None
            }
            _ => {
                let message = format!("expected a mapping, found {}", node.describe());
                self.report(Diagnostic::new(Code::TypeMismatch, message).at(node.place));
                None
            }
        }
    }

    /// The site's files as one mapping. `templates` are not interpolated yet, as their parameters differ by asset.
    /// The second value says whether every included file could be read.
    pub(super) fn read_site(&mut self, path: &Path, named_at: Option<Place>) -> Option<(Node, bool)> {
        let (_, mut site) = self.read_site_file(path, named_at)?;
        let mut complete = true;
        let include = site.entry("include").map(|entry| entry.value.clone());
        if let Some(include) = include {
            for file in self.included(&include, path) {
                let place = Some(file.place);
                match self.read_site_file(&file.value, place) {
                    Some((_, more)) => self.merge(&mut site, more),
                    None => complete = false,
                }
            }
        }
        Some((site, complete))
    }

    fn read_site_file(&mut self, path: &Path, named_at: Option<Place>) -> Option<(FileId, Node)> {
        let (file, mut node) = self.read(path, named_at)?;
        let templates = node.take("templates");
        let environment = self.environment;
        let parameters = Parameters::new().with_environment(environment);
        interpolate(&mut node, &parameters, self.diagnostics);
        if let (Some(templates), Value::Map(entries)) = (templates, &mut node.value) {
            entries.push(templates);
        }
        Some((file, node))
    }

    /// The files that `include` names, each once, in the order of the patterns and then of names.
    fn included(&mut self, include: &Node, site: &Path) -> Vec<Spanned<PathBuf>> {
        let mut files: Vec<Spanned<PathBuf>> = Vec::new();
        let mut seen: HashSet<PathBuf> = HashSet::from([site.to_owned()]);
        // One without its brackets is reported when the field is decoded, and is read all the same.
        let patterns = if include.as_text().is_some() { std::slice::from_ref(include) } else { include.items() };
        for pattern in patterns {
            // What is no text is reported when the field is decoded.
            let Some(text) = pattern.as_text() else { continue };
            let folder = parent(self.sources.path(pattern.place.file), site);
            let found = if text.contains(['*', '?']) { expand(&folder, text) } else { vec![folder.join(text)] };
            if found.is_empty() {
                self.include_empty(pattern.place, &folder, text);
            }
            for path in found {
                if seen.insert(path.clone()) {
                    files.push(Spanned::new(path, pattern.place));
                }
            }
        }
        if files.len() > INCLUDE_LIMIT {
            let message = format!("{} files are included, and at most {INCLUDE_LIMIT} are read", files.len());
            self.report(Diagnostic::new(Code::FileTooLarge, message).at(include.place));
            files.truncate(INCLUDE_LIMIT);
        }
        files
    }

    /// Warns of a pattern that matches nothing, but for folders whose files come and go, as with a rig: those that are
    /// empty, and those called `….d`.
    fn include_empty(&mut self, place: Place, folder: &Path, pattern: &str) {
        if pattern.split('/').rev().skip(1).any(|part| part.ends_with(".d")) {
            return;
        }
        let plain = pattern.split('/').take_while(|part| !part.contains(['*', '?'])).collect::<PathBuf>();
        let inside = folder.join(plain);
        let looked_in = if inside.as_os_str().is_empty() { PathBuf::from(".") } else { inside };
        let help = match std::fs::read_dir(&looked_in) {
            Err(_) => format!("there is no folder `{}`", looked_in.display()),
            Ok(entries) => {
                let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
                let mut names: Vec<String> = names.filter(|name| !name.starts_with('.')).collect();
                names.sort();
                let Some(first) = names.first() else { return };
                format!("`{}` holds `{first}` and the like", looked_in.display())
            }
        };
        self.report(Diagnostic::new(Code::IncludeEmpty, format!("`{pattern}` matches no file")).at(place).help(help));
    }

    /// Adds the fields of an included file.
    fn merge(&mut self, site: &mut Node, more: Node) {
        let Value::Map(entries) = more.value else { return };
        for entry in entries {
            let name = entry.key.value.as_str();
            if name == "include" {
                self.report(
                    Diagnostic::new(Code::FieldUnknown, "an included file cannot include others")
                        .at(entry.key.place)
                        .help("list the files in the `include` of site.yaml"),
                );
                continue;
            }
            let merged = MERGED.contains(&name) || self.registry.section(crate::registry::Scope::Site, name).is_some();
            let joined = JOINED.contains(&name);
            let Value::Map(fields) = &mut site.value else { return };
            let Some(at) = fields.iter().position(|field| field.key.value == name) else {
                fields.push(entry);
                continue;
            };
            let field = &mut fields[at];
            match (&mut field.value.value, entry.value.value) {
                (_, Value::Null) => {}
                (Value::Null, value) => field.value.value = value,
                (Value::Map(here), Value::Map(there)) if merged => {
                    let known: HashMap<String, usize> =
                        here.iter().enumerate().map(|(at, old)| (old.key.value.clone(), at)).collect();
                    for new in there {
                        match known.get(&new.key.value).map(|at| &here[*at]) {
                            Some(old) => {
                                let diagnostic = given_twice(&new, old);
                                self.report(diagnostic);
                            }
                            None => here.push(new),
                        }
                    }
                }
                (Value::List(here), Value::List(there)) if joined => here.extend(there),
                (_, value) => {
                    let new = Entry { key: entry.key, value: Node { value, ..entry.value } };
                    let diagnostic = given_twice(&new, field);
                    self.report(diagnostic);
                }
            }
        }
    }
}

fn given_twice(new: &Entry, old: &Entry) -> Diagnostic {
    Diagnostic::new(Code::GivenTwice, format!("`{}` is given in two files", new.key.value))
        .at(new.key.place)
        .note_at(old.key.place, "given here too")
        .help("keep one of the two")
}

/// The folder of the file that `path` names; of `otherwise` where it is not known.
pub(super) fn parent(path: &Path, otherwise: &Path) -> PathBuf {
    let path = if path.as_os_str().is_empty() { otherwise } else { path };
    path.parent().map_or_else(PathBuf::new, Path::to_owned)
}

/// The files that a pattern with `*` and `?` names, sorted. A folder that is not there has no files.
fn expand(folder: &Path, pattern: &str) -> Vec<PathBuf> {
    let mut found = vec![if pattern.starts_with('/') { PathBuf::from("/") } else { folder.to_owned() }];
    let mut parts = pattern.split('/').filter(|part| !part.is_empty() && *part != ".").peekable();
    while let Some(part) = parts.next() {
        let last = parts.peek().is_none();
        found = found
            .into_iter()
            .flat_map(|folder| {
                if !part.contains(['*', '?']) {
                    return vec![folder.join(part)];
                }
                let mut inside: Vec<PathBuf> =
                    std::fs::read_dir(if folder.as_os_str().is_empty() { Path::new(".") } else { &folder })
                        .into_iter()
                        .flatten()
                        .filter_map(Result::ok)
                        .filter_map(|entry| entry.file_name().into_string().ok())
                        // As in a shell, a pattern does not mean hidden files.
                        .filter(|name| (part.starts_with('.') || !name.starts_with('.')) && matches(part, name))
                        .map(|name| folder.join(name))
                        .filter(|path| if last { !path.is_dir() } else { path.is_dir() })
                        .take(INCLUDE_LIMIT + 1)
                        .collect();
                inside.sort();
                inside
            })
            .collect();
    }
    found
}

/// Whether a name fits a pattern of `*` (any characters) and `?` (one).
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    // Where to try again: behind the last star, one character of the name further.
    let mut again: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                again = Some((p + 1, n));
                p += 1;
            }
            Some(c) if *c == '?' || *c == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match again {
                Some((star, from)) => {
                    again = Some((star, from + 1));
                    p = star;
                    n = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        assert!(matches("*.yaml", "rtu-a.yaml"));
        assert!(matches("r?u*a.y*l", "rtu-a.yaml"));
        assert!(matches("*", ""));
        assert!(!matches("*.yaml", "rtu-a.yml"));
        assert!(!matches("?", ""));
        assert!(!matches("a*b*c", "aXbX"));
        assert!(matches(&"*a".repeat(20), &"a".repeat(60)));
        assert!(!matches(&"*a".repeat(20), &format!("{}b", "a".repeat(60))));
    }
}
