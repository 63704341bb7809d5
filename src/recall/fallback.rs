//! What answers where a channel has nothing to say.

use crate::Result;
use crate::data::{Catalog, Interaction, ItemIndex, User};
use crate::index::{Filter, ItemSet};

use super::candidates::Candidates;
use super::channel::RecallChannel;

/// See [`RecallChannel::or_else`].
pub(super) struct OrElse<C, F> {
    pub(super) channel: C,
    pub(super) fallback: F,
}

/// What a fallback recalls, without what is in none of the indexes that it stands in for: of some
/// items, `holds` gives those that are, or `None` where no index is searched.
pub(super) fn stand_in(
    fallback: &dyn RecallChannel,
    users: &[User<'_>],
    k: usize,
    filter: Filter<'_>,
    holds: impl Fn(&ItemSet) -> Result<Option<ItemSet>>,
) -> Result<Candidates> {
    let mut gone = ItemSet::new();
    let mut ask = k;
    loop {
        let passes = |row: usize, item| !gone.contains(item) && filter.passes(row, item);
        let found = fallback.recall(users, ask, Some(Filter::Predicate(&passes)))?;
        let rows = 0..found.len();
        let all: ItemSet = (rows.clone())
            .flat_map(|row| found.items(row).iter().copied())
            .collect();
        let held = holds(&all)?;
        let before = gone.len();
        if let Some(held) = held {
            gone.extend(all.iter().filter(|&item| !held.contains(item)));
        }
        if gone.is_empty() {
            return Ok(found);
        }
        let mut kept = Candidates::with_capacity(users.len(), k);
        for row in rows.clone() {
            let there = found.of(row).filter(|found| !gone.contains(found.item));
            kept.push(there.take(k));
        }
        // A list that was given in full has more after it.
        let is_short = |row: usize| kept.items(row).len() < k && found.items(row).len() >= ask;
        if gone.len() == before || !rows.into_iter().any(is_short) {
            return Ok(kept);
        }
        ask = ask.saturating_mul(2);
    }
}

impl<C: RecallChannel, F: RecallChannel> RecallChannel for OrElse<C, F> {
    fn recall(
        &self,
        users: &[User<'_>],
        k: usize,
        filter: Option<Filter<'_>>,
    ) -> Result<Candidates> {
        let first = self.channel.recall(users, k, filter)?;
        let without: Vec<usize> = (0..users.len())
            .filter(|&row| first.items(row).is_empty())
            .collect();
        if without.is_empty() {
            return Ok(first);
        }
        let left: Vec<User<'_>> = without.iter().map(|&row| users[row]).collect();
        let passes =
            |row: usize, item| filter.is_none_or(|filter| filter.passes(without[row], item));
        let filter = Filter::Predicate(&passes);
        let holds = |items: &ItemSet| self.channel.holds(items);
        let second = stand_in(&self.fallback, &left, k, filter, holds)?;
        let mut all = Candidates::with_capacity(users.len(), k);
        for row in 0..users.len() {
            match without.binary_search(&row) {
                Ok(place) => all.push(second.of(place)),
                Err(_) => all.push(first.of(row)),
            }
        }
        Ok(all)
    }

    fn holds(&self, items: &ItemSet) -> Result<Option<ItemSet>> {
        self.channel.holds(items)
    }

    fn observe(&self, item: ItemIndex, interaction: &Interaction, segments: &[String]) {
        self.channel.observe(item, interaction, segments);
        self.fallback.observe(item, interaction, segments);
    }

    fn check_catalog(&self, catalog: &Catalog) -> Result<()> {
        self.channel.check_catalog(catalog)?;
        self.fallback.check_catalog(catalog)
    }
}
