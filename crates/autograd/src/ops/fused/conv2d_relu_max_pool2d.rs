//! Convolution, relu and max pooling in one op.

use chainrule_tensor::{Conv2dOptions, Float, OrPanic, Pool2dOptions, PoolIndices, shape_rules};

use crate::attribute::Attribute;
use crate::graph::{Operation, Rule, Tangent, VarOf};
use crate::ops::Text;
use crate::ops::composed::record_composed;

impl<T: Float> VarOf<T> {
    /// [`conv2d`](Self::conv2d) with w (O,C/groups,kh,kw) and b (O), then
    /// [`relu_max_pool2d`](Self::relu_max_pool2d): x (N,C,H,W) → (N,O,oh,ow).
    ///
    /// `y = max(0, maximum of z over the window)`, `z = conv(x, w) + b`. Where y > 0, dz is dy at the maximum of each
    /// window, elsewhere 0; then as for the convolution `dx = col2im(wᵀ · dz)`, `dw = Σₙ dz · im2col(x)ᵀ`, `db = Σ dz`. On the
    /// CPU, z of few channels with 2×2 windows of stride 2 is pooled before it is stored. Otherwise z, and in any case dz, is not
    /// stored as a whole if w is small: a few images at a time pass through all steps while they are in the cache. Saves
    /// x, w and the indices of the maxima.
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
        let z = shape_rules::conv2d(self.shape(), w.shape(), b.map(Self::shape), options).or_panic();
        let pool = pool.into();
        let windows = shape_rules::pool2d("conv2d_relu_max_pool2d", z, pool);
        let windows = windows.or_panic();
        let (y, indices) = self.value().conv2d_relu_max_pool2d(&w.value(), bias.as_deref(), options, &windows);
        let rule = ConvReluMaxPool { options, pool, indices, hw: [z[2], z[3]], bias: b.is_some() };
        Self::record(y, [self, w].into_iter().chain(b), rule)
    }
}

/// The attributes of convolution and pooling.
fn attributes(options: Conv2dOptions, pool: Pool2dOptions) -> Vec<Attribute> {
    let conv = crate::ops::convolution::attributes(options);
    let pool = [
        Attribute::new("pool kernel", pool.kernel).symbol("window"),
        Attribute::new("pool stride", pool.stride),
        Attribute::new("pool padding", pool.padding),
        Attribute::new("pool dilation", pool.dilation),
        Attribute::new("pool ceil_mode", pool.ceil_mode),
    ];
    conv.into_iter().chain(pool).collect()
}

struct ConvReluMaxPool {
    options: Conv2dOptions,
    pool: Pool2dOptions,
    indices: PoolIndices,
    /// The shape of z, which is pooled.
    hw: [usize; 2],
    /// Whether the third parent is a bias.
    bias: bool,
}

/// The derivative. `$db` is that of the bias, if there is one.
macro_rules! derivative {
    ($db:literal) => {
        concat!(
            "dx = col2im(wᵀ · g), dw = Σₙ g · im2col(x)ᵀ, ",
            $db,
            "g[n,o,k] = Σ_{i : argmax[n,o,i] = k and y[n,o,i] > 0} dy[n,o,i]"
        )
    };
}

