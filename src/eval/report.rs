//! Means over many users.

use std::collections::BTreeMap;
use std::fmt;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::metric::{Labels, Measure, Metric, PER_USER, among_first};
use crate::data::Catalog;
use crate::item::ItemIndex;
use crate::{Error, Result};

/// The metrics of a set of cases.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// How many users were judged.
    pub users: usize,
    /// How many of their labels no list can hold, since items of the history are left out and they
    /// were taken again. They count as missed.
    #[serde(default)]
    pub unreachable_labels: usize,
    values: BTreeMap<Metric, f64>,
}

impl Report {
    /// A metric's value, if it was measured.
    pub fn get(&self, metric: Metric) -> Option<f64> {
        self.values.get(&metric).copied()
    }

    /// recall@k, if it was measured.
    pub fn recall(&self, k: usize) -> Option<f64> {
        self.get(Metric::recall(k).ok()?)
    }

    /// ndcg@k, if it was measured.
    pub fn ndcg(&self, k: usize) -> Option<f64> {
        self.get(Metric::ndcg(k).ok()?)
    }

    /// hit_rate@k, if it was measured.
    pub fn hit_rate(&self, k: usize) -> Option<f64> {
        self.get(Metric::hit_rate(k).ok()?)
    }

    /// The metrics as a table of CSV: a line of names, `users` first, and a line of values. As JSON
    /// they are written by serde.
    pub fn to_csv(&self) -> String {
        let names = self.iter().map(|(metric, _)| format!(",{metric}"));
        let values = self.iter().map(|(_, value)| format!(",{value}"));
        let (names, values): (String, String) = (names.collect(), values.collect());
        format!("users{names}\n{}{values}\n", self.users)
    }

    /// All metrics with their values: by measure, then by k.
    pub fn iter(&self) -> impl Iterator<Item = (Metric, f64)> + '_ {
        self.values.iter().map(|(&metric, &value)| (metric, value))
    }
}

impl<'a> IntoIterator for &'a Report {
    type Item = (Metric, f64);
    type IntoIter = Box<dyn Iterator<Item = Self::Item> + 'a>;

    fn into_iter(self) -> Self::IntoIter {
        Box::new(self.iter())
    }
}

/// A table of measures by cuts:
///
/// ```text
/// 610 users              @10      @50
/// recall              0.1022   0.2830
/// ndcg                0.0484   0.0873
/// ```
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut ks: Vec<usize> = self.values.keys().map(|metric| metric.k()).collect();
        ks.sort_unstable();
        ks.dedup();
        let users = match self.users {
            1 => "1 user".to_owned(),
            users => format!("{users} users"),
        };
        write!(f, "{users:<20}")?;
        for k in &ks {
            write!(f, " {:>8}", format!("@{k}"))?;
        }
        let mut measure = "";
        for (metric, _) in self {
            if metric.measure_name() == measure {
                continue;
            }
            measure = metric.measure_name();
            write!(f, "\n{measure:<20}")?;
            for &k in &ks {
                match metric.at(k).and_then(|metric| self.get(metric)) {
                    Some(value) if value >= 100.0 => write!(f, " {value:>8.1}")?,
                    Some(value) => write!(f, " {value:>8.4}")?,
                    None => write!(f, " {:>8}", "-")?,
                }
            }
        }
        match self.unreachable_labels {
            0 => Ok(()),
            labels => write!(
                f,
                "\n{labels} labels can't be found: their items are in the history, and left out"
            ),
        }
    }
}

/// Adds up the measures of ranked lists.
///
/// ```
/// use seqrec::data::{Catalog, ItemIndex};
/// use seqrec::eval::Scorer;
///
/// let catalog = Catalog::from_ids(["a", "b", "c"].map(Into::into))?;
/// let mut scorer = Scorer::new(&catalog, &[2])?;
/// let [a, b, c] = [1, 2, 3].map(ItemIndex::new);
/// scorer.add(&[a, b], &[b, c]);
/// let report = scorer.report();
/// assert_eq!(report.recall(2), Some(0.5));
/// assert_eq!(report.get("mrr@2".parse()?), Some(0.5));
/// println!("{report}"); // a table of measures by cuts
/// assert!(report.to_csv().starts_with("users,recall@2,"));
/// # Ok::<(), seqrec::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Scorer<'a> {
    catalog: &'a Catalog,
    ks: Vec<usize>,
    users: usize,
    unreachable_labels: usize,
    /// For each k, the sums of the measures in [`PER_USER`]'s order.
    sums: Vec<[f64; PER_USER.len()]>,
    /// For each k, the items that were recalled for anyone.
    recalled: Vec<Vec<bool>>,
    /// For each k, the summed popularity of recalled items and their number.
    popularity: Vec<(u64, u64)>,
}

