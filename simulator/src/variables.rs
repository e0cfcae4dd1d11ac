//! What is measured on wells and separators: names, units, spans, and how well it is measured.

use crate::field::{Separator, Well};

/// Something that is measured on a well or a separator.
#[derive(Debug)]
pub struct Variable {
    /// As tags are called: `THP`.
    pub name: &'static str,
    /// As units are written in sites; none for counts and switches.
    pub unit: Option<&'static str>,
    /// What its transmitter can show. Switches, counts and totals have none.
    pub span: Option<[f64; 2]>,
    /// Standard deviation of its noise: in the unit, and as a share of the value.
    pub noise: [f64; 2],
    pub kind: Kind,
    /// What it is, in English and in Spanish.
    pub about: [&'static str; 2],
    read: Read,
}

/// What its values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A number of any value.
    Analogue,
    /// 0 or 1, and what each means.
    Switch([&'static str; 2]),
    /// A whole number.
    Count,
    /// A total that begins again at zero when it reaches this.
    Total { rolls_over_at: u32 },
}

/// How it is read off the physics.
#[derive(Debug)]
enum Read {
    Well(fn(&Well, &Around) -> f64),
    Separator(fn(&Separator, &Around) -> f64),
}

/// What a device knows beside the equipment itself.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Around {
    /// Whether a well flows to a test separator.
    pub(crate) on_test: bool,
    /// Number of the well that flows to a test separator, 0 for none.
    pub(crate) testing: u32,
    /// What the counters showed at the beginning.
    pub(crate) counted: f64,
}

impl Variable {
    /// Its true value on a well; 0 where it is a separator's.
    pub(crate) fn of_well(&self, well: &Well, around: &Around) -> f64 {
        match self.read {
            Read::Well(read) => read(well, around),
            Read::Separator(_) => 0.0,
        }
    }

    /// Its true value on a separator; 0 where it is a well's.
    pub(crate) fn of_separator(&self, separator: &Separator, around: &Around) -> f64 {
        match self.read {
            Read::Separator(read) => read(separator, around),
            Read::Well(_) => 0.0,
        }
    }

    const fn new(name: &'static str, kind: Kind, read: Read) -> Self {
        Self { name, unit: None, span: None, noise: [0.0, 0.0], kind, about: ["", ""], read }
    }

    const fn unit(mut self, unit: &'static str) -> Self {
        self.unit = Some(unit);
        self
    }

    const fn span(mut self, low: f64, high: f64) -> Self {
        self.span = Some([low, high]);
        self
    }

    const fn noise(mut self, absolute: f64, relative: f64) -> Self {
        self.noise = [absolute, relative];
        self
    }

