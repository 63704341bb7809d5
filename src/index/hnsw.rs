//! Approximate search in a graph.

mod beam;
mod build;
mod config;
mod dominant;
mod file;
mod graph;
mod insert;
mod measure;
mod places;
mod search;
mod twins;
mod update;
mod visited;

use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use ndarray::ArrayView2;
use rayon::prelude::*;

pub use self::config::HnswConfig;
use self::graph::Graph;
use self::search::SearchRoom;
use self::update::Updates;
use self::visited::Pool;
use super::vectors::Query;
use super::{
    Filter, Hits, ItemSet, UpdatableIndex, VectorIndex, broken, check_vector, without_padding,
};
use crate::files::mapped::MappedFile;
use crate::item::ItemIndex;
use crate::{Error, ErrorKind, Result};

/// Approximate search in a hierarchical navigable small world graph.
///
/// Malkov & Yashunin, [Efficient and robust approximate nearest neighbor search using Hierarchical
/// Navigable Small World graphs](https://arxiv.org/abs/1603.09320), whose neighbors are here those
/// with the largest inner product (Morozov & Babenko, [Non-metric similarity graphs for maximum
/// inner product search](https://papers.nips.cc/paper/7722), 2018), with four differences, each
/// measured on vectors of many kinds: the longest vectors are linked first, what stands before
/// another neighbor is judged half-way between inner product and distance, directions along
/// which vectors are very much longer than along others are evened out among points, and equal
/// vectors are one point.
///
/// What a graph finds depends on the vectors: [`measure_recall`](Self::measure_recall) says what it
/// is, and [`tuned_for`](Self::tuned_for) chooses how many candidates a search keeps.
///
/// Where the graph leads to fewer items than there are, or a filter passes so few that going
/// through them is faster, the search goes through the items that pass.
///
/// ```
/// use seqrec::index::{HnswConfig, HnswIndex, VectorIndex};
/// use seqrec::ndarray::{Array2, s};
///
/// // Row 0 is padding.
/// let vectors = Array2::from_shape_fn((101, 2), |(row, column)| {
///     let angle = row as f32 / 16.0;
///     if column == 0 { angle.cos() } else { angle.sin() }
/// });
/// let index = HnswIndex::new(vectors.view(), &HnswConfig::new())?;
/// let hits = index.search(vectors.slice(s![40..41, ..]), 3, None)?;
/// assert_eq!(hits.items(0)[0].get(), 40);
/// # Ok::<(), seqrec::Error>(())
/// ```
pub struct HnswIndex {
    state: RwLock<GraphState>,
    config: HnswConfig,
    /// Whether searches go through all items.
    exact: bool,
    searches: Pool<SearchRoom>,
}

/// What updates change. A search for a few queries holds on to it for reading, so each query sees
/// all of an update or nothing of it.
#[derive(Debug)]
struct GraphState {
    graph: Graph,
    /// Made by the first update, or at once for a graph from a file that was updated.
    updates: Option<Updates>,
    /// The file that the graph's arrays are in, as long as any may be.
    mapped: Option<MappedFile>,
}

impl GraphState {
    /// Refuses to go on with a graph whose file is gone from under it.
    fn check(&self) -> Result<()> {
        self.mapped.as_ref().map_or(Ok(()), MappedFile::check)
    }

    /// The point of an item that is in the index.
    fn point_of(&self, item: ItemIndex) -> Option<u32> {
        match &self.updates {
            Some(updates) => updates.point_of(item),
            // As they were built: item i is point i - 1.
            None => {
                (item.get().checked_sub(1)).filter(|&point| (point as usize) < self.graph.len())
            }
        }
    }
}

