//! `chainrule colorize`, and what other commands make of its checkpoints.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::nets::cifar;
use crate::out::data_of;
use crate::training::{events, hash_of, program, run, stderr};

/// 10 training and 3 test images of horses, a small net with few colors.
fn horses() -> TempDir {
    cifar(20, 30)
}

fn colorize(data: &TempDir) -> Command {
    let mut command = program("colorize");
    command.args(["--nf", "3", "--colors", "5", "--batch-size", "4", "--epochs", "2", "--data-dir"]).arg(data.path());
    command
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{}", stderr(output));
    String::from_utf8(output.stdout.clone()).expect("text")
}

/// What a command wrote to stderr, without the note of an unoptimized build.
fn error(output: &Output) -> String {
    let text = stderr(output);
    text.split_inclusive('\n').filter(|line| !line.starts_with("note: this is an unoptimized")).collect()
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).expect("the file")).expect("JSON")
}

fn size_of(png: &Path) -> [u32; 2] {
    let file = std::io::BufReader::new(fs::File::open(png).expect("the picture"));
    let reader = png::Decoder::new(file).read_info().expect("a PNG file");
    [reader.info().width, reader.info().height]
}

#[test]
fn a_resumed_run_has_the_bits_of_a_whole_one_for_each_net_on_any_number_of_threads() {
    let data = horses();
    let path = |name: &str| data.path().join(name);
    for net in ["base", "unet", "residual"] {
        let hash = |name: &str, flags: &[&str]| {
            let json = path(&format!("{net}-{name}.json"));
            hash_of(colorize(&data).args(["--net", net]).args(flags).arg("--json").arg(&json), &json)
        };
        let state = path(&format!("{net}.safetensors"));
        let state = state.to_str().expect("text");
        let whole = hash("whole", &["--threads", "1"]);
        assert_eq!(hash("threads", &["--threads", "3", "--workers", "0"]), whole, "{net}");
        hash("half", &["--epochs", "1", "--save", state]);
        assert_eq!(hash("resumed", &["--resume", state]), whole, "{net}");
        assert_ne!(hash("seed", &["--seed", "1"]), whole, "{net}");
    }
}

