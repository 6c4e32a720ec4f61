//! `scripts/gpu_check.sh`, which runs where time is short and a machine may go away at any moment: with programs that only
//! pretend, here it is stopped and killed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A directory with programs that stand in for the packed ones, for nvidia-smi and for PyTorch.
struct Kit(TempDir);

impl Kit {
    fn new() -> Self {
        let kit = Self(tempfile::tempdir().expect("a directory"));
        let measured = r#"{"images_per_second": 2000.0, "batch": 64, "milliseconds_per_step": 32.0}"#;
        kit.program(
            "chainrule",
            &format!(
                r#"while [ $# -gt 0 ]; do [ "$1" = --json ] && echo '{measured}' >"$2"; shift; done; echo "all is well""#
            ),
        );
        kit.program("cuda_tests", r#"echo "test result: ok. 90 passed""#);
        let layer = r#""layer": "3x32x32", "direction": "forward", "precision": "tf32""#;
        // The last line is cut in the middle, as by a kill.
        kit.program(
            "gpu_layers",
            &format!(r#"printf '{{{layer}, "microseconds": 10, "tflops": 5}}\n{{{layer}, "micro'"#),
        );
        kit.program("nvidia-smi", r#"echo "a pretended GPU""#);
        let torch = r#"{"mode": "graphs fp32", "images_per_second": 1000}"#;
        let cudnn = format!(r#"{{{layer}, "microseconds": 20}}"#);
        kit.program("torch", &format!("echo '{torch}'; echo '{cudnn}'; echo '{{\"mode\": 3}}'; echo '[1]'; echo '{{'"));
        for profiler in ["ncu", "compute-sanitizer"] {
            kit.program(profiler, "exit 9");
        }
        kit
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn program(&self, name: &str, body: &str) {
        fs::write(self.path(name), format!("#!/bin/sh\n{body}\n")).expect("it is written");
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o755)).expect("it is ours");
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository");
        let mut command = Command::new("bash");
        command.arg(root.join("scripts/gpu_check.sh")).args(arguments).env("KIT", self.0.path());
        let path = std::env::var("PATH").expect("it is set");
        command.env("PATH", format!("{}:{path}", self.0.path().display())).env("PYTHON", self.path("torch"));
        command
    }

    /// Starts `run` into the directory `results`.
    fn run(&self, parts: &str) -> Command {
        let mut command = self.command(&["run", self.path("results").to_str().expect("plain letters")]);
        command.env("PARTS", parts).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn archive(&self) -> PathBuf {
        self.path("results/gpu-results.tar.gz")
    }

    /// The tables of the archive, without the seconds that each part took.
    fn table(&self) -> String {
        let table = text(&self.command(&["table"]).arg(self.archive()).output().expect("bash"));
        let timeless = |line: &str| match line
            .split_once(" s | ")
            .and_then(|(head, tail)| Some((head.rsplit_once(", ")?.0, tail)))
        {
            Some((head, tail)) => format!("{head} | {tail}\n"),
            None => format!("{line}\n"),
        };
        table.lines().map(timeless).collect()
    }
}

#[track_caller]
fn text(output: &Output) -> String {
    let text = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat();
    assert!(output.status.success(), "{}\n{text}", output.status);
    text
}

/// Whether this machine has what the script needs beside bash.
fn possible() -> bool {
    let there = |program: &str| Command::new(program).arg("--version").output().is_ok();
    let all = ["bash", "python3", "tar", "timeout"].into_iter().all(there);
    if !all {
        println!("bash, python3, tar or timeout is missing: nothing is tested");
    }
    all
}

#[test]
fn the_plan_keeps_to_the_minutes() {
    if !possible() {
        return;
    }
    let kit = Kit::new();
    let plan = text(&kit.command(&["plan"]).output().expect("bash"));
    let minutes = |line: &str| line.split_whitespace().find_map(|word| word.parse::<f64>().ok());
    let calls: Vec<f64> = plan
        .lines()
        .filter(|line| line.starts_with("# call "))
        .filter_map(|line| minutes(line.split_once(',')?.1))
        .collect();
    assert!(calls.len() == 2 && calls.iter().all(|&call| call <= 10.0) && calls.iter().sum::<f64>() <= 13.5, "{plan}");
    let first = plan.lines().nth(1).expect("the first call");
    assert!(first.starts_with("PARTS=\"gpu doctor tests mnist_fp32 layers throughput_mnist_fp32 "), "{plan}");
    assert!(plan.contains("torch_resnet18_compile"), "what does not fit is named: {plan}");
    // Other limits, and a choice of parts.
    let mut few = kit.command(&["plan"]);
    let few =
        text(&few.env("PARTS", "torch_*_compile racecheck").env("CALL", "4").env("ALL", "8").output().expect("bash"));
    let expected = "# call 1, about 3.0 minutes\nPARTS=\"racecheck\" scripts/gpu_check.sh run RESULTS\n\
                    # call 2, about 3.0 minutes\nPARTS=\"torch_resnet18_compile\" scripts/gpu_check.sh run RESULTS\n\
                    # together about 7.5 of 8.0 minutes, with the start of the machine\n\
                    # left out, about 6.0 minutes: torch_cifar_compile torch_unet_compile torch_mnist_compile\n";
    assert_eq!(few, expected);
    // The calls have the settings of the plan.
    let mut with_settings = kit.command(&["plan"]);
    with_settings.env("PARTS", "torch_mnist cifar10_fp32").env("CIFAR", "/my data/cifar").env("SECONDS_EACH", "1");
    assert_eq!(
        text(&with_settings.env("TORCH_MODES", "eager bf16").output().expect("bash")).lines().nth(1),
        Some(
            "PARTS=\"torch_mnist cifar10_fp32\" TORCH_MODES=eager\\ bf16 CIFAR=/my\\ data/cifar SECONDS_EACH=1 \
             scripts/gpu_check.sh run RESULTS"
        )
    );
    let refused = kit.command(&["run"]).env("PARTS", "doctor throughput").output().expect("bash");
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        refused.status.code() == Some(2)
            && why.starts_with("PARTS: no part is named 'throughput'; the parts are: gpu doctor tests "),
        "{why}"
    );
}

#[test]
fn the_usage_is_the_comment_at_the_top() {
    if !possible() {
        return;
    }
    let output = Kit::new().command(&["help"]).output().expect("bash");
    let usage = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(2), "{usage}");
    assert!(usage.lines().all(|line| line.starts_with('#')), "{usage}");
    assert!(
        usage.starts_with("# All checks and measurements that need a GPU") && usage.contains("#   KIT  "),
        "{usage}"
    );
}

#[test]
fn a_part_that_fails_hangs_or_is_missing_loses_no_other() {
    if !possible() {
        return;
    }
    let kit = Kit::new();
    kit.program("cuda_tests", "echo begun; sleep 1000");
    // Killed by something else, as for memory; and a status that `timeout` has too.
    kit.program("compute-sanitizer", "case $* in *memcheck*) exit 9 ;; *) kill -9 $$ ;; esac");
    kit.program("nvidia-smi", "echo 'a pretended GPU'; exit 124");
    let parts = "gpu tests racecheck layers throughput_mnist_* memcheck torch_mnist torch_layers ncu";
    fs::remove_file(kit.path("ncu")).expect("it was there");
    assert!(kit.run(parts).env("LIMIT", "3").status().expect("bash").success());
    let left: Vec<_> =
        fs::read_dir(kit.path("results")).expect("there").map(|file| file.expect("there").file_name()).collect();
    assert_eq!(left, ["gpu-results.tar.gz"], "one file comes back");
    let table = kit.table();
    for line in [
        "a pretended GPU",
        "(doctor did not run)",
        "| tests | stopped (its limit is 3 s) | begun |",
        "| throughput_mnist_bf16 | ok | all is well |",
        "| memcheck | failed (9) |  |",
        "| gpu | failed (124) | a pretended GPU |",
        "| mnist, 64 | fp32 | 2000 | 32.000 | 2.00× graphs fp32 |",
        "| 3x32x32 | forward | tf32 | 10.0 | 5.0 | 20.0 | 2.00 |",
    ] {
        assert!(table.lines().any(|found| found == line), "{line:?} is missing in:\n{table}");
    }
    let killed = "s, as for want of memory |";
    assert!(
        table.lines().any(|line| line.starts_with("| racecheck | killed after ") && line.contains(killed)),
        "{table}"
    );
    assert!(table.contains("| ncu | not found | timeout: failed to run command"), "{table}");
}

/// Killed at any moment, the archive is whole and has all parts that had ended.
#[test]
fn a_kill_leaves_a_whole_archive() {
    if !possible() {
        return;
    }
    let kit = Kit::new();
    for k in 0..8 {
        let mut running = kit.run("*").spawn().expect("bash");
        wait_until(|| kit.archive().exists());
        // At some moment of a later part or of its archive.
        sleep(Duration::from_millis(61 * k));
        running.kill().expect("it is ours");
        running.wait().expect("it is ours");
        let (states, table) = (fs::read_to_string(kit.path("parts/parts.txt")).expect("there"), kit.table());
        // The last part may have ended after the last archive.
        let ended: Vec<&str> =
            states.lines().filter(|line| line.contains(" ok, ")).filter_map(|line| line.split(' ').next()).collect();
        for name in &ended[..ended.len() - 1] {
            assert!(table.contains(&format!("| {name} | ok | ")), "{name} is missing in:\n{table}");
        }
        assert!(table.contains("| gpu | ok | a pretended GPU |"), "{table}");
        fs::remove_file(kit.archive()).expect("it was there");
    }
}

#[track_caller]
fn wait_until(happened: impl Fn() -> bool) {
    let start = Instant::now();
    while !happened() {
        assert!(start.elapsed() < Duration::from_secs(60), "it does not happen");
        sleep(Duration::from_millis(10));
    }
}

/// A request to stop ends the running part and keeps what it printed.
#[test]
fn a_request_to_stop_keeps_the_running_part() {
    if !possible() {
        return;
    }
    let kit = Kit::new();
    kit.program("cuda_tests", "echo half of the tests; sleep 1000");
    let mut running = kit.run("gpu tests layers").spawn().expect("bash");
    wait_until(|| fs::read_to_string(kit.path("parts/tests.txt")).is_ok_and(|text| text.contains("half")));
    let stop = Command::new("kill").arg(running.id().to_string()).status().expect("kill");
    assert!(stop.success() && running.wait().expect("it ends").code() == Some(143));
    let table = kit.table();
    assert!(table.contains("| gpu | ok | a pretended GPU |"), "{table}");
    assert!(table.contains("| tests | started | half of the tests |") && !table.contains("| layers |"), "{table}");
}
