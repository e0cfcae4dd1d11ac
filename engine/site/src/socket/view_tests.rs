#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use arrow::array::AsArray;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::field::{Field, PATIENCE, eventually};
use super::protocol::{Answer, Ask, LeftOut, Refusal, RefusalKind, Request, RowFormat, TapAsk, Tapping, VERSION};
use super::tests::requests;
use crate::lookers::MOST;
use crate::{Client, ClientError, Streams};

fn tap(name: &str) -> TapAsk {
    TapAsk { name: name.to_owned(), format: RowFormat::Rows, ..TapAsk::default() }
}

/// Opens a tap and reads its first answer, so that it is on when this returns.
fn opened(client: &mut Client, ask: TapAsk) -> Result<(Tapping, crate::Answers<'_>), Refusal> {
    let mut answers = client.ask(Ask::Tap(ask)).unwrap();
    match answers.next().unwrap() {
        Ok(Answer::Tapping(tapping)) => Ok((tapping, answers)),
        Err(ClientError::Refused(refusal)) => Err(refusal),
        other => panic!("{other:?}"),
    }
}

fn refused(field: &Field, ask: TapAsk) -> Refusal {
    let mut client = field.client();
    opened(&mut client, ask).err().unwrap()
}

fn row(answer: Option<Result<Answer, ClientError>>) -> Json {
    match answer {
        Some(Ok(Answer::Row(row))) => Json::Object(row),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_name_is_a_node_a_port_a_tag_or_an_asset() {
    let field = Field::start();
    for (name, full, raw) in [
        ("newest", "wells.newest", false),
        ("wells.newest", "wells.newest", false),
        ("newest.main", "wells.newest", false),
        ("newest.late", "wells.newest.late", false),
        ("wells.newest.late", "wells.newest.late", false),
        ("other.all", "other.all", false),
        ("W1.THP", "W1.THP", true),
        ("W1", "W1", true),
        ("LOOSE", "LOOSE", true),
    ] {
        let mut client = field.client();
        let (tapping, _) = opened(&mut client, tap(name)).unwrap();
        assert_eq!((tapping.name.as_str(), tapping.raw), (full, raw), "{name}");
    }
    for (name, said) in [
        ("all", "several nodes are named `all`: `wells.all`, `other.all`; name one of them"),
        (
            "newst",
            "there is no node, tag or asset `newst` (did you mean `newest`?)\nnodes: `wells.all`, `wells.newest`, `other.all`",
        ),
        ("W1.TPH", "there is no node, tag or asset `W1.TPH` (did you mean `W1.THP`?)"),
        ("newest.lat", "`wells.newest` has no port `lat`; it has `main`, `late`"),
        ("kept", "`wells.kept` is a sink and gives nothing; tap what it reads: `wells.newest`"),
        ("", "there is no node, tag or asset ``"),
        ("a.b.c.d", "there is no node, tag or asset `a.b.c.d`"),
    ] {
        let refusal = refused(&field, tap(name));
        assert_eq!(refusal.kind, RefusalKind::Missing);
        assert!(refusal.message.starts_with(said), "{name}: {}", refusal.message);
    }
}

#[test]
fn rows_pass_with_names_units_and_states() {
    let field = Field::start();
    let mut client = field.client();
    let (_, mut answers) = opened(&mut client, TapAsk { limit: Some(3), ..tap("wells.all") }).unwrap();
    field.feed(&[(0, 250.5), (3, 1.0)]);
    field.feed_bool(1, true);
    let expected = json!({"time": "2026-01-01T15:00:00Z", "tag": "W1.THP", "value": 250.5, "unit": "psig", "quality": 192, "checks": 0});
    assert_eq!(row(answers.next()), expected);
    assert_eq!(row(answers.next())["unit"], Json::Null);
    let digital = row(answers.next());
    assert_eq!(
        (&digital["tag"], &digital["value"], &digital["state"]),
        (&"W1.RUN".into(), &true.into(), &"En marcha".into())
    );
    assert!(answers.next().is_none());
    let end = answers.end().unwrap();
    assert_eq!((end.rows, end.left_out), (3, LeftOut::default()));
    // The connection takes the next request.
    assert!(client.ask(Ask::Status).unwrap().all(|answer| answer.is_ok()));
}

#[test]
fn batches_come_as_streams_one_for_each_kind_of_value() {
    let field = Field::start();
    let mut client = field.client();
    let ask = TapAsk { format: RowFormat::Arrow, limit: Some(4), ..tap("wells.all") };
    let (_, answers) = opened(&mut client, ask).unwrap();
    field.feed(&[(0, 1.0), (2, 2.0)]);
    field.feed_bool(1, false);
    field.feed(&[(0, 3.0)]);
    let mut streams = Streams::default();
    let (mut numbers, mut texts) = (Vec::new(), Vec::new());
    for answer in answers {
        let Answer::Arrow(piece) = answer.unwrap() else { panic!("no piece") };
        for batch in streams.take(piece).unwrap() {
            let tags = cast(batch.column_by_name("tag").unwrap(), &DataType::Utf8).unwrap();
            texts.extend(tags.as_string::<i32>().iter().map(|tag| tag.unwrap().to_owned()));
            if let Some(values) = batch.column_by_name("value").unwrap().as_primitive_opt::<Float64Type>() {
                numbers.extend(values.values().iter().copied());
            }
        }
    }
    texts.sort();
    assert_eq!(texts, ["W1.RUN", "W1.THP", "W1.THP", "W2.THP"]);
    assert_eq!(numbers, [1.0, 2.0, 3.0]);
}

#[test]
fn a_tag_and_an_asset_are_tapped_where_they_enter() {
    let field = Field::start();
    let (mut one, mut asset) = (field.client(), field.client());
    let (_, mut of_tag) = opened(&mut one, TapAsk { limit: Some(2), ..tap("W2.THP") }).unwrap();
    let (_, mut of_asset) = opened(&mut asset, TapAsk { limit: Some(2), ..tap("W1") }).unwrap();
    field.feed(&[(0, 1.0), (2, 2.0), (3, 3.0)]);
    field.feed_bool(1, true);
    field.feed(&[(2, 4.0)]);
    let values =
        |answers: &mut crate::Answers<'_>| [row(answers.next()), row(answers.next())].map(|row| row["value"].clone());
    assert_eq!(values(&mut of_tag), [json!(2.0), json!(4.0)]);
    let mut of_asset = values(&mut of_asset);
    of_asset.sort_by_key(Json::is_number);
    assert_eq!(of_asset, [json!(true), json!(1.0)]);
}

#[test]
fn conditions_are_those_of_graphs() {
    let field = Field::start();
    let mut client = field.client();
    let condition = "area = 'NORTE' AND value > 100 psig";
    let refusal = refused(&field, TapAsk { condition: Some(condition.to_owned()), ..tap("wells.all") });
    assert_eq!(refusal.kind, RefusalKind::Expression, "{}", refusal.message);
    let condition = Some("area = 'NORTE' AND value > 100 AND quality >= 192".to_owned());
    let (tapping, mut answers) = opened(&mut client, TapAsk { condition, limit: Some(1), ..tap("wells.all") }).unwrap();
    assert_eq!(tapping.notes, ["the condition does not fit values of bool; they are left out"]);
    field.feed(&[(0, 50.0), (3, 500.0), (2, 150.0)]);
    field.feed_bool(1, true);
    assert_eq!(row(answers.next())["tag"], "W2.THP");

    // Of rows that are no samples: their own columns, names in place of numbers.
    let mut client = field.client();
    let condition = Some("tag = 'W2.THP' AND value > 1".to_owned());
    let (_, mut answers) = opened(&mut client, TapAsk { condition, limit: Some(1), ..tap("newest") }).unwrap();
    field.feed(&[(0, 50.0), (2, 0.5), (2, 60.0)]);
    assert_eq!(
        row(answers.next()),
        json!({"time": "2026-01-01T15:00:00Z", "tag": "W2.THP", "value": 60.0,
        "unit": "psig", "quality": 192, "reason": null, "diff": 1})
    );
}

#[test]
fn mistakes_in_a_condition_have_a_code_and_a_place() {
    let field = Field::start();
    for (name, condition, code, part) in [
        ("wells.all", "quality < 192 AND valeu > 1", "E0220", "valeu"),
        ("wells.all", "quality <", "E0", "--where:1:"),
        ("wells.all", "quality + 1", "E0321", "true or false"),
        ("newest", "asset = 'W1'", "E0220", "asset"),
        ("W1.THP", "now() > time", "E0", "now"),
    ] {
        let refusal = refused(&field, TapAsk { condition: Some(condition.to_owned()), ..tap(name) });
        assert_eq!(refusal.kind, RefusalKind::Expression);
        assert!(
            refusal.message.contains(&format!("error[{code}")) && refusal.message.contains(part),
            "{}",
            refusal.message
        );
        let findings = refusal.findings.unwrap();
        assert!(findings[0]["code"].as_str().unwrap().starts_with(code), "{findings}");
        assert_eq!(findings[0]["line"], 1, "{findings}");
    }
    let place =
        refused(&field, TapAsk { condition: Some("quality < 192 AND valeu > 1".to_owned()), ..tap("wells.all") });
    assert_eq!(place.findings.unwrap()[0]["column"], 19);
}

#[test]
fn rows_that_cannot_be_judged_are_counted() {
    let field = Field::start();
    let mut client = field.client();
    let condition = Some("10 / (quality - 192) > 0 OR value > 1".to_owned());
    let (_, mut answers) = opened(&mut client, TapAsk { condition, limit: Some(1), ..tap("W1.THP") }).unwrap();
    field.feed(&[(0, 0.5)]);
    match answers.next().unwrap().unwrap() {
        Answer::LeftOut(left_out) => assert_eq!(left_out, LeftOut { failed: 1, ..LeftOut::default() }),
        other => panic!("{other:?}"),
    }
}

#[test]
fn who_wants_few_rows_is_given_few_and_told() {
    let field = Field::start();
    let mut client = field.client();
    let (_, mut answers) = opened(&mut client, TapAsk { rows_per_second: Some(10), ..tap("wells.all") }).unwrap();
    let batch: Vec<(u32, f64)> = (0..500).map(|number| (0, f64::from(number))).collect();
    for _ in 0..10 {
        field.feed(&batch);
    }
    let (mut rows, mut thinned) = (0, 0);
    while rows + thinned < 5_000 {
        match answers.next().unwrap().unwrap() {
            Answer::Row(_) => rows += 1,
            Answer::LeftOut(left_out) => thinned = left_out.thinned,
            other => panic!("{other:?}"),
        }
    }
    assert!(rows > 0 && rows < 2_000, "{rows}");
}

#[test]
fn several_taps_see_the_same_rows() {
    let field = Field::start();
    let mut clients: Vec<Client> = (0..5).map(|_| field.client()).collect();
    let mut taps: Vec<_> = clients
        .iter_mut()
        .map(|client| opened(client, TapAsk { limit: Some(3), ..tap("newest") }).unwrap().1)
        .collect();
    field.wait_views(5);
    field.feed(&[(0, 1.0), (2, 2.0), (0, 3.0)]);
    let seen: Vec<Vec<Json>> =
        taps.iter_mut().map(|tap| (0..3).map(|_| row(tap.next())["value"].clone()).collect()).collect();
    assert!(seen.iter().all(|values| *values == [json!(1.0), json!(2.0), json!(3.0)]), "{seen:?}");
}

#[test]
fn a_slow_client_misses_rows_and_the_site_goes_on() {
    let field = Field::start();
    let mut client = field.client();
    let (_, mut answers) = opened(&mut client, tap("wells.all")).unwrap();
    // Nobody reads: the socket fills, then the queue. Every batch is processed all the same.
    let batch: Vec<(u32, f64)> = (0..2_000).map(|number| (0, f64::from(number))).collect();
    let mut fed = 0;
    eventually("missed rows", || {
        field.feed(&batch);
        fed += batch.len() as u64;
        (field.status().clients.missed_rows > 0).then_some(())
    });
    let status = field.status();
    assert!(status.pipelines.iter().all(|pipeline| pipeline.behind == 0), "{:?}", status.pipelines);
    assert_eq!(status.log.rows, fed);
    // What was in the socket is read, and how much is missing is told.
    let (mut rows, mut slow) = (0, 0);
    while rows + slow < fed {
        match answers.next().unwrap().unwrap() {
            Answer::Row(_) => rows += 1,
            Answer::LeftOut(left_out) => slow = left_out.slow,
            other => panic!("{other:?}"),
        }
    }
    assert!(slow > 0 && rows > 0, "{rows} rows, {slow} missed");
    assert_eq!(rows + slow, fed);
}

#[test]
fn a_client_that_has_gone_leaves_nothing_behind() {
    let mut field = Field::start();
    let mut clients: Vec<Client> = (0..3).map(|_| field.client()).collect();
    for (client, name) in clients.iter_mut().zip(["wells.all", "newest", "W1.THP"]) {
        opened(client, tap(name)).unwrap();
    }
    let mut watching = field.client();
    assert!(watching.ask(Ask::Watch { name: "state".to_owned() }).unwrap().next().is_some());
    field.wait_views(4);
    drop((clients, watching));
    field.wait_views(0);
    field.feed(&[(0, 1.0)]);
    // One is hung up while its answers are read elsewhere.
    let mut client = field.client();
    let hang_up = client.hang_up().unwrap();
    let (on, opening) = std::sync::mpsc::channel();
    let reading = std::thread::spawn(move || {
        let (_, answers) = opened(&mut client, tap("wells.all")).unwrap();
        on.send(()).unwrap();
        answers.last()
    });
    opening.recv().unwrap();
    drop(hang_up);
    assert!(matches!(reading.join().unwrap(), Some(Err(ClientError::Stopped))));
    field.wait_views(0);
    field.live.stop().unwrap();
}

#[test]
fn a_tap_ends_with_its_site() {
    let mut field = Field::start();
    let mut client = field.client();
    let (_, mut answers) = opened(&mut client, tap("wells.all")).unwrap();
    let stopping = std::thread::spawn(move || field.live.stop().unwrap());
    let last = answers.by_ref().last();
    assert!(last.is_none() || matches!(last, Some(Err(ClientError::Stopped))), "{last:?}");
    stopping.join().unwrap();
}

#[test]
fn a_site_has_room_for_so_many_views_and_for_others_beside_them() {
    let field = Field::start();
    let mut clients: Vec<Client> = (0..MOST).map(|_| field.client()).collect();
    for client in &mut clients {
        opened(client, tap("wells.all")).unwrap();
    }
    let refusal = refused(&field, tap("wells.all"));
    assert_eq!(refusal.kind, RefusalKind::Unavailable);
    assert!(field.client().ask(Ask::Status).unwrap().all(|answer| answer.is_ok()));
    drop(clients.pop());
    field.wait_views(MOST - 1);
    opened(&mut field.client(), tap("wells.all")).unwrap();
}

/// The rows of a watch up to how things are now, and whether what came before is taken back.
fn news(answers: &mut crate::Answers<'_>) -> (bool, Vec<(String, f64)>) {
    let (mut anew, mut rows) = (false, Vec::new());
    loop {
        match answers.next().unwrap().unwrap() {
            Answer::Anew => anew = true,
            Answer::Row(row) => {
                assert!(row["description"]["es"].as_str().unwrap().starts_with("Prueba"), "{row:?}");
                assert_eq!((&row["pipeline"], &row["node"]), (&"wells".into(), &"newest".into()));
                rows.push((row["tag"].as_str().unwrap().to_owned(), row["value"].as_f64().unwrap()));
            }
            Answer::Now(_) => return (anew, rows),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_watch_tells_how_things_are_and_what_changes() {
    let field = Field::start();
    field.feed(&[(2, 2.0), (0, 1.0)]);
    let mut client = field.client();
    let mut answers = client.ask(Ask::Watch { name: "state".to_owned() }).unwrap();
    let at = |tag: &str, value: f64| (tag.to_owned(), value);
    assert_eq!(news(&mut answers), (false, vec![at("W2.THP", 2.0), at("W1.THP", 1.0)]));
    field.feed(&[(0, 5.0)]);
    assert_eq!(news(&mut answers), (false, vec![at("W1.THP", 5.0)]));
    field.feed(&[(2, -1.0)]);
    assert_eq!(news(&mut answers), (true, vec![at("W1.THP", 5.0)]));
    // A view that nothing has is empty, and says so.
    let mut other = field.client();
    assert_eq!(news(&mut other.ask(Ask::Watch { name: "nothing".to_owned() }).unwrap()), (false, Vec::new()));
}

#[test]
fn a_status_says_what_can_be_tapped_and_how_much_is_done() {
    let field = Field::start();
    field.feed(&[(0, 1.0), (2, 2.0)]);
    let status = field.status();
    let wells = status.pipelines.iter().find(|pipeline| pipeline.id == "wells").unwrap();
    let ports: Vec<Vec<(&str, bool)>> = wells
        .nodes
        .iter()
        .map(|node| node.ports.iter().map(|port| (port.name.as_str(), port.samples)).collect())
        .collect();
    assert_eq!(ports, [vec![("main", true)], vec![("main", false), ("late", false)], vec![]]);
    assert_eq!((wells.nodes[1].inputs.as_slice(), wells.behind, wells.lag), (&["all".to_owned()][..], 0, 0));
    assert_eq!(status.log.rows, 2);
    assert!(status.cpu > 0 && status.memory.resident > 0 && status.memory.budget > 0, "{status:?}");
    assert!(status.log.bytes > 0 && status.log.bytes <= status.log.capacity, "{:?}", status.log);
}

/// What a site writes for some questions, as bytes.
fn answers_of(field: &Field, asks: Vec<Ask>) -> Vec<u8> {
    let mut all = Vec::new();
    for ask in asks {
        let mut stream = UnixStream::connect(field.path().join("ducto.sock")).unwrap();
        let mut line = serde_json::to_vec(&Request { version: VERSION, ask }).unwrap();
        line.push(b'\n');
        stream.write_all(&line).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        stream.read_to_end(&mut all).unwrap();
    }
    all
}

/// Reads everything as a client does.
fn read(bytes: Vec<u8>) -> usize {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let writing = std::thread::spawn(move || {
        let mut theirs = theirs;
        let mut request = [0; 256];
        assert!(theirs.read(&mut request).unwrap() > 0);
        let _ = theirs.write_all(&bytes);
    });
    let mut client = Client::over(ours);
    let mut streams = Streams::default();
    let mut count = 0;
    for answer in client.ask(Ask::Status).unwrap() {
        count += 1;
        if let Ok(Answer::Arrow(piece)) = answer {
            let _ = streams.take(piece);
        }
    }
    drop(client);
    writing.join().unwrap();
    count
}

#[test]
fn damaged_answers_are_errors() {
    let field = Field::start();
    let query = Ask::Query { sql: "SELECT tag, unit FROM tags".to_owned(), format: RowFormat::Arrow };
    let whole = answers_of(&field, vec![query, Ask::Status]);
    assert!(read(whole.clone()) > 1);
    std::panic::set_hook(Box::new(|_| {}));
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let edits = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0_u8..4), 1..6);
    let result = runner.run(&edits, |edits| {
        let mut bytes = whole.clone();
        for (at, byte, how) in edits {
            if bytes.is_empty() {
                break;
            }
            let at = at.index(bytes.len());
            match how {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                2 => drop(bytes.remove(at)),
                _ => bytes.truncate(at.max(1)),
            }
        }
        read(bytes);
        Ok(())
    });
    let _ = std::panic::take_hook();
    result.unwrap();
}

#[test]
fn damaged_requests_leave_the_site_as_it_was() {
    let field = Field::start();
    let path = field.path().join("ducto.sock");
    let cases = ProptestConfig::default().cases.min(128);
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let strategy =
        (0..requests().len(), prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0_u8..3), 0..6));
    runner
        .run(&strategy, |(which, edits)| {
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
            line.push(b'\n');
            let mut stream = UnixStream::connect(&path).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            stream.write_all(&line).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            // One answer is enough: a tap or a watch would go on.
            let mut answer = Vec::new();
            let _ = BufReader::new(stream).read_until(b'\n', &mut answer);
            prop_assert!(answer.is_empty() || serde_json::from_slice::<Json>(&answer).is_ok(), "{answer:?}");
            Ok(())
        })
        .unwrap();
    field.wait_views(0);
    assert!(PATIENCE > Duration::ZERO && field.client().ask(Ask::Status).unwrap().all(|answer| answer.is_ok()));
}
