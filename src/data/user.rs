//! A user, as models and channels see them.

use std::sync::Arc;

use super::behaviors::{Behaviors, Role};
use super::event::Event;
use crate::item::ItemIndex;
use crate::{Error, ErrorKind, Result};

/// A user: the items they took, in time order, and, where they are known, the times, who the user
/// is and when they ask.
///
/// It is cheap to copy. A slice of items is a user without times, and [`User::default`] one of whom
/// nothing is known:
///
/// ```
/// use seqrec::data::{ItemIndex, User};
///
/// let items = [3, 1, 2].map(ItemIndex::new);
/// let segments = ["country=is".to_owned()];
/// let user = User::from(&items[..]).in_segments(&segments).at(1_700_000_000.0);
/// assert_eq!(user.last(2).items(), &items[1..]);
/// assert_eq!(user.segments(), ["country=is"]);
/// let user = User::with_times(&items[..2], &[10.0, 12.5])?;
/// assert_eq!((user.now(), user.at(20.0).now()), (Some(12.5), Some(20.0)));
/// # Ok::<(), seqrec::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct User<'a> {
    items: &'a [ItemIndex],
    /// As many as there are items, or none.
    times: &'a [f64],
    /// As many as there are items, or none.
    events: &'a [Event],
    behaviors: Option<&'a Arc<Behaviors>>,
    features: &'a [f32],
    segments: &'a [String],
    /// When what comes after the last item was taken, or is asked for.
    now: Option<f64>,
}

impl<'a> User<'a> {
    /// Items with their times, in the unit of the source, the first taken first.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] when there is not one time for each item, and
    /// [`ErrorKind::InvalidValue`] when the times run backwards or one of them is not finite.
    pub fn with_times(items: &'a [ItemIndex], times: &'a [f64]) -> Result<Self> {
        if items.len() != times.len() {
            return Err(ErrorKind::Shape {
                what: "times of a history",
                expected: items.len(),
                found: times.len(),
            }
            .into());
        }
        check_times("times", times)?;
        Ok(Self::in_order(items, times))
    }

    /// Items with their times, which are known to be in order.
    pub(super) fn in_order(items: &'a [ItemIndex], times: &'a [f64]) -> Self {
        Self {
            items,
            times,
            ..Self::default()
        }
    }

    /// This user at a time, in the unit of the source: when they ask what comes next, for models
    /// and channels that look at how long ago items were taken. A time that is not finite is
    /// ignored.
    #[must_use]
    pub fn at(self, now: f64) -> Self {
        let now = now.is_finite().then_some(now);
        Self { now, ..self }
    }

    /// When the user asks what comes next: what was [said](User::at), or else the time of the last
    /// item. Models and channels count the ages of items from it.
    pub fn now(self) -> Option<f64> {
        self.now.or_else(|| self.times.last().copied())
    }

    /// This user with the events of their items, as many as there are, and the meaning of these.
    pub(crate) fn with_events(self, events: &'a [Event], behaviors: &'a Arc<Behaviors>) -> Self {
        debug_assert_eq!(events.len(), self.items.len());
        let behaviors = Some(behaviors);
        Self {
            events,
            behaviors,
            ..self
        }
    }

