//! Saliency and Grad-CAM against PyTorch's autograd and hooks (`tests/reference/inspect_nets.py`), in `f64` and `f32`.

use chainrule::nn::inspect::{class_score, grad_cam, saliency};
use chainrule::nn::nets::{Small, SmallOptions, resnet20};
use chainrule::prelude::*;
use serde_json::Value;

/// `count` numbers in [-1, 1) that look random, as the script has them.
fn values(tensor: u64, count: usize) -> Vec<f64> {
    let hashed = |i: u64| {
        let place = i.wrapping_mul(2_654_435_761).wrapping_add((tensor + 1) * 40_503);
        place.wrapping_mul(6_364_136_223_846_793_005) >> 33
    };
    (0..count as u64).map(|i| hashed(i) as f64 / f64::from(1 << 30) - 1.0).collect()
}

fn tensor<T: Float>(values: &[f64], shape: Shape) -> TensorOf<T> {
    let values: Vec<T> = values.iter().map(|&x| T::from_f64(x)).collect();
    TensorOf::from_slice(&values, shape)
}

/// The weights or the buffer at a path, the index-th tensor of the script's net.
fn stored<T: Float>(index: u64, path: &str, shape: Shape) -> TensorOf<T> {
    let (scale, offset) = if shape.rank() > 1 {
        ((6.0 / (shape.numel() / shape[0]) as f64).sqrt(), 0.0)
    } else if path.ends_with("running_var") || (path.contains("bn") && path.ends_with("weight")) {
        (0.5, 1.0)
    } else {
        (0.1, 0.0)
    };
    let values: Vec<f64> = values(index, shape.numel()).into_iter().map(|x| offset + scale * x).collect();
    tensor(&values, shape)
}

/// Gives a net the weights and buffers of the script.
fn fill<T: Float>(net: &dyn Module<T>) {
    let mut index = 0;
    net.visit(&mut Visitor::new(&mut |path, item| {
        match item {
            Item::Parameter(parameter) => parameter.update(|value| *value = stored(index, path, value.shape())),
            Item::Buffer(buffer) => buffer.set(stored(index, path, buffer.get().shape())),
            // The script's count of batches has a place among the tensors, but no values.
            Item::Counter(_) => {}
            _ => return,
        }
        index += 1;
    }));
}

fn agree<T: Float>(case: &Value, tolerance: f64) {
    let numbers = |key: &str| -> Vec<usize> {
        let list = case[key].as_array().expect("a list").iter();
        list.map(|number| number.as_u64().expect("a number") as usize).collect()
    };
    let (name, classes) = (case["name"].as_str().expect("a name"), numbers("classes"));
    let image: [usize; 3] = numbers("image").try_into().expect("C, H, W");
    let mut rng = Rng::seed(0);
    let net: Box<dyn Module<T>> = match name {
        "small, gray" => Box::new(Small::new(image, 10, SmallOptions::default(), &mut rng)),
        "small, color" => Box::new(Small::new(image, 5, SmallOptions::default(), &mut rng)),
        "resnet20" => Box::new(resnet20(10, &mut rng)),
        other => panic!("the reference has a net '{other}' that this test does not know"),
    };
    fill(&*net);
    let shape = Shape::from([classes.len(), image[0], image[1], image[2]]);
    let images = tensor::<T>(&values(1000, shape.numel()), shape);
    let labels = TensorOf::from_fn(classes.len(), |n| classes[n] as i32);
    let score = |logits: &VarOf<T>| class_score(logits, &labels);
    let path = case["path"].as_str().expect("a path");
    let cam = grad_cam(&*net, &images, path, score).unwrap_or_else(|error| panic!("{name}: {error}"));
    for (what, found) in [("saliency", saliency(&*net, &images, score)), ("cam", cam)] {
        let expected = case[what].as_array().expect("a row for each image").iter();
        let expected: Vec<f64> =
            expected.flat_map(|row| row.as_array().expect("numbers")).map(|x| x.as_f64().expect("a number")).collect();
        let found = found.to_f64().to_vec();
        assert_eq!(found.len(), expected.len());
        let most = expected.iter().copied().fold(0.0, f64::max);
        for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
            assert!((found - expected).abs() <= tolerance * most, "{name}: {what}[{i}] is {found}, not {expected}");
        }
    }
}

#[test]
fn saliency_and_grad_cam_agree_with_pytorch() {
    let reference: Value = serde_json::from_str(include_str!("reference/inspect_nets.json")).expect("JSON");
    for case in reference["cases"].as_array().expect("cases") {
        agree::<f64>(case, 1e-12);
        agree::<f32>(case, 1e-5);
    }
}
