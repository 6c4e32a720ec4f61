//! Training that begins with saved weights and changes a part of the net; the cache of features.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::out::data_of;
use crate::training::{digits, hash_of, program, run, small_run, stderr};

/// The tensors of a checkpoint's net: the bytes of each by its path.
fn weights(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let bytes = fs::read(path).expect("a checkpoint");
    let file = safetensors::SafeTensors::deserialize(&bytes).expect("safetensors");
    let own = file.iter().filter_map(|(name, x)| Some((name.strip_prefix("model.")?.to_owned(), x.data().to_vec())));
    own.collect()
}

/// The paths whose tensors differ.
fn changed(a: &Path, b: &Path) -> Vec<String> {
    let b = weights(b);
    weights(a).into_iter().filter(|(name, bytes)| b[name] != *bytes).map(|(name, _)| name).collect()
}

/// The text of a failure, which is the whole of stderr but for a note.
fn refused(command: &mut Command, text: &str) {
    let output = run(command);
    let error = stderr(&output);
    let error = error.split_inclusive('\n').filter(|line| !line.starts_with("note: ")).collect::<String>();
    assert_eq!(error.split("\n\nFor more").next().unwrap_or_default().trim_end(), text);
    assert_eq!(output.status.code(), Some(2));
}

/// A net with batch normalization, saved after two epochs.
fn pretrained(data: &TempDir) -> std::path::PathBuf {
    let path = data.path().join("pretrained.safetensors");
    let (mut command, json) = small_run(data, "pretrained.json");
    hash_of(command.args(["--net", "blocks", "--widths", "4,4,6", "--save"]).arg(&path), &json);
    path
}

/// `mnist` from the saved weights, with flags, into a file.
fn from(data: &TempDir, weights: &Path, flags: &[&str], to: &Path) -> (Command, std::path::PathBuf) {
    let (mut command, json) = small_run(data, "from.json");
    command.args(["--net", "blocks", "--widths", "4,4,6", "--seed", "3", "--weights"]).arg(weights);
    command.args(flags).arg("--save").arg(to);
    (command, json)
}

#[test]
fn only_what_is_named_is_trained_and_statistics_are_frozen_by_choice() {
    let data = digits(64, 20);
    let (start, end) = (pretrained(&data), data.path().join("end.safetensors"));
    // 3 blocks of 7 layers, flatten, dropout: the linear layer is the last.
    let train = |flags: &[&str]| {
        let (mut command, json) = from(&data, &start, flags, &end);
        hash_of(&mut command, &json);
        changed(&start, &end)
    };
    assert_eq!(train(&["--train", "23", "--frozen-statistics"]), ["23.bias", "23.weight"]);
    let statistics: Vec<String> =
        train(&["--train", "23"]).into_iter().filter(|name| !name.starts_with("23.")).collect();
    assert!(statistics.len() == 12 && statistics.iter().all(|name| name.contains(".running_")), "{statistics:?}");
    let two = train(&["--train", "17,23", "--frozen-statistics"]);
    assert_eq!(two, ["17.weight", "23.bias", "23.weight"], "a convolution and the linear layer");
    assert!(train(&["--train", "all"]).len() > 20);
}

#[test]
fn a_net_keeps_its_own_parameters_frozen_unless_others_are_named() {
    let folder = TempDir::new().expect("a temporary directory");
    let state = folder.path().join("state.safetensors");
    let mut command = program("cifar10");
    command.args(["--sample", "--train-images", "64", "--batch-size", "16", "--epochs", "2", "--keep", "2"]);
    let output = run(command.args(["--net", "fast", "--widths", "4,4,4", "--save"]).arg(&state));
    assert!(output.status.success(), "{}", stderr(&output));
    let [first, second] = [1, 2].map(|epoch| folder.path().join(format!("state.epoch-000{epoch}.safetensors")));
    let changed = changed(&first, &second);
    let all = weights(&first).into_keys();
    let kept: Vec<String> = all.filter(|name| !changed.contains(name)).collect();
    // The filters of the first convolution, and γ of each normalization.
    let norms = (0..3).flat_map(|block| [1, 2].map(|norm| format!("blocks.{block}.norm{norm}.weight")));
    assert_eq!(kept, norms.chain(["whitening.weight".into()]).collect::<Vec<_>>());
}

