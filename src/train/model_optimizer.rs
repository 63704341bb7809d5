//! Moving a model's parameters.

use std::collections::HashMap;

use burn::module::{ModuleMapper, Param, ParamId};
use burn::optim::record::AdaptorRecord;
use burn::optim::{LearningRate, SimpleOptimizer};
use burn::tensor::{Tensor, TensorPrimitive};

use super::gradients::{ModelGradients, with_rows};
use super::graph_turn::GraphTurn;
use super::optimizer::Optimizer;
use super::optimizer_state::OptimizerState;
use super::tables::{Tables, row_wise_step, row_wise_step_of_all};
use crate::Result;
use crate::backend::{Backend, RowGradient, TrainingBackend};
use crate::model::TrainableRecaller;

/// Moves a model's parameters, tables of vectors by the rows that a step concerns where it is told
/// to. For a training loop of your own, of which [`Trainer`](super::Trainer) is one:
///
/// ```
/// # use seqrec::backend::{Autodiff, Flex};
/// # use seqrec::data::{ItemIndex, SequenceBatch, TrainingBatch};
/// # use seqrec::model::{Gru4RecConfig, RecallerConfig, SequenceRecaller};
/// use seqrec::train::{ModelOptimizer, Optimizer, Tables};
///
/// # let device = Default::default();
/// # let mut model = Gru4RecConfig::new().with_dim(4).init::<Autodiff<Flex>>(9, 1, &device)?;
/// # let history = [ItemIndex::new(3)];
/// # let histories = SequenceBatch::new([&history[..]].into_iter(), 5, &device)?;
/// # let batch = TrainingBatch {
/// #     positions: histories.last_positions(),
/// #     histories,
/// #     targets: seqrec::burn::tensor::Tensor::from_ints([4], &device),
/// #     weights: None,
/// #     disliked: 0,
/// #     negatives: None,
/// #     continues_from: Vec::new(),
/// #     seed: 1,
/// # };
/// let mut optimizer = ModelOptimizer::new(Optimizer::ADAM, Tables::Lazy);
/// let (loss, gradients) = optimizer.gradients(&model, |model| model.loss(&batch))?;
/// println!("{}", loss.into_scalar());
/// model = optimizer.step(0.002, model, gradients);
/// # Ok::<(), seqrec::Error>(())
/// ```
pub struct ModelOptimizer<B: TrainingBackend> {
    optimizer: Optimizer,
    tables: Tables,
    states: States<B>,
}

/// The optimizer's state of each parameter.
type States<B> = HashMap<ParamId, AdaptorRecord<Optimizer, B>>;

impl<B: TrainingBackend> std::fmt::Debug for ModelOptimizer<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ModelOptimizer")
            .field("optimizer", &self.optimizer)
            .field("tables", &self.tables)
            .field("states", &self.states.len())
            .finish()
    }
}

impl<B: TrainingBackend> ModelOptimizer<B> {
    /// An optimizer that has made no step.
    pub fn new(optimizer: Optimizer, tables: Tables) -> Self {
        Self {
            optimizer,
            tables,
            states: HashMap::new(),
        }
    }

    /// A loss `[1]` of a model, and its gradients.
    ///
    /// The loss is computed in here, for which threads wait for each other: after a backward pass,
    /// burn 0.21 can take parts of a graph that another thread is making for unused, and their
    /// gradients would be missing without a word.
    ///
    /// # Errors
    /// [`ErrorKind::Thread`](crate::ErrorKind::Thread) where `loss` asks for gradients itself, or
    /// lets a pool of threads work that does: this thread would wait for itself.
    pub fn gradients<M: TrainableRecaller<B>>(
        &self,
        model: &M,
        loss: impl FnOnce(&M) -> Tensor<B, 1>,
    ) -> Result<(Tensor<B::InnerBackend, 1>, ModelGradients<B>)> {
        let _turn = GraphTurn::take()?;
        let loss = loss(model);
        let value = loss.clone().inner();
        Ok((value, ModelGradients::new(loss, model, self.tables)))
    }

    /// Moves a model against its gradients.
    #[must_use]
    pub fn step<M: TrainableRecaller<B>>(
        &mut self,
        learning_rate: LearningRate,
        model: M,
        gradients: ModelGradients<B>,
    ) -> M {
        model.map(&mut ParameterStep {
            optimizer: self.optimizer,
            tables: self.tables,
            states: &mut self.states,
            gradients,
            learning_rate,
        })
    }

