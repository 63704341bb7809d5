//! The graph: its points, their links, and the walk along them.

use std::sync::atomic::{AtomicU32, Ordering};

use super::beam::{Beam, NearPoint};
use super::dominant::Dominant;
use super::twins::{NONE, Twins};
use super::visited::Visited;
use crate::buffer::Buffer;
use crate::index::vectors::{Query, Vectors};
use crate::item::ItemIndex;
use crate::kernels::scoring::prefetch;

/// Lists of links, all of one width, side by side; [`NONE`] fills up the short ones.
///
/// Links are atomic so that threads can walk the graph while others add to it. A walker may see a
/// list half old and half new; every link in it leads to a point all the same.
#[derive(Debug)]
pub(super) enum NeighborLists {
    Own(Vec<AtomicU32>),
    Mapped(Buffer<u32>),
}

impl Default for NeighborLists {
    fn default() -> Self {
        Self::Own(Vec::new())
    }
}

impl NeighborLists {
    /// So many empty lists.
    pub(super) fn empty(lists: usize, width: usize) -> Self {
        let mut links = Self::default();
        links.grow(lists, width);
        links
    }

    /// Adds so many empty lists.
    pub(super) fn grow(&mut self, lists: usize, width: usize) {
        let links = self.make_own();
        let len = links.len() + lists * width;
        links.resize_with(len, || AtomicU32::new(NONE));
    }

    /// All links, for the writer of files.
    pub(super) fn to_vec(&self) -> Vec<u32> {
        match self {
            Self::Own(links) => links
                .iter()
                .map(|link| link.load(Ordering::Relaxed))
                .collect(),
            Self::Mapped(links) => links.to_vec(),
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Own(links) => links.len(),
            Self::Mapped(links) => links.len(),
        }
    }

    /// The links, copied into memory first where they are in a file.
    pub(super) fn make_own(&mut self) -> &mut Vec<AtomicU32> {
        if let Self::Mapped(links) = self {
            *self = Self::Own(links.iter().copied().map(AtomicU32::new).collect());
        }
        match self {
            Self::Own(links) => links,
            Self::Mapped(_) => unreachable!("it was made owned above"),
        }
    }

    /// Calls `each` with the links of a list.
    #[inline(always)]
    pub(super) fn for_each(&self, list: usize, width: usize, mut each: impl FnMut(u32)) {
        let place = list * width..(list + 1) * width;
        match self {
            Self::Own(links) => {
                for link in &links[place] {
                    match link.load(Ordering::Relaxed) {
                        NONE => break,
                        link => each(link),
                    }
                }
            }
            Self::Mapped(links) => links[place]
                .iter()
                .copied()
                .take_while(|&link| link != NONE)
                .for_each(each),
        }
    }

    /// Replaces a list.
    pub(super) fn set(&self, list: usize, width: usize, new: impl Iterator<Item = u32>) {
        let Self::Own(links) = self else {
            unreachable!("links are made owned before they are changed");
        };
        let places = &links[list * width..(list + 1) * width];
        for (place, link) in places.iter().zip(new.chain(std::iter::repeat(NONE))) {
            place.store(link, Ordering::Relaxed);
        }
    }

    #[inline(always)]
    fn prefetch(&self, list: usize, width: usize) {
        let place = list * width..(list + 1) * width;
        match self {
            Self::Own(links) => prefetch(&links[place]),
            Self::Mapped(links) => prefetch(&links[place]),
        }
    }
}

/// A hierarchical navigable small world graph.
///
/// Points lie on layer 0, and a few of them, ever fewer, on the layers above, on which a search
/// comes near in long strides. Every array is flat and indexed by point.
#[derive(Debug)]
pub(super) struct Graph {
    /// The paper's M: how many links a point has on a layer above 0; on layer 0 it is twice that.
    pub(super) neighbors: usize,
    pub(super) vectors: Vectors,
    /// What points are not compared by.
    pub(super) dominant: Dominant,
    /// The squared length of each point as points are compared; of no point in a graph out of a
    /// file, until it is updated.
    pub(super) squares: Vec<f32>,
    /// Points that are not linked, since others with the same vectors are.
    pub(super) twins: Twins,
    /// The item of each point, 0 where it was removed.
    pub(super) items: Buffer<ItemIndex>,
    /// The highest layer of each point.
    pub(super) levels: Buffer<u8>,
    /// Links on layer 0.
    pub(super) base: NeighborLists,
    /// The first of each point's lists in `upper`, one for each layer from 1 on.
    pub(super) upper_start: Buffer<u32>,
    pub(super) upper: NeighborLists,
    /// Where a search begins: a point on the highest layer; [`NONE`] in a graph without points.
    pub(super) entry: u32,
    /// How many points have an item.
    pub(super) live: usize,
}

/// What a walk needs room for, kept from one to the next.
#[derive(Debug, Default)]
pub(super) struct Walk {
    pub(super) beam: Beam,
    visited: Visited,
    ahead: Vec<u32>,
    scores: Vec<f32>,
}

/// What a walk looks for: the largest inner products with a query, or with a point as points are
/// compared among themselves.
pub(super) struct Target<'a> {
    pub(super) query: &'a Query,
    /// The point's products with the dominant directions; none for a query.
    pub(super) dominant: &'a [f32],
}

impl Graph {
    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether a point has an item, and is no tombstone.
    pub(super) fn is_live(&self, point: u32) -> bool {
        self.items[point as usize] != ItemIndex::PADDING
    }

    /// Whether a linked point or one of its twins has an item.
    pub(super) fn holds_items(&self, point: u32) -> bool {
        self.twins.with(point).any(|point| self.is_live(point))
    }

