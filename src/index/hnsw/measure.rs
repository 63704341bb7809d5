//! What a graph finds of what there is to find.

use ndarray::ArrayView2;
use rayon::prelude::*;

use super::search::largest_sensible_ef;
use super::{GraphState, HnswIndex};
use crate::index::{Hits, IndexReport, VectorIndex};
use crate::kernels::top_k;
use crate::{Error, ErrorKind, Result};

impl HnswIndex {
    /// Which share of the true k best the index finds for some queries `[n, dim]`, which are best
    /// taken from what it is searched with: the vectors of real users. An item counts as found when
    /// its score is no lower than the k-th best, so that equal ones are equal.
    ///
    /// The true best are those by the vectors as they are kept, and finding them takes about as
    /// long as [`FlatIndex`](crate::index::FlatIndex) takes for single queries.
    ///
    /// # Errors
    /// As [`search`](VectorIndex::search), and [`ErrorKind::NothingLeft`] without any query or
    /// item.
    pub fn measure_recall(&self, queries: ArrayView2<'_, f32>, k: usize) -> Result<f64> {
        let truth = self.true_best(queries, k)?;
        Ok(self.search(queries, k, None)?.recall(&truth))
    }

    /// The same index with the smallest number of candidates (ef) that finds a share of `recall` of
    /// the k best for such queries, which [`save`](Self::save) keeps. Where that takes as long as
    /// going through all items, searches do so from now on, and
    /// [`is_exact`](VectorIndex::is_exact) says so.
    ///
    /// ```
    /// use seqrec::ndarray::{Array2, s};
    /// use seqrec::index::{HnswConfig, HnswIndex};
    ///
    /// let vectors = Array2::from_shape_fn((5001, 2), |(row, column)| {
    ///     (row as f32 + 1.6 * column as f32).sin() * (1.0 + row as f32 / 5000.0)
    /// });
    /// let index = HnswIndex::new(vectors.view(), &HnswConfig::new())?;
    /// let (index, report) = index.tuned_for(0.95, vectors.slice(s![..200, ..]), 10)?;
    /// assert!(report.recall >= 0.95 && report.ef_search == Some(index.config().ef_search));
    /// # Ok::<(), seqrec::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`measure_recall`](Self::measure_recall), and [`ErrorKind::InvalidValue`] for a recall
    /// that is not above 0 and at most 1.
    pub fn tuned_for(
        mut self,
        recall: f64,
        queries: ArrayView2<'_, f32>,
        k: usize,
    ) -> Result<(Self, IndexReport)> {
        if !(recall > 0.0 && recall <= 1.0) {
            return Err(Error::invalid(
                "recall",
                recall,
                "must be above 0 and at most 1",
            ));
        }
        let truth = self.true_best(queries, k)?;
        let most = largest_sensible_ef(self.len());
        let mut at = |ef_search| {
            self.config.ef_search = ef_search;
            self.exact = false;
            Ok::<f64, Error>(self.search(queries, k, None)?.recall(&truth))
        };
        // Doubled until it is enough, then halved between what was not and what was.
        let (mut too_few, mut enough) = (k.saturating_sub(1), k.max(1));
        let mut found = None;
        while enough <= most {
            let reached = at(enough)?;
            if reached >= recall {
                found = Some(reached);
                break;
            }
            (too_few, enough) = (enough, 2 * enough);
        }
        let Some(mut reached) = found else {
            self.exact = true;
            let report = IndexReport::exact(self.len(), true);
            return Ok((self, report));
        };
        while too_few + 1 < enough {
            let middle = too_few.midpoint(enough);
            let found = at(middle)?;
            if found >= recall {
                (enough, reached) = (middle, found);
            } else {
                too_few = middle;
            }
        }
        self.config.ef_search = enough;
        let report = IndexReport::graph(self.len(), enough, reached);
        Ok((self, report))
    }

    /// The k best for each query by the vectors as they are kept.
    fn true_best(&self, queries: ArrayView2<'_, f32>, k: usize) -> Result<Hits> {
        self.check_queries(queries, k)?;
        if queries.nrows() == 0 || self.is_empty() {
            return Err(ErrorKind::NothingLeft {
                reason: "recall is measured by queries over items, and there are none".to_owned(),
            }
            .into());
        }
        let queries: Vec<Vec<f32>> = queries.rows().into_iter().map(|row| row.to_vec()).collect();
        let best: Vec<Vec<top_k::Scored>> = queries
            .par_iter()
            .map(|query| Ok(self.read_whole()?.best(query, k)))
            .collect::<Result<_>>()?;
        let mut hits = Hits::with_capacity(best.len(), k.min(self.len()));
        for best in best {
            hits.push_scored(best);
        }
        Ok(hits)
    }
}

impl GraphState {
    /// The k best items for a query, with their scores.
    fn best(&self, query: &[f32], k: usize) -> Vec<top_k::Scored> {
        let graph = &self.graph;
        let mut prepared = Default::default();
        graph.vectors.prepare(query, &mut prepared);
        let points = (0..graph.len() as u32).filter(|&point| graph.is_live(point));
        // It may have been emptied meanwhile.
        let k = k.min(graph.live).max(1);
        let best = top_k::scan(k, points, |points, scores| {
            graph.vectors.rescore(&prepared, points, scores);
        });
        let item = |(point, score): top_k::Scored| (graph.items[point as usize].get(), score);
        best.into_iter().map(item).collect()
    }
}
