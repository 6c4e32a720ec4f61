//! `chainrule sweep`: its runs, its table, what it checks before it starts, and how it goes on.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::training::{digits, events, program, run, stderr};

/// A sweep over small data, for one epoch, into a folder beside the data.
fn sweep(data: &TempDir, flags: &[&str]) -> Command {
    let mut command = program("sweep");
    command.arg("mnist").args(["--batch-size", "16", "--epochs", "1", "--data-dir"]).arg(data.path());
    command.arg("--out").arg(data.path().join("out")).args(flags);
    command
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{}", stderr(output));
    String::from_utf8(output.stdout.clone()).expect("text")
}

/// What a command wrote to stderr, without the note of an unoptimized build.
fn error(output: &Output) -> String {
    let text = stderr(output);
    text.split_inclusive('\n').filter(|line| !line.starts_with("note: this is an unoptimized")).collect()
}

/// Fails with exit code 2 and this whole text, and writes nothing.
fn refused(data: &TempDir, flags: &[&str], text: &str) {
    let output = run(&mut sweep(data, flags));
    assert_eq!(error(&output), text);
    assert_eq!(output.status.code(), Some(2));
    assert!(!data.path().join("out").exists(), "before any run");
}

/// The last number of a run by its key.
fn last(folder: &Path, key: &str) -> f64 {
    let epoch = events(&folder.join("events.jsonl")).into_iter().rfind(|event| event["event"] == "epoch");
    epoch.expect("an epoch")[key].as_f64().expect("a number")
}

#[test]
fn the_table_has_mean_and_deviation_and_finished_runs_are_skipped() {
    let data = digits(160, 20);
    let flags = ["--activation", "relu,leaky:-0.5", "--validation", "32", "--seeds", "2", "--seed", "3"];
    let text = stdout(&run(&mut sweep(&data, &flags)));
    let out = data.path().join("out");
    let start = format!(
        "sweep mnist --batch-size=16 --epochs=1 --data-dir={} --activation=relu,leaky:-0.5 --validation=32 --seeds=2\n\
         4 runs in {}: settings × seeds = 2 × 2\n\n1/4 activation=relu,seed=3: train loss ",
        data.path().display(),
        out.display()
    );
    assert!(text.starts_with(&start), "{text}");

    let runs = |value: &str| [3, 4].map(|seed| out.join("runs").join(format!("activation={value},seed={seed}")));
    let spread = |value: &str, key: &str| {
        let [a, b] = runs(value).map(|folder| last(&folder, key));
        (f64::midpoint(a, b), (a - b).abs() / 2_f64.sqrt())
    };
    let row = |name: &str, value: &str| {
        let (loss, loss_deviation) = spread(value, "train_loss");
        let [validation, test] = ["validation_accuracy", "test_accuracy"].map(|key| {
            let (mean, deviation) = spread(value, key);
            format!("{:.2} ± {:.2} %", 100.0 * mean, 100.0 * deviation)
        });
        format!("{name} 2 {loss:.4} ± {loss_deviation:.4} {validation} {test}")
    };
    let words: Vec<String> = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    let at =
        words.iter().position(|line| line == "activation runs train loss validation accuracy test accuracy seconds");
    let at = at.unwrap_or_else(|| panic!("no table in {text}"));
    assert!(words[at + 1].starts_with(&row("relu", "relu")), "{text}");
    assert!(words[at + 2].starts_with(&row("leaky:-0.5", "leaky_-0.5")), "{text}");

    let mut csv = csv_of(&out);
    let heading = csv.remove(0);
    assert_eq!(heading[..4], ["activation", "runs", "train_loss", "train_loss_deviation"]);
    assert_eq!(heading[6..], ["test_accuracy", "test_accuracy_deviation", "seconds", "seconds_deviation"]);
    let (mean, deviation) = spread("leaky_-0.5", "test_accuracy");
    assert_eq!(csv[1][..2], ["leaky:-0.5", "2"]);
    approx::assert_relative_eq!(csv[1][6].parse::<f64>().expect("a number"), mean, epsilon = 1e-12);
    approx::assert_relative_eq!(csv[1][7].parse::<f64>().expect("a number"), deviation, epsilon = 1e-12);
    let lines = events(&out.join("table.jsonl"));
    assert_eq!(lines[1]["setting"]["activation"], "leaky:-0.5");
    assert_eq!(lines[1]["runs"][1]["seed"], 4);
    assert_eq!(lines[1]["runs"][1]["test_accuracy"], last(&runs("leaky_-0.5")[1], "test_accuracy"));

    // A run that has lost its end is trained again; the others are not.
    let whole = fs::read_to_string(runs("relu")[0].join("events.jsonl")).expect("the events");
    let result = |text: &str| text.lines().last().expect("a line").to_owned();
    let cut: String = whole.split_inclusive('\n').take(1).collect();
    fs::write(runs("relu")[0].join("events.jsonl"), cut).expect("room");
    fs::remove_file(runs("relu")[0].join("checkpoint.safetensors")).expect("it was saved");
    let again = stdout(&run(&mut sweep(&data, &flags)));
    let lines: Vec<&str> = again.lines().filter(|line| line.contains("/4 ")).collect();
    assert_eq!(lines.iter().filter(|line| line.ends_with(" s, complete before")).count(), 3, "{again}");
    assert!(!lines[0].ends_with("before"), "{again}");
    let hash = |text: &str| serde_json::from_str::<Value>(&result(text)).expect("an object")["weights_sha256"].clone();
    let rerun = fs::read_to_string(runs("relu")[0].join("events.jsonl")).expect("the events");
    assert_eq!(hash(&rerun), hash(&whole));

    // The folder is that of these flags.
    let folder = out.join("runs").join("activation=relu,seed=3");
    let other = run(sweep(&data, &flags).args(["--lr", "0.01"]));
    let command = |end: &str| {
        format!(
            "chainrule mnist --batch-size=16 --epochs=1 --data-dir={} --validation=32{end} --activation=relu --seed=3",
            data.path().display()
        )
    };
    assert_eq!(
        error(&other),
        format!(
            "error: {} has a run with other flags\n  there: {}\n  here:  {}\n  \
             give the same flags as before, or another folder by --out\n\nFor more information, try '--help'.\n",
            folder.display(),
            command(""),
            command(" --lr=0.01")
        )
    );
}

