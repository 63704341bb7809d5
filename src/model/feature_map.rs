//! From what is known of items to vectors.

use std::sync::Arc;

use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::tensor::activation::relu;
use burn::tensor::backend::Backend as BurnBackend;
use burn::tensor::{Int, Tensor, TensorData};
use ndarray::Array2;
use serde::{Deserialize, Serialize};

use crate::backend::{Backend, SparseMatrix};
use crate::data::ItemFeatures;
use crate::kernels::sparse::SparseRows;
use crate::settings::settings;
use crate::{Result, checks};

settings! {
    /// The way in which a model uses its items' [features](ItemFeatures).
    #[serde(default, deny_unknown_fields)]
    pub struct ItemFeaturesConfig {
        /// How the vector of an item's features meets the item's own.
        pub join: Join = Join::Sum, with_join;
        /// The size of the hidden layer between given vectors and items'; without one, they are
        /// mapped linearly.
        pub hidden: Option<usize> = None, with_hidden;
        /// Whether given vectors are whitened first: made such that no direction stands out.
        pub whiten: bool = false, with_whiten;
        /// The probability of dropping an item's own vector in training, `0.0..1.0`, so that its
        /// features alone must represent it, as for items that nobody has taken yet.
        pub own_dropout: f64 = 0.0, with_own_dropout;
    }
}

/// How the vector of an item's features meets the item's own vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Join {
    /// Their sum, that of the features being multiplied by a learned number for each place. The own
    /// vector begins at 0 and so is what the features do not say.
    Sum,
    /// The vector of the features alone; items have none of their own.
    Alone,
    /// The own vector for items that somebody took in training, and for others that of the
    /// features, which are trained beside to be near the own ones. What is recalled of known items
    /// is as without features: [DenseRec](https://arxiv.org/abs/2508.18442).
    Beside,
}

impl ItemFeaturesConfig {
    pub(crate) fn validate(&self) -> Result<()> {
        if let Some(hidden) = self.hidden {
            checks::at_least_one(&[("item_features.hidden", hidden)])?;
        }
        checks::share("item_features.own_dropout", self.own_dropout)
    }
}

/// The weights that make vectors of items' features.
#[derive(Module, Debug)]
pub struct FeatureMap<B: BurnBackend> {
    /// A vector for each label, `[labels, dim]`.
    pub labels: Option<Param<Tensor<B, 2>>>,
    /// From standardized numbers to vectors, `[numbers, dim]`.
    pub numbers: Option<Linear<B>>,
    /// For each kind of given vectors a linear layer, or two with a rectifier between.
    pub vectors: Vec<Vec<Linear<B>>>,
    /// By what the sum of all these is multiplied, `[dim]`, where it meets items' own vectors.
    pub gate: Option<Param<Tensor<B, 1>>>,
    inputs: FeatureInputs<B>,
    #[module(skip)]
    features: Arc<ItemFeatures>,
    /// The labels of all items.
    #[module(skip)]
    labels_of_all: SparseMatrix,
}

/// What the weights are multiplied by, which is not trained.
#[derive(Module, Debug)]
struct FeatureInputs<B: BurnBackend> {
    /// `[items + 1, numbers]`.
    numbers: Option<Tensor<B, 2>>,
    /// Of each kind `[items + 1, dim]`, and 1 for each item that has one, `[items + 1, 1]`.
    vectors: Vec<(Tensor<B, 2>, Tensor<B, 2>)>,
}

impl<B: BurnBackend> FeatureMap<B> {
    /// A map of these weights, of which there must be as many as the features ask for.
    pub(crate) fn new(
        features: Arc<ItemFeatures>,
        [labels, gate]: [Option<Vec<f32>>; 2],
        numbers: Option<Linear<B>>,
        vectors: Vec<Vec<Linear<B>>>,
        (dim, whiten): (usize, bool),
        device: &B::Device,
    ) -> Self {
        let matrix = |values: Array2<f32>| {
            let shape = [values.nrows(), values.ncols()];
            let values = values.as_standard_layout().iter().copied().collect();
            Tensor::from_data(TensorData::new::<f32, _>(values, shape), device)
        };
        let given = features.given().iter().map(|given| {
            let known = given.are_known();
            let ones = known.iter().map(|&known| f32::from(u8::from(known)));
            let ones = Array2::from_shape_fn((known.len(), 1), {
                let ones: Vec<f32> = ones.collect();
                move |(row, _)| ones[row]
            });
            let values = if whiten {
                super::whitening::whitened(given.vectors().view(), known)
            } else {
                given.vectors().clone()
            };
            (matrix(values), matrix(ones))
        });
        let inputs = FeatureInputs {
            numbers: (numbers.is_some()).then(|| matrix(features.numbers().values().clone())),
            vectors: given.collect(),
        };
        let label_count = features.labels().len();
        let param = |values: Vec<f32>, shape: [usize; 2]| {
            Param::from_tensor(Tensor::from_data(TensorData::new(values, shape), device))
        };
        Self {
            labels: labels.map(|values| param(values, [label_count, dim])),
            numbers,
            vectors,
            gate: gate.map(|values| {
                Param::from_tensor(Tensor::from_data(TensorData::new(values, [dim]), device))
            }),
            inputs,
            labels_of_all: labels_of(&features, 0..=features.items()),
            features,
        }
    }