impl<T: Float> Rule<T> for ConvReluMaxPool {
    describe! {
        name: "conv2d_relu_max_pool2d",
        saved: "x, w, argmax",
    }
    fn formula(&self) -> &'static str {
        if self.bias {
            "y[n,o,i] = max(0, max_{k ∈ window[i]} z[n,o,k]), z = conv2d(x, w) + b"
        } else {
            "y[n,o,i] = max(0, max_{k ∈ window[i]} z[n,o,k]), z = conv2d(x, w)"
        }
    }
    fn derivative(&self) -> &'static str {
        if self.bias { derivative!("db[o] = Σ_{n,k} g[n,o,k], ") } else { derivative!("") }
    }
    fn attributes(&self) -> Vec<Attribute> {
        attributes(self.options, self.pool)
    }
    fn multiply_adds(&self, op: &Operation<T>) -> usize {
        // Each element of z is a sum over one filter.
        let w = op.parent(1).shape();
        op.parent(0).shape()[0] * w[0] * self.hw[0] * self.hw[1] * w[1] * w[2] * w[3]
    }
    fn backward(&self, op: &Operation<T>, dy: &VarOf<T>, needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        let (x, w) = (op.parent(0), op.parent(1));
        let need = |parent: usize| needs.get(parent) == Some(&true);
        let [dx, dw, db] = x.value().conv2d_relu_max_pool2d_backward(
            &w.value(),
            &dy.value(),
            &self.indices,
            self.options,
            [need(0), need(1), need(2)],
        );
        let (options, pool, indices, hw) = (self.options, self.pool, self.indices.clone(), self.hw);
        let attributes = move || attributes(options, pool);
        let g = move |dy: &VarOf<T>| dy.scatter2d(&indices, hw);
        let (of_x, of_w) = (x.hw(), w.hw());
        let dx = dx.map(|dx| {
            let g = g.clone();
            record_composed(dx, [dy, w], &INPUT_GRADIENT, attributes, move |[dy, w]| {
                g(dy).conv2d_input_gradient(w, of_x, options)
            })
        });
        let dw = dw.map(|dw| {
            let g = g.clone();
            record_composed(dw, [x, dy], &WEIGHT_GRADIENT, attributes, move |[x, dy]| {
                x.conv2d_weight_gradient(&g(dy), of_w, options)
            })
        });
        let db = db.map(|db| record_composed(db, [dy], &BIAS_GRADIENT, attributes, move |[dy]| g(dy).channel_sum()));
        [dx, dw].into_iter().chain(needs.get(2).map(|_| db)).collect()
    }
    fn tangent(&self, op: &Operation<T>, dx: &[Option<VarOf<T>>]) -> Option<Tangent<T>> {
        let products = Tangent::product(op, dx, |x, w| x.conv2d(w, None, self.options));
        let [n, o] = [op.output().shape()[0], op.output().shape()[1]];
        let bias = dx.get(2).cloned().flatten().map(|db| db.reshape([o, 1, 1]));
        let z = Tangent::sum([n, o, self.hw[0], self.hw[1]].into(), products.into_iter().chain([bias]));
        Some(Tangent::forward(z.value.gather2d(&self.indices)))
    }
}

// The kernel computes these gradients without storing g.

static INPUT_GRADIENT: Text = Text {
    name: "conv2d_relu_max_pool2d input gradient",
    formula: "dx = col2im(wᵀ · g), g[n,o,k] = Σ_{i : argmax[n,o,i] = k} dy[n,o,i]",
    derivative: "d(dy)[n,o,i] = h[n, o, argmax[n,o,i]], d(w) = conv2d_weight_gradient(dz, g), h = conv2d(dz, w)",
    saved: "dy, w, argmax",
};

static WEIGHT_GRADIENT: Text = Text {
    name: "conv2d_relu_max_pool2d weight gradient",
    formula: "dw = Σₙ g · im2col(x)ᵀ, g[n,o,k] = Σ_{i : argmax[n,o,i] = k} dy[n,o,i]",
    derivative: "d(x) = conv2d_input_gradient(g, dz), d(dy)[n,o,i] = h[n, o, argmax[n,o,i]], h = conv2d(x, dz)",
    saved: "x, dy, argmax",
};

static BIAS_GRADIENT: Text = Text {
    name: "conv2d_relu_max_pool2d bias gradient",
    formula: "db[o] = Σ_{n,k} g[n,o,k], g[n,o,k] = Σ_{i : argmax[n,o,i] = k} dy[n,o,i]",
    derivative: "d(dy)[n,o,i] = dz[o] where argmax[n,o,i] ≥ 0, else 0",
    saved: "argmax",
};

#[cfg(test)]
mod tests {
    use crate::Var64;
    use chainrule_tensor::Conv2dOptions;

    #[test]
    fn by_hand() {
        // z = 2·x − 3, then the larger of each pair of columns, or 0.
        let x = Var64::parameter("x", [1.0, 4.0, 1.0, 0.0]);
        let (w, b) = (Var64::parameter("w", [2.0]), Var64::parameter("b", [-3.0]));
        let pool = chainrule_tensor::Pool2dOptions::from([1, 2]);
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
