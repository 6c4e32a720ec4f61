//! Where two runs part.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use safetensors::SafeTensors;
use serde_json::Value;
use tempfile::TempDir;

use crate::training::{digits, program, run, stderr};

/// Trains three epochs of 10 steps in a directory of its own.
fn train(data: &TempDir, name: &str, arguments: &[&str], cpu: Option<&str>) -> PathBuf {
    let out = data.path().join(name);
    let mut command = program("mnist");
    command.arg("--data-dir").arg(data.path()).args(["--batch-size", "16", "--epochs", "3", "--out"]).arg(&out);
    command.args(arguments).env_remove("CHAINRULE_CPU");
    if let Some(level) = cpu {
        command.env("CHAINRULE_CPU", level);
    }
    let output = run(&mut command);
    assert!(output.status.success(), "{}", stderr(&output));
    out
}

fn diff(a: &Path, b: &Path) -> (String, Output) {
    let output = run(program("diff").arg(a).arg(b));
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    // Without the two lines on how the runs were started.
    (text.lines().skip(2).collect::<Vec<_>>().join("\n"), output)
}

#[test]
fn two_runs_part_at_a_step_and_an_operation() {
    let data = digits(160, 10);
    let base = train(&data, "base", &["--threads", "1", "--keep", "3"], None);

    let same = train(&data, "threads", &["--threads", "2"], None);
    let (text, output) = diff(&base, &same);
    assert_eq!(text, "they agree in all 30 steps that both have, to the bit");
    assert_eq!(output.status.code(), Some(0));

    let seed = train(&data, "seed", &["--seed", "1"], None);
    let (text, output) = diff(&base, &seed);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    for piece in [
        "\nthey agree before step 1 (epoch 1, batch 1), and part there\n  another loss and other weights\n",
        "\n  images before the step: ",
        "\n  conv1.weight before the step: 72 of 72 elements differ, by up to ",
        "\nfirst operation with other bits: conv2d of conv1 [16, 8, 28, 28]\n  ",
    ] {
        assert!(text.contains(piece), "no '{piece}' in {text}");
    }

    // The learning rate falls after a third of the steps.
    let falls = train(&data, "falls", &["--schedule", "step", "--keep", "3"], None);
    let (text, output) = diff(&base, &falls);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    for piece in [
        "\nthey agree before step 11 (epoch 2, batch 1), and part there\n  the same loss, then other weights\n",
        "all operations and gradients agree: the update differs (learning rate, optimizer, weight decay, clipping)\n",
        "  conv1.weight after the step: ",
    ] {
        assert!(text.contains(piece), "no '{piece}' in {text}");
    }
    let errors = stderr(&output);
    for name in ["A", "B"] {
        assert!(errors.contains(&format!("{name}: going on after step 10 from ")), "{errors}");
    }

    if cfg!(target_arch = "x86_64") {
        // Without fused multiply-add, products are rounded twice.
        let portable = train(&data, "portable", &[], Some("portable"));
        let (text, output) = diff(&base, &portable);
        let differs = text.contains("first operation with other bits: ");
        let same_level = String::from_utf8_lossy(&output.stdout).lines().take(2).all(|line| line.contains("portable"));
        assert!(differs || same_level, "{text}");
    }
}

#[test]
fn the_checksum_of_a_step_is_that_of_the_bytes_of_all_parameters() {
    let data = digits(32, 10);
    let out = train(&data, "run", &[], None);
    let steps = fs::read_to_string(out.join("steps.jsonl")).unwrap();
    let last: Value = serde_json::from_str(steps.lines().last().unwrap()).unwrap();

    let bytes = fs::read(out.join("checkpoint.safetensors")).unwrap();
    let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
    let header: Value = serde_json::from_str(&metadata.metadata().as_ref().unwrap()["chainrule"]).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let names = header["parameters"].as_array().unwrap();
    let tensor = |name: &Value| tensors.tensor(&format!("model.{}", name.as_str().unwrap())).unwrap();
    let parameters: Vec<u8> = names.iter().flat_map(|name| tensor(name).data().to_vec()).collect();
    assert_eq!((names.len(), parameters.len()), (8, 4 * 103_018));
    assert_eq!(last["weights"], crc32fast::hash(&parameters));
}

#[test]
fn a_directory_without_records_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let output = run(program("diff").args([directory.path(), directory.path()]));
    let text = stderr(&output).replace(&directory.path().display().to_string(), "DIR");
    assert!(
        text.ends_with(
            "error: DIR/steps.jsonl: No such file or directory (os error 2); \
             give the directory that a run on the CPU had as --out\n"
        ),
        "{text}"
    );
    assert_eq!(output.status.code(), Some(2));
}
