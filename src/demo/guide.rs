//! What the demo says when it starts, in the language of its site.

use std::net::SocketAddr;

use crate::host::Hosted;
use crate::words::Language;

/// The usual address is taken.
pub(super) fn moved(usual: &str, address: SocketAddr, language: Language) -> String {
    match language {
        Language::English => format!("{usual} is in use, so the devices are at {address}"),
        Language::Spanish => format!("{usual} está en uso, así que los equipos están en {address}"),
    }
}

pub(super) fn text(hosted: &Hosted, address: SocketAddr, language: Language) -> String {
    let data = hosted.data.display();
    let place = if *"data/demo" == *hosted.data { String::new() } else { format!(" --data {data}") };
    let summary = hosted.summary(language);
    let commands = commands(&data.to_string(), &place, language);
    match language {
        Language::English => format!(
            "\
{summary}  devices     20 wells, a separator and a test separator on Modbus TCP
              at {address}, simulated
  site        {data}/site  (site.yaml, templates, tables, the field's
              simulation.yaml)

Below, `field` is what happens out there, `data` is what the checks make of the
values, `alarm` is what operators are told. Within a minute:

  WELL-003  its choke is closed too far: THP goes high, the shift acknowledges
            the alarm, the choke is opened, the alarm goes
  WELL-002  a pressure transmitter spikes: that value is bad, and no alarm
  WELL-004  a transmitter is stuck: uncertain
  WELL-005  its device is silent for a while; WELL-020's is dead for ever, and
            nobody else notices
  WELL-006  gas gets into the pump: its current falls, its motor warms up, and
            the alarm waits for you
  SEP-01    an outlet is blocked: the level rises

Try in another terminal, in this folder:

{commands}
Ctrl-C stops it; the history stays in {data}, as Parquet that anything opens.

"
        ),
        Language::Spanish => format!(
            "\
{summary}  equipos     20 pozos, un separador y un separador de prueba por Modbus TCP
              en {address}, simulados
  sitio       {data}/site  (site.yaml, plantillas, tablas, y el campo:
              simulation.yaml)

Abajo, `campo` es lo que pasa allá afuera, `datos` lo que las validaciones dicen
de los valores, `alarma` lo que se avisa a los operadores. En un minuto:

  WELL-003  su choke se cierra demasiado: THP sube, el turno reconoce la alarma,
            el choke se abre, la alarma se va
  WELL-002  un transmisor de presión da un pico: ese valor es malo, sin alarma
  WELL-004  un transmisor está congelado: incierto
  WELL-005  su equipo calla un rato; el de WELL-020 está muerto para siempre, y
            nadie más lo nota
  WELL-006  entra gas en la bomba: baja su corriente, se calienta su motor, y la
            alarma le espera a usted
  SEP-01    una salida está bloqueada: sube el nivel

Pruebe en otra terminal, en esta carpeta:

{commands}
Ctrl-C lo detiene; la historia queda en {data}, en Parquet que todo lo abre.

"
        ),
    }
}

fn commands(data: &str, place: &str, language: Language) -> String {
    let once_raised = language.pick("# once its alarm is raised", "# cuando su alarma esté activada");
    let reason = language.pick("gas vented", "gas venteado");
    format!(
        "  ducto top{place}
  ducto alarms{place}
  ducto alarms --watch{place}
  ducto alarms ack 'WELL-006.*' --reason '{reason}'{place}   {once_raised}
  ducto tap WELL-003.THP{place}
  ducto tap well-monitoring.checked --where \"quality < 192\"{place}
  ducto read {data}/site WELL-003.THP
  ducto connect {data}/site WELL-016
  ducto query{place} \"SELECT tag, count(*) AS samples, max(value) AS highest
    FROM history WHERE tag LIKE '%.THP' GROUP BY tag ORDER BY tag\"
  ducto query{place} \"SELECT time, tag, quality FROM history
    WHERE quality < 64 ORDER BY time DESC LIMIT 10\"
  ducto explain {data}/site WELL-004.CHP
  ducto check {data}/site
"
    )
}
