//! A table of items next to the catalog that answers are of.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use crate::data::{Catalog, Cell, ItemFilter, ItemIndex, Items};
use crate::index::{ItemSet, Matching};
use crate::{Error, Result};

/// The number of filters whose items are kept, so that one that comes with every request is looked
/// at once. Each takes a bit for each item of the catalog.
const KEPT: usize = 64;

/// A table of items, and which of its rows each item of a catalog has.
pub(crate) struct CatalogItems {
    pub(crate) items: Arc<Items>,
    rows: Vec<u32>,
    /// The sets of the last filters, the latest first.
    passed: Mutex<VecDeque<(ItemFilter, Arc<ItemSet>)>>,
}

impl CatalogItems {
    /// # Errors
    /// As [`Items::passing`] for a catalog of other items.
    pub(crate) fn new(items: Arc<Items>, catalog: &Catalog) -> Result<Self> {
        Ok(Self {
            rows: items.rows_of(catalog)?,
            items,
            passed: Mutex::default(),
        })
    }

    /// The values of an item, in the order of the table's columns.
    pub(super) fn cells(&self, item: ItemIndex) -> impl Iterator<Item = Cell<'_>> {
        let row = self.rows.get(item.to_usize());
        // What is beyond the last row is missing.
        (self.items).cells(row.map_or(self.items.len(), |&row| row as usize))
    }

    /// The items of the catalog that pass a filter, with the filter.
    ///
    /// # Errors
    /// As [`Items::passing`].
    pub(super) fn matching(&self, filter: &ItemFilter) -> Result<Matching> {
        let passing = self.passing(filter)?;
        Ok(Matching::of(passing, self.items.clone(), filter.clone()))
    }

    /// The items of the catalog that pass a filter.
    ///
    /// # Errors
    /// As [`Items::passing`].
    fn passing(&self, filter: &ItemFilter) -> Result<Arc<ItemSet>> {
        let lock = || self.passed.lock().unwrap_or_else(PoisonError::into_inner);
        {
            let mut passed = lock();
            let place = passed.iter().position(|(of, _)| of == filter);
            if let Some(found) = place.and_then(|place| passed.remove(place)) {
                let items = found.1.clone();
                passed.push_front(found);
                return Ok(items);
            }
        }
        let items = Arc::new(self.items.passing_rows(filter, &self.rows)?);
        let mut passed = lock();
        passed.truncate(KEPT - 1);
        passed.push_front((filter.clone(), items.clone()));
        Ok(items)
    }
}

/// The error of a filter of attributes where there are none.
pub(super) fn no_items(filter: &ItemFilter, give: &str) -> Error {
    let reason = format!("attributes of items are not known here; give a table of items by {give}");
    Error::invalid("filter", format!("`{filter}`"), reason)
}
