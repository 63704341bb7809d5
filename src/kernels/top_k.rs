//! The best items for each of many queries, without the `[queries, items]` matrix.

use std::cmp::Ordering;

use rayon::prelude::*;

use super::for_each_instruction_set;
use super::panels::{Panels, WIDTH};

/// Queries that share one pass over the items.
const TILE_QUERIES: usize = 64;
/// The fewest panels that are worth a thread of their own.
const LEAST_PANELS: usize = 64;
/// Likewise for rounded panels: scanning is cheap next to rescoring, so a task needs more of them.
const LEAST_ROUNDED_PANELS: usize = 512;

/// Candidates beyond k that are at least scored again, where scores are rounded at first.
const LEAST_SPARE: usize = 32;

/// An item, by its place, and its score.
pub(crate) type Scored = (u32, f32);

/// Higher scores first, and lower places first among equals.
pub(crate) fn best_first(a: &Scored, b: &Scored) -> Ordering {
    // 0 and -0 are a tie, which the addition makes of them. Huge vectors can overflow to NaN, for
    // which there is an order as well.
    (b.1 + 0.0).total_cmp(&(a.1 + 0.0)).then(a.0.cmp(&b.0))
}

/// True where a query, by its row, may be given an item, by its place.
pub(crate) type Allowed<'a> = &'a (dyn Fn(usize, u32) -> bool + Sync);

/// Items that may change between one look at them and the next.
///
/// Whoever lends them may hold a lock while `look` runs, which asks nothing of other threads: a
/// thread that waits for others must hold none, since these may wait for the lock, or take work
/// that does.
pub(crate) trait ChangingItems: Sync {
    /// Calls `look` with all items, and with which of them may be given.
    fn lend<R>(&self, look: impl FnOnce(Panels<'_>, Option<Allowed<'_>>) -> R) -> R;
}

/// Finds the k best of `items` by inner product for each row of `queries` `[n, dim]` out of those
/// that may be given, and hands each query's to `found`, best first.
///
/// Queries are divided among threads; where there are too few for that, so are the items.
pub(crate) fn search(
    queries: &[f32],
    items: &impl ChangingItems,
    k: usize,
    found: &mut dyn FnMut(usize, &[Scored]),
) {
    // Items that come while this searches may be missed.
    let (dim, len, panels, least_panels) = items.lend(|items, _| {
        let least_panels = if items.rounds() {
            LEAST_ROUNDED_PANELS
        } else {
            LEAST_PANELS
        };
        (items.dim, items.len, items.count(), least_panels)
    });
    let threads = rayon::current_num_threads();
    let tiles = (queries.len() / dim).div_ceil(TILE_QUERIES);
    let parts = if tiles >= 2 * threads {
        1
    } else {
        threads.min(panels.div_ceil(least_panels)).max(1)
    };
    let per_part = panels.div_ceil(parts).max(1);
    let mut merged: Vec<Scored> = Vec::with_capacity(parts * k.min(len));
    // What is held at once is bounded, however many queries there are.
    for (round, queries) in queries.chunks(TILE_QUERIES * dim * 4 * threads).enumerate() {
        let first = round * TILE_QUERIES * 4 * threads;
        let tiles: Vec<&[f32]> = queries.chunks(TILE_QUERIES * dim).collect();
        let best: Vec<BestOfQueries> = (0..tiles.len() * parts)
            .into_par_iter()
            .map(|task| {
                let (tile, part) = (task / parts, task % parts);
                let panels = part * per_part..panels.min((part + 1) * per_part);
                let first = first + tile * TILE_QUERIES;
                items.lend(|items, allowed| {
                    search_tile(first, tiles[tile], items, panels, k, allowed)
                })
            })
            .collect();
        for (tile, parts) in best.chunks(parts).enumerate() {
            for place in 0..tiles[tile].len() / dim {
                let query = first + tile * TILE_QUERIES + place;
                merged.clear();
                merged.extend(parts.iter().flat_map(|best| best.of(place)));
                if parts.len() > 1 {
                    merged.sort_unstable_by(best_first);
                    merged.truncate(k);
                }
                found(query, &merged);
            }
        }
    }
}

