//! The texts of results and errors, and the events that a program can follow.

use std::error::Error as StdError;
use std::fmt::{self, Debug, Write};
use std::ops::ControlFlow;
use std::sync::{Mutex, OnceLock};

use seqrec::data::synthetic::Synthetic;
use seqrec::data::{BadRows, Format};
use seqrec::eval::{Report, Scorer};
use seqrec::index::Filter;
use seqrec::prelude::*;
use seqrec::recall::{Candidates, RecallChannel};
use seqrec::train::{CsvLog, EpochReport, StopReason, TrainingObserver};
use seqrec::{Error, ErrorKind, Result};
use serde_json::{Value, json};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

fn split() -> Split {
    let log = Synthetic::new()
        .with_users(60)
        .with_items(40)
        .generate()
        .unwrap();
    Split::new(
        &Dataset::new(log, Filters::default()).unwrap(),
        Protocol::LeaveOneOut,
    )
    .unwrap()
}

fn json_of(value: &impl serde::Serialize) -> Value {
    serde_json::to_value(value).unwrap()
}

#[test]
fn a_report_is_a_table_of_measures_by_cuts() {
    let ids = ["a", "b", "c"].map(Into::into);
    let catalog = Catalog::from_ids(ids).unwrap();
    let mut scorer = Scorer::new(&catalog, &[2, 1]).unwrap();
    let [a, b, c] = [1, 2, 3].map(ItemIndex::new);
    scorer.add(&[a, b], &[b, c]);
    scorer.add_unreachable(3);
    let report = scorer.report();
    let text = report.to_string();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "1 user                     @1       @2");
    assert_eq!(lines[1], "recall                 0.0000   0.5000");
    assert_eq!(lines.len(), 11, "{text}");
    assert!(lines[10].starts_with("3 labels"), "{text}");
    let read: Report = serde_json::from_value(json_of(&report)).unwrap();
    assert_eq!(read, report);
    assert_eq!(Report::default().to_string().trim_end(), "0 users");
}

#[test]
fn every_result_is_written_for_readers_and_for_programs() {
    let split = split();
    let model = Gru4RecConfig::new().with_dim(4);
    let model = model
        .init::<Autodiff<Flex>>(split.catalog().len(), 1, &Default::default())
        .unwrap();
    let settings = TrainerConfig::new()
        .with_epochs(2)
        .with_metric(Metric::recall(10).unwrap());
    let trained = Trainer::new(settings).fit(model, &split).unwrap();
    let text = trained.to_string();
    assert!(text.starts_with("the best of 2 epochs is epoch"), "{text}");
    assert!(
        text.contains("recall@10") && text.ends_with("stopped since all epochs were made"),
        "{text}"
    );
    let written = json_of(&trained);
    assert_eq!(written["stop"], "epochs");
    assert_eq!(written["epochs"].as_array().unwrap().len(), 2);
    assert!(written.get("model").is_none());
    let diverged = StopReason::Diverged { epoch: 3, step: 7 };
    assert_eq!(
        json_of(&diverged),
        json!({"diverged": {"epoch": 3, "step": 7}})
    );
    assert!(diverged.to_string().contains("epoch 3, step 7"));

    let vectors = item_vectors(&trained.model);
    let index = FlatIndex::new(&vectors).unwrap();
    let hits = index
        .search(vectors.slice(seqrec::ndarray::s![1..3, ..]), 2, None)
        .unwrap();
    assert_eq!(json_of(&hits)[1][0]["item"], hits.items(1)[0].get());
    assert_eq!(hits.to_string().lines().count(), 2);
    let retriever = Retriever::new(
        VectorChannel::from_model(trained.model, index),
        split.catalog().clone(),
    )
    .unwrap();
    let recalled = retriever.recall(["3", "not there"], 2).unwrap();
    assert_eq!(json_of(&recalled)["items"][0]["found"][0]["rank"], 1);
    assert!(
        recalled
            .to_string()
            .contains("1 items of the history are not in the catalog"),
        "{recalled}"
    );
    let nothing = retriever.recall(["not there"], 2).unwrap().to_string();
    assert!(nothing.contains("1 items of the history"), "{nothing}");
}

/// A history of somebody who is known by numbers of each kind.
#[test]
fn ids_are_of_texts_and_of_numbers() {
    let text = String::from("pen");
    assert_eq!(ExternalId::from(&text), ExternalId::from("pen"));
    assert_eq!(
        [ExternalId::from(7), ExternalId::from(7u32)],
        [ExternalId::from(7i64), ExternalId::from("7")]
    );
    assert_eq!(ExternalId::from(u32::MAX), ExternalId::from("4294967295"));
    assert_eq!(
        (
            ExternalId::from("pen").as_str(),
            ExternalId::from(7).as_str()
        ),
        (Some("pen"), None)
    );
}

