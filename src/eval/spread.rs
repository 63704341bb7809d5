//! A metric over several reports.

use serde::Serialize;

use super::metric::Metric;
use super::report::Report;

/// The mean and the deviation of a metric over reports, such as those of several seeds or of the
/// windows of a [`Rolling`](crate::data::Rolling) evaluation.
///
/// ```
/// use seqrec::eval::Spread;
///
/// let spread = Spread::from_values([0.1, 0.2, 0.3]).unwrap();
/// assert_eq!(spread.to_string(), "0.2000 ± 0.100");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Spread {
    /// The mean.
    pub mean: f64,
    /// The deviation, as that of a sample: of one value there is none.
    pub deviation: Option<f64>,
}

impl Spread {
    /// The mean and the deviation of some values; `None` of none.
    pub fn from_values(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let values: Vec<f64> = values.into_iter().collect();
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        (!values.is_empty()).then(|| Self {
            mean,
            deviation: (values.len() > 1).then(|| (squares / (count - 1.0)).sqrt()),
        })
    }

    /// The mean and the deviation of a metric; `None` where a report lacks it, or there is none.
    pub fn from_reports<'a>(
        reports: impl IntoIterator<Item = &'a Report>,
        metric: Metric,
    ) -> Option<Self> {
        let values: Option<Vec<f64>> = reports
            .into_iter()
            .map(|report| report.get(metric))
            .collect();
        Self::from_values(values?)
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.4}", self.mean)?;
        match self.deviation {
            Some(deviation) => write!(f, " ± {deviation:.3}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_one_value_there_is_no_deviation_and_of_none_nothing() {
        assert_eq!(Spread::from_values([]), None);
        let one = Spread::from_values([0.5]).unwrap();
        assert_eq!((one.mean, one.deviation), (0.5, None));
        assert_eq!(one.to_string(), "0.5000");
        let metric = Metric::recall(10).unwrap();
        assert_eq!(Spread::from_reports([&Report::default()], metric), None);
    }
}
