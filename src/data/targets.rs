//! Which positions of a sequence are predicted.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Which positions of a sequence are targets in an epoch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Targets {
    /// One position per user and epoch, drawn uniformly from those with at least
    /// `minimum_history` items before them. What users [dislike](super::Role::Negative) is learned
    /// from by the other kinds of targets alone.
    OneRandom {
        /// How many items must come before a target.
        minimum_history: usize,
    },
    /// Every position but the first: each item predicts the next. Of a sequence of more than
    /// `max_len + 1` items, every epoch draws another `max_len + 1` in a row, so that over epochs
    /// all of them are targets.
    #[default]
    All,
    /// Every position but the first, each with a row of its own: the last `max_len` items before it
    /// as a history. It takes longer than [`All`](Self::All), and is for models that look at the
    /// whole of a history at once, such as [BSARec](crate::model::BsaRecConfig) and
    /// [MIND and ComiRec](crate::model::MultiInterestConfig).
    EveryPrefix,
    /// Sequences run side by side, one item a batch: row r of a batch continues where a row of the
    /// previous batch stood, and where its sequence ended the next one begins. Models that carry a
    /// state from batch to batch are trained so (Hidasi et al.,
    /// [2016](https://arxiv.org/abs/1511.06939), section 3.1.1).
    ///
    /// Sequences are taken in the order of their first times, the same in every epoch.
    SessionParallel,
}

impl Targets {
    /// One random target with at least four items before it.
    pub const ONE_RANDOM: Self = Self::OneRandom { minimum_history: 4 };

    /// The shortest sequence that has a target.
    pub(super) fn least_length(self) -> usize {
        match self {
            Self::OneRandom { minimum_history } => minimum_history.saturating_add(1),
            Self::All | Self::EveryPrefix | Self::SessionParallel => 2,
        }
    }
}

/// How many targets an epoch has, and how much of the data is never one.
///
/// ```
/// use seqrec::data::synthetic::Synthetic;
/// use seqrec::data::{Batcher, Dataset, Filters, Targets};
///
/// let log = Synthetic::new().with_users(80).with_items(60).generate()?;
/// let dataset = Dataset::new(log, Filters::default())?;
/// let batcher = Batcher::new(&dataset.training_data(), 32, 50, Targets::All, 42)?;
/// let counts = batcher.target_counts();
/// assert!(counts.per_epoch < counts.all && counts.never == 0);
/// println!("{counts}");
/// # Ok::<(), seqrec::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TargetCounts {
    /// How many targets an epoch has.
    pub per_epoch: usize,
    /// How many positions of all training sequences have an item before them.
    pub all: usize,
    /// How many of these are a target in no epoch.
    pub never: usize,
    /// How many items the catalog has.
    pub items: usize,
    /// How many of these are a target in no epoch, and so are learned as history or negatives only.
    pub items_never: usize,
}

impl fmt::Display for TargetCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            per_epoch,
            all,
            never,
            items,
            items_never,
        } = self;
        write!(f, "{per_epoch} of {all} targets an epoch")?;
        if *never > 0 {
            write!(f, ", {never} in no epoch")?;
        }
        write!(f, "; {items_never} of {items} items are never a target")
    }
}
