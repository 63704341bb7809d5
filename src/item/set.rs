//! Sets of items.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::indexing_slicing))]

use fixedbitset::FixedBitSet;

use super::ItemIndex;

/// A set of items: a bit for each, up to a catalog of 67 million, and a hash set for those beyond,
/// so that no single item takes more than 8 MB.
///
/// [`Catalog::known`](crate::data::Catalog::known) makes one of items that are known by external
/// ids.
#[derive(Debug, Clone, Default)]
pub struct ItemSet {
    bits: FixedBitSet,
    /// Items from [`DENSE`] on.
    beyond: foldhash::HashSet<ItemIndex>,
    len: usize,
}

/// The items below this have a bit.
const DENSE: ItemIndex = ItemIndex::new(1 << 26);

/// Sets are equal that hold the same items, whatever they once held.
impl PartialEq for ItemSet {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len
            && self.bits.ones().eq(other.bits.ones())
            && self.beyond == other.beyond
    }
}

impl Eq for ItemSet {}

impl ItemSet {
    /// A set of no items.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an item; whether it is new to the set.
    pub fn insert(&mut self, item: ItemIndex) -> bool {
        let new = if item < DENSE {
            self.bits.grow(item.to_usize() + 1);
            !self.bits.put(item.to_usize())
        } else {
            self.beyond.insert(item)
        };
        self.len += usize::from(new);
        new
    }

    /// Removes an item; whether it was in the set.
    pub fn remove(&mut self, item: ItemIndex) -> bool {
        let was_there = self.contains(item);
        if was_there {
            if item < DENSE {
                self.bits.set(item.to_usize(), false);
            } else {
                self.beyond.remove(&item);
            }
            self.len -= 1;
        }
        was_there
    }

    /// Whether an item is in the set.
    #[inline]
    pub fn contains(&self, item: ItemIndex) -> bool {
        self.bits.contains(item.to_usize()) || (item >= DENSE && self.beyond.contains(&item))
    }

    /// The number of items.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no items.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The items, in rising order.
    pub fn iter(&self) -> impl Iterator<Item = ItemIndex> + '_ {
        let mut beyond: Vec<ItemIndex> = self.beyond.iter().copied().collect();
        beyond.sort_unstable();
        let dense = self.bits.ones().map(|item| ItemIndex::new(item as u32));
        dense.chain(beyond)
    }
}

impl FromIterator<ItemIndex> for ItemSet {
    fn from_iter<I: IntoIterator<Item = ItemIndex>>(items: I) -> Self {
        let mut set = Self::new();
        set.extend(items);
        set
    }
}

impl<'a> IntoIterator for &'a ItemSet {
    type Item = ItemIndex;
    type IntoIter = Box<dyn Iterator<Item = ItemIndex> + 'a>;

    fn into_iter(self) -> Self::IntoIter {
        Box::new(self.iter())
    }
}

impl Extend<ItemIndex> for ItemSet {
    fn extend<I: IntoIterator<Item = ItemIndex>>(&mut self, items: I) {
        for item in items {
            self.insert(item);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set<const N: usize>(items: [u32; N]) -> ItemSet {
        items.map(ItemIndex::new).into_iter().collect()
    }

    #[test]
    fn items_come_and_go_and_are_counted_once() {
        let [five, six, last, beyond] = [5, 6, 900, 100_000].map(ItemIndex::new);
        let mut set = set([5, 900, 5]);
        assert_eq!(set.len(), 2);
        assert!(set.contains(last) && !set.contains(six) && !set.contains(beyond));
        assert!(!set.remove(beyond) && set.remove(five) && !set.remove(five));
        assert!(set.iter().eq([last]));
        assert!(set.remove(last) && set.is_empty());
    }

    #[test]
    fn the_largest_item_is_one_like_any_other() {
        let dense = DENSE.get();
        let mut set = set([7, u32::MAX, dense, dense - 1]);
        assert!(set.bits.len() <= DENSE.to_usize());
        assert_eq!(set.len(), 4);
        let before = ItemIndex::new(u32::MAX - 1);
        assert!(set.contains(ItemIndex::MAX) && !set.contains(before));
        let sorted = [7, dense - 1, dense, u32::MAX].map(ItemIndex::new);
        assert!(set.iter().eq(sorted));
        assert!(set.remove(ItemIndex::MAX) && !set.remove(ItemIndex::MAX));
    }

    #[test]
    fn sets_of_the_same_items_are_equal() {
        let mut once_larger = set([1, 9, u32::MAX]);
        assert_ne!(once_larger, set([1]));
        once_larger.remove(ItemIndex::new(9));
        once_larger.remove(ItemIndex::MAX);
        assert_eq!(once_larger, set([1]));
    }
}
