//! A hyperparameter outside its range is an error that names it, its value and the range.

use std::panic::{AssertUnwindSafe, catch_unwind};

use chainrule_autograd::VarOf;
use chainrule_nn::{Adam, AdamW, Optimizer, Sgd};

/// The text of the panic of `body`.
fn panics<R>(body: impl FnOnce() -> R) -> Option<String> {
    let payload = catch_unwind(AssertUnwindSafe(|| drop(body()))).err()?;
    payload.downcast_ref::<String>().cloned()
}

/// Checks that each value panics with the text, in which `{}` stands for the value.
fn refused<R>(values: &[f64], text: &str, body: impl Fn(f64) -> R) {
    for &x in values {
        assert_eq!(panics(|| body(x)), Some(text.replace("{}", &x.to_string())), "for {x}");
    }
}

fn accepted<R>(values: &[f64], body: impl Fn(f64) -> R) {
    for &x in values {
        assert_eq!(panics(|| body(x)), None, "for {x}");
    }
}

const NAN: f64 = f64::NAN;
const INFINITY: f64 = f64::INFINITY;

/// Neither negative nor infinite nor NaN.
const NEGATIVE: [f64; 4] = [-1e-3, NAN, INFINITY, -INFINITY];

fn p() -> Vec<VarOf<f64>> {
    vec![VarOf::parameter("p", 1.0)]
}

#[test]
fn rates_of_every_optimizer() {
    refused(&NEGATIVE, "sgd: lr is {}\n  rule: 0 ≤ lr < ∞", |lr| Sgd::new(p(), lr));
    refused(&NEGATIVE, "sgd: lr is {}\n  rule: 0 ≤ lr < ∞", |lr| Sgd::new(p(), 0.1).group(p(), lr));
    refused(&NEGATIVE, "sgd: lr is {}\n  rule: 0 ≤ lr < ∞", |lr| Sgd::new(p(), 0.1).set_lr(lr));
    refused(&NEGATIVE, "adam: lr is {}\n  rule: 0 ≤ lr < ∞", |lr| Adam::new(p(), lr));
    refused(&NEGATIVE, "adam: lr is {}\n  rule: 0 ≤ lr < ∞", |lr| Adam::new(p(), 0.1).group(p(), lr));
    refused(&NEGATIVE, "adam: lr is {}\n  rule: 0 ≤ lr < ∞", |lr| Adam::new(p(), 0.1).set_lr(lr));
    refused(&NEGATIVE, "adamw: lr is {}\n  rule: 0 ≤ lr < ∞", |lr| AdamW::new(p(), lr));
    refused(&NEGATIVE, "adamw: lr is {}\n  rule: 0 ≤ lr < ∞", |lr| AdamW::new(p(), 0.1).set_lr(lr));
    accepted(&[0.0, 1e-300, 1e300], |lr| Sgd::new(p(), lr).group(p(), lr).set_lr(lr));
    accepted(&[0.0, 1e-300, 1e300], |lr| Adam::new(p(), lr).group(p(), lr).set_lr(lr));
    // The second group's rate overflows.
    refused(&[1e305], "sgd: lr of group 1 is inf\n  rule: 0 ≤ lr of group 1 < ∞", |lr| {
        Sgd::new(p(), 1e-10).group(p(), 1.0).set_lr(lr);
    });
}

#[test]
fn settings_of_sgd() {
    let sgd = || Sgd::new(p(), 0.1);
    refused(&[-0.1, 1.01, NAN, INFINITY], "sgd: momentum is {}\n  rule: 0 ≤ momentum ≤ 1", |x| sgd().momentum(x));
    refused(&[-0.1, 1.01, NAN, INFINITY], "sgd: dampening is {}\n  rule: 0 ≤ dampening ≤ 1", |x| {
        sgd().dampening(x)
    });
    refused(&NEGATIVE, "sgd: weight_decay is {}\n  rule: 0 ≤ weight_decay < ∞", |x| sgd().weight_decay(x));
    accepted(&[0.0, 0.9, 1.0], |x| sgd().momentum(x).dampening(x).weight_decay(x));
}

#[test]
fn nesterov_needs_momentum_and_no_dampening() {
    let text = |momentum: f64, dampening: f64| {
        Some(format!(
            "sgd: nesterov with momentum {momentum} and dampening {dampening}\n  rule: nesterov needs momentum > 0 and dampening 0; set the momentum before nesterov"
        ))
    };
    let sgd = || Sgd::new(p(), 0.1);
    assert_eq!(panics(|| sgd().nesterov(true)), text(0.0, 0.0));
    assert_eq!(panics(|| sgd().momentum(0.9).dampening(0.1).nesterov(true)), text(0.9, 0.1));
    assert_eq!(panics(|| sgd().momentum(0.9).nesterov(true).dampening(0.5)), text(0.9, 0.5));
    assert_eq!(panics(|| sgd().momentum(0.9).nesterov(true).momentum(0.0)), text(0.0, 0.0));
    assert_eq!(panics(|| sgd().momentum(0.9).nesterov(true).group(p(), 0.1).momentum(0.0)), text(0.0, 0.0));
    assert_eq!(panics(|| sgd().nesterov(false)), None);
    assert_eq!(panics(|| sgd().momentum(0.9).nesterov(true).group(p(), 0.1).nesterov(false).dampening(0.5)), None);
}

#[test]
fn settings_of_adam() {
    let adam = || Adam::new(p(), 0.1);
    let outside = [-0.1, 1.0, 1.5, NAN, INFINITY];
    refused(&outside, "adam: beta1 is {}\n  rule: 0 ≤ beta1 < 1", |x| adam().betas(x, 0.9));
    refused(&outside, "adam: beta2 is {}\n  rule: 0 ≤ beta2 < 1", |x| adam().betas(0.9, x));
    refused(&outside, "adamw: beta2 is {}\n  rule: 0 ≤ beta2 < 1", |x| AdamW::new(p(), 0.1).betas(0.0, x));
    refused(&NEGATIVE, "adam: eps is {}\n  rule: 0 ≤ eps < ∞", |x| adam().eps(x));
    refused(&NEGATIVE, "adam: weight_decay is {}\n  rule: 0 ≤ weight_decay < ∞", |x| adam().weight_decay(x));
    refused(&NEGATIVE, "adamw: weight_decay is {}\n  rule: 0 ≤ weight_decay < ∞", |x| {
        AdamW::new(p(), 0.1).weight_decay(x)
    });
    accepted(&[0.0, 0.999], |x| adam().betas(x, x).eps(x).weight_decay(x));
}
