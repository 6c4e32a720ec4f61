//! Batches: which samples, in which order, as tensors.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use chainrule_tensor::cuda::{ImageBatch, ImageStep, MAX_STEPS, image_batch};
use chainrule_tensor::{Device, Key, Purpose, Tensor, TensorOf};

use crate::dataset::Images;
use crate::epoch::Epoch;
use crate::transform::{Normalize, Sample, Transform};

/// Some samples of an epoch.
#[derive(Clone, Debug)]
pub struct Batch {
    /// (N, C, H, W), transformed and normalized.
    pub images: Tensor,
    /// (N), the class of each image.
    pub labels: TensorOf<i32>,
    /// Its place in the epoch, from 0.
    pub index: usize,
}

/// Makes batches of a set of images, epoch by epoch.
///
/// What is in batch k of epoch e is a function of the seed, e and k alone: of no thread, and of nothing drawn before.
/// So a run that resumes at a batch sees what the uninterrupted one saw.
///
/// ```
/// use std::sync::Arc;
/// use chainrule_data::{Images, Loader};
/// let images = Images::new(vec![255; 10 * 4], [10, 1, 2, 2], vec![0; 10], vec!["white".into()])?;
/// let loader = Loader::new(Arc::new(images), 4).shuffle(0).prefetch(1);
/// let sizes: Vec<usize> = loader.epoch(0).map(|batch| batch.labels.numel()).collect();
/// assert_eq!(sizes, [4, 4, 2]);
/// # Ok::<(), chainrule_data::DataError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Loader {
    images: Arc<Images>,
    batch_size: usize,
    seed: u64,
    shuffle: bool,
    drop_last: bool,
    workers: usize,
    transforms: Arc<[Box<dyn Transform>]>,
    normalize: Normalize,
    device: Device,
    /// All images on a GPU, if batches are made there.
    there: Arc<OnceLock<ImagesThere>>,
}

/// A set of images on a GPU.
#[derive(Debug)]
struct ImagesThere {
    /// (N,C,H,W)
    pixels: TensorOf<u8>,
    /// (N)
    labels: TensorOf<i32>,
}

impl Loader {
    /// Batches of `batch_size` in the set's order, pixels in [−1, 1], made when they are asked for.
    ///
    /// # Panics
    /// If `batch_size` is 0, or there are 2³² images or more.
    #[track_caller]
    pub fn new(images: impl Into<Arc<Images>>, batch_size: usize) -> Self {
        let images = images.into();
        assert!(batch_size > 0, "Loader: batch size 0; a batch holds at least one image");
        assert!(
            u32::try_from(images.len()).is_ok(),
            "Loader: {} images, fewer than 2³² can be told apart",
            images.len()
        );
        Self {
            images,
            batch_size,
            seed: 0,
            shuffle: false,
            drop_last: false,
            workers: 0,
            transforms: Arc::new([]),
            normalize: Normalize::to_symmetric(),
            device: Device::Cpu,
            there: Arc::default(),
        }
    }

    /// Draws another order for each epoch, and the transforms' randomness, from `seed`.
    #[must_use]
    pub fn shuffle(self, seed: u64) -> Self {
        Self { seed, shuffle: true, ..self }
    }

    /// Whether to leave out the last batch when it is smaller than the others; it is kept if not told.
    ///
    /// # Panics
    /// If not one whole batch is left.
    #[must_use]
    #[track_caller]
    pub fn drop_last(self, drop_last: bool) -> Self {
        assert!(
            !drop_last || self.batch_size <= self.images.len(),
            "Loader: drop_last leaves no batch, for the batch size {} is larger than the set of {} images",
            self.batch_size,
            self.images.len()
        );
        Self { drop_last, ..self }
    }

    /// Makes batches ahead of their use in `workers` threads; 0 makes each when it is asked for. The batches are the same.
    #[must_use]
    pub fn prefetch(self, workers: usize) -> Self {
        Self { workers, ..self }
    }

    /// Transforms each image, in this order, before it is normalized; `seed` of [`shuffle`](Self::shuffle) counts.
    #[must_use]
    pub fn transforms(self, transforms: Vec<Box<dyn Transform>>) -> Self {
        Self { transforms: transforms.into(), ..self }
    }

    /// Normalizes in this way rather than to [−1, 1].
    ///
    /// # Panics
    /// If it is made for another number of channels.
    #[must_use]
    #[track_caller]
    pub fn normalize(self, normalize: Normalize) -> Self {
        let [c, h, w] = self.image_shape();
        assert!(
            normalize.channels().is_none_or(|channels| channels == c),
            "Loader: Normalize is made for {} channels, the images are (C,H,W) = ({c}, {h}, {w})",
            normalize.channels().unwrap_or(1)
        );
        Self { normalize, ..self }
    }

    /// Batches on a device. A GPU makes them itself, from all images, which are sent there once, if it knows all
    /// transforms. Else whoever makes them, a thread of its own if batches are [prefetched](Self::prefetch), sends them
    /// there, and nobody waits for it. The batches are the same either way.
    #[must_use]
    pub fn device(self, device: Device) -> Self {
        Self { device, there: Arc::default(), ..self }
    }

    /// The transforms as a GPU makes them, if batches are for one and it knows all of them.
    fn gpu_steps(&self) -> Option<Vec<ImageStep>> {
        let steps: Option<Vec<ImageStep>> = self.transforms.iter().map(|transform| transform.on_gpu()).collect();
        steps.filter(|steps| self.device != Device::Cpu && steps.len() <= MAX_STEPS)
    }

    /// The set that batches are made of.
    pub fn images(&self) -> &Images {
        &self.images
    }

