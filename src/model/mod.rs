//! Models that turn histories into vectors which lie near the items that come next.
//!
//! Each has a config, which is checked and makes it, and implements [`SequenceRecaller`]; what it
//! is trained for is an [`Objective`] that any of them takes.

mod bsarec;
mod builtin;
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
use burn::tensor::Tensor;
use burn::tensor::backend::Backend as BurnBackend;

use self::parts::Weights;
use crate::Result;
use crate::backend::{Backend, TrainingBackend, on_device, synchronize};
use crate::data::{Catalog, NegativeSampling, SequenceBatch, TrainingBatch};

pub use bsarec::{BsaRec, BsaRecBlock, BsaRecConfig};
pub use builtin::{ConfigVisitor, MODEL_NAMES, ModelVisitor, visit_configs, visit_model};
pub use gru4rec::{Gru4Rec, Gru4RecConfig, InputEmbedding};
pub use hstu::{Hstu, HstuBlock, HstuConfig};
pub use item_table::ItemTable;
pub(crate) use item_table::ParameterPath;
pub use item2vec::{Item2Vec, Item2VecConfig};
pub use multi_interest::{InterestExtractor, LabelAttention, MultiInterest, MultiInterestConfig};
pub use objective::{ItemVectors, Loss, Objective, SampledLoss, SampledScores, ScoreActivation};
pub use sasrec::{Block, SasRec, SasRecConfig, TransformerBlock};
pub use similarity::Similarity;
pub use table_precision::TablePrecision;
pub use two_tower::{TwoTower, TwoTowerConfig};

/// A model that recalls items for a history.
///
/// It gives vectors for histories and for items; the nearest items by
/// [`similarity`](SequenceRecaller::similarity) are what it recalls. That search is an
/// [index](crate::index)'s work, so a model says nothing about how it is done.
///
/// A model of your own needs its [config](RecallerConfig) and four functions. This one knows no more of a
/// user than their last item; a larger one is [in the cookbook](crate::guide::cookbook::own_model), and what models are
/// made of is in [`parts`].
///
/// ```
/// use burn::config::Config;
/// use burn::module::Module;
/// use burn::tensor::{Tensor, backend::Backend as BurnBackend};
/// use seqrec::backend::Backend;
/// use seqrec::burn;
/// use seqrec::data::{SequenceBatch, TrainingBatch};
/// use seqrec::model::parts::{Weights, at_positions};
/// use seqrec::model::{ItemTable, Objective, RecallerConfig, SequenceRecaller};
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
///     fn validate(&self) -> seqrec::Result<()> {
///         self.objective.validate(None)
///     }
///
///     fn objective(&self) -> &Objective {
///         &self.objective
///     }
///
///     fn max_len(&self) -> usize {
///         50
///     }
///
///     fn build<B: Backend>(&self, items: usize, weights: &mut Weights<B>) -> LastItem<B> {
///         let (next, items) = (weights.items(items, self.dim), weights.items(items, self.dim));
///         LastItem { items, next, config: self.clone() }
///     }
/// }
///
/// impl<B: Backend> LastItem<B> {
///     /// A vector after each item, `[batch, len, dim]`.
///     fn states(&self, histories: &SequenceBatch<B>) -> Tensor<B, 3> {
///         self.next.lookup(histories.items.clone())
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
///     fn encode(&self, histories: &SequenceBatch<B>) -> Tensor<B, 3> {
///         at_positions(self.states(histories), histories.last_positions()).unsqueeze_dim(1)
///     }
///
///     fn item_embeddings(&self) -> Tensor<B, 2> {
///         self.items.kept()
///     }
///
///     fn loss(&self, batch: &TrainingBatch<B>) -> Tensor<B, 1> {
///         let users = at_positions(self.states(&batch.histories), batch.positions.clone());
///         self.config.objective.mean_loss(users, &self.items, batch)
///     }
/// }
///
/// use seqrec::prelude::*; // and then it is trained like any other
/// let log = seqrec::data::synthetic::Synthetic::new().with_users(80).with_items(60).generate();
/// let split = Split::new(&Dataset::new(log, Filters::default())?, Protocol::LeaveOneOut)?;
/// let device = Default::default();
/// let model = LastItemConfig::new().init::<Autodiff<Flex>>(split.catalog().len(), 1, &device)?;
/// let trained = Trainer::new(TrainerConfig::new().with_epochs(1)).fit(model, &split, &device)?;
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

    /// User vectors `[batch, interests, dim]`; one interest for single-vector models.
    ///
    /// A row depends on its real items alone, never on padding or on the other rows.
    fn encode(&self, histories: &SequenceBatch<B>) -> Tensor<B, 3>;

    /// Item vectors `[items + 1, dim]`; row 0 is padding and is never recalled. They are of the
    /// precision that the model keeps them in.
    fn item_embeddings(&self) -> Tensor<B, 2>;

    /// The mean loss over the batch's targets, `[1]`.
    ///
    /// On a backend with gradients this is the training loss, dropout included; on one without
    /// it is the same loss without dropout.
    fn loss(&self, batch: &TrainingBatch<B>) -> Tensor<B, 1>;

    /// The model as one that can be trained session-parallel, if it can be.
    fn stateful(&self) -> Option<&dyn StatefulRecaller<B>> {
        None
    }

    /// The negatives that the loss needs in each batch; `None` when it needs none.
    fn negatives(&self) -> Option<NegativeSampling> {
        self.config().objective().negatives()
    }

    /// Whether the model can be trained on one target a history only, as with
    /// [`Targets::OneRandom`](crate::data::Targets::OneRandom) and
    /// [`Targets::EveryPrefix`](crate::data::Targets::EveryPrefix).
    fn needs_one_target(&self) -> bool {
        false
    }

    /// How many features of a user the model takes; a history without any is refused.
    fn user_features(&self) -> usize {
        0
    }

    /// Whether the model uses when items were taken, so that a history must have times.
    fn needs_times(&self) -> bool {
        false
    }

    /// The names of the rows of weights that have some, such as the features that a first layer looks
    /// at, by the name of the weights: a [warm start](crate::train::WarmStart) matches rows by them, and
    /// refuses weights of which it has too few. `catalog` is that of the model's data, which has the
    /// names of users' features.
    fn row_names(&self, catalog: &Catalog) -> Vec<(String, Vec<String>)> {
        let _ = catalog;
        Vec::new()
    }

    /// What tells the model from others, as JSON: its settings, unless it was made of more. A
    /// checkpoint is resumed only by a model of the same.
    fn settings(&self) -> String {
        burn::config::config_to_json(self.config())
    }

    /// How user and item vectors are compared in search.
    fn similarity(&self) -> Similarity {
        self.config().similarity()
    }

    /// How many of a history's last items the model sees.
    fn max_len(&self) -> usize {
        self.config().max_len()
    }
}

