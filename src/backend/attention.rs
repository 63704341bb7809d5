//! Causal self-attention over packed sequences.

use std::sync::Arc;

use burn::tensor::backend::Backend as BurnBackend;
use burn::tensor::ops::FloatTensor;
use burn::tensor::{Tensor, TensorMetadata};

use super::Backend;
use super::operations::Fused;
use super::padded_attention::{AttentionScoring, BLOCK_WEIGHTS, PaddedAttention};
use super::primitives::{from_values, primitive, tensor};
use crate::kernels::attention::{Attention, Biases, Scoring};

/// Causal self-attention: the values that each token gathers, `[tokens, dim]`, from itself and the
/// tokens before it: `projected` `[tokens, 3 * dim]` has queries, keys and values side by side,
/// each divided among `heads`, of sequences that lie one after another. Weights are dropped by a
/// seed and a probability, where they are given.
///
/// On CPU backends this never makes the weights of more than a few tokens.
///
/// # Panics
/// When the shapes don't fit each other or a sequence is empty.
pub fn causal_attention<B: Backend>(
    projected: Tensor<B, 2>,
    lengths: &Arc<[usize]>,
    heads: usize,
    dropout: Option<(u64, f64)>,
) -> Tensor<B, 2> {
    let dropout = dropout.filter(|&(_, probability)| probability > 0.0);
    let scoring = AttentionScoring::Softmax { dropout };
    let operation = FusedAttention::new(&projected, lengths, heads, scoring);
    tensor(B::fused(operation, [primitive(projected)]))
}

/// Causal self-attention whose weights are `silu(product + biases) / divisor`, not normalized, as
/// HSTU has it; else as [`causal_attention`].
///
/// `biases` are by the distance of two tokens in positions, `[max_len, 1]`, and by the class of
/// their distance in time, `[classes, 1]`; `classes` has the class of each token's distance from
/// each one up to itself, sequence after sequence and token after token.
///
/// # Panics
/// As [`causal_attention`], and when there are fewer biases of positions than tokens in a sequence,
/// or not one class for each pair of tokens.
pub(crate) fn silu_attention<B: Backend>(
    projected: Tensor<B, 2>,
    lengths: &Arc<[usize]>,
    heads: usize,
    divisor: f64,
    biases: [Tensor<B, 2>; 2],
    classes: Arc<[u8]>,
) -> Tensor<B, 2> {
    let [positions, times] = biases.each_ref().map(Tensor::dims);
    let longest = lengths.iter().max().copied().unwrap_or(0);
    let pairs: usize = lengths.iter().map(|len| len * (len + 1) / 2).sum();
    assert!(
        positions[1] == 1 && times[1] == 1 && longest <= positions[0],
        "a bias for each distance"
    );
    assert_eq!(classes.len(), pairs, "one class for each pair");
    let most = classes.iter().max();
    assert!(
        most.is_none_or(|&class| usize::from(class) < times[0]),
        "a bias for each class"
    );
    let scoring = AttentionScoring::Silu { divisor, classes };
    let operation = FusedAttention::new(&projected, lengths, heads, scoring);
    let [positions, times] = biases;
    let operands = [projected, positions, times].map(primitive);
    tensor(B::fused(operation, operands))
}

/// Causal self-attention; its operands are the queries, keys and values side by side, and for
/// [`AttentionScoring::Silu`] the biases of positions and of times.
#[derive(Debug, Clone)]
struct FusedAttention {
    /// The number of tokens of each sequence; none of them 0.
    lengths: Arc<[usize]>,
    heads: usize,
    scoring: AttentionScoring,
}

impl FusedAttention {
    fn new<B: BurnBackend>(
        projected: &Tensor<B, 2>,
        lengths: &Arc<[usize]>,
        heads: usize,
        scoring: AttentionScoring,
    ) -> Self {
        let [tokens, width] = projected.dims();
        assert_eq!(
            width % (3 * heads),
            0,
            "three parts, divided among the heads"
        );
        assert!(lengths.iter().all(|&len| len > 0), "no sequence is empty");
        let all: usize = lengths.iter().sum();
        assert_eq!(tokens, all, "sequences have all tokens");
        Self {
            lengths: lengths.clone(),
            heads,
            scoring,
        }
    }

    /// The values that tokens gather, by ordinary tensor operations with at most `weights` weights
    /// at a time.
    fn gather_by_blocks<B: Backend, const N: usize>(
        &self,
        operands: [FloatTensor<B>; N],
        weights: usize,
    ) -> FloatTensor<B> {
        let padded = PaddedAttention::<B>::new(operands, &self.lengths, self.heads);
        padded.gathered(&self.scoring, weights)
    }

