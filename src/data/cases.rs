//! Held-out users: what they did, and what they did then.

use std::sync::Arc;

use super::fingerprint::Fingerprint;
use super::sequences::Sequences;
use super::training_sequences::narrow;
use super::user::User;
use crate::item::ItemIndex;

/// A held-out user, with the items they took then.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Case<'a> {
    /// The user's number in the data set.
    pub number: usize,
    /// The user as a model sees them, at the time of the first label; without items only among
    /// [newcomers](Cases::newcomers).
    pub user: User<'a>,
    /// The items to be recalled, in time order; never empty.
    pub labels: &'a [ItemIndex],
}

/// How a user's sequence is divided: history up to `cut`, labels from there to `end`, both counted
/// from its start. Small, since there may be two for each of millions of users.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Place {
    user: u32,
    cut: u32,
    end: u32,
}

impl Place {
    pub(super) fn new(user: usize, cut: usize, end: usize) -> Self {
        Self {
            user: narrow(user),
            cut: narrow(cut),
            end: narrow(end),
        }
    }
}

/// The cases of one split, as views into the data set's sequences.
#[derive(Debug, Clone)]
pub struct Cases {
    pub(super) sequences: Arc<Sequences>,
    pub(super) places: Vec<Place>,
    /// Those without a history, who are not among `places`.
    pub(super) newcomers: Vec<Place>,
}

impl Cases {
    /// The number of cases.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there are no cases.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The users who begin after a [time cut](super::Protocol::TimeCut): they have labels and no
    /// history, so they are not among these cases but a group of their own. What recalls without a
    /// history is evaluated on them by
    /// [`Evaluation`](crate::recall::Evaluation), which is a test of cold starts.
    ///
    /// ```
    /// use seqrec::channels::Popularity;
    /// use seqrec::data::Interaction;
    /// use seqrec::data::synthetic::Synthetic;
    /// use seqrec::prelude::*;
    ///
    /// let mut log = Synthetic::new().with_users(80).with_items(60).generate();
    /// log.push(Interaction::new("new", 3, f64::from(i32::MAX)));
    /// let dataset = Dataset::new(log, Filters::default())?;
    /// let split = Split::new(&dataset, Protocol::time_cut_at_shares(&dataset, 0.8, 0.9)?)?;
    /// let newcomers = split.test.newcomers();
    /// assert!(newcomers.iter().all(|case| case.user.items().is_empty()));
    /// let popularity = Popularity::new(split.catalog());
    /// let report = Evaluation::new(&[10], Seen::Exclude)
    ///     .run(&popularity, &newcomers, split.catalog())?;
    /// assert_eq!(report.users, newcomers.len());
    /// # Ok::<(), seqrec::Error>(())
    /// ```
    #[must_use]
    pub fn newcomers(&self) -> Self {
        Self {
            sequences: self.sequences.clone(),
            places: self.newcomers.clone(),
            newcomers: Vec::new(),
        }
    }

    /// One case.
    ///
    /// # Panics
    /// When `case` is not below [`Cases::len`].
    pub fn get(&self, case: usize) -> Case<'_> {
        let (number, start, cut, end) = self.bounds(case);
        Case {
            number,
            user: self
                .sequences
                .history(number, start..end)
                .first(cut - start),
            labels: self.sequences.items_in(cut..end),
        }
    }

    /// A case's user, and where its history begins, its labels begin, and they end, in the flat
    /// array.
    fn bounds(&self, case: usize) -> (usize, usize, usize, usize) {
        let Place { user, cut, end } = self.places[case];
        let start = self.sequences.range(user as usize).start;
        let of = |length: u32| start + length as usize;
        (user as usize, start, of(cut), of(end))
    }

    /// A number that tells these cases from others: it depends on every history and every label.
    pub fn fingerprint(&self) -> u64 {
        let mut fingerprint = Fingerprint::default();
        for case in 0..self.len() {
            let (user, start, cut, end) = self.bounds(case);
            fingerprint.add_history(self.sequences.history(user, start..cut));
            fingerprint.add_history(self.sequences.history(user, cut..end));
        }
        fingerprint.finish()
    }

    /// The cases for which `keep` says so. Newcomers are left out: filter
    /// [`newcomers`](Cases::newcomers) itself.
    #[must_use]
    pub fn filtered(&self, keep: impl Fn(Case<'_>) -> bool) -> Self {
        let places = (0..self.len()).filter(|&case| keep(self.get(case)));
        Self {
            sequences: self.sequences.clone(),
            places: places.map(|case| self.places[case]).collect(),
            newcomers: Vec::new(),
        }
    }

    /// All cases, in order of users.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Case<'_>> {
        (0..self.len()).map(|case| self.get(case))
    }
}
