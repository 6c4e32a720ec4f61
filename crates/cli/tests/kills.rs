//! Runs that are killed, and go on from what they have saved: at random moments, again and again.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::training::{digits, events, hash_of, small_run};

/// The number of kills: by default few; `.ci/long` asks for many.
fn kills() -> u32 {
    std::env::var("CHAINRULE_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(10)
}

/// A pseudorandom share from 0 to 1 (Knuth's MMIX generator), the same in every test run; the moments are not, they depend on the machine.
fn share(state: &mut u64) -> f64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 11) as f64 / (1_u64 << 53) as f64
}

#[test]
fn runs_killed_at_random_moments_end_with_the_uninterrupted_bits() {
    let data = digits(320, 40);
    let flags = [
        "--augment",
        "standard",
        "--mixup",
        "0.3",
        "--ema",
        "0.9",
        "--dropout",
        "0.2",
        "--schedule",
        "cosine",
        "--validation",
        "60",
        "--threads",
        "1",
        "--save-every",
        "2",
    ];
    let whole_folder = data.path().join("whole");
    let (mut command, json) = small_run(&data, "whole.json");
    let begun = Instant::now();
    let whole = hash_of(command.args(flags).arg("--out").arg(&whole_folder), &json);
    let duration = begun.elapsed();

    let (mut seed, mut killed, mut done) = (1, 0, 0);
    while killed < kills() {
        let folder = data.path().join(format!("run-{done}"));
        let [state, best] = ["checkpoint.safetensors", "best.safetensors"].map(|name| folder.join(name));
        let command = || {
            let (mut command, json) = small_run(&data, "killed.json");
            command.args(flags).arg("--out").arg(&folder).arg("--save-best").arg(&best);
            if state.exists() {
                command.arg("--resume").arg(&state);
            }
            (command, json)
        };
        // Some kills, then to the end.
        for _ in 0..5 {
            killed += u32::from(!ends_before(command().0, duration.mul_f64(1.2 * share(&mut seed))));
        }
        let (mut command, json) = command();
        assert_eq!(hash_of(&mut command, &json), whole, "after {killed} kills");
        assert!(best.exists());
        // The records are those of a run that was not killed.
        assert_eq!(records(&folder), records(&whole_folder), "after {killed} kills");
        assert_no_partial_files(&folder);
        assert_eq!(events(&json).iter().filter(|event| event["event"] == "epoch").count(), 2);
        fs::remove_dir_all(&folder).expect("it is ours");
        done += 1;
    }
}

/// Starts a command and kills it after some time. Whether it ended before.
fn ends_before(mut command: Command, time: Duration) -> bool {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program starts");
    std::thread::sleep(time);
    child.kill().expect("it is ours");
    child.wait().expect("it ends").success()
}

/// The metrics of a run without its times.
fn records(folder: &Path) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(folder.join("metrics.jsonl")).expect("the metrics");
    let line = |line: &str| {
        let mut value: serde_json::Value = serde_json::from_str(line).expect("an object a line");
        if let Some(object) = value.as_object_mut() {
            for time in ["seconds", "images_per_second"] {
                object.remove(time);
            }
        }
        value
    };
    text.lines().map(line).collect()
}

fn assert_no_partial_files(folder: &Path) {
    let files = fs::read_dir(folder).expect("the folder").map(|file| file.expect("a file").file_name());
    let names: Vec<String> = files.map(|name| name.to_string_lossy().into_owned()).collect();
    assert!(names.iter().all(|name| !name.contains(".part") && !name.contains(".tmp")), "{names:?}");
}

/// Starts runs until one is killed right after it has written the file `saved`, which `start` removes: on a busy machine a run may end
/// before.
pub fn kill_when_saved(saved: &Path, start: impl Fn() -> Command) {
    let killed = (0..10).any(|_| {
        let mut child = start().stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program starts");
        let patience = Instant::now() + Duration::from_secs(60);
        let ended = |child: &mut Child| child.try_wait().expect("it is ours").is_some();
        while !saved.exists() && Instant::now() < patience && !ended(&mut child) {
            std::thread::sleep(Duration::from_millis(1));
        }
        let ended = ended(&mut child);
        // It is no error to kill a process that has already ended.
        child.kill().expect("it is ours");
        let success = child.wait().expect("it ends").success();
        assert!(saved.exists(), "the run {} without saving", if ended { "ended" } else { "went on for a minute" });
        !success
    });
    assert!(killed, "every one of ten runs ended before it was killed");
}
