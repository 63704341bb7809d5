//! From a trained model to recalled items: its vectors, the items nearest to them, and how they are
//! judged.

mod device_index;
mod encoder;
mod evaluation;
mod nearest;
mod retriever;
mod vectors;

pub use device_index::{DeviceIndex, exact_index};
pub(crate) use encoder::encode_by_model;
pub use encoder::{ModelEncoder, UserEncoder};
pub use evaluation::Evaluation;
pub(crate) use evaluation::{BATCH, sorted};
pub(crate) use nearest::{items_in, nearest_items};
pub use retriever::{RecallOptions, Retrieved, RetrievedItem, Retriever, Source};
pub(crate) use vectors::check_items;
pub use vectors::{item_vectors, user_vectors};
