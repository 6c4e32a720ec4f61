//! Lesson 5: a custom net on your own images.
//!
//!     cargo run --release --example 05_image_folder [FOLDER]
//!
//! FOLDER contains `train/<class>/*.png` and `test/<class>/*.png` (or jpg), one folder per class, all images of the same size;
//! or only `<class>/*.png`, of which a fifth then becomes the test set.
//! Without it the lesson draws such a folder: stripes across, stripes down and checks of random color, width and position.

use std::error::Error;
use std::path::PathBuf;

use chainrule::data::{Dataset, Images, Loader, RandomHorizontalFlip, image_folder};
use chainrule::prelude::*;

/// A sequence of layers needs no struct. The last pool averages each channel over the whole image, so the net accepts
/// images of any size.
fn net(classes: usize, rng: &mut Rng) -> Sequential {
    Sequential::new()
        .add(Conv2d::builder(3, 8, 3).padding(1).build(rng))
        .add(BatchNorm2d::new(8))
        .add(Activation::Relu)
        .add(MaxPool2d::new(2))
        .add(Conv2d::builder(8, 32, 3).padding(1).build(rng))
        .add(BatchNorm2d::new(32))
        .add(Activation::Relu)
        .add(AdaptiveAvgPool2d([1, 1]))
        .add(Flatten)
        .add(Linear::new(32, classes, rng))
}

fn main() -> Result<(), Box<dyn Error>> {
    let drawn = std::env::temp_dir().join(format!("chainrule-patterns-{}", std::process::id()));
    let folder = if let Some(folder) = std::env::args_os().nth(1) {
        PathBuf::from(folder)
    } else {
        let patterns = Dataset::new("patterns", draw(300, 1)?, draw(90, 2)?)?;
        image_folder::save(&patterns, &drawn)?;
        drawn.clone()
    };
    let dataset = image_folder::load("images", &folder)?;
    // What was passed over, such as images of other formats.
    for note in dataset.notes() {
        println!("note: {note}");
    }
    let classes = dataset.train().classes().to_vec();
    let [channels, height, width] = dataset.train().image_shape();
    println!("{}: {} + {} images of {width}×{height}", classes.join(", "), dataset.train().len(), dataset.test().len());

    let net = net(classes.len(), &mut Rng::seed(0));
    // Checks the shapes of all layers before computing anything, for two images, because batch normalization needs more than
    // one element of each channel.
    net.output_shape(Shape::from([2, channels, height, width]))?;

    let (train, test) = dataset.into_parts();
    // Augmentation: in each epoch a different random half of the images is flipped.
    let train = Loader::new(train, 16).shuffle(0).transforms(vec![Box::new(RandomHorizontalFlip)]);
    let test = Loader::new(test, 30);
    let mut optimizer = Adam::new(net.parameters(), 5e-3);
    for epoch in 0..10 {
        // Batch normalization uses batch statistics in training and running averages in evaluation.
        net.train();
        for batch in train.epoch(epoch) {
            let loss = net.forward(&Var::constant(&batch.images)).cross_entropy(&batch.labels);
            optimizer.step(&loss.backward());
        }
        net.eval();
        let mut correct = 0;
        for batch in test.epoch(0) {
            let logits = no_grad(|| net.forward(&Var::constant(&batch.images)));
            let predicted = logits.value().argmax(1).to_vec();
            correct += predicted.iter().zip(batch.labels.to_vec()).filter(|&(&p, label)| p == label).count();
        }
        let share = correct as f64 / test.images().len() as f64;
        println!("epoch {}: {:.1} % of the test images correct", epoch + 1, 100.0 * share);
    }
    if drawn.exists() {
        std::fs::remove_dir_all(drawn)?;
    }
    Ok(())
}

/// Draws `n` images of 24×24: horizontal stripes, vertical stripes and checks in turn, bright on dark, of random color, width
/// and position.
fn draw(n: usize, seed: u64) -> Result<Images, Box<dyn Error>> {
    const SIDE: usize = 24;
    let mut rng = Rng::seed(seed);
    let mut pixels = Vec::new();
    for i in 0..n {
        let mut color = |darkest: u32| [(); 3].map(|()| (darkest + rng.below(100)) as u8);
        let (bright, dark) = (color(156), color(0));
        let width = 2 + rng.below(3) as usize;
        let [dx, dy] = [(); 2].map(|()| rng.below(8) as usize);
        let is_bright = |x: usize, y: usize| {
            let (column, row) = ((x + dx) / width, (y + dy) / width);
            let stripe = match i % 3 {
                0 => row,
                1 => column,
                _ => row + column,
            };
            stripe.is_multiple_of(2)
        };
        // (3, H, W): one plane per color.
        for channel in 0..3 {
            for y in 0..SIDE {
                pixels.extend((0..SIDE).map(|x| if is_bright(x, y) { bright[channel] } else { dark[channel] }));
            }
        }
    }
    let labels = (0..n).map(|i| (i % 3) as u8).collect();
    let classes = ["across", "down", "checks"].map(str::to_owned).to_vec();
    Ok(Images::new(pixels, [n, 3, SIDE, SIDE], labels, classes)?)
}
