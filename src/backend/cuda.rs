//! burn-cuda, with the fused operations as ordinary tensor operations.

use burn::backend::Cuda;

use super::Backend;

impl Backend for Cuda {}
