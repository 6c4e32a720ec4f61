//! A hyperparameter outside its range is an error that names it, its value and the range.

use std::panic::{AssertUnwindSafe, catch_unwind};

use chainrule_autograd::{CrossEntropy, Var64, VarOf};
use chainrule_nn::init::{self, Fan, Nonlinearity};
use chainrule_nn::{
    Activation, Adagrad, Adam, AdamW, BatchNorm1d, BatchNorm2d, Checkpoint, Dropout, Dropout2d, GroupNorm,
    InstanceNorm2d, LayerNorm, Module, NAdam, Optimizer, PRelu, Progress, RmsProp, Schedule, Sequential, Sgd,
};
use chainrule_tensor::{Key, Purpose, Rng, TensorOf};

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

#[test]
fn settings_of_rms_prop() {
    let rms_prop = || RmsProp::new(p(), 0.1);
    let outside = [-0.1, 1.01, NAN, INFINITY];
    refused(&NEGATIVE, "rmsprop: lr is {}\n  rule: 0 ≤ lr < ∞", |lr| RmsProp::new(p(), lr));
    refused(&outside, "rmsprop: alpha is {}\n  rule: 0 ≤ alpha ≤ 1", |x| rms_prop().alpha(x));
    refused(&outside, "rmsprop: momentum is {}\n  rule: 0 ≤ momentum ≤ 1", |x| rms_prop().momentum(x));
    refused(&NEGATIVE, "rmsprop: eps is {}\n  rule: 0 ≤ eps < ∞", |x| rms_prop().eps(x));
    refused(&NEGATIVE, "rmsprop: weight_decay is {}\n  rule: 0 ≤ weight_decay < ∞", |x| rms_prop().weight_decay(x));
    accepted(&[0.0, 0.9, 1.0], |x| rms_prop().alpha(x).momentum(x).eps(x).weight_decay(x));
}

#[test]
fn settings_of_adagrad() {
    let adagrad = || Adagrad::new(p(), 0.1);
    let accumulator = "adagrad: initial_accumulator_value is {}\n  rule: 0 ≤ initial_accumulator_value < ∞";
    refused(&NEGATIVE, "adagrad: lr is {}\n  rule: 0 ≤ lr < ∞", |lr| Adagrad::new(p(), lr));
    refused(&NEGATIVE, "adagrad: lr_decay is {}\n  rule: 0 ≤ lr_decay < ∞", |x| adagrad().lr_decay(x));
    refused(&NEGATIVE, accumulator, |x| adagrad().initial_accumulator_value(x));
    refused(&NEGATIVE, "adagrad: eps is {}\n  rule: 0 ≤ eps < ∞", |x| adagrad().eps(x));
    refused(&NEGATIVE, "adagrad: weight_decay is {}\n  rule: 0 ≤ weight_decay < ∞", |x| adagrad().weight_decay(x));
    accepted(&[0.0, 0.9, 10.0], |x| adagrad().lr_decay(x).initial_accumulator_value(x).eps(x).weight_decay(x));
}

#[test]
fn settings_of_nadam() {
    let nadam = || NAdam::new(p(), 0.1);
    let outside = [-0.1, 1.0, 1.5, NAN, INFINITY];
    refused(&NEGATIVE, "nadam: lr is {}\n  rule: 0 ≤ lr < ∞", |lr| NAdam::new(p(), lr));
    refused(&outside, "nadam: beta1 is {}\n  rule: 0 ≤ beta1 < 1", |x| nadam().betas(x, 0.9));
    refused(&outside, "nadam: beta2 is {}\n  rule: 0 ≤ beta2 < 1", |x| nadam().betas(0.9, x));
    refused(&NEGATIVE, "nadam: momentum_decay is {}\n  rule: 0 ≤ momentum_decay < ∞", |x| {
        nadam().momentum_decay(x)
    });
    refused(&NEGATIVE, "nadam: eps is {}\n  rule: 0 ≤ eps < ∞", |x| nadam().eps(x));
    refused(&NEGATIVE, "nadam: weight_decay is {}\n  rule: 0 ≤ weight_decay < ∞", |x| nadam().weight_decay(x));
    accepted(&[0.0, 0.999], |x| nadam().betas(x, x).momentum_decay(x).eps(x).weight_decay(x));
}

