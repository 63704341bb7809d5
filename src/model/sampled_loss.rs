//! Losses over a sample of the catalog.

use burn::tensor::activation::{elu, log_sigmoid, log_softmax, relu, sigmoid, softmax, softplus};
use burn::tensor::backend::Backend as BurnBackend;
use burn::tensor::{Bool, Tensor};
use serde::{Deserialize, Serialize};

/// A loss of a target's score s and the scores n of negatives.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SampledLoss {
    /// The cross-entropy of a softmax over the target and its negatives.
    Softmax {
        /// Subtracts from each score the logarithm of the item's chance to be in the sample, so
        /// that the loss stands for the softmax over the whole catalog (Bengio & Senécal 2008;
        /// Yi et al., [2019](https://research.google/pubs/pub48840/)).
        log_q: bool,
    },
    /// The mean of -ln σ(s - n): Rendle et al., [BPR](https://arxiv.org/abs/1205.2618).
    Bpr,
    /// -ln Σ wσ(s - n) + r Σ wn², with w the softmax of the negatives' scores: Hidasi &
    /// Karatzoglou, [2018](https://arxiv.org/abs/1706.03847).
    BprMax {
        /// The weight r of the negatives' squared scores.
        regularization: f64,
    },
    /// Σ w(σ(n - s) + σ(n²)), with w as for BPR-max, from the same paper.
    Top1Max,
    /// Binary cross-entropy: the mean of -ln σ(s) and of every -ln(1 - σ(n)).
    Bce,
    /// Binary cross-entropy with the target's term multiplied by β = 1 - t(1 - negatives /
    /// (items - 1)), which takes back the overconfidence that sampling brings: Petrov &
    /// Macdonald, [gSASRec](https://arxiv.org/abs/2308.07192).
    Gbce {
        /// The calibration t, `0..=1`; 0 is plain binary cross-entropy.
        calibration: f64,
    },
}

/// An activation of scores before a sampled loss. None changes which item is the best, so search
/// leaves it out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ScoreActivation {
    /// Scores as they are.
    #[default]
    Linear,
    /// Exponential linear unit: α(e^x - 1) below 0.
    Elu {
        /// The distance that it reaches below 0.
        alpha: f64,
    },
    /// 0 below 0.
    Relu,
    /// Hyperbolic tangent.
    Tanh,
}

impl ScoreActivation {
    pub(super) fn apply<B: BurnBackend>(self, scores: Tensor<B, 2>) -> Tensor<B, 2> {
        match self {
            Self::Linear => scores,
            Self::Elu { alpha } => elu(scores, alpha),
            Self::Relu => relu(scores),
            Self::Tanh => scores.tanh(),
        }
    }
}

/// The scores that a sampled loss is taken of.
pub(super) struct SampledScores<B: BurnBackend> {
    /// The targets' scores `[rows, 1]`.
    pub(super) positive: Tensor<B, 2>,
    /// The negatives' scores `[rows, negatives]`.
    pub(super) negative: Tensor<B, 2>,
    /// A mask of negatives that are their row's target and excluded, `[rows, negatives]`.
    pub(super) is_target: Tensor<B, 2, Bool>,
    /// See [`Negatives::log_chances`](crate::data::Negatives::log_chances).
    pub(super) log_chances: Tensor<B, 1>,
    /// See [`Negatives::log_chances_of_targets`](crate::data::Negatives::log_chances_of_targets).
    pub(super) log_chances_of_targets: Tensor<B, 1>,
    /// The number of items of the catalog.
    pub(super) items: usize,
}

/// The score of what is excluded in a softmax: e to its power is 0, and it stays finite in
/// differences.
const NO_SCORE: f64 = -1e9;

/// Keeps the logarithm of a chance of 0 finite, as in the reference implementation.
const LEAST_CHANCE: f64 = 1e-24;

impl SampledLoss {
    /// The loss of each row, `[rows, 1]`.
    pub(super) fn of_rows<B: BurnBackend>(self, scores: SampledScores<B>) -> Tensor<B, 2> {
        let SampledScores {
            positive,
            negative,
            is_target,
            log_chances,
            log_chances_of_targets,
            items,
        } = scores;
        let weights = |negative: &Tensor<B, 2>| {
            softmax(negative.clone().mask_fill(is_target.clone(), NO_SCORE), 1)
        };
        // The mean over the negatives of each row, its own target left out. A row that has no other
        // learns nothing, though the softmax of none gives its own target all the weight.
        let others = is_target.clone().bool_not().float().sum_dim(1);
        let alone = others.clone().equal_elem(0.0);
        let count = others.clamp_min(1.0);
        let sum = |values: Tensor<B, 2>| values.mask_fill(is_target.clone(), 0.0).sum_dim(1);
        match self {
            Self::Softmax { log_q } => {
                let (positive, negative) = if log_q {
                    let of_targets = log_chances_of_targets.unsqueeze_dim(1);
                    (positive - of_targets, negative - log_chances.unsqueeze())
                } else {
                    (positive, negative)
                };
                let all = vec![positive, negative.mask_fill(is_target, NO_SCORE)];
                log_softmax(Tensor::cat(all, 1), 1).narrow(1, 0, 1).neg()
            }
            Self::Bpr => (sum(log_sigmoid(positive - negative)) / count).neg(),
            Self::BprMax { regularization } => {
                let weights = weights(&negative);
                let squares = negative.clone().square() * weights.clone();
                let better = sigmoid(positive - negative) * weights;
                let loss = better.sum_dim(1).add_scalar(LEAST_CHANCE).log().neg();
                let loss = loss + squares.sum_dim(1).mul_scalar(regularization);
                loss.mask_fill(alone, 0.0)
            }
            Self::Top1Max => {
                let weights = weights(&negative);
                let worse = sigmoid(negative.clone() - positive) + sigmoid(negative.square());
                (worse * weights).sum_dim(1).mask_fill(alone, 0.0)
            }
            Self::Bce => binary_cross_entropy(positive, sum(softplus(negative, 1.0)), count, 1.0),
            Self::Gbce { calibration } => {
                let [_, negatives] = negative.dims();
                let rate = negatives as f64 / (items.max(2) - 1) as f64;
                let weight = 1.0 - calibration * (1.0 - rate.min(1.0));
                binary_cross_entropy(positive, sum(softplus(negative, 1.0)), count, weight)
            }
        }
    }
}

/// The mean of one positive term, multiplied by `weight`, and `count` negative ones, of each row.
fn binary_cross_entropy<B: BurnBackend>(
    positive: Tensor<B, 2>,
    negative: Tensor<B, 2>,
    count: Tensor<B, 2>,
    weight: f64,
) -> Tensor<B, 2> {
    let positive = log_sigmoid(positive).mul_scalar(-weight);
    (positive + negative) / count.add_scalar(1.0)
}
