//! Measures of one ranked list, and their names.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::item::ItemIndex;
use crate::{Error, Result};

/// What is measured, apart from the cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Measure {
    /// [`recall_at`].
    Recall,
    /// [`ndcg_at`].
    Ndcg,
    /// [`hit_rate_at`].
    HitRate,
    /// [`reciprocal_rank_at`], whose mean is the MRR.
    Mrr,
    /// [`average_precision_at`], whose mean is the MAP.
    Map,
    /// [`precision_at`].
    Precision,
    /// The share of the catalog that is recalled for anyone.
    Coverage,
    /// How often the recalled items were taken in training, on average.
    MeanPopularity,
    /// [`label_position_ndcg_at`], which is not the NDCG.
    LabelPositionNdcg,
}

impl Measure {
    /// All measures, in the order of reports.
    pub const ALL: [Self; 9] = [
        Self::Recall,
        Self::Ndcg,
        Self::HitRate,
        Self::Mrr,
        Self::Map,
        Self::Precision,
        Self::Coverage,
        Self::MeanPopularity,
        Self::LabelPositionNdcg,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Recall => "recall",
            Self::Ndcg => "ndcg",
            Self::HitRate => "hit_rate",
            Self::Mrr => "mrr",
            Self::Map => "map",
            Self::Precision => "precision",
            Self::Coverage => "coverage",
            Self::MeanPopularity => "mean_popularity",
            Self::LabelPositionNdcg => "label_position_ndcg",
        }
    }
}

/// A measure with its cut, written as in `recall@50`.
///
/// ```
/// use seqrec::eval::{Measure, Metric};
///
/// let metric: Metric = "ndcg@10".parse()?;
/// assert_eq!((metric.measure(), metric.k()), (Measure::Ndcg, 10));
/// assert_eq!(metric.to_string(), "ndcg@10");
/// # Ok::<(), seqrec::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Metric {
    measure: Measure,
    k: usize,
}

impl Metric {
    /// A measure over the first `k` items.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] for a k of 0.
    pub fn new(measure: Measure, k: usize) -> Result<Self> {
        if k == 0 {
            return Err(Error::invalid("k", 0, "must be at least 1"));
        }
        Ok(Self { measure, k })
    }

    /// The recall of the first k: see [`recall_at`].
    ///
    /// # Errors
    /// [`Error::InvalidValue`] for a k of 0.
    pub fn recall(k: usize) -> Result<Self> {
        Self::new(Measure::Recall, k)
    }

    /// The NDCG of the first k: see [`ndcg_at`].
    ///
    /// # Errors
    /// [`Error::InvalidValue`] for a k of 0.
    pub fn ndcg(k: usize) -> Result<Self> {
        Self::new(Measure::Ndcg, k)
    }

    /// The hit rate of the first k: see [`hit_rate_at`].
    ///
    /// # Errors
    /// [`Error::InvalidValue`] for a k of 0.
    pub fn hit_rate(k: usize) -> Result<Self> {
        Self::new(Measure::HitRate, k)
    }

    /// What is measured.
    pub fn measure(self) -> Measure {
        self.measure
    }

    /// Over how many items.
    pub fn k(self) -> usize {
        self.k
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.measure.name(), self.k)
    }
}

impl FromStr for Metric {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let unknown = || {
            let names = Measure::ALL.map(Measure::name).join(", ");
            Error::invalid(
                "metric",
                text,
                format!("must be NAME@K with a name of {names}"),
            )
        };
        let (name, k) = text.split_once('@').ok_or_else(unknown)?;
        let measure = Measure::ALL
            .into_iter()
            .find(|measure| measure.name() == name);
        Self::new(
            measure.ok_or_else(unknown)?,
            k.parse().map_err(|_| unknown())?,
        )
    }
}

