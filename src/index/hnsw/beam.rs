//! The best points that a search holds on to.

/// A point and its similarity to what is searched for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct NearPoint {
    pub(super) score: f32,
    pub(super) point: u32,
}

/// The best points seen so far, best first, with a cursor at the best one that has not been
/// expanded yet. One sorted list is both of the paper's queues: a few hundred entries are moved
/// faster than a heap is mended.
#[derive(Debug, Default)]
pub(super) struct Beam {
    capacity: usize,
    /// Points that have been expanded have [`EXPANDED`] set.
    entries: Vec<NearPoint>,
    cursor: usize,
}

/// Set in the number of a point that has been expanded; a graph has fewer points than this.
const EXPANDED: u32 = 1 << 31;

impl Beam {
    pub(super) fn begin(&mut self, capacity: usize) {
        self.capacity = capacity;
        self.entries.clear();
        self.cursor = 0;
    }

    /// What a score must be above to be taken.
    #[inline(always)]
    pub(super) fn threshold(&self) -> f32 {
        if self.entries.len() < self.capacity {
            f32::NEG_INFINITY
        } else {
            self.entries[self.capacity - 1].score
        }
    }

    /// Takes a point that has not been offered before, if it is good enough.
    #[inline(always)]
    pub(super) fn offer(&mut self, score: f32, point: u32) {
        if self.entries.len() >= self.capacity {
            if score <= self.entries[self.capacity - 1].score {
                return;
            }
            self.entries.pop();
        }
        let place = self.entries.partition_point(|entry| entry.score >= score);
        self.entries.insert(place, NearPoint { score, point });
        self.cursor = self.cursor.min(place);
    }

    /// The best point that has not been expanded, which counts as expanded from now on.
    #[inline(always)]
    pub(super) fn next(&mut self) -> Option<NearPoint> {
        let near = self.peek()?;
        self.entries[self.cursor].point |= EXPANDED;
        self.cursor += 1;
        Some(near)
    }

    /// The best point that has not been expanded.
    #[inline(always)]
    pub(super) fn peek(&mut self) -> Option<NearPoint> {
        loop {
            let near = *self.entries.get(self.cursor)?;
            if near.point & EXPANDED == 0 {
                return Some(near);
            }
            self.cursor += 1;
        }
    }

    /// All points, best first.
    pub(super) fn iter(&self) -> impl Iterator<Item = NearPoint> + '_ {
        self.entries.iter().map(|near| NearPoint {
            point: near.point & !EXPANDED,
            ..*near
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_are_kept_and_expanded_in_order() {
        let mut beam = Beam::default();
        beam.begin(3);
        assert_eq!(beam.next(), None);
        for (score, point) in [(0.5, 1), (0.9, 2), (0.1, 3)] {
            beam.offer(score, point);
        }
        assert_eq!(beam.threshold(), 0.1);
        assert_eq!(beam.next().unwrap().point, 2);
        beam.offer(0.05, 4);
        beam.offer(0.95, 5);
        beam.offer(0.3, 6);
        assert_eq!(beam.next().unwrap().point, 5);
        assert_eq!(beam.next().unwrap().point, 1);
        assert_eq!(beam.next(), None);
        let points: Vec<u32> = beam.iter().map(|near| near.point).collect();
        assert_eq!(points, [5, 2, 1]);
    }
}
