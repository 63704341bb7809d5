//! Points that lie at one place.

use crate::buffer::Buffer;

/// Where a list of points has no more.
pub(super) const NONE: u32 = u32::MAX;

/// Equal vectors, of which the graph links the first alone.
///
/// Each would otherwise have all others for its neighbors, and hundreds of them, as items that
/// nobody took have, would be a part of the graph that hardly anything else leads to.
#[derive(Debug, Default)]
pub(super) struct Twins {
    /// The next point with the same vector, [`NONE`] where there is no more; empty where no two
    /// vectors are equal.
    next: Buffer<u32>,
}

impl Twins {
    pub(super) fn from_parts(next: Buffer<u32>) -> Self {
        Self { next }
    }

    /// The next twin of each point, for the writer of files.
    pub(super) fn parts(&self) -> &[u32] {
        &self.next
    }

    /// A point that is linked, and its twins.
    #[inline(always)]
    pub(super) fn with(&self, point: u32) -> impl Iterator<Item = u32> + '_ {
        std::iter::successors(Some(point), |&point| {
            let next = self.next.get(point as usize).copied();
            next.filter(|&next| next != NONE)
        })
    }

    /// Makes the latest of so many points a twin of a linked one.
    pub(super) fn add(&mut self, linked: u32, twin: u32, points: usize) {
        let next = self.next.make_own();
        next.resize(points, NONE);
        next[twin as usize] = next[linked as usize];
        next[linked as usize] = twin;
    }

    /// Takes note of another point.
    pub(super) fn push(&mut self) {
        if !self.next.is_empty() {
            self.next.make_own().push(NONE);
        }
    }

    /// Which of so many points are twins of a linked one; `None` where the numbers are no chains.
    pub(super) fn flags(&self, points: usize) -> Option<Vec<bool>> {
        let mut twins = vec![false; points];
        if self.next.is_empty() {
            return Some(twins);
        }
        if self.next.len() != points {
            return None;
        }
        for &next in self.next.iter().filter(|&&next| next != NONE) {
            let twin = twins.get_mut(next as usize)?;
            // A point follows one other at most.
            if std::mem::replace(twin, true) {
                return None;
            }
        }
        // What follows itself, over however many others, comes after no linked point.
        let linked = (0..points as u32).filter(|&point| twins.get(point as usize) == Some(&false));
        let reached: usize = linked.map(|point| self.with(point).count()).sum();
        (reached == points).then_some(twins)
    }
}
