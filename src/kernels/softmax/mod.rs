//! Softmax cross-entropy over all items, without the `[rows, items]` matrix.
//!
//! Logits are made in tiles that stay in cache. The loss alone keeps only a running maximum and sum
//! per row, as in Milakov & Gimelshein, "Online normalizer calculation for softmax" (2018). With
//! its gradients, which are made along with it, the logits of a block of rows are kept until its
//! normalizers are known, so that each is made once.
//!
//! A tile is `[items, rows]`: what is kept per row lies side by side, so that maxima, sums and
//! probabilities are made a vector of rows at a time, and all products read the tables as they
//! lie, but for the users, which are transposed once.

mod gradients;

use rayon::prelude::*;

use super::elementwise::exp;
use super::for_each_instruction_set;
use super::inner_product::inner_product;
use super::matmul::{Matrix, matmul};

/// A tile of logits is at most this many items by [`TILE_ROWS`] rows: 32 KiB.
const TILE_ITEMS: usize = 128;
const TILE_ROWS: usize = 64;
/// The items are divided among threads into at most this many parts.
const PARTS: usize = 16;

/// The operands of the loss.
#[derive(Clone, Copy)]
pub(crate) struct Softmax<'a> {
    /// `[rows, dim]`.
    pub(crate) users: &'a [f32],
    /// `[items, dim]`.
    pub(crate) items: &'a [f32],
    /// Subtracted from each item's logit, `[items]`.
    pub(crate) log_correction: Option<&'a [f32]>,
    pub(crate) dim: usize,
    /// Items before this one take no part: 1 where row 0 is padding.
    pub(crate) first_item: usize,
    /// The item that each row should give, `[rows]`; 0 where it is none.
    pub(crate) targets: &'a [i32],
    /// The number of consecutive rows that share a softmax.
    pub(crate) group: usize,
    /// The share of each softmax in the loss, `[rows / group]`; the loss is their mean where there
    /// are none.
    pub(crate) shares: Option<&'a [f32]>,
}

impl<'a> Softmax<'a> {
    fn rows(&self) -> usize {
        self.targets.len()
    }

    /// The number of softmaxes.
    fn groups(&self) -> usize {
        self.rows() / self.group
    }

    /// The number of items that take part.
    fn active_items(&self) -> usize {
        self.items.len() / self.dim - self.first_item
    }

    /// The items that take part, in equal parts whose size depends on their number alone.
    fn items_per_part(&self) -> usize {
        self.active_items().div_ceil(PARTS)
    }

