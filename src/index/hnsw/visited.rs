//! Which points a search has seen.

use std::sync::Mutex;

/// A mark for each point that tells the search that saw it last, so that a new search begins
/// without clearing anything. A mark is a byte, so that all are near at hand; every 255 searches
/// they are cleared.
#[derive(Debug, Default)]
pub(super) struct Visited {
    marks: Vec<u8>,
    search: u8,
}

impl Visited {
    /// Begins a search over so many points.
    pub(super) fn begin(&mut self, points: usize) {
        if self.marks.len() < points {
            self.marks.resize(points, 0);
        }
        self.search = self.search.wrapping_add(1);
        if self.search == 0 {
            self.marks.fill(0);
            self.search = 1;
        }
    }

    /// Marks a point; whether it is seen for the first time.
    #[inline(always)]
    pub(super) fn insert(&mut self, point: u32) -> bool {
        let mark = &mut self.marks[point as usize];
        let new = *mark != self.search;
        *mark = self.search;
        new
    }
}

/// Marks that searches borrow, so that none is made anew for each.
#[derive(Debug, Default)]
pub(super) struct Pool<T>(Mutex<Vec<T>>);

impl<T: Default> Pool<T> {
    /// Calls `with` with one of the pool, or with a new one.
    pub(super) fn with<R>(&self, with: impl FnOnce(&mut T) -> R) -> R {
        let mut lent = self.lock().pop().unwrap_or_default();
        let result = with(&mut lent);
        self.lock().push(lent);
        result
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<T>> {
        // A panic elsewhere leaves the list itself whole.
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_search_has_seen_nothing_even_when_the_count_wraps() {
        let mut visited = Visited::default();
        visited.begin(3);
        assert!(visited.insert(1));
        assert!(!visited.insert(1));
        visited.search = u8::MAX - 1;
        visited.begin(3);
        assert!(visited.insert(1) && visited.insert(2));
        visited.begin(4);
        assert_eq!(visited.search, 1);
        assert!((0..4).all(|point| visited.insert(point)));
    }
}
