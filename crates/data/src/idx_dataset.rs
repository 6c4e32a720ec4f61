//! Datasets in four IDX files: finds the files under the names they have in practice, and the classes in the labels.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use crate::dataset::{Dataset, Images};
use crate::error::{DataError, Result};
use crate::files;
use crate::idx::{self, IdxImages};

/// The published names of the (images, labels) files of the training and the test set.
pub(crate) const FILES: [[&str; 2]; 2] =
    [["train-images-idx3-ubyte", "train-labels-idx1-ubyte"], ["t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"]];

/// Labels are stored as bytes.
const MAX_CLASSES: i32 = 256;

/// One set as read from its two files.
pub(crate) struct Set {
    pub images: IdxImages,
    pub labels: Vec<i32>,
    /// Of the images and of the labels.
    pub paths: [PathBuf; 2],
}

/// Reads the dataset `name` from a directory; `digits` are its class names if the labels are 0 to 9, and `folder` is where
/// torchvision puts its files.
pub(crate) fn from_dir(name: &'static str, digits: &[&str; 10], folder: &str, directory: &Path) -> Result<Dataset> {
    let (prefix, files) = find(name, folder, directory)?;
    let read = |[images, labels]: [PathBuf; 2]| {
        Ok(Set {
            images: idx::read_images(files::open(&images)?, &images)?,
            labels: idx::read_labels(files::open(&labels)?, &labels)?,
            paths: [images, labels],
        })
    };
    let [train, test] = files;
    let name = if prefix.is_empty() { name } else { &prefix };
    let dataset = dataset(name, digits, read(train)?, read(test)?)?;
    let transposed = "EMNIST stores images transposed (rows and columns exchanged); they are used as stored";
    Ok(if prefix.starts_with("emnist") { dataset.with_note(transposed) } else { dataset })
}

/// Builds the dataset, with the classes that the labels of both sets have.
pub(crate) fn dataset(name: &str, digits: &[&str; 10], train: Set, test: Set) -> Result<Dataset> {
    let (classes, gap) = classes_of(&train.labels, &test.labels);
    let names: Vec<String> = match classes {
        DIGITS => digits.map(str::to_owned).to_vec(),
        _ => classes.clone().map(|label| label.to_string()).collect(),
    };
    let dataset = Dataset::new(name, images(train, &classes, gap, &names)?, images(test, &classes, gap, &names)?)?;
    let (first, last) = (*classes.start(), *classes.end());
    Ok(match first {
        _ if classes == DIGITS => dataset,
        0 => dataset.with_note(format!("{} classes, found from the labels 0 to {last}", names.len())),
        _ => dataset.with_note(format!(
            "{} classes, found from the labels {first} to {last}: class 0 has the label {first}",
            names.len()
        )),
    })
}

const DIGITS: RangeInclusive<i32> = 0..=9;

/// The labels of the classes: 0 to 9, or, if others occur, those from the smallest up to the first gap. A label counts if
/// both sets have it: a damaged byte does not make a class.
///
/// Also the label of the gap, if it looks like a class that a set lacks: one set has it, or both have labels beyond it.
fn classes_of(train: &[i32], test: &[i32]) -> (RangeInclusive<i32>, Option<i32>) {
    let [train, test] = [train, test].map(|labels| labels.iter().copied().collect::<BTreeSet<i32>>());
    let both: BTreeSet<i32> = train.intersection(&test).copied().collect();
    let first = both.first().copied().unwrap_or(0);
    let expected = i64::from(first)..;
    let run = expected.zip(&both).take_while(|&(expected, &label)| expected == i64::from(label)).count() as i32;
    let last = first + (run.min(MAX_CLASSES) - 1);
    let classes = if first < 0 || last <= *DIGITS.end() { DIGITS } else { first..=last };
    let gap = first.checked_add(run).filter(|gap| {
        let beyond = both.last() > Some(classes.end().max(gap));
        let of_one_set = classes != DIGITS && (train.contains(gap) || test.contains(gap));
        first >= 0 && run <= MAX_CLASSES && (beyond || of_one_set)
    });
    (classes, gap)
}

