//! Pooling: the maximum or the mean of each window of an image.

use chainrule_tensor::{Float, OrPanic, Pool2dOptions, PoolIndices, Shape, TensorOf, Window, shape_rules};

use crate::attribute::Attribute;
use crate::graph::{Operation, Rule, Tangent, VarOf};
use crate::ops::linear_map::{LinearMap, Text, adjoint, linear};

impl<T: Float> VarOf<T> {
    /// The maximum of each window: x (N,C,H,W) → (N,C,oh,ow), `oh = ⌊(H + 2·pad − d·(kh − 1) − 1)/s⌋ + 1`.
    /// `max_pool2d(2)` has 2×2 windows with stride 2.
    ///
    /// dy goes to the maximum; of several equal ones, to the first in row-major order. The maximum of a window with NaN
    /// is NaN. Padding is −∞. With `ceil_mode` oh is rounded up, less a last window that would start after the image
    /// (`torch.nn.MaxPool2d`). Saves the indices of the maxima.
    ///
    /// # Panics
    /// If the windows do not fit into the image.
    #[track_caller]
    #[must_use]
    pub fn max_pool2d(&self, options: impl Into<Pool2dOptions>) -> Self {
        let options = options.into();
        let windows = shape_rules::pool2d("max_pool2d", self.shape(), options);
        let (y, indices) = self.value().max_pool2d(&windows.or_panic());
        Self::record(y, [self], MaxPool { indices, form: Form::Plain, attributes: attributes(options) })
    }

    /// Max pooling to an image of `size` = [oh, ow]: window i of an axis covers `⌊i·H/oh⌋ .. ⌈(i+1)·H/oh⌉`. Size [1, 1] is
    /// global max pooling. dy goes to the first maximum of each window, as in [`max_pool2d`](Self::max_pool2d).
    ///
    /// # Panics
    /// If the image or the size is empty.
    #[track_caller]
    #[must_use]
    pub fn adaptive_max_pool2d(&self, size: [usize; 2]) -> Self {
        let windows = shape_rules::adaptive_pool2d("adaptive_max_pool2d", self.shape(), size);
        let (y, indices) = self.value().max_pool2d(&windows.or_panic());
        Self::record(y, [self], MaxPool { indices, form: Form::Adaptive, attributes: adaptive_attributes(size) })
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
        let (y, indices) = self.value().relu_max_pool2d(&windows.or_panic());
        Self::record(y, [self], MaxPool { indices, form: Form::Relu, attributes: attributes(options) })
    }

    /// The mean of each window: x (N,C,H,W) → (N,C,oh,ow). Each element of a window of n gets dy / n.
    ///
    /// With `count_include_pad` n counts the padding too, but nothing beyond it that `ceil_mode` lets a window reach
    /// (`torch.nn.AvgPool2d`).
    ///
    /// # Panics
    /// If the windows do not fit into the image.
    #[track_caller]
    #[must_use]
    pub fn avg_pool2d(&self, options: impl Into<Pool2dOptions>) -> Self {
        let options = options.into();
        let windows = shape_rules::pool2d("avg_pool2d", self.shape(), options);
        let mut attributes = attributes(options);
        attributes.push(Attribute::new("count_include_pad", options.count_include_pad));
        AvgPool { windows: windows.or_panic(), attributes }.of(self)
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
        AvgPool { windows: windows.or_panic(), attributes: adaptive_attributes(size) }.of(self)
    }
}

/// The attributes of a pooling op.
fn attributes(options: Pool2dOptions) -> Vec<Attribute> {
    vec![
        Attribute::new("kernel", options.kernel).symbol("window"),
        Attribute::new("stride", options.stride).symbol("s"),
        Attribute::new("padding", options.padding).symbol("pad"),
        Attribute::new("dilation", options.dilation).symbol("d"),
        Attribute::new("ceil_mode", options.ceil_mode),
    ]
}

