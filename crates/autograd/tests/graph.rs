//! The graph: recording, the backward walk, dropping.

use std::sync::Arc;

use chainrule_autograd::{
    Gradients, GradientsOf, Observer, Operation, Rule, Var, Var64, VarOf, is_recording, map_records, no_grad,
    recompute, watch_records,
};
use chainrule_tensor::{Conv2dOptions, Float, Shape, Tensor64, TensorOf, Unary};

/// The identity; each node holds a handle of a counter, so that living nodes can be counted.
struct Counted {
    _held: Arc<()>,
}

impl<T: Float> Rule<T> for Counted {
    fn name(&self) -> &'static str {
        "counted"
    }
    fn formula(&self) -> &'static str {
        "y = x"
    }
    fn derivative(&self) -> &'static str {
        "dx = dy"
    }
    fn backward(&self, _op: &Operation<T>, dy: &VarOf<T>, _needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        vec![Some(dy.clone())]
    }
}

fn counted(x: &Var64, count: &Arc<()>) -> Var64 {
    Var64::record(x.value().clone(), [x], Counted { _held: Arc::clone(count) })
}

#[test]
fn a_chain_of_a_million_nodes_is_walked_and_dropped() {
    let count = Arc::new(());
    let x = Var64::parameter("x", 1.0);
    let mut y = x.clone();
    for _ in 0..1_000_000 {
        y = counted(&y, &count);
    }
    assert_eq!(y.backward()[&x].item(), 1.0);
    assert_eq!(Arc::strong_count(&count), 1_000_001);
    drop(y);
    assert_eq!(Arc::strong_count(&count), 1, "all nodes are dropped");
}

#[test]
fn two_backward_passes_give_the_same_gradients() {
    let x = Var64::parameter("x", [1.0, 2.0]);
    let y = (&x * &x.exp()).sum();
    assert_eq!(y.backward()[&x], y.backward()[&x]);
}

#[test]
fn constants_and_unrecorded_operations_are_not_nodes() {
    let (x, c) = (Var64::parameter("x", 2.0), Var64::constant(3.0));
    assert!((&x * &c).operation().is_some());
    assert!((&c * &c).operation().is_none());
    assert!((&x.detach() * &x.detach()).operation().is_none());
    assert!(no_grad(|| &x * &x).operation().is_none());
    x.set_frozen(true);
    assert!((&x * &c).operation().is_none(), "a frozen parameter is a constant");
    x.set_frozen(false);
    assert!(std::panic::catch_unwind(|| no_grad(|| panic!("on purpose"))).is_err());
    assert!(is_recording(), "recording is on again after a panic");
}

#[test]
fn higher_derivatives_of_a_power() {
    let x = Var64::parameter("x", 1.5);
    let mut y = x.pow(4.0);
    for expected in [4.0 * 1.5f64.powi(3), 12.0 * 1.5 * 1.5, 24.0 * 1.5, 24.0] {
        y = y.gradient(&x);
        assert!((y.item() - expected).abs() < 1e-12, "{y} is not {expected}");
    }
}

#[test]
fn intermediate_gradients_are_kept_on_request() {
    let x = Var64::parameter("x", [1.0, -2.0]);
    let h = x.square();
    let loss = (3.0 * &h).sum();
    let gradients = loss.backward_keeping(&[&h]);
    assert_eq!(gradients[&h].to_vec(), [3.0, 3.0]);
    assert_eq!(gradients[&x].to_vec(), [6.0, -12.0]);
    assert!(loss.backward().get(&h).is_none());
}

#[test]
fn an_observer_sees_each_node_once_and_each_gradient_when_it_is_final() {
    #[derive(Default)]
    struct Seen(Vec<String>);
    impl Observer<f64> for Seen {
        fn node_done(&mut self, op: &Operation<f64>, dy: &Var64, gradients: &[Option<Var64>]) {
            assert_eq!(gradients.len(), op.parents());
            assert_eq!(dy.shape(), op.output().shape());
            self.0.push(op.rule().name().into());
        }
        fn gradient_final(&mut self, parameter: &Var64, gradient: &Var64) {
            self.0.push(format!("{} {}", parameter.name(), gradient.item()));
        }
    }
    let (a, b) = (Var64::parameter("a", 2.0), Var64::parameter("b", 5.0));
    let product = &a * &b;
    let loss = &product + &product.square();
    let mut seen = Seen::default();
    loss.backward_observed(&[], &mut seen);
    assert_eq!(seen.0, ["add", "square", "mul", "b 42", "a 105"]);
}

