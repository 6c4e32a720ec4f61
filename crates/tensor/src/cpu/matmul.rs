//! Matrix products, through matrixmultiply.

use crate::element::Float;
use crate::layout::Layout;
use crate::parallel::{Disjoint, parallel_for};
use crate::shape::Shape;
use crate::tensor::TensorOf;

/// `y = a · b`: (…, M, K) · (…, K, N) → (…, M, N), leading axes equal.
pub(crate) fn matmul<T: Float>(a: &TensorOf<T>, b: &TensorOf<T>) -> TensorOf<T> {
    let (sa, sb) = (a.shape(), b.shape());
    let rank = sa.rank();
    let (m, k, n) = (sa[rank - 2], sa[rank - 1], sb[rank - 1]);
    let shape = sa.with(rank - 1, n);
    let mut y = TensorOf::<T>::uninitialised(Layout::contiguous(shape));
    let batches = shape.numel().checked_div(m * n).unwrap_or(0);
    let lead = Shape::new(&sa[..rank - 2]);
    let (la, lb) = (*a.layout(), *b.layout());
    let (pa, pb) = (a.buffer(), b.buffer());
    let (buffer, _) = y.buffer_mut();
    let out = Disjoint::new(buffer);
    let rows = m.div_ceil(ROWS);
    parallel_for(batches * rows, (1 << 16) / (ROWS.min(m.max(1)) * k.max(1) * n.max(1)) + 1, |range| {
        for job in range {
            let (batch, block) = (job / rows, job % rows);
            let start = block * ROWS;
            let len = ROWS.min(m - start);
            let (mut oa, mut ob) = (la.offset() as isize, lb.offset() as isize);
            let mut rest = batch;
            for axis in (0..lead.rank()).rev() {
                let i = (rest % lead[axis]) as isize;
                rest /= lead[axis];
                oa += i * la.strides()[axis];
                ob += i * lb.strides()[axis];
            }
            let (ra, ca) = (la.strides()[rank - 2], la.strides()[rank - 1]);
            let (rb, cb) = (lb.strides()[rank - 2], lb.strides()[rank - 1]);
            // SAFETY: jobs write different rows of different batches, and the offsets come from the layouts.
            unsafe {
                let y = out.ptr(0).add((batch * m + start) * n);
                let a = pa.as_ptr().offset(oa + start as isize * ra);
                T::gemm([len, k, n], a, [ra, ca], pb.as_ptr().offset(ob), [rb, cb], T::ZERO, y, [n as isize, 1]);
            }
        }
    });
    y
}

/// Rows of a product that one task computes.
const ROWS: usize = 64;

/// `y = x · wᵀ + b`: x (N, I), w (O, I), b (O) → y (N, O).
pub(crate) fn linear<T: Float>(x: &TensorOf<T>, w: &TensorOf<T>, b: Option<&TensorOf<T>>) -> TensorOf<T> {
    let y = matmul(x, &w.transpose(0, 1));
    match b {
        Some(b) => y.binary(crate::kernel::Binary::Add, b),
        None => y,
    }
}

/// The general matrix product of an element type.
pub trait Gemm: Sized {
    /// `c = a · b + beta · c` for (M, K) · (K, N) → (M, N), strides as `[row, column]`.
    ///
    /// # Safety
    /// The pointers and strides address valid matrices, and nobody else uses c.
    #[allow(clippy::too_many_arguments, reason = "three matrices and their strides are what a product has")]
    unsafe fn gemm(
        mkn: [usize; 3],
        a: *const Self,
        sa: [isize; 2],
        b: *const Self,
        sb: [isize; 2],
        beta: Self,
        c: *mut Self,
        sc: [isize; 2],
    );
}

macro_rules! gemm {
    ($t:ty, $f:path) => {
        impl Gemm for $t {
            unsafe fn gemm(
                [m, k, n]: [usize; 3],
                a: *const Self,
                sa: [isize; 2],
                b: *const Self,
                sb: [isize; 2],
                beta: Self,
                c: *mut Self,
                sc: [isize; 2],
            ) {
                // SAFETY: by this function's contract.
                unsafe { $f(m, k, n, 1.0, a, sa[0], sa[1], b, sb[0], sb[1], beta, c, sc[0], sc[1]) }
            }
        }
    };
}

gemm!(f32, matrixmultiply::sgemm);
gemm!(f64, matrixmultiply::dgemm);
