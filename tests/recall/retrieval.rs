//! Retrieval: any history is answered with ids, within what the index and the catalog hold.

use seqrec::backend::Flex;
use seqrec::burn;
use seqrec::channels::{NearestItemsConfig, Popularity};
use seqrec::data::synthetic::Synthetic;
use seqrec::data::{
    Catalog, Dataset, ExternalId, Features, Filters, Interaction, Interactions, ItemIndex,
    Protocol, Seen, Split, User,
};
use seqrec::index::{Filter, FlatIndex, HnswConfig, HnswIndex, UpdatableIndex};
use seqrec::model::{Gru4RecConfig, HstuConfig, RecallerConfig, TwoTowerConfig};
use seqrec::recall::recalled::Because;
use seqrec::recall::{
    Candidate, Candidates, ChannelWeight, Evaluation, Fusion, HistoryItems, Path, Reason,
    RecallChannel, RecallRequest, RecallStage, Recalled, Retriever, VectorChannel,
};
use seqrec::retrieve::{ModelEncoder, item_vectors};
use seqrec::{Error, ErrorKind};

use std::sync::Arc;

use crate::small;
use small::{ITEMS, catalog, config, retriever};

/// Which channel found the first item.
fn by(recalled: &Recalled) -> &str {
    &recalled.items[0].found[0].channel
}

#[test]
fn a_history_of_any_user_is_answered() {
    let retriever = retriever();
    let history = ["item-3", "nothing known", "item-8"];
    let recalled = retriever
        .recall_for(&RecallRequest::for_history(history, ITEMS as usize).seen(Seen::Keep))
        .unwrap();
    assert_eq!((recalled.unknown, by(&recalled)), (1, "channel"));
    assert_eq!(recalled.items.len(), ITEMS as usize);
    let mut ids: Vec<String> = recalled
        .items
        .iter()
        .map(|item| item.id.to_string())
        .collect();
    // Under cosine, every score is one.
    assert!(
        recalled
            .items
            .iter()
            .all(|item| item.score.abs() <= 1.0 + 1e-5)
    );
    assert!(recalled.items.is_sorted_by(|a, b| a.score >= b.score));
    ids.sort();
    ids.dedup();
    assert_eq!(
        ids.len(),
        ITEMS as usize,
        "no item comes twice, and padding never"
    );

    let unseen = retriever.recall(history, 28).unwrap();
    assert_eq!(unseen.items.len(), 28);
    let seen = ["item-3", "item-8"].map(ExternalId::from);
    assert!(unseen.items.iter().all(|item| !seen.contains(&item.id)));
    let skipped = retriever.recall(["item-3", "item-8"], 28);
    assert_eq!(
        skipped.unwrap().items,
        unseen.items,
        "an unknown item changes nothing"
    );
}

#[test]
fn without_a_known_item_popularity_answers() {
    let retriever = retriever();
    for (history, unknown) in [(vec![], 0), (vec!["?", "??"], 2)] {
        let recalled = retriever.recall(history, 3).unwrap();
        assert_eq!((by(&recalled), recalled.unknown), ("fallback", unknown));
        let ids: Vec<String> = recalled
            .items
            .iter()
            .map(|item| item.id.to_string())
            .collect();
        assert_eq!(ids, ["item-30", "item-29", "item-28"]);
        assert!((recalled.items[0].score - 30.0 / 465.0).abs() < 1e-6);
    }
}

#[test]
fn a_k_that_cannot_be_and_parts_of_different_catalogs_are_errors() {
    let retriever = retriever();
    let error = retriever.recall(["item-1"], 0).unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::InvalidValue { field: "k", .. }),
        "{error}"
    );
    // All that there are where more are asked for.
    for k in [ITEMS as usize + 1, usize::MAX] {
        let recalled = retriever.recall(["item-1"], k).unwrap();
        assert_eq!(recalled.items.len(), ITEMS as usize - 1);
    }
    let of_user = retriever.recall_for(&RecallRequest::for_user("anna", 5));
    assert!(
        matches!(
            of_user.as_ref().map_err(Error::kind),
            Err(ErrorKind::InvalidValue { field: "user", .. })
        ),
        "{of_user:?}"
    );
    let model = config().init::<Flex>(7, 9, &Default::default()).unwrap();
    let index = FlatIndex::new(&item_vectors(&model)).unwrap();
    let error = Retriever::new(VectorChannel::from_model(model, index), catalog()).unwrap_err();
    assert!(
        matches!(
            error.kind(),
            ErrorKind::Shape {
                expected: 30,
                found: 7,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn retrievers_serve_many_threads() {
    let retriever = retriever();
    let expected = retriever.recall(["item-2"], 5).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..20 {
                    let again = retriever.recall(["item-2"], 5).unwrap();
                    assert_eq!(again, expected);
                }
            });
        }
    });
}

