//! Going on from a trained model on newer data.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use burn::module::{ModuleMapper, ModuleVisitor, Param};
use burn::optim::record::AdaptorRecord;
use burn::tensor::backend::Backend as BurnBackend;
use burn::tensor::{Tensor, TensorData};

use super::checkpoint::{Checkpoint, Checkpoints};
use super::identity::Identity;
use super::new_items::NewItems;
use super::optimizer::Optimizer;
use super::optimizer_state::OptimizerState;
use crate::backend::{Backend, TrainingBackend};
use crate::data::{Catalog, Split};
use crate::model::{SequenceRecaller, TrainableRecaller};
use crate::{Error, Result};

/// A trained model that another's training begins with: on newer data, whose catalog has got items
/// and lost others. See [`Trainer::warm_start`](super::Trainer::warm_start).
///
/// Vectors of items are matched by the items' external ids, whatever their order; all other weights
/// stay what they were. Items that the old catalog lacks, or counts in no training sequence, begin
/// where [`NewItems`] says, and what is not trained, such as features, is the new model's own.
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
///     .fit(model, &split, &device)?;
/// # Ok::<(), seqrec::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct WarmStart {
    catalog: Catalog,
    /// By their names.
    weights: BTreeMap<String, Values>,
    new_items: NewItems,
    moments: Option<PathBuf>,
}

/// A tensor on the host.
#[derive(Debug, Clone, Default)]
struct Values {
    shape: Vec<usize>,
    values: Vec<f32>,
}

/// How many items two catalogs share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
        let mut named = Named::<Values>::default();
        model.visit(&mut named);
        Self {
            catalog: catalog.clone(),
            weights: named.found,
            new_items: NewItems::default(),
            moments: None,
        }
    }

    /// Where items begin that the old catalog lacks.
    #[must_use]
    pub fn new_items(mut self, new_items: NewItems) -> Self {
        self.new_items = new_items;
        self
    }

    /// Takes the optimizer's moments too, from the last [checkpoint](super::Trainer::checkpoints) of
    /// the old training, which must have been of the same catalog, model settings and optimizer.
    /// Without them, each row's first steps are as large as those of a new model.
    #[must_use]
    pub fn moments(mut self, checkpoints: impl Into<PathBuf>) -> Self {
        self.moments = Some(checkpoints.into());
        self
    }

    /// What a new catalog has of the old one's items.
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
    /// [`Error::NothingLeft`] when the catalogs share no item, [`Error::OtherModel`] when the old
    /// model has other weights, and [`Error::Shape`] when features are not the new catalog's.
    pub fn apply<B: TrainingBackend, M: TrainableRecaller<B>>(
        &self,
        model: M,
        split: &Split,
    ) -> Result<M> {
        let rows = Rows::new(&self.catalog, split.catalog());
        if self.overlap(split.catalog()).kept == 0 {
            return Err(Error::NothingLeft {
                reason: format!(
                    "none of the {} items of the data is among the {} of the model to start from; \
                     are their ids written alike?",
                    split.catalog().len(),
                    self.catalog.len()
                ),
            });
        }
        // What was in the catalog and in no training sequence is as new.
        let counts = self.catalog.counts();
        let counted = counts.iter().any(|&count| count > 0);
        let known = |row: usize| rows.old[row].is_some_and(|old| !counted || counts[old] > 0);
        let sources = self.new_items.sources(split, known)?;
        let mut names = Vec::new();
        let mut wrong = None;
        let model = model.map(&mut Replace {
            names: &mut names,
            wrong: &mut wrong,
            fill: |name: &str, mut new: Values| -> Result<Values> {
                let Some(old) = self.weights.get(name) else {
                    return Err(other_model(name, "nothing", &format!("{:?}", new.shape)));
                };
                if rows.are_items(name, &old.shape, &new.shape) {
                    rows.copy(old, &mut new);
                    sources.fill(&mut new.values, new.shape[1..].iter().product());
                    return Ok(new);
                }
                if old.shape != new.shape {
                    let [old, new] = [&old.shape, &new.shape].map(|shape| format!("{shape:?}"));
                    return Err(other_model(name, &old, &new));
                }
                Ok(old.clone())
            },
        });
        match wrong {
            Some(error) => Err(error),
            None => Ok(model),
        }
    }

    /// The old training's moments, for the parameters of a model of a split's catalog; none where
    /// they are not asked for.
    ///
    /// # Errors
    /// [`Error::OtherTraining`] when the checkpoint is of another catalog, model or optimizer,
    /// [`Error::InvalidValue`] when there is none, and what reading it gives.
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
        let of = self.catalog.fingerprint();
        (checkpoint.progress.identity).check_moments(identity, of)?;
        let named = named_states::<B, M>(model, &checkpoint, device)?;
        let mut carried = Carried {
            path: Vec::new(),
            named,
            rows: Rows::new(&self.catalog, split.catalog()),
            states: Vec::new(),
            device,
        };
        model.visit(&mut carried);
        Ok(carried.states)
    }
}

