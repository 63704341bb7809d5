//! Item vectors in two dimensions.

use bhtsne::tSNE;
use ndarray::ArrayView2;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{Error, ErrorKind, Result, checks};

/// Places the rows of `vectors` `[n, dim]` in two dimensions so that near ones stay near.
///
/// van der Maaten, [Accelerating t-SNE using Tree-Based
/// Algorithms](https://jmlr.org/papers/v15/vandermaaten14a.html). Distances are Euclidean. It takes
/// one thread, so that a seed gives the same map on any machine of the same kind.
///
/// # Errors
/// [`ErrorKind::InvalidValue`] for fewer than 4 rows, [`ErrorKind::NonFiniteVector`] for NaN or
/// infinity, and [`ErrorKind::Thread`] when there is no thread to be had.
pub fn tsne(vectors: ArrayView2<'_, f32>, seed: u64) -> Result<Vec<(f32, f32)>> {
    if vectors.nrows() < 4 {
        return Err(Error::invalid(
            "vectors",
            vectors.nrows(),
            "a map needs at least 4 rows",
        ));
    }
    checks::finite("vectors", vectors)?;
    let rows: Vec<Vec<f32>> = vectors.rows().into_iter().map(|row| row.to_vec()).collect();
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let start: Vec<f32> = (0..2 * rows.len())
        .map(|_| random.random_range(-1e-4..1e-4))
        .collect();
    // Sums are added up by whichever threads are free, and rounding then differs from run to run;
    // on one thread a seed gives one map.
    let alone = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .thread_name(|_| "t-SNE".to_owned())
        .build()
        .map_err(|error| {
            Error::from(ErrorKind::Thread {
                thread: "t-SNE",
                reason: error.to_string(),
            })
        })?;
    Ok(alone.install(|| embed(&rows, start)))
}

/// The places of points that begin at `start`, two numbers each.
fn embed(rows: &[Vec<f32>], start: Vec<f32>) -> Vec<(f32, f32)> {
    let mut map = tSNE::<f32, Vec<f32>, 2>::new(rows);
    // Each point needs three times as many neighbors as the perplexity.
    map.perplexity(30f32.min((rows.len() as f32 - 2.0) / 3.0))
        .epochs(600)
        // As the first paper has it. With three times as much for longer, vectors that training has
        // hardly told apart end in one point: a map of them kept 2 % of the nearest neighbors, and
        // this keeps 17 to 24 %.
        .early_exaggeration(4.0)
        .stop_lying_epoch(100)
        .initial_embedding(start)
        .barnes_hut(0.5, |a, b| {
            a.iter()
                .zip(b)
                .map(|(a, b)| (a - b) * (a - b))
                .sum::<f32>()
                .sqrt()
        });
    map.embedding()
        .chunks_exact(2)
        .map(|place| (place[0], place[1]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two far clusters in three dimensions.
    fn clusters() -> ndarray::Array2<f32> {
        ndarray::Array2::from_shape_fn((40, 3), |(row, column)| {
            let center = if row < 20 { 0.0 } else { 10.0 };
            center + ((row * 7 + column * 3) % 5) as f32 / 10.0
        })
    }

    #[test]
    fn clusters_stay_apart_and_the_seed_decides() {
        let places = tsne(clusters().view(), 1).unwrap();
        let center = |part: &[(f32, f32)]| {
            let sum = part
                .iter()
                .fold((0.0, 0.0), |sum, p| (sum.0 + p.0, sum.1 + p.1));
            (sum.0 / part.len() as f32, sum.1 / part.len() as f32)
        };
        let distance = |a: (f32, f32), b: (f32, f32)| (a.0 - b.0).hypot(a.1 - b.1);
        let centers = [center(&places[..20]), center(&places[20..])];
        for (row, &place) in places.iter().enumerate() {
            let own = usize::from(row >= 20);
            assert!(
                distance(place, centers[own]) < distance(place, centers[1 - own]),
                "{row}"
            );
        }
    }

    #[test]
    fn a_seed_gives_one_map_however_many_threads_there_are() {
        let mut random = ChaCha8Rng::seed_from_u64(3);
        let vectors =
            ndarray::Array2::from_shape_fn((1_500, 8), |_| random.random_range(-1.0..1.0f32));
        let map = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
            let pool = pool.build().unwrap();
            pool.install(|| tsne(vectors.view(), 5)).unwrap()
        };
        let first = map(1);
        assert!(first == map(3) && first == map(4));
    }

    /// Vectors that are hardly told apart are spread over the map all the same, by their neighbors.
    #[test]
    fn vectors_without_clusters_do_not_end_in_one_point() {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let vectors =
            ndarray::Array2::from_shape_fn((3000, 16), |_| random.random_range(-1.0f32..1.0));
        let places = tsne(vectors.view(), 1).unwrap();
        let apart =
            |a: usize, b: usize| (places[a].0 - places[b].0).hypot(places[a].1 - places[b].1);
        let ((mut near, mut any), mut count) = ((0.0, 0.0), 0.0);
        for row in (0..3000).step_by(100) {
            let distance = |other: usize| {
                let difference = &vectors.row(row) - &vectors.row(other);
                difference.dot(&difference)
            };
            let others = (0..3000).filter(|&other| other != row);
            let nearest = others
                .min_by(|&a, &b| distance(a).total_cmp(&distance(b)))
                .unwrap();
            near += apart(row, nearest);
            any += apart(row, (row + 1500) % 3000);
            count += 1.0;
        }
        assert!(any / count > 1.0, "the map is {any} wide");
        assert!(near < 0.5 * any, "{near} of {any}");
    }

    #[test]
    fn too_few_and_broken_vectors_are_errors() {
        assert!(tsne(clusters().slice(ndarray::s![..3, ..]), 1).is_err());
        let mut broken = clusters();
        broken[[2, 1]] = f32::NAN;
        assert!(matches!(
            tsne(broken.view(), 1).as_ref().map_err(Error::kind),
            Err(ErrorKind::NonFiniteVector {
                row: 2,
                column: 1,
                ..
            })
        ));
    }
}
