//! Pictures as SVG files: training curves and maps of item vectors.
//!
//! SVG needs no fonts on the machine that draws it, and any browser shows it.

mod curves;
mod map;

use std::path::Path;

use crate::files::{begins_with, replace_file};
use crate::{Error, ErrorKind, Result};

pub use curves::draw_training_curves;
pub use map::{draw_map, tsne};

fn failed(path: &Path) -> impl Fn(String) -> Error + '_ {
    |reason| {
        Error::from(ErrorKind::Plot {
            path: path.to_owned(),
            reason,
        })
    }
}

/// What pictures of ours begin with.
const MARK: &str = "<!-- drawn by seqrec -->\n";

/// Writes a picture, in the place of none but one of ours.
fn write(path: &Path, svg: &str) -> Result<()> {
    replace_file(path, begins_with(MARK.as_bytes()), |file| {
        std::io::Write::write_all(file, [MARK, svg].concat().as_bytes())
    })
}
