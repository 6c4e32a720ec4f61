//! What kernels of images take and give besides tensors.

use std::ops::Range;
use std::sync::Arc;

use crate::shape_rules::Window;
use crate::tensor::TensorOf;

/// The most steps that the images of a batch go through.
pub const MAX_IMAGE_STEPS: usize = 4;

/// What is done to an image on its way into a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageStep {
    /// Zeros are added on each side, and a window of the old size is cut out at a random place.
    Crop {
        /// The zeros on each side.
        padding: usize,
    },
    /// Left and right are exchanged with probability ½.
    Flip,
}

/// Where the maxima of windows were; only max pooling makes them.
#[derive(Clone)]
pub struct PoolIndices {
    /// (N,C,oh,ow): `row·W + column` of the input's plane, or −1 for a maximum that relu lets no gradient through.
    index: TensorOf<i32>,
    /// Whether the windows are 2×2 side by side, each with its place inside.
    squares: bool,
    /// The windows themselves, for a GPU, where each pixel looks for the windows around it.
    windows: Option<Arc<[Vec<Window>; 2]>>,
}

impl PoolIndices {
    pub(crate) fn new(index: TensorOf<i32>, windows: &[Vec<Window>; 2]) -> Self {
        let windows_of_gpu = index.gpu().map(|_| Arc::new(windows.clone()));
        Self { index, squares: windows.iter().all(|axis| is_halving(axis)), windows: windows_of_gpu }
    }

    /// Those of some images.
    pub(crate) fn narrow(&self, images: Range<usize>) -> Self {
        Self { index: self.index.narrow(0, images), squares: self.squares, windows: self.windows.clone() }
    }

    /// The windows, of indices that lie on a GPU.
    pub(crate) fn windows(&self) -> &[Vec<Window>; 2] {
        self.windows.as_ref().expect("indices on a GPU have their windows")
    }

    /// Whether the windows are 2×2 side by side.
    pub(crate) fn squares(&self) -> bool {
        self.squares
    }

    /// The indices as numbers (N,C,oh,ow): `row·W + column` of the input's plane, −1 for none.
    pub fn index(&self) -> &TensorOf<i32> {
        &self.index
    }
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
