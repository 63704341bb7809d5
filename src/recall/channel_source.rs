//! What channels are made of, and the parts of them that a folder keeps.

use std::fmt;
use std::sync::Arc;

use ndarray::{Array2, ArrayView2};

use crate::data::{ItemIndex, TrainingData};
use crate::index::{AnyIndex, IndexPlan, IndexReport, VectorIndex};
use crate::{Error, ErrorKind, Result, checks};

use super::channel::RecallChannel;
use super::links::Links;
use super::new_items::{NewVectors, OfEarlierItems};
use super::user_encoder::UserEncoder;

/// The source that a [`ChannelConfig`](super::ChannelConfig) makes its channel of: training data,
/// and the model that the channel looks at, if it does at any.
///
/// ```
/// use seqrec::ndarray::array;
/// use seqrec::channels::NearestItemsConfig;
/// use seqrec::data::{Dataset, Filters, Interaction, Interactions, ItemIndex};
/// use seqrec::recall::{ChannelConfig, ChannelSource, RecallChannel};
///
/// let rows = [("u", "a", 1.0), ("u", "b", 2.0), ("v", "c", 1.0)];
/// let log: Interactions = rows.map(|(user, item, time)| Interaction::new(user, item, time)).into_iter().collect();
/// let data = Dataset::new(log, Filters::default())?.training_data();
/// // Vectors of items from elsewhere, such as of their texts; row 0 is padding.
/// let vectors = array![[0.0, 0.0], [1.0, 0.0], [0.9, 0.1], [0.0, 1.0]];
/// let mut source = ChannelSource::new(&data).with_item_vectors(vectors.view());
/// let i2i = NearestItemsConfig::new().build(&mut source)?;
/// let [first, second] = [1, 2].map(ItemIndex::new);
/// assert_eq!(i2i.recall(&[(&[first][..]).into()], 1, None)?.items(0), [second]);
/// # Ok::<(), seqrec::Error>(())
/// ```
#[non_exhaustive]
pub struct ChannelSource<'a> {
    /// The training data.
    pub data: &'a TrainingData,
    /// The index of vectors, where the channel searches any.
    pub index: IndexPlan,
    /// The number of candidates that the channel will be asked for.
    pub candidates: usize,
    encoder: Option<Arc<dyn UserEncoder>>,
    item_vectors: Option<GivesVectors<'a>>,
    /// The part that a folder kept, or that was made for one to keep.
    kept: Option<Kept>,
    /// Whether the channel was in a folder, so that what it keeps is there.
    from_folder: bool,
    asked_to_keep: bool,
    /// Where items are added to the catalog.
    growth: Option<Growth>,
    /// Whether the channel that was made before goes on then.
    goes_on: bool,
    new_vectors: Option<NewVectors>,
}

/// The numbers of items of a catalog before more are added.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Growth {
    /// When the channel was first made.
    pub(crate) made: usize,
    /// Before those that are added now.
    pub(crate) before: usize,
}

/// Gives the vectors of items, of which a model makes a copy when it is first asked.
type GivesVectors<'a> = Box<dyn Fn() -> ArrayView2<'a, f32> + 'a>;

/// A part of a channel that takes long to make, and so is kept in a folder.
#[derive(Clone)]
pub(crate) enum Kept {
    Links(Arc<Links<ItemIndex, ItemIndex>>),
    Vectors(Arc<Array2<f32>>),
    Index(Arc<AnyIndex>, IndexReport),
    Bytes(Arc<Vec<u8>>),
}

impl<'a> ChannelSource<'a> {
    /// Training data alone, for a channel that will be asked for 100 candidates.
    pub fn new(data: &'a TrainingData) -> Self {
        Self {
            data,
            index: IndexPlan::default(),
            candidates: 100,
            encoder: None,
            item_vectors: None,
            kept: None,
            from_folder: false,
            asked_to_keep: false,
            growth: None,
            goes_on: false,
            new_vectors: None,
        }
    }

    /// This source with an encoder of users.
    #[must_use]
    pub fn with_encoder(self, encoder: Arc<dyn UserEncoder>) -> Self {
        let encoder = Some(encoder);
        Self { encoder, ..self }
    }

    /// This source with vectors of items, `[items + 1, dim]`, of which row 0 is padding.
    #[must_use]
    pub fn with_item_vectors(self, vectors: ArrayView2<'a, f32>) -> Self {
        self.with_item_vectors_of(move || vectors)
    }

    /// This source with vectors of items that are made when they are asked for.
    pub(crate) fn with_item_vectors_of(
        mut self,
        vectors: impl Fn() -> ArrayView2<'a, f32> + 'a,
    ) -> Self {
        self.item_vectors = Some(Box::new(vectors));
        self
    }

