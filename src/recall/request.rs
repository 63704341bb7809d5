//! What is asked of a retriever or an engine.

use std::fmt;
use std::sync::Arc;

use crate::data::{ExternalId, ItemFilter, Seen};

/// Whether an item may be recalled.
pub(crate) type Predicate = Arc<dyn Fn(&ExternalId) -> bool + Send + Sync>;

/// A request: whom to recall for, how many items, and which not. A [`Retriever`](super::Retriever)
/// and a `RecallEngine` answer it.
///
/// ```
/// use seqrec::data::Seen;
/// use seqrec::recall::RecallRequest;
///
/// let of_user = RecallRequest::for_user("anna", 200).blocked(["sold out"]);
/// let of_history = RecallRequest::for_history(["pen", "desk"], 50)
///     .in_segments(["country=is"])
///     .seen(Seen::Keep)
///     .filter(|item| item.to_string().starts_with("book-"));
/// let cheap = RecallRequest::for_user("anna", 20).matching("in_stock and price < 20".parse()?);
/// # Ok::<(), seqrec::Error>(())
/// ```
///
/// All of `blocked`, `only`, `matching` and `filter` apply. A request that lets no item of the
/// catalog pass is an error, [`ErrorKind::NothingLeft`](crate::ErrorKind::NothingLeft), and not an
/// empty list.
#[derive(Clone)]
pub struct RecallRequest {
    pub(crate) who: Who,
    pub(crate) k: usize,
    /// The type and the value of the event of each item of a history, where any are given.
    pub(crate) events: Vec<(Option<String>, Option<f32>)>,
    pub(crate) segments: Vec<String>,
    /// By name, where any are given.
    pub(crate) features: Option<Vec<(String, f32)>>,
    pub(crate) seen: Seen,
    pub(crate) blocked: Vec<ExternalId>,
    pub(crate) passes: Option<Predicate>,
    /// The items of which alone some are recalled.
    pub(crate) only: Option<Vec<ExternalId>>,
    pub(crate) matching: Option<ItemFilter>,
    pub(crate) now: Option<f64>,
}

#[derive(Clone, Debug)]
pub(crate) enum Who {
    Everyone,
    User(ExternalId),
    /// Items, each with its time or none of them with one.
    History(Vec<ExternalId>, Vec<f64>),
}

impl RecallRequest {
    fn new(who: Who, k: usize) -> Self {
        Self {
            who,
            k,
            events: Vec::new(),
            segments: Vec::new(),
            features: None,
            seen: Seen::default(),
            blocked: Vec::new(),
            passes: None,
            only: None,
            matching: None,
            now: None,
        }
    }

    /// The k best items for each of many users, whom
    /// [`Retriever::recall_all`](super::Retriever::recall_all) is given with their histories.
    pub fn for_everyone(k: usize) -> Self {
        Self::new(Who::Everyone, k)
    }

    /// The k best items for a user, by what an engine knows that they did.
    pub fn for_user(user: impl Into<ExternalId>, k: usize) -> Self {
        Self::new(Who::User(user.into()), k)
    }

    /// The k best items for a history, in time order, of anyone. Channels of an engine see its last
    /// items (`EngineConfig::history`), and all of them are left out.
    pub fn for_history<T: Into<ExternalId>>(
        history: impl IntoIterator<Item = T>,
        k: usize,
    ) -> Self {
        let history = history.into_iter().map(Into::into).collect();
        Self::new(Who::History(history, Vec::new()), k)
    }

    /// A request for a history whose items come with the times at which they were taken, in the
    /// unit of the source, which some models and channels use. A history whose times run backwards
    /// is refused.
    pub fn for_timed_history<T: Into<ExternalId>>(
        history: impl IntoIterator<Item = (T, f64)>,
        k: usize,
    ) -> Self {
        let timed = history.into_iter().map(|(item, time)| (item.into(), time));
        let (items, times) = timed.unzip();
        Self::new(Who::History(items, times), k)
    }

    /// A request for a history with the event of each of its items: its type, such as `view`, and
    /// its value, where they are known. What they mean is what the
    /// [data's events mean](crate::data::Behaviors); an item of an ignored one is left out of the
    /// history.
    ///
    /// ```
    /// use seqrec::recall::RecallRequest;
    ///
    /// let request = RecallRequest::for_history(["pen", "desk"], 10)
    ///     .with_events([(Some("view"), None), (Some("buy"), Some(99.0))]);
    /// ```
    #[must_use]
    pub fn with_events<T: Into<String>>(
        mut self,
        events: impl IntoIterator<Item = (Option<T>, Option<f32>)>,
    ) -> Self {
        let events = events.into_iter();
        self.events = events
            .map(|(name, value)| (name.map(Into::into), value))
            .collect();
        self
    }

    /// The segments that the user is in, instead of those the engine knows.
    #[must_use]
    pub fn in_segments<T: Into<String>>(mut self, segments: impl IntoIterator<Item = T>) -> Self {
        self.segments = segments.into_iter().map(Into::into).collect();
        self
    }

    /// The user's features, each by [its name](crate::data::Catalog::user_features), instead of
    /// those that the engine knows; those that are not named are 0.
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

    /// Recalls only items of a set; those that are not in the catalog are ignored.
    #[must_use]
    pub fn only<T: Into<ExternalId>>(mut self, items: impl IntoIterator<Item = T>) -> Self {
        let items = items.into_iter().map(Into::into);
        self.only = Some(match self.only.take() {
            None => items.collect(),
            Some(before) => {
                let items: foldhash::HashSet<ExternalId> = items.collect();
                let both = before.into_iter().filter(|item| items.contains(item));
                both.collect()
            }
        });
        self
    }

    /// Recalls only items whose attributes pass a filter; another one replaces it. The attributes
    /// are those of the table that [`Retriever::items`](super::Retriever::items) or
    /// `RecallEngine::set_items` was given.
    #[must_use]
    pub fn matching(mut self, filter: ItemFilter) -> Self {
        self.matching = Some(filter);
        self
    }

    /// When the user asks, in the unit of the source: models and channels count from it how long
    /// ago items were taken. Where it is not said, an engine takes the time by its clock, or the
    /// time of the last item where the data's times are in [no known
    /// unit](crate::data::TimeUnit::Order). A [`Retriever`](super::Retriever) has no clock, and
    /// takes the time of the last item.
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
            .field("events", &self.events)
            .field("segments", &self.segments)
            .field("features", &self.features)
            .field("seen", &self.seen)
            .field("blocked", &self.blocked)
            .field("filter", &self.passes.is_some())
            .field("only", &self.only)
            .field("matching", &self.matching)
            .field("now", &self.now)
            .finish()
    }
}
