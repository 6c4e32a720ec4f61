//! Nets that are exported by tests and by `scripts/check_onnx.sh`.

use chainrule_autograd::{Var, VarOf};
use chainrule_nn::nets::{BlocksOptions, Fast, ReportOptions, Small, SmallOptions, blocks, report, resnet20};
use chainrule_nn::{
    Activation, AvgPool2d, BatchNorm1d, BatchNorm2d, Conv2d, ConvTranspose2d, Flatten, Linear, MaxPool2d, Module, Relu,
    Sequential, Upsample, children,
};
use chainrule_tensor::{Key, Purpose, Rng, Tensor};

/// A net, its name and the shape of its images.
pub type Case = (&'static str, Box<dyn Module<f32>>, [usize; 3]);

/// Small nets and those for images of 32×32.
pub fn all() -> Vec<Case> {
    let mut rng = Rng::seed(7);
    let rng = &mut rng;
    let small = |activation| SmallOptions { activation, conv_activation: activation, ..SmallOptions::default() };
    let fast = Fast::new([8, 16, 16], 10, rng);
    fast.whiten(&Tensor::random_normal(Key::new(1, Purpose::USER), [4, 3, 16, 16]));
    let mut cases: Vec<Case> = vec![
        ("small", Box::new(Small::new([1, 28, 28], 10, SmallOptions::default(), rng)), [1, 28, 28]),
        ("lenet", Box::new(lenet(rng)), [1, 28, 28]),
        (
            "report",
            Box::new(report([3, 32, 32], 10, ReportOptions::default(), rng).expect("large images")),
            [3, 32, 32],
        ),
        (
            "blocks",
            Box::new(blocks([3, 32, 32], 10, BlocksOptions::default(), rng).expect("large images")),
            [3, 32, 32],
        ),
        ("fast", Box::new(fast), [3, 32, 32]),
        ("resnet20", Box::new(resnet20(10, rng)), [3, 32, 32]),
        ("unet", Box::new(UNet::new(8, rng)), [1, 32, 32]),
        ("up", Box::new(up(rng)), [3, 9, 7]),
    ];
    for (name, activation) in [
        ("sigmoid", Activation::Sigmoid),
        ("tanh", Activation::Tanh),
        ("leaky", Activation::LeakyRelu(0.1)),
        ("elu", Activation::Elu(0.7)),
        ("softplus", Activation::Softplus),
        ("swish", Activation::Swish(1.0)),
        ("swish2", Activation::Swish(1.5)),
        ("mish", Activation::Mish),
        ("gelu", Activation::Gelu),
        ("gelu_tanh", Activation::GeluTanh),
        ("selu", Activation::Selu),
        ("celu", Activation::Celu(0.6)),
        ("relu6", Activation::Relu6),
        ("hardtanh", Activation::Hardtanh),
        ("hardsigmoid", Activation::Hardsigmoid),
        ("hardswish", Activation::Hardswish),
        ("logsigmoid", Activation::LogSigmoid),
        ("softsign", Activation::Softsign),
    ] {
        cases.push((name, Box::new(Small::new([1, 12, 12], 10, small(activation), rng)), [1, 12, 12]));
    }
    for (_, net, image) in &cases {
        warm(&**net, *image);
    }
    cases
}

/// Two passes in training, so that running statistics differ from those of a new net.
pub fn warm(net: &dyn Module<f32>, [c, h, w]: [usize; 3]) {
    net.train();
    for seed in 0..2 {
        net.forward(&Tensor::random_normal(Key::new(seed, Purpose::USER), [4, c, h, w]).into());
    }
}

/// LeNet-5 with tanh and average pooling, its layers in sequence.
fn lenet(rng: &mut Rng) -> Sequential {
    Sequential::new()
        .add(Conv2d::builder(1, 6, 5).padding(2).build(rng))
        .add(Activation::Tanh)
        .add(AvgPool2d::new(2))
        .add(Conv2d::new(6, 16, 5, rng))
        .add(Activation::Tanh)
        .add(AvgPool2d::new(3).stride(2).padding(1).count_include_pad(false))
        .add(Flatten)
        .add(Linear::new(16 * 5 * 5, 120, rng))
        .add(BatchNorm1d::new(120))
        .add(Activation::Tanh)
        .add(Linear::new(120, 84, rng))
        .add(Activation::Tanh)
        .add(Linear::without_bias(84, 10, rng))
}

/// Strides, dilation, groups, transposed convolutions and both kinds of upsampling.
fn up(rng: &mut Rng) -> Sequential {
    Sequential::new()
        .add(Conv2d::builder(3, 6, 3).stride(2).padding(1).groups(3).build(rng))
        .add(Relu)
        .add(ConvTranspose2d::builder(6, 4, 3).stride(2).padding(1).output_padding(1).build(rng))
        .add(BatchNorm2d::new(4).without_affine())
        .add(Upsample::Nearest(2))
        .add(Conv2d::builder(4, 4, 3).dilation(2).padding([2, 1]).bias(false).build(rng))
        .add(Activation::LeakyRelu(0.2))
        .add(Upsample::Bilinear(2))
        .add(MaxPool2d::new(3).stride(2).padding(1))
        .add(ConvTranspose2d::builder(4, 2, [2, 3]).groups(2).bias(false).build(rng))
}

/// A U-Net for 24 classes of color at each pixel: two poolings, two upsamplings, and three concatenations.
struct UNet {
    down1: Sequential,
    down2: Sequential,
    middle: Sequential,
    up1: Sequential,
    up2: Sequential,
    last: Conv2d,
}

impl UNet {
    fn new(features: usize, rng: &mut Rng) -> Self {
        const COLORS: usize = 24;
        let mut block = |from, to| {
            let conv = Conv2d::builder(from, to, 3).padding(1).build(rng);
            Sequential::new().add(conv).add(BatchNorm2d::new(to)).add(Relu)
        };
        let [n, two] = [features, 2 * features];
        let (down1, down2, middle) = (block(1, n), block(n, two), block(two, two));
        let (up1, up2) = (block(two + two, n), block(n + n, COLORS));
        Self { down1, down2, middle, up1, up2, last: Conv2d::builder(COLORS + 1, COLORS, 3).padding(1).build(rng) }
    }
}

impl Module<f32> for UNet {
    children!(down1, down2, middle, up1, up2, last);

    fn forward(&self, x: &Var) -> Var {
        let doubled = |x: &Var| Upsample::Nearest(2).forward(x);
        let one = self.down1.forward(x).max_pool2d(2);
        let two = self.down2.forward(&one).max_pool2d(2);
        let middle = self.middle.forward(&two);
        let y = doubled(&self.up1.forward(&VarOf::concat(&[&middle, &two], 1)));
        let y = doubled(&self.up2.forward(&VarOf::concat(&[&y, &one], 1)));
        self.last.forward(&VarOf::concat(&[&y, x], 1))
    }
}
