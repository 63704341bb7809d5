//! Exact indexes in files.

use std::path::Path;
use std::sync::RwLock;

use super::{FlatIndex, FlatState};
use crate::Result;
use crate::buffer::Buffer;
use crate::index::file::{self, Kind};
use crate::index::{ItemSet, Precision};
use crate::item::ItemIndex;
use crate::kernels::panels::{self, WIDTH, lines_per_panel};
use crate::kernels::scoring::Line;

impl FlatIndex {
    /// Writes the index to a file, aside and then renamed. `fingerprint` is that of the
    /// [catalog](crate::data::Catalog::fingerprint) whose items it holds.
    ///
    /// # Errors
    /// [`ErrorKind::NotOurs`](crate::ErrorKind::NotOurs) when something else is there than an index
    /// file, and [`ErrorKind::Io`](crate::ErrorKind::Io) when the file can't be written.
    pub fn save(&self, path: impl AsRef<Path>, fingerprint: u64) -> Result<()> {
        let state = self.read_whole()?;
        let missing: Vec<ItemIndex> = state.missing.iter().collect();
        let mut settings = [0; _];
        settings[..3].copy_from_slice(&[
            self.dim as u64,
            self.precision as u64,
            state.places as u64,
        ]);
        let mut sections: [&[u8]; _] = [&[]; _];
        sections[0] = bytemuck::cast_slice(&state.lines);
        sections[1] = bytemuck::cast_slice(&state.scales);
        sections[2] = bytemuck::cast_slice(&missing);
        file::write(path.as_ref(), Kind::Flat, fingerprint, settings, sections)
    }

    /// Opens an index file by mapping it into memory: nothing is copied until the first update.
    ///
    /// # Errors
    /// As [`HnswIndex::open`](crate::index::HnswIndex::open).
    pub fn open(path: impl AsRef<Path>, fingerprint: u64) -> Result<Self> {
        let sections = file::open(path.as_ref(), Kind::Flat, fingerprint)?;
        let precision = sections.precision(1)?;
        let dim = sections.dimension(0)?;
        let places = sections.number(2)?;
        let state = FlatState {
            lines: sections.array(0)?,
            scales: sections.array(1)?,
            places,
            missing: ItemSet::new(),
            mapped: None,
        };
        let scales = if panels::has_scales(precision) {
            places
        } else {
            0
        };
        let panels = state.lines.len() / lines_per_panel(dim, precision);
        let missing: Buffer<ItemIndex> = sections.array(2)?;
        let fits = places > 0
            && places < u32::MAX as usize
            && panels == places.div_ceil(WIDTH)
            && state.lines.len() == panels * lines_per_panel(dim, precision)
            && state.scales.len() == scales
            && missing.len() <= places
            && missing
                .iter()
                .all(|&item| item != ItemIndex::PADDING && item.to_usize() <= places);
        if !fits {
            return Err(sections.damaged("its arrays don't fit each other"));
        }
        let index = Self {
            state: RwLock::new(FlatState {
                missing: missing.iter().copied().collect(),
                mapped: Some(sections.mapped),
                ..state
            }),
            dim,
            precision,
        };
        index.check_values(path.as_ref())?;
        Ok(index)
    }

    /// Refuses a file whose vectors hold a NaN or an infinity.
    fn check_values(&self, path: &Path) -> Result<()> {
        let state = self.read();
        let finite = match self.precision {
            Precision::F32 => bytemuck::cast_slice::<Line, f32>(&state.lines)
                .iter()
                .all(|value| value.is_finite()),
            Precision::F16 | Precision::Int8 => state.scales.iter().all(|scale| scale.is_finite()),
        };
        if finite {
            Ok(())
        } else {
            Err(file::damaged(path, "a vector holds a NaN or an infinity"))
        }
    }
}
