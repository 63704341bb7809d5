//! Dropout that is on in training and off elsewhere.

use burn::tensor::Tensor;

use crate::backend::{self, Backend};

/// Draws the masks of one forward pass, one after another, each from a seed of its own.
#[derive(Debug)]
pub struct Dropout {
    /// `None` where nothing is dropped.
    seed: Option<u64>,
    used: u64,
}

impl Dropout {
    /// Drops by the batch's seed on a backend with gradients, and nothing on one without.
    pub fn in_training<B: Backend>(device: &B::Device, seed: u64) -> Self {
        Self {
            seed: B::ad_enabled(device).then_some(seed),
            used: 0,
        }
    }

    /// Drops nothing.
    pub fn off() -> Self {
        Self {
            seed: None,
            used: 0,
        }
    }

    /// The values with a share of them dropped and the others scaled up to make up for it, each
    /// call by a mask of its own.
    pub fn apply<B: Backend, const D: usize>(
        &mut self,
        values: Tensor<B, D>,
        probability: f64,
    ) -> Tensor<B, D> {
        match self.draw() {
            Some(seed) => backend::dropout(values, probability, seed),
            None => values,
        }
    }

    /// The seed of the next mask, for what drops by itself; `None` where nothing is dropped.
    pub fn draw(&mut self) -> Option<u64> {
        let seed = self.seed?.wrapping_add(self.used);
        self.used += 1;
        Some(seed)
    }
}
