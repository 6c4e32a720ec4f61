//! The program as users run it: reports, reproducibility, resuming, error messages.

use std::fs;
use std::process::{Command, Stdio};

use crate::kills::kill_when_saved;
use crate::training::{digits, events, hash_of, program, run, small_run, stderr};
use serde_json::Value;
use tempfile::TempDir;

#[test]
fn json_lines_have_the_documented_fields() {
    let data = digits(320, 100);
    let (mut command, json) = small_run(&data, "shape.json");
    let output = run(&mut command);
    assert!(output.status.success(), "{}", stderr(&output));
    let events = events(&json);
    let kinds: Vec<&str> = events.iter().map(|e| e["event"].as_str().expect("an event")).collect();
    assert_eq!(kinds, ["start", "epoch", "epoch", "result"]);
    let has = |event: &Value, keys: &[&str]| {
        assert_eq!(event.as_object().expect("an object").len(), keys.len() + 1, "{event}");
        assert!(keys.iter().all(|key| event.get(key).is_some()), "{event}");
    };
    has(&events[0], &["program", "device", "threads", "seed", "parameters", "processes"]);
    assert_eq!(events[0]["parameters"], 8 * 10 + 16 * 73 + 128 * 785 + 10 * 129);
    let epoch = ["epoch", "train_loss", "train_accuracy", "test_loss", "test_accuracy", "seconds", "images_per_second"];
    has(&events[1], &epoch);
    has(&events[3], &["test_accuracy", "per_class", "weights_sha256", "seconds"]);
    assert_eq!(events[3]["per_class"].as_array().expect("a list").len(), 10);
    let accuracy = events[3]["test_accuracy"].as_f64().expect("a number");
    assert!(accuracy > 0.9, "rows of light are easy to tell apart, not {accuracy}");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("accuracy by class") && text.contains("confusion matrix"), "{text}");
}

#[test]
fn the_same_seed_gives_the_same_bits_on_any_number_of_threads() {
    let data = digits(160, 20);
    let hash = |threads: &str, seed: &str| {
        let (mut command, json) = small_run(&data, &format!("threads-{threads}-{seed}.json"));
        hash_of(command.args(["--threads", threads, "--seed", seed, "--dropout", "0.5"]), &json)
    };
    let one = hash("1", "7");
    assert_eq!(one, hash("2", "7"));
    assert_eq!(one, hash("4", "7"));
    assert_ne!(one, hash("1", "8"));
}

#[test]
fn a_run_resumed_after_a_kill_ends_with_the_same_bits() {
    let data = digits(640, 20);
    for optimizer in ["adam", "momentum"] {
        let flags = ["--dropout", "0.5", "--optimizer", optimizer, "--lr", "0.01", "--threads", "1"];
        let (mut command, json) = small_run(&data, "whole.json");
        let whole = hash_of(command.args(flags), &json);
        let whole_epochs = events(&json);

        let state = data.path().join(format!("{optimizer}.safetensors"));
        kill_when_saved(&state, || {
            let _ = fs::remove_file(&state);
            let (mut command, _) = small_run(&data, "killed.json");
            command.args(flags).args(["--save-every", "3", "--save"]).arg(&state);
            command
        });

        let (mut command, json) = small_run(&data, "resumed.json");
        assert_eq!(hash_of(command.args(flags).arg("--resume").arg(&state), &json), whole, "{optimizer}");
        // The interrupted epoch reports the mean over all of its batches, not over those after the resume.
        let losses = |events: &[Value]| events[events.len() - 2]["train_loss"].clone();
        assert_eq!(losses(&events(&json)), losses(&whole_epochs));
    }
}

#[test]
fn a_rate_that_follows_the_loss_is_resumed_with_the_same_bits() {
    let data = digits(160, 20);
    let hash = |flags: &[&str]| {
        let (mut command, json) = small_run(&data, "plateau.json");
        hash_of(command.args(["--optimizer", "rmsprop", "--lr", "0.03", "--threads", "1"]).args(flags), &json)
    };
    let plateau = ["--schedule", "plateau", "--patience", "0"];
    let whole = hash(&[&plateau[..], &["--epochs", "6"]].concat());
    assert_ne!(whole, hash(&["--epochs", "6"]), "the rate was reduced");
    let state = data.path().join("state.safetensors");
    let state = state.to_str().expect("a path");
    hash(&[&plateau[..], &["--epochs", "3", "--save", state]].concat());
    assert_eq!(hash(&[&plateau[..], &["--epochs", "6", "--resume", state]].concat()), whole);
}

