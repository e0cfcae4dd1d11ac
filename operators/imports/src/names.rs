//! Names of assets and variables out of what people wrote in other programs.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::model::Device;
use crate::remarks::{Outcome, Remark, Remarks};

/// Longest name of a variable, in characters.
const LONGEST_VARIABLE: usize = 64;
/// Longest name of an asset, in characters.
const LONGEST_ASSET: usize = 128;

/// A name of a variable: letters, digits, `_` and `-`, beginning with a letter or digit.
pub(crate) fn variable(text: &str) -> String {
    let mut name = String::with_capacity(text.len());
    for c in text.trim().chars() {
        match plain(c) {
            Some(plain) => name.push(plain),
            // One `_` for what cannot stand in a name, however much of it there is.
            None if !name.ends_with('_') => name.push('_'),
            None => {}
        }
    }
    let name: String = name.trim_matches(['_', '-']).chars().take(LONGEST_VARIABLE).collect();
    if name.is_empty() { "TAG".to_owned() } else { name }
}

/// The letter without its accent, where it is one that can stand in a name.
fn plain(c: char) -> Option<char> {
    Some(match c {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '-' => c,
        'á' | 'à' | 'â' | 'ã' | 'ä' => 'a',
        'é' | 'è' | 'ê' | 'ë' => 'e',
        'í' | 'ì' | 'î' | 'ï' => 'i',
        'ó' | 'ò' | 'ô' | 'õ' | 'ö' => 'o',
        'ú' | 'ù' | 'û' | 'ü' => 'u',
        'ñ' => 'n',
        'ç' => 'c',
        'Á' | 'À' | 'Â' | 'Ã' | 'Ä' => 'A',
        'É' | 'È' | 'Ê' | 'Ë' => 'E',
        'Í' | 'Ì' | 'Î' | 'Ï' => 'I',
        'Ó' | 'Ò' | 'Ô' | 'Õ' | 'Ö' => 'O',
        'Ú' | 'Ù' | 'Û' | 'Ü' => 'U',
        'Ñ' => 'N',
        'Ç' => 'C',
        _ => return None,
    })
}

/// A name of an asset: anything but what tables and patterns give a meaning.
pub(crate) fn asset(text: &str) -> String {
    let name: String = text
        .trim()
        .chars()
        .map(|c| if c.is_control() || "{}$;,\"".contains(c) { '_' } else { c })
        .take(LONGEST_ASSET)
        .collect();
    let name = name.trim().to_owned();
    if name.is_empty() { "ASSET".to_owned() } else { name }
}

/// A name of a template or a kind: as a variable's, in lower case.
pub(crate) fn template(text: &str) -> String {
    variable(text).to_ascii_lowercase().replace('_', "-")
}

/// Names of columns of assets that mean something else.
const TAKEN: [&str; 14] = [
    "asset", "template", "enabled", "from", "until", "time", "tag", "value", "quality", "checks", "variable", "kind",
    "endpoint", "unit_id",
];

/// A name of a column of the table of assets.
pub(crate) fn column(text: &str) -> String {
    let name = variable(text).to_ascii_lowercase();
    if TAKEN.contains(&name.as_str()) { format!("{name}_") } else { name }
}

/// Names of assets and variables from the folders that tags lie in.
pub(crate) struct Folders {
    /// The folders and the name of each tag.
    paths: Vec<Vec<String>>,
    /// What tags without a folder belong to.
    outermost: String,
    depth: usize,
}

impl Folders {
    /// `depth` is how many folders name the asset; without it, the outermost does where folders look alike inside, and
    /// none does where they are only sections of one device.
    pub(crate) fn new(paths: Vec<Vec<String>>, outermost: String, depth: Option<usize>) -> Self {
        let depth = depth.unwrap_or_else(|| usize::from(look_alike(&paths)));
        Self { paths, outermost, depth }
    }

    /// The asset and the variable of a tag, as they were written.
    pub(crate) fn name(&self, index: usize) -> (String, String) {
        let path = &self.paths[index];
        let folders = self.depth.min(path.len() - 1);
        let outer = if folders == 0 { self.outermost.clone() } else { asset(&path[..folders].join("-")) };
        (outer, path[folders..].join("_"))
    }
}

