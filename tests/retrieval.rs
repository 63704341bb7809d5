//! Indexes, retrieval and run folders.

use ndarray::{Array2, ArrayView2};
use seqrec::Error;
use seqrec::backend::Flex;
use seqrec::burn;
use seqrec::channels::Popularity;
use seqrec::data::{
    Catalog, Dataset, ExternalId, Filters, History, Interaction, Interactions, ItemIndex, Protocol,
    Seen, Split,
};
use seqrec::index::{Filter, FlatIndex, HnswConfig, HnswIndex, UpdatableIndex, VectorIndex};
use seqrec::model::{Gru4Rec, Gru4RecConfig, HstuConfig, Objective, RecallerConfig, Similarity};
use seqrec::recall::{RecallChannel, VectorChannel};
use seqrec::retrieve::{Evaluation, ModelEncoder, RecallOptions, Retriever, Source, item_vectors};
use seqrec::store::{RUN_FORMAT_VERSION, Run};

/// Vectors of very different lengths, so that an inner product is no cosine, whose values are few
/// binary digits, so that sums are exact in any order.
fn vectors(rows: usize, dim: usize) -> Array2<f32> {
    Array2::from_shape_fn((rows, dim), |(row, column)| {
        let mut bits = ((row * 64 + column + 1) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let uniform = (bits >> 58) as f32 / 64.0 - 0.5;
        uniform * (1.0 + (row % 7) as f32)
    })
}

/// The definition of a search, followed to the letter.
fn by_sorting(vectors: ArrayView2<'_, f32>, query: &[f32], k: usize) -> Vec<ItemIndex> {
    let mut scored: Vec<(f32, ItemIndex)> = (1..vectors.nrows())
        .map(|row| {
            let score = vectors.row(row).iter().zip(query).map(|(a, b)| a * b).sum();
            (score, ItemIndex::new(row as u32))
        })
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    scored.into_iter().take(k).map(|(_, item)| item).collect()
}

#[test]
fn flat_search_is_exact_and_graph_search_nearly() {
    let vectors = vectors(3_001, 12);
    let queries = Array2::from_shape_fn((50, 12), |(row, column)| {
        ((row * 13 + column * 29) % 19) as f32 / 16.0 - 0.5
    });
    let flat = FlatIndex::new(vectors.view()).unwrap();
    // On one thread the graph is always the same.
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build()
        .unwrap();
    let graph = pool.install(|| HnswIndex::new(vectors.view(), &HnswConfig::new()).unwrap());
    assert!(flat.is_exact() && !graph.is_exact());
    assert_eq!(
        (flat.len(), flat.dim(), graph.len(), graph.dim()),
        (3_000, 12, 3_000, 12)
    );
    let exact = flat.search(queries.view(), 20, None).unwrap();
    let near = graph.search(queries.view(), 20, None).unwrap();
    let mut common = 0;
    for row in 0..exact.len() {
        let query = queries.row(row).to_vec();
        assert_eq!(
            exact.items(row),
            by_sorting(vectors.view(), &query, 20),
            "query {row}"
        );
        assert!(near.scores(row).is_sorted_by(|a, b| a >= b));
        for hit in near.of(row) {
            let item = vectors.row(hit.item.to_usize());
            let score: f32 = item.iter().zip(&query).map(|(a, b)| a * b).sum();
            assert!(
                (hit.score - score).abs() < 1e-4,
                "a score is the inner product"
            );
        }
        // Some vectors are equal, and any of them is as good: hits are told by their scores.
        let worst = exact.scores(row).last().unwrap() - 1e-5;
        common += near.of(row).filter(|hit| hit.score >= worst).count();
    }
    assert!(common >= 950, "recall {}", common as f64 / 1000.0);
}

#[test]
fn filters_hold_and_leave_k_when_k_pass() {
    let vectors = vectors(1_001, 8);
    let flat = FlatIndex::new(vectors.view()).unwrap();
    let graph = HnswIndex::new(vectors.view(), &HnswConfig::new()).unwrap();
    let queries = vectors.slice(ndarray::s![1..4, ..]);
    for step in [2, 50] {
        // Each query has a filter of its own.
        let filter = |query: usize, item: ItemIndex| item.to_usize() % step == query % step;
        for index in [&flat as &dyn VectorIndex, &graph] {
            let found = index
                .search(queries, 15, Some(Filter::Predicate(&filter)))
                .unwrap();
            for query in 0..found.len() {
                let items = found.items(query);
                assert_eq!(items.len(), 15);
                assert!(items.iter().all(|&item| filter(query, item)), "step {step}");
            }
        }
    }
    let few = |_: usize, item: ItemIndex| item.get() <= 3;
    for index in [&flat as &dyn VectorIndex, &graph] {
        let found = index
            .search(queries, 15, Some(Filter::Predicate(&few)))
            .unwrap();
        assert!((0..found.len()).all(|query| found.items(query).len() == 3));
    }
}

#[test]
fn bad_queries_and_vectors_are_errors() {
    let index = FlatIndex::new(vectors(5, 3).view()).unwrap();
    let graph = HnswIndex::new(vectors(5, 3).view(), &HnswConfig::new()).unwrap();
    let mut broken = vectors(2, 3);
    broken[[1, 2]] = f32::INFINITY;
    for index in [&index as &dyn VectorIndex, &graph] {
        let search = |queries: ArrayView2<'_, f32>, k| index.search(queries, k, None).unwrap_err();
        assert!(matches!(
            search(vectors(1, 3).view(), 0),
            Error::InvalidValue { field: "k", .. }
        ));
        assert!(matches!(
            search(vectors(1, 4).view(), 1),
            Error::Shape {
                expected: 3,
                found: 4,
                ..
            }
        ));
        assert!(matches!(
            search(broken.view(), 1),
            Error::NonFiniteVector {
                row: 1,
                column: 2,
                ..
            }
        ));
        // More than there are gives what there is.
        assert_eq!(
            index
                .search(vectors(1, 3).view(), 99, None)
                .unwrap()
                .items(0)
                .len(),
            4
        );
    }
    assert!(matches!(
        FlatIndex::new(broken.view()),
        Err(Error::NonFiniteVector { .. })
    ));
    assert!(matches!(
        FlatIndex::new(vectors(1, 3).view()),
        Err(Error::NothingLeft { .. })
    ));
    let config = HnswConfig::new().with_m(1);
    assert!(matches!(
        HnswIndex::new(vectors(5, 3).view(), &config),
        Err(Error::InvalidValue { field: "m", .. })
    ));
    // Nothing but zeros has no direction, and is still searched.
    let zeros = HnswIndex::new(Array2::zeros((5, 3)).view(), &HnswConfig::new()).unwrap();
    assert_eq!(
        zeros
            .search(vectors(1, 3).view(), 2, None)
            .unwrap()
            .items(0)
            .len(),
        2
    );
}

const ITEMS: i64 = 30;

fn catalog() -> Catalog {
    let counted: Vec<ItemIndex> = (1..=ITEMS as u32)
        .flat_map(|item| vec![ItemIndex::new(item); item as usize])
        .collect();
    let ids = (1..=ITEMS).map(|number| ExternalId::from(format!("item-{number}")));
    Catalog::from_ids(ids)
        .unwrap()
        .with_counts([counted.as_slice()])
}

fn config() -> Gru4RecConfig {
    Gru4RecConfig::new()
        .with_dim(8)
        .with_max_len(5)
        .with_objective(Objective::new().with_similarity(Similarity::Cosine))
}

fn retriever() -> Retriever<Flex, Gru4Rec<Flex>, FlatIndex> {
    let model = config()
        .init::<Flex>(ITEMS as usize, 9, &Default::default())
        .unwrap();
    let index = FlatIndex::new(&item_vectors(&model)).unwrap();
    Retriever::new(model, index, catalog()).unwrap()
}

#[test]
fn a_history_of_any_user_is_answered() {
    let retriever = retriever();
    let history = ["item-3", "nothing known", "item-8"];
    let recalled = retriever
        .recall(history, RecallOptions::new(ITEMS as usize).seen(Seen::Keep))
        .unwrap();
    assert_eq!((recalled.unknown, recalled.source), (1, Source::Model));
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

    let unseen = retriever.recall(history, RecallOptions::new(28)).unwrap();
    assert_eq!(unseen.items.len(), 28);
    let seen = ["item-3", "item-8"].map(ExternalId::from);
    assert!(unseen.items.iter().all(|item| !seen.contains(&item.id)));
    let skipped = retriever.recall(["item-3", "item-8"], RecallOptions::new(28));
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
        let recalled = retriever.recall(history, RecallOptions::new(3)).unwrap();
        assert_eq!(
            (recalled.source, recalled.unknown),
            (Source::Popularity, unknown)
        );
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
    for k in [0, ITEMS as usize + 1] {
        let error = retriever
            .recall(["item-1"], RecallOptions::new(k))
            .unwrap_err();
        assert!(
            matches!(error, Error::InvalidValue { field: "k", .. }),
            "{error}"
        );
    }
    let model = config().init::<Flex>(7, 9, &Default::default()).unwrap();
    let index = FlatIndex::new(&item_vectors(&model)).unwrap();
    let error = Retriever::<Flex, _, _>::new(model, index, catalog()).unwrap_err();
    assert!(
        matches!(
            error,
            Error::Shape {
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
    let expected = retriever.recall(["item-2"], RecallOptions::new(5)).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..20 {
                    let again = retriever.recall(["item-2"], RecallOptions::new(5)).unwrap();
                    assert_eq!(again, expected);
                }
            });
        }
    });
}

