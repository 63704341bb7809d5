//! Models, losses and training, by every backend.

// What several of the following use.
#[path = "../support/batches.rs"]
mod batches;
#[macro_use]
#[path = "../support/every_backend.rs"]
mod every_backend;
#[path = "../support/losses.rs"]
mod losses;
#[path = "../support/tensors.rs"]
mod tensors;

mod backends;
mod events;
mod fused;
mod item_features;
mod leakage;
mod learning;
mod numbers;
mod promises;
mod search;
mod tables;
mod torch;
mod training;
#[cfg(all(feature = "npy", feature = "parquet"))]
mod vector_table;
mod warm_start;
mod weights;
