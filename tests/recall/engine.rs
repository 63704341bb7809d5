//! The engine: channels within their time, reloads while calls go on, users' events, bounds.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use seqrec::channels::{
    AlsConfig, BprConfig, Content, ContentNeighborsConfig, ItemNeighborsConfig, MarkovChainConfig,
    NearestItemsConfig, NearestUsersConfig, Popularity, PopularityConfig, PreferredTagsConfig,
    SessionKnnConfig, SimilarUsersConfig,
};
use seqrec::data::synthetic::Synthetic;
use seqrec::data::{
    Catalog, Dataset, ExternalId, Features, Filters, Interaction, Interactions, ItemIndex,
    Protocol, Seen, Split, TimeUnit, TrainingData, User,
};
use seqrec::engine::{EngineConfig, Observed, RecallEngine};
use seqrec::eval::Scorer;
use seqrec::index::{Filter, FlatIndex, HnswConfig, IndexPlan, ItemSet};
use seqrec::model::{Gru4RecConfig, HstuConfig, RecallerConfig, TwoTowerConfig};
use seqrec::prelude::Flex;
use seqrec::recall::recalled::{Because, Outcome};
use seqrec::recall::{
    Candidate, Candidates, ChannelConfig, ChannelSource, ChannelWeight, Evaluation, Fusion,
    HistoryItems, Path as _, Reason, RecallChannel, RecallRequest, RecallStage, Recalled,
    Selection, VectorChannel, VectorChannelConfig,
};
use seqrec::retrieve::item_vectors;
use seqrec::store::{
    PlannedChannel, PlannedSelection, Recaller, Run, ServedStage, StageData, StagePlan,
};
use seqrec::{Error, ErrorKind};

use crate::stage as support;
use crate::told;

use support::data;
use told::Told;

/// A channel that says the same of everyone.
fn items(items: &[u32]) -> Told {
    let items = ItemIndex::from_slice(items).to_vec();
    Told(Arc::new(move |_| Ok(items.clone())))
}

fn stage() -> RecallStage {
    RecallStage::new(Fusion::RECIPROCAL_RANK, 10).unwrap()
}

fn engine_of(make: impl Fn() -> RecallStage + Send + Sync + 'static) -> RecallEngine {
    let settings = EngineConfig::new().with_threads(2);
    RecallEngine::with_loader(move || Ok(ServedStage::new(make(), data())), settings).unwrap()
}

fn ids(recalled: &Recalled) -> Vec<String> {
    recalled
        .items
        .iter()
        .map(|item| item.id.to_string())
        .collect()
}

fn outcome<'a>(recalled: &'a Recalled, name: &str) -> &'a Outcome {
    let report = recalled
        .channels
        .iter()
        .find(|report| &*report.name == name);
    &report.unwrap().outcome
}

/// Where a manifest says the version of its format, as it is written there.
fn format_version(manifest: &str) -> String {
    let json: serde_json::Value = serde_json::from_str(manifest).unwrap();
    let version = format!("\"format_version\": {}", json["format_version"]);
    assert!(manifest.contains(&version));
    version
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < Duration::from_secs(30), "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn an_engine_is_shared_among_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<RecallEngine>();
}

#[test]
fn a_channel_is_charged_for_its_own_time_and_not_for_the_queue() {
    let settings = EngineConfig::new()
        .with_threads(1)
        .with_budget(Duration::from_secs(30));
    let load = || {
        let slow = || {
            Told(Arc::new(|_| {
                std::thread::sleep(Duration::from_millis(60));
                Ok(vec![ItemIndex::new(1)])
            }))
        };
        let stage = (stage().channel("first", slow(), ChannelWeight::default()))
            .and_then(|stage| stage.channel("second", slow(), ChannelWeight::default()))?;
        Ok(ServedStage::new(stage, support::data()))
    };
    let engine = RecallEngine::with_loader(load, settings).unwrap();
    let start = Instant::now();
    let recalled = engine.recall("nobody", 1).unwrap();
    let elapsed = start.elapsed().as_secs_f64() * 1e3;
    let times = |name| match *outcome(&recalled, name) {
        Outcome::Answered {
            milliseconds,
            waited_milliseconds,
            ..
        } => (milliseconds, waited_milliseconds),
        ref other => panic!("{other:?}"),
    };
    let (first, second) = (times("first"), times("second"));
    // The one thread runs the second after the first.
    assert!(
        second.1 >= first.1 + first.0 - 1.0 && second.1 >= 59.0,
        "{first:?} {second:?}"
    );
    assert!(first.0 >= 59.0 && second.0 >= 59.0, "{first:?} {second:?}");
    // Its own time has no part of the wait, however slow the machine is.
    assert!(second.0 + second.1 <= elapsed, "{second:?} of {elapsed}");
    let total = engine.statistics().channels["second"].microseconds as f64 / 1e3;
    assert!((total - second.0).abs() < 1.0, "{total} {second:?}");
}

#[test]
fn late_and_failing_channels_are_left_out_and_reported() {
    let held = Arc::new(AtomicBool::new(true));
    let asked = Arc::new(AtomicUsize::new(0));
    let (hold, count) = (held.clone(), asked.clone());
    let engine = engine_of(move || {
        let (hold, count) = (hold.clone(), count.clone());
        let late = Told(Arc::new(move |_| {
            count.fetch_add(1, Ordering::SeqCst);
            while hold.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(1));
            }
            Ok(vec![ItemIndex::new(4)])
        }));
        let fails = Told(Arc::new(|_| {
            Err(ErrorKind::NothingLeft {
                reason: "on purpose".to_owned(),
            }
            .into())
        }));
        let panics = Told(Arc::new(|_| panic!("in its test")));
        stage()
            .channel("late", late, ChannelWeight::default())
            .and_then(|stage| stage.channel("fails", fails, ChannelWeight::default()))
            .and_then(|stage| stage.channel("panics", panics, ChannelWeight::default()))
            .and_then(|stage| stage.channel("good", items(&[1, 2]), ChannelWeight::default()))
            .and_then(|stage| stage.budget("late", Duration::from_millis(30)))
            .and_then(|stage| stage.budget("good", Duration::from_secs(30)))
            .and_then(|stage| stage.budget("fails", Duration::from_secs(30)))
            .and_then(|stage| stage.budget("panics", Duration::from_secs(30)))
            .unwrap()
    });
    let recalled = engine.recall("nobody", 5).unwrap();
    assert_eq!(ids(&recalled), ["a", "b"]);
    assert_eq!(*outcome(&recalled, "late"), Outcome::Late);
    assert!(
        matches!(outcome(&recalled, "fails"), Outcome::Failed { reason } if reason.contains("on purpose"))
    );
    assert!(
        matches!(outcome(&recalled, "panics"), Outcome::Failed { reason } if reason.contains("in its test"))
    );
    assert!(matches!(
        outcome(&recalled, "good"),
        Outcome::Answered { candidates: 2, .. }
    ));

    // It still runs, so that it isn't asked again, and no call waits for it.
    for _ in 0..20 {
        let recalled = engine.recall("nobody", 5).unwrap();
        assert_eq!(*outcome(&recalled, "late"), Outcome::Busy);
        assert_eq!(ids(&recalled), ["a", "b"]);
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    let statistics = engine.statistics();
    assert_eq!(
        (statistics.calls, statistics.channels["late"].late),
        (21, 1)
    );
    assert_eq!(statistics.channels["late"].busy, 20);
    assert_eq!(statistics.channels["fails"].failed, 21);
    assert_eq!(statistics.channels["good"].answered, 21);

    // When it comes back it is asked again, and the thread that stood in for it is gone.
    held.store(false, Ordering::SeqCst);
    wait_until("the late channel comes back", || {
        let recalled = engine.recall("nobody", 5).unwrap();
        ids(&recalled).contains(&"d".to_owned())
    });
    wait_until("threads end", || engine.statistics().threads == 2);
}

#[test]
fn an_engine_that_is_dropped_waits_for_no_channel_and_lets_go_of_its_stage() {
    let held = Arc::new(AtomicBool::new(true));
    let of_stage = Arc::downgrade(&held);
    let hold = held.clone();
    let engine = engine_of(move || {
        let hold = hold.clone();
        let hangs = Told(Arc::new(move |_| {
            while hold.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(1));
            }
            Ok(Vec::new())
        }));
        let stage = stage().channel("hangs", hangs, ChannelWeight::default());
        stage.unwrap()
    });
    let recalled = engine.recall("nobody", 5).unwrap();
    assert_eq!(*outcome(&recalled, "hangs"), Outcome::Late);
    // While it hangs; the thread has the stage until it returns, and nothing else has.
    drop(engine);
    held.store(false, Ordering::SeqCst);
    wait_until("the last thread ends", || of_stage.strong_count() == 1);
}

/// A channel that breaks its promise: it gives the same whatever the filter says.
struct Unfiltered(Vec<ItemIndex>);

