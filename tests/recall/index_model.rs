//! Every index against a plain map and brute force, over random steps.
//!
//! `SEQREC_STEPS=100000 cargo test --release --test index_model -- --nocapture` is the long form.

use std::collections::BTreeMap;

use ndarray::{Array2, ArrayView2};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use seqrec::ErrorKind;
use seqrec::data::ItemIndex;
use seqrec::index::{Filter, FlatIndex, HnswConfig, HnswIndex, ItemSet, Precision, UpdatableIndex};

const DIM: usize = 6;
/// Items are from 1 to this.
const ITEMS: u32 = 300;

/// What an index is made, kept and opened as.
trait Kept: UpdatableIndex + Sized {
    fn build(vectors: ArrayView2<'_, f32>, precision: Precision) -> Self;
    fn keep(&self, path: &std::path::Path);
    fn reopen(path: &std::path::Path) -> Self;
}

impl Kept for FlatIndex {
    fn build(vectors: ArrayView2<'_, f32>, precision: Precision) -> Self {
        Self::with_precision(vectors, precision).unwrap()
    }

    fn keep(&self, path: &std::path::Path) {
        self.save(path, 5).unwrap();
    }

    fn reopen(path: &std::path::Path) -> Self {
        Self::open(path, 5).unwrap()
    }
}

impl Kept for HnswIndex {
    fn build(vectors: ArrayView2<'_, f32>, precision: Precision) -> Self {
        // As many candidates as there may be items, so that a search finds what it should.
        let config = HnswConfig::new()
            .with_m(8)
            .with_ef_construction(40)
            .with_ef_search(usize::MAX)
            .with_precision(precision);
        Self::new(vectors, &config).unwrap()
    }

    fn keep(&self, path: &std::path::Path) {
        self.save(path, 5).unwrap();
    }

