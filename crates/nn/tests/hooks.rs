//! Hooks by path, and what is built on them, against slow computations.

use std::cell::RefCell;
use std::rc::Rc;

use chainrule_autograd::{Reduction, Var, Var64, VarOf};
use chainrule_nn::inspect::{ActivationStatistics, class_score, feature_maps, grad_cam, saliency};
use chainrule_nn::nets::{self, Small, SmallOptions};
use chainrule_nn::{
    BatchNorm2d, Conv2d, Flatten, Hooks, Linear, MaxPool2d, Module, NnError, Relu, Sequential, unfused, weights_sha256,
};
use chainrule_tensor::{Float, Key, Purpose, Rng, Tensor, Tensor64, TensorOf};

fn images<T: Float>(shape: [usize; 4]) -> TensorOf<T> {
    TensorOf::random_normal(Key::new(3, Purpose::USER), shape)
}

/// conv · norm · relu · conv · relu · pool · flatten · linear, for images of 2×6×6.
fn net<T: Float>() -> Sequential<T> {
    let mut rng = Rng::seed(1);
    Sequential::new()
        .add(Conv2d::builder(2, 3, 3).padding(1).build(&mut rng))
        .add(BatchNorm2d::new(3))
        .add(Relu)
        .add(Conv2d::new(3, 4, 3, &mut rng))
        .add(Relu)
        .add(MaxPool2d::new(2))
        .add(Flatten)
        .add(Linear::new(4 * 2 * 2, 3, &mut rng))
}

