//! The precision of a model's tables.

use serde::{Deserialize, Serialize};

/// How many bits the numbers of a model's tables of item vectors have: those in which a step looks
/// some rows up. All else is computed and kept in single precision.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TablePrecision {
    /// 32.
    #[default]
    Single,
    /// 16 (IEEE 754 binary16), so that a table of ten million items takes half the memory, in
    /// training and in what is served, and half the disk in run folders. A step computes in single
    /// precision, and what it gives is rounded up or down by chance, so that moves which are
    /// smaller than what two neighboring numbers differ by are not lost (stochastic rounding; Zhang
    /// et al., [Training with Low-precision Embedding
    /// Tables](https://research.facebook.com/publications/training-with-low-precision-embedding-tables/),
    /// 2018).
    ///
    /// It is for a [sampled loss](super::Loss::Sampled) and tables that move by the rows looked up
    /// ([`Tables::Lazy`](crate::train::Tables::Lazy) or
    /// [`Tables::RowWise`](crate::train::Tables::RowWise)); a trainer refuses others, whose
    /// gradients are of the table's size in any case. Not every backend has such numbers: flex and
    /// CUDA do, ndarray does not.
    Half,
}
