//! A channel for tests, which does as it is told.

use std::sync::Arc;

use seqrec::data::{ItemIndex, User};
use seqrec::index::Filter;
use seqrec::recall::{Candidate, Candidates, Reason, RecallChannel};

/// What a channel is told to say of a user.
type Said = dyn Fn(User<'_>) -> seqrec::Result<Vec<ItemIndex>> + Send + Sync;

/// A channel that does as it is told.
#[derive(Clone)]
pub struct Told(pub Arc<Said>);

impl RecallChannel for Told {
    fn recall(
        &self,
        users: &[User<'_>],
        k: usize,
        filter: Option<Filter<'_>>,
    ) -> seqrec::Result<Candidates> {
        let mut candidates = Candidates::default();
        for (row, &user) in users.iter().enumerate() {
            let passes = |item: &ItemIndex| filter.is_none_or(|filter| filter.passes(row, *item));
            let items = (self.0)(user)?.into_iter().filter(passes).take(k);
            candidates.push(items.enumerate().map(|(place, item)| Candidate {
                item,
                score: 1.0 / (place + 1) as f32,
                reason: Reason::Taste,
            }));
        }
        Ok(candidates)
    }
}
