//! Nearest sessions.

use burn::config::Config;

use crate::data::{Catalog, History, ItemIndex, TrainingSequences};
use crate::index::{Filter, Hits};
use crate::{Result, settings};

use super::channel::RecallChannel;
use super::item_scores::best_by_scores;

/// The settings of [`SessionKnn`].
#[derive(Config, Debug, PartialEq, Eq)]
pub struct SessionKnnConfig {
    /// How many of the last sessions with an item are looked at.
    #[config(default = 500)]
    pub recent: usize,
    /// How many of the nearest sessions items are taken from.
    #[config(default = 100)]
    pub neighbours: usize,
    /// How many of a history's last items are looked at.
    #[config(default = 20)]
    pub max_len: usize,
}

/// Vector-multiplication session kNN over an index of recent sessions: sessions that share late
/// items with the history vote for their items, rare ones counting more.
///
/// Ludewig & Jannach, [V-SKNN](https://arxiv.org/abs/1803.09587), with the index of Kersbergen et
/// al., [VMIS-kNN](https://dl.acm.org/doi/10.1145/3514221.3517901).
#[derive(Debug, Clone)]
pub struct SessionKnn {
    config: SessionKnnConfig,
    /// All sessions, the latest to end first, in one array.
    items: Vec<ItemIndex>,
    sessions: Vec<usize>,
    /// Each item's sessions, the latest first, in one array.
    of_items: Vec<u32>,
    offsets: Vec<usize>,
    /// ln(sessions / sessions with the item).
    rarity: Vec<f32>,
}

impl SessionKnn {
    /// Indexes sessions.
    ///
    /// # Errors
    /// [`Error::InvalidValue`](crate::Error::InvalidValue) for a setting of 0.
    pub fn new(
        sequences: &TrainingSequences,
        catalog: &Catalog,
        config: &SessionKnnConfig,
    ) -> Result<Self> {
        settings::has_items(catalog.len())?;
        settings::at_least_one(&[
            ("recent", config.recent),
            ("neighbours", config.neighbours),
            ("max_len", config.max_len),
        ])?;
        let mut order: Vec<usize> = (0..sequences.len()).collect();
        let end = |&session: &usize| -> f64 {
            sequences
                .history(session)
                .times()
                .last()
                .copied()
                .unwrap_or(f64::NEG_INFINITY)
        };
        order.sort_by(|a, b| end(b).total_cmp(&end(a)));
        let (mut items, mut sessions) = (Vec::new(), vec![0]);
        let mut lists: Vec<Vec<u32>> = vec![Vec::new(); catalog.len() + 1];
        let mut counts = vec![0u32; catalog.len() + 1];
        for (number, &session) in order.iter().enumerate() {
            let mut distinct = sequences.get(session).to_vec();
            distinct.sort_unstable();
            distinct.dedup();
            for &item in &distinct {
                counts[item as usize] += 1;
                let list = &mut lists[item as usize];
                if list.len() < config.recent {
                    list.push(number as u32);
                }
            }
            items.extend(distinct);
            sessions.push(items.len());
        }
        let mut offsets = vec![0];
        let mut of_items = Vec::new();
        for list in lists {
            of_items.extend(list);
            offsets.push(of_items.len());
        }
        let all = order.len() as f32;
        let rarity = counts.iter().map(|&count| (all / count.max(1) as f32).ln());
        Ok(Self {
            config: config.clone(),
            items,
            sessions,
            of_items,
            offsets,
            // An item that is in every session still says a little.
            rarity: rarity.map(|rarity| rarity.max(1e-3)).collect(),
        })
    }
}

/// A session near the history at hand.
struct Near {
    session: u32,
    similarity: f32,
    /// The place of the last item that both have, counted from the history's end, from 1.
    shared: usize,
}

impl RecallChannel for SessionKnn {
    fn recall(
        &self,
        histories: &[History<'_>],
        k: usize,
        filter: Option<Filter<'_>>,
    ) -> Result<Hits> {
        best_by_scores(
            self.rarity.len() - 1,
            histories,
            k,
            filter,
            |history, scores| {
                let recent = history.last(self.config.max_len).items();
                let mut near: std::collections::HashMap<u32, Near, foldhash::fast::FixedState> =
                    std::collections::HashMap::default();
                let mut seen: Vec<ItemIndex> = Vec::new();
                for (place, &item) in recent.iter().enumerate().rev() {
                    if seen.contains(&item) {
                        continue;
                    }
                    seen.push(item);
                    let weight = (place + 1) as f32 / recent.len() as f32;
                    let range = self.offsets[item as usize]..self.offsets[item as usize + 1];
                    for &session in &self.of_items[range] {
                        let shared = recent.len() - place;
                        let near = near.entry(session).or_insert(Near {
                            session,
                            similarity: 0.0,
                            shared,
                        });
                        near.similarity += weight;
                    }
                }
                let mut near: Vec<Near> = near.into_values().collect();
                // Among equals the latest, which have the lower numbers.
                near.sort_unstable_by(|a, b| {
                    b.similarity
                        .total_cmp(&a.similarity)
                        .then(a.session.cmp(&b.session))
                });
                near.truncate(self.config.neighbours);
                for Near {
                    session,
                    similarity,
                    shared,
                } in near
                {
                    let weight = similarity * (1.0 - 0.1 * shared as f32).max(0.05);
                    let session = session as usize;
                    for &item in &self.items[self.sessions[session]..self.sessions[session + 1]] {
                        scores.add(item, weight * self.rarity[item as usize]);
                    }
                }
            },
        )
    }
}
