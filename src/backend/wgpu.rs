//! burn-wgpu, with the fused operations as ordinary tensor operations.

use burn::backend::Wgpu;

use super::Backend;

impl Backend for Wgpu {}
