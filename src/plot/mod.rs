//! Pictures as SVG files: training curves and maps of item vectors.
//!
//! SVG needs no fonts on the machine that draws it, and any browser shows it.

mod curves;
mod map;

use std::path::Path;

use crate::Error;

pub use curves::draw_training_curves;
pub use map::{MapPoint, draw_map, tsne};

fn failed(path: &Path) -> impl Fn(String) -> Error + '_ {
    |reason| Error::Plot {
        path: path.to_owned(),
        reason,
    }
}
