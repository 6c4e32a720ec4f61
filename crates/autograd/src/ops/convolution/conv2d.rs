//! The convolution and its two gradients: three ops, each linear in both of its inputs, whose derivatives are given by
//! each other. With y = conv(x, w), dx = conv_x(dy, w) and dw = conv_w(x, dy), the scalar `⟨dy, conv(x, w)⟩` is linear
//! in each of x, w and dy, and the three ops are its gradients with respect to dy, x and w.

use chainrule_tensor::{Conv2dOptions, Epilogue, Float};

use crate::attribute::Attribute;
use crate::graph::{Operation, Rule, Tangent, VarOf};
use crate::ops::elementwise::where_positive;
use crate::ops::epilogue::gated;
use crate::ops::linear_map::linear;
use crate::ops::reduction::channel_sum::{ChannelSum, channels};

impl<T: Float> VarOf<T> {
    /// The convolution (cross-correlation, as usual in deep learning) of x (N,C,H,W) with w (O,C/groups,kh,kw), plus
    /// b (O) → y (N,O,oh,ow), `oh = ⌊(H + 2·pad − dilation·(kh − 1) − 1) / stride⌋ + 1`.
    ///
    /// `y[n,o,i,j] = b[o] + Σ x[n, c, s·i + d·p − pad, s·j + d·q − pad] · w[o,c,p,q]`, for each image as one product
    /// `(O, oh·ow) = (O, C·kh·kw) · (C·kh·kw, oh·ow)`: `dw = Σₙ dy · im2col(x)ᵀ`, `dx = col2im(wᵀ · dy)`,
    /// `db = Σ dy` over n, i, j. Saves x and w.
    ///
    /// # Panics
    /// If the shapes do not match.
    #[track_caller]
    #[must_use]
    pub fn conv2d(&self, w: &Self, b: Option<&Self>, options: Conv2dOptions) -> Self {
        self.conv2d_with(w, b, options, Epilogue::NONE)
    }

    /// [`conv2d`](Self::conv2d) with an epilogue: `y = relu(conv(x, w) + b + r)`, where r has y's shape.
    ///
    /// Let `dz = dy` where y > 0, else 0; without relu, dz = dy. The gradients are those of `conv2d` with dz in place
    /// of dy, and `dr = dz`. Saves x and w, with relu also y.
    ///
    /// # Panics
    /// If the shapes do not fit.
    #[track_caller]
    #[must_use]
    pub fn conv2d_with(
        &self,
        w: &Self,
        b: Option<&Self>,
        options: Conv2dOptions,
        epilogue: Epilogue<'_, Self>,
    ) -> Self {
        let (bias, residual) = (b.map(Self::value), epilogue.residual.map(Self::value));
        let then = epilogue.with_residual(residual.as_deref());
        let y = self.value().conv2d_with(&w.value(), bias.as_deref(), options, then);
        let rule = Conv2d { options, bias: b.is_some(), residual: epilogue.residual.is_some(), relu: epilogue.relu };
        Self::record(y, [self, w].into_iter().chain(b).chain(epilogue.residual), rule)
    }

    /// The gradient of [`conv2d`](Self::conv2d) with respect to its input, itself an op: this is dy (N,O,oh,ow), w
    /// (O,C/groups,kh,kw), the result dx (N,C,H,W) with `hw` = [H, W].
    ///
    /// # Panics
    /// If no convolution with these options maps the result's shape to dy's.
    #[track_caller]
    #[must_use]
    pub fn conv2d_input_gradient(&self, w: &Self, hw: [usize; 2], options: Conv2dOptions) -> Self {
        let dx = self.value().conv2d_input_gradient(&w.value(), hw, options);
        Self::record(dx, [self, w], InputGradient(options))
    }

    /// The gradient of [`conv2d`](Self::conv2d) with respect to its weight, itself an op: this is x (N,C,H,W), dy
    /// (N,O,oh,ow), the result dw (O,C/groups,kh,kw) with `khw` = [kh, kw].
    ///
    /// # Panics
    /// If no convolution of x with these options has dy's shape.
    #[track_caller]
    #[must_use]
    pub fn conv2d_weight_gradient(&self, dy: &Self, khw: [usize; 2], options: Conv2dOptions) -> Self {
        let dw = self.value().conv2d_weight_gradient(&dy.value(), khw, options);
        Self::record(dw, [self, dy], WeightGradient(options))
    }

