//! Indexes against brute force, under updates, and in files.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use ndarray::{Array2, ArrayView2};
use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use seqrec::data::ItemIndex;
use seqrec::index::{
    Filter, FlatIndex, HnswConfig, HnswIndex, ItemSet, Precision, UpdatableIndex, VectorIndex,
};
use seqrec::{Error, ErrorKind};

/// Vectors around centers, row 0 padding.
fn clustered(rows: usize, dim: usize, seed: u64) -> Array2<f32> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let centers =
        Array2::from_shape_fn((1 + rows / 50, dim), |_| random.random_range(-1.0..1.0f32));
    Array2::from_shape_fn((rows, dim), |(row, column)| {
        centers[[row * 7 % centers.nrows(), column]] + 0.4 * random.random_range(-1.0..1.0f32)
    })
}

/// The best of some items, followed to the letter.
fn by_sorting<'a>(
    items: impl Iterator<Item = (u32, ndarray::ArrayView1<'a, f32>)>,
    query: ndarray::ArrayView1<'_, f32>,
    k: usize,
) -> Vec<u32> {
    let mut scored: Vec<(f32, u32)> = items
        .map(|(item, vector)| (vector.dot(&query), item))
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    scored.into_iter().take(k).map(|(_, item)| item).collect()
}

/// The share of the true best, over all queries, that the index finds.
fn recall(
    index: &dyn VectorIndex,
    truth: &[Vec<u32>],
    queries: ArrayView2<'_, f32>,
    k: usize,
) -> f64 {
    let hits = index.search(queries, k, None).unwrap();
    let found = |(query, truth): (usize, &Vec<u32>)| {
        truth
            .iter()
            .filter(|item| hits.items(query).contains(&ItemIndex::new(**item)))
            .count()
    };
    let all: usize = truth.iter().map(Vec::len).sum();
    truth.iter().enumerate().map(found).sum::<usize>() as f64 / all as f64
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn searches_agree_with_sorting(
        rows in 2..400usize, dim in 1..40usize, k in 1..30usize, seed in 0..1000u64,
        pass in prop_oneof![Just(1.0), Just(0.5), Just(0.02)],
    ) {
        let vectors = clustered(rows, dim, seed);
        let queries = clustered(5, dim, seed + 1);
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let allowed: ItemSet =
            (1..rows as u32).map(ItemIndex::new).filter(|_| random.random_bool(pass)).collect();
        let flat = FlatIndex::new(vectors.view()).unwrap();
        let config = HnswConfig::new().with_m(8).with_ef_construction(40);
        let graph = HnswIndex::new(vectors.view(), &config).unwrap();
        let by_predicate = |_: usize, item: ItemIndex| allowed.contains(item);
        for filter in [None, Some(Filter::Allowed(&allowed)), Some(Filter::Predicate(&by_predicate))] {
            let exact = flat.search(queries.view(), k, filter).unwrap();
            let near = graph.search(queries.view(), k, filter).unwrap();
            for (query, vector) in queries.rows().into_iter().enumerate() {
                let passing = (1..rows as u32)
                    .filter(|&item| filter.is_none_or(|filter| filter.passes(query, ItemIndex::new(item))))
                    .map(|item| (item, vectors.row(item as usize)));
                let expected = by_sorting(passing, vector, k);
                // Sums in another order can swap neighbors that are all but equal.
                prop_assert_eq!(exact.items(query).len(), expected.len());
                for (item, &score) in expected.iter().zip(exact.scores(query)) {
                    let truth = vectors.row(*item as usize).dot(&vector);
                    prop_assert!((truth - score).abs() < 1e-4, "{truth} {score}");
                }
                // As many as there are, none twice, none that does not pass, best first.
                let found = near.items(query);
                prop_assert_eq!(found.len(), expected.len());
                prop_assert!(found.iter().collect::<std::collections::HashSet<_>>().len() == found.len());
                prop_assert!(near.scores(query).is_sorted_by(|a, b| a >= b));
                for hit in near.list(query) {
                    prop_assert!(filter.is_none_or(|filter| filter.passes(query, hit.item)));
                    let truth = vectors.row(hit.item.to_usize()).dot(&vector);
                    prop_assert!((truth - hit.score).abs() < 1e-4);
                }
            }
        }
    }
}

