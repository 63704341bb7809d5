//! Recall in steps: from a user over items, users or tags to items.

use rayon::prelude::*;

use crate::data::{ItemIndex, User};
use crate::index::{Filter, ItemSet};
use crate::{Result, checks};

use super::candidates::Candidates;
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
/// use seqrec::channels::{ItemNeighborsConfig, PreferredTagsConfig};
/// use seqrec::recall::{HistoryItems, Links, Path, RecallChannel};
///
/// let log = Synthetic::new().with_users(40).with_items(50).generate()?;
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
/// // The tags they prefer, then all of each one's items.
/// let preferred = PreferredTagsConfig::new().with_tags(2).fit(&data)?;
/// let u2tag2i = preferred.then(Links::tags_of_items(&data)?.reversed()).into_channel();
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
        for (row, mut reached) in self.path.walk(users)?.into_iter().enumerate() {
            reached.retain(|reached| reached.weight >= 0.0);
            best.push_best(candidates(reached, row, filter), k);
        }
        Ok(best)
    }

    fn holds(&self, items: &ItemSet) -> Result<Option<ItemSet>> {
        self.path.holds(items)
    }
}