#[test]
fn the_other_optimizers_and_schedules_learn() {
    let data = digits(320, 50);
    for flags in [
        ["--optimizer", "nadam", "--lr", "0.01", "--schedule", "exponential"],
        ["--optimizer", "adagrad", "--lr", "0.05", "--schedule", "polynomial"],
        ["--optimizer", "rmsprop", "--lr", "0.003", "--momentum", "0.5"],
    ] {
        let (mut command, json) = small_run(&data, "learns.json");
        hash_of(command.args(flags), &json);
        let result = events(&json).pop().expect("a result");
        let accuracy = result["test_accuracy"].as_f64().expect("a number");
        assert!(accuracy > 0.9, "{flags:?}: {accuracy}");
    }
}

/// Checks the exit code of a command, and that its message contains these pieces.
fn fails(command: &mut Command, code: i32, pieces: &[&str]) {
    let output = run(command);
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert!(!text.contains("panicked"), "{text}");
    for piece in pieces {
        assert!(text.contains(piece), "no '{piece}' in:\n{text}");
    }
}

#[test]
fn flags_out_of_range_are_usage_errors() {
    for (flags, piece) in [
        (&["--batch-size", "0"][..], "0 is not in 1.."),
        (&["--epochs", "none"], "invalid value 'none'"),
        (&["--lr", "-1"], "expected a positive number"),
        (&["--dropout", "1"], "expected a probability of at least 0 and less than 1"),
        (&["--kernel", "4"], "expected 1, 3, 5 or 7"),
        (&["--channels", "8"], "expected two positive integers"),
        (&["--activation", "step"], "relu"),
        (&["--optimizer", "lbfgs"], "adam"),
        (&["--momentum", "0.5"], "--momentum is a setting of `--optimizer momentum`, `nesterov` and `rmsprop`"),
        (&["--power", "2"], "--power is a setting of `--schedule polynomial`"),
        (&["--patience", "3"], "--patience is a setting of `--schedule plateau`"),
        (&["--device", "gpu"], "unknown device 'gpu'"),
        (&["--save-every", "5"], "--save"),
        (&["--threads", "0"], "0 is not in 1..=1024"),
    ] {
        fails(program("mnist").args(flags), 2, &[piece]);
    }
}

#[test]
fn a_missing_device_or_directory_is_named() {
    // Hides a GPU, if there is one.
    let mut mnist = program("mnist");
    mnist.args(["--device", "cuda:0"]).env("CUDA_VISIBLE_DEVICES", "-1");
    fails(&mut mnist, 1, &["cuda:0", "--device cpu"]);
    fails(program("mnist").args(["--data-dir", "/no/such/place"]), 1, &["/no/such/place"]);
    fails(program("cifar10").args(["--data-dir", "/no/such/place"]), 1, &["/no/such/place"]);
    let empty = TempDir::new().expect("a temporary directory");
    fails(program("mnist").arg("--data-dir").arg(empty.path()), 1, &["train-images"]);
    let mut offline = program("cifar10");
    offline.args(["--offline"]).env("XDG_CACHE_HOME", empty.path());
    fails(&mut offline, 1, &["--data-dir"]);
    fails(program("mnist").args(["--json", "/no/such/place/x.json"]), 1, &["/no/such/place/x.json"]);
}

#[test]
fn damaged_data_is_named() {
    let data = digits(20, 10);
    let images = data.path().join("train-images-idx3-ubyte");
    let whole = fs::read(&images).expect("the images");
    fs::write(&images, &whole[..whole.len() - 100]).expect("a shorter file");
    fails(&mut small_run(&data, "x.json").0, 1, &["train-images-idx3-ubyte", "15696", "15596"]);
    fs::write(&images, b"GIF89a, not digits").expect("another file");
    fails(&mut small_run(&data, "x.json").0, 1, &["train-images-idx3-ubyte"]);
    fs::write(&images, whole).expect("the images again");
    let labels = data.path().join("train-labels-idx1-ubyte");
    let mut bytes = fs::read(&labels).expect("the labels");
    bytes[8 + 3] = 10;
    fs::write(&labels, bytes).expect("a wrong label");
    fails(&mut small_run(&data, "x.json").0, 1, &["train-labels-idx1-ubyte", "10"]);
}

