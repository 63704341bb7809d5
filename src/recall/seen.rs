//! The items that users took, which are left out of their lists.

use crate::data::{ItemIndex, Seen, User};

/// Whether an item may not be recalled for the user in a place of `users`: where seen items are
/// left out, those of their history.
pub(super) fn is_seen(users: &[User<'_>], seen: Seen) -> impl Fn(usize, ItemIndex) -> bool {
    // Sorted, since a history may be long.
    let sorted = |user: &User<'_>| {
        let mut items = user.items().to_vec();
        items.sort_unstable();
        items
    };
    let of_users: Vec<Vec<ItemIndex>> = match seen {
        Seen::Exclude => users.iter().map(sorted).collect(),
        Seen::Keep => Vec::new(),
    };
    move |user, item| {
        let items = of_users.get(user);
        items.is_some_and(|items| items.binary_search(&item).is_ok())
    }
}
