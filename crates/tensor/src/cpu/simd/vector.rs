//! Vector registers: a small interface over AVX-512, AVX2, SSE2 and NEON, so that a kernel is written once.
//!
//! Every method is a single instruction if the level has it. `mul_add` is fused (rounded once) except at the portable level
//! of x86-64, where CPUs may lack the instruction: there the last bits of sums of products differ.

#![expect(clippy::inline_always, reason = "a register's methods have to be compiled with the features of their caller")]

use super::Registers;

/// A register of `LANES` elements.
///
/// # Safety
/// Methods use instructions of the implementation's level: values may exist only in code reached through
/// [`dispatch_tiled`](super::dispatch_tiled), which has checked the CPU.
pub trait Vector: Copy {
    type Element: Copy;
    const LANES: usize;

    fn splat(x: Self::Element) -> Self;
    /// # Safety
    /// `LANES` elements must be readable, at any alignment.
    unsafe fn load(from: *const Self::Element) -> Self;
    /// # Safety
    /// `LANES` elements must be writable, at any alignment.
    unsafe fn store(self, to: *mut Self::Element);
    fn add(self, b: Self) -> Self;
    fn sub(self, b: Self) -> Self;
    fn mul(self, b: Self) -> Self;
    /// `self · b + c`.
    fn mul_add(self, b: Self, c: Self) -> Self;

    /// Interleaves the lanes: `a₀ b₀ a₁ b₁ …`, in two registers.
    fn zip(self, b: Self) -> (Self, Self);

    /// Deinterleaves two registers into their even and odd lanes: the inverse of [`zip`](Self::zip).
    fn unzip(self, b: Self) -> (Self, Self);

    /// The horizontal sums of the first `LANES` registers, one per lane of the result, by repeatedly adding halves; the order may
    /// be another one at a level where that is faster.
    #[inline(always)]
    fn sums(mut rows: [Self; 16]) -> Self {
        let mut count = Self::LANES;
        while count > 1 {
            count /= 2;
            for i in 0..count {
                // Adds halves and packs the sums of two registers into one.
                let (low, high) = rows[i].zip(rows[i + count]);
                rows[i] = low.add(high);
            }
        }
        rows[0]
    }

    fn zeroed() -> Self::Element;

    /// Transposes a `LANES` × `LANES` square: `to[j·to_step + i] = from[i·from_step + j]`.
    ///
    /// # Safety
    /// `LANES` elements of each row must be readable and writable.
    #[inline(always)]
    unsafe fn transpose(from: *const Self::Element, from_step: isize, to: *mut Self::Element, to_step: usize) {
        // No register has more than 16 lanes.
        let mut rows = [Self::splat(Self::zeroed()); 16];
        for i in 0..Self::LANES {
            // SAFETY: by this function's contract.
            rows[i] = unsafe { Self::load(from.wrapping_offset(i as isize * from_step)) };
        }
        let mut span = 1;
        while span < Self::LANES {
            // A perfect shuffle of the rows; log₂(LANES) of them transpose the square.
            let before = rows;
            for i in 0..Self::LANES / 2 {
                (rows[2 * i], rows[2 * i + 1]) = before[i].zip(before[i + Self::LANES / 2]);
            }
            span *= 2;
        }
        for j in 0..Self::LANES {
            // SAFETY: by this function's contract.
            unsafe { rows[j].store(to.wrapping_add(j * to_step)) };
        }
    }
}

/// The register of an element type at each level.
pub trait Wide: Sized + Copy {
    type Vector<R: Registers>: Vector<Element = Self>;
}

impl Wide for f32 {
    type Vector<R: Registers> = R::F32;
}

impl Wide for f64 {
    type Vector<R: Registers> = R::F64;
}

/// Asks for the cache line at an address, which need not be valid, on x86-64; does nothing elsewhere.
#[inline(always)]
pub(crate) fn prefetch<T>(at: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch of an invalid address does nothing.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(at.cast());
    };
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

