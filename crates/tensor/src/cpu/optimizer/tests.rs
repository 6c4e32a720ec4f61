//! Compared with the published algorithms, element by element.

use super::{adam_step as adam_steps, sgd_step as sgd_steps, *};
use crate::cpu::images::testing::{elements, layouts};
use crate::cpu::simd::at_each_level;
use crate::parallel::with_threads;

/// The kernel on one parameter; whether all new values are finite.
fn sgd_step<T: Float>(p: &mut TensorOf<T>, g: &TensorOf<T>, momentum: Option<&mut TensorOf<T>>, step: SgdStep) -> bool {
    let mut non_finite = TensorOf::scalar(T::ZERO);
    sgd_steps(vec![SgdSlot { parameter: p, gradient: g, momentum, step }], &mut non_finite);
    non_finite.item() == T::ZERO
}

/// The kernel on one parameter; whether all new values are finite.
fn adam_step<T: Float>(
    p: &mut TensorOf<T>,
    g: &TensorOf<T>,
    m: &mut TensorOf<T>,
    v: &mut TensorOf<T>,
    step: AdamStep,
) -> bool {
    let mut non_finite = TensorOf::scalar(T::ZERO);
    adam_steps(vec![AdamSlot { parameter: p, gradient: g, mean: m, square: v, step }], &mut non_finite);
    non_finite.item() == T::ZERO
}

const SGD: SgdStep =
    SgdStep { lr: 0.1, momentum: 0.9, dampening: 0.0, nesterov: false, weight_decay: 0.0, first: false };
const ADAM: AdamStep =
    AdamStep { lr: 0.01, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0, decoupled: false, step: 1 };

/// One element's step by the algorithm of torch.optim.SGD; returns the parameter and the momentum buffer.
fn sgd(p: f64, g: f64, buf: f64, step: SgdStep) -> (f64, f64) {
    let g = g + step.weight_decay * p;
    if step.momentum == 0.0 {
        return (p - step.lr * g, buf);
    }
    let buf = if step.first { g } else { buf * step.momentum + (1.0 - step.dampening) * g };
    let direction = if step.nesterov { g + step.momentum * buf } else { buf };
    (p - step.lr * direction, buf)
}

/// One element's step by the algorithm of Kingma and Ba, and of Loshchilov and Hutter where decoupled.
fn adam(p: f64, g: f64, m: f64, v: f64, step: AdamStep) -> [f64; 3] {
    let t = i32::try_from(step.step).expect("tests take few steps");
    let decay = step.weight_decay * p;
    let (p, g) = if step.decoupled { (p - step.lr * decay, g) } else { (p, g + decay) };
    let m = step.beta1 * m + (1.0 - step.beta1) * g;
    let v = step.beta2 * v + (1.0 - step.beta2) * g * g;
    let (m_hat, v_hat) = (m / (1.0 - step.beta1.powi(t)), v / (1.0 - step.beta2.powi(t)));
    [p - step.lr * m_hat / (v_hat.sqrt() + step.eps), m, v]
}

/// Tensors of every kind of layout for each operand; storage is exclusive.
fn operands<T: Float>() -> Vec<[TensorOf<T>; 4]> {
    let all = |seed| layouts::<T>([2, 3, 4, 5], seed).into_iter();
    // A parameter is not broadcast: its elements would share memory. The last of the list is a transposed one.
    let parameters = all(1).take(5).chain(all(1).skip(7));
    parameters
        .enumerate()
        .flat_map(|(i, p)| {
            let at = |seed, k: usize| all(seed).cycle().nth(i + k).expect("it goes round");
            [0, 3].map(|k| [p.clone(), at(2, k), at(3, k), at(4, 2 * k)])
        })
        .map(|[p, g, m, v]| [own(&p), g, own(&m), own(&v)])
        .collect()
}

/// The same elements in the same kind of layout over storage of their own.
fn own<T: Float>(x: &TensorOf<T>) -> TensorOf<T> {
    let (order, rank) = x.layout().memory_order();
    let order = &order[..rank];
    let permuted = x.permute(order);
    let mut inverse = vec![0; rank];
    for (place, &axis) in order.iter().enumerate() {
        inverse[axis] = place;
    }
    TensorOf::from_slice(&in_order(x, order), permuted.shape()).permute(&inverse)
}

