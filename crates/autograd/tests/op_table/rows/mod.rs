//! The rows of the table.

use chainrule_autograd::VarOf;
use chainrule_tensor::TensorOf;

use crate::row::Row;
use composed::composed;
use layers::{images, normalizations};
use losses::losses;
use numbers::{indexing, reductions, views};
use products::products;
use rearranging::rearranging;
use statistics::statistics;
use synchronized::synchronized;

/// `row!(name, [shapes], range, |x| the op, |x| the reference)`; the op is compiled for both types.
macro_rules! row {
    ($name:literal, [$($shape:expr),*], $range:expr, |$x:ident| $op:expr, |$y:ident| $reference:expr) => {{
        fn op<T: chainrule_tensor::Float>($x: &[chainrule_autograd::VarOf<T>]) -> chainrule_autograd::VarOf<T> {
            $op
        }
        fn reference($y: &[chainrule_tensor::Tensor64]) -> Vec<f64> {
            $reference
        }
        $crate::row::Row { name: $name, f64: op::<f64>, f32: op::<f32>, shapes: vec![$($shape.to_vec()),*], range: $range, reference }
    }};
}

mod composed;
mod large;
mod layers;
mod losses;
mod numbers;
mod products;
mod rearranging;
mod statistics;
mod synchronized;

pub use large::large;
pub use numbers::{arithmetic, functions};

const WIDE: (f64, f64) = (-2.1, 2.3);
const POSITIVE: (f64, f64) = (0.3, 2.5);
const UNIT: (f64, f64) = (-0.9, 0.9);
const NONE: [usize; 0] = [];

/// Moves a tensor, such as labels, to the device of x.
fn beside<T: chainrule_tensor::Float, E: chainrule_tensor::Element>(
    x: &VarOf<T>,
    value: impl Into<TensorOf<E>>,
) -> TensorOf<E> {
    value.into().to(x.device())
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// All ops, with inputs small enough to check whole Jacobians.
pub fn all() -> Vec<Row> {
    let numbers = [arithmetic(), functions(), reductions(), views(), indexing()];
    let arrays = [rearranging(), statistics(), products()];
    let layers = [images(), normalizations(), synchronized(), losses(), composed()];
    numbers.into_iter().chain(arrays).chain(layers).flatten().collect()
}

/// Ops that accept an empty batch; the batch is the first axis of the first input.
pub fn batched() -> Vec<Row> {
    let names = [
        "relu",
        "exp",
        "linear",
        "conv2d",
        "conv2d in groups",
        "conv_transpose2d",
        "im2col",
        "max_pool2d",
        "conv2d_relu_max_pool2d",
        "avg_pool2d",
        "adaptive_avg_pool2d",
        "upsample_nearest2d",
        "log_softmax",
        "batch_norm at inference",
        "split, in reverse order",
        "roll",
        "flip",
        "unfold",
        "index_select",
        "masked_fill",
        "tril",
        "cumsum",
        "cumprod",
        "prod",
        "norm 2",
    ];
    let mut rows = all();
    rows.retain(|row| names.contains(&row.name));
    assert_eq!(rows.len(), names.len(), "each is in the table");
    rows
}
