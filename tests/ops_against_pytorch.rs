//! Values and gradients of the ops against PyTorch's, in `f64` (`tests/reference/layers.py` generates the inputs).

use std::collections::BTreeMap;

use chainrule::prelude::*;
use serde_json::Value;

use crate::against_pytorch::{near_by, numbers, sizes};

/// The numbers that identify the script's inputs.
const LETTERS: [(&str, usize); 5] = [("x", 1), ("w", 2), ("b", 3), ("c", 4), ("t", 5)];

/// One number for both axes, or one per axis.
fn pair(value: &Value) -> [usize; 2] {
    match sizes(value)[..] {
        [n] => [n, n],
        [a, b] => [a, b],
        _ => panic!("{value} is no pair"),
    }
}

/// Tensor `letter` of a case: as the script's formula says, or in full.
fn input(case: &Value, letter: &str, shape: &[usize]) -> Tensor64 {
    if let Some(values) = case.get(letter) {
        return Tensor64::from_slice(&numbers(values), shape);
    }
    let k = LETTERS.iter().find(|(name, _)| *name == letter).expect("a known letter").1;
    let of = |what: &str, default: f64| case["args"][format!("{letter}_{what}")].as_f64().unwrap_or(default);
    let (scale, shift) = (of("scale", 1.0), of("shift", 0.0));
    Tensor64::from_fn(shape, |i| shift + scale * (((37 * i + 11 * k) % 101) as f64 / 50.0 - 1.0))
}

fn reduction(args: &Value) -> Reduction {
    match args["reduction"].as_str().expect("a reduction") {
        "mean" => Reduction::Mean,
        "sum" => Reduction::Sum,
        _ => Reduction::None,
    }
}

fn tensor(value: &Value) -> Option<Tensor64> {
    (!value.is_null()).then(|| Tensor64::from(numbers(value)))
}

/// The op of a case on its inputs.
fn apply(case: &Value, v: &BTreeMap<&str, Var64>) -> Var64 {
    let (x, args) = (&v["x"], &case["args"]);
    let convolution = || Conv2dOptions {
        stride: pair(&args["stride"]),
        padding: pair(&args["padding"]),
        dilation: pair(&args["dilation"]),
        groups: args["groups"].as_u64().expect("groups") as usize,
    };
    let pool = || Pool2dOptions {
        kernel: pair(&args["kernel_size"]),
        stride: pair(&args["stride"]),
        padding: pair(&args["padding"]),
        count_include_pad: args["count_include_pad"].as_bool().unwrap_or(true),
        ..1.into()
    };
    let number = |key: &str| args[key].as_f64().expect("a number");
    let ignored = || args["ignore_index"].as_i64().map(|label| label as i32);
    let cross_entropy = || CrossEntropy {
        weights: tensor(&args["weight"]),
        label_smoothing: number("label_smoothing"),
        ignore_index: ignored(),
        reduction: reduction(args),
    };
    let labels = || {
        let mut shape = sizes(&case["shapes"]["x"]);
        shape.remove(1);
        let labels: Vec<i32> = numbers(&args["labels"]).into_iter().map(|label| label as i32).collect();
        TensorOf::from_slice(&labels, shape)
    };
    let signs = || Var64::constant(Tensor64::from_slice(&numbers(&args["signs"]), sizes(&args["signs_shape"])));
    match case["op"].as_str().expect("an op") {
        "conv2d" => x.conv2d(&v["w"], v.get("b"), convolution()),
        "conv_transpose2d" => x.conv_transpose2d(&v["w"], v.get("b"), convolution(), pair(&args["output_padding"])),
        "max_pool2d" => x.max_pool2d(pool()),
        "avg_pool2d" => x.avg_pool2d(pool()),
        "adaptive_avg_pool2d" => x.adaptive_avg_pool2d(pair(&args["output_size"])),
        "upsample_nearest2d" => x.upsample_nearest2d(pair(&args["output_size"])),
        "upsample_bilinear2d" => x.upsample_bilinear2d(pair(&args["output_size"]), args["align_corners"] == true),
        "batch_norm1d" | "batch_norm2d" => x.batch_norm(&v["w"], &v["b"], number("eps")).0,
        "cross_entropy" => x.cross_entropy_with(&labels(), &cross_entropy()),
        "nll" => x.nll_loss_with(
            &labels(),
            &NllLoss { weights: tensor(&args["weight"]), ignore_index: ignored(), reduction: reduction(args) },
        ),
        "l1" => x.l1_loss(&v["t"], reduction(args)),
        "huber" => x.huber_loss(&v["t"], reduction(args), number("delta")),
        "smooth_l1" => x.smooth_l1_loss(&v["t"], reduction(args), number("beta")),
        "kl_div" => x.kl_div(&v["t"], reduction(args), args["log_target"] == true),
        "hinge_embedding" => x.hinge_embedding_loss(&signs(), reduction(args), number("margin")),
        "margin_ranking" => x.margin_ranking_loss(&v["w"], &signs(), reduction(args), number("margin")),
        "cosine_embedding" => x.cosine_embedding_loss(&v["w"], &signs(), reduction(args), number("margin")),
        "cosine_similarity" => x.cosine_similarity(&v["w"], number("dim") as isize, number("eps")),
        "soft_cross_entropy" => x.soft_cross_entropy_with(&v["t"], &cross_entropy()),
        "bce" => x.bce_loss(&v["t"], reduction(args)),
        "bce_with_logits" => match tensor(&args["pos_weight"]) {
            Some(weight) => x.bce_with_logits_weighted(&v["t"], &weight, reduction(args)),
            None => x.bce_with_logits(&v["t"], reduction(args)),
        },
        "mse" => x.mse_loss(&v["t"], reduction(args)),
        "log_softmax" => x.log_softmax(number("axis") as isize),
        "relu" => x.relu(),
        "leaky_relu" => x.leaky_relu(number("slope")),
        "sigmoid" => x.sigmoid(),
        "tanh" => x.tanh(),
        "softplus" => x.softplus(),
        "swish" => x.swish(number("beta")),
        "mish" => x.mish(),
        "gelu" if args["approximate"] == "tanh" => x.gelu_tanh(),
        "gelu" => x.gelu(),
        op => panic!("the reference has an op '{op}' that this test does not know"),
    }
}

