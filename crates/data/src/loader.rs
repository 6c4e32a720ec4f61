//! The loader: splits a set of images into batches of tensors.

mod batch_maker;

use std::fmt::Debug;
use std::sync::{Arc, OnceLock};

use chainrule_tensor::{Device, ImageStep, Key, MAX_IMAGE_STEPS, Purpose, Tensor, TensorOf, ranges};

pub(crate) use batch_maker::BatchMaker;

use crate::dataset::Images;
use crate::palette::Palette;
use crate::transform::{Normalize, Transform};

/// A batch of samples.
#[derive(Clone, Debug)]
pub struct Batch {
    /// (N, C, H, W), transformed and normalized.
    pub images: Tensor,
    /// (N), the class of each image; with [mixup](Loader::mixup), of the image before it was mixed. For
    /// [colorization](Loader::colorize) (N, H, W), the color of each pixel.
    pub labels: TensorOf<i32>,
    /// (N, classes), the share of each class in each image, for `soft_cross_entropy`; only with [mixup](Loader::mixup).
    pub targets: Option<Tensor>,
    /// The index of the batch in its epoch, from 0.
    pub index: usize,
}

/// What stands for each image of a set in a batch, computed before: such as the output of the first layers of a net, which
/// need not be computed again in every epoch if only the others are trained.
pub trait Features: Debug + Send + Sync {
    /// The shape (C, H, W) of what stands for an image.
    fn shape(&self) -> [usize; 3];

    /// Writes the C·H·W numbers of an image of the set. `Loader` calls it on several threads.
    fn read(&self, image: usize, to: &mut [f32]);
}

/// Splits a set of images into batches, epoch by epoch.
///
/// The contents of batch k of epoch e are a function of the seed, e and k alone, independent of threads and of earlier
/// draws. A run resumed at any batch therefore sees the same data as an uninterrupted one.
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
    /// The part of each batch that is prepared, and the number of parts.
    part: (usize, usize),
    workers: usize,
    transforms: Arc<[Arc<dyn Transform>]>,
    normalize: Normalize,
    /// What stands for the images, instead of their pixels.
    features: Option<Arc<dyn Features>>,
    /// The parameter of the distribution of mixup's weights.
    mixup: Option<f64>,
    /// The colors of the pixels' labels, if the batches are for colorization.
    palette: Option<Arc<Palette>>,
    device: Device,
    /// All images on the GPU, if batches are prepared there.
    on_gpu: Arc<OnceLock<GpuImages>>,
}

/// Why mixup and colorization exclude each other.
const NO_SHARES: &str = "a pixel has one color as its label, not shares of two";

/// A set of images in GPU memory.
#[derive(Debug)]
struct GpuImages {
    /// (N,C,H,W)
    pixels: TensorOf<u8>,
    /// (N)
    labels: TensorOf<i32>,
}

impl Loader {
    /// Batches of `batch_size` in the order of the set, pixels scaled to [−1, 1], prepared on demand.
    ///
    /// # Panics
    /// If `batch_size` is 0, or there are 2³² or more images.
    #[track_caller]
    pub fn new(images: impl Into<Arc<Images>>, batch_size: usize) -> Self {
        let images = images.into();
        assert!(batch_size > 0, "Loader: batch size 0; the batch size must be at least 1");
        assert!(u32::try_from(images.len()).is_ok(), "Loader: {} images; fewer than 2³² are supported", images.len());
        Self {
            images,
            batch_size,
            seed: 0,
            shuffle: false,
            drop_last: false,
            part: (0, 1),
            workers: 0,
            transforms: Arc::new([]),
            normalize: Normalize::to_symmetric(),
            features: None,
            mixup: None,
            palette: None,
            device: Device::Cpu,
            on_gpu: Arc::default(),
        }
    }

    /// Shuffles each epoch in a different order. `seed` also determines the transforms' random numbers.
    #[must_use]
    pub fn shuffle(self, seed: u64) -> Self {
        Self { seed, shuffle: true, ..self }
    }

