//! Quotients are correctly rounded, and means and variances are as exact as their results can be, also of large numbers that
//! are nearly equal.

use chainrule_autograd::{Reduction, Var, Var64, VarOf};
use chainrule_tensor::{Float, Key, Purpose, Tensor, Tensor64, TensorOf, Unary};

/// All divisors below 2000: multiplied by the rounded 1/n, 216 of the quotients n/n in f64 would not be 1.
#[test]
fn a_number_divided_by_itself_is_one() {
    fn check<T: Float>() {
        for n in 1..2000 {
            let n = f64::from(n);
            let x = VarOf::<T>::parameter("x", TensorOf::scalar(T::from_f64(n)));
            assert_eq!((&x / n).item(), T::ONE, "{n}/{n}");
            assert_eq!(x.value().unary(Unary::Div(n)).item(), T::ONE, "{n}/{n} of a tensor");
        }
    }
    check::<f32>();
    check::<f64>();
}

/// dx = dy/s and the tangent t/s, the mean, and everything that ends in a mean.
#[test]
fn gradients_and_means_are_quotients() {
    for n in [3usize, 7, 49, 98, 103, 1000, 1999] {
        let divisor = n as f64;
        let x = Var64::parameter("x", TensorOf::ones(n));
        let dy = Tensor64::from_fn(n, |i| i as f64 - 3.3);
        let expected: Vec<f64> = dy.to_vec().iter().map(|dy| dy / divisor).collect();
        let y = &x / divisor;
        assert_eq!((&y * Var64::constant(&dy)).sum().backward()[&x].to_vec(), expected);
        let tangent = y.tangent(&[(&x, &Var64::constant(&dy))]);
        assert_eq!(tangent.value.value().to_vec(), expected);
        let each = vec![1.0 / divisor; n];
        assert_eq!(x.mean().item(), 1.0, "the mean of {n} ones");
        assert_eq!(x.value().mean(&[], false).item(), 1.0);
        assert_eq!(x.mean().backward()[&x].to_vec(), each);
        assert_eq!((2.0 * &x).mse_loss(&x.detach(), Reduction::Mean).item(), 1.0);
        let average = x.reshape([1, 1, 1, n]).adaptive_avg_pool2d([1, 1]);
        assert_eq!((average.value().item(), average.sum().backward()[&x].to_vec()), (1.0, each));
        // Two classes with logits (0.7, 0): the mean of the losses is their sum, divided once.
        let logits = Var64::constant(Tensor64::from_fn([n, 2], |i| if i % 2 == 0 { 0.7 } else { 0.0 }));
        let labels = TensorOf::from(vec![1; n]);
        let sum = logits.value().cross_entropy(&labels)[0].sum(&[], false).item();
        assert_eq!(logits.cross_entropy(&labels).item(), sum / divisor, "{n} samples");
    }
    // The parts of a tie.
    let x = Var64::parameter("x", TensorOf::ones(49));
    let dx = (x.max() * 49.0).backward()[&x].to_vec();
    assert_eq!(dx, [1.0; 49]);
}

/// The exact mean and variance of numbers, in f64: of their differences from the first, which are exact.
fn exact(x: &[f32], correction: f64) -> [f64; 2] {
    let first = f64::from(x[0]);
    let n = x.len() as f64;
    let shift = x.iter().map(|&v| f64::from(v) - first).sum::<f64>() / n;
    let squares = x.iter().map(|&v| (f64::from(v) - first - shift).powi(2)).sum::<f64>();
    [first + shift, squares / (n - correction)]
}

#[track_caller]
fn near(what: &str, found: f64, expected: f64, tolerance: f64) {
    let error = (found / expected - 1.0).abs();
    assert!(error <= tolerance, "{what}: {found}, exactly {expected}: relative error {error:.1e}");
}

/// `center` plus noise of ±1.
fn noise(center: f64, shape: &[usize]) -> Tensor {
    Tensor64::random_uniform(Key::new(1, Purpose::USER), shape)
        .unary(Unary::Mul(2.0))
        .unary(Unary::Add(center - 1.0))
        .to_f32()
}

#[test]
fn the_variance_of_large_nearly_equal_numbers() {
    let alternating = Tensor::from_fn(1000, |i| if i % 2 == 0 { 1e6 - 1.0 } else { 1e6 + 1.0 });
    assert_eq!(alternating.mean(&[], false).item(), 1e6);
    assert_eq!(alternating.var(&[], 0, false).item(), 1.0);
    assert_eq!(Var::constant(&alternating).var(0).item(), 1.0);
    for center in [1e3, 1e4, 1e5, 1e6] {
        for (shape, axis) in [(vec![100_000], 0), (vec![50, 2000], 1), (vec![2000, 50], 0), (vec![30, 7, 40], 1)] {
            let x = noise(center, &shape);
            let var = Var::constant(&x);
            let axes = [axis];
            let [mean, spread] = [x.mean(&axes, true), x.var(&axes, 1, true)];
            assert_eq!(var.mean_axes(&axes, true).value().to_vec(), mean.to_vec());
            assert_eq!(var.var_axes(&axes, 1, true).value().to_vec(), spread.to_vec());
            let lines = x.transpose(axis, -1);
            let lines = lines.reshape([x.numel() / x.shape()[axis as usize], x.shape()[axis as usize]]);
            let [means, spreads] = [mean, spread].map(|y| y.transpose(axis, -1).reshape(y.numel()).to_vec());
            for (i, (mean, spread)) in means.into_iter().zip(spreads).enumerate() {
                let what = format!("{shape:?} along {axis} at {center}, line {i}");
                let [exact_mean, exact_spread] = exact(&lines.narrow(0, i..i + 1).to_vec(), 1.0);
                near(&what, f64::from(mean), exact_mean, 2.5e-7);
                near(&what, f64::from(spread), exact_spread, 2e-6);
            }
        }
    }
}

