//! Graphs in files.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use std::path::Path;

use rayon::prelude::*;

use super::dominant::Dominant;
use super::graph::{Graph, NeighborLists};
use super::twins::{NONE, Twins};
use super::{HnswConfig, HnswIndex};
use crate::buffer::Buffer;
use crate::index::file::{self, Kind, Sections};
use crate::index::vectors::Vectors;
use crate::item::ItemIndex;
use crate::kernels::scoring::Line;
use crate::{ErrorKind, Result};

impl HnswIndex {
    /// Writes the index to a file, aside and then renamed. `fingerprint` is that of the
    /// [catalog](crate::data::Catalog::fingerprint) whose items it holds.
    ///
    /// # Errors
    /// [`ErrorKind::NotOurs`] when something else is there than an index file, and
    /// [`ErrorKind::Io`] when the file can't be written.
    pub fn save(&self, path: impl AsRef<Path>, fingerprint: u64) -> Result<()> {
        let state = self.read_whole()?;
        let graph = &state.graph;
        let (rows, scales) = graph.vectors.parts();
        let (base, upper) = (graph.base.to_vec(), graph.upper.to_vec());
        let (directions, products) = graph.dominant.parts();
        let settings = [
            graph.vectors.dim() as u64,
            graph.vectors.precision() as u64,
            graph.neighbors as u64,
            self.config.ef_construction as u64,
            self.config.ef_search as u64,
            self.config.seed,
            graph.entry.into(),
            self.exact.into(),
            0,
            0,
        ];
        let sections: [&[u8]; _] = [
            bytemuck::cast_slice(rows),
            bytemuck::cast_slice(scales),
            bytemuck::cast_slice(directions),
            bytemuck::cast_slice(&graph.items),
            &graph.levels,
            bytemuck::cast_slice(&base),
            bytemuck::cast_slice(&graph.upper_start),
            bytemuck::cast_slice(&upper),
            bytemuck::cast_slice(products),
            bytemuck::cast_slice(graph.twins.parts()),
        ];
        file::write(path.as_ref(), Kind::Hnsw, fingerprint, settings, sections)
    }

    /// Opens an index file by mapping it into memory: nothing is copied, and pages are read as
    /// searches need them. The first update copies what it changes.
    ///
    /// Every byte is checked before the first search, by checksum and by meaning, so that no file
    /// whatsoever leads a search astray.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] when the file can't be read, [`ErrorKind::FormatVersion`] for another
    /// version's, [`ErrorKind::OtherCatalog`] for another fingerprint, [`ErrorKind::DuplicateItem`]
    /// for an item that comes twice and [`ErrorKind::Damaged`] for whatever else is wrong with it.
    #[expect(clippy::indexing_slicing, reason = "pairs have two items")]
    pub fn open(path: impl AsRef<Path>, fingerprint: u64) -> Result<Self> {
        let sections = file::open(path.as_ref(), Kind::Hnsw, fingerprint)?;
        let config = HnswConfig {
            precision: sections.precision(1)?,
            m: sections.number(2)?,
            ef_construction: sections.number(3)?,
            ef_search: sections.number(4)?,
            seed: sections.settings[5],
        };
        config
            .validate()
            .map_err(|error| sections.damaged(&error.to_string()))?;
        let graph = graph(&sections, &config)?;
        check(&graph).map_err(|reason| sections.damaged(reason))?;
        let mut items: Vec<ItemIndex> = graph
            .items
            .iter()
            .copied()
            .filter(|&item| item != ItemIndex::PADDING)
            .collect();
        items.sort_unstable();
        if let Some(pair) = items.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(ErrorKind::DuplicateItem { item: pair[0] }.into());
        }
        let exact = sections.settings[7] != 0;
        Ok(Self {
            exact,
            ..Self::of_graph(graph, config, Some(sections.mapped))
        })
    }
}

