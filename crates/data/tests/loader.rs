//! The loader: every sample once, the same batches on any number of threads, resuming, and early drop.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use chainrule_data::{
    Batch, Images, Loader, Normalize, Palette, RandomCrop, RandomHorizontalFlip, Sample, Transform, mean_gray,
};
use chainrule_tensor::{ImageStep, Key, Purpose, Rng, TensorOf};
use proptest::prelude::*;

/// `n` images of (1, 2, 3); every pixel is the index of its image.
fn numbered(n: usize) -> Arc<Images> {
    let pixels = (0..n * 6).map(|i| (i / 6) as u8).collect();
    let labels = (0..n).map(|i| (i % 7) as u8).collect();
    Arc::new(Images::new(pixels, [n, 1, 2, 3], labels, (0..7).map(|c| format!("c{c}")).collect()).unwrap())
}

fn bits(batches: impl Iterator<Item = Batch>) -> Vec<(usize, Vec<u32>, Vec<i32>)> {
    batches.map(|b| (b.index, b.images.to_vec().iter().map(|x| x.to_bits()).collect(), b.labels.to_vec())).collect()
}

fn augmented(images: &Arc<Images>, batch_size: usize, seed: u64) -> Loader {
    Loader::new(Arc::clone(images), batch_size)
        .shuffle(seed)
        .transforms(vec![Box::new(RandomCrop::padded(1)), Box::new(RandomHorizontalFlip)])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn order_is_a_permutation_and_a_function_of_seed_and_epoch(n in 1_usize..200, seed: u64, epoch: u32) {
        let loader = Loader::new(numbered(n), 4).shuffle(seed);
        let order = loader.order(epoch);
        prop_assert_eq!(&order, &loader.order(epoch));
        let mut sorted = order;
        sorted.sort_unstable();
        prop_assert_eq!(sorted, (0..n as u32).collect::<Vec<_>>());
    }

    #[test]
    fn every_sample_appears_once_with_its_label(n in 1_usize..100, batch_size in 1_usize..40, drop_last: bool) {
        prop_assume!(!drop_last || batch_size <= n);
        let loader = Loader::new(numbered(n), batch_size)
            .shuffle(5)
            .drop_last(drop_last)
            .normalize(Normalize::to_unit());
        let mut seen = Vec::new();
        for (index, batch) in loader.epoch(3).enumerate() {
            prop_assert_eq!(batch.index, index);
            let pixels = batch.images.to_vec();
            for (pixels, label) in pixels.chunks(6).zip(batch.labels.to_vec()) {
                let image = (pixels[0] * 255.0).round() as usize;
                prop_assert!(pixels.iter().all(|&x| x == pixels[0]));
                prop_assert_eq!(label, (image % 7) as i32);
                seen.push(image);
            }
        }
        let expected = if drop_last { n / batch_size * batch_size } else { n };
        prop_assert_eq!(seen.len(), expected);
        seen.sort_unstable();
        seen.dedup();
        prop_assert_eq!(seen.len(), expected);
    }

    #[test]
    fn prefetching_and_resuming_change_nothing(
        n in 1_usize..60, batch_size in 1_usize..20, workers in 1_usize..4, seed: u64, epoch in 0_u32..5, skip in 0_usize..60,
    ) {
        let loader = augmented(&numbered(n), batch_size, seed);
        let whole = bits(loader.epoch(epoch));
        prop_assert_eq!(whole.len(), loader.batches());
        let first = skip % (whole.len() + 1);
        let tail = bits(loader.prefetch(workers).epoch_from(epoch, first));
        prop_assert_eq!(&whole[first..], &tail[..]);
    }
}

