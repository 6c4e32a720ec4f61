//! The affine map of a fully connected layer.

use chainrule_tensor::Float;

use crate::graph::{Operation, Rule, Tangent, VarOf};
use crate::ops::linear_map::linear;
use crate::ops::reduction::channel_sum::ChannelSum;

impl<T: Float> VarOf<T> {
    /// `y = x·wᵀ + b`: x (N,I), w (O,I), b (O) → y (N,O).
    ///
    /// `dx = dy·w`, `dw = dyᵀ·x`, `db = Σₙ dy`. One op instead of a transpose, a product and a sum: the graph then
    /// holds no view of the weight, so an optimizer can update it in place while the loss is alive.
    ///
    /// # Panics
    /// If the shapes do not match.
    #[track_caller]
    #[must_use]
    pub fn linear(&self, w: &Self, b: Option<&Self>) -> Self {
        let y = self.value().linear(&w.value(), b.map(Self::value).as_deref());
        Self::record(y, [self, w].into_iter().chain(b), Linear { bias: b.is_some() })
    }
}

struct Linear {
    /// Whether the third parent is a bias.
    bias: bool,
}

impl<T: Float> Rule<T> for Linear {
    describe! {
        name: "linear",
        saved: "x, w",
    }
    fn formula(&self) -> &'static str {
        if self.bias { "y = x · wᵀ + b" } else { "y = x · wᵀ" }
    }
    fn derivative(&self) -> &'static str {
        if self.bias { "dx = dy · w, dw = dyᵀ · x, db = Σₙ dy" } else { "dx = dy · w, dw = dyᵀ · x" }
    }
    fn multiply_adds(&self, op: &Operation<T>) -> usize {
        op.output().shape().numel() * op.parent(1).shape()[1]
    }
    fn backward(&self, op: &Operation<T>, dy: &VarOf<T>, needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        let (x, w) = (op.parent(0), op.parent(1));
        // (N, I) = (N, O) · (O, I)
        let dx = needs[0].then(|| dy.matmul(w));
        // (O, I) = (O, N) · (N, I)
        let wanted = [needs[1], needs.get(2) == Some(&true)];
        let [dw, db] = x.value().linear_parameter_gradients(&dy.value(), wanted);
        let dw = dw.map(|dw| VarOf::record(dw, [x, dy], WeightGradient));
        let db = db.map(|db| linear(dy, db, ChannelSum));
        [dx, dw].into_iter().chain(needs.get(2).map(|_| db)).collect()
    }
    fn tangent(&self, op: &Operation<T>, dx: &[Option<VarOf<T>>]) -> Option<Tangent<T>> {
        let products = Tangent::product(op, dx, |x, w| x.linear(w, None));
        Some(Tangent::sum(op.output().shape(), products.into_iter().chain(dx.get(2).cloned())))
    }
}

/// The rule of dw as a function of (x, dy); dz is the gradient of dw and has the shape of w.
struct WeightGradient;

impl<T: Float> Rule<T> for WeightGradient {
    describe! {
        name: "linear weight gradient",
        formula: "dw = dyᵀ · x",
        derivative: "d(x) = dy · dz, d(dy) = x · dzᵀ",
        saved: "x, dy",
    }
    fn multiply_adds(&self, op: &Operation<T>) -> usize {
        op.output().shape().numel() * op.parent(0).shape()[0]
    }
    fn backward(&self, op: &Operation<T>, dz: &VarOf<T>, needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        let (x, dy) = (op.parent(0), op.parent(1));
        // (N, I) = (N, O) · (O, I) and (N, O) = (N, I) · (I, O)
        vec![needs[0].then(|| dy.matmul(dz)), needs[1].then(|| x.linear(dz, None))]
    }
    fn tangent(&self, op: &Operation<T>, dx: &[Option<VarOf<T>>]) -> Option<Tangent<T>> {
        // (O, I) = (O, N) · (N, I)
        Some(Tangent::sum(op.output().shape(), Tangent::product(op, dx, |x, dy| dy.transpose(0, 1).matmul(x))))
    }
}

#[cfg(test)]
mod tests {
    use crate::Var64;

    #[test]
    fn by_hand() {
        let x = Var64::parameter("x", [[1.0, 2.0]]);
        let w = Var64::parameter("w", [[3.0, 4.0], [5.0, 6.0]]);
        let b = Var64::parameter("b", [0.5, -0.5]);
        let y = x.linear(&w, Some(&b));
        assert_eq!(y.value().to_vec(), [11.5, 16.5]);
        let g = (y * Var64::constant([[1.0, 10.0]])).sum().backward();
        assert_eq!(g[&x].to_vec(), [53.0, 64.0]);
        assert_eq!(g[&w].to_vec(), [1.0, 2.0, 10.0, 20.0]);
        assert_eq!(g[&b].to_vec(), [1.0, 10.0]);
    }
}