impl RecallChannel for Unfiltered {
    fn recall(
        &self,
        users: &[User<'_>],
        _k: usize,
        _filter: Option<Filter<'_>>,
    ) -> seqrec::Result<Candidates> {
        let mut candidates = Candidates::default();
        for _ in users {
            candidates.push(self.0.iter().map(|&item| Candidate {
                item,
                score: 1.0,
                reason: Reason::Item(item),
            }));
        }
        Ok(candidates)
    }
}

#[test]
fn what_does_not_pass_or_is_no_item_is_not_recalled_whoever_gives_it() {
    let engine = engine_of(|| {
        let bad = || {
            Unfiltered(
                vec![0, 77, 2, 4, u32::MAX]
                    .into_iter()
                    .map(ItemIndex::new)
                    .collect(),
            )
        };
        let stage = stage()
            .channel("bad", bad(), ChannelWeight::default())
            .unwrap();
        stage.fallback(bad())
    });
    let request = RecallRequest::for_user("nobody", 5).blocked(["d"]);
    assert_eq!(ids(&engine.recall_for(&request).unwrap()), ["b"]);
}

#[test]
fn where_all_channels_fail_the_fallback_answers() {
    let engine = engine_of(|| {
        let fails = Told(Arc::new(|_| panic!("in its test")));
        let stage = stage()
            .channel("fails", fails, ChannelWeight::default())
            .unwrap();
        stage.fallback(Popularity::new(data().catalog()))
    });
    let recalled = engine.recall("nobody", 3).unwrap();
    // a, b and c were taken twice, d once.
    assert_eq!(ids(&recalled), ["a", "b", "c"]);
    assert_eq!(&*recalled.items[0].found[0].channel, "fallback");
    assert_eq!(recalled.items[0].found[0].because, Because::Popular);
    let engine = engine_of(|| {
        let fails = || Told(Arc::new(|_| panic!("in its test")));
        let stage = stage()
            .channel("fails", fails(), ChannelWeight::default())
            .unwrap();
        stage.fallback(fails())
    });
    let recalled = engine.recall("nobody", 3).unwrap();
    assert!(recalled.items.is_empty());
    assert!(matches!(
        outcome(&recalled, "fallback"),
        Outcome::Failed { .. }
    ));
}

/// A channel that searches an index of all items but the first, and what asking it comes to.
struct WithoutFirst {
    said: Told,
    asked: Arc<dyn Fn() -> seqrec::Result<()> + Send + Sync>,
}

impl RecallChannel for WithoutFirst {
    fn recall(
        &self,
        users: &[User<'_>],
        k: usize,
        filter: Option<Filter<'_>>,
    ) -> seqrec::Result<Candidates> {
        self.said.recall(users, k, filter)
    }

    fn holds(&self, items: &ItemSet) -> seqrec::Result<Option<ItemSet>> {
        (self.asked)()?;
        Ok(Some(items.iter().filter(|item| item.get() != 1).collect()))
    }
}

/// What was removed from an index does not come back when the channel that searches it fails, is
/// late or busy; one that can't say what it holds keeps no fallback from answering.
#[test]
fn a_fallback_recalls_nothing_that_was_removed_whatever_becomes_of_the_channel() {
    let on_purpose = || {
        Error::from(ErrorKind::NothingLeft {
            reason: "on purpose".to_owned(),
        })
    };
    let held = Arc::new(AtomicBool::new(true));
    let hang = || {
        let held = held.clone();
        move || {
            while held.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    };
    let engine = |said: Told, asked: Arc<dyn Fn() -> seqrec::Result<()> + Send + Sync>| {
        let load = move || {
            let (said, asked) = (said.clone(), asked.clone());
            let channel = WithoutFirst { said, asked };
            let stage = stage()
                .channel("u2i", channel, ChannelWeight::default())?
                .budget("u2i", Duration::from_millis(200))?
                .fallback(Popularity::new(data().catalog()));
            Ok(ServedStage::new(stage, data()))
        };
        let settings = EngineConfig::new()
            .with_threads(1)
            .with_budget(Duration::from_secs(4));
        RecallEngine::with_loader(load, settings).unwrap()
    };
    let (all, left) = (["a", "b", "c"], ["b", "c", "d"]);
    let fails = move || Told(Arc::new(move |_| Err(on_purpose())));
    let silent = || Told(Arc::new(|_| Ok(Vec::new())));
    let panics = || Told(Arc::new(|_| panic!("in its test")));
    let hangs = hang();
    let late = Told(Arc::new(move |_| {
        hangs();
        Ok(Vec::new())
    }));
    for said in [silent(), fails(), panics(), late] {
        let engine = engine(said, Arc::new(|| Ok(())));
        for _ in 0..2 {
            let recalled = engine.recall("nobody", 3).unwrap();
            assert_eq!(ids(&recalled), left, "{:?}", recalled.channels);
        }
    }
    let refuses = engine(fails(), Arc::new(move || Err(on_purpose())));
    assert_eq!(ids(&refuses.recall("nobody", 3).unwrap()), all);
    let (asked, hangs) = (Arc::new(AtomicUsize::new(0)), hang());
    let count = asked.clone();
    let stuck = engine(
        fails(),
        Arc::new(move || {
            count.fetch_add(1, Ordering::SeqCst);
            hangs();
            Ok(())
        }),
    );
    for _ in 0..3 {
        assert_eq!(ids(&stuck.recall("nobody", 3).unwrap()), all);
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    held.store(false, Ordering::SeqCst);
    wait_until("the index answers", || {
        ids(&stuck.recall("nobody", 3).unwrap()) == left
    });
}

/// A channel that says what the history is.
fn echo() -> Told {
    Told(Arc::new(|user| Ok(user.items().to_vec())))
}

#[test]
fn events_are_part_of_the_next_call() {
    let engine = engine_of(|| {
        stage()
            .channel("echo", echo(), ChannelWeight::default())
            .unwrap()
    });
    let seen = |user: &str| {
        let request = RecallRequest::for_user(user, 100).seen(Seen::Keep);
        let recalled = engine.recall_for(&request).unwrap();
        (ids(&recalled), recalled.known, recalled.unknown)
    };
    let strings = |items: &[&str]| {
        items
            .iter()
            .map(|item| item.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(seen("anna"), (strings(&["a", "b"]), 2, 0));
    assert_eq!(seen("new"), (vec![], 0, 0));
    let took = |user: &str, item: &str, time: f64| {
        engine
            .observe(&Interaction::new(user, item, time), &[])
            .unwrap()
    };
    assert_eq!(took("anna", "d", 50.0), Observed::Taken);
    assert_eq!(took("new", "c", 51.0), Observed::Taken);
    assert_eq!(seen("anna"), (strings(&["a", "b", "d"]), 3, 0));
    assert_eq!(seen("new"), (strings(&["c"]), 1, 0));
    // Sent twice it counts once; what the data hold already does not count again; an item that
    // nobody knows is counted as such.
    assert_eq!(took("anna", "d", 50.0), Observed::Repeated);
    assert_eq!(took("anna", "a", 1.0), Observed::Older);
    assert_eq!(took("anna", "b", 2.0), Observed::Older);
    // At the very time of what the data hold last, something else is news.
    assert_eq!(took("bo", "d", 4.0), Observed::Taken);
    assert_eq!(seen("bo"), (strings(&["b", "c", "d"]), 3, 0));
    assert_eq!(took("anna", "unheard of", 60.0), Observed::Unknown);
    let counted = engine.statistics();
    assert_eq!((counted.events, counted.unknown_events), (3, 1));
    assert_eq!(seen("anna"), (strings(&["a", "b", "d"]), 3, 1));
    // What he took is not recalled unless that is asked for.
    assert!(engine.recall("anna", 10).unwrap().items.is_empty());
    for round in 0..10_000 {
        took("new", "a", 100.0 + f64::from(round));
    }
    assert_eq!(seen("new").1, engine.settings().history);
    assert_eq!(engine.statistics().users, 3);
}

/// A stage of a path whose items weigh less by their age, and of a model that looks at how long ago
/// items were taken.
fn stage_by_time(split: &Split, half_life: f64) -> seqrec::Result<RecallStage> {
    let catalog = split.catalog();
    let neighbors = ItemNeighborsConfig::new().fit(&split.train)?;
    let path = HistoryItems::last(20)?.with_half_life(half_life)?;
    let device = Default::default();
    let hstu = HstuConfig::new()
        .with_dim(8)
        .with_heads(1)
        .with_max_len(20)
        .with_time_to_target(true)
        .init::<Flex>(catalog.len(), 1, &device)?;
    let index = FlatIndex::new(&item_vectors(&hstu))?;
    let hstu = VectorChannel::from_model(hstu, index);
    stage()
        .channel(
            "path",
            path.then(neighbors).into_channel(),
            ChannelWeight::default(),
        )?
        .channel("hstu", hstu, ChannelWeight::default())
}

/// There is one time at which a user asks: an evaluation has it from the label, an engine from the
/// request, and all channels count from it.
#[test]
fn an_engine_and_an_evaluation_rank_alike() {
    let log = Synthetic::new()
        .with_users(60)
        .with_items(40)
        .generate()
        .unwrap();
    let dataset = Dataset::new(log, Filters::default()).unwrap();
    let split = Split::new(&dataset, Protocol::LeaveOneOut).unwrap();
    let catalog = split.catalog();
    let load = {
        let split = split.clone();
        move || {
            let data = split.train.clone();
            Ok(ServedStage::new(stage_by_time(&split, 60.0)?, data))
        }
    };
    let budget = Duration::from_secs(60);
    let settings = EngineConfig::new().with_budget(budget).with_history(5_000);
    let engine = RecallEngine::with_loader(load, settings).unwrap();
    let stage = stage_by_time(&split, 60.0).unwrap();
    let by_channel = |recalled: &Recalled, name: &str| -> Vec<(ExternalId, usize, f32)> {
        let found = recalled.items.iter().filter_map(|item| {
            let found = item.found.iter().find(|found| &*found.channel == name)?;
            Some((item.id.clone(), found.rank, found.score))
        });
        found.collect()
    };
    // The stage's data know a user up to where validation begins.
    for (cases, by_user) in [(&split.test, false), (&split.valid, true)] {
        let mut scorer = Scorer::new(catalog, &[10]).unwrap();
        let mut depend_on_time = [("path", 0), ("hstu", 0)];
        for place in 0..cases.len() {
            let case = cases.get(place);
            let asked = dataset.sequences().times(case.number)[case.user.items().len()];
            let request = match by_user {
                true => RecallRequest::for_user(dataset.user_id(case.number).unwrap().clone(), 10),
                false => {
                    let ids = case.user.items().iter().map(|&item| catalog.id_of(item));
                    let ids = ids.map(|id| id.unwrap().clone());
                    let timed = ids.zip(case.user.times().iter().copied());
                    RecallRequest::for_timed_history(timed, 10)
                }
            };
            let served = engine.recall_for(&request.clone().at(asked)).unwrap();

            let unseen = |_: usize, item: ItemIndex| !case.user.items().contains(&item);
            let filter = Some(Filter::Predicate(&unseen));
            let fused = stage.recall_fused(&[cases.get(place).user], 10, filter);
            let evaluated = fused.unwrap().remove(0);
            assert_eq!(served.items.len(), evaluated.len());
            for (served, evaluated) in served.items.iter().zip(&evaluated) {
                assert_eq!(Some(&served.id), catalog.id_of(evaluated.item));
                let found = evaluated
                    .found
                    .iter()
                    .map(|found| (found.rank, found.score));
                assert!((served.found.iter().map(|found| (found.rank, found.score))).eq(found));
            }
            let items = served.items.iter().map(|item| catalog.index_of(&item.id));
            scorer.add(&items.collect::<Option<Vec<_>>>().unwrap(), case.labels);
            // It is a test of time only where another time gives another list.
            let later = engine.recall_for(&request.at(asked + 1e6)).unwrap();
            for (name, count) in &mut depend_on_time {
                *count += usize::from(by_channel(&later, name) != by_channel(&served, name));
            }
        }
        for (name, count) in depend_on_time {
            assert!(count > cases.len() / 2, "{name}: {count}");
        }
        let evaluation = Evaluation::new(&[10], Seen::Exclude);
        let report = evaluation.run(&stage, cases, catalog).unwrap();
        assert_eq!(report.recall(10), scorer.report().recall(10));
        assert_eq!(report.ndcg(10), scorer.report().ndcg(10));
    }
}

/// Where a request does not say when a user asks, they ask now, by the clock.
#[test]
fn who_asks_without_a_time_asks_now() {
    let now = TimeUnit::Seconds.now();
    let log: Interactions = (0..8i64)
        .flat_map(|user| (0..4i64).map(move |place| (user, (user + place) % 6, place as f64)))
        .map(|(user, item, place)| Interaction::new(user, item, now - 1000.0 + place))
        .collect();
    let dataset = Dataset::new(log, Filters::default()).unwrap();
    let split = Split::new(&dataset, Protocol::LeaveOneOut).unwrap();
    let load = {
        let split = split.clone();
        move || {
            let data = split.train.clone();
            Ok(ServedStage::new(stage_by_time(&split, 1000.0)?, data))
        }
    };
    let engine = RecallEngine::with_loader(load, EngineConfig::default()).unwrap();
    let best = |request: RecallRequest| -> f32 {
        let recalled = engine.recall_for(&request).unwrap();
        let found = recalled.items.iter().flat_map(|item| &item.found);
        let by_path = found.filter(|found| &*found.channel == "path");
        by_path.map(|found| found.score).fold(0.0, f32::max)
    };
    let request = || RecallRequest::for_timed_history([(1, now - 1000.0)], 5);
    let (then, by_default) = (best(request().at(now - 1000.0)), best(request()));
    // A half-life ago, and the seconds that this test takes.
    let share = by_default / then;
    assert!((0.45..0.5001).contains(&share), "{share}");
}

/// A history whose times run backwards could be in the wrong order or have wrong times.
#[test]
fn histories_that_run_backwards_are_refused() {
    let items = [1, 2, 3].map(ItemIndex::new);
    let refused = |times: &[f64]| User::with_times(&items, times).unwrap_err().to_string();
    let reason = refused(&[1.0, 9.0, 5.0]);
    assert!(
        reason.contains("5 in place 2") && reason.contains("after 9"),
        "{reason}"
    );
    assert!(refused(&[1.0, f64::NAN, 5.0]).contains("place 1"));
    // Equal times are in the order that they come in.
    assert!(User::with_times(&items, &[1.0, 1.0, 5.0]).is_ok());
    let engine = engine_with_times(1.0);
    let ask = |times: [f64; 2]| {
        let history = ["a", "b"].into_iter().zip(times);
        engine.recall_for(&RecallRequest::for_timed_history(history, 2))
    };
    assert!(ask([1.6e9, 1.6e9]).is_ok());
    let reason = ask([1.61e9, 1.6e9]).unwrap_err().to_string();
    assert!(
        reason.contains("history") && reason.contains("run backwards"),
        "{reason}"
    );
}

/// What channels see of a heavy user is bounded; what is left out of their lists is all they took.
#[test]
fn heavy_users_get_nothing_that_they_have_taken() {
    const ITEMS: usize = 600;
    let all = || (1..=ITEMS as u32).map(ItemIndex::new);
    let id = |item: usize| ExternalId::from(format!("item {item:03}"));
    let log: Interactions = (0..ITEMS)
        .map(|item| Interaction::new("everything", id(item), item as f64 + 1.0))
        // Out of order, as files are.
        .chain(
            (0..500)
                .rev()
                .map(|item| Interaction::new("heavy", id(item), item as f64 + 1.0)),
        )
        .collect();
    let dataset = Dataset::new(log, Filters::default()).unwrap();
    let seen = Arc::new(AtomicUsize::new(0));
    let count = seen.clone();
    let load = move || {
        let count = count.clone();
        let channel = Told(Arc::new(move |user| {
            count.store(user.items().len(), Ordering::SeqCst);
            Ok(all().collect())
        }));
        let data = dataset.training_data();
        let stage = RecallStage::new(Fusion::RECIPROCAL_RANK, ITEMS)?;
        Ok(ServedStage::new(
            stage.channel("all", channel, ChannelWeight::default())?,
            data,
        ))
    };
    let settings = EngineConfig::new().with_budget(Duration::from_secs(30));
    let engine = RecallEngine::with_loader(load, settings).unwrap();
    let unseen: Vec<String> = (500..ITEMS).map(|item| id(item).to_string()).collect();
    // By the stage's data.
    assert_eq!(ids(&engine.recall("heavy", 1_000).unwrap()), unseen);
    assert_eq!(seen.load(Ordering::SeqCst), 200);
    // By events, the latest of which come first.
    for item in (0..500).rev() {
        let event = Interaction::new("new", id(item), item as f64 + 1.0);
        let observed = engine.observe(&event, &[]).unwrap();
        let kept = if item < 300 {
            Observed::Older
        } else {
            Observed::Taken
        };
        assert_eq!(observed, kept, "{item}");
    }
    let recalled = engine.recall("new", 1_000).unwrap();
    assert_eq!((ids(&recalled), recalled.known), (unseen.clone(), 200));
    engine.reload().unwrap();
    assert_eq!(ids(&engine.recall("new", 1_000).unwrap()), unseen);
    // By the call's own history.
    let request = RecallRequest::for_history((0..500).map(id), 1_000);
    let recalled = engine.recall_for(&request).unwrap();
    assert_eq!((ids(&recalled), recalled.known), (unseen, 200));
    let timed = RecallRequest::for_timed_history((0..500).map(|item| (id(item), 1.0)), 1_000);
    assert_eq!(engine.recall_for(&timed).unwrap().items, recalled.items);
    assert_eq!(seen.load(Ordering::SeqCst), 200);
    let kept = engine.recall_for(&request.seen(Seen::Keep)).unwrap();
    assert_eq!(kept.items.len(), ITEMS);
}

/// A window or a half-life goes by the clock, and one event from a clock that is ahead moves
/// neither.
#[test]
fn an_event_from_a_clock_that_is_ahead_empties_no_window() {
    const HOUR: f64 = 3_600.0;
    let now = TimeUnit::Seconds.now();
    // 61 items within the last half hour, and one that somebody took on a far day.
    let far = Interaction::new("ahead", "far", now + 40.0 * 24.0 * HOUR);
    let log: Interactions = (0..61)
        .map(|item| {
            let time = now - item as f64 * 30.0;
            Interaction::new(item, format!("item {item}"), time)
        })
        .chain([far])
        .collect();
    let dataset = Dataset::new(log, Filters::default()).unwrap();
    let window = PopularityConfig::new().with_window(Some(HOUR));
    let half_life = PopularityConfig::new().with_half_life(Some(HOUR / 4.0));
    let load = move || {
        let data = dataset.training_data();
        let mut plan = StagePlan::new(Fusion::RECIPROCAL_RANK);
        plan.candidates = 100;
        for (name, settings) in [("window", &window), ("half_life", &half_life)] {
            let settings = settings.clone();
            plan = plan.channel(name, settings);
        }
        Ok(ServedStage::new(plan.build(&data.clone().into())?, data))
    };
    let settings = EngineConfig::new().with_budget(Duration::from_secs(30));
    let engine = RecallEngine::with_loader(load, settings).unwrap();
    let scores = |channel: &str| -> Vec<(String, f32)> {
        let recalled = engine.recall("nobody", 100).unwrap();
        let items = recalled.items.iter();
        let of_item = |item: &seqrec::recall::recalled::RecalledItem| {
            let found = item.found.iter().find(|found| &*found.channel == channel)?;
            Some((item.id.to_string(), found.score))
        };
        items.filter_map(of_item).collect()
    };
    assert_eq!(scores("window").len(), 62);
    let ahead = Interaction::new("a wrong clock", "item 60", now + 22.0 * HOUR);
    assert_eq!(engine.observe(&ahead, &[]).unwrap(), Observed::Taken);
    // Lists are put in order again after a number of events.
    for event in 0..255 {
        let interaction = Interaction::new(format!("user {event}"), "item 7", now);
        engine.observe(&interaction, &[]).unwrap();
    }
    let check = || {
        let window = scores("window");
        assert_eq!(window.len(), 62);
        assert_eq!(window[0].0, "item 7", "{:?}", &window[..3]);
        assert!(
            (window[0].1 - 256.0 / 318.0).abs() < 1e-6,
            "{:?}",
            window[0]
        );
        let of_half_life = scores("half_life");
        let wrong = of_half_life.iter().find(|(id, _)| id == "item 60").unwrap();
        assert!(
            wrong.1 < 0.01,
            "one event is not worth more than 255: {wrong:?}"
        );
    };
    check();
    // Neither does one in the data keep events of others from the next stage.
    engine.reload().unwrap();
    check();
}

/// A time that is ahead in the data makes nothing old that its user does from now on.
#[test]
fn a_user_whose_data_are_ahead_of_the_clock_is_served() {
    let now = TimeUnit::Seconds.now();
    let log: Interactions = [
        ("a", now - 9.0),
        ("b", now + 1e6),
        ("c", now - 8.0),
        ("d", now - 7.0),
    ]
    .map(|(item, time)| Interaction::new("anna", item, time))
    .into_iter()
    .collect();
    let dataset = Dataset::new(log, Filters::default()).unwrap();
    let load = move || {
        let data = dataset.training_data();
        let stage = stage().channel("echo", echo(), ChannelWeight::default())?;
        Ok(ServedStage::new(stage, data))
    };
    let settings = EngineConfig::new().with_budget(Duration::from_secs(30));
    let engine = RecallEngine::with_loader(load, settings).unwrap();
    let took = |item: &str, time: f64| {
        engine
            .observe(&Interaction::new("anna", item, time), &[])
            .unwrap()
    };
    assert_eq!(took("a", now), Observed::Taken);
    assert_eq!(took("d", now - 7.0), Observed::Older);
    assert_eq!(took("d", now - 8.5), Observed::Older);
    let request = RecallRequest::for_user("anna", 9).seen(Seen::Keep);
    let recalled = engine.recall_for(&request).unwrap();
    // An item that a channel gives twice is there once; the event is the fourth of five.
    assert_eq!(
        (ids(&recalled), recalled.known),
        (["a", "c", "d", "b"].map(String::from).into(), 5)
    );
}

/// What somebody took is left out, though the data reach beyond it and lack it, and counts once
/// where they have it by now.
#[test]
fn events_that_the_data_lack_or_have_by_now_are_left_out_and_count_once() {
    let now = TimeUnit::Seconds.now().floor();
    let loads = AtomicUsize::new(0);
    let load = move || {
        let later = [("b", now - 50.0), ("d", now + 60.0)];
        let later = &later[..2 * loads.fetch_add(1, Ordering::SeqCst).min(1)];
        let of = |user: &'static str| {
            move |&(item, time): &(&'static str, f64)| Interaction::new(user, item, time)
        };
        let all = ["a", "b", "c", "d"].map(|item| (item, now - 200.0));
        let log: Interactions = (all.iter().map(of("bo")))
            .chain([("a", now - 100.0)].iter().map(of("anna")))
            .chain(later.iter().map(of("anna")))
            .chain([("a", now - 10.0)].iter().map(of("cy")))
            .collect();
        let dataset = Dataset::new(log, Filters::default())?;
        let data = dataset.training_data();
        let all = items(&[1, 2, 3, 4]);
        let stage = stage().channel("all", all, ChannelWeight::default())?;
        Ok(ServedStage::new(stage, data))
    };
    let settings = EngineConfig::new().with_budget(Duration::from_secs(30));
    let engine = RecallEngine::with_loader(load, settings).unwrap();
    let took = |user: &str, item: &str, time: f64| {
        let event = Interaction::new(user, item, time);
        engine.observe(&event, &[]).unwrap()
    };
    let recalled = |user: &str| {
        let recalled = engine.recall(user, 9).unwrap();
        (ids(&recalled).concat(), recalled.known)
    };
    // Older than the end of the data, which have no such thing, and of an item that they have.
    assert_eq!(took("cy", "b", now - 20.0), Observed::Older);
    assert_eq!(took("cy", "a", now - 20.0), Observed::Older);
    assert_eq!(recalled("cy"), ("cd".to_owned(), 1));
    assert_eq!(took("anna", "c", now - 70.0), Observed::Taken);
    assert_eq!(took("anna", "d", now + 60.0), Observed::Taken);
    assert_eq!(recalled("anna"), ("b".to_owned(), 3));
    // Data that go on from then, without the one and with the other, which lies ahead.
    engine.reload().unwrap();
    assert_eq!(recalled("anna"), (String::new(), 3));
    assert_eq!(took("anna", "d", now + 60.0), Observed::Older);
    assert_eq!(recalled("anna"), (String::new(), 3));
    assert_eq!(recalled("cy"), ("cd".to_owned(), 1));
}

/// The features of users are kept in a stage's folder and taken in calls; a model that looks at
/// them is not asked without any.
#[test]
fn users_have_features_in_service() {
    let log = Synthetic::new()
        .with_users(40)
        .with_items(30)
        .generate()
        .unwrap();
    let dataset = Dataset::new(log, Filters::default()).unwrap();
    let kinds: Vec<_> = (0..dataset.users())
        .map(|user| {
            (
                dataset.user_id(user).unwrap().clone(),
                [["even", "odd"][user % 2]],
            )
        })
        .collect();
    let features = Features::from_user_tags(&dataset, kinds);
    let dataset = dataset.with_user_features(features).unwrap();
    let catalog = dataset.catalog().clone();
    let config = TwoTowerConfig::new().with_dim(8).with_user_features(2);
    let device = Default::default();
    let model = config.init::<Flex>(catalog.len(), 1, &device).unwrap();
    let index = FlatIndex::new(item_vectors::<Flex, _>(&model).view()).unwrap();
    let channel = VectorChannel::from_model(model.clone(), index);
    let run = Run::<Flex, _>::new(config.clone(), model.clone(), catalog.clone());
    let data = |dataset: &Dataset| dataset.training_data();
    let plan = StagePlan::new(Fusion::RECIPROCAL_RANK).channel("u2i", VectorChannelConfig::new());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    plan.save(&path, &run.into(), data(&dataset)).unwrap();
    let engine = open(&path).unwrap();
    let found = |request: RecallRequest| -> Vec<(String, f32)> {
        let recalled = engine.recall_for(&request.seen(Seen::Keep)).unwrap();
        let items = recalled.items.iter();
        items
            .map(|item| (item.id.to_string(), item.found[0].score))
            .collect()
    };
    for user in [0, 1] {
        let history = dataset.sequences().items(user);
        let times = dataset.sequences().times(user);
        let judged = |features: &[f32]| -> Vec<(String, f32)> {
            let history = User::with_times(history, times).unwrap().last(200);
            let of = channel
                .recall(&[history.with_features(features)], 5, None)
                .unwrap();
            let id = |item| catalog.id_of(item).unwrap().to_string();
            of.of(0)
                .map(|found| (id(found.item), found.score))
                .collect()
        };
        let own = [[1.0, 0.0], [0.0, 1.0]];
        let (own, other) = (judged(&own[user]), judged(&own[1 - user]));
        assert_ne!(own, other, "features must matter in this test");
        let id = dataset.user_id(user).unwrap();
        assert_eq!(found(RecallRequest::for_user(id.clone(), 5)), own);
        let name = ["odd", "even"][user];
        let request = RecallRequest::for_user(id.clone(), 5).with_features([(name, 1.0)]);
        assert_eq!(found(request), other);
        let history = history
            .iter()
            .map(|&item| catalog.id_of(item).unwrap().clone());
        let request = RecallRequest::for_history(history, 5).with_features([(name, 1.0)]);
        assert_eq!(found(request), other);
    }
    let item = catalog.id_of(ItemIndex::new(1)).unwrap().clone();
    let recalled = engine
        .recall_for(&RecallRequest::for_history([item.clone()], 5))
        .unwrap();
    assert!(
        matches!(outcome(&recalled, "u2i"), Outcome::Failed { reason } if reason.contains("2 features")),
        "{recalled:?}"
    );
    let none: [(&str, f32); 0] = [];
    let request = RecallRequest::for_history([item.clone()], 5).with_features(none);
    assert_eq!(engine.recall_for(&request).unwrap().items.len(), 5);
    let request = RecallRequest::for_history([item], 5).with_features([("od", 1.0)]);
    let refused = engine.recall_for(&request).unwrap_err().to_string();
    assert!(
        refused.contains(r#""od""#) && refused.contains(r#"["even", "odd"]"#),
        "{refused}"
    );
    assert_eq!(engine.statistics().refused, 1);
    // A run of other features than the data's is told when it is saved.
    let bare = Run::<Flex, _>::new(
        config.clone(),
        model.clone(),
        Catalog::from_ids(catalog.ids().cloned()).unwrap(),
    );
    let refused = plan.save(&path, &bare.into(), data(&dataset)).unwrap_err();
    assert!(
        refused.to_string().contains("user features of the model"),
        "{refused}"
    );
}

/// Whether a model and a stage's data go together is said by what the model looks at, when they are
/// put together.
#[test]
fn models_that_look_at_features_need_data_that_name_them_and_others_do_not() {
    let device = Default::default();
    let log = || {
        Synthetic::new()
            .with_users(40)
            .with_items(30)
            .generate()
            .unwrap()
    };
    let plain = Dataset::new(log(), Filters::default()).unwrap();
    let kinds = (0..plain.users()).map(|user| {
        let id = plain.user_id(user).unwrap().clone();
        (id, [["even", "odd"][user % 2]])
    });
    let features = Features::from_user_tags(&plain, kinds);
    let with = Dataset::new(log(), Filters::default()).unwrap();
    let with = with.with_user_features(features).unwrap();
    let data = |dataset: &Dataset| StageData::from(dataset.training_data());
    let plan = StagePlan::new(Fusion::RECIPROCAL_RANK).channel("u2i", VectorChannelConfig::new());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");

    // It looks at two, and its catalog and the data name none.
    let config = TwoTowerConfig::new().with_dim(8).with_user_features(2);
    let items = plain.catalog().len();
    let model = config.init::<Flex>(items, 1, &device).unwrap();
    let run =
        |catalog: &Catalog| Run::<Flex, _>::new(config.clone(), model.clone(), catalog.clone());
    let bare = run(plain.catalog());
    let refused = |refused: Result<(), Error>| {
        let text = refused.unwrap_err().to_string();
        assert!(
            text.contains("2 features") && text.contains("anew"),
            "{text}"
        );
    };
    refused(plan.save(&path, &bare.into(), data(&plain)));
    let of_run = || Recaller::from(run(plain.catalog()));
    refused(data(&plain).with_model(of_run()).map(drop));
    refused(data(&plain).with_further_model("other", of_run()).map(drop));
    data(&with).with_model(of_run()).unwrap();
    // So does a folder of before there were names, when it is opened.
    plan.save(&path, &run(with.catalog()).into(), data(&with))
        .unwrap();
    ServedStage::load::<Flex>(&path, &device).unwrap();
    let file = |name: &str| path.join("v000001").join(name);
    let files = [
        file("catalog.json"),
        file("model.json"),
        file("stage.json"),
        path.join("run.json"),
    ];
    let mut texts = files
        .clone()
        .map(|file| std::fs::read_to_string(file).unwrap());
    let whole = texts.clone();
    let names = ",\"user_features\":[\"even\",\"odd\"]";
    assert!(texts[0].contains(names), "{}", texts[0]);
    texts[0] = texts[0].replace(names, "");
    texts[2] = texts[2].replace("\"user_features\": true", "\"user_features\": false");
    let checksum = |text: &str| crc32fast::hash(text.as_bytes()).to_string();
    for place in 0..4 {
        // Each file has the checksums of those before it.
        for before in 0..place {
            let (was, is) = (checksum(&whole[before]), checksum(&texts[before]));
            texts[place] = texts[place].replace(&was, &is);
        }
        std::fs::write(&files[place], &texts[place]).unwrap();
    }
    refused(ServedStage::load::<Flex>(&path, &device).map(drop));

    // It looks at none, whatever its split had.
    let config = Gru4RecConfig::new().with_dim(8);
    let model = config.init::<Flex>(items, 1, &device).unwrap();
    let gru = || Run::<Flex, _>::new(config.clone(), model.clone(), with.catalog().clone());
    let further = Recaller::from(gru());
    let data = data(&plain).with_further_model("other", further).unwrap();
    plan.save(&path, &gru().into(), data).unwrap();
    let served = ServedStage::load::<Flex>(&path, &device).unwrap();
    assert!(served.data().catalog().user_features().is_empty());
}

/// A stage of which nothing can come is refused when it is planned, opened or loaded again.
#[test]
fn stages_of_nothing_are_refused() {
    let silent = ChannelWeight::new().with_weight(0.0);
    let loads = Arc::new(AtomicUsize::new(0));
    let load = |silent_from: usize| {
        let loads = loads.clone();
        move || {
            let weighs = loads.fetch_add(1, Ordering::SeqCst) < silent_from;
            let share = if weighs { ChannelWeight::new() } else { silent };
            let stage = stage().channel("popular", items(&[1]), share)?;
            Ok(ServedStage::new(stage, data()))
        }
    };
    let engine = RecallEngine::with_loader(load(1), EngineConfig::default()).unwrap();
    let refused = engine.reload().unwrap_err().to_string();
    assert!(refused.contains("weight is 0"), "{refused}");
    assert_eq!(ids(&engine.recall("nobody", 1).unwrap()), ["a"]);
    assert!(RecallEngine::with_loader(load(0), EngineConfig::default()).is_err());
    let mut plan = StagePlan::new(Fusion::RECIPROCAL_RANK).channel("x", MarkovChainConfig::new());
    plan.channels[0].share = silent;
    let json = serde_json::to_string(&plan).unwrap();
    let plan: StagePlan = serde_json::from_str(&json).unwrap();
    let refused = plan.build(&data().into()).unwrap_err();
    assert!(
        matches!(
            refused.kind(),
            ErrorKind::InvalidValue {
                field: "weight",
                ..
            }
        ),
        "{refused}"
    );
    let nothing = StagePlan::new(Fusion::RoundRobin).build(&data().into());
    assert!(
        matches!(
            nothing.as_ref().map_err(Error::kind),
            Err(ErrorKind::NothingLeft { .. })
        ),
        "{nothing:?}"
    );
}

/// A stage whose data have these times, and an engine of it.
fn engine_with_times(unit: f64) -> RecallEngine {
    let log: Interactions = [
        ("anna", "a", 1.6e9),
        ("anna", "b", 1.61e9),
        ("bo", "c", 1.62e9),
    ]
    .into_iter()
    .map(|(user, item, seconds)| Interaction::new(user, item, seconds * unit))
    .collect();
    let dataset = Dataset::new(log, Filters::default()).unwrap();
    let load = move || {
        let data = dataset.training_data();
        let stage = stage().channel("echo", echo(), ChannelWeight::default())?;
        Ok(ServedStage::new(stage, data))
    };
    RecallEngine::with_loader(load, EngineConfig::default()).unwrap()
}

/// The data's own times are in their unit, though they begin before what its numbers are told by.
#[test]
fn times_like_the_datas_earliest_are_taken() {
    let log: Interactions = [("a", 3e7), ("b", 9e7), ("c", 2e8), ("a", 9e8), ("b", 1.5e9)]
        .map(|(item, time)| Interaction::new("anna", item, time))
        .into_iter()
        .collect();
    let dataset = Dataset::new(log, Filters::default()).unwrap();
    let load = move || {
        let data = dataset.training_data();
        let stage = stage().channel("echo", echo(), ChannelWeight::default())?;
        Ok(ServedStage::new(stage, data))
    };
    let engine = RecallEngine::with_loader(load, EngineConfig::default()).unwrap();
    assert_eq!(engine.time_unit(), TimeUnit::Seconds);
    let ask = |time: f64| {
        let history = [("a", time), ("b", 1e9)];
        engine.recall_for(&RecallRequest::for_timed_history(history, 2))
    };
    for time in [3e7, 4e7, 5e8] {
        assert!(ask(time).is_ok(), "{time}");
    }
    assert!(ask(2e7).is_err());
    let event = Interaction::new("new", "c", 9e7);
    assert_eq!(engine.observe(&event, &[]).unwrap(), Observed::Taken);
}

/// An event counts from the next call on, or is refused: never accepted and then ignored.
#[test]
fn events_in_the_datas_unit_of_time_count_and_others_are_refused() {
    for (unit, name) in [
        (1.0, "in seconds"),
        (1e3, "in milliseconds"),
        (1e6, "in microseconds"),
    ] {
        let engine = engine_with_times(unit);
        let known = || {
            let request = RecallRequest::for_user("anna", 9).seen(Seen::Keep);
            engine.recall_for(&request).unwrap().known
        };
        let now = engine.time_unit().now();
        let observe = |time| engine.observe(&Interaction::new("anna", "c", time), &[]);
        assert_eq!(known(), 2);
        assert_eq!(observe(now).unwrap(), Observed::Taken);
        assert_eq!(known(), 3);
        for other in [1e-6, 1e-3, 1e3, 1e6] {
            let reason = observe(now * other).unwrap_err().to_string();
            assert!(reason.contains(name), "{reason}");
        }
        // Far ahead of the clock, though in the right unit.
        let reason = observe(now + 2.0 * 86_400.0 * unit)
            .unwrap_err()
            .to_string();
        assert!(
            reason.contains("future") && reason.contains(name),
            "{reason}"
        );
        for time in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(observe(time).is_err());
        }
        let infinite = Interaction::new("anna", "c", now).with_value(f32::INFINITY);
        assert!(engine.observe(&infinite, &[]).is_err());
        let request = RecallRequest::for_user("anna", 9).at(now * 1e3);
        assert!(
            engine
                .recall_for(&request)
                .unwrap_err()
                .to_string()
                .contains(name)
        );
        // The year 3000 has the size of the unit, and can't be meant.
        let request = RecallRequest::for_user("anna", 9).at(32_503_680_000.0 * unit);
        let refused = engine.recall_for(&request).unwrap_err().to_string();
        assert!(refused.contains(name), "{refused}");
        let timed = RecallRequest::for_timed_history([("a", now / 1e3)], 9);
        assert!(
            engine
                .recall_for(&timed)
                .unwrap_err()
                .to_string()
                .contains(name)
        );
        assert_eq!(known(), 3);
        // A batch with one that can't be right is refused as a whole.
        let event = |item, time| (Interaction::new("bo", item, time), Vec::new());
        let batch = [event("a", now), event("b", now * 1e3)];
        let reason = engine.observe_all(&batch).unwrap_err().to_string();
        assert!(reason.contains("event 1"), "{reason}");
        let request = RecallRequest::for_user("bo", 9).seen(Seen::Keep);
        assert_eq!(engine.recall_for(&request).unwrap().known, 1);
        assert_eq!(engine.observe_all(&batch[..1]).unwrap(), [Observed::Taken]);
        assert_eq!(engine.recall_for(&request).unwrap().known, 2);
    }
}

/// A rule for diversity and a fallback that never end, or panic, hold no call up.
#[test]
fn selections_and_fallbacks_have_a_budget() {
    struct Rule(Arc<AtomicBool>, bool);
    impl Selection for Rule {
        fn select(&self, candidates: &[Candidate], k: usize) -> Vec<usize> {
            assert!(!self.1, "in its test");
            while self.0.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(1));
            }
            // One place is no candidate's.
            (0..candidates.len().min(k)).rev().chain([99]).collect()
        }
    }
    for panics in [false, true] {
        let held = Arc::new(AtomicBool::new(true));
        let hold = held.clone();
        let settings = EngineConfig::new()
            .with_threads(2)
            .with_budget(Duration::from_millis(200));
        let load = move || {
            let (hold, rule) = (hold.clone(), hold.clone());
            let endless = Told(Arc::new(move |_| {
                assert!(!panics, "in its test");
                while hold.load(Ordering::SeqCst) {
                    std::thread::sleep(Duration::from_millis(1));
                }
                Ok(vec![ItemIndex::new(4)])
            }));
            let stage = stage().channel("good", items(&[1, 2]), ChannelWeight::default())?;
            let stage = stage.budget("good", Duration::from_secs(30))?;
            let stage = stage.selection(Rule(rule, panics)).fallback(endless);
            Ok(ServedStage::new(stage, data()))
        };
        let engine = RecallEngine::with_loader(load, settings).unwrap();
        let recalled = engine.recall("nobody", 5).unwrap();
        assert_eq!(ids(&recalled), ["a", "b"]);
        for name in ["selection", "fallback"] {
            let outcome = outcome(&recalled, name);
            let expected = matches!(outcome, Outcome::Failed { .. }) == panics
                && matches!(outcome, Outcome::Late) != panics;
            assert!(expected, "{name}: {outcome:?}");
        }
        held.store(false, Ordering::SeqCst);
        if !panics {
            wait_until("both come back", || {
                ids(&engine.recall("nobody", 5).unwrap()) == ["b", "a", "d"]
            });
        }
    }
}

#[test]
fn a_reload_forgets_channels_and_refuses_another_unit_of_time() {
    let loads = Arc::new(AtomicUsize::new(0));
    let load = move || {
        let number = loads.fetch_add(1, Ordering::SeqCst);
        let stage = stage().channel(
            format!("channel {number}"),
            items(&[1]),
            ChannelWeight::default(),
        )?;
        let data = if number == 2 {
            data().with_time_unit(TimeUnit::Milliseconds)
        } else {
            data()
        };
        Ok(ServedStage::new(stage, data))
    };
    let engine = RecallEngine::with_loader(load, EngineConfig::default()).unwrap();
    engine.recall("nobody", 1).unwrap();
    engine.reload().unwrap();
    let names = || -> Vec<String> {
        let channels = engine.statistics().channels;
        channels.keys().map(|name| name.to_string()).collect()
    };
    assert_eq!(names(), ["channel 1", "fallback", "selection"]);
    assert!(
        engine
            .reload()
            .unwrap_err()
            .to_string()
            .contains("milliseconds")
    );
    assert_eq!((engine.statistics().version, names().len()), (2, 3));
    engine.reload().unwrap();
    assert_eq!(names(), ["channel 3", "fallback", "selection"]);
}

#[test]
fn ids_as_long_as_the_datas_are_served_and_room_is_made_as_users_come() {
    let long = "x".repeat(2_000);
    let log: Interactions = [("u", long.as_str()), ("u", "b"), (long.as_str(), "b")]
        .into_iter()
        .enumerate()
        .map(|(time, (user, item))| Interaction::new(user, item, time as f64))
        .collect();
    let dataset = Dataset::new(log, Filters::default()).unwrap();
    let load = move || {
        let data = dataset.training_data();
        let stage = stage().channel("echo", echo(), ChannelWeight::default())?;
        Ok(ServedStage::new(stage, data))
    };
    let settings = EngineConfig::new()
        .with_users(usize::MAX)
        .with_budget(Duration::MAX);
    let engine = RecallEngine::with_loader(load, settings).unwrap();
    assert_eq!(engine.recall(long.as_str(), 5).unwrap().known, 1);
    let request = RecallRequest::for_history([long.as_str()], 5).seen(Seen::Keep);
    assert_eq!(ids(&engine.recall_for(&request).unwrap()), [long.as_str()]);
    let event = Interaction::new("u", long.as_str(), 50.0);
    assert_eq!(engine.observe(&event, &[]).unwrap(), Observed::Taken);
    assert!(engine.recall("x".repeat(2_001), 5).is_err());
}

#[test]
fn what_is_asked_for_is_bounded() {
    let engine = engine_of(|| {
        stage()
            .channel("echo", echo(), ChannelWeight::default())
            .unwrap()
    });
    let field =
        |request: RecallRequest| match engine.recall_for(&request).as_ref().map_err(Error::kind) {
            Err(&ErrorKind::InvalidValue { field, .. }) => field,
            other => panic!("{other:?}"),
        };
    let of = |k| RecallRequest::for_user("anna", k);
    assert_eq!(field(of(0)), "k");
    assert_eq!(field(of(1_001)), "k");
    assert_eq!(field(of(usize::MAX)), "k");
    assert_eq!(field(RecallRequest::for_user("x".repeat(257), 5)), "user");
    // As many as channels see, and as many as are only left out.
    assert!(
        engine
            .recall_for(&RecallRequest::for_history(vec!["a"; 2_200], 5))
            .is_ok()
    );
    assert_eq!(
        field(RecallRequest::for_history(vec!["a"; 2_201], 5)),
        "history"
    );
    assert_eq!(
        field(RecallRequest::for_history(["x".repeat(257)], 5)),
        "history"
    );
    assert_eq!(field(of(5).blocked(vec![1; 1_001])), "blocked");
    assert_eq!(field(of(5).in_segments(vec!["s"; 17])), "segments");
    assert_eq!(field(of(5).at(f64::NAN)), "now");
    assert_eq!(engine.statistics().refused, 9);
    let refused =
        |interaction: Interaction| engine.observe(&interaction, &[]).unwrap_err().to_string();
    assert!(refused(Interaction::new("anna", "a", f64::INFINITY)).contains("time"));
    assert!(refused(Interaction::new("x".repeat(300), "a", 1.0)).contains("user"));
    assert!(refused(Interaction::new("anna", "x".repeat(300), 1.0)).contains("item"));
    let event = "x".repeat(300);
    assert!(refused(Interaction::new("anna", "a", 1.0).with_event(event)).contains("event"));
    assert_eq!(engine.statistics().users, 0);
    for settings in [
        EngineConfig::new().with_threads(0),
        EngineConfig::new().with_history(0),
        EngineConfig::new().with_users(0),
    ] {
        let load = || Ok(ServedStage::new(stage(), data()));
        assert!(RecallEngine::with_loader(load, settings).is_err());
    }
}

#[test]
fn histories_segments_and_filters_are_the_requests() {
    let segments = Told(Arc::new(|user: User<'_>| {
        Ok((1..=user.segments().len() as u32)
            .map(ItemIndex::new)
            .collect())
    }));
    let engine = engine_of(move || {
        let stage = stage().channel("echo", echo(), ChannelWeight::default());
        stage
            .and_then(|stage| stage.channel("segments", segments.clone(), ChannelWeight::default()))
            .unwrap()
    });
    let recalled = |request: RecallRequest| engine.recall_for(&request).unwrap();
    let request = RecallRequest::for_history(["d", "nobody's", "c"], 9).seen(Seen::Keep);
    let answer = recalled(request.clone());
    assert_eq!(
        (ids(&answer), answer.known, answer.unknown),
        (vec!["d".into(), "c".into()], 2, 1)
    );
    assert_eq!(ids(&recalled(request.clone().blocked(["d"]))), ["c"]);
    assert_eq!(
        ids(&recalled(
            request.clone().filter(|id| id.to_string() != "c")
        )),
        ["d"]
    );
    assert!(
        recalled(request.clone().filter(|_| panic!("in its test")))
            .items
            .is_empty()
    );
    let in_segments = recalled(RecallRequest::for_user("new", 9).in_segments(["x", "y"]));
    assert_eq!(ids(&in_segments), ["a", "b"]);
    // Segments that come with an event are remembered.
    engine
        .observe(&Interaction::new("new", "d", 9.0), &["x".to_owned()])
        .unwrap();
    assert_eq!(ids(&engine.recall("new", 9).unwrap()), ["a"]);
}

/// A stage whose items and scores all say which one it is.
fn numbered(number: usize) -> ServedStage {
    let log: Interactions = (0..20)
        .map(|item| Interaction::new("anna", format!("{number}-{item}"), f64::from(item)))
        .collect();
    let dataset = Dataset::new(log, Filters::default()).unwrap();
    let data = dataset.training_data();
    let channel = || {
        Told(Arc::new(move |_| {
            std::thread::yield_now();
            Ok((1..=20).map(ItemIndex::new).collect())
        }))
    };
    let stage = RecallStage::new(
        Fusion::ReciprocalRank {
            constant: number as f64,
        },
        20,
    )
    .and_then(|stage| stage.channel(format!("x{number}"), channel(), ChannelWeight::default()))
    .and_then(|stage| stage.channel(format!("y{number}"), channel(), ChannelWeight::default()))
    .unwrap();
    ServedStage::new(stage, data)
}

#[test]
fn no_call_sees_half_of_two_stages() {
    let loaded = AtomicUsize::new(0);
    let load = move || match loaded.fetch_add(1, Ordering::SeqCst) + 1 {
        // Every fifth fails, and changes nothing.
        number if number % 5 == 0 => Err(ErrorKind::NothingLeft {
            reason: "on purpose".into(),
        }
        .into()),
        number => Ok(numbered(number)),
    };
    let settings = EngineConfig::new()
        .with_budget(Duration::from_secs(30))
        .with_threads(2);
    let engine = RecallEngine::with_loader(load, settings).unwrap();
    let done = AtomicBool::new(false);
    let versions = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut last = 0;
                while !done.load(Ordering::SeqCst) {
                    let request = RecallRequest::for_user("anna", 20).seen(Seen::Keep);
                    let recalled = engine.recall_for(&request).unwrap();
                    assert_eq!(recalled.items.len(), 20);
                    let number: usize = recalled.channels[0].name[1..].parse().unwrap();
                    for item in &recalled.items {
                        assert!(
                            item.id.to_string().starts_with(&format!("{number}-")),
                            "{item:?}"
                        );
                        assert_eq!(item.found.len(), 2);
                        for found in &item.found {
                            assert_eq!(found.channel[1..], number.to_string());
                        }
                        let score = 2.0 / (number as f32 + item.found[0].rank as f32);
                        assert!((item.score - score).abs() < 1e-5, "{item:?}");
                    }
                    assert!(recalled.version >= last, "an older stage came back");
                    last = recalled.version;
                }
                versions.lock().unwrap().push(last);
            });
        }
        scope.spawn(|| {
            let mut time = 100.0;
            while !done.load(Ordering::SeqCst) {
                time += 1.0;
                engine
                    .observe(&Interaction::new("anna", "1-3", time), &[])
                    .unwrap();
                std::thread::yield_now();
            }
        });
        let mut failed = 0;
        for _ in 0..100 {
            failed += u64::from(engine.reload().is_err());
            std::thread::sleep(Duration::from_millis(2));
        }
        done.store(true, Ordering::SeqCst);
        assert_eq!(failed, 20);
    });
    let statistics = engine.statistics();
    assert_eq!(
        (
            statistics.reloads,
            statistics.failed_reloads,
            statistics.version
        ),
        (80, 20, 81)
    );
    assert!(
        versions
            .into_inner()
            .unwrap()
            .iter()
            .all(|&version| version > 1)
    );
    assert!(
        statistics
            .channels
            .values()
            .all(|channel| channel.late + channel.failed == 0)
    );
}

