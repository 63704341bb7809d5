//! Exact search where the vectors lie on a device.

use std::ops::Range;

use burn::tensor::{Int, Tensor, TensorData};
use ndarray::{ArrayView2, Axis};
use rayon::prelude::*;

use super::vectors::{item_vectors, to_host};
use crate::Result;
use crate::backend::{Backend, on_device};
use crate::data::ItemIndex;
use crate::index::{
    Filter, FlatIndex, Hit, Hits, ItemSet, Precision, VectorIndex, without_padding,
};
use crate::model::SequenceRecaller;

/// How many scores a device holds at a time, unless those of a single query are more.
const SCORES: usize = 64 << 20;
/// How many queries are answered at a time at most, since the host takes some of their scores.
const QUERIES: usize = 1024;
/// How many groups more than k are looked into at first where a predicate may refuse items.
const SPARE: usize = 64;

/// Exact search on a backend's device, for a model that lies there.
///
/// Few scores come to the host: it is given the best one of each group of items, chooses groups by
/// these, and is given the scores in them. The k best items are in the k best groups. Where a
/// filter refuses some, more groups are looked into, until k are found that nothing in the others
/// can be better than. Of the scores of a million items, 1.4 % are moved for the 50 best.
///
/// It is as exact as the device's products are. In this process's own memory a [`FlatIndex`] finds
/// the same, and faster; [`exact_index`] chooses.
///
/// ```
/// use seqrec::ndarray::array;
/// use seqrec::backend::Flex;
/// use seqrec::data::ItemIndex;
/// use seqrec::index::VectorIndex;
/// use seqrec::retrieve::DeviceIndex;
///
/// // Row 0 is padding.
/// let vectors = array![[9.0, 9.0], [1.0, 0.0], [0.0, 1.0]];
/// let index = DeviceIndex::<Flex>::new(vectors.view(), &Default::default())?;
/// let hits = index.search(array![[0.1, 0.7]].view(), 1, None)?;
/// assert_eq!(hits.items(0), [ItemIndex::new(2)]);
/// # Ok::<(), seqrec::Error>(())
/// ```
#[derive(Debug)]
pub struct DeviceIndex<B: Backend> {
    /// The vectors of items 1 and up, and the last one's again until the last group is full:
    /// `[groups * width, dim]`.
    vectors: Tensor<B, 2>,
    items: usize,
    /// How many items a group has.
    width: usize,
}

