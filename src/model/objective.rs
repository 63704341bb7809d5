//! Training objectives: losses, and the scores that they are of.

use burn::config::Config;
use burn::tensor::activation::{elu, log_sigmoid, log_softmax, relu, sigmoid, softmax, softplus};
use burn::tensor::backend::Backend as BurnBackend;
use burn::tensor::{Bool, Int, Tensor};
use serde::{Deserialize, Serialize};

use super::{ItemVectors, Similarity};
use crate::backend::{self, Backend};
use crate::data::{NegativeSampling, Negatives, TrainingBatch};
use crate::{Error, Result, checks};

/// A training objective: a loss over scores, and the way from user and item vectors to
/// scores. Every model of this crate takes one.
///
/// ```
/// use seqrec::data::NegativeSampling;
/// use seqrec::model::{Gru4RecConfig, Loss, Objective, SampledLoss};
///
/// let loss = Loss::sampled(SampledLoss::Gbce { calibration: 0.75 }, NegativeSampling::uniform(256));
/// let config = Gru4RecConfig::new().with_objective(Objective::new().with_loss(loss));
/// ```
#[derive(Config, Debug, PartialEq)]
#[non_exhaustive]
pub struct Objective {
    /// The loss.
    #[config(default = "Loss::Softmax")]
    pub loss: Loss,
    /// The similarity of user and item vectors, in training and in search.
    #[config(default = "Similarity::Dot")]
    pub similarity: Similarity,
    /// The divisor of similarities in training under cosine, where they are at most 1.
    #[config(default = 0.1)]
    pub temperature: f64,
}

/// The loss of a row, from the score of its target and the scores of other items.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Loss {
    /// The cross-entropy of a softmax over the whole catalog.
    Softmax,
    /// A loss over a sample of the catalog.
    Sampled {
        /// The loss.
        loss: SampledLoss,
        /// The source of the sample.
        negatives: NegativeSampling,
        /// The activation of scores before the loss.
        activation: ScoreActivation,
    },
}

impl Loss {
    /// A loss over a sample of the catalog, on scores as they are.
    pub fn sampled(loss: SampledLoss, negatives: NegativeSampling) -> Self {
        Self::Sampled {
            loss,
            negatives,
            activation: ScoreActivation::Linear,
        }
    }
}

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

impl Objective {
    /// A softmax over the whole catalog of cosines, which are divided by `temperature`.
    pub fn cosine(temperature: f64) -> Self {
        let objective = Self::new().with_similarity(Similarity::Cosine);
        objective.with_temperature(temperature)
    }

    /// Checks every setting; `items` is the size of the catalog, where it is known.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) for the first invalid setting.
    pub fn validate(&self, items: Option<usize>) -> Result<()> {
        if let Some(items) = items {
            checks::has_items(items)?;
        }
        checks::positive("temperature", self.temperature)?;
        let Loss::Sampled {
            loss,
            negatives,
            activation,
        } = &self.loss
        else {
            return Ok(());
        };
        match *loss {
            SampledLoss::BprMax { regularization } => {
                checks::not_negative("regularization", regularization)?;
            }
            SampledLoss::Gbce { calibration } if !(0.0..=1.0).contains(&calibration) => {
                let reason = "must be from 0 to 1";
                return Err(Error::invalid("calibration", calibration, reason));
            }
            _ => {}
        }
        if let ScoreActivation::Elu { alpha } = *activation {
            checks::positive("alpha", alpha)?;
        }
        negatives.validate(items.unwrap_or(usize::MAX))
    }

    /// The source of negatives, for a loss that needs them.
    pub fn negatives(&self) -> Option<NegativeSampling> {
        match self.loss {
            Loss::Softmax => None,
            Loss::Sampled { negatives, .. } => Some(negatives),
        }
    }

