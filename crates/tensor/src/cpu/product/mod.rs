//! Matrix products: by our own kernel ([`gemm`]), by the matrixmultiply crate for shapes that do not fill its tiles, and by
//! plain loops for tiny products.

mod gemm;
mod tile;
mod tiny;

pub(crate) use tile::{Operand, Start, padded_rows, product, tile, tile_columns, tile_rows};

use std::any::TypeId;

use crate::cpu::reduce;
use crate::cpu::simd::{self, Level};
use crate::element::Float;
use crate::layout::Layout;
use crate::parallel::{Disjoint, parallel_for};
use crate::shape::Shape;
use crate::tensor::TensorOf;

/// Up to this many multiplications a plain loop is faster than packing operands.
const TINY: usize = 256;
/// The minimum rows, columns and depth for our own kernel; matrixmultiply computes smaller products, and all products at the
/// portable level.
const LEAST_ROWS: usize = 8;
const COLUMNS: usize = 16;
const DEPTH: usize = 8;
/// The minimum number of multiplications per task.
const GRAIN: usize = 1 << 17;

/// A matrix of a batch: its start, and its row and column strides.
#[derive(Clone, Copy)]
struct Matrix {
    start: isize,
    rows: isize,
    columns: isize,
}

impl Matrix {
    fn at(self, row: usize, column: usize) -> isize {
        self.start + row as isize * self.rows + column as isize * self.columns
    }

    /// The last two axes of a layout, at one index of the leading ones, which are counted in row-major order.
    fn of(layout: &Layout, mut index: usize) -> Self {
        let (shape, strides) = (layout.shape(), layout.strides());
        let lead = shape.rank() - 2;
        let mut start = layout.offset() as isize;
        for axis in (0..lead).rev() {
            start += (index % shape[axis]) as isize * strides[axis];
            index /= shape[axis];
        }
        Self { start, rows: strides[lead], columns: strides[lead + 1] }
    }
}

/// `c = a · b + beta · c`: (M, K) · (K, N) → (M, N), summed over K by one thread.
///
/// # Safety
/// All elements of the three matrices are in bounds of their allocations. The elements of `c` do not overlap and are not
/// aliased.
unsafe fn small_product<T: Float>(
    [m, k, n]: [usize; 3],
    (a, at): (*const T, Matrix),
    (b, bt): (*const T, Matrix),
    beta: T,
    (c, ct): (*mut T, Matrix),
) {
    let (a, b, c) = (a.wrapping_offset(at.start), b.wrapping_offset(bt.start), c.wrapping_offset(ct.start));
    if m * k * n <= TINY {
        let (at, bt, ct) = (Matrix { start: 0, ..at }, Matrix { start: 0, ..bt }, Matrix { start: 0, ..ct });
        for i in 0..m {
            for j in 0..n {
                let mut sum = T::ZERO;
                for l in 0..k {
                    // SAFETY: in bounds of the matrices.
                    sum += unsafe { *a.offset(at.at(i, l)) * *b.offset(bt.at(l, j)) };
                }
                // SAFETY: as above.
                unsafe {
                    let y = c.offset(ct.at(i, j));
                    *y = if beta == T::ZERO { sum } else { sum + beta * *y };
                }
            }
        }
        return;
    }
    macro_rules! call {
        ($gemm:ident, $t:ty) => {
            // SAFETY: T is this type; the matrices are valid as promised by the caller.
            unsafe {
                let beta = if beta == T::ZERO { 0.0 } else { 1.0 };
                let (a, b, c) = (a.cast::<$t>(), b.cast::<$t>(), c.cast::<$t>());
                matrixmultiply::$gemm(
                    m, k, n, 1.0, a, at.rows, at.columns, b, bt.rows, bt.columns, beta, c, ct.rows, ct.columns,
                );
            }
        };
    }
    // `Float` is sealed over these two.
    if TypeId::of::<T>() == TypeId::of::<f32>() { call!(sgemm, f32) } else { call!(dgemm, f64) }
}

