//! Causal self-attention over packed sequences, a few rows of one head's weights at a time.
//!
//! Sequences lie one after another without padding, and each is attended to by itself, so that the
//! work grows with the squares of the lengths there are and not with the longest. The forward pass
//! keeps what normalizes each row; the backward pass makes the weights again, as in Dao et al.,
//! [FlashAttention](https://arxiv.org/abs/2205.14135).

use rayon::prelude::*;

use super::elementwise::{exp, sigmoid};
use super::matmul::{Matrix, matmul, matmul_add};
use super::{dropout, for_each_instruction_set};

/// How many rows of weights are made at a time.
const ROWS: usize = 32;
/// The sequences are divided among threads into at most this many parts.
const PARTS: usize = 16;

/// What attention is over.
#[derive(Clone, Copy)]
pub(crate) struct Attention<'a> {
    /// Queries, keys and values side by side, `[tokens, 3 * dim]`.
    pub(crate) projected: &'a [f32],
    pub(crate) dim: usize,
    pub(crate) heads: usize,
    /// How many tokens each sequence has.
    pub(crate) lengths: &'a [usize],
    pub(crate) scoring: Scoring<'a>,
}

/// How weights are made of the products of queries and keys.
#[derive(Clone, Copy)]
pub(crate) enum Scoring<'a> {
    /// A softmax of the products over the root of a head's size.
    Softmax {
        /// Seed and probability of dropping a weight.
        dropout: Option<(u64, f64)>,
        /// How long the padded sequences are, by which the masks' places are numbered.
        padded_len: usize,
    },
    /// `silu(product + biases) / divisor`.
    Silu(Biases<'a>),
}

/// What is added to products before they are activated.
#[derive(Clone, Copy)]
pub(crate) struct Biases<'a> {
    pub(crate) divisor: f32,
    /// By the distance in positions, at least as many as the longest sequence has tokens.
    pub(crate) positions: &'a [f32],
    /// By the class of the distance in time.
    pub(crate) times: &'a [f32],
    /// The class of each token's distance from each one up to itself, sequence after sequence and
    /// token after token.
    pub(crate) classes: &'a [u8],
}

/// The gradients of attention.
pub(crate) struct AttentionGradients {
    /// `[tokens, 3 * dim]`.
    pub(crate) projected: Vec<f32>,
    /// By the biases of positions and of times; empty for a softmax.
    pub(crate) positions: Vec<f32>,
    pub(crate) times: Vec<f32>,
}

/// One sequence of a batch.
#[derive(Clone, Copy)]
struct Sequence {
    number: usize,
    /// Its first token.
    start: usize,
    len: usize,
    /// The first of its classes.
    pairs: usize,
}

