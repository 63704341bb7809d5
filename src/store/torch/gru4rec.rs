//! GRU4Rec that PyTorch trained.

use std::path::Path;

use burn::module::Param;
use burn::tensor::Tensor;
use ndarray::{Array1, Array2, ArrayView2, s};

use super::weights::{TorchWeights, item_table, items, parameter};
use crate::backend::Backend;
use crate::model::parts::GruLayer;
use crate::model::{Gru4Rec, Gru4RecConfig, InputEmbedding, Objective, RecallerConfig, Similarity};
use crate::{Error, ErrorKind, Result};

/// A [`Gru4Rec`] out of a checkpoint of PyTorch: which tensor is what, and how the model was used.
///
/// What is loaded ranks items as the model did in PyTorch; layers of different sizes, a layer after
/// the GRU and biases of items find their places in [`Gru4Rec`]'s own weights, so that it is
/// served, saved and trained further like any other. Row `n` of the table becomes item `n` of the
/// catalog, without padding:
///
/// ```no_run
/// use seqrec::backend::Flex;
/// use seqrec::data::Catalog;
/// use seqrec::store::{Run, TorchGru4Rec};
///
/// // In Python, of the author's implementation:
/// //   safetensors.torch.save_file(gru.model.state_dict(), "gru4rec.safetensors")
/// //   print(*gru.data_iterator.itemidmap.index, sep="\n", file=open("items.txt", "w"))
/// let model = TorchGru4Rec::authors().load::<Flex>("gru4rec.safetensors", &Default::default())?;
/// let ids = std::fs::read_to_string("items.txt").expect("the ids, a line each");
/// let catalog = Catalog::from_ids(ids.lines().map(Into::into))?;
/// let config = seqrec::model::SequenceRecaller::config(&model).clone();
/// Run::<Flex, _>::new(config, model, catalog).save("run")?;
/// # Ok::<(), seqrec::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct TorchGru4Rec {
    names: Names,
    max_len: usize,
    objective: Objective,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Names {
    /// Those of the author's modules.
    Authors,
    /// An `nn.Embedding`, an `nn.GRU` and perhaps an `nn.Linear`.
    Plain {
        items: String,
        gru: String,
        dense: Option<String>,
    },
}

impl TorchGru4Rec {
    /// The author's implementation,
    /// [GRU4Rec_PyTorch_Official](https://github.com/hidasib/GRU4Rec_PyTorch_Official):
    /// `state_dict()` of its `GRU4RecModel`, with constrained, separate or no embedding.
    pub fn authors() -> Self {
        Self::with_names(Names::Authors)
    }

    /// RecBole's `GRU4Rec`.
    pub fn recbole() -> Self {
        Self::plain("item_embedding", "gru_layers").with_dense("dense")
    }

    /// A model of one's own: the names of an `nn.Embedding`, whose row 0 is padding, and of an
    /// `nn.GRU` with `batch_first=True` over it. Items are scored by products of their rows and the
    /// last state.
    pub fn plain(items: impl Into<String>, gru: impl Into<String>) -> Self {
        Self::with_names(Names::Plain {
            items: items.into(),
            gru: gru.into(),
            dense: None,
        })
    }

    fn with_names(names: Names) -> Self {
        Self {
            names,
            max_len: Gru4RecConfig::new().max_len,
            objective: Objective::new(),
        }
    }

    /// The name of an `nn.Linear` between the GRU and the scores, in a model of one's own.
    #[must_use]
    pub fn with_dense(mut self, name: impl Into<String>) -> Self {
        if let Names::Plain { dense, .. } = &mut self.names {
            *dense = Some(name.into());
        }
        self
    }

    /// The number of a history's last items that the model sees; 50 by default.
    #[must_use]
    pub fn with_max_len(mut self, max_len: usize) -> Self {
        self.max_len = max_len;
        self
    }