#[test]
fn every_precision_finds_nearly_all() {
    let vectors = clustered(4_001, 24, 3);
    let queries = clustered(100, 24, 4);
    let items = || (1..4_001).map(|item| (item as u32, vectors.row(item)));
    let truth: Vec<_> = queries
        .rows()
        .into_iter()
        .map(|query| by_sorting(items(), query, 10))
        .collect();
    for (precision, least) in [
        (Precision::F32, 0.99),
        (Precision::F16, 0.985),
        (Precision::Int8, 0.95),
    ] {
        let config = HnswConfig::new().with_precision(precision);
        let graph = HnswIndex::new(vectors.view(), &config).unwrap();
        let found = recall(&graph, &truth, queries.view(), 10);
        assert!(found >= least, "{precision:?}: {found}");
    }
    #[cfg(feature = "hnsw_rs")]
    {
        let other = seqrec::index::HnswRsIndex::new(vectors.view(), &HnswConfig::new()).unwrap();
        let found = recall(&other, &truth, queries.view(), 10);
        assert!(found >= 0.95, "{found}");
    }
}

#[test]
fn interests_are_searched_in_one_call() {
    let vectors = clustered(501, 8, 16);
    let flat = FlatIndex::new(vectors.view()).unwrap();
    let graph = HnswIndex::new(vectors.view(), &HnswConfig::new()).unwrap();
    let queries = clustered(6, 8, 17);
    for index in [&flat as &dyn VectorIndex, &graph] {
        let hits = index.search_interests(queries.view(), 3, 7, None).unwrap();
        assert_eq!(hits.len(), 2);
        for user in 0..2 {
            let of_user = queries.slice(ndarray::s![3 * user..3 * user + 3, ..]);
            let mut best: Vec<(f32, u32)> = (1..501)
                .map(|item| {
                    let scores = of_user.dot(&vectors.row(item));
                    (scores.iter().copied().fold(f32::MIN, f32::max), item as u32)
                })
                .collect();
            best.sort_by(|a, b| b.0.total_cmp(&a.0));
            let expected: Vec<u32> = best.iter().take(7).map(|&(_, item)| item).collect();
            assert_eq!(ItemIndex::as_numbers(hits.items(user)), expected);
        }
        assert!(matches!(
            index
                .search_interests(queries.view(), 4, 7, None)
                .as_ref()
                .map_err(Error::kind),
            Err(ErrorKind::Shape {
                expected: 8,
                found: 6,
                ..
            })
        ));
        assert!(matches!(
            index
                .search_interests(queries.view(), 0, 7, None)
                .as_ref()
                .map_err(Error::kind),
            Err(ErrorKind::InvalidValue {
                field: "interests",
                ..
            })
        ));
    }
}

#[test]
fn one_thread_and_one_seed_give_one_graph() {
    let vectors = clustered(1_001, 8, 5);
    let saved = |seed: u64| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("items.index");
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(1)
            .build()
            .unwrap();
        let config = HnswConfig::new().with_seed(seed);
        let index = pool.install(|| HnswIndex::new(vectors.view(), &config).unwrap());
        index.save(&path, 1).unwrap();
        std::fs::read(path).unwrap()
    };
    assert_eq!(saved(1), saved(1));
    assert_ne!(saved(1), saved(2));
}

/// What an index that is updated should hold.
struct Mirror {
    dim: usize,
    vectors: BTreeMap<u32, Vec<f32>>,
    random: ChaCha8Rng,
}

impl Mirror {
    fn new(vectors: ArrayView2<'_, f32>) -> Self {
        let rows = vectors.rows().into_iter().enumerate().skip(1);
        Self {
            dim: vectors.ncols(),
            vectors: rows
                .map(|(item, row)| (item as u32, row.to_vec()))
                .collect(),
            random: ChaCha8Rng::seed_from_u64(9),
        }
    }

    fn vector(&mut self) -> Vec<f32> {
        let other: Vec<u32> = self.vectors.keys().copied().collect();
        let near = other[self.random.random_range(0..other.len())];
        let near = self.vectors[&near].clone();
        near.into_iter()
            .map(|value| value + 0.3 * self.random.random_range(-1.0..1.0f32))
            .collect()
    }

    /// A matrix of all vectors, row 0 padding, and the item of each row.
    fn fresh(&self) -> (Array2<f32>, Vec<u32>) {
        let rows =
            std::iter::repeat_n(0.0, self.dim).chain(self.vectors.values().flatten().copied());
        let vectors = Array2::from_shape_vec((self.vectors.len() + 1, self.dim), rows.collect());
        (vectors.unwrap(), self.vectors.keys().copied().collect())
    }
}

