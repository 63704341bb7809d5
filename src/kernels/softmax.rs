//! Softmax cross-entropy over all items, without the `[rows, items]` matrix.
//!
//! Logits are made in tiles that stay in cache. The forward pass keeps only a running maximum and
//! sum per row, as in Milakov & Gimelshein, "Online normalizer calculation for softmax" (2018);
//! the backward pass makes each tile again and adds its part straight into both gradients.
//!
//! A tile is `[items, rows]`: what is kept per row lies side by side, so that maxima, sums and
//! probabilities are made a vector of rows at a time, and all products read the tables as they
//! lie, but for the users, which are transposed once.

use rayon::prelude::*;

use super::elementwise::exp;
use super::for_each_instruction_set;
use super::inner_product::inner_product;
use super::matmul::{Matrix, matmul, matmul_add};

/// A tile of logits is at most this many items by [`TILE_ROWS`] rows: 32 KiB.
const TILE_ITEMS: usize = 128;
const TILE_ROWS: usize = 64;
/// The items are divided among threads into at most this many parts.
const PARTS: usize = 16;

/// What the loss is taken over.
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
    /// The item that each row should give, `[rows]`.
    pub(crate) targets: &'a [i32],
}

impl<'a> Softmax<'a> {
    fn rows(&self) -> usize {
        self.targets.len()
    }

    /// The items that take part, in equal parts whose size depends on their number alone.
    fn items_per_part(&self) -> usize {
        let items = self.items.len() / self.dim - self.first_item;
        items.div_ceil(PARTS)
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

    /// The mean loss, and each row's `ln Σ e^logit`.
    pub(crate) fn forward(&self) -> (f32, Vec<f32>) {
        let per_part = self.items_per_part();
        let end = self.items.len() / self.dim;
        let users = self.transposed_users();
        let parts: Vec<usize> = (self.first_item..end).step_by(per_part).collect();
        let running: Vec<RunningSums> = parts
            .into_par_iter()
            .map(|first| self.running_sums(&users, first, end.min(first + per_part)))
            .collect();
        let normalizers: Vec<f32> = (0..self.rows())
            .map(|row| {
                let of_row = running
                    .iter()
                    .map(|part| (part.maximum[row], part.sum[row]));
                let (maximum, sum) = of_row.reduce(merge_sums).unwrap_or((0.0, 1.0));
                maximum + sum.ln()
            })
            .collect();
        let total: f64 = (0..self.rows())
            .map(|row| {
                let target = self.targets[row] as usize;
                let user = &self.users[row * self.dim..(row + 1) * self.dim];
                let correction = self
                    .log_correction
                    .map_or(0.0, |correction| correction[target]);
                f64::from(normalizers[row] - (inner_product(user, self.item(target)) - correction))
            })
            .sum();
        ((total / self.rows() as f64) as f32, normalizers)
    }

    /// The running sums of all rows over a part of the items.
    fn running_sums(&self, users: &[f32], first: usize, end: usize) -> RunningSums {
        let mut running = RunningSums {
            maximum: vec![f32::NEG_INFINITY; self.rows()],
            sum: vec![0.0; self.rows()],
        };
        let mut tile = vec![0.0; TILE_ITEMS * TILE_ROWS];
        for first in (first..end).step_by(TILE_ITEMS) {
            let count = TILE_ITEMS.min(end - first);
            let rows = users.chunks(TILE_ROWS * self.dim);
            let maximum = running.maximum.chunks_mut(TILE_ROWS);
            let sum = running.sum.chunks_mut(TILE_ROWS);
            for (users, (maximum, sum)) in rows.zip(maximum.zip(sum)) {
                let tile = &mut tile[..count * sum.len()];
                self.logits(first, users, tile);
                add_to_running_sums(tile, maximum, sum);
            }
        }
        running
    }

    /// The gradients of `scale · mean loss` by users `[rows, dim]` and items `[items, dim]`.
    pub(crate) fn backward(&self, normalizers: &[f32], scale: f32) -> (Vec<f32>, Vec<f32>) {
        let scale = scale / self.rows() as f32;
        let per_part = self.items_per_part();
        let users = self.transposed_users();
        let mut item_gradient = vec![0.0; self.items.len()];
        let parts: Vec<Vec<f32>> = item_gradient[self.first_item * self.dim..]
            .par_chunks_mut(per_part * self.dim)
            .enumerate()
            .map(|(part, gradient)| {
                let first = self.first_item + part * per_part;
                self.part_backward(&users, first, gradient, normalizers, scale)
            })
            .collect();
        let mut parts = parts.into_iter();
        let mut user_gradient = parts.next().unwrap_or_else(|| vec![0.0; self.users.len()]);
        for part in parts {
            for (sum, part) in user_gradient.iter_mut().zip(part) {
                *sum += part;
            }
        }
        (user_gradient, item_gradient)
    }

    /// One part's item gradient, and what it adds to the user gradient.
    fn part_backward(
        &self,
        transposed_users: &[f32],
        first: usize,
        item_gradient: &mut [f32],
        normalizers: &[f32],
        scale: f32,
    ) -> Vec<f32> {
        let dim = self.dim;
        let mut user_gradient = vec![0.0; self.users.len()];
        let mut tile = vec![0.0; TILE_ITEMS * TILE_ROWS];
        for (block, item_gradient) in item_gradient.chunks_mut(TILE_ITEMS * dim).enumerate() {
            let first = first + block * TILE_ITEMS;
            let count = item_gradient.len() / dim;
            let blocks = self
                .users
                .chunks(TILE_ROWS * dim)
                .zip(transposed_users.chunks(TILE_ROWS * dim))
                .zip(user_gradient.chunks_mut(TILE_ROWS * dim))
                .zip(normalizers.chunks(TILE_ROWS))
                .zip(self.targets.chunks(TILE_ROWS));
            for (row_block, ((((users, transposed), user_gradient), normalizers), targets)) in
                blocks.enumerate()
            {
                let rows = targets.len();
                let tile = &mut tile[..count * rows];
                self.logits(first, transposed, tile);
                to_probabilities(tile, normalizers, scale);
                for (row, &target) in targets.iter().enumerate() {
                    let place = (target as usize).wrapping_sub(first);
                    if place < count {
                        tile[place * rows + row] -= scale;
                    }
                }
                let tile = Matrix::new(tile, count, rows);
                // New memory is written first and then read: the other way round the system maps
                // every page twice, which takes longer than the products.
                let (items, users) = (self.block(first, count), Matrix::new(users, rows, dim));
                if block == 0 {
                    matmul(user_gradient, tile.t(), items);
                } else {
                    matmul_add(user_gradient, tile.t(), items);
                }
                if row_block == 0 {
                    matmul(item_gradient, tile, users);
                } else {
                    matmul_add(item_gradient, tile, users);
                }
            }
        }
        user_gradient
    }
}

/// Each row's maximum logit so far, and its `Σ e^(logit - maximum)`.
struct RunningSums {
    maximum: Vec<f32>,
    sum: Vec<f32>,
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

for_each_instruction_set! {
    fn to_probabilities(tile: &mut [f32], normalizers: &[f32], scale: f32) {
        for logits in tile.chunks_exact_mut(normalizers.len()) {
            for (logit, &normalizer) in logits.iter_mut().zip(normalizers) {
                *logit = exp(*logit - normalizer) * scale;
            }
        }
    }
}
