//! The named tensors of a checkpoint.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use burn::module::Param;
use burn::tensor::backend::Backend as BurnBackend;
use burn::tensor::{DType, Tensor, TensorData};
use ndarray::{Array1, Array2, ArrayView2};
use safetensors::tensor::{Dtype, SafeTensors};

use crate::error::damaged;
use crate::files::read_file;
use crate::model::ItemTable;
use crate::{Error, Result};

/// The tensors of a checkpoint, of which each that is there must be asked for.
pub(super) struct TorchWeights {
    path: PathBuf,
    tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
    used: RefCell<BTreeSet<String>>,
}

impl TorchWeights {
    pub(super) fn read(path: &Path) -> Result<Self> {
        let bytes = read_file(path)?;
        if bytes.starts_with(b"PK") || bytes.starts_with(&[0x80]) {
            let reason = "it is a file of torch.save; in Python, \
                          `safetensors.torch.save_file(torch.load(file), \"model.safetensors\")` makes one of it \
                          that is read here (where torch.load gives more than tensors by name, \
                          pass on its state_dict alone)";
            return Err(damaged(path, reason));
        }
        let file = SafeTensors::deserialize(&bytes)
            .map_err(|error| damaged(path, format!("it is no safetensors file: {error}")))?;
        let mut tensors = BTreeMap::new();
        for (name, view) in file.iter() {
            let dtype = match view.dtype() {
                Dtype::F32 => DType::F32,
                Dtype::F64 => DType::F64,
                Dtype::F16 => DType::F16,
                Dtype::BF16 => DType::BF16,
                other => {
                    return Err(damaged(
                        path,
                        format!("{name} is of {other}, not of floats"),
                    ));
                }
            };
            let shape = view.shape().to_vec();
            let data = TensorData::from_bytes_vec(view.data().to_vec(), shape.clone(), dtype);
            let values: Vec<f32> = data.convert::<f32>().iter().collect();
            if let Some(place) = values.iter().position(|value| !value.is_finite()) {
                let value = values[place];
                return Err(damaged(path, format!("value {place} of {name} is {value}")));
            }
            tensors.insert(name.to_owned(), (shape, values));
        }
        Ok(Self {
            path: path.to_owned(),
            tensors,
            used: RefCell::default(),
        })
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    fn get(&self, name: &str) -> Result<(&[usize], &[f32])> {
        let Some((shape, values)) = self.tensors.get(name) else {
            let names: Vec<&str> = self.tensors.keys().map(String::as_str).collect();
            let names = names.join(", ");
            let path = self.path.display();
            let reason = format!("{path} has no such tensor; it has {names}");
            return Err(Error::invalid("tensor", name, reason));
        };
        self.used.borrow_mut().insert(name.to_owned());
        Ok((shape, values))
    }

    fn misshapen(&self, name: &str, found: &[usize], expected: &str) -> Error {
        let path = self.path.display();
        let reason = format!("of shape {found:?} in {path}, where {expected} is needed");
        Error::invalid("tensor", name, reason)
    }

    /// A table, of so many columns where they are known.
    pub(super) fn table(&self, name: &str, columns: Option<usize>) -> Result<Array2<f32>> {
        let (shape, values) = self.get(name)?;
        match *shape {
            [rows, found] if columns.is_none_or(|columns| columns == found) => {
                let table = ArrayView2::from_shape((rows, found), values);
                Ok(table.expect("as many values as the shape has").to_owned())
            }
            _ => {
                let columns = columns.map_or_else(|| "any".to_owned(), |count| count.to_string());
                Err(self.misshapen(name, shape, &format!("[rows, {columns}]")))
            }
        }
    }

    /// A table of so many rows and columns.
    pub(super) fn matrix(&self, name: &str, rows: usize, columns: usize) -> Result<Array2<f32>> {
        let table = self.table(name, Some(columns))?;
        if table.nrows() != rows {
            let expected = format!("[{rows}, {columns}]");
            return Err(self.misshapen(name, table.shape(), &expected));
        }
        Ok(table)
    }

    /// So many numbers.
    pub(super) fn vector(&self, name: &str, len: usize) -> Result<Array1<f32>> {
        let (shape, values) = self.get(name)?;
        if shape != [len] {
            return Err(self.misshapen(name, shape, &format!("[{len}]")));
        }
        Ok(Array1::from(values.to_vec()))
    }

    /// The same, or zeros where a layer has no biases.
    pub(super) fn biases(&self, name: &str, len: usize) -> Result<Array1<f32>> {
        if self.has(name) {
            self.vector(name, len)
        } else {
            Ok(Array1::zeros(len))
        }
    }

    /// Refuses a checkpoint that holds more than was asked for: what is passed over would be
    /// missing from what the model answers.
    pub(super) fn finish(self) -> Result<()> {
        let used = self.used.into_inner();
        let unused: Vec<&str> = (self.tensors.keys())
            .filter(|name| !used.contains(*name))
            .map(String::as_str)
            .collect();
        if unused.is_empty() {
            return Ok(());
        }
        let path = self.path.display();
        let reason = format!("the model described has no place for it, and {path} holds it");
        Err(Error::invalid("tensor", unused.join(", "), reason))
    }
}

/// A parameter of these values.
pub(super) fn parameter<B: BurnBackend>(
    values: Array2<f32>,
    device: &B::Device,
) -> Param<Tensor<B, 2>> {
    let shape = [values.nrows(), values.ncols()];
    let values: Vec<f32> = values.into_iter().collect();
    Param::from_data(TensorData::new(values, shape), device)
}

/// A table of items of these values.
pub(super) fn item_table<B: BurnBackend>(values: Array2<f32>, device: &B::Device) -> ItemTable<B> {
    ItemTable::new(parameter::<B>(values, device).val())
}

/// A parameter of numbers in a row.
pub(super) fn row_parameter<B: BurnBackend>(
    values: Array1<f32>,
    device: &B::Device,
) -> Param<Tensor<B, 1>> {
    let values = values.to_vec();
    let shape = [values.len()];
    Param::from_data(TensorData::new(values, shape), device)
}

/// Item vectors as our models have them, with a row of zeros for padding before them: after what
/// stands at row 0 of a table that has padding is left out.
pub(super) fn items(table: &Array2<f32>, padded: bool, columns: usize) -> Array2<f32> {
    let first = usize::from(padded);
    let count = table.nrows().saturating_sub(first);
    let mut items = Array2::zeros((count + 1, columns));
    items
        .slice_mut(ndarray::s![1.., ..table.ncols()])
        .assign(&table.slice(ndarray::s![first.., ..]));
    items
}
