//! Recall for many users, in bounded memory.

use std::fmt;

use rayon::prelude::*;
use serde::Serialize;

use crate::data::{Catalog, ExternalId, ItemIndex, Seen, User};
use crate::index::{Filter, ItemSet};
use crate::{Result, checks};

use super::asked::Asked;
use super::lists::Lists;
use super::nearest::BATCH;
use super::recalled::Recalled;
use super::request::RecallRequest;
use super::retriever::Retriever;
use super::seen::is_seen;
use super::users::{Person, Renumbering, Users};

/// The items recalled for many users, in the users' order: an iterator of each one's id and
/// [`Recalled`], or all of it as a [file](Self::write). [`Retriever::recall_all`] makes one.
///
/// Users are taken some hundreds at a time, on all cores, when they are needed. After an error
/// nothing comes.
pub struct RecallAll<'a> {
    pub(super) retriever: &'a Retriever,
    pub(super) users: Users<'a>,
    numbers: Renumbering,
    asked: Asked,
    request: RecallRequest,
    pub(super) counts: RecallCounts,
    ready: std::vec::IntoIter<(ExternalId, Recalled)>,
    ended: bool,
}

/// The numbers of users and of recalled items, and of what could not be used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RecallCounts {
    /// All users.
    pub users: usize,
    /// All recalled items.
    pub rows: usize,
    /// Users of whom no item is in the retriever's catalog: they got the fallback's items, or none.
    pub without_history: usize,
    /// Users who got no item.
    pub without_items: usize,
    /// Items of histories that are not in the retriever's catalog, and were skipped.
    pub unknown_items: usize,
    /// Held-out items of [cases](Users::cases).
    pub labels: usize,
    /// The held-out items that were recalled.
    pub labels_found: usize,
}

impl fmt::Display for RecallCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "users: {}, rows: {}", self.users, self.rows)?;
        let more = [
            ("users without a known item", self.without_history),
            ("users without a recalled item", self.without_items),
            ("unknown items of histories", self.unknown_items),
        ];
        for (what, count) in more.iter().filter(|(_, count)| *count > 0) {
            write!(f, ", {what}: {count}")?;
        }
        if self.labels > 0 {
            let (found, all) = (self.labels_found, self.labels);
            write!(f, ", held-out items found: {found} of {all}")?;
        }
        Ok(())
    }
}

impl RecallCounts {
    fn of(batch: &Batch<'_>, row: usize, person: &Person) -> Self {
        let (mut rows, mut found) = (0, 0);
        batch.lists.each(row, |item, _, _| {
            rows += 1;
            found += usize::from(person.labels.contains(&item));
        });
        Self {
            users: 1,
            rows,
            without_history: usize::from(person.user.items.is_empty()),
            without_items: usize::from(rows == 0),
            unknown_items: person.user.unknown,
            labels: person.labels.len(),
            labels_found: found,
        }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            users: self.users + other.users,
            rows: self.rows + other.rows,
            without_history: self.without_history + other.without_history,
            without_items: self.without_items + other.without_items,
            unknown_items: self.unknown_items + other.unknown_items,
            labels: self.labels + other.labels,
            labels_found: self.labels_found + other.labels_found,
        }
    }
}

/// Some users with what was recalled for them.
pub(super) struct Batch<'a> {
    pub(super) people: &'a [Person],
    users: &'a [User<'a>],
    pub(super) lists: Lists<'a>,
    asked: &'a Asked,
    catalog: &'a Catalog,
    seen: Seen,
}

impl Batch<'_> {
    /// The number of items that may be recalled for one of the users, where the request names or
    /// describes them.
    fn passing(&self, row: usize) -> Option<usize> {
        let all = self.asked.passing()?;
        let seen: ItemSet = match self.seen {
            Seen::Exclude => self.users.get(row)?.seen_items().collect(),
            Seen::Keep => ItemSet::new(),
        };
        let passes = |&item: &ItemIndex| self.asked.passes(self.catalog, item);
        Some(all - seen.iter().filter(passes).count())
    }
}