#[test]
fn an_eager_observer_gets_each_gradient_after_the_last_use_of_its_parameter() {
    #[derive(Default)]
    struct Seen(Vec<String>);
    impl Observer<f64> for Seen {
        fn is_eager(&self) -> bool {
            true
        }
        fn node_done(&mut self, op: &Operation<f64>, _dy: &Var64, _gradients: &[Option<Var64>]) {
            self.0.push(op.rule().name().into());
        }
        fn gradient_final(&mut self, parameter: &Var64, gradient: &Var64) {
            self.0.push(format!("{} {}", parameter.name(), gradient.item()));
        }
    }
    let [a, b, c] = ["a", "b", "c"].map(|name| Var64::parameter(name, 2.0));
    let frozen = Var64::parameter("frozen", 3.0);
    frozen.set_frozen(true);
    // c is used by the newest operation and by the oldest, b only by the newest but one; a is both factors of a product.
    let loss = ((&a * &a * &c * &frozen).sin() + &b) * &c;
    let mut seen = Seen::default();
    let gradients = loss.backward_observed(&[], &mut seen);
    let [da, db, dc] = [&a, &b, &c].map(|var| gradients[var].item());
    let expected =
        ["mul", "add", &format!("b {db}"), "sin", "mul", "mul", &format!("c {dc}"), "mul", &format!("a {da}")];
    assert_eq!(seen.0, expected);
    assert_eq!(loss.backward().iter().map(|(_, x)| x.item()).collect::<Vec<_>>(), [da, db, dc]);

    // A parameter that is used in what is computed again is final after all of that.
    let (x, captured) = (a.square(), c.clone());
    let loss = recompute(move |x| (&x[0] * &captured).sin(), &[x]) * &c;
    let mut seen = Seen::default();
    let gradients = loss.backward_observed(&[], &mut seen);
    let [da, dc] = [&a, &c].map(|var| gradients[var].item());
    assert_eq!(seen.0, ["mul", "sin", "mul", &format!("c {dc}"), "square", &format!("a {da}")]);
}

#[test]
fn gradients_computed_elsewhere_are_put_in_order() {
    let [a, b] = ["a", "b"].map(|name| Var64::parameter(name, [2.0, 3.0]));
    let gradients: GradientsOf<f64> =
        [(b.clone(), [1.0, 2.0].into()), (a.clone(), [3.0, 4.0].into())].into_iter().collect();
    assert_eq!((gradients[&a].to_vec(), gradients[&b].to_vec()), (vec![3.0, 4.0], vec![1.0, 2.0]));
    assert_eq!(gradients.to_flat().to_vec(), [3.0, 4.0, 1.0, 2.0]);
    let twice = [(a.clone(), [1.0, 2.0].into()), (a.clone(), [1.0, 2.0].into())];
    let text = |pairs: Vec<(Var64, Tensor64)>| {
        panic_text(std::panic::AssertUnwindSafe(|| drop(pairs.into_iter().collect::<GradientsOf<f64>>())))
    };
    assert!(text(twice.into()).contains("two for 'a'"));
    assert!(text(vec![(a, [1.0].into())]).contains("for 'a' of shape"));
}

