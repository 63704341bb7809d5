//! What a stage recalls: its channels' lists, fused, chosen from and filled up.

use std::sync::Arc;

use rayon::prelude::*;

use crate::data::{Catalog, Interaction, ItemIndex, User};
use crate::index::{Filter, ItemSet};
use crate::{ErrorKind, Result};

use super::candidates::{Candidate, Candidates, Reason};
use super::channel::RecallChannel;
use super::channel_weight::ChannelWeight;
use super::fallback::stand_in;
use super::found::Found;
use super::fusion::FusedCandidate;
use super::selection::Selection;
use super::stage::RecallStage;

/// How many items, for each that is asked for, selections choose among.
const SELECT_AMONG: usize = 4;

impl RecallStage {
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
            return Err(ErrorKind::Shape {
                what: "lists of a channel, which must be one for each user",
                expected: users.len(),
                found: candidates.len(),
            }
            .into());
        }
        Ok(candidates)
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
        let found = Found::all_of(self.channels.len(), more.of(0));
        let below = found.map(|(candidate, found)| FusedCandidate {
            item: candidate.item,
            score: 0.0,
            found: vec![found],
        });
        Ok(below.collect())
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
    /// A channel's error; a `RecallEngine` leaves one that fails out instead.
    /// [`ErrorKind::NothingLeft`] for a stage of no channel and no fallback, and
    /// [`ErrorKind::InvalidValue`] when all channels weigh 0.
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
            reason: (fused.found.first()).map_or(Reason::Taste, |found| found.because),
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
                    reason: best.because,
                })
            }));
        }
        Ok(candidates)
    }

    fn fused_names(&self) -> Vec<Arc<str>> {
        self.names().map(Arc::from).collect()
    }

    fn fused(
        &self,
        users: &[User<'_>],
        k: usize,
        filter: Option<Filter<'_>>,
    ) -> Result<Vec<Vec<FusedCandidate>>> {
        self.recall_fused(users, k, filter)
    }

    fn holds(&self, items: &ItemSet) -> Result<Option<ItemSet>> {
        self.held(items, |_| true)
    }

    fn check_catalog(&self, catalog: &Catalog) -> Result<()> {
        let channels = self.channels.iter().map(|channel| &channel.channel);
        let mut all = channels.chain(&self.fallback);
        all.try_for_each(|channel| channel.check_catalog(catalog))
    }

    fn observe(&self, item: ItemIndex, interaction: &Interaction, segments: &[String]) {
        let channels = self.channels.iter().map(|channel| &channel.channel);
        channels
            .chain(&self.fallback)
            .for_each(|channel| channel.observe(item, interaction, segments));
    }
}
