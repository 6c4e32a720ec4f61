//! `--distributed`: runs of several processes over MPI, and what ends them.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::distributed::{alone, data, flags};
use crate::training::{digits, hash_of, run, stderr};

/// `mpirun` with a number of processes, each of which writes its process id to the file `pid.RANK` first.
fn together(ranks: usize, folder: &Path, flags: &[String], more: &[&str]) -> Command {
    let inner = alone(flags, more);
    let mut command = Command::new("mpirun");
    command
        .args(["-n", &ranks.to_string(), "sh", "-c"])
        .arg(r#"echo $$ > "$PIDS/pid.${OMPI_COMM_WORLD_RANK:-$PMI_RANK}"; exec "$0" "$@""#)
        .arg(inner.get_program())
        .args(inner.get_args())
        .arg("--distributed")
        .env("PIDS", folder)
        // More processes than cores, also as root in a container.
        .env("OMPI_MCA_rmaps_base_oversubscribe", "1")
        .env("OMPI_ALLOW_RUN_AS_ROOT", "1")
        .env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
    command
}

fn pid(folder: &Path, rank: usize) -> Option<String> {
    Some(fs::read_to_string(folder.join(format!("pid.{rank}"))).ok()?.trim().to_owned()).filter(|pid| !pid.is_empty())
}

fn signal(name: &str, pid: &str) -> bool {
    let mut kill = Command::new("kill");
    kill.args(["-s", name, pid]).stderr(Stdio::null());
    kill.status().expect("kill").success()
}

/// Ends when the file exists.
fn wait_for(path: &Path) {
    let patience = Instant::now() + Duration::from_secs(120);
    while !path.exists() {
        assert!(Instant::now() < patience, "{} was not written", path.display());
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A process that has ended may still be listed, as a zombie.
fn assert_no_process_is_left(folder: &Path, ranks: usize) {
    for rank in 0..ranks {
        let pid = pid(folder, rank).expect("each process has written its number");
        let state = Command::new("ps").args(["-o", "stat=", "-p", &pid]).output().expect("ps");
        let state = String::from_utf8_lossy(&state.stdout).trim().to_owned();
        assert!(state.is_empty() || state.starts_with('Z'), "rank {rank} is still there: {state}");
    }
}

/// One test at a time: each has more processes than cores.
fn turn() -> std::sync::MutexGuard<'static, ()> {
    static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());
    TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[test]
fn one_two_and_four_processes_leave_the_same_weights_and_results() {
    let _turn = turn();
    let data = data();
    let (common, json) = flags(&data, "ranks.json");
    let results = |json: &Path| {
        let mut events = crate::training::events(json);
        for event in &mut events {
            for key in ["seconds", "images_per_second", "processes"] {
                event.as_object_mut().expect("an object").remove(key);
            }
        }
        events
    };
    hash_of(&mut alone(&common, &["--shards", "4"]), &json);
    let expected = results(&json);
    for ranks in [1, 2, 4] {
        let output = run(&mut together(ranks, data.path(), &common, &["--shards", "4"]));
        assert!(output.status.success(), "{}", stderr(&output));
        assert_eq!(results(&json), expected, "{ranks} processes");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(said.matches("test accuracy").count(), 1, "only rank 0 reports: {said}");
        assert_eq!(said.contains(&format!("in each of {ranks} processes, Open MPI")), ranks > 1, "{said}");
        assert_no_process_is_left(data.path(), ranks);
    }
    // The masks of dropout are those of the shards.
    let small: Vec<String> =
        common.iter().filter(|flag| !["--widths", "4,8,8"].contains(&flag.as_str())).cloned().collect();
    let masked = ["--net", "small", "--dropout", "0.5", "--shards", "4"];
    let one = hash_of(&mut alone(&small, &masked), &json);
    assert_eq!(hash_of(&mut together(2, data.path(), &small, &masked), &json), one);
    // Statistics of whole batches.
    let output = run(&mut together(2, data.path(), &common, &["--sync-batch-norm"]));
    assert!(output.status.success(), "{}", stderr(&output));
}

/// A run of two processes with four shards that saves every other step, up to `end`, which gets the folder and makes it fail;
/// then the rest of it in 1 process and in 4. Returns what the failed run wrote.
fn fails_and_goes_on(more: &[&str], prepare: impl FnOnce(&Path), end: impl FnOnce(&Path)) -> (Output, Duration) {
    let _turn = turn();
    let data = data();
    let (common, json) = flags(&data, "failed.json");
    let out = data.path().join("out");
    let state = out.join("checkpoint.safetensors");
    let long = ["--shards", "4", "--epochs", "6"];
    let whole = hash_of(&mut alone(&common, &long), &json);
    let shown = out.display().to_string();
    let saving = ["--shards", "4", "--epochs", "6", "--out", &shown, "--save-every", "2"];
    fs::create_dir(&out).expect("a directory");
    prepare(&out);
    let child = together(2, data.path(), &common, &[&saving[..], more].concat())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("mpirun: install an MPI library, such as Debian's openmpi-bin");
    wait_for(&state);
    end(data.path());
    let begun = Instant::now();
    let output = child.wait_with_output().expect("the run ends");
    let took = begun.elapsed();
    assert!(!output.status.success(), "{}", stderr(&output));
    assert_no_process_is_left(data.path(), 2);
    let saved = data.path().join("saved.safetensors");
    fs::copy(&state, &saved).expect("the checkpoint");
    let resume = saved.display().to_string();
    let resumed = [&long[..], &["--resume", &resume]].concat();
    assert_eq!(hash_of(&mut alone(&common, &resumed), &json), whole);
    assert_eq!(hash_of(&mut together(4, data.path(), &common, &resumed), &json), whole);
    (output, took)
}

#[test]
fn a_killed_rank_ends_the_run_which_goes_on_from_its_checkpoint() {
    let end = |folder: &Path| assert!(signal("KILL", &pid(folder, 1).expect("its number")));
    let (output, took) = fails_and_goes_on(&[], |_| (), end);
    let text = stderr(&output) + &String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("rank 1") && text.contains("signal 9 (Killed)"), "{text}");
    assert!(took < Duration::from_secs(30), "{took:?}");
}

#[test]
fn a_rank_that_hangs_is_named_within_the_time_limit() {
    let end = |folder: &Path| assert!(signal("STOP", &pid(folder, 1).expect("its number")));
    let (output, took) = fails_and_goes_on(&["--timeout", "3"], |_| (), end);
    let text = stderr(&output);
    assert!(text.contains("error: rank 0: rank 1 has not answered for 3 s"), "{text}");
    assert!(took < Duration::from_secs(30), "{took:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_of_rank_0_ends_the_run() {
    let full = |out: &Path| {
        std::os::unix::fs::symlink("/dev/full", out.join("metrics.jsonl")).expect("a link");
    };
    let (output, took) = fails_and_goes_on(&[], full, |_| ());
    let text = stderr(&output);
    assert!(text.contains("error: rank 0: --out: cannot write"), "{text}");
    assert!(text.contains("No space left on device"), "{text}");
    assert!(text.contains("checkpoint.safetensors has the state after step"), "{text}");
    assert!(took < Duration::from_secs(60), "{took:?}");
}

#[test]
fn a_signal_to_one_process_ends_all_with_a_checkpoint() {
    let end = |folder: &Path| assert!(signal("INT", &pid(folder, 1).expect("its number")));
    let (output, _) = fails_and_goes_on(&[], |_| (), end);
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(130), "{text}");
    assert!(text.contains("rank 0: interrupted after epoch"), "{text}");
    assert!(text.contains("--resume"), "{text}");
}

#[test]
fn a_loss_that_is_not_finite_is_found_at_its_shard() {
    let _turn = turn();
    let data = data();
    let (common, _) = flags(&data, "diverges.json");
    let output = run(&mut together(2, data.path(), &common, &["--optimizer", "sgd", "--lr", "1e30", "--shards", "4"]));
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("error: rank 0: step "), "{text}");
    let place = text.split("the loss of shard ").nth(1).expect("it is named");
    assert!(place.contains(", of rank ") && place.contains("NaN"), "{text}");
}

