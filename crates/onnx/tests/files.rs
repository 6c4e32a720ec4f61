//! Files that PyTorch's two exporters wrote (`files/make.py`).

use std::fs;
use std::path::Path;

use chainrule_nn::Module;
use chainrule_onnx::{OnnxModel, OnnxValue};

/// The tensor in a `.pb` file.
fn tensor(name: &str) -> chainrule_autograd::Var {
    match OnnxValue::from_tensor_bytes(&fs::read(path(name)).expect("the file")).expect("a tensor") {
        OnnxValue::Float(x) => x,
        OnnxValue::Integers { .. } => panic!("{name} has integers"),
    }
}

pub fn path(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/files").join(name)
}

#[test]
fn files_of_pytorch_agree_with_it() {
    for net in ["lenet", "unet", "activations", "shapes", "block"] {
        let (x, expected) = (tensor(&format!("{net}.input.pb")), tensor(&format!("{net}.output.pb")));
        for exporter in ["torchscript", "dynamo"] {
            let name = format!("{net}-{exporter}.onnx");
            let model = OnnxModel::read(path(&name)).unwrap_or_else(|error| panic!("{name}: {error}"));
            let y = model.run(&x).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(y.shape(), expected.shape(), "{name}");
            for (i, (a, b)) in y.value().to_vec().into_iter().zip(expected.value().to_vec()).enumerate() {
                assert!((a - b).abs() <= 1e-5 * (1.0 + b.abs()), "{name}: element {i} is {a}, expected {b}");
            }
        }
    }
}

#[test]
fn weights_have_the_names_of_the_file() {
    let names = |file: &str| -> Vec<String> {
        OnnxModel::read(path(file)).expect("the file").named_parameters().into_iter().map(|(name, _)| name).collect()
    };
    let mut expected =
        ["conv1", "conv2", "fc1", "fc2"].map(|layer| [format!("{layer}.weight"), format!("{layer}.bias")]).concat();
    assert_eq!(names("lenet-torchscript.onnx"), expected);
    let mut found = names("lenet-dynamo.onnx");
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
}
