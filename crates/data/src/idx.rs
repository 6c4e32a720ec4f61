//! The IDX format of MNIST and similar datasets: a big-endian header, then the elements.
//!
//! The header is two zero bytes, the type of the elements, the number of dimensions, and each dimension as 32 bits.
//! Images: magic number 0x00000803 (bytes), count, rows, columns. Labels: 0x00000801, count. Labels may also be integers
//! of 16 or 32 bits, and QMNIST's table of 8 columns, 0x00000c02, whose first column is the class.
//! Source: the MNIST database page, section "File formats".

use std::io::Read;
use std::path::Path;

use crate::error::{DataError, Result};
use crate::files;

const IMAGES_MAGIC: u32 = 0x0000_0803;
const LABELS_MAGIC: u32 = 0x0000_0801;

/// (N, 1, rows, columns) images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdxImages {
    /// Pixels, row-major.
    pub pixels: Vec<u8>,
    /// The number of images.
    pub count: usize,
    /// The height of each image.
    pub rows: usize,
    /// The width of each image.
    pub columns: usize,
}

/// Reads an images file, and no more of it than its header says; `path` is used in error messages.
///
/// # Errors
/// If it cannot be read, if the magic number or the length is wrong, or the file has no images.
pub fn read_images(mut file: impl Read, path: &Path) -> Result<IdxImages> {
    let names = ["images", "rows", "columns"];
    read_magic(&mut file, path, &names, IMAGES_MAGIC, |magic| magic == IMAGES_MAGIC)?;
    let ([count, rows, columns], pixels) = read_elements(&mut file, path, names, 1)?;
    Ok(IdxImages { pixels, count, rows, columns })
}

/// Reads a labels file, (N), and no more of it than its header says; `path` is used in error messages.
///
/// # Errors
/// If it cannot be read, if the magic number or the length is wrong, or the file has no labels.
pub fn read_labels(mut file: impl Read, path: &Path) -> Result<Vec<i32>> {
    let known = |magic: u32| matches!(magic >> 8, BYTES | SHORTS | INTS) && matches!(magic & 0xff, 1 | 2);
    let magic = read_magic(&mut file, path, &["labels"], LABELS_MAGIC, known)?;
    let size = match magic >> 8 {
        BYTES => 1,
        SHORTS => 2,
        _ => 4,
    };
    let (columns, elements) = if magic & 0xff == 1 {
        (1, read_elements(&mut file, path, ["labels"], size)?.1)
    } else {
        let ([_, columns], elements) = read_elements(&mut file, path, ["labels", "columns"], size)?;
        // Of any other table, such as one-hot labels, the first column may not be the class.
        if columns != 1 && (size, columns) != (4, QMNIST_COLUMNS) {
            return Err(DataError::Inconsistent {
                what: path.display().to_string(),
                problem: format!(
                    "labels with {columns} columns of {} bits; expected one column, or QMNIST's {QMNIST_COLUMNS} of 32 bits",
                    8 * size
                ),
                help: "store one number per image, the index of its class",
            });
        }
        (columns, elements)
    };
    // Big-endian: the sign is in the first byte. Bytes are unsigned.
    let class = |row: &[u8]| match *row {
        [a, b, c, d, ..] if size == 4 => i32::from_be_bytes([a, b, c, d]),
        [a, b, ..] if size == 2 => i16::from_be_bytes([a, b]).into(),
        _ => row[0].into(),
    };
    Ok(elements.chunks_exact(columns * size as usize).map(class).collect())
}

/// The types of elements, as in the third byte of a file.
const BYTES: u32 = 0x08;
const SHORTS: u32 = 0x0b;
const INTS: u32 = 0x0c;

/// Class, NIST's partition, writer, …
const QMNIST_COLUMNS: usize = 8;

