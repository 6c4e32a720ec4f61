//! The transforms of F(4×4, 3×3), each along one axis, applied to rows and then to columns.
//!
//! They evaluate polynomials at 0, ±1, ±2 and ∞ (Lavin, Gray: "Fast algorithms for convolutional neural networks",
//! 2016): with d six pixels, g three weights and y four results, `y = Aᵀ[(G·g) ⊙ (Bᵀ·d)]`.

#![expect(clippy::inline_always, reason = "loops are compiled with the features of the variant they are inlined into")]

use crate::cpu::simd::{Registers, Vector, Wide};
use crate::element::Float;

/// Outputs along one side of a tile.
pub(super) const TILE: usize = 4;
/// Points along one side of a transformed tile, and pixels along one side of its input.
pub(super) const POINTS: usize = 6;
/// All points of a tile.
pub(super) const ALL: usize = POINTS * POINTS;

/// A register of T at level R.
pub(super) type Reg<T, R> = <T as Wide>::Vector<R>;

#[inline(always)]
fn number<T: Float, R: Registers>(x: f64) -> Reg<T, R> {
    Reg::<T, R>::splat(T::from_f64(x))
}

/// A transform along one axis, from M values to N.
///
/// A trait rather than a closure passed to [`both`]: only inlined code is compiled with the features of a level, and a
/// call through `Fn` is not inlined.
pub(super) trait Transform<T: Float, R: Registers, const M: usize, const N: usize> {
    fn along(x: [Reg<T, R>; M]) -> [Reg<T, R>; N];
}

/// Transforms every row, then every column of the result.
#[inline(always)]
pub(super) fn both<T: Float, R: Registers, F: Transform<T, R, M, N>, const M: usize, const N: usize>(
    x: [[Reg<T, R>; M]; M],
) -> [[Reg<T, R>; N]; N] {
    let zero = number::<T, R>(0.0);
    let mut half = [[zero; N]; M];
    for i in 0..M {
        half[i] = F::along(x[i]);
    }
    let mut out = [[zero; N]; N];
    for j in 0..N {
        let mut column = [zero; M];
        for i in 0..M {
            column[i] = half[i][j];
        }
        let column = F::along(column);
        for i in 0..N {
            out[i][j] = column[i];
        }
    }
    out
}

/// `Bᵀ·d`: of pixels.
pub(super) struct OfPixels;

impl<T: Float, R: Registers> Transform<T, R, POINTS, POINTS> for OfPixels {
    #[inline(always)]
    fn along(d: [Reg<T, R>; POINTS]) -> [Reg<T, R>; POINTS] {
        let (four, minus4, minus5) = (number::<T, R>(4.0), number::<T, R>(-4.0), number::<T, R>(-5.0));
        let (even1, odd1) = (d[2].mul_add(minus4, d[4]), d[1].mul_add(minus4, d[3]));
        let (even2, odd2) = (d[4].sub(d[2]), d[3].sub(d[1]));
        let odd2 = odd2.add(odd2);
        [
            d[0].mul_add(four, d[2].mul_add(minus5, d[4])),
            even1.add(odd1),
            even1.sub(odd1),
            even2.add(odd2),
            even2.sub(odd2),
            d[1].mul_add(four, d[3].mul_add(minus5, d[5])),
        ]
    }
}

/// `Aᵀ·m`: of products, to results.
pub(super) struct ToResults;

impl<T: Float, R: Registers> Transform<T, R, POINTS, TILE> for ToResults {
    #[inline(always)]
    fn along(m: [Reg<T, R>; POINTS]) -> [Reg<T, R>; TILE] {
        let (two, four, eight) = (number::<T, R>(2.0), number::<T, R>(4.0), number::<T, R>(8.0));
        let (sum1, difference1, sum2, difference2) = (m[1].add(m[2]), m[1].sub(m[2]), m[3].add(m[4]), m[3].sub(m[4]));
        [
            m[0].add(sum1).add(sum2),
            difference2.mul_add(two, difference1),
            sum2.mul_add(four, sum1),
            difference2.mul_add(eight, difference1).add(m[5]),
        ]
    }
}

/// `A·dy`: of the results' gradients, the adjoint of [`ToResults`].
pub(super) struct OfGradients;

impl<T: Float, R: Registers> Transform<T, R, TILE, POINTS> for OfGradients {
    #[inline(always)]
    fn along(y: [Reg<T, R>; TILE]) -> [Reg<T, R>; POINTS] {
        let (two, four, eight) = (number::<T, R>(2.0), number::<T, R>(4.0), number::<T, R>(8.0));
        let (even1, odd1) = (y[0].add(y[2]), y[1].add(y[3]));
        let (even2, odd2) = (y[2].mul_add(four, y[0]), y[3].mul_add(eight, y[1].mul(two)));
        [y[0], even1.add(odd1), even1.sub(odd1), even2.add(odd2), even2.sub(odd2), y[3]]
    }
}

/// `G·g`: of weights.
pub(super) struct OfWeights;

impl<T: Float, R: Registers> Transform<T, R, 3, POINTS> for OfWeights {
    #[inline(always)]
    fn along(g: [Reg<T, R>; 3]) -> [Reg<T, R>; POINTS] {
        let (quarter, sixth) = (number::<T, R>(0.25), number::<T, R>(1.0 / 6.0));
        let (twelfth, part24) = (number::<T, R>(1.0 / 12.0), number::<T, R>(1.0 / 24.0));
        let minus_sixth = number::<T, R>(-1.0 / 6.0);
        let (even1, odd1) = (g[0].add(g[2]).mul(minus_sixth), g[1].mul(sixth));
        let (even2, odd2) = (g[0].mul_add(part24, g[2].mul(sixth)), g[1].mul(twelfth));
        [g[0].mul(quarter), even1.sub(odd1), even1.add(odd1), even2.add(odd2), even2.sub(odd2), g[2]]
    }
}

/// `Gᵀ·du`: of the transformed weights' gradients, the adjoint of [`OfWeights`].
pub(super) struct ToWeightGradients;

impl<T: Float, R: Registers> Transform<T, R, POINTS, 3> for ToWeightGradients {
    #[inline(always)]
    fn along(u: [Reg<T, R>; POINTS]) -> [Reg<T, R>; 3] {
        let (quarter, sixth) = (number::<T, R>(0.25), number::<T, R>(1.0 / 6.0));
        let (twelfth, part24) = (number::<T, R>(1.0 / 12.0), number::<T, R>(1.0 / 24.0));
        let minus_sixth = number::<T, R>(-1.0 / 6.0);
        let (sum1, difference1, sum2, difference2) = (u[1].add(u[2]), u[2].sub(u[1]), u[3].add(u[4]), u[3].sub(u[4]));
        [
            u[0].mul_add(quarter, sum1.mul_add(minus_sixth, sum2.mul(part24))),
            difference1.mul_add(sixth, difference2.mul(twelfth)),
            sum1.mul_add(minus_sixth, sum2.mul_add(sixth, u[5])),
        ]
    }
}
