//! What `ducto top` says, in the language of the site.

use crate::words::Language;

/// Texts of the pages. Heads of columns are short, so that a row fits 80 of them.
#[derive(Debug)]
pub(super) struct Words {
    pub(super) up: &'static str,
    pub(super) samples: &'static str,
    pub(super) entries: &'static str,
    pub(super) lag: &'static str,
    pub(super) dropped: &'static str,
    pub(super) clock_steps: &'static str,
    pub(super) memory: &'static str,
    pub(super) buffers: &'static str,
    pub(super) of: &'static str,
    pub(super) ring: &'static str,
    pub(super) waiting: &'static str,
    pub(super) views: &'static str,
    pub(super) missed: &'static str,
    /// Behind a number.
    pub(super) writes: &'static str,
    /// Connection, state, tags, samples a second, errors, round trip, busy.
    pub(super) connections: [&'static str; 7],
    /// Node, type, rows a second, batches a second, CPU, queue, errors, dropped.
    pub(super) nodes: [&'static str; 8],
    /// Dataset, rows a second, buffered, on disk, files, committed, errors.
    pub(super) datasets: [&'static str; 7],
    /// Sent to, rows a second, batches, rows and bytes that wait, the oldest of them, lost.
    pub(super) outbox: [&'static str; 7],
    pub(super) unserved: &'static str,
    /// Tag, value, unit, quality, age.
    pub(super) values: [&'static str; 5],
    pub(super) more: &'static str,
    pub(super) silent: &'static str,
    pub(super) overruns: &'static str,
    pub(super) refused: &'static str,
    pub(super) restarts: &'static str,
    pub(super) lost: &'static str,
    pub(super) set_aside: &'static str,
    pub(super) waits: &'static str,
    pub(super) last: &'static str,
    pub(super) never: &'static str,
    /// Of files that are there, of which nothing was written since the start.
    pub(super) before: &'static str,
    pub(super) no_connections: &'static str,
    pub(super) no_values: &'static str,
    pub(super) values_of: &'static str,
    pub(super) no_answer: &'static str,
    pub(super) keys: &'static str,
    /// The same for a narrow window.
    pub(super) few_keys: &'static str,
    pub(super) sort: &'static str,
    /// As configured, by rate, by CPU, what has errors, drops or a bad quality first.
    pub(super) orders: [&'static str; 4],
    pub(super) help: &'static str,
}

impl Words {
    pub(super) const fn of(language: Language) -> &'static Self {
        match language {
            Language::English => &ENGLISH,
            Language::Spanish => &SPANISH,
        }
    }

    /// The state of a connection.
    pub(super) fn state(language: Language, state: &str) -> &str {
        let (english, spanish) = match state {
            "waiting" => ("waiting", "en espera"),
            "up" => ("up", "en línea"),
            "partial" => ("partial", "parcial"),
            "down" => ("down", "caída"),
            "failing" => ("failing", "falla"),
            "ended" => ("ended", "terminó"),
            "running" => ("running", "activa"),
            other => (other, other),
        };
        language.pick(english, spanish)
    }
}

const ENGLISH: Words = Words {
    up: "up",
    samples: "samples/s",
    entries: "entries/s",
    lag: "lag",
    dropped: "rows dropped: memory full",
    clock_steps: "steps of the wall clock",
    memory: "memory",
    buffers: "buffers",
    of: "of",
    ring: "ring",
    waiting: "waiting",
    views: "views",
    missed: "rows missed by views",
    writes: "disk writes/byte",
    connections: ["CONNECTION", "STATE", "TAGS", "SAMPLES/S", "ERRORS", "TRIP", "BUSY"],
    nodes: ["PIPELINE, NODE", "TYPE", "ROWS/S", "BATCH/S", "CPU", "QUEUE", "ERRORS", "DROPPED"],
    datasets: ["DATASET", "ROWS/S", "BUFFERED", "ON DISK", "FILES", "COMMITTED", "ERRORS"],
    outbox: ["SENT BY", "ROWS/S", "BATCHES", "ROWS", "ON DISK", "OLDEST", "LOST"],
    unserved: "no node sends this any more",
    values: ["TAG", "VALUE", "UNIT", "QUALITY", "AGE"],
    more: "more: press c",
    silent: "silent",
    overruns: "scans missed",
    refused: "rows refused: memory full",
    restarts: "restarts",
    lost: "entries lost",
    set_aside: "set aside",
    waits: "waits for its disk",
    last: "last:",
    never: "never",
    before: "before start",
    no_connections: "no connection: nothing is read from devices",
    no_values: "no value has come yet",
    values_of: "newest values of",
    no_answer: "the site does not answer; tried again",
    keys: "? help  q quit  o overview  p nodes  c connections  t values",
    few_keys: "? help  q quit  o p c t pages",
    sort: "s sort:",
    orders: ["default", "rate", "CPU", "trouble"],
    help: "\
o   overview: load, connections, pipelines, history
p   pipelines: every node, with the causes of dropped rows
c   connections: every endpoint, with its errors by cause
t   the newest value of each tag, with its quality
s   sort by another column
arrows, PgUp, PgDn, Home, End   scroll
q   quit

lag       how long the oldest entry has waited that is not processed yet
CPU       of one core: of the process, and of each node's own work
ring      memory for entries that some pipeline may still need
buffers   ring, what waits to enter, and history that is not on disk yet
queue     batches that wait for their epoch; of a pipeline: entries behind
errors    of a node; of a pipeline: its restarts
dropped   rows that went no further; of a pipeline: entries lost
trip      from a request to its answer, of late
busy      share of the time that the line was in use, of late",
};

const SPANISH: Words = Words {
    up: "en marcha",
    samples: "muestras/s",
    entries: "entradas/s",
    lag: "retraso",
    dropped: "filas descartadas: memoria llena",
    clock_steps: "saltos del reloj",
    memory: "memoria",
    buffers: "búferes",
    of: "de",
    ring: "anillo",
    waiting: "en espera",
    views: "vistas",
    missed: "filas perdidas por las vistas",
    writes: "escrituras/byte",
    connections: ["CONEXIÓN", "ESTADO", "TAGS", "MUESTRAS/S", "ERRORES", "VIAJE", "USO"],
    nodes: ["PIPELINE, NODO", "TIPO", "FILAS/S", "LOTES/S", "CPU", "COLA", "ERRORES", "DESCART."],
    datasets: ["DATASET", "FILAS/S", "EN BÚFER", "EN DISCO", "ARCH.", "GUARDADO", "ERRORES"],
    outbox: ["ENVIADO POR", "FILAS/S", "LOTES", "FILAS", "EN DISCO", "MÁS VIEJO", "PERDIDAS"],
    unserved: "ya no hay nodo que lo envíe",
    values: ["TAG", "VALOR", "UNIDAD", "CALIDAD", "EDAD"],
    more: "más: tecla c",
    silent: "sin respuesta",
    overruns: "barridos perdidos",
    refused: "filas rechazadas: memoria llena",
    restarts: "reinicios",
    lost: "entradas perdidas",
    set_aside: "apartado",
    waits: "espera su disco",
    last: "último:",
    never: "nunca",
    before: "antes",
    no_connections: "ninguna conexión: no se lee ningún equipo",
    no_values: "aún no ha llegado ningún valor",
    values_of: "últimos valores de",
    no_answer: "el sitio no responde; se reintenta",
    keys: "? ayuda  q salir  o resumen  p nodos  c conexiones  t valores",
    few_keys: "? ayuda  q salir  o p c t pág.",
    sort: "s orden:",
    orders: ["normal", "tasa", "CPU", "fallas"],
    help: "\
o   resumen: carga, conexiones, pipelines, historia
p   pipelines: cada nodo, con las causas de las filas descartadas
c   conexiones: cada extremo, con sus errores por causa
t   el último valor de cada tag, con su calidad
s   ordenar por otra columna
flechas, RePág, AvPág, Inicio, Fin   desplazar
q   salir

retraso   cuánto espera la entrada más vieja que aún no se ha procesado
CPU       de un núcleo: del proceso, y del trabajo propio de cada nodo
anillo    memoria de las entradas que algún pipeline puede necesitar
búferes   anillo, lo que espera entrar y la historia que no está en disco
cola      lotes que esperan su época; de un pipeline: entradas de atraso
errores   de un nodo; de un pipeline: sus reinicios
descart.  filas que no siguieron; de un pipeline: entradas perdidas
viaje     de una petición a su respuesta, últimamente
uso       parte del tiempo en que la línea estuvo ocupada, últimamente",
};