    /// The mean loss `[1]` over the batch's targets, whose user vectors are `users`
    /// `[targets, dim]`.
    ///
    /// # Panics
    /// When the loss needs negatives and the batch has none; a
    /// [`Trainer`](crate::train::Trainer) gives what
    /// [`negatives`](Self::negatives) asks for.
    pub fn mean_loss<B: Backend>(
        &self,
        users: Tensor<B, 2>,
        items: &impl ItemVectors<B>,
        batch: &TrainingBatch<B>,
    ) -> Tensor<B, 1> {
        let users = self.heated(self.similarity.prepare_tensor(users));
        let (loss, activation) = match &self.loss {
            Loss::Softmax => {
                let items = self.similarity.prepare_tensor(items.all());
                return backend::softmax_cross_entropy(users, items, batch.targets.clone(), None);
            }
            Loss::Sampled {
                loss, activation, ..
            } => (loss, *activation),
        };
        let negatives = batch
            .negatives
            .as_ref()
            .expect("a sampled loss has negatives");
        match (loss, activation, &negatives.places_of_targets) {
            (&SampledLoss::Softmax { log_q }, ScoreActivation::Linear, Some(places)) => {
                self.softmax_of_sample(users, items, negatives, places.clone(), log_q)
            }
            _ => loss.mean(self.sampled_scores(users, items, batch, negatives, activation)),
        }
    }

    /// The mean loss of a softmax over padding and the negatives, the targets standing at `places` of
    /// these.
    fn softmax_of_sample<B: Backend>(
        &self,
        users: Tensor<B, 2>,
        items: &impl ItemVectors<B>,
        negatives: &Negatives<B>,
        places: Tensor<B, 1, Int>,
        log_q: bool,
    ) -> Tensor<B, 1> {
        let device = users.device();
        let padding = Tensor::zeros([1], &device);
        let all = Tensor::cat(vec![padding, negatives.items.clone()], 0);
        let vectors = self.similarity.prepare_tensor(items.of(all));
        let none = Tensor::zeros([1], &device);
        let correction = log_q.then(|| Tensor::cat(vec![none, negatives.log_chances.clone()], 0));
        backend::softmax_cross_entropy(users, vectors, places, correction)
    }

    /// The scores of a batch's targets and negatives.
    fn sampled_scores<B: Backend>(
        &self,
        users: Tensor<B, 2>,
        items: &impl ItemVectors<B>,
        batch: &TrainingBatch<B>,
        negatives: &Negatives<B>,
        activation: ScoreActivation,
    ) -> SampledScores<B> {
        let [rows] = batch.targets.dims();
        let [count] = negatives.items.dims();
        let both = Tensor::cat(vec![batch.targets.clone(), negatives.items.clone()], 0);
        let vectors = self.similarity.prepare_tensor(items.of(both));
        let of_targets = vectors.clone().narrow(0, 0, rows);
        let of_negatives = vectors.narrow(0, rows, count);
        let positive = (users.clone() * of_targets).sum_dim(1);
        let negative = users.matmul(of_negatives.transpose());
        let targets = batch.targets.clone().unsqueeze_dim::<2>(1);
        let drawn = negatives.items.clone().unsqueeze_dim::<2>(0);
        SampledScores {
            positive: activation.apply(positive),
            negative: activation.apply(negative),
            is_target: (targets.expand([rows, count])).equal(drawn.expand([rows, count])),
            log_chances: negatives.log_chances.clone(),
            log_chances_of_targets: negatives.log_chances_of_targets.clone(),
            items: items.items(),
        }
    }

    /// Similarities as logits, or vectors whose similarities are to be logits.
    fn heated<B: BurnBackend>(&self, similarities: Tensor<B, 2>) -> Tensor<B, 2> {
        match self.similarity {
            Similarity::Dot => similarities,
            Similarity::Cosine => similarities.div_scalar(self.temperature),
        }
    }

