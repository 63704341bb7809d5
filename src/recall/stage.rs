//! The whole recall stage: channels, their fusion, and the rules around it.

use std::fmt;
use std::time::Duration;

use rayon::prelude::*;

use crate::data::{Interaction, ItemIndex, User};
use crate::index::{Filter, IndexReport, ItemSet};
use crate::{Error, Result, checks};

use super::candidates::{Candidate, Candidates, Reason};
use super::channel::RecallChannel;
use super::channel_weight::ChannelWeight;
use super::fallback::stand_in;
use super::fusion::{Found, FusedCandidate, Fusion};
use super::selection::Selection;

/// Several channels whose lists are fused into one.
///
/// It is a channel itself, and so is judged like any other:
///
/// ```
/// use seqrec::prelude::*;
/// use seqrec::channels::{ItemNeighborsConfig, MarkovChain, Popularity};
/// use seqrec::recall::{Fusion, HistoryItems, Path, RecallStage, ChannelWeight};
///
/// let log = seqrec::data::synthetic::Synthetic::new().with_users(80).with_items(60).generate();
/// let dataset = Dataset::new(log, Filters::default())?;
/// let split = Split::new(&dataset, Protocol::LeaveOneOut)?;
/// let (train, catalog) = (&split.train, split.catalog());
///
/// let neighbors = ItemNeighborsConfig::new().fit(train, catalog)?;
/// let item_cf = HistoryItems::last(20)?.with_decay(0.8)?.then(neighbors).into_channel();
/// let stage = RecallStage::new(Fusion::RECIPROCAL_RANK, 200)?
///     .channel("markov", MarkovChain::fit(train, catalog)?, ChannelWeight::new().with_weight(2.0))?
///     .channel("item_cf", item_cf, ChannelWeight::default())?
///     .fallback(Popularity::new(catalog));
///
/// let report = Evaluation::new(&[10], Seen::Keep).run_channel(&stage, &split.test, catalog)?;
/// println!("recall@10 {:.4}", report.recall(10).unwrap());
/// let fused = &stage.recall_fused(&[split.test.get(0).user], 10, None)?[0];
/// assert_eq!(stage.name(fused[0].found[0].channel), "markov");
/// # Ok::<(), seqrec::Error>(())
/// ```
pub struct RecallStage {
    fusion: Fusion,
    /// How many candidates each channel is asked for, or k where that is more.
    candidates: usize,
    channels: Vec<StageChannel>,
    selections: Vec<Box<dyn Selection>>,
    fallback: Option<Box<dyn RecallChannel>>,
    /// What indexes of channels find, by the channel's name.
    indexes: Vec<(String, IndexReport)>,
}

struct StageChannel {
    name: String,
    channel: Box<dyn RecallChannel>,
    share: ChannelWeight,
    budget: Option<Duration>,
}

/// The name of what fills a list up where all channels together leave it short.
pub(crate) const FALLBACK: &str = "fallback";

/// The name of the rules for diversity, where something is to be said of them.
pub(crate) const SELECTION: &str = "selection";

/// How many items, for each that is asked for, selections choose among.
const SELECT_AMONG: usize = 4;

impl RecallStage {
    /// A stage with no channels yet, each of which will be asked for so many candidates.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] for 0 candidates or an invalid setting of the fusion.
    pub fn new(fusion: Fusion, candidates: usize) -> Result<Self> {
        fusion.validate()?;
        checks::at_least_one(&[("candidates", candidates)])?;
        Ok(Self {
            fusion,
            candidates,
            channels: Vec::new(),
            selections: Vec::new(),
            fallback: None,
            indexes: Vec::new(),
        })
    }

    /// How each channel of a [plan](crate::store::StagePlan) that searches vectors does so, and what
    /// its index was found to find when it was built.
    pub fn indexes(&self) -> impl Iterator<Item = (&str, IndexReport)> {
        self.indexes
            .iter()
            .map(|(name, report)| (name.as_str(), *report))
    }

