//! Nets that colorize: from a gray image to one of a few colors for each pixel, from students' reports.

use chainrule_autograd::VarOf;
use chainrule_tensor::{Float, Rng, Shape, ShapeError, shape_rules};

use crate::chain;
use crate::layers::{Add, BatchNorm2d, Conv2d, MaxPool2d, Relu, Sequential, Upsample};
use crate::module::Module;

/// The settings of the nets that colorize.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ColorizeOptions {
    /// The outputs of the first convolution, NF, by default 32; those in the middle have twice as many.
    pub nf: usize,
    /// The kernel size of the convolutions, odd, by default 3. They are padded by half of it.
    pub kernel: usize,
    /// The colors, by default 24.
    pub colors: usize,
}

impl Default for ColorizeOptions {
    fn default() -> Self {
        Self { nf: 32, kernel: 3, colors: 24 }
    }
}

impl ColorizeOptions {
    /// A convolution that keeps the size of the image.
    fn convolution<T: Float>(self, from: usize, to: usize, rng: &mut Rng) -> Conv2d<T> {
        Conv2d::builder(from, to, self.kernel).padding(self.kernel / 2).build(rng)
    }
}

/// Doubles the sides of an image: each pixel becomes four.
const DOUBLE: Upsample = Upsample::Nearest(2);

/// A net that takes a gray image through five stages, down to a quarter of its sides and up again, and then through a
/// convolution to logits: see [`colorize_base`] and [`colorize_residual`].
pub struct ColorizeNet<T: Float = f32> {
    down1: Box<dyn Module<T>>,
    down2: Box<dyn Module<T>>,
    middle: Box<dyn Module<T>>,
    up1: Box<dyn Module<T>>,
    up2: Box<dyn Module<T>>,
    out: Conv2d<T>,
    halve: MaxPool2d,
}

/// The plain net: each stage is a convolution, batch normalization and ReLU. Images (N,1,H,W) whose sides are multiples of
/// 4 become logits (N, colors, H, W).
///
/// | stage | channels | after it |
/// |---|---|---|
/// | `down1` | 1 → NF | max pooling 2 |
/// | `down2` | NF → 2·NF | max pooling 2 |
/// | `middle` | 2·NF → 2·NF | |
/// | `up1` | 2·NF → NF | upsampling by 2, each pixel repeated |
/// | `up2` | NF → colors | upsampling by 2 |
/// | `out`, a convolution alone | colors → colors | |
///
/// Weights are initialized as [`Conv2d`] does, which is `PyTorch`'s default.
pub fn colorize_base<T: Float>(options: ColorizeOptions, rng: &mut Rng) -> ColorizeNet<T> {
    ColorizeNet::new(options, |from, to, rng| Box::new(Stage::new(options, from, to, rng)), rng)
}

/// [`colorize_base`] with a residual block in place of each stage (He and others: "Deep residual learning for image
/// recognition", 2015): `relu(bn2(conv2(relu(bn1(conv1(x))))) + shortcut(x))`. The shortcut is x itself in the middle; where the
/// number of channels changes it is a 1×1 convolution and batch normalization (the paper's option B).
pub fn colorize_residual<T: Float>(options: ColorizeOptions, rng: &mut Rng) -> ColorizeNet<T> {
    ColorizeNet::new(options, |from, to, rng| Box::new(ResidualBlock::new(options, from, to, rng)), rng)
}

impl<T: Float> ColorizeNet<T> {
    /// `stage` makes a stage between numbers of channels.
    fn new(
        options: ColorizeOptions,
        stage: impl Fn(usize, usize, &mut Rng) -> Box<dyn Module<T>>,
        rng: &mut Rng,
    ) -> Self {
        let ColorizeOptions { nf, colors, .. } = options;
        Self {
            down1: stage(1, nf, rng),
            down2: stage(nf, 2 * nf, rng),
            middle: stage(2 * nf, 2 * nf, rng),
            up1: stage(2 * nf, nf, rng),
            up2: stage(nf, colors, rng),
            out: options.convolution(colors, colors, rng),
            halve: MaxPool2d::new(2),
        }
    }

    fn layers(&self) -> [&dyn Module<T>; 10] {
        let Self { down1, down2, middle, up1, up2, out, halve } = self;
        [down1, halve, down2, halve, middle, up1, &DOUBLE, up2, &DOUBLE, out]
    }
}

impl<T: Float> Module<T> for ColorizeNet<T> {
    crate::children!(T: down1, down2, middle, up1, up2, out);

    fn forward(&self, x: &VarOf<T>) -> VarOf<T> {
        chain(x, &self.layers())
    }

    fn output_shape(&self, x: Shape) -> Result<Shape, ShapeError> {
        self.layers().output_shape(x)
    }
}

/// Convolution, batch normalization, ReLU.
struct Stage<T: Float> {
    conv: Conv2d<T>,
    bn: BatchNorm2d<T>,
}

impl<T: Float> Stage<T> {
    fn new(options: ColorizeOptions, from: usize, to: usize, rng: &mut Rng) -> Self {
        Self { conv: options.convolution(from, to, rng), bn: BatchNorm2d::new(to) }
    }

