//! Products with a matrix of few rows or columns, such as those of a linear layer for a few samples. They read or write one large
//! matrix once, so memory limits them; packing it for tiles would move it more often than that.

#![expect(clippy::inline_always, reason = "loops are compiled with the features of the variant they are inlined into")]

use std::ops::Range;

use super::{GRAIN, MIN_COLUMNS, MIN_DEPTH, MIN_ROWS, Matrix};
use crate::cpu::simd::{Registers, Vector};
use crate::cpu::tasks::{Tasks, parallel_tasks};
use crate::element::Float;
use crate::parallel::Disjoint;

/// The rows and columns of a tile of dot products.
const DOTS: [usize; 2] = [3, 4];
/// The rows of b that are added to a row of c at a time.
const STEPS: usize = 4;
/// The columns of a task of sums of rows: few enough that some rows of c stay in the L1 cache.
const COLUMNS: usize = 1024;

/// How a narrow product is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The rows of a and the columns of b are contiguous, each element of c is a dot product, summed lane by lane.
    Dots,
    /// The rows of b are contiguous; each row of c is a sum of them, in the order of k.
    Rows,
}

impl Kind {
    /// For (M, K) · (K, N), if it is narrow and one of these fits.
    pub(super) fn new<T: Float>([m, k, n]: [usize; 3], a: Matrix<T>, b: Matrix<T>) -> Option<Self> {
        let few = m < MIN_ROWS || n < MIN_COLUMNS;
        if few && k >= 2 * MIN_COLUMNS && a.column == 1 && b.row == 1 {
            return Some(Self::Dots);
        }
        ((m < MIN_ROWS || k < MIN_DEPTH) && n >= 2 * MIN_COLUMNS && b.column == 1).then_some(Self::Rows)
    }
}

/// `c = a · b`: (M, K) · (K, N) → (M, N), c contiguous, the bias (N) added last by dot products and first by sums of rows.
pub(super) fn product<T: Float>(
    kind: Kind,
    sizes: [usize; 3],
    a: Matrix<T>,
    b: Matrix<T>,
    bias: Option<&[T]>,
    c: &mut [T],
) {
    let [m, k, n] = sizes;
    let c = &Disjoint::new(c);
    match kind {
        Kind::Dots => {
            let tiles = [m.div_ceil(DOTS[0]), n.div_ceil(DOTS[1])];
            let work = Dots { sizes, a, b, bias, c, tiles };
            parallel_tasks(tiles[0] * tiles[1], GRAIN.div_ceil(DOTS[0].min(m) * DOTS[1].min(n) * k), &work);
        }
        Kind::Rows => {
            let work = Rows { sizes, a, b, bias, c };
            parallel_tasks(
                m.div_ceil(MIN_ROWS) * n.div_ceil(COLUMNS),
                GRAIN.div_ceil(MIN_ROWS.min(m) * COLUMNS.min(n) * k),
                &work,
            );
        }
    }
}

struct Dots<'a, T> {
    sizes: [usize; 3],
    a: Matrix<'a, T>,
    b: Matrix<'a, T>,
    bias: Option<&'a [T]>,
    c: &'a Disjoint<'a, T>,
    tiles: [usize; 2],
}

impl<T: Float> Tasks for Dots<'_, T> {
    type Element = T;

    #[inline(always)]
    fn run<R: Registers>(&self, tasks: Range<usize>) {
        let [m, _, n] = self.sizes;
        for task in tasks {
            // Tiles below each other follow each other: they read the same columns of b.
            let (i, j) = (task % self.tiles[0] * DOTS[0], task / self.tiles[0] * DOTS[1]);
            macro_rules! tiles {
                ($($rows:literal $columns:literal),+) => {
                    match (DOTS[0].min(m - i), DOTS[1].min(n - j)) {
                        $(($rows, $columns) => self.tile::<R, $rows, $columns>(i, j),)+
                        _ => unreachable!("a tile has a row and a column"),
                    }
                };
            }
            tiles!(1 1, 1 2, 1 3, 1 4, 2 1, 2 2, 2 3, 2 4, 3 1, 3 2, 3 3, 3 4);
        }
    }
}