#[test]
fn losses_and_accuracies_are_means_over_pixels() {
    let data = horses();
    let out = data.path().join("run");
    let lines = data.path().join("run.json");
    let output = run(colorize(&data).args(["--temperature", "0.5", "--out"]).arg(&out).arg("--json").arg(&lines));
    let printed = text(&output);
    assert!(printed.contains(" parameters, 10 + 3 images, "), "{printed}");
    assert!(printed.contains("\naccuracy by color, and the share of the pixels that have it\n  #"), "{printed}");
    assert!(!printed.contains("confusion matrix"), "{printed}");
    let events = events(&lines);
    let (epoch, result) = (&events[events.len() - 2], &events[events.len() - 1]);
    let accuracy = epoch["test_accuracy"].as_f64().expect("a number");
    assert_eq!(result["test_accuracy"], accuracy);
    assert_eq!(result["per_class"].as_array().expect("a list").len(), 5);
    assert!(epoch["train_accuracy"].as_f64().is_some_and(|share| share > 0.0 && share < 1.0), "{epoch}");

    // The confusion matrix counts the pixels of three images, and the table has a row for each image.
    let config = json(&out.join("config.json"));
    assert_eq!(config["data"]["labeled"], "pixels");
    assert_eq!(config["data"]["image"], serde_json::json!([3, 32, 32]));
    assert_eq!(config["net"]["input"], serde_json::json!([1, 32, 32]), "it sees gray images");
    let last = crate::training::events(&out.join("predictions.jsonl")).pop().expect("an epoch");
    let count = |row: usize, column: usize| last["confusion"][row][column].as_u64().expect("a count");
    let all: u64 = (0..25).map(|cell| count(cell / 5, cell % 5)).sum();
    let right: u64 = (0..5).map(|color| count(color, color)).sum();
    assert_eq!(all, 3 * 1024);
    approx::assert_relative_eq!(right as f64 / all as f64, accuracy, epsilon = 1e-12);
    let table = fs::read_to_string(out.join("predictions.csv")).expect("the table");
    let rows: Vec<Vec<f64>> =
        table.lines().skip(1).map(|row| row.split(',').map(|cell| cell.parse().expect("a number")).collect()).collect();
    assert_eq!((table.lines().next(), rows.len()), (Some("image,accuracy,loss"), 3));
    let mean = |column: usize| rows.iter().map(|row| row[column]).sum::<f64>() / 3.0;
    approx::assert_relative_eq!(mean(1), accuracy, epsilon = 1e-12);
    approx::assert_relative_eq!(mean(2), epoch["test_loss"].as_f64().expect("a number"), max_relative = 1e-5);

    // The pictures: three rows of five, and the feature maps of every layer.
    let examples = json(&out.join("examples/examples.json"));
    let colorized = &examples["colorized"];
    assert_eq!((colorized["images"].as_array().map(Vec::len), &colorized["temperature"]), (Some(3), &0.5.into()));
    assert_eq!(size_of(&out.join("examples/colorized.png")), [5 * 32, 3 * 32]);
    let share = |of: &str, k: usize| {
        let position = colorized[of][k].as_u64().expect("a position") as usize;
        colorized["images"][position]["accuracy"].as_f64().expect("a share")
    };
    assert!(share("best", 0) >= share("best", 1) && share("worst", 0) <= share("worst", 1), "{colorized}");
    let maps: Vec<&str> =
        examples["maps"][0][1].as_array().expect("blocks").iter().map(|map| map["name"].as_str().unwrap()).collect();
    for layer in ["down1.conv", "down1.bn", "down2.conv", "middle.conv", "up1.conv", "up2.conv", "out"] {
        assert!(maps.contains(&layer), "no {layer} in {maps:?}");
    }
    let report = data_of(&out.join("report.html"));
    assert!(report["pictures"]["colorized"].as_str().is_some_and(|picture| picture.starts_with("data:image/png;")));
    assert!(report["pictures"]["images"].is_null());
    let colors = config["data"]["classes"].as_array().expect("the colors");
    assert!(colors.iter().all(|color| color.as_str().is_some_and(|color| color.starts_with('#'))), "{colors:?}");
    assert_eq!(out.join("sheets/colorized.png").exists(), cfg!(feature = "plots"));
}

#[test]
fn a_checkpoint_keeps_its_palette_on_other_images() {
    let data = horses();
    let state = data.path().join("net.safetensors");
    let lines = data.path().join("run.json");
    text(&run(colorize(&data).args(["--epochs", "1", "--save"]).arg(&state).arg("--json").arg(&lines)));
    let evaluate = |data: &TempDir| text(&run(program("evaluate").arg(&state).arg("--data-dir").arg(data.path())));
    let colors = |text: &str| -> Vec<String> {
        text.lines()
            .filter_map(|line| Some(line.trim().split_once(' ')?.0.to_owned()))
            .filter(|name| name.starts_with('#'))
            .collect()
    };
    let own = evaluate(&data);
    let epoch = events(&lines).into_iter().rfind(|event| event["event"] == "epoch").expect("an epoch");
    let number = |key: &str| epoch[key].as_f64().expect("a number");
    let expected = format!("test loss {:.4}, accuracy {:.2} %", number("test_loss"), 100.0 * number("test_accuracy"));
    assert!(own.starts_with("colorize after epoch 1, 3 test images, ") && own.contains(&expected), "{own}");
    // Another number of images: their own palette would be another one.
    let others = cifar(50, 30);
    assert_eq!(colors(&evaluate(&others)), colors(&own));
    assert_eq!(colors(&own).len(), 5);
    let resumed = text(&run(colorize(&others).arg("--resume").arg(&state)));
    assert!(resumed.contains("note: saved by a run on other training images: the results will differ\n"), "{resumed}");
    assert_eq!(colors(&resumed), colors(&own));
    let fresh = text(&run(colorize(&others).args(["--epochs", "1"])));
    assert_ne!(colors(&fresh), colors(&own));
}

