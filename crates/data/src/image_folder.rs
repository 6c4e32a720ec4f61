//! Folders of images: `train/<class>/*.png` and `test/<class>/…`, one folder per class, PNG or JPEG.
//!
//! Whether a file is an image is decided by its contents. `val`, `valid` and `validation` are accepted for `test`. A
//! folder without this split, `<class>/*.png`, is divided into a training and a test set. What is passed over, such as
//! images of other formats, broken links and nested folders, is counted in the [notes](Dataset::notes) of the dataset.

mod class_names;
mod save;
mod scan;

use std::path::{Path, PathBuf};

use chainrule_tensor::{Key, Purpose};
use rayon::prelude::*;

use crate::dataset::{Dataset, Images};
use crate::error::{DataError, Result};
use crate::files;
use crate::image_file::{self, ImageFile};
pub use save::save;
use scan::{Class, Scan, file_name, folders, folders_only, scan};

/// Labels are stored as bytes.
const MAX_CLASSES: usize = 256;

/// Names of the folder of the test set, in order of preference.
const TEST: [&str; 4] = ["test", "val", "valid", "validation"];

/// How a folder of images is read.
///
/// ```no_run
/// use chainrule_data::image_folder::ImageFolder;
///
/// let folder = ImageFolder::new().test_share(0.1).seed(7);
/// let dataset = folder.load("birds", "data/birds".as_ref())?;
/// for note in dataset.notes() {
///     println!("note: {note}");
/// }
/// # Ok::<(), chainrule_data::DataError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ImageFolder {
    allow_empty_classes: bool,
    test_share: f64,
    seed: u64,
}

impl Default for ImageFolder {
    fn default() -> Self {
        Self { allow_empty_classes: false, test_share: 0.2, seed: 0 }
    }
}

impl ImageFolder {
    /// The defaults: no empty classes; a folder without a split is divided with a test share of 0.2 and seed 0.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether a class may be without images in one or both sets, or be a folder of only one of them (default: no).
    #[must_use]
    pub fn allow_empty_classes(self, allow: bool) -> Self {
        Self { allow_empty_classes: allow, ..self }
    }

    /// The share of each class that becomes the test set if the folder has no split (default 0.2); of at least two
    /// images, one goes to each set.
    ///
    /// # Panics
    /// If the share is not between 0 and 1.
    #[must_use]
    #[track_caller]
    pub fn test_share(self, share: f64) -> Self {
        assert!(share > 0.0 && share < 1.0, "ImageFolder: test_share {share} must be between 0 and 1, such as 0.2");
        Self { test_share: share, ..self }
    }

    /// The seed that decides which images these are (default 0).
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// Reads the training and the test set of a folder as RGB, (3, H, W); grayscale images get three equal channels.
    ///
    /// Classes are sorted by name, images by class and then by file name, independent of the number of decoding threads.
    /// Images are turned and mirrored as their EXIF orientation says.
    ///
    /// # Errors
    /// If a set, a class or its images are missing, if a file cannot be decoded, or if images differ in size; the message
    /// names the file.
    pub fn load(&self, name: &str, directory: &Path) -> Result<Dataset> {
        let Some(Split { train, test, notes }) = find_split(directory)? else {
            return self.divide(name, directory);
        };
        let (train, test) = (self.scan(&train)?, self.scan(&test)?);
        let mut names = [names(&train.classes), names(&test.classes)];
        class_names::check(name, &names[0], &names[1])?;
        if self.allow_empty_classes {
            let mut all = names.concat();
            all.sort();
            all.dedup();
            names = [all.clone(), all];
        }
        let look_alike = class_names::notes(&names[0]);
        let notes = notes.into_iter().chain(train.notes()).chain(test.notes()).chain(look_alike).collect::<Vec<_>>();
        let [train_names, test_names] = names;
        let sets = (read(&train.classes, train_names, directory)?, read(&test.classes, test_names, directory)?);
        Ok(notes.into_iter().fold(Dataset::new(name, sets.0, sets.1)?, Dataset::with_note))
    }

    /// Reads one set, a directory with one folder per class; returns it with notes on what was passed over.
    ///
    /// # Errors
    /// As for [`load`](Self::load).
    pub fn load_part(&self, directory: &Path) -> Result<(Images, Vec<String>)> {
        let scan = self.scan(directory)?;
        let names = names(&scan.classes);
        let notes = scan.notes().chain(class_names::notes(&names)).collect();
        Ok((read(&scan.classes, names, directory)?, notes))
    }

