//! What `ducto data` says, in both languages.

use ducto_record::Epoch;
use ducto_storage::{Fault, Finding};

use crate::load::grouped;
use crate::times::rfc3339;
use crate::words::Language;

impl Language {
    pub(super) fn head_of_folder(self, folder: &str, format: &str) -> String {
        match self {
            Self::English => format!("data folder {folder}, format {format}"),
            Self::Spanish => format!("carpeta de datos {folder}, formato {format}"),
        }
    }

    /// Journal, checkpoints, datasets, outbox, files that sinks write, what was set aside, other files.
    pub(super) fn parts_of_folder(self) -> [&'static str; 7] {
        match self {
            Self::English => {
                ["journal", "checkpoints", "datasets", "outbox", "files written", "set aside", "other files"]
            }
            Self::Spanish => [
                "diario",
                "puntos de control",
                "conjuntos de datos",
                "bandeja de salida",
                "archivos escritos",
                "apartado",
                "otros archivos",
            ],
        }
    }

    /// Stream, class, batches that wait, their first and last number, rows, size.
    pub(super) fn stream_columns(self) -> [&'static str; 7] {
        match self {
            Self::English => ["STREAM", "CLASS", "BATCHES", "FROM", "TO", "ROWS", "SIZE"],
            Self::Spanish => ["FLUJO", "CLASE", "LOTES", "DESDE", "HASTA", "FILAS", "TAMAÑO"],
        }
    }

    /// Node, file, last epoch that it holds, bytes.
    pub(super) fn file_columns(self) -> [&'static str; 4] {
        match self {
            Self::English => ["NODE", "FILE", "EPOCH", "SIZE"],
            Self::Spanish => ["NODO", "ARCHIVO", "ÉPOCA", "TAMAÑO"],
        }
    }

    /// Entries, from, to, first epoch, size.
    pub(super) fn segment_columns(self) -> [&'static str; 5] {
        match self {
            Self::English => ["ENTRIES", "FROM (UTC)", "TO", "EPOCH", "SIZE"],
            Self::Spanish => ["ENTRADAS", "DESDE (UTC)", "HASTA", "ÉPOCA", "TAMAÑO"],
        }
    }

    /// File, time, pipelines, epoch, states, size.
    pub(super) fn checkpoint_columns(self) -> [&'static str; 6] {
        match self {
            Self::English => ["FILE", "TAKEN (UTC)", "PIPELINES", "EPOCH", "STATES", "SIZE"],
            Self::Spanish => ["ARCHIVO", "TOMADO (UTC)", "PIPELINES", "ÉPOCA", "ESTADOS", "TAMAÑO"],
        }
    }

    /// Name, hours, files, rows, from, to, size.
    pub(super) fn dataset_columns(self) -> [&'static str; 7] {
        match self {
            Self::English => ["DATASET", "HOURS", "FILES", "ROWS", "FROM", "TO", "SIZE"],
            Self::Spanish => ["CONJUNTO", "HORAS", "ARCH.", "FILAS", "DESDE", "HASTA", "TAMAÑO"],
        }
    }

    pub(super) fn inspect_found(self, findings: usize) -> String {
        match self {
            Self::English => format!("{findings} things are not as they should be: `ducto data verify` lists them"),
            Self::Spanish => format!("hay {findings} anomalías: `ducto data verify` las lista"),
        }
    }

    pub(super) fn read_of_folder(self, folder: &str, bytes: &str) -> String {
        match self {
            Self::English => format!("{folder}: {bytes} read"),
            Self::Spanish => format!("{folder}: {bytes} leídos"),
        }
    }

    pub(super) fn nothing_damaged(self) -> &'static str {
        self.pick("every file is what was written", "todos los archivos son lo que se escribió")
    }

    pub(super) fn sum_of_findings(self, findings: usize, rows: &str) -> String {
        match self {
            Self::English => format!("findings: {findings}; rows lost: {rows}"),
            Self::Spanish => format!("hallazgos: {findings}; filas perdidas: {rows}"),
        }
    }

    pub(super) fn how_to_repair(self) -> &'static str {
        self.pick(
            "`ducto data repair` sets aside what is damaged; so does the start of the site",
            "`ducto data repair` aparta lo dañado; también lo hace el arranque del sitio",
        )
    }

    pub(super) fn would_be_set_aside(self) -> &'static str {
        self.pick(
            "nothing was changed; without `--dry-run` this would be set aside, not deleted",
            "nada ha cambiado; sin `--dry-run` esto se apartaría, sin borrarlo",
        )
    }

    pub(super) fn left_for_the_start(self) -> &'static str {
        self.pick(
            "the rest is left for the start of the site, which knows the names of its tags",
            "el resto queda para el arranque del sitio, que conoce los nombres de sus tags",
        )
    }

    pub(super) fn repaired(self) -> &'static str {
        self.pick("the folder is right again; nothing was deleted", "la carpeta está en orden; nada se ha borrado")
    }

    /// What is wrong with a file.
    fn fault(self, fault: &Fault) -> String {
        if self == Self::English {
            return fault.to_string();
        }
        match fault {
            Fault::Missing => "falta".to_owned(),
            Fault::Size { bytes, expected } => format!("{bytes} bytes, se escribieron {expected}"),
            Fault::Checksum => "su suma de control no coincide".to_owned(),
            Fault::Unreadable { why } => format!("no se puede leer: {why}"),
            Fault::Differs { why } => format!("no es lo que dice su manifiesto: {why}"),
            Fault::Foreign => "no es de esta carpeta de datos".to_owned(),
            Fault::Names => "los nombres de sus tags están dañados".to_owned(),
            Fault::Places { places: 1, bytes } => format!("1 parte dañada, {bytes} bytes"),
            Fault::Places { places, bytes } => format!("{places} partes dañadas, {bytes} bytes"),
            Fault::Tail { bytes } => {
                format!("{bytes} bytes al final no son una escritura completa, como los deja un corte de energía")
            }
            Fault::Gap => "faltan entradas".to_owned(),
            Fault::Newer { format } => format!("formato {format}, de una versión más nueva"),
            Fault::Told { what } => what.clone(),
        }
    }

    /// What is wrong, what it costs, and where it lies now.
    pub(super) fn finding(self, finding: &Finding) -> String {
        let mut text = self.fault(&finding.fault);
        if let Some(rows) = finding.rows {
            let rows = grouped(rows);
            text.push_str(&match (self, finding.times) {
                (Self::English, None) => format!("; {rows} rows are lost"),
                (Self::Spanish, None) => format!("; se pierden {rows} filas"),
                (Self::English, Some((first, last))) => {
                    format!("; {rows} rows of {} to {} are lost", rfc3339(first), rfc3339(last))
                }
                (Self::Spanish, Some((first, last))) => {
                    format!("; se pierden {rows} filas de {} a {}", rfc3339(first), rfc3339(last))
                }
            });
        } else if let Some((first, last)) = finding.epochs {
            text.push_str(&match (self, last) {
                (Self::English, Epoch::MAX) => format!("; entries from {first} on may be lost"),
                (Self::Spanish, Epoch::MAX) => format!("; pueden faltar las entradas desde la {first}"),
                (Self::English, last) => format!("; entries {first} to {last} are lost"),
                (Self::Spanish, last) => format!("; se pierden las entradas {first} a {last}"),
            });
        }
        if let Some(path) = &finding.set_aside {
            let path = path.display();
            text.push_str(&match self {
                Self::English => format!("; it lies in {path} now"),
                Self::Spanish => format!("; ahora está en {path}"),
            });
        }
        text
    }
}