    /// One event for each item, or none at all where they are not known.
    pub fn events(self) -> &'a [Event] {
        self.events
    }

    /// What the events mean, where they are known.
    pub(crate) fn behaviors(self) -> Option<&'a Arc<Behaviors>> {
        self.behaviors
    }

    /// The role of the event of the item at a place; a target where events are not known.
    pub fn role(self, place: usize) -> Role {
        match (self.behaviors, self.events.get(place)) {
            (Some(behaviors), Some(&event)) => behaviors.role(event),
            _ => Role::Target,
        }
    }

    /// The weight of the event of the item at a place; 1 where events are not known.
    pub fn weight(self, place: usize) -> f32 {
        match (self.behaviors, self.events.get(place)) {
            (Some(behaviors), Some(&event)) => behaviors.weight(event),
            _ => 1.0,
        }
    }

    /// The items whose events have a role.
    pub(super) fn items_of(self, role: Role) -> impl Iterator<Item = ItemIndex> + use<'a> {
        let items = self.items.iter().enumerate();
        items.filter_map(move |(place, &item)| (self.role(place) == role).then_some(item))
    }

    /// The items that are [seen](super::Seen): those of targets and of negative events.
    pub fn seen_items(self) -> impl Iterator<Item = ItemIndex> + Clone + use<'a> {
        let items = self.items.iter().enumerate();
        items.filter_map(move |(place, &item)| (self.role(place) != Role::History).then_some(item))
    }

    /// The items that the user has nothing against, with the weights of their events. What they
    /// said last counts: of an item that they bought and then returned, where a return is
    /// [negative](Role::Negative), no event is among these.
    pub fn liked_items(
        self,
    ) -> impl DoubleEndedIterator<Item = (ItemIndex, f32)> + Clone + use<'a> {
        let places = self.liked_places();
        places.map(move |place| (self.items[place], self.weight(place)))
    }

    /// The places of [liked items](Self::liked_items).
    pub(crate) fn liked_places(self) -> impl DoubleEndedIterator<Item = usize> + Clone + use<'a> {
        let disliked = self.disliked_items();
        (0..self.items.len()).filter(move |&place| {
            self.role(place) != Role::Negative
                && disliked.binary_search(&self.items[place]).is_err()
        })
    }

    /// The items of which the last target or negative event is negative, each once, by number.
    pub(crate) fn disliked_items(self) -> Vec<ItemIndex> {
        let is_negative = |place| self.role(place) == Role::Negative;
        if !(0..self.events.len()).any(is_negative) {
            return Vec::new();
        }
        let places = (0..self.items.len()).filter(|&place| self.role(place) != Role::History);
        let mut said: Vec<(ItemIndex, usize)> =
            places.map(|place| (self.items[place], place)).collect();
        said.sort_unstable();
        let last = said
            .chunk_by(|a, b| a.0 == b.0)
            .filter_map(|said| said.last());
        let disliked = last.filter(|&&(_, place)| is_negative(place));
        disliked.map(|&(item, _)| item).collect()
    }

    /// This user with some of their items in place of all, and the times and events of these, at
    /// the same time.
    pub(crate) fn with_history(
        self,
        items: &'a [ItemIndex],
        times: &'a [f64],
        events: &'a [Event],
    ) -> Self {
        let now = self.now();
        Self {
            items,
            times,
            events,
            now,
            ..self
        }
    }

    /// This user with features, for models that look at them.
    #[must_use]
    pub fn with_features(self, features: &'a [f32]) -> Self {
        Self { features, ..self }
    }

    /// The user's features; none where they are not known.
    pub fn features(self) -> &'a [f32] {
        self.features
    }

    /// This user in segments, such as a region or an age group, for channels that have lists for
    /// each.
    #[must_use]
    pub fn in_segments(self, segments: &'a [String]) -> Self {
        Self { segments, ..self }
    }

    /// The segments the user is in.
    pub fn segments(self) -> &'a [String] {
        self.segments
    }

    /// The items, in time order; there may be none.
    pub fn items(self) -> &'a [ItemIndex] {
        self.items
    }

    /// One time for each item, or none at all where they are not known.
    pub fn times(self) -> &'a [f64] {
        self.times
    }

    /// The user with the first `count` items, at the time of the one after them, or all where there
    /// are fewer.
    #[must_use]
    pub fn first(self, count: usize) -> Self {
        let to = count.min(self.items.len());
        Self {
            items: &self.items[..to],
            times: self.times.get(..to).unwrap_or_default(),
            events: self.events.get(..to).unwrap_or_default(),
            now: self.times.get(to).copied().or(self.now),
            ..self
        }
    }

    /// The user with the last `count` items, or all where there are fewer.
    #[must_use]
    pub fn last(self, count: usize) -> Self {
        let from = self.items.len().saturating_sub(count);
        Self {
            items: &self.items[from..],
            times: self.times.get(from..).unwrap_or_default(),
            events: self.events.get(from..).unwrap_or_default(),
            ..self
        }
    }
}

impl<'a> From<&'a [ItemIndex]> for User<'a> {
    fn from(items: &'a [ItemIndex]) -> Self {
        Self::in_order(items, &[])
    }
}

/// Refuses times of a history that are not finite, or of which one lies before the one in front of
/// it: models read a history in its order, and there is no telling which of the two is wrong.
pub(crate) fn check_times(field: &'static str, times: &[f64]) -> Result<()> {
    if let Some(place) = times.iter().position(|time| !time.is_finite()) {
        let value = format!("{} in place {place}", times[place]);
        return Err(Error::invalid(field, value, "must be a finite number"));
    }
    let Some(place) = times.windows(2).position(|pair| pair[0] > pair[1]) else {
        return Ok(());
    };
    let [before, after] = [times[place], times[place + 1]];
    let value = format!("{after} in place {}, after {before}", place + 1);
    let reason = "times run backwards; give the items in the order in which they were taken";
    Err(Error::invalid(field, value, reason))
}

/// Refuses histories with padding, or with items beyond the first `items`.
pub(crate) fn check_known<'a>(
    histories: impl IntoIterator<Item = User<'a>>,
    items: usize,
) -> Result<()> {
    let mut all = histories.into_iter().flat_map(|history| history.items());
    match all.find(|&&item| item == ItemIndex::PADDING || item.to_usize() > items) {
        Some(&item) => Err(ErrorKind::UnknownItem { item }.into()),
        None => Ok(()),
    }
}