/// Batches of 7, the last of 3: parts of some are empty.
#[test]
fn the_parts_of_batches_are_the_batches() {
    let images = numbered(24);
    for loader in [augmented(&images, 7, 5), augmented(&images, 7, 5).mixup(0.4)] {
        for of in [1, 2, 4] {
            let mut parts: Vec<_> =
                (0..of).map(|part| loader.clone().part(part, of).prefetch(part % 2).epoch(3)).collect();
            for whole in loader.epoch(3) {
                let of_batch: Vec<Batch> = parts.iter_mut().map(|part| part.next().expect("as many")).collect();
                assert!(of_batch.iter().all(|part| part.index == whole.index));
                let images = of_batch.iter().flat_map(|part| part.images.to_vec());
                assert!(images.eq(whole.images.to_vec()));
                assert!(of_batch.iter().flat_map(|part| part.labels.to_vec()).eq(whole.labels.to_vec()));
                let targets = of_batch.iter().flat_map(|part| part.targets.iter().flat_map(TensorOf::to_vec));
                assert!(targets.eq(whole.targets.iter().flat_map(TensorOf::to_vec)));
                let sizes: Vec<usize> = of_batch.iter().map(|part| part.images.shape()[0]).collect();
                assert!(sizes.iter().max() <= sizes.iter().min().map(|min| min + 1).as_ref(), "{sizes:?}");
            }
        }
    }
}

#[test]
fn skipped_batches_leave_the_others_as_they_are() {
    let loader = augmented(&numbered(24), 7, 5);
    let all = bits(loader.epoch(1));
    for workers in [0, 2] {
        let every_second = bits(loader.clone().prefetch(workers).epoch(1).skip(1).step_by(2));
        assert_eq!(every_second, [all[1].clone(), all[3].clone()]);
        assert!(loader.clone().prefetch(workers).epoch(1).nth(4).is_none());
    }
}

#[test]
fn epochs_and_seeds_differ() {
    let loader = Loader::new(numbered(50), 5).shuffle(1);
    assert_ne!(loader.order(0), loader.order(1));
    assert_ne!(loader.order(0), Loader::new(numbered(50), 5).shuffle(2).order(0));
    assert_eq!(Loader::new(numbered(5), 5).order(9), [0, 1, 2, 3, 4]);
}

#[test]
fn order_is_pinned() {
    // A change here changes every published run.
    assert_eq!(Loader::new(numbered(10), 5).shuffle(0).order(0), [0, 9, 3, 2, 1, 4, 5, 7, 6, 8]);
}

#[test]
fn a_samples_transform_does_not_depend_on_its_batch() {
    let images = numbered(40);
    let by_sample = |batch_size: usize| {
        let loader = augmented(&images, batch_size, 3);
        let pixels: Vec<f32> = loader.epoch(2).flat_map(|batch| batch.images.to_vec()).collect();
        pixels
    };
    assert_eq!(by_sample(1), by_sample(7));
    let other_epoch: Vec<f32> = augmented(&images, 7, 3).epoch(1).flat_map(|batch| batch.images.to_vec()).collect();
    assert_ne!(by_sample(7), other_epoch);
}

/// The kernel that makes a batch at once, on a GPU for the loader, gives what the transforms give one by one.
#[test]
fn the_kernel_for_batches_does_what_transforms_do() {
    let classes = vec!["one".to_owned()];
    let pixels = (0..9 * 40).map(|i| (i * 7 % 251) as u8).collect();
    let images = Arc::new(Images::new(pixels, [9, 2, 5, 4], vec![0; 9], classes.clone()).unwrap());
    let bytes = Images::new((0..=255).collect(), [1, 1, 16, 16], vec![0], classes).unwrap();
    let table = Loader::new(bytes, 1).epoch(0).next().expect("a batch").images.to_vec();
    let loader = Loader::new(Arc::clone(&images), 5)
        .shuffle(11)
        .transforms(vec![Box::new(RandomCrop::padded(3)), Box::new(RandomHorizontalFlip)]);
    let purpose = |position: u32| Purpose(Purpose::AUGMENT.0 | position << 8);
    let steps = [(ImageStep::Crop { padding: 3 }, purpose(0)), (ImageStep::Flip, purpose(1))];
    let order: Vec<i32> = loader.order(2).iter().map(|&sample| sample as i32).collect();
    let found = TensorOf::from_slice(images.pixels(), images.shape()).image_batch(
        &order.into(),
        &[table.try_into().expect("a number for each byte")],
        &steps,
        Key::new(11, purpose(0)).at_step(2),
    );
    let expected: Vec<f32> = loader.epoch(2).flat_map(|batch| batch.images.to_vec()).collect();
    assert_eq!(found.to_vec(), expected);
}

