//! `chainrule ledger` as its users run it.

use serde_json::Value;

use crate::training::{program, run, stderr};

/// The exit code, and what is printed.
fn ledger(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = run(program("ledger").args(arguments));
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned(), stderr(&output))
}

fn parsed(arguments: &[&str]) -> (Option<i32>, Value) {
    let (code, out, _) = ledger(&[arguments, &["--json"]].concat());
    (code, serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}")))
}

#[test]
fn all_partial_derivatives_of_the_two_neurons() {
    let (code, out, _) = ledger(&["--net", "two-neurons"]);
    assert_eq!(code, Some(0));
    assert!(out.lines().all(|line| line.chars().count() <= 80), "{out}");
    for text in [
        "6 of 6 partial derivatives of L = 0.00016175",
        "w1                     -4.7652771e-4 -4.7652771e-4 -4.7652771e-4",
        "w6                     -1.2707406e-3 -1.2707406e-3 -1.2707406e-3",
        "6 of 6 agree within 1e-6 relative or 1e-10 absolute",
    ] {
        assert!(out.contains(text), "no '{text}' in\n{out}");
    }
}

#[test]
fn the_columns_of_the_mnist_cnn_agree() {
    let (code, ledger) = parsed(&["--net", "mnist", "--samples", "200"]);
    assert_eq!((code, &ledger["passed"]), (Some(0), &Value::Bool(true)));
    assert_eq!(ledger["partials"], 72 + 8 + 1152 + 16 + 784 * 128 + 128 + 1280 + 10);
    let rows = ledger["rows"].as_array().expect("rows");
    assert_eq!(rows.len(), 200);
    let number = |row: &Value, column: &str| row[column].as_f64().expect("a number");
    for row in rows {
        assert_eq!(row["verdict"], "agree", "{row}");
        assert_eq!(row["forward_is_independent"], true, "{row}");
        let [reverse, forward, difference] = ["reverse", "forward", "difference"].map(|column| number(row, column));
        let allowed = 1e-6 * difference.abs() + 1e-10;
        assert!((reverse - difference).abs() <= allowed && (forward - difference).abs() <= allowed, "{row}");
        assert!(number(row, "error") <= 10.0 * allowed, "{row}");
    }
    let parameters: std::collections::BTreeSet<&str> =
        rows.iter().map(|row| row["parameter"].as_str().expect("a name")).collect();
    let weights = ["conv1.bias", "conv1.weight", "conv2.bias", "conv2.weight", "fc1.bias", "fc1.weight"];
    assert!(parameters.iter().copied().eq(weights.into_iter().chain(["fc2.bias", "fc2.weight"])), "{parameters:?}");
    assert!(rows.iter().filter(|row| number(row, "reverse").abs() > 1e-6).count() > 100, "rows that say something");
}

#[test]
fn a_planted_mistake_is_found() {
    for (op, unfused) in [
        ("conv2d_relu_max_pool2d", false),
        ("conv2d", true),
        ("relu", true),
        ("max_pool2d", true),
        ("reshape", false),
        ("linear", false),
        ("cross_entropy", false),
    ] {
        let arguments = ["--net", "mnist", "--samples", "24", "--batch-size", "1", "--plant", op, "--unfused"];
        let (code, ledger) = parsed(&arguments[..arguments.len() - usize::from(!unfused)]);
        assert_eq!((code, &ledger["guilty"]["op"]), (Some(1), &Value::from(op)), "{ledger:#}");
    }
    let (code, out, error) = ledger(&["--net", "resnet-block", "--samples", "40", "--plant", "batch_norm"]);
    assert_eq!(code, Some(1));
    assert!(out.contains("The wrong rule is that of 'batch_norm'"), "{out}");
    assert!(error.contains("error: the rule of 'batch_norm' is wrong"), "{error}");
    let (code, _, error) = ledger(&["--net", "xor", "--plant", "conv3d"]);
    assert_eq!(code, Some(2));
    assert!(error.contains("the net has the ops linear, multiply by number, relu, sigmoid"), "{error}");
}
