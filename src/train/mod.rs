//! Training: the loop, early stopping, checkpoints, and observers of all that.

mod adam;
mod checkpoint;
mod observer;
#[cfg(feature = "progress")]
mod progress;
mod trainer;

pub use adam::{Adam, AdamMoments};
pub use observer::{CsvLog, EpochReport, StepReport, TrainingObserver, TrainingPlan};
#[cfg(feature = "progress")]
pub use progress::ProgressBars;
pub use trainer::{StopReason, Trained, Trainer, TrainerConfig};