    pub(crate) fn with_index(mut self, channel: &str, report: IndexReport) -> Self {
        self.indexes.push((channel.to_owned(), report));
        self
    }

    /// The stage with another channel, which may weigh 0 where another one weighs more.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] for a name that is taken, and for a weight that is below 0 or no number.
    pub fn channel(
        mut self,
        name: impl Into<String>,
        channel: impl RecallChannel + 'static,
        share: ChannelWeight,
    ) -> Result<Self> {
        let name = name.into();
        share.validate()?;
        if [FALLBACK, SELECTION].contains(&name.as_str()) || self.names().any(|other| other == name)
        {
            return Err(Error::invalid(
                "name",
                name,
                "is the name of another channel",
            ));
        }
        self.channels.push(StageChannel {
            name,
            channel: Box::new(channel),
            share,
            budget: None,
        });
        Ok(self)
    }

    /// The stage with a time budget for the channel of this name, which a
    /// `RecallEngine` holds it to.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] when no channel has the name.
    pub fn budget(mut self, name: &str, budget: Duration) -> Result<Self> {
        let channel = self
            .channels
            .iter_mut()
            .find(|channel| channel.name == name);
        let Some(channel) = channel else {
            return Err(Error::invalid("name", name, "no channel has this name"));
        };
        channel.budget = Some(budget);
        Ok(self)
    }

    /// The stage with another rule by which items are chosen, after those before it. All but the
    /// last put every item they keep in order; the last leaves k.
    #[must_use]
    pub fn selection(mut self, selection: impl Selection + 'static) -> Self {
        self.selections.push(Box::new(selection));
        self
    }

    /// The stage with a channel that fills lists up where all others leave them short, with items
    /// that pass what theirs must pass and, where channels search an [index](RecallChannel::holds),
    /// are in one of these.
    #[must_use]
    pub fn fallback(mut self, fallback: impl RecallChannel + 'static) -> Self {
        self.fallback = Some(Box::new(fallback));
        self
    }

