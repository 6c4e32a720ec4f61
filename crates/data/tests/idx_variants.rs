//! IDX datasets as they are found: names, compression, integer labels, letters, and files that are something else.

use std::fs;
use std::io::Write;
use std::path::Path;

use chainrule_data::{DataError, Dataset, fashion_mnist, mnist};
use flate2::{Compression, write::GzEncoder};

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn idx(words: &[u32], data: &[u8]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).chain(data.iter().copied()).collect()
}

/// `count` images of 1×2.
fn images(count: u32) -> Vec<u8> {
    idx(&[0x803, count, 1, 2], &(0..2 * count).map(|i| i as u8).collect::<Vec<_>>())
}

fn labels(labels: &[u8]) -> Vec<u8> {
    idx(&[0x801, labels.len() as u32], labels)
}

fn write(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// Writes 3 training images and 1 test image under these names.
fn write_all(directory: &Path, names: [&str; 4]) {
    let contents = [images(3), labels(&[7, 0, 9]), images(1), labels(&[5])];
    for (name, bytes) in names.iter().zip(contents) {
        write(&directory.join(name), &bytes);
    }
}

fn check(dataset: &Dataset) {
    assert_eq!((dataset.train().labels(), dataset.test().labels()), (&[7, 0, 9][..], &[5][..]));
    assert_eq!((dataset.train().shape(), dataset.train().image(2)), ([3, 1, 1, 2], &[4, 5][..]));
}

fn text(result: Result<Dataset, DataError>, directory: &Path) -> String {
    result.unwrap_err().to_string().replace(&directory.display().to_string(), "DIR")
}

#[test]
fn names_in_use_elsewhere_are_found() {
    for names in [
        ["train-images.idx3-ubyte", "train-labels.idx1-ubyte", "t10k-images.idx3-ubyte", "t10k-labels.idx1-ubyte"],
        // As Kaggle's archive unpacks.
        [
            "train-images-idx3-ubyte/train-images-idx3-ubyte",
            "train-labels-idx1-ubyte/train-labels-idx1-ubyte",
            "t10k-images-idx3-ubyte/t10k-images-idx3-ubyte",
            "t10k-labels-idx1-ubyte/t10k-labels-idx1-ubyte",
        ],
        // As torchvision stores them.
        [
            "MNIST/raw/train-images-idx3-ubyte",
            "MNIST/raw/train-labels-idx1-ubyte",
            "MNIST/raw/t10k-images-idx3-ubyte",
            "MNIST/raw/t10k-labels-idx1-ubyte",
        ],
        // Raw under the gzipped name.
        [
            "TRAIN-IMAGES-IDX3-UBYTE.GZ",
            "train-labels-idx1-ubyte.gz",
            "test-images-idx3-ubyte",
            "t10k-labels-idx1-ubyte.Gz",
        ],
    ] {
        let directory = tempfile::tempdir().unwrap();
        write_all(directory.path(), names);
        let dataset = mnist::from_dir(directory.path()).unwrap();
        check(&dataset);
        assert_eq!((dataset.name(), dataset.notes()), ("MNIST", &[][..]));
    }
}

#[test]
fn the_contents_decide_what_is_gzipped() {
    let directory = tempfile::tempdir().unwrap();
    let names =
        ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte"];
    write_all(directory.path(), names);
    for name in &names[..2] {
        let path = directory.path().join(name);
        fs::write(&path, gz(&fs::read(&path).unwrap())).unwrap();
    }
    check(&mnist::from_dir(directory.path()).unwrap());
    // A folder without a file of its name is passed over for the gzipped file.
    let path = directory.path().join("t10k-labels-idx1-ubyte");
    fs::rename(&path, directory.path().join("t10k-labels-idx1-ubyte.gz")).unwrap();
    fs::create_dir(&path).unwrap();
    check(&mnist::from_dir(directory.path()).unwrap());
}

#[test]
fn other_contents_are_named() {
    let directory = tempfile::tempdir().unwrap();
    write_all(
        directory.path(),
        ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte"],
    );
    let page = "DIR/t10k-images-idx3-ubyte.gz: this is a web page\n  \
                help: open it in a browser to see what the server says, and download the file again";
    let cases: [(Vec<u8>, &str); 7] = [
        (b"\n <!DOCTYPE html><title>404".to_vec(), page),
        (gz(b"<HTML>"), page),
        (b"<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code></Error>".to_vec(), page),
        (
            b"PK\x03\x04\x14\0".to_vec(),
            "DIR/t10k-images-idx3-ubyte.gz: this is a ZIP archive\n  \
             help: unpack it, and pass the directory with its files",
        ),
        (
            b"\xfd7zXZ\0\0\x04".to_vec(),
            "DIR/t10k-images-idx3-ubyte.gz: this is compressed with xz\n  \
             help: unpack it, and pass the directory with its files",
        ),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0".to_vec(),
            "DIR/t10k-images-idx3-ubyte.gz: this is a Git LFS pointer, not the file itself\n  \
             help: fetch the file with `git lfs pull`",
        ),
        (
            labels(&[1]),
            "DIR/t10k-images-idx3-ubyte.gz: not an IDX file of images\n  \
             expected magic number 0x00000803, found 0x00000801\n  \
             help: check that the images and labels files are not swapped, or get a fresh copy",
        ),
    ];
    for (bytes, expected) in cases {
        write(&directory.path().join("t10k-images-idx3-ubyte.gz"), &bytes);
        assert_eq!(text(mnist::from_dir(directory.path()), directory.path()), expected);
    }
}

