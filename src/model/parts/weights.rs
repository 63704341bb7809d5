//! Weights drawn from a seed, the same on every backend.

use std::sync::Arc;

use burn::module::Param;
use burn::nn::{LayerNorm, LayerNormConfig, Linear};
use burn::tensor::backend::Backend as BurnBackend;
use burn::tensor::{DType, Tensor, TensorData};
use half::f16;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use super::events::EventVectors;
use super::user_map::UserMap;
use crate::backend::{Backend, check_device};
use crate::data::{Catalog, Event};
use crate::model::feature_map::{FeatureInputs, FeatureMap, ItemFeaturesConfig, Join};
use crate::model::joined::Joined;
use crate::model::{ItemTable, TablePrecision};
use crate::{Error, ErrorKind, Result};

/// A table of these values.
fn table<B: BurnBackend>(
    values: impl Iterator<Item = f32>,
    shape: [usize; 2],
    precision: TablePrecision,
    device: &B::Device,
) -> ItemTable<B> {
    // Of millions of items there is room for one table, not for two.
    let count = shape.iter().product();
    let (data, kind) = match precision {
        TablePrecision::Single => {
            let mut all = Vec::with_capacity(count);
            all.extend(values);
            (TensorData::new(all, shape), DType::F32)
        }
        TablePrecision::Half => {
            let mut all = Vec::with_capacity(count);
            all.extend(values.map(f16::from_f32));
            (TensorData::new(all, shape), DType::F16)
        }
    };
    ItemTable::new(Tensor::from_data(data, (device, kind)))
}

/// The bound of uniform weights from so many inputs to so many outputs (Glorot & Bengio 2010).
fn bound(inputs: usize, outputs: usize) -> f32 {
    (6.0 / (inputs + outputs) as f32).sqrt()
}

/// Draws a model's weights, one after another.
#[derive(Debug)]
pub struct Weights<'a, B: BurnBackend> {
    random: ChaCha8Rng,
    device: &'a B::Device,
    tables: TablePrecision,
    features: Option<TableFeatures<B>>,
    events: Option<EventDraws>,
}

/// The types of events that vectors are drawn for.
#[derive(Debug)]
struct EventDraws {
    rules: usize,
    /// The numbers that they are drawn from, so that all other weights are those of a model
    /// without.
    random: ChaCha8Rng,
}

/// What joins the rows of the tables of items.
#[derive(Debug)]
struct TableFeatures<B: BurnBackend> {
    inputs: FeatureInputs<B>,
    config: ItemFeaturesConfig,
    taken: Arc<Vec<bool>>,
    /// The numbers that the next table's weights are drawn from, so that all other weights are
    /// those of a model without features.
    random: ChaCha8Rng,
}

/// The stream of the seed's numbers that weights of features are drawn from.
const FEATURE_STREAM: u64 = 1;

/// The stream that vectors of events are drawn from.
const EVENT_STREAM: u64 = 2;

impl<'a, B: Backend> Weights<'a, B> {
    /// Weights by a seed, on a device.
    ///
    /// # Errors
    /// [`ErrorKind::Device`](crate::ErrorKind::Device) when there is no such device.
    pub fn new(seed: u64, device: &'a B::Device) -> Result<Self> {
        check_device::<B>(device)?;
        Ok(Self {
            random: ChaCha8Rng::seed_from_u64(seed),
            device,
            tables: TablePrecision::Single,
            features: None,
            events: None,
        })
    }

    /// With [vectors of events](Weights::events) where a catalog's data have some.
    pub(crate) fn with_events(self, catalog: &Catalog) -> Self {
        let events = catalog.behaviors().map(|behaviors| {
            let mut random = self.random.clone();
            random.set_stream(EVENT_STREAM);
            let rules = behaviors.len();
            EventDraws { rules, random }
        });
        Self { events, ..self }
    }

