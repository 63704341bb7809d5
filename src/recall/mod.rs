//! The recall stage: what a channel is, paths of steps, and many channels fused into one list.

mod asked;
mod candidates;
mod catalog_items;
mod channel;
mod channel_config;
mod channel_source;
mod channel_weight;
mod evaluation;
mod fallback;
mod found;
mod fused_list;
mod fusion;
mod fusion_weights;
mod history_items;
mod links;
mod lists;
mod nearest;
mod new_items;
mod path;
mod ranker_file;
mod recall_all;
mod recall_file;
pub mod recalled;
mod request;
mod retriever;
mod scores;
mod seen;
mod selection;
mod stage;
mod turns;
mod user_encoder;
mod users;
mod vector_channel;

#[cfg(feature = "engine")]
pub(crate) use asked::{Asked, KnownUser};
pub use candidates::{Candidate, Candidates, Reason};
#[cfg(feature = "engine")]
pub(crate) use catalog_items::CatalogItems;
pub use channel::RecallChannel;
pub use channel_config::ChannelConfig;
pub use channel_source::ChannelSource;
pub(crate) use channel_source::{Growth, Kept};
pub use channel_weight::ChannelWeight;
pub use evaluation::Evaluation;
use fallback::OrElse;
pub use fusion::{FusedCandidate, Fusion};
pub use fusion_weights::WeightLearningConfig;
pub use history_items::HistoryItems;
pub use links::{Links, Peer, Tag};
pub(crate) use links::{Node, Reached};
pub(crate) use nearest::{BATCH, nearest_items};
pub(crate) use new_items::NewVectors;
pub use path::{Path, Step};
pub use recall_all::{RecallAll, RecallCounts};
#[cfg(feature = "engine")]
pub(crate) use recalled::IdNames;
#[doc(inline)]
pub use recalled::Recalled;
pub use request::RecallRequest;
#[cfg(feature = "engine")]
pub(crate) use request::Who;
pub use retriever::Retriever;
pub(crate) use scores::{NodePlaces, Scores, best_by_scores};
pub use selection::{CategoryBonus, MaximalMarginalRelevance, Selection, TagCap};
pub use stage::RecallStage;
#[cfg(feature = "engine")]
pub(crate) use stage::{FALLBACK, SELECTION};
pub use user_encoder::UserEncoder;
pub use users::Users;
pub use vector_channel::{VectorChannel, VectorChannelConfig};
