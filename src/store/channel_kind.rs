//! The kinds of channels that a stage's folder can keep.

use std::sync::Arc;

use ndarray::{Array2, ArrayView2};
use serde::{Deserialize, Serialize};

use crate::channels::{
    AlsConfig, ItemNeighborsConfig, MarkovChainConfig, MatrixFactorization, NearestItems,
    NearestUsers, PopularityConfig, PreferredTags, SessionKnnConfig, SimilarUsersConfig,
    items_of_tags, next_items, training_vectors,
};
use crate::data::{ItemIndex, TrainingData, User};
use crate::index::{AnyIndex, IndexPlan, IndexReport, VectorIndex};
use crate::model::Similarity;
use crate::recall::{HistoryItems, Links, Path, RecallChannel, VectorChannel};
use crate::retrieve::UserEncoder;
use crate::{Error, ErrorKind, Result, checks};

use super::arrays::{ArrayReader, ArrayWriter};
use super::recaller::Recaller;
use super::stage_data::StageData;

/// By how many vectors an index is measured.
const MEASURED_BY: usize = 200;

/// A channel of a [`StagePlan`](super::StagePlan), with its settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum ChannelKind {
    /// The most popular items: [`PopularityConfig::fit`].
    Popularity {
        /// Of which kind, and when.
        settings: PopularityConfig,
    },
    /// What came next most often: [`MarkovChain`](crate::channels::MarkovChain).
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

impl ChannelKind {
    /// The channel, made of the data, with the [index](IndexPlan) that is used unless another is
    /// planned.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`] for an invalid setting, and [`ErrorKind::NothingLeft`]
    /// when the data lack what it needs.
    pub fn build(&self, data: &StageData) -> Result<Arc<dyn RecallChannel>> {
        let (training, model) = (data.training(), data.model.as_ref());
        let prepared = self.prepare(training, model, &IndexPlan::default(), 100)?;
        self.assemble(prepared, training, model)
    }

    /// What takes long to make of a channel, which looks at `model`; indexes are built by a plan and
    /// are to be asked for `k` items.
    pub(super) fn prepare(
        &self,
        data: &TrainingData,
        model: Option<&Recaller>,
        index: &IndexPlan,
        k: usize,
    ) -> Result<Prepared> {
        Ok(match self {
            Self::ItemNeighbors { settings, .. } => Prepared::Neighbors(settings.fit(data)?),
            Self::MatrixFactorization { settings } => {
                let solved = settings.fit(data)?;
                Prepared::Vectors(solved.item_vectors().to_owned())
            }
            Self::Model => {
                let model = self.needed(model)?;
                let histories = some_histories(data);
                if histories.is_empty() {
                    return measured_by_itself(model.item_vectors(), k, index);
                }
                let users = model.encoder().encode(&histories)?;
                let (index, report) = index.build(model.item_vectors(), users.view(), k)?;
                Prepared::Index(Arc::new(index), report)
            }
            Self::NearestItems { neighbors, .. } => {
                let mut vectors = self.needed(model)?.item_vectors().to_owned();
                Similarity::Cosine.prepare(vectors.view_mut());
                measured_by_itself(vectors.view(), *neighbors, index)?
            }
            Self::NearestUsers {
                neighbors,
                held_back,
            } => {
                let encoder = &self.needed(model)?.encoder();
                let vectors = training_vectors(encoder, data, *held_back)?;
                measured_by_itself(vectors.view(), *neighbors, index)?
            }
            _ => Prepared::Nothing,
        })
    }

    /// The channel, made of what was prepared for it.
    pub(super) fn assemble(
        &self,
        prepared: Prepared,
        data: &TrainingData,
        model: Option<&Recaller>,
    ) -> Result<Arc<dyn RecallChannel>> {
        Ok(match (self, prepared) {
            (Self::Popularity { settings }, _) => Arc::new(settings.fit(data)?),
            (Self::MarkovChain, _) => Arc::new(MarkovChainConfig::new().fit(data)?),
            (Self::ItemNeighbors { start, .. }, Prepared::Neighbors(links)) => {
                Arc::new((*start).then(links).into_channel())
            }
            (Self::SimilarUsers { settings }, _) => {
                let similar = settings.fit(data)?;
                let items = similar.items().clone();
                Arc::new(similar.then(items).into_channel())
            }
            (Self::SessionKnn { settings }, _) => Arc::new(settings.fit(data)?),
            (Self::MatrixFactorization { settings }, Prepared::Vectors(items)) => {
                Arc::new(MatrixFactorization::of_items(items, settings)?)
            }
            (Self::Model, Prepared::Index(index, _)) => {
                let model = self.needed(model)?;
                fits(&index, model.item_vectors().dim(), "the model's items")?;
                Arc::new(VectorChannel::new(model.encoder(), index))
            }
            (Self::NearestItems { start, neighbors }, Prepared::Index(index, _)) => {
                let vectors = self.needed(model)?.item_vectors();
                fits(&index, vectors.dim(), "the model's items")?;
                let step = NearestItems::new(vectors, *neighbors, |_| Ok(index))?;
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
                let model = self.needed(model)?;
                let dim = model.item_vectors().ncols();
                fits(
                    &index,
                    (data.sequences().len() + 1, dim),
                    "the training users",
                )?;
                let nearest = NearestUsers::new(model.encoder(), index, *neighbors)?;
                let next = next_items(data, *held_back);
                Arc::new(nearest.then(next).into_channel())
            }
            (Self::PreferredTags { start, tags, items }, _) => {
                let preferred = PreferredTags::new(data, *start)?;
                let of_tags = items_of_tags(data, *items)?;
                Arc::new(preferred.best(*tags)?.then(of_tags).into_channel())
            }
            (kind, _) => return Err(lacks(&kind, "what was prepared for it")),
        })
    }

    fn needed<'a>(&self, model: Option<&'a Recaller>) -> Result<&'a Recaller> {
        model.ok_or_else(|| lacks(self, "a model"))
    }
}

/// The error of a stage's part that goes by what its data lack.
pub(super) fn lacks(part: &dyn std::fmt::Debug, what: &str) -> Error {
    Error::from(ErrorKind::NothingLeft {
        reason: format!("the data of the stage lack {what}, which {part:?} goes by"),
    })
}

/// The histories of users all over the data, by which an index is measured.
fn some_histories(data: &TrainingData) -> Vec<User<'_>> {
    let sequences = data.sequences();
    let step = sequences.len().div_ceil(MEASURED_BY).max(1);
    let some = (0..sequences.len()).step_by(step);
    some.map(|place| sequences.history(place))
        .filter(|history| !history.items().is_empty())
        .collect()
}

/// An index of vectors `[rows + 1, dim]`, measured by some of them.
fn measured_by_itself(
    vectors: ArrayView2<'_, f32>,
    k: usize,
    plan: &IndexPlan,
) -> Result<Prepared> {
    let step = vectors.nrows().div_ceil(MEASURED_BY).max(1);
    let queries = vectors.slice(ndarray::s![1..;step, ..]);
    let (index, report) = plan.build(vectors, queries, k.max(1))?;
    Ok(Prepared::Index(Arc::new(index), report))
}

/// Refuses an index that is not of as many vectors, or of another dimension.
fn fits(index: &AnyIndex, (rows, dim): (usize, usize), of: &'static str) -> Result<()> {
    let (expected, found) = ((rows - 1, dim), (index.len(), index.dim()));
    if expected == found {
        return Ok(());
    }
    Err(ErrorKind::NothingLeft {
        reason: format!(
            "an index of {found:?} vectors and dimensions is not that of {of}, {expected:?}"
        ),
    }
    .into())
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