/// An index may lack items of the catalog, and hold newer ones.
#[test]
fn an_index_behind_or_ahead_of_the_catalog_is_searched() {
    let catalog = Catalog::from_ids((0..30i64).map(ExternalId::from)).unwrap();
    let config = Gru4RecConfig::new().with_dim(4);
    let model = config.init::<Flex>(30, 1, &Default::default()).unwrap();
    let vectors = item_vectors::<Flex, _>(&model);
    let flat = || FlatIndex::new(vectors.view()).unwrap();
    let graph = || HnswIndex::new(vectors.view(), &HnswConfig::new()).unwrap();
    let indexes: [Box<dyn Fn() -> Arc<dyn UpdatableIndex>>; 2] = [
        Box::new(move || Arc::new(flat())),
        Box::new(move || Arc::new(graph())),
    ];
    for make in indexes {
        let index = make();
        // A long vector, which is among the best for half of all queries, and its opposite.
        index.add(ItemIndex::new(31), &[9.0; 4]).unwrap();
        index.add(ItemIndex::new(32), &[-9.0; 4]).unwrap();
        index.remove(ItemIndex::new(7)).unwrap();
        let split = {
            let log: Interactions = (0..40i64)
                .flat_map(|user| {
                    let item =
                        move |place| Interaction::new(user, (user + place) % 30, place as f64);
                    (0..5).map(item)
                })
                .collect();
            Split::new(
                &Dataset::new(log, Filters::default()).unwrap(),
                Protocol::LeaveOneOut,
            )
            .unwrap()
        };
        let evaluation = Evaluation::new(&[5, 29], Seen::Keep);
        let channel = || VectorChannel::from_model(model.clone(), index.clone());
        let report = evaluation
            .run(&channel(), &split.test, split.catalog())
            .unwrap();
        // All items but the one that is not there are recalled.
        let coverage = report.get("coverage@29".parse().unwrap()).unwrap();
        assert!((coverage - 29.0 / 30.0).abs() < 1e-9, "{coverage}");
        let retriever = Retriever::new(channel(), catalog.clone()).unwrap();
        for item in 0..30i64 {
            let recalled = retriever.recall([item], 5).unwrap();
            assert_eq!(recalled.items.len(), 5, "{recalled:?}");
            assert!(recalled.items.iter().all(|found| found.id != 6i64.into()));
        }
        index.add(ItemIndex::new(33), &[0.5; 4]).unwrap();
        assert!(retriever.recall([1i64], 30).is_ok());
    }
}

