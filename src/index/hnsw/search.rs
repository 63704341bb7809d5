//! One query through the graph, or through all that pass.

use super::beam::Beam;
use super::graph::{Graph, Target, Walk};
use super::twins::NONE;
use super::{GraphState, HnswIndex};
use crate::index::vectors::Query;
use crate::index::{Filter, ItemSet, Precision};
use crate::item::ItemIndex;
use crate::kernels::top_k;

/// What a search needs room for.
#[derive(Debug, Default)]
pub(super) struct SearchRoom {
    query: Query,
    walk: Walk,
    found: Beam,
    /// The best points, then the best items.
    pub(super) scored: Vec<top_k::Scored>,
    points: Vec<u32>,
    scores: Vec<f32>,
}

impl HnswIndex {
    /// The k best for one query, best first, in `search.scored`.
    pub(super) fn search_one(
        &self,
        state: &GraphState,
        number: usize,
        query: &[f32],
        k: usize,
        filter: Option<Filter<'_>>,
        search: &mut SearchRoom,
    ) {
        let graph = &state.graph;
        graph.vectors.prepare(query, &mut search.query);
        let target = Target {
            query: &search.query,
            dominant: &[],
        };
        let wanted = |point: u32| {
            let item = graph.items[point as usize];
            item != ItemIndex::PADDING && filter.is_none_or(|filter| filter.passes(number, item))
        };
        search.scored.clear();
        let walk = &mut search.walk;
        let (ef, keep, scan) = self.effort(graph, number, k, filter);
        if graph.entry != NONE && !self.exact && !scan {
            let layers = 1..graph.top() + 1;
            let near = graph.descend(&target, graph.entry, layers, walk);
            let found = if filter.is_none() && graph.live == graph.len() {
                graph.search_layer(&target, near, 0, ef, walk);
                &walk.beam
            } else {
                let any = |point| graph.twins.with(point).any(wanted);
                graph.search_wanted(&target, near, ef, any, &mut search.found, walk);
                &search.found
            };
            for near in found.iter() {
                if search.scored.len() >= keep {
                    break;
                }
                let points = graph.twins.with(near.point).filter(|&point| wanted(point));
                let scored = points.map(|point| (point, near.score));
                search.scored.extend(scored);
            }
        }
        if search.scored.len() < k {
            let query = &search.query;
            let score = |points: &[u32], scores: &mut [f32]| {
                graph.vectors.score(query, points, scores);
            };
            search.scored = match filter.as_ref().and_then(Filter::set) {
                Some(items) => {
                    let points = items.iter().filter_map(|item| state.point_of(item));
                    top_k::scan(keep, points, score)
                }
                _ => {
                    let points = (0..graph.len() as u32).filter(|&point| wanted(point));
                    top_k::scan(keep, points, score)
                }
            };
        }
        search.finish(graph, k);
    }

    /// How many candidates a walk holds on to, how many of the best are scored again, and whether
    /// going through all points is faster.
    fn effort(
        &self,
        graph: &Graph,
        number: usize,
        k: usize,
        filter: Option<Filter<'_>>,
    ) -> (usize, usize, bool) {
        let share = filter.map_or(1.0, |filter| share_passing(graph, number, filter));
        // Those that pass lie further apart than all do, and more of them must be held on to.
        let ef = (self.config.ef_search as f64 / share.max(1e-4).sqrt()) as usize;
        let ef = ef.min(graph.len()).max(k);
        let keep = match graph.vectors.precision() {
            // Those that bytes take for the best are scored again.
            Precision::Int8 => ef,
            Precision::F32 | Precision::F16 => k,
        };
        let scan = filter.is_some_and(|filter| scan_is_faster(graph.len(), ef, share, filter));
        (ef, keep, scan)
    }
}

impl SearchRoom {
    /// Makes the k best items of the best points, by the vectors' full precision.
    fn finish(&mut self, graph: &Graph, k: usize) {
        let vectors = &graph.vectors;
        if vectors.precision() == Precision::Int8 {
            self.points.clear();
            self.points
                .extend(self.scored.iter().map(|&(point, _)| point));
            self.scores.resize(self.points.len(), 0.0);
            vectors.rescore(&self.query, &self.points, &mut self.scores);
            for (scored, &score) in self.scored.iter_mut().zip(&self.scores) {
                scored.1 = score;
            }
        }
        for scored in &mut self.scored {
            scored.0 = graph.items[scored.0 as usize].get();
        }
        self.scored.sort_unstable_by(top_k::best_first);
        self.scored.truncate(k);
    }
}

/// About which share of the points a filter passes for a query.
fn share_passing(graph: &Graph, number: usize, filter: Filter<'_>) -> f64 {
    const SAMPLE: usize = 256;
    match filter {
        Filter::Allowed(_) | Filter::Matching(_) => {
            let passing = filter.set().map_or(0, ItemSet::len);
            passing as f64 / graph.live.max(1) as f64
        }
        Filter::Predicate(passes) => {
            let step = graph.len().div_ceil(SAMPLE).max(1);
            let sample = graph.items.iter().step_by(step);
            let passing = sample
                .clone()
                .filter(|&&item| item != ItemIndex::PADDING && passes(number, item));
            passing.count() as f64 / sample.len().max(1) as f64
        }
    }
}

/// The most candidates with which a walk may take less time than going through all points.
pub(super) fn largest_sensible_ef(points: usize) -> usize {
    (points as f64 * SCORE / EXPAND) as usize
}

// Nanoseconds, measured by `cargo bench -p seqrec-bench --bench ann -- DIR --pass SHARE`. Their
// proportions matter, and these differ little from machine to machine.
const SCORE: f64 = 10.0;
const EXPAND: f64 = 800.0;

/// Whether going through the points of which a share passes takes less time than the walk, which
/// must see `1 / share` points for each that it keeps.
fn scan_is_faster(points: usize, ef: usize, share: f64, filter: Filter<'_>) -> bool {
    let check = match filter {
        Filter::Predicate(_) => 2.0,
        Filter::Allowed(_) | Filter::Matching(_) => 0.0,
    };
    points as f64 * (check + share * SCORE) <= ef as f64 / share.max(1e-9) * EXPAND
}
