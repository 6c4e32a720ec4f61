//! Matrix products, by four implementations: plain loops for tiny ones (`tiny`), one pass over the large matrix for products with few
//! rows or columns (`narrow`), our own blocked kernel for large ones (`gemm`), whose innermost loop convolutions use as well
//! (`tile`), and the matrixmultiply crate for the rest.

mod gemm;
mod narrow;
mod tile;
mod tiny;

pub(crate) use tile::{Operand, ROW_GROUP, Start, padded_rows, product, tile, tile_columns, tiles};

use std::any::TypeId;

use crate::cpu::reduce;
use crate::cpu::simd::{self, Level};
use crate::element::Float;
use crate::parallel::{Disjoint, parallel_chunks, parallel_for};
use crate::shape::Shape;
use crate::tensor::TensorOf;

/// The minimum rows, columns and depth for our own kernel for large products; at the portable level of x86-64 matrixmultiply computes
/// all that are not tiny.
const MIN_ROWS: usize = 8;
const MIN_COLUMNS: usize = 16;
const MIN_DEPTH: usize = 8;
/// The minimum number of multiplications per task.
const GRAIN: usize = 1 << 17;

/// A strided matrix in a buffer: element (i, j) is at `start + i·row + j·column`.
#[derive(Clone, Copy)]
struct Matrix<'a, T> {
    buffer: &'a [T],
    start: usize,
    row: isize,
    column: isize,
}

impl<'a, T: Float> Matrix<'a, T> {
    /// The last two axes of a tensor, at one index of the leading ones, which are counted in row-major order.
    fn of(x: &'a TensorOf<T>, mut index: usize) -> Self {
        let (layout, shape, strides) = (x.layout(), x.layout().shape_ref().dims(), x.layout().strides());
        let lead = shape.len() - 2;
        let mut start = layout.offset() as isize;
        for axis in (0..lead).rev() {
            start += (index % shape[axis]) as isize * strides[axis];
            index /= shape[axis];
        }
        Self { buffer: x.buffer(), start: start as usize, row: strides[lead], column: strides[lead + 1] }
    }

    fn transposed(self) -> Self {
        Self { row: self.column, column: self.row, ..self }
    }

    #[inline]
    fn at(&self, i: usize, j: usize) -> usize {
        (self.start as isize + i as isize * self.row + j as isize * self.column) as usize
    }

    #[inline]
    fn get(&self, i: usize, j: usize) -> T {
        self.buffer[self.at(i, j)]
    }

    /// The address of an element; elements before it are reachable from it too.
    fn address(&self, i: usize, j: usize) -> *const T {
        self.buffer.as_ptr().wrapping_add(self.at(i, j))
    }
}

/// `c = a · b`, or `c += a · b`: (M, K) · (K, N) → (M, N), summed over K by one thread; the rows of c are contiguous.
///
/// # Safety
/// All elements of the three matrices are in bounds of their allocations. Those of c are not aliased.
unsafe fn by_matrixmultiply<T: Float>(
    [m, k, n]: [usize; 3],
    (a, a_strides): (*const T, [isize; 2]),
    (b, b_strides): (*const T, [isize; 2]),
    (c, c_row): (*mut T, usize),
    accumulate: bool,
) {
    macro_rules! call {
        ($gemm:ident, $t:ty) => {
            // SAFETY: T is this type; the matrices are valid as promised by the caller.
            unsafe {
                let beta = if accumulate { 1.0 } else { 0.0 };
                let (a, b, c, [ar, ac], [br, bc]) = (a.cast::<$t>(), b.cast(), c.cast(), a_strides, b_strides);
                matrixmultiply::$gemm(m, k, n, 1.0, a, ar, ac, b, br, bc, beta, c, c_row as isize, 1);
            }
        };
    }
    // `Float` is sealed over these two.
    if TypeId::of::<T>() == TypeId::of::<f32>() { call!(sgemm, f32) } else { call!(dgemm, f64) }
}

/// The products y (…, M, N) of the matrices that `of` gives for each index of the leading axes. The sums of a column start from its
/// bias (N), if there is one; tiny products add it last.
fn products<'a, T: Float>(
    shape: Shape,
    k: usize,
    of: impl Fn(usize) -> [Matrix<'a, T>; 2] + Sync,
    bias: Option<&TensorOf<T>>,
) -> TensorOf<T> {
    TensorOf::filled_by(shape, |y| write_products(y, shape, k, of, bias))
}