#[test]
fn near_line_channels_hear_of_events_and_of_those_before_a_reload() {
    let engine = engine_of(|| {
        let popular = Popularity::new(data().catalog());
        stage()
            .channel("popular", popular, ChannelWeight::default())
            .unwrap()
    });
    let first = |engine: &RecallEngine| ids(&engine.recall("nobody", 4).unwrap())[0].clone();
    assert_eq!(first(&engine), "a");
    // Lists are put in order again after a number of events.
    for event in 0..256 {
        let interaction = Interaction::new(event, "d", 100.0 + event as f64);
        engine.observe(&interaction, &[]).unwrap();
    }
    assert_eq!(first(&engine), "d");
    engine.reload().unwrap();
    assert_eq!(first(&engine), "d");
}

/// A run folder with a model and every kind of channel, as users of the crate save it.
fn save(path: &Path, seed: u64) -> Catalog {
    save_plan(path, seed, &plan())
}

fn save_plan(path: &Path, seed: u64, plan: &StagePlan) -> Catalog {
    let (model, data) = model_and_data(seed);
    let catalog = data.catalog().clone();
    plan.save(path, &model, data).unwrap();
    catalog
}

fn model_and_data(seed: u64) -> (Recaller, TrainingData) {
    let log = Synthetic::new()
        .with_users(60)
        .with_items(80)
        .with_mean_per_user(30)
        // Each with items that a user has not had.
        .with_genres(4);
    let dataset = Dataset::new(log.generate().unwrap(), Filters::default()).unwrap();
    let movies = log.movies().unwrap();
    let features = movies.features(dataset.catalog(), &["genres"]).unwrap();
    let vectors = ndarray::Array2::from_shape_fn((movies.len(), 5), |(row, place)| {
        (row % (place + 2)) as f32
    });
    let ids = movies.ids().cloned();
    let features = features.with_vectors("text", dataset.catalog(), ids, vectors.view());
    let dataset = dataset.with_item_features(features.unwrap()).unwrap();
    let catalog = dataset.catalog().clone();
    let config = Gru4RecConfig::new().with_dim(8);
    let model = config
        .init::<Flex>(catalog.len(), seed, &Default::default())
        .unwrap();
    let run = Run::<Flex, _>::new(config, model, catalog.clone());
    let tags = catalog.ids().map(|id| {
        let genres = movies.labels(id, "genres").unwrap();
        (id.clone(), [format!("genre {}", genres[0])])
    });
    let tags = Features::from_item_tags(&catalog, tags);
    let data = dataset.training_data();
    let segments = (0..data.sequences().len()).map(|user| vec![format!("part {}", user % 2)]);
    let segments = segments.collect();
    let data = data
        .with_tags(tags)
        .and_then(|data| data.with_segments(segments))
        .unwrap();
    (run.into(), data)
}

