//! `--recompute`: nets in segments that are computed again in the backward pass.

use crate::training::{digits, hash_of, program, run, stderr};

#[test]
fn a_net_in_segments_has_the_same_weights_and_can_be_resumed_without() {
    let data = digits(96, 16);
    let json = data.path().join("losses.json");
    let command = |flags: &[&str]| {
        let mut command = program("mnist");
        command.arg("--data-dir").arg(data.path()).arg("--json").arg(&json).args(["--batch-size", "16"]).args(flags);
        command
    };
    let whole = hash_of(&mut command(&["--epochs", "2", "--dropout", "0.3"]), &json);
    for segments in ["2", "7"] {
        let flags = ["--epochs", "2", "--dropout", "0.3", "--recompute", segments];
        assert_eq!(hash_of(&mut command(&flags), &json), whole, "{segments} segments");
    }
    let half = data.path().join("half.safetensors");
    hash_of(command(&["--epochs", "1", "--dropout", "0.3", "--recompute", "3", "--save"]).arg(&half), &json);
    let resumed = hash_of(command(&["--epochs", "2", "--dropout", "0.3", "--resume"]).arg(&half), &json);
    assert_eq!(resumed, whole);
}

#[test]
fn a_net_that_cannot_be_cut_so_is_a_usage_error() {
    let data = digits(4, 4);
    for (flags, text) in [
        (&["--recompute", "8"][..], "error: --recompute 8: the small net can be cut into 7 at most\n"),
        (&["--recompute", "1"], "invalid value '1' for '--recompute <N>'"),
        (
            &["--recompute", "2", "--cache-features", "cache", "--freeze", "conv1", "--frozen-statistics"],
            "error: --recompute is for nets that are trained as a whole",
        ),
    ] {
        let output = run(program("mnist").arg("--data-dir").arg(data.path()).args(flags));
        assert_eq!(output.status.code(), Some(2), "{flags:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(text), "{flags:?}: {}", stderr(&output));
    }
}
