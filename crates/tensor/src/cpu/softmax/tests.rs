use super::{cross_entropy, cross_entropy_backward, log_softmax, log_softmax_backward};
use crate::cpu::images::testing::{elements, layouts};
use crate::element::Float;
use crate::parallel::with_threads;
use crate::tensor::TensorOf;

/// Calls `body` with the row-major positions of the elements of every row along an axis.
fn each_row(shape: [usize; 4], axis: usize, mut body: impl FnMut(&[usize])) {
    let inner: usize = shape[axis + 1..].iter().product();
    for i in 0..shape.iter().product() {
        if (i / inner).is_multiple_of(shape[axis]) {
            body(&(0..shape[axis]).map(|k| i + k * inner).collect::<Vec<_>>());
        }
    }
}

fn close<T: Float>(a: &[T], b: &[f64], tolerance: f64) {
    for (a, b) in a.iter().zip(b) {
        assert!((a.to_f64() - b).abs() <= tolerance * b.abs().max(1.0), "{a:?} {b:?}");
    }
    assert_eq!(a.len(), b.len());
}

const SHAPES: [[usize; 4]; 5] = [[2, 3, 4, 5], [1, 10, 9, 11], [3, 1, 1, 37], [2, 3, 0, 4], [2, 19, 1, 1]];

fn check<T: Float>(tolerance: f64) {
    for shape in SHAPES {
        for (x, dy) in layouts::<T>(shape, 1).into_iter().zip(layouts::<T>(shape, 2).into_iter().rev()) {
            for axis in 0..4 {
                let (logits, gradients) = (elements(&x), elements(&dy));
                let (mut y, mut dx) = (vec![0.0; logits.len()], vec![0.0; logits.len()]);
                each_row(shape, axis, |row| {
                    let total: f64 = row.iter().map(|&i| logits[i].to_f64().exp()).sum();
                    let gradient: f64 = row.iter().map(|&i| gradients[i].to_f64()).sum();
                    for &i in row {
                        y[i] = logits[i].to_f64() - total.ln();
                        dx[i] = gradients[i].to_f64() - y[i].exp() * gradient;
                    }
                });
                let result = log_softmax(&x, axis);
                close(&elements(&result), &y, tolerance);
                close(&elements(&log_softmax_backward(&dy, &result, axis)), &dx, 8.0 * tolerance);
                assert!(result.layout().is_dense());
            }
        }
    }
}

#[test]
fn agrees_with_the_formula_on_every_layout() {
    check::<f32>(1e-6);
    check::<f64>(1e-15);
}

#[test]
fn large_and_infinite_logits_are_told_apart() {
    let inf = f32::INFINITY;
    for (row, expected) in [
        (
            [1000.0, -1000.0, 1000.0],
            [-std::f32::consts::LN_2, -2000.0 - std::f32::consts::LN_2, -std::f32::consts::LN_2],
        ),
        ([-1000.0, -2000.0, -1001.0], [-0.313_261_7, -1_000.313_26, -1.313_261_7]),
        ([0.0, -inf, -inf], [0.0, -inf, -inf]),
    ] {
        // Rows that are contiguous, and rows that are not.
        let x = TensorOf::from_slice(&row.map(|v| [v, 0.0]).concat(), [3, 2]);
        for y in [elements(&log_softmax(&x.narrow(1, 0..1), 0)), elements(&log_softmax(&x, 0).narrow(1, 0..1))] {
            assert!(y.iter().zip(expected).all(|(&a, b)| a == b || (a - b).abs() < 1e-6 * b.abs()), "{y:?}");
        }
    }
    for row in [[f32::NAN, 0.0, 1.0], [0.0, inf, 1.0], [-inf, -inf, -inf], [-inf, f32::NAN, inf]] {
        let x = TensorOf::from_slice(&row.map(|v| [v, 0.0]).concat(), [3, 2]);
        assert!(elements(&log_softmax(&x.narrow(1, 0..1), 0)).iter().all(|v| v.is_nan()), "{row:?}");
        assert!(elements(&log_softmax(&x, 0)).chunks(2).all(|v| v[0].is_nan() && !v[1].is_nan()), "{row:?}");
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let x: TensorOf<f32> =
        crate::cpu::random::normal(crate::Device::Cpu, crate::Key::new(1, crate::Purpose::CHECK), [70, 33, 90].into());
    for axis in 0..3 {
        let all = || {
            let y = log_softmax(&x, axis);
            (elements(&log_softmax_backward(&x, &y, axis)), elements(&y))
        };
        assert!(with_threads(1, all) == with_threads(3, all), "axis {axis}");
    }
}

/// Labels (N,H,W) for logits (N,C,H,W).
fn labels([n, c, h, w]: [usize; 4]) -> TensorOf<i32> {
    let mut next = 0;
    TensorOf::from_fn([n, h, w], |_| {
        next = (next * 5 + 3) % 101;
        next % c.max(1) as i32
    })
}

fn check_cross_entropy<T: Float>(tolerance: f64) {
    for shape in SHAPES {
        let labels = labels(shape);
        let places = labels.to_vec();
        for x in layouts::<T>(shape, 1) {
            let logits = elements(&x);
            let [n, _, h, w] = shape;
            let gradients = layouts::<T>([n, 1, h, w], 2);
            let dy = gradients[5].reshape([n, h, w]);
            let upstream = elements(&dy);
            let (mut losses, mut dx, mut sample) = (vec![], vec![0.0; logits.len()], 0);
            each_row(shape, 1, |row| {
                let total: f64 = row.iter().map(|&i| logits[i].to_f64().exp()).sum();
                losses.push(total.ln() - logits[row[places[sample] as usize]].to_f64());
                for (class, &i) in row.iter().enumerate() {
                    let hit = f64::from(class as i32 == places[sample]);
                    dx[i] = upstream[sample].to_f64() * (logits[i].to_f64().exp() / total - hit);
                }
                sample += 1;
            });
            let [loss, max, ln] = cross_entropy(&x, &labels);
            close(&elements(&loss), &losses, tolerance);
            close(&elements(&cross_entropy_backward(&dy, &x, &labels, &max, &ln)), &dx, tolerance);
        }
    }
}

#[test]
fn cross_entropy_agrees_with_the_formula_on_every_layout() {
    check_cross_entropy::<f32>(2e-6);
    check_cross_entropy::<f64>(1e-15);
}
