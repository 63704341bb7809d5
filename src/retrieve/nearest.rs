//! The items nearest to users' vectors.

use ndarray::Array2;

use crate::Result;
use crate::data::{ItemIndex, User, check_known};
use crate::index::{Filter, Hits, ItemSet, VectorIndex};

/// The items nearest to each user's vector, or to any of its vectors, out of the first `items`:
/// an index may be ahead of the catalog.
pub(crate) fn nearest_items(
    encode: impl FnOnce(&[User<'_>]) -> Result<Array2<f32>>,
    index: &dyn VectorIndex,
    items: usize,
    users: &[User<'_>],
    k: usize,
    filter: Option<Filter<'_>>,
) -> Result<Hits> {
    // A model needs an item to go by.
    let rows: Vec<usize> = (0..users.len())
        .filter(|&row| !users[row].items().is_empty())
        .collect();
    if rows.is_empty() {
        return Ok(spread(&Hits::default(), &rows, users.len()));
    }
    let known: Vec<User<'_>> = rows.iter().map(|&row| users[row]).collect();
    check_known(known.iter().copied(), items)?;
    let queries = encode(&known)?;
    let interests = queries.nrows() / rows.len();
    let passes = |query: usize, item| {
        filter.is_none_or(|filter| filter.passes(rows[query / interests], item))
    };
    let filter = match filter {
        Some(Filter::Predicate(_)) => Some(Filter::Predicate(&passes)),
        other => other,
    };
    let mut hits = index.search_interests(queries.view(), interests, k, filter)?;
    let is_beyond = |item: ItemIndex| item.to_usize() > items;
    let mut found = (0..hits.len()).flat_map(|row| hits.items(row));
    // It seldom is, so that nothing is paid for it before it is seen.
    if found.any(|&item| is_beyond(item)) {
        let known = |query: usize, item: ItemIndex| {
            !is_beyond(item) && filter.is_none_or(|filter| filter.passes(query, item))
        };
        let known = Some(Filter::Predicate(&known));
        hits = index.search_interests(queries.view(), interests, k, known)?;
    }
    if rows.len() == users.len() {
        return Ok(hits);
    }
    Ok(spread(&hits, &rows, users.len()))
}

/// Those of some items that are in an index.
pub(crate) fn items_in(index: &dyn VectorIndex, items: &ItemSet) -> Result<ItemSet> {
    if items.is_empty() {
        return Ok(ItemSet::new());
    }
    // A search for as many as pass gives all that are there, whatever the query.
    let query = Array2::zeros((1, index.dim()));
    let filter = Some(Filter::Allowed(items));
    let hits = index.search(query.view(), items.len(), filter)?;
    Ok(hits.items(0).iter().copied().collect())
}

/// The hits of some rows, with none for the rows between.
fn spread(hits: &Hits, rows: &[usize], all: usize) -> Hits {
    let mut spread = Hits::default();
    let mut next = 0;
    for row in 0..all {
        if rows.get(next) == Some(&row) {
            spread.push(hits.of(next));
            next += 1;
        } else {
            spread.push([]);
        }
    }
    spread
}
