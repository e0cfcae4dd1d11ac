//! The way to an endpoint: opened in the background, over the second endpoint where the first fails, and back.
//!
//! That a socket opens proves nothing. A way counts as good once data has come over it; one over which none came is
//! tried last.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ducto_record::Quality;
use modbus::client::Error;
use modbus::{Client, Endpoint, Framing, Listener, Options, Request};
use tokio::task::JoinHandle;

use super::breaker::Backoff;

/// Pauses between rounds of attempts.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

pub(super) struct Link {
    /// The endpoint, and the one to fall back to.
    ways: Vec<Way>,
    options: Options,
    /// How long the second endpoint is used before the first is tried again.
    return_after: Duration,
    client: Option<Client>,
    /// Index of the way that the client goes.
    active: usize,
    opening: Option<Opening>,
    /// Ways still to be tried before the next pause.
    round: Vec<usize>,
    backoff: Backoff,
    /// A connection that had worked broke, and is being opened again: what wants to be read waits for it.
    mending: bool,
    /// A connection was there once.
    ever: bool,
    /// An attempt has failed.
    refused: bool,
    /// Data has come over the client.
    heard: bool,
    return_at: Option<Instant>,
    /// What was last answered: the proof asked of the first endpoint before it is returned to.
    proof: Option<Proof>,
}

struct Way {
    endpoint: Endpoint,
    /// Where devices dial in: the port stays open from the first attempt on.
    listener: Option<Arc<Listener>>,
    /// A connection was open, and nothing came over it, or nothing more.
    barren: bool,
}

#[derive(Clone, Debug)]
struct Proof {
    unit: u8,
    request: Request,
    patience: Duration,
}

/// An attempt under way; given up when it is dropped.
struct Opening {
    way: usize,
    /// It is to replace a client that works.
    returning: bool,
    task: JoinHandle<Opened>,
    opened: Option<Opened>,
}

struct Opened {
    listener: Option<Arc<Listener>>,
    client: Result<Client, Error>,
}

impl Drop for Opening {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Why a connection was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lost {
    /// Nothing comes over it, or nothing that makes sense.
    Useless,
    /// It broke.
    Broke,
    /// It breaks whenever one unit is asked, and the others answer.
    Unit,
}

/// What has become of attempts to open the way.
#[derive(Debug)]
pub(super) enum Event {
    Connected,
    /// The first endpoint works again.
    Returned,
    /// One attempt failed; with the last of a round there is a pause.
    Failed(Error, Duration),
}

impl Link {
    pub(super) fn new(endpoints: Vec<Endpoint>, options: Options, return_after: Duration, name: &str) -> Self {
        let ways = endpoints.into_iter().map(|endpoint| Way { endpoint, listener: None, barren: false });
        Self {
            ways: ways.collect(),
            options,
            return_after,
            client: None,
            active: 0,
            opening: None,
            round: Vec::new(),
            backoff: Backoff::new(FIRST_PAUSE, LONGEST_PAUSE, 0, name),
            mending: false,
            ever: false,
            refused: false,
            heard: false,
            return_at: None,
            proof: None,
        }
    }

    /// Forgets the connection: what an earlier run left.
    pub(super) fn reset(&mut self) {
        self.client = None;
        self.opening = None;
        self.round.clear();
        self.mending = false;
    }

    pub(super) fn client(&mut self) -> Option<&mut Client> {
        self.client.as_mut()
    }

    pub(super) fn is_up(&self) -> bool {
        self.client.is_some()
    }

    /// Whether the far end has not closed it, as far as is known. One that is found closed is opened again when something
    /// is to be asked: there are devices that close whatever is idle.
    pub(super) fn is_open(&self) -> bool {
        self.client.as_ref().is_some_and(Client::is_open)
    }

    /// Whether requests can be made now or in a moment.
    pub(super) fn is_usable(&self) -> bool {
        self.is_up() || self.mending
    }

    /// Whether nothing has come over this connection yet although there is another way.
    pub(super) fn is_doubtful(&self) -> bool {
        self.ways.len() > 1 && !self.heard
    }

    pub(super) fn is_second(&self) -> bool {
        self.is_up() && self.active > 0
    }

    pub(super) fn was_ever_up(&self) -> bool {
        self.ever
    }

    /// Whether frames have no ids, so that a late answer could pass for another.
    pub(super) fn is_line(&self) -> bool {
        match self.ways.get(self.active).map(|way| &way.endpoint) {
            Some(Endpoint::Tcp { framing, .. } | Endpoint::Listen { framing, .. }) => *framing == Framing::Rtu,
            Some(Endpoint::Serial { .. }) => true,
            None => false,
        }
    }

    /// Why there is no reading while there is no connection.
    pub(super) fn quality(&self) -> Quality {
        match (self.ever, self.refused) {
            (true, _) => Quality::COMM_FAILURE,
            (false, true) => Quality::NOT_CONNECTED,
            (false, false) => Quality::WAITING,
        }
    }

