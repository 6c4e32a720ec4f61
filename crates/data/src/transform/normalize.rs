//! Normalization: the conversion of bytes to `f32`.

/// Converts bytes to `f32`: y = (x / 255 − mean) / std, with a mean and standard deviation per channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Normalize {
    /// y for each byte value, per channel: a lookup table saves a division per pixel.
    tables: Vec<[f32; 256]>,
}

impl Normalize {
    /// `channels` are (mean, std) pairs per channel, for pixels scaled to [0, 1]. A single pair applies to all channels.
    ///
    /// # Panics
    /// If there is no pair, if a number is not finite, or if a standard deviation is not positive.
    #[track_caller]
    pub fn new(channels: &[(f32, f32)]) -> Self {
        assert!(!channels.is_empty(), "Normalize: no (mean, std) given; pass one for all channels, or one per channel");
        let table = |&(mean, std): &(f32, f32)| {
            assert!(
                mean.is_finite() && std.is_finite() && std > 0.0,
                "Normalize: mean {mean} and std {std}: both must be finite, and std must be positive"
            );
            std::array::from_fn(|x| (x as f32 / 255.0 - mean) / std)
        };
        Self { tables: channels.iter().map(table).collect() }
    }

    /// Scales to [0, 1].
    pub fn to_unit() -> Self {
        Self::new(&[(0.0, 1.0)])
    }

    /// Scales to [−1, 1]: mean ½, standard deviation ½.
    pub fn to_symmetric() -> Self {
        Self::new(&[(0.5, 0.5)])
    }

    /// The number of channels; `None` if one pair applies to all.
    pub fn channels(&self) -> Option<usize> {
        (self.tables.len() > 1).then_some(self.tables.len())
    }

    /// The lookup table for all channels, or one per channel.
    pub(crate) fn tables(&self) -> &[[f32; 256]] {
        &self.tables
    }

    /// Writes y (C, H, W) for the pixels x (C, H, W).
    pub(crate) fn write(&self, pixels: &[u8], plane: usize, y: &mut [f32]) {
        for (channel, (pixels, y)) in pixels.chunks_exact(plane).zip(y.chunks_exact_mut(plane)).enumerate() {
            let table = &self.tables[channel % self.tables.len()];
            for (&x, y) in pixels.iter().zip(y) {
                *y = table[usize::from(x)];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_channel_is_normalized_by_its_own_mean_and_std() {
        let mut y = [0.0; 4];
        Normalize::new(&[(0.5, 0.5), (0.0, 2.0)]).write(&[0, 255, 0, 255], 2, &mut y);
        assert_eq!(y, [-1.0, 1.0, 0.0, 0.5]);
        Normalize::to_unit().write(&[0, 51, 255, 0], 2, &mut y);
        assert_eq!(y, [0.0, 0.2, 1.0, 0.0]);
    }

    #[test]
    #[should_panic(expected = "Normalize: mean 0.5 and std 0: both must be finite, and std must be positive")]
    fn zero_deviation_panics() {
        Normalize::new(&[(0.5, 0.0)]);
    }
}
