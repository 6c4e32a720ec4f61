//! `--accumulate`: steps of several batches.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use safetensors::SafeTensors;
use serde_json::Value;
use tempfile::TempDir;

use crate::training::{digits, events, hash_of, program, run, stderr};

/// A command that trains on the data, and the path of its JSON lines.
fn mnist(data: &TempDir, json: &str, flags: &[&str]) -> (Command, PathBuf) {
    let json = data.path().join(json);
    let mut command = program("mnist");
    command.arg("--data-dir").arg(data.path()).arg("--json").arg(&json).args(flags);
    (command, json)
}

/// The weights in a checkpoint.
fn weights(path: &Path) -> BTreeMap<String, Vec<f32>> {
    let bytes = fs::read(path).expect("the checkpoint");
    let tensors = SafeTensors::deserialize(&bytes).expect("a safetensors file");
    let elements = |data: &[u8]| data.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    let weights = tensors.iter().filter(|(name, _)| name.starts_with("model."));
    weights.map(|(name, view)| (name.to_owned(), elements(view.data()))).collect()
}

/// 300 images: four steps of 64 and one of 44, whose last batch is of 12. The net has no batch normalization, and the order of the
/// images does not depend on the size of a batch.
#[test]
fn four_batches_of_16_are_a_step_of_64() {
    let data = digits(300, 50);
    let trained = |name: &str, batches: &[&str]| {
        let state = data.path().join(name);
        let common =
            ["--epochs", "3", "--optimizer", "momentum", "--lr", "0.02", "--schedule", "cosine", "--clip-norm", "1"];
        let (mut command, json) = mnist(&data, "losses.json", &[&common[..], batches].concat());
        hash_of(command.arg("--save").arg(&state), &json);
        let losses = events(&json).iter().filter_map(|event| event["train_loss"].as_f64()).collect::<Vec<f64>>();
        (losses, weights(&state))
    };
    let (whole_losses, whole) = trained("whole.safetensors", &["--batch-size", "64"]);
    let (losses, parts) = trained("parts.safetensors", &["--batch-size", "16", "--accumulate", "4"]);
    assert_eq!((losses.len(), whole.len()), (3, 8));
    for (a, b) in losses.iter().zip(&whole_losses) {
        assert!((a - b).abs() < 1e-5 * b, "{losses:?} and {whole_losses:?}");
    }
    // Rounding to f32, over 15 steps.
    for (name, whole) in &whole {
        for (a, b) in parts[name].iter().zip(whole) {
            assert!((a - b).abs() < 1e-5, "{name}: {a} and {b}");
        }
    }
    let (_, other) = trained("other.safetensors", &["--batch-size", "16"]);
    assert_ne!(other, parts, "which is what 19 steps of an epoch would be");
}

/// 60 batches of 5 images, in steps of two: rows after 20 and 30 steps.
#[test]
fn records_have_the_mean_loss_of_steps() {
    let data = digits(300, 10);
    let out = data.path().join("out");
    let flags = ["--epochs", "1", "--batch-size", "5", "--accumulate", "2"];
    let (mut command, json) = mnist(&data, "records.json", &flags);
    assert!(run(command.arg("--out").arg(&out)).status.success());
    let metrics = events(&out.join("metrics.jsonl"));
    let rows: Vec<(u64, f64)> = metrics
        .iter()
        .filter(|row| row["event"] == "step")
        .map(|row| (row["step"].as_u64().expect("a number"), row["loss"].as_f64().expect("a number")))
        .collect();
    let [(20, first), (30, second)] = rows[..] else { panic!("rows {rows:?}") };
    let mean = (20.0 * first + 10.0 * second) / 30.0;
    let epoch = events(&json).iter().find_map(|event| event["train_loss"].as_f64()).expect("an epoch");
    approx::assert_relative_eq!(mean, epoch, max_relative = 1e-12);
    assert!(second > 0.0 && first > second, "{rows:?}");
}

#[test]
fn one_batch_is_a_step_as_without_the_flag() {
    let data = digits(100, 10);
    let hash = |flags: &[&str]| {
        let (mut command, json) = mnist(&data, "one.json", &[&["--batch-size", "16", "--epochs", "2"], flags].concat());
        hash_of(&mut command, &json)
    };
    assert_eq!(hash(&["--accumulate", "1"]), hash(&[]));
    assert_ne!(hash(&["--accumulate", "2"]), hash(&[]));
    // More batches than an epoch has: it is one step.
    assert_eq!(hash(&["--accumulate", "100"]), hash(&["--accumulate", "7"]));
}

