//! What goes wrong with connections and nodes, in the language of the site. Whoever counts errors and drops gives the
//! causes, and protocols word their last error, in English; this is where an operator's Spanish comes from.

use crate::words::Language;

/// A cause of failed requests or of dropped rows: `timeout`, `exception 2`, `out_of_order`.
pub(crate) fn cause(language: Language, cause: &str) -> String {
    if language == Language::English {
        return cause.replace('_', " ");
    }
    let spanish = match cause {
        "connect" => "al conectar",
        "timeout" => "tiempo agotado",
        "crc" => "CRC",
        "foreign frame" => "trama ajena",
        "another exception" => "otra excepción",
        "out_of_order" => "fuera de orden",
        "too_early" => "demasiado pronto",
        "filtered" => "filtradas",
        "failed" => "sin poder calcularse",
        "kind" => "de otro tipo de valor",
        "text" => "de texto",
        "late" => "tardías",
        "set_aside" => "de un nodo apartado",
        "abandoned" => "abandonadas al parar",
        "sink_behind" => "de un destino atrasado",
        "publish_full" => "sin sitio para publicar",
        other => return other.replace("exception ", "excepción ").replace('_', " "),
    };
    spanish.to_owned()
}

/// Fragments of a protocol's messages, the longer ones before those that they contain.
const SPANISH: [(&str, &str); 37] = [
    (
        "check the address, the network and that the device listens",
        "revise la dirección, la red y que el equipo escuche",
    ),
    ("check the address and the network", "revise la dirección y la red"),
    (
        "check the address, and that no other program has the port",
        "revise la dirección, y que ningún otro programa tenga el puerto",
    ),
    (
        "check the path, who may use it, and that no other program holds it",
        "revise la ruta, los permisos, y que ningún otro programa lo ocupe",
    ),
    ("check the modem's target address and its line", "revise la dirección de destino del módem y su línea"),
    ("check the unit id, or raise the timeout", "revise el número de unidad, o aumente el tiempo de espera"),
    ("check the unit id and the gateway's routes", "revise el número de unidad y las rutas de la pasarela"),
    ("check the unit id and the line behind the gateway", "revise el número de unidad y la línea tras la pasarela"),
    (
        "check the wiring, its termination, and the line's speed and parity",
        "revise el cableado, su terminación, y la velocidad y paridad de la línea",
    ),
    ("check the gateway's unit ids", "revise los números de unidad de la pasarela"),
    ("check which tables the device has", "revise qué tablas tiene el equipo"),
    (
        "check the address and the table against the device's list",
        "compare la dirección y la tabla con la lista del equipo",
    ),
    ("check the value, or read fewer registers at once", "revise el valor, o lea menos registros a la vez"),
    ("check the device itself", "revise el equipo mismo"),
    ("ask again later, or less often", "pregunte más tarde, o con menos frecuencia"),
    ("look the code up in the device's manual", "busque el código en el manual del equipo"),
    ("connect again", "conecte de nuevo"),
    ("cannot connect to ", "no se puede conectar a "),
    (" did not accept a connection within ", " no aceptó una conexión en "),
    ("cannot open ", "no se puede abrir "),
    ("cannot listen on ", "no se puede escuchar en "),
    ("nothing dialled in to ", "nadie llamó a "),
    ("no answer within ", "sin respuesta en "),
    (", but one other frame", ", pero otra trama"),
    ("an answer came that its CRC does not fit", "llegó una respuesta que no concuerda con su CRC"),
    (" answered what unit ", " contestó lo que se preguntó a la unidad "),
    (" was asked", ""),
    (
        " sent what is no Modbus TCP, and the connection was closed",
        " envió algo que no es Modbus TCP, y se cerró la conexión",
    ),
    ("the connection to ", "la conexión a "),
    (" broke: ", " se rompió: "),
    (" is closed: ", " está cerrada: "),
    ("the device behind the gateway failed to respond", "el equipo tras la pasarela no respondió"),
    ("gateway path unavailable", "ruta de la pasarela no disponible"),
    ("illegal function", "función no admitida"),
    ("illegal data address", "dirección no admitida"),
    ("illegal data value", "valor no admitido"),
    ("device failure", "falla del equipo"),
];
/// Of a value that was read and is none.
const WORDS: [(&str, &str); 12] = [
    ("the device says that it has no reading (a sentinel)", "el equipo dice que no tiene lectura (centinela)"),
    (
        "the registers hold no such value: check the type and the order",
        "los registros no contienen tal valor: revise el tipo y el orden",
    ),
    ("the number is out of range, above ", "el número está fuera de rango, por encima de "),
    (
        ", the most that a tag of whole numbers keeps: give the tag `scale: 1`, with which it is a float",
        ", lo máximo que guarda un tag de enteros: dé al tag `scale: 1`, con lo que es de coma flotante",
    ),
    ("acknowledge, the device is still at work", "aceptado, el equipo aún trabaja"),
    ("device busy", "equipo ocupado"),
    ("memory parity error", "error de paridad de memoria"),
    ("not named in the specification", "no figura en la especificación"),
    ("exception ", "excepción "),
    (" within ", " en "),
    (", unit ", ", unidad "),
    (": unit ", ": la unidad "),
];

