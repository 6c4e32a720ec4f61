//! Transforms in a loader: the same pixels on any number of workers, other ones in other epochs, and images that change shape.

use std::panic::{AssertUnwindSafe, catch_unwind};

use chainrule_data::{
    AlternatingFlip, CenterCrop, ColorJitter, Cutout, Images, Interpolation, Invert, Loader, Normalize, PaddingMode,
    RandomAffine, RandomCrop, RandomHorizontalFlip, RandomRotation, Resize, Transform,
};

fn images(shape: [usize; 4]) -> Images {
    let pixels = (0..shape.iter().product::<usize>()).map(|i| (i * i * 7 + i * 37 + i / 13 * 91) as u8).collect();
    Images::new(pixels, shape, vec![0; shape[0]], vec!["one".to_owned()]).expect("as many pixels as the shape has")
}

fn loader(shape: [usize; 4], transforms: Vec<Box<dyn Transform>>) -> Loader {
    Loader::new(images(shape), 4).shuffle(3).normalize(Normalize::to_unit()).transforms(transforms)
}

fn pixels(loader: &Loader, epoch: u32) -> Vec<f32> {
    loader.epoch(epoch).flat_map(|batch| batch.images.to_vec()).collect()
}

fn random(name: &str) -> Box<dyn Transform> {
    match name {
        "crop" => Box::new(RandomCrop::padded(3).padding_mode(PaddingMode::Reflect)),
        "window" => Box::new(RandomCrop::new([7, 6])),
        "flip" => Box::new(RandomHorizontalFlip),
        "rotation" => Box::new(RandomRotation::new(-40.0..=40.0).interpolation(Interpolation::Bilinear)),
        "affine" => {
            let affine = RandomAffine::new(-10.0..=10.0).translate(0.2, 0.2).scale(0.8..=1.2);
            Box::new(affine.shear(-10.0..=10.0, -5.0..=5.0))
        }
        "color" => Box::new(ColorJitter::new(0.4, 0.4, 0.4, 0.1)),
        "cutout" => Box::new(Cutout::new(4)),
        other => panic!("no transform {other}"),
    }
}

const RANDOM: [&str; 7] = ["crop", "window", "flip", "rotation", "affine", "color", "cutout"];

#[test]
fn workers_change_nothing_and_epochs_and_seeds_do() {
    let all = || RANDOM.map(random).into_iter().collect();
    let alone = RANDOM.map(|name| vec![random(name)]);
    for transforms in alone.into_iter().chain([all()]) {
        let loader = loader([22, 3, 12, 10], transforms);
        // The order is the same, so that only the transforms can differ.
        let first = pixels(&loader, 0);
        for workers in [0, 1, 3] {
            assert_eq!(pixels(&loader.clone().prefetch(workers), 0), first, "{loader:?}, {workers} workers");
        }
        assert_ne!(pixels(&loader, 1), first);
        assert_ne!(pixels(&loader.clone().shuffle(4), 0), first);
    }
}

/// Without the shuffle: each transform draws anew for each image and epoch.
#[test]
fn each_image_and_epoch_has_its_own_draw() {
    for name in RANDOM {
        // 24 copies of one image.
        let one = images([1, 3, 12, 10]);
        let copies = Images::new(one.pixels().repeat(24), [24, 3, 12, 10], vec![0; 24], vec!["one".to_owned()]);
        let loader = Loader::new(copies.expect("24 images"), 4).transforms(vec![random(name)]);
        let (first, second) = (pixels(&loader, 0), pixels(&loader, 1));
        assert_ne!(first, second, "{name}: the epochs agree");
        let size = first.len() / 24;
        assert!(first.chunks(size).any(|image| image != &first[..size]), "{name}: all images agree");
    }
}

/// What a loader says of a sample's origin is enough for a transform that depends on the epoch.
#[test]
fn alternating_flips_mirror_each_image_in_every_other_epoch() {
    let shape = [40, 1, 2, 3];
    let loader = |seed| {
        let transforms: Vec<Box<dyn Transform>> = vec![Box::new(AlternatingFlip)];
        Loader::new(images(shape), 7)
            .shuffle(seed)
            .normalize(Normalize::new(&[(0.0, 1.0 / 255.0)]))
            .transforms(transforms)
    };
    // The images of each epoch in the order of the set.
    let in_order = |loader: &Loader, epoch| {
        let (pixels, mut ordered) = (pixels(loader, epoch), vec![Vec::new(); 40]);
        for (&index, image) in loader.order(epoch).iter().zip(pixels.chunks(6)) {
            ordered[index as usize] = image.iter().map(|x| x.round() as u8).collect();
        }
        ordered
    };
    let mirror = |image: &[u8]| -> Vec<u8> { image.chunks(3).flat_map(|row| row.iter().rev().copied()).collect() };
    let first = in_order(&loader(3), 0);
    let flips: Vec<bool> = first.iter().enumerate().map(|(i, image)| image != images(shape).image(i)).collect();
    assert!((8..32).contains(&flips.iter().filter(|&&flip| flip).count()), "{flips:?}");
    for workers in [0, 1, 3] {
        let loader = loader(3).prefetch(workers);
        let mirrored: Vec<Vec<u8>> = first.iter().map(|image| mirror(image)).collect();
        assert_eq!([0, 1, 2].map(|epoch| in_order(&loader, epoch)), [first.clone(), mirrored, first.clone()]);
    }
    assert_ne!(in_order(&loader(4), 0), first);
}

#[test]
fn images_may_change_their_shape_on_the_way() {
    let loader = loader(
        [5, 1, 9, 14],
        vec![
            Box::new(Resize::shorter_side(12)),
            Box::new(CenterCrop::new([11, 13])),
            Box::new(RandomCrop::new([8, 10]).padding(1)),
            Box::new(Invert),
        ],
    );
    assert_eq!(loader.image_shape(), [1, 8, 10]);
    let shapes: Vec<_> = loader.prefetch(2).epoch(0).map(|batch| batch.images.shape().to_vec()).collect();
    assert_eq!(shapes, [[4, 1, 8, 10], [1, 1, 8, 10]]);
}

#[test]
fn a_transform_that_cannot_take_the_images_fails_before_the_first_batch() {
    let panic = catch_unwind(AssertUnwindSafe(|| {
        loader([5, 1, 9, 14], vec![Box::new(Resize::new([6, 6])), Box::new(RandomCrop::new([8, 4]))])
    }));
    assert_eq!(
        panic.expect_err("it panics").downcast_ref::<String>().expect("a formatted text"),
        "RandomCrop: the window (H,W) = (8, 4) is larger than the images, (C,H,W) = (1, 6, 6) with padding 0\n  \
         rule: window ≤ image + 2·padding"
    );
}
