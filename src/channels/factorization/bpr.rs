//! Bayesian personalized ranking.

use std::sync::Arc;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::data::{Spans, TrainingData};
use crate::kernels::pairwise::step_apart;
use crate::kernels::random;
use crate::kernels::scoring::prefetch;
use crate::recall::{ChannelConfig, ChannelSource, RecallChannel};
use crate::settings::settings;
use crate::{Result, checks};

use super::{MatrixFactorization, normal};

settings! {
    /// A [`MatrixFactorization`] by Bayesian personalized ranking (BPR). The default of `dim` was
    /// chosen on validation splits (docs/benchmarks.md).
    #[serde(deny_unknown_fields)]
    pub struct BprConfig {
        /// The size of vectors.
        pub dim: usize = 32, with_dim;
        /// Passes over all interactions.
        pub epochs: usize = 60, with_epochs;
        /// The learning rate.
        pub learning_rate: f64 = 0.05, with_learning_rate;
        /// The weight of the vectors' squared lengths.
        pub regularization: f64 = 0.002, with_regularization;
        /// The share of steps in which an item that the user
        /// [dislikes](crate::data::Role::Negative), where there is one, takes the place of one
        /// drawn from the others.
        #[serde(default)]
        pub dislikes: f64 = 0.0, with_dislikes;
        /// The seed of the first vectors and of draws.
        pub seed: u64 = 42, with_seed;
    }
}

/// How histories are folded in, by the least squares of [`AlsConfig`](super::AlsConfig).
const FOLD_IN_CONFIDENCE: f32 = 20.0;
const FOLD_IN_REGULARIZATION: f32 = 1.0;

/// How many steps are drawn before the first of them is made, so that what they need is on the
/// way from memory.
const DRAWN_AHEAD: usize = 32;

impl BprConfig {
    fn validate(&self) -> Result<()> {
        checks::at_least_one(&[("dim", self.dim), ("epochs", self.epochs)])?;
        checks::positive("learning_rate", self.learning_rate)?;
        checks::not_negative("regularization", self.regularization)?;
        checks::share("dislikes", self.dislikes)
    }

    /// Bayesian personalized ranking: each taken item's product is to be above that of an item
    /// drawn from the others. Rendle et al., [2009](https://arxiv.org/abs/1205.2618).
    ///
    /// By the [meaning](crate::data::Behaviors) of events, one of weight 2 is drawn twice as often
    /// as one of weight 1, and those of disliked items are not.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) with the first setting that is
    /// invalid.
    pub fn fit(&self, data: &TrainingData) -> Result<MatrixFactorization> {
        let (sequences, catalog) = (data.sequences(), data.catalog());
        self.validate()?;
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        let mut users = normal(sequences.len(), self.dim, &mut random);
        let mut items = normal(catalog.len() + 1, self.dim, &mut random);
        items.row_mut(0).fill(0.0);
        let pairs = Pairs::of(sequences);
        let dislikes = Dislikes::of(sequences, self.dislikes);
        let sets = Sets::of(sequences, catalog.len());
        let (rate, decay) = (self.learning_rate as f32, self.regularization as f32);
        let dim = self.dim;
        let user_rows = users.as_slice_mut().expect("made in standard order");
        let item_rows = items.as_slice_mut().expect("made in standard order");
        let row = |number: u32| number as usize * dim..(number as usize + 1) * dim;
        let mut places = Vec::with_capacity(DRAWN_AHEAD);
        let mut draws = Vec::with_capacity(DRAWN_AHEAD);
        let mut left = self.epochs * pairs.taken.len();
        while left > 0 {
            let drawn = left.min(DRAWN_AHEAD);
            left -= drawn;
            places.clear();
            places.extend((0..drawn).map(|_| {
                let place = pairs.draw(&mut random);
                prefetch(&pairs.taken[place..=place]);
                let any = random.random_range(1..=catalog.len()) as u32;
                let of_dislikes = dislikes.as_ref().map(|_| random.random());
                (place, any, of_dislikes)
            }));
            draws.clear();
            draws.extend(places.iter().map(|&(place, any, of_dislikes)| {
                let (user, better) = pairs.taken[place];
                let disliked = (dislikes.as_ref().zip(of_dislikes))
                    .and_then(|(dislikes, at)| dislikes.choose(user, at));
                let worse = disliked.unwrap_or(any);
                sets.prefetch(user, worse);
                prefetch(&user_rows[row(user)]);
                prefetch(&item_rows[row(better)]);
                prefetch(&item_rows[row(worse)]);
                (user, better, worse)
            }));
            for &(user, better, worse) in &draws {
                if sets.contain(user, worse) {
                    continue;
                }
                let [better, worse] = item_rows
                    .get_disjoint_mut([row(better), row(worse)])
                    .expect("one was taken and the other was not");
                step_apart(&mut user_rows[row(user)], better, worse, rate, decay);
            }
        }
        MatrixFactorization::from_vectors(users, items, FOLD_IN_CONFIDENCE, FOLD_IN_REGULARIZATION)
    }
}

