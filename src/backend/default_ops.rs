//! The fused operations as ordinary tensor operations, for backends that have no kernels of ours.

use std::ops::Range;
use std::sync::Arc;

use burn::tensor::ops::{FloatTensor, IntTensor};
use burn::tensor::{
    Bool, DType, ElementConversion, FloatDType, IndexingUpdateOp, Int, Shape, Tensor, TensorData,
    TensorMetadata, TensorPrimitive, activation,
};

use super::{
    Activation, AdamState, AdamStep, AttentionBiases, AttentionGradients, AttentionInput,
    AttentionOutput, AttentionScoring, Backend, GruGradients, GruOutput, GruWeights,
    LayerNormInput, LinearInput, LinearOutput, RandomBits, SoftmaxGradients, SoftmaxInput, ops,
};
use crate::kernels::dropout::Kept;

fn tensor<B: Backend, const D: usize>(primitive: FloatTensor<B>) -> Tensor<B, D> {
    Tensor::from_primitive(TensorPrimitive::Float(primitive))
}

fn primitive<B: Backend, const D: usize>(tensor: Tensor<B, D>) -> FloatTensor<B> {
    tensor.into_primitive().tensor()
}

fn tensors<B: Backend>(weights: GruWeights<FloatTensor<B>>) -> GruWeights<Tensor<B, 2>> {
    GruWeights {
        input: tensor::<B, 2>(weights.input),
        hidden: tensor::<B, 2>(weights.hidden),
        input_bias: tensor::<B, 2>(weights.input_bias),
        hidden_bias: tensor::<B, 2>(weights.hidden_bias),
    }
}

/// 1 at real steps and 0 at padding, `[batch, len, 1]`.
fn real_steps<B: Backend>(lengths: &[usize], len: usize, device: &B::Device) -> Tensor<B, 3> {
    let real = |&length: &usize| (0..len).map(move |step| f32::from(u8::from(step < length)));
    let values: Vec<f32> = lengths.iter().flat_map(real).collect();
    Tensor::from_data(TensorData::new(values, [lengths.len(), len, 1]), device)
}

/// Columns of gate `gate` out of `[rows, gates * hidden]`.
fn gate<B: Backend>(gates: &Tensor<B, 2>, gate: usize, hidden: usize) -> Tensor<B, 2> {
    gates.clone().narrow(1, gate * hidden, hidden)
}

/// Step `step` of `[batch, len, width]`.
fn at_step<B: Backend>(values: &Tensor<B, 3>, step: usize) -> Tensor<B, 2> {
    values.clone().narrow(1, step, 1).squeeze_dim(1)
}

pub(super) fn gru<B: Backend>(
    values: FloatTensor<B>,
    lengths: &[usize],
    weights: GruWeights<FloatTensor<B>>,
) -> GruOutput<FloatTensor<B>> {
    let values: Tensor<B, 3> = tensor::<B, 3>(values);
    let weights = tensors::<B>(weights);
    let [batch, len, inputs] = values.dims();
    let [hidden, _] = weights.hidden.dims();
    let device = values.device();
    let from_input =
        values.reshape([batch * len, inputs]).matmul(weights.input) + weights.input_bias;
    let from_input = from_input.reshape([batch, len, 3 * hidden]);
    let mut state = Tensor::<B, 2>::zeros([batch, hidden], &device);
    let (mut states, mut gates) = (Vec::with_capacity(len), Vec::with_capacity(len));
    for step in 0..len {
        let x = at_step(&from_input, step);
        let h = state.clone().matmul(weights.hidden.clone()) + weights.hidden_bias.clone();
        let r = activation::sigmoid(gate(&x, 0, hidden) + gate(&h, 0, hidden));
        let z = activation::sigmoid(gate(&x, 1, hidden) + gate(&h, 1, hidden));
        let h_n = gate(&h, 2, hidden);
        let n = (gate(&x, 2, hidden) + r.clone() * h_n.clone()).tanh();
        state = n.clone() + z.clone() * (state - n.clone());
        gates.push(Tensor::cat(vec![r, z, n, h_n, state.clone()], 1));
        states.push(state.clone());
    }
    let states = Tensor::stack::<3>(states, 1) * real_steps::<B>(lengths, len, &device);
    GruOutput {
        states: primitive(states),
        saved: primitive(Tensor::stack::<3>(gates, 1)),
    }
}