/// Reads the magic number. It is checked before the length, so that a file of another kind is reported as such.
fn read_magic(
    file: &mut impl Read,
    path: &Path,
    names: &[&'static str],
    expected: u32,
    known: impl Fn(u32) -> bool,
) -> Result<u32> {
    let magic = read_words::<1>(file, path, names, 0)?[0];
    if known(magic) {
        return Ok(magic);
    }
    Err(DataError::WrongMagic { path: path.into(), kind: names[0], expected, found: magic })
}

/// Reads `W` words of the header of a file with dimensions `names`, after `before` bytes of it.
fn read_words<const W: usize>(file: &mut impl Read, path: &Path, names: &[&str], before: usize) -> Result<[u32; W]> {
    let bytes = read_at_most(file, path, 4 * W as u64)?;
    if bytes.len() < 4 * W {
        return Err(DataError::WrongLength {
            path: path.into(),
            detail: format!("the header of an IDX file of {}", names[0]),
            expected: 4 + 4 * names.len() as u64,
            found: (before + bytes.len()) as u64,
        });
    }
    let mut words = [0; W];
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks().0) {
        *word = u32::from_be_bytes(*bytes);
    }
    Ok(words)
}

/// Reads the `D` dimensions, whose `names` begin with the kind of the file, and the elements of `size` bytes each.
fn read_elements<const D: usize>(
    file: &mut impl Read,
    path: &Path,
    names: [&str; D],
    size: u64,
) -> Result<([usize; D], Vec<u8>)> {
    let dimensions = read_words::<D>(file, path, &names, 4)?;
    let header = names.iter().zip(dimensions).map(|(name, d)| format!("{d} {name}")).collect::<Vec<_>>().join(", ");
    if dimensions.contains(&0) {
        return Err(DataError::BadHeader { path: path.into(), header, problem: "but the dataset must not be empty" });
    }
    let before = 4 + 4 * D as u64;
    // The product of three u32 dimensions can overflow u64.
    let Some(expected) = dimensions
        .iter()
        .try_fold(size, |product, &d| product.checked_mul(d.into()))
        .filter(|elements| elements.checked_add(before + 1).is_some())
    else {
        return Err(DataError::BadHeader { path: path.into(), header, problem: "which overflows a 64-bit length" });
    };
    // One byte more shows whether the file goes on.
    let elements = read_at_most(file, path, expected + 1)?;
    if elements.len() as u64 != expected {
        return Err(DataError::WrongLength {
            path: path.into(),
            detail: format!("the header says {header}"),
            expected: before + expected,
            found: before + elements.len() as u64,
        });
    }
    Ok((dimensions.map(|d| d as usize), elements))
}

/// The most memory that is reserved because of what a header promises.
const MAX_RESERVED: u64 = 64 << 20;

