//! Attention as ordinary tensor operations, over padded batches.

use std::ops::Range;
use std::sync::Arc;

use burn::tensor::ops::FloatTensor;
use burn::tensor::{Bool, IndexingUpdateOp, Int, Tensor, activation};

use super::dropout::dropout_mask;
use super::padding::PaddedPlaces;
use super::primitives::{primitive, tensor};
use super::random_bits::RandomBits;
use super::{Backend, select_rows};

/// The rule by which products of queries and keys become weights.
#[derive(Debug, Clone)]
pub(super) enum AttentionScoring {
    /// A softmax of the products over the root of a head's size.
    Softmax {
        /// The seed and the probability of dropping a weight, if any are.
        dropout: Option<(u64, f64)>,
    },
    /// `silu(product + biases) / divisor`, by biases of positions and of classes of times.
    Silu { divisor: f64, classes: Arc<[u8]> },
}

/// The most attention weights that are made at a time, unless they are of one query a sequence: 64
/// MiB.
pub(super) const BLOCK_WEIGHTS: usize = 1 << 24;

/// Attention over a padded batch, a block of queries at a time: of a block of `n` queries that ends
/// before place `end`, there are weights `[batch, heads, n, end]`.
pub(super) struct PaddedAttention<B: Backend> {
    places: PaddedPlaces<B>,
    lengths: Arc<[usize]>,
    heads: usize,
    size: usize,
    queries: Tensor<B, 4>,
    keys: Tensor<B, 4>,
    values: Tensor<B, 4>,
    /// The biases of positions and of times, where they are operands.
    biases: Option<[Tensor<B, 2>; 2]>,
}

