//! GRU4Rec.

use burn::config::Config;
use burn::module::Module;
use burn::tensor::backend::Backend as BurnBackend;
use burn::tensor::{Int, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::objective::nothing_to_learn;
use super::parts::{Dropout, EventVectors, GruLayer, UserMap, Weights, at_positions};
use super::{
    Description, ItemFeaturesConfig, ItemTable, Objective, RecallerConfig, SequenceRecaller,
    Similarity, TablePrecision,
};
use crate::backend::{self, Backend};
use crate::data::{SequenceBatch, TrainingBatch};
use crate::{Result, checks};

/// The settings of [`Gru4Rec`].
///
/// The defaults, with those of [`TrainerConfig`](crate::train::TrainerConfig), were chosen on
/// several data sets, small ones among them. Without dropout, or with inner
/// products of vectors of any length, small data are learned by heart at once.
///
/// ```
/// use seqrec::backend::Flex;
/// use seqrec::model::{Gru4RecConfig, RecallerConfig};
///
/// let config = Gru4RecConfig::new().with_dim(32).with_embedding_dropout(0.2);
/// let model = config.init::<Flex>(1_000, 42, &Default::default())?;
/// # Ok::<(), seqrec::Error>(())
/// ```
#[derive(Config, Debug, PartialEq)]
#[non_exhaustive]
pub struct Gru4RecConfig {
    /// The size of item vectors and hidden states.
    #[config(default = 128)]
    pub dim: usize,
    /// The number of GRU layers.
    #[config(default = 1)]
    pub layers: usize,
    /// The first layer's input for an item.
    #[config(default = "InputEmbedding::Shared")]
    pub input: InputEmbedding,
    /// The share of the input vectors' values that is dropped in training, `0.0..1.0`.
    #[config(default = 0.5)]
    pub embedding_dropout: f64,
    /// The share of each layer's output that is dropped in training, `0.0..1.0`.
    #[config(default = 0.5)]
    pub hidden_dropout: f64,
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
    /// The number of features of a user, which are added to their vector by a linear map; see
    /// [`Dataset::with_users`](crate::data::Dataset::with_users).
    #[config(default = 0)]
    pub user_features: usize,
    /// The training objective: by default a softmax over the whole catalog of cosines.
    #[config(default = "Objective::cosine(0.1)")]
    pub objective: Objective,
    /// Searches by another similarity than the model was trained with. Leave it at `None`; it is
    /// there to measure published results whose search differs from their training.
    pub search_similarity: Option<Similarity>,
}

/// The input of GRU4Rec's first layer for an item.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum InputEmbedding {
    /// The same vector that it is recalled by: the "constrained embedding" of the reference
    /// implementation, and tied weights elsewhere.
    #[default]
    Shared,
    /// A vector of its own.
    Separate {
        /// Its size.
        dim: usize,
    },
    /// No vector: the item itself, one of many, so that each has its own input weights.
    OneHot,
}

/// GRU4Rec: the user vector is the state of a GRU at the last item, and items are scored by their
/// output vectors.
///
/// Hidasi et al., [Session-based Recommendations with Recurrent Neural
/// Networks](https://arxiv.org/abs/1511.06939), and Hidasi & Karatzoglou, [Recurrent Neural
/// Networks with Top-k Gains for Session-based
/// Recommendations](https://arxiv.org/abs/1706.03847). With
/// [`Targets::SessionParallel`](crate::data::Targets::SessionParallel) it is trained as there: one
/// step at a time, with the state carried on and no gradient through it.
#[derive(Module, Debug)]
pub struct Gru4Rec<B: BurnBackend> {
    /// The vectors that items are recalled by.
    pub embedding: ItemTable<B>,
    /// The first layer's input for each item, unless it is the vector that it is recalled by.
    pub input_embedding: Option<ItemTable<B>>,
    /// What is added to the first layer's input by the events of items.
    pub events: Option<EventVectors<B>>,
    /// The GRU layers, the first one on the input vectors.
    pub layers: Vec<GruLayer<B>>,
    /// What is added to user vectors by the features of users.
    pub users: Option<UserMap<B>>,
    #[module(skip)]
    config: Gru4RecConfig,
}

impl RecallerConfig for Gru4RecConfig {
    type Recaller<B: Backend> = Gru4Rec<B>;

    const NAME: &'static str = "gru4rec";

    fn validate(&self) -> Result<()> {
        checks::at_least_one(&[
            ("dim", self.dim),
            ("layers", self.layers),
            ("max_len", self.max_len),
        ])?;
        if let InputEmbedding::Separate { dim } = self.input {
            checks::at_least_one(&[("input.dim", dim)])?;
        }
        checks::share("embedding_dropout", self.embedding_dropout)?;
        checks::share("hidden_dropout", self.hidden_dropout)?;
        Ok(())
    }

