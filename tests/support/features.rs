//! Features of a small catalog.

use seqrec::data::Features;

/// So many items that no other size of a model is the same.
pub const ITEMS: usize = 22;

/// Three features of every item.
pub fn features() -> Features {
    let values = ::ndarray::Array2::from_shape_fn((ITEMS + 1, 3), |(item, feature)| {
        if item > 0 && item % (feature + 2) == 0 {
            1.0
        } else {
            0.0
        }
    });
    Features::new(["a", "b", "c"].map(str::to_owned).to_vec(), values).unwrap()
}