/// The measures of one user's list at each of the cuts, of which `longest` is the largest; whether
/// the user has labels, and so counts. `sorted` is room for the labels.
fn measure(
    ranked: &[ItemIndex],
    labels: &[ItemIndex],
    (ks, longest): (&[usize], usize),
    sorted: &mut Labels,
    measured: &mut [[f64; PER_USER.len()]],
) -> bool {
    sorted.set(labels);
    let labels = sorted.len();
    let hits = sorted.find(ranked, longest);
    for (measured, &k) in measured.iter_mut().zip(ks) {
        let hits = among_first(hits, k);
        for (value, (_, measure)) in measured.iter_mut().zip(PER_USER) {
            *value = measure(hits, labels, k);
        }
    }
    labels > 0
}

impl<'a> Scorer<'a> {
    /// Measures at each of the cuts `ks`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) when there is no cut, or one is
    /// 0 or above the catalog.
    pub fn new(catalog: &'a Catalog, ks: &[usize]) -> Result<Self> {
        if ks.is_empty() {
            return Err(Error::invalid("k", "empty", "at least one cut is needed"));
        }
        for &k in ks {
            check_k(k, catalog)?;
        }
        Ok(Self {
            catalog,
            ks: ks.to_vec(),
            users: 0,
            unreachable_labels: 0,
            sums: vec![[0.0; PER_USER.len()]; ks.len()],
            recalled: vec![vec![false; catalog.len() + 1]; ks.len()],
            popularity: vec![(0, 0); ks.len()],
        })
    }

    /// The largest cut.
    pub fn longest(&self) -> usize {
        self.ks.iter().copied().max().unwrap_or(0)
    }

    /// Judges one user's ranked list, best first. An item or a label that comes twice counts once;
    /// an item that is not in the catalog takes a place and is worth nothing; a user without labels
    /// is ignored.
    pub fn add(&mut self, ranked: &[ItemIndex], labels: &[ItemIndex]) {
        let mut measured = vec![[0.0; PER_USER.len()]; self.ks.len()];
        let ks = (&*self.ks, self.longest());
        let counts = measure(ranked, labels, ks, &mut Labels::default(), &mut measured);
        if counts {
            self.count(ranked, &measured);
        }
    }

    /// Judges many users' lists on all threads: for each of `0..users` their `ranked` list and
    /// their `labels`. The sums are made in order, so that they are the same bits on any number of
    /// threads.
    pub fn add_all<'l>(
        &mut self,
        users: usize,
        ranked: impl Fn(usize) -> &'l [ItemIndex] + Sync,
        labels: impl Fn(usize) -> &'l [ItemIndex] + Sync,
    ) {
        let ks = (&*self.ks, self.longest());
        let mut measured = vec![[0.0; PER_USER.len()]; users * self.ks.len()];
        let counts: Vec<bool> = measured
            .par_chunks_mut(self.ks.len())
            .enumerate()
            .map_init(Labels::default, |sorted, (user, measured)| {
                measure(ranked(user), labels(user), ks, sorted, measured)
            })
            .collect();
        let users = measured.chunks_exact(self.ks.len()).zip(counts);
        for (user, (measured, counts)) in users.enumerate() {
            if counts {
                self.count(ranked(user), measured);
            }
        }
    }

    fn count(&mut self, ranked: &[ItemIndex], measured: &[[f64; PER_USER.len()]]) {
        self.users += 1;
        for (place, &k) in self.ks.iter().enumerate() {
            for (sum, value) in self.sums[place].iter_mut().zip(measured[place]) {
                *sum += value;
            }
            for &item in ranked.iter().take(k) {
                let recalled = self.recalled[place].get_mut(item.to_usize());
                let count = self.catalog.counts().get(item.to_usize());
                if let (Some(recalled), Some(count)) = (recalled, count) {
                    *recalled = true;
                    self.popularity[place].0 += count;
                    self.popularity[place].1 += 1;
                }
            }
        }
    }

    /// Counts labels that no list can hold; see [`Report::unreachable_labels`].
    pub fn add_unreachable(&mut self, labels: usize) {
        self.unreachable_labels += labels;
    }

    /// The means so far; all 0 when no user was judged.
    pub fn report(&self) -> Report {
        let mut values = BTreeMap::new();
        let users = self.users.max(1) as f64;
        for (place, &k) in self.ks.iter().enumerate() {
            let mut set = |measure, value| {
                let metric = Metric::new(measure, k).expect("cuts were checked");
                values.insert(metric, value);
            };
            for ((measure, _), sum) in PER_USER.into_iter().zip(self.sums[place]) {
                set(measure, sum / users);
            }
            let recalled = self.recalled[place]
                .iter()
                .filter(|&&recalled| recalled)
                .count();
            set(
                Measure::Coverage,
                recalled as f64 / self.catalog.len() as f64,
            );
            let (sum, count) = self.popularity[place];
            set(Measure::MeanPopularity, sum as f64 / count.max(1) as f64);
        }
        Report {
            users: self.users,
            unreachable_labels: self.unreachable_labels,
            values,
        }
    }
}

/// Refuses a cut of 0 or above the catalog.
pub(crate) fn check_k(k: usize, catalog: &Catalog) -> Result<()> {
    if k == 0 || k > catalog.len() {
        let reason = format!(
            "must be at least 1 and at most {}, the number of items of the catalog",
            catalog.len()
        );
        return Err(Error::invalid("k", k, reason));
    }
    Ok(())
}
