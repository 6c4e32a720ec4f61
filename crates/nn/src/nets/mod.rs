//! Nets that people train and compare on images.
//!
//! Each is built with random weights from a [`Rng`] and takes images (N,C,H,W) to logits
//! (N, classes); those that colorize take gray images (N,1,H,W) to logits (N, colors, H, W). Where torchvision has the net, the paths and shapes of parameters and buffers are those of its
//! `state_dict`, and so are the distributions of the initial weights.
//!
//! | net | images | parameters for 10 classes |
//! |---|---|---|
//! | [`Small`] | any, by default 1×28×28 or 3×32×32 | 103 018 on 28×28 |
//! | [`blocks`] | any of 8×8 or more | 298 410 on 1×28×28 |
//! | [`report`] | 3×32×32 | 6 185 984 |
//! | [`resnet20`] | 3×32×32 | 269 722 |
//! | [`resnet18_cifar`] | 3×32×32 | 11 173 962 |
//! | [`vgg16_cifar`], [`vgg16_bn_cifar`] | 3×32×32 | 14 719 818, 14 728 266 |
//! | [`Fast`] | 3×32×32 | depends on its widths |
//! | [`resnet18`], [`resnet34`], [`resnet50`] | 3×224×224 | 11 181 642, 21 289 802, 23 528 522; for 1000 classes 11 689 512, 21 797 672, 25 557 032 |
//! | [`vgg11`], [`vgg11_bn`] | 3×224×224 | 128 807 306, 128 812 810; for 1000 classes 132 863 336, 132 868 840 |
//! | [`colorize_base`], [`UNet`], [`colorize_residual`] | 1×H×W, sides multiples of 4 | 86 784, 112 344, 190 128 for 24 colors |
//! | [`vgg16`], [`vgg16_bn`] | 3×224×224 | 134 301 514, 134 309 962; for 1000 classes 138 357 544, 138 365 992 |
//!
//! ```
//! use chainrule_nn::{Module, nets};
//! use chainrule_tensor::{Rng, Tensor};
//! let net: nets::ResNet = nets::resnet20(10, &mut Rng::seed(0));
//! assert_eq!(net.parameter_count(), 269_722);
//! assert_eq!(net.forward(&Tensor::zeros([2, 3, 32, 32]).into()).shape(), [2, 10]);
//! ```

mod blocks;
mod colorize;
mod fast;
mod report;
mod resnet;
mod small;
mod vgg;
mod whitening;

pub use blocks::{BlocksOptions, blocks};
pub use colorize::{ColorizeNet, ColorizeOptions, UNet, colorize_base, colorize_residual};
pub use fast::Fast;
pub use report::{ReportOptions, report};
pub use resnet::{ResNet, resnet18, resnet18_cifar, resnet20, resnet34, resnet50};
pub use small::{Small, SmallOptions};
pub use vgg::{Vgg, vgg11, vgg11_bn, vgg16, vgg16_bn, vgg16_bn_cifar, vgg16_cifar};
pub use whitening::whitening_filters;

use chainrule_autograd::VarOf;
use chainrule_tensor::{Conv2dOptions, Float, Rng, TensorOf};

use crate::init::{Fan, Nonlinearity, kaiming_normal};
use crate::layers::Conv2d;

/// A convolution as torchvision initializes those of its nets: the weight by Kaiming's normal distribution for ReLU and
/// the outputs, which preserves the variance of gradients. A stride of 1 or 2, the padding that a stride of 1 needs to keep
/// the size.
fn convolution<T: Float>(from: usize, to: usize, kernel: usize, stride: usize, bias: bool, rng: &mut Rng) -> Conv2d<T> {
    let weight = VarOf::parameter("weight", TensorOf::zeros([to, from, kernel, kernel]));
    kaiming_normal(&weight, Fan::Out, Nonlinearity::Relu, rng);
    let bias = bias.then(|| VarOf::parameter("bias", TensorOf::zeros(to)));
    let (stride, padding) = ([stride; 2], [kernel / 2; 2]);
    Conv2d { weight, bias, options: Conv2dOptions { stride, padding, ..Conv2dOptions::default() } }
}
