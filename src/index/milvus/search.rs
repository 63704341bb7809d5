//! Queries in the server's own language, and among a few items.

use milvus::v2::prelude::*;
use ndarray::ArrayView2;

use crate::index::{Hits, ItemSet, VectorIndex};
use crate::kernels::inner_product::inner_product;
use crate::kernels::top_k;
use crate::{Error, Result};

use super::client::or_load;
use super::{FETCHED, ITEM, MOST_HITS, MOST_NAMED, MilvusIndex, VECTOR};

impl MilvusIndex {
    /// The k best items for each query among those that pass a filter in the server's own
    /// language, such as `item in [1, 2, 3]`; an empty one passes all.
    ///
    /// # Errors
    /// As [`search`](VectorIndex::search) and [`connect`](Self::connect), and
    /// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) for a k above 16,384.
    pub fn search_where(
        &self,
        queries: ArrayView2<'_, f32>,
        k: usize,
        expression: &str,
    ) -> Result<Hits> {
        self.check_queries(queries, k)?;
        let most = MOST_HITS.min(self.len().max(1));
        if k > MOST_HITS {
            let reason = format!("a server gives at most {MOST_HITS} hits");
            return Err(Error::invalid("k", k, reason));
        }
        let k = k.min(most);
        let client = self.client.clone();
        let vectors = queries.rows().into_iter().map(|row| row.to_vec()).collect();
        let mut request = SearchRequest::builder()
            .collection_name(&self.config.alias)
            .vector_field(VECTOR)
            .vectors(SearchVectors::Float(vectors))
            .metric_type(MetricType::Ip)
            .extra_params(self.config.method.search_params(k))
            .consistency_level(ConsistencyLevel::Strong)
            .limit(k as i64);
        if !expression.is_empty() {
            request = request.filter(expression);
        }
        let alias = self.config.alias.clone();
        let results = self.call("search", async move {
            let request = request.build()?;
            let answer = or_load(&client, &alias, || client.search(request.clone())).await?;
            Ok(answer.results().get_results().to_vec())
        })?;
        let mut hits = Hits::with_capacity(queries.nrows(), k);
        for result in results {
            let Ids::Int64(ids) = result.get_ids() else {
                return Err(self.refused("search", "it gave ids that are no integers"));
            };
            let item = |&id: &i64| u32::try_from(id).ok();
            let found: Option<Vec<u32>> = ids.iter().map(item).collect();
            let found =
                found.ok_or_else(|| self.refused("search", "it gave ids that are no items"))?;
            let pairs = found.into_iter().zip(result.get_scores().iter().copied());
            let mut scored: Vec<top_k::Scored> = pairs.collect();
            scored.sort_unstable_by(top_k::best_first);
            hits.push_scored(scored);
        }
        if hits.len() != queries.nrows() {
            return Err(self.refused("search", "it did not answer every query"));
        }
        Ok(hits)
    }

    /// The k best of a set, which an expression may describe in another way than by naming all.
    pub(super) fn search_set(
        &self,
        queries: ArrayView2<'_, f32>,
        k: usize,
        items: &ItemSet,
        described: impl FnOnce() -> Option<String>,
    ) -> Result<Hits> {
        if items.is_empty() {
            self.check_queries(queries, k)?;
            let mut none = Hits::default();
            (0..queries.nrows()).for_each(|_| none.push([]));
            return Ok(none);
        }
        if items.len() <= FETCHED {
            return self.search_few(queries, k, items);
        }
        match described() {
            Some(expression) => self.search_where(queries, k, &expression),
            None if items.len() > MOST_NAMED => Err(too_many(items)),
            None => self.search_where(queries, k, &named(items)),
        }
    }

    /// The k best of a few items, whose vectors are fetched.
    pub(super) fn search_few(
        &self,
        queries: ArrayView2<'_, f32>,
        k: usize,
        items: &ItemSet,
    ) -> Result<Hits> {
        self.check_queries(queries, k)?;
        let client = self.client.clone();
        let alias = self.config.alias.clone();
        let expression = named(items);
        let most = items.len() as i64;
        let (ids, vectors) = self.call("look up items", async move {
            let request = QueryRequest::builder()
                .collection_name(&alias)
                .filter(expression)
                .output_fields([ITEM, VECTOR])
                .consistency_level(ConsistencyLevel::Strong)
                .limit(most)
                .build()?;
            let answer = or_load(&client, &alias, || client.query(request.clone())).await?;
            let field = |name: &str| answer.results().get_output_field(name).cloned();
            Ok((field(ITEM), field(VECTOR)))
        })?;
        let ids = ids.as_ref().and_then(|ids| ids.as_int64());
        let vectors = vectors
            .as_ref()
            .and_then(|vectors| vectors.as_float_vectors());
        let (Some(ids), Some(vectors)) = (ids, vectors) else {
            return Err(self.refused(
                "look up items",
                "it gave other fields than it was asked for",
            ));
        };
        let whole = vectors.iter().all(|vector| vector.len() == queries.ncols());
        if ids.len() != vectors.len() || !whole {
            return Err(self.refused("look up items", "it gave vectors of another shape"));
        }
        let mut hits = Hits::with_capacity(queries.nrows(), k);
        for query in queries.rows() {
            let query = query.to_vec();
            let score = |vector: &Vec<f32>| inner_product(&query, vector);
            let item = |&id: &i64| u32::try_from(id).unwrap_or(0);
            let mut scored: Vec<top_k::Scored> = ids
                .iter()
                .map(item)
                .zip(vectors.iter().map(score))
                .collect();
            scored.sort_unstable_by(top_k::best_first);
            hits.push_scored(scored.into_iter().take(k));
        }
        Ok(hits)
    }
}

/// The expression that passes these items.
pub(super) fn named(items: &ItemSet) -> String {
    let names: Vec<String> = items.iter().map(|item| item.to_string()).collect();
    format!("{ITEM} in [{}]", names.join(", "))
}

/// The error of a set that is too large to be named.
fn too_many(items: &ItemSet) -> Error {
    let reason = format!(
        "an expression names at most {MOST_NAMED} items; publish attributes with the vectors \
         (`MilvusIndex::set_items`) and filter by them"
    );
    Error::invalid("filter", items.len(), reason)
}
