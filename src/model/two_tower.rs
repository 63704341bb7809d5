//! Two towers: one for what a user did, one for what an item is.

use std::cell::RefCell;

use burn::config::Config;
use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::activation::relu;
use burn::tensor::backend::Backend as BurnBackend;
use burn::tensor::{Int, Tensor, TensorData};

use super::parts::{Dropout, Packing, Weights};
use super::{
    Description, ItemTable, ItemVectors, Loss, Objective, RecallerConfig, SampledLoss,
    SequenceRecaller, Similarity, TablePrecision, drawn_of,
};
use crate::backend::Backend;
use crate::data::{Catalog, Features, NegativeSampling, SequenceBatch, TrainingBatch};
use crate::{Error, Result, checks};

/// Two towers. The user's takes the mean of their history's item vectors; the item's adds to a
/// vector of its own what its features say, so that an item nobody has taken yet has a vector as
/// well.
///
/// Huang et al., [DSSM](https://dl.acm.org/doi/10.1145/2505515.2505665); trained as in Yi et al.,
/// [Sampling-Bias-Corrected Neural Modeling](https://research.google/pubs/pub48840/).
#[derive(Config, Debug, PartialEq)]
#[non_exhaustive]
pub struct TwoTowerConfig {
    /// The size of vectors.
    #[config(default = 64)]
    pub dim: usize,
    /// The size of each tower's hidden layer.
    #[config(default = 128)]
    pub hidden: usize,
    /// The number of features of an item; a model with some is made by
    /// [`init_with_features`](TwoTowerConfig::init_with_features).
    #[config(default = 0)]
    pub item_features: usize,
    /// The number of features of a user; see
    /// [`Dataset::with_user_features`](crate::data::Dataset::with_user_features).
    #[config(default = 0)]
    pub user_features: usize,
    /// The names of items' features, which
    /// [`init_with_features`](TwoTowerConfig::init_with_features) sets.
    pub item_feature_names: Option<Vec<String>>,
    /// The share of the history's mean that is dropped in training, `0.0..1.0`.
    #[config(default = 0.1)]
    pub dropout: f64,
    /// The probability of dropping an item's own embedding in training, `0.0..1.0`, so that its
    /// features alone must represent it, as for items that nobody has taken yet. It has no effect
    /// without features.
    #[config(default = 0.5)]
    pub own_dropout: f64,
    /// The number of a history's last items that the model sees.
    #[config(default = 50)]
    pub max_len: usize,
    /// The precision of item vectors.
    #[config(default = "TablePrecision::Single")]
    pub table_precision: TablePrecision,
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
    /// The vectors of items apart from their features. It begins at 0 where there
    /// are features, so that items that are never a target are known by their features alone.
    pub embedding: ItemTable<B>,
    /// Items' features, which are not trained.
    pub features: Option<ItemTable<B>>,
    /// From features to vectors, `[features, hidden]` and `[hidden, dim]`.
    pub item_tower: Vec<Linear<B>>,
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
        checks::share("dropout", self.dropout)?;
        checks::share("own_dropout", self.own_dropout)?;
        match &self.item_feature_names {
            Some(names) if names.len() != self.item_features => {
                let reason = format!("must be as many as item_features, {}", self.item_features);
                return Err(Error::invalid("item_feature_names", names.len(), reason));
            }
            _ => {}
        }
        Ok(())
    }

    fn describe(&self) -> Description<'_> {
        Description {
            table_precision: self.table_precision,
            user_features: self.user_features,
            ..Description::new(&self.objective, self.max_len)
        }
    }

    /// Features are 0 until they are given.
    fn build<B: Backend>(&self, items: usize, weights: &mut Weights<'_, B>) -> TwoTower<B> {
        let (dim, hidden) = (self.dim, self.hidden);
        let (features, embedding, item_tower) = match self.item_features {
            0 => (None, weights.items(items, dim), Vec::new()),
            columns => {
                let zeros = weights.param(vec![0.0; (items + 1) * columns], [items + 1, columns]);
                let first = weights.linear(columns, hidden);
                let embedding = weights.items_of_zeros(items, dim);
                let tower = vec![first, weights.linear(hidden, dim)];
                (Some(ItemTable::new(zeros.val()).fixed()), embedding, tower)
            }
        };
        TwoTower {
            embedding,
            features,
            item_tower,
            user_tower: vec![
                weights.linear(dim + self.user_features, hidden),
                weights.linear(hidden, dim),
            ],
            config: self.clone(),
        }
    }

    fn init<B: Backend>(&self, items: usize, seed: u64, device: &B::Device) -> Result<TwoTower<B>> {
        if self.item_features > 0 {
            let reason = "a model with features needs them: use init_with_features";
            return Err(Error::invalid("item_features", self.item_features, reason));
        }
        drawn_of(self, items, Weights::new(seed, device)?, device)
    }
}

