//! The IDX format of MNIST and similar datasets: a big-endian header, then bytes.
//!
//! Images: magic 0x00000803, count, rows, columns, then count·rows·columns pixels.
//! Labels: magic 0x00000801, count, then count labels.
//! Source: the MNIST database page, section "File formats".

use std::path::Path;

use crate::error::{DataError, Result};

const IMAGES_MAGIC: u32 = 0x0000_0803;
const LABELS_MAGIC: u32 = 0x0000_0801;

/// Pixels of (N, 1, rows, columns) images, borrowed from the file's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdxImages<'a> {
    /// Pixels, row-major.
    pub pixels: &'a [u8],
    /// The number of images.
    pub count: usize,
    /// The height of each image.
    pub rows: usize,
    /// The width of each image.
    pub columns: usize,
}

/// Parses an images file; `path` is used in error messages.
///
/// # Errors
/// If the magic number or the length is wrong, or the file has no images.
pub fn parse_images<'a>(bytes: &'a [u8], path: &Path) -> Result<IdxImages<'a>> {
    let ([count, rows, columns], pixels) =
        parse::<3>(bytes, path, "images", IMAGES_MAGIC, ["images", "rows", "columns"])?;
    Ok(IdxImages { pixels, count, rows, columns })
}

/// Parses a labels file, (N); `path` is used in error messages.
///
/// # Errors
/// If the magic number or the length is wrong, the file has no labels, or a label is not less than `classes`.
pub fn parse_labels<'a>(bytes: &'a [u8], classes: usize, path: &Path) -> Result<&'a [u8]> {
    let (_, labels) = parse::<1>(bytes, path, "labels", LABELS_MAGIC, ["labels"])?;
    match labels.iter().position(|&label| usize::from(label) >= classes) {
        Some(sample) => Err(DataError::LabelOutOfRange { path: path.into(), sample, label: labels[sample], classes }),
        None => Ok(labels),
    }
}

/// The header's `D` dimensions, and the bytes after the header.
fn parse<'a, const D: usize>(
    bytes: &'a [u8],
    path: &Path,
    kind: &'static str,
    magic: u32,
    names: [&str; D],
) -> Result<([usize; D], &'a [u8])> {
    let word = |i: usize| {
        let bytes = bytes.get(4 * i..)?.first_chunk::<4>()?;
        Some(u32::from_be_bytes(*bytes))
    };
    let header_length = 4 + 4 * D;
    let length = |expected: u64, detail: String| DataError::WrongLength {
        path: path.into(),
        detail,
        expected,
        found: bytes.len() as u64,
    };
    let truncated_header = || length(header_length as u64, format!("the header of an IDX file of {kind}"));

    // The magic number first, so that a file of another kind is reported as such whatever its length.
    let found = word(0).ok_or_else(truncated_header)?;
    if found != magic {
        return Err(DataError::WrongMagic { path: path.into(), kind, expected: magic, found });
    }
    let mut dimensions = [0; D];
    for (i, dimension) in dimensions.iter_mut().enumerate() {
        *dimension = word(1 + i).ok_or_else(truncated_header)? as usize;
    }

    let header = names.iter().zip(dimensions).map(|(name, d)| format!("{d} {name}")).collect::<Vec<_>>().join(", ");
    if dimensions.contains(&0) {
        return Err(DataError::BadHeader { path: path.into(), header, problem: "but the dataset must not be empty" });
    }
    // The product of three u32 dimensions can overflow u64.
    let Some(expected) = dimensions
        .iter()
        .try_fold(1_u64, |product, &d| product.checked_mul(d as u64))
        .and_then(|n| n.checked_add(header_length as u64))
    else {
        return Err(DataError::BadHeader { path: path.into(), header, problem: "which overflows a 64-bit length" });
    };
    if bytes.len() as u64 != expected {
        return Err(length(expected, format!("the header says {header}")));
    }
    Ok((dimensions, &bytes[header_length..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn idx(magic: u32, dimensions: &[u32], data: &[u8]) -> Vec<u8> {
        let header = std::iter::once(&magic).chain(dimensions).flat_map(|word| word.to_be_bytes());
        header.chain(data.iter().copied()).collect()
    }

    fn images_error(bytes: &[u8]) -> String {
        parse_images(bytes, Path::new("dir/images")).unwrap_err().to_string()
    }

    #[test]
    fn reads_images_and_labels() {
        let bytes = idx(IMAGES_MAGIC, &[2, 1, 3], &[1, 2, 3, 4, 5, 6]);
        let images = parse_images(&bytes, Path::new("i")).unwrap();
        assert_eq!((images.count, images.rows, images.columns, images.pixels), (2, 1, 3, &[1, 2, 3, 4, 5, 6][..]));
        assert_eq!(parse_labels(&idx(LABELS_MAGIC, &[3], &[0, 9, 4]), 10, Path::new("l")).unwrap(), [0, 9, 4]);
    }

    #[test]
    fn wrong_magic_reports_expected_and_found() {
        assert_eq!(
            images_error(&idx(LABELS_MAGIC, &[1], &[0])),
            "dir/images: not an IDX file of images\n  expected magic number 0x00000803, found 0x00000801\n  \
             help: check that the images and labels files are not swapped, or get a fresh copy"
        );
    }

    #[test]
    fn wrong_length_reports_expected_and_found() {
        let whole = idx(IMAGES_MAGIC, &[2, 1, 3], &[1, 2, 3, 4, 5, 6]);
        assert_eq!(
            images_error(&whole[..20]),
            "dir/images: truncated (the header says 2 images, 1 rows, 3 columns)\n  \
             expected 22 bytes, found 20\n  help: get a fresh copy of the file"
        );
        assert_eq!(
            images_error(&[&whole[..], &[7]].concat()),
            "dir/images: trailing bytes (the header says 2 images, 1 rows, 3 columns)\n  \
             expected 22 bytes, found 23\n  help: get a fresh copy of the file"
        );
    }

    #[test]
    fn every_prefix_is_an_error() {
        let whole = idx(IMAGES_MAGIC, &[2, 1, 3], &[1, 2, 3, 4, 5, 6]);
        for length in 0..whole.len() {
            assert!(images_error(&whole[..length]).contains("truncated"), "{length} bytes");
        }
    }

    #[test]
    fn invalid_headers_are_rejected() {
        let huge = idx(IMAGES_MAGIC, &[u32::MAX; 3], &[]);
        assert!(images_error(&huge).contains("overflows a 64-bit length"));
        assert_eq!(
            images_error(&idx(IMAGES_MAGIC, &[0, 28, 28], &[])),
            "dir/images: the header says 0 images, 28 rows, 28 columns, but the dataset must not be empty\n  \
             help: get a fresh copy of the file"
        );
    }

    #[test]
    fn label_out_of_range_reports_the_sample() {
        let bytes = idx(LABELS_MAGIC, &[3], &[0, 9, 10]);
        assert_eq!(
            parse_labels(&bytes, 10, Path::new("dir/labels")).unwrap_err().to_string(),
            "dir/labels: label 10 of sample 2 is out of range\n  expected 0 to 9, for 10 classes\n  \
             help: check that this is the labels file of this dataset, or get a fresh copy"
        );
    }
}
