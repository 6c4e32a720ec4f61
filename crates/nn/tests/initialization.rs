//! Fans, gains, bounds and standard deviations, compared with `PyTorch` (`tests/reference/initialization.json`).

use chainrule_autograd::{Var64, VarOf};
use chainrule_nn::init::{self, Fan, Nonlinearity};
use chainrule_nn::{BatchNorm2d, Conv2d, ConvTranspose2d, Linear};
use chainrule_tensor::{Rng, TensorOf};
use serde_json::Value;

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is not a number"))
}

fn sizes(value: &Value) -> Vec<usize> {
    value.as_array().expect("a list").iter().map(|n| n.as_u64().expect("a size") as usize).collect()
}

fn largest(x: &Var64) -> f64 {
    x.value().to_vec().into_iter().fold(0.0, |most, x| x.abs().max(most))
}

/// Checks a uniform distribution on ±bound: no value is outside, and the largest is close to the bound (a correct one fails
/// with probability 1e-6).
fn assert_bound(what: &Value, x: &Var64, bound: f64) {
    let most = largest(x);
    let near = bound * (1e-6f64).powf(1.0 / x.shape().numel() as f64);
    assert!(most <= bound && most >= near, "{what}: largest {most}, bound {bound}");
}

/// Checks that the mean square is std² within 5 standard deviations of the estimate, `spread`·std²/√n (spread is √2 for a
/// normal distribution, √0.8 for a uniform one).
fn assert_std(what: &Value, x: &Var64, std: f64, spread: f64) {
    let n = x.shape().numel() as f64;
    let square = x.value().to_vec().into_iter().map(|x| x * x).sum::<f64>() / n;
    let tolerance = 5.0 * spread / n.sqrt();
    assert!((square / (std * std) - 1.0).abs() < tolerance, "{what}: mean square {square} for std {std}");
}

fn pair(value: &Value) -> [usize; 2] {
    value.as_u64().map_or_else(|| sizes(value).try_into().expect("two sizes"), |n| [n as usize; 2])
}

#[test]
fn as_pytorch() {
    let reference: Value =
        serde_json::from_str(include_str!("../../../tests/reference/initialization.json")).expect("valid JSON");
    let cases = reference["cases"].as_array().expect("cases");
    for case in cases {
        let (args, rng) = (&case["args"], &mut Rng::seed(11));
        let size = |name: &str| args[name].as_u64().unwrap_or(1) as usize;
        let default = |weight: &Var64, bias: Option<&Var64>| {
            assert_eq!(*weight.shape(), *sizes(&case["weight_shape"]), "{case}");
            assert_bound(case, weight, number(&case["weight_bound"]));
            assert_bound(case, bias.expect("a bias"), number(&case["bias_bound"]));
        };
        let weight = || VarOf::parameter("w", TensorOf::zeros(sizes(&case["weight_shape"])));
        let fan = || if args["mode"] == "fan_in" { Fan::In } else { Fan::Out };
        let after = || match args["nonlinearity"].as_str() {
            Some("relu") => Nonlinearity::Relu,
            Some("leaky_relu") => Nonlinearity::LeakyRelu(number(&args["a"])),
            other => panic!("unknown nonlinearity {other:?}"),
        };
        match case["name"].as_str().expect("a name") {
            "default Linear" => {
                let layer = Linear::new(size("in_features"), size("out_features"), rng);
                default(&layer.weight, layer.bias.as_ref());
            }
            "default Conv2d" => {
                let layer = Conv2d::builder(size("in_channels"), size("out_channels"), pair(&args["kernel_size"]))
                    .groups(size("groups"))
                    .build(rng);
                default(&layer.weight, layer.bias.as_ref());
            }
            "default ConvTranspose2d" => {
                let kernel = pair(&args["kernel_size"]);
                let layer = ConvTranspose2d::builder(size("in_channels"), size("out_channels"), kernel)
                    .groups(size("groups"))
                    .build(rng);
                default(&layer.weight, layer.bias.as_ref());
            }
            "default BatchNorm" => {
                let layer = BatchNorm2d::<f64>::new(3);
                assert_eq!(layer.weight().value().to_vec(), [number(&case["weight"]); 3]);
                assert_eq!(layer.bias().value().to_vec(), [number(&case["bias"]); 3]);
                assert_eq!(layer.running_mean().to_vec(), [number(&case["running_mean"]); 3]);
                assert_eq!(layer.running_var().to_vec(), [number(&case["running_var"]); 3]);
            }
            "kaiming_uniform" => {
                let w = weight();
                init::kaiming_uniform(&w, fan(), after(), rng);
                assert_bound(case, &w, number(&case["bound"]));
                assert_std(case, &w, number(&case["bound"]) / 3f64.sqrt(), 0.8f64.sqrt());
            }
            "kaiming_normal" => {
                let w = weight();
                init::kaiming_normal(&w, fan(), after(), rng);
                assert_std(case, &w, number(&case["std"]), 2f64.sqrt());
            }
            "xavier_uniform" => {
                let w = weight();
                init::xavier_uniform(&w, number(&args["gain"]), rng);
                assert_bound(case, &w, number(&case["bound"]));
                assert_std(case, &w, number(&case["bound"]) / 3f64.sqrt(), 0.8f64.sqrt());
            }
            "xavier_normal" => {
                let w = weight();
                init::xavier_normal(&w, number(&args["gain"]), rng);
                assert_std(case, &w, number(&case["std"]), 2f64.sqrt());
            }
            gain => {
                let nonlinearity = match gain.strip_prefix("gain ") {
                    Some("linear" | "sigmoid") => Nonlinearity::Linear,
                    Some("tanh") => Nonlinearity::Tanh,
                    Some("relu") => Nonlinearity::Relu,
                    Some("selu") => Nonlinearity::Selu,
                    Some("leaky_relu") => Nonlinearity::LeakyRelu(number(&args["slope"])),
                    _ => panic!("unknown case: {case}"),
                };
                assert!((nonlinearity.gain() - number(&case["gain"])).abs() < 1e-15, "{case}");
            }
        }
        if let Some(shape) = case.get("weight_shape") {
            let (fan_in, fan_out) = init::fans(sizes(shape).into());
            assert_eq!(
                [Some(fan_in as u64), Some(fan_out as u64)],
                [case["fan_in"].as_u64(), case["fan_out"].as_u64()]
            );
        }
    }
}

#[test]
#[should_panic(expected = "a weight of shape (3,) has no fans")]
fn a_vector_has_no_fans() {
    let bias = Var64::parameter("b", TensorOf::zeros(3));
    init::xavier_normal(&bias, 1.0, &mut Rng::seed(0));
}
