//! How an item was found.

use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use crate::data::ExternalId;

use super::candidates::{Candidate, Reason};

/// A channel that found an item: by names in what is recalled, and by the channel's place and a
/// [`Reason`] in a [fused](super::FusedCandidate) list.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Found<Channel = Arc<str>, Why = Because> {
    /// The channel's name.
    pub channel: Channel,
    /// The item's rank in the channel's list, from 1.
    pub rank: usize,
    /// The channel's score of the item, in the channel's own unit.
    pub score: f32,
    /// Why the channel found it.
    pub because: Why,
}

impl Found<usize, Reason> {
    /// A candidate in this place of a channel's list, counted from 0.
    pub(super) fn at(channel: usize, place: usize, candidate: &Candidate) -> Self {
        Self {
            channel,
            rank: place + 1,
            score: candidate.score,
            because: candidate.reason,
        }
    }

    /// The candidates of the channel in a place, each with how it was found there.
    pub(super) fn all_of(
        channel: usize,
        candidates: impl Iterator<Item = Candidate>,
    ) -> impl Iterator<Item = (Candidate, Self)> {
        let all = candidates.enumerate();
        all.map(move |(place, candidate)| (candidate, Self::at(channel, place, &candidate)))
    }
}

/// A [`Reason`] with external ids and names instead of indexes.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Because {
    /// It is popular.
    Popular,
    /// It is popular in this segment of the user.
    Segment(String),
    /// It goes with this item of their history.
    #[serde(serialize_with = "id_alone")]
    Item {
        /// The item's external id.
        id: ExternalId,
        /// Its title, where a table of [`Items`](crate::data::Items) has one.
        title: Option<String>,
    },
    /// It is like this item of their history.
    Alike {
        /// The item's external id.
        #[serde(rename = "item")]
        id: ExternalId,
        /// Its title, where a table of [`Items`](crate::data::Items) has one.
        #[serde(skip)]
        title: Option<String>,
        /// What the two are alike by: `labels`, or the name of vectors.
        by: &'static str,
    },
    /// A user like them took it, who is not named.
    SimilarUser,
    /// It has this tag, which they prefer.
    Tag(String),
    /// It is near their history as a whole.
    Taste,
    /// A [reason of a channel of your own](Reason::named).
    Named(String),
}

impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Popular => f.write_str("popular"),
            Self::Segment(segment) => write!(f, "popular in {segment}"),
            Self::Item { id, title } => match title {
                Some(title) => write!(f, "goes with {title} [{id}]"),
                None => write!(f, "goes with {id}"),
            },
            Self::Alike { id, title, by } => match title {
                Some(title) => write!(f, "like {title} [{id}], by its {by}"),
                None => write!(f, "like {id}, by its {by}"),
            },
            Self::SimilarUser => f.write_str("a similar user took it"),
            Self::Tag(tag) => write!(f, "tagged {tag}"),
            Self::Taste => f.write_str("near the history as a whole"),
            Self::Named(reason) => f.write_str(reason),
        }
    }
}

/// Writes an item of a reason by its id: a client that shows titles has that of each id once.
fn id_alone<S: Serializer>(
    id: &ExternalId,
    _: &Option<String>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    id.serialize(serializer)
}
