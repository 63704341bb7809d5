//! A protocol of several time cuts.

use super::dataset::{Dataset, Filters};
use super::interactions::Interactions;
use super::split::{Protocol, Split, check_cut, time_of_date};
use super::time_unit::TimeUnit;
use crate::{Error, Result};

/// Periods of time, one after another, each of which is a test: what a model that is trained again
/// and again does in service, where one [`Protocol::TimeCut`] says what it did once.
///
/// In each window, training data is what lies before a period, that period is what training is
/// stopped by, and the next one is the test. What comes after it is not there at all: its catalog
/// has the items of its own time.
///
/// ```
/// use seqrec::data::synthetic::Synthetic;
/// use seqrec::data::{Filters, Rolling};
///
/// let log = Synthetic::new().generate()?;
/// let rolling = Rolling::evenly(&log, 0.7, 3)?;
/// for window in 0..rolling.windows() {
///     let split = rolling.split(&log, Filters::default(), window)?;
///     println!("{} items, {} test users", split.catalog().len(), split.test.len());
/// }
/// # Ok::<(), seqrec::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Rolling {
    cuts: Vec<f64>,
}

impl Rolling {
    /// Windows between cuts: of n cuts, which rise, there are n - 1 windows, and the last test has
    /// all that comes after the last cut.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) for fewer than two cuts, or cuts
    /// that do not rise.
    pub fn at(cuts: Vec<f64>) -> Result<Self> {
        let rise = cuts.windows(2).all(|pair| pair[0] < pair[1]);
        if cuts.len() < 2 || !rise || cuts.iter().any(|cut| !cut.is_finite()) {
            let reason = "must be two finite times or more, each after the one before";
            return Err(Error::invalid("cuts", format!("{cuts:?}"), reason));
        }
        Ok(Self { cuts })
    }

    /// Windows between dates, such as `2018-01-01`, for a log whose times are dates; as
    /// [`at`](Self::at) otherwise.
    ///
    /// # Errors
    /// As [`at`](Self::at), for a text that is no date, and when the log's times are no dates.
    pub fn at_dates(log: &Interactions, dates: &[&str]) -> Result<Self> {
        let unit = TimeUnit::from_times(log.times());
        let cuts = (dates.iter()).map(|date| time_of_date("cuts", date, unit));
        Self::at(cuts.collect::<Result<_>>()?)
    }

    /// So many windows whose periods have about as many interactions each, the first one's training
    /// data being this share of all.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) for no windows, a share that is
    /// not between 0 and 1, or more windows than there are times to tell them apart.
    pub fn evenly(log: &Interactions, share: f64, windows: usize) -> Result<Self> {
        if !(share > 0.0 && share < 1.0) {
            return Err(Error::invalid("share", share, "must be between 0 and 1"));
        }
        if windows == 0 {
            return Err(Error::invalid("windows", windows, "must be at least 1"));
        }
        let mut times = log.times().to_vec();
        times.sort_unstable_by(f64::total_cmp);
        let period = (1.0 - share) / (windows + 1) as f64;
        let cuts = (0..=windows).map(|cut| {
            let place = (share + cut as f64 * period) * times.len() as f64;
            times.get(place as usize).copied().unwrap_or(f64::NAN)
        });
        let cuts: Vec<f64> = cuts.collect();
        Self::at(cuts.clone()).map_err(|_| {
            let reason = format!("the data have too few times for it: cuts would be {cuts:?}");
            Error::invalid("windows", windows, reason)
        })
    }

    /// How many windows there are.
    pub fn windows(&self) -> usize {
        self.cuts.len() - 1
    }

    /// Where periods begin: that of validation in the first window, then one test after the other.
    pub fn cuts(&self) -> &[f64] {
        &self.cuts
    }

    /// A window's split.
    ///
    /// # Errors
    /// As [`Dataset::new`] and [`Split::new`], and
    /// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) when a cut lies outside of the
    /// log's times, as in another unit.
    ///
    /// # Panics
    /// When there is no such window.
    pub fn split(&self, log: &Interactions, filters: Filters, window: usize) -> Result<Split> {
        assert!(
            window < self.windows(),
            "window {window} of {}",
            self.windows()
        );
        let (valid, test) = (self.cuts[window], self.cuts[window + 1]);
        let first = log.times().iter().copied().reduce(f64::min);
        let last = log.times().iter().copied().reduce(f64::max);
        if let (Some(first), Some(last)) = (first, last) {
            check_cut("cuts", valid, [first, last])?;
            check_cut("cuts", test, [first, last])?;
        }
        let mut log = log.clone();
        if let Some(&end) = self.cuts.get(window + 2) {
            log.retain_times(|time| time < end)?;
        }
        Split::new(
            &Dataset::new(log, filters)?,
            Protocol::TimeCut { valid, test },
        )
    }
}