fn search_tile(
    first_query: usize,
    queries: &[f32],
    items: Panels<'_>,
    panels: std::ops::Range<usize>,
    k: usize,
    allowed: Option<Allowed<'_>>,
) -> BestOfQueries {
    let count = queries.len() / items.dim;
    let rough = items.rounds();
    let keep = if rough {
        k.saturating_mul(2).max(k.saturating_add(LEAST_SPARE))
    } else {
        k
    };
    let mut best = BestOfQueries::new(count, keep.min(items.len));
    let mut tile = items.tile(queries);
    let mut scores = vec![0.0; count * WIDTH];
    for number in panels {
        items.prefetch(number + 1);
        items.score(&mut tile, number, &mut scores);
        let first = (number * WIDTH) as u32;
        let columns = items.columns(number);
        for (place, scores) in scores.chunks_exact(WIDTH).enumerate() {
            let mut above = above(scores, best.threshold[place], columns);
            while above != 0 {
                let column = above.trailing_zeros();
                above &= above - 1;
                let row = first + column;
                if allowed.is_none_or(|allowed| allowed(first_query + place, row)) {
                    best.offer(place, row, scores[column as usize]);
                }
            }
        }
    }
    if rough {
        for (place, query) in queries.chunks_exact(items.dim).enumerate() {
            best.score_again(place, |item| items.rescore(query, item));
        }
        best.k = k.min(items.len);
    }
    best.sort();
    best
}

for_each_instruction_set! {
    /// A bit for each of the first `columns` scores of a panel that is above the threshold.
    fn above(scores: &[f32], threshold: f32, columns: usize) -> u64 {
        // Most panels hold nothing that matters: one look passes over them.
        if !scores.iter().fold(false, |any, &score| any | (score > threshold)) {
            return 0;
        }
        let mut bits = 0;
        for (place, &score) in scores.iter().enumerate() {
            bits |= u64::from(score > threshold) << place;
        }
        bits & (u64::MAX >> (WIDTH - columns))
    }
}

/// An item and its score as a number that is lower the better they are, as [`best_first`] has it:
/// numbers are selected and sorted without a branch.
type Key = u64;

fn key((item, score): Scored) -> Key {
    let bits = (score + 0.0).to_bits();
    let rising = if bits >> 31 == 0 {
        bits | 1 << 31
    } else {
        !bits
    };
    u64::from(!rising) << 32 | u64::from(item)
}

fn scored(key: Key) -> Scored {
    let rising = !(key >> 32) as u32;
    let bits = if rising >> 31 == 1 {
        rising & !(1 << 31)
    } else {
        !rising
    };
    (key as u32, f32::from_bits(bits))
}

/// The best seen so far for each of some queries: buffers of twice k, cut back to k when full.
struct BestOfQueries {
    k: usize,
    /// The room of a query's buffer: twice k.
    room: usize,
    /// For each query, what a score must be above to matter.
    threshold: Vec<f32>,
    len: Vec<usize>,
    /// `[queries, room]`, of which the first `len` are filled.
    kept: Vec<Key>,
}

impl BestOfQueries {
    fn new(queries: usize, k: usize) -> Self {
        Self {
            k,
            room: 2 * k,
            threshold: vec![f32::NEG_INFINITY; queries],
            len: vec![0; queries],
            kept: vec![0; queries * 2 * k],
        }
    }

    /// Takes an item; items come in rising order, so that a later one never displaces an equal
    /// score.
    fn offer(&mut self, query: usize, item: u32, score: f32) {
        if score > self.threshold[query] {
            let kept = &mut self.kept[query * self.room..(query + 1) * self.room];
            kept[self.len[query]] = key((item, score));
            self.len[query] += 1;
            if self.len[query] == kept.len() {
                kept.select_nth_unstable(self.k - 1);
                self.len[query] = self.k;
                self.threshold[query] = scored(kept[self.k - 1]).1;
            }
        }
    }

    /// Leaves each query's k best, best first.
    fn sort(&mut self) {
        for query in 0..self.len.len() {
            self.cut(query).sort_unstable();
        }
    }

    /// Leaves a query's k best, in any order.
    fn cut(&mut self, query: usize) -> &mut [Key] {
        let kept = &mut self.kept[query * self.room..][..self.len[query]];
        if kept.len() > self.k {
            kept.select_nth_unstable(self.k - 1);
            self.len[query] = self.k;
        }
        &mut kept[..self.len[query]]
    }

