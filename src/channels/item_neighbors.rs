//! Item-based collaborative filtering: which items go with each.

use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;

use crate::data::{ItemIndex, TrainingData, User};
use crate::kernels::top_k::Scored;
use crate::settings::settings;
use crate::{Result, checks};

use crate::recall::{ChannelConfig, ChannelSource, HistoryItems, Links, Path, RecallChannel};

use super::liked::Liked;
use super::met_items::best_of_met;

/// How far apart two items of a sequence still count; beyond it a decay has left next to nothing.
const LEAST_WEIGHT: f32 = 1e-3;

settings! {
    /// The settings of item-based collaborative filtering: a user's items, then the neighbors of
    /// each.
    ///
    /// The defaults were chosen on validation splits of several data sets; the decay of the
    /// [start](Self::start) does as much as all others (docs/benchmarks.md). A plain cosine is
    /// `position_decay` 1, `backward` 1, `shrinkage` 0 and `inverse_user_frequency` off.
    ///
    /// Two items are as near as the cosine of who took them: the users who took both, over the root
    /// of the users who took each. A user counts less the more they took, and a pair of items less
    /// the further apart they took them. The nearest of each item are kept, which is all the memory
    /// it takes beside one score an item and thread.
    ///
    /// By the [meaning](crate::data::Behaviors) of events, an item stands in the cosine with the
    /// greatest weight of a user's events with it, as a count does in that of two texts: a pair
    /// counts the product of its two weights, and the root is of the sum of their squares. Disliked
    /// items are not there.
    ///
    /// Sarwar et al., [Item-based collaborative filtering](https://doi.org/10.1145/371920.372071);
    /// inverse user frequency is Breese, Heckerman & Kadie's,
    /// [1998](https://arxiv.org/abs/1301.7363).
    ///
    /// ```
    /// use seqrec::data::{Dataset, Filters, Interaction, Interactions};
    /// use seqrec::channels::ItemNeighborsConfig;
    ///
    /// let rows = [("u", "a", 1.0), ("u", "b", 2.0), ("v", "a", 1.0), ("v", "b", 2.0), ("v", "c", 3.0)];
    /// let log: Interactions = rows.map(|(user, item, time)| Interaction::new(user, item, time)).into_iter().collect();
    /// let dataset = Dataset::new(log, Filters::default())?;
    /// let cosines = ItemNeighborsConfig::new()
    ///     .with_inverse_user_frequency(false)
    ///     .with_position_decay(1.0)
    ///     .with_backward(1.0)
    ///     .with_shrinkage(0.0);
    /// let links = cosines.fit(&dataset.training_data())?;
    /// let (items, cosines) = links.of(1);
    /// assert_eq!(items, [2, 3]);
    /// assert!((cosines[0] - 1.0).abs() < 1e-6 && (cosines[1] - 0.5f32.sqrt()).abs() < 1e-6);
    /// # Ok::<(), seqrec::Error>(())
    /// ```
    #[serde(deny_unknown_fields)]
    pub struct ItemNeighborsConfig {
        /// The items of a user whose neighbors are recalled.
        pub start: HistoryItems = HistoryItems::default(), with_start;
        /// How many neighbors of each item are kept.
        pub neighbors: usize = 100, with_neighbors;
        /// How many of a user's last items are used: someone who took all would cost the square
        /// of that, and say nothing.
        pub longest: usize = 5_000, with_longest;
        /// Whether a user counts 1 / ln(1 + their items).
        pub inverse_user_frequency: bool = true, with_inverse_user_frequency;
        /// What a pair counts for every place that lies between its items, at most 1.
        pub position_decay: f64 = 0.95, with_position_decay;
        /// The time between its items, in the unit of the source, that halves what a pair counts.
        pub half_life: Option<f64> = None, with_half_life;
        /// What an item that was taken before another counts as its neighbor, where one that was
        /// taken after it counts 1.
        pub backward: f64 = 0.5, with_backward;
        /// How many users more it would take to believe a cosine by half: those of rare items are
        /// great by chance.
        pub shrinkage: f64 = 0.5, with_shrinkage;
    }
}

impl ItemNeighborsConfig {
    fn validate(&self) -> Result<()> {
        checks::at_least_one(&[("neighbors", self.neighbors), ("longest", self.longest)])?;
        checks::decay("position_decay", self.position_decay)?;
        if let Some(half_life) = self.half_life {
            checks::positive("half_life", half_life)?;
        }
        checks::not_negative("backward", self.backward)?;
        checks::not_negative("shrinkage", self.shrinkage)
    }

