//! Random tensors: every element is a pure function of the key and its row-major index.

use crate::device::Device;
use crate::element::Float;
use crate::parallel::parallel_chunks;
use crate::random::Key;
use crate::shape::Shape;
use crate::tensor::TensorOf;

/// The number of elements generated at a time: their words fit in the L1 cache; a multiple of a block.
const STRETCH: usize = 256;
/// The minimum number of stretches per task.
const GRAIN: usize = 32;

/// The conversion of 32-bit random words to an element type.
pub(crate) trait Draw: Float {
    /// The words per element: a divisor of the four words of a block.
    const WORDS: usize;

    /// Uniform in [0, 1), a multiple of the spacing of floats just below 1, so that `1 − u` is exact.
    fn unit(words: &[u32]) -> Self;

    /// The square root, correctly rounded.
    fn root(self) -> Self;
}

impl Draw for f32 {
    const WORDS: usize = 1;

    #[inline]
    fn unit(words: &[u32]) -> Self {
        // Through i32: vector units convert i32 to float, but not u32.
        (words[0] >> 8) as i32 as f32 * (1.0 / (1u32 << 24) as f32)
    }

    #[inline]
    fn root(self) -> Self {
        self.sqrt()
    }
}

impl Draw for f64 {
    const WORDS: usize = 2;

