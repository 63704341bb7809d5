//! EASE.

use std::sync::Arc;

use faer::linalg::solvers::DenseSolveCore;
use faer::{Mat, Side};
use ndarray::Array2;

use crate::data::{ItemIndex, TrainingData, User};
use crate::index::Filter;
use crate::settings::settings;
use crate::{Error, Result, checks};

use crate::recall::{
    Candidates, ChannelConfig, ChannelSource, Reason, RecallChannel, best_by_scores,
};

settings! {
    /// The settings of EASE, a linear item-to-item model in closed form: each item out of all
    /// others. It needs the inverse of an `[items, items]` matrix, so it is for catalogs of up to
    /// some 20,000 items.
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
        let mut distinct = Vec::new();
        for sequence in data.sequences().item_lists() {
            distinct.clear();
            distinct.extend(sequence.iter().map(|&item| item.to_usize() - 1));
            distinct.sort_unstable();
            distinct.dedup();
            for &a in &distinct {
                for &b in &distinct {
                    together[(a, b)] += 1.0;
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
            let mut distinct = user.items().to_vec();
            distinct.sort_unstable();
            distinct.dedup();
            let row = |item: ItemIndex| {
                let start = (item.to_usize() - 1) * items;
                &weights[start..start + items]
            };
            let mut sums = vec![0.0; items];
            for &item in &distinct {
                for (sum, weight) in sums.iter_mut().zip(row(item)) {
                    *sum += weight;
                }
            }
            for (place, &sum) in sums.iter().enumerate().filter(|&(_, &sum)| sum > 0.0) {
                let speaks = |&&item: &&ItemIndex| row(item)[place];
                let loudest = (distinct.iter())
                    .max_by(|a, b| speaks(a).total_cmp(&speaks(b)))
                    .expect("a sum above 0 has parts");
                scores.add(place as u32 + 1, sum, Reason::Item(*loudest));
            }
        })
    }
}