type Gru4RecRun = Run<Flex, Gru4RecConfig>;

fn saved_run() -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let model = config()
        .init::<Flex>(ITEMS as usize, 9, &Default::default())
        .unwrap();
    Gru4RecRun {
        config: config(),
        model,
        catalog: catalog(),
    }
    .save(&path)
    .unwrap();
    (folder, path)
}

#[test]
fn a_run_comes_back_as_it_was_saved() {
    let (_folder, path) = saved_run();
    let run = Gru4RecRun::load(&path, &Default::default()).unwrap();
    assert_eq!(run.config, config());
    assert_eq!(run.catalog, catalog());
    let index = FlatIndex::new(&item_vectors(&run.model)).unwrap();
    let loaded = Retriever::new(run.model, index, run.catalog).unwrap();
    let history = ["item-3", "item-8"];
    assert_eq!(
        loaded.recall(history, RecallOptions::new(10)).unwrap(),
        retriever().recall(history, RecallOptions::new(10)).unwrap()
    );
    // Saving over a run replaces it whole.
    let again = Gru4RecRun::load(&path, &Default::default()).unwrap();
    again.save(&path).unwrap();
    assert!(Gru4RecRun::load(&path, &Default::default()).is_ok());
}

/// A file of a run folder that was saved once.
fn file_of(path: &std::path::Path, name: &str) -> std::path::PathBuf {
    match name {
        "run.json" => path.join(name),
        _ => path.join("v000001").join(name),
    }
}

