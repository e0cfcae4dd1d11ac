//! A connection's own state: what it counts, what others may look at while it runs, and the tags that tell it.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arrow::array::{Float64Array, Int64Array};
use ducto_graph::operator::{Link as Watched, LinkReport, LinkState};
use ducto_record::{Layout, Micros, Quality, Samples, TagId, Unit, ValueKind, Values};
use modbus::Exception;

use super::schedule::Timing;

/// Something that a connection knows of itself and of a unit behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Figure {
    LinkState,
    RoundTrip,
    Utilisation,
    CycleOverrun,
    Requests,
    Timeouts,
    Corrupt,
    Foreign,
    Connects,
    /// By code; 0 stands for those that the specification does not name.
    Exceptions(u8),
}

/// Name, figure, what it is in English and in Spanish.
type Row = (&'static str, Figure, &'static str, &'static str);

#[rustfmt::skip]
pub(super) const FIGURES: &[Row] = &[
    ("link_state", Figure::LinkState,
        "State of the connection to the device", "Estado de la conexión con el equipo"),
    ("round_trip", Figure::RoundTrip,
        "Time from a request to its answer, averaged over the last ones", "Tiempo de una consulta a su respuesta, promedio de las últimas"),
    ("utilisation", Figure::Utilisation,
        "Share of the last seconds in which the line was busy", "Parte de los últimos segundos en que la línea estuvo ocupada"),
    ("cycle_overrun", Figure::CycleOverrun,
        "Scans missed since the start because polling took longer", "Ciclos perdidos desde el inicio porque la lectura tardó más"),
    ("requests", Figure::Requests,
        "Requests since the start", "Consultas desde el inicio"),
    ("errors_timeout", Figure::Timeouts,
        "Requests without an answer since the start", "Consultas sin respuesta desde el inicio"),
    ("errors_crc", Figure::Corrupt,
        "Answers broken on the way since the start", "Respuestas dañadas en el camino desde el inicio"),
    ("errors_foreign", Figure::Foreign,
        "Answers with a wrong transaction, unit or function since the start", "Respuestas con transacción, unidad o función equivocada desde el inicio"),
    ("errors_connect", Figure::Connects,
        "Attempts to connect that failed, and connections that broke, since the start", "Intentos de conexión fallidos y conexiones cortadas desde el inicio"),
    ("errors_exception_1", Figure::Exceptions(1),
        "Exceptions 1 (illegal function) since the start", "Excepciones 1 (función ilegal) desde el inicio"),
    ("errors_exception_2", Figure::Exceptions(2),
        "Exceptions 2 (illegal data address) since the start", "Excepciones 2 (dirección ilegal) desde el inicio"),
    ("errors_exception_3", Figure::Exceptions(3),
        "Exceptions 3 (illegal data value) since the start", "Excepciones 3 (valor ilegal) desde el inicio"),
    ("errors_exception_4", Figure::Exceptions(4),
        "Exceptions 4 (device failure) since the start", "Excepciones 4 (falla del equipo) desde el inicio"),
    ("errors_exception_5", Figure::Exceptions(5),
        "Exceptions 5 (acknowledge) since the start", "Excepciones 5 (en proceso) desde el inicio"),
    ("errors_exception_6", Figure::Exceptions(6),
        "Exceptions 6 (device busy) since the start", "Excepciones 6 (equipo ocupado) desde el inicio"),
    ("errors_exception_8", Figure::Exceptions(8),
        "Exceptions 8 (memory parity error) since the start", "Excepciones 8 (error de memoria) desde el inicio"),
    ("errors_exception_10", Figure::Exceptions(10),
        "Exceptions 10 (gateway path unavailable) since the start", "Excepciones 10 (ruta de la pasarela no disponible) desde el inicio"),
    ("errors_exception_11", Figure::Exceptions(11),
        "Exceptions 11 (no answer behind the gateway) since the start", "Excepciones 11 (sin respuesta detrás de la pasarela) desde el inicio"),
    ("errors_exception_other", Figure::Exceptions(0),
        "Other exceptions since the start", "Otras excepciones desde el inicio"),
];

/// Values of `link_state`, in English and in Spanish.
pub(super) const LINK_STATES: [(i64, &str, &str); 5] = [
    (0, "Never connected", "Nunca conectado"),
    (1, "Connection lost", "Conexión perdida"),
    (2, "Device silent", "Equipo sin respuesta"),
    (3, "Answering", "Responde"),
    (4, "Answering over the second endpoint", "Responde por la segunda vía"),
];

impl Figure {
    pub(super) fn name(self) -> &'static str {
        FIGURES.iter().find(|(_, figure, ..)| *figure == self).map_or("", |(name, ..)| name)
    }

    pub(super) fn kind(self) -> ValueKind {
        match self {
            Self::RoundTrip | Self::Utilisation => ValueKind::Float64,
            _ => ValueKind::Int64,
        }
    }

    /// The unit in which it is given where its tag names none.
    pub(super) fn unit(self) -> Option<&'static str> {
        match self {
            Self::RoundTrip => Some("ms"),
            Self::Utilisation => Some("%"),
            _ => None,
        }
    }

    /// What seconds or shares of one are to be multiplied by to come out in the tag's unit.
    fn factor(self, unit: Option<&Unit>) -> f64 {
        let usual = match self {
            Self::RoundTrip => 1e3,
            Self::Utilisation => 100.0,
            _ => 1.0,
        };
        unit.map_or(usual, |unit| 1.0 / unit.scale)
    }
}