    #[inline]
    fn unit(words: &[u32]) -> Self {
        ((u64::from(words[0]) << 32 | u64::from(words[1])) >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    #[inline]
    fn root(self) -> Self {
        self.sqrt()
    }
}

/// Block `index` of a stream. After 2³² blocks it continues as the next sample's, as [`crate::Rng`] does.
#[inline]
fn block(key: Key, index: u64) -> [u32; 4] {
    key.for_sample(key.sample.wrapping_add((index >> 32) as u32)).block(index as u32)
}

/// A tensor whose elements `make` writes stretch by stretch, from `words` random words per element.
fn draw<T: Float>(key: Key, shape: Shape, words: usize, make: impl Fn(&[u32], &mut [T]) + Sync) -> TensorOf<T> {
    TensorOf::filled_by(shape, |y| {
        parallel_chunks(y, STRETCH, GRAIN, |i, y| {
            let mut buffer = [[0; 4]; STRETCH / 2];
            let blocks = &mut buffer[..(y.len() * words).div_ceil(4)];
            let first = (i * STRETCH * words / 4) as u64;
            for (k, slot) in blocks.iter_mut().enumerate() {
                *slot = block(key, first + k as u64);
            }
            make(blocks.as_flattened(), y);
        });
    })
}

/// f32: element i is the upper 24 bits of word `i mod 4` of block `i / 4`; f64: the upper 53 bits of word `2(i mod 2)` and
/// the next word of block `i / 2`.
pub(crate) fn uniform<T: Draw>(_: Device, key: Key, shape: Shape) -> TensorOf<T> {
    draw(key, shape, T::WORDS, |words, y| {
        for (y, words) in y.iter_mut().zip(words.chunks_exact(T::WORDS)) {
            *y = T::unit(words);
        }
    })
}

/// Elements 2k and 2k + 1 are `√(−2 ln(1 − u)) · (cos 2πv, sin 2πv)`, where u and v are the elements of [`uniform`]
/// (Box, Muller: "A note on the generation of random normal deviates", 1958). `1 − u` is never 0.
pub(crate) fn normal<T: Draw>(_: Device, key: Key, shape: Shape) -> TensorOf<T> {
    draw(key, shape, T::WORDS, |words, y| {
        let mut pairs = y.chunks_exact_mut(2);
        let mut words = words.chunks_exact(2 * T::WORDS);
        for (y, words) in pairs.by_ref().zip(words.by_ref()) {
            y.copy_from_slice(&box_muller(words));
        }
        // If the length is odd, the last element is the first of a pair.
        if let ([last], Some(words)) = (pairs.into_remainder(), words.next()) {
            *last = box_muller(words)[0];
        }
    })
}

#[inline]
fn box_muller<T: Draw>(words: &[u32]) -> [T; 2] {
    let (u, v) = (T::unit(words), T::unit(&words[T::WORDS..]));
    let radius = (T::from_f64(-2.0) * T::ln(T::ONE - u)).root();
    let (sin, cos) = T::sin_cos_turns(v);
    [radius * cos, radius * sin]
}

/// Element i is 0 if word `i mod 4` of block `i / 4` is below `p · 2³²`: the same ones for every element type.
pub(crate) fn dropout_mask<T: Float>(_: Device, key: Key, p: f64, shape: Shape) -> TensorOf<T> {
    let keep = T::from_f64(1.0 / (1.0 - p));
    // Rounding the bound up is equivalent for integers. It may be 2³², so that a p close to 1 drops every element.
    let bound = (p * (1u64 << 32) as f64).ceil() as u64;
    draw(key, shape, 1, |words, y| {
        for (y, &word) in y.iter_mut().zip(words) {
            *y = if u64::from(word) < bound { T::ZERO } else { keep };
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parallel::with_threads;
    use crate::random::Purpose;

    const KEY: Key = Key::new(0x1234_5678_9abc, Purpose::USER);

    fn slice<T: Float>(x: &TensorOf<T>) -> &[T] {
        x.as_slice().expect("drawn tensors are contiguous")
    }

    #[test]
    fn uniform_takes_its_own_words() {
        let single: TensorOf<f32> = uniform(Device::Cpu, KEY, Shape::from([7, 111]));
        for (i, &u) in slice(&single).iter().enumerate() {
            let word = KEY.block((i / 4) as u32)[i % 4];
            assert_eq!(f64::from(u), f64::from(word >> 8) / 16_777_216.0, "element {i}");
        }
        let double: TensorOf<f64> = uniform(Device::Cpu, KEY, Shape::from([7, 111]));
        let mut rng = KEY.rng();
        assert!(slice(&double).iter().all(|&u| u == rng.uniform()));
    }

    #[test]
    fn an_element_depends_on_its_place_alone() {
        fn check<T: Draw>() {
            for n in [0, 1, 2, 3, 255, 256, 257, 1000] {
                let fits = |make: fn(Device, Key, Shape) -> TensorOf<T>| {
                    slice(&make(Device::Cpu, KEY, n.into())) == &slice(&make(Device::Cpu, KEY, 70_001.into()))[..n]
                };
                assert!(
                    fits(uniform) && fits(normal) && fits(|_, k, s| dropout_mask(Device::Cpu, k, 0.4, s)),
                    "{n} elements"
                );
            }
        }
        check::<f32>();
        check::<f64>();
    }

    #[test]
    fn any_number_of_threads_draws_the_same() {
        let all = || (normal::<f32>(Device::Cpu, KEY, 50_001.into()), normal::<f64>(Device::Cpu, KEY, 50_001.into()));
        let (one, three) = (with_threads(1, all), with_threads(3, all));
        assert!(slice(&one.0) == slice(&three.0) && slice(&one.1) == slice(&three.1));
    }

    #[test]
    fn the_stream_goes_on_after_the_last_block() {
        assert_eq!(block(KEY, (1 << 32) + 5), KEY.for_sample(1).block(5));
        assert_eq!(block(KEY, u64::from(u32::MAX)), KEY.block(u32::MAX));
    }

    #[test]
    fn normal_follows_box_and_muller() {
        let (u, z): (TensorOf<f64>, TensorOf<f64>) =
            (uniform(Device::Cpu, KEY, 1001.into()), normal(Device::Cpu, KEY, 1001.into()));
        for (u, z) in slice(&u).chunks_exact(2).zip(slice(&z).chunks_exact(2)) {
            let (radius, angle) = ((-2.0 * (1.0 - u[0]).ln()).sqrt(), std::f64::consts::TAU * u[1]);
            assert!((z[0] - radius * angle.cos()).abs() < 1e-14 && (z[1] - radius * angle.sin()).abs() < 1e-14);
        }
    }

    #[test]
    fn no_normal_number_is_infinite() {
        for word in [0, u32::MAX] {
            assert!(box_muller::<f32>(&[word; 2]).iter().all(|z| z.is_finite()));
            assert!(box_muller::<f64>(&[word; 4]).iter().all(|z| z.is_finite()));
        }
        assert!(f32::unit(&[u32::MAX]) < 1.0 && f64::unit(&[u32::MAX; 2]) < 1.0);
    }

    #[test]
    fn moments_are_those_of_the_distributions() {
        let n = 200_000;
        let moment = |x: &[f32], k: i32| x.iter().map(|&v| f64::from(v).powi(k)).sum::<f64>() / n as f64;
        let z: TensorOf<f32> = normal(Device::Cpu, KEY, n.into());
        let u: TensorOf<f32> = uniform(Device::Cpu, KEY, n.into());
        // Five standard deviations of each estimate, √(variance / n).
        for (k, mean, variance) in [(1, 0.0, 1.0), (2, 1.0, 2.0), (3, 0.0, 15.0), (4, 3.0, 96.0)] {
            let bound = 5.0 * (variance / n as f64).sqrt();
            assert!((moment(slice(&z), k) - mean).abs() < bound, "normal, moment {k}");
        }
        for k in 1..4 {
            let (mean, square) = (1.0 / f64::from(k + 1), 1.0 / f64::from(2 * k + 1));
            let bound = 5.0 * ((square - mean * mean) / n as f64).sqrt();
            assert!((moment(slice(&u), k) - mean).abs() < bound, "uniform, moment {k}");
        }
    }

    #[test]
    fn dropout_drops_the_same_elements_for_both_types() {
        let n = 100_000;
        let single: TensorOf<f32> = dropout_mask(Device::Cpu, KEY, 0.3, n.into());
        let double: TensorOf<f64> = dropout_mask(Device::Cpu, KEY, 0.3, n.into());
        let mut dropped = 0;
        for (i, (&a, &b)) in slice(&single).iter().zip(slice(&double)).enumerate() {
            let drop = f64::from(KEY.block((i / 4) as u32)[i % 4]) < 0.3 * 4_294_967_296.0;
            assert_eq!((f64::from(a), b), if drop { (0.0, 0.0) } else { (f64::from(1.0f32 / 0.7), 1.0 / 0.7) });
            dropped += usize::from(drop);
        }
        // Five standard deviations of 145.
        assert!(dropped.abs_diff(30_000) < 725, "{dropped}");
        assert!(slice(&dropout_mask::<f32>(Device::Cpu, KEY, 0.0, n.into())).iter().all(|&m| m == 1.0));
    }
}