fn plan() -> StagePlan {
    let start = HistoryItems::last(20).unwrap();
    let popular = PopularityConfig::new();
    let plan = StagePlan::new(Fusion::RECIPROCAL_RANK)
        .channel("popular", popular.clone())
        .channel("segment", popular.clone().with_by_segment(true))
        .channel("markov", MarkovChainConfig::new())
        .channel("item_cf", ItemNeighborsConfig::new().with_start(start))
        .channel("user_cf", SimilarUsersConfig::new().with_start(start))
        .channel("sessions", SessionKnnConfig::new())
        .channel("mf", AlsConfig::new().with_dim(8))
        .channel("u2i", VectorChannelConfig::new())
        .channel(
            "i2i",
            NearestItemsConfig::new()
                .with_start(start)
                .with_neighbors(20),
        )
        .channel(
            "u2u2i",
            NearestUsersConfig::new()
                .with_neighbors(10)
                .with_held_back(2),
        )
        .channel(
            "u2tag2i",
            PreferredTagsConfig::new()
                .with_start(start)
                .with_tags(2)
                .with_items(20),
        )
        .channel("bpr", BprConfig::new().with_dim(4).with_epochs(3))
        .channel("content", ContentNeighborsConfig::new().with_start(start))
        .channel(
            "content_text",
            ContentNeighborsConfig::new().with_by(Content::Vectors("text".to_owned())),
        )
        .fallback(popular);
    #[cfg(feature = "ease")]
    let plan = plan.channel("ease", seqrec::channels::EaseConfig::new());
    let mut plan = plan;
    plan.channels[7].budget_milliseconds = Some(20_000.0);
    plan.selections = vec![
        PlannedSelection::TagCap { most: 9 },
        PlannedSelection::MaximalMarginalRelevance { relevance: 0.9 },
    ];
    plan
}

