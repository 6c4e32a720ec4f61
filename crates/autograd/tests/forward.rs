//! Forward mode: walks over recorded graphs, tangents that are derived from `backward`, and the functions of it.

use chainrule_autograd::{Operation, Rule, TangentSource, Var64, VarOf, hessian, hvp, jacobian, jvp, no_grad, vjp};
use chainrule_tensor::{Float, Tensor64, Unary};

/// The backward rule of a test op.
type Backward = fn(&Operation<f64>, &Var64) -> Vec<Option<Var64>>;

/// `y = a²·b` with a given backward rule and no tangent of its own.
struct Given(Backward);

impl Rule<f64> for Given {
    fn name(&self) -> &'static str {
        "given"
    }
    fn formula(&self) -> &'static str {
        "y = a² · b"
    }
    fn derivative(&self) -> &'static str {
        "da = 2a · b · dy, db = a² · dy"
    }
    fn backward(&self, op: &Operation<f64>, dy: &Var64, _needs: &[bool]) -> Vec<Option<Var64>> {
        (self.0)(op, dy)
    }
}

fn given(a: &Var64, b: &Var64, rule: Backward) -> Var64 {
    Var64::record((a.square() * b).value().clone(), [a, b], Given(rule))
}

/// Written on variables.
fn on_variables(op: &Operation<f64>, dy: &Var64) -> Vec<Option<Var64>> {
    let (a, b) = (op.parent(0), op.parent(1));
    vec![Some(2.0 * a * b * dy), Some(a.square() * dy)]
}

/// Written on tensors: the results are not recorded on dy.
fn on_tensors(op: &Operation<f64>, dy: &Var64) -> Vec<Option<Var64>> {
    on_variables(op, dy).into_iter().map(|dx| dx.map(|dx| dx.detach())).collect()
}

/// Only db is recorded on dy.
fn half(op: &Operation<f64>, dy: &Var64) -> Vec<Option<Var64>> {
    vec![on_tensors(op, dy).remove(0), on_variables(op, dy).remove(1)]
}

/// Only a part of each gradient is recorded on dy.
fn partly(op: &Operation<f64>, dy: &Var64) -> Vec<Option<Var64>> {
    let parts = on_variables(op, dy).into_iter().zip(on_tensors(op, dy));
    parts.map(|(a, b)| Some(0.25 * a.expect("given") + 0.75 * b.expect("given"))).collect()
}

#[test]
fn a_tangent_without_a_rule_is_derived_from_backward() {
    let (a, b) = (Var64::parameter("a", [1.0, 2.0]), Var64::parameter("b", [3.0, 5.0]));
    let (da, db) = (Var64::constant([1.0, 10.0]), Var64::constant([100.0, 1000.0]));
    for (rule, source) in [
        (on_variables as Backward, [TangentSource::Backward; 3]),
        (on_tensors, [TangentSource::OneHot; 3]),
        (half, [TangentSource::OneHot, TangentSource::Backward, TangentSource::OneHot]),
        (partly, [TangentSource::OneHot; 3]),
    ] {
        let y = given(&a, &b, rule);
        let along = [vec![(&a, &da)], vec![(&b, &db)], vec![(&a, &da), (&b, &db)]];
        let expected = [[6.0, 200.0], [100.0, 4000.0], [106.0, 4200.0]];
        for ((seeds, expected), source) in along.iter().zip(expected).zip(source) {
            let tangent = y.tangent(seeds);
            assert_eq!((tangent.value.value().to_vec(), tangent.source), (expected.to_vec(), source));
            let unrecorded = no_grad(|| y.tangent(seeds));
            assert_eq!(unrecorded.value.value().to_vec(), expected);
            assert!(!unrecorded.value.requires_grad());
        }
    }
}

#[test]
fn gradients_written_on_tensors_that_are_zero_make_a_zero_tangent() {
    let (a, b) = (Var64::parameter("a", [0.0]), Var64::parameter("b", [3.0]));
    let one = Var64::constant([1.0]);
    let tangent = given(&a, &b, on_tensors).tangent(&[(&a, &one), (&b, &one)]);
    assert_eq!((tangent.value.value().to_vec(), tangent.source), (vec![0.0], TangentSource::Backward));
}

#[test]
fn a_derived_tangent_can_be_differentiated() {
    let (a, b) = (Var64::parameter("a", 2.0), Var64::parameter("b", 5.0));
    let one = Var64::constant(1.0);
    let tangent = given(&a, &b, on_variables).tangent(&[(&a, &one)]).value; // 2ab
    let gradients = tangent.backward();
    assert_eq!([gradients[&a].item(), gradients[&b].item()], [10.0, 4.0]);
}

