//! Items that are added to a stage: recalled by their features, known in histories, passed over by
//! channels that know nothing of them, and kept while other stages are loaded.

use std::path::Path;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ndarray::{Array2, ArrayView1, Axis};
use seqrec::channels::{
    AlsConfig, BprConfig, ContentNeighborsConfig, ItemNeighborsConfig, MarkovChainConfig,
    NearestItemsConfig, NearestUsersConfig, PopularityConfig, PreferredTagsConfig,
    SessionKnnConfig, SimilarUsersConfig,
};
use seqrec::data::synthetic::Synthetic;
use seqrec::data::{ExternalId, Features, Interaction, ItemIndex, Items, User};
use seqrec::engine::{EngineConfig, Observed, RecallEngine};
use seqrec::index::{HnswConfig, IndexPlan, Precision};
use seqrec::model::{ItemFeaturesConfig, Join};
use seqrec::prelude::*;
use seqrec::recall::recalled::{Outcome, RecalledItem};
use seqrec::recall::{Fusion, RecallRequest, Recalled, VectorChannelConfig};
use seqrec::store::{
    PlannedChannel, PlannedSelection, Recaller, ServedStage, StageData, StagePlan, VectorTable,
};

const ITEMS: usize = 60;
const GIVEN: usize = 4;

/// A shop and a model of it that sees of items what is known of them, and not who took them.
struct Shop {
    split: Split,
    /// Genres, years and prices, of which the model does not look at the last.
    movies: Items,
    texts: Array2<f32>,
    tags: Features,
    model: Recaller,
    /// A model that looks at no features.
    plain: Recaller,
}

static SHOP: LazyLock<Shop> = LazyLock::new(|| {
    let shop = Synthetic::new().with_users(50).with_items(ITEMS);
    let dataset = Dataset::new(shop.generate().unwrap(), Filters::default()).unwrap();
    let movies = shop.movies().unwrap();
    let numbers = |of: fn(usize) -> f64| (0..movies.len()).map(move |row| Some(of(row)));
    let movies = (movies
        .clone()
        .with_numbers("year", numbers(|row| (row % 9) as f64)))
    .and_then(|items| items.with_numbers("price", numbers(|row| row as f64)))
    .unwrap();
    let dataset = dataset.with_items(&movies).unwrap();
    let catalog = dataset.catalog();
    let texts = Array2::from_shape_fn((movies.len(), GIVEN), |(row, place)| {
        ((row * 7 + place * 13) % 11) as f32 / 11.0 - 0.5
    });
    let features = movies.features(catalog, &["genres", "year"]).unwrap();
    let features = features.with_vectors("text", catalog, movies.ids().cloned(), texts.view());
    let tags = movies.tag_features(catalog, "genres").unwrap();
    let dataset = dataset.with_item_features(features.unwrap()).unwrap();
    let split = Split::new(&dataset, Protocol::LeaveOneOut).unwrap();
    let of_features = ItemFeaturesConfig::new().with_join(Join::Alone);
    let training = || TrainerConfig::new().with_epochs(3);
    let config = SasRecConfig::new().with_dim(8);
    Shop {
        model: config
            .clone()
            .with_item_features(Some(of_features))
            .fit_with(&split, training())
            .unwrap(),
        plain: config.fit_with(&split, training()).unwrap(),
        split,
        movies,
        texts,
        tags,
    }
});

/// Channels that know new items.
const KNOWING: [&str; 4] = ["model", "content", "nearest_items", "nearest_users"];

/// Channels that go on without.
const OTHERS: [&str; 9] = [
    "item_cf", "user_cf", "markov", "sessions", "als", "bpr", "tags", "popular", "plain",
];

/// A plan of every kind of channel.
fn plan() -> StagePlan {
    let mut plan = StagePlan::new(Fusion::RECIPROCAL_RANK)
        .channel("model", VectorChannelConfig::new())
        .channel("content", ContentNeighborsConfig::new())
        .channel("nearest_items", NearestItemsConfig::new())
        .channel(
            "nearest_users",
            NearestUsersConfig::new().with_neighbors(10),
        )
        .channel("item_cf", ItemNeighborsConfig::new())
        .channel("user_cf", SimilarUsersConfig::new())
        .channel("markov", MarkovChainConfig::new())
        .channel("sessions", SessionKnnConfig::new())
        .channel("als", AlsConfig::new().with_dim(4))
        .channel("bpr", BprConfig::new().with_dim(4).with_epochs(1))
        .channel("tags", PreferredTagsConfig::new())
        .channel("popular", PopularityConfig::new())
        .fallback(PopularityConfig::new());
    let plain = PlannedChannel::new("plain", VectorChannelConfig::new());
    plan.channels.push(plain.with_model("plain"));
    let relevance = 0.9;
    plan.selections = vec![
        PlannedSelection::TagCap { most: 1000 },
        PlannedSelection::MaximalMarginalRelevance { relevance },
    ];
    plan
}