    /// Finds the neighbors of every item, best first, ties by popularity, on all threads.
    ///
    /// Of an item that a user took several times, the last counts.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) for the first invalid setting.
    pub fn fit(&self, data: &TrainingData) -> Result<Links<ItemIndex, ItemIndex>> {
        self.validate()?;
        let catalog = data.catalog();
        let together = Together::new(self, data);
        let scratch = || vec![0.0; catalog.len()];
        // The most work first, so that no thread is left with a great piece at the end.
        let found: Vec<Vec<Scored>> = (0..catalog.len() as u32)
            .into_par_iter()
            .with_max_len(16)
            .map_init(scratch, |sums, rank| together.neighbors(rank, sums))
            .collect();
        let mut links = Links::to(catalog.len() + 1);
        links.push([]);
        for item in 1..=catalog.len() {
            let neighbors = found[together.ranks[item] as usize].iter();
            links.push(
                neighbors.map(|&(rank, cosine)| (together.by_rank[rank as usize].get(), cosine)),
            );
        }
        Ok(links)
    }
}

#[typetag::serde(name = "item_neighbors")]
impl ChannelConfig for ItemNeighborsConfig {
    fn build(&self, from: &mut ChannelSource<'_>) -> Result<Arc<dyn RecallChannel>> {
        self.validate()?;
        let data = from.data;
        let links = from.keep_links(|| self.fit(data))?;
        Ok(Arc::new(self.start.then(links).into_channel()))
    }
}

/// Who took what, both ways. Items are numbered by their rank in popularity, from 0, so that the
/// sums of those that nearly everyone took lie side by side.
struct Together<'a> {
    config: &'a ItemNeighborsConfig,
    by_rank: Vec<ItemIndex>,
    /// The rank of each item; that of padding is never read.
    ranks: Vec<u32>,
    /// Each user's distinct items, in order, one user after another.
    items: Vec<u32>,
    /// When each was taken, where a half-life asks for it.
    times: Vec<f64>,
    /// The weight of each; empty where events have no meaning, and every one weighs 1.
    events: Vec<f32>,
    /// Where each user's items begin, and where the last one's end.
    users: Vec<u32>,
    /// What each user counts.
    weights: Vec<f32>,
    /// Who took each item, and where it is in `items`; one item after another.
    taken: Vec<(u32, u32)>,
    /// Where each item's takers begin, and where the last one's end.
    offsets: Vec<usize>,
    /// One over the root of what the users who took each count in all.
    scales: Vec<f32>,
    /// What a pair counts by how many places lie between its items; empty where that is nothing
    /// to it.
    by_distance: Vec<f32>,
}

impl<'a> Together<'a> {
    fn new(config: &'a ItemNeighborsConfig, data: &TrainingData) -> Self {
        let (sequences, catalog) = (data.sequences(), data.catalog());
        let by_rank = catalog
            .clone()
            .with_counts(sequences.item_lists())
            .by_popularity();
        let mut ranks = vec![0; catalog.len() + 1];
        for (rank, &item) in by_rank.iter().enumerate() {
            ranks[item.to_usize()] = rank as u32;
        }
        let decays = std::iter::successors(Some(1.0), |decay| {
            Some(decay * config.position_decay as f32)
        });
        let by_distance = if config.position_decay < 1.0 {
            decays.take_while(|&decay| decay > LEAST_WEIGHT).collect()
        } else {
            Vec::new()
        };
        let mut together = Self {
            config,
            offsets: vec![0; catalog.len() + 1],
            by_rank,
            ranks,
            items: Vec::new(),
            times: Vec::new(),
            events: Vec::new(),
            users: vec![0],
            weights: Vec::new(),
            taken: Vec::new(),
            scales: Vec::new(),
            by_distance,
        };
        // The user in whose sequence an item was seen last, plus one.
        let mut seen = vec![0; catalog.len()];
        for sequence in 0..sequences.len() {
            let history = sequences.history(sequence).last(config.longest);
            together.add_user(history, &mut seen);
        }
        together.turn_round();
        together
    }

