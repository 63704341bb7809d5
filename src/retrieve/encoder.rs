//! Users' vectors, whatever they come from.

use ndarray::Array2;

use crate::backend::Backend;
use crate::data::{SequenceBatch, User, check_known};
use crate::model::SequenceRecaller;
use crate::{Error, Result};

use super::vectors::user_vectors;

/// What gives users vectors in one space: a [model](ModelEncoder), or vectors that come from elsewhere.
///
/// ```
/// use ndarray::{Array2, Axis};
/// use seqrec::data::{ItemIndex, User};
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
///     fn encode(&self, users: &[User]) -> seqrec::Result<Array2<f32>> {
///         let mut vectors = Array2::zeros((users.len(), self.dim()));
///         for (mut vector, user) in vectors.rows_mut().into_iter().zip(users) {
///             let rows: Vec<usize> = user.items().iter().map(|item| item.to_usize()).collect();
///             vector.assign(&self.0.select(Axis(0), &rows).mean_axis(Axis(0)).expect("nobody is without items"));
///         }
///         Ok(vectors)
///     }
/// }
///
/// let mean = Mean(ndarray::array![[0.0], [1.0], [3.0]]);
/// let items = [1, 2].map(ItemIndex::new);
/// assert_eq!(mean.encode(&[User::from(&items[..])])?, ndarray::array![[2.0]]);
/// # Ok::<(), seqrec::Error>(())
/// ```
pub trait UserEncoder: Send + Sync {
    /// The size of a vector.
    fn dim(&self) -> usize;

    /// The vectors of each user, `[users * interests, dim]`, a user's interests one after another; each
    /// user has an item at least, and there is one user at least.
    ///
    /// # Errors
    /// What the model says.
    fn encode(&self, users: &[User<'_>]) -> Result<Array2<f32>>;
}

impl<E: UserEncoder + ?Sized> UserEncoder for std::sync::Arc<E> {
    fn dim(&self) -> usize {
        (**self).dim()
    }

    fn encode(&self, users: &[User<'_>]) -> Result<Array2<f32>> {
        (**self).encode(users)
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

    fn encode(&self, users: &[User<'_>]) -> Result<Array2<f32>> {
        check_known(users.iter().copied(), self.items)?;
        encode_by_model(&self.model, &self.device, users)
    }
}

/// The vectors that a model gives users.
pub(crate) fn encode_by_model<B: Backend, M: SequenceRecaller<B>>(
    model: &M,
    device: &B::Device,
    users: &[User<'_>],
) -> Result<Array2<f32>> {
    if model.needs_times()
        && let Some(row) = users.iter().position(|user| user.times().is_empty())
    {
        return Err(Error::TimesMissing { row });
    }
    let expected = model.user_features();
    let lacks = |user: &User<'_>| user.features().is_empty();
    if expected > 0
        && let Some(row) = users.iter().position(lacks)
    {
        return Err(Error::FeaturesMissing { row, expected });
    }
    let batch = SequenceBatch::<B>::new(users.iter().copied(), model.max_len(), device)?;
    batch.check_features(expected)?;
    Ok(user_vectors(model, &batch))
}
