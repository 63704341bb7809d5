//! Which rows of an old model's weights those of a new one are.

use std::collections::{BTreeMap, HashMap};

use burn::module::Module;
use burn::tensor::backend::Backend as BurnBackend;
use burn::tensor::ops::FloatTensor;
use burn::tensor::{Tensor, TensorMetadata, TensorPrimitive};

use crate::backend::{Backend, TrainingBackend};
use crate::data::{Behaviors, Catalog};
use crate::model::parts::Weights;
use crate::model::{RecallerConfig, SequenceRecaller, TrainableRecaller, for_each_parameter};
use crate::{Error, ErrorKind, Result};

/// A tensor on the host.
#[derive(Debug, Clone, Default)]
pub(super) struct Values {
    pub(super) shape: Vec<usize>,
    pub(super) values: Vec<f32>,
}

/// The parameters of a model by their names: of each its id, its shape, and its values where they
/// are asked for.
pub(super) type Parameters = BTreeMap<String, (u64, Values)>;

/// The parameters of a model.
pub(super) fn parameters<B: BurnBackend>(model: &impl Module<B>, with_values: bool) -> Parameters {
    let mut found = Parameters::new();
    for_each_parameter(model, |path, id, tensor| {
        let shape = tensor.shape().to_vec();
        let values = if with_values {
            host_values::<B>(tensor)
        } else {
            Vec::new()
        };
        found.insert(path.name(), (id.val(), Values { shape, values }));
    });
    found
}

/// The values of a tensor, in single precision.
pub(super) fn host_values<B: BurnBackend>(tensor: FloatTensor<B>) -> Vec<f32> {
    let tensor = Tensor::<B, 1>::from_primitive(TensorPrimitive::Float(tensor));
    tensor.into_data().iter::<f32>().collect()
}

/// The names of the rows of a model's weights that have some, by the names of the weights.
pub(super) fn row_names<B: Backend>(
    model: &impl SequenceRecaller<B>,
    catalog: &Catalog,
) -> BTreeMap<String, Vec<String>> {
    let mut names: BTreeMap<_, _> = model.row_names(catalog).into_iter().collect();
    for_each_parameter(model, |path, _, values| {
        if path.is_of_events() {
            let types = std::iter::once("none".to_owned());
            let types = types.chain(catalog.behaviors().into_iter().flat_map(Behaviors::names));
            let rows = match path.field() {
                "types" => types.collect(),
                _ => (0..values.shape()[0])
                    .map(|step| format!("step {step}"))
                    .collect(),
            };
            names.insert(path.name(), rows);
        }
        if path.is_of_users() {
            names.insert(path.name(), catalog.user_features().to_vec());
        }
    });
    if let Some(features) = catalog.item_features() {
        for_each_parameter(model, |path, _, _| {
            let of_features = path.name_in_features();
            let rows = of_features.and_then(|weights| features.row_names(&weights));
            names.extend(rows.map(|rows| (path.name(), rows)));
        });
    }
    names
}

/// Which rows of an old model's weights those of a new one are.
pub(super) struct MatchedRows {
    /// The old row of each row of a table of items; padding is padding.
    pub(super) of_items: Vec<Option<usize>>,
    old_rows: usize,
    /// The names of rows that have some, by the name of the weights.
    old_names: BTreeMap<String, Vec<String>>,
    new_names: BTreeMap<String, Vec<String>>,
    /// The weights of a model of the new one's settings and of fewer items: what is as large there
    /// is not of items.
    of_fewer_items: Parameters,
}

/// The rule by which the rows of some weights are matched.
pub(super) enum Matched {
    /// By the items' ids.
    Items,
    /// By their names: the old row of each.
    Named(Vec<Option<usize>>),
    /// Each is what it was.
    InPlace,
}

