//! Many channels' lists as one.

use serde::{Deserialize, Serialize};

use crate::data::ItemIndex;
use crate::kernels::top_k::best_first;
use crate::{Error, Result, checks};

use super::candidates::{Candidate, Reason};
use super::channel_weight::ChannelWeight;
use super::found::Found;
use super::scores::NodePlaces;
use super::turns::Turns;

/// How the lists of several channels are merged into one list without repeats.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Fusion {
    /// An item's score is the sum of its channels' weights over (constant + its rank there):
    /// Cormack, Clarke & Büttcher, [reciprocal rank
    /// fusion](https://doi.org/10.1145/1571941.1572114). It uses ranks alone, so that
    /// channels may score in any unit.
    ReciprocalRank {
        /// How much less the first ranks stand out; 60 in the paper.
        constant: f64,
    },
    /// An item's score is the sum of its channels' weights times its score there, from 0 for the
    /// list's last to 1 for its first.
    MinMax,
    /// An item's score is the sum of its channels' weights times its score there, in standard
    /// deviations above the list's last.
    ZScore,
    /// Channels take turns, each giving its best item that is not in the list yet: the first to
    /// the last, then the last to the first, like a snake.
    RoundRobin,
    /// Interleaves channels in proportion to their quotas, so that every prefix of the list has the
    /// same mix. A channel that has filled its quota gives more only when no other can.
    Quotas,
}

/// An item of a fused list.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct FusedCandidate {
    /// The item.
    pub item: ItemIndex,
    /// Its score in the fusion; the list is in the order of these.
    pub score: f32,
    /// Every channel that found it, in order of channels.
    pub found: Vec<Found<usize, Reason>>,
}

impl Fusion {
    /// Reciprocal rank fusion with the constant of the paper.
    pub const RECIPROCAL_RANK: Self = Self::ReciprocalRank { constant: 60.0 };

    /// Checks the method's settings.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) when the constant is below 0.
    pub fn validate(&self) -> Result<()> {
        match *self {
            Self::ReciprocalRank { constant } => checks::not_negative("constant", constant),
            _ => Ok(()),
        }
    }

    /// Refuses weights with which no channel would give anything. Turns and quotas give something
    /// whatever they are: channels that are at the end of their quotas go on in turns.
    pub(super) fn check_shares(
        &self,
        shares: impl ExactSizeIterator<Item = ChannelWeight>,
    ) -> Result<()> {
        let channels = shares.len();
        let mut counts = channels == 0 || self.check_weighted().is_err();
        for share in shares {
            share.validate()?;
            // As it is reckoned with.
            counts |= share.weight as f32 > 0.0;
        }
        if counts {
            return Ok(());
        }
        let reason = format!(
            "must be above 0 for at least one of {channels} channels: none would add anything"
        );
        Err(Error::invalid("weight", 0, reason))
    }

    /// The k best items of the lists of one user's channels, each best first and each with its
    /// share; best first, ties by item index.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) for a weight that is below 0 or
    /// no number, and when all weights are 0 where the method goes by them.
    ///
    /// ```
    /// use seqrec::data::ItemIndex;
    /// use seqrec::recall::{Candidate, ChannelWeight, Fusion, Reason};
    ///
    /// let list = |items: [u32; 3]| {
    ///     let item = ItemIndex::new;
    ///     items.map(|number| Candidate { item: item(number), score: 1.0, reason: Reason::Popular })
    /// };
    /// let (a, b) = (list([1, 2, 3]), list([3, 4, 1]));
    /// let lists = [(&a[..], ChannelWeight::default()), (&b[..], ChannelWeight::default())];
    /// let fused = Fusion::RECIPROCAL_RANK.fuse(&lists, 2)?;
    /// assert_eq!([fused[0].item, fused[1].item], [1, 3].map(ItemIndex::new));
    /// assert_eq!((fused[0].found[1].channel, fused[0].found[1].rank), (1, 3));
    /// let turns = Fusion::RoundRobin.fuse(&lists, 4)?;
    /// assert_eq!(turns.iter().map(|fused| fused.item.get()).collect::<Vec<_>>(), [1, 3, 4, 2]);
    /// # Ok::<(), seqrec::Error>(())
    /// ```
    pub fn fuse(
        &self,
        lists: &[(&[Candidate], ChannelWeight)],
        k: usize,
    ) -> Result<Vec<FusedCandidate>> {
        self.check_shares(lists.iter().map(|&(_, share)| share))?;
        let chosen = match self {
            Self::RoundRobin => Turns::new(lists).snake(k),
            Self::Quotas => Turns::new(lists).by_quota(k),
            Self::ReciprocalRank { .. } | Self::MinMax | Self::ZScore => self.best(lists, k),
        };
        let mut places = NodePlaces::new(nodes(lists));
        let mut fused: Vec<FusedCandidate> = Vec::with_capacity(chosen.len());
        for (item, score) in chosen {
            places.get_or_insert(item.get(), fused.len());
            fused.push(FusedCandidate {
                item,
                score,
                found: Vec::new(),
            });
        }
        for (channel, (list, _)) in lists.iter().enumerate() {
            for (place, candidate) in list.iter().enumerate() {
                if let Some(of_item) = places.get(candidate.item.get()) {
                    fused[of_item]
                        .found
                        .push(Found::at(channel, place, candidate));
                }
            }
        }
        places.forget(fused.iter().map(|fused| fused.item.get()));
        Ok(fused)
    }

