//! Softmax cross-entropy over all items.

use std::fmt::Debug;

use burn::tensor::backend::Backend as BurnBackend;
use burn::tensor::ops::FloatTensor;
use burn::tensor::{Int, Tensor, TensorMetadata};

use super::Backend;
use super::blocked_softmax::{BLOCK_LOGITS, BlockedSoftmax, Operands};
use super::operations::Fused;
use super::primitives::{from_values, integers, primitive, tensor};
use crate::kernels::softmax::Softmax;

/// The mean cross-entropy `[1]` of a softmax over items 1 and up of `items` `[items + 1, dim]`,
/// for `users` `[rows, dim]` and their `targets` `[rows]`.
///
/// `log_correction` `[items + 1]`, where given, is subtracted from each item's logit. On CPU
/// backends this never makes the `[rows, items]` matrix. Negative targets or ones above `items`
/// give a wrong result or a panic, and a row whose target is 0 has none; those of a
/// [`Batcher`](crate::data::Batcher) are neither.
///
/// # Panics
/// When the shapes don't fit each other.
pub fn softmax_cross_entropy<B: Backend>(
    users: Tensor<B, 2>,
    items: Tensor<B, 2>,
    targets: Tensor<B, 1, Int>,
    log_correction: Option<Tensor<B, 1>>,
) -> Tensor<B, 1> {
    weighted_softmax(users, items, targets, log_correction, None)
}

/// As [`softmax_cross_entropy`], with the share of each row in the loss, `[rows]`, in place of the
/// mean where there are some.
pub(crate) fn weighted_softmax<B: Backend>(
    users: Tensor<B, 2>,
    items: Tensor<B, 2>,
    targets: Tensor<B, 1, Int>,
    log_correction: Option<Tensor<B, 1>>,
    shares: Option<Tensor<B, 1>>,
) -> Tensor<B, 1> {
    softmax_over_items(users, items, targets, [log_correction, shares], 1)
}

/// The mean `[1]` over users of `ln Σ e^logit`, the sum being over items 1 and up of `items`
/// `[items + 1, dim]` and over all vectors that a user has: `group` rows of `users` `[rows, dim]`,
/// one after another. `log_correction` `[items + 1]`, where given, is subtracted from each item's
/// logit. `shares` `[rows / group]`, where given, are those of users in place of the mean.
///
/// # Panics
/// When the shapes don't fit each other.
pub(crate) fn log_normalizer<B: Backend>(
    users: Tensor<B, 2>,
    items: Tensor<B, 2>,
    log_correction: Option<Tensor<B, 1>>,
    shares: Option<Tensor<B, 1>>,
    group: usize,
) -> Tensor<B, 1> {
    let [rows, _] = users.dims();
    assert!(
        rows.checked_rem(group) == Some(0),
        "as many vectors for each user"
    );
    let none = Tensor::zeros([rows], &users.device());
    softmax_over_items(users, items, none, [log_correction, shares], group)
}

fn softmax_over_items<B: Backend>(
    users: Tensor<B, 2>,
    items: Tensor<B, 2>,
    targets: Tensor<B, 1, Int>,
    [log_correction, shares]: [Option<Tensor<B, 1>>; 2],
    group: usize,
) -> Tensor<B, 1> {
    let [rows, dim] = users.dims();
    let [items_and_padding, item_dim] = items.dims();
    assert_eq!(dim, item_dim, "users and items have one dimension");
    assert_eq!(targets.dims(), [rows], "one target for each row");
    if let Some(correction) = &log_correction {
        assert_eq!(
            correction.dims(),
            [items_and_padding],
            "one correction for each item"
        );
    }
    if let Some(shares) = &shares {
        assert_eq!(shares.dims(), [rows / group], "one share for each softmax");
    }
    let operation = FusedSoftmax {
        targets: targets.into_primitive(),
        group,
        corrected: log_correction.is_some(),
    };
    let [users, items] = [users, items].map(primitive);
    // What has no gradient comes last.
    let fixed =
        [log_correction, shares].map(|values| values.map(|values| primitive(values.detach())));
    tensor(match fixed {
        [None, None] => B::fused(operation, [users, items]),
        [Some(one), None] | [None, Some(one)] => B::fused(operation, [users, items, one]),
        [Some(correction), Some(shares)] => B::fused(operation, [users, items, correction, shares]),
    })
}

/// Softmax cross-entropy; its operands are user vectors `[rows, dim]`, item vectors
/// `[items + 1, dim]`, of which row 0 is padding, and where there are some the correction of logits
/// `[items + 1]` and the shares of softmaxes in the loss `[rows / group]`, which have no gradient.
#[derive(Debug, Clone)]
struct FusedSoftmax<I> {
    /// The item index that each row should give, `[rows]`; 0 where it is none, so that the row
    /// takes part in what its group's softmax is over, and no more.
    targets: I,
    /// The number of consecutive rows that share a softmax: the vectors of one user. 1 where each
    /// row is a user.
    group: usize,
    /// Whether there is a correction among the operands.
    corrected: bool,
}

