//! A tensor, reverse-mode autograd and CNN engine written from scratch.
//!
//! ```
//! use chainrule::prelude::*;
//!
//! let w = Var::parameter("w", [0.5, 0.5]);
//! let x = Var::constant([3.0, 5.0]);
//! let loss = 0.5 * (1.0 - (&w * &x).sum().sigmoid()).square();
//! println!("{}", loss.backward()[&w]);
//! ```

#![forbid(unsafe_code)]

pub use chainrule_autograd as autograd;
pub use chainrule_data as data;
#[cfg(feature = "formats")]
pub use chainrule_formats as formats;
pub use chainrule_nn as nn;
pub use chainrule_nn::nets;
#[cfg(feature = "onnx")]
pub use chainrule_onnx as onnx;
pub use chainrule_tensor as tensor;

/// The items that most programs use.
pub mod prelude {
    pub use chainrule_autograd::{
        CrossEntropy, Gradients, GradientsOf, NllLoss, Operation, Reduction, Rule, Tangent, Var, Var64, VarOf,
        gradcheck, gradgradcheck, hessian, hvp, jacobian, jvp, no_grad, recompute, scope, vjp,
    };
    pub use chainrule_nn::{
        Activation, Adagrad, Adam, AdamW, AdaptiveAvgPool2d, Add, AvgPool2d, BatchNorm1d, BatchNorm2d, Checkpoint,
        Conv2d, ConvTranspose2d, Dropout, Ema, Flatten, GradientReport, Hooks, Item, Linear, LoadOptions, LoadReport,
        MaxPool2d, Module, NAdam, Optimizer, PlateauMode, Progress, Reach, Recompute, ReduceLrOnPlateau, Relu, Replay,
        RmsProp, Schedule, Sequential, Sgd, Upsample, Visitor, chain, children, init, load_weights, one_hot,
        save_weights, unfused, weights_sha256,
    };
    pub use chainrule_tensor::{
        Conv2dOptions, Device, Float, Key, Pool2dOptions, Purpose, Rng, Shape, ShapeError, Tensor, Tensor64, TensorOf,
        Unary,
    };
}

/// The README's examples are tested.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;

/// So are those of the tour of backpropagation.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/backprop.md")]
struct Backprop;

/// And those of the exchange of weights.
#[cfg(all(doctest, feature = "formats"))]
#[doc = include_str!("../../../docs/weights.md")]
struct Weights;

/// And those of ONNX files.
#[cfg(all(doctest, feature = "onnx"))]
#[doc = include_str!("../../../docs/onnx.md")]
struct OnnxFiles;
