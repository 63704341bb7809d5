//! Sequential recall.
#![deny(unsafe_code)]
pub mod backend;
pub mod data;
pub mod error;
mod kernels;
pub use burn;
pub use error::{Error, Result};