    /// The k best items by the sum of what their channels contribute.
    fn best(&self, lists: &[(&[Candidate], ChannelWeight)], k: usize) -> Vec<(ItemIndex, f32)> {
        let mut places = NodePlaces::new(nodes(lists));
        let mut sums: Vec<(u32, f32)> = Vec::new();
        for (list, share) in lists.iter().filter(|(_, share)| share.weight as f32 > 0.0) {
            let contributions = self.contributions(list);
            for (candidate, contribution) in list.iter().zip(contributions) {
                let contribution = share.weight as f32 * contribution;
                let item = candidate.item.get();
                match places.get_or_insert(item, sums.len()) {
                    (_, true) => sums.push((item, contribution)),
                    (place, false) => sums[place].1 += contribution,
                }
            }
        }
        places.forget(sums.iter().map(|&(item, _)| item));
        if k < sums.len() {
            sums.select_nth_unstable_by(k, best_first);
            sums.truncate(k);
        }
        sums.sort_unstable_by(best_first);
        let sums = sums.into_iter();
        sums.map(|(item, sum)| (ItemIndex::new(item), sum))
            .collect()
    }

    /// What each candidate of a list adds to its item's score, for a weight of 1; `None` where
    /// the method is no sum.
    pub(super) fn contributions(&self, list: &[Candidate]) -> Vec<f32> {
        match *self {
            Self::ReciprocalRank { constant } => {
                let ranks = (1..=list.len()).map(|rank| rank as f64);
                ranks.map(|rank| (1.0 / (constant + rank)) as f32).collect()
            }
            Self::MinMax => comparable(list, |scores, least| {
                scores.iter().copied().fold(f32::NEG_INFINITY, f32::max) - least
            }),
            Self::ZScore => comparable(list, |scores, _| deviation(scores)),
            Self::RoundRobin | Self::Quotas => vec![0.0; list.len()],
        }
    }

    /// Refuses a method whose result does not depend on weights.
    pub(super) fn check_weighted(&self) -> Result<()> {
        match self {
            Self::ReciprocalRank { .. } | Self::MinMax | Self::ZScore => Ok(()),
            Self::RoundRobin | Self::Quotas => Err(Error::invalid(
                "fusion",
                format!("{self:?}"),
                "only reciprocal ranks and weighted scores have weights to learn",
            )),
        }
    }
}

/// A number that all items of lists are below.
fn nodes(lists: &[(&[Candidate], ChannelWeight)]) -> usize {
    let items = lists.iter().flat_map(|(list, _)| *list);
    items
        .map(|candidate| candidate.item.to_usize() + 1)
        .max()
        .unwrap_or(0)
}

/// The scores of a list, which are best first but for lists chosen for diversity, above the least
/// of them and in units of what `scale` makes of all and the least.
fn comparable(list: &[Candidate], scale: impl Fn(&[f32], f32) -> f32) -> Vec<f32> {
    let scores: Vec<f32> = list.iter().map(|candidate| candidate.score).collect();
    let least = scores.iter().copied().fold(f32::INFINITY, f32::min);
    let scale = scale(&scores, least);
    // Where all are the same there is nothing to tell them apart, but all were found.
    if scale > 0.0 && scale.is_finite() {
        scores.iter().map(|score| (score - least) / scale).collect()
    } else {
        vec![1.0; list.len()]
    }
}

/// The standard deviation of some scores.
fn deviation(scores: &[f32]) -> f32 {
    let count = scores.len() as f32;
    let mean = scores.iter().sum::<f32>() / count;
    let squares = scores.iter().map(|score| (score - mean).powi(2));
    (squares.sum::<f32>() / count).sqrt()
}