#[test]
fn replacing_half_of_the_items_costs_no_recall() {
    let vectors = clustered(4_001, 16, 6);
    let index = HnswIndex::new(vectors.view(), &HnswConfig::new().with_ef_search(40)).unwrap();
    let mut mirror = Mirror::new(vectors.view());
    for round in 0..2_000 {
        let item = mirror.random.random_range(1..4_001);
        let vector = mirror.vector();
        match (mirror.vectors.contains_key(&item), round % 4) {
            (true, 0) => {
                index.remove(ItemIndex::new(item)).unwrap();
                mirror.vectors.remove(&item);
            }
            (true, _) => {
                index.replace(ItemIndex::new(item), &vector).unwrap();
                mirror.vectors.insert(item, vector);
            }
            (false, _) => {
                index.add(ItemIndex::new(item), &vector).unwrap();
                mirror.vectors.insert(item, vector);
            }
        }
        assert_eq!(index.len(), mirror.vectors.len());
    }
    let (fresh, names) = mirror.fresh();
    let queries = clustered(200, 16, 7);
    let truth: Vec<_> = (queries.rows().into_iter())
        .map(|query| {
            let rows = names.iter().zip(fresh.rows().into_iter().skip(1));
            by_sorting(rows.map(|(&item, row)| (item, row)), query, 10)
        })
        .collect();
    let updated = recall(&index, &truth, queries.view(), 10);
    let built = HnswIndex::new(fresh.view(), index.config()).unwrap();
    let row_of = |item: &u32| names.binary_search(item).unwrap() as u32 + 1;
    let by_row: Vec<Vec<_>> = truth
        .iter()
        .map(|best| best.iter().map(row_of).collect())
        .collect();
    let built = recall(&built, &by_row, queries.view(), 10);
    assert!(
        updated >= built - 0.01,
        "updated {updated}, built anew {built}"
    );
    let hits = index.search(queries.view(), 50, None).unwrap();
    for query in 0..hits.len() {
        assert!(
            hits.items(query)
                .iter()
                .all(|item| mirror.vectors.contains_key(&item.get()))
        );
    }
}

#[test]
fn an_index_can_be_emptied_and_filled_again() {
    let vectors = clustered(301, 8, 8);
    let query = vectors.slice(ndarray::s![1..2, ..]);
    let graph = HnswIndex::new(vectors.view(), &HnswConfig::new()).unwrap();
    let flat = FlatIndex::new(vectors.view()).unwrap();
    for index in [&graph as &dyn UpdatableIndex, &flat] {
        for round in 0..3 {
            for item in 1..301 {
                index.remove(ItemIndex::new(item)).unwrap();
            }
            assert!(index.is_empty());
            assert_eq!(index.search(query, 5, None).unwrap().items(0), []);
            for item in 1..301 {
                index
                    .add(
                        ItemIndex::new(item),
                        vectors.row(item as usize).as_slice().unwrap(),
                    )
                    .unwrap();
            }
            let best = by_sorting(
                (1..301).map(|item| (item as u32, vectors.row(item))),
                query.row(0),
                1,
            );
            assert_eq!(
                ItemIndex::as_numbers(index.search(query, 1, None).unwrap().items(0)),
                best,
                "round {round}"
            );
        }
        assert!(
            index.contains(ItemIndex::new(300))
                && !index.contains(ItemIndex::new(301))
                && !index.contains(ItemIndex::new(0))
        );
    }
}

