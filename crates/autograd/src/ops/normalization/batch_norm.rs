//! Batch normalization (Ioffe, Szegedy: "Batch normalization: accelerating deep network training by reducing internal
//! covariate shift", 2015).

use chainrule_tensor::{Binary, Epilogue, Float, TensorOf, Unary, ranges};

use crate::attribute::Attribute;
use crate::graph::{Operation, Rule, Tangent, VarOf};
use crate::ops::epilogue::gated;
use crate::ops::normalization::batch_norm_gradients::{recorded, tangent_over};
use crate::ops::normalization::processes::{BatchStatistics, Processes};
use crate::ops::reduction::channel_sum::channels;

impl<T: Float> VarOf<T> {
    /// Normalizes each channel of x (N,C,…) by its own mean and variance, then scales by γ (C) and shifts by β (C).
    ///
    /// `x̂ = (x − mean)/√(var + ε)`, `y = γ·x̂ + β`; mean and biased variance are over all axes but the second. `dβ = Σ
    /// dy`, `dγ = Σ dy·x̂`, `dx = γ/√(var + ε) · (dy − dβ/m − x̂·dγ/m)`, where m is the number of elements of a
    /// channel. Saves x, mean and 1/√(var + ε).
    ///
    /// # Panics
    /// If x has fewer than two axes or no elements, γ or β is not of shape (C), or ε is negative, infinite or NaN.
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
    /// If x has fewer than two axes or no elements, another shape does not match, or ε is negative, infinite or NaN.
    #[track_caller]
    pub fn batch_norm_with(
        &self,
        gamma: &Self,
        beta: &Self,
        eps: f64,
        epilogue: Epilogue<'_, Self>,
    ) -> (Self, BatchStatistics<T>) {
        ranges::check("batch_norm", "eps", eps, ranges::NOT_NEGATIVE);
        let (x, residual) = (self.value(), epilogue.residual.map(Self::value));
        let then = epilogue.with_residual(residual.as_deref());
        let (y, [mean, variance, istd]) = x.batch_norm(&gamma.value(), &beta.value(), eps, then);
        let count = x.numel() / mean.numel();
        let rule = BatchNorm {
            mean: mean.clone(),
            istd,
            of: Of::Batch,
            eps,
            relu: epilogue.relu,
            residual: epilogue.residual.is_some(),
        };
        let y = Self::record(y, [self, gamma, beta].into_iter().chain(epilogue.residual), rule);
        (y, BatchStatistics { mean, variance, count })
    }

    /// `y = γ·(x − mean)/√(var + ε) + β` with given statistics, for inference: x (N,C,…), the others (C).
    ///
    /// `dβ = Σ dy`, `dγ = Σ dy·(x − mean)/√(var + ε)`, `dx = dy·γ/√(var + ε)`.
    ///
    /// # Panics
    /// If a shape does not match, or ε is negative, infinite or NaN.
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
    /// If a shape does not match, or ε is negative, infinite or NaN.
    #[track_caller]
    #[must_use]
    pub fn batch_norm_inference_with(
        &self,
        [gamma, beta]: [&Self; 2],
        [mean, variance]: [&TensorOf<T>; 2],
        eps: f64,
        epilogue: Epilogue<'_, Self>,
    ) -> Self {
        ranges::check("batch_norm", "eps", eps, ranges::NOT_NEGATIVE);
        let istd = variance.unary(Unary::Add(eps)).unary(Unary::Sqrt).unary(Unary::Reciprocal);
        let scale = gamma.value().binary(Binary::Mul, &istd);
        let residual = epilogue.residual.map(Self::value);
        let then = epilogue.with_residual(residual.as_deref());
        let y = self.value().batch_norm_apply(mean, &scale, &beta.value(), then);
        let rule = BatchNorm {
            mean: mean.clone(),
            istd,
            of: Of::Given(variance.clone()),
            eps,
            relu: epilogue.relu,
            residual: epilogue.residual.is_some(),
        };
        Self::record(y, [self, gamma, beta].into_iter().chain(epilogue.residual), rule)
    }
}

/// The rule.
pub(super) struct BatchNorm<T: Float> {
    pub(super) mean: TensorOf<T>,
    /// `1/√(var + ε)`.
    pub(super) istd: TensorOf<T>,
    pub(super) of: Of<T>,
    pub(super) eps: f64,
    pub(super) relu: bool,
    pub(super) residual: bool,
}

/// What mean and variance are those of.
pub(super) enum Of<T: Float> {
    /// The batch.
    Batch,
    /// The batches of all processes.
    Processes(Processes<T>),
    /// They are given; this is the variance.
    Given(TensorOf<T>),
}

impl<T: Float> BatchNorm<T> {
    fn is_given(&self) -> bool {
        matches!(self.of, Of::Given(_))
    }
}

/// The formula of an output, with the definition of x̂ for given statistics or for those of x.
macro_rules! formula {
    ($y:literal, $given:expr) => {
        if $given {
            concat!("y = ", $y, ", x̂ = (x − mean)/√(var + ε)")
        } else {
            concat!("y = ", $y, ", x̂ = (x − mean(x))/√(var(x) + ε)")
        }
    };
}

