//! What stands at the foot of the watched alarms, and their help.

use crate::words::Language;

/// A text in both languages.
pub(super) struct Both(&'static str, &'static str);

impl Both {
    pub(super) fn pick(&self, language: Language) -> &'static str {
        language.pick(self.0, self.1)
    }
}

pub(super) const LIST: Both = Both(
    "? help  q quit  a acknowledge  A all  r reset  Enter details  n normal too",
    "? ayuda  q salir  a reconocer  A todas  r restablecer  Enter detalle  n normales",
);
pub(super) const DETAILS: Both = Both("Esc back  a acknowledge  r reset", "Esc volver  a reconocer  r restablecer");
pub(super) const BACK: Both = Both("Esc back", "Esc volver");
pub(super) const HELP: Both = Both(
    "\
a       acknowledge the chosen alarm; a reason can be given
A       acknowledge all that wait for somebody
r       reset a latched alarm whose condition is gone
Enter   everything that is known of the chosen alarm
n       show alarms that are normal too, or hide them
arrows, PgUp, PgDn, Home, End   choose
q       quit

What needs somebody stands at the top, the newest first. The chosen line
stays on its alarm when others come.",
    "\
a       reconocer la alarma elegida; se puede dar un motivo
A       reconocer todas las que esperan a alguien
r       restablecer una alarma enclavada cuya condición cesó
Enter   todo lo que se sabe de la alarma elegida
n       mostrar u ocultar las alarmas normales
flechas, RePág, AvPág, Inicio, Fin   elegir
q       salir

Arriba está lo que espera a alguien, lo más nuevo primero. La línea elegida
sigue a su alarma cuando llegan otras.",
);