impl<T: Float> Dots<'_, T> {
    #[inline(always)]
    fn tile<R: Registers, const M: usize, const N: usize>(&self, i: usize, j: usize) {
        let ([_, k, n], lanes) = (self.sizes, T::Vector::<R>::LANES);
        let whole = k - k % lanes;
        let a: [*const T; M] = std::array::from_fn(|r| self.a.address(i + r, 0));
        let b: [*const T; N] = std::array::from_fn(|s| self.b.address(0, j + s));
        let zero = T::Vector::<R>::splat(T::ZERO);
        let mut sums = [[zero; N]; M];
        for l in (0..whole).step_by(lanes) {
            let mut columns = [zero; N];
            for s in 0..N {
                // SAFETY: these rows of a and columns of b are contiguous and have k elements.
                columns[s] = unsafe { T::Vector::<R>::load(b[s].add(l)) };
            }
            for r in 0..M {
                // SAFETY: as above.
                let a = unsafe { T::Vector::<R>::load(a[r].add(l)) };
                for s in 0..N {
                    sums[r][s] = a.mul_add(columns[s], sums[r][s]);
                }
            }
        }
        for r in 0..M {
            for s in 0..N {
                let mut lane = [T::ZERO; 16];
                // SAFETY: no register has more than 16 lanes.
                unsafe { sums[r][s].store(lane.as_mut_ptr()) };
                let mut half = lanes / 2;
                while half > 0 {
                    for x in 0..half {
                        lane[x] += lane[x + half];
                    }
                    half /= 2;
                }
                let mut sum = lane[0];
                for l in whole..k {
                    sum += self.a.get(i + r, l) * self.b.get(l, j + s);
                }
                let sum = self.bias.map_or(sum, |bias| sum + bias[j + s]);
                // SAFETY: no other task writes this tile.
                unsafe { *self.c.ptr((i + r) * n + j + s) = sum };
            }
        }
    }
}

struct Rows<'a, T> {
    sizes: [usize; 3],
    a: Matrix<'a, T>,
    b: Matrix<'a, T>,
    bias: Option<&'a [T]>,
    c: &'a Disjoint<'a, T>,
}

impl<T: Float> Tasks for Rows<'_, T> {
    type Element = T;

    #[inline(always)]
    fn run<R: Registers>(&self, tasks: Range<usize>) {
        let [m, k, n] = self.sizes;
        let across = n.div_ceil(COLUMNS);
        for task in tasks {
            let (rows, first) = (task / across * MIN_ROWS, task % across * COLUMNS);
            let (rows, columns) = (rows..(rows + MIN_ROWS).min(m), first..(first + COLUMNS).min(n));
            for start in (0..k.max(1)).step_by(STEPS) {
                for i in rows.clone() {
                    // SAFETY: no other task writes these columns of this row.
                    let c = unsafe { self.c.slice(i * n + columns.start..i * n + columns.end) };
                    if start == 0 {
                        match self.bias {
                            Some(bias) => c.copy_from_slice(&bias[columns.clone()]),
                            None => c.fill(T::ZERO),
                        }
                    }
                    macro_rules! steps {
                        ($($steps:literal),+) => {
                            match STEPS.min(k - start) {
                                $($steps => self.add::<R, $steps>(i, start, columns.start, c),)+
                                _ => {}
                            }
                        };
                    }
                    steps!(1, 2, 3, 4);
                }
            }
        }
    }
}