#[test]
fn rules_count_the_multiply_adds_of_their_product() {
    struct Count(Vec<(String, usize)>);
    impl Observer<f64> for Count {
        fn node_done(&mut self, op: &Operation<f64>, _dy: &Var64, _gradients: &[Option<Var64>]) {
            let count = op.rule().multiply_adds(op);
            if count > 0 {
                self.0.push((op.rule().name().into(), count));
            }
        }
    }
    let count = |y: Var64| {
        let mut counts = Count(Vec::new());
        y.sum().backward_observed(&[], &mut counts);
        let [(_, count)] = &counts.0[..] else { panic!("one product, not {:?}", counts.0) };
        *count
    };
    let parameter = |shape: &[usize]| Var64::parameter("p", TensorOf::ones(Shape::new(shape)));
    let options = Conv2dOptions { groups: 2, ..Conv2dOptions::padded(1) };
    let (x, w) = (parameter(&[2, 4, 5, 6]), parameter(&[6, 2, 3, 3]));
    // 6 output channels of 30 pixels in 2 images, each a sum over 2 channels and 9 kernel elements.
    let expected = 2 * 6 * 30 * 2 * 9;
    assert_eq!(count(x.conv2d(&w, None, options)), expected);
    assert_eq!(count(x.conv2d_relu_max_pool2d(&w, None, options, 2)), expected);
    let dy = parameter(&[2, 6, 5, 6]);
    assert_eq!(count(dy.conv2d_input_gradient(&w, [5, 6], options)), expected);
    assert_eq!(count(x.conv2d_weight_gradient(&dy, [3, 3], options)), expected);
    assert_eq!(count(parameter(&[3, 4]).linear(&parameter(&[5, 4]), None)), 3 * 4 * 5);
    assert_eq!(count(parameter(&[2, 3, 4]).matmul(&parameter(&[2, 4, 5]))), 2 * 3 * 4 * 5);
}

fn panic_text(body: impl FnOnce() + std::panic::UnwindSafe) -> String {
    let panic = std::panic::catch_unwind(body).expect_err("it panics");
    panic.downcast_ref::<String>().cloned().unwrap_or_default()
}

#[test]
fn a_parameter_changed_after_the_forward_pass_is_an_error() {
    let text = panic_text(|| {
        let w = Var64::parameter("fc1.weight", 2.0);
        let loss = &w * &w;
        w.update(|value| *value = value.unary(Unary::Mul(0.5)));
        loss.backward();
    });
    assert!(text.contains("'fc1.weight' was changed after 'mul' had used it"), "{text}");
}

#[test]
fn invalid_backward_calls_panic_with_the_reason() {
    let text = panic_text(|| drop(Var64::parameter("x", [1.0, 2.0]).square().backward()));
    assert!(text.contains("'square' has shape (2,)") && text.contains("take a sum or a mean"), "{text}");
    let text = panic_text(|| drop(Var64::constant(1.0).backward()));
    assert!(text.contains("was computed from no parameter"), "{text}");
    let text = panic_text(|| {
        let (x, y) = (Var64::parameter("x", 1.0), Var64::parameter("y", 1.0));
        let _ = x.square().gradient(&y);
    });
    assert!(text.contains("'square' does not depend on 'y'"), "{text}");
    let text = panic_text(|| Var64::constant(1.0).update(|_| ()));
    assert!(text.contains("'constant' is not a parameter"), "{text}");
}

#[test]
fn gradients_add_scale_clip_and_flatten() {
    let (a, b) = (Var64::parameter("a", [3.0]), Var64::parameter("b", [[4.0]]));
    let loss = || (0.5 * a.square()).sum() + (0.5 * b.square()).sum();
    let mut g = loss().backward();
    assert_eq!(g.global_norm(), 5.0);
    let order: Vec<String> = g.iter().map(|(var, _)| var.name()).collect();
    assert_eq!(order, ["a", "b"]);
    g.add(&a.sum().backward());
    assert_eq!(g[&a].to_vec(), [4.0]);
    g.scale(0.5);
    assert_eq!(g.to_flat().to_vec(), [2.0, 2.0]);
    g.set_flat(&Tensor64::from([6.0, 8.0]));
    assert_eq!((g[&a].to_vec(), g[&b].to_vec()), (vec![6.0], vec![8.0]));
    assert_eq!(g.clip_norm(5.0).item(), 10.0);
    assert!((g.global_norm() - 5.0).abs() < 1e-5);
    assert_eq!(g.clip_norm(6.0).item(), g.global_norm(), "short ones stay");
    g.clip_value(3.5);
    assert!(g[&a].item() < 3.5 && g[&b].item() == 3.5);
}

