//! Image folders: classes and order by name, grayscale to RGB, and error messages.
#![cfg(feature = "images")]

use std::fs;
use std::path::Path;

use chainrule_data::{DataError, image_folder};
use image::{GrayImage, Luma, Rgb, RgbImage};

fn save_rgb(path: &Path, (w, h): (u32, u32), color: [u8; 3]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    RgbImage::from_pixel(w, h, Rgb(color)).save(path).unwrap();
}

/// Two classes, intentionally out of order; one grayscale image, and files that are not images.
fn write_folder(root: &Path) {
    save_rgb(&root.join("train/zebra/b.png"), (3, 2), [1, 2, 3]);
    save_rgb(&root.join("train/zebra/a.PNG"), (3, 2), [4, 5, 6]);
    fs::create_dir_all(root.join("train/ant")).unwrap();
    GrayImage::from_pixel(3, 2, Luma([7])).save(root.join("train/ant/gray.png")).unwrap();
    fs::write(root.join("train/ant/notes.txt"), "no image").unwrap();
    fs::write(root.join("train/ant/.hidden.png"), "no image").unwrap();
    save_rgb(&root.join("test/zebra/t.jpg"), (3, 2), [200, 200, 200]);
    save_rgb(&root.join("test/ant/t.jpeg"), (3, 2), [50, 50, 50]);
}

fn text(root: &Path) -> String {
    let error: DataError = image_folder::load("toy", root).unwrap_err();
    error.to_string().replace(&root.display().to_string(), "DIR")
}

#[test]
fn classes_and_images_are_sorted_by_name() {
    let root = tempfile::tempdir().unwrap();
    write_folder(root.path());
    let dataset = image_folder::load("toy", root.path()).unwrap();
    let train = dataset.train();
    assert_eq!(
        (train.shape(), train.labels(), train.classes()),
        ([3, 3, 2, 3], &[0, 1, 1][..], &["ant".to_owned(), "zebra".into()][..])
    );
    assert_eq!(train.image(0), [7; 18]);
    assert_eq!(train.image(1), [[4; 6], [5; 6], [6; 6]].concat());
    assert_eq!(train.image(2), [[1; 6], [2; 6], [3; 6]].concat());
    // JPEG preserves a uniform gray up to rounding.
    assert!(dataset.test().image(1).iter().all(|&x| x.abs_diff(200) <= 1));
}

#[test]
fn a_different_size_names_the_file() {
    let root = tempfile::tempdir().unwrap();
    write_folder(root.path());
    save_rgb(&root.path().join("train/zebra/c.png"), (4, 2), [0; 3]);
    assert_eq!(
        text(root.path()),
        "DIR/train/zebra/c.png: image of 4×2 pixels\n  expected 3×2, the size of DIR/train/ant/gray.png\n  \
         help: resize all images to the same size"
    );
}

#[test]
fn a_broken_image_names_the_file() {
    let root = tempfile::tempdir().unwrap();
    write_folder(root.path());
    fs::write(root.path().join("train/ant/broken.png"), "no image").unwrap();
    let text = text(root.path());
    assert!(text.starts_with("cannot decode DIR/train/ant/broken.png: "), "{text}");
    assert!(text.ends_with("help: replace the file, or remove it from the folder"), "{text}");
}

#[test]
fn missing_files_and_folders_are_named() {
    let root = tempfile::tempdir().unwrap();
    write_folder(root.path());
    fs::remove_file(root.path().join("test/ant/t.jpeg")).unwrap();
    assert_eq!(
        text(root.path()),
        "image folder: images (*.png, *.jpg, *.jpeg) not found in DIR/test/ant\n  \
         help: arrange the images as train/<class>/*.png and test/<class>/*.png (or jpg)"
    );
    fs::remove_dir(root.path().join("test/ant")).unwrap();
    assert!(text(root.path()).starts_with("toy: training classes are ant zebra, test classes zebra\n"));
    fs::remove_dir_all(root.path().join("test/zebra")).unwrap();
    assert!(text(root.path()).starts_with("image folder: class folders not found in DIR/test\n"));
    fs::remove_dir(root.path().join("test")).unwrap();
    assert!(text(root.path()).starts_with("cannot read DIR/test: "));
}
