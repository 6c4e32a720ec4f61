use super::*;
use crate::cpu::images::testing::{elements, layouts};
use crate::parallel::with_threads;
use crate::shape::Shape;
use crate::shape_rules::{Pool2dOptions, adaptive_pool2d, pool2d};

const SHAPES: [[usize; 4]; 7] =
    [[1, 2, 5, 75], [2, 3, 6, 8], [1, 20, 5, 7], [3, 1, 4, 1], [0, 2, 4, 4], [2, 2, 1, 1], [1, 17, 2, 2]];

/// Windows of several kinds for a shape.
fn windows(shape: [usize; 4]) -> Vec<[Vec<Window>; 2]> {
    let x = Shape::from(shape);
    let plain = [(2, 2, 0, true), (3, 2, 1, true), (3, 1, 1, false), (1, 2, 0, true)].map(|way| (way, [1, 1], false));
    let others = [
        ((2, 2, 1, true), [2, 1], false),
        ((3, 1, 1, false), [1, 2], true),
        ((2, 2, 0, true), [1, 1], true),
        ((2, 3, 1, true), [2, 3], true),
    ];
    let fixed =
        plain.into_iter().chain(others).map(|((kernel, stride, padding, count_include_pad), dilation, ceil_mode)| {
            Pool2dOptions {
                kernel: [kernel; 2],
                stride: [stride; 2],
                padding: [padding; 2],
                dilation,
                ceil_mode,
                count_include_pad,
            }
        });
    let mut all: Vec<_> = fixed.filter_map(|options| pool2d("pool", x, options).ok()).collect();
    all.extend([[1, 1], [3, 2]].map(|size| adaptive_pool2d("pool", x, size).expect("no axis of a plane is empty")));
    all
}

/// Calls `body` with the image, the channel and the two windows of every result, in row-major order.
fn each(shape: [usize; 4], windows: &[Vec<Window>; 2], mut body: impl FnMut(usize, usize, &Window, &Window)) {
    for n in 0..shape[0] {
        for c in 0..shape[1] {
            for rows in &windows[0] {
                for columns in &windows[1] {
                    body(n, c, rows, columns);
                }
            }
        }
    }
}

fn close<T: Float>(a: &[T], b: &[f64], tolerance: f64) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a.to_f64() - b).abs() <= tolerance)
}

#[test]
fn max_is_that_of_every_window() {
    for shape in SHAPES {
        for windows in windows(shape) {
            for x in layouts::<f32>(shape, 1) {
                let (mut best, mut places) = (vec![], vec![]);
                each(shape, &windows, |n, c, rows, columns| {
                    let mut first = (f32::NEG_INFINITY, 0);
                    for row in (rows.start..rows.end).step_by(rows.step) {
                        for column in (columns.start..columns.end).step_by(columns.step) {
                            let v = x.at(&[n, c, row, column]);
                            if v > first.0 {
                                first = (v, (row * shape[3] + column) as i32);
                            }
                        }
                    }
                    best.push(first.0);
                    places.push(first.1);
                });
                let (y, index) = max_pool(&x, &windows);
                assert_eq!((elements(&y), elements(index.index())), (best, places), "{:?}", x.layout());
                assert_eq!(elements(&gather2d(&x, &index)), elements(&y), "{:?}", x.layout());
            }
        }
    }
}

#[test]
fn the_first_nan_of_a_window_wins() {
    let nan = f64::NAN;
    let inf = f64::INFINITY;
    for (square, expected) in [
        ([1.0, nan, nan, inf], 1),
        ([nan, 2.0, 3.0, nan], 0),
        ([inf, 2.0, nan, nan], 2),
        ([1.0, 2.0, 3.0, nan], 3),
        ([-inf, -inf, -inf, -inf], 0),
        ([1.0, 2.0, 2.0, 2.0], 1),
        ([-0.0, 0.0, 0.0, 0.0], 0),
    ] {
        let x = TensorOf::from_slice(&square, [1, 1, 2, 2]);
        let windows = pool2d("max_pool2d", x.shape(), 2.into()).expect("it fits");
        // A view without contiguous rows takes the general path.
        let spread = TensorOf::from_slice(&square.map(|v| [v, 0.0]).concat(), [1, 1, 2, 4]).slice(3, 0, 2, 2);
        for x in [x, spread] {
            let (y, index) = max_pool(&x, &windows);
            assert_eq!(index.index().item(), expected, "{square:?}");
            assert_eq!(y.item().to_bits(), square[expected as usize].to_bits(), "{square:?}");
        }
    }
}