#[test]
fn settings_of_schedules() {
    let lr = "schedule: lr is {}\n  rule: 0 ≤ lr < ∞";
    refused(&NEGATIVE, lr, Schedule::constant);
    refused(&NEGATIVE, lr, |x| Schedule::step(x, 3, 0.1));
    refused(&NEGATIVE, lr, |x| Schedule::cosine(x, 0.0, 3));
    refused(&NEGATIVE, "schedule: gamma is {}\n  rule: 0 ≤ gamma < ∞", |x| Schedule::step(0.1, 3, x));
    refused(&NEGATIVE, "schedule: end is {}\n  rule: 0 ≤ end < ∞", |x| Schedule::cosine(0.1, x, 3));
    refused(&NEGATIVE, "schedule: peak is {}\n  rule: 0 ≤ peak < ∞", |x| Schedule::one_cycle(x, 3));
    refused(&[0.0], "schedule: size is {}\n  rule: size ≥ 1", |_| Schedule::step(0.1, 0, 0.1));
    refused(&[0.0], "schedule: steps is {}\n  rule: steps ≥ 1", |_| Schedule::cosine(0.1, 0.0, 0));
    refused(&[1.0], "schedule: steps is {}\n  rule: steps ≥ 2", |_| Schedule::one_cycle(0.1, 1));
    refused(&[0.0], "schedule: steps is {}\n  rule: steps ≥ 1", |_| Schedule::triangle(0.1, 0, 0.2, 0.2, 0.1));
    refused(&NEGATIVE, "schedule: peak is {}\n  rule: 0 ≤ peak < ∞", |x| Schedule::triangle(x, 9, 0.2, 0.2, 0.1));
    refused(&NEGATIVE, "schedule: start is {}\n  rule: 0 ≤ start < ∞", |x| Schedule::triangle(0.1, 9, x, 0.2, 0.1));
    refused(&NEGATIVE, "schedule: end is {}\n  rule: 0 ≤ end < ∞", |x| Schedule::triangle(0.1, 9, 0.2, 0.2, x));
    refused(&[-0.1, 1.1, NAN], "schedule: rising is {}\n  rule: 0 ≤ rising ≤ 1", |x| {
        Schedule::triangle(0.1, 9, 0.2, x, 0.1)
    });
    accepted(&[0.0, 0.5, 3.0], |x| [Schedule::step(x, 1, x), Schedule::cosine(x, x, 1), Schedule::one_cycle(x, 2)]);
    refused(&NEGATIVE, lr, |x| Schedule::exponential(x, 0.9));
    refused(&NEGATIVE, "schedule: gamma is {}\n  rule: 0 ≤ gamma < ∞", |x| Schedule::exponential(0.1, x));
    refused(&[0.0], "schedule: steps is {}\n  rule: steps ≥ 1", |_| Schedule::polynomial(0.1, 0, 1.0));
    refused(&NEGATIVE, "schedule: power is {}\n  rule: 0 ≤ power < ∞", |x| Schedule::polynomial(0.1, 3, x));
    refused(&NEGATIVE, "schedule: start is {}\n  rule: 0 ≤ start < ∞", |x| Schedule::linear(x, 0.1, 3));
    refused(&NEGATIVE, "schedule: lr of step 2 is {}\n  rule: 0 ≤ lr of step 2 < ∞", |x| {
        Schedule::from_fn(4, |t| if t == 2 { x } else { 0.1 })
    });
    refused(&[0.0], "schedule: steps is {}\n  rule: steps ≥ 1", |_| Schedule::from_fn(0, |_| 0.1));
    refused(&[0.0], "schedule: number of schedules is {}\n  rule: number of schedules ≥ 1", |_| {
        Schedule::chained(Vec::new())
    });
    let in_turn = |milestones: Vec<u64>| Schedule::sequential(vec![Schedule::constant(0.1); 3], milestones);
    for milestones in [vec![], vec![3], vec![3, 3], vec![4, 3], vec![1, 2, 3]] {
        let text = format!(
            "schedule: 3 in sequence, with the milestones {milestones:?}\n  rule: one milestone less, increasing"
        );
        assert_eq!(panics(|| in_turn(milestones)), Some(text));
    }
    assert_eq!(in_turn(vec![1, 2]).lr(u64::MAX), 0.1);
    // Far after the end, and of more steps than an index has.
    assert_eq!(Schedule::from_fn(3, |t| t as f64).lr(u64::MAX), 2.0);
    // A count of 2³¹ decays is no negative exponent.
    assert_eq!(Schedule::step(0.1, 1, 0.5).lr(1 << 31), 0.0);
}

