//! What a model is to everybody else.

use burn::module::{AutodiffModule, Module, ModuleDisplay};
use burn::tensor::{Int, Tensor};

use super::newer_settings::without_newer_settings;
use super::objective::nothing_to_learn;
use super::parts::Dropout;
use super::{ItemTable, RecallerConfig};
use crate::backend::{Backend, TrainingBackend};
use crate::data::{Catalog, SequenceBatch, TrainingBatch};

/// A model that recalls items for a history.
///
/// It gives vectors for histories and for items; the nearest items by its
/// [similarity](super::Description::similarity) are what it recalls. That search is an
/// [index](crate::index)'s work, so a model says nothing about how it is done.
///
/// A model of your own needs a [config](RecallerConfig) and three functions: its settings, its
/// [table of items](ItemTable), and the vectors of users. This one knows no more of a user than
/// their last item; a larger one is [in the cookbook](crate::guide::cookbook::own_model), and what
/// models are made of is in [`parts`](super::parts).
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
/// let log = seqrec::data::synthetic::Synthetic::new().with_users(80).with_items(60).generate()?;
/// let split = Split::new(&Dataset::new(log, Filters::default())?, Protocol::LeaveOneOut)?;
/// let device = Default::default();
/// let model = LastItemConfig::new().init::<Autodiff<Flex>>(split.catalog().len(), 1, &device)?;
/// let trained = Trainer::new(TrainerConfig::new().with_epochs(1)).fit(model, &split)?;
/// assert!(trained.epochs[0].loss > 0.0);
/// # Ok::<(), seqrec::Error>(())
/// ```
///
/// Weights with a row for each item are [`ItemTable`]s, whatever they are for. Burn's
/// `nn::Embedding` is trained too, but a [warm start](crate::train::WarmStart) on another catalog
/// refuses one of items, as it can't tell which of its rows is whose.
pub trait SequenceRecaller<B: Backend>: Module<B> + ModuleDisplay + Sync + 'static {
    /// The settings that the model is made by.
    type Config: RecallerConfig;

    /// The settings that the model was made with.
    fn config(&self) -> &Self::Config;

    /// The vectors that items are recalled by, or what the model makes
    /// [those](SequenceRecaller::item_embeddings) of, as many and as large.
    fn items(&self) -> &ItemTable<B>;

    /// User vectors `[n, interests, dim]` after the items at `positions` `[n]`, which count through
    /// the padded batch row by row; one interest for single-vector models.
    ///
    /// A vector depends on the real items of its row up to its position, never on padding or on
    /// other rows. A model that is trained on [one target](super::Description::one_target) a
    /// history is asked for its last position only, once a row. `dropout` drops nothing outside of
    /// training.
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

    /// The loss of a batch, the mean over its targets and disliked items, `[1]`: the
    /// [objective](super::Description::objective)'s of single vectors and
    /// [`items`](SequenceRecaller::items). A model of several interests has one of its own.
    ///
    /// On a backend with gradients this is the training loss, dropout included; on one without
    /// it is the same loss without dropout.
    fn loss(&self, batch: &TrainingBatch<B>) -> Tensor<B, 1> {
        if batch.targets.dims() == [0] {
            return nothing_to_learn(self.items(), batch);
        }
        let dropout = Dropout::in_training::<B>(&self.items().device(), batch.seed);
        let users = self.states(&batch.histories, batch.positions.clone(), dropout);
        let objective = self.config().describe().objective;
        objective.mean_loss(users.squeeze_dim(1), self.items(), batch)
    }

    /// The loss of a batch whose rows continue those of the batch before, and what the next batch
    /// continues from: each layer's states `[batch, dim]`, through which no gradient flows. For
    /// models that [carry states](super::Description::carries_states).
    fn loss_carrying(
        &self,
        batch: &TrainingBatch<B>,
        carried: Vec<Tensor<B, 2>>,
    ) -> (Tensor<B, 1>, Vec<Tensor<B, 2>>) {
        (self.loss(batch), carried)
    }

    /// The names of the rows of weights that have some, such as the features that a first layer
    /// looks at, by the name of the weights: a [warm start](crate::train::WarmStart) matches rows
    /// by them, and refuses weights of which it has too few. `catalog` is that of the model's data,
    /// which has the names of users' features.
    fn row_names(&self, catalog: &Catalog) -> Vec<(String, Vec<String>)> {
        let _ = catalog;
        Vec::new()
    }

    /// A fingerprint of the model as JSON: its settings, unless it was made of more. A
    /// checkpoint is resumed only by a model of the same.
    fn settings(&self) -> String {
        let config = burn::config::config_to_json(self.config());
        let config = match serde_json::from_str(&config) {
            Ok(settings) => without_newer_settings(settings).to_string(),
            Err(_) => config,
        };
        match self.items().features() {
            // They are given, as data are, and not trained.
            Some(joined) => format!(
                r#"{{"config":{config},"item_features":{}}}"#,
                joined.features().fingerprint()
            ),
            None => config,
        }
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
