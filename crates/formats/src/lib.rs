//! Weights and tensors in files of other programs: PyTorch's .pt and .pth, NumPy's .npy and .npz.
//!
//! [`read_weights`] and [`load_weights`] read weights of any kind, among them the safetensors files that
//! [`chainrule_nn`] writes; [`npy`] reads and writes arrays. Files come from strangers: no code in them is run, no size is
//! believed before its bytes are there, and what is not read is named.

#![forbid(unsafe_code)]

mod archive;
mod error;
pub mod npy;
mod pytorch;
mod strided;
mod weights;

pub use error::{FormatError, Result};
pub use weights::{load_weights, read_weights};
