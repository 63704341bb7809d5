//! Search in a Milvus server or cluster.
//!
//! # How large a catalog takes how many machines
//!
//! On paper, for vectors of dimension 64 in f32 with HNSW (M 16), of which a point takes
//! 256 bytes and its links about 140, and with one core answering about 5,000 queries a second
//! over a shard of 10 million (a search touches about as many points as in a smaller graph, but
//! none of them is in a cache):
//!
//! | catalog | shards | items a shard | bytes a shard | queries/s a shard of 8 cores |
//! | --- | --- | --- | --- | --- |
//! | 10 million | 1 | 10 million | 4 GB, 6 GB with room for a second version | 40,000 |
//! | 1 billion | 50 | 20 million | 8 GB, 12 GB with room for a second version | 30,000 |
//!
//! Every query goes to every shard, so shards bring room, not speed: it is replicas of all shards
//! that multiply queries per second. IVF takes no links (256 bytes an item) and visits
//! `probes / lists` of the items, at 1,024 of 65,536 lists and 20 million items 300,000 vectors a
//! query: a tenth of HNSW's queries per second for two thirds of its memory.
//!
//! A cluster is reached by its proxy's address, such as `https://in03-xyz.example.com:19530`, with
//! a token `user:password` or an API key.

use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use milvus::v2::prelude::{
    AlterAliasRequest, ClientV2, CollectionSchema, ConnectConfig, ConsistencyLevel,
    CreateAliasRequest, CreateCollectionRequest, DataType, DescribeAliasRequest,
    DescribeCollectionRequest, DropCollectionRequest, FieldData, FieldSchema, FlushRequest,
    GetCollectionStatsRequest, HasCollectionRequest, Ids, IndexParam, IndexType,
    ListCollectionsRequest, LoadCollectionRequest, MetricType, QueryRequest, RetryConfig,
    SearchRequest, SearchVectors, UpsertRequest,
};
use milvus::v2::request::dml::InsertRequest;
use ndarray::{ArrayView2, Axis};
use tokio::runtime::Runtime;

use super::{Filter, Hits, ItemSet, VectorIndex, check_finite, check_queries};
use crate::kernels::inner_product::inner_product;
use crate::kernels::top_k;
use crate::{Error, Result};

const ITEM: &str = "item";
const VECTOR: &str = "vector";
/// The most hits that a server gives for one query.
const MOST_HITS: usize = 16_384;
/// The largest set of items that is passed on as an expression.
const MOST_NAMED: usize = 100_000;
/// The vectors of a set no larger than this are fetched and gone through here.
const FETCHED: usize = 1_000;

/// How a server arranges the vectors of a collection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MilvusMethod {
    /// A graph: fast, in memory.
    Hnsw {
        /// Neighbors of a point (M).
        neighbors: usize,
        /// Candidates when a point is added (efConstruction).
        ef_construction: usize,
        /// Candidates of a search (ef).
        ef_search: usize,
    },
    /// Inverted lists: less memory, and a search visits some lists only.
    Ivf {
        /// How many lists there are (nlist).
        lists: usize,
        /// How many of them a search visits (nprobe).
        probes: usize,
    },
}

impl MilvusMethod {
    /// HNSW with M 16, efConstruction 200 and ef 100.
    pub const HNSW: Self = Self::Hnsw {
        neighbors: 16,
        ef_construction: 200,
        ef_search: 100,
    };

    fn index_params(self) -> IndexParam {
        let (index_type, params) = match self {
            Self::Hnsw {
                neighbors,
                ef_construction,
                ..
            } => (
                IndexType::Hnsw,
                vec![("M", neighbors), ("efConstruction", ef_construction)],
            ),
            Self::Ivf { lists, .. } => (IndexType::IvfFlat, vec![("nlist", lists)]),
        };
        IndexParam::new()
            .field_name(VECTOR)
            .index_type(index_type)
            .metric_type(MetricType::Ip)
            .extra_params(strings(params))
    }

