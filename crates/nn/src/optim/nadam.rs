//! `NAdam`.

use chainrule_autograd::{GradientsOf, VarOf};
use chainrule_tensor::{Binary, Float, Shape, TensorOf, Unary, ranges};

use super::composed::{Descent, average, count, decayed, descend};
use super::groups::{Groups, Hyperparameters, Update};
use super::{GroupSettings, Optimizer, StateTensors, builders, optimizer};

/// Adam with Nesterov momentum (Dozat: "Incorporating Nesterov momentum into Adam", 2016), as `torch.optim.NAdam`; weight
/// decay is added to the gradient or, if decoupled, `p ← p·(1 − lr·decay)` comes before the step.
///
/// With m and v as in [`Adam`](super::Adam), `μₜ = β₁(1 − ½·0.96^(tψ))` and the product `Πₜ = μ₁⋯μₜ`,
/// `p ← p − lr · ((1 − μₜ)/(1 − Πₜ)·g + μₜ₊₁/(1 − Πₜ₊₁)·m) / (√(v/(1 − β₂ᵗ)) + ε)`.
///
/// A step is several passes over each parameter, and on a GPU several kernels: more than those of [`Adam`](super::Adam).
pub struct NAdam<T: Float = f32>(Groups<T, Settings, 4>);

optimizer!(NAdam);
builders!(NAdam, NAME, eps);

const NAME: &str = "nadam";

#[derive(Clone, Copy, PartialEq)]
struct Settings {
    beta1: f64,
    beta2: f64,
    eps: f64,
    weight_decay: f64,
    momentum_decay: f64,
    decoupled: bool,
}

impl<T: Float> NAdam<T> {
    /// With β = (0.9, 0.999), ε = 1e-8 and ψ = 4e-3. PyTorch's default learning rate is 2e-3.
    ///
    /// # Panics
    /// If the learning rate is negative, infinite or NaN.
    #[track_caller]
    pub fn new(parameters: Vec<VarOf<T>>, lr: f64) -> Self {
        let settings =
            Settings { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0, momentum_decay: 4e-3, decoupled: false };
        Self(Groups::new(NAME, parameters, lr, settings))
    }

    /// Sets the decay rates of the running mean and the running mean of squares, of the last group.
    ///
    /// # Panics
    /// If one is not in [0, 1).
    #[track_caller]
    #[must_use]
    pub fn betas(mut self, beta1: f64, beta2: f64) -> Self {
        ranges::check(NAME, "beta1", beta1, ranges::BELOW_ONE);
        ranges::check(NAME, "beta2", beta2, ranges::BELOW_ONE);
        (self.0.last().beta1, self.0.last().beta2) = (beta1, beta2);
        self
    }

    /// Sets ψ of the last group, by which the momentum rises from β₁/2 to β₁.
    ///
    /// # Panics
    /// If it is negative, infinite or NaN.
    #[track_caller]
    #[must_use]
    pub fn momentum_decay(mut self, momentum_decay: f64) -> Self {
        ranges::check(NAME, "momentum_decay", momentum_decay, ranges::NOT_NEGATIVE);
        self.0.last().momentum_decay = momentum_decay;
        self
    }

    /// Whether the weight decay of the last group bypasses the moments, as in [`AdamW`](super::AdamW).
    #[must_use]
    pub fn decoupled_weight_decay(mut self, decoupled: bool) -> Self {
        self.0.last().decoupled = decoupled;
        self
    }
}

/// What a step needs of its number: scalars on the device.
struct Factors<T: Float> {
    /// The states after the step.
    product: TensorOf<T>,
    step: TensorOf<T>,
    /// `(1 − μₜ)/(1 − Πₜ)`, of the gradient.
    gradient: TensorOf<T>,
    /// `μₜ₊₁/(1 − Πₜ₊₁)`, of the mean.
    mean: TensorOf<T>,
    /// `√(1 − β₂ᵗ)`.
    root: TensorOf<T>,
}

