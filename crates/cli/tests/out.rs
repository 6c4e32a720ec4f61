//! What `--out` leaves: records, pictures and the report, also of runs that were killed, interrupted, or could not write.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::kills::kill_when_saved;
use crate::nets::cifar;
use crate::training::{digits, events, hash_of, program, run, small_run, stderr};

fn json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).expect("the file")).expect("JSON")
}

/// The data of a report's scripts.
pub fn data_of(report: &Path) -> Value {
    let page = fs::read_to_string(report).expect("the report");
    let data = page.split_once("<script type=\"application/json\" id=\"data\">").expect("the data").1;
    serde_json::from_str(data.split_once("</script>").expect("its end").0).expect("JSON")
}

/// A command that trains on small data and leaves records in a directory.
pub fn recorded(data: &TempDir, out: &Path, name: &str) -> (Command, std::path::PathBuf) {
    let (mut command, json) = small_run(data, name);
    command.arg("--out").arg(out);
    (command, json)
}

#[test]
fn a_run_leaves_records_pictures_a_checkpoint_and_a_report() {
    let data = digits(480, 60);
    let out = data.path().join("new/run");
    let (mut command, lines) = recorded(&data, &out, "run.json");
    let output = run(command.args(["--validation", "80", "--dropout", "0.25"]));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(text.contains(&format!("\nreport: {}\n", out.join("report.html").display())), "{text}");

    let config = json(&out.join("config.json"));
    assert_eq!((config["program"].as_str(), config["data"]["name"].as_str()), (Some("mnist"), Some("MNIST")));
    assert_eq!((config["steps"].as_u64(), config["net"]["parameters"].as_u64()), (Some(50), Some(103_018)));
    assert_eq!(config["net"]["operations"][0]["layer"], "conv1");
    assert!(config["settings"].as_array().unwrap().contains(&serde_json::json!(["--dropout", "0.25"])), "{config}");

    // 25 batches of 16 images: a row after 20 and after 25 of them.
    let metrics = events(&out.join("metrics.jsonl"));
    let kinds: Vec<_> =
        metrics.iter().map(|row| (row["event"].as_str().unwrap(), row["step"].as_u64().unwrap())).collect();
    assert_eq!(kinds, [("step", 20), ("step", 25), ("epoch", 25), ("step", 45), ("step", 50), ("epoch", 50)]);
    let result = events(&lines).pop().unwrap();
    let epochs: Vec<Value> = events(&lines).into_iter().filter(|event| event["event"] == "epoch").collect();
    for (row, event) in metrics.iter().filter(|row| row["event"] == "epoch").zip(&epochs) {
        for set in ["train", "validation", "test"] {
            for of in ["loss", "accuracy"] {
                assert_eq!(row[set][of], event[format!("{set}_{of}")], "{set} {of}");
            }
        }
    }
    // The mean of an epoch is that of its rows.
    let (first, second) = (&metrics[0]["loss"], &metrics[1]["loss"]);
    let mean = (20.0 * first.as_f64().unwrap() + 5.0 * second.as_f64().unwrap()) / 25.0;
    approx::assert_relative_eq!(mean, epochs[0]["train_loss"].as_f64().unwrap(), max_relative = 1e-12);

    let probes = events(&out.join("probes.jsonl"));
    let steps: Vec<u64> = probes.iter().map(|probe| probe["step"].as_u64().unwrap()).collect();
    assert_eq!(steps, [0, 1, 2, 4, 5, 10, 15, 20, 25, 30, 35, 40, 45, 50]);
    for probe in &probes {
        let names = |of: &str, key: &str| -> Vec<String> {
            probe[of].as_array().unwrap().iter().map(|row| row[key].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(names("layers", "layer"), ["conv1", "conv2", "fc1", "fc2"]);
        let outputs = [
            "conv1",
            "conv1 · relu",
            "conv1 · pool",
            "conv2",
            "conv2 · relu",
            "conv2 · pool",
            "fc1",
            "fc1 · relu",
            "fc1 · dropout",
            "fc2",
        ];
        assert_eq!(names("outputs", "name"), outputs);
        let is_last = probe["step"] == 50;
        for layer in probe["layers"].as_array().unwrap() {
            assert!(layer["gradient"].as_f64().unwrap() > 0.0 && layer["weight"].as_f64().unwrap() > 0.0, "{layer}");
            assert_eq!(layer["update"].is_null(), is_last, "{layer}");
        }
        for output in probe["outputs"].as_array().unwrap() {
            let counts = output["counts"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap());
            assert!(counts.sum::<u64>() > 0 && output["std"].as_f64().unwrap() > 0.0, "{output}");
            assert_eq!(output["dead"].is_null(), !output["name"].as_str().unwrap().ends_with("relu"), "{output}");
        }
    }
    // Adam's first step moves each weight by the learning rate: √80 · 0.001 for the 80 parameters of conv1.
    let update = probes[0]["layers"][0]["update"].as_f64().unwrap();
    approx::assert_relative_eq!(update, 80.0_f64.sqrt() * 1e-3, max_relative = 1e-3);

    let predictions = events(&out.join("predictions.jsonl"));
    assert_eq!(predictions.len(), 2);
    let counts = predictions[1]["confusion"].as_array().unwrap().iter().flat_map(|row| row.as_array().unwrap());
    assert_eq!(counts.map(|n| n.as_u64().unwrap()).sum::<u64>(), 60);
    let table = fs::read_to_string(out.join("predictions.csv")).expect("the table");
    assert_eq!(table.lines().count(), 61);
    let outcome = json(&out.join("result.json"));
    assert_eq!(outcome["weights_sha256"], result["weights_sha256"]);
    assert_eq!(outcome["per_class"], result["per_class"]);

    let examples = json(&out.join("examples/examples.json"));
    assert_eq!(examples["images"].as_array().unwrap().len(), 60, "all images of so small a set are shown");
    for name in ["images.png", "maps-0.png", "maps-3.png", "filters.png"] {
        assert!(fs::read(out.join("examples").join(name)).is_ok_and(|png| png.starts_with(b"\x89PNG")), "{name}");
    }

    let page = data_of(&out.join("report.html"));
    assert_eq!(page["probes"], Value::Array(probes));
    assert_eq!(page["outcome"], outcome);
    assert!(page["pictures"]["images"].as_str().unwrap().starts_with("data:image/png;base64,"));
    assert!(!page["findings"].as_array().unwrap().is_empty());
    let text = fs::read_to_string(out.join("report.html")).unwrap();
    assert!(!text.contains("http://") || !text.contains("https://"), "the page loads nothing");

    // The checkpoint is one that another run goes on with.
    let (mut command, lines) = small_run(&data, "resumed.json");
    command.args(["--validation", "80", "--dropout", "0.25", "--resume"]).arg(out.join("checkpoint.safetensors"));
    assert_eq!(hash_of(&mut command, &lines), result["weights_sha256"].as_str().unwrap());
}

#[test]
fn measuring_does_not_change_the_run() {
    let (digits, images) = (digits(320, 20), cifar(20, 10));
    // Dropout counts its masks, and batch normalization keeps statistics.
    let runs = [
        ("mnist", digits.path(), &["--dropout", "0.5"][..]),
        ("cifar10", images.path(), &["--net", "resnet20", "--augment", "crop-flip", "--weight-decay", "0.01"]),
    ];
    for (name, data, flags) in runs {
        let hash = |more: &[&str]| {
            let json = data.join("run.json");
            let mut command = program(name);
            command.args(["--batch-size", "16", "--epochs", "2", "--data-dir"]).arg(data).args(flags).args(more);
            hash_of(command.arg("--json").arg(&json), &json)
        };
        let without = hash(&[]);
        let records = ["1", "2"].map(|threads| {
            let out = data.join(format!("out-{threads}"));
            assert_eq!(hash(&["--threads", threads, "--out", out.to_str().unwrap()]), without, "{name}");
            fs::read(out.join("probes.jsonl")).unwrap()
        });
        assert_eq!(records[0], records[1], "the measurements have the same bits on any number of threads");
    }
}

/// The lines of a file of records, without times.
fn timeless(path: &Path) -> Vec<Value> {
    let mut lines = events(path);
    for line in &mut lines {
        for time in ["seconds", "images_per_second"] {
            line.as_object_mut().unwrap().remove(time);
        }
    }
    lines
}

#[test]
fn the_records_of_a_killed_and_resumed_run_are_those_of_an_uninterrupted_one() {
    let data = digits(640, 40);
    let flags = ["--dropout", "0.5", "--threads", "1", "--save-every", "7"];
    let whole = data.path().join("whole");
    let (mut command, json) = recorded(&data, &whole, "whole.json");
    let hash = hash_of(command.args(flags), &json);

    let out = data.path().join("killed");
    let state = out.join("checkpoint.safetensors");
    kill_when_saved(&state, || {
        let _ = fs::remove_dir_all(&out);
        let (mut command, _) = recorded(&data, &out, "killed.json");
        command.args(flags);
        command
    });
    // What a run leaves that is killed while it writes a line.
    let metrics = out.join("metrics.jsonl");
    let mut cut = fs::read(&metrics).expect("the file");
    cut.extend(b"{\"event\":\"step\",\"st");
    fs::write(&metrics, cut).expect("room");

    // The directory is of use: its report can be made.
    let output = run(program("report").arg(&out));
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(data_of(&out.join("report.html"))["outcome"], Value::Null);

    let (mut command, json) = recorded(&data, &out, "resumed.json");
    assert_eq!(hash_of(command.args(flags).arg("--resume").arg(&state), &json), hash);
    for name in ["metrics.jsonl", "probes.jsonl", "predictions.jsonl"] {
        assert_eq!(timeless(&out.join(name)), timeless(&whole.join(name)), "{name}");
    }
    for name in ["predictions.csv", "examples/examples.json", "examples/images.png", "examples/maps-0.png"] {
        assert_eq!(fs::read(out.join(name)).unwrap(), fs::read(whole.join(name)).unwrap(), "{name}");
    }
}

/// What the program says before it ends with this exit code, without progress.
fn fails(command: &mut Command, code: i32) -> String {
    let output = run(command);
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(code), "{text}");
    let aside = |line: &&str| line.starts_with("note: this is an unoptimized") || line.contains(" images/s, ");
    text.split_inclusive('\n').filter(|line| !aside(line)).collect()
}

#[test]
fn a_directory_that_is_not_for_this_run_is_refused() {
    let data = digits(64, 10);
    let out = data.path().join("run");
    let shown = out.display();
    let (mut command, json) = recorded(&data, &out, "first.json");
    hash_of(command.args(["--epochs", "1"]), &json);
    let before = fs::read(out.join("metrics.jsonl")).unwrap();
    let saved = out.join("checkpoint.safetensors");

    let text = fails(&mut recorded(&data, &out, "again.json").0, 2);
    assert_eq!(
        text,
        format!(
            "error: --out {shown}: a run was saved there; give another directory, or go on with that run by --resume {}\n\n\
             For more information, try '--help'.\n",
            saved.display()
        )
    );

    // Another run that goes on from a checkpoint of its own.
    let other = data.path().join("other.safetensors");
    let (mut command, json) = small_run(&data, "other.json");
    hash_of(command.args(["--lr", "0.01", "--save"]).arg(&other), &json);
    let (mut command, _) = recorded(&data, &out, "mixed.json");
    let text = fails(command.args(["--lr", "0.01", "--epochs", "3", "--resume"]).arg(&other), 2);
    let start = format!("error: --out {shown}: it has the records of another run (chainrule mnist --data-dir ");
    assert!(text.starts_with(&start), "{text}");
    let end = "); give the directory of the run that is resumed, or a new one\n\nFor more information, try '--help'.\n";
    assert!(text.ends_with(end), "{text}");
    assert_eq!(fs::read(out.join("metrics.jsonl")).unwrap(), before, "its records are as they were");

    let file = out.join("config.json");
    let text = fails(recorded(&data, &file, "file.json").0.args(["--lr", "0.1"]), 1);
    assert_eq!(text, format!("error: --out: cannot write {}: File exists (os error 17)\n", file.display()));
}

#[test]
fn what_is_no_directory_of_a_run_is_named() {
    let data = digits(64, 10);
    let empty = TempDir::new().expect("a directory");
    let shown = empty.path().display();
    let text = fails(program("report").arg(empty.path()), 1);
    assert_eq!(text, format!("error: {shown} has no config.json; give the directory that a run had as --out\n"));

    let out = data.path().join("run");
    let (mut command, json) = recorded(&data, &out, "run.json");
    hash_of(command.args(["--epochs", "1"]), &json);
    let metrics = out.join("metrics.jsonl");
    let text = fs::read_to_string(&metrics).unwrap();
    let (first, rest) = text.split_once('\n').unwrap();
    fs::write(&metrics, format!("{first}\nnot a record\n{rest}")).unwrap();
    let text = fails(program("report").arg(&out), 1);
    let help = "remove the lines from there on to use those before";
    assert_eq!(text, format!("error: {} is damaged at line 2; {help}\n", metrics.display()));
    fs::write(out.join("config.json"), "{").unwrap();
    let text = fails(program("report").arg(&out), 1);
    assert!(text.starts_with(&format!("error: {} is damaged: EOF while", out.join("config.json").display())), "{text}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_ends_the_run_with_its_checkpoint() {
    let data = digits(480, 10);
    for (name, step) in [("metrics.jsonl", 20), ("probes.jsonl", 1)] {
        let out = data.path().join(name.replace(".jsonl", ""));
        fs::create_dir(&out).expect("a directory");
        std::os::unix::fs::symlink("/dev/full", out.join(name)).expect("a link");
        let text = fails(&mut recorded(&data, &out, "full.json").0, 1);
        let shown = out.display();
        assert_eq!(
            text,
            format!(
                "error: --out: cannot write {shown}/{name}: No space left on device (os error 28)\n  \
                 {shown}/checkpoint.safetensors has the state after step {step}\n"
            )
        );
        // With room, the run goes on from there, and ends as one that was not interrupted.
        fs::remove_file(out.join(name)).expect("the link");
        let (mut command, json) = recorded(&data, &out, "resumed.json");
        let hash = hash_of(command.arg("--resume").arg(out.join("checkpoint.safetensors")), &json);
        let (mut command, json) = small_run(&data, "whole.json");
        assert_eq!(hash, hash_of(&mut command, &json));
    }
}

#[test]
fn a_run_that_stops_being_finite_leaves_a_report() {
    let data = digits(640, 10);
    let out = data.path().join("run");
    let (mut command, _) = recorded(&data, &out, "run.json");
    let text = fails(command.args(["--optimizer", "sgd", "--lr", "1e20"]), 1);
    assert!(text.contains("step 2 (epoch 1, batch 2) is not finite"), "{text}");
    let page = data_of(&out.join("report.html"));
    assert!(page["probes"].as_array().unwrap().len() > 2, "{}", page["probes"]);

    // And one that goes on all the same: numbers that are not finite are null.
    let out = data.path().join("on");
    let (mut command, json) = recorded(&data, &out, "on.json");
    hash_of(command.args(["--optimizer", "sgd", "--lr", "1e20", "--allow-nan"]), &json);
    let page = data_of(&out.join("report.html"));
    assert_eq!(page["epochs"][0]["train"]["loss"], Value::Null);
    let text = "The loss is not finite: the run has diverged. Use a smaller learning rate, or limit the gradients (--clip-norm).";
    assert_eq!(page["findings"][0], serde_json::json!({"level": "warning", "text": text}));
    assert!(run(program("report").arg(&out)).status.success(), "null is read back");
}

#[cfg(not(feature = "plots"))]
#[test]
fn a_build_without_plots_says_what_it_lacks() {
    let data = digits(64, 10);
    let out = data.path().join("run");
    let output = run(recorded(&data, &out, "run.json").0.args(["--epochs", "1"]));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = "a build with `--features plots` also writes plots/*.svg, sheets/*.png and tensorboard/";
    assert!(text.contains(&format!("{line} (`chainrule report {}`)\n", out.display())), "{text}");
    assert!(!out.join("plots").exists());
}

#[cfg(feature = "plots")]
mod plots {
    use super::*;

    /// The checksum of TensorBoard's records, bit by bit: CRC-32C, rotated right by 15 bits, plus a constant.
    fn masked_crc(bytes: &[u8]) -> u32 {
        let crc = !bytes.iter().fold(!0_u32, |crc, &byte| {
            (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 })
        });
        crc.rotate_right(15).wrapping_add(0xa282_ead8)
    }

    #[test]
    fn a_run_leaves_plots_sheets_and_events() {
        // The check value of CRC-32C.
        assert_eq!(masked_crc(b"123456789"), 0xe306_9283_u32.rotate_right(15).wrapping_add(0xa282_ead8));
        let data = digits(320, 60);
        let out = data.path().join("run");
        let (mut command, json) = recorded(&data, &out, "run.json");
        hash_of(&mut command, &json);
        for name in ["loss-and-accuracy", "learning-rate", "per-class-accuracy", "confusion-matrix"] {
            let svg = fs::read_to_string(out.join("plots").join(name).with_extension("svg")).expect("an SVG");
            assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"), "{name}");
        }
        for name in ["samples", "feature-maps-0", "filters"] {
            let png = fs::read(out.join("sheets").join(name).with_extension("png")).expect("a PNG");
            assert!(png.starts_with(b"\x89PNG") && png.len() > 5_000, "{name}: {} bytes", png.len());
        }

        let bytes = fs::read(out.join("tensorboard/events.out.tfevents.chainrule")).expect("the events");
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        let (mut at, mut records) = (0, Vec::new());
        while at < bytes.len() {
            let length = u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) as usize;
            assert_eq!(word(at + 8), masked_crc(&bytes[at..at + 8]), "the checksum of the length at {at}");
            let record = &bytes[at + 12..at + 12 + length];
            assert_eq!(word(at + 12 + length), masked_crc(record), "the checksum of the record at {at}");
            records.push(String::from_utf8_lossy(record).into_owned());
            at += 16 + length;
        }
        assert!(records[0].contains("brain.Event:2"), "{}", records[0]);
        let with = |tag: &str| records.iter().filter(|record| record.contains(tag)).count();
        assert_eq!((with("loss/training"), with("accuracy/test")), (2, 2));
        let probes = events(&out.join("probes.jsonl")).len();
        assert_eq!((with("gradient norm/conv2"), with("outputs/fc1 · relu")), (probes, probes));
    }
}