/// A schedule in a file is checked as one in a program.
#[test]
fn a_schedule_in_a_checkpoint_is_checked() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("state");
    let progress = Progress { schedule: Some(Schedule::step(0.1, 3, 0.5)), ..Progress::default() };
    Checkpoint::capture(&Sequential::<f64>::new(), &Sgd::new(p(), 0.1), &progress).save(&path).expect("it is saved");
    assert_eq!(Checkpoint::load(&path).expect("it is read").progress(), &progress);
    let mut bytes = std::fs::read(&path).expect("the file");
    let size = br#"\"size\":3"#;
    let at = bytes.windows(size.len()).position(|part| part == size).expect("the size");
    bytes[at + size.len() - 1] = b'0';
    std::fs::write(&path, bytes).expect("the file");
    let error = Checkpoint::load(&path).expect_err("a step of 0").to_string();
    assert!(error.contains("schedule: size is 0\n  rule: size ≥ 1"), "{error}");
}

/// Rates and hyperparameters in a checkpoint are read as the same bits.
#[test]
fn numbers_in_a_checkpoint_keep_their_bits() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state");
    let rate = |k: u32| 0.1 * 0.97f64.powi(k as i32) / f64::from(k + 3);
    let build = |scale: f64| {
        (0..500).fold(Sgd::<f32>::new(Vec::new(), scale * rate(500)), |sgd, k| {
            sgd.group(Vec::new(), scale * rate(k)).weight_decay(rate(k + 7))
        })
    };
    let net = Sequential::<f32>::new();
    let (saved, mut again) = (build(1.0), build(0.3));
    assert_ne!(again.groups(), saved.groups());
    Checkpoint::capture(&net, &saved, &Progress::default()).save(&path).unwrap();
    Checkpoint::load(&path).unwrap().restore(&net, &mut again).unwrap();
    assert_eq!(again.groups(), saved.groups());
    assert_eq!(again.groups()[1].lr.to_bits(), rate(0).to_bits());
}

#[test]
fn settings_of_layers() {
    refused(&[-0.1, 1.1, NAN], "BatchNorm2d: momentum is {}\n  rule: 0 ≤ momentum ≤ 1", |x| {
        BatchNorm2d::<f32>::new(2).momentum(x)
    });
    refused(&[-1e-5, 0.0, NAN, INFINITY], "BatchNorm1d: eps is {}\n  rule: 0 < eps < ∞", |x| {
        BatchNorm1d::<f32>::new(2).eps(x)
    });
    accepted(&[1e-12, 0.5, 1.0], |x| BatchNorm1d::<f32>::new(2).momentum(x).eps(x));
    refused(&[-0.1, 1.0, NAN], "dropout: p is {}\n  rule: 0 ≤ p < 1", |x| Dropout::new(x, &mut Rng::seed(1)));
    let x = Var64::constant([-1.0, 2.0]);
    refused(&[-0.1, 1.0, NAN], "dropout: p is {}\n  rule: 0 ≤ p < 1", |p| x.dropout(p, Key::new(1, Purpose::USER)));
    refused(&[-1e-5, 0.0, NAN, INFINITY], "LayerNorm: eps is {}\n  rule: 0 < eps < ∞", |x| {
        LayerNorm::<f32>::new(2).eps(x)
    });
    refused(&[-1e-5, 0.0, NAN], "GroupNorm: eps is {}\n  rule: 0 < eps < ∞", |x| GroupNorm::<f32>::new(1, 2).eps(x));
    refused(&[-1e-5, 0.0, NAN], "InstanceNorm2d: eps is {}\n  rule: 0 < eps < ∞", |x| {
        InstanceNorm2d::<f32>::new(2).eps(x)
    });
    refused(&[NAN, INFINITY], "PRelu: init is {}\n  rule: −∞ < init < ∞", |x| PRelu::<f32>::new(1, x));
    refused(&[-0.1, 1.0, NAN], "dropout2d: p is {}\n  rule: 0 ≤ p < 1", |x| Dropout2d::new(x, &mut Rng::seed(1)));
    for (layer, name) in [
        (Activation::LeakyRelu as fn(f64) -> Activation, "leaky_relu: slope is {}\n  rule: −∞ < slope < ∞"),
        (Activation::Elu, "elu: alpha is {}\n  rule: −∞ < alpha < ∞"),
        (Activation::Swish, "swish: beta is {}\n  rule: −∞ < beta < ∞"),
    ] {
        refused(&[NAN, INFINITY, -INFINITY], name, |number| layer(number).forward(&x));
        accepted(&[-2.0, 0.0, 1e300], |number| layer(number).forward(&x));
    }
    refused(&[NAN, INFINITY, -1.0, 0.0], "celu: α is {}\n  rule: a finite number above 0", |alpha| {
        Activation::Celu(alpha).forward(&x)
    });
}