fn save(path: &Path, plan: &StagePlan) {
    let data = SHOP
        .split
        .train
        .clone()
        .with_tags(SHOP.tags.clone())
        .unwrap();
    let data = StageData::from(data).with_further_model("plain", SHOP.plain.clone());
    plan.save(path, &SHOP.model, data.unwrap()).unwrap();
}

fn load(path: &Path) -> ServedStage {
    ServedStage::load::<Flex>(path, &Default::default()).unwrap()
}

fn open(path: &Path) -> RecallEngine {
    let settings = EngineConfig::new()
        .with_threads(2)
        .with_budget(Duration::from_secs(60));
    RecallEngine::open::<Flex>(path, Default::default(), settings).unwrap()
}

/// A new item that is like another in all that the model looks at, and its vector.
fn twins_of(like: &[(&str, &ExternalId)]) -> (Items, VectorTable) {
    let movies = &SHOP.movies;
    let genres = like
        .iter()
        .map(|(_, like)| movies.labels(like, "genres").unwrap());
    let years = like
        .iter()
        .map(|(_, like)| movies.number(like, "year").unwrap());
    let titles = like.iter().map(|(id, _)| Some(format!("The {id}")));
    let items = Items::new(like.iter().map(|(id, _)| *id)).unwrap();
    let items = items.with_tags("genres", genres).unwrap();
    let items = items.with_numbers("year", years).unwrap();
    let items = items.with_numbers("price", like.iter().map(|_| Some(1234.0)));
    let items = items.unwrap().with_texts("title", titles).unwrap();
    let rows = like.iter().map(|(_, like)| {
        let row = movies.ids().position(|id| id == *like).unwrap();
        SHOP.texts.row(row)
    });
    let rows: Vec<ArrayView1<f32>> = rows.collect();
    let vectors = ndarray::stack(Axis(0), &rows).unwrap();
    let ids = like.iter().map(|(id, _)| (*id).into()).collect();
    (items, VectorTable::new(ids, vectors).unwrap())
}

fn add(engine: &RecallEngine, like: &[(&str, &ExternalId)]) -> seqrec::Result<usize> {
    let (items, vectors) = twins_of(like);
    engine.add_items(&items, &[("text", &vectors)])
}

fn user(place: usize) -> ExternalId {
    SHOP.split.train.user_id(place).clone()
}

fn item<'a>(recalled: &'a Recalled, id: &str) -> Option<&'a RecalledItem> {
    recalled.items.iter().find(|item| item.id == id.into())
}

/// Where a channel ranks each item of a list.
fn rank(item: &RecalledItem, channel: &str) -> Option<usize> {
    let mut found = item.found.iter();
    Some(found.find(|found| &*found.channel == channel)?.rank)
}

/// The item that the model finds best for a user.
fn favorite(engine: &RecallEngine, user: &ExternalId) -> ExternalId {
    let recalled = engine.recall(user.clone(), ITEMS).unwrap();
    let best = recalled
        .items
        .iter()
        .find(|item| rank(item, "model") == Some(1));
    best.unwrap().id.clone()
}

