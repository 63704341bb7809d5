//! Tables of item vectors.

use burn::module::{
    AutodiffModule, Content, Devices, HasAutodiffModule, Module, ModuleDisplay,
    ModuleDisplayDefault, ModuleMapper, ModuleVisitor, Param,
};
use burn::tensor::backend::{AutodiffBackend, Backend as BurnBackend};
use burn::tensor::{DType, Int, Tensor};

use super::TablePrecision;
use super::joined::Joined;
use crate::backend::{self, Backend};

/// See [`ItemTable::CONTAINER`].
const CONTAINER: &str = "seqrec::model::ItemTable";

/// The type by which visitors know the weights of items' features, as burn derives it.
const FEATURES: &str = "Struct:FeatureMap";

/// The type by which they know vectors of events.
const EVENTS: &str = "Struct:EventVectors";
const USERS: &str = "Struct:UserMap";

/// A table with a row for each item, `[items + 1, dim]`; row 0 is padding. Where the model's
/// settings ask for them, what [items' features](crate::data::ItemFeatures) say joins the rows.
///
/// It is the one type for weights that belong to items: the vectors that a model recalls by, those
/// that it sees items by, and a bias for each item as well, which is a table of one column.
/// Training goes by the type and by nothing else: a [warm start](crate::train::WarmStart) lets the
/// rows of an `ItemTable` follow their items' ids and leaves all other weights in place, and
/// [weight decay](crate::train::TrainerConfig::weight_decay) passes it over.
///
/// ```
/// use seqrec::backend::Flex;
/// use seqrec::burn::tensor::{Int, Tensor};
/// use seqrec::model::parts::Weights;
///
/// let device = Default::default();
/// let table = Weights::<Flex>::new(42, &device)?.items(1_000, 16);
/// assert_eq!((table.items(), table.dim()), (1_000, 16));
/// let items = Tensor::<Flex, 2, Int>::from_ints([[7, 9], [1, 0]], &device);
/// let vectors: Tensor<Flex, 3> = table.lookup(items);
/// assert_eq!(vectors.dims(), [2, 2, 16]);
/// # Ok::<(), seqrec::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct ItemTable<B: BurnBackend> {
    /// Items' own vectors.
    vectors: Param<Tensor<B, 2>>,
    features: Option<Joined<B>>,
}

impl<B: BurnBackend> ItemTable<B> {
    /// The type by which visitors and mappers of a model's parameters know an item table: right
    /// before its vectors, they enter and leave a module of this `container_type`, which is no
    /// derived module's.
    pub const CONTAINER: &'static str = CONTAINER;

    /// A table of these vectors `[items + 1, dim]`, which is trained, whatever they were computed
    /// of.
    pub fn new(vectors: Tensor<B, 2>) -> Self {
        Self {
            vectors: Param::from_tensor(vectors.detach()),
            features: None,
        }
    }

    /// This table as one that training leaves as it is.
    #[must_use]
    pub(super) fn fixed(self) -> Self {
        Self {
            vectors: self.vectors.set_require_grad(false),
            ..self
        }
    }

    /// This table with what items' features say.
    pub(crate) fn with_features(self, features: Joined<B>) -> Self {
        let own = if features.has_own() {
            self
        } else {
            self.fixed()
        };
        Self {
            features: Some(features),
            ..own
        }
    }

    /// The features that join the table's rows, where there are some.
    pub(crate) fn features(&self) -> Option<&Joined<B>> {
        self.features.as_ref()
    }

    /// The number of items, padding not counted.
    pub fn items(&self) -> usize {
        self.vectors.dims()[0].saturating_sub(1)
    }

    /// The size of a vector.
    pub fn dim(&self) -> usize {
        self.vectors.dims()[1]
    }

    /// The precision of the vectors.
    pub fn precision(&self) -> TablePrecision {
        match self.vectors.val().dtype() {
            DType::F16 => TablePrecision::Half,
            _ => TablePrecision::Single,
        }
    }

    /// The device that holds the table.
    pub fn device(&self) -> B::Device {
        self.vectors.device()
    }
}

