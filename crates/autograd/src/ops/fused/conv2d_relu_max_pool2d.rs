//! Convolution, relu and max pooling in one op.

use chainrule_tensor::{Conv2dOptions, Float, Pool2dOptions, PoolPlaces, shape_rules};

use crate::operation::{Operation, Rule};
use crate::recording::is_recording;
use crate::var::VarOf;

impl<T: Float> VarOf<T> {
    /// [`conv2d`](Self::conv2d) with w (O,C/groups,kh,kw) and b (O), then
    /// [`relu_max_pool2d`](Self::relu_max_pool2d): x (N,C,H,W) → (N,O,oh,ow).
    ///
    /// `y = max(0, maximum of conv(x, w) + b over the window)`. With z being what is pooled, dz is dy at the place of
    /// each window's maximum where y > 0, else 0; then as for the convolution `dx = col2im(wᵀ · dz)`,
    /// `dw = Σₙ dz · im2col(x)ᵀ`, `db = Σ dz`. Where w is small, neither z nor dz is in memory as a whole: a few images at
    /// a time go through all of it while they are in the cache. Saves x, w and the places of the maxima.
    ///
    /// # Panics
    /// If the shapes do not match.
    #[track_caller]
    #[must_use]
    pub fn conv2d_relu_max_pool2d(
        &self,
        w: &Self,
        b: Option<&Self>,
        options: Conv2dOptions,
        pool: impl Into<Pool2dOptions>,
    ) -> Self {
        let bias = b.map(Self::value);
        let z = shape_rules::conv2d(self.shape(), w.shape(), b.map(Self::shape), options)
            .unwrap_or_else(|error| panic!("{error}"));
        let windows = shape_rules::pool2d("conv2d_relu_max_pool2d", z, pool.into());
        let windows = windows.unwrap_or_else(|error| panic!("{error}"));
        let (y, places) = self.value().conv2d_relu_max_pool2d(&w.value(), bias.as_deref(), options, &windows);
        Self::record(y, [self, w].into_iter().chain(b), ConvReluMaxPool { options, places, hw: [z[2], z[3]] })
    }
}

struct ConvReluMaxPool {
    options: Conv2dOptions,
    places: PoolPlaces,
    /// Of what is pooled.
    hw: [usize; 2],
}

impl<T: Float> Rule<T> for ConvReluMaxPool {
    fn name(&self) -> &'static str {
        "conv2d_relu_max_pool2d"
    }
    fn derivative(&self) -> &'static str {
        "dz = dy at the place of each window's maximum where y > 0, else 0; dx = col2im(wᵀ · dz), dw = Σₙ dz · im2col(x)ᵀ, db = Σ dz over n, i, j"
    }
    fn saved(&self) -> &'static str {
        "x, w, the places of the maxima"
    }
    fn multiply_adds(&self, op: &Operation<T>) -> usize {
        // Each number that is pooled is the sum of one filter.
        let w = op.parent(1).shape();
        op.parent(0).shape()[0] * w[0] * self.hw[0] * self.hw[1] * w[1] * w[2] * w[3]
    }
    fn backward(&self, op: &Operation<T>, dy: &VarOf<T>, needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        let (x, w) = (op.parent(0), op.parent(1));
        let need = |parent: usize| needs.get(parent).is_some_and(|&need| need);
        let mut gradients = if is_recording() {
            // The same by ops, which can be differentiated again.
            let dz = dy.scatter2d(&self.places, self.hw);
            let dx = need(0).then(|| dz.conv2d_input_gradient(w, x.hw(), self.options));
            let [dw, db] = x.conv2d_parameter_gradients(&dz, w.hw(), self.options, [need(1), need(2)]);
            vec![dx, dw, db]
        } else {
            let wanted = [need(0), need(1), need(2)];
            x.value()
                .conv2d_relu_max_pool2d_backward(&w.value(), &dy.value(), &self.places, self.options, wanted)
                .map(|gradient| gradient.map(VarOf::constant))
                .into()
        };
        gradients.truncate(needs.len());
        gradients
    }
}

#[cfg(test)]
mod tests {
    use crate::Var64;
    use chainrule_tensor::Conv2dOptions;

    #[test]
    fn by_hand() {
        // z = 2·x − 3, then the larger of each pair of columns, if above 0.
        let x = Var64::parameter("x", [1.0, 4.0, 1.0, 0.0]);
        let (w, b) = (Var64::parameter("w", [2.0]), Var64::parameter("b", [-3.0]));
        let pool = chainrule_tensor::Pool2dOptions { kernel: [1, 2], stride: [1, 2], ..2.into() };
        let y = x.reshape([1, 1, 1, 4]).conv2d_relu_max_pool2d(
            &w.reshape([1, 1, 1, 1]),
            Some(&b),
            Conv2dOptions::default(),
            pool,
        );
        assert_eq!(y.value().to_vec(), [5.0, 0.0]);
        let g = y.sum().backward();
        assert_eq!(g[&x].to_vec(), [0.0, 2.0, 0.0, 0.0]);
        assert_eq!(g[&w].to_vec(), [4.0]);
        assert_eq!(g[&b].to_vec(), [1.0]);
    }
}
