//! Users' vectors, whatever they come from.

use ndarray::Array2;

use crate::backend::Backend;
use crate::data::{Catalog, SequenceBatch, User, check_known};
use crate::model::{Description, RecallerConfig, SequenceRecaller};
use crate::{Error, ErrorKind, Result, checks::same_length};

use super::vectors::user_vectors;

/// What gives users vectors in one space: a [model](ModelEncoder), or vectors that come from
/// elsewhere.
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

    /// The vectors of each user, `[users * interests, dim]`, a user's interests one after another;
    /// each user has an item at least, and there is one user at least.
    ///
    /// # Errors
    /// What the model says.
    fn encode(&self, users: &[User<'_>]) -> Result<Array2<f32>>;

    /// Refuses a catalog other than the one that the encoder was made for, as far as it can tell.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] for another number of items, and [`ErrorKind::InvalidValue`] for a catalog that
    /// does not name the [features of users](Catalog::user_features) which the encoder looks at.
    fn check_catalog(&self, _catalog: &Catalog) -> Result<()> {
        Ok(())
    }
}

/// A pointer to an encoder is an encoder.
macro_rules! forward {
    ($($pointer:ty),*) => {$(
        impl<E: UserEncoder + ?Sized> UserEncoder for $pointer {
            fn dim(&self) -> usize {
                (**self).dim()
            }

            fn encode(&self, users: &[User<'_>]) -> Result<Array2<f32>> {
                (**self).encode(users)
            }

            fn check_catalog(&self, catalog: &Catalog) -> Result<()> {
                (**self).check_catalog(catalog)
            }
        }
    )*};
}

forward!(&E, Box<E>, std::sync::Arc<E>);

/// A model as a [`UserEncoder`].
#[derive(Debug)]
pub struct ModelEncoder<B: Backend, M> {
    model: M,
    device: B::Device,
    items: usize,
    dim: usize,
}

impl<B: Backend, M: SequenceRecaller<B>> ModelEncoder<B, M> {
    /// An encoder of a model, on the device where the model is.
    pub fn new(model: M) -> Self {
        let items = model.items();
        let (device, items, dim) = (items.device(), items.items(), items.dim());
        Self {
            device,
            model,
            items,
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
        let Description {
            max_len,
            times,
            user_features,
            ..
        } = self.model.config().describe();
        let lacks_times = |user: &User<'_>| user.times().is_empty();
        if times && let Some(row) = users.iter().position(lacks_times) {
            return Err(ErrorKind::TimesMissing { row }.into());
        }
        let lacks_features = |user: &User<'_>| user.features().is_empty();
        if user_features > 0
            && let Some(row) = users.iter().position(lacks_features)
        {
            return Err(ErrorKind::FeaturesMissing {
                row,
                expected: user_features,
            }
            .into());
        }
        let batch = SequenceBatch::<B>::new(users.iter().copied(), max_len, &self.device)?;
        batch.check_features(user_features)?;
        Ok(user_vectors(&self.model, &batch))
    }

    fn check_catalog(&self, catalog: &Catalog) -> Result<()> {
        same_length("items of the model", catalog.len(), self.items)?;
        let features = self.model.config().describe().user_features;
        let named = catalog.user_features().len();
        if features == 0 || named == features {
            return Ok(());
        }
        let reason = format!(
            "the catalog must name the {features} that the model looks at; where it lacks names, as \
             that of an older run does, train and save the run again, on data with \
             `Dataset::with_user_features`"
        );
        Err(Error::invalid("catalog.user_features", named, reason))
    }
}
