//! The items of a user as the beginning of a path.

use serde::{Deserialize, Serialize};

use crate::data::{ItemIndex, User};
use crate::{Error, Result, checks};

use super::candidates::Reason;
use super::links::Reached;
use super::path::Path;

/// The beginning of a path: the items of a user's history, the later ones and the more frequent
/// ones weighing more.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "HistoryItemsFile")]
pub struct HistoryItems {
    last: usize,
    decay: f64,
    half_life: Option<f64>,
}

/// What may be written in a file, before it is checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HistoryItemsFile {
    last: usize,
    decay: f64,
    half_life: Option<f64>,
}

impl TryFrom<HistoryItemsFile> for HistoryItems {
    type Error = Error;

    fn try_from(file: HistoryItemsFile) -> Result<Self> {
        let items = Self::last(file.last)?.with_decay(file.decay)?;
        file.half_life
            .map_or(Ok(items), |half_life| items.with_half_life(half_life))
    }
}

/// How many half-lives after the last item a user asks at the latest: all weights, or the squares
/// of scores that a fusion sums, would be too small for single precision otherwise, and so the
/// same.
const LONGEST_ABSENCE: f64 = 24.0;

impl Default for HistoryItems {
    /// The last 20 items with a decay of 0.8.
    fn default() -> Self {
        Self {
            last: 20,
            decay: 0.8,
            half_life: None,
        }
    }
}

impl HistoryItems {
    /// A history's last `count` items, the same one counted as often as it is among them, all of
    /// the same weight until there is a [decay](Self::with_decay) or a
    /// [half-life](Self::with_half_life).
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) for a count of 0.
    pub fn last(count: usize) -> Result<Self> {
        checks::at_least_one(&[("count", count)])?;
        Ok(Self {
            last: count,
            decay: 1.0,
            half_life: None,
        })
    }

    /// Each item weighs `decay` times as much as the one after it, such as 0.8: of the last 20
    /// items, so weighed, item neighbors and similar users find up to twice as much as of 20 equal
    /// ones.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) when it is not above 0 and at
    /// most 1.
    pub fn with_decay(self, decay: f64) -> Result<Self> {
        checks::decay("decay", decay)?;
        Ok(Self { decay, ..self })
    }

    /// Each item weighs half as much for every `half_life` between when it was taken and
    /// [when the user asks](crate::data::User::now), in the unit of the source, where the history
    /// has times. A user who was away for very long is taken to ask 24 half-lives after their last
    /// item, so that items still differ.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) when it is not above 0.
    pub fn with_half_life(self, half_life: f64) -> Result<Self> {
        checks::positive("half_life", half_life)?;
        let half_life = Some(half_life);
        Ok(Self { half_life, ..self })
    }

    /// Calls `found` with each item, the last one first, and its weight.
    pub(crate) fn weigh(&self, user: User<'_>, mut found: impl FnMut(ItemIndex, f32)) {
        let history = user.last(self.last);
        let now = self.half_life.zip(user.now()).map(|(half_life, now)| {
            let last = history.times().last().copied();
            last.map_or(now, |last| now.min(last + LONGEST_ABSENCE * half_life))
        });
        let mut by_place = 1.0;
        for (place, &item) in history.items().iter().enumerate().rev() {
            let by_age = match (self.half_life, now, history.times().get(place)) {
                (Some(half_life), Some(now), Some(time)) => {
                    ((time - now).min(0.0) / half_life).exp2() as f32
                }
                _ => 1.0,
            };
            // What is long past still counts more than nothing.
            found(item, (by_place * by_age).max(f32::MIN_POSITIVE));
            by_place *= self.decay as f32;
        }
    }
}

impl Path<ItemIndex> for HistoryItems {
    fn walk(&self, users: &[User<'_>]) -> Result<Vec<Vec<Reached>>> {
        let weigh = |&user: &User<'_>| {
            let mut reached: Vec<Reached> = Vec::new();
            self.weigh(user, |item, weight| {
                reached.push(Reached {
                    node: item.get(),
                    weight,
                    reason: Reason::Item(item),
                });
            });
            reached.sort_by_key(|reached| reached.node);
            reached.dedup_by(|again, first| {
                let same = again.node == first.node;
                first.weight += if same { again.weight } else { 0.0 };
                same
            });
            reached
        };
        Ok(users.iter().map(weigh).collect())
    }
}
