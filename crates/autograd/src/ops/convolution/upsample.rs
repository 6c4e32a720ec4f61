//! Upsampling of images: each row and column is a weighted sum of two rows or columns of the input.

use chainrule_tensor::{Float, Shape, Tap, TensorOf};

use crate::attribute::Attribute;
use crate::graph::VarOf;
use crate::ops::linear_map::{LinearMap, Text, linear};

impl<T: Float> VarOf<T> {
    /// Repeats each pixel: x (N,C,H,W) → (N,C,oh,ow), `y[i, j] = x[⌊i·H/oh⌋, ⌊j·W/ow⌋]`. dx is the sum of dy over the
    /// copies.
    ///
    /// # Panics
    /// If x does not have four axes, or it or the size is empty.
    #[track_caller]
    #[must_use]
    pub fn upsample_nearest2d(&self, size: [usize; 2]) -> Self {
        let tap = |i: usize, len: usize, n: usize| {
            let near = i * len / n;
            Tap { lower: near, upper: near, lower_weight: 1.0 }
        };
        let taps = taps("upsample_nearest2d", self, size, tap);
        Upsample { taps, size, interpolation: "nearest", align_corners: false }.of(self)
    }

    /// Linear interpolation along both axes: x (N,C,H,W) → (N,C,oh,ow).
    ///
    /// Output row i is at input row `(i + ½)·H/oh − ½`, clamped to 0 from below, or with `align_corners` at
    /// `i·(H − 1)/(oh − 1)`, so that the corner pixels coincide (`torch.nn.functional.interpolate`).
    ///
    /// # Panics
    /// If x does not have four axes, or it or the size is empty.
    #[track_caller]
    #[must_use]
    pub fn upsample_bilinear2d(&self, size: [usize; 2], align_corners: bool) -> Self {
        let tap = |i: usize, len: usize, n: usize| {
            let place = if align_corners {
                i as f64 * (len - 1) as f64 / (n.max(2) - 1) as f64
            } else {
                ((i as f64 + 0.5) * len as f64 / n as f64 - 0.5).max(0.0)
            };
            let lower = (place as usize).min(len - 1);
            Tap { lower, upper: (lower + 1).min(len - 1), lower_weight: 1.0 - (place - lower as f64) }
        };
        let taps = taps("upsample_bilinear2d", self, size, tap);
        Upsample { taps, size, interpolation: "bilinear", align_corners }.of(self)
    }
}

/// The taps of both axes, each by `tap(output index, input length, output length)`.
#[track_caller]
fn taps<T: Float>(op: &str, x: &VarOf<T>, size: [usize; 2], tap: impl Fn(usize, usize, usize) -> Tap) -> [Vec<Tap>; 2] {
    let shape = x.shape();
    assert!(
        shape.rank() == 4 && shape[2] * shape[3] * size[0] * size[1] > 0,
        "{op}: an image of four axes, not empty, gets a size of at least 1×1\n  input (N,C,H,W) = {shape}\n  size {size:?}"
    );
    [0, 1].map(|axis| (0..size[axis]).map(|i| tap(i, shape[2 + axis], size[axis])).collect())
}

/// Both axes, each output row or column a weighted sum of two of the input.
#[derive(Clone)]
struct Upsample {
    taps: [Vec<Tap>; 2],
    size: [usize; 2],
    interpolation: &'static str,
    align_corners: bool,
}

impl Upsample {
    #[track_caller]
    fn of<T: Float>(self, x: &VarOf<T>) -> VarOf<T> {
        linear(x, x.value().resample2d(&self.taps), self)
    }
}

impl<T: Float> LinearMap<T> for Upsample {
    const TEXTS: [Text; 2] = texts! {
        "upsample2d":
            "y[n,c,i] = Σₖ weight[i,k] · x[n,c,k]"
            => "dx[n,c,k] = Σᵢ weight[i,k] · dy[n,c,i]",
            saves "nothing";
        "upsample2d backward":
            "dx[n,c,k] = Σᵢ weight[i,k] · dy[n,c,i]"
            => "d(dy)[n,c,i] = Σₖ weight[i,k] · dz[n,c,k]",
            saves "nothing";
    };
    fn attributes(&self) -> Vec<Attribute> {
        vec![
            Attribute::new("size", self.size),
            Attribute::new("interpolation", self.interpolation).symbol("weight"),
            Attribute::new("align_corners", self.align_corners),
        ]
    }
    fn apply(&self, x: &TensorOf<T>, _y: Shape) -> TensorOf<T> {
        x.resample2d(&self.taps)
    }
    fn adjoint(&self, dy: &TensorOf<T>, x: Shape) -> TensorOf<T> {
        dy.resample2d_adjoint(&self.taps, [x[2], x[3]])
    }
}

#[cfg(test)]
mod tests {
    use crate::Var64;

    #[test]
    fn by_hand() {
        let x = Var64::parameter("x", [0.0, 4.0]);
        let row = x.reshape([1, 1, 1, 2]);
        assert_eq!(row.upsample_nearest2d([1, 4]).value().to_vec(), [0.0, 0.0, 4.0, 4.0]);
        assert_eq!(row.upsample_bilinear2d([1, 4], false).value().to_vec(), [0.0, 1.0, 3.0, 4.0]);
        let y = row.upsample_bilinear2d([1, 3], true);
        assert_eq!(y.value().to_vec(), [0.0, 2.0, 4.0]);
        assert_eq!(y.sum().backward()[&x].to_vec(), [1.5, 1.5]);
    }
}
