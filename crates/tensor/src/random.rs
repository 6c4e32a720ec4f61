//! Counter-based random numbers: pure functions of a [`Key`] and a position.
//!
//! The generator is Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
//! It has no state, so any number of workers in any order draw the same numbers, on the CPU and on a GPU.

use rand::rand_core::{Infallible, TryRng};

/// The purpose of a random stream; streams with different purposes are independent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Purpose(pub u32);

impl Purpose {
    /// Initial weights of a net.
    pub const INIT: Self = Self(1);
    /// The order of samples in an epoch.
    pub const SHUFFLE: Self = Self(2);
    /// Data augmentation, such as random crops and flips.
    pub const AUGMENT: Self = Self(3);
    /// Random directions of gradient checks.
    pub const CHECK: Self = Self(4);
    /// A program's own random numbers.
    pub const USER: Self = Self(5);

    /// The number that enters the generator.
    pub(crate) const fn number(self) -> u32 {
        self.0
    }

    /// The stream of a layer, such as dropout.
    pub const fn layer(stream: u32) -> Self {
        Self(0x8000_0000 | stream)
    }
}

/// The key of a random stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// The run's seed.
    pub seed: u64,
    /// The purpose of the numbers.
    pub purpose: Purpose,
    /// The step or epoch.
    pub step: u32,
    /// The sample within the step or epoch.
    pub sample: u32,
}

impl Key {
    /// The key of step 0, sample 0.
    pub const fn new(seed: u64, purpose: Purpose) -> Self {
        Self { seed, purpose, step: 0, sample: 0 }
    }

    /// The same stream at another step or epoch.
    #[must_use]
    pub const fn at_step(self, step: u32) -> Self {
        Self { step, ..self }
    }

    /// The same stream for another sample.
    #[must_use]
    pub const fn for_sample(self, sample: u32) -> Self {
        Self { sample, ..self }
    }

    /// The numbers `4·index` to `4·index + 3` of the stream.
    #[inline]
    pub fn block(self, index: u32) -> [u32; 4] {
        philox4x32_10([index, self.sample, self.step, self.purpose.0], [self.seed as u32, (self.seed >> 32) as u32])
    }

    /// A generator at the start of the stream, which implements the traits of the `rand` crate.
    pub fn rng(self) -> Rng {
        Rng { key: self, index: 0, block: [0; 4], left: 0 }
    }
}

/// Ten rounds of Philox on four words.
#[inline]
fn philox4x32_10(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let [mut a, mut b, mut c, mut d] = counter;
    let [mut k0, mut k1] = key;
    for _ in 0..10 {
        let p = u64::from(a) * 0xD251_1F53;
        let q = u64::from(c) * 0xCD9E_8D57;
        (a, b, c, d) = ((q >> 32) as u32 ^ b ^ k0, q as u32, (p >> 32) as u32 ^ d ^ k1, p as u32);
        k0 = k0.wrapping_add(0x9E37_79B9);
        k1 = k1.wrapping_add(0xBB67_AE85);
    }
    [a, b, c, d]
}

/// A random number generator over the stream of a [`Key`]; implements `rand`'s traits.
#[derive(Clone, Debug)]
pub struct Rng {
    key: Key,
    index: u32,
    block: [u32; 4],
    left: u8,
}

impl Rng {
    /// The generator for a net's initial weights.
    ///
    /// ```
    /// use chainrule_tensor::Rng;
    /// assert_eq!(Rng::seed(7).next_u32(), Rng::seed(7).next_u32());
    /// ```
    pub fn seed(seed: u64) -> Self {
        Key::new(seed, Purpose::INIT).rng()
    }

    /// The next 32 bits.
    pub fn next_u32(&mut self) -> u32 {
        if self.left == 0 {
            self.block = self.key.block(self.index);
            // After 2³² blocks the stream continues as the next sample's; no key is used for that many draws.
            self.index = self.index.wrapping_add(1);
            if self.index == 0 {
                self.key.sample = self.key.sample.wrapping_add(1);
            }
            self.left = 4;
        }
        self.left -= 1;
        self.block[usize::from(3 - self.left)]
    }

    /// A new key for a layer, with a drawn stream id and the seed of this generator.
    pub fn layer_key(&mut self) -> Key {
        Key::new(self.key.seed, Purpose::layer(self.next_u32()))
    }

    /// A uniform integer in `0..bound` (Lemire: "Fast random integer generation in an interval", 2019).
    ///
    /// # Panics
    /// If `bound` is 0.
    pub fn below(&mut self, bound: u32) -> u32 {
        assert!(bound > 0, "below: the bound is 0; it must be at least 1");
        let reject = bound.wrapping_neg() % bound;
        loop {
            let wide = u64::from(self.next_u32()) * u64::from(bound);
            if wide as u32 >= reject {
                return (wide >> 32) as u32;
            }
        }
    }

    /// Uniform in [0, 1), with 53 random bits.
    pub fn uniform(&mut self) -> f64 {
        let high = u64::from(self.next_u32());
        let low = u64::from(self.next_u32());
        ((high << 32 | low) >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }
}

impl TryRng for Rng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.next_u32())
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let low = u64::from(self.next_u32());
        Ok(u64::from(self.next_u32()) << 32 | low)
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for chunk in bytes.chunks_mut(4) {
            chunk.copy_from_slice(&self.next_u32().to_le_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn philox_matches_the_published_vectors() {
        // Known-answer vectors of the authors' Random123 library.
        assert_eq!(philox4x32_10([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(philox4x32_10([u32::MAX; 4], [u32::MAX; 2]), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
        assert_eq!(
            philox4x32_10([0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0]),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    #[test]
    fn bounded_integers_are_uniform() {
        let mut rng = Key::new(3, Purpose::USER).rng();
        let mut seen = [0u32; 6];
        for _ in 0..60_000 {
            seen[rng.below(6) as usize] += 1;
        }
        // Five standard deviations of 91.
        assert!(seen.iter().all(|&n| n.abs_diff(10_000) < 460), "{seen:?}");
    }

    #[test]
    fn every_field_of_a_key_matters() {
        let key = Key::new(1, Purpose::USER);
        let others = [key.at_step(1), key.for_sample(1), Key::new(2, Purpose::USER), Key::new(1, Purpose::INIT)];
        assert!(others.iter().all(|other| other.block(0) != key.block(0)));
    }
}
