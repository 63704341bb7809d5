//! Neighbors by labels: cosines of inverse frequencies, through the items of each label.

use rayon::prelude::*;

use crate::channels::met_items::best_of_met;
use crate::data::{ItemIndex, ItemLabels};
use crate::kernels::top_k::Scored;
use crate::recall::Links;

/// The nearest items of each of `items` items, best first.
pub(super) fn neighbors(
    labels: &ItemLabels,
    items: usize,
    count: usize,
) -> Links<ItemIndex, ItemIndex> {
    let weighted = Weighted::new(labels, items);
    let scratch = || vec![0.0; items + 1];
    let found: Vec<Vec<Scored>> = (1..items as u32 + 1)
        .into_par_iter()
        .with_max_len(16)
        .map_init(scratch, |sums, item| weighted.nearest(item, count, sums))
        .collect();
    let mut links = Links::to(items + 1);
    links.push([]);
    found.into_iter().for_each(|nearest| links.push(nearest));
    links
}

/// Items and their labels, both ways.
struct Weighted<'a> {
    labels: &'a ItemLabels,
    /// The inverse frequency of each label.
    weights: Vec<f32>,
    /// One over the length of each item's weights; 0 where it has none.
    scales: Vec<f32>,
    /// The items of each label that says something, one label after another.
    items: Vec<u32>,
    /// Where each label's items begin, and where the last one's end.
    offsets: Vec<usize>,
}

impl<'a> Weighted<'a> {
    fn new(labels: &'a ItemLabels, items: usize) -> Self {
        let count = labels.names().len();
        let mut frequencies = vec![0usize; count];
        for &label in labels.all() {
            frequencies[label as usize] += 1;
        }
        let labeled = (1..=items).filter(|&item| !labels.of(item).is_empty());
        let labeled = labeled.count() as f64;
        let weight = |&frequency: &usize| (labeled / frequency.max(1) as f64).ln() as f32;
        let weights: Vec<f32> = frequencies.iter().map(weight).collect();

        let mut offsets = vec![0];
        for (&frequency, &weight) in frequencies.iter().zip(&weights) {
            let listed = if weight > 0.0 { frequency } else { 0 };
            offsets.push(offsets[offsets.len() - 1] + listed);
        }
        let mut next = offsets.clone();
        let mut of_label = vec![0; offsets[count]];
        let mut scales = vec![0.0; items + 1];
        for (item, scale) in scales.iter_mut().enumerate() {
            let mut square = 0.0f32;
            for &label in labels.of(item) {
                let (label, weight) = (label as usize, weights[label as usize]);
                if weight > 0.0 {
                    of_label[next[label]] = item as u32;
                    next[label] += 1;
                    square += weight * weight;
                }
            }
            if square > 0.0 {
                *scale = 1.0 / square.sqrt();
            }
        }
        Self {
            labels,
            weights,
            scales,
            items: of_label,
            offsets,
        }
    }

    fn of_label(&self, label: u32) -> &[u32] {
        &self.items[self.offsets[label as usize]..self.offsets[label as usize + 1]]
    }

    /// The nearest items of one, best first; `sums` is 0 everywhere, before and after.
    fn nearest(&self, item: u32, count: usize, sums: &mut [f32]) -> Vec<Scored> {
        let labels = self.labels.of(item as usize);
        let mut met = 0;
        for &label in labels {
            let square = self.weights[label as usize].powi(2);
            let others = self.of_label(label);
            met += others.len();
            for &other in others {
                sums[other as usize] += square;
            }
        }
        sums[item as usize] = 0.0;
        let scale = self.scales[item as usize];
        let score = |other: u32, sum: f32| sum * scale * self.scales[other as usize];
        let items = || {
            labels
                .iter()
                .flat_map(|&label| self.of_label(label))
                .copied()
        };
        best_of_met(count, sums, met, items, score)
    }
}
