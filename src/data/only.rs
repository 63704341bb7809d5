//! Rows that are wanted, by a column of theirs.

use std::fmt;
use std::ops::{Bound, RangeBounds};

use super::id::ExternalId;
#[cfg(feature = "parquet")]
use super::id::Key;

/// Keeps the rows whose value of a column is wanted.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Only {
    pub(super) column: String,
    #[cfg_attr(
        not(feature = "parquet"),
        allow(dead_code, reason = "nothing else chooses rows while it reads")
    )]
    pub(super) condition: Condition,
}

/// A condition for a value to be wanted.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(
    not(feature = "parquet"),
    allow(dead_code, reason = "nothing else chooses rows while it reads")
)]
pub(super) enum Condition {
    /// One of these.
    OneOf(Vec<ExternalId>),
    /// Numbers or times from one bound to another.
    Within(Range),
}

/// From where to where.
pub(super) type Range = (Bound<f64>, Bound<f64>);

impl Only {
    pub(super) fn one_of(column: String, values: Vec<ExternalId>) -> Self {
        let condition = Condition::OneOf(values);
        Self { column, condition }
    }

    pub(super) fn within(column: String, range: impl RangeBounds<f64>) -> Self {
        let range = (range.start_bound().cloned(), range.end_bound().cloned());
        let condition = Condition::Within(range);
        Self { column, condition }
    }
}

impl fmt::Display for Only {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let column = &self.column;
        match &self.condition {
            Condition::OneOf(values) => {
                let values: Vec<String> = values.iter().map(ToString::to_string).collect();
                write!(f, "{column:?} of {values:?}")
            }
            Condition::Within(range) => write!(f, "{column:?} within {range:?}"),
        }
    }
}

/// True if a value is one of some.
#[cfg(feature = "parquet")]
pub(super) fn is_one_of(value: Key<'_>, values: &[ExternalId]) -> bool {
    values.iter().any(|wanted| Key::of(wanted) == value)
}

/// True if values that are all from `least` to `most` may lie between two bounds.
#[cfg(feature = "parquet")]
pub(super) fn may_lie_within((start, end): Range, least: f64, most: f64) -> bool {
    let after_start = match start {
        Bound::Included(start) => most >= start,
        Bound::Excluded(start) => most > start,
        Bound::Unbounded => true,
    };
    let before_end = match end {
        Bound::Included(end) => least <= end,
        Bound::Excluded(end) => least < end,
        Bound::Unbounded => true,
    };
    after_start && before_end
}
