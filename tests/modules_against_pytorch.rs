//! Layers against PyTorch's, in `f64`: names and shapes of parameters, outputs, gradients and second-order products
//! (`tests/reference/modules.py`).

use chainrule::nn::{
    AdaptiveAvgPool1d, AdaptiveMaxPool1d, AdaptiveMaxPool2d, AvgPool1d, CircularPad2d, Conv1d, ConvTranspose1d,
    Embedding, GroupNorm, GruCell, InstanceNorm1d, InstanceNorm2d, LayerNorm, LstmCell, MaxPool1d, PRelu, PixelShuffle,
    PixelUnshuffle, ReflectionPad2d, ReplicationPad2d, RnnCell, Sides, ZeroPad2d,
};
use chainrule::prelude::*;
use serde_json::Value;

use crate::against_pytorch::{formula, near, sizes};

/// A layer, or a cell with two states.
enum Layer {
    Module(Box<dyn Module<f64>>),
    Rnn(RnnCell<f64>),
    Lstm(LstmCell<f64>),
    Gru(GruCell<f64>),
}

impl Layer {
    fn named_parameters(&self) -> Vec<(String, Var64)> {
        match self {
            Self::Module(layer) => layer.named_parameters(),
            Self::Rnn(cell) => cell.named_parameters(),
            Self::Lstm(cell) => cell.named_parameters(),
            Self::Gru(cell) => cell.named_parameters(),
        }
    }

    /// The output of a layer, the states of a cell after two steps on the same input.
    fn outputs(&self, inputs: &[Var64]) -> Vec<Var64> {
        let x = &inputs[0];
        match self {
            Self::Module(layer) => {
                let y = layer.forward(x);
                assert_eq!(layer.output_shape(x.shape()).expect("a shape"), y.shape());
                vec![y]
            }
            Self::Rnn(cell) => vec![cell.step(x, &cell.step(x, &inputs[1]))],
            Self::Gru(cell) => vec![cell.step(x, &cell.step(x, &inputs[1]))],
            Self::Lstm(cell) => {
                let (h, c) = cell.step(x, (&inputs[1], &inputs[2]));
                let (h, c) = cell.step(x, (&h, &c));
                vec![h, c]
            }
        }
    }
}

/// The layer or cell of a case.
fn any(layer: &str, args: &Value) -> Layer {
    let rng = &mut Rng::seed(1);
    let [inputs, hidden] = ["input_size", "hidden_size"].map(|key| args[key].as_u64().unwrap_or(0) as usize);
    macro_rules! cell {
        ($cell:ident) => {{
            let cell = $cell::new(inputs, hidden, rng);
            if args["bias"] == true { cell } else { cell.without_bias() }
        }};
    }
    match layer {
        "RNNCell" => Layer::Rnn(cell!(RnnCell)),
        "LSTMCell" => Layer::Lstm(cell!(LstmCell)),
        "GRUCell" => Layer::Gru(cell!(GruCell)),
        _ => Layer::Module(build(layer, args)),
    }
}

/// The layer of a case.
fn build(layer: &str, args: &Value) -> Box<dyn Module<f64>> {
    let rng = &mut Rng::seed(1);
    let count = |key: &str, default: usize| args[key].as_u64().map_or(default, |n| n as usize);
    let eps = args["eps"].as_f64().unwrap_or(1e-5);
    let flag = |key: &str, default: bool| args[key].as_bool().unwrap_or(default);
    let sides = || match args["padding"].as_u64() {
        Some(width) => Sides::from(width as usize),
        None => Sides(sizes(&args["padding"]).try_into().expect("four widths")),
    };
    // One number for both axes, or one for each.
    let pair = |key: &str, default: usize| match &args[key] {
        Value::Array(_) => sizes(&args[key]).try_into().expect("two numbers"),
        _ => [count(key, default); 2],
    };
    let [kernel, stride, padding] = ["kernel_size", "stride", "padding"].map(|key| count(key, 0));
    match layer {
        "LayerNorm" => {
            let norm = LayerNorm::new(Shape::new(&sizes(&args["normalized_shape"]))).eps(eps);
            let norm = if flag("bias", true) { norm } else { norm.without_bias() };
            Box::new(if flag("elementwise_affine", true) { norm } else { norm.without_affine() })
        }
        "GroupNorm" => {
            let norm = GroupNorm::new(count("num_groups", 0), count("num_channels", 0)).eps(eps);
            Box::new(if flag("affine", true) { norm } else { norm.without_affine() })
        }
        "InstanceNorm1d" => {
            let norm = InstanceNorm1d::new(count("num_features", 0)).eps(eps);
            Box::new(if flag("affine", false) { norm.affine() } else { norm })
        }
        "InstanceNorm2d" => {
            let norm = InstanceNorm2d::new(count("num_features", 0)).eps(eps);
            Box::new(if flag("affine", false) { norm.affine() } else { norm })
        }
        "Embedding" => {
            let table = Embedding::new(count("num_embeddings", 0), count("embedding_dim", 0), rng);
            Box::new(match args["padding_idx"].as_u64() {
                Some(row) => table.padding(row as usize),
                None => table,
            })
        }
        "PReLU" => Box::new(PRelu::new(count("num_parameters", 1), 0.25)),
        "PixelShuffle" => Box::new(PixelShuffle(count("upscale_factor", 0))),
        "PixelUnshuffle" => Box::new(PixelUnshuffle(count("downscale_factor", 0))),
        "ZeroPad2d" => Box::new(ZeroPad2d::new(sides())),
        "ReflectionPad2d" => Box::new(ReflectionPad2d::new(sides())),
        "ReplicationPad2d" => Box::new(ReplicationPad2d::new(sides())),
        "CircularPad2d" => Box::new(CircularPad2d::new(sides())),
        "Conv1d" => Box::new(
            Conv1d::<f64>::builder(count("in_channels", 0), count("out_channels", 0), kernel)
                .stride(count("stride", 1))
                .padding(padding)
                .dilation(count("dilation", 1))
                .groups(count("groups", 1))
                .bias(flag("bias", true))
                .build(rng),
        ),
        "ConvTranspose1d" => Box::new(
            ConvTranspose1d::<f64>::builder(count("in_channels", 0), count("out_channels", 0), kernel)
                .stride(count("stride", 1))
                .padding(padding)
                .output_padding(count("output_padding", 0))
                .dilation(count("dilation", 1))
                .groups(count("groups", 1))
                .bias(flag("bias", true))
                .build(rng),
        ),
        "MaxPool1d" => Box::new(
            MaxPool1d::new(kernel)
                .stride(stride)
                .padding(padding)
                .dilation(count("dilation", 1))
                .ceil_mode(flag("ceil_mode", false)),
        ),
        "AvgPool1d" => Box::new(
            AvgPool1d::new(kernel)
                .stride(stride)
                .padding(padding)
                .ceil_mode(flag("ceil_mode", false))
                .count_include_pad(flag("count_include_pad", true)),
        ),
        "MaxPool2d" => Box::new(
            MaxPool2d::new(pair("kernel_size", 0))
                .stride(pair("stride", 0))
                .padding(pair("padding", 0))
                .dilation(pair("dilation", 1))
                .ceil_mode(flag("ceil_mode", false)),
        ),
        "AvgPool2d" => Box::new(
            AvgPool2d::new(pair("kernel_size", 0))
                .stride(pair("stride", 0))
                .padding(pair("padding", 0))
                .ceil_mode(flag("ceil_mode", false))
                .count_include_pad(flag("count_include_pad", true)),
        ),
        "AdaptiveMaxPool1d" => Box::new(AdaptiveMaxPool1d(count("output_size", 0))),
        "AdaptiveAvgPool1d" => Box::new(AdaptiveAvgPool1d(count("output_size", 0))),
        "AdaptiveMaxPool2d" => Box::new(AdaptiveMaxPool2d(pair("output_size", 0))),
        "AdaptiveAvgPool2d" => Box::new(AdaptiveAvgPool2d(pair("output_size", 0))),
        _ => panic!("the reference has a layer '{layer}' that this test does not know"),
    }
}

