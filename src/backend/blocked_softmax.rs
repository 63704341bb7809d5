//! Softmax cross-entropy as ordinary tensor operations, by blocks of items.

use burn::tensor::ops::{FloatTensor, IntTensor};
use burn::tensor::{Int, Tensor};

use super::primitives::tensor;
use super::{Backend, add_to_rows, select_rows};

/// The most logits of a block of items, unless it is of one item: 64 MiB.
pub(super) const BLOCK_LOGITS: usize = 1 << 24;

/// The operands, each by its name.
pub(super) struct Operands<T> {
    pub(super) users: T,
    pub(super) items: T,
    pub(super) log_correction: Option<T>,
    pub(super) shares: Option<T>,
}

/// A softmax over items that walks through them in blocks, so that no more of the matrix
/// `[rows, items]` is ever there than a block's.
pub(super) struct BlockedSoftmax<B: Backend> {
    users: Tensor<B, 2>,
    items: Tensor<B, 2>,
    log_correction: Option<Tensor<B, 2>>,
    targets: Tensor<B, 1, Int>,
    group: usize,
    /// The share of each softmax in the loss, `[groups, 1]`, where it is no mean.
    shares: Option<Tensor<B, 2>>,
    /// The number of items of a block.
    block: usize,
}

impl<B: Backend> BlockedSoftmax<B> {
    /// A softmax by blocks of at most `logits` logits.
    pub(super) fn new(
        operands: Operands<FloatTensor<B>>,
        targets: IntTensor<B>,
        group: usize,
        logits: usize,
    ) -> Self {
        let users: Tensor<B, 2> = tensor(operands.users);
        let column = |values| tensor::<B, 1>(values).unsqueeze_dim(1);
        Self {
            block: (logits / users.dims()[0].max(1)).max(1),
            users,
            items: tensor(operands.items),
            log_correction: operands.log_correction.map(column),
            shares: operands.shares.map(column),
            targets: Tensor::from_primitive(targets),
            group,
        }
    }

    /// The first item and the size of each block; padding is in none.
    fn blocks(&self) -> impl Iterator<Item = (usize, usize)> {
        let (all, block) = (self.items.dims()[0], self.block);
        let starts = (1..all).step_by(block);
        starts.map(move |start| (start, block.min(all - start)))
    }

    /// A block's logits, those of a group side by side, `[groups, group * size]`.
    fn logits(&self, (start, size): (usize, usize)) -> Tensor<B, 2> {
        let items = self.items.clone().narrow(0, start, size);
        let logits = self.users.clone().matmul(items.transpose());
        let logits = match &self.log_correction {
            Some(correction) => logits - correction.clone().narrow(0, start, size).transpose(),
            None => logits,
        };
        self.of_groups(logits)
    }

    /// The values of each group of rows side by side.
    fn of_groups(&self, rows: Tensor<B, 2>) -> Tensor<B, 2> {
        let [count, width] = rows.dims();
        rows.reshape([count / self.group, self.group * width])
    }

    /// Each group's `ln Σ e^logit`, `[groups, 1]`: its sum is scaled down whenever a block has a
    /// logit above those before.
    pub(super) fn normalizers(&self) -> Tensor<B, 2> {
        let mut so_far: Option<(Tensor<B, 2>, Tensor<B, 2>)> = None;
        for block in self.blocks() {
            let logits = self.logits(block);
            let highest = logits.clone().max_dim(1);
            let highest = match &so_far {
                Some((before, _)) => before.clone().max_pair(highest),
                None => highest,
            };
            let sum = (logits - highest.clone()).exp().sum_dim(1);
            let sum = match so_far {
                Some((before, sum_before)) => sum + sum_before * (before - highest.clone()).exp(),
                None => sum,
            };
            so_far = Some((highest, sum));
        }
        let (highest, sum) = so_far.expect("a catalog has items");
        sum.log() + highest
    }

    /// 1 for each row that has a target, else 0, `[rows, 1]`.
    fn has_target(&self) -> Tensor<B, 2> {
        (self.targets.clone().greater_elem(0).float()).unsqueeze_dim(1)
    }

    /// The share of each row's softmax in the loss, `[rows, 1]` or the same for all, `[1, 1]`.
    fn row_shares(&self) -> Tensor<B, 2> {
        let [rows, _] = self.users.dims();
        match &self.shares {
            Some(shares) => {
                let of_groups = shares.clone().expand([rows / self.group, self.group]);
                of_groups.reshape([rows, 1])
            }
            None => {
                let share = self.group as f64 / rows as f64;
                Tensor::ones([1, 1], &self.users.device()).mul_scalar(share)
            }
        }
    }

    /// The loss over groups, `[1]`.
    pub(super) fn loss(&self, normalizers: Tensor<B, 2>) -> Tensor<B, 1> {
        let rows = select_rows(self.items.clone(), self.targets.clone());
        let of_targets = (self.users.clone() * rows).sum_dim(1);
        let of_targets = match &self.log_correction {
            Some(correction) => of_targets - correction.clone().select(0, self.targets.clone()),
            None => of_targets,
        };
        let of_targets = self.of_groups(of_targets * self.has_target());
        let losses = normalizers - of_targets.sum_dim(1);
        match &self.shares {
            Some(shares) => (losses * shares.clone()).sum(),
            None => losses.mean(),
        }
    }

    /// The gradients of the loss by users and by items.
    pub(super) fn gradients(&self, normalizers: &Tensor<B, 2>) -> [Tensor<B, 2>; 2] {
        let [rows, dim] = self.users.dims();
        let shares = self.row_shares();
        let weight = (self.has_target() * shares.clone()).neg();
        let of_targets = select_rows(self.items.clone(), self.targets.clone());
        let mut by_users = of_targets * weight.clone();
        let mut by_items = vec![Tensor::<B, 2>::zeros([1, dim], &self.users.device())];
        for (start, size) in self.blocks() {
            let probabilities = (self.logits((start, size)) - normalizers.clone()).exp();
            let by_logits = probabilities.reshape([rows, size]) * shares.clone();
            let items = self.items.clone().narrow(0, start, size);
            by_users = by_users + by_logits.clone().matmul(items);
            by_items.push(by_logits.transpose().matmul(self.users.clone()));
        }
        let to_targets = self.users.clone() * weight;
        let by_items = add_to_rows(Tensor::cat(by_items, 0), self.targets.clone(), to_targets);
        [by_users, by_items]
    }
}
