//! What is computed again has the same bits as what was kept.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use chainrule_autograd::{
    Observer, Operation, Rule, Var64, VarOf, computed_once, gradcheck, gradgradcheck, hvp, jvp, recompute,
};
use chainrule_tensor::Tensor64;

/// A recurrent step in which x has two uses and w three.
fn step(x: &Var64, w: &Var64) -> Var64 {
    (x * w).sin() + (x * w.exp()).tanh() * w
}

/// Four steps that share x's and w's, with uses of both around them: the sums of gradients have many terms.
fn steps(x: &Var64, w: &Var64, again: bool) -> Var64 {
    let run = |x: &Var64| {
        if !again {
            return step(x, w);
        }
        let w = w.clone();
        recompute(move |x| step(&x[0], &w), std::slice::from_ref(x))
    };
    let mut h = x.clone();
    for _ in 0..4 {
        h = run(&h) + x * 0.3 + w.square();
    }
    (h * x * w).sum()
}

fn inputs() -> (Var64, Var64) {
    let values = |seed: f64| -> [f64; 5] { std::array::from_fn(|i| ((i + 1) as f64 * seed).sin()) };
    (Var64::parameter("x", values(1.3)), Var64::parameter("w", values(2.1)))
}

#[test]
fn gradients_have_the_same_bits_and_those_of_second_order_agree() {
    let (x, w) = inputs();
    let [kept, again] = [false, true].map(|again| steps(&x, &w, again));
    assert_eq!(kept.item(), again.item());
    let (a, b) = (kept.backward(), again.backward());
    assert_eq!((&a[&x], &a[&w]), (&b[&x], &b[&w]));
    let second = |loss: &Var64| {
        let [dx, dw] = <[Var64; 2]>::try_from(loss.gradients(&[&x, &w])).expect("two");
        let gradients = ((dx * &w).sin().sum() + dw.square().sum()).backward();
        [&x, &w].map(|var| gradients[var].to_vec())
    };
    for (kept, again) in second(&kept).iter().flatten().zip(second(&again).iter().flatten()) {
        assert!((kept - again).abs() <= 1e-13 * kept.abs().max(1.0), "{kept} is not {again}");
    }
    // One of the two alone, whose way leads through all steps.
    let dw = |loss: &Var64| loss.gradient(&w).value().to_vec();
    assert_eq!(dw(&kept), dw(&again));
}

#[test]
fn nested_functions_and_repeated_inputs_have_the_same_bits() {
    let (x, w) = inputs();
    let captured = w.clone();
    let nested = recompute(
        move |x| {
            let w = captured.clone();
            let inner = recompute(move |x| step(&x[0], &w) * &x[1], &[x[0].clone(), x[1].clone()]);
            inner * &captured + &x[0]
        },
        &[x.clone(), x.clone()],
    );
    let kept = step(&x, &w) * &x * &w + &x;
    let (a, b) = (kept.sum().backward(), nested.sum().backward());
    assert_eq!((&a[&x], &a[&w]), (&b[&x], &b[&w]));
}

#[test]
fn the_rule_agrees_with_finite_differences_in_both_modes() {
    let f = |x: &[Var64]| {
        let w = x[1].clone();
        recompute(move |x| step(&x[0], &w), &x[..1]).sum()
    };
    let (x, w) = inputs();
    let values = [x.value().clone(), w.value().clone()];
    gradcheck(f, &values).unwrap();
    gradgradcheck(f, &values).unwrap();
    // Forward mode, and forward over reverse.
    let along = [Var64::constant([1.0, -1.0, 0.5, 2.0, 0.0]), Var64::constant([0.25; 5])];
    let kept = |x: &[Var64]| step(&x[0], &x[1]).sum();
    let inputs = [x, w];
    assert_eq!(jvp(f, &inputs, &along).1.item(), jvp(kept, &inputs, &along).1.item());
    let [again, kept] = [hvp(f, &inputs, &along).1, hvp(kept, &inputs, &along).1];
    for (again, kept) in again.iter().zip(&kept) {
        assert_eq!(again.value().to_vec(), kept.value().to_vec());
    }
}

/// The names of the operations of a backward walk.
#[derive(Default)]
struct Seen(Vec<String>);

impl Observer<f64> for Seen {
    fn node_done(&mut self, op: &Operation<f64>, _dy: &Var64, _gradients: &[Option<Var64>]) {
        self.0.push(op.rule().name().into());
    }
}

#[test]
fn an_observer_sees_the_operations_that_were_run_again() {
    let (x, w) = inputs();
    let [kept, again] = [false, true].map(|again| {
        let mut seen = Seen::default();
        steps(&x, &w, again).backward_observed(&[], &mut seen);
        seen.0
    });
    assert_eq!(kept, again);
}

