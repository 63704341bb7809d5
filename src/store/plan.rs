//! A recall stage as settings, which say what it is made of.

use std::sync::Arc;
use std::time::Duration;

use ndarray::Array2;
use serde::{Deserialize, Serialize};

use crate::data::{ItemIndex, User};
use crate::index::{AnyIndex, IndexPlan, IndexReport, VectorIndex};
use crate::model::Similarity;
use crate::{Error, Result, checks};

use super::arrays::{ArrayReader, ArrayWriter};
use super::stage_data::{StageData, StageModel};
use crate::channels::{
    AlsConfig, ItemNeighborsConfig, MarkovChain, MatrixFactorization, NearestItems, NearestUsers,
    PopularityConfig, PreferredTags, SessionKnnConfig, SimilarUsersConfig, items_of_tags,
    next_items, tags_of_items, training_vectors,
};
use crate::recall::{
    ChannelWeight, Fusion, HistoryItems, Links, MaximalMarginalRelevance, Path, RecallChannel,
    RecallStage, Selection, TagCap, VectorChannel,
};
use crate::retrieve::UserEncoder;

/// By how many vectors an index is measured.
const MEASURED_BY: usize = 200;

/// A channel of a [`StagePlan`], with its settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum ChannelKind {
    /// The most popular items: [`PopularityConfig::fit`].
    Popularity {
        /// Of which kind, and when.
        settings: PopularityConfig,
    },
    /// What came next most often: [`MarkovChain`].
    MarkovChain,
    /// Item-based collaborative filtering, or U2I2I: the user's items, then each one's
    /// neighbors.
    ItemNeighbors {
        /// Which of a user's items are used.
        start: HistoryItems,
        /// How neighbors are found.
        settings: ItemNeighborsConfig,
    },
    /// User-based collaborative filtering: users like them, then their items.
    SimilarUsers {
        /// Which of a user's items are used.
        start: HistoryItems,
        /// How users are found.
        settings: SimilarUsersConfig,
    },
    /// Sessions that share late items: [`SessionKnn`](crate::channels::SessionKnn).
    SessionKnn {
        /// How sessions are found.
        settings: SessionKnnConfig,
    },
    /// Matrix factorization, with the user folded in.
    MatrixFactorization {
        /// How it is solved.
        settings: AlsConfig,
    },
    /// The model's user vector against its item vectors: U2I, with as many interests as it has.
    Model,
    /// Items near the user's in the model's embedding: I2I.
    NearestItems {
        /// Which of a user's items are used.
        start: HistoryItems,
        /// The number of neighbors of each item.
        neighbors: usize,
    },
    /// Users near them in the model's space, then what they took next: U2U2I.
    NearestUsers {
        /// The number of users.
        neighbors: usize,
        /// How many of a training user's last items are what they took next.
        held_back: usize,
    },
    /// The tags they prefer, then each one's best items: U2Tag2I.
    PreferredTags {
        /// Which of a user's items are used.
        start: HistoryItems,
        /// The number of tags.
        tags: usize,
        /// The number of items of each tag.
        items: usize,
    },
}

/// What takes long to make of a channel, and so is kept in a folder.
pub(super) enum Prepared {
    Nothing,
    Neighbors(Links<ItemIndex, ItemIndex>),
    Vectors(Array2<f32>),
    Index(Arc<AnyIndex>, IndexReport),
}

/// What a channel is made of.
#[derive(Clone, Copy)]
struct Ingredients<'a> {
    data: &'a StageData,
    /// The model that it looks at.
    model: Option<&'a StageModel>,
}

/// How a plan's channels are made.
#[derive(Clone, Copy)]
pub(super) struct How<'a> {
    pub(super) index: &'a IndexPlan,
    /// How many items indexes are asked for.
    pub(super) k: usize,
}

impl ChannelKind {
    /// The channel, made of the data, with the [index](IndexPlan) that is used unless another is
    /// planned.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] for an invalid setting, and [`Error::NothingLeft`]
    /// when the data lack what it needs.
    pub fn build(&self, data: &StageData) -> Result<Arc<dyn RecallChannel>> {
        let how = How {
            index: &IndexPlan::default(),
            k: 100,
        };
        let from = Ingredients {
            data,
            model: data.model.as_ref(),
        };
        self.assemble(self.prepare(from, how)?, from)
    }

