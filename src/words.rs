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

    fn pick<'a>(self, english: &'a str, spanish: &'a str) -> &'a str {
        match self {
            Self::English => english,
            Self::Spanish => spanish,
        }
    }
}
