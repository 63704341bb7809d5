//! Judging a model with its index on held-out users.

use crate::backend::Backend;
use crate::data::{Cases, Catalog, SequenceBatch};
use crate::eval::{Report, Scorer};
use crate::index::{Filter, VectorIndex};
use crate::model::SequenceRecaller;
use crate::{Error, Result};

use super::vectors::user_vectors;

/// How many cases are encoded and searched for at a time.
const BATCH: usize = 512;

/// How held-out users are judged: full ranking over the whole catalog, cut at each of some ks.
///
/// Results with seen items left out and with seen items kept can't be compared, so it is always
/// said which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evaluation {
    ks: Vec<usize>,
    exclude_seen: bool,
}

impl Evaluation {
    /// An evaluation at the cuts `ks`, in which the items of a user's history are
    /// (`exclude_seen`) or are not left out of what is recalled for him.
    pub fn new(ks: &[usize], exclude_seen: bool) -> Self {
        Self {
            ks: ks.to_vec(),
            exclude_seen,
        }
    }

    /// Checks that every cut fits a catalog, before any time is spent.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] when there is no cut, or one is 0 or above the catalog.
    pub fn check(&self, catalog: &Catalog) -> Result<()> {
        Scorer::new(catalog, &self.ks).map(|_| ())
    }

    /// The metrics of `model`, searched through `index`, on `cases`.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] when a cut is 0 or above the catalog, [`Error::NothingLeft`] when
    /// there is no case, and what the index's search gives.
    pub fn run<B: Backend, M: SequenceRecaller<B>>(
        &self,
        model: &M,
        index: &dyn VectorIndex,
        cases: &Cases,
        catalog: &Catalog,
        device: &B::Device,
    ) -> Result<Report> {
        let mut scorer = Scorer::new(catalog, &self.ks)?;
        if cases.is_empty() {
            return Err(Error::NothingLeft {
                reason: "there is no user to evaluate on".to_owned(),
            });
        }
        let k = scorer.longest();
        for start in (0..cases.len()).step_by(BATCH) {
            let batch: Vec<_> = (start..cases.len().min(start + BATCH))
                .map(|case| cases.get(case))
                .collect();
            let histories = batch.iter().map(|case| case.history);
            let histories = SequenceBatch::<B>::new(histories, model.max_len(), device)?;
            let queries = user_vectors(model, &histories);
            let interests = queries.nrows() / batch.len();
            let unseen = |query: usize, item| !batch[query / interests].history.contains(&item);
            let filter: Option<Filter<'_>> = if self.exclude_seen {
                Some(Filter::Predicate(&unseen))
            } else {
                None
            };
            let hits = index.search_interests(queries.view(), interests, k, filter)?;
            scorer.add_all(
                batch.len(),
                |case| hits.items(case),
                |case| batch[case].labels,
            );
        }
        Ok(scorer.report())
    }
}
