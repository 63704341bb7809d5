//! Weighted links from nodes to nodes.

use std::marker::PhantomData;
use std::ops::Range;

use crate::data::{ItemIndex, TrainingData};
use crate::{Error, Result};

use super::candidates::Reason;

/// A node that a path has reached.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reached {
    /// The node's number; of an item, its index.
    pub node: u32,
    /// The sum of the weights of all ways to the node.
    pub weight: f32,
    /// The first node of the way that weighs most.
    pub reason: Reason,
}

/// A kind of nodes that a [path](super::Path) leads over: items by their [`ItemIndex`], [`Tag`]s,
/// or users of the training data.
pub trait Node: Send + Sync + 'static {}

/// Users of the training data as nodes, by the place of their sequence in it, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {}

/// Tags as nodes, by their place in [`Features::names`](crate::data::Features::names), from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tag {}

impl Node for ItemIndex {}
impl Node for Peer {}
impl Node for Tag {}

/// Weighted links from nodes of one kind to nodes of another or the same, such as from each item
/// to those that go with it, in one flat array.
///
/// ```
/// use seqrec::data::ItemIndex;
/// use seqrec::recall::{Links, Tag};
///
/// let mut links = Links::<Tag, ItemIndex>::to(4);
/// links.push([(3, 0.5), (1, 0.25)]);
/// links.push([]);
/// assert_eq!(links.of(0), (&[3, 1][..], &[0.5, 0.25][..]));
/// assert_eq!(links.len(), 2);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Links<From, To> {
    /// Where each node's links begin, and where the last one's end.
    offsets: Vec<usize>,
    targets: Vec<u32>,
    weights: Vec<f32>,
    /// The numbers that targets are below.
    nodes: usize,
    kinds: PhantomData<fn(From) -> To>,
}

impl<From: Node, To: Node> Links<From, To> {
    /// No links yet, to nodes with numbers below `nodes`.
    pub fn to(nodes: usize) -> Self {
        Self {
            offsets: vec![0],
            targets: Vec::new(),
            weights: Vec::new(),
            nodes,
            kinds: PhantomData,
        }
    }

    /// Adds the links of the next node.
    ///
    /// # Panics
    /// When a target is not below the number of nodes.
    pub fn push(&mut self, links: impl IntoIterator<Item = (u32, f32)>) {
        for (target, weight) in links {
            assert!(
                (target as usize) < self.nodes,
                "a link leads to node {target} of {}",
                self.nodes
            );
            self.targets.push(target);
            self.weights.push(weight);
        }
        self.offsets.push(self.targets.len());
    }

    /// Links out of arrays that were [written](Links::parts) before.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue) when they are no links to nodes
    /// below `nodes`.
    pub(crate) fn from_parts(
        offsets: Vec<usize>,
        targets: Vec<u32>,
        weights: Vec<f32>,
        nodes: usize,
    ) -> Result<Self> {
        check_offsets("offsets", &offsets, targets.len())?;
        if weights.len() != targets.len() {
            let reason = format!("must be as many as targets, {}", targets.len());
            return Err(Error::invalid("weights", weights.len(), reason));
        }
        let links = Self {
            offsets,
            targets,
            weights,
            nodes,
            kinds: PhantomData,
        };
        links.check(nodes)?;
        Ok(links)
    }

    /// Refuses links to other nodes than those below `nodes`, and weights that are not finite.
    pub(crate) fn check(&self, nodes: usize) -> Result<()> {
        if let Some(target) = (self.targets.iter()).find(|&&target| target as usize >= nodes) {
            let reason = format!("must be below {nodes}");
            return Err(Error::invalid("target", target, reason));
        }
        match self.weights.iter().find(|weight| !weight.is_finite()) {
            Some(weight) => Err(Error::invalid("weight", weight, "must be finite")),
            None => Ok(()),
        }
    }

    /// The arrays that links are made of: where each node's begin, their targets and weights.
    pub(crate) fn parts(&self) -> (&[usize], &[u32], &[f32]) {
        (&self.offsets, &self.targets, &self.weights)
    }

