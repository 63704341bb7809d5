//! The data that models and channels are fitted on.

use std::sync::Arc;

use super::catalog::Catalog;
use super::dataset::{Dataset, UserIds};
use super::features::Features;
use super::id::ExternalId;
use super::interactions::Interactions;
use super::spans::Spans;
use super::time_unit::TimeUnit;
use crate::item::ItemIndex;
use crate::{Error, ErrorKind, Result, checks};

/// The input of everything that learns: sequences of users, the catalog that counts their items,
/// and what else is known of both.
///
/// A [`Split`](super::Split) has one of what it doesn't hold out, and
/// [`Dataset::training_data`] is one of everything. Sequences and catalog belong together: each
/// item of a sequence is in the catalog, which is checked here and nowhere else.
///
/// ```
/// use seqrec::channels::{MarkovChainConfig, PopularityConfig};
/// use seqrec::data::synthetic::Synthetic;
/// use seqrec::prelude::*;
///
/// let log = Synthetic::new().with_users(80).with_items(60).generate()?;
/// let dataset = Dataset::new(log, Filters::default())?;
/// let split = Split::new(&dataset, Protocol::LeaveOneOut)?;
/// let markov = MarkovChainConfig::new().fit(&split.train)?;
/// let popular = PopularityConfig::new().fit(&dataset.training_data())?;
/// # let _ = (markov, popular);
/// # Ok::<(), seqrec::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct TrainingData {
    sequences: Spans,
    catalog: Catalog,
    users: UserIds,
    /// The segments of each sequence's user; none at all, or one list for each.
    segments: Arc<Vec<Vec<String>>>,
    tags: Option<Features>,
    log: Option<Arc<Interactions>>,
    time_unit: Option<TimeUnit>,
}

impl TrainingData {
    /// Sequences of users of whom these are the ids, all of items in the catalog.
    pub(super) fn from_checked(sequences: Spans, catalog: Catalog, users: UserIds) -> Self {
        Self {
            sequences,
            catalog,
            users,
            segments: Arc::default(),
            tags: None,
            log: None,
            time_unit: None,
        }
    }

    /// Other parts of the same users' sequences, counted anew. A log is left out, since it has what
    /// is not among these sequences any more.
    pub(super) fn with_sequences(self, sequences: Spans) -> Self {
        let segments = if self.has_segments() {
            let sequences_before = 0..self.sequences.len();
            let places: foldhash::HashMap<usize, usize> = sequences_before
                .map(|place| (self.sequences.user(place), place))
                .collect();
            let of_user = |user| {
                let place = places.get(&user);
                place.map_or(Vec::new(), |&place| self.segments(place).to_vec())
            };
            let users = (0..sequences.len()).map(|place| sequences.user(place));
            Arc::new(users.map(of_user).collect())
        } else {
            Arc::default()
        };
        Self {
            catalog: self.catalog.with_counts(sequences.item_lists()),
            sequences,
            segments,
            log: None,
            ..self
        }
    }

    /// These data without their [log](Self::with_log).
    pub(crate) fn without_log(mut self) -> Self {
        self.log = None;
        self
    }

    /// These data with another catalog of the same items: counted over more than the sequences, or
    /// with items that nobody has taken yet.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownItem`] when the sequences hold an item that it lacks or has under
    /// another index, [`ErrorKind::InvalidValue`] when it names other [features of
    /// users](Catalog::user_features), or has no items, and [`ErrorKind::Shape`] when it has
    /// another number of items than the [tags](Self::with_tags) that were given before.
    pub fn with_catalog(mut self, catalog: Catalog) -> Result<Self> {
        checks::has_items(catalog.len())?;
        // A catalog that has all of the known items, and where they were, has those of sequences.
        if !catalog.continues(&self.catalog) {
            let unknown = |item: &&ItemIndex| catalog.id_of(**item) != self.catalog.id_of(**item);
            if let Some(&item) = self.sequences.item_lists().flatten().find(unknown) {
                return Err(ErrorKind::UnknownItem { item }.into());
            }
        }
        let (of_data, named) = (self.catalog.user_features(), catalog.user_features());
        if of_data != named {
            let reason = format!(
                "the data's are {of_data:?}; split a data set after it was given features of users, and \
                 take the split's catalog"
            );
            let field = "user features of the catalog";
            return Err(Error::invalid(field, format!("{named:?}"), reason));
        }
        if let Some(tags) = &self.tags {
            check_rows(tags, &catalog)?;
        }
        // What events mean is a matter of the sequences.
        let behaviors = self.catalog.shared_behaviors().cloned();
        self.catalog = catalog.with_behaviors(behaviors);
        Ok(self)
    }

    /// These data with the items that a model's catalog has after theirs, and its features of
    /// items. The new ones have no tags.
    pub(crate) fn with_new_items(mut self, of_model: &Catalog) -> Self {
        let new = of_model.ids().skip(self.catalog.len());
        self.catalog =
            (self.catalog.with_new_ids(new)).with_item_features(of_model.item_features().cloned());
        let rows = self.catalog.len() + 1;
        self.tags = self.tags.map(|tags| tags.with_rows(rows));
        self
    }

