//! Every function compared with its formula in `f64`, at kinks and in the tails, for every kind of strides, at every level
//! of CPU features and on any number of threads.

use crate::cpu::simd::at_each_level;
use crate::element::{Element, Float};
use crate::parallel::with_threads;
use crate::parameters::elementwise::{Binary, Compare, Unary};
use crate::tensor::{Tensor, Tensor64, TensorOf};

/// Every function, and further instances of some.
fn unary_functions() -> Vec<Unary> {
    let more = [Unary::Pow(2.0), Unary::Pow(3.0), Unary::Pow(-1.0), Unary::Swish(1.0), Unary::Swish(-0.5)];
    [Unary::EXAMPLES, &more].concat()
}

/// The functions of gradients, with their unary functions and whether their second argument is y instead of x.
fn backward_functions() -> impl Iterator<Item = (Unary, Binary, bool)> {
    let backward = |forward: Unary| forward.backward().map(|(backward, of_y)| (forward, backward, of_y));
    unary_functions().into_iter().filter_map(backward)
}

fn binary_functions() -> Vec<Binary> {
    Binary::ARITHMETIC.iter().copied().chain(backward_functions().map(|(_, backward, _)| backward)).collect()
}

/// Numbers on both sides of 0, away from kinks.
fn samples() -> Vec<f64> {
    (-160..160).map(|i| f64::from(i) / 16.0 + 0.013).collect()
}

fn close<T: Float>(got: T, want: f64, what: &str) {
    let limit = 16.0 * T::EPSILON.to_f64() * want.abs().max(1.0);
    assert!((got.to_f64() - want).abs() <= limit || got.is_nan() && want.is_nan(), "{what}: {got} instead of {want}");
}

fn unary_matches<T: Float>() {
    let x = TensorOf::<T>::from(samples().into_iter().map(T::from_f64).collect::<Vec<T>>());
    for op in unary_functions() {
        for (x, y) in x.to_vec().into_iter().zip(x.unary(op).to_vec()) {
            close(y, op.definition(x.to_f64()), &format!("{op:?} of {x}"));
        }
    }
}

#[test]
fn unary_functions_match_their_definitions() {
    unary_matches::<f32>();
    unary_matches::<f64>();
}

#[test]
fn backward_functions_are_the_derivatives() {
    let x = Tensor64::from(samples());
    for (forward, op, takes_output) in backward_functions() {
        let h = 1e-5;
        let slope = |x: f64| {
            let at = |x: f64| Tensor64::scalar(x).unary(forward).item();
            (at(x + h) - at(x - h)) / (2.0 * h)
        };
        let argument = if takes_output { x.unary(forward) } else { x.clone() };
        let dx = Tensor64::full(x.shape(), 3.0).binary(op, &argument);
        for (x, dx) in x.to_vec().into_iter().zip(dx.to_vec()) {
            assert!((dx - 3.0 * slope(x)).abs() < 1e-8, "{op:?} at {x}: {dx} instead of {}", 3.0 * slope(x));
        }
    }
}

#[test]
fn arithmetic_of_two() {
    let (a, b) = (Tensor::from([6.0, -1.0, 0.0]), Tensor::from([2.0, 4.0, -8.0]));
    for (op, want) in [
        (Binary::Add, [8.0, 3.0, -8.0]),
        (Binary::Sub, [4.0, -5.0, 8.0]),
        (Binary::Mul, [12.0, -4.0, 0.0]),
        (Binary::Div, [3.0, -0.25, 0.0]),
        (Binary::Maximum, [6.0, 4.0, 0.0]),
        (Binary::Minimum, [2.0, -1.0, -8.0]),
        (Binary::Power, [36.0, 1.0, f32::INFINITY]),
        (Binary::Remainder, [0.0, 3.0, 0.0]),
    ] {
        assert_eq!(a.binary(op, &b).to_vec(), want, "{op:?}");
    }
}

