//! `--lr-find` of the training programs.

use std::fs;

use crate::training::{digits, program, run, small_run, stderr};

/// The test of small data with some flags: what is printed.
fn test(flags: &[&str]) -> String {
    let data = digits(320, 10);
    let mut command = program("mnist");
    command.arg("--data-dir").arg(data.path()).args(["--batch-size", "16", "--lr-find"]).args(flags);
    let files = || fs::read_dir(data.path()).expect("the folder").count();
    let before = files();
    let output = run(command.current_dir(data.path()));
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(files(), before, "nothing is left");
    String::from_utf8(output.stdout).expect("text")
}

/// The numbers of the table's lines: step, rate, loss, average.
fn table(text: &str) -> Vec<[f64; 4]> {
    let numbers = |line: &str| {
        let numbers: Option<Vec<f64>> = line.split_whitespace().map(|word| word.parse().ok()).collect();
        numbers?.try_into().ok()
    };
    text.lines().filter_map(numbers).collect()
}

#[test]
fn the_suggested_rate_trains_and_is_the_same_on_any_number_of_threads() {
    let text = test(&["--threads", "1"]);
    assert_eq!(text, test(&["--threads", "2"]));
    assert!(text.starts_with("learning-rate range test: up to 161 steps of 16 images\n\n  step"), "{text}");
    let lines = table(&text);
    assert!((15..=22).contains(&lines.len()), "{text}");
    assert_eq!(lines[1][0], 9.0);
    // Eight steps of a twentieth of a decade.
    approx::assert_relative_eq!(lines[1][1], 2.5e-7);
    // Ten classes are equally likely for a net that was not trained.
    approx::assert_relative_eq!(lines[0][2], 10_f64.ln(), epsilon = 0.2);
    assert_eq!(lines[0][2], lines[0][3], "the average begins at the first loss");
    assert!(
        lines[lines.len() - 1][1] < 10.0 && text.contains(", where the average was 4 times its minimum\n"),
        "{text}"
    );

    let lr = text.split_once("\nsuggested: --lr ").expect("a suggestion").1.split_once(", ").expect("a reason").0;
    assert!(text.contains(&format!("\nsteepest descent: at lr {lr} the average falls by ")), "{text}");
    assert!(text.ends_with(&format!("suggested: --lr {lr}, where the loss falls fastest\n")), "{text}");
    let accuracy = |lr: &str| {
        let data = digits(320, 100);
        let (mut command, json) = small_run(&data, "trained.json");
        crate::training::hash_of(command.args(["--lr", lr]), &json);
        crate::training::events(&json).pop().expect("a result")["test_accuracy"].as_f64().expect("a number")
    };
    assert!(accuracy(lr) > 0.9, "with {lr}: {}", accuracy(lr));
    assert!(accuracy("1e-7") < 0.5);
}

#[test]
fn an_untrained_binary_classifier_has_the_loss_ln_2() {
    let text = test(&["--classes", "0,1", "--loss", "bce"]);
    approx::assert_relative_eq!(table(&text)[0][2], 2_f64.ln(), epsilon = 0.1);
}

#[test]
fn a_range_test_saves_no_run() {
    let output = run(program("mnist").args(["--lr-find", "--save", "x.safetensors"]));
    assert_eq!(output.status.code(), Some(2));
    let text = stderr(&output);
    assert!(text.contains("error: the argument '--lr-find [<FILE>]' cannot be used with '--save <FILE>'\n"), "{text}");
}

#[test]
#[cfg(not(feature = "plots"))]
fn a_picture_needs_a_build_with_plots() {
    let data = digits(32, 10);
    let output = run(program("mnist").arg("--data-dir").arg(data.path()).args(["--lr-find", "x.svg"]));
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).ends_with(
            "error: --lr-find x.svg: this program was built without plots; from the source: \
             cargo run --release --features plots -- …, or leave the file out\n\nFor more information, try '--help'.\n"
        ),
        "{}",
        stderr(&output)
    );
}

#[test]
#[cfg(feature = "plots")]
fn the_picture_shows_losses_and_the_suggestion() {
    let data = digits(320, 10);
    let path = data.path().join("lr.svg");
    let mut command = program("mnist");
    command.arg("--data-dir").arg(data.path()).args(["--batch-size", "16", "--lr-find"]).arg(&path);
    let output = run(&mut command);
    assert!(output.status.success(), "{}", stderr(&output));
    let svg = fs::read_to_string(&path).expect("the picture");
    for piece in ["learning-rate range test", "average", "steepest descent", "minimum"] {
        assert!(svg.contains(piece), "no {piece} in {svg}");
    }
}
