//! What the flags of a recipe do to a run, and that a run with all of them goes on with the same bits.

use std::f64::consts::LN_2;
use std::fs;
use std::process::Command;

use tempfile::TempDir;

use crate::training::{digits, events, hash_of, program, run, small_run, stderr};

/// What a successful run prints to stdout.
fn printed(command: &mut Command) -> String {
    let output = run(command);
    assert!(output.status.success(), "{}", stderr(&output));
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn a_run_with_all_of_a_recipe_is_resumed_in_an_epoch_with_the_same_bits() {
    let data = digits(320, 20);
    let flags = [
        "--augment",
        "standard",
        "--mixup",
        "0.4",
        "--ema",
        "0.9",
        "--dropout",
        "0.2",
        "--schedule",
        "one-cycle",
        "--optimizer",
        "nesterov",
        "--momentum",
        "0.8",
        "--bias-lr",
        "2",
        "--weight-decay",
        "0.01",
        "--validation",
        "40",
        "--freeze",
        "conv1:1",
        "--label-smoothing",
        "0.1",
        "--lr",
        "0.02",
    ];
    let (mut command, json) = small_run(&data, "whole.json");
    let whole = hash_of(command.args(flags), &json);
    let whole_epochs = events(&json);

    let [state, best, early] = ["state", "best", "early"].map(|name| data.path().join(format!("{name}.safetensors")));
    let (mut command, _) = small_run(&data, "saved.json");
    command.args(flags).args(["--save-every", "7", "--save"]).arg(&state).arg("--save-best").arg(&best);
    let mut child = command.stdout(std::process::Stdio::null()).spawn().expect("the program starts");
    while child.try_wait().expect("it runs").is_none() {
        // Copied as soon as it is there: later states replace it.
        if !early.exists() {
            let _ = fs::copy(&state, &early);
        }
    }
    let (mut command, json) = small_run(&data, "resumed.json");
    assert_eq!(hash_of(command.args(flags).arg("--resume").arg(&early), &json), whole);
    let last = |events: &[serde_json::Value]| {
        let epoch = &events[events.len() - 2];
        ["train_loss", "validation_loss", "validation_accuracy", "test_loss"].map(|key| epoch[key].clone())
    };
    assert_eq!(last(&events(&json)), last(&whole_epochs), "the average is resumed too");
    assert!(best.exists());

    // The saved net is tested with its average, as in the run.
    let text = printed(program("evaluate").arg(&state).arg("--data-dir").arg(data.path()));
    let epoch = &whole_epochs[whole_epochs.len() - 2];
    let (loss, accuracy) = (epoch["test_loss"].as_f64().unwrap(), epoch["test_accuracy"].as_f64().unwrap());
    assert!(text.contains(&format!("test loss {loss:.4}, accuracy {:.2} %\n", 100.0 * accuracy)), "{text}");
}

#[test]
fn a_run_without_an_average_cannot_go_on_with_one() {
    let data = digits(64, 10);
    let state = data.path().join("state.safetensors");
    let (mut command, json) = small_run(&data, "plain.json");
    hash_of(command.arg("--save").arg(&state), &json);
    let (mut command, _) = small_run(&data, "average.json");
    let output = run(command.args(["--ema", "0.9", "--resume"]).arg(&state));
    let text = format!(
        "error: {} was saved by a run without --ema, this one is with --ema 0.9; give the same flags\n",
        state.display()
    );
    assert!(stderr(&output).contains(&text), "{}", stderr(&output));
}

#[test]
fn losses_of_two_classes_begin_where_a_coin_does() {
    let data = digits(640, 100);
    // With a rate this small the net does not learn: the loss of a net that knows nothing is ln 2, or (½)².
    for (loss, expected) in [("bce", LN_2), ("mse", 0.25), ("cross-entropy", LN_2)] {
        let (mut command, json) = small_run(&data, "two.json");
        hash_of(command.args(["--classes", "3,7", "--loss", loss, "--lr", "1e-12"]), &json);
        let found = events(&json)[1]["test_loss"].as_f64().unwrap();
        assert!((found - expected).abs() < 0.1 * expected, "{loss}: {found}");
        let (mut command, json) = small_run(&data, "two.json");
        hash_of(command.args(["--classes", "3,7", "--loss", loss, "--lr", "0.01"]), &json);
        assert!(events(&json)[2]["test_accuracy"].as_f64().unwrap() > 0.95, "{loss} learns");
    }
    let (mut command, _) = small_run(&data, "ten.json");
    let text = stderr(&run(command.args(["--loss", "bce"])));
    let expected = "error: --loss bce is for two classes, and the dataset has 10; choose two by --classes\n";
    assert!(text.contains(expected), "{text}");
    let (mut command, json) = small_run(&data, "ten.json");
    hash_of(command.args(["--loss", "mse", "--lr", "0.01"]), &json);
    // Of ten equal probabilities: 0.9² + 9·0.1².
    assert!(events(&json)[1]["test_loss"].as_f64().unwrap() < 0.9);
}

#[test]
fn flags_choose_the_images() {
    let data = digits(200, 40);
    let images = |flags: &[&str]| {
        let text = printed(small_run(&data, "images.json").0.args(flags));
        let line = text.lines().find(|line| line.starts_with("mnist: ")).expect("the first line").to_owned();
        line.split(", ").nth(1).expect("the images").to_owned()
    };
    assert_eq!(images(&[]), "200 + 40 images");
    assert_eq!(images(&["--validation", "30"]), "170 + 30 + 40 images");
    assert_eq!(images(&["--negatives"]), "400 + 80 images");
    assert_eq!(images(&["--train-images", "50", "--negatives"]), "100 + 80 images");
    assert_eq!(images(&["--classes", "1,4"]), "40 + 8 images");
    let refused = |flags: &[&str], text: &str| {
        let output = run(small_run(&data, "images.json").0.args(flags));
        assert!(stderr(&output).contains(text), "{}", stderr(&output));
        assert_eq!(output.status.code(), Some(2));
    };
    refused(
        &["--classes", "1,cat"],
        "error: --classes: there is no class cat; the classes are 0, 1, 2, 3, 4, 5, 6, 7, 8, 9\n",
    );
    refused(
        &["--validation", "200"],
        "error: --validation 200: the training set has 200 images, and at least one must be left for training\n",
    );
    let text = "error: --drop-last leaves no batch: --batch-size is 300, and there are 200 training images\n";
    refused(&["--drop-last", "--batch-size", "300"], text);
    refused(
        &["--freeze", "conv9"],
        "error: --freeze conv9: the net has no parameter there; it has them in conv1, conv2, fc1, fc2\n",
    );
    refused(&["--mixup", "0.2", "--loss", "mse"], "error: --mixup is for `--loss cross-entropy`: ");
}

#[test]
fn a_run_stops_early_and_keeps_its_best_and_its_last_epochs() {
    let data = digits(320, 100);
    let folder = TempDir::new().expect("a temporary directory");
    let [state, best] = ["state.safetensors", "best.safetensors"].map(|name| folder.path().join(name));
    let (mut command, json) = small_run(&data, "early.json");
    command.args(["--epochs", "50", "--early-stop", "2", "--keep", "2", "--save"]).arg(&state);
    hash_of(command.arg("--save-best").arg(&best), &json);
    let accuracies: Vec<f64> = events(&json).iter().filter_map(|event| event["test_accuracy"].as_f64()).collect();
    // The last is that of the result.
    let epochs = accuracies.len() - 1;
    let top = accuracies.iter().copied().fold(0.0, f64::max);
    let first_top = accuracies.iter().position(|&accuracy| accuracy == top).expect("it is one of them") + 1;
    assert_eq!(epochs, first_top + 2, "{accuracies:?}");
    let mut files: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
    files.sort();
    let of_epoch = |epoch: usize| format!("state.epoch-{epoch:04}.safetensors");
    let expected = ["best.safetensors".to_owned(), of_epoch(epochs - 1), of_epoch(epochs), "state.safetensors".into()];
    assert_eq!(files, expected.map(std::ffi::OsString::from));
    let text = printed(program("evaluate").arg(&best).arg("--data-dir").arg(data.path()));
    assert!(text.contains(&format!("mnist after epoch {first_top}, 100 test images")), "{text}");
    assert!(text.contains(&format!("accuracy {:.2} %\n", 100.0 * top)), "{text}");
    // A run that has stopped does not go on when it is resumed.
    let (mut command, json) = small_run(&data, "again.json");
    hash_of(command.args(["--epochs", "50", "--early-stop", "2", "--resume"]).arg(&state), &json);
    assert_eq!(events(&json).len(), 2, "resume and result");
}

#[test]
fn a_recipe_is_a_list_of_flags_that_others_replace() {
    let data = digits(64, 20);
    let state = data.path().join("state.safetensors");
    let flags = ["--recipe", "fast", "--net", "small", "--batch-size", "16", "--lr", "0.01", "--freeze", "conv1:9"];
    let (mut command, _) = small_run(&data, "recipe.json");
    let text = printed(command.args(flags).arg("--save").arg(&state));
    assert!(text.starts_with("recipe: --net=fast --batch-size=1024 --drop-last "), "{text}");
    // The other flags are those of the recipe.
    let (mut command, _) = small_run(&data, "again.json");
    let output = run(command.args(["--batch-size", "16", "--lr", "0.01", "--resume"]).arg(&state));
    let text = "was saved by a run with --augment fast, this one is with --augment none; give the same flags\n";
    assert!(stderr(&output).contains(text), "{}", stderr(&output));
}
