//! Finding the items whose vectors have the largest inner product with a query's.

mod file;
mod filter;
mod flat;
mod follow;
mod hits;
mod hnsw;
#[cfg(feature = "hnsw_rs")]
mod hnsw_rs;
mod index_report;
#[cfg(feature = "milvus")]
mod milvus;
mod plan;
mod vectors;

use ndarray::ArrayView2;

use crate::item::ItemIndex;
use crate::kernels::scoring::LARGEST_HALF;
use crate::{Error, ErrorKind, Result};

pub use filter::{Filter, ItemSet};
pub use flat::FlatIndex;
pub use follow::follow;
pub use hits::{Hit, Hits};
pub use hnsw::{HnswConfig, HnswIndex};
#[cfg(feature = "hnsw_rs")]
pub use hnsw_rs::HnswRsIndex;
pub use index_report::IndexReport;
#[cfg(feature = "milvus")]
pub use milvus::{MilvusConfig, MilvusIndex, MilvusMethod};
pub use plan::{AnyIndex, IndexPlan};
pub use vectors::Precision;

/// An index over the item vectors of a catalog.
///
/// Indexes know inner products alone: where the similarity is the cosine, vectors are scaled to
/// length 1 before they come here, as [`item_vectors`](crate::retrieve::item_vectors) does.
///
/// An index is shared by `Arc`: a [`VectorChannel`](crate::recall::VectorChannel) of an `Arc<HnswIndex>`
/// answers from the index that somebody else updates.
///
/// An index of your own, such as one that asks a service, needs three functions:
///
/// ```
/// use ndarray::{Array2, ArrayView2, array};
/// use seqrec::data::ItemIndex;
/// use seqrec::index::{Filter, Hit, Hits, VectorIndex};
///
/// /// Vectors `[items, dim]`, gone through one by one.
/// struct Plain(Array2<f32>);
///
/// impl VectorIndex for Plain {
///     fn len(&self) -> usize {
///         self.0.nrows()
///     }
///
///     fn dim(&self) -> usize {
///         self.0.ncols()
///     }
///
///     fn search(&self, queries: ArrayView2<f32>, k: usize, filter: Option<Filter>) -> seqrec::Result<Hits> {
///         self.check_queries(queries, k)?;
///         let mut hits = Hits::with_capacity(queries.nrows(), k);
///         for (row, query) in queries.rows().into_iter().enumerate() {
///             let mut found: Vec<Hit> = (1..).map(ItemIndex::new).zip(self.0.rows())
///                 .filter(|&(item, _)| filter.is_none_or(|filter| filter.passes(row, item)))
///                 .map(|(item, vector)| Hit::new(item, vector.dot(&query)))
///                 .collect();
///             found.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.item.cmp(&b.item)));
///             hits.push(found.into_iter().take(k));
///         }
///         Ok(hits)
///     }
/// }
///
/// let index = Plain(array![[1.0, 0.0], [0.0, 1.0]]);
/// let hits = index.search(array![[0.2, 0.9]].view(), 1, None)?;
/// assert_eq!(hits.items(0), [ItemIndex::new(2)]);
/// # Ok::<(), seqrec::Error>(())
/// ```
///
/// An index in this process takes any k and any filter. One on a server has that server's limits,
/// which its type names, and says [`ErrorKind::InvalidValue`] where a search is beyond them.
pub trait VectorIndex: Send + Sync {
    /// The number of items, padding not counted.
    fn len(&self) -> usize;

    /// Whether there are no items.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The size of a vector.
    fn dim(&self) -> usize;

    /// Whether [`search`](VectorIndex::search) always finds the true best: not, unless an index says so.
    fn is_exact(&self) -> bool {
        false
    }

    /// The k best items by inner product for each row of `queries` `[n, dim]`, best first, ties
    /// by item index; only those that pass the filter. There are fewer than k only where fewer
    /// pass, or where a server gives no more.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`] for a k of 0, or a k or filter beyond a server's limits,
    /// [`ErrorKind::Shape`] for queries of another dimension and [`ErrorKind::NonFiniteVector`] for a query
    /// with NaN or infinity.
    fn search(
        &self,
        queries: ArrayView2<'_, f32>,
        k: usize,
        filter: Option<Filter<'_>>,
    ) -> Result<Hits>;

    /// Refuses what every index refuses: a k of 0, and queries of another dimension or with a NaN or an
    /// infinity. An index of your own begins a search with it.
    ///
    /// # Errors
    /// As [`search`](VectorIndex::search).
    fn check_queries(&self, queries: ArrayView2<'_, f32>, k: usize) -> Result<()> {
        if k == 0 {
            return Err(Error::invalid("k", 0, "must be at least 1"));
        }
        if queries.ncols() != self.dim() {
            return Err(ErrorKind::Shape {
                what: "dimension of the queries",
                expected: self.dim(),
                found: queries.ncols(),
            }
            .into());
        }
        check_finite("queries", queries)
    }

    /// The k best items for each user, who has `interests` queries one after another in `queries`
    /// `[users * interests, dim]`: each item once, with its best score. The filter is asked with
    /// the query's row.
    ///
    /// # Errors
    /// As [`search`](VectorIndex::search), [`ErrorKind::InvalidValue`] for 0 interests and
    /// [`ErrorKind::Shape`] for queries that are no whole number of users.
    fn search_interests(
        &self,
        queries: ArrayView2<'_, f32>,
        interests: usize,
        k: usize,
        filter: Option<Filter<'_>>,
    ) -> Result<Hits> {
        if interests == 0 {
            return Err(Error::invalid("interests", 0, "must be at least 1"));
        }
        if !queries.nrows().is_multiple_of(interests) {
            return Err(ErrorKind::Shape {
                what: "queries, which must be as many for each user",
                expected: queries.nrows().next_multiple_of(interests),
                found: queries.nrows(),
            }
            .into());
        }
        let hits = self.search(queries, k, filter)?;
        Ok(hits.merge_interests(interests, k))
    }

