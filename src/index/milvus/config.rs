//! How a collection is arranged and searched.

use std::collections::HashMap;
use std::time::Duration;

use milvus::v2::prelude::{IndexParam, IndexType, MetricType};

use crate::settings::setters;
use crate::{Error, Result};

use super::VECTOR;

/// How a server arranges the vectors of a collection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
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

    pub(super) fn index_params(self) -> IndexParam {
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

    pub(super) fn search_params(self, k: usize) -> HashMap<String, String> {
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
#[non_exhaustive]
pub struct MilvusConfig {
    /// The server's address, such as `http://127.0.0.1:19530`.
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

    setters! {
        token: Option<String>, with_token;
        alias: String, with_alias;
        method: MilvusMethod, with_method;
        deadline: Duration, with_deadline;
        batch_size: usize, with_batch_size;
        attempts: usize, with_attempts;
    }

    pub(super) fn validate(&self) -> Result<()> {
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

    pub(super) fn version_name(&self, version: u64) -> String {
        format!("{}_v{version}", self.alias)
    }
}
