//! Exact search by going through all items.

use ndarray::ArrayView2;

use super::{Filter, Hit, VectorIndex, check_queries, without_padding};
use crate::Result;
use crate::data::ItemIndex;
use crate::kernels::top_k;

/// Exact search: products of blocks of queries and items, with the best kept as they come.
///
/// ```
/// use ndarray::array;
/// use seqrec::index::{FlatIndex, VectorIndex};
///
/// // Row 0 is padding.
/// let index = FlatIndex::new(array![[9.0, 9.0], [1.0, 0.0], [0.0, 1.0]].view())?;
/// let hits = index.search(array![[0.1, 0.7]].view(), 1, None)?;
/// assert_eq!(hits[0][0].item, 2);
/// # Ok::<(), seqrec::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct FlatIndex {
    /// `[items, dim]`, without padding.
    vectors: Vec<f32>,
    dim: usize,
}

impl FlatIndex {
    /// An index over the rows of `[items + 1, dim]`, of which row 0 is padding.
    ///
    /// # Errors
    /// [`Error::NothingLeft`](crate::Error::NothingLeft) when there is no item and
    /// [`Error::NonFiniteVector`](crate::Error::NonFiniteVector) for NaN or infinity.
    pub fn new(vectors: ArrayView2<'_, f32>) -> Result<Self> {
        Ok(Self {
            vectors: without_padding(vectors)?,
            dim: vectors.ncols(),
        })
    }

    /// The vector of an item.
    pub(super) fn vector(&self, item: ItemIndex) -> &[f32] {
        let start = (item as usize - 1) * self.dim;
        &self.vectors[start..start + self.dim]
    }
}

impl VectorIndex for FlatIndex {
    fn len(&self) -> usize {
        self.vectors.len() / self.dim
    }

    fn dim(&self) -> usize {
        self.dim
    }

    fn is_exact(&self) -> bool {
        true
    }

    fn search(
        &self,
        queries: ArrayView2<'_, f32>,
        k: usize,
        filter: Option<Filter<'_>>,
    ) -> Result<Vec<Vec<Hit>>> {
        check_queries(self, queries, k)?;
        let queries = queries.as_standard_layout();
        let queries = queries.as_slice().expect("standard layout is one slice");
        let allowed = |query: usize, row: u32| filter.is_none_or(|filter| filter(query, row + 1));
        let found = top_k::search(
            queries,
            &self.vectors,
            self.dim,
            k.min(self.len()),
            &allowed,
        );
        let hit = |(row, score)| Hit {
            item: row + 1,
            score,
        };
        Ok(found
            .into_iter()
            .map(|best| best.into_iter().map(hit).collect())
            .collect())
    }
}