impl<B: Backend> DeviceIndex<B> {
    /// An index over the rows of `[items + 1, dim]`, of which row 0 is padding.
    ///
    /// # Errors
    /// [`ErrorKind::NothingLeft`](crate::ErrorKind::NothingLeft) when there is no item,
    /// [`ErrorKind::NonFiniteVector`](crate::ErrorKind::NonFiniteVector) for NaN or infinity, and
    /// [`ErrorKind::Device`](crate::ErrorKind::Device) when the device is missing or has no room
    /// for them.
    pub fn new<'a>(vectors: impl Into<ArrayView2<'a, f32>>, device: &B::Device) -> Result<Self> {
        let vectors = without_padding(vectors.into(), Precision::F32)?;
        let items = vectors.nrows();
        // A host that takes the best of all groups and all of the 64 best takes the least by this.
        let width = ((items as f64 / 64.0).sqrt() as usize).next_power_of_two();
        let width = width.clamp(8, 1024);
        let missing = items.next_multiple_of(width) - items;
        let last = std::iter::repeat_n(vectors.row(items - 1), missing);
        let values = vectors.iter().chain(last.flatten()).copied().collect();
        let dim = vectors.ncols();
        let vectors = on_device::<B, _>(device, || Ok(to_device(values, dim, device)))?;
        Ok(Self {
            vectors,
            items,
            width,
        })
    }

    fn groups(&self) -> usize {
        self.items.div_ceil(self.width)
    }

    /// What is added to scores so that items which are not in a set come after all others,
    /// `[1, groups * width]`.
    fn refusal(&self, allowed: &ItemSet) -> Tensor<B, 2> {
        let items = (0..self.groups() * self.width).map(|at| item_at(at.min(self.items - 1)));
        let refusal = items.map(|item| match allowed.contains(item) {
            true => 0.0,
            false => f32::NEG_INFINITY,
        });
        let refusal: Vec<f32> = refusal.collect();
        let shape = [1, refusal.len()];
        Tensor::from_data(TensorData::new(refusal, shape), &self.vectors.device())
    }

    /// The hits of some queries, of which the first is that of row `first`.
    fn search_block(
        &self,
        queries: ArrayView2<'_, f32>,
        first: usize,
        wanted: &SearchFor<'_, B>,
    ) -> Result<Vec<Vec<Hit>>> {
        let device = &self.vectors.device();
        let (count, groups, width) = (queries.nrows(), self.groups(), self.width);
        let (scores, best) = on_device::<B, _>(device, || {
            let users = to_device(queries.iter().copied().collect(), self.dim(), device);
            let mut scores = users.matmul(self.vectors.clone().transpose());
            if let Some(refusal) = &wanted.refusal {
                scores = scores + refusal.clone();
            }
            let scores = scores.reshape([count * groups, width]);
            let best = to_host(scores.clone().max_dim(1));
            Ok((scores, best))
        })?;
        let searches = best.par_chunks_exact(groups).enumerate();
        let mut searches: Vec<QuerySearch> = searches
            .map(|(query, best)| QuerySearch::new(query, best, width))
            .collect();
        let mut open: Vec<&mut QuerySearch> = searches.iter_mut().collect();
        let mut taken = 0;
        let mut take = wanted.k.saturating_add(wanted.spare);
        while !open.is_empty() {
            take = take.min(groups);
            let rows: Vec<i32> = (open.par_iter_mut())
                .flat_map_iter(|search| {
                    let before = search.query * groups;
                    let chosen = search.choose(taken, take).iter();
                    chosen.map(move |group| (before + place(group.item) / width) as i32)
                })
                .collect();
            let shape = [rows.len()];
            let chosen = on_device::<B, _>(device, || {
                let rows = Tensor::<B, 1, Int>::from_data(TensorData::new(rows, shape), device);
                Ok(to_host(scores.clone().select(0, rows)))
            })?;
            let of_each = chosen.par_chunks_exact((take - taken) * width);
            open.par_iter_mut()
                .zip(of_each)
                .for_each(|(search, scores)| {
                    let row = first + search.query;
                    let passes = |item: ItemIndex| {
                        place(item) < self.items
                            && (wanted.filter).is_none_or(|filter| filter.passes(row, item))
                    };
                    search.look_into(taken..take, scores, wanted.k, passes);
                });
            taken = take;
            open.retain(|search| !search.is_done(taken, wanted));
            take = take.saturating_mul(4);
        }
        Ok(searches.into_iter().map(|search| search.found).collect())
    }
}

impl<B: Backend> VectorIndex for DeviceIndex<B> {
    fn len(&self) -> usize {
        self.items
    }

    fn dim(&self) -> usize {
        self.vectors.dims()[1]
    }

    fn is_exact(&self) -> bool {
        true
    }

    fn search(
        &self,
        queries: ArrayView2<'_, f32>,
        k: usize,
        filter: Option<Filter<'_>>,
    ) -> Result<Hits> {
        self.check_queries(queries, k)?;
        let mut wanted = SearchFor {
            k,
            passing: self.items,
            filter,
            spare: 0,
            refusal: None,
        };
        match filter.as_ref().map(Filter::set) {
            Some(Some(allowed)) => {
                let there = allowed.iter().filter(|&item| item != ItemIndex::PADDING);
                wanted.passing = there.take_while(|&item| place(item) < self.items).count();
                let refusal = || Ok(self.refusal(allowed));
                wanted.refusal = Some(on_device::<B, _>(&self.vectors.device(), refusal)?);
            }
            Some(None) => wanted.spare = SPARE,
            None => {}
        }
        wanted.k = k.min(wanted.passing);
        if wanted.k == 0 {
            return Ok(Hits::none(queries.nrows()));
        }
        let mut hits = Hits::with_capacity(queries.nrows(), wanted.k);
        let at_once = SCORES / (self.groups() * self.width);
        let at_once = at_once.clamp(1, QUERIES);
        let blocks = (0..)
            .step_by(at_once)
            .zip(queries.axis_chunks_iter(Axis(0), at_once));
        for (first, queries) in blocks {
            for found in self.search_block(queries, first, &wanted)? {
                hits.push(found);
            }
        }
        Ok(hits)
    }
}

