//! The gradients of softmax cross-entropy.

use rayon::prelude::*;

use super::super::elementwise::exp;
use super::super::for_each_instruction_set;
use super::super::matmul::{Matrix, matmul, matmul_add};
use super::{Softmax, TILE_ITEMS, TILE_ROWS};

/// Logits that are kept at once: 16 MiB. Where [`TILE_ROWS`] rows have more, they are made twice:
/// memory would take longer than the products.
const KEPT_LOGITS: usize = 1 << 22;

impl<'a> Softmax<'a> {
    /// The loss over groups of rows, and its gradients by users `[rows, dim]` and by items
    /// `[items, dim]`, which are 0 for those that take no part.
    pub(crate) fn gradients(&self) -> (f32, [Vec<f32>; 2]) {
        self.gradients_keeping(KEPT_LOGITS)
    }

    /// The loss and its gradients, with at most `most` logits kept.
    fn gradients_keeping(&self, most: usize) -> (f32, [Vec<f32>; 2]) {
        let items = self.active_items();
        // Whole tiles, and whole groups.
        let step = TILE_ROWS * self.group;
        let kept_rows = most / items / step * step;
        let at_once = if kept_rows > 0 {
            kept_rows
        } else {
            self.rows()
        };
        let mut kept = vec![0.0; items * kept_rows.min(self.rows())];
        let mut by_users = vec![0.0; self.users.len()];
        let mut by_items = vec![0.0; self.items.len()];
        let mut total = 0.0;
        let shares = self.row_shares();
        let blocks = self.users.chunks(at_once * self.dim);
        let blocks = blocks.zip(self.targets.chunks(at_once));
        let gradients = by_users.chunks_mut(at_once * self.dim);
        for (block, ((users, targets), by_users)) in blocks.zip(gradients).enumerate() {
            let first = block * at_once;
            let of_groups = |shares: &'a [f32]| {
                &shares[first / self.group..(first + targets.len()) / self.group]
            };
            let some = Softmax {
                users,
                targets,
                shares: self.shares.map(of_groups),
                ..*self
            };
            let transposed = some.transposed_users();
            let kept = &mut kept[..items * some.rows().min(kept_rows)];
            let normalizers = if kept_rows > 0 {
                some.keep_logits(&transposed, kept)
            } else {
                some.pass_logits(&transposed)
            };
            some.add_losses(&normalizers, &mut total);
            let shares = &shares[first..first + targets.len()];
            some.add_gradients(
                (&transposed, kept),
                &normalizers,
                shares,
                (by_users, &mut by_items),
                block == 0,
            );
        }
        (self.loss_of(total), [by_users, by_items])
    }

    /// Makes the logits of all rows, tile by tile, and gives their normalizers.
    fn keep_logits(&self, transposed_users: &[f32], kept: &mut [f32]) -> Vec<f32> {
        let per_part = self.items_per_part();
        let running: Vec<(Vec<f32>, Vec<f32>)> = kept
            .par_chunks_mut(per_part * self.rows())
            .enumerate()
            .map(|(part, kept)| {
                let first = self.first_item + part * per_part;
                let end = first + kept.len() / self.rows();
                self.running_sums(transposed_users, first, end, Some(kept))
            })
            .collect();
        self.normalizers(&running)
    }

    /// Makes the gradient by users, and adds to the one by items, which is still to be written
    /// where these rows are the first.
    fn add_gradients(
        &self,
        (transposed, kept): (&[f32], &[f32]),
        normalizers: &[f32],
        shares: &[f32],
        (by_users, by_items): (&mut [f32], &mut [f32]),
        first_rows: bool,
    ) {
        let per_part = self.items_per_part();
        let parts: Vec<Vec<f32>> = by_items[self.first_item * self.dim..]
            .par_chunks_mut(per_part * self.dim)
            .enumerate()
            .map(|(part, by_items)| {
                let first = self.first_item + part * per_part;
                let kept = kept.chunks(per_part * self.rows()).nth(part);
                let logits = (transposed, kept.unwrap_or_default());
                self.part_gradients(logits, first, by_items, first_rows, normalizers, shares)
            })
            .collect();
        let size = TILE_ROWS * self.dim;
        let blocks = by_users.par_chunks_mut(size).enumerate();
        blocks.for_each(|(block, sums)| {
            for (number, part) in parts.iter().enumerate() {
                let part = &part[block * size..][..sums.len()];
                if number == 0 {
                    sums.copy_from_slice(part);
                } else {
                    add(sums, part);
                }
            }
        });
    }

    /// Adds to one part's gradient by items; gives what the part adds to the one by users.
    fn part_gradients(
        &self,
        (transposed, mut kept): (&[f32], &[f32]),
        first: usize,
        by_items: &mut [f32],
        first_rows: bool,
        normalizers: &[f32],
        shares: &[f32],
    ) -> Vec<f32> {
        let dim = self.dim;
        let mut by_users = vec![0.0; self.users.len()];
        let mut tile = vec![0.0; TILE_ITEMS * TILE_ROWS];
        let mut passing = vec![0.0; if kept.is_empty() { tile.len() } else { 0 }];
        for (block, by_items) in by_items.chunks_mut(TILE_ITEMS * dim).enumerate() {
            let first = first + block * TILE_ITEMS;
            let count = by_items.len() / dim;
            let blocks = self
                .users
                .chunks(TILE_ROWS * dim)
                .zip(transposed.chunks(TILE_ROWS * dim))
                .zip(by_users.chunks_mut(TILE_ROWS * dim))
                .zip(normalizers.chunks(TILE_ROWS).zip(shares.chunks(TILE_ROWS)))
                .zip(self.targets.chunks(TILE_ROWS));
            for (row_block, ((((users, transposed), by_users), (normalizers, shares)), targets)) in
                blocks.enumerate()
            {
                let rows = targets.len();
                let logits = if passing.is_empty() {
                    let (logits, rest) = kept.split_at(count * rows);
                    kept = rest;
                    logits
                } else {
                    let logits = &mut passing[..count * rows];
                    self.logits(first, transposed, logits);
                    logits
                };
                let tile = &mut tile[..count * rows];
                probabilities(logits, normalizers, shares, tile);
                take_targets_off(targets, first, shares, tile);
                let tile = Matrix::new(tile, count, rows);
                // New memory is written first and then read: the other way round the system maps
                // every page twice, which takes longer than the products.
                let (items, users) = (self.block(first, count), Matrix::new(users, rows, dim));
                if block == 0 {
                    matmul(by_users, tile.t(), items);
                } else {
                    matmul_add(by_users, tile.t(), items);
                }
                if first_rows && row_block == 0 {
                    matmul(by_items, tile, users);
                } else {
                    matmul_add(by_items, tile, users);
                }
            }
        }
        by_users
    }
}

