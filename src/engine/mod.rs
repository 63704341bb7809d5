//! One call that serves the whole recall stage, while models change and events stream in.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

mod answers;
mod call;
pub mod counters;
mod events;
mod guard;
mod items;
mod jobs;
mod new_items;
mod recall_engine;
mod serving;
mod settings;
mod users;
mod workers;

pub use recall_engine::RecallEngine;
pub use settings::EngineConfig;
pub use users::Observed;
