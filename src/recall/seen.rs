//! The items that users have seen, which are left out of their lists.

use rayon::prelude::*;

use crate::data::{ItemIndex, Seen, User};

/// The items that one user has [seen](User::seen_items), of which most questions ask in vain: a bit
/// says so at once.
struct SeenItems {
    /// A bit for each remainder of an item's number.
    bits: Vec<u64>,
    /// Sorted, since a history may be long.
    items: Vec<ItemIndex>,
}

impl SeenItems {
    fn new(user: &User<'_>) -> Self {
        let mut items: Vec<ItemIndex> = user.seen_items().collect();
        items.sort_unstable();
        let mut bits = vec![0; (items.len() / 4).next_power_of_two()];
        for item in &items {
            let (word, bit) = Self::place(&bits, *item);
            bits[word] |= bit;
        }
        Self { bits, items }
    }

    fn place(bits: &[u64], item: ItemIndex) -> (usize, u64) {
        // As many words as a power of two.
        let word = (item.to_usize() >> 6) & (bits.len() - 1);
        (word, 1 << (item.get() & 63))
    }

    fn contains(&self, item: ItemIndex) -> bool {
        let (word, bit) = Self::place(&self.bits, item);
        self.bits[word] & bit != 0 && self.items.binary_search(&item).is_ok()
    }
}

/// Whether an item may not be recalled for the user in a place of `users`: where seen items are
/// left out, whether they have seen it.
pub(super) fn is_seen(users: &[User<'_>], seen: Seen) -> impl Fn(usize, ItemIndex) -> bool {
    let of_users: Vec<SeenItems> = match seen {
        Seen::Exclude => users.par_iter().map(SeenItems::new).collect(),
        Seen::Keep => Vec::new(),
    };
    move |user, item| of_users.get(user).is_some_and(|seen| seen.contains(item))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_user_took_is_seen_and_nothing_else() {
        let histories: Vec<Vec<ItemIndex>> = [0, 1, 3, 40, 700]
            .map(|count| {
                (0..count)
                    .map(|n| ItemIndex::new(1 + n * 7919 % 5003))
                    .collect()
            })
            .to_vec();
        let users: Vec<User<'_>> = histories
            .iter()
            .map(|items| items.as_slice().into())
            .collect();
        let (out, kept) = (is_seen(&users, Seen::Exclude), is_seen(&users, Seen::Keep));
        for item in (1..6000).map(ItemIndex::new) {
            for (user, items) in histories.iter().enumerate() {
                assert_eq!(out(user, item), items.contains(&item));
                assert!(!kept(user, item));
            }
        }
    }
}
