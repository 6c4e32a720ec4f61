//! Parameter and result types of the image kernels.

use std::ops::Range;
use std::sync::Arc;

use crate::shape_rules::Window;
use crate::tensor::TensorOf;

/// The maximum number of steps applied to the images of a batch.
pub const MAX_IMAGE_STEPS: usize = 4;

/// A step of the augmentation of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageStep {
    /// Pads each side with zeros and crops a window of the original size at a random position.
    Crop {
        /// The number of zeros on each side.
        padding: usize,
    },
    /// Flips the image horizontally with probability ½.
    Flip,
}

/// The positions of the maxima of windows, as max pooling returns them.
#[derive(Clone)]
pub struct PoolIndices {
    /// (N,C,oh,ow): `row·W + column` in the input's plane, or −1 where relu blocks the gradient of the maximum.
    index: TensorOf<i32>,
    /// Whether the windows are 2×2 with stride 2, each with its index inside.
    squares: bool,
    /// The windows, for indices on a GPU, whose adjoint looks up the windows that contain each pixel.
    windows: Option<Arc<[Vec<Window>; 2]>>,
}

impl PoolIndices {
    pub(crate) fn new(index: TensorOf<i32>, windows: &[Vec<Window>; 2]) -> Self {
        let windows_of_gpu = index.gpu().map(|_| Arc::new(windows.clone()));
        Self { index, squares: windows.iter().all(|axis| is_halving(axis)), windows: windows_of_gpu }
    }

    /// The indices of some images.
    pub(crate) fn narrow(&self, images: Range<usize>) -> Self {
        Self { index: self.index.narrow(0, images), squares: self.squares, windows: self.windows.clone() }
    }

    /// The windows, for indices on a GPU.
    pub(crate) fn windows(&self) -> &[Vec<Window>; 2] {
        self.windows.as_ref().expect("indices on a GPU have their windows")
    }

    /// Whether the windows are 2×2 with stride 2.
    pub(crate) fn squares(&self) -> bool {
        self.squares
    }

    /// The indices (N,C,oh,ow): `row·W + column` in the input's plane, −1 for none.
    pub fn index(&self) -> &TensorOf<i32> {
        &self.index
    }
}

/// The gradients returned by `TensorOf::batch_norm_backward`: dx, dγ, dβ, and dr if requested.
pub type BatchNormGradients<T> = (TensorOf<T>, TensorOf<T>, TensorOf<T>, Option<TensorOf<T>>);

/// An output row or column of a resampled image: `lower_weight · x[lower] + (1 − lower_weight) · x[upper]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tap {
    /// The index of the lower row or column.
    pub lower: usize,
    /// The index of the upper row or column.
    pub upper: usize,
    /// The weight of the lower one.
    pub lower_weight: f64,
}

/// Whether the windows have length 2 and stride 2, without dilation.
pub(crate) fn is_halving(windows: &[Window]) -> bool {
    windows.iter().enumerate().all(|(k, w)| w.start == 2 * k && w.end == 2 * k + 2 && w.step == 1)
}
