//! Users' vectors, whatever they come from.

use ndarray::Array2;

use crate::backend::Backend;
use crate::data::{History, SequenceBatch, check_known};
use crate::model::{Description, RecallerConfig, SequenceRecaller};
use crate::{Error, Result};

use super::vectors::user_vectors;

/// What gives users vectors in one space: a [model](ModelEncoder), or vectors that come from elsewhere.
///
/// ```
/// use ndarray::{Array2, Axis};
/// use seqrec::data::{History, ItemIndex};
/// use seqrec::retrieve::UserEncoder;
///
/// /// The mean of the vectors of what a user took; row 0 is padding.
/// struct Mean(Array2<f32>);
///
/// impl UserEncoder for Mean {
///     fn dim(&self) -> usize {
///         self.0.ncols()
///     }
///
///     fn encode(&self, histories: &[History]) -> seqrec::Result<Array2<f32>> {
///         let mut users = Array2::zeros((histories.len(), self.dim()));
///         for (mut user, history) in users.rows_mut().into_iter().zip(histories) {
///             let rows: Vec<usize> = history.items().iter().map(|item| item.to_usize()).collect();
///             user.assign(&self.0.select(Axis(0), &rows).mean_axis(Axis(0)).expect("no history is empty"));
///         }
///         Ok(users)
///     }
/// }
///
/// let mean = Mean(ndarray::array![[0.0], [1.0], [3.0]]);
/// let items = [1, 2].map(ItemIndex::new);
/// assert_eq!(mean.encode(&[History::from(&items[..])])?, ndarray::array![[2.0]]);
/// # Ok::<(), seqrec::Error>(())
/// ```
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
        let (items, dim) = (model.items().items(), model.items().dim());
        Self {
            model,
            device,
            items,
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
    let Description {
        max_len,
        times,
        user_features,
        ..
    } = model.config().describe();
    if times
        && let Some(row) = histories
            .iter()
            .position(|history| history.times().is_empty())
    {
        return Err(Error::TimesMissing { row });
    }
    let lacks = |history: &History<'_>| history.features().is_empty();
    if user_features > 0
        && let Some(row) = histories.iter().position(lacks)
    {
        return Err(Error::FeaturesMissing {
            row,
            expected: user_features,
        });
    }
    let batch = SequenceBatch::<B>::new(histories.iter().copied(), max_len, device)?;
    batch.check_features(user_features)?;
    Ok(user_vectors(model, &batch))
}
