//! The backends that models run on, and the fused operations that they add to burn's.
//!
//! [`Backend`] is one of burn's backend extensions: burn's own trait plus the operations in which
//! recall models spend their time. Each has a default body of ordinary tensor operations, so that
//! any burn backend joins with an empty `impl`; the CPU backends override them with kernels, and
//! [`Autodiff`] with hand-written backward passes.

#[cfg(all(test, feature = "flex"))]
mod agreement;
mod autodiff;
#[cfg(any(feature = "cuda", feature = "wgpu"))]
mod cube;
mod default_ops;
mod device;
#[cfg(feature = "flex")]
mod flex;
#[cfg(any(feature = "flex", feature = "ndarray"))]
mod host;
#[cfg(feature = "ndarray")]
mod ndarray;
mod ops;
mod random_bits;
mod row_gradients;

use std::sync::Arc;

use burn::tensor::backend::AutodiffBackend;
use burn::tensor::ops::{Device, FloatTensor, IntTensor};

pub use crate::kernels::activation::Activation;
pub use device::check_device;
pub(crate) use device::{on_device, synchronize};
pub use ops::{
    add_to_rows, causal_attention, causal_convolution, dropout, gru, layer_norm, linear,
    log_normalizer, replace_rows, select_rows, silu_attention, softmax_cross_entropy,
};
pub use random_bits::RandomBits;
pub use row_gradients::{RowGradient, RowGradients};

/// The weights of a GRU layer; gates are in the order reset, update, new.
#[derive(Debug, Clone)]
pub struct GruWeights<T> {
    /// `[inputs, 3 * hidden]`.
    pub input: T,
    /// `[hidden, 3 * hidden]`.
    pub hidden: T,
    /// `[3 * hidden]`.
    pub input_bias: T,
    /// `[3 * hidden]`.
    pub hidden_bias: T,
}

/// The result of [`Backend::gru`].
#[derive(Debug, Clone)]
pub struct GruOutput<T> {
    /// The hidden states `[batch, len, hidden]`, 0 at padding.
    pub states: T,
    /// What [`Backend::gru_backward`] needs again, in a form of the backend's own.
    pub saved: T,
}

/// The result of [`Backend::gru_backward`].
#[derive(Debug, Clone)]
pub struct GruGradients<T> {
    /// By the values, `[batch, len, inputs]`; 0 at padding.
    pub values: T,
    /// By the weights.
    pub weights: GruWeights<T>,
}

/// What a softmax cross-entropy is taken over.
#[derive(Debug, Clone)]
pub struct SoftmaxInput<T, I> {
    /// User vectors `[rows, dim]`.
    pub users: T,
    /// Item vectors `[items + 1, dim]`. Row 0 is padding: it is excluded and gets no gradient.
    pub items: T,
    /// Subtracted from each item's logit, `[items + 1]`: the logarithm of how much more likely
    /// than others an item is to be among the sampled (logQ correction).
    pub log_correction: Option<T>,
    /// The item index that each row should give, `[rows]`; 0 where it is none, so that the row takes
    /// part in what its group's softmax is over, and no more.
    pub targets: I,
    /// How many rows, one after another, share a softmax: the vectors of one user. 1 where each row is
    /// a user.
    pub group: usize,
}

/// The result of [`Backend::softmax_cross_entropy_gradients`].
#[derive(Debug, Clone)]
pub struct SoftmaxGradients<T> {
    /// The mean loss over groups of rows, `[1]`.
    pub loss: T,
    /// Its gradient by users, `[rows, dim]`.
    pub users: T,
    /// Its gradient by items, `[items + 1, dim]`; row 0 is 0.
    pub items: T,
}

/// What causal self-attention is over: sequences one after another, without padding.
#[derive(Debug, Clone)]
pub struct AttentionInput<T> {
    /// The queries, keys and values of all tokens side by side, `[tokens, 3 * dim]`, each divided
    /// among the heads.
    pub projected: T,
    /// How many tokens each sequence has, in all as many as there are; none of them 0.
    pub lengths: Arc<[usize]>,
    /// How many heads there are; `dim` is a multiple of it.
    pub heads: usize,
    /// How a query's weights are made of its products with the keys up to its own.
    pub scoring: AttentionScoring<T>,
}