#[test]
fn an_added_item_is_recalled_filtered_observed_and_there_after_a_reload() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    save(&path, &plan());
    let engine = open(&path);
    engine.set_items(SHOP.movies.clone()).unwrap();
    let (anna, bo) = (user(0), user(1));
    let liked = favorite(&engine, &anna);
    let now = engine.time_unit().now();
    let took = |user: &ExternalId, ahead: f64| {
        let event = Interaction::new(user.clone(), "new", now + ahead);
        engine.observe(&event, &[]).unwrap()
    };
    let before = engine.recall(bo.clone(), ITEMS).unwrap();
    assert_eq!(took(&bo, 0.0), Observed::Unknown);
    assert_eq!(engine.recall(bo.clone(), 1).unwrap().unknown, 1);

    // What is there already is counted, and left as it is.
    let both: [(&str, &ExternalId); 2] = [("new", &liked), (&liked.to_string(), &liked)];
    assert_eq!(add(&engine, &both).unwrap(), 1);
    assert_eq!(add(&engine, &both).unwrap(), 0);
    assert_eq!(engine.items(), SHOP.model.catalog().len() + 1);
    let check = |version: u64| {
        let recalled = engine.recall(anna.clone(), ITEMS).unwrap();
        assert_eq!(recalled.version, version);
        let failed = |outcome: &Outcome| !matches!(outcome, Outcome::Answered { .. });
        let mut outcomes = recalled.channels.iter().map(|channel| &channel.outcome);
        assert!(!outcomes.any(failed), "{recalled:?}");
        let new = item(&recalled, "new").unwrap();
        assert_eq!(new.title.as_deref(), Some("The new"));
        // It is the same to the model, and ties are broken by numbers of items.
        assert_eq!(rank(new, "model"), Some(2), "{new:?}");
        assert!(rank(new, "content").is_some(), "{new:?}");
        assert!(rank(new, "item_cf").is_none(), "{new:?}");
        let dear = "price > 1000".parse().unwrap();
        let request = RecallRequest::for_user(anna.clone(), 9).matching(dear);
        let dear = engine.recall_for(&request).unwrap();
        assert_eq!(dear.passing, Some(1));
        assert_eq!(dear.items.len(), 1);
        assert!(item(&dear, "new").is_some());
        // What was taken of it before counts.
        let of_bo = engine.recall(bo.clone(), ITEMS).unwrap();
        assert_eq!((of_bo.unknown, of_bo.known), (0, before.known + 1));
        assert!(item(&of_bo, "new").is_none());
        let history = engine.history(bo.clone()).unwrap();
        assert_eq!(history.last().unwrap().0, "new".into());
    };
    check(2);
    assert_eq!(took(&bo, 0.0), Observed::Repeated);
    // Popularity has heard of what was taken before, and hears of more.
    let begun = Instant::now();
    let mut taken = 0.0;
    loop {
        let recalled = engine.recall(anna.clone(), ITEMS).unwrap();
        if rank(item(&recalled, "new").unwrap(), "popular") == Some(1) {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(30));
        taken += 1.0;
        assert_eq!(took(&bo, taken), Observed::Taken);
    }
    assert_eq!(engine.statistics().unknown_events, 1);
    let history = |engine: &RecallEngine| engine.history(bo.clone()).unwrap();
    let (known, held) = (history(&engine), before.known);
    assert!((held + 1..=held + 1 + taken as usize).contains(&known.len()));
    engine.reload().unwrap();
    assert_eq!(history(&engine), known);
    let recalled = engine.recall(anna.clone(), ITEMS).unwrap();
    assert_eq!(recalled.version, 3);
    assert_eq!(rank(item(&recalled, "new").unwrap(), "model"), Some(2));
    let dear = "price > 1000".parse().unwrap();
    let request = RecallRequest::for_user(anna.clone(), 9).matching(dear);
    assert_eq!(engine.recall_for(&request).unwrap().items.len(), 1);
    // A table of today has no row of it: it keeps what it came with.
    let today = SHOP.movies.clone();
    engine.set_items(today).unwrap();
    assert_eq!(engine.recall_for(&request).unwrap().items.len(), 1);
}