    /// The channels' names, in order.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.channels.iter().map(|channel| channel.name.as_str())
    }

    /// The name of a [found](Found::channel) channel.
    pub fn name(&self, channel: usize) -> &str {
        (self.channels.get(channel)).map_or(FALLBACK, |channel| &channel.name)
    }

    /// The channels' shares, in order.
    pub fn shares(&self) -> impl ExactSizeIterator<Item = ChannelWeight> {
        self.channels.iter().map(|channel| channel.share)
    }

    /// Gives the channels other weights, in order.
    ///
    /// # Errors
    /// [`Error::Shape`] when there is not one for each, and [`Error::InvalidValue`] for one that is
    /// below 0 or no number, and when all are 0 where the fusion goes by weights.
    pub fn set_weights(&mut self, weights: &[f64]) -> Result<()> {
        if weights.len() != self.channels.len() {
            return Err(Error::Shape {
                what: "weights of channels",
                expected: self.channels.len(),
                found: weights.len(),
            });
        }
        let shares: Vec<ChannelWeight> = (self.shares().zip(weights))
            .map(|(share, &weight)| share.with_weight(weight))
            .collect();
        self.fusion.check_shares(shares.iter().copied())?;
        for (channel, share) in self.channels.iter_mut().zip(shares) {
            channel.share = share;
        }
        Ok(())
    }

    /// Refuses a stage of which nothing can come: one of no channel and no fallback, or one whose
    /// channels all weigh 0. It can be told no earlier than when all of them are there.
    pub(crate) fn check(&self) -> Result<()> {
        if self.channels.is_empty() && self.fallback.is_none() {
            let reason = "the stage has neither a channel nor a fallback".to_owned();
            return Err(Error::NothingLeft { reason });
        }
        self.fusion.check_shares(self.shares())
    }

    /// The fusion.
    pub fn fusion(&self) -> Fusion {
        self.fusion
    }

    /// The same stage with another fusion.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] for an invalid setting, and when all channels weigh 0 where the fusion
    /// goes by weights.
    pub fn with_fusion(mut self, fusion: Fusion) -> Result<Self> {
        fusion.validate()?;
        fusion.check_shares(self.shares())?;
        self.fusion = fusion;
        Ok(self)
    }

    #[cfg(feature = "engine")]
    pub(crate) fn budget_of(&self, channel: usize) -> Option<Duration> {
        self.channels[channel].budget
    }

    /// How many candidates a channel is asked for.
    pub(crate) fn depth(&self, k: usize) -> usize {
        self.candidates.max(k)
    }

    /// One channel's candidates for some users.
    pub(crate) fn ask(
        &self,
        channel: usize,
        users: &[User<'_>],
        k: usize,
        filter: Option<Filter<'_>>,
    ) -> Result<Candidates> {
        let channel = &self.channels[channel];
        let candidates = channel.channel.recall(users, self.depth(k), filter)?;
        if candidates.len() != users.len() {
            return Err(Error::Shape {
                what: "lists of a channel, which must be one for each user",
                expected: users.len(),
                found: candidates.len(),
            });
        }
        Ok(candidates)
    }

    #[cfg(feature = "engine")]
    /// Whether there are rules for diversity.
    pub(crate) fn selects(&self) -> bool {
        !self.selections.is_empty()
    }

    #[cfg(feature = "engine")]
    /// Whether something fills lists up.
    pub(crate) fn has_fallback(&self) -> bool {
        self.fallback.is_some()
    }

    /// One user's items out of their channels' lists, one for each channel in order; one that says
    /// nothing has an empty list. They are k, or more where [`select`](Self::select) is to choose.
    ///
    /// # Errors
    /// As [`Fusion::fuse`].
    pub(crate) fn fuse(&self, lists: &[Vec<Candidate>], k: usize) -> Result<Vec<FusedCandidate>> {
        let shared: Vec<(&[Candidate], ChannelWeight)> = (lists.iter().zip(self.shares()))
            .map(|(list, share)| (list.as_slice(), share))
            .collect();
        self.fusion.fuse(&shared, self.among(k))
    }

    fn among(&self, k: usize) -> usize {
        if self.selections.is_empty() {
            k
        } else {
            k.saturating_mul(SELECT_AMONG)
        }
    }

    /// The k items that the rules for diversity choose.
    pub(crate) fn select(&self, mut fused: Vec<FusedCandidate>, k: usize) -> Vec<FusedCandidate> {
        let among = self.among(k);
        for (place, selection) in self.selections.iter().enumerate() {
            let last = place + 1 == self.selections.len();
            fused = select(selection.as_ref(), fused, if last { k } else { among });
        }
        fused
    }

    /// What fills a user's list up to k items: the fallback's, where there is one, that are not in
    /// the list and are in an index of the channels that are to be asked; below all others.
    ///
    /// # Errors
    /// What the fallback says, and what the indexes' searches give.
    pub(crate) fn fill(
        &self,
        fused: &[FusedCandidate],
        user: User<'_>,
        k: usize,
        filter: Option<Filter<'_>>,
        asked: impl Fn(usize) -> bool,
    ) -> Result<Vec<FusedCandidate>> {
        let Some(fallback) = self.fallback.as_ref().filter(|_| fused.len() < k) else {
            return Ok(Vec::new());
        };
        let there: foldhash::HashSet<ItemIndex> = fused.iter().map(|fused| fused.item).collect();
        let new = |row: usize, item: ItemIndex| {
            !there.contains(&item) && filter.is_none_or(|filter| filter.passes(row, item))
        };
        let (filter, missing) = (Filter::Predicate(&new), k - fused.len());
        let holds = |items: &ItemSet| self.held(items, &asked);
        let more = stand_in(&**fallback, &[user], missing, filter, holds)?;
        if more.is_empty() {
            return Ok(Vec::new());
        }
        let of_fallback = |(place, candidate): (usize, Candidate)| FusedCandidate {
            item: candidate.item,
            score: 0.0,
            found: vec![Found {
                channel: self.channels.len(),
                rank: place + 1,
                score: candidate.score,
                reason: candidate.reason,
            }],
        };
        Ok(more.of(0).enumerate().map(of_fallback).collect())
    }

    /// Those of some items that are in an index of one of some channels; `None` where none of these
    /// searches any.
    fn held(&self, items: &ItemSet, of: impl Fn(usize) -> bool) -> Result<Option<ItemSet>> {
        let mut held: Option<ItemSet> = None;
        for (_, channel) in self
            .channels
            .iter()
            .enumerate()
            .filter(|(place, _)| of(*place))
        {
            if let Some(of_channel) = channel.channel.holds(items)? {
                held.get_or_insert_default().extend(of_channel.iter());
            }
        }
        Ok(held)
    }

    /// For each user, in order, their k items with every channel that found them, best first. The
    /// filter is asked with a user's place and an item.
    ///
    /// # Errors
    /// A channel's error; a `RecallEngine` leaves one that fails out instead. [`Error::NothingLeft`]
    /// for a stage of no channel and no fallback, and [`Error::InvalidValue`] when all channels weigh 0.
    pub fn recall_fused(
        &self,
        users: &[User<'_>],
        k: usize,
        filter: Option<Filter<'_>>,
    ) -> Result<Vec<Vec<FusedCandidate>>> {
        self.check()?;
        let lists: Vec<Candidates> = (0..self.channels.len())
            .map(|channel| self.ask(channel, users, k, filter))
            .collect::<Result<_>>()?;
        (0..users.len())
            .into_par_iter()
            .map(|row| {
                let of_user: Vec<Vec<Candidate>> =
                    lists.iter().map(|list| list.of(row).collect()).collect();
                let passes = |_: usize, item| filter.is_none_or(|filter| filter.passes(row, item));
                let mut fused = self.select(self.fuse(&of_user, k)?, k);
                let filter = Some(Filter::Predicate(&passes));
                fused.extend(self.fill(&fused, users[row], k, filter, |_| true)?);
                Ok(fused)
            })
            .collect()
    }
}

fn select(selection: &dyn Selection, fused: Vec<FusedCandidate>, k: usize) -> Vec<FusedCandidate> {
    let candidates: Vec<Candidate> = (fused.iter())
        .map(|fused| Candidate {
            item: fused.item,
            score: fused.score,
            reason: (fused.found.first()).map_or(Reason::Taste, |found| found.reason),
        })
        .collect();
    let mut fused: Vec<Option<FusedCandidate>> = fused.into_iter().map(Some).collect();
    (selection.select(&candidates, k).into_iter())
        .filter_map(|place| fused.get_mut(place)?.take())
        .collect()
}

impl RecallChannel for RecallStage {
    /// The fused list; an item's reason is that of the channel that ranks it best.
    fn recall(
        &self,
        users: &[User<'_>],
        k: usize,
        filter: Option<Filter<'_>>,
    ) -> Result<Candidates> {
        let mut candidates = Candidates::with_capacity(users.len(), k);
        for fused in self.recall_fused(users, k, filter)? {
            candidates.push(fused.into_iter().filter_map(|fused| {
                let best = fused.found.iter().min_by_key(|found| found.rank)?;
                Some(Candidate {
                    item: fused.item,
                    score: fused.score,
                    reason: best.reason,
                })
            }));
        }
        Ok(candidates)
    }

    fn holds(&self, items: &ItemSet) -> Result<Option<ItemSet>> {
        self.held(items, |_| true)
    }

    fn observe(&self, item: ItemIndex, interaction: &Interaction, segments: &[String]) {
        let channels = self.channels.iter().map(|channel| &channel.channel);
        channels
            .chain(&self.fallback)
            .for_each(|channel| channel.observe(item, interaction, segments));
    }
}

impl fmt::Debug for RecallStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shares: Vec<_> = self.names().zip(self.shares()).collect();
        f.debug_struct("RecallStage")
            .field("fusion", &self.fusion)
            .field("candidates", &self.candidates)
            .field("channels", &shares)
            .field("selections", &self.selections.len())
            .field("fallback", &self.fallback.is_some())
            .finish()
    }
}
