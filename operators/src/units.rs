//! The oil field's units of measure.
//!
//! Scales are to the coherent SI unit, exact where a definition is exact. Sources:
//! - *NIST SP 811* (2008), appendix B: inch, foot, pound, gallon (231 in³), psi, atmosphere, conventional mmHg and
//!   inH2O (4 °C), BtuIT, horsepower (550 ft·lbf/s), kgf (standard gravity 9.80665 m/s²).
//! - *SPE, The SI Metric System of Units and SPE Metric Standard* (1984): barrel of 42 US gallons; `M` is thousand
//!   and `MM` million in volumes of oil and gas (`Mscf`, `MMscf`), while `MPa`, `MW`, `Mohm` keep SI's mega.
//! - *ISO 13443* for the standard cubic metre (15 °C, 101.325 kPa). `scf` and `stb` are at 60 °F and 14.696 psia; the
//!   0.2 % that gas differs between the two conditions is not converted: 1 Sm3 is 35.3147 scf, as production books
//!   have it. The normal cubic metre (0 °C) is not here, because it would read as the same.
//!
//! `psi`, `bar`, `kPa`, `MPa`, `kg/cm2` without a letter are differences; `g` and `a` behind them say gauge and
//! absolute. Volumes are standard (`stb`, `Sm3`, `scf`) or at flowing conditions (`bbl`, `m3`, `L`, `gal`, `ft3`).
//! API gravity is not proportional to density and converts to nothing but itself. `g` is standard gravity, as
//! vibration is given in; the mass is `gram`.

use ducto_record::{Dimension, Measure, Reference, Units};

use Reference::{Absolute, Actual, Differential, Gauge, None as Plain, Standard};

// Exponents: length, mass, time, current, temperature, amount, luminosity.
const NUMBER: [i8; 7] = [0, 0, 0, 0, 0, 0, 0];
const LENGTH: [i8; 7] = [1, 0, 0, 0, 0, 0, 0];
const AREA: [i8; 7] = [2, 0, 0, 0, 0, 0, 0];
const VOLUME: [i8; 7] = [3, 0, 0, 0, 0, 0, 0];
const RATE: [i8; 7] = [3, 0, -1, 0, 0, 0, 0];
const MASS: [i8; 7] = [0, 1, 0, 0, 0, 0, 0];
const MASS_RATE: [i8; 7] = [0, 1, -1, 0, 0, 0, 0];
const DENSITY: [i8; 7] = [-3, 1, 0, 0, 0, 0, 0];
const TIME: [i8; 7] = [0, 0, 1, 0, 0, 0, 0];
const FREQUENCY: [i8; 7] = [0, 0, -1, 0, 0, 0, 0];
const SPEED: [i8; 7] = [1, 0, -1, 0, 0, 0, 0];
const ACCELERATION: [i8; 7] = [1, 0, -2, 0, 0, 0, 0];
const FORCE: [i8; 7] = [1, 1, -2, 0, 0, 0, 0];
const PRESSURE: [i8; 7] = [-1, 1, -2, 0, 0, 0, 0];
const GRADIENT: [i8; 7] = [-2, 1, -2, 0, 0, 0, 0];
const PRODUCTIVITY: [i8; 7] = [4, -1, 1, 0, 0, 0, 0];
const ENERGY: [i8; 7] = [2, 1, -2, 0, 0, 0, 0];
const POWER: [i8; 7] = [2, 1, -3, 0, 0, 0, 0];
const VISCOSITY: [i8; 7] = [-1, 1, -1, 0, 0, 0, 0];
const KINEMATIC_VISCOSITY: [i8; 7] = [2, 0, -1, 0, 0, 0, 0];
const HEATING_VALUE: [i8; 7] = [-1, 1, -2, 0, 0, 0, 0];
const CURRENT: [i8; 7] = [0, 0, 0, 1, 0, 0, 0];
const VOLTAGE: [i8; 7] = [2, 1, -3, -1, 0, 0, 0];
const RESISTANCE: [i8; 7] = [2, 1, -3, -2, 0, 0, 0];
const CONDUCTIVITY: [i8; 7] = [-3, -1, 3, 2, 0, 0, 0];
const TEMPERATURE: [i8; 7] = [0, 0, 0, 0, 1, 0, 0];

