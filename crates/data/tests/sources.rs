//! Reading MNIST and CIFAR-10 from directories and archives, and the error for each kind of damage.

use std::fs;
use std::io::Write;
use std::path::Path;

use chainrule_data::{DataError, Dataset, cifar10, mnist};
use flate2::{Compression, write::GzEncoder};

const MNIST_FILES: [&str; 4] =
    ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"];

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn idx_images(count: u32) -> Vec<u8> {
    let header = [0x803, count, 2, 3].into_iter().flat_map(u32::to_be_bytes);
    header.chain((0..count * 6).map(|i| i as u8)).collect()
}

fn idx_labels(labels: &[u8]) -> Vec<u8> {
    let header = [0x801, labels.len() as u32].into_iter().flat_map(u32::to_be_bytes);
    header.chain(labels.iter().copied()).collect()
}

/// A small MNIST: 3 training and 2 test images of 2×3.
fn write_mnist(directory: &Path) {
    let contents = [idx_images(3), idx_labels(&[9, 0, 4]), idx_images(2), idx_labels(&[1, 2])];
    for (name, bytes) in MNIST_FILES.iter().zip(contents) {
        fs::write(directory.join(name), bytes).unwrap();
    }
}

fn check_mnist(dataset: &Dataset) {
    assert_eq!(
        (dataset.name(), dataset.train().shape(), dataset.test().shape()),
        ("MNIST", [3, 1, 2, 3], [2, 1, 2, 3])
    );
    assert_eq!((dataset.train().labels(), dataset.test().labels()), (&[9, 0, 4][..], &[1, 2][..]));
    assert_eq!(dataset.train().image(1), [6, 7, 8, 9, 10, 11]);
    assert_eq!(dataset.train().classes().concat(), "0123456789");
}

/// The error message, with the directory replaced by DIR.
fn text(result: Result<Dataset, DataError>, directory: &Path) -> String {
    result.unwrap_err().to_string().replace(&directory.display().to_string(), "DIR")
}

#[test]
fn mnist_raw_and_gzipped_files_are_equivalent() {
    let directory = tempfile::tempdir().unwrap();
    write_mnist(directory.path());
    check_mnist(&mnist::from_dir(directory.path()).unwrap());
    for name in MNIST_FILES {
        let raw = directory.path().join(name);
        fs::write(directory.path().join(format!("{name}.gz")), gz(&fs::read(&raw).unwrap())).unwrap();
        fs::remove_file(raw).unwrap();
    }
    check_mnist(&mnist::from_dir(directory.path()).unwrap());
}

#[test]
fn mnist_lists_all_missing_files() {
    let directory = tempfile::tempdir().unwrap();
    write_mnist(directory.path());
    fs::remove_file(directory.path().join(MNIST_FILES[0])).unwrap();
    fs::remove_file(directory.path().join(MNIST_FILES[3])).unwrap();
    assert_eq!(
        text(mnist::from_dir(directory.path()), directory.path()),
        "MNIST: train-images-idx3-ubyte, t10k-labels-idx1-ubyte not found in DIR\n  \
         help: put the files there, raw or gzipped (.gz), or pass the directory that contains them (--data-dir)"
    );
    assert!(
        text(mnist::from_dir(&directory.path().join("nowhere")), directory.path()).contains("not found in DIR/nowhere")
    );
}

#[test]
fn mnist_counts_must_match() {
    let directory = tempfile::tempdir().unwrap();
    write_mnist(directory.path());
    fs::write(directory.path().join(MNIST_FILES[1]), idx_labels(&[1, 2])).unwrap();
    assert_eq!(
        text(mnist::from_dir(directory.path()), directory.path()),
        "the number of images and labels differs\n  3 images in DIR/train-images-idx3-ubyte\n  \
         2 labels in DIR/train-labels-idx1-ubyte\n  help: use both files from the same copy of the dataset"
    );
}

#[test]
fn a_truncated_gz_is_reported() {
    let directory = tempfile::tempdir().unwrap();
    write_mnist(directory.path());
    let raw = directory.path().join(MNIST_FILES[2]);
    let whole = gz(&fs::read(&raw).unwrap());
    fs::remove_file(raw).unwrap();
    fs::write(directory.path().join("t10k-images-idx3-ubyte.gz"), &whole[..whole.len() - 4]).unwrap();
    let text = text(mnist::from_dir(directory.path()), directory.path());
    assert!(text.starts_with("cannot read DIR/t10k-images-idx3-ubyte.gz: "), "{text}");
    assert!(text.ends_with("help: get a fresh copy: this file is damaged or unreadable"), "{text}");
}

#[cfg(feature = "embedded-mnist")]
#[test]
fn embedded_mnist_is_complete() {
    let dataset = mnist::embedded();
    assert_eq!((dataset.train().shape(), dataset.test().shape()), ([60_000, 1, 28, 28], [10_000, 1, 28, 28]));
    assert_eq!(dataset.train().labels()[..8], [5, 0, 4, 1, 9, 2, 1, 3]);
    let mut count = [0; 10];
    dataset.test().labels().iter().for_each(|&digit| count[usize::from(digit)] += 1);
    assert_eq!(count, [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]);
}