fn other_model(name: &str, found: &str, expected: &str) -> Error {
    Error::OtherModel {
        weights: name.to_owned(),
        found: found.to_owned(),
        expected: expected.to_owned(),
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
    let mut ids = Named::<u64>::default();
    old.visit(&mut ids);
    let states: Vec<(u64, AdaptorRecord<Optimizer, B>)> = checkpoint.optimizer::<B, _>(device)?;
    let mut states: HashMap<_, _> = states.into_iter().collect();
    let named = (ids.found.into_iter()).filter_map(|(name, id)| Some((name, states.remove(&id)?)));
    Ok(named.collect())
}

/// What is found of each trained parameter, by its name.
#[derive(Default)]
struct Named<T> {
    path: Vec<String>,
    found: BTreeMap<String, T>,
}

impl<B: BurnBackend> ModuleVisitor<B> for Named<Values> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        let shape = param.dims().to_vec();
        let values = param.val().into_data().iter::<f32>().collect();
        self.found
            .insert(self.path.join("."), Values { shape, values });
    }
}

impl<B: BurnBackend> ModuleVisitor<B> for Named<u64> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        self.found.insert(self.path.join("."), param.id.val());
    }
}

/// Where the rows of a new catalog lie in an old one.
struct Rows {
    /// The old row of each new one; padding is padding.
    old: Vec<Option<usize>>,
    old_rows: usize,
}

impl Rows {
    fn new(old: &Catalog, new: &Catalog) -> Self {
        let of = |id| old.index_of(id).map(|item| item.to_usize());
        Self {
            old: std::iter::once(Some(0)).chain(new.ids().map(of)).collect(),
            old_rows: old.len() + 1,
        }
    }

    /// Whether a tensor has a row for each item. Those of layers, which may by chance be of that
    /// size, are all named weights.
    fn are_items(&self, name: &str, old: &[usize], new: &[usize]) -> bool {
        let [rows_old, rest_old @ ..] = old else {
            return false;
        };
        let [rows_new, rest_new @ ..] = new else {
            return false;
        };
        !name.ends_with("weight")
            && !rest_new.is_empty()
            && (*rows_old, *rows_new) == (self.old_rows, self.old.len())
            && rest_old == rest_new
    }

    /// Copies the rows of items that both have.
    fn copy(&self, old: &Values, new: &mut Values) {
        let width: usize = new.shape[1..].iter().product();
        for (row, from) in new.values.chunks_exact_mut(width).zip(&self.old) {
            if let Some(from) = from {
                row.copy_from_slice(&old.values[from * width..(from + 1) * width]);
            }
        }
    }
}

/// Replaces each trained parameter by what `fill` makes of it.
struct Replace<'a, F> {
    names: &'a mut Vec<String>,
    /// The first error.
    wrong: &'a mut Option<Error>,
    fill: F,
}

impl<B: TrainingBackend, F: FnMut(&str, Values) -> Result<Values>> ModuleMapper<B>
    for Replace<'_, F>
{
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.names.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.names.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        if self.wrong.is_some() || !param.is_require_grad() {
            return param;
        }
        let name = self.names.join(".");
        param.map(|tensor| {
            let kind = (&tensor.device(), tensor.dtype());
            let values = Values {
                shape: tensor.dims().to_vec(),
                values: tensor.to_data().iter::<f32>().collect(),
            };
            match (self.fill)(&name, values) {
                Ok(Values { shape, values }) => {
                    Tensor::from_data(TensorData::new(values, shape), kind).require_grad()
                }
                Err(error) => {
                    *self.wrong = Some(error);
                    tensor
                }
            }
        })
    }
}

/// Carries the moments of a model's parameters over.
struct Carried<'a, B: TrainingBackend> {
    path: Vec<String>,
    named: HashMap<String, AdaptorRecord<Optimizer, B>>,
    rows: Rows,
    states: Vec<(u64, AdaptorRecord<Optimizer, B>)>,
    device: &'a B::Device,
}

impl<B: TrainingBackend> ModuleVisitor<B> for Carried<'_, B> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        let name = self.path.join(".");
        let Some(state) = self.named.remove(&name) else {
            return;
        };
        let OptimizerState {
            time,
            moment_1,
            moment_2,
        } = state.into_state::<D>();
        let state = OptimizerState {
            time,
            moment_1: self.moment(&name, moment_1),
            moment_2: self.moment(&name, moment_2),
        };
        let state = AdaptorRecord::from_state(state);
        self.states.push((param.id.val(), state));
    }
}

impl<B: TrainingBackend> Carried<'_, B> {
    /// A moment with the rows of the new catalog; those of new items are 0.
    fn moment<const D: usize>(
        &self,
        name: &str,
        moment: Tensor<B::InnerBackend, D>,
    ) -> Tensor<B::InnerBackend, D> {
        let shape = moment.dims().to_vec();
        let mut new_shape = shape.clone();
        new_shape[0] = self.rows.old.len();
        if !self.rows.are_items(name, &shape, &new_shape) {
            return moment;
        }
        let old = Values {
            shape,
            values: moment.into_data().iter::<f32>().collect(),
        };
        let mut new = Values {
            values: vec![0.0; new_shape.iter().product()],
            shape: new_shape,
        };
        self.rows.copy(&old, &mut new);
        Tensor::from_data(TensorData::new(new.values, new.shape), self.device)
    }
}