#[test]
fn what_happens_once_a_step_is_not_repeated() {
    static DRAWS: AtomicUsize = AtomicUsize::new(0);
    let x = Var64::parameter("x", 2.0);
    let draw = || computed_once(|| DRAWS.fetch_add(1, Relaxed) as f64 + 3.0);
    // Draws 3, and inside 4 and 5.
    let y = recompute(
        move |x| {
            let first = &x[0] * draw();
            recompute(move |x| x[0].square() * draw() + &x[0] * draw(), &[first])
        },
        std::slice::from_ref(&x),
    );
    // y = 36·4 + 6·5; dy/dx = 2·9·x·4 + 3·5.
    assert_eq!((y.item(), y.backward()[&x].item()), (174.0, 159.0));
    assert_eq!((y.backward()[&x].item(), DRAWS.load(Relaxed)), (159.0, 3));
}

/// The identity, whose rule shows by a count whether it is alive.
struct Probe(Arc<()>);

impl Rule<f64> for Probe {
    fn name(&self) -> &'static str {
        "probe"
    }
    fn formula(&self) -> &'static str {
        "y = x"
    }
    fn derivative(&self) -> &'static str {
        "dx = dy"
    }
    fn backward(&self, _op: &Operation<f64>, dy: &Var64, _needs: &[bool]) -> Vec<Option<Var64>> {
        assert!(Arc::strong_count(&self.0) > 1);
        vec![Some(dy.clone())]
    }
}

/// The largest count that was seen in a backward walk.
struct Most(Arc<()>, usize);

impl Observer<f64> for Most {
    fn node_done(&mut self, _op: &Operation<f64>, _dy: &Var64, _gradients: &[Option<Var64>]) {
        self.1 = self.1.max(Arc::strong_count(&self.0));
    }
}

#[test]
fn what_is_on_the_way_is_kept_for_one_function_at_a_time() {
    let count = Arc::new(());
    let mut x = Var64::parameter("x", [1.0, 2.0]);
    for _ in 0..10 {
        let count = count.clone();
        let f = move |x: &[Var64]| {
            let probe = VarOf::record(x[0].value().clone(), [&x[0]], Probe(count.clone()));
            probe.sin()
        };
        x = recompute(f, &[x]);
    }
    // One handle here, and one in each function.
    assert_eq!(Arc::strong_count(&count), 11);
    let mut most = Most(count, 0);
    x.sum().backward_observed(&[], &mut most);
    // One here, ten in functions, one in a rule.
    assert_eq!((most.1, Arc::strong_count(&most.0)), (12, 11));
}

#[test]
#[should_panic(expected = "'recompute' used 'other' only when it was run again")]
fn a_variable_that_is_new_when_run_again_is_refused() {
    let (x, other) = (Var64::parameter("x", 1.0), Var64::parameter("other", 2.0));
    let runs = AtomicUsize::new(0);
    let f = move |x: &[Var64]| if runs.fetch_add(1, Relaxed) == 0 { x[0].exp() } else { &x[0] * &other };
    recompute(f, &[x]).backward();
}

#[test]
#[should_panic(expected = "returned shape (), and (2,) when it was run again")]
fn another_shape_is_refused() {
    let x = Var64::parameter("x", [1.0, 2.0]);
    let runs = AtomicUsize::new(0);
    let f = move |x: &[Var64]| if runs.fetch_add(1, Relaxed) == 0 { x[0].sum() } else { x[0].exp() };
    recompute(f, &[x]).backward();
}

#[test]
fn a_frozen_parameter_may_be_trained_again_before_the_backward_pass() {
    let (x, w) = inputs();
    let captured = w.clone();
    w.set_frozen(true);
    let y = recompute(move |x| step(&x[0], &captured), std::slice::from_ref(&x)).sum();
    w.set_frozen(false);
    let (again, kept) = (y.backward(), step(&x, &w).sum().backward());
    assert_eq!((&again[&x], &again[&w]), (&kept[&x], &kept[&w]));
}

#[test]
#[should_panic(expected = "parameter 'w' was changed")]
fn a_captured_parameter_that_was_changed_is_refused() {
    let (x, w) = inputs();
    let captured = w.clone();
    w.set_frozen(true);
    let y = recompute(move |x| step(&x[0], &captured), &[x]).sum();
    w.set(&Tensor64::ones(5));
    y.backward();
}

#[test]
fn functions_that_make_variables_of_their_own_can_be_run_again() {
    let (x, w) = inputs();
    let slope = |x: &Var64, w: &Var64| {
        let at = Var64::constant([0.1, 0.2, 0.3, 0.4, 0.5]);
        let along = Var64::constant([1.0; 5]);
        x * w + jvp(|at| (&at[0] * w).sin(), &[at], &[along]).1
    };
    let run = |x: &Var64| {
        let w = w.clone();
        recompute(move |x| slope(&x[0], &w), std::slice::from_ref(x))
    };
    let middle = run(&x).exp();
    let (y, kept) = (run(&middle).sum(), slope(&slope(&x, &w).exp(), &w).sum());
    let (again, kept) = (y.backward_keeping(&[&middle]), kept.backward());
    assert!(again.get(&middle).is_some());
    assert_eq!((&again[&x], &again[&w]), (&kept[&x], &kept[&w]));
    assert_eq!(y.gradient(&x).value().to_vec(), kept[&x].to_vec());
}