#[test]
fn mixed_batches_are_the_same_on_any_number_of_workers_and_agree_with_their_targets() {
    // Each image is white in the row of its class, so the targets can be read from the pixels.
    let labels: Vec<u8> = (0..20).map(|i| (i * i % 3) as u8).collect();
    let pixels = labels.iter().flat_map(|&label| (0..3).map(move |row| if row == label { 255 } else { 0 })).collect();
    let images = Images::new(pixels, [20, 1, 3, 1], labels, ["a", "b", "c"].map(String::from).to_vec()).unwrap();
    let plain = Loader::new(images, 8).shuffle(4).normalize(Normalize::to_unit());
    let mixed = plain.clone().mixup(0.4);
    let targets = |loader: &Loader, epoch| -> Vec<Vec<f32>> {
        loader.epoch(epoch).map(|batch| batch.targets.expect("targets").to_vec()).collect()
    };
    let first = targets(&mixed, 0);
    for (batch, unmixed) in mixed.epoch(0).zip(plain.epoch(0)) {
        assert!(unmixed.targets.is_none());
        assert_eq!(batch.labels.to_vec(), unmixed.labels.to_vec());
        let targets = batch.targets.expect("targets");
        assert_eq!(targets.shape(), [batch.labels.numel(), 3]);
        assert_eq!(targets.to_vec(), batch.images.to_vec());
        assert!(targets.to_vec().chunks(3).all(|row| (row.iter().sum::<f32>() - 1.0).abs() < 1e-6));
    }
    for workers in [1, 3] {
        assert_eq!(bits(mixed.clone().prefetch(workers).epoch(0)), bits(mixed.epoch(0)));
        assert_eq!(targets(&mixed.clone().prefetch(workers), 0), first);
    }
    let resumed: Vec<Vec<f32>> = mixed.epoch_from(0, 1).map(|batch| batch.targets.expect("targets").to_vec()).collect();
    assert_eq!(resumed, first[1..]);
    assert_ne!(targets(&mixed, 1), first);
    // Each batch has a weight of its own: the shares of other classes than the image's own.
    let largest = |batch: &Vec<f32>| batch.iter().fold(0.0, |a: f32, &x| if x < 1.0 { a.max(x) } else { a });
    assert_ne!(largest(&first[0]), largest(&first[1]));
}

/// Counts images; panics at one of them.
#[derive(Debug)]
struct Watched {
    made: Arc<AtomicUsize>,
    panic_at: Option<u8>,
}

impl Transform for Watched {
    fn apply(&self, sample: &mut Sample, _rng: &mut Rng) {
        self.made.fetch_add(1, Ordering::SeqCst);
        assert!(self.panic_at != Some(sample.pixels()[0]), "image {} fails", sample.pixels()[0]);
    }
}

fn watched(n: usize, panic_at: Option<u8>) -> (Loader, Arc<AtomicUsize>) {
    let made = Arc::new(AtomicUsize::new(0));
    let transform = Watched { made: Arc::clone(&made), panic_at };
    (Loader::new(numbered(n), 1).prefetch(2).transforms(vec![Box::new(transform)]), made)
}

#[test]
fn a_panic_in_a_worker_is_propagated_at_its_batch() {
    let (loader, _) = watched(20, Some(7));
    let mut epoch = loader.epoch(0);
    assert_eq!(epoch.by_ref().take(7).count(), 7);
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| epoch.next())).unwrap_err();
    assert_eq!(panic.downcast_ref::<String>().unwrap(), "image 7 fails");
}

#[test]
fn dropping_an_epoch_stops_its_threads() {
    let (loader, made) = watched(200, None);
    let mut epoch = loader.epoch(0);
    epoch.next();
    // Drop joins the threads; no batch is prepared afterwards.
    drop(epoch);
    let after = made.load(Ordering::SeqCst);
    assert!((1..20).contains(&after), "{after} images prepared for one consumed batch");
    assert_eq!(Arc::strong_count(&made), 2, "held by the loader's transform and this test, not by a thread");
}