/// The next `n` bytes, or what there is. Beyond [`MAX_RESERVED`] the buffer grows with what was read: a header may promise
/// more than there is memory.
fn read_at_most(file: &mut impl Read, path: &Path, n: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(n.min(MAX_RESERVED) as usize);
    file.take(n).read_to_end(&mut bytes).map_err(|source| files::cannot_read(path, source))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn idx(magic: u32, dimensions: &[u32], data: &[u8]) -> Vec<u8> {
        let header = std::iter::once(&magic).chain(dimensions).flat_map(|word| word.to_be_bytes());
        header.chain(data.iter().copied()).collect()
    }

    fn images_error(bytes: &[u8]) -> String {
        read_images(bytes, Path::new("dir/images")).unwrap_err().to_string()
    }

    #[test]
    fn reads_images_and_labels() {
        let bytes = idx(IMAGES_MAGIC, &[2, 1, 3], &[1, 2, 3, 4, 5, 6]);
        let images = read_images(&bytes[..], Path::new("i")).unwrap();
        assert_eq!((images.count, images.rows, images.columns, images.pixels), (2, 1, 3, vec![1, 2, 3, 4, 5, 6]));
        let labels = |magic, dimensions: &[u32], data: &[u8]| {
            read_labels(&idx(magic, dimensions, data)[..], Path::new("l")).unwrap()
        };
        assert_eq!(labels(LABELS_MAGIC, &[3], &[0, 9, 200]), [0, 9, 200]);
        assert_eq!(labels(0x0802, &[2, 1], &[7, 5]), [7, 5]);
        assert_eq!(labels(0x0b01, &[2], &[1, 2, 255, 254]), [258, -2]);
        assert_eq!(labels(0x0c01, &[1], &[0, 1, 0, 2]), [65538]);
        let rows =
            [[0, 0, 0, 9], [255; 4]].map(|class| [class, [1; 4], [2; 4], [3; 4], [4; 4], [5; 4], [6; 4], [7; 4]]);
        assert_eq!(labels(0x0c02, &[2, 8], rows.as_flattened().as_flattened()), [9, -1]);
    }

    #[test]
    fn tables_other_than_qmnist_are_rejected() {
        for (magic, columns, size, bits) in
            [(0x0802, 10, 1, 8), (0x0802, 8, 1, 8), (0x0b02, 8, 2, 16), (0x0c02, 10, 4, 32)]
        {
            let bytes = idx(magic, &[2, columns], &vec![0; (2 * columns * size) as usize]);
            assert_eq!(
                read_labels(&bytes[..], Path::new("dir/labels")).unwrap_err().to_string(),
                format!(
                    "dir/labels: labels with {columns} columns of {bits} bits; expected one column, or QMNIST's 8 of 32 bits\n  \
                     help: store one number per image, the index of its class"
                )
            );
        }
    }

    #[test]
    fn wrong_magic_reports_expected_and_found() {
        assert_eq!(
            images_error(&idx(LABELS_MAGIC, &[1], &[0])),
            "dir/images: not an IDX file of images\n  expected magic number 0x00000803, found 0x00000801\n  \
             help: check that the images and labels files are not swapped, or get a fresh copy"
        );
        // Labels must be integers: 0x0d are floats.
        assert_eq!(
            read_labels(&idx(0x0d01, &[1], &[0; 4])[..], Path::new("dir/labels")).unwrap_err().to_string(),
            "dir/labels: not an IDX file of labels\n  expected magic number 0x00000801, found 0x00000d01\n  \
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
             expected 22 bytes, found more\n  help: get a fresh copy of the file"
        );
        assert_eq!(
            read_labels(&idx(0x0c02, &[2, 8], &[0; 63])[..], Path::new("dir/labels")).unwrap_err().to_string(),
            "dir/labels: truncated (the header says 2 labels, 8 columns)\n  \
             expected 76 bytes, found 75\n  help: get a fresh copy of the file"
        );
    }

    #[test]
    fn every_prefix_is_an_error() {
        let whole = idx(IMAGES_MAGIC, &[2, 1, 3], &[1, 2, 3, 4, 5, 6]);
        for length in 0..whole.len() {
            assert!(images_error(&whole[..length]).contains("truncated"), "{length} bytes");
        }
        assert_eq!(
            images_error(&whole[..9]),
            "dir/images: truncated (the header of an IDX file of images)\n  \
             expected 16 bytes, found 9\n  help: get a fresh copy of the file"
        );
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
    fn no_more_is_read_than_the_header_says() {
        let start = idx(IMAGES_MAGIC, &[2, 1, 3], &[1, 2, 3, 4, 5, 6]);
        let mut endless = start.as_slice().chain(std::io::repeat(0)).take(1 << 40);
        let error = read_images(&mut endless, Path::new("dir/images")).unwrap_err().to_string();
        assert!(error.contains("expected 22 bytes, found more"), "{error}");
        assert_eq!((1 << 40) - endless.limit(), 23);
        // A header that promises 64 GB costs nothing.
        let error = images_error(&idx(IMAGES_MAGIC, &[1000, 8000, 8000], &[0; 5]));
        assert!(error.contains("expected 64000000016 bytes, found 21"), "{error}");
    }
}