/// A word that is no figure.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is nothing that a connection knows of itself: use {known}", known = known())]
pub(super) struct FigureError(String);

fn known() -> String {
    FIGURES.iter().map(|(name, ..)| *name).collect::<Vec<_>>().join(", ")
}

impl FromStr for Figure {
    type Err = FigureError;

    fn from_str(text: &str) -> Result<Self, FigureError> {
        let found = FIGURES.iter().find(|(name, ..)| *name == text);
        found.map(|(_, figure, ..)| *figure).ok_or_else(|| FigureError(text.to_owned()))
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a connection counts while it runs. Others look at it by [`Watched`].
#[derive(Debug)]
pub(super) struct State {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) up: bool,
    pub(super) second: bool,
    pub(super) ever: bool,
    /// Attempts to connect that failed, and connections that broke.
    pub(super) connects: u64,
    pub(super) last_error: Option<String>,
    pub(super) busy: Busy,
    pub(super) units: Vec<UnitState>,
}

/// What is counted of one unit.
#[derive(Clone, Debug, Default)]
pub(super) struct UnitState {
    pub(super) requests: u64,
    pub(super) timeouts: u64,
    pub(super) corrupt: u64,
    pub(super) foreign: u64,
    exceptions: BTreeMap<u8, u64>,
    pub(super) overruns: u64,
    round_trip: Option<f64>,
    /// Nothing of it is answered.
    pub(super) silent: bool,
    /// Some of its reads is left alone.
    pub(super) partly: bool,
    /// It has answered once.
    answered: bool,
    /// It is left alone for a while.
    pub(super) alone: bool,
}

impl UnitState {
    pub(super) fn answered(&mut self, after: Option<Duration>) {
        (self.silent, self.answered, self.alone) = (false, true, false);
        if let Some(after) = after.map(|after| after.as_secs_f64()) {
            // As TCP smooths its own: an eighth of the newest.
            self.round_trip = Some(self.round_trip.map_or(after, |mean| mean + (after - mean) / 8.0));
        }
    }

    pub(super) fn exception(&mut self, exception: Exception) {
        let code = match exception {
            Exception::Other(_) => 0,
            named => named.code(),
        };
        *self.exceptions.entry(code).or_default() += 1;
    }
}

/// How long a slice of time is whose share of use is told.
const SLICE: Duration = Duration::from_secs(10);

/// The share of time in which the line was busy.
#[derive(Debug)]
pub(super) struct Busy {
    since: Instant,
    used: Duration,
    last: Option<f64>,
}

impl Busy {
    fn new(now: Instant) -> Self {
        Self { since: now, used: Duration::ZERO, last: None }
    }

