//! CIFAR-100's binary files: fine and coarse labels, class names, archives.

use std::fs;
use std::path::Path;

use chainrule_data::cifar10;
use chainrule_data::cifar100::{self, Labels};
use flate2::{Compression, write::GzEncoder};

/// Records of a coarse and a fine label; the pixels identify their plane.
fn records(labels: &[[u8; 2]]) -> Vec<u8> {
    labels
        .iter()
        .flat_map(|labels| [labels.to_vec(), vec![labels[1]; 1024], vec![100; 1024], vec![200; 1024]].concat())
        .collect()
}

fn write_cifar100(directory: &Path) {
    fs::create_dir_all(directory).unwrap();
    fs::write(directory.join("train.bin"), records(&[[19, 1], [0, 99], [17, 47]])).unwrap();
    fs::write(directory.join("test.bin"), records(&[[17, 47]])).unwrap();
}

fn check(path: &Path) {
    let fine = cifar100::from_path(path, Labels::Fine).unwrap();
    assert_eq!((fine.name(), fine.train().shape(), fine.test().len()), ("CIFAR-100", [3, 3, 32, 32], 1));
    assert_eq!((fine.train().labels(), fine.train().classes().len()), (&[1, 99, 47][..], 100));
    assert_eq!([1, 47, 99].map(|i| &*fine.train().classes()[i]), ["aquarium_fish", "maple_tree", "worm"]);
    let image = fine.train().image(1);
    assert_eq!([image[0], image[1023], image[1024], image[3071]], [99, 99, 100, 200]);
    let coarse = cifar100::from_path(path, Labels::Coarse).unwrap();
    assert_eq!((coarse.train().labels(), coarse.train().classes().len()), (&[19, 0, 17][..], 20));
    assert_eq!([17, 19].map(|i| &*coarse.test().classes()[i]), ["trees", "vehicles_2"]);
    assert_eq!(coarse.train().image(1), image);
}

#[test]
fn every_form_is_read_with_fine_and_coarse_labels() {
    assert_eq!(Labels::default(), Labels::Fine);
    let directory = tempfile::tempdir().unwrap();
    let files = directory.path().join("cifar-100-binary");
    write_cifar100(&files);
    check(&files);
    check(directory.path());
    let plain = directory.path().join("cifar-100-binary.tar");
    let mut archive = tar::Builder::new(fs::File::create(&plain).unwrap());
    archive.append_dir_all("cifar-100-binary", &files).unwrap();
    archive.finish().unwrap();
    fs::remove_dir_all(&files).unwrap();
    check(&plain);
    check(directory.path());
    // Gzipped under the name of a plain archive, with a path that takes a long name.
    write_cifar100(&files);
    let mut archive = tar::Builder::new(GzEncoder::new(fs::File::create(&plain).unwrap(), Compression::fast()));
    archive.append_dir_all("home/".repeat(40) + "cifar-100-binary", &files).unwrap();
    archive.into_inner().unwrap().finish().unwrap();
    check(&plain);
}

#[test]
fn class_names_are_those_of_the_files() {
    let directory = tempfile::tempdir().unwrap();
    write_cifar100(directory.path());
    let names = |n: usize| (0..n).map(|i| format!("c{i}\n")).collect::<Vec<_>>().concat();
    fs::write(directory.path().join("coarse_label_names.txt"), names(20)).unwrap();
    let load = |labels| cifar100::from_path(directory.path(), labels);
    assert_eq!(load(Labels::Coarse).unwrap().train().classes()[19], "c19");
    assert_eq!(load(Labels::Fine).unwrap().train().classes()[1], "aquarium_fish");
    fs::write(directory.path().join("fine_label_names.txt"), names(99)).unwrap();
    assert_eq!(
        load(Labels::Fine).unwrap_err().to_string().replace(&directory.path().display().to_string(), "DIR"),
        "DIR/fine_label_names.txt: 99 class names, expected 100\n  \
         help: remove the file to use the dataset's own names, or write one name per line"
    );
}

