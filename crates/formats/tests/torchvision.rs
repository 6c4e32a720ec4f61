//! torchvision's nets with the weights that PyTorch saved: logits and all gradients beside PyTorch's. `scripts/compare_torchvision.sh`
//! makes the files and runs this; without them there is nothing to compare.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use chainrule_autograd::VarOf;
use chainrule_formats::load_weights;
use chainrule_nn::{Item, LoadOptions, Module, Visitor, nets};
use chainrule_tensor::{Float, Rng, Scalar, TensorOf};
use safetensors::{Dtype, SafeTensors};

/// The tensors of a safetensors file, by name.
fn tensors<T: Float>(path: &Path) -> BTreeMap<String, TensorOf<T>> {
    let bytes = std::fs::read(path).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
    let file = SafeTensors::deserialize(&bytes).expect("a safetensors file");
    let tensor = |(name, x): (String, safetensors::tensor::TensorView<'_>)| {
        let numbers: Vec<T> = match x.dtype() {
            Dtype::F32 => x.data().as_chunks().0.iter().map(|b| T::from_f64(f32::from_le_bytes(*b).into())).collect(),
            Dtype::F64 => x.data().as_chunks().0.iter().map(|b| T::from_f64(f64::from_le_bytes(*b))).collect(),
            other => panic!("{name} is {other:?}"),
        };
        (name, TensorOf::from_slice(&numbers, x.shape().to_vec()))
    };
    file.tensors().into_iter().map(tensor).collect()
}

fn build<T: Float>(name: &str) -> Box<dyn Module<T>> {
    let rng = &mut Rng::seed(9);
    match name {
        "resnet18" => Box::new(nets::resnet18(1000, rng)),
        "resnet34" => Box::new(nets::resnet34(1000, rng)),
        "resnet50" => Box::new(nets::resnet50(1000, rng)),
        "vgg11_bn" => Box::new(nets::vgg11_bn(1000, rng)),
        "vgg16" => Box::new(nets::vgg16(1000, rng)),
        _ => panic!("no net is called {name}"),
    }
}

/// Training or inference, with dropout off in both: its random numbers are others than PyTorch's.
fn set_mode<T: Float>(net: &dyn Module<T>, training: bool) {
    net.set_training(training);
    net.visit(&mut Visitor::new(&mut |path, item| {
        if let Item::Mode(mode) = item
            && path.starts_with("classifier.")
        {
            mode.set(false);
        }
    }));
}

/// The largest difference over the largest number.
fn difference<T: Float>(ours: &TensorOf<T>, theirs: &TensorOf<T>) -> f64 {
    let [ours, theirs] = [ours, theirs].map(|x| x.to_vec().into_iter().map(Scalar::to_f64).collect::<Vec<f64>>());
    let largest = theirs.iter().map(|x| x.abs()).fold(0.0, f64::max);
    let difference = ours.iter().zip(&theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    difference / largest.max(f64::MIN_POSITIVE)
}

/// Compares a net with the weights of a file with what PyTorch computed: logits, each gradient, and all gradients as one vector by
/// its norm.
fn compare<T: Float>(name: &str, weights: &Path, expected: &Path, training: bool, limits: [f64; 3]) {
    let expected = tensors::<T>(expected);
    let net = build::<T>(name);
    let report = load_weights(&*net, weights, &LoadOptions::new()).expect("the weights fit");
    assert!(report.is_complete(), "{report}");
    set_mode(&*net, training);
    let logits = net.forward(&VarOf::constant(&expected["images"]));
    let labels: Vec<i32> = expected["labels"].to_vec().into_iter().map(|label| label.to_f64() as i32).collect();
    let gradients = logits.cross_entropy(&labels.into()).backward();
    let of_logits = difference(&logits.value(), &expected["logits"]);
    let (mut worst, mut of_one, mut error, mut size) = (String::new(), 0.0, 0.0, 0.0);
    for (path, parameter) in net.named_parameters() {
        let (ours, theirs) = (&gradients[&parameter], &expected[&format!("gradient.{path}")]);
        let found = difference(ours, theirs);
        if found > of_one {
            (worst, of_one) = (path, found);
        }
        for (a, b) in ours.to_vec().into_iter().zip(theirs.to_vec()) {
            (error, size) = (error + (a.to_f64() - b.to_f64()).powi(2), size + b.to_f64().powi(2));
        }
    }
    let of_all = (error / size).sqrt();
    let case = format!("{} in {}, training {training}", weights.file_name().unwrap().display(), T::NAME);
    println!("{case}: logits {of_logits:.1e}, gradients {of_all:.1e}, a single one {of_one:.1e} ({worst})");
    let found = [of_logits, of_all, of_one];
    assert!(
        found.iter().zip(limits).all(|(found, limit)| *found < limit),
        "{case}: {found:?}, the limits are {limits:?}"
    );
}

#[test]
#[ignore = "scripts/compare_torchvision.sh calls it, with PyTorch"]
fn logits_and_gradients_are_those_of_pytorch() {
    let folder = PathBuf::from(std::env::var_os("CHAINRULE_TORCHVISION").expect("the folder of the files"));
    let names = std::fs::read_to_string(folder.join("nets.txt")).expect("the list of nets");
    for name in names.split_whitespace() {
        for (file, precision) in [("f32.pt", "f32"), ("f16.pt", "f16"), ("safetensors", "f32")] {
            let weights = folder.join(format!("{name}.{file}"));
            let expected = |mode: &str| folder.join(format!("{name}.{precision}.{mode}.expected"));
            // In f32 a rounding error moves a number across the kink of ReLU now and then.
            compare::<f32>(name, &weights, &expected("eval"), false, [1e-4, 5e-3, 0.1]);
            compare::<f64>(name, &weights, &expected("train"), true, [1e-10, 1e-9, 1e-8]);
        }
    }
}
