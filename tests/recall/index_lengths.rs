//! Indexes over vectors that differ in length, as learned ones do: seven kinds of sets in small.

use std::collections::HashMap;

use ndarray::{Array2, ArrayView2, s};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;
use seqrec::data::ItemIndex;
use seqrec::index::{
    AnyIndex, Filter, FlatIndex, HnswConfig, HnswIndex, IndexPlan, ItemSet, Precision,
    UpdatableIndex, VectorIndex,
};

const ITEMS: usize = 5_000;
const DIM: usize = 16;
const QUERIES: usize = 200;
const K: usize = 10;

const KINDS: [&str; 7] = [
    "lengths as they come",
    "lognormal lengths, σ 0.25",
    "lognormal lengths, σ 0.5",
    "lognormal lengths, σ 1",
    "one coordinate outweighs the rest",
    "a tenth equal in groups of 200",
    "clusters",
];

fn normal(rows: usize, random: &mut ChaCha8Rng) -> Array2<f32> {
    Array2::from_shape_fn((rows, DIM), |_| StandardNormal.sample(random))
}

/// Item vectors of a kind, row 0 padding, and queries.
fn set(kind: &str, seed: u64) -> (Array2<f32>, Array2<f32>) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let random = &mut random;
    let mut items = normal(ITEMS + 1, random);
    let mut queries = normal(QUERIES, random);
    let spread = match kind {
        "lognormal lengths, σ 0.25" => 0.25,
        "lognormal lengths, σ 1" => 1.0,
        "lengths as they come" | "one coordinate outweighs the rest" => 0.0,
        _ => 0.5,
    };
    if kind == "clusters" {
        let centers = normal(100, random);
        for (rows, noise) in [(&mut items, 0.5), (&mut queries, 0.7)] {
            for mut row in rows.rows_mut() {
                row *= noise;
                row += &centers.row(random.random_range(0..100));
            }
        }
    }
    for mut row in items.rows_mut() {
        let stretch: f32 = StandardNormal.sample(random);
        row *= (spread * stretch).exp();
    }
    match kind {
        "one coordinate outweighs the rest" => {
            items *= 0.3;
            items.column_mut(0).mapv_inplace(|value| 50.0 * value);
            queries.column_mut(0).fill(0.05);
        }
        "a tenth equal in groups of 200" => {
            for group in (1..=ITEMS).step_by(2_000) {
                let first = items.row(group).to_owned();
                let end = (group + 200).min(ITEMS + 1);
                items.slice_mut(s![group..end, ..]).assign(&first);
            }
        }
        _ => {}
    }
    (items, queries)
}

/// The recall of an index that holds the rows of `items`, or those of them that it should.
fn recall(
    index: &dyn VectorIndex,
    items: ArrayView2<'_, f32>,
    queries: ArrayView2<'_, f32>,
    filter: Option<Filter<'_>>,
) -> f64 {
    recall_at(K, index, items, queries, filter)
}

fn recall_at(
    k: usize,
    index: &dyn VectorIndex,
    items: ArrayView2<'_, f32>,
    queries: ArrayView2<'_, f32>,
    filter: Option<Filter<'_>>,
) -> f64 {
    let exact = FlatIndex::new(items).unwrap();
    let exact = exact.search(queries, k, filter).unwrap();
    let found = index.search(queries, k, filter).unwrap();
    let mut hits = 0;
    for query in 0..exact.len() {
        let score = |item: &ItemIndex| items.row(item.to_usize()).dot(&queries.row(query));
        let least = exact.items(query).last().map_or(f32::MAX, score);
        let reached = found.items(query).iter().map(score);
        hits += reached
            .filter(|&score| score >= least - least.abs() * 1e-5)
            .count();
    }
    hits as f64
        / (0..exact.len())
            .map(|query| exact.items(query).len())
            .sum::<usize>() as f64
}

/// Builds on one thread, so that it is the same graph each time: what several make depends on which
/// of them is held up.
fn alone<R: Send>(build: impl FnOnce() -> R + Send) -> R {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    pool.unwrap().install(build)
}

/// The kinds beside each other, as each is built on one thread.
fn of_every_kind(test: impl Fn(&str) + Sync) {
    KINDS.par_iter().for_each(|kind| test(kind));
}

