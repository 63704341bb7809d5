//! Settings of popularity: the interactions that count, and over how long.

use std::sync::Arc;

use crate::Result;
use crate::recall::{ChannelConfig, ChannelSource, RecallChannel};
use crate::settings::settings;

settings! {
    /// The settings of [`Popularity`](super::Popularity); the defaults count all interactions of
    /// all time alike.
    ///
    /// ```
    /// use seqrec::channels::PopularityConfig;
    ///
    /// let week = 7.0 * 86_400.0;
    /// let most_clicked = PopularityConfig::new().with_events(vec!["click".into()]).with_window(Some(week));
    /// let most_bought = PopularityConfig::new().with_events(vec!["buy".into()]);
    /// let revenue = most_bought.clone().with_by_value(true);
    /// let trending = PopularityConfig::new().with_half_life(Some(week));
    /// let by_region = most_clicked.clone().with_by_segment(true);
    /// # let _ = (revenue, trending, by_region);
    /// ```
    #[serde(deny_unknown_fields)]
    pub struct PopularityConfig {
        /// Whether an interaction counts its value, such as a price, so that the items with the
        /// largest revenue come first: those without a value, or with one that is not above 0, add
        /// nothing. Else each counts 1. Both are multiplied by the weight of the event, where the
        /// data know its [meaning](crate::data::Behaviors).
        pub by_value: bool = false, with_by_value;
        /// The event types that count, such as `buy`, of those that do by their meaning; all of
        /// these, and interactions without any, where none is named.
        pub events: Vec<String> = Vec::new(), with_events;
        /// How long before the end of the data an interaction still counts, in the unit of the
        /// source. The end is the time of the last interaction, but for the latest 32nd, 15 at
        /// most, whose clocks may be ahead. It moves on when most of the last 31 interactions that
        /// are observed are later, and what is then too old is dropped a 32nd of the window at a
        /// time.
        pub window: Option<f64> = None, with_window;
        /// After what time an interaction counts half as much, in the unit of the source.
        pub half_life: Option<f64> = None, with_half_life;
        /// Whether each segment has a list of its own, and a user is recalled the best of theirs;
        /// else there is one list for all.
        pub by_segment: bool = false, with_by_segment;
    }
}

#[typetag::serde(name = "popularity")]
impl ChannelConfig for PopularityConfig {
    fn build(&self, from: &mut ChannelSource<'_>) -> Result<Arc<dyn RecallChannel>> {
        Ok(Arc::new(self.fit(from.data)?))
    }

    /// The channel itself, which counts whatever it hears of.
    fn build_for_new_items(
        &self,
        channel: Arc<dyn RecallChannel>,
        _from: &mut ChannelSource<'_>,
    ) -> Result<Arc<dyn RecallChannel>> {
        Ok(channel)
    }
}