/// A model that looks at times gets them everywhere, or says that it got none.
#[test]
fn a_model_that_looks_at_times_is_served_as_it_was_judged() {
    let catalog = Catalog::from_ids((0..30i64).map(ExternalId::from)).unwrap();
    let config = HstuConfig::new().with_dim(8).with_heads(2).with_blocks(1);
    let mut model = config.init::<Flex>(30, 1, &Default::default()).unwrap();
    // A time bias that is large enough to matter.
    for block in &mut model.blocks {
        block.time_bias = block.time_bias.take().map(|bias| {
            bias.map(|bias| {
                let classes = bias.dims()[0];
                let values: Vec<f32> = (0..classes).map(|class| class as f32 / 4.0).collect();
                burn::tensor::Tensor::from_data(
                    burn::tensor::TensorData::new(values, [classes, 1]),
                    &bias.device(),
                )
            })
        });
    }
    let index = FlatIndex::new(item_vectors::<Flex, _>(&model).view()).unwrap();
    let index = Arc::new(index);
    let channel = VectorChannel::from_model(model, index);
    let channel = Arc::new(channel);
    let retriever = Retriever::new(channel.clone(), catalog).unwrap();
    let (items, times) = ([1, 2, 3, 4].map(ItemIndex::new), [0.0, 60.0, 1e6, 2e6]);
    let history = User::with_times(&items, &times).unwrap();
    let judged = channel.recall(&[history], 10, None).unwrap();
    // External ids are one below the items' indices.
    let timed = [(0i64, 0.0), (1, 60.0), (2, 1e6), (3, 2e6)];
    let served = retriever
        .recall_for(&RecallRequest::for_timed_history(timed, 10).seen(Seen::Keep))
        .unwrap();
    let found: Vec<(String, f32)> = (served.items.iter())
        .map(|item| (item.id.to_string(), item.score))
        .collect();
    let expected: Vec<(String, f32)> = (judged.of(0))
        .map(|candidate| ((candidate.item.get() - 1).to_string(), candidate.score))
        .collect();
    assert_eq!(found, expected);
    let shifted = [(0i64, 0.0), (1, 1.0), (2, 2.0), (3, 3.0)];
    let other = retriever
        .recall_for(&RecallRequest::for_timed_history(shifted, 10).seen(Seen::Keep))
        .unwrap();
    assert_ne!(other.items, served.items, "times must matter in this test");
    let refused = retriever.recall([0i64, 1], 10);
    assert!(
        matches!(
            refused.as_ref().map_err(Error::kind),
            Err(ErrorKind::TimesMissing { row: 0 })
        ),
        "{refused:?}"
    );
    let refused = channel.recall(&[(&items[..]).into()], 10, None);
    assert!(
        matches!(
            refused.as_ref().map_err(Error::kind),
            Err(ErrorKind::TimesMissing { .. })
        ),
        "{refused:?}"
    );
}

#[test]
fn items_that_a_channel_does_not_know_are_an_error() {
    let config = Gru4RecConfig::new().with_dim(4);
    let model = config.init::<Flex>(30, 1, &Default::default()).unwrap();
    let index = FlatIndex::new(item_vectors::<Flex, _>(&model).view()).unwrap();
    let channel = VectorChannel::from_model(model, index);
    for item in [0, 31, u32::MAX].map(ItemIndex::new) {
        let found = channel.recall(&[(&[ItemIndex::new(1), item][..]).into()], 3, None);
        assert!(
            matches!(found.as_ref().map_err(Error::kind), Err(ErrorKind::UnknownItem { item: unknown }) if *unknown == item),
            "{found:?}"
        );
    }
}

#[test]
fn labels_that_no_list_can_hold_are_told() {
    let log: Interactions = [
        ("u", "a"),
        ("u", "b"),
        ("u", "a"),
        ("v", "b"),
        ("v", "a"),
        ("v", "c"),
    ]
    .into_iter()
    .enumerate()
    .map(|(time, (user, item))| Interaction::new(user, item, time as f64))
    .collect();
    let dataset = Dataset::new(log, Filters::default()).unwrap();
    let split = Split::new(&dataset, Protocol::LeaveOneOut).unwrap();
    let popular = Popularity::new(split.catalog());
    let unreachable = |seen| {
        let evaluation = Evaluation::new(&[1], seen);
        let report = evaluation.run(&popular, &split.test, split.catalog());
        report.unwrap().unreachable_labels
    };
    assert_eq!(
        (unreachable(Seen::Keep), unreachable(Seen::Exclude)),
        (0, 1)
    );
}