#[test]
fn updates_that_cannot_be_are_errors() {
    let vectors = clustered(20, 4, 9);
    let graph = HnswIndex::new(vectors.view(), &HnswConfig::new()).unwrap();
    let flat = FlatIndex::new(vectors.view()).unwrap();
    let good = [0.5; 4];
    for index in [&graph as &dyn UpdatableIndex, &flat] {
        assert!(matches!(
            index.add(ItemIndex::new(3), &good).as_ref().map_err(Error::kind),
            Err(ErrorKind::DuplicateItem { item }) if item.get() == 3
        ));
        assert!(matches!(
            index.replace(ItemIndex::new(20), &good).as_ref().map_err(Error::kind),
            Err(ErrorKind::UnknownItem { item }) if item.get() == 20
        ));
        assert!(matches!(
            index.remove(ItemIndex::new(20)).as_ref().map_err(Error::kind),
            Err(ErrorKind::UnknownItem { item }) if item.get() == 20
        ));
        assert!(matches!(
            index
                .add(ItemIndex::new(0), &good)
                .as_ref()
                .map_err(Error::kind),
            Err(ErrorKind::InvalidValue { field: "item", .. })
        ));
        assert!(matches!(
            index
                .add(ItemIndex::new(20), &good[..3])
                .as_ref()
                .map_err(Error::kind),
            Err(ErrorKind::Shape {
                expected: 4,
                found: 3,
                ..
            })
        ));
        let broken = [0.0, f32::NAN, 0.0, 0.0];
        assert!(matches!(
            index
                .replace(ItemIndex::new(3), &broken)
                .as_ref()
                .map_err(Error::kind),
            Err(ErrorKind::NonFiniteVector { column: 1, .. })
        ));
        assert_eq!(index.len(), 19);
    }
    let far = flat.add(ItemIndex::MAX, &good);
    assert!(matches!(
        far.as_ref().map_err(Error::kind),
        Err(ErrorKind::InvalidValue { field: "item", .. })
    ));
}

/// Items are taken out, put back and moved while others search: no search may give an item that
/// was out all the time, and every score must be one that the item had.
#[test]
fn searches_go_on_while_items_come_and_go() {
    let vectors = clustered(2_001, 8, 10);
    let graph =
        HnswIndex::new(vectors.view(), &HnswConfig::new().with_ef_construction(40)).unwrap();
    let flat = FlatIndex::new(vectors.view()).unwrap();
    let queries = vectors.slice(ndarray::s![1..9, ..]);
    for index in [&graph as &dyn UpdatableIndex, &flat] {
        // The last thousand are never there, the first never leave.
        for item in 1_001..2_001 {
            index.remove(ItemIndex::new(item)).unwrap();
        }
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let mut searches = 0;
                    while !done.load(Ordering::Relaxed) || searches == 0 {
                        let hits = index.search(queries, 20, None).unwrap();
                        for (query, vector) in queries.rows().into_iter().enumerate() {
                            assert_eq!(hits.items(query).len(), 20);
                            for hit in hits.list(query) {
                                assert!(hit.item.get() <= 1_000, "{} was removed", hit.item);
                                let score = vectors.row(hit.item.to_usize()).dot(&vector);
                                assert!((score - hit.score).abs() < 1e-4);
                            }
                        }
                        searches += 1;
                    }
                });
            }
            for item in (501..=1_000).chain(501..=1_000) {
                let vector = vectors.row(item as usize).to_vec();
                index.remove(ItemIndex::new(item)).unwrap();
                index.add(ItemIndex::new(item), &vector).unwrap();
                index.replace(ItemIndex::new(item), &vector).unwrap();
            }
            done.store(true, Ordering::Relaxed);
        });
        assert_eq!(index.len(), 1_000);
    }
}

