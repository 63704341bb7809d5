//! What is known of a user, in their vector.

use burn::module::{Module, Param};
use burn::tensor::backend::Backend as BurnBackend;
use burn::tensor::{Int, Tensor};

use crate::backend;
use crate::backend::Backend;
use crate::data::SequenceBatch;

/// A linear map of the features of users to what is added to their vectors: it begins at 0, where
/// they say nothing.
#[derive(Module, Debug)]
pub struct UserMap<B: BurnBackend> {
    /// `[features, dim]`.
    pub(crate) weight: Param<Tensor<B, 2>>,
}

impl<B: Backend> UserMap<B> {
    /// User vectors `[n, interests, dim]` with what the features of their users say, where the
    /// model looks at some: of rows of histories that are named by `positions` `[n]` in the padded
    /// batch, or of all rows.
    pub fn join(
        map: Option<&Self>,
        users: Tensor<B, 3>,
        histories: &SequenceBatch<B>,
        positions: Option<Tensor<B, 1, Int>>,
    ) -> Tensor<B, 3> {
        let (Some(map), Some(features)) = (map, &histories.features) else {
            return users;
        };
        let said = features.clone().matmul(map.weight.val());
        let [_, len] = histories.items.dims();
        let said = match positions {
            Some(positions) => backend::select_rows(said, positions.div_scalar(len as i64)),
            None => said,
        };
        users + said.unsqueeze_dim(1)
    }
}
