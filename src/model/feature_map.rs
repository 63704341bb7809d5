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
    /// A vector for each column of standardized numbers, `[columns, dim]`.
    pub numbers: Option<Param<Tensor<B, 2>>>,
    /// For each kind of given vectors a linear layer, or two with a rectifier between.
    pub vectors: Vec<Vec<Linear<B>>>,
    /// By what the sum of all these is multiplied, `[dim]`, where it meets items' own vectors.
    pub gate: Option<Param<Tensor<B, 1>>>,
    pub(in crate::model) inputs: FeatureInputs<B>,
}

/// What the weights are multiplied by, which is not trained. All tables of a model share it.
#[derive(Module, Debug)]
pub(in crate::model) struct FeatureInputs<B: BurnBackend> {
    /// `[items + 1, columns]`.
    numbers: Option<Tensor<B, 2>>,
    /// Of each kind `[items + 1, dim]`, and 1 for each item that has one, `[items + 1, 1]`.
    vectors: Vec<(Tensor<B, 2>, Tensor<B, 2>)>,
    /// The labels of all items.
    #[module(skip)]
    labels: SparseMatrix,
    #[module(skip)]
    features: Arc<ItemFeatures>,
}

impl<B: BurnBackend> FeatureInputs<B> {
    /// The features on a device, given vectors whitened where that is asked for.
    pub(in crate::model) fn new(
        features: Arc<ItemFeatures>,
        whiten: bool,
        device: &B::Device,
    ) -> Self {
        let matrix = |values: &Array2<f32>| {
            let shape = [values.nrows(), values.ncols()];
            let values = values.iter().copied().collect();
            Tensor::from_data(TensorData::new::<f32, _>(values, shape), device)
        };
        let given = features.given().iter().map(|given| {
            let (vectors, known) = (given.vectors(), given.are_known());
            let ones = |(row, _): (usize, usize)| f32::from(u8::from(known[row]));
            let ones = Array2::from_shape_fn((known.len(), 1), ones);
            let vectors = match whiten {
                true => matrix(&super::whitening::whitened(vectors.view(), known)),
                false => matrix(vectors),
            };
            (vectors, matrix(&ones))
        });
        let numbers = features.numbers().values();
        Self {
            numbers: (numbers.ncols() > 0).then(|| matrix(numbers)),
            vectors: given.collect(),
            labels: labels_of(&features, 0..=features.items()),
            features,
        }
    }

    /// The features.
    pub(in crate::model) fn features(&self) -> &Arc<ItemFeatures> {
        &self.features
    }
}

impl<B: Backend> FeatureMap<B> {
    /// The vectors of all items' features, `[items + 1, dim]`; those of padding are 0.
    pub(crate) fn all(&self, dim: usize) -> Tensor<B, 2> {
        let rows = self.inputs.features.items() + 1;
        self.of(&self.inputs.labels, [rows, dim], |inputs| inputs)
    }

    /// Those of some rows, each once.
    pub(crate) fn some(&self, rows: Vec<usize>, dim: usize) -> Tensor<B, 2> {
        let numbers: Vec<i32> = rows.iter().map(|&row| row as i32).collect();
        let count = numbers.len();
        let device = self.device_of();
        let indices = Tensor::<B, 1, Int>::from_data(TensorData::new(numbers, [count]), &device);
        let labels = labels_of(&self.inputs.features, rows.into_iter());
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
        if let (Some(weights), Some(inputs)) = (&self.numbers, &self.inputs.numbers) {
            sum = sum + select(inputs.clone()).matmul(weights.val());
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
