//! Choosing among candidates, so that a list holds items of several kinds.

use ndarray::{Array2, ArrayView2};

use crate::data::{Catalog, Interaction, ItemIndex, User};
use crate::index::{Filter, ItemSet};
use crate::kernels::rows::scale_to_length_one;
use crate::{Error, Result, checks};

use super::candidates::{Candidate, Candidates};
use super::channel::RecallChannel;
use super::links::{Links, Tag};

/// A way to choose k of more candidates than that, for a stage's
/// [`selection`](super::RecallStage::selection) or for [a channel](Selection::among) by itself.
///
/// ```
/// use seqrec::data::ItemIndex;
/// use seqrec::recall::{Candidate, Reason, Selection};
///
/// /// Every other one.
/// struct Alternate;
///
/// impl Selection for Alternate {
///     fn select(&self, candidates: &[Candidate], k: usize) -> Vec<usize> {
///         (0..candidates.len()).step_by(2).take(k).collect()
///     }
/// }
///
/// let candidates = [4, 2, 9, 1].map(|item| Candidate {
///     item: ItemIndex::new(item),
///     score: 1.0,
///     reason: Reason::Taste,
/// });
/// assert_eq!(Alternate.select(&candidates, 5), [0, 2]);
/// ```
pub trait Selection: Send + Sync {
    /// The places of those that are taken, at most k, in the order in which they are; candidates
    /// are best first.
    fn select(&self, candidates: &[Candidate], k: usize) -> Vec<usize>;

    /// A channel whose list is chosen so among `candidates` items of another's, or k where that is
    /// more. Items come in the order in which they were taken, which is not that of their scores.
    fn among<C: RecallChannel>(self, channel: C, candidates: usize) -> impl RecallChannel
    where
        Self: Sized,
    {
        Selected {
            channel,
            selection: self,
            candidates,
        }
    }
}

/// A pointer to a selection is a selection.
macro_rules! forward {
    ($($pointer:ty),*) => {$(
        impl<S: Selection + ?Sized> Selection for $pointer {
            fn select(&self, candidates: &[Candidate], k: usize) -> Vec<usize> {
                (**self).select(candidates, k)
            }
        }
    )*};
}

forward!(&S, Box<S>, std::sync::Arc<S>);

/// Takes k places one by one, each time the one of the largest value, the first of equals, and
/// after each lets `taken` change the values of those that are left.
fn one_by_one(
    mut values: Vec<f32>,
    k: usize,
    mut taken: impl FnMut(usize, &mut [f32]),
) -> Vec<usize> {
    let mut left = vec![true; values.len()];
    let mut chosen = Vec::with_capacity(k.min(values.len()));
    while chosen.len() < k {
        let open = (0..values.len()).filter(|&place| left[place]);
        let better = |best: usize, place: usize| {
            if values[place].total_cmp(&values[best]).is_gt() {
                place
            } else {
                best
            }
        };
        let Some(best) = open.reduce(better) else {
            break;
        };
        left[best] = false;
        chosen.push(best);
        taken(best, &mut values);
    }
    chosen
}

/// Adds to a candidate's score for every item taken already that is of another category.
///
/// Cen et al., [ComiRec](https://arxiv.org/abs/2005.09347), section 3.4: controllable aggregation.
///
/// ```
/// use seqrec::channels::Popularity;
/// use seqrec::data::{Catalog, ItemIndex, User};
/// use seqrec::recall::{CategoryBonus, RecallChannel, Selection};
///
/// let taken = [1, 1, 1, 2, 2, 3].map(ItemIndex::new);
/// let catalog = Catalog::from_ids(["a", "b", "c"].map(Into::into))?.with_counts([&taken[..]]);
/// // Items 1 and 2 are of one category; row 0 is padding.
/// let bonus = CategoryBonus::new(vec![0, 7, 7, 8], 0.5)?;
/// let diverse = bonus.among(Popularity::new(&catalog), 3);
/// let candidates = diverse.recall(&[User::default()], 2, None)?;
/// assert_eq!(candidates.items(0), [1, 3].map(ItemIndex::new));
/// # Ok::<(), seqrec::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct CategoryBonus {
    categories: Vec<u32>,
    factor: f32,
}