/// The graph of a file's arrays, of which nothing but their lengths is known to be right.
fn graph(sections: &Sections, config: &HnswConfig) -> Result<Graph> {
    let dim = sections.dimension(0)?;
    let mismatch = || sections.damaged("its arrays don't fit each other");
    let rows: Buffer<Line> = sections.array(0)?;
    let vectors = Vectors::from_parts(dim, config.precision, rows, sections.array(1)?)
        .ok_or_else(mismatch)?;
    let items: Buffer<ItemIndex> = sections.array(3)?;
    let levels: Buffer<u8> = sections.array(4)?;
    let base: Buffer<u32> = sections.array(5)?;
    let upper_start: Buffer<u32> = sections.array(6)?;
    let upper: Buffer<u32> = sections.array(7)?;
    let points = items.len();
    let dominant = Dominant::from_parts(dim, sections.array(2)?, sections.array(8)?, points)
        .ok_or_else(mismatch)?;
    let fits = vectors.len() == points
        && levels.len() == points
        && base.len() == points * 2 * config.m
        && upper_start.len() == points
        && upper.len().is_multiple_of(config.m);
    // The highest bit of a point's number is a mark of the beam's.
    if !fits || points >= 1 << 31 {
        return Err(mismatch());
    }
    let live = items
        .iter()
        .filter(|&&item| item != ItemIndex::PADDING)
        .count();
    let entry = u32::try_from(sections.settings[6]).unwrap_or(NONE);
    Ok(Graph {
        neighbors: config.m,
        vectors,
        dominant,
        squares: Vec::new(),
        twins: Twins::from_parts(sections.array(9)?),
        items,
        levels,
        base: NeighborLists::Mapped(base),
        upper_start,
        upper: NeighborLists::Mapped(upper),
        entry,
        live,
    })
}

/// What is wrong with a graph: every link must lead to a point that is on the link's layer, and
/// every number must be one.
#[expect(
    clippy::indexing_slicing,
    reason = "arrays are of one length, which was checked before"
)]
fn check(graph: &Graph) -> Result<(), &'static str> {
    let lists = graph.upper.len() / graph.neighbors;
    let level = |point: u32| graph.levels.get(point as usize).copied().map(usize::from);
    let Some(twins) = graph.twins.flags(graph.len()) else {
        return Err("its twins are no chains");
    };
    let is_twin = |point: u32| twins.get(point as usize) == Some(&true);
    for (point, _) in (0..).zip(&twins).filter(|&(_, &twin)| !twin) {
        let vector = graph.vectors.bits(point);
        let others = graph.twins.with(point).skip(1);
        if others
            .into_iter()
            .any(|twin| graph.vectors.bits(twin) != vector)
        {
            return Err("twins have different vectors");
        }
    }
    if is_twin(graph.entry) {
        return Err("its entry is not linked");
    }
    let no_entry = graph.entry == NONE && graph.live == 0;
    if !no_entry && level(graph.entry).is_none() {
        return Err("its entry is no point");
    }
    let mut given = 0;
    for point in 0..graph.len() as u32 {
        let top = usize::from(graph.levels[point as usize]);
        // One after another: a list that two points had in common would be right for one of them
        // only, as soon as the other's is changed.
        if graph.upper_start[point as usize] as usize != given {
            return Err("a point's lists are not its own");
        }
        given += top;
        if given > lists {
            return Err("a point lies on layers that are not there");
        }
    }
    if given != lists {
        return Err("a list is no point's");
    }
    let good_links = |point: u32| {
        (0..=usize::from(graph.levels[point as usize])).all(|layer| {
            let (links, list, width) = graph.list(point, layer);
            let mut good = true;
            links.for_each(list, width, |link| {
                good &= level(link).is_some_and(|level| level >= layer) && !is_twin(link);
            });
            good
        })
    };
    // By all threads: of a million points these are most of what opening takes.
    if !(0..graph.len() as u32).into_par_iter().all(good_links) {
        return Err("a link leads nowhere");
    }
    if !graph.vectors.are_finite() || !graph.dominant.are_finite() {
        return Err("a vector holds a NaN or an infinity");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_that_points_have_in_common_are_refused() {
        let vectors = ndarray::Array2::from_shape_fn((300, 3), |(row, column)| {
            ((row * 7 + column * 5) % 11) as f32
        });
        let config = HnswConfig::new().with_m(2);
        let index = HnswIndex::new(vectors.view(), &config).unwrap();
        let mut graph = index.state.into_inner().unwrap().graph;
        assert_eq!(check(&graph), Ok(()));
        let raised: Vec<usize> = (0..graph.len())
            .filter(|&point| graph.levels[point] > 0)
            .collect();
        let starts = graph.upper_start.make_own();
        starts[raised[1]] = starts[raised[0]];
        assert_eq!(check(&graph), Err("a point's lists are not its own"));
    }
}