    /// Whether to drop the last batch if it is smaller than the others; by default it is kept.
    ///
    /// # Panics
    /// If no full batch remains.
    #[must_use]
    #[track_caller]
    pub fn drop_last(self, drop_last: bool) -> Self {
        assert!(
            !drop_last || self.batch_size <= self.images.len(),
            "Loader: drop_last leaves no batch: the batch size {} is larger than the set of {} images",
            self.batch_size,
            self.images.len()
        );
        Self { drop_last, ..self }
    }

    /// Only a part of each batch, for one of several processes: of its n images in their order, those from `part·n/of` on,
    /// before `(part + 1)·n/of`. The parts together are the batches that the loader has without this, also their random
    /// numbers. A part of a batch with fewer than `of` images may be empty.
    ///
    /// # Panics
    /// If there is no such part.
    #[must_use]
    #[track_caller]
    pub fn part(self, part: usize, of: usize) -> Self {
        assert!(part < of, "Loader: part {part} of {of}; the parts are numbered from 0");
        Self { part: (part, of), ..self }
    }

    /// Prefetches batches in `workers` threads; 0 prepares each on demand. The batches are the same.
    #[must_use]
    pub fn prefetch(self, workers: usize) -> Self {
        Self { workers, ..self }
    }

    /// Applies the transforms to each image, in this order, before normalization. Their random numbers depend on the seed
    /// of [`shuffle`](Self::shuffle).
    ///
    /// # Panics
    /// If a transform cannot take images of the shape that it is given.
    #[must_use]
    #[track_caller]
    pub fn transforms(self, transforms: Vec<Box<dyn Transform>>) -> Self {
        self.with_transforms(transforms.into_iter().map(Arc::from).collect())
    }

    /// Applies one more transform, before the others.
    ///
    /// # Panics
    /// As [`transforms`](Self::transforms).
    #[must_use]
    #[track_caller]
    pub fn first(self, transform: Box<dyn Transform>) -> Self {
        let transforms = std::iter::once(Arc::from(transform)).chain(self.transforms.iter().cloned()).collect();
        self.with_transforms(transforms)
    }

    #[track_caller]
    fn with_transforms(self, transforms: Arc<[Arc<dyn Transform>]>) -> Self {
        let loader = Self { transforms, ..self };
        // For its panics: now, not in a worker.
        loader.transformed_shape();
        loader
    }

    /// The same images in the order of the set, in batches of `batch_size`; the last may be smaller.
    ///
    /// # Panics
    /// If `batch_size` is 0.
    #[must_use]
    #[track_caller]
    pub fn sequential(self, batch_size: usize) -> Self {
        assert!(batch_size > 0, "Loader: batch size 0; the batch size must be at least 1");
        Self { batch_size, shuffle: false, drop_last: false, ..self }
    }

    /// Batches have these numbers in the place of images: neither transforms nor normalization apply to them.
    #[must_use]
    pub fn features(self, features: Arc<dyn Features>) -> Self {
        Self { features: Some(features), ..self }
    }

    /// Replaces the default normalization to [−1, 1].
    ///
    /// # Panics
    /// If `normalize` has a different number of channels.
    #[must_use]
    #[track_caller]
    pub fn normalize(self, normalize: Normalize) -> Self {
        let [c, h, w] = self.image_shape();
        assert!(
            normalize.channels().is_none_or(|channels| channels == c),
            "Loader: Normalize has {} channels, but the images are (C,H,W) = ({c}, {h}, {w})",
            normalize.channels().unwrap_or(1)
        );
        Self { normalize, ..self }
    }

