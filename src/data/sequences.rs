//! Every user's items in time order, in one flat array.

use std::ops::Range;
use std::sync::Arc;

use super::behaviors::{Behaviors, Role};
use super::event::Event;
use super::features::Features;
use super::item_features::Scale;
use super::user::User;
use crate::buffer::Buffer;
use crate::item::ItemIndex;

/// Sequences of items, one per user, stored in one array with offsets: in memory, or in the file of
/// a [`SequenceStore`](super::SequenceStore).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sequences {
    offsets: Buffer<usize>,
    items: Buffer<ItemIndex>,
    times: Buffer<f64>,
    events: Option<CodedEvents>,
    /// Of users, where there are any.
    features: Option<Features>,
}

/// The events of sequences, in the same places as their items, and their meaning.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct CodedEvents {
    pub(super) all: Buffer<Event>,
    pub(super) behaviors: Arc<Behaviors>,
}

impl Sequences {
    /// Sequences of users whose items and times lie between consecutive offsets, in time order.
    pub(super) fn from_parts(offsets: Vec<usize>, items: Vec<ItemIndex>, times: Vec<f64>) -> Self {
        Self::from_buffers(offsets.into(), items.into(), times.into())
    }

    /// The same for arrays that may be in a file.
    pub(super) fn from_buffers(
        offsets: Buffer<usize>,
        items: Buffer<ItemIndex>,
        times: Buffer<f64>,
    ) -> Self {
        debug_assert_eq!(offsets.last(), Some(&items.len()));
        debug_assert_eq!(items.len(), times.len());
        Self {
            offsets,
            items,
            times,
            events: None,
            features: None,
        }
    }

    /// The same sequences with the events of their items, as many as there are.
    pub(super) fn with_events(mut self, events: Option<CodedEvents>) -> Self {
        let as_many = |events: &CodedEvents| events.all.len() == self.items.len();
        debug_assert!(events.as_ref().is_none_or(as_many));
        self.events = events;
        self
    }

    /// The events of a part of the flat array, where they are known, and their meaning.
    pub(super) fn events_in(&self, range: Range<usize>) -> Option<(&[Event], &Arc<Behaviors>)> {
        let events = self.events.as_ref()?;
        Some((&events.all[range], &events.behaviors))
    }

    /// The meaning of events, where it is known.
    pub(super) fn behaviors(&self) -> Option<&Arc<Behaviors>> {
        self.events.as_ref().map(|events| &events.behaviors)
    }

    /// Whether an interaction of the flat array has a role; all are targets where nothing is said.
    pub(super) fn has_role(&self, place: usize, role: Role) -> bool {
        match &self.events {
            Some(CodedEvents { all, behaviors }) => behaviors.role(all[place]) == role,
            None => role == Role::Target,
        }
    }

    /// The places in a part of the flat array that have a role.
    pub(super) fn places_of(
        &self,
        range: Range<usize>,
        role: Role,
    ) -> impl DoubleEndedIterator<Item = usize> {
        range.filter(move |&place| self.has_role(place, role))
    }

    /// The same sequences of users with features.
    pub(super) fn with_features(mut self, features: Features) -> Self {
        self.features = Some(features);
        self
    }

    /// The same users with other items: of each one's sequence the part that `spans` gives, which
    /// are in order of users, from where a history begins over where it ends and labels begin to
    /// where these end. `history` gives none for an item that is left out.
    pub(super) fn renumbered(
        &self,
        spans: impl Iterator<Item = (usize, [usize; 3])>,
        history: impl Fn(ItemIndex) -> Option<ItemIndex>,
        label: impl Fn(ItemIndex) -> Option<ItemIndex>,
    ) -> Self {
        let (mut offsets, mut items, mut times) = (vec![0], Vec::new(), Vec::new());
        let mut events = Vec::new();
        let mut spans = spans.peekable();
        for user in 0..self.len() {
            if let Some((_, [start, cut, end])) = spans.next_if(|(of, _)| *of == user) {
                for place in start..end {
                    let item = self.items[place];
                    let other = match place < cut {
                        true => history(item),
                        false => label(item),
                    };
                    if let Some(item) = other {
                        items.push(item);
                        times.push(self.times[place]);
                        events.extend(self.events.as_ref().map(|events| events.all[place]));
                    }
                }
            }
            offsets.push(items.len());
        }
        let behaviors = self.behaviors().cloned();
        let events = behaviors.map(|behaviors| CodedEvents {
            all: events.into(),
            behaviors,
        });
        Self {
            features: self.features.clone(),
            ..Self::from_parts(offsets, items, times).with_events(events)
        }
    }