/// Numbers the labels of a set from 0; `gap` explains the end of the classes.
fn images(set: Set, classes: &RangeInclusive<i32>, gap: Option<i32>, names: &[String]) -> Result<Images> {
    let Set { images, labels, paths: [images_path, labels_path] } = set;
    if images.count != labels.len() {
        return Err(DataError::CountMismatch { images_path, images: images.count, labels_path, labels: labels.len() });
    }
    if let Some(sample) = labels.iter().position(|label| !classes.contains(label)) {
        let (label, expected) = (labels[sample], classes.clone());
        let (absent, bound) = if label < *classes.start() {
            (Some(label).filter(|_| *classes != DIGITS), format!("begin at {}", classes.start()))
        } else {
            (gap, format!("end at {}", classes.end()))
        };
        if let Some(absent) = absent {
            return Err(DataError::Inconsistent {
                what: labels_path.display().to_string(),
                problem: format!(
                    "label {absent} is not in both sets, so the classes {bound}; sample {sample} has the label {label}"
                ),
                help: "each class needs images in both sets; if this label is wrong, get a fresh copy of the file",
            });
        }
        return Err(DataError::LabelOutOfRange { path: labels_path, sample, label, expected });
    }
    let labels = labels.iter().map(|label| (label - classes.start()) as u8).collect();
    Images::new(images.pixels, [images.count, 1, images.rows, images.columns], labels, names.to_vec())
}

/// The files that were found, by (set, contents), both 0 or 1 as in [`FILES`].
type Found = BTreeMap<(usize, usize), PathBuf>;

/// Finds the four files; returns what their names begin with, such as "emnist-letters", and their paths. Folders of other
/// datasets are not searched: their files have the same names.
fn find(dataset: &'static str, folder: &str, directory: &Path) -> Result<(String, [[PathBuf; 2]; 2])> {
    let mut by_prefix = BTreeMap::new();
    for folder in ["", "raw", folder] {
        by_prefix = files_in(&directory.join(folder))?;
        if !by_prefix.is_empty() {
            break;
        }
    }
    let complete: Vec<&String> = by_prefix.iter().filter(|(_, found)| found.len() == 4).map(|(name, _)| name).collect();
    // Files without a prefix come first.
    if complete.len() > 1 && !complete[0].is_empty() {
        return Err(DataError::Inconsistent {
            what: directory.display().to_string(),
            problem: format!(
                "the files of several datasets: {}",
                complete.iter().map(|s| &***s).collect::<Vec<_>>().join(", ")
            ),
            help: "put the four files of one of them into a directory of their own",
        });
    }
    let prefix = complete.first().map(|&prefix| prefix.clone());
    // If none is complete, the one with the most files is meant.
    let prefix =
        prefix.or_else(|| by_prefix.iter().rev().max_by_key(|(_, found)| found.len()).map(|(name, _)| name.clone()));
    let prefix = prefix.unwrap_or_default();
    let mut found = by_prefix.remove(&prefix).unwrap_or_default();
    let missing: Vec<String> =
        (0..4)
            .filter(|i| !found.contains_key(&(i / 2, i % 2)))
            .map(|i| {
                if prefix.is_empty() { FILES[i / 2][i % 2].into() } else { format!("{prefix}-{}", FILES[i / 2][i % 2]) }
            })
            .collect();
    if !missing.is_empty() {
        return Err(DataError::Missing {
            dataset,
            missing: missing.join(", "),
            path: directory.into(),
            help: "put the files there, raw or gzipped (.gz), or pass the directory that contains them (--data-dir)"
                .into(),
        });
    }
    let mut take = |set| [0, 1].map(|contents| found.remove(&(set, contents)).expect("none is missing"));
    Ok((prefix, [take(0), take(1)]))
}

