//! Convolution, pooling and resampling of images (N,C,H,W).

mod conv2d;
mod conv_transpose2d;
mod im2col;
mod pool;
mod upsample;

use chainrule_tensor::Conv2dOptions;

use crate::attribute::Attribute;

/// The attributes of a convolution.
pub(super) fn attributes(options: Conv2dOptions) -> Vec<Attribute> {
    vec![
        Attribute::new("stride", options.stride).symbol("s"),
        Attribute::new("padding", options.padding).symbol("pad"),
        Attribute::new("dilation", options.dilation).symbol("d"),
        Attribute::new("groups", options.groups),
    ]
}
