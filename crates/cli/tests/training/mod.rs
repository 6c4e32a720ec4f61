//! Runs the training subcommands on small data.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// The path of the program. Cargo provides it to the tests of its own package; tests of other packages look in the build
/// directory of `cargo test`.
fn executable() -> PathBuf {
    if let Some(path) = option_env!("CARGO_BIN_EXE_chainrule") {
        return path.into();
    }
    let tests = std::env::current_exe().expect("this test is a file");
    let path = tests.parent().and_then(Path::parent).expect("target/…/deps").join("chainrule");
    assert!(path.exists(), "{} is missing: run `cargo test`, or `cargo build -p chainrule-cli` first", path.display());
    path
}

/// The program with a subcommand.
pub fn program(subcommand: &str) -> Command {
    let mut command = Command::new(executable());
    command.arg(subcommand);
    command
}

/// A directory with IDX files of `train` and `test` images of 28×28; the position of the bright rows depends on the class.
pub fn digits(train: usize, test: usize) -> TempDir {
    let directory = TempDir::new().expect("a temporary directory");
    for (part, n) in [("train", train), ("t10k", test)] {
        let mut images = [2051u32, n as u32, 28, 28].map(u32::to_be_bytes).concat();
        let mut labels = [2049u32, n as u32].map(u32::to_be_bytes).concat();
        for i in 0..n {
            let class = i * 7 % 10;
            labels.push(class as u8);
            for row in 0..28 {
                let bright = (class * 2..class * 2 + 4).contains(&row);
                images.extend(
                    (0..28).map(|column| if bright { 200 } else { ((i * 31 + row * 7 + column * 3) % 60) as u8 }),
                );
            }
        }
        fs::write(directory.path().join(format!("{part}-images-idx3-ubyte")), images).expect("room for the images");
        fs::write(directory.path().join(format!("{part}-labels-idx1-ubyte")), labels).expect("room for the labels");
    }
    directory
}

pub fn run(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().expect("the program starts")
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A command that trains on small data, and the path of its JSON lines.
pub fn small_run(data: &TempDir, json: &str) -> (Command, PathBuf) {
    let json = data.path().join(json);
    let mut command = program("mnist");
    command.arg("--data-dir").arg(data.path()).args(["--batch-size", "16", "--epochs", "2", "--json"]).arg(&json);
    (command, json)
}

pub fn events(json: &Path) -> Vec<Value> {
    let lines = fs::read_to_string(json).expect("the JSON lines");
    lines.lines().map(|line| serde_json::from_str(line).expect("one object a line")).collect()
}

/// Runs to the end and returns the hash of the weights.
pub fn hash_of(command: &mut Command, json: &Path) -> String {
    let output = run(command);
    assert!(output.status.success(), "{}", stderr(&output));
    let result = events(json).pop().expect("a result");
    result["weights_sha256"].as_str().expect("a hash").to_owned()
}