/// The IDX files of a directory, by the prefix of their names.
fn files_in(directory: &Path) -> Result<BTreeMap<String, Found>> {
    let failed = |source| files::cannot_read(directory, source);
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        // Reported as missing files, with their names.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(BTreeMap::new());
        }
        Err(error) => return Err(failed(error)),
    };
    let mut paths =
        entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>().map_err(failed)?;
    // Raw files are preferred to gzipped ones, and the published spelling to others.
    paths.sort_by_key(|path| (file_name(path).to_lowercase().ends_with(".gz"), path.clone()));
    let mut by_prefix: BTreeMap<String, Found> = BTreeMap::new();
    for path in paths {
        let Some((prefix, set, contents)) = parse_name(&file_name(&path)) else { continue };
        // Kaggle's archives unpack to a folder for each file, with its name.
        let path = if path.is_dir() { path.join(file_name(&path)) } else { path };
        if path.is_file() {
            by_prefix.entry(prefix).or_default().entry((set, contents)).or_insert(path);
        }
    }
    Ok(by_prefix)
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The prefix, the set and the contents that a file's name states: `[prefix-](train|t10k|test)-(images|labels)-idx…[.gz]`, in
/// any case, also with dots.
fn parse_name(name: &str) -> Option<(String, usize, usize)> {
    let name = name.to_lowercase();
    let (stem, format) = name.strip_suffix(".gz").unwrap_or(&name).rsplit_once("idx")?;
    if !["3-ubyte", "1-ubyte", "2-int", "1-int"].contains(&format) {
        return None;
    }
    let mut words: Vec<&str> = stem.strip_suffix(['-', '.'])?.split('-').collect();
    let contents = ["images", "labels"].iter().position(|word| words.last() == Some(word))?;
    words.pop();
    let set = match words.pop()? {
        "train" => 0,
        "t10k" | "test" => 1,
        _ => return None,
    };
    Some((words.join("-"), set, contents))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_found_in_practice_are_understood() {
        for (name, expected) in [
            ("train-images-idx3-ubyte", Some(("", 0, 0))),
            ("t10k-labels.idx1-ubyte", Some(("", 1, 1))),
            ("Train-Labels-idx1-ubyte.GZ", Some(("", 0, 1))),
            ("emnist-letters-test-images-idx3-ubyte.gz", Some(("emnist-letters", 1, 0))),
            ("qmnist-train-labels-idx2-int.gz", Some(("qmnist", 0, 1))),
            ("xnist-images-idx3-ubyte", None),
            ("train-images-idx3-ubyte.zip", None),
            ("images-idx3-ubyte", None),
            ("train-notes-idx3-ubyte", None),
            ("notes.txt", None),
        ] {
            let expected = expected.map(|(prefix, set, contents)| (prefix.to_owned(), set, contents));
            assert_eq!(parse_name(name), expected, "{name}");
        }
    }

    #[test]
    fn classes_are_those_up_to_the_first_gap() {
        let both = |labels: &[i32]| classes_of(labels, labels).0;
        assert_eq!(both(&[9, 4, 4]), DIGITS);
        assert_eq!(both(&[0, 9, 10]), DIGITS);
        assert_eq!(both(&[3, -1]), DIGITS);
        assert_eq!(both(&[i32::MIN, i32::MAX]), DIGITS);
        assert_eq!(both(&[i32::MAX]), i32::MAX..=i32::MAX);
        let letters: Vec<i32> = (1..=26).rev().collect();
        assert_eq!(both(&letters), 1..=26);
        assert_eq!(both(&[&letters[..], &[200]].concat()), 1..=26);
        assert_eq!(both(&(0..1000).collect::<Vec<_>>()), 0..=255);
        // A label of one of the sets alone.
        assert_eq!(classes_of(&letters, &[&letters[..], &[27]].concat()), (1..=26, Some(27)));
        let digits: Vec<i32> = (0..10).collect();
        assert_eq!(classes_of(&[&digits[..], &[10]].concat(), &digits), (DIGITS, None));
        assert_eq!(classes_of(&[7], &[5]), (DIGITS, None));
    }

    #[test]
    fn a_gap_that_looks_like_a_class_is_told() {
        let all: Vec<i32> = (0..47).collect();
        let without = |absent: i32| all.iter().copied().filter(|&label| label != absent).collect::<Vec<_>>();
        assert_eq!(classes_of(&all, &all), (0..=46, None));
        assert_eq!(classes_of(&all, &without(20)), (0..=19, Some(20)));
        assert_eq!(classes_of(&without(46), &all), (0..=45, Some(46)));
        assert_eq!(classes_of(&all, &without(5)), (DIGITS, Some(5)));
        // A damaged byte.
        assert_eq!(classes_of(&[&all[..], &[200]].concat(), &all), (0..=46, None));
        assert_eq!(classes_of(&[i32::MAX], &[i32::MAX]), (i32::MAX..=i32::MAX, None));
    }
}