#[test]
fn angles_of_points() {
    let (y, x) = (Tensor64::from([1.0, 1.0, -1.0, 0.0]), Tensor64::from([1.0, -1.0, 0.0, -8.0]));
    let angles = y.binary(Binary::Atan2, &x).to_vec();
    for (angle, eighths) in angles.into_iter().zip([1.0, 3.0, -2.0, 4.0]) {
        close(angle, eighths * std::f64::consts::FRAC_PI_4, "atan2");
    }
}

/// As Python's and PyTorch's.
#[test]
fn remainders_have_the_sign_of_the_divisor() {
    let remainder = |a: f64, b: f64| Tensor64::scalar(a).binary(Binary::Remainder, &Tensor64::scalar(b)).item();
    for (a, b, rest) in [(5.0, 3.0, 2.0), (-5.0, 3.0, 1.0), (5.0, -3.0, -1.0), (-5.0, -3.0, -2.0), (-0.25, 1.0, 0.75)] {
        assert_eq!(remainder(a, b), rest, "{a} modulo {b}");
    }
    assert_eq!(remainder(1.5, f64::INFINITY), 1.5);
    assert!(remainder(1.0, 0.0).is_nan());
}

#[test]
fn kinks_are_as_documented() {
    let at = |op: Unary, x: f64| Tensor64::scalar(x).unary(op).item();
    for op in [Unary::Relu, Unary::Sign, Unary::Abs, Unary::Clamp(-1.0, 1.0), Unary::LeakyRelu(0.1), Unary::Mish] {
        assert!(at(op, f64::NAN).is_nan(), "{op:?}");
    }
    assert_eq!((at(Unary::Sign, 0.0), at(Unary::Relu, 0.0)), (0.0, 0.0));
    let backward = |op: Binary, x: f64| Tensor64::scalar(1.0).binary(op, &Tensor64::scalar(x)).item();
    assert_eq!(backward(Binary::ReluBackward, 0.0), 0.0);
    assert_eq!(backward(Binary::LeakyReluBackward(0.1), 0.0), 0.1);
    assert_eq!(backward(Binary::ClampBackward(-1.0, 1.0), 1.0), 0.0);
    assert_eq!(backward(Binary::ClampBackward(-1.0, 1.0), -1.0), 0.0);
    assert_eq!(backward(Binary::ClampBackward(-1.0, 1.0), 0.999), 1.0);
    assert_eq!(backward(Binary::ClampBackward(-1.0, 1.0), -1.5), 0.0);
    for op in [Binary::Maximum, Binary::Minimum] {
        let nan = Tensor64::scalar(f64::NAN);
        let one = Tensor64::scalar(1.0);
        assert!(nan.binary(op, &one).item().is_nan() && one.binary(op, &nan).item().is_nan(), "{op:?}");
    }
}

fn tails<T: Float>() {
    for size in [1000.0, f64::INFINITY] {
        let (low, high) = (TensorOf::scalar(T::from_f64(-size)), TensorOf::scalar(T::from_f64(size)));
        for op in [Unary::Swish(1.0), Unary::Mish, Unary::Gelu, Unary::GeluTanh, Unary::Softplus, Unary::Sigmoid] {
            let top = if op == Unary::Sigmoid { 1.0 } else { size };
            assert_eq!(low.unary(op).item().to_f64(), 0.0, "{op:?}");
            assert_eq!(high.unary(op).item().to_f64(), top, "{op:?}");
        }
        let dy = TensorOf::scalar(T::ONE);
        for op in [
            Binary::SwishBackward(1.0),
            Binary::MishBackward,
            Binary::GeluBackward,
            Binary::GeluTanhBackward,
            Binary::SoftplusBackward,
        ] {
            assert_eq!(dy.binary(op, &low).item().to_f64(), 0.0, "{op:?}");
            assert_eq!(dy.binary(op, &high).item(), T::ONE, "{op:?}");
        }
    }
}

#[test]
fn tails_reach_their_limits() {
    tails::<f32>();
    tails::<f64>();
}

