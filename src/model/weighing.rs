//! How much each row of a batch weighs in its loss.

use burn::tensor::{Int, Tensor};

use crate::backend::Backend;
use crate::data::TrainingBatch;

/// The rows of a batch: those to be predicted, and after them those of disliked items, with the
/// shares of both in the loss.
pub(super) struct Weighing<B: Backend> {
    /// The number of rows to be predicted.
    pub(super) wanted: usize,
    /// The number of rows after them that take part, of disliked items.
    pub(super) disliked: usize,
    /// Each row's share, `[wanted + disliked]`; all are the same where there are none.
    shares: Option<Tensor<B, 1>>,
}

impl<B: Backend> Weighing<B> {
    /// The weighing of a batch, in which a disliked item weighs `dislike_weight` times as much as
    /// its event; `None` where nothing weighs anything.
    pub(super) fn new(batch: &TrainingBatch<B>, dislike_weight: f64) -> Option<Self> {
        let [all] = batch.targets.dims();
        let wanted = all - batch.disliked;
        let disliked = if dislike_weight > 0.0 {
            batch.disliked
        } else {
            0
        };
        if wanted + disliked == 0 {
            return None;
        }
        let weights = batch.weights.clone();
        let weights = weights.map(|weights| weights.narrow(0, 0, wanted + disliked));
        let weights = match (weights, disliked) {
            (weights, 0) => weights,
            (weights, _) => {
                let device = batch.targets.device();
                let weights = weights.unwrap_or_else(|| Tensor::ones([wanted + disliked], &device));
                let of_disliked = weights.clone().narrow(0, wanted, disliked);
                let of_disliked = of_disliked.mul_scalar(dislike_weight);
                Some(match wanted {
                    0 => of_disliked,
                    _ => Tensor::cat(vec![weights.narrow(0, 0, wanted), of_disliked], 0),
                })
            }
        };
        Some(Self {
            wanted,
            disliked,
            shares: weights.map(|weights| weights.clone() / weights.sum()),
        })
    }

    /// The shares of the rows to be predicted, `[wanted]`, where they differ or are not all.
    pub(super) fn of_wanted(&self) -> Option<Tensor<B, 1>> {
        let shares = self.shares.clone()?;
        Some(shares.narrow(0, 0, self.wanted))
    }

    /// The loss `[1]` of the rows to be predicted, from that of each, `[wanted, 1]`.
    pub(super) fn wanted_loss(&self, rows: Tensor<B, 2>) -> Tensor<B, 1> {
        match self.of_wanted() {
            Some(shares) => (rows * shares.unsqueeze_dim(1)).sum(),
            None => rows.mean(),
        }
    }

    /// The loss `[1]` of the rows of disliked items, from that of each, `[disliked, 1]`.
    pub(super) fn disliked_loss(&self, rows: Tensor<B, 2>) -> Tensor<B, 1> {
        let shares = self.shares.clone().map(|shares| {
            let shares = shares.narrow(0, self.wanted, self.disliked);
            shares.unsqueeze_dim(1)
        });
        match shares {
            Some(shares) => (rows * shares).sum(),
            None => rows.mean(),
        }
    }

    /// The rows to be predicted out of those of the batch.
    pub(super) fn wanted<const D: usize>(&self, rows: Tensor<B, D>) -> Tensor<B, D> {
        match rows.dims()[0] {
            all if all == self.wanted => rows,
            _ => rows.narrow(0, 0, self.wanted),
        }
    }

    /// The targets that are to be predicted, `[wanted]`.
    pub(super) fn wanted_targets(&self, batch: &TrainingBatch<B>) -> Tensor<B, 1, Int> {
        match batch.disliked {
            0 => batch.targets.clone(),
            _ => batch.targets.clone().narrow(0, 0, self.wanted),
        }
    }

    /// The items that are disliked, `[disliked]`.
    pub(super) fn disliked_targets(&self, batch: &TrainingBatch<B>) -> Tensor<B, 1, Int> {
        (batch.targets.clone()).narrow(0, self.wanted, self.disliked)
    }

    /// The rows of disliked items out of those of the batch.
    pub(super) fn disliked<const D: usize>(&self, rows: Tensor<B, D>) -> Tensor<B, D> {
        rows.narrow(0, self.wanted, self.disliked)
    }
}