    fn search_params(self, k: usize) -> HashMap<String, String> {
        strings(match self {
            Self::Hnsw { ef_search, .. } => vec![("ef", ef_search.max(k))],
            Self::Ivf { probes, .. } => vec![("nprobe", probes)],
        })
    }
}

fn strings(params: Vec<(&str, usize)>) -> HashMap<String, String> {
    let string = |(name, value): (&str, usize)| (name.to_owned(), value.to_string());
    params.into_iter().map(string).collect()
}

/// Where a server is and how it is spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MilvusConfig {
    /// Such as `http://127.0.0.1:19530`.
    pub address: String,
    /// `user:password` or an API key, where the server wants one.
    pub token: Option<String>,
    /// The name under which the current version is searched; versions are collections named
    /// `{alias}_v{version}`.
    pub alias: String,
    /// How vectors are arranged and searched.
    pub method: MilvusMethod,
    /// No call takes longer than this, whatever the server does.
    pub deadline: Duration,
    /// How many vectors are sent at a time.
    pub batch_size: usize,
    /// How often a batch is tried.
    pub attempts: usize,
}

impl MilvusConfig {
    /// HNSW, a deadline of 10 seconds, batches of 2,000 vectors tried 3 times, no token.
    pub fn new(address: impl Into<String>, alias: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            token: None,
            alias: alias.into(),
            method: MilvusMethod::HNSW,
            deadline: Duration::from_secs(10),
            batch_size: 2_000,
            attempts: 3,
        }
    }

    fn validate(&self) -> Result<()> {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if self.alias.is_empty() || !self.alias.bytes().all(good) {
            let reason = "must be letters, digits and underscores";
            return Err(Error::invalid("alias", &self.alias, reason));
        }
        for (field, value) in [("batch_size", self.batch_size), ("attempts", self.attempts)] {
            if value == 0 {
                return Err(Error::invalid(field, 0, "must be at least 1"));
            }
        }
        if self.deadline.is_zero() {
            return Err(Error::invalid("deadline", "0 s", "must be above 0"));
        }
        Ok(())
    }

    fn version_name(&self, version: u64) -> String {
        format!("{}_v{version}", self.alias)
    }
}

/// A catalog's vectors in a Milvus server or cluster, for catalogs too large for one machine.
///
/// Each model's vectors are a collection of their own; an alias names the one that is searched,
/// and is switched to a new one at once, when all of it is there.
///
/// ```no_run
/// use ndarray::Array2;
/// use seqrec::index::{MilvusConfig, MilvusIndex, VectorIndex};
///
/// let config = MilvusConfig::new("http://127.0.0.1:19530", "movies");
/// let vectors = Array2::<f32>::ones((1001, 64));
/// let index = MilvusIndex::connect(config)?;
/// index.publish(vectors.view(), 7, |done, all| println!("{done} of {all}"))?;
/// index.drop_version(6)?;
/// let hits = index.search(vectors.slice(ndarray::s![1..2, ..]), 50, None)?;
/// # Ok::<(), seqrec::Error>(())
/// ```
pub struct MilvusIndex {
    config: MilvusConfig,
    runtime: Background,
    client: ClientV2,
    /// Of the version that was published or found last; 0 when there is none.
    len: AtomicUsize,
    dim: AtomicUsize,
}

impl std::fmt::Debug for MilvusIndex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut config = self.config.clone();
        config.token = config.token.map(|_| "…".to_owned());
        f.debug_struct("MilvusIndex")
            .field("config", &config)
            .field("len", &self.len)
            .field("dim", &self.dim)
            .finish_non_exhaustive()
    }
}

/// A runtime that may be dropped anywhere: waiting for its tasks, as it would otherwise do, is
/// forbidden within asynchronous code.
struct Background(Option<Runtime>);

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Background {
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Some(runtime) = &self.0 {
            drop(runtime.spawn(task));
        }
    }
}