impl TryFrom<String> for Metric {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Metric> for String {
    fn from(metric: Metric) -> Self {
        metric.to_string()
    }
}

/// The ranks, counted from 0, at which one of the labels stands among the first `k`.
fn hit_ranks<'a>(
    ranked: &'a [ItemIndex],
    labels: &'a [ItemIndex],
    k: usize,
) -> impl Iterator<Item = usize> + 'a {
    let first = ranked.iter().take(k).enumerate();
    first
        .filter(|(rank, item)| labels.contains(item) && !ranked[..*rank].contains(item))
        .map(|(rank, _)| rank)
}

/// What a hit at a rank counted from 0 is worth in a discounted gain.
fn discount(rank: usize) -> f64 {
    1.0 / (rank as f64 + 2.0).log2()
}

/// The share of the labels that is among the first `k`.
///
/// This and all measures here take `ranked` best first, where an item that comes again is no second
/// hit, and `labels` without repeats and not empty.
pub fn recall_at(ranked: &[ItemIndex], labels: &[ItemIndex], k: usize) -> f64 {
    hit_ranks(ranked, labels, k).count() as f64 / labels.len() as f64
}

/// The share of the first `k` places that hold a label.
pub fn precision_at(ranked: &[ItemIndex], labels: &[ItemIndex], k: usize) -> f64 {
    hit_ranks(ranked, labels, k).count() as f64 / k as f64
}

/// 1 if any label is among the first `k`, else 0.
pub fn hit_rate_at(ranked: &[ItemIndex], labels: &[ItemIndex], k: usize) -> f64 {
    f64::from(u8::from(hit_ranks(ranked, labels, k).next().is_some()))
}

/// The normalized discounted cumulative gain: `Σ 1 / log2(rank + 2)` over hits, ranks counted
/// from 0, divided by the same sum for the ideal list, which has `min(k, labels)` hits in front.
///
/// Järvelin & Kekäläinen, "Cumulated gain-based evaluation of IR techniques" (2002).
pub fn ndcg_at(ranked: &[ItemIndex], labels: &[ItemIndex], k: usize) -> f64 {
    let gain: f64 = hit_ranks(ranked, labels, k).map(discount).sum();
    let ideal: f64 = (0..k.min(labels.len())).map(discount).sum();
    gain / ideal
}

/// `1 / rank` of the first hit, ranks counted from 1; 0 without one.
pub fn reciprocal_rank_at(ranked: &[ItemIndex], labels: &[ItemIndex], k: usize) -> f64 {
    let first = hit_ranks(ranked, labels, k).next();
    first.map_or(0.0, |rank| 1.0 / (rank as f64 + 1.0))
}

/// The mean of the precisions at each hit's rank, over `min(k, labels)`.
pub fn average_precision_at(ranked: &[ItemIndex], labels: &[ItemIndex], k: usize) -> f64 {
    let precision = |(before, rank): (usize, usize)| (before as f64 + 1.0) / (rank as f64 + 1.0);
    let sum: f64 = hit_ranks(ranked, labels, k)
        .enumerate()
        .map(precision)
        .sum();
    sum / k.min(labels.len()) as f64
}

/// A figure that a widely copied tutorial prints as "NDCG": a found label is discounted by its
/// place among the labels rather than by its rank, and the ideal counts only the found ones.
///
/// It says nothing about the order of what was recalled, and is here to be compared with tables
/// that report it. Use [`ndcg_at`] for everything else.
pub fn label_position_ndcg_at(ranked: &[ItemIndex], labels: &[ItemIndex], k: usize) -> f64 {
    let first = &ranked[..k.min(ranked.len())];
    let found = labels
        .iter()
        .enumerate()
        .filter(|(_, label)| first.contains(label));
    let (mut gain, mut ideal) = (0.0, 0.0);
    for (hits, (place, _)) in found.enumerate() {
        gain += discount(place);
        ideal += discount(hits);
    }
    if ideal == 0.0 { 0.0 } else { gain / ideal }
}
