//! What the frozen first stages of a net compute from each image: computed once, and kept on disk.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::{Arc, Mutex};

use chainrule::data::{Features, Loader};
use chainrule::nn::{Visitor, chain};
use chainrule::prelude::*;
use indicatif::{ProgressBar, ProgressStyle};
use safetensors::tensor::{Dtype, Metadata, TensorView};

use super::interrupt;
use super::options::Options;
use super::transfer::Trained;
use super::views::TestViews;
use crate::failure::Failure;

/// Images in a file.
const CHUNK: usize = 500;
/// Images in a pass through the net.
const BATCH: usize = 50;
/// The name of the tensor in a file, (N, C, H, W).
const NAME: &str = "features";

/// If features are to be cached: computes those of the images of all loaders, which give them from then on, and the net that
/// takes them.
///
/// # Errors
/// If an image is not the same in every epoch, or as [`Tail::of`] and [`Stored::load`].
pub fn cached<'a>(
    options: &Options,
    net: &'a dyn Module,
    trained: &Trained,
    loaders: &mut [(&str, &mut Loader)],
    device: Device,
) -> Result<Option<Tail<'a>>, Failure> {
    let Some(directory) = &options.transfer.cache_features else { return Ok(None) };
    if options.data.varies() || options.test.test_views != TestViews::One {
        return Err(Failure::Usage(
            "--cache-features: every epoch must see the same images; leave out --augment, --mixup and --test-views"
                .into(),
        ));
    }
    interrupt::watch()?;
    net.eval();
    let tail = Tail::of(net, trained, loaders[0].1.image_shape())?;
    let preparation = format!("{} {}", options.data.preparation(), options.compute.arithmetic(device));
    let folder = directory.join(tail.folder(&preparation));
    for (set, loader) in loaders {
        let name = format!("{set}-{:08x}", crc32fast::hash(loader.images().pixels()));
        let stored = Stored::load(&tail, &loader.clone().sequential(BATCH), &folder, &name)?;
        let features = Arc::new(stored);
        **loader = loader.clone().features(features);
    }
    Ok(Some(tail))
}

/// The stages of a net from one on. Its parameters and state are those of the whole net, so a checkpoint has all of them.
pub struct Tail<'a> {
    net: &'a dyn Module,
    first: usize,
}

impl<'a> Tail<'a> {
    /// The net without the frozen stages that come before the first trained one. It begins where what comes in is still an
    /// image (N,C,H,W).
    ///
    /// # Errors
    /// If the first stage is trained, the net has no stages, or does not accept images of `[channels, height, width]`.
    pub fn of(net: &'a dyn Module, trained: &Trained, image: [usize; 3]) -> Result<Self, Failure> {
        let names: Vec<String> = net.named_parameters().into_iter().map(|(name, _)| name).collect();
        let is_trained = |stage: &str| {
            names.iter().any(|name| {
                let (first, _) = name.split_once('.').unwrap_or((name, ""));
                first == stage && trained.has(name)
            })
        };
        let stages = net.stages();
        let frozen = stages.iter().take_while(|(stage, _)| !is_trained(stage)).count();
        let [c, h, w] = image;
        let (mut shape, mut first) = (Shape::from([1, c, h, w]), 0);
        for (i, (_, stage)) in stages[..frozen].iter().enumerate() {
            shape = stage.output_shape(shape)?;
            if shape.rank() == 4 {
                first = i + 1;
            }
        }
        if first == 0 {
            return Err(Failure::Usage(
                "--cache-features: no frozen layer comes before the first one that --train trains".into(),
            ));
        }
        Ok(Self { net, first })
    }

    /// The stages before.
    fn before(&self) -> Vec<(String, &dyn Module)> {
        let mut stages = self.net.stages();
        stages.truncate(self.first);
        stages
    }

    /// A name for a folder, of what the features depend on besides the images.
    fn folder(&self, preparation: &str) -> String {
        let before: Vec<&dyn Module> = self.before().into_iter().map(|(_, stage)| stage).collect();
        let (stage, _) = self.net.stages().swap_remove(self.first);
        let (weights, preparation) = (weights_sha256(&before), crc32fast::hash(preparation.as_bytes()));
        format!("before-{stage}-{}-{preparation:08x}", &weights[..16])
    }

    fn after(&self) -> Vec<(String, &dyn Module)> {
        self.net.stages().split_off(self.first)
    }
}

impl Module for Tail<'_> {
    fn forward(&self, x: &Var) -> Var {
        let stages: Vec<&dyn Module> = self.after().into_iter().map(|(_, stage)| stage).collect();
        chain(x, &stages)
    }

    fn output_shape(&self, x: Shape) -> Result<Shape, ShapeError> {
        self.after().into_iter().try_fold(x, |x, (_, stage)| stage.output_shape(x))
    }

    fn visit(&self, visitor: &mut Visitor<'_, f32>) {
        self.net.visit(visitor);
    }
}

/// The features of a set of images, in files of a directory.
#[derive(Debug)]
pub struct Stored {
    shape: [usize; 3],
    files: Vec<Mutex<File>>,
    /// Where the numbers begin in the files.
    starts: Vec<u64>,
}

