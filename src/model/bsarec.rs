//! BSARec.

use burn::config::Config;
use burn::module::{Module, Param};
use burn::nn::{LayerNorm, Linear};
use burn::tensor::Tensor;
use burn::tensor::backend::Backend as BurnBackend;

use super::parts::{
    Blocks, Dropout, EndsSettings, Packing, SequenceEnds, Weights, causal_attention, layer_norm,
    linear,
};
use super::{Objective, RecallerConfig, SequenceRecaller};
use crate::backend::{self, Activation, Backend};
use crate::data::{SequenceBatch, TrainingBatch};
use crate::{Error, Result, checks};

/// The settings of [`BsaRec`].
///
/// ```
/// use seqrec::backend::Flex;
/// use seqrec::model::{BsaRecConfig, RecallerConfig};
///
/// let config = BsaRecConfig::new().with_filter_share(0.5).with_frequencies(3);
/// let model = config.init::<Flex>(1_000, 42, &Default::default())?;
/// # Ok::<(), seqrec::Error>(())
/// ```
#[derive(Config, Debug, PartialEq)]
#[non_exhaustive]
pub struct BsaRecConfig {
    /// The size of item vectors and states.
    #[config(default = 64)]
    pub dim: usize,
    /// The number of blocks.
    #[config(default = 2)]
    pub blocks: usize,
    /// How many attention heads; `dim` is divided among them.
    #[config(default = 1)]
    pub heads: usize,
    /// How much of a block is the filter (the paper's α); the rest is self-attention. `0.0..=1.0`.
    #[config(default = 0.7)]
    pub filter_share: f64,
    /// How many of the lowest frequencies pass the filter (the paper's c), the mean among them.
    #[config(default = 5)]
    pub frequencies: usize,
    /// The hidden size of a block's feed-forward part, in multiples of `dim`.
    #[config(default = 4)]
    pub feed_forward: usize,
    /// The share of values that is dropped in training, `0.0..1.0`.
    #[config(default = 0.5)]
    pub dropout: f64,
    /// How many of a history's last items are seen.
    #[config(default = 50)]
    pub max_len: usize,
    /// What it is trained for: unless told otherwise, a softmax over the whole catalog of cosines, at
    /// temperature 0.07.
    #[config(default = "Objective::cosine(0.07)")]
    pub objective: Objective,
}

/// BSARec: self-attention beside a filter that tells slow changes of a history's states from fast
/// ones and weighs the fast ones anew, which attention alone smooths away.
///
/// Shin et al., [An Attentive Inductive Bias for Sequential Recommendation beyond the
/// Self-Attention](https://arxiv.org/abs/2312.10325). The filter is over the real items of a history
/// alone, and looks at all of them, so that a history gives one target to learn from. As in this
/// crate's other models of self-attention, the last states are normalized once more.
#[derive(Module, Debug)]
pub struct BsaRec<B: BurnBackend> {
    /// Item and position vectors, and what makes user vectors of states.
    pub ends: SequenceEnds<B>,
    /// The blocks.
    pub blocks: Vec<BsaRecBlock<B>>,
    #[module(skip)]
    config: BsaRecConfig,
}

/// A block of [`BsaRec`].
#[derive(Module, Debug)]
pub struct BsaRecBlock<B: BurnBackend> {
    /// What fast changes are multiplied by is the square of this, `[1, dim]`.
    pub high_pass: Param<Tensor<B, 2>>,
    /// Normalizes what the filter adds to.
    pub filter_norm: LayerNorm<B>,
    /// Queries, keys and values side by side, `[dim, 3 * dim]`.
    pub attention_in: Linear<B>,
    /// `[dim, dim]`.
    pub attention_out: Linear<B>,
    /// Normalizes what attention adds to.
    pub attention_norm: LayerNorm<B>,
    /// `[dim, hidden]`.
    pub feed_in: Linear<B>,
    /// `[hidden, dim]`.
    pub feed_out: Linear<B>,
    /// Normalizes what the feed-forward part adds to.
    pub feed_norm: LayerNorm<B>,
}

impl RecallerConfig for BsaRecConfig {
    type Recaller<B: Backend> = BsaRec<B>;

    const NAME: &'static str = "bsarec";

