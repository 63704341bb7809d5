//! Approximate search in a graph.

mod beam;
mod file;
mod graph;
mod insert;
mod update;
mod visited;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard};

use burn::config::Config;
use ndarray::ArrayView2;
use rayon::prelude::*;

use self::beam::Beam;
use self::graph::{Graph, Links, NONE, Target, Walk};
use self::insert::{Insertion, ListLocks};
use self::update::Updates;
use self::visited::Pool;
use super::file::Mapped;
use super::vectors::{Precision, Query, Vectors};
use super::{
    Filter, Hits, UpdatableIndex, VectorIndex, broken, check_queries, check_vector, without_padding,
};
use crate::data::ItemIndex;
use crate::kernels::top_k;
use crate::{Error, Result};

/// The settings of [`HnswIndex`] and [`HnswRsIndex`](super::HnswRsIndex).
#[derive(Config, Debug, PartialEq)]
pub struct HnswConfig {
    /// How many neighbours a point has on each layer but the lowest, which has twice as many (the
    /// paper's M), `2..=256`.
    #[config(default = 16)]
    pub neighbors: usize,
    /// How many candidates are weighed when a point is added (efConstruction).
    #[config(default = 200)]
    pub ef_construction: usize,
    /// How many candidates a search keeps (ef); a search for more than that keeps k. Above the number
    /// of items it is that.
    #[config(default = 100)]
    pub ef_search: usize,
    /// The seed of the points' layers.
    #[config(default = 42)]
    pub seed: u64,
    /// How vectors are kept; [`HnswRsIndex`](super::HnswRsIndex) keeps them as they are.
    #[config(default = "Precision::F32")]
    pub precision: Precision,
}

impl HnswConfig {
    /// Checks every setting.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] with the first setting that can't be right.
    pub fn validate(&self) -> Result<()> {
        if !(2..=256).contains(&self.neighbors) {
            return Err(Error::invalid(
                "neighbors",
                self.neighbors,
                "must be within 2 and 256",
            ));
        }
        for (field, value) in [
            ("ef_construction", self.ef_construction),
            ("ef_search", self.ef_search),
        ] {
            if value == 0 {
                return Err(Error::invalid(field, 0, "must be at least 1"));
            }
        }
        Ok(())
    }
}

/// Approximate search in a hierarchical navigable small world graph.
///
/// Malkov & Yashunin, [Efficient and robust approximate nearest neighbor search using Hierarchical
/// Navigable Small World graphs](https://arxiv.org/abs/1603.09320). Such a graph wants a distance,
/// which the inner product is not: among themselves, points are compared as if each had one more
/// coordinate that brings all to the length of the longest (Bachrach et al., "Speeding up the Xbox
/// recommender system using a Euclidean transformation for inner-product spaces", 2014), after
/// which the nearest to a query have the largest inner product with it.
///
/// Where the graph leads to fewer items than there are, or a filter passes so few that going
/// through them is faster, the search goes through the items that pass.
///
/// ```
/// use ndarray::Array2;
/// use seqrec::index::{HnswConfig, HnswIndex, VectorIndex};
///
/// // Row 0 is padding.
/// let vectors = Array2::from_shape_fn((101, 2), |(row, column)| {
///     let angle = row as f32 / 16.0;
///     if column == 0 { angle.cos() } else { angle.sin() }
/// });
/// let index = HnswIndex::new(vectors.view(), &HnswConfig::new())?;
/// let hits = index.search(vectors.slice(ndarray::s![40..41, ..]), 3, None)?;
/// assert_eq!(hits.items(0)[0], 40);
/// # Ok::<(), seqrec::Error>(())
/// ```
pub struct HnswIndex {
    state: RwLock<State>,
    config: HnswConfig,
    searches: Pool<Search>,
}

/// What updates change. A search for a few queries holds on to it for reading, so each query sees
/// all of an update or nothing of it.
#[derive(Debug)]
struct State {
    graph: Graph,
    /// Made by the first update, or at once for a graph from a file that was updated.
    updates: Option<Updates>,
    /// The file that the graph's arrays are in, as long as any may be.
    mapped: Option<Mapped>,
}

