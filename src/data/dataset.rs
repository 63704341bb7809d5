//! From raw interactions to a catalog and sequences.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tracing::info;

use super::behaviors::Behaviors;
use super::catalog::Catalog;
use super::event::Event;
use super::features::Features;
use super::id::{ExternalId, IdTable};
use super::interactions::Interactions;
use super::item_features::ItemFeatures;
use super::k_core::k_core;
use super::sequences::{CodedEvents, Sequences};
use super::stored_ids::StoredIds;
use super::time_unit::TimeSizes;
use crate::item::ItemIndex;
use crate::settings::settings;
use crate::{Error, ErrorKind, Result};

/// What to do when a user takes the same item again; where events have a
/// [meaning](super::Behaviors), by the same kind of event.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Repeats {
    /// Keep every interaction.
    #[default]
    Keep,
    /// Keep one of several in a row.
    CollapseRuns,
    /// Keep only a user's first interaction with an item.
    First,
}

/// Tells rows that repeat earlier ones, of users one after another, each in the order of time.
pub(super) struct Repetitions {
    repeats: Repeats,
    last: Option<(usize, u32, Option<usize>)>,
    /// The user of the row before.
    user: usize,
    /// The user who took each item last, so that no set is cleared for every user.
    taken_by: Vec<usize>,
    /// What that user took by which kind of event, where events have a meaning.
    taken_as: foldhash::HashSet<(usize, u32, Option<usize>)>,
}

impl Repetitions {
    /// For items with numbers below `items`.
    pub(super) fn new(repeats: Repeats, items: usize) -> Self {
        Self {
            repeats,
            last: None,
            user: usize::MAX,
            taken_by: vec![usize::MAX; items],
            taken_as: Default::default(),
        }
    }

    /// Whether the next row is to be kept.
    pub(super) fn keep(&mut self, user: usize, item: u32, event: Event) -> bool {
        let row = (user, item, event.behavior());
        if std::mem::replace(&mut self.user, user) != user {
            self.taken_as.clear();
        }
        match self.repeats {
            Repeats::Keep => true,
            Repeats::CollapseRuns => self.last.replace(row) != Some(row),
            Repeats::First if event.behavior().is_some() => self.taken_as.insert(row),
            Repeats::First => std::mem::replace(&mut self.taken_by[item as usize], user) != user,
        }
    }
}

settings! {
    /// Which interactions become part of a [`Dataset`].
    ///
    /// The filters apply in this order: minimum value, repeats, then the k-core, which is repeated
    /// until every user and every item that is left has enough interactions.
    ///
    /// ```
    /// use seqrec::data::Filters;
    ///
    /// // Ratings of 4 and above, of users and items with at least five of them.
    /// let filters = Filters::new()
    ///     .with_minimum_value(Some(4.0))
    ///     .with_minimum_per_user(5)
    ///     .with_minimum_per_item(5);
    /// ```
    #[derive(Copy)]
    pub struct Filters {
        /// Drop rows whose value is lower; rows without a value are kept.
        pub minimum_value: Option<f32> = None, with_minimum_value;
        /// What to do with repeated items.
        pub repeats: Repeats = Repeats::default(), with_repeats;
        /// Drop users with fewer interactions (the k of the k-core on users).
        pub minimum_per_user: usize = 0, with_minimum_per_user;
        /// Drop items with fewer interactions (the k of the k-core on items).
        pub minimum_per_item: usize = 0, with_minimum_per_item;
    }
}

/// A catalog, the users, and every user's sequence.
///
/// Items are numbered by first appearance in the source, users likewise. A user's sequence is in
/// time order, with ties in the order of the source.
///
/// ```
/// use seqrec::data::{Dataset, Filters, Interaction, Interactions, ItemIndex};
///
/// let log: Interactions = [("u", "late", 9.0), ("u", "early", 3.0)]
///     .map(|(user, item, time)| Interaction::new(user, item, time))
///     .into_iter()
///     .collect();
/// let dataset = Dataset::new(log, Filters::default())?;
/// assert_eq!(dataset.sequences().items(0), [2, 1].map(ItemIndex::new));
/// # Ok::<(), seqrec::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Dataset {
    catalog: Catalog,
    users: UserIds,
    sequences: Arc<Sequences>,
}

