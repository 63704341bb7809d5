//! Whether what a user knows may be recalled.

use serde::{Deserialize, Serialize};

/// Whether the items of a user's history may be recalled for them: where events have a
/// [meaning](super::Behaviors), those of targets and of negative events; an item that was only
/// viewed may be.
///
/// Everything that recalls or judges takes one, and where nothing is said, they are left out.
/// Results of the two can't be compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Seen {
    /// Items of the history may be recalled again, as where people buy the same things many times.
    Keep,
    /// Items of the history are left out.
    #[default]
    Exclude,
}

impl Seen {
    /// [`Exclude`](Self::Exclude) if so, else [`Keep`](Self::Keep): what a switch of a command line
    /// says.
    pub fn exclude_if(exclude: bool) -> Self {
        if exclude { Self::Exclude } else { Self::Keep }
    }

    /// Whether items of the history are left out.
    pub fn is_excluded(self) -> bool {
        self == Self::Exclude
    }
}