/// Implements [`Vector`] by the intrinsics of one instruction set.
macro_rules! vector {
    ($name:ident($register:ty) of $t:ty, $lanes:literal: $splat:path, $load:path, $store:path, $add:path, $sub:path, $mul:path,
     |$a:ident, $b:ident, $c:ident| $mul_add:expr, $zip:expr, $unzip:expr $(, $special:item)*) => {
        #[derive(Clone, Copy)]
        pub struct $name($register);

        // SAFETY of every block below: `Vector`'s contract says that the processor has the level's instructions, and
        // the caller of `load` and `store` that the memory is valid.
        impl $crate::cpu::simd::Vector for $name {
            type Element = $t;
            const LANES: usize = $lanes;

            #[inline(always)]
            fn splat(x: $t) -> Self {
                // SAFETY: see above.
                Self(unsafe { $splat(x) })
            }
            #[inline(always)]
            unsafe fn load(from: *const $t) -> Self {
                // SAFETY: see above.
                Self(unsafe { $load(from) })
            }
            #[inline(always)]
            unsafe fn store(self, to: *mut $t) {
                // SAFETY: see above.
                unsafe { $store(to, self.0) }
            }
            #[inline(always)]
            fn add(self, b: Self) -> Self {
                // SAFETY: see above.
                Self(unsafe { $add(self.0, b.0) })
            }
            #[inline(always)]
            fn sub(self, b: Self) -> Self {
                // SAFETY: see above.
                Self(unsafe { $sub(self.0, b.0) })
            }
            #[inline(always)]
            fn mul(self, b: Self) -> Self {
                // SAFETY: see above.
                Self(unsafe { $mul(self.0, b.0) })
            }
            #[inline(always)]
            fn mul_add(self, b: Self, c: Self) -> Self {
                let ($a, $b, $c) = (self.0, b.0, c.0);
                // SAFETY: see above.
                Self(unsafe { $mul_add })
            }
            #[inline(always)]
            fn zip(self, b: Self) -> (Self, Self) {
                let ($a, $b) = (self.0, b.0);
                // SAFETY: see above.
                let (low, high) = unsafe { $zip };
                (Self(low), Self(high))
            }
            #[inline(always)]
            fn unzip(self, b: Self) -> (Self, Self) {
                let ($a, $b) = (self.0, b.0);
                // SAFETY: see above.
                let (even, odd) = unsafe { $unzip };
                (Self(even), Self(odd))
            }
            #[inline(always)]
            fn zeroed() -> $t {
                0.0
            }
            $($special)*
        }
    };
}

#[cfg(target_arch = "x86_64")]
pub(super) mod x86 {
    use std::arch::x86_64::{
        __m128, __m128d, __m256, __m256d, __m512, __m512d, _mm_add_pd, _mm_add_ps, _mm_loadu_pd, _mm_loadu_ps,
        _mm_mul_pd, _mm_mul_ps, _mm_set1_pd, _mm_set1_ps, _mm_shuffle_ps, _mm_storeu_pd, _mm_storeu_ps, _mm_sub_pd,
        _mm_sub_ps, _mm_unpackhi_pd, _mm_unpackhi_ps, _mm_unpacklo_pd, _mm_unpacklo_ps, _mm256_add_pd, _mm256_add_ps,
        _mm256_castpd_ps, _mm256_castps_pd, _mm256_castps128_ps256, _mm256_fmadd_pd, _mm256_fmadd_ps,
        _mm256_insertf128_ps, _mm256_loadu_pd, _mm256_loadu_ps, _mm256_mul_pd, _mm256_mul_ps, _mm256_permute2f128_pd,
        _mm256_permute2f128_ps, _mm256_permute4x64_pd, _mm256_set1_pd, _mm256_set1_ps, _mm256_shuffle_ps,
        _mm256_storeu_pd, _mm256_storeu_ps, _mm256_sub_pd, _mm256_sub_ps, _mm256_unpackhi_pd, _mm256_unpackhi_ps,
        _mm256_unpacklo_pd, _mm256_unpacklo_ps, _mm512_add_pd, _mm512_add_ps, _mm512_fmadd_pd, _mm512_fmadd_ps,
        _mm512_loadu_pd, _mm512_loadu_ps, _mm512_mul_pd, _mm512_mul_ps, _mm512_permutex2var_pd, _mm512_permutex2var_ps,
        _mm512_set1_pd, _mm512_set1_ps, _mm512_setr_epi32, _mm512_setr_epi64, _mm512_storeu_pd, _mm512_storeu_ps,
        _mm512_sub_pd, _mm512_sub_ps,
    };

    /// The even and the odd lanes of 128 bits of each of two registers, for `shuffle_ps`.
    const EVEN: i32 = 0b10_00_10_00;
    const ODD: i32 = 0b11_01_11_01;
    /// The lower and the upper two lanes of 128 bits of each of two registers.
    const LOW: i32 = 0b01_00_01_00;
    const HIGH: i32 = 0b11_10_11_10;
    /// Quarters 0, 2, 1 and 3, for `permute4x64`.
    const QUARTERS: i32 = 0b11_01_10_00;

