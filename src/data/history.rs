//! What a user did, in order.

use crate::item::ItemIndex;
use crate::{Error, Result};

/// A user's items in time order, and, where they are known, when they took them and who they are.
///
/// A slice of items is a history without times:
///
/// ```
/// use seqrec::data::{History, ItemIndex};
///
/// let items = [3, 1, 2].map(ItemIndex::new);
/// let history = History::from(&items[..]);
/// assert_eq!(history.last(2).items(), &items[1..]);
/// let history = History::with_times(&items[..2], &[10.0, 12.5])?;
/// assert_eq!(history.times(), [10.0, 12.5]);
/// # Ok::<(), seqrec::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct History<'a> {
    items: &'a [ItemIndex],
    /// As many as there are items, or none.
    times: &'a [f64],
    features: &'a [f32],
    /// When what comes after the last item was taken, or is asked for.
    now: Option<f64>,
}

impl<'a> History<'a> {
    /// Items with their times, in the unit of the source, the first taken first.
    ///
    /// # Errors
    /// [`Error::Shape`] when there is not one time for each item, and [`Error::InvalidValue`] when
    /// the times run backwards or one of them is not finite.
    pub fn with_times(items: &'a [ItemIndex], times: &'a [f64]) -> Result<Self> {
        if items.len() != times.len() {
            return Err(Error::Shape {
                what: "times of a history",
                expected: items.len(),
                found: times.len(),
            });
        }
        check_times("times", times)?;
        Ok(Self::in_order(items, times))
    }

    /// Items with their times, which are known to be in order.
    pub(super) fn in_order(items: &'a [ItemIndex], times: &'a [f64]) -> Self {
        Self {
            items,
            times,
            features: &[],
            now: None,
        }
    }

    /// This history at a time, in the unit of the source: when its user asks what comes next, for models
    /// and channels that look at how long ago items were taken. A time that is not finite is as if none
    /// was said.
    #[must_use]
    pub fn at(self, now: f64) -> Self {
        let now = now.is_finite().then_some(now);
        Self { now, ..self }
    }

    /// When its user asks what comes next; where it was not said, when they took the last item.
    pub fn now(self) -> Option<f64> {
        self.now.or_else(|| self.times.last().copied())
    }

    /// This history with features of its user, for models that look at them.
    #[must_use]
    pub fn with_features(self, features: &'a [f32]) -> Self {
        Self { features, ..self }
    }

    /// The user's features; none where they are not known.
    pub fn features(self) -> &'a [f32] {
        self.features
    }

    /// The items.
    pub fn items(self) -> &'a [ItemIndex] {
        self.items
    }

    /// One time for each item, or none at all where they are not known.
    pub fn times(self) -> &'a [f64] {
        self.times
    }

    /// The first `count` items, at the time of the one after them, or all where there are fewer.
    #[must_use]
    pub fn first(self, count: usize) -> Self {
        let to = count.min(self.items.len());
        Self {
            items: &self.items[..to],
            times: self.times.get(..to).unwrap_or_default(),
            now: self.times.get(to).copied().or(self.now),
            ..self
        }
    }

    /// The last `count` items, or all where there are fewer.
    #[must_use]
    pub fn last(self, count: usize) -> Self {
        let from = self.items.len().saturating_sub(count);
        Self {
            items: &self.items[from..],
            times: self.times.get(from..).unwrap_or_default(),
            ..self
        }
    }
}

impl<'a> From<&'a [ItemIndex]> for History<'a> {
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
    histories: impl IntoIterator<Item = History<'a>>,
    items: usize,
) -> Result<()> {
    let mut all = histories.into_iter().flat_map(|history| history.items());
    match all.find(|&&item| item == ItemIndex::PADDING || item.to_usize() > items) {
        Some(&item) => Err(Error::UnknownItem { item }),
        None => Ok(()),
    }
}
