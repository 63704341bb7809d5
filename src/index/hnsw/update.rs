//! Adding and removing points of a graph in use.
//!
//! A removed point is a tombstone: searches walk through it and never give it. A point that is
//! longer than others that came before it lacks links from them that it would have, had it come
//! first. When a quarter of the points are tombstones, or came too late so, a new graph is begun,
//! which takes in a few points of the old one with each later update and takes the old one's place
//! when it has them all. To mend the old one instead (Singh et al., "FreshDiskANN", 2021) takes as
//! long and was measured to lose recall: what holds a graph's parts together are links from when
//! it was small.

use ndarray::Array2;

use super::HnswConfig;
use super::build::ONE_LENGTH;
use super::dominant::{self, Dominant};
use super::graph::{Graph, NeighborLists};
use super::insert::{Insertion, ListLocks, level};
use super::places::VectorPlaces;
use super::twins::{NONE, Twins};
use crate::index::vectors::{Query, Vectors};
use crate::item::ItemIndex;

/// A new graph is begun when one point in so many is a tombstone, or came late.
const RENEW_AT: usize = 4;
/// How many points an update moves while a new graph is made.
const MOVED_PER_UPDATE: usize = 32;

/// What is kept about a graph that is updated.
#[derive(Debug)]
pub(super) struct Updates {
    /// The point of each item.
    points: foldhash::HashMap<ItemIndex, u32>,
    places: VectorPlaces,
    /// The squared length of the shortest point, and how many points came after one that is
    /// shorter.
    shortest: f32,
    late: usize,
    locks: ListLocks,
    room: Insertion,
    renewal: Option<Box<Renewal>>,
}

/// A graph that is to take another's place.
#[derive(Debug)]
struct Renewal {
    graph: Graph,
    updates: Updates,
    /// The old graph's points, the longest first.
    order: Vec<u32>,
    /// How many of them the new graph has or need not have.
    moved: usize,
}

impl Updates {
    pub(super) fn new(graph: &mut Graph) -> Self {
        graph.measure();
        let named = graph.items.iter().copied().zip(0..);
        Self {
            points: named
                .filter(|&(item, _)| item != ItemIndex::PADDING)
                .collect(),
            places: VectorPlaces::of(graph),
            shortest: graph.shortest(),
            late: 0,
            locks: ListLocks::new(),
            room: Insertion::default(),
            renewal: None,
        }
    }

    pub(super) fn point_of(&self, item: ItemIndex) -> Option<u32> {
        self.points.get(&item).copied()
    }

    /// Adds a point for an item that has none.
    pub(super) fn add(
        &mut self,
        graph: &mut Graph,
        item: ItemIndex,
        vector: &[f32],
        config: &HnswConfig,
    ) {
        if let Some(square) = self.link(graph, item, vector, config) {
            self.note(square);
        }
        if let Some(renewal) = &mut self.renewal {
            let Renewal { graph, updates, .. } = &mut **renewal;
            if let Some(square) = updates.link(graph, item, vector, config) {
                updates.note(square);
            }
        }
        self.renew(graph, config);
    }

    /// Takes note of a point that was added, by its squared length.
    fn note(&mut self, square: f32) {
        if square * (1.0 - ONE_LENGTH) > self.shortest {
            self.late += 1;
        }
        self.shortest = self.shortest.min(square);
    }

    /// Removes an item's point; whether it had one.
    pub(super) fn remove(
        &mut self,
        graph: &mut Graph,
        item: ItemIndex,
        config: &HnswConfig,
    ) -> bool {
        let known = self.unlink(graph, item);
        if let Some(renewal) = &mut self.renewal {
            let Renewal { graph, updates, .. } = &mut **renewal;
            updates.unlink(graph, item);
        }
        if known {
            self.renew(graph, config);
        }
        known
    }

