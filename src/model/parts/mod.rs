//! The parts of models: weights from a seed, dropout, batches without their padding, and layers. A
//! model of your own may be made of the same.

mod dropout;
mod ends;
mod events;
mod gru;
mod layers;
mod packing;
mod user_map;
mod weights;

use burn::tensor::{Int, Tensor};

use crate::backend::{self, Backend};

pub use dropout::Dropout;
pub(crate) use ends::SequenceEnds;
pub use events::EventVectors;
pub(crate) use gru::GruLayer;
pub(crate) use layers::layer_norm;
pub use layers::linear;
pub use packing::Packing;
pub use user_map::UserMap;
pub use weights::Weights;

/// The rows of states `[batch, len, dim]` that flattened positions `[n]` name, `[n, dim]`.
pub fn at_positions<B: Backend>(
    states: Tensor<B, 3>,
    positions: Tensor<B, 1, Int>,
) -> Tensor<B, 2> {
    let [batch, len, dim] = states.dims();
    backend::select_rows(states.reshape([batch * len, dim]), positions)
}
