//! Models that turn histories into vectors which lie near the items that come next.
//!
//! Each has a config, which is checked and makes it, and implements [`SequenceRecaller`]; what it
//! is trained for is an [`Objective`] that any of them takes.

mod bsarec;
mod builtin;
mod capsules;
mod gru4rec;
mod hstu;
mod item2vec;
mod item_table;
mod multi_interest;
mod objective;
pub mod parts;
mod sasrec;
mod similarity;
mod table_precision;
mod two_tower;

use burn::config::Config;
use burn::module::{AutodiffModule, Module, ModuleDisplay};
use burn::tensor::{Int, Tensor};

use self::parts::{Dropout, Weights};
use crate::backend::{Backend, TrainingBackend, on_device, synchronize};
use crate::data::{Catalog, SequenceBatch, TrainingBatch};
use crate::{Result, checks};

pub use bsarec::{BsaRec, BsaRecConfig};
pub(crate) use builtin::{ConfigVisitor, visit_configs};
pub use builtin::{MODEL_NAMES, ModelVisitor, visit_model};
pub use gru4rec::{Gru4Rec, Gru4RecConfig, InputEmbedding};
pub use hstu::{Hstu, HstuConfig};
pub(crate) use item_table::ParameterPath;
pub use item_table::{ItemTable, ItemVectors};
pub use item2vec::{Item2Vec, Item2VecConfig};
pub use multi_interest::{InterestExtractor, LabelAttention, MultiInterest, MultiInterestConfig};
pub use objective::{Loss, Objective, SampledLoss, SampledScores, ScoreActivation};
pub(crate) use sasrec::TransformerBlock;
pub use sasrec::{Block, SasRec, SasRecConfig};
pub use similarity::Similarity;
pub use table_precision::TablePrecision;
pub use two_tower::{TwoTower, TwoTowerConfig};