impl<B: Backend> ItemTable<B> {
    /// The vectors of some items, in single precision: `[n, dim]` for `[n]`, `[batch, len, dim]`
    /// for `[batch, len]`.
    pub fn lookup<const D: usize, const E: usize>(&self, items: Tensor<B, D, Int>) -> Tensor<B, E> {
        const { assert!(E == D + 1, "a lookup adds one dimension") };
        let mut shape = [self.dim(); E];
        shape[..D].copy_from_slice(&items.dims());
        let count = items.shape().num_elements();
        let items = items.reshape([count]);
        let rows = match &self.features {
            None => backend::select_rows(self.vectors.val(), items),
            Some(features) if features.makes_all(&self.device()) => {
                backend::select_rows(self.all(), items)
            }
            Some(features) => {
                let own = backend::select_rows(self.vectors.val(), items.clone());
                features.some(own, items)
            }
        };
        rows.reshape(shape)
    }

    /// The vectors of all items and of padding, `[items + 1, dim]`, in the precision of the table
    /// where they are its own alone, and else in single.
    pub fn kept(&self) -> Tensor<B, 2> {
        match self.features {
            Some(_) => self.all(),
            None => self.vectors.val(),
        }
    }

    /// The vectors of all items and of padding in single precision, `[items + 1, dim]`.
    pub fn all(&self) -> Tensor<B, 2> {
        match &self.features {
            Some(features) => features.all(self.vectors.id, || self.own()),
            None => self.own(),
        }
    }

    /// Items' own vectors in single precision, `[items + 1, dim]`.
    fn own(&self) -> Tensor<B, 2> {
        match self.precision() {
            TablePrecision::Single => self.vectors.val(),
            TablePrecision::Half => {
                let rows = self.vectors.dims()[0] as i64;
                let rows = Tensor::arange(0..rows, &self.device());
                backend::select_rows(self.vectors.val(), rows)
            }
        }
    }
}

/// A source of item vectors for an objective: a table, or a tower over one.
pub trait ItemVectors<B: Backend> {
    /// The number of items, padding not counted.
    fn items(&self) -> usize;

    /// All vectors `[items + 1, dim]`, in single precision as those of some are.
    fn all(&self) -> Tensor<B, 2>;

    /// Those of some items `[n]`, as `[n, dim]`.
    fn of(&self, items: Tensor<B, 1, Int>) -> Tensor<B, 2>;

    /// What is subtracted from the scores of all items `[items + 1]` in a softmax over them: much
    /// for those that nobody took, which would only learn from it that they are never the next.
    fn correction(&self) -> Option<Tensor<B, 1>> {
        None
    }
}

impl<B: Backend> ItemVectors<B> for ItemTable<B> {
    fn items(&self) -> usize {
        self.items()
    }

    fn all(&self) -> Tensor<B, 2> {
        self.all()
    }

    fn of(&self, items: Tensor<B, 1, Int>) -> Tensor<B, 2> {
        self.lookup(items)
    }

    fn correction(&self) -> Option<Tensor<B, 1>> {
        self.features.as_ref()?.correction(&self.device())
    }
}

/// Written by hand, so that visitors can tell it from every other module, while its parameter has
/// the name of the field that the table is in. What belongs to features comes after it, below that
/// name.
impl<B: BurnBackend> Module<B> for ItemTable<B> {
    type Record = (
        Param<Tensor<B, 2>>,
        <Option<Joined<B>> as Module<B>>::Record,
    );

    fn collect_devices(&self, devices: Devices<B>) -> Devices<B> {
        self.vectors.collect_devices(devices)
    }

    fn fork(self, device: &B::Device) -> Self {
        Self {
            vectors: self.vectors.fork(device),
            features: self.features.fork(device),
        }
    }

    fn to_device(self, device: &B::Device) -> Self {
        Self {
            vectors: self.vectors.to_device(device),
            features: self.features.to_device(device),
        }
    }

    fn visit<V: ModuleVisitor<B>>(&self, visitor: &mut V) {
        visitor.enter_module("", Self::CONTAINER);
        visitor.exit_module("", Self::CONTAINER);
        self.vectors.visit(visitor);
        self.features.visit(visitor);
    }