impl Attention<'_> {
    fn sequences(&self) -> Vec<Sequence> {
        let (mut start, mut pairs) = (0, 0);
        let sequence = |(number, &len): (usize, &usize)| {
            let sequence = Sequence {
                number,
                start,
                len,
                pairs,
            };
            start += len;
            pairs += len * (len + 1) / 2;
            sequence
        };
        self.lengths.iter().enumerate().map(sequence).collect()
    }

    fn head_size(&self) -> usize {
        self.dim / self.heads
    }

    /// What the products are multiplied by.
    fn scale(&self) -> f32 {
        match self.scoring {
            Scoring::Softmax { .. } => 1.0 / (self.head_size() as f32).sqrt(),
            Scoring::Silu(_) => 1.0,
        }
    }

    /// What each token gathers, `[tokens, dim]`, and what normalizes each row of each head,
    /// `[tokens, heads]`, which is nothing but for a softmax.
    pub(crate) fn forward(&self) -> (Vec<f32>, Vec<f32>) {
        let sequences = self.sequences();
        let tokens: usize = self.lengths.iter().sum();
        let mut out = vec![0.0; tokens * self.dim];
        let mut normalizers = vec![0.0; tokens * self.heads];
        let mut tasks = Vec::with_capacity(sequences.len());
        let (mut rest, mut rest_of_normalizers) = (&mut out[..], &mut normalizers[..]);
        for sequence in sequences {
            let (of_sequence, others) = rest.split_at_mut(sequence.len * self.dim);
            let (normalizers, other) = rest_of_normalizers.split_at_mut(sequence.len * self.heads);
            tasks.push((sequence, of_sequence, normalizers));
            (rest, rest_of_normalizers) = (others, other);
        }
        tasks.into_par_iter().with_max_len(8).for_each_init(
            Scratch::default,
            |scratch, (sequence, out, normalizers)| {
                for head in 0..self.heads {
                    self.forward_head(sequence, head, scratch, out, normalizers);
                }
            },
        );
        (out, normalizers)
    }

    fn forward_head(
        &self,
        sequence: Sequence,
        head: usize,
        scratch: &mut Scratch,
        out: &mut [f32],
        normalizers: &mut [f32],
    ) {
        let (len, size) = (sequence.len, self.head_size());
        scratch.load(self, sequence, head);
        for first in (0..len).step_by(ROWS) {
            let rows = ROWS.min(len - first);
            let columns = first + rows;
            scratch.products(first, rows, len, size);
            let weights = &mut scratch.weights[..rows * columns];
            match self.scoring {
                Scoring::Softmax {
                    dropout,
                    padded_len,
                } => {
                    let of_rows = &mut scratch.of_rows[..rows];
                    softmax_rows(weights, first, columns, self.scale(), of_rows);
                    for (row, normalizer) in of_rows.iter().enumerate() {
                        normalizers[(first + row) * self.heads + head] = *normalizer;
                    }
                    if let Some(dropout) = dropout {
                        let mask = &mut scratch.mask[..rows * columns];
                        let row = (sequence.number * self.heads + head) * padded_len + first;
                        masks(dropout, row, padded_len, columns, mask);
                        multiply(weights, mask);
                    }
                }
                Scoring::Silu(biases) => {
                    let biases = biases.of(sequence);
                    add_biases(weights, first, columns, &biases);
                    silu_rows(weights, first, columns, 1.0 / biases.divisor);
                }
            }
            let gathered = &mut scratch.gathered[..rows * size];
            let values = Matrix::new(&scratch.values[..columns * size], columns, size);
            matmul(gathered, Matrix::new(weights, rows, columns), values);
            for (row, gathered) in gathered.chunks_exact(size).enumerate() {
                let start = (first + row) * self.dim + head * size;
                out[start..start + size].copy_from_slice(gathered);
            }
        }
    }

    /// The gradients of `Σ gradient · out`, where `normalizers` are what the forward pass gave.
    pub(crate) fn backward(&self, gradient: &[f32], normalizers: &[f32]) -> AttentionGradients {
        let sequences = self.sequences();
        let tokens: usize = self.lengths.iter().sum();
        let mut projected = vec![0.0; tokens * 3 * self.dim];
        let (positions, times) = match self.scoring {
            Scoring::Softmax { .. } => (0, 0),
            Scoring::Silu(biases) => (biases.positions.len(), biases.times.len()),
        };
        let per_part = sequences.len().div_ceil(PARTS).max(1);
        let mut tasks = Vec::with_capacity(PARTS);
        let mut rest = &mut projected[..];
        for part in sequences.chunks(per_part) {
            let tokens: usize = part.iter().map(|sequence| sequence.len).sum();
            let (of_part, others) = rest.split_at_mut(tokens * 3 * self.dim);
            tasks.push((part, of_part));
            rest = others;
        }
        // Parts of sequences that depend on their number alone, so that the sums of biases'
        // gradients are the same on any number of threads.
        let parts: Vec<(Vec<f32>, Vec<f32>)> = tasks
            .into_par_iter()
            .map(|(part, mut projected)| {
                let mut scratch = Scratch::default();
                let mut by_biases = (vec![0.0; positions], vec![0.0; times]);
                for &sequence in part {
                    let (of_sequence, others) = projected.split_at_mut(sequence.len * 3 * self.dim);
                    projected = others;
                    for head in 0..self.heads {
                        let saved = (gradient, normalizers);
                        let by = (&mut *of_sequence, &mut by_biases);
                        self.backward_head(sequence, head, &mut scratch, saved, by);
                    }
                }
                by_biases
            })
            .collect();
        let mut gradients = AttentionGradients {
            projected,
            positions: vec![0.0; positions],
            times: vec![0.0; times],
        };
        for (of_positions, of_times) in parts {
            add(&mut gradients.positions, &of_positions);
            add(&mut gradients.times, &of_times);
        }
        gradients
    }

    fn backward_head(
        &self,
        sequence: Sequence,
        head: usize,
        scratch: &mut Scratch,
        (gradient, normalizers): (&[f32], &[f32]),
        (projected, by_biases): (&mut [f32], &mut (Vec<f32>, Vec<f32>)),
    ) {
        let (len, size, scale) = (sequence.len, self.head_size(), self.scale());
        scratch.load(self, sequence, head);
        scratch.load_gradient(self, sequence, head, gradient);
        for first in (0..len).step_by(ROWS) {
            let rows = ROWS.min(len - first);
            let columns = first + rows;
            scratch.products(first, rows, len, size);
            let Scratch {
                queries,
                keys,
                values_t,
                gradient,
                weights,
                mask,
                by_weights,
                gathered,
                by_keys,
                by_values,
                of_rows,
                ..
            } = &mut *scratch;
            let weights = &mut weights[..rows * columns];
            let by_weights = &mut by_weights[..rows * columns];
            let gradient = Matrix::new(&gradient[first * size..columns * size], rows, size);
            let values_t = Matrix::strided(&values_t[..], size, columns, len);
            matmul(by_weights, gradient, values_t);
            match self.scoring {
                Scoring::Softmax {
                    dropout,
                    padded_len,
                } => {
                    let of_rows = &mut of_rows[..rows];
                    for (row, of_row) in of_rows.iter_mut().enumerate() {
                        let token = sequence.start + first + row;
                        *of_row = normalizers[token * self.heads + head];
                    }
                    softmax_again(weights, first, columns, scale, of_rows);
                    if let Some(dropout) = dropout {
                        let mask = &mut mask[..rows * columns];
                        let row = (sequence.number * self.heads + head) * padded_len + first;
                        masks(dropout, row, padded_len, columns, mask);
                        // What is gathered is by dropped weights, what is normalized by all.
                        multiply(by_weights, mask);
                        multiply(mask, weights);
                        let dropped = Matrix::new(mask, rows, columns).t();
                        matmul_add(&mut by_values[..columns * size], dropped, gradient);
                    } else {
                        let weights = Matrix::new(weights, rows, columns).t();
                        matmul_add(&mut by_values[..columns * size], weights, gradient);
                    }
                    softmax_gradient(by_weights, weights, columns, scale);
                }
                Scoring::Silu(biases) => {
                    let biases = biases.of(sequence);
                    add_biases(weights, first, columns, &biases);
                    silu_gradient(weights, by_weights, first, columns, 1.0 / biases.divisor);
                    let activated = Matrix::new(weights, rows, columns).t();
                    matmul_add(&mut by_values[..columns * size], activated, gradient);
                    add_bias_gradients(by_weights, first, columns, &biases, by_biases);
                }
            }
            let by_products = Matrix::new(by_weights, rows, columns);
            let keys = Matrix::new(&keys[..columns * size], columns, size);
            let by_queries = &mut gathered[..rows * size];
            matmul(by_queries, by_products, keys);
            let queries = Matrix::new(&queries[first * size..columns * size], rows, size);
            matmul_add(&mut by_keys[..columns * size], by_products.t(), queries);
            for (row, by_query) in by_queries.chunks_exact(size).enumerate() {
                let start = (first + row) * 3 * self.dim + head * size;
                projected[start..start + size].copy_from_slice(by_query);
            }
        }
        for (part, by) in [(1, &scratch.by_keys), (2, &scratch.by_values)] {
            for (token, by) in by[..len * size].chunks_exact(size).enumerate() {
                let start = token * 3 * self.dim + part * self.dim + head * size;
                projected[start..start + size].copy_from_slice(by);
            }
        }
    }
}