impl<B: Backend> PaddedAttention<B> {
    /// The operands of attention over sequences of these lengths: the queries, keys and values side
    /// by side, and biases of positions and of times for [`AttentionScoring::Silu`].
    pub(super) fn new<const N: usize>(
        operands: [FloatTensor<B>; N],
        lengths: &Arc<[usize]>,
        heads: usize,
    ) -> Self {
        let mut operands = operands.into_iter().map(tensor::<B, 2>);
        let projected = operands.next().expect("the first operand is always there");
        let biases = operands.next().zip(operands.next());
        let dim = projected.dims()[1] / 3;
        let places = PaddedPlaces::new(lengths, &projected.device());
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
            biases: biases.map(|(positions, times)| [positions, times]),
        }
    }

    /// The values that tokens gather, with at most `weights` weights at a time.
    pub(super) fn gathered(&self, scoring: &AttentionScoring, weights: usize) -> FloatTensor<B> {
        let blocks = self.blocks(weights).map(|block| {
            let weights = match scoring {
                AttentionScoring::Softmax { dropout } => match *dropout {
                    Some(dropout) => self.softmax(&block) * self.mask(dropout, &block),
                    None => self.softmax(&block),
                },
                AttentionScoring::Silu { divisor, classes } => {
                    let distances = self.distances(classes, &block);
                    let weights = activation::silu(self.biased(&distances, &block));
                    self.causal(weights.div_scalar(*divisor), &block, 0.0)
                }
            };
            weights.matmul(self.values(&block))
        });
        primitive(self.join(Tensor::cat(blocks.collect(), 2)))
    }

    /// The gradients by the operands, with at most `weights` weights at a time.
    pub(super) fn gradients(
        &self,
        gradient: FloatTensor<B>,
        scoring: &AttentionScoring,
        weights: usize,
    ) -> Vec<FloatTensor<B>> {
        let gradient = of_heads(&self.places, tensor(gradient), self.heads)
            * self.places.real.clone().unsqueeze_dim(1);
        let zeros = || self.keys.zeros_like();
        let mut by_queries = Vec::new();
        let [mut by_keys, mut by_values] = [zeros(), zeros()];
        let biases = self.biases.as_ref();
        let mut by_biases = biases.map(|biases| biases.each_ref().map(Tensor::zeros_like));
        for block in self.blocks(weights) {
            let gradient = of_block(&gradient, &block);
            let by_weights = (gradient.clone()).matmul(self.values(&block).swap_dims(2, 3));
            let (by_products, weights) = match scoring {
                AttentionScoring::Softmax { dropout } => {
                    self.softmax_gradients(*dropout, by_weights, &block)
                }
                AttentionScoring::Silu { divisor, classes } => {
                    let distances = self.distances(classes, &block);
                    let scores = self.biased(&distances, &block);
                    let (by_scores, weights) =
                        self.silu_gradients(scores, *divisor, by_weights, &block);
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
            by_queries.push(by_products.clone().matmul(self.keys(&block)));
            let queries = of_block(&self.queries, &block);
            by_keys = add_to_first(by_keys, by_products.swap_dims(2, 3).matmul(queries));
            by_values = add_to_first(by_values, weights.swap_dims(2, 3).matmul(gradient));
        }
        let parts = [Tensor::cat(by_queries, 2), by_keys, by_values].map(|part| self.join(part));
        let by_projected = Tensor::cat(parts.to_vec(), 1);
        let by_biases = by_biases.into_iter().flatten();
        std::iter::once(by_projected)
            .chain(by_biases)
            .map(primitive)
            .collect()
    }

    /// Blocks of queries of which each has at most so many weights, or is of one query.
    fn blocks(&self, weights: usize) -> impl Iterator<Item = Range<usize>> {
        let PaddedPlaces { batch, len, .. } = self.places;
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

    /// The gradients of a block's products by those of its weights, and the weights that values are
    /// multiplied by.
    fn softmax_gradients(
        &self,
        dropout: Option<(u64, f64)>,
        by_weights: Tensor<B, 4>,
        block: &Range<usize>,
    ) -> (Tensor<B, 4>, Tensor<B, 4>) {
        let weights = self.softmax(block);
        let mask = dropout.map(|dropout| self.mask(dropout, block));
        let (dropped, by_weights) = match mask {
            Some(mask) => (weights.clone() * mask.clone(), by_weights * mask),
            None => (weights.clone(), by_weights),
        };
        let mean = (weights.clone() * by_weights.clone()).sum_dim(3);
        let by_scores = weights * (by_weights - mean);
        (by_scores.div_scalar((self.size as f64).sqrt()), dropped)
    }

    /// The gradients of a block's scores by those of its weights, and the weights.
    fn silu_gradients(
        &self,
        scores: Tensor<B, 4>,
        divisor: f64,
        by_weights: Tensor<B, 4>,
        block: &Range<usize>,
    ) -> (Tensor<B, 4>, Tensor<B, 4>) {
        let gate = activation::sigmoid(scores.clone());
        let causal = |values: Tensor<B, 4>| self.causal(values.div_scalar(divisor), block, 0.0);
        let weights = causal(scores.clone() * gate.clone());
        let slope = scores * (gate.clone().neg().add_scalar(1.0));
        let slope = gate * slope.add_scalar(1.0);
        (causal(by_weights * slope), weights)
    }

    /// 0 where a weight is dropped, and more than 1 where it is kept.
    fn mask(&self, (seed, probability): (u64, f64), block: &Range<usize>) -> Tensor<B, 4> {
        let PaddedPlaces { batch, len, .. } = self.places;
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
        [positions, times]: &[Tensor<B, 1, Int>; 2],
        block: &Range<usize>,
    ) -> Tensor<B, 4> {
        let [of_positions, of_times] = self.biases.as_ref().expect("biases are operands");
        let of = |table: &Tensor<B, 2>, classes: &Tensor<B, 1, Int>| {
            let shape = [block.len(), block.end];
            let rows = classes.dims()[0] / (shape[0] * shape[1]);
            select_rows(table.clone(), classes.clone()).reshape([rows, 1, shape[0], shape[1]])
        };
        self.products(block) + of(of_positions, positions) + of(of_times, times)
    }
}

/// `[tokens, dim]` as `[batch, heads, len, size]`.
fn of_heads<B: Backend>(
    places: &PaddedPlaces<B>,
    values: Tensor<B, 2>,
    heads: usize,
) -> Tensor<B, 4> {
    let size = values.dims()[1] / heads;
    (places.pad(values))
        .reshape([places.batch, places.len, heads, size])
        .swap_dims(1, 2)
}

/// A block's queries, or what belongs to each of them, out of `[batch, heads, len, size]`.
fn of_block<B: Backend>(values: &Tensor<B, 4>, block: &Range<usize>) -> Tensor<B, 4> {
    values.clone().narrow(2, block.start, block.len())
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
