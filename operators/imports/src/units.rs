//! Units as people write them in other programs.

use ducto_graph::source::Place;
use ducto_record::{Reference, Units};

use crate::Reader;
use crate::model::Tag;
use crate::remarks::{Outcome, Remark};

/// Spellings that are no name of a unit of Ducto, in lower case, with the unit.
const SPELLINGS: [(&str, &str); 68] = [
    ("%open", "%"),
    ("% open", "%"),
    ("pct", "%"),
    ("per cent", "%"),
    ("porcentaje", "%"),
    ("amps", "A"),
    ("amperes", "A"),
    ("amperios", "A"),
    ("milliamps", "mA"),
    ("volts", "V"),
    ("volt", "V"),
    ("voltios", "V"),
    ("kilowatts", "kW"),
    ("watts", "W"),
    ("hertz", "Hz"),
    ("f", "degF"),
    ("deg f", "degF"),
    ("deg. f", "degF"),
    ("° f", "degF"),
    ("fahrenheit", "degF"),
    ("c", "degC"),
    ("deg c", "degC"),
    ("deg. c", "degC"),
    ("° c", "degC"),
    ("celsius", "degC"),
    ("feet", "ft"),
    ("pies", "ft"),
    ("inches", "in"),
    ("in.", "in"),
    ("pulgadas", "in"),
    ("meters", "m"),
    ("metros", "m"),
    ("hours", "h"),
    ("hrs", "h"),
    ("horas", "h"),
    ("minutes", "min"),
    ("mins", "min"),
    ("seconds", "s"),
    ("secs", "s"),
    ("days", "d"),
    ("bbls", "bbl"),
    ("barrels", "bbl"),
    ("barriles", "bbl"),
    ("bbls/d", "bbl/d"),
    ("bbl/day", "bbl/d"),
    ("bbls/day", "bbl/d"),
    ("bls/d", "bbl/d"),
    ("bbl/hr", "bbl/h"),
    ("stb/day", "stb/d"),
    ("stbpd", "stb/d"),
    ("mcf", "Mscf"),
    ("mmcf", "MMscf"),
    ("mcf/d", "Mscf/d"),
    ("mcf/day", "Mscf/d"),
    ("mcfpd", "Mscf/d"),
    ("mscf/day", "Mscf/d"),
    ("mmcf/d", "MMscf/d"),
    ("mmcf/day", "MMscf/d"),
    ("mmscf/day", "MMscf/d"),
    ("gallons", "gal"),
    ("gal/day", "gal/d"),
    ("m3/day", "m3/d"),
    ("m3/hr", "m3/h"),
    ("\"h2o", "inH2O"),
    ("in h2o", "inH2O"),
    ("inches h2o", "inH2O"),
    ("in wc", "inH2O"),
    ("lbs", "lb"),
];

/// What a unit's text means.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Meaning {
    /// A unit of Ducto under one of its names.
    Known(String),
    /// Another spelling of it.
    Spelling(String),
    Unknown,
}

pub(crate) fn meaning(text: &str, units: &Units) -> Meaning {
    let text = text.trim();
    if let Some(unit) = units.get(text) {
        return Meaning::Known(unit.symbol.to_string());
    }
    let lower = text.to_lowercase();
    if let Some((_, unit)) = SPELLINGS.iter().find(|(spelling, _)| *spelling == lower) {
        return Meaning::Spelling((*unit).to_owned());
    }
    // `MPA`, `KPA`, `PSIG`: where only one unit is written with these letters, that one.
    let mut same = units.names().filter(|name| name.to_lowercase() == lower).filter_map(|name| units.get(name));
    match (same.next(), same.next()) {
        (Some(unit), None) => Meaning::Spelling(unit.symbol.to_string()),
        (Some(one), Some(other)) if one.symbol == other.symbol && same.all(|unit| unit.symbol == one.symbol) => {
            Meaning::Spelling(one.symbol.to_string())
        }
        _ => Meaning::Unknown,
    }
}

impl Reader<'_> {
    /// Sets a tag's unit, or says why not.
    pub(crate) fn unit(&mut self, tag: &mut Tag, of: &str, setting: &str, text: &str, place: Place) {
        let text = text.trim();
        if text.is_empty() {
            return;
        }
        let meaning = meaning(text, self.units);
        let (outcome, reason) = match &meaning {
            Meaning::Known(unit) => {
                let pressure = ["psi", "bar", "kPa", "MPa", "kg/cm2"].contains(&unit.as_str());
                let differential = self.units.get(unit).is_some_and(|unit| unit.reference == Reference::Differential);
                if !(pressure && differential) {
                    tag.set("unit", unit.as_str());
                    return;
                }
                let reason = format!(
                    "`{unit}` is a difference of pressures; write `{unit}g` or `{unit}a` where gauge or absolute is meant"
                );
                (Outcome::Approximated, reason)
            }
            Meaning::Spelling(unit) => (Outcome::Approximated, format!("taken as `{unit}`")),
            Meaning::Unknown => {
                (Outcome::Dropped, "no unit of this name is known; set `unit` once it is clear which is meant".into())
            }
        };
        if let Meaning::Known(unit) | Meaning::Spelling(unit) = meaning {
            tag.set("unit", unit);
        }
        let (setting, value) = (format!("{setting} `{text}`"), text.to_owned());
        self.remarks.push(Remark { place, of: of.to_owned(), setting, value, outcome, reason });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_are_units() {
        let units = ducto_operators::units::units();
        for (spelling, unit) in SPELLINGS {
            assert!(units.get(unit).is_some(), "{unit}");
            assert_eq!(spelling, spelling.to_lowercase());
            assert!(matches!(meaning(spelling, &units), Meaning::Known(_) | Meaning::Spelling(_)), "{spelling}");
        }
        assert_eq!(meaning("psig", &units), Meaning::Known("psig".into()));
        assert_eq!(meaning(" BOPD", &units), Meaning::Known("stb/d".into()));
        assert_eq!(meaning("KPA", &units), Meaning::Spelling("kPa".into()));
        assert_eq!(meaning("Deg F", &units), Meaning::Spelling("degF".into()));
        assert_eq!(meaning("widgets", &units), Meaning::Unknown);
    }
}
