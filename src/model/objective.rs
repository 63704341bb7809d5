//! Training objectives: losses, and the scores that they are of.

use burn::config::Config;
use burn::tensor::activation::softplus;
use burn::tensor::backend::Backend as BurnBackend;
use burn::tensor::{Int, Tensor};
use serde::{Deserialize, Serialize};

use super::sampled_loss::{SampledLoss, SampledScores, ScoreActivation};
use super::weighing::Weighing;
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
    /// How many times its event's weight an item weighs that a user
    /// [dislikes](crate::data::Role::Negative), beside the targets: 0 learns nothing of dislikes.
    /// Such an item's loss is ln(1 + e^(s - r)), of its score s and that r of an item at random,
    /// the logarithm of the mean of e^score over the catalog.
    #[config(default = 1.0)]
    pub dislike_weight: f64,
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
        checks::not_negative("dislike_weight", self.dislike_weight)?;
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

    /// The loss `[1]` of a batch, whose user vectors are `users` `[targets, dim]`, and those of
    /// items a table or what a tower makes of one: the mean over its targets and disliked items, by
    /// their weights.
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
        let Some(weighing) = Weighing::new(batch, self.dislike_weight) else {
            return nothing_to_learn(items, batch);
        };
        let users = self.heated(self.similarity.prepare_tensor(users));
        let all = self.all_items(items);
        let wanted = (weighing.wanted > 0).then(|| {
            let users = weighing.wanted(users.clone());
            self.wanted_loss(users, (items, all.clone()), batch, &weighing)
        });
        let disliked = (weighing.disliked > 0).then(|| {
            let users = weighing.disliked(users);
            self.disliked_loss(users, (items, all), batch, &weighing)
        });
        sum(wanted, disliked)
    }

    /// The vectors of all items, by which similarities are products, where the loss is of them all.
    fn all_items<B: Backend>(&self, items: &impl ItemVectors<B>) -> Option<Tensor<B, 2>> {
        (self.loss == Loss::Softmax).then(|| self.similarity.prepare_tensor(items.all()))
    }

    /// The loss `[1]` of items that are disliked, for users `[disliked, dim]` whose similarities
    /// are logits: of each the softplus of its score above that of an item at random.
    ///
    /// That one is the logarithm of the mean of e^score over the catalog, as a softmax compares
    /// them. By scores alone nothing would be learned: a softmax is the same when all of a user's
    /// scores are so low that none counts as liked.
    fn disliked_loss<B: Backend>(
        &self,
        users: Tensor<B, 2>,
        (items, all): (&impl ItemVectors<B>, Option<Tensor<B, 2>>),
        batch: &TrainingBatch<B>,
        weighing: &Weighing<B>,
    ) -> Tensor<B, 1> {
        let disliked = weighing.disliked_targets(batch);
        let count = (items.items() as f64).ln();
        let (vectors, at_random) = match (all, &batch.negatives) {
            (Some(all), _) => {
                let vectors = backend::select_rows(all.clone(), disliked);
                let normalizers = backend::log_normalizers(users.clone(), all).unsqueeze_dim(1);
                (vectors, Some(normalizers.sub_scalar(count)))
            }
            (None, Some(negatives)) if negatives.items.dims() != [0] => {
                let [sampled] = negatives.items.dims();
                let both = Tensor::cat(vec![disliked, negatives.items.clone()], 0);
                let vectors = self.similarity.prepare_tensor(items.of(both));
                let sample = vectors
                    .clone()
                    .narrow(0, weighing.disliked, sampled)
                    .detach();
                let scores = users.clone().detach().matmul(sample.transpose());
                // Each stands for as many as its chance to be in the sample says.
                let scores = scores - negatives.log_chances.clone().unsqueeze();
                let highest = scores.clone().max_dim(1);
                let all = (scores - highest.clone()).exp().sum_dim(1).log() + highest;
                let vectors = vectors.narrow(0, 0, weighing.disliked);
                (vectors, Some(all.sub_scalar(count)))
            }
            // There is nothing to compare with.
            (None, _) => (self.similarity.prepare_tensor(items.of(disliked)), None),
        };
        let scores = (users * vectors).sum_dim(1);
        let above = match at_random {
            Some(at_random) => scores - at_random,
            None => scores,
        };
        weighing.disliked_loss(softplus(above, 1.0))
    }

    /// The loss `[1]` of the targets that are to be predicted, for users whose similarities are
    /// logits.
    fn wanted_loss<B: Backend>(
        &self,
        users: Tensor<B, 2>,
        (items, all): (&impl ItemVectors<B>, Option<Tensor<B, 2>>),
        batch: &TrainingBatch<B>,
        weighing: &Weighing<B>,
    ) -> Tensor<B, 1> {
        let targets = weighing.wanted_targets(batch);
        let (loss, activation) = match &self.loss {
            Loss::Softmax => {
                let all = all.expect("a softmax over the catalog has all items");
                let (correction, shares) = (items.correction(), weighing.of_wanted());
                return backend::weighted_softmax(users, all, targets, correction, shares);
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
                let shares = weighing.of_wanted();
                self.softmax_of_sample(users, items, negatives, (places.clone(), shares), log_q)
            }
            _ => {
                let scores = self.sampled_scores(users, items, targets, negatives, activation);
                weighing.wanted_loss(loss.of_rows(scores))
            }
        }
    }

    /// The loss of a softmax over padding and the negatives, the targets standing at `places` of
    /// these and having `shares` in it.
    fn softmax_of_sample<B: Backend>(
        &self,
        users: Tensor<B, 2>,
        items: &impl ItemVectors<B>,
        negatives: &Negatives<B>,
        (places, shares): (Tensor<B, 1, Int>, Option<Tensor<B, 1>>),
        log_q: bool,
    ) -> Tensor<B, 1> {
        let device = users.device();
        let padding = Tensor::zeros([1], &device);
        let all = Tensor::cat(vec![padding, negatives.items.clone()], 0);
        let vectors = self.similarity.prepare_tensor(items.of(all));
        let none = Tensor::zeros([1], &device);
        let correction = log_q.then(|| Tensor::cat(vec![none, negatives.log_chances.clone()], 0));
        backend::weighted_softmax(users, vectors, places, correction, shares)
    }

    /// The scores of a batch's targets and negatives.
    fn sampled_scores<B: Backend>(
        &self,
        users: Tensor<B, 2>,
        items: &impl ItemVectors<B>,
        targets: Tensor<B, 1, Int>,
        negatives: &Negatives<B>,
        activation: ScoreActivation,
    ) -> SampledScores<B> {
        let [rows] = targets.dims();
        let [count] = negatives.items.dims();
        let both = Tensor::cat(vec![targets.clone(), negatives.items.clone()], 0);
        let vectors = self.similarity.prepare_tensor(items.of(both));
        let of_targets = vectors.clone().narrow(0, 0, rows);
        let of_negatives = vectors.narrow(0, rows, count);
        let positive = (users.clone() * of_targets).sum_dim(1);
        let negative = users.matmul(of_negatives.transpose());
        let targets = targets.unsqueeze_dim::<2>(1);
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

    /// The loss `[1]` of one softmax over the scores of all items by all `interests`
    /// `[targets, interests, dim]` of a user: of the chance that any of them gives the target,
    /// whose similarities to them are `near` `[targets, interests]`. A user is kept away from a
    /// disliked item by the interest that is nearest to it.
    pub(super) fn mean_joint_loss<B: Backend>(
        &self,
        interests: Tensor<B, 3>,
        near: Tensor<B, 2>,
        items: &impl ItemVectors<B>,
        batch: &TrainingBatch<B>,
    ) -> Tensor<B, 1> {
        let Some(weighing) = Weighing::new(batch, self.dislike_weight) else {
            return nothing_to_learn(items, batch);
        };
        let [_, count, dim] = interests.dims();
        let all = self.similarity.prepare_tensor(items.all());
        let disliked = (weighing.disliked > 0).then(|| {
            let near = weighing.disliked(near.clone());
            let users = nearest(weighing.disliked(interests.clone()), near);
            let users = self.heated(self.similarity.prepare_tensor(users));
            self.disliked_loss(users, (items, Some(all.clone())), batch, &weighing)
        });
        let wanted = (weighing.wanted > 0).then(|| {
            let users = weighing.wanted(interests);
            let users = users.reshape([weighing.wanted * count, dim]);
            let users = self.heated(self.similarity.prepare_tensor(users));
            let near = self.heated(weighing.wanted(near));
            let nearest = near.clone().max_dim(1).detach();
            let of_targets = (near - nearest.clone()).exp().sum_dim(1).log() + nearest;
            let (correction, shares) = (items.correction(), weighing.of_wanted());
            backend::log_normalizer(users, all, correction, shares, count)
                - weighing.wanted_loss(of_targets)
        });
        sum(wanted, disliked)
    }
}

