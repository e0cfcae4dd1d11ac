//! Where a device is reached, as people write it: `tcp://10.0.0.5:502`, `serial:///dev/ttyUSB0?baud=19200`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// How requests and answers are delimited on a stream of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Framing {
    /// The header of Modbus TCP.
    Tcp,
    /// Unit, PDU and CRC, as on a serial line.
    Rtu,
}

/// Where a device is reached.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// A device or gateway that listens: `tcp://host:502`, `rtu+tcp://host:4001`.
    Tcp { address: String, framing: Framing },
    /// A serial line, which nobody else can use meanwhile: `serial:///dev/ttyUSB0?baud=9600&parity=none&stop=2`.
    Serial { path: String, line: Line },
    /// A modem that dials in: `tcp-listen://0.0.0.0:5021`, `rtu+tcp-listen://0.0.0.0:5021`.
    Listen { address: String, framing: Framing },
}

/// The settings of a serial line. A character has 8 data bits: RTU needs them all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Line {
    /// Bits a second.
    pub baud: u32,
    pub parity: Parity,
    /// 1 or 2.
    pub stop_bits: u8,
}

/// The parity bit of a character.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Parity {
    None,
    Even,
    Odd,
}

/// What the specification demands of every device: 19200 baud, even parity, one stop bit.
impl Default for Line {
    fn default() -> Self {
        Self { baud: 19_200, parity: Parity::Even, stop_bits: 1 }
    }
}

impl Line {
    /// How long a character is on the line.
    #[must_use]
    pub fn character(self) -> Duration {
        let bits = 9 + u32::from(self.parity != Parity::None) + u32::from(self.stop_bits);
        Duration::from_secs(1) * bits / self.baud.max(1)
    }

    /// The silence between frames: 3.5 characters, and 1.75 ms on lines faster than 19200 baud.
    #[must_use]
    pub fn silence(self) -> Duration {
        if self.baud > 19_200 { Duration::from_micros(1_750) } else { self.character().mul_f64(3.5) }
    }
}

/// The port of Modbus TCP.
const PORT: u16 = 502;

/// An endpoint that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    #[error("`{0}` is no endpoint: {FORMS}")]
    Form(String),
    #[error("`{0}://` is no way to a Modbus device: {FORMS}")]
    Scheme(String),
    #[error("`{0}` names no host: {FORMS}")]
    Host(String),
    #[error("`{0}` names no port from 1 to 65535: add one, as in `:502`")]
    Port(String),
    #[error("`{0}` names no device file: write it with its folder, `serial:///dev/ttyUSB0`")]
    Path(String),
    #[error("`{0}` is no setting of a serial line: write `baud=9600`, `parity=none`, `even` or `odd`, `stop=1` or `2`")]
    Setting(String),
}

const FORMS: &str = "write `tcp://host:502`, `rtu+tcp://host:port`, `serial:///dev/ttyUSB0?baud=9600`, \
     `tcp-listen://0.0.0.0:port` or `rtu+tcp-listen://0.0.0.0:port`";

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let text = text.trim();
        let (scheme, rest) = text.split_once("://").ok_or_else(|| EndpointError::Form(text.to_owned()))?;
        let (listens, framing) = match scheme {
            "tcp" => (false, Framing::Tcp),
            "rtu+tcp" => (false, Framing::Rtu),
            "tcp-listen" => (true, Framing::Tcp),
            "rtu+tcp-listen" => (true, Framing::Rtu),
            "serial" => return serial(text, rest),
            _ => return Err(EndpointError::Scheme(scheme.to_owned())),
        };
        // Only Modbus TCP has a port of its own.
        let default = (framing == Framing::Tcp && !listens).then_some(PORT);
        let address = address(text, rest.strip_suffix('/').unwrap_or(rest), default)?;
        Ok(if listens { Self::Listen { address, framing } } else { Self::Tcp { address, framing } })
    }
}

/// `host:port`.
fn address(text: &str, rest: &str, default: Option<u16>) -> Result<String, EndpointError> {
    // What stands behind the last colon is the port, unless it belongs to an IPv6 address in brackets.
    let (host, port) = match rest.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')) {
        Some((host, port)) => {
            let digits = port.bytes().all(|byte| byte.is_ascii_digit());
            (host, port.parse().ok().filter(|port: &u16| digits && *port > 0))
        }
        None => (rest, default),
    };
    let port = port.ok_or_else(|| EndpointError::Port(text.to_owned()))?;
    let bracketed = host
        .strip_prefix('[')
        .and_then(|inside| inside.strip_suffix(']'))
        .is_some_and(|inside| inside.parse::<std::net::Ipv6Addr>().is_ok());
    let plain = !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte));
    if !(plain || bracketed) {
        return Err(EndpointError::Host(text.to_owned()));
    }
    Ok(format!("{}:{port}", host.to_ascii_lowercase()))
}

