//! HSTU.

use burn::config::Config;
use burn::module::{Module, Param};
use burn::nn::{LayerNorm, Linear};
use burn::tensor::activation::silu;
use burn::tensor::backend::Backend as BurnBackend;
use burn::tensor::{Int, Tensor};

use super::parts::{Blocks, Dropout, EndsSettings, Packing, SequenceEnds, Weights};
use super::{Objective, RecallerConfig, SequenceRecaller};
use crate::backend::{self, Backend};
use crate::data::{SequenceBatch, TrainingBatch};
use crate::{Result, checks};

/// Into how many classes the time between two items falls.
const TIME_CLASSES: usize = 128;

/// The width of a class, in the natural logarithm of time: as in the reference implementation.
const TIME_CLASS_WIDTH: f64 = 0.301;

/// The settings of [`Hstu`].
#[derive(Config, Debug, PartialEq)]
#[non_exhaustive]
pub struct HstuConfig {
    /// The size of item vectors and states.
    #[config(default = 64)]
    pub dim: usize,
    /// The number of blocks.
    #[config(default = 2)]
    pub blocks: usize,
    /// How many attention heads; `dim` is divided among them.
    #[config(default = 2)]
    pub heads: usize,
    /// The share of values that is dropped in training, `0.0..1.0`: of inputs and of what each
    /// block adds.
    #[config(default = 0.2)]
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
    /// How many of a history's last items are seen.
    #[config(default = 50)]
    pub max_len: usize,
    /// Whether attention weights depend on the time between items.
    #[config(default = true)]
    pub time_bias: bool,
    /// What it is trained for.
    #[config(default = "Objective::new()")]
    pub objective: Objective,
}

/// HSTU: attention whose weights are not normalized over the history but by its largest length,
/// so that how often something was taken still counts, biased by the distance of items in
/// positions and in time, and gated by the item that attends.
///
/// Zhai et al., [Actions Speak Louder than Words](https://arxiv.org/abs/2402.17152), section 3.2.
/// The time between two items is that between them alone; the reference implementation looks at
/// the time of the item that is to be predicted, which nobody knows beforehand.
#[derive(Module, Debug)]
pub struct Hstu<B: BurnBackend> {
    /// Item and position vectors, and what makes user vectors of states.
    pub ends: SequenceEnds<B>,
    /// The blocks.
    pub blocks: Vec<HstuBlock<B>>,
    #[module(skip)]
    config: HstuConfig,
}

/// A block of [`Hstu`].
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
        self.objective.validate(None)
    }

    fn objective(&self) -> &Objective {
        &self.objective
    }

    fn max_len(&self) -> usize {
        self.max_len
    }

    fn init<B: Backend>(&self, items: usize, seed: u64, device: &B::Device) -> Result<Hstu<B>> {
        self.validate_for(items)?;
        let dim = self.dim;
        let mut weights = Weights::new(seed, device);
        let ends = EndsSettings {
            items,
            dim: self.dim,
            max_len: self.max_len,
            tied: self.tied,
            output_layer: self.output_layer,
        };
        let ends = SequenceEnds::new(&ends, &mut weights);
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
        Ok(Hstu {
            ends,
            blocks: blocks.collect(),
            config: self.clone(),
        })
    }
}

/// The class of a time between two items.
fn time_class(time: f64) -> usize {
    let class = (time.abs().max(1.0).ln() / TIME_CLASS_WIDTH) as usize;
    class.min(TIME_CLASSES - 1)
}

/// How far apart the items of a batch are.
struct Distances<B: Backend> {
    /// `[len * len]`, of the item that attends to the one that is attended to.
    positions: Tensor<B, 1, Int>,
    /// Classes `[batch * len * len]`, where time is used.
    times: Option<Tensor<B, 1, Int>>,
}

impl<B: Backend> Distances<B> {
    fn new(histories: &SequenceBatch<B>, with_times: bool) -> Self {
        let [batch, len] = histories.items.dims();
        let device = histories.items.device();
        let tensor = |values: Vec<i32>| Tensor::from_data(values.as_slice(), &device);
        let pairs = |row: usize| (0..=row).chain(std::iter::repeat_n(row, len - row - 1));
        let positions = (0..len).flat_map(|row| pairs(row).map(move |column| row - column));
        let times = || {
            let mut times = Vec::with_capacity(batch * len * len);
            for row in histories.times.chunks_exact(len) {
                for (place, time) in row.iter().enumerate() {
                    times.extend(pairs(place).map(|other| time_class(time - row[other]) as i32));
                }
            }
            times
        };
        Self {
            positions: tensor(positions.map(|distance| distance as i32).collect()),
            times: with_times.then(|| tensor(times())),
        }
    }
}

impl<B: Backend> HstuBlock<B> {
    fn forward(
        &self,
        states: Tensor<B, 2>,
        packing: &Packing<B>,
        distances: &Distances<B>,
        config: &HstuConfig,
        dropout: &mut Dropout,
    ) -> Tensor<B, 2> {
        let projected = silu(self.project.forward(self.norm.forward(states.clone())));
        let part = |number| projected.clone().narrow(1, number * config.dim, config.dim);
        let heads = |number| packing.heads(part(number), config.heads);
        let len = packing.padded_len();
        let bias = |table: &Param<Tensor<B, 2>>, classes: &Tensor<B, 1, Int>| {
            let rows = classes.dims()[0] / (len * len);
            backend::select_rows(table.val(), classes.clone()).reshape([rows, 1, len, len])
        };
        let mut scores = heads(2).matmul(heads(3).swap_dims(2, 3))
            + bias(&self.position_bias, &distances.positions);
        if let (Some(table), Some(times)) = (&self.time_bias, &distances.times) {
            scores = scores + bias(table, times);
        }
        let weights = silu(scores).div_scalar(config.max_len as f64);
        let weights = weights.mask_fill(packing.future(), 0.0);
        let attended = packing.join(weights.matmul(heads(1)));
        let gated = self.attended_norm.forward(attended) * part(0);
        states + self.output.forward(dropout.apply(gated, config.dropout))
    }
}

impl<B: Backend> Blocks<B> for Hstu<B> {
    fn forward(
        &self,
        histories: &SequenceBatch<B>,
        mut states: Tensor<B, 2>,
        packing: &Packing<B>,
        dropout: &mut Dropout,
    ) -> Tensor<B, 2> {
        let config = &self.config;
        let distances = Distances::new(histories, self.config.time_bias);
        for block in &self.blocks {
            states = block.forward(states, packing, &distances, config, dropout);
        }
        states
    }
}

impl<B: Backend> SequenceRecaller<B> for Hstu<B> {
    type Config = HstuConfig;

    fn config(&self) -> &HstuConfig {
        &self.config
    }

    fn encode(&self, histories: &SequenceBatch<B>) -> Tensor<B, 3> {
        self.ends.encode(histories, self)
    }

    fn item_embeddings(&self) -> Tensor<B, 2> {
        self.ends.embedding.val()
    }

    fn loss(&self, batch: &TrainingBatch<B>) -> Tensor<B, 1> {
        let config = &self.config;
        self.ends
            .loss(batch, &config.objective, config.dropout, self)
    }

    fn needs_times(&self) -> bool {
        self.config.time_bias
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
