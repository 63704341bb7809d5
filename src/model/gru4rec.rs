//! GRU4Rec.

use burn::config::Config;
use burn::module::{Module, Param};
use burn::tensor::backend::Backend as BurnBackend;
use burn::tensor::{Tensor, TensorData};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use super::gru::GruLayer;
use super::{RecallerConfig, SequenceRecaller, Similarity};
use crate::backend::{self, Backend};
use crate::data::{SequenceBatch, TrainingBatch};
use crate::{Error, Result};

/// The settings of [`Gru4Rec`].
///
/// ```
/// use seqrec::backend::Flex;
/// use seqrec::model::{Gru4RecConfig, RecallerConfig};
///
/// let config = Gru4RecConfig::new().with_dim(32).with_dropout(0.2);
/// let model = config.init::<Flex>(1_000, 42, &Default::default())?;
/// # Ok::<(), seqrec::Error>(())
/// ```
#[derive(Config, Debug, PartialEq)]
pub struct Gru4RecConfig {
    /// The size of item vectors and hidden states.
    #[config(default = 64)]
    pub dim: usize,
    /// How many GRU layers.
    #[config(default = 1)]
    pub layers: usize,
    /// The share of each layer's inputs that is dropped in training, `0.0..1.0`.
    #[config(default = 0.0)]
    pub dropout: f64,
    /// How many of a history's last items are seen.
    #[config(default = 50)]
    pub max_len: usize,
    /// How user and item vectors are compared, in training and in search.
    #[config(default = "Similarity::Dot")]
    pub similarity: Similarity,
    /// What similarities are divided by in training under cosine, where they are at most 1.
    #[config(default = 0.1)]
    pub temperature: f64,
    /// Searches by another similarity than the model was trained with. Leave it at `None`; it is
    /// there to measure published results whose search differs from their training.
    pub search_similarity: Option<Similarity>,
}

/// GRU4Rec: the user vector is the state of a GRU at the last item, and the next item is given by
/// a softmax over the whole catalog, with the item embeddings as output weights.
///
/// Hidasi et al., [Session-based Recommendations with Recurrent Neural
/// Networks](https://arxiv.org/abs/1511.06939); the tied output weights are the "constrained
/// embedding" of Hidasi & Karatzoglou, [Recurrent Neural Networks with Top-k Gains for
/// Session-based Recommendations](https://arxiv.org/abs/1706.03847).
#[derive(Module, Debug)]
pub struct Gru4Rec<B: BurnBackend> {
    /// Item vectors `[items + 1, dim]`; row 0 is padding.
    pub embedding: Param<Tensor<B, 2>>,
    /// The GRU layers, the first one on the item vectors.
    pub layers: Vec<GruLayer<B>>,
    #[module(skip)]
    config: Gru4RecConfig,
}

impl RecallerConfig for Gru4RecConfig {
    type Recaller<B: Backend> = Gru4Rec<B>;

    const NAME: &'static str = "gru4rec";

    fn validate(&self) -> Result<()> {
        let sizes = [
            ("dim", self.dim),
            ("layers", self.layers),
            ("max_len", self.max_len),
        ];
        for (field, size) in sizes {
            if size == 0 {
                return Err(Error::invalid(field, 0, "must be at least 1"));
            }
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return Err(Error::invalid(
                "dropout",
                self.dropout,
                "must be at least 0 and below 1",
            ));
        }
        if !(self.temperature > 0.0 && self.temperature.is_finite()) {
            return Err(Error::invalid(
                "temperature",
                self.temperature,
                "must be above 0",
            ));
        }
        Ok(())
    }

    fn init<B: Backend>(&self, items: usize, seed: u64, device: &B::Device) -> Result<Gru4Rec<B>> {
        self.validate()?;
        if items == 0 {
            return Err(Error::invalid(
                "items",
                0,
                "a model needs at least one item",
            ));
        }
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let deviation = 1.0 / (self.dim as f32).sqrt();
        let padding = std::iter::repeat_n(0.0, self.dim);
        let vectors = StandardNormal
            .sample_iter(&mut random)
            .map(|draw: f32| deviation * draw);
        let values: Vec<f32> = padding.chain(vectors.take(items * self.dim)).collect();
        let embedding = Tensor::from_data(TensorData::new(values, [items + 1, self.dim]), device);
        let layers = (0..self.layers)
            .map(|_| GruLayer::new(self.dim, self.dim, &mut random, device))
            .collect();
        Ok(Gru4Rec {
            embedding: Param::from_tensor(embedding),
            layers,
            config: self.clone(),
        })
    }
}

impl<B: BurnBackend> Gru4Rec<B> {
    /// The settings that the model was made with.
    pub fn config(&self) -> &Gru4RecConfig {
        &self.config
    }
}

impl<B: Backend> Gru4Rec<B> {
    /// The last layer's states `[batch * len, dim]`; a seed turns dropout on.
    fn states(&self, histories: &SequenceBatch<B>, dropout_seed: Option<u64>) -> Tensor<B, 2> {
        let [batch, len] = histories.items.dims();
        let dim = self.config.dim;
        let indices = histories.items.clone().reshape([batch * len]);
        let mut values =
            backend::select_rows(self.embedding.val(), indices).reshape([batch, len, dim]);
        for (number, layer) in self.layers.iter().enumerate() {
            if let Some(seed) = dropout_seed {
                let seed = seed.wrapping_add(number as u64);
                values = backend::dropout(values, self.config.dropout, seed);
            }
            values = layer.forward(values, &histories.lengths);
        }
        values.reshape([batch * len, dim])
    }
}

impl<B: Backend> SequenceRecaller<B> for Gru4Rec<B> {
    fn encode(&self, histories: &SequenceBatch<B>) -> Tensor<B, 3> {
        let states = self.states(histories, None);
        backend::select_rows(states, histories.last_positions()).unsqueeze_dim(1)
    }

    fn item_embeddings(&self) -> Tensor<B, 2> {
        self.embedding.val()
    }

    fn loss(&self, batch: &TrainingBatch<B>) -> Tensor<B, 1> {
        let dropout_seed = B::ad_enabled(&self.embedding.device()).then_some(batch.seed);
        let states = self.states(&batch.histories, dropout_seed);
        let users = backend::select_rows(states, batch.positions.clone());
        let similarity = self.config.similarity;
        let users = match similarity {
            Similarity::Dot => users,
            Similarity::Cosine => similarity
                .prepare_tensor(users)
                .div_scalar(self.config.temperature),
        };
        let items = similarity.prepare_tensor(self.embedding.val());
        backend::softmax_cross_entropy(users, items, batch.targets.clone(), None)
    }

    fn similarity(&self) -> Similarity {
        self.config
            .search_similarity
            .unwrap_or(self.config.similarity)
    }

    fn max_len(&self) -> usize {
        self.config.max_len
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_cannot_be_right_are_named() {
        let good = Gru4RecConfig::new;
        let cases = [
            (good().with_dim(0), "dim"),
            (good().with_layers(0), "layers"),
            (good().with_max_len(0), "max_len"),
            (good().with_dropout(1.0), "dropout"),
            (good().with_dropout(f64::NAN), "dropout"),
            (good().with_temperature(0.0), "temperature"),
        ];
        for (config, name) in cases {
            let error = config.validate().unwrap_err();
            assert!(
                matches!(error, Error::InvalidValue { field, .. } if field == name),
                "{error}"
            );
        }
        assert!(good().validate().is_ok());
    }
}