pub(super) fn gru_backward<B: Backend>(
    gradient: FloatTensor<B>,
    values: FloatTensor<B>,
    lengths: &[usize],
    weights: GruWeights<FloatTensor<B>>,
    saved: FloatTensor<B>,
) -> GruGradients<FloatTensor<B>> {
    let gradient: Tensor<B, 3> = tensor::<B, 3>(gradient);
    let values: Tensor<B, 3> = tensor::<B, 3>(values);
    let saved: Tensor<B, 3> = tensor::<B, 3>(saved);
    let weights = tensors::<B>(weights);
    let [batch, len, inputs] = values.dims();
    let [hidden, _] = weights.hidden.dims();
    let device = values.device();
    let zeros = || Tensor::<B, 2>::zeros([batch, hidden], &device);
    let gradient = gradient * real_steps::<B>(lengths, len, &device);
    let mut to_state = zeros();
    let (mut to_x, mut to_h, mut previous_states) = (Vec::new(), Vec::new(), Vec::new());
    for step in (0..len).rev() {
        let gates = at_step(&saved, step);
        let [r, z, n, h_n] = [0, 1, 2, 3].map(|number| gate(&gates, number, hidden));
        let previous = match step {
            0 => zeros(),
            _ => gate(&at_step(&saved, step - 1), 4, hidden),
        };
        to_state = to_state + at_step(&gradient, step);
        let one_minus = |values: &Tensor<B, 2>| values.clone().neg().add_scalar(1.0);
        let to_n = to_state.clone() * one_minus(&z) * one_minus(&n.clone().square());
        let to_r = to_n.clone() * h_n * r.clone() * one_minus(&r);
        let to_z = to_state.clone() * (previous.clone() - n) * z.clone() * one_minus(&z);
        let to_h_step = Tensor::cat(vec![to_r.clone(), to_z.clone(), to_n.clone() * r], 1);
        to_state = to_state * z + to_h_step.clone().matmul(weights.hidden.clone().transpose());
        to_x.push(Tensor::cat(vec![to_r, to_z, to_n], 1));
        to_h.push(to_h_step);
        previous_states.push(previous);
    }
    // All steps as rows, in the order of time.
    let rows = |mut steps: Vec<Tensor<B, 2>>, width: usize| {
        steps.reverse();
        Tensor::stack::<3>(steps, 1).reshape([batch * len, width])
    };
    let (to_x, to_h) = (rows(to_x, 3 * hidden), rows(to_h, 3 * hidden));
    let previous_states = rows(previous_states, hidden);
    let values = values.reshape([batch * len, inputs]);
    let to_values = to_x.clone().matmul(weights.input.transpose());
    GruGradients {
        values: primitive(to_values.reshape([batch, len, inputs])),
        weights: GruWeights {
            input: primitive(values.transpose().matmul(to_x.clone())),
            hidden: primitive(previous_states.transpose().matmul(to_h.clone())),
            input_bias: primitive(to_x.sum_dim(0)),
            hidden_bias: primitive(to_h.sum_dim(0)),
        },
    }
}

/// How many logits a block of items has at most, unless it is of one item: 64 MiB.
const BLOCK_LOGITS: usize = 1 << 24;

/// A softmax over items that walks through them in blocks, so that no more of the matrix
/// `[rows, items]` is ever there than a block's.
struct BlockedSoftmax<B: Backend> {
    users: Tensor<B, 2>,
    items: Tensor<B, 2>,
    log_correction: Option<Tensor<B, 2>>,
    targets: Tensor<B, 1, Int>,
    group: usize,
    /// How many items a block has.
    block: usize,
}

impl<B: Backend> BlockedSoftmax<B> {
    fn new(input: SoftmaxInput<FloatTensor<B>, IntTensor<B>>, logits: usize) -> Self {
        let users: Tensor<B, 2> = tensor::<B, 2>(input.users);
        let correction = input.log_correction.map(|correction| {
            let correction: Tensor<B, 1> = tensor::<B, 1>(correction);
            correction.unsqueeze_dim(1)
        });
        Self {
            block: (logits / users.dims()[0].max(1)).max(1),
            users,
            items: tensor::<B, 2>(input.items),
            log_correction: correction,
            targets: Tensor::from_primitive(input.targets),
            group: input.group,
        }
    }

    /// The first item and the size of each block; padding is in none.
    fn blocks(&self) -> impl Iterator<Item = (usize, usize)> {
        let (all, block) = (self.items.dims()[0], self.block);
        let starts = (1..all).step_by(block);
        starts.map(move |start| (start, block.min(all - start)))
    }

    /// A block's logits, those of a group side by side, `[groups, group * size]`.
    fn logits(&self, (start, size): (usize, usize)) -> Tensor<B, 2> {
        let items = self.items.clone().narrow(0, start, size);
        let logits = self.users.clone().matmul(items.transpose());
        let logits = match &self.log_correction {
            Some(correction) => logits - correction.clone().narrow(0, start, size).transpose(),
            None => logits,
        };
        self.of_groups(logits)
    }

    /// The values of each group of rows side by side.
    fn of_groups(&self, rows: Tensor<B, 2>) -> Tensor<B, 2> {
        let [count, width] = rows.dims();
        rows.reshape([count / self.group, self.group * width])
    }