    fn scan(&self, directory: &Path) -> Result<Scan> {
        let found = scan(directory)?;
        found.check(directory, self.allow_empty_classes)?;
        Ok(found)
    }

    /// Reads a directory of class folders, and divides each class.
    fn divide(&self, name: &str, directory: &Path) -> Result<Dataset> {
        let scan = self.scan(directory)?;
        let names = names(&scan.classes);
        let notes: Vec<String> = scan.notes().chain(class_names::notes(&names)).collect();
        let (mut train, mut test) = (Vec::new(), Vec::new());
        for (i, Class { name, directory, images }) in scan.classes.into_iter().enumerate() {
            let drawn = self.draw(images.len(), i);
            let (mut of_train, mut of_test) = (Vec::new(), Vec::new());
            for (image, drawn) in images.into_iter().zip(drawn) {
                if drawn { of_test.push(image) } else { of_train.push(image) }
            }
            train.push(Class { name: name.clone(), directory: directory.clone(), images: of_train });
            test.push(Class { name, directory, images: of_test });
        }
        let count = |classes: &[Class]| classes.iter().map(|class| class.images.len()).sum::<usize>();
        let (trained, tested) = (count(&train), count(&test));
        if tested == 0 {
            return Err(DataError::Inconsistent {
                what: directory.display().to_string(),
                problem: "there are no train and test folders, and no class has two images to divide".into(),
                help: "add images, or arrange them as train/<class>/*.png and test/<class>/*.png",
            });
        }
        let note = format!(
            "there are no train and test folders: {tested} of the {} images, a share of {} of each class, \
             are the test set, drawn with seed {}",
            trained + tested,
            self.test_share,
            self.seed
        );
        let dataset = Dataset::new(name, read(&train, names.clone(), directory)?, read(&test, names, directory)?)?;
        Ok(notes.into_iter().fold(dataset.with_note(note), Dataset::with_note))
    }

    /// Which of `n` images of a class are drawn for the test set.
    fn draw(&self, n: usize, class: usize) -> Vec<bool> {
        let mut drawn = vec![false; n];
        if n < 2 {
            return drawn;
        }
        let share = ((n as f64 * self.test_share).round() as usize).clamp(1, n - 1);
        drawn[..share].fill(true);
        // Sample 0 of this purpose is the order of an epoch. Fisher–Yates, as there.
        let mut rng = Key::new(self.seed, Purpose::SHUFFLE).for_sample(1 + class as u32).rng();
        for i in (1..n).rev() {
            drawn.swap(i, rng.below(i as u32 + 1) as usize);
        }
        drawn
    }
}

/// Reads a folder of images with the [default](ImageFolder::new) settings.
///
/// # Errors
/// As for [`ImageFolder::load`].
pub fn load(name: &str, directory: &Path) -> Result<Dataset> {
    ImageFolder::new().load(name, directory)
}

/// Whether a directory looks like a folder of images: it has a training set, or class folders with images.
pub(crate) fn is_one(directory: &Path) -> bool {
    matches!(find_split(directory), Ok(Some(_)) | Err(DataError::Missing { .. }))
        || scan(directory).is_ok_and(|found| found.classes.iter().any(|class| !class.images.is_empty()))
}

/// The directories of the two sets.
struct Split {
    train: PathBuf,
    test: PathBuf,
    notes: Vec<String>,
}

/// Finds the two sets; `None` if the folders of the directory are classes.
///
/// `train` and `test` may be classes as well, such as the train of CIFAR-100: they are sets if both exist, or if there are
/// folders in them.
fn find_split(directory: &Path) -> Result<Option<Split>> {
    let (folders_here, passed_over) = folders_only(directory)?;
    let named = |name: &str| folders_here.iter().find(|path| file_name(path).eq_ignore_ascii_case(name));
    let has_folders = |path: &Path| folders(path).map(|found| !found.is_empty());
    let train = named("train");
    let tests: Vec<&PathBuf> = TEST.iter().filter_map(|name| named(name)).collect();
    let mut with_classes = None;
    for test in &tests {
        if with_classes.is_none() && has_folders(test)? {
            with_classes = Some(*test);
        }
    }
    let absent = |names: &str, or: &str| Err(missing(names.into(), directory, &passed_over.reason(), or));
    match (train, with_classes.or(tests.first().copied())) {
        (Some(train), Some(test)) => {
            let stands_in = !file_name(test).eq_ignore_ascii_case(TEST[0]);
            let used = stands_in.then(|| format!("{} is used as the test set", file_name(test)));
            let unused = tests.iter().filter(|path| **path != test);
            let unused = unused.map(|path| format!("{} is not used", file_name(path)));
            let notes = used.into_iter().chain(unused).chain(passed_over.notes()).collect();
            Ok(Some(Split { train: train.clone(), test: test.clone(), notes }))
        }
        (Some(train), None) if has_folders(train)? || folders_here.len() == 1 => {
            absent("test (or val, valid, validation)", ", or pass the folder train itself, which is then divided")
        }
        (None, Some(_)) if with_classes.is_some() => absent("train", ""),
        _ => Ok(None),
    }
}