    /// Mixes each image of a batch with the one before it, and their labels alike: with the weights λ and 1 − λ, where one λ
    /// for each batch is drawn from the beta distribution with both parameters `alpha` (Zhang, Cisse, Dauphin, Lopez-Paz:
    /// "mixup: beyond empirical risk minimization", 2018; `torchvision.transforms.v2.MixUp`). A usual `alpha` is 0.2.
    ///
    /// The λ of a batch is a function of the seed of [`shuffle`](Self::shuffle), the epoch and the batch. The loss is that of
    /// [`Batch::targets`].
    ///
    /// # Panics
    /// If `alpha` is outside 0.001 to 1000, or the batches are for [colorization](Self::colorize).
    #[must_use]
    #[track_caller]
    pub fn mixup(self, alpha: f64) -> Self {
        ranges::check("Loader", "mixup", alpha, 0.001..=1000.0);
        assert!(self.palette.is_none(), "Loader: mixup and colorize: {NO_SHARES}");
        Self { mixup: Some(alpha), ..self }
    }

    /// Makes the batches of colorization from images in RGB: each image in gray, (N, 1, H, W), the [mean](crate::mean_gray) of
    /// its channels after the transforms, and the labels (N, H, W), for each pixel the [nearest](Palette::nearest) color of
    /// the palette. The CPU prepares them.
    ///
    /// Call it before [`normalize`](Self::normalize), which is then that of the gray images.
    ///
    /// # Panics
    /// If the images are not RGB, if they are [mixed](Self::mixup), or if there is a normalization of several channels.
    #[must_use]
    #[track_caller]
    pub fn colorize(self, palette: impl Into<Arc<Palette>>) -> Self {
        let [c, h, w] = self.transformed_shape();
        assert!(
            c == 3,
            "Loader: colorize: the images are (C,H,W) = ({c}, {h}, {w})\n  rule: C = 3, red, green and blue"
        );
        assert!(self.mixup.is_none(), "Loader: mixup and colorize: {NO_SHARES}");
        let normalize = self.normalize.clone();
        Self { palette: Some(palette.into()), ..self }.normalize(normalize)
    }

    /// The colors of the pixels' labels, if the batches are for [colorization](Self::colorize).
    pub fn palette(&self) -> Option<&Palette> {
        self.palette.as_deref()
    }

    /// The device of the batches. If all transforms have a GPU version, the whole set is uploaded once and the GPU prepares
    /// the batches. Otherwise the CPU prepares each batch, in a worker thread if batches are
    /// [prefetched](Self::prefetch), and uploads it asynchronously. The batches are the same either way.
    #[must_use]
    pub fn device(self, device: Device) -> Self {
        Self { device, on_gpu: Arc::default(), ..self }
    }

    /// The transforms for the GPU, if the device is one and all of them have a GPU version.
    fn gpu_steps(&self) -> Option<Vec<ImageStep>> {
        let steps: Option<Vec<ImageStep>> = self.transforms.iter().map(|transform| transform.on_gpu()).collect();
        let of_pixels = self.device != Device::Cpu && self.features.is_none() && self.palette.is_none();
        steps.filter(|steps| of_pixels && steps.len() <= MAX_IMAGE_STEPS)
    }

    /// The set of images.
    pub fn images(&self) -> &Images {
        &self.images
    }

    /// The shape (C, H, W) of the images in a batch.
    pub fn image_shape(&self) -> [usize; 3] {
        if let Some(features) = &self.features {
            return features.shape();
        }
        let [c, h, w] = self.transformed_shape();
        [if self.palette.is_some() { 1 } else { c }, h, w]
    }

    /// The shape (C, H, W) of the images after the transforms.
    fn transformed_shape(&self) -> [usize; 3] {
        self.transforms.iter().fold(self.images.image_shape(), |shape, transform| transform.output_shape(shape))
    }

    /// The number of images in a batch; the last batch may be smaller.
    pub fn batch_size(&self) -> usize {
        self.batch_size
    }

    /// The number of batches in an epoch.
    pub fn batches(&self) -> usize {
        let n = self.images.len();
        if self.drop_last { n / self.batch_size } else { n.div_ceil(self.batch_size) }
    }

    /// The number of threads that prefetch batches.
    pub(crate) fn workers(&self) -> usize {
        self.workers
    }

    /// The sample indices (N) in the order of an epoch.
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
