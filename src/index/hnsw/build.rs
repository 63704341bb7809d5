//! Building a graph over many vectors at once.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use ndarray::ArrayView2;
use rayon::prelude::*;

use super::HnswConfig;
use super::dominant::Dominant;
use super::graph::{Graph, NeighborLists};
use super::insert::{Insertion, ListLocks, level};
use super::places::VectorPlaces;
use super::twins::{NONE, Twins};
use crate::index::Precision;
use crate::index::vectors::Vectors;
use crate::item::ItemIndex;

/// Lengths whose squares differ by no more than this share are one length.
pub(super) const ONE_LENGTH: f32 = 2e-3;

/// The graph over the rows of `vectors` `[len, dim]`, on rayon's current threads.
pub(super) fn build(vectors: ArrayView2<'_, f32>, config: &HnswConfig) -> Graph {
    let (len, dim) = vectors.dim();
    let values = vectors.as_standard_layout();
    let values = values.as_slice().unwrap_or_default();
    let neighbors = config.m;
    let levels: Vec<u8> = (0..len as u32)
        .map(|point| level(config.seed, point, neighbors))
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
    let mut dominant = Dominant::find(vectors);
    for vector in values.chunks_exact(dim) {
        dominant.push(vector);
    }
    let mut graph = Graph {
        neighbors,
        vectors: Vectors::new(values, dim, Precision::F32),
        dominant,
        squares: Vec::new(),
        twins: Twins::default(),
        items: ItemIndex::all(len).collect::<Vec<_>>().into(),
        levels: levels.into(),
        base: NeighborLists::empty(len, 2 * neighbors),
        upper_start: upper_start.into(),
        upper: NeighborLists::empty(lists as usize, neighbors),
        entry: NONE,
        live: len,
    };
    graph.measure();
    let order = without_twins(&mut graph);
    graph.entry = insert_all(&graph, &order, config.ef_construction);
    if config.precision != Precision::F32 {
        graph.vectors = Vectors::new(values, dim, config.precision);
    }
    // Searches don't ask for them, and updates measure anew what they compare.
    graph.squares = Vec::new();
    graph
}

/// The points to be linked, in the order in which a graph takes them in best; those whose vector
/// another has already become its twins.
fn without_twins(graph: &mut Graph) -> Vec<u32> {
    let len = graph.len();
    let mut order = graph.longest_first();
    let mut places = VectorPlaces::default();
    order.retain(|&point| match places.find_or_add(graph, point) {
        Some(linked) => {
            graph.twins.add(linked, point, len);
            false
        }
        None => true,
    });
    order
}

/// Links points on all threads; the point at which searches enter the graph.
fn insert_all(graph: &Graph, order: &[u32], ef_construction: usize) -> u32 {
    let entry = Mutex::new(NONE);
    let next = AtomicUsize::new(0);
    let locks = ListLocks::new();
    (0..rayon::current_num_threads())
        .into_par_iter()
        .for_each(|_| {
            let mut room = Insertion::default();
            while let Some(&point) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
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
                graph.insert(point, from, ef_construction, &locks, &mut room);
                drop(guard);
            }
        });
    entry.into_inner().unwrap_or_else(PoisonError::into_inner)
}

impl Graph {
    /// The points that have an item, the longest first, as a graph takes them in best: what has a
    /// large inner product with a point is then there when the point is linked, though the point is
    /// not among what has a large one with it. Points of one length stay in their order.
    pub(super) fn longest_first(&self) -> Vec<u32> {
        let mut squares: Vec<(u32, f32)> = (0..self.len() as u32)
            .filter(|&point| self.is_live(point))
            .map(|point| (point, self.square(point)))
            .collect();
        let least = squares.iter().fold(f32::MAX, |least, &(_, s)| least.min(s));
        let most = squares.iter().fold(0.0f32, |most, &(_, s)| most.max(s));
        if most - least > ONE_LENGTH * most {
            squares.sort_by(|a, b| b.1.total_cmp(&a.1));
        }
        squares.into_iter().map(|(point, _)| point).collect()
    }
}