/// A model that recalls items for a history.
///
/// It gives vectors for histories and for items; the nearest items by its
/// [similarity](Description::similarity) are what it recalls. That search is an [index](crate::index)'s
/// work, so a model says nothing about how it is done.
///
/// A model of your own needs a [config](RecallerConfig) and three functions: its settings, its
/// [table of items](ItemTable), and the vectors of users. This one knows no more of a user than their last
/// item; a larger one is [in the cookbook](crate::guide::cookbook::own_model), and what models are made of
/// is in [`parts`].
///
/// ```
/// use burn::config::Config;
/// use burn::module::Module;
/// use burn::tensor::{Int, Tensor, backend::Backend as BurnBackend};
/// use seqrec::backend::Backend;
/// use seqrec::burn;
/// use seqrec::data::SequenceBatch;
/// use seqrec::model::parts::{Dropout, Weights, at_positions};
/// use seqrec::model::{Description, ItemTable, Objective, RecallerConfig, SequenceRecaller};
///
/// #[derive(Config, Debug)]
/// struct LastItemConfig {
///     #[config(default = 16)]
///     dim: usize,
///     #[config(default = "Objective::cosine(0.1)")]
///     objective: Objective,
/// }
///
/// #[derive(Module, Debug)]
/// struct LastItem<B: BurnBackend> {
///     items: ItemTable<B>,
///     next: ItemTable<B>,
///     #[module(skip)]
///     config: LastItemConfig,
/// }
///
/// impl RecallerConfig for LastItemConfig {
///     type Recaller<B: Backend> = LastItem<B>;
///     const NAME: &'static str = "last_item";
///
///     fn describe(&self) -> Description<'_> {
///         Description::new(&self.objective, 50)
///     }
///
///     fn build<B: Backend>(&self, items: usize, weights: &mut Weights<B>) -> LastItem<B> {
///         let (next, items) = (weights.items(items, self.dim), weights.items(items, self.dim));
///         LastItem { items, next, config: self.clone() }
///     }
/// }
///
/// impl<B: Backend> SequenceRecaller<B> for LastItem<B> {
///     type Config = LastItemConfig;
///
///     fn config(&self) -> &LastItemConfig {
///         &self.config
///     }
///
///     fn items(&self) -> &ItemTable<B> {
///         &self.items
///     }
///
///     fn states(
///         &self,
///         histories: &SequenceBatch<B>,
///         positions: Tensor<B, 1, Int>,
///         _: Dropout,
///     ) -> Tensor<B, 3> {
///         let states = self.next.lookup(histories.items.clone()); // after each item, [batch, len, dim]
///         at_positions(states, positions).unsqueeze_dim(1)
///     }
/// }
///
/// use seqrec::prelude::*; // and then it is trained like any other
/// let log = seqrec::data::synthetic::Synthetic::new().with_users(80).with_items(60).generate();
/// let split = Split::new(&Dataset::new(log, Filters::default())?, Protocol::LeaveOneOut)?;
/// let device = Default::default();
/// let model = LastItemConfig::new().init::<Autodiff<Flex>>(split.catalog().len(), 1, &device)?;
/// let trained = Trainer::new(TrainerConfig::new().with_epochs(1)).fit(model, &split)?;
/// assert!(trained.epochs[0].loss > 0.0);
/// # Ok::<(), seqrec::Error>(())
/// ```
///
/// Weights with a row for each item are [`ItemTable`]s, whatever they are for. Burn's `nn::Embedding` is
/// trained too, but a [warm start](crate::train::WarmStart) on another catalog refuses one of items, as it
/// can't tell which of its rows is whose.
pub trait SequenceRecaller<B: Backend>: Module<B> + ModuleDisplay + Sync + 'static {
    /// The settings that the model is made by.
    type Config: RecallerConfig;

    /// The settings that the model was made with.
    fn config(&self) -> &Self::Config;

    /// The vectors that items are recalled by, or what the model makes
    /// [those](SequenceRecaller::item_embeddings) of, as many and as large.
    fn items(&self) -> &ItemTable<B>;

    /// User vectors `[n, interests, dim]` after the items at `positions` `[n]`, which count through the
    /// padded batch row by row; one interest for single-vector models.
    ///
    /// A vector depends on the real items of its row up to its position, never on padding or on other
    /// rows. A model that is trained on [one target](Description::one_target) a history is asked for its
    /// last position only, once a row. `dropout` drops nothing outside of training.
    fn states(
        &self,
        histories: &SequenceBatch<B>,
        positions: Tensor<B, 1, Int>,
        dropout: Dropout,
    ) -> Tensor<B, 3>;

    /// User vectors `[batch, interests, dim]`, after each history's last item.
    fn encode(&self, histories: &SequenceBatch<B>) -> Tensor<B, 3> {
        self.states(histories, histories.last_positions(), Dropout::off())
    }

    /// Item vectors `[items + 1, dim]`; row 0 is padding and is never recalled. They are of the
    /// precision that the model keeps them in.
    fn item_embeddings(&self) -> Tensor<B, 2> {
        self.items().kept()
    }

    /// The mean loss over the batch's targets, `[1]`: the [objective](Description::objective)'s of single
    /// vectors and [`items`](SequenceRecaller::items). A model of several interests has one of its own.
    ///
    /// On a backend with gradients this is the training loss, dropout included; on one without
    /// it is the same loss without dropout.
    fn loss(&self, batch: &TrainingBatch<B>) -> Tensor<B, 1> {
        let dropout = Dropout::in_training::<B>(&self.items().device(), batch.seed);
        let users = self.states(&batch.histories, batch.positions.clone(), dropout);
        let objective = self.config().describe().objective;
        objective.mean_loss(users.squeeze_dim(1), self.items(), batch)
    }

    /// The loss of a batch whose rows continue those of the batch before, and what the next batch
    /// continues from: each layer's states `[batch, dim]`, through which no gradient flows. For models
    /// that [carry states](Description::carries_states).
    fn loss_carrying(
        &self,
        batch: &TrainingBatch<B>,
        carried: Vec<Tensor<B, 2>>,
    ) -> (Tensor<B, 1>, Vec<Tensor<B, 2>>) {
        (self.loss(batch), carried)
    }

    /// The names of the rows of weights that have some, such as the features that a first layer looks
    /// at, by the name of the weights: a [warm start](crate::train::WarmStart) matches rows by them, and
    /// refuses weights of which it has too few. `catalog` is that of the model's data, which has the
    /// names of users' features.
    fn row_names(&self, catalog: &Catalog) -> Vec<(String, Vec<String>)> {
        let _ = catalog;
        Vec::new()
    }

    /// A fingerprint of the model as JSON: its settings, unless it was made of more. A
    /// checkpoint is resumed only by a model of the same.
    fn settings(&self) -> String {
        burn::config::config_to_json(self.config())
    }
}

/// A model on a backend with gradients, whose inner model recalls without them. Whatever derives
/// `Module` and is a [`SequenceRecaller`] is one.
pub trait TrainableRecaller<B: TrainingBackend>:
    SequenceRecaller<B>
    + AutodiffModule<B, InnerModule: SequenceRecaller<B::InnerBackend, Config = Self::Config>>
{
}

impl<B: TrainingBackend, M> TrainableRecaller<B> for M where
    M: SequenceRecaller<B>
        + AutodiffModule<B, InnerModule: SequenceRecaller<B::InnerBackend, Config = M::Config>>
{
}

