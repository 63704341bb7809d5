//! Steps from items to items near them as vectors, and paths over the tags of items.

use std::sync::Arc;

use ndarray::{Array2, ArrayView2};

use crate::data::{ItemIndex, TrainingData, User};
use crate::index::{ItemSet, VectorIndex};
use crate::kernels::rows::scale_to_length_one;
use crate::settings::settings;
use crate::{ErrorKind, Result, checks};

use crate::recall::{
    ChannelConfig, ChannelSource, HistoryItems, Links, Path, Reached, Reason, RecallChannel, Step,
    Tag,
};

settings! {
    /// The settings of I2I: a user's items, then the nearest of each in an embedding, by cosine: of
    /// the model that the channel looks at, or of any
    /// [vectors](ChannelSource::with_item_vectors), such as of the items' contents.
    #[serde(deny_unknown_fields)]
    pub struct NearestItemsConfig {
        /// The items of a user that others are near to.
        pub start: HistoryItems = HistoryItems::default(), with_start;
        /// The number of neighbors of each item.
        pub neighbors: usize = 100, with_neighbors;
    }
}

impl NearestItemsConfig {
    /// A step from items to those nearest to each, of vectors `[items + 1, dim]`, row 0 being
    /// padding, through an index of these vectors scaled to length 1, which may be shared with
    /// others that update it.
    ///
    /// ```
    /// use seqrec::ndarray::array;
    /// use seqrec::channels::NearestItemsConfig;
    /// use seqrec::data::ItemIndex;
    /// use seqrec::index::FlatIndex;
    /// use seqrec::model::Similarity;
    /// use seqrec::recall::{HistoryItems, Path, RecallChannel};
    ///
    /// // Row 0 is padding.
    /// let mut vectors = array![[0.0, 0.0], [1.0, 0.0], [0.9, 0.1], [0.0, 1.0]];
    /// Similarity::Cosine.prepare(vectors.view_mut());
    /// let near = NearestItemsConfig::new().step(vectors.view(), FlatIndex::new(&vectors)?)?;
    /// let i2i = HistoryItems::last(5)?.then(near).into_channel();
    /// let [first, second] = [1, 2].map(ItemIndex::new);
    /// assert_eq!(i2i.recall(&[(&[first][..]).into()], 1, None)?.items(0), [second]);
    /// # Ok::<(), seqrec::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`] for 0 neighbors, and [`ErrorKind::Shape`] for an index of
    /// another dimension.
    pub fn step<I: VectorIndex>(
        &self,
        vectors: ArrayView2<'_, f32>,
        index: I,
    ) -> Result<impl Step<ItemIndex, ItemIndex> + use<I>> {
        let mut vectors = vectors.to_owned();
        scale_to_length_one(vectors.view_mut());
        self.of_scaled(vectors, index)
    }

    /// The step of vectors of length 1.
    fn of_scaled<I: VectorIndex>(&self, vectors: Array2<f32>, index: I) -> Result<NearestItems<I>> {
        checks::at_least_one(&[("neighbors", self.neighbors)])?;
        checks::same_length("dimension of the index", vectors.ncols(), index.dim())?;
        let neighbors = self.neighbors;
        Ok(NearestItems {
            vectors,
            index,
            neighbors,
        })
    }
}

#[typetag::serde(name = "nearest_items")]
impl ChannelConfig for NearestItemsConfig {
    fn build(&self, from: &mut ChannelSource<'_>) -> Result<Arc<dyn RecallChannel>> {
        let mut vectors = from.item_vectors()?.to_owned();
        scale_to_length_one(vectors.view_mut());
        let index = from.keep_item_index(vectors.view(), |plan| {
            plan.build_of_vectors(vectors.view(), self.neighbors)
        })?;
        let nearest = self.of_scaled(vectors, index)?;
        Ok(Arc::new(self.start.then(nearest).into_channel()))
    }

    fn build_for_new_items(
        &self,
        channel: Arc<dyn RecallChannel>,
        from: &mut ChannelSource<'_>,
    ) -> Result<Arc<dyn RecallChannel>> {
        from.by_model_of_new_items(channel, |from| self.build(from))
    }
}

struct NearestItems<I> {
    /// Of length 1.
    vectors: Array2<f32>,
    index: I,
    neighbors: usize,
}

impl<I: VectorIndex> Step<ItemIndex, ItemIndex> for NearestItems<I> {
    fn nodes(&self) -> usize {
        self.vectors.nrows()
    }

    fn follow(&self, from: &[u32], found: &mut dyn FnMut(usize, u32, f32)) -> Result<()> {
        if from.is_empty() {
            return Ok(());
        }
        let rows: Vec<usize> = from.iter().map(|&item| item as usize).collect();
        if let Some(&beyond) = rows.iter().find(|&&row| row >= self.vectors.nrows()) {
            let item = ItemIndex::new(beyond as u32);
            return Err(ErrorKind::UnknownItem { item }.into());
        }
        let queries = self.vectors.select(ndarray::Axis(0), &rows);
        // The nearest of all is the item itself.
        let hits = self
            .index
            .search(queries.view(), self.neighbors.saturating_add(1), None)?;
        for (place, &item) in from.iter().enumerate() {
            let others = hits
                .list(place)
                .filter(|hit| hit.item.get() != item && hit.score > 0.0);
            for hit in others.take(self.neighbors) {
                found(place, hit.item.get(), hit.score);
            }
        }
        Ok(())
    }

    fn holds(&self, items: &ItemSet) -> Result<Option<ItemSet>> {
        self.index.held(items).map(Some)
    }
}

