//! Recalled items, as the outside knows them.

use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use crate::data::{Catalog, ExternalId, ItemIndex, Items};

use super::candidates::Reason;
pub use super::found::{Because, Found};

/// The answer to a [`RecallRequest`](super::RecallRequest): items with their ids, and why each was
/// found.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Recalled {
    /// The items, best first, each once.
    pub items: Vec<RecalledItem>,
    /// How many items of the history that channels see are in the catalog; 0 for an unknown user.
    pub known: usize,
    /// How many items of the history are not in the catalog, and were skipped.
    pub unknown: usize,
    /// The number of items that pass the request's `only` and `matching`, without those blocked or
    /// seen; `None` for a request that had neither.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passing: Option<usize>,
    /// How each channel of an engine answered; none for a [`Retriever`](super::Retriever), which
    /// gives a channel's error instead.
    pub channels: Vec<ChannelReport>,
    /// Which stage of an engine answered: 1 for the first, and one more for each that was loaded
    /// since; 0 for a [`Retriever`](super::Retriever).
    pub version: u64,
}

/// A line an item, and one of the items that are not in the catalog, where there are any.
impl fmt::Display for Recalled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, item) in self.items.iter().enumerate() {
            writeln!(f, "{:>3}. {item}", place + 1)?;
        }
        if let (true, Some(passing)) = (self.items.is_empty(), self.passing) {
            return writeln!(
                f,
                "nothing is recalled: {passing} items pass the filter and are neither blocked nor seen"
            );
        }
        match (self.items.is_empty(), self.unknown) {
            (true, 0) if self.known == 0 => {
                f.write_str("nothing is recalled: nothing is known of the user\n")
            }
            (true, 0) => f.write_str("nothing is recalled\n"),
            (true, unknown) => writeln!(
                f,
                "nothing is recalled: {unknown} items of the history are not in the catalog"
            ),
            (false, 0) => Ok(()),
            (false, unknown) => {
                writeln!(f, "{unknown} items of the history are not in the catalog")
            }
        }
    }
}

/// A recalled item, by its id.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RecalledItem {
    /// The item's external id.
    pub id: ExternalId,
    /// Its title, where a table of [`Items`] has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Its score in the fusion, or the channel's where only one was asked.
    pub score: f32,
    /// Every channel that found it.
    pub found: Vec<Found>,
}

impl fmt::Display for RecalledItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.title {
            Some(title) => write!(f, "{title} [{}] ({:.4})", self.id, self.score)?,
            None => write!(f, "{} ({:.4})", self.id, self.score)?,
        }
        for (place, found) in self.found.iter().enumerate() {
            let before = if place == 0 { ": " } else { ", " };
            write!(f, "{before}{} #{}", found.channel, found.rank)?;
            // The channel of what is popular has said why already.
            let because = found.because.to_string();
            if *because != *found.channel {
                write!(f, ", {because}")?;
            }
        }
        Ok(())
    }
}

/// The names of what candidates hold by number.
pub(crate) struct IdNames<'a> {
    pub(crate) catalog: &'a Catalog,
    pub(crate) items: Option<&'a Items>,
    /// Of each channel by its place, and of the fallback.
    pub(crate) channels: &'a [Arc<str>],
    pub(crate) segments: &'a [String],
    pub(crate) tags: &'a [String],
}

impl IdNames<'_> {
    /// An item as the outside knows it; `None` for one that is not in the catalog.
    pub(crate) fn item(
        &self,
        item: ItemIndex,
        score: f32,
        found: impl IntoIterator<Item = Found<usize, Reason>>,
    ) -> Option<RecalledItem> {
        let found = found.into_iter().map(|found| Found {
            channel: self.channels[found.channel].clone(),
            rank: found.rank,
            score: found.score,
            because: self.because(found.because),
        });
        let id = self.catalog.id_of(item)?.clone();
        Some(RecalledItem {
            title: self.title(&id),
            id,
            score,
            found: found.collect(),
        })
    }

    fn title(&self, id: &ExternalId) -> Option<String> {
        let title = self.items?.known_title(id)?;
        Some(title.to_owned())
    }

    pub(super) fn because(&self, reason: Reason) -> Because {
        let name =
            |names: &[String], place: u32| names.get(place as usize).cloned().unwrap_or_default();
        match reason {
            Reason::Popular => Because::Popular,
            Reason::Segment(place) => Because::Segment(name(self.segments, place)),
            Reason::Item(item) => {
                let id = self.catalog.id_of(item).cloned();
                id.map_or(Because::Taste, |id| Because::Item {
                    title: self.title(&id),
                    id,
                })
            }
            Reason::Alike { item, .. } => {
                let id = self.catalog.id_of(item).cloned();
                id.map_or(Because::Taste, |id| Because::Alike {
                    title: self.title(&id),
                    id,
                    by: reason.name().unwrap_or("content"),
                })
            }
            Reason::User(_) => Because::SimilarUser,
            Reason::Tag(tag) => Because::Tag(name(self.tags, tag)),
            Reason::Taste => Because::Taste,
            Reason::Named(_) => Because::Named(reason.name().unwrap_or_default().to_owned()),
        }
    }
}

/// How one channel answered in one call.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ChannelReport {
    /// The channel's name.
    pub name: Arc<str>,
    /// What the channel answered, or why it did not.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What a channel answered in one call, or why it did not.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outcome {
    /// Candidates, of which there may be none.
    Answered {
        /// The number of candidates.
        candidates: usize,
        /// How long it took itself.
        #[serde(serialize_with = "rounded")]
        milliseconds: f64,
        /// How long it had waited for a thread before that.
        #[serde(serialize_with = "rounded")]
        waited_milliseconds: f64,
    },
    /// It was not done within its time, and is left out.
    Late,
    /// It was not asked, since a call before still keeps it busy beyond its time.
    Busy,
    /// It failed, and is left out.
    Failed {
        /// The channel's error, or the message of its panic.
        reason: String,
    },
}

impl fmt::Display for ChannelReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.outcome)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered {
                candidates,
                milliseconds,
                ..
            } => write!(f, "{candidates} candidates in {milliseconds:.1} ms"),
            Self::Late => f.write_str("timed out"),
            Self::Busy => f.write_str("not asked, since an earlier call still keeps it busy"),
            Self::Failed { reason } => write!(f, "failed: {reason}"),
        }
    }
}

fn rounded<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((value * 1e3).round() / 1e3)
}