/// Longer than anyone waits, and short enough to be added to a time.
const FOREVER: Duration = Duration::from_secs(86_400);

type Answer<T> = milvus::v2::error::Result<T>;

impl MilvusIndex {
    /// Connects to a server, whether or not the alias is there yet.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] for invalid settings, [`Error::Server`] when the server
    /// is not there or refuses, and [`Error::Deadline`] when it does not answer in time.
    pub fn connect(mut config: MilvusConfig) -> Result<Self> {
        config.validate()?;
        config.deadline = config.deadline.min(FOREVER);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("milvus")
            .enable_all()
            .build()
            .map_err(|error| Error::Thread {
                thread: "milvus",
                reason: error.to_string(),
            })?;
        let runtime = Background(Some(runtime));
        let mut connection = ConnectConfig::new()
            .uri(&config.address)
            .connect_timeout(config.deadline)
            .rpc_timeout(config.deadline)
            .retry(RetryConfig::new().max_retry_timeout(config.deadline));
        if let Some(token) = &config.token {
            connection = connection.token(token);
        }
        let client = wait(&runtime, &config, "connect", async move {
            ClientV2::new(&connection).await
        })?;
        let index = Self {
            config,
            runtime,
            client,
            len: AtomicUsize::new(0),
            dim: AtomicUsize::new(0),
        };
        index.refresh()?;
        Ok(index)
    }