/// What was removed from an index is not recalled by what stands in for it either.
#[test]
fn a_cold_start_recalls_nothing_that_was_removed() {
    let model = config()
        .init::<Flex>(ITEMS as usize, 9, &Default::default())
        .unwrap();
    let vectors = item_vectors::<Flex, _>(&model);
    let flat: Arc<dyn UpdatableIndex> = Arc::new(FlatIndex::new(vectors.view()).unwrap());
    let graph = HnswIndex::new(vectors.view(), &HnswConfig::new()).unwrap();
    for index in [flat, Arc::new(graph)] {
        // The most popular items are the last ones; more of them go than are asked for.
        for item in (15..=30).chain([13]) {
            index.remove(ItemIndex::new(item)).unwrap();
        }
        let shared: Arc<dyn UpdatableIndex> = index.clone();
        let channel = VectorChannel::from_model(model.clone(), shared.clone());
        let retriever = Retriever::new(channel, catalog()).unwrap();
        let retriever = retriever.fallback(Popularity::new(&catalog()));
        let recalled = retriever.recall(["?"], 3).unwrap();
        let ids: Vec<String> = (recalled.items.iter())
            .map(|item| item.id.to_string())
            .collect();
        assert_eq!(ids, ["item-14", "item-12", "item-11"]);
        assert_eq!(by(&recalled), "fallback");
        assert!((recalled.items[0].score - 14.0 / 465.0).abs() < 1e-6);
        // All that are left, and no more.
        let all = retriever.recall(["?"], 30).unwrap();
        assert_eq!(all.items.len(), 13);

        let nearest = || VectorChannel::new(ModelEncoder::new(model.clone()), shared.clone());
        let numbers = |channel: &dyn RecallChannel| {
            let nobody = [User::default(); 2];
            // The second user may not have one of those that are left either.
            let passes = |row: usize, item: ItemIndex| row == 0 || item.get() != 12;
            let filter = Some(seqrec::index::Filter::Predicate(&passes));
            let found = channel.recall(&nobody, 3, filter).unwrap();
            [0, 1].map(|row| {
                let items = found.items(row).iter();
                items.map(|item| item.get()).collect::<Vec<_>>()
            })
        };
        let expected = [vec![14, 12, 11], vec![14, 11, 10]];
        let or_else = nearest().or_else(Popularity::new(&catalog()));
        assert_eq!(numbers(&or_else), expected);
        // Nor where a path searches it.
        let near = NearestItemsConfig::new().with_neighbors(3);
        let near = near.step(vectors.view(), shared.clone()).unwrap();
        let path = HistoryItems::last(5).unwrap().then(Arc::new(near));
        let path = Arc::new(path).best(4).unwrap().into_channel();
        assert_eq!(
            numbers(&path.or_else(Popularity::new(&catalog()))),
            expected
        );
        let stage = RecallStage::new(Fusion::RECIPROCAL_RANK, 5)
            .and_then(|stage| stage.channel("u2i", nearest(), ChannelWeight::default()))
            .unwrap()
            .fallback(Popularity::new(&catalog()));
        assert_eq!(numbers(&stage), expected);
        // Where no index is searched, there is none that items must be in.
        assert_eq!(numbers(&Popularity::new(&catalog()))[0], [30, 29, 28]);
    }
}

