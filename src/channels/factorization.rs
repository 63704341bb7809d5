//! Matrix factorization: users and items as vectors, without order.

use burn::config::Config;
use ndarray::{Array1, Array2, ArrayView1, ArrayView2, ArrayViewMut1, Axis};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;

use crate::data::{Catalog, History, ItemIndex, TrainingSequences};
use crate::index::{Filter, FlatIndex, VectorIndex};
use crate::{Result, checks};

use crate::recall::{Candidates, Reason, RecallChannel, UserContext};
use crate::retrieve::{UserEncoder, nearest_items};

/// A [`MatrixFactorization`] by alternating least squares (iALS).
#[derive(Config, Debug, PartialEq)]
#[non_exhaustive]
pub struct AlsConfig {
    /// The size of vectors.
    #[config(default = 64)]
    pub dim: usize,
    /// How often both sides are solved for.
    #[config(default = 15)]
    pub iterations: usize,
    /// How much more than an item that was not taken one that was counts.
    #[config(default = 20.0)]
    pub confidence: f64,
    /// The weight of the vectors' squared lengths.
    #[config(default = 1.0)]
    pub regularization: f64,
    /// The seed of the first vectors.
    #[config(default = 42)]
    pub seed: u64,
}

/// A [`MatrixFactorization`] by Bayesian personalized ranking (BPR).
#[derive(Config, Debug, PartialEq)]
#[non_exhaustive]
pub struct BprConfig {
    /// The size of vectors.
    #[config(default = 64)]
    pub dim: usize,
    /// Passes over all interactions.
    #[config(default = 60)]
    pub epochs: usize,
    /// The learning rate.
    #[config(default = 0.05)]
    pub learning_rate: f64,
    /// The weight of the vectors' squared lengths.
    #[config(default = 0.002)]
    pub regularization: f64,
    /// The seed of the first vectors and of draws.
    #[config(default = 42)]
    pub seed: u64,
}

/// A vector for each user and each item, whose inner products say who takes what.
///
/// Any history is recalled for, of users in training or not: its vector is
/// [solved for](MatrixFactorization::fold_in) with the items' vectors as they are.
#[derive(Debug)]
pub struct MatrixFactorization {
    users: Array2<f32>,
    items: Array2<f32>,
    /// Σ qqᵀ over all items.
    products: Array2<f32>,
    confidence: f32,
    regularization: f32,
    index: FlatIndex,
}

/// How often a solution is refined; vectors of the last round are close to it already.
const REFINEMENTS: usize = 3;

/// How often that of a new user is, which begins at 0.
const FOLD_IN_REFINEMENTS: usize = 12;

impl AlsConfig {
    /// Alternating least squares over who took what, everything that was not taken counting a
    /// little: Hu, Koren & Volinsky, [2008](https://doi.org/10.1109/ICDM.2008.22), each vector by
    /// a few steps of conjugate gradients (Takács, Pilászy & Tikk,
    /// [2011](https://doi.org/10.1145/2043932.2043987)).
    ///
    /// # Errors
    /// [`Error::InvalidValue`](crate::Error::InvalidValue) with the first setting that is
    /// invalid.
    pub fn fit(
        &self,
        sequences: &TrainingSequences,
        catalog: &Catalog,
    ) -> Result<MatrixFactorization> {
        checks::has_items(catalog.len())?;
        sequences.check_items(catalog)?;
        checks::at_least_one(&[("dim", self.dim), ("iterations", self.iterations)])?;
        checks::positive("confidence", self.confidence)?;
        checks::positive("regularization", self.regularization)?;
        let by_user: Vec<&[u32]> = sequences.iter().map(ItemIndex::as_numbers).collect();
        let mut by_item: Vec<Vec<u32>> = vec![Vec::new(); catalog.len() + 1];
        for (user, items) in by_user.iter().enumerate() {
            for &item in *items {
                by_item[item as usize].push(user as u32);
            }
        }
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        let mut users = normal(by_user.len(), self.dim, &mut random);
        let mut items = normal(by_item.len(), self.dim, &mut random);
        let (confidence, regularization) = (self.confidence as f32, self.regularization as f32);
        items.row_mut(0).fill(0.0);
        for _ in 0..self.iterations {
            System::of(&items, confidence, regularization).solve_all(&mut users, &by_user);
            System::of(&users, confidence, regularization).solve_all(&mut items, &by_item);
        }
        MatrixFactorization::from_vectors(users, items, confidence, regularization)
    }
}