fn close<T: Float>(a: &[T], b: impl Iterator<Item = f64>, tolerance: f64) {
    for (a, b) in a.iter().zip(b) {
        assert!((a.to_f64() - b).abs() <= tolerance * b.abs().max(1.0), "{a:?} {b:?}");
    }
}

#[test]
fn sgd_follows_its_formula_in_every_layout() {
    let steps = [
        SGD,
        SgdStep { first: true, dampening: 0.5, ..SGD },
        SgdStep { nesterov: true, weight_decay: 0.05, ..SGD },
        SgdStep { dampening: 0.3, weight_decay: 0.05, ..SGD },
        SgdStep { momentum: 0.0, weight_decay: 0.05, ..SGD },
        SgdStep { momentum: 0.0, ..SGD },
    ];
    for step in steps {
        for [mut p, g, mut m, _] in operands::<f64>() {
            let (old, gradient, buf) = (elements(&p), elements(&g), elements(&m));
            let strides = p.layout().strides().to_vec();
            sgd_step(&mut p, &g, (step.momentum != 0.0).then_some(&mut m), step);
            let expected: Vec<_> = (0..old.len()).map(|i| sgd(old[i], gradient[i], buf[i], step)).collect();
            close(&elements(&p), expected.iter().map(|e| e.0), 1e-15);
            close(&elements(&m), expected.iter().map(|e| e.1), 1e-15);
            assert_eq!(p.layout().strides(), strides, "the parameter keeps its layout");
        }
    }
}

#[test]
fn adam_follows_its_formula_in_every_layout() {
    let steps = [
        ADAM,
        AdamStep { step: 1000, weight_decay: 0.1, ..ADAM },
        AdamStep { step: 7, weight_decay: 0.1, decoupled: true, ..ADAM },
        AdamStep { step: 3, beta1: 0.3, ..ADAM },
    ];
    for step in steps {
        for [mut p, g, mut m, v] in operands::<f64>() {
            let mut v = TensorOf::from_fn(v.shape(), |i| elements(&v)[i].abs());
            let (old, gradient, mean, square) = (elements(&p), elements(&g), elements(&m), elements(&v));
            adam_step(&mut p, &g, &mut m, &mut v, step);
            let expected: Vec<_> =
                (0..old.len()).map(|i| adam(old[i], gradient[i], mean[i], square[i], step)).collect();
            for (k, x) in [&p, &m, &v].into_iter().enumerate() {
                // An update divides by √v, which may be 0: then the update is large, and so is its error.
                close(&elements(x), expected.iter().map(|e| e[k]), 1e-12);
            }
        }
    }
}

#[test]
fn a_view_with_gaps_is_laid_out_anew() {
    let mut p = TensorOf::<f32>::arange(6).slice(0, 5, 3, -2);
    sgd_step(&mut p, &TensorOf::ones(3), None, SGD);
    assert_eq!(elements(&p), [5.0 - 0.1, 3.0 - 0.1, 1.0 - 0.1]);
}

#[test]
fn adam_without_mean_takes_the_gradient_itself() {
    let mut p = TensorOf::<f32>::zeros(1);
    let (mut m, mut v) = (TensorOf::full(1, 1e8), TensorOf::zeros(1));
    adam_step(&mut p, &TensorOf::full(1, 0.3), &mut m, &mut v, AdamStep { beta1: 0.0, ..ADAM });
    assert_eq!(m.item(), 0.3);
}

#[test]
fn no_decay_leaves_infinite_parameters_alone() {
    let mut p = TensorOf::<f32>::full(1, f32::INFINITY);
    sgd_step(&mut p, &TensorOf::ones(1), None, SGD);
    adam_step(&mut p, &TensorOf::ones(1), &mut TensorOf::zeros(1), &mut TensorOf::zeros(1), ADAM);
    assert_eq!(p.item(), f32::INFINITY);
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let all = || {
        let make = || TensorOf::<f32>::from_fn(200_003, |i| (i % 977) as f32 * 0.01 - 3.0);
        let (mut p, g, mut m, mut v) = (make(), make(), TensorOf::zeros(200_003), TensorOf::zeros(200_003));
        adam_step(&mut p, &g, &mut m, &mut v, ADAM);
        sgd_step(&mut p, &g, Some(&mut m), SGD);
        [p, m, v].map(|x| elements(&x))
    };
    assert!(with_threads(1, all) == with_threads(3, all));
}

