//! Augmentation of the training images, by name.

use chainrule::data::{
    AlternatingFlip, ColorJitter, Cutout, Interpolation, PaddingMode, RandomAffine, RandomCrop, RandomHorizontalFlip,
    RandomRotation, Transform,
};
use clap::ValueEnum;

use super::program::Program;

/// Random changes of the training images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Augment {
    None,
    /// A random crop after padding by 4, and a horizontal flip with probability ½
    CropFlip,
    /// A flip, rotation by up to 10°, shear by up to 10° with scale 0.8 to 1.2, brightness, contrast and saturation by up to 20 %
    Report,
    /// What suits the dataset: for digits rotation, shift and scale; for clothing crop-flip with 2; for CIFAR crop-flip and a cut-out square, without the square for colorize
    Standard,
    /// A flip in every second epoch, and a shift by up to 2 pixels with reflected borders
    Fast,
}

impl Augment {
    /// The transforms, in their order.
    pub fn transforms(self, program: Program) -> Vec<Box<dyn Transform>> {
        match self {
            Self::None => Vec::new(),
            Self::CropFlip => vec![Box::new(RandomCrop::padded(4)), Box::new(RandomHorizontalFlip)],
            Self::Report => vec![
                Box::new(RandomHorizontalFlip),
                Box::new(RandomRotation::new(-10.0..=10.0)),
                Box::new(RandomAffine::new(0.0..=0.0).shear(-10.0..=10.0, 0.0..=0.0).scale(0.8..=1.2)),
                Box::new(ColorJitter::new(0.2, 0.2, 0.2, 0.0)),
            ],
            Self::Standard => match program {
                // A mirrored digit is another sign, or none.
                Program::Mnist => {
                    let affine = RandomAffine::new(-10.0..=10.0).translate(0.1, 0.1).scale(0.9..=1.1);
                    vec![Box::new(affine.interpolation(Interpolation::Bilinear))]
                }
                Program::FashionMnist => vec![Box::new(RandomCrop::padded(2)), Box::new(RandomHorizontalFlip)],
                // Sizes of the squares: DeVries, Taylor, "Improved regularization of convolutional neural networks with
                // Cutout", 2017.
                Program::Cifar10 | Program::Cifar100 | Program::Pretrain | Program::Transfer => {
                    let side = if program == Program::Cifar100 { 8 } else { 16 };
                    vec![Box::new(RandomCrop::padded(4)), Box::new(RandomHorizontalFlip), Box::new(Cutout::new(side))]
                }
                // A cut-out square has no colors to learn.
                Program::Colorize => vec![Box::new(RandomCrop::padded(4)), Box::new(RandomHorizontalFlip)],
            },
            Self::Fast => {
                vec![Box::new(RandomCrop::padded(2).padding_mode(PaddingMode::Reflect)), Box::new(AlternatingFlip)]
            }
        }
    }
}