    /// Each group's `ln Σ e^logit`, `[groups, 1]`: its sum is scaled down whenever a block has a
    /// logit above those before.
    fn normalizers(&self) -> Tensor<B, 2> {
        let mut so_far: Option<(Tensor<B, 2>, Tensor<B, 2>)> = None;
        for block in self.blocks() {
            let logits = self.logits(block);
            let highest = logits.clone().max_dim(1);
            let highest = match &so_far {
                Some((before, _)) => before.clone().max_pair(highest),
                None => highest,
            };
            let sum = (logits - highest.clone()).exp().sum_dim(1);
            let sum = match so_far {
                Some((before, sum_before)) => sum + sum_before * (before - highest.clone()).exp(),
                None => sum,
            };
            so_far = Some((highest, sum));
        }
        let (highest, sum) = so_far.expect("a catalog has items");
        sum.log() + highest
    }

    /// 1 for each row that has a target, else 0, `[rows, 1]`.
    fn has_target(&self) -> Tensor<B, 2> {
        (self.targets.clone().greater_elem(0).float()).unsqueeze_dim(1)
    }

    /// The mean loss over groups, `[1]`.
    fn loss(&self, normalizers: Tensor<B, 2>) -> Tensor<B, 1> {
        let rows = ops::select_rows(self.items.clone(), self.targets.clone());
        let of_targets = (self.users.clone() * rows).sum_dim(1);
        let of_targets = match &self.log_correction {
            Some(correction) => of_targets - correction.clone().select(0, self.targets.clone()),
            None => of_targets,
        };
        let of_targets = self.of_groups(of_targets * self.has_target());
        (normalizers - of_targets.sum_dim(1)).mean()
    }

    /// The gradients of the loss by users and by items.
    fn gradients(&self, normalizers: &Tensor<B, 2>) -> [Tensor<B, 2>; 2] {
        let [rows, dim] = self.users.dims();
        let share = self.group as f64 / rows as f64;
        let weight = self.has_target().mul_scalar(-share);
        let of_targets = ops::select_rows(self.items.clone(), self.targets.clone());
        let mut by_users = of_targets * weight.clone();
        let mut by_items = vec![Tensor::<B, 2>::zeros([1, dim], &self.users.device())];
        for (start, size) in self.blocks() {
            let probabilities = (self.logits((start, size)) - normalizers.clone()).exp();
            let by_logits = probabilities.reshape([rows, size]).mul_scalar(share);
            let items = self.items.clone().narrow(0, start, size);
            by_users = by_users + by_logits.clone().matmul(items);
            by_items.push(by_logits.transpose().matmul(self.users.clone()));
        }
        let to_targets = primitive(self.users.clone() * weight);
        let targets = self.targets.clone().into_primitive();
        let by_items = B::add_to_rows(primitive(Tensor::cat(by_items, 0)), targets, to_targets);
        [by_users, tensor::<B, 2>(by_items)]
    }
}

pub(super) fn softmax_cross_entropy<B: Backend>(
    input: SoftmaxInput<FloatTensor<B>, IntTensor<B>>,
) -> FloatTensor<B> {
    let softmax = BlockedSoftmax::<B>::new(input, BLOCK_LOGITS);
    primitive(softmax.loss(softmax.normalizers()))
}

pub(super) fn softmax_cross_entropy_gradients<B: Backend>(
    input: SoftmaxInput<FloatTensor<B>, IntTensor<B>>,
) -> SoftmaxGradients<FloatTensor<B>> {
    softmax_gradients_by_blocks::<B>(input, BLOCK_LOGITS)
}

/// The same, with at most so many logits in a block.
pub(super) fn softmax_gradients_by_blocks<B: Backend>(
    input: SoftmaxInput<FloatTensor<B>, IntTensor<B>>,
    logits: usize,
) -> SoftmaxGradients<FloatTensor<B>> {
    let softmax = BlockedSoftmax::<B>::new(input, logits);
    let normalizers = softmax.normalizers();
    let [by_users, by_items] = softmax.gradients(&normalizers);
    SoftmaxGradients {
        loss: primitive(softmax.loss(normalizers)),
        users: primitive(by_users),
        items: primitive(by_items),
    }
}

pub(super) fn softmax_cross_entropy_backward<B: Backend>(
    gradient: FloatTensor<B>,
    of_loss: SoftmaxGradients<FloatTensor<B>>,
) -> [FloatTensor<B>; 2] {
    let gradient: Tensor<B, 1> = tensor::<B, 1>(gradient);
    [of_loss.users, of_loss.items].map(|of_loss| {
        let of_loss: Tensor<B, 2> = tensor::<B, 2>(of_loss);
        primitive(of_loss * gradient.clone().unsqueeze())
    })
}

/// Where tokens of packed sequences lie in a padded batch.
struct Places<B: Backend> {
    batch: usize,
    len: usize,
    /// Which token lies at each place of the padded batch, `[batch * len]`; 0 at padding.
    packed: Tensor<B, 1, Int>,
    /// Where each token lies there, `[tokens]`.
    padded: Tensor<B, 1, Int>,
    /// 1 at real tokens, `[batch, len, 1]`.
    real: Tensor<B, 3>,
}

