//! The table of all ops on the GPU, compared with the CPU.

use chainrule_autograd::VarOf;
use chainrule_tensor::{Float, TensorOf};

use crate::row::{Row, bent, near, parameters, spread, value_and_gradients};
use crate::{GPU, rows};

/// Every op's value and gradients from the same inputs on both devices.
fn compare<T: Float>(name: &str, f: fn(&[VarOf<T>]) -> VarOf<T>, inputs: &[TensorOf<T>], tolerance: f64) {
    let there: Vec<TensorOf<T>> = inputs.iter().map(|x| x.to(GPU)).collect();
    let (here, there) = (value_and_gradients(f, inputs), value_and_gradients(f, &there));
    for (i, (a, b)) in here.iter().zip(&there).enumerate() {
        assert_eq!(b.device(), GPU, "{name}: output {i} is not on the GPU");
        assert_eq!(a.shape(), b.shape(), "{name}: output {i}");
        near(name, &format!("output {i}"), &b.to_f64().to_vec(), &a.to_f64().to_vec(), tolerance);
    }
}

/// Images in channels-last format, other tensors transposed in memory.
fn rearranged<T: Float>(x: &TensorOf<T>) -> TensorOf<T> {
    match x.rank() {
        4 => x.channels_last(),
        0 | 1 => x.clone(),
        _ => x.transpose(0, -1).contiguous().transpose(0, -1),
    }
}

/// The CPU results equal those of plain loops, so the GPU is compared with correct values.
fn checked_here(row: &Row) {
    let y = (row.f64)(&parameters(&row.inputs())).value().clone();
    near(row.name, "forward", &y.to_vec(), &(row.reference)(&row.inputs()), 1e-12);
}

pub fn channels_last() {
    for row in rows::all() {
        let inputs: Vec<_> = row.inputs().iter().map(rearranged).collect();
        compare(row.name, row.f64, &inputs, 1e-12);
        let inputs: Vec<_> = row.inputs().iter().map(rearranged).collect();
        compare(row.name, row.f32, &inputs, 2e-5);
    }
}

pub fn large() {
    for row in rows::large() {
        compare(row.name, row.f32, &row.inputs(), 2e-5);
        compare(row.name, row.f64, &row.inputs(), 1e-11);
    }
}

pub fn empty() {
    for row in rows::batched() {
        let mut inputs = row.inputs::<f32>();
        inputs[0] = inputs[0].narrow(0, 0..0);
        let there: Vec<_> = inputs.iter().map(|x| x.to(GPU)).collect();
        let (here, there) = ((row.f32)(&parameters(&inputs)), (row.f32)(&parameters(&there)));
        assert_eq!((here.shape(), GPU), (there.shape(), there.device()), "{}", row.name);
        let (here, there) = (here.sum().backward(), there.sum().backward());
        for ((_, a), (_, b)) in here.iter().zip(there.iter()) {
            assert_eq!(a.to_vec(), b.to_vec(), "{}", row.name);
        }
    }
}

/// Second-order gradients, which use the ops' backward kernels.
pub fn second_gradients() {
    for row in rows::all() {
        let second = |inputs: &[TensorOf<f64>]| -> Vec<TensorOf<f64>> {
            let x = parameters(inputs);
            let first = bent(&(row.f64)(&x)).sum();
            let lengths = x.iter().map(|x| first.gradient(x).square().sum()).reduce(|a, b| a + b);
            let gradients = lengths.expect("an op has inputs").backward();
            x.iter().filter_map(|x| gradients.get(x).cloned()).collect()
        };
        let inputs = row.inputs::<f64>();
        let there: Vec<_> = inputs.iter().map(|x| x.to(GPU)).collect();
        let (here, there) = (second(&inputs), second(&there));
        assert_eq!(here.len(), there.len(), "{}", row.name);
        for (a, b) in here.iter().zip(&there) {
            near(row.name, "a second gradient", &b.to_vec(), &a.to_vec(), 1e-11);
        }
    }
}

/// Forward mode, which runs ops on tangents, and rules on random dy.
pub fn tangents() {
    for row in rows::all() {
        let tangent = |inputs: &[TensorOf<f64>]| -> TensorOf<f64> {
            let x = parameters(inputs);
            let along = |x: &TensorOf<f64>| VarOf::constant(spread::<f64>(&x.shape(), (-1.0, 1.3), 1).to(x.device()));
            let seeds: Vec<VarOf<f64>> = inputs.iter().map(along).collect();
            let pairs: Vec<(&VarOf<f64>, &VarOf<f64>)> = x.iter().zip(&seeds).collect();
            bent(&(row.f64)(&x)).tangent(&pairs).value.value().clone()
        };
        let inputs = row.inputs::<f64>();
        let there: Vec<_> = inputs.iter().map(|x| x.to(GPU)).collect();
        let (here, there) = (tangent(&inputs), tangent(&there));
        assert_eq!(there.device(), GPU, "{}: the tangent is not on the GPU", row.name);
        near(row.name, "the tangent", &there.to_vec(), &here.to_vec(), 1e-11);
    }
}

pub fn same_bits() {
    for row in rows::large() {
        let run = || {
            let there: Vec<_> = row.inputs::<f32>().iter().map(|x| x.to(GPU)).collect();
            let outputs = value_and_gradients(row.f32, &there);
            outputs.iter().flat_map(TensorOf::to_vec).map(f32::to_bits).collect::<Vec<_>>()
        };
        assert!(run() == run(), "{}: two runs differ", row.name);
    }
}

pub fn single() {
    for row in rows::all() {
        compare(row.name, row.f32, &row.inputs(), 2e-5);
    }
}

pub fn double() {
    for row in rows::all() {
        checked_here(&row);
        compare(row.name, row.f64, &row.inputs(), 1e-12);
    }
}
