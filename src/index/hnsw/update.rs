//! Adding and removing points of a graph in use.
//!
//! A removed point is a tombstone: searches walk through it and never give it. When a quarter of
//! the points are tombstones, a new graph is begun, which takes in a few points of the old one
//! with each later update and takes the old one's place when it has them all. To mend the old one
//! instead (Singh et al., "FreshDiskANN", 2021) takes as long and was measured to lose recall:
//! what holds a graph's parts together are links from when it was small.

use super::graph::{Graph, Links, NONE};
use super::insert::{Insertion, ListLocks, level};
use super::{HnswConfig, Query, Vectors};
use crate::data::ItemIndex;

/// A new graph is begun when one point in so many is a tombstone.
const RENEW_AT: usize = 4;
/// How many points an update moves while a new graph is made.
const MOVED_PER_UPDATE: usize = 32;

/// What is kept about a graph that is updated.
#[derive(Debug)]
pub(super) struct Updates {
    /// The point of each item.
    points: foldhash::HashMap<ItemIndex, u32>,
    /// The square of the length that complements bring vectors to.
    longest: f32,
    locks: ListLocks,
    room: Insertion,
    renewal: Option<Box<Renewal>>,
}

/// A graph that is to take another's place.
#[derive(Debug)]
struct Renewal {
    graph: Graph,
    updates: Updates,
    /// The next point of the old graph.
    next: u32,
}

impl Updates {
    pub(super) fn new(graph: &Graph) -> Self {
        let named = graph.items.iter().copied().zip(0..);
        Self {
            points: named.filter(|&(item, _)| item != 0).collect(),
            longest: graph.longest(),
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
        self.link(graph, item, vector, config);
        if let Some(renewal) = &mut self.renewal {
            let Renewal { graph, updates, .. } = &mut **renewal;
            updates.link(graph, item, vector, config);
        }
        self.renew(graph, config);
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

    fn link(&mut self, graph: &mut Graph, item: ItemIndex, vector: &[f32], config: &HnswConfig) {
        let point = graph.push_point(item, config.seed);
        let square = vector.iter().map(|value| value * value).sum::<f32>();
        let rest = self.longest - square;
        // What rounding leaves is no difference.
        let complement = if rest <= 1e-5 * self.longest {
            0.0
        } else {
            rest.sqrt()
        };
        graph.set_vector(point, vector, complement);
        graph.insert(
            point,
            graph.entry,
            config.ef_construction,
            &self.locks,
            &mut self.room,
        );
        graph.live += 1;
        self.points.insert(item, point);
        let above = |entry: u32| graph.levels[point as usize] > graph.levels[entry as usize];
        if graph.entry == NONE || above(graph.entry) {
            graph.entry = point;
        }
    }

    fn unlink(&mut self, graph: &mut Graph, item: ItemIndex) -> bool {
        let Some(point) = self.points.remove(&item) else {
            return false;
        };
        graph.items.make_own()[point as usize] = 0;
        graph.live -= 1;
        true
    }

    /// Begins a new graph where it is time, or goes on with one.
    fn renew(&mut self, graph: &mut Graph, config: &HnswConfig) {
        let tombstones = graph.len() - graph.live;
        if self.renewal.is_none() {
            if tombstones * RENEW_AT < graph.len() {
                return;
            }
            let empty = graph.emptied();
            let mut updates = Self::new(&empty);
            updates.longest = graph.longest();
            self.renewal = Some(Box::new(Renewal {
                graph: empty,
                updates,
                next: 0,
            }));
        }
        let Some(mut renewal) = self.renewal.take() else {
            return;
        };
        let mut vector = Query::default();
        let dim = graph.vectors.dim();
        let end = graph.len().min(renewal.next as usize + MOVED_PER_UPDATE) as u32;
        for point in renewal.next..end {
            let item = graph.items[point as usize];
            // What was added since the new graph was begun is in it already.
            if item != 0 && renewal.updates.point_of(item).is_none() {
                graph.vectors.load(point, &mut vector);
                let Renewal { graph, updates, .. } = &mut *renewal;
                updates.link(graph, item, &vector.values()[..dim], config);
            }
        }
        renewal.next = end;
        if (end as usize) < graph.len() {
            self.renewal = Some(renewal);
        } else {
            *graph = renewal.graph;
            *self = renewal.updates;
        }
    }
}

impl Graph {
    /// The square of the longest vector's length.
    fn longest(&self) -> f32 {
        let mut vector = Query::default();
        let square = |point: u32| {
            self.vectors.load(point, &mut vector);
            vector
                .values()
                .iter()
                .map(|value| value * value)
                .sum::<f32>()
        };
        let live = (0..self.len() as u32).filter(|&point| self.is_live(point));
        live.map(square).fold(0.0, f32::max)
    }

    /// A graph of the same form without points.
    fn emptied(&self) -> Self {
        Self {
            neighbors: self.neighbors,
            vectors: Vectors::new(&[], self.vectors.dim(), self.vectors.precision()),
            complement: None,
            items: Vec::new().into(),
            levels: Vec::new().into(),
            base: Links::default(),
            upper_start: Vec::new().into(),
            upper: Links::default(),
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
        self.upper_start.make_own().push(start);
        self.base.grow(1, 2 * self.neighbors);
        self.upper.grow(level.into(), self.neighbors);
        point
    }

    fn set_vector(&mut self, point: u32, vector: &[f32], complement: f32) {
        self.vectors.set(point as usize, vector);
        if self.complement.is_some() || complement > 0.0 {
            let complements = self.complement.get_or_insert_default().make_own();
            complements.resize(self.items.len(), 0.0);
            complements[point as usize] = complement;
        }
    }
}
