//! The items that users took, which are left out of their lists.

use crate::data::{ItemIndex, Seen, User};

/// The items of some users that may not be recalled for them: those of their histories, unless
/// these are kept.
pub(super) struct SeenItems {
    /// Sorted, since a history may be long; nothing where seen items are kept.
    of_users: Vec<Vec<ItemIndex>>,
}

impl SeenItems {
    pub(super) fn new(users: &[User<'_>], seen: Seen) -> Self {
        let sorted = |user: &User<'_>| {
            let mut items = user.items().to_vec();
            items.sort_unstable();
            items
        };
        let of_users = match seen {
            Seen::Exclude => users.iter().map(sorted).collect(),
            Seen::Keep => Vec::new(),
        };
        Self { of_users }
    }

    /// Whether an item may not be recalled for the user in this place.
    pub(super) fn contains(&self, user: usize, item: ItemIndex) -> bool {
        let items = self.of_users.get(user);
        items.is_some_and(|items| items.binary_search(&item).is_ok())
    }
}
