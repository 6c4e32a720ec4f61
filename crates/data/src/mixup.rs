//! Mixup: a batch whose images and labels are weighted means of two.

use std::f64::consts::TAU;

use chainrule_tensor::{Binary, Rng, Tensor, Unary};

/// λ, the weight of each image's own part: drawn from the beta distribution with both parameters `alpha`.
///
/// It is the quotient a/(a + b) of two draws from the gamma distribution, here of their logarithms: with a small `alpha` both
/// are often too small for an `f64`.
pub(crate) fn draw(alpha: f64, rng: &mut Rng) -> f64 {
    let (a, b) = (ln_gamma(alpha, rng), ln_gamma(alpha, rng));
    1.0 / (1.0 + (b - a).exp())
}

/// The logarithm of a draw from the gamma distribution with this shape and the scale 1 (Marsaglia, Tsang: "A simple method
/// for generating gamma variables", 2000).
fn ln_gamma(shape: f64, rng: &mut Rng) -> f64 {
    // In (0, 1], for the logarithm.
    let positive = |rng: &mut Rng| 1.0 - rng.uniform();
    if shape < 1.0 {
        return ln_gamma(shape + 1.0, rng) + positive(rng).ln() / shape;
    }
    let d = shape - 1.0 / 3.0;
    loop {
        // A normal draw, by Box and Muller.
        let x = (-2.0 * positive(rng).ln()).sqrt() * (TAU * rng.uniform()).cos();
        let v = (1.0 + x / (9.0 * d).sqrt()).powi(3);
        if v > 0.0 && positive(rng).ln() < 0.5 * x * x + d * (1.0 - v + v.ln()) {
            return (d * v).ln();
        }
    }
}

/// λ·x + (1 − λ)·y, where y is the batch x (N,…) rolled by one: each image is mixed with the one before it, the first with
/// the last.
pub(crate) fn images(x: &Tensor, lambda: f64) -> Tensor {
    let n = x.shape()[0];
    let rolled = Tensor::concat(&[&x.narrow(0, n - 1..n), &x.narrow(0, 0..n - 1)], 0);
    rolled.unary(Unary::Mul(1.0 - lambda)).binary(Binary::Add, &x.unary(Unary::Mul(lambda)))
}

/// The same of the one-hot labels: (N, classes).
pub(crate) fn targets(labels: &[i32], classes: usize, lambda: f64) -> Tensor {
    let mut targets = Tensor::zeros([labels.len(), classes]);
    let rolled = labels.iter().cycle().skip(labels.len() - 1);
    for ((target, &own), &before) in targets.make_mut().chunks_exact_mut(classes).zip(labels).zip(rolled) {
        target[before as usize] += (1.0 - lambda) as f32;
        target[own as usize] += lambda as f32;
    }
    targets
}

#[cfg(test)]
mod tests {
    use std::f64::consts::PI;

    use chainrule_tensor::{Key, Purpose};
    use serde_json::Value;

    use super::*;

    fn draws(alpha: f64, n: u64) -> Vec<f64> {
        (0..n).map(|seed| draw(alpha, &mut Key::new(seed, Purpose::USER).rng())).collect()
    }

    #[test]
    fn draws_have_the_mean_and_variance_of_the_beta_distribution() {
        let n = 20_000;
        for alpha in [0.001, 0.1, 0.2, 0.9, 1.0, 2.5, 1000.0] {
            let draws = draws(alpha, n);
            assert!(draws.iter().all(|x| (0.0..=1.0).contains(x)), "alpha {alpha}");
            let mean = draws.iter().sum::<f64>() / n as f64;
            let variance = draws.iter().map(|x| (x - 0.5).powi(2)).sum::<f64>() / n as f64;
            let expected = 0.25 / (2.0 * alpha + 1.0);
            // Five standard deviations of the mean; the variance of the squares is below twice the variance squared.
            assert!((mean - 0.5).abs() < 5.0 * (expected / n as f64).sqrt(), "alpha {alpha}: mean {mean}");
            let tolerance = 5.0 * expected * (2.0 / n as f64).sqrt();
            assert!((variance - expected).abs() < tolerance, "alpha {alpha}: variance {variance}, not {expected}");
        }
    }

    #[test]
    fn draws_have_the_distribution_function_of_the_beta_distribution() {
        let n = 20_000;
        // Of alpha 1/2, 1 and 2 it is (2/π)·asin √x, x and 3x² − 2x³.
        let function = |alpha: f64, x: f64| match alpha {
            0.5 => 2.0 / PI * x.sqrt().asin(),
            1.0 => x,
            _ => 3.0 * x * x - 2.0 * x * x * x,
        };
        for alpha in [0.5, 1.0, 2.0] {
            let mut draws = draws(alpha, n);
            draws.sort_by(f64::total_cmp);
            let distance = |(i, &x): (usize, &f64)| (function(alpha, x) - (i as f64 + 0.5) / n as f64).abs();
            let worst = draws.iter().enumerate().map(distance).fold(0.0, f64::max);
            // Kolmogorov: larger with probability 1e-6.
            assert!(worst < 2.7 / (n as f64).sqrt(), "alpha {alpha}: {worst}");
        }
    }

    #[test]
    fn draws_are_pinned() {
        // A change here changes every published run. The last digits are those of this machine's logarithm and cosine.
        let expected = [0.999_985_282_950_961_9, 1.832_584_113_389_17e-15, 0.111_321_142_917_464_59];
        for (found, expected) in draws(0.2, 3).into_iter().zip(expected) {
            assert!((found / expected - 1.0_f64).abs() < 1e-9, "{found}, not {expected}");
        }
    }

    #[test]
    fn batches_are_mixed_as_in_torchvision() {
        let reference: Value =
            serde_json::from_str(include_str!("../../../tests/reference/mixup.json")).expect("valid JSON");
        let cases = reference["cases"].as_array().expect("cases");
        assert_eq!(cases.len(), 4);
        let numbers = |value: &Value| -> Vec<f32> {
            value.as_array().expect("a list").iter().map(|x| x.as_f64().expect("a number") as f32).collect()
        };
        for case in cases {
            let lambda = case["lambda"].as_f64().expect("a number");
            let labels: Vec<i32> = numbers(&case["labels"]).into_iter().map(|label| label as i32).collect();
            let x = Tensor::from_fn([labels.len(), 2, 2, 3], |i| (37 * i % 101) as f32 / 50.0 - 1.0);
            assert_eq!(images(&x, lambda).to_vec(), numbers(&case["y"]), "lambda {lambda}");
            assert_eq!(targets(&labels, 4, lambda).to_vec(), numbers(&case["targets"]), "lambda {lambda}");
        }
    }
}
