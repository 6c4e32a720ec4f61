//! Parts of a set of images, and sets put together from others.

use chainrule_tensor::Key;

use super::Images;
use crate::error::{DataError, Result};
use crate::streams;

impl Images {
    /// The images with these indices, in this order; an index may occur more than once.
    ///
    /// # Panics
    /// If there is none, or one is out of bounds.
    #[must_use]
    #[track_caller]
    pub fn subset(&self, indices: &[usize]) -> Self {
        let n = self.len();
        assert!(!indices.is_empty(), "Images::subset: no indices\n  rule: a set has at least one image");
        if let Some(index) = indices.iter().find(|&&index| index >= n) {
            panic!("Images::subset: index {index} of {n} images is out of bounds");
        }
        let [c, h, w] = self.image_shape();
        Self {
            pixels: indices.iter().flat_map(|&i| self.image(i)).copied().collect(),
            shape: [indices.len(), c, h, w],
            labels: indices.iter().map(|&i| self.labels[i]).collect(),
            classes: self.classes.clone(),
        }
    }

    /// Holds out `count` images, drawn without replacement: (the rest, those held out), such as a training and a validation
    /// set. Both keep the order of this set. The draw is a function of `seed` and of the number of images.
    ///
    /// ```
    /// # use chainrule_data::Images;
    /// # let images = Images::new(vec![0; 10], [10, 1, 1, 1], vec![0; 10], vec!["one".into()])?;
    /// let (train, validation) = images.split(3, 0);
    /// assert_eq!((train.len(), validation.len()), (7, 3));
    /// # Ok::<(), chainrule_data::DataError>(())
    /// ```
    ///
    /// # Panics
    /// If `count` is 0 or leaves no image.
    #[track_caller]
    pub fn split(&self, count: usize, seed: u64) -> (Self, Self) {
        let n = self.len();
        assert!((1..n).contains(&count), "Images::split: {count} of {n} images\n  rule: 1 ≤ count < {n}");
        // The first numbers of a Fisher–Yates shuffle (see `Loader::order`) are a draw without replacement.
        let mut rng = Key::new(seed, streams::SPLIT).rng();
        let mut order: Vec<usize> = (0..n).collect();
        for i in 0..count {
            order.swap(i, i + rng.below((n - i) as u32) as usize);
        }
        let (held_out, rest) = order.split_at_mut(count);
        held_out.sort_unstable();
        rest.sort_unstable();
        (self.subset(rest), self.subset(held_out))
    }

    /// The images of some classes only, in the order of this set. The labels are numbered anew, in the order of `classes`:
    /// with `[7, 3]`, class 7 becomes 0 and class 3 becomes 1.
    ///
    /// # Errors
    /// [`DataError::Inconsistent`] if there is no such class, if one is listed twice, or if no image belongs to them.
    pub fn only_classes(&self, classes: &[u8]) -> Result<Self> {
        let error =
            |problem: String, help| Err(DataError::Inconsistent { what: "Images::only_classes".into(), problem, help });
        let known = self.classes.len();
        for (i, &class) in classes.iter().enumerate() {
            if usize::from(class) >= known {
                return error(format!("class {class} is out of range for {known} classes"), "number classes from 0");
            }
            if classes[..i].contains(&class) {
                return error(format!("class {class} is listed twice"), "list every class once");
            }
        }
        let label = |old: u8| classes.iter().position(|&class| class == old);
        let indices: Vec<usize> = (0..self.len()).filter(|&i| label(self.labels[i]).is_some()).collect();
        if indices.is_empty() {
            return error(format!("no image belongs to the classes {classes:?}"), "list a class that has images");
        }
        let mut part = self.subset(&indices);
        for old in &mut part.labels {
            *old = label(*old).expect("only these classes are left") as u8;
        }
        part.classes = classes.iter().map(|&class| self.classes[usize::from(class)].clone()).collect();
        Ok(part)
    }

    /// The images of this set followed by those of another.
    ///
    /// # Errors
    /// [`DataError::Inconsistent`] if they differ in (C, H, W) or in their classes.
    pub fn concat(&self, other: &Self) -> Result<Self> {
        let error = |problem: String| {
            let help = "put together images of one size and of the same classes";
            Err(DataError::Inconsistent { what: "Images::concat".into(), problem, help })
        };
        let ([c, h, w], [oc, oh, ow]) = (self.image_shape(), other.image_shape());
        if [c, h, w] != [oc, oh, ow] {
            return error(format!("the first images are (C,H,W) = ({c}, {h}, {w}), the second ({oc}, {oh}, {ow})"));
        }
        if self.classes != other.classes {
            let (first, second) = (self.classes.join(" "), other.classes.join(" "));
            return error(format!("the first classes are {first}, the second {second}"));
        }
        Ok(Self {
            pixels: [&*self.pixels, &other.pixels].concat(),
            shape: [self.len() + other.len(), c, h, w],
            labels: [&*self.labels, &other.labels].concat(),
            classes: self.classes.clone(),
        })
    }