impl State {
    /// Refuses to go on with a graph whose file is gone from under it.
    fn check(&self) -> Result<()> {
        self.mapped.as_ref().map_or(Ok(()), Mapped::check)
    }

    /// The point of an item that is in the index.
    fn point_of(&self, item: ItemIndex) -> Option<u32> {
        match &self.updates {
            Some(updates) => updates.point_of(item),
            // As they were built: item i is point i - 1.
            None => item
                .checked_sub(1)
                .filter(|&point| (point as usize) < self.graph.len()),
        }
    }
}

/// What a search needs room for.
#[derive(Debug, Default)]
struct Search {
    query: Query,
    walk: Walk,
    found: Beam,
    /// The best points, then the best items.
    scored: Vec<top_k::Scored>,
    points: Vec<u32>,
    scores: Vec<f32>,
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
    /// As [`FlatIndex::new`](super::FlatIndex::new), and [`Error::InvalidValue`] for settings that
    /// can't be right.
    pub fn new(vectors: ArrayView2<'_, f32>, config: &HnswConfig) -> Result<Self> {
        config.validate()?;
        let dim = vectors.ncols();
        let graph = build(&without_padding(vectors, config.precision)?, dim, config);
        Ok(Self::of_graph(graph, config.clone(), None))
    }

    fn of_graph(graph: Graph, config: HnswConfig, mapped: Option<Mapped>) -> Self {
        let as_built = (1..)
            .zip(graph.items.iter())
            .all(|(item, &of_point)| item == of_point);
        let updates = (!as_built).then(|| Updates::new(&graph));
        Self {
            state: RwLock::new(State {
                graph,
                updates,
                mapped,
            }),
            config,
            searches: Pool::default(),
        }
    }

    /// The same graph, searched with another number of candidates.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] for 0.
    pub fn with_ef_search(mut self, ef_search: usize) -> Result<Self> {
        self.config.ef_search = ef_search;
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

    /// The state, whatever became of it: for what is asked of it that looks at no array.
    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state, if it is whole.
    fn read_whole(&self) -> Result<RwLockReadGuard<'_, State>> {
        let state = self.state.read().map_err(|_| broken())?;
        state.check()?;
        Ok(state)
    }

    /// Calls `update` with the graph while no search looks at it.
    fn update(&self, update: impl FnOnce(&mut Graph, &mut Updates) -> Result<()>) -> Result<()> {
        let mut state = self.state.write().map_err(|_| broken())?;
        state.check()?;
        let State { graph, updates, .. } = &mut *state;
        let updates = updates.get_or_insert_with(|| Updates::new(graph));
        update(graph, updates)
    }

