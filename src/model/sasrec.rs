//! SASRec, and its descendants of the same shape.

use burn::config::Config;
use burn::module::Module;
use burn::nn::{LayerNorm, Linear};
use burn::tensor::activation::{sigmoid, silu};
use burn::tensor::backend::Backend as BurnBackend;
use burn::tensor::{Int, Tensor};

use super::parts::{Dropout, Packing, SequenceEnds, Weights, layer_norm, linear};
use super::{
    Description, ItemFeaturesConfig, ItemTable, Objective, RecallerConfig, SequenceRecaller,
    TablePrecision,
};
use crate::backend::{Activation, Backend};
use crate::data::SequenceBatch;
use crate::{Result, checks};

/// SASRec: causal self-attention over the history, the user vector being the state at its last
/// item.
///
/// Kang & McAuley, [Self-Attentive Sequential Recommendation](https://arxiv.org/abs/1808.09781),
/// with normalization before each part. Positions are counted from the first item seen.
///
/// gSASRec is this model with [`SampledLoss::Gbce`](super::SampledLoss::Gbce), and the original
/// SASRec with one uniform negative and [`SampledLoss::Bce`](super::SampledLoss::Bce); the softmax
/// over all items is better than both where the catalog allows it.
///
/// ```
/// use seqrec::backend::Flex;
/// use seqrec::data::NegativeSampling;
/// use seqrec::model::{Loss, Objective, RecallerConfig, SampledLoss, SasRecConfig};
///
/// let negatives = NegativeSampling::new().with_in_batch(256).with_drawn(100).with_exponent(0.0);
/// let loss = Loss::sampled(SampledLoss::Softmax { log_q: true }, negatives);
/// let config = SasRecConfig::new()
///     .with_gated(true)
///     .with_feed_forward(4)
///     .with_objective(Objective::new().with_loss(loss));
/// let model = config.init::<Flex>(1_000, 42, &Default::default())?;
/// # Ok::<(), seqrec::Error>(())
/// ```
#[derive(Config, Debug, PartialEq)]
#[non_exhaustive]
pub struct SasRecConfig {
    /// The size of item vectors and states.
    #[config(default = 64)]
    pub dim: usize,
    /// The number of blocks.
    #[config(default = 2)]
    pub blocks: usize,
    /// The number of attention heads; `dim` is divided among them.
    #[config(default = 2)]
    pub heads: usize,
    /// Whether what each part of a block adds is gated by its input, and the feed-forward part is a
    /// SwiGLU: Borisyuk et al., [LiGR](https://arxiv.org/abs/2502.03417). Else both are added as
    /// they are.
    #[config(default = false)]
    pub gated: bool,
    /// The hidden size of a block's feed-forward part, in multiples of `dim`.
    #[config(default = 1)]
    pub feed_forward: usize,
    /// The activation of a block's feed-forward part, where that is not gated.
    #[config(default = "Activation::Relu")]
    pub activation: Activation,
    /// The share of values that is dropped in training, `0.0..1.0`: of inputs, attention weights,
    /// and what each part of a block adds.
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

/// The model of [`SasRecConfig`].
#[derive(Module, Debug)]
pub struct SasRec<B: BurnBackend> {
    /// Item and position vectors, and what makes user vectors of states.
    pub(crate) ends: SequenceEnds<B>,
    /// The blocks.
    pub(crate) blocks: Vec<TransformerBlock<B>>,
    #[module(skip)]
    config: SasRecConfig,
}

/// A block of the model.
#[derive(Module, Debug)]
pub struct TransformerBlock<B: BurnBackend> {
    /// Normalizes what attention sees.
    pub attention_norm: LayerNorm<B>,
    /// Queries, keys and values side by side, `[dim, 3 * dim]`.
    pub attention_in: Linear<B>,
    /// `[dim, dim]`.
    pub attention_out: Linear<B>,
    /// Gates what attention adds, `[dim, dim]`; where blocks are gated.
    pub attention_gate: Option<Linear<B>>,
    /// Normalizes what the feed-forward part sees.
    pub feed_norm: LayerNorm<B>,
    /// `[dim, hidden]`, or `[dim, 2 * hidden]` where blocks are gated: what is activated beside
    /// what it multiplies.
    pub feed_in: Linear<B>,
    /// `[hidden, dim]`.
    pub feed_out: Linear<B>,
    /// Gates what the feed-forward part adds, `[dim, dim]`; where blocks are gated.
    pub feed_gate: Option<Linear<B>>,
}

impl RecallerConfig for SasRecConfig {
    type Recaller<B: Backend> = SasRec<B>;

