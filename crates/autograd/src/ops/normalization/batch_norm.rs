//! Batch normalization (Ioffe, Szegedy: "Batch normalization: accelerating deep network training by reducing internal
//! covariate shift", 2015).

use chainrule_tensor::{Epilogue, Float, TensorOf};

use crate::attribute::Attribute;
use crate::composed::composed_gradients;
use crate::operation::{Operation, Rule};
use crate::ops::epilogue::{Gate, gated};
use crate::ops::reduction::channel_sum::{channels, over};
use crate::var::VarOf;

/// The statistics of one batch, from which a layer updates its running statistics.
#[derive(Clone, Debug)]
pub struct BatchStatistics<T: Float> {
    /// The mean of each channel: (C).
    pub mean: TensorOf<T>,
    /// The biased variance of each channel: (C).
    pub variance: TensorOf<T>,
    /// The number of elements of each channel.
    pub count: usize,
}

impl<T: Float> VarOf<T> {
    /// Normalizes each channel of x (N,C,…) by its own mean and variance, then scales by γ (C) and shifts by β (C).
    ///
    /// `x̂ = (x − mean)/√(var + ε)`, `y = γ·x̂ + β`; mean and biased variance are over all axes but the second. `dβ = Σ
    /// dy`, `dγ = Σ dy·x̂`, `dx = γ/√(var + ε) · (dy − dβ/m − x̂·dγ/m)`, where m is the number of elements of a
    /// channel. Saves x, mean and 1/√(var + ε).
    ///
    /// # Panics
    /// If x has fewer than two axes or no elements, or γ or β is not of shape (C).
    #[track_caller]
    pub fn batch_norm(&self, gamma: &Self, beta: &Self, eps: f64) -> (Self, BatchStatistics<T>) {
        self.batch_norm_with(gamma, beta, eps, Epilogue::NONE)
    }

    /// [`batch_norm`](Self::batch_norm) with an epilogue: `y = relu(γ·x̂ + β + r)`, where r has x's shape. Each fused
    /// step saves a pass over memory.
    ///
    /// Let `dz = dy` where y > 0, else 0 (also at 0, as in [`relu`](Self::relu)); without relu, dz = dy. `dβ = Σ dz`,
    /// `dγ = Σ dz·x̂`, `dx = γ/√(var + ε) · (dz − dβ/m − x̂·dγ/m)`, `dr = dz`. Saves x, mean and 1/√(var + ε), with
    /// relu also y.
    ///
    /// # Panics
    /// If x has fewer than two axes or no elements, or another shape does not match.
    #[track_caller]
    pub fn batch_norm_with(
        &self,
        gamma: &Self,
        beta: &Self,
        eps: f64,
        epilogue: Epilogue<'_, Self>,
    ) -> (Self, BatchStatistics<T>) {
        let (x, residual) = (self.value(), epilogue.residual.map(Self::value));
        let then = epilogue.with_residual(residual.as_deref());
        let (y, [mean, variance, istd]) = x.batch_norm(&gamma.value(), &beta.value(), eps, then);
        let count = x.numel() / mean.numel();
        let rule =
            BatchNorm { mean: mean.clone(), istd, eps, relu: epilogue.relu, residual: epilogue.residual.is_some() };
        let y = Self::record(y, [self, gamma, beta].into_iter().chain(epilogue.residual), rule);
        (y, BatchStatistics { mean, variance, count })
    }
}

struct BatchNorm<T: Float> {
    mean: TensorOf<T>,
    istd: TensorOf<T>,
    eps: f64,
    relu: bool,
    residual: bool,
}

impl<T: Float> Rule<T> for BatchNorm<T> {
    fn name(&self) -> &'static str {
        "batch_norm"
    }
    fn formula(&self) -> &'static str {
        match (self.relu, self.residual) {
            (false, false) => "y = γ·x̂ + β, x̂ = (x − mean(x))/√(var(x) + ε)",
            (false, true) => "y = γ·x̂ + β + r, x̂ = (x − mean(x))/√(var(x) + ε)",
            (true, false) => "y = max(0, γ·x̂ + β), x̂ = (x − mean(x))/√(var(x) + ε)",
            (true, true) => "y = max(0, γ·x̂ + β + r), x̂ = (x − mean(x))/√(var(x) + ε)",
        }
    }
    fn derivative(&self) -> &'static str {
        if self.relu {
            "dx = γ/√(var(x) + ε) · (g − mean(g) − x̂ · mean(g·x̂)), dγ = Σ g·x̂, dβ = Σ g, dr = g, g = dy where y > 0, else 0"
        } else {
            "dx = γ/√(var(x) + ε) · (dy − mean(dy) − x̂ · mean(dy·x̂)), dγ = Σ dy·x̂, dβ = Σ dy, dr = dy"
        }
    }
    fn attributes(&self) -> Vec<Attribute> {
        vec![Attribute::new("eps", self.eps).symbol("ε")]
    }
    fn saved(&self) -> &'static str {
        if self.relu { "x, mean, 1/√(var + ε), y" } else { "x, mean, 1/√(var + ε)" }
    }
    fn backward(&self, op: &Operation<T>, dy: &VarOf<T>, needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        let (x, gamma) = (op.parent(0), op.parent(1));
        let y = self.relu.then(|| op.output().value().clone());
        let (dx, dgamma, dbeta, dr) = x.value().batch_norm_backward(
            &dy.value(),
            &self.mean,
            &self.istd,
            &gamma.value(),
            y.as_ref(),
            needs.get(3) == Some(&true),
        );
        let eps = self.eps;
        let dr = needs
            .get(3)
            .map(|_| dr.map(|dr| y.clone().map_or_else(|| dy.clone(), |y| VarOf::record(dr, [dy], Gate { y }))));
        [
            Some(VarOf::record(dx, [dy, x, gamma], InputGradient { eps, y: y.clone() })),
            Some(VarOf::record(dgamma, [dy, x], ScaleGradient { eps, y: y.clone() })),
            Some(VarOf::record(dbeta, [dy], ShiftGradient { y })),
        ]
        .into_iter()
        .chain(dr)
        .collect()
    }
}