    /// The features.
    pub(crate) fn features(&self) -> &Arc<ItemFeatures> {
        &self.features
    }
}

impl<B: Backend> FeatureMap<B> {
    /// The vectors of all items' features, `[items + 1, dim]`; those of padding are 0.
    pub(crate) fn all(&self, dim: usize) -> Tensor<B, 2> {
        let rows = self.features.items() + 1;
        self.of(&self.labels_of_all, [rows, dim], |inputs| inputs)
    }

    /// Those of some rows, each once.
    pub(crate) fn some(&self, rows: Vec<usize>, dim: usize) -> Tensor<B, 2> {
        let numbers: Vec<i32> = rows.iter().map(|&row| row as i32).collect();
        let count = numbers.len();
        let device = self.device_of();
        let indices = Tensor::<B, 1, Int>::from_data(TensorData::new(numbers, [count]), &device);
        let labels = labels_of(&self.features, rows.into_iter());
        self.of(&labels, [count, dim], |inputs| {
            inputs.select(0, indices.clone())
        })
    }

    fn device_of(&self) -> B::Device {
        let labels = self.labels.as_ref().map(|labels| labels.device());
        let numbers = || self.inputs.numbers.as_ref().map(Tensor::device);
        let vectors = || {
            self.inputs
                .vectors
                .first()
                .map(|(vectors, _)| vectors.device())
        };
        (labels.or_else(numbers).or_else(vectors)).unwrap_or_default()
    }

    fn of(
        &self,
        rows_labels: &SparseMatrix,
        shape: [usize; 2],
        select: impl Fn(Tensor<B, 2>) -> Tensor<B, 2>,
    ) -> Tensor<B, 2> {
        let mut sum = match &self.labels {
            Some(labels) => rows_labels.times(labels.val()),
            None => Tensor::zeros(shape, &self.device_of()),
        };
        if let (Some(layer), Some(inputs)) = (&self.numbers, &self.inputs.numbers) {
            sum = sum + select(inputs.clone()).matmul(layer.weight.val());
        }
        for (layers, (vectors, known)) in self.vectors.iter().zip(&self.inputs.vectors) {
            sum = sum + tower(layers, select(vectors.clone())) * select(known.clone());
        }
        match &self.gate {
            Some(gate) => sum * gate.val().unsqueeze_dim(0),
            None => sum,
        }
    }
}

/// Of each row the labels, by one over the root of their number, so that an item of many labels has
/// no longer a vector than one of few.
fn labels_of(features: &ItemFeatures, rows: impl Iterator<Item = usize>) -> SparseMatrix {
    let labels = features.item_labels();
    let mut matrix = SparseRows {
        offsets: vec![0],
        width: labels.names().len(),
        ..SparseRows::default()
    };
    for row in rows {
        let of_row = labels.of(row);
        let scale = 1.0 / (of_row.len().max(1) as f32).sqrt();
        matrix.columns.extend(of_row);
        matrix.values.extend(of_row.iter().map(|_| scale));
        matrix.offsets.push(matrix.columns.len());
    }
    SparseMatrix::new(matrix)
}

/// One linear layer, or two with a rectifier between.
fn tower<B: BurnBackend>(layers: &[Linear<B>], values: Tensor<B, 2>) -> Tensor<B, 2> {
    let mut layers = layers.iter();
    let first = layers.next().map(|layer| layer.forward(values.clone()));
    layers.fold(first.unwrap_or(values), |values, layer| {
        layer.forward(relu(values))
    })
}