for_each_instruction_set! {
    fn probabilities(logits: &[f32], normalizers: &[f32], shares: &[f32], out: &mut [f32]) {
        let rows = normalizers.len();
        for (out, logits) in out.chunks_exact_mut(rows).zip(logits.chunks_exact(rows)) {
            let of_rows = normalizers.iter().zip(shares);
            for ((out, &logit), (&normalizer, &share)) in out.iter_mut().zip(logits).zip(of_rows) {
                *out = exp(logit - normalizer) * share;
            }
        }
    }
}

/// Takes each row's share off the place of its target in a tile whose first item is `first`.
fn take_targets_off(targets: &[i32], first: usize, shares: &[f32], tile: &mut [f32]) {
    let rows = targets.len();
    for (row, (&target, &share)) in targets.iter().zip(shares).enumerate() {
        let place = (target as usize).wrapping_sub(first);
        if place < tile.len() / rows {
            tile[place * rows + row] -= share;
        }
    }
}

for_each_instruction_set! {
    fn add(sums: &mut [f32], more: &[f32]) {
        for (sum, more) in sums.iter_mut().zip(more) {
            *sum += more;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keeping logits, for all rows or for some at a time, changes no bit.
    #[test]
    fn kept_logits_are_those_that_are_made_again() {
        let (rows, items, dim) = (150, 300, 5);
        let value = |place: usize| ((place * 7_919) % 101) as f32 / 50.0 - 1.0;
        let users: Vec<f32> = (0..rows * dim).map(value).collect();
        let table: Vec<f32> = (0..items * dim).map(|place| value(place + 3)).collect();
        let targets: Vec<i32> = (0..rows as i32).map(|row| 1 + row * 2 % 299).collect();
        let softmax = Softmax {
            users: &users,
            items: &table,
            log_correction: None,
            dim,
            first_item: 1,
            targets: &targets,
            group: 1,
            shares: None,
        };
        let shares: Vec<f32> = (0..rows).map(|row| value(row).abs()).collect();
        for (group, shares) in [
            (1, None),
            (2, None),
            (1, Some(&shares[..])),
            (2, Some(&shares[75..])),
        ] {
            let softmax = Softmax {
                group,
                shares,
                ..softmax
            };
            let (all_loss, all) = softmax.gradients();
            for most in [0, 64 * 300, 128 * 300] {
                let (some_loss, some) = softmax.gradients_keeping(most);
                assert_eq!(some_loss.to_bits(), all_loss.to_bits());
                assert!(some == all, "{most}");
            }
        }
    }
}
