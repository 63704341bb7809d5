//! Every user's items in time order, in one flat array.

use std::ops::Range;

use super::features::Features;
use super::history::History;
use crate::item::ItemIndex;

/// Sequences of items, one per user, stored in one array with offsets.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sequences {
    offsets: Vec<usize>,
    items: Vec<ItemIndex>,
    times: Vec<f64>,
    /// Of users, where there are any.
    features: Option<Features>,
}

impl Sequences {
    /// Sequences of users whose items and times lie between consecutive offsets, in time order.
    pub(super) fn from_parts(offsets: Vec<usize>, items: Vec<ItemIndex>, times: Vec<f64>) -> Self {
        debug_assert_eq!(offsets.last(), Some(&items.len()));
        debug_assert_eq!(items.len(), times.len());
        Self {
            offsets,
            items,
            times,
            features: None,
        }
    }

    /// The same sequences of users with features.
    pub(super) fn with_features(mut self, features: Features) -> Self {
        self.features = Some(features);
        self
    }

    /// The same users with only those items, out of the part of each one's sequence that `ranges`
    /// gives, that are to be kept.
    pub(super) fn retain(
        &self,
        ranges: &[(usize, Range<usize>)],
        keep: impl Fn(ItemIndex) -> bool,
    ) -> Self {
        let mut kept = Self {
            offsets: vec![0],
            features: self.features.clone(),
            ..Self::default()
        };
        let mut ranges = ranges.iter().peekable();
        for user in 0..self.len() {
            if let Some((_, range)) = ranges.next_if(|(of, _)| *of == user) {
                for place in range.clone().filter(|&place| keep(self.items[place])) {
                    kept.items.push(self.items[place]);
                    kept.times.push(self.times[place]);
                }
            }
            kept.offsets.push(kept.items.len());
        }
        kept
    }

    /// A part of a user's sequence, with all that is known of it.
    pub(super) fn history(&self, user: usize, range: Range<usize>) -> History<'_> {
        let features = (self.features.as_ref()).and_then(|features| features.row(user));
        History::with_times(&self.items[range.clone()], &self.times[range])
            .expect("there is a time for each item")
            .with_features(features.unwrap_or_default())
    }

    /// The number of users.
    pub fn len(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// Whether there are no users.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many interactions there are over all users.
    pub fn interactions(&self) -> usize {
        self.items.len()
    }

    /// Where a user's items lie in [`Sequences::items_in`]'s array.
    ///
    /// # Panics
    /// When `user` is not below [`Sequences::len`].
    pub fn range(&self, user: usize) -> Range<usize> {
        self.offsets[user]..self.offsets[user + 1]
    }

    /// The items in a part of the flat array.
    pub fn items_in(&self, range: Range<usize>) -> &[ItemIndex] {
        &self.items[range]
    }

    /// The times in a part of the flat array.
    pub fn times_in(&self, range: Range<usize>) -> &[f64] {
        &self.times[range]
    }

    /// A user's items, in time order.
    pub fn items(&self, user: usize) -> &[ItemIndex] {
        self.items_in(self.range(user))
    }

    /// A user's times, in order, in the unit of the source.
    pub fn times(&self, user: usize) -> &[f64] {
        self.times_in(self.range(user))
    }

    /// Every user's items, in order of users.
    pub fn iter(&self) -> impl Iterator<Item = &[ItemIndex]> {
        (0..self.len()).map(|user| self.items(user))
    }

    /// The earliest and the latest time; `None` when there is no interaction.
    pub fn time_span(&self) -> Option<(f64, f64)> {
        let first = self.times.iter().copied().reduce(f64::min)?;
        let last = self.times.iter().copied().reduce(f64::max)?;
        Some((first, last))
    }

    /// The time below which a share `quantile` of all interactions lies, for a global time cut.
    ///
    /// `None` when there is no interaction; a quantile outside `0..=1` is taken as the nearer end.
    pub fn time_quantile(&self, quantile: f64) -> Option<f64> {
        let mut times = self.times.clone();
        let last = times.len().checked_sub(1)?;
        let place = (times.len() as f64 * quantile.clamp(0.0, 1.0)) as usize;
        Some(
            *times
                .select_nth_unstable_by(place.min(last), f64::total_cmp)
                .1,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_lie_one_after_another() {
        let sequences = Sequences::from_parts(
            vec![0, 2, 2, 3],
            ItemIndex::from_vec(vec![3, 1, 2]),
            vec![1.0, 2.0, 0.5],
        );
        assert_eq!(sequences.len(), 3);
        assert_eq!(sequences.interactions(), 3);
        assert_eq!(sequences.items(0), [3, 1].map(ItemIndex::new));
        assert!(sequences.items(1).is_empty());
        assert_eq!(sequences.times(2), [0.5]);
        assert_eq!(sequences.time_span(), Some((0.5, 2.0)));
        assert_eq!(sequences.time_quantile(0.5), Some(1.0));
        assert_eq!(sequences.time_quantile(1.0), Some(2.0));
        assert_eq!(Sequences::default().time_quantile(0.5), None);
    }
}