/// The same numbers in several layouts: plain, transposed, channels-last, sliced, reversed.
fn layouts(x: &Tensor) -> Vec<Tensor> {
    let wide = Tensor::concat(&[x, x, x], 3);
    let len = x.shape()[3];
    let gaps = Tensor::concat(&[&x.unsqueeze(-1), &Tensor::full(x.unsqueeze(-1).shape(), 7.0)], -1);
    let reversed = x.slice(3, len.saturating_sub(1), len, -1).contiguous();
    vec![
        x.clone(),
        x.channels_last(),
        x.transpose(0, 3).contiguous().transpose(0, 3),
        wide.narrow(3, len..2 * len),
        gaps.narrow(4, 0..1).squeeze(4),
        reversed.slice(3, len.saturating_sub(1), len, -1),
    ]
}

#[test]
fn every_layout_gives_the_same_numbers() {
    for shape in [[2, 3, 5, 7], [1, 1, 1, 1], [2, 300, 1, 3], [3, 1, 2, 300], [2, 0, 3, 1]] {
        let x = Tensor::from_fn(shape, |i| (i as f32 * 0.37).sin());
        let y = Tensor::from_fn(shape, |i| (i as f32 * 0.11).cos());
        let (square, sum) = (x.unary(Unary::Square).to_vec(), x.binary(Binary::Sub, &y).to_vec());
        for x in layouts(&x) {
            assert_eq!(x.unary(Unary::Square).to_vec(), square, "{:?}", x.layout());
            for y in layouts(&y) {
                assert_eq!(x.binary(Binary::Sub, &y).to_vec(), sum, "{:?} {:?}", x.layout(), y.layout());
                let mut z = x.clone();
                z.add_assign(&y);
                assert_eq!(z.to_vec(), x.binary(Binary::Add, &y).to_vec());
            }
        }
    }
}

#[test]
fn operands_broadcast() {
    let x = Tensor::from_fn([2, 3, 4, 5], |i| i as f32);
    for shape in [vec![], vec![5], vec![4, 1], vec![3, 1, 1], vec![1, 3, 1, 1], vec![2, 1, 1, 5], vec![2, 3, 4, 5]] {
        let b = Tensor::from_fn(shape.clone(), |i| 1000.0 * i as f32);
        let wide = b.broadcast_to(x.shape());
        for x in layouts(&x) {
            let (y, z) = (x.binary(Binary::Sub, &b), b.binary(Binary::Sub, &x));
            for i in 0..x.numel() {
                let index = [i / 60, i / 20 % 3, i / 5 % 4, i % 5];
                assert_eq!(y.at(&index), x.at(&index) - wide.at(&index), "{shape:?}");
                assert_eq!(z.at(&index), wide.at(&index) - x.at(&index), "{shape:?}");
            }
        }
    }
    let outer = Tensor::from([[1.0], [2.0]]).binary(Binary::Mul, &Tensor::from([3.0, 4.0, 5.0]));
    assert_eq!(outer, Tensor::from([[3.0, 4.0, 5.0], [6.0, 8.0, 10.0]]));
}

#[test]
fn a_dense_operand_gives_its_order_of_axes() {
    let x = Tensor::ones([2, 3, 4, 5]);
    let last = x.channels_last();
    let bias = Tensor::ones([1, 3, 1, 1]);
    for y in [
        last.unary(Unary::Relu),
        last.binary(Binary::Add, &bias),
        bias.binary(Binary::Add, &last),
        bias.broadcast_to([2, 3, 4, 5]).binary(Binary::Add, &last),
    ] {
        assert_eq!(y.layout().strides(), last.layout().strides());
    }
}

#[test]
fn adding_in_place_leaves_shared_and_repeated_storage_alone() {
    let x = Tensor::from([1.0, 2.0]);
    let mut y = x.clone();
    y.add_assign(&x);
    assert_eq!((x.to_vec(), y.to_vec()), (vec![1.0, 2.0], vec![2.0, 4.0]));
    let mut repeated = Tensor::scalar(1.0).broadcast_to([3]);
    repeated.add_assign(&Tensor::from([1.0, 2.0, 3.0]));
    assert_eq!(repeated.to_vec(), [2.0, 3.0, 4.0]);
}

