//! Which items a search may find.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use std::sync::Arc;

use crate::Result;
use crate::data::{Catalog, ItemFilter, Items};
use crate::item::{ItemIndex, ItemSet};

/// Which items a search may find.
///
/// Indexes honor it inside the search: there are always k hits when k items pass, however few
/// these are.
///
/// ```
/// use seqrec::ndarray::array;
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
    /// The items whose attributes pass, for every query. A server that was given the same
    /// attributes looks at them itself; to all other indexes it is the set of those that pass.
    Matching(&'a Matching),
}

impl Filter<'_> {
    /// Whether a query, by its row, may be given an item.
    #[inline]
    pub fn passes(&self, query: usize, item: ItemIndex) -> bool {
        match self {
            Self::Predicate(passes) => passes(query, item),
            Self::Allowed(items) => items.contains(item),
            Self::Matching(matching) => matching.items.contains(item),
        }
    }

    /// The items that pass, where they are the same for every query.
    pub(crate) fn set(&self) -> Option<&ItemSet> {
        match self {
            Self::Predicate(_) => None,
            Self::Allowed(items) => Some(items),
            Self::Matching(matching) => Some(&matching.items),
        }
    }
}

impl std::fmt::Debug for Filter<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Predicate(_) => f.write_str("Predicate(..)"),
            Self::Allowed(items) => write!(f, "Allowed({} items)", items.len()),
            Self::Matching(matching) => write!(f, "Matching({} items)", matching.items.len()),
        }
    }
}

/// The items of a catalog whose attributes pass a filter, with the filter itself, so that an index
/// on a server can look at attributes there.
///
/// ```
/// use seqrec::ndarray::array;
/// use seqrec::data::{Catalog, Items};
/// use seqrec::index::{Filter, FlatIndex, Matching, VectorIndex};
///
/// let items = Items::new(["pen", "desk"])?.with_numbers("price", [Some(1.5), Some(99.0)])?;
/// let catalog = Catalog::from_ids(["desk", "pen"].map(Into::into))?;
/// let cheap = Matching::new(items, "price < 20".parse()?, &catalog)?;
/// let index = FlatIndex::new(array![[0.0], [1.0], [2.0]].view())?;
/// let hits = index.search(array![[1.0]].view(), 9, Some(Filter::Matching(&cheap)))?;
/// assert!(catalog.known(["pen"]).eq(hits.items(0).iter().copied()));
/// # Ok::<(), seqrec::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Matching {
    items: Arc<ItemSet>,
    table: Arc<Items>,
    filter: ItemFilter,
    without: ItemSet,
}

impl Matching {
    /// The items of a catalog that pass a filter of a table's columns.
    ///
    /// # Errors
    /// As [`Items::passing`].
    pub fn new(
        table: impl Into<Arc<Items>>,
        filter: ItemFilter,
        catalog: &Catalog,
    ) -> Result<Self> {
        let table = table.into();
        let items = Arc::new(table.passing(&filter, catalog)?);
        Ok(Self::of(items, table, filter))
    }

    /// Items that are known to be those that pass.
    pub(crate) fn of(items: Arc<ItemSet>, table: Arc<Items>, filter: ItemFilter) -> Self {
        Self {
            items,
            table,
            filter,
            without: ItemSet::new(),
        }
    }

    /// This filter without some items, such as those that a user has seen.
    #[must_use]
    pub fn without_items(mut self, items: &ItemSet) -> Self {
        let gone = items.iter().filter(|&item| self.items.contains(item));
        let gone: ItemSet = gone.collect();
        if !gone.is_empty() {
            let left = Arc::make_mut(&mut self.items);
            gone.iter().for_each(|item| {
                left.remove(item);
            });
            self.without.extend(gone.iter());
        }
        self
    }

    /// The items that pass.
    pub fn items(&self) -> &ItemSet {
        &self.items
    }

    /// The table whose columns the filter looks at.
    pub fn table(&self) -> &Items {
        &self.table
    }

    /// The filter.
    pub fn filter(&self) -> &ItemFilter {
        &self.filter
    }

    /// Items that pass the filter and were [left out](Self::without_items).
    pub fn without(&self) -> &ItemSet {
        &self.without
    }
}