impl BprConfig {
    /// Bayesian personalized ranking: each taken item's product is to be above that of an item
    /// drawn from the others. Rendle et al., [2009](https://arxiv.org/abs/1205.2618).
    ///
    /// # Errors
    /// [`Error::InvalidValue`](crate::Error::InvalidValue) with the first setting that is
    /// invalid.
    pub fn fit(
        &self,
        sequences: &TrainingSequences,
        catalog: &Catalog,
    ) -> Result<MatrixFactorization> {
        checks::has_items(catalog.len())?;
        sequences.check_items(catalog)?;
        checks::at_least_one(&[("dim", self.dim), ("epochs", self.epochs)])?;
        checks::positive("learning_rate", self.learning_rate)?;
        checks::not_negative("regularization", self.regularization)?;
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        let mut users = normal(sequences.len(), self.dim, &mut random);
        let mut items = normal(catalog.len() + 1, self.dim, &mut random);
        items.row_mut(0).fill(0.0);
        let taken: Vec<(usize, ItemIndex)> = (sequences.iter().enumerate())
            .flat_map(|(user, items)| items.iter().map(move |&item| (user, item)))
            .collect();
        let (rate, regularization) = (self.learning_rate as f32, self.regularization as f32);
        for _ in 0..self.epochs * taken.len() {
            let (user, better) = taken[random.random_range(0..taken.len())];
            let worse = random.random_range(1..=catalog.len());
            if sequences.get(user).contains(&ItemIndex::new(worse as u32)) {
                continue;
            }
            let better = better.to_usize();
            let mut of_user = users.row_mut(user);
            let apart = of_user.dot(&items.row(better)) - of_user.dot(&items.row(worse));
            let step = rate / (1.0 + apart.exp());
            for column in 0..self.dim {
                let (p, q, r) = (
                    of_user[column],
                    items[[better, column]],
                    items[[worse, column]],
                );
                of_user[column] += step * (q - r) - rate * regularization * p;
                items[[better, column]] += step * p - rate * regularization * q;
                items[[worse, column]] += -step * p - rate * regularization * r;
            }
        }
        let als = AlsConfig::new();
        MatrixFactorization::from_vectors(
            users,
            items,
            als.confidence as f32,
            als.regularization as f32,
        )
    }
}

impl MatrixFactorization {
    /// A factorization of known item vectors, `[items + 1, dim]`, which folds users in; there are
    /// no vectors of training users.
    pub(crate) fn of_items(items: Array2<f32>, config: &AlsConfig) -> Result<Self> {
        let users = Array2::zeros((0, items.ncols()));
        let (confidence, regularization) = (config.confidence as f32, config.regularization as f32);
        Self::from_vectors(users, items, confidence, regularization)
    }

    fn from_vectors(
        users: Array2<f32>,
        items: Array2<f32>,
        confidence: f32,
        regularization: f32,
    ) -> Result<Self> {
        Ok(Self {
            index: FlatIndex::new(items.view())?,
            products: items.t().dot(&items),
            users,
            items,
            confidence,
            regularization,
        })
    }

    /// Vectors of the training sequences' users, `[users, dim]`.
    pub fn user_vectors(&self) -> ArrayView2<'_, f32> {
        self.users.view()
    }

    /// Vectors of items, `[items + 1, dim]`; row 0 is padding.
    pub fn item_vectors(&self) -> ArrayView2<'_, f32> {
        self.items.view()
    }

    /// The vector `[dim]` of a user with a history, the items' vectors staying as they are: what
    /// alternating least squares would give them next.
    ///
    /// # Panics
    /// When an item is not in the catalog.
    pub fn fold_in(&self, history: &[ItemIndex]) -> Array1<f32> {
        let system = System {
            products: self.products.clone(),
            others: self.items.view(),
            confidence: self.confidence,
            regularization: self.regularization,
        };
        system.solve(
            Array1::zeros(self.items.ncols()),
            ItemIndex::as_numbers(history),
            FOLD_IN_REFINEMENTS,
        )
    }
}