    /// This source for a channel of a folder, which has kept this of it.
    pub(crate) fn with_kept(self, kept: Option<Kept>) -> Self {
        Self {
            kept,
            from_folder: true,
            ..self
        }
    }

    /// This source for a channel in the place of one that was made before items were added, of
    /// which this index is kept.
    pub(crate) fn with_growth(self, growth: Growth, index: Option<Kept>) -> Self {
        Self {
            growth: Some(growth),
            from_folder: index.is_some(),
            kept: index,
            ..self
        }
    }

    /// A channel that was made before items were added, as it goes on.
    pub(super) fn of_earlier_items(
        &mut self,
        channel: Arc<dyn RecallChannel>,
    ) -> Arc<dyn RecallChannel> {
        self.goes_on = true;
        match self.growth {
            Some(growth) => Arc::new(OfEarlierItems::new(channel, growth.made)),
            None => channel,
        }
    }

    /// Whether the channel that was made before items were added goes on.
    pub(crate) fn goes_on(&self) -> bool {
        self.goes_on
    }

    /// What takes the place of a channel by a model when items are added: one that is built anew
    /// where the model has vectors for them.
    pub(crate) fn by_model_of_new_items(
        &mut self,
        channel: Arc<dyn RecallChannel>,
        build: impl FnOnce(&mut Self) -> Result<Arc<dyn RecallChannel>>,
    ) -> Result<Arc<dyn RecallChannel>> {
        match self.encoder {
            Some(_) => build(self),
            None => Ok(self.of_earlier_items(channel)),
        }
    }

    /// The vectors that are to be added to the index of the channel that was built.
    pub(crate) fn take_new_vectors(&mut self) -> Option<NewVectors> {
        self.new_vectors.take()
    }

    /// The index of the channel, where it kept one.
    pub(crate) fn kept_index(self) -> Option<Kept> {
        self.kept.filter(|kept| matches!(kept, Kept::Index(..)))
    }

    /// The part of the channel that was built which a folder has to keep.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`] when the folder has something that the channel did not ask for.
    pub(crate) fn into_kept(self) -> Result<Option<Kept>> {
        if self.kept.is_some() && !self.asked_to_keep {
            return Err(misfit("its folder has something that it does not keep"));
        }
        Ok(self.kept)
    }

    /// The encoder of the model that the channel looks at.
    ///
    /// # Errors
    /// [`ErrorKind::NothingLeft`] where there is none, and as [`UserEncoder::check_catalog`].
    pub fn encoder(&self) -> Result<Arc<dyn UserEncoder>> {
        let encoder = self.encoder.clone().ok_or_else(lacks_model)?;
        encoder.check_catalog(self.data.catalog())?;
        Ok(encoder)
    }

