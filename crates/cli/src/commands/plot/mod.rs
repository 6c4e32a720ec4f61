//! Pictures of activation functions, of gradients in depth, and of the paths of optimizers.

mod activations;
mod closed_forms;
mod depth;
mod gradient_flow;
mod landscape;
pub mod picture;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::failure::Failure;

/// Draws activation functions, the gradient flow of deep nets, or a loss landscape, as SVG and PNG
#[derive(Args)]
pub struct Arguments {
    #[command(subcommand)]
    picture: Picture,
    /// The folder of the pictures; created if it does not exist
    #[arg(long, value_name = "DIR", default_value = ".", global = true)]
    out: PathBuf,
}

#[derive(Subcommand)]
enum Picture {
    /// Activation functions with their first and second derivatives, by autograd and by closed forms
    Activations,
    GradientFlow(gradient_flow::Arguments),
    Depth(depth::Arguments),
    Landscape(landscape::Arguments),
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let (name, figure) = match &arguments.picture {
        Picture::Activations => ("activations", activations::draw()?),
        Picture::GradientFlow(arguments) => ("gradient-flow", gradient_flow::draw(arguments)),
        Picture::Depth(arguments) => ("depth", depth::draw(arguments)),
        Picture::Landscape(arguments) => ("landscape", landscape::draw(arguments)),
    };
    picture::save(figure, &arguments.out, name)
}