    /// A part of a user's sequence, with all that is known of it.
    pub(super) fn history(&self, user: usize, range: Range<usize>) -> User<'_> {
        let features = (self.features.as_ref()).and_then(|features| features.row(user));
        let user = User::in_order(&self.items[range.clone()], &self.times[range.clone()])
            .with_features(features.unwrap_or_default());
        match self.events_in(range) {
            Some((events, behaviors)) => user.with_events(events, behaviors),
            None => user,
        }
    }

    /// The names of the users' features; none where there are no features.
    pub(super) fn feature_names(&self) -> &[String] {
        (self.features.as_ref()).map_or(&[], |features| features.names())
    }

    /// How the numbers among them were standardized.
    pub(super) fn user_scales(&self) -> &[Scale] {
        (self.features.as_ref()).map_or(&[], |features| features.scales())
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
        let last = self.times.len().checked_sub(1)?;
        let place = (self.times.len() as f64 * quantile.clamp(0.0, 1.0)) as usize;
        Some(nth_time(&self.times, place.min(last)))
    }
}

const SIGN: u64 = 1 << 63;

/// A number for each time, in the order of [`f64::total_cmp`].
pub(super) fn time_rank(time: f64) -> u64 {
    match time.to_bits() {
        bits if bits & SIGN == 0 => bits | SIGN,
        bits => !bits,
    }
}

/// The time that `place` others come before, found digit by digit, since a sorted copy of all times
/// may not fit in memory.
fn nth_time(times: &[f64], mut place: usize) -> f64 {
    const DIGIT: u32 = u16::BITS;
    let mut found = 0;
    for digit in (0..u64::BITS / DIGIT).rev() {
        let mut counts = vec![0; 1 << DIGIT];
        for &time in times {
            let rest = time_rank(time) >> (digit * DIGIT);
            if rest >> DIGIT == found {
                counts[(rest - (found << DIGIT)) as usize] += 1;
            }
        }
        let mut value = 0;
        while counts[value] <= place {
            place -= counts[value];
            value += 1;
        }
        found = found << DIGIT | value as u64;
    }
    f64::from_bits(if found & SIGN == 0 {
        !found
    } else {
        found ^ SIGN
    })
}

/// Every user's items, as [`Sequences::iter`] gives them.
impl<'a> IntoIterator for &'a Sequences {
    type Item = &'a [ItemIndex];
    type IntoIter = Box<dyn Iterator<Item = Self::Item> + 'a>;

    fn into_iter(self) -> Self::IntoIter {
        Box::new(self.iter())
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

    #[test]
    fn quantiles_are_those_of_sorted_times() {
        let mut times = vec![
            0.0,
            -0.0,
            1.5,
            -2.5,
            1e300,
            -1e300,
            835_355_493.0,
            835_355_493.25,
            7.0,
            7.0,
            7.0,
        ];
        let offsets = vec![0, times.len()];
        let items = ItemIndex::from_vec(vec![1; times.len()]);
        let sequences = Sequences::from_parts(offsets, items, times.clone());
        times.sort_by(f64::total_cmp);
        for place in 0..times.len() {
            let quantile = (place as f64 + 0.5) / times.len() as f64;
            let found = sequences.time_quantile(quantile).unwrap();
            assert_eq!(found.to_bits(), times[place].to_bits());
        }
    }
}
