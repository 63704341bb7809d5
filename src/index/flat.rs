//! Exact search by going through all items.

mod file;

use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use ndarray::ArrayView2;
use rayon::prelude::*;

use super::{
    Filter, Hits, ItemSet, Precision, UpdatableIndex, VectorIndex, broken, check_vector,
    without_padding,
};
use crate::buffer::Buffer;
use crate::files::mapped::MappedFile;
use crate::item::ItemIndex;
use crate::kernels::panels::{self, Panels, WIDTH, lines_per_panel};
use crate::kernels::scoring::Line;
use crate::kernels::top_k;
use crate::{Error, ErrorKind, Result};

/// Exact search: products of blocks of queries and items, with the best kept as they come.
///
/// ```
/// use seqrec::ndarray::array;
/// use seqrec::data::ItemIndex;
/// use seqrec::index::{FlatIndex, VectorIndex};
///
/// // Row 0 is padding.
/// let index = FlatIndex::new(array![[9.0, 9.0], [1.0, 0.0], [0.0, 1.0]].view())?;
/// let hits = index.search(array![[0.1, 0.7]].view(), 1, None)?;
/// assert_eq!(hits.items(0), [ItemIndex::new(2)]);
/// # Ok::<(), seqrec::Error>(())
/// ```
#[derive(Debug)]
pub struct FlatIndex {
    state: RwLock<FlatState>,
    dim: usize,
    precision: Precision,
}

/// What updates change. A look at items holds on to it for reading, so it sees all of an update or
/// nothing of it.
#[derive(Debug)]
struct FlatState {
    /// The vector of item i lies at place i - 1.
    lines: Buffer<Line>,
    /// What each vector's values are multiples of; for int8 alone.
    scales: Buffer<f32>,
    /// The number of places.
    places: usize,
    /// The places' items that are not in the index.
    missing: ItemSet,
    /// The file that the arrays are in, as long as any may be.
    mapped: Option<MappedFile>,
}

impl FlatState {
    fn items(&self) -> usize {
        self.places - self.missing.len()
    }

    fn contains(&self, item: ItemIndex) -> bool {
        (1..=self.places).contains(&item.to_usize()) && !self.missing.contains(item)
    }

    /// Refuses to go on with arrays whose file is gone from under them.
    fn check(&self) -> Result<()> {
        self.mapped.as_ref().map_or(Ok(()), MappedFile::check)
    }
}

impl FlatIndex {
    /// An index over the rows of `[items + 1, dim]`, of which row 0 is padding.
    ///
    /// # Errors
    /// [`ErrorKind::NothingLeft`](crate::ErrorKind::NothingLeft) when there is no item,
    /// [`ErrorKind::NonFiniteVector`](crate::ErrorKind::NonFiniteVector) for NaN or infinity.
    pub fn new<'a>(vectors: impl Into<ArrayView2<'a, f32>>) -> Result<Self> {
        Self::with_precision(vectors, Precision::F32)
    }

    /// An index that keeps its vectors at a [`Precision`], and searches exactly what it keeps.
    ///
    /// # Errors
    /// As [`new`](Self::new), and [`ErrorKind::InvalidValue`] for a value that half-precision does
    /// not hold.
    pub fn with_precision<'a>(
        vectors: impl Into<ArrayView2<'a, f32>>,
        precision: Precision,
    ) -> Result<Self> {
        let vectors = vectors.into();
        let dim = vectors.ncols();
        let vectors = without_padding(vectors, precision)?;
        let vectors = vectors.as_standard_layout();
        let vectors = vectors.as_slice().unwrap_or_default();
        let places = vectors.len() / dim;
        let size = lines_per_panel(dim, precision);
        let mut lines = vec![Line::default(); places.div_ceil(WIDTH) * size];
        let mut scales = vec![1.0; places];
        lines
            .par_chunks_exact_mut(size)
            .zip(vectors.par_chunks(WIDTH * dim))
            .zip(scales.par_chunks_mut(WIDTH))
            .for_each(|((panel, vectors), scales)| {
                let columns = vectors.chunks_exact(dim).zip(scales).enumerate();
                for (column, (vector, scale)) in columns {
                    *scale = panels::write(panel, column, vector, precision);
                }
            });
        if !panels::has_scales(precision) {
            scales.clear();
        }
        Ok(Self {
            state: RwLock::new(FlatState {
                lines: lines.into(),
                scales: scales.into(),
                places,
                missing: ItemSet::new(),
                mapped: None,
            }),
            dim,
            precision,
        })
    }

    /// How many bytes the index takes.
    pub fn bytes(&self) -> usize {
        let state = self.read();
        size_of_val::<[Line]>(&state.lines) + size_of_val::<[f32]>(&state.scales)
    }

    /// The state, whatever became of it: for questions that read no array.
    fn read(&self) -> RwLockReadGuard<'_, FlatState> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state, if it is whole.
    fn read_whole(&self) -> Result<RwLockReadGuard<'_, FlatState>> {
        let state = self.state.read().map_err(|_| broken())?;
        state.check()?;
        Ok(state)
    }

    /// The vectors of all places.
    fn panels<'a>(&self, state: &'a FlatState) -> Panels<'a> {
        Panels {
            lines: &state.lines,
            scales: &state.scales,
            len: state.places,
            dim: self.dim,
            precision: self.precision,
        }
    }

    /// Writes the vector of an item that has a place, or gets the next one.
    fn put(&self, state: &mut FlatState, item: ItemIndex, vector: &[f32]) {
        let size = lines_per_panel(self.dim, self.precision);
        let place = item.to_usize() - 1;
        let lines = state.lines.make_own();
        while state.places <= place {
            state.places += 1;
            state.missing.insert(ItemIndex::new(state.places as u32));
        }
        lines.resize(state.places.div_ceil(WIDTH) * size, Line::default());
        let panel = &mut lines[place / WIDTH * size..][..size];
        let scale = panels::write(panel, place % WIDTH, vector, self.precision);
        if panels::has_scales(self.precision) {
            let scales = state.scales.make_own();
            scales.resize(state.places, 1.0);
            scales[place] = scale;
        }
        state.missing.remove(item);
    }

    /// Calls `update` while no search reads the state.
    fn update(&self, update: impl FnOnce(&mut FlatState) -> Result<()>) -> Result<()> {
        let mut state = self.state.write().map_err(|_| broken())?;
        state.check()?;
        update(&mut state)
    }
}