#[test]
fn scatter_adds_in_row_major_order() {
    for shape in SHAPES {
        for windows in windows(shape) {
            let hw = [shape[2], shape[3]];
            let (_, index) = max_pool(&layouts::<f32>(shape, 2)[0], &windows);
            let out = [shape[0], shape[1], windows[0].len(), windows[1].len()];
            for dy in layouts::<f32>(out, 3) {
                let mut expected = vec![0.0; shape.iter().product()];
                for (i, (dy, place)) in elements(&dy).into_iter().zip(elements(index.index())).enumerate() {
                    expected[i / (out[2] * out[3]) * hw[0] * hw[1] + place as usize] += dy;
                }
                assert_eq!(elements(&scatter2d(&dy, &index, hw)), expected, "{:?}", dy.layout());
            }
        }
    }
}

#[test]
fn average_and_its_adjoint_are_those_of_every_window() {
    for shape in SHAPES {
        for windows in windows(shape) {
            for x in layouts::<f32>(shape, 4) {
                let mut expected = vec![];
                each(shape, &windows, |n, c, rows, columns| {
                    let along = |w: &Window| (w.start..w.end).step_by(w.step);
                    let cells = along(rows).flat_map(|i| along(columns).map(move |j| (i, j)));
                    let sum: f64 = cells.map(|(i, j)| f64::from(x.at(&[n, c, i, j]))).sum();
                    expected.push(sum / (rows.divisor * columns.divisor) as f64);
                });
                assert!(close(&elements(&avg_pool(&x, &windows)), &expected, 1e-5), "{:?}", x.layout());
            }
            for dy in layouts::<f64>([shape[0], shape[1], windows[0].len(), windows[1].len()], 5) {
                let mut gradients = elements(&dy).into_iter();
                let mut expected = vec![0.0; shape.iter().product()];
                each(shape, &windows, |n, c, rows, columns| {
                    let share =
                        gradients.next().expect("one for each window") / (rows.divisor * columns.divisor) as f64;
                    for i in (rows.start..rows.end).step_by(rows.step) {
                        for j in (columns.start..columns.end).step_by(columns.step) {
                            expected[((n * shape[1] + c) * shape[2] + i) * shape[3] + j] += share;
                        }
                    }
                });
                let dx = avg_pool_adjoint(&dy, &windows, [shape[2], shape[3]]);
                assert!(close(&elements(&dx), &expected, 1e-12), "{:?}", dy.layout());
            }
        }
    }
}

#[test]
fn results_keep_the_memory_format_and_do_not_depend_on_threads() {
    let shape = [2, 40, 34, 34];
    for (x, last) in layouts::<f32>(shape, 6).into_iter().zip([false, true]) {
        for windows in windows(shape) {
            let all = || {
                let (y, index) = max_pool(&x, &windows);
                let dx = scatter2d(&y, &index, [34, 34]);
                let mean = avg_pool(&x, &windows);
                let back = avg_pool_adjoint(&mean, &windows, [34, 34]);
                [y, dx, mean, back]
            };
            for (one, three) in with_threads(1, all).into_iter().zip(with_threads(3, all)) {
                assert!(elements(&one) == elements(&three));
                // Images of one pixel have no memory format for the adjoint to keep.
                assert!(windows[0].len() == 1 || (one.layout().strides()[1] == 1) == last);
            }
        }
    }
}

#[test]
fn relu_of_the_maximum_has_an_index_only_above_zero() {
    for shape in SHAPES {
        for windows in windows(shape) {
            for x in layouts::<f32>(shape, 1) {
                let x = x.binary(crate::kernel::Binary::Sub, &TensorOf::scalar(3.0));
                let (plain, index) = max_pool(&x, &windows);
                let (y, indices) = relu_max_pool(&x, &windows);
                let expected: Vec<f32> = elements(&plain).iter().map(|&v| v.max(0.0)).collect();
                assert_eq!(elements(&y), expected);
                let live = |(&v, &i): (&f32, &i32)| if v > 0.0 { i } else { -1 };
                let expected: Vec<i32> =
                    elements(&plain).iter().zip(elements(index.index()).iter()).map(live).collect();
                assert_eq!(elements(indices.index()), expected);
                let hw = [shape[2], shape[3]];
                let ones = TensorOf::ones(y.shape());
                let total: f32 = elements(&scatter2d(&ones, &indices, hw)).iter().sum();
                assert_eq!(total, expected.iter().filter(|&&i| i >= 0).count() as f32);
                assert_eq!(elements(&gather2d(&x, &indices)), elements(&y), "gather2d gives 0 where the index is -1");
            }
        }
    }
    let x = TensorOf::from_slice(&[f32::NAN, -1.0, 2.0, 3.0], [1, 1, 2, 2]);
    let windows = pool2d("max_pool2d", x.shape(), 2.into()).expect("it fits");
    let (y, indices) = relu_max_pool(&x, &windows);
    assert!(
        y.item().is_nan() && indices.index().item() == -1,
        "NaN propagates, and as in relu its gradient is blocked"
    );
}