/// How weights are made of the products of queries and keys.
#[derive(Debug, Clone)]
pub enum AttentionScoring<T> {
    /// A softmax of the products over the root of a head's size.
    Softmax {
        /// The seed and the probability of dropping a weight, if any are.
        dropout: Option<(u64, f64)>,
    },
    /// `silu(product + biases) / divisor`.
    Silu(AttentionBiases<T>),
}

/// What is added to the products of queries and keys before they are activated.
#[derive(Debug, Clone)]
pub struct AttentionBiases<T> {
    /// What activated scores are divided by.
    pub divisor: f64,
    /// By the distance of two tokens in positions, `[max_len, 1]`.
    pub positions: T,
    /// By the class of their distance in time, `[classes, 1]`.
    pub times: T,
    /// The class of each token's distance from each one up to itself, sequence after sequence and
    /// token after token; all of them below the number of classes.
    pub classes: Arc<[u8]>,
}

/// The result of [`Backend::packed_attention`].
#[derive(Debug, Clone)]
pub struct AttentionOutput<T> {
    /// What each token gathers, `[tokens, dim]`.
    pub gathered: T,
    /// What [`Backend::packed_attention_backward`] needs again, in a form of the backend's own.
    pub saved: T,
}

/// The result of [`Backend::packed_attention_backward`].
#[derive(Debug, Clone)]
pub struct AttentionGradients<T> {
    /// By the queries, keys and values, `[tokens, 3 * dim]`.
    pub projected: T,
    /// By the biases of positions and of times, where there are any.
    pub biases: Option<[T; 2]>,
}

/// A linear layer and what follows it: `activation(values · weight + bias)`.
#[derive(Debug, Clone)]
pub struct LinearInput<T> {
    /// `[rows, inputs]`.
    pub values: T,
    /// `[inputs, outputs]`.
    pub weight: T,
    /// `[outputs]`.
    pub bias: T,
    /// What follows.
    pub activation: Activation,
}

/// The result of [`Backend::linear_layer`].
#[derive(Debug, Clone)]
pub struct LinearOutput<T> {
    /// `[rows, outputs]`.
    pub outputs: T,
    /// What [`Backend::linear_layer_backward`] needs again: the outputs for [`Activation::Relu`], what
    /// they were before for [`Activation::Silu`] and [`Activation::Gelu`], and anything for none.
    pub saved: T,
}

/// What layer normalization is over.
#[derive(Debug, Clone)]
pub struct LayerNormInput<T> {
    /// `[rows, dim]`.
    pub values: T,
    /// Scales, `[dim]`.
    pub gamma: T,
    /// Shifts, `[dim]`.
    pub beta: T,
    /// Added to each row's variance.
    pub epsilon: f64,
}

/// The numbers of one step of Adam.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamStep {
    /// The learning rate.
    pub learning_rate: f64,
    /// The decay of the first moment.
    pub beta_1: f64,
    /// The decay of the second moment.
    pub beta_2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Which step this is, counted from 1.
    pub time: usize,
}

impl AdamStep {
    /// The learning rate over `1 - beta_1^t`, and `1 / sqrt(1 - beta_2^t)`.
    fn corrections(&self) -> (f64, f64) {
        let time = i32::try_from(self.time).unwrap_or(i32::MAX);
        (
            self.learning_rate / (1.0 - self.beta_1.powi(time)),
            1.0 / (1.0 - self.beta_2.powi(time)).sqrt(),
        )
    }
}

/// A parameter with Adam's two moments, all of one shape.
#[derive(Debug, Clone)]
pub struct AdamState<T> {
    /// The parameter.
    pub parameter: T,
    /// The decaying mean of gradients.
    pub moment_1: T,
    /// The decaying mean of squared gradients.
    pub moment_2: T,
}

impl<T> AdamState<T> {
    fn map<U>(self, mut to: impl FnMut(T) -> U) -> AdamState<U> {
        AdamState {
            parameter: to(self.parameter),
            moment_1: to(self.moment_1),
            moment_2: to(self.moment_2),
        }
    }
}

/// A burn backend with the fused operations that recall models need.
///
/// Callers use the functions of this module, which take tensors, rather than these methods, which
/// take a backend's primitives.
pub trait Backend: burn::tensor::backend::Backend {
    /// Whether tensors lie in this process's own memory, so that no device can be missing or have none left.
    const HOST: bool = false;

