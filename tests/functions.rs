//! Values, gradients and second-order products of elementwise functions against PyTorch's, in `f64`
//! (`tests/reference/functions.py`).

use chainrule::prelude::*;
use serde_json::Value;

use crate::against_pytorch::{formula, near, numbers, sizes};

/// The script's c, for k = 4, and e, for k = 5.
fn weights(shape: Shape, k: usize) -> Var64 {
    Var64::constant(formula(&shape, k))
}

type Function = fn(&[Var64]) -> Var64;

const FUNCTIONS: [(&str, Function); 31] = [
    ("sin", |x| x[0].sin()),
    ("cos", |x| x[0].cos()),
    ("tan", |x| x[0].tan()),
    ("asin", |x| x[0].asin()),
    ("acos", |x| x[0].acos()),
    ("atan", |x| x[0].atan()),
    ("sinh", |x| x[0].sinh()),
    ("cosh", |x| x[0].cosh()),
    ("expm1", |x| x[0].expm1()),
    ("log1p", |x| x[0].log1p()),
    ("log2", |x| x[0].log2()),
    ("log10", |x| x[0].log10()),
    ("erf", |x| x[0].erf()),
    ("rsqrt", |x| x[0].rsqrt()),
    ("floor", |x| x[0].floor()),
    ("ceil", |x| x[0].ceil()),
    ("round", |x| x[0].round()),
    ("trunc", |x| x[0].trunc()),
    ("sign", |x| x[0].sign()),
    ("selu", |x| x[0].selu()),
    ("celu", |x| x[0].celu(0.75)),
    ("relu6", |x| x[0].relu6()),
    ("hardtanh", |x| x[0].hardtanh()),
    ("hardsigmoid", |x| x[0].hardsigmoid()),
    ("hardswish", |x| x[0].hardswish()),
    ("logsigmoid", |x| x[0].logsigmoid()),
    ("softsign", |x| x[0].softsign()),
    ("glu", |x| x[0].glu(-1)),
    ("power", |x| x[0].power(&x[1])),
    ("atan2", |x| x[0].atan2(&x[1])),
    ("remainder", |x| x[0].remainder(&x[1])),
];

/// The results of a case under keys that begin with `prefix`.
fn compare(case: &Value, prefix: &str, found: &[Var64]) {
    for (letter, found) in ["a", "b"].into_iter().zip(found) {
        let key = format!("{prefix}{letter}");
        near(&format!("{}: {key}", case["name"]), &found.value(), &case[key]);
    }
}

#[test]
fn functions_agree_with_pytorch_to_second_order() {
    let file: Value = serde_json::from_str(include_str!("reference/functions.json")).expect("JSON");
    for case in file["cases"].as_array().expect("cases") {
        let inputs: Vec<Var64> = ["a", "b"]
            .into_iter()
            .zip(case["shapes"].as_array().expect("shapes"))
            .map(|(letter, shape)| {
                Var64::parameter(letter, Tensor64::from_slice(&numbers(&case[letter]), sizes(shape)))
            })
            .collect();
        let of: Vec<&Var64> = inputs.iter().collect();
        let function = FUNCTIONS.iter().find(|(name, _)| case["function"] == *name).expect("a function of the table").1;
        let y = function(&inputs);
        near(&format!("{}: y", case["name"]), &y.value(), &case["y"]);
        let first = (&y * weights(y.shape(), 4)).sum().gradients(&of);
        compare(case, "d", &first);
        if case.get("dda").is_some() {
            // A slope that is constant does not depend on the input; 0·x does, and changes nothing.
            let products = first.iter().map(|d| (d * weights(d.shape(), 5)).sum());
            let product =
                products.chain(inputs.iter().map(|x| (0.0 * x).sum())).reduce(|a, b| a + b).expect("an input");
            compare(case, "dd", &product.gradients(&of));
        }
    }
    for (name, _) in FUNCTIONS {
        assert!(
            file["cases"].as_array().expect("cases").iter().any(|case| case["function"] == name),
            "{name} has no case"
        );
    }
}
