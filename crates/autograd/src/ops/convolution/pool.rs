//! Pooling: the maximum or the mean of each window of an image.

use chainrule_tensor::{Float, Pool2dOptions, PoolIndices, Window, shape_rules};

use crate::attribute::Attribute;
use crate::operation::{Operation, Rule};
use crate::var::VarOf;

/// The windows of a pooling op, vertical and horizontal.
type Windows = [Vec<Window>; 2];

impl<T: Float> VarOf<T> {
    /// The maximum of each window: x (N,C,H,W) → (N,C,oh,ow). `max_pool2d(2)` has 2×2 windows with stride 2.
    ///
    /// dy goes to the maximum; of several equal ones, to the first in row-major order. The maximum of a window with NaN
    /// is NaN. Padding is −∞. Saves the indices of the maxima.
    ///
    /// # Panics
    /// If the windows do not fit into the image.
    #[track_caller]
    #[must_use]
    pub fn max_pool2d(&self, options: impl Into<Pool2dOptions>) -> Self {
        let options = options.into();
        let windows = shape_rules::pool2d("max_pool2d", self.shape(), options);
        let (y, indices) = self.value().max_pool2d(&windows.unwrap_or_else(|error| panic!("{error}")));
        Self::record(y, [self], MaxPool { indices, relu: false, options })
    }

    /// `relu` and `max_pool2d` as one op: `y = max(0, maximum of the window)`, x (N,C,H,W) → (N,C,oh,ow).
    ///
    /// dy goes to the first maximum of the window if it is above 0; otherwise the gradient is 0. NaN stays NaN. The
    /// intermediate image, four times as large as y for 2×2 windows, is not stored, nor is its gradient.
    ///
    /// # Panics
    /// If the windows do not fit into the image.
    #[track_caller]
    #[must_use]
    pub fn relu_max_pool2d(&self, options: impl Into<Pool2dOptions>) -> Self {
        let options = options.into();
        let windows = shape_rules::pool2d("relu_max_pool2d", self.shape(), options);
        let (y, indices) = self.value().relu_max_pool2d(&windows.unwrap_or_else(|error| panic!("{error}")));
        Self::record(y, [self], MaxPool { indices, relu: true, options })
    }

    /// The mean of each window: x (N,C,H,W) → (N,C,oh,ow). Each element of a window of n gets dy / n.
    ///
    /// # Panics
    /// If the windows do not fit into the image.
    #[track_caller]
    #[must_use]
    pub fn avg_pool2d(&self, options: impl Into<Pool2dOptions>) -> Self {
        let options = options.into();
        let windows = shape_rules::pool2d("avg_pool2d", self.shape(), options);
        average(self, windows.unwrap_or_else(|error| panic!("{error}")), Given::Options(options))
    }

    /// Average pooling to an image of `size` = [oh, ow]: window i of an axis covers `⌊i·H/oh⌋ .. ⌈(i+1)·H/oh⌉`. Size
    /// [1, 1] is global average pooling.
    ///
    /// # Panics
    /// If the image or the size is empty.
    #[track_caller]
    #[must_use]
    pub fn adaptive_avg_pool2d(&self, size: [usize; 2]) -> Self {
        let windows = shape_rules::adaptive_pool2d("adaptive_avg_pool2d", self.shape(), size);
        average(self, windows.unwrap_or_else(|error| panic!("{error}")), Given::Size(size))
    }
}

struct MaxPool {
    indices: PoolIndices,
    relu: bool,
    options: Pool2dOptions,
}

/// The attributes of a pooling op.
fn attributes(options: Pool2dOptions) -> Vec<Attribute> {
    vec![
        Attribute::new("kernel", options.kernel).symbol("window"),
        Attribute::new("stride", options.stride).symbol("s"),
        Attribute::new("padding", options.padding).symbol("pad"),
    ]
}

impl<T: Float> Rule<T> for MaxPool {
    fn name(&self) -> &'static str {
        if self.relu { "relu_max_pool2d" } else { "max_pool2d" }
    }
    fn formula(&self) -> &'static str {
        if self.relu {
            "y[n,c,i,j] = max(0, max_{p,q} x[n, c, s·i + p − pad, s·j + q − pad])"
        } else {
            "y[n,c,i,j] = max_{p,q} x[n, c, s·i + p − pad, s·j + q − pad]"
        }
    }
    fn derivative(&self) -> &'static str {
        if self.relu {
            "dx[n,c,k] = Σ_{i : argmax[n,c,i] = k and y[n,c,i] > 0} dy[n,c,i]"
        } else {
            "dx[n,c,k] = Σ_{i : argmax[n,c,i] = k} dy[n,c,i]"
        }
    }
    fn attributes(&self) -> Vec<Attribute> {
        attributes(self.options)
    }
    fn saved(&self) -> &'static str {
        "argmax"
    }
    fn backward(&self, op: &Operation<T>, dy: &VarOf<T>, _needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        vec![Some(dy.scatter2d(&self.indices, op.parent(0).hw()))]
    }
}

