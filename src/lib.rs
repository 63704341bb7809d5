//! Sequential recall.
#![deny(unsafe_code)]
pub mod backend;
pub mod data;
pub mod error;
pub mod eval;
mod files;
pub mod index;
mod kernels;
pub mod model;
#[cfg(feature = "plot")]
pub mod plot;
pub mod recall;
pub mod train;
pub use burn;
pub use error::{Error, Result};