    /// The k best for one query, best first, in `search.scored`.
    fn search_one(
        &self,
        state: &State,
        number: usize,
        query: &[f32],
        k: usize,
        filter: Option<Filter<'_>>,
        search: &mut Search,
    ) {
        let graph = &state.graph;
        graph.vectors.prepare(query, &mut search.query);
        let target = Target {
            query: &search.query,
            complement: 0.0,
        };
        let wanted = |point: u32| {
            let item = graph.items[point as usize];
            item != 0 && filter.is_none_or(|filter| filter.passes(number, item))
        };
        search.scored.clear();
        let walk = &mut search.walk;
        let share = filter.map_or(1.0, |filter| share_passing(graph, number, filter));
        // Those that pass lie further apart than all do, and more of them must be held on to.
        let ef = (self.config.ef_search as f64 / share.max(1e-4).sqrt()) as usize;
        let ef = ef.min(graph.len()).max(k);
        let scan = filter.is_some_and(|filter| scan_is_faster(graph.len(), ef, share, filter));
        if graph.entry != NONE && !scan {
            let layers = 1..graph.top() + 1;
            let near = graph.descend(&target, graph.entry, layers, walk);
            let found = if filter.is_none() && graph.live == graph.len() {
                graph.search_layer(&target, near, 0, ef, walk);
                &walk.beam
            } else {
                graph.search_wanted(&target, near, ef, wanted, &mut search.found, walk);
                &search.found
            };
            search
                .scored
                .extend(found.iter().map(|near| (near.point, near.score)));
        }
        if search.scored.len() < k {
            let keep = match graph.vectors.precision() {
                Precision::Int8 => ef,
                Precision::F32 | Precision::F16 => k,
            };
            let query = &search.query;
            let score = |points: &[u32], scores: &mut [f32]| {
                graph.vectors.score(query, points, scores);
            };
            search.scored = if let Some(Filter::Allowed(items)) = filter {
                let points = items.iter().filter_map(|item| state.point_of(item));
                top_k::scan(keep, points, score)
            } else {
                let points = (0..graph.len() as u32).filter(|&point| wanted(point));
                top_k::scan(keep, points, score)
            };
        }
        let vectors = &graph.vectors;
        if vectors.precision() == Precision::Int8 {
            search.points.clear();
            search
                .points
                .extend(search.scored.iter().map(|&(point, _)| point));
            search.scores.resize(search.points.len(), 0.0);
            vectors.rescore(&search.query, &search.points, &mut search.scores);
            for (scored, &score) in search.scored.iter_mut().zip(&search.scores) {
                scored.1 = score;
            }
        } else {
            search.scored.truncate(k);
        }
        for scored in &mut search.scored {
            scored.0 = graph.items[scored.0 as usize];
        }
        search.scored.sort_unstable_by(top_k::best_first);
        search.scored.truncate(k);
    }
}

/// About which share of the points a filter passes for a query.
fn share_passing(graph: &Graph, number: usize, filter: Filter<'_>) -> f64 {
    const SAMPLE: usize = 256;
    match filter {
        Filter::Allowed(items) => items.len() as f64 / graph.live.max(1) as f64,
        Filter::Predicate(passes) => {
            let step = graph.len().div_ceil(SAMPLE).max(1);
            let sample = graph.items.iter().step_by(step);
            let passing = sample
                .clone()
                .filter(|&&item| item != 0 && passes(number, item));
            passing.count() as f64 / sample.len().max(1) as f64
        }
    }
}

/// Whether going through the points of which a share passes takes less time than the walk, which
/// must see `1 / share` points for each that it keeps.
fn scan_is_faster(points: usize, ef: usize, share: f64, filter: Filter<'_>) -> bool {
    // Nanoseconds, measured by `cargo bench --bench ann -- DIR --pass SHARE`. Their proportions
    // matter, and these differ little from machine to machine.
    const SCORE: f64 = 10.0;
    const EXPAND: f64 = 800.0;
    let check = match filter {
        Filter::Predicate(_) => 2.0,
        Filter::Allowed(_) => 0.0,
    };
    points as f64 * (check + share * SCORE) <= ef as f64 / share.max(1e-9) * EXPAND
}

impl Graph {
    fn bytes(&self) -> usize {
        let words = self.base.len() + self.upper.len() + self.items.len() + self.upper_start.len();
        let complement = self.complement.as_ref().map_or(0, |values| values.len());
        self.vectors.bytes() + 4 * (words + complement) + self.levels.len()
    }
}