#[test]
fn paths_are_those_of_layers_and_what_follows_them() {
    let hooked = Hooks::of(&net()).forward(&Var::constant(images([2, 2, 6, 6]))).expect("no hooks");
    let paths: Vec<&str> = hooked.iter().map(|(path, _)| path).collect();
    assert_eq!(paths, ["0", "1", "1.relu", "3", "3.relu", "3.max_pool2d", "3.reshape", "7"]);
    let small: Small = Small::new([1, 8, 8], 10, SmallOptions::default(), &mut Rng::seed(0));
    // Also if the input is a parameter, which is none of the first layer's.
    let x = Var::parameter("input", images([2, 1, 8, 8]));
    let paths: Vec<String> = feature_maps(&small, &x.value()).into_iter().map(|(path, _)| path).collect();
    assert_eq!(paths[..4], ["conv1", "conv1.relu", "conv1.max_pool2d", "conv2"]);
    assert_eq!(Hooks::of(&small).forward(&x).expect("no hooks").iter().next().expect("a first one").0, "conv1");
    // Paths that occur again are numbered: the ends of a residual block and of the net.
    let resnet: nets::ResNet = nets::resnet20(10, &mut Rng::seed(0));
    let hooked = Hooks::of(&resnet).forward(&Var::constant(images([1, 3, 8, 8]))).expect("no hooks");
    let paths: Vec<&str> = hooked.iter().map(|(path, _)| path).collect();
    let mut different = paths.clone();
    different.sort_unstable();
    different.dedup();
    assert_eq!(different.len(), paths.len());
    assert!(
        ["layer1.0.conv2", "layer1.0.bn2.add", "layer1.0.bn2.relu", "fc"].iter().all(|path| paths.contains(path)),
        "{paths:?}"
    );
    let twice = |x: &Var| x.relu().relu();
    struct Twice(fn(&Var) -> Var);
    impl Module for Twice {
        fn forward(&self, x: &Var) -> Var {
            (self.0)(x)
        }
        fn visit(&self, _: &mut chainrule_nn::Visitor<'_, f32>) {}
    }
    let hooked = Hooks::of(&Twice(twice)).forward(&Var::parameter("x", [1.0])).expect("no hooks");
    assert_eq!(hooked.iter().map(|(path, _)| path).collect::<Vec<_>>(), ["relu", "relu#2"]);
}

#[test]
fn values_are_the_unfused_nets_and_their_gradients_can_be_read() {
    let (net, x, labels) = (net(), Var::constant(images([4, 2, 6, 6])), TensorOf::from([0, 2, 1, 0]));
    let by_hand: Vec<Var> = net.layers().iter().fold(vec![x.clone()], |mut values, layer| {
        values.push(unfused(|| layer.forward(&values[values.len() - 1])));
        values
    });
    let hooked = Hooks::of(&net).forward(&x).expect("no hooks");
    for ((path, value), expected) in hooked.iter().zip(&by_hand[1..]) {
        assert_eq!(value.value().to_vec(), expected.value().to_vec(), "{path}");
    }
    assert_eq!(hooked.output.value().to_vec(), net.forward(&x).value().to_vec());
    let (relu, expected) = (&hooked["3.relu"], &by_hand[5]);
    let found = hooked.output.cross_entropy(&labels).backward_keeping(&[relu]);
    let expected_gradients = by_hand[8].cross_entropy(&labels).backward_keeping(&[expected]);
    assert_eq!(found[relu].to_vec(), expected_gradients[expected].to_vec());
    for parameter in net.parameters() {
        assert_eq!(found[&parameter].to_vec(), expected_gradients[&parameter].to_vec(), "{}", parameter.name());
    }
}

#[test]
fn hooks_change_values_and_gradients() {
    let (net, x) = (net::<f64>(), Var64::constant(images([4, 2, 6, 6])));
    net.eval();
    let loss = |y: &Var64| y.mse_loss(&Var64::constant(Tensor64::ones([4, 3])), Reduction::Sum);
    let parts = |x: &Var64, range: std::ops::Range<usize>| {
        unfused(|| net.layers()[range].iter().fold(x.clone(), |x, layer| layer.forward(&x)))
    };
    let seen = Rc::new(RefCell::new(Vec::new()));
    let shapes = Rc::clone(&seen);
    let hooked = Hooks::of(&net)
        .value("3", |y| y * 2.0)
        .value("3", move |y| {
            shapes.borrow_mut().push(y.shape());
            y + 1.0
        })
        .gradient("1.relu", |dy| dy * 3.0)
        .gradient("1.relu", |dy| dy + 1.0)
        .forward(&x)
        .expect("these paths exist");
    assert_eq!(seen.take(), [[4, 4, 4, 4]]);
    let first = parts(&x, 0..3);
    let second = parts(&first, 3..4) * 2.0 + 1.0;
    let output = parts(&second, 4..8);
    assert_eq!(hooked.output.value().to_vec(), output.value().to_vec());
    let gradients = loss(&hooked.output).backward_keeping(&[&hooked["1.relu"]]);
    // The gradient before the hooks, and after them.
    let expected = loss(&output).backward_keeping(&[&first]);
    let changed: Vec<f64> = expected[&first].to_vec().iter().map(|dy| dy * 3.0 + 1.0).collect();
    assert_eq!(gradients[&hooked["1.relu"]].to_vec(), changed);
    let weight = &net.parameters()[0];
    let after = (&parts(&x, 0..3) * Var64::constant(TensorOf::from_slice(&changed, first.shape()))).sum().backward();
    for (found, expected) in gradients[weight].to_vec().iter().zip(after[weight].to_vec()) {
        assert!((found - expected).abs() < 1e-12 * expected.abs().max(1.0), "{found}, not {expected}");
    }
    // Layers after the hook are not affected.
    let last = net.parameters().pop().expect("a bias");
    assert_eq!(gradients[&last].to_vec(), expected[&last].to_vec());
}

#[test]
fn an_unknown_path_is_an_error_that_lists_those_that_exist() {
    let (net, x) = (net(), Var::constant(images([4, 2, 6, 6])));
    let text = |error: NnError| error.to_string();
    let expected = "there is no operation '4.relu' in the forward pass\n  \
                    paths: 0, 1, 1.relu, 3, 3.relu, 3.max_pool2d, 3.reshape, 7\n  \
                    rule: operations on frozen parameters are recorded if the input is a parameter";
    assert_eq!(text(Hooks::of(&net).value("4.relu", |y| y).forward(&x).unwrap_err()), expected);
    assert_eq!(text(Hooks::of(&net).gradient("4.relu", |dy| dy).forward(&x).unwrap_err()), expected);
    assert_eq!(text(grad_cam(&net, &x.value(), "4.relu", Var::sum).unwrap_err()), expected);
    assert_eq!(
        text(grad_cam(&net, &x.value(), "7", Var::sum).unwrap_err()),
        "the output of '7' has shape (4, 3)\n  rule: feature maps are (N,C,H,W), of images (N,C,H,W)"
    );
    // Frozen layers of a constant input are not recorded, those of a parameter are.
    net.set_frozen(true);
    assert!(Hooks::of(&net).value("7", |y| y).forward(&x).is_err());
    assert!(Hooks::of(&net).value("7", |y| y).forward(&Var::parameter("x", &*x.value())).is_ok());
}

#[test]
fn feature_maps_are_those_of_inference_and_change_nothing() {
    let net = net();
    let before = weights_sha256(&net);
    let x = images([2, 2, 6, 6]);
    let maps = feature_maps(&net, &x);
    assert_eq!(weights_sha256(&net), before, "no running statistics are updated");
    let shapes: Vec<Vec<usize>> = maps.iter().map(|(_, map)| map.shape().to_vec()).collect();
    assert_eq!(shapes[..6], [[2, 3, 6, 6], [2, 3, 6, 6], [2, 3, 6, 6], [2, 4, 4, 4], [2, 4, 4, 4], [2, 4, 2, 2]]);
    let same = self::net();
    same.eval();
    assert_eq!(maps[7].1.to_vec(), same.forward(&Var::constant(&x)).value().to_vec());
    let training = net.forward(&Var::constant(&x)).value().to_vec();
    assert_ne!(training, maps[7].1.to_vec(), "the net is in training mode again");
}

#[test]
fn statistics_count_dead_units() {
    // Unit 0 is dead, unit 1 is 0 for one image, unit 2 has one zero.
    let x = Tensor::from([[[0.0, 0.0], [0.0, 0.0], [1.0, 0.0]], [[0.0, 0.0], [2.0, 3.0], [1.0, 5.0]]]);
    let found = ActivationStatistics::of(&x);
    // Σ x² / 12 − 1.
    let std = (40.0_f64 / 12.0 - 1.0).sqrt();
    assert!((found.std - std).abs() < 1e-15);
    let expected = ActivationStatistics {
        mean: 1.0,
        std: found.std,
        min: 0.0,
        max: 5.0,
        zeros: 7.0 / 12.0,
        units: 3,
        dead: vec![0],
    };
    assert_eq!(found, expected);
    assert_eq!(found.dead_share(), 1.0 / 3.0);
    assert_eq!(ActivationStatistics::of(&Tensor::from([[1.0, 0.0], [-1.0, 0.0]])).dead, [1]);
}

#[test]
fn saliency_is_the_largest_difference_quotient_of_each_pixel() {
    let net = net::<f64>();
    let (x, classes) = (images::<f64>([2, 2, 6, 6]), TensorOf::from([2, 0]));
    let found = saliency(&net, &x, |logits| class_score(logits, &classes));
    assert_eq!(found.shape(), [2, 6, 6]);
    net.eval();
    let score = |x: &Tensor64| {
        let logits = net.forward(&VarOf::constant(x)).value().clone();
        logits.at(&[0, 2]) + logits.at(&[1, 0])
    };
    let values = x.to_vec();
    let slope = |i: usize| {
        let moved = |h: f64| {
            let mut values = values.clone();
            values[i] += h;
            score(&TensorOf::from_slice(&values, x.shape()))
        };
        ((moved(1e-6) - moved(-1e-6)) / 2e-6).abs()
    };
    for n in 0..2 {
        for p in 0..36 {
            let expected = slope(n * 72 + p).max(slope(n * 72 + 36 + p));
            let found = found.at(&[n, p / 6, p % 6]);
            assert!((found - expected).abs() < 1e-7, "image {n}, pixel {p}: {found}, not {expected}");
        }
    }
}

#[test]
fn grad_cam_is_the_sum_of_maps_weighted_by_mean_gradients() {
    let net = net::<f64>();
    let (x, classes) = (images::<f64>([2, 2, 6, 6]), TensorOf::from([1, 0]));
    let found = grad_cam(&net, &x, "3.relu", |logits| class_score(logits, &classes)).expect("the path exists");
    assert_eq!(found.shape(), [2, 6, 6]);
    net.eval();
    let layers = |x: VarOf<f64>, range: std::ops::Range<usize>| {
        unfused(|| net.layers()[range].iter().fold(x, |x, layer| layer.forward(&x)))
    };
    let maps = layers(VarOf::constant(&x), 0..5);
    let logits = layers(maps.clone(), 5..8);
    let mut positive = 0;
    for (n, class) in [1, 0].into_iter().enumerate() {
        let gradient = logits.narrow(0, n..n + 1).narrow(1, class..class + 1).sum().gradient(&maps);
        let (a, d) = (maps.value(), gradient.value());
        let cam: Vec<f64> = (0..16)
            .map(|p| {
                let term = |k: usize| {
                    let alpha = (0..16).map(|q| d.at(&[n, k, q / 4, q % 4])).sum::<f64>() / 16.0;
                    alpha * a.at(&[n, k, p / 4, p % 4])
                };
                (0..4).map(term).sum::<f64>().max(0.0)
            })
            .collect();
        // From 4 to 6 pixels: output i lies at (i + ½)·4/6 − ½, clamped to the outermost pixels.
        let place = |i: usize| (((i as f64 + 0.5) * 4.0 / 6.0) - 0.5).clamp(0.0, 3.0);
        for (i, j) in (0..36).map(|p| (p / 6, p % 6)) {
            let weight = |at: f64, pixel: usize| (1.0 - (at - pixel as f64).abs()).max(0.0);
            let terms = (0..16).map(|p| weight(place(i), p / 4) * weight(place(j), p % 4) * cam[p]);
            let (expected, found) = (terms.sum::<f64>(), found.at(&[n, i, j]));
            assert!((found - expected).abs() < 1e-12, "image {n}, pixel {i}, {j}: {found}, not {expected}");
            positive += usize::from(found > 0.0);
        }
    }
    assert!(positive > 0, "a map of zeros shows nothing");
}