    /// The gradients of [`conv2d`](Self::conv2d) of this x with respect to weight and bias, as far as needed, from one
    /// kernel.
    pub(in crate::ops) fn conv2d_parameter_gradients(
        &self,
        dy: &Self,
        khw: [usize; 2],
        options: Conv2dOptions,
        wanted: [bool; 2],
    ) -> [Option<Self>; 2] {
        let [dw, db] = self.value().conv2d_parameter_gradients(&dy.value(), khw, options, wanted);
        [dw.map(|dw| Self::record(dw, [self, dy], WeightGradient(options))), db.map(|db| linear(dy, db, ChannelSum))]
    }

    /// The last two of four axes.
    pub(crate) fn hw(&self) -> [usize; 2] {
        let shape = self.shape();
        [shape[2], shape[3]]
    }
}

struct Conv2d {
    options: Conv2dOptions,
    /// Whether the third parent is a bias; a residual comes after it.
    bias: bool,
    residual: bool,
    relu: bool,
}

/// The formula; z is the convolution.
macro_rules! formula {
    ($y:literal) => {
        concat!("y = ", $y, ", z[n,o,i,j] = Σ_{c,p,q} w[o,c,p,q] · x[n, c, s·i + d·p − pad, s·j + d·q − pad]")
    };
}

/// The derivative; g is the gradient of the convolution.
macro_rules! derivative {
    ($g:literal $(, $rest:expr)*) => {
        concat!("dx = col2im(wᵀ · ", $g, "), dw = Σₙ ", $g, " · im2col(x)ᵀ" $(, ", ", $rest)*)
    };
}

impl<T: Float> Rule<T> for Conv2d {
    fn name(&self) -> &'static str {
        "conv2d"
    }
    fn formula(&self) -> &'static str {
        match (self.bias, self.residual, self.relu) {
            (false, false, false) => formula!("z"),
            (false, false, true) => formula!("max(0, z)"),
            (false, true, false) => formula!("z + r"),
            (false, true, true) => formula!("max(0, z + r)"),
            (true, false, false) => formula!("z + b"),
            (true, false, true) => formula!("max(0, z + b)"),
            (true, true, false) => formula!("z + b + r"),
            (true, true, true) => formula!("max(0, z + b + r)"),
        }
    }
    fn derivative(&self) -> &'static str {
        match (self.bias, self.residual, self.relu) {
            (false, false, false) => derivative!("dy"),
            (false, true, false) => derivative!("dy", "dr = dy"),
            (true, false, false) => derivative!("dy", "db[o] = Σ_{n,i,j} dy[n,o,i,j]"),
            (true, true, false) => derivative!("dy", "db[o] = Σ_{n,i,j} dy[n,o,i,j]", "dr = dy"),
            (false, false, true) => derivative!("g", "g = dy where y > 0, else 0"),
            (false, true, true) => derivative!("g", "dr = g", "g = dy where y > 0, else 0"),
            (true, false, true) => derivative!("g", "db[o] = Σ_{n,i,j} g[n,o,i,j]", "g = dy where y > 0, else 0"),
            (true, true, true) => {
                derivative!("g", "db[o] = Σ_{n,i,j} g[n,o,i,j]", "dr = g", "g = dy where y > 0, else 0")
            }
        }
    }
    fn attributes(&self) -> Vec<Attribute> {
        super::attributes(self.options)
    }
    fn saved(&self) -> &'static str {
        if self.relu { "x, w, y" } else { "x, w" }
    }
    fn multiply_adds(&self, op: &Operation<T>) -> usize {
        // Each output is a sum over one filter.
        let w = op.parent(1).shape();
        op.output().shape().numel() * w[1] * w[2] * w[3]
    }
    fn backward(&self, op: &Operation<T>, dy: &VarOf<T>, needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        let (x, w) = (op.parent(0), op.parent(1));
        let y = self.relu.then(|| op.output().value());
        let dz = gated(dy, y.as_deref());
        let (need_b, need_r) = if self.bias { (Some(needs[2]), needs.get(3)) } else { (None, needs.get(2)) };
        let dx = needs[0].then(|| dz.conv2d_input_gradient(w, x.hw(), self.options));
        let [dw, db] =
            x.conv2d_parameter_gradients(&dz, w.hw(), self.options, [needs[1], need_b.is_some_and(|need| need)]);
        let dr = need_r.map(|&need| need.then_some(dz));
        [dx, dw].into_iter().chain(need_b.map(|_| db)).chain(dr).collect()
    }
    fn tangent(&self, op: &Operation<T>, dx: &[Option<VarOf<T>>]) -> Option<Tangent<T>> {
        let products = Tangent::product(op, dx, |x, w| x.conv2d(w, None, self.options));
        let mut others = dx[2..].iter().cloned();
        let bias = self.bias.then(|| others.next().flatten().map(|db| db.reshape(channels(op.output().shape()))));
        let z = Tangent::sum(op.output().shape(), products.into_iter().chain(bias).chain(others));
        Some(if self.relu { Tangent::forward(where_positive(op.output(), &z.value)) } else { z })
    }
}

