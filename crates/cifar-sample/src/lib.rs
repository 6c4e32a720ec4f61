//! A sample of CIFAR-10 that is embedded in the program: 5 000 training and 1 000 test images, balanced by class.
//!
//! CIFAR-10 is by A. Krizhevsky, V. Nair and G. Hinton. Each image was encoded as JPEG, which is lossy, so accuracies are
//! not those of CIFAR-10. The README says where the images come from and which they are.
//!
//! ```
//! let dataset = chainrule_cifar_sample::dataset();
//! assert_eq!(dataset.test().classes()[3], "cat");
//! ```

#![forbid(unsafe_code)]

use std::io::Read;
use std::path::Path;

use chainrule_data::{Dataset, Images, Picture};
use rayon::prelude::*;

static ARCHIVE: &[u8] = include_bytes!("../data/cifar10-sample.tar.zst");

const CLASSES: [&str; 10] = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];
const SHAPE: [usize; 3] = [3, 32, 32];

/// Decodes the sample; its name is "CIFAR-10 sample", and a note says what it is.
///
/// Image 10·i + c of a set is the i-th of class c.
///
/// # Panics
/// Never: the archive is part of the program, and a test compares its contents with their digest.
pub fn dataset() -> Dataset {
    let files = unpack();
    let (train, test): (Vec<File>, Vec<File>) = files.into_iter().partition(|file| file.path.starts_with("train/"));
    let note = format!(
        "this is a sample of CIFAR-10, {} of its 50000 training and {} of its 10000 test images, encoded as JPEG: \
         accuracies are not those of CIFAR-10",
        train.len(),
        test.len()
    );
    Dataset::new("CIFAR-10 sample", images(&train), images(&test)).expect("both sets have one form").with_note(note)
}

/// A file of the archive: `train/<class>/NNNN.jpg` or `test/<class>/NNNN.jpg`, and its contents.
struct File {
    path: String,
    jpeg: Vec<u8>,
}

fn unpack() -> Vec<File> {
    let decoder = ruzstd::decoding::StreamingDecoder::new(ARCHIVE).expect("the embedded archive is a zstd frame");
    let mut archive = tar::Archive::new(decoder);
    let entries = archive.entries().expect("the embedded archive is a tar file");
    let file = |entry: Result<tar::Entry<'_, _>, _>| {
        let mut entry = entry.expect("the embedded archive is complete");
        let path = String::from_utf8(entry.path_bytes().into_owned()).expect("the embedded names are ASCII");
        let mut jpeg = Vec::with_capacity(entry.size() as usize);
        entry.read_to_end(&mut jpeg).expect("the embedded archive is complete");
        File { path, jpeg }
    };
    entries.map(file).collect()
}

fn images(files: &[File]) -> Images {
    let size = SHAPE.iter().product();
    let mut pixels = vec![0; files.len() * size];
    pixels.par_chunks_exact_mut(size).zip(files).for_each(|(output, file)| {
        let path = Path::new("(embedded)").join(&file.path);
        let picture = Picture::decode(&file.jpeg, &path).expect("the embedded images are valid");
        output.copy_from_slice(picture.pixels());
    });
    let label = |file: &File| {
        let class = file.path.split('/').nth(1).expect("the class is the folder");
        CLASSES.iter().position(|&name| name == class).expect("the classes are those of CIFAR-10") as u8
    };
    let [c, h, w] = SHAPE;
    let labels = files.iter().map(label).collect();
    Images::new(pixels, [files.len(), c, h, w], labels, CLASSES.map(str::to_owned).to_vec())
        .expect("every image has 32×32 pixels and a label")
}
