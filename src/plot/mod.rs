//! Pictures as SVG: charts of lines, points and bars, training curves, and maps of item vectors.
//!
//! An SVG needs no fonts on the machine that draws it, and any browser shows it, on light and dark
//! backgrounds. Its colors are told apart by colorblind readers too.

mod area;
mod axis;
mod chart;
mod curves;
mod map;
mod palette;
mod panel;
mod picture;
mod shapes;
mod svg;
mod tsne;

use crate::{Error, ErrorKind};

pub use chart::Chart;
pub use curves::draw_training_curves;
pub use map::{MapPoint, draw_map};
pub use picture::Picture;
pub use tsne::tsne;

/// The error of a picture that can't be drawn.
fn failed(picture: &str, reason: &str) -> Error {
    Error::from(ErrorKind::Plot {
        picture: picture.to_owned(),
        reason: reason.to_owned(),
    })
}
