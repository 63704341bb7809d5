//! Who took each item, the latest first.

use std::sync::Arc;

use crate::data::{ItemIndex, TrainingData};

use super::liked::Liked;
use crate::recall::{Links, Peer};

/// The users of each item and the items of each user.
#[derive(Debug, Clone)]
pub(super) struct TakenBy {
    /// Each item's users, those whose sequence ended last first, and no more than were asked for;
    /// weights are the greatest of each one's events with the item.
    pub users: Links<ItemIndex, Peer>,
    /// Each user's distinct items, with the same weights times their rarities.
    pub items: Arc<Links<Peer, ItemIndex>>,
    /// ln(users / users with the item) of each item.
    pub rarities: Vec<f32>,
    /// Each user's place by when their sequence ended, the latest 0.
    pub recency: Vec<u32>,
}

impl TakenBy {
    pub(super) fn new(data: &TrainingData, recent: usize) -> Self {
        let (sequences, catalog) = (data.sequences(), data.catalog());
        let end = |&user: &usize| -> f64 {
            let times = sequences.history(user).times();
            times.last().copied().unwrap_or(f64::NEG_INFINITY)
        };
        let mut order: Vec<usize> = (0..sequences.len()).collect();
        order.sort_by(|a, b| end(b).total_cmp(&end(a)));
        let mut recency = vec![0; sequences.len()];
        for (place, &user) in order.iter().enumerate() {
            recency[user] = place as u32;
        }
        let distinct = |user: usize| Liked::distinct(sequences.history(user));
        let mut lists: Vec<Vec<(u32, f32)>> = vec![Vec::new(); catalog.len() + 1];
        let mut counts = vec![0u32; catalog.len() + 1];
        for &user in &order {
            for (item, weight) in distinct(user).iter() {
                counts[item as usize] += 1;
                let list = &mut lists[item as usize];
                if list.len() < recent {
                    list.push((user as u32, weight));
                }
            }
        }
        let all = order.len() as f32;
        // An item that everyone took still says a little.
        let rarity = |&count: &u32| (all / count.max(1) as f32).ln().max(1e-3);
        let rarities: Vec<f32> = counts.iter().map(rarity).collect();
        let mut users = Links::to(sequences.len());
        for list in lists {
            users.push(list);
        }
        let mut items = Links::to(catalog.len() + 1);
        for user in 0..sequences.len() {
            let distinct = distinct(user);
            let weighed = distinct.iter();
            items.push(weighed.map(|(item, weight)| (item, weight * rarities[item as usize])));
        }
        Self {
            users,
            items: Arc::new(items),
            rarities,
            recency,
        }
    }
}
