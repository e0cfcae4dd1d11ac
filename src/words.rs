//! What people who read alarms are told, in the language of their site.

/// A language of texts for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    English,
    Spanish,
}

impl Language {
    /// By its code; English where it is not known.
    pub(crate) fn of(code: &str) -> Self {
        if code == "es" { Self::Spanish } else { Self::English }
    }

    /// A base state of an alarm by its letter.
    pub(crate) fn state(self, letter: &str) -> &str {
        let (english, spanish) = match letter {
            "A" => ("normal", "normal"),
            "B" => ("active, not acknowledged", "activa, sin reconocer"),
            "C" => ("active, acknowledged", "activa, reconocida"),
            "D" => ("gone, not acknowledged", "cesó, sin reconocer"),
            "E" => ("latched, not acknowl.", "enclavada, sin recon."),
            "F" => ("latched, acknowledged", "enclavada, reconocida"),
            other => (other, other),
        };
        self.pick(english, spanish)
    }

    /// An event of an alarm.
    pub(crate) fn event(self, event: &str) -> &str {
        let (english, spanish) = match event {
            "raised" => ("raised", "activada"),
            "returned" => ("returned", "normalizada"),
            "acknowledged" => ("acknowledged", "reconocida"),
            "reset" => ("reset", "restablecida"),
            "changed" => ("changed", "modificada"),
            "removed" => ("removed", "eliminada"),
            other => (other, other),
        };
        self.pick(english, spanish)
    }

    /// Heads of the columns of a list of alarms: alarm, state, value, limit, class, since.
    pub(crate) fn alarm_columns(self) -> [&'static str; 6] {
        match self {
            Self::English => ["ALARM", "STATE", "VALUE", "LIMIT", "CLASS", "SINCE"],
            Self::Spanish => ["ALARMA", "ESTADO", "VALOR", "LÍMITE", "CLASE", "DESDE"],
        }
    }

    pub(crate) fn no_alarms(self) -> &'static str {
        self.pick("no alarm is active or waits for anybody", "ninguna alarma activa ni pendiente")
    }

    /// Heads of a list of readings: tag, value, unit, quality, registers.
    pub(crate) fn reading_columns(self) -> [&'static str; 5] {
        match self {
            Self::English => ["TAG", "VALUE", "UNIT", "QUALITY", "REGISTERS"],
            Self::Spanish => ["TAG", "VALOR", "UNIDAD", "CALIDAD", "REGISTROS"],
        }
    }

    /// A quality by its code.
    pub(crate) fn quality(self, code: u16) -> &'static str {
        let (english, spanish) = match code {
            192 => ("good", "buena"),
            216 => ("good, forced", "buena, forzada"),
            0 => ("bad", "mala"),
            4 => ("bad, configuration", "mala, configuración"),
            8 => ("bad, never connected", "mala, sin conexión"),
            12 => ("bad, device failure", "mala, falla del equipo"),
            16 => ("bad, sensor failure", "mala, falla del sensor"),
            24 => ("bad, no answer", "mala, sin respuesta"),
            28 => ("bad, out of service", "mala, fuera de servicio"),
            32 => ("bad, not read yet", "mala, sin leer aún"),
            84 => ("uncertain, unusual", "dudosa, inusual"),
            _ if code & 0xC0 == 0xC0 => ("good", "buena"),
            _ if code & 0xC0 == 0x40 => ("uncertain", "dudosa"),
            _ => ("bad", "mala"),
        };
        match self {
            Self::English => english,
            Self::Spanish => spanish,
        }
    }

    pub(crate) fn no_answer(self) -> &'static str {
        self.pick("no answer", "sin respuesta")
    }

    fn pick<'a>(self, english: &'a str, spanish: &'a str) -> &'a str {
        match self {
            Self::English => english,
            Self::Spanish => spanish,
        }
    }
}