impl VectorIndex for FlatIndex {
    fn len(&self) -> usize {
        self.read().items()
    }

    fn dim(&self) -> usize {
        self.dim
    }

    fn is_exact(&self) -> bool {
        self.precision == Precision::F32
    }

    fn held(&self, items: &ItemSet) -> Result<ItemSet> {
        let state = self.read();
        Ok(items.iter().filter(|&item| state.contains(item)).collect())
    }

    fn search(
        &self,
        queries: ArrayView2<'_, f32>,
        k: usize,
        filter: Option<Filter<'_>>,
    ) -> Result<Hits> {
        self.check_queries(queries, k)?;
        // Let go before other threads are asked for anything: see `ChangingItems`.
        let k = k.min(self.read_whole()?.items());
        if k == 0 {
            return Ok(Hits::none(queries.nrows()));
        }
        let mut hits = Hits::with_capacity(queries.nrows(), k);
        let queries = queries.as_standard_layout();
        let queries = queries.as_slice().expect("standard layout is one slice");
        let items = Searched {
            index: self,
            filter,
        };
        top_k::search(queries, &items, k, &mut |_, found| {
            hits.push_scored(found.iter().map(|&(place, score)| (place + 1, score)));
        });
        // What was searched while an update panicked may be half of it.
        self.read_whole().map(|_| hits)
    }
}

/// The items that a search scores.
struct Searched<'a> {
    index: &'a FlatIndex,
    filter: Option<Filter<'a>>,
}

impl top_k::ChangingItems for Searched<'_> {
    fn lend<R>(&self, look: impl FnOnce(Panels<'_>, Option<top_k::Allowed<'_>>) -> R) -> R {
        let state = self.index.read();
        let passes = |query: usize, place: u32| {
            let item = ItemIndex::new(place + 1);
            !state.missing.contains(item)
                && (self.filter).is_none_or(|filter| filter.passes(query, item))
        };
        let all = self.filter.is_none() && state.missing.is_empty();
        look(
            self.index.panels(&state),
            if all { None } else { Some(&passes) },
        )
    }
}

impl UpdatableIndex for FlatIndex {
    fn contains(&self, item: ItemIndex) -> bool {
        self.read().contains(item)
    }

    fn vector(&self, item: ItemIndex) -> Result<Vec<f32>> {
        let state = self.read_whole()?;
        if !state.contains(item) {
            return Err(ErrorKind::UnknownItem { item }.into());
        }
        Ok(self.panels(&state).vector(item.to_usize() - 1))
    }

    fn add(&self, item: ItemIndex, vector: &[f32]) -> Result<()> {
        check_vector(self, item, vector, self.precision)?;
        self.update(|state| {
            if state.contains(item) {
                return Err(ErrorKind::DuplicateItem { item }.into());
            }
            if item.to_usize() > state.places.saturating_mul(2).saturating_add(1024) {
                let reason = format!(
                    "an exact index has a place for every item up to the last, and this is far \
                     above the {} there are",
                    state.places
                );
                return Err(Error::invalid("item", item, reason));
            }
            self.put(state, item, vector);
            Ok(())
        })
    }

    fn replace(&self, item: ItemIndex, vector: &[f32]) -> Result<()> {
        check_vector(self, item, vector, self.precision)?;
        self.update(|state| {
            if !state.contains(item) {
                return Err(ErrorKind::UnknownItem { item }.into());
            }
            self.put(state, item, vector);
            Ok(())
        })
    }

    fn remove(&self, item: ItemIndex) -> Result<()> {
        self.update(|state| {
            if !state.contains(item) {
                return Err(ErrorKind::UnknownItem { item }.into());
            }
            state.missing.insert(item);
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_update_that_panicked_half_way_leaves_no_index_to_search() {
        let vectors = ndarray::array![[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]];
        let index = FlatIndex::new(vectors.view()).unwrap();
        std::thread::scope(|scope| {
            let half_way = scope.spawn(|| {
                let _ = index.update(|state| {
                    state.places += 1;
                    panic!("half-way")
                });
            });
            assert!(half_way.join().is_err());
        });
        let query = vectors.slice(ndarray::s![1..2, ..]);
        assert!(matches!(
            index.search(query, 1, None).as_ref().map_err(Error::kind),
            Err(ErrorKind::Thread { .. })
        ));
        assert!(matches!(
            index
                .add(ItemIndex::new(9), &[0.0, 1.0])
                .as_ref()
                .map_err(Error::kind),
            Err(ErrorKind::Thread { .. })
        ));
        let folder = tempfile::tempdir().unwrap();
        assert!(index.save(folder.path().join("items.index"), 1).is_err());
    }
}
