//! Paths over other users: those like them by what they took, and those near them as vectors.

use std::sync::Arc;

use ndarray::{Array2, Axis};
use rayon::prelude::*;

use crate::data::{ItemIndex, TrainingData, User};
use crate::index::VectorIndex;
use crate::model::Similarity;
use crate::settings::settings;
use crate::{ErrorKind, Result, checks};

use super::taken_by::TakenBy;
use crate::recall::{HistoryItems, Links, Path, Peer, Reached, Reason, Scores};
use crate::retrieve::{BATCH, UserEncoder};

settings! {
    /// The settings of [`SimilarUsers`], whose defaults were chosen on validation splits
    /// (docs/benchmarks.md).
    pub struct SimilarUsersConfig {
        required {
            /// Which items of a user others are looked up by.
            pub start: HistoryItems,
        }
        /// How many of the latest users of each item are considered.
        pub recent: usize = 1_000, with_recent;
        /// How many similar users items are taken from.
        pub neighbors: usize = 100, with_neighbors;
    }
}

/// The beginning of a path: users who took the same items, the rare ones counting more.
///
/// A user is as similar as the cosine of the items' inverse frequencies: Breese, Heckerman &
/// Kadie, [1998](https://arxiv.org/abs/1301.7363). User-based collaborative filtering is the path
/// over them to their items.
///
/// ```
/// use seqrec::channels::SimilarUsersConfig;
/// use seqrec::data::{Dataset, Filters, synthetic::Synthetic};
/// use seqrec::recall::{HistoryItems, Path, RecallChannel};
///
/// let log = Synthetic::new().with_users(40).with_items(50).generate();
/// let dataset = Dataset::new(log, Filters::default())?;
/// let data = dataset.training_data();
/// let start = HistoryItems::last(20)?.with_decay(0.8)?;
/// let similar = SimilarUsersConfig::new(start).fit(&data)?;
/// let items = similar.items().clone();
/// let channel = similar.then(items).into_channel();
/// let candidates = channel.recall(&[data.sequences().history(3)], 5, None)?;
/// assert_eq!(candidates.items(0).len(), 5);
/// # Ok::<(), seqrec::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct SimilarUsers {
    taken_by: TakenBy,
    start: HistoryItems,
    /// One over the length of each user's vector of inverse frequencies.
    scales: Vec<f32>,
    neighbors: usize,
}

impl SimilarUsersConfig {
    /// Indexes the users of each item.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`] for a setting of 0.
    pub fn fit(&self, data: &TrainingData) -> Result<SimilarUsers> {
        checks::at_least_one(&[("recent", self.recent), ("neighbors", self.neighbors)])?;
        let taken_by = TakenBy::new(data, self.recent);
        let squared = |user: u32| -> f32 {
            let (_, rarities) = taken_by.items.of(user);
            rarities.iter().map(|rarity| rarity * rarity).sum()
        };
        let users = 0..data.sequences().len() as u32;
        Ok(SimilarUsers {
            scales: users
                .map(|user| 1.0 / squared(user).max(1e-6).sqrt())
                .collect(),
            taken_by,
            start: self.start,
            neighbors: self.neighbors,
        })
    }
}

impl SimilarUsers {
    /// Each user's items, weighing ln(users / users with the item).
    pub fn items(&self) -> &Arc<Links<Peer, ItemIndex>> {
        &self.taken_by.items
    }
}

impl Path<Peer> for SimilarUsers {
    fn walk(&self, users: &[User<'_>]) -> Result<Vec<Vec<Reached>>> {
        let similar = |scores: &mut Scores, &user: &User<'_>| {
            let mut seen = Vec::new();
            self.start.weigh(user, |item, weight| {
                if seen.contains(&item) {
                    return;
                }
                seen.push(item);
                let (others, rarities) = self.taken_by.users.of(item.get());
                for (&other, rarity) in others.iter().zip(rarities) {
                    let share = weight * rarity * rarity * self.scales[other as usize];
                    scores.add(other, share, Reason::User(other));
                }
            });
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

/// The beginning of a path: the users whose vectors lie nearest to theirs, by cosine.
///
/// The path over them to [what they took next](next_items) is U2U2I.
#[derive(Debug)]
pub struct NearestUsers<E, I> {
    encoder: E,
    index: I,
    neighbors: usize,
}

impl<E: UserEncoder, I: VectorIndex> NearestUsers<E, I> {
    /// Looks users up in an index of their [vectors](training_vectors).
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] when index and encoder are of other dimensions, and
    /// [`ErrorKind::InvalidValue`] for 0 neighbors.
    pub fn new(encoder: E, index: I, neighbors: usize) -> Result<Self> {
        checks::at_least_one(&[("neighbors", neighbors)])?;
        if index.dim() != encoder.dim() {
            return Err(ErrorKind::Shape {
                what: "dimension of the index of users",
                expected: encoder.dim(),
                found: index.dim(),
            }
            .into());
        }
        Ok(Self {
            encoder,
            index,
            neighbors,
        })
    }
}

/// The vectors of training users `[users + 1, dim]` by what they did but for their last
/// `held_back` items, scaled to length 1; as for items, row 0 is padding.
///
/// A user who has nothing before those items has a vector of zeros.
///
/// # Errors
/// What the encoder gives.
pub fn training_vectors(
    encoder: &impl UserEncoder,
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

/// The last `held_back` items of each training user: what they took after all that their
/// [vector](training_vectors) is made of.
pub fn next_items(data: &TrainingData, held_back: usize) -> Links<Peer, ItemIndex> {
    let sequences = data.sequences();
    let mut links = Links::to(data.catalog().len() + 1);
    for user in 0..sequences.len() {
        let next = sequences.history(user).last(held_back).items();
        links.push(next.iter().map(|item| (item.get(), 1.0)));
    }
    links
}

/// One vector of length 1 for each history; of several interests it is the mean's.
fn encode_one(encoder: &impl UserEncoder, histories: &[User<'_>]) -> Result<Array2<f32>> {
    let vectors = encoder.encode(histories)?;
    let (interests, dim) = (vectors.nrows() / histories.len(), vectors.ncols());
    let by_user = vectors
        .into_shape_with_order((histories.len(), interests, dim))
        .expect("each user has as many vectors");
    let mut means = by_user.mean_axis(Axis(1)).expect("there is an interest");
    Similarity::Cosine.prepare(means.view_mut());
    Ok(means)
}

impl<E: UserEncoder, I: VectorIndex> Path<Peer> for NearestUsers<E, I> {
    fn walk(&self, users: &[User<'_>]) -> Result<Vec<Vec<Reached>>> {
        let mut walked = vec![Vec::new(); users.len()];
        let rows: Vec<usize> = (0..users.len())
            .filter(|&row| !users[row].items().is_empty())
            .collect();
        if rows.is_empty() {
            return Ok(walked);
        }
        let known: Vec<User<'_>> = rows.iter().map(|&row| users[row]).collect();
        let queries = encode_one(&self.encoder, &known)?;
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
