//! Small nets whose gradients can be looked at: a function each, which computes the loss from the parameters.

use chainrule::prelude::*;
use clap::ValueEnum;

/// A net to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Net {
    /// Two linear neurons and a sigmoid, derived by hand in many courses
    TwoNeurons,
    /// Mazur's 2-2-2 net of sigmoids, in which each weight of the first layer has two paths to the error
    Mazur,
    /// A 2-2-1 net with relu and sigmoid on the four inputs of exclusive or
    Xor,
    /// Two convolutions and two linear layers on one digit of MNIST
    Mnist,
    /// A residual block with batch normalization on two small images
    ResnetBlock,
}

/// i = (3, 5), t = 1, all weights 0.5: h1 = i1·w1 + i2·w2, h2 = i1·w3 + i2·w4, o = σ(h1·w5 + h2·w6), E = ½(t − o)².
pub fn two_neurons() -> impl Fn() -> Var64 {
    let constant = |name: &str, value: f64| Var64::constant(value).named(name);
    let (i1, i2, t) = (constant("i1", 3.0), constant("i2", 5.0), constant("t", 1.0));
    let [w1, w2, w3, w4, w5, w6] = ["w1", "w2", "w3", "w4", "w5", "w6"].map(|name| Var64::parameter(name, 0.5));
    move || {
        let product = |name: &str, a: &Var64, b: &Var64| (a * b).named(name);
        let h1 = (product("p1", &i1, &w1) + product("p2", &i2, &w2)).named("h1");
        let h2 = (product("p3", &i1, &w3) + product("p4", &i2, &w4)).named("h2");
        let o_in = (product("p5", &h1, &w5) + product("p6", &h2, &w6)).named("o_in");
        let o = o_in.sigmoid().named("o");
        (0.5 * (&t - &o).named("r").square().named("q")).named("E")
    }
}

/// i = (0.05, 0.1), t = (0.01, 0.99): h = σ(w·i + b1), o = σ(w·h + b2), E = ½ Σ (t − o)² (Mazur: "A step by step
/// backpropagation example", 2015).
pub fn mazur() -> impl Fn() -> Var64 {
    const WEIGHTS: [f64; 8] = [0.15, 0.2, 0.25, 0.3, 0.4, 0.45, 0.5, 0.55];
    let constant = |name: &str, value: f64| Var64::constant(value).named(name);
    let (i1, i2) = (constant("i1", 0.05), constant("i2", 0.1));
    let (t1, t2) = (constant("t1", 0.01), constant("t2", 0.99));
    let w: Vec<Var64> = (1..).zip(WEIGHTS).map(|(k, value)| Var64::parameter(format!("w{k}"), value)).collect();
    let (b1, b2) = (Var64::parameter("b1", 0.35), Var64::parameter("b2", 0.6));
    move || {
        // The neuron with the weights number k and k + 1.
        let neuron = |name: &str, [x1, x2]: [&Var64; 2], k: usize, b: &Var64| {
            let product = |x: &Var64, k: usize| (x * &w[k - 1]).named(format!("p{k}"));
            let sum = (product(x1, k) + product(x2, k + 1)).named(format!("s_{name}"));
            (sum + b).named(format!("net_{name}")).sigmoid().named(name)
        };
        let (h1, h2) = (neuron("h1", [&i1, &i2], 1, &b1), neuron("h2", [&i1, &i2], 3, &b1));
        let (o1, o2) = (neuron("o1", [&h1, &h2], 5, &b2), neuron("o2", [&h1, &h2], 7, &b2));
        let square = |t: &Var64, o: &Var64, k| (t - o).named(format!("r{k}")).square().named(format!("q{k}"));
        (0.5 * (square(&t1, &o1, 1) + square(&t2, &o2, 2)).named("q")).named("E")
    }
}

/// Weights near the textbook solution h = relu(x₁ + x₂), relu(x₁ + x₂ − 1), o = σ(h₁ − 2h₂ − ½) up to scale.
pub fn xor() -> impl Fn() -> Var64 {
    let x = Var64::constant([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]).named("x");
    let t = Var64::constant([[0.0], [1.0], [1.0], [0.0]]).named("t");
    let w1 = Var64::parameter("w1", [[0.9, 1.1], [1.2, 0.8]]);
    let b1 = Var64::parameter("b1", [0.1, -1.1]);
    let (w2, b2) = (Var64::parameter("w2", [[1.4, -2.2]]), Var64::parameter("b2", [-0.6]));
    move || {
        let a = x.linear(&w1, Some(&b1)).named("a");
        let h = a.relu().named("h");
        let z = h.linear(&w2, Some(&b2)).named("z");
        let o = z.sigmoid().named("o");
        (0.5 * (&t - &o).named("r").square().named("q").sum().named("s")).named("E")
    }
}

/// The net of `chainrule mnist`, untrained.
struct Cnn<T: Float> {
    conv1: Conv2d<T>,
    conv2: Conv2d<T>,
    fc1: Linear<T>,
    fc2: Linear<T>,
}

