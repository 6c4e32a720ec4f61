//! im2col, the windows of a convolution as the columns of a matrix, and its adjoint col2im.

use chainrule_tensor::{Conv2dOptions, Float, Shape, TensorOf};

use crate::attribute::Attribute;
use crate::graph::VarOf;
use crate::ops::linear_map::{LinearMap, Text, adjoint, linear};

impl<T: Float> VarOf<T> {
    /// The windows of a convolution as columns: x (N,C,H,W) → (N, C·kh·kw, oh·ow), with `khw` = [kh, kw]
    /// (`torch.nn.functional.unfold`); `dx = col2im(dy)`.
    ///
    /// A convolution is a matrix product with the columns, `(O, oh·ow) = (O, C·kh·kw) · (C·kh·kw, oh·ow)` for each
    /// image; its gradients follow from the rules of [`matmul`](Self::matmul) and of this op. [`conv2d`](Self::conv2d)
    /// computes the same faster.
    ///
    /// # Panics
    /// If the kernel is larger than the padded image.
    #[track_caller]
    #[must_use]
    pub fn im2col(&self, khw: [usize; 2], options: Conv2dOptions) -> Self {
        linear(self, self.value().im2col(khw, options), Im2col { khw, options })
    }

    /// The adjoint of [`im2col`](Self::im2col): (N, C·kh·kw, oh·ow) → (N,C,H,W) with `khw` = [kh, kw] and `hw` = [H, W];
    /// overlapping windows are summed (`torch.nn.functional.fold`); `dx = im2col(dy)`.
    ///
    /// # Panics
    /// If the shape is not that of `im2col` for such images.
    #[track_caller]
    #[must_use]
    pub fn col2im(&self, khw: [usize; 2], hw: [usize; 2], options: Conv2dOptions) -> Self {
        adjoint(self, self.value().col2im(khw, hw, options), Im2col { khw, options })
    }
}

#[derive(Clone)]
struct Im2col {
    khw: [usize; 2],
    options: Conv2dOptions,
}

impl<T: Float> LinearMap<T> for Im2col {
    const TEXTS: [Text; 2] = texts! {
        "im2col": "y = im2col(x)" => "dx = col2im(dy)", saves "nothing";
        "col2im": "y = col2im(x)" => "dx = im2col(dy)", saves "nothing";
    };
    fn attributes(&self) -> Vec<Attribute> {
        [vec![Attribute::new("kernel", self.khw)], super::attributes(self.options)].concat()
    }
    fn apply(&self, x: &TensorOf<T>, _y: Shape) -> TensorOf<T> {
        x.im2col(self.khw, self.options)
    }
    fn adjoint(&self, dy: &TensorOf<T>, x: Shape) -> TensorOf<T> {
        dy.col2im(self.khw, [x[2], x[3]], self.options)
    }
}

#[cfg(test)]
mod tests {
    use crate::Var64;
    use chainrule_tensor::{Conv2dOptions, Key, Purpose, Tensor64};

    #[test]
    fn a_convolution_is_a_product_with_the_columns() {
        let draw = |step, shape: [usize; 4]| Tensor64::random_normal(Key::new(0, Purpose::CHECK).at_step(step), shape);
        let x = Var64::parameter("x", draw(0, [2, 3, 7, 6]));
        let w = Var64::parameter("w", draw(1, [4, 3, 3, 2]));
        let options = Conv2dOptions { stride: [2, 1], padding: [1, 2], dilation: [2, 1], groups: 1 };
        let y = x.conv2d(&w, None, options);
        let columns = x.im2col([3, 2], options);
        let product = w.reshape([4, 18]).matmul(&columns).reshape(y.shape());
        let c = Var64::constant(draw(2, [y.shape()[0], y.shape()[1], y.shape()[2], y.shape()[3]]));
        let (a, b) = ((&y * &c).sum().backward(), (&product * &c).sum().backward());
        let near = |a: &Tensor64, b: &Tensor64| {
            assert!(a.to_vec().iter().zip(b.to_vec()).all(|(a, b)| (a - b).abs() < 1e-12), "{a}\n{b}");
        };
        near(&y.value(), &product.value());
        near(&a[&x], &b[&x]);
        near(&a[&w], &b[&w]);
    }
}
