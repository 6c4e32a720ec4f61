//! Damaged files: an error or other pixels, never a panic, and never much memory.

use std::fs;
use std::io::Write;
use std::path::Path;

use chainrule_data::{cifar10, mnist};
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::bounds::{append_bytes, idx};
use crate::mutator::each_damaged;
use crate::peak::{MB, peak};

/// Damages the file at `path` again and again, and checks that `load` holds less than `limit` bytes.
fn survives<T>(path: &Path, limit: i64, load: impl Fn() -> T) {
    let whole = fs::read(path).unwrap();
    load();
    each_damaged(&whole, |bytes| {
        fs::write(path, bytes).unwrap();
        let held = peak(&load).1;
        assert!(held < limit, "{held} bytes were held for a file of {}", bytes.len());
    });
    fs::write(path, whole).unwrap();
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn damaged_idx_files_are_errors_or_other_images() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let images = idx(&[0x803, 5, 6, 6], &[7; 180]);
    let labels = idx(&[0x801, 5], &[0, 1, 2, 3, 4]);
    for (name, bytes) in [
        ("train-images-idx3-ubyte", images.clone()),
        ("train-labels-idx1-ubyte", labels.clone()),
        ("t10k-images-idx3-ubyte.gz", gzipped(&images)),
        ("t10k-labels-idx1-ubyte.gz", gzipped(&labels)),
    ] {
        fs::write(path(name), bytes).unwrap();
    }
    assert_eq!(mnist::from_dir(directory.path()).unwrap().train().len(), 5);
    for name in ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte.gz"] {
        // A header may announce many elements; no more than 64 MB are reserved before they are there.
        survives(&path(name), 65 * MB, || mnist::from_dir(directory.path()));
    }
}

#[test]
fn damaged_cifar_files_and_archives_are_errors_or_other_images() {
    let directory = tempfile::tempdir().unwrap();
    let record: Vec<u8> = (0..3073).map(|i| (i % 10) as u8).collect();
    let mut archive = Vec::new();
    for name in (1..=5).map(|i| format!("data_batch_{i}.bin")).chain(["test_batch.bin".into()]) {
        fs::write(directory.path().join(&name), &record).unwrap();
        append_bytes(&mut archive, &format!("cifar-10-batches-bin/{name}"), &record);
    }
    assert_eq!(cifar10::from_path(directory.path()).unwrap().train().len(), 5);
    survives(&directory.path().join("data_batch_3.bin"), MB, || cifar10::from_path(directory.path()));

    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in [("cifar.tar", archive.clone()), ("cifar.tar.gz", gzipped(&archive))] {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        assert_eq!(cifar10::from_archive(&path).unwrap().train().len(), 5);
        // The published length of an entry is the limit, of which memory may be reserved.
        survives(&path, 40 * MB, || cifar10::from_archive(&path));
    }
}

#[cfg(feature = "images")]
#[test]
fn damaged_pictures_are_errors_or_other_pixels() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/images");
    for name in ["rgb444.jpg", "progressive.jpg", "rgb8.png", "interlaced.png", "rgba16.png"] {
        let whole = fs::read(fixtures.join(name)).unwrap();
        chainrule_data::Picture::decode(&whole, Path::new(name)).unwrap();
        each_damaged(&whole, |bytes| {
            let held = peak(|| chainrule_data::Picture::decode(bytes, Path::new(name))).1;
            assert!(held < 16 * MB, "{name}: {held} bytes were held for a file of {}", bytes.len());
        });
    }
}