/// An error of somebody's own.
#[derive(Debug)]
struct ShopIsClosed;

impl fmt::Display for ShopIsClosed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the shop is closed")
    }
}

impl StdError for ShopIsClosed {}

fn ask_the_shop() -> Result<f64, Box<dyn StdError + Send + Sync>> {
    Err(ShopIsClosed.into())
}

struct Shop;

impl RecallChannel for Shop {
    fn recall(&self, _: &[User], _: usize, _: Option<Filter>) -> Result<Candidates> {
        ask_the_shop()?;
        Ok(Candidates::default())
    }
}

struct Diary;

impl TrainingObserver for Diary {
    fn on_epoch(&mut self, _: &EpochReport, _: bool) -> Result<ControlFlow<()>> {
        std::fs::read("no/such/diary")?;
        Ok(ControlFlow::Continue(()))
    }
}

#[test]
fn channels_and_observers_have_errors_of_their_own() {
    let split = split();
    let evaluation = Evaluation::new(&[5], Seen::Keep);
    let error = evaluation
        .run(&Shop, &split.test, split.catalog())
        .unwrap_err();
    let ErrorKind::Own(cause) = error.kind() else {
        panic!("{error}");
    };
    assert!(cause.downcast_ref::<ShopIsClosed>().is_some());
    assert_eq!(
        format!("{error} / {error:?}"),
        "the shop is closed / the shop is closed"
    );
    let trainer = Trainer::new(
        TrainerConfig::new()
            .with_epochs(1)
            .with_metric(Metric::recall(5).unwrap()),
    );
    let error = Gru4RecConfig::new()
        .with_dim(4)
        .fit_with(&split, trainer.observer(Diary))
        .unwrap_err();
    let ErrorKind::Own(cause) = error.into_kind() else {
        panic!("another error");
    };
    let cause = cause.downcast::<std::io::Error>().unwrap();
    assert_eq!(cause.kind(), std::io::ErrorKind::NotFound);
    // An error of this crate stays what it is on its way through a box.
    let boxed: Box<dyn StdError + Send + Sync> =
        Error::invalid("k", 0, "must be at least 1").into();
    assert!(matches!(
        Error::from(boxed).kind(),
        ErrorKind::InvalidValue { field: "k", .. }
    ));
}

#[test]
fn messages_say_what_to_do() {
    let home = tempfile::tempdir().unwrap();
    let message = |error: Error, said: &[&str]| {
        for said in said {
            assert!(error.to_string().contains(said), "{error}");
        }
    };
    let nowhere = home.path().join("nowhere");
    message(
        Recaller::open(&nowhere).unwrap_err(),
        &["does not exist", "no run folder", "`save` of a `Recaller`"],
    );
    message(
        Recaller::open(home.path()).unwrap_err(),
        &["holds no run.json", "no run folder"],
    );
    let odd = home.path().join("odd.csv");
    std::fs::write(&odd, "x;y\n1;2\n").unwrap();
    message(Recaller::open(&odd).unwrap_err(), &["it is a file"]);
    message(
        Interactions::read(&odd).unwrap_err(),
        &[
            "\"user=who,item=what,time=at\"",
            "`InteractionReader::new(path, format.parse()?)`",
        ],
    );
    message(
        Format::detect(home.path()).unwrap_err(),
        &["it is a folder"],
    );
    let catalog = Catalog::from_ids(["a", "b"].map(Into::into)).unwrap();
    message(
        Scorer::new(&catalog, &[3]).unwrap_err(),
        &["k is 3", "at least 1 and at most 2"],
    );
    let split = split();
    message(
        MultiInterestConfig::mind()
            .fit_with(
                &split,
                TrainerConfig::new().with_metric(Metric::recall(5).unwrap()),
            )
            .unwrap_err(),
        &["Targets::EveryPrefix"],
    );
    let model = HstuConfig::new()
        .with_dim(4)
        .init::<Flex>(split.catalog().len(), 1, &Default::default())
        .unwrap();
    let run = Run::<Flex, _>::new(
        HstuConfig::new().with_dim(4),
        model,
        split.catalog().clone(),
    );
    message(
        Recaller::from(run).recall([3, 5], 2).unwrap_err(),
        &["`RecallRequest::for_timed_history`"],
    );
}