    /// Looks up which version the alias names now; `None` when there is none.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub fn refresh(&self) -> Result<Option<u64>> {
        let Some(name) = self.current()? else {
            return Ok(None);
        };
        let client = self.client.clone();
        let collection = name.clone();
        let (rows, dim) = self.call("describe the collection", async move {
            let request = DescribeCollectionRequest::builder()
                .collection_name(&collection)
                .build()?;
            let description = client.describe_collection(request).await?;
            let fields = description.description().get_schema().get_fields().to_vec();
            let vector = fields.iter().find(|field| field.get_name() == VECTOR);
            let dim = vector.map_or(0, |field| field.get_dimension() as usize);
            let request = GetCollectionStatsRequest::builder()
                .collection_name(&collection)
                .build()?;
            let rows = client.get_collection_stats(request).await?.row_count();
            Ok((usize::try_from(rows.unwrap_or(0)).unwrap_or(0), dim))
        })?;
        self.len.store(rows, Ordering::Relaxed);
        self.dim.store(dim, Ordering::Relaxed);
        Ok(self.version_of(&name))
    }

    fn version_of(&self, collection: &str) -> Option<u64> {
        let rest = collection.strip_prefix(&self.config.alias)?;
        rest.strip_prefix("_v")?.parse().ok()
    }

    /// The collection that the alias names.
    fn current(&self) -> Result<Option<String>> {
        let client = self.client.clone();
        let alias = self.config.alias.clone();
        self.call("look up the alias", async move {
            let request = DescribeAliasRequest::builder().alias(alias).build()?;
            match client.describe_alias(request).await {
                Ok(answer) => {
                    let name = answer.collection_name().to_owned();
                    Ok(Some(name).filter(|name| !name.is_empty()))
                }
                // A server says in many ways that there is no such alias, and in others that it
                // can't be reached.
                Err(milvus::v2::error::Error::Server(_)) => Ok(None),
                Err(error) => Err(error),
            }
        })
    }

    /// Puts the rows of `vectors` `[items + 1, dim]`, of which row 0 is padding, into a new
    /// collection and, when all of them are there, switches the alias to it. `progress` is told how
    /// many items are sent, and of how many. What is left of an earlier try at this version is
    /// replaced; the version that is searched meanwhile stays as it is.
    ///
    /// # Errors
    /// As [`connect`](Self::connect) and [`FlatIndex::new`](super::FlatIndex::new), and
    /// [`Error::InvalidValue`] for the version that is being searched.
    pub fn publish(
        &self,
        vectors: ArrayView2<'_, f32>,
        version: u64,
        mut progress: impl FnMut(usize, usize),
    ) -> Result<()> {
        if vectors.nrows() < 2 || vectors.ncols() == 0 {
            return Err(Error::NothingLeft {
                reason: format!("there is no item in vectors of shape {:?}", vectors.shape()),
            });
        }
        check_finite("item vectors", vectors)?;
        let name = self.config.version_name(version);
        if self.current()?.as_ref() == Some(&name) {
            return Err(Error::invalid("version", version, "is being searched"));
        }
        self.create(&name, vectors.ncols())?;
        let items = vectors.nrows() - 1;
        let rows = vectors.slice(ndarray::s![1.., ..]);
        let mut first = 1;
        for batch in rows.axis_chunks_iter(Axis(0), self.config.batch_size) {
            self.insert(&name, first, batch)?;
            first += batch.nrows();
            progress(first - 1, items);
        }
        self.finish(&name)?;
        self.switch(&name)?;
        self.len.store(items, Ordering::Relaxed);
        self.dim.store(vectors.ncols(), Ordering::Relaxed);
        Ok(())
    }

    fn create(&self, name: &str, dim: usize) -> Result<()> {
        let dim = u32::try_from(dim)
            .map_err(|_| Error::invalid("dimension", dim, "no server takes such vectors"))?;
        let (client, name) = (self.client.clone(), name.to_owned());
        let params = self.config.method.index_params();
        self.call("create a collection", async move {
            drop_if_there(&client, &name).await?;
            let item = FieldSchema::new()
                .name(ITEM)
                .data_type(DataType::Int64)
                .primary_key(true);
            let vector = FieldSchema::new()
                .name(VECTOR)
                .data_type(DataType::FloatVector)
                .dimension(dim);
            let request = CreateCollectionRequest::builder()
                .collection_name(name)
                .schema(CollectionSchema::new().add_field(item).add_field(vector))
                .index_params(vec![params])
                .build()?;
            client.create_collection(request).await
        })
    }

    /// Sends a batch, again where it failed: items that arrived after all are then replaced.
    fn insert(&self, name: &str, first: usize, batch: ArrayView2<'_, f32>) -> Result<()> {
        let mut attempt = 1;
        loop {
            let items = (0..batch.nrows()).map(|row| (first + row) as i64);
            let vectors = batch.rows().into_iter().map(|row| row.to_vec());
            let columns = vec![
                FieldData::int64(ITEM, items.collect()),
                FieldData::float_vector(VECTOR, vectors.collect()),
            ];
            let (client, name) = (self.client.clone(), name.to_owned());
            let sent = self.call("send vectors", async move {
                let insert = InsertRequest::builder()
                    .collection_name(name)
                    .columns(columns)
                    .build()?;
                if attempt == 1 {
                    client.insert(insert).await.map(|_| ())
                } else {
                    let upsert = UpsertRequest::builder().insert(insert).build()?;
                    client.upsert(upsert).await.map(|_| ())
                }
            });
            match sent {
                Err(Error::Server { .. } | Error::Deadline { .. })
                    if attempt < self.config.attempts =>
                {
                    attempt += 1;
                }
                sent => return sent,
            }
        }
    }

    /// Makes a collection ready to be searched.
    fn finish(&self, name: &str) -> Result<()> {
        let (client, name) = (self.client.clone(), name.to_owned());
        self.call("load the collection", async move {
            let flush = FlushRequest::builder().collection_names([&name]).build()?;
            client.flush(flush).await?;
            load(&client, &name).await
        })
    }

    fn switch(&self, name: &str) -> Result<()> {
        let there = self.current()?.is_some();
        let (client, name) = (self.client.clone(), name.to_owned());
        let alias = self.config.alias.clone();
        self.call("switch the alias", async move {
            if there {
                let request = AlterAliasRequest::builder()
                    .alias(alias)
                    .collection_name(name)
                    .build()?;
                client.alter_alias(request).await
            } else {
                let request = CreateAliasRequest::builder()
                    .alias(alias)
                    .collection_name(name)
                    .build()?;
                client.create_alias(request).await
            }
        })
    }

    /// Drops a version; whether it was there.
    ///
    /// # Errors
    /// As [`connect`](Self::connect), and [`Error::InvalidValue`] for the version that is being
    /// searched.
    pub fn drop_version(&self, version: u64) -> Result<bool> {
        let name = self.config.version_name(version);
        if self.current()?.as_ref() == Some(&name) {
            return Err(Error::invalid("version", version, "is being searched"));
        }
        let client = self.client.clone();
        self.call("drop a collection", async move {
            drop_if_there(&client, &name).await
        })
    }

    /// Drops all versions below this one but the one that is searched; gives those it dropped.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub fn drop_versions_before(&self, version: u64) -> Result<Vec<u64>> {
        let client = self.client.clone();
        let names = self.call("list collections", async move {
            let request = ListCollectionsRequest::builder().build()?;
            let answer = client.list_collections(request).await?;
            Ok(answer.collection_names().to_vec())
        })?;
        let current = self.current()?;
        let mut dropped = Vec::new();
        for name in names {
            let old = self.version_of(&name).filter(|&old| old < version);
            if let Some(old) = old.filter(|_| current.as_ref() != Some(&name)) {
                self.drop_version(old)?;
                dropped.push(old);
            }
        }
        dropped.sort_unstable();
        Ok(dropped)
    }

    /// The k best items for each query among those that pass a filter in the server's own
    /// language, such as `item in [1, 2, 3]`; an empty one passes all.
    ///
    /// # Errors
    /// As [`search`](VectorIndex::search) and [`connect`](Self::connect), and
    /// [`Error::InvalidValue`] for a k above 16,384.
    pub fn search_where(
        &self,
        queries: ArrayView2<'_, f32>,
        k: usize,
        expression: &str,
    ) -> Result<Hits> {
        check_queries(self, queries, k)?;
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

    /// The k best of a few items, whose vectors are fetched.
    fn search_few(&self, queries: ArrayView2<'_, f32>, k: usize, items: &ItemSet) -> Result<Hits> {
        check_queries(self, queries, k)?;
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

    fn refused(&self, action: &'static str, reason: impl Into<String>) -> Error {
        Error::Server {
            address: self.config.address.clone(),
            action,
            reason: reason.into(),
        }
    }

    fn call<T: Send + 'static>(
        &self,
        action: &'static str,
        answer: impl Future<Output = Answer<T>> + Send + 'static,
    ) -> Result<T> {
        wait(&self.runtime, &self.config, action, answer)
    }
}