/// A model that looks at features of users gets them in service as in evaluation, by their names,
/// or says that it got none.
#[test]
fn a_model_that_looks_at_features_is_served_as_it_was_judged() {
    let log: Interactions = (0..20i64)
        .flat_map(|user| {
            (0..6).map(move |place| Interaction::new(user, (user + place) % 9, place as f64))
        })
        .collect();
    let dataset = Dataset::new(log, Filters::default()).unwrap();
    let kinds = (0..20i64).map(|user| (user.into(), [["even", "odd"][user as usize % 2]]));
    let features = Features::from_user_tags(&dataset, kinds);
    let without = Split::new(&dataset, Protocol::LeaveOneOut).unwrap();
    let dataset = dataset.with_user_features(features).unwrap();
    let split = Split::new(&dataset, Protocol::LeaveOneOut).unwrap();
    let catalog = split.catalog();
    assert_eq!(catalog.user_features(), ["even", "odd"]);
    let config = TwoTowerConfig::new().with_dim(8).with_user_features(2);
    let device = Default::default();
    let model = config.init::<Flex>(catalog.len(), 1, &device).unwrap();
    let index = || FlatIndex::new(item_vectors::<Flex, _>(&model).view()).unwrap();
    let channel = VectorChannel::from_model(model.clone(), index());
    let judged = channel.recall(&[split.test.get(3).user], 5, None).unwrap();

    // As it comes out of its folder.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let run = seqrec::store::Run::<Flex, _>::new(config, model.clone(), catalog.clone());
    run.save(&path).unwrap();
    let loaded = seqrec::store::Run::<Flex, TwoTowerConfig>::load(&path, &device).unwrap();
    let retriever = Retriever::new(
        VectorChannel::from_model(loaded.model, index()),
        loaded.catalog,
    )
    .unwrap();
    let history = || {
        let items = split.test.get(3).user.items().iter();
        items.map(|&item| catalog.id_of(item).unwrap().clone())
    };
    let request = || RecallRequest::for_history(history(), 5).seen(Seen::Keep);
    let served = |features: &[(&'static str, f32)]| {
        retriever.recall_for(&request().with_features(features.iter().copied()))
    };
    let found = served(&[("odd", 1.0)]).unwrap();
    let found: Vec<_> = (found.items.iter())
        .map(|item| (catalog.index_of(&item.id).unwrap(), item.score))
        .collect();
    let expected: Vec<_> = judged
        .of(0)
        .map(|found| (found.item, found.score))
        .collect();
    assert_eq!(found, expected);
    let other = served(&[("even", 1.0), ("odd", 0.0)]).unwrap();
    assert_ne!(
        other.items[0].score, found[0].1,
        "features must matter in this test"
    );

    let refused = retriever.recall_for(&request());
    assert!(
        matches!(
            refused.as_ref().map_err(Error::kind),
            Err(ErrorKind::FeaturesMissing {
                row: 0,
                expected: 2
            })
        ),
        "{refused:?}"
    );
    for (features, reason) in [
        (&[("od", 1.0)][..], r#"["even", "odd"]"#),
        (&[("odd", 1.0), ("odd", 1.0)], "twice"),
        (&[("odd", f32::NAN)], "finite"),
    ] {
        let refused = served(features).unwrap_err().to_string();
        assert!(refused.contains(reason), "{refused}");
    }
    let evaluation = Evaluation::new(&[3], Seen::Keep);
    let channel = || VectorChannel::from_model(model.clone(), index());
    let refused = evaluation.run(&channel(), &without.test, without.catalog());
    let field = "catalog.user_features";
    assert!(
        matches!(refused.as_ref().map_err(Error::kind), Err(ErrorKind::InvalidValue { field: lacks, .. }) if *lacks == field),
        "{refused:?}"
    );
    let nobody = channel().recall(&[without.test.get(0).user], 5, None);
    assert!(
        matches!(
            nobody.as_ref().map_err(Error::kind),
            Err(ErrorKind::FeaturesMissing { .. })
        ),
        "{nobody:?}"
    );
    let lacks = Retriever::new(channel(), without.catalog().clone());
    let refused = lacks.map(drop).unwrap_err().to_string();
    for part in ["catalog.user_features", "the 2 that", "with_user_features"] {
        assert!(refused.contains(part), "{refused}");
    }
    // A catalog that names no features does not go with sequences that have them.
    let lacks = (dataset.training_data()).with_catalog(without.catalog().clone());
    assert!(lacks.unwrap_err().to_string().contains("even"));
}

/// What an editor chose, for everybody.
struct Chosen(Vec<ItemIndex>);

impl RecallChannel for Chosen {
    fn recall(
        &self,
        users: &[User<'_>],
        k: usize,
        filter: Option<Filter<'_>>,
    ) -> seqrec::Result<Candidates> {
        let reason = Reason::named("chosen by an editor");
        let mut candidates = Candidates::with_capacity(users.len(), k);
        for row in 0..users.len() {
            let items = self.0.iter().copied();
            let passing = items.filter(|&item| filter.is_none_or(|f| f.passes(row, item)));
            candidates.push(passing.take(k).map(|item| Candidate {
                item,
                score: 1.0,
                reason,
            }));
        }
        Ok(candidates)
    }
}

/// An evaluation trusts a channel of one's own no more than a retriever does.
#[test]
fn an_evaluation_screens_what_a_careless_channel_gives() {
    let log = Synthetic::new()
        .with_users(40)
        .with_items(60)
        .generate()
        .unwrap();
    let dataset = Dataset::new(log, Filters::default()).unwrap();
    let split = Split::new(&dataset, Protocol::LeaveOneOut).unwrap();
    let catalog = split.catalog();
    let evaluation = Evaluation::new(&[10, catalog.len()], Seen::Exclude);
    let run = |channel: &dyn RecallChannel| evaluation.run(channel, &split.test, catalog);
    let items = catalog.by_popularity();
    let careless = run(&Careless(Some(items.clone()))).unwrap();
    let careful = run(&Chosen(items)).unwrap();
    assert_eq!(careless, careful);
    assert!(careless.unreachable_labels > 0);
    let silent = run(&Careless(None)).unwrap_err();
    assert!(matches!(silent.kind(), ErrorKind::Shape { .. }), "{silent}");
}

/// A channel that looks at no filter and at no k, or gives no list at all.
struct Careless(Option<Vec<ItemIndex>>);

impl RecallChannel for Careless {
    fn recall(
        &self,
        users: &[User<'_>],
        _: usize,
        _: Option<Filter<'_>>,
    ) -> seqrec::Result<Candidates> {
        let Some(items) = &self.0 else {
            return Ok(Candidates::default());
        };
        Chosen(items.clone()).recall(users, usize::MAX, None)
    }
}

#[test]
fn a_channel_that_ignores_what_it_is_asked_does_no_harm() {
    let items = [3, 7, 30, 8].map(ItemIndex::new).to_vec();
    let retriever = Retriever::new(Careless(Some(items)), catalog()).unwrap();
    let request = RecallRequest::for_history(["item-3"], 2).blocked(["item-7"]);
    let recalled = retriever.recall_for(&request).unwrap();
    let ids: Vec<String> = (recalled.items.iter())
        .map(|item| item.id.to_string())
        .collect();
    assert_eq!(ids, ["item-30", "item-8"]);
    let silent = Retriever::new(Careless(None), catalog()).unwrap();
    assert!(matches!(
        silent.recall(["item-3"], 2).as_ref().map_err(Error::kind),
        Err(ErrorKind::Shape { .. })
    ));
}

#[test]
fn a_retriever_of_a_stage_says_which_channels_found_an_item_and_why() {
    let chosen = Chosen([3, 7, 30].map(ItemIndex::new).to_vec());
    let stage = RecallStage::new(Fusion::RoundRobin, 3)
        .and_then(|stage| stage.channel("editor", chosen, ChannelWeight::default()))
        .unwrap()
        .fallback(Popularity::new(&catalog()));
    let retriever = Retriever::new(Arc::new(stage), catalog()).unwrap();
    // What the user took is left out, also where the fallback fills up.
    let recalled = retriever.recall(["item-3", "item-29", "?"], 4).unwrap();
    let found: Vec<_> = (recalled.items.iter())
        .map(|item| {
            (
                item.id.to_string(),
                &*item.found[0].channel,
                item.found[0].because.clone(),
            )
        })
        .collect();
    let named = || Because::Named("chosen by an editor".to_owned());
    let expected = [
        ("item-7", "editor", named()),
        ("item-30", "editor", named()),
        ("item-28", "fallback", Because::Popular),
        ("item-27", "fallback", Because::Popular),
    ];
    assert_eq!(
        found,
        expected.map(|(id, channel, why)| (id.to_owned(), channel, why))
    );
    assert_eq!((recalled.known, recalled.unknown), (2, 1));
    let text = recalled.to_string();
    let first = "  1. item-7 (1.0000): editor #1, chosen by an editor\n";
    assert!(
        text.starts_with(first) && text.lines().count() == 5,
        "{text}"
    );
    assert!(
        text.ends_with("1 items of the history are not in the catalog\n"),
        "{text}"
    );
    let json = serde_json::to_value(&recalled).unwrap();
    assert_eq!(
        json["items"][0]["found"][0]["because"]["named"],
        "chosen by an editor"
    );
    assert_eq!(json["items"][2]["found"][0]["because"], "popular");
    // A request may rule items out, and say that seen ones are not.
    let request = RecallRequest::for_history(["item-3"], 9).seen(Seen::Keep);
    let request = request
        .blocked(["item-7"])
        .filter(|id| !id.to_string().ends_with('0'));
    let recalled = retriever.recall_for(&request).unwrap();
    assert_eq!(recalled.items[0].id, "item-3".into());
    assert_eq!(&*recalled.items[1].found[0].channel, "fallback");
}