/// Two records with the given labels; the pixels identify their plane.
fn batch(labels: [u8; 2]) -> Vec<u8> {
    let record = |label| [vec![label], vec![label; 1024], vec![100; 1024], vec![200; 1024]].concat();
    labels.into_iter().flat_map(record).collect()
}

fn write_cifar10(directory: &Path) {
    fs::create_dir_all(directory).unwrap();
    for i in 1..=5 {
        fs::write(directory.join(format!("data_batch_{i}.bin")), batch([i, 9 - i])).unwrap();
    }
    fs::write(directory.join("test_batch.bin"), batch([0, 9])).unwrap();
}

fn check_cifar10(dataset: &Dataset) {
    assert_eq!((dataset.train().shape(), dataset.test().shape()), ([10, 3, 32, 32], [2, 3, 32, 32]));
    assert_eq!(dataset.train().labels(), [1, 8, 2, 7, 3, 6, 4, 5, 5, 4]);
    let image = dataset.train().image(2);
    assert_eq!((image[0], image[1023], image[1024], image[2048]), (2, 2, 100, 200));
    assert_eq!(dataset.train().classes()[..2], ["airplane", "automobile"]);
}

fn write_archive(path: &Path, directory: &Path) {
    let mut archive = tar::Builder::new(GzEncoder::new(fs::File::create(path).unwrap(), Compression::fast()));
    archive.append_dir_all("cifar-10-batches-bin", directory).unwrap();
    archive.into_inner().unwrap().finish().unwrap();
}

#[test]
fn cifar10_is_found_in_every_form() {
    let directory = tempfile::tempdir().unwrap();
    let batches = directory.path().join("cifar-10-batches-bin");
    write_cifar10(&batches);
    check_cifar10(&cifar10::from_path(&batches).unwrap());
    check_cifar10(&cifar10::from_path(directory.path()).unwrap());
    let archive = directory.path().join("cifar-10-binary.tar.gz");
    write_archive(&archive, &batches);
    fs::remove_dir_all(&batches).unwrap();
    check_cifar10(&cifar10::from_path(&archive).unwrap());
    check_cifar10(&cifar10::from_path(directory.path()).unwrap());
}

#[test]
fn cifar10_reads_class_names_from_its_meta_file() {
    let directory = tempfile::tempdir().unwrap();
    write_cifar10(directory.path());
    let meta = directory.path().join("batches.meta.txt");
    fs::write(&meta, "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n\n").unwrap();
    assert_eq!(cifar10::from_dir(directory.path()).unwrap().test().classes().concat(), "abcdefghij");
    fs::write(&meta, "a\nb\n").unwrap();
    assert_eq!(
        text(cifar10::from_dir(directory.path()), directory.path()),
        "DIR/batches.meta.txt: 2 class names, expected 10\n  \
         help: remove the file to use the dataset's own names, or write one name per line"
    );
}

#[test]
fn damaged_cifar10_names_the_file() {
    let directory = tempfile::tempdir().unwrap();
    write_cifar10(directory.path());
    fs::write(directory.path().join("data_batch_3.bin"), &batch([1, 2])[..6000]).unwrap();
    assert_eq!(
        text(cifar10::from_dir(directory.path()), directory.path()),
        "DIR/data_batch_3.bin: truncated (1 whole records of 3073 bytes, then 2927)\n  \
         expected 6146 bytes, found 6000\n  help: get a fresh copy of the file"
    );
    fs::write(directory.path().join("data_batch_3.bin"), batch([1, 10])).unwrap();
    assert!(
        text(cifar10::from_dir(directory.path()), directory.path()).starts_with(
            "DIR/data_batch_3.bin: label 10 of sample 1 is out of range\n  expected 0 to 9, for 10 classes"
        )
    );
    fs::remove_file(directory.path().join("data_batch_3.bin")).unwrap();
    let archive = directory.path().join("some.tar.gz");
    write_archive(&archive, directory.path());
    for place in [directory.path(), &archive] {
        let text = text(cifar10::from_path(place), place);
        assert!(
            text.starts_with("CIFAR-10: data_batch_3.bin not found in DIR\n  help: put cifar-10-binary.tar.gz"),
            "{text}"
        );
    }
}

#[test]
fn missing_cifar10_lists_the_accepted_forms() {
    let directory = tempfile::tempdir().unwrap();
    let images = if cfg!(feature = "images") { " or train/<class>/*.{png,jpg}" } else { "" };
    assert_eq!(
        text(cifar10::from_path(directory.path()), directory.path()),
        format!(
            "CIFAR-10: data_batch_1.bin or cifar-10-batches-bin/data_batch_1.bin or cifar-10-binary.tar.gz{images} \
             not found in DIR\n  help: put cifar-10-binary.tar.gz or its files there, \
             or pass the directory that contains them (--data-dir)"
        )
    );
}

#[test]
fn a_file_that_is_not_an_archive_is_rejected() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notes.txt");
    fs::write(&path, "not gzip").unwrap();
    assert!(text(cifar10::from_path(&path), directory.path()).starts_with("cannot read DIR/notes.txt: "));
}
