//! Matrix products so small that a plain loop is faster than setting up a general product.

use crate::element::Float;
use crate::layout::Layout;
use crate::shape::Shape;
use crate::tensor::TensorOf;

/// The maximum number of multiplications of a tiny product.
const MAX_PRODUCTS: usize = 256;

/// An operand: its elements, the position of the first one, the row and column strides.
struct Matrix<'a, T> {
    data: &'a [T],
    start: isize,
    row: isize,
    column: isize,
}

impl<'a, T: Float> Matrix<'a, T> {
    fn of(x: &'a TensorOf<T>) -> Self {
        let (layout, strides) = (x.layout(), x.layout().strides());
        Self { data: x.buffer(), start: layout.offset() as isize, row: strides[0], column: strides[1] }
    }

    fn transposed(self) -> Self {
        Self { row: self.column, column: self.row, ..self }
    }

    #[inline]
    fn at(&self, row: usize, column: usize) -> T {
        self.data[(self.start + row as isize * self.row + column as isize * self.column) as usize]
    }
}

fn product<T: Float>(
    [m, k, n]: [usize; 3],
    a: &Matrix<T>,
    b: &Matrix<T>,
    start: impl Fn(usize) -> Option<T>,
) -> TensorOf<T> {
    let mut y = TensorOf::uninitialized(Layout::contiguous(Shape::from([m, n])));
    let mut out = y.buffer_mut().0.iter_mut();
    for i in 0..m {
        for j in 0..n {
            let mut sum = T::ZERO;
            for l in 0..k {
                sum += a.at(i, l) * b.at(l, j);
            }
            if let Some(y) = out.next() {
                *y = start(j).map_or(sum, |start| sum + start);
            }
        }
    }
    y
}

/// `y = a · b`: (M, K) · (K, N) → (M, N); `None` if the product is not tiny.
pub(crate) fn matmul<T: Float>(a: &TensorOf<T>, b: &TensorOf<T>) -> Option<TensorOf<T>> {
    let (&[m, k], &[_, n]) = (a.layout().shape_ref().dims(), b.layout().shape_ref().dims()) else { return None };
    (m * k * n <= MAX_PRODUCTS).then(|| product([m, k, n], &Matrix::of(a), &Matrix::of(b), |_| None))
}

/// `y = x · wᵀ + b`: x (N, I), w (O, I), b (O) → y (N, O); `None` if the product is not tiny.
pub(crate) fn linear<T: Float>(x: &TensorOf<T>, w: &TensorOf<T>, b: Option<&TensorOf<T>>) -> Option<TensorOf<T>> {
    let (&[m, k], &[n, _]) = (x.layout().shape_ref().dims(), w.layout().shape_ref().dims()) else { return None };
    if m * k * n > MAX_PRODUCTS {
        return None;
    }
    let bias = b.map(|b| (b.buffer(), b.layout().offset() as isize, b.layout().strides()[0]));
    let start = |j: usize| bias.map(|(data, first, step)| data[(first + j as isize * step) as usize]);
    Some(product([m, k, n], &Matrix::of(x), &Matrix::of(w).transposed(), start))
}