    /// Gives an item a point; what comes back is the point's squared length, if it is linked.
    fn link(
        &mut self,
        graph: &mut Graph,
        item: ItemIndex,
        vector: &[f32],
        config: &HnswConfig,
    ) -> Option<f32> {
        let point = graph.push_point(item, config.seed);
        graph.vectors.set(point as usize, vector);
        graph.dominant.push(vector);
        graph.live += 1;
        self.points.insert(item, point);
        graph.measure();
        if let Some(linked) = self.places.find_or_add(graph, point) {
            graph.twins.add(linked, point, graph.items.len());
            return None;
        }
        let square = graph.square(point);
        graph.insert(
            point,
            graph.entry,
            config.ef_construction,
            &self.locks,
            &mut self.room,
        );
        let above = |entry: u32| graph.levels[point as usize] > graph.levels[entry as usize];
        if graph.entry == NONE || above(graph.entry) {
            graph.entry = point;
        }
        Some(square)
    }

    fn unlink(&mut self, graph: &mut Graph, item: ItemIndex) -> bool {
        let Some(point) = self.points.remove(&item) else {
            return false;
        };
        graph.items.make_own()[point as usize] = ItemIndex::PADDING;
        graph.live -= 1;
        true
    }

    /// Begins a new graph where it is time, or continues one.
    fn renew(&mut self, graph: &mut Graph, config: &HnswConfig) {
        if self.renewal.is_none() {
            let tombstones = graph.len() - graph.live;
            if tombstones.max(self.late) * RENEW_AT < graph.len() {
                return;
            }
            let mut empty = graph.emptied();
            let mut updates = Self::new(&mut empty);
            updates.shortest = graph.shortest();
            self.renewal = Some(Box::new(Renewal {
                graph: empty,
                updates,
                order: graph.longest_first(),
                moved: 0,
            }));
        }
        let Some(mut renewal) = self.renewal.take() else {
            return;
        };
        let mut vector = Query::default();
        let dim = graph.vectors.dim();
        let Renewal {
            graph: new,
            updates,
            order,
            moved,
        } = &mut *renewal;
        for &point in order.iter().skip(*moved).take(MOVED_PER_UPDATE) {
            *moved += 1;
            let item = graph.items[point as usize];
            // What was given another vector since the new graph was begun is in it already.
            if item != ItemIndex::PADDING && updates.point_of(item).is_none() {
                graph.vectors.load(point, &mut vector);
                updates.link(new, item, &vector.values()[..dim], config);
            }
        }
        if *moved < order.len() {
            self.renewal = Some(renewal);
        } else {
            *graph = renewal.graph;
            *self = renewal.updates;
        }
    }
}

impl Graph {
    /// The squared length of the shortest point that has an item.
    fn shortest(&self) -> f32 {
        let live = (0..self.len() as u32).filter(|&point| self.is_live(point));
        live.fold(f32::MAX, |least, point| least.min(self.square(point)))
    }

    /// The vectors of some thousands of points that have an item, `[points, dim]`.
    fn sample(&self) -> Array2<f32> {
        let dim = self.vectors.dim();
        let step = self.live.div_ceil(dominant::SAMPLE).max(1);
        let live = (0..self.len() as u32).filter(|&point| self.is_live(point));
        let mut vector = Query::default();
        let mut sample = Vec::new();
        for point in live.step_by(step) {
            self.vectors.load(point, &mut vector);
            sample.extend_from_slice(&vector.values()[..dim]);
        }
        let shape = (sample.len() / dim, dim);
        Array2::from_shape_vec(shape, sample).expect("whole vectors were taken")
    }

    /// A graph of the same form without points.
    fn emptied(&self) -> Self {
        Self {
            neighbors: self.neighbors,
            vectors: Vectors::new(&[], self.vectors.dim(), self.vectors.precision()),
            dominant: Dominant::find(self.sample().view()),
            squares: Vec::new(),
            twins: Twins::default(),
            items: Vec::new().into(),
            levels: Vec::new().into(),
            base: NeighborLists::default(),
            upper_start: Vec::new().into(),
            upper: NeighborLists::default(),
            entry: NONE,
            live: 0,
        }
    }

    /// Adds a point without vector or links.
    fn push_point(&mut self, item: ItemIndex, seed: u64) -> u32 {
        let point = self.len() as u32;
        let level = level(seed, point, self.neighbors);
        let start = (self.upper.len() / self.neighbors) as u32;
        self.items.make_own().push(item);
        self.levels.make_own().push(level);
        self.twins.push();
        self.upper_start.make_own().push(start);
        self.base.grow(1, 2 * self.neighbors);
        self.upper.grow(level.into(), self.neighbors);
        point
    }
}
