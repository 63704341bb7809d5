//! Going on from a trained model on newer data.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use burn::module::{ModuleVisitor, Param};
use burn::optim::record::AdaptorRecord;
use burn::tensor::{Tensor, TensorData, TensorMetadata};
use serde::Serialize;

use super::checkpoint::{Checkpoint, Checkpoints};
use super::identity::Identity;
use super::matched_rows::{
    Matched, MatchedRows, Values, copy, host_values, other_model, parameters, row_names,
};
use super::new_items::{NewItems, Sources};
use super::optimizer::Optimizer;
use crate::backend::{Backend, TrainingBackend};
use crate::data::{Catalog, Split};
use crate::model::{ParameterPath, SequenceRecaller, TrainableRecaller, map_parameters};
use crate::{Error, ErrorKind, Result};

/// A trained model that another's training begins with: on newer data, whose catalog has got items
/// and lost others. See [`Trainer::warm_start`](super::Trainer::warm_start).
///
/// Vectors of items are matched by the items' external ids, whatever their order, and the rows of a
/// layer that looks at features by the features' names, and types of events by the rules; all other
/// weights stay what they were. Items that the old catalog lacks, or counts in no training
/// sequence, begin where [`NewItems`] says, new features and types of events where those of a new
/// model do, and what is not trained, such as features, is the new model's own. Vectors of items
/// are what an [`ItemTable`](crate::model::ItemTable) holds: in a model of your own, weights that
/// grow with the catalog and are none are refused.
///
/// ```no_run
/// use seqrec::backend::{Autodiff, Flex};
/// use seqrec::model::{Gru4RecConfig, RecallerConfig};
/// use seqrec::store::Run;
/// use seqrec::train::{NewItems, Trainer, TrainerConfig, WarmStart};
/// # fn today() -> seqrec::Result<seqrec::data::Split> { unimplemented!() }
///
/// let device = Default::default();
/// let split = today()?;
/// let old = Run::<Flex, Gru4RecConfig>::load("yesterday", &device)?;
/// let start = WarmStart::new(&old.model, &old.catalog).new_items(NewItems::neighbors());
/// println!("{}", start.overlap(split.catalog()));
/// let model = old.config.init::<Autodiff<Flex>>(split.catalog().len(), 42, &device)?;
/// let trained = Trainer::new(TrainerConfig::new().with_epochs(1))
///     .warm_start(start)
///     .fit(model, &split)?;
/// # Ok::<(), seqrec::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct WarmStart {
    catalog: Catalog,
    /// By their names.
    weights: BTreeMap<String, Values>,
    row_names: BTreeMap<String, Vec<String>>,
    /// The model's fingerprint.
    settings: String,
    new_items: NewItems,
    moments: Option<PathBuf>,
}

/// The overlap of two catalogs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Overlap {
    /// Items of both.
    pub kept: usize,
    /// Items that the new catalog alone has.
    pub new: usize,
    /// Items that the old catalog alone has.
    pub gone: usize,
}

impl std::fmt::Display for Overlap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { kept, new, gone } = self;
        write!(f, "{kept} items as before, {new} new, {gone} gone")
    }
}

impl WarmStart {
    /// From a trained model and its catalog, such as those of a [`Run`](crate::store::Run).
    pub fn new<B: Backend>(model: &impl SequenceRecaller<B>, catalog: &Catalog) -> Self {
        let weights = parameters::<B>(model, true).into_iter();
        Self {
            catalog: catalog.clone(),
            weights: weights.map(|(name, (_, values))| (name, values)).collect(),
            row_names: row_names::<B>(model, catalog),
            settings: model.settings(),
            new_items: NewItems::default(),
            moments: None,
        }
    }

    /// The first vectors of items that the old catalog lacks.
    #[must_use]
    pub fn new_items(mut self, new_items: NewItems) -> Self {
        self.new_items = new_items;
        self
    }

    /// Takes the optimizer's moments too, from the last [checkpoint](super::Trainer::checkpoints)
    /// of the old training, which must have been of the old model's catalog and settings and of the
    /// new training's optimizer. Without them, each row's first steps are as large as those of a
    /// new model.
    #[must_use]
    pub fn moments(mut self, checkpoints: impl Into<PathBuf>) -> Self {
        self.moments = Some(checkpoints.into());
        self
    }

