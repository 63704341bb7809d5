//! What a stage is made of, and the stage that is made of it with more items.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use std::fmt;
use std::sync::Arc;

use crate::recall::{
    ChannelConfig, Growth, Kept, NewVectors, RecallChannel, RecallStage, Selection,
};
use crate::{Error, Result};

use super::plan::{StageParts, StagePlan};
use super::stage_data::StageData;

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
    pub(super) fn grown(
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
