//! Image folders as people have them: what is found, what is passed over and said, orientation, look-alike names.
#![cfg(feature = "images")]

use std::fs;
use std::path::Path;

use chainrule_data::image_folder::ImageFolder;
use chainrule_data::{DataError, Dataset, image_folder};

/// A PNG file of one gray value.
pub fn png(width: u32, height: u32, gray: u8) -> Vec<u8> {
    png_of(width, height, &vec![gray; (width * height) as usize])
}

fn png_of(width: u32, height: u32, pixels: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = png::Encoder::new(&mut bytes, width, height).write_header().unwrap();
    writer.write_image_data(pixels).unwrap();
    writer.finish().unwrap();
    bytes
}

fn fixture(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/images").join(name)).unwrap()
}

pub fn write(path: impl AsRef<Path>, bytes: &[u8]) {
    fs::create_dir_all(path.as_ref().parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// One 3×2 image in each of two classes.
pub fn write_part(part: &Path) {
    write(part.join("ant/a.png"), &png(3, 2, 1));
    write(part.join("bee/b.png"), &png(3, 2, 2));
}

pub fn load(root: &Path) -> Dataset {
    image_folder::load("toy", root).unwrap()
}

fn notes(root: &Path, dataset: &Dataset) -> Vec<String> {
    dataset.notes().iter().map(|note| note.replace(&root.display().to_string(), "DIR")).collect()
}

pub fn text(root: &Path, result: Result<Dataset, DataError>) -> String {
    result.unwrap_err().to_string().replace(&root.display().to_string(), "DIR")
}

const BMP: &[u8] = b"BM\x46\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0";
const WEBP: &[u8] = b"RIFF\x24\0\0\0WEBPVP8 ";

#[test]
fn images_are_found_by_their_contents_and_others_are_counted() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    write_part(&root.join("test"));
    write_part(&root.join("train"));
    let ant = root.join("train/ant");
    write(ant.join("b.bmp"), &png(3, 2, 10));
    write(ant.join("c"), &png(3, 2, 11));
    write(ant.join("d.jfif"), &fixture("plain50.jpg"));
    write(ant.join("e.png"), &fixture("plain50.jpg"));
    write(ant.join("f.JPE"), &fixture("plain50.jpg"));
    for i in 0..5 {
        write(ant.join(format!("x{i}.bmp")), BMP);
        write(root.join(format!("train/bee/y{i}.jpg")), WEBP);
    }
    write(ant.join("z.gif"), b"GIF89a");
    // The contents say nothing, the extension does.
    write(ant.join("z.tga"), b"\0\0\x02");
    for other in ["notes.txt", "labels.csv", "Thumbs.db", ".DS_Store", "desktop.ini", "BM"] {
        write(ant.join(other), b"BM is not always a bitmap");
    }
    let dataset = load(root);
    assert_eq!(dataset.train().labels(), [0, 0, 0, 0, 0, 0, 1]);
    let first_pixels: Vec<u8> = (0..7).map(|i| dataset.train().image(i)[0]).collect();
    assert_eq!(first_pixels, [1, 10, 11, 50, 50, 50, 2]);
    assert_eq!(
        notes(root, &dataset),
        [
            "5 BMP images were passed over, since only PNG and JPEG are read, such as DIR/train/ant/x0.bmp",
            "1 GIF image was passed over, since only PNG and JPEG are read: DIR/train/ant/z.gif",
            "1 TGA image was passed over, since only PNG and JPEG are read: DIR/train/ant/z.tga",
            "5 WebP images were passed over, since only PNG and JPEG are read, such as DIR/train/bee/y0.jpg",
        ]
    );
    // If a class has nothing else, this is the reason.
    fs::remove_file(root.join("train/bee/b.png")).unwrap();
    let error = text(root, image_folder::load("toy", root));
    assert!(error.starts_with("image folder: images (PNG or JPEG) not found in DIR/train/bee\n  help: "), "{error}");
    assert!(error.contains("\n  note: 5 WebP images were passed over, since only PNG and JPEG are read, "), "{error}");
}

#[test]
fn what_is_not_read_is_said() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    write_part(&root.join("train"));
    write_part(&root.join("test"));
    write(root.join("train/ant/more/c.png"), &png(3, 2, 3));
    write(root.join("train/bee/more/deep/c.png"), &png(3, 2, 3));
    write(root.join("test/loose.png"), &png(3, 2, 3));
    write(root.join("first.png"), &png(3, 2, 3));
    write(root.join("second.bmp"), BMP);
    write(root.join("notes.txt"), b"no image");
    for system in ["__MACOSX", "train/__MACOSX", "train/ant/__MACOSX", "train/.ipynb_checkpoints", "test/@eaDir"] {
        write(root.join(system).join("._a.png"), b"no image");
    }
    write(root.join("train/ant/._a.png"), b"AppleDouble");
    let expected = [
        "2 images outside the class folders were not read, such as DIR/first.png",
        "2 folders inside class folders were not read, such as DIR/train/ant/more",
        "1 image outside the class folders was not read: DIR/test/loose.png",
    ];
    let dataset = load(root);
    assert_eq!((dataset.train().len(), dataset.test().len()), (2, 2));
    assert_eq!(notes(root, &dataset), expected);
    let (images, notes) = ImageFolder::new().load_part(&root.join("test")).unwrap();
    assert_eq!((images.len(), notes.len()), (2, 1));
}