#[test]
fn settings_of_initial_weights() {
    let w = Var64::parameter("w", TensorOf::zeros([2, 2]));
    let rng = || Rng::seed(1);
    let finite = [NAN, INFINITY, -INFINITY];
    refused(&finite, "init: value is {}\n  rule: −∞ < value < ∞", |x| init::constant(&w, x));
    refused(&finite, "init: low is {}\n  rule: −∞ < low < ∞", |x| init::uniform(&w, x, 1.0, &mut rng()));
    refused(&[-1.5, NAN, INFINITY], "init: high is {}\n  rule: −1 ≤ high < ∞", |x| {
        init::uniform(&w, -1.0, x, &mut rng());
    });
    refused(&finite, "init: mean is {}\n  rule: −∞ < mean < ∞", |x| init::normal(&w, x, 1.0, &mut rng()));
    refused(&NEGATIVE, "init: std is {}\n  rule: 0 ≤ std < ∞", |x| init::normal(&w, 0.0, x, &mut rng()));
    refused(&NEGATIVE, "init: gain is {}\n  rule: 0 ≤ gain < ∞", |x| init::xavier_uniform(&w, x, &mut rng()));
    refused(&NEGATIVE, "init: gain is {}\n  rule: 0 ≤ gain < ∞", |x| init::xavier_normal(&w, x, &mut rng()));
    refused(&finite, "init: slope is {}\n  rule: −∞ < slope < ∞", |x| {
        init::kaiming_normal(&w, Fan::In, Nonlinearity::LeakyRelu(x), &mut rng());
    });
}

#[test]
fn limits_of_clipping_and_label_smoothing() {
    let w = Var64::parameter("w", [3.0, 4.0]);
    let gradients = || (0.5 * w.square()).sum().backward();
    refused(&[-1.0, NAN, -INFINITY], "clip_norm: max_norm is {}\n  rule: 0 ≤ max_norm ≤ ∞", |x| {
        gradients().clip_norm(x)
    });
    refused(&[-1.0, NAN, -INFINITY], "clip_value: limit is {}\n  rule: 0 ≤ limit ≤ ∞", |x| {
        gradients().clip_value(x);
    });
    let mut same = gradients();
    assert_eq!(same.clip_norm(INFINITY).item(), 5.0);
    same.clip_value(INFINITY);
    assert_eq!(same[&w].to_vec(), [3.0, 4.0]);
    let x = Var64::constant([[1.0, 2.0]]);
    refused(
        &[-0.1, 1.1, NAN],
        "cross_entropy: label_smoothing is {}\n  rule: 0 ≤ label_smoothing ≤ 1",
        |label_smoothing| {
            let options = CrossEntropy { label_smoothing, ..CrossEntropy::default() };
            x.cross_entropy_with(&[0].into(), &options)
        },
    );
    let (one, zero) = (Var64::constant([1.0]), Var64::constant([0.0]));
    let rows = Var64::constant([[1.0], [2.0]]);
    refused(&NEGATIVE, "batch_norm: eps is {}\n  rule: 0 ≤ eps < ∞", |eps| rows.batch_norm(&one, &zero, eps));
    refused(&NEGATIVE, "batch_norm: eps is {}\n  rule: 0 ≤ eps < ∞", |eps| {
        rows.batch_norm_inference(&one, &zero, &zero.value(), &one.value(), eps)
    });
}
