//! Initial weights.
//!
//! Numbers are drawn in f64 and rounded, so that an f32 and an f64 net start with the same weights.

use chainrule_autograd::VarOf;
use chainrule_tensor::{Float, Rng, Shape, TensorOf, ranges};

/// The nonlinearity after a layer, which determines the gain that preserves the variance of activations.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Nonlinearity {
    /// No nonlinearity, or the sigmoid: gain 1.
    Linear,
    /// tanh: gain 5/3.
    Tanh,
    /// relu: gain √2.
    Relu,
    /// selu: gain 3/4.
    Selu,
    /// leaky relu with this slope: gain √(2/(1 + slope²)).
    LeakyRelu(f64),
}

impl Nonlinearity {
    /// The gain (`torch.nn.init.calculate_gain`).
    ///
    /// # Panics
    /// If the slope of a leaky relu is infinite or NaN.
    #[track_caller]
    pub fn gain(self) -> f64 {
        match self {
            Self::Linear => 1.0,
            Self::Tanh => 5.0 / 3.0,
            Self::Relu => 2f64.sqrt(),
            Self::Selu => 0.75,
            Self::LeakyRelu(slope) => {
                ranges::check("init", "slope", slope, ranges::FINITE);
                (2.0 / (1.0 + slope * slope)).sqrt()
            }
        }
    }
}

/// The fan for which the variance is preserved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fan {
    /// Inputs per output: preserves the variance of activations in the forward pass.
    #[default]
    In,
    /// Outputs per input: preserves the variance of gradients in the backward pass.
    Out,
}

/// (`fan_in`, `fan_out`), the inputs per output and outputs per input: `(I·kh·kw, O·kh·kw)` for a weight (O, I, kh, kw).
///
/// # Panics
/// If there are fewer than two axes.
#[track_caller]
pub fn fans(weight: Shape) -> (usize, usize) {
    assert!(weight.rank() >= 2, "init: a weight of shape {weight} has no fans\n  rule: at least two axes (O, I, …)");
    let field: usize = weight[2..].iter().product();
    (weight[1] * field, weight[0] * field)
}

/// Sets every element to `value`.
///
/// # Panics
/// If this is not a parameter, or the value is infinite or NaN.
#[track_caller]
pub fn constant<T: Float>(parameter: &VarOf<T>, value: f64) {
    ranges::check("init", "value", value, ranges::FINITE);
    parameter.set(&TensorOf::full(parameter.shape(), T::from_f64(value)));
}

/// Draws from the uniform distribution on [low, high).
///
/// # Panics
/// If this is not a parameter, or not −∞ < low ≤ high < ∞.
#[track_caller]
pub fn uniform<T: Float>(parameter: &VarOf<T>, low: f64, high: f64, rng: &mut Rng) {
    ranges::check("init", "low", low, ranges::FINITE);
    ranges::check("init", "high", high, low..f64::INFINITY);
    parameter.set(&uniform_tensor(parameter.shape(), low, high, rng));
}

/// A tensor from the uniform distribution on [low, high).
pub(crate) fn uniform_tensor<T: Float>(shape: Shape, low: f64, high: f64, rng: &mut Rng) -> TensorOf<T> {
    TensorOf::from_fn(shape, |_| T::from_f64(low + (high - low) * rng.uniform()))
}

/// Draws from the normal distribution, by the Box–Muller transform.
///
/// # Panics
/// If this is not a parameter, the mean is infinite or NaN, or the standard deviation is negative, infinite or NaN.
#[track_caller]
pub fn normal<T: Float>(parameter: &VarOf<T>, mean: f64, std: f64, rng: &mut Rng) {
    ranges::check("init", "mean", mean, ranges::FINITE);
    ranges::check("init", "std", std, ranges::NOT_NEGATIVE);
    let key = rng.layer_key();
    let drawn = TensorOf::<f64>::random_normal(key, parameter.shape()).to_vec();
    parameter.set(&TensorOf::from_fn(parameter.shape(), |i| T::from_f64(mean + std * drawn[i])));
}

/// Kaiming (He) initialization, uniform on ±gain·√(3/fan) (He and others: "Delving deep into rectifiers", 2015).
///
/// # Panics
/// If this is not a parameter, has fewer than two axes, or a slope is infinite or NaN.
#[track_caller]
pub fn kaiming_uniform<T: Float>(parameter: &VarOf<T>, fan: Fan, after: Nonlinearity, rng: &mut Rng) {
    let bound = kaiming_std(parameter.shape(), fan, after) * 3f64.sqrt();
    uniform(parameter, -bound, bound, rng);
}