impl<B: Backend> Places<B> {
    fn new(lengths: &[usize], device: &B::Device) -> Self {
        let (batch, len) = (lengths.len(), lengths.iter().max().copied().unwrap_or(0));
        let mut packed = vec![0i32; batch * len];
        let mut padded = Vec::new();
        for (row, &length) in lengths.iter().enumerate() {
            let start = row * len;
            for (place, packed) in packed[start..start + length].iter_mut().enumerate() {
                *packed = padded.len() as i32;
                padded.push((start + place) as i32);
            }
        }
        Self {
            batch,
            len,
            packed: Tensor::from_data(packed.as_slice(), device),
            padded: Tensor::from_data(padded.as_slice(), device),
            real: real_steps(lengths, len, device),
        }
    }

    /// `[tokens, width]` as `[batch, len, width]`, with the first token's values at padding.
    fn pad(&self, values: Tensor<B, 2>) -> Tensor<B, 3> {
        let width = values.dims()[1];
        ops::select_rows(values, self.packed.clone()).reshape([self.batch, self.len, width])
    }

    /// And back.
    fn pack(&self, padded: Tensor<B, 3>) -> Tensor<B, 2> {
        let [batch, len, width] = padded.dims();
        let rows = padded.reshape([batch * len, width]);
        ops::select_rows(rows, self.padded.clone())
    }
}

/// How many attention weights are made at a time at most, unless they are of one query a sequence: 64 MiB.
const BLOCK_WEIGHTS: usize = 1 << 24;

/// Attention over a padded batch, a block of queries at a time: of a block of `n` queries that ends before
/// place `end`, there are weights `[batch, heads, n, end]`.
struct PaddedAttention<B: Backend> {
    places: Places<B>,
    lengths: Arc<[usize]>,
    heads: usize,
    size: usize,
    queries: Tensor<B, 4>,
    keys: Tensor<B, 4>,
    values: Tensor<B, 4>,
}

impl<B: Backend> PaddedAttention<B> {
    fn new(projected: FloatTensor<B>, lengths: &Arc<[usize]>, heads: usize) -> Self {
        let projected: Tensor<B, 2> = tensor::<B, 2>(projected);
        let device = projected.device();
        let dim = projected.dims()[1] / 3;
        let places = Places::new(lengths, &device);
        let size = dim / heads;
        let [queries, keys, values] = [0, 1, 2].map(|part| {
            let part = projected.clone().narrow(1, part * dim, dim);
            of_heads(&places, part, heads)
        });
        Self {
            places,
            lengths: lengths.clone(),
            heads,
            size,
            queries,
            keys,
            values,
        }
    }

    /// Blocks of queries of which each has at most so many weights, or is of one query.
    fn blocks(&self, weights: usize) -> impl Iterator<Item = Range<usize>> {
        let Places { batch, len, .. } = self.places;
        let of_query = (batch * self.heads * len).max(1);
        let size = (weights / of_query).max(1);
        (0..len)
            .step_by(size)
            .map(move |start| start..len.min(start + size))
    }

    /// `[batch, heads, len, size]` as `[tokens, dim]`.
    fn join(&self, heads: Tensor<B, 4>) -> Tensor<B, 2> {
        let [batch, len] = [self.places.batch, self.places.len];
        let joined = heads
            .swap_dims(1, 2)
            .reshape([batch, len, self.heads * self.size]);
        self.places.pack(joined)
    }

    /// The keys that a block's queries may look at.
    fn keys(&self, block: &Range<usize>) -> Tensor<B, 4> {
        self.keys.clone().narrow(2, 0, block.end)
    }

    /// Their values.
    fn values(&self, block: &Range<usize>) -> Tensor<B, 4> {
        self.values.clone().narrow(2, 0, block.end)
    }

    fn products(&self, block: &Range<usize>) -> Tensor<B, 4> {
        of_block(&self.queries, block).matmul(self.keys(block).swap_dims(2, 3))
    }

    /// Values with another one where a key comes after its query.
    fn causal(&self, values: Tensor<B, 4>, block: &Range<usize>, future: f32) -> Tensor<B, 4> {
        let shape = [block.len(), block.end];
        let offset = block.start as i64;
        let mask = Tensor::<B, 2, Bool>::tril_mask(shape, offset, &values.device());
        values.mask_fill(mask.unsqueeze(), future)
    }

    fn softmax(&self, block: &Range<usize>) -> Tensor<B, 4> {
        let scores = self.products(block).div_scalar((self.size as f64).sqrt());
        activation::softmax(self.causal(scores, block, f32::NEG_INFINITY), 3)
    }

    /// 0 where a weight is dropped, and more than 1 where it is kept.
    fn mask(&self, (seed, probability): (u64, f64), block: &Range<usize>) -> Tensor<B, 4> {
        let Places { batch, len, .. } = self.places;
        let tables = batch * self.heads;
        let bits = RandomBits {
            seed,
            first: (block.start * len) as u64,
            shape: [tables, block.len(), block.end],
            strides: [(len * len) as u64, len as u64],
        };
        let mask = dropout_mask(&bits, probability, &self.places.real.device());
        mask.reshape([batch, self.heads, block.len(), block.end])
    }

