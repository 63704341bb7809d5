//! From a raw history to recalled items.

use crate::backend::Backend;
use crate::data::{Catalog, ExternalId, ItemIndex, Seen, User};
use crate::eval::check_k;
use crate::index::{Filter, ItemSet, VectorIndex};
use crate::model::SequenceRecaller;
use crate::{Error, Result, checks::same_length};

use crate::retrieve::{encode_by_model, items_in, nearest_items};

/// How many items to recall, and whether the history's own may be among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecallOptions {
    k: usize,
    seen: Seen,
}

impl RecallOptions {
    /// The k best items, without those of the history.
    pub fn new(k: usize) -> Self {
        let seen = Seen::default();
        Self { k, seen }
    }

    /// Says whether items of the history may be recalled.
    #[must_use]
    pub fn seen(self, seen: Seen) -> Self {
        Self { seen, ..self }
    }
}

/// Where recalled items come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The model, from the history; scores are similarities.
    Model,
    /// The most popular items of the index, since no item of the history is known; scores are shares
    /// of all training interactions.
    Popularity,
}

/// A retrieved item.
#[derive(Debug, Clone, PartialEq)]
pub struct RetrievedItem {
    /// The item's external id.
    pub id: ExternalId,
    /// How near it is; see [`Source`].
    pub score: f32,
}

/// What is retrieved for a history.
#[derive(Debug, Clone, PartialEq)]
pub struct Retrieved {
    /// The items, best first.
    pub items: Vec<RetrievedItem>,
    /// How many items of the history are not in the catalog and were skipped.
    pub unknown: usize,
    /// Where the items come from.
    pub source: Source,
}

/// A model, an index of its item vectors and the catalog, which together answer a history with
/// items. It can be shared among threads.
///
/// ```
/// use seqrec::backend::Flex;
/// use seqrec::data::Catalog;
/// use seqrec::index::FlatIndex;
/// use seqrec::model::{Gru4RecConfig, RecallerConfig};
/// use seqrec::retrieve::{RecallOptions, Retriever, item_vectors};
///
/// let catalog = Catalog::from_ids(["a", "b", "c"].map(Into::into))?;
/// let model = Gru4RecConfig::new().init::<Flex>(catalog.len(), 1, &Default::default())?;
/// let index = FlatIndex::new(&item_vectors(&model))?;
/// let retriever = Retriever::new(model, index, catalog)?;
///
/// let recalled = retriever.recall(["a", "nobody knows"], RecallOptions::new(2))?;
/// assert_eq!((recalled.items.len(), recalled.unknown), (2, 1));
/// # Ok::<(), seqrec::Error>(())
/// ```
#[derive(Debug)]
pub struct Retriever<B: Backend, M, I> {
    model: M,
    index: I,
    catalog: Catalog,
    by_popularity: Vec<ItemIndex>,
    device: B::Device,
}

impl<B: Backend, M: SequenceRecaller<B>, I: VectorIndex> Retriever<B, M, I> {
    /// A retriever of a model, an index of its [item vectors](super::item_vectors) and the
    /// catalog that both were made for.
    ///
    /// The index may lack items of the catalog, which are then not recalled, and may hold items that
    /// the catalog does not know yet.
    ///
    /// # Errors
    /// [`Error::Shape`] when model and catalog are not of the same items, or model and index not of
    /// the same dimension, and [`Error::InvalidValue`] when the catalog does not name the
    /// [features of users](Catalog::user_features) that the model looks at.
    pub fn new(model: M, index: I, catalog: Catalog) -> Result<Self> {
        let embeddings = model.item_embeddings();
        let [rows, dim] = embeddings.dims();
        let sizes = [
            ("items of the model", catalog.len(), rows - 1),
            ("dimension of the index", dim, index.dim()),
        ];
        for (what, expected, found) in sizes {
            same_length(what, expected, found)?;
        }
        let (features, named) = (model.user_features(), catalog.user_features().len());
        if features > 0 && named != features {
            let reason = format!(
                "the catalog must name the {features} that the model looks at; where it lacks names, as \
                 that of an older run does, train and save the run again, on data with \
                 `Dataset::with_user_features`"
            );
            return Err(Error::invalid("catalog.user_features", named, reason));
        }
        Ok(Self {
            device: embeddings.device(),
            by_popularity: catalog.by_popularity(),
            model,
            index,
            catalog,
        })
    }

    /// The items for a history, in time order, of any user, known or not.
    ///
    /// Unknown items are skipped and counted. A history without a known item is answered with the
    /// most popular items that are in the index. Items that are in the index but not in the catalog
    /// are left out.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] when k is 0 or above the catalog, [`Error::TimesMissing`] when the
    /// model uses times (see [`recall_timed`](Retriever::recall_timed)),
    /// [`Error::FeaturesMissing`] when it looks at features of users (see
    /// [`recall_with_features`](Retriever::recall_with_features)) and
    /// [`Error::NonFiniteVector`] when its weights are broken.
    pub fn recall<T: Into<ExternalId>>(
        &self,
        history: impl IntoIterator<Item = T>,
        options: RecallOptions,
    ) -> Result<Retrieved> {
        let history = history.into_iter().map(|id| (id.into(), None));
        self.recall_history(history, &[], options)
    }

