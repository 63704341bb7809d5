//! Two towers: one for what a user did, one for what an item is.

use burn::config::Config;
use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::activation::relu;
use burn::tensor::backend::Backend as BurnBackend;
use burn::tensor::{Int, Tensor, TensorData};

use super::parts::{Dropout, EventVectors, Packing, Weights};
use super::{
    Description, ItemFeaturesConfig, ItemTable, Loss, Objective, RecallerConfig, SampledLoss,
    SequenceRecaller, Similarity, TablePrecision,
};
use crate::backend::Backend;
use crate::data::{Catalog, NegativeSampling, SequenceBatch};
use crate::{Result, checks};

/// Two towers. The user's takes the mean of their history's item vectors and what is known of the
/// user; the item's is its row of an [`ItemTable`], with its features where the settings ask for
/// them.
///
/// Huang et al., [DSSM](https://dl.acm.org/doi/10.1145/2505515.2505665); trained as in Yi et al.,
/// [Sampling-Bias-Corrected Neural Modeling](https://research.google/pubs/pub48840/).
#[derive(Config, Debug, PartialEq)]
#[non_exhaustive]
pub struct TwoTowerConfig {
    /// The size of vectors.
    #[config(default = 64)]
    pub dim: usize,
    /// The size of the user tower's hidden layer.
    #[config(default = 128)]
    pub hidden: usize,
    /// The number of features of a user; see
    /// [`Dataset::with_user_features`](crate::data::Dataset::with_user_features).
    #[config(default = 0)]
    pub user_features: usize,
    /// The share of the history's mean that is dropped in training, `0.0..1.0`.
    #[config(default = 0.1)]
    pub dropout: f64,
    /// The number of a history's last items that the model sees.
    #[config(default = 50)]
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
    /// The training objective.
    #[config(default = "in_batch_softmax()")]
    pub objective: Objective,
}

/// The softmax over the batch's own targets, corrected for how often each is one.
fn in_batch_softmax() -> Objective {
    let loss = SampledLoss::Softmax { log_q: true };
    let negatives = NegativeSampling::in_batch(1024);
    Objective::new()
        .with_loss(Loss::sampled(loss, negatives))
        .with_similarity(Similarity::Cosine)
}

/// The model of [`TwoTowerConfig`].
#[derive(Module, Debug)]
pub struct TwoTower<B: BurnBackend> {
    /// The vectors of items.
    pub embedding: ItemTable<B>,
    /// What is added to the vectors that items are seen by.
    pub events: Option<EventVectors<B>>,
    /// From the history's mean and the user's features to the user's vector,
    /// `[dim + features, hidden]` and `[hidden, dim]`.
    pub user_tower: Vec<Linear<B>>,
    #[module(skip)]
    config: TwoTowerConfig,
}

impl RecallerConfig for TwoTowerConfig {
    type Recaller<B: Backend> = TwoTower<B>;

    const NAME: &'static str = "two_tower";

    fn validate(&self) -> Result<()> {
        checks::at_least_one(&[
            ("dim", self.dim),
            ("hidden", self.hidden),
            ("max_len", self.max_len),
        ])?;
        checks::share("dropout", self.dropout)
    }

    fn describe(&self) -> Description<'_> {
        Description {
            table_precision: self.table_precision,
            item_features: self.item_features.as_ref(),
            event_vectors: self.event_vectors,
            user_features: self.user_features,
            ..Description::new(&self.objective, self.max_len)
        }
    }

    fn build<B: Backend>(&self, items: usize, weights: &mut Weights<'_, B>) -> TwoTower<B> {
        let (dim, hidden) = (self.dim, self.hidden);
        TwoTower {
            embedding: weights.items(items, dim),
            events: weights.events(self.event_vectors, dim),
            user_tower: vec![
                weights.linear(dim + self.user_features, hidden),
                weights.linear(hidden, dim),
            ],
            config: self.clone(),
        }
    }
}

/// A hidden layer with a rectifier between two linear ones.
fn tower<B: BurnBackend>(layers: &[Linear<B>], values: Tensor<B, 2>) -> Tensor<B, 2> {
    layers[1].forward(relu(layers[0].forward(values)))
}

impl<B: Backend> TwoTower<B> {
    /// The features of each real item's user, `[tokens, features]`; 0 where they are not known.
    fn user_features(&self, histories: &SequenceBatch<B>, packing: &Packing<B>) -> Tensor<B, 2> {
        let [batch, len] = histories.items.dims();
        let columns = self.config.user_features;
        match &histories.features {
            Some(features) => {
                let features = features.clone().unsqueeze_dim::<3>(1);
                packing.pack(features.expand([batch, len, columns]))
            }
            None => {
                let tokens = histories.lengths.iter().sum::<usize>();
                Tensor::zeros([tokens, columns], &histories.items.device())
            }
        }
    }
}

/// The mean of each sequence's vectors up to and with each place, `[batch, len, dim]`.
fn means<B: Backend>(values: Tensor<B, 3>) -> Tensor<B, 3> {
    let len = values.dims()[1];
    let share = |row: usize, column: usize| {
        if column <= row {
            1.0 / (row + 1) as f32
        } else {
            0.0
        }
    };
    let shares = (0..len).flat_map(|row| (0..len).map(move |column| share(row, column)));
    let shares = TensorData::new(shares.collect::<Vec<f32>>(), [1, len, len]);
    let batch = values.dims()[0];
    let shares = Tensor::<B, 3>::from_data(shares, &values.device()).expand([batch, len, len]);
    shares.matmul(values)
}

impl<B: Backend> SequenceRecaller<B> for TwoTower<B> {
    type Config = TwoTowerConfig;

    fn config(&self) -> &TwoTowerConfig {
        &self.config
    }

    fn items(&self) -> &ItemTable<B> {
        &self.embedding
    }

    fn states(
        &self,
        histories: &SequenceBatch<B>,
        positions: Tensor<B, 1, Int>,
        mut dropout: Dropout,
    ) -> Tensor<B, 3> {
        let packing = &Packing::new(histories);
        let seen = self.embedding.lookup(packing.items(histories));
        let seen = EventVectors::join(self.events.as_ref(), seen, histories, Some(packing));
        let mean = packing.pack(means(packing.unpack(seen)));
        let mean = dropout.apply(mean, self.config.dropout);
        let seen = match self.config.user_features {
            0 => mean.clone(),
            _ => Tensor::cat(
                vec![mean.clone(), self.user_features(histories, packing)],
                1,
            ),
        };
        let users = packing.at(mean + tower(&self.user_tower, seen), positions);
        users.unsqueeze_dim(1)
    }

    /// The first layer looks at features, which another model may have in another order.
    fn row_names(&self, catalog: &Catalog) -> Vec<(String, Vec<String>)> {
        let mut of_users: Vec<String> = (0..self.config.dim)
            .map(|place| format!("history {place}"))
            .collect();
        if self.config.user_features > 0 {
            let names = catalog.user_features().iter();
            of_users.extend(names.map(|name| format!("feature {name}")));
        }
        vec![("user_tower.0.weight".to_owned(), of_users)]
    }
}
