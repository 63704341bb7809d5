//! Softmax cross-entropy over all items, without the `[rows, items]` matrix.
//!
//! Logits are made in tiles that stay in cache. The forward pass keeps only a running maximum and
//! sum per row, as in Milakov & Gimelshein, "Online normalizer calculation for softmax" (2018);
//! the backward pass makes each tile again and adds its part straight into both gradients.

use rayon::prelude::*;

use super::elementwise::{exp, maximum, sum_exp};
use super::for_each_instruction_set;
use super::inner_product::inner_product;
use super::matmul::{Into, Matrix, matmul};

/// A tile of logits is at most this many rows by [`TILE_ITEMS`] items: 128 KiB.
const TILE_ROWS: usize = 64;
const TILE_ITEMS: usize = 512;
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
        items.div_ceil(PARTS).next_multiple_of(TILE_ITEMS)
    }

    fn item(&self, item: usize) -> &'a [f32] {
        &self.items[item * self.dim..(item + 1) * self.dim]
    }

    /// The logits of the rows of a tile: `out` is `[rows, items]`.
    fn logits(&self, users: &[f32], first: usize, count: usize, out: &mut [f32]) {
        let rows = users.len() / self.dim;
        let items = &self.items[first * self.dim..(first + count) * self.dim];
        matmul(
            out,
            Into::Replace,
            Matrix::new(users, rows, self.dim),
            Matrix::new(items, count, self.dim).t(),
        );
        if let Some(correction) = self.log_correction {
            for row in out.chunks_exact_mut(count) {
                for (logit, correction) in row.iter_mut().zip(&correction[first..first + count]) {
                    *logit -= correction;
                }
            }
        }
    }

    /// The mean loss, and each row's `ln Σ e^logit`.
    pub(crate) fn forward(&self) -> (f32, Vec<f32>) {
        let per_part = self.items_per_part();
        let end = self.items.len() / self.dim;
        let parts: Vec<usize> = (self.first_item..end).step_by(per_part).collect();
        let running: Vec<Vec<(f32, f32)>> = parts
            .into_par_iter()
            .map(|first| self.running_sums(first, end.min(first + per_part)))
            .collect();
        let normalizers: Vec<f32> = (0..self.rows())
            .map(|row| {
                let of_row = running.iter().map(|part| part[row]);
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

    /// Each row's maximum logit and `Σ e^(logit - maximum)` over a part of the items.
    fn running_sums(&self, first: usize, end: usize) -> Vec<(f32, f32)> {
        let mut running = vec![(f32::NEG_INFINITY, 0.0); self.rows()];
        let mut tile = vec![0.0; TILE_ROWS * TILE_ITEMS];
        for first in (first..end).step_by(TILE_ITEMS) {
            let count = TILE_ITEMS.min(end - first);
            let rows = self.users.chunks(TILE_ROWS * self.dim);
            for (users, running) in rows.zip(running.chunks_mut(TILE_ROWS)) {
                let tile = &mut tile[..running.len() * count];
                self.logits(users, first, count, tile);
                add_to_running_sums(tile, running);
            }
        }
        running
    }

    /// The gradients of `scale · mean loss` by users `[rows, dim]` and items `[items, dim]`.
    pub(crate) fn backward(&self, normalizers: &[f32], scale: f32) -> (Vec<f32>, Vec<f32>) {
        let scale = scale / self.rows() as f32;
        let per_part = self.items_per_part();
        let mut item_gradient = vec![0.0; self.items.len()];
        let parts: Vec<Vec<f32>> = item_gradient[self.first_item * self.dim..]
            .par_chunks_mut(per_part * self.dim)
            .enumerate()
            .map(|(part, gradient)| {
                let first = self.first_item + part * per_part;
                self.part_backward(first, gradient, normalizers, scale)
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
        first: usize,
        item_gradient: &mut [f32],
        normalizers: &[f32],
        scale: f32,
    ) -> Vec<f32> {
        let dim = self.dim;
        let mut user_gradient = vec![0.0; self.users.len()];
        let mut tile = vec![0.0; TILE_ROWS * TILE_ITEMS];
        for (block, item_gradient) in item_gradient.chunks_mut(TILE_ITEMS * dim).enumerate() {
            let first = first + block * TILE_ITEMS;
            let count = item_gradient.len() / dim;
            let items = Matrix::new(&self.items[first * dim..(first + count) * dim], count, dim);
            let rows = self.users.chunks(TILE_ROWS * dim);
            let user_gradients = user_gradient.chunks_mut(TILE_ROWS * dim);
            for (place, (users, user_gradient)) in rows.zip(user_gradients).enumerate() {
                let row_count = users.len() / dim;
                let range = place * TILE_ROWS..place * TILE_ROWS + row_count;
                let tile = &mut tile[..row_count * count];
                self.logits(users, first, count, tile);
                to_probabilities(tile, &normalizers[range.clone()], scale);
                for (row, &target) in self.targets[range].iter().enumerate() {
                    let column = (target as usize).wrapping_sub(first);
                    if column < count {
                        tile[row * count + column] -= scale;
                    }
                }
                let tile = Matrix::new(tile, row_count, count);
                matmul(user_gradient, Into::Add, tile, items);
                matmul(
                    item_gradient,
                    Into::Add,
                    tile.t(),
                    Matrix::new(users, row_count, dim),
                );
            }
        }
        user_gradient
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
    fn add_to_running_sums(tile: &[f32], running: &mut [(f32, f32)]) {
        let columns = tile.len() / running.len();
        for (row, running) in tile.chunks_exact(columns).zip(running) {
            let best = running.0.max(maximum(row));
            running.1 = running.1 * exp(running.0 - best) + sum_exp(row, best);
            running.0 = best;
        }
    }
}

for_each_instruction_set! {
    fn to_probabilities(tile: &mut [f32], normalizers: &[f32], scale: f32) {
        let columns = tile.len() / normalizers.len();
        for (row, &normalizer) in tile.chunks_exact_mut(columns).zip(normalizers) {
            for logit in row {
                *logit = exp(*logit - normalizer) * scale;
            }
        }
    }
}
