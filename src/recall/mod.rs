//! The recall stage: from a trained model to vectors, retrieval, evaluation and run folders;
//! channels that need no neural model; and many channels fused into one list.

mod candidates;
mod channel;
mod diversity;
#[cfg(feature = "ease")]
mod ease;
mod evaluation;
mod factorization;
mod item_neighbours;
mod item_paths;
mod links;
mod markov;
mod path;
mod popularity;
mod retriever;
mod run;
mod scores;
mod session_knn;
mod taken_by;
mod user_paths;
mod vectors;

pub use candidates::{Candidate, Candidates, Reason};
pub use channel::{ModelChannel, RecallChannel, UserContext};
pub use diversity::Diverse;
#[cfg(feature = "ease")]
pub use ease::Ease;
pub use evaluation::Evaluation;
pub use factorization::{AlsConfig, BprConfig, MatrixFactorization};
pub use item_neighbours::ItemNeighboursConfig;
pub use item_paths::{NearestItems, PreferredTags, items_of_tags, tags_of_items};
pub use links::{Item, Links, Node, Tag, User};
pub use markov::MarkovChain;
pub use path::{Best, HistoryItems, Path, PathChannel, Reached, Step, Then};
pub use popularity::{Measure, Popularity, PopularityConfig};
pub use retriever::{RecallOptions, Retrieved, RetrievedItem, Retriever, Source};
pub use run::{RUN_FORMAT_VERSION, Run};
pub use session_knn::{SessionKnn, SessionKnnConfig};
pub use user_paths::{
    ModelEncoder, NearestUsers, SimilarUsers, SimilarUsersConfig, UserEncoder, next_items,
    training_vectors,
};
pub use vectors::{item_vectors, user_vectors};
