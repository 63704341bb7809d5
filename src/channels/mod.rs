//! Channels that need no neural network: popularity, Markov chain, nearest sessions, matrix
//! factorization, EASE, and the steps of paths over items, users and tags.

#[cfg(feature = "ease")]
mod ease;
mod factorization;
mod item_neighbors;
mod item_paths;
mod markov;
mod popularity;
mod session_knn;
mod taken_by;
mod user_paths;

#[cfg(feature = "ease")]
pub use ease::{Ease, EaseConfig};
pub use factorization::{AlsConfig, BprConfig, MatrixFactorization};
pub use item_neighbors::ItemNeighborsConfig;
pub use item_paths::{NearestItems, NearestItemsConfig, PreferredTagsConfig};
pub use markov::{MarkovChain, MarkovChainConfig};
pub use popularity::{InteractionWeight, Popularity, PopularityConfig};
pub use session_knn::{SessionKnn, SessionKnnConfig};
pub use user_paths::{NearestUsersConfig, SimilarUsers, SimilarUsersConfig};