impl CategoryBonus {
    /// By the category of each item, `[items + 1]`; items beyond the end share one of their own.
    /// `factor` is the bonus λ, in the unit of the scores; 0 leaves the order as it is.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) when the factor is below 0.
    pub fn new(categories: Vec<u32>, factor: f64) -> Result<Self> {
        checks::not_negative("factor", factor)?;
        let factor = factor as f32;
        Ok(Self { categories, factor })
    }
}

impl Selection for CategoryBonus {
    fn select(&self, candidates: &[Candidate], k: usize) -> Vec<usize> {
        let category = |place: usize| self.categories.get(candidates[place].item.to_usize());
        let scores = candidates.iter().map(|candidate| candidate.score).collect();
        one_by_one(scores, k, |taken, values| {
            for (place, value) in values.iter_mut().enumerate() {
                if category(place) != category(taken) {
                    *value += self.factor;
                }
            }
        })
    }
}

/// Weighs how good a candidate is against how near it is to the nearest item taken already.
///
/// Carbonell & Goldstein, [maximal marginal relevance](https://doi.org/10.1145/290941.291025),
/// with scores from 0 for the last candidate to 1 for the best, and cosines as nearness.
///
/// ```
/// use seqrec::ndarray::array;
/// use seqrec::data::ItemIndex;
/// use seqrec::recall::{Candidate, MaximalMarginalRelevance, Reason, Selection};
///
/// let vectors = array![[0.0, 0.0], [1.0, 0.0], [1.0, 0.1], [0.0, 1.0]];
/// let candidates = [(1, 0.9), (2, 0.8), (3, 0.5)]
///     .map(|(item, score)| (ItemIndex::new(item), score))
///     .map(|(item, score)| Candidate { item, score, reason: Reason::Popular });
/// assert_eq!(MaximalMarginalRelevance::new(vectors.view(), 1.0)?.select(&candidates, 2), [0, 1]);
/// assert_eq!(MaximalMarginalRelevance::new(vectors.view(), 0.5)?.select(&candidates, 2), [0, 2]);
/// # Ok::<(), seqrec::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct MaximalMarginalRelevance {
    /// Of length 1.
    vectors: Array2<f32>,
    relevance: f32,
}

impl MaximalMarginalRelevance {
    /// By the items' vectors `[items + 1, dim]`. `relevance` is λ: 1 leaves the order as it is, 0
    /// uses nearness alone. Items beyond the vectors are near nothing.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) when `relevance` is not from 0
    /// to 1.
    pub fn new(vectors: ArrayView2<'_, f32>, relevance: f64) -> Result<Self> {
        if !(0.0..=1.0).contains(&relevance) {
            return Err(Error::invalid(
                "relevance",
                relevance,
                "must be from 0 to 1",
            ));
        }
        let mut vectors = vectors.as_standard_layout().into_owned();
        scale_to_length_one(vectors.view_mut());
        let relevance = relevance as f32;
        Ok(Self { vectors, relevance })
    }
}

impl Selection for MaximalMarginalRelevance {
    fn select(&self, candidates: &[Candidate], k: usize) -> Vec<usize> {
        let scores = || candidates.iter().map(|candidate| candidate.score);
        let least = scores().fold(f32::INFINITY, f32::min);
        let span = scores().fold(f32::NEG_INFINITY, f32::max) - least;
        let good: Vec<f32> = scores()
            .map(|score| {
                self.relevance
                    * if span > 0.0 {
                        (score - least) / span
                    } else {
                        1.0
                    }
            })
            .collect();
        let dim = self.vectors.ncols();
        // Side by side, since each is compared with each that is taken.
        let mut vectors = vec![0.0; candidates.len() * dim];
        for (to, candidate) in vectors.chunks_exact_mut(dim.max(1)).zip(candidates) {
            if candidate.item.to_usize() < self.vectors.nrows() {
                let from = self.vectors.row(candidate.item.to_usize());
                to.copy_from_slice(from.as_slice().expect("rows in standard order"));
            }
        }
        let vectors = ArrayView2::from_shape((candidates.len(), dim), &vectors)
            .expect("a row for each candidate");
        let mut nearest = vec![f32::NEG_INFINITY; candidates.len()];
        one_by_one(good.clone(), k, |taken, values| {
            let cosines = vectors.dot(&vectors.row(taken));
            for (place, value) in values.iter_mut().enumerate() {
                nearest[place] = nearest[place].max(cosines[place]);
                *value = good[place] - (1.0 - self.relevance) * nearest[place];
            }
        })
    }
}

