//! The nets: names and shapes as torchvision's (`tests/reference/nets.json`), initial weights, shapes, fusion, gradients.

use std::collections::BTreeMap;

use chainrule_autograd::{Var, gradcheck};
use chainrule_nn::init::fans;
use chainrule_nn::nets::{
    BlocksOptions, ColorizeNet, ColorizeOptions, Fast, ReportOptions, ResNet, Small, SmallOptions, UNet, Vgg, blocks,
    colorize_base, colorize_residual, report, resnet18, resnet18_cifar, resnet20, resnet34, resnet50, vgg11_bn,
    vgg16_bn, vgg16_bn_cifar, vgg16_cifar,
};
use chainrule_nn::{Activation, Item, Module, Sequential, Visitor, unfused, weights_sha256};
use chainrule_tensor::{Conv2dOptions, Key, Purpose, Rng, Shape, Tensor, TensorOf};
use serde_json::Value;

/// A net from a seed.
type Build = fn(&mut Rng) -> Box<dyn Module>;

/// The nets for CIFAR's images, in two settings where there are settings.
const SMALL_IMAGES: [(&str, Build); 9] = [
    ("small", |rng| Box::new(Small::new([3, 32, 32], 10, SmallOptions::default(), rng))),
    ("small, other settings", |rng| {
        let (conv_activation, activation) = (Activation::Tanh, Activation::Mish);
        let options = SmallOptions { channels: [3, 5], kernel: 5, conv_activation, activation, dropout: 0.5 };
        Box::new(Small::new([3, 32, 32], 10, options, rng))
    }),
    ("report", |rng| Box::new(report([3, 32, 32], 10, ReportOptions::default(), rng).expect("the size fits"))),
    ("blocks", |rng| {
        let options = BlocksOptions { widths: [4, 6, 8], dropout: 0.2 };
        Box::new(blocks([3, 32, 32], 10, options, rng).expect("the size fits"))
    }),
    ("resnet18_cifar", |rng| Box::new(resnet18_cifar(10, rng))),
    ("resnet20", |rng| Box::new(resnet20(10, rng))),
    ("vgg16_cifar", |rng| Box::new(vgg16_cifar(10, rng))),
    ("vgg16_bn_cifar", |rng| Box::new(vgg16_bn_cifar(10, rng))),
    ("fast", |rng| Box::new(Fast::new([32, 48, 24], 10, rng))),
];

const FEW: ColorizeOptions = ColorizeOptions { nf: 4, kernel: 5, colors: 7 };

/// The nets that label pixels.
const COLORIZING: [(&str, Build); 5] = [
    ("base", |rng| Box::new(colorize_base(ColorizeOptions::default(), rng))),
    ("base, other settings", |rng| Box::new(colorize_base(FEW, rng))),
    ("unet", |rng| Box::new(UNet::new(ColorizeOptions::default(), rng))),
    ("unet, other settings", |rng| Box::new(UNet::new(FEW, rng))),
    ("residual", |rng| Box::new(colorize_residual(FEW, rng))),
];

fn images(shape: [usize; 4]) -> Tensor {
    Tensor::random_normal(Key::new(7, Purpose::USER), shape)
}

/// Names and shapes of parameters, buffers and counters, without the counters of dropout, which PyTorch does not have.
fn state(net: &dyn Module) -> Vec<(String, Vec<usize>)> {
    let mut state = Vec::new();
    net.visit(&mut Visitor::new(&mut |path, item| {
        let shape = match item {
            Item::Parameter(var) => var.shape().to_vec(),
            Item::Buffer(buffer) => buffer.get().shape().to_vec(),
            Item::Counter(_) if path.rsplit('.').next() != Some("draws") => Vec::new(),
            _ => return,
        };
        state.push((path.to_owned(), shape));
    }));
    state
}

/// A net of torchvision.
fn case(name: &str) -> Value {
    let reference: Value = serde_json::from_str(include_str!("../../../tests/reference/nets.json")).expect("JSON");
    reference["cases"].as_array().expect("cases").iter().find(|case| case["name"] == name).expect("a case").clone()
}