#[test]
fn every_kind_is_found_in_every_precision() {
    of_every_kind(|kind| {
        let (items, queries) = set(kind, 1);
        // Bytes of a vector of which one coordinate outweighs the rest hold little of the rest.
        let rounded = if kind == KINDS[4] { 0.2 } else { 0.9 };
        for (precision, least) in [
            (Precision::F32, 0.99),
            (Precision::F16, 0.97),
            (Precision::Int8, rounded),
        ] {
            let config = HnswConfig::new().with_precision(precision);
            let graph = alone(|| HnswIndex::new(items.view(), &config)).unwrap();
            let found = recall(&graph, items.view(), queries.view(), None);
            assert!(found >= least, "{kind}, {precision:?}: {found}");
        }
        #[cfg(feature = "hnsw_rs")]
        if kind != KINDS[4] {
            use seqrec::index::HnswRsIndex;
            let other = alone(|| HnswRsIndex::new(items.view(), &HnswConfig::new())).unwrap();
            let found = recall(&other, items.view(), queries.view(), None);
            assert!(found >= 0.9, "{kind}, hnsw_rs: {found}");
        }
    });
}

#[test]
fn an_exact_index_of_two_bytes_a_value_is_nearly_exact() {
    for kind in KINDS {
        let (items, queries) = set(kind, 5);
        let index = FlatIndex::with_precision(items.view(), Precision::F16).unwrap();
        let exact = FlatIndex::new(items.view()).unwrap();
        assert!(index.bytes() * 10 < exact.bytes() * 6);
        // Where one coordinate is fifty times as long as the others, a byte holds little of these.
        let least = if kind == "one coordinate outweighs the rest" {
            0.99
        } else {
            0.999
        };
        for k in [1, 10, 100] {
            let found = recall_at(k, &index, items.view(), queries.view(), None);
            assert!(found >= least, "{kind}, k {k}: {found}");
        }
    }
}

#[test]
fn every_kind_is_found_through_filters() {
    of_every_kind(|kind| {
        let (items, queries) = set(kind, 2);
        let graph = alone(|| HnswIndex::new(items.view(), &HnswConfig::new())).unwrap();
        for share in [0.5, 0.1, 0.01, 0.001] {
            let mut random = ChaCha8Rng::seed_from_u64(3);
            let passing: ItemSet = (1..=ITEMS as u32)
                .map(ItemIndex::new)
                .filter(|_| random.random_bool(share))
                .collect();
            let passes = |_: usize, item: ItemIndex| passing.contains(item);
            for filter in [Filter::Allowed(&passing), Filter::Predicate(&passes)] {
                let found = recall(&graph, items.view(), queries.view(), Some(filter));
                assert!(found >= 0.95, "{kind}, {share} pass: {found}");
            }
        }
    });
}

/// The vectors of `items` that an index holds are those of `now`, and it finds about as many as
/// one that is built anew.
fn as_good_as_new(what: &str, updated: &HnswIndex, now: &Array2<f32>, queries: &Array2<f32>) {
    let anew = alone(|| HnswIndex::new(now.view(), updated.config())).unwrap();
    let updated = recall(updated, now.view(), queries.view(), None);
    let anew = recall(&anew, now.view(), queries.view(), None);
    assert!(updated >= anew - 0.005, "{what}: {updated}, anew {anew}");
}

#[test]
fn updates_leave_an_index_as_good_as_new() {
    of_every_kind(|kind| {
        let (items, queries) = set(kind, 4);
        let (other, _) = set(kind, 5);
        let row = |rows: &Array2<f32>, item: u32| rows.row(item as usize).to_vec();

        let index = alone(|| HnswIndex::new(items.view(), &HnswConfig::new())).unwrap();
        let mut now = items.clone();
        for item in (1..=ITEMS as u32).step_by(2) {
            index
                .replace(ItemIndex::new(item), &row(&other, item))
                .unwrap();
            now.row_mut(item as usize).assign(&other.row(item as usize));
        }
        as_good_as_new(&format!("{kind}, half replaced"), &index, &now, &queries);

        for item in 1..=ITEMS as u32 {
            index.remove(ItemIndex::new(item)).unwrap();
        }
        assert!(index.is_empty());
        for item in 1..=ITEMS as u32 {
            index.add(ItemIndex::new(item), &row(&other, item)).unwrap();
        }
        as_good_as_new(&format!("{kind}, all replaced"), &index, &other, &queries);
    });
}

#[test]
fn vectors_that_go_from_item_to_item_stay_found() {
    // Each is there twice for a while: with the item that gets it and with the one that had it.
    let (items, queries) = set(KINDS[2], 12);
    let config = HnswConfig::new().with_m(8).with_ef_search(30);
    let mut random = ChaCha8Rng::seed_from_u64(13);
    let moving: Vec<usize> = (1..=ITEMS).filter(|_| random.random_bool(0.45)).collect();
    let mut first = items.clone();
    for (place, &item) in moving.iter().enumerate() {
        let next = moving[(place + 1) % moving.len()];
        first.row_mut(item).assign(&items.row(next));
    }
    // On one thread, so that there is one graph only.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    pool.unwrap().install(|| {
        let index = alone(|| HnswIndex::new(first.view(), &config)).unwrap();
        for &item in &moving {
            index
                .replace(ItemIndex::new(item as u32), &items.row(item).to_vec())
                .unwrap();
        }
        as_good_as_new("handed on", &index, &items, &queries);
    });
}