#[test]
fn features_from_the_cache_give_the_same_bits() {
    let data = digits(64, 20);
    let (start, end) = (pretrained(&data), data.path().join("end.safetensors"));
    let cache = data.path().join("cache");
    let flags = ["--train", "17,23", "--frozen-statistics", "--validation", "10"];
    let (mut command, json) = from(&data, &start, &flags, &end);
    let whole = hash_of(&mut command, &json);
    let files = || {
        let folders: Vec<_> = fs::read_dir(&cache).expect("the cache").map(|folder| folder.unwrap().path()).collect();
        assert_eq!(folders.len(), 1, "{folders:?}");
        let files = fs::read_dir(&folders[0]).unwrap().map(|file| file.unwrap().path());
        files.map(|path| (path.clone(), fs::metadata(&path).unwrap().modified().unwrap())).collect::<BTreeMap<_, _>>()
    };
    let cached = |end: &Path| {
        let (mut command, json) = from(&data, &start, &flags, end);
        hash_of(command.arg("--cache-features").arg(&cache), &json)
    };
    assert_eq!(cached(&end), whole);
    let first = files();
    assert_eq!(first.len(), 3, "the training, the validation and the test images");
    assert_eq!(cached(&end), whole);
    assert_eq!(files(), first, "computed once");
    // A file that was cut off is computed again.
    let (path, _) = first.first_key_value().expect("there are three");
    let bytes = fs::read(path).unwrap();
    fs::write(path, &bytes[..bytes.len() - 1]).unwrap();
    assert_eq!(cached(&end), whole);
    assert!(fs::read(path).unwrap() == bytes, "as before");

    // The checkpoint has the whole net.
    let output = run(program("evaluate").arg(&end).arg("--data-dir").arg(data.path()));
    assert!(output.status.success(), "{}", stderr(&output));
    // An interrupted run goes on with the same bits.
    let half = data.path().join("half.safetensors");
    let (mut command, json) = from(&data, &start, &flags, &half);
    hash_of(command.args(["--epochs", "1", "--cache-features"]).arg(&cache), &json);
    let (mut command, json) = from(&data, &start, &flags, &half);
    command.arg("--cache-features").arg(&cache).arg("--resume").arg(&half);
    assert_eq!(hash_of(&mut command, &json), whole);
}

#[test]
fn a_learning_rate_is_multiplied_by_the_factor_of_the_longest_path() {
    let data = digits(16, 20);
    let paths = ["first", "second"].map(|name| data.path().join(format!("{name}.safetensors")));
    let step = |factors: &[&str], path: &Path| {
        let (mut command, json) = small_run(&data, "step.json");
        command.args(["--optimizer", "sgd", "--lr", "0.5", "--epochs", "1"]).args(factors).arg("--save").arg(path);
        hash_of(&mut command, &json);
        let numbers =
            |bytes: &Vec<u8>| bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect::<Vec<f32>>();
        weights(path).iter().map(|(name, bytes)| (name.clone(), numbers(bytes))).collect::<BTreeMap<_, _>>()
    };
    // So small that it is no step.
    let still = step(&["--lr-factors", "conv1=1e-30,conv2=1e-30,fc1=1e-30,fc2=1e-30"], &paths[0]);
    let plain = step(&[], &paths[0]);
    let scaled = step(&["--lr-factors", "fc1=0.25,fc1.bias=0.5,conv1=3"], &paths[1]);
    for (name, start) in still {
        let factor = match name.as_str() {
            "fc1.weight" => 0.25,
            "fc1.bias" => 0.5,
            "conv1.weight" | "conv1.bias" => 3.0,
            _ => 1.0,
        };
        for (i, x) in start.iter().enumerate() {
            let (once, scaled) = (plain[&name][i] - x, scaled[&name][i] - x);
            assert!((scaled - factor * once).abs() <= 1e-6, "{name}[{i}]: {once} and {scaled}");
        }
        assert!(plain[&name] != start, "{name} was trained");
    }
}

#[test]
fn a_net_for_other_classes_gets_a_new_last_layer() {
    let data = digits(80, 20);
    let (start, end) = (pretrained(&data), data.path().join("end.safetensors"));
    let (mut command, _) = from(&data, &start, &["--classes", "1,4,7"], &end);
    let output = run(&mut command);
    assert!(output.status.success(), "{}", stderr(&output));
    let text = format!("weights: 30 tensors from {}; 23 is for other classes, and stays new\n", start.display());
    let stdout = String::from_utf8(output.stdout).expect("text");
    assert!(stdout.starts_with(&text), "{stdout}");

    // As many classes, but others: the last layer is that of a net without weights, although the shapes fit.
    let run_of = |weights: &Path, classes: &str, name: &str| {
        let to = data.path().join(name);
        let output = run(&mut from(&data, weights, &["--train", "0", "--classes", classes], &to).0);
        assert!(output.status.success(), "{}", stderr(&output));
        (String::from_utf8(output.stdout).expect("text"), weights_of_last(&to))
    };
    let (said, other) = run_of(&end, "2,5,8", "other.safetensors");
    let text = format!("weights: 30 tensors from {}; 23 is for other classes, and stays new\n", end.display());
    assert!(said.starts_with(&text), "{said}");
    let (_, new) = run_of(Path::new("none"), "2,5,8", "new.safetensors");
    let (said, same) = run_of(&end, "1,4,7", "same.safetensors");
    assert!(said.starts_with(&format!("weights: 32 tensors from {}\n", end.display())), "{said}");
    assert!(other == new && same == weights_of_last(&end) && new != same);
}

