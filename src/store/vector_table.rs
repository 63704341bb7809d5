//! Vectors with their ids, as files for other programs.

#[cfg(feature = "npy")]
use std::fs::File;
#[cfg(any(feature = "npy", feature = "parquet"))]
use std::path::Path;

use ndarray::{Array2, ArrayView2};

use crate::data::{Catalog, ExternalId};
#[cfg(feature = "parquet")]
use crate::files::replace_file;
#[cfg(feature = "npy")]
use crate::files::{check_replaceable, write_file_with};
use crate::index::UpdatableIndex;
#[cfg(feature = "parquet")]
use crate::table::{has_mark, marked};
use crate::{ErrorKind, Result};

/// Vectors with the ids that they belong to, to be written for other programs.
///
/// ```
/// use seqrec::ndarray::array;
/// use seqrec::data::Catalog;
/// use seqrec::index::FlatIndex;
/// use seqrec::store::VectorTable;
///
/// let catalog = Catalog::from_ids(["lamp", "desk"].map(Into::into))?;
/// let vectors = array![[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]; // row 0 is padding
/// let table = VectorTable::from_items(&catalog, vectors.view())?;
/// assert_eq!(table.ids()[1], "desk".into());
/// assert_eq!(table.vectors(), array![[1.0, 0.0], [0.0, 1.0]]);
///
/// // What an index keeps, which may be rounded, and lacks what was removed from it.
/// let index = FlatIndex::new(vectors.view())?;
/// assert_eq!(VectorTable::from_index(&catalog, &index)?, table);
/// # Ok::<(), seqrec::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct VectorTable {
    ids: Vec<ExternalId>,
    vectors: Array2<f32>,
}

impl VectorTable {
    /// Vectors `[n, dim]` of anything, such as users, with their ids.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] when there are not as many ids as vectors.
    pub fn new(ids: Vec<ExternalId>, vectors: Array2<f32>) -> Result<Self> {
        if ids.len() != vectors.nrows() {
            return Err(ErrorKind::Shape {
                what: "ids of the vectors",
                expected: vectors.nrows(),
                found: ids.len(),
            }
            .into());
        }
        // Rows are handed out as slices.
        let vectors = vectors.as_standard_layout().into_owned();
        Ok(Self { ids, vectors })
    }

    /// The vectors `[items + 1, dim]` of a catalog's items, without row 0, which is padding: what
    /// [`item_vectors`](crate::retrieve::item_vectors) gives of a model.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] when the catalog has another number of items.
    pub fn from_items(catalog: &Catalog, vectors: ArrayView2<'_, f32>) -> Result<Self> {
        let items = vectors.slice(ndarray::s![vectors.nrows().min(1).., ..]);
        Self::new(catalog.ids().cloned().collect(), items.to_owned())
    }

