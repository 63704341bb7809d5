//! Users' vectors, whatever they come from.

use ndarray::Array2;

use crate::backend::Backend;
use crate::data::{History, SequenceBatch, check_known};
use crate::model::SequenceRecaller;
use crate::{Error, Result};

use super::vectors::user_vectors;

/// What gives users vectors in one space.
pub trait UserEncoder: Send + Sync {
    /// The size of a vector.
    fn dim(&self) -> usize;

    /// The vectors of each history, `[histories * interests, dim]`, a history's interests one
    /// after another; none of the histories is empty, and there is one at least.
    ///
    /// # Errors
    /// What the model says.
    fn encode(&self, histories: &[History<'_>]) -> Result<Array2<f32>>;
}

impl<E: UserEncoder + ?Sized> UserEncoder for std::sync::Arc<E> {
    fn dim(&self) -> usize {
        (**self).dim()
    }

    fn encode(&self, histories: &[History<'_>]) -> Result<Array2<f32>> {
        (**self).encode(histories)
    }
}

/// A model as a [`UserEncoder`].
#[derive(Debug)]
pub struct ModelEncoder<B: Backend, M> {
    model: M,
    device: B::Device,
    items: usize,
    dim: usize,
}

impl<B: Backend, M: SequenceRecaller<B>> ModelEncoder<B, M> {
    /// An encoder of a model on `device`.
    pub fn new(model: M, device: B::Device) -> Self {
        let [rows, dim] = model.item_embeddings().dims();
        Self {
            model,
            device,
            items: rows.saturating_sub(1),
            dim,
        }
    }
}

impl<B: Backend, M: SequenceRecaller<B>> UserEncoder for ModelEncoder<B, M> {
    fn dim(&self) -> usize {
        self.dim
    }

    fn encode(&self, histories: &[History<'_>]) -> Result<Array2<f32>> {
        check_known(histories.iter().copied(), self.items)?;
        encode_by_model(&self.model, &self.device, histories)
    }
}

/// The vectors that a model gives histories.
pub(crate) fn encode_by_model<B: Backend, M: SequenceRecaller<B>>(
    model: &M,
    device: &B::Device,
    histories: &[History<'_>],
) -> Result<Array2<f32>> {
    if model.needs_times()
        && let Some(row) = histories
            .iter()
            .position(|history| history.times().is_empty())
    {
        return Err(Error::TimesMissing { row });
    }
    let batch = SequenceBatch::<B>::new(histories.iter().copied(), model.max_len(), device)?;
    batch.check_features(model.user_features())?;
    Ok(user_vectors(model, &batch))
}