/// x̂ and 1/√(var + ε), composed of other ops.
fn normalized<T: Float>(x: &VarOf<T>, eps: f64) -> (VarOf<T>, VarOf<T>) {
    let axes = over(x.shape());
    let istd = (x.var_axes(&axes, 0, true) + eps).sqrt().reciprocal();
    ((x - x.mean_axes(&axes, true)) * &istd, istd)
}

/// The rule of dx as a function of (dy, x, γ).
struct InputGradient<T: Float> {
    eps: f64,
    y: Option<TensorOf<T>>,
}

impl<T: Float> Rule<T> for InputGradient<T> {
    fn name(&self) -> &'static str {
        "batch_norm input gradient"
    }
    fn formula(&self) -> &'static str {
        if self.y.is_some() {
            "dx = γ/√(var(x) + ε) · (g − mean(g) − x̂ · mean(g·x̂)), x̂ = (x − mean(x))/√(var(x) + ε), g = dy where y > 0, else 0"
        } else {
            "dx = γ/√(var(x) + ε) · (dy − mean(dy) − x̂ · mean(dy·x̂)), x̂ = (x − mean(x))/√(var(x) + ε)"
        }
    }
    fn derivative(&self) -> &'static str {
        if self.y.is_some() {
            "d(dy) = h where y > 0, else 0, d(x) = −γ/(var(x) + ε) · (x̂·(mean(dz·g) − mean(dz)·mean(g) − a·b) + b·(g − mean(g) − x̂·a) + a·(dz − mean(dz) − x̂·b)), d(γ) = Σ dz · (g − mean(g) − x̂·a)/√(var(x) + ε), a = mean(g·x̂), b = mean(dz·x̂), h = γ/√(var(x) + ε) · (dz − mean(dz) − x̂·b)"
        } else {
            "d(dy) = γ/√(var(x) + ε) · (dz − mean(dz) − x̂·b), d(x) = −γ/(var(x) + ε) · (x̂·(mean(dz·dy) − mean(dz)·mean(dy) − a·b) + b·(dy − mean(dy) − x̂·a) + a·(dz − mean(dz) − x̂·b)), d(γ) = Σ dz · (dy − mean(dy) − x̂·a)/√(var(x) + ε), a = mean(dy·x̂), b = mean(dz·x̂)"
        }
    }
    fn attributes(&self) -> Vec<Attribute> {
        vec![Attribute::new("eps", self.eps).symbol("ε")]
    }
    fn saved(&self) -> &'static str {
        if self.y.is_some() { "dy, x, γ, y" } else { "dy, x, γ" }
    }
    fn backward(&self, op: &Operation<T>, du: &VarOf<T>, needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        composed_gradients(op, du, needs, |parents| {
            let [dy, x, gamma] = parents else { unreachable!("it was recorded with three parents") };
            let dz = gated(dy, self.y.as_ref());
            let axes = over(x.shape());
            let (xhat, istd) = normalized(x, self.eps);
            let rest = &dz - dz.mean_axes(&axes, true) - &xhat * (&dz * &xhat).mean_axes(&axes, true);
            gamma.reshape(channels(x.shape())) * istd * rest
        })
    }
}

/// The rule of dγ as a function of (dy, x).
struct ScaleGradient<T: Float> {
    eps: f64,
    y: Option<TensorOf<T>>,
}

