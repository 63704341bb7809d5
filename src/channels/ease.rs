//! EASE.

use std::sync::Arc;

use faer::linalg::solvers::DenseSolveCore;
use faer::{Mat, Side};
use ndarray::Array2;

use crate::data::{ItemIndex, TrainingData, User};
use crate::index::Filter;
use crate::settings::settings;
use crate::{Error, Result, checks};

use super::liked::Liked;
use crate::recall::{
    Candidates, ChannelConfig, ChannelSource, Reason, RecallChannel, best_by_scores,
};

settings! {
    /// The settings of EASE, a linear item-to-item model in closed form: each item out of all
    /// others. It needs the inverse of an `[items, items]` matrix, so it is for catalogs of up to
    /// some 20,000 items.
    ///
    /// By the [meaning](crate::data::Behaviors) of events, an item stands in a user's row with the
    /// greatest weight of its events, in fitting and in recall, and a disliked one with 0.
    ///
    /// Steck,
    /// [Embarrassingly Shallow Autoencoders for Sparse Data](https://arxiv.org/abs/1905.03375).
    #[serde(deny_unknown_fields)]
    pub struct EaseConfig {
        /// λ, which weighs the squared weights: 100 to 1,000 for most data.
        pub regularization: f64 = 100.0, with_regularization;
    }
}

struct Ease {
    /// The weight of each item for each other, `[items, items]`.
    weights: Arc<Array2<f32>>,
}

impl EaseConfig {
    /// The largest catalog that a model is fitted for: its matrices take 10 GB there.
    pub const GREATEST_CATALOG: usize = 30_000;

    /// Solves for the weights.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) when λ is not above 0, and for a
    /// catalog above [`Self::GREATEST_CATALOG`].
    pub fn fit(&self, data: &TrainingData) -> Result<impl RecallChannel + use<>> {
        let weights = Arc::new(self.solve(data)?);
        Ok(Ease { weights })
    }

    fn solve(&self, data: &TrainingData) -> Result<Array2<f32>> {
        let regularization = self.regularization;
        checks::positive("regularization", regularization)?;
        let items = data.catalog().len();
        if items > Self::GREATEST_CATALOG {
            let reason = format!("must be at most {}", Self::GREATEST_CATALOG);
            return Err(Error::invalid("items", items, reason));
        }
        let mut together = Mat::<f32>::zeros(items, items);
        let sequences = data.sequences();
        for user in 0..sequences.len() {
            let liked = Liked::distinct(sequences.history(user));
            for (a, weight) in liked.iter() {
                for (b, other) in liked.iter() {
                    together[(a as usize - 1, b as usize - 1)] += weight * other;
                }
            }
        }
        for item in 0..items {
            together[(item, item)] += regularization as f32;
        }
        let inverse = together
            .llt(Side::Lower)
            .map_err(|_| {
                let reason = "is too small for the data: the matrix can't be inverted";
                Error::invalid("regularization", regularization, reason)
            })?
            .inverse();
        let weight = |(from, to)| match from == to {
            true => 0.0,
            false => -inverse[(from, to)] / inverse[(to, to)],
        };
        Ok(Array2::from_shape_fn((items, items), weight))
    }
}

#[typetag::serde(name = "ease")]
impl ChannelConfig for EaseConfig {
    fn build(&self, from: &mut ChannelSource<'_>) -> Result<Arc<dyn RecallChannel>> {
        checks::positive("regularization", self.regularization)?;
        let data = from.data;
        let items = data.catalog().len();
        let weights = from.keep_vectors(items, || self.solve(data))?;
        checks::same_length("items of EASE", items, weights.ncols())?;
        Ok(Arc::new(Ease { weights }))
    }
}

impl RecallChannel for Ease {
    fn recall(
        &self,
        users: &[User<'_>],
        k: usize,
        filter: Option<Filter<'_>>,
    ) -> Result<Candidates> {
        let items = self.weights.nrows();
        let weights = self.weights.as_slice().expect("in standard order");
        best_by_scores(items, users, k, filter, |user, scores| {
            let liked = Liked::distinct(user);
            let row = |item: u32| {
                let start = (item as usize - 1) * items;
                &weights[start..start + items]
            };
            let mut sums = vec![0.0; items];
            for (item, of_item) in liked.iter() {
                for (sum, weight) in sums.iter_mut().zip(row(item)) {
                    *sum += of_item * weight;
                }
            }
            for (place, &sum) in sums.iter().enumerate().filter(|&(_, &sum)| sum > 0.0) {
                let speaks = |&(item, of_item): &(u32, f32)| of_item * row(item)[place];
                let (loudest, _) = (liked.iter())
                    .max_by(|a, b| speaks(a).total_cmp(&speaks(b)))
                    .expect("a sum above 0 has parts");
                scores.add(place as u32 + 1, sum, Reason::Item(ItemIndex::new(loudest)));
            }
        })
    }
}
