//! Units: dimensions and conversions. Which units exist is registered from outside.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

use thiserror::Error;

/// Exponents of the SI base dimensions: length, mass, time, current, temperature, amount, luminosity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Dimension(pub [i8; 7]);

/// What a unit is measured against, where the same dimension means different things.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Reference {
    #[default]
    None,
    /// Pressure above the local atmosphere.
    Gauge,
    /// Pressure above vacuum.
    Absolute,
    /// A difference of pressures or temperatures.
    Differential,
    /// Volume at standard conditions.
    Standard,
    /// Volume at flowing conditions.
    Actual,
}

impl Reference {
    /// What a value in such a unit is: "a gauge pressure".
    const fn words(self) -> &'static str {
        match self {
            Self::None => "a plain number",
            Self::Gauge => "a gauge pressure",
            Self::Absolute => "an absolute pressure",
            Self::Differential => "a difference, neither gauge nor absolute",
            Self::Standard => "a volume at standard conditions",
            Self::Actual => "a volume at flowing conditions",
        }
    }
}

/// A unit of measure: one pointer, since every tag has one.
#[derive(Clone, Debug, PartialEq)]
pub struct Unit(Arc<Measure>);

impl From<Measure> for Unit {
    fn from(measure: Measure) -> Self {
        Self(Arc::new(measure))
    }
}

impl Deref for Unit {
    type Target = Measure;

    fn deref(&self) -> &Measure {
        &self.0
    }
}

/// What a unit is. SI value = value · `scale` + `offset`.
#[derive(Clone, Debug, PartialEq)]
pub struct Measure {
    /// As it is printed: `psig`.
    pub symbol: Arc<str>,
    pub dimension: Dimension,
    pub reference: Reference,
    pub scale: f64,
    pub offset: f64,
}

/// `to = from · scale + offset`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conversion {
    pub scale: f64,
    pub offset: f64,
}

impl Conversion {
    pub const IDENTITY: Self = Self { scale: 1.0, offset: 0.0 };

    #[inline]
    pub fn apply(self, value: f64) -> f64 {
        value * self.scale + self.offset
    }
}

#[derive(Clone, Debug, Error, PartialEq)]
pub enum UnitError {
    #[error("`{from}` and `{to}` measure different things")]
    Dimension { from: Arc<str>, to: Arc<str> },
    #[error(
        "`{from}` ({}) and `{to}` ({}) do not convert", from_reference.words(), to_reference.words()
    )]
    Reference { from: Arc<str>, to: Arc<str>, from_reference: Reference, to_reference: Reference },
    #[error(
        "converting `{from}` to `{to}` needs the site's atmospheric pressure; set `units: {{atmospheric_pressure: …}}` in site.yaml"
    )]
    Atmosphere { from: Arc<str>, to: Arc<str> },
}

impl Unit {
    /// The conversion to another unit. `atmosphere` is the site's atmospheric pressure in Pa, for gauge ↔ absolute.
    pub fn to(&self, other: &Self, atmosphere: Option<f64>) -> Result<Conversion, UnitError> {
        let (from, to) = (self.symbol.clone(), other.symbol.clone());
        if self.dimension != other.dimension {
            return Err(UnitError::Dimension { from, to });
        }
        let shift = match (self.reference, other.reference) {
            (a, b) if a == b => 0.0,
            (Reference::Gauge, Reference::Absolute) => atmosphere.ok_or(UnitError::Atmosphere { from, to })?,
            (Reference::Absolute, Reference::Gauge) => -atmosphere.ok_or(UnitError::Atmosphere { from, to })?,
            (from_reference, to_reference) => {
                return Err(UnitError::Reference { from, to, from_reference, to_reference });
            }
        };
        Ok(Conversion { scale: self.scale / other.scale, offset: (self.offset + shift - other.offset) / other.scale })
    }

    /// The same quantity, whatever the scale: can the two be compared or converted?
    pub fn same_quantity(&self, other: &Self) -> bool {
        self.to(other, Some(101_325.0)).is_ok()
    }
}

/// The units a site can name, with their aliases, and the air of the place where they convert.
#[derive(Clone, Debug, Default)]
pub struct Units {
    by_name: BTreeMap<String, Unit>,
    /// What can be measured, by the name that sites give it.
    quantities: BTreeMap<String, Dimension>,
    atmosphere: Option<f64>,
}

impl Units {
    /// Registers a unit under its symbol and its aliases. A name that is taken already stays as it was; the
    /// answer says whether every name was new.
    pub fn register(&mut self, unit: Unit, aliases: &[&str]) -> bool {
        let mut new = true;
        for name in std::iter::once(&*unit.symbol).chain(aliases.iter().copied()) {
            if self.by_name.contains_key(name) {
                new = false;
            } else {
                self.by_name.insert(name.to_owned(), unit.clone());
            }
        }
        new
    }

    /// Registers something that can be measured: `pressure`.
    pub fn register_quantity(&mut self, name: &str, dimension: Dimension) {
        self.quantities.insert(name.to_owned(), dimension);
    }

    pub fn quantity(&self, name: &str) -> Option<Dimension> {
        self.quantities.get(name).copied()
    }

    /// Names of what can be measured, sorted.
    pub fn quantities(&self) -> impl Iterator<Item = &str> {
        self.quantities.keys().map(String::as_str)
    }

    /// Every unit once, by its symbol.
    pub fn all(&self) -> impl Iterator<Item = &Unit> {
        self.by_name.iter().filter(|(name, unit)| **name == *unit.symbol).map(|(_, unit)| unit)
    }

    /// The unit of the size of one and the reference of another: of `bar` and `psig` it is `barg`.
    pub fn counterpart(&self, size: &Unit, reference: Reference) -> Option<&Unit> {
        self.all()
            .find(|unit| unit.dimension == size.dimension && unit.reference == reference && unit.scale == size.scale)
    }

    /// The same units at a site with this atmospheric pressure, in Pa.
    #[must_use]
    pub fn at(self: &Arc<Self>, atmosphere: Option<f64>) -> Arc<Self> {
        if self.atmosphere == atmosphere {
            return self.clone();
        }
        Arc::new(Self { atmosphere, ..(**self).clone() })
    }

    /// The atmospheric pressure in Pa, where it is known; see [`Unit::to`].
    pub fn atmosphere(&self) -> Option<f64> {
        self.atmosphere
    }

    pub fn get(&self, name: &str) -> Option<&Unit> {
        self.by_name.get(name)
    }

    /// Every name and alias, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }
}
