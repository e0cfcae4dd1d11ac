#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;

use ducto_graph::operator::Resources;
use ducto_graph::registry::Registry;
use ducto_graph::site::Site;
use ducto_storage::{DataFolder, Historian};
use proptest::prelude::*;
use serde_json::Value as Json;

use super::protocol::{Answer, Ask, LONGEST_REQUEST, Refusal, RefusalKind, Request, RowFormat, TapAsk, VERSION, parse};
use crate::{Batches, Client, ClientError, History, LiveSite, Start};

struct NoHistory;

impl History for NoHistory {
    fn all(&self) -> Vec<(String, Historian)> {
        Vec::new()
    }

    fn close(&self) {}
}

fn start(data: &Path) -> LiveSite {
    let start = Start {
        findings: Vec::new(),
        folder: Arc::new(DataFolder::open(data).unwrap()),
        resources: Resources::default(),
        history: Arc::new(NoHistory),
        last_epoch: 0,
        dataset_of: Box::new(|_| None),
        version: "0",
    };
    let site = Arc::new(Site::bare(["W1.THP", "W2.THP"]));
    LiveSite::start(&site, &Registry::default(), start).unwrap()
}

fn client(data: &Path) -> Client {
    Client::connect(data).unwrap().unwrap()
}

fn rows(client: &mut Client, sql: &str) -> Result<usize, ClientError> {
    let answers = client.ask(Ask::Query { sql: sql.to_owned(), format: RowFormat::Arrow })?;
    let mut batches = Batches::of(answers)?;
    let mut rows = 0;
    while let Some(batch) = batches.next_batch()? {
        rows += batch.num_rows();
    }
    Ok(rows)
}

#[test]
fn a_connection_takes_one_request_after_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let mut live = start(folder.path());
    let mut client = client(folder.path());
    let status: Vec<_> = client.ask(Ask::Status).unwrap().map(Result::unwrap).collect();
    let [Answer::Status(status)] = status.as_slice() else { panic!("{status:?}") };
    assert_eq!((status.site.as_str(), status.tags, status.process), ("bare", 2, std::process::id()));
    assert_eq!(rows(&mut client, "SELECT tag FROM tags").unwrap(), 2);
    assert_eq!(rows(&mut client, "SELECT tag FROM tags WHERE false").unwrap(), 0);
    let error = rows(&mut client, "SELECT tag FROM tgas").unwrap_err();
    assert!(matches!(&error, ClientError::Refused(Refusal { kind: RefusalKind::Query, .. })), "{error:?}");
    assert!(error.to_string().contains("did you mean `tags`?"), "{error}");
    let many = "SELECT a.value AS x FROM generate_series(1, 100000) AS a(value)";
    if let Ok(given) = rows(&mut client, many) {
        assert_eq!(given, 100_000);
    }
    let objects = Ask::Query { sql: "SELECT tag, unit FROM tags ORDER BY tag".to_owned(), format: RowFormat::Rows };
    let mut answers = client.ask(objects).unwrap();
    let Some(Ok(Answer::Row(row))) = answers.next() else { panic!("no row") };
    assert_eq!(Json::Object(row), serde_json::json!({"tag": "W1.THP", "unit": null}));
    assert_eq!(answers.by_ref().count(), 1);
    assert_eq!(answers.end().unwrap().rows, 2);
    live.stop().unwrap();
}

#[test]
fn a_client_that_writes_no_more_is_answered_and_one_that_has_gone_stops_its_query() {
    let folder = tempfile::tempdir().unwrap();
    let mut live = start(folder.path());
    let ask = |sql: &str| {
        let mut stream = UnixStream::connect(folder.path().join("ducto.sock")).unwrap();
        let ask = Ask::Query { sql: sql.to_owned(), format: RowFormat::Rows };
        let mut line = serde_json::to_vec(&Request { version: VERSION, ask }).unwrap();
        line.push(b'\n');
        stream.write_all(&line).unwrap();
        stream
    };
    let stream = ask("SELECT tag FROM tags");
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(BufReader::new(stream).lines().count(), 3);
    // Two to the power of so many rows: the stop would wait for it.
    let tables: Vec<String> = (0..40).map(|number| format!("tags AS t{number}")).collect();
    drop(ask(&format!("SELECT count(*) FROM {} WHERE t0.tag || t39.tag = 'x'", tables.join(", "))));
    assert_eq!(rows(&mut client(folder.path()), "SELECT tag FROM tags").unwrap(), 2);
    live.stop().unwrap();
}

