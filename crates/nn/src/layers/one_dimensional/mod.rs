//! Convolution and pooling of sequences: those of images with one row.

mod conv;
mod pool;

use chainrule_autograd::VarOf;
use chainrule_tensor::{Float, OrPanic, Shape, ShapeError};

pub use conv::{Conv1d, Conv1dBuilder, ConvTranspose1d, ConvTranspose1dBuilder};
pub use pool::{AdaptiveAvgPool1d, AdaptiveMaxPool1d, AvgPool1d, MaxPool1d};

/// The shape (N,C,1,L) of a sequence (N,C,L) as an image.
fn image(op: &str, x: Shape) -> Result<Shape, ShapeError> {
    if x.rank() != 3 {
        return Err(ShapeError::new(format!("{op}: the input has shape {x}\n  rule: input (N,C,L)")));
    }
    Ok(Shape::from([x[0], x[1], 1, x[2]]))
}

/// The result for the image of a shape rule, as that of a sequence.
fn sequence(op: &str, image: Result<Shape, ShapeError>) -> Result<Shape, ShapeError> {
    match image {
        Ok(y) => Ok(Shape::from([y[0], y[1], y[3]])),
        Err(error) => Err(ShapeError::new(format!("{op}, of an image with one row: {error}"))),
    }
}

/// Applies a map of images to a sequence.
#[track_caller]
fn as_image<T: Float>(
    x: &VarOf<T>,
    output: Result<Shape, ShapeError>,
    f: impl FnOnce(&VarOf<T>) -> VarOf<T>,
) -> VarOf<T> {
    let output = output.or_panic();
    f(&x.unsqueeze(2)).reshape(output)
}