fn expected_state(case: &Value) -> Vec<(String, Vec<usize>)> {
    serde_json::from_value(case["state"].clone()).expect("names and shapes")
}

/// Compares a net with the case of its name.
fn compare(name: &str, net: &dyn Module) {
    let case = case(name);
    let sizes = |value: &Value| -> Vec<usize> { serde_json::from_value(value.clone()).expect("sizes") };
    assert_eq!(state(net), expected_state(&case), "{name}");
    assert_eq!(net.parameter_count() as u64, case["parameters"], "{name}");
    let image = sizes(&case["image"]);
    net.eval();
    let output = net.output_shape(Shape::from([1, image[0], image[1], image[2]])).expect("the image fits");
    assert_eq!(output.to_vec(), sizes(&case["output"]), "{name}");
}

#[test]
fn names_and_shapes_are_those_of_torchvision() {
    let rng = &mut Rng::seed(0);
    compare("resnet18", &resnet18(1000, rng));
    compare("resnet34", &resnet34(1000, rng));
    compare("resnet50", &resnet50(1000, rng));
    compare("resnet18_cifar", &resnet18_cifar(10, rng));
    compare("vgg16_cifar", &vgg16_cifar(10, rng));
    compare("vgg16_bn_cifar", &vgg16_bn_cifar(10, rng));
}

/// They have 550 MB of weights each, nearly all of them in the same head, so only one of them is built.
#[test]
fn names_and_shapes_of_the_wide_vggs_are_those_of_torchvision() {
    let wide: Vgg = vgg16_bn(1000, &mut Rng::seed(0));
    compare("vgg16_bn", &wide);
    drop(wide);
    let wide: Vgg = vgg11_bn(1000, &mut Rng::seed(0));
    compare("vgg11_bn", &wide);
    let head = state(&wide).into_iter().filter(|(path, _)| path.starts_with("classifier."));
    let narrow: Vgg = vgg16_cifar(10, &mut Rng::seed(0));
    let features = state(&narrow).into_iter().filter(|(path, _)| path.starts_with("features."));
    assert_eq!(features.chain(head).collect::<Vec<_>>(), expected_state(&case("vgg16")));
}

#[test]
fn resnet20_has_the_size_of_the_paper() {
    let net: ResNet = resnet20(10, &mut Rng::seed(0));
    // 19 convolutions, 19 batch normalizations, a linear layer; shortcuts have no parameters.
    assert_eq!(net.parameter_count(), 269_722);
    let convolutions = net.named_parameters().iter().filter(|(_, weight)| weight.shape().rank() == 4).count();
    assert_eq!(convolutions, 19);
}

#[test]
fn small_and_report_have_the_sizes_that_they_state() {
    let rng = &mut Rng::seed(0);
    for (image, options) in [
        ([1, 28, 28], SmallOptions::default()),
        ([3, 32, 32], SmallOptions { channels: [6, 10], kernel: 5, ..SmallOptions::default() }),
        ([2, 9, 13], SmallOptions::default()),
    ] {
        let net: Small = Small::new(image, 7, options, rng);
        assert_eq!(net.parameter_count() as f64, options.parameter_count(image, 7), "{image:?}");
    }
    assert_eq!(Small::<f32>::new([1, 28, 28], 10, SmallOptions::default(), rng).parameter_count(), 103_018);
    let net: Sequential = report([3, 32, 32], 10, ReportOptions::default(), rng).expect("the size fits");
    assert_eq!(net.parameter_count(), 6_185_984);
}

/// So that a seed of `chainrule mnist` goes on to mean the same run.
#[test]
fn a_seed_gives_the_small_net_the_weights_that_it_always_gave() {
    let net: Small = Small::new([1, 28, 28], 10, SmallOptions::default(), &mut Rng::seed(0));
    assert_eq!(weights_sha256(&net), "4937b780bd1a7aa216b3903a0c41de15afc205685ed3f6e4cf27550174df4c54");
}