    fn layers(&self) -> [&dyn Module<T>; 3] {
        [&self.conv, &self.bn, &Relu]
    }
}

impl<T: Float> Module<T> for Stage<T> {
    crate::children!(T: conv, bn);

    fn forward(&self, x: &VarOf<T>) -> VarOf<T> {
        chain(x, &self.layers())
    }

    fn output_shape(&self, x: Shape) -> Result<Shape, ShapeError> {
        self.layers().output_shape(x)
    }
}

/// Two convolutions and a shortcut.
struct ResidualBlock<T: Float> {
    conv1: Conv2d<T>,
    bn1: BatchNorm2d<T>,
    conv2: Conv2d<T>,
    bn2: BatchNorm2d<T>,
    /// `None` is the identity.
    shortcut: Option<Sequential<T>>,
}

impl<T: Float> ResidualBlock<T> {
    fn new(options: ColorizeOptions, from: usize, to: usize, rng: &mut Rng) -> Self {
        Self {
            conv1: options.convolution(from, to, rng),
            bn1: BatchNorm2d::new(to),
            conv2: options.convolution(to, to, rng),
            bn2: BatchNorm2d::new(to),
            shortcut: (from != to)
                .then(|| Sequential::new().add(Conv2d::new(from, to, 1, rng)).add(BatchNorm2d::new(to))),
        }
    }
}

impl<T: Float> Module<T> for ResidualBlock<T> {
    crate::children!(T: conv1, bn1, conv2, bn2, shortcut);

    fn forward(&self, x: &VarOf<T>) -> VarOf<T> {
        let shortcut = self.shortcut.forward(x);
        chain(x, &[&self.conv1, &self.bn1, &Relu, &self.conv2, &self.bn2, &Add(&shortcut), &Relu])
    }

    fn output_shape(&self, x: Shape) -> Result<Shape, ShapeError> {
        let layers: [&dyn Module<T>; 4] = [&self.conv1, &self.bn1, &self.conv2, &self.bn2];
        shape_rules::broadcast("add", layers.output_shape(x)?, self.shortcut.output_shape(x)?)
    }
}

/// [`colorize_base`] with skips: what a stage on the way down leaves is concatenated to what comes back at its size, so that
/// details need not pass through the middle (Ronneberger, Fischer, Brox: "U-Net", 2015).
///
/// `up1` sees `middle` and `down2` (2·NF + 2·NF channels), `up2` sees `up1` and `down1` (NF + NF), `out` sees `up2` and the
/// image (colors + 1), those on the way down after their pooling.
pub struct UNet<T: Float = f32> {
    down1: Stage<T>,
    down2: Stage<T>,
    middle: Stage<T>,
    up1: Stage<T>,
    up2: Stage<T>,
    out: Conv2d<T>,
    halve: MaxPool2d,
}

impl<T: Float> UNet<T> {
    /// The net with random weights, initialized as those of [`colorize_base`].
    pub fn new(options: ColorizeOptions, rng: &mut Rng) -> Self {
        let ColorizeOptions { nf, colors, .. } = options;
        Self {
            down1: Stage::new(options, 1, nf, rng),
            down2: Stage::new(options, nf, 2 * nf, rng),
            middle: Stage::new(options, 2 * nf, 2 * nf, rng),
            up1: Stage::new(options, 2 * nf + 2 * nf, nf, rng),
            up2: Stage::new(options, nf + nf, colors, rng),
            out: options.convolution(colors + 1, colors, rng),
            halve: MaxPool2d::new(2),
        }
    }
}

impl<T: Float> Module<T> for UNet<T> {
    crate::children!(T: down1, down2, middle, up1, up2, out);

    fn forward(&self, x: &VarOf<T>) -> VarOf<T> {
        let down1 = chain(x, &[&self.down1, &self.halve]);
        let down2 = chain(&down1, &[&self.down2, &self.halve]);
        let middle = self.middle.forward(&down2);
        let up1 = chain(&VarOf::concat(&[&middle, &down2], 1), &[&self.up1, &DOUBLE]);
        let up2 = chain(&VarOf::concat(&[&up1, &down1], 1), &[&self.up2, &DOUBLE]);
        self.out.forward(&VarOf::concat(&[&up2, x], 1))
    }

    fn output_shape(&self, x: Shape) -> Result<Shape, ShapeError> {
        let layers = |layers: [&dyn Module<T>; 2], x| layers.output_shape(x);
        let down1 = layers([&self.down1, &self.halve], x)?;
        let down2 = layers([&self.down2, &self.halve], down1)?;
        let middle = self.middle.output_shape(down2)?;
        let up1 = layers([&self.up1, &DOUBLE], shape_rules::concat(&[middle, down2], 1)?)?;
        let up2 = layers([&self.up2, &DOUBLE], shape_rules::concat(&[up1, down1], 1)?)?;
        self.out.output_shape(shape_rules::concat(&[up2, x], 1)?)
    }
}
