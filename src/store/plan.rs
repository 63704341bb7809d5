//! A recall stage as settings, which say what it is made of.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::channels::tags_of_items;
use crate::index::IndexPlan;
use crate::recall::{
    ChannelWeight, Fusion, MaximalMarginalRelevance, RecallStage, Selection, TagCap,
};
use crate::{Error, Result};

use super::channel_kind::{ChannelKind, Prepared, lacks};
use super::stage_data::StageData;

/// A channel with its name, its share of the fusion and its time budget.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PlannedChannel {
    /// The channel's name.
    pub name: String,
    /// What it is.
    #[serde(flatten)]
    pub kind: ChannelKind,
    /// What it counts for in the fusion.
    #[serde(default)]
    pub share: ChannelWeight,
    /// The name of the [further model](StageData::with_further_model) that it looks at, if it does at
    /// any; the run's own where none is named.
    #[serde(default)]
    pub model: Option<String>,
    /// How long a call waits for it, in milliseconds; as long as the engine says where it is not
    /// given.
    #[serde(default)]
    pub budget_milliseconds: Option<f64>,
}

impl PlannedChannel {
    /// A channel with the usual share.
    pub fn new(name: impl Into<String>, kind: ChannelKind) -> Self {
        Self {
            name: name.into(),
            kind,
            share: ChannelWeight::default(),
            model: None,
            budget_milliseconds: None,
        }
    }

    /// This channel looking at the [further model](StageData::with_further_model) of a name.
    #[must_use]
    pub fn with_model(self, name: impl Into<String>) -> Self {
        let model = Some(name.into());
        Self { model, ..self }
    }
}

/// A rule by which items are chosen for diversity.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum PlannedSelection {
    /// At most so many items of each tag: [`TagCap`].
    TagCap {
        /// The largest number of items of a tag.
        most: usize,
    },
    /// [`MaximalMarginalRelevance`] in the model's embedding.
    MaximalMarginalRelevance {
        /// λ, from 0 to 1.
        relevance: f64,
    },
}

impl PlannedSelection {
    fn build(self, data: &StageData) -> Result<Box<dyn Selection>> {
        Ok(match self {
            Self::TagCap { most } => Box::new(TagCap::new(tags_of_items(&data.training)?, most)?),
            Self::MaximalMarginalRelevance { relevance } => {
                let model = data.model.as_ref().ok_or_else(|| lacks(&self, "a model"))?;
                Box::new(MaximalMarginalRelevance::new(
                    model.item_vectors(),
                    relevance,
                )?)
            }
        })
    }
}

/// A [`RecallStage`] as settings: what a run folder holds, so that a service builds its stage of
/// that alone.
///
/// ```
/// use seqrec::prelude::*;
/// use seqrec::channels::{ItemNeighborsConfig, PopularityConfig};
/// use seqrec::recall::{Fusion, HistoryItems};
/// use seqrec::store::{ChannelKind, PlannedChannel, StagePlan};
///
/// let log = seqrec::data::synthetic::Synthetic::new().with_users(80).with_items(60).generate();
/// let dataset = Dataset::new(log, Filters::default())?;
/// let split = Split::new(&dataset, Protocol::LeaveOneOut)?;
///
/// let mut plan = StagePlan::new(Fusion::RECIPROCAL_RANK);
/// plan.channels = vec![
///     PlannedChannel::new("markov", ChannelKind::MarkovChain),
///     PlannedChannel::new("item_cf", ChannelKind::ItemNeighbors {
///         start: HistoryItems::last(20)?.with_decay(0.8)?,
///         settings: ItemNeighborsConfig::new(),
///     }),
/// ];
/// plan.fallback = Some(ChannelKind::Popularity { settings: PopularityConfig::new() });
/// let stage = plan.build(&split.train.clone().into())?;
/// let report = Evaluation::new(&[10], Seen::Keep).run(&stage, &split.test, split.catalog())?;
/// println!("recall@10 {:.4}", report.recall(10).unwrap());
/// # Ok::<(), seqrec::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StagePlan {
    /// How lists become one.
    pub fusion: Fusion,
    /// How many candidates each channel is asked for, or k where that is more.
    pub candidates: usize,
    /// The channels.
    pub channels: Vec<PlannedChannel>,
    /// Rules for diversity, in order.
    pub selections: Vec<PlannedSelection>,
    /// What fills short lists up.
    pub fallback: Option<ChannelKind>,
    /// How vectors are searched, for each channel that searches vectors.
    #[serde(default)]
    pub index: IndexPlan,
}

impl StagePlan {
    /// A plan with no channels yet, of 200 candidates each.
    pub fn new(fusion: Fusion) -> Self {
        Self {
            fusion,
            candidates: 200,
            channels: Vec::new(),
            selections: Vec::new(),
            fallback: None,
            index: IndexPlan::default(),
        }
    }

    /// This plan with one more channel, of a share like the others'.
    #[must_use]
    pub fn channel(mut self, name: impl Into<String>, kind: ChannelKind) -> Self {
        self.channels.push(PlannedChannel::new(name, kind));
        self
    }

    /// The stage, made of the data.
    ///
    /// # Errors
    /// As [`ChannelKind::build`], for names that are taken, and when nothing can come of the plan:
    /// [`ErrorKind::NothingLeft`](crate::ErrorKind::NothingLeft) without channels and a fallback, and [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) when all
    /// channels weigh 0.
    pub fn build(&self, data: &StageData) -> Result<RecallStage> {
        self.assemble(self.prepare(data)?, data)
    }

    pub(super) fn prepare(&self, data: &StageData) -> Result<Vec<Prepared>> {
        let prepare = |channel: &PlannedChannel| {
            let model = data.model_of(channel.model.as_deref())?;
            (channel.kind).prepare(data.training(), model, &self.index, self.candidates)
        };
        self.channels.iter().map(prepare).collect()
    }

    pub(super) fn assemble(
        &self,
        prepared: Vec<Prepared>,
        data: &StageData,
    ) -> Result<RecallStage> {
        let mut stage = RecallStage::new(self.fusion, self.candidates)?;
        for (channel, prepared) in self.channels.iter().zip(prepared) {
            let report = prepared.index().map(|(_, report)| report);
            let model = data.model_of(channel.model.as_deref())?;
            let built = (channel.kind).assemble(prepared, data.training(), model)?;
            stage = stage.channel(&channel.name, built, channel.share)?;
            if let Some(report) = report {
                stage = stage.with_index(&channel.name, report);
            }
            if let Some(milliseconds) = channel.budget_milliseconds {
                let budget = Duration::try_from_secs_f64(milliseconds / 1e3).map_err(|error| {
                    Error::invalid("budget_milliseconds", milliseconds, error.to_string())
                })?;
                stage = stage.budget(&channel.name, budget)?;
            }
        }
        for selection in &self.selections {
            stage = stage.selection(selection.build(data)?);
        }
        if let Some(fallback) = &self.fallback {
            stage = stage.fallback(fallback.build(data)?);
        }
        stage.check()?;
        Ok(stage)
    }
}