/// Batch normalization in training: its statistics and, with the mean rounded to f32, its output.
#[test]
fn batch_norm_of_large_nearly_equal_numbers() {
    let (gamma, beta) = (Var::constant(Tensor::ones(6)), Var::constant(Tensor::zeros(6)));
    for center in [1e3, 1e4, 1e5, 1e6] {
        for shape in [vec![3000, 6], vec![25, 6, 500], vec![40, 6, 8, 8], vec![2, 6, 70, 70]] {
            let x = noise(center, &shape);
            for x in if shape.len() == 4 { vec![x.clone(), x.channels_last()] } else { vec![x] } {
                let (y, statistics) = Var::constant(&x).batch_norm(&gamma, &beta, 0.0);
                for c in 0..6 {
                    let what = format!("{shape:?} at {center}, channel {c}");
                    let values = x.narrow(1, c..c + 1).to_vec();
                    let [mean, variance] = exact(&values, 0.0);
                    // The mean is the nearest f32 or one beside it.
                    near(&what, f64::from(statistics.mean.to_vec()[c]), mean, 1.2e-7);
                    near(&what, f64::from(statistics.variance.to_vec()[c]), variance, 2e-6);
                    // What is left is the rounding of the mean, in standard deviations.
                    let off = center * 1.2e-7 / variance.sqrt() + 4e-6;
                    for (x, y) in values.into_iter().zip(y.value().narrow(1, c..c + 1).to_vec()) {
                        let expected = (f64::from(x) - mean) / variance.sqrt();
                        assert!((f64::from(y) - expected).abs() <= off, "{what}: {y} instead of {expected}");
                    }
                }
            }
        }
    }
}

/// As `torch.var`: the divisor is never negative.
#[test]
fn a_correction_of_the_count_or_more_gives_no_negative_variance() {
    let variance = |x: Tensor64, correction: usize| {
        let of_tensor = x.var(&[], correction, false).item();
        let of_variable = Var64::parameter("x", &x).var(correction).item();
        assert_eq!(of_tensor.to_bits(), of_variable.to_bits());
        of_tensor
    };
    near("1, 2, 4", variance([1.0, 2.0, 4.0].into(), 2), 14.0 / 3.0, 1e-15);
    for correction in [3, 4, 100] {
        assert_eq!(variance([1.0, 2.0, 4.0].into(), correction), f64::INFINITY);
        assert!(variance([1.0, 1.0, 1.0].into(), correction).is_nan(), "0/0");
    }
    assert!(variance([7.0].into(), 1).is_nan());
    let rows = Tensor64::from([[1.0, 5.0], [2.0, 2.0]]).var(&[1], 2, false).to_vec();
    assert!(rows[0] == f64::INFINITY && rows[1].is_nan());
    // The variance of equal numbers is 0 up to the rounding of a rounding, also if their sum is rounded.
    for n in [3, 10, 1000, 4097] {
        for value in [0.1f32, 1e6 + 0.3] {
            let variance = Tensor::full(n, value).var(&[], 1, false).item();
            assert!((0.0..1e-24 * value * value).contains(&variance), "{n} times {value}: {variance}");
        }
    }
}

#[test]
fn the_norm_of_finite_gradients_is_finite() {
    let gradients = |values: &[f32]| {
        let x = Var::parameter("x", Tensor::zeros(values.len()));
        let g = (&x * Var::constant(Tensor::from(values.to_vec()))).sum().backward();
        (x, g)
    };
    for values in [[1.9e19f32, 0.0], [3e38, -3e38], [1e-30, 2e-30]] {
        let (x, mut g) = gradients(&values);
        let exact = values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt();
        near("the norm", g.global_norm(), exact, 1e-14);
        let limit = (exact / 10.0).min(1.0);
        near("the norm before", g.clip_norm(limit).item(), exact, 1e-14);
        let factor = (limit / (exact + 1e-6)).min(1.0);
        let expected: Vec<f32> = values.iter().map(|&v| (f64::from(v) * factor) as f32).collect();
        assert_eq!(g[&x].to_vec(), expected);
    }
    let x = Var64::parameter("x", 0.0);
    let mut g = (&x * 1e200).backward();
    assert_eq!(g.clip_norm(2.0).item(), 1e200);
    near("the clipped gradient", g[&x].item(), 2.0, 1e-15);
}

#[test]
fn a_gradient_that_is_not_finite_shows_in_the_norm_and_is_not_multiplied_in() {
    for bad in [f32::INFINITY, f32::NEG_INFINITY, f32::NAN] {
        let (a, b) = (Var::parameter("a", [1.0, 1.0]), Var::parameter("b", 1.0));
        let mut g = ((&a * Var::constant([3.0, bad])).sum() + 4.0 * &b).backward();
        assert!(!g.global_norm().is_finite());
        assert!(!g.clip_norm(1.0).item().is_finite());
        assert_eq!((g[&a].to_vec()[0], g[&b].item()), (3.0, 4.0), "finite gradients stay");
        assert_eq!(g[&a].to_vec()[1].to_bits(), bad.to_bits());
    }
}