#[cfg(unix)]
#[test]
fn links_are_followed_and_broken_ones_are_said() {
    use std::os::unix::fs::symlink;

    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    write_part(&root.join("train"));
    symlink(root.join("train"), root.join("test")).unwrap();
    symlink("a.png", root.join("train/ant/b.png")).unwrap();
    symlink("/nowhere/c.png", root.join("train/ant/c.png")).unwrap();
    symlink("d.png", root.join("train/ant/d.png")).unwrap();
    symlink("/nowhere/class", root.join("train/cow")).unwrap();
    let dataset = load(root);
    assert_eq!((dataset.train().labels(), dataset.test().labels()), (&[0, 0, 1][..], &[0, 0, 1][..]));
    let said = "3 broken links were passed over, such as DIR";
    assert_eq!(notes(root, &dataset), [format!("{said}/train/cow"), format!("{said}/test/cow")]);
    // Beside the sets.
    symlink("/nowhere/extra", root.join("extra")).unwrap();
    assert_eq!(notes(root, &load(root))[0], "1 broken link was passed over: DIR/extra");
    fs::remove_file(root.join("extra")).unwrap();
    fs::remove_file(root.join("test")).unwrap();
    symlink("/nowhere/test", root.join("test")).unwrap();
    assert_eq!(
        text(root, image_folder::load("toy", root)),
        "image folder: test (or val, valid, validation) not found in DIR\n  \
         help: arrange the images as train/<class>/*.png and test/<class>/*.png (or jpg), \
         or pass the folder train itself, which is then divided\n  \
         note: 1 broken link was passed over: DIR/test"
    );
}

#[cfg(unix)]
#[test]
fn a_file_that_may_not_be_read_matters_if_it_is_an_image() {
    use std::os::unix::fs::PermissionsExt;

    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    write_part(&root.join("train"));
    write_part(&root.join("test"));
    let lock = |name: &str| {
        write(root.join(name), b"secret");
        fs::set_permissions(root.join(name), fs::Permissions::from_mode(0o000)).unwrap();
        fs::read(root.join(name)).is_err()
    };
    if !lock("train/ant/notes.txt") {
        println!("this user may read every file: nothing is tested");
        return;
    }
    lock("notes.txt");
    lock("train/ant/old.bmp");
    lock("loose.png");
    assert_eq!(
        notes(root, &load(root)),
        [
            "1 image outside the class folders was not read: DIR/loose.png",
            "1 BMP image was passed over, since only PNG and JPEG are read: DIR/train/ant/old.bmp"
        ]
    );
    lock("train/ant/z.png");
    assert_eq!(
        text(root, image_folder::load("toy", root)),
        "cannot read DIR/train/ant/z.png: Permission denied (os error 13)\n  help: make it readable for this user"
    );
}

