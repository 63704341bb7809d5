//! A recall stage as settings, which say what it is made of.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tracing::{info, info_span};

use crate::channels::{
    ItemNeighborsConfig, MarkovChainConfig, PopularityConfig, SimilarUsersConfig,
};
use crate::data::Spans;
use crate::index::IndexPlan;
use crate::recall::{
    ChannelConfig, ChannelSource, ChannelWeight, Fusion, Kept, Links, MaximalMarginalRelevance,
    RecallChannel, RecallStage, Selection, TagCap, VectorChannelConfig, WeightLearningConfig,
};
use crate::{Error, Result};

use super::stage_data::StageData;

/// A channel with its name, its share of the fusion and its time budget.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct PlannedChannel {
    /// The channel's name.
    pub name: String,
    /// The channel's settings, whose `kind` in JSON says of which kind it is.
    pub config: Arc<dyn ChannelConfig>,
    /// Its weight in the fusion.
    #[serde(default)]
    pub share: ChannelWeight,
    /// The name of the [further model](StageData::with_further_model) that it looks at, if it does
    /// at any; the run's own where none is named.
    #[serde(default)]
    pub model: Option<String>,
    /// The time that a call waits for it, in milliseconds; as long as the engine says where it is
    /// not given.
    #[serde(default)]
    pub budget_milliseconds: Option<f64>,
}