/// Everything that is numbered by items meets one beyond those that it was made for.
#[test]
fn channels_that_know_nothing_of_new_items_go_on_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    save(&path, &plan());
    let (before, after) = (load(&path), load(&path));
    let catalog = before.data().catalog();
    let history = SHOP.split.train.sequences().history(3).last(8);
    let liked = catalog.id_of(history.items()[7]).unwrap();
    let (items, vectors) = twins_of(&[("new", liked), ("newer", liked)]);
    let after = after.with_items(&items, &[("text", &vectors)]).unwrap();
    assert_eq!(after.data().catalog().len(), catalog.len() + 2);
    assert!(after.data().catalog().continues(catalog));
    let new = [1, 2].map(|more| ItemIndex::new((catalog.len() + more) as u32));

    // New items at both ends and between others.
    let (items, times) = (history.items(), history.times());
    let mixed = [&new[..1], &items[..5], &new[..], &items[5..], &new[1..]].concat();
    let mixed_times = [
        &times[..1],
        &times[..5],
        &times[4..5],
        &times[4..5],
        &times[5..],
        &times[7..],
    ];
    let mixed_times = mixed_times.concat();
    let mixed = User::with_times(&mixed, &mixed_times).unwrap();
    let only_new = User::with_times(&new, &times[..2]).unwrap();
    let users = [mixed, only_new];
    let without = [history, User::default()];
    for name in OTHERS {
        let [was, is] = [&before, &after].map(|served| served.stage().get(name).unwrap());
        let was = was.recall(&without, ITEMS, None).unwrap();
        let is = is.recall(&users, ITEMS, None).unwrap();
        assert_eq!(is, was, "{name}");
        assert!(!is.is_empty() && !is.items(0).is_empty(), "{name}");
    }
    for name in KNOWING {
        let channel = after.stage().get(name).unwrap();
        let found = channel.recall(&users, ITEMS + 2, None).unwrap();
        assert!(
            !found.items(0).is_empty() && !found.items(1).is_empty(),
            "{name}"
        );
        let recalls = |item| found.items(0).contains(&item);
        let recalls_new = name != "nearest_users";
        assert_eq!(new.map(recalls), [recalls_new; 2], "{name}");
    }
    let fused = after.stage().recall_fused(&users, ITEMS + 2, None).unwrap();
    for list in &fused {
        assert!(
            new.iter()
                .all(|item| list.iter().any(|found| found.item == *item))
        );
    }
    let indexes = |served: &ServedStage| -> Vec<(String, usize)> {
        let indexes = served.stage().indexes();
        indexes
            .map(|(name, report)| (name.to_owned(), report.vectors))
            .collect()
    };
    let grown = indexes(&before).into_iter().map(|(name, vectors)| {
        let knows = name == "model" || name == "nearest_items";
        (name, vectors + 2 * usize::from(knows))
    });
    // The channel of the other model has its index, of which nothing changed.
    let grown: Vec<_> = grown.filter(|(name, _)| name != "plain").collect();
    let mut reported = indexes(&after);
    reported.retain(|(name, _)| name != "plain");
    assert_eq!(reported, grown);

    // It is a retriever like any other, and its data can be kept.
    let (retriever, data) = after.into_retriever().unwrap();
    assert_eq!(data.tags().unwrap().values().nrows(), catalog.len() + 3);
    let recalled = retriever.recall(["new"], 9).unwrap();
    assert_eq!((recalled.known, recalled.unknown), (1, 0));
    assert!(item(&recalled, "newer").is_some(), "{recalled}");
}

#[test]
fn every_kind_of_index_is_added_to() {
    let folder = tempfile::tempdir().unwrap();
    let exact = |precision| IndexPlan::new().with_precision(precision);
    let graph = IndexPlan::new()
        .with_exact_up_to(0)
        .with_graph(HnswConfig::new().with_m(8));
    for (place, index) in [
        exact(Precision::F32),
        exact(Precision::F16),
        exact(Precision::Int8),
        graph,
    ]
    .into_iter()
    .enumerate()
    {
        let path = folder.path().join(place.to_string());
        let mut plan = StagePlan::new(Fusion::RECIPROCAL_RANK)
            .channel("model", VectorChannelConfig::new())
            .channel("nearest_items", NearestItemsConfig::new());
        plan.index = index;
        save(&path, &plan);
        let engine = open(&path);
        let anna = user(0);
        let liked = favorite(&engine, &anna);
        for added in 1..=3 {
            let name = format!("new {added}");
            assert_eq!(add(&engine, &[(&name, &liked)]).unwrap(), 1);
            let recalled = engine.recall(anna.clone(), ITEMS).unwrap();
            for before in 1..=added {
                let new = item(&recalled, &format!("new {before}")).unwrap();
                assert!(
                    rank(new, "model").is_some_and(|rank| rank <= 5),
                    "{place}: {new:?}"
                );
            }
        }
        // Those of the folder are as they were.
        engine.reload().unwrap();
        assert_eq!(engine.items(), SHOP.model.catalog().len() + 3);
        assert_eq!(
            load(&path).data().catalog().len(),
            SHOP.model.catalog().len()
        );
    }
}

