//! Judging what is recalled for held-out users.

use crate::backend::Backend;
use crate::data::{Cases, Catalog, ItemIndex, Seen, User};
use crate::eval::{Report, Scorer};
use crate::index::{Filter, Hits, VectorIndex};
use crate::model::SequenceRecaller;
use crate::{Error, Result};

use super::encoder::encode_by_model;
use super::nearest::nearest_items;
use super::vectors::check_items;

/// How many cases are encoded and searched for at a time.
const BATCH: usize = 512;

/// How held-out users are judged: full ranking over the whole catalog, cut at each of some ks.
///
/// Results with seen items left out and with seen items kept can't be compared, so it is always
/// said which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evaluation {
    ks: Vec<usize>,
    seen: Seen,
}

impl Evaluation {
    /// An evaluation at the cuts `ks`.
    pub fn new(ks: &[usize], seen: Seen) -> Self {
        let ks = ks.to_vec();
        Self { ks, seen }
    }

    /// Checks that every cut fits a catalog, before any time is spent.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] when there is no cut, or one is 0 or above the catalog.
    pub fn validate(&self, catalog: &Catalog) -> Result<()> {
        Scorer::new(catalog, &self.ks).map(|_| ())
    }

    /// The metrics of `model`, searched through `index`, on `cases`.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] when a cut is 0 or above the catalog, [`Error::Shape`] when the model
    /// is of another number of items, [`Error::NothingLeft`] when there is no case, and what the
    /// index's search gives.
    pub fn run<B: Backend, M: SequenceRecaller<B>>(
        &self,
        model: &M,
        index: &dyn VectorIndex,
        cases: &Cases,
        catalog: &Catalog,
        device: &B::Device,
    ) -> Result<Report> {
        check_items(model, catalog)?;
        self.judge(cases, catalog, |histories, k, filter| {
            let encode = |histories: &[User<'_>]| encode_by_model(model, device, histories);
            nearest_items(encode, index, catalog.len(), histories, k, filter)
        })
    }

    /// The metrics of what `recall` gives for each of some histories.
    pub(crate) fn judge(
        &self,
        cases: &Cases,
        catalog: &Catalog,
        recall: impl Fn(&[User<'_>], usize, Option<Filter<'_>>) -> Result<Hits>,
    ) -> Result<Report> {
        let mut scorer = Scorer::new(catalog, &self.ks)?;
        if cases.is_empty() {
            return Err(Error::NothingLeft {
                reason: "there is no user to evaluate on".to_owned(),
            });
        }
        let k = scorer.longest();
        for start in (0..cases.len()).step_by(BATCH) {
            let range = start..cases.len().min(start + BATCH);
            let batch: Vec<_> = range.clone().map(|case| cases.get(case)).collect();
            let histories: Vec<_> = range.map(|case| cases.get(case).user).collect();
            let seen = match self.seen {
                Seen::Exclude => batch.iter().map(|case| sorted(case.user.items())).collect(),
                Seen::Keep => Vec::new(),
            };
            let is_seen = |row: usize, item: &ItemIndex| seen[row].binary_search(item).is_ok();
            let unseen = |row: usize, item: ItemIndex| !is_seen(row, &item);
            let unseen: Filter<'_> = Filter::Predicate(&unseen);
            let filter = self.seen.is_excluded().then_some(unseen);
            let hits = recall(&histories, k, filter)?;
            if self.seen.is_excluded() {
                let unreachable = batch.iter().enumerate().map(|(row, case)| {
                    let labels = case.labels.iter();
                    labels.filter(|label| is_seen(row, label)).count()
                });
                scorer.add_unreachable(unreachable.sum());
            }
            scorer.add_all(
                batch.len(),
                |case| hits.items(case),
                |case| batch[case].labels,
            );
        }
        Ok(scorer.report())
    }
}

/// A history to look items up in, which may be long.
pub(crate) fn sorted(history: &[ItemIndex]) -> Vec<ItemIndex> {
    let mut items = history.to_vec();
    items.sort_unstable();
    items
}