fn open(path: &Path) -> seqrec::Result<RecallEngine> {
    let settings = EngineConfig::new().with_budget(Duration::from_secs(30));
    RecallEngine::open::<Flex>(path, Default::default(), settings)
}

#[test]
fn a_run_folder_serves_and_is_loaded_again() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("run");
    let catalog = save(&path, 1);
    let engine = open(&path).unwrap();
    let recalled = engine.recall(3, 20).unwrap();
    assert_eq!(recalled.items.len(), 20);
    for report in &recalled.channels {
        let answered = matches!(
            report.outcome,
            Outcome::Answered {
                candidates: 1..,
                ..
            }
        );
        assert!(answered, "{report:?}");
    }
    assert!(
        recalled
            .items
            .iter()
            .all(|item| catalog.index_of(&item.id).is_some())
    );
    let because: Vec<&Because> = recalled
        .items
        .iter()
        .flat_map(|item| &item.found)
        .map(|found| &found.because)
        .collect();
    assert!(
        because
            .iter()
            .any(|because| matches!(because, Because::Item { .. }))
    );
    assert!(
        because
            .iter()
            .any(|because| matches!(because, Because::Tag(tag) if tag.starts_with("genre ")))
    );
    assert!(
        because
            .iter()
            .any(|because| matches!(because, Because::Segment(part) if part.starts_with("part ")))
    );
    assert!(because.contains(&&Because::SimilarUser) && because.contains(&&Because::Taste));
    // A new engine gives the same, and so does the same folder loaded again.
    let list = |engine: &RecallEngine| engine.recall(3, 20).unwrap().items;
    assert_eq!(list(&open(&path).unwrap()), recalled.items);
    engine.reload().unwrap();
    assert_eq!(list(&engine), recalled.items);

    // A folder that vanishes leaves the old stage serving, and the failure is told and counted.
    let aside = home.path().join("aside");
    std::fs::rename(&path, &aside).unwrap();
    assert!(matches!(
        engine.reload().as_ref().map_err(Error::kind),
        Err(ErrorKind::Io { .. })
    ));
    assert_eq!(list(&engine), recalled.items);
    assert_eq!(engine.statistics().failed_reloads, 1);
    std::fs::rename(&aside, &path).unwrap();

    // Another model is taken up.
    save(&path, 2);
    engine.reload().unwrap();
    assert_ne!(list(&engine), recalled.items);
    assert_eq!(engine.statistics().version, 3);
    assert!(matches!(
        open(&home.path().join("nowhere"))
            .as_ref()
            .map_err(Error::kind),
        Err(ErrorKind::Io { .. })
    ));
}

