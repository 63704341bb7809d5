//! A stage with items that are added to its catalog.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use crate::data::Items;
use crate::recall::NewVectors;
use crate::{Error, Result};

use super::made_stage::Made;
use super::served::ServedStage;
use super::vector_table::VectorTable;

/// A stage with more items, whose vectors are not yet in its indexes: these are the indexes of the
/// stage before, which has to stay as it is until nothing can go wrong any more.
pub(crate) struct GrownStage {
    served: ServedStage,
    vectors: Vec<NewVectors>,
}

impl GrownStage {
    /// The catalog with the new items.
    #[cfg(feature = "engine")]
    pub(crate) fn catalog(&self) -> &crate::data::Catalog {
        self.served.data().catalog()
    }

    /// Adds the vectors to the indexes, which passes over the stage before.
    ///
    /// # Errors
    /// As [`UpdatableIndex::add`](crate::index::UpdatableIndex::add).
    pub(crate) fn finish(self) -> Result<ServedStage> {
        self.vectors.iter().try_for_each(NewVectors::add)?;
        Ok(self.served)
    }
}

impl ServedStage {
    /// This stage with the items of a table that its catalog lacks, after its own, as
    /// [`Recaller::with_items`](super::Recaller::with_items) gives a model with them: the stage of
    /// a folder, whose model looks at features of items.
    ///
    /// Channels by the model and [by content](crate::channels::ContentNeighborsConfig) recall new
    /// items and know them in histories; their indexes are added to and not built anew. Popularity
    /// counts new items once it hears of them. All other channels go on as they are, on histories
    /// without new items. [Tags](crate::data::TrainingData::with_tags) of new items are not known,
    /// so that they pass a cap of tags.
    ///
    /// # Errors
    /// As [`Run::with_items`](super::Run::with_items), and
    /// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) for a stage of a program's own.
    pub fn with_items(self, items: &Items, vectors: &[(&str, &VectorTable)]) -> Result<Self> {
        self.grown(items, vectors)?.finish()
    }

    /// Refuses new items where no model has vectors for them, or it is not known what channels are
    /// made of.
    #[cfg(feature = "engine")]
    pub(crate) fn check_takes_items(&self) -> Result<()> {
        self.made().map(drop)?;
        self.data.check_takes_items()
    }

    fn made(&self) -> Result<&Made> {
        self.made.as_ref().ok_or_else(|| {
            let reason = "has channels that nobody but your program can make for more items: serve the stage of \
                          a run folder, or make it anew of `Recaller::with_items` and reload";
            Error::invalid("stage", "of your own", reason)
        })
    }

    /// A stage with the items of a table that this one's catalog lacks, up to what both share.
    pub(crate) fn grown(
        &self,
        items: &Items,
        vectors: &[(&str, &VectorTable)],
    ) -> Result<GrownStage> {
        let made = self.made()?;
        let data = self.data.with_items(items, vectors)?;
        let (stage, made, vectors) = made.grown(&data, self.data().catalog().len())?;
        let served = Self {
            stage,
            data,
            users: self.users.clone(),
            made: Some(made),
        };
        Ok(GrownStage { served, vectors })
    }
}