/// The last error of a connection.
pub(crate) fn error(language: Language, text: &str) -> String {
    match language {
        Language::English => text.to_owned(),
        Language::Spanish => SPANISH
            .iter()
            .chain(&WORDS)
            .fold(text.to_owned(), |text, (english, spanish)| text.replace(english, spanish)),
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::time::Duration;

    use modbus::Exception;
    use modbus::client::Error;

    use super::*;

    /// Words that no Spanish text has.
    const ENGLISH: [&str; 14] = [
        "the ",
        "check",
        "device",
        " unit",
        "answer",
        "within",
        "cannot",
        "address",
        "connection",
        "came",
        "exception",
        "look",
        "ask ",
        "again",
    ];

    #[test]
    fn no_english_is_left_of_what_a_device_does() {
        let (address, after) = ("10.0.0.5:502".to_owned(), Duration::from_millis(500));
        let source = || io::Error::from_raw_os_error(111);
        let at = || address.clone();
        let mut errors = vec![
            Error::ConnectTimeout { address: at(), after },
            Error::NobodyCame { address: at(), after },
            Error::Timeout { address: at(), unit: 7, after, foreign: 0 },
            Error::Timeout { address: at(), unit: 7, after, foreign: 1 },
            Error::Corrupt { address: at(), unit: 7 },
            Error::WrongUnit { address: at(), unit: 7, got: 8 },
            Error::Closed { address: at() },
        ];
        errors.extend((1..=11).map(|code| Error::Exception {
            address: at(),
            unit: 7,
            exception: Exception::from_code(code),
        }));
        for text in errors.iter().map(ToString::to_string) {
            let spanish = error(Language::Spanish, &text);
            assert!(ENGLISH.iter().all(|word| !spanish.contains(word)), "{text}\n{spanish}");
            assert_eq!(error(Language::English, &text), text);
        }
        // What the operating system says stays.
        for text in [
            Error::Connect { address: at(), source: source() },
            Error::Io { address: at(), source: source() },
            Error::Open { address: at(), source: source() },
            Error::Listen { address: at(), source: source() },
        ] {
            let spanish = error(Language::Spanish, &text.to_string());
            assert!(!spanish.contains("the ") && !spanish.contains("check"), "{spanish}");
        }
    }

    #[test]
    fn causes_are_words() {
        assert_eq!(cause(Language::Spanish, "exception 2"), "excepción 2");
        assert_eq!(cause(Language::Spanish, "timeout"), "tiempo agotado");
        assert_eq!(cause(Language::English, "out_of_order"), "out of order");
    }
}
