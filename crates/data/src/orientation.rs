//! The EXIF orientation of an image: how its rows and columns must be turned and mirrored to be seen as taken.

use exif::{In, Reader, Tag};

/// A value of the tag, 1 to 8. Source: EXIF 2.32, section 4.6.4, tag 0x0112.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Orientation(u32);

impl Orientation {
    /// As stored.
    pub const NORMAL: Self = Self(1);

    /// The orientation in EXIF data (TIFF, without the "Exif" of a JPEG segment), if they can be read. Damage elsewhere in
    /// them does not matter.
    pub fn from_exif(data: &[u8]) -> Self {
        let mut reader = Reader::new();
        let parsed = reader.continue_on_error(true).read_raw(data.to_vec());
        let exif = parsed.or_else(|error| error.distill_partial_result(|_| ())).ok();
        let value = exif.and_then(|exif| exif.get_field(Tag::Orientation, In::PRIMARY)?.value.get_uint(0));
        value.filter(|value| (1..=8).contains(value)).map_or(Self::NORMAL, Self)
    }

    /// The (height, width) of the turned image.
    pub fn size(self, (h, w): (usize, usize)) -> (usize, usize) {
        if self.0 >= 5 { (w, h) } else { (h, w) }
    }

    /// Turns the pixels (H, W, 3).
    pub fn apply(self, pixels: Vec<u8>, (h, w): (usize, usize)) -> Vec<u8> {
        if self == Self::NORMAL {
            return pixels;
        }
        let (rows, columns) = self.size((h, w));
        let mut turned = Vec::with_capacity(pixels.len());
        for i in 0..rows {
            for j in 0..columns {
                // The tag says where row 0 and column 0 of the stored image are seen: 6 means row 0 on the right and
                // column 0 at the top.
                let (row, column) = match self.0 {
                    2 => (i, w - 1 - j),
                    3 => (h - 1 - i, w - 1 - j),
                    4 => (h - 1 - i, j),
                    5 => (j, i),
                    6 => (h - 1 - j, i),
                    7 => (h - 1 - j, w - 1 - i),
                    8 => (j, w - 1 - i),
                    _ => (i, j),
                };
                turned.extend_from_slice(&pixels[3 * (row * w + column)..][..3]);
            }
        }
        turned
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// EXIF data with this orientation, of either byte order.
    fn exif(value: u16, big_endian: bool) -> Vec<u8> {
        let two = |x: u16| if big_endian { x.to_be_bytes() } else { x.to_le_bytes() };
        let four = |x: u32| if big_endian { x.to_be_bytes() } else { x.to_le_bytes() };
        let order = if big_endian { b"MM" } else { b"II" };
        // Header, one entry (tag, type SHORT, one value), no next directory.
        [&order[..], &two(42), &four(8), &two(1), &two(0x112), &two(3), &four(1), &two(value), &two(0), &four(0)]
            .concat()
    }

    #[test]
    fn every_orientation_turns_the_image() {
        // The letter of each pixel of   a b c
        //                               d e f
        let expected = ["abc def", "cba fed", "fed cba", "def abc", "ad be cf", "da eb fc", "fc eb da", "cf be ad"];
        let pixels: Vec<u8> = b"abcdef".iter().flat_map(|&letter| [letter; 3]).collect();
        for (i, expected) in expected.into_iter().enumerate() {
            for big_endian in [false, true] {
                let orientation = Orientation::from_exif(&exif(1 + i as u16, big_endian));
                let turned = orientation.apply(pixels.clone(), (2, 3));
                let letters: Vec<u8> = turned.chunks_exact(3).map(|rgb| rgb[0]).collect();
                let rows: Vec<&str> =
                    letters.chunks(orientation.size((2, 3)).1).map(|row| str::from_utf8(row).unwrap()).collect();
                assert_eq!(rows.join(" "), expected, "orientation {}", i + 1);
            }
        }
    }

    #[test]
    fn damaged_data_mean_as_stored() {
        let whole = exif(6, true);
        assert_eq!(Orientation::from_exif(&exif(0, true)), Orientation::NORMAL);
        assert_eq!(Orientation::from_exif(&exif(9, false)), Orientation::NORMAL);
        for length in 0..whole.len() - 6 {
            assert_eq!(Orientation::from_exif(&whole[..length]), Orientation::NORMAL, "{length} bytes");
        }
        // The pointer to the next directory is damaged: the orientation is still read.
        let next = [&whole[..whole.len() - 4], &[0, 1, 0, 0]].concat();
        assert_eq!(Orientation::from_exif(&next), Orientation(6));
    }
}
