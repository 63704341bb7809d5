//! What times are counted in.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )
)]

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// What the times of a data set are counted in. It is inferred from their size, since files don't say.
///
/// ```
/// use seqrec::data::TimeUnit;
///
/// assert_eq!(TimeUnit::of_times(&[1_700_000_000.0]), TimeUnit::Seconds);
/// assert_eq!(TimeUnit::of_times(&[1_700_000_000_000.0]), TimeUnit::Milliseconds);
/// // Places in a sequence file.
/// assert_eq!(TimeUnit::of_times(&[0.0, 1.0, 2.0]), TimeUnit::Order);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TimeUnit {
    /// No unit that is known: numbers that say no more than what came first, such as the places of
    /// a sequence file.
    Order,
    /// Seconds since 1970.
    Seconds,
    /// Milliseconds since 1970.
    Milliseconds,
    /// Microseconds since 1970.
    Microseconds,
    /// Nanoseconds since 1970.
    Nanoseconds,
}

impl TimeUnit {
    /// The unit of some times by the latest of them, which in seconds lies after 1973 and before
    /// the year 5138, and so on; smaller ones are [`Order`](TimeUnit::Order).
    pub fn of_times<'a>(times: impl IntoIterator<Item = &'a f64>) -> Self {
        let finite = times.into_iter().copied().filter(|time| time.is_finite());
        match finite.fold(0.0, f64::max) {
            ..1e8 => Self::Order,
            ..1e11 => Self::Seconds,
            ..1e14 => Self::Milliseconds,
            ..1e17 => Self::Microseconds,
            _ => Self::Nanoseconds,
        }
    }

    /// How many of it a second has; [`Order`](TimeUnit::Order) is taken for seconds.
    pub fn per_second(self) -> f64 {
        match self {
            Self::Order | Self::Seconds => 1.0,
            Self::Milliseconds => 1e3,
            Self::Microseconds => 1e6,
            Self::Nanoseconds => 1e9,
        }
    }

    /// The time by this machine's clock, in this unit.
    ///
    /// For [`Order`](TimeUnit::Order) it is in seconds, which come after all places of a sequence
    /// file.
    pub fn now(self) -> f64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        since.map_or(0.0, |since| since.as_secs_f64()) * self.per_second()
    }
}

impl fmt::Display for TimeUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Order => "no known unit",
            Self::Seconds => "seconds",
            Self::Milliseconds => "milliseconds",
            Self::Microseconds => "microseconds",
            Self::Nanoseconds => "nanoseconds",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_told_by_the_latest_time_and_now_is_in_them() {
        assert_eq!(TimeUnit::of_times(&[]), TimeUnit::Order);
        assert_eq!(TimeUnit::of_times(&[f64::NAN, -5.0]), TimeUnit::Order);
        for unit in [
            TimeUnit::Seconds,
            TimeUnit::Milliseconds,
            TimeUnit::Microseconds,
            TimeUnit::Nanoseconds,
        ] {
            assert_eq!(TimeUnit::of_times(&[0.0, unit.now()]), unit);
        }
        assert_eq!(
            TimeUnit::of_times(&[TimeUnit::Order.now()]),
            TimeUnit::Seconds
        );
    }
}