/// What one head of one sequence needs room for.
#[derive(Default)]
struct Scratch {
    /// `[len, size]` each, and `[size, len]` for the transposed ones.
    queries: Vec<f32>,
    keys: Vec<f32>,
    keys_t: Vec<f32>,
    values: Vec<f32>,
    values_t: Vec<f32>,
    gradient: Vec<f32>,
    by_keys: Vec<f32>,
    by_values: Vec<f32>,
    /// `[ROWS, len]` each.
    weights: Vec<f32>,
    mask: Vec<f32>,
    by_weights: Vec<f32>,
    /// `[ROWS, size]`.
    gathered: Vec<f32>,
    of_rows: Vec<f32>,
}

/// Makes a buffer at least so long; what is in it stays.
fn reserve(buffer: &mut Vec<f32>, len: usize) {
    if buffer.len() < len {
        buffer.resize(len, 0.0);
    }
}

impl Scratch {
    /// A head's queries, keys and values of a sequence, side by side.
    fn load(&mut self, attention: &Attention<'_>, sequence: Sequence, head: usize) {
        let (len, size, dim) = (sequence.len, attention.head_size(), attention.dim);
        for buffer in [
            &mut self.queries,
            &mut self.keys,
            &mut self.keys_t,
            &mut self.values,
            &mut self.values_t,
        ] {
            reserve(buffer, len * size);
        }
        for buffer in [&mut self.weights, &mut self.mask, &mut self.by_weights] {
            reserve(buffer, ROWS * len);
        }
        reserve(&mut self.gathered, ROWS * size);
        reserve(&mut self.of_rows, ROWS);
        let parts = [&mut self.queries, &mut self.keys, &mut self.values];
        for (part, buffer) in parts.into_iter().enumerate() {
            for (token, row) in buffer[..len * size].chunks_exact_mut(size).enumerate() {
                let start = (sequence.start + token) * 3 * dim + part * dim + head * size;
                row.copy_from_slice(&attention.projected[start..start + size]);
            }
        }
        let keys = Matrix::new(&self.keys[..len * size], len, size);
        keys.transpose_into(&mut self.keys_t[..len * size]);
    }

