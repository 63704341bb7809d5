//! Which index, by how many vectors there are.

use std::path::Path;

use ndarray::ArrayView2;

use super::file::{self, Kind};
use super::{
    Filter, FlatIndex, Hits, HnswConfig, HnswIndex, IndexReport, ItemSet, Precision,
    UpdatableIndex, VectorIndex,
};
use crate::Result;
use crate::item::ItemIndex;
use crate::settings::settings;

settings! {
    /// Settings by which vectors of any number get an index: exact search where that is fast
    /// enough, and above that a graph that is tuned until it finds enough.
    ///
    /// ```
    /// use seqrec::ndarray::Array2;
    /// use seqrec::index::{IndexPlan, VectorIndex};
    ///
    /// let vectors = Array2::from_shape_fn((1001, 4), |(row, column)| ((row * (column + 3)) % 17) as f32);
    /// let (index, report) = IndexPlan::new().build(vectors.view(), vectors.view(), 10)?;
    /// assert!(index.is_exact() && report.recall == 1.0);
    /// # Ok::<(), seqrec::Error>(())
    /// ```
    #[serde(default, deny_unknown_fields)]
    pub struct IndexPlan {
        /// The largest number of vectors that are searched exactly.
        pub exact_up_to: usize = 100_000, with_exact_up_to;
        /// How vectors that are searched exactly are kept.
        pub precision: Precision = Precision::F32, with_precision;
        /// The graph over more vectors than that.
        pub graph: HnswConfig = HnswConfig::new(), with_graph;
        /// Which share of the true best a graph has to find, or it gets more candidates, and where
        /// these don't help, is not walked at all.
        pub recall: f64 = 0.98, with_recall;
    }
}

impl IndexPlan {
    /// An index over the rows of `[rows + 1, dim]`, of which row 0 is padding, tuned where it is a
    /// graph for the k best of `queries` `[n, dim]`.
    ///
    /// # Errors
    /// As [`FlatIndex::with_precision`], [`HnswIndex::new`] and [`HnswIndex::tuned_for`].
    pub fn build(
        &self,
        vectors: ArrayView2<'_, f32>,
        queries: ArrayView2<'_, f32>,
        k: usize,
    ) -> Result<(AnyIndex, IndexReport)> {
        let count = vectors.nrows().saturating_sub(1);
        if count <= self.exact_up_to {
            let index = FlatIndex::with_precision(vectors, self.precision)?;
            let report = IndexReport::exact(count, false);
            return Ok((AnyIndex::Flat(Box::new(index)), report));
        }
        let index = HnswIndex::new(vectors, &self.graph)?;
        let recall = index.measure_recall(queries, k)?;
        let (index, report) = if recall >= self.recall {
            let report = IndexReport::graph(count, self.graph.ef_search, recall);
            (index, report)
        } else {
            index.tuned_for(self.recall, queries, k)?
        };
        Ok((AnyIndex::Graph(Box::new(index)), report))
    }

    /// An index as by [`build`](Self::build), with some 200 of the vectors themselves as queries.
    ///
    /// # Errors
    /// As [`build`](Self::build).
    pub fn build_of_vectors(
        &self,
        vectors: ArrayView2<'_, f32>,
        k: usize,
    ) -> Result<(AnyIndex, IndexReport)> {
        let step = vectors.nrows().div_ceil(200).max(1);
        let queries = vectors.slice(ndarray::s![vectors.nrows().min(1)..;step, ..]);
        self.build(vectors, queries, k.max(1))
    }
}

/// An index of this process, of whichever kind.
#[derive(Debug)]
#[non_exhaustive]
pub enum AnyIndex {
    /// That goes through all items.
    Flat(Box<FlatIndex>),
    /// That walks a graph.
    Graph(Box<HnswIndex>),
}

impl AnyIndex {
    /// Writes the index to a file, as [`HnswIndex::save`] does.
    ///
    /// # Errors
    /// [`ErrorKind::NotOurs`](crate::ErrorKind::NotOurs) when something else is there than an index
    /// file, and [`ErrorKind::Io`](crate::ErrorKind::Io) when the file can't be written.
    pub fn save(&self, path: impl AsRef<Path>, fingerprint: u64) -> Result<()> {
        match self {
            Self::Flat(index) => index.save(path, fingerprint),
            Self::Graph(index) => index.save(path, fingerprint),
        }
    }

    /// Opens an index file of either kind by mapping it into memory.
    ///
    /// # Errors
    /// As [`HnswIndex::open`].
    pub fn open(path: impl AsRef<Path>, fingerprint: u64) -> Result<Self> {
        let path = path.as_ref();
        match file::kind(path)? {
            Kind::Flat => {
                FlatIndex::open(path, fingerprint).map(|index| Self::Flat(Box::new(index)))
            }
            Kind::Hnsw => {
                HnswIndex::open(path, fingerprint).map(|index| Self::Graph(Box::new(index)))
            }
        }
    }

    fn get(&self) -> &dyn UpdatableIndex {
        match self {
            Self::Flat(index) => &**index,
            Self::Graph(index) => &**index,
        }
    }
}

impl VectorIndex for AnyIndex {
    fn len(&self) -> usize {
        self.get().len()
    }

    fn dim(&self) -> usize {
        self.get().dim()
    }

    fn is_exact(&self) -> bool {
        self.get().is_exact()
    }

    fn held(&self, items: &ItemSet) -> Result<ItemSet> {
        self.get().held(items)
    }

    fn search(
        &self,
        queries: ArrayView2<'_, f32>,
        k: usize,
        filter: Option<Filter<'_>>,
    ) -> Result<Hits> {
        self.get().search(queries, k, filter)
    }
}

impl UpdatableIndex for AnyIndex {
    fn contains(&self, item: ItemIndex) -> bool {
        self.get().contains(item)
    }

    fn vector(&self, item: ItemIndex) -> Result<Vec<f32>> {
        self.get().vector(item)
    }

    fn add(&self, item: ItemIndex, vector: &[f32]) -> Result<()> {
        self.get().add(item, vector)
    }

    fn replace(&self, item: ItemIndex, vector: &[f32]) -> Result<()> {
        self.get().replace(item, vector)
    }

    fn remove(&self, item: ItemIndex) -> Result<()> {
        self.get().remove(item)
    }
}