    fn describe(&self) -> Description<'_> {
        Description {
            similarity: self.search_similarity.unwrap_or(self.objective.similarity),
            table_precision: self.table_precision,
            item_features: self.item_features.as_ref(),
            event_vectors: self.event_vectors,
            user_features: self.user_features,
            carries_states: true,
            ..Description::new(&self.objective, self.max_len)
        }
    }

    fn build<B: Backend>(&self, items: usize, weights: &mut Weights<'_, B>) -> Gru4Rec<B> {
        let embedding = weights.items(items, self.dim);
        let (input_embedding, first) = match self.input {
            InputEmbedding::Shared => (None, GruLayer::new(self.dim, self.dim, weights)),
            InputEmbedding::Separate { dim } => {
                let table = weights.items(items, dim);
                (Some(table), GruLayer::new(dim, self.dim, weights))
            }
            InputEmbedding::OneHot => {
                let bound = 1.0 / (self.dim as f32).sqrt();
                let table = weights.uniform_items(items, 3 * self.dim, bound);
                (Some(table), GruLayer::on_products(self.dim, weights))
            }
        };
        let inputs = input_embedding.as_ref().unwrap_or(&embedding).dim();
        let events = weights.events(self.event_vectors, inputs);
        let more = (1..self.layers).map(|_| GruLayer::new(self.dim, self.dim, weights));
        Gru4Rec {
            embedding,
            input_embedding,
            events,
            layers: std::iter::once(first).chain(more).collect(),
            users: weights.users(self.user_features, self.dim),
            config: self.clone(),
        }
    }
}

impl<B: Backend> Gru4Rec<B> {
    /// The first layer's input for each place of histories, `[batch * len, dim]`.
    fn inputs(&self, histories: &SequenceBatch<B>) -> Tensor<B, 2> {
        let table = self.input_embedding.as_ref().unwrap_or(&self.embedding);
        let items = table.lookup(histories.items.clone().flatten::<1>(0, 1));
        EventVectors::join(self.events.as_ref(), items, histories, None)
    }
}

impl<B: Backend> SequenceRecaller<B> for Gru4Rec<B> {
    type Config = Gru4RecConfig;

    fn config(&self) -> &Gru4RecConfig {
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
        let [batch, len] = histories.items.dims();
        let inputs = self.inputs(histories);
        let size = inputs.dims()[1];
        let inputs = inputs.reshape([batch, len, size]);
        let mut values: Tensor<B, 3> = dropout.apply(inputs, self.config.embedding_dropout);
        for layer in &self.layers {
            let states = layer.forward(values, &histories.lengths);
            values = dropout.apply(states, self.config.hidden_dropout);
        }
        let users = at_positions(values, positions.clone()).unsqueeze_dim(1);
        UserMap::join(self.users.as_ref(), users, histories, Some(positions))
    }

    fn loss_carrying(
        &self,
        batch: &TrainingBatch<B>,
        carried: Vec<Tensor<B, 2>>,
    ) -> (Tensor<B, 1>, Vec<Tensor<B, 2>>) {
        if batch.continues_from.is_empty() {
            return (self.loss(batch), Vec::new());
        }
        let device = self.embedding.device();
        let rows = batch.continues_from.len();
        // Row 0 of what is carried is the state that a sequence begins with.
        let from: Vec<i32> = (batch.continues_from.iter())
            .map(|row| row.map_or(0, |row| row as i32 + 1))
            .collect();
        let from = Tensor::<B, 1, Int>::from_data(TensorData::new(from, [rows]), &device);
        let start = Tensor::zeros([1, self.config.dim], &device);
        let mut dropout = Dropout::in_training::<B>(&device, batch.seed);
        let inputs = self.inputs(&batch.histories);
        let mut values = dropout.apply(inputs, self.config.embedding_dropout);
        let mut states = Vec::with_capacity(self.layers.len());
        for (number, layer) in self.layers.iter().enumerate() {
            let before = std::iter::once(start.clone()).chain(carried.get(number).cloned());
            let before = Tensor::cat(before.collect(), 0);
            let state = layer.step(values, before.select(0, from.clone()));
            states.push(state.clone().detach());
            values = dropout.apply(state, self.config.hidden_dropout);
        }
        let users = UserMap::join(
            self.users.as_ref(),
            values.unsqueeze_dim(1),
            &batch.histories,
            None,
        );
        let values = users.squeeze_dim(1);
        let objective = &self.config.objective;
        let loss = match batch.targets.dims() {
            [0] => nothing_to_learn(&self.embedding, batch),
            // Each row has its target.
            [targets] if targets == rows && batch.disliked == 0 => {
                objective.mean_loss(values, &self.embedding, batch)
            }
            _ => {
                let users = backend::select_rows(values, batch.positions.clone());
                objective.mean_loss(users, &self.embedding, batch)
            }
        };
        (loss, states)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn settings_that_cannot_be_right_are_named() {
        let good = Gru4RecConfig::new;
        let cases = [
            (good().with_dim(0), "dim"),
            (good().with_layers(0), "layers"),
            (good().with_max_len(0), "max_len"),
            (good().with_embedding_dropout(1.0), "embedding_dropout"),
            (good().with_hidden_dropout(f64::NAN), "hidden_dropout"),
            (
                good().with_input(InputEmbedding::Separate { dim: 0 }),
                "input.dim",
            ),
            (
                good().with_objective(Objective::new().with_temperature(0.0)),
                "temperature",
            ),
        ];
        for (config, name) in cases {
            let error = config.validate_for(9).unwrap_err();
            assert!(
                matches!(error.kind(), ErrorKind::InvalidValue { field, .. } if *field == name),
                "{error}"
            );
        }
        assert!(good().validate_for(9).is_ok());
    }
}