    fn prepare(&self, from: Ingredients<'_>, how: How<'_>) -> Result<Prepared> {
        let StageData {
            sequences, catalog, ..
        } = from.data;
        Ok(match self {
            Self::ItemNeighbors { settings, .. } => {
                Prepared::Neighbors(settings.fit(sequences, catalog)?)
            }
            Self::MatrixFactorization { settings } => {
                let solved = settings.fit(sequences, catalog)?;
                Prepared::Vectors(solved.item_vectors().to_owned())
            }
            Self::Model => {
                let StageModel {
                    encoder,
                    item_vectors,
                    ..
                } = self.model(from)?;
                let step = sequences.len().div_ceil(MEASURED_BY).max(1);
                let histories: Vec<User<'_>> = (0..sequences.len())
                    .step_by(step)
                    .map(|place| sequences.history(place))
                    .filter(|history| !history.items().is_empty())
                    .collect();
                if histories.is_empty() {
                    return measured_by_itself(item_vectors, how.k, how.index);
                }
                let users = encoder.encode(&histories)?;
                let (index, report) = how.index.build(item_vectors.view(), users.view(), how.k)?;
                Prepared::Index(Arc::new(index), report)
            }
            Self::NearestItems { neighbors, .. } => {
                let mut vectors = self.model(from)?.item_vectors.clone();
                Similarity::Cosine.prepare(vectors.view_mut());
                measured_by_itself(&vectors, *neighbors, how.index)?
            }
            Self::NearestUsers {
                neighbors,
                held_back,
            } => {
                let encoder = &self.model(from)?.encoder;
                let vectors = training_vectors(encoder, sequences, *held_back)?;
                measured_by_itself(&vectors, *neighbors, how.index)?
            }
            _ => Prepared::Nothing,
        })
    }

    fn assemble(
        &self,
        prepared: Prepared,
        from: Ingredients<'_>,
    ) -> Result<Arc<dyn RecallChannel>> {
        let Ingredients { data, .. } = from;
        let (sequences, catalog) = (&data.sequences, &data.catalog);
        let segments = |sequence: usize| data.segments(sequence).to_vec();
        Ok(match (self, prepared) {
            (Self::Popularity { settings }, _) => {
                Arc::new(settings.fit_segments(sequences, segments)?)
            }
            (Self::MarkovChain, _) => Arc::new(MarkovChain::fit(sequences, catalog)?),
            (Self::ItemNeighbors { start, .. }, Prepared::Neighbors(links)) => {
                Arc::new((*start).then(links).into_channel())
            }
            (Self::SimilarUsers { start, settings }, _) => {
                let similar = settings.fit(sequences, catalog, *start)?;
                let items = similar.items().clone();
                Arc::new(similar.then(items).into_channel())
            }
            (Self::SessionKnn { settings }, _) => Arc::new(settings.fit(sequences, catalog)?),
            (Self::MatrixFactorization { settings }, Prepared::Vectors(items)) => {
                Arc::new(MatrixFactorization::of_items(items, settings)?)
            }
            (Self::Model, Prepared::Index(index, _)) => {
                let model = self.model(from)?;
                fits(&index, model.item_vectors.dim(), "the model's items")?;
                Arc::new(VectorChannel::new(model.encoder.clone(), index))
            }
            (Self::NearestItems { start, neighbors }, Prepared::Index(index, _)) => {
                let vectors = &self.model(from)?.item_vectors;
                fits(&index, vectors.dim(), "the model's items")?;
                let step = NearestItems::new(vectors.view(), *neighbors, |_| Ok(index))?;
                Arc::new((*start).then(step).into_channel())
            }
            (
                Self::NearestUsers {
                    neighbors,
                    held_back,
                },
                Prepared::Index(index, _),
            ) => {
                checks::at_least_one(&[("held_back", *held_back)])?;
                let model = self.model(from)?;
                let dim = model.item_vectors.ncols();
                fits(&index, (sequences.len() + 1, dim), "the training users")?;
                let nearest = NearestUsers::new(model.encoder.clone(), index, *neighbors)?;
                let next = next_items(sequences, catalog, *held_back);
                Arc::new(nearest.then(next).into_channel())
            }
            (Self::PreferredTags { start, tags, items }, _) => {
                let features = data.tags.as_ref().ok_or_else(|| lacks(self, "tags"))?;
                let preferred = PreferredTags::new(features, catalog, *start)?;
                let of_tags = items_of_tags(features, catalog, *items)?;
                Arc::new(preferred.best(*tags)?.then(of_tags).into_channel())
            }
            (kind, _) => return Err(lacks(kind, "what was prepared for it")),
        })
    }

    fn model<'a>(&self, from: Ingredients<'a>) -> Result<&'a StageModel> {
        from.model.ok_or_else(|| lacks(self, "a model"))
    }
}

fn lacks(kind: &ChannelKind, what: &str) -> Error {
    Error::NothingLeft {
        reason: format!("the data of the stage lack {what}, which {kind:?} goes by"),
    }
}

