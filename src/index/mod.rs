//! Finding the items whose vectors have the largest inner product with a query's.

mod buffer;
mod filter;
mod flat;
mod hits;
mod hnsw;
mod hnsw_rs;
mod vectors;

use ndarray::ArrayView2;

use crate::{Error, Result};

pub use filter::{Filter, ItemSet};
pub use flat::FlatIndex;
pub use hits::{Hit, Hits};
pub use hnsw::{HnswConfig, HnswIndex};
pub use hnsw_rs::HnswRsIndex;

/// An index over the item vectors of a catalog.
///
/// Indexes know inner products alone: where the similarity is the cosine, vectors are scaled to
/// length 1 before they come here, as [`item_vectors`](crate::recall::item_vectors) does.
pub trait VectorIndex: Send + Sync {
    /// How many items there are, padding not counted.
    fn len(&self) -> usize;

    /// Whether there are no items.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The size of a vector.
    fn dim(&self) -> usize;

    /// Whether [`search`](VectorIndex::search) always finds the true best.
    fn is_exact(&self) -> bool;

    /// The k best items by inner product for each row of `queries` `[n, dim]`, best first, ties
    /// by item index; only those that pass the filter, and fewer than k only where fewer pass.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] for a k of 0, [`Error::Shape`] for queries of another dimension
    /// and [`Error::NonFiniteVector`] for a query with NaN or infinity.
    fn search(
        &self,
        queries: ArrayView2<'_, f32>,
        k: usize,
        filter: Option<Filter<'_>>,
    ) -> Result<Hits>;
}

impl<I: VectorIndex + ?Sized> VectorIndex for Box<I> {
    fn len(&self) -> usize {
        (**self).len()
    }

    fn dim(&self) -> usize {
        (**self).dim()
    }

    fn is_exact(&self) -> bool {
        (**self).is_exact()
    }

    fn search(
        &self,
        queries: ArrayView2<'_, f32>,
        k: usize,
        filter: Option<Filter<'_>>,
    ) -> Result<Hits> {
        (**self).search(queries, k, filter)
    }
}

/// Refuses vectors that hold a NaN or an infinity.
fn check_finite(what: &'static str, vectors: ArrayView2<'_, f32>) -> Result<()> {
    match vectors.indexed_iter().find(|(_, value)| !value.is_finite()) {
        None => Ok(()),
        Some(((row, column), &value)) => Err(Error::NonFiniteVector {
            what,
            row,
            column,
            value,
        }),
    }
}

fn check_queries(index: &impl VectorIndex, queries: ArrayView2<'_, f32>, k: usize) -> Result<()> {
    if k == 0 {
        return Err(Error::invalid("k", 0, "must be at least 1"));
    }
    if queries.ncols() != index.dim() {
        return Err(Error::Shape {
            what: "dimension of the queries",
            expected: index.dim(),
            found: queries.ncols(),
        });
    }
    check_finite("queries", queries)
}

/// The vectors of items 1 and up as one slice, out of `[items + 1, dim]`.
fn without_padding(vectors: ArrayView2<'_, f32>) -> Result<Vec<f32>> {
    if vectors.nrows() < 2 || vectors.ncols() == 0 {
        return Err(Error::NothingLeft {
            reason: format!(
                "an index needs a padding row, at least one item and one dimension; got {:?}",
                vectors.shape()
            ),
        });
    }
    check_finite("item vectors", vectors)?;
    Ok(vectors
        .rows()
        .into_iter()
        .skip(1)
        .flatten()
        .copied()
        .collect())
}
