//! The programs on a GPU, run like a user does, on the stand-in driver.

use std::path::Path;
use std::process::Command;

use chainrule::data::{Dataset, Images, image_folder};

use crate::training::{digits, events, hash_of, program, run, small_run, stderr};

/// Makes the stand-in the driver of a program; false if it was not built.
fn on_stand_in(command: &mut Command) -> bool {
    let Some(directory) = chainrule_standin::directory() else {
        println!("the stand-in for the CUDA driver was not built: nothing is tested");
        return false;
    };
    command.env("LD_LIBRARY_PATH", directory);
    true
}

fn losses(json: &Path) -> Vec<f64> {
    events(json).iter().filter_map(|event| event["train_loss"].as_f64()).collect()
}

#[test]
fn training_on_the_gpu_matches_the_cpu() {
    let data = digits(160, 20);
    let (mut here, json_here) = small_run(&data, "here.json");
    hash_of(here.args(["--device", "cpu"]), &json_here);
    let (mut there, json_there) = small_run(&data, "there.json");
    if !on_stand_in(&mut there) {
        return;
    }
    hash_of(&mut there, &json_there);
    assert_eq!(events(&json_there)[0]["device"], "cuda:0", "auto takes the GPU");
    for (a, b) in losses(&json_here).iter().zip(&losses(&json_there)) {
        assert!((a - b).abs() < 1e-3 * a, "train losses {a} on the CPU, {b} on the GPU");
    }
}

/// The batches are prepared on the CPU, with a label for each pixel.
#[test]
fn colorization_on_the_gpu_matches_the_cpu() {
    let folder = tempfile::tempdir().expect("a directory");
    // The stand-in is slow: images of 8×8.
    let images = |count: usize| {
        let pixels = (0..count * 192).map(|i| (i * i % 251) as u8).collect();
        Images::new(pixels, [count, 3, 8, 8], vec![0; count], vec!["horse".into()]).expect("images")
    };
    let horses = Dataset::new("horses", images(8), images(4)).expect("a dataset");
    image_folder::save(&horses, folder.path()).expect("a folder of images");
    let command = |device: &str| {
        let json = folder.path().join(format!("{device}.json"));
        let mut command = program("colorize");
        command.args(["--net", "unet", "--nf", "2", "--colors", "4", "--batch-size", "4", "--epochs", "2", "--device"]);
        command.arg(device).arg("--data-dir").arg(folder.path()).arg("--json").arg(&json);
        (command, json)
    };
    let (mut there, json_there) = command("cuda:0");
    if !on_stand_in(&mut there) {
        return;
    }
    hash_of(&mut there, &json_there);
    let (mut here, json_here) = command("cpu");
    hash_of(&mut here, &json_here);
    assert_eq!(losses(&json_here).len(), 2, "an epoch each");
    for (a, b) in losses(&json_here).iter().zip(&losses(&json_there)) {
        assert!((a - b).abs() < 1e-3 * a, "train losses {a} on the CPU, {b} on the GPU");
    }
}

#[test]
fn a_resumed_run_ends_with_the_same_bits() {
    let data = digits(100, 20);
    let state = data.path().join("state.safetensors");
    let run_for = |json: &str, epochs: &str, flags: &[&str]| {
        let (mut command, json) = (program("mnist"), data.path().join(json));
        command.arg("--data-dir").arg(data.path()).args(["--batch-size", "16", "--dropout", "0.3", "--epochs", epochs]);
        command.arg("--json").arg(&json).args(flags);
        on_stand_in(&mut command).then(|| hash_of(&mut command, &json))
    };
    let Some(whole) = run_for("whole.json", "2", &[]) else { return };
    let state = state.to_str().expect("a path of letters");
    run_for("half.json", "1", &["--save", state]);
    assert_eq!(run_for("rest.json", "2", &["--resume", state]), Some(whole));
}

#[test]
fn doctor_loads_all_kernels() {
    let mut doctor = program("doctor");
    if !on_stand_in(&mut doctor) {
        return;
    }
    let output = run(&mut doctor);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", stderr(&output));
    for part in [
        "CUDA 12.2",
        "cuda:0: stand-in",
        "  kernels tensor_core_bf16   load in ",
        " s; a program loads those it uses, and the driver caches what it compiled",
        "--device auto computes on cuda:0",
    ] {
        assert!(text.contains(part), "{part:?} is missing in:\n{text}");
    }
}
