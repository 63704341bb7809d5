//! The items nearest to users' vectors.

use crate::Result;
use crate::data::User;
use crate::index::{Filter, Hits, VectorIndex};

use super::user_encoder::UserEncoder;

/// How many users are encoded, searched for or asked for at a time.
pub(crate) const BATCH: usize = 512;

/// The items nearest to each user's vector, or to any of their vectors; none for a user without
/// items.
pub(crate) fn nearest_items(
    encoder: &dyn UserEncoder,
    index: &dyn VectorIndex,
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
    let queries = encoder.encode(&known)?;
    let interests = queries.nrows() / rows.len();
    let passes = |query: usize, item| {
        filter.is_none_or(|filter| filter.passes(rows[query / interests], item))
    };
    let filter = match filter {
        Some(Filter::Predicate(_)) => Some(Filter::Predicate(&passes)),
        other => other,
    };
    let hits = index.search_interests(queries.view(), interests, k, filter)?;
    if rows.len() == users.len() {
        return Ok(hits);
    }
    Ok(spread(&hits, &rows, users.len()))
}

/// The hits of some rows, with none for the rows between.
fn spread(hits: &Hits, rows: &[usize], all: usize) -> Hits {
    let mut spread = Hits::default();
    let mut next = 0;
    for row in 0..all {
        if rows.get(next) == Some(&row) {
            spread.push(hits.list(next));
            next += 1;
        } else {
            spread.push([]);
        }
    }
    spread
}
