//! Prepares the batches of an epoch, on the CPU or on a GPU.

use std::ops::Range;
use std::sync::Arc;

use chainrule_tensor::{ImageStep, Key, Purpose, Tensor, TensorOf};

use super::{Batch, GpuImages, Loader};
use crate::palette::mean_gray;
use crate::transform::{Origin, Sample};
use crate::{mixup, streams};

/// Prepares any batch of one epoch; cheap to clone, one per worker.
#[derive(Clone, Debug)]
pub(crate) struct BatchMaker {
    loader: Loader,
    epoch: u32,
    order: Arc<[u32]>,
    /// If the GPU prepares the batches: the transforms, and the order in GPU memory.
    gpu: Option<(Arc<[ImageStep]>, TensorOf<i32>)>,
}

impl BatchMaker {
    pub(crate) fn new(loader: Loader, epoch: u32) -> Self {
        let order: Arc<[u32]> = loader.order(epoch).into();
        let gpu = loader.gpu_steps().map(|steps| {
            let order: Vec<i32> = order.iter().map(|&sample| sample as i32).collect();
            (steps.into(), TensorOf::from_slice(&order, order.len()).to(loader.device))
        });
        Self { loader, epoch, order, gpu }
    }

    /// Prepares batch `index`; `sample` is a workspace that is reused for all batches.
    pub(crate) fn make(&self, index: usize, sample: &mut Sample) -> Batch {
        let loader = &self.loader;
        let (batch, part) = (self.batch(index), self.part(index));
        // Images are mixed with their neighbors, which another part may have.
        let prepared = if loader.mixup.is_some() { batch } else { part.clone() };
        let (mut images, mut labels) = match &self.gpu {
            Some((steps, order)) => self.on_gpu(prepared.clone(), steps, order),
            None => self.on_cpu(prepared.clone(), sample),
        };
        let mut targets = None;
        if let Some(alpha) = loader.mixup {
            let key = Key::new(loader.seed, streams::MIXUP).at_step(self.epoch).for_sample(index as u32);
            let lambda = mixup::draw(alpha, &mut key.rng());
            let shares = mixup::targets(&self.labels(prepared.clone()), loader.images.classes().len(), lambda);
            let own = part.start - prepared.start..part.end - prepared.start;
            images = mixup::images(&images, lambda).narrow(0, own.clone());
            labels = labels.narrow(0, own.clone());
            targets = Some(shares.narrow(0, own).to(loader.device));
        }
        Batch { images: images.to(loader.device), labels, targets, index }
    }

    /// Images, on the CPU, and their labels, on the loader's device; `positions` in the order.
    fn on_cpu(&self, positions: Range<usize>, sample: &mut Sample) -> (Tensor, TensorOf<i32>) {
        let loader = &self.loader;
        let samples = &self.order[positions.clone()];
        let (n, [c, h, w]) = (samples.len(), loader.image_shape());
        let mut images = Tensor::zeros([n, c, h, w]);
        let mut colors = Vec::new();
        for (&i, y) in samples.iter().zip(images.make_mut().chunks_exact_mut(c * h * w)) {
            match (&loader.palette, &loader.features) {
                (None, None) => loader.normalize.write(self.transformed(i, sample), h * w, y),
                (None, Some(features)) => features.read(i as usize, y),
                (Some(palette), features) => {
                    let pixels = self.transformed(i, sample);
                    colors.extend(palette.nearest(pixels));
                    match features {
                        None => loader.normalize.write(&mean_gray(pixels), h * w, y),
                        Some(features) => features.read(i as usize, y),
                    }
                }
            }
        }
        let labels = match loader.palette {
            Some(_) => {
                let [_, h, w] = loader.transformed_shape();
                TensorOf::from_slice(&colors, [n, h, w])
            }
            None => TensorOf::from_slice(&self.labels(positions), n),
        };
        (images, labels.to(loader.device))
    }

    /// The pixels of an image after the transforms; `sample` is a workspace.
    fn transformed<'a>(&'a self, i: u32, sample: &'a mut Sample) -> &'a [u8] {
        let loader = &self.loader;
        let pixels = loader.images.image(i as usize);
        if loader.transforms.is_empty() {
            return pixels;
        }
        sample.set(pixels, loader.images.image_shape());
        sample.set_origin(Origin { seed: loader.seed, epoch: self.epoch, index: i });
        for (position, transform) in loader.transforms.iter().enumerate() {
            transform.apply(sample, &mut self.key(i, position).rng());
        }
        let shape = loader.transformed_shape();
        assert!(
            sample.shape() == shape,
            "{transforms:?}: the output is (C,H,W) = {:?}, but output_shape returned {shape:?}",
            sample.shape(),
            transforms = loader.transforms
        );
        sample.pixels()
    }

    /// The classes of images.
    fn labels(&self, positions: Range<usize>) -> Vec<i32> {
        let labels = self.loader.images.labels();
        self.order[positions].iter().map(|&i| i32::from(labels[i as usize])).collect()
    }

    /// The same images and labels, prepared on the GPU.
    fn on_gpu(&self, positions: Range<usize>, steps: &[ImageStep], order: &TensorOf<i32>) -> (Tensor, TensorOf<i32>) {
        let loader = &self.loader;
        let all = loader.on_gpu.get_or_init(|| {
            let labels: Vec<i32> = loader.images.labels().iter().map(|&label| i32::from(label)).collect();
            GpuImages {
                pixels: TensorOf::from_slice(loader.images.pixels(), loader.images.shape()).to(loader.device),
                labels: TensorOf::from_slice(&labels, labels.len()).to(loader.device),
            }
        });
        let samples = order.narrow(0, positions);
        let purposes = steps.iter().enumerate().map(|(position, &step)| (step, self.key(0, position).purpose));
        let steps: Vec<(ImageStep, Purpose)> = purposes.collect();
        let images = all.pixels.image_batch(&samples, loader.normalize.tables(), &steps, self.key(0, 0));
        (images, all.labels.gather(0, &samples))
    }

    /// The positions in the order that form batch `index`.
    fn batch(&self, index: usize) -> Range<usize> {
        let start = index * self.loader.batch_size;
        start..(start + self.loader.batch_size).min(self.order.len())
    }

    /// The positions of this loader's part of the batch.
    fn part(&self, index: usize) -> Range<usize> {
        let (batch, (part, of)) = (self.batch(index), self.loader.part);
        let n = batch.len();
        batch.start + part * n / of..batch.start + (part + 1) * n / of
    }

    /// The random stream of one transform of one sample.
    fn key(&self, sample: u32, position: usize) -> Key {
        Key::new(self.loader.seed, streams::transform(position)).at_step(self.epoch).for_sample(sample)
    }
}
