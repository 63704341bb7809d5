//! Items that are alike by what is known of them, whoever took them.

mod labels;
mod vectors;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::data::{ItemIndex, TrainingData, User};
use crate::index::IndexPlan;
use crate::settings::settings;
use crate::{Error, ErrorKind, Result, checks};

use crate::recall::{
    ChannelConfig, ChannelSource, HistoryItems, Links, Path, Reached, Reason, RecallChannel,
};

/// The features of items by which [`ContentNeighborsConfig`] compares them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Content {
    /// Their labels, of all columns: two items are as near as the cosine of their labels' inverse
    /// frequencies, ln(n / f) for a label that f of the n items with labels have. A label that all
    /// of them have says nothing.
    Labels,
    /// Their given vectors of this name: two items are as near as the cosine of these.
    Vectors(String),
}

settings! {
    /// The settings of recall by content: a user's items, then the items that are like each by its
    /// [features](crate::data::ItemFeatures). Those that nobody has taken are found like all
    /// others.
    ///
    /// An item is not its own neighbor, and only those with a cosine above 0 are neighbors at all;
    /// an item without labels, or without a vector, has none. By labels, all pairs of items that
    /// share one are gone through, which takes the square of its items for each label; by vectors,
    /// the neighbors are searched for in an index.
    ///
    /// ```
    /// use seqrec::channels::ContentNeighborsConfig;
    /// use seqrec::data::{Dataset, Filters, Interaction, Interactions, Items};
    ///
    /// let rows = [("u", "heat", 1.0), ("u", "ronin", 2.0), ("v", "babe", 1.0)];
    /// let log: Interactions = rows.map(|(user, item, time)| Interaction::new(user, item, time)).into_iter().collect();
    /// // Nobody has taken the last one.
    /// let items = Items::new(["heat", "ronin", "babe", "collateral"])?
    ///     .with_tags("tags", [vec!["crime"], vec!["spies"], vec!["farm"], vec!["crime"]])?;
    /// let dataset = Dataset::new(log, Filters::default())?.with_items(&items)?;
    /// let features = items.features(dataset.catalog(), &["tags"])?;
    /// let dataset = dataset.with_item_features(features)?;
    ///
    /// let links = ContentNeighborsConfig::new().fit(&dataset.training_data())?;
    /// let [heat, collateral] = ["heat", "collateral"].map(|id| dataset.catalog().index_of(&id.into()).unwrap());
    /// assert_eq!(links.of(heat.get()).0, [collateral.get()]);
    /// # Ok::<(), seqrec::Error>(())
    /// ```
    #[serde(deny_unknown_fields)]
    pub struct ContentNeighborsConfig {
        /// The items of a user whose neighbors are recalled.
        pub start: HistoryItems = HistoryItems::default(), with_start;
        /// What items are compared by.
        pub by: Content = Content::Labels, with_by;
        /// How many neighbors of each item are kept.
        pub neighbors: usize = 100, with_neighbors;
        /// Whether the mean of all vectors is subtracted from each: those of texts point mostly the
        /// same way, and say by the rest what they are about. Labels have no mean.
        pub centered: bool = true, with_centered;
    }
}

impl ContentNeighborsConfig {
    /// Finds the neighbors of every item, best first, ties by item, on all threads.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`] for 0 neighbors, and for a name that no vectors have;
    /// [`ErrorKind::NothingLeft`] where the catalog has no
    /// [features](crate::data::Dataset::with_item_features), or these have no labels, and items
    /// are compared by them; [`ErrorKind::Shape`] where items were added after their features.
    pub fn fit(&self, data: &TrainingData) -> Result<Links<ItemIndex, ItemIndex>> {
        self.search(data, &IndexPlan::default())
    }

    fn search(&self, data: &TrainingData, plan: &IndexPlan) -> Result<Links<ItemIndex, ItemIndex>> {
        self.validate()?;
        let catalog = data.catalog();
        let features = catalog.item_features().ok_or_else(|| {
            lacking(
                "the data have no features of items: give them by `Dataset::with_item_features`, \
                 before the split",
            )
        })?;
        features.check_items(catalog.len())?;
        let name = match &self.by {
            Content::Labels if features.labels().is_empty() => {
                return Err(lacking(
                    "the features of items have no labels: name columns of tags in \
                     `Items::features`, or compare items by `Content::Vectors`",
                ));
            }
            Content::Labels => {
                let labels = features.item_labels();
                return Ok(labels::neighbors(labels, catalog.len(), self.neighbors));
            }
            Content::Vectors(name) => name,
        };
        let given = features.given_vectors(name).ok_or_else(|| {
            let known: Vec<&str> = features.vector_names().collect();
            let reason = match &known[..] {
                [] => "the features of items have no vectors: `ItemFeatures::with_vectors`".into(),
                known => format!("the features of items have vectors of {known:?}"),
            };
            Error::invalid("by", format!("{name:?}"), reason)
        })?;
        vectors::neighbors(given, self.centered, self.neighbors, plan)
    }

    fn validate(&self) -> Result<()> {
        checks::at_least_one(&[("neighbors", self.neighbors)])
    }
}

fn lacking(reason: &str) -> Error {
    let reason = reason.to_owned();
    Error::from(ErrorKind::NothingLeft { reason })
}

#[typetag::serde(name = "content_neighbors")]
impl ChannelConfig for ContentNeighborsConfig {
    fn build(&self, from: &mut ChannelSource<'_>) -> Result<Arc<dyn RecallChannel>> {
        self.validate()?;
        let (data, plan) = (from.data, from.index.clone());
        let links = from.keep_links(|| self.search(data, &plan))?;
        let alike = Reason::alike_by(match &self.by {
            Content::Labels => "labels",
            Content::Vectors(name) => name,
        });
        let start = self.start;
        Ok(Arc::new(Alike { start, alike }.then(links).into_channel()))
    }

    /// One whose neighbors are found anew, with those of the new items.
    fn build_for_new_items(
        &self,
        _channel: Arc<dyn RecallChannel>,
        from: &mut ChannelSource<'_>,
    ) -> Result<Arc<dyn RecallChannel>> {
        self.build(from)
    }
}

/// A user's items, as what others are like.
struct Alike<R> {
    start: HistoryItems,
    alike: R,
}

impl<R: Fn(ItemIndex) -> Reason + Send + Sync> Path<ItemIndex> for Alike<R> {
    fn walk(&self, users: &[User<'_>]) -> Result<Vec<Vec<Reached>>> {
        let mut walked = self.start.walk(users)?;
        for reached in walked.iter_mut().flatten() {
            reached.reason = (self.alike)(ItemIndex::new(reached.node));
        }
        Ok(walked)
    }
}
