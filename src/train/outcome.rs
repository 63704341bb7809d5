//! The result of training.

use std::fmt;

use serde::Serialize;
use tracing::info;

use super::checkpoint::Progress;
use super::observer::EpochReport;

/// Why training ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StopReason {
    /// All epochs were made.
    Epochs,
    /// The validation metric did not get better for long enough.
    Patience,
    /// Its time was up.
    Time,
    /// An observer ended it.
    Observer,
    /// The loss became NaN or infinite; the best weights of the epochs before are kept.
    Diverged {
        /// The epoch, counted from 1.
        epoch: usize,
        /// The step within the epoch, counted from 1.
        step: usize,
    },
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Epochs => f.write_str("all epochs were made"),
            Self::Patience => f.write_str("the validation metric got no better"),
            Self::Time => f.write_str("its time was up"),
            Self::Observer => f.write_str("an observer ended it"),
            Self::Diverged { epoch, step } => {
                write!(
                    f,
                    "the loss became NaN or infinite at epoch {epoch}, step {step}"
                )
            }
        }
    }
}

/// The result of training.
///
/// It is written without the model: as JSON with every epoch, and for a reader in a line.
///
/// ```
/// use seqrec::prelude::*;
///
/// # let log = seqrec::data::synthetic::Synthetic::new().with_users(80).with_items(60).generate()?;
/// let split = Split::new(&Dataset::new(log, Filters::default())?, Protocol::LeaveOneOut)?;
/// let model = Gru4RecConfig::new().with_dim(8).init::<Autodiff<Flex>>(
///     split.catalog().len(), 1, &Default::default())?;
/// let trained = Trainer::new(TrainerConfig::new().with_epochs(2)).fit(model, &split)?;
/// assert!(trained.to_string().contains("of 2 epochs"), "{trained}");
/// assert!(trained.to_string().ends_with("stopped since all epochs were made"));
/// # Ok::<(), seqrec::Error>(())
/// ```
#[derive(Debug, Clone, Serialize)]
#[serde(bound = "")]
pub struct Trained<M> {
    /// The model with the best epoch's weights.
    #[serde(skip)]
    pub model: M,
    /// Which of `epochs` is the best, counted from 1; the last one where there are no validation
    /// users, and 0 where an observer ended training before any was whole: the model is then as it
    /// was.
    pub best_epoch: usize,
    /// Every epoch, or validation where there were more of these.
    pub epochs: Vec<EpochReport>,
    /// The duration of all steps in seconds, validation not counted.
    pub train_seconds: f64,
    /// Why training ended.
    pub stop: StopReason,
}

impl<M> Trained<M> {
    /// The best weights of a training, and how it came to them.
    pub(super) fn new(model: M, progress: Progress, stop: StopReason) -> Self {
        info!(epochs = progress.epochs.len(), %stop, "trained");
        Self {
            model,
            best_epoch: progress.best_epoch,
            epochs: progress.epochs,
            train_seconds: progress.train_seconds,
            stop,
        }
    }
}

impl<M> fmt::Display for Trained<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let best = (self.best_epoch.checked_sub(1)).and_then(|place| self.epochs.get(place));
        match best {
            Some(best) => write!(f, "the best of {} epochs is {best}", self.epochs.len())?,
            None => f.write_str("no epoch was made")?,
        }
        write!(
            f,
            "; trained for {:.1} s, stopped since {}",
            self.train_seconds, self.stop
        )
    }
}