#[test]
fn a_value_that_is_not_finite_is_flagged_wherever_it_is() {
    const N: usize = 50_000;
    let with = |at: usize, x: f32| TensorOf::<f32>::from_fn(N, |i| if i == at { x } else { 0.5 });
    let ones = || TensorOf::<f32>::ones(N);
    let sgd = |g: &TensorOf<f32>, momentum: bool| sgd_step(&mut ones(), g, momentum.then_some(&mut ones()), SGD);
    let adam = |g: &TensorOf<f32>| adam_step(&mut ones(), g, &mut ones(), &mut ones(), ADAM);
    at_each_level(|level| {
        for at in [0, 1, 7, 16_384, N - 1] {
            for x in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let g = with(at, x);
                assert!(!sgd(&g, false) && !sgd(&g, true) && !adam(&g), "{level:?}: {x} at {at}");
            }
            let g = with(at, -1e19);
            assert!(sgd(&g, false) && sgd(&g, true), "{level:?}: large gradients are finite");
        }
    });
}

#[test]
fn an_update_that_overflows_is_flagged_though_the_gradient_is_finite() {
    let step = SgdStep { lr: 1e20, ..SGD };
    assert!(!sgd_step(&mut TensorOf::<f32>::ones(3), &TensorOf::full(3, 1e19), None, step), "1e20 · 1e19");
    let [mut m, mut v] = [TensorOf::<f32>::zeros(3), TensorOf::zeros(3)];
    assert!(!adam_step(&mut TensorOf::ones(3), &TensorOf::full(3, 1e21), &mut m, &mut v, ADAM), "1e21 squared");
    let [mut m, mut v] = [TensorOf::<f64>::zeros(3), TensorOf::zeros(3)];
    assert!(adam_step(&mut TensorOf::ones(3), &TensorOf::full(3, 1e21), &mut m, &mut v, ADAM), "not in f64");
}

/// Parameters of these many elements after a step of each optimizer on all of them at once, or one by one.
fn steps(lengths: &[usize], at_once: bool) -> Vec<Vec<f32>> {
    let make = |salt: usize| -> Vec<TensorOf<f32>> {
        let of = |&n: &usize| TensorOf::from_fn(n, |i| ((i * 31 + n + salt) % 977) as f32 * 0.01 - 3.0);
        lengths.iter().map(of).collect()
    };
    let (mut p, g, mut m, mut v) = (make(1), make(2), make(3), make(4));
    for v in &mut v {
        v.make_mut().iter_mut().for_each(|v| *v = v.abs());
    }
    let (mut sgd, mut adam) = (Vec::new(), Vec::new());
    let mut non_finite = TensorOf::scalar(0.0);
    for (i, ((p, g), m)) in p.iter_mut().zip(&g).zip(&mut m).enumerate() {
        // Not all alike, as in groups with settings of their own.
        let step = SgdStep { first: i == 1, nesterov: i == 2, ..SGD };
        sgd.push(SgdSlot { parameter: p, gradient: g, momentum: (i != 3).then_some(m), step });
        if !at_once {
            sgd_steps(std::mem::take(&mut sgd), &mut non_finite);
        }
    }
    sgd_steps(sgd, &mut non_finite);
    for (i, (((p, g), m), v)) in p.iter_mut().zip(&g).zip(&mut m).zip(&mut v).enumerate() {
        let step = AdamStep { step: 1 + i as u64 / 2, weight_decay: i as f64 * 0.01, decoupled: i == 3, ..ADAM };
        adam.push(AdamSlot { parameter: p, gradient: g, mean: m, square: v, step });
        if !at_once {
            adam_steps(std::mem::take(&mut adam), &mut non_finite);
        }
    }
    adam_steps(adam, &mut non_finite);
    assert_eq!(non_finite.item(), 0.0);
    [p, m, v].concat().iter().map(elements).collect()
}

#[test]
fn all_at_once_is_one_after_the_other() {
    // Task boundaries fall within parameters, and some parameters are empty.
    let lengths = [5, 80_000, 0, 133_333, 1, 17, 90_000, 0];
    let one = with_threads(1, || steps(&lengths, false));
    for threads in [1, 2, 3] {
        assert!(with_threads(threads, || steps(&lengths, true)) == one, "{threads} threads");
    }
    at_each_level(|level| assert!(steps(&lengths, true) == one, "{level:?}"));
}
