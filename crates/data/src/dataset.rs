//! The in-memory form of every dataset: 8-bit images with labels, in a training and a test set.

mod parts;

use std::ops::Range;

use crate::error::{DataError, Result};

/// 8-bit images of one size, each with a label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Images {
    pixels: Vec<u8>,
    shape: [usize; 4],
    labels: Vec<u8>,
    classes: Vec<String>,
}

impl Images {
    /// Images from `pixels` (N, C, H, W), row-major, and `labels` (N), each less than the number of `classes`.
    ///
    /// # Errors
    /// [`DataError::Inconsistent`] if a dimension is 0, if the length of `pixels` or `labels` does not match `shape`, or
    /// if a label is out of range.
    pub fn new(pixels: Vec<u8>, shape: [usize; 4], labels: Vec<u8>, classes: Vec<String>) -> Result<Self> {
        let error = |problem: String, help| Err(DataError::Inconsistent { what: "Images::new".into(), problem, help });
        let [n, c, h, w] = shape;
        if shape.contains(&0) {
            return error(format!("(N,C,H,W) = ({n}, {c}, {h}, {w}) is empty"), "pass at least one image");
        }
        let expected = shape.iter().try_fold(1_usize, |product, &d| product.checked_mul(d));
        if expected != Some(pixels.len()) {
            return error(
                format!("{} pixels do not match (N,C,H,W) = ({n}, {c}, {h}, {w})", pixels.len()),
                "pass N·C·H·W pixels",
            );
        }
        if labels.len() != n {
            return error(format!("{n} images but {} labels", labels.len()), "pass one label per image");
        }
        if let Some(i) = labels.iter().position(|&label| usize::from(label) >= classes.len()) {
            return error(
                format!("label {} of sample {i} is out of range for {} classes", labels[i], classes.len()),
                "name every class, and number labels from 0",
            );
        }
        Ok(Self { pixels, shape, labels, classes })
    }

    /// The number of images, N; never 0.
    #[expect(clippy::len_without_is_empty, reason = "the constructor rejects an empty set")]
    pub fn len(&self) -> usize {
        self.shape[0]
    }

    /// (N, C, H, W).
    pub fn shape(&self) -> [usize; 4] {
        self.shape
    }

    /// (C, H, W), the shape of one image.
    pub fn image_shape(&self) -> [usize; 3] {
        let [_, c, h, w] = self.shape;
        [c, h, w]
    }

    /// All pixels, (N, C, H, W) row-major.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// The pixels of one image, (C, H, W) row-major.
    #[track_caller]
    pub fn image(&self, sample: usize) -> &[u8] {
        let size: usize = self.image_shape().iter().product();
        &self.pixels[sample * size..][..size]
    }

    /// All labels, (N).
    pub fn labels(&self) -> &[u8] {
        &self.labels
    }

    /// The class names, in label order.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// A copy of a range of images, such as a validation set.
    ///
    /// # Panics
    /// If the range is empty or out of bounds.
    #[must_use]
    #[track_caller]
    pub fn slice(&self, range: Range<usize>) -> Self {
        let n = self.len();
        assert!(
            !range.is_empty() && range.end <= n,
            "Images::slice: range {range:?} of {n} images is empty or out of bounds"
        );
        let size: usize = self.image_shape().iter().product();
        let [c, h, w] = self.image_shape();
        Self {
            pixels: self.pixels[range.start * size..range.end * size].to_vec(),
            shape: [range.len(), c, h, w],
            labels: self.labels[range].to_vec(),
            classes: self.classes.clone(),
        }
    }
}

/// A training and a test set of the same classes and image size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dataset {
    name: String,
    train: Images,
    test: Images,
    notes: Vec<String>,
}

impl Dataset {
    /// Combines a training and a test set.
    ///
    /// # Errors
    /// [`DataError::Inconsistent`] if they differ in (C, H, W) or in their classes.
    pub fn new(name: impl Into<String>, train: Images, test: Images) -> Result<Self> {
        let name = name.into();
        let error = |problem: String| {
            let help = "take the training and the test set from the same dataset";
            Err(DataError::Inconsistent { what: name.clone(), problem, help })
        };
        if train.image_shape() != test.image_shape() {
            let ([c, h, w], [tc, th, tw]) = (train.image_shape(), test.image_shape());
            return error(format!("training images are (C,H,W) = ({c}, {h}, {w}), test images ({tc}, {th}, {tw})"));
        }
        if train.classes != test.classes {
            return error(format!(
                "training classes are {}, test classes {}",
                train.classes.join(" "),
                test.classes.join(" ")
            ));
        }
        Ok(Self { name, train, test, notes: Vec::new() })
    }

