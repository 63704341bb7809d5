//! From a raw history to recalled items.

use std::fmt;
use std::sync::Arc;

use crate::data::{Catalog, ExternalId, Features, Items, User};
use crate::index::Filter;
use crate::{Error, Result, checks};

use super::asked::{Asked, KnownUser};
use super::catalog_items::CatalogItems;
use super::channel::RecallChannel;
use super::lists::{Asks, Lists, Passes};
use super::recalled::{IdNames, Recalled, RecalledItem};
use super::request::RecallRequest;
use super::stage::FALLBACK;

/// A channel with a catalog, which answers histories of external ids. It can be shared among
/// threads.
///
/// ```
/// use seqrec::channels::Popularity;
/// use seqrec::prelude::*;
///
/// let taken = [1, 2, 3].map(ItemIndex::new);
/// let catalog = Catalog::from_ids(["a", "b", "c"].map(Into::into))?.with_counts([&taken[..]]);
/// let model = Gru4RecConfig::new().init::<Flex>(catalog.len(), 1, &Default::default())?;
/// let index = FlatIndex::new(&item_vectors(&model))?;
/// let popular = Popularity::new(&catalog);
/// let retriever = Retriever::new(VectorChannel::from_model(model, index), catalog)?.fallback(popular);
///
/// let recalled = retriever.recall(["a", "nobody knows"], 2)?;
/// assert_eq!((recalled.items.len(), recalled.unknown), (2, 1));
/// // Of somebody else nothing is known, so that the fallback answers.
/// let recalled = retriever.recall(["nobody knows"], 2)?;
/// assert_eq!(&*recalled.items[0].found[0].channel, "fallback");
/// println!("{recalled}");
/// # Ok::<(), seqrec::Error>(())
/// ```
pub struct Retriever {
    channel: Box<dyn RecallChannel>,
    fallback: Option<Box<dyn RecallChannel>>,
    catalog: Catalog,
    items: Option<CatalogItems>,
    tags: Vec<String>,
    /// Whether the channel fuses others.
    fuses: bool,
    /// The names of channels, the fallback's last.
    names: Vec<Arc<str>>,
}

impl Retriever {
    /// A retriever of a channel and the catalog that it was made for.
    ///
    /// An index that the channel searches may lack items of the catalog, which are then not
    /// recalled, and may hold items that the catalog does not know yet, which are left out.
    ///
    /// # Errors
    /// As [`RecallChannel::check_catalog`], which a channel of another catalog fails.
    pub fn new(channel: impl RecallChannel + 'static, catalog: Catalog) -> Result<Self> {
        channel.check_catalog(&catalog)?;
        let mut names = channel.fused_names();
        let fuses = !names.is_empty();
        if !fuses {
            names.push(Arc::from("channel"));
        }
        names.push(Arc::from(FALLBACK));
        Ok(Self {
            channel: Box::new(channel),
            fallback: None,
            catalog,
            items: None,
            tags: Vec::new(),
            fuses,
            names,
        })
    }

    /// The retriever with a channel that answers where the first recalls nothing, as
    /// [`or_else`](RecallChannel::or_else) does.
    #[must_use]
    pub fn fallback(mut self, fallback: impl RecallChannel + 'static) -> Self {
        self.fallback = Some(Box::new(fallback));
        self
    }

    /// The retriever with the features of items whose names are those of the channel's tags.
    #[must_use]
    pub fn tags(mut self, features: &Features) -> Self {
        self.tags = features.names().to_vec();
        self
    }

    /// The retriever with a table of items, whose titles come with what is recalled, and whose
    /// attributes requests can [filter by](RecallRequest::matching).
    ///
    /// ```
    /// use seqrec::channels::Popularity;
    /// use seqrec::data::Items;
    /// use seqrec::prelude::*;
    ///
    /// let taken = [1, 2, 2].map(ItemIndex::new);
    /// let catalog = Catalog::from_ids(["pen", "desk"].map(Into::into))?.with_counts([&taken[..]]);
    /// let items = Items::new(["pen", "desk"])?.with_numbers("price", [Some(1.5), Some(99.0)])?;
    /// let retriever = Retriever::new(Popularity::new(&catalog), catalog)?.items(items)?;
    /// let request = RecallRequest::for_history(["lamp"], 5).matching("price < 20".parse()?);
    /// let recalled = retriever.recall_for(&request)?;
    /// assert_eq!((recalled.items.len(), recalled.passing), (1, Some(1)));
    /// # Ok::<(), seqrec::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) when the table has none of the
    /// catalog's items, or has some of them by another spelling of their ids.
    pub fn items(mut self, items: impl Into<Arc<Items>>) -> Result<Self> {
        self.items = Some(CatalogItems::new(items.into(), &self.catalog)?);
        Ok(self)
    }