fn csv_of(out: &Path) -> Vec<Vec<String>> {
    let text = fs::read_to_string(out.join("table.csv")).expect("the table");
    text.lines().map(|line| line.split(',').map(str::to_owned).collect()).collect()
}

#[test]
fn what_is_wrong_is_found_before_the_first_run() {
    let data = digits(32, 10);
    let found = |about: &str, own: &str| {
        format!(
            "error: {about}\n  found before any run was started, in: chainrule mnist --batch-size=16 --epochs=1 \
             --data-dir={} {own} --seed=0\n\nFor more information, try '--help'.\n",
            data.path().display()
        )
    };
    let value = "invalid value '4' for '--kernel <KERNEL>': expected 1, 3, 5 or 7";
    refused(&data, &["--kernel", "3,5,4"], &found(value, "--kernel=4"));
    let net = "--kernel is a setting of `--net small` and `--net base` and `--net unet` and `--net residual`; the report net does not have it";
    refused(&data, &["--kernel", "3", "--net", "small,report"], &found(net, "--kernel=3 --net=report"));
    let channels = "invalid value '8,16,32' for '--channels <A,B>': expected two positive integers, such as 8,16\n  \
                    a value of --channels has commas of its own: separate a list of them by semicolons, as in --channels 'A;B'";
    refused(&data, &["--channels", "8,16,32"], &found(channels, "--channels=8,16,32"));
    let end = "\n\nFor more information, try '--help'.\n";
    refused(&data, &["--lr", "1,0.1,1"], &format!("error: --lr: 1 is listed twice{end}"));
    let switch = "error: --negatives=no: expected on, off or both: --negatives=off,on; --negatives alone is on";
    refused(&data, &["--negatives=no"], &format!("{switch}{end}"));
    let output = run(&mut sweep(&data, &["--save", "x"]));
    assert!(error(&output).starts_with("error: unexpected argument '--save' found\n"), "{}", error(&output));
    let output = run(&mut program("sweep"));
    let names = "mnist, fashion-mnist, cifar10, cifar100, colorize, pretrain, transfer";
    assert_eq!(error(&output), format!("error: name a program ({names}) or a --preset{end}"));
}

#[test]
fn lists_with_commas_and_switches_are_combined() {
    let data = digits(32, 10);
    let text = stdout(&run(&mut sweep(&data, &["--channels", "2,4; 4,2", "--drop-last=off,on"])));
    assert!(
        text.lines().next().is_some_and(|line| line.ends_with(" --channels='2,4;4,2' --drop-last=off,on --seeds=1"))
    );
    let names: Vec<&str> =
        text.lines().filter_map(|line| Some(line.split_once("/4 ")?.1.split_once(": ")?.0)).collect();
    assert_eq!(
        names,
        [
            "channels=2_4,drop-last=off,seed=0",
            "channels=2_4,drop-last=on,seed=0",
            "channels=4_2,drop-last=off,seed=0",
            "channels=4_2,drop-last=on,seed=0",
        ]
    );
    let command = fs::read_to_string(data.path().join("out/runs").join(names[1]).join("command.txt")).expect("a file");
    assert!(command.ends_with(" --channels=2,4 --drop-last --seed=0\n"), "{command}");
}

#[test]
fn two_sweeps_do_not_share_a_folder() {
    let data = digits(32, 10);
    let out = data.path().join("out");
    fs::create_dir(&out).expect("a folder");
    let other = fs::File::create(out.join(".lock")).expect("a file");
    other.lock().expect("a lock");
    let output = run(&mut sweep(&data, &["--seeds", "2"]));
    let text = "has a sweep that is running; wait for it to end, or give another folder by --out";
    assert_eq!(error(&output), format!("error: {} {text}\n", out.display()));
    assert_eq!(output.status.code(), Some(1));
    assert!(!out.join("runs").exists(), "before any run");

    drop(other);
    stdout(&run(&mut sweep(&data, &["--seeds", "2"])));
}

