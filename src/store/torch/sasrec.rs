//! SASRec that PyTorch trained.

use std::path::Path;

use burn::nn::{LayerNorm, Linear};
use ndarray::{Array1, Array2, s};

use super::weights::{TorchWeights, item_table, items, parameter, row_parameter};
use crate::backend::{Activation, Backend};
use crate::model::{Objective, RecallerConfig, SasRec, SasRecConfig, TransformerBlock};
use crate::{Error, Result, checks};

/// A [SASRec](SasRecConfig) out of a checkpoint of PyTorch, built of PyTorch's own layers.
///
/// The model is an `nn.Embedding` of items, whose row 0 is padding, an `nn.Embedding` of positions,
/// counted from the first item seen, and an `nn.TransformerEncoder` of layers with
/// `norm_first=True` and with a `norm` of its own at the end, all of them with PyTorch's default
/// `layer_norm_eps`. Row `n` becomes item `n` of the catalog.
///
/// RecBole's SASRec normalizes after each part, and
/// [SASRec.pytorch](https://github.com/pmixer/SASRec.pytorch) normalizes queries alone and counts
/// positions from the padding: those are other models than [this one](SasRecConfig), and are
/// refused by their names.
///
/// ```no_run
/// use seqrec::backend::Flex;
/// use seqrec::store::TorchSasRec;
///
/// // In Python: safetensors.torch.save_file(model.state_dict(), "sasrec.safetensors")
/// let model = TorchSasRec::new("item", "position", "encoder", 2)
///     .load::<Flex>("sasrec.safetensors", &Default::default())?;
/// # Ok::<(), seqrec::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct TorchSasRec {
    items: String,
    positions: String,
    encoder: String,
    heads: usize,
    scaled: bool,
    activation: Activation,
    objective: Objective,
}

impl TorchSasRec {
    /// The names of the items' and the positions' `nn.Embedding` and of the
    /// `nn.TransformerEncoder`, and how many heads its layers have.
    pub fn new(
        items: impl Into<String>,
        positions: impl Into<String>,
        encoder: impl Into<String>,
        heads: usize,
    ) -> Self {
        Self {
            items: items.into(),
            positions: positions.into(),
            encoder: encoder.into(),
            heads,
            scaled: false,
            activation: Activation::Relu,
            objective: Objective::new(),
        }
    }

    /// The model multiplies items' vectors by the square root of their size before it adds
    /// positions, as the paper does.
    #[must_use]
    pub fn scaled(mut self) -> Self {
        self.scaled = true;
        self
    }

    /// The layers' `activation`; `Relu`, as PyTorch's, unless told otherwise.
    #[must_use]
    pub fn with_activation(mut self, activation: Activation) -> Self {
        self.activation = activation;
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
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) when the file can't be read,
    /// [`ErrorKind::Damaged`](crate::ErrorKind::Damaged) when it is no safetensors file or holds
    /// numbers that are not finite, and [`ErrorKind::InvalidValue`](crate::ErrorKind::InvalidValue)
    /// when a tensor is missing, has another shape or is one too many, or when heads do not divide
    /// the vectors.
    pub fn load<B: Backend>(
        &self,
        path: impl AsRef<Path>,
        device: &B::Device,
    ) -> Result<SasRec<B>> {
        let weights = TorchWeights::read(path.as_ref())?;
        refuse_others(&weights)?;
        let table = weights.table(&format!("{}.weight", self.items), None)?;
        let dim = table.ncols();
        checks::at_least_one(&[("heads", self.heads), ("dim", dim)])?;
        checks::heads(self.heads, dim)?;
        let positions = weights.table(&format!("{}.weight", self.positions), Some(dim))?;
        let layers = EncoderLayer::read_all(&weights, &self.encoder, dim)?;
        let norm = read_norm(&weights, &format!("{}.norm", self.encoder), dim)?;
        weights.finish()?;

        let hidden = layers.iter().map(|layer| layer.first.0.nrows()).max();
        let feed_forward = hidden.unwrap_or(0).div_ceil(dim).max(1);
        let config = SasRecConfig::new()
            .with_event_vectors(false)
            .with_dim(dim)
            .with_blocks(layers.len())
            .with_heads(self.heads)
            .with_feed_forward(feed_forward)
            .with_activation(self.activation)
            .with_tied(self.scaled)
            .with_max_len(positions.nrows())
            .with_objective(self.objective.clone());
        let outputs = items(&table, true, dim);
        let mut model = config.init::<B>(outputs.nrows() - 1, 0, device)?;
        for (layer, ours) in layers.into_iter().zip(&mut model.blocks) {
            layer.fill(ours, feed_forward * dim, device);
        }
        fill_norm(&mut model.ends.norm, norm, device);
        if let Some(inputs) = &mut model.ends.input_embedding {
            *inputs = item_table(&outputs / (dim as f32).sqrt(), device);
        }
        model.ends.embedding = item_table(outputs, device);
        model.ends.positions = parameter(positions, device);
        Ok(model)
    }
}