    /// The k best items for a history, in time order, of any user, known or not, without those of
    /// the history. Unknown items are skipped and counted.
    ///
    /// # Errors
    /// As [`recall_for`](Retriever::recall_for).
    pub fn recall<T: Into<ExternalId>>(
        &self,
        history: impl IntoIterator<Item = T>,
        k: usize,
    ) -> Result<Recalled> {
        self.recall_for(&RecallRequest::for_history(history, k))
    }

    /// The best items for a request of a history, as many as there are where k is more.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) when k is 0, for a user by id,
    /// whose history only an engine knows, for an empty id of an item, for times that run backwards
    /// or are not finite, for a feature that is unknown, named twice or not finite, and for a
    /// filter that does not fit the attributes;
    /// [`ErrorKind::NothingLeft`](crate::ErrorKind::NothingLeft) when no item of the catalog passes
    /// the request's filters; and the channel's errors:
    /// [`ErrorKind::TimesMissing`](crate::ErrorKind::TimesMissing) and
    /// [`ErrorKind::FeaturesMissing`](crate::ErrorKind::FeaturesMissing) when a model looks at what
    /// the request lacks, [`ErrorKind::NonFiniteVector`](crate::ErrorKind::NonFiniteVector) when
    /// its weights are broken, and [`ErrorKind::Shape`](crate::ErrorKind::Shape) when a channel
    /// gives no list.
    pub fn recall_for(&self, request: &RecallRequest) -> Result<Recalled> {
        checks::at_least_one(&[("k", request.k)])?;
        let asked = Asked::new(request, &self.catalog, self.known_items(), |id, _| {
            let reason = "is known to an engine only; give the user's history";
            Err::<KnownUser, _>(Error::invalid("user", id, reason))
        })?;
        let passes = |_: usize, item| asked.passes(&self.catalog, item);
        let users = [asked.user.user()?];
        let lists = self.lists(&users, asked.k, asked.filter(&passes), &passes)?;
        let items = self.recalled_items(&lists, 0, &asked.user.segments);
        if items.is_empty() {
            asked.check_empty(&self.catalog)?;
        }
        Ok(Recalled {
            items,
            passing: asked.passing(),
            known: asked.user.items.len(),
            unknown: asked.user.unknown,
            channels: Vec::new(),
            version: 0,
        })
    }

    /// The items whose attributes are known, and how others are given.
    pub(super) fn known_items(&self) -> (Option<&CatalogItems>, &'static str) {
        (self.items.as_ref(), "`Retriever::items`")
    }

    /// The lists of some users, of items that pass; a filter of channels says the same.
    pub(super) fn lists<'a>(
        &self,
        users: &[User<'_>],
        k: usize,
        filter: Filter<'_>,
        passes: Passes<'a>,
    ) -> Result<Lists<'a>> {
        let asks = Asks {
            channel: &*self.channel,
            fuses: self.fuses,
            fallback: self.fallback.as_deref(),
            channels: self.names.len() - 1,
        };
        Lists::recall(&asks, users, k.min(self.catalog.len()), filter, passes)
    }

    /// The items of one of some lists, for a user in these segments.
    pub(super) fn recalled_items(
        &self,
        lists: &Lists<'_>,
        row: usize,
        segments: &[String],
    ) -> Vec<RecalledItem> {
        let (names, mut items) = (self.id_names(segments), Vec::new());
        lists.each(row, |item, score, found| {
            items.extend(names.item(item, score, found.iter().copied()));
        });
        items
    }

    /// The names of what is recalled for a user in these segments.
    pub(super) fn id_names<'a>(&'a self, segments: &'a [String]) -> IdNames<'a> {
        IdNames {
            catalog: &self.catalog,
            items: self.items.as_ref().map(|items| &*items.items),
            channels: &self.names,
            segments,
            tags: &self.tags,
        }
    }

    /// The names of the channels that lists are of, the fallback's last: none of a channel by
    /// itself.
    pub(super) fn channel_names(&self) -> &[Arc<str>] {
        match (self.fuses, &self.fallback) {
            (false, None) => &[],
            _ => &self.names,
        }
    }

    /// The catalog.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }
}

impl fmt::Debug for Retriever {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retriever")
            .field("items", &self.catalog.len())
            .field("fallback", &self.fallback.is_some())
            .finish_non_exhaustive()
    }
}