#[test]
fn an_index_grown_from_one_short_vector_is_as_good_as_new() {
    for kind in [KINDS[2], KINDS[4]] {
        let (items, queries) = set(kind, 6);
        let tiny = Array2::from_elem((2, DIM), 1e-3);
        let index = alone(|| HnswIndex::new(tiny.view(), &HnswConfig::new())).unwrap();
        index.remove(ItemIndex::new(1)).unwrap();
        // The shortest first, and so the longest last.
        let mut order: Vec<u32> = (1..=ITEMS as u32).collect();
        let square = |item: u32| items.row(item as usize).dot(&items.row(item as usize));
        order.sort_by(|&a, &b| square(a).total_cmp(&square(b)));
        for item in order {
            index
                .add(ItemIndex::new(item), &items.row(item as usize).to_vec())
                .unwrap();
        }
        as_good_as_new(
            &format!("{kind}, the longest last"),
            &index,
            &items,
            &queries,
        );
    }
}

#[test]
fn the_longest_is_found_when_it_comes_last() {
    let (mut items, queries) = set(KINDS[2], 7);
    let longest = items.row(9).mapv(|value| 50.0 * value);
    let index = alone(|| HnswIndex::new(items.view(), &HnswConfig::new())).unwrap();
    items.push_row(longest.view()).unwrap();
    index
        .add(
            ItemIndex::new(ITEMS as u32 + 1),
            longest.as_slice().unwrap(),
        )
        .unwrap();
    as_good_as_new("the longest last", &index, &items, &queries);
    let toward = longest.insert_axis(ndarray::Axis(0));
    let hits = index.search(toward.view(), 1, None).unwrap();
    assert_eq!(hits.items(0), [ItemIndex::new(ITEMS as u32 + 1)]);
}

#[test]
fn vectors_of_zeros_and_equal_ones_are_all_there() {
    let (mut items, queries) = set(KINDS[2], 8);
    items.slice_mut(s![1..1_001, ..]).fill(0.0);
    let first = items.row(2_000).to_owned();
    items.slice_mut(s![2_000..2_500, ..]).assign(&first);
    for precision in [Precision::F32, Precision::F16, Precision::Int8] {
        let config = HnswConfig::new().with_precision(precision);
        let index = alone(|| HnswIndex::new(items.view(), &config)).unwrap();
        let query = first.view().insert_axis(ndarray::Axis(0));
        let exact = FlatIndex::with_precision(items.view(), precision).unwrap();
        let exact = exact.search(query, 600, None).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("items.index");
        index.save(&path, 3).unwrap();
        for index in [index, HnswIndex::open(&path, 3).unwrap()] {
            let found = index.search(query, 600, None).unwrap();
            let mut ids = found.items(0).to_vec();
            ids.sort_unstable();
            ids.dedup();
            assert_eq!(ids.len(), 600, "{precision:?}: items come once each");
            assert!(found.recall(&exact) >= 0.98, "{precision:?}");
            // The linked one of them goes; the others stay.
            for item in 2_000..2_100 {
                index.remove(ItemIndex::new(item)).unwrap();
            }
            index
                .add(ItemIndex::new(9_999), first.as_slice().unwrap())
                .unwrap();
            let found = index.search(query, 600, None).unwrap();
            let by_item: HashMap<u32, f32> = found
                .list(0)
                .map(|hit| (hit.item.get(), hit.score))
                .collect();
            assert_eq!(by_item.len(), 600);
            assert!((2_000..2_100).all(|item| !by_item.contains_key(&item)));
            let equal = (2_100..2_500).chain([9_999]);
            assert_eq!(equal.filter(|item| by_item.contains_key(item)).count(), 401);
            index.search(queries.view(), K, None).unwrap();
        }
    }
}

