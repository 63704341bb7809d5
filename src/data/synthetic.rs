//! Generated interactions with order in them, for examples, tests and measurements.

use crate::settings::settings;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::interactions::{Interaction, Interactions};

settings! {
    /// How much to generate, and from which seed.
    ///
    /// Items belong to tastes, a few of which are popular; inside a taste, popularity follows a
    /// Zipf law and each item is likely to be followed by its neighbor. A user drifts from taste to
    /// taste, so that the order of a history says more than its contents.
    ///
    /// ```
    /// use seqrec::data::synthetic::Synthetic;
    ///
    /// let log = Synthetic::new().with_users(50).with_items(200).generate();
    /// assert_eq!(log.users().len(), 50);
    /// ```
    ///
    /// The defaults are the shape of MovieLens latest-small: 610 users, 9,724 items, about 100,000
    /// interactions.
    #[derive(Copy)]
    pub struct Synthetic {
        /// The number of users.
        pub users: usize = 610, with_users;
        /// How many items there are to choose from; not every one need be chosen.
        pub items: usize = 9_724, with_items;
        /// Fewest interactions of a user.
        pub minimum_per_user: usize = 20, with_minimum_per_user;
        /// Mean interactions of a user; activity has a long tail.
        pub mean_per_user: usize = 165, with_mean_per_user;
        /// Into how many tastes the items fall.
        pub tastes: usize = 20, with_tastes;
        /// Seed.
        pub seed: u64 = 1, with_seed;
    }
}

impl Synthetic {
    /// Generates the interactions, user by user in time order, with ratings of 0.5 to 5.
    ///
    /// Sizes of 0 are taken as 1.
    pub fn generate(&self) -> Interactions {
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        let items = self.items.max(1);
        let tastes = self.tastes.clamp(1, items);
        let minimum = self.minimum_per_user.max(1);
        let mut log = Interactions::default();
        for user in 1..=self.users.max(1) {
            // A Pareto tail with shape 1.5, whose mean is three times its scale.
            let extra = self.mean_per_user.saturating_sub(minimum) as f64 / 2.0;
            let tail = (1.0 - random.random::<f64>()).powf(-1.0 / 1.5) - 1.0;
            let length = minimum + (extra * tail).min(20.0 * extra) as usize;
            let mut time = 789_652_009.0 + f64::from(random.random_range(0..600_000_000u32));
            let mut taste = random.random_range(0..tastes);
            let mut within = None;
            for _ in 0..length {
                if random.random_bool(0.04) {
                    taste = random.random_range(0..tastes);
                    within = None;
                }
                let size = (items - taste).div_ceil(tastes);
                let place = match within {
                    Some(last) if random.random_bool(0.5) => (last + 1) % size,
                    // A power of a uniform number is close to a Zipf law, without its table.
                    _ => (size as f64 * random.random::<f64>().powi(3)) as usize,
                };
                within = Some(place);
                time += f64::from(random.random_range(1..120u32));
                log.push(Interaction {
                    value: Some(f32::from(random.random_range(1..=10u8)) / 2.0),
                    ..Interaction::new(user as i64, (taste + place * tastes + 1) as i64, time)
                });
            }
        }
        log
    }

    /// The taste that an item id of [`Synthetic::generate`] belongs to, `0..tastes`.
    pub fn taste_of(&self, item: i64) -> usize {
        (item.max(1) as usize - 1) % self.tastes.clamp(1, self.items.max(1))
    }
}
