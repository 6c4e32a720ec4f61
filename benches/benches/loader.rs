//! Images per second of the loader with and without transforms, for each number of prefetching threads; the cost of each
//! transform alone; and how long a training step waits for its batch. On random images of 3×32×32, batch 64.
//!
//! `cargo bench -p chainrule-benches --bench loader`

use std::time::{Duration, Instant};

use chainrule::data::{
    ColorJitter, Cutout, Images, Interpolation, Loader, PaddingMode, RandomAffine, RandomCrop, RandomHorizontalFlip,
    RandomRotation, Resize, Transform,
};
use chainrule::nets::{ReportOptions, Small, SmallOptions, report};
use chainrule::prelude::*;

type Transforms = Vec<Box<dyn Transform>>;
type Set = (&'static str, fn() -> Transforms);

const BATCH: usize = 64;
const IMAGES: usize = 4096;

fn images() -> Images {
    let mut rng = Rng::seed(0);
    let pixels = (0..IMAGES * 3 * 32 * 32).map(|_| rng.next_u32() as u8).collect();
    let labels = (0..IMAGES).map(|i| (i % 10) as u8).collect();
    let classes = (0..10).map(|class| class.to_string()).collect();
    Images::new(pixels, [IMAGES, 3, 32, 32], labels, classes).expect("as many as the shape says")
}

fn crop_and_flip() -> Transforms {
    vec![Box::new(RandomCrop::padded(4)), Box::new(RandomHorizontalFlip)]
}

/// Those of the student's report that `nets::report` comes from.
fn of_the_report() -> Transforms {
    vec![
        Box::new(RandomHorizontalFlip),
        Box::new(RandomRotation::new(-10.0..=10.0)),
        Box::new(RandomAffine::new(0.0..=0.0).shear(-10.0..=10.0, 0.0..=0.0).scale(0.8..=1.2)),
        Box::new(ColorJitter::new(0.2, 0.2, 0.2, 0.0)),
    ]
}

/// The best of five passes over the images: images per second, and the duration of one.
fn rate(loader: &Loader) -> (f64, Duration) {
    let pass = |epoch| {
        let start = Instant::now();
        assert_eq!(loader.epoch(epoch).map(|batch| batch.labels.numel()).sum::<usize>(), IMAGES);
        start.elapsed()
    };
    let best = (0..5).map(pass).min().expect("five passes");
    (IMAGES as f64 / best.as_secs_f64(), best)
}

/// The share of the time of 40 training steps that is spent waiting for a batch, and images per second.
fn waiting(net: &dyn Module, loader: &Loader) -> (f64, f64) {
    let mut adam = Adam::new(net.parameters(), 1e-3);
    let mut batches = loader.epoch(0);
    let mut run = |steps: usize| {
        let (start, mut waited) = (Instant::now(), Duration::ZERO);
        for _ in 0..steps {
            let before = Instant::now();
            let batch = batches.next().expect("enough batches");
            waited += before.elapsed();
            let loss = net.forward(&Var::constant(batch.images)).cross_entropy(&batch.labels);
            adam.step(&loss.backward());
        }
        (waited.as_secs_f64(), start.elapsed().as_secs_f64())
    };
    run(8);
    let (waited, whole) = run(40);
    (waited / whole, (40 * BATCH) as f64 / whole)
}

fn main() {
    let plain = Loader::new(images(), BATCH).shuffle(0);
    let sets: [Set; 3] = [("none", Vec::new), ("crop and flip", crop_and_flip), ("the report's", of_the_report)];

    println!("{:<28} {:>12} {:>12} {:>12}", "images/s by threads", "0", "1", "2");
    for (name, transforms) in sets {
        let loader = plain.clone().transforms(transforms());
        let rates = [0, 1, 2].map(|workers| rate(&loader.clone().prefetch(workers)).0);
        println!("{name:<28} {:>12.0} {:>12.0} {:>12.0}", rates[0], rates[1], rates[2]);
    }

    let affine = || RandomAffine::new(-10.0..=10.0).translate(0.1, 0.1).scale(0.8..=1.2).shear(-10.0..=10.0, 0.0..=0.0);
    let alone: Vec<(&str, Box<dyn Transform>)> = vec![
        ("flip", Box::new(RandomHorizontalFlip)),
        ("crop, zeros", Box::new(RandomCrop::padded(4))),
        ("crop, reflected", Box::new(RandomCrop::padded(4).padding_mode(PaddingMode::Reflect))),
        ("rotation, nearest", Box::new(RandomRotation::new(-10.0..=10.0))),
        ("affine, nearest", Box::new(affine())),
        ("affine, bilinear", Box::new(affine().interpolation(Interpolation::Bilinear))),
        ("brightness", Box::new(ColorJitter::new(0.2, 0.0, 0.0, 0.0))),
        ("contrast", Box::new(ColorJitter::new(0.0, 0.2, 0.0, 0.0))),
        ("saturation", Box::new(ColorJitter::new(0.0, 0.0, 0.2, 0.0))),
        ("hue", Box::new(ColorJitter::new(0.0, 0.0, 0.0, 0.1))),
        ("cutout", Box::new(Cutout::new(16))),
        ("resize to 40×40", Box::new(Resize::new([40, 40]))),
    ];
    println!("\n{:<28} {:>12}", "µs for each image", "");
    let per_image = |loader: &Loader| rate(loader).1.as_secs_f64() * 1e6 / IMAGES as f64;
    let base = per_image(&plain);
    println!("{:<28} {base:>12.2}", "copy and normalize");
    for (name, transform) in alone {
        println!("{name:<28} {:>12.2}", per_image(&plain.clone().transforms(vec![transform])) - base);
    }

    println!("\n{:<28} {:>12} {:>12} {:>12}", "training, images/s (waiting)", "0", "1", "2");
    let rng = &mut Rng::seed(0);
    let small: Small = Small::new([3, 32, 32], 10, SmallOptions::default(), rng);
    let report: Sequential = report([3, 32, 32], 10, ReportOptions::default(), rng).expect("it fits");
    for (net_name, net) in [("small", &small as &dyn Module), ("report", &report)] {
        for (name, transforms) in sets {
            let loader = plain.clone().transforms(transforms());
            let cells = [0, 1, 2].map(|workers| {
                let (share, rate) = waiting(net, &loader.clone().prefetch(workers));
                format!("{rate:.0} ({:.1} %)", 100.0 * share)
            });
            println!("{:<28} {:>12} {:>12} {:>12}", format!("{net_name}, {name}"), cells[0], cells[1], cells[2]);
        }
    }
}
