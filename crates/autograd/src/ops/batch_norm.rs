//! Batch normalisation (Ioffe, Szegedy: "Batch normalization: accelerating deep network training by reducing internal
//! covariate shift", 2015).

use chainrule_tensor::{Binary, Float, Shape, TensorOf, Unary};

use crate::var::{NodeOf, Rule, VarOf};
use crate::walk::composed_gradients;

/// The statistics of one batch, from which a layer updates its running ones.
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
    /// Normalises each channel of x (N,C,…) by its own mean and variance, then scales by γ (C) and shifts by β (C).
    ///
    /// `x̂ = (x − mean)/√(var + ε)`, `y = γ·x̂ + β`, over all axes but the second, var being the biased variance.
    /// `dβ = Σ dy`, `dγ = Σ dy·x̂`, `dx = γ/√(var + ε) · (dy − dβ/m − x̂·dγ/m)`, m being the number of elements of a
    /// channel. Saves x, mean and 1/√(var + ε).
    ///
    /// # Panics
    /// If x has fewer than two axes or no elements, or γ or β has not one number for each channel.
    #[track_caller]
    pub fn batch_norm(&self, gamma: &Self, beta: &Self, eps: f64) -> (Self, BatchStatistics<T>) {
        let x = self.value();
        let (mean, variance) = x.batch_norm_statistics();
        let istd = variance.unary(Unary::Add(eps)).unary(Unary::Sqrt).unary(Unary::Reciprocal);
        let scale = gamma.value().binary(Binary::Mul, &istd);
        let y = x.batch_norm_apply(&mean, &scale, &beta.value());
        let count = x.numel() / mean.numel();
        let rule = BatchNorm { mean: mean.clone(), istd, eps };
        (Self::record(y, [self, gamma, beta], rule), BatchStatistics { mean, variance, count })
    }

    /// `y = γ·(x − mean)/√(var + ε) + β` with given statistics, as at inference: x (N,C,…), the others (C).
    ///
    /// # Panics
    /// If a shape does not fit.
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
        let istd = variance.unary(Unary::Add(eps)).unary(Unary::Sqrt).unary(Unary::Reciprocal);
        let channels = channels(self.shape());
        let scale = (gamma * Self::constant(istd)).reshape(channels);
        (self - Self::constant(mean.reshape(channels))) * scale + beta.reshape(channels)
    }
}

/// The shape of one number for each channel that broadcasts against x (N,C,…): (1,C,1,…).
fn channels(x: Shape) -> Shape {
    let mut shape = vec![1; x.rank()];
    shape[1] = x[1];
    Shape::new(&shape)
}

/// All axes but the second.
fn over(x: Shape) -> Vec<isize> {
    (0..x.rank() as isize).filter(|&axis| axis != 1).collect()
}

struct BatchNorm<T: Float> {
    mean: TensorOf<T>,
    istd: TensorOf<T>,
    eps: f64,
}

impl<T: Float> Rule<T> for BatchNorm<T> {
    fn name(&self) -> &'static str {
        "batch_norm"
    }
    fn formula(&self) -> &'static str {
        "dβ = Σ dy, dγ = Σ dy·x̂, dx = γ/√(var + ε) · (dy − dβ/m − x̂·dγ/m)"
    }
    fn saved(&self) -> &'static str {
        "x, mean, 1/√(var + ε)"
    }
    fn backward(&self, node: &NodeOf<T>, dy: &VarOf<T>, _needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        let (x, gamma) = (node.parent(0), node.parent(1));
        let (dx, dgamma, _) = x.value().batch_norm_backward(&dy.value(), &self.mean, &self.istd, &gamma.value());
        vec![
            Some(VarOf::record(dx, [dy, &x, &gamma], InputGradient(self.eps))),
            Some(VarOf::record(dgamma, [dy, &x], ScaleGradient(self.eps))),
            Some(dy.sum_axes(&over(x.shape()), false)),
        ]
    }
}

/// x̂ and 1/√(var + ε), from primitives.
fn normalised<T: Float>(x: &VarOf<T>, eps: f64) -> (VarOf<T>, VarOf<T>) {
    let axes = over(x.shape());
    let istd = (x.var_axes(&axes, 0, true) + eps).sqrt().reciprocal();
    ((x - x.mean_axes(&axes, true)) * &istd, istd)
}

/// Of dx as a function of (dy, x, γ).
struct InputGradient(f64);

impl<T: Float> Rule<T> for InputGradient {
    fn name(&self) -> &'static str {
        "batch_norm input gradient"
    }
    fn formula(&self) -> &'static str {
        "the gradients of γ/√(var + ε) · (dy − mean dy − x̂ · mean(dy·x̂))"
    }
    fn saved(&self) -> &'static str {
        "dy, x, γ"
    }
    fn backward(&self, node: &NodeOf<T>, dz: &VarOf<T>, needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        composed_gradients(node, dz, needs, |parents| {
            let [dy, x, gamma] = parents else { unreachable!("it was recorded with three parents") };
            let axes = over(x.shape());
            let (xhat, istd) = normalised(x, self.0);
            let rest = dy - dy.mean_axes(&axes, true) - &xhat * (dy * &xhat).mean_axes(&axes, true);
            gamma.reshape(channels(x.shape())) * istd * rest
        })
    }
}

/// Of dγ as a function of (dy, x).
struct ScaleGradient(f64);

impl<T: Float> Rule<T> for ScaleGradient {
    fn name(&self) -> &'static str {
        "batch_norm scale gradient"
    }
    fn formula(&self) -> &'static str {
        "the gradients of Σ dy·x̂"
    }
    fn saved(&self) -> &'static str {
        "dy, x"
    }
    fn backward(&self, node: &NodeOf<T>, dz: &VarOf<T>, needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        composed_gradients(node, dz, needs, |parents| {
            let [dy, x] = parents else { unreachable!("it was recorded with two parents") };
            (dy * normalised(x, self.0).0).sum_axes(&over(x.shape()), false)
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::Var64;

    #[test]
    fn by_hand() {
        // Two samples of one channel: x̂ = ∓1, whatever x is, so dx vanishes.
        let x = Var64::parameter("x", [[1.0], [5.0]]);
        let (gamma, beta) = (Var64::parameter("gamma", [3.0]), Var64::parameter("beta", [0.5]));
        let (y, statistics) = x.batch_norm(&gamma, &beta, 0.0);
        assert_eq!(y.value().to_vec(), [-2.5, 3.5]);
        assert_eq!((statistics.mean.item(), statistics.variance.item(), statistics.count), (3.0, 4.0, 2));
        let g = (y * Var64::constant([[1.0], [10.0]])).sum().backward();
        assert_eq!((g[&gamma].item(), g[&beta].item()), (9.0, 11.0));
        assert_eq!(g[&x].to_vec(), [0.0, 0.0]);
        let y = x.batch_norm_inference(&gamma, &beta, &[3.0].into(), &[4.0].into(), 0.0);
        assert_eq!(y.value().to_vec(), [-2.5, 3.5]);
        assert_eq!(y.sum().backward()[&x].to_vec(), [1.5, 1.5]);
    }
}