impl<T: Float> Rule<T> for ScaleGradient<T> {
    fn name(&self) -> &'static str {
        "batch_norm scale gradient"
    }
    fn formula(&self) -> &'static str {
        if self.y.is_some() {
            "dγ = Σ g·x̂, g = dy where y > 0, else 0, x̂ = (x − mean(x))/√(var(x) + ε)"
        } else {
            "dγ = Σ dy·x̂, x̂ = (x − mean(x))/√(var(x) + ε)"
        }
    }
    fn derivative(&self) -> &'static str {
        if self.y.is_some() {
            "d(dy) = dz·x̂ where y > 0, else 0, d(x) = dz/√(var(x) + ε) · (g − mean(g) − x̂ · mean(g·x̂))"
        } else {
            "d(dy) = dz·x̂, d(x) = dz/√(var(x) + ε) · (dy − mean(dy) − x̂ · mean(dy·x̂))"
        }
    }
    fn attributes(&self) -> Vec<Attribute> {
        vec![Attribute::new("eps", self.eps).symbol("ε")]
    }
    fn saved(&self) -> &'static str {
        if self.y.is_some() { "dy, x, y" } else { "dy, x" }
    }
    fn backward(&self, op: &Operation<T>, du: &VarOf<T>, needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        composed_gradients(op, du, needs, |parents| {
            let [dy, x] = parents else { unreachable!("it was recorded with two parents") };
            let dz = gated(dy, self.y.as_ref());
            (dz * normalized(x, self.eps).0).channel_sum()
        })
    }
}

/// The rule of dβ as a function of dy.
struct ShiftGradient<T: Float> {
    y: Option<TensorOf<T>>,
}

impl<T: Float> Rule<T> for ShiftGradient<T> {
    fn name(&self) -> &'static str {
        "batch_norm shift gradient"
    }
    fn formula(&self) -> &'static str {
        if self.y.is_some() { "dβ = Σ g, g = dy where y > 0, else 0" } else { "dβ = Σ dy" }
    }
    fn derivative(&self) -> &'static str {
        if self.y.is_some() { "d(dy) = dz where y > 0, else 0" } else { "d(dy) = dz" }
    }
    fn saved(&self) -> &'static str {
        if self.y.is_some() { "y" } else { "nothing" }
    }
    fn backward(&self, op: &Operation<T>, du: &VarOf<T>, _needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        let shape = op.parent(0).shape();
        vec![Some(gated(&du.reshape(channels(shape)).broadcast_to(shape), self.y.as_ref()))]
    }
}

#[cfg(test)]
mod tests {
    use crate::Var64;
    use chainrule_tensor::Epilogue;

    #[test]
    fn by_hand() {
        // Two samples of one channel: x̂ = ∓1 for any x, so dx = 0.
        let x = Var64::parameter("x", [[1.0], [5.0]]);
        let (gamma, beta) = (Var64::parameter("gamma", [3.0]), Var64::parameter("beta", [0.5]));
        let (y, statistics) = x.batch_norm(&gamma, &beta, 0.0);
        assert_eq!(y.value().to_vec(), [-2.5, 3.5]);
        assert_eq!((statistics.mean.item(), statistics.variance.item(), statistics.count), (3.0, 4.0, 2));
        let g = (y * Var64::constant([[1.0], [10.0]])).sum().backward();
        assert_eq!((g[&gamma].item(), g[&beta].item()), (9.0, 11.0));
        assert_eq!(g[&x].to_vec(), [0.0, 0.0]);
    }

    #[test]
    fn relu_and_residual_by_hand() {
        // Two samples of one channel, x̂ = ∓1, so γ·x̂ + β = (−2.5, 3.5).
        let x = Var64::parameter("x", [[1.0], [5.0]]);
        let (gamma, beta) = (Var64::parameter("gamma", [3.0]), Var64::parameter("beta", [0.5]));
        let weights = Var64::constant([[1.0], [10.0]]);
        let (y, statistics) = x.batch_norm_with(&gamma, &beta, 0.0, Epilogue::RELU);
        assert_eq!(y.value().to_vec(), [0.0, 3.5]);
        assert_eq!((statistics.mean.item(), statistics.variance.item(), statistics.count), (3.0, 4.0, 2));
        let g = (&y * &weights).sum().backward();
        assert_eq!((g[&gamma].item(), g[&beta].item(), g[&x].to_vec()), (10.0, 10.0, vec![0.0, 0.0]));

        // With the residual the first is exactly 0, where the gradient of relu is 0.
        let r = Var64::parameter("r", [[2.5], [1.0]]);
        let (y, _) = x.batch_norm_with(&gamma, &beta, 0.0, Epilogue::add_relu(&r));
        assert_eq!(y.value().to_vec(), [0.0, 4.5]);
        let g = (&y * &weights).sum().backward();
        assert_eq!((g[&gamma].item(), g[&beta].item(), g[&r].to_vec()), (10.0, 10.0, vec![0.0, 10.0]));
    }

    #[test]
    fn no_gradient_for_what_needs_none() {
        let x = Var64::parameter("x", [[1.0, -3.0], [5.0, 2.0], [2.0, 2.0]]);
        let (one, zero) = (Var64::constant([1.0, 1.0]), Var64::constant([0.0, 0.0]));
        let r = Var64::constant(x.value());
        let fused = x.batch_norm_with(&one, &zero, 0.1, Epilogue::add_relu(&r)).0.square().sum().backward();
        let apart = (x.batch_norm(&one, &zero, 0.1).0 + r).relu().square().sum().backward();
        assert_eq!((fused.len(), &fused[&x]), (1, &apart[&x]));
    }
}
