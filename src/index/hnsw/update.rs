//! Adding and removing points of a graph in use.
//!
//! A removed point is a tombstone at first: searches walk through it and never give it. When a
//! quarter of the points are tombstones, a sweep begins, which later updates carry on a few points
//! at a time: each point that links to tombstones chooses anew among its other links and those of
//! the tombstones (the consolidation of Singh et al., "FreshDiskANN: A Fast and Accurate
//! Graph-Based ANN Index for Streaming Similarity Search", 2021). Then nothing leads to them, and
//! their places are used again.

use super::beam::Near;
use super::graph::{Graph, NONE, Target};
use super::insert::{Insertion, ListLocks, level};
use crate::data::ItemIndex;

/// A sweep begins when one point in so many is a tombstone.
const SWEEP_AT: usize = 4;
/// How many points an update looks at while a sweep goes on.
const SWEPT_PER_UPDATE: usize = 256;

/// What is kept about a graph that is updated.
#[derive(Debug)]
pub(super) struct Updates {
    /// The point of each item.
    points: foldhash::HashMap<ItemIndex, u32>,
    /// Removed points, to which others may still link.
    tombstones: Vec<u32>,
    /// Points that nothing links to.
    free: Vec<u32>,
    sweep: Option<Sweep>,
    locks: ListLocks,
    room: Insertion,
    /// The square of the length that complements bring vectors to.
    longest: f32,
}

/// A walk over all points that takes tombstones out of their lists.
#[derive(Debug)]
struct Sweep {
    next: u32,
    /// The tombstones there were when it began.
    leaving: Vec<u32>,
}

impl Updates {
    pub(super) fn new(graph: &Graph) -> Self {
        let named = (0u32..).zip(graph.items.iter());
        let mut tombstones = Vec::new();
        let mut points = foldhash::HashMap::default();
        for (point, &item) in named {
            if item == 0 {
                tombstones.push(point);
            } else {
                points.insert(item, point);
            }
        }
        Self {
            longest: graph.longest(),
            points,
            tombstones,
            free: Vec::new(),
            sweep: None,
            locks: ListLocks::new(),
            room: Insertion::default(),
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
        seed: u64,
        ef_construction: usize,
    ) {
        self.sweep(graph);
        let point = self.free.pop().unwrap_or_else(|| graph.push_point(seed));
        let square = vector.iter().map(|value| value * value).sum::<f32>();
        let complement = (self.longest - square).max(0.0).sqrt();
        graph.set_vector(point, vector, complement);
        graph.insert(
            point,
            graph.entry,
            ef_construction,
            &self.locks,
            &mut self.room,
        );
        graph.items.make_own()[point as usize] = item;
        graph.live += 1;
        self.points.insert(item, point);
        let above = |entry: u32| graph.levels[point as usize] > graph.levels[entry as usize];
        if graph.entry == NONE || above(graph.entry) {
            graph.entry = point;
        }
    }

    /// Removes an item's point; whether it had one.
    pub(super) fn remove(&mut self, graph: &mut Graph, item: ItemIndex) -> bool {
        let Some(point) = self.points.remove(&item) else {
            return false;
        };
        graph.items.make_own()[point as usize] = 0;
        graph.live -= 1;
        self.tombstones.push(point);
        self.sweep(graph);
        true
    }

    /// Begins a sweep where it is time, or carries on with one.
    fn sweep(&mut self, graph: &mut Graph) {
        if self.sweep.is_none() && self.tombstones.len() * SWEEP_AT >= graph.len() {
            self.sweep = Some(Sweep {
                next: 0,
                leaving: std::mem::take(&mut self.tombstones),
            });
        }
        let Some(mut sweep) = self.sweep.take() else {
            return;
        };
        let end = graph.len().min(sweep.next as usize + SWEPT_PER_UPDATE) as u32;
        graph.make_links_own();
        for point in sweep.next..end {
            if graph.items[point as usize] != 0 {
                for layer in 0..=usize::from(graph.levels[point as usize]) {
                    graph.leave_tombstones(point, layer, &mut self.room);
                }
            }
        }
        if (end as usize) < graph.len() {
            sweep.next = end;
            self.sweep = Some(sweep);
            return;
        }
        for &point in &sweep.leaving {
            for layer in 0..=usize::from(graph.levels[point as usize]) {
                let (links, list, width) = graph.list(point, layer);
                links.set(list, width, std::iter::empty());
            }
        }
        self.free.append(&mut sweep.leaving);
        if graph.entry != NONE && graph.items[graph.entry as usize] == 0 {
            let live = (0..graph.len() as u32).filter(|&point| graph.items[point as usize] != 0);
            let highest = live.max_by_key(|&point| (graph.levels[point as usize], !point));
            graph.entry = highest.unwrap_or(NONE);
        }
    }
}

impl Graph {
    /// The square of the length that complements bring vectors to.
    fn longest(&self) -> f32 {
        let mut query = super::Query::default();
        let square = |point: u32| {
            self.vectors.load(point, &mut query);
            query
                .values()
                .iter()
                .map(|value| value * value)
                .sum::<f32>()
        };
        (0..self.len() as u32).map(square).fold(0.0, f32::max)
    }