/// A model's description for training, search and serving, by its
/// [settings](RecallerConfig::describe).
///
/// ```
/// use seqrec::model::{Description, Objective};
///
/// let objective = Objective::cosine(0.1);
/// let mut description = Description::new(&objective, 50);
/// description.times = true;
/// ```
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Description<'a> {
    /// The training objective.
    pub objective: &'a Objective,
    /// The number of a history's last items that the model sees.
    pub max_len: usize,
    /// The similarity by which search compares user and item vectors: that of training, unless
    /// the model has reasons of its own.
    pub similarity: Similarity,
    /// The precision of [tables of items](ItemTable).
    pub table_precision: TablePrecision,
    /// Whether the model uses the times of interactions, so that a history must have some.
    pub times: bool,
    /// The number of features of a user that the model uses; a history without any is refused.
    pub user_features: usize,
    /// Whether the model can only be trained on one target a history, as with
    /// [`Targets::OneRandom`](crate::data::Targets::OneRandom) and
    /// [`Targets::EveryPrefix`](crate::data::Targets::EveryPrefix).
    pub one_target: bool,
    /// Whether the model can be trained on sequences step by step, with
    /// [`Targets::SessionParallel`](crate::data::Targets::SessionParallel): Hidasi et al.,
    /// [2016](https://arxiv.org/abs/1511.06939). It then has a
    /// [loss for it](SequenceRecaller::loss_carrying).
    pub carries_states: bool,
}

impl<'a> Description<'a> {
    /// A model with tables in single precision that sees a history's last `max_len` items and nothing else.
    pub fn new(objective: &'a Objective, max_len: usize) -> Self {
        Self {
            objective,
            max_len,
            similarity: objective.similarity,
            table_precision: TablePrecision::Single,
            times: false,
            user_features: 0,
            one_target: false,
            carries_states: false,
        }
    }
}

/// The settings of a model, from which it is made: what a run folder stores beside the weights.
pub trait RecallerConfig: Config + Clone + std::fmt::Debug + Send + Sync + 'static {
    /// The model.
    type Recaller<B: Backend>: SequenceRecaller<B, Config = Self>;

    /// The name under which run folders know the model.
    const NAME: &'static str;

    /// The model's description for training, search and serving.
    fn describe(&self) -> Description<'_>;

    /// The model for a catalog of `items` items, of weights that are drawn one after another. Its
    /// settings have been checked.
    fn build<B: Backend>(&self, items: usize, weights: &mut Weights<'_, B>) -> Self::Recaller<B>;

    /// Checks the settings that the model has besides its objective.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) for the first invalid setting.
    fn validate(&self) -> Result<()> {
        Ok(())
    }

    /// Checks every setting, for a catalog of `items` items.
    ///
    /// # Errors
    /// As [`validate`](RecallerConfig::validate), and for a catalog of no items or fewer than the
    /// loss draws.
    fn validate_for(&self, items: usize) -> Result<()> {
        self.validate()?;
        let Description {
            objective, max_len, ..
        } = self.describe();
        checks::at_least_one(&[("max_len", max_len)])?;
        objective.validate(Some(items))
    }

    /// A model for a catalog of `items` items, with weights drawn from `seed`.
    ///
    /// The same seed gives the same weights on every backend.
    ///
    /// # Errors
    /// As [`validate_for`](RecallerConfig::validate_for), and [`ErrorKind::Device`](crate::ErrorKind::Device)
    /// when there is no such device or it has no room for the model.
    fn init<B: Backend>(
        &self,
        items: usize,
        seed: u64,
        device: &B::Device,
    ) -> Result<Self::Recaller<B>> {
        drawn(self, items, seed, device)
    }
}

/// A model of checked settings, with weights drawn from a seed: for weights that are about to be replaced
/// too, without whatever else [`init`](RecallerConfig::init) may ask for.
pub(crate) fn drawn<B: Backend, C: RecallerConfig>(
    config: &C,
    items: usize,
    seed: u64,
    device: &B::Device,
) -> Result<C::Recaller<B>> {
    config.validate_for(items)?;
    let mut weights = Weights::new(seed, device)?.with_tables(config.describe().table_precision)?;
    on_device::<B, _>(device, || {
        let model = config.build(items, &mut weights);
        // That there is no room may be told no earlier than now.
        synchronize::<B>(device)?;
        Ok(model)
    })
}

/// Settings whose model can be trained on `B`: those of every model that derives `Module`.
pub trait TrainableConfig<B: TrainingBackend>:
    RecallerConfig<
    Recaller<B>: AutodiffModule<
        B,
        InnerModule = <Self as RecallerConfig>::Recaller<B::InnerBackend>,
    >,
>
{
}

impl<B: TrainingBackend, C> TrainableConfig<B> for C where
    C: RecallerConfig<Recaller<B>: AutodiffModule<B, InnerModule = C::Recaller<B::InnerBackend>>>
{
}