    /// One GRU layer over sequences `[batch, len, inputs]`, of which the first `lengths[row]`
    /// steps are real, from a state of zeros (Cho et al. 2014, with the reset gate applied after
    /// the hidden product, as in cuDNN and PyTorch).
    fn gru(
        values: FloatTensor<Self>,
        lengths: &[usize],
        weights: GruWeights<FloatTensor<Self>>,
    ) -> GruOutput<FloatTensor<Self>> {
        default_ops::gru::<Self>(values, lengths, weights)
    }

    /// The gradients of `Σ gradient · states`, where `saved` is what [`Backend::gru`] gave.
    fn gru_backward(
        gradient: FloatTensor<Self>,
        values: FloatTensor<Self>,
        lengths: &[usize],
        weights: GruWeights<FloatTensor<Self>>,
        saved: FloatTensor<Self>,
    ) -> GruGradients<FloatTensor<Self>> {
        default_ops::gru_backward::<Self>(gradient, values, lengths, weights, saved)
    }

    /// What each token of some sequences gathers from itself and the tokens before it.
    fn packed_attention(
        input: AttentionInput<FloatTensor<Self>>,
    ) -> AttentionOutput<FloatTensor<Self>> {
        default_ops::attention::<Self>(input)
    }

    /// The gradients of `Σ gradient · gathered`, where `saved` is what [`Backend::packed_attention`] gave.
    fn packed_attention_backward(
        gradient: FloatTensor<Self>,
        input: AttentionInput<FloatTensor<Self>>,
        saved: FloatTensor<Self>,
    ) -> AttentionGradients<FloatTensor<Self>> {
        default_ops::attention_backward::<Self>(gradient, input, saved)
    }

    /// A linear layer and what follows it.
    fn linear_layer(input: LinearInput<FloatTensor<Self>>) -> LinearOutput<FloatTensor<Self>> {
        default_ops::linear::<Self>(input)
    }

    /// The gradients of `Σ gradient · outputs` by values, weight and bias, where `saved` is what
    /// [`Backend::linear_layer`] gave.
    fn linear_layer_backward(
        gradient: FloatTensor<Self>,
        input: LinearInput<FloatTensor<Self>>,
        saved: FloatTensor<Self>,
    ) -> [FloatTensor<Self>; 3] {
        default_ops::linear_backward::<Self>(gradient, input, saved)
    }

    /// Each row with mean 0 and variance 1, scaled and shifted (Ba, Kiros & Hinton, 2016).
    fn normalize_rows(input: LayerNormInput<FloatTensor<Self>>) -> FloatTensor<Self> {
        default_ops::normalize_rows::<Self>(input)
    }

    /// The gradients of `Σ gradient · normalized` by values, gamma and beta.
    fn normalize_rows_backward(
        gradient: FloatTensor<Self>,
        input: LayerNormInput<FloatTensor<Self>>,
    ) -> [FloatTensor<Self>; 3] {
        default_ops::normalize_rows_backward::<Self>(gradient, input)
    }

    /// 32 bits for each place, `[places]`, as whole numbers from -2^31 up: the same on every backend.
    fn random_bits(bits: &RandomBits, device: &Device<Self>) -> IntTensor<Self> {
        default_ops::random_bits::<Self>(bits, device)
    }

    /// Values with a share `probability` of them dropped and the others scaled up, by a mask that
    /// depends on the seed and their places alone. It is its own backward pass.
    fn drop_values(values: FloatTensor<Self>, probability: f64, seed: u64) -> FloatTensor<Self> {
        default_ops::drop_values::<Self>(values, probability, seed)
    }

    /// Each token's values `[tokens, dim]` mixed with those of earlier tokens of its sequence: the sum
    /// of `taps[distance]` times them. `lengths` are those of sequences that lie one after another.
    /// `transposed`, it is its backward pass: the sum over the token itself and later ones.
    fn causal_convolution(
        values: FloatTensor<Self>,
        lengths: &Arc<[usize]>,
        taps: &Arc<[f32]>,
        transposed: bool,
    ) -> FloatTensor<Self> {
        default_ops::causal_convolution::<Self>(values, lengths, taps, transposed)
    }

    /// The mean cross-entropy of a softmax over all items and all rows of a group, `[1]`.
    fn softmax_cross_entropy(
        input: SoftmaxInput<FloatTensor<Self>, IntTensor<Self>>,
    ) -> FloatTensor<Self> {
        default_ops::softmax_cross_entropy::<Self>(input)
    }