#[test]
fn a_validation_set_stands_in_for_the_test_set() {
    for name in ["val", "valid", "validation", "Val"] {
        let root = tempfile::tempdir().unwrap();
        write_part(&root.path().join("Train"));
        write_part(&root.path().join(name));
        assert_eq!(load(root.path()).notes(), [format!("{name} is used as the test set")]);
        // A test set without classes, as in competitions, has no labels.
        write(root.path().join("test/1.png"), &png(3, 2, 9));
        assert_eq!(load(root.path()).notes(), [format!("{name} is used as the test set"), "test is not used".into()]);
        write_part(&root.path().join("test"));
        fs::remove_file(root.path().join("test/1.png")).unwrap();
        assert_eq!(load(root.path()).notes(), [format!("{name} is not used")]);
    }
}

/// EXIF data with orientation 6: row 0 is seen on the right.
const EXIF: [u8; 26] = [b'M', b'M', 0, 42, 0, 0, 0, 8, 0, 1, 1, 0x12, 0, 3, 0, 0, 0, 1, 0, 6, 0, 0, 0, 0, 0, 0];

/// A PNG chunk.
fn chunk(kind: [u8; 4], contents: &[u8]) -> Vec<u8> {
    let body = [&kind[..], contents].concat();
    let mut crc = flate2::Crc::new();
    crc.update(&body);
    [&(contents.len() as u32).to_be_bytes()[..], &body, &crc.sum().to_be_bytes()].concat()
}

#[test]
fn the_exif_orientation_is_honored() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    write_part(&root.join("test"));
    // Seen as 3×2: 1 2 3 over 4 5 6.
    let upright = png_of(3, 2, &[1, 2, 3, 4, 5, 6]);
    write(root.join("train/ant/a.png"), &upright);
    // Row 0 is stored for the right column, top first (6), or for the left one, bottom first (8). The chunk may follow
    // the pixels.
    for (name, orientation, pixels) in [("b.png", 6, [3, 6, 2, 5, 1, 4]), ("c.png", 8, [4, 1, 5, 2, 6, 3])] {
        let stored = png_of(2, 3, &pixels);
        let mut exif = EXIF;
        exif[19] = orientation;
        // 33 bytes: the signature and the header; 12: the end.
        for (folder, at) in [("bee", 33), ("cow", stored.len() - 12)] {
            let bytes = [&stored[..at], &chunk(*b"eXIf", &exif), &stored[at..]].concat();
            write(root.join("train").join(folder).join(name), &bytes);
        }
    }
    write(root.join("test/cow/a.png"), &upright);
    let dataset = load(root);
    assert_eq!(dataset.train().len(), 5);
    for i in 0..5 {
        assert_eq!(dataset.train().image(i)[..6], [1, 2, 3, 4, 5, 6], "image {i}");
    }
    // JPEG, in the segment after the start: orientation 6 of the 4×3 image.
    let jpeg = fixture("rgb444.jpg");
    let segment = [&[0xff, 0xe1, 0, 34][..], b"Exif\0\0", &EXIF].concat();
    let turned = [&jpeg[..2], &segment, &jpeg[2..]].concat();
    for (part, bytes) in [("plain", &jpeg), ("turned", &turned)] {
        write(root.join(part).join("class/a.jpg"), bytes);
    }
    let part = |name| ImageFolder::new().load_part(&root.join(name)).unwrap().0;
    let (plain, turned) = (part("plain"), part("turned"));
    assert_eq!((plain.shape(), turned.shape()), ([1, 3, 3, 4], [1, 3, 4, 3]));
    for i in 0..4 {
        for j in 0..3 {
            assert_eq!(turned.image(0)[i * 3 + j], plain.image(0)[(2 - j) * 4 + i]);
        }
    }
}