    const NAME: &'static str = "sasrec";

    fn validate(&self) -> Result<()> {
        checks::at_least_one(&[
            ("dim", self.dim),
            ("blocks", self.blocks),
            ("heads", self.heads),
            ("feed_forward", self.feed_forward),
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
            ..Description::new(&self.objective, self.max_len)
        }
    }

    fn build<B: Backend>(&self, items: usize, weights: &mut Weights<'_, B>) -> SasRec<B> {
        let sizes = [items, self.dim, self.max_len, self.user_features];
        let switches = [self.tied, self.event_vectors, self.output_layer];
        let ends = SequenceEnds::new(sizes, switches, weights);
        let blocks = (0..self.blocks).map(|_| self.block(weights)).collect();
        SasRec {
            ends,
            blocks,
            config: self.clone(),
        }
    }
}

impl SasRecConfig {
    fn block<B: Backend>(&self, weights: &mut Weights<'_, B>) -> TransformerBlock<B> {
        let dim = self.dim;
        let hidden = self.feed_forward * dim;
        let gated = self.gated;
        TransformerBlock {
            attention_norm: weights.layer_norm(dim),
            attention_in: weights.linear(dim, 3 * dim),
            attention_out: weights.linear(dim, dim),
            attention_gate: gated.then(|| weights.linear(dim, dim)),
            feed_norm: weights.layer_norm(dim),
            feed_in: weights.linear(dim, if gated { 2 * hidden } else { hidden }),
            feed_out: weights.linear(hidden, dim),
            feed_gate: gated.then(|| weights.linear(dim, dim)),
        }
    }
}

impl<B: Backend> TransformerBlock<B> {
    /// States `[tokens, dim]` from states.
    fn forward(
        &self,
        states: Tensor<B, 2>,
        packing: &Packing<B>,
        config: &SasRecConfig,
        dropout: &mut Dropout,
    ) -> Tensor<B, 2> {
        let attended = self.attend(states.clone(), packing, config, dropout);
        let states = add(
            states,
            attended,
            self.attention_gate.as_ref(),
            config,
            dropout,
        );
        let fed = self.feed(states.clone(), config, dropout);
        add(states, fed, self.feed_gate.as_ref(), config, dropout)
    }

    fn attend(
        &self,
        states: Tensor<B, 2>,
        packing: &Packing<B>,
        config: &SasRecConfig,
        dropout: &mut Dropout,
    ) -> Tensor<B, 2> {
        let normal = layer_norm(&self.attention_norm, states);
        let projected = linear(&self.attention_in, normal, Activation::None);
        let gathered = packing.attention(projected, config.heads, dropout, config.dropout);
        linear(&self.attention_out, gathered, Activation::None)
    }

    fn feed(
        &self,
        states: Tensor<B, 2>,
        config: &SasRecConfig,
        dropout: &mut Dropout,
    ) -> Tensor<B, 2> {
        let normal = layer_norm(&self.feed_norm, states);
        let hidden = if config.gated {
            let hidden = linear(&self.feed_in, normal, Activation::None);
            let size = config.feed_forward * config.dim;
            silu(hidden.clone().narrow(1, 0, size)) * hidden.narrow(1, size, size)
        } else {
            linear(&self.feed_in, normal, config.activation)
        };
        let hidden = dropout.apply(hidden, config.dropout);
        linear(&self.feed_out, hidden, Activation::None)
    }
}

/// States with what a part of a block adds to them.
fn add<B: Backend>(
    states: Tensor<B, 2>,
    more: Tensor<B, 2>,
    gate: Option<&Linear<B>>,
    config: &SasRecConfig,
    dropout: &mut Dropout,
) -> Tensor<B, 2> {
    let more = match gate {
        Some(gate) => more * sigmoid(linear(gate, states.clone(), Activation::None)),
        None => more,
    };
    states + dropout.apply(more, config.dropout)
}

impl<B: Backend> SequenceRecaller<B> for SasRec<B> {
    type Config = SasRecConfig;

    fn config(&self) -> &SasRecConfig {
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
            for block in &self.blocks {
                states = block.forward(states, packing, config, dropout);
            }
            states
        };
        (self.ends).states(histories, positions, dropout, config.dropout, blocks)
    }
}