#[test]
fn initial_weights_are_drawn_as_torchvision_draws_them() {
    let mean_square = |var: &Var| {
        let values = var.value().to_vec();
        values.iter().map(|x| f64::from(x * x)).sum::<f64>() / values.len() as f64
    };
    let rng = &mut Rng::seed(2);
    let nets: [(&str, Box<dyn Module>); 3] = [
        ("resnet", Box::new(resnet18(100, rng))),
        ("resnet", Box::new(resnet20(100, rng))),
        ("vgg", Box::new(vgg16_bn_cifar(100, rng))),
    ];
    for (family, net) in &nets {
        for (name, var) in net.named_parameters() {
            let expected = match (*family, var.shape().rank()) {
                // Kaiming's normal distribution, by the outputs.
                (_, 4) => 2.0 / fans(var.shape()).1 as f64,
                ("vgg", 2) => 0.01 * 0.01,
                // Uniform on ±1/√inputs.
                (_, 2) => 1.0 / fans(var.shape()).0 as f64 / 3.0,
                _ if name == "fc.bias" => continue,
                // γ = 1 of batch normalization, all other biases 0.
                _ => f64::from(u8::from(name.ends_with("weight"))),
            };
            let found = mean_square(&var);
            // Five standard deviations of the estimate for a normal distribution.
            let tolerance = 5.0 * (2.0 / var.shape().numel() as f64).sqrt();
            assert!((found - expected).abs() <= expected * tolerance, "{name}: {found}, expected {expected}");
        }
    }
}

/// The bits of everything that a training step and an inference compute.
fn outcome(net: &dyn Module, x: &Tensor, labels: &TensorOf<i32>) -> BTreeMap<String, Vec<u32>> {
    let bits = |x: &Tensor| x.to_vec().into_iter().map(f32::to_bits).collect::<Vec<u32>>();
    let x = Var::parameter("image", x.clone());
    let loss = net.forward(&x).cross_entropy(labels);
    let gradients = loss.backward();
    let mut found = BTreeMap::from([("loss".to_owned(), bits(&loss.value()))]);
    found.insert("gradient of the image".into(), bits(&gradients[&x]));
    for (name, parameter) in net.named_parameters() {
        if parameter.requires_grad() {
            let gradient = gradients.get(&parameter).unwrap_or_else(|| panic!("{name} got no gradient"));
            assert!(gradient.to_vec().iter().any(|&g| g != 0.0), "the gradient of {name} is zero");
            found.insert(format!("gradient of {name}"), bits(gradient));
        }
    }
    net.visit(&mut Visitor::new(&mut |path, item| {
        if let Item::Buffer(buffer) = item {
            found.insert(path.to_owned(), bits(&buffer.get()));
        }
    }));
    net.eval();
    found.insert("logits at inference".into(), bits(&net.forward(&x).value()));
    found
}

#[test]
fn a_gradient_reaches_every_parameter_and_fusion_changes_no_bits() {
    let classes = SMALL_IMAGES.map(|(name, build)| (name, build, images([3, 3, 32, 32]), [0, 1, 2].into()));
    let colors: Vec<i32> = (0..2 * 8 * 12).map(|i| i % 7).collect();
    let colors = TensorOf::from_slice(&colors, [2, 8, 12]);
    let pixels = COLORIZING.map(|(name, build)| (name, build, images([2, 1, 8, 12]), colors.clone()));
    for (name, build, x, labels) in classes.into_iter().chain(pixels) {
        let [fused, plain] = [(); 2].map(|()| build(&mut Rng::seed(5)));
        let fused = outcome(&*fused, &x, &labels);
        let plain = unfused(|| outcome(&*plain, &x, &labels));
        assert_eq!(fused.keys().collect::<Vec<_>>(), plain.keys().collect::<Vec<_>>(), "{name}");
        for (what, bits) in &fused {
            assert!(*bits == plain[what], "{name}: the bits of the {what} differ");
        }
    }
}

