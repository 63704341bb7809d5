//! Rows that were left out, by why they were.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use std::cmp::Reverse;
use std::mem::discriminant;

use crate::{Error, ErrorKind};

/// How many rows each reason has left out, with the error of the first of them.
#[derive(Debug, Default)]
pub(super) struct Skipped(Vec<(usize, Error)>);

impl Skipped {
    /// Counts rows that were left out for one reason.
    pub(super) fn add(&mut self, rows: usize, error: Error) {
        match self.0.iter_mut().find(|(_, first)| is_alike(first, &error)) {
            Some((count, _)) => *count += rows,
            None => self.0.push((rows, error)),
        }
    }

    /// Counts what was left out after these.
    pub(super) fn add_all(&mut self, others: Self) {
        for (rows, error) in others.0 {
            self.add(rows, error);
        }
    }

    /// Whether others were left out for a reason that none of these was.
    pub(super) fn lacks_one_of(&self, others: &Self) -> bool {
        let has = |error| self.0.iter().any(|(_, first)| is_alike(first, error));
        !others.0.iter().all(|(_, error)| has(error))
    }

    /// A text for each reason, the most frequent first.
    pub(super) fn reasons(&self) -> Vec<String> {
        let mut reasons: Vec<&(usize, Error)> = self.0.iter().collect();
        reasons.sort_by_key(|(rows, _)| Reverse(*rows));
        let text = |(rows, first): &(usize, Error)| match rows {
            1 => format!("1 row: {first}"),
            rows => format!("{rows} rows, the first: {first}"),
        };
        reasons.into_iter().map(text).collect()
    }
}

/// Whether two rows can't be read for the same reason. A field that is empty is another one than a
/// field that is written in another way.
fn is_alike(one: &Error, other: &Error) -> bool {
    match (one.kind(), other.kind()) {
        (
            ErrorKind::Field {
                field,
                value,
                expected,
                ..
            },
            ErrorKind::Field {
                field: other_field,
                value: other_value,
                expected: other_expected,
                ..
            },
        ) => {
            (field, expected) == (other_field, other_expected)
                && value.is_empty() == other_value.is_empty()
        }
        (one, other) => discriminant(one) == discriminant(other),
    }
}
