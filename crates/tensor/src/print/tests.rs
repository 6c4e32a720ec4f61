//! The expected texts are the output of `NumPy` 2.4.6: `print(numpy.array(…, dtype))`, with
//! `numpy.set_printoptions(precision=…)`.

use super::*;

const NAN: f32 = f32::NAN;
const INF: f32 = f32::INFINITY;

#[test]
fn decimal_points_are_aligned() {
    let x = TensorOf::<f32>::from([[1.0, 2.5], [-3.0, 1000.0]]);
    assert_eq!(x.to_string(), "[[   1.     2.5]\n [  -3.  1000. ]]");
    assert_eq!(x.transpose(0, 1).to_string(), "[[   1.    -3. ]\n [   2.5 1000. ]]");
    assert_eq!(TensorOf::<f32>::from([1.0 / 3.0, 2.0 / 3.0, 1.0]).to_string(), "[0.33333334 0.6666667  1.        ]");
    assert_eq!(TensorOf::<f64>::from([1.0 / 3.0, 2.0 / 3.0, 1.0]).to_string(), "[0.33333333 0.66666667 1.        ]");
    assert_eq!(TensorOf::<f32>::from([-0.0, 0.25]).to_string(), "[-0.    0.25]");
}

#[test]
fn different_magnitudes_are_printed_with_exponents() {
    assert_eq!(TensorOf::<f32>::from([1e-5, 1.0, -2e4]).to_string(), "[ 1.e-05  1.e+00 -2.e+04]");
    assert_eq!(TensorOf::<f64>::from([1e-5, 1.0 / 3.0]).to_string(), "[1.00000000e-05 3.33333333e-01]");
    assert_eq!(TensorOf::<f32>::from([12_345_678.0, -1.0]).to_string(), "[ 1.2345678e+07 -1.0000000e+00]");
    assert_eq!(TensorOf::<f32>::from([0.3, 1.000_000_1e-5]).to_string(), "[3.0000001e-01 1.0000001e-05]");
    assert_eq!(TensorOf::<f32>::from([0.001, 1.5]).to_string(), "[1.0e-03 1.5e+00]");
    assert_eq!(TensorOf::<f64>::from([1e-100, -1e200, 0.0]).to_string(), "[ 1.e-100 -1.e+200  0.e+000]");
    assert_eq!(
        TensorOf::<f64>::from([1e-10, f64::INFINITY, f64::NAN, -1.0]).to_string(),
        "[ 1.e-10     inf     nan -1.e+00]"
    );
}

#[test]
fn nan_and_infinity_are_aligned() {
    assert_eq!(TensorOf::from([[1.5, NAN], [INF, -INF]]).to_string(), "[[ 1.5  nan]\n [ inf -inf]]");
    assert_eq!(TensorOf::from([NAN, 1.0]).to_string(), "[nan  1.]");
    assert_eq!(TensorOf::from([NAN, INF]).to_string(), "[nan inf]");
}

#[test]
fn integers_are_right_aligned() {
    assert_eq!(TensorOf::<i32>::from([[1, -20], [300, 4]]).to_string(), "[[  1 -20]\n [300   4]]");
    assert_eq!(TensorOf::<u8>::from([0, 255, 7]).to_string(), "[  0 255   7]");
}

#[test]
fn lines_are_wrapped_and_planes_separated() {
    assert_eq!(
        TensorOf::<i32>::arange(40).to_string(),
        "[ 0  1  2  3  4  5  6  7  8  9 10 11 12 13 14 15 16 17 18 19 20 21 22 23\n 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38 39]"
    );
    assert_eq!(
        TensorOf::<f32>::from_fn(24, |i| (i % 3) as f32 * 30.25).to_string(),
        "[ 0.   30.25 60.5   0.   30.25 60.5   0.   30.25 60.5   0.   30.25 60.5\n  0.   30.25 60.5   0.   30.25 60.5   0.   30.25 60.5   0.   30.25 60.5 ]"
    );
    assert_eq!(
        TensorOf::<f32>::arange(12).reshape([2, 2, 3]).to_string(),
        "[[[ 0.  1.  2.]\n  [ 3.  4.  5.]]\n\n [[ 6.  7.  8.]\n  [ 9. 10. 11.]]]"
    );
}