    vector!(F32x4(__m128) of f32, 4: _mm_set1_ps, _mm_loadu_ps, _mm_storeu_ps, _mm_add_ps, _mm_sub_ps, _mm_mul_ps,
        |a, b, c| _mm_add_ps(_mm_mul_ps(a, b), c), (_mm_unpacklo_ps(a, b), _mm_unpackhi_ps(a, b)),
        (_mm_shuffle_ps::<EVEN>(a, b), _mm_shuffle_ps::<ODD>(a, b)));
    vector!(F64x2(__m128d) of f64, 2: _mm_set1_pd, _mm_loadu_pd, _mm_storeu_pd, _mm_add_pd, _mm_sub_pd, _mm_mul_pd,
        |a, b, c| _mm_add_pd(_mm_mul_pd(a, b), c), (_mm_unpacklo_pd(a, b), _mm_unpackhi_pd(a, b)),
        (_mm_unpacklo_pd(a, b), _mm_unpackhi_pd(a, b)));
    vector!(F32x8(__m256) of f32, 8: _mm256_set1_ps, _mm256_loadu_ps, _mm256_storeu_ps, _mm256_add_ps, _mm256_sub_ps, _mm256_mul_ps,
    |a, b, c| _mm256_fmadd_ps(a, b, c), {
        let (even, odd) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
        (_mm256_permute2f128_ps::<0x20>(even, odd), _mm256_permute2f128_ps::<0x31>(even, odd))
    }, {
        // Even and odd lanes of each half, then the quarters in order.
        let even = _mm256_castps_pd(_mm256_shuffle_ps::<EVEN>(a, b));
        let odd = _mm256_castps_pd(_mm256_shuffle_ps::<ODD>(a, b));
        let even = _mm256_castpd_ps(_mm256_permute4x64_pd::<QUARTERS>(even));
        (even, _mm256_castpd_ps(_mm256_permute4x64_pd::<QUARTERS>(odd)))
    },
    // Few instructions that cross the halves of a register: they are slow, on Zen 1 by far.
    #[inline(always)]
    fn sums(rows: [Self; 16]) -> Self {
        // Lanes two apart are added first, then adjacent ones, then halves.
        let zero = Self::splat(0.0);
        let (mut pairs, mut fours) = ([zero; 4], [zero; 2]);
        // SAFETY: see `vector`.
        unsafe {
            for i in 0..4 {
                let (a, b) = (rows[2 * i].0, rows[2 * i + 1].0);
                pairs[i].0 = _mm256_add_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
            }
            for i in 0..2 {
                let (a, b) = (pairs[2 * i].0, pairs[2 * i + 1].0);
                fours[i].0 = _mm256_add_ps(_mm256_shuffle_ps::<LOW>(a, b), _mm256_shuffle_ps::<HIGH>(a, b));
            }
            let (a, b) = (fours[0].0, fours[1].0);
            Self(_mm256_add_ps(_mm256_permute2f128_ps::<0x20>(a, b), _mm256_permute2f128_ps::<0x31>(a, b)))
        }
    },
    #[inline(always)]
    unsafe fn transpose(from: *const f32, from_step: isize, to: *mut f32, to_step: usize) {
        for half in [0, 4] {
            let mut rows = [Self::splat(0.0); 4];
            // SAFETY: by `Vector::transpose`'s contract.
            unsafe {
                // Rows i and i + 4 share a register, so that each half is transposed on its own.
                for i in 0..4 {
                    let row = from.wrapping_offset(i as isize * from_step + half);
                    let low = _mm256_castps128_ps256(_mm_loadu_ps(row));
                    rows[i].0 = _mm256_insertf128_ps::<1>(low, _mm_loadu_ps(row.wrapping_offset(4 * from_step)));
                }
                let (a, b) = (_mm256_unpacklo_ps(rows[0].0, rows[1].0), _mm256_unpacklo_ps(rows[2].0, rows[3].0));
                let (c, d) = (_mm256_unpackhi_ps(rows[0].0, rows[1].0), _mm256_unpackhi_ps(rows[2].0, rows[3].0));
                let to = to.wrapping_add(half.cast_unsigned() * to_step);
                _mm256_storeu_ps(to, _mm256_shuffle_ps::<LOW>(a, b));
                _mm256_storeu_ps(to.wrapping_add(to_step), _mm256_shuffle_ps::<HIGH>(a, b));
                _mm256_storeu_ps(to.wrapping_add(2 * to_step), _mm256_shuffle_ps::<LOW>(c, d));
                _mm256_storeu_ps(to.wrapping_add(3 * to_step), _mm256_shuffle_ps::<HIGH>(c, d));
            }
        }
    });
    vector!(F64x4(__m256d) of f64, 4: _mm256_set1_pd, _mm256_loadu_pd, _mm256_storeu_pd, _mm256_add_pd, _mm256_sub_pd, _mm256_mul_pd,
    |a, b, c| _mm256_fmadd_pd(a, b, c), {
        let (even, odd) = (_mm256_unpacklo_pd(a, b), _mm256_unpackhi_pd(a, b));
        (_mm256_permute2f128_pd::<0x20>(even, odd), _mm256_permute2f128_pd::<0x31>(even, odd))
    }, {
        let (even, odd) = (_mm256_unpacklo_pd(a, b), _mm256_unpackhi_pd(a, b));
        (_mm256_permute4x64_pd::<QUARTERS>(even), _mm256_permute4x64_pd::<QUARTERS>(odd))
    });
    vector!(F32x16(__m512) of f32, 16: _mm512_set1_ps, _mm512_loadu_ps, _mm512_storeu_ps, _mm512_add_ps, _mm512_sub_ps, _mm512_mul_ps,
    |a, b, c| _mm512_fmadd_ps(a, b, c), {
        let low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
        let high = _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
        (_mm512_permutex2var_ps(a, low, b), _mm512_permutex2var_ps(a, high, b))
    }, {
        let even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
        let odd = _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
        (_mm512_permutex2var_ps(a, even, b), _mm512_permutex2var_ps(a, odd, b))
    });
    vector!(F64x8(__m512d) of f64, 8: _mm512_set1_pd, _mm512_loadu_pd, _mm512_storeu_pd, _mm512_add_pd, _mm512_sub_pd, _mm512_mul_pd,
    |a, b, c| _mm512_fmadd_pd(a, b, c), {
        let (low, high) = (_mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11), _mm512_setr_epi64(4, 12, 5, 13, 6, 14, 7, 15));
        (_mm512_permutex2var_pd(a, low, b), _mm512_permutex2var_pd(a, high, b))
    }, {
        let (even, odd) = (_mm512_setr_epi64(0, 2, 4, 6, 8, 10, 12, 14), _mm512_setr_epi64(1, 3, 5, 7, 9, 11, 13, 15));
        (_mm512_permutex2var_pd(a, even, b), _mm512_permutex2var_pd(a, odd, b))
    });
}

