//! The settings of graphs.

use serde::{Deserialize, Serialize};

use crate::index::Precision;
use crate::{Error, Result};

/// The settings of [`HnswIndex`](super::HnswIndex) and `HnswRsIndex`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct HnswConfig {
    /// How many neighbors a point has on each layer but the lowest, which has twice as many (the
    /// paper's M), `2..=256`: 16 unless set.
    #[doc(alias = "neighbors")]
    pub m: usize,
    /// How many candidates are weighed when a point is added (efConstruction): 200 unless set.
    pub ef_construction: usize,
    /// How many candidates a search keeps (ef): 100 unless set. A search for more than that keeps k.
    /// Above the number of items it is that.
    pub ef_search: usize,
    /// The seed of the points' layers: 42 unless set.
    pub seed: u64,
    /// How vectors are kept; `HnswRsIndex` keeps them as they are.
    pub precision: Precision,
}

impl Default for HnswConfig {
    fn default() -> Self {
        Self {
            m: 16,
            ef_construction: 200,
            ef_search: 100,
            seed: 42,
            precision: Precision::F32,
        }
    }
}

impl HnswConfig {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with another [`m`](Self::m).
    #[must_use]
    pub fn with_m(self, m: usize) -> Self {
        Self { m, ..self }
    }

    /// The same with another [`ef_construction`](Self::ef_construction).
    #[must_use]
    pub fn with_ef_construction(self, ef_construction: usize) -> Self {
        Self {
            ef_construction,
            ..self
        }
    }

    /// The same with another [`ef_search`](Self::ef_search).
    #[must_use]
    pub fn with_ef_search(self, ef_search: usize) -> Self {
        Self { ef_search, ..self }
    }

    /// The same with another [`seed`](Self::seed).
    #[must_use]
    pub fn with_seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// The same with another [`precision`](Self::precision).
    #[must_use]
    pub fn with_precision(self, precision: Precision) -> Self {
        Self { precision, ..self }
    }

    /// Checks every setting.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] for the first invalid setting.
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