    fn validate(&self) -> Result<()> {
        checks::at_least_one(&[
            ("dim", self.dim),
            ("blocks", self.blocks),
            ("heads", self.heads),
            ("frequencies", self.frequencies),
            ("feed_forward", self.feed_forward),
            ("max_len", self.max_len),
        ])?;
        checks::heads(self.heads, self.dim)?;
        checks::share("dropout", self.dropout)?;
        if !(0.0..=1.0).contains(&self.filter_share) {
            let reason = "must be from 0 to 1";
            return Err(Error::invalid("filter_share", self.filter_share, reason));
        }
        self.objective.validate(None)
    }

    fn objective(&self) -> &Objective {
        &self.objective
    }

    fn max_len(&self) -> usize {
        self.max_len
    }

    fn init<B: Backend>(&self, items: usize, seed: u64, device: &B::Device) -> Result<BsaRec<B>> {
        self.validate_for(items)?;
        let mut weights = Weights::new(seed, device);
        let ends = EndsSettings {
            items,
            dim: self.dim,
            max_len: self.max_len,
            tied: true,
            output_layer: false,
        };
        let ends = SequenceEnds::new(&ends, &mut weights);
        let blocks = (0..self.blocks).map(|_| self.block(&mut weights)).collect();
        let config = self.clone();
        Ok(BsaRec {
            ends,
            blocks,
            config,
        })
    }
}

impl BsaRecConfig {
    fn block<B: Backend>(&self, weights: &mut Weights<'_, B>) -> BsaRecBlock<B> {
        let (dim, hidden) = (self.dim, self.feed_forward * self.dim);
        BsaRecBlock {
            high_pass: weights.normal(1, dim, 1.0),
            filter_norm: weights.layer_norm(dim),
            attention_in: weights.linear(dim, 3 * dim),
            attention_out: weights.linear(dim, dim),
            attention_norm: weights.layer_norm(dim),
            feed_in: weights.linear(dim, hidden),
            feed_out: weights.linear(hidden, dim),
            feed_norm: weights.layer_norm(dim),
        }
    }
}

impl<B: Backend> BsaRecBlock<B> {
    /// States `[tokens, dim]` from states.
    fn forward(
        &self,
        states: Tensor<B, 2>,
        packing: &Packing<B>,
        config: &BsaRecConfig,
        dropout: &mut Dropout,
    ) -> Tensor<B, 2> {
        let low = backend::low_pass(states.clone(), packing.lengths(), config.frequencies);
        let high = (states.clone() - low.clone()) * self.high_pass.val().square();
        let filtered = add(&self.filter_norm, &states, low + high, config, dropout);
        let projected = linear(&self.attention_in, states.clone(), Activation::None);
        let attended = causal_attention(projected, config.heads, packing, dropout, config.dropout);
        let attended = linear(&self.attention_out, attended, Activation::None);
        let attended = add(&self.attention_norm, &states, attended, config, dropout);
        let share = config.filter_share;
        let states = filtered.mul_scalar(share) + attended.mul_scalar(1.0 - share);
        let fed = linear(&self.feed_in, states.clone(), Activation::Gelu);
        let fed = linear(&self.feed_out, fed, Activation::None);
        add(&self.feed_norm, &states, fed, config, dropout)
    }
}

/// States and what a part of a block adds to them, normalized.
fn add<B: Backend>(
    norm: &LayerNorm<B>,
    states: &Tensor<B, 2>,
    more: Tensor<B, 2>,
    config: &BsaRecConfig,
    dropout: &mut Dropout,
) -> Tensor<B, 2> {
    layer_norm(norm, states.clone() + dropout.apply(more, config.dropout))
}

impl<B: Backend> Blocks<B> for BsaRec<B> {
    fn forward(
        &self,
        _: &SequenceBatch<B>,
        mut states: Tensor<B, 2>,
        packing: &Packing<B>,
        dropout: &mut Dropout,
    ) -> Tensor<B, 2> {
        for block in &self.blocks {
            states = block.forward(states, packing, &self.config, dropout);
        }
        states
    }
}

impl<B: Backend> SequenceRecaller<B> for BsaRec<B> {
    type Config = BsaRecConfig;

    fn config(&self) -> &BsaRecConfig {
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

    // The filter looks at all of a history.
    fn needs_one_target(&self) -> bool {
        true
    }
}
