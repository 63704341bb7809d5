//! What is asked of an engine, and what it answers.

use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use crate::data::{ExternalId, Seen};

/// Whether an item may be recalled.
pub(super) type Predicate = Arc<dyn Fn(&ExternalId) -> bool + Send + Sync>;

/// A request: whom to recall for, how many items, and which not.
///
/// ```
/// use seqrec::data::Seen;
/// use seqrec::engine::RecallRequest;
///
/// let of_user = RecallRequest::of_user("anna", 200).blocked(["sold out"]);
/// let of_history = RecallRequest::of_history(["pen", "desk"], 50)
///     .in_segments(["country=is"])
///     .seen(Seen::Keep)
///     .filter(|item| item.to_string().starts_with("book-"));
/// ```
#[derive(Clone)]
pub struct RecallRequest {
    pub(super) who: Who,
    pub(super) k: usize,
    pub(super) segments: Vec<String>,
    /// By name, where any are given.
    pub(super) features: Option<Vec<(String, f32)>>,
    pub(super) seen: Seen,
    pub(super) blocked: Vec<ExternalId>,
    pub(super) passes: Option<Predicate>,
    pub(super) now: Option<f64>,
}

#[derive(Clone, Debug)]
pub(super) enum Who {
    User(ExternalId),
    /// Items, each with its time or none of them with one.
    History(Vec<ExternalId>, Vec<f64>),
}

/// What an engine did with an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Observed {
    /// It counts from the next call on.
    Taken,
    /// The same event, with the same time, was there already.
    Repeated,
    /// The stage's data, or as many of the user's later events as are held, reach beyond it, so that
    /// channels don't see it. Its item is [left out](super::EngineConfig::seen) of the user's lists.
    Older,
}

impl RecallRequest {
    fn new(who: Who, k: usize) -> Self {
        Self {
            who,
            k,
            segments: Vec::new(),
            features: None,
            seen: Seen::default(),
            blocked: Vec::new(),
            passes: None,
            now: None,
        }
    }

    /// The k best items for a user, by what the engine knows that they did.
    pub fn of_user(user: impl Into<ExternalId>, k: usize) -> Self {
        Self::new(Who::User(user.into()), k)
    }

    /// The k best items for a history, in time order, of anyone. Channels see its
    /// [last items](crate::engine::EngineConfig::history), and all of them are left out.
    pub fn of_history<T: Into<ExternalId>>(history: impl IntoIterator<Item = T>, k: usize) -> Self {
        let history = history.into_iter().map(Into::into).collect();
        Self::new(Who::History(history, Vec::new()), k)
    }

    /// A request for a history whose items come with the times at which they were taken, in the unit
    /// of the source, which some models and channels use. A history whose times run backwards is
    /// refused.
    pub fn of_timed_history<T: Into<ExternalId>>(
        history: impl IntoIterator<Item = (T, f64)>,
        k: usize,
    ) -> Self {
        let timed = history.into_iter().map(|(item, time)| (item.into(), time));
        let (items, times) = timed.unzip();
        Self::new(Who::History(items, times), k)
    }

    /// The segments that the user is in, instead of those the engine knows.
    #[must_use]
    pub fn in_segments<T: Into<String>>(mut self, segments: impl IntoIterator<Item = T>) -> Self {
        self.segments = segments.into_iter().map(Into::into).collect();
        self
    }

    /// The user's features, each by [its name](crate::data::Catalog::user_features), instead of those
    /// that the engine knows; those that are not named are 0.
    #[must_use]
    pub fn with_features<T: Into<String>>(
        mut self,
        features: impl IntoIterator<Item = (T, f32)>,
    ) -> Self {
        let named = features
            .into_iter()
            .map(|(name, value)| (name.into(), value));
        self.features = Some(named.collect());
        self
    }

    /// Says whether items of the history may be recalled.
    #[must_use]
    pub fn seen(self, seen: Seen) -> Self {
        Self { seen, ..self }
    }

    /// Items that are not to be recalled; those that are not in the catalog are ignored.
    #[must_use]
    pub fn blocked<T: Into<ExternalId>>(mut self, items: impl IntoIterator<Item = T>) -> Self {
        self.blocked.extend(items.into_iter().map(Into::into));
        self
    }

    /// Recalls only items that pass. It is asked on other threads, for every item that comes into
    /// question.
    #[must_use]
    pub fn filter(mut self, passes: impl Fn(&ExternalId) -> bool + Send + Sync + 'static) -> Self {
        self.passes = Some(Arc::new(passes));
        self
    }

    /// When the user asks, in the unit of the source: models and channels count from it how long ago
    /// items were taken. Where it is not said, it is the time by the clock, or the time of the last
    /// item where the data's times are in [no known unit](crate::data::TimeUnit::Order).
    #[must_use]
    pub fn at(mut self, now: f64) -> Self {
        self.now = Some(now);
        self
    }
}

impl fmt::Debug for RecallRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecallRequest")
            .field("who", &self.who)
            .field("k", &self.k)
            .field("segments", &self.segments)
            .field("features", &self.features)
            .field("seen", &self.seen)
            .field("blocked", &self.blocked)
            .field("filter", &self.passes.is_some())
            .field("now", &self.now)
            .finish()
    }
}

/// What an engine recalled.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Recalled {
    /// The items, best first, each once.
    pub items: Vec<RecalledItem>,
    /// How many items of the history that channels see are in the catalog; 0 for an unknown user.
    pub known: usize,
    /// How many items of the history are not in the catalog, and were skipped.
    pub unknown: usize,
    /// How each channel answered.
    pub channels: Vec<ChannelReport>,
    /// Which stage answered: 1 for the first, and one more for each that was loaded since.
    pub version: u64,
}

/// A recalled item.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RecalledItem {
    /// The item's external id.
    pub id: ExternalId,
    /// Its score in the fusion.
    pub score: f32,
    /// Every channel that found it.
    pub found: Vec<FoundBy>,
}

/// A channel that found an item.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct FoundBy {
    /// The channel's name.
    pub channel: Arc<str>,
    /// The item's rank in the channel's list, from 1.
    pub rank: usize,
    /// The channel's score of the item, in the channel's own unit.
    pub score: f32,
    /// Why the channel found it.
    pub because: Because,
}

/// A [`Reason`](crate::recall::Reason) with external ids and names instead of indexes.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Because {
    /// It is popular.
    Popular,
    /// It is popular in this segment of the user.
    Segment(String),
    /// It goes with this item of their history.
    Item(ExternalId),
    /// A user like them took it, who is not named.
    SimilarUser,
    /// It has this tag, which they prefer.
    Tag(String),
    /// It is near their history as a whole.
    Taste,
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
        /// How long it took, from the beginning of the call.
        #[serde(serialize_with = "rounded")]
        milliseconds: f64,
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

fn rounded<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((value * 1e3).round() / 1e3)
}
