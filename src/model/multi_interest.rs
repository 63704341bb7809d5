//! Models that give a user several vectors: MIND and ComiRec.

use burn::config::Config;
use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::tensor::activation::{relu, softmax};
use burn::tensor::backend::Backend as BurnBackend;
use burn::tensor::{Bool, Int, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::capsules::route;
use super::parts::{Dropout, EventVectors, UserMap, Weights};
use super::{
    Description, ItemFeaturesConfig, ItemTable, Loss, Objective, RecallerConfig, SequenceRecaller,
    TablePrecision,
};
use crate::backend::{self, Backend};
use crate::data::{SequenceBatch, TrainingBatch};
use crate::{Error, Result, checks};

/// A model with several interests a user. Search merges what each of them finds by best score.
///
/// It encodes a history as a whole, up to its last item, and so is trained on one target a history:
/// best on [`Targets::EveryPrefix`](crate::data::Targets::EveryPrefix), or in less time an epoch on
/// [`Targets::OneRandom`](crate::data::Targets::OneRandom).
///
/// One interest, a weighted mean of the last items, is a strong model already. Several are worth it
/// where users want several kinds of things at a time; on histories of films four find as much as
/// one and take longer. Trained as in the papers ([`LabelAttention::Hard`]) they find less than
/// one: on MovieLens-100K, ComiRec-SA has recall@50 0.468 with four interests so, 0.507 with [joint
/// training](LabelAttention::Joint) and 0.508 with one.
///
/// ```
/// use seqrec::backend::Flex;
/// use seqrec::data::{ItemIndex, SequenceBatch};
/// use seqrec::model::{MultiInterestConfig, RecallerConfig, SequenceRecaller};
///
/// let device = Default::default();
/// let model = MultiInterestConfig::comirec_sa().with_interests(3).init::<Flex>(100, 1, &device)?;
/// let histories = [&[5, 7, 9][..], &[1]].map(ItemIndex::from_slice);
/// let histories = SequenceBatch::<Flex>::new(histories, 20, &device)?;
/// assert_eq!(model.encode(&histories).dims(), [2, 3, 64]);
/// # Ok::<(), seqrec::Error>(())
/// ```
#[derive(Config, Debug, PartialEq)]
#[non_exhaustive]
pub struct MultiInterestConfig {
    /// The size of vectors.
    #[config(default = 64)]
    pub dim: usize,
    /// The number of vectors of a user.
    #[config(default = 4)]
    pub interests: usize,
    /// The way from a history to its interests.
    #[config(default = "InterestExtractor::SelfAttention { hidden: 64 }")]
    pub extractor: InterestExtractor,
    /// Which of them a target is compared with in training.
    #[config(default = "LabelAttention::Joint")]
    pub attention: LabelAttention,
    /// The share of the input vectors' values that is dropped in training, `0.0..1.0`.
    #[config(default = 0.3)]
    pub dropout: f64,
    /// The number of a history's last items that the model sees.
    #[config(default = 20)]
    pub max_len: usize,
    /// The precision of item vectors.
    #[config(default = "TablePrecision::Single")]
    pub table_precision: TablePrecision,
    /// The use of items' [features](crate::data::ItemFeatures); none unless set.
    pub item_features: Option<ItemFeaturesConfig>,
    /// Whether the model sees what a user did with an item, the type and the value of the event,
    /// where the data's events have a [meaning](crate::data::Behaviors). It takes
    /// [`init_for`](RecallerConfig::init_for), which knows of them.
    #[config(default = true)]
    pub event_vectors: bool,
    /// The number of features of a user, which are added to their vector by a linear map; see
    /// [`Dataset::with_users`](crate::data::Dataset::with_users).
    #[config(default = 0)]
    pub user_features: usize,
    /// The training objective: by default a softmax over the whole catalog of cosines, at
    /// temperature 0.07.
    #[config(default = "Objective::cosine(0.07)")]
    pub objective: Objective,
}

impl MultiInterestConfig {
    /// MIND: routing with one shared matrix from fixed random logits. The paper's own label-aware
    /// attention is [`LabelAttention::Soft`].
    ///
    /// Li et al., [Multi-Interest Network with Dynamic Routing](https://arxiv.org/abs/1904.08030).
    pub fn mind() -> Self {
        Self::new().with_extractor(InterestExtractor::SharedRouting { iterations: 3 })
    }

    /// ComiRec-DR: routing with a matrix for each interest. In the paper the target goes to the
    /// nearest one: [`LabelAttention::Hard`].
    ///
    /// Cen et al., [Controllable Multi-Interest Framework](https://arxiv.org/abs/2005.09347).
    pub fn comirec_dr() -> Self {
        Self::new().with_extractor(InterestExtractor::Routing { iterations: 3 })
    }

    /// ComiRec-SA: self-attention with weights for each interest, from the same paper.
    pub fn comirec_sa() -> Self {
        Self::new()
    }
}

/// The way from a history to its interests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum InterestExtractor {
    /// Capsules whose matrix is shared, told apart by fixed random logits, with a feed-forward part
    /// after it: MIND.
    SharedRouting {
        /// The number of assignments.
        iterations: usize,
    },
    /// Capsules with a matrix each, all logits beginning at 0: ComiRec-DR.
    Routing {
        /// The number of assignments.
        iterations: usize,
    },
    /// Each interest weighs the items in its own way: ComiRec-SA.
    SelfAttention {
        /// The size of the hidden layer that weighs.
        hidden: usize,
    },
}