#[test]
fn qmnist_labels_are_the_first_column() {
    let directory = tempfile::tempdir().unwrap();
    write_all(
        directory.path(),
        [
            "qmnist-train-images-idx3-ubyte.gz",
            "qmnist-train-labels-idx2-int.gz",
            "qmnist-test-images-idx3-ubyte.gz",
            "qmnist-test-labels-idx2-int.gz",
        ],
    );
    // Class, then NIST's partition, writer, …
    let table = |classes: &[u32]| -> Vec<u8> {
        let rows = classes.iter().flat_map(|&class| [class, 4, 3903, 97, 36, 0, 0, 1]);
        gz(&idx(&[0xc02, classes.len() as u32, 8], &rows.flat_map(u32::to_be_bytes).collect::<Vec<_>>()))
    };
    write(&directory.path().join("qmnist-train-labels-idx2-int.gz"), &table(&[7, 0, 9]));
    write(&directory.path().join("qmnist-test-labels-idx2-int.gz"), &table(&[5]));
    let dataset = mnist::from_dir(directory.path()).unwrap();
    check(&dataset);
    assert_eq!((dataset.name(), dataset.train().classes().concat()), ("qmnist", "0123456789".into()));
}

/// EMNIST's letters: 26 training images with the labels 26 to 1.
fn write_letters(directory: &Path, test: &[u8]) {
    let train: Vec<u8> = (1..=26).rev().collect();
    for (name, bytes) in [
        ("emnist-letters-train-images-idx3-ubyte.gz", images(26)),
        ("emnist-letters-train-labels-idx1-ubyte.gz", labels(&train)),
        ("emnist-letters-test-images-idx3-ubyte.gz", images(test.len() as u32)),
        ("emnist-letters-test-labels-idx1-ubyte.gz", labels(test)),
    ] {
        write(&directory.join(name), &gz(&bytes));
    }
}

#[test]
fn classes_beyond_ten_are_found_from_the_labels() {
    let directory = tempfile::tempdir().unwrap();
    let letters: Vec<u8> = (1..=26).collect();
    write_letters(directory.path(), &letters);
    let dataset = mnist::from_dir(directory.path()).unwrap();
    assert_eq!((dataset.name(), dataset.train().classes().len()), ("emnist-letters", 26));
    assert_eq!((dataset.train().labels()[0], &dataset.test().labels()[..2]), (25, &[0, 1][..]));
    assert_eq!(dataset.train().classes()[25], "26");
    assert_eq!(
        dataset.notes(),
        [
            "26 classes, found from the labels 1 to 26: class 0 has the label 1",
            "EMNIST stores images transposed (rows and columns exchanged); they are used as stored"
        ]
    );
    write_letters(directory.path(), &[&letters[..], &[27]].concat());
    assert_eq!(
        text(mnist::from_dir(directory.path()), directory.path()),
        "DIR/emnist-letters-test-labels-idx1-ubyte.gz: label 27 is not in both sets, so the classes end at 26; \
         sample 26 has the label 27\n  \
         help: each class needs images in both sets; if this label is wrong, get a fresh copy of the file"
    );
    // A class that the test set lacks.
    for (absent, problem) in [
        (20, "label 20 is not in both sets, so the classes end at 19; sample 0 has the label 26"),
        (26, "label 26 is not in both sets, so the classes end at 25; sample 0 has the label 26"),
        (1, "label 1 is not in both sets, so the classes begin at 2; sample 25 has the label 1"),
    ] {
        let test: Vec<u8> = letters.iter().copied().filter(|&letter| letter != absent).collect();
        write_letters(directory.path(), &test);
        assert_eq!(
            text(mnist::from_dir(directory.path()), directory.path()),
            format!(
                "DIR/emnist-letters-train-labels-idx1-ubyte.gz: {problem}\n  \
                 help: each class needs images in both sets; if this label is wrong, get a fresh copy of the file"
            )
        );
    }
}

