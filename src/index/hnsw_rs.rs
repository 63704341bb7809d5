//! Approximate search in a graph, by the `hnsw_rs` crate.

use hnsw_rs::prelude::{Distance, Hnsw};
use ndarray::{ArrayView1, ArrayView2, Axis};
use rayon::prelude::*;

use super::{Filter, Hits, HnswConfig, Precision, VectorIndex, without_padding};
use crate::Result;
use crate::item::ItemIndex;
use crate::kernels::inner_product::inner_product;
use crate::kernels::top_k;

/// Approximate search in a hierarchical navigable small world graph.
///
/// Malkov & Yashunin, [Efficient and robust approximate nearest neighbor search using Hierarchical
/// Navigable Small World graphs](https://arxiv.org/abs/1603.09320), with the inner product in place
/// of a distance (Morozov & Babenko, 2018): vectors are scaled by the length of the longest.
/// Scores are the true inner products, and where the graph gives fewer items than there are (a
/// strict filter), the search goes through all of them.
pub struct HnswRsIndex {
    graph: Hnsw<'static, f32, NoLonger>,
    /// `[items, dim]`, without padding.
    vectors: Vec<f32>,
    dim: usize,
    config: HnswConfig,
}

impl std::fmt::Debug for HnswRsIndex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HnswRsIndex")
            .field("len", &self.len())
            .field("dim", &self.dim())
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// `1 - a · b` of vectors no longer than 1.
struct NoLonger;

impl Distance<f32> for NoLonger {
    fn eval(&self, a: &[f32], b: &[f32]) -> f32 {
        // Rounding can leave a product slightly above 1, and the graph wants no negative distance.
        (1.0 - inner_product(a, b)).max(0.0)
    }
}

impl HnswRsIndex {
    /// Builds the graph over the rows of `[items + 1, dim]`, of which row 0 is padding, on rayon's
    /// current threads; on one thread the same vectors always give the same graph.
    ///
    /// # Errors
    /// As [`FlatIndex::new`](super::FlatIndex::new), and
    /// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) for invalid settings.
    pub fn new<'a>(vectors: impl Into<ArrayView2<'a, f32>>, config: &HnswConfig) -> Result<Self> {
        let vectors = vectors.into();
        config.validate()?;
        let items = without_padding(vectors, Precision::F32)?;
        let square = |row: ArrayView1<'_, f32>| row.dot(&row);
        let longest = items
            .axis_iter(Axis(0))
            .map(square)
            .fold(0.0, f32::max)
            .sqrt();
        let scale = if longest > 0.0 { 1.0 / longest } else { 0.0 };
        let points: Vec<Vec<f32>> = (items.axis_iter(Axis(0)))
            .map(|row| row.iter().map(|value| value * scale).collect())
            .collect();
        const MAX_LAYERS: usize = 16;
        let graph = Hnsw::new(
            config.m,
            points.len(),
            MAX_LAYERS,
            config.ef_construction,
            NoLonger,
        );
        let mut numbered: Vec<(&[f32], usize)> = points
            .iter()
            .enumerate()
            .map(|(row, point)| (point.as_slice(), row))
            .collect();
        // What has a large inner product with a point is there, then, when the point is linked.
        numbered.sort_by(|(a, _), (b, _)| inner_product(b, b).total_cmp(&inner_product(a, a)));
        graph.parallel_insert_slice(&numbered);
        Ok(Self {
            graph,
            vectors: items.iter().copied().collect(),
            dim: vectors.ncols(),
            config: config.clone(),
        })
    }

    /// The same graph, searched with another number of candidates.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) for 0.
    pub fn with_ef_search(mut self, ef_search: usize) -> Result<Self> {
        self.config.ef_search = ef_search;
        self.config.validate()?;
        Ok(self)
    }

    /// An item's inner product with a query.
    fn score(&self, query: &[f32], item: ItemIndex) -> f32 {
        let start = (item.to_usize() - 1) * self.dim;
        inner_product(query, &self.vectors[start..start + self.dim])
    }

    /// One query's best, best first; fewer than k where the graph leads to no more.
    fn search_graph(
        &self,
        query: &[f32],
        k: usize,
        allowed: Option<&dyn Fn(ItemIndex) -> bool>,
    ) -> Vec<top_k::Scored> {
        let length = inner_product(query, query).sqrt();
        let scale = if length > 0.0 { 1.0 / length } else { 0.0 };
        let point: Vec<f32> = query.iter().map(|value| value * scale).collect();
        let ef = self.config.ef_search.max(k);
        let neighbors = match allowed {
            None => self.graph.search(&point, k, ef),
            Some(allowed) => {
                let allowed = |row: &usize| allowed(of_row(*row));
                self.graph.search_filter(&point, k, ef, Some(&allowed))
            }
        };
        let items = neighbors.iter().map(|found| of_row(found.d_id));
        let mut scored: Vec<top_k::Scored> = items
            .map(|item| (item.get(), self.score(query, item)))
            .collect();
        scored.sort_unstable_by(top_k::best_first);
        scored
    }
}

/// The item whose vector lies in a row of `[items, dim]`.
fn of_row(row: usize) -> ItemIndex {
    ItemIndex::new(row as u32 + 1)
}

impl VectorIndex for HnswRsIndex {
    fn len(&self) -> usize {
        self.vectors.len() / self.dim
    }

    fn dim(&self) -> usize {
        self.dim
    }

    fn is_exact(&self) -> bool {
        false
    }

    fn search(
        &self,
        queries: ArrayView2<'_, f32>,
        k: usize,
        filter: Option<Filter<'_>>,
    ) -> Result<Hits> {
        self.check_queries(queries, k)?;
        let k = k.min(self.len());
        let found: Vec<Vec<top_k::Scored>> = (0..queries.nrows())
            .into_par_iter()
            .map(|number| {
                let query = queries.row(number).to_vec();
                let allowed = filter.map(|filter| move |item| filter.passes(number, item));
                let allowed = allowed.as_ref().map(|allowed| allowed as &dyn Fn(_) -> _);
                let found = self.search_graph(&query, k, allowed);
                if found.len() == k {
                    return found;
                }
                let items = ItemIndex::all(self.len())
                    .filter(|&item| allowed.is_none_or(|allowed| allowed(item)))
                    .map(ItemIndex::get);
                top_k::scan(k, items, |items, scores| {
                    for (score, &item) in scores.iter_mut().zip(items) {
                        *score = self.score(&query, ItemIndex::new(item));
                    }
                })
            })
            .collect();
        let mut hits = Hits::with_capacity(found.len(), k);
        for found in found {
            hits.push_scored(found);
        }
        Ok(hits)
    }
}
