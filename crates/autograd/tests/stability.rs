//! Extreme inputs: correct values and gradients, without NaN.

use chainrule_autograd::{Reduction, VarOf};
use chainrule_tensor::{Float, TensorOf};

/// Checks values and gradients at some points for one type.
fn check<T: Float>(name: &str, f: impl Fn(&VarOf<T>) -> VarOf<T>, points: &[(f64, f64, f64)]) {
    for &(x, value, slope) in points {
        let var = VarOf::<T>::parameter("x", TensorOf::scalar(T::from_f64(x)));
        let y = f(&var);
        let dx = y.sum().backward()[&var].item().to_f64();
        let near = |a: f64, b: f64| a == b || (a - b).abs() <= 4.0 * T::EPSILON.to_f64() * b.abs().max(1e-30);
        assert!(near(y.item().to_f64(), value), "{name}({x}) = {} in {}, not {value}", y.item(), T::NAME);
        assert!(near(dx, slope), "{name}′({x}) = {dx} in {}, not {slope}", T::NAME);
    }
}

fn all<T: Float>() {
    let e = |x: f64| T::from_f64(x.exp()).to_f64();
    check::<T>("softplus", VarOf::softplus, &[(1000.0, 1000.0, 1.0), (-1000.0, 0.0, 0.0), (-50.0, e(-50.0), e(-50.0))]);
    check::<T>("sigmoid", VarOf::sigmoid, &[(1000.0, 1.0, 0.0), (-1000.0, 0.0, 0.0), (0.0, 0.5, 0.25)]);
    check::<T>("tanh", VarOf::tanh, &[(1000.0, 1.0, 0.0), (-1000.0, -1.0, 0.0), (1e-20, 1e-20, 1.0)]);
    check::<T>("mish", VarOf::mish, &[(1000.0, 1000.0, 1.0), (-1000.0, 0.0, 0.0), (0.0, 0.0, 0.6)]);
    check::<T>("swish", |x| x.swish(1.0), &[(1000.0, 1000.0, 1.0), (-1000.0, 0.0, 0.0), (0.0, 0.0, 0.5)]);
    check::<T>("gelu", VarOf::gelu, &[(1000.0, 1000.0, 1.0), (-1000.0, 0.0, 0.0), (0.0, 0.0, 0.5)]);
    check::<T>("gelu_tanh", VarOf::gelu_tanh, &[(1000.0, 1000.0, 1.0), (-1000.0, 0.0, 0.0), (0.0, 0.0, 0.5)]);
    check::<T>("relu", VarOf::relu, &[(1e30, 1e30, 1.0), (-1e30, 0.0, 0.0), (0.0, 0.0, 0.0)]);
    let loss = |t: f64| {
        move |x: &VarOf<T>| x.bce_with_logits(&VarOf::constant(TensorOf::scalar(T::from_f64(t))), Reduction::None)
    };
    check::<T>(
        "bce_with_logits of 1",
        loss(1.0),
        &[(1000.0, 0.0, 0.0), (-1000.0, 1000.0, -1.0), (0.0, 2f64.ln(), -0.5)],
    );
    check::<T>("bce_with_logits of 0", loss(0.0), &[(1000.0, 1000.0, 1.0), (-1000.0, 0.0, 0.0), (0.0, 2f64.ln(), 0.5)]);
}

#[test]
fn activations_and_losses_at_extreme_inputs() {
    all::<f32>();
    all::<f64>();
}

fn logits<T: Float>() {
    let x = VarOf::<T>::parameter(
        "x",
        TensorOf::from([[1000.0, -1000.0, 0.0], [-1000.0, -1000.0, -1000.0]].map(|r| r.map(T::from_f64))),
    );
    let log_p = x.log_softmax(1).value().to_f64().to_vec();
    assert_eq!(log_p[..3], [0.0, -2000.0, -1000.0]);
    assert!(log_p[3..].iter().all(|v| (v + 3f64.ln()).abs() < 1e-6));
    let loss = x.cross_entropy(&[1, 0].into());
    assert!((loss.item().to_f64() - f64::midpoint(2000.0, 3f64.ln())).abs() < 1e-3);
    let dx = loss.backward()[&x].to_f64().to_vec();
    let third = 1.0 / 6.0;
    for (a, b) in dx.iter().zip([0.5, -0.5, 0.0, third - 0.5, third, third]) {
        assert!((a - b).abs() < 1e-6, "{dx:?}");
    }
}

#[test]
fn log_softmax_and_cross_entropy_of_large_logits() {
    logits::<f32>();
    logits::<f64>();
}

#[test]
fn nan_propagates_through_relu_and_maximum() {
    let x = VarOf::<f32>::parameter("x", [1.0, f32::NAN, 3.0]);
    assert!(x.relu().value().at(&[1]).is_nan());
    assert!(x.max().item().is_nan());
    assert!(x.clamp(0.0, 1.0).value().at(&[1]).is_nan());
    assert!(
        x.reshape([1, 1, 1, 3])
            .max_pool2d(chainrule_tensor::Pool2dOptions { kernel: [1, 3], stride: [1, 3], ..1.into() })
            .item()
            .is_nan()
    );
}