impl Stored {
    /// The features that `tail` begins with, of the images of a loader: read from the files of `folder` whose names begin with
    /// `name`, where they are complete, else computed and saved.
    ///
    /// # Errors
    /// If the files cannot be written, or the user interrupts; files that are complete are used the next time.
    pub fn load(tail: &Tail<'_>, loader: &Loader, folder: &Path, name: &str) -> Result<Self, Failure> {
        fs::create_dir_all(folder).map_err(|why| Failure::Run(format!("cannot write {}: {why}", folder.display())))?;
        let [c, h, w] = loader.image_shape();
        let shape =
            tail.before().into_iter().try_fold(Shape::from([1, c, h, w]), |x, (_, stage)| stage.output_shape(x))?;
        let shape: [usize; 3] = shape[1..].try_into().expect("a tail begins with images");
        let count = loader.images().len();
        let mut batches = Batches { loader, next: 0, epoch: None };
        let mut stored = Self { shape, files: Vec::new(), starts: Vec::new() };
        let style = ProgressStyle::with_template("features {msg} {wide_bar} {pos}/{len} images, {eta} left");
        let bar = ProgressBar::new(count as u64).with_style(style.expect("the template is a valid one"));
        bar.set_message(name.to_owned());
        for chunk in 0..count.div_ceil(CHUNK) {
            let images = chunk * CHUNK..((chunk + 1) * CHUNK).min(count);
            let path = folder.join(format!("{name}-{chunk:05}.safetensors"));
            let expected = [&[images.len()], &shape[..]].concat();
            if open(&path, &expected).is_none() {
                let features = batches.features(tail, images.clone(), &bar)?;
                save(&path, &features, &expected)?;
            }
            bar.set_position(images.end as u64);
            let (file, start) = open(&path, &expected).ok_or_else(|| {
                Failure::Run(format!("{} was changed while it was read; start again", path.display()))
            })?;
            stored.files.push(Mutex::new(file));
            stored.starts.push(start);
        }
        bar.finish_and_clear();
        Ok(stored)
    }
}

impl Features for Stored {
    fn shape(&self) -> [usize; 3] {
        self.shape
    }

    fn read(&self, image: usize, to: &mut [f32]) {
        let (chunk, row) = (image / CHUNK, image % CHUNK);
        let mut bytes = vec![0; size_of_val(to)];
        let mut file = self.files[chunk].lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let at = self.starts[chunk] + (row * bytes.len()) as u64;
        let read = file.seek(SeekFrom::Start(at)).and_then(|_| file.read_exact(&mut bytes));
        // Its length was right when it was opened.
        read.unwrap_or_else(|why| panic!("the cache of features was damaged during the run: {why}"));
        for (y, bytes) in to.iter_mut().zip(bytes.as_chunks().0) {
            *y = f32::from_le_bytes(*bytes);
        }
    }
}

/// The images of a loader in their order, from any one on.
struct Batches<'a> {
    loader: &'a Loader,
    next: usize,
    epoch: Option<chainrule::data::Epoch>,
}

impl Batches<'_> {
    /// The features of some images, whose first is a multiple of the batch size.
    fn features(
        &mut self,
        tail: &Tail<'_>,
        images: std::ops::Range<usize>,
        bar: &ProgressBar,
    ) -> Result<Vec<f32>, Failure> {
        if self.next != images.start || self.epoch.is_none() {
            self.epoch = Some(self.loader.epoch_from(0, images.start / BATCH));
            self.next = images.start;
        }
        let epoch = self.epoch.as_mut().expect("it was set");
        let stages = tail.before();
        let stages: Vec<&dyn Module> = stages.iter().map(|(_, stage)| *stage).collect();
        let mut features = Vec::new();
        while self.next < images.end {
            if interrupt::requested() {
                return Err(Failure::Interrupted(format!(
                    "interrupted while features were computed; to go on:\n  {}",
                    interrupt::command_line()
                )));
            }
            let batch = epoch.next().expect("there are as many batches as images");
            features.extend(no_grad(|| chain(&Var::constant(batch.images), &stages)).value().to_vec());
            self.next += batch.labels.numel();
            bar.set_position(self.next as u64);
        }
        Ok(features)
    }
}

/// A file of features and where its numbers begin, if it is complete.
fn open(path: &Path, shape: &[usize]) -> Option<(File, u64)> {
    let mut file = File::open(path).ok()?;
    let mut length = [0; size_of::<u64>()];
    file.read_exact(&mut length).ok()?;
    let header = u64::from_le_bytes(length);
    let mut text = Vec::new();
    // A longer header is not that of one of these files.
    (&mut file).take(header.min(4096)).read_to_end(&mut text).ok()?;
    let metadata: Metadata = serde_json::from_slice(&text).ok()?;
    let info = metadata.info(NAME)?;
    let bytes = shape.iter().product::<usize>() * size_of::<f32>();
    let fits = info.dtype == Dtype::F32 && info.shape == shape && info.data_offsets == (0, bytes);
    let start = size_of::<u64>() as u64 + header;
    (fits && file.metadata().ok()?.len() == start + bytes as u64).then_some((file, start))
}

/// Writes a file of features whole or not at all.
fn save(path: &Path, features: &[f32], shape: &[usize]) -> Result<(), Failure> {
    let bytes: Vec<u8> = features.iter().flat_map(|x| x.to_le_bytes()).collect();
    let view = TensorView::new(Dtype::F32, shape.to_vec(), &bytes)?;
    let bytes = safetensors::serialize([(NAME, view)], None)?;
    let temporary = path.with_extension("part");
    let written = fs::write(&temporary, bytes).and_then(|()| fs::rename(&temporary, path));
    written.map_err(|why: io::Error| {
        let _ = fs::remove_file(&temporary);
        Failure::Run(format!("cannot write {}: {why}", path.display()))
    })
}
