//! im2col, the windows of a convolution as the columns of a matrix, and its adjoint col2im.

use chainrule_tensor::{Conv2dOptions, Float};

use crate::attribute::Attribute;
use crate::operation::{Operation, Rule};
use crate::var::VarOf;

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
        Self::record(self.value().im2col(khw, options), [self], Im2col { khw, options })
    }

    /// The adjoint of [`im2col`](Self::im2col): (N, C·kh·kw, oh·ow) → (N,C,H,W) with `khw` = [kh, kw] and `hw` = [H, W];
    /// overlapping windows are summed (`torch.nn.functional.fold`); `dx = im2col(dy)`.
    ///
    /// # Panics
    /// If the shape is not that of `im2col` for such images.
    #[track_caller]
    #[must_use]
    pub fn col2im(&self, khw: [usize; 2], hw: [usize; 2], options: Conv2dOptions) -> Self {
        Self::record(self.value().col2im(khw, hw, options), [self], Col2im { khw, options })
    }
}

struct Im2col {
    khw: [usize; 2],
    options: Conv2dOptions,
}

impl<T: Float> Rule<T> for Im2col {
    describe! {
        name: "im2col",
        formula: "y = im2col(x)",
        derivative: "dx = col2im(dy)",
        saved: "nothing",
    }
    fn attributes(&self) -> Vec<Attribute> {
        [vec![Attribute::new("kernel", self.khw)], super::attributes(self.options)].concat()
    }
    fn backward(&self, op: &Operation<T>, dy: &VarOf<T>, _needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        vec![Some(dy.col2im(self.khw, op.parent(0).hw(), self.options))]
    }
}

struct Col2im {
    khw: [usize; 2],
    options: Conv2dOptions,
}

impl<T: Float> Rule<T> for Col2im {
    describe! {
        name: "col2im",
        formula: "y = col2im(x)",
        derivative: "dx = im2col(dy)",
        saved: "nothing",
    }
    fn attributes(&self) -> Vec<Attribute> {
        [vec![Attribute::new("kernel", self.khw)], super::attributes(self.options)].concat()
    }
    fn backward(&self, _op: &Operation<T>, dy: &VarOf<T>, _needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        vec![Some(dy.im2col(self.khw, self.options))]
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
