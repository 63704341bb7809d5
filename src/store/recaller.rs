//! A trained model with its catalog, whichever model it is.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use ndarray::{Array2, ArrayView2};

use crate::backend::Backend;
use crate::data::{Catalog, ExternalId, Items, Seen, Spans, User};
use crate::eval::Report;
use crate::index::VectorIndex;
use crate::model::{RecallerConfig, SequenceRecaller};
use crate::recall::{Evaluation, RecallRequest, Recalled, Retriever, UserEncoder, VectorChannel};
use crate::retrieve::{ModelEncoder, exact_index, item_vectors};
use crate::{Error, Result, checks};

use super::run::{ModelFiles, Run, WrittenCatalog};
use super::run_folder;
use super::vector_table::VectorTable;

/// The cuts of [`Recaller::evaluate`], as far as the catalog has as many items.
const CUTS: [usize; 2] = [10, 50];

/// A trained model with its catalog, whichever model it is. It recalls, is evaluated, is kept, and
/// joins a [stage](super::StageData::with_model).
///
/// [`Fit::fit`](super::Fit::fit) trains one, [`Recaller::open`] reads one, and one comes
/// [from a run](#impl-From<Run<B,+C>>-for-Recaller), which has the model itself. It can be shared
/// among threads.
///
/// ```
/// use seqrec::prelude::*;
///
/// # let log = seqrec::data::synthetic::Synthetic::new().with_users(80).with_items(60).generate()?;
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("run");
/// let split = Split::new(&Dataset::new(log, Filters::default())?, Protocol::LeaveOneOut)?;
/// let trained = SasRecConfig::new().with_dim(16).fit(&split)?;
/// println!("{}", trained.evaluate(&split.test)?);
/// trained.save(&path)?;
///
/// let opened = Recaller::open(&path)?;
/// assert_eq!(opened.recall(["3", "14", "15"], 10)?, trained.recall(["3", "14", "15"], 10)?);
/// # Ok::<(), seqrec::Error>(())
/// ```
#[derive(Clone)]
pub struct Recaller {
    run: Arc<dyn TrainedRun>,
    encoder: Arc<dyn UserEncoder>,
    catalog: Catalog,
    items: usize,
    /// How many features of users the model looks at.
    user_features: usize,
    /// Read from the model when a stage first asks for them.
    item_vectors: Arc<OnceLock<Array2<f32>>>,
    search: Arc<ExactSearch>,
}

/// A run, whichever model it has.
trait TrainedRun: Send + Sync {
    fn item_vectors(&self) -> Array2<f32>;

    /// Exact search of the item vectors, where the model lies.
    fn exact_index(&self) -> Result<Box<dyn VectorIndex>>;

    /// Writes the model's files beside a catalog's, and gives its manifest's checksum.
    fn write(&self, version: &Path, files: &ModelFiles, catalog: &WrittenCatalog) -> Result<u32>;

    /// Whether the model has vectors for new items.
    fn takes_items(&self) -> bool;

    fn with_items(&self, items: &Items, vectors: &[(&str, &VectorTable)]) -> Result<Recaller>;
}

impl<B: Backend, C: RecallerConfig> TrainedRun for Run<B, C> {
    fn item_vectors(&self) -> Array2<f32> {
        item_vectors(&self.model)
    }

    fn exact_index(&self) -> Result<Box<dyn VectorIndex>> {
        exact_index(&self.model)
    }

    fn write(&self, version: &Path, files: &ModelFiles, catalog: &WrittenCatalog) -> Result<u32> {
        self.write_model(version, files, catalog)
    }

    fn takes_items(&self) -> bool {
        self.features_of_new_items().is_some()
    }

    fn with_items(&self, items: &Items, vectors: &[(&str, &VectorTable)]) -> Result<Recaller> {
        Run::with_items(self, items, vectors).map(Recaller::from)
    }
}

