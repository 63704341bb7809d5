//! A stage with items that are added to its catalog.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use std::fmt;
use std::sync::Arc;

use crate::data::Items;
use crate::recall::{
    ChannelConfig, Growth, Kept, NewVectors, RecallChannel, RecallStage, Selection,
};
use crate::{Error, Result};

use super::plan::{StageParts, StagePlan};
use super::served::ServedStage;
use super::stage_data::StageData;
use super::vector_table::VectorTable;

/// What a stage is made of, for one with more items.
pub(super) struct Made {
    plan: Arc<StagePlan>,
    channels: Vec<MadeChannel>,
    selections: Vec<Arc<dyn Selection>>,
    fallback: Option<MadeChannel>,
}

/// A channel as it was made for the first so many items of the catalog.
struct MadeChannel {
    channel: Arc<dyn RecallChannel>,
    items: usize,
    /// Its index, where it has one.
    index: Option<Kept>,
}

impl Made {
    /// A stage of a plan that was made for so many items.
    pub(super) fn new(plan: StagePlan, parts: StageParts, items: usize) -> Self {
        let made = |channel, kept: Option<Kept>| MadeChannel {
            channel,
            items,
            // Of all else channels have what they need.
            index: kept.filter(|kept| matches!(kept, Kept::Index(..))),
        };
        let channels = parts.channels.into_iter();
        Self {
            plan: Arc::new(plan),
            channels: channels
                .map(|(channel, kept)| made(channel, kept))
                .collect(),
            selections: parts.selections,
            fallback: parts.fallback.map(|fallback| made(fallback, None)),
        }
    }

    /// The stage for data with more items than there were `before`, and the vectors that are to be
    /// added to its indexes.
    fn grown(
        &self,
        data: &StageData,
        before: usize,
    ) -> Result<(RecallStage, Self, Vec<NewVectors>)> {
        let plan = &self.plan;
        let (mut parts, mut vectors) = (StageParts::default(), Vec::new());
        let mut grow = |config: &dyn ChannelConfig, model, made: &MadeChannel| {
            let source = plan.fitted(data.source_with_items(model));
            let growth = Growth {
                made: made.items,
                before,
            };
            let mut source = source.with_growth(growth, made.index.clone());
            let built = config.build_for_new_items(made.channel.clone(), &mut source)?;
            vectors.extend(source.take_new_vectors());
            let (channel, items) = match source.goes_on() {
                true => (made.channel.clone(), made.items),
                false => (built.clone(), data.training.catalog().len()),
            };
            let index = source.kept_index();
            Ok::<_, Error>((
                built,
                MadeChannel {
                    channel,
                    items,
                    index,
                },
            ))
        };
        let mut channels = Vec::with_capacity(self.channels.len());
        for (planned, made) in plan.channels.iter().zip(&self.channels) {
            let (built, made) = grow(&*planned.config, planned.model.as_deref(), made)?;
            parts.channels.push((built, made.index.clone()));
            channels.push(made);
        }
        let mut fallback = None;
        if let (Some(planned), Some(made)) = (&plan.fallback, &self.fallback) {
            let (built, made) = grow(&**planned, None, made)?;
            parts.fallback = Some(built);
            fallback = Some(made);
        }
        for (rule, built) in plan.selections.iter().zip(&self.selections) {
            parts
                .selections
                .push(rule.build_for_new_items(built, data)?);
        }
        let made = Self {
            plan: plan.clone(),
            channels,
            selections: parts.selections.clone(),
            fallback,
        };
        Ok((plan.stage_of(&parts)?, made, vectors))
    }
}

impl fmt::Debug for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Made")
            .field("plan", &self.plan)
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