    /// Recalls items for a history whose items come with the times at which they were taken, in the unit
    /// of the training data.
    ///
    /// # Errors
    /// As [`recall`](Retriever::recall), and [`Error::InvalidValue`] for a time that is not finite.
    pub fn recall_timed<T: Into<ExternalId>>(
        &self,
        history: impl IntoIterator<Item = (T, f64)>,
        options: RecallOptions,
    ) -> Result<Retrieved> {
        let timed = history
            .into_iter()
            .map(|(id, time)| (id.into(), Some(time)));
        self.recall_history(timed, &[], options)
    }

    /// Recalls items for a history, with times or without, of a user with features, each by
    /// [its name](Catalog::user_features); those that are not named are 0.
    ///
    /// # Errors
    /// As [`recall_timed`](Retriever::recall_timed), [`Error::InvalidValue`] for a feature that is
    /// unknown, named twice or not finite, and [`Error::Shape`] when some items have a time and others
    /// don't.
    pub fn recall_with_features<'a, T: Into<ExternalId>>(
        &self,
        history: impl IntoIterator<Item = (T, Option<f64>)>,
        features: impl IntoIterator<Item = (&'a str, f32)>,
        options: RecallOptions,
    ) -> Result<Retrieved> {
        let features = self.catalog.user_row(features)?;
        let history = history.into_iter().map(|(id, time)| (id.into(), time));
        self.recall_history(history, &features, options)
    }

    fn recall_history(
        &self,
        history: impl Iterator<Item = (ExternalId, Option<f64>)>,
        features: &[f32],
        options: RecallOptions,
    ) -> Result<Retrieved> {
        check_k(options.k, &self.catalog)?;
        let mut unknown = 0;
        let (mut known, mut times) = (Vec::new(), Vec::new());
        for (id, time) in history {
            if let Some(time) = time.filter(|time| !time.is_finite()) {
                return Err(Error::invalid("time", time, "must be a finite number"));
            }
            match self.catalog.index_of(&id) {
                Some(item) => {
                    known.push(item);
                    times.extend(time);
                }
                None => unknown += 1,
            }
        }
        let (scored, source) = if known.is_empty() {
            (self.popular(options.k)?, Source::Popularity)
        } else {
            let seen: ItemSet = known.iter().copied().collect();
            let allowed = |_, item: ItemIndex| !seen.contains(item);
            let unseen: Filter<'_> = Filter::Predicate(&allowed);
            let filter = options.seen.is_excluded().then_some(unseen);
            let history = if times.is_empty() {
                User::from(known.as_slice())
            } else {
                User::with_times(&known, &times)?
            };
            let histories = [history.with_features(features)];
            let encode =
                |histories: &[User<'_>]| encode_by_model(&self.model, &self.device, histories);
            let items = self.catalog.len();
            let hits = nearest_items(encode, &self.index, items, &histories, options.k, filter)?;
            let scored = hits.of(0).map(|hit| (hit.item, hit.score)).collect();
            (scored, Source::Model)
        };
        let item = |(item, score)| {
            let id = self.catalog.id_of(item)?.clone();
            Some(RetrievedItem { id, score })
        };
        Ok(Retrieved {
            items: scored.into_iter().filter_map(item).collect(),
            unknown,
            source,
        })
    }

    /// The most popular of the items that are in the index, as if it had been searched.
    fn popular(&self, k: usize) -> Result<Vec<(ItemIndex, f32)>> {
        let mut present: Vec<ItemIndex> = Vec::with_capacity(k);
        let mut left = self.by_popularity.as_slice();
        let mut ask = k;
        while present.len() < k && !left.is_empty() {
            let (first, after) = left.split_at(ask.min(left.len()));
            let there = items_in(&self.index, &first.iter().copied().collect())?;
            present.extend(first.iter().filter(|&&item| there.contains(item)));
            // Where much was removed, few searches find the rest, none too large for a server.
            (left, ask) = (after, (2 * ask).min(k.max(4_096)));
        }
        let counts = self.catalog.counts();
        let all = counts.iter().sum::<u64>().max(1) as f64;
        let share = |item: ItemIndex| (item, (counts[item.to_usize()] as f64 / all) as f32);
        Ok(present.into_iter().take(k).map(share).collect())
    }

    /// The model.
    pub fn model(&self) -> &M {
        &self.model
    }

    /// The index.
    pub fn index(&self) -> &I {
        &self.index
    }

    /// The catalog.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }
}