    /// Joins the features of a catalog's items to [items'](Weights::items) tables.
    ///
    /// # Errors
    /// [`ErrorKind::NothingLeft`] when the catalog has none.
    pub(crate) fn with_features(
        self,
        catalog: &Catalog,
        config: &ItemFeaturesConfig,
    ) -> Result<Self> {
        config.validate()?;
        let known = catalog.item_features();
        let Some(features) = known.filter(|features| !features.is_empty()) else {
            let reason = "the model's settings ask for features of items (item_features), and the data have \
                          none: give them by `Dataset::with_item_features`, before the split";
            return Err(ErrorKind::NothingLeft {
                reason: reason.to_owned(),
            }
            .into());
        };
        let counts = catalog.counts();
        // Where nothing was counted, nothing tells items that nobody took.
        let counted = counts.iter().any(|&count| count > 0);
        let taken = counts.iter().map(|&count| !counted || count > 0).collect();
        let mut random = self.random.clone();
        random.set_stream(FEATURE_STREAM);
        Ok(Self {
            features: Some(TableFeatures {
                inputs: FeatureInputs::new(features.clone(), config.whiten, self.device),
                config: config.clone(),
                taken: Arc::new(taken),
                random,
            }),
            ..self
        })
    }

    /// Keeps [items'](Weights::items) tables in this precision.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) when the device has no such
    /// numbers.
    pub fn with_tables(self, tables: TablePrecision) -> Result<Self> {
        if tables == TablePrecision::Half && !B::supports_dtype(self.device, DType::F16) {
            let reason = format!(
                "the backend {} has no numbers of 16 bits on {:?}; use single",
                B::name(self.device),
                self.device
            );
            return Err(Error::invalid("table_precision", "half", reason));
        }
        Ok(Self { tables, ..self })
    }
}

