//! Batch normalization with given statistics, for inference.

use chainrule_tensor::{Binary, Epilogue, Float, TensorOf, Unary};

use crate::attribute::Attribute;
use crate::operation::{Operation, Rule};
use crate::ops::epilogue::gated;
use crate::ops::reduction::channel_sum::channels;
use crate::var::VarOf;

impl<T: Float> VarOf<T> {
    /// `y = γ·(x − mean)/√(var + ε) + β` with given statistics, for inference: x (N,C,…), the others (C).
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
        self.batch_norm_inference_with([gamma, beta], [mean, variance], eps, Epilogue::NONE)
    }

    /// [`batch_norm_inference`](Self::batch_norm_inference) with an epilogue; a residual has x's shape.
    ///
    /// Let `dz = dy` where y > 0, else 0; without relu, dz = dy. The gradients are those of `batch_norm_inference` with
    /// dz in place of dy, and `dr = dz`.
    ///
    /// # Panics
    /// If a shape does not match.
    #[track_caller]
    #[must_use]
    pub fn batch_norm_inference_with(
        &self,
        [gamma, beta]: [&Self; 2],
        [mean, variance]: [&TensorOf<T>; 2],
        eps: f64,
        epilogue: Epilogue<'_, Self>,
    ) -> Self {
        let istd = variance.unary(Unary::Add(eps)).unary(Unary::Sqrt).unary(Unary::Reciprocal);
        let scale = gamma.value().binary(Binary::Mul, &istd);
        let residual = epilogue.residual.map(Self::value);
        let then = epilogue.with_residual(residual.as_deref());
        let y = self.value().batch_norm_apply(mean, &scale, &beta.value(), then);
        let rule = Inference {
            mean: mean.clone(),
            variance: variance.clone(),
            istd,
            eps,
            relu: epilogue.relu,
            residual: epilogue.residual.is_some(),
        };
        Self::record(y, [self, gamma, beta].into_iter().chain(epilogue.residual), rule)
    }
}

struct Inference<T: Float> {
    mean: TensorOf<T>,
    variance: TensorOf<T>,
    istd: TensorOf<T>,
    eps: f64,
    relu: bool,
    residual: bool,
}

impl<T: Float> Rule<T> for Inference<T> {
    fn name(&self) -> &'static str {
        "batch_norm at inference"
    }
    fn formula(&self) -> &'static str {
        match (self.relu, self.residual) {
            (false, false) => "y = γ·x̂ + β, x̂ = (x − mean)/√(var + ε)",
            (false, true) => "y = γ·x̂ + β + r, x̂ = (x − mean)/√(var + ε)",
            (true, false) => "y = max(0, γ·x̂ + β), x̂ = (x − mean)/√(var + ε)",
            (true, true) => "y = max(0, γ·x̂ + β + r), x̂ = (x − mean)/√(var + ε)",
        }
    }
    fn derivative(&self) -> &'static str {
        if self.relu {
            "dx = g·γ/√(var + ε), dγ = Σ g·x̂, dβ = Σ g, dr = g, g = dy where y > 0, else 0"
        } else {
            "dx = dy·γ/√(var + ε), dγ = Σ dy·x̂, dβ = Σ dy, dr = dy"
        }
    }
    fn attributes(&self) -> Vec<Attribute> {
        vec![
            Attribute::new("mean", self.mean.to_f64()),
            Attribute::new("variance", self.variance.to_f64()).symbol("var"),
            Attribute::new("eps", self.eps).symbol("ε"),
        ]
    }
    fn saved(&self) -> &'static str {
        if self.relu { "x, mean, 1/√(var + ε), γ, y" } else { "x, mean, 1/√(var + ε), γ" }
    }
    fn backward(&self, op: &Operation<T>, dy: &VarOf<T>, needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        let (x, gamma) = (op.parent(0), op.parent(1));
        let y = self.relu.then(|| op.output().value());
        let dz = gated(dy, y.as_deref());
        let of_channel = |row: &TensorOf<T>| VarOf::constant(row.reshape(channels(x.shape())));
        let dx = || &dz * (gamma.reshape(channels(x.shape())) * of_channel(&self.istd));
        let dgamma = || (&dz * (x - of_channel(&self.mean)) * of_channel(&self.istd)).channel_sum();
        let mut gradients = vec![needs[0].then(dx), needs[1].then(dgamma), needs[2].then(|| dz.channel_sum())];
        gradients.extend(needs.get(3).map(|&need| need.then(|| dz.clone())));
        gradients
    }
}

#[cfg(test)]
mod tests {
    use crate::Var64;
    use chainrule_tensor::Epilogue;

    #[test]
    fn by_hand() {
        // γ·(x − 3)/√4 + β = (−2.5, 3.5).
        let x = Var64::parameter("x", [[1.0], [5.0]]);
        let (gamma, beta) = (Var64::parameter("gamma", [3.0]), Var64::parameter("beta", [0.5]));
        let (mean, variance) = ([3.0].into(), [4.0].into());
        let y = x.batch_norm_inference(&gamma, &beta, &mean, &variance, 0.0);
        assert_eq!(y.value().to_vec(), [-2.5, 3.5]);
        assert_eq!(y.sum().backward()[&x].to_vec(), [1.5, 1.5]);

        // With the residual the first is exactly 0, where the gradient of relu is 0.
        let r = Var64::parameter("r", [[2.5], [1.0]]);
        let y = x.batch_norm_inference_with([&gamma, &beta], [&mean, &variance], 0.0, Epilogue::add_relu(&r));
        assert_eq!(y.value().to_vec(), [0.0, 4.5]);
        let g = (y * Var64::constant([[1.0], [10.0]])).sum().backward();
        assert_eq!((g[&x].to_vec(), g[&r].to_vec()), (vec![0.0, 15.0], vec![0.0, 10.0]));
    }
}
