//! Ten steps of each optimizer, and the schedules, against PyTorch's (`tests/reference/*.py`).

use chainrule::prelude::*;
use serde_json::Value;

/// The problem of `tests/reference/optimizers.py`: its initial values and gradients.
const SHAPES: [&[usize]; 2] = [&[2, 3], &[3]];

fn start<T: Float>(p: usize) -> TensorOf<T> {
    TensorOf::from_fn(SHAPES[p], |i| T::from_f64((((5 * i + 3 * p) % 7) as f64 - 3.0) / 4.0))
}

fn gradient<T: Float>(t: usize, p: usize) -> TensorOf<T> {
    let seven = T::from_f64(7.0);
    TensorOf::from_fn(SHAPES[p], |i| T::from_f64(((7 * i + 3 * t + 5 * p) % 11) as f64 - 5.0) / seven)
}

fn number(case: &Value, group: &Value, key: &str, default: f64) -> f64 {
    group.get(key).or_else(|| case.get(key)).map_or(default, |v| v.as_f64().expect("a number"))
}

/// The optimizer of a case, one group for each parameter if the case has groups.
fn build<T: Float>(case: &Value, parameters: [VarOf<T>; 2]) -> Box<dyn Optimizer<T>> {
    let [w, b] = parameters;
    let none = Value::Null;
    let groups = case.get("groups").and_then(Value::as_array);
    let (first, second) = groups.map_or((&none, None), |g| (&g[0], Some(&g[1])));
    let members = if second.is_some() { vec![w] } else { vec![w, b.clone()] };
    let get = |group: &Value, key: &str, default: f64| number(case, group, key, default);
    let betas = |i: usize, default: f64| case.get("betas").map_or(default, |v| v[i].as_f64().expect("a number"));
    macro_rules! adam {
        ($kind:ident, $decay:expr) => {{
            let mut adam = $kind::new(members, get(first, "lr", 0.0))
                .betas(betas(0, 0.9), betas(1, 0.999))
                .eps(get(first, "eps", 1e-8))
                .weight_decay(get(first, "weight_decay", $decay));
            if let Some(second) = second {
                adam = adam.group(vec![b], get(second, "lr", 0.0)).weight_decay(get(second, "weight_decay", $decay));
            }
            Box::new(adam)
        }};
    }
    match case["optimizer"].as_str().expect("a name") {
        "adam" => adam!(Adam, 0.0),
        "adamw" => adam!(AdamW, 0.01),
        _ => {
            let mut sgd = Sgd::new(members, get(first, "lr", 0.0))
                .momentum(get(first, "momentum", 0.0))
                .dampening(get(first, "dampening", 0.0))
                .nesterov(case.get("nesterov").is_some_and(|v| v == true))
                .weight_decay(get(first, "weight_decay", 0.0));
            if let Some(second) = second {
                sgd = sgd.group(vec![b], get(second, "lr", 0.0)).weight_decay(get(second, "weight_decay", 0.0));
            }
            Box::new(sgd)
        }
    }
}

/// The largest deviation from PyTorch's parameters in ten steps, relative to 1 or to the value if that is larger.
fn furthest<T: Float>(case: &Value) -> f64 {
    let parameters = [0, 1].map(|p| VarOf::parameter(["w", "b"][p], start::<T>(p)));
    let mut optimizer = build(case, parameters.clone());
    let mut worst = 0.0f64;
    for (t, expected) in case[T::NAME].as_array().expect("a row for each step").iter().enumerate() {
        // The gradient of Σ p·g is g, exactly.
        let term = |p: usize| (&parameters[p] * VarOf::constant(gradient::<T>(t + 1, p))).sum();
        let mut gradients = (term(0) + term(1)).backward();
        if let Some(limit) = case.get("clip_norm").and_then(Value::as_f64) {
            let norm = gradients.clip_norm(limit).item();
            let expected = case[format!("norm_{}", T::NAME)][t].as_f64().expect("a norm");
            worst = worst.max((norm - expected).abs() / expected);
        }
        if let Some(limit) = case.get("clip_value").and_then(Value::as_f64) {
            gradients.clip_value(limit);
        }
        optimizer.step(&gradients);
        let values = parameters.iter().flat_map(|p| p.value().to_f64().to_vec());
        for (value, expected) in values.zip(expected.as_array().expect("nine numbers")) {
            let expected = expected.as_f64().expect("a number");
            worst = worst.max((value - expected).abs() / expected.abs().max(1.0));
        }
    }
    worst
}

#[test]
fn ten_steps_of_each_optimizer_agree_with_pytorch() {
    let reference: Value = serde_json::from_str(include_str!("reference/optimizers.json")).expect("JSON");
    let cases = reference["cases"].as_array().expect("cases");
    assert_eq!(cases.len(), 16);
    for case in cases {
        assert_eq!(case["f64"].as_array().map(Vec::len), Some(10));
        let (double, single) = (furthest::<f64>(case), furthest::<f32>(case));
        assert!(double < 1e-12, "{}: {double:e} in f64", case["name"]);
        assert!(single < 1e-6, "{}: {single:e} in f32", case["name"]);
    }
}

#[test]
fn schedules_agree_with_pytorch() {
    let reference: Value = serde_json::from_str(include_str!("reference/schedules.json")).expect("JSON");
    let schedules = [
        ("step", Schedule::step(0.1, 3, 0.1)),
        ("cosine", Schedule::cosine(0.1, 1e-4, 10)),
        ("one_cycle", Schedule::one_cycle(0.1, 20)),
        ("triangle", Schedule::triangle(0.1, 25, 0.2, 0.23, 0.07)),
        ("warm_up_ramp_cosine", Schedule::cosine(0.1, 1e-4, 10).with_warm_up(5)),
    ];
    for (name, schedule) in schedules {
        let cases = reference["cases"].as_array().expect("cases");
        let case = cases.iter().find(|case| case["name"] == name).expect("the case is there");
        for (t, expected) in case["lr"].as_array().expect("a rate for each step").iter().enumerate() {
            let (lr, expected) = (schedule.lr(t as u64), expected.as_f64().expect("a number"));
            assert!((lr - expected).abs() < 1e-12, "{name} at step {t}: {lr}, not {expected}");
        }
    }
}