    /// The distances of a block's pairs in positions `[n * end]` and the classes of those in time
    /// `[batch * n * end]`, 0 where a key comes after its query.
    fn distances(&self, classes: &[u8], block: &Range<usize>) -> [Tensor<B, 1, Int>; 2] {
        let (batch, pairs) = (self.places.batch, block.len() * block.end);
        let mut positions = vec![0i32; pairs];
        let mut times = vec![0i32; batch * pairs];
        for (query, positions) in block.clone().zip(positions.chunks_exact_mut(block.end)) {
            for (key, position) in positions[..=query].iter_mut().enumerate() {
                *position = (query - key) as i32;
            }
        }
        let mut of_row = classes;
        for (&length, times) in self.lengths.iter().zip(times.chunks_exact_mut(pairs)) {
            for (query, times) in block.clone().zip(times.chunks_exact_mut(block.end)) {
                if query < length {
                    let before = query * (query + 1) / 2;
                    let classes = &of_row[before..=before + query];
                    for (time, &class) in times.iter_mut().zip(classes) {
                        *time = i32::from(class);
                    }
                }
            }
            of_row = &of_row[length * (length + 1) / 2..];
        }
        let device = self.places.real.device();
        [positions, times].map(|values| Tensor::from_data(values.as_slice(), &device))
    }

    /// Products with biases, `[batch, heads, n, end]`.
    fn biased(
        &self,
        biases: &AttentionBiases<FloatTensor<B>>,
        distances: &[Tensor<B, 1, Int>; 2],
        block: &Range<usize>,
    ) -> Tensor<B, 4> {
        let [positions, times] = distances;
        let of = |table: &FloatTensor<B>, classes: &Tensor<B, 1, Int>| {
            let shape = [block.len(), block.end];
            let rows = classes.dims()[0] / (shape[0] * shape[1]);
            ops::select_rows(tensor(table.clone()), classes.clone())
                .reshape([rows, 1, shape[0], shape[1]])
        };
        self.products(block) + of(&biases.positions, positions) + of(&biases.times, times)
    }
}

/// `[tokens, dim]` as `[batch, heads, len, size]`.
fn of_heads<B: Backend>(places: &Places<B>, values: Tensor<B, 2>, heads: usize) -> Tensor<B, 4> {
    let size = values.dims()[1] / heads;
    (places.pad(values))
        .reshape([places.batch, places.len, heads, size])
        .swap_dims(1, 2)
}

/// A block's queries, or what belongs to each of them, out of `[batch, heads, len, size]`.
fn of_block<B: Backend>(values: &Tensor<B, 4>, block: &Range<usize>) -> Tensor<B, 4> {
    values.clone().narrow(2, block.start, block.len())
}

pub(super) fn attention<B: Backend>(
    input: AttentionInput<FloatTensor<B>>,
) -> AttentionOutput<FloatTensor<B>> {
    attention_by_blocks::<B>(input, BLOCK_WEIGHTS)
}

/// The same, with at most so many weights at a time.
pub(super) fn attention_by_blocks<B: Backend>(
    input: AttentionInput<FloatTensor<B>>,
    weights: usize,
) -> AttentionOutput<FloatTensor<B>> {
    let padded = PaddedAttention::<B>::new(input.projected, &input.lengths, input.heads);
    let blocks = padded.blocks(weights).map(|block| {
        let weights = match &input.scoring {
            AttentionScoring::Softmax { dropout } => match *dropout {
                Some(dropout) => padded.softmax(&block) * padded.mask(dropout, &block),
                None => padded.softmax(&block),
            },
            AttentionScoring::Silu(biases) => {
                let distances = padded.distances(&biases.classes, &block);
                let weights = activation::silu(padded.biased(biases, &distances, &block));
                padded.causal(weights.div_scalar(biases.divisor), &block, 0.0)
            }
        };
        weights.matmul(padded.values(&block))
    });
    let gathered = padded.join(Tensor::cat(blocks.collect(), 2));
    AttentionOutput {
        saved: primitive(Tensor::<B, 1>::zeros([1], &gathered.device())),
        gathered: primitive(gathered),
    }
}

pub(super) fn attention_backward<B: Backend>(
    gradient: FloatTensor<B>,
    input: AttentionInput<FloatTensor<B>>,
    _saved: FloatTensor<B>,
) -> AttentionGradients<FloatTensor<B>> {
    attention_backward_by_blocks::<B>(gradient, input, BLOCK_WEIGHTS)
}