#[test]
fn output_shapes_are_those_of_the_outputs() {
    let found = |build: Build, x: Tensor| {
        let net = build(&mut Rng::seed(5));
        let y = net.forward(&Var::constant(&x)).shape();
        assert_eq!(net.output_shape(x.shape()).expect("the images fit"), y);
        y
    };
    for (_, build) in SMALL_IMAGES {
        assert_eq!(found(build, images([3, 3, 32, 32])), [3, 10]);
    }
    for ((_, build), colors) in COLORIZING.into_iter().zip([24, 7, 24, 7, 7]) {
        assert_eq!(found(build, images([2, 1, 8, 12])), [2, colors, 8, 12]);
    }
}

#[test]
fn the_nets_that_colorize_have_the_sizes_that_they_state() {
    let rng = &mut Rng::seed(0);
    let options = ColorizeOptions::default();
    let shapes = |net: &dyn Module| -> Vec<(String, Vec<usize>)> {
        let weights = net.named_parameters().into_iter().filter(|(_, weight)| weight.shape().rank() == 4);
        weights.map(|(name, weight)| (name, weight.shape().to_vec())).collect()
    };
    let base: ColorizeNet = colorize_base(options, rng);
    assert_eq!(base.parameter_count(), 86_784);
    let convolutions = |channels: [[usize; 2]; 6]| {
        let names = ["down1.conv", "down2.conv", "middle.conv", "up1.conv", "up2.conv", "out"];
        names.into_iter().zip(channels).map(|(name, [o, c])| (format!("{name}.weight"), vec![o, c, 3, 3])).collect()
    };
    let expected: Vec<_> = convolutions([[32, 1], [64, 32], [64, 64], [32, 64], [24, 32], [24, 24]]);
    assert_eq!(shapes(&base), expected);
    let unet: UNet = UNet::new(options, rng);
    assert_eq!(unet.parameter_count(), 112_344);
    let expected: Vec<_> = convolutions([[32, 1], [64, 32], [64, 64], [32, 128], [24, 64], [24, 25]]);
    assert_eq!(shapes(&unet), expected);
    let residual: ColorizeNet = colorize_residual(options, rng);
    assert_eq!(residual.parameter_count(), 190_128);
}

#[test]
fn gradients_through_skips_and_residuals_are_those_of_finite_differences() {
    let options = ColorizeOptions { nf: 2, kernel: 3, colors: 3 };
    let labels: Vec<i32> = (0..2 * 4 * 8).map(|i| i * 5 % 3).collect();
    let labels = TensorOf::from_slice(&labels, [2, 4, 8]);
    let x = images([2, 1, 4, 8]).to_f64();
    let rng = &mut Rng::seed(3);
    let nets: [Box<dyn Module<f64>>; 3] = [
        Box::new(colorize_base(options, rng)),
        Box::new(UNet::new(options, rng)),
        Box::new(colorize_residual(options, rng)),
    ];
    for net in nets {
        gradcheck(|inputs| net.forward(&inputs[0]).cross_entropy(&labels), std::slice::from_ref(&x)).unwrap();
    }
}

#[test]
fn sides_that_are_no_multiples_of_four_are_refused_by_the_unet() {
    let unet: UNet = UNet::new(FEW, &mut Rng::seed(0));
    let error = unet.output_shape(Shape::from([2, 1, 10, 8])).expect_err("10 / 4 is no whole number").to_string();
    assert!(error.starts_with("concat: part 1 does not match part 0 outside axis 1\n"), "{error}");
}

#[test]
fn torchvisions_resnets_compute_their_output_shape() {
    let rng = &mut Rng::seed(1);
    for net in [resnet18(6, rng), resnet50(6, rng)] as [ResNet; 2] {
        let x = images([2, 3, 64, 48]);
        let fused = net.forward(&Var::constant(x.clone()));
        assert_eq!(fused.shape(), net.output_shape(x.shape()).expect("it fits"));
        let plain = unfused(|| net.forward(&Var::constant(x)));
        assert_eq!(fused.value().to_vec(), plain.value().to_vec());
    }
}