    const fn about(mut self, english: &'static str, spanish: &'static str) -> Self {
        self.about = [english, spanish];
        self
    }
}

const fn well(name: &'static str, kind: Kind, read: fn(&Well, &Around) -> f64) -> Variable {
    Variable::new(name, kind, Read::Well(read))
}

const fn separator(name: &'static str, kind: Kind, read: fn(&Separator, &Around) -> f64) -> Variable {
    Variable::new(name, kind, Read::Separator(read))
}

/// Totals roll over as six-digit counters do.
const SIX_DIGITS: Kind = Kind::Total { rolls_over_at: 1_000_000 };
const RUNS: Kind = Kind::Switch(["Stopped", "Running"]);
const YES: Kind = Kind::Switch(["No", "Yes"]);
const HIGH: Kind = Kind::Switch(["Normal", "High"]);
const LOW: Kind = Kind::Switch(["Normal", "Low"]);

fn on(is: bool) -> f64 {
    f64::from(u8::from(is))
}

/// What is measured on a well.
pub(crate) const WELL: &[Variable] = &[
    well("THP", Kind::Analogue, |it, _| it.head_pressure())
        .unit("psig")
        .span(0.0, 3_000.0)
        .noise(0.8, 0.001)
        .about("Tubing head pressure", "Presión de cabeza"),
    well("CHP", Kind::Analogue, |it, _| it.casing_pressure())
        .unit("psig")
        .span(0.0, 3_000.0)
        .noise(0.6, 0.001)
        .about("Casing head pressure", "Presión de casing"),
    well("FLP", Kind::Analogue, |it, _| it.line_pressure())
        .unit("psig")
        .span(0.0, 1_500.0)
        .noise(0.5, 0.001)
        .about("Flow line pressure", "Presión de línea"),
    well("FLT", Kind::Analogue, |it, _| it.line_temperature())
        .unit("degF")
        .span(0.0, 400.0)
        .noise(0.15, 0.0)
        .about("Flow line temperature", "Temperatura de línea"),
    well("PIP", Kind::Analogue, |it, _| it.intake_pressure())
        .unit("psig")
        .span(0.0, 5_000.0)
        .noise(0.8, 0.0005)
        .about("Pump intake pressure", "Presión de entrada de la bomba"),
    well("PDP", Kind::Analogue, |it, _| it.discharge_pressure())
        .unit("psig")
        .span(0.0, 8_000.0)
        .noise(2.0, 0.0005)
        .about("Pump discharge pressure", "Presión de descarga de la bomba"),
    well("MOTOR_TEMP", Kind::Analogue, |it, _| it.motor_temperature())
        .unit("degF")
        .span(0.0, 500.0)
        .noise(0.2, 0.0)
        .about("Motor temperature", "Temperatura del motor"),
    well("ESP_CURRENT", Kind::Analogue, |it, _| it.current())
        .unit("A")
        .span(0.0, 250.0)
        // Of the reading alone: a motor that is off has no current, and shows none.
        .noise(0.0, 0.004)
        .about("Motor current", "Corriente del motor"),
    well("ESP_FREQUENCY", Kind::Analogue, |it, _| it.frequency())
        .unit("Hz")
        .span(0.0, 90.0)
        .noise(0.0, 0.0002)
        .about("Drive frequency", "Frecuencia del variador"),
    well("ESP_VOLTAGE", Kind::Analogue, |it, _| it.voltage())
        .unit("V")
        .span(0.0, 5_000.0)
        .noise(0.0, 0.002)
        .about("Drive voltage", "Voltaje del variador"),
    well("VIBRATION", Kind::Analogue, |it, _| it.vibration())
        .unit("g")
        .span(0.0, 5.0)
        .noise(0.004, 0.05)
        .about("Pump vibration", "Vibración de la bomba"),
    well("CHOKE", Kind::Analogue, |it, _| 100.0 * it.opening())
        .unit("%")
        .span(0.0, 100.0)
        .noise(0.05, 0.0)
        .about("Choke opening", "Apertura del choke"),
    well("OIL_RATE", Kind::Analogue, |it, _| it.rates().oil)
        .unit("stb/d")
        .span(0.0, 5_000.0)
        .noise(0.0, 0.006)
        .about("Oil rate", "Caudal de petróleo"),
    well("WATER_RATE", Kind::Analogue, |it, _| it.rates().water)
        .unit("stb/d")
        .span(0.0, 10_000.0)
        .noise(0.0, 0.006)
        .about("Water rate", "Caudal de agua"),
    well("GAS_RATE", Kind::Analogue, |it, _| it.rates().gas)
        .unit("Mscf/d")
        .span(0.0, 5_000.0)
        .noise(0.0, 0.012)
        .about("Gas rate", "Caudal de gas"),
    well("RUN_HOURS", Kind::Count, |it, _| it.run_hours()).about("Hours run", "Horas de marcha"),
    well("STARTS", Kind::Count, |it, _| f64::from(it.starts())).about("Starts of the pump", "Arranques de la bomba"),
    well("RUN", RUNS, |it, _| on(it.turns())).about("Run status", "Marcha"),
    well("ON_TEST", YES, |_, around| on(around.on_test))
        .about("Flows to the test separator", "Fluye al separador de prueba"),
];

/// What is measured on a separator.
pub(crate) const SEPARATOR: &[Variable] = &[
    separator("PRESSURE", Kind::Analogue, |it, _| it.gauge_pressure())
        .unit("psig")
        .span(0.0, 600.0)
        .noise(0.2, 0.001)
        .about("Pressure", "Presión"),
    separator("TEMP", Kind::Analogue, |it, _| it.temperature())
        .unit("degF")
        .span(0.0, 300.0)
        .noise(0.1, 0.0)
        .about("Temperature", "Temperatura"),
    separator("LEVEL", Kind::Analogue, |it, _| 100.0 * it.oil_level())
        .unit("%")
        .span(0.0, 100.0)
        .noise(0.15, 0.0)
        .about("Oil level", "Nivel de petróleo"),
    separator("WATER_LEVEL", Kind::Analogue, |it, _| 100.0 * it.water_level())
        .unit("%")
        .span(0.0, 100.0)
        .noise(0.15, 0.0)
        .about("Water level", "Nivel de agua"),
    separator("OIL_RATE", Kind::Analogue, |it, _| it.flows().oil)
        .unit("stb/d")
        .span(0.0, 65_000.0)
        .noise(0.0, 0.003)
        .about("Oil meter", "Medidor de petróleo"),
    separator("WATER_RATE", Kind::Analogue, |it, _| it.flows().water)
        .unit("stb/d")
        .span(0.0, 65_000.0)
        .noise(0.0, 0.003)
        .about("Water meter", "Medidor de agua"),
    separator("GAS_RATE", Kind::Analogue, |it, _| it.flows().gas)
        .unit("Mscf/d")
        .span(0.0, 65_000.0)
        .noise(0.0, 0.006)
        .about("Gas meter", "Medidor de gas"),
    separator("OIL_TOTAL", SIX_DIGITS, |it, around| around.counted + it.metered().oil)
        .unit("stb")
        .about("Oil total", "Totalizador de petróleo"),
    separator("WATER_TOTAL", SIX_DIGITS, |it, around| around.counted + it.metered().water)
        .unit("stb")
        .about("Water total", "Totalizador de agua"),
    separator("GAS_TOTAL", SIX_DIGITS, |it, around| around.counted + it.metered().gas)
        .unit("Mscf")
        .about("Gas total", "Totalizador de gas"),
    separator("WELL_ON_TEST", Kind::Count, |_, around| f64::from(around.testing))
        .about("Number of the well on test, 0 for none", "Número del pozo en prueba, 0 si no hay"),
    separator("LEVEL_HIGH", HIGH, |it, _| on(it.oil_level() > 0.75))
        .about("High level switch", "Interruptor de nivel alto"),
    separator("LEVEL_LOW", LOW, |it, _| on(it.oil_level() < 0.15))
        .about("Low level switch", "Interruptor de nivel bajo"),
];