    /// The mean loss `[1]` of one softmax over the scores of all items by all `interests`
    /// `[targets, interests, dim]` of a user: of the chance that any of them gives the target, whose
    /// similarities to them are `near` `[targets, interests]`.
    pub(super) fn mean_joint_loss<B: Backend>(
        &self,
        interests: Tensor<B, 3>,
        near: Tensor<B, 2>,
        items: &impl ItemVectors<B>,
    ) -> Tensor<B, 1> {
        let [rows, count, dim] = interests.dims();
        let users = interests.reshape([rows * count, dim]);
        let users = self.heated(self.similarity.prepare_tensor(users));
        let items = self.similarity.prepare_tensor(items.all());
        let near = self.heated(near);
        let nearest = near.clone().max_dim(1).detach();
        let of_targets = (near - nearest.clone()).exp().sum_dim(1).log() + nearest;
        backend::log_normalizer(users, items, count) - of_targets.mean()
    }
}

impl ScoreActivation {
    fn apply<B: BurnBackend>(self, scores: Tensor<B, 2>) -> Tensor<B, 2> {
        match self {
            Self::Linear => scores,
            Self::Elu { alpha } => elu(scores, alpha),
            Self::Relu => relu(scores),
            Self::Tanh => scores.tanh(),
        }
    }
}

/// The scores that a sampled loss is taken of.
#[derive(Debug, Clone)]
pub struct SampledScores<B: BurnBackend> {
    /// The targets' scores `[rows, 1]`.
    pub positive: Tensor<B, 2>,
    /// The negatives' scores `[rows, negatives]`.
    pub negative: Tensor<B, 2>,
    /// A mask of negatives that are their row's target and excluded, `[rows, negatives]`.
    pub is_target: Tensor<B, 2, Bool>,
    /// See [`Negatives::log_chances`](crate::data::Negatives::log_chances).
    pub log_chances: Tensor<B, 1>,
    /// See [`Negatives::log_chances_of_targets`](crate::data::Negatives::log_chances_of_targets).
    pub log_chances_of_targets: Tensor<B, 1>,
    /// The number of items of the catalog.
    pub items: usize,
}

/// The score of what is excluded in a softmax: e to its power is 0, and it stays finite in
/// differences.
const NO_SCORE: f64 = -1e9;

/// Keeps the logarithm of a chance of 0 finite, as in the reference implementation.
const LEAST_CHANCE: f64 = 1e-24;

impl SampledLoss {
    /// The mean loss over rows, `[1]`.
    pub fn mean<B: BurnBackend>(self, scores: SampledScores<B>) -> Tensor<B, 1> {
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
                log_softmax(Tensor::cat(all, 1), 1)
                    .narrow(1, 0, 1)
                    .mean()
                    .neg()
            }
            Self::Bpr => (sum(log_sigmoid(positive - negative)) / count).mean().neg(),
            Self::BprMax { regularization } => {
                let weights = weights(&negative);
                let squares = negative.clone().square() * weights.clone();
                let better = sigmoid(positive - negative) * weights;
                let loss = better.sum_dim(1).add_scalar(LEAST_CHANCE).log().neg();
                let loss = loss + squares.sum_dim(1).mul_scalar(regularization);
                loss.mask_fill(alone, 0.0).mean()
            }
            Self::Top1Max => {
                let weights = weights(&negative);
                let worse = sigmoid(negative.clone() - positive) + sigmoid(negative.square());
                (worse * weights).sum_dim(1).mask_fill(alone, 0.0).mean()
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

/// The mean of one positive term, multiplied by `weight`, and `count` negative ones.
fn binary_cross_entropy<B: BurnBackend>(
    positive: Tensor<B, 2>,
    negative: Tensor<B, 2>,
    count: Tensor<B, 2>,
    weight: f64,
) -> Tensor<B, 1> {
    let positive = log_sigmoid(positive).mul_scalar(-weight);
    ((positive + negative) / count.add_scalar(1.0)).mean()
}
