//! Gradient clipping: the sum of squares over many tensors, and scaling many tensors.

use crate::cpu::elementwise::{Binary, Unary, binary, cast, unary};
use crate::cpu::reduce::sum;
use crate::element::Float;
use crate::shape::MAX_RANK;
use crate::tensor::TensorOf;

pub(crate) fn sum_of_squares<T: Float>(xs: &[&TensorOf<T>]) -> TensorOf<f64> {
    let mut total = 0.0;
    for x in xs {
        let squares = unary(Unary::Square, x);
        total += sum(&squares, &[true; MAX_RANK][..x.rank()]).item().to_f64();
    }
    TensorOf::scalar(total)
}

pub(crate) fn scale_all<T: Float>(xs: Vec<&mut TensorOf<T>>, factor: &TensorOf<f64>) {
    let factor = cast(factor);
    for x in xs {
        *x = binary(Binary::Mul, x, &factor);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Key, Purpose};
    use crate::tensor::{Tensor, Tensor64};

    fn noise<T: Float>(shape: &[usize], seed: u64) -> TensorOf<T> {
        TensorOf::random_normal(Key::new(seed, Purpose::CHECK), shape)
    }

    /// Tensors in various layouts, including an empty one.
    fn several<T: Float>() -> Vec<TensorOf<T>> {
        let x = noise::<T>(&[30, 20, 11], 1);
        let mut all = vec![x.permute(&[2, 0, 1]), x.slice(1, 19, 7, -2), x.narrow(0, 3..4).broadcast_to([5, 20, 11])];
        all.extend([x, noise(&[0, 3], 2), noise(&[70_001], 3), noise(&[], 4)]);
        all
    }

    /// The same bits as separate elementwise ops, sums and additions.
    #[test]
    fn a_sum_is_that_of_the_sums_of_each() {
        fn check<T: Float>() {
            let xs = several::<T>();
            let mut expected = Tensor64::scalar(0.0);
            for x in &xs {
                expected.add_assign(&x.unary(Unary::Square).sum(&[], false).to_f64());
            }
            let found = sum_of_squares(&xs.iter().collect::<Vec<_>>());
            assert_eq!(found.item().to_bits(), expected.item().to_bits());
        }
        check::<f32>();
        check::<f64>();
        assert_eq!(sum_of_squares(&[&Tensor::from([3.0, 0.0]), &Tensor::scalar(-4.0)]).item(), 25.0);
        assert_eq!(sum_of_squares::<f32>(&[]).item(), 0.0);
        assert!(sum_of_squares(&[&Tensor::ones(3), &Tensor::from([0.0, f32::NAN])]).item().is_nan());
    }

    #[test]
    fn a_factor_is_rounded_and_what_others_hold_stays() {
        let xs = several::<f32>();
        let before: Vec<Vec<f32>> = xs.iter().map(Tensor::to_vec).collect();
        let mut scaled = xs.clone();
        scale_all(scaled.iter_mut().collect(), &Tensor64::scalar(0.3));
        for ((x, y), before) in xs.iter().zip(&scaled).zip(before) {
            assert_eq!(y.shape(), x.shape());
            assert_eq!(y.to_vec(), before.iter().map(|v| v * 0.3).collect::<Vec<f32>>());
            assert_eq!(x.to_vec(), before);
        }
    }
}