    /// The address that the client is connected to, for messages.
    pub(super) fn endpoint(&self) -> Option<&Endpoint> {
        self.ways.get(self.active).map(|way| &way.endpoint)
    }

    /// A unit has answered this request.
    pub(super) fn worked(&mut self, unit: u8, request: Request, patience: Duration) {
        self.backoff.worked();
        if let Some(way) = self.ways.get_mut(self.active) {
            way.barren = false;
        }
        if !self.heard {
            self.heard = true;
            self.return_at = (self.active > 0).then(|| Instant::now() + self.return_after);
        }
        if self.ways.len() > 1 {
            self.proof = Some(Proof { unit, request, patience });
        }
    }

    /// The connection is of no more use. Where it broke although it works, what wants to be read may wait until the next
    /// attempt is over.
    pub(super) fn lost(&mut self, now: Instant, why: Lost) {
        self.client = None;
        // An attempt to return to the first endpoint ends with what it was to replace.
        self.opening = None;
        self.round.clear();
        if why == Lost::Unit || (why == Lost::Broke && self.heard) {
            self.mending = true;
        } else if let Some(way) = self.ways.get_mut(self.active) {
            way.barren = true;
        }
        if self.ways.iter().all(|way| way.barren) {
            self.backoff.failed(now);
            self.ways.iter_mut().for_each(|way| way.barren = false);
        }
        self.heard = false;
    }

    /// Takes what has come of attempts, and begins one where that is due. Waits for nothing.
    pub(super) async fn step(&mut self, now: Instant) -> Option<Event> {
        let finished =
            self.opening.as_ref().is_some_and(|opening| opening.opened.is_some() || opening.task.is_finished());
        if finished {
            self.changed().await;
            if let Some(event) = self.take_opened(now) {
                return Some(event);
            }
        }
        if let Some(event) = self.take_dialled() {
            return Some(event);
        }
        if self.client.is_none() {
            if self.opening.is_none() && self.backoff.allows(now) {
                if self.round.is_empty() {
                    self.round = (0..self.ways.len()).collect();
                    self.round.sort_by_key(|way| (self.ways[*way].barren, *way));
                    self.round.reverse();
                }
                if let Some(way) = self.round.pop() {
                    self.begin(way, None);
                }
            }
        } else if self.opening.is_none() && self.return_at.is_some_and(|at| at <= now) {
            self.return_at = Some(now + self.return_after);
            self.begin(0, self.proof.clone());
        }
        None
    }

    fn begin(&mut self, way: usize, proof: Option<Proof>) {
        let Some(Way { endpoint, listener, .. }) = self.ways.get(way) else { return };
        let (endpoint, listener, options) = (endpoint.clone(), listener.clone(), self.options);
        let returning = proof.is_some();
        let task = tokio::spawn(async move {
            let mut opened = open(&endpoint, listener, options).await;
            if let (Ok(client), Some(Proof { unit, request, patience })) = (&mut opened.client, proof) {
                match client.request_within(unit, &request, patience).await {
                    Ok(_) | Err(Error::Exception { .. }) => {}
                    Err(error) => opened.client = Err(error),
                }
            }
            opened
        });
        self.opening = Some(Opening { way, returning, task, opened: None });
    }

    fn take_opened(&mut self, now: Instant) -> Option<Event> {
        let opened = self.opening.as_mut()?.opened.take()?;
        let (opening, Opened { listener, client }) = (self.opening.take()?, opened);
        let way = self.ways.get_mut(opening.way)?;
        way.listener = listener.or(way.listener.take());
        match client {
            Ok(client) if opening.returning => {
                self.adopt(client, opening.way);
                self.heard = true;
                self.return_at = None;
                Some(Event::Returned)
            }
            Ok(client) => {
                self.adopt(client, opening.way);
                Some(Event::Connected)
            }
            Err(error) if opening.returning => {
                tracing::debug!(%error, "the first endpoint does not work yet");
                None
            }
            Err(error) => {
                self.refused = true;
                self.mending = self.mending && !self.round.is_empty();
                let listens = matches!(way.endpoint, Endpoint::Listen { .. });
                // Waiting for a modem is pause enough.
                let pause = if self.round.is_empty() && !listens { self.backoff.failed(now) } else { Duration::ZERO };
                Some(Event::Failed(error, pause))
            }
        }
    }

    /// Takes a device that has dialled in, unless a better way is open: it replaces its own older connection.
    fn take_dialled(&mut self) -> Option<Event> {
        let at = (0..=self.worst_wanted()).find_map(|index| {
            let way = self.ways.get(index)?;
            let Endpoint::Listen { framing, .. } = way.endpoint else { return None };
            let (stream, from) = way.listener.as_ref()?.take()?;
            Some((index, Client::over_tcp(stream, &from.to_string(), framing, self.options)))
        });
        let (index, client) = at?;
        self.opening = None;
        self.adopt(client, index);
        Some(Event::Connected)
    }