    fn make_links_own(&mut self) {
        self.base.make_own();
        self.upper.make_own();
    }

    /// Adds a point without vector, item or links.
    fn push_point(&mut self, seed: u64) -> u32 {
        let point = self.len() as u32;
        let level = level(seed, point, self.neighbors);
        let start = (self.upper.len() / self.neighbors) as u32;
        self.items.make_own().push(0);
        self.levels.make_own().push(level);
        self.upper_start.make_own().push(start);
        self.base.grow(1, 2 * self.neighbors);
        self.upper.grow(level.into(), self.neighbors);
        point
    }

    fn set_vector(&mut self, point: u32, vector: &[f32], complement: f32) {
        self.make_links_own();
        self.vectors.set(point as usize, vector);
        let needed = self.complement.is_some() || complement > 0.0;
        if needed {
            let complements = self.complement.get_or_insert_default().make_own();
            complements.resize(self.items.len(), 0.0);
            complements[point as usize] = complement;
        }
    }

    /// Takes the tombstones out of a point's list, and lets it choose among its other links and
    /// those that the tombstones had.
    fn leave_tombstones(&self, point: u32, layer: usize, room: &mut Insertion) {
        let (links, list, width) = self.list(point, layer);
        let live = |point: &u32| self.items[*point as usize] != 0;
        room.listed.clear();
        links.for_each(list, width, |link| room.listed.push(link));
        if room.listed.iter().all(live) {
            return;
        }
        let mut listed = std::mem::take(&mut room.listed);
        let old = listed.len();
        for place in 0..old {
            if !live(&listed[place]) {
                let (links, list, width) = self.list(listed[place], layer);
                links.for_each(list, width, |link| listed.push(link));
            }
        }
        listed.retain(|other| live(other) && *other != point);
        listed.sort_unstable();
        listed.dedup();
        let mut query = std::mem::take(&mut room.other);
        self.vectors.load(point, &mut query);
        let target = Target {
            query: &query,
            complement: self.complement_of(point),
        };
        room.listed = listed;
        room.rank(self, &target);
        room.other = query;
        self.choose(width, room);
        links.set(list, width, room.chosen.iter().copied());
    }
}

impl Insertion {
    /// Leaves the listed points in `candidates`, best first.
    pub(super) fn rank(&mut self, graph: &Graph, target: &Target<'_>) {
        self.scores.resize(self.listed.len(), 0.0);
        graph.score(target, &self.listed, &mut self.scores);
        self.candidates.clear();
        let pairs = self.listed.iter().zip(&self.scores);
        self.candidates
            .extend(pairs.map(|(&point, &score)| Near { score, point }));
        self.candidates
            .sort_unstable_by(|a, b| b.score.total_cmp(&a.score).then(a.point.cmp(&b.point)));
    }
}
