//! Finding the items whose vectors have the largest inner product with a query's.

mod file;
mod filter;
mod flat;
mod hits;
mod hnsw;
#[cfg(feature = "hnsw_rs")]
mod hnsw_rs;
mod index_report;
#[cfg(feature = "milvus")]
mod milvus;
mod plan;
mod updatable_index;
mod vector_index;
mod vectors;

use ndarray::ArrayView2;

use crate::item::ItemIndex;
use crate::kernels::scoring::LARGEST_HALF;
use crate::{Error, ErrorKind, Result, checks};

pub use crate::item::ItemSet;
pub use filter::{Filter, Matching};
pub use flat::FlatIndex;
pub use hits::{Hit, Hits};
pub use hnsw::{HnswConfig, HnswIndex};
#[cfg(feature = "hnsw_rs")]
pub use hnsw_rs::HnswRsIndex;
pub use index_report::IndexReport;
#[cfg(feature = "milvus")]
pub use milvus::{MilvusConfig, MilvusIndex, MilvusMethod};
pub use plan::{AnyIndex, IndexPlan};
pub use updatable_index::UpdatableIndex;
pub use vector_index::VectorIndex;
pub use vectors::Precision;

/// Refuses what can't be an item's vector.
fn check_vector(
    index: &impl VectorIndex,
    item: ItemIndex,
    vector: &[f32],
    precision: Precision,
) -> Result<()> {
    if item == ItemIndex::PADDING {
        return Err(Error::invalid("item", 0, "0 is padding, items begin at 1"));
    }
    if vector.len() != index.dim() {
        return Err(ErrorKind::Shape {
            what: "dimension of the vector",
            expected: index.dim(),
            found: vector.len(),
        }
        .into());
    }
    let vector = ndarray::aview1(vector).insert_axis(ndarray::Axis(0));
    checks::finite("the item's vector", vector)?;
    check_held(vector, precision)
}

/// Refuses values that would become others in half-precision: it ends at 65,504.
fn check_held(vectors: ArrayView2<'_, f32>, precision: Precision) -> Result<()> {
    if precision != Precision::F16 {
        return Ok(());
    }
    let too_large = |value: &f32| value.abs() > LARGEST_HALF;
    match vectors.iter().find(|value| too_large(value)) {
        None => Ok(()),
        Some(value) => Err(Error::invalid(
            "a vector's value",
            value,
            "half-precision holds 65504 at most; scale the vectors, or keep them as F32 or Int8",
        )),
    }
}

/// What a search or an update of an index says whose arrays may not fit each other.
fn broken() -> Error {
    Error::from(ErrorKind::Thread {
        thread: "updating",
        reason: "a panic ended an update of the index half-way; build or open it anew".to_owned(),
    })
}

/// The vectors of items 1 and up, out of `[items + 1, dim]`.
pub(crate) fn without_padding(
    vectors: ArrayView2<'_, f32>,
    precision: Precision,
) -> Result<ArrayView2<'_, f32>> {
    if vectors.nrows() < 2 || vectors.ncols() == 0 {
        return Err(ErrorKind::NothingLeft {
            reason: format!(
                "an index needs a padding row, at least one item and one dimension; got {:?}",
                vectors.shape()
            ),
        }
        .into());
    }
    checks::finite("item vectors", vectors)?;
    check_held(vectors, precision)?;
    Ok(vectors.slice_move(ndarray::s![1.., ..]))
}
