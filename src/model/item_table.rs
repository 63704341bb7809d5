//! Tables of item vectors.

use burn::module::{
    AutodiffModule, Content, Devices, HasAutodiffModule, Module, ModuleDisplay,
    ModuleDisplayDefault, ModuleMapper, ModuleVisitor, Param,
};
use burn::tensor::backend::{AutodiffBackend, Backend as BurnBackend};
use burn::tensor::{DType, Int, Tensor};

use super::TablePrecision;
use crate::backend::{self, Backend};

/// See [`ItemTable::CONTAINER`].
const CONTAINER: &str = "seqrec::model::ItemTable";

/// A table with a row for each item, `[items + 1, dim]`; row 0 is padding.
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
    vectors: Param<Tensor<B, 2>>,
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
        }
    }

    /// This table as one that training leaves as it is, such as items' features.
    #[must_use]
    pub fn fixed(self) -> Self {
        Self {
            vectors: self.vectors.set_require_grad(false),
        }
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

    /// The vectors as they are kept, `[items + 1, dim]`.
    pub fn kept(&self) -> Tensor<B, 2> {
        self.vectors.val()
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
        backend::select_rows(self.vectors.val(), items.reshape([count])).reshape(shape)
    }

    /// The vectors of all items and of padding in single precision, `[items + 1, dim]`.
    pub fn all(&self) -> Tensor<B, 2> {
        match self.precision() {
            TablePrecision::Single => self.vectors.val(),
            TablePrecision::Half => {
                let rows = self.vectors.dims()[0] as i64;
                self.lookup(Tensor::arange(0..rows, &self.device()))
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
}

/// Written by hand, so that visitors can tell it from every other module, while its parameter has
/// the name of the field that the table is in.
impl<B: BurnBackend> Module<B> for ItemTable<B> {
    type Record = Param<Tensor<B, 2>>;

    fn collect_devices(&self, devices: Devices<B>) -> Devices<B> {
        self.vectors.collect_devices(devices)
    }

    fn fork(self, device: &B::Device) -> Self {
        let vectors = self.vectors.fork(device);
        Self { vectors }
    }

    fn to_device(self, device: &B::Device) -> Self {
        let vectors = self.vectors.to_device(device);
        Self { vectors }
    }

    fn visit<V: ModuleVisitor<B>>(&self, visitor: &mut V) {
        visitor.enter_module("", Self::CONTAINER);
        visitor.exit_module("", Self::CONTAINER);
        self.vectors.visit(visitor);
    }

    fn map<M: ModuleMapper<B>>(self, mapper: &mut M) -> Self {
        mapper.enter_module("", Self::CONTAINER);
        mapper.exit_module("", Self::CONTAINER);
        let vectors = Module::<B>::map(self.vectors, mapper);
        Self { vectors }
    }

    fn load_record(self, record: Self::Record) -> Self {
        let vectors = self.vectors.load_record(record);
        Self { vectors }
    }

    fn into_record(self) -> Self::Record {
        self.vectors.into_record()
    }
}

impl<B: AutodiffBackend> AutodiffModule<B> for ItemTable<B> {
    type InnerModule = ItemTable<B::InnerBackend>;

    fn valid(&self) -> Self::InnerModule {
        let vectors = self.vectors.valid();
        ItemTable { vectors }
    }

    fn from_inner(module: Self::InnerModule) -> Self {
        let vectors = AutodiffModule::<B>::from_inner(module.vectors);
        Self { vectors }
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
}

impl ParameterPath {
    /// Follows [`ModuleVisitor::enter_module`].
    pub(crate) fn enter(&mut self, name: &str) {
        self.names.push(name.to_owned());
    }

    /// Follows [`ModuleVisitor::exit_module`].
    pub(crate) fn exit(&mut self, container: &str) {
        self.names.pop();
        self.is_items = container == CONTAINER;
    }

    /// Whether the parameter here is an [`ItemTable`]'s.
    pub(crate) fn is_items(&self) -> bool {
        self.is_items
    }

    /// The name of the parameter here, from the model down.
    pub(crate) fn name(&self) -> String {
        self.names.join(".")
    }

    /// The last part of the name.
    pub(crate) fn field(&self) -> &str {
        self.names.last().map_or("", |name| name)
    }
}