    pub(super) fn add(&mut self, used: Duration, now: Instant) {
        self.used += used;
        let slice = now.duration_since(self.since);
        if slice >= SLICE {
            self.last = Some(self.used.as_secs_f64() / slice.as_secs_f64());
            (self.since, self.used) = (now, Duration::ZERO);
        }
    }

    /// Of the last whole slice, or of the one under way where that is the first or grows old.
    fn share(&self, now: Instant) -> f64 {
        let slice = now.duration_since(self.since);
        let current = if slice.is_zero() { 0.0 } else { self.used.as_secs_f64() / slice.as_secs_f64() };
        let share = if slice >= SLICE { current } else { self.last.unwrap_or(current) };
        share.clamp(0.0, 1.0)
    }
}

impl State {
    pub(super) fn new(units: usize) -> Arc<Self> {
        let inner = Inner {
            up: false,
            second: false,
            ever: false,
            connects: 0,
            last_error: None,
            busy: Busy::new(Instant::now()),
            units: vec![UnitState::default(); units],
        };
        Arc::new(Self { inner: Mutex::new(inner) })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is counted of a unit.
    pub(super) fn unit(&self, unit: usize, change: impl FnOnce(&mut UnitState)) {
        if let Some(state) = self.lock().units.get_mut(unit) {
            change(state);
        }
    }
}

impl Inner {
    /// A figure of a unit; `None` where it has no value yet.
    fn figure(&self, figure: Figure, unit: &UnitState, now: Instant) -> Option<f64> {
        let count = |count: u64| Some(count as f64);
        match figure {
            Figure::LinkState => Some(match (self.ever, self.up) {
                (false, _) => 0.0,
                (true, false) => 1.0,
                (true, true) if unit.silent || !unit.answered => 2.0,
                (true, true) => 3.0 + f64::from(u8::from(self.second)),
            }),
            Figure::RoundTrip => unit.round_trip,
            Figure::Utilisation => Some(self.busy.share(now)),
            Figure::CycleOverrun => count(unit.overruns),
            Figure::Requests => count(unit.requests),
            Figure::Timeouts => count(unit.timeouts),
            Figure::Corrupt => count(unit.corrupt),
            Figure::Foreign => count(unit.foreign),
            Figure::Connects => count(self.connects),
            Figure::Exceptions(code) => count(unit.exceptions.get(&code).copied().unwrap_or_default()),
        }
    }
}

impl Watched for State {
    fn report(&self) -> LinkReport {
        let inner = self.lock();
        let alone = inner.units.iter().filter(|unit| unit.alone).count() as u32;
        let sum = |of: fn(&UnitState) -> u64| inner.units.iter().map(of).sum::<u64>();
        let mut errors: BTreeMap<&'static str, u64> = BTreeMap::from([
            ("connect", inner.connects),
            ("timeout", sum(|unit| unit.timeouts)),
            ("crc", sum(|unit| unit.corrupt)),
            ("foreign frame", sum(|unit| unit.foreign)),
        ]);
        for (code, count) in inner.units.iter().flat_map(|unit| &unit.exceptions) {
            *errors.entry(exception_name(*code)).or_default() += count;
        }
        errors.retain(|_, count| *count > 0);
        let means: Vec<f64> = inner.units.iter().filter_map(|unit| unit.round_trip).collect();
        let mean = means.iter().sum::<f64>() / means.len() as f64;
        LinkReport {
            state: match (inner.ever, inner.up) {
                (false, false) if inner.connects == 0 => LinkState::Waiting,
                (_, false) => LinkState::Down,
                (_, true) if inner.units.iter().any(|unit| unit.silent || unit.partly) => LinkState::Partial,
                (_, true) => LinkState::Up,
            },
            devices: inner.units.len() as u32,
            silent: alone,
            requests: sum(|unit| unit.requests),
            errors,
            overruns: sum(|unit| unit.overruns),
            round_trip: (!means.is_empty()).then(|| Duration::from_secs_f64(mean)),
            utilisation: Some(inner.busy.share(Instant::now())),
            last_error: inner.last_error.clone(),
        }
    }
}

