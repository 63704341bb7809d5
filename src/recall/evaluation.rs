//! Evaluating what channels recall for held-out users.

use crate::data::{Catalog, Seen, Spans, User};
use crate::eval::{Comparison, NamedReport, Report, Scorer};
use crate::index::Filter;
use crate::{ErrorKind, Result};

use super::channel::{RecallChannel, recall_of_catalog};
use super::nearest::BATCH;
use super::seen::is_seen;

/// How held-out users are evaluated: full ranking over the whole catalog, cut at each of some ks.
///
/// Results with seen items left out and with seen items kept can't be compared, so it is always
/// said which.
///
/// ```
/// use seqrec::channels::Popularity;
/// use seqrec::data::synthetic::Synthetic;
/// use seqrec::prelude::*;
///
/// let log = Synthetic::new().with_users(80).with_items(60).generate()?;
/// let split = Split::new(&Dataset::new(log, Filters::default())?, Protocol::LeaveOneOut)?;
/// let evaluation = Evaluation::new(&[10], Seen::Exclude);
/// let popular = Popularity::new(split.catalog());
/// println!("{}", evaluation.run(&popular, &split.test, split.catalog())?);
///
/// // A model and an index of its items are a channel, too.
/// let model = Gru4RecConfig::new().init::<Flex>(split.catalog().len(), 1, &Default::default())?;
/// let index = FlatIndex::new(&item_vectors(&model))?;
/// let channel = VectorChannel::from_model(model, index);
/// println!("{}", evaluation.run(&channel, &split.test, split.catalog())?);
/// # Ok::<(), seqrec::Error>(())
/// ```
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
    /// [`ErrorKind::InvalidValue`] when there is no cut, or one is 0 or above the catalog.
    pub fn validate(&self, catalog: &Catalog) -> Result<()> {
        Scorer::new(catalog, &self.ks).map(|_| ())
    }

    /// The metrics of a channel on `cases`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`] when a cut is 0 or above the catalog, or the cases are of a data
    /// set with another catalog, of which [`Spans::for_catalog`] makes cases of this one;
    /// [`ErrorKind::InvalidValue`] or [`ErrorKind::Shape`] when the channel is
    /// [of another catalog](RecallChannel::check_catalog), [`ErrorKind::NothingLeft`]
    /// when there is no case, and the channel's own errors.
    pub fn run(
        &self,
        channel: &dyn RecallChannel,
        cases: &Spans,
        catalog: &Catalog,
    ) -> Result<Report> {
        channel.check_catalog(catalog)?;
        cases.check_catalog(catalog)?;
        let mut scorer = Scorer::new(catalog, &self.ks)?;
        if cases.is_empty() {
            return Err(ErrorKind::NothingLeft {
                reason: "there is no user to evaluate on".to_owned(),
            }
            .into());
        }
        let k = scorer.longest();
        for start in (0..cases.len()).step_by(BATCH) {
            let range = start..cases.len().min(start + BATCH);
            let batch: Vec<_> = range.map(|case| cases.get(case)).collect();
            let users: Vec<User<'_>> = batch.iter().map(|case| case.user).collect();
            let seen = is_seen(&users, self.seen);
            let unseen = |row, item| !seen(row, item);
            let filter = (self.seen.is_excluded()).then_some(Filter::Predicate(&unseen));
            let found = recall_of_catalog(channel, catalog, &users, k, filter)?;
            let unreachable = batch.iter().enumerate().map(|(row, case)| {
                let labels = case.labels.iter();
                labels.filter(|&&label| seen(row, label)).count()
            });
            scorer.add_unreachable(unreachable.sum());
            scorer.add_all(
                batch.len(),
                |case| found.items(case),
                |case| batch[case].labels,
            );
        }
        Ok(scorer.report())
    }
    /// The metrics of several channels, by name, on the same cases: of a model beside
    /// [baselines](crate::channels::baselines).
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn compare<C: RecallChannel>(
        &self,
        channels: &[(&str, C)],
        cases: &Spans,
        catalog: &Catalog,
    ) -> Result<Comparison> {
        let measure = |(name, channel): &(&str, C)| {
            let (name, report) = ((*name).to_owned(), self.run(channel, cases, catalog)?);
            Ok(NamedReport { name, report })
        };
        let reports = channels.iter().map(measure).collect::<Result<_>>()?;
        Ok(Comparison { reports })
    }
}
