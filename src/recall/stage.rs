//! The whole recall stage: channels, their fusion, and the rules around it.

use std::fmt;
use std::time::Duration;

use crate::index::IndexReport;
use crate::{Error, ErrorKind, Result, checks};

use super::channel::RecallChannel;
use super::channel_weight::ChannelWeight;
use super::fusion::Fusion;
use super::selection::Selection;

/// Several channels whose lists are fused into one.
///
/// It is a channel itself, and so is judged like any other:
///
/// ```
/// use seqrec::prelude::*;
/// use seqrec::channels::{ItemNeighborsConfig, MarkovChainConfig, PopularityConfig};
/// use seqrec::recall::{Fusion, HistoryItems, Path, RecallStage, ChannelWeight};
///
/// let log = seqrec::data::synthetic::Synthetic::new().with_users(80).with_items(60).generate()?;
/// let dataset = Dataset::new(log, Filters::default())?;
/// let split = Split::new(&dataset, Protocol::LeaveOneOut)?;
/// let neighbors = ItemNeighborsConfig::new().fit(&split.train)?;
/// let item_cf = HistoryItems::last(20)?.with_decay(0.8)?.then(neighbors).into_channel();
/// let markov = MarkovChainConfig::new().fit(&split.train)?;
/// let stage = RecallStage::new(Fusion::RECIPROCAL_RANK, 200)?
///     .channel("markov", markov, ChannelWeight::new().with_weight(2.0))?
///     .channel("item_cf", item_cf, ChannelWeight::default())?
///     .fallback(PopularityConfig::new().fit(&split.train)?);
///
/// let report = Evaluation::new(&[10], Seen::Keep).run(&stage, &split.test, split.catalog())?;
/// println!("recall@10 {:.4}", report.recall(10).unwrap());
/// let fused = &stage.recall_fused(&[split.test.get(0).user], 10, None)?[0];
/// assert_eq!(stage.name(fused[0].found[0].channel), "markov");
/// # Ok::<(), seqrec::Error>(())
/// ```
pub struct RecallStage {
    pub(super) fusion: Fusion,
    /// How many candidates each channel is asked for, or k where that is more.
    pub(super) candidates: usize,
    pub(super) channels: Vec<StageChannel>,
    pub(super) selections: Vec<Box<dyn Selection>>,
    pub(super) fallback: Option<Box<dyn RecallChannel>>,
    /// What indexes of channels find, by the channel's name.
    indexes: Vec<(String, IndexReport)>,
}

pub(super) struct StageChannel {
    name: String,
    pub(super) channel: Box<dyn RecallChannel>,
    share: ChannelWeight,
    budget: Option<Duration>,
}

/// The name of what fills a list up where all channels together leave it short.
pub(crate) const FALLBACK: &str = "fallback";

/// The name of the rules for diversity, where something is to be said of them.
pub(crate) const SELECTION: &str = "selection";

impl RecallStage {
    /// A stage with no channels yet, each of which will be asked for so many candidates.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`] for 0 candidates or an invalid setting of the fusion.
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

    /// How each channel of a [plan](crate::store::StagePlan) that searches vectors does so, and
    /// what its index was found to find when it was built.
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
    /// [`ErrorKind::InvalidValue`] for a name that is taken, and for a weight that is below 0 or no
    /// number.
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
    /// [`ErrorKind::InvalidValue`] when no channel has the name.
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

    /// The name of a [found](super::recalled::Found::channel) channel.
    pub fn name(&self, channel: usize) -> &str {
        (self.channels.get(channel)).map_or(FALLBACK, |channel| &channel.name)
    }

    /// The channel of this name, if there is one.
    pub fn get(&self, name: &str) -> Option<&dyn RecallChannel> {
        let channel = self.channels.iter().find(|channel| channel.name == name)?;
        Some(&*channel.channel)
    }

    /// The channels' shares, in order.
    pub fn shares(&self) -> impl ExactSizeIterator<Item = ChannelWeight> {
        self.channels.iter().map(|channel| channel.share)
    }

    /// Gives the channels other weights, in order.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] when there is not one for each, and [`ErrorKind::InvalidValue`] for one
    /// that is below 0 or no number, and when all are 0 where the fusion goes by weights.
    pub fn set_weights(&mut self, weights: &[f64]) -> Result<()> {
        if weights.len() != self.channels.len() {
            return Err(ErrorKind::Shape {
                what: "weights of channels",
                expected: self.channels.len(),
                found: weights.len(),
            }
            .into());
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
            return Err(ErrorKind::NothingLeft { reason }.into());
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
    /// [`ErrorKind::InvalidValue`] for an invalid setting, and when all channels weigh 0 where the
    /// fusion goes by weights.
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