/// The expression that passes these items.
fn named(items: &ItemSet) -> String {
    let names: Vec<String> = items.iter().map(|item| item.to_string()).collect();
    format!("{ITEM} in [{}]", names.join(", "))
}

/// Waits until a collection can be searched.
async fn load(client: &ClientV2, name: &str) -> Answer<()> {
    let request = LoadCollectionRequest::builder()
        .collection_name(name)
        .sync(true)
        .build()?;
    client.load_collection(request).await
}

/// What `ask` gives, asked again where the collection has to be loaded first: a server that was
/// started anew may have to be told what to hold in memory.
async fn or_load<T, F: Future<Output = Answer<T>>>(
    client: &ClientV2,
    name: &str,
    ask: impl Fn() -> F,
) -> Answer<T> {
    match ask().await {
        Err(error) if is_not_loaded(&error) => {
            load(client, name).await?;
            ask().await
        }
        answer => answer,
    }
}

/// Whether a server refuses since it does not hold the collection in memory. Servers of different
/// kinds have different codes for that (101 and 110), and both speak of loading.
fn is_not_loaded(error: &milvus::v2::error::Error) -> bool {
    match error {
        milvus::v2::error::Error::Server(error) => {
            let reason = error.reason().to_lowercase();
            reason.contains("not loaded") || reason.contains("load()")
        }
        milvus::v2::error::Error::RetryExhausted { source, .. } => is_not_loaded(source),
        _ => false,
    }
}