/// The bits of every function of pseudo-random numbers. Rust does not specify the sign of a NaN, so all NaNs are equal here.
fn bits() -> Vec<u64> {
    fn all<T: Float>(x: &TensorOf<T>, y: &TensorOf<T>) -> Vec<u64> {
        let unary = unary_functions().into_iter().map(|op| x.unary(op));
        let binary = binary_functions().into_iter().map(|op| x.binary(op, y));
        let numbers = unary.chain(binary).flat_map(|z| z.to_f64().to_vec());
        numbers.map(|z| if z.is_nan() { f64::NAN.to_bits() } else { z.to_bits() }).collect()
    }
    let x = Tensor64::from_fn([3, 1001], |i| ((i * 2_654_435_761) % 20_011) as f64 / 1000.0 - 10.0);
    let y = x.narrow(1, 1..1000).unary(Unary::Tanh);
    let x = x.narrow(1, 0..999);
    [all(&x, &y), all(&x.to_f32(), &y.to_f32())].concat()
}

#[test]
fn every_level_and_number_of_threads_gives_the_same_bits() {
    let one = with_threads(1, bits);
    assert!(with_threads(3, bits) == one);
    at_each_level(|level| assert!(bits() == one, "{level:?}"));
}

#[test]
fn relations_hold_for_every_type() {
    fn check<T: Element>() {
        let number = |x: f64| T::from_f64(x);
        let a = TensorOf::from([number(1.0), number(2.0), number(3.0)]);
        let b = TensorOf::scalar(number(2.0));
        for (op, want) in [
            (Compare::Equal, [0, 1, 0]),
            (Compare::NotEqual, [1, 0, 1]),
            (Compare::Less, [1, 0, 0]),
            (Compare::LessEqual, [1, 1, 0]),
            (Compare::Greater, [0, 0, 1]),
            (Compare::GreaterEqual, [0, 1, 1]),
        ] {
            assert_eq!(a.compare(op, &b).to_vec(), want, "{op:?} of {}", T::NAME);
        }
    }
    check::<f32>();
    check::<f64>();
    check::<i32>();
    check::<u8>();
    let nan = Tensor::scalar(f32::NAN);
    assert_eq!(nan.compare(Compare::Equal, &nan).item(), 0);
    assert_eq!(nan.compare(Compare::NotEqual, &nan).item(), 1);
}

#[test]
fn a_mask_selects_and_broadcasts() {
    let mask = TensorOf::<u8>::from([[1], [0]]);
    let (a, b) = (Tensor::from([1.0, 2.0, 3.0]), Tensor::scalar(9.0));
    assert_eq!(a.select(&mask, &b), Tensor::from([[1.0, 2.0, 3.0], [9.0, 9.0, 9.0]]));
}

#[test]
fn conversions_cut_off_and_truncate() {
    let x = Tensor::from([-1.5, 0.9, 255.9, 300.0, f32::NAN, f32::INFINITY]);
    assert_eq!(x.to_u8().to_vec(), [0, 0, 255, 255, 0, 255]);
    assert_eq!(x.to_i32().to_vec(), [-1, 0, 255, 300, 0, i32::MAX]);
    let pixels = TensorOf::<u8>::arange(256);
    assert_eq!(pixels.to_f32(), Tensor::arange(256));
    assert_eq!(pixels.to_f64().to_u8(), pixels);
    let large = TensorOf::<i32>::from([16_777_217, -16_777_219, i32::MAX, i32::MIN]);
    assert_eq!(large.to_f32().to_vec(), large.to_vec().iter().map(|&i| i as f32).collect::<Vec<_>>());
    assert_eq!(Tensor64::from([0.1, 1e300]).to_f32().to_vec(), [0.1, f32::INFINITY]);
}
