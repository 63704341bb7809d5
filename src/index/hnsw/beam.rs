//! The best points that a search holds on to.

/// A point and its similarity to what is searched for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Near {
    pub(super) score: f32,
    pub(super) point: u32,
}

/// The best points seen so far, best first, with a cursor at the best one that has not been
/// expanded yet. One sorted list is both of the paper's queues: a few hundred entries are moved
/// faster than a heap is mended.
#[derive(Debug, Default)]
pub(super) struct Beam {
    capacity: usize,
    entries: Vec<Near>,
    expanded: Vec<bool>,
    cursor: usize,
}

impl Beam {
    pub(super) fn begin(&mut self, capacity: usize) {
        self.capacity = capacity;
        self.entries.clear();
        self.expanded.clear();
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
            self.expanded.pop();
        }
        let place = self.entries.partition_point(|entry| entry.score >= score);
        self.entries.insert(place, Near { score, point });
        self.expanded.insert(place, false);
        self.cursor = self.cursor.min(place);
    }

    /// The best point that has not been expanded, which counts as expanded from now on.
    pub(super) fn next(&mut self) -> Option<Near> {
        let near = self.peek()?;
        self.expanded[self.cursor] = true;
        self.cursor += 1;
        Some(near)
    }

    /// The best point that has not been expanded.
    pub(super) fn peek(&mut self) -> Option<Near> {
        while *self.expanded.get(self.cursor)? {
            self.cursor += 1;
        }
        Some(self.entries[self.cursor])
    }

    /// All points, best first.
    pub(super) fn entries(&self) -> &[Near] {
        &self.entries
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
        let points: Vec<u32> = beam.entries().iter().map(|near| near.point).collect();
        assert_eq!(points, [5, 2, 1]);
    }
}