/// Weight and bias of the last layer in a checkpoint.
fn weights_of_last(path: &Path) -> [Vec<u8>; 2] {
    let mut all = weights(path);
    ["23.weight", "23.bias"].map(|name| all.remove(name).expect("the last layer"))
}

#[test]
fn what_cannot_be_transferred_is_refused_with_a_reason() {
    let data = digits(32, 20);
    let (start, end) = (pretrained(&data), data.path().join("end.safetensors"));
    let refused = |flags: &[&str], text: &str| refused(&mut from(&data, &start, flags, &end).0, text);
    let modules = "0, 1, 3, 4, 7, 8, 10, 11, 14, 15, 17, 18, 23";
    refused(
        &["--train", "fc"],
        &format!("error: --train fc: the net has no parameter there; it has them in {modules}"),
    );
    let text = format!("error: --lr-factors fc: the net has no parameter there; it has them in {modules}");
    refused(&["--lr-factors", "fc=2"], &text);
    let text = "error: --frozen-statistics: nothing is frozen; name what is trained by --train";
    refused(&["--frozen-statistics"], text);
    refused(&["--frozen-statistics", "--train", "all"], text);
    let cached = ["--cache-features", "cache", "--frozen-statistics", "--train"];
    let text = "error: --cache-features: no frozen layer comes before the first one that --train trains";
    refused(&[&cached[..], &["0"]].concat(), text);
    let text =
        "error: --cache-features: every epoch must see the same images; leave out --augment, --mixup and --test-views";
    refused(&[&cached[..], &["23", "--augment", "crop-flip"]].concat(), text);
    refused(&[&cached[..], &["23", "--test-views", "mirrored"]].concat(), text);
    let (mut command, _) = small_run(&data, "other.json");
    let output = run(command.arg("--weights").arg(&start));
    let text =
        format!("error: the weights in {} are those of another net\n  missing     conv1.bias (8,)\n", start.display());
    assert!(stderr(&output).contains(&text), "{}", stderr(&output));
    assert_eq!(output.status.code(), Some(2));
    assert!(!end.exists(), "nothing was trained");
}

#[test]
fn a_net_is_pretrained_on_half_of_the_classes_and_trained_on_the_others() {
    let folder = TempDir::new().expect("a temporary directory");
    let weights = folder.path().join("pretrained.safetensors");
    let small = ["--sample", "--train-images", "64", "--epochs", "1"];
    let output = run(program("pretrain").args(small).arg("--save").arg(&weights));
    assert!(output.status.success(), "{}", stderr(&output));
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(text.contains("pretrain: 269397 parameters, 64 + 500 images"), "{text}");
    assert!(text.contains("note: half of the classes: airplane, automobile, bird, cat, deer\n"), "{text}");

    let mut command = program("transfer");
    command.args(small).args(["--net", "resnet20", "--size", "40", "--normalize", "standard", "--classes", "dog,frog"]);
    command.args(["--train", "layer3", "--frozen-statistics", "--lr-factors", "layer3=0.1", "--cache-features"]);
    command.arg(folder.path().join("cache")).arg("--weights").arg(&weights);
    let output = run(command.arg("--out").arg(folder.path().join("out")));
    assert!(output.status.success(), "{}", stderr(&output));
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(text.contains("; fc is for other classes, and stays new\n"), "{text}");
    assert!(text.contains("transfer: 269202 parameters, 64 + 200 images"), "{text}");
    let config = data_of(&folder.path().join("out/report.html"))["config"].clone();
    assert_eq!(config["data"]["image"], serde_json::json!([3, 32, 32]));
    assert_eq!(config["net"]["input"], serde_json::json!([32, 20, 20]), "the output of layer2, for images of 40 × 40");
    // What is given replaces the default, which is fc.
    let changed = changed(&weights, &folder.path().join("out/checkpoint.safetensors"));
    let trained = changed.iter().filter(|path| !path.starts_with("fc."));
    assert!(trained.clone().count() > 10 && trained.clone().all(|path| path.starts_with("layer3.")), "{changed:?}");
}
