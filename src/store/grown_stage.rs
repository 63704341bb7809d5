//! A stage with items that are added to its catalog.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use std::fmt;
use std::sync::Arc;

use crate::data::Items;
use crate::recall::{Growth, Kept, NewVectors};
use crate::{Error, Result};

use super::plan::{StageParts, StagePlan};
use super::served::ServedStage;
use super::stage_data::StageData;
use super::vector_table::VectorTable;

/// What a stage was made of when it was loaded, of which a stage with more items is made.
pub(super) struct Made {
    plan: StagePlan,
    parts: StageParts,
    /// The number of items then.
    items: usize,
}

impl Made {
    pub(super) fn new(plan: StagePlan, mut parts: StageParts, items: usize) -> Self {
        // Indexes alone are looked at again, and channels have all else in another form.
        for (_, kept) in &mut parts.channels {
            kept.take_if(|kept| !matches!(kept, Kept::Index(..)));
        }
        Self { plan, parts, items }
    }

    /// The parts for data with more items than there were `before`, and the vectors that are to be
    /// added to indexes.
    fn grown(&self, data: &StageData, before: usize) -> Result<(StageParts, Vec<NewVectors>)> {
        let (plan, made) = (&self.plan, self.items);
        let growth = Growth { made, before };
        let (mut parts, mut vectors) = (StageParts::default(), Vec::new());
        for (channel, (built, index)) in plan.channels.iter().zip(&self.parts.channels) {
            let source = plan.fitted(data.source_with_items(channel.model.as_deref()));
            let mut source = source.with_growth(growth, index.clone());
            let built = built.clone();
            let built = channel.config.build_for_new_items(built, &mut source)?;
            vectors.extend(source.take_new_vectors());
            let index = source.kept_index();
            parts.channels.push((built, index));
        }
        for (rule, built) in plan.selections.iter().zip(&self.parts.selections) {
            let built = rule.build_for_new_items(built, data)?;
            parts.selections.push(built);
        }
        if let (Some(fallback), Some(built)) = (&plan.fallback, &self.parts.fallback) {
            let source = plan.fitted(data.source_with_items(None));
            let mut source = source.with_growth(growth, None);
            let built = fallback.build_for_new_items(built.clone(), &mut source)?;
            vectors.extend(source.take_new_vectors());
            parts.fallback = Some(built);
        }
        Ok((parts, vectors))
    }
}

impl fmt::Debug for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Made")
            .field("plan", &self.plan)
            .field("items", &self.items)
            .finish_non_exhaustive()
    }
}

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
    /// [`Recaller::with_items`](super::Recaller::with_items) gives a model with them: the stage of a
    /// folder, whose model looks at features of items.
    ///
    /// Channels by the model and [by content](crate::channels::ContentNeighborsConfig) recall new
    /// items and know them in histories; their indexes are added to and not built anew. Popularity
    /// counts new items once it hears of them. All other channels go on as they are, on histories
    /// without new items. [Tags](crate::data::TrainingData::with_tags) of new items are not known, so
    /// that they pass a cap of tags.
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

    fn made(&self) -> Result<&Arc<Made>> {
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
        let (parts, vectors) = made.grown(&data, self.data().catalog().len())?;
        let served = Self {
            stage: made.plan.stage_of(&parts)?,
            data,
            users: self.users.clone(),
            made: Some(made.clone()),
        };
        Ok(GrownStage { served, vectors })
    }
}