/// Which of a user's interests a target is compared with in training.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LabelAttention {
    /// Whichever gives it, out of one softmax over the scores of all items by all interests: what
    /// search goes by, which takes the best items of any of them. It is for the softmax over the
    /// whole catalog.
    ///
    /// With the others, an interest learns only from the targets that it was the nearest to, so
    /// that nothing takes down what else it scores high, and that is found by search.
    Joint,
    /// The nearest, as in ComiRec.
    Hard,
    /// All, weighted by the softmax of their similarities to the target times `sharpness`, as in
    /// MIND. The paper raises similarities to a power instead, which negative ones don't have.
    Soft {
        /// 0 is their mean; the greater, the nearer to the nearest alone.
        sharpness: f64,
    },
}

/// The model of [`MultiInterestConfig`].
#[derive(Module, Debug)]
pub struct MultiInterest<B: BurnBackend> {
    /// The vectors of items.
    pub embedding: ItemTable<B>,
    /// What is added to the vectors that items are seen by.
    pub events: Option<EventVectors<B>>,
    /// What is added to user vectors by the features of users.
    pub users: Option<UserMap<B>>,
    /// Position vectors `[max_len, dim]`, for self-attention.
    pub positions: Option<Param<Tensor<B, 2>>>,
    /// The layer before items are assigned: `[dim, dim]` or `[dim, interests * dim]`
    /// for routing, `[dim, hidden]` for self-attention.
    pub project: Linear<B>,
    /// `[hidden, interests]`, for self-attention.
    pub weigh: Option<Linear<B>>,
    /// The logits that routing begins with, `[interests, max_len]`; they are not trained.
    pub logits: Option<Param<Tensor<B, 2>>>,
    /// The layers after shared routing, `[dim, 4 * dim]` and back.
    pub feed_forward: Vec<Linear<B>>,
    #[module(skip)]
    config: MultiInterestConfig,
}

impl RecallerConfig for MultiInterestConfig {
    type Recaller<B: Backend> = MultiInterest<B>;

    const NAME: &'static str = "multi_interest";

    fn validate(&self) -> Result<()> {
        let of_extractor = match self.extractor {
            InterestExtractor::SharedRouting { iterations }
            | InterestExtractor::Routing { iterations } => ("extractor.iterations", iterations),
            InterestExtractor::SelfAttention { hidden } => ("extractor.hidden", hidden),
        };
        checks::at_least_one(&[
            ("dim", self.dim),
            ("interests", self.interests),
            of_extractor,
            ("max_len", self.max_len),
        ])?;
        if let LabelAttention::Soft { sharpness } = self.attention {
            checks::not_negative("attention.sharpness", sharpness)?;
        }
        checks::share("dropout", self.dropout)?;
        if self.attention == LabelAttention::Joint && self.objective.loss != Loss::Softmax {
            return Err(Error::invalid(
                "attention",
                "joint",
                "needs the softmax over the whole catalog; with a sampled loss, take hard or soft",
            ));
        }
        Ok(())
    }