#[test]
fn labels_of_several_types_and_offsets() {
    let directory = tempfile::tempdir().unwrap();
    let names =
        ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"];
    write_all(directory.path(), names);
    let train = |bytes: &[u8]| write(&directory.path().join("train-labels-idx1-ubyte"), bytes);
    // 47 classes from 0, as EMNIST's balanced set, in 16 bits.
    write(&directory.path().join(names[0]), &images(47));
    write(&directory.path().join(names[2]), &images(47));
    train(&idx(&[0xb01, 47], &(0..47_i16).flat_map(i16::to_be_bytes).collect::<Vec<_>>()));
    write(&directory.path().join(names[3]), &labels(&(0..47).rev().collect::<Vec<u8>>()));
    let dataset = mnist::from_dir(directory.path()).unwrap();
    assert_eq!(dataset.notes(), ["47 classes, found from the labels 0 to 46"]);
    assert_eq!((dataset.train().labels()[46], dataset.test().labels()[0]), (46, 46));
    // A damaged label does not make a class.
    write(&directory.path().join(names[0]), &images(3));
    train(&labels(&[0, 9, 200]));
    assert_eq!(
        text(mnist::from_dir(directory.path()), directory.path()),
        "DIR/train-labels-idx1-ubyte: label 200 of sample 2 is out of range\n  expected 0 to 9, for 10 classes\n  \
         help: check that this is the labels file of this dataset, or get a fresh copy"
    );
    train(&idx(&[0xc01, 3], &[-1, 0, 1].into_iter().flat_map(i32::to_be_bytes).collect::<Vec<_>>()));
    assert!(
        text(mnist::from_dir(directory.path()), directory.path())
            .starts_with("DIR/train-labels-idx1-ubyte: label -1 of sample 0 is out of range\n  expected 0 to 9")
    );
}

#[test]
fn the_files_of_several_datasets_are_named() {
    let directory = tempfile::tempdir().unwrap();
    write_letters(directory.path(), &(1..=26).collect::<Vec<u8>>());
    for entry in fs::read_dir(directory.path()).unwrap().collect::<Vec<_>>() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().replace("letters", "digits");
        fs::copy(&path, directory.path().join(name)).unwrap();
    }
    assert_eq!(
        text(mnist::from_dir(directory.path()), directory.path()),
        "DIR: the files of several datasets: emnist-digits, emnist-letters\n  \
         help: put the four files of one of them into a directory of their own"
    );
    fs::remove_file(directory.path().join("emnist-digits-test-labels-idx1-ubyte.gz")).unwrap();
    assert_eq!(mnist::from_dir(directory.path()).unwrap().name(), "emnist-letters");
    fs::remove_file(directory.path().join("emnist-letters-train-labels-idx1-ubyte.gz")).unwrap();
    fs::remove_file(directory.path().join("emnist-letters-train-images-idx3-ubyte.gz")).unwrap();
    assert!(
        text(mnist::from_dir(directory.path()), directory.path())
            .starts_with("MNIST: emnist-digits-t10k-labels-idx1-ubyte not found in DIR\n  help: put the files there")
    );
}

#[test]
fn fashion_mnist_has_the_files_of_mnist_and_its_own_classes() {
    const NAMES: [&str; 4] =
        ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"];
    let directory = tempfile::tempdir().unwrap();
    write_all(directory.path(), NAMES);
    let dataset = fashion_mnist::from_dir(directory.path()).unwrap();
    check(&dataset);
    assert_eq!((dataset.name(), &*dataset.train().classes()[9]), ("Fashion-MNIST", "Ankle boot"));
    // torchvision puts both datasets into one directory.
    let both = tempfile::tempdir().unwrap();
    let folder = |name: &str| both.path().join(name).join("raw");
    write_all(&folder("MNIST"), NAMES);
    write_all(&folder("FashionMNIST"), NAMES);
    write(&folder("FashionMNIST").join(NAMES[3]), &labels(&[6]));
    assert_eq!(fashion_mnist::from_dir(both.path()).unwrap().test().labels(), [6]);
    assert_eq!(mnist::from_dir(both.path()).unwrap().test().labels(), [5]);
    fs::remove_dir_all(folder("FashionMNIST")).unwrap();
    assert!(
        text(fashion_mnist::from_dir(both.path()), both.path()).starts_with("Fashion-MNIST: train-images-idx3-ubyte, ")
    );
    fs::rename(folder("MNIST"), both.path().join("FashionMNIST/raw")).unwrap();
    assert!(text(mnist::from_dir(both.path()), both.path()).starts_with("MNIST: train-images-idx3-ubyte, "));
    check(&fashion_mnist::from_dir(both.path()).unwrap());
    let empty = tempfile::tempdir().unwrap();
    assert!(
        text(fashion_mnist::from_dir(empty.path()), empty.path())
            .starts_with("Fashion-MNIST: train-images-idx3-ubyte, train-labels-idx1-ubyte, ")
    );
}
