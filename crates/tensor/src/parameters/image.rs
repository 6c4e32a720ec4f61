//! What kernels of images take and give besides tensors.

use std::ops::Range;
use std::sync::Arc;

use crate::shape::Shape;
use crate::shape_rules::Window;
use crate::tensor::TensorOf;

/// What a convolution learned about the channels of its result while it was made, for the batch normalization of that
/// result to begin with: sums over stretches of each channel's elements.
pub struct Moments<T> {
    /// The stretches' sums, and the sums of their squared deviations from the stretch's mean: (2, stretches, C).
    pub(crate) sums: TensorOf<T>,
    /// The elements of a stretch; the last one may have fewer.
    pub(crate) length: usize,
    /// The shape of the convolution's result.
    pub(crate) of: Shape,
}

/// Where the maxima of windows were; only max pooling makes it.
#[derive(Clone)]
pub struct PoolPlaces {
    /// (N,C,oh,ow): `row·W + column` of the input's plane, or −1 for a maximum that relu made 0.
    index: TensorOf<i32>,
    /// Whether the windows are 2×2 side by side, each with its place inside.
    squares: bool,
    /// The windows themselves, for a GPU, where each pixel looks for the windows around it.
    windows: Option<Arc<[Vec<Window>; 2]>>,
}

impl PoolPlaces {
    pub(crate) fn new(index: TensorOf<i32>, windows: &[Vec<Window>; 2]) -> Self {
        let windows_of_gpu = index.gpu().map(|_| Arc::new(windows.clone()));
        Self { index, squares: windows.iter().all(|axis| is_halving(axis)), windows: windows_of_gpu }
    }

    /// Those of some images.
    pub(crate) fn narrow(&self, images: Range<usize>) -> Self {
        Self { index: self.index.narrow(0, images), squares: self.squares, windows: self.windows.clone() }
    }

    /// The windows, of places that lie on a GPU.
    pub(crate) fn windows(&self) -> &[Vec<Window>; 2] {
        self.windows.as_ref().expect("places on a GPU have their windows")
    }

    /// Whether the windows are 2×2 side by side.
    pub(crate) fn squares(&self) -> bool {
        self.squares
    }

    /// The places as numbers (N,C,oh,ow): `row·W + column` of the input's plane, −1 for none.
    pub fn index(&self) -> &TensorOf<i32> {
        &self.index
    }
}

/// What follows normalization in the same pass.
#[derive(Clone, Copy)]
pub enum BatchNormThen<'a, T> {
    /// Nothing.
    Nothing,
    /// The rectified linear unit.
    Relu,
    /// A residual is added, then the rectified linear unit taken.
    AddRelu(&'a TensorOf<T>),
}

/// The gradients that `TensorOf::batch_norm_backward` gives: dx, dγ, dβ, and dr if wanted.
pub type BatchNormGradients<T> = (TensorOf<T>, TensorOf<T>, TensorOf<T>, Option<TensorOf<T>>);

/// Where an output row or column of a resampled image comes from: `lower_weight · x[lower] + (1 − lower_weight) · x[upper]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tap {
    /// The row or column in front.
    pub lower: usize,
    /// The row or column behind.
    pub upper: usize,
    /// The weight of the one in front.
    pub lower_weight: f64,
}

/// Whether the windows are pairs of neighbors side by side.
pub(crate) fn is_halving(windows: &[Window]) -> bool {
    windows.iter().enumerate().all(|(k, w)| w.start == 2 * k && w.end == 2 * k + 2)
}
