//! The service's requests over HTTP, the wrong ones above all.

#[path = "../../tests/support/stage.rs"]
mod support;
#[path = "../../tests/support/told.rs"]
mod told;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use seqrec::backend::Flex;
use seqrec::channels::{MarkovChainConfig, PopularityConfig};
use seqrec::data::{
    Dataset, Features, Filters, Interaction, Interactions, ItemIndex, Items, movielens,
};
use seqrec::engine::{EngineConfig, RecallEngine};
use seqrec::model::{Gru4RecConfig, ItemFeaturesConfig, Join, RecallerConfig};
use seqrec::recall::{ChannelWeight, Fusion, RecallStage, VectorChannelConfig};
use seqrec::store::{Run, ServedStage, StageData, StagePlan};
use serde_json::{Value, json};

use seqrec_cli::serve::api::{Limits, Service, router};
use seqrec_cli::serve::connections::{self, Bounds};
use seqrec_cli::serve::titles::Titles;
use told::Told;

/// A service on this machine, with its runtime.
struct Running {
    address: SocketAddr,
    _runtime: tokio::runtime::Runtime,
}

impl Running {
    fn new(limits: Limits) -> Self {
        Self::with_bounds(limits, Bounds::default())
    }

    fn with_bounds(limits: Limits, bounds: Bounds) -> Self {
        Self::of(limits, bounds, || {
            let data = support::data();
            let markov = MarkovChainConfig::new().fit(&data)?;
            let stage = RecallStage::new(Fusion::RECIPROCAL_RANK, 10)?
                .channel("markov", markov, ChannelWeight::default())?
                .fallback(PopularityConfig::new().fit(&data)?);
            Ok(ServedStage::new(stage, data))
        })
    }

    fn of(
        limits: Limits,
        bounds: Bounds,
        load: impl Fn() -> seqrec::Result<ServedStage> + Send + Sync + 'static,
    ) -> Self {
        let settings = EngineConfig::new()
            .with_max_k(10)
            .with_history(3)
            .with_seen(2)
            .with_budget(Duration::from_secs(30));
        let engine = Arc::new(RecallEngine::with_loader(load, settings).unwrap());
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
            .unwrap();
        let address = listener.local_addr().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let movies =
            "movieId,title,genres\na,The Alps,Drama|War\nb,\"Böhm, <b>\",Drama\nd,Alps again,\n";
        std::fs::write(folder.path().join("movies.csv"), movies).unwrap();
        let items = movielens::movies(folder.path().join("movies.csv"));
        let items = Arc::new(items.unwrap().unwrap());
        // A stage of other items is served without them.
        engine.set_items(items.clone()).ok();
        let app = router(Service::new(engine, Titles::new(items), limits));
        let never = std::future::pending::<()>();
        runtime.spawn(connections::serve(listener, app, bounds, never));
        Self {
            address,
            _runtime: runtime,
        }
    }

    /// Status and body of an answer.
    fn send(&self, method: &str, path: &str, body: &[u8]) -> (u16, String) {
        let uri = format!("http://{}{path}", self.address);
        let request = ureq::http::Request::builder().method(method).uri(uri);
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .build()
            .into();
        let mut response = if body.is_empty() {
            agent.run(request.body(()).unwrap()).unwrap()
        } else {
            agent.run(request.body(body).unwrap()).unwrap()
        };
        let text = response.body_mut().read_to_string().unwrap();
        (response.status().as_u16(), text)
    }

    fn post(&self, path: &str, body: impl AsRef<[u8]>) -> (u16, Value) {
        let (status, text) = self.send("POST", path, body.as_ref());
        (status, serde_json::from_str(&text).unwrap())
    }

    /// The error of a request that must be refused.
    fn refused(&self, path: &str, body: impl AsRef<[u8]>) -> (u16, String) {
        let (status, answer) = self.post(path, body);
        let error = answer["error"].as_str().unwrap().to_owned();
        (status, error)
    }
}

fn ids(answer: &Value) -> Vec<&str> {
    let items = answer["items"].as_array().unwrap();
    items
        .iter()
        .map(|item| item["id"].as_str().unwrap())
        .collect()
}