impl std::fmt::Debug for HnswIndex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HnswIndex")
            .field("len", &self.len())
            .field("dim", &self.dim())
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl HnswIndex {
    /// Builds the graph over the rows of `[items + 1, dim]`, of which row 0 is padding, on rayon's
    /// current threads; on one thread the same vectors and seed always give the same graph.
    ///
    /// # Errors
    /// As [`FlatIndex::new`](super::FlatIndex::new), and [`ErrorKind::InvalidValue`] for invalid
    /// settings.
    pub fn new<'a>(vectors: impl Into<ArrayView2<'a, f32>>, config: &HnswConfig) -> Result<Self> {
        let vectors = vectors.into();
        config.validate()?;
        let graph = build::build(without_padding(vectors, config.precision)?, config);
        Ok(Self::of_graph(graph, config.clone(), None))
    }

    fn of_graph(mut graph: Graph, config: HnswConfig, mapped: Option<MappedFile>) -> Self {
        let as_built = (1..)
            .zip(graph.items.iter())
            .all(|(item, of_point)| item == of_point.get());
        let updates = (!as_built).then(|| Updates::new(&mut graph));
        Self {
            state: RwLock::new(GraphState {
                graph,
                updates,
                mapped,
            }),
            config,
            exact: false,
            searches: Pool::default(),
        }
    }

    /// The same graph, walked with another number of candidates.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`] for 0.
    pub fn with_ef_search(mut self, ef_search: usize) -> Result<Self> {
        self.config.ef_search = ef_search;
        self.exact = false;
        self.config.validate()?;
        Ok(self)
    }

    /// The settings.
    pub fn config(&self) -> &HnswConfig {
        &self.config
    }

    /// How many bytes the index takes, vectors included.
    pub fn bytes(&self) -> usize {
        self.read().graph.bytes()
    }

    /// The state, whatever became of it: for questions that read no array.
    fn read(&self) -> RwLockReadGuard<'_, GraphState> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state, if it is whole.
    fn read_whole(&self) -> Result<RwLockReadGuard<'_, GraphState>> {
        let state = self.state.read().map_err(|_| broken())?;
        state.check()?;
        Ok(state)
    }

    /// Calls `update` with the graph while no search reads it.
    fn update(&self, update: impl FnOnce(&mut Graph, &mut Updates) -> Result<()>) -> Result<()> {
        let mut state = self.state.write().map_err(|_| broken())?;
        state.check()?;
        let GraphState { graph, updates, .. } = &mut *state;
        let updates = updates.get_or_insert_with(|| Updates::new(graph));
        update(graph, updates)
    }
}

impl Graph {
    fn bytes(&self) -> usize {
        let words = self.base.len() + self.upper.len() + self.items.len() + self.upper_start.len();
        let words = words + self.twins.parts().len() + self.squares.len();
        self.vectors.bytes() + 4 * words + self.levels.len() + self.dominant.bytes()
    }
}

impl VectorIndex for HnswIndex {
    fn len(&self) -> usize {
        self.read().graph.live
    }

    fn dim(&self) -> usize {
        self.read().graph.vectors.dim()
    }

    /// Whether searches go through all items, which [`tuned_for`](Self::tuned_for) may decide.
    fn is_exact(&self) -> bool {
        self.exact
    }

    fn held(&self, items: &ItemSet) -> Result<ItemSet> {
        let state = self.read();
        let there = |item: &ItemIndex| state.point_of(*item).is_some();
        Ok(items.iter().filter(there).collect())
    }

