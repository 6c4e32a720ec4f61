//! Lesson 4: a training loop, written out.
//!
//!     cargo run --release --example 04_train_mnist
//!
//! A convolutional net learns to classify handwritten digits. The 60 000 images of MNIST are embedded in the program. Two
//! epochs take a few seconds and reach an accuracy of 98 % on the test images.

use chainrule::data::{Loader, mnist};
use chainrule::prelude::*;

/// Two convolutions detect patterns of 3×3 pixels, two linear layers classify what was found.
struct Net {
    conv1: Conv2d,
    conv2: Conv2d,
    fc1: Linear,
    fc2: Linear,
}

impl Net {
    fn new(rng: &mut Rng) -> Self {
        Self {
            // Padding by 1 keeps the image size.
            conv1: Conv2d::builder(1, 8, 3).padding(1).build(rng),
            conv2: Conv2d::builder(8, 16, 3).padding(1).build(rng),
            fc1: Linear::new(16 * 7 * 7, 128, rng),
            fc2: Linear::new(128, 10, rng),
        }
    }
}

impl Module for Net {
    // The parameters of a net are those of its layers: this lists the fields that are layers.
    children!(conv1, conv2, fc1, fc2);

    fn forward(&self, x: &Var) -> Var {
        let x = self.conv1.forward(x).relu().max_pool2d(2); // (N,1,28,28) → (N,8,14,14)
        let x = self.conv2.forward(&x).relu().max_pool2d(2); // → (N,16,7,7)
        let x = self.fc1.forward(&x.flatten()).relu(); // → (N,128)
        self.fc2.forward(&x) // → (N,10): logits, one for each digit
    }
}

fn main() {
    let (train, test) = mnist::embedded().into_parts();
    // Each epoch has its own random order; another thread prepares the next batch.
    let train = Loader::new(train, 64).shuffle(0).prefetch(1);
    let test = Loader::new(test, 250);

    let net = Net::new(&mut Rng::seed(0));
    let mut optimizer = Adam::new(net.parameters(), 1e-3);
    for epoch in 0..2 {
        let mut sum = 0.0;
        for batch in train.epoch(epoch) {
            let logits = net.forward(&Var::constant(&batch.images));
            // The mean of −log p, where p is the probability that the net assigns to the correct digit.
            let loss = logits.cross_entropy(&batch.labels);
            let gradients = loss.backward();
            optimizer.step(&gradients);
            sum += loss.item();
        }
        println!(
            "epoch {}: loss {:.4}, {:.2} % of the test images correct",
            epoch + 1,
            sum / train.batches() as f32,
            100.0 * accuracy(&net, &test)
        );
    }
}

/// The share of correctly classified images.
fn accuracy(net: &Net, test: &Loader) -> f64 {
    let mut correct = 0;
    for batch in test.epoch(0) {
        // Evaluation needs no gradients, so nothing is recorded.
        let logits = no_grad(|| net.forward(&Var::constant(&batch.images)));
        let predicted = logits.value().argmax(1).to_vec();
        correct += predicted.iter().zip(batch.labels.to_vec()).filter(|&(&p, label)| p == label).count();
    }
    correct as f64 / test.images().len() as f64
}