#[test]
fn the_least_independent_source_of_a_path_is_reported() {
    let (x, one) = (Var64::parameter("x", 0.5), Var64::constant(1.0));
    let source = |y: &Var64| y.tangent(&[(&x, &one)]).source;
    let product = &x * &x;
    assert_eq!(source(&product), TangentSource::Forward);
    assert_eq!(source(&(product.sigmoid() * &x)), TangentSource::Slope);
    assert_eq!(source(&(given(&x, &product, on_tensors).sigmoid() * &x)), TangentSource::OneHot);
    assert_eq!(source(&given(&Var64::parameter("other", 1.0), &product, on_tensors)), TangentSource::OneHot);
    assert!(TangentSource::Forward.is_independent() && !TangentSource::Slope.is_independent());
}

#[test]
fn intermediate_variables_and_named_constants_can_be_seeds() {
    let (x, w) = (Var64::constant([1.0, 2.0]).named("x"), Var64::parameter("w", [3.0, 4.0]));
    let h = &w * &x;
    let y = (&h * &h).sum();
    let v = Var64::constant([1.0, 1.0]);
    assert_eq!(y.tangent(&[(&h, &v)]).value.item(), 2.0 * (3.0 + 8.0));
    assert_eq!(y.tangent(&[(&x, &v)]).value.item(), 2.0 * (3.0 * 3.0 + 8.0 * 4.0));
    // The tangent of a seed is the given one, although h depends on w.
    assert_eq!(y.tangent(&[(&h, &v), (&w, &v)]).value.item(), 22.0);
    assert_eq!(y.tangent(&[(&h, &v), (&h, &v)]).value.item(), 44.0);
    let apart = Var64::parameter("apart", 0.0);
    assert_eq!(y.tangent(&[(&apart, &Var64::constant(1.0))]).value.item(), 0.0);
}

#[test]
fn a_long_chain_needs_no_recursion() {
    let x = Var64::parameter("x", 1.0);
    let y = (0..100_000).fold(x.clone(), |y, _| y + 1.0);
    assert_eq!(y.tangent(&[(&x, &Var64::constant(3.0))]).value.item(), 3.0);
}

#[test]
#[should_panic(expected = "parameter 'w' was changed after 'mul' had used it")]
fn a_parameter_that_was_changed_is_named() {
    let w = Var64::parameter("w", [1.0, 2.0]);
    let y = &w * &w;
    w.update(|value| *value = Tensor64::from([3.0, 4.0]));
    let _ = y.tangent(&[(&w, &Var64::constant([1.0, 1.0]))]);
}

#[test]
#[should_panic(expected = "the tangent of 'w' has shape (3,)\n  rule: it has the shape of the variable, (2,)")]
fn a_seed_of_another_shape_is_named() {
    let w = Var64::parameter("w", [1.0, 2.0]);
    let _ = w.square().tangent(&[(&w, &Var64::constant([1.0, 1.0, 1.0]))]);
}

#[test]
#[should_panic(expected = "a seed is a constant without a name")]
fn a_constant_without_a_name_is_no_seed() {
    let x = Var64::constant(1.0);
    let _ = (Var64::parameter("w", 2.0) * &x).tangent(&[(&x, &Var64::constant(1.0))]);
}

/// `f(a, b) = (a₀²·b, a₁·b³)`.
fn f(x: &[Var64]) -> Var64 {
    let part = |i: usize| x[0].narrow(0, i..i + 1);
    Var64::concat(&[&(part(0).square() * &x[1]), &(part(1) * x[1].pow(3.0))], 0)
}

fn point() -> [Var64; 2] {
    [Var64::constant([2.0, 3.0]), Var64::constant([5.0])]
}

#[test]
fn products_with_the_jacobian_by_hand() {
    let (y, dy) = jvp(f, &point(), &[Var64::constant([1.0, 10.0]), Var64::constant([100.0])]);
    assert_eq!(y.value().to_vec(), [20.0, 375.0]);
    assert_eq!(dy.value().to_vec(), [20.0 + 400.0, 1250.0 + 22_500.0]);
    let (y, dx) = vjp(f, &point(), &Var64::constant([1.0, 10.0]));
    assert_eq!(y.value().to_vec(), [20.0, 375.0]);
    assert_eq!(dx[0].value().to_vec(), [20.0, 1250.0]);
    assert_eq!(dx[1].value().to_vec(), [4.0 + 2250.0]);
    let j = jacobian(f, &point());
    assert_eq!(*j[0].value(), [[20.0, 0.0], [0.0, 125.0]].into());
    assert_eq!(*j[1].value(), [[4.0], [225.0]].into());
}