#[test]
fn an_index_says_what_it_finds_and_is_tuned_for_it() {
    let (items, queries) = set(KINDS[0], 9);
    let config = HnswConfig::new().with_m(4).with_ef_search(K);
    let index = alone(|| HnswIndex::new(items.view(), &config)).unwrap();
    let measured = index.measure_recall(queries.view(), K).unwrap();
    let truth = recall(&index, items.view(), queries.view(), None);
    assert!((measured - truth).abs() < 0.002, "{measured}, {truth}");
    assert!(measured < 0.9, "{measured}: nothing to tune");

    let (index, report) = index.tuned_for(0.9 * measured, queries.view(), K).unwrap();
    assert_eq!((report.ef_search, report.vectors), (Some(K), index.len()));

    // More than a walk finds in the time of an exact search: 5,000 points are gone through quickly.
    let (index, report) = index.tuned_for(1.0, queries.view(), K).unwrap();
    assert!(report.gave_up && report.ef_search.is_none() && report.recall == 1.0);
    assert!(index.is_exact());
    assert_eq!(recall(&index, items.view(), queries.view(), None), 1.0);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("items.index");
    index.save(&path, 3).unwrap();
    assert!(HnswIndex::open(&path, 3).unwrap().is_exact());
    assert!(!index.with_ef_search(50).unwrap().is_exact());

    for recall in [0.0, -1.0, 1.1, f64::NAN] {
        let index = alone(|| HnswIndex::new(items.view(), &config)).unwrap();
        assert!(
            index.tuned_for(recall, queries.view(), K).is_err(),
            "{recall}"
        );
    }
    let index = alone(|| HnswIndex::new(items.view(), &config)).unwrap();
    let none = Array2::zeros((0, DIM));
    assert!(index.measure_recall(none.view(), K).is_err());
}

#[test]
fn a_plan_takes_a_graph_where_there_are_many_and_tunes_it() {
    let (items, queries) = set(KINDS[3], 10);
    let (index, report) = IndexPlan::default()
        .build(items.view(), queries.view(), K)
        .unwrap();
    assert!(matches!(index, AnyIndex::Flat(_)) && index.is_exact() && report.recall == 1.0);
    let plan = IndexPlan::new()
        .with_exact_up_to(1_000)
        .with_graph(HnswConfig::new().with_ef_search(K))
        .with_recall(0.99);
    let (index, report) = plan.build(items.view(), queries.view(), K).unwrap();
    assert!(matches!(index, AnyIndex::Graph(_)));
    let first = ItemIndex::new(1);
    assert_eq!(index.vector(first).unwrap(), items.row(1).to_vec());
    index.replace(first, &[0.5; DIM]).unwrap();
    assert_eq!(index.vector(first).unwrap(), [0.5; DIM]);
    index.replace(first, &items.row(1).to_vec()).unwrap();
    assert!(
        report.recall >= 0.99 && report.ef_search.is_some_and(|ef| ef >= K),
        "{report}"
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("items.index");
    index.save(&path, 3).unwrap();
    let opened = AnyIndex::open(&path, 3).unwrap();
    let found = |index: &AnyIndex| index.search(queries.view(), K, None).unwrap();
    assert_eq!(found(&opened).items(7), found(&index).items(7));
    assert!(AnyIndex::open(&path, 4).is_err());
    std::fs::write(&path, b"no index").unwrap();
    assert!(AnyIndex::open(&path, 3).is_err());
}

/// An index that answers interests in its own way.
struct Own(FlatIndex);

impl VectorIndex for Own {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn dim(&self) -> usize {
        self.0.dim()
    }

    fn is_exact(&self) -> bool {
        true
    }

    fn search(
        &self,
        queries: ArrayView2<'_, f32>,
        k: usize,
        filter: Option<Filter<'_>>,
    ) -> seqrec::Result<seqrec::index::Hits> {
        self.0.search(queries, k, filter)
    }

    fn search_interests(
        &self,
        queries: ArrayView2<'_, f32>,
        _: usize,
        _: usize,
        filter: Option<Filter<'_>>,
    ) -> seqrec::Result<seqrec::index::Hits> {
        self.0.search(queries, 1, filter)
    }
}

#[test]
fn pointers_do_all_that_an_index_does() {
    fn hits(index: impl VectorIndex, queries: &Array2<f32>) -> usize {
        let hits = index.search_interests(queries.view(), 2, 5, None).unwrap();
        hits.items(0).len()
    }
    fn updated(index: impl UpdatableIndex) -> bool {
        index.remove(ItemIndex::new(1)).unwrap();
        index.add(ItemIndex::new(1), &[1.0; DIM]).unwrap();
        index.replace(ItemIndex::new(1), &[0.5; DIM]).unwrap();
        index.contains(ItemIndex::new(1))
    }
    let (items, queries) = set(KINDS[0], 11);
    let own = || Own(FlatIndex::new(items.view()).unwrap());
    let by_reference: &dyn VectorIndex = &own();
    assert_eq!(hits(by_reference, &queries), 1);
    assert_eq!(hits(Box::new(own()), &queries), 1);
    assert_eq!(hits(std::sync::Arc::new(own()), &queries), 1);
    let flat = || FlatIndex::new(items.view()).unwrap();
    let by_reference: &dyn UpdatableIndex = &flat();
    assert!(
        updated(by_reference) && updated(Box::new(flat())) && updated(std::sync::Arc::new(flat()))
    );
    let shared: std::sync::Arc<dyn UpdatableIndex> = std::sync::Arc::new(flat());
    assert!(updated(shared));
}