impl<T: Float> Cnn<T> {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::seed(seed);
        let conv = |from, to, rng: &mut Rng| Conv2d::builder(from, to, 3).padding(1).build(rng);
        let (conv1, conv2) = (conv(1, 8, &mut rng), conv(8, 16, &mut rng));
        let (fc1, fc2) = (Linear::new(16 * 7 * 7, 128, &mut rng), Linear::new(128, 10, &mut rng));
        let cnn = Self { conv1, conv2, fc1, fc2 };
        // Names the parameters.
        let _ = cnn.named_parameters();
        cnn
    }
}

impl<T: Float> Module<T> for Cnn<T> {
    children!(T: conv1, conv2, fc1, fc2);

    fn forward(&self, x: &VarOf<T>) -> VarOf<T> {
        let pool = &MaxPool2d::new(2);
        let x = chain(x, &[&self.conv1, &Relu, pool, &self.conv2, &Relu, pool]);
        self.fc2.forward(&self.fc1.forward(&x.flatten()).relu())
    }
}

/// The first digits of the test set, pixels scaled to [−1, 1], and their labels.
fn digits<T: Float>(n: usize) -> (TensorOf<T>, TensorOf<i32>) {
    let digits = chainrule::data::mnist::embedded();
    let test = digits.test();
    let pixels: Vec<T> =
        (0..n).flat_map(|i| test.image(i)).map(|&pixel| T::from_f64(f64::from(pixel) / 127.5 - 1.0)).collect();
    let labels: Vec<i32> = test.labels()[..n].iter().map(|&label| i32::from(label)).collect();
    (TensorOf::from_slice(&pixels, [n, 1, 28, 28]), TensorOf::from_slice(&labels, n))
}

/// The mean loss of the CNN on some digits, as it is trained: with fused layers.
pub fn mnist(seed: u64, batch: usize) -> impl Fn() -> Var64 {
    let net = Cnn::new(seed);
    let (images, labels) = digits(batch);
    let x = Var64::constant(images).named("images");
    move || net.forward(&x).cross_entropy(&labels)
}

/// The loss of the CNN on one digit. The image is a parameter, so that its gradient can be explained, too. Each layer runs
/// its own ops.
pub fn mnist_in_detail(seed: u64) -> Var {
    let Cnn { conv1, conv2, fc1, fc2 } = Cnn::new(seed);
    let (image, label) = digits(1);
    let x = Var::parameter("image", image);
    let relu1 = conv1.forward(&x).named("conv1").relu().named("relu1");
    let pool1 = relu1.max_pool2d(2).named("pool1");
    let relu2 = conv2.forward(&pool1).named("conv2").relu().named("relu2");
    let flat = relu2.max_pool2d(2).named("pool2").flatten().named("flat");
    let relu3 = fc1.forward(&flat).named("fc1").relu().named("relu3");
    fc2.forward(&relu3).named("logits").cross_entropy(&label).named("L")
}

/// conv · batch norm · relu · conv · batch norm · + x · relu, then the mean of each channel and a linear layer.
pub fn resnet_block(seed: u64) -> impl Fn() -> Var64 {
    let mut rng = Rng::seed(seed);
    let random = |stream: u32, shape: &[usize], scale: f64| -> Tensor64 {
        TensorOf::random_normal(Key::new(seed, Purpose::USER).at_step(stream), shape).unary(Unary::Mul(scale))
    };
    let x = Var64::parameter("x", random(0, &[2, 2, 4, 4], 1.0));
    let conv = |name: &str, rng: &mut Rng| {
        let layer = Conv2d::<f64>::builder(2, 2, 3).padding(1).bias(false).build(rng);
        layer.weight.rename(format!("{name}.weight"));
        layer
    };
    let (conv1, conv2) = (conv("conv1", &mut rng), conv("conv2", &mut rng));
    let norm = |name: &str| {
        let weight = Var64::parameter(format!("{name}.weight"), Tensor64::ones(2));
        (weight, Var64::parameter(format!("{name}.bias"), Tensor64::zeros(2)))
    };
    let (bn1, bn2) = (norm("bn1"), norm("bn2"));
    let fc = Var64::parameter("fc.weight", random(1, &[3, 2], 0.7));
    move || {
        let h = conv1.forward(&x).named("conv1").batch_norm(&bn1.0, &bn1.1, 1e-5).0.named("bn1").relu().named("relu1");
        let z = conv2.forward(&h).named("conv2").batch_norm(&bn2.0, &bn2.1, 1e-5).0.named("bn2");
        let y = (&z + &x).named("add").relu().named("relu2");
        let pooled = y.adaptive_avg_pool2d([1, 1]).named("pool").flatten().named("flat");
        pooled.linear(&fc, None).named("logits").cross_entropy(&[0, 2].into()).named("L")
    }
}
