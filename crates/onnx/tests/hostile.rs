//! Damaged and malicious models: clear errors, bounded memory, no panic, also when a model that can be read is run.

use std::fs;

use chainrule_autograd::no_grad;
use chainrule_nn::nets::{Small, SmallOptions};
use chainrule_nn::{Activation, Module};
use chainrule_onnx::{OnnxModel, OnnxValue, export};
use chainrule_tensor::{Rng, Shape, Tensor};

use crate::files::path;
use crate::mutator::each_damaged;
use crate::peak::{MB, peak};

#[test]
fn damaged_models_are_errors_or_other_models() {
    let options = SmallOptions { channels: [1, 2], activation: Activation::Gelu, ..SmallOptions::default() };
    let small: Small = Small::new([1, 4, 4], 2, options, &mut Rng::seed(0));
    let files = [
        (export(&small, [1, 1, 4, 4]).expect("all operations have counterparts").to_bytes(), Shape::from([2, 1, 4, 4])),
        (fs::read(path("shapes-torchscript.onnx")).expect("the file"), Shape::from([2, 4, 8, 7])),
        (fs::read(path("block-dynamo.onnx")).expect("the file"), Shape::from([2, 3, 9, 9])),
    ];
    for (whole, input) in files {
        let x = Tensor::ones(input).into();
        let (mut ran, mut refused) = (0, 0);
        each_damaged(&whole, |bytes| {
            let (result, held) = peak(|| {
                let model = OnnxModel::from_bytes(bytes)?;
                // What the shapes allow can be computed.
                let shape = model.output_shape(input);
                let output = no_grad(|| model.run(&x));
                assert!(shape.is_err() || output.is_ok(), "{shape:?}, {output:?}");
                output
            });
            match result {
                Ok(_) => ran += 1,
                Err(error) => {
                    refused += 1;
                    assert!(!error.to_string().is_empty());
                }
            }
            assert!(held < 256 * MB, "{held} bytes were held for a file of {}", bytes.len());
        });
        assert!(ran > 0 && refused > 0, "{ran} ran, {refused} refused");
    }
}

/// A message of protocol buffers, which the tests below write field by field.
struct Message(Vec<u8>);

impl Message {
    fn new() -> Self {
        Self(Vec::new())
    }

    fn varint(mut self, mut value: u64) -> Self {
        while value >= 128 {
            self.0.push(value as u8 | 128);
            value >>= 7;
        }
        self.0.push(value as u8);
        self
    }

    fn integer(self, field: u64, value: i64) -> Self {
        self.varint(field << 3).varint(value as u64)
    }

    fn bytes(self, field: u64, value: &[u8]) -> Self {
        let mut message = self.varint(field << 3 | 2).varint(value.len() as u64);
        message.0.extend_from_slice(value);
        message
    }

    fn text(self, field: u64, value: &str) -> Self {
        self.bytes(field, value.as_bytes())
    }

    fn message(self, field: u64, Self(value): Self) -> Self {
        self.bytes(field, &value)
    }
}

/// An input of floats with these axes.
fn input(name: &str, dims: &[i64]) -> Message {
    let shape = dims.iter().fold(Message::new(), |shape, &len| shape.message(1, Message::new().integer(1, len)));
    let tensor = Message::new().integer(1, 1).message(2, shape);
    Message::new().text(1, name).message(2, Message::new().message(1, tensor))
}

fn node(name: &str, operator: &str, inputs: &[&str], outputs: &[&str], attributes: Vec<Message>) -> Message {
    let mut node = inputs.iter().fold(Message::new(), |node, input| node.text(1, input));
    node = outputs.iter().fold(node, |node, output| node.text(2, output)).text(3, name).text(4, operator);
    attributes.into_iter().fold(node, |node, attribute| node.message(5, attribute))
}

fn integers(name: &str, values: &[i64]) -> Message {
    values.iter().fold(Message::new().text(1, name).integer(20, 7), |attribute, &value| attribute.integer(8, value))
}

fn integer(name: &str, value: i64) -> Message {
    Message::new().text(1, name).integer(20, 2).integer(3, value)
}

/// An initializer of a type, with axes and bytes.
fn stored(name: &str, kind: i64, dims: &[i64], data: &[u8]) -> Message {
    let tensor = dims.iter().fold(Message::new(), |tensor, &len| tensor.integer(1, len));
    tensor.integer(2, kind).text(8, name).bytes(9, data)
}