#[test]
fn users_and_histories_are_answered_and_events_count_at_once() {
    let service = Running::new(Limits::default());
    let (status, answer) = service.post("/recall", r#"{"user": "anna", "k": 3}"#);
    assert_eq!(status, 200);
    // After b came c; a and b were taken, so that only d is left to fill up with.
    assert_eq!(ids(&answer), ["c", "d"]);
    assert_eq!(
        answer["items"][0]["found"][0]["because"],
        json!({"item": "b"})
    );
    assert_eq!(answer["channels"][0]["outcome"], "answered");
    let (_, nobody) = service.post("/recall", r#"{"user": "nobody", "k": 2}"#);
    assert_eq!(
        (ids(&nobody), nobody["known"].as_u64()),
        (vec!["a", "b"], Some(0))
    );
    let events = r#"{"events": [{"user": "nobody", "item": "a", "value": 2.5, "event": "buy"},
        {"user": "nobody", "item": "c", "time": 1e9, "segments": ["new"]}]}"#;
    assert_eq!(
        service.post("/events", events),
        (
            200,
            json!({"accepted": 2, "repeated": 0, "older": 0, "unknown": 0, "ignored": 0})
        )
    );
    // What comes again, and what is older than the folder, is told apart from what counts.
    let events = r#"{"events": [{"user": "nobody", "item": "c", "time": 1e9},
        {"user": "anna", "item": "d", "time": 0.5}, {"user": "anna", "item": "b", "time": 2}]}"#;
    assert_eq!(
        service.post("/events", events),
        (
            200,
            json!({"accepted": 0, "repeated": 1, "older": 2, "unknown": 0, "ignored": 0})
        )
    );
    // One of an item that the folder lacks counts nowhere, and so is not accepted.
    let events = r#"{"events": [{"user": "eve", "item": "A"}]}"#;
    assert_eq!(
        service.post("/events", events),
        (
            200,
            json!({"accepted": 0, "repeated": 0, "older": 0, "unknown": 1, "ignored": 0})
        )
    );
    let (_, known) = service.post(
        "/recall",
        r#"{"user": "nobody", "k": 2, "keep_seen": true}"#,
    );
    assert_eq!(known["known"], 2);
    let body = r#"{"history": ["b", "unheard of"], "k": 9, "blocked": ["a"]}"#;
    let (_, of_history) = service.post("/recall", body);
    assert_eq!(
        (ids(&of_history), &of_history["unknown"]),
        (vec!["c", "d"], &json!(1))
    );
    let (_, empty) = service.post("/recall", r#"{"history": [], "k": 4}"#);
    assert_eq!(ids(&empty), ["a", "b", "c", "d"]);
    // Every integer that JSON can write is an id like its text.
    let body = r#"{"history": [18446744073709551615, "18446744073709551615", -1], "k": 1}"#;
    let (status, integers) = service.post("/recall", body);
    assert_eq!((status, &integers["unknown"]), (200, &json!(3)));
    let body = r#"{"history": [{"item": "b", "time": 3}, {"item": "b", "time": 4}], "k": 1}"#;
    assert_eq!(ids(&service.post("/recall", body).1), ["c"]);

    let (status, health) = service.send("GET", "/healthz", b"");
    assert_eq!(status, 200);
    let health: Value = serde_json::from_str(&health).unwrap();
    assert_eq!(
        (&health["status"], &health["items"]),
        (&json!("ok"), &json!(4))
    );
    let (status, metrics) = service.send("GET", "/metrics", b"");
    assert_eq!(status, 200);
    for line in [
        r#"seqrec_requests_total{path="/recall",status="200"} 7"#,
        "seqrec_events_total 2",
        "seqrec_unknown_events_total 1",
        // Of "anna" an item is held that her folder lacks, so that it is left out; of "eve" one is
        // kept that no folder had yet.
        "seqrec_users 3",
        r#"seqrec_channel_calls_total{channel="markov",outcome="answered"} 4"#,
        r#"seqrec_channel_calls_total{channel="markov",outcome="empty"} 3"#,
    ] {
        assert!(
            metrics.lines().any(|other| other == line),
            "{line} in {metrics}"
        );
    }
    assert!(metrics.ends_with("# EOF\n"));
}

