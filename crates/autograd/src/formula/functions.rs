//! The functions of formulas and their numeric values.

type Function = fn(f64) -> f64;

/// Functions of one number, by name.
const OF_ONE: &[(&str, Function)] = &[
    ("exp", f64::exp),
    ("ln", f64::ln),
    ("log", f64::ln),
    ("expm1", f64::exp_m1),
    ("sqrt", f64::sqrt),
    ("sin", f64::sin),
    ("cos", f64::cos),
    ("tan", f64::tan),
    ("asin", f64::asin),
    ("acos", f64::acos),
    ("atan", f64::atan),
    ("sinh", f64::sinh),
    ("cosh", f64::cosh),
    ("tanh", f64::tanh),
    ("abs", f64::abs),
    ("sign", |x| if x == 0.0 { 0.0 } else { x.signum() }),
    ("round", f64::round_ties_even),
    ("trunc", f64::trunc),
    ("relu", |x| x.max(0.0)),
    ("σ", sigmoid),
    ("sigmoid", sigmoid),
    ("softplus", |x| x.max(0.0) + (-x.abs()).exp().ln_1p()),
    ("erf", erf),
    ("Φ", |x| 0.5 * (1.0 + erf(x / std::f64::consts::SQRT_2))),
    ("φ", |x| (-0.5 * x * x).exp() / std::f64::consts::TAU.sqrt()),
];

/// Other known functions, which are not functions of single numbers. What follows such a name is its argument.
const OF_TENSORS: &[&str] =
    &["d", "f", "g", "mean", "var", "sum", "max", "min", "softmax", "argmax", "onehot", "atan2"];

/// Whether a name is that of a known function, so that `name x` and `name (x)` are calls.
pub(super) fn is_known(name: &str) -> bool {
    OF_ONE.iter().any(|&(known, _)| known == name) || OF_TENSORS.contains(&name)
}

/// Whether a function can be applied over indices: `max_{i} x[i]`.
pub(super) fn reduces(name: &str) -> bool {
    matches!(name, "max" | "min" | "mean" | "sum" | "argmax" | "argmin" | "var")
}

/// Whether `name(x)` is a call of an unknown function, not a product: true for words of three letters or more.
pub(super) fn looks_like_one(name: &str) -> bool {
    name.chars().filter(char::is_ascii_alphabetic).count() >= 3
}

/// The value of a function of numbers; `None` for other functions.
pub(super) fn value(name: &str, arguments: &[f64]) -> Option<f64> {
    match (name, arguments) {
        ("max", &[a, b]) => Some(if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) }),
        ("min", &[a, b]) => Some(if a.is_nan() || b.is_nan() { f64::NAN } else { a.min(b) }),
        ("atan2", &[a, b]) => Some(a.atan2(b)),
        (_, &[x]) => OF_ONE.iter().find(|&&(known, _)| known == name).map(|&(_, f)| f(x)),
        _ => None,
    }
}

/// Letters that are constants, unless a formula defines them.
pub(super) fn constant(name: &str) -> Option<f64> {
    match name {
        "e" => Some(std::f64::consts::E),
        "π" => Some(std::f64::consts::PI),
        "∞" => Some(f64::INFINITY),
        _ => None,
    }
}

fn sigmoid(x: f64) -> f64 {
    if x >= 0.0 { 1.0 / (1.0 + (-x).exp()) } else { x.exp() / (1.0 + x.exp()) }
}

/// The error function: a series of positive terms near 0, a continued fraction of 1 − erf in the tails.
fn erf(x: f64) -> f64 {
    let (z, scale) = (x.abs(), (-x * x).exp() / std::f64::consts::PI.sqrt());
    if z < 3.0 {
        // 2/√π · exp(−x²) · Σ 2ⁿ x²ⁿ⁺¹ / (1 · 3 · … · (2n + 1))
        let (mut term, mut sum, mut n) = (x, x, 1.0);
        while term.abs() > 1e-17 * sum.abs() {
            term *= 2.0 * x * x / (2.0 * n + 1.0);
            sum += term;
            n += 1.0;
        }
        return 2.0 * scale * sum;
    }
    // exp(−x²)/√π · 1/(x + ½/(x + 1/(x + 3⁄2/(x + …))))
    let fraction = (1..=60).rev().fold(z, |rest, k| z + 0.5 * f64::from(k) / rest);
    (1.0 - scale / fraction).copysign(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn erf_agrees_with_a_table() {
        // Abramowitz, Stegun, table 7.1, and 1 − erf(3.5).
        for (x, y) in [(0.5, 0.520_499_877_813_046_5), (1.0, 0.842_700_792_949_714_9), (2.0, 0.995_322_265_018_952_7)] {
            assert!((erf(x) - y).abs() < 1e-15 && (erf(-x) + y).abs() < 1e-15, "erf {x} = {}", erf(x));
        }
        assert!((1.0 - erf(3.5) - 7.430_983_723_414_128e-7).abs() < 1e-15);
        assert_eq!((erf(0.0), erf(1e9), erf(f64::INFINITY)), (0.0, 1.0, 1.0));
    }
}
