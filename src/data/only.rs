//! Rows that are wanted, by a column of theirs.

use super::id::{ExternalId, Key};

/// Keeps the rows whose value of a column is one of some.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Only {
    pub(super) column: String,
    pub(super) values: Vec<ExternalId>,
}

impl Only {
    #[cfg_attr(
        not(feature = "parquet"),
        expect(dead_code, reason = "nothing else chooses rows while it reads")
    )]
    pub(super) fn keeps(&self, value: Key<'_>) -> bool {
        self.values.iter().any(|wanted| Key::of(wanted) == value)
    }
}