    /// The overlap of a new catalog with the old one.
    pub fn overlap(&self, catalog: &Catalog) -> Overlap {
        let known = catalog
            .ids()
            .filter(|id| self.catalog.index_of(id).is_some());
        let kept = known.count();
        Overlap {
            kept,
            new: catalog.len() - kept,
            gone: self.catalog.len() - kept,
        }
    }

    /// A model of a split's catalog with the old weights, as training begins with it.
    ///
    /// # Errors
    /// [`ErrorKind::NothingLeft`] when the catalogs share no item, [`ErrorKind::OtherModel`] when
    /// the old model has other weights, [`ErrorKind::InvalidValue`] for weights of which it can't
    /// be told which rows belong together, and [`ErrorKind::Shape`] when features are not the new
    /// catalog's.
    pub fn apply<B: TrainingBackend, M: TrainableRecaller<B>>(
        &self,
        model: M,
        split: &Split,
    ) -> Result<M> {
        let rows = self.rows::<B, M>(&model, split)?;
        if self.overlap(split.catalog()).kept == 0 {
            return Err(ErrorKind::NothingLeft {
                reason: format!(
                    "none of the {} items of the data is among the {} of the model to start from; \
                     are their ids written alike?",
                    split.catalog().len(),
                    self.catalog.len()
                ),
            }
            .into());
        }
        // What was in the catalog and in no training sequence is as new.
        let counts = self.catalog.counts();
        let counted = counts.iter().any(|&count| count > 0);
        let known = |row: usize| rows.of_items[row].is_some_and(|old| !counted || counts[old] > 0);
        let sources = self.new_items.sources(split, known)?;
        let mut wrong = None;
        let model = map_parameters::<B, _>(model, |path, _, tensor| {
            if wrong.is_some() || !B::float_is_require_grad(&tensor) {
                return tensor;
            }
            let (device, dtype) = (B::float_device(&tensor), tensor.dtype());
            let values = Values {
                shape: tensor.shape().to_vec(),
                values: host_values::<B>(tensor.clone()),
            };
            match self.filled(path, values, &rows, &sources) {
                Ok(Values { shape, values }) => {
                    let data = TensorData::new(values, shape).convert_dtype(dtype);
                    B::float_set_require_grad(B::float_from_data(data, &device), true)
                }
                Err(error) => {
                    wrong = Some(error);
                    tensor
                }
            }
        });
        match wrong {
            Some(error) => Err(error),
            None => Ok(model),
        }
    }

    /// A parameter of a new model with the old one's values, by what belongs together.
    fn filled(
        &self,
        path: &ParameterPath,
        mut new: Values,
        rows: &MatchedRows,
        sources: &Sources,
    ) -> Result<Values> {
        let name = path.name();
        let Some(old) = self.weights.get(&name) else {
            if path.is_of_events() || path.is_of_users() {
                // The old data's events had no meaning, and nothing was known of their users.
                return Ok(new);
            }
            return Err(other_model(&name, "nothing", &format!("{:?}", new.shape)));
        };
        match rows.of(&name, path.is_items(), [&old.shape, &new.shape])? {
            Matched::Items => {
                copy(&rows.of_items, old, &mut new);
                sources.fill(&mut new.values, new.shape[1..].iter().product());
                Ok(new)
            }
            Matched::Named(rows) => {
                copy(&rows, old, &mut new);
                Ok(new)
            }
            Matched::InPlace => Ok(old.clone()),
        }
    }

    /// The old training's moments, for the parameters of a model of a split's catalog; none where
    /// they are not asked for.
    ///
    /// # Errors
    /// [`ErrorKind::OtherTraining`] when the checkpoint is of another catalog, model or optimizer,
    /// [`ErrorKind::InvalidValue`] when there is none, and what reading it gives.
    pub(super) fn states<B: TrainingBackend, M: TrainableRecaller<B>>(
        &self,
        model: &M,
        split: &Split,
        identity: &Identity,
        device: &B::Device,
    ) -> Result<Vec<(u64, AdaptorRecord<Optimizer, B>)>> {
        let Some(folder) = &self.moments else {
            return Ok(Vec::new());
        };
        let Some(checkpoint) = Checkpoints::new(folder.clone()).last()? else {
            let reason = "holds no checkpoint";
            return Err(Error::invalid("moments", folder.display(), reason));
        };
        self.check_moments(&checkpoint, identity)?;
        let named = named_states::<B, M>(model, &checkpoint, device)?;
        let mut carried = Carried {
            path: ParameterPath::default(),
            named,
            rows: self.rows::<B, M>(model, split)?,
            old: &self.weights,
            states: Vec::new(),
            device,
            wrong: None,
        };
        model.visit(&mut carried);
        match carried.wrong {
            Some(error) => Err(error),
            None => Ok(carried.states),
        }
    }

