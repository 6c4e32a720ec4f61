//! The table of all ops, on the GPU beside the processor.

use chainrule_autograd::VarOf;
use chainrule_tensor::{Float, TensorOf};

use crate::row::{near, value_and_gradients};
use crate::{GPU, rows};

/// Every op's value and gradients from the same inputs in both places.
fn compare<T: Float>(name: &str, f: fn(&[VarOf<T>]) -> VarOf<T>, inputs: &[TensorOf<T>], tolerance: f64) {
    let there: Vec<TensorOf<T>> = inputs.iter().map(|x| x.to(GPU)).collect();
    let (here, there) = (value_and_gradients(f, inputs), value_and_gradients(f, &there));
    for (i, (a, b)) in here.iter().zip(&there).enumerate() {
        assert_eq!(b.device(), GPU, "{name}: output {i} has left the GPU");
        assert_eq!(a.shape(), b.shape(), "{name}: output {i}");
        near(name, &format!("output {i}"), &b.to_f64().to_vec(), &a.to_f64().to_vec(), tolerance);
    }
}

pub fn single() {
    for row in rows::all() {
        compare(row.name, row.f32, &row.inputs(), 2e-5);
    }
}

pub fn double() {
    for row in rows::all() {
        compare(row.name, row.f64, &row.inputs(), 1e-12);
    }
}