#[test]
fn damaged_and_foreign_runs_are_errors() {
    let load = |path: &std::path::Path| Gru4RecRun::load(path, &Default::default()).unwrap_err();
    let (_folder, path) = saved_run();
    assert!(matches!(load(&path.join("nowhere")), Error::Io { .. }));
    for name in [
        "weights.safetensors",
        "catalog.json",
        "config.json",
        "model.json",
        "run.json",
    ] {
        let (_folder, path) = saved_run();
        let file = file_of(&path, name);
        let whole = std::fs::read(&file).unwrap();
        std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();
        assert!(
            matches!(load(&path), Error::Damaged { .. }),
            "{name} cut short"
        );
        if !["run.json", "model.json"].contains(&name) {
            let mut altered = whole.clone();
            let middle = altered.len() / 2;
            altered[middle] ^= 1;
            std::fs::write(&file, altered).unwrap();
            assert!(
                matches!(load(&path), Error::Damaged { .. }),
                "{name} altered"
            );
        }
        std::fs::remove_file(&file).unwrap();
        assert!(matches!(load(&path), Error::Io { .. }), "{name} missing");
    }
    let change = |from: &str, to: &str| {
        let (folder, path) = saved_run();
        let file = file_of(&path, "model.json");
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains(from));
        std::fs::write(&file, text.replacen(from, to, 1)).unwrap();
        let error = load(&path);
        drop(folder);
        error
    };
    let (_folder, path) = saved_run();
    let pointer = std::fs::read_to_string(path.join("run.json")).unwrap();
    let now = format!("\"format_version\": {RUN_FORMAT_VERSION}");
    assert!(pointer.contains(&now));
    let later = pointer.replacen(&now, "\"format_version\": 99", 1);
    std::fs::write(path.join("run.json"), later).unwrap();
    let version = load(&path);
    assert!(
        matches!(version, Error::FormatVersion { found: 99, .. }),
        "{version}"
    );
    let model = change("\"gru4rec\"", "\"sasrec\"");
    assert!(matches!(model, Error::Damaged { .. }), "{model}");
    let similarity = change("\"cosine\"", "\"dot\"");
    assert!(matches!(similarity, Error::Damaged { .. }), "{similarity}");
    let catalog = change("\"fingerprint\": ", "\"fingerprint\": 1");
    assert!(matches!(catalog, Error::Damaged { .. }), "{catalog}");
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
    let indexes: [Box<dyn Fn() -> Box<dyn UpdatableIndex>>; 2] = [
        Box::new(move || Box::new(flat())),
        Box::new(move || Box::new(graph())),
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
        let report = evaluation
            .run(
                &model,
                &*index,
                &split.test,
                split.catalog(),
                &Default::default(),
            )
            .unwrap();
        // All items but the one that is not there are recalled.
        let coverage = report.get("coverage@29".parse().unwrap()).unwrap();
        assert!((coverage - 29.0 / 30.0).abs() < 1e-9, "{coverage}");
        let retriever =
            Retriever::<Flex, _, _>::new(model.clone(), index, catalog.clone()).unwrap();
        for item in 0..30i64 {
            let recalled = retriever.recall([item], RecallOptions::new(5)).unwrap();
            assert_eq!(recalled.items.len(), 5, "{recalled:?}");
            assert!(recalled.items.iter().all(|found| found.id != 6i64.into()));
        }
        retriever
            .index()
            .add(ItemIndex::new(33), &[0.5; 4])
            .unwrap();
        assert!(retriever.recall([1i64], RecallOptions::new(30)).is_ok());
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
    let channel = VectorChannel::<ModelEncoder<Flex, _>, _>::of_model(
        model.clone(),
        FlatIndex::new(item_vectors::<Flex, _>(&model).view()).unwrap(),
        Default::default(),
    );
    let retriever = Retriever::<Flex, _, _>::new(model, index, catalog).unwrap();
    let (items, times) = ([1, 2, 3, 4].map(ItemIndex::new), [0.0, 60.0, 1e6, 2e6]);
    let history = History::with_times(&items, &times).unwrap();
    let judged = channel.recall(&[history.into()], 10, None).unwrap();
    // External ids are one below the items' indices.
    let timed = [(0i64, 0.0), (1, 60.0), (2, 1e6), (3, 2e6)];
    let served = retriever
        .recall_timed(timed, RecallOptions::new(10).seen(Seen::Keep))
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
        .recall_timed(shifted, RecallOptions::new(10).seen(Seen::Keep))
        .unwrap();
    assert_ne!(other.items, served.items, "times must matter in this test");
    let refused = retriever.recall([0i64, 1], RecallOptions::new(10));
    assert!(
        matches!(refused, Err(Error::TimesMissing { row: 0 })),
        "{refused:?}"
    );
    let refused = channel.recall(&[(&items[..]).into()], 10, None);
    assert!(
        matches!(refused, Err(Error::TimesMissing { .. })),
        "{refused:?}"
    );
}

#[test]
fn items_that_a_channel_does_not_know_are_an_error() {
    let config = Gru4RecConfig::new().with_dim(4);
    let model = config.init::<Flex>(30, 1, &Default::default()).unwrap();
    let index = FlatIndex::new(item_vectors::<Flex, _>(&model).view()).unwrap();
    let channel =
        VectorChannel::<ModelEncoder<Flex, _>, _>::of_model(model, index, Default::default());
    for item in [0, 31, u32::MAX].map(ItemIndex::new) {
        let found = channel.recall(&[(&[ItemIndex::new(1), item][..]).into()], 3, None);
        assert!(
            matches!(found, Err(Error::UnknownItem { item: unknown }) if unknown == item),
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
        let report = evaluation.run_channel(&popular, &split.test, split.catalog());
        report.unwrap().unreachable_labels
    };
    assert_eq!(
        (unreachable(Seen::Keep), unreachable(Seen::Exclude)),
        (0, 1)
    );
}