    /// The gradients by the operands, with at most `weights` weights at a time.
    fn gradients_by_blocks<B: Backend, const N: usize>(
        &self,
        gradient: FloatTensor<B>,
        operands: [FloatTensor<B>; N],
        weights: usize,
    ) -> Vec<FloatTensor<B>> {
        let padded = PaddedAttention::<B>::new(operands, &self.lengths, self.heads);
        padded.gradients(gradient, &self.scoring, weights)
    }

    /// Calls a kernel on the operands.
    fn on_slices<B: Backend, const N: usize, R>(
        &self,
        operands: [FloatTensor<B>; N],
        kernel: impl FnOnce(Attention<'_>) -> R,
    ) -> R {
        let [_, width] = operands[0].shape().dims();
        let floats = operands.map(B::floats);
        let scoring = match (&self.scoring, &floats[..]) {
            (AttentionScoring::Silu { divisor, classes }, [_, positions, times]) => {
                Scoring::Silu(Biases {
                    divisor: *divisor as f32,
                    positions,
                    times,
                    classes,
                })
            }
            (AttentionScoring::Silu { .. }, _) => unreachable!("biases are operands"),
            (&AttentionScoring::Softmax { dropout }, _) => Scoring::Softmax {
                dropout,
                padded_len: self.lengths.iter().max().copied().unwrap_or(0),
            },
        };
        kernel(Attention {
            projected: &floats[0],
            dim: width / 3,
            heads: self.heads,
            lengths: &self.lengths,
            scoring,
        })
    }
}

impl<I, const N: usize> Fused<I, N> for FusedAttention {
    /// The operands and, of kernels, the normalizers.
    type Saved<B: BurnBackend> = ([FloatTensor<B>; N], Option<FloatTensor<B>>);

    fn by_tensors<B: Backend<IntTensorPrimitive = I>>(
        &self,
        operands: [FloatTensor<B>; N],
    ) -> (FloatTensor<B>, Self::Saved<B>) {
        let gathered = self.gather_by_blocks::<B, N>(operands.clone(), BLOCK_WEIGHTS);
        (gathered, (operands, None))
    }

    fn by_kernels<B: Backend<IntTensorPrimitive = I>>(
        &self,
        operands: [FloatTensor<B>; N],
    ) -> (FloatTensor<B>, Self::Saved<B>) {
        let [tokens, width] = operands[0].shape().dims();
        let (gathered, normalizers) =
            self.on_slices::<B, N, _>(operands.clone(), |attention| attention.forward());
        let normalizers = from_values::<B>(normalizers, [tokens, self.heads]);
        let gathered = from_values::<B>(gathered, [tokens, width / 3]);
        (gathered, (operands, Some(normalizers)))
    }

    fn gradients_by_tensors<B: Backend<IntTensorPrimitive = I>>(
        &self,
        gradient: FloatTensor<B>,
        (operands, _): Self::Saved<B>,
    ) -> Vec<FloatTensor<B>> {
        self.gradients_by_blocks::<B, N>(gradient, operands, BLOCK_WEIGHTS)
    }