fn lengths(name: &str, values: &[i64]) -> Message {
    let data: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
    stored(name, 7, &[values.len() as i64], &data)
}

fn floats(name: &str, dims: &[i64]) -> Message {
    let count = dims.iter().product::<i64>() as usize;
    stored(name, 1, dims, &vec![0; 4 * count])
}

fn model(opset: i64, inputs: Vec<Message>, stored: Vec<Message>, nodes: Vec<Message>, output: &str) -> Vec<u8> {
    let mut graph = nodes.into_iter().fold(Message::new(), |graph, node| graph.message(1, node)).text(2, "g");
    graph = stored.into_iter().fold(graph, |graph, tensor| graph.message(5, tensor));
    graph = inputs.into_iter().fold(graph, |graph, input| graph.message(11, input));
    graph = graph.message(12, Message::new().text(1, output));
    let set = Message::new().text(1, "").integer(2, opset);
    Message::new().integer(1, 8).message(8, set).message(7, graph).0
}

/// The error of reading, or else of running on ones (1,1,4,4), within a few megabytes.
fn error(bytes: &[u8]) -> String {
    let (result, held) = peak(|| {
        let model = OnnxModel::from_bytes(bytes)?;
        model.run(&Tensor::ones([1, 1, 4, 4]).into())
    });
    assert!(held < 8 * MB, "{held} bytes were held");
    result.expect_err("it is malformed").to_string()
}

fn one(operator: &str, stored: Vec<Message>, inputs: &[&str], attributes: Vec<Message>) -> String {
    error(&model(
        17,
        vec![input("x", &[1, 1, 4, 4])],
        stored,
        vec![node("n", operator, inputs, &["y"], attributes)],
        "y",
    ))
}

#[test]
fn graphs_that_contradict_themselves_are_refused() {
    let x = || vec![input("x", &[1, 1, 4, 4])];
    let relu = |name: &str, from: &str, to: &str| node(name, "Relu", &[from], &[to], Vec::new());
    let graph = |nodes, output| error(&model(17, x(), Vec::new(), nodes, output));
    assert_eq!(
        graph(vec![relu("a", "v", "u"), relu("b", "u", "v")], "v"),
        "node 'a' (Relu): it reads 'v', which a later node computes, or this one\n  rule: nodes are in order, without cycles"
    );
    assert_eq!(
        graph(vec![relu("a", "a", "a")], "a"),
        "node 'a' (Relu): it reads 'a', which a later node computes, or this one\n  rule: nodes are in order, without cycles"
    );
    assert_eq!(graph(vec![relu("a", "w", "u")], "u"), "node 'a' (Relu): it reads 'w', which nothing computes");
    assert_eq!(
        graph(vec![relu("a", "x", "u"), relu("b", "x", "u")], "u"),
        "node 'b' (Relu): it computes 'u', which there is already"
    );
    assert_eq!(
        graph(vec![relu("a", "x", "u")], "v"),
        "not an ONNX model, or a damaged one: nothing computes the output 'v'"
    );
    assert_eq!(
        error(&model(17, x(), vec![floats("w", &[1]), floats("w", &[1])], vec![relu("a", "x", "y")], "y")),
        "not an ONNX model, or a damaged one: there are two initializers 'w'"
    );
    assert_eq!(
        error(&model(99, x(), Vec::new(), vec![relu("a", "x", "y")], "y")),
        "this ONNX model is not supported: its operators are of version 99 (opset)\n  rule: versions 7 to 28 are supported; convert it with onnx.version_converter"
    );
    assert_eq!(error(&[]), "not an ONNX model, or a damaged one: it names no version of the operators (opset_import)");
    assert_eq!(
        error(&Message::new().message(8, Message::new().integer(2, 17)).0),
        "not an ONNX model, or a damaged one: it has no graph"
    );
}