#[test]
fn the_embedded_sample_has_horses() {
    let data = tempfile::tempdir().expect("a directory");
    let lines = data.path().join("run.json");
    let flags =
        ["--sample", "--nf", "4", "--train-images", "100", "--epochs", "2", "--batch-size", "20", "--lr", "0.01"];
    let printed = text(&run(program("colorize").args(flags).arg("--json").arg(&lines)));
    assert!(printed.contains(" parameters, 100 + 100 images, "), "{printed}");
    let losses: Vec<f64> = events(&lines)[1..3].iter().map(|epoch| epoch["train_loss"].as_f64().unwrap()).collect();
    // A uniform guess among 24 colors has the loss ln 24 = 3.18.
    assert!(losses[1] < losses[0] && losses[1] < 3.0, "{losses:?}");
}

#[test]
fn pictures_of_any_size_are_colored() {
    let data = horses();
    let path = |name: &str| data.path().join(name);
    let state = path("net.safetensors");
    text(&run(colorize(&data).args(["--net", "unet", "--epochs", "1", "--save"]).arg(&state)));
    let save = |name: &str, [width, height]: [u32; 2], color: bool| {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, width, height);
        let channels = if color { 3 } else { 1 };
        encoder.set_color(if color { png::ColorType::Rgb } else { png::ColorType::Grayscale });
        let pixels: Vec<u8> = (0..width * height * channels).map(|i| (i * 7 % 251) as u8).collect();
        encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
        fs::write(path(name), bytes).unwrap();
        path(name)
    };
    let (color, gray) = (save("color.png", [90, 50], true), save("gray.png", [32, 32], false));
    let out = path("colored");
    let broken = path("broken.png");
    fs::write(&broken, "no image").unwrap();
    let output = run(program("predict").arg(&state).args([&color, &gray, &broken]).arg("--out").arg(&out));
    let printed = String::from_utf8(output.stdout.clone()).unwrap().replace(&data.path().display().to_string(), "DIR");
    let lines: Vec<&str> = printed.lines().collect();
    // 50 · 32/90 is 17.8, of which the next multiple of 4 is 16: 90×45 pixels have the ratio of 32×16.
    assert_eq!(
        lines[..3],
        [
            "DIR/color.png (90×50 pixels)",
            "  cropped at its center from 90×50 to 90×45 pixels",
            "  resized from 90×45 to 32×16 pixels",
        ]
    );
    assert!(lines[3].ends_with(" % of the pixels have their color of the palette"), "{printed}");
    // Nothing is known of the colors of a gray picture.
    assert_eq!(
        lines[4..],
        [
            "  gray, original, most probable, annealed mean: DIR/colored/1-color-colorized.png",
            "  the most probable color of each pixel: DIR/colored/1-color-most-probable.png",
            "  the annealed mean of each pixel: DIR/colored/1-color-annealed.png",
            "DIR/gray.png (32×32 pixels)",
            "  gray, original, most probable, annealed mean: DIR/colored/2-gray-colorized.png",
            "  the most probable color of each pixel: DIR/colored/2-gray-most-probable.png",
            "  the annealed mean of each pixel: DIR/colored/2-gray-annealed.png",
        ]
    );
    assert_eq!(
        error(&output).replace(&data.path().display().to_string(), "DIR"),
        "error: cannot decode DIR/broken.png: not a PNG or JPEG file\n  help: convert it to PNG or JPEG again\n\
         error: 1 of 3 images could not be colored\n"
    );
    // Four pictures of 224 pixels, with room between them.
    assert_eq!(size_of(&out.join("1-color-colorized.png")), [4 * 224 + 3 * 8, 112]);
    assert_eq!(size_of(&out.join("1-color-annealed.png")), [32, 16]);
    let side = run(program("predict")
        .arg(&state)
        .arg(&color)
        .args(["--side", "50", "--temperature", "1"])
        .arg("--out")
        .arg(&out));
    assert!(text(&side).contains("\n  resized from 90×48 to 52×28 pixels\n"), "{}", text(&side));
    assert_eq!(size_of(&out.join("1-color-most-probable.png")), [52, 28]);
}

