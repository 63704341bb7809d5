//! The result of training.

use super::checkpoint::Progress;
use super::observer::EpochReport;

/// Why training ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// The result of training.
#[derive(Debug, Clone)]
pub struct Trained<M> {
    /// The model with the best epoch's weights.
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
        Self {
            model,
            best_epoch: progress.best_epoch,
            epochs: progress.epochs,
            train_seconds: progress.train_seconds,
            stop,
        }
    }
}