/// Two programs under one `mpirun`.
fn unlike(first: &Command, second: &Command) -> Output {
    let mut command = Command::new("mpirun");
    for (i, inner) in [first, second].into_iter().enumerate() {
        command.args(if i == 0 { &["-n", "1"][..] } else { &[":", "-n", "1"] });
        command.arg(inner.get_program()).args(inner.get_args()).arg("--distributed");
    }
    let root = [("OMPI_ALLOW_RUN_AS_ROOT", "1"), ("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1")];
    run(command.env("OMPI_MCA_rmaps_base_oversubscribe", "1").envs(root))
}

#[test]
fn ranks_that_do_not_run_the_same_thing_are_named() {
    let _turn = turn();
    let (data, other) = (data(), digits(144, 40));
    let (common, json) = flags(&data, "unlike.json");
    let (of_other, _) = flags(&other, "unlike.json");
    let same = alone(&common, &["--shards", "4"]);
    let fails = |second: &Command, text: &str| {
        let output = unlike(&same, second);
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        let said = stderr(&output);
        assert!(said.contains("error: rank 0: the processes do not run the same thing"), "{said}");
        assert!(said.contains(text), "{said}");
    };
    fails(&alone(&common, &["--shards", "4", "--lr", "0.25"]), "--lr 0.25");
    fails(
        &alone(&common, &["--shards", "4", "--epochs", "3"]),
        "length: rank 0 has --epochs 2, --early-stop None, rank 1 has --epochs 3",
    );
    fails(&alone(&of_other, &["--shards", "4"]), "data: rank 0 has 130 training images, crc32");
    // Other weights: those of two checkpoints.
    let (one, two) = (data.path().join("one.safetensors"), data.path().join("two.safetensors"));
    hash_of(alone(&common, &["--shards", "4", "--epochs", "1"]).arg("--save").arg(&one), &json);
    hash_of(alone(&common, &["--shards", "4"]).arg("--save").arg(&two), &json);
    let resumed =
        |state: &Path| alone(&common, &["--shards", "4", "--epochs", "3", "--resume", &state.display().to_string()]);
    let output = unlike(&resumed(&one), &resumed(&two));
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("weights: rank 0 has"), "{}", stderr(&output));
    // Another program: a copy with a byte more.
    let copy = data.path().join("chainrule");
    let mut bytes = fs::read(same.get_program()).expect("the program");
    bytes.push(0);
    fs::write(&copy, bytes).expect("room for a copy");
    fs::set_permissions(&copy, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("it is ours");
    let mut altered = Command::new(&copy);
    altered.args(same.get_args());
    fails(&altered, "program: rank 0 has version");
}

#[test]
fn processes_that_were_started_together_without_the_flag_are_told() {
    let _turn = turn();
    let data = data();
    let (common, _) = flags(&data, "apart.json");
    let mut command = Command::new("mpirun");
    let inner = alone(&common, &["--epochs", "1"]);
    command.args(["-n", "2"]).arg(inner.get_program()).args(inner.get_args());
    let root = [("OMPI_ALLOW_RUN_AS_ROOT", "1"), ("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1")];
    let output = run(command.env("OMPI_MCA_rmaps_base_oversubscribe", "1").envs(root));
    let told = stderr(&output).matches("note: 2 processes were started together, and each trains by itself").count();
    assert_eq!(told, 2, "{}", stderr(&output));
}