    /// The vectors that an index has of a catalog's items; those that it has not are left out.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`] when the index's file is gone from under it.
    pub fn from_index(catalog: &Catalog, index: &impl UpdatableIndex) -> Result<Self> {
        let mut ids = Vec::with_capacity(index.len());
        let mut values = Vec::with_capacity(index.len() * index.dim());
        for (item, id) in catalog.items().zip(catalog.ids()) {
            match index.vector(item) {
                Ok(vector) => {
                    ids.push(id.clone());
                    values.extend(vector);
                }
                Err(error) if matches!(error.kind(), ErrorKind::UnknownItem { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let shape = (ids.len(), index.dim());
        let vectors = Array2::from_shape_vec(shape, values).expect("a vector of dim for each id");
        Self::new(ids, vectors)
    }

    /// The ids, in the order of rows.
    pub fn ids(&self) -> &[ExternalId] {
        &self.ids
    }

    /// The vectors, `[n, dim]`.
    pub fn vectors(&self) -> ArrayView2<'_, f32> {
        self.vectors.view()
    }

    /// The vectors, one after another.
    pub(super) fn rows(&self) -> impl Iterator<Item = &[f32]> {
        let values = self.vectors.as_slice().unwrap_or_default();
        values.chunks_exact(self.vectors.ncols().max(1))
    }

    /// Writes the vectors for numpy, and the ids as a list in JSON, in the order of rows:
    /// `numpy.load("items.npy")` and `json.load(open("items.json"))`. Two files of as many vectors
    /// as ids are replaced, and whatever is in an [`OutputFolder`](crate::OutputFolder).
    ///
    /// # Errors
    /// [`ErrorKind::NotOurs`] when another file is there already, and [`ErrorKind::Io`] when one
    /// can't be written.
    #[cfg(feature = "npy")]
    pub fn save_npy(&self, vectors: impl AsRef<Path>, ids: impl AsRef<Path>) -> Result<()> {
        use ndarray_npy::WriteNpyExt;
        let (vectors, ids) = (vectors.as_ref(), ids.as_ref());
        let is_ours = is_pair(vectors, ids).unwrap_or(false);
        for path in [vectors, ids] {
            check_replaceable(path, |_| is_ours)?;
        }
        write_file_with(vectors, |file| {
            self.vectors
                .write_npy(std::io::BufWriter::new(file))
                .map_err(std::io::Error::other)
        })?;
        write_file_with(ids, |file| {
            let mut file = std::io::BufWriter::new(file);
            serde_json::to_writer(&mut file, &self.ids)?;
            std::io::Write::flush(&mut file)
        })
    }

    /// Writes a Parquet file with the columns `id`, of integers where all ids are, and `vector`, a
    /// list of `dim` numbers a row. One that such a table was written to is replaced.
    ///
    /// # Errors
    /// [`ErrorKind::NotOurs`] when something else is there, and [`ErrorKind::Io`] when the file
    /// can't be written.
    #[cfg(feature = "parquet")]
    pub fn save_parquet(&self, path: impl AsRef<Path>) -> Result<()> {
        use parquet::arrow::ArrowWriter;
        use parquet::basic::{Compression, Encoding};

        /// What the file's own metadata say of it.
        const MARK: &str = "seqrec.vectors";

        let path = path.as_ref();
        let batch = self.to_batch(path)?;
        // Learned numbers repeat too little for a dictionary or a packer.
        let properties = marked(MARK)
            .set_compression(Compression::UNCOMPRESSED)
            .set_dictionary_enabled(false)
            .set_encoding(Encoding::PLAIN)
            .build();
        replace_file(
            path,
            |file| has_mark(file, MARK),
            |file| {
                let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties))?;
                writer.write(&batch)?;
                writer.close()?;
                Ok(())
            },
        )
    }
}

#[cfg(feature = "parquet")]
impl VectorTable {
    /// The table as Arrow has it, to be written to a file.
    fn to_batch(&self, path: &Path) -> Result<arrow_array::RecordBatch> {
        use std::sync::Arc;

        use arrow_array::{
            ArrayRef, FixedSizeListArray, Float32Array, Int64Array, RecordBatch, StringArray,
        };
        use arrow_schema::{ArrowError, DataType, Field};

        let dim = i32::try_from(self.vectors.ncols()).map_err(|_| {
            let reason = "a column of lists takes fewer numbers";
            crate::Error::invalid("dim", self.vectors.ncols(), reason)
        })?;
        let integers: Option<Vec<i64>> = (self.ids.iter())
            .map(|id| match id {
                ExternalId::Integer(id) => Some(*id),
                ExternalId::Text(_) => None,
            })
            .collect();
        let ids: ArrayRef = match integers {
            Some(integers) => Arc::new(Int64Array::from(integers)),
            None => Arc::new(StringArray::from_iter_values(
                self.ids.iter().map(ToString::to_string),
            )),
        };
        let values: Vec<f32> = self.vectors.iter().copied().collect();
        let values = Arc::new(Float32Array::from(values));
        let item = Arc::new(Field::new("item", DataType::Float32, false));
        let unwritable =
            |error: ArrowError| crate::Error::io("write", path)(std::io::Error::other(error));
        let vectors = FixedSizeListArray::try_new(item, dim, values, None).map_err(unwritable)?;
        let columns = [("id", ids), ("vector", Arc::new(vectors) as ArrayRef)];
        RecordBatch::try_from_iter(columns).map_err(unwritable)
    }
}

/// Whether these are as many vectors as ids, as one table is written. Neither file has a place for
/// a mark.
#[cfg(feature = "npy")]
fn is_pair(vectors: &Path, ids: &Path) -> std::io::Result<bool> {
    use std::io::Read;
    let ids: Vec<ExternalId> = serde_json::from_slice(&std::fs::read(ids)?)?;
    let mut header = Vec::new();
    File::open(vectors)?.take(256).read_to_end(&mut header)?;
    let shape = format!("'shape': ({}, ", ids.len());
    let header = String::from_utf8_lossy(&header);
    Ok(header.contains("NUMPY") && header.contains("'<f4'") && header.contains(&shape))
}
