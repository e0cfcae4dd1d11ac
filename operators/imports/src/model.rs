//! Devices and their tags, whatever program they come from.

use ducto_graph::source::Place;

/// A value of a field.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Text(String),
    Number(f64),
    Flag(bool),
    /// From and to.
    Range([f64; 2]),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

/// What becomes an asset.
#[derive(Clone, Debug, PartialEq)]
pub struct Device {
    /// Of the asset.
    pub name: String,
    /// The device's name in the list, where that is another.
    pub device: Option<String>,
    /// What kind of device the list says it is, for the name of its template.
    pub model: Option<String>,
    pub place: Place,
    pub line: Line,
    /// More columns of the table of assets.
    pub columns: Vec<(String, String)>,
    pub tags: Vec<Tag>,
}

/// How a device is reached.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// `tcp://10.0.0.5:502`; `None` where the list does not say it.
    pub endpoint: Option<String>,
    pub unit_id: Option<u8>,
    /// The notation of its tags' addresses, as `addressing:` writes it.
    pub addressing: &'static str,
    /// Further fields of the connection, such as `order`, `scan`.
    pub fields: Vec<(String, Value)>,
}

/// What becomes a tag.
#[derive(Clone, Debug, PartialEq)]
pub struct Tag {
    pub variable: String,
    pub place: Place,
    /// Its fields by their paths (`address`, `alarms.H.limit`), in the order in which they are written.
    pub fields: Vec<(String, Value)>,
}

impl Tag {
    pub fn new(variable: impl Into<String>, place: Place) -> Self {
        Self { variable: variable.into(), place, fields: Vec::new() }
    }

    pub fn set(&mut self, path: impl Into<String>, value: impl Into<Value>) {
        let (path, value) = (path.into(), value.into());
        match self.fields.iter_mut().find(|(name, _)| *name == path) {
            Some((_, old)) => *old = value,
            None => self.fields.push((path, value)),
        }
    }

    pub fn get(&self, path: &str) -> Option<&Value> {
        self.fields.iter().find(|(name, _)| name == path).map(|(_, value)| value)
    }

    pub fn remove(&mut self, path: &str) {
        self.fields.retain(|(name, _)| name != path);
    }
}

impl Line {
    pub fn get(&self, field: &str) -> Option<&Value> {
        self.fields.iter().find(|(name, _)| name == field).map(|(_, value)| value)
    }
}

/// A time between scans in milliseconds, as it is written: `250ms`, `1s`, `5m`.
pub(crate) fn duration(millis: u64) -> String {
    match millis {
        _ if millis > 0 && millis.is_multiple_of(60_000) => format!("{}m", millis / 60_000),
        _ if millis.is_multiple_of(1_000) => format!("{}s", millis / 1_000),
        _ => format!("{millis}ms"),
    }
}

/// Times between scans that a connection takes, in milliseconds.
pub(crate) const SCANS: std::ops::RangeInclusive<u64> = 100..=86_400_000;
