//! From a trained model to recalled items: vectors, retrieval, evaluation, run folders.

mod channel;
mod evaluation;
mod retriever;
mod run;
mod vectors;

pub use channel::{ModelChannel, RecallChannel};
pub use evaluation::Evaluation;
pub use retriever::{RecallOptions, Recalled, RecalledItem, Retriever, Source};
pub use run::{RUN_FORMAT_VERSION, Run};
pub use vectors::{item_vectors, user_vectors};
