//! The table of items that an engine filters by.

use std::sync::{Arc, PoisonError};

use crate::Result;
use crate::data::{Catalog, Items};
use crate::recall::CatalogItems;

use super::RecallEngine;
use super::new_items::AddedItems;

impl RecallEngine {
    /// Filters by another table of items from the next call on, such as one with today's prices and
    /// stock, and gives its titles with what is recalled. Stages that are loaded later are served
    /// with the same table. Items that were [added](Self::add_items) and that it lacks keep the
    /// attributes that they came with.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) when the table has none of the
    /// items that are served, or has some by another spelling of their ids, or has a column of
    /// another kind than that of items which were added; the table before stays.
    pub fn set_items(&self, items: impl Into<Arc<Items>>) -> Result<()> {
        let items = items.into();
        // So that no stage begins to serve without it meanwhile.
        let _loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let serving = self.serving();
        let all = self.added().items_beside(&items)?;
        let of_catalog = CatalogItems::new(all, serving.data().catalog())?;
        let mut kept = self.items.lock().unwrap_or_else(PoisonError::into_inner);
        *kept = Some(items);
        serving.set_items(Some(Arc::new(of_catalog)));
        Ok(())
    }

    /// The table for a stage that is to serve next, with the items that were added.
    pub(super) fn items_for(
        &self,
        catalog: &Catalog,
        added: &AddedItems,
    ) -> Result<Option<Arc<CatalogItems>>> {
        let kept = self.items.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(items) = kept.clone() else {
            return Ok(None);
        };
        let all = added.items_beside(&items)?;
        Ok(Some(Arc::new(CatalogItems::new(all, catalog)?)))
    }
}