    /// The objective of its training, where that was not the dot product: its similarity decides
    /// how items are scored.
    #[must_use]
    pub fn with_objective(mut self, objective: Objective) -> Self {
        self.objective = objective;
        self
    }

    /// Loads the model from a safetensors file.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] when the file can't be read, [`ErrorKind::Damaged`] when it is no
    /// safetensors file or holds numbers that are not finite, and [`ErrorKind::InvalidValue`] when
    /// a tensor is missing, has another shape or is one too many, or when a cosine would see a
    /// layer or biases that only a dot product can.
    pub fn load<B: Backend>(
        &self,
        path: impl AsRef<Path>,
        device: &B::Device,
    ) -> Result<Gru4Rec<B>> {
        let weights = TorchWeights::read(path.as_ref())?;
        let found = match &self.names {
            Names::Authors => authors(&weights)?,
            Names::Plain { items, gru, dense } => plain(&weights, items, gru, dense.as_deref())?,
        };
        weights.finish()?;
        self.build(found, device)
    }

    fn build<B: Backend>(&self, found: TorchGru, device: &B::Device) -> Result<Gru4Rec<B>> {
        let dot = self.objective.similarity == Similarity::Dot;
        if !dot && found.biases.is_some() {
            let reason = "a layer or biases between states and scores are no cosine's";
            return Err(Error::invalid("objective.similarity", "cosine", reason));
        }
        let last = found.layers.last().map_or(0, |layer| layer.size());
        // Biases become one more value of the items' vectors, which a unit of the last layer that
        // is always 1 is multiplied by.
        let one = found.biases.as_ref().map(|_| last);
        let sizes = found.layers.iter().map(TorchGruLayer::size);
        let dim = sizes
            .max()
            .unwrap_or(0)
            .max(last + usize::from(one.is_some()));
        let mut outputs = items(&found.outputs, found.padded, dim);
        if let (Some(column), Some(biases)) = (one, &found.biases) {
            let first = usize::from(found.padded);
            outputs
                .slice_mut(s![1.., column])
                .assign(&biases.slice(s![first..]));
        }
        let (input, inputs) = match &found.inputs {
            Inputs::Outputs => (InputEmbedding::Shared, None),
            Inputs::Vectors(table) => {
                let dim = table.ncols();
                let table = items(table, found.padded, dim);
                (InputEmbedding::Separate { dim }, Some(table))
            }
            Inputs::Products(table) => {
                let table = widen_gates(table.view(), table.nrows(), dim);
                (
                    InputEmbedding::OneHot,
                    Some(items(&table, found.padded, 3 * dim)),
                )
            }
        };
        let config = Gru4RecConfig::new()
            .with_dim(dim)
            .with_layers(found.layers.len())
            .with_input(input)
            .with_max_len(self.max_len)
            .with_event_vectors(false)
            .with_objective(self.objective.clone());
        let mut model = config.init::<B>(outputs.nrows() - 1, 0, device)?;
        let count = found.layers.len();
        for (place, (layer, ours)) in found.layers.iter().zip(&mut model.layers).enumerate() {
            let one = one.filter(|_| place + 1 == count);
            let inputs = match (place, input) {
                (0, InputEmbedding::Separate { dim }) => Some(dim),
                // The rows of its table are products already.
                (0, InputEmbedding::OneHot) => None,
                _ => Some(dim),
            };
            layer.fill(ours, dim, inputs, one, device);
        }
        model.embedding = item_table(outputs, device);
        model.input_embedding = inputs.map(|table| item_table(table, device));
        Ok(model)
    }
}

/// The contents of a checkpoint.
struct TorchGru {
    /// The output vectors of items, a row each.
    outputs: Array2<f32>,
    /// The addends of their scores, which are then no cosines.
    biases: Option<Array1<f32>>,
    inputs: Inputs,
    layers: Vec<TorchGruLayer>,
    /// Whether row 0 of tables is padding.
    padded: bool,
}

/// The first layer's input for items.
enum Inputs {
    Outputs,
    Vectors(Array2<f32>),
    /// Their products with the input weights, `[items, 3 * hidden]`.
    Products(Array2<f32>),
}

