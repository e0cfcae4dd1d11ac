//! What `ducto tap` says beside the rows, in the language of the site.

use ducto_site::protocol::LeftOut;

use super::READABLE;
use crate::load::grouped;
use crate::words::Language;

impl Language {
    /// What is shown, before the rows.
    pub(super) fn tapped(self, name: &str, zone: &str, raw: bool) -> String {
        match (self, raw) {
            (Self::English, true) => {
                format!("{name} as it enters the site, before any check; times in {zone}; Ctrl-C ends")
            }
            (Self::Spanish, true) => {
                format!("{name} como entra al sitio, antes de todo control; horas de {zone}; Ctrl-C termina")
            }
            (Self::English, false) => format!("{name}; times in {zone}; Ctrl-C ends"),
            (Self::Spanish, false) => format!("{name}; horas de {zone}; Ctrl-C termina"),
        }
    }

    /// What was not shown, and what can be done about it.
    pub(super) fn left_out(self, left_out: LeftOut, at_the_end: bool) -> Option<String> {
        let LeftOut { slow, thinned, failed } = left_out;
        let rows = |count: u64| match (self, at_the_end) {
            (Self::English, true) => format!("{} rows", grouped(count)),
            (Self::English, false) => "rows".to_owned(),
            (Self::Spanish, true) => format!("{} filas", grouped(count)),
            (Self::Spanish, false) => "filas".to_owned(),
        };
        let mut parts = Vec::new();
        if thinned > 0 {
            let rows = rows(thinned);
            parts.push(match self {
                Self::English => format!("{rows} are not shown: more than {READABLE} a second came"),
                Self::Spanish => format!("{rows} no se muestran: llegaron más de {READABLE} por segundo"),
            });
        }
        if slow > 0 {
            let rows = rows(slow);
            parts.push(match self {
                Self::English => format!("{rows} are missing: they came faster than they were read"),
                Self::Spanish => format!("{rows} faltan: llegaron más rápido de lo que se leían"),
            });
        }
        if failed > 0 {
            let rows = rows(failed);
            parts.push(match self {
                Self::English => format!("{rows} are left out: the condition could not be computed for them"),
                Self::Spanish => format!("{rows} se omiten: no se pudo calcular la condición para ellas"),
            });
        }
        let help = match (thinned, slow) {
            (0, 0) => "",
            (0, _) => self.pick("; narrow them with `--where`", "; redúzcalas con `--where`"),
            _ => self.pick(
                "; narrow them with `--where`, or write all with `--format csv`",
                "; redúzcalas con `--where`, o escríbalas todas con `--format csv`",
            ),
        };
        (!parts.is_empty()).then(|| format!("{}{help}", parts.join("; ")))
    }

    /// Heads of the list of what can be tapped: node, type, what it gives, what it reads.
    pub(super) fn port_columns(self) -> [&'static str; 4] {
        match self {
            Self::English => ["NODE", "TYPE", "GIVES", "READS"],
            Self::Spanish => ["NODO", "TIPO", "ENTREGA", "LEE"],
        }
    }

    pub(super) fn stream(self, samples: bool) -> &'static str {
        if samples { self.pick("samples", "muestras") } else { self.pick("rows", "filas") }
    }

    pub(super) fn how_to_tap(self) -> &'static str {
        self.pick(
            "`ducto tap NODE` shows what passes; a tag or an asset in its place, what enters.",
            "`ducto tap NODO` muestra lo que pasa; un tag o un activo en su lugar, lo que entra.",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_shown_is_said_with_what_can_be_done() {
        for language in [Language::English, Language::Spanish] {
            assert_eq!(language.left_out(LeftOut::default(), true), None);
            let thinned = LeftOut { thinned: 9_800, ..LeftOut::default() };
            let text = language.left_out(thinned, true).unwrap();
            assert!(text.starts_with("9,800 ") && text.contains("--where"), "{text}");
            let failed = LeftOut { failed: 3, ..LeftOut::default() };
            assert!(!language.left_out(failed, false).unwrap().contains("--where"));
        }
    }

    #[test]
    fn a_spanish_site_is_spoken_to_in_spanish() {
        let es = Language::Spanish;
        let text = es.tapped("WELL-001.THP", "America/Bogota", true);
        assert!(text.contains("antes de todo control") && !text.contains(" the "), "{text}");
        assert_eq!((es.stream(true), es.port_columns()[0]), ("muestras", "NODO"));
    }
}
