//! Which points lie where.

use std::hash::BuildHasher;

use super::graph::Graph;

/// The linked points by their vectors.
#[derive(Debug, Default)]
pub(super) struct VectorPlaces {
    linked: foldhash::HashMap<u64, u32>,
    hasher: foldhash::fast::FixedState,
}

impl VectorPlaces {
    /// The linked points of a graph.
    pub(super) fn of(graph: &Graph) -> Self {
        let mut places = Self::default();
        let twins = graph.twins.flags(graph.len()).unwrap_or_default();
        for (point, _) in (0..).zip(&twins).filter(|&(_, &twin)| !twin) {
            places.find_or_add(graph, point);
        }
        places
    }

    /// The linked point with the same vector as another, which is to be linked where there is none.
    pub(super) fn find_or_add(&mut self, graph: &Graph, point: u32) -> Option<u32> {
        let key = self.hasher.hash_one(graph.vectors.bits(point));
        match self.linked.entry(key) {
            std::collections::hash_map::Entry::Vacant(entry) => {
                entry.insert(point);
                None
            }
            // Different vectors under one key are not worth a list: the second just has no twins.
            std::collections::hash_map::Entry::Occupied(entry) => {
                let linked = *entry.get();
                let same = graph.vectors.bits(linked) == graph.vectors.bits(point);
                (same && linked != point).then_some(linked)
            }
        }
    }
}
