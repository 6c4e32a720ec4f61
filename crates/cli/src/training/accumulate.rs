//! Steps of several batches: their gradients are added up before the optimizer's step.

use chainrule::data::{Batch, Loader};
use chainrule::prelude::*;

/// How the batches of an epoch form steps: `--accumulate` of them in a row, fewer in the last step of an epoch.
#[derive(Clone, Copy, Debug)]
pub struct Accumulation {
    of_a_step: usize,
    /// Of an epoch.
    batches: usize,
    batch_size: usize,
    images: usize,
}

impl Accumulation {
    /// Steps of `of_a_step` batches of a loader.
    pub fn new(of_a_step: usize, train: &Loader) -> Self {
        let (batches, batch_size) = (train.batches(), train.batch_size());
        // Without those that --drop-last leaves out.
        let images = train.images().len().min(batches * batch_size);
        Self { of_a_step, batches, batch_size, images }
    }

    /// The number of batches of a step that is not the last of its epoch.
    pub fn of_a_step(self) -> usize {
        self.of_a_step
    }

    /// The steps of an epoch.
    pub fn steps(self) -> u64 {
        self.steps_of(self.batches as u64)
    }

    /// The steps of the first batches of an epoch.
    pub fn steps_of(self, batches: u64) -> u64 {
        batches.div_ceil(self.of_a_step as u64)
    }

    /// Whether the batch with this index in its epoch is the first of a step.
    pub fn begins(self, index: usize) -> bool {
        index.is_multiple_of(self.of_a_step)
    }

    /// Whether it is the last of a step.
    pub fn ends(self, index: usize) -> bool {
        self.begins(index + 1) || index + 1 == self.batches
    }

    /// The images of the batch with this index.
    pub fn images_of(self, index: usize) -> usize {
        self.images.min((index + 1) * self.batch_size) - index * self.batch_size
    }

    /// Its share of the images of its step. Losses are means over the images of a batch: weighted with these shares they add up
    /// to the mean over all images of the step, also where the last batch of an epoch is smaller.
    pub fn share(self, index: usize) -> f64 {
        let images = |batches: usize| self.images.min(batches * self.batch_size);
        let first = index - index % self.of_a_step;
        let of_step = images(first + self.of_a_step) - images(first);
        self.images_of(index) as f64 / of_step as f64
    }

    /// The batches of the next step.
    pub fn next_step(self, batches: &mut impl Iterator<Item = Batch>) -> Vec<Batch> {
        let mut step = Vec::new();
        for batch in batches {
            let is_last = self.ends(batch.index);
            step.push(batch);
            if is_last {
                break;
            }
        }
        step
    }
}

/// The sum of the gradients of the batches of a step so far.
#[derive(Default)]
pub struct GradientSum(Option<Gradients>);

impl GradientSum {
    /// Adds the gradients of a batch that has this share of the step.
    pub fn add(&mut self, mut gradients: Gradients, share: f64) {
        if share != 1.0 {
            gradients.scale(share);
        }
        match &mut self.0 {
            Some(sum) => sum.add(&gradients),
            None => self.0 = Some(gradients),
        }
    }

    /// The gradients of the step; the next one begins.
    ///
    /// # Panics
    /// If it had no batch.
    pub fn take(&mut self) -> Gradients {
        self.0.take().expect("a step has a batch")
    }
}

#[cfg(test)]
mod tests {
    use chainrule::data::Images;

    use super::*;

    /// Steps of three batches of 4 of 30 images: 8 batches, the last of 2.
    fn accumulation(drop_last: bool) -> Accumulation {
        let images = Images::new(vec![0; 30], [30, 1, 1, 1], vec![0; 30], vec!["one".into()]).expect("30 images");
        Accumulation::new(3, &Loader::new(images, 4).drop_last(drop_last))
    }

    #[test]
    fn batches_form_steps_up_to_the_end_of_an_epoch() {
        let eight = accumulation(false);
        assert_eq!((eight.steps(), eight.steps_of(0), eight.steps_of(3), eight.steps_of(8)), (3, 0, 1, 3));
        let marks = |is: fn(Accumulation, usize) -> bool| (0..8).filter(|&i| is(eight, i)).collect::<Vec<_>>();
        assert_eq!((marks(Accumulation::begins), marks(Accumulation::ends)), (vec![0, 3, 6], vec![2, 5, 7]));
        assert_eq!(accumulation(true).steps(), 3);
    }

    #[test]
    fn shares_are_those_of_the_images() {
        let shares: Vec<f64> = (0..8).map(|i| accumulation(false).share(i)).collect();
        let third = 4.0 / 12.0;
        assert_eq!(shares, [third, third, third, third, third, third, 4.0 / 6.0, 2.0 / 6.0]);
        assert_eq!(accumulation(true).share(6), 1.0, "the batch of two images is left out");
        assert_eq!([0, 6, 7].map(|i| accumulation(false).images_of(i)), [4, 4, 2]);
    }
}