/// What comes before a stage can be computed alone.
#[test]
fn a_net_is_its_stages_one_after_the_other() {
    let x = Var::constant(images([2, 3, 32, 32]));
    for (name, build) in SMALL_IMAGES {
        let net = build(&mut Rng::seed(2));
        net.eval();
        let stages = net.stages();
        let paths = net.named_parameters();
        for (path, _) in paths.iter().filter(|_| !stages.is_empty()) {
            let stage = path.split('.').next().expect("a path is not empty");
            assert!(stages.iter().any(|(name, _)| name == stage), "{name}: {path} is in none of the stages");
        }
        if stages.is_empty() {
            continue;
        }
        let y = net.forward(&x);
        for cut in 0..=stages.len() {
            let (before, after) = stages.split_at(cut);
            let run = |x: &Var, stages: &[(String, &dyn Module)]| {
                stages.iter().fold(x.clone(), |x, (_, stage)| stage.forward(&x))
            };
            let cut_in_two = run(&run(&x, before), after);
            assert!(cut_in_two.value().to_vec() == y.value().to_vec(), "{name}, cut before stage {cut}");
        }
    }
    let cut: Vec<String> = resnet20::<f32>(10, &mut Rng::seed(0)).stages().into_iter().map(|(name, _)| name).collect();
    let all = ["conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4", "avgpool", "flatten", "fc"];
    assert_eq!(cut, all);
}

#[test]
fn images_that_do_not_fit_are_refused_by_name() {
    let rng = &mut Rng::seed(0);
    for (net, image, text) in [
        (&resnet20(10, rng) as &dyn Module, [2, 1, 32, 32], "weight expects 3 input channels, input has 1"),
        (&vgg16_bn_cifar(10, rng), [2, 3, 8, 8], "max_pool2d"),
        (&Fast::new([8, 8, 8], 10, rng), [2, 3, 64, 64], "linear"),
        (&Small::new([3, 32, 32], 10, SmallOptions::default(), rng), [2, 3, 16, 16], "linear"),
    ] {
        let error = net.output_shape(Shape::from(image)).expect_err("it does not fit").to_string();
        assert!(error.contains(text), "{error}");
    }
    assert!(report::<f32>([3, 1, 1], 10, ReportOptions::default(), rng).is_err());
}

#[test]
fn the_shortcut_of_resnet20_takes_every_second_pixel_and_adds_zeros() {
    // With γ = 0 in the second normalization, a block is relu(its shortcut).
    let net: ResNet = resnet20(10, &mut Rng::seed(3));
    net.eval();
    let parameters: BTreeMap<String, Var> = net.named_parameters().into_iter().collect();
    for (name, parameter) in &parameters {
        if name.ends_with("bn2.weight") {
            parameter.set(&Tensor::zeros(parameter.shape()));
        }
    }
    // Each pixel of the mean over 8×8 is one of 4·4: the output is that of the pixels at multiples of 4.
    let x = images([2, 3, 32, 32]);
    let y = net.forward(&Var::constant(x.clone()));
    let stem = |x: &Var| {
        let y =
            x.conv2d(&parameters["conv1.weight"], None, Conv2dOptions { padding: [1, 1], ..Conv2dOptions::default() });
        // Inference with running mean 0 and variance 1.
        (y / (1.0f64 + 1e-5).sqrt()).relu()
    };
    let h = stem(&Var::constant(x)).slice(2, 0, 8, 4).slice(3, 0, 8, 4);
    let features = h.adaptive_avg_pool2d([1, 1]).flatten().pad(&[(0, 0), (0, 48)], 0.0);
    let expected = features.linear(&parameters["fc.weight"], Some(&parameters["fc.bias"]));
    for (a, b) in y.value().to_vec().into_iter().zip(expected.value().to_vec()) {
        assert!((a - b).abs() < 1e-5, "{a} and {b}");
    }
}
