//! Recall in steps: from a user over items, users or tags to items.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::data::{ItemIndex, User};
use crate::index::{Filter, ItemSet};
use crate::{Error, Result, checks};

use super::candidates::{Candidates, Reason};
use super::channel::RecallChannel;
use super::links::{Links, Node, Reached};
use super::scores::{Scores, candidates};

/// A way from users to nodes of a kind: the first step, or one with more steps after it.
///
/// Recall of the forms that are called U2I2I, U2Tag2I, U2U2I and so on is a path to items, made of
/// a beginning and [steps](Step) that fit together:
///
/// ```
/// use seqrec::data::{Dataset, Filters, Features, synthetic::Synthetic};
/// use seqrec::channels::{ItemNeighborsConfig, PreferredTags, items_of_tags};
/// use seqrec::recall::{HistoryItems, Path, RecallChannel};
///
/// let log = Synthetic::new().with_users(40).with_items(50).generate();
/// let dataset = Dataset::new(log, Filters::default())?;
/// let catalog = dataset.catalog();
/// let tags = catalog.ids().map(|id| (id.clone(), [if id.to_string() < "3".to_owned() { "a" } else { "b" }]));
/// let data = dataset.training_data().with_tags(Features::from_item_tags(catalog, tags))?;
/// let user = data.sequences().history(0);
///
/// // The user's items, then each one's neighbors.
/// let neighbors = ItemNeighborsConfig::new().fit(&data)?;
/// let u2i2i = HistoryItems::last(20)?.with_decay(0.8)?.then(neighbors).into_channel();
/// let candidates = u2i2i.recall(&[user], 10, None)?;
/// assert_eq!(candidates.items(0).len(), 10);
///
/// // The tags they prefer, then each one's best items.
/// let preferred = PreferredTags::new(&data, HistoryItems::last(50)?)?;
/// let u2tag2i = preferred.best(2)?.then(items_of_tags(&data, 100)?).into_channel();
/// assert!(!u2tag2i.recall(&[user], 10, None)?.items(0).is_empty());
/// # Ok::<(), seqrec::Error>(())
/// ```
pub trait Path<To: Node>: Send + Sync {
    /// For each user the nodes it leads to, each once.
    ///
    /// # Errors
    /// What looking them up gives.
    fn walk(&self, users: &[User<'_>]) -> Result<Vec<Vec<Reached>>>;

    /// Those of some items that are in the index which it searches for items;
    /// see [`RecallChannel::holds`].
    ///
    /// # Errors
    /// What the index's search gives.
    fn holds(&self, _items: &ItemSet) -> Result<Option<ItemSet>> {
        Ok(None)
    }

    /// Goes on from there by another step.
    fn then<Next: Node, S: Step<To, Next>>(self, step: S) -> Then<Self, S, To>
    where
        Self: Sized,
    {
        Then {
            path: self,
            step,
            over: std::marker::PhantomData,
        }
    }

    /// Keeps the `count` nodes with the largest weights, ties by number.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) for a count of 0.
    fn best(self, count: usize) -> Result<BestNodes<Self>>
    where
        Self: Sized,
    {
        checks::at_least_one(&[("count", count)])?;
        Ok(BestNodes { path: self, count })
    }

    /// A channel of the items that the path leads to.
    fn into_channel(self) -> PathChannel<Self>
    where
        Self: Sized + Path<ItemIndex>,
    {
        PathChannel { path: self }
    }
}

/// A step from nodes of one kind to nodes of another or the same; [`Links`] are one, and whatever
/// can say where a node leads.
///
/// ```
/// use seqrec::data::ItemIndex;
/// use seqrec::recall::{HistoryItems, Path, RecallChannel, Step};
///
/// /// The next volume of a series of `volumes` books, numbered one after another.
/// struct NextVolume {
///     volumes: u32,
/// }
///
/// impl Step<ItemIndex, ItemIndex> for NextVolume {
///     fn nodes(&self) -> usize {
///         self.volumes as usize + 1 // 0 is padding
///     }
///
///     fn follow(&self, from: &[u32], found: &mut dyn FnMut(usize, u32, f32)) -> seqrec::Result<()> {
///         for (place, &volume) in from.iter().enumerate() {
///             if volume < self.volumes {
///                 found(place, volume + 1, 1.0);
///             }
///         }
///         Ok(())
///     }
/// }
///
/// let channel = HistoryItems::last(5)?.then(NextVolume { volumes: 7 }).into_channel();
/// let took = [3].map(ItemIndex::new);
/// let found = channel.recall(&[(&took[..]).into()], 10, None)?;
/// assert_eq!(found.items(0), [ItemIndex::new(4)]);
/// # Ok::<(), seqrec::Error>(())
/// ```
pub trait Step<From: Node, To: Node>: Send + Sync {
    /// The numbers that the nodes it leads to are below.
    fn nodes(&self) -> usize;

    /// Calls `found` with the place of a node among `from`, a node that it leads to, and the
    /// weight of that link, for every link.
    ///
    /// # Errors
    /// What looking them up gives.
    fn follow(&self, from: &[u32], found: &mut dyn FnMut(usize, u32, f32)) -> Result<()>;

    /// Those of some items that are in the index which it searches for items;
    /// see [`RecallChannel::holds`].
    ///
    /// # Errors
    /// What the index's search gives.
    fn holds(&self, _items: &ItemSet) -> Result<Option<ItemSet>> {
        Ok(None)
    }
}

impl<From: Node, To: Node> Step<From, To> for Links<From, To> {
    fn nodes(&self) -> usize {
        self.nodes()
    }

    fn follow(&self, from: &[u32], found: &mut dyn FnMut(usize, u32, f32)) -> Result<()> {
        for (place, &node) in from.iter().enumerate() {
            let (targets, weights) = self.of(node);
            for (&target, &weight) in targets.iter().zip(weights) {
                found(place, target, weight);
            }
        }
        Ok(())
    }
}

/// A pointer to a step is a step, and a pointer to a path a path.
macro_rules! forward {
    ($($pointer:ty),*) => {$(
        impl<From: Node, To: Node, T: Step<From, To> + ?Sized> Step<From, To> for $pointer {
            fn nodes(&self) -> usize {
                (**self).nodes()
            }

            fn follow(&self, from: &[u32], found: &mut dyn FnMut(usize, u32, f32)) -> Result<()> {
                (**self).follow(from, found)
            }

            fn holds(&self, items: &ItemSet) -> Result<Option<ItemSet>> {
                (**self).holds(items)
            }
        }

        impl<To: Node, T: Path<To> + ?Sized> Path<To> for $pointer {
            fn walk(&self, users: &[User<'_>]) -> Result<Vec<Vec<Reached>>> {
                (**self).walk(users)
            }

            fn holds(&self, items: &ItemSet) -> Result<Option<ItemSet>> {
                (**self).holds(items)
            }
        }
    )*};
}

forward!(&T, Box<T>, std::sync::Arc<T>);

/// A [path](Path) and one more step; weights multiply along it and add up where ways meet.
#[derive(Debug, Clone)]
pub struct Then<P, S, Over> {
    path: P,
    step: S,
    over: std::marker::PhantomData<fn(Over)>,
}

impl<P: Path<Over>, S: Step<Over, To>, Over: Node, To: Node> Path<To> for Then<P, S, Over> {
    fn walk(&self, users: &[User<'_>]) -> Result<Vec<Vec<Reached>>> {
        let step = |scores: &mut Scores, from: Vec<Reached>| {
            let nodes: Vec<u32> = from.iter().map(|reached| reached.node).collect();
            self.step.follow(&nodes, &mut |place, node, weight| {
                let Reached {
                    weight: so_far,
                    reason,
                    ..
                } = from[place];
                scores.add(node, so_far * weight, reason);
            })?;
            Ok(scores.take())
        };
        (self.path.walk(users)?.into_par_iter())
            .map_init(|| Scores::new(self.step.nodes()), step)
            .collect()
    }

    fn holds(&self, items: &ItemSet) -> Result<Option<ItemSet>> {
        match self.step.holds(items)? {
            Some(held) => Ok(Some(held)),
            None => self.path.holds(items),
        }
    }
}

/// The weightiest nodes of a [path](Path).
#[derive(Debug, Clone)]
pub struct BestNodes<P> {
    path: P,
    count: usize,
}

impl<To: Node, P: Path<To>> Path<To> for BestNodes<P> {
    fn walk(&self, users: &[User<'_>]) -> Result<Vec<Vec<Reached>>> {
        let mut walked = self.path.walk(users)?;
        for reached in &mut walked {
            reached
                .sort_unstable_by(|a, b| b.weight.total_cmp(&a.weight).then(a.node.cmp(&b.node)));
            reached.truncate(self.count);
        }
        Ok(walked)
    }

    fn holds(&self, items: &ItemSet) -> Result<Option<ItemSet>> {
        self.path.holds(items)
    }
}

/// A channel of the items that a [path](Path) leads to.
#[derive(Debug, Clone)]
pub struct PathChannel<P> {
    path: P,
}

impl<P: Path<ItemIndex>> RecallChannel for PathChannel<P> {
    fn recall(
        &self,
        users: &[User<'_>],
        k: usize,
        filter: Option<Filter<'_>>,
    ) -> Result<Candidates> {
        let mut best = Candidates::with_capacity(users.len(), k);
        for (row, reached) in self.path.walk(users)?.into_iter().enumerate() {
            best.push_best(candidates(reached, row, filter), k);
        }
        Ok(best)
    }

    fn holds(&self, items: &ItemSet) -> Result<Option<ItemSet>> {
        self.path.holds(items)
    }
}

/// The beginning of a path: the items of a user's history, the later ones and the more frequent
/// ones weighing more.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "HistoryItemsFile")]
pub struct HistoryItems {
    last: usize,
    decay: f64,
    half_life: Option<f64>,
}

/// What may be written in a file, before it is checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HistoryItemsFile {
    last: usize,
    decay: f64,
    half_life: Option<f64>,
}

impl TryFrom<HistoryItemsFile> for HistoryItems {
    type Error = Error;

    fn try_from(file: HistoryItemsFile) -> Result<Self> {
        let items = Self::last(file.last)?.with_decay(file.decay)?;
        file.half_life
            .map_or(Ok(items), |half_life| items.with_half_life(half_life))
    }
}

/// How many half-lives after the last item a user asks at the latest: all weights, or the squares
/// of scores that a fusion sums, would be too small for single precision otherwise, and so the
/// same.
const LONGEST_ABSENCE: f64 = 24.0;

impl HistoryItems {
    /// A history's last `count` items, the same one counted as often as it is among them, all of
    /// the same weight until there is a [decay](Self::with_decay) or a
    /// [half-life](Self::with_half_life).
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) for a count of 0.
    pub fn last(count: usize) -> Result<Self> {
        checks::at_least_one(&[("count", count)])?;
        Ok(Self {
            last: count,
            decay: 1.0,
            half_life: None,
        })
    }

    /// Each item weighs `decay` times as much as the one after it, such as 0.8: of the last 20
    /// items, so weighed, item neighbors and similar users find up to twice as much as of 20 equal
    /// ones.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) when it is not above 0 and at most 1.
    pub fn with_decay(self, decay: f64) -> Result<Self> {
        checks::decay("decay", decay)?;
        Ok(Self { decay, ..self })
    }

    /// Each item weighs half as much for every `half_life` between when it was taken and
    /// [when the user asks](crate::data::User::now), in the unit of the source, where the history
    /// has times. A user who was away for very long is taken to ask 24 half-lives after their last
    /// item, so that items still differ.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) when it is not above 0.
    pub fn with_half_life(self, half_life: f64) -> Result<Self> {
        checks::positive("half_life", half_life)?;
        let half_life = Some(half_life);
        Ok(Self { half_life, ..self })
    }

    /// Calls `found` with each item, the last one first, and its weight.
    pub(crate) fn weigh(&self, user: User<'_>, mut found: impl FnMut(ItemIndex, f32)) {
        let history = user.last(self.last);
        let now = self.half_life.zip(user.now()).map(|(half_life, now)| {
            let last = history.times().last().copied();
            last.map_or(now, |last| now.min(last + LONGEST_ABSENCE * half_life))
        });
        let mut by_place = 1.0;
        for (place, &item) in history.items().iter().enumerate().rev() {
            let by_age = match (self.half_life, now, history.times().get(place)) {
                (Some(half_life), Some(now), Some(time)) => {
                    ((time - now).min(0.0) / half_life).exp2() as f32
                }
                _ => 1.0,
            };
            // What is long past still counts more than nothing.
            found(item, (by_place * by_age).max(f32::MIN_POSITIVE));
            by_place *= self.decay as f32;
        }
    }
}

impl Path<ItemIndex> for HistoryItems {
    fn walk(&self, users: &[User<'_>]) -> Result<Vec<Vec<Reached>>> {
        let weigh = |&user: &User<'_>| {
            let mut reached: Vec<Reached> = Vec::new();
            self.weigh(user, |item, weight| {
                reached.push(Reached {
                    node: item.get(),
                    weight,
                    reason: Reason::Item(item),
                });
            });
            reached.sort_by_key(|reached| reached.node);
            reached.dedup_by(|again, first| {
                let same = again.node == first.node;
                first.weight += if same { again.weight } else { 0.0 };
                same
            });
            reached
        };
        Ok(users.iter().map(weigh).collect())
    }
}
