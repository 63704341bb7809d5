//! The normalizers of softmaxes over all items.

use std::fmt::Debug;

use burn::tensor::backend::Backend as BurnBackend;
use burn::tensor::ops::FloatTensor;
use burn::tensor::{Tensor, TensorMetadata};

use super::Backend;
use super::operations::Fused;
use super::primitives::{from_values, primitive, tensor};
use crate::kernels::softmax::Softmax;

/// `ln Σ e^logit` of each row of `users` `[rows, dim]`, `[rows]`, the sum being over items 1 and up
/// of `items` `[items + 1, dim]`. On CPU backends this never makes the `[rows, items]` matrix. No
/// gradient flows through it.
pub(crate) fn log_normalizers<B: Backend>(
    users: Tensor<B, 2>,
    items: Tensor<B, 2>,
) -> Tensor<B, 1> {
    let operands = [users, items].map(|operand| primitive(operand.detach()));
    tensor(B::fused(Normalizers, operands))
}

/// The operation; its operands, user vectors `[rows, dim]` and item vectors `[items + 1, dim]`, are
/// never tracked.
#[derive(Debug, Clone)]
struct Normalizers;

impl<I: Debug + Clone + Send + 'static> Fused<I, 2> for Normalizers {
    type Saved<B: BurnBackend> = ();

    fn by_tensors<B: Backend<IntTensorPrimitive = I>>(
        &self,
        [users, items]: [FloatTensor<B>; 2],
    ) -> (FloatTensor<B>, ()) {
        let (users, items): (Tensor<B, 2>, Tensor<B, 2>) = (tensor(users), tensor(items));
        let [all, _] = items.dims();
        let [rows, _] = users.dims();
        let mut so_far: Option<Tensor<B, 2>> = None;
        let block = (super::blocked_softmax::BLOCK_LOGITS / rows.max(1)).max(1);
        for start in (1..all).step_by(block) {
            let some = items.clone().narrow(0, start, block.min(all - start));
            let logits = users.clone().matmul(some.transpose());
            let logits = match so_far {
                Some(before) => Tensor::cat(vec![before, logits], 1),
                None => logits,
            };
            let highest = logits.clone().max_dim(1);
            let sum = (logits - highest.clone()).exp().sum_dim(1);
            so_far = Some(sum.log() + highest);
        }
        let normalizers = so_far.expect("a catalog has items");
        (primitive(normalizers.reshape([rows])), ())
    }

    fn by_kernels<B: Backend<IntTensorPrimitive = I>>(
        &self,
        [users, items]: [FloatTensor<B>; 2],
    ) -> (FloatTensor<B>, ()) {
        let [rows, dim] = users.shape().dims();
        let (users, items) = (B::floats(users), B::floats(items));
        let softmax = Softmax {
            users: &users,
            items: &items,
            log_correction: None,
            dim,
            first_item: 1,
            targets: &vec![0; rows],
            group: 1,
            shares: None,
        };
        (from_values::<B>(softmax.row_normalizers(), [rows]), ())
    }

    fn gradients_by_tensors<B: Backend<IntTensorPrimitive = I>>(
        &self,
        _: FloatTensor<B>,
        (): (),
    ) -> Vec<FloatTensor<B>> {
        Vec::new()
    }

    fn gradients_by_kernels<B: Backend<IntTensorPrimitive = I>>(
        &self,
        _: FloatTensor<B>,
        (): (),
    ) -> Vec<FloatTensor<B>> {
        Vec::new()
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::backend::Flex;
    use proptest::prelude::*;

    use super::super::agreement::{assert_within, floats, tensor};
    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn kernels_and_tensors_agree((rows, items, users, table) in (1..70usize, 2..600usize).prop_flat_map(|(rows, items)| {
            (Just(rows), Just(items), floats(rows * 3, 2.0), floats(items * 3, 2.0))
        })) {
            let operands = [tensor(users, [rows, 3]), tensor(table, [items, 3])];
            let by_kernel = Fused::<burn_flex::FlexTensor, 2>::by_kernels::<Flex>(&Normalizers, operands.clone());
            let by_tensors = Fused::<burn_flex::FlexTensor, 2>::by_tensors::<Flex>(&Normalizers, operands);
            assert_within("normalizers", by_kernel.0, by_tensors.0, 1e-6, 12.0);
        }
    }
}
