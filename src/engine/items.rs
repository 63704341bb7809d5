//! The table of items that an engine filters by.

use std::sync::{Arc, PoisonError};

use crate::Result;
use crate::data::Items;
use crate::recall::CatalogItems;
use crate::store::ServedStage;

use super::RecallEngine;

impl RecallEngine {
    /// Filters by another table of items from the next call on, such as one with today's prices and
    /// stock, and gives its titles with what is recalled. Stages that are loaded later are served
    /// with the same table.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) when the table has none of the
    /// items that are served, or has some by another spelling of their ids; the table before stays.
    pub fn set_items(&self, items: impl Into<Arc<Items>>) -> Result<()> {
        let items = items.into();
        // So that no stage begins to serve without it meanwhile.
        let _loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let serving = self.serving();
        let of_catalog = CatalogItems::new(items.clone(), serving.data().catalog())?;
        let mut kept = self.items.lock().unwrap_or_else(PoisonError::into_inner);
        *kept = Some(items);
        serving.set_items(Some(Arc::new(of_catalog)));
        Ok(())
    }

    /// The table for a stage that is to serve next.
    pub(super) fn items_for(&self, served: &ServedStage) -> Result<Option<Arc<CatalogItems>>> {
        let kept = self.items.lock().unwrap_or_else(PoisonError::into_inner);
        let catalog = served.data().catalog();
        let items = kept.clone().map(|items| CatalogItems::new(items, catalog));
        Ok(items.transpose()?.map(Arc::new))
    }
}