#[test]
fn class_names_that_look_alike_are_said_with_their_code_points() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    for (path, name) in [("train/a", "caf\u{e9}"), ("train/b", "tea"), ("test/a", "cafe\u{301}"), ("test/b", "tea")] {
        write(root.join(path).with_file_name(name).join("a.png"), &png(3, 2, 1));
    }
    assert_eq!(
        text(root, image_folder::load("toy", root)),
        "toy: the class \"caf\u{e9}\" is c a f U+00E9 in the training set, but c a f e U+0301 in the test set\n  \
         help: rename one of the two folders, so that their names have the same characters"
    );
    // Within a set they may be meant.
    fs::rename(root.join("test/cafe\u{301}"), root.join("test/caf\u{e9}")).unwrap();
    for part in ["train", "test"] {
        write(root.join(part).join("tea /a.png"), &png(3, 2, 1));
    }
    let dataset = load(root);
    assert_eq!(dataset.train().classes(), ["caf\u{e9}", "tea", "tea "]);
    assert_eq!(dataset.notes(), ["2 classes look like \"tea\": t e a, t e a U+0020"]);
}

#[test]
fn empty_classes_are_allowed_by_choice() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    write_part(&root.join("train"));
    write_part(&root.join("test"));
    fs::create_dir(root.join("train/cow")).unwrap();
    fs::remove_dir_all(root.join("test/ant")).unwrap();
    assert_eq!(
        text(root, image_folder::load("toy", root)),
        "image folder: images (PNG or JPEG) not found in DIR/train/cow\n  \
         help: arrange the images as train/<class>/*.png and test/<class>/*.png (or jpg), or remove the folder, \
         or allow empty classes (ImageFolder::allow_empty_classes)"
    );
    let dataset = ImageFolder::new().allow_empty_classes(true).load("toy", root).unwrap();
    assert_eq!(dataset.train().classes(), ["ant", "bee", "cow"]);
    assert_eq!(dataset.test().classes(), dataset.train().classes());
    assert_eq!((dataset.train().labels(), dataset.test().labels()), (&[0, 1][..], &[1][..]));
    // Not a set without any image.
    fs::remove_dir_all(root.join("test/bee")).unwrap();
    fs::create_dir(root.join("test/bee")).unwrap();
    let error = text(root, ImageFolder::new().allow_empty_classes(true).load("toy", root));
    assert!(error.starts_with("image folder: images (PNG or JPEG) not found in DIR"), "{error}");
}

#[test]
fn an_image_that_is_something_else_is_named() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    write_part(&root.join("train"));
    write_part(&root.join("test"));
    let path = root.join("train/ant/a.png");
    write(&path, b"<!doctype html>");
    assert!(text(root, image_folder::load("toy", root)).starts_with("DIR/train/ant/a.png: this is a web page\n"));
    for (bytes, what) in [
        ("<svg xmlns=\"http://www.w3.org/2000/svg\"/>", "an SVG drawing\n  help: convert it to PNG"),
        (
            "\u{feff}<?xml version=\"1.0\"?>\n<!-- drawn > by hand -->\n<!DOCTYPE svg PUBLIC \"-\">\n<SVG width=\"3\">",
            "an SVG drawing\n  help: convert it to PNG",
        ),
        (
            "<!doctype html><!-- a page with a drawing --><html><svg/></html>",
            "a web page\n  help: open it in a browser to see what the server says, and download the file again",
        ),
    ] {
        write(&path, bytes.as_bytes());
        assert_eq!(text(root, image_folder::load("toy", root)), format!("DIR/train/ant/a.png: this is {what}"));
    }
    write(&path, b"");
    assert_eq!(
        text(root, image_folder::load("toy", root)),
        "cannot decode DIR/train/ant/a.png: the file is empty\n  help: replace the file, or remove it from the folder"
    );
}
