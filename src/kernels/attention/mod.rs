//! Causal self-attention over packed sequences, a few rows of one head's weights at a time.
//!
//! Sequences lie one after another without padding, and each is attended to by itself, so that the
//! work grows with the squares of the lengths there are and not with the longest. The forward pass
//! keeps what normalizes each row; the backward pass makes the weights again, as in Dao et al.,
//! [FlashAttention](https://arxiv.org/abs/2205.14135).

mod backward;
mod scores;
mod scratch;

use rayon::prelude::*;

use super::matmul::{Matrix, matmul};
use scores::{add_biases, masks, multiply, silu_rows, softmax_rows};
use scratch::Scratch;

/// Rows of weights that are made at a time.
const ROWS: usize = 32;

/// The operands of attention.
#[derive(Clone, Copy)]
pub(crate) struct Attention<'a> {
    /// Queries, keys and values side by side, `[tokens, 3 * dim]`.
    pub(crate) projected: &'a [f32],
    pub(crate) dim: usize,
    pub(crate) heads: usize,
    /// The number of tokens of each sequence.
    pub(crate) lengths: &'a [usize],
    pub(crate) scoring: Scoring<'a>,
}

/// The rule by which products of queries and keys become weights.
#[derive(Clone, Copy)]
pub(crate) enum Scoring<'a> {
    /// A softmax of the products over the root of a head's size.
    Softmax {
        /// Seed and probability of dropping a weight.
        dropout: Option<(u64, f64)>,
        /// The length of padded sequences, by which the masks' places are numbered.
        padded_len: usize,
    },
    /// `silu(product + biases) / divisor`.
    Silu(Biases<'a>),
}

/// Biases, which are added to products before they are activated.
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

    /// The factor of products.
    fn scale(&self) -> f32 {
        match self.scoring {
            Scoring::Softmax { .. } => 1.0 / (self.head_size() as f32).sqrt(),
            Scoring::Silu(_) => 1.0,
        }
    }

    /// The values that each token gathers, `[tokens, dim]`, and the normalizer of each row of each
    /// head, `[tokens, heads]`, which is nothing but for a softmax.
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
}