#[test]
fn some_training_images_are_not_the_first() {
    let data = digits(320, 100);
    // As a folder of images is: sorted by class.
    let [images, labels] = ["images-idx3", "labels-idx1"].map(|name| data.path().join(format!("train-{name}-ubyte")));
    let (mut pixels, mut classes) = (fs::read(&images).expect("the images"), fs::read(&labels).expect("the labels"));
    let mut order: Vec<usize> = (0..320).collect();
    order.sort_by_key(|&i| classes[8 + i]);
    let sorted: Vec<u8> = order.iter().flat_map(|&i| pixels[16 + 784 * i..][..784].to_vec()).collect();
    pixels.splice(16.., sorted);
    classes[8..].sort_unstable();
    fs::write(&images, pixels).expect("room");
    fs::write(&labels, classes).expect("room");
    let (mut command, json) = small_run(&data, "some.json");
    let output = run(command.args(["--train-images", "160", "--epochs", "4"]));
    assert!(String::from_utf8_lossy(&output.stdout).contains(" parameters, 160 + 100 images, "), "{}", stderr(&output));
    let accuracy = events(&json).pop().expect("a result")["test_accuracy"].as_f64().expect("a number");
    assert!(accuracy > 0.9, "all classes were learned, not the first five: {accuracy}");
}

#[test]
fn notes_about_the_data_are_printed() {
    let data = digits(32, 10);
    for part in ["train", "t10k"] {
        for contents in ["images-idx3", "labels-idx1"] {
            let name = format!("{part}-{contents}-ubyte");
            fs::rename(data.path().join(&name), data.path().join(format!("emnist-mnist-{name}"))).expect("a new name");
        }
    }
    let output = run(&mut small_run(&data, "x.json").0);
    let text = String::from_utf8(output.stdout).expect("text");
    let note = "note: EMNIST stores images transposed (rows and columns exchanged); they are used as stored\n";
    assert!(text.starts_with(note), "{text}");
}

#[test]
fn resuming_with_other_vector_instructions_is_noted() {
    let data = digits(64, 10);
    let state = data.path().join("state.safetensors");
    let (mut command, json) = small_run(&data, "saved.json");
    hash_of(command.arg("--save").arg(&state).env("CHAINRULE_CPU", "portable"), &json);
    let resumed = |level: Option<&str>| {
        let (mut command, _) = small_run(&data, "resumed.json");
        command.arg("--resume").arg(&state);
        level.map(|level| command.env("CHAINRULE_CPU", level));
        let output = run(&mut command);
        assert!(output.status.success(), "{}", stderr(&output));
        String::from_utf8(output.stdout).expect("text")
    };
    assert!(!resumed(Some("portable")).contains("note: saved by a run"), "the same machine");
    // On a machine without AVX2 the portable level is the only one.
    if run(&mut program("doctor")).stdout != run(program("doctor").env("CHAINRULE_CPU", "portable")).stdout {
        let text = resumed(None);
        assert!(text.contains("note: saved by a run on cpu with SSE2, this one is on cpu with AVX"), "{text}");
    }
}

#[test]
fn a_checkpoint_of_another_run_is_rejected_and_unchanged() {
    let data = digits(64, 10);
    let state = data.path().join("state.safetensors");
    let (mut command, json) = small_run(&data, "first.json");
    hash_of(command.arg("--save").arg(&state), &json);
    let before = fs::read(&state).expect("the state");

    let resume = |flags: &[&str]| {
        let (mut command, _) = small_run(&data, "second.json");
        command.args(flags).arg("--resume").arg(&state);
        command
    };
    fails(
        &mut resume(&["--activation", "tanh"]),
        2,
        &["saved by a run without --activation, this one is with --activation tanh"],
    );
    fails(&mut resume(&["--lr", "0.01"]), 2, &["saved by a run with --lr 0.001, this one is with --lr 0.01"]);
    // The same number in another form.
    hash_of(resume(&["--lr", "10e-4"]).args(["--epochs", "3"]), &data.path().join("second.json"));
    fails(&mut resume(&["--channels", "4,8"]), 2, &["--channels"]);
    fails(&mut resume(&["--optimizer", "sgd"]), 2, &["--optimizer"]);
    fs::write(&state, &before[..before.len() / 2]).expect("half a state");
    fails(&mut resume(&[]), 1, &["state.safetensors"]);
    let missing = data.path().join("missing.safetensors");
    let (mut command, _) = small_run(&data, "third.json");
    fails(command.arg("--resume").arg(missing), 1, &["missing.safetensors"]);

    // If a checkpoint cannot be written, that is an error, and no partial file remains.
    let (mut command, _) = small_run(&data, "fourth.json");
    fails(command.args(["--save", "/no/such/place/state.safetensors"]), 1, &["/no/such/place/state.safetensors"]);
    let leftovers = fs::read_dir(data.path()).expect("the directory").filter_map(Result::ok);
    assert!(!leftovers.map(|f| f.file_name()).any(|name| name.to_string_lossy().contains("part")));
}

