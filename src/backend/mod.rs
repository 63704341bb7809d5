//! The backends that models run on, and the fused operations that they add to burn's.
//!
//! [`Backend`] is one of burn's backend extensions: burn's own trait plus the operations in which
//! recall models spend their time. Each has a body of ordinary tensor operations, so that any burn
//! backend joins by [`join_backend!`](crate::join_backend), and one of kernels, by which the CPU
//! backends run it. [`Autodiff`] tracks them with hand-written gradients.

pub(crate) mod adam;
#[cfg(all(test, feature = "flex"))]
mod agreement;
mod attention;
mod autodiff;
mod blocked_softmax;
mod convolution;
#[cfg(any(feature = "cuda", feature = "wgpu"))]
mod cube;
mod device;
mod dropout;
#[cfg(feature = "flex")]
mod flex;
mod gru;
mod layer_norm;
mod linear;
mod lookup;
#[cfg(feature = "ndarray")]
mod ndarray;
#[doc(hidden)]
pub mod normalizers;
mod operations;
mod padded_attention;
mod padding;
mod primitives;
mod random_bits;
mod rows;
mod softmax;
mod sparse;

use burn::tensor::backend::AutodiffBackend;
use burn::tensor::ops::FloatTensor;

pub use crate::kernels::activation::Activation;
pub(crate) use attention::silu_attention;
pub(crate) use convolution::causal_convolution;
pub use device::check_device;
pub(crate) use device::{on_device, synchronize};
pub(crate) use layer_norm::layer_norm;
pub(crate) use linear::linear;
pub use lookup::select_rows;
pub(crate) use lookup::{RowGradient, RowGradients};
pub(crate) use normalizers::log_normalizers;
pub(crate) use rows::replace_rows;
pub(crate) use softmax::{log_normalizer, weighted_softmax};
pub(crate) use sparse::SparseMatrix;

/// Operations that models reach by their [parts](crate::model::parts); tests call them by
/// themselves.
#[doc(hidden)]
pub use {
    attention::causal_attention, dropout::dropout, gru::gru, rows::add_to_rows,
    softmax::softmax_cross_entropy,
};

/// A burn backend with the fused operations that recall models need.
///
/// It is a bound and has no methods of its own; functions of this module take tensors of it.
/// [`join_backend!`](crate::join_backend) makes one of any burn backend, and [`Autodiff`] one with
/// gradients of every other.
pub trait Backend: burn::tensor::backend::Backend + operations::Operations {}

impl<B: operations::Operations> Backend for B {}

/// Makes a burn backend a [`Backend`](crate::backend::Backend), for the crate that defines it:
/// fused operations run on it as ordinary tensor operations.
///
/// ```ignore
/// seqrec::join_backend!(MyBackend);
/// ```
#[macro_export]
macro_rules! join_backend {
    ($backend:ty) => {
        impl $crate::backend::operations::Operations for $backend {}
    };
}

/// A backend that models can be trained on: one with gradients, whose inner backend serves.
///
/// [`Autodiff`] makes one of every [`Backend`].
#[diagnostic::on_unimplemented(
    message = "the backend `{Self}` has no gradients to train by",
    note = "make the model on a backend with gradients: `config.init::<Autodiff<Flex>>(..)` in place of \
            `config.init::<Flex>(..)`"
)]
pub trait TrainingBackend: AutodiffBackend<InnerBackend: Backend> + Backend {
    /// The gradients of a loss `[1]`, where those of tables that [`select_rows`] looked up are kept
    /// by rows, apart from the others: a table of millions of rows, of which a step needs some
    /// thousands, gets no gradient of its own size.
    ///
    /// Any other use of a table, such as a product with all of it, still gives it a gradient among
    /// the others.
    #[doc(hidden)]
    fn backward_by_rows(
        loss: FloatTensor<Self>,
    ) -> (Self::Gradients, RowGradients<Self::InnerBackend>);

    /// The id of a parameter among [`RowGradients`].
    #[doc(hidden)]
    fn table_id(table: &FloatTensor<Self>) -> u64;
}

pub use burn::backend::Autodiff;
#[cfg(feature = "cuda")]
pub use burn::backend::Cuda;
#[cfg(feature = "flex")]
pub use burn::backend::Flex;
#[cfg(feature = "ndarray")]
pub use burn::backend::NdArray;
#[cfg(feature = "wgpu")]
pub use burn::backend::Wgpu;

#[cfg(all(test, feature = "flex", feature = "ndarray"))]
mod tests {
    use burn::tensor::{Tensor, TensorData};

    use super::*;

    join_backend!(NdArray<f64>);

    /// The gradient of attention with dropout and of a linear layer after it.
    fn gradient<B: Backend>() -> Vec<f32> {
        let device = Default::default();
        let values = (0..5 * 12)
            .map(|place| (place as f32 * 0.7).sin())
            .collect();
        let values = TensorData::new(values, [5, 12]);
        let projected = Tensor::<Autodiff<B>, 2>::from_data(values, &device).require_grad();
        let lengths = [2, 3].into();
        let gathered = causal_attention(projected.clone(), &lengths, 2, Some((3, 0.4)));
        let weight = projected.clone().narrow(0, 0, 4).narrow(1, 0, 4);
        let bias = Tensor::zeros([4], &device);
        let outputs = linear(gathered, weight, bias, Activation::Gelu);
        let gradients = outputs.square().sum().backward();
        let gradient = projected.grad(&gradients).unwrap().into_data();
        gradient.iter::<f32>().collect()
    }

    #[test]
    fn a_backend_that_joins_by_one_line_computes_the_same() {
        let (here, there) = (gradient::<NdArray<f64>>(), gradient::<Flex>());
        assert_eq!(here.len(), there.len());
        assert!(there.iter().any(|value| value.abs() > 0.1), "{there:?}");
        for (here, there) in here.iter().zip(&there) {
            assert!((here - there).abs() < 1e-5, "{here} is not {there}");
        }
    }
}
