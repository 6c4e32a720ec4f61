//! What an exported file contains.

use std::sync::Arc;

use chainrule_autograd::{Var, scope};
use chainrule_nn::nets::{Small, SmallOptions, resnet20};
use chainrule_nn::{Activation, BatchNorm2d, Module, Relu, Sequential, Visitor};
use chainrule_onnx::{OnnxError, OnnxModel, export};
use chainrule_tensor::Rng;

#[test]
fn nodes_have_the_paths_of_layers_and_weights_those_of_parameters() {
    let options = SmallOptions { activation: Activation::Gelu, ..SmallOptions::default() };
    let net: Small = Small::new([1, 8, 8], 3, options, &mut Rng::seed(0));
    let file = export(&net, [1, 1, 8, 8]).expect("all operations have counterparts");
    let text = file.to_string();
    assert_eq!(
        text,
        "input (N, 1, 8, 8)\n\
         conv1: Conv(input, conv1.weight, conv1.bias)\n\
         conv1.relu: Relu(conv1)\n\
         conv1.max_pool2d: MaxPool(conv1.relu)\n\
         conv2: Conv(conv1.max_pool2d, conv2.weight, conv2.bias)\n\
         conv2.relu: Relu(conv2)\n\
         conv2.max_pool2d: MaxPool(conv2.relu)\n\
         conv2.reshape: Flatten(conv2.max_pool2d)\n\
         fc1: Gemm(conv2.reshape, fc1.weight, fc1.bias)\n\
         fc1.gelu/Constant: Constant()\n\
         fc1.gelu/Div: Div(fc1, fc1.gelu/Constant)\n\
         fc1.gelu/Erf: Erf(fc1.gelu/Div)\n\
         fc1.gelu/Constant#2: Constant()\n\
         fc1.gelu/Constant#3: Constant()\n\
         fc1.gelu/Add: Add(fc1.gelu/Erf, fc1.gelu/Constant#2)\n\
         fc1.gelu/Mul: Mul(fc1, fc1.gelu/Add)\n\
         fc1.gelu: Mul(fc1.gelu/Mul, fc1.gelu/Constant#3)\n\
         fc2: Gemm(fc1.gelu, fc2.weight, fc2.bias)\n\
         output (N, 3)\n"
    );
}

#[test]
fn a_layer_that_is_used_twice_is_stored_once() {
    let norm = Arc::new(BatchNorm2d::new(2));
    let net: Sequential = Sequential::new().add(Arc::clone(&norm)).add(Relu).add(norm);
    let file = export(&net, [1, 2, 3, 3]).expect("all operations have counterparts");
    assert_eq!(
        file.to_string(),
        "input (N, 2, 3, 3)\n\
         0: BatchNormalization(input, 0.weight, 0.bias, 0.running_mean, 0.running_var)\n\
         0.relu: Relu(0)\n\
         0#2: BatchNormalization(0.relu, 0.weight, 0.bias, 0.running_mean, 0.running_var)\n\
         output (N, 2, 3, 3)\n"
    );
    let again = OnnxModel::from_bytes(&file.to_bytes()).expect("it was just written");
    assert_eq!(again.parameter_count(), 4);
}

#[test]
fn an_input_that_does_not_fit_is_an_error() {
    let net = resnet20::<f32>(10, &mut Rng::seed(0));
    let error = export(&net, [1, 4, 32, 32]).expect_err("it has 3 channels");
    assert!(
        matches!(&error, OnnxError::Shape(shape) if shape.to_string().contains("weight expects 3 input channels")),
        "{error}"
    );
    assert_eq!(
        export(&net, ()).expect_err("no batch").to_string(),
        "cannot export a net whose input is a scalar\n  rule: the first axis of the input is the batch"
    );
}

#[test]
fn a_file_is_written_whole_and_read_again() {
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join("net.onnx");
    let net = resnet20::<f32>(10, &mut Rng::seed(0));
    export(&net, [1, 3, 32, 32]).expect("all operations have counterparts").save(&path).expect("room");
    let again = OnnxModel::read(&path).expect("it was just written");
    assert_eq!(again.parameter_count(), net.parameter_count());
    assert_eq!(again.input_axes(0), Some(&[None, Some(3), Some(32), Some(32)][..]));
    let missing = folder.path().join("none/net.onnx");
    let error = OnnxModel::read(&missing).err().expect("there is no such file").to_string();
    assert!(error.starts_with(&format!("cannot read {}: ", missing.display())), "{error}");
    let error = export(&net, [1, 3, 32, 32]).expect("as before").save(&missing).expect_err("no directory").to_string();
    assert!(error.starts_with(&format!("cannot write {}: ", missing.display())), "{error}");
}

/// The operators of an exported function.
fn operators(f: impl Fn(&Var) -> Var + Send + Sync + 'static) -> Vec<String> {
    struct Net<F>(F);
    impl<F: Fn(&Var) -> Var + Send + Sync> Module<f32> for Net<F> {
        fn forward(&self, x: &Var) -> Var {
            (self.0)(x)
        }
        fn visit(&self, _visitor: &mut Visitor<'_, f32>) {}
    }
    let text = export(&Net(f), [1, 4]).expect("all operations have counterparts").to_string();
    let nodes = text.lines().filter_map(|line| line.split_once(": ")?.1.split_once('('));
    nodes.map(|(operator, _)| operator.to_owned()).filter(|operator| operator != "Constant").collect()
}

#[test]
fn activations_become_one_operator_where_there_is_one() {
    for (activation, expected) in [
        (Activation::Selu, &["Selu"][..]),
        (Activation::Celu(0.5), &["Celu"]),
        (Activation::Hardsigmoid, &["HardSigmoid"]),
        (Activation::Hardswish, &["HardSwish"]),
        (Activation::Softsign, &["Softsign"]),
        (Activation::Relu6, &["Clip"]),
        (Activation::Hardtanh, &["Clip"]),
        (Activation::LogSigmoid, &["Neg", "Softplus", "Neg"]),
    ] {
        assert_eq!(operators(move |x| activation.forward(x)), expected, "{activation}");
    }
    // A scope of the same name with other numbers is what it computes.
    let other = |x: &Var| scope("hardsigmoid", || (x + 3.0).clamp(-1.0, 6.0) / 6.0);
    assert_eq!(operators(other), ["Add", "Clip", "Div"]);
    let other = |x: &Var| scope("softsign", || x / (1.0 + (2.0 * x).abs()));
    assert_eq!(operators(other), ["Mul", "Abs", "Add", "Div"]);
    let other = |x: &Var| scope("celu", || 0.5 * (x / 0.25).elu(1.0));
    assert_eq!(operators(other), ["Div", "Elu", "Mul"]);
}