/// The same, with at most so many weights at a time.
pub(super) fn attention_backward_by_blocks<B: Backend>(
    gradient: FloatTensor<B>,
    input: AttentionInput<FloatTensor<B>>,
    weights: usize,
) -> AttentionGradients<FloatTensor<B>> {
    let padded = PaddedAttention::<B>::new(input.projected, &input.lengths, input.heads);
    let gradient = of_heads(&padded.places, tensor::<B, 2>(gradient), input.heads)
        * padded.places.real.clone().unsqueeze_dim(1);
    let zeros = || padded.keys.zeros_like();
    let mut by_queries = Vec::new();
    let [mut by_keys, mut by_values] = [zeros(), zeros()];
    let mut by_biases = match &input.scoring {
        AttentionScoring::Softmax { .. } => None,
        AttentionScoring::Silu(biases) => Some([&biases.positions, &biases.times].map(|table| {
            let table: Tensor<B, 2> = tensor::<B, 2>(table.clone());
            table.zeros_like()
        })),
    };
    for block in padded.blocks(weights) {
        let gradient = of_block(&gradient, &block);
        let by_weights = (gradient.clone()).matmul(padded.values(&block).swap_dims(2, 3));
        let (by_products, weights) = match &input.scoring {
            AttentionScoring::Softmax { dropout } => {
                let weights = padded.softmax(&block);
                let mask = dropout.map(|dropout| padded.mask(dropout, &block));
                let (dropped, by_weights) = match mask {
                    Some(mask) => (weights.clone() * mask.clone(), by_weights * mask),
                    None => (weights.clone(), by_weights),
                };
                let mean = (weights.clone() * by_weights.clone()).sum_dim(3);
                let by_scores = weights * (by_weights - mean);
                (by_scores.div_scalar((padded.size as f64).sqrt()), dropped)
            }
            AttentionScoring::Silu(biases) => {
                let distances = padded.distances(&biases.classes, &block);
                let scores = padded.biased(biases, &distances, &block);
                let gate = activation::sigmoid(scores.clone());
                let causal = |values: Tensor<B, 4>| {
                    padded.causal(values.div_scalar(biases.divisor), &block, 0.0)
                };
                let weights = causal(scores.clone() * gate.clone());
                let slope = scores * (gate.clone().neg().add_scalar(1.0));
                let slope = gate * slope.add_scalar(1.0);
                let by_scores = causal(by_weights * slope);
                let of_pairs = by_scores.clone().sum_dim(1);
                let [positions, times] = distances;
                by_biases = by_biases.map(|[by_positions, by_times]| {
                    [
                        add_by_class(by_positions, positions, of_pairs.clone().sum_dim(0)),
                        add_by_class(by_times, times, of_pairs),
                    ]
                });
                (by_scores, weights)
            }
        };
        by_queries.push(by_products.clone().matmul(padded.keys(&block)));
        let queries = of_block(&padded.queries, &block);
        by_keys = add_to_first(by_keys, by_products.swap_dims(2, 3).matmul(queries));
        by_values = add_to_first(by_values, weights.swap_dims(2, 3).matmul(gradient));
    }
    let parts = [Tensor::cat(by_queries, 2), by_keys, by_values].map(|part| padded.join(part));
    AttentionGradients {
        projected: primitive(Tensor::cat(parts.to_vec(), 1)),
        biases: by_biases.map(|biases| biases.map(primitive)),
    }
}

/// `[batch, heads, len, size]` with values added to its first keys.
fn add_to_first<B: Backend>(all: Tensor<B, 4>, values: Tensor<B, 4>) -> Tensor<B, 4> {
    let [batch, heads, count, size] = values.dims();
    let places = [0..batch, 0..heads, 0..count, 0..size];
    let sum = all.clone().narrow(2, 0, count) + values;
    all.slice_assign(places, sum)
}

/// `[classes, 1]` with each pair's value added to that of its class.
fn add_by_class<B: Backend>(
    table: Tensor<B, 2>,
    classes: Tensor<B, 1, Int>,
    of_pairs: Tensor<B, 4>,
) -> Tensor<B, 2> {
    let [pairs] = classes.dims();
    let of_pairs = of_pairs.reshape([pairs, 1]);
    table.select_assign(0, classes, of_pairs, IndexingUpdateOp::Add)
}

pub(super) fn drop_values<B: Backend>(
    values: FloatTensor<B>,
    probability: f64,
    seed: u64,
) -> FloatTensor<B> {
    let shape = values.shape();
    let bits = RandomBits::first(seed, shape.num_elements());
    let mask = dropout_mask::<B>(&bits, probability, &B::float_device(&values));
    B::float_mul(values, B::float_reshape(primitive(mask), shape))
}

/// 0 where a value is dropped, and more than 1 where it is kept, `[places]`.
fn dropout_mask<B: Backend>(
    bits: &RandomBits,
    probability: f64,
    device: &B::Device,
) -> Tensor<B, 1> {
    let kept = Kept::of(probability);
    let bits = Tensor::<B, 1, Int>::from_primitive(B::random_bits(bits, device));
    bits.lower_equal_elem(kept.last())
        .float()
        .mul_scalar(kept.scale)
}

pub(super) fn random_bits<B: Backend>(bits: &RandomBits, device: &B::Device) -> IntTensor<B> {
    let drawn = TensorData::new(bits.on_host(), [bits.count()]);
    Tensor::<B, 1, Int>::from_data(drawn, device).into_primitive()
}

