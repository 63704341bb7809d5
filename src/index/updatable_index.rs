//! Indexes that change while they are searched.

use ndarray::{ArrayView1, ArrayView2};

use super::VectorIndex;
use crate::item::ItemIndex;
use crate::{ErrorKind, Result, checks};

/// An index whose items come, change and go while other threads search it.
///
/// Each query of a search sees all of an update or nothing of it, and never gives an item that was
/// removed before the search began. A filter's predicate is asked while the index can't be updated,
/// so it must not update or search the index itself, nor wait for a thread that does.
///
/// ```
/// use seqrec::ndarray::array;
/// use seqrec::data::ItemIndex;
/// use seqrec::index::{HnswConfig, HnswIndex, UpdatableIndex, VectorIndex};
///
/// let [old, new] = [1, 7].map(ItemIndex::new);
/// let index = HnswIndex::new(array![[0.0, 0.0], [1.0, 0.0]].view(), &HnswConfig::new())?;
/// index.add(new, &[0.0, 1.0])?;
/// index.replace(old, &[0.5, 0.5])?;
/// assert_eq!(index.search(array![[0.0, 1.0]].view(), 2, None)?.items(0), [new, old]);
/// index.remove(new)?;
/// assert_eq!(index.search(array![[0.0, 1.0]].view(), 2, None)?.items(0), [old]);
/// # Ok::<(), seqrec::Error>(())
/// ```
pub trait UpdatableIndex: VectorIndex {
    /// Whether an item is in the index.
    fn contains(&self, item: ItemIndex) -> bool;

    /// An item's vector as the index keeps it: rounded, at a lower [`Precision`](super::Precision).
    ///
    /// # Errors
    /// [`ErrorKind::UnknownItem`] when it is not in the index.
    fn vector(&self, item: ItemIndex) -> Result<Vec<f32>>;

    /// Adds an item with its vector.
    ///
    /// # Errors
    /// [`ErrorKind::DuplicateItem`] when it is in the index, [`ErrorKind::Shape`] for another
    /// dimension, [`ErrorKind::NonFiniteVector`] for NaN or infinity and
    /// [`ErrorKind::InvalidValue`] for item 0, which is padding.
    fn add(&self, item: ItemIndex, vector: &[f32]) -> Result<()>;

    /// Gives an item another vector.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownItem`] when it is not in the index, and otherwise as
    /// [`add`](UpdatableIndex::add).
    fn replace(&self, item: ItemIndex, vector: &[f32]) -> Result<()>;

    /// Removes an item.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownItem`] when it is not in the index.
    fn remove(&self, item: ItemIndex) -> Result<()>;

    /// Brings the index of a model's vectors up to those that it has after more training: only
    /// vectors that moved are replaced, and new items are added, while the index answers. How many
    /// were replaced and how many added is what it gives.
    ///
    /// `before` and `after` are what [`item_vectors`](crate::retrieve::item_vectors) gives of the
    /// two, `[items + 1, dim]` with padding first. An item must have the same index in both, which
    /// [`Catalog::continues`](crate::data::Catalog::continues) tells; where that is not so, build
    /// the index anew. A vector is replaced when it moved by more than the share `least` of its
    /// length: 0 replaces whatever changed at all. A graph is quicker built anew where more than a
    /// quarter moved: of 100,000 vectors 1 % is followed in 0.2 s, 10 % in 1.6 s and half of them
    /// in 19 s, and a graph is built in 6 s. Training by [lazy tables](crate::train::Tables) moves
    /// only the vectors of items that were looked up.
    ///
    /// ```
    /// use seqrec::ndarray::array;
    /// use seqrec::data::ItemIndex;
    /// use seqrec::index::{FlatIndex, UpdatableIndex, VectorIndex};
    ///
    /// let yesterday = array![[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]];
    /// let today = array![[0.0, 0.0], [1.0, 0.0], [0.6, 0.8], [-1.0, 0.0]];
    /// let index = FlatIndex::new(yesterday.view())?;
    /// let (replaced, added) = index.follow(yesterday.view(), today.view(), 0.01)?;
    /// assert_eq!((replaced, added), (1, 1)); // and one moved too little
    /// let found = index.search(array![[-1.0, 0.0]].view(), 1, None)?;
    /// assert_eq!(found.items(0), [ItemIndex::new(3)]);
    /// # Ok::<(), seqrec::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] for vectors of another dimension than the index's or fewer items than
    /// before, [`ErrorKind::NonFiniteVector`], [`ErrorKind::InvalidValue`] for a negative share,
    /// and [`ErrorKind::UnknownItem`] when an item of `before` is not in the index; of the first
    /// three nothing is changed.
    fn follow(
        &self,
        before: ArrayView2<'_, f32>,
        after: ArrayView2<'_, f32>,
        least: f32,
    ) -> Result<(usize, usize)> {
        checks::not_negative("least", f64::from(least))?;
        for vectors in [before, after] {
            checks::same_length("dimensions of vectors", self.dim(), vectors.ncols())?;
        }
        if after.nrows() < before.nrows() {
            return Err(ErrorKind::Shape {
                what: "items after training, of which there can't be fewer than before",
                expected: before.nrows(),
                found: after.nrows(),
            }
            .into());
        }
        checks::finite("vectors after training", after)?;
        let (mut replaced, mut added) = (0, 0);
        for (row, vector) in after.rows().into_iter().enumerate().skip(1) {
            let item = ItemIndex::new(row as u32);
            let vector = vector.to_vec();
            if row >= before.nrows() {
                self.add(item, &vector)?;
                added += 1;
            } else if moved(before.row(row), after.row(row), least) {
                self.replace(item, &vector)?;
                replaced += 1;
            }
        }
        Ok((replaced, added))
    }
}