const INCH: f64 = 0.0254;
const FOOT: f64 = 0.3048;
const FOOT3: f64 = FOOT * FOOT * FOOT;
const POUND: f64 = 0.453_592_37;
const GRAVITY: f64 = 9.806_65;
const POUND_FORCE: f64 = POUND * GRAVITY;
const PSI: f64 = POUND_FORCE / (INCH * INCH);
const KG_CM2: f64 = 98_066.5;
const GALLON: f64 = 231.0 * INCH * INCH * INCH;
const BARREL: f64 = 42.0 * GALLON;
const MINUTE: f64 = 60.0;
const HOUR: f64 = 3_600.0;
const DAY: f64 = 86_400.0;
const BTU: f64 = 1_055.055_852_62;
/// Fahrenheit's zero, in kelvin.
const ZERO_FAHRENHEIT: f64 = 459.67 / 1.8;

/// What a site can choose a unit to be shown in.
const QUANTITIES: &[(&str, [i8; 7])] = &[
    ("pressure", PRESSURE),
    ("pressure_gradient", GRADIENT),
    ("temperature", TEMPERATURE),
    ("length", LENGTH),
    ("area", AREA),
    ("liquid_volume", VOLUME),
    ("gas_volume", VOLUME),
    ("liquid_rate", RATE),
    ("gas_rate", RATE),
    ("mass", MASS),
    ("mass_rate", MASS_RATE),
    ("density", DENSITY),
    ("viscosity", VISCOSITY),
    ("time", TIME),
    ("frequency", FREQUENCY),
    ("speed", SPEED),
    ("acceleration", ACCELERATION),
    ("force", FORCE),
    ("energy", ENERGY),
    ("power", POWER),
    ("current", CURRENT),
    ("voltage", VOLTAGE),
    ("resistance", RESISTANCE),
    ("ratio", NUMBER),
];

