//! Matrix products so small that a plain loop is faster than setting up a general product.

use super::Matrix;
use crate::element::Float;

/// The maximum number of multiplications of a tiny product.
const MAX_PRODUCTS: usize = 256;

/// Whether (M, K) · (K, N) is tiny.
pub(super) fn applies([m, k, n]: [usize; 3]) -> bool {
    m * k * n <= MAX_PRODUCTS
}

/// `c = a · b + bias`: (M, K) · (K, N) → (M, N), c contiguous, the bias (N) added last.
pub(super) fn product<T: Float>([m, k, n]: [usize; 3], a: Matrix<T>, b: Matrix<T>, bias: Option<&[T]>, c: &mut [T]) {
    for (i, row) in c.chunks_exact_mut(n).take(m).enumerate() {
        for (j, y) in row.iter_mut().enumerate() {
            let mut sum = T::ZERO;
            for l in 0..k {
                sum += a.get(i, l) * b.get(l, j);
            }
            *y = bias.map_or(sum, |bias| sum + bias[j]);
        }
    }
}