#[test]
fn what_can_not_be_added_is_refused_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    save(&path, &plan());
    let settings = EngineConfig::new().with_added(3);
    let engine = RecallEngine::open::<Flex>(&path, Default::default(), settings).unwrap();
    let liked = favorite(&engine, &user(0));
    let refused = |items: &Items, vectors: &[(&str, &VectorTable)], expected: &[&str]| {
        let error = engine.add_items(items, vectors).unwrap_err().to_string();
        let all = expected.iter().all(|expected| error.contains(expected));
        assert!(all, "{error}");
        assert_eq!(engine.items(), SHOP.model.catalog().len());
        assert_eq!(engine.recall(user(0), 3).unwrap().version, 1);
    };
    let (items, vectors) = twins_of(&[("new", &liked)]);
    let new = || Items::new(["new"]).unwrap();
    let year = |items: Items| items.with_numbers("year", [Some(1.0)]).unwrap();
    refused(&year(new()), &[], &["genres"]);
    let numbers = new().with_numbers("genres", [Some(7.0)]).unwrap();
    refused(&year(numbers), &[], &["genres", "numbers", "text"]);
    let texts = new().with_texts("genres", [Some("War")]).unwrap();
    let texts = texts.with_texts("year", [Some("long ago")]).unwrap();
    refused(&texts, &[], &["year", "numbers"]);
    refused(&items, &[("image", &vectors)], &["image", "text"]);
    let short = VectorTable::new(vec!["new".into()], Array2::ones((1, 2))).unwrap();
    refused(&items, &[("text", &short)], &["4", "2"]);
    let broken = Array2::from_elem((1, GIVEN), f32::NAN);
    let broken = VectorTable::new(vec!["new".into()], broken).unwrap();
    refused(&items, &[("text", &broken)], &["given vectors"]);
    let long = "x".repeat(300);
    let (long, _) = twins_of(&[(&long, &liked)]);
    refused(&long, &[], &["items", "300"]);
    let many = ["a", "b", "c", "d"].map(|id| (id, &liked));
    let (many, _) = twins_of(&many);
    refused(&many, &[], &["at most", "4"]);
    // A column of another kind than the table's that requests filter by.
    let table = SHOP
        .movies
        .clone()
        .with_texts("made", vec![Some("x"); SHOP.movies.len()]);
    engine.set_items(table.unwrap()).unwrap();
    let made = items.clone().with_numbers("made", [Some(3.0)]).unwrap();
    refused(&made, &[], &["made", "numbers", "text"]);
    // A vector or a year that is missing is like one in training.
    let missing = new().with_tags("genres", [vec!["War"]]).unwrap();
    let missing = missing.with_texts("year", [None::<&str>]).unwrap();
    assert_eq!(engine.add_items(&missing, &[]).unwrap(), 1);

    // A model that looks at no features, and a stage that is not of a folder.
    let plain = folder.path().join("plain");
    let of_plain =
        || StagePlan::new(Fusion::RECIPROCAL_RANK).channel("model", VectorChannelConfig::new());
    of_plain()
        .save(&plain, &SHOP.plain, SHOP.split.train.clone())
        .unwrap();
    let error = open(&plain).add_items(&items, &[]).unwrap_err().to_string();
    assert!(error.contains("item_features"), "{error}");
    let make = move || {
        let data = StageData::from(SHOP.split.train.clone()).with_model(SHOP.model.clone())?;
        Ok(ServedStage::new(of_plain().build(&data)?, data))
    };
    let own = RecallEngine::with_loader(make, EngineConfig::new()).unwrap();
    let error = own.add_items(&items, &[]).unwrap_err().to_string();
    assert!(
        error.contains("of your own") && error.contains("run folder"),
        "{error}"
    );
}