#[test]
fn flags_that_do_not_fit_are_usage_errors() {
    let end = "\n\nFor more information, try '--help'.\n";
    let nets = "use --net base, --net unet or --net residual";
    for (command, flags, expected) in [
        ("colorize", &["--net", "small"][..], format!("--net small labels images, and `colorize` labels pixels: {nets}")),
        ("cifar10", &["--net", "unet"], "--net unet labels pixels, for `colorize`; `cifar10` labels images".into()),
        ("cifar10", &["--colors", "5"], "--colors is a setting of `colorize`".into()),
        ("mnist", &["--temperature", "1"], "--temperature is a setting of `colorize`".into()),
        ("mnist", &["--nf", "8"], "--nf is a setting of `--net base` and `--net unet` and `--net residual`; the small net does not have it".into()),
        ("colorize", &["--channels", "8,16"], "--channels is a setting of `--net small`; the base net does not have it".into()),
        ("colorize", &["--mixup", "0.2"], "--mixup is for programs whose images have a label each; `colorize` labels pixels".into()),
        ("colorize", &["--size", "64"], "--size is for programs whose images have a label each; `colorize` labels pixels".into()),
        ("colorize", &["--loss", "mse"], "--loss is for programs whose images have a label each; `colorize` labels pixels".into()),
        ("colorize", &["--test-views", "mirrored"], "--test-views is for programs whose images have a label each; `colorize` labels pixels".into()),
        ("colorize", &["--sample", "--normalize", "standard"], "--normalize standard: the numbers of `colorize` are for 3 channels, and these images have 1".into()),
        ("colorize", &["--sample", "--class", "zebra"], "--classes: there is no class zebra; the classes are airplane, automobile, bird, cat, deer, dog, frog, horse, ship, truck".into()),
    ] {
        let output = run(program(command).args(flags));
        assert_eq!((error(&output), output.status.code()), (format!("error: {expected}{end}"), Some(2)));
    }
    let output = run(program("colorize").args(["--colors", "1"]));
    assert!(stderr(&output).contains("1 is not in 2..=256"), "{}", stderr(&output));
}

#[test]
fn predict_refuses_flags_of_the_other_kind_of_net() {
    let data = horses();
    let path = |name: &str| data.path().join(name);
    text(&run(colorize(&data).args(["--epochs", "1", "--save"]).arg(path("colors.safetensors"))));
    let mut cifar10 = program("cifar10");
    cifar10.args(["--epochs", "1", "--data-dir"]).arg(data.path()).arg("--save").arg(path("classes.safetensors"));
    text(&run(&mut cifar10));
    for (net, flags, expected) in [
        ("colors", ["--explain", "x"], "--explain is for a net that labels images; this one was trained by `colorize`"),
        ("classes", ["--side", "64"], "--side is for a net of `colorize`; this one was trained by `cifar10`"),
        (
            "classes",
            ["--temperature", "1"],
            "--temperature is for a net of `colorize`; this one was trained by `cifar10`",
        ),
    ] {
        let output = run(program("predict").arg(path(&format!("{net}.safetensors"))).arg("any.png").args(flags));
        assert_eq!(error(&output), format!("error: {expected}\n\nFor more information, try '--help'.\n"));
    }
    let output = run(program("evaluate").arg(path("colors.safetensors")).args(["--test-views", "shifted"]));
    let expected = "--test-views is for programs whose images have a label each; `colorize` labels pixels";
    assert_eq!(error(&output), format!("error: {expected}\n\nFor more information, try '--help'.\n"));
}

#[test]
fn sweeps_of_the_reports_run_by_name() {
    let data = horses();
    let sweep = |preset: &str, flags: &[&str]| {
        let out = data.path().join(preset);
        let mut command = program("sweep");
        command.args(["--preset", preset, "--epochs", "1", "--colors", "3", "--batch-size", "10", "--data-dir"]);
        text(&run(command.arg(data.path()).args(flags).arg("--out").arg(out)))
    };
    let words = |text: &str| -> Vec<String> {
        text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
    };
    let kernels = sweep("colorize-kernels", &["--nf", "2"]);
    assert!(kernels.contains("settings × seeds = 4 × 1\n"), "{kernels}");
    let at = words(&kernels).iter().position(|line| line == "kernel runs train loss test accuracy seconds");
    let rows = &words(&kernels)[at.expect("a table") + 1..];
    assert!(["1 1 ", "3 1 ", "5 1 ", "7 1 "].iter().zip(rows).all(|(start, row)| row.starts_with(start)), "{kernels}");
    let nf = sweep("colorize-nf", &["--nf", "2,3", "--net", "base,unet"]);
    assert!(nf.contains("settings × seeds = 4 × 1\n") && nf.contains("\nnf  net   runs"), "{nf}");
}
