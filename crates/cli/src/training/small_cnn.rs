//! The small CNN of `mnist` and `cifar10`, from their flags.

use chainrule::nets::{Small, SmallOptions};
use chainrule::prelude::*;

use super::memory;
use super::options::Options;
use crate::failure::Failure;

/// The net for images of `[channels, height, width]`.
///
/// # Errors
/// If its weights do not fit into memory.
pub fn small_cnn(options: &Options, image: [usize; 3], classes: usize) -> Result<Small, Failure> {
    let small = SmallOptions {
        channels: options.channels.0,
        kernel: options.kernel,
        conv_activation: options.conv_activation(),
        activation: options.activation,
        dropout: options.dropout.unwrap_or(0.0),
    };
    let weights = small.parameter_count(image, classes);
    let bytes = weights * size_of::<f32>() as f64;
    memory::require(options, &format!("a net of {weights:.0} weights"), bytes, "use fewer --channels")?;
    Ok(Small::new(image, classes, small, &mut Rng::seed(options.seed)))
}