    /// The same, and its gradients: logits that are at hand give both.
    fn softmax_cross_entropy_gradients(
        input: SoftmaxInput<FloatTensor<Self>, IntTensor<Self>>,
    ) -> SoftmaxGradients<FloatTensor<Self>> {
        default_ops::softmax_cross_entropy_gradients::<Self>(input)
    }

    /// The gradients by users and by items of `gradient · loss`, where `gradient` is `[1]`.
    fn softmax_cross_entropy_backward(
        gradient: FloatTensor<Self>,
        of_loss: SoftmaxGradients<FloatTensor<Self>>,
    ) -> [FloatTensor<Self>; 2] {
        default_ops::softmax_cross_entropy_backward::<Self>(gradient, of_loss)
    }

    /// The rows of `table` `[rows, dim]` that `indices` `[n]` name, `[n, dim]`: in single precision,
    /// whatever the table's is.
    fn select_rows(table: FloatTensor<Self>, indices: IntTensor<Self>) -> FloatTensor<Self> {
        default_ops::select_rows::<Self>(table, indices)
    }

    /// `table` `[rows, dim]` with the rows that `indices` `[n]` name, each once, replaced by `values`
    /// `[n, dim]`. Where the table is of half precision, each value becomes one of its two neighbors
    /// there by chance, of which the seed decides, so that its mean is the value.
    fn replace_rows(
        table: FloatTensor<Self>,
        indices: IntTensor<Self>,
        values: FloatTensor<Self>,
        seed: u64,
    ) -> FloatTensor<Self> {
        default_ops::replace_rows::<Self>(table, indices, values, seed)
    }

    /// `table` `[rows, dim]` with each row of `values` `[n, dim]` added to the row that `indices`
    /// `[n]` names; a row that is named several times gets them all.
    fn add_to_rows(
        table: FloatTensor<Self>,
        indices: IntTensor<Self>,
        values: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        Self::float_select_add(table, 0, indices, values)
    }

    /// One step of Adam (Kingma & Ba, 2015) with bias correction.
    fn adam_step(
        state: AdamState<FloatTensor<Self>>,
        gradient: FloatTensor<Self>,
        step: AdamStep,
    ) -> AdamState<FloatTensor<Self>> {
        default_ops::adam_step::<Self>(state, gradient, step)
    }

    /// One step of Adam for the rows of `[rows, dim]` that `indices` `[n]` name, each once, with
    /// their `gradient` `[n, dim]`; the other rows and their moments stay as they are.
    ///
    /// This is the lazy form: a row's moments decay when it is touched, not at every step. The
    /// parameter may be of half precision, and is then rounded as by [`Backend::replace_rows`].
    fn adam_step_rows(
        state: AdamState<FloatTensor<Self>>,
        indices: IntTensor<Self>,
        gradient: FloatTensor<Self>,
        step: AdamStep,
    ) -> AdamState<FloatTensor<Self>> {
        default_ops::adam_step_rows::<Self>(state, indices, gradient, step)
    }
}

/// A backend that models can be trained on: one with gradients, whose inner backend serves.
///
/// [`Autodiff`] makes one of every [`Backend`].
#[diagnostic::on_unimplemented(
    message = "the backend `{Self}` has no gradients to train by",
    note = "make the model on a backend with gradients: `config.init::<Autodiff<Flex>>(..)` in place of \
            `config.init::<Flex>(..)`"
)]
pub trait TrainingBackend: AutodiffBackend<InnerBackend: Backend> + Backend {
    /// The gradients of a loss `[1]`, where those of tables that [`select_rows`] looked up are kept
    /// by rows, apart from the others: a table of millions of rows, of which a step needs some
    /// thousands, gets no gradient of its own size.
    ///
    /// What else a table is used for, such as a product with all of it, still gives it a gradient
    /// among the others.
    fn backward_by_rows(
        loss: FloatTensor<Self>,
    ) -> (Self::Gradients, RowGradients<Self::InnerBackend>);

    /// What tells a parameter from others among [`RowGradients`].
    fn table_id(table: &FloatTensor<Self>) -> u64;
}

pub use burn::backend::Autodiff;
#[cfg(feature = "cuda")]
pub use burn::backend::Cuda;
#[cfg(feature = "flex")]
pub use burn::backend::Flex;
#[cfg(feature = "ndarray")]
pub use burn::backend::NdArray;
#[cfg(feature = "wgpu")]
pub use burn::backend::Wgpu;
