//! The lessons of `examples/` run, and say what they promise.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::training::{run, stderr};

/// A lesson's program. `cargo test` builds the lessons beside the tests.
fn lesson(name: &str) -> Command {
    let tests = std::env::current_exe().expect("this test is a file");
    let path = tests.parent().and_then(Path::parent).expect("target/…/deps").join("examples").join(name);
    assert!(path.exists(), "{} is missing: run `cargo test`, or `cargo build --examples` first", path.display());
    Command::new(path)
}

/// What a lesson prints.
fn text_of(name: &str) -> String {
    let output = run(&mut lesson(name));
    assert!(output.status.success(), "{name}: {}", stderr(&output));
    String::from_utf8(output.stdout).expect("text")
}

fn assert_says(name: &str, pieces: &[&str]) {
    let text = text_of(name);
    for piece in pieces {
        assert!(text.contains(piece), "{name}: no '{piece}' in:\n{text}");
    }
}

/// The last number of a line.
fn last_number(line: &str) -> f64 {
    line.split(' ').rev().find_map(|word| word.parse().ok()).unwrap_or_else(|| panic!("no number in '{line}'"))
}

/// The share of test images that were right in the end, in percent.
fn accuracy(text: &str) -> f64 {
    last_number(text.lines().last().unwrap_or_default())
}

#[test]
fn a_gradient_is_the_product_of_the_chain_rule() {
    let text = text_of("01_gradient");
    let numbers: Vec<f64> = text.lines().filter(|line| line.starts_with("dloss/dw")).map(last_number).collect();
    assert!(numbers.len() == 2 && (numbers[0] - numbers[1]).abs() < 1e-15 && numbers[0] < 0.0, "{text}");
}

#[test]
fn the_sheet_agrees_with_autograd_and_with_differences() {
    assert_says("02_two_neurons", &["o = 0.9820137900379085", "∂E/∂w6", "-1.270740569803971e-3"]);
}

#[test]
fn a_wrong_rule_is_found() {
    assert_says(
        "03_own_op",
        &[
            "gradcheck and gradgradcheck of cube: passed",
            "without the factor 3:",
            "gradcheck: cube has a wrong gradient",
        ],
    );
}

#[test]
fn the_terms_of_an_element_add_up() {
    let text = text_of("06_explain");
    let sum = text.lines().find_map(|line| line.strip_prefix("sum ")).expect("the last line");
    let (sum, gradient) = sum.split_once(", gradient ").expect("two numbers");
    let number = |text: &str| text.parse::<f64>().expect("a number");
    assert!((number(sum) - number(gradient)).abs() < 1e-15 && number(gradient) != 0.0, "{text}");
    assert!(text.contains("∂L/∂w1[1,0]") && text.contains("└ h[0,1] by tanh"), "{text}");
}

/// The first losses are those of PyTorch 2.15 (`scripts/torch_char_lstm.py`).
#[test]
fn an_lstm_begins_to_write() {
    const OF_PYTORCH: [f64; 5] = [
        4.231_379_384_548_905,
        4.033_271_347_705_32,
        3.583_785_267_956_347,
        3.236_324_722_675_912,
        3.111_878_762_679_586,
    ];
    let folder = TempDir::new().expect("a temporary directory");
    let output = run(lesson("07_char_lstm").arg("1").arg(folder.path()));
    assert!(output.status.success(), "{}", stderr(&output));
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(text.starts_with("46094 characters, 67 distinct: a guess costs 4.205 nats each\n"), "{text}");

    let losses = std::fs::read_to_string(folder.path().join("losses.txt")).expect("the losses");
    let losses: Vec<f64> = losses.lines().map(last_number).collect();
    assert_eq!(losses.len(), 81);
    for (step, theirs) in OF_PYTORCH.iter().enumerate() {
        assert!((losses[step] - theirs).abs() < 1e-12, "step {step}: {} instead of {theirs}", losses[step]);
    }
    let epoch = text.lines().find(|line| line.starts_with("epoch  1: ")).expect("an epoch");
    assert!(last_number(epoch) < 3.0, "a held-out loss in {text}");

    // The gradient at the memory 30 steps back: with a forget gate near 1 it is larger by orders of magnitude.
    let reach = |row: &str| last_number(text.lines().find(|line| line.starts_with(row)).expect("a row"));
    assert!(reach("forget bias near 1") > 100.0 * reach("forget bias near 0"), "{text}");
}

#[test]
fn two_epochs_read_98_of_100_digits() {
    let text = text_of("04_train_mnist");
    assert!(accuracy(&text) >= 98.0, "{text}");
}

#[test]
fn patterns_are_classified_and_a_missing_folder_is_named() {
    let text = text_of("05_image_folder");
    assert!(text.starts_with("across, checks, down: 300 + 90 images of 24×24\n"), "{text}");
    assert!(accuracy(&text) >= 90.0, "{text}");

    let empty = TempDir::new().expect("a temporary directory");
    let output = run(lesson("05_image_folder").arg(empty.path().join("missing")));
    assert!(!output.status.success() && stderr(&output).contains("missing"), "{}", stderr(&output));
}