impl<T: Float> VarOf<T> {
    /// Puts dy (N,C,oh,ow), this, at the indices of the maxima, and zeros elsewhere: (N,C,H,W) with `hw` = [H, W].
    pub(crate) fn scatter2d(&self, indices: &PoolIndices, hw: [usize; 2]) -> Self {
        Self::record(self.value().scatter2d(indices, hw), [self], Scatter(indices.clone()))
    }
}

struct Scatter(PoolIndices);

impl<T: Float> Rule<T> for Scatter {
    describe! {
        name: "max_pool2d backward",
        formula: "dx[n,c,k] = Σ_{i : argmax[n,c,i] = k} dy[n,c,i]",
        derivative: "d(dy)[n,c,i] = dz[n, c, argmax[n,c,i]]",
        saved: "argmax",
    }
    fn backward(&self, op: &Operation<T>, dz: &VarOf<T>, _needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        let _ = op;
        vec![Some(VarOf::record(dz.value().gather2d(&self.0), [dz], Gather(self.0.clone())))]
    }
}

struct Gather(PoolIndices);

impl<T: Float> Rule<T> for Gather {
    describe! {
        name: "max_pool2d gather",
        formula: "y[n,c,i] = x[n, c, argmax[n,c,i]]",
        derivative: "dx[n,c,k] = Σ_{i : argmax[n,c,i] = k} dy[n,c,i]",
        saved: "argmax",
    }
    fn backward(&self, op: &Operation<T>, dy: &VarOf<T>, _needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        vec![Some(dy.scatter2d(&self.0, op.parent(0).hw()))]
    }
}

fn average<T: Float>(x: &VarOf<T>, windows: Windows, given: Given) -> VarOf<T> {
    VarOf::record(x.value().avg_pool2d(&windows), [x], AvgPool { windows, given })
}

/// The arguments that define the windows of average pooling.
#[derive(Clone, Copy)]
enum Given {
    Options(Pool2dOptions),
    /// The output size of adaptive pooling.
    Size([usize; 2]),
}

impl Given {
    fn attributes(self) -> Vec<Attribute> {
        match self {
            Self::Options(options) => {
                let count = Attribute::new("count_include_pad", options.count_include_pad);
                attributes(options).into_iter().chain([count]).collect()
            }
            Self::Size(size) => {
                let window = Attribute::new("window of i", "⌊i·H/oh⌋ .. ⌈(i + 1)·H/oh⌉").symbol("window");
                vec![Attribute::new("size", size), window]
            }
        }
    }
}

struct AvgPool {
    windows: Windows,
    given: Given,
}

impl<T: Float> Rule<T> for AvgPool {
    describe! {
        name: "avg_pool2d",
        formula: "y[n,c,i] = mean_{k ∈ window[i]} x[n,c,k]",
        derivative: "dx[n,c,k] = Σ_{i : k ∈ window[i]} dy[n,c,i] / size(window[i])",
        saved: "nothing",
    }
    fn attributes(&self) -> Vec<Attribute> {
        self.given.attributes()
    }
    fn backward(&self, op: &Operation<T>, dy: &VarOf<T>, _needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        let dx = dy.value().avg_pool2d_adjoint(&self.windows, op.parent(0).hw());
        vec![Some(VarOf::record(dx, [dy], AvgPoolBackward { windows: self.windows.clone(), given: self.given }))]
    }
}

struct AvgPoolBackward {
    windows: Windows,
    given: Given,
}

impl<T: Float> Rule<T> for AvgPoolBackward {
    describe! {
        name: "avg_pool2d backward",
        formula: "dx[n,c,k] = Σ_{i : k ∈ window[i]} dy[n,c,i] / size(window[i])",
        derivative: "d(dy)[n,c,i] = mean_{k ∈ window[i]} dz[n,c,k]",
        saved: "nothing",
    }
    fn attributes(&self) -> Vec<Attribute> {
        self.given.attributes()
    }
    fn backward(&self, _op: &Operation<T>, dz: &VarOf<T>, _needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        vec![Some(average(dz, self.windows.clone(), self.given))]
    }
}

#[cfg(test)]
mod tests {
    use crate::Var64;

    #[test]
    fn by_hand() {
        let x = Var64::parameter("x", [[1.0, 5.0, 2.0, 2.0], [3.0, 5.0, 2.0, 0.0]]);
        let image = x.reshape([1, 1, 2, 4]);
        let y = (&image - 4.5).relu_max_pool2d(2);
        assert_eq!(y.value().to_vec(), [0.5, 0.0], "of 0.5 and -2.5");
        assert_eq!(y.sum().backward()[&x].to_vec(), [0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0], "nothing below 0");
        let y = image.max_pool2d(2);
        assert_eq!(y.value().to_vec(), [5.0, 2.0]);
        assert_eq!(y.sum().backward()[&x].to_vec(), [0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0], "the first maximum");
        let y = image.avg_pool2d(2);
        assert_eq!(y.value().to_vec(), [3.5, 1.5]);
        assert_eq!(y.sum().backward()[&x].to_vec(), [0.25; 8]);
        assert_eq!(image.adaptive_avg_pool2d([1, 1]).value().to_vec(), [2.5]);
    }
}
