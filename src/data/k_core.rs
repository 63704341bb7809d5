//! The k-core: users and items that have enough of each other.

/// Which users and which items are left of rows when those with too few are dropped, until all that
/// are left have enough.
///
/// The users' rows lie between consecutive offsets. Dropping one may leave another with too few,
/// and that may go on for as long as there are rows, so each row is looked at once from either side
/// instead of all of them again and again.
pub(super) fn k_core(
    offsets: &[usize],
    items: &[u32],
    item_count: usize,
    [per_user, per_item]: [usize; 2],
) -> [Vec<bool>; 2] {
    let (item_offsets, takers) = takers(offsets, items, item_count);
    let mut left = [
        Remaining::new(offsets.windows(2).map(|at| at[1] - at[0]), per_user),
        Remaining::new(item_offsets.windows(2).map(|at| at[1] - at[0]), per_item),
    ];
    loop {
        let [users, of_items] = &mut left;
        if let Some(user) = users.to_visit.pop() {
            let rows = offsets[user as usize]..offsets[user as usize + 1];
            items[rows].iter().for_each(|&item| of_items.lose(item));
        } else if let Some(item) = of_items.to_visit.pop() {
            let rows = item_offsets[item as usize]..item_offsets[item as usize + 1];
            takers[rows].iter().for_each(|&user| users.lose(user));
        } else {
            return left.map(|left| left.is_left);
        }
    }
}

/// The users of each item's rows: where each item's begin, and where the last one's end, and the
/// users.
fn takers(offsets: &[usize], items: &[u32], item_count: usize) -> (Vec<usize>, Vec<u32>) {
    let mut ends = vec![0; item_count + 1];
    for &item in items {
        ends[item as usize + 1] += 1;
    }
    for item in 0..item_count {
        ends[item + 1] += ends[item];
    }
    let mut next = ends.clone();
    let mut users = vec![0; items.len()];
    for (user, at) in offsets.windows(2).enumerate() {
        for &item in &items[at[0]..at[1]] {
            let place = &mut next[item as usize];
            users[*place] = user as u32;
            *place += 1;
        }
    }
    (ends, users)
}

/// The users, or the items, that are left.
struct Remaining {
    least: usize,
    counts: Vec<usize>,
    is_left: Vec<bool>,
    /// Those that were dropped, whose rows the other side still counts.
    to_visit: Vec<u32>,
}

impl Remaining {
    fn new(counts: impl Iterator<Item = usize>, least: usize) -> Self {
        let counts: Vec<usize> = counts.collect();
        let is_left: Vec<bool> = counts.iter().map(|&count| count >= least).collect();
        let dropped = (0u32..).zip(&is_left).filter(|&(_, &is_left)| !is_left);
        Self {
            to_visit: dropped.map(|(number, _)| number).collect(),
            least,
            counts,
            is_left,
        }
    }

    /// Takes a row from one that has it.
    fn lose(&mut self, number: u32) {
        let count = &mut self.counts[number as usize];
        *count -= 1;
        let is_left = &mut self.is_left[number as usize];
        if *is_left && *count < self.least {
            *is_left = false;
            self.to_visit.push(number);
        }
    }
}
