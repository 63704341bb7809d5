//! What times are counted in.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// What the times of a data set are counted in. It is inferred from the size of most of them, since
/// files don't say.
///
/// ```
/// use seqrec::data::TimeUnit;
///
/// assert_eq!(TimeUnit::from_times(&[1_700_000_000.0]), TimeUnit::Seconds);
/// assert_eq!(TimeUnit::from_times(&[1_700_000_000_000.0]), TimeUnit::Milliseconds);
/// // Places in a sequence file.
/// assert_eq!(TimeUnit::from_times(&[0.0, 1.0, 2.0]), TimeUnit::Order);
/// // One far date makes no milliseconds of seconds.
/// let times = [1_700_000_000.0, 1_700_000_060.0, 253_402_300_799.0];
/// assert_eq!(TimeUnit::from_times(&times), TimeUnit::Seconds);
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
    /// All units, in the order of their sizes.
    const ALL: [Self; 5] = [
        Self::Order,
        Self::Seconds,
        Self::Milliseconds,
        Self::Microseconds,
        Self::Nanoseconds,
    ];

    /// The unit of some times by the size of their median, which in seconds lies after 1973 and
    /// before the year 5138, and so on. Smaller ones are [`Order`](TimeUnit::Order), as are numbers
    /// that rise from small ones without a gap, beyond what that unit can be.
    pub fn from_times<'a>(times: impl IntoIterator<Item = &'a f64>) -> Self {
        let finite = times.into_iter().copied().filter(|time| time.is_finite());
        let mut sizes = TimeSizes::default();
        finite.for_each(|time| sizes.add(time, time, 1));
        sizes.rule().unit
    }

    /// The unit that one time is in by its size.
    fn of_size(time: f64) -> Self {
        match time {
            ..1e8 => Self::Order,
            ..1e11 => Self::Seconds,
            ..1e14 => Self::Milliseconds,
            ..1e17 => Self::Microseconds,
            _ => Self::Nanoseconds,
        }
    }

    /// Whether a time is one of these days in this unit; any is where no unit is known.
    #[cfg(feature = "engine")]
    pub(crate) fn is_of_these_days(self, time: f64) -> bool {
        self == Self::Order || (Self::of_size(time) == self && time < LATEST * self.per_second())
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

/// The first and the last time of what can be meant, in seconds: from 1900 to 2100. What lies
/// beyond stands for something else, as `9999-12-31` does for "never".
const EARLIEST: f64 = -2_208_988_800.0;
const LATEST: f64 = 4_102_444_800.0;

/// From this long before 1970 and earlier, seconds stand for a date, and not for none, as 0 and -1
/// do.
const DAY: f64 = 86_400.0;
/// From 1971 on they do as well: seconds of 1970 may be places, or the digits of a date, such as
/// 20231114.
const YEAR: f64 = 31_536_000.0;

/// How many times have the size of each unit, and from where to where these go: enough to tell what
/// most are in and whether all can be, without sorting them.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct TimeSizes([Size; TimeUnit::ALL.len()]);

/// The times of one size.
#[derive(Debug, Clone, Copy)]
struct Size {
    count: usize,
    first: f64,
    last: f64,
}

impl Default for Size {
    fn default() -> Self {
        Self {
            count: 0,
            first: f64::INFINITY,
            last: f64::NEG_INFINITY,
        }
    }
}

impl TimeSizes {
    /// Those of some finite times.
    pub(super) fn of(times: &[f64]) -> Self {
        const AT_ONCE: usize = 1 << 14;
        let parts = times.par_chunks(AT_ONCE).map(Self::of_part);
        parts.reduce(Self::default, Self::and)
    }

    fn of_part(times: &[f64]) -> Self {
        let mut sizes = Self::default();
        let (first, last) = first_and_last(times);
        if TimeUnit::of_size(first) == TimeUnit::of_size(last) {
            sizes.add(first, last, times.len());
        } else {
            times.iter().for_each(|&time| sizes.add(time, time, 1));
        }
        sizes
    }

    /// Adds times of one size, from the first to the last.
    #[expect(clippy::indexing_slicing, reason = "there is a size for each unit")]
    fn add(&mut self, first: f64, last: f64, count: usize) {
        let size = &mut self.0[TimeUnit::of_size(first) as usize];
        size.count += count;
        size.first = size.first.min(first);
        size.last = size.last.max(last);
    }

    /// Those of these times and of others.
    pub(super) fn and(mut self, other: Self) -> Self {
        for size in other.0.iter().filter(|size| size.count > 0) {
            self.add(size.first, size.last, size.count);
        }
        self
    }

    /// What the bulk of these times says that all of them must be.
    pub(super) fn rule(&self) -> TimeRule {
        let some = || self.0.iter().filter(|size| size.count > 0);
        let mut before = some().map(|size| size.count).sum::<usize>() / 2;
        let mut sizes = TimeUnit::ALL.into_iter().zip(&self.0);
        let median = sizes.find(|(_, size)| {
            let found = before < size.count;
            before = before.saturating_sub(size.count);
            found
        });
        let (unit, bulk) = median.unwrap_or((TimeUnit::Order, &self.0[0]));
        let small = &self.0[0];
        let rule = TimeRule {
            unit,
            small: small.last >= bulk.first / 10.0,
            any: false,
            known: true,
        };
        let known = bulk.count == 0 || rule.takes(bulk.first) || rule.takes(bulk.last);
        let rule = TimeRule { known, ..rule };
        let rises = || some().zip(some().skip(1)).all(|(a, b)| !is_gap(a, b));
        if rule.takes_all(self) || small.count == 0 || !rises() {
            return rule;
        }
        TimeRule {
            unit: TimeUnit::Order,
            small: true,
            any: true,
            known: true,
        }
    }
}

/// Whether nothing lies between smaller times and larger ones over a whole power of ten, as between
/// seconds and milliseconds since 1970. Between dates in seconds from
/// before 1970 and later ones there is none.
fn is_gap(smaller: &Size, larger: &Size) -> bool {
    let are_dates = smaller.first >= EARLIEST && smaller.last <= -DAY && larger.last < LATEST;
    smaller.last < larger.first / 10.0 && !are_dates
}

/// The least and the greatest of some times, eight of them side by side.
fn first_and_last(times: &[f64]) -> (f64, f64) {
    let (mut first, mut last) = ([f64::INFINITY; 8], [f64::NEG_INFINITY; 8]);
    let (eights, rest) = times.as_chunks::<8>();
    for eight in eights {
        for ((first, last), &time) in first.iter_mut().zip(&mut last).zip(eight) {
            *first = if time < *first { time } else { *first };
            *last = if time > *last { time } else { *last };
        }
    }
    let rest = || rest.iter().copied();
    let first = first
        .into_iter()
        .chain(rest())
        .fold(f64::INFINITY, f64::min);
    let last = last
        .into_iter()
        .chain(rest())
        .fold(f64::NEG_INFINITY, f64::max);
    (first, last)
}

/// What times must be to be of one unit with most others.
#[derive(Debug, Clone, Copy)]
pub(super) struct TimeRule {
    unit: TimeUnit,
    /// Whether small numbers are times of this unit too: of about 1970, and not what stands for
    /// none.
    small: bool,
    /// Whether times are numbers that rise from small ones, of any size.
    any: bool,
    /// Whether the bulk itself can be of this unit.
    known: bool,
}

impl TimeRule {
    /// Whether a time can be meant.
    pub(super) fn takes(&self, time: f64) -> bool {
        let size = TimeUnit::of_size(time);
        let seconds = time / self.unit.per_second();
        match self.unit {
            _ if self.any => true,
            TimeUnit::Order => size == self.unit,
            unit => {
                let is_date = seconds <= -DAY || seconds >= YEAR;
                let fits = size == TimeUnit::Order && (self.small || is_date);
                (fits || size == unit) && (EARLIEST..LATEST).contains(&seconds)
            }
        }
    }

    /// Whether all of some times can be.
    pub(super) fn takes_all(&self, sizes: &TimeSizes) -> bool {
        self.odd_of(sizes).is_none()
    }

    /// One of some times that can't be meant.
    pub(super) fn odd_of(&self, sizes: &TimeSizes) -> Option<f64> {
        let some = sizes.0.iter().filter(|size| size.count > 0);
        let mut ends = some.flat_map(|size| [size.first, size.last]);
        ends.find(|&time| !self.takes(time))
    }

    /// A time that can't be meant, and what it may be instead.
    pub(super) fn odd(&self, time: f64, text: impl fmt::Display) -> String {
        let size = TimeUnit::of_size(time);
        match (size, self.unit) {
            _ if size == self.unit || time / self.unit.per_second() < EARLIEST => {
                format!("{text} (a date before 1900 or after 2100)")
            }
            (TimeUnit::Order, _) => {
                format!("{text} (a time of 1970, far from the others, or a number that is no time)")
            }
            (size, TimeUnit::Order) => format!("{text} (by its size in {size})"),
            (size, unit) if (size as usize) < unit as usize => {
                format!("{text} (by its size in {size})")
            }
            (size, _) => format!("{text} (by its size in {size}, or a date after 2100)"),
        }
    }

    /// What most times are.
    pub(super) fn expected(&self) -> &'static str {
        match self.unit {
            _ if !self.known => {
                "a time that is known: numbers of this size, as most here are, are none (perhaps they are the \
                 digits of a date, or are counted from another year)"
            }
            TimeUnit::Order => "a small number, as most times here are",
            TimeUnit::Seconds => {
                "a date from 1900 to 2100 or its seconds since 1970, as most times here are"
            }
            TimeUnit::Milliseconds => "milliseconds since 1970, as most times here are",
            TimeUnit::Microseconds => "microseconds since 1970, as most times here are",
            TimeUnit::Nanoseconds => "nanoseconds since 1970, as most times here are",
        }
    }
}
