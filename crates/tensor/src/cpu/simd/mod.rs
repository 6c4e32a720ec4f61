//! Loops compiled once per level of CPU features, selected at run time.
//!
//! [`Vectorized`] work is a plain loop. [`dispatch`] compiles it for the baseline, for AVX2 and for AVX-512, and runs the
//! widest variant that the CPU supports; work on element types other than `f32` has fewer variants ([`Levels`]). All give
//! the same bits: the compiler neither reorders sums nor contracts `a * b + c`, and the lanes of a sum are explicit in the
//! source.
//!
//! [`Tiled`] work uses explicit registers ([`Vector`]) and adapts its loops to their size and number. It uses fused
//! multiply-add if the level has it, so its last bits may depend on the level, but never on threads.

#![expect(clippy::inline_always, reason = "work is inlined into the variants of `dispatch`")]

mod vector;

#[cfg(target_arch = "x86_64")]
use std::arch::is_x86_feature_detected;
use std::sync::atomic::{AtomicU8, Ordering};

pub(crate) use vector::prefetch;
pub use vector::{Vector, Wide};

/// A loop that benefits from wide vectors.
pub(crate) trait Vectorized {
    /// The elements that the work is done on.
    type Element: Levels;
    type Output;
    /// Runs the work. Every implementation, and every function it calls in its loops, is `#[inline(always)]`: only code that
    /// is inlined into a variant of [`dispatch`] is compiled with its features.
    fn run(self) -> Self::Output;
}

/// A set of CPU features, narrow to wide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// The baseline of the target: SSE2 on x86-64, NEON on aarch64.
    Portable = 1,
    Avx2 = 2,
    Avx512 = 3,
}

/// The levels that kernels are compiled for, by element type: all up to the widest. `f64` serves gradient checks, and
/// integers are labels, masks and pixels: wider vectors would not speed up training, but take as long to compile as
/// those of `f32`.
pub trait Levels {
    const WIDEST: Level;
}

impl Levels for f32 {
    const WIDEST: Level = Level::Avx512;
}

impl Levels for f64 {
    const WIDEST: Level = Level::Avx2;
}

impl Levels for i32 {
    const WIDEST: Level = Level::Portable;
}

impl Levels for u8 {
    const WIDEST: Level = Level::Portable;
}

/// The level in use; 0 before the first query.
static LEVEL: AtomicU8 = AtomicU8::new(0);

/// The level in use: the widest available one, or the one set by the environment variable `CHAINRULE_CPU`.
///
/// # Panics
/// If `CHAINRULE_CPU` is not a level, or one that this CPU does not support.
#[inline]
pub(crate) fn level() -> Level {
    #[cfg(test)]
    if let Some(level) = FORCED.get() {
        return level;
    }
    match LEVEL.load(Ordering::Relaxed) {
        1 => Level::Portable,
        2 => Level::Avx2,
        3 => Level::Avx512,
        _ => choose(),
    }
}

#[cold]
fn choose() -> Level {
    let best = detect();
    let level = match std::env::var("CHAINRULE_CPU") {
        Ok(name) => named(&name, best).unwrap_or_else(|text| panic!("{text}")),
        Err(_) => best,
    };
    LEVEL.store(level as u8, Ordering::Relaxed);
    level
}

/// The level called `name`, if it is at most `best`; else an error message.
fn named(name: &str, best: Level) -> Result<Level, String> {
    let level = match name {
        "portable" => Level::Portable,
        "avx2" => Level::Avx2,
        "avx512" => Level::Avx512,
        _ => return Err(format!("CHAINRULE_CPU={name} is not a level; use portable, avx2 or avx512, or unset it")),
    };
    if level > best {
        return Err(format!("CHAINRULE_CPU={name} needs features that this CPU lacks; its best level is {best:?}"));
    }
    Ok(level)
}

