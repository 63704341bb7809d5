//! Exact search by going through all items.

use ndarray::ArrayView2;

use super::{Filter, Hit, Hits, VectorIndex, check_queries, without_padding};
use crate::Result;
use crate::kernels::panels::Panels;
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
/// assert_eq!(hits.items(0), [2]);
/// # Ok::<(), seqrec::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct FlatIndex {
    vectors: Panels,
}

impl FlatIndex {
    /// An index over the rows of `[items + 1, dim]`, of which row 0 is padding.
    ///
    /// # Errors
    /// [`Error::NothingLeft`](crate::Error::NothingLeft) when there is no item and
    /// [`Error::NonFiniteVector`](crate::Error::NonFiniteVector) for NaN or infinity.
    pub fn new(vectors: ArrayView2<'_, f32>) -> Result<Self> {
        let dim = vectors.ncols();
        Ok(Self {
            vectors: Panels::new(&without_padding(vectors)?, dim),
        })
    }

    /// How many bytes the index takes.
    pub fn bytes(&self) -> usize {
        self.vectors.bytes()
    }
}

impl VectorIndex for FlatIndex {
    fn len(&self) -> usize {
        self.vectors.len()
    }

    fn dim(&self) -> usize {
        self.vectors.dim()
    }

    fn is_exact(&self) -> bool {
        true
    }

    fn search(
        &self,
        queries: ArrayView2<'_, f32>,
        k: usize,
        filter: Option<Filter<'_>>,
    ) -> Result<Hits> {
        check_queries(self, queries, k)?;
        let queries = queries.as_standard_layout();
        let queries = queries.as_slice().expect("standard layout is one slice");
        let allowed = filter.map(|filter| move |query, place: u32| filter.passes(query, place + 1));
        let allowed = allowed
            .as_ref()
            .map(|allowed| allowed as top_k::Allowed<'_>);
        let mut hits = Hits::with_capacity(queries.len() / self.dim(), k.min(self.len()));
        top_k::search(queries, &self.vectors, k, allowed, &mut |_, found| {
            hits.push(found.iter().map(|&(place, score)| Hit {
                item: place + 1,
                score,
            }));
        });
        Ok(hits)
    }
}