    fn reopen(path: &std::path::Path) -> Self {
        Self::open(path, 5).unwrap()
    }
}

/// Vectors of few values, so that there are ties, and now and then none, a long or an equal one.
fn vector(random: &mut ChaCha8Rng) -> Vec<f32> {
    let scale = match random.random_range(0..20) {
        0 => 0.0,
        1 => 20.0,
        _ => 1.0,
    };
    (0..DIM)
        .map(|_| scale * random.random_range(-4i8..=4) as f32 / 4.0)
        .collect()
}

fn steps() -> usize {
    std::env::var("SEQREC_STEPS").map_or(2_000, |steps| steps.parse().unwrap())
}

/// Takes random steps; a share of the best that is missed is allowed in all.
fn check<I: Kept>(precision: Precision, seed: u64, missed_share: f64) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("items.index");
    let first = Array2::from_shape_fn((41, DIM), |_| random.random_range(-1.0f32..1.0));
    let mut index = I::build(first.view(), precision);
    let mut model: BTreeMap<u32, Vec<f32>> = (1..41)
        .map(|item| (item, first.row(item as usize).to_vec()))
        .collect();
    // Rounding of the vectors that an index keeps, for vectors up to 20 in each of DIM values.
    let tolerance = match precision {
        Precision::F32 => 1e-5,
        Precision::F16 => 2e-3,
        Precision::Int8 => 2e-2,
        other => unreachable!("no test of {other:?}"),
    };
    let (mut asked, mut missed) = (0usize, 0usize);
    for step in 0..steps() {
        let item = random.random_range(1..=ITEMS);
        let known = model.contains_key(&item);
        match random.random_range(0..100) {
            0..25 => {
                let vector = vector(&mut random);
                match index.add(ItemIndex::new(item), &vector) {
                    Ok(()) => assert!(model.insert(item, vector).is_none(), "step {step}"),
                    Err(error) if matches!(error.kind(), ErrorKind::DuplicateItem { .. }) => {
                        assert!(known, "step {step}")
                    }
                    Err(error) => panic!("step {step}: {error}"),
                }
            }
            25..40 => {
                let vector = vector(&mut random);
                match index.replace(ItemIndex::new(item), &vector) {
                    Ok(()) => assert!(model.insert(item, vector).is_some(), "step {step}"),
                    Err(error) if matches!(error.kind(), ErrorKind::UnknownItem { .. }) => {
                        assert!(!known, "step {step}")
                    }
                    Err(error) => panic!("step {step}: {error}"),
                }
            }
            // Now and then as many go as come, and sometimes nearly all.
            40..65 => match index.remove(ItemIndex::new(item)) {
                Ok(()) => assert!(model.remove(&item).is_some(), "step {step}"),
                Err(error) if matches!(error.kind(), ErrorKind::UnknownItem { .. }) => {
                    assert!(!known, "step {step}")
                }
                Err(error) => panic!("step {step}: {error}"),
            },
            65 if random.random_range(0..20) == 0 => {
                for item in std::mem::take(&mut model).into_keys() {
                    index.remove(ItemIndex::new(item)).unwrap();
                }
            }
            66 | 67 => {
                index.keep(&path);
                index = I::reopen(&path);
            }
            _ => {
                let query = vector(&mut random);
                let k = *[1, 3, 10, 500].get(random.random_range(0..4)).unwrap();
                let allowed: ItemSet = (0..random.random_range(0..60))
                    .map(|_| ItemIndex::new(random.random_range(1..=ITEMS + 9)))
                    .collect();
                let odd = |_: usize, item: ItemIndex| item.get() % 2 == 1;
                let filter = match random.random_range(0..4) {
                    0 => Some(Filter::Allowed(&allowed)),
                    1 => Some(Filter::Predicate(&odd)),
                    _ => None,
                };
                let passes = |item: ItemIndex| filter.is_none_or(|filter| filter.passes(0, item));
                let queries = ArrayView2::from_shape((1, DIM), &query).unwrap();
                let hits = index.search(queries, k, filter).unwrap();
                let score =
                    |vector: &[f32]| -> f32 { vector.iter().zip(&query).map(|(a, b)| a * b).sum() };
                let mut best: Vec<f32> = (model.iter())
                    .filter(|(item, _)| passes(ItemIndex::new(**item)))
                    .map(|(_, vector)| score(vector))
                    .collect();
                best.sort_by(|a, b| b.total_cmp(a));
                best.truncate(k);
                let found: Vec<_> = hits.list(0).collect();
                assert_eq!(found.len(), best.len(), "step {step}, k {k}");
                let mut items: Vec<u32> = found.iter().map(|hit| hit.item.get()).collect();
                items.sort_unstable();
                items.dedup();
                assert_eq!(items.len(), found.len(), "step {step}: an item twice");
                let size = query.iter().map(|value| value.abs()).sum::<f32>().max(1.0) * 20.0;
                for hit in &found {
                    assert!(passes(hit.item), "step {step}: {} does not pass", hit.item);
                    let vector = &model[&hit.item.get()];
                    let error = (score(vector) - hit.score).abs();
                    assert!(error <= tolerance * size, "step {step}: {error}");
                }
                assert!(found.is_sorted_by(|a, b| a.score >= b.score), "step {step}");
                asked += found.len();
                // By scores, since items of equal scores may stand for each other.
                let least = best.last().copied().unwrap_or_default() - tolerance * size;
                let good = found.iter().filter(|hit| hit.score >= least).count();
                missed += found.len() - good;
            }
        }
        assert_eq!(index.len(), model.len(), "step {step}");
        assert_eq!(
            index.contains(ItemIndex::new(item)),
            model.contains_key(&item),
            "step {step}"
        );
    }
    let share = missed as f64 / asked.max(1) as f64;
    assert!(
        asked > 100 && share <= missed_share,
        "{missed} of {asked} missed"
    );
    println!(
        "{precision:?}, {} steps: {missed} of {asked} missed",
        steps()
    );
}

#[test]
fn flat_indexes_are_a_map_that_is_searched_exactly() {
    for (precision, seed) in [
        (Precision::F32, 1),
        (Precision::F16, 2),
        (Precision::Int8, 3),
    ] {
        check::<FlatIndex>(precision, seed, 0.0);
    }
}

#[test]
fn graphs_are_a_map_that_is_searched_nearly_exactly() {
    for (precision, seed) in [
        (Precision::F32, 4),
        (Precision::F16, 5),
        (Precision::Int8, 6),
    ] {
        check::<HnswIndex>(precision, seed, 0.002);
    }
}