/// Within `tolerance`, relative to the value, or to the mean size of all in case of cancellation.
fn near(name: &str, what: &str, ours: &Tensor64, theirs: &Value, tolerance: f64) {
    let all = numbers(theirs);
    let typical = all.iter().map(|v| v.abs()).sum::<f64>() / all.len() as f64;
    near_by(&format!("{name}: {what}"), ours, theirs, tolerance, typical.min(1.0));
}

#[test]
fn values_and_gradients_agree_with_pytorch() {
    let reference: Value = serde_json::from_str(include_str!("reference/layers.json")).expect("JSON");
    let cases = reference["cases"].as_array().expect("cases");
    let mut compared = 0;
    for case in cases {
        let name = case["name"].as_str().expect("a name");
        if case["args"]["training"] == false {
            continue; // Inference uses running statistics, which are the layer's: see crates/nn/tests/layers.rs.
        }
        let shapes = case["shapes"].as_object().expect("shapes by letter");
        let variables: BTreeMap<&str, Var64> = shapes
            .iter()
            .map(|(letter, shape)| {
                let value = input(case, letter, &sizes(shape));
                let var = if letter == "t" { Var64::constant(value) } else { Var64::parameter(letter, value) };
                (letter.as_str(), var)
            })
            .collect();
        let y = apply(case, &variables);
        assert_eq!(y.shape().to_vec(), sizes(&case["y_shape"]), "{name}");
        let extremes = case.get("x").is_some();
        let c = if extremes { Tensor64::ones(y.shape()) } else { input(case, "c", &y.shape()) };
        let gradients = (&y * Var64::constant(c)).sum().backward();
        // At its extremes PyTorch's BCE divides by the f32 nearest to 1e-12.
        let tolerance = if name == "bce, at extremes" { 1e-7 } else { 1e-12 };
        near(name, "y", &y.value(), &case["y"], tolerance);
        for letter in ["x", "w", "b"] {
            if let Some(theirs) = case.get(format!("d{letter}")) {
                near(name, &format!("d{letter}"), &gradients[&variables[letter]], theirs, tolerance);
            }
        }
        compared += 1;
    }
    assert_eq!((cases.len(), compared), (135, 133));
}