    /// How many nodes there are links of.
    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Whether no node has been added.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The numbers that targets are below.
    pub fn nodes(&self) -> usize {
        self.nodes
    }

    fn range(&self, node: u32) -> Range<usize> {
        match self.offsets.get(node as usize + 1) {
            Some(&end) => self.offsets[node as usize]..end,
            None => 0..0,
        }
    }

    /// A node's targets and their weights; none for a node that there are no links of.
    pub fn of(&self, node: u32) -> (&[u32], &[f32]) {
        let range = self.range(node);
        (&self.targets[range.clone()], &self.weights[range])
    }

    /// The links the other way round, from `nodes` of the targets' kind.
    pub fn reversed(&self) -> Links<To, From> {
        let mut of_targets = vec![Vec::new(); self.nodes];
        for node in 0..self.len() as u32 {
            let (targets, weights) = self.of(node);
            for (&target, &weight) in targets.iter().zip(weights) {
                of_targets[target as usize].push((node, weight));
            }
        }
        let mut reversed = Links::to(self.len());
        for links in of_targets {
            reversed.push(links);
        }
        reversed
    }
}

impl Links<ItemIndex, Tag> {
    /// The [tags](TrainingData::with_tags) of each item, whose values are their weights.
    ///
    /// # Errors
    /// [`ErrorKind::NothingLeft`](crate::ErrorKind::NothingLeft) where the data have no tags.
    pub fn tags_of_items(data: &TrainingData) -> Result<Self> {
        let tags = data.tags()?;
        let mut links = Self::to(tags.names().len());
        for row in tags.values().rows() {
            let tags = row.iter().enumerate().filter(|(_, value)| **value > 0.0);
            links.push(tags.map(|(tag, &value)| (tag as u32, value)));
        }
        Ok(links)
    }
}

/// Refuses what does not say where each of some lists begins, and where the last one ends.
fn check_offsets(field: &'static str, offsets: &[usize], end: usize) -> Result<()> {
    if offsets.first() == Some(&0) && offsets.is_sorted() && offsets.last() == Some(&end) {
        return Ok(());
    }
    let reason = format!("must rise from 0 to {end}");
    Err(Error::invalid(
        field,
        format!("{} numbers", offsets.len()),
        reason,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_turn_round() {
        let mut links = Links::<ItemIndex, Tag>::to(3);
        links.push([]);
        links.push([(2, 0.5), (0, 1.0)]);
        links.push([(2, 2.0)]);
        let reversed = links.reversed();
        assert_eq!(reversed.of(2), (&[1, 2][..], &[0.5, 2.0][..]));
        assert!(reversed.of(1).0.is_empty());
        assert_eq!((reversed.len(), reversed.nodes()), (3, 3));
        assert_eq!(links.of(77), (&[][..], &[][..]));
    }

    #[test]
    fn arrays_that_are_no_links_are_refused() {
        let links = |offsets: &[usize], targets: &[u32], weights: &[f32]| {
            Links::<ItemIndex, ItemIndex>::from_parts(
                offsets.into(),
                targets.into(),
                weights.into(),
                4,
            )
        };
        assert!(links(&[0, 1, 2], &[1, 3], &[0.5, 1.0]).is_ok());
        for (offsets, targets, weights) in [
            (&[][..], &[][..], &[][..]),
            (&[1, 2], &[1, 3], &[0.5, 1.0]),
            (&[0, 2, 1], &[1, 3], &[0.5, 1.0]),
            (&[0, 1], &[1, 3], &[0.5, 1.0]),
            (&[0, 2], &[1, 3], &[0.5]),
            (&[0, 2], &[1, 4], &[0.5, 1.0]),
            (&[0, 2], &[1, 3], &[0.5, f32::NAN]),
        ] {
            assert!(links(offsets, targets, weights).is_err(), "{offsets:?}");
        }
    }
}
