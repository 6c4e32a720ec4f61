//! The ledger on small functions, and on a CNN with a wrong rule planted in each op in turn.

use std::panic::{AssertUnwindSafe, catch_unwind};

use chainrule_autograd::{Operation, Rule, Tangent, TangentSource, Var64, VarOf};
use chainrule_explain::ledger::{Column, Ledger, LedgerError, LedgerOptions, Verdict, ledger, plant};
use chainrule_tensor::{Conv2dOptions, Float, Key, Purpose, Tensor64, TensorOf, Unary};

fn random(stream: u32, shape: &[usize], size: f64) -> Tensor64 {
    Tensor64::random_normal(Key::new(1, Purpose::USER).at_step(stream), shape).unary(Unary::Mul(size))
}

/// `y = x / (1 + |x|)`, written by a user: its gradient is computed on tensors, so it is not recorded on dy.
struct Softsign;

impl<T: Float> Rule<T> for Softsign {
    fn name(&self) -> &'static str {
        "softsign"
    }
    fn formula(&self) -> &'static str {
        "y = x/(1 + |x|)"
    }
    fn derivative(&self) -> &'static str {
        "dx = dy / (1 + |x|)²"
    }
    fn backward(&self, op: &Operation<T>, dy: &VarOf<T>, _needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        let size = op.parent(0).detach().abs() + 1.0;
        vec![Some((dy.detach() / size.square()).detach())]
    }
}

fn softsign(x: &Var64) -> Var64 {
    let y = x.detach() / (x.detach().abs() + 1.0);
    VarOf::record(y.value().clone(), [x], Softsign)
}

/// The net of `chainrule mnist` on noise: conv · relu · max pool · conv · batch norm · relu · max pool · linear · softsign ·
/// linear · cross-entropy, in `f64`.
struct Cnn {
    x: Var64,
    labels: TensorOf<i32>,
    conv1: [Var64; 2],
    conv2: Var64,
    bn: [Var64; 2],
    fc1: [Var64; 2],
    fc2: [Var64; 2],
}

const SAME: Conv2dOptions = Conv2dOptions { stride: [1, 1], padding: [1, 1], dilation: [1, 1], groups: 1 };

impl Cnn {
    fn new() -> Self {
        let parameter = |name: &str, stream, shape: &[usize], size| Var64::parameter(name, random(stream, shape, size));
        Self {
            x: Var64::constant(random(0, &[2, 1, 28, 28], 1.0)),
            labels: [3, 7].into(),
            conv1: [parameter("conv1.weight", 1, &[8, 1, 3, 3], 0.3), parameter("conv1.bias", 2, &[8], 0.1)],
            conv2: parameter("conv2.weight", 3, &[16, 8, 3, 3], 0.1),
            bn: [parameter("bn.weight", 4, &[16], 1.0), parameter("bn.bias", 5, &[16], 0.3)],
            fc1: [parameter("fc1.weight", 6, &[32, 784], 0.04), parameter("fc1.bias", 7, &[32], 0.1)],
            fc2: [parameter("fc2.weight", 8, &[10, 32], 0.2), parameter("fc2.bias", 9, &[10], 0.1)],
        }
    }

    /// `fused`: the first three layers, and the second relu with its pooling, are one op each.
    fn loss(&self, fused: bool) -> Var64 {
        let [w, b] = &self.conv1;
        let x = if fused {
            self.x.conv2d_relu_max_pool2d(w, Some(b), SAME, 2)
        } else {
            self.x.conv2d(w, Some(b), SAME).relu().max_pool2d(2)
        };
        let x = x.conv2d(&self.conv2, None, SAME).batch_norm(&self.bn[0], &self.bn[1], 1e-5).0;
        let x = if fused { x.relu_max_pool2d(2) } else { x.relu().max_pool2d(2) };
        let h = softsign(&x.flatten().linear(&self.fc1[0], Some(&self.fc1[1])));
        let weights = (&self.fc1[1] * &self.fc1[1]).sum() * 1e-2;
        h.linear(&self.fc2[0], Some(&self.fc2[1])).cross_entropy(&self.labels) + weights
    }
}

fn few(samples: usize) -> LedgerOptions {
    LedgerOptions { samples, ..LedgerOptions::default() }
}

fn all_agree(ledger: &Ledger, at_least: usize) {
    assert!(ledger.passed(), "{ledger}");
    assert!(ledger.count(Verdict::Agree) >= at_least, "{ledger}");
    assert!(ledger.guilty.is_none());
    assert!(ledger.to_string().lines().all(|line| line.chars().count() <= 80), "{ledger}");
}