/// A GRU layer as PyTorch has it, its gates in the order reset, update, new.
struct TorchGruLayer {
    /// `[3 * hidden, inputs]`; none where inputs are products already.
    input: Option<Array2<f32>>,
    /// `[3 * hidden, hidden]`.
    hidden: Array2<f32>,
    input_bias: Array1<f32>,
    hidden_bias: Array1<f32>,
}

/// The size at which a gate is 0 or 1, and a hyperbolic tangent 1, in single precision.
const SATURATED: f32 = 100.0;

impl TorchGruLayer {
    fn size(&self) -> usize {
        self.hidden.ncols()
    }

    /// A layer of an `nn.GRU` or an `nn.GRUCell`, by the names of its four tensors.
    fn read(weights: &TorchWeights, name: impl Fn(&str) -> String, inputs: usize) -> Result<Self> {
        let hidden = weights.table(&name("weight_hh"), None)?;
        let size = hidden.ncols();
        Ok(Self {
            input: Some(weights.matrix(&name("weight_ih"), 3 * size, inputs)?),
            hidden: weights.matrix(&name("weight_hh"), 3 * size, size)?,
            input_bias: weights.biases(&name("bias_ih"), 3 * size)?,
            hidden_bias: weights.biases(&name("bias_hh"), 3 * size)?,
        })
    }

    /// Sets a layer of ours of `dim` units to what this one does. Units that are not there stay at
    /// 0, and the unit `one`, if any, at 1.
    fn fill<B: Backend>(
        &self,
        ours: &mut GruLayer<B>,
        dim: usize,
        inputs: Option<usize>,
        one: Option<usize>,
        device: &B::Device,
    ) {
        let transposed = |table: &Array2<f32>, rows| widen_gates(table.t(), rows, dim);
        let row =
            |biases: &Array1<f32>| transposed(&biases.clone().insert_axis(ndarray::Axis(1)), 1);
        let mut input_bias = row(&self.input_bias);
        if let Some(unit) = one {
            // Saturates the update gate and the candidate's bias, so that this unit is always 1.
            input_bias[[0, dim + unit]] = -SATURATED;
            input_bias[[0, 2 * dim + unit]] = SATURATED;
        }
        if let (Some(table), Some(rows)) = (&self.input, inputs) {
            ours.weight_input = parameter(transposed(table, rows), device);
        }
        let set = |of: &mut Param<Tensor<B, 2>>, values| *of = parameter(values, device);
        set(&mut ours.weight_hidden, transposed(&self.hidden, dim));
        set(&mut ours.bias_input, input_bias);
        set(&mut ours.bias_hidden, row(&self.hidden_bias));
    }
}

/// Three gates side by side, `[rows, 3 * size]`, with zeros after each one's values and after the
/// rows: `[more rows, 3 * dim]`.
fn widen_gates(gates: ArrayView2<'_, f32>, rows: usize, dim: usize) -> Array2<f32> {
    let size = gates.ncols() / 3;
    let mut wide = Array2::zeros((rows, 3 * dim));
    for gate in 0..3 {
        wide.slice_mut(s![..gates.nrows(), gate * dim..gate * dim + size])
            .assign(&gates.slice(s![.., gate * size..(gate + 1) * size]));
    }
    wide
}

