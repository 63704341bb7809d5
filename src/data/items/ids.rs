//! Items of a table and of a catalog, by their ids.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use super::Items;
use crate::data::catalog::Catalog;
use crate::data::dataset::Dataset;
#[cfg(feature = "milvus")]
use crate::data::fingerprint::Fingerprint;
use crate::data::id::ExternalId;
use crate::data::spelling::bare;
use crate::{Error, Result};

impl Items {
    /// The row of each item of a catalog, by its index; the row after the last for those that are
    /// not in the table, padding among them.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) when the table has none of the
    /// catalog's items, and when an item that it lacks is in it by another spelling: where half of
    /// the items have no attributes by mistake, nothing else would tell.
    pub(crate) fn rows_of(&self, catalog: &Catalog) -> Result<Vec<u32>> {
        let none = self.len() as u32;
        let mut lacking = Vec::new();
        let of_items = catalog.ids().map(|id| {
            let row = self.row_of(id).map(|row| row as u32);
            row.unwrap_or_else(|| {
                lacking.push(id);
                none
            })
        });
        let rows: Vec<u32> = std::iter::once(none).chain(of_items).collect();
        self.check_spelling(catalog, &lacking)?;
        if lacking.len() == catalog.len() && !catalog.is_empty() {
            let some = |ids: &mut dyn Iterator<Item = &ExternalId>| -> String {
                let some: Vec<String> = ids.take(3).map(ToString::to_string).collect();
                some.join(", ")
            };
            let reason = format!(
                "none of the catalog's {} items is among them: it has ids such as {}",
                catalog.len(),
                some(&mut catalog.ids())
            );
            let found = format!("{} with ids such as {}", self.name, some(&mut self.ids()));
            return Err(Error::invalid("items", found, reason));
        }
        Ok(rows)
    }

    /// A number that tells this table from others, by its ids and all of its values.
    #[cfg(feature = "milvus")]
    pub(crate) fn fingerprint(&self) -> u64 {
        *self.fingerprint.get_or_init(|| self.fingerprint_of_all())
    }

    #[cfg(feature = "milvus")]
    fn fingerprint_of_all(&self) -> u64 {
        let mut fingerprint = Fingerprint::default();
        for id in self.ids() {
            fingerprint.add(id.to_string().as_bytes());
            fingerprint.add(&[0xff]);
        }
        for attribute in &self.attributes {
            fingerprint.add(attribute.name.as_bytes());
            fingerprint.add(&[0xff, attribute.kind as u8]);
            attribute.values.add_to(&mut fingerprint);
        }
        fingerprint.finish()
    }

    /// Refuses a table that has items of the catalog by another spelling of their ids.
    fn check_spelling(&self, catalog: &Catalog, lacking: &[&ExternalId]) -> Result<()> {
        if lacking.is_empty() {
            return Ok(());
        }
        let mut spelled: foldhash::HashMap<String, &ExternalId> = foldhash::HashMap::default();
        for id in self.ids().filter(|id| catalog.index_of(id).is_none()) {
            spelled.insert(bare(&id.to_string()), id);
        }
        for id in lacking {
            if let Some(other) = spelled.get(&bare(&id.to_string())) {
                let reason =
                    format!("the catalog has {id}: write the ids of interactions and items alike");
                let found = format!("{other} in {}", self.name);
                return Err(Error::invalid("an item's id", found, reason));
            }
        }
        Ok(())
    }
}

impl Dataset {
    /// This data set with the items of a table in its catalog, those that nobody has interacted
    /// with after all others: models have vectors for them, and channels can recall them. A split
    /// is made after this.
    ///
    /// ```
    /// use seqrec::data::{Dataset, Filters, Interaction, Interactions, Items};
    ///
    /// let log: Interactions = [("anna", "pen", 1.0)]
    ///     .map(|(user, item, time)| Interaction::new(user, item, time))
    ///     .into_iter()
    ///     .collect();
    /// let dataset = Dataset::new(log, Filters::default())?;
    /// let dataset = dataset.with_items(&Items::new(["new lamp", "pen"])?)?;
    /// let ids: Vec<String> = dataset.catalog().ids().map(ToString::to_string).collect();
    /// assert_eq!(ids, ["pen", "new lamp"]);
    /// assert_eq!(dataset.catalog().counts(), [0, 1, 0]);
    /// # Ok::<(), seqrec::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) when no item of the data set is
    /// in the table, or when ids look as if they were written in two ways, such as `7` and `007`.
    pub fn with_items(self, items: &Items) -> Result<Self> {
        items.rows_of(self.catalog())?;
        let lacking = |id| self.catalog().index_of(id).is_none();
        if self.catalog().item_features().is_some() && items.ids().any(lacking) {
            let reason = "has items without the features of the others; give the features after it, by \
                          `Dataset::with_item_features`";
            return Err(Error::invalid("items", &items.name, reason));
        }
        Ok(self.with_new_ids(items.ids()))
    }
}
