//! Paths over other users: those like them by what they took, and those near them as vectors.

use std::sync::Arc;

use ndarray::{Array2, Axis};
use rayon::prelude::*;

use crate::data::{ItemIndex, TrainingData, User};
use crate::index::{AnyIndex, VectorIndex};
use crate::kernels::rows::scale_to_length_one;
use crate::settings::settings;
use crate::{Result, checks};

use super::taken_by::TakenBy;
use crate::recall::{
    BATCH, ChannelConfig, ChannelSource, HistoryItems, Links, Path, Peer, Reached, Reason,
    RecallChannel, Scores, UserEncoder,
};

settings! {
    /// The settings of user-based collaborative filtering: users who took the same items, the rare
    /// ones counting more, then their items. The defaults were chosen on validation splits
    /// (docs/benchmarks.md).
    ///
    /// A user is as similar as the cosine of the items' inverse frequencies: Breese, Heckerman &
    /// Kadie, [1998](https://arxiv.org/abs/1301.7363). By the [meaning](crate::data::Behaviors) of
    /// events, each is multiplied by the greatest weight of the user's events with the item, and
    /// disliked items are left out.
    ///
    /// ```
    /// use seqrec::channels::SimilarUsersConfig;
    /// use seqrec::data::{Dataset, Filters, synthetic::Synthetic};
    /// use seqrec::recall::{Path, RecallChannel};
    ///
    /// let log = Synthetic::new().with_users(40).with_items(50).generate()?;
    /// let dataset = Dataset::new(log, Filters::default())?;
    /// let data = dataset.training_data();
    /// let (similar, items) = SimilarUsersConfig::new().fit(&data)?;
    /// let channel = similar.then(items).into_channel();
    /// let candidates = channel.recall(&[data.sequences().history(3)], 5, None)?;
    /// assert_eq!(candidates.items(0).len(), 5);
    /// # Ok::<(), seqrec::Error>(())
    /// ```
    #[serde(deny_unknown_fields)]
    pub struct SimilarUsersConfig {
        /// The items of a user that others are looked up by.
        pub start: HistoryItems = HistoryItems::default(), with_start;
        /// How many of the latest users of each item are considered.
        pub recent: usize = 1_000, with_recent;
        /// How many similar users items are taken from.
        pub neighbors: usize = 100, with_neighbors;
    }
}

struct SimilarUsers {
    taken_by: TakenBy,
    start: HistoryItems,
    /// One over the length of each user's vector of inverse frequencies.
    scales: Vec<f32>,
    neighbors: usize,
}

impl SimilarUsersConfig {
    /// The beginning of a path, users who took the same items, and the step that leads on: each
    /// user's items, weighing ln(users / users with the item) times their events' weight.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) for a setting of 0.
    pub fn fit(
        &self,
        data: &TrainingData,
    ) -> Result<(impl Path<Peer> + use<>, Arc<Links<Peer, ItemIndex>>)> {
        checks::at_least_one(&[("recent", self.recent), ("neighbors", self.neighbors)])?;
        let taken_by = TakenBy::new(data, self.recent);
        let squared = |user: u32| -> f32 {
            let (_, weights) = taken_by.items.of(user);
            weights.iter().map(|weight| weight * weight).sum()
        };
        let users = 0..data.sequences().len() as u32;
        let items = Arc::clone(&taken_by.items);
        let similar = SimilarUsers {
            scales: users
                .map(|user| 1.0 / squared(user).max(1e-6).sqrt())
                .collect(),
            taken_by,
            start: self.start,
            neighbors: self.neighbors,
        };
        Ok((similar, items))
    }
}

#[typetag::serde(name = "similar_users")]
impl ChannelConfig for SimilarUsersConfig {
    fn build(&self, from: &mut ChannelSource<'_>) -> Result<Arc<dyn RecallChannel>> {
        let (similar, items) = self.fit(from.data)?;
        Ok(Arc::new(similar.then(items).into_channel()))
    }
}

impl Path<Peer> for SimilarUsers {
    fn walk(&self, users: &[User<'_>]) -> Result<Vec<Vec<Reached>>> {
        let similar = |scores: &mut Scores, &user: &User<'_>| {
            // The last of several events with an item counts most, but for their weights.
            let mut items: Vec<(ItemIndex, f32)> = Vec::new();
            self.start.weigh(user, |item, weight| {
                match items.iter_mut().find(|(other, _)| *other == item) {
                    Some((_, greatest)) => *greatest = greatest.max(weight),
                    None => items.push((item, weight)),
                }
            });
            for (item, weight) in items {
                let rarity = self.taken_by.rarities.get(item.to_usize()).unwrap_or(&0.0);
                let (others, weights) = self.taken_by.users.of(item.get());
                for (&other, of_other) in others.iter().zip(weights) {
                    let share = weight * rarity * rarity * self.scales[other as usize] * of_other;
                    scores.add(other, share, Reason::User(other));
                }
            }
            let mut similar = scores.take();
            let recency = |reached: &Reached| self.taken_by.recency[reached.node as usize];
            let order = |a: &Reached, b: &Reached| {
                (b.weight.total_cmp(&a.weight)).then(recency(a).cmp(&recency(b)))
            };
            if self.neighbors < similar.len() {
                similar.select_nth_unstable_by(self.neighbors, order);
                similar.truncate(self.neighbors);
            }
            similar.sort_unstable_by(order);
            similar
        };
        let users = users.par_iter();
        Ok(users
            .map_init(|| Scores::new(self.scales.len()), similar)
            .collect())
    }
}