/// A checkpoint is written between two steps, never between the batches of one.
#[test]
fn a_run_goes_on_between_two_steps_with_the_same_bits() {
    let data = digits(300, 20);
    let flags = ["--batch-size", "16", "--accumulate", "3", "--epochs", "2", "--dropout", "0.3", "--ema", "0.9"];
    let (mut command, json) = mnist(&data, "whole.json", &flags);
    let whole = hash_of(&mut command, &json);
    let whole_events = events(&json);

    // 19 batches are 7 steps; the first checkpoint is that after the 4th. A run that is faster than the kill has a later one.
    let state = data.path().join("state.safetensors");
    let (mut command, _) = mnist(&data, "killed.json", &flags);
    command.args(["--save-every", "4", "--save"]).arg(&state).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().expect("the program starts");
    while !state.exists() {
        assert!(child.try_wait().expect("it is ours").is_none_or(|status| status.success()), "it failed");
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().expect("it is ours");
    child.wait().expect("it is ours");

    let (mut command, json) = mnist(&data, "resumed.json", &flags);
    assert_eq!(hash_of(command.arg("--resume").arg(&state), &json), whole);
    let last_epoch = |events: &[Value]| events[events.len() - 2]["train_loss"].clone();
    assert_eq!(last_epoch(&events(&json)), last_epoch(&whole_events));

    let (mut command, _) = mnist(&data, "other.json", &["--batch-size", "16", "--epochs", "2"]);
    let output = run(command.args(["--dropout", "0.3", "--ema", "0.9", "--resume"]).arg(&state));
    let text = stderr(&output);
    assert!(text.contains("was saved by a run with --accumulate 3, this one is without --accumulate"), "{text}");
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_step_that_is_not_finite_is_named_with_its_batches() {
    let data = digits(320, 10);
    let flags = ["--batch-size", "16", "--accumulate", "3", "--optimizer", "sgd", "--lr", "1e20"];
    let output = run(&mut mnist(&data, "large.json", &flags).0);
    let text = stderr(&output);
    for piece in [
        "error: step 2 (epoch 1, batches 4 to 6) is not finite: loss ",
        "\n  in batch 4, first at linear of fc1: output (16, 128): from -",
        "\n  it would make conv1.weight and 7 other parameters not finite\n",
    ] {
        assert!(text.contains(piece), "no '{piece}' in:\n{text}");
    }
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn diff_names_the_batch_of_the_operation() {
    let data = digits(160, 10);
    let train = |name: &str, flags: &[&str]| {
        let out = data.path().join(name);
        let common = ["--batch-size", "16", "--accumulate", "4", "--epochs", "2", "--keep", "2"];
        let (mut command, json) = mnist(&data, "diff.json", &[&common[..], flags].concat());
        hash_of(command.arg("--out").arg(&out), &json);
        out
    };
    let diff = |a: &Path, b: &Path| String::from_utf8(run(program("diff").arg(a).arg(b)).stdout).expect("text");
    // 10 batches are 3 steps, the last of two batches.
    let base = train("base", &[]);
    assert!(diff(&base, &train("same", &["--threads", "1"])).contains("they agree in all 6 steps that both have"));
    // The learning rate falls after a third of the steps.
    let text = diff(&base, &train("falls", &["--schedule", "step"]));
    for piece in [
        "\nthey agree before step 3 (epoch 1, batch 10), and part there\n  the same loss, then other weights\n",
        "\nall operations and gradients agree: the update differs ",
        "\n  conv1.weight after the step: ",
    ] {
        assert!(text.contains(piece), "no '{piece}' in {text}");
    }
    let text = diff(&base, &train("smoothed", &["--label-smoothing", "0.1"]));
    assert!(text.contains("they agree before step 1 (epoch 1, batch 4), and part there"), "{text}");
    assert!(text.contains(" (batch 1 of 4)"), "{text}");
}

#[test]
fn a_range_test_and_schedules_count_steps() {
    let data = digits(320, 10);
    let flags = ["--batch-size", "16", "--accumulate", "4"];
    let output = run(&mut {
        let mut command = program("mnist");
        command.arg("--data-dir").arg(data.path()).args(flags).arg("--lr-find");
        command
    });
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(text.starts_with("learning-rate range test: up to 161 steps of 64 images\n"), "{text}");
    let (mut command, _) = mnist(&data, "warm.json", &[&flags[..], &["--epochs", "2", "--warm-up", "11"]].concat());
    let text = stderr(&run(&mut command));
    assert!(text.contains("--warm-up 11: the run has only 10 steps"), "{text}");
}