    /// The negatives, 255 − x for each pixel, with the same labels.
    #[must_use]
    pub fn inverted(&self) -> Self {
        Self { pixels: self.pixels.iter().map(|x| !x).collect(), ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::Dataset;

    /// `n` images of one pixel, each its index, of three classes in turn.
    fn numbered(n: usize) -> Images {
        let labels = (0..n).map(|i| (i % 3) as u8).collect();
        let classes = ["cat", "dog", "ship"].map(String::from).to_vec();
        Images::new((0..n).map(|i| i as u8).collect(), [n, 1, 1, 1], labels, classes).unwrap()
    }

    fn message(result: Result<Images>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn a_subset_has_the_images_in_the_order_of_the_indices() {
        let images = Images::new((0..12).collect(), [3, 1, 2, 2], vec![2, 0, 1], numbered(1).classes).unwrap();
        let part = images.subset(&[2, 0, 2]);
        assert_eq!((part.shape(), part.labels()), ([3, 1, 2, 2], &[1, 2, 1][..]));
        assert_eq!([part.image(0), part.image(1), part.image(2)], [2, 0, 2].map(|i| images.image(i)));
    }

    #[test]
    fn a_split_is_a_partition_in_order_and_a_function_of_the_seed() {
        let images = numbered(50);
        for count in [1, 20, 49] {
            let (rest, held_out) = images.split(count, 3);
            assert_eq!(held_out.len(), count);
            assert!(rest.pixels().is_sorted() && held_out.pixels().is_sorted());
            let mut all = [rest.pixels(), held_out.pixels()].concat();
            all.sort_unstable();
            assert_eq!(all, images.pixels());
            assert!(held_out.pixels().iter().zip(held_out.labels()).all(|(x, label)| x % 3 == *label));
            assert_eq!(images.split(count, 3), (rest, held_out));
        }
        assert_ne!(images.split(20, 3), images.split(20, 4));
        // A change here changes every published run.
        assert_eq!(numbered(10).split(4, 0).1.pixels(), [1, 2, 8, 9]);
    }

    #[test]
    fn every_image_is_held_out_equally_often() {
        let mut times = [0_u32; 10];
        for seed in 0..3000 {
            numbered(10).split(3, seed).1.pixels().iter().for_each(|&i| times[usize::from(i)] += 1);
        }
        // 900 each; five standard deviations are 125.
        assert!(times.iter().all(|n| n.abs_diff(900) < 125), "{times:?}");
    }

    #[test]
    fn some_classes_are_numbered_in_the_order_they_are_given() {
        let part = numbered(7).only_classes(&[2, 0]).unwrap();
        assert_eq!((part.pixels(), part.labels()), (&[0, 2, 3, 5, 6][..], &[1, 0, 1, 0, 1][..]));
        assert_eq!(part.classes(), ["ship", "cat"]);
        assert_eq!(
            message(numbered(7).only_classes(&[1, 3])),
            "Images::only_classes: class 3 is out of range for 3 classes\n  help: number classes from 0"
        );
        assert_eq!(
            message(numbered(7).only_classes(&[1, 0, 1])),
            "Images::only_classes: class 1 is listed twice\n  help: list every class once"
        );
        assert_eq!(
            message(numbered(2).only_classes(&[2])),
            "Images::only_classes: no image belongs to the classes [2]\n  help: list a class that has images"
        );
    }

    #[test]
    fn sets_are_put_together_if_they_match() {
        let images = numbered(2);
        let both = images.concat(&images.inverted()).unwrap();
        assert_eq!((both.pixels(), both.labels()), (&[0, 1, 255, 254][..], &[0, 1, 0, 1][..]));
        let tall = Images::new(vec![0; 2], [1, 1, 2, 1], vec![0], images.classes.clone()).unwrap();
        assert_eq!(
            message(images.concat(&tall)),
            "Images::concat: the first images are (C,H,W) = (1, 1, 1), the second (1, 2, 1)\n  \
             help: put together images of one size and of the same classes"
        );
        assert_eq!(
            message(images.concat(&images.only_classes(&[1, 0]).unwrap())),
            "Images::concat: the first classes are cat dog ship, the second dog cat\n  \
             help: put together images of one size and of the same classes"
        );
    }

    #[test]
    fn a_dataset_keeps_its_name_and_notes_when_its_sets_change() {
        let dataset = Dataset::new("toy", numbered(6), numbered(3)).unwrap().with_note("a note");
        let dogs = dataset.map(|images| images.only_classes(&[1])).unwrap();
        assert_eq!((dogs.name(), dogs.notes()), ("toy", &["a note".to_owned()][..]));
        assert_eq!((dogs.train().pixels(), dogs.test().pixels()), (&[1, 4][..], &[1][..]));
        assert!(dogs.map(|images| images.only_classes(&[1])).is_err());
    }

    #[test]
    #[should_panic(expected = "Images::split: 3 of 3 images\n  rule: 1 ≤ count < 3")]
    fn a_split_must_leave_images() {
        let _ = numbered(3).split(3, 0);
    }

    #[test]
    #[should_panic(expected = "Images::subset: index 3 of 3 images is out of bounds")]
    fn a_subset_past_the_end_panics() {
        let _ = numbered(3).subset(&[0, 3]);
    }

    #[test]
    #[should_panic(expected = "Images::subset: no indices\n  rule: a set has at least one image")]
    fn an_empty_subset_panics() {
        let _ = numbered(3).subset(&[]);
    }
}