    /// Gives a query's k best other scores.
    fn score_again(&mut self, query: usize, score: impl Fn(u32) -> f32) {
        for kept in self.cut(query) {
            let (item, _) = scored(*kept);
            *kept = key((item, score(item)));
        }
    }

    fn of(&self, query: usize) -> impl Iterator<Item = Scored> {
        let kept = &self.kept[query * self.room..][..self.len[query]];
        kept.iter().map(|&key| scored(key))
    }
}

/// The k best of some items, which come in rising order, by scores that are made for a few at a
/// time; best first.
pub(crate) fn scan(
    k: usize,
    mut items: impl Iterator<Item = u32>,
    mut score: impl FnMut(&[u32], &mut [f32]),
) -> Vec<Scored> {
    const FEW: usize = 64;
    let mut best = BestOfQueries::new(1, k);
    let mut few = Vec::with_capacity(FEW);
    let mut scores = [0.0; FEW];
    loop {
        few.clear();
        few.extend(items.by_ref().take(FEW));
        if few.is_empty() {
            break;
        }
        let scores = &mut scores[..few.len()];
        score(&few, scores);
        for (&item, &score) in few.iter().zip(&*scores) {
            best.offer(0, item, score);
        }
    }
    best.sort();
    best.of(0).collect()
}

#[cfg(test)]
mod tests {
    use super::super::panels::{self, lines_per_panel};

    /// Items that don't change.
    struct Fixed<'a>(Panels<'a>, Allowed<'a>);

    impl ChangingItems for Fixed<'_> {
        fn lend<R>(&self, look: impl FnOnce(Panels<'_>, Option<Allowed<'_>>) -> R) -> R {
            look(self.0, Some(self.1))
        }
    }

    use super::super::precision::Precision;
    use super::super::scoring::Line;
    use super::*;

    #[test]
    fn keys_are_in_the_order_of_what_they_stand_for() {
        let scores = [
            f32::INFINITY,
            3.0,
            1e-40,
            0.0,
            -1e-40,
            -2.5,
            f32::NEG_INFINITY,
        ];
        let all: Vec<Scored> = scores
            .into_iter()
            .flat_map(|score| [(3, score), (7, score)])
            .collect();
        let keys: Vec<Key> = all.iter().copied().map(key).collect();
        assert!(keys.is_sorted() && all.is_sorted_by(|a, b| best_first(a, b).is_lt()));
        assert_eq!(keys.into_iter().map(scored).collect::<Vec<_>>(), all);
        assert_eq!(key((3, -0.0)), key((3, 0.0)));
    }

    #[test]
    fn equal_to_sorting_everything_ties_included() {
        let dim = 3;
        // Small integers, so that products are exact and many scores are equal.
        let value = |i: usize| ((i * 2_654_435_761) >> 7) as u8 as f32 % 5.0 - 2.0;
        let items: Vec<f32> = (0..9_300 * dim).map(value).collect();
        let queries: Vec<f32> = (0..150 * dim).map(|i| value(i + 77)).collect();
        let size = lines_per_panel(dim, Precision::F32);
        let mut lines = vec![Line::default(); 9_300usize.div_ceil(WIDTH) * size];
        for (place, vector) in items.chunks_exact(dim).enumerate() {
            let panel = &mut lines[place / WIDTH * size..][..size];
            panels::write(panel, place % WIDTH, vector, Precision::F32);
        }
        let panels = Panels {
            lines: &lines,
            scales: &[],
            len: 9_300,
            dim,
            precision: Precision::F32,
        };
        let odd = |query: usize, row: u32| query != 3 || row % 2 == 1;
        for (k, threads) in [(1, 1), (7, 2), (600, 4), (20_000, 3)] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
            let mut found = Vec::new();
            pool.build().unwrap().install(|| {
                search(&queries, &Fixed(panels, &odd), k, &mut |query, best| {
                    assert_eq!(query, found.len());
                    found.push(best.to_vec());
                });
            });
            for (query, found) in found.iter().enumerate() {
                let vector = &queries[query * dim..(query + 1) * dim];
                let mut all: Vec<Scored> = (0..panels.len)
                    .map(|row| {
                        let item = items[row * dim..].iter().zip(vector);
                        (row as u32, item.map(|(a, b)| a * b).sum())
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
