//! Items by dense indexes.

mod set;

use std::fmt;

use bytemuck::{Pod, TransparentWrapper, TransparentWrapperAlloc, Zeroable};
use serde::{Deserialize, Serialize};

pub use set::ItemSet;

/// The dense index of an item in a catalog: `1..=items`. 0 is [`PADDING`](Self::PADDING).
///
/// A type of its own, so that the numbers that a data set or a shop gives its items can't be taken
/// for it: [`Catalog::index_of`](crate::data::Catalog::index_of) and its siblings are the way from
/// those to these. It is as large as the `u32` that it holds.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    Pod,
    Zeroable,
    TransparentWrapper,
)]
#[serde(transparent)]
#[repr(transparent)]
pub struct ItemIndex(u32);

impl ItemIndex {
    /// The index that stands for "no item". It is never an input that changes a result, never a
    /// target and never recalled.
    pub const PADDING: Self = Self(0);

    /// The largest index that there can be.
    pub const MAX: Self = Self(u32::MAX);

    /// The item at this place of a catalog, from 1 on.
    pub const fn new(index: u32) -> Self {
        Self(index)
    }

    /// The index as a number.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The index as a place in memory, such as a row of
    /// [`item_vectors`](crate::retrieve::item_vectors).
    pub const fn to_usize(self) -> usize {
        self.0 as usize
    }

    /// Numbers that are known to be dense indexes, without a copy.
    pub fn from_slice(numbers: &[u32]) -> &[Self] {
        Self::wrap_slice(numbers)
    }

    /// The numbers of indexes, without a copy.
    pub fn as_numbers(items: &[Self]) -> &[u32] {
        Self::peel_slice(items)
    }

    pub(crate) fn from_vec(numbers: Vec<u32>) -> Vec<Self> {
        Self::wrap_vec(numbers)
    }

    /// All items of a catalog of this many, in order.
    pub(crate) fn all(items: usize) -> impl ExactSizeIterator<Item = Self> + Clone {
        (0..items).map(|place| Self(place as u32 + 1))
    }
}

impl fmt::Display for ItemIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<ItemIndex> for u32 {
    fn from(item: ItemIndex) -> Self {
        item.0
    }
}

impl From<ItemIndex> for usize {
    fn from(item: ItemIndex) -> Self {
        item.to_usize()
    }
}