impl<I, const N: usize> Fused<I, N> for FusedSoftmax<I>
where
    I: Debug + Clone + Send + 'static,
{
    /// The gradients of the loss by users and by items: logits that are at hand give both.
    type Saved<B: BurnBackend> = [FloatTensor<B>; 2];

    fn by_tensors<B: Backend<IntTensorPrimitive = I>>(
        &self,
        operands: [FloatTensor<B>; N],
    ) -> (FloatTensor<B>, Self::Saved<B>) {
        self.loss_and_gradients_by_blocks::<B, N>(operands, BLOCK_LOGITS)
    }

    fn by_kernels<B: Backend<IntTensorPrimitive = I>>(
        &self,
        operands: [FloatTensor<B>; N],
    ) -> (FloatTensor<B>, Self::Saved<B>) {
        let shapes = operands.each_ref().map(|operand| operand.shape());
        let (loss, [users, items]) =
            self.on_slices::<B, N, _>(operands, |softmax| softmax.gradients());
        let by = [(users, 0), (items, 1)]
            .map(|(values, operand)| from_values::<B>(values, shapes[operand].clone()));
        (from_values::<B>(vec![loss], [1]), by)
    }

    fn gradients_by_tensors<B: Backend<IntTensorPrimitive = I>>(
        &self,
        gradient: FloatTensor<B>,
        of_loss: Self::Saved<B>,
    ) -> Vec<FloatTensor<B>> {
        let gradient: Tensor<B, 1> = tensor(gradient);
        let scaled = of_loss.map(|of_loss| tensor::<B, 2>(of_loss) * gradient.clone().unsqueeze());
        scaled.map(primitive).into()
    }

    fn gradients_by_kernels<B: Backend<IntTensorPrimitive = I>>(
        &self,
        gradient: FloatTensor<B>,
        of_loss: Self::Saved<B>,
    ) -> Vec<FloatTensor<B>> {
        let gradient = B::floats(gradient)[0];
        // As it is where the loss is what gradients are taken of.
        if gradient == 1.0 {
            return of_loss.into();
        }
        of_loss
            .map(|of_loss| B::float_mul_scalar(of_loss, gradient.into()))
            .into()
    }

    /// The loss alone, which takes less time than with its gradients.
    fn result<B: Backend<IntTensorPrimitive = I>>(
        &self,
        operands: [FloatTensor<B>; N],
    ) -> FloatTensor<B> {
        if B::KERNELS {
            let loss = self.on_slices::<B, N, _>(operands, |softmax| softmax.loss());
            return from_values::<B>(vec![loss], [1]);
        }
        let softmax = self.by_blocks::<B, N>(operands, BLOCK_LOGITS);
        primitive(softmax.loss(softmax.normalizers()))
    }
}