/// What a folder keeps of a channel is what was made of it, for every kind.
#[test]
fn every_channel_recalls_the_same_as_built_and_as_loaded() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("run");
    let (model, data) = model_and_data(1);
    let plan = plan();
    plan.save(&path, &model, data.clone()).unwrap();
    let served = ServedStage::load::<Flex>(&path, &Default::default()).unwrap();
    let built = StageData::from(data).with_model(model).unwrap();
    let built = plan.build(&built).unwrap();
    let segments = ["part 0".to_owned()];
    let sequences = served.data().sequences();
    let users = (0..20).map(|user| sequences.history(user).in_segments(&segments));
    let users: Vec<User<'_>> = users.collect();
    let found = served.stage().recall_fused(&users, 60, None).unwrap();
    assert_eq!(found, built.recall_fused(&users, 60, None).unwrap());
    let said: std::collections::HashSet<&str> = (found.iter().flatten())
        .flat_map(|fused| &fused.found)
        .map(|found| built.name(found.channel))
        .collect();
    let silent: Vec<&str> = built.names().filter(|name| !said.contains(name)).collect();
    assert!(silent.is_empty(), "{silent:?} say nothing");
}

#[test]
fn damaged_and_mixed_folders_are_told() {
    let home = tempfile::tempdir().unwrap();
    let (path, other) = (home.path().join("run"), home.path().join("other"));
    save(&path, 1);
    save(&other, 2);
    let version = path.join("v000001");
    let alter = |name: &str, change: &dyn Fn(Vec<u8>) -> Vec<u8>| {
        let file = version.join(name);
        let whole = std::fs::read(&file).unwrap();
        std::fs::write(&file, change(whole.clone())).unwrap();
        let opened = open(&path);
        std::fs::write(&file, whole).unwrap();
        opened
            .err()
            .unwrap_or_else(|| panic!("{name} is taken for whole"))
    };
    for name in [
        "stage.json",
        "segments.json",
        "sequences.store",
        "stage.safetensors",
        "weights.safetensors",
        // Of the channels u2i, i2i and u2u2i.
        "channel-7.index",
        "channel-8.index",
        "channel-9.index",
    ] {
        let cut = alter(name, &|whole| whole[..whole.len() / 2].to_vec());
        assert!(
            matches!(cut.kind(), ErrorKind::Damaged { path, .. } if path.ends_with(name)),
            "{cut}"
        );
        let flipped = alter(name, &|mut whole| {
            let middle = whole.len() / 2;
            whole[middle] ^= 1;
            whole
        });
        assert!(
            matches!(flipped.kind(), ErrorKind::Damaged { .. }),
            "{flipped}"
        );
    }
    // Weights of one run beside the manifest of another.
    let weights = std::fs::read(other.join("v000001/weights.safetensors")).unwrap();
    assert!(matches!(
        alter("weights.safetensors", &|_| weights.clone()).kind(),
        ErrorKind::Damaged { .. }
    ));
    // An index of another run, or of another channel.
    for index in [
        other.join("v000001/channel-7.index"),
        version.join("channel-8.index"),
    ] {
        let index = std::fs::read(index).unwrap();
        let mixed = alter("channel-7.index", &|_| index.clone());
        assert!(
            matches!(mixed.kind(), ErrorKind::OtherCatalog { .. }),
            "{mixed}"
        );
    }
    // A whole stage of another run, or a whole model.
    let with = |names: &[&str]| {
        let files: Vec<_> = names.iter().map(|name| version.join(name)).collect();
        let whole: Vec<_> = files
            .iter()
            .map(|file| std::fs::read(file).unwrap())
            .collect();
        for name in names {
            std::fs::copy(other.join("v000001").join(name), version.join(name)).unwrap();
        }
        let error = open(&path).unwrap_err();
        for (file, whole) in files.iter().zip(whole) {
            std::fs::write(file, whole).unwrap();
        }
        error
    };
    for names in [
        &[
            "stage.json",
            "segments.json",
            "sequences.store",
            "stage.safetensors",
        ][..],
        &[
            "model.json",
            "config.json",
            "catalog.json",
            "weights.safetensors",
        ],
    ] {
        let mixed = with(names);
        assert!(
            matches!(mixed.kind(), ErrorKind::Damaged { path, .. } if path.ends_with(names[0])),
            "{mixed}"
        );
    }
    // A later build's stage, with a pointer that has its checksum.
    let (stage, pointer) = (version.join("stage.json"), path.join("run.json"));
    let text = |file: &std::path::Path| std::fs::read_to_string(file).unwrap();
    let whole = [&stage, &pointer].map(|file| text(file));
    let later = whole[0].replacen(&format_version(&whole[0]), "\"format_version\": 99", 1);
    let checksum = |text: &str| crc32fast::hash(text.as_bytes()).to_string();
    let pointed = whole[1].replacen(&checksum(&whole[0]), &checksum(&later), 1);
    std::fs::write(&stage, &later).unwrap();
    std::fs::write(&pointer, &pointed).unwrap();
    let refused = open(&path).unwrap_err();
    assert!(
        matches!(refused.kind(), ErrorKind::FormatVersion { found: 99, .. }),
        "{refused}"
    );
    std::fs::write(&stage, &whole[0]).unwrap();
    std::fs::write(&pointer, &whole[1]).unwrap();
    // A stage that is gone, and a run that never had one.
    std::fs::remove_file(&stage).unwrap();
    assert!(
        matches!(open(&path).unwrap_err().kind(), ErrorKind::Io { path, .. } if *path == stage)
    );
    let plain = home.path().join("plain");
    let config = Gru4RecConfig::new().with_dim(4);
    let catalog = Catalog::from_ids(["a", "b"].map(Into::into)).unwrap();
    let model = config.init::<Flex>(2, 1, &Default::default()).unwrap();
    let run = Run::<Flex, _>::new(config, model, catalog);
    run.save(&plain).unwrap();
    let without = open(&plain).unwrap_err().to_string();
    assert!(without.contains("a model without a stage"), "{without}");
}

