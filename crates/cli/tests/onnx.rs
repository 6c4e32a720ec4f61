//! `chainrule export`, and `chainrule summary` of an ONNX file.

use crate::training::{program, run, stderr};

#[test]
#[cfg(not(feature = "onnx"))]
fn onnx_files_need_a_build_with_onnx() {
    for (arguments, command) in [(&["a.safetensors", "--onnx", "b.onnx"][..], "export"), (&["b.onnx"][..], "summary")] {
        let output = run(program(command).args(arguments));
        assert_eq!(output.status.code(), Some(2));
        let text = stderr(&output);
        let expected = format!(
            "error: this program was built without ONNX; from the source: cargo run --release --features onnx -- {command} {}\n\nFor more information, try '--help'.\n",
            arguments.join(" ")
        );
        assert!(text.ends_with(&expected), "{text}");
    }
}

#[test]
#[cfg(feature = "onnx")]
fn the_net_of_a_checkpoint_is_written_as_an_onnx_file() {
    use chainrule::nn::Module;
    use chainrule::onnx::OnnxModel;

    use crate::training::{digits, small_run};

    let data = digits(64, 10);
    let (checkpoint, file) = (data.path().join("net.safetensors"), data.path().join("net.onnx"));
    let output = run(small_run(&data, "run.json").0.arg("--save").arg(&checkpoint));
    assert!(output.status.success(), "{}", stderr(&output));

    let output = run(program("export").arg(&checkpoint).arg("--onnx").arg(&file));
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        format!(
            "{}: images (N, 1, 28, 28), in each channel black is -1 and white 1\n  outputs: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9\n",
            file.display()
        )
    );
    let model = OnnxModel::read(&file).unwrap();
    assert_eq!(model.named_parameters()[0].0, "conv1.weight");

    let output = run(program("summary").arg(&file));
    assert!(output.status.success(), "{}", stderr(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    let words: Vec<&str> = text.split_whitespace().take(10).collect();
    let expected =
        ["layer", "operation", "output", "parameters", "multiply-adds", "conv1", "conv2d", "8×28×28", "80", "56448"];
    assert_eq!(words, expected, "{text}");

    // The flags of the library's nets do not apply to a file, and a checkpoint is none.
    let output = run(program("summary").arg(&file).args(["--net", "resnet20"]));
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("cannot be used with"), "{}", stderr(&output));
    let output = run(program("summary").arg(&checkpoint));
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("not an ONNX model, or a damaged one"), "{}", stderr(&output));
}
