//! The best of the items that an item was found to have something in common with.

use crate::kernels::top_k::{Scored, scan};

/// The `count` best of the items whose sum is above 0, best first, by what `score` makes of an item
/// and its sum; the sums are 0 afterward. `met` is how often an item was added to, and `items`
/// gives those, in any order and any number of times: where they are few they are gone through
/// again, else all items.
pub(super) fn best_of_met<I: Iterator<Item = u32>>(
    count: usize,
    sums: &mut [f32],
    met: usize,
    items: impl FnOnce() -> I,
    score: impl Fn(u32, f32) -> f32,
) -> Vec<Scored> {
    let scored = |sums: &[f32], items: &[u32], scores: &mut [f32]| {
        for (kept, &item) in scores.iter_mut().zip(items) {
            *kept = score(item, sums[item as usize]);
        }
    };
    if met < sums.len() / 8 {
        let mut met: Vec<u32> = items().collect();
        met.sort_unstable();
        met.dedup();
        met.retain(|&item| sums[item as usize] > 0.0);
        let best = scan(count, met.iter().copied(), |items, scores| {
            scored(sums, items, scores);
        });
        met.iter().for_each(|&item| sums[item as usize] = 0.0);
        best
    } else {
        let met = (0..sums.len() as u32).filter(|&item| sums[item as usize] > 0.0);
        let best = scan(count, met, |items, scores| scored(sums, items, scores));
        sums.fill(0.0);
        best
    }
}