#[test]
fn the_columns_of_a_cnn_agree() {
    let net = Cnn::new();
    for fused in [false, true] {
        let ledger = ledger(|| net.loss(fused), &few(200)).unwrap();
        assert_eq!((ledger.rows.len(), ledger.partials), (200, 72 + 8 + 1152 + 32 + 25_088 + 32 + 330));
        all_agree(&ledger, 195);
        let names: std::collections::BTreeSet<&str> = ledger.rows.iter().map(|row| &*row.parameter).collect();
        assert_eq!(names.len(), 9, "each parameter has a share");
        let nonzero = ledger.rows.iter().filter(|row| row.reverse.abs() > 1e-6).count();
        assert!(nonzero > 150, "{nonzero} rows say something");
    }
}

#[test]
fn a_wrong_rule_in_any_op_is_named() {
    let net = Cnn::new();
    let mistakes: [fn(usize, Var64) -> Var64; 4] =
        [|_, dx| 1.01 * dx, |_, dx| -dx, |_, dx| &dx + dx.abs(), |i, dx| if i == 0 { 0.5 * dx } else { dx }];
    let ops = [
        ("conv2d", false),
        ("relu", false),
        ("max_pool2d", false),
        ("batch_norm", false),
        ("reshape", false),
        ("linear", false),
        ("softsign", false),
        ("cross_entropy", false),
        ("sum_to", false),
        ("mul", false),
        ("conv2d_relu_max_pool2d", true),
        ("relu_max_pool2d", true),
    ];
    for (i, (op, fused)) in ops.into_iter().enumerate() {
        let mistake = mistakes[i % mistakes.len()];
        let wrong = ledger(|| plant(op, mistake, || net.loss(fused)), &few(40)).unwrap();
        let found = wrong.guilty.as_ref().map(|guilty| (&*guilty.rule, guilty.column));
        assert!(!wrong.passed(), "{op} {i}");
        assert_eq!(found, Some((op, Column::Reverse)), "{op} {i}: {wrong}");
        let text = wrong.to_string();
        assert!(text.contains(&format!("The wrong rule is that of '{op}'")), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }
}

#[test]
fn of_two_users_of_a_variable_the_wrong_one_is_named() {
    let (a, b) = (Var64::parameter("a", [0.3, -0.7]), Var64::parameter("b", [1.1, 0.4]));
    let f = || {
        let h = (&a * &b).tanh();
        (h.sigmoid() * h.square() + h.exp()).sum()
    };
    for op in ["sigmoid", "square", "exp", "tanh", "mul"] {
        let wrong = ledger(|| plant(op, |_, dx| 1.001 * dx, f), &LedgerOptions::default()).unwrap();
        assert_eq!(wrong.guilty.expect("found").rule, op);
    }
}

/// The square, with a wrong tangent.
struct Square;

impl Rule<f64> for Square {
    fn name(&self) -> &'static str {
        "square"
    }
    fn formula(&self) -> &'static str {
        "y = x²"
    }
    fn derivative(&self) -> &'static str {
        "dx = 2x · dy"
    }
    fn backward(&self, op: &Operation<f64>, dy: &Var64, _needs: &[bool]) -> Vec<Option<Var64>> {
        vec![Some(2.0 * op.parent(0) * dy)]
    }
    fn tangent(&self, op: &Operation<f64>, dx: &[Option<Var64>]) -> Option<Tangent<f64>> {
        dx[0].as_ref().map(|dx| Tangent::forward(op.parent(0) * dx))
    }
}

#[test]
fn a_wrong_tangent_is_named() {
    let w = Var64::parameter("w", [0.5, -1.5]);
    let f = || {
        let h = w.tanh();
        Var64::record(h.value().unary(Unary::Square), [&h], Square).exp().sum()
    };
    let wrong = ledger(f, &LedgerOptions::default()).unwrap();
    assert_eq!(wrong.count(Verdict::ForwardWrong), 2);
    let guilty = wrong.guilty.as_ref().expect("found");
    assert_eq!((&*guilty.rule, guilty.column), ("square", Column::Forward));
    assert!(wrong.to_string().contains("The wrong tangent is that of 'square'"), "{wrong}");
}

#[test]
fn each_row_tells_whether_forward_mode_is_independent() {
    let w = Var64::parameter("w", [[0.5, -1.5], [0.25, 1.0]]);
    let source = |f: &dyn Fn() -> Var64| ledger(f, &LedgerOptions::default()).unwrap().rows[0].source;
    assert_eq!(source(&|| w.matmul(&w).sum()), TangentSource::Forward);
    assert_eq!(source(&|| w.tanh().sum()), TangentSource::Slope);
    assert_eq!(source(&|| w.max_axes(&[0], false).sum()), TangentSource::Backward);
    assert_eq!(source(&|| softsign(&w).sum()), TangentSource::OneHot);
}

