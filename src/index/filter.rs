//! Which items a search may find.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use crate::item::{ItemIndex, ItemSet};

/// Which items a search may find.
///
/// Indexes honor it inside the search: there are always k hits when k items pass, however few
/// these are.
///
/// ```
/// use ndarray::array;
/// use seqrec::data::ItemIndex;
/// use seqrec::index::{Filter, FlatIndex, ItemSet, VectorIndex};
///
/// let index = FlatIndex::new(array![[0.0], [1.0], [2.0], [3.0]].view())?;
/// let query = array![[1.0]];
/// let odd = |_query: usize, item: ItemIndex| item.get() % 2 == 1;
/// let hits = index.search(query.view(), 2, Some(Filter::Predicate(&odd)))?;
/// assert_eq!(hits.items(0), [3, 1].map(ItemIndex::new));
/// let in_stock: ItemSet = [2].map(ItemIndex::new).into_iter().collect();
/// let hits = index.search(query.view(), 2, Some(Filter::Allowed(&in_stock)))?;
/// assert_eq!(hits.items(0), [2].map(ItemIndex::new));
/// # Ok::<(), seqrec::Error>(())
/// ```
#[derive(Clone, Copy)]
#[non_exhaustive]
pub enum Filter<'a> {
    /// The items that a predicate passes, which is asked with the query's row and the item: for
    /// what differs from query to query, such as the items that a user has seen.
    Predicate(&'a (dyn Fn(usize, ItemIndex) -> bool + Sync)),
    /// The items of a set, for every query: for what all have in common, such as the items in
    /// stock. How many pass is known at once, and a small set is gone through alone.
    Allowed(&'a ItemSet),
}

impl Filter<'_> {
    /// Whether a query, by its row, may be given an item.
    #[inline]
    pub fn passes(&self, query: usize, item: ItemIndex) -> bool {
        match self {
            Self::Predicate(passes) => passes(query, item),
            Self::Allowed(items) => items.contains(item),
        }
    }
}

impl std::fmt::Debug for Filter<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Predicate(_) => f.write_str("Predicate(..)"),
            Self::Allowed(items) => write!(f, "Allowed({} items)", items.len()),
        }
    }
}
