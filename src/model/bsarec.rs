//! BSARec.

use std::sync::Arc;

use burn::config::Config;
use burn::module::{Module, Param};
use burn::nn::{LayerNorm, Linear};
use burn::tensor::backend::Backend as BurnBackend;
use burn::tensor::{Int, Tensor};

use super::parts::{Dropout, Packing, SequenceEnds, Weights, layer_norm, linear};
use super::{
    Description, ItemFeaturesConfig, ItemTable, Objective, RecallerConfig, SequenceRecaller,
    TablePrecision,
};
use crate::backend::{self, Activation, Backend};
use crate::data::SequenceBatch;
use crate::{Error, Result, checks};

/// BSARec: self-attention beside a filter that tells slow changes of a history's states from fast
/// ones and weighs the fast ones anew, which attention alone smooths away.
///
/// Shin et al., [An Attentive Inductive Bias for Sequential Recommendation beyond the
/// Self-Attention](https://arxiv.org/abs/2312.10325). Each item is filtered as if it were the last
/// of a window of `max_len` items: what the paper's filter gives for the last item, and of its
/// first block exactly so. The paper filters items with what comes after them as well, so that a
/// history gives one target to learn from; this way every position is a target, as in SASRec. As in
/// this crate's other models of self-attention, the last states are normalized once more.
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
    /// The number of attention heads; `dim` is divided among them.
    #[config(default = 1)]
    pub heads: usize,
    /// The filter's share of a block (the paper's α); the rest is self-attention. `0.0..=1.0`.
    #[config(default = 0.7)]
    pub filter_share: f64,
    /// The number of the lowest frequencies of a window of `max_len` items that pass the filter
    /// (the paper's c), the mean among them: at most `max_len / 2 + 1`.
    #[config(default = 5)]
    pub frequencies: usize,
    /// The hidden size of a block's feed-forward part, in multiples of `dim`.
    #[config(default = 4)]
    pub feed_forward: usize,
    /// The share of values that is dropped in training, `0.0..1.0`.
    #[config(default = 0.5)]
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
    /// The number of features of a user, which are added to their vector by a linear map; see
    /// [`Dataset::with_users`](crate::data::Dataset::with_users).
    #[config(default = 0)]
    pub user_features: usize,
    /// The training objective: by default a softmax over the whole catalog of cosines, at
    /// temperature 0.07.
    #[config(default = "Objective::cosine(0.07)")]
    pub objective: Objective,
}

/// The model of [`BsaRecConfig`].
#[derive(Module, Debug)]
pub struct BsaRec<B: BurnBackend> {
    /// Item and position vectors, and what makes user vectors of states.
    pub(crate) ends: SequenceEnds<B>,
    /// The blocks.
    pub(crate) blocks: Vec<BsaRecBlock<B>>,
    #[module(skip)]
    config: BsaRecConfig,
}

/// A block of the model.
#[derive(Module, Debug)]
pub struct BsaRecBlock<B: BurnBackend> {
    /// The root of the factor for fast changes, `[1, dim]`.
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
        let most = self.max_len / 2 + 1;
        if self.frequencies > most {
            let reason = format!("a window of max_len {} items has {most}", self.max_len);
            return Err(Error::invalid("frequencies", self.frequencies, reason));
        }
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

    fn build<B: Backend>(&self, items: usize, weights: &mut Weights<'_, B>) -> BsaRec<B> {
        let sizes = [items, self.dim, self.max_len, self.user_features];
        let switches = [true, self.event_vectors, false];
        let ends = SequenceEnds::new(sizes, switches, weights);
        let blocks = (0..self.blocks).map(|_| self.block(weights)).collect();
        let config = self.clone();
        BsaRec {
            ends,
            blocks,
            config,
        }
    }
}

impl BsaRecConfig {
    /// The low-pass filter's weight of an item by its distance from the last item of a window of
    /// `max_len`.
    fn taps(&self) -> Arc<[f32]> {
        let window = self.max_len;
        let tap = |distance: usize| {
            let wave = |frequency: usize| {
                let turn = (frequency * distance % window) as f64 / window as f64;
                let cosine = (turn * std::f64::consts::TAU).cos();
                // The fastest wave of an even length has no twin that runs backwards.
                if 2 * frequency == window {
                    cosine
                } else {
                    2.0 * cosine
                }
            };
            let waves: f64 = (1..self.frequencies).map(wave).sum();
            ((1.0 + waves) / window as f64) as f32
        };
        (0..window).map(tap).collect()
    }

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
        taps: &Arc<[f32]>,
        config: &BsaRecConfig,
        dropout: &mut Dropout,
    ) -> Tensor<B, 2> {
        let low = backend::causal_convolution(states.clone(), packing.lengths(), taps);
        let high = (states.clone() - low.clone()) * self.high_pass.val().square();
        let filtered = add(&self.filter_norm, &states, low + high, config, dropout);
        let projected = linear(&self.attention_in, states.clone(), Activation::None);
        let attended = packing.attention(projected, config.heads, dropout, config.dropout);
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

impl<B: Backend> SequenceRecaller<B> for BsaRec<B> {
    type Config = BsaRecConfig;

    fn config(&self) -> &BsaRecConfig {
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
            let taps = config.taps();
            for block in &self.blocks {
                states = block.forward(states, packing, &taps, config, dropout);
            }
            states
        };
        (self.ends).states(histories, positions, dropout, config.dropout, blocks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sum over all waves that pass, of a window whose items are 0 before the history.
    #[test]
    fn the_filter_is_that_of_a_fourier_transform_at_the_last_item() {
        for (max_len, frequencies) in [(8, 1), (8, 3), (8, 5), (9, 5), (50, 5)] {
            let config = BsaRecConfig::new()
                .with_max_len(max_len)
                .with_frequencies(frequencies);
            config.validate().unwrap();
            let taps = config.taps();
            let history = [3.0, -1.0, 2.0, 0.5, 4.0];
            let found: f64 = (history.iter().rev().zip(taps.iter()))
                .map(|(value, &tap)| value * f64::from(tap))
                .sum();
            let mut window = vec![0.0; max_len - history.len()];
            window.extend(history);
            let turn = |f: usize, t: usize| {
                (f * t % max_len) as f64 / max_len as f64 * std::f64::consts::TAU
            };
            let passes = |f: usize| f.min(max_len - f) < frequencies;
            let last = max_len - 1;
            let expected: f64 = (0..max_len)
                .filter(|&f| passes(f))
                .map(|f| {
                    let [mut real, mut imaginary] = [0.0; 2];
                    for (t, value) in window.iter().enumerate() {
                        real += value * turn(f, t).cos();
                        imaginary -= value * turn(f, t).sin();
                    }
                    real * turn(f, last).cos() - imaginary * turn(f, last).sin()
                })
                .sum::<f64>()
                / max_len as f64;
            assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
        }
    }

    #[test]
    fn more_frequencies_than_a_window_has_are_refused() {
        let config = BsaRecConfig::new().with_max_len(7).with_frequencies(5);
        let error = config.validate().unwrap_err().to_string();
        assert!(
            error.contains("frequencies") && error.contains("4"),
            "{error}"
        );
    }
}
