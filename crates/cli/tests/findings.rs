//! What a report notes about a run, from records that were changed.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::out::{data_of, recorded};
use crate::training::{digits, events, hash_of, program, run, stderr};

/// The findings of the report that is made from the records of a run after `change` has been at its epochs and probes.
fn findings(run_of: &Path, change: impl Fn(&mut [Value], &mut [Value])) -> Vec<(String, String)> {
    let out = TempDir::new().expect("a directory");
    for name in ["config.json", "predictions.jsonl"] {
        fs::copy(run_of.join(name), out.path().join(name)).expect("a copy");
    }
    let [mut metrics, mut probes] = ["metrics.jsonl", "probes.jsonl"].map(|name| events(&run_of.join(name)));
    metrics.retain(|row| row["event"] == "epoch");
    change(&mut metrics, &mut probes);
    for (name, rows) in [("metrics.jsonl", metrics), ("probes.jsonl", probes)] {
        let lines: Vec<String> = rows.iter().map(|row| format!("{row}\n")).collect();
        fs::write(out.path().join(name), lines.concat()).expect("room");
    }
    let output = run(program("report").arg(out.path()));
    assert!(output.status.success(), "{}", stderr(&output));
    let page = data_of(&out.path().join("report.html"));
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap().to_owned();
    page["findings"].as_array().unwrap().iter().map(|one| (text(one, "level"), text(one, "text"))).collect()
}

#[test]
fn findings_follow_from_the_records() {
    let data = digits(480, 60);
    let out = data.path().join("run");
    let (mut command, json) = recorded(&data, &out, "run.json");
    hash_of(command.args(["--epochs", "3"]), &json);
    // The last epoch: 6 images of each class, and 4 mistakes, all of the class 3.
    let mut predictions = events(&out.join("predictions.jsonl"));
    for class in 0..10 {
        predictions[2]["confusion"][class] = vec![0; 10].into();
        predictions[2]["confusion"][class][class] = 6.into();
    }
    predictions[2]["confusion"][3] = serde_json::json!([0, 0, 0, 2, 0, 3, 0, 0, 1, 0]);
    let predictions: Vec<String> = predictions.iter().map(|row| format!("{row}\n")).collect();
    fs::write(out.join("predictions.jsonl"), predictions.concat()).expect("room");
    let has = |found: &[(String, String)], level: &str, text: &str| {
        assert!(found.iter().any(|(of, sentence)| of == level && sentence == text), "no {level} '{text}' in {found:?}");
    };
    let healthy = |metrics: &mut [Value], probes: &mut [Value]| {
        for (k, row) in metrics.iter_mut().enumerate() {
            row["train"]["loss"] = (1.0 - 0.3 * k as f64).into();
            row["test"]["loss"] = (1.1 - 0.3 * k as f64).into();
        }
        for probe in probes {
            for layer in probe["layers"].as_array_mut().unwrap() {
                layer["gradient"] = 0.5.into();
                layer["weight"] = 2.0.into();
                layer["update"] = 0.002.into();
            }
            for output in probe["outputs"].as_array_mut().unwrap() {
                if !output["dead"].is_null() {
                    output["dead"] = 0.0.into();
                }
            }
        }
    };
    let found = findings(&out, healthy);
    for text in [
        "The training loss fell from 1.0000 to 0.4000, and the test loss is 0.5000: no sign of overfitting.",
        "The gradients neither vanish towards the first layer nor have spikes.",
        "Steps change the weights by 1.0e-3 to 1.0e-3 of their norm in the median: near the usual 1e-3.",
        "No dead units: each is active for some of the 16 images that were measured.",
    ] {
        has(&found, "good", text);
    }
    has(
        &found,
        "note",
        "The class with the lowest accuracy is 3: 33.3 % of its images are classified correctly. They are most often misclassified as 5 (3 of 6).",
    );
    assert!(found.iter().all(|(level, _)| level != "warning"), "{found:?}");

    let found = findings(&out, |metrics, probes| {
        healthy(metrics, probes);
        metrics[1]["test"]["loss"] = 0.3.into();
        probes[3]["layers"][1]["gradient"] = 50.0.into();
        for probe in probes.iter_mut() {
            probe["layers"][2]["update"] = 0.1.into();
        }
        probes.last_mut().unwrap()["outputs"][7]["dead"] = 0.5.into();
    });
    has(
        &found,
        "warning",
        "Overfitting: the test loss was lowest after epoch 2 (0.3000) and is 0.5000 now, while the training loss went on falling. Stop earlier, or use augmentation, dropout or weight decay.",
    );
    has(
        &found,
        "warning",
        "The gradient of conv2 had the norm 5.000e1 after step 4, 100 times its median. Such spikes can undo the training: use a smaller learning rate, or limit them (--clip-norm).",
    );
    has(
        &found,
        "note",
        "A step usually changes the weights of fc1 by 5.0 % of their norm; about 0.1 % is usual. The learning rate may be too high.",
    );
    has(
        &found,
        "warning",
        "Dead units: 50.0 % of the units of fc1 · relu are 0 for all of the 16 images that were measured, which therefore do not change them. A smaller learning rate or a leaky ReLU prevents that.",
    );
    assert_eq!(found[0].0, "warning", "warnings come first");

    let found = findings(&out, |metrics, probes| {
        healthy(metrics, probes);
        for probe in probes.iter_mut() {
            probe["layers"][0]["gradient"] = 1e-5.into();
            probe["layers"][0]["update"] = 2e-5.into();
        }
        let last = probes.last_mut().unwrap();
        last["outputs"][7]["dead"] = Value::Null;
        last["outputs"][7]["saturated"] = 0.6.into();
    });
    has(
        &found,
        "warning",
        "Vanishing gradients: the norm in conv1 is 2e-5 times that in fc2, so the first layers learn hardly anything. Use ReLU, batch normalization, or residual connections.",
    );
    has(
        &found,
        "note",
        "A step usually changes the weights of conv1 by only 1.0e-5 of their norm; about 1e-3 is usual. The learning rate may be too low for it.",
    );
    has(
        &found,
        "note",
        "Saturation: 60.0 % of the outputs of fc1 · relu are where the function is flat, which makes gradients small.",
    );
}
