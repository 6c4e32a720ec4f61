use super::*;
use crate::cpu::simd::at_each_level;
use crate::parallel::with_threads;
use crate::tensor::Tensor64;

fn numbers(shape: impl Into<Shape>, seed: usize) -> Tensor64 {
    Tensor64::from_fn(shape, |i| ((i * 7919 + seed * 104_729 + 17) % 1009) as f64 / 504.5 - 1.0)
}

/// Sizes with whole and partial tiles, whole and partial registers, one and several blocks, images of one tile.
const SIZES: [[usize; 6]; 7] = [
    // N, C, O, H, W, padding
    [2, 16, 16, 8, 8, 1],
    [3, 17, 33, 7, 13, 1],
    [1, 20, 40, 16, 16, 2],
    [1, 19, 24, 5, 6, 0],
    [20, 16, 130, 4, 4, 1],
    [2, 133, 21, 3, 9, 2],
    [40, 32, 16, 2, 2, 1],
];

fn options(padding: usize) -> Conv2dOptions {
    Conv2dOptions { padding: [padding, padding], ..Conv2dOptions::default() }
}

/// The three results of this algorithm, compared with those of the convolution.
fn compare<T: Float>([n, c, o, h, w, padding]: [usize; 6], bound: f64) {
    let cast = |x: &Tensor64| {
        let numbers = x.to_vec();
        TensorOf::<T>::from_fn(x.shape(), |i| T::from_f64(numbers[i]))
    };
    let shape = [h + 2 * padding - 2, w + 2 * padding - 2];
    let (x, k) = (numbers([n, c, h, w], 1), numbers([o, c, 3, 3], 2));
    let (b, dy) = (numbers(o, 3), numbers([n, o, shape[0], shape[1]], 4));
    let (xt, kt, bt, dyt) = (cast(&x), cast(&k), cast(&b), cast(&dy));
    let close = |name: &str, y: &TensorOf<T>, exact: &Tensor64| {
        let largest = exact.to_vec().iter().fold(0f64, |m, e| m.max(e.abs()));
        for (y, e) in y.to_vec().iter().zip(exact.to_vec()) {
            assert!(
                (y.to_f64() - e).abs() <= bound * largest,
                "{name} of {n} {c} {o} {h} {w} {padding}: {y} instead of {e}"
            );
        }
    };
    let mut y = TensorOf::<T>::zeros(dy.shape());
    let (buffer, layout) = y.buffer_mut();
    Correlation { x: &xt, w: &kt, adjoint: false, bias: Some(&bt), padding: [padding; 2] }.write(buffer, &layout);
    close("y", &y, &x.conv2d(&k, Some(&b), options(padding)));
    let mut dx = TensorOf::<T>::zeros(x.shape());
    let (buffer, layout) = dx.buffer_mut();
    Correlation { x: &dyt, w: &kt, adjoint: true, bias: None, padding: [2 - padding; 2] }.write(buffer, &layout);
    close("dx", &dx, &dy.conv2d_input_gradient(&k, [h, w], options(padding)));
    let mut dw = TensorOf::<T>::zeros(k.shape());
    weight_gradient([&xt, &dyt], [padding; 2], shape, dw.buffer_mut().0);
    close("dw", &dw, &x.conv2d_weight_gradient(&dy, [3, 3], options(padding)));
}

#[test]
fn agrees_with_the_direct_convolution() {
    at_each_level(|_| {
        for sizes in SIZES {
            // In f64, with the direct convolution as the reference: this shows that the algorithm is correct.
            compare::<f64>(sizes, 1e-13);
            // The loss of accuracy in f32, relative to the largest element.
            compare::<f32>(sizes, 5e-5);
        }
    });
}

#[test]
fn any_layout_is_read_and_written() {
    let (n, c, o, side) = (2, 18, 20, 9);
    let (x, w) = (numbers([n, c, side, side], 1).to_f32(), numbers([o, c, 3, 3], 2).to_f32());
    let expected = x.conv2d(&w, None, options(1));
    let last = x.permute(&[0, 2, 3, 1]).contiguous().permute(&[0, 3, 1, 2]);
    let wide = TensorOf::concat(&[&x, &x], 3).narrow(3, 0..side);
    for view in [last, wide] {
        let y = view.conv2d(&w, None, options(1));
        assert_eq!(y.to_vec(), expected.to_vec());
        let dw = view.conv2d_weight_gradient(&expected, [3, 3], options(1));
        assert_eq!(dw.to_vec(), x.conv2d_weight_gradient(&expected, [3, 3], options(1)).to_vec());
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    for [n, c, o, h, w, padding] in SIZES {
        let (x, k) = (numbers([n, c, h, w], 1).to_f32(), numbers([o, c, 3, 3], 2).to_f32());
        let all = || {
            let y = x.conv2d(&k, None, options(padding));
            let dx = y.conv2d_input_gradient(&k, [h, w], options(padding));
            let dw = x.conv2d_weight_gradient(&y, [3, 3], options(padding));
            [y, dx, dw].map(|t| t.to_vec())
        };
        assert!(with_threads(1, all) == with_threads(3, all));
    }
}

#[test]
fn a_whole_layer_stays_within_the_bound() {
    // As many channels as the widest nets have: the longest sums.
    compare::<f32>([4, 512, 16, 8, 8, 1], 5e-5);
}