/// An index of vectors `[rows + 1, dim]`, measured by some of them.
fn measured_by_itself(vectors: &Array2<f32>, k: usize, plan: &IndexPlan) -> Result<Prepared> {
    let step = vectors.nrows().div_ceil(MEASURED_BY).max(1);
    let queries = vectors.slice(ndarray::s![1..;step, ..]);
    let (index, report) = plan.build(vectors.view(), queries, k.max(1))?;
    Ok(Prepared::Index(Arc::new(index), report))
}

/// Refuses an index that is not of as many vectors, or of another dimension.
fn fits(index: &AnyIndex, (rows, dim): (usize, usize), of: &'static str) -> Result<()> {
    let (expected, found) = ((rows - 1, dim), (index.len(), index.dim()));
    if expected == found {
        return Ok(());
    }
    Err(Error::NothingLeft {
        reason: format!(
            "an index of {found:?} vectors and dimensions is not that of {of}, {expected:?}"
        ),
    })
}

impl Prepared {
    pub(super) fn write(&self, name: &str, to: &mut ArrayWriter) {
        match self {
            Self::Nothing | Self::Index(..) => {}
            Self::Neighbors(links) => to.add_links(name, links),
            Self::Vectors(vectors) => to.add_matrix(name, vectors.view()),
        }
    }

    /// Reads what was prepared for a channel; `index` opens its index.
    pub(super) fn read(
        kind: &ChannelKind,
        name: &str,
        from: &ArrayReader<'_>,
        items: usize,
        index: impl FnOnce() -> Result<(AnyIndex, IndexReport)>,
    ) -> Result<Self> {
        Ok(match kind {
            ChannelKind::ItemNeighbors { .. } => Self::Neighbors(from.links(name, items + 1)?),
            ChannelKind::MatrixFactorization { .. } => Self::Vectors(from.matrix(name)?),
            ChannelKind::Model
            | ChannelKind::NearestItems { .. }
            | ChannelKind::NearestUsers { .. } => {
                let (index, report) = index()?;
                Self::Index(Arc::new(index), report)
            }
            _ => Self::Nothing,
        })
    }

    /// The index, where there is one.
    pub(super) fn index(&self) -> Option<(Arc<AnyIndex>, IndexReport)> {
        match self {
            Self::Index(index, report) => Some((Arc::clone(index), *report)),
            _ => None,
        }
    }
}

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

    fn from<'a>(&self, data: &'a StageData) -> Result<Ingredients<'a>> {
        let model = data.model_of(self.model.as_deref())?;
        Ok(Ingredients { data, model })
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
        let lacks = |what: &str| Error::NothingLeft {
            reason: format!("the data of the stage lack {what}, which {self:?} goes by"),
        };
        Ok(match self {
            Self::TagCap { most } => {
                let tags = data.tags.as_ref().ok_or_else(|| lacks("tags"))?;
                Box::new(TagCap::new(tags_of_items(tags, &data.catalog)?, most)?)
            }
            Self::MaximalMarginalRelevance { relevance } => {
                let model = data.model.as_ref().ok_or_else(|| lacks("a model"))?;
                Box::new(MaximalMarginalRelevance::new(
                    model.item_vectors.view(),
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
/// use seqrec::store::{ChannelKind, PlannedChannel, StageData, StagePlan};
///
/// let log = seqrec::data::synthetic::Synthetic::new().with_users(80).with_items(60).generate();
/// let dataset = Dataset::new(log, Filters::default())?;
/// let split = Split::new(&dataset, Protocol::LeaveOneOut)?;
/// let data = StageData::new(&dataset, split.train.clone(), split.catalog().clone())?;
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
/// let stage = plan.build(&data)?;
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
    /// [`Error::NothingLeft`] without channels and a fallback, and [`Error::InvalidValue`] when all
    /// channels weigh 0.
    pub fn build(&self, data: &StageData) -> Result<RecallStage> {
        self.assemble(self.prepare(data)?, data)
    }

    pub(super) fn prepare(&self, data: &StageData) -> Result<Vec<Prepared>> {
        let how = How {
            index: &self.index,
            k: self.candidates,
        };
        let channels = self.channels.iter();
        channels
            .map(|channel| channel.kind.prepare(channel.from(data)?, how))
            .collect()
    }

    pub(super) fn assemble(
        &self,
        prepared: Vec<Prepared>,
        data: &StageData,
    ) -> Result<RecallStage> {
        let mut stage = RecallStage::new(self.fusion, self.candidates)?;
        for (channel, prepared) in self.channels.iter().zip(prepared) {
            let report = prepared.index().map(|(_, report)| report);
            let built = channel.kind.assemble(prepared, channel.from(data)?)?;
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
