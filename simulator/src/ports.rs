//! Addresses to listen on, and the files that a process may have open for them.

use std::net::SocketAddr;
use std::sync::Arc;

use modbus::{Device, Server};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use thiserror::Error;

/// Why a simulation does not listen.
#[derive(Debug, Error)]
pub enum StartError {
    #[error("`{0}` is no address to listen on; write it as `127.0.0.1:5020`")]
    Address(String),
    #[error("{count} ports from {first} on go past 65535; begin at a lower one with `--listen`")]
    Ports { first: u16, count: usize },
    #[error(
        "`{0}` is in use by another program, perhaps another simulator or demo; stop that one, or name another address with `--listen`"
    )]
    InUse(String),
    #[error("`{address}` cannot be listened on: {source}; name another address with `--listen`")]
    Listen { address: String, source: std::io::Error },
    #[error(
        "{needed} files would have to be open at once, and this process may have {limit}; raise the limit first (`ulimit -n {needed}`, or LimitNOFILE= of a service), or simulate less"
    )]
    Files { needed: u64, limit: u64 },
    #[error("the simulation cannot start its threads: {0}; end some processes and try again")]
    Threads(std::io::Error),
}

/// `count` addresses, the port counting up from the one given; a port of 0 is any free one each time.
pub(crate) fn addresses(listen: &str, count: usize) -> Result<Vec<String>, StartError> {
    let wrong = || StartError::Address(listen.to_owned());
    let (host, port) = listen.rsplit_once(':').filter(|(host, _)| !host.is_empty()).ok_or_else(wrong)?;
    let first: u16 = port.parse().map_err(|_| wrong())?;
    if first == 0 {
        return Ok(vec![listen.to_owned(); count]);
    }
    if usize::from(first) + count > 65_536 {
        return Err(StartError::Ports { first, count });
    }
    Ok((usize::from(first)..).take(count).map(|port| format!("{host}:{port}")).collect())
}

/// Files that a process has open besides: its output, its runtime, what it writes.
const BESIDES: u64 = 64;

/// Sees to it that so many sockets can be open at once, raising the limit where that is allowed.
pub(crate) fn allow_sockets(sockets: u64) -> Result<(), StartError> {
    let needed = sockets + BESIDES;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    let allowed = limit.maximum.is_none_or(|most| most >= needed);
    let raised = Rlimit { current: Some(needed), maximum: limit.maximum };
    if allowed && setrlimit(Resource::Nofile, raised).is_ok() {
        return Ok(());
    }
    Err(StartError::Files { needed, limit: limit.maximum.or(limit.current).unwrap_or(0) })
}

/// Listens on an address; to be called inside a runtime.
pub(crate) async fn listen(address: &str, device: Arc<dyn Device>) -> Result<(Server, SocketAddr), StartError> {
    let server = Server::bind(address, device).await.map_err(|source| match source.kind() {
        std::io::ErrorKind::AddrInUse => StartError::InUse(address.to_owned()),
        std::io::ErrorKind::InvalidInput => StartError::Address(address.to_owned()),
        _ => StartError::Listen { address: address.to_owned(), source },
    })?;
    let address = server.local_addr();
    Ok((server, address))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn ports_count_up() {
        assert_eq!(addresses("127.0.0.1:5020", 3).unwrap(), ["127.0.0.1:5020", "127.0.0.1:5021", "127.0.0.1:5022"]);
        assert_eq!(addresses("[::1]:0", 2).unwrap(), ["[::1]:0", "[::1]:0"]);
        assert_eq!(addresses("127.0.0.1:65535", 1).unwrap().len(), 1);
        for (text, count) in [("5020", 1), (":5020", 1), ("host", 1), ("host:x", 1), ("h:65535", 2), ("h:70000", 1)] {
            assert!(addresses(text, count).is_err(), "{text}");
        }
    }

    #[test]
    fn a_limit_that_cannot_be_raised_is_named() {
        assert!(allow_sockets(10).is_ok());
        if let Some(most) = getrlimit(Resource::Nofile).maximum {
            let text = allow_sockets(most).unwrap_err().to_string();
            assert!(text.contains(&most.to_string()) && text.contains("ulimit -n"), "{text}");
        }
    }
}