#[test]
fn a_client_is_told_that_the_site_has_gone() {
    let folder = tempfile::tempdir().unwrap();
    let mut live = start(folder.path());
    let mut client = client(folder.path());
    assert!(client.ask(Ask::Status).unwrap().all(|answer| answer.is_ok()));
    live.stop().unwrap();
    let gone = rows(&mut client, "SELECT 1").unwrap_err();
    assert!(matches!(gone, ClientError::Stopped), "{gone:?}");
    assert!(Client::connect(folder.path()).unwrap().is_none());
}

#[test]
fn the_socket_is_its_owners_and_replaces_a_dead_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ducto.sock");
    // Nobody listens behind it any more.
    drop(UnixListener::bind(&path).unwrap());
    assert!(Client::connect(folder.path()).unwrap().is_none());
    let _live = start(folder.path());
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(client(folder.path()).ask(Ask::Status).unwrap().all(|answer| answer.is_ok()));
}

#[test]
fn a_path_longer_than_an_address_is_reached() {
    let folder = tempfile::tempdir().unwrap();
    let deep = folder.path().join("d".repeat(60)).join("e".repeat(60));
    let _live = start(&deep);
    assert_eq!(rows(&mut client(&deep), "SELECT tag FROM tags").unwrap(), 2);
}

#[test]
fn lines_of_any_kind_are_refused_one_by_one() {
    let folder = tempfile::tempdir().unwrap();
    let _live = start(folder.path());
    let mut stream = UnixStream::connect(folder.path().join("ducto.sock")).unwrap();
    let mut answers = BufReader::new(stream.try_clone().unwrap()).lines();
    for line in [&b"\xc3\x28"[..], b"{", b"null", b"\"\"", b"{\"version\": 1}", b"{\"version\": 1, \"ask\": {}}"] {
        stream.write_all(&[line, b"\n\n"].concat()).unwrap();
        let answer: Answer = serde_json::from_str(&answers.next().unwrap().unwrap()).unwrap();
        assert!(matches!(answer, Answer::Error(_)), "{answer:?}");
    }
    let long = vec![b' '; LONGEST_REQUEST + 1];
    stream.write_all(&long).unwrap();
    let answer = answers.next().unwrap().unwrap();
    assert!(answer.contains("longer than"), "{answer}");
    assert!(answers.next().is_none_or(|line| line.is_err()));
    assert!(client(folder.path()).ask(Ask::Status).unwrap().all(|answer| answer.is_ok()));
}

pub(super) fn requests() -> Vec<Vec<u8>> {
    let asks = [
        Ask::Status,
        Ask::View { name: "alarms".to_owned() },
        Ask::Act {
            verb: "acknowledge".to_owned(),
            arguments: [("tag".to_owned(), Json::from("W.THP")), ("n".to_owned(), Json::from(1.5))].into(),
            user: Some("maría".to_owned()),
            reason: None,
        },
        Ask::Query { sql: "SELECT '\n\u{1f6e2}'".to_owned(), format: RowFormat::Rows },
        Ask::Watch { name: "alarms".to_owned() },
        Ask::Tap(TapAsk {
            name: "p.n.late".to_owned(),
            condition: Some("value > 'é'".to_owned()),
            limit: Some(3),
            rows_per_second: Some(200),
            format: RowFormat::Rows,
        }),
    ];
    asks.into_iter().map(|ask| serde_json::to_vec(&Request { version: VERSION, ask }).unwrap()).collect()
}

#[test]
fn what_a_client_writes_is_what_a_site_reads() {
    for line in requests() {
        assert!(!line.contains(&b'\n'));
        let ask = parse(&line).unwrap();
        assert_eq!(serde_json::to_vec(&Request { version: VERSION, ask }).unwrap(), line);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_a_request_or_a_refusal(line in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Err(refusal) = parse(&line) {
            prop_assert!(refusal.message.len() < 2_000);
        }
    }

    #[test]
    fn a_request_with_some_bytes_changed_is_a_request_or_a_refusal(
        which in 0..requests().len(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0u8..3), 1..8),
    ) {
        let mut line = requests().swap_remove(which);
        for (at, byte, how) in edits {
            if line.is_empty() {
                break;
            }
            let at = at.index(line.len());
            match how {
                0 => line[at] = byte,
                1 => line.insert(at, byte),
                _ => drop(line.remove(at)),
            }
        }
        if let Err(refusal) = parse(&line) {
            prop_assert!(!refusal.message.is_empty() && refusal.message.len() < 2_000);
        }
    }

    #[test]
    fn deep_nesting_is_refused(depth in 1usize..20_000) {
        let line = [br#"{"version": 1, "ask": "#.to_vec(), vec![b'['; depth]].concat();
        prop_assert!(parse(&line).is_err());
    }
}