impl PlannedChannel {
    /// A channel with the usual share.
    pub fn new(name: impl Into<String>, config: impl ChannelConfig + 'static) -> Self {
        Self {
            name: name.into(),
            config: Arc::new(config),
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
    fn build(self, data: &StageData) -> Result<Arc<dyn Selection>> {
        Ok(match self {
            Self::TagCap { most } => {
                Arc::new(TagCap::new(Links::tags_of_items(&data.training)?, most)?)
            }
            Self::MaximalMarginalRelevance { relevance } => {
                let vectors = data.source(None)?.item_vectors()?;
                Arc::new(MaximalMarginalRelevance::new(vectors, relevance)?)
            }
        })
    }

    /// What takes a rule's place when items are added.
    pub(super) fn build_for_new_items(
        self,
        rule: &Arc<dyn Selection>,
        data: &StageData,
    ) -> Result<Arc<dyn Selection>> {
        match self {
            // New items have no tags.
            Self::TagCap { .. } => Ok(rule.clone()),
            // Without vectors they are near nothing.
            Self::MaximalMarginalRelevance { .. } if data.model.is_none() => Ok(rule.clone()),
            Self::MaximalMarginalRelevance { .. } => self.build(data),
        }
    }
}

/// A [`RecallStage`] as settings: what a run folder holds, so that a service builds its stage of
/// that alone.
///
/// ```
/// use seqrec::prelude::*;
/// use seqrec::channels::{ItemNeighborsConfig, MarkovChainConfig, PopularityConfig};
/// use seqrec::recall::Fusion;
/// use seqrec::store::StagePlan;
///
/// let log = seqrec::data::synthetic::Synthetic::new().with_users(80).with_items(60).generate()?;
/// let dataset = Dataset::new(log, Filters::default())?;
/// let split = Split::new(&dataset, Protocol::LeaveOneOut)?;
///
/// let plan = StagePlan::new(Fusion::RECIPROCAL_RANK)
///     .channel("markov", MarkovChainConfig::new())
///     .channel("item_cf", ItemNeighborsConfig::new())
///     .fallback(PopularityConfig::new());
/// let stage = plan.build(&split.train.clone().into())?;
/// let report = Evaluation::new(&[10], Seen::Keep).run(&stage, &split.test, split.catalog())?;
/// println!("recall@10 {:.4}", report.recall(10).unwrap());
/// # Ok::<(), seqrec::Error>(())
/// ```
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct StagePlan {
    /// The fusion, by which lists become one.
    pub fusion: Fusion,
    /// The number of candidates that each channel is asked for, or k where that is more.
    pub candidates: usize,
    /// The channels.
    pub channels: Vec<PlannedChannel>,
    /// Rules for diversity, in order.
    pub selections: Vec<PlannedSelection>,
    /// A channel that fills short lists up. A folder keeps its settings alone, so that it is made
    /// anew whenever a stage is loaded: take one that is made fast.
    pub fallback: Option<Arc<dyn ChannelConfig>>,
    /// The index of vectors, for each channel that searches vectors.
    #[serde(default)]
    pub index: IndexPlan,
}

/// What a stage is made of by its plan.
#[derive(Clone, Default)]
pub(super) struct StageParts {
    /// Each channel, with what a folder keeps of it.
    pub(super) channels: Vec<(Arc<dyn RecallChannel>, Option<Kept>)>,
    pub(super) selections: Vec<Arc<dyn Selection>>,
    pub(super) fallback: Option<Arc<dyn RecallChannel>>,
}

/// Reads what a folder has kept of the channel at a place.
pub(super) type ReadKept<'a> = &'a dyn Fn(usize, &PlannedChannel) -> Result<Option<Kept>>;

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

    /// A plan for a model: its channel, item-based and user-based collaborative filtering and a
    /// Markov chain, fused by reciprocal ranks, with popularity as the fallback. Which of them help
    /// depends on the data: [`learn_weights`](Self::learn_weights) finds it out.
    ///
    /// ```
    /// use seqrec::prelude::*;
    /// use seqrec::store::{StageData, StagePlan};
    ///
    /// let log = seqrec::data::synthetic::Synthetic::new().with_users(80).with_items(60).generate()?;
    /// let split = Split::new(&Dataset::new(log, Filters::default())?, Protocol::LeaveOneOut)?;
    /// let model = Gru4RecConfig::new().with_dim(8).fit(&split)?;
    /// let data = StageData::from(split.train.clone()).with_model(model)?;
    /// let mut plan = StagePlan::standard();
    /// plan.learn_weights(&data, &split.valid, &WeightLearningConfig::new(10))?;
    /// let retriever = Retriever::new(plan.build(&data)?, split.catalog().clone())?;
    /// # use seqrec::recall::WeightLearningConfig;
    /// println!("{}", retriever.recall([3, 14, 15], 10)?);
    /// # Ok::<(), seqrec::Error>(())
    /// ```
    pub fn standard() -> Self {
        Self::new(Fusion::RECIPROCAL_RANK)
            .channel("model", VectorChannelConfig::new())
            .channel("item_cf", ItemNeighborsConfig::new())
            .channel("user_cf", SimilarUsersConfig::new())
            .channel("markov", MarkovChainConfig::new())
            .fallback(PopularityConfig::new())
    }

    /// Gives the channels the weights by which most of what was held out is among the first k of
    /// the fused list, and says how large that recall@k is: the stage is built of the data, and
    /// [learns](RecallStage::learn_weights) from the validation cases.
    ///
    /// # Errors
    /// As [`build`](Self::build) and [`RecallStage::learn_weights`].
    pub fn learn_weights(
        &mut self,
        data: &StageData,
        cases: &Spans,
        config: &WeightLearningConfig,
    ) -> Result<f64> {
        cases.check_catalog(data.training.catalog())?;
        let mut stage = self.build(data)?;
        let recall = stage.learn_weights(cases, config, |case| {
            let place = data.training.place_of_user(case.number);
            let segments = place.map_or(&[][..], |place| data.training.segments(place));
            case.user.in_segments(segments)
        })?;
        for (channel, share) in self.channels.iter_mut().zip(stage.shares()) {
            channel.share = share;
        }
        Ok(recall)
    }

    /// This plan with one more channel, of a share like the others'.
    #[must_use]
    pub fn channel(
        mut self,
        name: impl Into<String>,
        config: impl ChannelConfig + 'static,
    ) -> Self {
        self.channels.push(PlannedChannel::new(name, config));
        self
    }

    /// This plan with a channel that fills short lists up.
    #[must_use]
    pub fn fallback(mut self, config: impl ChannelConfig + 'static) -> Self {
        self.fallback = Some(Arc::new(config));
        self
    }

    /// The stage, made of the data.
    ///
    /// # Errors
    /// As [`ChannelConfig::build`], for names that are taken, and when nothing can come of the
    /// plan: [`ErrorKind::NothingLeft`](crate::ErrorKind::NothingLeft) without channels and a
    /// fallback, and [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) when all channels
    /// weigh 0.
    pub fn build(&self, data: &StageData) -> Result<RecallStage> {
        Ok(self.assemble(data, None)?.0)
    }

    /// The parts of the stage, made of the data and, where it is in a folder, of what that has kept
    /// of each channel; and the stage.
    pub(super) fn assemble(
        &self,
        data: &StageData,
        kept: Option<ReadKept<'_>>,
    ) -> Result<(RecallStage, StageParts)> {
        let mut parts = StageParts::default();
        for (place, channel) in self.channels.iter().enumerate() {
            let _span = info_span!("channel", name = channel.name).entered();
            let mut source = self.fitted(data.source(channel.model.as_deref())?);
            if let Some(kept) = kept {
                source = source.with_kept(kept(place, channel)?);
            }
            let built = channel.config.build(&mut source)?;
            let kept = source.into_kept()?;
            if let Some(Kept::Index(_, report)) = &kept {
                info!(%report, "index");
            }
            parts.channels.push((built, kept));
        }
        for selection in &self.selections {
            parts.selections.push(selection.build(data)?);
        }
        if let Some(fallback) = &self.fallback {
            let mut source = self.fitted(data.source(None)?);
            parts.fallback = Some(fallback.build(&mut source)?);
        }
        Ok((self.stage_of(&parts)?, parts))
    }

    /// The stage of its parts.
    pub(super) fn stage_of(&self, parts: &StageParts) -> Result<RecallStage> {
        let mut stage = RecallStage::new(self.fusion, self.candidates)?;
        for (channel, (built, kept)) in self.channels.iter().zip(&parts.channels) {
            stage = stage.channel(&channel.name, built.clone(), channel.share)?;
            if let Some(Kept::Index(_, report)) = kept {
                stage = stage.with_index(&channel.name, *report);
            }
            if let Some(milliseconds) = channel.budget_milliseconds {
                let budget = Duration::try_from_secs_f64(milliseconds / 1e3).map_err(|error| {
                    Error::invalid("budget_milliseconds", milliseconds, error.to_string())
                })?;
                stage = stage.budget(&channel.name, budget)?;
            }
        }
        for selection in &parts.selections {
            stage = stage.selection(selection.clone());
        }
        if let Some(fallback) = &parts.fallback {
            stage = stage.fallback(fallback.clone());
        }
        stage.check()?;
        Ok(stage)
    }

    /// A source for a channel of this plan.
    pub(super) fn fitted<'a>(&self, mut source: ChannelSource<'a>) -> ChannelSource<'a> {
        source.index = self.index.clone();
        source.candidates = self.candidates;
        source
    }
}