    fn search(
        &self,
        queries: ArrayView2<'_, f32>,
        k: usize,
        filter: Option<Filter<'_>>,
    ) -> Result<Hits> {
        self.check_queries(queries, k)?;
        let (k, dim) = {
            let state = self.read_whole()?;
            (k.min(state.graph.live), state.graph.vectors.dim())
        };
        let queries = queries.as_standard_layout();
        let queries = queries.as_slice().expect("standard layout is one slice");
        let count = queries.len() / dim;
        if k == 0 {
            return Ok(Hits::none(count));
        }
        let mut hits = Hits::with_capacity(count, k);
        if count == 1 {
            // One query is not worth waking other threads for.
            let state = self.read_whole()?;
            self.searches.with(|search| {
                self.search_one(&state, 0, queries, k, filter, search);
                hits.push_scored(search.scored.iter().copied());
            });
            return Ok(hits);
        }
        // Many at a time, so that what is held at once is bounded.
        const ROUND: usize = 4096;
        for (round, queries) in queries.chunks(ROUND * dim).enumerate() {
            let parts: Result<Vec<Hits>> = queries
                .par_chunks(16 * dim)
                .enumerate()
                .map(|(part, queries)| {
                    let mut hits = Hits::with_capacity(16, k);
                    // Each thread for itself, and for no longer than it asks nothing of others: one
                    // that held this while it waited for them could wait for ever.
                    let state = self.read_whole()?;
                    self.searches.with(|search| {
                        for (place, query) in queries.chunks_exact(dim).enumerate() {
                            let number = round * ROUND + part * 16 + place;
                            self.search_one(&state, number, query, k, filter, search);
                            hits.push_scored(search.scored.iter().copied());
                        }
                    });
                    Ok(hits)
                })
                .collect();
            for part in parts? {
                hits.append(&part);
            }
        }
        Ok(hits)
    }
}

impl UpdatableIndex for HnswIndex {
    fn contains(&self, item: ItemIndex) -> bool {
        self.read().point_of(item).is_some()
    }

    fn vector(&self, item: ItemIndex) -> Result<Vec<f32>> {
        let state = self.read_whole()?;
        let point = state
            .point_of(item)
            .ok_or_else(|| Error::from(ErrorKind::UnknownItem { item }))?;
        let vectors = &state.graph.vectors;
        let mut row = Query::default();
        vectors.load(point, &mut row);
        Ok(row.values()[..vectors.dim()].to_vec())
    }

    fn add(&self, item: ItemIndex, vector: &[f32]) -> Result<()> {
        check_vector(self, item, vector, self.config.precision)?;
        self.update(|graph, updates| {
            if updates.point_of(item).is_some() {
                return Err(ErrorKind::DuplicateItem { item }.into());
            }
            updates.add(graph, item, vector, &self.config);
            Ok(())
        })
    }

    fn replace(&self, item: ItemIndex, vector: &[f32]) -> Result<()> {
        check_vector(self, item, vector, self.config.precision)?;
        self.update(|graph, updates| {
            if !updates.remove(graph, item, &self.config) {
                return Err(ErrorKind::UnknownItem { item }.into());
            }
            updates.add(graph, item, vector, &self.config);
            Ok(())
        })
    }

    fn remove(&self, item: ItemIndex) -> Result<()> {
        self.update(|graph, updates| {
            if !updates.remove(graph, item, &self.config) {
                return Err(ErrorKind::UnknownItem { item }.into());
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_update_that_panicked_half_way_leaves_no_graph_to_search() {
        let vectors = ndarray::array![[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]];
        let index = HnswIndex::new(vectors.view(), &HnswConfig::new()).unwrap();
        std::thread::scope(|scope| {
            let half_way = scope.spawn(|| {
                let _ = index.update(|graph, _| {
                    graph.items.make_own().push(ItemIndex::new(9));
                    panic!("half-way")
                });
            });
            assert!(half_way.join().is_err());
        });
        for queries in [vectors.slice(ndarray::s![1..2, ..]), vectors.view()] {
            let found = index.search(queries, 1, None);
            assert!(
                matches!(
                    found.as_ref().map_err(Error::kind),
                    Err(ErrorKind::Thread { .. })
                ),
                "{found:?}"
            );
        }
        assert!(matches!(
            index
                .add(ItemIndex::new(9), &[0.0, 1.0])
                .as_ref()
                .map_err(Error::kind),
            Err(ErrorKind::Thread { .. })
        ));
        let folder = tempfile::tempdir().unwrap();
        assert!(index.save(folder.path().join("items.index"), 1).is_err());
    }
}