/// Kaiming (He) initialization, normal with standard deviation gain/√fan.
///
/// # Panics
/// If this is not a parameter, has fewer than two axes, or a slope is infinite or NaN.
#[track_caller]
pub fn kaiming_normal<T: Float>(parameter: &VarOf<T>, fan: Fan, after: Nonlinearity, rng: &mut Rng) {
    normal(parameter, 0.0, kaiming_std(parameter.shape(), fan, after), rng);
}

#[track_caller]
fn kaiming_std(weight: Shape, fan: Fan, after: Nonlinearity) -> f64 {
    let (fan_in, fan_out) = fans(weight);
    let fan = if fan == Fan::In { fan_in } else { fan_out };
    after.gain() / (fan as f64).sqrt()
}

/// Xavier (Glorot) initialization, uniform on ±gain·√(6/(`fan_in` + `fan_out`)) (Glorot, Bengio: "Understanding the difficulty of
/// training deep feedforward neural networks", 2010).
///
/// # Panics
/// If this is not a parameter, has fewer than two axes, or the gain is negative, infinite or NaN.
#[track_caller]
pub fn xavier_uniform<T: Float>(parameter: &VarOf<T>, gain: f64, rng: &mut Rng) {
    let bound = xavier_std(parameter.shape(), gain) * 3f64.sqrt();
    uniform(parameter, -bound, bound, rng);
}

/// Xavier (Glorot) initialization, normal with standard deviation gain·√(2/(`fan_in` + `fan_out`)).
///
/// # Panics
/// If this is not a parameter, has fewer than two axes, or the gain is negative, infinite or NaN.
#[track_caller]
pub fn xavier_normal<T: Float>(parameter: &VarOf<T>, gain: f64, rng: &mut Rng) {
    normal(parameter, 0.0, xavier_std(parameter.shape(), gain), rng);
}

#[track_caller]
fn xavier_std(weight: Shape, gain: f64) -> f64 {
    ranges::check("init", "gain", gain, ranges::NOT_NEGATIVE);
    let (fan_in, fan_out) = fans(weight);
    gain * (2.0 / (fan_in + fan_out) as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(init: impl Fn(&VarOf<f64>, &mut Rng)) -> (f64, f64, f64) {
        let w = VarOf::parameter("w", TensorOf::<f64>::zeros([50, 20, 3, 3]));
        init(&w, &mut Rng::seed(1));
        let value = w.value();
        let most = value.max(&[], false).item().max(-value.min(&[], false).item());
        (value.mean(&[], false).item(), value.var(&[], 0, false).item().sqrt(), most)
    }

    #[test]
    fn means_deviations_and_bounds_match_the_papers() {
        let n = 9000f64;
        type Init = fn(&VarOf<f64>, &mut Rng);
        let cases: [(Init, f64, bool); 5] = [
            (|w, rng| kaiming_uniform(w, Fan::In, Nonlinearity::Relu, rng), (2.0f64 / 180.0).sqrt(), true),
            (|w, rng| kaiming_normal(w, Fan::Out, Nonlinearity::Tanh, rng), 5.0 / 3.0 / 450f64.sqrt(), false),
            (|w, rng| xavier_uniform(w, 1.0, rng), (2.0f64 / 630.0).sqrt(), true),
            (|w, rng| xavier_normal(w, 2.0, rng), 2.0 * (2.0f64 / 630.0).sqrt(), false),
            (|w, rng| uniform(w, -1.0, 1.0, rng), 1.0 / 3f64.sqrt(), true),
        ];
        for (i, (init, std, bounded)) in cases.into_iter().enumerate() {
            let (mean, deviation, most) = drawn(init);
            assert!(mean.abs() < 5.0 * std / n.sqrt(), "case {i}: mean {mean}");
            assert!((deviation / std - 1.0).abs() < 5.0 / (2.0 * n).sqrt(), "case {i}: {deviation} for {std}");
            assert_eq!(most <= std * 3f64.sqrt(), bounded, "case {i}: largest {most}");
        }
    }

    #[test]
    fn f32_and_f64_draw_the_same_numbers() {
        let (a, b) = (
            VarOf::<f32>::parameter("a", TensorOf::zeros([7, 5])),
            VarOf::<f64>::parameter("b", TensorOf::zeros([7, 5])),
        );
        for (draw32, draw64) in
            [(uniform::<f32> as fn(&_, _, _, &mut _), uniform::<f64> as fn(&_, _, _, &mut _)), (normal, normal)]
        {
            draw32(&a, -1.0, 2.0, &mut Rng::seed(3));
            draw64(&b, -1.0, 2.0, &mut Rng::seed(3));
            assert_eq!(*a.value(), b.value().to_f32());
        }
    }
}