    /// (C, H, W) of the images in a batch.
    pub fn image_shape(&self) -> [usize; 3] {
        self.transforms.iter().fold(self.images.image_shape(), |shape, transform| transform.output_shape(shape))
    }

    /// Images in a batch, but for the last one.
    pub fn batch_size(&self) -> usize {
        self.batch_size
    }

    /// Batches in an epoch.
    pub fn batches(&self) -> usize {
        let n = self.images.len();
        if self.drop_last { n / self.batch_size } else { n.div_ceil(self.batch_size) }
    }

    /// All batches of an epoch.
    pub fn epoch(&self, epoch: u32) -> Epoch {
        self.epoch_from(epoch, 0)
    }

    /// The batches of an epoch from `first_batch` on, for a run that resumes there.
    ///
    /// # Panics
    /// If `first_batch` is larger than the number of batches.
    #[track_caller]
    pub fn epoch_from(&self, epoch: u32, first_batch: usize) -> Epoch {
        let batches = self.batches();
        assert!(
            first_batch <= batches,
            "Loader: epoch {epoch} has {batches} batches, it cannot begin at batch {first_batch}"
        );
        let order: Arc<[u32]> = self.order(epoch).into();
        let there = self.gpu_steps().map(|steps| {
            let order: Vec<i32> = order.iter().map(|&sample| sample as i32).collect();
            (steps.into(), TensorOf::from_slice(&order, order.len()).to(self.device))
        });
        let maker = BatchMaker { loader: self.clone(), epoch, order, there };
        Epoch::new(maker, first_batch..batches, self.workers)
    }

    /// Sample indices (N) in the order of an epoch.
    pub fn order(&self, epoch: u32) -> Vec<u32> {
        let mut order: Vec<u32> = (0..self.images.len() as u32).collect();
        if self.shuffle {
            // Fisher–Yates: Knuth, The Art of Computer Programming, vol. 2, algorithm 3.4.2 P.
            let mut rng = Key::new(self.seed, Purpose::SHUFFLE).at_step(epoch).rng();
            for i in (1..order.len()).rev() {
                order.swap(i, rng.below(i as u32 + 1) as usize);
            }
        }
        order
    }
}

/// Makes any batch of one epoch; cheap to clone, one for each worker.
#[derive(Clone, Debug)]
pub(crate) struct BatchMaker {
    loader: Loader,
    epoch: u32,
    order: Arc<[u32]>,
    /// Where a GPU makes the batches: the steps of each image, and the order there.
    there: Option<(Arc<[ImageStep]>, TensorOf<i32>)>,
}

impl BatchMaker {
    /// Batch `index`; `sample` is working space, kept from batch to batch.
    pub(crate) fn make(&self, index: usize, sample: &mut Sample) -> Batch {
        if let Some((steps, order)) = &self.there {
            return self.make_there(index, steps, order);
        }
        let loader = &self.loader;
        let samples = &self.order[self.samples(index)];
        let [c, h, w] = loader.image_shape();
        let mut images = Tensor::zeros([samples.len(), c, h, w]);
        for (&i, y) in samples.iter().zip(images.make_mut().chunks_exact_mut(c * h * w)) {
            let pixels = loader.images.image(i as usize);
            if loader.transforms.is_empty() {
                loader.normalize.write(pixels, h * w, y);
                continue;
            }
            sample.set(pixels, loader.images.image_shape());
            for (place, transform) in loader.transforms.iter().enumerate() {
                transform.apply(sample, &mut self.key(i, place).rng());
            }
            assert!(
                sample.shape() == [c, h, w],
                "{transforms:?}: made (C,H,W) = {:?}, announced {:?} by output_shape",
                sample.shape(),
                [c, h, w],
                transforms = loader.transforms
            );
            loader.normalize.write(sample.pixels(), h * w, y);
        }
        let labels: Vec<i32> = samples.iter().map(|&i| i32::from(loader.images.labels()[i as usize])).collect();
        let labels = TensorOf::from_slice(&labels, samples.len());
        Batch { images: images.to(loader.device), labels: labels.to(loader.device), index }
    }

    /// The same batch, made on the GPU.
    fn make_there(&self, index: usize, steps: &[ImageStep], order: &TensorOf<i32>) -> Batch {
        let loader = &self.loader;
        let all = loader.there.get_or_init(|| {
            let labels: Vec<i32> = loader.images.labels().iter().map(|&label| i32::from(label)).collect();
            ImagesThere {
                pixels: TensorOf::from_slice(loader.images.pixels(), loader.images.shape()).to(loader.device),
                labels: TensorOf::from_slice(&labels, labels.len()).to(loader.device),
            }
        });
        let samples = order.narrow(0, self.samples(index));
        let purposes = steps.iter().enumerate().map(|(place, &step)| (step, self.key(0, place).purpose));
        let images = image_batch(ImageBatch {
            pixels: &all.pixels,
            samples: &samples,
            tables: loader.normalize.tables(),
            steps: &purposes.collect::<Vec<_>>(),
            key: self.key(0, 0),
        });
        Batch { images, labels: all.labels.gather(0, &samples), index }
    }

    /// Positions in the order that make up batch `index`.
    fn samples(&self, index: usize) -> Range<usize> {
        let start = index * self.loader.batch_size;
        start..(start + self.loader.batch_size).min(self.order.len())
    }

    /// The stream of one sample's transform. The place in the list goes into the purpose's upper bits, which no other
    /// purpose but a layer's (the highest bit) uses: a transform added at the end changes no other's draws.
    fn key(&self, sample: u32, place: usize) -> Key {
        let purpose = Purpose(Purpose::AUGMENT.0 | (place as u32) << 8);
        Key::new(self.loader.seed, purpose).at_step(self.epoch).for_sample(sample)
    }
}