impl<B: BurnBackend> Weights<'_, B> {
    /// A parameter with these values.
    pub fn param<const D: usize>(
        &self,
        values: Vec<f32>,
        shape: [usize; D],
    ) -> Param<Tensor<B, D>> {
        Param::from_tensor(Tensor::from_data(
            TensorData::new(values, shape),
            self.device,
        ))
    }

    /// A table `[rows, columns]` of normal numbers.
    pub fn normal(&mut self, rows: usize, columns: usize, deviation: f32) -> Param<Tensor<B, 2>> {
        let values = self.normal_values(deviation).take(rows * columns);
        let values = values.collect();
        self.param(values, [rows, columns])
    }

    fn normal_values(&mut self, deviation: f32) -> impl Iterator<Item = f32> {
        let draws = StandardNormal.sample_iter(&mut self.random);
        draws.map(move |draw: f32| deviation * draw)
    }

    /// A map of so many features of users to vectors of `dim` numbers, of 0 at first; none where
    /// there are no features.
    pub fn users(&self, features: usize, dim: usize) -> Option<UserMap<B>> {
        (features > 0).then(|| UserMap {
            weight: self.param(vec![0.0; features * dim], [features, dim]),
        })
    }

    /// Vectors `[_, dim]` of events, where they are `wanted` and the data's events have a
    /// [meaning](crate::data::Behaviors): small ones of types, and of values 0.
    pub fn events(&mut self, wanted: bool, dim: usize) -> Option<EventVectors<B>> {
        let mut events = self.events.take().filter(|_| wanted)?;
        std::mem::swap(&mut self.random, &mut events.random);
        let draws = self.normal_values(0.1 / (dim as f32).sqrt());
        let types = std::iter::repeat_n(0.0, dim).chain(draws.take(events.rules * dim));
        let types = types.collect();
        std::mem::swap(&mut self.random, &mut events.random);
        let steps = Event::VALUE_STEPS;
        let vectors = EventVectors {
            types: self.param(types, [events.rules + 1, dim]),
            values: self.param(vec![0.0; steps * dim], [steps, dim]),
        };
        self.events = Some(events);
        Some(vectors)
    }

    /// Item vectors `[items + 1, dim]` of about length 1; those of padding are 0. Where the model's
    /// settings ask for features of items, these join them.
    pub fn items(&mut self, items: usize, dim: usize) -> ItemTable<B> {
        let Some(mut of_tables) = self.features.take() else {
            return self.own_items(items, dim);
        };
        let own = match of_tables.config.join {
            Join::Sum | Join::Alone => self.items_of_zeros(items, dim),
            Join::Beside => self.own_items(items, dim),
        };
        std::mem::swap(&mut self.random, &mut of_tables.random);
        let map = self.feature_map(&of_tables, dim);
        std::mem::swap(&mut self.random, &mut of_tables.random);
        let joined = Joined::new(map, of_tables.config.clone(), of_tables.taken.clone());
        self.features = Some(of_tables);
        own.with_features(joined)
    }

    fn feature_map(&mut self, of_tables: &TableFeatures<B>, dim: usize) -> FeatureMap<B> {
        let TableFeatures { inputs, config, .. } = of_tables;
        let features = inputs.features();
        let labels = features.labels().len();
        let labels = (labels > 0).then(|| self.normal(labels, dim, 1.0 / (dim as f32).sqrt()));
        let numbers = features.numbers().values().ncols();
        let numbers = (numbers > 0).then(|| self.uniform(numbers, dim, bound(numbers, dim)));
        let vectors = features.given().iter().map(|given| {
            let given = given.vectors().ncols();
            match config.hidden {
                Some(hidden) => vec![self.linear(given, hidden), self.linear(hidden, dim)],
                None => vec![self.linear(given, dim)],
            }
        });
        let vectors = vectors.collect();
        let gated = config.join == Join::Sum;
        FeatureMap {
            labels,
            numbers,
            vectors,
            gate: gated.then(|| self.param(vec![1.0; dim], [dim])),
            inputs: inputs.clone(),
        }
    }

    /// Item vectors of their own alone.
    fn own_items(&mut self, items: usize, dim: usize) -> ItemTable<B> {
        let (device, tables) = (self.device, self.tables);
        let draws = self.normal_values(1.0 / (dim as f32).sqrt());
        let values = std::iter::repeat_n(0.0, dim).chain(draws.take(items * dim));
        table(values, [items + 1, dim], tables, device)
    }

    /// Item vectors `[items + 1, dim]` of 0.
    pub fn items_of_zeros(&self, items: usize, dim: usize) -> ItemTable<B> {
        let values = std::iter::repeat_n(0.0, (items + 1) * dim);
        table(values, [items + 1, dim], self.tables, self.device)
    }

    /// Item vectors `[items + 1, dim]` uniform within `±bound`.
    pub fn uniform_items(&mut self, items: usize, dim: usize, bound: f32) -> ItemTable<B> {
        let (device, tables) = (self.device, self.tables);
        let draws = (0..(items + 1) * dim).map(|_| self.random.random_range(-bound..bound));
        table(draws, [items + 1, dim], tables, device)
    }

    /// A table `[rows, columns]` uniform within `±bound`.
    pub fn uniform(&mut self, rows: usize, columns: usize, bound: f32) -> Param<Tensor<B, 2>> {
        let draws = (0..rows * columns).map(|_| self.random.random_range(-bound..bound));
        let values = draws.collect();
        self.param(values, [rows, columns])
    }

    /// A linear layer with uniform weights (Glorot & Bengio 2010) and biases of 0.
    pub fn linear(&mut self, inputs: usize, outputs: usize) -> Linear<B> {
        Linear {
            weight: self.uniform(inputs, outputs, bound(inputs, outputs)),
            bias: Some(self.param(vec![0.0; outputs], [outputs])),
        }
    }

    /// Layer normalization that changes no scale yet.
    pub fn layer_norm(&self, dim: usize) -> LayerNorm<B> {
        LayerNormConfig::new(dim).init(self.device)
    }
}