impl MatchedRows {
    /// The rows of an old and a new catalog's models.
    pub(super) fn new<B: TrainingBackend, M: TrainableRecaller<B>>(
        [old, new]: [&Catalog; 2],
        old_names: &BTreeMap<String, Vec<String>>,
        model: &M,
    ) -> Result<Self> {
        let of = |id| old.index_of(id).map(|item| item.to_usize());
        let of_items = std::iter::once(Some(0)).chain(new.ids().map(of));
        let fewer = if new.len() == 1 { 2 } else { 1 };
        let device = model.items().device();
        let of_fewer_items = model
            .config()
            .build(fewer, &mut Weights::<B>::new(0, &device)?);
        Ok(Self {
            of_items: of_items.collect(),
            old_rows: old.len() + 1,
            old_names: old_names.clone(),
            new_names: row_names::<B>(model, new),
            of_fewer_items: parameters::<B>(&of_fewer_items, false),
        })
    }

    /// The rule for weights by their name, by whether they are a table of items and by their shapes
    /// in both models.
    ///
    /// # Errors
    /// [`ErrorKind::OtherModel`] when the shapes don't fit, and [`ErrorKind::InvalidValue`] when
    /// there is no telling.
    pub(super) fn of(
        &self,
        name: &str,
        is_items: bool,
        [old, new]: [&[usize]; 2],
    ) -> Result<Matched> {
        if let Some(names) = self.named(name, [old, new])? {
            return Ok(Matched::Named(names));
        }
        let sizes = (self.old_rows, self.of_items.len());
        let same_rank = old.len() == new.len();
        let of_catalog = |axis: usize| (old[axis], new[axis]) == sizes;
        if is_items && same_rank && of_catalog(0) && old[1..] == new[1..] {
            return Ok(Matched::Items);
        }
        // A catalog that has grown makes it no other model, so that this comes before sizes.
        let fits = |axis| of_catalog(axis) || old[axis] == new[axis];
        let has_items = same_rank && (0..old.len()).all(fits) && (0..old.len()).any(of_catalog);
        // Weights of another shape, such as those of a layer with an output for each item, would be
        // copied in place where both catalogs are of one size.
        let grows = match self.of_fewer_items.get(name) {
            Some((_, of_fewer)) => (has_items || old == new) && of_fewer.shape != new,
            None => has_items,
        };
        if grows && !is_items && !self.same_items() {
            let reason = "grows with the catalog, which has changed, and is no `ItemTable`, so that \
                          there is no telling which rows belong together; hold weights of items as \
                          `seqrec::model::ItemTable`";
            let value = format!("{name} {new:?}");
            return Err(Error::invalid("weights to start from", value, reason));
        }
        if old != new {
            return Err(other_shape(name, [old, new]));
        }
        Ok(Matched::InPlace)
    }

    /// Whether every row of a table of items is where it was.
    fn same_items(&self) -> bool {
        let old = (0..self.old_rows).map(Some);
        self.of_items.iter().copied().eq(old)
    }

    /// The old row of each new one by their names, where they have some.
    fn named(&self, name: &str, [old, new]: [&[usize]; 2]) -> Result<Option<Vec<Option<usize>>>> {
        let (old_names, new_names) = match (self.old_names.get(name), self.new_names.get(name)) {
            (None, None) => return Ok(None),
            (old, new) => (
                old.map_or(&[][..], |names| names),
                new.map_or(&[][..], |names| names),
            ),
        };
        if old[1..] != new[1..] {
            return Err(other_shape(name, [old, new]));
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

/// The error of weights that the old model has none of, or others.
pub(super) fn other_model(name: &str, found: &str, expected: &str) -> Error {
    Error::from(ErrorKind::OtherModel {
        weights: name.to_owned(),
        found: found.to_owned(),
        expected: expected.to_owned(),
    })
}

fn other_shape(name: &str, shapes: [&[usize]; 2]) -> Error {
    let [old, new] = shapes.map(|shape| format!("{shape:?}"));
    other_model(name, &old, &new)
}

/// Copies the rows that both have.
pub(super) fn copy(rows: &[Option<usize>], old: &Values, new: &mut Values) {
    let width: usize = new.shape[1..].iter().product();
    for (row, from) in new.values.chunks_exact_mut(width).zip(rows) {
        if let Some(from) = from {
            row.copy_from_slice(&old.values[from * width..(from + 1) * width]);
        }
    }
}