#[test]
fn a_run_that_fails_does_not_end_the_others() {
    let data = digits(160, 10);
    let output = run(&mut sweep(&data, &["--optimizer", "sgd", "--lr", "1e20,0.01"]));
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout.clone()).expect("text");
    assert!(text.contains("\n1/2 lr=1e20,seed=0: failed\n2/2 lr=0.01,seed=0: train loss "), "{text}");
    let start = "error: 1 of the runs failed; started again, the sweep tries only these\n  \
                 lr=1e20,seed=0: error: step 2 (epoch 1, batch 2) is not finite: loss ";
    assert!(error(&output).starts_with(start), "{}", error(&output));
    assert!(csv_of(&data.path().join("out"))[1].starts_with(&["1e20".to_owned(), "0".to_owned(), String::new()]));
}

#[test]
fn flags_replace_those_of_a_preset() {
    let data = digits(64, 10);
    let flags = ["--activation", "leaky:-1,leaky:1", "--validation", "8", "--epochs", "1", "--seeds", "1"];
    let mut command = program("sweep");
    command.args(["--preset", "leaky"]).args(flags).arg("--data-dir").arg(data.path());
    let text = stdout(&run(command.current_dir(data.path())));
    let start = format!(
        "sweep mnist --negatives --normalize=unit --activation=leaky:-1,leaky:1 --validation=8 --epochs=1 --data-dir={} --seeds=1\n\
         2 runs in sweep-mnist-leaky: settings × seeds = 2 × 1\n",
        data.path().display()
    );
    assert!(text.starts_with(&start), "{text}");
    assert!(data.path().join("sweep-mnist-leaky/table.csv").exists());
    let help = stdout(&run(program("sweep").arg("--help")));
    for preset in ["leaky", "activations", "head-activations", "kernels", "losses", "optimizers"] {
        assert!(help.contains(&format!("- {preset}:")), "no {preset} in {help}");
    }
}

#[test]
#[cfg(feature = "plots")]
fn the_plot_shows_each_setting() {
    let data = digits(64, 10);
    let text = stdout(&run(&mut sweep(&data, &["--lr", "1e-4,1e-3,1e-2", "--optimizer", "adam,sgd", "--seeds", "2"])));
    let path = data.path().join("out/sweep.svg");
    assert!(text.ends_with(&format!("wrote {}\n", path.display())), "{text}");
    let svg = fs::read_to_string(path).expect("the plot");
    for piece in ["optimizer sgd", "lr 1e-3, optimizer adam", "training loss", "test accuracy, %"] {
        assert!(svg.contains(piece), "no {piece} in {svg}");
    }
}

#[test]
#[cfg(unix)]
fn an_interrupted_sweep_says_how_to_go_on() {
    use std::os::unix::process::CommandExt;
    use std::process::Stdio;
    use std::time::{Duration, Instant};

    let data = digits(1600, 10);
    let whole = run(&mut sweep(&data, &["--epochs", "3", "--seeds", "2"]));
    // All but the seconds.
    let table = |text: &str| {
        let row = text.lines().skip_while(|line| !line.starts_with("runs ")).nth(1)?;
        row.rsplit_once("  ").map(|(row, _)| row.to_owned())
    };
    let expected = table(&stdout(&whole));
    assert!(expected.is_some());

    // On a busy machine the run may end first; then try again.
    let (text, out) = (0..10)
        .find_map(|i| {
            let out = data.path().join(format!("interrupted-{i}"));
            let mut command = Command::new("env");
            let flags = sweep(&data, &["--epochs", "3", "--seeds", "2", "--out"]);
            if cfg!(target_os = "linux") {
                // Not ignored, as it is in a job in the background.
                command.arg("--default-signal=INT");
            }
            command.arg(flags.get_program()).args(flags.get_args()).arg(&out);
            // A group of its own, as a terminal has it for a command: Ctrl-C reaches the sweep and its run.
            command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
            let child = command.spawn().expect("the program starts");
            let events = out.join("runs/seed=0/events.jsonl");
            let patience = Instant::now() + Duration::from_secs(120);
            while !fs::read_to_string(&events).is_ok_and(|text| text.contains("\"epoch\"")) {
                assert!(Instant::now() < patience, "no epoch came");
                std::thread::sleep(Duration::from_millis(5));
            }
            let group = format!("-{}", child.id());
            assert!(Command::new("kill").args(["-INT", "--", &group]).status().expect("kill").success());
            let output = child.wait_with_output().expect("it ends");
            Some((error(&output), out)).filter(|_| output.status.code() == Some(130))
        })
        .expect("a sweep that was interrupted");
    let (about, next) = text.split_once("; to go on:\n  ").unwrap_or_else(|| panic!("{text}"));
    assert!(about.contains("\ninterrupted in run ") && about.contains(" of 2, seed="), "{text}");
    let output = run(Command::new("sh").args(["-c", next]));
    assert_eq!(table(&stdout(&output)), expected, "{}", out.display());
}