    /// The name, such as "MNIST".
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The training set.
    pub fn train(&self) -> &Images {
        &self.train
    }

    /// The test set.
    pub fn test(&self) -> &Images {
        &self.test
    }

    /// What a reader should know about how the dataset was read, such as files that were skipped; programs print it.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Adds a note.
    #[must_use]
    pub fn with_note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// Replaces both sets by what `change` makes of them; name and notes stay. For instance, MNIST and its negatives:
    ///
    /// ```
    /// use chainrule_data::{Dataset, Images};
    /// let images = Images::new(vec![0, 1, 2, 3], [1, 1, 2, 2], vec![0], vec!["one".into()])?;
    /// let dataset = Dataset::new("toy", images.clone(), images)?;
    /// let dataset = dataset.map(|images| images.concat(&images.inverted()))?;
    /// assert_eq!(dataset.train().pixels(), [0, 1, 2, 3, 255, 254, 253, 252]);
    /// # Ok::<(), chainrule_data::DataError>(())
    /// ```
    ///
    /// # Errors
    /// Those of `change`, and as [`new`](Self::new).
    pub fn map(self, change: impl Fn(&Images) -> Result<Images>) -> Result<Self> {
        Ok(Self { notes: self.notes, ..Self::new(self.name, change(&self.train)?, change(&self.test)?)? })
    }

    /// The training and the test set, by value.
    pub fn into_parts(self) -> (Images, Images) {
        (self.train, self.test)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(n: usize) -> Vec<String> {
        (0..n).map(|i| i.to_string()).collect()
    }

    fn message(result: Result<impl std::fmt::Debug>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn constructor_reports_mismatches() {
        assert_eq!(
            message(Images::new(vec![0; 7], [2, 1, 2, 2], vec![0, 1], names(2))),
            "Images::new: 7 pixels do not match (N,C,H,W) = (2, 1, 2, 2)\n  help: pass N·C·H·W pixels"
        );
        assert_eq!(
            message(Images::new(vec![], [0, 1, 2, 2], vec![], names(2))),
            "Images::new: (N,C,H,W) = (0, 1, 2, 2) is empty\n  help: pass at least one image"
        );
        assert_eq!(
            message(Images::new(vec![0; 8], [2, 1, 2, 2], vec![0], names(2))),
            "Images::new: 2 images but 1 labels\n  help: pass one label per image"
        );
        assert_eq!(
            message(Images::new(vec![0; 8], [2, 1, 2, 2], vec![0, 2], names(2))),
            "Images::new: label 2 of sample 1 is out of range for 2 classes\n  \
             help: name every class, and number labels from 0"
        );
        assert!(Images::new(vec![], [usize::MAX, 2, 1, 1], vec![], names(2)).is_err());
    }

    #[test]
    fn training_and_test_set_must_match() {
        let images = |shape: [usize; 4], classes| {
            Images::new(vec![0; shape.iter().product()], shape, vec![0; shape[0]], names(classes)).unwrap()
        };
        assert_eq!(
            message(Dataset::new("toy", images([1, 1, 2, 2], 2), images([1, 3, 2, 2], 2))),
            "toy: training images are (C,H,W) = (1, 2, 2), test images (3, 2, 2)\n  \
             help: take the training and the test set from the same dataset"
        );
        assert!(
            message(Dataset::new("toy", images([1, 1, 2, 2], 2), images([1, 1, 2, 2], 3)))
                .contains("training classes are 0 1, test classes 0 1 2")
        );
    }

    #[test]
    fn slice_keeps_images_and_labels_together() {
        let images = Images::new((0..12).collect(), [3, 1, 2, 2], vec![0, 1, 2], names(3)).unwrap();
        let slice = images.slice(1..3);
        assert_eq!((slice.shape(), slice.labels()), ([2, 1, 2, 2], &[1, 2][..]));
        assert_eq!(slice.image(0), images.image(1));
    }

    #[test]
    #[should_panic(expected = "Images::slice: range 2..4 of 3 images is empty or out of bounds")]
    fn slice_past_the_end_panics() {
        let _ = Images::new(vec![0; 3], [3, 1, 1, 1], vec![0; 3], names(1)).unwrap().slice(2..4);
    }
}
