//! The transposed convolution: the input gradient of a convolution, used as a forward op.

use chainrule_tensor::{Conv2dOptions, Float, OrPanic, shape_rules};

use crate::attribute::Attribute;
use crate::graph::VarOf;
use crate::scope::open_with;

impl<T: Float> VarOf<T> {
    /// The transposed convolution of x (N,C,H,W) with w (C,O/groups,kh,kw), plus b (O) → y (N,O,oh,ow),
    /// `oh = (H − 1)·stride − 2·pad + dilation·(kh − 1) + 1 + output_padding` (`torch.nn.ConvTranspose2d`).
    ///
    /// Each input pixel adds a multiple of the kernel to the output. This is the input gradient of a convolution with
    /// the same options from y's shape to x's; its own gradients are that convolution and the weight gradient.
    ///
    /// # Panics
    /// If the shapes do not match.
    #[track_caller]
    #[must_use]
    pub fn conv_transpose2d(
        &self,
        w: &Self,
        b: Option<&Self>,
        options: Conv2dOptions,
        output_padding: [usize; 2],
    ) -> Self {
        let bias = b.map(Self::shape);
        let shape = shape_rules::conv_transpose2d(self.shape(), w.shape(), bias, options, output_padding).or_panic();
        let _scope = open_with("conv_transpose2d", || {
            let padding = Attribute::new("output_padding", output_padding);
            super::attributes(options).into_iter().chain([padding]).collect()
        });
        // An output padding of a stride or more (below the dilation) has room for further windows in the output. They belong
        // to pixels of the input that do not exist, so zeros are appended.
        let missing = [0, 1].map(|i| (0, output_padding[i] / options.stride[i]));
        let x = if missing == [(0, 0); 2] {
            self.clone()
        } else {
            self.pad(&[(0, 0), (0, 0), missing[0], missing[1]], 0.0)
        };
        let y = x.conv2d_input_gradient(w, [shape[2], shape[3]], options);
        match b {
            Some(b) => y + b.reshape([1, shape[1], 1, 1]),
            None => y,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::Var64;
    use chainrule_tensor::Conv2dOptions;

    #[test]
    fn by_hand() {
        // Stride 2 over a row of two: y = (x0·w0, x0·w1, x1·w0, x1·w1) + b.
        let x = Var64::parameter("x", [1.0, 2.0]);
        let w = Var64::parameter("w", [3.0, 4.0]);
        let b = Var64::parameter("b", [0.5]);
        let options = Conv2dOptions { stride: [1, 2], ..Conv2dOptions::default() };
        let y = x.reshape([1, 1, 1, 2]).conv_transpose2d(&w.reshape([1, 1, 1, 2]), Some(&b), options, [0, 0]);
        assert_eq!(y.value().to_vec(), [3.5, 4.5, 6.5, 8.5]);
        let g = (y.flatten() * Var64::constant([[1.0, 10.0, 100.0, 1000.0]])).sum().backward();
        assert_eq!(g[&x].to_vec(), [43.0, 4300.0]);
        assert_eq!(g[&w].to_vec(), [201.0, 2010.0]);
        assert_eq!(g[&b].to_vec(), [1111.0]);
    }

    #[test]
    fn an_output_padding_of_a_stride_by_hand() {
        // Dilation 2 over a row of one: y = (x·w0, 0, x·w1, 0) + b, the last by the output padding of 1.
        let (x, b) = (Var64::parameter("x", 2.0), Var64::parameter("b", [0.5]));
        let w = Var64::parameter("w", [3.0, 4.0]);
        let options = Conv2dOptions { dilation: [1, 2], ..Conv2dOptions::default() };
        let x4 = x.reshape([1, 1, 1, 1]);
        let y = x4.conv_transpose2d(&w.reshape([1, 1, 1, 2]), Some(&b), options, [0, 1]);
        assert_eq!(y.value().to_vec(), [6.5, 0.5, 8.5, 0.5]);
        let g = (y.flatten() * Var64::constant([[1.0, 10.0, 100.0, 1000.0]])).sum().backward();
        assert_eq!((g[&x].item(), g[&w].to_vec(), g[&b].to_vec()), (403.0, vec![2.0, 200.0], vec![1111.0]));
    }
}
