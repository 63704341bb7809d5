//! Users' vectors, whatever they come from.

use ndarray::Array2;

use crate::Result;
use crate::data::{Catalog, User};

/// An encoder of users as vectors in one space: a [model](crate::retrieve::ModelEncoder), or
/// vectors that come from elsewhere.
///
/// ```
/// use seqrec::ndarray::{Array2, Axis, array};
/// use seqrec::data::{ItemIndex, User};
/// use seqrec::recall::UserEncoder;
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
/// let mean = Mean(array![[0.0], [1.0], [3.0]]);
/// let items = [1, 2].map(ItemIndex::new);
/// assert_eq!(mean.encode(&[User::from(&items[..])])?, array![[2.0]]);
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
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) for another number of items, and
    /// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) for a catalog that does not name
    /// the [features of users](Catalog::user_features) which the encoder looks at.
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