fn serial(text: &str, rest: &str) -> Result<Endpoint, EndpointError> {
    let (path, settings) = rest.split_once('?').unwrap_or((rest, ""));
    if !path.starts_with('/') || path.ends_with('/') || path.contains('\0') {
        return Err(EndpointError::Path(text.to_owned()));
    }
    let mut line = Line::default();
    for setting in settings.split('&').filter(|setting| !setting.is_empty()) {
        let wrong = || EndpointError::Setting(setting.to_owned());
        let (name, value) = setting.split_once('=').ok_or_else(wrong)?;
        match name {
            "baud" => {
                let baud = value.parse().ok().filter(|baud| (50..=4_000_000).contains(baud));
                line.baud = baud.filter(|_| value.bytes().all(|byte| byte.is_ascii_digit())).ok_or_else(wrong)?;
            }
            "parity" => line.parity = value.parse().map_err(|()| wrong())?,
            "stop" if value == "1" => line.stop_bits = 1,
            "stop" if value == "2" => line.stop_bits = 2,
            _ => return Err(wrong()),
        }
    }
    Ok(Endpoint::Serial { path: path.to_owned(), line })
}

impl FromStr for Parity {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "none" => Ok(Self::None),
            "even" => Ok(Self::Even),
            "odd" => Ok(Self::Odd),
            _ => Err(()),
        }
    }
}

impl fmt::Display for Parity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Even => "even",
            Self::Odd => "odd",
        })
    }
}

/// Every setting spelled out, so that equal endpoints have equal texts.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { address, framing: Framing::Tcp } => write!(f, "tcp://{address}"),
            Self::Tcp { address, framing: Framing::Rtu } => write!(f, "rtu+tcp://{address}"),
            Self::Listen { address, framing: Framing::Tcp } => write!(f, "tcp-listen://{address}"),
            Self::Listen { address, framing: Framing::Rtu } => write!(f, "rtu+tcp-listen://{address}"),
            Self::Serial { path, line: Line { baud, parity, stop_bits } } => {
                write!(f, "serial://{path}?baud={baud}&parity={parity}&stop={stop_bits}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_read_and_written() {
        for (text, canonical) in [
            ("tcp://10.0.0.5", "tcp://10.0.0.5:502"),
            (" tcp://RTU-7.field:1502/ ", "tcp://rtu-7.field:1502"),
            ("tcp://[::1]", "tcp://[::1]:502"),
            ("tcp://[::1]:503", "tcp://[::1]:503"),
            ("rtu+tcp://moxa:4001", "rtu+tcp://moxa:4001"),
            ("tcp-listen://0.0.0.0:5021", "tcp-listen://0.0.0.0:5021"),
            ("rtu+tcp-listen://[::]:5021", "rtu+tcp-listen://[::]:5021"),
            ("serial:///dev/ttyUSB0", "serial:///dev/ttyUSB0?baud=19200&parity=even&stop=1"),
            (
                "serial:///dev/serial/by-id/usb-FTDI?stop=2&baud=9600&parity=none",
                "serial:///dev/serial/by-id/usb-FTDI?baud=9600&parity=none&stop=2",
            ),
        ] {
            let endpoint: Endpoint = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(endpoint.to_string(), canonical);
            assert_eq!(canonical.parse(), Ok(endpoint));
        }
    }

    #[test]
    fn what_is_no_endpoint_is_refused_with_a_way_out() {
        for text in [
            "",
            "10.0.0.5:502",
            "rtu:///dev/ttyS0",
            "udp://10.0.0.5:502",
            "tcp://",
            "tcp://a:0",
            "tcp://a:+7",
            "tcp://a:99999",
            "tcp://a b:1",
            "tcp://[zz]:1",
            "rtu+tcp://host",
            "tcp-listen://0.0.0.0",
            "serial://ttyS0",
            "serial:///dev/",
            "serial:///dev/ttyS0?baud=",
            "serial:///dev/ttyS0?baud=+9600",
            "serial:///dev/ttyS0?baud=9600&parity=mark",
            "serial:///dev/ttyS0?stop=3",
            "serial:///dev/ttyS0?bits=7",
        ] {
            let error = text.parse::<Endpoint>().expect_err(text).to_string();
            assert!(error.contains("`: ") || error.contains(": "), "{error}");
        }
    }

    #[test]
    fn silence_is_three_and_a_half_characters_and_never_less_than_the_specification_says() {
        let line = |baud, parity, stop_bits| Line { baud, parity, stop_bits };
        // 11 bits a character.
        let silence = line(9_600, Parity::Even, 1).silence().as_secs_f64();
        assert!((silence - 3.5 * 11.0 / 9_600.0).abs() < 1e-8, "{silence}");
        assert_eq!(line(9_600, Parity::None, 1).character(), Duration::from_secs(1) * 10 / 9_600);
        assert_eq!(line(115_200, Parity::Even, 1).silence(), Duration::from_micros(1_750));
    }
}
