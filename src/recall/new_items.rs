//! Channels of a catalog that more items are added to while it serves.

use std::sync::Arc;

use ndarray::{Array2, ArrayView2};

use crate::data::{Catalog, Event, Interaction, ItemIndex, User};
use crate::index::{AnyIndex, Filter, ItemSet, UpdatableIndex};
use crate::{ErrorKind, Result};

use super::candidates::Candidates;
use super::channel::RecallChannel;
use super::fusion::FusedCandidate;
use super::user_encoder::UserEncoder;

/// The items of a history that a channel knows, with their times and events where it has them.
#[derive(Default)]
struct KnownHistory {
    items: Vec<ItemIndex>,
    times: Vec<f64>,
    events: Vec<Event>,
}

/// A channel that goes on as it was made, for a catalog with more items: it is asked about
/// histories without the new ones, and hears of no event of theirs.
pub(super) struct OfEarlierItems {
    channel: Arc<dyn RecallChannel>,
    items: usize,
}

impl OfEarlierItems {
    /// A channel that was made for a catalog's first `items` items.
    pub(super) fn new(channel: Arc<dyn RecallChannel>, items: usize) -> Self {
        Self { channel, items }
    }

    fn knows(&self, item: ItemIndex) -> bool {
        item.to_usize() <= self.items
    }

    fn ask<T>(&self, users: &[User<'_>], ask: impl FnOnce(&[User<'_>]) -> Result<T>) -> Result<T> {
        let mut items = users.iter().flat_map(|user| user.items());
        if items.all(|&item| self.knows(item)) {
            return ask(users);
        }
        let known = users.iter().map(|&user| self.known(user));
        let known: Vec<KnownHistory> = known.collect();
        let users = users.iter().zip(&known);
        let users =
            users.map(|(user, known)| user.with_history(&known.items, &known.times, &known.events));
        ask(&users.collect::<Vec<_>>())
    }

    fn known(&self, user: User<'_>) -> KnownHistory {
        let places = user.items().iter().enumerate();
        let places = places.filter(|(_, item)| self.knows(**item));
        let mut known = KnownHistory::default();
        for (place, &item) in places {
            known.items.push(item);
            known.times.extend(user.times().get(place));
            known.events.extend(user.events().get(place));
        }
        known
    }
}

impl RecallChannel for OfEarlierItems {
    fn recall(
        &self,
        users: &[User<'_>],
        k: usize,
        filter: Option<Filter<'_>>,
    ) -> Result<Candidates> {
        self.ask(users, |users| self.channel.recall(users, k, filter))
    }

    fn fused_names(&self) -> Vec<Arc<str>> {
        self.channel.fused_names()
    }

    fn fused(
        &self,
        users: &[User<'_>],
        k: usize,
        filter: Option<Filter<'_>>,
    ) -> Result<Vec<Vec<FusedCandidate>>> {
        self.ask(users, |users| self.channel.fused(users, k, filter))
    }

    fn holds(&self, items: &ItemSet) -> Result<Option<ItemSet>> {
        self.channel.holds(items)
    }

    fn vectors(&self) -> Option<(&dyn UserEncoder, ArrayView2<'_, f32>)> {
        self.channel.vectors()
    }

    fn observe(&self, item: ItemIndex, interaction: &Interaction, segments: &[String]) {
        if self.knows(item) {
            self.channel.observe(item, interaction, segments);
        }
    }

    fn check_catalog(&self, catalog: &Catalog) -> Result<()> {
        if catalog.len() >= self.items {
            return Ok(());
        }
        Err(ErrorKind::Shape {
            what: "items of the catalog, of which there can't be fewer than the channel's",
            expected: self.items,
            found: catalog.len(),
        }
        .into())
    }
}

/// Vectors of a catalog's new items, which are to be in an index before channels are asked that
/// look for them there.
pub(crate) struct NewVectors {
    pub(super) index: Arc<AnyIndex>,
    /// The number of items before the first of these.
    pub(super) before: usize,
    /// `[items, dim]`.
    pub(super) vectors: Array2<f32>,
}

impl NewVectors {
    /// Adds them to the index. What it has under the number of a new item is of an earlier try
    /// that failed further on.
    ///
    /// # Errors
    /// As [`UpdatableIndex::add`].
    pub(crate) fn add(&self) -> Result<()> {
        for (place, vector) in self.vectors.rows().into_iter().enumerate() {
            let item = ItemIndex::new((self.before + 1 + place) as u32);
            let vector = vector.to_vec();
            if self.index.contains(item) {
                self.index.replace(item, &vector)?;
            } else {
                self.index.add(item, &vector)?;
            }
        }
        Ok(())
    }
}