    pub(super) fn top(&self) -> usize {
        match self.entry {
            NONE => 0,
            entry => self.levels[entry as usize].into(),
        }
    }

    /// The list of a point on a layer: which lists, the list's place, and its width.
    #[inline(always)]
    pub(super) fn list(&self, point: u32, layer: usize) -> (&NeighborLists, usize, usize) {
        if layer == 0 {
            (&self.base, point as usize, 2 * self.neighbors)
        } else {
            let first = self.upper_start[point as usize] as usize;
            (&self.upper, first + layer - 1, self.neighbors)
        }
    }

    /// The similarity of some points with the target.
    #[inline(always)]
    pub(super) fn score(&self, target: &Target<'_>, points: &[u32], scores: &mut [f32]) {
        self.vectors.score(target.query, points, scores);
        if !target.dominant.is_empty() {
            for (score, &point) in scores.iter_mut().zip(points) {
                let products = target.dominant.iter().zip(self.dominant.of(point));
                *score -= products.map(|(a, b)| a * b).sum::<f32>();
            }
        }
    }

    /// The point whose vector is in `query` as a target.
    pub(super) fn target<'a>(&'a self, point: u32, query: &'a Query) -> Target<'a> {
        Target {
            query,
            dominant: self.dominant.of(point),
        }
    }

    /// Works out the squared lengths of points whose vectors are in place and of which it is not
    /// known.
    pub(super) fn measure(&mut self) {
        let mut vector = Query::default();
        for point in self.squares.len() as u32..self.vectors.len() as u32 {
            self.vectors.load(point, &mut vector);
            let square = self.score_one(&self.target(point, &vector), point);
            self.squares.push(square);
        }
    }

    /// The squared length of a point, which was [measured](Self::measure).
    #[inline(always)]
    pub(super) fn square(&self, point: u32) -> f32 {
        self.squares[point as usize]
    }

    fn score_one(&self, target: &Target<'_>, point: u32) -> f32 {
        let mut score = [0.0];
        self.score(target, &[point], &mut score);
        score[0]
    }

    /// The point that strides from `near` lead to on the layers above `layer`.
    pub(super) fn descend(
        &self,
        target: &Target<'_>,
        entry: u32,
        layers: std::ops::Range<usize>,
        walk: &mut Walk,
    ) -> NearPoint {
        let mut near = NearPoint {
            point: entry,
            score: self.score_one(target, entry),
        };
        for layer in layers.rev() {
            loop {
                let (links, list, width) = self.list(near.point, layer);
                walk.ahead.clear();
                links.for_each(list, width, |link| walk.ahead.push(link));
                walk.scores.resize(walk.ahead.len(), 0.0);
                self.score(target, &walk.ahead, &mut walk.scores);
                let before = near.point;
                for (&point, &score) in walk.ahead.iter().zip(&walk.scores) {
                    if score > near.score {
                        near = NearPoint { score, point };
                    }
                }
                if near.point == before {
                    break;
                }
            }
        }
        near
    }

    /// Walks a layer from `near` on and leaves the best `ef` points in `walk.beam`.
    pub(super) fn search_layer(
        &self,
        target: &Target<'_>,
        near: NearPoint,
        layer: usize,
        ef: usize,
        walk: &mut Walk,
    ) {
        self.begin(near, ef, walk);
        while let Some(near) = walk.beam.next() {
            // Most often the next point to expand is one that is known already, and its links are
            // there when this one is done.
            self.prefetch_next(layer, walk);
            self.look_around(target, near.point, layer, walk);
            for (&point, &score) in walk.ahead.iter().zip(&walk.scores) {
                walk.beam.offer(score, point);
            }
            self.prefetch_next(layer, walk);
        }
    }

    /// Walks layer 0 from `near` on until the best `ef` points among those that `wanted` passes
    /// are found, and leaves these in `found`. Other points are walked through all the same.
    pub(super) fn search_wanted(
        &self,
        target: &Target<'_>,
        near: NearPoint,
        ef: usize,
        wanted: impl Fn(u32) -> bool,
        found: &mut Beam,
        walk: &mut Walk,
    ) {
        found.begin(ef);
        self.begin(near, usize::MAX, walk);
        if wanted(near.point) {
            found.offer(near.score, near.point);
        }
        while let Some(near) = walk.beam.next() {
            if near.score <= found.threshold() {
                break;
            }
            self.look_around(target, near.point, 0, walk);
            for (&point, &score) in walk.ahead.iter().zip(&walk.scores) {
                if score > found.threshold() {
                    walk.beam.offer(score, point);
                    if wanted(point) {
                        found.offer(score, point);
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn prefetch_next(&self, layer: usize, walk: &mut Walk) {
        if let Some(next) = walk.beam.peek() {
            let (links, list, width) = self.list(next.point, layer);
            links.prefetch(list, width);
        }
    }

    fn begin(&self, near: NearPoint, ef: usize, walk: &mut Walk) {
        walk.visited.begin(self.len());
        walk.visited.insert(near.point);
        walk.beam.begin(ef);
        walk.beam.offer(near.score, near.point);
    }

    /// Scores the points that a point links to and that the walk has not seen.
    #[inline(always)]
    fn look_around(&self, target: &Target<'_>, point: u32, layer: usize, walk: &mut Walk) {
        let (links, list, width) = self.list(point, layer);
        walk.ahead.clear();
        links.for_each(list, width, |link| {
            if walk.visited.insert(link) {
                self.vectors.prefetch(link);
                walk.ahead.push(link);
            }
        });
        walk.scores.resize(walk.ahead.len(), 0.0);
        self.score(target, &walk.ahead, &mut walk.scores);
    }
}