#[test]
fn bounds_are_checked() {
    let text = |f: &dyn Fn()| {
        let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).unwrap_err();
        panic.downcast_ref::<String>().cloned().unwrap_or_else(|| panic.downcast_ref::<&str>().unwrap().to_string())
    };
    assert_eq!(text(&|| drop(Loader::new(numbered(3), 0))), "Loader: batch size 0; the batch size must be at least 1");
    assert_eq!(
        text(&|| drop(Loader::new(numbered(3), 4).drop_last(true))),
        "Loader: drop_last leaves no batch: the batch size 4 is larger than the set of 3 images"
    );
    assert_eq!(
        text(&|| drop(Loader::new(numbered(3), 2).epoch_from(1, 3))),
        "Loader: epoch 1 has 2 batches, cannot start at batch 3"
    );
    assert_eq!(
        text(&|| drop(Loader::new(numbered(3), 2).normalize(Normalize::new(&[(0.0, 1.0); 3])))),
        "Loader: Normalize has 3 channels, but the images are (C,H,W) = (1, 2, 3)"
    );
    assert_eq!(
        text(&|| drop(Loader::new(numbered(3), 2).mixup(0.0))),
        "Loader: mixup is 0\n  rule: 0.001 ≤ mixup ≤ 1000"
    );
    assert_eq!(Loader::new(numbered(3), 2).epoch_from(0, 2).count(), 0);
}

/// `n` images of (3, 4, 5), all different.
fn colored(n: usize) -> Images {
    let pixels = (0..n * 60).map(|i| (i * i * 7 + i) as u8).collect();
    Images::new(pixels, [n, 3, 4, 5], vec![0; n], vec!["one".into()]).unwrap()
}

#[test]
fn colorized_batches_have_the_gray_image_and_the_color_of_each_pixel_after_the_transforms() {
    let images = colored(5);
    let palette = Palette::of(&images, 6, 0).unwrap();
    let loader = Loader::new(images.clone(), 2).colorize(palette.clone()).normalize(Normalize::to_unit());
    assert_eq!(loader.image_shape(), [1, 4, 5]);
    for batch in loader.epoch(0) {
        let n = batch.images.shape()[0];
        assert_eq!((batch.images.shape(), batch.labels.shape()), ([n, 1, 4, 5].into(), [n, 4, 5].into()));
        let (values, labels) = (batch.images.to_vec(), batch.labels.to_vec());
        for k in 0..n {
            let pixels = images.image(2 * batch.index + k);
            let gray: Vec<f32> = mean_gray(pixels).into_iter().map(|x| f32::from(x) / 255.0).collect();
            assert_eq!(values[20 * k..][..20], gray);
            assert_eq!(labels[20 * k..][..20], palette.nearest(pixels));
        }
    }
    // A mirrored image has mirrored labels, and any number of workers makes the same batches.
    let loader = loader.shuffle(3).transforms(vec![Box::new(RandomHorizontalFlip)]);
    let all = bits(loader.epoch(1));
    assert_eq!(all, bits(loader.clone().prefetch(2).epoch(1)));
    let plain: Vec<Vec<i32>> = (0..5).map(|i| palette.nearest(images.image(i))).collect();
    let mirrored = |labels: &[i32]| labels.chunks(5).flat_map(|row| row.iter().rev().copied()).collect::<Vec<i32>>();
    let labels: Vec<i32> = all.into_iter().flat_map(|(_, _, labels)| labels).collect();
    let mut flipped = 0;
    for (labels, &i) in labels.chunks(20).zip(&loader.order(1)) {
        let plain = &plain[i as usize];
        flipped += usize::from(labels == mirrored(plain));
        assert!(labels == plain || labels == mirrored(plain));
    }
    assert!((1..5).contains(&flipped), "{flipped} of 5 are mirrored");
}

#[test]
#[should_panic(expected = "Loader: colorize: the images are (C,H,W) = (1, 2, 3)\n  rule: C = 3, red, green and blue")]
fn gray_images_cannot_be_colorized() {
    let _ = Loader::new(numbered(3), 2).colorize(Palette::new(vec![[0; 3]]));
}

#[test]
#[should_panic(expected = "Loader: mixup and colorize: a pixel has one color as its label, not shares of two")]
fn mixed_images_cannot_be_colorized() {
    let _ = Loader::new(colored(3), 2).mixup(0.2).colorize(Palette::new(vec![[0; 3]]));
}
