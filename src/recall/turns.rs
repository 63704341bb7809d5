//! Channels that take turns.

use crate::data::ItemIndex;

use super::candidates::Candidate;
use super::channel_weight::ChannelWeight;

/// Channels that take turns.
pub(super) struct Turns<'a> {
    lists: &'a [(&'a [Candidate], ChannelWeight)],
    /// How far each list was gone through.
    next: Vec<usize>,
    taken: foldhash::HashSet<ItemIndex>,
    chosen: Vec<(ItemIndex, f32)>,
}

impl<'a> Turns<'a> {
    pub(super) fn new(lists: &'a [(&'a [Candidate], ChannelWeight)]) -> Self {
        Self {
            lists,
            next: vec![0; lists.len()],
            taken: foldhash::HashSet::default(),
            chosen: Vec::new(),
        }
    }

    /// Takes a channel's next item that is new; whether there was one.
    fn take(&mut self, channel: usize) -> bool {
        while let Some(candidate) = self.lists[channel].0.get(self.next[channel]) {
            self.next[channel] += 1;
            if self.taken.insert(candidate.item) {
                let score = 1.0 / (self.chosen.len() + 1) as f32;
                self.chosen.push((candidate.item, score));
                return true;
            }
        }
        false
    }

    pub(super) fn snake(mut self, k: usize) -> Vec<(ItemIndex, f32)> {
        let mut order: Vec<usize> = (0..self.lists.len()).collect();
        let mut any = true;
        while any && self.chosen.len() < k {
            any = false;
            for &channel in &order {
                if self.chosen.len() < k {
                    any |= self.take(channel);
                }
            }
            order.reverse();
        }
        self.chosen
    }

    pub(super) fn by_quota(mut self, k: usize) -> Vec<(ItemIndex, f32)> {
        let mut given = vec![0; self.lists.len()];
        let mut at_end = vec![false; self.lists.len()];
        while self.chosen.len() < k {
            // Whose quota is filled least, the first of equals.
            let open = (0..self.lists.len()).filter(|&channel| {
                !at_end[channel] && given[channel] < self.lists[channel].1.quota
            });
            let filled = |&channel: &usize| {
                (given[channel] as f64 + 0.5) / self.lists[channel].1.quota as f64
            };
            let Some(channel) = open.min_by(|a, b| filled(a).total_cmp(&filled(b))) else {
                break;
            };
            if self.take(channel) {
                given[channel] += 1;
            } else {
                at_end[channel] = true;
            }
        }
        self.snake(k)
    }
}
