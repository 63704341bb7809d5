//! One call, as its jobs see it.

use std::sync::Arc;

use crate::Result;
use crate::data::{ItemIndex, User};
use crate::index::{Filter, ItemSet};
use crate::recall::{Candidate, FusedCandidate, Reason};

use super::guard::guarded;
use super::request::{Because, FoundBy, Predicate, RecalledItem};
use super::serving::Serving;

/// A call, as its jobs look at it.
pub(super) struct Call {
    pub(super) serving: Arc<Serving>,
    pub(super) user: KnownUser,
    pub(super) k: usize,
    /// Items that are not to be recalled.
    pub(super) excluded: ItemSet,
    pub(super) passes: Option<Predicate>,
}

/// A [`User`] of a call, who is kept as long as its jobs run.
#[derive(Default)]
pub(super) struct KnownUser {
    pub(super) items: Vec<ItemIndex>,
    /// One for each item, or none.
    pub(super) times: Vec<f64>,
    /// How many of their items are not in the catalog.
    pub(super) unknown: usize,
    /// None where they are not known.
    pub(super) features: Vec<f32>,
    pub(super) segments: Vec<String>,
    /// When the user asks, where that is known.
    pub(super) now: Option<f64>,
}

impl KnownUser {
    fn user(&self) -> Result<User<'_>> {
        let user = if self.times.is_empty() {
            User::from(self.items.as_slice())
        } else {
            User::with_times(&self.items, &self.times)?
        };
        let user = user.with_features(&self.features);
        let user = user.in_segments(&self.segments);
        Ok(self.now.map_or(user, |now| user.at(now)))
    }

    /// Leaves the last items to channels.
    pub(super) fn keep_last(&mut self, count: usize) {
        let above = self.items.len().saturating_sub(count);
        self.items.drain(..above);
        self.times.drain(..above.min(self.times.len()));
    }
}

impl Call {
    pub(super) fn passes(&self, item: ItemIndex) -> bool {
        if self.excluded.contains(item) {
            return false;
        }
        // Padding and what is beyond the catalog have no id, whatever a channel says.
        let id = self.serving.served.data.catalog().id_of(item);
        id.is_some_and(|id| (self.passes.as_ref()).is_none_or(|passes| passes(id)))
    }

    /// What a channel gives, or why it gives nothing.
    pub(super) fn ask(&self, channel: usize) -> std::result::Result<Vec<Candidate>, String> {
        guarded(|| {
            let passes = |_: usize, item| self.passes(item);
            let filter = Some(Filter::Predicate(&passes));
            let stage = &self.serving.served.stage;
            let candidates = stage.ask(channel, &[self.user.user()?], self.k, filter)?;
            // A channel that looks at no filter is no reason to recall what does not pass.
            let list = candidates.of(0);
            Ok(list
                .filter(|candidate| self.passes(candidate.item))
                .collect())
        })
    }

    /// What fills a list up, within the indexes of the channels that are to be asked.
    pub(super) fn fill(
        &self,
        fused: &[FusedCandidate],
        asked: &[bool],
    ) -> Result<Vec<FusedCandidate>> {
        let passes = |_: usize, item| self.passes(item);
        let filter = Some(Filter::Predicate(&passes));
        let stage = &self.serving.served.stage;
        let asked = |channel: usize| asked.get(channel).is_some_and(|asked| *asked);
        let mut more = stage.fill(fused, self.user.user()?, self.k, filter, asked)?;
        let mut there: ItemSet = fused.iter().map(|fused| fused.item).collect();
        more.retain(|fused| self.passes(fused.item) && there.insert(fused.item));
        more.truncate(self.k.saturating_sub(fused.len()));
        Ok(more)
    }

    /// An item as the outside knows it.
    #[expect(
        clippy::indexing_slicing,
        reason = "there is a name for each channel, the fallback and the selection"
    )]
    pub(super) fn outside(&self, fused: FusedCandidate) -> Option<RecalledItem> {
        let data = &self.serving.served.data;
        let id = |item| data.catalog().id_of(item).cloned();
        let because = |reason| match reason {
            Reason::Popular => Because::Popular,
            Reason::Segment(place) => Because::Segment(
                self.user
                    .segments
                    .get(place as usize)
                    .cloned()
                    .unwrap_or_default(),
            ),
            Reason::Item(item) => id(item).map_or(Because::Taste, Because::Item),
            Reason::User(_) => Because::SimilarUser,
            Reason::Tag(tag) => {
                let names = data.tags().map_or(&[][..], |tags| tags.names());
                Because::Tag(names.get(tag as usize).cloned().unwrap_or_default())
            }
            Reason::Taste => Because::Taste,
        };
        let found = fused.found.into_iter().map(|found| FoundBy {
            channel: self.serving.names[found.channel].clone(),
            rank: found.rank,
            score: found.score,
            because: because(found.reason),
        });
        Some(RecalledItem {
            id: id(fused.item)?,
            score: fused.score,
            found: found.collect(),
        })
    }
}