    /// Those of some items that are in the index. Unless written, it is a search for all of them: an index
    /// whose searches don't find all that pass has to look them up.
    ///
    /// # Errors
    /// What a search for all of them gives, where the index has no shorter way.
    fn held(&self, items: &ItemSet) -> Result<ItemSet> {
        if items.is_empty() {
            return Ok(ItemSet::new());
        }
        // A search for as many as pass gives all that are there, whatever the query.
        let query = ndarray::Array2::zeros((1, self.dim()));
        let hits = self.search(query.view(), items.len(), Some(Filter::Allowed(items)))?;
        Ok(hits.items(0).iter().copied().collect())
    }
}

/// An index whose items come, change and go while other threads search it.
///
/// Each query of a search sees all of an update or nothing of it, and never gives an item that was
/// removed before the search began. A filter's predicate is asked while the index can't be updated,
/// so it must not update or search the index itself, nor wait for a thread that does.
///
/// ```
/// use ndarray::array;
/// use seqrec::data::ItemIndex;
/// use seqrec::index::{HnswConfig, HnswIndex, UpdatableIndex, VectorIndex};
///
/// let [old, new] = [1, 7].map(ItemIndex::new);
/// let index = HnswIndex::new(array![[0.0, 0.0], [1.0, 0.0]].view(), &HnswConfig::new())?;
/// index.add(new, &[0.0, 1.0])?;
/// index.replace(old, &[0.5, 0.5])?;
/// assert_eq!(index.search(array![[0.0, 1.0]].view(), 2, None)?.items(0), [new, old]);
/// index.remove(new)?;
/// assert_eq!(index.search(array![[0.0, 1.0]].view(), 2, None)?.items(0), [old]);
/// # Ok::<(), seqrec::Error>(())
/// ```
pub trait UpdatableIndex: VectorIndex {
    /// Whether an item is in the index.
    fn contains(&self, item: ItemIndex) -> bool;

    /// An item's vector as the index keeps it: rounded, at a lower [`Precision`].
    ///
    /// # Errors
    /// [`ErrorKind::UnknownItem`] when it is not in the index.
    fn vector(&self, item: ItemIndex) -> Result<Vec<f32>>;

    /// Adds an item with its vector.
    ///
    /// # Errors
    /// [`ErrorKind::DuplicateItem`] when it is in the index, [`ErrorKind::Shape`] for another dimension,
    /// [`ErrorKind::NonFiniteVector`] for NaN or infinity and [`ErrorKind::InvalidValue`] for item 0,
    /// which is padding.
    fn add(&self, item: ItemIndex, vector: &[f32]) -> Result<()>;

    /// Gives an item another vector.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownItem`] when it is not in the index, and otherwise as
    /// [`add`](UpdatableIndex::add).
    fn replace(&self, item: ItemIndex, vector: &[f32]) -> Result<()>;

    /// Removes an item.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownItem`] when it is not in the index.
    fn remove(&self, item: ItemIndex) -> Result<()>;
}

/// A pointer to an index is an index, with all that the index itself does.
macro_rules! forward {
    ($($pointer:ty),*) => {$(
        impl<I: VectorIndex + ?Sized> VectorIndex for $pointer {
            fn len(&self) -> usize {
                (**self).len()
            }

            fn is_empty(&self) -> bool {
                (**self).is_empty()
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

            fn search_interests(
                &self,
                queries: ArrayView2<'_, f32>,
                interests: usize,
                k: usize,
                filter: Option<Filter<'_>>,
            ) -> Result<Hits> {
                (**self).search_interests(queries, interests, k, filter)
            }

            fn held(&self, items: &ItemSet) -> Result<ItemSet> {
                (**self).held(items)
            }
        }

        impl<I: UpdatableIndex + ?Sized> UpdatableIndex for $pointer {
            fn contains(&self, item: ItemIndex) -> bool {
                (**self).contains(item)
            }

            fn vector(&self, item: ItemIndex) -> Result<Vec<f32>> {
                (**self).vector(item)
            }

            fn add(&self, item: ItemIndex, vector: &[f32]) -> Result<()> {
                (**self).add(item, vector)
            }

            fn replace(&self, item: ItemIndex, vector: &[f32]) -> Result<()> {
                (**self).replace(item, vector)
            }

            fn remove(&self, item: ItemIndex) -> Result<()> {
                (**self).remove(item)
            }
        }
    )*};
}

forward!(&I, Box<I>, std::sync::Arc<I>);

/// Refuses vectors that hold a NaN or an infinity.
fn check_finite(what: &'static str, vectors: ArrayView2<'_, f32>) -> Result<()> {
    match vectors.indexed_iter().find(|(_, value)| !value.is_finite()) {
        None => Ok(()),
        Some(((row, column), &value)) => Err(ErrorKind::NonFiniteVector {
            what,
            row,
            column,
            value,
        }
        .into()),
    }
}

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
    check_finite("the item's vector", vector)?;
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
    check_finite("item vectors", vectors)?;
    check_held(vectors, precision)?;
    Ok(vectors.slice_move(ndarray::s![1.., ..]))
}
