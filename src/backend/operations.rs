//! The operations that recall models need of a backend, hidden from callers.

use std::fmt::Debug;

use burn::tensor::backend::Backend as BurnBackend;
use burn::tensor::ops::{Device, FloatTensor, IntTensor};

use super::primitives::{CopiedFloats, HostFloats};
use super::random_bits::{self, RandomBits};
use super::{Backend, lookup, rows};

/// The operations behind [`Backend`]; [`join_backend!`](crate::join_backend) implements it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a backend of seqrec",
    label = "lacks seqrec's operations",
    note = "the crate that defines it joins by one line: `seqrec::join_backend!({Self});`"
)]
pub trait Operations: BurnBackend {
    /// True where tensors lie in this process's own memory, so that no device can be missing or
    /// have none left.
    const HOST: bool = false;

    /// True where fused operations run as kernels on slices of this process's memory, and not as
    /// ordinary tensor operations.
    const KERNELS: bool = false;

    /// A float tensor's values in row-major order.
    fn floats(tensor: FloatTensor<Self>) -> impl HostFloats<Self> {
        CopiedFloats::<Self>::new(tensor)
    }

    /// A fused operation, with gradients where they are tracked.
    fn fused<O: Fused<IntTensor<Self>, N>, const N: usize>(
        operation: O,
        operands: [FloatTensor<Self>; N],
    ) -> FloatTensor<Self> {
        operation.result::<Self>(operands)
    }

    /// 32 bits for each place, `[places]`, as whole numbers from -2^31 up: the same on every
    /// backend.
    fn random_bits(bits: &RandomBits, device: &Device<Self>) -> IntTensor<Self> {
        random_bits::drawn_on_host::<Self>(bits, device)
    }

    /// The rows of `table` `[rows, dim]` that `indices` `[n]` name, `[n, dim]`: in single
    /// precision, whatever the table's is.
    fn select_rows(table: FloatTensor<Self>, indices: IntTensor<Self>) -> FloatTensor<Self> {
        lookup::select_by_tensors::<Self>(table, indices)
    }

    /// `table` `[rows, dim]` with the rows that `indices` `[n]` name, each once, replaced by
    /// `values` `[n, dim]`. Where the table is of half precision, each value becomes one of its two
    /// neighbors there by chance, of which the seed decides, so that its mean is the value.
    fn replace_rows(
        table: FloatTensor<Self>,
        indices: IntTensor<Self>,
        values: FloatTensor<Self>,
        seed: u64,
    ) -> FloatTensor<Self> {
        rows::replace_by_tensors::<Self>(table, indices, values, seed)
    }
}

/// A fused operation over `N` float tensors, its operands, with hand-written gradients.
///
/// The type that implements it holds its settings. `I` is the backend's tensor of integers, for
/// operations that have one among their settings.
pub trait Fused<I, const N: usize>: Debug + Clone + Send + 'static {
    /// The tensors that the gradients are made of.
    type Saved<B: BurnBackend>: Debug + Clone + Send + 'static;

    /// The result, and what the gradients need again, by ordinary tensor operations.
    fn by_tensors<B: Backend<IntTensorPrimitive = I>>(
        &self,
        operands: [FloatTensor<B>; N],
    ) -> (FloatTensor<B>, Self::Saved<B>);

    /// The result, and what the gradients need again, by kernels.
    fn by_kernels<B: Backend<IntTensorPrimitive = I>>(
        &self,
        operands: [FloatTensor<B>; N],
    ) -> (FloatTensor<B>, Self::Saved<B>);

    /// The gradients of `Σ gradient · result` by the operands, in their order, by ordinary tensor
    /// operations. The last operands have none where they are never tracked.
    fn gradients_by_tensors<B: Backend<IntTensorPrimitive = I>>(
        &self,
        gradient: FloatTensor<B>,
        saved: Self::Saved<B>,
    ) -> Vec<FloatTensor<B>>;

    /// The gradients by kernels.
    fn gradients_by_kernels<B: Backend<IntTensorPrimitive = I>>(
        &self,
        gradient: FloatTensor<B>,
        saved: Self::Saved<B>,
    ) -> Vec<FloatTensor<B>>;

    /// The result where no gradient will be asked for.
    fn result<B: Backend<IntTensorPrimitive = I>>(
        &self,
        operands: [FloatTensor<B>; N],
    ) -> FloatTensor<B> {
        self.result_and_saved::<B>(operands).0
    }

    /// The result, and what the gradients need again.
    fn result_and_saved<B: Backend<IntTensorPrimitive = I>>(
        &self,
        operands: [FloatTensor<B>; N],
    ) -> (FloatTensor<B>, Self::Saved<B>) {
        if B::KERNELS {
            self.by_kernels::<B>(operands)
        } else {
            self.by_tensors::<B>(operands)
        }
    }

    /// The gradients by the operands.
    fn gradients<B: Backend<IntTensorPrimitive = I>>(
        &self,
        gradient: FloatTensor<B>,
        saved: Self::Saved<B>,
    ) -> Vec<FloatTensor<B>> {
        if B::KERNELS {
            self.gradients_by_kernels::<B>(gradient, saved)
        } else {
            self.gradients_by_tensors::<B>(gradient, saved)
        }
    }
}
