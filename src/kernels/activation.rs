//! Activations of linear layers.

use serde::{Deserialize, Serialize};

/// The activation after a linear layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Activation {
    /// Nothing.
    None,
    /// `max(x, 0)`.
    Relu,
    /// `x · sigmoid(x)`.
    Silu,
    /// `x · Φ(x)`, with the normal distribution Φ (Hendrycks & Gimpel,
    /// [2016](https://arxiv.org/abs/1606.08415)).
    Gelu,
}