#[test]
fn images_too_small_for_the_net_are_a_usage_error() {
    let data = TempDir::new().expect("a temporary directory");
    for (part, n) in [("train", 4u32), ("t10k", 2)] {
        let images = [[2051, n, 2, 2].map(u32::to_be_bytes).concat(), vec![0; 4 * n as usize]].concat();
        let labels = [[2049, n].map(u32::to_be_bytes).concat(), vec![0; n as usize]].concat();
        fs::write(data.path().join(format!("{part}-images-idx3-ubyte")), images).expect("room");
        fs::write(data.path().join(format!("{part}-labels-idx1-ubyte")), labels).expect("room");
    }
    fails(&mut small_run(&data, "x.json").0, 2, &["max_pool2d", "the window is larger"]);
}

#[test]
fn a_broken_pipe_ends_the_program_silently() {
    let mut command = program("throughput");
    command.args(["--net", "mnist", "--once"]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("the program ends");
    assert!(!stderr(&output).contains("panicked"), "{}", stderr(&output));
    assert_eq!(output.status.code(), Some(141));
}

/// The JSON of a short measurement.
fn throughput(flags: &[&str]) -> serde_json::Value {
    let directory = tempfile::tempdir().expect("a directory");
    let json = directory.path().join("times.json");
    let mut command = program("throughput");
    let output = run(command.args(["--seconds", "0.01", "--repeats", "5", "--json"]).arg(&json).args(flags));
    assert!(output.status.success(), "{}", stderr(&output));
    serde_json::from_str(&std::fs::read_to_string(json).expect("it is written")).expect("an object")
}

#[test]
fn throughput_counts_the_operations_of_the_size_and_the_pass_that_it_measures() {
    let sizes = ["--net", "plain", "--side", "6", "--channels", "5", "--depth", "2", "--batch", "3"];
    let [step, forward] = [&sizes[..], &[&sizes[..], &["--inference"]].concat()].map(|flags| {
        let result = throughput(flags);
        assert_eq!(result["batch"], 3, "{result}");
        let of = |key: &str| result[key].as_f64().expect("a number");
        (result["pass"].clone(), (of("gflops") * 1e6 * of("milliseconds_per_step")).round())
    });
    // Multiply-adds of two convolutions of 3 → 5 and 5 → 5 channels on 36 pixels, and of 5 → 10 features, for three images.
    let [first, second, linear] = [3.0 * 36.0 * 135.0, 3.0 * 36.0 * 225.0, 3.0 * 50.0];
    assert_eq!(forward, ("inference".into(), 2.0 * (first + second + linear)));
    // Backward, each has the gradient of its weight, and all but the first that of its input.
    assert_eq!(step, ("training".into(), 2.0 * (2.0 * first + 3.0 * (second + linear))));
    let error = "--depth is the size of --net plain; the other nets have fixed sizes";
    fails(program("throughput").args(["--net", "mnist", "--depth", "3"]), 2, &[error]);
}

#[test]
fn auto_without_a_gpu_is_silent() {
    let data = digits(32, 10);
    let (mut command, _) = small_run(&data, "x.json");
    let output = run(command.env("CUDA_VISIBLE_DEVICES", "-1"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && text.starts_with("mnist: ") && !text.contains("GPU"), "{text}");
}

#[test]
fn without_a_gpu_doctor_reports_the_reason() {
    let output = run(program("doctor").env("CUDA_VISIBLE_DEVICES", "-1"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && text.contains("GPU: none") && text.contains("on the CPU"), "{text}");
}

#[test]
fn reduced_precision_on_the_cpu_is_a_usage_error() {
    fails(program("mnist").args(["--device", "cpu", "--precision", "tf32"]), 2, &["cpu has no tensor cores"]);
}

#[test]
fn version_and_subcommands_are_listed() {
    let version = run(&mut program("--version"));
    assert_eq!(String::from_utf8_lossy(&version.stdout), concat!("chainrule ", env!("CARGO_PKG_VERSION"), "\n"));
    let help = run(&mut program("--help"));
    let help = String::from_utf8_lossy(&help.stdout);
    for subcommand in ["mnist", "cifar10", "two-neurons", "explain", "summary", "throughput", "doctor", "completions"] {
        assert!(help.contains(subcommand), "{help}");
    }
    fails(&mut program("minst"), 2, &["'mnist'"]);
}

#[test]
fn completions_cover_all_shells_and_subcommands() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let output = run(program("completions").arg(shell));
        let script = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{}", stderr(&output));
        for word in ["two-neurons", "save-every", "conv-activation"] {
            assert!(script.contains(word), "{shell}: no {word}");
        }
    }
    fails(program("completions").arg("sh"), 2, &["bash"]);
}

#[test]
fn two_neurons_prints_the_published_numbers() {
    let output = run(&mut program("two-neurons"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", stderr(&output));
    for piece in ["∂E/∂w1", "0.9820137900379085", "0.500048", "0.298371109"] {
        assert!(text.contains(piece), "no {piece} in:\n{text}");
    }
}