#[test]
fn a_users_features_are_given_by_name() {
    let log: Interactions = ["a", "b", "c"]
        .map(|item| Interaction::new("anna", item, 1.0))
        .into_iter()
        .collect();
    let dataset = Dataset::new(log, Filters::default()).unwrap();
    let features = Features::from_user_tags(&dataset, [("anna".into(), ["child", "member"])]);
    let dataset = dataset.with_user_features(features).unwrap();
    let service = Running::of(Limits::default(), Bounds::default(), move || {
        // Says which features a user has: the first and the second item, or the third for none.
        let echo = Told(Arc::new(|user| {
            let known = user.features().iter().zip(1..);
            let has = known.filter(|(value, _)| **value > 0.0);
            let items: Vec<_> = has.map(|(_, item)| ItemIndex::new(item)).collect();
            Ok(if user.features().is_empty() {
                vec![ItemIndex::new(3)]
            } else {
                items
            })
        }));
        let data = StageData::from(dataset.training_data());
        let stage = RecallStage::new(Fusion::RECIPROCAL_RANK, 10)?;
        let stage = stage.channel("echo", echo, ChannelWeight::default())?;
        Ok(ServedStage::new(stage, data))
    });
    let found = |body: &str| {
        let (status, answer) = service.post("/recall", body);
        assert_eq!(status, 200, "{answer}");
        ids(&answer).concat()
    };
    assert_eq!(
        found(r#"{"user": "anna", "keep_seen": true, "k": 3}"#),
        "ab"
    );
    assert_eq!(found(r#"{"user": "bo", "k": 3}"#), "c");
    assert_eq!(
        found(r#"{"user": "bo", "features": {"member": 1}, "k": 3}"#),
        "b"
    );
    assert_eq!(found(r#"{"history": [], "features": {}, "k": 3}"#), "");
    for (features, reason) in [
        (r#"{"ember": 1}"#, r#"["child", "member"]"#),
        (r#"{"child": 1, "child": 0}"#, "given twice"),
        (r#"{"child": 1e39}"#, "out of range"),
        (r#"["child"]"#, "each a name with a value"),
    ] {
        let body = format!(r#"{{"user": "bo", "features": {features}, "k": 3}}"#);
        let (status, error) = service.refused("/recall", &body);
        assert!(status == 400 && error.contains(reason), "{body}: {error}");
    }
}

#[test]
fn the_page_is_there_and_finds_titles() {
    let service = Running::new(Limits::default());
    let (status, page) = service.send("GET", "/", b"");
    assert_eq!(status, 200);
    assert!(page.starts_with("<!doctype html>"));
    // A browser is told to let the page reach nothing but this service.
    for elsewhere in ["http://", "https://", "innerHTML"] {
        assert!(!page.contains(elsewhere), "{elsewhere}");
    }
    let found = |body: &str| {
        let (status, answer) = service.post("/titles", body);
        assert_eq!(status, 200, "{answer}");
        answer["titles"].clone()
    };
    assert_eq!(
        found(r#"{"ids": ["b", "c", "a"]}"#),
        json!([{"id": "b", "title": "Böhm, <b>"}, {"id": "a", "title": "The Alps"}])
    );
    // Those that begin with the text come first.
    assert_eq!(
        found(r#"{"find": "ALPS"}"#),
        json!([{"id": "d", "title": "Alps again"}, {"id": "a", "title": "The Alps"}])
    );
    assert_eq!(found(r#"{"find": "böhm"}"#)[0]["id"], "b");
    assert_eq!(found(r#"{"find": "no such title"}"#), json!([]));
    assert_eq!(service.refused("/titles", r#"{"seek": "a"}"#).0, 400);
}

#[test]
fn requests_filter_by_attributes_and_ids() {
    let service = Running::new(Limits::default());
    let found = |rest: &str| {
        let body = format!(r#"{{"history": ["c"], "k": 9, {rest}}}"#);
        let (status, answer) = service.post("/recall", body);
        assert_eq!(status, 200, "{answer}");
        answer
    };
    let answer = found(r#""filter": "genres = \"War\" and not title = \"x\"""#);
    assert_eq!(ids(&answer), ["a"]);
    assert_eq!(
        (&answer["passing"], &answer["items"][0]["title"]),
        (&json!(1), &json!("The Alps"))
    );
    assert_eq!(ids(&found(r#""only": ["b", "nowhere"]"#)), ["b"]);
    for (rest, reason) in [
        (
            r#""filter": "genres =""#,
            "at its end: a value must come here",
        ),
        (
            r#""filter": "genre = \"War\"""#,
            "no column \"genre\"; its header is [\"title\", \"genres\"]",
        ),
        (
            r#""filter": "genres = 3""#,
            "compared with a text in quotes",
        ),
        (
            r#""filter": "title is missing and genres = \"War\"""#,
            "passes the filter `title is missing and",
        ),
        (r#""only": ["nowhere"]"#, "is in the catalog"),
    ] {
        let body = format!(r#"{{"history": ["c"], "k": 9, {rest}}}"#);
        let (status, error) = service.refused("/recall", body);
        assert!(status == 400 && error.contains(reason), "{rest}: {error}");
    }
}

/// A run folder of the four items, whose model looks at their genres or at nothing.
fn run_folder(path: &Path, looks: bool) {
    let rows = ["a", "b", "c", "d"].into_iter().zip(1..);
    let log: Interactions = rows
        .map(|(item, time)| Interaction::new("anna", item, f64::from(time)))
        .collect();
    let genres = [vec!["War"], vec!["War", "Drama"], vec!["Drama"], vec![]];
    let items = Items::new(["a", "b", "c", "d"]).unwrap();
    let items = items.with_tags("genres", genres).unwrap();
    let dataset = Dataset::new(log, Filters::default()).unwrap();
    let features = items.features(dataset.catalog(), &["genres"]).unwrap();
    let dataset = dataset.with_item_features(features).unwrap();
    let of_features = looks.then(|| ItemFeaturesConfig::new().with_join(Join::Alone));
    let config = Gru4RecConfig::new().with_dim(4);
    let config = config.with_item_features(of_features);
    let catalog = dataset.catalog().clone();
    let model = config.init_for::<Flex>(&catalog, 1, &Default::default());
    let run = Run::<Flex, _>::new(config, model.unwrap(), catalog);
    StagePlan::new(Fusion::RECIPROCAL_RANK)
        .channel("model", VectorChannelConfig::new())
        .fallback(PopularityConfig::new())
        .save(path, &run.into(), dataset.training_data())
        .unwrap();
}

fn serving_folder(folder: &Path, looks: bool) -> Running {
    let path = folder.join(looks.to_string());
    run_folder(&path, looks);
    let load = move || ServedStage::load::<Flex>(&path, &Default::default());
    Running::of(Limits::default(), Bounds::default(), load)
}

#[test]
fn items_are_added_while_it_serves() {
    let folder = tempfile::tempdir().unwrap();
    let service = serving_folder(folder.path(), true);
    let event = r#"{"events": [{"user": "bo", "item": "e"}]}"#;
    assert_eq!(service.post("/events", event).1["unknown"], 1);
    let items = r#"{"items": [
        {"id": "e", "title": "The Sea", "genres": ["War", "Drama"], "price": 5, "new": true},
        {"id": 7, "title": null, "genres": "Drama", "price": 2.5},
        {"id": "a", "genres": []}]}"#;
    assert_eq!(
        service.post("/items", items),
        (200, json!({"added": 2, "known": 1}))
    );
    assert_eq!(
        service.post("/items", items),
        (200, json!({"added": 0, "known": 3}))
    );
    let (_, health) = service.send("GET", "/healthz", b"");
    assert!(health.contains(r#""items":6"#), "{health}");
    let recalled = |rest: &str| service.post("/recall", format!(r#"{{"k": 9, {rest}}}"#)).1;
    let dear = recalled(r#""history": ["a"], "filter": "price > 3 and new""#);
    assert_eq!(ids(&dear), ["e"]);
    assert_eq!(dear["items"][0]["title"], "The Sea");
    assert_eq!(dear["items"][0]["found"][0]["channel"], "model");
    let drama = recalled(r#""history": ["e"], "filter": "genres = \"Drama\"""#);
    assert_eq!((&drama["known"], &drama["passing"]), (&json!(1), &json!(3)));
    assert!(
        drama["items"]
            .as_array()
            .unwrap()
            .iter()
            .any(|item| item["id"] == 7)
    );
    // What was taken of it before counts.
    assert_eq!(recalled(r#""user": "bo""#)["known"], 1);
    let found = service.post("/titles", r#"{"find": "sea"}"#).1;
    assert_eq!(found["titles"], json!([{"id": "e", "title": "The Sea"}]));

    for (rows, expected) in [
        (r#"{"id": "f", "title": "x"}"#, &["genres"][..]),
        (r#"{"genres": []}"#, &["row 0", "\"id\""]),
        (r#"{"id": 1.5, "genres": []}"#, &["row 0", "1.5 is no id"]),
        (
            r#"{"id": "f", "genres": 3}"#,
            &["genres", "numbers", "text, tags"],
        ),
        (
            r#"{"id": "f", "genres": {"War": 1}}"#,
            &["genres", "row 0", "list of texts"],
        ),
        (
            r#"{"id": "f", "genres": [], "genres": []}"#,
            &["genres", "twice"],
        ),
        (
            r#"{"id": "f", "genres": []}, {"id": "f", "genres": []}"#,
            &["only once"],
        ),
        (
            r#"{"id": "f", "genres": "War"}, {"id": "g", "genres": 7}"#,
            &[
                "genres",
                "a number in row 1",
                "a text or a list of texts in row 0",
            ],
        ),
        (
            r#"{"id": "f", "genres": [], "text": [0.5, 1]}"#,
            &["vectors", "text"],
        ),
        (
            r#"{"id": "f", "text": [0.5, 1]}, {"id": "g", "text": [1]}"#,
            &["text", "1 numbers in row 1, and 2"],
        ),
        (
            r#"{"id": "f", "genres": [], "title": 3}"#,
            &["title", "numbers", "text"],
        ),
        (r#"["f"]"#, &["a name with a value"]),
    ] {
        let (status, error) = service.refused("/items", format!(r#"{{"items": [{rows}]}}"#));
        assert_eq!(status, 400, "{rows}: {error}");
        let all = expected.iter().all(|expected| error.contains(expected));
        assert!(all, "{rows}: {error}");
    }
    let (_, health) = service.send("GET", "/healthz", b"");
    assert!(health.contains(r#""items":6"#), "{health}");
    assert_eq!(service.send("GET", "/items", b"").0, 405);

    let plain = serving_folder(folder.path(), false);
    let (status, error) = plain.refused("/items", items);
    assert!(status == 400 && error.contains("item_features"), "{error}");
}

#[test]
fn a_history_is_what_channels_see_of_a_user() {
    let service = Running::new(Limits::default());
    let (status, anna) = service.post("/history", r#"{"user": "anna"}"#);
    let items = |answer: &Value| -> Vec<Value> {
        let history = answer["history"].as_array().unwrap();
        history.iter().map(|taken| taken["item"].clone()).collect()
    };
    assert_eq!((status, &anna["most"]), (200, &json!(3)));
    assert_eq!(items(&anna), ["a", "b"]);
    // As many as channels see, with what was observed.
    let events = r#"{"events": [{"user": "anna", "item": "d"}, {"user": "anna", "item": "c"}]}"#;
    service.post("/events", events);
    let (_, anna) = service.post("/history", r#"{"user": "anna"}"#);
    assert_eq!(items(&anna), ["b", "d", "c"]);
    assert!(anna["history"][2]["time"].is_f64());
    let (_, recalled) = service.post("/recall", r#"{"user": "anna", "k": 1}"#);
    assert_eq!(recalled["known"], 3);
    let (_, nobody) = service.post("/history", r#"{"user": "nobody"}"#);
    assert_eq!(nobody["history"], json!([]));
    assert_eq!(service.refused("/history", "{}").0, 400);
}

#[test]
fn what_is_wrong_is_told_as_json() {
    let limits = Limits {
        body: 4_096,
        events: 2,
        ..Limits::default()
    };
    let service = Running::new(limits);
    for (body, reason) in [
        (r#"{"user": "anna", "k": 0}"#, "k is 0"),
        (r#"{"user": "anna", "k": 11}"#, "from 1 to 10"),
        (r#"{"user": "anna", "k": -1}"#, "line 1"),
        (r#"{"user": "anna", "k": 18446744073709551616}"#, "line 1"),
        (r#"{"user": "anna"}"#, "missing field `k`"),
        (r#"{"user": "anna", "k": 1, "color": 2}"#, "color"),
        (r#"{"user": 1.5, "k": 1}"#, "1.5 is no id"),
        (r#"{"user": 42.0, "k": 1}"#, "42.0 is no id"),
        (r#"{"history": [true], "k": 1}"#, "an integer or a text"),
        (
            r#"{"history": [{"item": "a", "at": 3}], "k": 1}"#,
            "unknown field `at`",
        ),
        (
            r#"{"history": ["a", {"item": "b", "time": 3}], "k": 1}"#,
            "others none",
        ),
        (
            r#"{"user": "anna", "history": ["a"], "k": 1}"#,
            "a user and a history",
        ),
        (r#"{"k": 1}"#, "neither a user nor a history"),
        (
            r#"{"history": ["a","a","a","a","a","a"], "k": 1}"#,
            "history is 6",
        ),
        (
            r#"{"history": [{"item": "a", "time": 1.5e9}, {"item": "b", "time": 1.4e9}], "k": 1}"#,
            "run backwards",
        ),
        (r#"{"user": "anna", "k": 1"#, "EOF"),
        ("", "EOF"),
        ("\u{7f}", "line 1"),
        ("[1, 2]", "line 1"),
    ] {
        let (status, error) = service.refused("/recall", body);
        assert_eq!(status, 400, "{body}: {error}");
        assert!(error.contains(reason), "{body}: {error}");
    }
    assert_eq!(
        service
            .refused("/recall", b"{\"user\": \"\xff\", \"k\": 1}")
            .0,
        400
    );
    assert_eq!(service.refused("/recall", "[".repeat(4_000)).0, 400);
    let long = format!(r#"{{"user": "{}", "k": 1}}"#, "x".repeat(300));
    let (status, error) = service.refused("/recall", long);
    assert!(status == 400 && error.contains("user"), "{error}");
    let (status, error) = service.refused("/recall", " ".repeat(5_000));
    assert_eq!((status, error.as_str()), (413, "the body is too large"));

    let event = r#"{"user": "anna", "item": "a"}"#;
    let three = format!(r#"{{"events": [{event}, {event}, {event}]}}"#);
    assert!(service.refused("/events", three).1.contains("3 events"));
    let future = r#"{"events": [{"user": "anna", "item": "a", "time": 1e12}]}"#;
    assert!(
        service
            .refused("/events", future)
            .1
            .contains("with event 0, but none was taken: time")
    );
    // A batch is taken whole or not at all.
    let second =
        r#"{"events": [{"user": "eve", "item": "a"}, {"user": "eve", "item": "b", "time": 1e10}]}"#;
    let (status, error) = service.refused("/events", second);
    assert!(status == 400 && error.contains("event 1"), "{error}");
    let (_, eve) = service.post("/recall", r#"{"user": "eve", "k": 1}"#);
    assert_eq!(eve["known"], 0);
    let infinite = r#"{"events": [{"user": "anna", "item": "a", "time": -1e999}]}"#;
    assert_eq!(service.refused("/events", infinite).0, 400);
    assert_eq!(service.refused("/events", r#"{"events": 3}"#).0, 400);

    assert_eq!(service.refused("/nowhere", "{}").0, 404);
    for (method, path, allowed) in [
        ("GET", "/recall", "POST"),
        ("POST", "/healthz", "GET, HEAD"),
    ] {
        let mut stream = TcpStream::connect(service.address).unwrap();
        let request = format!("{method} {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let answer = rest(&mut stream).to_lowercase();
        let allow = format!("\r\nallow: {}\r\n", allowed.to_lowercase());
        assert!(
            answer.starts_with("http/1.1 405") && answer.contains(&allow),
            "{answer}"
        );
        assert_eq!(answer.matches("allow:").count(), 1, "{answer}");
    }
    let (_, error) = service.send("GET", "/recall", b"");
    assert!(serde_json::from_str::<Value>(&error).unwrap()["error"].is_string());
    // After all that it still answers.
    assert_eq!(
        service.post("/recall", r#"{"user": "anna", "k": 1}"#).0,
        200
    );
}

#[test]
fn too_many_calls_are_told_to_come_again_and_slow_ones_are_ended() {
    let limits = Limits {
        concurrent: 0,
        time: Duration::from_millis(200),
        ..Limits::default()
    };
    let service = Running::new(limits);
    assert_eq!(
        service.refused("/recall", r#"{"user": "anna", "k": 1}"#).0,
        503
    );
    // A body that never comes to its end.
    let mut slow = TcpStream::connect(service.address).unwrap();
    slow.set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    let head = "POST /recall HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{\"user\"";
    slow.write_all(head.as_bytes()).unwrap();
    let mut answer = [0; 64];
    let length = slow.read(&mut answer).unwrap();
    assert!(
        answer[..length].starts_with(b"HTTP/1.1 408"),
        "{:?}",
        &answer[..length]
    );
    // What is no HTTP at all.
    let mut garbage = TcpStream::connect(service.address).unwrap();
    garbage.write_all(b"\x00\x01\x02\r\n\r\n").unwrap();
    let _ = garbage.read(&mut answer);
    assert_eq!(service.send("GET", "/healthz", b"").0, 200);
}

#[test]
fn a_call_counts_until_its_channels_are_done_whoever_still_waits() {
    let gate = Arc::new(Mutex::new(()));
    let begun = Arc::new(AtomicUsize::new(0));
    let limits = Limits {
        concurrent: 1,
        time: Duration::from_secs(2),
        ..Limits::default()
    };
    let (of_channel, calls) = (gate.clone(), begun.clone());
    let service = Running::of(limits, Bounds::default(), move || {
        let (gate, begun) = (of_channel.clone(), calls.clone());
        let waits = Told(Arc::new(move |_| {
            begun.fetch_add(1, Ordering::SeqCst);
            drop(gate.lock());
            Ok(vec![ItemIndex::new(1)])
        }));
        let stage = RecallStage::new(Fusion::RECIPROCAL_RANK, 10)?;
        let stage = stage.channel("waits", waits, ChannelWeight::default())?;
        Ok(ServedStage::new(stage, support::data()))
    });
    let body = r#"{"history": ["b"], "k": 1}"#;
    // The time is up, and the channel goes on.
    let closed = gate.lock().unwrap();
    assert_eq!(service.refused("/recall", body).0, 408);
    assert_eq!(service.refused("/recall", body).0, 503);
    drop(closed);
    let answered = || {
        let start = Instant::now();
        while service.post("/recall", body).0 != 200 {
            assert!(start.elapsed() < Duration::from_secs(20), "it stays full");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    answered();
    // The client goes away, and the channel goes on.
    let closed = gate.lock().unwrap();
    let before = begun.load(Ordering::SeqCst);
    let length = body.len();
    let request =
        format!("POST /recall HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n{body}");
    let client = say(service.address, 1, &request);
    let start = Instant::now();
    while begun.load(Ordering::SeqCst) == before {
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "it did not begin"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    drop(client);
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(service.refused("/recall", body).0, 503);
    drop(closed);
    answered();
}

/// Half of a request's head, after which nothing comes.
const HALF: &str = "GET /healthz HTTP/1.1\r\nhost: x\r\naccept:";

/// So many connections that say this and no more. What the service has closed by then is none.
fn say(address: SocketAddr, count: usize, text: &str) -> Vec<TcpStream> {
    let connect = |_| {
        let mut stream = TcpStream::connect(address).ok()?;
        let wait = Some(Duration::from_secs(30));
        stream.set_read_timeout(wait).unwrap();
        stream.write_all(text.as_bytes()).ok()?;
        Some(stream)
    };
    (0..count).filter_map(connect).collect()
}

/// What is read until the connection is closed; a reset is as good an end as any.
fn rest(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let read = stream.read_to_end(&mut text);
    let kind = read.err().map(|error| error.kind());
    assert_ne!(kind, Some(std::io::ErrorKind::WouldBlock), "it stays open");
    String::from_utf8_lossy(&text).into_owned()
}

fn is_healthy(address: SocketAddr) -> bool {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(Duration::from_secs(20)))
        .build()
        .into();
    let answer = agent.get(format!("http://{address}/healthz")).call();
    answer.is_ok_and(|answer| answer.status() == 200)
}

#[test]
fn idle_connections_keep_nobody_from_being_answered() {
    let bounds = Bounds {
        connections: 50,
        idle: Duration::from_secs(600),
        ..Bounds::default()
    };
    let body = "POST /recall HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{";
    let limits = Limits {
        time: Duration::from_secs(600),
        ..Limits::default()
    };
    // Half a head, half a body, nothing at all, and nothing after an answer.
    for text in [HALF, body, "", "GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n"] {
        let service = Running::with_bounds(limits, bounds);
        let idle = say(service.address, 300, text);
        for _ in 0..3 {
            assert!(is_healthy(service.address), "{text:?}");
        }
        drop(idle);
    }
}

#[test]
fn slow_heads_and_idle_connections_are_ended() {
    let bounds = Bounds {
        idle: Duration::from_millis(300),
        ..Bounds::default()
    };
    let service = Running::with_bounds(Limits::default(), bounds);
    for text in ["", HALF] {
        let mut slow = say(service.address, 1, text).remove(0);
        let start = Instant::now();
        assert!(!rest(&mut slow).starts_with("HTTP/1.1 200"));
        assert!(start.elapsed() >= Duration::from_millis(200), "{text:?}");
    }
    let request = "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";
    let mut twice = say(service.address, 1, request).remove(0);
    twice.write_all(request.as_bytes()).unwrap();
    assert_eq!(rest(&mut twice).matches("HTTP/1.1 200").count(), 2);
    // A byte now and then does not keep a connection.
    let bounds = Bounds {
        life: Duration::from_millis(500),
        ..bounds
    };
    let service = Running::with_bounds(Limits::default(), bounds);
    let mut busy = say(service.address, 1, request).remove(0);
    let mut asked = 1;
    while asked < 1_000 && busy.write_all(request.as_bytes()).is_ok() {
        asked += 1;
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(asked < 1_000, "it lives for ever");
}

#[test]
fn a_service_that_is_stopped_ends_its_calls_and_no_more() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"));
    let listener = listener.unwrap();
    let address = listener.local_addr().unwrap();
    let slow = axum::routing::get(async || {
        tokio::time::sleep(Duration::from_millis(700)).await;
        "done"
    });
    let app = axum::Router::new().route("/slow", slow);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = runtime.spawn(connections::serve(
        listener,
        app,
        Bounds::default(),
        stopped,
    ));
    let mut idle = say(address, 3, HALF);
    let request = "GET /slow HTTP/1.1\r\nhost: x\r\n\r\n";
    let mut slow = say(address, 1, request).remove(0);
    std::thread::sleep(Duration::from_millis(200));
    stop.send(()).unwrap();
    runtime
        .block_on(async { tokio::time::timeout(Duration::from_secs(20), serving).await })
        .unwrap()
        .unwrap();
    assert!(rest(&mut slow).ends_with("done"));
    idle.iter_mut().for_each(|idle| assert_eq!(rest(idle), ""));
}

/// Where the child process says its address.
const ADDRESS: &str = "SEQREC_SERVE_ADDRESS";

/// What the child does; nothing where it is no child.
#[test]
fn serve_with_few_files() {
    if let Some(path) = std::env::var_os(ADDRESS) {
        let bounds = Bounds {
            connections: 10_000,
            ..Bounds::default()
        };
        let service = Running::with_bounds(Limits::default(), bounds);
        let aside = std::path::Path::new(&path).with_extension("aside");
        std::fs::write(&aside, service.address.to_string()).unwrap();
        std::fs::rename(aside, path).unwrap();
        std::thread::sleep(Duration::from_secs(120));
    }
}

/// Ends a child, whatever becomes of the test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// With fewer files than connections that say nothing, where accepting fails.
#[test]
#[cfg(unix)]
fn a_service_without_a_file_left_answers_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("address");
    let child = Command::new("sh")
        .args([
            "-c",
            "ulimit -n 128 && exec \"$0\" --exact serve_with_few_files",
        ])
        .arg(std::env::current_exe().unwrap())
        .env(ADDRESS, &path)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let _child = Ended(child.unwrap());
    let start = Instant::now();
    while !path.exists() {
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "it did not begin"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    let address = std::fs::read_to_string(&path).unwrap().parse().unwrap();
    let idle = say(address, 300, HALF);
    for _ in 0..3 {
        assert!(is_healthy(address));
    }
    drop(idle);
}