#[test]
fn damaged_and_missing_files_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let text = |labels| {
        let error = cifar100::from_path(directory.path(), labels).unwrap_err().to_string();
        error.replace(&directory.path().display().to_string(), "DIR")
    };
    assert_eq!(
        text(Labels::Fine),
        "CIFAR-100: train.bin or cifar-100-binary/train.bin or cifar-100-binary.tar.gz not found in DIR\n  \
         help: put cifar-100-binary.tar.gz or its files there, \
         or pass the directory that contains them (--data-dir)"
    );
    fs::create_dir(directory.path().join("cifar-100-python")).unwrap();
    assert!(
        text(Labels::Fine).ends_with(
            "help: this is the Python version of CIFAR-100; get the binary version, cifar-100-binary.tar.gz"
        )
    );
    write_cifar100(directory.path());
    fs::write(directory.path().join("test.bin"), &records(&[[1, 1], [2, 2]])[..4000]).unwrap();
    assert_eq!(
        text(Labels::Fine),
        "DIR/test.bin: truncated (1 whole records of 3074 bytes, then 926)\n  \
         expected 6148 bytes, found 4000\n  help: get a fresh copy of the file"
    );
    fs::write(directory.path().join("test.bin"), records(&[[20, 100]])).unwrap();
    for (labels, expected) in [
        (Labels::Fine, "DIR/test.bin: label 100 of sample 0 is out of range\n  expected 0 to 99, for 100 classes\n"),
        (Labels::Coarse, "DIR/test.bin: label 20 of sample 0 is out of range\n  expected 0 to 19, for 20 classes\n"),
    ] {
        assert!(text(labels).starts_with(expected), "{}", text(labels));
    }
    fs::write(directory.path().join("test.bin"), "<html>Quota exceeded</html>").unwrap();
    assert!(text(Labels::Fine).starts_with("DIR/test.bin: this is a web page\n"));
}

#[test]
fn damaged_archives_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cifar-100-binary.tar");
    let text = || {
        let error = cifar100::from_path(directory.path(), Labels::Fine).unwrap_err().to_string();
        error.replace(&directory.path().display().to_string(), "DIR")
    };
    let mut archive = tar::Builder::new(Vec::new());
    for (name, bytes) in [("test.bin", records(&[[17, 47]])), ("train.bin", records(&[[19, 1], [0, 99]]))] {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        archive.append_data(&mut header, name, &bytes[..]).unwrap();
    }
    let bytes = archive.into_inner().unwrap();
    fs::write(&path, &bytes).unwrap();
    let whole = cifar100::from_path(&path, Labels::Fine).unwrap();
    assert_eq!((whole.train().len(), whole.test().len()), (2, 1));
    // Truncated after a whole record of the last file: the remaining bytes are well formed, and only the count is wrong.
    let start = 512 + 3074_usize.next_multiple_of(512) + 512;
    fs::write(&path, &bytes[..start + 3074]).unwrap();
    assert_eq!(
        text(),
        "cannot read DIR/cifar-100-binary.tar: unexpected EOF during skip\n  \
         help: get a fresh copy: this file is damaged or unreadable"
    );
    fs::write(&path, "<!DOCTYPE html>").unwrap();
    assert_eq!(
        text(),
        "DIR/cifar-100-binary.tar: this is a web page\n  \
         help: open it in a browser to see what the server says, and download the file again"
    );
}

#[test]
fn the_python_version_of_cifar10_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let python = directory.path().join("cifar-10-batches-py");
    fs::create_dir(&python).unwrap();
    fs::write(python.join("data_batch_1"), "a pickle").unwrap();
    for path in [directory.path(), &python] {
        let error = cifar10::from_path(path).unwrap_err().to_string();
        assert!(
            error.ends_with(
                "help: this is the Python version of CIFAR-10; get the binary version, cifar-10-binary.tar.gz"
            ),
            "{error}"
        );
    }
}
