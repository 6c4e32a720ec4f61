//! The layers.

mod activation;
mod add;
mod batch_norm;
mod conv;
mod dropout;
mod linear;
mod pool;
mod sequential;
mod shape;

pub use activation::{Activation, Relu, UnknownActivation};
pub use add::Add;
pub use batch_norm::{BatchNorm1d, BatchNorm2d};
pub use conv::{Conv2d, Conv2dBuilder, ConvTranspose2d, ConvTranspose2dBuilder};
pub use dropout::Dropout;
pub use linear::Linear;
pub use pool::{AdaptiveAvgPool2d, AvgPool2d, MaxPool2d};
pub use sequential::Sequential;
pub use shape::{Flatten, Upsample};

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
