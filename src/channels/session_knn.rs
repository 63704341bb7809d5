//! Nearest sessions.

use std::sync::Arc;

use crate::data::{ItemIndex, TrainingData, User};
use crate::index::Filter;
use crate::settings::settings;
use crate::{Result, checks};

use super::taken_by::TakenBy;
use crate::recall::{
    Candidates, ChannelConfig, ChannelSource, NodePlaces, Reason, RecallChannel, best_by_scores,
};

settings! {
    /// The settings of nearest sessions (vector-multiplication session kNN over an index of recent
    /// sessions): sessions that share late items with the history vote for their items, rare ones
    /// counting more. The defaults were chosen on validation splits (docs/benchmarks.md).
    ///
    /// Ludewig & Jannach, [V-SKNN](https://arxiv.org/abs/1803.09587), with the index of Kersbergen
    /// et al., [VMIS-kNN](https://dl.acm.org/doi/10.1145/3514221.3517901).
    ///
    /// By the [meaning](crate::data::Behaviors) of events, an item that is shared counts the
    /// product of the greatest weights of both sides' events with it, and an item voted for the
    /// greatest of the session's. Disliked items are on neither side.
    #[derive(Eq)]
    #[serde(deny_unknown_fields)]
    pub struct SessionKnnConfig {
        /// How many of the latest sessions with an item are considered.
        pub recent: usize = 1_000, with_recent;
        /// How many of the nearest sessions items are taken from.
        pub neighbors: usize = 500, with_neighbors;
        /// How many of a history's last items are used.
        pub max_len: usize = 5, with_max_len;
    }
}

struct SessionKnn {
    config: SessionKnnConfig,
    taken_by: TakenBy,
}

impl SessionKnnConfig {
    /// Indexes sessions.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) for a setting of 0.
    pub fn fit(&self, data: &TrainingData) -> Result<impl RecallChannel + use<>> {
        checks::at_least_one(&[
            ("recent", self.recent),
            ("neighbors", self.neighbors),
            ("max_len", self.max_len),
        ])?;
        Ok(SessionKnn {
            config: self.clone(),
            taken_by: TakenBy::new(data, self.recent),
        })
    }
}

#[typetag::serde(name = "session_knn")]
impl ChannelConfig for SessionKnnConfig {
    fn build(&self, from: &mut ChannelSource<'_>) -> Result<Arc<dyn RecallChannel>> {
        Ok(Arc::new(self.fit(from.data)?))
    }
}

/// How much less a session counts for each place that the last shared item lies further back.
const LESS_PER_PLACE: f32 = 0.1;
/// The least that a session counts, however far back that item lies.
const LEAST: f32 = 0.05;

/// A session near the history at hand.
struct NearSession {
    session: u32,
    similarity: f32,
    recency: u32,
    /// The place of the last item that both have, counted from the history's end, from 1.
    shared: usize,
}

impl NearSession {
    /// More similar sessions first, and the latest among equals.
    fn rank(&self) -> (u32, u32) {
        // The bits of positive numbers are in the numbers' order.
        (!self.similarity.to_bits(), self.recency)
    }
}

impl RecallChannel for SessionKnn {
    fn recall(
        &self,
        users: &[User<'_>],
        k: usize,
        filter: Option<Filter<'_>>,
    ) -> Result<Candidates> {
        let TakenBy {
            users: sessions,
            items,
            recency,
            ..
        } = &self.taken_by;
        best_by_scores(items.nodes() - 1, users, k, filter, |user, scores| {
            let liked: Vec<(ItemIndex, f32)> = user.liked_items().collect();
            let recent = &liked[liked.len().saturating_sub(self.config.max_len)..];
            let mut places = NodePlaces::new(items.len());
            let mut near: Vec<NearSession> = Vec::new();
            let mut seen: Vec<ItemIndex> = Vec::new();
            for (place, &(item, _)) in recent.iter().enumerate().rev() {
                if seen.contains(&item) {
                    continue;
                }
                seen.push(item);
                let of_item = recent.iter().filter(|(other, _)| *other == item);
                let greatest = of_item.fold(0.0f32, |most, (_, weight)| most.max(*weight));
                let weight = greatest * ((place + 1) as f32 / recent.len() as f32);
                let (with_item, weights) = sessions.of(item.get());
                for (&session, of_session) in with_item.iter().zip(weights) {
                    let (at, new) = places.get_or_insert(session, near.len());
                    if new {
                        near.push(NearSession {
                            session,
                            similarity: 0.0,
                            recency: recency[session as usize],
                            shared: recent.len() - place,
                        });
                    }
                    near[at].similarity += weight * of_session;
                }
            }
            places.forget(near.iter().map(|near| near.session));
            if self.config.neighbors < near.len() {
                near.select_nth_unstable_by_key(self.config.neighbors, NearSession::rank);
                near.truncate(self.config.neighbors);
            }
            near.sort_unstable_by_key(NearSession::rank);
            for NearSession {
                session,
                similarity,
                shared,
                ..
            } in near
            {
                let weight = similarity * (1.0 - LESS_PER_PLACE * shared as f32).max(LEAST);
                let (items, votes) = items.of(session);
                for (&item, &vote) in items.iter().zip(votes) {
                    scores.add(item, weight * vote, Reason::User(session));
                }
            }
        })
    }
}
