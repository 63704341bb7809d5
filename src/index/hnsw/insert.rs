//! Linking new points into the graph.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::beam::NearPoint;
use super::graph::{Graph, Target, Walk};
use super::twins::NONE;
use crate::index::vectors::Query;
use crate::kernels::random;

/// Locks for the lists of links; a point's is the one at its remainder.
#[derive(Debug)]
pub(super) struct ListLocks(Vec<Mutex<()>>);

impl ListLocks {
    const COUNT: usize = 1 << 14;

    pub(super) fn new() -> Self {
        Self((0..Self::COUNT).map(|_| Mutex::new(())).collect())
    }

    fn lock(&self, point: u32) -> MutexGuard<'_, ()> {
        let lock = &self.0[point as usize % Self::COUNT];
        lock.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The highest layer of a point: layer l holds a share of about `neighbors^-l` of them. It depends
/// on the seed and the point alone, so threads don't decide about it.
pub(super) fn level(seed: u64, point: u32, neighbors: usize) -> u8 {
    let bits = random::bits(seed, u64::from(point) + 1);
    let bits = bits ^ (bits >> 31);
    let uniform = ((bits >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
    (-uniform.ln() / (neighbors as f64).ln()).min(15.0) as u8
}

/// What linking a point needs room for, kept from one to the next.
#[derive(Debug, Default)]
pub(super) struct Insertion {
    walk: Walk,
    query: Query,
    other: Query,
    candidates: Vec<NearPoint>,
    chosen: Vec<u32>,
    passed_over: Vec<u32>,
    listed: Vec<u32>,
    scores: Vec<f32>,
}

impl Graph {
    /// Links a point, whose vector is in place and which has no links yet, into all its layers.
    /// `entry` is where the graph is entered.
    pub(super) fn insert(
        &self,
        point: u32,
        entry: u32,
        ef_construction: usize,
        locks: &ListLocks,
        room: &mut Insertion,
    ) {
        if entry == NONE {
            return;
        }
        let mut query = std::mem::take(&mut room.query);
        self.vectors.load(point, &mut query);
        let target = self.target(point, &query);
        let square = self.square(point);
        let (level, top) = (
            usize::from(self.levels[point as usize]),
            usize::from(self.levels[entry as usize]),
        );
        let mut near = self.descend(&target, entry, level + 1..top + 1, &mut room.walk);
        for layer in (0..=level.min(top)).rev() {
            self.search_layer(&target, near, layer, ef_construction, &mut room.walk);
            // Not from the point itself, which may have no links on the next layer.
            let nearest = room.walk.beam.iter().find(|near| near.point != point);
            near = nearest.unwrap_or(near);
            room.candidates.clear();
            let others = room.walk.beam.iter();
            room.candidates
                .extend(others.filter(|near| near.point != point));
            self.choose(square, self.neighbors, room);
            let chosen = std::mem::take(&mut room.chosen);
            self.connect(point, layer, &chosen, locks, room);
            for &neighbor in &chosen {
                self.connect(neighbor, layer, &[point], locks, room);
            }
            room.chosen = chosen;
        }
        room.query = query;
    }

    /// Leaves in `room.chosen` at most `most` of `room.candidates`, which are best first, for a
    /// point with a squared length of `square`.
    ///
    /// Those come first that no better one stands before: a candidate is passed over when one that
    /// was chosen is nearer to it than the point is (the HNSW paper's algorithm 4), so that links
    /// lead in different directions. Inner products would have the longest stand before all others,
    /// and distances take no notice of what is searched for; what lies half-way, `x·y - |y|² / 4`,
    /// was measured to find most. Equally near ones are taken, or a point would link to nothing but
    /// its double. The best that were passed over fill what room there is.
    fn choose(&self, square: f32, most: usize, room: &mut Insertion) {
        let Insertion {
            candidates,
            chosen,
            passed_over,
            other,
            scores,
            ..
        } = room;
        chosen.clear();
        passed_over.clear();
        for candidate in candidates.iter() {
            if chosen.len() == most {
                break;
            }
            self.vectors.load(candidate.point, other);
            let target = self.target(candidate.point, other);
            let near = candidate.score - square / 4.0;
            // A few at a time: most candidates are passed over for one of the first.
            let apart = chosen.chunks(4).all(|few| {
                let scores = {
                    scores.resize(few.len(), 0.0);
                    &mut scores[..]
                };
                self.score(&target, few, scores);
                let mut pairs = few.iter().zip(scores.iter());
                pairs.all(|(&other, score)| score - self.square(other) / 4.0 <= near)
            });
            if apart {
                chosen.push(candidate.point);
            } else {
                passed_over.push(candidate.point);
            }
        }
        let space = most - chosen.len();
        chosen.extend(passed_over.iter().take(space));
    }

    /// Whether the last of `room.candidates` has none of the others before it, as
    /// [`choose`](Self::choose) sees it. It is a case of its own because most links that a full
    /// list is offered are such: worse than all, and behind one of them.
    fn stands_apart(&self, square: f32, room: &mut Insertion) -> bool {
        let Insertion {
            candidates,
            other,
            scores,
            ..
        } = room;
        let Some((last, others)) = candidates.split_last() else {
            return true;
        };
        self.vectors.load(last.point, other);
        let target = self.target(last.point, other);
        let near = last.score - square / 4.0;
        others.chunks(4).all(|few| {
            let mut points = [0; 4];
            for (point, near) in points.iter_mut().zip(few) {
                *point = near.point;
            }
            scores.resize(few.len(), 0.0);
            self.score(&target, &points[..few.len()], scores);
            let mut pairs = few.iter().zip(scores.iter());
            pairs.all(|(other, score)| score - self.square(other.point) / 4.0 <= near)
        })
    }

    /// Adds links to a point's list. One that has no room for them keeps a choice of all.
    fn connect(
        &self,
        point: u32,
        layer: usize,
        new: &[u32],
        locks: &ListLocks,
        room: &mut Insertion,
    ) {
        let (links, list, width) = self.list(point, layer);
        let _lock = locks.lock(point);
        room.listed.clear();
        links.for_each(list, width, |link| room.listed.push(link));
        let old = room.listed.len();
        for &link in new {
            if !room.listed[..old].contains(&link) {
                room.listed.push(link);
            }
        }
        if room.listed.len() <= width {
            links.set(list, width, room.listed.iter().copied());
            return;
        }
        let mut query = std::mem::take(&mut room.other);
        self.vectors.load(point, &mut query);
        let target = self.target(point, &query);
        let square = self.square(point);
        room.rank(self, &target);
        room.other = query;
        // Tombstones keep no live point out: the vector that replaces another is often its
        // nearest. Where there is space they stay, since searches find their way through them.
        room.candidates.retain(|near| self.holds_items(near.point));
        if let (&[new], Some(last)) = (new, room.candidates.last())
            && last.point == new
            && room.candidates.len() > width
            && !self.stands_apart(square, room)
        {
            return;
        }
        self.choose(square, width, room);
        let space = width - room.chosen.len();
        let dead = room.listed.iter().filter(|&&link| !self.holds_items(link));
        room.chosen.extend(dead.take(space));
        links.set(list, width, room.chosen.iter().copied());
    }
}

impl Insertion {
    /// Leaves the listed points in `candidates`, best first.
    fn rank(&mut self, graph: &Graph, target: &Target<'_>) {
        self.scores.resize(self.listed.len(), 0.0);
        graph.score(target, &self.listed, &mut self.scores);
        self.candidates.clear();
        let pairs = self.listed.iter().zip(&self.scores);
        self.candidates
            .extend(pairs.map(|(&point, &score)| NearPoint { score, point }));
        self.candidates
            .sort_unstable_by(|a, b| b.score.total_cmp(&a.score).then(a.point.cmp(&b.point)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_thin_out_as_the_paper_has_it() {
        let levels: Vec<u8> = (0..100_000).map(|point| level(7, point, 16)).collect();
        let above = |layer| levels.iter().filter(|&&level| level >= layer).count() as f64;
        for (layer, share) in [(1, 1.0 / 16.0), (2, 1.0 / 256.0)] {
            assert!(
                (above(layer) / 1e5 / share - 1.0).abs() < 0.15,
                "layer {layer}"
            );
        }
        assert_ne!(
            levels,
            (0..100_000)
                .map(|point| level(8, point, 16))
                .collect::<Vec<u8>>()
        );
    }
}
