//! One call, as its jobs see it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tracing::debug_span;

use crate::Result;
use crate::data::ItemIndex;
use crate::index::ItemSet;
use crate::recall::recalled::RecalledItem;
use crate::recall::{Asked, Candidate, CatalogItems, FusedCandidate, IdNames};

use super::guard::guarded;
use super::serving::Serving;

/// A call, as its jobs look at it.
pub(super) struct Call {
    pub(super) serving: Arc<Serving>,
    pub(super) asked: Asked,
    pub(super) items: Option<Arc<CatalogItems>>,
}

impl Call {
    fn passes(&self, item: ItemIndex) -> bool {
        self.asked.passes(self.serving.data().catalog(), item)
    }

    /// Refuses an empty answer to a request that lets no item of the catalog pass. A predicate that
    /// panics has made its channels fail, which is told of them.
    pub(super) fn check_empty(&self) -> Result<()> {
        let catalog = self.serving.data().catalog();
        let check = || self.asked.check_empty(catalog);
        catch_unwind(AssertUnwindSafe(check)).unwrap_or(Ok(()))
    }

    /// What a channel gives, or why it gives nothing.
    pub(super) fn ask(&self, channel: usize) -> std::result::Result<Vec<Candidate>, String> {
        let (name, version) = (self.serving.names.get(channel), self.serving.version);
        let _span = debug_span!("channel", name = name.map(|name| &**name), version).entered();
        guarded(|| {
            let passes = |_: usize, item| self.passes(item);
            let filter = Some(self.asked.filter(&passes));
            let (stage, user) = (&self.serving.served.stage, self.asked.user.user()?);
            let candidates = stage.ask(channel, &[user], self.asked.k, filter)?;
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
        let filter = Some(self.asked.filter(&passes));
        let (stage, user, k) = (
            &self.serving.served.stage,
            self.asked.user.user()?,
            self.asked.k,
        );
        let asked = |channel: usize| asked.get(channel).is_some_and(|asked| *asked);
        let mut more = stage.fill(fused, user, k, filter, asked)?;
        let mut there: ItemSet = fused.iter().map(|fused| fused.item).collect();
        more.retain(|fused| self.passes(fused.item) && there.insert(fused.item));
        more.truncate(k.saturating_sub(fused.len()));
        Ok(more)
    }

    /// The items as the outside knows them.
    pub(super) fn outside(&self, fused: Vec<FusedCandidate>) -> Vec<RecalledItem> {
        let data = self.serving.data();
        let names = IdNames {
            catalog: data.catalog(),
            items: self.items.as_ref().map(|items| &*items.items),
            channels: &self.serving.names,
            segments: &self.asked.user.segments,
            tags: data.tags().map_or(&[][..], |tags| tags.names()),
        };
        let item = |fused: FusedCandidate| names.item(fused.item, fused.score, fused.found);
        fused.into_iter().filter_map(item).collect()
    }
}