fn authors(weights: &TorchWeights) -> Result<TorchGru> {
    let outputs = weights.table("Wy.weight", None)?;
    let biases = weights.matrix("By.weight", outputs.nrows(), 1)?;
    let biases = biases.column(0).to_owned();
    let mut layers = Vec::new();
    let (inputs, mut size) = if weights.has("GE.Wx0.weight") {
        let (layer, products) = one_hot(weights, outputs.nrows())?;
        let size = layer.size();
        layers.push(layer);
        (Inputs::Products(products), size)
    } else if weights.has("E.weight") {
        let table = weights.table("E.weight", None)?;
        if table.nrows() != outputs.nrows() {
            let expected = outputs.nrows();
            let found = table.nrows();
            return Err(ErrorKind::Shape {
                what: "items of E.weight",
                expected,
                found,
            }
            .into());
        }
        let size = table.ncols();
        (Inputs::Vectors(table), size)
    } else {
        let size = outputs.ncols();
        (Inputs::Outputs, size)
    };
    for place in 0.. {
        let name = |part: &str| format!("G.{place}.{part}");
        // With no layer at all, layer 0 is reported missing.
        if !layers.is_empty() && !weights.has(&name("weight_hh")) {
            break;
        }
        let layer = TorchGruLayer::read(weights, name, size)?;
        size = layer.size();
        layers.push(layer);
    }
    check_outputs(size, outputs.ncols())?;
    Ok(TorchGru {
        biases: Some(biases).filter(|biases| biases.iter().any(|&bias| bias != 0.0)),
        outputs,
        inputs,
        layers,
        padded: false,
    })
}

/// The author's first layer on items without vectors: its gates lie in the order new, reset,
/// update, and its update gate says how much is new where PyTorch's says how much is kept.
fn one_hot(weights: &TorchWeights, items: usize) -> Result<(TorchGruLayer, Array2<f32>)> {
    let hidden = weights.table("GE.Wh0", None)?;
    let size = hidden.nrows();
    let ordered = |table: Array2<f32>| {
        let gate = |place: usize| table.slice(s![.., place * size..(place + 1) * size]);
        let update = gate(2).mapv(|value| -value);
        ndarray::concatenate(ndarray::Axis(1), &[gate(1), update.view(), gate(0)])
            .expect("gates of one shape")
    };
    let products = ordered(weights.matrix("GE.Wx0.weight", items, 3 * size)?);
    let hidden = ordered(weights.matrix("GE.Wh0", size, 3 * size)?);
    let biases = weights.vector("GE.Bh0", 3 * size)?;
    let biases = ordered(biases.insert_axis(ndarray::Axis(0)));
    let layer = TorchGruLayer {
        input: None,
        hidden: hidden.t().to_owned(),
        input_bias: biases.row(0).to_owned(),
        hidden_bias: Array1::zeros(3 * size),
    };
    Ok((layer, products))
}

fn plain(weights: &TorchWeights, items: &str, gru: &str, dense: Option<&str>) -> Result<TorchGru> {
    let vectors = weights.table(&format!("{items}.weight"), None)?;
    let mut layers = Vec::new();
    let mut size = vectors.ncols();
    for place in 0.. {
        let name = |part: &str| format!("{gru}.{part}_l{place}");
        if place > 0 && !weights.has(&name("weight_hh")) {
            break;
        }
        let layer = TorchGruLayer::read(weights, name, size)?;
        size = layer.size();
        layers.push(layer);
    }
    let Some(dense) = dense else {
        check_outputs(size, vectors.ncols())?;
        return Ok(TorchGru {
            outputs: vectors,
            biases: None,
            inputs: Inputs::Outputs,
            layers,
            padded: true,
        });
    };
    // Products with `W h + b` are products with `h` of the items' vectors times `W`, and their
    // products with `b`.
    let matrix = weights.matrix(&format!("{dense}.weight"), vectors.ncols(), size)?;
    let biases = weights.biases(&format!("{dense}.bias"), vectors.ncols())?;
    Ok(TorchGru {
        outputs: vectors.dot(&matrix),
        biases: Some(vectors.dot(&biases)),
        inputs: Inputs::Vectors(vectors),
        layers,
        padded: true,
    })
}

/// Refuses states that are no vectors of items' size.
fn check_outputs(states: usize, vectors: usize) -> Result<()> {
    if states == vectors {
        return Ok(());
    }
    Err(ErrorKind::Shape {
        what: "values of the items' vectors, beside those of the last layer's states",
        expected: states,
        found: vectors,
    }
    .into())
}