/// The rule of dx as a function of (dy, w); dz is the gradient of dx and has the shape of x.
struct InputGradient(Conv2dOptions);

impl<T: Float> Rule<T> for InputGradient {
    describe! {
        name: "conv2d input gradient",
        formula: "dx = col2im(wᵀ · dy)",
        derivative: "d(dy) = conv2d(dz, w), d(w) = conv2d_weight_gradient(dz, dy)",
        saved: "dy, w",
    }
    fn attributes(&self) -> Vec<Attribute> {
        super::attributes(self.0)
    }
    fn multiply_adds(&self, op: &Operation<T>) -> usize {
        let w = op.parent(1).shape();
        op.parent(0).shape().numel() * w[1] * w[2] * w[3]
    }
    fn backward(&self, op: &Operation<T>, dz: &VarOf<T>, needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        let (dy, w) = (op.parent(0), op.parent(1));
        vec![
            needs[0].then(|| dz.conv2d(w, None, self.0)),
            needs[1].then(|| dz.conv2d_weight_gradient(dy, w.hw(), self.0)),
        ]
    }
    fn tangent(&self, op: &Operation<T>, dx: &[Option<VarOf<T>>]) -> Option<Tangent<T>> {
        let hw = op.output().hw();
        Some(Tangent::sum(
            op.output().shape(),
            Tangent::product(op, dx, |dy, w| dy.conv2d_input_gradient(w, hw, self.0)),
        ))
    }
}

/// The rule of dw as a function of (x, dy); dz is the gradient of dw and has the shape of w.
struct WeightGradient(Conv2dOptions);

impl<T: Float> Rule<T> for WeightGradient {
    describe! {
        name: "conv2d weight gradient",
        formula: "dw = Σₙ dy · im2col(x)ᵀ",
        derivative: "d(x) = conv2d_input_gradient(dy, dz), d(dy) = conv2d(x, dz)",
        saved: "x, dy",
    }
    fn attributes(&self) -> Vec<Attribute> {
        super::attributes(self.0)
    }
    fn multiply_adds(&self, op: &Operation<T>) -> usize {
        let dw = op.output().shape();
        op.parent(1).shape().numel() * dw[1] * dw[2] * dw[3]
    }
    fn backward(&self, op: &Operation<T>, dz: &VarOf<T>, needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        let (x, dy) = (op.parent(0), op.parent(1));
        vec![
            needs[0].then(|| dy.conv2d_input_gradient(dz, x.hw(), self.0)),
            needs[1].then(|| x.conv2d(dz, None, self.0)),
        ]
    }
    fn tangent(&self, op: &Operation<T>, dx: &[Option<VarOf<T>>]) -> Option<Tangent<T>> {
        let khw = op.output().hw();
        Some(Tangent::sum(
            op.output().shape(),
            Tangent::product(op, dx, |x, dy| x.conv2d_weight_gradient(dy, khw, self.0)),
        ))
    }
}

#[cfg(test)]
mod tests {
    use crate::Var64;
    use chainrule_tensor::Conv2dOptions;

    #[test]
    fn by_hand() {
        // A 1×2 kernel over a row of three: y = (x0·w0 + x1·w1 + b, x1·w0 + x2·w1 + b).
        let x = Var64::parameter("x", [1.0, 2.0, 3.0]);
        let w = Var64::parameter("w", [10.0, 100.0]);
        let b = Var64::parameter("b", [0.5]);
        let y = x.reshape([1, 1, 1, 3]).conv2d(&w.reshape([1, 1, 1, 2]), Some(&b), Conv2dOptions::default());
        assert_eq!(y.value().to_vec(), [210.5, 320.5]);
        let g = (y.flatten() * Var64::constant([[1.0, 2.0]])).sum().backward();
        assert_eq!(g[&x].to_vec(), [10.0, 120.0, 200.0]);
        assert_eq!(g[&w].to_vec(), [1.0 + 4.0, 2.0 + 6.0]);
        assert_eq!(g[&b].to_vec(), [3.0]);
    }
}
