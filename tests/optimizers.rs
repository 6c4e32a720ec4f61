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
    let on = |key: &str| case.get(key).is_some_and(|v| v == true);
    // The rates and the weight decays may differ between the groups.
    macro_rules! with_second {
        ($optimizer:expr) => {
            with_second!($optimizer, 0.0)
        };
        ($optimizer:expr, $decay:expr) => {{
            let mut optimizer = $optimizer.weight_decay(get(first, "weight_decay", $decay));
            if let Some(second) = second {
                let decay = get(second, "weight_decay", $decay);
                optimizer = optimizer.group(vec![b], get(second, "lr", 0.0)).weight_decay(decay);
            }
            Box::new(optimizer)
        }};
    }
    match case["optimizer"].as_str().expect("a name") {
        "adam" => with_second!(
            Adam::new(members, get(first, "lr", 0.0))
                .betas(betas(0, 0.9), betas(1, 0.999))
                .eps(get(first, "eps", 1e-8))
        ),
        "adamw" => with_second!(
            AdamW::new(members, get(first, "lr", 0.0))
                .betas(betas(0, 0.9), betas(1, 0.999))
                .eps(get(first, "eps", 1e-8)),
            0.01
        ),
        "rmsprop" => with_second!(
            RmsProp::new(members, get(first, "lr", 0.0))
                .alpha(get(first, "alpha", 0.99))
                .eps(get(first, "eps", 1e-8))
                .momentum(get(first, "momentum", 0.0))
                .centered(on("centered"))
        ),
        "adagrad" => with_second!(
            Adagrad::new(members, get(first, "lr", 0.0))
                .lr_decay(get(first, "lr_decay", 0.0))
                .initial_accumulator_value(get(first, "initial_accumulator_value", 0.0))
                .eps(get(first, "eps", 1e-10))
        ),
        "nadam" => with_second!(
            NAdam::new(members, get(first, "lr", 0.0))
                .betas(betas(0, 0.9), betas(1, 0.999))
                .eps(get(first, "eps", 1e-8))
                .momentum_decay(get(first, "momentum_decay", 4e-3))
                .decoupled_weight_decay(on("decoupled_weight_decay"))
        ),
        "sgd" => with_second!(
            Sgd::new(members, get(first, "lr", 0.0))
                .momentum(get(first, "momentum", 0.0))
                .dampening(get(first, "dampening", 0.0))
                .nesterov(on("nesterov"))
        ),
        name => panic!("the reference has an optimizer '{name}' that this test does not know"),
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
    assert_eq!(cases.len(), 28);
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
        ("exponential", Schedule::exponential(0.1, 0.9)),
        ("polynomial", Schedule::polynomial(0.1, 10, 1.5)),
        ("linear", Schedule::linear(0.025, 0.075, 5)),
        ("lambda", Schedule::from_fn(12, |t| 0.1 / (1.0 + t as f64 / 3.0))),
        (
            "chained",
            Schedule::chained(vec![
                Schedule::exponential(0.1, 0.9),
                Schedule::step(1.0, 4, 0.5),
                Schedule::linear(0.25, 1.0, 5),
            ]),
        ),
        (
            "sequential",
            Schedule::sequential(
                vec![Schedule::constant(0.025), Schedule::exponential(0.1, 0.9), Schedule::polynomial(0.1, 4, 2.0)],
                vec![3, 8],
            ),
        ),
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

#[test]
fn a_plateau_reduces_the_rate_when_pytorch_does() {
    let reference: Value = serde_json::from_str(include_str!("reference/schedules.json")).expect("JSON");
    let cases = reference["cases"].as_array().expect("cases").iter().filter(|case| case.get("metrics").is_some());
    let mut compared = 0;
    for case in cases {
        let (name, args) = (&case["name"], &case["args"]);
        let get = |key: &str, default: f64| args[key].as_f64().unwrap_or(default);
        let count = |key: &str, default: u64| args[key].as_u64().unwrap_or(default);
        let mut plateau = ReduceLrOnPlateau::new(case["base_lr"].as_f64().expect("a rate"))
            .factor(get("factor", 0.1))
            .patience(count("patience", 10))
            .cooldown(count("cooldown", 0))
            .min_lr(get("min_lr", 0.0))
            .mode(if args["mode"] == "max" { PlateauMode::Max } else { PlateauMode::Min });
        let threshold = get("threshold", 1e-4);
        let absolute = args["threshold_mode"] == "abs";
        plateau = if absolute { plateau.absolute_threshold(threshold) } else { plateau.threshold(threshold) };
        let (metrics, rates) = (case["metrics"].as_array().expect("metrics"), case["lr"].as_array().expect("rates"));
        for (t, (metric, expected)) in metrics.iter().zip(rates).enumerate() {
            plateau.step(metric.as_f64().unwrap_or(f64::NAN));
            let (lr, expected) = (plateau.lr(), expected.as_f64().expect("a number"));
            assert!((lr - expected).abs() <= 1e-15 * expected, "{name} after {t}: {lr}, not {expected}");
        }
        compared += 1;
    }
    assert_eq!(compared, 5);
}