    fn describe(&self) -> Description<'_> {
        Description {
            table_precision: self.table_precision,
            item_features: self.item_features.as_ref(),
            event_vectors: self.event_vectors,
            user_features: self.user_features,
            one_target: true,
            ..Description::new(&self.objective, self.max_len)
        }
    }

    fn build<B: Backend>(&self, items: usize, weights: &mut Weights<'_, B>) -> MultiInterest<B> {
        let (dim, interests, max_len) = (self.dim, self.interests, self.max_len);
        let mut model = MultiInterest {
            embedding: weights.items(items, dim),
            events: weights.events(self.event_vectors, dim),
            users: weights.users(self.user_features, dim),
            positions: None,
            project: weights.linear(dim, dim),
            weigh: None,
            logits: None,
            feed_forward: Vec::new(),
            config: self.clone(),
        };
        match self.extractor {
            InterestExtractor::SharedRouting { .. } => {
                let logits = weights.normal(interests, max_len, 1.0);
                model.logits = Some(logits.set_require_grad(false));
                let (inner, outer) = (weights.linear(dim, 4 * dim), weights.linear(4 * dim, dim));
                model.feed_forward = vec![inner, outer];
            }
            InterestExtractor::Routing { .. } => {
                model.project = weights.linear(dim, interests * dim);
            }
            InterestExtractor::SelfAttention { hidden } => {
                model.positions = Some(weights.normal(max_len, dim, 0.02));
                model.project = weights.linear(dim, hidden);
                model.weigh = Some(weights.linear(hidden, interests));
            }
        }
        model
    }
}

/// A batch's padding as a mask, `[batch, 1, len]`.
fn padding<B: Backend>(histories: &SequenceBatch<B>) -> Tensor<B, 3, Bool> {
    let [batch, len] = histories.items.dims();
    let places = histories
        .lengths
        .iter()
        .flat_map(|&length| (0..len).map(move |place| place >= length));
    let data = TensorData::new(places.collect::<Vec<bool>>(), [batch, 1, len]);
    Tensor::from_data(data, &histories.items.device())
}

impl<B: Backend> MultiInterest<B> {
    /// Interests `[batch, interests, dim]`.
    fn interests(&self, histories: &SequenceBatch<B>, mut dropout: Dropout) -> Tensor<B, 3> {
        let config = &self.config;
        let (dim, interests) = (config.dim, config.interests);
        let [batch, len] = histories.items.dims();
        let device = histories.items.device();
        let indices = histories.items.clone().reshape([batch * len]);
        let items = self.embedding.lookup(indices);
        let items = EventVectors::join(self.events.as_ref(), items, histories, None);
        let items = dropout.apply(items, config.dropout);
        let padding = padding(histories);
        let users = match config.extractor {
            InterestExtractor::SharedRouting { iterations } => {
                let votes = self.project.forward(items).reshape([batch, 1, len, dim]);
                let votes = votes.expand([batch, interests, len, dim]);
                let logits = self.logits.as_ref().expect("made by init").val();
                let logits = logits.narrow(1, 0, len).unsqueeze::<3>();
                let logits = logits.expand([batch, interests, len]);
                let capsules = route(votes, logits, padding, iterations);
                let capsules = capsules.reshape([batch * interests, dim]);
                let hidden = relu(self.feed_forward[0].forward(capsules));
                self.feed_forward[1]
                    .forward(hidden)
                    .reshape([batch, interests, dim])
            }
            InterestExtractor::Routing { iterations } => {
                let votes = self.project.forward(items);
                let votes = votes.reshape([batch, len, interests, dim]).swap_dims(1, 2);
                let logits = Tensor::zeros([batch, interests, len], &device);
                route(votes, logits, padding, iterations)
            }
            InterestExtractor::SelfAttention { .. } => {
                let positions = self.positions.as_ref().expect("made by init").val();
                let places: Vec<i32> = (0..batch).flat_map(|_| 0..len as i32).collect();
                let places = TensorData::new(places, [batch * len]);
                let places = Tensor::<B, 1, Int>::from_data(places, &device);
                let placed = items.clone() + backend::select_rows(positions, places);
                let weigh = self.weigh.as_ref().expect("made by init");
                let weights = weigh.forward(self.project.forward(placed).tanh());
                let weights = weights.reshape([batch, len, interests]).swap_dims(1, 2);
                let padding = padding.expand([batch, interests, len]);
                let weights = softmax(weights.mask_fill(padding, f32::NEG_INFINITY), 2);
                weights.matmul(items.reshape([batch, len, dim]))
            }
        };
        UserMap::join(self.users.as_ref(), users, histories, None)
    }

    /// The similarities of the targets to each interest, `[batch, interests]`.
    fn nearness(&self, interests: Tensor<B, 3>, targets: Tensor<B, 1, Int>) -> Tensor<B, 2> {
        let [batch, count, dim] = interests.dims();
        let similarity = self.config.objective.similarity;
        let targets = self.embedding.lookup(targets);
        let targets = similarity.prepare_tensor(targets).unsqueeze_dim::<3>(2);
        let compared = similarity.prepare_tensor(interests.reshape([batch * count, dim]));
        compared
            .reshape([batch, count, dim])
            .matmul(targets)
            .reshape([batch, count])
    }
}

