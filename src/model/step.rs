//! What is made once for a step of training, however often a model asks for it.

use std::any::Any;
use std::cell::RefCell;
use std::collections::HashMap;

use burn::module::ParamId;
use burn::tensor::Tensor;
use burn::tensor::backend::Backend as BurnBackend;

/// The step that this thread computes the loss of.
struct TrainingStep {
    seed: u64,
    whole: bool,
    /// The vectors of all items by the id of their table's parameter.
    made: HashMap<ParamId, Box<dyn Any>>,
    /// What is to be added to the loss.
    beside: Vec<Box<dyn Any>>,
}

thread_local! {
    /// A model's tables are asked one by one, by functions that know of no step.
    static STEP: RefCell<Option<TrainingStep>> = const { RefCell::new(None) };
}

/// The loss `[1]` of a batch of this seed, with what tables of items add to it. `whole` says
/// whether the vectors of all items are needed in any case.
pub(crate) fn in_step<B: BurnBackend>(
    seed: u64,
    whole: bool,
    loss: impl FnOnce() -> Tensor<B, 1>,
) -> Tensor<B, 1> {
    /// Ends the step, should the loss panic too.
    struct Ending;
    impl Drop for Ending {
        fn drop(&mut self) {
            STEP.set(None);
        }
    }
    STEP.set(Some(TrainingStep {
        seed,
        whole,
        made: HashMap::new(),
        beside: Vec::new(),
    }));
    let ending = Ending;
    let loss = loss();
    let beside = STEP.with_borrow_mut(|step| {
        step.as_mut()
            .map(|step| std::mem::take(&mut step.beside))
            .unwrap_or_default()
    });
    drop(ending);
    let beside = beside
        .into_iter()
        .filter_map(|more| more.downcast::<Tensor<B, 1>>().ok());
    beside.fold(loss, |loss, more| loss + *more)
}

/// The seed of the step, where there is one.
pub(super) fn seed() -> Option<u64> {
    STEP.with_borrow(|step| step.as_ref().map(|step| step.seed))
}

/// Whether the vectors of all items are needed in this step.
pub(super) fn is_whole() -> bool {
    STEP.with_borrow(|step| step.as_ref().is_some_and(|step| step.whole))
}

/// What was made for a table in this step, or what `make` makes now.
pub(super) fn once<B: BurnBackend>(
    table: ParamId,
    make: impl FnOnce() -> Tensor<B, 2>,
) -> Tensor<B, 2> {
    let known = STEP.with_borrow(|step| {
        let made = step.as_ref()?.made.get(&table)?;
        made.downcast_ref::<Tensor<B, 2>>().cloned()
    });
    known.unwrap_or_else(|| {
        let made = make();
        STEP.with_borrow_mut(|step| {
            if let Some(step) = step {
                step.made.insert(table, Box::new(made.clone()));
            }
        });
        made
    })
}

/// Adds to the loss of the step, where there is one.
pub(super) fn add_to_loss<B: BurnBackend>(more: Tensor<B, 1>) {
    STEP.with_borrow_mut(|step| {
        if let Some(step) = step {
            step.beside.push(Box::new(more));
        }
    });
}
