//! The operations that recall models need of a backend, hidden from callers.

use std::fmt::Debug;
use std::ops::DerefMut;

use burn::tensor::backend::Backend as BurnBackend;
use burn::tensor::ops::{Device, FloatTensor, IntTensor};
use burn::tensor::{Int, Shape, Tensor, TensorData, TensorPrimitive};

use super::random_bits::{self, RandomBits};
use super::{Backend, rows};

/// The operations behind [`Backend`]; [`join_backend!`](crate::join_backend) implements it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a backend of seqrec",
    label = "lacks seqrec's operations",
    note = "the crate that defines it joins by one line: `seqrec::join_backend!({Self});`"
)]
pub trait Operations: BurnBackend {
    /// Whether tensors lie in this process's own memory, so that no device can be missing or have none left.
    const HOST: bool = false;

    /// Whether fused operations run as kernels on slices of this process's memory, or else as ordinary
    /// tensor operations.
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

    /// 32 bits for each place, `[places]`, as whole numbers from -2^31 up: the same on every backend.
    fn random_bits(bits: &RandomBits, device: &Device<Self>) -> IntTensor<Self> {
        random_bits::drawn_on_host::<Self>(bits, device)
    }

    /// The rows of `table` `[rows, dim]` that `indices` `[n]` name, `[n, dim]`: in single precision,
    /// whatever the table's is.
    fn select_rows(table: FloatTensor<Self>, indices: IntTensor<Self>) -> FloatTensor<Self> {
        rows::select_by_tensors::<Self>(table, indices)
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

/// A tensor's values in this process's memory. They are changed in place where nobody else holds
/// them, and in a copy where someone does.
pub trait HostFloats<B: BurnBackend>: DerefMut<Target = [f32]> {
    /// The tensor of the values.
    fn into_tensor(self) -> FloatTensor<B>;
}

/// Values that were copied out of a tensor.
struct CopiedFloats<B: BurnBackend> {
    values: Vec<f32>,
    shape: Shape,
    device: B::Device,
}

impl<B: BurnBackend> CopiedFloats<B> {
    fn new(primitive: FloatTensor<B>) -> Self {
        let device = B::float_device(&primitive);
        let data = tensor::<B, 1>(primitive).into_data();
        Self {
            shape: data.shape.clone(),
            values: data.iter::<f32>().collect(),
            device,
        }
    }
}

impl<B: BurnBackend> std::ops::Deref for CopiedFloats<B> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.values
    }
}

impl<B: BurnBackend> DerefMut for CopiedFloats<B> {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }
}

impl<B: BurnBackend> HostFloats<B> for CopiedFloats<B> {
    fn into_tensor(self) -> FloatTensor<B> {
        B::float_from_data(TensorData::new(self.values, self.shape), &self.device)
    }
}

/// The values of an integer tensor in row-major order.
pub(super) fn integers<B: BurnBackend>(primitive: IntTensor<B>) -> Vec<i32> {
    let data = Tensor::<B, 1, Int>::from_primitive(primitive).into_data();
    data.iter::<i32>().collect()
}

/// A tensor of values that a kernel has made.
pub(super) fn from_values<B: BurnBackend>(
    values: Vec<f32>,
    shape: impl Into<Shape>,
) -> FloatTensor<B> {
    B::float_from_data(TensorData::new(values, shape), &B::Device::default())
}

/// A backend's primitive as a tensor.
pub(super) fn tensor<B: BurnBackend, const D: usize>(primitive: FloatTensor<B>) -> Tensor<B, D> {
    Tensor::from_primitive(TensorPrimitive::Float(primitive))
}

/// A tensor as its backend's primitive.
pub(super) fn primitive<B: BurnBackend, const D: usize>(tensor: Tensor<B, D>) -> FloatTensor<B> {
    tensor.into_primitive().tensor()
}
