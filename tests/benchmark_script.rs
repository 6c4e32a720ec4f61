//! `scripts/benchmark.py`: its tables and plots are those of the measurements, and it keeps those of other machines. The programs
//! that it measures only pretend here.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// What the script writes, besides docs/benchmarks.
const WRITTEN: [&str; 4] = ["README.md", "docs/performance.md", "docs/performance.svg", "docs/growth.svg"];

/// A copy of the script and of the files that it reads and writes.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        let (copy, root) =
            (tempfile::tempdir().expect("a directory"), Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
        for directory in ["scripts", "docs/benchmarks", "target/release", "bin"] {
            fs::create_dir_all(copy.path().join(directory)).expect("a directory");
        }
        let script =
            ["benchmark.py", "benchmark_plots.py", "benchmark_tables.py"].map(|name| format!("scripts/{name}"));
        let data = ["steps", "growth"].map(|name| format!("docs/benchmarks/{name}.json"));
        for file in script.iter().chain(&data).map(String::as_str).chain(WRITTEN) {
            fs::copy(root.join(file), copy.path().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        }
        Self(copy)
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.0.path().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
    }

    fn program(&self, name: &str, body: &str) {
        let path = self.0.path().join(name);
        fs::write(&path, format!("#!/bin/sh\n{body}\n")).expect("it is written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it is ours");
    }

    /// Runs the script with these arguments; `bin/cargo` and `bin/torch` take the place of cargo and PyTorch.
    fn run(&self, arguments: &[&str]) {
        let path = std::env::var("PATH").expect("it is set");
        let mut command = Command::new("python3");
        command.arg(self.0.path().join("scripts/benchmark.py")).args(arguments).env("PYTHONDONTWRITEBYTECODE", "1");
        command.env("PATH", format!("{}:{path}", self.0.path().join("bin").display()));
        command.env("PYTHON", self.0.path().join("bin/torch")).env_remove("CARGO_TARGET_DIR");
        let output = command.output().expect("python3");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// Whether this machine has what the script needs.
fn possible() -> bool {
    let there = Command::new("python3").arg("--version").output().is_ok();
    if !there {
        println!("python3 is missing: nothing is tested");
    }
    there
}

#[test]
fn tables_and_plots_are_those_of_the_measurements() {
    if !possible() {
        return;
    }
    let copy = Files::new();
    let before = WRITTEN.map(|file| copy.read(file));
    copy.run(&["render"]);
    for (file, before) in WRITTEN.iter().zip(before) {
        assert!(copy.read(file) == before, "{file} is not what `scripts/benchmark.py render` writes");
    }
}

#[test]
fn a_machine_replaces_its_own_measurements_only() {
    if !possible() {
        return;
    }
    let copy = Files::new();
    copy.program("bin/cargo", "");
    let times = |rate: u32| {
        format!(
            r#"{{"batch": 64, "images_per_second": {rate}, "milliseconds_per_step": 2, "gflops": 3, "peak_memory_bytes": 9000000, "torch": "2.0+x", "mode": "fused"}}"#
        )
    };
    copy.program("bin/torch", &format!("echo '{}'", times(1000)));
    for rate in [2000, 3000] {
        let body = format!(r#"while [ $# -gt 0 ]; do [ "$1" = --json ] && echo '{}' >"$2"; shift; done"#, times(rate));
        copy.program("target/release/chainrule", &body);
        copy.run(&["steps", "--threads", "1", "--nets", "mnist", "--modes", "fused", "--processor", "a new one"]);
    }
    for (file, has_memory) in [("README.md", false), ("docs/performance.md", true)] {
        let (new, original) = (copy.read(file), Files::new().read(file));
        let added: Vec<&str> = new.lines().filter(|line| line.contains("| a new one, one thread, ")).collect();
        let [row] = added[..] else { panic!("{added:?}") };
        assert!(row.contains("| mnist, batch 64 | 3 000 | 1 000 (fused optimizer) | **3.00** |"), "{row}");
        assert_eq!(row.ends_with("| 9 MB, PyTorch 9 MB |"), has_memory, "{row}");
        assert_eq!(new.lines().filter(|line| *line != row).collect::<Vec<_>>(), original.lines().collect::<Vec<_>>());
    }
    assert!(copy.read("docs/performance.svg").contains("3.00 × (3 000 images/s)"));
}