    /// What else the backward pass needs of a head.
    fn load_gradient(
        &mut self,
        attention: &Attention<'_>,
        sequence: Sequence,
        head: usize,
        gradient: &[f32],
    ) {
        let (len, size, dim) = (sequence.len, attention.head_size(), attention.dim);
        for buffer in [&mut self.gradient, &mut self.by_keys, &mut self.by_values] {
            reserve(buffer, len * size);
        }
        let rows = self.gradient[..len * size].chunks_exact_mut(size);
        for (token, row) in rows.enumerate() {
            let start = (sequence.start + token) * dim + head * size;
            row.copy_from_slice(&gradient[start..start + size]);
        }
        self.by_keys[..len * size].fill(0.0);
        self.by_values[..len * size].fill(0.0);
        let values = Matrix::new(&self.values[..len * size], len, size);
        values.transpose_into(&mut self.values_t[..len * size]);
    }

    /// The products of some queries with the keys up to the last of them, in `weights`.
    fn products(&mut self, first: usize, rows: usize, len: usize, size: usize) {
        let columns = first + rows;
        let queries = Matrix::new(&self.queries[first * size..columns * size], rows, size);
        let keys_t = Matrix::strided(&self.keys_t[..len * size], size, columns, len);
        matmul(&mut self.weights[..rows * columns], queries, keys_t);
    }
}

/// The masks `[rows, columns]` of weights of a padded batch `[batch, heads, len, len]`, from a row
/// of it on, so that they do not depend on how the weights are divided.
fn masks(
    (seed, probability): (u64, f64),
    first_row: usize,
    padded_len: usize,
    columns: usize,
    out: &mut [f32],
) {
    for (row, out) in out.chunks_exact_mut(columns).enumerate() {
        let start = (first_row + row) * padded_len;
        dropout::mask(seed, probability, start as u64, out);
    }
}

/// The biases of one sequence.
struct SequenceBiases<'a> {
    divisor: f32,
    positions: &'a [f32],
    times: &'a [f32],
    classes: &'a [u8],
}

impl<'a> Biases<'a> {
    fn of(&self, sequence: Sequence) -> SequenceBiases<'a> {
        let Sequence { len, pairs, .. } = sequence;
        SequenceBiases {
            divisor: self.divisor,
            positions: self.positions,
            times: self.times,
            classes: &self.classes[pairs..pairs + len * (len + 1) / 2],
        }
    }
}

impl SequenceBiases<'_> {
    /// The classes of a token's distances from each one up to itself.
    fn classes_of(&self, token: usize) -> &[u8] {
        let start = token * (token + 1) / 2;
        &self.classes[start..start + token + 1]
    }
}

fn add_biases(scores: &mut [f32], first: usize, columns: usize, biases: &SequenceBiases<'_>) {
    for (row, scores) in scores.chunks_exact_mut(columns).enumerate() {
        let token = first + row;
        let positions = biases.positions[..=token].iter().rev();
        let classes = biases.classes_of(token).iter();
        for ((score, position), &class) in scores.iter_mut().zip(positions).zip(classes) {
            *score += position + biases.times[usize::from(class)];
        }
    }
}

fn add_bias_gradients(
    by_scores: &[f32],
    first: usize,
    columns: usize,
    biases: &SequenceBiases<'_>,
    (by_positions, by_times): &mut (Vec<f32>, Vec<f32>),
) {
    for (row, by_scores) in by_scores.chunks_exact(columns).enumerate() {
        let token = first + row;
        let by_positions = by_positions[..=token].iter_mut().rev();
        let classes = biases.classes_of(token).iter();
        for ((by_score, by_position), &class) in by_scores.iter().zip(by_positions).zip(classes) {
            *by_position += by_score;
            by_times[usize::from(class)] += by_score;
        }
    }
}

