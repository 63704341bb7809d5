//! Where the points of a chart are in a picture.

use super::axis::Axis;
use super::svg::Frame;

/// The part of a frame that values are drawn in, with its axes.
pub(super) struct Area {
    pub(super) frame: Frame,
    pub(super) x: Axis,
    pub(super) y: Axis,
    /// The height of texts.
    pub(super) size: f64,
}

impl Area {
    /// Where a point of the chart is in the picture.
    pub(super) fn at(&self, x: f64, y: f64) -> (f64, f64) {
        let Frame {
            left,
            width,
            height,
            ..
        } = self.frame;
        (
            left + self.x.place(x) * width,
            self.frame.bottom() - self.y.place(y) * height,
        )
    }
}
