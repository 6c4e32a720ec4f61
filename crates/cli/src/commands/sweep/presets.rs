//! Sweeps by name: flags that stand for flags.

use clap::ValueEnum;

/// A sweep of the reports. Flags that are given beside it replace its own; so does another program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Preset {
    /// Slopes of a leaky ReLU from -1, which is |x|, to 1, which is linear, on MNIST and its negatives
    Leaky,
    /// ReLU, tanh and sigmoid in all layers, on MNIST; `sweep cifar10 --preset activations` for CIFAR-10
    Activations,
    /// ReLU, tanh and sigmoid after the first linear layer only, with ReLU after the convolutions
    HeadActivations,
    /// Kernels of 3×3 and 5×5, with ReLU, tanh and sigmoid
    Kernels,
    /// Binary cross-entropy and mean squared error on cats and dogs of CIFAR-10, few enough to be learned by heart
    Losses,
    /// NF, the outputs of the first convolution, of the net that colorizes; with `--net unet` of the U-Net
    ColorizeNf,
    /// Learning rates from 1 to 1e-5 of the net that colorizes
    ColorizeLr,
    /// Learning rates from 10 to 1e-4 of the U-Net
    ColorizeUnetLr,
    /// Kernels from 1×1 to 7×7 of the net that colorizes
    ColorizeKernels,
    /// Adam, AdamW, plain SGD, and SGD with momentum and with Nesterov momentum, at the same learning rate
    Optimizers,
    /// A net that `pretrain` has trained on five classes, trained on the five others: its last layer, its last two parts, all of it, and the same from random weights
    Transfer,
}

impl Preset {
    /// The program and its flags.
    pub fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Leaky => &[
                "mnist",
                "--activation=leaky:-1,leaky:-0.5,leaky:0,leaky:0.5,leaky:1",
                "--negatives",
                "--normalize=unit",
                "--validation=12000",
                "--epochs=3",
                "--seeds=3",
            ],
            Self::Activations => &["mnist", "--activation=relu,tanh,sigmoid", "--epochs=3", "--seeds=3"],
            Self::HeadActivations => {
                &["mnist", "--activation=relu,tanh,sigmoid", "--conv-activation=relu", "--epochs=3", "--seeds=3"]
            }
            Self::Kernels => &["mnist", "--kernel=3,5", "--activation=relu,tanh,sigmoid", "--epochs=3", "--seeds=3"],
            Self::Losses => &[
                "cifar10",
                "--loss=bce,mse",
                "--classes=cat,dog",
                "--train-images=3000",
                "--validation=1000",
                "--lr=1e-4",
                "--epochs=120",
                "--seeds=3",
            ],
            Self::ColorizeNf => &["colorize", "--net=base", "--nf=16,32,48,64,80,96,128"],
            Self::ColorizeLr => &["colorize", "--net=base", "--lr=1,0.1,0.01,1e-3,1e-4,1e-5"],
            Self::ColorizeUnetLr => &["colorize", "--net=unet", "--lr=10,1,0.1,0.01,1e-3,1e-4"],
            Self::ColorizeKernels => &["colorize", "--net=base", "--kernel=1,3,5,7"],
            Self::Optimizers => {
                &["mnist", "--optimizer=adam,adamw,sgd,momentum,nesterov", "--lr=1e-3", "--epochs=3", "--seeds=3"]
            }
            Self::Transfer => &[
                "transfer",
                "--net=resnet20",
                "--size=32",
                "--normalize=standard",
                "--weights=pretrained.safetensors;none",
                "--train=fc;layer3,fc;all",
                "--classes=dog,frog,horse,ship,truck",
                "--epochs=5",
                "--seeds=3",
            ],
        }
    }
}
