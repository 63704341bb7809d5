//! Models that PyTorch trained.
//!
//! Weights come as safetensors. Files of `torch.save` are pickles, which may lay a tensor's values
//! out in any order and leave some of them elsewhere: PyTorch itself reads those for certain, and
//! writes what is read here.

mod gru4rec;
mod sasrec;
mod weights;

pub use gru4rec::TorchGru4Rec;
pub use sasrec::TorchSasRec;
