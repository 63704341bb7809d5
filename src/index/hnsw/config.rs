//! The settings of graphs.

use crate::index::Precision;
use crate::settings::settings;
use crate::{Error, Result};

settings! {
    /// The settings of [`HnswIndex`](super::HnswIndex) and `HnswRsIndex`.
    #[derive(Eq)]
    #[serde(default, deny_unknown_fields)]
    pub struct HnswConfig {
        /// How many neighbors a point has on each layer but the lowest, which has twice as many
        /// (the paper's M), `2..=256`.
        #[doc(alias = "neighbors")]
        pub m: usize = 16, with_m;
        /// How many candidates are weighed when a point is added (efConstruction).
        pub ef_construction: usize = 200, with_ef_construction;
        /// How many candidates a search keeps (ef). A search for more than that keeps k. Above the
        /// number of items it is that.
        pub ef_search: usize = 100, with_ef_search;
        /// The seed of the points' layers.
        pub seed: u64 = 42, with_seed;
        /// How vectors are kept; `HnswRsIndex` keeps them as they are.
        pub precision: Precision = Precision::F32, with_precision;
    }
}

impl HnswConfig {
    /// Checks every setting.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) for the first invalid setting.
    pub fn validate(&self) -> Result<()> {
        if !(2..=256).contains(&self.m) {
            return Err(Error::invalid("m", self.m, "must be within 2 and 256"));
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