/// The ids of users, in memory or in the file of a [`SequenceStore`](super::SequenceStore).
#[derive(Debug, Clone)]
pub(super) enum UserIds {
    Known(Arc<IdTable>),
    Stored(Arc<StoredIds>),
}

impl UserIds {
    pub(super) fn table(&self) -> &IdTable {
        match self {
            Self::Known(table) => table,
            Self::Stored(stored) => stored.table(),
        }
    }
}

impl Filters {
    /// Refuses a value that no other could be compared with.
    pub(super) fn validate(&self) -> Result<()> {
        match self.minimum_value {
            Some(value) if !value.is_finite() => {
                let reason = "must be a finite number";
                Err(Error::invalid("minimum_value", value, reason))
            }
            _ => Ok(()),
        }
    }

    /// Whether a row with this value passes.
    pub(super) fn passes(&self, value: Option<f32>) -> bool {
        match (self.minimum_value, value) {
            (Some(minimum), Some(value)) => value >= minimum,
            _ => true,
        }
    }
}

/// What filters drop, besides low values.
fn dropped(filters: &Filters) -> String {
    let [users, items] = [
        ("users", filters.minimum_per_user),
        ("items", filters.minimum_per_item),
    ]
    .map(|(who, least)| (least > 0).then(|| format!("{who} with fewer than {least}")));
    let repeats = match filters.repeats {
        Repeats::Keep => None,
        Repeats::CollapseRuns | Repeats::First => Some("repeated items".to_owned()),
    };
    let all = [repeats, users, items].into_iter().flatten();
    format!("they drop {}", all.collect::<Vec<_>>().join(", and "))
}

/// Why filters left nothing of `rows` interactions, of which `valued` have the minimum value.
pub(super) fn nothing_passes(filters: &Filters, rows: u64, valued: u64) -> Error {
    let reason = match (rows, filters.minimum_value) {
        (0, _) => "there are no interactions, before any filter".to_owned(),
        (_, Some(minimum)) if valued == 0 => {
            format!("no value of {rows} interactions is at least the minimum, {minimum}")
        }
        (_, None) => format!(
            "the filters leave none of {rows} interactions: {}",
            dropped(filters)
        ),
        (_, Some(_)) => format!(
            "the filters leave none of {rows} interactions, of which {valued} have the minimum \
             value: {}",
            dropped(filters)
        ),
    };
    Error::from(ErrorKind::NothingLeft { reason })
}

impl Dataset {
    /// Builds catalog and sequences out of the interactions that pass the filters.
    ///
    /// Interactions are taken by value, since at tens of millions of rows a second copy would not
    /// fit beside them; clone them to build several data sets.
    ///
    /// # Errors
    /// [`ErrorKind::NothingLeft`] when no interaction passes, and [`ErrorKind::InvalidValue`] for
    /// an empty id, or a filter, time or value that is not finite, or a time that [can't be
    /// meant](Interactions::from_columns).
    pub fn new(interactions: Interactions, filters: Filters) -> Result<Self> {
        filters.validate()?;
        interactions.check_rows()?;
        interactions.check_times(TimeSizes::default())?;
        let rows = interactions.len() as u64;
        let mut grouped = Grouped::new(interactions, &filters)?;
        let valued = grouped.item.len() as u64;
        grouped.sort_by_time();
        if filters.repeats != Repeats::Keep {
            let mut repetitions = Repetitions::new(filters.repeats, grouped.items.len());
            grouped.retain(|user, item, event| repetitions.keep(user, item, event));
        }
        grouped.retain_core(filters.minimum_per_user, filters.minimum_per_item);
        let dataset = grouped.finish();
        if let Some(dataset) = &dataset {
            let (users, items) = (dataset.users(), dataset.catalog.len());
            let kept = dataset.sequences.interactions();
            info!(
                users,
                items,
                interactions = kept,
                filtered = rows - kept as u64,
                "data set"
            );
        }
        dataset.ok_or_else(|| nothing_passes(&filters, rows, valued))
    }

    /// A data set that is in a file.
    pub(super) fn of_store(catalog: Catalog, users: UserIds, sequences: Sequences) -> Self {
        Self {
            catalog,
            users,
            sequences: Arc::new(sequences),
        }
    }

    /// The items, with their interactions counted over all data.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// The sequences, one per user.
    pub fn sequences(&self) -> &Arc<Sequences> {
        &self.sequences
    }

