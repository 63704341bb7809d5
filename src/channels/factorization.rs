//! Matrix factorization: users and items as vectors, without order.

mod als;
mod bpr;

use std::sync::Arc;

use ndarray::{Array1, Array2, ArrayView2};
use rand::Rng;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;

use crate::data::{ItemIndex, TrainingData, User, check_known};
use crate::index::{Filter, FlatIndex, VectorIndex};
use crate::kernels::least_squares::{ChosenRows, Workspace};
use crate::recall::{Candidates, ChannelSource, Reason, RecallChannel, UserEncoder, nearest_items};
use crate::{Result, checks};

use super::liked::Liked;
use als::Side;

pub use als::AlsConfig;
pub use bpr::BprConfig;

/// A vector for each user and each item, whose inner products say who takes what.
///
/// Any history is recalled for, of users in training or not: its vector is [solved
/// for](MatrixFactorization::fold_in) with the items' vectors as they are. By the
/// [meaning](crate::data::Behaviors) of events, one of weight 2 counts as two would, and disliked
/// items are left out.
#[derive(Debug)]
pub struct MatrixFactorization {
    users: Array2<f32>,
    items: Array2<f32>,
    /// What users are folded in by.
    of_items: Side,
    index: FlatIndex,
}

/// How often the solution of a new user is refined, which begins at 0.
const FOLD_IN_REFINEMENTS: usize = 12;

impl MatrixFactorization {
    /// A channel that folds users in by item vectors of size `dim`: those that a folder kept, or
    /// else of what `fit` makes. It has no vectors of training users.
    fn channel(
        from: &mut ChannelSource<'_>,
        dim: usize,
        (confidence, regularization): (f32, f32),
        fit: impl FnOnce(&TrainingData) -> Result<Self>,
    ) -> Result<Arc<dyn RecallChannel>> {
        let data = from.data;
        let make = || Ok(fit(data)?.items);
        let items = from.keep_vectors(data.catalog().len() + 1, make)?;
        checks::same_length("dim", dim, items.ncols())?;
        let (users, items) = (Array2::zeros((0, dim)), Array2::clone(&items));
        let folding_in = Self::from_vectors(users, items, confidence, regularization)?;
        Ok(Arc::new(folding_in))
    }

    fn from_vectors(
        users: Array2<f32>,
        items: Array2<f32>,
        confidence: f32,
        regularization: f32,
    ) -> Result<Self> {
        Ok(Self {
            index: FlatIndex::new(items.view())?,
            of_items: Side::new(items.view(), confidence, regularization),
            users,
            items,
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
        let mut vector = vec![0.0; self.items.ncols()];
        self.fold_into(&mut vector, history.into(), &mut Workspace::default());
        Array1::from(vector)
    }

    /// [`fold_in`](Self::fold_in) in memory that is there, from a vector of 0.
    fn fold_into(&self, vector: &mut [f32], user: User<'_>, workspace: &mut Workspace) {
        let liked = Liked::all(user);
        let chosen = ChosenRows {
            numbers: &liked.items,
            weights: &liked.weights,
        };
        (self.of_items.equations()).solve(chosen, vector, FOLD_IN_REFINEMENTS, workspace);
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

impl RecallChannel for MatrixFactorization {
    fn recall(
        &self,
        users: &[User<'_>],
        k: usize,
        filter: Option<Filter<'_>>,
    ) -> Result<Candidates> {
        // Of those who like nothing as little is known as of those without items.
        let known = users.iter().map(|&user| match user.liked_places().next() {
            Some(_) => user,
            None => user.first(0),
        });
        let users: Vec<User<'_>> = known.collect();
        let hits = nearest_items(self, &self.index, &users, k, filter)?;
        Ok(Candidates::from_hits(hits, Reason::Taste))
    }

    fn vectors(&self) -> Option<(&dyn UserEncoder, ArrayView2<'_, f32>)> {
        Some((self, self.item_vectors()))
    }
}

impl UserEncoder for MatrixFactorization {
    fn dim(&self) -> usize {
        self.items.ncols()
    }

    fn encode(&self, users: &[User<'_>]) -> Result<Array2<f32>> {
        check_known(users.iter().copied(), self.index.len())?;
        let mut vectors = vec![0.0; users.len() * self.dim()];
        (vectors.par_chunks_exact_mut(self.dim()).zip(users))
            .for_each_init(Workspace::default, |workspace, (vector, user)| {
                self.fold_into(vector, *user, workspace)
            });
        Ok(Array2::from_shape_vec((users.len(), self.dim()), vectors)
            .expect("a vector for each user"))
    }
}
