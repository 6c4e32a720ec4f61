//! Training runs that go wrong: values that are not finite, files that cannot be written, memory that is not there, Ctrl-C,
//! other data.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::training::{digits, events, hash_of, program, run, small_run, stderr};

/// A command that trains on small data for some epochs, and the path of its JSON lines.
fn run_of(data: &TempDir, json: &str, epochs: &str) -> (Command, PathBuf) {
    let json = data.path().join(json);
    let mut command = program("mnist");
    command.arg("--data-dir").arg(data.path()).args(["--batch-size", "16", "--epochs", epochs, "--json"]).arg(&json);
    (command, json)
}

/// Fails with this exit code and this whole text.
fn fails_with(command: &mut Command, code: i32, text: &str) {
    let output = run(command);
    assert_eq!(without_note(&output), text);
    assert_eq!(output.status.code(), Some(code));
}

/// What the program wrote to stderr, without the note of an unoptimized build and without progress.
fn without_note(output: &Output) -> String {
    let text = stderr(output);
    let aside = |line: &&str| line.starts_with("note: this is an unoptimized") || line.contains(" images/s, ");
    text.split_inclusive('\n').filter(|line| !aside(line)).collect()
}

#[test]
fn a_run_that_stops_being_finite_ends_and_says_where() {
    let data = digits(320, 10);
    let state = data.path().join("state.safetensors");
    let large = |optimizer: &str, lr: &str| {
        let (mut command, json) = small_run(&data, "large.json");
        command.args(["--optimizer", optimizer, "--lr", lr, "--save"]).arg(&state);
        (command, json)
    };
    let output = run(&mut large("sgd", "1e20").0);
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    for piece in [
        "error: step 2 (epoch 1, batch 2) is not finite: loss ",
        "\n  first at linear of fc1: output (16, 128): from -",
        "\n    reshape (16, 784): from 0.000e0 to ",
        "\n    fc1.weight (128, 784): from -",
        "\n  it would make conv1.weight and 7 other parameters not finite\n    conv1.weight (8, 1, 3, 3): from -",
        "\n    its gradient (8, 1, 3, 3): 72 NaN\n    after the step with lr 1e20: (8, 1, 3, 3): 72 NaN\n",
        &format!(
            "\n  this run has not written {}; try a smaller --lr, or go on all the same with --allow-nan\n",
            state.display()
        ),
    ] {
        assert!(text.contains(piece), "no '{piece}' in:\n{text}");
    }
    assert!(!state.exists(), "ruins are not saved");

    // With --allow-nan the same run trains to its end and saves.
    let (mut command, json) = large("sgd", "1e20");
    let hash = hash_of(command.arg("--allow-nan"), &json);
    assert!(state.exists() && hash.len() == 64);
}

