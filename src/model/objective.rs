//! Training objectives: losses, and the scores that they are of.

use burn::config::Config;
use burn::tensor::backend::Backend as BurnBackend;
use burn::tensor::{Int, Tensor};
use serde::{Deserialize, Serialize};

use super::sampled_loss::{SampledLoss, SampledScores, ScoreActivation};
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
    /// `[targets, dim]`, and those of items a table or what a tower makes of one.
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
                let correction = items.correction();
                let items = self.similarity.prepare_tensor(items.all());
                let targets = batch.targets.clone();
                return backend::softmax_cross_entropy(users, items, targets, correction);
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

    /// The mean loss of a softmax over padding and the negatives, the targets standing at `places`
    /// of these.
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
    /// `[targets, interests, dim]` of a user: of the chance that any of them gives the target,
    /// whose similarities to them are `near` `[targets, interests]`.
    pub(super) fn mean_joint_loss<B: Backend>(
        &self,
        interests: Tensor<B, 3>,
        near: Tensor<B, 2>,
        items: &impl ItemVectors<B>,
    ) -> Tensor<B, 1> {
        let [rows, count, dim] = interests.dims();
        let users = interests.reshape([rows * count, dim]);
        let users = self.heated(self.similarity.prepare_tensor(users));
        let correction = items.correction();
        let items = self.similarity.prepare_tensor(items.all());
        let near = self.heated(near);
        let nearest = near.clone().max_dim(1).detach();
        let of_targets = (near - nearest.clone()).exp().sum_dim(1).log() + nearest;
        backend::log_normalizer(users, items, correction, count) - of_targets.mean()
    }
}