#[test]
fn graphs_are_measured_once_and_opened_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let flat = folder.path().join("flat");
    save(&flat, 1);
    let load = |path: &std::path::Path| ServedStage::load::<Flex>(path, &Default::default());
    let stage = load(&flat).unwrap();
    let names: Vec<_> = stage.stage().indexes().collect();
    assert_eq!(names.len(), 3);
    assert!((names.iter()).all(|(_, index)| index.ef_search.is_none() && !index.gave_up));

    let path = folder.path().join("graphs");
    let mut graphs = plan();
    graphs.index = IndexPlan::new()
        .with_exact_up_to(0)
        .with_graph(HnswConfig::new().with_m(4));
    save_plan(&path, 1, &graphs);
    let stage = load(&path).unwrap();
    let (name, index) = stage.stage().indexes().next().unwrap();
    assert_eq!(name, "u2i");
    assert!(
        index.recall >= 0.98 && (index.ef_search.is_some() || index.gave_up),
        "{index}"
    );
    assert_eq!(stage.data().catalog().len(), index.vectors);
    // The plan is kept with its settings, and one written before there were any still is a plan.
    let json = std::fs::read(path.join("v000001/stage.json")).unwrap();
    let mut json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(json["plan"]["index"]["exact_up_to"], 0);
    json["plan"].as_object_mut().unwrap().remove("index");
    let old: StagePlan = serde_json::from_value(json["plan"].clone()).unwrap();
    assert_eq!(old.index, IndexPlan::default());
}

