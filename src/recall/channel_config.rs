//! Settings that make a channel, of whichever kind and crate.

use std::fmt;
use std::sync::Arc;

#[cfg(doc)]
use crate::ErrorKind;
use crate::Result;

use super::channel::RecallChannel;
use super::channel_source::ChannelSource;

/// The settings of a channel, which a [plan](crate::store::StagePlan) and the folder of its stage
/// keep: a kind of channels.
///
/// Its name, by which it is found again in the plan's JSON, is given where the trait is
/// implemented, and is a name of no other kind: begin it with your crate's, as in `my_shop/latest`,
/// since names without a stroke are this crate's. A kind of your own is read wherever your crate is
/// linked, for which the program has to name it (`use my_shop as _;`). In its folder are its
/// settings, and what is asked of the [source](ChannelSource) by one of the methods `keep_…`; all
/// else is made again of the training data.
///
/// ```
/// use std::sync::Arc;
///
/// use seqrec::channels::Popularity;
/// use seqrec::recall::{ChannelConfig, ChannelSource, RecallChannel};
/// use seqrec::typetag;
/// // cargo add serde --features derive, and cargo add serde_json
/// use serde::{Deserialize, Serialize};
///
/// /// The most taken items by the counts of the catalog.
/// #[derive(Debug, Serialize, Deserialize)]
/// #[serde(deny_unknown_fields)]
/// struct CountsConfig {}
///
/// #[typetag::serde(name = "my_shop/counts")]
/// impl ChannelConfig for CountsConfig {
///     fn build(&self, from: &mut ChannelSource<'_>) -> seqrec::Result<Arc<dyn RecallChannel>> {
///         Ok(Arc::new(Popularity::new(from.data.catalog())))
///     }
/// }
///
/// let config: Arc<dyn ChannelConfig> = Arc::new(CountsConfig {});
/// let json = serde_json::to_string(&config).unwrap();
/// assert_eq!(json, r#"{"kind":"my_shop/counts"}"#);
/// assert!(serde_json::from_str::<Arc<dyn ChannelConfig>>(&json).is_ok());
/// let unknown = serde_json::from_str::<Arc<dyn ChannelConfig>>(r#"{"kind":"my_shop/coutns"}"#);
/// let error = unknown.unwrap_err().to_string();
/// assert!(error.contains("unknown variant `my_shop/coutns`, expected one of `als`, `bpr`"));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no settings of a channel",
    note = "a plan takes settings, such as `MarkovChainConfig::new()`, and makes the channel itself",
    note = "a channel that is made already joins a stage by `RecallStage::channel`"
)]
#[typetag::serde(tag = "kind")]
pub trait ChannelConfig: fmt::Debug + Send + Sync {
    /// Makes the channel.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`] for an invalid setting, and [`ErrorKind::NothingLeft`] when the
    /// source lacks what the channel needs.
    fn build(&self, from: &mut ChannelSource<'_>) -> Result<Arc<dyn RecallChannel>>;

    /// The channel that takes the place of one that these settings made, when [items are
    /// added](crate::store::ServedStage::with_items) while it serves. The source has the data with
    /// the new items, and the model that the channel looks at, if that has vectors for them.
    ///
    /// Unless a kind says otherwise it is the same channel: it is asked about histories without the
    /// new items, and hears of no event of theirs. A kind that can recall them makes the channel
    /// anew here, by [`build`](Self::build) for example, and such a channel hears of none of the
    /// events before. One that goes by no numbers of items, such as what is taken most, gives back
    /// the channel itself, which then hears of new items.
    ///
    /// # Errors
    /// As [`build`](Self::build).
    fn build_for_new_items(
        &self,
        channel: Arc<dyn RecallChannel>,
        from: &mut ChannelSource<'_>,
    ) -> Result<Arc<dyn RecallChannel>> {
        Ok(from.of_earlier_items(channel))
    }
}
