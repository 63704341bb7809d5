//! What answers where a channel has nothing to say.

use crate::Result;
use crate::data::{Interaction, ItemIndex};
use crate::index::Filter;

use super::candidates::Candidates;
use super::channel::{RecallChannel, UserContext};

/// A channel with a fallback, which is asked for the users for whom the first finds nothing.
///
/// ```
/// use seqrec::channels::{MarkovChain, Popularity};
/// use seqrec::data::{Dataset, Filters, Interaction, Interactions, ItemIndex, TrainingSequences};
/// use seqrec::recall::{OrElse, RecallChannel};
///
/// let log: Interactions = (0..3).map(|time| Interaction::new("u", time, time as f64)).collect();
/// let dataset = Dataset::new(log, Filters::default())?;
/// let (sequences, catalog) = (TrainingSequences::all(&dataset), dataset.catalog());
/// let channel = OrElse::new(MarkovChain::fit(&sequences, catalog)?, Popularity::new(catalog));
/// let items = [1, 2, 3].map(ItemIndex::new);
/// let users = [(&items[..1]).into(), (&items[2..]).into()];
/// let candidates = channel.recall(&users, 9, None)?;
/// assert_eq!(candidates.items(0), [items[1]]);
/// // Nothing came after the last item.
/// assert_eq!(candidates.items(1), items);
/// # Ok::<(), seqrec::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct OrElse<C, F> {
    channel: C,
    fallback: F,
}

impl<C: RecallChannel, F: RecallChannel> OrElse<C, F> {
    /// A channel with a fallback.
    pub fn new(channel: C, fallback: F) -> Self {
        Self { channel, fallback }
    }
}

impl<C: RecallChannel, F: RecallChannel> RecallChannel for OrElse<C, F> {
    fn recall(
        &self,
        users: &[UserContext<'_>],
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
        let left: Vec<UserContext<'_>> = without.iter().map(|&row| users[row]).collect();
        let passes =
            |row: usize, item| filter.is_none_or(|filter| filter.passes(without[row], item));
        let second = self
            .fallback
            .recall(&left, k, Some(Filter::Predicate(&passes)))?;
        let mut all = Candidates::with_capacity(users.len(), k);
        for row in 0..users.len() {
            match without.binary_search(&row) {
                Ok(place) => all.push(second.of(place)),
                Err(_) => all.push(first.of(row)),
            }
        }
        Ok(all)
    }

    fn observe(&self, item: ItemIndex, interaction: &Interaction, segments: &[String]) {
        self.channel.observe(item, interaction, segments);
        self.fallback.observe(item, interaction, segments);
    }
}
