//! Alternating least squares.

use std::sync::Arc;

use ndarray::{Array2, ArrayView2};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::data::TrainingData;
use crate::kernels::least_squares::{ChosenRows, NormalEquations, Workspace};
use crate::kernels::scoring::Line;
use crate::recall::{ChannelConfig, ChannelSource, RecallChannel};
use crate::settings::settings;
use crate::{Result, checks};

use super::{Liked, MatrixFactorization, normal};

settings! {
    /// A [`MatrixFactorization`] by alternating least squares (iALS). The default of `confidence`
    /// was chosen on validation splits (docs/benchmarks.md).
    #[serde(deny_unknown_fields)]
    pub struct AlsConfig {
        /// The size of vectors.
        pub dim: usize = 64, with_dim;
        /// How often both sides are solved for.
        pub iterations: usize = 15, with_iterations;
        /// How much more than an item that was not taken one that was counts.
        pub confidence: f64 = 1.0, with_confidence;
        /// The weight of the vectors' squared lengths.
        pub regularization: f64 = 1.0, with_regularization;
        /// The seed of the first vectors.
        pub seed: u64 = 42, with_seed;
    }
}

/// How often a solution is refined; vectors of the last round are close to it already.
const REFINEMENTS: usize = 3;

impl AlsConfig {
    fn validate(&self) -> Result<()> {
        checks::at_least_one(&[("dim", self.dim), ("iterations", self.iterations)])?;
        checks::positive("confidence", self.confidence)?;
        checks::positive("regularization", self.regularization)
    }

    /// Alternating least squares over who took what, everything that was not taken counting a
    /// little: Hu, Koren & Volinsky, [2008](https://doi.org/10.1109/ICDM.2008.22), each vector by
    /// a few steps of conjugate gradients (Takács, Pilászy & Tikk,
    /// [2011](https://doi.org/10.1145/2043932.2043987)).
    ///
    /// By the [meaning](crate::data::Behaviors) of events, one of weight 2 counts as two would, and
    /// those of disliked items don't count.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) with the first setting that is
    /// invalid.
    pub fn fit(&self, data: &TrainingData) -> Result<MatrixFactorization> {
        let (sequences, catalog) = (data.sequences(), data.catalog());
        self.validate()?;
        let by_user: Vec<Liked<'_>> = (0..sequences.len())
            .map(|user| Liked::all(sequences.history(user)))
            .collect();
        let mut by_item = vec![Takers::default(); catalog.len() + 1];
        for (user, liked) in by_user.iter().enumerate() {
            for (place, &item) in liked.items.iter().enumerate() {
                let takers = &mut by_item[item as usize];
                takers.users.push(user as u32);
                takers.weights.extend(liked.weights.get(place));
            }
        }
        let by_user: Vec<ChosenRows<'_>> = (by_user.iter())
            .map(|liked| ChosenRows {
                numbers: &liked.items,
                weights: &liked.weights,
            })
            .collect();
        let by_item: Vec<ChosenRows<'_>> = (by_item.iter())
            .map(|takers| ChosenRows {
                numbers: &takers.users,
                weights: &takers.weights,
            })
            .collect();
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        let mut users = normal(by_user.len(), self.dim, &mut random);
        let mut items = normal(by_item.len(), self.dim, &mut random);
        let (confidence, regularization) = (self.confidence as f32, self.regularization as f32);
        items.row_mut(0).fill(0.0);
        for _ in 0..self.iterations {
            Side::new(items.view(), confidence, regularization).solve_all(&mut users, &by_user);
            Side::new(users.view(), confidence, regularization).solve_all(&mut items, &by_item);
        }
        MatrixFactorization::from_vectors(users, items, confidence, regularization)
    }
}

#[typetag::serde(name = "als")]
impl ChannelConfig for AlsConfig {
    fn build(&self, from: &mut ChannelSource<'_>) -> Result<Arc<dyn RecallChannel>> {
        self.validate()?;
        let weights = (self.confidence as f32, self.regularization as f32);
        MatrixFactorization::channel(from, self.dim, weights, |data| self.fit(data))
    }
}

/// Who took an item.
#[derive(Debug, Clone, Default)]
struct Takers {
    users: Vec<u32>,
    /// The weight of each one's event; empty where events have no meaning.
    weights: Vec<f32>,
}

/// The vectors of users or of items, by which the other side is solved for.
#[derive(Debug)]
pub(super) struct Side {
    /// The vectors, `[rows, lines]`.
    rows: Vec<Line>,
    /// Σ qqᵀ over all of them, `[dim, lines]`.
    products: Vec<Line>,
    dim: usize,
    confidence: f32,
    regularization: f32,
}

impl Side {
    pub(super) fn new(vectors: ArrayView2<'_, f32>, confidence: f32, regularization: f32) -> Self {
        Self {
            rows: in_lines(vectors),
            products: in_lines(vectors.t().dot(&vectors).view()),
            dim: vectors.ncols(),
            confidence,
            regularization,
        }
    }

    pub(super) fn equations(&self) -> NormalEquations<'_> {
        NormalEquations {
            products: &self.products,
            rows: &self.rows,
            weight: self.confidence,
            regularization: self.regularization,
            dim: self.dim,
        }
    }

    /// Moves every vector of the other side to its solution.
    fn solve_all(&self, vectors: &mut Array2<f32>, taken: &[ChosenRows<'_>]) {
        let vectors = vectors.as_slice_mut().expect("made in standard order");
        let equations = self.equations();
        (vectors.par_chunks_exact_mut(self.dim).zip(taken)).for_each_init(
            Workspace::default,
            |workspace, (vector, &taken)| {
                equations.solve(taken, vector, REFINEMENTS, workspace);
            },
        );
    }
}

/// Rows of whole lines, filled up with 0.
fn in_lines(rows: ArrayView2<'_, f32>) -> Vec<Line> {
    let per_row = rows.ncols().div_ceil(Line::WIDTH);
    let mut lines = vec![Line::default(); rows.nrows() * per_row];
    for (lines, row) in lines.chunks_exact_mut(per_row).zip(rows.rows()) {
        let values: &mut [f32] = bytemuck::cast_slice_mut(lines);
        for (value, &of_row) in values.iter_mut().zip(row) {
            *value = of_row;
        }
    }
    lines
}
