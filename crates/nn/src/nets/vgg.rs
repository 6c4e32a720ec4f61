//! VGG nets (Simonyan, Zisserman: "Very deep convolutional networks for large-scale image recognition", 2014).

use chainrule_autograd::VarOf;
use chainrule_tensor::{Float, Rng, Shape, ShapeError, TensorOf, Unary};

use super::convolution;
use crate::chain;
use crate::layers::{AdaptiveAvgPool2d, BatchNorm2d, Dropout, Flatten, Linear, MaxPool2d, Relu, Sequential};
use crate::module::Module;

/// A VGG net with torchvision's paths: `features`, `classifier`.
pub struct Vgg<T: Float = f32> {
    features: Sequential<T>,
    avgpool: AdaptiveAvgPool2d,
    classifier: Sequential<T>,
}

/// torchvision's VGG-16 for images of about 224×224: 13 convolutions, then three linear layers of 4096, 4096 and `classes`
/// outputs with dropout 0.5 between them. It has more than 500 MB of weights, most of them in the first linear layer.
pub fn vgg16<T: Float>(classes: usize, rng: &mut Rng) -> Vgg<T> {
    Vgg::wide(features(VGG16, false, rng), classes, rng)
}

/// As [`vgg16`], with batch normalization after each convolution.
pub fn vgg16_bn<T: Float>(classes: usize, rng: &mut Rng) -> Vgg<T> {
    Vgg::wide(features(VGG16, true, rng), classes, rng)
}

/// torchvision's VGG-11: as [`vgg16`], with 8 convolutions.
pub fn vgg11<T: Float>(classes: usize, rng: &mut Rng) -> Vgg<T> {
    Vgg::wide(features(VGG11, false, rng), classes, rng)
}

/// As [`vgg11`], with batch normalization after each convolution.
pub fn vgg11_bn<T: Float>(classes: usize, rng: &mut Rng) -> Vgg<T> {
    Vgg::wide(features(VGG11, true, rng), classes, rng)
}

/// VGG-16 for images of 32×32: the convolutions are those of [`vgg16`]. They leave a single pixel of 512 channels, so
/// pooling to 7×7 would repeat it 49 times: in place of the three linear layers there is one, 512 → `classes`.
pub fn vgg16_cifar<T: Float>(classes: usize, rng: &mut Rng) -> Vgg<T> {
    Vgg::narrow(features(VGG16, false, rng), classes, rng)
}

/// As [`vgg16_cifar`], with batch normalization after each convolution.
pub fn vgg16_bn_cifar<T: Float>(classes: usize, rng: &mut Rng) -> Vgg<T> {
    Vgg::narrow(features(VGG16, true, rng), classes, rng)
}

/// The output channels of the convolutions, in five groups.
type Groups = [&'static [usize]; 5];
const VGG11: Groups = [&[64], &[128], &[256, 256], &[512, 512], &[512, 512]];
const VGG16: Groups = [&[64, 64], &[128, 128], &[256, 256, 256], &[512, 512, 512], &[512, 512, 512]];

/// Groups of 3×3 convolutions, each of which ends with max pooling.
fn features<T: Float>(groups: Groups, batch_norm: bool, rng: &mut Rng) -> Sequential<T> {
    let (mut net, mut from) = (Sequential::new(), 3);
    for group in groups {
        for &to in group {
            net = net.add(convolution(from, to, 3, 1, true, rng));
            if batch_norm {
                net = net.add(BatchNorm2d::new(to));
            }
            net = net.add(Relu);
            from = to;
        }
        net = net.add(MaxPool2d::new(2));
    }
    net
}

/// A linear layer as torchvision initializes those of VGG: the weight normal with standard deviation 0.01, the bias 0.
///
/// Unlike the weights of other layers it is not drawn in `f64` and rounded: the largest has 103 million numbers.
fn linear<T: Float>(inputs: usize, outputs: usize, rng: &mut Rng) -> Linear<T> {
    let weight = TensorOf::random_normal(rng.layer_key(), [outputs, inputs]).unary(Unary::Mul(0.01));
    Linear {
        weight: VarOf::parameter("weight", weight),
        bias: Some(VarOf::parameter("bias", TensorOf::zeros(outputs))),
    }
}

impl<T: Float> Vgg<T> {
    /// With torchvision's head.
    fn wide(features: Sequential<T>, classes: usize, rng: &mut Rng) -> Self {
        const WIDTH: usize = 4096;
        let classifier = Sequential::new()
            .add(linear(512 * 7 * 7, WIDTH, rng))
            .add(Relu)
            .add(Dropout::new(0.5, rng))
            .add(linear(WIDTH, WIDTH, rng))
            .add(Relu)
            .add(Dropout::new(0.5, rng))
            .add(linear(WIDTH, classes, rng));
        Self { features, avgpool: AdaptiveAvgPool2d([7, 7]), classifier }
    }

    /// With the head for CIFAR.
    fn narrow(features: Sequential<T>, classes: usize, rng: &mut Rng) -> Self {
        let classifier = Sequential::new().add(linear(512, classes, rng));
        Self { features, avgpool: AdaptiveAvgPool2d([1, 1]), classifier }
    }

    fn layers(&self) -> [(&'static str, &dyn Module<T>); 4] {
        let Self { features, avgpool, classifier } = self;
        [("features", features), ("avgpool", avgpool), ("flatten", &Flatten), ("classifier", classifier)]
    }
}

impl<T: Float> Module<T> for Vgg<T> {
    crate::children!(T: features, classifier);

    fn forward(&self, x: &VarOf<T>) -> VarOf<T> {
        chain(x, &self.layers().map(|(_, layer)| layer))
    }

    fn output_shape(&self, x: Shape) -> Result<Shape, ShapeError> {
        self.layers().map(|(_, layer)| layer).output_shape(x)
    }

    fn stages(&self) -> Vec<(String, &dyn Module<T>)> {
        self.layers().map(|(name, layer)| (name.to_owned(), layer)).into()
    }
}
