//! Vectors of what users did with items.

use burn::module::{Module, Param};
use burn::tensor::backend::Backend as BurnBackend;
use burn::tensor::{Int, Tensor};

use super::packing::Packing;
use crate::backend::{self, Backend};
use crate::data::SequenceBatch;

/// Vectors of the types and the values of events, which are added to those that items are seen by
/// and not to those that they are recalled by, so that a model tells a purchase from a view.
///
/// [`Weights::events`](super::Weights::events) makes them where the data's events have a
/// [meaning](crate::data::Behaviors). An event whose type or value isn't known adds nothing for it,
/// nor does a step of values that training never saw.
#[derive(Module, Debug)]
pub struct EventVectors<B: BurnBackend> {
    /// A vector for the type of event that each rule names, `[rules + 1, dim]`, after one of 0.
    pub(crate) types: Param<Tensor<B, 2>>,
    /// A vector for each step of values, `[256, dim]`, the first of 0.
    pub(crate) values: Param<Tensor<B, 2>>,
}

impl<B: Backend> EventVectors<B> {
    /// The vectors `[n, dim]` of the items of histories with those of their events, where the model
    /// has such: of all places of the padded batch, or of the real items alone as they are packed.
    pub fn join(
        events: Option<&Self>,
        items: Tensor<B, 2>,
        histories: &SequenceBatch<B>,
        packing: Option<&Packing<B>>,
    ) -> Tensor<B, 2> {
        let Some(events) = events else {
            return items;
        };
        let tables = [
            (&events.types, &histories.event_types),
            (&events.values, &histories.event_values),
        ];
        tables.into_iter().fold(items, |items, (table, numbers)| {
            let Some(numbers) = numbers else {
                return items;
            };
            let numbers = match packing {
                Some(packing) => packing.pack_numbers(numbers.clone()),
                None => numbers.clone().flatten(0, 1),
            };
            items + rows(table, numbers)
        })
    }
}

/// The rows of a table, of which those of number 0 and of numbers that it lacks are 0.
fn rows<B: Backend>(table: &Param<Tensor<B, 2>>, numbers: Tensor<B, 1, Int>) -> Tensor<B, 2> {
    let [count, _] = table.dims();
    let device = numbers.device();
    let beyond = numbers.clone().greater_equal_elem(count as i64);
    let known = Tensor::<B, 1, Int>::arange(0..count as i64, &device).greater_elem(0);
    let table = table.val() * known.float().unsqueeze_dim(1);
    backend::select_rows(table, numbers.mask_fill(beyond, 0))
}
