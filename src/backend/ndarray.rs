//! burn-ndarray: burn's older CPU backend.

use burn::backend::NdArray;

use super::operations::Operations;

impl Operations for NdArray {
    const HOST: bool = true;
    const KERNELS: bool = true;
}
