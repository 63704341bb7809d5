//! Items that are added to the stage that serves.

use std::sync::{Arc, PoisonError};
use std::time::Instant;

use ndarray::{Array2, Axis, concatenate};
use tracing::info;

#[cfg(doc)]
use crate::ErrorKind;
use crate::data::{Catalog, ExternalId, Items};
use crate::store::{GrownStage, ServedStage, VectorTable};
use crate::{Error, Result};

use super::RecallEngine;
use super::guard::caught;
use super::serving::Serving;
use super::settings::check_count;

/// The items that were added since the engine was opened, each once.
#[derive(Default, Clone)]
pub(super) struct AddedItems {
    items: Option<Arc<Items>>,
    /// Their given vectors, by the names of their kinds.
    vectors: Vec<(String, VectorTable)>,
}

impl AddedItems {
    /// These with those items of a table that a catalog lacks.
    fn with(
        &self,
        items: &Items,
        vectors: &[(&str, &VectorTable)],
        catalog: &Catalog,
    ) -> Result<Self> {
        let is_new = |id: &ExternalId| catalog.index_of(id).is_none();
        let new = items.only(is_new);
        let ids: foldhash::HashSet<&ExternalId> = new.ids().collect();
        let mut with = self.clone();
        for (name, table) in vectors {
            let rows: Vec<usize> = (table.ids().iter().enumerate())
                .filter(|(_, id)| ids.contains(id))
                .map(|(row, _)| row)
                .collect();
            let ids = rows.iter().filter_map(|&row| table.ids().get(row).cloned());
            let (ids, rows) = (ids.collect(), table.vectors().select(Axis(0), &rows));
            with.add_vectors(name, ids, rows)?;
        }
        with.items = Some(Arc::new(match &self.items {
            Some(before) => before.joined(&new)?,
            None => new,
        }));
        Ok(with)
    }

    fn add_vectors(&mut self, name: &str, ids: Vec<ExternalId>, rows: Array2<f32>) -> Result<()> {
        let place = self.vectors.iter().position(|(known, _)| known == name);
        let known = place.map(|place| self.vectors.swap_remove(place).1);
        let both = known.and_then(|known| {
            // Those of another size are of what stages were trained with before.
            let all = concatenate(Axis(0), &[known.vectors(), rows.view()]).ok()?;
            Some((known.ids().iter().chain(&ids).cloned().collect(), all))
        });
        let (ids, rows) = both.unwrap_or((ids, rows));
        let table = VectorTable::new(ids, rows)?;
        self.vectors.push((name.to_owned(), table));
        Ok(())
    }

    /// A table with the rows of these that it lacks.
    pub(super) fn items_beside(&self, table: &Arc<Items>) -> Result<Arc<Items>> {
        match &self.items {
            Some(items) => Ok(Arc::new(table.joined(items)?)),
            None => Ok(table.clone()),
        }
    }

    /// A stage with those of these that it lacks.
    pub(super) fn add_to(&self, served: ServedStage) -> Result<ServedStage> {
        let Some(items) = &self.items else {
            return Ok(served);
        };
        let lacking = count_new(items, served.data().catalog());
        if lacking == 0 {
            return Ok(served);
        }
        let vectors = self.vectors.iter();
        let vectors: Vec<_> = vectors.map(|(name, table)| (&**name, table)).collect();
        served.with_items(items, &vectors).map_err(|error| {
            let reason =
                format!("the stage that was loaded lacks them and can't take them: {error}");
            Error::invalid("items that were added", lacking, reason)
        })
    }
}

/// The number of items of a table that a catalog lacks.
fn count_new(items: &Items, catalog: &Catalog) -> usize {
    let new = |id: &&ExternalId| catalog.index_of(id).is_none();
    items.ids().filter(new).count()
}

impl RecallEngine {
    /// Adds the items of a table that the catalog lacks, and gives their number: from the next call
    /// on they are recalled by what their features say, count in histories, and pass filters by
    /// their attributes, where there is a [table of items](Self::set_items). Which channels recall
    /// them, and how the others go on, is said at [`ServedStage::with_items`]. Events of them that
    /// came before count now.
    ///
    /// `vectors` has given vectors by the names of their kinds, as in
    /// [`Run::with_items`](crate::store::Run::with_items). The model is copied, and each vector
    /// goes into the indexes that there are, while calls go on; many at once cost little more than
    /// one. They are kept in memory, and added to each stage that is loaded later and lacks them:
    /// one that has an item serves what it has.
    ///
    /// # Errors
    /// As [`ServedStage::with_items`]; [`ErrorKind::InvalidValue`] for an id that is too long, more
    /// items than [`EngineConfig::added`](super::EngineConfig::added), and a column of another kind
    /// than in the table of items. The stage before goes on serving then.
    pub fn add_items(&self, items: &Items, vectors: &[(&str, &VectorTable)]) -> Result<usize> {
        let begun = Instant::now();
        loop {
            let serving = self.serving();
            for id in items.ids() {
                self.settings.check_id("items", id, serving.longest_id)?;
            }
            serving.served.check_takes_items()?;
            let new = count_new(items, serving.data().catalog());
            if new == 0 {
                return Ok(0);
            }
            // Under no lock, since that asks for other threads.
            let grown = caught("adding items", || serving.served.grown(items, vectors))?;
            if self.serve_grown(&serving, grown, (items, vectors))? {
                let seconds = begun.elapsed().as_secs_f64();
                info!(new, seconds, "items were added");
                return Ok(new);
            }
        }
    }

    /// Serves a stage that items were added to, unless the stage that it was made of serves no
    /// longer; whether it does.
    fn serve_grown(
        &self,
        before: &Arc<Serving>,
        grown: GrownStage,
        (items, vectors): (&Items, &[(&str, &VectorTable)]),
    ) -> Result<bool> {
        let _loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(before, &self.serving()) {
            return Ok(false);
        }
        let added = self.added().with(items, vectors, before.data().catalog())?;
        let beside = grown.catalog().len() - before.own_items;
        check_count("items that are added", beside, self.settings.added)?;
        let table = self.items_for(grown.catalog(), &added)?;
        let serving = Arc::new(before.grown(grown.finish()?));
        serving.set_items(table);
        *self.added.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(added);
        // Channels that go on have heard of everything else.
        let earlier = before.data().catalog();
        drop(self.replace(&serving, |item| earlier.index_of(item).is_none()));
        Ok(true)
    }

    /// The items that were added so far.
    pub(super) fn added(&self) -> Arc<AddedItems> {
        let added = self.added.lock().unwrap_or_else(PoisonError::into_inner);
        added.clone()
    }
}