    fn item(&self, item: usize) -> &'a [f32] {
        &self.items[item * self.dim..(item + 1) * self.dim]
    }

    /// `count` items from `first` on.
    fn block(&self, first: usize, count: usize) -> Matrix<'a> {
        let values = &self.items[first * self.dim..(first + count) * self.dim];
        Matrix::new(values, count, self.dim)
    }

    /// The users a block of rows at a time, each block transposed to `[dim, rows]`.
    fn transposed_users(&self) -> Vec<f32> {
        let mut out = vec![0.0; self.users.len()];
        let blocks = self.users.chunks(TILE_ROWS * self.dim);
        for (users, out) in blocks.zip(out.chunks_mut(TILE_ROWS * self.dim)) {
            Matrix::new(users, users.len() / self.dim, self.dim).transpose_into(out);
        }
        out
    }

    /// A tile of logits: those of the items from `first` on for a block of transposed users.
    fn logits(&self, first: usize, users: &[f32], tile: &mut [f32]) {
        let rows = users.len() / self.dim;
        let items = self.block(first, tile.len() / rows);
        matmul(tile, items, Matrix::new(users, self.dim, rows));
        if let Some(correction) = self.log_correction {
            for (logits, correction) in tile.chunks_exact_mut(rows).zip(&correction[first..]) {
                for logit in logits {
                    *logit -= correction;
                }
            }
        }
    }

    /// The loss.
    pub(crate) fn loss(&self) -> f32 {
        let mut total = 0.0;
        let normalizers = self.pass_logits(&self.transposed_users());
        self.add_losses(&normalizers, &mut total);
        self.loss_of(total)
    }

    /// The loss, of the sum over groups of their losses by their shares.
    fn loss_of(&self, total: f64) -> f32 {
        match self.shares {
            Some(_) => total as f32,
            None => (total / self.groups() as f64) as f32,
        }
    }

    /// The share of each row's softmax in the loss, `[rows]`.
    fn row_shares(&self) -> Vec<f32> {
        match self.shares {
            Some(shares) => {
                let of_group = |&share| std::iter::repeat_n(share, self.group);
                shares.iter().flat_map(of_group).collect()
            }
            None => vec![1.0 / self.groups() as f32; self.rows()],
        }
    }

    /// `ln Σ e^logit` of each row's softmax.
    pub(crate) fn row_normalizers(&self) -> Vec<f32> {
        self.pass_logits(&self.transposed_users())
    }

    /// Makes the logits of all rows, of which only the normalizers are kept.
    fn pass_logits(&self, transposed_users: &[f32]) -> Vec<f32> {
        let per_part = self.items_per_part();
        let end = self.first_item + self.active_items();
        let parts: Vec<usize> = (self.first_item..end).step_by(per_part).collect();
        let running: Vec<(Vec<f32>, Vec<f32>)> = parts
            .into_par_iter()
            .map(|first| {
                let end = end.min(first + per_part);
                self.running_sums(transposed_users, first, end, None)
            })
            .collect();
        self.normalizers(&running)
    }

    /// `ln Σ e^logit` over each row's group, of the running sums over all parts.
    fn normalizers(&self, parts: &[(Vec<f32>, Vec<f32>)]) -> Vec<f32> {
        let of_row = |row: usize| {
            let parts = parts.iter().map(|(maximum, sum)| (maximum[row], sum[row]));
            let (maximum, sum) = parts.reduce(merge_sums).unwrap_or((0.0, 1.0));
            maximum + sum.ln()
        };
        let mut normalizers: Vec<f32> = (0..self.rows()).map(of_row).collect();
        if self.group > 1 {
            for group in normalizers.chunks_exact_mut(self.group) {
                let sums = group.iter().map(|&normalizer| (normalizer, 1.0));
                let (maximum, sum) = sums.reduce(merge_sums).unwrap_or((0.0, 1.0));
                group.fill(maximum + sum.ln());
            }
        }
        normalizers
    }

    /// Adds each group's loss, row after row, times its share where it has one.
    fn add_losses(&self, normalizers: &[f32], total: &mut f64) {
        let rows = self.users.chunks_exact(self.dim).zip(self.targets);
        for (row, ((user, &target), normalizer)) in rows.zip(normalizers).enumerate() {
            let normalizer = if row % self.group == 0 {
                *normalizer
            } else {
                0.0
            };
            let logit = match target as usize {
                0 => 0.0,
                target => {
                    let correction = self.log_correction.map_or(0.0, |all| all[target]);
                    inner_product(user, self.item(target)) - correction
                }
            };
            let loss = f64::from(normalizer - logit);
            *total += match self.shares {
                Some(shares) => loss * f64::from(shares[row / self.group]),
                None => loss,
            };
        }
    }

    /// The running sums of all rows over a part of the items: each row's maximum logit so far, and
    /// its `Σ e^(logit - maximum)`. Their logits go to `kept`, tile by tile, if that is given.
    fn running_sums(
        &self,
        users: &[f32],
        first: usize,
        end: usize,
        mut kept: Option<&mut [f32]>,
    ) -> (Vec<f32>, Vec<f32>) {
        let passing = if kept.is_some() {
            0
        } else {
            TILE_ITEMS * TILE_ROWS
        };
        let mut passing = vec![0.0; passing];
        let mut maximums = vec![f32::NEG_INFINITY; self.rows()];
        let mut sums = vec![0.0; self.rows()];
        for first in (first..end).step_by(TILE_ITEMS) {
            let count = TILE_ITEMS.min(end - first);
            let rows = users.chunks(TILE_ROWS * self.dim);
            let maximum = maximums.chunks_mut(TILE_ROWS);
            let sum = sums.chunks_mut(TILE_ROWS);
            for (users, (maximum, sum)) in rows.zip(maximum.zip(sum)) {
                let len = count * sum.len();
                let tile = match kept.take() {
                    Some(all) => {
                        let (tile, rest) = all.split_at_mut(len);
                        kept = Some(rest);
                        tile
                    }
                    None => &mut passing[..len],
                };
                self.logits(first, users, tile);
                add_to_running_sums(tile, maximum, sum);
            }
        }
        (maximums, sums)
    }
}

/// Two running sums as one.
fn merge_sums(a: (f32, f32), b: (f32, f32)) -> (f32, f32) {
    let maximum = a.0.max(b.0);
    if maximum == f32::NEG_INFINITY {
        return a;
    }
    (
        maximum,
        a.1 * (a.0 - maximum).exp() + b.1 * (b.0 - maximum).exp(),
    )
}

for_each_instruction_set! {
    fn add_to_running_sums(tile: &[f32], maximum: &mut [f32], sum: &mut [f32]) {
        let rows = sum.len();
        let mut best = [f32::NEG_INFINITY; TILE_ROWS];
        let best = &mut best[..rows];
        best.copy_from_slice(maximum);
        for logits in tile.chunks_exact(rows) {
            for (best, &logit) in best.iter_mut().zip(logits) {
                *best = if logit > *best { logit } else { *best };
            }
        }
        for ((sum, maximum), &best) in sum.iter_mut().zip(maximum).zip(&*best) {
            *sum *= exp(*maximum - best);
            *maximum = best;
        }
        for logits in tile.chunks_exact(rows) {
            for ((sum, &best), &logit) in sum.iter_mut().zip(&*best).zip(logits) {
                *sum += exp(logit - best);
            }
        }
    }
}