/// By one triangular matrix over a padded batch.
pub(super) fn causal_convolution<B: Backend>(
    values: FloatTensor<B>,
    lengths: &[usize],
    taps: &[f32],
    transposed: bool,
) -> FloatTensor<B> {
    let values: Tensor<B, 2> = tensor::<B, 2>(values);
    let places = Places::<B>::new(lengths, &values.device());
    let len = places.len;
    let mut filter = vec![0.0f32; len * len];
    for row in 0..len {
        for column in 0..=row {
            filter[row * len + column] = taps[row - column];
        }
    }
    let filter = Tensor::<B, 2>::from_data(TensorData::new(filter, [len, len]), &values.device());
    let filter = if transposed {
        filter.transpose()
    } else {
        filter
    };
    let padded = places.pad(values) * places.real.clone();
    primitive(places.pack(filter.unsqueeze::<3>().matmul(padded)))
}

pub(super) fn linear<B: Backend>(
    input: LinearInput<FloatTensor<B>>,
) -> LinearOutput<FloatTensor<B>> {
    let values: Tensor<B, 2> = tensor::<B, 2>(input.values);
    let bias: Tensor<B, 1> = tensor::<B, 1>(input.bias);
    let before = values.matmul(tensor::<B, 2>(input.weight)) + bias.unsqueeze();
    let (outputs, saved) = match input.activation {
        Activation::None => (before.clone(), before),
        Activation::Relu => {
            let outputs = activation::relu(before);
            (outputs.clone(), outputs)
        }
        Activation::Silu => (activation::silu(before.clone()), before),
        Activation::Gelu => (activation::gelu(before.clone()), before),
    };
    LinearOutput {
        outputs: primitive(outputs),
        saved: primitive(saved),
    }
}

pub(super) fn linear_backward<B: Backend>(
    gradient: FloatTensor<B>,
    input: LinearInput<FloatTensor<B>>,
    saved: FloatTensor<B>,
) -> [FloatTensor<B>; 3] {
    let gradient: Tensor<B, 2> = tensor::<B, 2>(gradient);
    let saved: Tensor<B, 2> = tensor::<B, 2>(saved);
    let by_before = match input.activation {
        Activation::None => gradient,
        Activation::Relu => {
            let inactive = saved.lower_equal_elem(0.0);
            gradient.mask_fill(inactive, 0.0)
        }
        Activation::Silu => {
            let gate = activation::sigmoid(saved.clone());
            let slope = saved * gate.clone().neg().add_scalar(1.0);
            gradient * gate * slope.add_scalar(1.0)
        }
        Activation::Gelu => {
            let scaled = saved.clone().mul_scalar(std::f64::consts::FRAC_1_SQRT_2);
            let below = scaled.erf().add_scalar(1.0).mul_scalar(0.5);
            let density = saved.clone().square().mul_scalar(-0.5).exp();
            let density = density.div_scalar(std::f64::consts::TAU.sqrt());
            gradient * (below + saved * density)
        }
    };
    let values: Tensor<B, 2> = tensor::<B, 2>(input.values);
    let weight: Tensor<B, 2> = tensor::<B, 2>(input.weight);
    [
        primitive(by_before.clone().matmul(weight.transpose())),
        primitive(values.transpose().matmul(by_before.clone())),
        primitive(by_before.sum_dim(0).squeeze_dim::<1>(0)),
    ]
}

/// Rows with mean 0 and variance 1, and one over each one's deviation `[rows, 1]`.
fn normal<B: Backend>(values: Tensor<B, 2>, epsilon: f64) -> (Tensor<B, 2>, Tensor<B, 2>) {
    let centered = values.clone() - values.mean_dim(1);
    let variance = centered.clone().square().mean_dim(1);
    let scale = variance.add_scalar(epsilon).sqrt().recip();
    (centered * scale.clone(), scale)
}

pub(super) fn normalize_rows<B: Backend>(input: LayerNormInput<FloatTensor<B>>) -> FloatTensor<B> {
    let (normal, _) = normal(tensor::<B, 2>(input.values), input.epsilon);
    let [gamma, beta] = [input.gamma, input.beta].map(|values| tensor::<B, 1>(values));
    primitive(normal * gamma.unsqueeze() + beta.unsqueeze())
}

pub(super) fn normalize_rows_backward<B: Backend>(
    gradient: FloatTensor<B>,
    input: LayerNormInput<FloatTensor<B>>,
) -> [FloatTensor<B>; 3] {
    let gradient: Tensor<B, 2> = tensor::<B, 2>(gradient);
    let gamma: Tensor<B, 1> = tensor::<B, 1>(input.gamma);
    let (normal, scale) = normal(tensor::<B, 2>(input.values), input.epsilon);
    let by_normal = gradient.clone() * gamma.unsqueeze();
    let along = (by_normal.clone() * normal.clone()).mean_dim(1);
    let by_values = scale * (by_normal.clone() - by_normal.mean_dim(1) - normal.clone() * along);
    let columns = |values: Tensor<B, 2>| primitive(values.sum_dim(0).squeeze_dim::<1>(0));
    [
        primitive(by_values),
        columns(gradient.clone() * normal),
        columns(gradient),
    ]
}