/// Fills y (…, M, N), a contiguous tensor, tile by tile. With a bias the columns start from it, else from 0.
fn tiles<T: Float>(y: &mut TensorOf<T>, a: (&[T], &Layout), b: (&[T], &Layout), bias: Option<&TensorOf<T>>) {
    let shape = y.shape();
    let rank = shape.rank();
    let (m, n, k) = (shape[rank - 2], shape[rank - 1], a.1.shape()[rank - 1]);
    if shape.numel() == 0 {
        return;
    }
    let batch = shape.numel() / (m * n);
    if m >= LEAST_ROWS
        && n >= COLUMNS
        && k >= DEPTH
        && (simd::level() > Level::Portable || cfg!(target_arch = "aarch64"))
    {
        let c = y.buffer_mut().0;
        for (index, c) in c.chunks_exact_mut(m * n).enumerate() {
            let [a, b] = [a, b].map(|(buffer, layout)| {
                let Matrix { start, rows, columns } = Matrix::of(layout, index);
                gemm::Matrix { buffer, start: start as usize, row: rows, column: columns }
            });
            gemm::gemm([m, k, n], a, b, bias, c);
        }
        return;
    }
    // Small enough for small products to use all threads, large enough to amortize packing.
    let side = if m * n <= 512 * 512 { 64 } else { 256 };
    let (across, down) = (n.div_ceil(side), m.div_ceil(side));
    let (buffer, out) = y.buffer_mut();
    let c = Disjoint::new(buffer);
    let per_tile = m.min(side) * n.min(side) * k.max(1);
    parallel_for(batch * down * across, GRAIN.div_ceil(per_tile), |range| {
        for tile in range {
            let (index, row, column) = (tile / (down * across), tile / across % down * side, tile % across * side);
            let (rows, columns) = (side.min(m - row), side.min(n - column));
            let (at, bt, ct) = (Matrix::of(a.1, index), Matrix::of(b.1, index), Matrix::of(&out, index));
            if let Some(bias) = bias {
                let (from, step) = (bias.buffer(), bias.layout().strides()[0]);
                let start = bias.layout().offset() as isize;
                for i in row..row + rows {
                    let first = ct.at(i, column) as usize;
                    // SAFETY: this tile's part of one row; tiles do not overlap.
                    let y = unsafe { c.slice(first..first + columns) };
                    for (j, y) in y.iter_mut().enumerate() {
                        *y = from[(start + (column + j) as isize * step) as usize];
                    }
                }
            }
            let beta = if bias.is_some() { T::ONE } else { T::ZERO };
            let at = Matrix { start: at.at(row, 0), ..at };
            let bt = Matrix { start: bt.at(0, column), ..bt };
            let ct = Matrix { start: ct.at(row, column), ..ct };
            let size = [rows, k, columns];
            // SAFETY: layouts are in bounds of their buffers, and tiles do not overlap.
            unsafe { small_product(size, (a.0.as_ptr(), at), (b.0.as_ptr(), bt), beta, (c.ptr(0), ct)) }
        }
    });
}

pub(crate) fn matmul<T: Float>(a: &TensorOf<T>, b: &TensorOf<T>) -> TensorOf<T> {
    if let Some(y) = tiny::matmul(a, b) {
        return y;
    }
    let rank = a.rank();
    let shape = a.shape().with(rank - 1, b.shape()[rank - 1]);
    let mut y = TensorOf::uninitialized(Layout::contiguous(shape));
    // (…, M, N) = (…, M, K) · (…, K, N)
    tiles(&mut y, (a.buffer(), a.layout()), (b.buffer(), b.layout()), None);
    y
}

pub(crate) fn linear<T: Float>(x: &TensorOf<T>, w: &TensorOf<T>, b: Option<&TensorOf<T>>) -> TensorOf<T> {
    if let Some(y) = tiny::linear(x, w, b) {
        return y;
    }
    let shape = Shape::from([x.shape()[0], w.shape()[0]]);
    let mut y = TensorOf::uninitialized(Layout::contiguous(shape));
    let w = w.transpose(0, 1);
    // (N, O) = (N, I) · (I, O)
    tiles(&mut y, (x.buffer(), x.layout()), (w.buffer(), w.layout()), b);
    y
}