settings! {
    /// The settings of U2U2I: the users whose vectors lie nearest to a user's, by cosine and by the
    /// model that the channel looks at, then what they took next, by the weights of these events
    /// and without what they disliked.
    #[derive(Copy, Eq)]
    #[serde(deny_unknown_fields)]
    pub struct NearestUsersConfig {
        /// The number of users.
        pub neighbors: usize = 200, with_neighbors;
        /// The number of a training user's last items that are what they took next; their vector is
        /// made of all before these.
        pub held_back: usize = 3, with_held_back;
    }
}

#[typetag::serde(name = "nearest_users")]
impl ChannelConfig for NearestUsersConfig {
    fn build(&self, from: &mut ChannelSource<'_>) -> Result<Arc<dyn RecallChannel>> {
        checks::at_least_one(&[("neighbors", self.neighbors), ("held_back", self.held_back)])?;
        let (data, encoder) = (from.data, from.encoder()?);
        let index = from.keep_index((data.sequences().len() + 1, encoder.dim()), |plan| {
            let vectors = training_vectors(&*encoder, data, self.held_back)?;
            plan.build_of_vectors(vectors.view(), self.neighbors)
        })?;
        let nearest = NearestUsers {
            encoder,
            index,
            neighbors: self.neighbors,
        };
        Ok(Arc::new(
            nearest
                .then(next_items(data, self.held_back))
                .into_channel(),
        ))
    }

    fn build_for_new_items(
        &self,
        channel: Arc<dyn RecallChannel>,
        from: &mut ChannelSource<'_>,
    ) -> Result<Arc<dyn RecallChannel>> {
        from.by_model_of_new_items(channel, |from| self.build(from))
    }
}

/// The beginning of a path: the users whose vectors lie nearest to theirs.
struct NearestUsers {
    encoder: Arc<dyn UserEncoder>,
    index: Arc<AnyIndex>,
    neighbors: usize,
}

/// The vectors of training users `[users + 1, dim]` by what they did but for their last
/// `held_back` items, scaled to length 1; as for items, row 0 is padding.
///
/// A user who has nothing before those items has a vector of zeros.
fn training_vectors(
    encoder: &dyn UserEncoder,
    data: &TrainingData,
    held_back: usize,
) -> Result<Array2<f32>> {
    let sequences = data.sequences();
    let mut vectors = Array2::zeros((sequences.len() + 1, encoder.dim()));
    let before = |user: usize| {
        let history = sequences.history(user);
        history.first(history.items().len().saturating_sub(held_back))
    };
    let with_any: Vec<usize> = (0..sequences.len())
        .filter(|&user| !before(user).items().is_empty())
        .collect();
    for users in with_any.chunks(BATCH) {
        let histories: Vec<User<'_>> = users.iter().map(|&user| before(user)).collect();
        let encoded = encode_one(encoder, &histories)?;
        for (&user, vector) in users.iter().zip(encoded.rows()) {
            vectors.row_mut(user + 1).assign(&vector);
        }
    }
    Ok(vectors)
}

/// The last `held_back` items of each training user that they have nothing against, with the
/// weights of their events: what they took after all that their [vector](training_vectors) is made
/// of.
fn next_items(data: &TrainingData, held_back: usize) -> Links<Peer, ItemIndex> {
    let sequences = data.sequences();
    let mut links = Links::to(data.catalog().len() + 1);
    for user in 0..sequences.len() {
        let next = sequences.history(user).last(held_back).liked_items();
        links.push(next.map(|(item, weight)| (item.get(), weight)));
    }
    links
}

/// One vector of length 1 for each history; of several interests it is the mean's.
fn encode_one(encoder: &dyn UserEncoder, histories: &[User<'_>]) -> Result<Array2<f32>> {
    let vectors = encoder.encode(histories)?;
    let (interests, dim) = (vectors.nrows() / histories.len(), vectors.ncols());
    let by_user = vectors
        .into_shape_with_order((histories.len(), interests, dim))
        .expect("each user has as many vectors");
    let mut means = by_user.mean_axis(Axis(1)).expect("there is an interest");
    scale_to_length_one(means.view_mut());
    Ok(means)
}

impl Path<Peer> for NearestUsers {
    fn walk(&self, users: &[User<'_>]) -> Result<Vec<Vec<Reached>>> {
        let mut walked = vec![Vec::new(); users.len()];
        let rows: Vec<usize> = (0..users.len())
            .filter(|&row| !users[row].items().is_empty())
            .collect();
        if rows.is_empty() {
            return Ok(walked);
        }
        let known: Vec<User<'_>> = rows.iter().map(|&row| users[row]).collect();
        let queries = encode_one(&*self.encoder, &known)?;
        let hits = self.index.search(queries.view(), self.neighbors, None)?;
        for (place, row) in rows.into_iter().enumerate() {
            let near = hits.list(place).filter(|hit| hit.score > 0.0);
            walked[row] = near
                .map(|hit| {
                    // User u's vector is row u + 1, as an item's would be.
                    let node = hit.item.get() - 1;
                    Reached {
                        node,
                        weight: hit.score,
                        reason: Reason::User(node),
                    }
                })
                .collect();
        }
        Ok(walked)
    }
}