/// The attributes of an adaptive pooling op.
fn adaptive_attributes(size: [usize; 2]) -> Vec<Attribute> {
    let window = Attribute::new("window of i", "⌊i·H/oh⌋ .. ⌈(i + 1)·H/oh⌉").symbol("window");
    vec![Attribute::new("size", size), window]
}

/// The attributes are the arguments that define the windows.
struct MaxPool {
    indices: PoolIndices,
    form: Form,
    attributes: Vec<Attribute>,
}

/// Which op a [`MaxPool`] is.
#[derive(Clone, Copy, PartialEq)]
enum Form {
    Plain,
    Adaptive,
    Relu,
}

impl<T: Float> Rule<T> for MaxPool {
    fn name(&self) -> &'static str {
        if self.form == Form::Relu { "relu_max_pool2d" } else { "max_pool2d" }
    }
    fn formula(&self) -> &'static str {
        match self.form {
            Form::Plain => "y[n,c,i,j] = max_{p,q} x[n, c, s·i + d·p − pad, s·j + d·q − pad]",
            Form::Adaptive => "y[n,c,i] = max_{k ∈ window[i]} x[n,c,k]",
            Form::Relu => "y[n,c,i,j] = max(0, max_{p,q} x[n, c, s·i + d·p − pad, s·j + d·q − pad])",
        }
    }
    fn derivative(&self) -> &'static str {
        match self.form {
            Form::Plain | Form::Adaptive => "dx[n,c,k] = Σ_{i : argmax[n,c,i] = k} dy[n,c,i]",
            Form::Relu => "dx[n,c,k] = Σ_{i : argmax[n,c,i] = k and y[n,c,i] > 0} dy[n,c,i]",
        }
    }
    fn attributes(&self) -> Vec<Attribute> {
        self.attributes.clone()
    }
    fn saved(&self) -> &'static str {
        "argmax"
    }
    fn backward(&self, op: &Operation<T>, dy: &VarOf<T>, _needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        vec![Some(dy.scatter2d(&self.indices, op.parent(0).hw()))]
    }
    fn tangent(&self, _op: &Operation<T>, dx: &[Option<VarOf<T>>]) -> Option<Tangent<T>> {
        dx[0].as_ref().map(|dx| Tangent::forward(dx.gather2d(&self.indices)))
    }
}

impl<T: Float> VarOf<T> {
    /// Puts dy (N,C,oh,ow), this, at the indices of the maxima, and zeros elsewhere: (N,C,H,W) with `hw` = [H, W].
    pub(crate) fn scatter2d(&self, indices: &PoolIndices, hw: [usize; 2]) -> Self {
        adjoint(self, self.value().scatter2d(indices, hw), AtMaxima(indices.clone()))
    }

    /// The elements of x (N,C,H,W), this, at the indices of the maxima, 0 where there is none: (N,C,oh,ow).
    pub(crate) fn gather2d(&self, indices: &PoolIndices) -> Self {
        linear(self, self.value().gather2d(indices), AtMaxima(indices.clone()))
    }
}

/// The elements of an image at the indices of the maxima.
#[derive(Clone)]
struct AtMaxima(PoolIndices);

impl<T: Float> LinearMap<T> for AtMaxima {
    const TEXTS: [Text; 2] = texts! {
        "max_pool2d gather":
            "y[n,c,i] = x[n, c, argmax[n,c,i]]"
            => "dx[n,c,k] = Σ_{i : argmax[n,c,i] = k} dy[n,c,i]",
            saves "argmax";
        "max_pool2d backward":
            "dx[n,c,k] = Σ_{i : argmax[n,c,i] = k} dy[n,c,i]"
            => "d(dy)[n,c,i] = dz[n, c, argmax[n,c,i]]",
            saves "argmax";
    };
    fn apply(&self, x: &TensorOf<T>, _y: Shape) -> TensorOf<T> {
        x.gather2d(&self.0)
    }
    fn adjoint(&self, dy: &TensorOf<T>, x: Shape) -> TensorOf<T> {
        dy.scatter2d(&self.0, [x[2], x[3]])
    }
}