impl TwoTowerConfig {
    /// A model of items with features; `item_features` is theirs.
    ///
    /// # Errors
    /// As [`init`](RecallerConfig::init), and when there are no features.
    pub fn init_with_features<B: Backend>(
        &self,
        features: &Features,
        seed: u64,
        device: &B::Device,
    ) -> Result<TwoTower<B>> {
        let (rows, columns) = features.values().dim();
        if columns == 0 {
            return Err(Error::invalid("item_features", 0, "must be at least 1"));
        }
        let names = features.names().to_vec();
        let config = self.clone().with_item_features(columns);
        let config = config.with_item_feature_names(Some(names));
        let weights = Weights::new(seed, device)?;
        let mut model = drawn_of::<B, _>(&config, rows.saturating_sub(1), weights, device)?;
        let values: Vec<f32> = features.values().iter().copied().collect();
        let values = Tensor::from_data(TensorData::new(values, [rows, columns]), device);
        model.features = Some(ItemTable::new(values).fixed());
        Ok(model)
    }
}

/// A hidden layer with a rectifier between two linear ones.
fn tower<B: BurnBackend>(layers: &[Linear<B>], values: Tensor<B, 2>) -> Tensor<B, 2> {
    layers[1].forward(relu(layers[0].forward(values)))
}

/// The item tower in one pass of training or of use.
struct ItemTower<'a, B: BurnBackend> {
    model: &'a TwoTower<B>,
    dropout: RefCell<Dropout>,
}

impl<B: Backend> ItemTower<'_, B> {
    /// The vectors of items: their own `[n, dim]`, and what their features `[n, features]` say.
    fn vectors(&self, own: Tensor<B, 2>, features: Option<Tensor<B, 2>>) -> Tensor<B, 2> {
        let Some(features) = features else {
            return own;
        };
        let kept = Tensor::ones([own.dims()[0], 1], &own.device());
        let probability = self.model.config.own_dropout;
        let kept = self.dropout.borrow_mut().apply(kept, probability);
        own * kept + tower(&self.model.item_tower, features)
    }
}

impl<B: Backend> ItemVectors<B> for ItemTower<'_, B> {
    fn items(&self) -> usize {
        self.model.embedding.items()
    }

    fn all(&self) -> Tensor<B, 2> {
        let features = self.model.features.as_ref().map(ItemTable::all);
        self.vectors(self.model.embedding.all(), features)
    }

    fn of(&self, items: Tensor<B, 1, Int>) -> Tensor<B, 2> {
        let features = self.model.features.as_ref();
        let features = features.map(|features| features.lookup(items.clone()));
        self.vectors(self.model.embedding.lookup(items), features)
    }
}

impl<B: Backend> TwoTower<B> {
    fn item_vectors(&self, dropout: Dropout) -> ItemTower<'_, B> {
        ItemTower {
            model: self,
            dropout: RefCell::new(dropout),
        }
    }

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

    /// The user vectors after the items at some positions `[n]`, `[n, dim]`.
    fn users_at(
        &self,
        histories: &SequenceBatch<B>,
        positions: Tensor<B, 1, Int>,
        items: &ItemTower<'_, B>,
    ) -> Tensor<B, 2> {
        let packing = &Packing::new(histories);
        let seen = items.of(packing.items(histories));
        let mean = packing.pack(means(packing.unpack(seen)));
        let mean = items.dropout.borrow_mut().apply(mean, self.config.dropout);
        let seen = match self.config.user_features {
            0 => mean.clone(),
            _ => Tensor::cat(
                vec![mean.clone(), self.user_features(histories, packing)],
                1,
            ),
        };
        packing.at(mean + tower(&self.user_tower, seen), positions)
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
        dropout: Dropout,
    ) -> Tensor<B, 3> {
        self.users_at(histories, positions, &self.item_vectors(dropout))
            .unsqueeze_dim(1)
    }

    fn item_embeddings(&self) -> Tensor<B, 2> {
        self.item_vectors(Dropout::off()).all()
    }

    fn loss(&self, batch: &TrainingBatch<B>) -> Tensor<B, 1> {
        let dropout = Dropout::in_training::<B>(&self.embedding.device(), batch.seed);
        let items = self.item_vectors(dropout);
        let users = self.users_at(&batch.histories, batch.positions.clone(), &items);
        self.config.objective.mean_loss(users, &items, batch)
    }

    /// The first layers look at features, which another model may have in another order.
    fn row_names(&self, catalog: &Catalog) -> Vec<(String, Vec<String>)> {
        let config = &self.config;
        let mut of_users: Vec<String> = (0..config.dim)
            .map(|place| format!("history {place}"))
            .collect();
        if config.user_features > 0 {
            let names = catalog.user_features().iter();
            of_users.extend(names.map(|name| format!("feature {name}")));
        }
        let mut named = vec![("user_tower.0.weight".to_owned(), of_users)];
        if config.item_features > 0 {
            let names = config.item_feature_names.clone().unwrap_or_default();
            named.push(("item_tower.0.weight".to_owned(), names));
        }
        named
    }

    fn settings(&self) -> String {
        let config = burn::config::config_to_json(&self.config);
        // They are given, as data are, and not trained.
        let features = self.features.as_ref().map(|features| {
            let values = features.kept().into_data();
            crc32fast::hash(values.as_bytes())
        });
        format!(
            r#"{{"config":{config},"item_features":{}}}"#,
            features.unwrap_or(0)
        )
    }
}