fn saved(precision: Precision) -> (tempfile::TempDir, std::path::PathBuf, HnswIndex) {
    let vectors = clustered(501, 12, 11);
    let index =
        HnswIndex::new(vectors.view(), &HnswConfig::new().with_precision(precision)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("items.index");
    index.save(&path, 77).unwrap();
    (folder, path, index)
}

#[test]
fn a_file_answers_as_the_index_that_wrote_it_and_takes_updates() {
    let queries = clustered(20, 12, 12);
    for precision in [Precision::F32, Precision::F16, Precision::Int8] {
        let (_folder, path, index) = saved(precision);
        let opened = HnswIndex::open(&path, 77).unwrap();
        assert_eq!(opened.config(), index.config());
        let search = |index: &HnswIndex| index.search(queries.view(), 10, None).unwrap();
        assert_eq!(search(&opened), search(&index));
        opened.remove(ItemIndex::new(3)).unwrap();
        opened.add(ItemIndex::new(900), &[0.25; 12]).unwrap();
        assert_eq!(opened.len(), index.len());
        assert!(opened.contains(ItemIndex::new(900)) && !opened.contains(ItemIndex::new(3)));
        opened.save(&path, 77).unwrap();
        let again = HnswIndex::open(&path, 77).unwrap();
        assert_eq!(search(&again), search(&opened));
        assert!(!again.contains(ItemIndex::new(3)));
    }
}

#[test]
fn a_flat_file_answers_as_the_index_that_wrote_it() {
    let vectors = clustered(301, 12, 13);
    let queries = clustered(20, 12, 12);
    for precision in [Precision::F32, Precision::F16, Precision::Int8] {
        let index = FlatIndex::with_precision(vectors.view(), precision).unwrap();
        index.remove(ItemIndex::new(5)).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("items.index");
        index.save(&path, 1).unwrap();
        let opened = FlatIndex::open(&path, 1).unwrap();
        let search = |index: &FlatIndex| index.search(queries.view(), 10, None).unwrap();
        assert_eq!(search(&opened), search(&index));
        opened.add(ItemIndex::new(5), &[0.5; 12]).unwrap();
        assert!(opened.contains(ItemIndex::new(5)));
        assert!(matches!(
            HnswIndex::open(&path, 1).as_ref().map_err(Error::kind),
            Err(ErrorKind::Damaged { .. })
        ));
    }
}

#[test]
fn files_that_are_not_right_are_errors() {
    let (folder, path, _) = saved(Precision::F32);
    let whole = std::fs::read(&path).unwrap();
    assert!(matches!(
        HnswIndex::open(&path, 78).as_ref().map_err(Error::kind),
        Err(ErrorKind::OtherCatalog {
            expected: 78,
            found: 77,
            ..
        })
    ));
    let other = folder.path().join("other.index");
    let open = |bytes: &[u8]| {
        std::fs::write(&other, bytes).unwrap();
        HnswIndex::open(&other, 77)
    };
    for len in (0..whole.len()).step_by(97).chain([whole.len() - 1]) {
        let error = open(&whole[..len]).unwrap_err();
        assert!(
            matches!(
                error.kind(),
                ErrorKind::Damaged { .. } | ErrorKind::Io { .. }
            ),
            "{len}: {error}"
        );
    }
    for place in (0..whole.len()).step_by(211).chain(0..256) {
        let mut altered = whole.clone();
        altered[place] ^= 0x10;
        let error = open(&altered).unwrap_err();
        assert!(
            matches!(
                error.kind(),
                ErrorKind::Damaged { .. } | ErrorKind::FormatVersion { .. }
            ),
            "{place}: {error}"
        );
    }
    let mut longer = whole.clone();
    longer.push(0);
    assert!(matches!(
        open(&longer).as_ref().map_err(Error::kind),
        Err(ErrorKind::Damaged { .. })
    ));
    assert!(matches!(
        HnswIndex::open(folder.path().join("none"), 77)
            .as_ref()
            .map_err(Error::kind),
        Err(ErrorKind::Io { .. })
    ));
}

/// A hostile writer makes the checksums right: whatever it writes, a search ends and gives items
/// of the index, or the file is refused.
#[test]
fn hostile_files_are_refused_or_searched_without_harm() {
    let (folder, path, _) = saved(Precision::F32);
    let whole = std::fs::read(&path).unwrap();
    let queries = clustered(3, 12, 14);
    let hostile = folder.path().join("hostile.index");
    let mut random = ChaCha8Rng::seed_from_u64(15);
    let (mut refused, mut searched) = (0, 0);
    for _ in 0..600 {
        let mut bytes = whole.clone();
        for _ in 0..random.random_range(1..4) {
            let body = random.random_bool(0.7);
            let place = if body {
                random.random_range(256..bytes.len())
            } else {
                random.random_range(16..252)
            };
            bytes[place] = random.random();
        }
        let body = crc32fast::hash(&bytes[256..]);
        bytes[248..252].copy_from_slice(&body.to_le_bytes());
        let header = crc32fast::hash(&bytes[..252]);
        bytes[252..256].copy_from_slice(&header.to_le_bytes());
        std::fs::write(&hostile, &bytes).unwrap();
        match HnswIndex::open(&hostile, 77) {
            Err(_) => refused += 1,
            Ok(index) => {
                searched += 1;
                let hits = index.search(queries.view(), 10, None).unwrap();
                assert!((0..3).all(|query| hits.items(query).len() <= 10));
                index.remove(hits.items(0)[0]).unwrap();
                index.add(ItemIndex::new(7_000), &[0.5; 12]).unwrap();
            }
        }
    }
    assert!(
        refused > 100 && searched > 100,
        "{refused} refused, {searched} searched"
    );
}

#[test]
fn a_file_that_shrinks_in_use_is_an_error() {
    let (_folder, path, _) = saved(Precision::F32);
    let index = HnswIndex::open(&path, 77).unwrap();
    let queries = clustered(2, 12, 14);
    assert!(index.search(queries.view(), 3, None).is_ok());
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(300).unwrap();
    for error in [
        index.search(queries.view(), 3, None).unwrap_err(),
        index.remove(ItemIndex::new(1)).unwrap_err(),
        index.save(&path, 77).unwrap_err(),
    ] {
        assert!(matches!(error.kind(), ErrorKind::Damaged { .. }), "{error}");
    }
}

/// A search within a pool's task, while another thread updates: a search that held a lock while it
/// waited for the pool's threads would wait for ever.
#[test]
fn searches_from_a_pool_and_updates_end() {
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    let vectors = clustered(6_001, 8, 12);
    let graph = HnswIndex::new(
        vectors.slice(ndarray::s![..1_001, ..]),
        &HnswConfig::new().with_ef_construction(20),
    );
    let indexes: [Arc<dyn UpdatableIndex>; 2] = [
        Arc::new(FlatIndex::new(vectors.view()).unwrap()),
        Arc::new(graph.unwrap()),
    ];
    for threads in [2, 8] {
        for index in &indexes {
            let (index, vectors) = (index.clone(), vectors.clone());
            let searched = Arc::new(AtomicBool::new(false));
            let done = searched.clone();
            // Not joined: where the fault is, it never ends.
            std::thread::spawn(move || {
                let stop = Arc::new(AtomicBool::new(false));
                let (updated, stopped) = (index.clone(), stop.clone());
                let row = vectors.row(7).to_vec();
                let updater = std::thread::spawn(move || {
                    while !stopped.load(Ordering::Relaxed) {
                        updated.replace(ItemIndex::new(7), &row).unwrap();
                    }
                });
                // One that is in no pool of its own waits for a pool's threads as well.
                let (plain, stopped) = (index.clone(), stop.clone());
                let queries = vectors.slice(ndarray::s![1..41, ..]).to_owned();
                let outside = std::thread::spawn(move || {
                    while !stopped.load(Ordering::Relaxed) {
                        plain.search(queries.view(), 5, None).unwrap();
                    }
                });
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
                let begun = Instant::now();
                pool.unwrap().install(|| {
                    use rayon::prelude::*;
                    while begun.elapsed() < Duration::from_secs(2) {
                        (0..32).into_par_iter().for_each(|user| {
                            // More than one query, for which a graph wakes other threads.
                            let rows = vectors.slice(ndarray::s![1 + user..19 + user, ..]);
                            index
                                .search(rows.slice(ndarray::s![..1, ..]), 5, None)
                                .unwrap();
                            index.search(rows, 5, None).unwrap();
                        });
                    }
                });
                stop.store(true, Ordering::Relaxed);
                updater.join().unwrap();
                outside.join().unwrap();
                done.store(true, Ordering::Relaxed);
            });
            let begun = Instant::now();
            while !searched.load(Ordering::Relaxed) {
                let waited = begun.elapsed();
                assert!(waited < Duration::from_secs(300), "{threads} threads hang");
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

#[test]
fn as_many_candidates_as_there_can_be_are_no_panic() {
    let vectors = clustered(200, 6, 13);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("items.index");
    for precision in [Precision::F32, Precision::F16, Precision::Int8] {
        let config = HnswConfig::new()
            .with_precision(precision)
            .with_ef_search(usize::MAX);
        let index = HnswIndex::new(vectors.view(), &config).unwrap();
        index.save(&path, 1).unwrap();
        let odd = |_: usize, item: ItemIndex| item.get() % 2 == 1;
        let some: ItemSet = (1..20).map(ItemIndex::new).collect();
        for index in [index, HnswIndex::open(&path, 1).unwrap()] {
            for filter in [
                None,
                Some(Filter::Predicate(&odd)),
                Some(Filter::Allowed(&some)),
            ] {
                let hits = index.search(vectors.slice(ndarray::s![3..5, ..]), usize::MAX, filter);
                let passing = (1..200)
                    .filter(|&item| filter.is_none_or(|f| f.passes(0, ItemIndex::new(item))));
                assert_eq!(hits.unwrap().items(0).len(), passing.count());
            }
        }
    }
}

#[test]
fn an_index_that_was_emptied_is_kept_and_filled_again() {
    let vectors = clustered(41, 6, 14);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("items.index");
    let graph = HnswIndex::new(vectors.view(), &HnswConfig::new()).unwrap();
    let flat = FlatIndex::new(vectors.view()).unwrap();
    for item in 1..41 {
        graph.remove(ItemIndex::new(item)).unwrap();
        flat.remove(ItemIndex::new(item)).unwrap();
    }
    graph.save(&path, 1).unwrap();
    let graph = HnswIndex::open(&path, 1).unwrap();
    flat.save(&path, 1).unwrap();
    let flat = FlatIndex::open(&path, 1).unwrap();
    for index in [&graph as &dyn UpdatableIndex, &flat] {
        let query = vectors.slice(ndarray::s![5..6, ..]);
        assert!(index.search(query, 3, None).unwrap().items(0).is_empty());
        for item in [9, 5] {
            index
                .add(ItemIndex::new(item), &vectors.row(item as usize).to_vec())
                .unwrap();
        }
        assert_eq!(index.search(query, 3, None).unwrap().items(0).len(), 2);
    }
}

#[test]
fn what_half_precision_does_not_hold_is_refused() {
    let mut vectors = clustered(30, 6, 15);
    let half = HnswConfig::new().with_precision(Precision::F16);
    let graph = HnswIndex::new(vectors.view(), &half).unwrap();
    let flat = FlatIndex::with_precision(vectors.view(), Precision::F16).unwrap();
    for index in [&graph as &dyn UpdatableIndex, &flat] {
        let long = [65_505.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        for refused in [
            index.replace(ItemIndex::new(3), &long),
            index.add(ItemIndex::new(30), &long),
        ] {
            assert!(
                matches!(
                    refused.as_ref().map_err(Error::kind),
                    Err(ErrorKind::InvalidValue { .. })
                ),
                "{refused:?}"
            );
        }
        index
            .add(
                ItemIndex::new(30),
                &[65_504.0, 0.0, 0.0, 0.0, 0.0, -65_504.0],
            )
            .unwrap();
    }
    vectors[[4, 2]] = -1e5;
    assert!(HnswIndex::new(vectors.view(), &half).is_err());
    assert!(FlatIndex::with_precision(vectors.view(), Precision::F16).is_err());
    assert!(FlatIndex::with_precision(vectors.view(), Precision::Int8).is_ok());
}

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
        let all = (1..3_001).map(|item| (item, vectors.row(item as usize)));
        assert_eq!(
            exact.items(row),
            ItemIndex::from_slice(&by_sorting(all, queries.row(row), 20)),
            "query {row}"
        );
        assert!(near.scores(row).is_sorted_by(|a, b| a >= b));
        for hit in near.list(row) {
            let item = vectors.row(hit.item.to_usize());
            let score: f32 = item.iter().zip(&query).map(|(a, b)| a * b).sum();
            assert!(
                (hit.score - score).abs() < 1e-4,
                "a score is the inner product"
            );
        }
        // Some vectors are equal, and any of them is as good: hits are told by their scores.
        let worst = exact.scores(row).last().unwrap() - 1e-5;
        common += near.list(row).filter(|hit| hit.score >= worst).count();
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
            search(vectors(1, 3).view(), 0).kind(),
            ErrorKind::InvalidValue { field: "k", .. }
        ));
        assert!(matches!(
            search(vectors(1, 4).view(), 1).kind(),
            ErrorKind::Shape {
                expected: 3,
                found: 4,
                ..
            }
        ));
        assert!(matches!(
            search(broken.view(), 1).kind(),
            ErrorKind::NonFiniteVector {
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
        FlatIndex::new(broken.view()).as_ref().map_err(Error::kind),
        Err(ErrorKind::NonFiniteVector { .. })
    ));
    assert!(matches!(
        FlatIndex::new(vectors(1, 3).view())
            .as_ref()
            .map_err(Error::kind),
        Err(ErrorKind::NothingLeft { .. })
    ));
    let config = HnswConfig::new().with_m(1);
    assert!(matches!(
        HnswIndex::new(vectors(5, 3).view(), &config)
            .as_ref()
            .map_err(Error::kind),
        Err(ErrorKind::InvalidValue { field: "m", .. })
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