    /// The item vectors of the model that the channel looks at, `[items + 1, dim]`, of which row 0
    /// is padding.
    ///
    /// # Errors
    /// [`ErrorKind::NothingLeft`] where there are none, and [`ErrorKind::Shape`] where they are not
    /// as many as the items of the catalog, and padding.
    pub fn item_vectors(&self) -> Result<ArrayView2<'a, f32>> {
        let vectors = self.item_vectors.as_ref().ok_or_else(lacks_model)?();
        let rows = self.data.catalog().len() + 1;
        checks::same_length("vectors of items", rows, vectors.nrows())?;
        Ok(vectors)
    }

    /// Links from items to items: those that a folder kept of the channel, or else those that are
    /// made here, for a folder to keep. A channel keeps one thing at most.
    ///
    /// # Errors
    /// As `make`, and [`ErrorKind::InvalidValue`] when the folder kept something else or nothing,
    /// the channel has asked before, or the links are to other items than the catalog's or weigh
    /// what is not finite.
    pub fn keep_links(
        &mut self,
        make: impl FnOnce() -> Result<Links<ItemIndex, ItemIndex>>,
    ) -> Result<Arc<Links<ItemIndex, ItemIndex>>> {
        let of = |kept| match kept {
            Kept::Links(links) => Some(links),
            _ => None,
        };
        let links = self.keep(|| make().map(Arc::new), Kept::Links, of)?;
        links.check(self.data.catalog().len() + 1)?;
        Ok(links)
    }

    /// Vectors `[rows, dim]`, kept as [links](Self::keep_links) are.
    ///
    /// # Errors
    /// As [`keep_links`](Self::keep_links), [`ErrorKind::Shape`] for another number of rows, and
    /// [`ErrorKind::NonFiniteVector`] for NaN or infinity.
    pub fn keep_vectors(
        &mut self,
        rows: usize,
        make: impl FnOnce() -> Result<Array2<f32>>,
    ) -> Result<Arc<Array2<f32>>> {
        let of = |kept| match kept {
            Kept::Vectors(vectors) => Some(vectors),
            _ => None,
        };
        let vectors = self.keep(|| make().map(Arc::new), Kept::Vectors, of)?;
        checks::same_length("vectors of the channel", rows, vectors.nrows())?;
        checks::finite("vectors of the channel", vectors.view())?;
        Ok(vectors)
    }

    /// An index over the rows of `[rows + 1, dim]`, as [`IndexPlan::build`] makes one, kept as
    /// [links](Self::keep_links) are. `make` is given the source's plan.
    ///
    /// # Errors
    /// As [`keep_links`](Self::keep_links), and [`ErrorKind::Shape`] when the index is of another
    /// number of vectors or another dimension than `shape`, `(rows + 1, dim)`.
    pub fn keep_index(
        &mut self,
        shape: (usize, usize),
        make: impl FnOnce(&IndexPlan) -> Result<(AnyIndex, IndexReport)>,
    ) -> Result<Arc<AnyIndex>> {
        let plan = self.index.clone();
        let make = || make(&plan).map(|(index, report)| (Arc::new(index), report));
        let of = |kept| match kept {
            Kept::Index(index, report) => Some((index, report)),
            _ => None,
        };
        let (index, _) = self.keep(make, |(index, report)| Kept::Index(index, report), of)?;
        let (rows, dim) = shape;
        checks::same_length("vectors of the channel's index", rows, index.len() + 1)?;
        checks::same_length("dimension of the channel's index", dim, index.dim())?;
        Ok(index)
    }

    /// An index as by [`keep_index`](Self::keep_index) over vectors of items, `[items + 1, dim]`.
    /// Where items are added to the catalog it is the index from before, and the vectors of new
    /// ones are [to be added](Self::take_new_vectors).
    pub(crate) fn keep_item_index(
        &mut self,
        vectors: ArrayView2<'_, f32>,
        make: impl FnOnce(&IndexPlan) -> Result<(AnyIndex, IndexReport)>,
    ) -> Result<Arc<AnyIndex>> {
        let (rows, dim) = vectors.dim();
        let (before, kept) = match (self.growth, &mut self.kept) {
            (Some(Growth { before, .. }), Some(Kept::Index(index, report))) => {
                report.vectors = rows - 1;
                (before, index.clone())
            }
            _ => return self.keep_index((rows, dim), make),
        };
        self.asked_to_keep = true;
        checks::same_length("dimension of the channel's index", dim, kept.dim())?;
        checks::finite("vectors of items", vectors)?;
        self.new_vectors = Some(NewVectors {
            index: kept.clone(),
            before,
            vectors: vectors.slice(ndarray::s![before + 1.., ..]).to_owned(),
        });
        Ok(kept)
    }

    /// Bytes of any form, kept as [links](Self::keep_links) are. What is read of them is to be
    /// checked: a folder may have been altered.
    ///
    /// # Errors
    /// As [`keep_links`](Self::keep_links).
    pub fn keep_bytes(&mut self, make: impl FnOnce() -> Result<Vec<u8>>) -> Result<Arc<Vec<u8>>> {
        let of = |kept| match kept {
            Kept::Bytes(bytes) => Some(bytes),
            _ => None,
        };
        self.keep(|| make().map(Arc::new), Kept::Bytes, of)
    }

    fn keep<T: Clone>(
        &mut self,
        make: impl FnOnce() -> Result<T>,
        into: impl FnOnce(T) -> Kept,
        of: impl FnOnce(Kept) -> Option<T>,
    ) -> Result<T> {
        if std::mem::replace(&mut self.asked_to_keep, true) {
            return Err(misfit(
                "it keeps something else already; keep both as bytes",
            ));
        }
        let value = match self.kept.take() {
            Some(kept) => of(kept).ok_or_else(|| {
                misfit("its folder has something of another form; save the stage anew")
            })?,
            None if self.from_folder => {
                return Err(misfit("its folder has nothing of it; save the stage anew"));
            }
            None => make()?,
        };
        self.kept = Some(into(value.clone()));
        Ok(value)
    }
}

/// The error of a channel that keeps something other than its folder has.
fn misfit(reason: &str) -> Error {
    Error::invalid("channel", "one that keeps something", reason)
}

fn lacks_model() -> Error {
    let reason = "the channel goes by a model, and the data of the stage have none: \
                  `StageData::with_model`";
    Error::from(ErrorKind::NothingLeft {
        reason: reason.to_owned(),
    })
}

impl fmt::Debug for ChannelSource<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChannelSource")
            .field("sequences", &self.data.sequences().len())
            .field("items", &self.data.catalog().len())
            .field("model", &self.encoder.is_some())
            .finish_non_exhaustive()
    }
}
