//! What people in the field are told, in the language of their site.

use ducto_record::{Checks, Quality, QualityClass};

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
            "waits" => ("waits for its disk", "espera su disco"),
            "set_aside" => ("set aside", "apartado"),
            "present" => ("present", "presente"),
            other => (other, other),
        };
        self.pick(english, spanish)
    }

    /// As [`Language::state`] in one word; `!` says that somebody has to acknowledge it.
    pub(crate) fn short_state(self, letter: &str) -> &str {
        let (english, spanish) = match letter {
            "A" => ("normal", "normal"),
            "B" => ("active!", "activa!"),
            "C" => ("active", "activa"),
            "D" => ("gone!", "cesó!"),
            "E" => ("latched!", "enclavada!"),
            "F" => ("latched", "enclavada"),
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

    /// A quality as a word.
    pub(crate) fn quality(self, quality: Quality) -> &'static str {
        let (english, spanish) = match quality.0 {
            0 => ("bad", "mala"),
            4 => ("configuration error", "error de configuración"),
            8 => ("not connected", "sin conexión"),
            12 => ("device failure", "falla del equipo"),
            16 => ("sensor failure", "falla del sensor"),
            20 => ("last known value", "último valor conocido"),
            24 => ("no communication", "sin comunicación"),
            28 => ("out of service", "fuera de servicio"),
            32 => ("no value yet", "aún sin valor"),
            64 => ("uncertain", "incierta"),
            68 => ("last usable value", "último valor usable"),
            80 => ("not accurate", "poco exacta"),
            84 => ("out of envelope", "fuera de envolvente"),
            88 => ("sub-normal", "subnormal"),
            192 => ("good", "buena"),
            216 => ("forced", "forzada"),
            _ => match quality.class() {
                QualityClass::Good => ("good", "buena"),
                QualityClass::Uncertain => ("uncertain", "incierta"),
                QualityClass::Bad => ("bad", "mala"),
            },
        };
        self.pick(english, spanish)
    }

    /// The checks that failed: `pico, congelado`.
    pub(crate) fn checks(self, checks: Checks) -> String {
        let word = |name: &'static str| match (self, name) {
            (Self::English, name) => name,
            (_, "range") => "rango",
            (_, "envelope") => "envolvente",
            (_, "jump") => "salto",
            (_, "spike") => "pico",
            (_, "rate") => "tasa",
            (_, "cross_check") => "contraste",
            (_, "frozen") => "congelado",
            (_, "stale") => "atrasado",
            (_, "gap") => "hueco",
            (_, "future") => "futuro",
            (_, "out_of_order") => "fuera de orden",
            (_, other) => other,
        };
        checks.names().map(word).collect::<Vec<_>>().join(", ")
    }

    /// A quality with the checks behind it: `falla del sensor: rango`.
    pub(crate) fn judgement(self, quality: Quality, checks: Checks) -> String {
        let (word, failed) = (self.quality(quality), self.checks(checks));
        if failed.is_empty() { word.to_owned() } else { format!("{word}: {failed}") }
    }

    pub(crate) fn site_stopped(self) -> &'static str {
        self.pick("the site has stopped", "el sitio se ha detenido")
    }

    /// Heads of the columns of samples: time, tag, value, unit, quality.
    pub(crate) fn sample_columns(self) -> [&'static str; 5] {
        match self {
            Self::English => ["TIME", "TAG", "VALUE", "UNIT", "QUALITY"],
            Self::Spanish => ["HORA", "TAG", "VALOR", "UNIDAD", "CALIDAD"],
        }
    }

    /// Of a row that a correction replaces.
    pub(crate) fn taken_back(self) -> &'static str {
        self.pick("taken back", "retirada")
    }

    /// Heads of the columns of a list of alarms: alarm, state, value, limit, class, since.
    pub(crate) fn alarm_columns(self) -> [&'static str; 6] {
        match self {
            Self::English => ["ALARM", "STATE", "VALUE", "LIMIT", "CLASS", "SINCE"],
            Self::Spanish => ["ALARMA", "ESTADO", "VALOR", "LÍMITE", "CLASE", "DESDE"],
        }
    }

    /// Heads of the columns of the history of alarms: time, alarm, event, value, who, why.
    pub(crate) fn event_columns(self) -> [&'static str; 6] {
        match self {
            Self::English => ["TIME", "ALARM", "EVENT", "VALUE", "WHO", "WHY"],
            Self::Spanish => ["HORA", "ALARMA", "EVENTO", "VALOR", "QUIÉN", "POR QUÉ"],
        }
    }

    pub(crate) fn no_events(self) -> &'static str {
        self.pick("the history holds no event of an alarm", "la historia no tiene eventos de alarmas")
    }

    /// What the mark of an alarm means.
    pub(crate) fn first_of_group(self) -> &'static str {
        self.pick("first of its group", "primera de su grupo")
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

    /// Of a request to a device: unit, function, to.
    pub(crate) fn request_words(self) -> [&'static str; 3] {
        match self {
            Self::English => ["unit", "function", "to"],
            Self::Spanish => ["unidad", "función", "a"],
        }
    }

    /// What came of an acknowledgement or a reset; `None` where the outcome is not one of those known.
    pub(crate) fn outcome(self, alarm: &str, outcome: &str, state: &str) -> Option<String> {
        let (english, spanish) = match outcome {
            "acknowledged" | "reset" => {
                let (event, state_text) = (self.event(outcome), self.state(state));
                return Some(match self {
                    Self::English => format!("`{alarm}` is {event}; it is now {state_text} ({state})"),
                    Self::Spanish => format!("`{alarm}` {event}; ahora: {state_text} ({state})"),
                });
            }
            "nothing_to_acknowledge" => ("there is nothing to acknowledge", "no hay nada que reconocer"),
            "acknowledged_already" => ("it is acknowledged already", "ya está reconocida"),
            "true_again" => ("its condition is true again", "su condición se cumple de nuevo"),
            "acknowledge_first" => ("acknowledge it first", "primero hay que reconocerla"),
            "still_true" => ("its condition is still true", "su condición se sigue cumpliendo"),
            "no_latch" => ("there is no latch to reset", "no hay enclavamiento que restablecer"),
            _ => return None,
        };
        let why = self.pick(english, spanish);
        let state_text = self.state(state);
        Some(match self {
            Self::English => format!("`{alarm}` is {state_text} ({state}): {why}"),
            Self::Spanish => format!("`{alarm}`: {state_text} ({state}); {why}"),
        })
    }

    pub(crate) fn never_raised(self, alarm: &str, nearest: Option<&str>) -> String {
        match (self, nearest) {
            (Self::English, Some(nearest)) => {
                format!("no alarm `{alarm}` has been raised yet; did you mean `{nearest}`?")
            }
            (Self::English, None) => {
                format!(
                    "no alarm `{alarm}` has been raised yet, so there is nothing to do; `ducto alarms --watch` shows when \
                     one is, `ducto alarms --all` lists those that were"
                )
            }
            (Self::Spanish, Some(nearest)) => {
                format!("ninguna alarma `{alarm}` se ha activado todavía; ¿quiso decir `{nearest}`?")
            }
            (Self::Spanish, None) => {
                format!(
                    "ninguna alarma `{alarm}` se ha activado todavía, así que no hay nada que hacer; `ducto alarms --watch` \
                     muestra cuando se active, `ducto alarms --all` lista las que sí"
                )
            }
        }
    }

    pub(crate) fn trouble_goes_by_itself(self, alarm: &str) -> String {
        match self {
            Self::English => format!("`{alarm}` is the system's own, and goes when its cause has gone"),
            Self::Spanish => format!("`{alarm}` es del propio sistema, y se va cuando cesa su causa"),
        }
    }

    pub(crate) fn no_answer(self) -> &'static str {
        self.pick("no answer", "sin respuesta")
    }

    pub(crate) fn nobody_answered(self) -> &'static str {
        self.pick("no node has answered; try again", "ningún nodo ha respondido; inténtelo de nuevo")
    }

    pub(crate) fn nothing_to_do(self) -> &'static str {
        self.pick(
            "nothing to do: every alarm that is meant is normal",
            "nada que hacer: todas las alarmas indicadas están normales",
        )
    }

    pub(crate) fn pick<'a>(self, english: &'a str, spanish: &'a str) -> &'a str {
        match self {
            Self::English => english,
            Self::Spanish => spanish,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_quality_has_a_word_that_fits_its_column() {
        for code in 0..=u16::from(u8::MAX) {
            for language in [Language::English, Language::Spanish] {
                let word = language.quality(Quality(code));
                assert!(!word.is_empty() && word.chars().count() <= 22, "{code}: {word}");
            }
        }
        assert_eq!(Language::Spanish.quality(Quality::COMM_FAILURE), "sin comunicación");
    }

    #[test]
    fn every_check_has_a_word_in_spanish() {
        for (bit, name) in Checks::NAMES.iter().enumerate() {
            let checks = Checks(1 << bit);
            assert_eq!(Language::English.checks(checks), *name);
            assert_ne!(Language::Spanish.checks(checks), *name);
        }
        let both = Language::Spanish.judgement(Quality::SENSOR_FAILURE, Checks(0b100_0001));
        assert_eq!(both, "falla del sensor: rango, congelado");
        assert_eq!(Language::Spanish.judgement(Quality::GOOD, Checks(0)), "buena");
    }

    #[test]
    fn what_came_of_an_acknowledgement_is_said_in_both_languages() {
        let said = |language: Language, outcome, state| language.outcome("W.THP.H", outcome, state);
        assert_eq!(
            said(Language::Spanish, "acknowledged", "C").as_deref(),
            Some("`W.THP.H` reconocida; ahora: activa, reconocida (C)")
        );
        assert_eq!(
            said(Language::English, "still_true", "B").as_deref(),
            Some("`W.THP.H` is active, not acknowledged (B): its condition is still true")
        );
        assert_eq!(said(Language::English, "", ""), None);
    }
}