/// Whether there was such a collection.
async fn drop_if_there(client: &ClientV2, name: &str) -> Answer<bool> {
    let request = HasCollectionRequest::builder()
        .collection_name(name)
        .build()?;
    let there = client.has_collection(request).await?.exists();
    if there {
        let request = DropCollectionRequest::builder()
            .collection_name(name)
            .build()?;
        client.drop_collection(request).await?;
    }
    Ok(there)
}

/// Waits for an answer until the deadline. The work is done on the runtime's own thread, so that
/// the caller may be an asynchronous task himself.
fn wait<T: Send + 'static>(
    runtime: &Background,
    config: &MilvusConfig,
    action: &'static str,
    answer: impl Future<Output = Answer<T>> + Send + 'static,
) -> Result<T> {
    let (sender, receiver) = std::sync::mpsc::sync_channel(1);
    let deadline = config.deadline;
    runtime.spawn(async move {
        let answer = tokio::time::timeout(deadline, answer).await;
        // Nobody waits any more where the receiver is gone.
        let _ = sender.send(answer);
    });
    let late = || Error::Deadline {
        address: config.address.clone(),
        action,
        seconds: deadline.as_secs_f64(),
    };
    // A little more than the deadline, since the task itself keeps to it.
    let answer = receiver.recv_timeout(deadline + deadline / 10);
    match answer.map_err(|_| late())? {
        Err(_) => Err(late()),
        Ok(Err(error)) => Err(Error::Server {
            address: config.address.clone(),
            action,
            reason: error.to_string(),
        }),
        Ok(Ok(value)) => Ok(value),
    }
}

impl VectorIndex for MilvusIndex {
    fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    fn dim(&self) -> usize {
        self.dim.load(Ordering::Relaxed)
    }

    fn is_exact(&self) -> bool {
        false
    }

    /// A server gives 16,384 hits at most for a query: a larger k is an error.
    ///
    /// Sets of items go to the server as an expression, which names 100,000 at most, but for sets
    /// of up to 1,000 items, whose vectors are fetched: among so few, what a server finds of them is
    /// left to chance. Predicates can't go there: the server is asked for more hits until enough
    /// pass or it gives no more, so what passes none of the best 16,384 is not found.
    fn search(
        &self,
        queries: ArrayView2<'_, f32>,
        k: usize,
        filter: Option<Filter<'_>>,
    ) -> Result<Hits> {
        match filter {
            None => self.search_where(queries, k, ""),
            Some(Filter::Allowed(items)) => {
                if items.is_empty() {
                    check_queries(self, queries, k)?;
                    let mut none = Hits::default();
                    (0..queries.nrows()).for_each(|_| none.push([]));
                    return Ok(none);
                }
                if items.len() > MOST_NAMED {
                    let reason = format!(
                        "an expression names at most {MOST_NAMED} items; keep what they have in \
                         common in a field of the collection and use `search_where`"
                    );
                    return Err(Error::invalid("filter", items.len(), reason));
                }
                if items.len() <= FETCHED {
                    return self.search_few(queries, k, items);
                }
                self.search_where(queries, k, &named(items))
            }
            Some(Filter::Predicate(passes)) => {
                let all = self.len().min(MOST_HITS);
                let mut asked = k.saturating_mul(2).min(all.max(1));
                loop {
                    let more = self.search_where(queries, asked, "")?;
                    let mut hits = Hits::with_capacity(more.len(), k);
                    for query in 0..more.len() {
                        let passing = more.of(query).filter(|hit| passes(query, hit.item));
                        hits.push(passing.take(k));
                    }
                    let enough = (0..hits.len()).all(|query| hits.items(query).len() == k);
                    if enough || asked >= all {
                        return Ok(hits);
                    }
                    asked = asked.saturating_mul(4).min(all);
                }
            }
        }
    }
}
