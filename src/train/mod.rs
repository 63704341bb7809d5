//! Training: the loop, early stopping, checkpoints, and observers of all that.

mod average;
mod checkpoint;
mod config;
mod decay;
mod epoch_table;
mod finite;
mod gradients;
mod graph_turn;
mod half;
mod identity;
mod matched_rows;
mod model_optimizer;
mod new_items;
mod observer;
mod optimizer;
mod optimizer_state;
mod outcome;
#[cfg(feature = "progress")]
mod progress;
mod schedule;
pub mod search;
mod stretch;
mod tables;
mod trainer;
mod training;
mod warm_start;

pub use config::TrainerConfig;
pub use epoch_table::EpochTable;
pub use model_optimizer::ModelOptimizer;
pub use new_items::NewItems;
pub use observer::{CsvLog, EpochReport, StepReport, TrainingObserver, TrainingPlan};
pub use optimizer::Optimizer;
pub use outcome::{StopReason, Trained};
#[cfg(feature = "progress")]
pub use progress::ProgressBars;
pub use schedule::Schedule;
#[doc(inline)]
pub use search::Search;
pub use tables::Tables;
pub use trainer::Trainer;
pub use warm_start::{Overlap, WarmStart};