fn names(classes: &[Class]) -> Vec<String> {
    classes.iter().map(|class| class.name.clone()).collect()
}

/// Reads the images of `classes`; the label of a class is the position of its name in `names`.
fn read(classes: &[Class], names: Vec<String>, directory: &Path) -> Result<Images> {
    if names.len() > MAX_CLASSES {
        return Err(DataError::Inconsistent {
            what: directory.display().to_string(),
            problem: format!("{} class folders, but at most {MAX_CLASSES} classes are supported", names.len()),
            help: "merge classes, or split the dataset",
        });
    }
    let mut labels = Vec::new();
    let mut paths = Vec::new();
    for class in classes {
        let label = names.iter().position(|name| *name == class.name).expect("the names are those of the classes");
        labels.resize(labels.len() + class.images.len(), label as u8);
        paths.extend(class.images.iter().cloned());
    }
    if paths.is_empty() {
        return Err(missing("images (PNG or JPEG)".into(), directory, "", ""));
    }
    let (h, w) = size(&paths[0])?;
    let pixels = decode_all(&paths, (h, w))?;
    Images::new(pixels, [paths.len(), 3, h, w], labels, names)
}

/// Pixels (N, 3, H, W) of files, which must all have the same size.
fn decode_all(paths: &[PathBuf], (h, w): (usize, usize)) -> Result<Vec<u8>> {
    let plane = h * w;
    let mut pixels = Vec::new();
    let bytes = paths.len().checked_mul(3 * plane);
    if bytes.is_none_or(|bytes| pixels.try_reserve_exact(bytes).is_err()) {
        return Err(DataError::Inconsistent {
            what: paths[0].display().to_string(),
            problem: format!("{} images of its size, {w}×{h} pixels, do not fit into memory", paths.len()),
            help: "resize the images, or use fewer",
        });
    }
    pixels.resize(paths.len() * 3 * plane, 0);
    // Each image has a fixed range in `pixels`, so the order does not depend on the threads.
    let failures: Vec<Option<DataError>> = pixels
        .par_chunks_exact_mut(3 * plane)
        .zip(paths)
        .map(|(output, path)| decode(path, (h, w), &paths[0], output).err())
        .collect();
    // Reports the first failure in file order, so the message does not depend on the threads.
    match failures.into_iter().flatten().next() {
        Some(error) => Err(error),
        None => Ok(pixels),
    }
}

/// The (height, width) of a file.
fn size(path: &Path) -> Result<(usize, usize)> {
    let bytes = files::read(path)?;
    Ok(open(&bytes, path)?.size())
}

/// Decodes a file of the size of `first` to `output`, (3, H, W).
fn decode(path: &Path, expected: (usize, usize), first: &Path, output: &mut [u8]) -> Result<()> {
    let bytes = files::read(path)?;
    let image = open(&bytes, path)?;
    // Before anything is decoded: only the first image may have any size.
    let found = image.size();
    if found != expected {
        return Err(DataError::ImageSize { path: path.into(), found, first: first.into(), expected });
    }
    let pixels = image.decode().map_err(|source| cannot_decode(path, source))?;
    image_file::split_channels(&pixels, output);
    Ok(())
}

fn open<'a>(bytes: &'a [u8], path: &Path) -> Result<ImageFile<'a>> {
    files::check_start(bytes, path)?;
    ImageFile::open(bytes).map_err(|source| cannot_decode(path, source))
}

fn cannot_decode(path: &Path, source: Box<dyn std::error::Error + Send + Sync>) -> DataError {
    DataError::Decode { path: path.into(), help: "replace the file, or remove it from the folder", source }
}

/// `reason` is appended to what is missing, `or` to what to do.
fn missing(what: String, path: &Path, reason: &str, or: &str) -> DataError {
    DataError::Missing {
        dataset: "image folder",
        missing: what,
        path: path.into(),
        help: format!("arrange the images as train/<class>/*.png and test/<class>/*.png (or jpg){or}{reason}"),
    }
}