    /// This data set with features of its users, `[users, features]`, for models that look at them.
    /// Their names become [those of the catalog](Catalog::user_features), by which they are given
    /// where a model serves; so a split is made after this.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] when there is not one row for each user.
    pub fn with_user_features(mut self, features: Features) -> Result<Self> {
        let (expected, found) = (self.users(), features.values().nrows());
        if expected != found {
            return Err(ErrorKind::Shape {
                what: "rows of user features",
                expected,
                found,
            }
            .into());
        }
        let catalog = self.catalog.with_user_features(features.names().to_vec());
        self.catalog = catalog.with_user_scales(features.scales().to_vec());
        let sequences = Arc::unwrap_or_clone(self.sequences);
        self.sequences = Arc::new(sequences.with_features(features));
        Ok(self)
    }

    /// This data set with features of the items of its catalog, for models whose settings ask for
    /// them; so items that nobody has taken are [added](Self::with_items) before this, and a split
    /// is made after it.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] when they are of another number of items.
    pub fn with_item_features(self, features: ItemFeatures) -> Result<Self> {
        features.check_items(self.catalog.len())?;
        let catalog = self.catalog.with_item_features(Some(Arc::new(features)));
        Ok(Self { catalog, ..self })
    }

    /// This data set with new ids at the end of its catalog.
    pub(super) fn with_new_ids<'a>(self, ids: impl Iterator<Item = &'a ExternalId>) -> Self {
        let catalog = self.catalog.with_new_ids(ids);
        Self { catalog, ..self }
    }

    pub(super) fn user_ids(&self) -> &UserIds {
        &self.users
    }

    /// The number of users.
    pub fn users(&self) -> usize {
        self.sequences.len()
    }

    /// The external id of a user.
    pub fn user_id(&self, user: usize) -> Option<&ExternalId> {
        self.users.table().ids().get(user)
    }

    /// The number of a user, if they are known.
    pub fn user_of(&self, id: &ExternalId) -> Option<usize> {
        let number = self.users.table().number_of(id)?;
        Some(number as usize)
    }
}

/// Interactions grouped by user, while they are filtered.
struct Grouped {
    users: IdTable,
    items: IdTable,
    /// Where each user's rows begin, and where the last one's end.
    offsets: Vec<usize>,
    /// Each row's item, by its number in `items`.
    item: Vec<u32>,
    time: Vec<f64>,
    /// Each row's event; none at all where events have no meaning.
    event: Vec<Event>,
    behaviors: Option<Arc<Behaviors>>,
}

impl Grouped {
    /// Groups rows by user, in the order of the source, by counting.
    fn new(interactions: Interactions, filters: &Filters) -> Result<Self> {
        let coded = interactions.coded()?;
        let event = |row: usize| coded.as_ref().map(|coded| coded.event(row));
        // Events that are ignored are left out; where events have no meaning, none is.
        let passes =
            |row: usize| filters.passes(interactions.value(row)) && event(row) != Some(None);
        let mut offsets = vec![0; interactions.users.len() + 1];
        for (row, &user) in interactions.user.iter().enumerate() {
            offsets[user as usize + 1] += usize::from(passes(row));
        }
        for user in 1..offsets.len() {
            offsets[user] += offsets[user - 1];
        }
        let count = offsets.last().copied().unwrap_or(0);
        // Files are mostly sorted by user, and then the columns are grouped as they are.
        let is_grouped = count == interactions.len() && interactions.user.is_sorted();
        let behaviors = interactions.behaviors.clone();
        let mut events = Vec::new();
        let (item, time) = if is_grouped {
            events.extend((0..count).filter_map(|row| event(row)?));
            drop(coded);
            (interactions.item, interactions.time)
        } else {
            let (mut item, mut time) = (vec![0; count], vec![0.0; count]);
            if behaviors.is_some() {
                events = vec![Event::default(); count];
            }
            let mut next = offsets.clone();
            for (row, &user) in interactions.user.iter().enumerate() {
                if passes(row) {
                    let place = &mut next[user as usize];
                    item[*place] = interactions.item[row];
                    time[*place] = interactions.time[row];
                    if let Some(Some(event)) = event(row) {
                        events[*place] = event;
                    }
                    *place += 1;
                }
            }
            drop(coded);
            (item, time)
        };
        Ok(Self {
            users: interactions.users,
            items: interactions.items,
            offsets,
            item,
            time,
            event: events,
            behaviors,
        })
    }

