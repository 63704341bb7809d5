//! How much a channel counts in a fusion.

use crate::settings::settings;
use crate::{Error, Result, checks};

settings! {
    /// A channel's weight and quota in a fusion.
    #[derive(Copy)]
    #[serde(default, deny_unknown_fields)]
    pub struct ChannelWeight {
        /// How much its ranks or scores count; with 0 it adds nothing. Not all channels may weigh
        /// 0.
        pub weight: f64 = 1.0, with_weight;
        /// How many items of every list are its own, for [`Fusion::Quotas`](super::Fusion::Quotas).
        pub quota: usize = 50, with_quota;
    }
}

impl ChannelWeight {
    pub(super) fn validate(&self) -> Result<()> {
        checks::not_negative("weight", self.weight)?;
        // Scores are of single precision.
        if (self.weight as f32).is_finite() {
            return Ok(());
        }
        Err(Error::invalid("weight", self.weight, "must be below 1e38"))
    }
}