#[test]
fn kinks_are_named_and_no_errors() {
    let w = Var64::parameter("w", [0.0, 1.0, -2.0]);
    let at_zero = ledger(|| (2.0 * &w).relu().sum(), &LedgerOptions::default()).unwrap();
    assert!(at_zero.passed(), "{at_zero}");
    assert_eq!([Verdict::Kink, Verdict::Agree].map(|v| at_zero.count(v)), [1, 2]);
    let kink = at_zero.rows[0].kink.as_ref().expect("named");
    assert_eq!((&*kink.rule, &kink.index[..]), ("relu", &[0][..]));
    assert!(at_zero.to_string().contains("relu has a kink at [0]"), "{at_zero}");

    let tied = Var64::parameter("tied", Tensor64::from([1.0, 3.0, 3.0, 2.0]).reshape([1, 1, 2, 2]));
    let pooled = ledger(|| tied.max_pool2d(2).square().sum(), &LedgerOptions::default()).unwrap();
    assert_eq!([Verdict::Kink, Verdict::Agree].map(|v| pooled.count(v)), [2, 2], "{pooled}");
    assert_eq!(pooled.rows[1].kink.as_ref().expect("named").rule, "max_pool2d");
    // A wrong rule is no kink, even if there are kinks.
    let wrong = ledger(
        || plant("max_pool2d", |_, dx| 1.5 * dx, || tied.max_pool2d(2).square().sum()),
        &LedgerOptions::default(),
    );
    assert!(!wrong.unwrap().passed());
}

#[test]
fn the_end_of_a_domain_is_named_and_no_error() {
    let w = Var64::parameter("w", [0.0, 1.0]);
    let root = ledger(|| w.sqrt().sum(), &LedgerOptions::default()).unwrap();
    assert!(root.passed(), "{root}");
    // The tangent along w[1] has the slope at w[0], ∞·0.
    assert_eq!([Verdict::Edge, Verdict::Agree].map(|v| root.count(v)), [2, 0], "{root}");
    assert!(root.to_string().contains("\n2 edge: the function or a slope is not finite there\n"), "{root}");
    let w = Var64::parameter("w", [1e-9, 1.0]);
    let log = ledger(|| w.log().sum(), &LedgerOptions::default()).unwrap();
    assert_eq!([Verdict::Edge, Verdict::Agree].map(|v| log.count(v)), [1, 1], "{log}");
    // A gradient that is not finite, of a function that is finite all around, is wrong.
    let nan = |_, dx: Var64| dx * f64::NAN;
    assert!(!ledger(|| plant("exp", nan, || w.exp().sum()), &LedgerOptions::default()).unwrap().passed());
}

#[test]
fn functions_that_cannot_be_checked_are_errors() {
    let w = Var64::parameter("w", [1.0, 0.0]);
    let error = |f: &dyn Fn() -> Var64| ledger(f, &LedgerOptions::default()).expect_err("no ledger");
    assert!(matches!(error(&|| w.square()), LedgerError::NotScalar { .. }));
    assert!(matches!(error(&|| Var64::constant(1.0)), LedgerError::NoParameters));
    assert!(matches!(error(&|| w.log().sum()), LedgerError::NotFinite { .. }));
    let calls = std::cell::Cell::new(0.0);
    let counting = || {
        calls.set(calls.get() + 1.0);
        w.sum() + calls.get()
    };
    let error = error(&counting);
    assert!(matches!(error, LedgerError::NotRepeatable { .. }));
    assert!(error.to_string().contains("gave 2e0 and 3e0"), "{error}");
}

#[test]
fn parameters_have_their_values_afterwards() {
    let net = Cnn::new();
    let before = net.conv2.value().clone();
    let _ = ledger(|| net.loss(true), &few(20)).unwrap();
    assert_eq!(net.conv2.value().to_vec(), before.to_vec());
}

#[test]
fn limits_outside_their_ranges_are_refused() {
    let w = Var64::parameter("w", [0.5, -1.5]);
    let text = |options: LedgerOptions| {
        let panic = catch_unwind(AssertUnwindSafe(|| ledger(|| w.square().sum(), &options))).unwrap_err();
        *panic.downcast::<String>().expect("a formatted text")
    };
    for x in [-1.0, f64::NAN, f64::INFINITY] {
        let tolerance = text(LedgerOptions { tolerance: x, ..LedgerOptions::default() });
        assert_eq!(tolerance, format!("ledger: tolerance is {x}\n  rule: 0 ≤ tolerance < ∞"));
        let floor = text(LedgerOptions { floor: x, ..LedgerOptions::default() });
        assert_eq!(floor, format!("ledger: floor is {x}\n  rule: 0 ≤ floor < ∞"));
    }
}
