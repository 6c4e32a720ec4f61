//! Image folders: classes and order by name, grayscale to RGB, and error messages.
#![cfg(feature = "images")]

use std::fs;
use std::path::Path;

use chainrule_data::{DataError, Dataset, Images, image_folder};
use png::ColorType;

/// Writes a PNG file of one color: three values for RGB, one for grayscale.
fn save_png(path: &Path, (w, h): (u32, u32), color: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut encoder = png::Encoder::new(fs::File::create(path).unwrap(), w, h);
    encoder.set_color(if color.len() == 1 { ColorType::Grayscale } else { ColorType::Rgb });
    encoder.write_header().unwrap().write_image_data(&color.repeat((w * h) as usize)).unwrap();
}

/// Copies a JPEG fixture of 3×2 pixels.
fn copy_jpeg(path: &Path, name: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/images").join(name), path).unwrap();
}

/// Two classes, intentionally out of order; one grayscale image, and files that are not images.
fn write_folder(root: &Path) {
    save_png(&root.join("train/zebra/b.png"), (3, 2), &[1, 2, 3]);
    save_png(&root.join("train/zebra/a.PNG"), (3, 2), &[4, 5, 6]);
    save_png(&root.join("train/ant/gray.png"), (3, 2), &[7]);
    fs::write(root.join("train/ant/notes.txt"), "no image").unwrap();
    fs::write(root.join("train/ant/.hidden.png"), "no image").unwrap();
    copy_jpeg(&root.join("test/zebra/t.jpg"), "plain200.jpg");
    copy_jpeg(&root.join("test/ant/t.jpeg"), "plain50.jpg");
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
fn what_is_saved_is_loaded_again() {
    let classes: Vec<String> = vec!["ant".into(), "zebra".into()];
    let images = |first: u8, labels: &[u8]| {
        let pixels = (0..labels.len() * 3 * 2 * 5).map(|i| first.wrapping_add((i * 7) as u8)).collect();
        Images::new(pixels, [labels.len(), 3, 2, 5], labels.to_vec(), classes.clone()).unwrap()
    };
    // Sorted by class, as a folder is read.
    let saved = Dataset::new("toy", images(0, &[0, 0, 1]), images(100, &[0, 1])).unwrap();
    let root = tempfile::tempdir().unwrap();
    image_folder::save(&saved, root.path()).unwrap();
    let loaded = image_folder::load("toy", root.path()).unwrap();
    assert_eq!((loaded.train(), loaded.test()), (saved.train(), saved.test()));

    let two_channels = || Images::new(vec![0; 2], [1, 2, 1, 1], vec![0], vec!["ant".into()]).unwrap();
    let odd = Dataset::new("odd", two_channels(), two_channels()).unwrap();
    assert_eq!(
        image_folder::save(&odd, root.path()).unwrap_err().to_string(),
        "odd: images with 2 channels cannot be saved as PNG\n  help: use one channel (grayscale) or three (RGB)"
    );
}

#[test]
fn a_different_size_names_the_file() {
    let root = tempfile::tempdir().unwrap();
    write_folder(root.path());
    save_png(&root.path().join("train/zebra/c.png"), (4, 2), &[0; 3]);
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
    assert_eq!(
        text,
        "cannot decode DIR/train/ant/broken.png: not a PNG or JPEG file\n  \
         help: replace the file, or remove it from the folder"
    );
}

#[test]
fn truncated_and_oversized_images_name_the_file() {
    let root = tempfile::tempdir().unwrap();
    write_folder(root.path());
    let path = root.path().join("train/ant/broken.png");
    let mut png = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/images/rgb8.png")).unwrap();
    fs::write(&path, &png[..png.len() / 2]).unwrap();
    let truncated = text(root.path());
    assert!(truncated.starts_with("cannot decode DIR/train/ant/broken.png: "), "{truncated}");
    // Width and height in the header, then its checksum.
    png[16..24].copy_from_slice(&[0, 0, 255, 255, 0, 0, 255, 255]);
    let mut crc = flate2::Crc::new();
    crc.update(&png[12..29]);
    png[29..33].copy_from_slice(&crc.sum().to_be_bytes());
    fs::write(&path, png).unwrap();
    let oversized = text(root.path());
    assert!(oversized.contains("broken.png: the decoded image exceeds 512 MiB"), "{oversized}");
}

#[test]
fn missing_files_and_folders_are_named() {
    let root = tempfile::tempdir().unwrap();
    write_folder(root.path());
    fs::remove_file(root.path().join("test/ant/t.jpeg")).unwrap();
    assert_eq!(
        text(root.path()),
        "image folder: images (PNG or JPEG) not found in DIR/test/ant\n  \
         help: arrange the images as train/<class>/*.png and test/<class>/*.png (or jpg), or remove the folder, \
         or allow empty classes (ImageFolder::allow_empty_classes)"
    );
    fs::remove_dir(root.path().join("test/ant")).unwrap();
    assert!(text(root.path()).starts_with("toy: training classes are ant zebra, test classes zebra\n"));
    fs::remove_dir_all(root.path().join("test/zebra")).unwrap();
    assert!(text(root.path()).starts_with("image folder: class folders not found in DIR/test\n"));
    fs::remove_dir(root.path().join("test")).unwrap();
    assert!(text(root.path()).starts_with("image folder: test (or val, valid, validation) not found in DIR\n"));
}