settings! {
    /// The settings of U2Tag2I: the tags that a user prefers, learned from their history, then the
    /// most popular items of each.
    ///
    /// A user prefers the tags that their items have more often than all that is taken. A tag
    /// weighs s · ln(s / p), s being its share of the history's weight and p its share of all
    /// interactions in training: what it adds to the divergence of the two. By the
    /// [meaning](crate::data::Behaviors) of events, both count their weights, and neither counts
    /// disliked items.
    #[serde(deny_unknown_fields)]
    pub struct PreferredTagsConfig {
        /// The items of a user whose tags are looked at.
        pub start: HistoryItems = HistoryItems::default(), with_start;
        /// The number of tags.
        pub tags: usize = 5, with_tags;
        /// The number of items of each tag.
        pub items: usize = 400, with_items;
    }
}

impl PreferredTagsConfig {
    /// The beginning of a path: the tags that a user prefers among the
    /// [tags](TrainingData::with_tags) of the data.
    ///
    /// # Errors
    /// [`ErrorKind::NothingLeft`] where the data have no tags, and [`ErrorKind::InvalidValue`] for
    /// a number of 0.
    pub fn fit(&self, data: &TrainingData) -> Result<impl Path<Tag> + use<>> {
        checks::at_least_one(&[("tags", self.tags), ("items", self.items)])?;
        let tags = Links::tags_of_items(data)?;
        let mut usual = vec![0.0; tags.nodes()];
        for (item, &taken) in taken_weights(data).iter().enumerate() {
            for (&tag, share) in shares(&tags, item as u32) {
                usual[tag as usize] += taken * share;
            }
        }
        let all: f32 = usual.iter().sum();
        usual.iter_mut().for_each(|usual| *usual /= all.max(1.0));
        let start = self.start;
        PreferredTags { start, tags, usual }.best(self.tags)
    }
}

#[typetag::serde(name = "preferred_tags")]
impl ChannelConfig for PreferredTagsConfig {
    fn build(&self, from: &mut ChannelSource<'_>) -> Result<Arc<dyn RecallChannel>> {
        let preferred = self.fit(from.data)?;
        let of_tags = items_of_tags(from.data, self.items)?;
        Ok(Arc::new(preferred.then(of_tags).into_channel()))
    }
}

struct PreferredTags {
    start: HistoryItems,
    tags: Links<ItemIndex, Tag>,
    /// Each tag's share of all interactions.
    usual: Vec<f32>,
}

/// An item's tags, each with its share of the item.
fn shares(tags: &Links<ItemIndex, Tag>, item: u32) -> impl Iterator<Item = (&u32, f32)> {
    let (tags, weights) = tags.of(item);
    let all: f32 = weights.iter().sum();
    tags.iter()
        .zip(weights.iter().map(move |weight| weight / all))
}

impl Path<Tag> for PreferredTags {
    fn walk(&self, users: &[User<'_>]) -> Result<Vec<Vec<Reached>>> {
        let preferred = |&user: &User<'_>| {
            let mut in_history = vec![0.0f32; self.usual.len()];
            self.start.weigh(user, |item, weight| {
                for (&tag, share) in shares(&self.tags, item.get()) {
                    in_history[tag as usize] += weight * share;
                }
            });
            let all: f32 = in_history.iter().sum();
            let weigh = |(tag, (&sum, &usual)): (usize, (&f32, &f32))| {
                let share = sum / all;
                let weight = share * (share / usual.max(1e-6)).ln();
                let node = tag as u32;
                (weight > 0.0).then_some(Reached {
                    node,
                    weight,
                    reason: Reason::Tag(node),
                })
            };
            let tags = in_history.iter().zip(&self.usual).enumerate();
            tags.filter_map(weigh).collect()
        };
        Ok(users.iter().map(preferred).collect())
    }
}

/// How often each item was taken: the catalog's counts or, where events have a meaning, the summed
/// weights of those that say nothing against their items.
fn taken_weights(data: &TrainingData) -> Vec<f32> {
    let (sequences, catalog) = (data.sequences(), data.catalog());
    if catalog.behaviors().is_none() {
        return catalog.counts().iter().map(|&count| count as f32).collect();
    }
    let mut sums = vec![0.0f64; catalog.len() + 1];
    let liked = (0..sequences.len()).flat_map(|user| sequences.history(user).liked_items());
    for (item, weight) in liked {
        sums[item.to_usize()] += f64::from(weight);
    }
    sums.into_iter().map(|sum| sum as f32).collect()
}

/// The `count` most popular items of each tag, weighing their share of the tag's interactions.
fn items_of_tags(data: &TrainingData, count: usize) -> Result<Links<Tag, ItemIndex>> {
    let catalog = data.catalog();
    let of_tags = Links::tags_of_items(data)?.reversed();
    let taken = taken_weights(data);
    let mut links = Links::to(catalog.len() + 1);
    for tag in 0..of_tags.len() as u32 {
        let (items, values) = of_tags.of(tag);
        let mut best: Vec<(u32, f32)> = (items.iter().zip(values))
            .map(|(&item, value)| (item, value * taken[item as usize]))
            .filter(|(_, weight)| *weight > 0.0)
            .collect();
        let all: f32 = best.iter().map(|(_, weight)| weight).sum();
        best.sort_by(crate::kernels::top_k::best_first);
        best.truncate(count);
        links.push(best.into_iter().map(|(item, weight)| (item, weight / all)));
    }
    Ok(links)
}