fn add(sum: &mut [f32], more: &[f32]) {
    for (sum, more) in sum.iter_mut().zip(more) {
        *sum += more;
    }
}

for_each_instruction_set! {
    fn multiply(values: &mut [f32], factors: &[f32]) {
        for (value, factor) in values.iter_mut().zip(factors) {
            *value *= factor;
        }
    }
}

/// How many sums run beside each other over a row.
const LANES: usize = 16;

#[inline(always)]
fn sum_of(row: &[f32]) -> f32 {
    let mut lanes = [0.0; LANES];
    let chunks = row.chunks_exact(LANES);
    let rest: f32 = chunks.remainder().iter().sum();
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane += value;
        }
    }
    lanes.iter().sum::<f32>() + rest
}

#[inline(always)]
fn largest_of(row: &[f32]) -> f32 {
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let chunks = row.chunks_exact(LANES);
    let rest = chunks
        .remainder()
        .iter()
        .copied()
        .fold(f32::NEG_INFINITY, larger);
    for chunk in chunks {
        for (lane, &value) in lanes.iter_mut().zip(chunk) {
            *lane = larger(*lane, value);
        }
    }
    lanes.into_iter().fold(rest, larger)
}

for_each_instruction_set! {
    /// Makes weights of products: each row a softmax over its first columns, up to its own place,
    /// and 0 beyond. `normalizers` get each row's `ln Σ e^score`.
    fn softmax_rows(products: &mut [f32], first: usize, columns: usize, scale: f32, normalizers: &mut [f32]) {
        let rows = products.chunks_exact_mut(columns).zip(normalizers);
        for (row, (products, normalizer)) in rows.enumerate() {
            let (past, future) = products.split_at_mut(first + row + 1);
            let largest = largest_of(past) * scale;
            for product in past.iter_mut() {
                *product = exp(*product * scale - largest);
            }
            let sum = sum_of(past);
            let share = 1.0 / sum;
            for weight in past {
                *weight *= share;
            }
            future.fill(0.0);
            *normalizer = largest + sum.ln();
        }
    }
}

for_each_instruction_set! {
    /// The same weights again, by the normalizers.
    fn softmax_again(products: &mut [f32], first: usize, columns: usize, scale: f32, normalizers: &[f32]) {
        let rows = products.chunks_exact_mut(columns).zip(normalizers);
        for (row, (products, normalizer)) in rows.enumerate() {
            let (past, future) = products.split_at_mut(first + row + 1);
            for product in past {
                *product = exp(*product * scale - normalizer);
            }
            future.fill(0.0);
        }
    }
}

for_each_instruction_set! {
    /// Makes the gradients by weights those by products. Weights are 0 where nothing is attended to.
    fn softmax_gradient(by_weights: &mut [f32], weights: &[f32], columns: usize, scale: f32) {
        let rows = by_weights.chunks_exact_mut(columns).zip(weights.chunks_exact(columns));
        for (by_weights, weights) in rows {
            for (by_weight, weight) in by_weights.iter_mut().zip(weights) {
                *by_weight *= weight;
            }
            let mean = sum_of(by_weights);
            for (by_weight, weight) in by_weights.iter_mut().zip(weights) {
                *by_weight = (*by_weight - mean * weight) * scale;
            }
        }
    }
}

for_each_instruction_set! {
    /// Makes weights of scores: `silu(score) · scale` up to each row's own place, and 0 beyond.
    fn silu_rows(scores: &mut [f32], first: usize, columns: usize, scale: f32) {
        for (row, scores) in scores.chunks_exact_mut(columns).enumerate() {
            let (past, future) = scores.split_at_mut(first + row + 1);
            for score in past {
                *score *= sigmoid(*score) * scale;
            }
            future.fill(0.0);
        }
    }
}

for_each_instruction_set! {
    /// The same, and makes the gradients by weights those by scores.
    fn silu_gradient(scores: &mut [f32], by_weights: &mut [f32], first: usize, columns: usize, scale: f32) {
        let rows = scores.chunks_exact_mut(columns).zip(by_weights.chunks_exact_mut(columns));
        for (row, (scores, by_weights)) in rows.enumerate() {
            let (past, future) = scores.split_at_mut(first + row + 1);
            let (by_past, by_future) = by_weights.split_at_mut(first + row + 1);
            for (score, by_weight) in past.iter_mut().zip(by_past) {
                let gate = sigmoid(*score);
                *by_weight *= gate * (1.0 + *score * (1.0 - gate)) * scale;
                *score *= gate * scale;
            }
            future.fill(0.0);
            by_future.fill(0.0);
        }
    }
}
