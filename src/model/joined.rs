//! What items' features say, joined with their own vectors.

use std::sync::{Arc, OnceLock};

use burn::module::{
    AutodiffModule, Content, Devices, HasAutodiffModule, Module, ModuleDisplay,
    ModuleDisplayDefault, ModuleMapper, ModuleVisitor, ParamId,
};
use burn::tensor::backend::{AutodiffBackend, Backend as BurnBackend};
use burn::tensor::{Int, Tensor, TensorData};

use super::feature_map::{FeatureMap, ItemFeaturesConfig, Join};
use super::step;
use crate::backend::{self, Backend};
use crate::data::ItemFeatures;

/// How features join the rows of an [`ItemTable`](super::ItemTable).
#[derive(Debug, Clone)]
pub struct Joined<B: BurnBackend> {
    map: FeatureMap<B>,
    config: ItemFeaturesConfig,
    /// Which items somebody took in training, `[items + 1]`.
    taken: Arc<Vec<bool>>,
    /// The vectors of all items, made when they are first asked for where nothing is trained.
    made: Arc<OnceLock<Tensor<B, 2>>>,
}

impl<B: BurnBackend> Joined<B> {
    pub(crate) fn new(
        map: FeatureMap<B>,
        config: ItemFeaturesConfig,
        taken: Arc<Vec<bool>>,
    ) -> Self {
        Self {
            map,
            config,
            taken,
            made: Arc::default(),
        }
    }

    /// Whether items have vectors of their own.
    pub(crate) fn has_own(&self) -> bool {
        self.config.join != Join::Alone
    }

    /// The features.
    pub(crate) fn features(&self) -> &Arc<ItemFeatures> {
        self.map.inputs.features()
    }

    fn changed<C: BurnBackend>(&self, map: FeatureMap<C>) -> Joined<C> {
        Joined::new(map, self.config.clone(), self.taken.clone())
    }
}

impl<B: Backend> Joined<B> {
    /// Whether the vectors of all items are made whatever is looked up: where nothing is trained,
    /// since they are kept, and where the loss is of them all.
    pub(crate) fn makes_all(&self, device: &B::Device) -> bool {
        !B::ad_enabled(device) || step::is_whole()
    }

    /// The vectors of all items, `[items + 1, dim]`, of which these are their own. In a step of
    /// training they are made once for `table`, and where nothing is trained once for good.
    pub(crate) fn all(&self, table: ParamId, own: impl FnOnce() -> Tensor<B, 2>) -> Tensor<B, 2> {
        let make = || {
            let own = own();
            let said = self.map.all(own.dims()[1]);
            self.join(own, said, None)
        };
        match B::ad_enabled(&Default::default()) {
            true => step::once(table, make),
            false => self.made.get_or_init(make).clone(),
        }
    }

    /// What is subtracted from items' scores in a softmax over all, `[items + 1]`, where there are
    /// some that nobody took.
    pub(crate) fn correction(&self, device: &B::Device) -> Option<Tensor<B, 1>> {
        let left_out = |&taken: &bool| if taken { 0.0 } else { LEFT_OUT };
        // Padding is not taken either, and has no part in a softmax.
        let corrections: Vec<f32> = self.taken.iter().map(left_out).collect();
        let some = corrections
            .iter()
            .skip(1)
            .any(|&correction| correction > 0.0);
        let count = corrections.len();
        some.then(|| Tensor::from_data(TensorData::new(corrections, [count]), device))
    }

    /// The vectors of some items, of which these are their own, `[n, dim]`.
    pub(crate) fn some(&self, own: Tensor<B, 2>, items: Tensor<B, 1, Int>) -> Tensor<B, 2> {
        let device = own.device();
        let rows: Vec<usize> = items
            .clone()
            .into_data()
            .iter::<i64>()
            .map(|row| row as usize)
            .collect();
        let mut distinct = rows.clone();
        distinct.sort_unstable();
        distinct.dedup();
        let places = rows
            .iter()
            .map(|row| distinct.partition_point(|known| known < row) as i32);
        let places = TensorData::new(places.collect::<Vec<i32>>(), [rows.len()]);
        let said = self.map.some(distinct, own.dims()[1]);
        let said = backend::select_rows(said, Tensor::from_data(places, &device));
        self.join(own, said, Some(items))
    }