/// The requested gradients of `linear` in w and b.
pub(crate) fn linear_parameter_gradients<T: Float>(
    x: &TensorOf<T>,
    dy: &TensorOf<T>,
    [for_w, for_b]: [bool; 2],
) -> [Option<TensorOf<T>>; 2] {
    [
        // (O, I) = (O, N) · (N, I)
        for_w.then(|| matmul(&dy.transpose(0, 1), x)),
        for_b.then(|| reduce::sum(dy, &[true, false]).reshape(dy.shape()[1])),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parallel::with_threads;
    use crate::tensor::Tensor64;

    fn numbers(shape: impl Into<Shape>, seed: usize) -> Tensor64 {
        Tensor64::from_fn(shape, |i| ((i * 7919 + seed * 104_729 + 17) % 1009) as f64 / 504.5 - 1.0)
    }

    /// The product by its definition, in row-major order.
    fn slow(a: &Tensor64, b: &Tensor64) -> Vec<f64> {
        let (s, rank) = (a.shape(), a.rank());
        let (m, k, n) = (s[rank - 2], s[rank - 1], b.shape()[rank - 1]);
        let batch: usize = s[..rank - 2].iter().product();
        let mut y = Vec::new();
        for index in 0..batch {
            let mut at: Vec<usize> = (0..rank - 2)
                .map(|axis| index / s[axis + 1..rank - 2].iter().product::<usize>() % s[axis])
                .chain([0, 0])
                .collect();
            for i in 0..m {
                for j in 0..n {
                    let mut sum = 0.0;
                    for l in 0..k {
                        at[rank - 2..].copy_from_slice(&[i, l]);
                        let left = a.at(&at);
                        at[rank - 2..].copy_from_slice(&[l, j]);
                        sum += left * b.at(&at);
                    }
                    y.push(sum);
                }
            }
        }
        y
    }

    fn check(a: &Tensor64, b: &Tensor64) {
        let expected = slow(a, b);
        let k = a.shape()[a.rank() - 1];
        let y = matmul(a, b);
        assert_eq!(y.numel(), expected.len());
        for (y, e) in y.as_slice().unwrap().iter().zip(&expected) {
            assert!((y - e).abs() <= 1e-14 * (k as f64 + 1.0), "{} · {}: {y} is not {e}", a.shape(), b.shape());
        }
    }

    #[test]
    fn products_of_any_size_match_the_definition() {
        for (i, [m, k, n]) in [
            [1, 1, 1],
            [2, 2, 2],
            [1, 300, 1],
            [3, 5, 7],
            [7, 300, 9],
            [65, 17, 130],
            [64, 64, 64],
            [520, 3, 515],
            [0, 3, 2],
            [3, 0, 2],
            [3, 2, 0],
        ]
        .into_iter()
        .enumerate()
        {
            check(&numbers([m, k], i), &numbers([k, n], i + 100));
        }
    }

    #[test]
    fn operands_have_any_strides() {
        let (m, k, n) = (37, 19, 70);
        check(&numbers([k, m], 1).transpose(0, 1), &numbers([n, k], 2).transpose(0, 1));
        check(&numbers([m, k], 1).slice(0, m - 1, m, -1), &numbers([k, 2 * n], 2).slice(1, 1, n, 2));
        check(&numbers([1, k], 1).broadcast_to([m, k]), &numbers([k, 1], 2).broadcast_to([k, n]));
        check(&numbers([m, k + 5], 1).narrow(1, 3..3 + k), &numbers([k, n], 2).slice(0, k - 1, k, -1));
    }

    #[test]
    fn leading_axes_are_a_batch() {
        check(&numbers([2, 3, 4, 5], 1), &numbers([2, 3, 5, 6], 2));
        check(&numbers([3, 2, 40, 5], 1).permute(&[1, 0, 2, 3]), &numbers([1, 1, 5, 6], 2).broadcast_to([2, 3, 5, 6]));
        check(&numbers([0, 4, 5], 1), &numbers([0, 5, 6], 2));
    }

    #[test]
    fn linear_is_a_product_plus_a_bias() {
        for [n, i, o] in [[1, 2, 2], [5, 4, 3], [64, 100, 70], [3, 0, 2], [0, 3, 2]] {
            let (x, w, b) = (numbers([n, i], 1), numbers([o, i], 2), numbers([2 * o], 3).slice(0, 0, o, 2));
            let expected = slow(&x, &w.transpose(0, 1));
            for bias in [None, Some(&b)] {
                let y = linear(&x, &w, bias);
                for (at, (y, e)) in y.as_slice().unwrap().iter().zip(&expected).enumerate() {
                    let e = e + bias.map_or(0.0, |b| b.at(&[at % o]));
                    assert!((y - e).abs() < 1e-13, "{n} {i} {o}: {y} is not {e}");
                }
            }
        }
    }

    #[test]
    fn any_number_of_threads_gives_the_same_bits() {
        let (a, b) = (numbers([200, 300], 1).to_f32(), numbers([300, 150], 2).to_f32());
        let one = with_threads(1, || matmul(&a, &b).to_vec());
        assert!(one == with_threads(3, || matmul(&a, &b).to_vec()));
        let exact = slow(&a.to_f64(), &b.to_f64());
        assert!(one.iter().zip(&exact).all(|(&y, e)| (f64::from(y) - e).abs() < 1e-4));
    }
}
