//! The lists of a retriever for some users, with its fallback's where a user would have none.

use rayon::prelude::*;

use crate::Result;
use crate::checks::same_length;
use crate::data::{ItemIndex, User};
use crate::index::{Filter, ItemSet};

use super::candidates::{Candidates, Reason};
use super::channel::RecallChannel;
use super::fallback::stand_in;
use super::found::Found;
use super::fusion::FusedCandidate;

/// Whether the user in a place may be recalled an item.
pub(super) type Passes<'a> = &'a (dyn Fn(usize, ItemIndex) -> bool + Sync);

/// The lists of some users.
pub(super) struct Lists<'a> {
    lists: Recalls,
    /// The users for whom a fallback stands in, in order, and its lists for them.
    without: Vec<usize>,
    instead: Candidates,
    /// The fallback's place among channels.
    fallback: usize,
    k: usize,
    passes: Passes<'a>,
    /// Whether every item passes, so that none is asked for again: a channel may look at no filter,
    /// and at no k, but hardly one does.
    all_pass: bool,
}

enum Recalls {
    OfOne(Candidates),
    Fused(Vec<Vec<FusedCandidate>>),
}

/// A channel that is asked for lists, and what stands in for it.
pub(super) struct Asks<'a> {
    pub(super) channel: &'a dyn RecallChannel,
    /// Whether the channel fuses others.
    pub(super) fuses: bool,
    pub(super) fallback: Option<&'a dyn RecallChannel>,
    /// The number of channels, the fallback not counted.
    pub(super) channels: usize,
}

impl<'a> Lists<'a> {
    /// Asks for the k best items of each user that pass.
    pub(super) fn recall(
        asks: &Asks<'_>,
        users: &[User<'_>],
        k: usize,
        filter: Filter<'_>,
        passes: Passes<'a>,
    ) -> Result<Self> {
        let lists = if asks.fuses {
            Recalls::Fused(asks.channel.fused(users, k, Some(filter))?)
        } else {
            Recalls::OfOne(asks.channel.recall(users, k, Some(filter))?)
        };
        let found = match &lists {
            Recalls::OfOne(candidates) => candidates.len(),
            Recalls::Fused(lists) => lists.len(),
        };
        same_length("lists of candidates", users.len(), found)?;
        let mut recalled = Self {
            lists,
            without: Vec::new(),
            instead: Candidates::default(),
            fallback: asks.channels,
            k,
            passes,
            all_pass: false,
        };
        recalled.all_pass = (0..users.len())
            .into_par_iter()
            .all(|row| recalled.passes_all(row));
        if let Some(fallback) = asks.fallback {
            recalled.fall_back(fallback, asks.channel, users, filter)?;
        }
        Ok(recalled)
    }

    fn fall_back(
        &mut self,
        fallback: &dyn RecallChannel,
        channel: &dyn RecallChannel,
        users: &[User<'_>],
        filter: Filter<'_>,
    ) -> Result<()> {
        let is_empty = |&row: &usize| {
            let mut any = false;
            self.each(row, |_, _, _| any = true);
            !any
        };
        let without: Vec<usize> = (0..users.len()).filter(is_empty).collect();
        if without.is_empty() {
            return Ok(());
        }
        let left: Vec<User<'_>> = without.iter().map(|&row| users[row]).collect();
        let passes = |row: usize, item| (self.passes)(without[row], item);
        let holds = |items: &ItemSet| channel.holds(items);
        let filter = match filter {
            Filter::Predicate(_) => Filter::Predicate(&passes),
            of_all => of_all,
        };
        let instead = stand_in(fallback, &left, self.k, filter, holds)?;
        same_length("lists of candidates", left.len(), instead.len())?;
        (self.without, self.instead) = (without, instead);
        let instead = self.without.par_iter();
        self.all_pass &= instead.all(|&row| self.passes_all(row));
        Ok(())
    }

    /// Whether every item of a user's list passes, and they are not more than k.
    fn passes_all(&self, row: usize) -> bool {
        if let Ok(place) = self.without.binary_search(&row) {
            return self.pass_all(row, self.instead.items(place).iter().copied());
        }
        match &self.lists {
            Recalls::OfOne(candidates) => self.pass_all(row, candidates.items(row).iter().copied()),
            Recalls::Fused(lists) => self.pass_all(row, lists[row].iter().map(|fused| fused.item)),
        }
    }

    fn pass_all(&self, row: usize, mut items: impl ExactSizeIterator<Item = ItemIndex>) -> bool {
        items.len() <= self.k && items.all(|item| (self.passes)(row, item))
    }

    /// Gives each item of a user's list, best first, with its score and how it was found.
    pub(super) fn each(
        &self,
        row: usize,
        mut give: impl FnMut(ItemIndex, f32, &[Found<usize, Reason>]),
    ) {
        let passes = |item| self.all_pass || (self.passes)(row, item);
        let mut of_channel = |channel, candidates: &Candidates, place: usize| {
            Found::all_of(channel, candidates.of(place))
                .filter(|(candidate, _)| passes(candidate.item))
                .take(self.k)
                .for_each(|(candidate, found)| give(candidate.item, candidate.score, &[found]));
        };
        if let Ok(place) = self.without.binary_search(&row) {
            return of_channel(self.fallback, &self.instead, place);
        }
        match &self.lists {
            Recalls::OfOne(candidates) => of_channel(0, candidates, row),
            Recalls::Fused(lists) => (lists[row].iter())
                .filter(|fused| passes(fused.item))
                .take(self.k)
                .for_each(|fused| give(fused.item, fused.score, &fused.found)),
        }
    }
}
