//! The embedded MNIST dataset: the four IDX files as published, decompressed in memory on demand.
//!
//! The data are by Y. `LeCun`, C. Cortes and C. J. C. Burges, under CC BY-SA 3.0 (LICENSE-MNIST.md); the code is
//! MIT OR Apache-2.0. `scripts/make_mnist_archive.sh` in the repository creates the archive.
//!
//! ```
//! let raw = chainrule_mnist::unpack();
//! assert_eq!(raw.test_labels[8..12], [7, 2, 1, 0]);
//! ```

#![forbid(unsafe_code)]

use std::io::Read;

static ARCHIVE: &[u8] = include_bytes!("../data/mnist.tar.zst");

/// The contents of the four MNIST files, each with its IDX header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raw {
    /// `train-images-idx3-ubyte`: a header of 16 bytes, then 60 000 images of 28×28 bytes.
    pub train_images: Vec<u8>,
    /// `train-labels-idx1-ubyte`: a header of 8 bytes, then 60 000 labels.
    pub train_labels: Vec<u8>,
    /// `t10k-images-idx3-ubyte`: a header of 16 bytes, then 10 000 images of 28×28 bytes.
    pub test_images: Vec<u8>,
    /// `t10k-labels-idx1-ubyte`: a header of 8 bytes, then 10 000 labels.
    pub test_labels: Vec<u8>,
}

/// Decompresses the embedded archive, in about 0.2 s in an optimized build.
///
/// It cannot fail: the archive is part of the program, and a test compares its contents with the published digests.
pub fn unpack() -> Raw {
    let decoder = ruzstd::decoding::StreamingDecoder::new(ARCHIVE).expect("the embedded archive is a zstd frame");
    let mut archive = tar::Archive::new(decoder);
    let mut raw = Raw { train_images: vec![], train_labels: vec![], test_images: vec![], test_labels: vec![] };
    for entry in archive.entries().expect("the embedded archive is a tar file") {
        let mut entry = entry.expect("the embedded archive is complete");
        let file = match &*entry.path_bytes() {
            b"train-images-idx3-ubyte" => &mut raw.train_images,
            b"train-labels-idx1-ubyte" => &mut raw.train_labels,
            b"t10k-images-idx3-ubyte" => &mut raw.test_images,
            b"t10k-labels-idx1-ubyte" => &mut raw.test_labels,
            other => unreachable!("the embedded archive contains {}", String::from_utf8_lossy(other)),
        };
        // Reserve the whole file: growing to 47 MB by doubling would copy it several times.
        file.reserve_exact(entry.size() as usize);
        entry.read_to_end(file).expect("the embedded archive is complete");
    }
    raw
}
