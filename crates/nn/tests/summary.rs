//! Summaries: the operations of a net with their shapes and costs.

use std::sync::Arc;

use chainrule_nn::nets::{self, Small, SmallOptions};
use chainrule_nn::{BatchNorm2d, Conv2d, Dropout, Flatten, Linear, MaxPool2d, Module, Relu, Sequential, Summary};
use chainrule_tensor::Rng;

#[test]
fn a_summary_lists_operations_with_paths_shapes_and_costs() {
    let net: Small = Small::new([1, 28, 28], 10, SmallOptions::default(), &mut Rng::seed(0));
    let summary = Summary::of(&net, [1, 1, 28, 28]).expect("the image fits");
    // 8·28²·9, 16·14²·8·9, 784·128 and 128·10 multiply-adds.
    let expected = "\
layer  operation   output    parameters  multiply-adds
conv1  conv2d      8×28×28           80          56448
       relu        8×28×28
       max_pool2d  8×14×14
conv2  conv2d      16×14×14        1168         225792
       relu        16×14×14
       max_pool2d  16×7×7
       reshape     784
fc1    linear      128           100480         100352
       relu        128
fc2    linear      10              1290           1280
103018 parameters: 0.41 MB in f32
383872 multiply-adds for each image, in convolutions and matrix products
0.09 MB for each image if all outputs are kept, as in training without fusion";
    assert_eq!(summary.to_string(), expected);
    assert_eq!(summary.parameters, net.parameter_count());
    // `reshape` is a view.
    let elements = 2 * 8 * 28 * 28 + 8 * 14 * 14 + 2 * 16 * 14 * 14 + 16 * 7 * 7 + 2 * 128 + 10;
    assert_eq!(summary.activation_bytes(), 4 * elements);
}

#[test]
fn the_costs_of_two_images_are_twice_those_of_one() {
    let net: nets::ResNet = nets::resnet20(10, &mut Rng::seed(0));
    let [one, two] = [1, 2].map(|n| Summary::of(&net, [n, 3, 32, 32]).expect("the images fit"));
    assert_eq!(two.multiply_adds(), 2 * one.multiply_adds());
    assert_eq!(two.activation_bytes(), 2 * one.activation_bytes());
    let totals = |summary: &Summary| summary.to_string().lines().rev().take(3).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(totals(&one), totals(&two));
}

/// The figures that torchvision documents: 1.81 G and 15.47 G operations ("GFLOPS" there are multiply-adds).
#[test]
fn the_multiply_adds_of_resnet18_are_those_that_torchvision_documents() {
    let net: nets::ResNet = nets::resnet18(1000, &mut Rng::seed(0));
    let summary = Summary::of(&net, [1, 3, 224, 224]).expect("the image fits");
    assert_eq!(summary.multiply_adds(), 1_814_073_344);
    assert_eq!(summary.parameters, 11_689_512);
    assert!(summary.to_string().lines().all(|line| line.chars().count() <= 80), "{summary}");
}

#[test]
fn a_summary_changes_nothing() {
    let rng = &mut Rng::seed(0);
    let net = Sequential::new().add(Conv2d::new(1, 2, 3, rng)).add(BatchNorm2d::new(2)).add(Dropout::new(0.5, rng));
    net.layers()[2].eval();
    let state = |net: &Sequential| {
        let mut state = Vec::new();
        net.visit(&mut chainrule_nn::Visitor::new(&mut |path, item| {
            state.push(match item {
                chainrule_nn::Item::Parameter(var) => format!("{path} {:?}", var.value().to_vec()),
                chainrule_nn::Item::Buffer(buffer) => format!("{path} {:?}", buffer.get().to_vec()),
                chainrule_nn::Item::Counter(counter) => format!("{path} {}", counter.get()),
                chainrule_nn::Item::Mode(mode) => format!("{path} {}", mode.is_training()),
                _ => String::new(),
            });
        }));
        state
    };
    let before = state(&net);
    let _ = Summary::of(&net, [1, 1, 5, 5]).expect("the image fits");
    assert_eq!(state(&net), before);
    let error = Summary::of(&net, [1, 1, 2, 2]).expect_err("it does not fit").to_string();
    assert!(error.contains("conv2d"), "{error}");
    assert_eq!(state(&net), before, "also after an error");
}

#[test]
fn frozen_and_shared_parameters_are_counted_as_such() {
    let rng = &mut Rng::seed(0);
    let shared = Arc::new(Linear::<f32>::new(3, 3, rng));
    let frozen = Linear::<f32>::new(4, 3, rng);
    frozen.set_frozen(true);
    let net = Sequential::new().add(Flatten).add(frozen).add(Relu).add(shared.clone()).add(shared);
    let summary = Summary::of(&net, [1, 1, 2, 2]).expect("the image fits");
    let parameters: Vec<usize> = summary.rows.iter().map(|row| row.parameters).collect();
    assert_eq!(parameters, [0, 15, 0, 12, 0]);
    assert_eq!((summary.parameters, summary.trainable), (27, 12));
    assert!(summary.to_string().contains("27 parameters, 15 of them frozen: 0.00 MB in f32\n"), "{summary}");
}

/// A layer under a path that leaves no room for the rest of its line.
struct Long(Conv2d);

impl Module for Long {
    fn forward(&self, x: &chainrule_autograd::Var) -> chainrule_autograd::Var {
        self.0.forward(x).max_pool2d(2)
    }
    fn visit(&self, visitor: &mut chainrule_nn::Visitor<'_, f32>) {
        visitor.child(&"encoder.".repeat(8), &self.0);
    }
}

#[test]
fn a_long_path_has_a_line_of_its_own() {
    let net = Sequential::new().add(Long(Conv2d::new(1, 1, 1, &mut Rng::seed(0)))).add(MaxPool2d::new(1));
    let text = Summary::of(&net, [1, 1, 2, 2]).expect("the image fits").to_string();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[1].starts_with("0.encoder.") && lines[2].trim_start().starts_with("conv2d"), "{text}");
    assert!(lines.iter().all(|line| line.chars().count() <= 80), "{text}");
}
