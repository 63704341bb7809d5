//! Softmax cross-entropy over all items.

use std::fmt::Debug;

use burn::tensor::backend::Backend as BurnBackend;
use burn::tensor::ops::FloatTensor;
use burn::tensor::{Int, Tensor, TensorMetadata};

use super::Backend;
use super::blocked_softmax::{BLOCK_LOGITS, BlockedSoftmax};
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
    softmax_over_items(users, items, targets, log_correction, 1)
}

/// The mean `[1]` over users of `ln Σ e^logit`, the sum being over items 1 and up of `items`
/// `[items + 1, dim]` and over all vectors that a user has: `group` rows of `users` `[rows, dim]`,
/// one after another. `log_correction` `[items + 1]`, where given, is subtracted from each item's
/// logit.
///
/// # Panics
/// When the shapes don't fit each other.
pub(crate) fn log_normalizer<B: Backend>(
    users: Tensor<B, 2>,
    items: Tensor<B, 2>,
    log_correction: Option<Tensor<B, 1>>,
    group: usize,
) -> Tensor<B, 1> {
    let [rows, _] = users.dims();
    assert!(
        rows.checked_rem(group) == Some(0),
        "as many vectors for each user"
    );
    let none = Tensor::zeros([rows], &users.device());
    softmax_over_items(users, items, none, log_correction, group)
}

fn softmax_over_items<B: Backend>(
    users: Tensor<B, 2>,
    items: Tensor<B, 2>,
    targets: Tensor<B, 1, Int>,
    log_correction: Option<Tensor<B, 1>>,
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
    let operation = FusedSoftmax {
        targets: targets.into_primitive(),
        group,
    };
    let [users, items] = [users, items].map(primitive);
    tensor(match log_correction {
        Some(correction) => B::fused(operation, [users, items, primitive(correction.detach())]),
        None => B::fused(operation, [users, items]),
    })
}

/// Softmax cross-entropy; its operands are user vectors `[rows, dim]`, item vectors
/// `[items + 1, dim]`, of which row 0 is padding, and the correction of logits `[items + 1]` where
/// there is one, which has no gradient.
#[derive(Debug, Clone)]
struct FusedSoftmax<I> {
    /// The item index that each row should give, `[rows]`; 0 where it is none, so that the row
    /// takes part in what its group's softmax is over, and no more.
    targets: I,
    /// The number of consecutive rows that share a softmax: the vectors of one user. 1 where each
    /// row is a user.
    group: usize,
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
    /// Calls a kernel on the operands.
    fn on_slices<B: Backend<IntTensorPrimitive = I>, const N: usize, R>(
        &self,
        operands: [FloatTensor<B>; N],
        kernel: impl FnOnce(Softmax<'_>) -> R,
    ) -> R {
        let [_, dim] = operands[0].shape().dims();
        let floats = operands.map(B::floats);
        kernel(Softmax {
            users: &floats[0],
            items: &floats[1],
            log_correction: floats.get(2).map(|correction| &correction[..]),
            dim,
            first_item: 1,
            targets: &integers::<B>(self.targets.clone()),
            group: self.group,
        })
    }

    fn by_blocks<B: Backend<IntTensorPrimitive = I>, const N: usize>(
        &self,
        operands: [FloatTensor<B>; N],
        logits: usize,
    ) -> BlockedSoftmax<B> {
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

    /// An operation with its operands, of which the last may be left out.
    type Case = (FusedSoftmax<FlexTensor>, [FlexTensor; 3]);

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
                (users, table, targets, floats(all, 3.0)).prop_map(
                    move |(users, table, targets, correction)| {
                        let targets = FlexTensor::from_data(TensorData::new(targets, [rows]));
                        let operands = [
                            tensor(users, [rows, dim]),
                            tensor(table, [all, dim]),
                            tensor(correction, [all]),
                        ];
                        (FusedSoftmax { targets, group }, operands)
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
        if let Some(correction) = operands.get(2) {
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
        fn kernels_and_tensors_agree((operation, operands) in case(), corrected in any::<bool>(), scale in 0.1f32..3.0, block in 1usize..40) {
            if corrected {
                check_agreement(&operation, operands, scale, block);
            } else {
                let [users, items, _] = operands;
                check_agreement(&operation, [users, items], scale, block);
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
