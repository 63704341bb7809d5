//! The items of a user as the beginning of a path.

use serde::{Deserialize, Serialize};

use crate::data::{ItemIndex, Role, User};
use crate::{Error, Result, checks};

use super::candidates::Reason;
use super::links::Reached;
use super::path::Path;

/// The beginning of a path: the items of a user's history, the later ones and the more frequent
/// ones weighing more.
///
/// By the [meaning](crate::data::Behaviors) of events, each is multiplied by the weight of its
/// event, and no disliked item is a beginning; what is near one may be
/// [lowered](Self::with_dislikes).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "HistoryItemsFile")]
pub struct HistoryItems {
    last: usize,
    decay: f64,
    half_life: Option<f64>,
    #[serde(skip_serializing_if = "is_zero")]
    dislikes: f64,
}

fn is_zero(number: &f64) -> bool {
    *number == 0.0
}

/// What may be written in a file, before it is checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HistoryItemsFile {
    last: usize,
    decay: f64,
    half_life: Option<f64>,
    #[serde(default)]
    dislikes: f64,
}

impl TryFrom<HistoryItemsFile> for HistoryItems {
    type Error = Error;

    fn try_from(file: HistoryItemsFile) -> Result<Self> {
        let items = Self::last(file.last)?.with_decay(file.decay)?;
        let items = items.with_dislikes(file.dislikes)?;
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
            dislikes: 0.0,
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
            dislikes: 0.0,
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

    /// What lies near a disliked item is lowered by a share of what it would be raised by if the
    /// item was liked, and an item that is left with nothing above 0 is not recalled. That is of
    /// paths which begin at the items themselves, as item neighbors do; similar users and preferred
    /// tags are found by what is liked alone.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) when it is below 0 or no number.
    pub fn with_dislikes(self, dislikes: f64) -> Result<Self> {
        checks::not_negative("dislikes", dislikes)?;
        Ok(Self { dislikes, ..self })
    }

    /// Calls `found` with each item that is liked, the last one first, and its weight.
    pub(crate) fn weigh(&self, user: User<'_>, mut found: impl FnMut(ItemIndex, f32)) {
        let mut by_place = 1.0;
        for place in user.liked_places().rev().take(self.last) {
            // What is long past still counts more than nothing.
            let weight = by_place * self.weight_of(user, place);
            found(user.items()[place], weight.max(f32::MIN_POSITIVE));
            by_place *= self.decay as f32;
        }
    }

    /// The weight of an item by its event and its age.
    fn weight_of(&self, user: User<'_>, place: usize) -> f32 {
        let now = self.half_life.zip(user.now()).map(|(half_life, now)| {
            let last = user.times().last().copied();
            last.map_or(now, |last| now.min(last + LONGEST_ABSENCE * half_life))
        });
        let by_age = match (self.half_life, now, user.times().get(place)) {
            (Some(half_life), Some(now), Some(time)) => {
                ((time - now).min(0.0) / half_life).exp2() as f32
            }
            _ => 1.0,
        };
        by_age * user.weight(place)
    }
}

impl Path<ItemIndex> for HistoryItems {
    fn walk(&self, users: &[User<'_>]) -> Result<Vec<Vec<Reached>>> {
        let weigh = |&user: &User<'_>| {
            let mut reached: Vec<Reached> = Vec::new();
            let mut reach = |item: ItemIndex, weight| {
                reached.push(Reached {
                    node: item.get(),
                    weight,
                    reason: Reason::Item(item),
                });
            };
            self.weigh(user, &mut reach);
            if self.dislikes > 0.0 {
                let lowered = user.disliked_items();
                let share = self.dislikes as f32;
                // By how many liked items came after it, as if it was one of them.
                let (mut later, liked) = (0, user.liked_places().collect::<Vec<_>>());
                for place in (0..user.items().len()).rev() {
                    if liked.binary_search(&place).is_ok() {
                        later += 1;
                    }
                    if later >= self.last {
                        break;
                    }
                    let item = user.items()[place];
                    if user.role(place) == Role::Negative && lowered.binary_search(&item).is_ok() {
                        let weight =
                            self.weight_of(user, place) * (self.decay as f32).powi(later as i32);
                        reach(item, -share * weight);
                    }
                }
            }
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