fn build(vectors: &[f32], dim: usize, config: &HnswConfig) -> Graph {
    let len = vectors.len() / dim;
    let neighbors = config.neighbors;
    let levels: Vec<u8> = (0..len as u32)
        .map(|point| insert::level(config.seed, point, neighbors))
        .collect();
    let mut lists = 0;
    let upper_start: Vec<u32> = levels
        .iter()
        .map(|&level| {
            let start = lists;
            lists += u32::from(level);
            start
        })
        .collect();
    let mut graph = Graph {
        neighbors,
        vectors: Vectors::new(vectors, dim, Precision::F32),
        complement: complements(vectors, dim).map(Into::into),
        items: (1..=len as ItemIndex).collect::<Vec<_>>().into(),
        levels: levels.into(),
        base: Links::empty(len, 2 * neighbors),
        upper_start: upper_start.into(),
        upper: Links::empty(lists as usize, neighbors),
        entry: NONE,
        live: len,
    };
    let entry = Mutex::new(NONE);
    let next = AtomicUsize::new(0);
    let locks = ListLocks::new();
    (0..rayon::current_num_threads())
        .into_par_iter()
        .for_each(|_| {
            let mut room = Insertion::default();
            loop {
                let point = next.fetch_add(1, Ordering::Relaxed);
                if point >= len {
                    break;
                }
                let point = point as u32;
                let mut guard = entry.lock().unwrap_or_else(PoisonError::into_inner);
                let from = *guard;
                let level = |point: u32| graph.levels[point as usize];
                // A point above all others is entered by the next ones, so they wait for it.
                let guard = if from == NONE || level(point) > level(from) {
                    *guard = point;
                    Some(guard)
                } else {
                    drop(guard);
                    None
                };
                graph.insert(point, from, config.ef_construction, &locks, &mut room);
                drop(guard);
            }
        });
    graph.entry = entry.into_inner().unwrap_or_else(PoisonError::into_inner);
    if config.precision != Precision::F32 {
        graph.vectors = Vectors::new(vectors, dim, config.precision);
    }
    graph
}

/// The coordinate that brings each vector to the length of the longest; `None` where all are of
/// one length but for rounding.
fn complements(vectors: &[f32], dim: usize) -> Option<Vec<f32>> {
    let square = |vector: &[f32]| vector.iter().map(|value| value * value).sum::<f32>();
    let squares: Vec<f32> = vectors.par_chunks_exact(dim).map(square).collect();
    let longest = squares.iter().copied().fold(0.0, f32::max);
    let same = |&square: &f32| longest - square <= 1e-5 * longest;
    (!squares.iter().all(same)).then(|| {
        let complement = |square: f32| (longest - square).max(0.0).sqrt();
        squares.into_iter().map(complement).collect()
    })
}

impl VectorIndex for HnswIndex {
    fn len(&self) -> usize {
        self.read().graph.live
    }

    fn dim(&self) -> usize {
        self.read().graph.vectors.dim()
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
        check_queries(self, queries, k)?;
        let (k, dim) = {
            let state = self.read_whole()?;
            (k.min(state.graph.live), state.graph.vectors.dim())
        };
        let queries = queries.as_standard_layout();
        let queries = queries.as_slice().expect("standard layout is one slice");
        let count = queries.len() / dim;
        let mut hits = Hits::with_capacity(count, k);
        if k == 0 {
            (0..count).for_each(|_| hits.push([]));
            return Ok(hits);
        }
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

    fn add(&self, item: ItemIndex, vector: &[f32]) -> Result<()> {
        check_vector(self, item, vector, self.config.precision)?;
        self.update(|graph, updates| {
            if updates.point_of(item).is_some() {
                return Err(Error::DuplicateItem { item });
            }
            updates.add(graph, item, vector, &self.config);
            Ok(())
        })
    }

    fn replace(&self, item: ItemIndex, vector: &[f32]) -> Result<()> {
        check_vector(self, item, vector, self.config.precision)?;
        self.update(|graph, updates| {
            if !updates.remove(graph, item, &self.config) {
                return Err(Error::UnknownItem { item });
            }
            updates.add(graph, item, vector, &self.config);
            Ok(())
        })
    }

    fn remove(&self, item: ItemIndex) -> Result<()> {
        self.update(|graph, updates| {
            if !updates.remove(graph, item, &self.config) {
                return Err(Error::UnknownItem { item });
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
                    graph.items.make_own().push(9);
                    panic!("half-way")
                });
            });
            assert!(half_way.join().is_err());
        });
        for queries in [vectors.slice(ndarray::s![1..2, ..]), vectors.view()] {
            let found = index.search(queries, 1, None);
            assert!(matches!(found, Err(Error::Thread { .. })), "{found:?}");
        }
        assert!(matches!(
            index.add(9, &[0.0, 1.0]),
            Err(Error::Thread { .. })
        ));
        let folder = tempfile::tempdir().unwrap();
        assert!(index.save(folder.path().join("items.index"), 1).is_err());
    }
}