/// The derivative; `g` is the gradient of the output before the relu. Given statistics are constants.
macro_rules! derivative {
    ($g:literal, $rest:literal, $given:expr) => {
        if $given {
            concat!("dx = γ/√(var + ε) · ", $g, ", dγ = Σ ", $g, "·x̂, dβ = Σ ", $g, $rest)
        } else {
            concat!(
                "dx = γ/√(var(x) + ε) · (",
                $g,
                " − mean(",
                $g,
                ") − x̂ · mean(",
                $g,
                "·x̂)), dγ = Σ ",
                $g,
                "·x̂, dβ = Σ ",
                $g,
                $rest
            )
        }
    };
}

impl<T: Float> Rule<T> for BatchNorm<T> {
    fn name(&self) -> &'static str {
        match self.of {
            Of::Batch => "batch_norm",
            Of::Processes(_) => "batch_norm_synchronized",
            Of::Given(_) => "batch_norm at inference",
        }
    }
    fn formula(&self) -> &'static str {
        let given = self.is_given();
        match (self.relu, self.residual) {
            (false, false) => formula!("γ·x̂ + β", given),
            (false, true) => formula!("γ·x̂ + β + r", given),
            (true, false) => formula!("max(0, γ·x̂ + β)", given),
            (true, true) => formula!("max(0, γ·x̂ + β + r)", given),
        }
    }
    fn derivative(&self) -> &'static str {
        let given = self.is_given();
        match (self.relu, self.residual) {
            (false, false) => derivative!("dy", "", given),
            (false, true) => derivative!("dy", ", dr = dy", given),
            (true, false) => derivative!("g", ", g = dy where y > 0, else 0", given),
            (true, true) => derivative!("g", ", dr = g, g = dy where y > 0, else 0", given),
        }
    }
    fn attributes(&self) -> Vec<Attribute> {
        let of = match &self.of {
            Of::Batch => Vec::new(),
            Of::Processes(all) => vec![Attribute::new("processes", all.size())],
            Of::Given(variance) => vec![
                Attribute::new("mean", self.mean.to_f64()),
                Attribute::new("variance", variance.to_f64()).symbol("var"),
            ],
        };
        of.into_iter().chain([Attribute::new("eps", self.eps).symbol("ε")]).collect()
    }
    fn saved(&self) -> &'static str {
        if self.relu { "x, mean, 1/√(var + ε), γ, y" } else { "x, mean, 1/√(var + ε), γ" }
    }
    fn backward(&self, op: &Operation<T>, dy: &VarOf<T>, needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        let (x, gamma) = (op.parent(0), op.parent(1));
        let y = self.relu.then(|| op.output().value());
        let need_r = needs.get(3) == Some(&true);
        let [dx, dgamma, dbeta, dr] = if self.is_given() {
            let g = gated(dy, y.as_deref());
            let of_channel = |row: &TensorOf<T>| VarOf::constant(row.reshape(channels(x.shape())));
            let dx = || &g * (gamma.reshape(channels(x.shape())) * of_channel(&self.istd));
            let dgamma = || (&g * (x - of_channel(&self.mean)) * of_channel(&self.istd)).channel_sum();
            [needs[0].then(dx), needs[1].then(dgamma), needs[2].then(|| g.channel_sum()), need_r.then(|| g.clone())]
        } else {
            let all = if let Of::Processes(all) = &self.of { Some(all) } else { None };
            let (values, y) = ([dy, x, gamma].map(VarOf::value), y.as_deref());
            let [dy_value, x_value, gamma_value] = values.each_ref().map(|value| &**value);
            let (mean, istd) = (&self.mean, &self.istd);
            let gradients = match all {
                Some(all) => all.gradients([dy_value, x_value], [mean, istd, gamma_value], y, [needs[0], need_r]),
                None => x_value.batch_norm_backward(dy_value, mean, istd, gamma_value, y, need_r),
            };
            let [dx, dgamma, dbeta, dr] = recorded(gradients, [dy, x, gamma], y, self.eps, all);
            [dx.filter(|_| all.is_none() || needs[0]), dgamma, dbeta, dr]
        };
        [dx, dgamma, dbeta].into_iter().chain(self.residual.then_some(dr)).collect()
    }
    /// Over several processes, where `⟨u, J·v⟩ = ⟨Jᵀ·u, v⟩` is not true of one alone; otherwise it is derived from `backward`.
    fn tangent(&self, op: &Operation<T>, dx: &[Option<VarOf<T>>]) -> Option<Tangent<T>> {
        let Of::Processes(all) = &self.of else { return None };
        let tangent = tangent_over(all, [op.parent(0), op.parent(1)], dx, self.eps);
        let y = self.relu.then(|| op.output().value());
        Some(Tangent { value: gated(&tangent.value, y.as_deref()), ..tangent })
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

    #[test]
    fn given_statistics_by_hand() {
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