/// The one of each user's `interests` `[users, interests, dim]` that is the most similar to an
/// item, by the similarities `near` `[users, interests]`: `[users, dim]`.
fn nearest<B: Backend>(interests: Tensor<B, 3>, near: Tensor<B, 2>) -> Tensor<B, 2> {
    let [users, count, dim] = interests.dims();
    let first = Tensor::<B, 1, Int>::arange(0..users as i64, &near.device());
    let rows = first.mul_scalar(count as i64) + near.argmax(1).flatten(0, 1);
    backend::select_rows(interests.reshape([users * count, dim]), rows)
}

/// The sum of the parts of a loss that there are.
fn sum<B: Backend>(wanted: Option<Tensor<B, 1>>, disliked: Option<Tensor<B, 1>>) -> Tensor<B, 1> {
    match (wanted, disliked) {
        (Some(wanted), Some(disliked)) => wanted + disliked,
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => unreachable!("a weighing has rows"),
    }
}

/// The loss of a batch without anything to learn from: 0, and no gradient but 0.
pub(super) fn nothing_to_learn<B: Backend>(
    items: &impl ItemVectors<B>,
    batch: &TrainingBatch<B>,
) -> Tensor<B, 1> {
    let padding = Tensor::zeros([1], &batch.targets.device());
    items.of(padding).sum().mul_scalar(0.0)
}
