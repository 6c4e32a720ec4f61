//! Negative controls: the checks must detect wrong rules.

use chainrule_autograd::{CheckError, Operation, Rule, Var64, VarOf, gradcheck, gradgradcheck};
use chainrule_tensor::{Float, Tensor64, Unary};

type Backward<T> = fn(&Operation<T>, &VarOf<T>) -> Vec<Option<VarOf<T>>>;

/// The square with an arbitrary rule.
struct Wrong<T: Float>(Backward<T>);

impl<T: Float> Rule<T> for Wrong<T> {
    fn name(&self) -> &'static str {
        "wrong"
    }
    fn formula(&self) -> &'static str {
        "y = x²"
    }
    fn derivative(&self) -> &'static str {
        "dx = something else"
    }
    fn backward(&self, op: &Operation<T>, dy: &VarOf<T>, _needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        (self.0)(op, dy)
    }
}

fn square(x: &Var64, backward: Backward<f64>) -> Var64 {
    Var64::record(x.value().unary(Unary::Square), [x], Wrong(backward))
}

fn point() -> [Tensor64; 1] {
    [[0.5, -1.25, 2.0].into()]
}

#[test]
fn the_right_rule_passes() {
    gradcheck(|x| square(&x[0], |op, dy| vec![Some(2.0 * op.parent(0) * dy)]).exp(), &point()).unwrap();
    gradgradcheck(|x| square(&x[0], |op, dy| vec![Some(2.0 * op.parent(0) * dy)]).exp(), &point()).unwrap();
}

#[test]
fn wrong_derivatives_are_detected_and_reported() {
    let wrong: [Backward<f64>; 3] = [
        |op, dy| vec![Some(2.02 * op.parent(0) * dy)],
        |op, dy| vec![Some(op.parent(0) * dy)],
        |op, _| vec![Some(2.0 * op.parent(0))],
    ];
    for (i, backward) in wrong.into_iter().enumerate() {
        let error = gradcheck(|x| square(&x[0], backward).exp(), &point()).expect_err("a wrong rule");
        assert!(matches!(error, CheckError::Mismatch { input: 0, .. }), "control {i}: {error}");
    }
    let error = gradcheck(|x| square(&x[0], |op, dy| vec![Some(2.02 * op.parent(0) * dy)]), &point());
    let text = error.expect_err("one per cent too much").to_string();
    for piece in [
        "gradcheck: wrong has a wrong gradient",
        "output [2] with respect to input 0 at [2]",
        "analytic  4.04",
        "numeric ",
        "error     9.9",
        "step 1.2e-5",
    ] {
        assert!(text.contains(piece), "no '{piece}' in:\n{text}");
    }
}

#[test]
fn a_zero_gradient_is_detected() {
    let error = gradcheck(|x| square(&x[0], |_, dy| vec![Some(0.0 * dy)]), &point()).expect_err("zeros");
    assert!(matches!(error, CheckError::Mismatch { .. }), "the function does depend on x: {error}");
    let flat = |x: &[Var64]| 0.0 * &x[0];
    assert_eq!(gradcheck(flat, &point()), Err(CheckError::Zero { name: "multiply by number".into(), input: 0 }));
    let text = CheckError::Zero { name: "f".into(), input: 1 }.to_string();
    assert!(text.contains("input 1 is zero everywhere") && text.contains("allow_zero"), "{text}");
}

#[test]
fn a_wrong_second_derivative_is_detected() {
    // The first derivative is right, but its factor is treated as a constant.
    let backward: Backward<f64> = |op, dy| vec![Some(2.0 * op.parent(0).detach() * dy)];
    gradcheck(|x| square(&x[0], backward), &point()).unwrap();
    let error = gradgradcheck(|x| square(&x[0], backward), &point()).expect_err("a detached factor");
    assert!(error.to_string().starts_with("gradcheck: the gradient of wrong has a wrong gradient\n"), "{error}");
}

#[test]
fn a_function_that_is_not_finite_is_an_error() {
    let error = gradcheck(|x| x[0].log(), &[[0.0].into()]).expect_err("ln 0");
    assert_eq!(error, CheckError::NotFinite { name: "log".into(), output: vec![0], value: f64::NEG_INFINITY });
    let text = gradcheck(|x| x[0].log().exp(), &[[1.0, -1.0].into()]).expect_err("ln −1").to_string();
    assert_eq!(
        text,
        "gradcheck: the function is not finite at the point\n  output [1] is NaN\n  help: check at another point"
    );
}

fn panic_text(backward: Backward<f64>) -> String {
    let walk = std::panic::catch_unwind(|| square(&Var64::parameter("x", [1.0, 2.0]), backward).sum().backward());
    let panic = walk.expect_err("the walk panics");
    panic.downcast_ref::<String>().cloned().expect("a text")
}

#[test]
fn the_walk_checks_the_results_of_rules() {
    for (backward, text) in [
        ((|_, _| vec![]) as Backward<f64>, "the rule of 'wrong' returned 0 gradients for 1 parents"),
        (|_, _| vec![None], "the rule of 'wrong' returned no gradient for parent 0, which needs one"),
        (
            |_, dy| vec![Some(dy.sum())],
            "the rule of 'wrong' returned a gradient of shape () for parent 0 of shape (2,)",
        ),
    ] {
        assert!(panic_text(backward).contains(text), "{}", panic_text(backward));
    }
}