#[test]
fn products_with_the_hessian_by_hand() {
    let g = |x: &[Var64]| f(x).sum();
    let h = hessian(g, &point());
    assert_eq!(*h[0][0].value(), [[10.0, 0.0], [0.0, 0.0]].into());
    assert_eq!(*h[0][1].value(), [[4.0], [75.0]].into());
    assert_eq!(*h[1][0].value(), [[4.0, 75.0]].into());
    assert_eq!(*h[1][1].value(), [[90.0]].into());
    let (y, hv) = hvp(g, &point(), &[Var64::constant([1.0, 10.0]), Var64::constant([100.0])]);
    assert_eq!(y.item(), 395.0);
    assert_eq!(hv[0].value().to_vec(), [10.0 + 400.0, 7500.0]);
    assert_eq!(hv[1].value().to_vec(), [4.0 + 750.0 + 9000.0]);
}

#[test]
fn results_can_be_differentiated_with_respect_to_inputs_and_captured_variables() {
    let (x, w) = (Var64::parameter("x", 2.0), Var64::parameter("w", 5.0));
    let cube = |x: &[Var64]| &w * x[0].pow(3.0);
    let one = [Var64::constant(1.0)];
    let both = |y: &Var64| y.gradients(&[&x, &w]).iter().map(Var64::item).collect::<Vec<_>>();
    let inputs = [x.clone()];
    assert_eq!(both(&jvp(cube, &inputs, &one).1), [60.0, 12.0], "6wx and 3x²");
    assert_eq!(both(&vjp(cube, &inputs, &one[0]).1[0]), [60.0, 12.0]);
    assert_eq!(both(&jacobian(cube, &inputs)[0]), [60.0, 12.0]);
    assert_eq!(both(&hvp(cube, &inputs, &one).1[0]), [30.0, 12.0], "6w and 6x");
    assert_eq!(both(&hessian(cube, &inputs)[0][0]), [30.0, 12.0]);
    no_grad(|| {
        let (y, dy) = jvp(cube, &inputs, &one);
        assert_eq!([y.item(), dy.item()], [40.0, 60.0]);
        assert!(!y.requires_grad() && !dy.requires_grad());
        assert_eq!(hessian(cube, &inputs)[0][0].item(), 60.0);
    });
}

#[test]
fn two_inputs_may_be_the_same_variable_and_an_input_may_be_ignored() {
    let x = Var64::parameter("x", 3.0);
    let inputs = [x.clone(), x];
    let j = jacobian(|x| x[0].square() * &x[1], &inputs);
    assert_eq!([j[0].item(), j[1].item()], [18.0, 9.0]);
    let ignoring = |x: &[Var64]| x[1].square();
    let (one, two) = (Var64::constant(1.0), Var64::constant(2.0));
    assert_eq!(jvp(ignoring, &inputs, &[one.clone(), two]).1.item(), 12.0);
    let (_, dx) = vjp(ignoring, &inputs, &one);
    assert_eq!([dx[0].item(), dx[1].item()], [0.0, 6.0]);
    assert_eq!(hessian(ignoring, &inputs)[0][1].item(), 0.0);
    assert_eq!(hessian(|_| Var64::constant(1.0), &inputs)[1][1].item(), 0.0);
    let empty = Var64::constant(Tensor64::zeros(0));
    assert_eq!(jacobian(|x| x[0].sum(), &[empty])[0].shape(), [0]);
}

#[test]
#[should_panic(expected = "hessian: the function has an output of shape (2,)")]
fn the_hessian_of_a_vector_is_an_error() {
    let _ = hessian(f, &point());
}

#[test]
#[should_panic(expected = "jvp: v[1] has shape ()\n  rule: it has the shape of the input, (1,)")]
fn a_direction_of_another_shape_is_an_error() {
    let _ = jvp(f, &point(), &[Var64::constant([1.0, 1.0]), Var64::constant(1.0)]);
}

#[test]
fn the_tangent_of_a_generic_rule_in_f32_is_derived_too() {
    struct Cube;
    impl<T: Float> Rule<T> for Cube {
        fn name(&self) -> &'static str {
            "cube"
        }
        fn formula(&self) -> &'static str {
            "y = x³"
        }
        fn derivative(&self) -> &'static str {
            "dx = 3x² · dy"
        }
        fn backward(&self, op: &Operation<T>, dy: &VarOf<T>, _needs: &[bool]) -> Vec<Option<VarOf<T>>> {
            vec![Some(3.0 * op.parent(0).square() * dy)]
        }
    }
    let x = VarOf::<f32>::constant([2.0, -1.0]);
    let (_, dy) = jvp(
        |x| VarOf::record(x[0].value().unary(Unary::Pow(3.0)), [&x[0]], Cube),
        &[x],
        &[VarOf::constant([1.0, 10.0])],
    );
    assert_eq!(dy.value().to_vec(), [12.0, 30.0]);
}