    /// The state of each parameter, by the parameters' ids.
    pub(super) fn states(&self) -> Vec<(u64, AdaptorRecord<Optimizer, B>)> {
        let states = self.states.iter();
        let mut states: Vec<_> = states
            .map(|(id, state)| (id.val(), state.clone()))
            .collect();
        states.sort_by_key(|&(id, _)| id);
        states
    }

    pub(super) fn load(&mut self, states: Vec<(u64, AdaptorRecord<Optimizer, B>)>) {
        let states = states.into_iter();
        self.states = states
            .map(|(id, state)| (ParamId::from(id), state))
            .collect();
    }
}

/// A step over all parameters.
struct ParameterStep<'a, B: TrainingBackend> {
    optimizer: Optimizer,
    tables: Tables,
    states: &'a mut States<B>,
    gradients: ModelGradients<B>,
    learning_rate: LearningRate,
}

impl<B: TrainingBackend> ModuleMapper<B> for ParameterStep<'_, B> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        let (id, tensor, mapper) = param.consume();
        let whole = self.gradients.whole.remove::<B::InnerBackend, D>(id);
        let rows = self.gradients.take_rows(id);
        let is_trained = tensor.is_require_grad();
        let state = self.states.remove(&id);
        if whole.is_none() && rows.is_none() {
            self.states.extend(state.map(|state| (id, state)));
            return Param::from_mapped_value(id, tensor, mapper);
        }
        let state = state.map(AdaptorRecord::into_state::<D>);
        let (moved, state) = self.moved(tensor.inner(), whole, rows, state);
        self.states.insert(id, AdaptorRecord::from_state(state));
        let moved = Tensor::from_inner(moved);
        let moved = if is_trained {
            moved.require_grad()
        } else {
            moved
        };
        Param::from_mapped_value(id, moved, mapper)
    }
}

impl<B: TrainingBackend> ParameterStep<'_, B> {
    /// A parameter and its state after the step, by the gradient of its size, that of the rows that
    /// were looked up, or both.
    fn moved<const D: usize>(
        &self,
        parameter: Tensor<B::InnerBackend, D>,
        whole: Option<Tensor<B::InnerBackend, D>>,
        rows: Option<RowGradient<B::InnerBackend>>,
        state: Option<OptimizerState<B::InnerBackend, D>>,
    ) -> (
        Tensor<B::InnerBackend, D>,
        OptimizerState<B::InnerBackend, D>,
    ) {
        let rate = self.learning_rate;
        let (whole, rows) = match (whole, rows) {
            (Some(whole), None) => {
                let (parameter, state) = self.optimizer.step(rate, parameter, whole, state);
                return (parameter, state.expect("the optimizers keep a state"));
            }
            (whole, Some(rows)) => (whole.map(|whole| with_rows(whole, &rows)), rows),
            (None, None) => unreachable!("a parameter without a gradient stays"),
        };
        // It is a table.
        let (table, state) = (ranked(parameter), state.map(|state| state.map(ranked)));
        let (table, state) = match (whole.map(ranked), self.tables) {
            (
                whole,
                Tables::RowWise {
                    rate: times,
                    epsilon,
                },
            ) => {
                let settings = (times * rate, epsilon);
                match whole {
                    Some(whole) => row_wise_step_of_all(settings, table, whole, state),
                    None => row_wise_step(settings, table, rows, state),
                }
            }
            (Some(whole), Tables::Lazy | Tables::Dense) => {
                let (table, state) = self.optimizer.step(rate, table, whole, state);
                (table, state.expect("the optimizers keep a state"))
            }
            (None, Tables::Lazy | Tables::Dense) => {
                self.optimizer.step_rows(rate, table, rows, state)
            }
        };
        (ranked(table), state.map(ranked))
    }
}

/// A tensor whose rank the types know by another name.
///
/// # Panics
/// When the ranks differ.
fn ranked<B: Backend, const D: usize, const E: usize>(tensor: Tensor<B, D>) -> Tensor<B, E> {
    assert_eq!(D, E, "only the rows of matrices are looked up");
    Tensor::from_primitive(TensorPrimitive::Float(tensor.into_primitive().tensor()))
}
