//! Going on from a trained model on newer data.

use std::any::TypeId;
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
use crate::backend::{Backend, TrainingBackend};
use crate::data::{Catalog, Split};
use crate::model::{
    ConfigVisitor, RecallerConfig, SequenceRecaller, TrainableRecaller, visit_configs,
};
use crate::{Error, Result};

/// A trained model that another's training begins with: on newer data, whose catalog has got items
/// and lost others. See [`Trainer::warm_start`](super::Trainer::warm_start).
///
/// Vectors of items are matched by the items' external ids, whatever their order, and the rows of a
/// layer that looks at features by the features' names; all other weights stay what they were. Items
/// that the old catalog lacks, or counts in no training sequence, begin where [`NewItems`] says, new
/// features where those of a new model do, and what is not trained, such as features, is the new
/// model's own. What a table of items is in a model of your own is said at [`SequenceRecaller`]:
/// weights that have the size of the catalog and may or may not be one are refused.
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
    row_names: BTreeMap<String, Vec<String>>,
    /// What tells the model from others.
    settings: String,
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
            row_names: model.row_names(catalog).into_iter().collect(),
            settings: model.settings(),
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
    /// the old training, which must have been of the old model's catalog and settings and of the new
    /// training's optimizer. Without them, each row's first steps are as large as those of a new model.
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
    /// model has other weights, [`Error::InvalidValue`] for weights of which it can't be told which
    /// rows belong together, and [`Error::Shape`] when features are not the new catalog's.
    pub fn apply<B: TrainingBackend, M: TrainableRecaller<B>>(
        &self,
        model: M,
        split: &Split,
    ) -> Result<M> {
        let rows = self.rows::<B, M>(&model, split);
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
        let known = |row: usize| rows.of_items[row].is_some_and(|old| !counted || counts[old] > 0);
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
                match rows.of(name, &old.shape, &new.shape)? {
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
        self.check_moments(&checkpoint, identity)?;
        let named = named_states::<B, M>(model, &checkpoint, device)?;
        let mut carried = Carried {
            path: Vec::new(),
            named,
            rows: self.rows::<B, M>(model, split),
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
    /// [`Error::OtherTraining`] with the first thing that differs.
    pub(super) fn check_moments(&self, checkpoint: &Checkpoint, now: &Identity) -> Result<()> {
        let catalog = self.catalog.fingerprint();
        let of = &checkpoint.progress.identity;
        of.check_moments(now, &self.settings, catalog)
    }

    fn rows<B: TrainingBackend, M: TrainableRecaller<B>>(&self, model: &M, split: &Split) -> Rows {
        let of = |id| self.catalog.index_of(id).map(|item| item.to_usize());
        let ids = split.catalog().ids();
        Rows {
            of_items: std::iter::once(Some(0)).chain(ids.map(of)).collect(),
            old_rows: self.catalog.len() + 1,
            old_names: self.row_names.clone(),
            new_names: model.row_names(split.catalog()).into_iter().collect(),
            is_builtin: is_builtin::<B, M>(),
        }
    }
}

/// Whether this is a model of this crate, and not another with the settings of one.
fn is_builtin<B: TrainingBackend, M: TrainableRecaller<B>>() -> bool {
    struct Sought(TypeId, bool);
    impl ConfigVisitor for Sought {
        fn visit<C: RecallerConfig>(&mut self) {
            self.1 |= self.0 == TypeId::of::<C>();
        }
    }
    let mut sought = Sought(TypeId::of::<M::Config>(), false);
    visit_configs(&mut sought);
    let own = TypeId::of::<<M::Config as RecallerConfig>::Recaller<B>>();
    sought.1 && own == TypeId::of::<M>()
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

/// Which rows of an old model's weights those of a new one are.
struct Rows {
    /// The old row of each row of a table of items; padding is padding.
    of_items: Vec<Option<usize>>,
    old_rows: usize,
    /// The names of rows that have some, by the name of the weights.
    old_names: BTreeMap<String, Vec<String>>,
    new_names: BTreeMap<String, Vec<String>>,
    is_builtin: bool,
}

/// How the rows of some weights are matched.
enum Matched {
    /// By the items' ids.
    Items,
    /// By their names: the old row of each.
    Named(Vec<Option<usize>>),
    /// Each is what it was.
    InPlace,
}

/// The tables of items in this crate's models.
const TABLES: [&str; 3] = ["embedding", "input_embedding", "context"];

/// What is in the names of weights that are no tables of items.
const NO_TABLES: [&str; 3] = ["weight", "bias", "position"];

impl Rows {
    /// How weights are matched by their name and by their shapes in both models.
    ///
    /// # Errors
    /// [`Error::OtherModel`] when the shapes don't fit, and [`Error::InvalidValue`] when there is no
    /// telling.
    fn of(&self, name: &str, old: &[usize], new: &[usize]) -> Result<Matched> {
        if let Some(names) = self.named(name, old, new)? {
            return Ok(Matched::Named(names));
        }
        let sizes = (self.old_rows, self.of_items.len());
        let of_catalog = |axis: usize| (old[axis], new[axis]) == sizes;
        let same_rank = old.len() == new.len();
        let is_matrix = same_rank && old.len() > 1 && of_catalog(0) && old[1..] == new[1..];
        let last = name.rsplit('.').next().unwrap_or(name);
        let is_table = match self.is_builtin {
            true => TABLES.contains(&last),
            false => !NO_TABLES.iter().any(|part| last.contains(part)),
        };
        if is_matrix && is_table {
            return Ok(Matched::Items);
        }
        let same_items = self
            .of_items
            .iter()
            .copied()
            .eq((0..self.old_rows).map(Some));
        // A catalog that has grown makes it no other model, so that this comes before sizes.
        let fits = |axis| of_catalog(axis) || old[axis] == new[axis];
        let may_be_items = same_rank && (0..old.len()).all(fits) && (0..old.len()).any(of_catalog);
        if !self.is_builtin && !same_items && may_be_items {
            let reason = "has the size of the catalog, which has changed, and may or may not be of \
                          items, so that there is no telling which rows belong together; hold vectors \
                          of items as `Param<Tensor<B, 2>>` under a name without `weight`, `bias` and \
                          `position`, and give other weights another size";
            let value = format!("{name} {new:?}");
            return Err(Error::invalid("weights to start from", value, reason));
        }
        if old != new {
            let [old, new] = [old, new].map(|shape| format!("{shape:?}"));
            return Err(other_model(name, &old, &new));
        }
        Ok(Matched::InPlace)
    }

    /// The old row of each new one by their names, where they have some.
    fn named(
        &self,
        name: &str,
        old: &[usize],
        new: &[usize],
    ) -> Result<Option<Vec<Option<usize>>>> {
        let (old_names, new_names) = match (self.old_names.get(name), self.new_names.get(name)) {
            (None, None) => return Ok(None),
            (old, new) => (
                old.map_or(&[][..], |names| names),
                new.map_or(&[][..], |names| names),
            ),
        };
        if old[1..] != new[1..] {
            let [old, new] = [old, new].map(|shape| format!("{shape:?}"));
            return Err(other_model(name, &old, &new));
        }
        for (model, names, shape) in [("old", old_names, old), ("new", new_names, new)] {
            if names.len() != shape[0] {
                let reason = format!(
                    "has {} rows, and the {model} model and its catalog name {} of them, so that \
                     there is no telling which rows belong together; where the catalog lacks the \
                     names of users' features, as that of an older run does, train and save \
                     the run again, on data with `Dataset::with_user_features`",
                    shape[0],
                    names.len()
                );
                return Err(Error::invalid("weights to start from", name, reason));
            }
        }
        let places: HashMap<&String, usize> = old_names.iter().zip(0..).collect();
        let rows = new_names.iter().map(|name| places.get(name).copied());
        Ok(Some(rows.collect()))
    }
}

/// Copies the rows that both have.
fn copy(rows: &[Option<usize>], old: &Values, new: &mut Values) {
    let width: usize = new.shape[1..].iter().product();
    for (row, from) in new.values.chunks_exact_mut(width).zip(rows) {
        if let Some(from) = from {
            row.copy_from_slice(&old.values[from * width..(from + 1) * width]);
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
    old: &'a BTreeMap<String, Values>,
    rows: Rows,
    states: Vec<(u64, AdaptorRecord<Optimizer, B>)>,
    device: &'a B::Device,
    /// The first error.
    wrong: Option<Error>,
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
        let (Some(state), Some(old)) = (self.named.remove(&name), self.old.get(&name)) else {
            return;
        };
        let rows = match self.rows.of(&name, &old.shape, &param.dims()) {
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