    fn map<M: ModuleMapper<B>>(self, mapper: &mut M) -> Self {
        mapper.enter_module("", Self::CONTAINER);
        mapper.exit_module("", Self::CONTAINER);
        Self {
            vectors: Module::<B>::map(self.vectors, mapper),
            features: Module::<B>::map(self.features, mapper),
        }
    }

    fn load_record(self, (vectors, features): Self::Record) -> Self {
        Self {
            vectors: self.vectors.load_record(vectors),
            features: self.features.load_record(features),
        }
    }

    fn into_record(self) -> Self::Record {
        (self.vectors.into_record(), self.features.into_record())
    }
}

impl<B: AutodiffBackend> AutodiffModule<B> for ItemTable<B> {
    type InnerModule = ItemTable<B::InnerBackend>;

    fn valid(&self) -> Self::InnerModule {
        ItemTable {
            vectors: self.vectors.valid(),
            features: self.features.valid(),
        }
    }

    fn from_inner(module: Self::InnerModule) -> Self {
        Self {
            vectors: AutodiffModule::<B>::from_inner(module.vectors),
            features: AutodiffModule::<B>::from_inner(module.features),
        }
    }
}

impl<B: AutodiffBackend> HasAutodiffModule<B> for ItemTable<B::InnerBackend> {
    type TrainModule = ItemTable<B>;
}

impl<B: BurnBackend> ModuleDisplayDefault for ItemTable<B> {
    fn content(&self, content: Content) -> Option<Content> {
        self.vectors.content(content)
    }

    fn num_params(&self) -> usize {
        Module::<B>::num_params(self)
    }
}

impl<B: BurnBackend> ModuleDisplay for ItemTable<B> {}

/// The place of a visitor or mapper among a model's parameters.
#[derive(Debug, Default)]
pub(crate) struct ParameterPath {
    names: Vec<String>,
    is_items: bool,
    /// Where among the names those within a [`FeatureMap`](super::feature_map::FeatureMap) begin.
    features: Option<usize>,
    /// Where those within an [`EventVectors`](super::parts::EventVectors) begin.
    events: Option<usize>,
    /// Where those within a [`UserMap`](super::parts::UserMap) begin.
    users: Option<usize>,
}

impl ParameterPath {
    /// Follows [`ModuleVisitor::enter_module`].
    pub(crate) fn enter(&mut self, name: &str, container: &str) {
        if container == FEATURES && self.features.is_none() {
            self.features = Some(self.names.len());
        }
        if container == EVENTS {
            self.events = Some(self.names.len());
        }
        if container == USERS {
            self.users = Some(self.names.len());
        }
        self.names.push(name.to_owned());
        self.is_items = false;
    }

    /// Follows [`ModuleVisitor::exit_module`].
    pub(crate) fn exit(&mut self, container: &str) {
        self.names.pop();
        self.is_items = container == CONTAINER;
        let within = |&begin: &usize| begin < self.names.len();
        self.features = self.features.filter(within);
        self.events = self.events.filter(within);
        self.users = self.users.filter(within);
    }

    /// Whether the parameter here is an [`ItemTable`]'s.
    pub(crate) fn is_items(&self) -> bool {
        self.is_items
    }

    /// Whether the parameter here is one of [`EventVectors`](super::parts::EventVectors).
    pub(crate) fn is_of_events(&self) -> bool {
        self.events.is_some()
    }

    /// Whether the parameter here is that of a [`UserMap`](super::parts::UserMap).
    pub(crate) fn is_of_users(&self) -> bool {
        self.users.is_some()
    }

    /// The name of the parameter here, from the model down.
    pub(crate) fn name(&self) -> String {
        self.names.join(".")
    }

    /// The name of the parameter here within the weights of items' features, where it is one of
    /// them.
    pub(crate) fn name_in_features(&self) -> Option<String> {
        let begin = self.features?;
        Some(self.names.get(begin..)?.join("."))
    }

    /// The last part of the name.
    pub(crate) fn field(&self) -> &str {
        self.names.last().map_or("", |name| name)
    }
}