/// The channel of exact search, which is made once, when it is first asked for.
#[derive(Default)]
struct ExactSearch {
    made: OnceLock<Arc<VectorChannel<'static>>>,
    /// Held by the thread that makes it, since it holds a copy of all item vectors.
    making: Mutex<()>,
}

/// A model's encoder that tells its catalog from others by the items' ids, since as many items as
/// the model has may be others, or stand in another order.
struct CatalogEncoder<E> {
    encoder: E,
    catalog: Catalog,
}

impl<E: UserEncoder> UserEncoder for CatalogEncoder<E> {
    fn dim(&self) -> usize {
        self.encoder.dim()
    }

    fn encode(&self, users: &[User<'_>]) -> Result<Array2<f32>> {
        self.encoder.encode(users)
    }

    fn check_catalog(&self, catalog: &Catalog) -> Result<()> {
        self.encoder.check_catalog(catalog)?;
        if catalog.continues(&self.catalog) {
            return Ok(());
        }
        let found = format!("of {} items", catalog.len());
        let reason = "is of other items than those that the model was trained for, or has them in another \
                      order: take `Recaller::catalog`, and cases by `Spans::for_catalog` of it";
        Err(Error::invalid("catalog", found, reason))
    }
}

/// The model of a run, on the device where it is.
impl<B: Backend, C: RecallerConfig> From<Run<B, C>> for Recaller {
    fn from(run: Run<B, C>) -> Self {
        Self {
            encoder: Arc::new(CatalogEncoder {
                encoder: ModelEncoder::<B, _>::new(run.model.clone()),
                catalog: run.catalog.clone(),
            }),
            catalog: run.catalog.clone(),
            items: run.model.items().items(),
            user_features: run.model.config().describe().user_features,
            item_vectors: Arc::default(),
            search: Arc::default(),
            run: Arc::new(run),
        }
    }
}

impl Recaller {
    /// Writes the model and its catalog as the next version of a run folder, as [`Run::save`] does.
    /// The new version has no stage, whatever the one before had:
    /// [`StagePlan::save`](super::StagePlan::save) writes both.
    ///
    /// # Errors
    /// As [`Run::save`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        run_folder::save(path.as_ref(), |version| {
            let catalog = WrittenCatalog::write(&self.catalog, version)?;
            self.write_model(version, &ModelFiles::own(), &catalog)
                .map(drop)
        })
    }

    /// The k best items for a history of any user, in time order, without those of the history.
    /// Unknown items are skipped and counted.
    ///
    /// All item vectors are searched. A [`Retriever`] searches an index of your choice, and has a
    /// fallback.
    ///
    /// # Errors
    /// As [`Retriever::recall_for`].
    pub fn recall<T: Into<ExternalId>>(
        &self,
        history: impl IntoIterator<Item = T>,
        k: usize,
    ) -> Result<Recalled> {
        self.recall_for(&RecallRequest::for_history(history, k))
    }

    /// The best items for a request of a history, with the user's times and features where the
    /// model looks at these.
    ///
    /// # Errors
    /// As [`Retriever::recall_for`].
    pub fn recall_for(&self, request: &RecallRequest) -> Result<Recalled> {
        self.retriever()?.recall_for(request)
    }

    /// The metrics of what is recalled for `cases`, over the whole catalog, without items of the
    /// history and cut at 10 and at 50. [`Evaluation`] has other cuts, and keeps seen items.
    ///
    /// # Errors
    /// As [`Evaluation::run`]: among them, cases of a data set with another catalog than the
    /// model's, which [`Spans::for_catalog`] makes cases of the model's.
    pub fn evaluate(&self, cases: &Spans) -> Result<Report> {
        let items = self.catalog.len();
        let mut cuts = CUTS.map(|cut| cut.min(items)).to_vec();
        cuts.dedup();
        Evaluation::new(&cuts, Seen::Exclude).run(&self.channel()?, cases, &self.catalog)
    }

    /// The channel of the model with exact search of its items, for a fusion with others.
    ///
    /// # Errors
    /// [`ErrorKind::NonFiniteVector`](crate::ErrorKind::NonFiniteVector) when the model's weights
    /// are broken.
    pub fn channel(&self) -> Result<Arc<VectorChannel<'static>>> {
        let ExactSearch { made, making } = &*self.search;
        if let Some(channel) = made.get() {
            return Ok(channel.clone());
        }
        let _turn = making.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(channel) = made.get() {
            return Ok(channel.clone());
        }
        let channel = VectorChannel::new(self.encoder.clone(), self.run.exact_index()?);
        Ok(made.get_or_init(|| Arc::new(channel)).clone())
    }

    /// The retriever of the model with exact search of its items, which recalls for [many
    /// users](Retriever::recall_all) and takes a fallback.
    ///
    /// # Errors
    /// As [`channel`](Self::channel).
    pub fn retriever(&self) -> Result<Retriever> {
        Retriever::new(self.channel()?, self.catalog.clone())
    }

    /// The model with the items of a table that its catalog lacks: see [`Run::with_items`]. A
    /// retriever or a folder is made of it as of any other, and a retriever that is there stays as
    /// it is. Of a stage it is [`ServedStage::with_items`](super::ServedStage::with_items), and of
    /// one that serves, `RecallEngine::add_items`.
    ///
    /// # Errors
    /// As [`Run::with_items`].
    pub fn with_items(&self, items: &Items, vectors: &[(&str, &VectorTable)]) -> Result<Self> {
        self.run.with_items(items, vectors)
    }

    /// The catalog that the model was trained for.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// The vectors that items are recalled by, `[items + 1, dim]`; row 0 is padding.
    pub fn item_vectors(&self) -> ArrayView2<'_, f32> {
        let vectors = self.item_vectors.get_or_init(|| self.run.item_vectors());
        vectors.view()
    }

    /// The encoder of users, whose vectors are compared with the items'.
    pub fn encoder(&self) -> Arc<dyn UserEncoder> {
        self.encoder.clone()
    }

    /// Whether the model has vectors for new items.
    pub(super) fn takes_items(&self) -> bool {
        self.run.takes_items()
    }

    /// Whether the model looks at features of users.
    pub(super) fn has_user_features(&self) -> bool {
        self.user_features > 0
    }

    /// Writes the model's files beside a catalog's, and gives its manifest's checksum.
    pub(super) fn write_model(
        &self,
        version: &Path,
        files: &ModelFiles,
        catalog: &WrittenCatalog,
    ) -> Result<u32> {
        self.run.write(version, files, catalog)
    }

    /// Refuses data of other items or other features of users than the model's: it would be asked
    /// by numbers that mean something else to it. `name` is the model's in the stage.
    pub(super) fn check(&self, data: &Catalog, name: &str) -> Result<()> {
        checks::same_length("items of the model", data.len(), self.items)?;
        if self.catalog.fingerprint() != data.fingerprint() {
            let reason =
                "was trained for other items than the stage's data have, or in another order";
            return Err(Error::invalid("model", name, reason));
        }
        self.catalog.check_behaviors(data.behaviors())?;
        self.catalog.check_user_scales(data.user_scales())?;
        // By what the model looks at: others may be trained on the same split.
        let (trained, known) = (self.catalog.user_features(), data.user_features());
        // The catalog of an older run names none.
        let fits = if trained.is_empty() {
            known.len() == self.user_features
        } else {
            known == trained
        };
        if fits || !self.has_user_features() {
            return Ok(());
        }
        let reason = if trained.is_empty() {
            format!(
                "looks at {} features of users, and the stage's data name {}: give the data set its \
                 features of users before it is split, and save the run anew with the split's catalog",
                self.user_features,
                known.len()
            )
        } else {
            format!("looks at the features of users {trained:?}, and there are {known:?}")
        };
        Err(Error::invalid("model", name, reason))
    }
}

impl fmt::Debug for Recaller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recaller")
            .field("items", &self.catalog.len())
            .field("dim", &self.encoder.dim())
            .finish_non_exhaustive()
    }
}