/// Whether tags lie in several folders of which most have most of their names in common.
fn look_alike(paths: &[Vec<String>]) -> bool {
    let mut folders: BTreeMap<&str, HashSet<&[String]>> = BTreeMap::new();
    for path in paths {
        let [folder, rest @ ..] = path.as_slice() else { continue };
        if rest.is_empty() {
            return false;
        }
        folders.entry(folder).or_default().insert(rest);
    }
    let mut count: HashMap<&[String], usize> = HashMap::new();
    folders.values().flatten().for_each(|rest| *count.entry(rest).or_default() += 1);
    let repeated = count.values().filter(|count| **count > 1).count();
    folders.len() > 1 && repeated * 2 >= count.len()
}

/// Gives a number to names of variables that came twice.
pub(crate) fn distinct(name: String, taken: &mut HashSet<String>) -> String {
    numbered(name, '_', taken)
}

/// Gives a number to names of templates that came twice.
pub(crate) fn distinct_template(name: String, taken: &mut HashSet<String>) -> String {
    numbered(name, '-', taken)
}

fn numbered(name: String, separator: char, taken: &mut HashSet<String>) -> String {
    if taken.insert(name.clone()) {
        return name;
    }
    let short: String = name.chars().take(LONGEST_VARIABLE - 6).collect();
    let mut number = 2;
    loop {
        let candidate = format!("{short}{separator}{number}");
        if taken.insert(candidate.clone()) {
            return candidate;
        }
        number += 1;
    }
}

/// Assets of one name become different ones: by their device, else by a number.
pub(crate) fn distinct_assets(devices: &mut [Device], remarks: &mut Remarks) {
    let mut by_name: HashMap<String, Vec<usize>> = HashMap::new();
    for (index, device) in devices.iter().enumerate() {
        by_name.entry(device.name.clone()).or_default().push(index);
    }
    let mut taken: HashSet<String> = by_name.keys().cloned().collect();
    let twice: BTreeMap<String, Vec<usize>> = by_name.into_iter().filter(|(_, of)| of.len() > 1).collect();
    for (name, indices) in twice {
        for (number, index) in indices.into_iter().enumerate().skip(1) {
            let device = &mut devices[index];
            let by_device = device.device.as_ref().map(|own| format!("{name}-{own}"));
            let mut candidate = by_device.unwrap_or_else(|| format!("{name}-{}", number + 1));
            let mut count = number + 1;
            while !taken.insert(candidate.clone()) {
                count += 1;
                candidate = format!("{name}-{count}");
            }
            remarks.push(Remark {
                place: device.place,
                of: candidate.clone(),
                setting: "name".to_owned(),
                value: name.clone(),
                outcome: Outcome::Approximated,
                reason: "another device has this name".to_owned(),
            });
            device.name = candidate;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_becomes_a_name() {
        for (text, name) in [
            ("THP", "THP"),
            ("Tubing Pressure (psi)", "Tubing_Pressure_psi"),
            ("Presión de cabeza", "Presion_de_cabeza"),
            ("_System", "System"),
            ("温度", "TAG"),
            ("a..b//c", "a_b_c"),
            ("", "TAG"),
        ] {
            assert_eq!(variable(text), name, "{text}");
        }
        assert_eq!(variable(&"x".repeat(200)).len(), LONGEST_VARIABLE);
        assert_eq!(asset("Pozo {1};"), "Pozo _1__");
        assert_eq!(column("Kind"), "kind_");
        let mut taken = HashSet::new();
        let names: Vec<String> = ["A", "A", "A_2", "A"].map(|name| distinct(name.to_owned(), &mut taken)).into();
        assert_eq!(names, ["A", "A_2", "A_2_2", "A_3"]);
    }

    #[test]
    fn folders_that_look_alike_are_assets() {
        let folders = |paths: &[&str], depth| {
            let paths = paths.iter().map(|path| path.split('/').map(str::to_owned).collect()).collect();
            Folders::new(paths, "RTU".to_owned(), depth)
        };
        let wells = folders(&["W1/THP", "W1/CHP", "W2/THP", "W2/CHP"], None);
        assert_eq!(wells.name(2), ("W2".to_owned(), "THP".to_owned()));
        let sections = folders(&["Analog/THP", "Digital/RUN"], None);
        assert_eq!(sections.name(0), ("RTU".to_owned(), "Analog_THP".to_owned()));
        let deep = folders(&["North/W1/AI/THP", "North/W1/DI/RUN"], Some(2));
        assert_eq!(deep.name(0), ("North-W1".to_owned(), "AI_THP".to_owned()));
        assert_eq!(folders(&["THP"], Some(3)).name(0), ("RTU".to_owned(), "THP".to_owned()));
    }
}
