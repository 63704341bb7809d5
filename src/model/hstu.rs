//! HSTU.

use std::sync::Arc;

use burn::config::Config;
use burn::module::{Module, Param};
use burn::nn::{LayerNorm, Linear};
use burn::tensor::backend::Backend as BurnBackend;
use burn::tensor::{Int, Tensor};
use rayon::prelude::*;

use super::parts::{Dropout, Packing, SequenceEnds, Weights, layer_norm, linear};
use super::{
    Description, ItemFeaturesConfig, ItemTable, Objective, RecallerConfig, SequenceRecaller,
    TablePrecision,
};
use crate::backend::{self, Activation, Backend};
use crate::data::SequenceBatch;
use crate::{Result, checks};

/// Into how many classes the time between two items falls.
const TIME_CLASSES: usize = 128;

/// The width of a class, in the natural logarithm of time: as in the reference implementation.
const TIME_CLASS_WIDTH: f64 = 0.301;

/// HSTU: attention whose weights are not normalized over the history but by its largest length,
/// so that how often something was taken still counts, biased by the distance of items in
/// positions and in time, and gated by the item that attends.
///
/// Zhai et al., [Actions Speak Louder than Words](https://arxiv.org/abs/2402.17152), section 3.2.
/// The time between two items is that between them alone; the reference implementation's, which
/// looks at the time of the item that is to be predicted, is
/// [`time_to_target`](Self::time_to_target).
#[derive(Config, Debug, PartialEq)]
#[non_exhaustive]
pub struct HstuConfig {
    /// The size of item vectors and states.
    #[config(default = 64)]
    pub dim: usize,
    /// The number of blocks.
    #[config(default = 2)]
    pub blocks: usize,
    /// The number of attention heads; `dim` is divided among them.
    #[config(default = 2)]
    pub heads: usize,
    /// The share of values that is dropped in training, `0.0..1.0`: of inputs and of what each
    /// block adds.
    #[config(default = 0.3)]
    pub dropout: f64,
    /// Whether items are seen by the same vectors that they are recalled by. With vectors of their
    /// own for being seen, models learn more easily not to recall what was just taken.
    #[config(default = true)]
    pub tied: bool,
    /// Whether the last states go through one more linear layer. Blocks add to what they see, so
    /// that with tied vectors the item just taken stays the nearest to the user vector; the layer
    /// takes it away.
    #[config(default = false)]
    pub output_layer: bool,
    /// The number of a history's last items that the model sees.
    #[config(default = 50)]
    pub max_len: usize,
    /// Whether attention weights depend on the time between items.
    #[config(default = true)]
    pub time_bias: bool,
    /// Whether the time between two items is that from the one to what comes after the other, and
    /// so at the last item to when it is [asked](crate::data::User::at) what comes next: as in the
    /// reference implementation. The model then knows at which time a target was taken, in
    /// evaluation too, so that its results are to be compared with the like alone; and who serves
    /// it says when a user asks, or it answers as if they asked the moment they took the last item.
    #[config(default = false)]
    pub time_to_target: bool,
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

/// The model of [`HstuConfig`].
#[derive(Module, Debug)]
pub struct Hstu<B: BurnBackend> {
    /// Item and position vectors, and what makes user vectors of states.
    pub(crate) ends: SequenceEnds<B>,
    /// The blocks.
    pub blocks: Vec<HstuBlock<B>>,
    #[module(skip)]
    config: HstuConfig,
}

/// A block of the model.
#[derive(Module, Debug)]
pub struct HstuBlock<B: BurnBackend> {
    /// Normalizes what the block sees.
    pub norm: LayerNorm<B>,
    /// Gates, values, queries and keys side by side, `[dim, 4 * dim]`.
    pub project: Linear<B>,
    /// Normalizes what was attended to.
    pub attended_norm: LayerNorm<B>,
    /// `[dim, dim]`.
    pub output: Linear<B>,
    /// Added to scores by the distance in positions, `[max_len, 1]`.
    pub position_bias: Param<Tensor<B, 2>>,
    /// Added to scores by the class of the distance in time, `[128, 1]`.
    pub time_bias: Option<Param<Tensor<B, 2>>>,
}

impl RecallerConfig for HstuConfig {
    type Recaller<B: Backend> = Hstu<B>;

    const NAME: &'static str = "hstu";

    fn validate(&self) -> Result<()> {
        checks::at_least_one(&[
            ("dim", self.dim),
            ("blocks", self.blocks),
            ("heads", self.heads),
            ("max_len", self.max_len),
        ])?;
        checks::heads(self.heads, self.dim)?;
        checks::share("dropout", self.dropout)?;
        Ok(())
    }

    fn describe(&self) -> Description<'_> {
        Description {
            table_precision: self.table_precision,
            item_features: self.item_features.as_ref(),
            event_vectors: self.event_vectors,
            user_features: self.user_features,
            times: self.time_bias,
            ..Description::new(&self.objective, self.max_len)
        }
    }

    fn build<B: Backend>(&self, items: usize, weights: &mut Weights<'_, B>) -> Hstu<B> {
        let dim = self.dim;
        let sizes = [items, self.dim, self.max_len, self.user_features];
        let switches = [self.tied, self.event_vectors, self.output_layer];
        let ends = SequenceEnds::new(sizes, switches, weights);
        let blocks = (0..self.blocks).map(|_| HstuBlock {
            norm: weights.layer_norm(dim),
            project: weights.linear(dim, 4 * dim),
            attended_norm: weights.layer_norm(dim),
            output: weights.linear(dim, dim),
            position_bias: weights.normal(self.max_len, 1, 0.02),
            time_bias: self
                .time_bias
                .then(|| weights.normal(TIME_CLASSES, 1, 0.02)),
        });
        Hstu {
            ends,
            blocks: blocks.collect(),
            config: self.clone(),
        }
    }
}

