//! `--shards` in one process, and the flags of several.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::training::{digits, hash_of, program, run, stderr};

/// 130 images beside 20 for validation: nine batches of 16 in an epoch, the last of 2, in which half of four shards have no image.
pub fn data() -> TempDir {
    digits(150, 40)
}

/// Flags of a run on the data, and the path of its JSON lines. Its results depend on the random numbers of augmentation, on running
/// statistics and on the mean of the weights.
pub fn flags(data: &TempDir, json: &str) -> (Vec<String>, PathBuf) {
    let json = data.path().join(json);
    let text = |path: &Path| path.display().to_string();
    let mut all = vec!["--data-dir".into(), text(data.path()), "--json".into(), text(&json)];
    let fixed = "--net blocks --widths 4,8,8 --batch-size 16 --epochs 2 --augment standard --ema 0.9 --threads 1 \
                 --validation 20 --mixup 0.3";
    all.extend(fixed.split_whitespace().map(str::to_owned));
    (all, json)
}

pub fn alone(flags: &[String], more: &[&str]) -> Command {
    let mut command = program("mnist");
    command.args(flags).args(more);
    command
}

#[test]
fn shards_need_no_other_process_and_are_part_of_what_determines_the_bits() {
    let data = data();
    let (common, json) = flags(&data, "alone.json");
    let state = data.path().join("state.safetensors");
    let four = hash_of(alone(&common, &["--shards", "4"]).arg("--save").arg(&state), &json);
    assert_ne!(
        four,
        hash_of(&mut alone(&common, &[]), &json),
        "each shard has statistics and random numbers of its own"
    );
    assert_eq!(four, hash_of(&mut alone(&common, &["--shards", "4", "--threads", "2"]), &json));
    let output = run(alone(&common, &["--shards", "2"]).arg("--resume").arg(&state));
    assert!(
        stderr(&output).contains("was saved by a run with --shards 4, this one is with --shards 2"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn flags_that_do_not_go_together_are_refused() {
    let data = data();
    let (common, _) = flags(&data, "refused.json");
    for (more, text) in [
        (&["--shards", "3"][..], "--shards: 3 shards for 1 processes\n  rule: the number of shards is a power of two"),
        (&["--shards", "4", "--lr-find"], "--lr-find is for runs without --shards"),
        (&["--timeout", "5"], "--timeout is a setting of `--distributed`"),
        (&["--sync-batch-norm"], "--sync-batch-norm is a setting of `--distributed`"),
        (&["--distributed", "--sync-batch-norm", "--shards", "4"], "--sync-batch-norm and --shards: "),
    ] {
        // Without the JSON lines, which --lr-find has not.
        let own: Vec<String> = common[..2].iter().chain(&common[4..]).cloned().collect();
        let output = run(&mut alone(&own, more));
        assert_eq!(output.status.code(), Some(2), "{more:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(text), "{more:?}: {}", stderr(&output));
    }
}

#[test]
fn nccl_is_refused_without_a_launcher_and_without_a_gpu() {
    let data = data();
    let mut command = alone(&flags(&data, "refused.json").0, &["--distributed=nccl", "--device", "cpu"]);
    for variable in ["RANK", "WORLD_SIZE", "OMPI_COMM_WORLD_RANK", "SLURM_PROCID", "NCCL_COMM_ID"] {
        command.env_remove(variable);
    }
    let output = run(&mut command);
    assert!(!output.status.success());
    assert!(stderr(&output).contains("RANK"), "it names the variables: {}", stderr(&output));
    command.envs([("RANK", "0"), ("WORLD_SIZE", "2"), ("LOCAL_RANK", "0"), ("LOCAL_WORLD_SIZE", "2")]);
    command.envs([("MASTER_ADDR", "127.0.0.1"), ("MASTER_PORT", "29500")]);
    let output = run(&mut command);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("NCCL connects GPUs, and the device is cpu; use --distributed=mpi"),
        "{}",
        stderr(&output)
    );
}

#[cfg(not(feature = "mpi"))]
#[test]
fn a_program_without_mpi_says_how_to_build_one_with_it() {
    let data = data();
    let output = run(&mut alone(&flags(&data, "without.json").0, &["--distributed=mpi"]));
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("built without MPI"), "{}", stderr(&output));
    assert!(stderr(&output).contains("cargo build --release --features mpi"), "{}", stderr(&output));
}
