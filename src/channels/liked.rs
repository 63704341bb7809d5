//! What a user likes, with how much each item counts.

use std::borrow::Cow;

use crate::data::{ItemIndex, User};

/// The items that a user has nothing against, by the meaning of their events.
#[derive(Debug)]
pub(super) struct Liked<'a> {
    /// By number.
    pub(super) items: Cow<'a, [u32]>,
    /// The weight of each; empty where events have no meaning, and every one weighs 1.
    pub(super) weights: Vec<f32>,
}

impl<'a> Liked<'a> {
    /// The items of all events, in time order.
    pub(super) fn all(user: User<'a>) -> Self {
        if user.behaviors().is_none() {
            return Self {
                items: Cow::Borrowed(ItemIndex::as_numbers(user.items())),
                weights: Vec::new(),
            };
        }
        let liked = user.liked_items();
        let (items, weights): (Vec<u32>, _) =
            liked.map(|(item, weight)| (item.get(), weight)).unzip();
        Self {
            items: Cow::Owned(items),
            weights,
        }
    }

    /// Each item once, by number, with the greatest weight of its events.
    pub(super) fn distinct(user: User<'a>) -> Self {
        let mut liked: Vec<(u32, f32)> = (user.liked_items())
            .map(|(item, weight)| (item.get(), weight))
            .collect();
        liked.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(b.1.total_cmp(&a.1)));
        liked.dedup_by_key(|(item, _)| *item);
        let (items, weights): (Vec<u32>, _) = liked.into_iter().unzip();
        Self {
            items: Cow::Owned(items),
            weights,
        }
    }

    /// The items with their weights.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, f32)> + Clone {
        let weights = self.weights.iter().copied().chain(std::iter::repeat(1.0));
        self.items.iter().copied().zip(weights)
    }
}