/// Takes no more than so many items of each tag; the list is shorter where that leaves fewer.
///
/// An item with several tags counts for each, and is taken only while all have room. One without
/// any is always taken.
#[derive(Debug, Clone)]
pub struct TagCap {
    tags: Links<ItemIndex, Tag>,
    most: usize,
}

impl TagCap {
    /// At most `most` items of each tag.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) when that is 0.
    pub fn new(tags: Links<ItemIndex, Tag>, most: usize) -> Result<Self> {
        checks::at_least_one(&[("most", most)])?;
        Ok(Self { tags, most })
    }
}

impl Selection for TagCap {
    fn select(&self, candidates: &[Candidate], k: usize) -> Vec<usize> {
        let mut of_tag = vec![0; self.tags.nodes()];
        let mut chosen = Vec::new();
        for (place, candidate) in candidates.iter().enumerate() {
            let (tags, _) = self.tags.of(candidate.item.get());
            if chosen.len() < k && tags.iter().all(|&tag| of_tag[tag as usize] < self.most) {
                tags.iter().for_each(|&tag| of_tag[tag as usize] += 1);
                chosen.push(place);
            }
        }
        chosen
    }
}

/// See [`Selection::among`].
struct Selected<C, S> {
    channel: C,
    selection: S,
    candidates: usize,
}

impl<C: RecallChannel, S: Selection> RecallChannel for Selected<C, S> {
    fn recall(
        &self,
        users: &[User<'_>],
        k: usize,
        filter: Option<Filter<'_>>,
    ) -> Result<Candidates> {
        let candidates = self.channel.recall(users, k.max(self.candidates), filter)?;
        let mut selected = Candidates::with_capacity(users.len(), k);
        for row in 0..users.len() {
            let all: Vec<Candidate> = candidates.of(row).collect();
            let chosen = self.selection.select(&all, k);
            selected.push(chosen.into_iter().map(|place| all[place]));
        }
        Ok(selected)
    }

    fn holds(&self, items: &ItemSet) -> Result<Option<ItemSet>> {
        self.channel.holds(items)
    }

    fn observe(&self, item: ItemIndex, interaction: &Interaction, segments: &[String]) {
        self.channel.observe(item, interaction, segments);
    }

    fn check_catalog(&self, catalog: &Catalog) -> Result<()> {
        self.channel.check_catalog(catalog)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recall::Reason;

    #[test]
    fn no_tag_has_more_than_its_cap() {
        let mut tags = Links::<ItemIndex, Tag>::to(2);
        for of_item in [&[][..], &[0], &[0], &[0, 1], &[1], &[], &[1]] {
            tags.push(of_item.iter().map(|&tag| (tag, 1.0)));
        }
        let candidates = [1, 2, 3, 4, 5, 6].map(|item| Candidate {
            item: ItemIndex::new(item),
            score: 1.0,
            reason: Reason::Popular,
        });
        let taken = |most, k| {
            TagCap::new(tags.clone(), most)
                .unwrap()
                .select(&candidates, k)
        };
        assert_eq!(taken(1, 9), [0, 3, 4]);
        assert_eq!(taken(2, 9), [0, 1, 3, 4, 5]);
        assert_eq!(taken(2, 3), [0, 1, 3]);
        assert!(TagCap::new(tags.clone(), 0).is_err());
    }
}