    /// The last way that is taken when a device dials in over it: with a client, no worse one than its own.
    fn worst_wanted(&self) -> usize {
        if self.client.is_some() { self.active } else { self.ways.len() }
    }

    fn adopt(&mut self, client: Client, way: usize) {
        self.client = Some(client);
        self.active = way;
        self.round.clear();
        self.ever = true;
        self.heard = false;
        self.mending = false;
        self.return_at = None;
    }

    /// When [`Link::step`] has something to begin, if nothing happens before.
    pub(super) fn next_step(&self, now: Instant) -> Option<Instant> {
        match (&self.client, &self.opening) {
            (_, Some(_)) => None,
            (None, None) => Some(self.backoff.until().unwrap_or(now)),
            (Some(_), None) => self.return_at,
        }
    }

    /// Waits until [`Link::step`] has something to take, or the far end closes the connection.
    pub(super) async fn changed(&mut self) {
        let worst = self.worst_wanted();
        let Self { opening, ways, client, .. } = self;
        let closed = async {
            match client {
                Some(client) if client.is_open() => drop(client.closed().await),
                _ => std::future::pending().await,
            }
        };
        let opened = async {
            match opening {
                Some(Opening { task, opened: opened @ None, .. }) => {
                    *opened = Some(task.await.unwrap_or_else(|error| Opened {
                        listener: None,
                        client: Err(Error::Connect {
                            address: "the endpoint".to_owned(),
                            source: std::io::Error::other(error),
                        }),
                    }));
                }
                Some(_) => {}
                None => std::future::pending().await,
            }
        };
        let mut listeners = ways.iter().take(worst + 1).filter_map(|way| way.listener.as_ref());
        let (first, second) = (listeners.next(), listeners.next());
        tokio::select! {
            biased;
            () = opened => {}
            () = closed => {}
            () = dialled(first) => {}
            () = dialled(second) => {}
        }
    }
}

async fn dialled(listener: Option<&Arc<Listener>>) {
    match listener {
        Some(listener) => listener.arrived().await,
        None => std::future::pending().await,
    }
}

async fn open(endpoint: &Endpoint, listener: Option<Arc<Listener>>, options: Options) -> Opened {
    let Endpoint::Listen { address, framing } = endpoint else {
        return Opened { listener: None, client: Client::open(endpoint, options).await };
    };
    let listener = match listener {
        Some(listener) => listener,
        None => match Listener::bind(address).await {
            Ok(listener) => Arc::new(listener),
            Err(source) => {
                let client = Err(Error::Listen { address: address.clone(), source });
                return Opened { listener: None, client };
            }
        },
    };
    let client = Client::accept(&listener, *framing, options).await;
    Opened { listener: Some(listener), client }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use std::sync::Arc;

    use modbus::{Registers, Server};
    use tokio::net::TcpStream;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    fn free_address() -> String {
        std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
    }

    /// Steps until something has become of an attempt.
    async fn event(link: &mut Link) -> Event {
        loop {
            let now = Instant::now();
            if let Some(event) = link.step(now).await {
                return event;
            }
            let until = link.next_step(now).unwrap_or(now + PATIENCE);
            let _ = tokio::time::timeout_at(until.into(), link.changed()).await;
        }
    }

    #[tokio::test]
    async fn a_modem_on_the_second_way_is_taken_when_it_is_needed_and_no_sooner() {
        let (first, second) = (free_address(), free_address());
        let endpoints = [format!("tcp://{first}"), format!("tcp-listen://{second}")];
        let endpoints = endpoints.iter().map(|text| text.parse().unwrap()).collect();
        let options = Options { connect_timeout: Duration::from_millis(100), ..Options::default() };
        let mut link = Link::new(endpoints, options, PATIENCE, "test");
        for expected in ["connect", "dialled in"] {
            let Event::Failed(error, _) = event(&mut link).await else { panic!("nothing is there yet") };
            assert!(error.to_string().contains(expected), "{error}");
        }
        let server = Server::bind(&first, Arc::new(Registers::new())).await.unwrap();
        while !matches!(event(&mut link).await, Event::Connected) {}
        assert!(!link.is_second());

        // The modem dials; nobody needs it, and nothing is to be done about it.
        let _modem = TcpStream::connect(&second).await.unwrap();
        let idle = tokio::time::timeout(Duration::from_millis(200), link.changed()).await;
        assert!(idle.is_err(), "a modem that is not needed wakes nobody");
        assert!(link.step(Instant::now()).await.is_none());

        drop(server);
        link.lost(Instant::now(), Lost::Useless);
        assert!(matches!(event(&mut link).await, Event::Connected));
        assert!(link.is_second());
    }
}