/// Exact search through a model's items where the model lies: a [`FlatIndex`] in this process's
/// memory, or products on its device.
///
/// # Errors
/// As [`FlatIndex::new`], and [`ErrorKind::Device`](crate::ErrorKind::Device) when the device has
/// no room for the vectors.
pub fn exact_index<B: Backend, M: SequenceRecaller<B>>(model: &M) -> Result<Box<dyn VectorIndex>> {
    let vectors = item_vectors(model);
    Ok(match B::HOST {
        true => Box::new(FlatIndex::new(&vectors)?),
        false => Box::new(DeviceIndex::<B>::new(&vectors, &model.items().device())?),
    })
}

/// What a search is for.
struct SearchFor<'a, B: Backend> {
    k: usize,
    /// How many items pass the filter at most.
    passing: usize,
    filter: Option<Filter<'a>>,
    /// How many groups more than k are looked into at first.
    spare: usize,
    /// What is added to scores on the device.
    refusal: Option<Tensor<B, 2>>,
}

/// The search of one query.
struct QuerySearch {
    query: usize,
    /// Each group's first item with the best score in the group: those that were looked into, in no
    /// order, then the next best one, and the others.
    groups: Vec<Hit>,
    /// The best items so far, best first.
    found: Vec<Hit>,
}

impl QuerySearch {
    /// The search of a query by the best score of each group of so many items.
    fn new(query: usize, best: &[f32], width: usize) -> Self {
        let groups = best.iter().enumerate().map(|(group, &score)| Hit {
            item: item_at(group * width),
            score,
        });
        Self {
            query,
            groups: groups.collect(),
            found: Vec::new(),
        }
    }

    /// The best groups up to `take` after the first `taken`.
    fn choose(&mut self, taken: usize, take: usize) -> &[Hit] {
        let others = &mut self.groups[taken..];
        if take - taken < others.len() {
            others.select_nth_unstable_by(take - taken, Hit::best_first);
        }
        &others[..take - taken]
    }

    /// Finds the best of these groups' items, whose scores follow each other.
    fn look_into(
        &mut self,
        groups: Range<usize>,
        scores: &[f32],
        k: usize,
        passes: impl Fn(ItemIndex) -> bool,
    ) {
        let width = scores.len() / groups.len();
        let groups = self.groups[groups].iter().zip(scores.chunks_exact(width));
        let hits = groups.flat_map(|(group, scores)| {
            let scores = scores.iter().enumerate();
            scores.map(|(column, &score)| Hit {
                item: item_at(place(group.item) + column),
                score,
            })
        });
        let mut hits: Vec<Hit> = hits.collect();
        hits.sort_unstable_by(Hit::best_first);
        let passing = hits.into_iter().filter(|hit| passes(hit.item));
        self.found.extend(passing.take(k));
        self.found.sort_unstable_by(Hit::best_first);
        self.found.truncate(k);
    }

    /// Whether nothing is better than what was found in so many groups.
    fn is_done<B: Backend>(&self, taken: usize, wanted: &SearchFor<'_, B>) -> bool {
        let Some(next) = self.groups.get(taken) else {
            return true;
        };
        match self.found.last() {
            _ if self.found.len() == wanted.passing => true,
            Some(last) if self.found.len() == wanted.k => last.best_first(next).is_lt(),
            _ => false,
        }
    }
}

/// Where an item lies.
fn place(item: ItemIndex) -> usize {
    item.to_usize() - 1
}

/// The item of a place.
fn item_at(place: usize) -> ItemIndex {
    ItemIndex::new(place as u32 + 1)
}

fn to_device<B: Backend>(values: Vec<f32>, dim: usize, device: &B::Device) -> Tensor<B, 2> {
    let shape = [values.len() / dim, dim];
    Tensor::from_data(TensorData::new(values, shape), device)
}
