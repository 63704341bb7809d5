//! Search in a Milvus server or cluster.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use milvus::v2::prelude::{
    ClientV2, ConnectConfig, DescribeAliasRequest, DescribeCollectionRequest,
    GetCollectionStatsRequest, RetryConfig,
};
use ndarray::ArrayView2;

use super::{Filter, Hits, VectorIndex};
use crate::{Error, ErrorKind, Result};

use attributes::{Fields, LoadedAttributes};
use client::{Answer, Background, FOREVER, wait};

pub use config::{MilvusConfig, MilvusMethod};

mod attributes;
mod client;
mod config;
mod search;
mod versions;

const ITEM: &str = "item";
const VECTOR: &str = "vector";
/// The most hits that a server gives for one query.
const MOST_HITS: usize = 16_384;
/// The largest set of items that is passed on as an expression.
const MOST_NAMED: usize = 100_000;
/// The vectors of a set no larger than this are fetched and gone through here.
const FETCHED: usize = 1_000;

/// A catalog's vectors in a Milvus server or cluster, for catalogs too large for one machine.
///
/// Each model's vectors are a collection of their own; an alias names the one that is searched,
/// and is switched to a new one at once, when all of it is there.
///
/// ```no_run
/// use seqrec::ndarray::Array2;
/// use seqrec::index::{MilvusConfig, MilvusIndex, VectorIndex};
///
/// let config = MilvusConfig::new("http://127.0.0.1:19530", "movies");
/// let vectors = Array2::<f32>::ones((1001, 64));
/// let index = MilvusIndex::connect(config)?;
/// index.publish(vectors.view(), 7, |done, all| println!("{done} of {all}"))?;
/// index.drop_version(6)?;
/// let hits = index.search(vectors.slice(seqrec::ndarray::s![1..2, ..]), 50, None)?;
/// # Ok::<(), seqrec::Error>(())
/// ```
///
/// # How large a catalog takes how many machines
///
/// On paper, for vectors of dimension 64 in f32 with HNSW (M 16), of which a point takes
/// 256 bytes and its links about 140, and with one core answering about 5,000 queries a second
/// over a shard of 10 million (a search touches about as many points as in a smaller graph, but
/// none of them is in a cache):
///
/// | catalog | shards | items a shard | bytes a shard | queries/s a shard of 8 cores |
/// | --- | --- | --- | --- | --- |
/// | 10 million | 1 | 10 million | 4 GB, 6 GB with room for a second version | 40,000 |
/// | 1 billion | 50 | 20 million | 8 GB, 12 GB with room for a second version | 30,000 |
///
/// Every query goes to every shard, so shards bring room, not speed: it is replicas of all shards
/// that multiply queries per second. IVF takes no links (256 bytes an item) and visits
/// `probes / lists` of the items, at 1,024 of 65,536 lists and 20 million items 300,000 vectors a
/// query: a tenth of HNSW's queries per second for two thirds of its memory.
///
/// A cluster is reached by its proxy's address, such as `https://in03-xyz.example.com:19530`, with
/// a token `user:password` or an API key.
pub struct MilvusIndex {
    config: MilvusConfig,
    runtime: Background,
    client: ClientV2,
    /// Of the version that was published or found last; 0 when there is none.
    len: AtomicUsize,
    dim: AtomicUsize,
    /// Attributes that the next version is published with.
    fields: Mutex<Option<Arc<Fields>>>,
    /// Attributes of the version that is searched.
    loaded: Mutex<LoadedAttributes>,
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

impl MilvusIndex {
    /// Connects to a server, whether or not the alias is there yet.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`] for invalid settings, [`ErrorKind::Server`] when the server
    /// is not there or refuses, and [`ErrorKind::Deadline`] when it does not answer in time.
    pub fn connect(mut config: MilvusConfig) -> Result<Self> {
        config.validate()?;
        config.deadline = config.deadline.min(FOREVER);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("milvus")
            .enable_all()
            .build()
            .map_err(|error| {
                Error::from(ErrorKind::Thread {
                    thread: "milvus",
                    reason: error.to_string(),
                })
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
            fields: Mutex::default(),
            loaded: Mutex::default(),
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
        let (rows, dim, attributes) = self.call("describe the collection", async move {
            let request = DescribeCollectionRequest::builder()
                .collection_name(&collection)
                .build()?;
            let description = client.describe_collection(request).await?;
            let schema = description.description().get_schema();
            let attributes = LoadedAttributes::of(schema.get_description());
            let fields = schema.get_fields().to_vec();
            let vector = fields.iter().find(|field| field.get_name() == VECTOR);
            let dim = vector.map_or(0, |field| field.get_dimension() as usize);
            let request = GetCollectionStatsRequest::builder()
                .collection_name(&collection)
                .build()?;
            let rows = client.get_collection_stats(request).await?.row_count();
            let rows = usize::try_from(rows.unwrap_or(0)).unwrap_or(0);
            Ok((rows, dim, attributes))
        })?;
        self.len.store(rows, Ordering::Relaxed);
        self.dim.store(dim, Ordering::Relaxed);
        self.set_loaded(attributes);
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

    fn refused(&self, action: &'static str, reason: impl Into<String>) -> Error {
        Error::from(ErrorKind::Server {
            address: self.config.address.clone(),
            action,
            reason: reason.into(),
        })
    }

    fn call<T: Send + 'static>(
        &self,
        action: &'static str,
        answer: impl Future<Output = Answer<T>> + Send + 'static,
    ) -> Result<T> {
        wait(&self.runtime, &self.config, action, answer)
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
    /// of up to 1,000 items, whose vectors are fetched: among so few, what a server finds of them
    /// is left to chance. Filters of [attributes](Self::set_items) that it has are expressions as
    /// well, of any number of items. Predicates can't go there: the server is asked for more hits
    /// until enough pass or it gives no more, so what passes none of the best 16,384 is not found.
    fn search(
        &self,
        queries: ArrayView2<'_, f32>,
        k: usize,
        filter: Option<Filter<'_>>,
    ) -> Result<Hits> {
        match filter {
            None => self.search_where(queries, k, ""),
            Some(Filter::Allowed(items)) => self.search_set(queries, k, items, || None),
            Some(Filter::Matching(matching)) => {
                self.search_set(queries, k, matching.items(), || self.pushed(matching))
            }
            Some(Filter::Predicate(passes)) => {
                let all = self.len().min(MOST_HITS);
                let mut asked = k.saturating_mul(2).min(all.max(1));
                loop {
                    let more = self.search_where(queries, asked, "")?;
                    let mut hits = Hits::with_capacity(more.len(), k);
                    for query in 0..more.len() {
                        let passing = more.list(query).filter(|hit| passes(query, hit.item));
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