#[test]
fn operators_and_attributes_that_are_not_supported_are_named() {
    assert_eq!(
        one("Loop", Vec::new(), &["x"], Vec::new()),
        "node 'n' (Loop): the operator is not supported\n  rule: docs/onnx.md lists those that are"
    );
    assert_eq!(
        one("Relu", Vec::new(), &["x"], vec![integer("speed", 9)]),
        "node 'n' (Relu): attribute 'speed' is not supported"
    );
    assert_eq!(
        one("MaxPool", Vec::new(), &["x"], vec![integers("kernel_shape", &[2, 2]), integer("storage_order", 1)]),
        "node 'n' (MaxPool): attribute 'storage_order' is 1\n  rule: only 0 is supported"
    );
    assert_eq!(
        one("Cast", Vec::new(), &["x"], vec![integer("to", 11)]),
        "node 'n' (Cast): attribute 'to' is DOUBLE\n  rule: FLOAT, INT64, INT32 and BOOL are supported"
    );
    assert_eq!(
        one("Flatten", Vec::new(), &["x"], vec![integers("axis", &[1])]),
        "node 'n' (Flatten): attribute 'axis' is of type INTS, not INT"
    );
    assert_eq!(
        one("Relu", Vec::new(), &["x", "x"], Vec::new()),
        "node 'n' (Relu): it has 2 inputs\n  rule: at most 1 are supported"
    );
}

#[test]
fn sizes_that_lie_cost_no_memory() {
    let kernel = || vec![integers("kernel_shape", &[3, 3])];
    assert_eq!(
        one("Conv", vec![stored("w", 1, &[1 << 40, 1 << 40, 3, 3], &[0; 36])], &["x", "w"], kernel()),
        "this ONNX model is not supported: the initializer 'w': an axis has a length that is negative or more than 2147483647"
    );
    assert_eq!(
        one("Conv", vec![stored("w", 1, &[1 << 30, 1 << 30, 1 << 30], &[0; 4])], &["x", "w"], kernel()),
        "this ONNX model is not supported: the initializer 'w': its axes [1073741824, 1073741824, 1073741824] have too many elements"
    );
    assert_eq!(
        one("Conv", vec![stored("w", 1, &[1 << 20, 1 << 10, 3, 3], &[0; 36])], &["x", "w"], kernel()),
        "this ONNX model is not supported: the initializer 'w': it has 9 elements, its axes [1048576, 1024, 3, 3] announce 9663676416"
    );
    assert_eq!(
        one("Conv", vec![floats("w", &[1, 1, 3, 3])], &["x", "w"], vec![integers("pads", &[1 << 40; 4])]),
        "node 'n' (Conv): attribute 'pads' has 1099511627776\n  rule: from 0 to 65536"
    );
    assert_eq!(
        one("Conv", vec![floats("w", &[1, 1, 3, 3])], &["x", "w"], vec![integers("pads", &[1 << 16; 4])]),
        "node 'n' (Conv): the result has up to [1, 1, 131077, 131077] elements\n  rule: at most 2147483647 elements"
    );
    assert_eq!(
        one("Expand", vec![lengths("s", &[1 << 40, 1 << 40, 4, 4])], &["x", "s"], Vec::new()),
        "node 'n' (Expand): a tensor of shape [1099511627776, 1099511627776, 4, 4] is too large\n  rule: at most 2147483647 elements"
    );
    assert_eq!(
        one("Expand", vec![lengths("s", &[1 << 24, 1, 4, 4])], &["x", "s"], Vec::new()),
        "node 'n' (Expand): a tensor of shape (16777216, 1, 4, 4) is too large\n  rule: all results together have at most 16777216 elements, or 10000 for each element of the inputs"
    );
    assert_eq!(
        one("ConstantOfShape", vec![lengths("s", &[1 << 30])], &["s"], Vec::new()),
        "node 'n' (ConstantOfShape): a tensor of shape (1073741824,) is too large\n  rule: all results together have at most 16777216 elements, or 10000 for each element of the inputs"
    );
    assert_eq!(
        one("Pad", vec![lengths("p", &[0, 0, 0, 0, 0, 0, 1 << 60, 0])], &["x", "p"], Vec::new()),
        "node 'n' (Pad): the widths [0, 0, 0, 0, 0, 0, 1152921504606846976, 0] for 4 axes\n  rule: two for each axis, at most 1048576"
    );
    assert_eq!(
        one("Reshape", vec![lengths("s", &[1; 9])], &["x", "s"], Vec::new()),
        "node 'n' (Reshape): a tensor of shape [1, 1, 1, 1, 1, 1, 1, 1, 1]\n  rule: at most 8 axes"
    );
    // Each result is a hundred times the one before.
    let nodes: Vec<Message> = (0..40)
        .map(|i| {
            let (from, to) = (if i == 0 { "x".to_owned() } else { format!("v{i}") }, format!("v{}", i + 1));
            node(&format!("n{i}"), "Concat", &[&*from; 100], &[&*to], vec![integer("axis", 0)])
        })
        .collect();
    let text = error(&model(17, vec![input("x", &[1, 1, 4, 4])], Vec::new(), nodes, "v40"));
    assert_eq!(
        text,
        "node 'n3' (Concat): a tensor of shape (100000000, 1, 4, 4) is too large\n  rule: all results together have at most 16777216 elements, or 10000 for each element of the inputs"
    );
}