    /// Sorts each user's rows by time, ties in the order of the source.
    fn sort_by_time(&mut self) {
        let mut rows: Vec<(f64, u32, Event)> = Vec::new();
        for bounds in self.offsets.windows(2) {
            let places = bounds[0]..bounds[1];
            if self.time[places.clone()].is_sorted() {
                continue;
            }
            rows.clear();
            rows.extend(places.clone().map(|place| {
                let event = self.event.get(place).copied().unwrap_or_default();
                (self.time[place], self.item[place], event)
            }));
            rows.sort_by(|a, b| a.0.total_cmp(&b.0));
            for (place, &(time, item, event)) in places.zip(&rows) {
                (self.time[place], self.item[place]) = (time, item);
                if let Some(kept) = self.event.get_mut(place) {
                    *kept = event;
                }
            }
        }
    }

    /// Keeps the rows for which `keep(user, item, event)` says so; it is asked in order.
    fn retain(&mut self, mut keep: impl FnMut(usize, u32, Event) -> bool) {
        let (mut read, mut write) = (0, 0);
        for user in 0..self.offsets.len() - 1 {
            let end = self.offsets[user + 1];
            while read < end {
                let event = self.event.get(read).copied();
                if keep(user, self.item[read], event.unwrap_or_default()) {
                    self.item[write] = self.item[read];
                    self.time[write] = self.time[read];
                    if let Some(event) = event {
                        self.event[write] = event;
                    }
                    write += 1;
                }
                read += 1;
            }
            self.offsets[user + 1] = write;
        }
        self.item.truncate(write);
        self.time.truncate(write);
        self.event.truncate(write);
    }

    /// Drops users and items with too few rows until all that are left have enough.
    fn retain_core(&mut self, per_user: usize, per_item: usize) {
        let mut counts = vec![0; self.items.len()];
        for &item in &self.item {
            counts[item as usize] += 1;
        }
        let short = |bounds: &[usize]| bounds[1] - bounds[0] < per_user;
        // Mostly there is nothing to drop, and then no more is made than these counts.
        if !self.offsets.windows(2).any(short) && !counts.iter().any(|&count| count < per_item) {
            return;
        }
        let least = [per_user, per_item];
        let [users, items] = k_core(&self.offsets, &self.item, self.items.len(), least);
        self.retain(|user, item, _| users[user] && items[item as usize]);
    }

    /// Gives the items and users that are left their final numbers; `None` when there are none.
    fn finish(mut self) -> Option<Dataset> {
        let mut indices = vec![0; self.items.len()];
        for &item in &self.item {
            indices[item as usize] = 1;
        }
        let mut ids = Vec::new();
        for (index, id) in indices.iter_mut().zip(self.items.ids()) {
            if *index != 0 {
                ids.push(id.clone());
                *index = ids.len() as u32;
            }
        }
        if ids.is_empty() {
            return None;
        }
        for item in &mut self.item {
            *item = indices[*item as usize];
        }
        let left = |user: usize| self.offsets[user] < self.offsets[user + 1];
        let users = if (0..self.users.len()).all(left) {
            self.users
        } else {
            let named = self.users.ids().iter().enumerate();
            named
                .filter(|&(user, _)| left(user))
                .map(|(_, id)| id.clone())
                .collect()
        };
        self.offsets.dedup();
        let catalog = Catalog::from_ids(ids).expect("a table's ids are distinct");
        let sequences =
            Sequences::from_parts(self.offsets, ItemIndex::from_vec(self.item), self.time);
        let events = self.behaviors.map(|behaviors| CodedEvents {
            all: self.event.into(),
            behaviors,
        });
        let sequences = sequences.with_events(events);
        let catalog = catalog.with_behaviors(sequences.behaviors().cloned());
        Some(Dataset {
            catalog: catalog.with_counts(sequences.iter()),
            users: UserIds::Known(Arc::new(users)),
            sequences: Arc::new(sequences),
        })
    }
}

impl Features {
    /// A feature for each tag of users, as [`from_item_tags`](Features::from_item_tags) has them of
    /// items.
    pub fn from_user_tags<T: Into<String>>(
        dataset: &Dataset,
        tags: impl IntoIterator<Item = (ExternalId, impl IntoIterator<Item = T>)>,
    ) -> Self {
        Self::from_tags(dataset.users(), |id| dataset.user_of(id), tags)
    }
}
