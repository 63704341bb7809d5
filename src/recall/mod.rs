//! The recall stage: from a trained model to vectors, retrieval, evaluation and run folders;
//! channels that need no neural model; and many channels fused into one list.

mod arrays;
mod candidates;
mod channel;
#[cfg(feature = "ease")]
mod ease;
mod evaluation;
mod factorization;
mod fallback;
mod fusion;
mod fusion_weights;
mod item_neighbours;
mod item_paths;
mod links;
mod markov;
mod path;
mod plan;
mod popularity;
mod registry;
mod retriever;
mod run;
mod run_folder;
mod scores;
mod selection;
mod served;
mod session_knn;
mod stage;
mod stage_data;
mod taken_by;
mod user_paths;
mod vector_channel;
mod vectors;

pub use candidates::{Candidate, Candidates, Reason};
pub use channel::{RecallChannel, UserContext};
#[cfg(feature = "ease")]
pub use ease::Ease;
pub use evaluation::Evaluation;
pub use factorization::{AlsConfig, BprConfig, MatrixFactorization};
pub use fallback::OrElse;
pub use fusion::{Found, Fused, Fusion, Normalization, Share};
pub use fusion_weights::WeightLearningConfig;
pub use item_neighbours::ItemNeighboursConfig;
pub use item_paths::{NearestItems, PreferredTags, items_of_tags, tags_of_items};
pub use links::{Item, Links, Node, Tag, User};
pub use markov::MarkovChain;
pub use path::{Best, HistoryItems, Path, PathChannel, Reached, Step, Then};
pub use plan::{ChannelKind, PlannedChannel, PlannedSelection, StagePlan};
pub use popularity::{Measure, Popularity, PopularityConfig};
pub use registry::ModelRegistry;
pub use retriever::{RecallOptions, Retrieved, RetrievedItem, Retriever, Source};
pub use run::Run;
pub use run_folder::RUN_FORMAT_VERSION;
pub use selection::{CategoryBonus, MarginalRelevance, Selected, Selection, TagCap};
pub use served::{STAGE_FORMAT_VERSION, ServedStage};
pub use session_knn::{SessionKnn, SessionKnnConfig};
pub use stage::{FALLBACK, RecallStage, SELECTION};
pub use stage_data::{StageData, StageModel};
pub use user_paths::{
    NearestUsers, SimilarUsers, SimilarUsersConfig, next_items, training_vectors,
};
pub use vector_channel::{ModelEncoder, UserEncoder, VectorChannel};
pub(crate) use vectors::check_items;
pub use vectors::{item_vectors, user_vectors};
