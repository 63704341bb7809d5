//! From a trained model to vectors, and to the items nearest to them.

mod device_index;
mod encoder;
mod vectors;

#[doc(hidden)]
pub use device_index::DeviceIndex;
pub use device_index::exact_index;
pub use encoder::ModelEncoder;
pub(crate) use vectors::check_items;
pub use vectors::{item_vectors, user_vectors};