/// Refuses models that are called SASRec and are others.
fn refuse_others(weights: &TorchWeights) -> Result<()> {
    for (name, reason) in [
        (
            "trm_encoder.layer.0.multi_head_attention.query.weight",
            "of RecBole's SASRec, which normalizes after each part",
        ),
        (
            "attention_layernorms.0.weight",
            "of SASRec.pytorch, which normalizes queries alone",
        ),
    ] {
        if weights.has(name) {
            let reason = format!("{reason}: SasRec is another model");
            return Err(Error::invalid("tensor", name, reason));
        }
    }
    Ok(())
}

/// A linear layer as PyTorch has it: `[outputs, inputs]`, and biases.
type TorchLinear = (Array2<f32>, Array1<f32>);

/// Layer normalization as PyTorch has it: weights and biases, `[dim]` each.
type TorchNorm = (Array1<f32>, Array1<f32>);

/// A layer of an `nn.TransformerEncoder`.
struct EncoderLayer {
    before: TorchNorm,
    projections: TorchLinear,
    projection: TorchLinear,
    between: TorchNorm,
    first: TorchLinear,
    second: TorchLinear,
}

impl EncoderLayer {
    /// The layers of an `nn.TransformerEncoder`. Where there is none, the first is said to be
    /// missing.
    fn read_all(weights: &TorchWeights, encoder: &str, dim: usize) -> Result<Vec<Self>> {
        let mut layers = Vec::new();
        for place in 0.. {
            let name = |part: &str| format!("{encoder}.layers.{place}.{part}");
            if place > 0 && !weights.has(&name("norm1.weight")) {
                break;
            }
            layers.push(Self::read(weights, name, dim)?);
        }
        Ok(layers)
    }

    /// Sets a block of ours, whose feed-forward part is `width` wide, to what this one does.
    fn fill<B: Backend>(self, ours: &mut TransformerBlock<B>, width: usize, device: &B::Device) {
        let dim = self.projection.0.nrows();
        fill_norm(&mut ours.attention_norm, self.before, device);
        fill_linear(&mut ours.attention_in, self.projections, device);
        fill_linear(&mut ours.attention_out, self.projection, device);
        fill_norm(&mut ours.feed_norm, self.between, device);
        let (first, biases) = self.first;
        let (second, last) = self.second;
        // Hidden values beyond those that are there are 0, and nothing is made of them.
        let first = (widen(&first, width, dim), widen_row(&biases, width));
        fill_linear(&mut ours.feed_in, first, device);
        fill_linear(
            &mut ours.feed_out,
            (widen(&second, dim, width), last),
            device,
        );
    }

    fn read(weights: &TorchWeights, name: impl Fn(&str) -> String, dim: usize) -> Result<Self> {
        let linear = |weight: &str, bias: &str, outputs: usize, inputs: usize| {
            let weight = weights.matrix(&name(weight), outputs, inputs)?;
            Ok::<_, Error>((weight, weights.biases(&name(bias), outputs)?))
        };
        let hidden = weights.table(&name("linear1.weight"), Some(dim))?.nrows();
        Ok(Self {
            before: read_norm(weights, &name("norm1"), dim)?,
            projections: linear(
                "self_attn.in_proj_weight",
                "self_attn.in_proj_bias",
                3 * dim,
                dim,
            )?,
            projection: linear(
                "self_attn.out_proj.weight",
                "self_attn.out_proj.bias",
                dim,
                dim,
            )?,
            between: read_norm(weights, &name("norm2"), dim)?,
            first: linear("linear1.weight", "linear1.bias", hidden, dim)?,
            second: linear("linear2.weight", "linear2.bias", dim, hidden)?,
        })
    }
}

fn read_norm(weights: &TorchWeights, name: &str, dim: usize) -> Result<TorchNorm> {
    Ok((
        weights.vector(&format!("{name}.weight"), dim)?,
        weights.biases(&format!("{name}.bias"), dim)?,
    ))
}

fn fill_norm<B: Backend>(ours: &mut LayerNorm<B>, (weight, bias): TorchNorm, device: &B::Device) {
    ours.gamma = row_parameter(weight, device);
    ours.beta = Some(row_parameter(bias, device));
}

fn fill_linear<B: Backend>(ours: &mut Linear<B>, (weight, bias): TorchLinear, device: &B::Device) {
    ours.weight = parameter(weight.t().to_owned(), device);
    ours.bias = Some(row_parameter(bias, device));
}

/// A table with zeros after its rows and columns.
fn widen(table: &Array2<f32>, rows: usize, columns: usize) -> Array2<f32> {
    let mut wide = Array2::zeros((rows, columns));
    wide.slice_mut(s![..table.nrows(), ..table.ncols()])
        .assign(table);
    wide
}

fn widen_row(values: &Array1<f32>, len: usize) -> Array1<f32> {
    let mut wide = Array1::zeros(len);
    wide.slice_mut(s![..values.len()]).assign(values);
    wide
}
