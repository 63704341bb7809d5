//! Measures of one ranked list, and their names.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::item::ItemIndex;
use crate::{Error, Result};

/// What is measured, apart from the cut. [`Metric`] says of each what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Measure {
    Recall,
    Ndcg,
    HitRate,
    Mrr,
    Map,
    Precision,
    Coverage,
    MeanPopularity,
    LabelPositionNdcg,
}

impl Measure {
    /// All measures, in the order of reports.
    const ALL: [Self; 9] = [
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

/// A measure over the first k items of a list, written as in `recall@50`.
///
/// Most are means over users:
///
/// - `recall`: the share of the labels that is recalled.
/// - `ndcg`: the normalized discounted cumulative gain, `Σ 1 / log2(rank + 2)` over hits, ranks
///   counted from 0, divided by the same sum for the ideal list, which has `min(k, labels)` hits in
///   front. Järvelin & Kekäläinen, "Cumulated gain-based evaluation of IR techniques" (2002).
/// - `hit_rate`: 1 if any label is recalled, else 0.
/// - `mrr`: the reciprocal rank, `1 / rank` of the first hit, ranks counted from 1; 0 without one.
/// - `map`: the average precision, the mean of the precisions at each hit's rank, over
///   `min(k, labels)`.
/// - `precision`: the share of the k places that hold a label.
/// - `label_position_ndcg`: a figure that a widely copied tutorial prints as "NDCG". A found label
///   is discounted by its place among the labels rather than by its rank, and the ideal counts only
///   the found ones. It says nothing about the order of what was recalled, and is here to be
///   compared with tables that report it; use `ndcg` for everything else.
///
/// Two are of all users' lists together: `coverage` is the share of the catalog that is recalled
/// for anyone, and `mean_popularity` how often the recalled items were taken in training, on
/// average.
///
/// ```
/// use seqrec::eval::Metric;
///
/// let metric: Metric = "ndcg@10".parse()?;
/// assert_eq!((metric, metric.k()), (Metric::ndcg(10)?, 10));
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
    pub(super) fn new(measure: Measure, k: usize) -> Result<Self> {
        if k == 0 {
            return Err(Error::invalid("k", 0, "must be at least 1"));
        }
        Ok(Self { measure, k })
    }

    /// The recall of the first k.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) for a k of 0.
    pub fn recall(k: usize) -> Result<Self> {
        Self::new(Measure::Recall, k)
    }

    /// The NDCG of the first k.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) for a k of 0.
    pub fn ndcg(k: usize) -> Result<Self> {
        Self::new(Measure::Ndcg, k)
    }

    /// The hit rate of the first k.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) for a k of 0.
    pub fn hit_rate(k: usize) -> Result<Self> {
        Self::new(Measure::HitRate, k)
    }

    /// The name without the cut.
    pub(super) fn measure_name(self) -> &'static str {
        self.measure.name()
    }

    /// This measure at another cut; `None` at 0.
    pub(super) fn at(self, k: usize) -> Option<Self> {
        Self::new(self.measure, k).ok()
    }

    /// The value for one user's list `ranked`, best first: an item that comes again is no second
    /// hit, and a label that comes again counts once. `None` where there is no label, and for the
    /// measures that are of all users' lists together: coverage and mean popularity.
    ///
    /// ```
    /// use seqrec::data::ItemIndex;
    /// use seqrec::eval::Metric;
    ///
    /// let [a, b, c] = [1, 2, 3].map(ItemIndex::new);
    /// assert_eq!(Metric::recall(2)?.of_list(&[a, b], &[b, c]), Some(0.5));
    /// # Ok::<(), seqrec::Error>(())
    /// ```
    pub fn of_list(self, ranked: &[ItemIndex], labels: &[ItemIndex]) -> Option<f64> {
        let (_, measure) = PER_USER.iter().find(|(it, _)| *it == self.measure)?;
        let mut sorted = Labels::default();
        sorted.set(labels);
        let labels = sorted.len();
        (labels > 0).then(|| measure(sorted.find(ranked, self.k), labels, self.k))
    }

