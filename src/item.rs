//! Items by dense indexes.

/// The dense index of an item: `1..=items`. 0 is [`PADDING`].
pub type ItemIndex = u32;

/// The index that stands for "no item". It is never an input that changes a result, never a
/// target and never recalled.
pub const PADDING: ItemIndex = 0;