/// The mean of each window. The attributes are the arguments that define the windows.
#[derive(Clone)]
struct AvgPool {
    windows: [Vec<Window>; 2],
    attributes: Vec<Attribute>,
}

impl AvgPool {
    #[track_caller]
    fn of<T: Float>(self, x: &VarOf<T>) -> VarOf<T> {
        linear(x, x.value().avg_pool2d(&self.windows), self)
    }
}

impl<T: Float> LinearMap<T> for AvgPool {
    const TEXTS: [Text; 2] = texts! {
        "avg_pool2d":
            "y[n,c,i] = mean_{k ∈ window[i]} x[n,c,k]"
            => "dx[n,c,k] = Σ_{i : k ∈ window[i]} dy[n,c,i] / size(window[i])",
            saves "nothing";
        "avg_pool2d backward":
            "dx[n,c,k] = Σ_{i : k ∈ window[i]} dy[n,c,i] / size(window[i])"
            => "d(dy)[n,c,i] = mean_{k ∈ window[i]} dz[n,c,k]",
            saves "nothing";
    };
    fn attributes(&self) -> Vec<Attribute> {
        self.attributes.clone()
    }
    fn apply(&self, x: &TensorOf<T>, _y: Shape) -> TensorOf<T> {
        x.avg_pool2d(&self.windows)
    }
    fn adjoint(&self, dy: &TensorOf<T>, x: Shape) -> TensorOf<T> {
        dy.avg_pool2d_adjoint(&self.windows, [x[2], x[3]])
    }
}

#[cfg(test)]
mod tests {
    use chainrule_tensor::Pool2dOptions;

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
        let y = image.adaptive_max_pool2d([1, 3]);
        assert_eq!(y.value().to_vec(), [5.0, 5.0, 2.0], "of columns 0 to 1, 1 to 2 and 2 to 3");
        assert_eq!(y.sum().backward()[&x].to_vec(), [0.0, 2.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn dilation_and_ceil_mode_by_hand() {
        let x = Var64::parameter("x", [1.0, 7.0, 3.0, 4.0, 5.0]);
        let row = x.reshape([1, 1, 1, 5]);
        let options = Pool2dOptions { stride: [1, 2], dilation: [1, 2], ..[1, 2].into() };
        let y = row.max_pool2d(options);
        assert_eq!(y.value().to_vec(), [3.0, 5.0], "of columns 0 and 2, and of 2 and 4");
        assert_eq!(y.sum().backward()[&x].to_vec(), [0.0, 0.0, 1.0, 0.0, 1.0]);
        assert_eq!(row.avg_pool2d(options).value().to_vec(), [2.0, 4.0]);

        let options = Pool2dOptions { ceil_mode: true, ..[1, 2].into() };
        let y = row.max_pool2d(options);
        assert_eq!(y.value().to_vec(), [7.0, 4.0, 5.0], "the last window has one column in the image");
        let y = row.avg_pool2d(options);
        assert_eq!(y.value().to_vec(), [4.0, 3.5, 5.0], "what is beyond the padding does not count");
        assert_eq!(y.sum().backward()[&x].to_vec(), [0.5, 0.5, 0.5, 0.5, 1.0]);
        // Windows at −1, 1, 3 and 5. The last would start in the padding on the right, and is dropped.
        let y = row.avg_pool2d(Pool2dOptions { padding: [0, 1], ..options });
        assert_eq!(y.value().to_vec(), [0.5, 5.0, 4.5]);
        let y = row.avg_pool2d(Pool2dOptions { padding: [0, 1], count_include_pad: false, ..options });
        assert_eq!(y.value().to_vec(), [1.0, 5.0, 4.5]);
    }
}
