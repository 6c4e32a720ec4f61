//! Runs test data in the form of ONNX's own tests: `run_tests [--tolerance T] FOLDER...`.
//!
//! A folder has `model.onnx` and `test_data_set_*` with `input_*.pb` and `output_*.pb`. For each it prints `passed`, `refused`
//! with the error, or `FAILED`; in the end their numbers. A failure makes the exit code 1.

use std::fs;
use std::path::Path;

use chainrule_autograd::no_grad;
use chainrule_onnx::{OnnxModel, OnnxValue};

/// Relative and absolute tolerance, by default those of ONNX's test runner.
struct Tolerance(f32, f32);

enum Outcome {
    Passed,
    Refused(String),
    Failed(String),
}

fn main() {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut tolerance = Tolerance(1e-3, 1e-7);
    if arguments.first().is_some_and(|flag| flag == "--tolerance") {
        let given = arguments.get(1).and_then(|text| text.parse().ok()).expect("a number after --tolerance");
        tolerance = Tolerance(given, given);
        arguments.drain(..2);
    }
    let mut counts = [0, 0, 0];
    for folder in &arguments {
        let (place, text) = match run(Path::new(folder), &tolerance) {
            Outcome::Passed => (0, "passed".to_owned()),
            Outcome::Refused(why) => (1, format!("refused: {}", why.replace('\n', " | "))),
            Outcome::Failed(why) => (2, format!("FAILED: {}", why.replace('\n', " | "))),
        };
        counts[place] += 1;
        println!("{folder}: {text}");
    }
    let [passed, refused, failed] = counts;
    println!("{passed} passed, {refused} refused, {failed} failed");
    std::process::exit(i32::from(failed > 0));
}

fn run(folder: &Path, tolerance: &Tolerance) -> Outcome {
    let model = match OnnxModel::read(folder.join("model.onnx")) {
        Ok(model) => model,
        Err(error) => return Outcome::Refused(error.to_string()),
    };
    let mut sets = 0;
    for set in 0.. {
        let data = folder.join(format!("test_data_set_{set}"));
        if !data.is_dir() {
            break;
        }
        sets += 1;
        let (inputs, expected) = match (tensors(&data, "input"), tensors(&data, "output")) {
            (Ok(inputs), Ok(expected)) => (inputs, expected),
            (Err(why), _) | (_, Err(why)) => return Outcome::Refused(why),
        };
        match no_grad(|| model.evaluate(inputs)) {
            Err(error) => return Outcome::Refused(error.to_string()),
            Ok(found) if found.len() != expected.len() => return Outcome::Failed(format!("{} outputs", found.len())),
            Ok(found) => {
                if let Some(why) = found.iter().zip(&expected).find_map(|(a, b)| difference(a, b, tolerance)) {
                    return Outcome::Failed(why);
                }
            }
        }
    }
    if sets == 0 { Outcome::Failed("no test data".into()) } else { Outcome::Passed }
}

fn tensors(data: &Path, what: &str) -> Result<Vec<OnnxValue>, String> {
    let path = |i: usize| data.join(format!("{what}_{i}.pb"));
    let read = |i: usize| {
        let bytes = fs::read(path(i)).map_err(|error| error.to_string())?;
        OnnxValue::from_tensor_bytes(&bytes).map_err(|error| format!("{what} {i}: {error}"))
    };
    (0..).take_while(|&i| path(i).exists()).map(read).collect()
}

/// What differs, if something does.
fn difference(found: &OnnxValue, expected: &OnnxValue, &Tolerance(relative, absolute): &Tolerance) -> Option<String> {
    if found.shape() != expected.shape() {
        return Some(format!("shape {:?}, expected {:?}", found.shape(), expected.shape()));
    }
    match (found, expected) {
        (OnnxValue::Integers { values: a, .. }, OnnxValue::Integers { values: b, .. }) => {
            (a != b).then(|| format!("{a:?}, expected {b:?}"))
        }
        (OnnxValue::Float(a), OnnxValue::Float(b)) => {
            let near =
                |a: f32, b: f32| a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= absolute + relative * b.abs();
            let (a, b) = (a.value().to_vec(), b.value().to_vec());
            let (i, (a, b)) = a.iter().zip(&b).enumerate().find(|&(_, (&a, &b))| !near(a, b))?;
            Some(format!("element {i} is {a}, expected {b}"))
        }
        _ => Some("floats and integers".into()),
    }
}