#[cfg(target_arch = "aarch64")]
pub(super) mod neon {
    use std::arch::aarch64::*;

    vector!(F32x4(float32x4_t) of f32, 4: vdupq_n_f32, vld1q_f32, vst1q_f32, vaddq_f32, vsubq_f32, vmulq_f32,
        |a, b, c| vfmaq_f32(c, a, b), (vzip1q_f32(a, b), vzip2q_f32(a, b)), (vuzp1q_f32(a, b), vuzp2q_f32(a, b)));
    vector!(F64x2(float64x2_t) of f64, 2: vdupq_n_f64, vld1q_f64, vst1q_f64, vaddq_f64, vsubq_f64, vmulq_f64,
        |a, b, c| vfmaq_f64(c, a, b), (vzip1q_f64(a, b), vzip2q_f64(a, b)), (vuzp1q_f64(a, b), vuzp2q_f64(a, b)));
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(super) mod arrays {

    fn splat<T: Copy, const N: usize>(x: T) -> [T; N] {
        [x; N]
    }
    unsafe fn load<T: Copy, const N: usize>(from: *const T) -> [T; N] {
        // SAFETY: by `Vector::load`'s contract.
        unsafe { from.cast::<[T; N]>().read_unaligned() }
    }
    unsafe fn store<T: Copy, const N: usize>(to: *mut T, x: [T; N]) {
        // SAFETY: by `Vector::store`'s contract.
        unsafe { to.cast::<[T; N]>().write_unaligned(x) }
    }
    fn add<T: Copy + std::ops::Add<Output = T>, const N: usize>(a: [T; N], b: [T; N]) -> [T; N] {
        std::array::from_fn(|i| a[i] + b[i])
    }
    fn sub<T: Copy + std::ops::Sub<Output = T>, const N: usize>(a: [T; N], b: [T; N]) -> [T; N] {
        std::array::from_fn(|i| a[i] - b[i])
    }
    fn mul<T: Copy + std::ops::Mul<Output = T>, const N: usize>(a: [T; N], b: [T; N]) -> [T; N] {
        std::array::from_fn(|i| a[i] * b[i])
    }

    fn zip<T: Copy, const N: usize>(a: [T; N], b: [T; N]) -> ([T; N], [T; N]) {
        let lane = |i: usize| if i % 2 == 0 { a[i / 2] } else { b[i / 2] };
        (std::array::from_fn(lane), std::array::from_fn(|i| lane(N + i)))
    }
    fn unzip<T: Copy, const N: usize>(a: [T; N], b: [T; N]) -> ([T; N], [T; N]) {
        let lane = |i: usize| if i < N { a[i] } else { b[i - N] };
        (std::array::from_fn(|i| lane(2 * i)), std::array::from_fn(|i| lane(2 * i + 1)))
    }

    vector!(F32x4([f32; 4]) of f32, 4: splat, load, store, add, sub, mul, |a, b, c| add(mul(a, b), c), zip(a, b), unzip(a, b));
    vector!(F64x2([f64; 2]) of f64, 2: splat, load, store, add, sub, mul, |a, b, c| add(mul(a, b), c), zip(a, b), unzip(a, b));
}