    /// These data with the segments that each sequence's user is in, such as a region, for channels
    /// that have a list for each.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] when there is not one list for each sequence.
    pub fn with_segments(mut self, segments: Vec<Vec<String>>) -> Result<Self> {
        checks::same_length("segments of users", self.sequences.len(), segments.len())?;
        self.segments = Arc::new(segments);
        Ok(self)
    }

    /// These data with tags of items, `[items + 1, tags]`, of which each value above 0 is a tag
    /// that an item has.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] when there is not one row for each item, and padding.
    pub fn with_tags(mut self, tags: Features) -> Result<Self> {
        check_rows(&tags, &self.catalog)?;
        self.tags = Some(tags);
        Ok(self)
    }

    /// These data with the interactions they come from, for channels that count values or types of
    /// events, which sequences don't have. Items that are not in the catalog are ignored, and a
    /// user without a sequence is in no segment. Where something is held out to evaluate on, the
    /// log must not hold it. A stage does not keep a log.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`] for an empty id, or a time or value that is not finite.
    pub fn with_log(mut self, log: impl Into<Arc<Interactions>>) -> Result<Self> {
        let log = log.into();
        log.check_rows()?;
        self.log = Some(log);
        Ok(self)
    }

    /// These data with times that are in another unit than their size says.
    #[must_use]
    pub fn with_time_unit(mut self, time_unit: TimeUnit) -> Self {
        self.time_unit = Some(time_unit);
        self
    }

    /// The sequences.
    pub fn sequences(&self) -> &Spans {
        &self.sequences
    }

    /// The catalog, with items counted over the sequences unless [another](Self::with_catalog) was
    /// given.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// The external id of a sequence's user.
    ///
    /// # Panics
    /// When there is no such sequence.
    pub fn user_id(&self, sequence: usize) -> &ExternalId {
        let user = self.sequences.user(sequence);
        &self.users.table().ids()[user]
    }

    /// The external id of a user by their number in the data set.
    pub(crate) fn id_of_user(&self, number: usize) -> Option<&ExternalId> {
        self.users.table().ids().get(number)
    }

    /// The place of the sequence of a user by their number in the data set.
    pub(crate) fn place_of_user(&self, number: usize) -> Option<usize> {
        self.sequences.place_of_user(number)
    }

    /// The place of a user's sequence, where they have one.
    pub(crate) fn place_of(&self, id: &ExternalId) -> Option<usize> {
        let number = self.users.table().number_of(id)?;
        self.place_of_user(number as usize)
    }

    /// Whether every user's id is an integer.
    pub(crate) fn has_integer_users(&self) -> bool {
        let mut ids = self.users.table().ids().iter();
        ids.all(|id| matches!(id, ExternalId::Integer(_)))
    }

    /// Whose sequence each is.
    pub fn user_ids(&self) -> impl ExactSizeIterator<Item = &ExternalId> + Clone {
        (0..self.sequences.len()).map(|sequence| self.user_id(sequence))
    }

    /// The segments of the user of a sequence; none where they are not known.
    pub fn segments(&self, sequence: usize) -> &[String] {
        self.segments.get(sequence).map_or(&[], Vec::as_slice)
    }

    /// Whether it is known which segments users are in.
    pub fn has_segments(&self) -> bool {
        !self.segments.is_empty()
    }

    /// Tags of items.
    ///
    /// # Errors
    /// [`ErrorKind::NothingLeft`] where there are none.
    pub fn tags(&self) -> Result<&Features> {
        self.tags.as_ref().ok_or_else(|| {
            Error::from(ErrorKind::NothingLeft {
                reason: "the data lack tags of items: `TrainingData::with_tags`".to_owned(),
            })
        })
    }

    /// The interactions with their values and types of events, where they were given.
    pub fn log(&self) -> Option<&Interactions> {
        self.log.as_deref()
    }

    /// The unit of the sequences' times: the one that was said, or else the one that their size
    /// tells, for which all of them are read.
    pub fn time_unit(&self) -> TimeUnit {
        self.time_unit.unwrap_or_else(|| {
            let sequences = 0..self.sequences.len();
            TimeUnit::from_times(
                sequences.flat_map(|sequence| self.sequences.history(sequence).times()),
            )
        })
    }
}

/// Refuses tags that have not one row for each item of a catalog, and padding.
fn check_rows(tags: &Features, catalog: &Catalog) -> Result<()> {
    let rows = tags.values().nrows();
    checks::same_length("rows of tags", catalog.len() + 1, rows)
}

impl Dataset {
    /// All of the sequences, for a last training that holds nothing out.
    pub fn training_data(&self) -> TrainingData {
        let sequences = Spans::whole(self.sequences(), self.catalog().table());
        TrainingData::from_checked(sequences, self.catalog().clone(), self.user_ids().clone())
    }
}