    /// Whether the moments are those of the last checkpoint in this folder.
    pub(super) fn is_from(&self, checkpoints: &Checkpoints) -> bool {
        let moments = self.moments.as_ref();
        moments.is_some_and(|folder| checkpoints.is_in(folder))
    }

    /// Refuses the moments of a checkpoint that is not of the training that made the old model.
    ///
    /// # Errors
    /// [`ErrorKind::OtherTraining`] with the first thing that differs.
    pub(super) fn check_moments(&self, checkpoint: &Checkpoint, now: &Identity) -> Result<()> {
        let catalog = self.catalog.fingerprint();
        let of = &checkpoint.progress.identity;
        of.check_moments(now, &self.settings, catalog)
    }

    fn rows<B: TrainingBackend, M: TrainableRecaller<B>>(
        &self,
        model: &M,
        split: &Split,
    ) -> Result<MatchedRows> {
        let old_names = &self.row_names;
        MatchedRows::new::<B, M>([&self.catalog, split.catalog()], old_names, model)
    }
}

/// The states of a checkpoint by the names of its model's parameters.
fn named_states<B: TrainingBackend, M: TrainableRecaller<B>>(
    model: &M,
    checkpoint: &Checkpoint,
    device: &B::Device,
) -> Result<HashMap<String, AdaptorRecord<Optimizer, B>>> {
    // A record replaces parameters whole: their ids and sizes are the old model's.
    let old = model.clone().load_record(checkpoint.model::<B, _>(device)?);
    let old = parameters::<B>(&old, false);
    let states: Vec<(u64, AdaptorRecord<Optimizer, B>)> = checkpoint.optimizer::<B, _>(device)?;
    let mut states: HashMap<_, _> = states.into_iter().collect();
    let named = (old.into_iter()).filter_map(|(name, (id, _))| Some((name, states.remove(&id)?)));
    Ok(named.collect())
}

/// Carries the moments of a model's parameters over.
struct Carried<'a, B: TrainingBackend> {
    path: ParameterPath,
    named: HashMap<String, AdaptorRecord<Optimizer, B>>,
    old: &'a BTreeMap<String, Values>,
    rows: MatchedRows,
    states: Vec<(u64, AdaptorRecord<Optimizer, B>)>,
    device: &'a B::Device,
    /// The first error.
    wrong: Option<Error>,
}

impl<B: TrainingBackend> ModuleVisitor<B> for Carried<'_, B> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, container: &str) {
        self.path.exit(container);
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        let name = self.path.name();
        let (Some(state), Some(old)) = (self.named.remove(&name), self.old.get(&name)) else {
            return;
        };
        let shapes = [&old.shape[..], &param.dims()];
        let rows = match self.rows.of(&name, self.path.is_items(), shapes) {
            Ok(Matched::Items) => Some(self.rows.of_items.clone()),
            Ok(Matched::Named(rows)) => Some(rows),
            Ok(Matched::InPlace) => None,
            Err(error) => {
                self.wrong.get_or_insert(error);
                return;
            }
        };
        let state = state.into_state::<D>().map(|moment| match &rows {
            Some(rows) => self.moment(rows, moment),
            None => moment,
        });
        let state = AdaptorRecord::from_state(state);
        self.states.push((param.id.val(), state));
    }
}

impl<B: TrainingBackend> Carried<'_, B> {
    /// A moment with the rows of the new weights; those of new rows are 0.
    fn moment<const D: usize>(
        &self,
        rows: &[Option<usize>],
        moment: Tensor<B::InnerBackend, D>,
    ) -> Tensor<B::InnerBackend, D> {
        let shape = moment.dims().to_vec();
        let mut new_shape = shape.clone();
        new_shape[0] = rows.len();
        let old = Values {
            shape,
            values: moment.into_data().iter::<f32>().collect(),
        };
        let mut new = Values {
            values: vec![0.0; new_shape.iter().product()],
            shape: new_shape,
        };
        copy(rows, &old, &mut new);
        Tensor::from_data(TensorData::new(new.values, new.shape), self.device)
    }
}