/// A model that can be trained on sequences step by step, with
/// [`Targets::SessionParallel`](crate::data::Targets::SessionParallel): Hidasi et al.,
/// [2016](https://arxiv.org/abs/1511.06939).
pub trait StatefulRecaller<B: Backend> {
    /// The loss of a batch whose rows continue those of the batch before, and what the next batch
    /// continues from. No gradient flows through what is carried.
    fn loss_carrying(
        &self,
        batch: &TrainingBatch<B>,
        carried: Option<CarriedState<B>>,
    ) -> (Tensor<B, 1>, Option<CarriedState<B>>);
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

/// What a model carries from batch to batch: each layer's states `[batch, dim]`.
#[derive(Debug, Clone)]
pub struct CarriedState<B: BurnBackend>(pub Vec<Tensor<B, 2>>);

/// The settings of a model, from which it is made: what a run folder stores beside the weights.
pub trait RecallerConfig: Config + Clone + std::fmt::Debug + Send + Sync + 'static {
    /// The model.
    type Recaller<B: Backend>: SequenceRecaller<B, Config = Self>;

    /// The name under which run folders know the model.
    const NAME: &'static str;

    /// Checks every setting.
    ///
    /// # Errors
    /// [`Error::InvalidValue`](crate::Error::InvalidValue) for the first invalid setting.
    fn validate(&self) -> Result<()>;

    /// Checks every setting, for a catalog of `items` items.
    ///
    /// # Errors
    /// As [`validate`](RecallerConfig::validate), and for a catalog of no items or fewer than the
    /// loss draws.
    fn validate_for(&self, items: usize) -> Result<()> {
        self.validate()?;
        self.objective().validate(Some(items))
    }

    /// What the model is trained for.
    fn objective(&self) -> &Objective;

    /// How many of a history's last items the model sees.
    fn max_len(&self) -> usize;

    /// How user and item vectors are compared in search: as in training, unless the model has
    /// reasons of its own.
    fn similarity(&self) -> Similarity {
        self.objective().similarity
    }

    /// How precisely tables of item vectors are kept.
    fn table_precision(&self) -> TablePrecision {
        TablePrecision::Single
    }

    /// The model for a catalog of `items` items, of weights that are drawn one after another. Its
    /// settings have been checked.
    fn build<B: Backend>(&self, items: usize, weights: &mut Weights<'_, B>) -> Self::Recaller<B>;

    /// A model for a catalog of `items` items, with weights drawn from `seed`.
    ///
    /// The same seed gives the same weights on every backend.
    ///
    /// # Errors
    /// As [`validate_for`](RecallerConfig::validate_for), and [`Error::Device`](crate::Error::Device)
    /// when there is no such device or it has no room for the model.
    fn init<B: Backend>(
        &self,
        items: usize,
        seed: u64,
        device: &B::Device,
    ) -> Result<Self::Recaller<B>> {
        drawn(self, items, seed, device)
    }

    /// A model whose weights are about to be replaced by those of a file: one that this can be
    /// done for without whatever else `init` would ask for.
    ///
    /// # Errors
    /// As [`init`](RecallerConfig::init).
    fn init_for_loading<B: Backend>(
        &self,
        items: usize,
        device: &B::Device,
    ) -> Result<Self::Recaller<B>> {
        drawn(self, items, 0, device)
    }
}

/// A model of checked settings, with weights drawn from a seed.
fn drawn<B: Backend, C: RecallerConfig>(
    config: &C,
    items: usize,
    seed: u64,
    device: &B::Device,
) -> Result<C::Recaller<B>> {
    config.validate_for(items)?;
    let mut weights = Weights::new(seed, device)?.with_tables(config.table_precision())?;
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
