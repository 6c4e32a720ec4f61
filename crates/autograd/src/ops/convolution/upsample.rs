//! Upsampling of images: each row and column is a weighted sum of two rows or columns of the input.

use chainrule_tensor::{Float, Tap};

use crate::attribute::Attribute;
use crate::operation::{Operation, Rule};
use crate::var::VarOf;

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
        resample(
            self,
            taps("upsample_nearest2d", self, size, tap),
            Given { size, mode: "nearest", align_corners: false },
        )
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
        resample(self, taps("upsample_bilinear2d", self, size, tap), Given { size, mode: "bilinear", align_corners })
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

fn resample<T: Float>(x: &VarOf<T>, taps: [Vec<Tap>; 2], given: Given) -> VarOf<T> {
    VarOf::record(x.value().resample2d(&taps), [x], Upsample { taps, given })
}

/// The arguments that define the taps.
#[derive(Clone, Copy)]
struct Given {
    size: [usize; 2],
    mode: &'static str,
    align_corners: bool,
}

impl Given {
    fn attributes(self) -> Vec<Attribute> {
        vec![
            Attribute::new("size", self.size),
            Attribute::new("interpolation", self.mode).symbol("weight"),
            Attribute::new("align_corners", self.align_corners),
        ]
    }
}

struct Upsample {
    taps: [Vec<Tap>; 2],
    given: Given,
}

impl<T: Float> Rule<T> for Upsample {
    describe! {
        name: "upsample2d",
        formula: "y[n,c,i] = Σₖ weight[i,k] · x[n,c,k]",
        derivative: "dx[n,c,k] = Σᵢ weight[i,k] · dy[n,c,i]",
        saved: "nothing",
    }
    fn attributes(&self) -> Vec<Attribute> {
        self.given.attributes()
    }
    fn backward(&self, op: &Operation<T>, dy: &VarOf<T>, _needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        let dx = dy.value().resample2d_adjoint(&self.taps, op.parent(0).hw());
        let rule = UpsampleBackward { taps: self.taps.clone(), given: self.given };
        vec![Some(VarOf::record(dx, [dy], rule))]
    }
}

struct UpsampleBackward {
    taps: [Vec<Tap>; 2],
    given: Given,
}

impl<T: Float> Rule<T> for UpsampleBackward {
    describe! {
        name: "upsample2d backward",
        formula: "dx[n,c,k] = Σᵢ weight[i,k] · dy[n,c,i]",
        derivative: "d(dy)[n,c,i] = Σₖ weight[i,k] · dz[n,c,k]",
        saved: "nothing",
    }
    fn attributes(&self) -> Vec<Attribute> {
        self.given.attributes()
    }
    fn backward(&self, _op: &Operation<T>, dz: &VarOf<T>, _needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        vec![Some(resample(dz, self.taps.clone(), self.given))]
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