#[typetag::serde(name = "bpr")]
impl ChannelConfig for BprConfig {
    fn build(&self, from: &mut ChannelSource<'_>) -> Result<Arc<dyn RecallChannel>> {
        self.validate()?;
        let weights = (FOLD_IN_CONFIDENCE, FOLD_IN_REGULARIZATION);
        MatrixFactorization::channel(from, self.dim, weights, |data| self.fit(data))
    }
}

/// Pairs of users and items that they like, drawn by the weights of their events.
struct Pairs {
    /// Those of one weight beside each other.
    taken: Vec<(u32, u32)>,
    /// Where those of each weight end, and what all weigh up to there.
    ends: Vec<(usize, f64)>,
}

impl Pairs {
    fn of(sequences: &Spans) -> Self {
        let liked = |user| {
            let liked = sequences.history(user).liked_items();
            liked.map(move |(item, weight)| (weight, (user as u32, item.get())))
        };
        let mut weighed: Vec<(f32, (u32, u32))> = (0..sequences.len()).flat_map(liked).collect();
        // There are no more weights than rules, and in the data's order where there is one.
        weighed.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (mut end, mut sum) = (0, 0.0);
        let same = weighed.chunk_by(|a, b| a.0 == b.0);
        let ends = same.map(|same| {
            end += same.len();
            sum += same
                .iter()
                .map(|(weight, _)| f64::from(*weight))
                .sum::<f64>();
            (end, sum)
        });
        Self {
            ends: ends.collect(),
            taken: weighed.iter().map(|(_, pair)| *pair).collect(),
        }
    }

    /// The place of one of the pairs, of which there are some.
    fn draw(&self, random: &mut impl Rng) -> usize {
        let mut of_weight = 0..self.taken.len();
        if let [.., _, (_, all)] = self.ends[..] {
            let at = random.random::<f64>() * all;
            let place = self.ends.partition_point(|(_, sum)| *sum <= at);
            let place = place.min(self.ends.len() - 1);
            of_weight.end = self.ends[place].0;
            of_weight.start = place.checked_sub(1).map_or(0, |before| self.ends[before].0);
        }
        random.random_range(of_weight)
    }
}

/// What each user dislikes, of which an item is drawn in some steps.
struct Dislikes {
    /// Each user's items, one user after another.
    items: Vec<u32>,
    /// Where each user's items end.
    ends: Vec<usize>,
    /// The share of steps.
    rate: f64,
}

impl Dislikes {
    /// `None` where nobody dislikes anything, or no step is to draw of it.
    fn of(sequences: &Spans, rate: f64) -> Option<Self> {
        let (mut items, mut ends) = (Vec::new(), Vec::with_capacity(sequences.len()));
        for user in 0..sequences.len() {
            let disliked = sequences.history(user).disliked_items();
            items.extend(disliked.iter().map(|item| item.get()));
            ends.push(items.len());
        }
        (rate > 0.0 && !items.is_empty()).then_some(Self { items, ends, rate })
    }

    /// An item that a user dislikes, by a number drawn below 1, in the share of steps in which one
    /// is taken.
    fn choose(&self, user: u32, at: f64) -> Option<u32> {
        let user = user as usize;
        let start = user.checked_sub(1).map_or(0, |before| self.ends[before]);
        let of_user = &self.items[start..self.ends[user]];
        let place = (at / self.rate * of_user.len() as f64) as usize;
        of_user.get(place).copied()
    }
}

/// What each user likes, to be looked up by one load from memory that can be asked for ahead.
struct Sets {
    /// Where each user's items begin, and where the last one's end.
    offsets: Vec<usize>,
    /// Each user's items, by their number.
    items: Vec<u32>,
    /// A bit for each pair of a user and an item, set for those that are liked; or, where these
    /// are too many, for each of their hashes, and a set one has to be searched for in the items.
    bits: Vec<u64>,
    /// How many bits a user has, where every pair has one of its own.
    bits_per_user: Option<usize>,
}

/// How many bits there are at least for each pair that was taken, where hashes are looked up.
const BITS_PER_PAIR: usize = 16;

/// Up to how many there are for it, where every pair has one.
const MOST_BITS_PER_PAIR: usize = 64;