#[test]
fn variables_work_from_any_thread() {
    let w = Var::parameter("w", [1.0, 2.0]);
    let gradients: Vec<Gradients> = std::thread::scope(|scope| {
        let work = |k: f64| (k * w.square()).sum().backward();
        let threads = [scope.spawn(move || work(1.0)), scope.spawn(move || work(2.0))];
        threads.map(|thread| thread.join().expect("it does not panic")).into()
    });
    assert_eq!(gradients[0][&w].to_vec(), [2.0, 4.0]);
    assert_eq!(gradients[1][&w].to_vec(), [4.0, 8.0]);
}

#[test]
fn repeated_steps_allocate_no_tensor_memory() {
    let w = Var::parameter("w", chainrule_tensor::Tensor::ones([64, 64]));
    let x = Var::constant(chainrule_tensor::Tensor::ones([32, 64]));
    let step = || {
        let gradients = x.linear(&w, None).tanh().square().mean().backward();
        w.update(|value| value.add_assign(&gradients[&w].unary(Unary::Mul(-0.1))));
    };
    (0..3).for_each(|_| step());
    // Other tests share the pool and may allocate at the same time, so one step without allocations is enough.
    let undisturbed = (0..200).any(|_| {
        let before = chainrule_tensor::buffer_pool::stats().allocated;
        step();
        chainrule_tensor::buffer_pool::stats().allocated == before
    });
    assert!(undisturbed);
}

#[test]
fn update_all_changes_several_parameters() {
    // In an order other than that of creation.
    let (a, b) = (Var64::parameter("a", 1.0), Var64::parameter("b", [2.0, 3.0]));
    VarOf::update_all(&[&b, &a], |values| {
        let [b, a] = values.try_into().expect("one value for each parameter");
        b.make_mut()[0] = 5.0;
        a.make_mut()[0] = 7.0;
    });
    assert_eq!((a.item(), b.value().to_vec()), (7.0, vec![5.0, 3.0]));
}

#[test]
#[should_panic(expected = "'a' was changed")]
fn update_all_invalidates_earlier_graphs() {
    let a = Var64::parameter("a", 1.0);
    let loss = &a * &a;
    VarOf::update_all(&[&a], |_| ());
    let _ = loss.backward();
}

#[test]
#[should_panic(expected = "'a' is listed twice")]
fn update_all_rejects_duplicates() {
    let a = Var64::parameter("a", 1.0);
    VarOf::update_all(&[&a, &Var64::parameter("b", 2.0), &a], |_| ());
}

#[test]
fn a_watcher_sees_exactly_the_recorded_operations() {
    use std::cell::RefCell;
    use std::rc::Rc;
    let seen = Rc::new(RefCell::new(Vec::new()));
    let x = Var64::parameter("x", 2.0);
    let log = Rc::clone(&seen);
    let (y, z) = watch_records(
        move |id| log.borrow_mut().push(id),
        || {
            let y = &x * &x;
            no_grad(|| &y * &y);
            (y.clone(), y.exp())
        },
    );
    let _ = &z + 1.0;
    assert_eq!(*seen.borrow(), [y.id(), z.id()]);
}

#[test]
fn hooks_nest_and_are_removed_after_a_panic() {
    let x = Var64::parameter("x", 2.0);
    let double = || map_records(|y: Var64| 2.0 * y, || &x + 1.0);
    assert_eq!(double().item(), 6.0);
    assert_eq!(map_records(|y: Var64| y + 10.0, double).item(), 16.0, "the inner hook first");
    assert_eq!(map_records(|y: Var| 2.0 * y, || &x + 1.0).item(), 3.0, "a hook of another element type");
    let outer = || {
        let failing = || map_records(|_: Var64| panic!("in a hook"), || &x + 1.0);
        let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(failing));
        assert!(failed.is_err());
        &x + 1.0
    };
    assert_eq!(map_records(|y: Var64| y + 10.0, outer).item(), 13.0, "the outer hook is still there");
    assert_eq!((&x + 1.0).item(), 3.0);
    assert_eq!(map_records(|y: Var64| 2.0 * y, || no_grad(|| &x + 1.0)).item(), 3.0, "nothing is recorded");
}
