//! Generated interactions in which order matters, for examples, tests and measurements.

mod habits;
mod shelf;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::interactions::Interactions;
use super::items::Items;
use crate::settings::settings;
use crate::{Error, Result, checks};
use habits::{Shopper, price};
use shelf::Shelf;

settings! {
    /// The settings of generated interactions: how many there are, and how strong each of the
    /// things is that make order matter in shops and on screens.
    ///
    /// Items are movies: single titles and series of 2 to 10 parts, each in one genre.
    /// Every interaction of a user is one of three things, drawn in this order:
    ///
    /// 1. a repeat of one of the last five single titles, with probability `repeats`;
    /// 2. where a series has been begun, its next part, with a probability of the user's own, of
    ///    which `series` is the mean and `variety` says how far users differ. It is the series
    ///    of the latest part, or, with probability `interruptions`, one begun earlier (up to four are
    ///    kept in mind). After each part one in ten users drops a series for good;
    /// 3. something new: the companion of what was finished 2 to 5 interactions ago or earlier, if
    ///    one is due; in place of it, with probability `seasons`, something of the genre in season;
    ///    or else something of the genre that the user is in, which moves on with probability
    ///    `drift` first. A new series is begun at any of its parts, or, three times in ten, at the
    ///    first.
    ///
    /// So the next item depends on more than the last one, which may have been an interruption, and
    /// on more than what is taken together, which has no direction: parts of a series and genres
    /// are gone through forward, what was dropped is not resumed, what was finished is over, and a
    /// user who has followed no series so far won't begin to. With the defaults a GRU4Rec has a
    /// higher recall, NDCG and hit rate than popularity, a Markov chain, nearest sessions, and
    /// item-based and user-based collaborative filtering (docs/benchmarks.md has the numbers). A
    /// probability of 0 takes its ingredient out of the data.
    ///
    /// ```
    /// use seqrec::data::synthetic::Synthetic;
    ///
    /// let shop = Synthetic::new().with_users(50).with_items(200);
    /// let log = shop.generate()?;
    /// assert_eq!(log.users().len(), 50);
    /// assert_eq!(shop.movies()?.title(&1.into()), "The Silent Harbor");
    /// # Ok::<(), seqrec::Error>(())
    /// ```
    #[derive(Copy)]
    pub struct Synthetic {
        /// The number of users.
        pub users: usize = 3_000, with_users;
        /// The number of items to choose from; not every one need be chosen.
        pub items: usize = 800, with_items;
        /// Fewest interactions of a user.
        pub minimum_per_user: usize = 15, with_minimum_per_user;
        /// Mean interactions of a user; activity has a long tail. Where it is not above the
        /// minimum, all users have the minimum.
        pub mean_per_user: usize = 40, with_mean_per_user;
        /// The number of genres that items fall into, or as many as there are single titles and
        /// series, if these are fewer.
        pub genres: usize = 20, with_genres;
        /// The probability of going on with a series that was begun, on average over users.
        pub series: f64 = 0.4, with_series;
        /// How far users differ in that, 0 to 1: half of them follow series with a probability that
        /// lies this share of the way from `series` to 1, the others this share of the way to 0.
        pub variety: f64 = 0.8, with_variety;
        /// The probability that it is not the latest one but one before it.
        pub interruptions: f64 = 0.3, with_interruptions;
        /// The probability that a user's genre changes before they begin something new: 19 times
        /// in 20 to the one that comes after it, which is the same for all users, and else to any.
        pub drift: f64 = 0.3, with_drift;
        /// The probability that a single title or a series, when finished, is followed by its
        /// companion, which is the same for all users.
        pub companions: f64 = 0.1, with_companions;
        /// The probability that something new is of the genre in season: each genre has one
        /// `genres`-th of the year.
        pub seasons: f64 = 0.05, with_seasons;
        /// The exponent of the Zipf law of popularity within a genre, 0 to 10: at 0 all are equally
        /// popular.
        pub popularity: f64 = 1.1, with_popularity;
        /// The probability of a single title that was taken before.
        pub repeats: f64 = 0.25, with_repeats;
        /// Whether the log has types of events, as a shop's: `buy` with a price for what users
        /// take, `view` for what else they look at on the way, which says nothing of what comes
        /// next, and `dislike` in place of `buy` for items of the one genre that each user doesn't
        /// want.
        pub events: bool = false, with_events;
        /// Seed.
        pub seed: u64 = 1, with_seed;
    }
}

/// More interactions than this are most likely a mistake.
const MOST_INTERACTIONS: usize = 2_000_000_000;

impl Synthetic {
    /// Checks every setting.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) for the first invalid setting: a
    /// size of 0, a probability that is not in `0.0..=1.0`, an exponent outside of `0.0..=10.0`, or
    /// sizes that come to more than 2,000,000,000 interactions or items.
    pub fn validate(&self) -> Result<()> {
        checks::at_least_one(&[
            ("users", self.users),
            ("items", self.items),
            ("minimum_per_user", self.minimum_per_user),
            ("genres", self.genres),
        ])?;
        let probabilities = [
            ("series", self.series),
            ("variety", self.variety),
            ("interruptions", self.interruptions),
            ("drift", self.drift),
            ("companions", self.companions),
            ("seasons", self.seasons),
            ("repeats", self.repeats),
        ];
        for (field, value) in probabilities {
            if !(0.0..=1.0).contains(&value) {
                return Err(Error::invalid(field, value, "must be from 0 to 1"));
            }
        }
        if !(0.0..=10.0).contains(&self.popularity) {
            let (field, value) = ("popularity", self.popularity);
            return Err(Error::invalid(field, value, "must be from 0 to 10"));
        }
        if self.items > MOST_INTERACTIONS {
            let reason = format!("must be at most {MOST_INTERACTIONS}");
            return Err(Error::invalid("items", self.items, reason));
        }
        let mean = self.mean_per_user.max(self.minimum_per_user);
        if self.users.saturating_mul(mean) > MOST_INTERACTIONS {
            let reason = format!("{mean} each come to more than {MOST_INTERACTIONS} interactions");
            return Err(Error::invalid("users", self.users, reason));
        }
        Ok(())
    }

    /// Generates the interactions, user by user in time order, with ratings of 0.5 to 5 that say
    /// nothing, or with [events](Self::events). Users are numbered from 1, and items are
    /// `1..=items`.
    ///
    /// # Errors
    /// Those of [`validate`](Self::validate).
    pub fn generate(&self) -> Result<Interactions> {
        self.validate()?;
        let shelf = Shelf::new(self.items, self.genres);
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        let mut log = Interactions::default();
        for user in 1..=self.users {
            Shopper::new(self, &shelf, &mut random).live(user as i64, &mut log);
        }
        Ok(log)
    }

    /// The items as a table with the columns `title` and `genres`, and `price` where there are
    /// [events](Self::events): each is a movie of a series, such as `The Hidden Garden, part 3`, or
    /// a single one.
    ///
    /// # Errors
    /// Those of [`validate`](Self::validate).
    pub fn movies(&self) -> Result<Items> {
        self.validate()?;
        let shelf = Shelf::new(self.items, self.genres);
        let items = 1..=self.items as i64;
        let genres = items.clone().map(|item| shelf.genre(item).into_iter());
        let movies = Items::new(items.clone())?
            .with_texts("title", items.clone().map(|item| shelf.title(item)))?
            .with_tags("genres", genres.map(Vec::from_iter))?;
        match self.events {
            true => movies.with_numbers("price", items.map(|item| Some(price(item).into()))),
            false => Ok(movies),
        }
    }
}