    /// The vectors of the items that `items` names, or of all.
    fn join(
        &self,
        own: Tensor<B, 2>,
        said: Tensor<B, 2>,
        items: Option<Tensor<B, 1, Int>>,
    ) -> Tensor<B, 2> {
        match self.config.join {
            Join::Alone => said,
            Join::Sum => self.kept_own(own, items) + said,
            Join::Beside => self.beside(own, said, items),
        }
    }

    /// Items' own vectors, of which a share is dropped in a step of training: those of an item
    /// wherever it is looked up.
    fn kept_own(&self, own: Tensor<B, 2>, items: Option<Tensor<B, 1, Int>>) -> Tensor<B, 2> {
        let device = own.device();
        let Some(seed) = step::seed().filter(|_| self.config.own_dropout > 0.0) else {
            return own;
        };
        let ones = Tensor::ones([self.taken.len(), 1], &device);
        let kept = backend::dropout(ones, self.config.own_dropout, seed ^ OWN_DROPOUT);
        own * rows_of(kept, items)
    }

    fn beside(
        &self,
        own: Tensor<B, 2>,
        said: Tensor<B, 2>,
        items: Option<Tensor<B, 1, Int>>,
    ) -> Tensor<B, 2> {
        let taken: Vec<f32> = self
            .taken
            .iter()
            .map(|&taken| f32::from(u8::from(taken)))
            .collect();
        let taken = TensorData::new(taken, [self.taken.len(), 1]);
        let taken = rows_of(Tensor::from_data(taken, &own.device()), items);
        if step::seed().is_some() {
            let difference = (own.clone().detach() - said.clone()) * taken.clone();
            let count = taken.clone().sum().clamp_min(1.0);
            step::add_to_loss(difference.square().sum() / count);
        }
        let others = taken.clone().neg().add_scalar(1.0);
        own * taken + said * others
    }
}

/// Larger than scores get, and small enough that their differences keep their digits.
const LEFT_OUT: f32 = 1e4;

/// What tells the seed of this dropout from that of others of a batch.
const OWN_DROPOUT: u64 = 0x6f77_6e20_6472_6f70;

fn rows_of<B: Backend>(column: Tensor<B, 2>, items: Option<Tensor<B, 1, Int>>) -> Tensor<B, 2> {
    match items {
        Some(items) => column.select(0, items),
        None => column,
    }
}

/// By hand, so that what was made of other weights is made anew.
impl<B: BurnBackend> Module<B> for Joined<B> {
    type Record = <FeatureMap<B> as Module<B>>::Record;

    fn collect_devices(&self, devices: Devices<B>) -> Devices<B> {
        self.map.collect_devices(devices)
    }

    fn fork(self, device: &B::Device) -> Self {
        let map = self.map.clone().fork(device);
        self.changed(map)
    }

    fn to_device(self, device: &B::Device) -> Self {
        let map = self.map.clone().to_device(device);
        self.changed(map)
    }

    fn visit<V: ModuleVisitor<B>>(&self, visitor: &mut V) {
        self.map.visit(visitor);
    }

    fn map<M: ModuleMapper<B>>(self, mapper: &mut M) -> Self {
        let map = Module::<B>::map(self.map.clone(), mapper);
        self.changed(map)
    }

    fn load_record(self, record: Self::Record) -> Self {
        let map = self.map.clone().load_record(record);
        self.changed(map)
    }

    fn into_record(self) -> Self::Record {
        self.map.into_record()
    }
}

impl<B: AutodiffBackend> AutodiffModule<B> for Joined<B> {
    type InnerModule = Joined<B::InnerBackend>;

    fn valid(&self) -> Self::InnerModule {
        self.changed(self.map.valid())
    }

    fn from_inner(module: Self::InnerModule) -> Self {
        let map = AutodiffModule::<B>::from_inner(module.map.clone());
        module.changed(map)
    }
}

impl<B: AutodiffBackend> HasAutodiffModule<B> for Joined<B::InnerBackend> {
    type TrainModule = Joined<B>;
}

impl<B: BurnBackend> ModuleDisplayDefault for Joined<B> {
    fn content(&self, content: Content) -> Option<Content> {
        self.map.content(content)
    }
}

impl<B: BurnBackend> ModuleDisplay for Joined<B> {}