impl Sets {
    fn of(sequences: &Spans, items: usize) -> Self {
        let mut offsets = vec![0];
        let mut taken: Vec<u32> = Vec::new();
        for user in 0..sequences.len() {
            let start = taken.len();
            let liked = sequences.history(user).liked_items();
            taken.extend(liked.map(|(item, _)| item.get()));
            taken[start..].sort_unstable();
            offsets.push(taken.len());
        }
        let pairs = (items + 1).saturating_mul(sequences.len());
        let direct = pairs <= taken.len().saturating_mul(MOST_BITS_PER_PAIR);
        let bits = if direct {
            pairs
        } else {
            (taken.len() * BITS_PER_PAIR).next_power_of_two()
        };
        let mut sets = Self {
            offsets,
            items: taken,
            bits: vec![0; bits.div_ceil(64)],
            bits_per_user: direct.then_some(items + 1),
        };
        for user in 0..sequences.len() {
            for place in sets.offsets[user]..sets.offsets[user + 1] {
                let (word, bit) = sets.place(user as u32, sets.items[place]);
                sets.bits[word] |= bit;
            }
        }
        sets
    }

    /// The word and the bit of a pair.
    fn place(&self, user: u32, item: u32) -> (usize, u64) {
        let place = match self.bits_per_user {
            Some(bits) => user as usize * bits + item as usize,
            None => {
                let pair = u64::from(user) << 32 | u64::from(item);
                // The upper bits of a product with an odd number depend on all of the pair's.
                let hash = pair.wrapping_mul(random::STEP).rotate_left(32) as usize;
                hash & (self.bits.len() * 64 - 1)
            }
        };
        (place / 64, 1 << (place % 64))
    }

    fn prefetch(&self, user: u32, item: u32) {
        let (word, _) = self.place(user, item);
        prefetch(&self.bits[word..=word]);
    }

    fn contain(&self, user: u32, item: u32) -> bool {
        let (word, bit) = self.place(user, item);
        if self.bits[word] & bit == 0 || self.bits_per_user.is_some() {
            return self.bits[word] & bit != 0;
        }
        let user = user as usize;
        let items = &self.items[self.offsets[user]..self.offsets[user + 1]];
        items.binary_search(&item).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Dataset, Filters, Interaction, Interactions};

    /// Sets hold what was taken and nothing else, whether a pair has a bit of its own or not.
    #[test]
    fn sets_hold_what_was_taken() {
        for (users, direct) in [(8, true), (200, false)] {
            let log: Interactions = (0..users)
                .flat_map(|user| (5 * user..5 * user + 7).map(move |item| (user, item)))
                .map(|(user, item)| Interaction::new(user, item, item as f64))
                .collect();
            let dataset = Dataset::new(log, Filters::default()).unwrap();
            let data = dataset.training_data();
            let sequences = data.sequences();
            let sets = Sets::of(sequences, dataset.catalog().len());
            assert_eq!(sets.bits_per_user.is_some(), direct);
            for (user, sequence) in sequences.item_lists().enumerate() {
                for item in dataset.catalog().items() {
                    let taken = sequence.contains(&item);
                    assert_eq!(sets.contain(user as u32, item.get()), taken);
                }
            }
        }
    }

    /// Pairs are drawn by the weights of their events, and dislikes in the share of steps that is
    /// asked for, each of a user's as often as the others.
    #[test]
    fn pairs_are_drawn_by_weight_and_dislikes_by_rate() {
        let did = |item, time, what| Interaction::new("anna", item, time).with_event(what);
        let log: Interactions = [
            did(1, 1.0, "buy"),
            did(2, 2.0, "view"),
            did(3, 3.0, "dislike"),
            did(4, 4.0, "cart"),
            did(5, 5.0, "view"),
            did(6, 6.0, "dislike"),
        ]
        .into_iter()
        .collect();
        let rules = "buy=target*5, cart=target*2, view*0.5, dislike=negative";
        let log = log.with_behaviors(&rules.parse().unwrap()).unwrap();
        let data = Dataset::new(log, Filters::default()).unwrap();
        let data = data.training_data();
        let pairs = Pairs::of(data.sequences());
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let mut drawn = [0; 7];
        for _ in 0..80_000 {
            drawn[pairs.taken[pairs.draw(&mut random)].1 as usize] += 1;
        }
        for (item, share) in [(1, 5.0), (2, 0.5), (3, 0.0), (4, 2.0), (5, 0.5), (6, 0.0)] {
            let off = f64::from(drawn[item]) - 10_000.0 * share;
            assert!(off.abs() < 400.0, "{item}: {drawn:?}");
        }
        let dislikes = Dislikes::of(data.sequences(), 0.2).unwrap();
        let drawn = (0..100).map(|step| dislikes.choose(0, f64::from(step) / 100.0));
        let counts =
            [None, Some(3), Some(6)].map(|item| drawn.clone().filter(|&of| of == item).count());
        assert_eq!(counts, [80, 10, 10]);
        assert!(Dislikes::of(data.sequences(), 0.0).is_none());
    }
}
