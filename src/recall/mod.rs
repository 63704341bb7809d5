//! From a trained model to recalled items: vectors, retrieval, evaluation, run folders; and
//! channels that need no neural model.

mod channel;
mod diversity;
#[cfg(feature = "ease")]
mod ease;
mod evaluation;
mod factorization;
mod item_scores;
mod markov;
mod popularity;
mod retriever;
mod run;
mod session_knn;
mod vectors;

pub use channel::{ModelChannel, RecallChannel};
pub use diversity::Diverse;
#[cfg(feature = "ease")]
pub use ease::Ease;
pub use evaluation::Evaluation;
pub use factorization::{AlsConfig, BprConfig, MatrixFactorization};
pub use markov::MarkovChain;
pub use popularity::Popularity;
pub use retriever::{RecallOptions, Recalled, RecalledItem, Retriever, Source};
pub use run::{RUN_FORMAT_VERSION, Run};
pub use session_knn::{SessionKnn, SessionKnnConfig};
pub use vectors::{item_vectors, user_vectors};