impl<I: Debug + Clone + Send + 'static> FusedSoftmax<I> {
    fn named<T, const N: usize>(&self, operands: [T; N]) -> Operands<T> {
        let mut operands = operands.into_iter();
        let mut next = || operands.next();
        let (Some(users), Some(items)) = (next(), next()) else {
            unreachable!("users and items are operands");
        };
        Operands {
            users,
            items,
            log_correction: if self.corrected { next() } else { None },
            shares: next(),
        }
    }

    /// Calls a kernel on the operands.
    fn on_slices<B: Backend<IntTensorPrimitive = I>, const N: usize, R>(
        &self,
        operands: [FloatTensor<B>; N],
        kernel: impl FnOnce(Softmax<'_>) -> R,
    ) -> R {
        let [_, dim] = operands[0].shape().dims();
        let floats = operands.map(B::floats);
        let slices = self.named(floats.each_ref().map(|floats| &floats[..]));
        kernel(Softmax {
            users: slices.users,
            items: slices.items,
            log_correction: slices.log_correction,
            dim,
            first_item: 1,
            targets: &integers::<B>(self.targets.clone()),
            group: self.group,
            shares: slices.shares,
        })
    }

    fn by_blocks<B: Backend<IntTensorPrimitive = I>, const N: usize>(
        &self,
        operands: [FloatTensor<B>; N],
        logits: usize,
    ) -> BlockedSoftmax<B> {
        let operands = self.named(operands);
        BlockedSoftmax::new(operands, self.targets.clone(), self.group, logits)
    }

    /// The loss and its gradients, with at most `logits` logits in a block.
    fn loss_and_gradients_by_blocks<B: Backend<IntTensorPrimitive = I>, const N: usize>(
        &self,
        operands: [FloatTensor<B>; N],
        logits: usize,
    ) -> (FloatTensor<B>, [FloatTensor<B>; 2]) {
        let softmax = self.by_blocks::<B, N>(operands, logits);
        let normalizers = softmax.normalizers();
        let gradients = softmax.gradients(&normalizers);
        (
            primitive(softmax.loss(normalizers)),
            gradients.map(primitive),
        )
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::backend::Flex;
    use burn::tensor::TensorData;
    use burn_flex::FlexTensor;
    use proptest::prelude::*;

    use super::super::agreement::{assert_same_gradients, assert_within, floats, tensor, values};
    use super::*;

    /// An operation with its operands, of which the last two may be left out.
    type Case = (FusedSoftmax<FlexTensor>, [FlexTensor; 4]);

    /// Item counts lie around multiples of the kernel's tiles.
    fn case() -> impl Strategy<Value = Case> {
        let items = prop_oneof![1..20usize, 505..520usize, 1_020..1_030usize];
        let rows = prop_oneof![1..8usize, 60..70usize];
        let size = prop_oneof![Just(1.0f32), Just(2.0)];
        (rows, items, 1..20usize, size, 1..4usize).prop_flat_map(
            |(rows, items, dim, size, group)| {
                let rows = rows * group;
                // Where rows share a softmax, some may have no target.
                let least = i32::from(group == 1);
                let targets = proptest::collection::vec(least..=items as i32, rows);
                let all = items + 1;
                let users = floats(rows * dim, size);
                let table = floats(all * dim, size);
                let shares = floats(rows / group, 1.0);
                (users, table, targets, floats(all, 3.0), shares).prop_map(
                    move |(users, table, targets, correction, shares)| {
                        let shares: Vec<f32> = shares.into_iter().map(f32::abs).collect();
                        let targets = FlexTensor::from_data(TensorData::new(targets, [rows]));
                        let operands = [
                            tensor(users, [rows, dim]),
                            tensor(table, [all, dim]),
                            tensor(correction, [all]),
                            tensor(shares, [rows / group]),
                        ];
                        let corrected = true;
                        let operation = FusedSoftmax {
                            targets,
                            group,
                            corrected,
                        };
                        (operation, operands)
                    },
                )
            },
        )
    }

    fn check_agreement<const N: usize>(
        operation: &FusedSoftmax<FlexTensor>,
        operands: [FlexTensor; N],
        scale: f32,
        block: usize,
    ) {
        let loss = values(operation.result::<Flex>(operands.clone()));
        let (fused, of_loss) = operation.by_kernels::<Flex>(operands.clone());
        assert_eq!(values(fused.clone()), loss);
        let (plain, of_plain) = operation.by_tensors::<Flex>(operands.clone());
        // The loss is the difference of a normalizer and a logit, and is as exact as they are.
        let of =
            |operand: usize| super::super::primitives::tensor::<Flex, 2>(operands[operand].clone());
        let mut logits = of(0).matmul(of(1).transpose());
        if let Some(correction) = operands.get(2).filter(|_| operation.corrected) {
            let correction = super::super::primitives::tensor::<Flex, 1>(correction.clone());
            logits = logits - correction.unsqueeze();
        }
        let logits = logits.abs().max().into_scalar().max(1.0);
        assert_within("loss", fused.clone(), plain, 1e-6, logits);
        // And where items come in many blocks.
        let (blocks, of_blocks) =
            operation.loss_and_gradients_by_blocks::<Flex, N>(operands, block);
        assert_within("loss by blocks", fused, blocks, 1e-6, logits);
        assert_same_gradients(of_loss.to_vec(), of_blocks.to_vec(), 1e-4);
        let gradient = || tensor(vec![scale], [1]);
        let fused = Fused::<_, N>::gradients_by_kernels::<Flex>(operation, gradient(), of_loss);
        let plain = Fused::<_, N>::gradients_by_tensors::<Flex>(operation, gradient(), of_plain);
        assert_same_gradients(fused, plain, 1e-4);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn kernels_and_tensors_agree((operation, operands) in case(), corrected in any::<bool>(), shared in any::<bool>(), scale in 0.1f32..3.0, block in 1usize..40) {
            let [users, items, correction, shares] = operands.clone();
            let operation = FusedSoftmax { corrected, ..operation };
            match (corrected, shared) {
                (true, true) => check_agreement(&operation, operands, scale, block),
                (true, false) => check_agreement(&operation, [users, items, correction], scale, block),
                (false, true) => check_agreement(&operation, [users, items, shares], scale, block),
                (false, false) => check_agreement(&operation, [users, items], scale, block),
            }
        }
    }

    /// Logits of ±80 and more must not overflow anywhere.
    #[test]
    fn extreme_logits_stay_finite() {
        let operands = [
            tensor(vec![80.0, -80.0, 400.0], [3, 1]),
            tensor(vec![0.0, 1.0, -1.0, 0.5], [4, 1]),
        ];
        let operation = FusedSoftmax {
            targets: FlexTensor::from_data(TensorData::new(vec![1, 1, 2], [3])),
            group: 1,
            corrected: false,
        };
        let by_kernel = operation.by_kernels::<Flex>(operands.clone());
        let by_blocks = operation.loss_and_gradients_by_blocks::<Flex, 2>(operands, 3);
        for (loss, gradients) in [by_kernel, by_blocks] {
            // The last two rows miss their target by the whole width of their logits.
            let loss = values(loss)[0];
            assert!((loss - (160.0 + 800.0) / 3.0).abs() < 1e-3, "{loss}");
            let mut gradients = gradients.into_iter().flat_map(values);
            assert!(gradients.all(f32::is_finite));
        }
    }
}
