//! The best items for each of many queries, without the `[queries, items]` matrix.

use std::cmp::Ordering;

use rayon::prelude::*;

use super::matmul::{Matrix, matmul};

/// Queries that share one pass over the items.
const TILE_QUERIES: usize = 128;
/// Items whose scores are made at a time.
const TILE_ITEMS: usize = 512;

/// A row of the searched matrix and its score.
pub(crate) type Scored = (u32, f32);

/// Higher scores first, and lower rows first among equals.
pub(crate) fn best_first(a: &Scored, b: &Scored) -> Ordering {
    // Not `total_cmp`, for which 0 and -0 are no tie; scores are never NaN here.
    b.1.partial_cmp(&a.1)
        .unwrap_or(Ordering::Equal)
        .then(a.0.cmp(&b.0))
}

/// The k best rows of `items` `[n, dim]` by inner product for each row of `queries` `[m, dim]`,
/// best first, out of those that `allowed(query, row)` passes.
pub(crate) fn search(
    queries: &[f32],
    items: &[f32],
    dim: usize,
    k: usize,
    allowed: &(dyn Fn(usize, u32) -> bool + Sync),
) -> Vec<Vec<Scored>> {
    queries
        .par_chunks(TILE_QUERIES * dim)
        .enumerate()
        .flat_map(|(tile, queries)| {
            search_tile(tile * TILE_QUERIES, queries, items, dim, k, allowed)
        })
        .collect()
}

fn search_tile(
    first_query: usize,
    queries: &[f32],
    items: &[f32],
    dim: usize,
    k: usize,
    allowed: &(dyn Fn(usize, u32) -> bool + Sync),
) -> Vec<Vec<Scored>> {
    let count = queries.len() / dim;
    let queries = Matrix::new(queries, count, dim);
    let mut best: Vec<Best> = (0..count).map(|_| Best::new(k)).collect();
    let mut scores = vec![0.0; count * TILE_ITEMS];
    let mut transposed = vec![0.0; dim * TILE_ITEMS];
    for (tile, items) in items.chunks(TILE_ITEMS * dim).enumerate() {
        let columns = items.len() / dim;
        let scores = &mut scores[..count * columns];
        let transposed = &mut transposed[..dim * columns];
        Matrix::new(items, columns, dim).transpose_into(transposed);
        matmul(scores, queries, Matrix::new(transposed, dim, columns));
        for ((query, best), scores) in best
            .iter_mut()
            .enumerate()
            .zip(scores.chunks_exact(columns))
        {
            let first = (tile * TILE_ITEMS) as u32;
            best.offer(first, scores, |row| allowed(first_query + query, row));
        }
    }
    best.into_iter().map(Best::into_sorted).collect()
}

/// The best seen so far: a buffer of up to twice k, cut back to k whenever it is full.
struct Best {
    k: usize,
    /// A score must be above this to matter.
    threshold: f32,
    buffer: Vec<Scored>,
}

impl Best {
    fn new(k: usize) -> Self {
        Self {
            k,
            threshold: f32::NEG_INFINITY,
            buffer: Vec::with_capacity(2 * k),
        }
    }

    /// Takes the scores of consecutive rows, which must come in rising order of rows, so that a
    /// later row never displaces an equal score.
    fn offer(&mut self, first: u32, scores: &[f32], allowed: impl Fn(u32) -> bool) {
        const LANES: usize = 16;
        for (chunk, scores) in scores.chunks(LANES).enumerate() {
            // Most chunks hold nothing that matters: one test passes over them.
            let any = scores
                .iter()
                .fold(false, |any, &score| any | (score > self.threshold));
            if !any {
                continue;
            }
            for (place, &score) in scores.iter().enumerate() {
                let row = first + (chunk * LANES + place) as u32;
                if score > self.threshold && allowed(row) {
                    self.buffer.push((row, score));
                    if self.buffer.len() == 2 * self.k {
                        self.cut();
                    }
                }
            }
        }
    }

    fn cut(&mut self) {
        self.buffer.select_nth_unstable_by(self.k - 1, best_first);
        self.buffer.truncate(self.k);
        self.threshold = self.buffer[self.k - 1].1;
    }

    fn into_sorted(mut self) -> Vec<Scored> {
        self.buffer.sort_unstable_by(best_first);
        self.buffer.truncate(self.k);
        self.buffer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_to_sorting_everything_ties_included() {
        let dim = 3;
        // Small integers, so that products are exact and many scores are equal.
        let value = |i: usize| ((i * 2_654_435_761) >> 7) as u8 as f32 % 5.0 - 2.0;
        let items: Vec<f32> = (0..1_300 * dim).map(value).collect();
        let queries: Vec<f32> = (0..40 * dim).map(|i| value(i + 77)).collect();
        for k in [1, 7, 600, 2_000] {
            let odd = |query: usize, row: u32| query != 3 || row % 2 == 1;
            let found = search(&queries, &items, dim, k, &odd);
            for (query, found) in found.iter().enumerate() {
                let vector = &queries[query * dim..(query + 1) * dim];
                let mut all: Vec<Scored> = (items.chunks(dim).enumerate())
                    .map(|(row, item)| {
                        (
                            row as u32,
                            item.iter().zip(vector).map(|(a, b)| a * b).sum(),
                        )
                    })
                    .filter(|&(row, _)| odd(query, row))
                    .collect();
                all.sort_by(best_first);
                all.truncate(k);
                assert_eq!(*found, all, "k {k}, query {query}");
            }
        }
    }
}
