//! Image folders without a split, which are divided into a training set and a test set.
#![cfg(feature = "images")]

use std::fs;
use std::path::Path;

use chainrule_data::image_folder::ImageFolder;
use chainrule_data::{Dataset, image_folder};

use crate::image_folder_found::{load, png, text, write, write_part};

/// 20 images of one class and 5 of another, each of its own gray value; one class is called "train".
fn write_undivided(root: &Path) {
    for i in 0..20 {
        write(root.join(format!("car/{i:02}.png")), &png(3, 2, i));
    }
    for i in 0..5 {
        write(root.join(format!("train/{i:02}.png")), &png(3, 2, 100 + i));
    }
}

#[test]
fn a_folder_without_a_split_is_divided_by_a_seeded_share() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    write_undivided(root);
    let dataset = load(root);
    assert_eq!(dataset.train().classes(), ["car", "train"]);
    assert_eq!(
        dataset.notes(),
        ["there are no train and test folders: 5 of the 25 images, a share of 0.2 of each class, \
          are the test set, drawn with seed 0"]
    );
    let grays = |dataset: &Dataset| {
        let of = |images: &chainrule_data::Images| (0..images.len()).map(|i| images.image(i)[0]).collect::<Vec<u8>>();
        (of(dataset.train()), of(dataset.test()))
    };
    let (train, test) = grays(&dataset);
    assert_eq!((dataset.test().labels(), test.len(), train.len()), (&[0, 0, 0, 0, 1][..], 5, 20));
    let mut all = [train, test].concat();
    all.sort_unstable();
    assert_eq!(all, (0..20).chain(100..105).collect::<Vec<u8>>(), "every image is in one of the sets");
    assert_eq!(grays(&load(root)), grays(&dataset));
    let other = ImageFolder::new().seed(1).load("toy", root).unwrap();
    assert_ne!(grays(&other), grays(&dataset));
    let half = ImageFolder::new().test_share(0.5).load("toy", root).unwrap();
    assert_eq!((half.test().len(), half.train().len()), (13, 12));
    // At least one image of two stays in each set.
    let most = ImageFolder::new().test_share(0.999).load("toy", root).unwrap();
    assert_eq!((most.test().len(), most.train().labels()), (23, &[0, 1][..]));
}

#[test]
fn what_cannot_be_divided_is_said() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    write_part(root);
    assert_eq!(
        text(root, image_folder::load("toy", root)),
        "DIR: there are no train and test folders, and no class has two images to divide\n  \
         help: add images, or arrange them as train/<class>/*.png and test/<class>/*.png"
    );
    // A training set alone is not divided unasked: the test set may have been forgotten.
    write_part(&root.join("set/train"));
    let set = root.join("set");
    assert_eq!(
        text(&set, image_folder::load("toy", &set)),
        "image folder: test (or val, valid, validation) not found in DIR\n  \
         help: arrange the images as train/<class>/*.png and test/<class>/*.png (or jpg), \
         or pass the folder train itself, which is then divided"
    );
    fs::rename(set.join("train"), set.join("val")).unwrap();
    assert!(text(&set, image_folder::load("toy", &set)).starts_with("image folder: train not found in DIR\n"));
}

#[test]
#[should_panic(expected = "ImageFolder: test_share 1 must be between 0 and 1, such as 0.2")]
fn a_share_must_leave_both_sets() {
    let _ = ImageFolder::new().test_share(1.0);
}
