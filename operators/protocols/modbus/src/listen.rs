//! Devices that dial in.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// A port on which one device dials in. Of several connections the newest counts: a modem that has lost its line dials
/// again long before the old connection is known to be dead.
#[derive(Debug)]
pub struct Listener {
    address: SocketAddr,
    arrived: Arc<Arrived>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Arrived {
    newest: Mutex<Option<(TcpStream, SocketAddr)>>,
    came: Notify,
}

impl Listener {
    /// Listens on `address`, such as `0.0.0.0:5021`.
    ///
    /// # Errors
    /// When the port is taken, or not this machine's.
    pub async fn bind(address: &str) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let arrived = Arc::new(Arrived::default());
        let task = tokio::spawn(accept(listener, arrived.clone()));
        Ok(Self { address, arrived, task })
    }

    /// The address it listens on.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The newest connection that nobody has taken yet, and where it comes from.
    #[must_use]
    pub fn take(&self) -> Option<(TcpStream, SocketAddr)> {
        self.arrived.newest.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Waits until there is a connection to take.
    pub async fn arrived(&self) {
        while self.arrived.newest.lock().unwrap_or_else(PoisonError::into_inner).is_none() {
            self.arrived.came.notified().await;
        }
    }

    /// Waits for a connection and takes it.
    pub async fn next(&self) -> (TcpStream, SocketAddr) {
        loop {
            self.arrived().await;
            if let Some(taken) = self.take() {
                return taken;
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, arrived: Arc<Arrived>) {
    loop {
        match listener.accept().await {
            Ok(taken) => {
                *arrived.newest.lock().unwrap_or_else(PoisonError::into_inner) = Some(taken);
                // Whoever waits, and otherwise whoever waits next.
                arrived.came.notify_waiters();
                arrived.came.notify_one();
            }
            Err(error) => {
                // Out of file descriptors, most likely: let some close.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}