/// A pointer to an index that is updated is one, too.
macro_rules! forward {
    ($($pointer:ty),*) => {$(
        impl<I: UpdatableIndex + ?Sized> UpdatableIndex for $pointer {
            fn contains(&self, item: ItemIndex) -> bool {
                (**self).contains(item)
            }

            fn vector(&self, item: ItemIndex) -> Result<Vec<f32>> {
                (**self).vector(item)
            }

            fn add(&self, item: ItemIndex, vector: &[f32]) -> Result<()> {
                (**self).add(item, vector)
            }

            fn replace(&self, item: ItemIndex, vector: &[f32]) -> Result<()> {
                (**self).replace(item, vector)
            }

            fn remove(&self, item: ItemIndex) -> Result<()> {
                (**self).remove(item)
            }

            fn follow(
                &self,
                before: ArrayView2<'_, f32>,
                after: ArrayView2<'_, f32>,
                least: f32,
            ) -> Result<(usize, usize)> {
                (**self).follow(before, after, least)
            }
        }
    )*};
}

forward!(&I, Box<I>, std::sync::Arc<I>);

/// Whether a vector moved by more than a share of its length.
fn moved(before: ArrayView1<'_, f32>, after: ArrayView1<'_, f32>, least: f32) -> bool {
    let square = |x: f32| x * x;
    let apart: f32 = (before.iter().zip(after)).map(|(a, b)| square(a - b)).sum();
    apart > square(least) * before.dot(&before)
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};

    use super::*;
    use crate::index::{FlatIndex, HnswConfig, HnswIndex};

    /// After following, each index finds what one of the later vectors finds.
    #[test]
    fn an_index_that_followed_is_one_of_the_later_vectors() {
        let vectors = |items: usize, turn: usize| {
            Array2::from_shape_fn((items, 8), |(row, column)| {
                let turned = if row % 3 == 0 { turn } else { 0 };
                ((row * 37 + column * 11 + turned * 5) % 29) as f32 / 29.0 - 0.5
            })
        };
        let (before, after) = (vectors(200, 0), vectors(230, 1));
        let anew = FlatIndex::new(after.view()).unwrap();
        let expected = anew.search(after.view(), 5, None).unwrap();
        let flat = FlatIndex::new(before.view()).unwrap();
        let graph = HnswIndex::new(before.view(), &HnswConfig::new()).unwrap();
        let of_flat = flat.follow(before.view(), after.view(), 0.0).unwrap();
        let of_graph = graph.follow(before.view(), after.view(), 0.0).unwrap();
        assert_eq!(of_flat, of_graph);
        assert_eq!(of_flat, (66, 30));
        assert_eq!(flat.search(after.view(), 5, None).unwrap(), expected);
        let found = graph.search(after.view(), 5, None).unwrap();
        let same = (0..after.nrows()).filter(|&row| {
            let scores = found.scores(row).iter().zip(expected.scores(row));
            scores.into_iter().all(|(a, b)| (a - b).abs() < 1e-5)
        });
        assert!(same.count() > 220);
    }

    #[test]
    fn what_can_not_be_followed_is_an_error_and_changes_nothing() {
        let before = array![[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]];
        let index = FlatIndex::new(before.view()).unwrap();
        let refused = |after: Array2<f32>, least| {
            let refused = index
                .follow(before.view(), after.view(), least)
                .unwrap_err();
            let found = index.search(before.view(), 1, None).unwrap();
            assert_eq!(found.scores(1), [1.0]);
            refused
        };
        let turned = array![[0.0, 0.0], [0.0, 1.0], [f32::NAN, 1.0]];
        assert!(matches!(
            refused(turned, 0.0).kind(),
            ErrorKind::NonFiniteVector { row: 2, .. }
        ));
        assert!(matches!(
            refused(array![[0.0, 0.0]], 0.0).kind(),
            ErrorKind::Shape { .. }
        ));
        assert!(matches!(
            refused(array![[0.0], [1.0], [2.0]], 0.0).kind(),
            ErrorKind::Shape { .. }
        ));
        assert!(matches!(
            refused(before.clone(), -1.0).kind(),
            ErrorKind::InvalidValue { .. }
        ));
        // One that went too little is kept.
        let nudged = array![[0.0, 0.0], [1.0, 0.001], [0.0, 2.0]];
        let followed = index.follow(before.view(), nudged.view(), 0.01).unwrap();
        assert_eq!(followed, (1, 0));
    }
}
