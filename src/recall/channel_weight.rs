//! How much a channel counts in a fusion.

use serde::{Deserialize, Serialize};

use crate::{Error, Result, checks};

/// A channel's weight and quota in a fusion.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct ChannelWeight {
    /// How much its ranks or scores count; with 0 it adds nothing. Not all channels may weigh 0.
    pub weight: f64,
    /// How many items of every list are its own, for [`Fusion::Quotas`](super::Fusion::Quotas).
    pub quota: usize,
}

impl Default for ChannelWeight {
    fn default() -> Self {
        Self {
            weight: 1.0,
            quota: 50,
        }
    }
}

impl ChannelWeight {
    /// A weight of 1 and a quota of 50.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with another [`weight`](Self::weight).
    #[must_use]
    pub fn with_weight(self, weight: f64) -> Self {
        Self { weight, ..self }
    }

    /// The same with another [`quota`](Self::quota).
    #[must_use]
    pub fn with_quota(self, quota: usize) -> Self {
        Self { quota, ..self }
    }

    pub(super) fn validate(&self) -> Result<()> {
        checks::not_negative("weight", self.weight)?;
        // Scores are of single precision.
        if (self.weight as f32).is_finite() {
            return Ok(());
        }
        Err(Error::invalid("weight", self.weight, "must be below 1e38"))
    }
}
