//! Channels that need no neural network: popularity, Markov chain, nearest sessions, matrix
//! factorization, EASE, items of like content, and the steps of paths over items, users and tags.

mod baselines;
mod content_neighbors;
#[cfg(feature = "ease")]
mod ease;
mod factorization;
mod item_neighbors;
mod item_paths;
mod liked;
mod markov;
mod met_items;
mod popularity;
mod session_knn;
mod taken_by;
mod user_paths;

pub use baselines::baselines;
pub use content_neighbors::{Content, ContentNeighborsConfig};
#[cfg(feature = "ease")]
pub use ease::EaseConfig;
pub use factorization::{AlsConfig, BprConfig, MatrixFactorization};
pub use item_neighbors::ItemNeighborsConfig;
pub use item_paths::{NearestItemsConfig, PreferredTagsConfig};
pub use markov::MarkovChainConfig;
pub use popularity::{Popularity, PopularityConfig};
pub use session_knn::SessionKnnConfig;
pub use user_paths::{NearestUsersConfig, SimilarUsersConfig};
