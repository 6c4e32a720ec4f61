//! What the comparisons with PyTorch's results have in common (`tests/reference/*.json`).

use chainrule::prelude::*;
use serde_json::Value;

/// The numbers of a list, or of lists in lists, in order; those that JSON does not have are texts.
pub fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(list) => list.iter().flat_map(numbers).collect(),
        Value::String(text) => vec![text.parse().expect("nan, inf or -inf")],
        number => vec![number.as_f64().expect("a number")],
    }
}

pub fn sizes(value: &Value) -> Vec<usize> {
    numbers(value).into_iter().map(|n| n as usize).collect()
}

/// Tensor number k of the scripts.
pub fn formula(shape: &[usize], k: usize) -> Tensor64 {
    Tensor64::from_fn(shape, |i| ((37 * i + 11 * k) % 101) as f64 / 50.0 - 1.0)
}

/// Equal within 1e-11, relative to PyTorch's number, or absolutely if that is below 1.
#[track_caller]
pub fn near(what: &str, ours: &Tensor64, theirs: &Value) {
    near_by(what, ours, theirs, 1e-11, 1.0);
}

/// Equal within `tolerance`, relative to PyTorch's number or to `floor` if that is larger. NaN equals NaN.
#[track_caller]
pub fn near_by(what: &str, ours: &Tensor64, theirs: &Value, tolerance: f64, floor: f64) {
    let (ours, theirs) = (ours.to_vec(), numbers(theirs));
    assert_eq!(ours.len(), theirs.len(), "{what}");
    for (i, (a, b)) in ours.iter().zip(&theirs).enumerate() {
        let same = a == b || a.is_nan() && b.is_nan() || (a - b).abs() <= tolerance * b.abs().max(floor);
        assert!(same, "{what}[{i}] is {a}, not {b}");
    }
}