    fn add_user(&mut self, history: User<'_>, seen: &mut [u32]) {
        let start = self.items.len();
        let number = self.users.len() as u32;
        // From the end, since the last of several counts; turned round after that.
        for place in history.liked_places().rev() {
            let rank = self.ranks[history.items()[place].to_usize()];
            if std::mem::replace(&mut seen[rank as usize], number) != number {
                self.items.push(rank);
                if self.config.half_life.is_some() {
                    let time = history.times().get(place);
                    self.times.push(time.copied().unwrap_or_default());
                }
            }
        }
        self.items[start..].reverse();
        if self.config.half_life.is_some() {
            self.times[start..].reverse();
        }
        if history.behaviors().is_some() {
            self.add_weights(history, start);
        }
        let count = (self.items.len() - start) as f32;
        self.weights.push(if self.config.inverse_user_frequency {
            1.0 / count.ln_1p().max(f32::MIN_POSITIVE)
        } else {
            1.0
        });
        let end = u32::try_from(self.items.len()).expect("fewer than 2^32 interactions");
        self.users.push(end);
    }

    /// Adds the greatest weight of a user's events with each of the items from `start` on.
    fn add_weights(&mut self, history: User<'_>, start: usize) {
        let liked = Liked::distinct(history);
        let weight = |&rank: &u32| {
            let item = self.by_rank[rank as usize].get();
            let place = liked.items.binary_search(&item).ok();
            place.map_or(1.0, |place| liked.weights[place])
        };
        self.events.extend(self.items[start..].iter().map(weight));
    }

    /// The weight of what is in a place.
    fn weight(&self, place: usize) -> f32 {
        self.events.get(place).copied().unwrap_or(1.0)
    }

    fn of_user(&self, user: u32) -> Range<usize> {
        self.users[user as usize] as usize..self.users[user as usize + 1] as usize
    }

    /// From the items of users to the users of items.
    fn turn_round(&mut self) {
        for &rank in &self.items {
            self.offsets[rank as usize + 1] += 1;
        }
        for item in 1..self.offsets.len() {
            self.offsets[item] += self.offsets[item - 1];
        }
        let mut next = self.offsets.clone();
        let mut counts = vec![0.0f32; self.by_rank.len()];
        let mut taken = vec![(0, 0); self.items.len()];
        for (user, weight) in self.weights.iter().enumerate() {
            for place in self.of_user(user as u32) {
                let item = self.items[place] as usize;
                taken[next[item]] = (user as u32, place as u32);
                next[item] += 1;
                counts[item] += weight * self.weight(place).powi(2);
            }
        }
        self.taken = taken;
        let scale = |count: f32| if count > 0.0 { 1.0 / count.sqrt() } else { 0.0 };
        self.scales = counts.into_iter().map(scale).collect();
    }

    /// The nearest items of one, best first; `sums` is 0 everywhere, before and after.
    fn neighbors(&self, item: u32, sums: &mut [f32]) -> Vec<Scored> {
        let plain = self.events.is_empty()
            && self.by_distance.is_empty()
            && self.config.half_life.is_none()
            && self.config.backward == 1.0;
        let taken = &self.taken[self.offsets[item as usize]..self.offsets[item as usize + 1]];
        let mut met = 0;
        for &(user, place) in taken {
            let (range, weight) = (self.of_user(user), self.weights[user as usize]);
            met += range.len();
            if plain {
                for &other in &self.items[range] {
                    sums[other as usize] += weight;
                }
            } else {
                self.add_pairs(place as usize, range, weight, sums);
            }
        }
        sums[item as usize] = 0.0;
        let scale = self.scales[item as usize];
        let shrinkage = self.config.shrinkage as f32;
        let score = |other: u32, sum: f32| {
            let believed = if shrinkage > 0.0 {
                sum / (sum + shrinkage)
            } else {
                1.0
            };
            sum * believed * scale * self.scales[other as usize]
        };
        let items = || {
            let users = taken.iter().map(|&(user, _)| self.of_user(user));
            users.flat_map(|range| &self.items[range]).copied()
        };
        best_of_met(self.config.neighbors, sums, met, items, score)
    }

    /// Adds what a user's items count as neighbors of the one at a place.
    fn add_pairs(&self, place: usize, range: Range<usize>, weight: f32, sums: &mut [f32]) {
        let Range {
            start: mut from,
            end: mut to,
        } = range;
        if !self.by_distance.is_empty() {
            from = from.max(place.saturating_sub(self.by_distance.len()));
            to = to.min(place + self.by_distance.len() + 1);
        }
        for other in (from..to).filter(|&other| other != place) {
            let mut pair = weight * self.weight(place) * self.weight(other);
            if other < place {
                pair *= self.config.backward as f32;
            }
            if let Some(&decay) = self.by_distance.get(other.abs_diff(place) - 1) {
                pair *= decay;
            }
            if let Some(half_life) = self.config.half_life {
                let apart = (self.times[other] - self.times[place]).abs();
                pair *= ((-apart / half_life) as f32).exp2();
            }
            sums[self.items[other] as usize] += pair;
        }
    }
}