/// All that was logged, a line each: what is entered, and what happens.
fn log() -> &'static Mutex<Vec<String>> {
    static LOG: OnceLock<Mutex<Vec<String>>> = OnceLock::new();
    LOG.get_or_init(|| {
        tracing::subscriber::set_global_default(Log).unwrap();
        Mutex::default()
    })
}

struct Log;

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, " {field}={value:?}").unwrap();
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("seqrec")
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut line = Line(format!("span {}", span.metadata().name()));
        span.record(&mut line);
        log().lock().unwrap().push(line.0);
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(event.metadata().level().to_string());
        event.record(&mut line);
        log().lock().unwrap().push(line.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[test]
fn what_is_read_trained_and_served_can_be_followed() {
    log();
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("some.csv");
    let mut text = String::from("user,item,time\n");
    for row in 0..200 {
        writeln!(
            text,
            "{},{},{}",
            row % 20,
            row * 7 % 13,
            1_000_000_000 + row
        )
        .unwrap();
    }
    text.push_str("1,2,yesterday\n");
    std::fs::write(&file, text).unwrap();
    let reader = InteractionReader::detect(&file)
        .unwrap()
        .bad_rows(BadRows::Skip);
    let dataset = Dataset::new(reader.read().unwrap(), Filters::default()).unwrap();
    let split = Split::new(&dataset, Protocol::LeaveOneOut).unwrap();
    let settings = TrainerConfig::new()
        .with_epochs(1)
        .with_metric(Metric::recall(5).unwrap());
    let trainer = Trainer::new(settings).observer(CsvLog::new(home.path().join("log.csv")));
    Gru4RecConfig::new()
        .with_dim(4)
        .fit_with(&split, trainer)
        .unwrap();
    let lines = log().lock().unwrap().clone();
    let has = |parts: &[&str]| {
        let found = lines
            .iter()
            .any(|line| parts.iter().all(|part| line.contains(part)));
        assert!(found, "{parts:?} in {lines:#?}");
    };
    has(&["span read", "some.csv"]);
    has(&[
        "WARN",
        "rows were skipped",
        "rows=200",
        "skipped=1",
        "some.csv:202",
        "yesterday",
    ]);
    has(&["INFO", "data set", "users=20", "items=13"]);
    has(&["span train", "gru4rec"]);
    has(&["span epoch", "number=1"]);
    has(&["INFO", "validated", "recall@5", "improved=true"]);
    has(&["INFO", "trained", "all epochs were made"]);
}

/// An engine tells of channels that it leaves out and of reloads.
#[cfg(feature = "engine")]
#[test]
fn channels_that_are_left_out_and_reloads_can_be_followed() {
    use seqrec::channels::PopularityConfig;
    use seqrec::recall::{Fusion, RecallStage};
    use seqrec::store::ServedStage;
    use std::sync::atomic::{AtomicBool, Ordering};

    log();
    let split = split();
    let fails = std::sync::Arc::new(AtomicBool::new(false));
    let now = fails.clone();
    let load = move || {
        if fails.load(Ordering::Relaxed) {
            ask_the_shop()?;
        }
        let popular = PopularityConfig::new().fit(&split.train)?;
        let stage = RecallStage::new(Fusion::RECIPROCAL_RANK, 20)?
            .channel("the shop", Shop, Default::default())?
            .fallback(popular);
        Ok(ServedStage::new(stage, split.train.clone()))
    };
    let engine = RecallEngine::with_loader(load, EngineConfig::default()).unwrap();
    engine.recall("3", 5).unwrap();
    engine.reload().unwrap();
    now.store(true, Ordering::Relaxed);
    engine.reload().unwrap_err();
    let counted = engine.statistics().to_string();
    assert!(counted.contains("1 calls") && counted.contains("1 reloads, 1 failed"));
    assert!(counted.contains("the shop: 0 answered"), "{counted}");
    let lines = log().lock().unwrap().clone();
    let has = |parts: &[&str]| {
        let found = lines
            .iter()
            .any(|line| parts.iter().all(|part| line.contains(part)));
        assert!(found, "{parts:?} in {lines:#?}");
    };
    has(&["span recall", "k=5"]);
    has(&["span channel", "the shop", "version=1"]);
    has(&[
        "WARN",
        "a channel is left out",
        "the shop",
        "failed: the shop is closed",
    ]);
    has(&["span reload"]);
    has(&["INFO", "reloaded", "version=2"]);
    has(&["WARN", "could not be reloaded", "the shop is closed"]);
}