pub(super) fn adam_step<B: Backend>(
    state: AdamState<FloatTensor<B>>,
    gradient: FloatTensor<B>,
    step: AdamStep,
) -> AdamState<FloatTensor<B>> {
    let shape = state.parameter.shape();
    let flat = |values: FloatTensor<B>| {
        let count = values.shape().num_elements();
        tensor::<B, 1>(B::float_reshape(values, Shape::new([count])))
    };
    let shaped = |values: Tensor<B, 1>| B::float_reshape(primitive(values), shape.clone());
    let gradient = flat(gradient);
    let moment_1 = flat(state.moment_1).mul_scalar(step.beta_1)
        + gradient.clone().mul_scalar(1.0 - step.beta_1);
    let moment_2 = flat(state.moment_2).mul_scalar(step.beta_2)
        + gradient.square().mul_scalar(1.0 - step.beta_2);
    let (step_size, moment_2_scale) = step.corrections();
    let root = moment_2
        .clone()
        .sqrt()
        .mul_scalar(moment_2_scale)
        .add_scalar(step.epsilon);
    let parameter = flat(state.parameter) - moment_1.clone().mul_scalar(step_size) / root;
    AdamState {
        parameter: shaped(parameter),
        moment_1: shaped(moment_1),
        moment_2: shaped(moment_2),
    }
}

pub(super) fn select_rows<B: Backend>(
    table: FloatTensor<B>,
    indices: IntTensor<B>,
) -> FloatTensor<B> {
    in_single::<B>(B::float_select(table, 0, indices))
}

/// Values of half precision in single.
pub(super) fn in_single<B: Backend>(rows: FloatTensor<B>) -> FloatTensor<B> {
    match rows.dtype() {
        DType::F16 => B::float_cast(rows, FloatDType::F32),
        _ => rows,
    }
}

pub(super) fn replace_rows<B: Backend>(
    table: FloatTensor<B>,
    indices: IntTensor<B>,
    values: FloatTensor<B>,
    seed: u64,
) -> FloatTensor<B> {
    let values = match table.dtype() {
        DType::F16 => {
            let rounded = rounded_to_half(tensor::<B, 2>(values), seed);
            B::float_cast(primitive(rounded), FloatDType::F16)
        }
        _ => values,
    };
    // A number less itself is 0, and nothing is rounded where it is added to that.
    let old = B::float_select(table.clone(), 0, indices.clone());
    let without = B::float_select_add(table, 0, indices.clone(), B::float_neg(old));
    B::float_select_add(without, 0, indices, values)
}

/// Values that half precision holds, each of which is a neighbor of what it was, by chance.
fn rounded_to_half<B: Backend>(values: Tensor<B, 2>, seed: u64) -> Tensor<B, 2> {
    /// The smallest number that has all 11 digits.
    const LEAST: f64 = 1.0 / 16_384.0;
    const MOST: f64 = crate::kernels::half::LARGEST_HALF as f64;
    let shape = values.dims();
    let bits = RandomBits::first(seed, shape[0] * shape[1]);
    let bits = Tensor::<B, 1, Int>::from_primitive(B::random_bits(&bits, &values.device()));
    // The upper 13, of which the first is a sign here.
    let chances = bits
        .bitwise_right_shift_scalar(19.elem())
        .float()
        .reshape(shape);
    let chances = chances.div_scalar(8192.0).add_scalar(0.5);
    // The logarithm of a number just below a power of two may be that of the power, whose unit is
    // twice as large; it is then rounded to fewer digits than it could be, and its mean stays.
    let sizes = values.clone().abs();
    let exponent = sizes.clone().clamp(LEAST, MOST).log();
    let exponent = exponent.div_scalar(std::f64::consts::LN_2).floor();
    let unit = Tensor::from_floats([[2.0]], &values.device()).powf(exponent);
    let unit = unit.div_scalar(1024.0);
    let moved = (sizes / unit.clone() + chances).floor() * unit;
    moved.clamp_max(MOST) * values.sign()
}

pub(super) fn adam_step_rows<B: Backend>(
    state: AdamState<FloatTensor<B>>,
    indices: IntTensor<B>,
    gradient: FloatTensor<B>,
    step: AdamStep,
) -> AdamState<FloatTensor<B>> {
    let rows = |table| B::select_rows(table, indices.clone());
    let before = state.clone().map(rows);
    let after = B::adam_step(before, gradient, step);
    let put = |table, after| B::replace_rows(table, indices.clone(), after, step.time as u64);
    AdamState {
        parameter: put(state.parameter, after.parameter),
        moment_1: put(state.moment_1, after.moment_1),
        moment_2: put(state.moment_2, after.moment_2),
    }
}