/// What a stage that is loaded later has is its own, what it lacks is added to it, and one that
/// can't take it does not serve.
#[test]
fn a_stage_that_is_loaded_later_has_all_items() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let plan = || {
        StagePlan::new(Fusion::RECIPROCAL_RANK)
            .channel("model", VectorChannelConfig::new())
            .fallback(PopularityConfig::new())
    };
    plan()
        .save(&path, &SHOP.model, SHOP.split.train.clone())
        .unwrap();
    let engine = open(&path);
    let anna = user(0);
    let liked = favorite(&engine, &anna);
    assert_eq!(
        add(&engine, &[("first", &liked), ("second", &liked)]).unwrap(),
        2
    );
    assert_eq!(add(&engine, &[("third", &liked)]).unwrap(), 1);
    let count = SHOP.model.catalog().len();

    // The next run was trained with the second.
    let (items, vectors) = twins_of(&[("second", &liked)]);
    let next = SHOP
        .model
        .with_items(&items, &[("text", &vectors)])
        .unwrap();
    let data = SHOP
        .split
        .train
        .clone()
        .with_catalog(next.catalog().clone())
        .unwrap();
    plan().save(&path, &next, data).unwrap();
    engine.reload().unwrap();
    assert_eq!(engine.items(), count + 3);
    let recalled = engine.recall(anna.clone(), ITEMS).unwrap();
    let ranks = ["second", "first", "third"].map(|id| rank(item(&recalled, id).unwrap(), "model"));
    assert_eq!(ranks, [2, 3, 4].map(Some));

    // One that has no vectors for the others is refused.
    plan()
        .save(&path, &SHOP.plain, SHOP.split.train.clone())
        .unwrap();
    let error = engine.reload().unwrap_err().to_string();
    assert!(
        error.contains("added") && error.contains("item_features"),
        "{error}"
    );
    assert_eq!(engine.statistics().failed_reloads, 1);
    assert_eq!(engine.items(), count + 3);
    assert_eq!(engine.recall(anna, 3).unwrap().version, recalled.version);
}

/// Calls, events and loads go on while several threads add items: each call sees one catalog from
/// beginning to end, and no event and no item is lost.
#[test]
fn items_are_added_while_all_else_goes_on() {
    const ADDED: usize = 12;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let plan = StagePlan::new(Fusion::RECIPROCAL_RANK)
        .channel("model", VectorChannelConfig::new())
        .channel("popular", PopularityConfig::new())
        .fallback(PopularityConfig::new());
    plan.save(&path, &SHOP.model, SHOP.split.train.clone())
        .unwrap();
    let engine = open(&path);
    let anna = user(0);
    let liked = favorite(&engine, &anna);
    let names: Vec<String> = (0..ADDED).map(|place| format!("new {place}")).collect();
    let done = AtomicBool::new(false);
    let now = engine.time_unit().now();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let (mut version, mut seen) = (0, 0);
                while !done.load(Ordering::Acquire) {
                    let recalled = engine.recall(anna.clone(), 2 * ITEMS).unwrap();
                    let new = names.iter().filter(|name| item(&recalled, name).is_some());
                    let new = new.count();
                    // What was there once stays, in order of versions.
                    assert!(recalled.version >= version && new >= seen);
                    assert!(recalled.version > version || new == seen || version == 0);
                    (version, seen) = (recalled.version, new);
                }
            });
        }
        scope.spawn(|| {
            for (place, name) in names.iter().enumerate().cycle() {
                let event = Interaction::new(name.as_str(), name.as_str(), now + place as f64);
                engine.observe(&event, &[]).unwrap();
                if done.load(Ordering::Acquire) && place + 1 == ADDED {
                    break;
                }
            }
        });
        let adders: Vec<_> = (names.chunks(ADDED / 2))
            .map(|names| {
                let (engine, liked) = (&engine, &liked);
                scope.spawn(move || {
                    for name in names {
                        assert_eq!(add(engine, &[(name, liked)]).unwrap(), 1);
                    }
                })
            })
            .collect();
        engine.reload().unwrap();
        for adder in adders {
            adder.join().unwrap();
        }
        done.store(true, Ordering::Release);
    });
    assert_eq!(engine.items(), SHOP.model.catalog().len() + ADDED);
    let recalled = engine.recall(anna.clone(), 2 * ITEMS).unwrap();
    let mut ranks: Vec<_> = (names.iter())
        .map(|name| rank(item(&recalled, name).unwrap(), "model").unwrap())
        .collect();
    ranks.sort_unstable();
    assert!(
        ranks.into_iter().eq(2..ADDED + 2),
        "each has the vector that is its own"
    );
    for name in &names {
        let history = engine.history(name.as_str()).unwrap();
        assert_eq!(history.len(), 1, "{name}");
    }
}