/// The class of a time between two items.
fn time_class(time: f64) -> usize {
    let class = (time.abs().max(1.0).ln() / TIME_CLASS_WIDTH) as usize;
    class.min(TIME_CLASSES - 1)
}

/// The class of each item's distance in time from each one up to itself, sequence after sequence
/// and item after item; of one class all, where time is not used.
fn time_classes<B: Backend>(histories: &SequenceBatch<B>, config: &HstuConfig) -> Arc<[u8]> {
    let [_, len] = histories.items.dims();
    let pairs = |length: usize| length * (length + 1) / 2;
    let mut classes = vec![0; histories.lengths.iter().copied().map(pairs).sum()];
    if config.time_bias {
        let from = if config.time_to_target {
            &histories.next_times
        } else {
            &histories.times
        };
        let mut rest = &mut classes[..];
        let mut rows = Vec::with_capacity(histories.lengths.len());
        let times = from
            .chunks_exact(len)
            .zip(histories.times.chunks_exact(len));
        for ((from, times), &length) in times.zip(&histories.lengths) {
            let (of_row, others) = rest.split_at_mut(pairs(length));
            rows.push((&from[..length], &times[..length], of_row));
            rest = others;
        }
        rows.into_par_iter().for_each(|(from, times, classes)| {
            let mut next = classes.iter_mut();
            for (place, time) in from.iter().enumerate() {
                for (other, class) in times[..=place].iter().zip(&mut next) {
                    *class = time_class(time - other) as u8;
                }
            }
        });
    }
    classes.into()
}

impl<B: Backend> HstuBlock<B> {
    fn forward(
        &self,
        states: Tensor<B, 2>,
        packing: &Packing<B>,
        classes: &Arc<[u8]>,
        config: &HstuConfig,
        dropout: &mut Dropout,
    ) -> Tensor<B, 2> {
        let dim = config.dim;
        let normal = layer_norm(&self.norm, states.clone());
        // The weights are divided rather than what they give, of which there is much more.
        let (weight, bias) = (self.project.weight.val(), self.project.bias.as_ref());
        let weights = |first, count| weight.clone().narrow(1, first * dim, count * dim);
        let biases = |first, count| match bias {
            Some(bias) => bias.val().narrow(0, first * dim, count * dim),
            None => Tensor::zeros([count * dim], &states.device()),
        };
        let silu = Activation::Silu;
        let gates = backend::linear(normal.clone(), weights(0, 1), biases(0, 1), silu);
        let projected = backend::linear(
            normal,
            Tensor::cat(vec![weights(2, 2), weights(1, 1)], 1),
            Tensor::cat(vec![biases(2, 2), biases(1, 1)], 0),
            silu,
        );
        let times = match &self.time_bias {
            Some(biases) => biases.val(),
            None => Tensor::zeros([1, 1], &states.device()),
        };
        let attended = backend::silu_attention(
            projected,
            packing.lengths(),
            config.heads,
            config.max_len as f64,
            [self.position_bias.val(), times],
            classes.clone(),
        );
        let gated = layer_norm(&self.attended_norm, attended) * gates;
        let gated = dropout.apply(gated, config.dropout);
        states + linear(&self.output, gated, Activation::None)
    }
}

impl<B: Backend> SequenceRecaller<B> for Hstu<B> {
    type Config = HstuConfig;

    fn config(&self) -> &HstuConfig {
        &self.config
    }

    fn items(&self) -> &ItemTable<B> {
        &self.ends.embedding
    }

    fn states(
        &self,
        histories: &SequenceBatch<B>,
        positions: Tensor<B, 1, Int>,
        dropout: Dropout,
    ) -> Tensor<B, 3> {
        let config = &self.config;
        let blocks = |mut states, packing: &Packing<B>, dropout: &mut Dropout| {
            let classes = time_classes(histories, config);
            for block in &self.blocks {
                states = block.forward(states, packing, &classes, config, dropout);
            }
            states
        };
        (self.ends).states(histories, positions, dropout, config.dropout, blocks)
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::backend::Flex;
    use crate::data::{ItemIndex, User};

    /// What a position says is what it says as the last one, asked at the time of what came next;
    /// and other times say something else.
    #[test]
    fn times_to_targets_are_those_at_which_one_asks() {
        let device = Default::default();
        let items = [1, 3, 2, 4].map(ItemIndex::new);
        let times = [0.0, 50.0, 4_000.0, 900_000.0];
        let history = User::with_times(&items, &times).unwrap();
        let encode = |to_target: bool, history: User<'_>| -> Vec<f32> {
            let config = HstuConfig::new().with_dim(8).with_time_to_target(to_target);
            let model = config.init::<Flex>(5, 3, &device).unwrap();
            let histories = SequenceBatch::<Flex>::new([history], 9, &device).unwrap();
            model.encode(&histories).to_data().to_vec().unwrap()
        };
        for to_target in [false, true] {
            let last = encode(to_target, history.first(3));
            let all = encode(to_target, history);
            // One vector for each history: that of its last item.
            let asked = encode(to_target, history.first(3).at(times[3]));
            assert_eq!(last, asked);
            assert_ne!(all, asked);
            let later = encode(to_target, history.first(3).at(9e6));
            assert_eq!(last == later, !to_target);
        }
    }

    #[test]
    fn time_classes_grow_with_the_logarithm() {
        assert_eq!(time_class(0.0), 0);
        assert_eq!(time_class(-1.0), 0);
        assert_eq!(time_class(1.36), 1);
        assert_eq!(time_class(86_400.0), 37);
        assert_eq!(time_class(1e300), TIME_CLASSES - 1);
        assert_eq!(time_class(f64::NAN), 0);
    }
}