#[test]
fn an_update_that_overflows_is_named_though_loss_and_gradients_are_finite() {
    let data = digits(160, 10);
    let (mut command, _) = small_run(&data, "update.json");
    // The first step moves each weight by the learning rate.
    let output = run(command.args(["--optimizer", "adam", "--lr", "1e39"]));
    let text = stderr(&output);
    for piece in [
        "error: step 1 (epoch 1, batch 1) is not finite: loss 2.",
        ", and finite gradients\n  it would make conv1.weight and 7 other parameters not finite\n",
        "\n  nothing was saved; try a smaller --lr",
    ] {
        assert!(text.contains(piece), "no '{piece}' in:\n{text}");
    }
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn the_last_checkpoint_before_a_step_that_is_not_finite_stays() {
    let data = digits(320, 10);
    let state = data.path().join("state.safetensors");
    let flags = ["--lr", "1e30", "--optimizer", "sgd"];
    let (mut command, _) = small_run(&data, "bad.json");
    let text = stderr(&run(command.args(flags).args(["--save-every", "1", "--save"]).arg(&state)));
    assert!(text.contains("error: step 2 (epoch 1, batch 2) is not finite"), "{text}");
    assert!(text.contains(&format!("\n  {} has the state after step 1; ", state.display())), "{text}");
    // It is the state from which the same step goes wrong again.
    let (mut command, _) = small_run(&data, "again.json");
    let again = stderr(&run(command.args(flags).arg("--resume").arg(&state)));
    let until = |text: &str| {
        text.split("\n  nothing was saved")
            .next()
            .unwrap()
            .split(&format!("\n  {}", state.display()))
            .next()
            .unwrap()
            .to_owned()
    };
    assert_eq!(until(&again), until(&text));
}

#[test]
fn a_file_that_cannot_be_written_is_found_before_the_first_epoch() {
    let data = digits(32, 10);
    let save = |path: &str| {
        let (mut command, json) = small_run(&data, "save.json");
        command.args(["--save", path]);
        (command, json)
    };
    let refused = |path: &str, why: &str| {
        let (mut command, json) = save(path);
        fails_with(&mut command, 1, &format!("error: cannot write {path}: {why}; a previous file is unchanged\n"));
        assert!(!json.exists(), "before anything else");
    };
    #[cfg(unix)]
    refused("/dev/null", "it is a device, a pipe or a socket; give the name of a file");
    refused("/no/such/place/x", "the directory /no/such/place does not exist; create it first");
    refused(&data.path().display().to_string(), "it is a directory; give the name of a file");
    // No file can be created there, also by root.
    if cfg!(target_os = "linux") {
        let (mut command, json) = save("/proc/x");
        let output = run(&mut command);
        assert!(stderr(&output).contains("error: cannot write /proc/x: "), "{}", stderr(&output));
        assert!(output.status.code() == Some(1) && !json.exists());
    }
}

#[test]
#[cfg(unix)]
fn a_link_is_saved_to_what_it_links_to() {
    let data = digits(32, 10);
    let (link, file) = (data.path().join("link"), data.path().join("file"));
    std::os::unix::fs::symlink("file", &link).unwrap();
    let (mut command, json) = small_run(&data, "link.json");
    hash_of(command.arg("--save").arg(&link), &json);
    assert!(link.is_symlink() && fs::metadata(&file).unwrap().len() > 1000);
}

#[test]
fn a_net_or_a_batch_that_does_not_fit_is_refused_with_its_need() {
    let data = digits(600, 300);
    let refused = |flags: &[&str], start: &str, end: &str| {
        let json = data.path().join("large.json");
        let output = run(program("mnist").arg("--data-dir").arg(data.path()).arg("--json").arg(&json).args(flags));
        let text = without_note(&output);
        assert!(text.starts_with(start) && text.ends_with(end), "{text}");
        assert_eq!(output.status.code(), Some(1));
        assert!(!json.exists(), "before anything else");
    };
    let end = " left\n  use fewer --channels, or tell by --memory how much there is\n";
    let net = "error: a net of 900062830001418 weights needs about 3600251.3 GB of memory, and ";
    refused(&["--channels", "10000000,10000000"], net, end);
    refused(&["--channels", "4000000000000000000,8"], "error: a net of ", end);

    let end = " of memory, and --memory has 6 MB left\n  use --recompute, a smaller --batch-size or a smaller net, or tell by --memory how much there is\n";
    let flags = ["--memory", "6", "--batch-size"];
    refused(&[&flags[..], &["600"]].concat(), "error: training on 600 images at a time needs about ", end);
    let end = " of memory, and --memory has 6 MB left\n  use a smaller net, or tell by --memory how much there is\n";
    refused(&[&flags[..], &["1"]].concat(), "error: the evaluation of 250 images at a time needs about ", end);
}

#[test]
fn a_resumed_run_appends_to_its_json_lines() {
    let data = digits(64, 10);
    let state = data.path().join("state.safetensors");
    let (mut command, json) = run_of(&data, "whole.json", "3");
    let whole = hash_of(&mut command, &json);

    let part = |epochs: &str, resume: bool| {
        let (mut command, json) = run_of(&data, "parts.json", epochs);
        command.arg("--save").arg(&state);
        if resume {
            command.arg("--resume").arg(&state);
        }
        (hash_of(&mut command, &json), json)
    };
    let (_, json) = part("1", false);
    // As a kill may leave it: an epoch that was not saved yet, then half a line.
    let mut text = fs::read_to_string(&json).unwrap();
    text += "{\"event\":\"epoch\",\"epoch\":2,\"train_loss\":9.0}\n{\"event\":\"ep";
    fs::write(&json, text).unwrap();
    let (hash, json) = part("3", true);
    assert_eq!(hash, whole);
    let kinds: Vec<String> = events(&json).iter().map(|e| format!("{}{}", e["event"], e["epoch"])).collect();
    assert_eq!(kinds.join(" "), r#""start"null "epoch"1 "result"null "resume"null "epoch"2 "epoch"3 "result"null"#);
    assert!(events(&json).iter().all(|event| event["train_loss"] != 9.0), "the epoch was run again");
    // Without --resume the file starts anew.
    let (_, json) = part("1", false);
    assert_eq!(events(&json).len(), 3);
}

#[test]
fn other_images_of_the_same_number_are_noted() {
    let data = digits(64, 10);
    let state = data.path().join("state.safetensors");
    let (mut command, json) = small_run(&data, "first.json");
    hash_of(command.arg("--save").arg(&state), &json);
    let resumed = |data: &TempDir| {
        let (mut command, _) = run_of(data, "second.json", "3");
        let output = run(command.arg("--resume").arg(&state));
        assert!(output.status.success(), "{}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let note = "note: saved by a run on other training images: the results will differ\n";
    assert!(!resumed(&data).contains(note));
    let images = data.path().join("train-images-idx3-ubyte");
    let mut bytes = fs::read(&images).unwrap();
    bytes[100] ^= 1;
    fs::write(&images, bytes).unwrap();
    assert!(resumed(&data).contains(note));
}

/// The command in a process that does not ignore Ctrl-C, as a job in the background does, and all that it starts.
#[cfg(unix)]
fn interruptible(command: &Command) -> Command {
    if !cfg!(target_os = "linux") {
        let mut same = Command::new(command.get_program());
        same.args(command.get_args());
        return same;
    }
    let mut env = Command::new("env");
    env.arg("--default-signal=INT").arg(command.get_program()).args(command.get_args());
    env
}

/// Starts a run and waits until its JSON lines contain a word.
#[cfg(unix)]
fn started(mut command: Command, json: &Path, word: &str) -> Child {
    let _ = fs::remove_file(json);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let patience = Instant::now() + Duration::from_secs(120);
    while !fs::read_to_string(json).is_ok_and(|text| text.contains(word)) {
        let ended = child.try_wait().unwrap();
        if ended.is_some() || Instant::now() > patience {
            child.kill().unwrap();
            panic!("no '{word}' came: {ended:?}, {}", stderr(&child.wait_with_output().unwrap()));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child
}

#[cfg(unix)]
fn interrupt(child: &Child) {
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
}

/// The batch in the text of an interrupted run.
#[cfg(unix)]
fn batch_of(text: &str) -> Option<u64> {
    text.split_once("interrupted after epoch ")?.1.split_once("batch ")?.1.split_once(' ')?.0.parse().ok()
}

#[test]
#[cfg(unix)]
fn a_run_goes_on_after_ctrl_c_with_the_command_that_it_prints() {
    let data = digits(1600, 10);
    let (mut command, json) = run_of(&data, "whole.json", "4");
    let whole = hash_of(command.args(["--schedule", "cosine", "--clip-norm", "0.5"]), &json);
    let state = data.path().join("the state.safetensors");
    let (mut command, json) = run_of(&data, "interrupted.json", "4");
    command.args(["--schedule", "cosine", "--clip-norm", "0.5", "--save"]).arg(&state);
    // On a busy machine the run may end first; then try again.
    let output = (0..10).find_map(|_| {
        let child = started(interruptible(&command), &json, "\"epoch\"");
        interrupt(&child);
        Some(child.wait_with_output().unwrap()).filter(|output| !output.status.success())
    });
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(130));
    let text = without_note(&output);
    let (about, next) = text.split_once(": saved; to go on:\n  ").unwrap();
    let start = "\ninterrupted: ending after this step; once more ends at once\ninterrupted after epoch ";
    assert!(about.starts_with(start), "{text}");
    assert!(next.ends_with(&format!(" --resume '{}'\n", state.display())), "{text}");
    assert_eq!(hash_of(Command::new("sh").args(["-c", next]), &json), whole);
    let kinds: Vec<String> = events(&json).iter().map(|e| e["event"].to_string()).collect();
    assert!(kinds.contains(&"\"interrupted\"".to_owned()), "{kinds:?}");
    assert_eq!(kinds.iter().filter(|kind| *kind == "\"epoch\"").count(), 4, "{kinds:?}");
}

#[test]
#[cfg(unix)]
fn a_second_ctrl_c_ends_the_run_at_once() {
    let data = digits(1600, 10);
    let json = data.path().join("x.json");
    let mut command = program("mnist");
    // A step of many seconds.
    command
        .args(["--batch-size", "1600", "--channels", "256,256", "--memory", "100000", "--data-dir"])
        .arg(data.path());
    let child = started(interruptible(command.arg("--json").arg(&json)), &json, "start");
    // The second is sent when the first has been seen: its message is on the pipe.
    interrupt(&child);
    std::thread::sleep(Duration::from_millis(100));
    interrupt(&child);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert_eq!(without_note(&output), "\ninterrupted: ending after this step; once more ends at once\n");
}

#[test]
#[cfg(unix)]
fn a_job_that_ignores_ctrl_c_goes_on_ignoring_it() {
    let data = digits(1600, 10);
    let (ignoring, json) = run_of(&data, "ignoring.json", "3");
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' INT; exec \"$@\"", "sh"]).arg(ignoring.get_program()).args(ignoring.get_args());
    let child = started(command, &json, "\"epoch\"");
    interrupt(&child);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
#[cfg(unix)]
fn half_an_epoch_goes_on_only_with_as_many_images() {
    let data = digits(1600, 10);
    let state = data.path().join("state.safetensors");
    // A signal may also come between two epochs; then try again.
    let batch = (0..10).find_map(|_| {
        let (mut command, json) = run_of(&data, "interrupted.json", "100");
        let child = started(interruptible(command.arg("--save").arg(&state)), &json, "\"epoch\"");
        interrupt(&child);
        batch_of(&stderr(&child.wait_with_output().unwrap())).filter(|&batch| batch > 0)
    });
    let fewer = digits(480, 10);
    let (mut command, _) = run_of(&fewer, "resumed.json", "100");
    fails_with(
        command.arg("--resume").arg(&state),
        1,
        &format!(
            "error: {} was saved after batch {} of an epoch over 1600 training images, and this dataset has 480\n  \
             rule: an epoch goes on with the images that it began with; give the same data, or a checkpoint from the end of an epoch\n",
            state.display(),
            batch.unwrap()
        ),
    );
}

#[test]
fn a_schedule_is_part_of_a_run() {
    let data = digits(64, 10);
    let hash = |flags: &[&str]| {
        let (mut command, json) = run_of(&data, "schedule.json", "2");
        hash_of(command.args(flags), &json)
    };
    let plain = hash(&[]);
    assert_eq!(hash(&["--schedule", "constant", "--weight-decay", "0", "--label-smoothing", "0"]), plain);
    let mut hashes = vec![plain];
    for flags in [
        &["--schedule", "step"][..],
        &["--schedule", "cosine"],
        &["--schedule", "one-cycle"],
        &["--warm-up", "3"],
        &["--weight-decay", "0.01"],
        &["--label-smoothing", "0.1"],
        &["--clip-norm", "0.1"],
    ] {
        hashes.push(hash(flags));
    }
    hashes.sort();
    hashes.dedup();
    assert_eq!(hashes.len(), 8, "each flag changes the run");
    // A clipped gradient whose norm is below the limit is the gradient.
    assert_eq!(hash(&["--clip-norm", "1000"]), hash(&[]));

    let (mut command, _) = run_of(&data, "long.json", "2");
    fails_with(
        command.args(["--warm-up", "9"]),
        2,
        "error: --warm-up 9: the run has only 8 steps; use a shorter warm-up or more --epochs\n\nFor more information, try '--help'.\n",
    );
    let state = data.path().join("state.safetensors");
    let (mut command, json) = run_of(&data, "saved.json", "2");
    hash_of(command.args(["--schedule", "cosine", "--save"]).arg(&state), &json);
    let (mut command, _) = run_of(&data, "longer.json", "3");
    fails_with(
        command.args(["--schedule", "cosine", "--resume"]).arg(&state),
        2,
        &format!(
            "error: {} was saved by a run with --epochs 2, this one is with --epochs 3; give the same flags\n\nFor more information, try '--help'.\n",
            state.display()
        ),
    );
}