fn normal(rows: usize, columns: usize, random: &mut impl Rng) -> Array2<f32> {
    let deviation = 0.1 / (columns as f32).sqrt();
    let draws = StandardNormal
        .sample_iter(random)
        .map(|draw: f32| deviation * draw);
    Array2::from_shape_vec((rows, columns), draws.take(rows * columns).collect())
        .expect("as many draws as values")
}

/// The least-squares system of one user or item, given the vectors of the other side.
struct System<'a> {
    products: Array2<f32>,
    others: ArrayView2<'a, f32>,
    confidence: f32,
    regularization: f32,
}

impl<'a> System<'a> {
    fn of(others: &'a Array2<f32>, confidence: f32, regularization: f32) -> Self {
        Self {
            products: others.t().dot(others),
            others: others.view(),
            confidence,
            regularization,
        }
    }

    /// Moves every vector of a side to its solution.
    fn solve_all(&self, vectors: &mut Array2<f32>, taken: &[impl AsRef<[u32]> + Sync]) {
        let dim = vectors.ncols();
        let rows = vectors.as_slice_mut().expect("made in standard order");
        rows.par_chunks_exact_mut(dim)
            .zip(taken)
            .for_each(|(row, taken)| {
                let mut row = ArrayViewMut1::from(row);
                let solution = self.solve(row.to_owned(), taken.as_ref(), REFINEMENTS);
                row.assign(&solution);
            });
    }

    /// (Σ qqᵀ + c Σ_taken qqᵀ + λ) x.
    fn times(&self, x: ArrayView1<'_, f32>, taken: &[u32]) -> Array1<f32> {
        let mut result = self.products.dot(&x);
        for &other in taken {
            let row = self.others.row(other as usize);
            result.scaled_add(self.confidence * row.dot(&x), &row);
        }
        result.scaled_add(self.regularization, &x);
        result
    }

    /// Conjugate gradients from `x`, towards a right side of (1 + c) Σ_taken q.
    fn solve(&self, mut x: Array1<f32>, taken: &[u32], steps: usize) -> Array1<f32> {
        let mut residual = -self.times(x.view(), taken);
        for &other in taken {
            residual.scaled_add(1.0 + self.confidence, &self.others.row(other as usize));
        }
        let mut direction = residual.clone();
        let mut size = residual.dot(&residual);
        for _ in 0..steps {
            if size < 1e-12 {
                break;
            }
            let along = self.times(direction.view(), taken);
            let step = size / direction.dot(&along);
            x.scaled_add(step, &direction);
            residual.scaled_add(-step, &along);
            let new_size = residual.dot(&residual);
            direction *= new_size / size;
            direction += &residual;
            size = new_size;
        }
        x
    }
}

impl RecallChannel for MatrixFactorization {
    fn recall(
        &self,
        users: &[UserContext<'_>],
        k: usize,
        filter: Option<Filter<'_>>,
    ) -> Result<Candidates> {
        let histories: Vec<History<'_>> = users.iter().map(|user| user.history()).collect();
        let encode = |histories: &[History<'_>]| self.encode(histories);
        let hits = nearest_items(encode, &self.index, self.index.len(), &histories, k, filter)?;
        Ok(Candidates::of_hits(hits, Reason::Taste))
    }
}

impl UserEncoder for MatrixFactorization {
    fn dim(&self) -> usize {
        self.items.ncols()
    }

    fn encode(&self, histories: &[History<'_>]) -> Result<Array2<f32>> {
        let rows: Vec<Array1<f32>> = (histories.par_iter())
            .map(|history| self.fold_in(history.items()))
            .collect();
        let mut vectors = Array2::zeros((histories.len(), self.dim()));
        for (mut vector, row) in vectors.axis_iter_mut(Axis(0)).zip(rows) {
            vector.assign(&row);
        }
        Ok(vectors)
    }
}