/// Writes [`products`].
fn write_products<'a, T: Float>(
    y: &mut [T],
    shape: Shape,
    k: usize,
    of: impl Fn(usize) -> [Matrix<'a, T>; 2] + Sync,
    bias: Option<&TensorOf<T>>,
) {
    let (m, n) = (shape[shape.rank() - 2], shape[shape.rank() - 1]);
    if shape.numel() == 0 {
        return;
    }
    let sizes = [m, k, n];
    let copy;
    let bias = match bias {
        None => None,
        Some(bias) if bias.as_slice().is_some() => bias.as_slice(),
        Some(bias) => {
            copy = bias.to_vec();
            Some(&copy[..])
        }
    };
    if tiny::applies(sizes) {
        return parallel_chunks(y, m * n, GRAIN / (m * k * n).max(1), |index, c| {
            let [a, b] = of(index);
            tiny::product(sizes, a, b, bias, c);
        });
    }
    if simd::level() > Level::Portable || cfg!(target_arch = "aarch64") {
        let large = m >= MIN_ROWS && n >= MIN_COLUMNS && k >= MIN_DEPTH;
        let [a, b] = of(0);
        // Many small ones are divided among threads below.
        let narrow = narrow::Kind::new(sizes, a, b).filter(|_| y.len() == m * n || m * k * n >= GRAIN);
        if large || narrow.is_some() {
            for (index, c) in y.chunks_exact_mut(m * n).enumerate() {
                let [a, b] = of(index);
                match narrow {
                    Some(kind) => narrow::product(kind, sizes, a, b, bias, c),
                    None => gemm::gemm(sizes, a, b, bias, c),
                }
            }
            return;
        }
    }
    // Small enough for small products to use all threads, large enough to amortize packing.
    let side = if m * n <= 512 * 512 { 64 } else { 256 };
    let (across, down) = (n.div_ceil(side), m.div_ceil(side));
    let tiles = y.len() / (m * n) * down * across;
    let c = Disjoint::new(y);
    parallel_for(tiles, GRAIN.div_ceil(m.min(side) * n.min(side) * k), |range| {
        for tile in range {
            let (index, row, column) = (tile / (down * across), tile / across % down * side, tile % across * side);
            let (rows, columns) = (side.min(m - row), side.min(n - column));
            let first = (index * m + row) * n + column;
            if let Some(bias) = bias {
                for i in 0..rows {
                    // SAFETY: this tile's part of one row; tiles do not overlap.
                    let y = unsafe { c.slice(first + i * n..first + i * n + columns) };
                    y.copy_from_slice(&bias[column..column + columns]);
                }
            }
            let [a, b] = of(index);
            let a = (a.address(row, 0), [a.row, a.column]);
            let b = (b.address(0, column), [b.row, b.column]);
            // SAFETY: matrices are in bounds of their buffers, and tiles do not overlap.
            unsafe { by_matrixmultiply([rows, k, columns], a, b, (c.ptr(first), n), bias.is_some()) }
        }
    });
}

pub(crate) fn matmul<T: Float>(a: &TensorOf<T>, b: &TensorOf<T>) -> TensorOf<T> {
    let rank = a.rank();
    let shape = a.shape().with(rank - 1, b.shape()[rank - 1]);
    // (…, M, N) = (…, M, K) · (…, K, N)
    products(shape, a.shape()[rank - 1], |index| [Matrix::of(a, index), Matrix::of(b, index)], None)
}

pub(crate) fn linear<T: Float>(x: &TensorOf<T>, w: &TensorOf<T>, b: Option<&TensorOf<T>>) -> TensorOf<T> {
    let shape = Shape::from([x.shape()[0], w.shape()[0]]);
    // (N, O) = (N, I) · (I, O)
    products(shape, x.shape()[1], |_| [Matrix::of(x, 0), Matrix::of(w, 0).transposed()], b)
}

/// The requested gradients of `linear` in w and b.
pub(crate) fn linear_parameter_gradients<T: Float>(
    x: &TensorOf<T>,
    dy: &TensorOf<T>,
    [for_w, for_b]: [bool; 2],
) -> [Option<TensorOf<T>>; 2] {
    let shape = Shape::from([dy.shape()[1], x.shape()[1]]);
    // (O, I) = (O, N) · (N, I)
    let of_weight = || products(shape, x.shape()[0], |_| [Matrix::of(dy, 0).transposed(), Matrix::of(x, 0)], None);
    [for_w.then(of_weight), for_b.then(|| reduce::sum_to_axis(dy, 1))]
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
