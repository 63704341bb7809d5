//! What every index does.

use ndarray::ArrayView2;

use super::{Filter, Hits, ItemSet};
use crate::{Error, ErrorKind, Result, checks};

/// An index over the item vectors of a catalog.
///
/// Indexes know inner products alone: where the similarity is the cosine, vectors are scaled to
/// length 1 before they come here, as [`item_vectors`](crate::retrieve::item_vectors) does.
///
/// An index is shared by `Arc`: a [`VectorChannel`](crate::recall::VectorChannel) of an
/// `Arc<HnswIndex>` answers from the index that somebody else updates.
///
/// An index of your own, such as one that asks a service, needs three functions:
///
/// ```
/// use seqrec::ndarray::{Array2, ArrayView2, array};
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

    /// Whether [`search`](VectorIndex::search) always finds the true best: not, unless an index
    /// says so.
    fn is_exact(&self) -> bool {
        false
    }

    /// The k best items by inner product for each row of `queries` `[n, dim]`, best first, ties
    /// by item index; only those that pass the filter. There are fewer than k only where fewer
    /// pass, or where a server gives no more.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`] for a k of 0, or a k or filter beyond a server's limits,
    /// [`ErrorKind::Shape`] for queries of another dimension and [`ErrorKind::NonFiniteVector`] for
    /// a query with NaN or infinity.
    fn search(
        &self,
        queries: ArrayView2<'_, f32>,
        k: usize,
        filter: Option<Filter<'_>>,
    ) -> Result<Hits>;

    /// Refuses what every index refuses: a k of 0, and queries of another dimension or with a NaN
    /// or an infinity. An index of your own begins a search with it.
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
        checks::finite("queries", queries)
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

    /// Those of some items that are in the index. Unless written, it is a search for all of them:
    /// an index whose searches don't find all that pass has to look them up.
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

            fn check_queries(&self, queries: ArrayView2<'_, f32>, k: usize) -> Result<()> {
                (**self).check_queries(queries, k)
            }
        }
    )*};
}

forward!(&I, Box<I>, std::sync::Arc<I>);