    /// Whether more of it is better.
    pub(crate) fn is_a_quality(self) -> bool {
        self.measure != Measure::MeanPopularity
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

/// A label among the first places of a ranked list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LabelHit {
    /// Where the list has it, counted from 0.
    rank: usize,
    /// Its place among the labels, each of which counts once.
    label: usize,
}

/// A user's labels, to be looked for in a ranked list. Either may be long, so labels are sorted
/// once and each item of the list is looked up once.
#[derive(Debug, Default)]
pub(super) struct Labels {
    sorted: Vec<Label>,
    hits: Vec<LabelHit>,
}

#[derive(Debug)]
struct Label {
    item: ItemIndex,
    place: usize,
    is_found: bool,
}

impl Labels {
    /// Other labels, of which repeats are left out.
    pub(super) fn set(&mut self, labels: &[ItemIndex]) {
        let labels = labels.iter().enumerate().map(|(place, &item)| Label {
            item,
            place,
            is_found: false,
        });
        self.sorted.clear();
        self.sorted.extend(labels);
        let all = self.sorted.len();
        self.sorted
            .sort_unstable_by_key(|label| (label.item, label.place));
        self.sorted.dedup_by_key(|label| label.item);
        if self.sorted.len() < all {
            self.sorted.sort_unstable_by_key(|label| label.place);
            (self.sorted.iter_mut().enumerate()).for_each(|(place, label)| label.place = place);
            self.sorted.sort_unstable_by_key(|label| label.item);
        }
    }

    /// The number of labels.
    pub(super) fn len(&self) -> usize {
        self.sorted.len()
    }

    /// The labels among the first `k`, in their order; each is found once.
    pub(super) fn find(&mut self, ranked: &[ItemIndex], k: usize) -> &[LabelHit] {
        self.hits.clear();
        for (rank, item) in ranked.iter().take(k).enumerate() {
            let Ok(place) = self.sorted.binary_search_by_key(item, |label| label.item) else {
                continue;
            };
            let label = &mut self.sorted[place];
            if !std::mem::replace(&mut label.is_found, true) {
                let label = label.place;
                self.hits.push(LabelHit { rank, label });
            }
        }
        &self.hits
    }
}

/// Those of some hits that are among the first `k`.
pub(super) fn among_first(hits: &[LabelHit], k: usize) -> &[LabelHit] {
    &hits[..hits.partition_point(|hit| hit.rank < k)]
}

/// A measure of a list by its hits among the first k places, by how many labels there are, and by
/// k.
pub(super) type PerUser = fn(&[LabelHit], usize, usize) -> f64;

/// The measures that are means over users.
pub(super) const PER_USER: [(Measure, PerUser); 7] = [
    (Measure::Recall, recall),
    (Measure::Ndcg, ndcg),
    (Measure::HitRate, hit_rate),
    (Measure::Mrr, reciprocal_rank),
    (Measure::Map, average_precision),
    (Measure::Precision, precision),
    (Measure::LabelPositionNdcg, label_position_ndcg),
];

/// What a hit at a rank counted from 0 is worth in a discounted gain.
fn discount(rank: usize) -> f64 {
    1.0 / (rank as f64 + 2.0).log2()
}

fn recall(hits: &[LabelHit], labels: usize, _: usize) -> f64 {
    hits.len() as f64 / labels as f64
}

fn precision(hits: &[LabelHit], _: usize, k: usize) -> f64 {
    hits.len() as f64 / k as f64
}

fn hit_rate(hits: &[LabelHit], _: usize, _: usize) -> f64 {
    f64::from(u8::from(!hits.is_empty()))
}

fn ndcg(hits: &[LabelHit], labels: usize, k: usize) -> f64 {
    let gain: f64 = hits.iter().map(|hit| discount(hit.rank)).sum();
    let ideal: f64 = (0..k.min(labels)).map(discount).sum();
    gain / ideal
}

fn reciprocal_rank(hits: &[LabelHit], _: usize, _: usize) -> f64 {
    hits.first()
        .map_or(0.0, |first| 1.0 / (first.rank as f64 + 1.0))
}

fn average_precision(hits: &[LabelHit], labels: usize, k: usize) -> f64 {
    let precision =
        |(before, hit): (usize, &LabelHit)| (before as f64 + 1.0) / (hit.rank as f64 + 1.0);
    let sum: f64 = hits.iter().enumerate().map(precision).sum();
    sum / k.min(labels) as f64
}

fn label_position_ndcg(hits: &[LabelHit], _: usize, _: usize) -> f64 {
    let mut places: Vec<usize> = hits.iter().map(|hit| hit.label).collect();
    places.sort_unstable();
    let (mut gain, mut ideal) = (0.0, 0.0);
    for (hits, place) in places.into_iter().enumerate() {
        gain += discount(place);
        ideal += discount(hits);
    }
    if ideal == 0.0 { 0.0 } else { gain / ideal }
}