impl<T: Float> Factors<T> {
    /// Those of the next step. The states are updated.
    fn next(settings: &Settings, product: &mut TensorOf<T>, step: &mut TensorOf<T>) -> Self {
        let Settings { beta1, beta2, momentum_decay, .. } = *settings;
        // In f64: 1 − β₂ᵗ of f32 numbers has few digits in the first steps.
        let t = count(step);
        // aᵗ = exp(t·ln a)
        let power = |log: f64, t: &TensorOf<f64>| t.unary(Unary::Mul(log)).unary(Unary::Exp);
        let momentum = |t: &TensorOf<f64>| {
            power(momentum_decay * 0.96f64.ln(), t).unary(Unary::Mul(-0.5 * beta1)).unary(Unary::Add(beta1))
        };
        let (now, next) = (momentum(&t), momentum(&t.unary(Unary::Add(1.0))));
        product.copy_from(&product.to_f64().binary(Binary::Mul, &now).cast());
        let both = product.to_f64();
        let rest = |x: &TensorOf<f64>| x.unary(Unary::SubFrom(1.0));
        Self {
            product: product.clone(),
            step: step.clone(),
            gradient: rest(&now).binary(Binary::Div, &rest(&both)).cast(),
            mean: next.binary(Binary::Div, &rest(&both.binary(Binary::Mul, &next))).cast(),
            root: rest(&power(beta2.ln(), &t)).unary(Unary::Sqrt).cast(),
        }
    }
}

impl Hyperparameters<4> for Settings {
    const STATE: [&'static str; 4] = ["exp_avg", "exp_avg_sq", "mu_product", "step"];

    fn list(&self) -> Vec<(&'static str, f64)> {
        let Self { beta1, beta2, eps, weight_decay, momentum_decay, decoupled } = *self;
        vec![
            ("beta1", beta1),
            ("beta2", beta2),
            ("eps", eps),
            ("weight_decay", weight_decay),
            ("momentum_decay", momentum_decay),
            ("decoupled_weight_decay", f64::from(u8::from(decoupled))),
        ]
    }

    fn initial_state(&self, parameter: Shape) -> [Option<(Shape, f64)>; 4] {
        let scalar = Shape::scalar();
        [Some((parameter, 0.0)), Some((parameter, 0.0)), Some((scalar, 1.0)), Some((scalar, 0.0))]
    }

    fn apply<T: Float>(updates: Vec<(&mut TensorOf<T>, Update<'_, T, Self, 4>)>, non_finite: &mut TensorOf<T>) {
        // Parameters at the same step with the same settings share their factors: these are many small kernels on a GPU.
        let mut last: Option<(u64, Self, Factors<T>)> = None;
        for (parameter, update) in updates {
            let (settings, lr, number) = (*update.hyperparameters, update.lr, update.step);
            let Self { beta1, beta2, eps, weight_decay, decoupled, .. } = settings;
            let (penalty, decay) = if decoupled { (0.0, weight_decay) } else { (weight_decay, 0.0) };
            let gradient = decayed(update.gradient, penalty, parameter);
            let [mean, square, product, step] = update.state().map(|state| state.expect("all are kept"));
            average(mean, beta1, &gradient);
            average(square, beta2, &gradient.unary(Unary::Square));
            let known = last.take().filter(|(at, of, _)| (*at, *of) == (number, settings));
            let factors = match known {
                None => Factors::next(&settings, product, step),
                Some((.., factors)) => {
                    product.copy_from(&factors.product);
                    step.copy_from(&factors.step);
                    factors
                }
            };
            let ahead = gradient
                .binary(Binary::Mul, &factors.gradient)
                .binary(Binary::Add, &mean.binary(Binary::Mul, &factors.mean));
            let root = square.unary(Unary::Sqrt).binary(Binary::Div, &factors.root).unary(Unary::Add(eps));
            let direction = &ahead.binary(Binary::Div, &root);
            descend(parameter, Descent { direction, square, lr, decay, momentum: None }, non_finite);
            last = Some((number, settings, factors));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 0.96^(10⁶) is 0 in f64, so that μ = β₁ from the first step on.
    #[test]
    fn the_first_step_by_hand() {
        let p = VarOf::<f64>::parameter("p", [1.0, -2.0]);
        let mut nadam = NAdam::new(vec![p.clone()], 0.1).betas(0.5, 0.0).momentum_decay(1e6).eps(0.0);
        // μ = Π₁ = 1/2, Π₂ = 1/4, m = g/2, √v = |g|: (1/2)/(1/2) + (1/2)/(3/4)·(1/2) = 4/3.
        nadam.step(&(&p * &p).sum().backward());
        let expected = [1.0 - 0.4 / 3.0, -2.0 + 0.4 / 3.0];
        assert!(p.value().to_vec().iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-15), "{p}");
    }
}
