//! The way of a generated user from item to item.

use std::collections::{HashSet, VecDeque};

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Zipf};

use super::Synthetic;
use super::shelf::Shelf;
use crate::data::interactions::{Interaction, Interactions};

/// The probability that a user has lost interest in a series after a part of it.
const DROPPED: f64 = 0.1;
/// The probability that a series is begun at any of its parts, and not at the first.
const BEGUN_ANYWHERE: f64 = 0.7;
/// The probability that a change of genre is one to the next.
const FORWARD: f64 = 0.95;
/// The probability that a user comes back on another day.
const ANOTHER_DAY: f64 = 0.2;
/// How many series a user keeps in mind, and how many single titles they may repeat.
const IN_MIND: usize = 4;
const FAVORITES: usize = 5;
/// How often something new is looked for among what was taken before.
const TRIES: usize = 8;

/// The probability that a user looks at something else before they take an item, and at the item
/// itself.
const LOOKS_AROUND: f64 = 0.5;
const LOOKS_FIRST: f64 = 0.3;

const DAY: f64 = 86_400.0;
const YEAR: f64 = 365.25 * DAY;
/// The beginning of 2024, and over how many years users come.
const FIRST_TIME: f64 = 1_704_067_200.0;
const YEARS: f64 = 2.0;

/// The price of an item: 5 to 104.
pub fn price(item: i64) -> f32 {
    (5 + item * 7_919 % 100) as f32
}

/// A user at some time, and what they have in mind.
pub struct Shopper<'a> {
    settings: &'a Synthetic,
    shelf: &'a Shelf,
    random: &'a mut ChaCha8Rng,
    /// The probability of going on with a series.
    series: f64,
    time: f64,
    genre: usize,
    /// Series with their next part, the latest at the end.
    begun: Vec<(usize, usize)>,
    /// Companions, and the interaction from which each is due.
    due: VecDeque<(usize, usize)>,
    taken: HashSet<usize>,
    /// The last single titles, the latest at the end.
    favorites: VecDeque<usize>,
}

impl<'a> Shopper<'a> {
    pub fn new(settings: &'a Synthetic, shelf: &'a Shelf, random: &'a mut ChaCha8Rng) -> Self {
        let Synthetic {
            series, variety, ..
        } = *settings;
        let end = if random.random_bool(0.5) { 1.0 } else { 0.0 };
        Self {
            series: series + variety * (end - series),
            time: FIRST_TIME + random.random_range(0.0..YEARS * YEAR),
            genre: random.random_range(0..shelf.genres),
            begun: Vec::new(),
            due: VecDeque::new(),
            taken: HashSet::new(),
            favorites: VecDeque::new(),
            settings,
            shelf,
            random,
        }
    }

    /// Adds all interactions of the user to a log.
    pub fn live(mut self, user: i64, log: &mut Interactions) {
        for step in 0..self.length() {
            self.time += match self.random.random_bool(ANOTHER_DAY) {
                true => DAY * self.random.random_range(1.0..6.0),
                false => 60.0 * self.random.random_range(1.0..50.0),
            };
            let item = self.next(step);
            if self.settings.events {
                self.shop(user, item, log);
                continue;
            }
            let rating = f32::from(self.random.random_range(1..=10u8)) / 2.0;
            log.push(Interaction::new(user, item, self.time.floor()).with_value(rating));
        }
    }

    /// Adds what comes of an item to a log: a purchase or a dislike, and looks before it.
    fn shop(&mut self, user: i64, item: i64, log: &mut Interactions) {
        let (time, unwanted) = (self.time.floor(), (user as usize * 7) % self.shelf.genres);
        let did = |item: i64, before: f64| Interaction::new(user, item, time - before);
        if self.random.random_bool(LOOKS_AROUND) {
            let genre = self.random.random_range(0..self.shelf.genres);
            let series = self.random.random_range(0..self.shelf.of_genre(genre));
            let other = self.shelf.item(self.shelf.ranked(genre, series), 0);
            log.push(did(other, 40.0).with_event("view"));
        }
        if self.random.random_bool(LOOKS_FIRST) {
            log.push(did(item, 20.0).with_event("view"));
        }
        log.push(match self.shelf.is_of(item, unwanted) {
            true => did(item, 0.0).with_event("dislike"),
            false => did(item, 0.0).with_event("buy").with_value(price(item)),
        });
    }

    fn length(&mut self) -> usize {
        let minimum = self.settings.minimum_per_user;
        // A Pareto tail with shape 1.5, whose mean is three times its scale.
        let extra = self.settings.mean_per_user.saturating_sub(minimum) as f64 / 2.0;
        let tail = (1.0 - self.random.random::<f64>()).powf(-1.0 / 1.5) - 1.0;
        minimum + (extra * tail).min(20.0 * extra) as usize
    }

    fn next(&mut self, step: usize) -> i64 {
        if !self.favorites.is_empty() && self.random.random_bool(self.settings.repeats) {
            let again = self.random.random_range(0..self.favorites.len());
            return self.shelf.item(self.favorites[again], 0);
        }
        if !self.begun.is_empty() && self.random.random_bool(self.series) {
            let mut place = self.begun.len() - 1;
            while place > 0 && self.random.random_bool(self.settings.interruptions) {
                place -= 1;
            }
            let (series, part) = self.begun.remove(place);
            return self.take(series, part, step);
        }
        let series = self.something_new(step);
        let parts = self.shelf.parts(series);
        let part = match self.random.random_bool(BEGUN_ANYWHERE) {
            true => self.random.random_range(0..parts),
            false => 0,
        };
        self.begun.retain(|&(other, _)| other != series);
        self.take(series, part, step)
    }

    /// Takes a part of a series, and remembers what comes of it.
    fn take(&mut self, series: usize, part: usize, step: usize) -> i64 {
        let parts = self.shelf.parts(series);
        self.taken.insert(series);
        if parts == 1 {
            self.favorites.push_back(series);
            if self.favorites.len() > FAVORITES {
                self.favorites.pop_front();
            }
        }
        if part + 1 == parts {
            if self.random.random_bool(self.settings.companions) {
                let due = step + self.random.random_range(2..6);
                self.due.push_back((due, self.shelf.companion(series)));
            }
        } else if !self.random.random_bool(DROPPED) {
            self.begun.push((series, part + 1));
            if self.begun.len() > IN_MIND {
                self.begun.remove(0);
            }
        }
        self.shelf.item(series, part)
    }

    fn something_new(&mut self, step: usize) -> usize {
        if let Some(first) = self.due.iter().position(|&(due, _)| due <= step)
            && let Some((_, companion)) = self.due.remove(first)
            && !self.taken.contains(&companion)
        {
            return companion;
        }
        if self.random.random_bool(self.settings.drift) {
            self.genre = match self.random.random_bool(FORWARD) {
                true => (self.genre + 1) % self.shelf.genres,
                false => self.random.random_range(0..self.shelf.genres),
            };
        }
        let genre = match self.random.random_bool(self.settings.seasons) {
            true => ((self.time / YEAR).fract() * self.shelf.genres as f64) as usize,
            false => self.genre,
        };
        let most = self.shelf.of_genre(genre);
        let popularity = Zipf::new(most as f64, self.settings.popularity)
            .expect("there is a series, and the exponent was checked");
        let mut series = self.shelf.ranked(genre, 0);
        for _ in 0..TRIES {
            let rank = popularity.sample(&mut *self.random) as usize;
            series = self.shelf.ranked(genre, rank.clamp(1, most) - 1);
            if !self.taken.contains(&series) {
                break;
            }
        }
        series
    }
}