/// 1 for the nearest interest of each target and 0 for the others, `[batch, interests]`.
fn nearest_alone<B: BurnBackend>(near: Tensor<B, 2>) -> Tensor<B, 2> {
    let [batch, count] = near.dims();
    let nearest = near.argmax(1).expand([batch, count]);
    let numbers = Tensor::<B, 1, Int>::arange(0..count as i64, &nearest.device());
    nearest
        .equal(numbers.unsqueeze::<2>().expand([batch, count]))
        .float()
}

impl<B: Backend> SequenceRecaller<B> for MultiInterest<B> {
    type Config = MultiInterestConfig;

    fn config(&self) -> &MultiInterestConfig {
        &self.config
    }

    fn items(&self) -> &ItemTable<B> {
        &self.embedding
    }

    fn states(
        &self,
        histories: &SequenceBatch<B>,
        _: Tensor<B, 1, Int>,
        dropout: Dropout,
    ) -> Tensor<B, 3> {
        self.interests(histories, dropout)
    }

    fn loss(&self, batch: &TrainingBatch<B>) -> Tensor<B, 1> {
        let dropout = Dropout::in_training::<B>(&self.embedding.device(), batch.seed);
        let interests = self.interests(&batch.histories, dropout);
        let [targets, _, dim] = interests.dims();
        let near = self.nearness(interests.clone(), batch.targets.clone());
        let objective = &self.config.objective;
        let weights = match self.config.attention {
            LabelAttention::Joint => {
                return objective.mean_joint_loss(interests, near, &self.embedding, batch);
            }
            LabelAttention::Hard => nearest_alone(near),
            LabelAttention::Soft { sharpness } => {
                let soft = softmax(near.clone().mul_scalar(sharpness), 1);
                // What a user dislikes is found by the interest that is nearest to it.
                match batch.disliked {
                    0 => soft,
                    disliked => {
                        let wanted = targets - disliked;
                        let of_disliked = nearest_alone(near.narrow(0, wanted, disliked));
                        match wanted {
                            0 => of_disliked,
                            _ => Tensor::cat(vec![soft.narrow(0, 0, wanted), of_disliked], 0),
                        }
                    }
                }
            }
        };
        // The one vector that each target is compared with.
        let users = weights.unsqueeze_dim::<3>(1).matmul(interests);
        objective.mean_loss(users.reshape([targets, dim]), &self.embedding, batch)
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::backend::Flex;
    use crate::data::ItemIndex;

    #[test]
    fn the_joint_loss_is_that_of_one_softmax_over_what_all_interests_score() {
        let device = Default::default();
        const ITEMS: usize = 5;
        let config = MultiInterestConfig::comirec_sa()
            .with_dim(6)
            .with_interests(3)
            .with_objective(Objective::cosine(0.5));
        let model = config.init::<Flex>(ITEMS, 7, &device).unwrap();
        let histories = [&[1, 2, 4][..], &[3, 5]].map(ItemIndex::from_slice);
        let histories = SequenceBatch::<Flex>::new(histories, 4, &device).unwrap();
        let similarity = config.objective.similarity;
        let users = model.encode(&histories).reshape([6, 6]);
        let users = similarity.prepare_tensor(users);
        let items = similarity.prepare_tensor(model.item_embeddings());
        let scores: Vec<f32> = users.matmul(items.transpose()).to_data().to_vec().unwrap();
        let targets = [2, 1];
        let likelihood = |user: usize| {
            let scores = &scores[user * 3 * (ITEMS + 1)..(user + 1) * 3 * (ITEMS + 1)];
            let by_interest = scores.chunks(ITEMS + 1);
            let of = |item: usize| -> f64 {
                let each = by_interest.clone().map(|scores| scores[item]);
                each.map(|score| (f64::from(score) / 0.5).exp()).sum()
            };
            of(targets[user]) / (1..=ITEMS).map(of).sum::<f64>()
        };
        let expected = -(likelihood(0).ln() + likelihood(1).ln()) / 2.0;
        let batch = TrainingBatch {
            positions: histories.last_positions(),
            histories,
            targets: Tensor::from_data(TensorData::from(targets.map(|item| item as i32)), &device),
            weights: None,
            disliked: 0,
            negatives: None,
            continues_from: Vec::new(),
            seed: 1,
        };
        let loss = f64::from(model.loss(&batch).into_scalar());
        assert!((loss - expected).abs() < 1e-5, "{loss} is not {expected}");
    }
}
