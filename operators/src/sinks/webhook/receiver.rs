//! A receiver of webhooks in the test's own hands, over real sockets.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// What it does with a request once it has read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Behaviour {
    /// Keeps it and answers this: status, headers, text.
    Answer(u16, &'static str, &'static str),
    /// Keeps it, and ends the connection without a word: the answer is lost.
    LoseAnswer,
    /// Ends the connection in the middle of the request.
    Reset,
    /// Never answers, and keeps nothing.
    Silent,
    /// As an answer of 200, after this long.
    Slow(Duration),
}

pub(crate) const OK: Behaviour = Behaviour::Answer(200, "", "");

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) path: String,
    /// Names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

struct State {
    behaviour: Behaviour,
    /// Every request that was answered with a success, or whose answer was lost; retries too.
    kept: Vec<Request>,
    /// Requests of any kind.
    requests: usize,
    /// Connections that are never answered.
    silent: Vec<TcpStream>,
    ended: bool,
}

pub(crate) struct Receiver {
    address: SocketAddr,
    state: Arc<(Mutex<State>, Condvar)>,
}

impl Receiver {
    pub(crate) fn start(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = State { behaviour, kept: Vec::new(), requests: 0, silent: Vec::new(), ended: false };
        let state = Arc::new((Mutex::new(state), Condvar::new()));
        let shared = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if shared.0.lock().unwrap().ended {
                    return;
                }
                let shared = shared.clone();
                std::thread::spawn(move || while serve(&stream, &shared) == Some(true) {});
            }
        });
        Self { address, state }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/in", self.address)
    }

    pub(crate) fn set(&self, behaviour: Behaviour) {
        let mut state = self.state.0.lock().unwrap();
        state.behaviour = behaviour;
        // Whoever waits for an answer that never comes goes on waiting.
    }

    /// The connections that are not answered are ended.
    pub(crate) fn let_go(&self) {
        self.state.0.lock().unwrap().silent.clear();
    }

    pub(crate) fn requests(&self) -> usize {
        self.state.0.lock().unwrap().requests
    }

    /// What it has kept: each batch once, in the order in which they came first. The same id never comes with two
    /// contents.
    pub(crate) fn batches(&self) -> Vec<Request> {
        let state = self.state.0.lock().unwrap();
        let mut batches: Vec<Request> = Vec::new();
        for request in &state.kept {
            match batches.iter().find(|other| other.header("idempotency-key") == request.header("idempotency-key")) {
                Some(before) => assert_eq!(before.body, request.body, "one id for two batches"),
                None => batches.push(request.clone()),
            }
        }
        batches
    }

    /// The lines of all batches.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.batches().iter().flat_map(|batch| batch.body.lines().map(str::to_owned).collect::<Vec<_>>()).collect()
    }

    /// How many requests were kept, of retries each.
    pub(crate) fn kept(&self) -> usize {
        self.state.0.lock().unwrap().kept.len()
    }

    /// Waits until a condition is met, looked at after each request; fails the test after two minutes.
    #[track_caller]
    pub(crate) fn wait(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        let end = Instant::now() + Duration::from_secs(120);
        while !condition(self) {
            assert!(Instant::now() < end, "waited in vain for {what}; {} requests came", self.requests());
            let state = self.state.0.lock().unwrap();
            drop(self.state.1.wait_timeout(state, Duration::from_millis(100)).unwrap());
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.state.0.lock().unwrap().ended = true;
        let _ = TcpStream::connect(self.address);
    }
}

/// Reads one request and does with it what is to be done. Says whether another may come.
fn serve(stream: &TcpStream, shared: &Arc<(Mutex<State>, Condvar)>) -> Option<bool> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|length| *length > 0)?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let behaviour = {
        let mut state = shared.0.lock().unwrap();
        state.requests += 1;
        shared.1.notify_all();
        state.behaviour.clone()
    };
    if behaviour == Behaviour::Reset {
        return None;
    }
    let length = headers.get("content-length")?.parse().ok()?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let request = Request { path, headers, body: String::from_utf8(body).unwrap() };
    let keep = |request| {
        shared.0.lock().unwrap().kept.push(request);
        shared.1.notify_all();
    };
    let (status, more, text) = match behaviour {
        Behaviour::Reset => return None,
        Behaviour::Silent => {
            shared.0.lock().unwrap().silent.push(stream.try_clone().ok()?);
            return None;
        }
        Behaviour::LoseAnswer => {
            keep(request);
            return None;
        }
        Behaviour::Slow(time) => {
            std::thread::sleep(time);
            keep(request);
            (200, "", "")
        }
        Behaviour::Answer(status, more, text) => {
            if (200..300).contains(&status) {
                keep(request);
            }
            (status, more, text)
        }
    };
    let answer = format!("HTTP/1.1 {status} Said\r\nContent-Length: {}\r\n{more}\r\n{text}", text.len());
    let mut writer = stream;
    writer.write_all(answer.as_bytes()).ok()?;
    Some(true)
}