/// Symbol, dimension, what it is measured against, scale to SI, other spellings.
type Row = (&'static str, [i8; 7], Reference, f64, &'static [&'static str]);

#[rustfmt::skip]
const UNITS: &[Row] = &[
    // Pressure
    ("psi", PRESSURE, Differential, PSI, &["psid"]),
    ("psig", PRESSURE, Gauge, PSI, &["PSIG", "psi(g)"]),
    ("psia", PRESSURE, Absolute, PSI, &["PSIA", "psi(a)"]),
    ("bar", PRESSURE, Differential, 1e5, &["bard"]),
    ("barg", PRESSURE, Gauge, 1e5, &["bar(g)"]),
    ("bara", PRESSURE, Absolute, 1e5, &["bar(a)"]),
    ("mbar", PRESSURE, Differential, 100.0, &[]),
    ("mbarg", PRESSURE, Gauge, 100.0, &[]),
    ("mbara", PRESSURE, Absolute, 100.0, &["hPa"]),
    ("Pa", PRESSURE, Differential, 1.0, &[]),
    ("kPa", PRESSURE, Differential, 1e3, &["kPad"]),
    ("kPag", PRESSURE, Gauge, 1e3, &["kPa(g)"]),
    ("kPaa", PRESSURE, Absolute, 1e3, &["kPa(a)"]),
    ("MPa", PRESSURE, Differential, 1e6, &["MPad"]),
    ("MPag", PRESSURE, Gauge, 1e6, &["MPa(g)"]),
    ("MPaa", PRESSURE, Absolute, 1e6, &["MPa(a)"]),
    ("kg/cm2", PRESSURE, Differential, KG_CM2, &["kg/cm²", "kgf/cm2", "kgf/cm²"]),
    ("kg/cm2g", PRESSURE, Gauge, KG_CM2, &["kg/cm²g", "kgf/cm2g", "kg/cm2(g)", "kg/cm²(g)"]),
    ("kg/cm2a", PRESSURE, Absolute, KG_CM2, &["kg/cm²a", "kgf/cm2a", "kg/cm2(a)", "kg/cm²(a)"]),
    ("atm", PRESSURE, Absolute, 101_325.0, &[]),
    ("inH2O", PRESSURE, Differential, 249.088_91, &["inH₂O", "inWC"]),
    ("mmH2O", PRESSURE, Differential, 9.806_65, &["mmH₂O"]),
    ("inHg", PRESSURE, Differential, 3_386.388_640, &[]),
    ("mmHg", PRESSURE, Differential, 133.322_387_415, &[]),
    ("psi/ft", GRADIENT, Differential, PSI / FOOT, &[]),
    ("kPa/m", GRADIENT, Differential, 1e3, &[]),
    // Length and area
    ("m", LENGTH, Plain, 1.0, &[]),
    ("km", LENGTH, Plain, 1e3, &[]),
    ("cm", LENGTH, Plain, 1e-2, &[]),
    ("mm", LENGTH, Plain, 1e-3, &[]),
    ("um", LENGTH, Plain, 1e-6, &["µm", "μm"]),
    ("ft", LENGTH, Plain, FOOT, &[]),
    ("in", LENGTH, Plain, INCH, &["inch"]),
    ("mil", LENGTH, Plain, INCH / 1e3, &[]),
    ("1/64in", LENGTH, Plain, INCH / 64.0, &["64ths"]),
    ("m2", AREA, Plain, 1.0, &["m²"]),
    ("ft2", AREA, Plain, FOOT * FOOT, &["ft²"]),
    ("in2", AREA, Plain, INCH * INCH, &["in²"]),
    // Volume at flowing conditions
    ("m3", VOLUME, Actual, 1.0, &["m³"]),
    ("L", VOLUME, Actual, 1e-3, &["l"]),
    ("ft3", VOLUME, Actual, FOOT3, &["ft³", "cf"]),
    ("gal", VOLUME, Actual, GALLON, &[]),
    ("bbl", VOLUME, Actual, BARREL, &["BBL"]),
    // Volume at standard conditions
    ("Sm3", VOLUME, Standard, 1.0, &["Sm³", "sm3"]),
    ("stb", VOLUME, Standard, BARREL, &["STB"]),
    ("Mstb", VOLUME, Standard, 1e3 * BARREL, &["MSTB"]),
    ("MMstb", VOLUME, Standard, 1e6 * BARREL, &["MMSTB"]),
    ("scf", VOLUME, Standard, FOOT3, &["SCF"]),
    ("Mscf", VOLUME, Standard, 1e3 * FOOT3, &["MSCF", "MPC"]),
    ("MMscf", VOLUME, Standard, 1e6 * FOOT3, &["MMSCF", "MMPC"]),
    ("Bscf", VOLUME, Standard, 1e9 * FOOT3, &["BSCF", "BCF"]),
    // Rate at flowing conditions
    ("m3/s", RATE, Actual, 1.0, &["m³/s"]),
    ("m3/h", RATE, Actual, 1.0 / HOUR, &["m³/h"]),
    ("m3/d", RATE, Actual, 1.0 / DAY, &["m³/d"]),
    ("L/s", RATE, Actual, 1e-3, &["l/s"]),
    ("L/min", RATE, Actual, 1e-3 / MINUTE, &["l/min", "lpm"]),
    ("L/h", RATE, Actual, 1e-3 / HOUR, &["l/h"]),
    ("L/d", RATE, Actual, 1e-3 / DAY, &["l/d"]),
    ("gpm", RATE, Actual, GALLON / MINUTE, &["gal/min", "GPM"]),
    ("gal/h", RATE, Actual, GALLON / HOUR, &["gph"]),
    ("gal/d", RATE, Actual, GALLON / DAY, &["gpd", "GPD"]),
    ("bbl/min", RATE, Actual, BARREL / MINUTE, &["bpm", "BPM"]),
    ("bbl/h", RATE, Actual, BARREL / HOUR, &["bph", "BPH"]),
    ("bbl/d", RATE, Actual, BARREL / DAY, &["BBL/D"]),
    ("ft3/s", RATE, Actual, FOOT3, &["ft³/s", "cfs"]),
    ("ft3/min", RATE, Actual, FOOT3 / MINUTE, &["ft³/min", "acfm", "ACFM"]),
    ("ft3/d", RATE, Actual, FOOT3 / DAY, &["ft³/d"]),
    // Rate at standard conditions
    ("stb/d", RATE, Standard, BARREL / DAY,
        &["STB/D", "stbd", "STBD", "BPD", "bpd", "BOPD", "bopd", "BFPD", "bfpd", "BWPD", "bwpd", "BLPD", "blpd"]),
    ("Mstb/d", RATE, Standard, 1e3 * BARREL / DAY, &["MSTB/D", "MBPD", "MBOPD"]),
    ("Sm3/h", RATE, Standard, 1.0 / HOUR, &["Sm³/h"]),
    ("Sm3/d", RATE, Standard, 1.0 / DAY, &["Sm³/d"]),
    ("scf/min", RATE, Standard, FOOT3 / MINUTE, &["scfm", "SCFM"]),
    ("scf/d", RATE, Standard, FOOT3 / DAY, &["SCF/D", "scfd", "SCFD", "PCD"]),
    ("Mscf/d", RATE, Standard, 1e3 * FOOT3 / DAY, &["MSCF/D", "Mscfd", "MSCFD", "MPCD", "MCFD"]),
    ("MMscf/d", RATE, Standard, 1e6 * FOOT3 / DAY, &["MMSCF/D", "MMscfd", "MMSCFD", "MMPCD", "MMCFD"]),
    // Ratios of volumes, and wells
    ("scf/stb", NUMBER, Standard, FOOT3 / BARREL, &["SCF/STB", "PC/BBL"]),
    ("Mscf/stb", NUMBER, Standard, 1e3 * FOOT3 / BARREL, &["MSCF/STB"]),
    ("Sm3/Sm3", NUMBER, Standard, 1.0, &["Sm³/Sm³"]),
    ("stb/d/psi", PRODUCTIVITY, Standard, BARREL / DAY / PSI, &["STB/D/PSI", "BPD/psi"]),
    ("Btu/scf", HEATING_VALUE, Standard, BTU / FOOT3, &["BTU/SCF"]),
    ("MJ/Sm3", HEATING_VALUE, Standard, 1e6, &["MJ/Sm³"]),
    // Mass
    ("kg", MASS, Plain, 1.0, &[]),
    ("gram", MASS, Plain, 1e-3, &[]),
    ("t", MASS, Plain, 1e3, &["tonne"]),
    ("lb", MASS, Plain, POUND, &["lbm"]),
    ("klb", MASS, Plain, 1e3 * POUND, &[]),
    ("kg/s", MASS_RATE, Plain, 1.0, &[]),
    ("kg/h", MASS_RATE, Plain, 1.0 / HOUR, &[]),
    ("t/h", MASS_RATE, Plain, 1e3 / HOUR, &[]),
    ("t/d", MASS_RATE, Plain, 1e3 / DAY, &[]),
    ("lb/h", MASS_RATE, Plain, POUND / HOUR, &[]),
    ("lb/min", MASS_RATE, Plain, POUND / MINUTE, &[]),
    ("kg/m3", DENSITY, Plain, 1.0, &["kg/m³"]),
    ("g/cm3", DENSITY, Plain, 1e3, &["g/cm³", "g/cc"]),
    ("lb/gal", DENSITY, Plain, POUND / GALLON, &["ppg", "lbm/gal"]),
    ("lb/ft3", DENSITY, Plain, POUND / FOOT3, &["lb/ft³", "pcf"]),
    ("mg/L", DENSITY, Plain, 1e-3, &["mg/l"]),
    ("API", DENSITY, Standard, 1.0, &["°API", "ºAPI", "degAPI"]),
    // Electricity
    ("A", CURRENT, Plain, 1.0, &["amp"]),
    ("mA", CURRENT, Plain, 1e-3, &[]),
    ("V", VOLTAGE, Plain, 1.0, &[]),
    ("mV", VOLTAGE, Plain, 1e-3, &[]),
    ("kV", VOLTAGE, Plain, 1e3, &[]),
    ("ohm", RESISTANCE, Plain, 1.0, &["Ω"]),
    ("kohm", RESISTANCE, Plain, 1e3, &["kΩ"]),
    ("Mohm", RESISTANCE, Plain, 1e6, &["MΩ"]),
    ("uS/cm", CONDUCTIVITY, Plain, 1e-4, &["µS/cm", "μS/cm"]),
    ("W", POWER, Plain, 1.0, &[]),
    ("kW", POWER, Plain, 1e3, &[]),
    ("MW", POWER, Plain, 1e6, &[]),
    ("hp", POWER, Plain, 550.0 * FOOT * POUND_FORCE, &["HP"]),
    ("J", ENERGY, Plain, 1.0, &[]),
    ("kJ", ENERGY, Plain, 1e3, &[]),
    ("MJ", ENERGY, Plain, 1e6, &[]),
    ("GJ", ENERGY, Plain, 1e9, &[]),
    ("kWh", ENERGY, Plain, 3.6e6, &[]),
    ("MWh", ENERGY, Plain, 3.6e9, &[]),
    ("Btu", ENERGY, Plain, BTU, &["BTU"]),
    ("MMBtu", ENERGY, Plain, 1e6 * BTU, &["MMBTU"]),
    // Time, frequency, speed, vibration
    ("s", TIME, Plain, 1.0, &["sec"]),
    ("ms", TIME, Plain, 1e-3, &[]),
    ("min", TIME, Plain, MINUTE, &[]),
    ("h", TIME, Plain, HOUR, &["hr", "hour"]),
    ("d", TIME, Plain, DAY, &["day"]),
    ("Hz", FREQUENCY, Plain, 1.0, &["hz"]),
    ("kHz", FREQUENCY, Plain, 1e3, &[]),
    ("rpm", FREQUENCY, Plain, 1.0 / MINUTE, &["RPM"]),
    ("spm", FREQUENCY, Plain, 1.0 / MINUTE, &["SPM"]),
    ("m/s", SPEED, Plain, 1.0, &[]),
    ("m/min", SPEED, Plain, 1.0 / MINUTE, &[]),
    ("m/h", SPEED, Plain, 1.0 / HOUR, &["m/hr"]),
    ("km/h", SPEED, Plain, 1e3 / HOUR, &[]),
    ("mm/s", SPEED, Plain, 1e-3, &[]),
    ("ft/s", SPEED, Plain, FOOT, &[]),
    ("ft/min", SPEED, Plain, FOOT / MINUTE, &[]),
    ("ft/h", SPEED, Plain, FOOT / HOUR, &["ft/hr"]),
    ("in/s", SPEED, Plain, INCH, &["ips"]),
    ("m/s2", ACCELERATION, Plain, 1.0, &["m/s²"]),
    ("g", ACCELERATION, Plain, GRAVITY, &[]),
    // Force and torque
    ("N", FORCE, Plain, 1.0, &[]),
    ("daN", FORCE, Plain, 10.0, &[]),
    ("kN", FORCE, Plain, 1e3, &[]),
    ("kgf", FORCE, Plain, GRAVITY, &[]),
    ("tf", FORCE, Plain, 1e3 * GRAVITY, &[]),
    ("lbf", FORCE, Plain, POUND_FORCE, &[]),
    ("klbf", FORCE, Plain, 1e3 * POUND_FORCE, &["kip"]),
    // A torque is no energy, although the dimension is the same.
    ("N.m", ENERGY, Differential, 1.0, &["N·m", "Nm"]),
    ("kN.m", ENERGY, Differential, 1e3, &["kN·m", "kNm"]),
    ("ft.lbf", ENERGY, Differential, FOOT * POUND_FORCE, &["ft·lbf", "ft-lbf", "ft-lb", "lbf.ft"]),
    ("kft.lbf", ENERGY, Differential, 1e3 * FOOT * POUND_FORCE, &["kft·lbf", "kft-lbf", "kft-lb", "klbf.ft"]),
    // Fluids
    ("Pa.s", VISCOSITY, Plain, 1.0, &["Pa·s"]),
    ("cP", VISCOSITY, Plain, 1e-3, &["mPa.s", "mPa·s"]),
    ("cSt", KINEMATIC_VISCOSITY, Plain, 1e-6, &["mm2/s", "mm²/s"]),
    // Numbers
    ("fraction", NUMBER, Plain, 1.0, &["ratio"]),
    ("%", NUMBER, Plain, 1e-2, &["percent"]),
    ("ppm", NUMBER, Plain, 1e-6, &[]),
    // An angle is a difference of directions: it must not read as a percentage.
    ("rad", NUMBER, Differential, 1.0, &[]),
    ("deg", NUMBER, Differential, std::f64::consts::PI / 180.0, &["°"]),
    // Differences of temperature
    ("delta_degC", TEMPERATURE, Differential, 1.0, &["Δ°C", "delta_K"]),
    ("delta_degF", TEMPERATURE, Differential, 1.0 / 1.8, &["Δ°F"]),
];

/// Temperatures, whose scales begin at different zeros: symbol, scale, offset, other spellings.
const TEMPERATURES: &[(&str, f64, f64, &[&str])] = &[
    ("K", 1.0, 0.0, &[]),
    ("degC", 1.0, 273.15, &["°C", "ºC"]),
    ("degF", 1.0 / 1.8, ZERO_FAHRENHEIT, &["°F", "ºF"]),
    ("degR", 1.0 / 1.8, 0.0, &["°R", "ºR"]),
];

/// Every unit of the oil field, with its spellings.
pub fn units() -> Units {
    let mut units = Units::default();
    for &(name, dimension) in QUANTITIES {
        units.register_quantity(name, Dimension(dimension));
    }
    for &(symbol, dimension, reference, scale, aliases) in UNITS {
        let unit = Measure { symbol: symbol.into(), dimension: Dimension(dimension), reference, scale, offset: 0.0 };
        units.register(unit.into(), aliases);
    }
    for &(symbol, scale, offset, aliases) in TEMPERATURES {
        let dimension = Dimension(TEMPERATURE);
        units.register(Measure { symbol: symbol.into(), dimension, reference: Plain, scale, offset }.into(), aliases);
    }
    units
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use ducto_record::{Unit, UnitError};

    /// The site of the examples: 14.0 psia of atmosphere.
    const ATMOSPHERE: f64 = 14.0 * PSI;

    fn convert(value: f64, from: &str, to: &str) -> Result<f64, UnitError> {
        let units = units();
        let (from, to) = (units.get(from).unwrap(), units.get(to).unwrap());
        from.to(to, Some(ATMOSPHERE)).map(|conversion| conversion.apply(value))
    }

    #[test]
    fn no_name_is_given_twice() {
        let mut units = Units::default();
        for &(symbol, dimension, reference, scale, aliases) in UNITS {
            let unit =
                Measure { symbol: symbol.into(), dimension: Dimension(dimension), reference, scale, offset: 0.0 };
            assert!(units.register(unit.into(), aliases), "{symbol} or one of {aliases:?} is there twice");
        }
        for &(symbol, scale, offset, aliases) in TEMPERATURES {
            let dimension = Dimension(TEMPERATURE);
            let unit = Measure { symbol: symbol.into(), dimension, reference: Plain, scale, offset };
            assert!(units.register(unit.into(), aliases), "{symbol} or one of {aliases:?} is there twice");
        }
    }

    #[test]
    fn textbook_values() {
        // Value, unit, expected value, unit: from NIST SP 811, the SPE standard and field handbooks.
        let table = [
            (1.0, "psi", 6.894_757, "kPa"),
            (14.695_949, "psia", 1.0, "atm"),
            (1.0, "bar", 14.503_774, "psi"),
            (1.0, "kg/cm2", 14.223_343, "psi"),
            (1.0, "kg/cm²", 0.980_665, "bar"),
            (1.0, "MPa", 145.037_738, "psi"),
            (27.679_905, "inH2O", 1.0, "psi"),
            (760.0, "mmHg", 101.325, "kPa"),
            (100.0, "psig", 114.0, "psia"),
            (114.0, "psia", 100.0, "psig"),
            (0.0, "kPag", 96.526_602, "kPaa"),
            (10.0, "kg/cm2g", 156.233_434, "psia"),
            (1.0, "psi/ft", 22.620_594, "kPa/m"),
            (212.0, "°F", 100.0, "°C"),
            (-40.0, "degF", -40.0, "degC"),
            (60.0, "degF", 15.555_556, "degC"),
            (0.0, "degC", 273.15, "K"),
            (491.67, "degR", 273.15, "K"),
            (18.0, "delta_degF", 10.0, "delta_degC"),
            (1.0, "bbl", 42.0, "gal"),
            (1.0, "bbl", 0.158_987_295, "m3"),
            (1.0, "m3", 6.289_811, "bbl"),
            (1.0, "stb", 5.614_583, "scf"),
            (1.0, "Sm3", 35.314_667, "scf"),
            (1.0, "Mscf", 1_000.0, "scf"),
            (1.0, "MMscf", 1_000.0, "Mscf"),
            (1.0, "MMscf/d", 1_000.0, "MPCD"),
            (1.0, "MMPCD", 28_316.846_592, "Sm3/d"),
            (1_000.0, "BOPD", 158.987_295, "Sm3/d"),
            (1.0, "BPD", 1.0, "STB/D"),
            (1.0, "gpm", 34.285_714, "bbl/d"),
            (1.0, "m3/h", 150.955_46, "bbl/d"),
            (1.0, "L/s", 15.850_323, "gpm"),
            (1_000.0, "scf/stb", 178.107_607, "Sm3/Sm3"),
            (1.0, "lb", 0.453_592_37, "kg"),
            (8.345_404, "lb/gal", 1_000.0, "kg/m3"),
            (62.427_961, "lb/ft3", 1_000.0, "kg/m3"),
            (1.0, "hp", 0.745_699_872, "kW"),
            (1.0, "kWh", 3_412.141_63, "Btu"),
            (3_600.0, "rpm", 60.0, "Hz"),
            (1.0, "in/s", 25.4, "mm/s"),
            (100.0, "ft/h", 30.48, "m/h"),
            (1.0, "klbf", 4.448_221_615, "kN"),
            (1.0, "tf", 2.204_622_622, "klbf"),
            (1.0, "ft-lb", 1.355_817_948, "N.m"),
            (64.0, "64ths", 1.0, "in"),
            (25.0, "%", 0.25, "fraction"),
            (1.0, "g", 9.806_65, "m/s2"),
            (180.0, "deg", std::f64::consts::PI, "rad"),
            (1.0, "cP", 0.001, "Pa.s"),
        ];
        for (value, from, expected, to) in table {
            let got = convert(value, from, to).unwrap();
            let tolerance = 2e-6 * f64::max(expected.abs(), 1e-3);
            assert!((got - expected).abs() <= tolerance, "{value} {from} is {got} {to}, not {expected}");
        }
    }

    #[test]
    fn what_must_not_convert_does_not() {
        for (from, to) in [
            ("psi", "Hz"),
            ("psig", "kPa"),
            ("psi", "psia"),
            ("stb/d", "m3/d"),
            ("bbl/d", "BOPD"),
            ("Sm3", "m3"),
            ("API", "kg/m3"),
            ("scf/stb", "fraction"),
            ("deg", "%"),
            ("N.m", "J"),
            ("degC", "delta_degC"),
            ("Btu/scf", "psi"),
        ] {
            assert!(convert(1.0, from, to).is_err(), "{from} must not convert to {to}");
        }
        let units = units();
        let (gauge, absolute) = (units.get("psig").unwrap(), units.get("psia").unwrap());
        assert!(matches!(gauge.to(absolute, None), Err(UnitError::Atmosphere { .. })));
    }

    #[test]
    fn there_and_back_is_where_it_was() {
        let units = units();
        let all: Vec<&Unit> = units.names().filter_map(|name| units.get(name)).collect();
        for from in &all {
            for to in &all {
                if let Ok(there) = from.to(to, Some(ATMOSPHERE)) {
                    let back = to.to(from, Some(ATMOSPHERE)).unwrap();
                    let got = back.apply(there.apply(123.456));
                    assert!((got - 123.456).abs() < 1e-6, "{} to {} and back: {got}", from.symbol, to.symbol);
                }
            }
        }
    }
}
