//! Which positions of a sequence are predicted.

use serde::{Deserialize, Serialize};

/// Which positions of a sequence are targets in an epoch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Targets {
    /// One position per user and epoch, drawn uniformly from those with at least
    /// `minimum_history` items before them.
    OneRandom {
        /// How many items must come before a target.
        minimum_history: usize,
    },
    /// Every position but the first: each item of the last `max_len + 1` predicts the next.
    #[default]
    All,
    /// Every position but the first, each with a row of its own: the last `max_len` items before it
    /// as a history. It takes longer than [`All`](Self::All), and is for models that look at the
    /// whole of a history at once, such as [`BsaRec`](crate::model::BsaRec) and
    /// [`MultiInterest`](crate::model::MultiInterest).
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