    fn gradients_by_kernels<B: Backend<IntTensorPrimitive = I>>(
        &self,
        gradient: FloatTensor<B>,
        (operands, normalizers): Self::Saved<B>,
    ) -> Vec<FloatTensor<B>> {
        let shapes = operands.each_ref().map(|operand| operand.shape());
        let gradient = B::floats(gradient);
        let normalizers = B::floats(normalizers.expect("the kernel has saved them"));
        let by = self.on_slices::<B, N, _>(operands, |attention| {
            attention.backward(&gradient, &normalizers)
        });
        (by.into_iter().zip(shapes))
            .map(|(values, shape)| from_values::<B>(values, shape))
            .collect()
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::backend::Flex;
    use burn_flex::FlexTensor;
    use proptest::prelude::*;

    use super::super::agreement::{
        Numbers, assert_close, assert_same_gradients, floats, tensor, values,
    };
    use super::*;

    /// An operation with the projected tokens and the gradient of what they gather.
    type Case = (FusedAttention, [FlexTensor; 3], FlexTensor);

    /// Sequences shorter and longer than the kernel's blocks of rows.
    fn case(biased: bool) -> impl Strategy<Value = Case> {
        let lengths = prop_oneof![
            proptest::collection::vec(1..9usize, 1..6),
            proptest::collection::vec(1..40usize, 1..4),
            proptest::collection::vec(60..70usize, 1..3),
        ];
        (lengths, 1..4usize, 1..20usize, any::<u64>()).prop_flat_map(
            move |(lengths, heads, size, seed)| {
                let tokens: usize = lengths.iter().sum();
                let pairs: usize = lengths.iter().map(|len| len * (len + 1) / 2).sum();
                let dim = heads * size;
                let classes = proptest::collection::vec(0..5u8, pairs);
                let dropout = prop_oneof![Just(None), Just(Some((seed, 0.3)))];
                let numbers = (floats(4 * tokens * dim, 2.0), floats(75, 1.0));
                (numbers, classes, dropout).prop_map(move |(numbers, classes, dropout)| {
                    let scoring = match biased {
                        true => AttentionScoring::Silu {
                            divisor: 7.0,
                            classes: classes.into(),
                        },
                        false => AttentionScoring::Softmax { dropout },
                    };
                    let operation = FusedAttention {
                        lengths: lengths.as_slice().into(),
                        heads,
                        scoring,
                    };
                    let (mut tokens_of, mut biases) =
                        (Numbers::new(numbers.0), Numbers::new(numbers.1));
                    let operands = [
                        tokens_of.tensor([tokens, 3 * dim]),
                        biases.tensor([70, 1]),
                        biases.tensor([5, 1]),
                    ];
                    (operation, operands, tokens_of.tensor([tokens, dim]))
                })
            },
        )
    }

    fn check_agreement<const N: usize>(
        operation: &FusedAttention,
        operands: [FlexTensor; N],
        gradient: FlexTensor,
        weights: usize,
    ) {
        let (by_kernels, kept) = operation.by_kernels::<Flex>(operands.clone());
        let by_blocks = operation.gather_by_blocks::<Flex, N>(operands.clone(), weights);
        assert_close("gathered", by_kernels, by_blocks, 1e-5);
        let by_kernels = operation.gradients_by_kernels::<Flex>(gradient.clone(), kept);
        let by_blocks = operation.gradients_by_blocks::<Flex, N>(gradient, operands, weights);
        assert_eq!(by_kernels.len(), N);
        assert_same_gradients(by_kernels, by_blocks, 1e-4);
    }

    /// Checks the gradient by one of the projected values against differences of the result.
    fn check_gradient<const N: usize>(
        operation: &FusedAttention,
        operands: [FlexTensor; N],
        gradient: FlexTensor,
        place: prop::sample::Index,
    ) {
        const STEP: f32 = 1e-2;
        let (_, kept) = operation.by_kernels::<Flex>(operands.clone());
        let by = operation.gradients_by_kernels::<Flex>(gradient.clone(), kept);
        let shape: [usize; 2] = operands[0].shape().dims();
        let (projected, by) = (values(operands[0].clone()), values(by[0].clone()));
        let place = place.index(projected.len());
        let moved = |step: f32| -> f64 {
            let (mut projected, mut operands) = (projected.clone(), operands.clone());
            projected[place] += step;
            operands[0] = tensor(projected, shape);
            let gathered = values(operation.by_kernels::<Flex>(operands).0);
            let pairs = gathered.iter().zip(values(gradient.clone()));
            pairs
                .map(|(value, by)| f64::from(*value) * f64::from(by))
                .sum()
        };
        let difference = (moved(STEP) - moved(-STEP)) / f64::from(2.0 * STEP);
        let error = (difference - f64::from(by[place])).abs();
        let by = by[place];
        assert!(
            error < 2e-2 * (1.0 + difference.abs()),
            "{difference} is not {by}"
        );
    }

    fn blocks() -> impl Strategy<Value = usize> {
        prop_oneof![1..40usize, 40..4_000usize, Just(1 << 24)]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn kernels_and_tensors_agree((operation, operands, gradient) in case(false), weights in blocks()) {
            let [projected, _, _] = operands;
            check_agreement(&operation, [projected], gradient, weights);
        }

        #[test]
        fn kernels_and_tensors_agree_with_biases((operation, operands, gradient) in case(true), weights in blocks()) {
            check_agreement(&operation, operands, gradient, weights);
        }

        #[test]
        fn gradients_are_those_of_differences((operation, operands, gradient) in case(false), place in any::<prop::sample::Index>()) {
            let [projected, _, _] = operands;
            check_gradient(&operation, [projected], gradient, place);
        }

        #[test]
        fn gradients_are_those_of_differences_with_biases((operation, operands, gradient) in case(true), place in any::<prop::sample::Index>()) {
            check_gradient(&operation, operands, gradient, place);
        }
    }
}