#[test]
fn data_in_other_files_and_of_other_types_is_named() {
    let location = Message::new().text(1, "location").text(2, "../../etc/passwd");
    let external = Message::new().integer(1, 4).integer(2, 1).text(8, "w").message(13, location).integer(14, 1);
    assert_eq!(
        one("Add", vec![external], &["x", "w"], Vec::new()),
        "this ONNX model is not supported: the initializer 'w': its elements are in another file, '../../etc/passwd'\n  rule: save the model with all weights in one file"
    );
    assert_eq!(
        one("Add", vec![stored("w", 8, &[1], &[])], &["x", "w"], Vec::new()),
        "this ONNX model is not supported: the initializer 'w': it is of type STRING\n  rule: FLOAT, FLOAT16, BFLOAT16, DOUBLE, INT64, INT32 and BOOL are supported"
    );
    assert_eq!(
        one("Add", vec![stored("w", 1, &[-1], &[0; 4])], &["x", "w"], Vec::new()),
        "this ONNX model is not supported: the initializer 'w': an axis has a length that is negative or more than 2147483647"
    );
    assert_eq!(
        one("Add", vec![stored("w", 11, &[1], &1e300f64.to_le_bytes())], &["x", "w"], Vec::new()),
        "this ONNX model is not supported: the initializer 'w': it has 1e300, which is too large for f32"
    );
}

#[test]
fn nested_graphs_end() {
    // An attribute with a graph with a node with an attribute, and so on.
    let mut inner = Message::new();
    for _ in 0..20_000 {
        let attribute = Message::new().text(1, "body").integer(20, 5).message(6, inner);
        inner = Message::new().message(1, Message::new().text(4, "If").message(5, attribute));
        if inner.0.len() > 1 << 18 {
            break;
        }
    }
    let text = error(&Message::new().integer(1, 8).message(7, inner).0);
    assert!(
        text.starts_with("not an ONNX model, or a damaged one: ") && text.contains("recursion limit reached"),
        "{text}"
    );
}

#[test]
fn inputs_that_do_not_fit_are_named() {
    let graph = |inputs| model(17, inputs, Vec::new(), vec![node("n", "Add", &["x", "z"], &["y"], Vec::new())], "y");
    let model = OnnxModel::from_bytes(&graph(vec![input("x", &[1, 3]), input("z", &[3])])).expect("a model");
    let x = || Tensor::ones([1, 3]).into();
    assert_eq!(model.run(&x()).expect_err("z is missing").to_string(), "1 inputs are given, the model has 2: x, z");
    let integers = OnnxValue::Integers { dims: vec![3], values: vec![1, 2, 3] };
    let text = model.evaluate(vec![OnnxValue::Float(x()), integers]).expect_err("z has floats").to_string();
    assert_eq!(text, "the input 'z' is a tensor of floats");
    let sum = model.evaluate(vec![OnnxValue::Float(x()), OnnxValue::Float(x())]).expect("they fit");
    assert!(matches!(&sum[..], [OnnxValue::Float(y)] if y.value().to_vec() == [2.0; 3]));
    let z = OnnxValue::Float(Tensor::ones([4]).into());
    let error = model.evaluate(vec![OnnxValue::Float(x()), z]).expect_err("3 and 4").to_string();
    assert_eq!(
        error,
        "node 'n' (Add): add: shapes do not broadcast, axis 1 has lengths 3 and 4\n  a = (1, 3)\n  b = (4,)\n  rule: aligned at the last axis, lengths are equal or 1"
    );
}