#[cfg(target_arch = "x86_64")]
fn detect() -> Level {
    let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
    let avx512 = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq");
    match (avx2, avx512) {
        (true, true) => Level::Avx512,
        (true, false) => Level::Avx2,
        _ => Level::Portable,
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn detect() -> Level {
    Level::Portable
}

/// Work whose loops adapt to the available registers.
pub(crate) trait Tiled {
    /// The elements that the work is done on.
    type Element: Levels;
    type Output;
    /// Runs the work; `#[inline(always)]` like [`Vectorized::run`].
    fn run<R: Registers>(self) -> Self::Output;
}

/// The vector registers of a level.
pub trait Registers {
    const BYTES: usize;
    const COUNT: usize;
    type F32: Vector<Element = f32>;
    type F64: Vector<Element = f64>;
}

macro_rules! registers {
    ($name:ident: $bytes:literal, $count:literal, $f32:ty, $f64:ty) => {
        struct $name;
        impl Registers for $name {
            const BYTES: usize = $bytes;
            const COUNT: usize = $count;
            type F32 = $f32;
            type F64 = $f64;
        }
    };
}

#[cfg(target_arch = "x86_64")]
registers!(Narrow: 16, 16, vector::x86::F32x4, vector::x86::F64x2);
#[cfg(target_arch = "x86_64")]
registers!(Ymm: 32, 16, vector::x86::F32x8, vector::x86::F64x4);
#[cfg(target_arch = "x86_64")]
registers!(Zmm: 64, 32, vector::x86::F32x16, vector::x86::F64x8);
#[cfg(target_arch = "aarch64")]
registers!(Narrow: 16, 32, vector::neon::F32x4, vector::neon::F64x2);
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
registers!(Narrow: 16, 16, vector::arrays::F32x4, vector::arrays::F64x2);

struct Untiled<V>(V);

impl<V: Vectorized> Tiled for Untiled<V> {
    type Element = V::Element;
    type Output = V::Output;
    #[inline(always)]
    fn run<R: Registers>(self) -> V::Output {
        self.0.run()
    }
}

/// Runs the work with the features of [`level`].
#[inline]
pub(crate) fn dispatch<V: Vectorized>(work: V) -> V::Output {
    dispatch_tiled(Untiled(work))
}

/// Runs the work with the features of [`level`].
#[inline]
pub(crate) fn dispatch_tiled<V: Tiled>(work: V) -> V::Output {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2,fma")]
        fn avx2<V: Tiled>(work: V) -> V::Output {
            work.run::<Ymm>()
        }
        #[target_feature(enable = "avx2,fma,avx512f,avx512vl,avx512bw,avx512dq")]
        fn avx512<V: Tiled>(work: V) -> V::Output {
            work.run::<Zmm>()
        }
        let level = level();
        // Conditions that are known for each type: what they exclude is not compiled.
        if const { V::Element::WIDEST as u8 >= Level::Avx512 as u8 } && level >= Level::Avx512 {
            // SAFETY: `level` never exceeds what `detect` found.
            return unsafe { avx512(work) };
        }
        if const { V::Element::WIDEST as u8 >= Level::Avx2 as u8 } && level >= Level::Avx2 {
            // SAFETY: as above.
            return unsafe { avx2(work) };
        }
        work.run::<Narrow>()
    }
    #[cfg(not(target_arch = "x86_64"))]
    work.run::<Narrow>()
}

#[cfg(test)]
thread_local! {
    /// The level that a test has set for this thread and its jobs.
    static FORCED: std::cell::Cell<Option<Level>> = const { std::cell::Cell::new(None) };
}

/// Returns a function that a worker calls before a job, to use the level of the submitting thread.
#[cfg(test)]
pub(crate) fn inherit() -> impl Fn() + Send + Sync {
    let level = FORCED.get();
    move || FORCED.set(level)
}

/// Runs `body` once at each level that this CPU supports.
#[cfg(test)]
pub(crate) fn at_each_level(mut body: impl FnMut(Level)) {
    let best = level();
    for level in [Level::Portable, Level::Avx2, Level::Avx512] {
        if level <= best {
            FORCED.set(Some(level));
            body(level);
        }
    }
    FORCED.set(None);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::element::Float;

    /// The maximum number of lanes.
    const LANES: usize = 16;

    #[test]
    fn names_are_read_and_limits_told() {
        assert_eq!(named("portable", Level::Avx512), Ok(Level::Portable));
        assert_eq!(named("avx2", Level::Avx512), Ok(Level::Avx2));
        assert_eq!(named("avx512", Level::Avx512), Ok(Level::Avx512));
        let unknown = named("sse9", Level::Avx512).unwrap_err();
        assert!(unknown.contains("sse9") && unknown.contains("portable, avx2 or avx512"), "{unknown}");
        let lacking = named("avx512", Level::Avx2).unwrap_err();
        assert!(lacking.contains("lacks") && lacking.contains("Avx2"), "{lacking}");
    }

    struct Square<'a>(&'a mut [f32]);

    impl Vectorized for Square<'_> {
        type Element = f32;
        type Output = usize;
        #[inline(always)]
        fn run(self) -> usize {
            for x in self.0.iter_mut() {
                *x *= *x;
            }
            self.0.len()
        }
    }

    /// Interleaves and deinterleaves the first two registers of x, and sums and transposes a square.
    struct Shuffles<'a, T>(&'a [T]);

    impl<T: Float> Tiled for Shuffles<'_, T> {
        type Element = T;
        type Output = ();
        #[inline(always)]
        fn run<R: Registers>(self) {
            let lanes = T::Vector::<R>::LANES;
            let x = &self.0[..lanes * lanes];
            let mut y = [T::ZERO; 5 * LANES];
            let mut transposed = [T::ZERO; LANES * LANES];
            // SAFETY: x and `transposed` have a square of registers, y has five.
            unsafe {
                let mut rows = [T::Vector::<R>::splat(T::ZERO); LANES];
                for (row, x) in rows.iter_mut().zip(x.chunks_exact(lanes)) {
                    *row = T::Vector::<R>::load(x.as_ptr());
                }
                for (i, (low, high)) in [rows[0].zip(rows[1]), rows[0].unzip(rows[1])].into_iter().enumerate() {
                    low.store(y[2 * i * lanes..].as_mut_ptr());
                    high.store(y[(2 * i + 1) * lanes..].as_mut_ptr());
                }
                T::Vector::<R>::sums(rows).store(y[4 * lanes..].as_mut_ptr());
                T::Vector::<R>::transpose(x.as_ptr(), lanes as isize, transposed.as_mut_ptr(), lanes);
            }
            for i in 0..lanes {
                assert_eq!((y[2 * i], y[2 * i + 1]), (x[i], x[lanes + i]), "zip of {lanes} lanes");
                let (even, odd) = (y[2 * lanes + i], y[3 * lanes + i]);
                assert_eq!((even, odd), (x[2 * i], x[2 * i + 1]), "unzip of {lanes} lanes");
                let row = &x[i * lanes..(i + 1) * lanes];
                assert_eq!(y[4 * lanes + i], row.iter().fold(T::ZERO, |sum, &x| sum + x), "sums of {lanes} lanes");
                for (j, &x) in row.iter().enumerate() {
                    assert_eq!(transposed[j * lanes + i], x, "transpose of {lanes} lanes");
                }
            }
        }
    }

    #[test]
    fn lanes_are_reordered_and_summed_at_every_level() {
        let numbers: Vec<f64> = (0..256).map(f64::from).collect();
        at_each_level(|_| {
            dispatch_tiled(Shuffles(&numbers));
            dispatch_tiled(Shuffles(&numbers.iter().map(|&x| x as f32).collect::<Vec<_>>()));
        });
    }

    #[test]
    fn every_level_runs_the_work() {
        at_each_level(|level| {
            let mut x: Vec<f32> = (0..100).map(|i| i as f32).collect();
            assert_eq!(dispatch(Square(&mut x)), 100);
            assert!(x.iter().enumerate().all(|(i, &x)| x == (i * i) as f32), "{level:?}");
        });
    }
}
