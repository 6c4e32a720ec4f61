//! The layers.

mod activation;
mod add;
mod batch_norm;
mod conv;
mod dropout;
mod embedding;
mod linear;
mod norm;
mod one_dimensional;
mod padding;
mod pool;
mod prelu;
mod recompute;
mod recurrent;
mod sequential;
mod shape;

pub use activation::{Activation, Relu, UnknownActivation};
pub use add::Add;
pub use batch_norm::{BatchNorm1d, BatchNorm2d};
pub use conv::{Conv2d, Conv2dBuilder, ConvTranspose2d, ConvTranspose2dBuilder};
pub use dropout::{Dropout, Dropout2d};
pub use embedding::Embedding;
pub use linear::Linear;
pub use norm::{GroupNorm, InstanceNorm1d, InstanceNorm2d, LayerNorm};
pub use one_dimensional::{
    AdaptiveAvgPool1d, AdaptiveMaxPool1d, AvgPool1d, Conv1d, Conv1dBuilder, ConvTranspose1d, ConvTranspose1dBuilder,
    MaxPool1d,
};
pub use padding::{CircularPad2d, ReflectionPad2d, ReplicationPad2d, Sides, ZeroPad2d};
pub use pool::{AdaptiveAvgPool2d, AdaptiveMaxPool2d, AvgPool2d, MaxPool2d};
pub use prelu::PRelu;
pub use recompute::Recompute;
pub use recurrent::{GruCell, LstmCell, RnnCell};
pub use sequential::Sequential;
pub use shape::{Flatten, PixelShuffle, PixelUnshuffle, Upsample};

/// A size for both axes of an image, or one for each: `3` or `[3, 5]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair(pub [usize; 2]);

impl From<usize> for Pair {
    fn from(n: usize) -> Self {
        Self([n, n])
    }
}

impl From<[usize; 2]> for Pair {
    fn from(pair: [usize; 2]) -> Self {
        Self(pair)
    }
}
