//! The settings of graphs.

use burn::config::Config;

use crate::index::Precision;
use crate::{Error, Result};

/// The settings of [`HnswIndex`](super::HnswIndex) and [`HnswRsIndex`](crate::index::HnswRsIndex).
#[derive(Config, Debug, PartialEq)]
pub struct HnswConfig {
    /// How many neighbours a point has on each layer but the lowest, which has twice as many (the
    /// paper's M), `2..=256`.
    #[config(default = 16)]
    pub neighbors: usize,
    /// How many candidates are weighed when a point is added (efConstruction).
    #[config(default = 200)]
    pub ef_construction: usize,
    /// How many candidates a search keeps (ef); a search for more than that keeps k. Above the number
    /// of items it is that.
    #[config(default = 100)]
    pub ef_search: usize,
    /// The seed of the points' layers.
    #[config(default = 42)]
    pub seed: u64,
    /// How vectors are kept; [`HnswRsIndex`](crate::index::HnswRsIndex) keeps them as they are.
    #[config(default = "Precision::F32")]
    pub precision: Precision,
}

impl HnswConfig {
    /// Checks every setting.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] with the first setting that can't be right.
    pub fn validate(&self) -> Result<()> {
        if !(2..=256).contains(&self.neighbors) {
            return Err(Error::invalid(
                "neighbors",
                self.neighbors,
                "must be within 2 and 256",
            ));
        }
        for (field, value) in [
            ("ef_construction", self.ef_construction),
            ("ef_search", self.ef_search),
        ] {
            if value == 0 {
                return Err(Error::invalid(field, 0, "must be at least 1"));
            }
        }
        Ok(())
    }
}