/// For logs and reports.
pub(super) fn exception_name(code: u8) -> &'static str {
    match code {
        1 => "exception 1",
        2 => "exception 2",
        3 => "exception 3",
        4 => "exception 4",
        5 => "exception 5",
        6 => "exception 6",
        8 => "exception 8",
        10 => "exception 10",
        11 => "exception 11",
        _ => "another exception",
    }
}

/// The tags of one unit that tell its figures equally often.
#[derive(Debug)]
pub(super) struct Telling {
    /// Index of the unit.
    pub(super) unit: usize,
    pub(super) timing: Timing,
    columns: Vec<Told>,
}

/// The figures of one kind of value, each with what it is multiplied by.
#[derive(Debug)]
struct Told {
    kind: ValueKind,
    layout: Arc<Layout>,
    figures: Vec<(Figure, f64)>,
}

/// A tag that tells a figure.
#[derive(Clone, Debug)]
pub(super) struct TellingTag {
    pub(super) tag: TagId,
    pub(super) kind: ValueKind,
    pub(super) figure: Figure,
    pub(super) unit: Option<Unit>,
}

impl Telling {
    pub(super) fn new(unit: usize, timing: Timing, tags: &[TellingTag]) -> Self {
        let column = |kind: ValueKind| {
            let tags = tags.iter().filter(move |tag| tag.kind == kind);
            let layout = Layout::new(tags.clone().map(|tag| tag.tag).collect());
            let figures = tags.map(|tag| (tag.figure, tag.figure.factor(tag.unit.as_ref()))).collect::<Vec<_>>();
            (!figures.is_empty()).then_some(Told { kind, layout, figures })
        };
        let columns = [ValueKind::Float64, ValueKind::Int64].into_iter().filter_map(column).collect();
        Self { unit, timing, columns }
    }

    /// The figures now. One without a value has this quality.
    pub(super) fn samples(&self, state: &State, without: Quality, time: Micros) -> Vec<Samples> {
        let inner = state.lock();
        let Some(unit) = inner.units.get(self.unit) else { return Vec::new() };
        let now = Instant::now();
        let scans = self.columns.iter().filter_map(|Told { kind, layout, figures }| {
            let values: Vec<Option<f64>> = figures
                .iter()
                .map(|(figure, factor)| inner.figure(*figure, unit, now).map(|value| value * factor))
                .collect();
            let quality = |value: &Option<f64>| if value.is_some() { Quality::GOOD.0 } else { without.0 };
            let quality: Vec<u16> = values.iter().map(quality).collect();
            let values = match kind {
                ValueKind::Int64 => {
                    Values::Int64(values.iter().map(|value| value.map(|v| v as i64)).collect::<Int64Array>())
                }
                _ => Values::Float64(values.iter().copied().collect::<Float64Array>()),
            };
            Samples::scan(layout, time, values, Some(quality.into())).ok()
        });
        scans.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_has_a_name_of_its_own() {
        for (name, figure, english, spanish) in FIGURES {
            assert_eq!(name.parse(), Ok(*figure));
            assert_eq!(figure.name(), *name);
            assert!(english != spanish);
        }
        let mut names: Vec<&str> = FIGURES.iter().map(|(name, ..)| *name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), FIGURES.len());
        assert!("round".parse::<Figure>().unwrap_err().to_string().contains("round_trip"));
    }

    #[test]
    fn use_is_told_of_the_last_whole_slice() {
        let start = Instant::now();
        let mut busy = Busy::new(start);
        busy.add(SLICE / 10, start + SLICE / 2);
        assert!((busy.share(start + SLICE / 2) - 0.2).abs() < 1e-9);
        busy.add(SLICE / 10, start + SLICE);
        assert!((busy.share(start + SLICE) - 0.2).abs() < 1e-9);
        busy.add(SLICE / 2, start + SLICE + SLICE / 2);
        assert!((busy.share(start + SLICE + SLICE / 2) - 0.2).abs() < 1e-9, "the slice under way does not count yet");
    }
}
