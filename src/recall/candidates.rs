//! What a channel finds.

use std::sync::{PoisonError, RwLock};

use crate::data::ItemIndex;
use crate::index::{Hit, Hits};
use crate::kernels::top_k::best_first;

/// Why an item was found: what it is that leads from the user to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// Many take it.
    Popular,
    /// Many take it in one of the user's segments, by its place among these.
    Segment(u32),
    /// It goes with an item of their history.
    Item(ItemIndex),
    /// It is like an item of their history.
    Alike {
        /// The item of their history.
        item: ItemIndex,
        /// The number of what the two are alike by, whose name the reason has.
        by: u16,
    },
    /// A user like them took it, by the place of their sequence in the data the channel was made
    /// of.
    User(u32),
    /// It has a tag that they prefer, by its place in [`Features::names`](crate::data::Features).
    Tag(u32),
    /// It is near the vector of their history as a whole.
    Taste,
    /// A reason of a channel of your own, by the number of [its name](Reason::named).
    Named(u32),
}

/// The names of reasons, of which there are few, and each for as long as the program runs.
static NAMES: RwLock<Vec<&str>> = RwLock::new(Vec::new());

impl Reason {
    /// A reason of a channel of your own, such as `"chosen by an editor"`. It takes a lock, so make
    /// it once and not for every candidate.
    pub fn named(name: &'static str) -> Self {
        Self::Named(number_of(name, || name))
    }

    /// Makes reasons of items that are like one of a history by what is called so.
    pub(crate) fn alike_by(name: &str) -> impl Fn(ItemIndex) -> Self + use<> {
        // A name is forgotten once, however often its channel is made.
        let number = number_of(name, || name.to_owned().leak());
        move |item| match u16::try_from(number) {
            Ok(by) => Self::Alike { item, by },
            Err(_) => Self::Item(item),
        }
    }

    /// The name of a reason that [was given one](Reason::named), or of what two items are alike
    /// by.
    pub fn name(self) -> Option<&'static str> {
        let place = match self {
            Self::Named(place) => place as usize,
            Self::Alike { by, .. } => by.into(),
            _ => return None,
        };
        let names = NAMES.read().unwrap_or_else(PoisonError::into_inner);
        names.get(place).copied()
    }
}

/// The number of a name, which is made to last where it is new.
fn number_of(name: &str, lasting: impl FnOnce() -> &'static str) -> u32 {
    let mut names = NAMES.write().unwrap_or_else(PoisonError::into_inner);
    let place = names.iter().position(|&other| other == name);
    let place = place.unwrap_or_else(|| {
        names.push(lasting());
        names.len() - 1
    });
    place as u32
}

/// A recalled item with its score, in the channel's own unit, and why it was found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// The item; never padding.
    pub item: ItemIndex,
    /// How good it is; greater is better.
    pub score: f32,
    /// What led to it.
    pub reason: Reason,
}

/// The candidates of each of some users, best first.
///
/// ```
/// use seqrec::data::ItemIndex;
/// use seqrec::recall::{Candidate, Candidates, Reason};
///
/// let item = ItemIndex::new;
/// let candidate = |number, score| Candidate {
///     item: item(number),
///     score,
///     reason: Reason::Popular,
/// };
/// let mut candidates = Candidates::default();
/// candidates.push_best(vec![candidate(7, 0.5), candidate(2, 0.75), candidate(3, 0.5)], 2);
/// assert_eq!(candidates.items(0), [item(2), item(3)]);
/// assert_eq!(candidates.of(0).next(), Some(candidate(2, 0.75)));
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Candidates {
    hits: Hits,
    reasons: Vec<Reason>,
}

impl Candidates {
    /// Room for the candidates of so many users, k each; more is made where k is very large.
    pub fn with_capacity(users: usize, k: usize) -> Self {
        let hits = Hits::with_capacity(users, k);
        Self {
            reasons: Vec::with_capacity(hits.room()),
            hits,
        }
    }

    /// Hits that were all found for the same reason.
    pub fn from_hits(hits: Hits, reason: Reason) -> Self {
        let all = (0..hits.len()).map(|user| hits.items(user).len()).sum();
        Self {
            hits,
            reasons: vec![reason; all],
        }
    }

    /// Adds the candidates of the next user, best first.
    pub fn push(&mut self, candidates: impl IntoIterator<Item = Candidate>) {
        let reasons = &mut self.reasons;
        self.hits.push(candidates.into_iter().map(|candidate| {
            let Candidate {
                item,
                score,
                reason,
            } = candidate;
            reasons.push(reason);
            Hit { item, score }
        }));
    }

    /// Adds the k best of the next user's candidates, which come in any order and each item once.
    pub fn push_best(&mut self, candidates: Vec<Candidate>, k: usize) {
        self.push(best_candidates(candidates, k));
    }

    /// The number of users.
    pub fn len(&self) -> usize {
        self.hits.len()
    }

    /// Whether there is no user.
    pub fn is_empty(&self) -> bool {
        self.hits.is_empty()
    }

    /// The items of a user, best first.
    ///
    /// # Panics
    /// When there are not so many users.
    pub fn items(&self, user: usize) -> &[ItemIndex] {
        self.hits.items(user)
    }

    /// The scores of a user's items, best first.
    ///
    /// # Panics
    /// When there are not so many users.
    pub fn scores(&self, user: usize) -> &[f32] {
        self.hits.scores(user)
    }

    /// A user's candidates, one after another.
    ///
    /// # Panics
    /// When there are not so many users.
    pub fn of(&self, user: usize) -> impl ExactSizeIterator<Item = Candidate> + '_ {
        let reasons = &self.reasons[self.hits.range(user)];
        (self.hits.list(user).zip(reasons)).map(|(Hit { item, score }, &reason)| Candidate {
            item,
            score,
            reason,
        })
    }
}

/// The candidates of each user, in order.
impl<'a> IntoIterator for &'a Candidates {
    type Item = Vec<Candidate>;
    type IntoIter = Box<dyn Iterator<Item = Vec<Candidate>> + 'a>;

    fn into_iter(self) -> Self::IntoIter {
        Box::new((0..self.len()).map(|user| self.of(user).collect()))
    }
}

/// The k best, best first.
pub(super) fn best_candidates(mut candidates: Vec<Candidate>, k: usize) -> Vec<Candidate> {
    let scored = |candidate: &Candidate| (candidate.item.get(), candidate.score);
    let order = |a: &Candidate, b: &Candidate| best_first(&scored(a), &scored(b));
    if k < candidates.len() {
        candidates.select_nth_unstable_by(k, order);
        // A copy, so that the memory of all of them can be used whole again.
        candidates = candidates[..k].to_vec();
    }
    candidates.sort_unstable_by(order);
    candidates
}
