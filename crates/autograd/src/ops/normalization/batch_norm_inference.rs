//! Batch normalization with given statistics, as at inference.

use chainrule_tensor::{BatchNormThen, Binary, Float, TensorOf, Unary};

use super::batch_norm::{gated, then_relu};
use crate::operation::{Operation, Rule};
use crate::ops::reduction::channel_sum::channels;
use crate::var::VarOf;

impl<T: Float> VarOf<T> {
    /// `y = γ·(x − mean)/√(var + ε) + β` with given statistics, as at inference: x (N,C,…), the others (C).
    ///
    /// `dβ = Σ dy`, `dγ = Σ dy·(x − mean)/√(var + ε)`, `dx = dy·γ/√(var + ε)`.
    ///
    /// # Panics
    /// If a shape does not match.
    #[track_caller]
    #[must_use]
    pub fn batch_norm_inference(
        &self,
        gamma: &Self,
        beta: &Self,
        mean: &TensorOf<T>,
        variance: &TensorOf<T>,
        eps: f64,
    ) -> Self {
        let (rule, scale) = Inference::new(gamma, mean, variance, eps);
        let y = self.value().batch_norm_apply(mean, &scale, &beta.value(), BatchNormThen::Nothing);
        Self::record(y, [self, gamma, beta], rule)
    }

    /// [`batch_norm_inference`](Self::batch_norm_inference), then plus a residual of x's shape if there is one, then relu:
    /// one op and one pass.
    ///
    /// With `dz = dy` where y > 0 and else 0: the gradients of `batch_norm_inference` by dz, and `dr = dz`.
    ///
    /// # Panics
    /// If a shape does not match.
    #[track_caller]
    #[must_use]
    pub fn batch_norm_relu_inference(
        &self,
        gamma: &Self,
        beta: &Self,
        mean: &TensorOf<T>,
        variance: &TensorOf<T>,
        eps: f64,
        residual: Option<&Self>,
    ) -> Self {
        let (rule, scale) = Inference::new(gamma, mean, variance, eps);
        let r = residual.map(Self::value);
        let y = self.value().batch_norm_apply(mean, &scale, &beta.value(), then_relu(r.as_deref()));
        Self::record(y, [self, gamma, beta].into_iter().chain(residual), InferenceRelu(rule))
    }
}

/// With given statistics.
struct Inference<T: Float> {
    mean: TensorOf<T>,
    istd: TensorOf<T>,
}

impl<T: Float> Inference<T> {
    /// The rule, and γ/√(var + ε).
    fn new(gamma: &VarOf<T>, mean: &TensorOf<T>, variance: &TensorOf<T>, eps: f64) -> (Self, TensorOf<T>) {
        let istd = variance.unary(Unary::Add(eps)).unary(Unary::Sqrt).unary(Unary::Reciprocal);
        let scale = gamma.value().binary(Binary::Mul, &istd);
        (Self { mean: mean.clone(), istd }, scale)
    }

    /// The gradients of x, γ and β by that of `γ·(x − mean)/√(var + ε) + β`.
    fn gradients(&self, op: &Operation<T>, dz: &VarOf<T>, needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        let (x, gamma) = (op.parent(0), op.parent(1));
        let of_channel = |row: &TensorOf<T>| VarOf::constant(row.reshape(channels(x.shape())));
        let dx = || dz * (gamma.reshape(channels(x.shape())) * of_channel(&self.istd));
        let dgamma = || (dz * (x - of_channel(&self.mean)) * of_channel(&self.istd)).channel_sum();
        vec![needs[0].then(dx), needs[1].then(dgamma), needs[2].then(|| dz.channel_sum())]
    }
}

impl<T: Float> Rule<T> for Inference<T> {
    fn name(&self) -> &'static str {
        "batch_norm at inference"
    }
    fn derivative(&self) -> &'static str {
        "dβ = Σ dy, dγ = Σ dy·(x − mean)/√(var + ε), dx = dy·γ/√(var + ε)"
    }
    fn saved(&self) -> &'static str {
        "x, mean, 1/√(var + ε), γ"
    }
    fn backward(&self, op: &Operation<T>, dy: &VarOf<T>, needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        self.gradients(op, dy, needs)
    }
}

/// With given statistics, then relu.
struct InferenceRelu<T: Float>(Inference<T>);

impl<T: Float> Rule<T> for InferenceRelu<T> {
    fn name(&self) -> &'static str {
        "batch_norm_relu at inference"
    }
    fn derivative(&self) -> &'static str {
        "dz = dy where y > 0, else 0; dβ = Σ dz, dγ = Σ dz·(x − mean)/√(var + ε), dx = dz·γ/√(var + ε), dr = dz"
    }
    fn saved(&self) -> &'static str {
        "x, mean, 1/√(var + ε), γ, y"
    }
    fn backward(&self, op: &Operation<T>, dy: &VarOf<T>, needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        let dz = gated(dy, Some(&op.output().value()));
        let mut gradients = self.0.gradients(op, &dz, needs);
        if let Some(&residual) = needs.get(3) {
            gradients.push(residual.then_some(dz));
        }
        gradients
    }
}

#[cfg(test)]
mod tests {
    use crate::Var64;

    #[test]
    fn by_hand() {
        // γ·(x − 3)/√4 + β = (−2.5, 3.5).
        let x = Var64::parameter("x", [[1.0], [5.0]]);
        let (gamma, beta) = (Var64::parameter("gamma", [3.0]), Var64::parameter("beta", [0.5]));
        let (mean, variance) = ([3.0].into(), [4.0].into());
        let y = x.batch_norm_inference(&gamma, &beta, &mean, &variance, 0.0);
        assert_eq!(y.value().to_vec(), [-2.5, 3.5]);
        assert_eq!(y.sum().backward()[&x].to_vec(), [1.5, 1.5]);

        // The residual lifts the first to exactly 0, where no gradient passes.
        let r = Var64::parameter("r", [[2.5], [1.0]]);
        let y = x.batch_norm_relu_inference(&gamma, &beta, &mean, &variance, 0.0, Some(&r));
        assert_eq!(y.value().to_vec(), [0.0, 4.5]);
        let g = (y * Var64::constant([[1.0], [10.0]])).sum().backward();
        assert_eq!((g[&x].to_vec(), g[&r].to_vec()), (vec![0.0, 15.0], vec![0.0, 10.0]));
    }
}