#[test]
fn plans_that_cannot_be_are_errors() {
    let lacks = |config: &dyn ChannelConfig| {
        let data = data();
        let built = config.build(&mut ChannelSource::new(&data));
        built.err().unwrap().to_string()
    };
    assert!(lacks(&VectorChannelConfig::new()).contains("a model"));
    assert!(lacks(&PreferredTagsConfig::new()).contains("tags"));
    let mut twice = StagePlan::new(Fusion::RoundRobin);
    twice.channels = vec![PlannedChannel::new("x", MarkovChainConfig::new()); 2];
    assert!(
        twice
            .build(&data().into())
            .unwrap_err()
            .to_string()
            .contains("another channel")
    );
    let mut negative = StagePlan::new(Fusion::RoundRobin).channel("x", MarkovChainConfig::new());
    negative.channels[0].budget_milliseconds = Some(-1.0);
    assert!(negative.build(&data().into()).is_err());
    let json = serde_json::to_string(&plan()).unwrap();
    let read = serde_json::from_str::<StagePlan>(&json).unwrap();
    assert_eq!(serde_json::to_string(&read).unwrap(), json);
    assert_eq!(format!("{read:?}"), format!("{:?}", plan()));
    let refused = |from: &str, to: &str| {
        assert!(json.contains(from), "{from}");
        let bad = serde_json::from_str::<StagePlan>(&json.replacen(from, to, 1));
        bad.unwrap_err().to_string()
    };
    assert!(refused("\"last\":20", "\"last\":0").contains("at least 1"));
    // A kind that nobody knows and a setting that a kind does not have are told by name.
    let kind = refused("\"markov_chain\"", "\"markov\"");
    assert!(
        kind.contains("`markov`") && kind.contains("`markov_chain`"),
        "{kind}"
    );
    let setting = refused("\"max_len\"", "\"maxlen\"");
    assert!(
        setting.contains("`maxlen`") && setting.contains("`max_len`"),
        "{setting}"
    );
    for (from, to) in [
        ("\"share\"", "\"shares\""),
        ("\"selections\"", "\"selection\""),
    ] {
        assert!(refused(from, to).contains(to.trim_matches('"')));
    }
}

/// Visitors who aren't logged in are not one user: an empty or missing id is refused with the place
/// where it stands, and blanks around ids mean nothing, as in files.
#[test]
fn ids_are_what_they_are_in_files() {
    let engine = engine_of(|| {
        let channel = stage().channel("good", items(&[1, 2]), ChannelWeight::default());
        channel.unwrap()
    });
    let now = engine.time_unit().now();
    for (user, item, field) in [
        ("", "a", "user"),
        (" \t", "a", "user"),
        ("anna", " ", "item"),
        ("null", "a", "user"),
        ("anna", "None", "item"),
    ] {
        let event = Interaction::new(user, item, now);
        for refused in [
            engine.observe(&event, &[]).map(drop),
            engine.observe_all(&[(event.clone(), Vec::new())]).map(drop),
        ] {
            let reason = refused.unwrap_err().to_string();
            assert!(
                reason.contains(&format!("{field} is \"")) && reason.contains("but an id"),
                "{reason}"
            );
        }
    }
    assert_eq!(
        (engine.statistics().events, engine.statistics().users),
        (0, 0)
    );
    for request in [
        RecallRequest::for_user(" ", 5),
        RecallRequest::for_history(["a", ""], 5),
        RecallRequest::for_user("anna", 5).blocked([""]),
    ] {
        assert!(engine.recall_for(&request).is_err(), "{request:?}");
    }
    let event = Interaction::new(" dora", "a ", now);
    assert_eq!(engine.observe(&event, &[]).unwrap(), Observed::Taken);
    let event = Interaction::new("dora", "a", now);
    assert_eq!(engine.observe(&event, &[]).unwrap(), Observed::Repeated);
    assert_eq!(engine.recall("dora ", 5).unwrap().known, 1);
    let blocked = RecallRequest::for_user("bo", 5).blocked([" b "]);
    assert_eq!(ids(&engine.recall_for(&blocked).unwrap()), ["a"]);
}