#[test]
fn large_tensors_are_summarized() {
    assert_eq!(TensorOf::<i32>::arange(1001).to_string(), "[   0    1    2 ...  998  999 1000]");
    let expected = "\
[[0.000e+00 1.000e+00 2.000e+00 ... 9.700e+01 9.800e+01 9.900e+01]
 [1.000e+02 1.010e+02 1.020e+02 ... 1.970e+02 1.980e+02 1.990e+02]
 [2.000e+02 2.010e+02 2.020e+02 ... 2.970e+02 2.980e+02 2.990e+02]
 ...
 [8.000e+02 8.010e+02 8.020e+02 ... 8.970e+02 8.980e+02 8.990e+02]
 [9.000e+02 9.010e+02 9.020e+02 ... 9.970e+02 9.980e+02 9.990e+02]
 [1.000e+03 1.001e+03 1.002e+03 ... 1.097e+03 1.098e+03 1.099e+03]]";
    assert_eq!(TensorOf::<f32>::arange(1100).reshape([11, 100]).to_string(), expected);
    let text = TensorOf::<i32>::arange(1440).reshape([2, 3, 8, 30]).to_string();
    assert!(
        text.starts_with("[[[[   0    1    2 ...   27   28   29]\n   [  30   31   32 ...   57   58   59]\n"),
        "{text}"
    );
    assert!(text.contains("  89]\n   ...\n   [ 150"), "{text}");
    assert!(text.contains(" 239]]\n\n  [[ 240") && text.contains(" 719]]]\n\n\n [[[ 720"), "{text}");
    assert!(text.ends_with("[1410 1411 1412 ... 1437 1438 1439]]]]"), "{text}");
}

#[test]
fn precision_sets_the_number_of_digits() {
    let x = TensorOf::<f32>::from([1.0 / 3.0, 2.0 / 3.0, 100.0]);
    assert_eq!(format!("{x:.3}"), "[  0.333   0.667 100.   ]");
    let x = TensorOf::<f32>::from([1.0 / 3e5, 2.0 / 3.0, 100.0]);
    assert_eq!(format!("{x:.3}"), "[3.333e-06 6.667e-01 1.000e+02]");
    assert_eq!(format!("{:.4}", TensorOf::scalar(2.0f32)), "2.0000");
}

#[test]
fn scalars_are_plain_numbers() {
    assert_eq!(TensorOf::scalar(1.5f32).to_string(), "1.5");
    assert_eq!(TensorOf::scalar(1.0f32 / 3.0).to_string(), "0.33333334");
    assert_eq!(TensorOf::scalar(2.0f32).to_string(), "2.0");
    assert_eq!(TensorOf::scalar(1e20f64).to_string(), "1e+20");
    assert_eq!(TensorOf::scalar(-1.5e-5f64).to_string(), "-1.5e-05");
    assert_eq!(TensorOf::scalar(NAN).to_string(), "nan");
    assert_eq!(TensorOf::scalar(7u8).to_string(), "7");
}

#[test]
fn empty_tensors_are_a_pair_of_brackets() {
    assert_eq!(TensorOf::<f32>::zeros([2, 0]).to_string(), "[]");
    assert_eq!(TensorOf::<i32>::zeros([0, 3]).to_string(), "[]");
}

#[test]
fn debug_shows_type_and_shape() {
    let x = TensorOf::<f32>::from([[1.0, 2.0]]);
    assert_eq!(format!("{x:?}"), "TensorOf<f32> (1, 2)\n[[1. 2.]]");
    assert_eq!(format!("{:?}", TensorOf::scalar(3i32)), "TensorOf<i32> ()\n3");
}