impl Retriever {
    /// The best items for each of many users: those of a data set, of training data or of a store,
    /// or other [`Users`]. Each user's own history is what is known of them and, unless the request
    /// keeps [seen](RecallRequest::seen) items, what is left out.
    ///
    /// ```
    /// use seqrec::channels::MarkovChainConfig;
    /// use seqrec::data::synthetic::Synthetic;
    /// use seqrec::prelude::*;
    ///
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("recalled.csv");
    /// let log = Synthetic::new().with_users(80).with_items(60).generate()?;
    /// let dataset = Dataset::new(log, Filters::default())?;
    /// let markov = MarkovChainConfig::new().fit(&dataset.training_data())?;
    /// let retriever = Retriever::new(markov, dataset.catalog().clone())?;
    /// let request = RecallRequest::for_everyone(10);
    /// for recalled in retriever.recall_all(&dataset, &request)?.take(2) {
    ///     let (user, recalled) = recalled?;
    ///     println!("{user}: {recalled}");
    /// }
    /// // Or a file, `.csv` or `.parquet` (feature `parquet`).
    /// let counts = retriever.recall_all(&dataset, &request)?.write(&path)?;
    /// assert_eq!(counts.users, 80);
    /// # Ok::<(), seqrec::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) when k is 0, for a request that
    /// is not [for everyone](RecallRequest::for_everyone) or has segments or features, and for
    /// users with other features than the catalog names. What [`recall_for`](Self::recall_for) says
    /// of one user comes with the batch of users that they are in.
    pub fn recall_all<'a>(
        &'a self,
        users: impl Into<Users<'a>>,
        request: &RecallRequest,
    ) -> Result<RecallAll<'a>> {
        checks::at_least_one(&[("k", request.k)])?;
        let (users, catalog) = (users.into(), self.catalog());
        Ok(RecallAll {
            numbers: users.numbers(catalog)?,
            users,
            asked: Asked::for_everyone(request, catalog, self.known_items())?,
            request: request.clone(),
            retriever: self,
            counts: RecallCounts::default(),
            ready: Vec::new().into_iter(),
            ended: false,
        })
    }
}

impl RecallAll<'_> {
    /// The counts so far.
    pub fn counts(&self) -> RecallCounts {
        self.counts
    }

    /// Recalls for the next users, and gives what `look` makes of them; `None` at the end.
    pub(super) fn next_batch<R>(
        &mut self,
        look: impl FnOnce(&Batch<'_>) -> R,
    ) -> Result<Option<R>> {
        let catalog = self.retriever.catalog();
        let mut people = self.users.next_batch(BATCH, catalog, &self.numbers)?;
        if people.is_empty() {
            return Ok(None);
        }
        for person in &mut people {
            person.user.now = self.request.now.or(person.user.now);
        }
        let users: Vec<User<'_>> = (people.iter())
            .map(|person| person.user.user())
            .collect::<Result<_>>()?;
        let seen = is_seen(&users, self.request.seen);
        let passes =
            |row: usize, item: ItemIndex| !seen(row, item) && self.asked.passes(catalog, item);
        // A set is of all users alike, and a history of one.
        let filter = match self.request.seen {
            Seen::Exclude => Filter::Predicate(&passes),
            Seen::Keep => self.asked.filter(&passes),
        };
        let batch = Batch {
            people: &people,
            users: &users,
            lists: (self.retriever).lists(&users, self.request.k, filter, &passes)?,
            asked: &self.asked,
            catalog,
            seen: self.request.seen,
        };
        let made = look(&batch);
        let people = people.par_iter().enumerate();
        let counts = people.map(|(row, person)| RecallCounts::of(&batch, row, person));
        self.counts = self
            .counts
            .plus(counts.reduce(RecallCounts::default, RecallCounts::plus));
        if self.counts.rows == 0 {
            self.asked.check_empty(catalog)?;
        }
        Ok(Some(made))
    }
}

impl Iterator for RecallAll<'_> {
    type Item = Result<(ExternalId, Recalled)>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(next) = self.ready.next() {
            return Some(Ok(next));
        }
        if self.ended {
            return None;
        }
        let retriever = self.retriever;
        let of_batch = self.next_batch(|batch| {
            let people = batch.people.par_iter().enumerate();
            let recalled = people.map(|(row, person)| {
                let items = retriever.recalled_items(&batch.lists, row, &person.user.segments);
                let recalled = Recalled {
                    items,
                    passing: batch.passing(row),
                    known: person.user.items.len(),
                    unknown: person.user.unknown,
                    channels: Vec::new(),
                    version: 0,
                };
                (person.id.clone(), recalled)
            });
            recalled.collect::<Vec<_>>()
        });
        match of_batch {
            Ok(Some(recalled)) => {
                self.ready = recalled.into_iter();
                self.ready.next().map(Ok)
            }
            Ok(None) => {
                self.ended = true;
                None
            }
            Err(error) => {
                self.ended = true;
                Some(Err(error))
            }
        }
    }
}

impl fmt::Debug for RecallAll<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecallAll")
            .field("request", &self.request)
            .field("counts", &self.counts)
            .finish_non_exhaustive()
    }
}