#[test]
fn layers_agree_with_pytorch() {
    let reference: Value = serde_json::from_str(include_str!("reference/modules.json")).expect("JSON");
    let cases = reference["cases"].as_array().expect("cases");
    assert_eq!(cases.len(), 100);
    for case in cases {
        let name = case["name"].as_str().expect("a name");
        let layer = any(case["layer"].as_str().expect("a layer"), &case["args"]);
        let parameters = layer.named_parameters();
        let expected = case["parameters"].as_array().expect("a list").iter();
        let expected = expected.map(|pair| (pair[0].as_str().expect("a name").to_owned(), sizes(&pair[1])));
        let own = parameters.iter().map(|(path, parameter)| (path.clone(), parameter.shape().to_vec()));
        assert_eq!(own.collect::<Vec<_>>(), expected.collect::<Vec<_>>(), "{name}");
        for (i, (_, parameter)) in parameters.iter().enumerate() {
            parameter.set(&formula(&parameter.shape(), 11 + i));
        }
        let shapes: Vec<Vec<usize>> = case["inputs"].as_array().expect("a list").iter().map(sizes).collect();
        let mut inputs: Vec<Var64> =
            shapes.iter().enumerate().map(|(i, shape)| Var64::parameter("x", formula(shape, 1 + i))).collect();
        if let Some(count) = case["args"]["integers"].as_u64() {
            let index = |i: usize| (i as u64 * 5 % count) as f64;
            inputs[0] = Var64::constant(Tensor64::from_fn(&shapes[0][..], index));
        }
        let outputs = layer.outputs(&inputs);
        let mut loss = Var64::constant(Tensor64::scalar(0.0));
        let mut curved = loss.clone();
        for (i, (y, expected)) in outputs.iter().zip(case["outputs"].as_array().expect("a list")).enumerate() {
            assert_eq!(y.shape().to_vec(), sizes(&expected["shape"]), "{name}");
            near(&format!("{name}: y"), &y.value(), &expected["y"]);
            let c = Var64::constant(formula(&y.shape(), 4 + i));
            loss = loss + (y * &c).sum();
            curved = curved + (c * (y + y.square() / 2.0)).sum();
        }
        let gradients = loss.backward();
        let free = inputs.iter().filter(|x| x.requires_grad());
        for (x, dx) in free.zip(case["dx"].as_array().expect("a list")) {
            near(&format!("{name}: dx"), &gradients[x], dx);
        }
        for (i, (path, parameter)) in parameters.iter().enumerate() {
            near(&format!("{name}: {path}"), &gradients[parameter], &case["dp"][i]);
        }
        let free: Vec<&Var64> =
            inputs.iter().filter(|x| x.requires_grad()).chain(parameters.iter().map(|p| &p.1)).collect();
        let first = curved.gradients(&free);
        let along = first.iter().enumerate().map(|(i, g)| (g * Var64::constant(formula(&g.shape(), 21 + i))).sum());
        let along = along.reduce(|a, b| a + b).expect("an input");
        for (i, x) in free.iter().enumerate() {
            near(&format!("{name}: second product {i}"), &along.gradient(x).value(), &case["second"][i]);
        }
    }
}
