//! Optimizer steps, each one pass over a parameter.

use crate::cpu::math::Elementary;
use crate::cpu::random::Draw;
use crate::cpu::strided::{in_order, lies_in_order};
use crate::element::Float;
use crate::layout::Layout;
use crate::parallel::{Disjoint, parallel_for};
use crate::tensor::TensorOf;

/// The least number of elements worth a task of its own.
const GRAIN: usize = 8 * 1024;

/// What a step of stochastic gradient descent needs to know, as in `torch.optim.SGD`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SgdStep {
    /// The learning rate.
    pub lr: f64,
    /// The share of the running direction that is kept.
    pub momentum: f64,
    /// The share of the gradient that does not enter the running direction.
    pub dampening: f64,
    /// Whether to look ahead along the running direction (Nesterov).
    pub nesterov: bool,
    /// The factor of the parameter that is added to its gradient.
    pub weight_decay: f64,
    /// Whether this is the parameter's first step, at which the running direction becomes the gradient itself.
    pub first: bool,
}

/// What a step of Adam needs to know, as in `torch.optim.Adam` and `AdamW`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamStep {
    /// The learning rate.
    pub lr: f64,
    /// The share of the running mean that is kept.
    pub beta1: f64,
    /// The share of the running mean of squares that is kept.
    pub beta2: f64,
    /// Added to the root of the running mean of squares.
    pub eps: f64,
    /// The factor of the parameter that is added to its gradient or, decoupled, the share of the parameter that
    /// lr times this takes away.
    pub weight_decay: f64,
    /// Whether the decay bypasses the moments (`AdamW`).
    pub decoupled: bool,
    /// The number of this step, from 1.
    pub step: u64,
}

/// The elements of `x` for writing, with the axes in `order`; laid out anew first if they lie otherwise.
fn for_writing<'a, T: Float>(x: &'a mut TensorOf<T>, order: &[usize]) -> &'a mut [T] {
    if !lies_in_order(x.layout(), order) {
        let mut own = TensorOf::uninitialised(Layout::dense(x.shape(), order));
        own.buffer_mut().0.copy_from_slice(&in_order(x, order));
        *x = own;
    }
    let numel = x.numel();
    let (buffer, layout) = x.buffer_mut();
    &mut buffer[layout.offset()..][..numel]
}

/// `g += weight_decay·p`; `buf = g` at the first step, then `buf·momentum + (1 − dampening)·g`; `g = buf`, or
/// `g + momentum·buf` looking ahead; `p −= lr·g`. Without momentum g stays the gradient.
pub(crate) fn sgd_step<T: Float>(
    parameter: &mut TensorOf<T>,
    gradient: &TensorOf<T>,
    momentum: Option<&mut TensorOf<T>>,
    step: SgdStep,
) {
    let (order, rank) = parameter.layout().memory_order();
    let order = &order[..rank];
    let gradient = in_order(gradient, order);
    let p = Disjoint::new(for_writing(parameter, order));
    let buf = momentum.map(|momentum| Disjoint::new(for_writing(momentum, order)));
    let [lr, factor, rest, decay] = [step.lr, step.momentum, 1.0 - step.dampening, step.weight_decay].map(T::from_f64);
    parallel_for(gradient.len(), GRAIN, |range| {
        let g = &gradient[range.clone()];
        // SAFETY: ranges do not overlap.
        let p = unsafe { p.slice(range.clone()) };
        // A decay of 0 is left out, as in PyTorch: 0·∞ would be NaN.
        let decayed = |g: T, p: T| if step.weight_decay == 0.0 { g } else { g + decay * p };
        let Some(buf) = &buf else {
            for (p, &g) in p.iter_mut().zip(g) {
                *p -= lr * decayed(g, *p);
            }
            return;
        };
        // SAFETY: ranges do not overlap.
        let buf = unsafe { buf.slice(range) };
        for ((p, &g), buf) in p.iter_mut().zip(g).zip(buf) {
            let g = decayed(g, *p);
            *buf = if step.first { g } else { *buf * factor + rest * g };
            *p -= lr * if step.nesterov { g + factor * *buf } else { *buf };
        }
    });
}

/// `g += weight_decay·p`, or decoupled `p *= 1 − lr·weight_decay`; `m += (g − m)(1 − β₁)`; `v = v·β₂ + (1 − β₂)·g²`;
/// `p −= lr/(1 − β₁ᵗ) · m / (√v/√(1 − β₂ᵗ) + ε)`.
pub(crate) fn adam_step<T: Draw>(
    parameter: &mut TensorOf<T>,
    gradient: &TensorOf<T>,
    m: &mut TensorOf<T>,
    v: &mut TensorOf<T>,
    step: AdamStep,
) {
    let (order, rank) = parameter.layout().memory_order();
    let order = &order[..rank];
    let gradient = in_order(gradient, order);
    let p = Disjoint::new(for_writing(parameter, order));
    let m = Disjoint::new(for_writing(m, order));
    let v = Disjoint::new(for_writing(v, order));
    let correction = |beta: f64| 1.0 - <f64 as Elementary>::powf(beta, step.step as f64);
    let decay = if step.decoupled { 0.0 } else { step.weight_decay };
    let shrink = if step.decoupled { 1.0 - step.lr * step.weight_decay } else { 1.0 };
    let size = step.lr / correction(step.beta1);
    let root = correction(step.beta2).sqrt();
    let [rest1, rest2, kept2, eps] = [1.0 - step.beta1, 1.0 - step.beta2, step.beta2, step.eps].map(T::from_f64);
    let [coupled, shrink, size, root] = [decay, shrink, size, root].map(T::from_f64);
    let near = step.beta1 > 0.5;
    parallel_for(gradient.len(), GRAIN, |range| {
        let g = &gradient[range.clone()];
        // SAFETY: ranges do not overlap.
        let (p, m, v) = unsafe { (p.slice(range.clone()), m.slice(range.clone()), v.slice(range)) };
        for (((p, &g), m), v) in p.iter_mut().zip(g).zip(m).zip(v) {
            let old = *p * shrink;
            // A decay of 0 is left out, as in PyTorch: 0·∞ would be NaN.
            let g = if decay == 0.0 { g } else { g + coupled * old };
            // Interpolated from the nearer end, as by PyTorch's lerp: with β₁ = 0 the mean is exactly the gradient.
            *m = if near { *m + rest1 * (g - *m) } else { g - (g - *m) * (T::ONE - rest1) };
            *v = *v * kept2 + rest2 * g * g;
            *p = old - size * *m / (v.root() / root + eps);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::images::testing::{elements, layouts};
    use crate::parallel::with_threads;

    const SGD: SgdStep =
        SgdStep { lr: 0.1, momentum: 0.9, dampening: 0.0, nesterov: false, weight_decay: 0.0, first: false };
    const ADAM: AdamStep =
        AdamStep { lr: 0.01, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0, decoupled: false, step: 1 };

    /// One element's step by the text of torch.optim.SGD; returns the parameter and the running direction.
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

    /// Tensors of every kind of layout for each operand; storage is nobody else's.
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
            let make = || TensorOf::<f32>::from_fn(100_003, |i| (i % 977) as f32 * 0.01 - 3.0);
            let (mut p, g, mut m, mut v) = (make(), make(), TensorOf::zeros(100_003), TensorOf::zeros(100_003));
            adam_step(&mut p, &g, &mut m, &mut v, ADAM);
            sgd_step(&mut p, &g, Some(&mut m), SGD);
            [p, m, v].map(|x| elements(&x))
        };
        assert!(with_threads(1, all) == with_threads(3, all));
    }
}
