//! The nets of `cifar10` and `summary`.

use std::fs;

use crate::training::{events, program, run, stderr};
use tempfile::TempDir;

/// A directory with CIFAR-10's binary files, with few images.
pub fn cifar(train: usize, test: usize) -> TempDir {
    let directory = TempDir::new().expect("a temporary directory");
    let batch = |n: usize, salt: usize| -> Vec<u8> {
        (0..n)
            .flat_map(|i| (0..3073).map(move |k| if k == 0 { i % 10 } else { (i * 37 + k * (7 + salt)) % 256 } as u8))
            .collect()
    };
    for i in 1..=5 {
        fs::write(directory.path().join(format!("data_batch_{i}.bin")), batch(train, i)).expect("room for the images");
    }
    fs::write(directory.path().join("test_batch.bin"), batch(test, 0)).expect("room for the images");
    let names = "airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n";
    fs::write(directory.path().join("batches.meta.txt"), names).expect("room for the names");
    directory
}

#[test]
fn every_net_of_cifar10_trains() {
    let data = cifar(2, 4);
    for (net, parameters) in [
        ("small", 133_882),
        ("report", 6_185_984),
        ("resnet18", 11_173_962),
        ("resnet20", 269_722),
        ("vgg16", 14_728_266),
        ("blocks", 307_946),
        ("fast", 1_972_792),
        ("torchvision-resnet18", 11_181_642),
    ] {
        let json = data.path().join(format!("{net}.json"));
        let mut command = program("cifar10");
        command.args(["--net", net, "--epochs", "1", "--batch-size", "5", "--augment", "crop-flip", "--data-dir"]);
        let output = run(command.arg(data.path()).arg("--json").arg(&json));
        assert!(output.status.success(), "{net}: {}", stderr(&output));
        let events = events(&json);
        assert_eq!(events[0]["parameters"], parameters, "{net}");
        assert!(events[1]["train_loss"].as_f64().is_some_and(f64::is_finite), "{net}: {}", events[1]);
    }
}

#[test]
fn a_setting_that_a_net_does_not_have_is_named_with_the_nets_that_have_it() {
    for (flag, value, nets, others) in [
        (
            "--kernel",
            "5",
            "`--net small` and `--net base` and `--net unet` and `--net residual`",
            &["report", "resnet18", "fast"][..],
        ),
        ("--channels", "4,8", "`--net small`", &["report", "resnet20", "blocks"]),
        ("--activation", "tanh", "`--net small` and `--net report`", &["resnet18", "blocks", "vgg16"]),
        ("--conv-activation", "gelu", "`--net small` and `--net report`", &["resnet20", "fast"]),
        ("--dropout", "0.1", "`--net small` and `--net report` and `--net blocks`", &["resnet18", "fast"]),
        ("--widths", "4,8,8", "`--net blocks` and `--net fast`", &["small", "torchvision-vgg16"]),
    ] {
        for net in others {
            for command in ["cifar10", "summary"] {
                let data = cifar(1, 1);
                let mut run_it = program(command);
                run_it.args(["--net", net, flag, value]);
                if command == "cifar10" {
                    run_it.arg("--data-dir").arg(data.path());
                }
                let output = run(&mut run_it);
                let text = format!("error: {flag} is a setting of {nets}; the {net} net does not have it\n");
                assert_eq!(output.status.code(), Some(2));
                assert!(stderr(&output).contains(&text), "{}", stderr(&output));
            }
        }
    }
}

/// What `summary` prints.
fn summary(flags: &[&str]) -> String {
    let output = run(program("summary").args(flags));
    assert!(output.status.success(), "{flags:?}: {}", stderr(&output));
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn summaries_fit_a_terminal_and_state_the_totals() {
    for (flags, parameters, multiply_adds) in [
        (&["--net", "small", "--input", "1,28,28"][..], 103_018, 383_872),
        (&["--net", "report"], 6_185_984, 32_496_640),
        (&["--net", "resnet18"], 11_173_962, 555_422_720),
        (&["--net", "resnet20", "--classes", "100"], 275_572, 40_556_800),
        (&["--net", "vgg16"], 14_728_266, 313_201_664),
        (&["--net", "fast"], 1_972_792, 118_147_360),
        (&["--net", "torchvision-resnet18"], 11_689_512, 1_814_073_344),
    ] {
        let text = summary(flags);
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert!(text.contains(&format!("\n{parameters} parameters")), "{text}");
        assert!(text.contains(&format!("\n{multiply_adds} multiply-adds for each image")), "{text}");
    }
}

#[test]
fn an_image_that_a_net_does_not_accept_is_a_usage_error() {
    for (flags, text) in [
        (&["--net", "resnet18", "--input", "1,32,32"][..], "the net does not accept images of 1×32×32\n"),
        (&["--net", "vgg16", "--input", "3,16,16"], "the net does not accept images of 3×16×16\n"),
        (&["--net", "report", "--input", "3,1,1"], "the net does not accept images of 3×1×1\n"),
        (&["--net", "small", "--input", "32,32"], "expected three integers from 1 to 512, such as 3,32,32"),
        (&["--net", "small", "--input", "3,32,513"], "expected three integers from 1 to 512, such as 3,32,32"),
        (&["--net", "small", "--classes", "0"], "0 is not in 1..=1000000"),
    ] {
        let output = run(program("summary").args(flags));
        assert_eq!(output.status.code(), Some(2), "{flags:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(text), "{}", stderr(&output));
    }
}
