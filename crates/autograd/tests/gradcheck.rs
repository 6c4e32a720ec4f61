//! What `gradcheck` says where differences cannot tell: at a kink, at the end of a domain, of a function that is not the same
//! twice. It must not say that a right rule is wrong, nor that a wrong one is a kink.

use std::cell::Cell;
use std::panic::catch_unwind;

use chainrule_autograd::{
    CheckError, CheckOptions, Operation, Rule, Var64, gradcheck, gradcheck_with, gradgradcheck, gradgradcheck_with,
};
use chainrule_tensor::{Key, Purpose, Tensor64};

type Checked = fn(&[Var64]) -> Var64;

fn text(result: Result<(), CheckError>) -> String {
    result.expect_err("the check fails").to_string()
}

#[test]
fn a_kink_at_the_point() {
    assert_eq!(
        text(gradcheck(|x| x[0].relu(), &[[1.0, 0.0].into()])),
        "gradcheck: relu may have a kink at or near the point\n  \
         of output [1] with respect to input 0 at [1]\n  \
         analytic        0.000000000000e0\n  \
         slope, left     0.000000000000e0\n  \
         slope, right    1.000000000000e0\n  \
         help: there is no single derivative at a kink; check at a point that is farther from it than the step 6.1e-6"
    );
}

/// Kinks, ties and jumps of other ops, at the point and within a step of it, alone and with nonlinear functions around.
#[test]
fn kinks_of_all_kinds() {
    let h = CheckOptions::default().step;
    // Each with the difference quotients to the left and to the right.
    let kinks: [(&str, Checked, f64, [f64; 2]); 7] = [
        ("abs", |x| x[0].abs(), 0.0, [-1.0, 1.0]),
        ("abs, within a step", |x| x[0].abs().exp(), 4e-6, [(8e-6 - h) / h, 1.0]),
        ("clamp at its bound", |x| x[0].clamp(-1.0, 0.5), 0.5, [1.0, 0.0]),
        ("leaky_relu", |x| x[0].leaky_relu(0.1).exp(), 0.0, [0.1, 1.0]),
        (
            "max pooling of equal pixels",
            |x| {
                let pixels = Var64::constant([1.0, 1.0, 0.0, 0.0]) * &x[0] + Var64::constant([0.0, 0.5, 0.0, 0.0]);
                (pixels * Var64::constant([2.0, 1.0, 0.0, 0.0])).reshape([1, 1, 2, 2]).max_pool2d(2)
            },
            0.5,
            [1.0, 2.0],
        ),
        ("relu, just beside", |x| x[0].relu().square().sqrt(), 2e-6, [2e-6 / h, 1.0]),
        ("a large slope", |x| 1e6 * x[0].relu(), 0.0, [0.0, 1e6]),
    ];
    for (name, f, x, [left_quotient, right_quotient]) in kinks {
        let error = gradcheck(f, &[[x].into()]).expect_err(name);
        let CheckError::Kink { left, right, .. } = error else { panic!("{name}: {error}") };
        let near = |a: f64, b: f64| (a - b).abs() <= 1e-4 * b.abs();
        assert!(near(left, left_quotient) && near(right, right_quotient), "{name}: {left} and {right}");
    }
    // The derivative of relu jumps.
    let error = gradgradcheck(|x| x[0].relu().square(), &[[0.0].into()]).expect_err("2·relu has a kink");
    assert!(matches!(error, CheckError::Kink { .. }), "{error}");
    let error = gradgradcheck(|x| x[0].abs() * &x[0], &[[1e-6].into()]).expect_err("2|x| has a kink");
    assert!(matches!(error, CheckError::Kink { .. }), "{error}");
}

/// The random directions of a large function say it too.
#[test]
fn a_kink_of_a_large_function() {
    let mut point = Tensor64::random_uniform(Key::new(1, Purpose::USER), 500).unary(chainrule_tensor::Unary::Add(0.5));
    point.make_mut()[123] = 0.0;
    let error = gradcheck(|x| x[0].relu().exp(), std::slice::from_ref(&point)).expect_err("one of 500 is 0");
    let CheckError::Kink { ref index, .. } = error else { panic!("{error}") };
    assert!(index.as_ref().is_none_or(|index| *index == [123]), "{error}");
}

/// The square with twice its gradient.
struct Twice;

impl Rule<f64> for Twice {
    fn name(&self) -> &'static str {
        "twice"
    }
    fn formula(&self) -> &'static str {
        "y = x²"
    }
    fn derivative(&self) -> &'static str {
        "dx = 4x · dy"
    }
    fn backward(&self, op: &Operation<f64>, dy: &Var64, _needs: &[bool]) -> Vec<Option<Var64>> {
        vec![Some(4.0 * op.parent(0) * dy)]
    }
}

fn twice(x: &Var64) -> Var64 {
    Var64::record(x.value().unary(chainrule_tensor::Unary::Square), [x], Twice)
}

/// |x| with the slope 3 on both sides.
struct Steep;

