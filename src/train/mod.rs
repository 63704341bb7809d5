//! Training: the loop, early stopping, checkpoints, and observers of all that.

mod adagrad;
mod adam;
mod checkpoint;
mod finite;
mod identity;
mod observer;
mod optimizer;
#[cfg(feature = "progress")]
mod progress;
mod trainer;

pub use adagrad::Adagrad;
pub use adam::Adam;
pub use observer::{CsvLog, EpochReport, StepReport, TrainingObserver, TrainingPlan};
pub use optimizer::{Optimizer, OptimizerState};
#[cfg(feature = "progress")]
pub use progress::ProgressBars;
pub use trainer::{StopReason, Trained, Trainer, TrainerConfig};
