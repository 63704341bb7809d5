//! What an index was found to find.

use serde::{Deserialize, Serialize};

/// An index as [built](super::IndexPlan::build) or [tuned](super::HnswIndex::tuned_for), and its
/// recall then.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct IndexReport {
    /// The number of vectors.
    pub vectors: usize,
    /// With how many candidates a graph is walked (ef); `None` where searches are exact.
    pub ef_search: Option<usize>,
    /// The share of the true best that was found for the queries; 1 for exact searches.
    pub recall: f64,
    /// Whether there is a graph that is not walked, because no walk finds enough in the time that
    /// an exact search takes.
    pub gave_up: bool,
}

impl IndexReport {
    /// That of searches which go through all vectors.
    pub(super) fn exact(vectors: usize, gave_up: bool) -> Self {
        Self {
            vectors,
            ef_search: None,
            recall: 1.0,
            gave_up,
        }
    }

    /// That of a graph.
    pub(super) fn graph(vectors: usize, ef_search: usize, recall: f64) -> Self {
        Self {
            ef_search: Some(ef_search),
            recall,
            ..Self::exact(vectors, false)
        }
    }
}

impl std::fmt::Display for IndexReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.ef_search {
            Some(ef) => write!(
                f,
                "a graph over {} vectors, ef {ef}, finds {:.4} of the true best",
                self.vectors, self.recall
            ),
            None if self.gave_up => write!(
                f,
                "exact search of {} vectors: a graph over them finds too little",
                self.vectors
            ),
            None => write!(f, "exact search of {} vectors", self.vectors),
        }
    }
}