impl<T: Float> Rows<'_, T> {
    /// Adds `K` rows of b, each times an element of row `i` of a, to a piece of a row of c that begins at column `first`.
    #[inline(always)]
    fn add<R: Registers, const K: usize>(&self, i: usize, start: usize, first: usize, c: &mut [T]) {
        let lanes = T::Vector::<R>::LANES;
        let a: [T; K] = std::array::from_fn(|l| self.a.get(i, start + l));
        let b: [*const T; K] = std::array::from_fn(|l| self.b.address(start + l, first));
        let mut factors = [T::Vector::<R>::splat(T::ZERO); K];
        for l in 0..K {
            factors[l] = T::Vector::<R>::splat(a[l]);
        }
        let whole = c.len() - c.len() % lanes;
        for j in (0..whole).step_by(lanes) {
            // SAFETY: the rows of b are contiguous, and have the columns of c.
            unsafe {
                let mut sum = T::Vector::<R>::load(c.as_ptr().add(j));
                for l in 0..K {
                    sum = factors[l].mul_add(T::Vector::<R>::load(b[l].add(j)), sum);
                }
                sum.store(c.as_mut_ptr().add(j));
            }
        }
        for (j, c) in c.iter_mut().enumerate().skip(whole) {
            for l in 0..K {
                *c += a[l] * self.b.get(start + l, first + j);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::product::matmul;
    use crate::cpu::simd::at_each_level;
    use crate::parallel::with_threads;
    use crate::tensor::{Tensor64, TensorOf};

    fn numbers(rows: usize, columns: usize, seed: usize) -> Tensor64 {
        Tensor64::from_fn([rows, columns], |i| ((i * 7919 + seed * 104_729 + 17) % 1009) as f64 / 504.5 - 1.0)
    }

    /// What is computed, at every level and with one and three threads, beside a plain loop.
    fn check<T: Float>(kind: Option<Kind>, a: &TensorOf<T>, b: &TensorOf<T>, tolerance: f64) {
        let (m, k, n) = (a.shape()[0], a.shape()[1], b.shape()[1]);
        assert_eq!(Kind::new([m, k, n], Matrix::of(a, 0), Matrix::of(b, 0)), kind, "{m} {k} {n}");
        let bits = |y: &TensorOf<T>| y.to_vec().iter().map(|y| y.to_f64().to_bits()).collect::<Vec<_>>();
        at_each_level(|level| {
            let y = with_threads(1, || matmul(a, b));
            assert!(bits(&y) == bits(&with_threads(3, || matmul(a, b))), "{m} {k} {n}, {level:?}");
            for i in 0..m {
                for j in 0..n {
                    let exact: f64 = (0..k).map(|l| a.at(&[i, l]).to_f64() * b.at(&[l, j]).to_f64()).sum();
                    let found = y.at(&[i, j]).to_f64();
                    assert!((found - exact).abs() <= tolerance * k as f64, "{m} {k} {n}, {level:?}: {found} {exact}");
                }
            }
        });
    }

    #[test]
    fn narrow_products_match_the_definition() {
        for (m, k, n, kind) in
            [(1, 700, 333, Kind::Dots), (7, 65, 90, Kind::Dots), (100, 130, 10, Kind::Dots), (4, 32, 1, Kind::Dots)]
        {
            let (a, b) = (numbers(m, k, 1), numbers(n, k, 2));
            check(Some(kind), &a, &b.transpose(0, 1), 1e-15);
            check(Some(kind), &a.to_f32(), &b.to_f32().transpose(0, 1), 1e-6);
        }
        for (m, k, n) in [(1, 300, 2100), (7, 41, 1025), (50, 1, 3000), (9, 7, 33)] {
            let (a, b) = (numbers(m, k, 1), numbers(k, n, 2));
            check(Some(Kind::Rows), &a, &b, 1e-15);
            check(Some(Kind::Rows), &a.to_f32(), &b.to_f32(), 1e-6);
            // a transposed, as in the gradient of a weight.
            check(Some(Kind::Rows), &numbers(k, m, 1).transpose(0, 1), &b, 1e-15);
        }
        // Not narrow, and narrow with other strides.
        check(None, &numbers(20, 30, 1), &numbers(30, 40, 2), 1e-15);
        check(None, &numbers(2, 30, 1), &numbers(40, 30, 2).transpose(0, 1), 1e-15);
    }
}