impl Rule<f64> for Steep {
    fn name(&self) -> &'static str {
        "steep"
    }
    fn formula(&self) -> &'static str {
        "y = |x|"
    }
    fn derivative(&self) -> &'static str {
        "dx = 3 · dy"
    }
    fn backward(&self, _op: &Operation<f64>, dy: &Var64, _needs: &[bool]) -> Vec<Option<Var64>> {
        vec![Some(3.0 * dy)]
    }
}

#[test]
fn a_wrong_rule_is_wrong_at_a_kink_and_beside_one() {
    // A slope that neither side has.
    let steep = |x: &[Var64]| Var64::record(x[0].value().unary(chainrule_tensor::Unary::Abs), [&x[0]], Steep);
    let error = gradcheck(steep, &[[0.0].into()]).expect_err("3 is not between −1 and 1");
    assert!(matches!(error, CheckError::Mismatch { .. }), "{error}");
    // A wrong rule in one element, a kink in another: the wrong rule is the news.
    let both = |x: &[Var64]| x[0].relu() + 0.01 * twice(&x[0]);
    let error = gradcheck(both, &[[0.0, 0.7].into()]).expect_err("a wrong rule");
    let CheckError::Mismatch { ref index, .. } = error else { panic!("{error}") };
    assert_eq!(*index, [1]);
    // A strong bend is no kink.
    gradcheck(|x| (100.0 * &x[0]).tanh(), &[[0.01].into()]).expect("it is smooth");
}

#[test]
fn a_function_that_differs_between_calls() {
    let step = Cell::new(0);
    let dropout = |x: &[Var64]| {
        step.set(step.get() + 1);
        x[0].dropout(0.5, Key::new(1, Purpose::USER).at_step(step.get()))
    };
    let point = [Tensor64::ones(64)];
    for result in [gradcheck(dropout, &point), gradgradcheck(dropout, &point)] {
        let text = text(result);
        assert!(text.starts_with("gradcheck: dropout differs between calls\n  output ["), "{text}");
        assert!(
            text.ends_with("of the same inputs\n  help: the result must depend on the inputs alone; fix the keys of dropout and of augmentation"),
            "{text}"
        );
    }
    // A function that counts its calls.
    let calls = Cell::new(0.0);
    let counting = |x: &[Var64]| {
        calls.set(calls.get() + 0.5);
        &x[0] + calls.get()
    };
    assert_eq!(
        text(gradcheck(counting, &[[1.0].into()])),
        "gradcheck: add number differs between calls\n  output [0] is 1.5e0, then 2e0, of the same inputs\n  \
         help: the result must depend on the inputs alone; fix the keys of dropout and of augmentation"
    );
}

#[test]
fn a_step_that_leaves_the_domain() {
    assert_eq!(
        text(gradcheck(|x| x[0].log(), &[[1.0, 1e-7].into()])),
        "gradcheck: log is not finite beside the point\n  output [1] is NaN where input 0 at [1] is moved by -6.1e-6\n  \
         help: check at a point that is farther from the end of the domain, or with a smaller step"
    );
    let smaller = CheckOptions { step: 1e-11, tolerance: 1e-3, ..CheckOptions::default() };
    gradcheck_with(|x| x[0].log(), &[[1e-7].into()], &smaller).expect("the help helps");
    let ends: [(Checked, f64); 3] =
        [(|x| x[0].sqrt(), 0.0), (|x| x[0].pow(0.5), 1e-6), (|x| (1.0 - x[0].square()).log(), 1.0 - 1e-7)];
    for (f, x) in ends {
        let error = gradcheck(f, &[[x].into()]).expect_err("beside the point it is NaN");
        assert!(matches!(error, CheckError::NotFiniteBeside { .. }), "{x}: {error}");
    }
    let mut large = Tensor64::ones(300);
    large.make_mut()[7] = 1e-9;
    let text = text(gradcheck(|x| x[0].log(), &[large]));
    assert!(text.contains("output [7] is NaN where a random direction in input 0 is moved by"), "{text}");
}

#[test]
fn options_outside_their_ranges_are_refused() {
    let check = |second: bool, options: CheckOptions| {
        let run = if second { gradgradcheck_with } else { gradcheck_with };
        let panic = catch_unwind(|| run(|x: &[Var64]| x[0].square(), &[[1.0].into()], &options)).unwrap_err();
        *panic.downcast::<String>().expect("a formatted text")
    };
    for second in [false, true] {
        for step in [0.0, -1e-6, f64::NAN, f64::INFINITY] {
            let text = check(second, CheckOptions { step, ..CheckOptions::default() });
            assert_eq!(text, format!("gradcheck: step is {step}\n  rule: 0 < step < ∞"));
        }
        for tolerance in [-1.0, f64::NAN, f64::INFINITY] {
            let text = check(second, CheckOptions { tolerance, ..CheckOptions::default() });
            assert_eq!(text, format!("gradcheck: tolerance is {tolerance}\n  rule: 0 ≤ tolerance < ∞"));
        }
    }
}
